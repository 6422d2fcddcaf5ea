/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * volume - LUKS2 headers, by libcryptsetup into a file, by us from the file to the slot.
 *
 * The header is complete before the first byte of the image is written: volume key, one key slot, the token with
 * its final policy.  It waits in a file of the writer's state directory, so a resumed installation gets the same volume
 * key back by unsealing, and no key lies anywhere in clear (W1).  The segment size in it is "dynamic", which is why
 * the same bytes are right for a slot of any size.
 *
 * On the slot the order is: erase (the old key is gone before new data comes, W3), data, and the header last (W6):
 * key slots and secondary copy, flush, primary copy, flush.  A cut before the first flush leaves no header, one
 * after it a header that libcryptsetup repairs; the boot flag turns later in any case.  The trust area at the end of
 * the header area belongs to no installation: erase and commit go around it (trust-area.h).
 *
 * The passphrase is 256 random bits in hexadecimal, so PBKDF2 with 1000 iterations is no weakness; Argon2 would only
 * ask for memory in the initramfs, and GRUB could not read it.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/format/limits.h>
#include <reseal/slot/trust-area.h>
#include <reseal/slot/volume.h>

#include "luks.h"
#include "medium.h"

#define METADATA_SIZE 16384u       /* one copy of the header */
#define KEYSLOTS_SIZE (2u << 20)
#define ROOM_SIZE (1u << 20)       /* behind the header, see create_file */
#define PIECE_SIZE (128u << 10)
#define SECTOR_SIZE 512u

static int add_key_slot(Luks *l, int number, const Secret *key, const Secret *passphrase, RsError *err) {
        int r = crypt_keyslot_add_by_volume_key(l->cd, number, (const char *) secret_bytes(key), secret_size(key),
                                                (const char *) secret_bytes(passphrase), secret_size(passphrase));

        return r < 0 ? luks_failed(l, r, "key slot", err) : 0;
}

static int format(Luks *l, const LuksHeader *h, const Secret *passphrase, RsError *err) {
        static const struct crypt_pbkdf_type kdf = {
                .type = CRYPT_KDF_PBKDF2,
                .hash = "sha512",
                .iterations = LUKS_PBKDF2_ITERATIONS,
                .time_ms = 1,
                .flags = CRYPT_PBKDF_NO_BENCHMARK,
        };
        struct crypt_params_luks2 params = { .sector_size = RS_BLOCK_SIZE, .pbkdf = &kdf, .label = h->label };
        int r;

        r = crypt_set_metadata_size(l->cd, METADATA_SIZE, KEYSLOTS_SIZE);
        if (r == 0)
                r = crypt_set_data_offset(l->cd, SLOT_DATA_OFFSET / SECTOR_SIZE);
        if (r == 0)
                r = crypt_format(l->cd, CRYPT_LUKS2, "aes", "xts-plain64", NULL,
                                 (const char *) secret_bytes(h->key), secret_size(h->key), &params);
        if (r < 0)
                return luks_failed(l, r, "format", err);
        r = add_key_slot(l, 0, h->key, passphrase, err);
        if (r == 0 && h->recovery)
                r = add_key_slot(l, 1, h->key, h->recovery, err);
        if (r < 0)
                return r;
        r = crypt_token_json_set(l->cd, 0, h->token);
        return r < 0 ? luks_failed(l, r, "token", err) : 0;
}

/* A file that nobody but us can read, large enough for libcryptsetup to believe in a data segment. */
static int create_file(const char *path, RsError *err) {
        _cleanup_(closep) int fd = -EBADF;

        if (unlink(path) < 0 && errno != ENOENT)
                return rs_fail_errno(err, errno, "%s", path);
        fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0 || ftruncate(fd, (off_t) SLOT_DATA_OFFSET + ROOM_SIZE) < 0)
                return rs_fail_errno(err, errno, "%s", path);
        return 0;
}

static int sync_parent(const char *path, RsError *err) {
        _cleanup_(freep) char *copy = strdup(path);
        _cleanup_(closep) int fd = -EBADF;

        if (!copy)
                return rs_fail_oom(err);
        fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || fsync(fd) < 0)
                return rs_fail_errno(err, errno, "directory of %s", path);
        return 0;
}

/* The header alone, on the medium, under its final name. */
static int publish(const char *temp, const char *path, RsError *err) {
        _cleanup_(closep) int fd = open(temp, O_RDWR | O_NOFOLLOW | O_CLOEXEC);

        if (fd < 0 || ftruncate(fd, SLOT_DATA_OFFSET) < 0 || fsync(fd) < 0 || rename(temp, path) < 0)
                return rs_fail_errno(err, errno, "%s", path);
        return sync_parent(path, err);
}

