/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * data - makes the encrypted writable volume, once, and only where there was nothing.
 *
 * It comes first of all verbs: the state directories of the others lie on what is made here.  So it needs
 * no more of the TPM than the storage root key, and makes that if it is missing.
 *
 * The recovery passphrase is on its way out of the device before a header with its key slot is written: a
 * cut in between leaves a passphrase that opens nothing, never a key slot that nobody can use.  The header
 * is complete in a file (no key in clear) before the first byte goes to the device; a cut then leaves no
 * data behind, for there was none.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/config.h>
#include <reseal/base/file.h>
#include <reseal/slot/data.h>
#include <reseal/slot/map.h>
#include <reseal/slot/volume.h>

#include "provision.h"

#define RECOVERY_BYTES 16u              /* 128 bits, for a passphrase that a person may have to type */
#define RECOVERY_SIZE (RECOVERY_BYTES * 2 + 7)

typedef struct Data {
        const Options *options;
        Tpm *tpm;
        int fd;
        struct stat st;
        uint64_t size;
} Data;

static void data_done(Data *d) {
        d->tpm = tpm_free(d->tpm);
        closep(&d->fd);
}

/* As in the slot map: below /dev a block device, elsewhere a file. */
static int open_device(Data *d, RsError *err) {
        const char *path = d->options->device;
        off_t size;

        d->fd = open(path, O_RDONLY | O_CLOEXEC);
        if (d->fd < 0 || fstat(d->fd, &d->st) < 0)
                return rs_fail_errno(err, errno, "%s", path);
        if (!S_ISBLK(d->st.st_mode) && (!S_ISREG(d->st.st_mode) || strncmp(path, "/dev/", 5) == 0))
                return rs_fail(err, TARGET, "%s is not a block device", path);
        size = lseek(d->fd, 0, SEEK_END);
        if (size < 0)
                return rs_fail_errno(err, errno, "%s", path);
        d->size = (uint64_t) size;
        return 0;
}

