/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Two copies of a trust set in a slot: what a cut leaves, what an installation leaves, and what is no copy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <unistd.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/format/trust-set.h>
#include <reseal/slot/layout.h>
#include <reseal/slot/trust-area.h>
#include <reseal/slot/volume.h>

static unsigned fail_write = UINT32_MAX, n_writes;
static int slot = -EBADF;

ssize_t __real_pwrite64(int fd, const void *bytes, size_t size, off_t offset);
ssize_t __wrap_pwrite64(int fd, const void *bytes, size_t size, off_t offset);
ssize_t __real_pread64(int fd, void *bytes, size_t size, off_t offset);
ssize_t __wrap_pread64(int fd, void *bytes, size_t size, off_t offset);
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);

/* The write at which the power fails lands in part. */
ssize_t __wrap_pwrite64(int fd, const void *bytes, size_t size, off_t offset) {
        if (n_writes++ == fail_write) {
                (void) !__real_pwrite64(fd, bytes, 20, offset); /* of a head not even the digest */
                errno = EIO;
                return -1;
        }
        return __real_pwrite64(fd, bytes, size, offset);
}

ssize_t __wrap_pread64(int fd, void *bytes, size_t size, off_t offset) {
        return __real_pread64(fd, bytes, size, offset);
}

int __wrap_fdatasync(int fd) {
        return __real_fdatasync(fd);
}

static int setup(void **state) {
        char path[] = "/tmp/reseal-trust-area-XXXXXX";

        (void) state;
        slot = mkstemp(path);
        return slot < 0 || unlink(path) < 0 || ftruncate(slot, 16 << 20) < 0 ? -1 : 0;
}

static int teardown(void **state) {
        (void) state;
        closep(&slot);
        return 0;
}

static bool stands(Span set) {
        bool found = false;

        for (unsigned copy = 0; copy < TRUST_AREA_COPIES; copy++) {
                _cleanup_(freep) uint8_t *bytes = NULL;
                RsError err = RS_ERROR_INIT;
                size_t size = 0;

                if (trust_area_read(slot, copy, &bytes, &size, &err) > 0)
                        found = found || span_equal(SPAN(bytes, size), set);
                assert_int_equal(err.reason, RS_REASON_NONE);
        }
        return found;
}

static void write_well(Span set, Span keep) {
        RsError err = RS_ERROR_INIT;

        assert_int_equal(trust_area_write(slot, set, keep, &err), 0);
}

static void the_set_before_stays_beside_the_new_one(void **state) {
        static uint8_t large[TRUST_SET_CMS_MAX];
        Span one = SPAN("first", 5), two = SPAN_ARRAY(large), three = SPAN("third", 5);
        RsError err = RS_ERROR_INIT;

        (void) state;
        memset(large, 7, sizeof(large));
        assert_false(stands(one));
        write_well(one, SPAN_NULL);
        assert_true(stands(one));
        write_well(two, one);
        assert_true(stands(one) && stands(two));
        write_well(three, two);
        assert_true(stands(three) && stands(two) && !stands(one));
        n_writes = 0;
        write_well(three, two); /* again: nothing to do */
        assert_int_equal(n_writes, 0);
        assert_true(trust_area_write(slot, SPAN(large, sizeof(large) + 1), two, &err) < 0);
        err = RS_ERROR_INIT;
        assert_true(trust_area_write(slot, SPAN_NULL, two, &err) < 0);
}

static void a_cut_anywhere_leaves_the_set_before(void **state) {
        Span before = SPAN("before", 6), set = SPAN("the next", 8);

        (void) state;
        for (unsigned cut = 0; cut < 2; cut++) {
                RsError err = RS_ERROR_INIT;

                write_well(before, SPAN_NULL);
                n_writes = 0;
                fail_write = cut;
                assert_true(trust_area_write(slot, set, before, &err) < 0);
                fail_write = UINT32_MAX;
                assert_true(stands(before) && !stands(set));
                write_well(set, before);
                assert_true(stands(before) && stands(set));
                assert_int_equal(ftruncate(slot, 0), 0);
                assert_int_equal(ftruncate(slot, 16 << 20), 0);
        }
}

/* W3: whatever lay there goes, the copies stay; an installation never takes away what the running slot needs. */
static void an_erased_slot_keeps_its_copies_and_nothing_else(void **state) {
        static uint8_t noise[SLOT_DATA_OFFSET];
        uint8_t there[4096];
        RsError err = RS_ERROR_INIT;
        Span set = SPAN("in force", 8);

        (void) state;
        memset(noise, 0xa5, sizeof(noise));
        assert_int_equal(file_pwrite_all(slot, noise, sizeof(noise), 0, &err), 0);
        write_well(set, SPAN_NULL);
        assert_int_equal(slot_volume_erase(slot, &err), 0);
        assert_true(stands(set));
        for (size_t at = 0; at < SLOT_TRUST_OFFSET; at += sizeof(there)) {
                assert_int_equal(file_pread_all(slot, there, sizeof(there), at, &err), 0);
                assert_true(there[0] == 0 && memcmp(there, there + 1, sizeof(there) - 1) == 0);
        }
        assert_int_equal(file_pread_all(slot, there, sizeof(there), SLOT_TRUST_OFFSET + SLOT_TRUST_COPY, &err), 0);
        assert_true(there[0] == 0 && memcmp(there, there + 1, sizeof(there) - 1) == 0);
}

/* Each byte of the head, changed: no copy, and no failure. */
static void what_is_no_copy_is_passed_over(void **state) {
        Span set = SPAN("in force", 8);
        RsError err = RS_ERROR_INIT;

        (void) state;
        write_well(set, SPAN_NULL);
        for (unsigned at = 0; at < 64; at++) {
                uint8_t byte;

                assert_int_equal(file_pread_all(slot, &byte, 1, SLOT_TRUST_OFFSET + at, &err), 0);
                byte ^= 0x41;
                assert_int_equal(file_pwrite_all(slot, &byte, 1, SLOT_TRUST_OFFSET + at, &err), 0);
                assert_false(stands(set));
                byte ^= 0x41;
                assert_int_equal(file_pwrite_all(slot, &byte, 1, SLOT_TRUST_OFFSET + at, &err), 0);
        }
        assert_true(stands(set));
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
int main(void) {
        const struct CMUnitTest tests[] = {
                T(the_set_before_stays_beside_the_new_one),
                T(a_cut_anywhere_leaves_the_set_before),
                T(an_erased_slot_keeps_its_copies_and_nothing_else),
                T(what_is_no_copy_is_passed_over),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