static int make_header(const char *path, const LuksHeader *h, RsError *err) {
        _cleanup_(secret_freep) Secret *passphrase = NULL;
        _cleanup_(luks_done) Luks v = { 0 };
        int r;

        r = slot_passphrase(h->sealed, &passphrase, err);
        if (r == 0)
                r = create_file(path, err);
        if (r == 0)
                r = luks_init(&v, path, err);
        return r < 0 ? r : format(&v, h, passphrase, err);
}

int luks_write_header(const char *path, const LuksHeader *header, RsError *err) {
        char temp[PATH_MAX];
        int r;

        if ((size_t) snprintf(temp, sizeof(temp), "%s.new", path) >= sizeof(temp))
                return rs_fail_errno(err, ENAMETOOLONG, "%s", path);
        r = make_header(temp, header, err);
        if (r == 0)
                r = publish(temp, path, err);
        if (r < 0)
                (void) unlink(temp); /* half a header is of no use to anyone */
        return r;
}

int slot_volume_create(const char *path, uint64_t slot_size, Tpm *tpm, uint64_t floor_max,
                       const uint8_t bundle_id[32], Secret **ret_volume_key, RsError *err) {
        _cleanup_(secret_freep) Secret *key = secret_new_random(SLOT_VOLUME_KEY_SIZE);
        _cleanup_(secret_freep) Secret *secret = secret_new_random(TPM_SEALED_SECRET_SIZE);
        _cleanup_(freep) char *token = NULL;
        TpmSealed sealed;
        int r;

        if (!key || !secret)
                return rs_fail_oom(err);
        if (slot_size <= SLOT_DATA_OFFSET)
                return rs_fail(err, SIZE, "a slot of %llu bytes has no room for a header", (unsigned long long) slot_size);
        r = tpm_seal(tpm, secret, floor_max, &sealed, err);
        if (r == 0)
                r = slot_token_encode(&sealed, bundle_id, &token, err);
        if (r == 0)
                r = luks_write_header(path, &(LuksHeader){ .key = key, .sealed = secret, .token = token }, err);
        if (r < 0)
                return r;
        *ret_volume_key = TAKE_PTR(key);
        return 0;
}

static int load(Luks *l, const char *path, const char **ret_token, RsError *err) {
        struct stat st;
        int r;

        if (lstat(path, &st) < 0)
                return rs_fail(err, VOLUME, "%s: %s", path, strerror(errno));
        if (!S_ISREG(st.st_mode) || st.st_size != (off_t) SLOT_DATA_OFFSET || (st.st_mode & 077) != 0)
                return rs_fail(err, VOLUME, "%s: not a header file of ours", path);
        r = luks_init(l, path, err);
        if (r < 0)
                return r;
        r = crypt_load(l->cd, CRYPT_LUKS2, NULL);
        if (r < 0)
                return luks_failed(l, r, path, err);
        r = luks_check_shape(l, err);
        if (r < 0)
                return r;
        r = crypt_token_json_get(l->cd, 0, ret_token);
        return r < 0 ? luks_failed(l, r, "token", err) : 0;
}

int slot_volume_resume(const char *path, Tpm *tpm, Secret **ret_volume_key, RsError *err) {
        _cleanup_(secret_freep) Secret *key = secret_new(SLOT_VOLUME_KEY_SIZE);
        _cleanup_(secret_freep) Secret *secret = NULL, *passphrase = NULL;
        _cleanup_(luks_done) Luks v = { 0 };
        size_t size = SLOT_VOLUME_KEY_SIZE;
        const char *token = NULL;
        uint8_t bundle_id[32];
        TpmSealed sealed;
        int key_slot = 0, r;

        if (!key)
                return rs_fail_oom(err);
        r = load(&v, path, &token, err);
        if (r == 0)
                r = luks_check_cost(v.cd, 0, &key_slot, err);
        if (r == 0)
                r = slot_token_parse(token, &sealed, bundle_id, err);
        if (r == 0)
                r = tpm_unseal(tpm, &sealed, &secret, err);
        if (r == 0)
                r = slot_passphrase(secret, &passphrase, err);
        if (r < 0)
                return r;
        r = crypt_volume_key_get(v.cd, key_slot, (char *) secret_bytes_mut(key), &size,
                                 (const char *) secret_bytes(passphrase), secret_size(passphrase));
        if (r < 0)
                return luks_failed(&v, r, "volume key", err);
        *ret_volume_key = TAKE_PTR(key);
        return 0;
}

