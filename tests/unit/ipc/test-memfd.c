/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bytes beside a message: as they were sent, or refused (S20, T26: nothing is read that the peer can still change). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <reseal/base/cleanup.h>
#include <reseal/ipc/memfd.h>

static const uint8_t bytes[] = "what is too long for a message";

static int half_sealed(int seals) {
        int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, bytes, sizeof(bytes)), (ssize_t) sizeof(bytes));
        assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
        return fd;
}

static void assert_refused(int fd, size_t size) {
        RsError err = RS_ERROR_INIT;
        uint8_t *data = NULL;

        assert_true(fd >= 0);
        assert_true(memfd_read(fd, size, &data, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_PROTOCOL);
        assert_null(data);
        (void) close(fd);
}

static void what_is_read_is_what_was_sealed(void **state) {
        _cleanup_(freep) uint8_t *data = NULL;
        RsError err = RS_ERROR_INIT;
        int fd;

        (void) state;
        assert_int_equal(memfd_sealed("test", SPAN_ARRAY(bytes), &fd, &err), 0);
        assert_int_equal(write(fd, "x", 1), -1);
        assert_int_equal(ftruncate(fd, 0), -1);
        assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), -1);
        assert_int_equal(memfd_read(fd, sizeof(bytes), &data, &err), 0);
        assert_memory_equal(data, bytes, sizeof(bytes));
        assert_int_equal(close(fd), 0);
}

static void what_can_still_change_is_not_read(void **state) {
        (void) state;
        assert_refused(half_sealed(0), sizeof(bytes));
        assert_refused(half_sealed(F_SEAL_SHRINK | F_SEAL_GROW), sizeof(bytes));
        assert_refused(half_sealed(F_SEAL_SHRINK | F_SEAL_WRITE), sizeof(bytes));
        assert_refused(half_sealed(F_SEAL_GROW | F_SEAL_WRITE), sizeof(bytes));
}

static void another_size_or_another_kind_of_file_is_refused(void **state) {
        (void) state;
        assert_refused(half_sealed(F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE), sizeof(bytes) - 1);
        assert_refused(half_sealed(F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE), sizeof(bytes) + 1);
        assert_refused(open("/proc/self/exe", O_RDONLY | O_CLOEXEC), sizeof(bytes));
        assert_refused(open("/dev/zero", O_RDONLY | O_CLOEXEC), sizeof(bytes));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_is_read_is_what_was_sealed),
                cmocka_unit_test(what_can_still_change_is_not_read),
                cmocka_unit_test(another_size_or_another_kind_of_file_is_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
