/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bundles from descriptors: real files and pipes, short, silent, closed, going back, cancelled. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <cmocka.h>

#include <reseal/base/cleanup.h>
#include <reseal/source/fd.h>

#define SIZE (3u * SOURCE_PREFIX_MAX + 17u)

static const FdLimits PATIENT = { .cancel_fd = -EBADF, .stall_usec = 60000000, .deadline_usec = 600000000 };
static const FdLimits HASTY = { .cancel_fd = -EBADF, .stall_usec = 1000, .deadline_usec = 600000000 };

static uint8_t bytes[SIZE];

static int make_file(size_t size) {
        char path[] = "/tmp/reseal-fd-XXXXXX";
        int fd = mkstemp(path);

        assert_true(fd >= 0);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(write(fd, bytes, size), size);
        return fd;
}

typedef struct Feeder {
        pthread_t thread;
        int fd;
        size_t size;
        bool stay;              /* keeps its end open: silence instead of an end */
} Feeder;

static void *feed(void *userdata) {
        Feeder *f = userdata;

        for (size_t at = 0; at < f->size;) {
                ssize_t n = write(f->fd, bytes + at, f->size - at < 1000 ? f->size - at : 1000);
                if (n <= 0)
                        break;
                at += (size_t) n;
        }
        if (!f->stay)
                (void) close(f->fd);
        return NULL;
}

static int pipe_of(Feeder *f, size_t size, bool stay) {
        int fds[2];

        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        *f = (Feeder){ .fd = fds[1], .size = size, .stay = stay };
        assert_int_equal(pthread_create(&f->thread, NULL, feed, f), 0);
        return fds[0];
}

static void stop(Feeder *f) {
        assert_int_equal(pthread_join(f->thread, NULL), 0);
        if (f->stay)
                (void) close(f->fd);
}

static int compare(void *userdata, Span s, RsError *err) {
        size_t *at = userdata;

        (void) err;
        assert_true(s.size <= SIZE - *at);
        assert_memory_equal(s.data, bytes + *at, s.size);
        *at += s.size;
        return 0;
}

static void check_read(Source *s, uint64_t offset, size_t size) {
        _cleanup_(freep) uint8_t *got = malloc(size);
        RsError err = RS_ERROR_INIT;

        assert_int_equal(source_read(s, offset, size, got, &err), 0);
        assert_memory_equal(got, bytes + offset, size);
}

static RsReason read_refused(Source *s, uint64_t offset, size_t size) {
        _cleanup_(freep) uint8_t *got = malloc(size);
        RsError err = RS_ERROR_INIT;

        assert_true(source_read(s, offset, size, got, &err) < 0);
        return err.reason;
}

static void regular_file_is_read_at_any_offset_in_any_order(void **state) {
        RsError err = RS_ERROR_INIT;
        size_t at = 5;
        Source *s;

        (void) state;
        assert_int_equal(fd_open(make_file(SIZE), &PATIENT, &s, &err), 0);
        assert_int_equal(source_size(s), SIZE);
        assert_false(source_forward_only(s));
        check_read(s, SIZE - 100, 100);
        check_read(s, 0, 100);
        check_read(s, SOURCE_PREFIX_MAX - 10, 20);
        assert_int_equal(source_stream(s, 5, SIZE - 5, compare, &at, &err), 0);
        assert_int_equal(at, SIZE);
        assert_int_equal(read_refused(s, SIZE - 1, 2), RS_REASON_TRUNCATED);
        s = source_close(s);
}

static void file_that_shrinks_is_truncated(void **state) {
        RsError err = RS_ERROR_INIT;
        int fd = make_file(SIZE);
        Source *s;

        (void) state;
        int own = dup(fd);
        assert_int_equal(fd_open(fd, &PATIENT, &s, &err), 0);
        assert_int_equal(ftruncate(own, SOURCE_PREFIX_MAX + 10), 0);
        assert_int_equal(read_refused(s, SOURCE_PREFIX_MAX, 20), RS_REASON_TRUNCATED);
        s = source_close(s);
        (void) close(own);
}

static void pipe_is_read_forward_and_what_lies_between_is_dropped(void **state) {
        RsError err = RS_ERROR_INIT;
        size_t at = 100;
        Feeder f;
        Source *s;

        (void) state;
        assert_int_equal(fd_open(pipe_of(&f, SIZE, false), &PATIENT, &s, &err), 0);
        assert_true(source_size(s) == SOURCE_SIZE_UNKNOWN);
        assert_true(source_forward_only(s));
        check_read(s, 50, 100);
        check_read(s, 0, 100); /* the prefix stays */
        assert_int_equal(source_declare_size(s, SIZE, &err), 0);
        assert_int_equal(source_stream(s, 100, SOURCE_PREFIX_MAX, compare, &at, &err), 0);
        check_read(s, 2 * SOURCE_PREFIX_MAX, 1000);
        assert_int_equal(read_refused(s, 2 * SOURCE_PREFIX_MAX, 10), RS_REASON_STATE);
        assert_int_equal(read_refused(s, SOURCE_PREFIX_MAX, 10), RS_REASON_STATE);
        check_read(s, 10, 10);
        check_read(s, SIZE - 7, 7);
        assert_int_equal(read_refused(s, SIZE, 1), RS_REASON_TRUNCATED);
        s = source_close(s);
        stop(&f);
}

static void pipe_that_ends_within_the_prefix_has_that_size(void **state) {
        RsError err = RS_ERROR_INIT;
        Feeder f;
        Source *s;

        (void) state;
        assert_int_equal(fd_open(pipe_of(&f, 1234, false), &PATIENT, &s, &err), 0);
        assert_int_equal(source_size(s), 1234);
        check_read(s, 1000, 234);
        s = source_close(s);
        stop(&f);
}

