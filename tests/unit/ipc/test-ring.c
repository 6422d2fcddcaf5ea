/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The ring: its size cannot change under the writer (T26: SIGBUS by shrinking), only a true ring is mapped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include <reseal/ipc/ring.h>

#define SIZE ((off_t) RING_SLOTS * RING_SLOT_SIZE)

static void both_sides_see_the_same_bytes(void **state) {
        _cleanup_(ring_freep) Ring *writer = NULL, *daemon = NULL;
        RsError err = RS_ERROR_INIT;

        (void) state;
        assert_int_equal(ring_create(&writer, &err), 0);
        assert_int_equal(ring_attach(dup(ring_fd(writer)), &daemon, &err), 0);
        for (uint32_t i = 0; i < RING_SLOTS; i++)
                memset(ring_slot(daemon, i), (int) (i + 1), RING_SLOT_SIZE);
        for (uint32_t i = 0; i < RING_SLOTS; i++) {
                assert_int_equal(ring_slot(writer, i)[0], i + 1);
                assert_int_equal(ring_slot(writer, i)[RING_SLOT_SIZE - 1], i + 1);
        }
        assert_null(ring_slot(writer, RING_SLOTS));
        assert_null(ring_slot(writer, UINT32_MAX));
}

static void the_other_side_can_neither_shrink_nor_grow_it(void **state) {
        _cleanup_(ring_freep) Ring *writer = NULL;
        RsError err = RS_ERROR_INIT;

        (void) state;
        assert_int_equal(ring_create(&writer, &err), 0);
        assert_int_equal(ftruncate(ring_fd(writer), SIZE - 4096), -1);
        assert_int_equal(ftruncate(ring_fd(writer), SIZE + 4096), -1);
        assert_int_equal(fcntl(ring_fd(writer), F_ADD_SEALS, F_SEAL_WRITE), -1);
}

static void assert_not_attached(int fd) {
        RsError err = RS_ERROR_INIT;
        Ring *r = NULL;

        assert_true(fd >= 0);
        assert_true(ring_attach(fd, &r, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_PROTOCOL);
}

static int memfd(off_t size, int seals) {
        int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

        assert_int_equal(ftruncate(fd, size), 0);
        if (seals != 0)
                assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
        return fd;
}

static void what_is_not_a_sealed_ring_is_not_mapped(void **state) {
        const int all = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

        (void) state;
        assert_not_attached(open("/dev/zero", O_RDWR | O_CLOEXEC));
        assert_not_attached(memfd(SIZE, 0));
        assert_not_attached(memfd(SIZE, F_SEAL_SHRINK | F_SEAL_GROW));
        assert_not_attached(memfd(SIZE, F_SEAL_SHRINK | F_SEAL_SEAL));
        assert_not_attached(memfd(SIZE - 4096, all));
        assert_not_attached(memfd(SIZE + 4096, all));
        assert_not_attached(memfd(SIZE, all | F_SEAL_WRITE));
}

static void whichever_side_lets_go_first_leaves_nothing_in_it(void **state) {
        (void) state;
        for (int first = 0; first < 2; first++) {
                _cleanup_(ring_freep) Ring *writer = NULL, *reseald = NULL;
                RsError err = RS_ERROR_INIT;

                assert_int_equal(ring_create(&writer, &err), 0);
                assert_int_equal(ring_attach(fcntl(ring_fd(writer), F_DUPFD_CLOEXEC, 3), &reseald, &err), 0);
                ring_slot(reseald, RING_SLOTS - 1)[17] = 42;
                assert_int_equal(ring_slot(writer, RING_SLOTS - 1)[17], 42);
                if (first == 0)
                        reseald = ring_free(reseald);
                else
                        writer = ring_free(writer);
                assert_int_equal(ring_slot(first == 0 ? writer : reseald, RING_SLOTS - 1)[17], 0);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(both_sides_see_the_same_bytes),
                cmocka_unit_test(the_other_side_can_neither_shrink_nor_grow_it),
                cmocka_unit_test(what_is_not_a_sealed_ring_is_not_mapped),
                cmocka_unit_test(whichever_side_lets_go_first_leaves_nothing_in_it),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
