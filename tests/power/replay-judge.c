/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * replay-judge - is this medium one that a device comes back from?
 *
 *   R1 GRUB, by conf/boot/grub/reseal.cfg, finds a slot; each it would ever try, by its environment or by the last
 *      good order, is complete to the byte and its key opens at the TPM's floor (I2)
 *   R2 our reader of the environment says the same as GRUB's
 *   R3 what is startable is known to slot-NAME.info with its release (W10 and W11 need its N)
 *   R4 the TPM has accepted a release only when all of it is in the target (W7 behind W6); the target is started only
 *      behind that (W8 behind W7)
 *   R5 an install record reads; windows and steps it claims are on the medium (W1 to W8), its volume key is the one
 *      under which they were written (I4)
 *   R6 the running slot has its bytes (I1): nothing of it is ever in the log, replay.c asserts
 *
 * Record, bitmap, slot-NAME.info and environment are read by the project's own code from a scratch directory.  GRUB's
 * reading is written here a second time, as lenient as GRUB's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/slot/layout.h>

#include "replay.h"

/* -- GRUB ------------------------------------------------------------------------------------------------------- */

#define SIGNATURE "# GRUB Environment Block\n"

/* grub_envblk_iterate: the last value of a name counts. */
static bool grub_value(const FileView *f, const char *name, char ret[40]) {
        const char *p = (const char *) f->bytes + strlen(SIGNATURE), *end = (const char *) f->bytes + f->size;
        bool found = false;

        while (p < end) {
                const char *start = p, *equals, *value;

                if (*p != '#') {
                        while (p < end && *p != '=')
                                p++;
                        equals = p;
                        value = p < end ? p + 1 : p;
                        for (p = value; p < end && *p != '\n'; p++)
                                if (*p == '\\')
                                        p++;
                        if (p >= end)
                                break;
                        if ((size_t) (equals - start) == strlen(name) && memcmp(start, name, strlen(name)) == 0) {
                                (void) snprintf(ret, 40, "%.*s", (int) (p - value), value);
                                found = true;
                        }
                }
                while (p < end && *p != '\n')
                        p++;
                p++;
        }
        return found;
}

static bool signed_block(const FileView *f) {
        return f && f->size >= strlen(SIGNATURE) && memcmp(f->bytes, SIGNATURE, strlen(SIGNATURE)) == 0;
}

static void last_good(const FileView *good, char ret[4]) {
        char order[40] = "";
        size_t n = 0;

        if (signed_block(good))
                (void) grub_value(good, "GOOD_ORDER", order);
        for (const char *p = order; *p != '\0' && n < 2; p++)
                if (*p == 'A' || *p == 'B')
                        ret[n++] = *p;
}

void loader_look(const FileView *env, const FileView *good, Loader *ret) {
        static const char *const names[] = { "ORDER", "A_OK", "A_TRY", "B_OK", "B_TRY" };
        char values[5][40] = { "", "", "", "", "" };
        size_t n = 0;

        memset(ret, 0, sizeof(*ret));
        for (unsigned i = 0; signed_block(env) && i < 5; i++)
                (void) grub_value(env, names[i], values[i]);
        ret->damaged = (strcmp(values[0], "A B") != 0 && strcmp(values[0], "B A") != 0);
        for (unsigned i = 1; i < 5; i++) {
                const char *most = i % 2 == 1 ? "1" : "9";

                if (strlen(values[i]) != 1 || values[i][0] < '0' || values[i][0] > *most)
                        ret->damaged = true;
        }
        last_good(good, ret->good);
        for (unsigned i = 0; !ret->damaged && i < 2; i++) {
                char slot = values[0][2 * i];
                const char *ok = slot == 'A' ? values[1] : values[3], *left = slot == 'A' ? values[2] : values[4];

                if (*ok == '1' || *left != '0')
                        ret->starts[n++] = slot;
        }
}