static void pipe_that_ends_early_is_truncated(void **state) {
        RsError err = RS_ERROR_INIT;
        size_t at = SOURCE_PREFIX_MAX;
        Feeder f;
        Source *s;

        (void) state;
        assert_int_equal(fd_open(pipe_of(&f, SOURCE_PREFIX_MAX + 50, false), &PATIENT, &s, &err), 0);
        assert_int_equal(source_declare_size(s, SIZE, &err), 0);
        assert_true(source_stream(s, SOURCE_PREFIX_MAX, 100, compare, &at, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_TRUNCATED);
        assert_int_equal(at, SOURCE_PREFIX_MAX + 50);
        assert_int_equal(read_refused(s, 2 * SOURCE_PREFIX_MAX, 1), RS_REASON_TRUNCATED);
        s = source_close(s);
        stop(&f);
}

static void header_that_says_less_than_was_given_is_refused(void **state) {
        RsError err = RS_ERROR_INIT;
        Feeder f;
        Source *s;

        (void) state;
        assert_int_equal(fd_open(pipe_of(&f, SIZE, false), &PATIENT, &s, &err), 0);
        assert_true(source_declare_size(s, SOURCE_PREFIX_MAX - 1, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_FORMAT);
        size_t at = 0;
        assert_int_equal(source_stream(s, 0, SIZE, compare, &at, &err), 0);
        s = source_close(s);
        stop(&f);
}

static void silent_pipe_is_slow_and_a_cancelled_one_ends(void **state) {
        RsError err = RS_ERROR_INIT;
        FdLimits limits = PATIENT;
        uint8_t *data;
        size_t size;
        Feeder f;
        Source *s;

        (void) state;
        assert_true(fd_open(pipe_of(&f, 10, true), &HASTY, &s, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_SLOW);
        stop(&f);

        limits.cancel_fd = eventfd(1, EFD_CLOEXEC);
        err = RS_ERROR_INIT;
        assert_true(fd_open(pipe_of(&f, 10, true), &limits, &s, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_CANCELLED);
        stop(&f);
        err = RS_ERROR_INIT;
        int fd = pipe_of(&f, 10, true);
        assert_true(fd_get(fd, &limits, 100, &data, &size, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_CANCELLED);
        stop(&f);
        (void) close(fd);
        (void) close(limits.cancel_fd);
}

static void deadline_ends_a_file_as_well(void **state) {
        FdLimits limits = PATIENT;
        RsError err = RS_ERROR_INIT;
        Source *s;

        (void) state;
        limits.deadline_usec = 0;
        assert_true(fd_open(make_file(100), &limits, &s, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_SLOW);
}

static void what_is_no_file_and_no_pipe_is_refused(void **state) {
        RsError err = RS_ERROR_INIT;
        int fds[2];

        (void) state;
        int bad[] = {
                open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC), open("/dev/null", O_RDONLY | O_CLOEXEC),
                open("/proc/self/exe", O_PATH | O_CLOEXEC),       socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0),
                eventfd(0, EFD_CLOEXEC),                          open("/tmp", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600),
        };
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                err = RS_ERROR_INIT;
                assert_true(bad[i] >= 0);
                assert_true(fd_check(bad[i], &err) < 0);
                assert_int_equal(err.reason, RS_REASON_INVALID);
                (void) close(bad[i]);
        }
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        err = RS_ERROR_INIT;
        assert_int_equal(fd_check(fds[0], &err), 0);
        assert_true(fd_check(fds[1], &err) < 0);
        assert_int_equal(err.reason, RS_REASON_INVALID);
        (void) close(fds[0]);
        (void) close(fds[1]);
        err = RS_ERROR_INIT;
        assert_true(fd_check(-1, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_IO);
}

static void small_file_is_got_whole_up_to_its_cap(void **state) {
        RsError err = RS_ERROR_INIT;
        uint8_t *data;
        size_t size;
        Feeder f;

        (void) state;
        int fd = make_file(100);
        assert_int_equal(fd_get(fd, &PATIENT, 100, &data, &size, &err), 0);
        assert_int_equal(size, 100);
        assert_memory_equal(data, bytes, 100);
        free(data);
        assert_true(fd_get(fd, &PATIENT, 99, &data, &size, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_TOO_MUCH);
        (void) close(fd);
        fd = pipe_of(&f, 100, false);
        err = RS_ERROR_INIT;
        assert_int_equal(fd_get(fd, &PATIENT, 100, &data, &size, &err), 0);
        assert_int_equal(size, 100);
        free(data);
        (void) close(fd);
        stop(&f);
}

int main(void) {
        (void) signal(SIGPIPE, SIG_IGN); /* who closes his end first is left to chance */
        for (size_t i = 0; i < SIZE; i++)
                bytes[i] = (uint8_t) (i * 31 + (i >> 8));
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(regular_file_is_read_at_any_offset_in_any_order),
                cmocka_unit_test(file_that_shrinks_is_truncated),
                cmocka_unit_test(pipe_is_read_forward_and_what_lies_between_is_dropped),
                cmocka_unit_test(pipe_that_ends_within_the_prefix_has_that_size),
                cmocka_unit_test(pipe_that_ends_early_is_truncated),
                cmocka_unit_test(header_that_says_less_than_was_given_is_refused),
                cmocka_unit_test(silent_pipe_is_slow_and_a_cancelled_one_ends),
                cmocka_unit_test(deadline_ends_a_file_as_well),
                cmocka_unit_test(what_is_no_file_and_no_pipe_is_refused),
                cmocka_unit_test(small_file_is_got_whole_up_to_its_cap),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
