/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* LUKS2 headers: made in a file with a secret of a software TPM, erased and committed on a slot, read by cryptsetup. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <libcryptsetup.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/clock.h>
#include <reseal/base/file.h>
#include <reseal/slot/volume.h>

#include "../tpm/swtpm.h"

#define MIB (1u << 20)
#define SLOT_SIZE (16ull * MIB)

/* The write that fails, counted from 0; UINT_MAX: none.  A power cut looks like this to what is on the medium. */
static unsigned fail_write = UINT32_MAX, n_writes;
static int fail_errnum = EIO;

ssize_t __real_pwrite64(int fd, const void *bytes, size_t size, off_t offset);
ssize_t __wrap_pwrite64(int fd, const void *bytes, size_t size, off_t offset);
ssize_t __real_pread64(int fd, void *bytes, size_t size, off_t offset);
ssize_t __wrap_pread64(int fd, void *bytes, size_t size, off_t offset);
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);

ssize_t __wrap_pwrite64(int fd, const void *bytes, size_t size, off_t offset) {
        if (n_writes++ == fail_write) {
                n_writes--;
                errno = fail_errnum;
                return -1;
        }
        return __real_pwrite64(fd, bytes, size, offset);
}

ssize_t __wrap_pread64(int fd, void *bytes, size_t size, off_t offset) {
        return __real_pread64(fd, bytes, size, offset);
}

static const char *flip_path; /* the next flush changes a byte of this file */

int __wrap_fdatasync(int fd) {
        if (flip_path) {
                int other = open(flip_path, O_RDWR | O_CLOEXEC);

                if (other < 0 || __real_pwrite64(other, "x", 1, MIB + 3) != 1 || close(other) < 0)
                        abort();
                flip_path = NULL;
        }
        return __real_fdatasync(fd);
}

static Device device;

typedef struct Fixture {
        char directory[64], header[96], slot[96];
        uint8_t bundle_id[32];
        Tpm *tpm;
        int fd;
} Fixture;

__attribute__((format(printf, 1, 2)))
static int run(const char *format, ...) {
        char command[1536];
        va_list ap;

        va_start(ap, format);
        (void) vsnprintf(command, sizeof(command), format, ap);
        va_end(ap);
        return system(command);
}

static int group_start(void **state) {
        (void) state;
        device_make(&device);
        return 0;
}

static int group_done(void **state) {
        (void) state;
        device_done(&device);
        return 0;
}

static int start(void **state) {
        Fixture *f = calloc(1, sizeof(*f));

        assert_non_null(f);
        fail_write = UINT32_MAX;
        n_writes = 0;
        flip_path = NULL;
        (void) strcpy(f->directory, "/tmp/reseal-test-volume-XXXXXX");
        assert_non_null(mkdtemp(f->directory));
        (void) snprintf(f->header, sizeof(f->header), "%s/header", f->directory);
        (void) snprintf(f->slot, sizeof(f->slot), "%s/slot", f->directory);
        assert_int_equal(run("head -c 16M /dev/urandom > %s", f->slot), 0);
        f->fd = open(f->slot, O_RDWR | O_DIRECT | O_CLOEXEC);
        assert_true(f->fd >= 0);
        memset(f->bundle_id, 0xb1, 32);
        f->tpm = device_tpm(&device, false);
        *state = f;
        return 0;
}

static int done(void **state) {
        Fixture *f = *state;

        fail_write = UINT32_MAX;
        f->tpm = tpm_free(f->tpm);
        (void) close(f->fd);
        assert_int_equal(run("rm -rf '%s'", f->directory), 0);
        free(f);
        return 0;
}

static void well(int r, const RsError *err) {
        if (r < 0)
                fail_msg("%s: %s (%s)", rs_reason_name(err->reason), err->text, err->origin);
}
#define WELL(call)                           \
        do {                                 \
                RsError err = RS_ERROR_INIT; \
                well(call, &err);            \
        } while (0)