/* -- on the slot ---------------------------------------------------------------------------------- */

static int flush(int fd, RsError *err) {
        return fdatasync(fd) < 0 ? rs_fail_errno(err, errno, "slot, flushing the header") : 0;
}

/*
 * What belongs into the header area, piece by piece: from the header file, or zeros without one.  Both buffers are
 * aligned for O_DIRECT and of PIECE_SIZE: a mapping as large as the header would cost a page fault per 4 KiB of it.
 */
typedef struct Area {
        int slot_fd;
        int file_fd;           /* -EBADF: zeros */
        uint8_t *want, *got;
} Area;

static void area_done(Area *a) {
        closep(&a->file_fd);
        free(a->want);
        free(a->got);
}

static int area_open(int slot_fd, const char *path, Area *ret, RsError *err) {
        _cleanup_(area_done) Area a = { .slot_fd = slot_fd, .file_fd = -EBADF };
        struct stat st;

        a.want = medium_buffer_new(PIECE_SIZE);
        a.got = medium_buffer_new(PIECE_SIZE);
        if (!a.want || !a.got)
                return rs_fail_oom(err);
        memset(a.want, 0, PIECE_SIZE);
        if (path) {
                a.file_fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
                if (a.file_fd < 0 && errno == ENOENT)
                        return rs_fail(err, VOLUME, "%s: no header file", path);
                if (a.file_fd < 0 || fstat(a.file_fd, &st) < 0)
                        return rs_fail_errno(err, errno, "%s", path);
                if (!S_ISREG(st.st_mode) || st.st_size != (off_t) SLOT_DATA_OFFSET)
                        return rs_fail(err, VOLUME, "%s: no header file", path);
        }
        *ret = (Area){
                .slot_fd = slot_fd,
                .file_fd = TAKE_FD(a.file_fd),
                .want = TAKE_PTR(a.want),
                .got = TAKE_PTR(a.got),
        };
        return 0;
}

static int area_want(const Area *a, size_t at, size_t size, RsError *err) {
        int r;

        if (a->file_fd < 0)
                return 0;
        r = file_pread_all(a->file_fd, a->want, size, at, err);
        return r < 0 ? rs_context(err, "header file") : 0;
}

static int write_area(const Area *a, size_t from, size_t to, RsError *err) {
        for (size_t at = from; at < to;) {
                size_t n = to - at < PIECE_SIZE ? to - at : PIECE_SIZE;
                int r;

                r = area_want(a, at, n, err);
                if (r < 0)
                        return r;
                r = file_pwrite_all(a->slot_fd, a->want, n, at, err);
                if (r < 0)
                        return rs_context(err, "slot, writing the header");
                at += n;
        }
        return 0;
}

static int check_area(const Area *a, RsError *err) {
        for (size_t at = 0; at < SLOT_TRUST_OFFSET; at += PIECE_SIZE) {
                int r;

                r = area_want(a, at, PIECE_SIZE, err);
                if (r < 0)
                        return r;
                r = file_pread_all(a->slot_fd, a->got, PIECE_SIZE, at, err);
                if (r < 0)
                        return rs_context(err, "slot, reading the header");
                if (memcmp(a->got, a->want, PIECE_SIZE) != 0)
                        return rs_fail(err, READ_BACK, "the header area at %zu", at);
        }
        return 0;
}

int slot_volume_erase(int slot_fd, RsError *err) {
        _cleanup_(area_done) Area a = { .file_fd = -EBADF };
        int r;

        r = area_open(slot_fd, NULL, &a, err);
        if (r == 0)
                r = write_area(&a, 0, SLOT_TRUST_OFFSET, err);
        if (r == 0)
                r = flush(slot_fd, err);
        if (r == 0)
                r = check_area(&a, err);
        return r < 0 ? r : trust_area_clean(slot_fd, err);
}

int slot_volume_commit(int slot_fd, const char *path, RsError *err) {
        _cleanup_(area_done) Area a = { .file_fd = -EBADF };
        int r;

        r = area_open(slot_fd, path, &a, err);
        if (r == 0)
                r = write_area(&a, METADATA_SIZE, SLOT_TRUST_OFFSET, err);
        if (r == 0)
                r = flush(slot_fd, err);
        if (r == 0)
                r = write_area(&a, 0, METADATA_SIZE, err);
        if (r == 0)
                r = flush(slot_fd, err);
        return r < 0 ? r : check_area(&a, err);
}