static bool same_device(const struct stat *a, const struct stat *b) {
        if (S_ISBLK(a->st_mode) || S_ISBLK(b->st_mode))
                return S_ISBLK(a->st_mode) && S_ISBLK(b->st_mode) && a->st_rdev == b->st_rdev;
        return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static int on_key(void *userdata, const char *section, const char *key, const char *value, RsError *err) {
        return strncmp(section, "slot ", 5) == 0 ? slot_map_set(userdata, section + 5, key, value, err) : 1;
}

/* A partition that the writer installs to would be overwritten by the next release. */
static int check_not_a_slot(const Data *d, RsError *err) {
        _cleanup_(slot_map_freep) SlotMap *map = slot_map_new();
        struct stat st;
        int r;

        if (!map)
                return rs_fail_oom(err);
        if (access(d->options->writer_conf, F_OK) < 0)
                return 0;
        r = config_read(d->options->writer_conf, on_key, map, err);
        for (uint32_t i = 0; r >= 0 && i < slot_map_count(map); i++) {
                const Slot *s = slot_map_at(map, i);

                if (s->device && stat(s->device, &st) == 0 && same_device(&st, &d->st))
                        return rs_fail(err, TARGET, "%s is slot %s", d->options->device, s->name);
        }
        return r < 0 ? r : 0;
}

static int open_tpm(Data *d, RsError *err) {
        uint8_t srk_name[TPM_NAME_SIZE];
        bool changed = false;
        TpmConfig config;
        int r;

        r = provision_tpm_config(d->options->config, &config, err);
        if (r < 0)
                return r;
        r = tpm_new(&config, NULL, &d->tpm, err);
        tpm_config_done(&config);
        if (r >= 0)
                r = tpm_provision_srk(d->tpm, NULL, srk_name, &changed, err);
        if (r >= 0 && changed)
                (void) fprintf(stderr, "reseal-provision: storage root key made\n");
        return r < 0 ? r : 0;
}

/* 1 = it may be written, 0 = it is a data volume already and opens. */
static int look(const Data *d, RsError *err) {
        const char *device = d->options->device;
        int r;

        r = data_volume_look(d->fd, d->size, err);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = data_volume_check(device, d->tpm, err);
        if (r == 0 || d->options->erase) {
                *err = RS_ERROR_INIT;
                return d->options->erase ? 1 : 0;
        }
        if (err->reason != RS_REASON_VOLUME)
                return rs_context(err, "%s is a data volume that does not open (--erase would destroy it)", device);
        *err = RS_ERROR_INIT;
        return rs_fail(err, TARGET, "%s is not blank and no data volume; --erase would destroy what it holds", device);
}

/* Eight groups of four hexadecimal digits. */
static int make_recovery(Secret **ret, RsError *err) {
        static const char digits[] = "0123456789abcdef";
        _cleanup_(secret_freep) Secret *random = secret_new_random(RECOVERY_BYTES), *text = secret_new(RECOVERY_SIZE);
        uint8_t *to;

        if (!random || !text)
                return rs_fail_oom(err);
        to = secret_bytes_mut(text);
        for (unsigned i = 0; i < RECOVERY_BYTES; i++) {
                uint8_t byte = secret_bytes(random)[i];

                if (i > 0 && i % 2 == 0)
                        *to++ = '-';
                *to++ = (uint8_t) digits[byte >> 4];
                *to++ = (uint8_t) digits[byte & 15];
        }
        *ret = TAKE_PTR(text);
        return 0;
}

static int give_recovery(const char *path, Secret **ret, RsError *err) {
        int r;

        if (strcmp(path, "-") != 0) {
                /* of a run that was cut: nothing was written with it, or it would open */
                r = file_read_secret(AT_FDCWD, path, RECOVERY_SIZE + 1, ret, err);
                if (r < 0)
                        return r;
                if (r > 0 && secret_size(*ret) != RECOVERY_SIZE)
                        return rs_fail(err, INVALID, "%s is there and holds no recovery passphrase", path);
                if (r > 0)
                        return 0;
        }
        r = make_recovery(ret, err);
        if (r < 0)
                return r;
        if (strcmp(path, "-") != 0)
                return file_replace(AT_FDCWD, path, secret_span(*ret), 0600, err);
        if (fwrite(secret_bytes(*ret), 1, RECOVERY_SIZE, stdout) != RECOVERY_SIZE || fputc('\n', stdout) == EOF ||
            fflush(stdout) != 0)
                return rs_fail_errno(err, errno, "standard output");
        return 0;
}

static int commit(const Data *d, const char *header, RsError *err) {
        _cleanup_(closep) int fd = -EBADF;

        /* O_EXCL: nothing mounted, nothing open above it */
        fd = open(d->options->device, O_RDWR | O_CLOEXEC | (S_ISBLK(d->st.st_mode) ? O_EXCL | O_DIRECT : 0));
        if (fd < 0 && errno == EBUSY)
                return rs_fail(err, TARGET, "%s is in use", d->options->device);
        if (fd < 0)
                return rs_fail_errno(err, errno, "%s", d->options->device);
        return slot_volume_commit(fd, header, err);
}

static int write_volume(const Data *d, const Secret *recovery, RsError *err) {
        char directory[] = "/run/reseal-data.XXXXXX", header[sizeof(directory) + 8];
        int r;

        if (!mkdtemp(directory))
                return rs_fail_errno(err, errno, "%s", directory);
        (void) snprintf(header, sizeof(header), "%s/header", directory);
        r = data_volume_create(header, d->tpm, recovery, d->options->label, err);
        if (r == 0)
                r = commit(d, header, err);
        (void) unlink(header);
        (void) rmdir(directory);
        return r;
}

int verb_data(const Options *o, RsError *err) {
        _cleanup_(data_done) Data d = { .options = o, .fd = -EBADF };
        _cleanup_(secret_freep) Secret *recovery = NULL;
        int r;

        if (o->label && (o->label[0] == '\0' || strlen(o->label) > DATA_LABEL_MAX))
                return rs_fail(err, INVALID, "a label has 1 to %u bytes", DATA_LABEL_MAX);
        r = open_device(&d, err);
        if (r == 0)
                r = check_not_a_slot(&d, err);
        if (r == 0)
                r = open_tpm(&d, err);
        if (r == 0)
                r = look(&d, err);
        if (r < 0)
                return r;
        if (r == 0) {
                (void) fprintf(stderr, "reseal-provision: %s opens with this TPM; nothing changed\n", o->device);
                return 0;
        }
        r = o->recovery_key ? give_recovery(o->recovery_key, &recovery, err) : 0;
        if (r == 0)
                r = write_volume(&d, recovery, err);
        if (r == 0)
                r = data_volume_check(o->device, d.tpm, err);
        if (r < 0)
                return r;
        (void) fprintf(stderr, "reseal-provision: data volume made on %s%s; it needs a file system\n", o->device,
                       !recovery ? ", without a recovery key"
                       : strcmp(o->recovery_key, "-") == 0 ? "; the recovery key was printed and is not kept"
                                                           : "; take the recovery key off this device");
        return 0;
}