#define FAILS(call, why)                                                                  \
        do {                                                                              \
                RsError err = RS_ERROR_INIT;                                              \
                assert_true((call) < 0);                                                  \
                if (err.reason != RS_REASON_##why)                                        \
                        fail_msg("%s: %s", rs_reason_name(err.reason), err.text);         \
        } while (0)

static uint64_t floor_now(Fixture *f) {
        TpmState s;

        WELL(tpm_state_read(f->tpm, &s, &err));
        return s.floor;
}

static void create(Fixture *f, Secret **ret) {
        WELL(slot_volume_create(f->header, SLOT_SIZE, f->tpm, floor_now(f), f->bundle_id, ret, &err));
}

static void a_header_gives_its_volume_key_back_to_this_tpm(void **state) {
        _cleanup_(secret_freep) Secret *key = NULL, *again = NULL, *other = NULL;
        Fixture *f = *state;
        struct stat st;

        create(f, &key);
        assert_int_equal(secret_size(key), SLOT_VOLUME_KEY_SIZE);
        assert_int_equal(stat(f->header, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        assert_int_equal(st.st_size, SLOT_DATA_OFFSET);
        WELL(slot_volume_resume(f->header, f->tpm, &again, &err));
        assert_true(secret_equal(key, again));
        assert_int_not_equal(run("test -e %s.new", f->header), 0);
        create(f, &other); /* replaces the file: a fresh key each time (T-reuse) */
        assert_false(secret_equal(key, other));
}

static void cryptsetup_reads_what_we_made(void **state) {
        _cleanup_(secret_freep) Secret *key = NULL;
        Fixture *f = *state;

        create(f, &key);
        assert_int_equal(run("cryptsetup isLuks --type luks2 %s", f->header), 0);
        assert_int_equal(run("cryptsetup --disable-locks luksDump %s > %s/dump 2>&1", f->header, f->directory), 0);
        assert_int_equal(run("grep -q 'offset: 4194304 .bytes' %s/dump", f->directory), 0);
        assert_int_equal(run("grep -q 'cipher: aes-xts-plain64' %s/dump", f->directory), 0);
        assert_int_equal(run("grep -q 'sector: 4096 ' %s/dump", f->directory), 0);
        assert_int_equal(run("grep -q '0: reseal' %s/dump", f->directory), 0);
        assert_int_equal(run("grep -q 'pbkdf2' %s/dump", f->directory), 0);
        assert_int_equal(run("grep -q 'Length:  (whole device)\\|length: (whole device)' %s/dump", f->directory), 0);
}

static void what_cannot_be_made_leaves_nothing_behind(void **state) {
        _cleanup_(secret_freep) Secret *key = NULL;
        Fixture *f = *state;

        FAILS(slot_volume_create(f->header, SLOT_DATA_OFFSET, f->tpm, 1, f->bundle_id, &key, &err), SIZE);
        FAILS(slot_volume_create("/nonexistent/header", SLOT_SIZE, f->tpm, 1, f->bundle_id, &key, &err), IO);
        assert_int_equal(mkdir(f->header, 0700), 0);
        FAILS(slot_volume_create(f->header, SLOT_SIZE, f->tpm, 1, f->bundle_id, &key, &err), IO);
        assert_null(key);
        assert_int_not_equal(run("test -e %s.new", f->header), 0);
}

static void header_files_that_are_not_ours_are_refused(void **state) {
        _cleanup_(secret_freep) Secret *key = NULL, *none = NULL;
        Fixture *f = *state;

        FAILS(slot_volume_resume(f->header, f->tpm, &none, &err), VOLUME);
        create(f, &key);
        assert_int_equal(chmod(f->header, 0640), 0);
        FAILS(slot_volume_resume(f->header, f->tpm, &none, &err), VOLUME);
        assert_int_equal(chmod(f->header, 0600), 0);
        /* Both copies of the metadata gone. */
        assert_int_equal(run("dd if=/dev/zero of=%s bs=32K count=1 conv=notrunc status=none", f->header), 0);
        FAILS(slot_volume_resume(f->header, f->tpm, &none, &err), VOLUME);
        create(f, &none);
        none = secret_free(none);
        /* Key slot area altered: the passphrase opens nothing. */
        assert_int_equal(run("dd if=/dev/urandom of=%s bs=32K seek=1 count=8 conv=notrunc status=none", f->header), 0);
        FAILS(slot_volume_resume(f->header, f->tpm, &none, &err), VOLUME);
        create(f, &none);
        none = secret_free(none);
        assert_int_equal(run("cryptsetup --disable-locks token remove --token-id 0 %s", f->header), 0);
        FAILS(slot_volume_resume(f->header, f->tpm, &none, &err), VOLUME);
        /* Another cipher, another offset */
        assert_int_equal(run("truncate -s 0 %s; truncate -s 20M %s; echo word | cryptsetup --disable-locks -q luksFormat "
                             "--type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --offset 8192 "
                             "--luks2-metadata-size 16k --luks2-keyslots-size 2M --sector-size 512 %s 2>/dev/null && truncate -s 4M %s",
                             f->header, f->header, f->header, f->header), 0);
        FAILS(slot_volume_resume(f->header, f->tpm, &none, &err), VOLUME);
        assert_null(none);
}

/*
 * What the header says of the cost of opening it is whoever's has the disk.  Each is written into both copies, with the
 * checksums that libcryptsetup wants, and refused before anything is derived: at once.
 */
static void a_header_that_costs_more_than_ours_is_refused_at_once(void **state) {
        static const char *const edits[] = {
                "h['keyslots']['0']['kdf']['iterations'] = 2**32 - 1",
                "h['keyslots']['0']['kdf']['iterations'] = 1001",
                ("h['keyslots']['0']['kdf'].update(type='argon2id', time=2**31-1, memory=4194304, cpus=4); "
                 "[h['keyslots']['0']['kdf'].pop(k) for k in ('hash', 'iterations')]"),
                "h['digests']['0']['iterations'] = 2**32 - 1",
                "h['tokens']['0']['keyslots'] = []",
        };
        _cleanup_(secret_freep) Secret *key = NULL, *none = NULL;
        Fixture *f = *state;

        for (size_t i = 0; i < ELEMENTSOF(edits); i++) {
                uint64_t begin;

                key = secret_free(key);
                create(f, &key);
                assert_int_equal(run("python3 - %s \"%s\" <<'P'\n"
                                     "import hashlib, json, sys\n"
                                     "f = open(sys.argv[1], 'r+b')\n"
                                     "for at in (0, 16384):\n"
                                     "    f.seek(at); b = bytearray(f.read(16384))\n"
                                     "    h = json.loads(bytes(b[4096:]).split(b'\\0')[0]); exec(sys.argv[2])\n"
                                     "    b[4096:] = json.dumps(h).encode().ljust(12288, b'\\0')\n"
                                     "    b[448:512] = bytes(64); b[448:480] = hashlib.sha256(b).digest()\n"
                                     "    f.seek(at); f.write(b)\n"
                                     "P\n", f->header, edits[i]), 0);
                begin = clock_boottime_usec();
                FAILS(slot_volume_resume(f->header, f->tpm, &none, &err), VOLUME);
                assert_true(clock_boottime_usec() - begin < 5000000);
                assert_null(none);
        }
}

static void erasing_leaves_no_header_and_touches_no_data(void **state) {
        _cleanup_(secret_freep) Secret *key = NULL;
        Fixture *f = *state;

        create(f, &key);
        WELL(slot_volume_commit(f->fd, f->header, &err));
        assert_int_equal(run("tail -c +4194305 %s | sha256sum > %s/before", f->slot, f->directory), 0);
        WELL(slot_volume_erase(f->fd, &err));
        assert_int_not_equal(run("cryptsetup isLuks %s", f->slot), 0);
        assert_int_equal(run("test $(head -c 4194304 %s | tr -d '\\0' | wc -c) = 0", f->slot), 0);
        assert_int_equal(run("tail -c +4194305 %s | sha256sum | cmp -s - %s/before", f->slot, f->directory), 0);
}

static void a_committed_header_opens_with_its_secret(void **state) {
        _cleanup_(secret_freep) Secret *key = NULL, *again = NULL;
        Fixture *f = *state;

        create(f, &key);
        WELL(slot_volume_erase(f->fd, &err));
        WELL(slot_volume_commit(f->fd, f->header, &err));
        WELL(slot_volume_commit(f->fd, f->header, &err)); /* idempotent */
        assert_int_equal(run("cmp -s -n 4194304 %s %s", f->slot, f->header), 0);
        assert_int_equal(run("head -c 4194304 %s > %s/copy && chmod 600 %s/copy", f->slot, f->directory, f->directory), 0);
        (void) snprintf(f->header, sizeof(f->header), "%s/copy", f->directory);
        WELL(slot_volume_resume(f->header, f->tpm, &again, &err));
        assert_true(secret_equal(key, again));
}

/* After each cut the slot has no header, or one that cryptsetup accepts, and the commit can be repeated. */
static void a_commit_cut_anywhere_can_be_repeated(void **state) {
        _cleanup_(secret_freep) Secret *key = NULL;
        Fixture *f = *state;
        unsigned n_total;

        create(f, &key);
        WELL(slot_volume_erase(f->fd, &err));
        n_writes = 0;
        WELL(slot_volume_commit(f->fd, f->header, &err));
        n_total = n_writes;
        assert_true(n_total >= 5);
        for (unsigned cut = 0; cut < n_total; cut++) {
                WELL(slot_volume_erase(f->fd, &err));
                n_writes = 0;
                fail_write = cut;
                fail_errnum = cut % 2 == 0 ? EIO : ENOSPC;
                if (cut % 2 == 0)
                        FAILS(slot_volume_commit(f->fd, f->header, &err), IO);
                else
                        FAILS(slot_volume_commit(f->fd, f->header, &err), NO_SPACE);
                fail_write = UINT32_MAX;
                if (cut == 0) /* nothing landed */
                        assert_int_not_equal(run("cryptsetup isLuks %s", f->slot), 0);
                WELL(slot_volume_commit(f->fd, f->header, &err));
                assert_int_equal(run("cryptsetup isLuks --type luks2 %s", f->slot), 0);
        }
        n_writes = 0;
        fail_write = 2;
        fail_errnum = ENOSPC;
        FAILS(slot_volume_erase(f->fd, &err), NO_SPACE);
}

static void a_header_that_lands_differently_is_found(void **state) {
        _cleanup_(secret_freep) Secret *key = NULL;
        Fixture *f = *state;

        create(f, &key);
        flip_path = f->slot;
        FAILS(slot_volume_commit(f->fd, f->header, &err), READ_BACK);
        flip_path = f->slot;
        FAILS(slot_volume_erase(f->fd, &err), READ_BACK);
        assert_int_equal(truncate(f->header, 4096), 0);
        FAILS(slot_volume_commit(f->fd, f->header, &err), VOLUME);
        assert_int_equal(unlink(f->header), 0);
        FAILS(slot_volume_commit(f->fd, f->header, &err), VOLUME);
}

/* D6: once FLOOR has passed the key's bound, the same header gives nothing any more.  Last: it raises the counter. */
static void a_floor_that_was_raised_closes_the_header(void **state) {
        _cleanup_(secret_freep) Secret *key = NULL, *none = NULL;
        Fixture *f = *state;

        create(f, &key);
        WELL(tpm_floor_raise(f->tpm, device.gate, floor_now(f) + 1, &err));
        FAILS(slot_volume_resume(f->header, f->tpm, &none, &err), TPM_AUTH);
        assert_null(none);
}

#define T(test) cmocka_unit_test_setup_teardown(test, start, done)
int main(void) {
        const struct CMUnitTest tests[] = {
                T(a_header_gives_its_volume_key_back_to_this_tpm),
                T(cryptsetup_reads_what_we_made),
                T(what_cannot_be_made_leaves_nothing_behind),
                T(header_files_that_are_not_ours_are_refused),
                T(a_header_that_costs_more_than_ours_is_refused_at_once),
                T(erasing_leaves_no_header_and_touches_no_data),
                T(a_committed_header_opens_with_its_secret),
                T(a_commit_cut_anywhere_can_be_repeated),
                T(a_header_that_lands_differently_is_found),
                T(a_floor_that_was_raised_closes_the_header),
        };
        return cmocka_run_group_tests(tests, group_start, group_done);
}