char loader_start(const TestDevice *d) {
        uint8_t bytes[1024], good_bytes[1024];
        FileView env = { .bytes = bytes }, good = { .bytes = good_bytes };
        _cleanup_(closep) int fd = open(d->grubenv, O_RDWR | O_CLOEXEC);
        _cleanup_(closep) int good_fd = open(d->good, O_RDONLY | O_CLOEXEC);
        char ok[40] = "", left[40] = "", name[8];
        Loader l;

        assert_true(fd >= 0 && pread(fd, bytes, sizeof(bytes), 0) == (ssize_t) sizeof(bytes));
        env.size = sizeof(bytes);
        if (good_fd >= 0 && pread(good_fd, good_bytes, sizeof(good_bytes), 0) == (ssize_t) sizeof(good_bytes))
                good.size = sizeof(good_bytes);
        loader_look(&env, &good, &l);
        if (l.starts[0] == '\0')
                return l.good[0] == '\0' ? 'A' : l.good[0];
        (void) snprintf(name, sizeof(name), "%c_OK", l.starts[0]);
        (void) grub_value(&env, name, ok);
        (void) snprintf(name, sizeof(name), "%c_TRY", l.starts[0]);
        (void) grub_value(&env, name, left);
        /* An attempt less of a trial; of a good slot a start more, which the writer forgets when it runs. */
        for (size_t i = 0; i + 7 <= sizeof(bytes); i++)
                if (memcmp(bytes + i, name, 5) == 0 && bytes[i + 5] == '=') {
                        bytes[i + 6] = (uint8_t) (ok[0] == '0' ? left[0] - 1 : left[0] < '3' ? left[0] + 1 : '3');
                        assert_int_equal(pwrite(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
                        break;
                }
        return l.starts[0];
}

/* -- one medium ------------------------------------------------------------------------------------------------- */

struct Judge {
        JudgeFacts facts;
        char dir[100];
        int dir_fd;
        Boot *boot;
        DiskFile cache[FILES_MAX];   /* what the scratch directory has */
        uint32_t n_cache;
        char text[200];
};

static const FileView *file_of(const Medium *m, DirId dir, const char *name) {
        for (uint32_t i = 0; i < m->n_files; i++)
                if (m->files[i].dir == dir && strcmp(m->files[i].name, name) == 0)
                        return &m->files[i];
        return NULL;
}

/* The scratch directory gets the file as it is on the medium. */
static bool lay_out(Judge *j, const Medium *m, DirId dir, const char *name) {
        const FileView *f = file_of(m, dir, name);
        _cleanup_(closep) int fd = -EBADF;
        DiskFile *c = NULL;

        for (uint32_t i = 0; i < j->n_cache; i++)
                if (strcmp(j->cache[i].name, name) == 0)
                        c = &j->cache[i];
        if (!c) {
                c = &j->cache[j->n_cache++];
                (void) snprintf(c->name, sizeof(c->name), "%s", name);
                c->size = SIZE_MAX; /* not there */
        }
        if (!f) {
                if (c->size != SIZE_MAX)
                        assert_int_equal(unlinkat(j->dir_fd, name, 0), 0);
                c->size = SIZE_MAX;
                return false;
        }
        if (c->size == f->size && (f->size == 0 || memcmp(c->bytes, f->bytes, f->size) == 0))
                return true;
        free(c->bytes);
        c->bytes = malloc(f->size + 1);
        assert_non_null(c->bytes);
        if (f->size > 0)
                memcpy(c->bytes, f->bytes, f->size);
        c->size = f->size;
        fd = openat(j->dir_fd, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        assert_true(fd >= 0 && pwrite(fd, c->bytes, c->size, 0) == (ssize_t) c->size);
        return true;
}

/* What is in the slots of a boot name, complete; NULL: nothing that could start. */
static const Version *version_of(const Judge *j, const Medium *m, uint32_t boot) {
        const SlotView *rootfs = &m->slots[boot], *kernel = &m->slots[2 + boot];

        if (rootfs->as_after && kernel->as_after && j->facts.after[boot].complete)
                return &j->facts.after[boot];
        if (rootfs->as_before && kernel->as_before && j->facts.before[boot].complete)
                return &j->facts.before[boot];
        return NULL;
}

static const char *judge_start(Judge *j, const Medium *m, char name, const char *by) {
        const Version *v = version_of(j, m, (uint32_t) (name - 'A'));
        InstallSlot info;
        RsError err = RS_ERROR_INIT;
        char file[NAME_SIZE], boot[2] = { name, '\0' };

        (void) snprintf(file, sizeof(file), INSTALL_FILE_SLOT, boot);
        if (!v)
                (void) snprintf(j->text, sizeof(j->text), "R1: %s starts %c, which is not complete", by, name);
        else if (m->tpm->floor > v->floor_max)
                (void) snprintf(j->text, sizeof(j->text), "R1: %s starts %c, whose key does not open: floor %llu", by,
                                name, (unsigned long long) m->tpm->floor);
        else if (v->release > 0 && (!lay_out(j, m, DIR_STATE, file) ||
                                    install_slot_load(j->dir_fd, boot, &info, &err) <= 0 ||
                                    info.release != v->release || info.floor_max != v->floor_max))
                (void) snprintf(j->text, sizeof(j->text), "R3: %s starts %c, and %s does not tell its release %llu", by,
                                name, file, (unsigned long long) v->release);
        else if (v->release > m->tpm->release)
                (void) snprintf(j->text, sizeof(j->text), "R4: %s starts %c, whose release was not accepted", by, name);
        else
                return NULL;
        return j->text;
}

static const char *judge_loader(Judge *j, const Medium *m, Loader *ret) {
        RsError err = RS_ERROR_INIT;
        const char *wrong = NULL;
        BootState state;
        int r;

        loader_look(file_of(m, DIR_BOOT, "grubenv"), file_of(m, DIR_BOOT, "grubenv.good"), ret);
        for (const char *p = ret->starts; !wrong && *p != '\0'; p++)
                wrong = judge_start(j, m, *p, "the environment");
        for (const char *p = ret->good; !wrong && *p != '\0'; p++)
                wrong = judge_start(j, m, *p, "the last good order");
        if (wrong)
                return wrong;
        if (ret->starts[0] == '\0' && ret->good[0] == '\0' && !version_of(j, m, 0) && !version_of(j, m, 1))
                return "R1: no slot can be started";
        if (ret->starts[0] == '\0' && !ret->damaged)
                return "R1: the environment starts nothing";
        if (!lay_out(j, m, DIR_BOOT, "grubenv"))
                return "R2: there is no environment";
        r = boot_read(j->boot, &state, &err);
        if ((r < 0) != ret->damaged || (r == 0 && state.primary[0] != ret->starts[0]))
                return "R2: GRUB and we read different things";
        return NULL;
}

static const char *judge_claims(Judge *j, const Medium *m, const InstallRecord *record) {
        RsError err = RS_ERROR_INIT;
        _cleanup_(closep) int fd = -EBADF;
        uint8_t bits[(INSTALL_WINDOWS_MAX + 7) / 8];

        if (!lay_out(j, m, DIR_STATE, INSTALL_FILE_BITMAP) ||
            install_bitmap_open(j->dir_fd, record, &fd, &err) <= 0)
                return "R5: the record has no bitmap";
        for (uint32_t k = 0; k < record->n_images; k++) {
                const SlotView *slot = &m->slots[2 * k + j->facts.target];

                if (install_bitmap_read(fd, record, k, bits, &err) < 0)
                        return "R5: the bitmap cannot be read";
                for (uint32_t w = 0; w < record->images[k].n_windows && w < WINDOWS; w++)
                        if ((bits[0] & (1u << w)) != 0 && !slot->window_after[w]) {
                                (void) snprintf(j->text, sizeof(j->text), "R5: window %u of image %u is not what the "
                                                "bitmap claims", w, k);
                                return j->text;
                        }
                if ((record->images[k].finished || record->step >= INSTALL_W5_FINISH) && !slot->data_after)
                        return "R5: an image that is finished is not complete";
                if (record->step >= INSTALL_W6_COMMIT && !slot->header_after)
                        return "R5: a header that was committed is not complete";
        }
        return NULL;
}

static const char *judge_record(Judge *j, const Medium *m, const Loader *l) {
        RsError err = RS_ERROR_INIT;
        const FileView *header;
        InstallRecord record;
        int r;

        if (!lay_out(j, m, DIR_STATE, INSTALL_FILE_RECORD))
                return NULL;
        r = install_record_load(j->dir_fd, &record, &err);
        if (r <= 0)
                return "R5: the record is damaged";
        if (memcmp(record.nonce, j->facts.nonce, sizeof(record.nonce)) != 0)
                return NULL; /* of an attempt before */
        header = file_of(m, DIR_STATE, "header-0.luks");
        if (!header || header->size != SLOT_DATA_OFFSET ||
            memcmp(header->bytes, j->facts.after_disk->slots[j->facts.target], SLOT_DATA_OFFSET) != 0)
                return "R5: the header file is not the one of the volume";
        if (record.step >= INSTALL_W7_ACCEPT && m->tpm->release < record.release)
                return "R5: the TPM has not accepted what the record claims";
        if (record.step >= INSTALL_W8_TRY && l->starts[0] != (char) ('A' + j->facts.target))
                return "R5: the target is not first";
        if (record.step >= INSTALL_W3_ERASE && record.step < INSTALL_W5_FINISH &&
            !m->slots[j->facts.target].header_zero)
                return "R5: the old header was erased and is there";
        return judge_claims(j, m, &record);
}

const char *judge_medium(Judge *j, const Medium *m) {
        const char *wrong;
        Loader l;

        wrong = judge_loader(j, m, &l);
        if (wrong)
                return wrong;
        if (j->facts.accepts && m->tpm->release >= j->facts.release &&
            version_of(j, m, j->facts.target) != &j->facts.after[j->facts.target])
                return "R4: a release was accepted and is not complete";
        return judge_record(j, m, &l);
}

Judge *judge_new(const TestDevice *d, const JudgeFacts *facts) {
        Judge *j = calloc(1, sizeof(*j));
        RsError err = RS_ERROR_INIT;
        BootConfig c = { 0 };
        char path[128];

        assert_non_null(j);
        j->facts = *facts;
        (void) snprintf(j->dir, sizeof(j->dir), "%.60s/judge", d->dir);
        assert_int_equal(mkdir(j->dir, 0700), 0);
        j->dir_fd = open(j->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(j->dir_fd >= 0);
        (void) snprintf(path, sizeof(path), "%s/grubenv", j->dir);
        assert_int_equal(boot_config_set(&c, "backend", "grub", &err), 1);
        assert_int_equal(boot_config_set(&c, "path", path, &err), 1);
        assert_int_equal(boot_config_set(&c, "names", "A B", &err), 1);
        if (boot_open(&c, &j->boot, &err) < 0)
                fail_msg("%s", err.text);
        boot_config_done(&c);
        return j;
}

Judge *judge_free(Judge *j) {
        for (uint32_t i = 0; i < j->n_cache; i++) {
                if (j->cache[i].size != SIZE_MAX)
                        (void) unlinkat(j->dir_fd, j->cache[i].name, 0);
                free(j->cache[i].bytes);
        }
        (void) close(j->dir_fd);
        (void) rmdir(j->dir);
        j->boot = boot_close(j->boot);
        free(j);
        return NULL;
}
