/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whole small files in and out; replacing is old or new, never a mixture (D7, STYLE 10). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <reseal/base/file.h>

typedef struct Place {
        char path[64];
        int fd;
} Place;

static int place_setup(void **state) {
        Place *p = calloc(1, sizeof(*p));

        if (!p)
                return -1;
        strcpy(p->path, "/tmp/reseal-test-file-XXXXXX");
        if (!mkdtemp(p->path))
                return -1;
        p->fd = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        *state = p;
        return p->fd < 0 ? -1 : 0;
}

static int place_teardown(void **state) {
        static const char *const names[] = { "a", "a.new", "b", "link", "fifo", "sub/a" };
        Place *p = *state;
        int r;

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                (void) unlinkat(p->fd, names[i], 0);
        (void) unlinkat(p->fd, "sub", AT_REMOVEDIR);
        (void) close(p->fd);
        r = rmdir(p->path); /* fails if a test left something unforeseen */
        free(p);
        return r;
}

static void put(Place *p, const char *name, const char *text, mode_t mode) {
        RsError err = RS_ERROR_INIT;

        assert_int_equal(file_replace(p->fd, name, SPAN(text, strlen(text)), mode, &err), 0);
}

static void check_content(Place *p, const char *name, const char *text) {
        _cleanup_(freep) uint8_t *data = NULL;
        RsError err = RS_ERROR_INIT;
        size_t size = 0;

        assert_int_equal(file_read(p->fd, name, 4096, &data, &size, &err), 1);
        assert_int_equal(size, strlen(text));
        assert_string_equal((char *) data, text);
}

static void what_was_replaced_is_read_back(void **state) {
        Place *p = *state;
        struct stat st;

        put(p, "a", "one", 0640);
        check_content(p, "a", "one");
        put(p, "a", "", 0600);
        check_content(p, "a", "");
        put(p, "a", "longer than before", 0600);
        check_content(p, "a", "longer than before");
        assert_int_equal(fstatat(p->fd, "a", &st, 0), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        assert_int_equal(faccessat(p->fd, "a.new", F_OK, 0), -1);
}

static void a_file_in_a_directory_below_works_too(void **state) {
        Place *p = *state;
        char absolute[128];

        assert_int_equal(mkdirat(p->fd, "sub", 0700), 0);
        put(p, "sub/a", "deep", 0600);
        check_content(p, "sub/a", "deep");
        (void) snprintf(absolute, sizeof(absolute), "%s/sub/a", p->path);
        check_content(&(Place){ .fd = AT_FDCWD }, absolute, "deep");
}

static void a_missing_file_is_an_outcome(void **state) {
        _cleanup_(secret_freep) Secret *s = NULL;
        Place *p = *state;
        RsError err = RS_ERROR_INIT;
        uint8_t *data = NULL;
        size_t size = 99;

        assert_int_equal(file_read(p->fd, "a", 10, &data, &size, &err), 0);
        assert_int_equal(file_read_secret(p->fd, "a", 10, &s, &err), 0);
        assert_int_equal(file_remove(p->fd, "a", &err), 0);
        assert_int_equal(err.reason, RS_REASON_NONE);
        assert_null(data);
        assert_int_equal(size, 99);
}

static void one_byte_above_the_cap_is_refused(void **state) {
        _cleanup_(freep) uint8_t *data = NULL;
        Place *p = *state;
        RsError err = RS_ERROR_INIT;
        size_t size;

        put(p, "a", "12345", 0600);
        assert_int_equal(file_read(p->fd, "a", 5, &data, &size, &err), 1);
        assert_int_equal(size, 5);
        freep(&data);
        data = NULL;
        assert_int_equal(file_read(p->fd, "a", 4, &data, &size, &err), -EFBIG);
        assert_int_equal(err.reason, RS_REASON_IO);
        assert_null(data);
}

static void files_of_procfs_that_claim_no_size_are_read(void **state) {
        _cleanup_(freep) uint8_t *data = NULL, *none = NULL;
        RsError err = RS_ERROR_INIT;
        size_t size;

        (void) state;
        assert_int_equal(file_read(AT_FDCWD, "/proc/self/stat", 65536, &data, &size, &err), 1);
        assert_true(size > 10);
        assert_int_equal(file_read(AT_FDCWD, "/proc/self/stat", 10, &none, &size, &err), -EFBIG);
}

static void memory_that_is_not_there_is_named(void **state) {
        _cleanup_(freep) uint8_t *data = NULL;
        RsError err = RS_ERROR_INIT;
        size_t size;

        (void) state;
        assert_int_equal(file_read(AT_FDCWD, "/proc/self/stat", SIZE_MAX / 4, &data, &size, &err), -ENOMEM);
        assert_int_equal(err.reason, RS_REASON_NO_MEMORY);
}

static void a_note_that_cannot_be_read_counts_as_none_and_says_why(void **state) {
        _cleanup_(freep) uint8_t *data = NULL;
        RsError err = RS_ERROR_INIT, why;
        size_t size;

        (void) state;
        assert_int_equal(file_read_note(AT_FDCWD, "/proc/self/none", 10, &data, &size, &why, &err), 0);
        assert_int_equal(why.reason, RS_REASON_NONE);
        assert_int_equal(file_read_note(AT_FDCWD, "/proc/self/stat", 10, &data, &size, &why, &err), 0);
        assert_int_equal(why.reason, RS_REASON_IO);
        assert_int_equal(file_read_note(AT_FDCWD, "/proc/self", 10, &data, &size, &why, &err), 0);
        assert_int_equal(why.reason, RS_REASON_IO);
        assert_int_equal(err.reason, RS_REASON_NONE);
        assert_int_equal(file_read_note(AT_FDCWD, "/proc/self/stat", SIZE_MAX / 4, &data, &size, &why, &err), -ENOMEM);
        assert_int_equal(err.reason, RS_REASON_NO_MEMORY);
        err = RS_ERROR_INIT;
        assert_int_equal(file_read_note(AT_FDCWD, "/proc/self/stat", 65536, &data, &size, &why, &err), 1);
        assert_int_equal(why.reason, RS_REASON_NONE);
}

static void links_fifos_and_directories_are_not_read(void **state) {
        static const char *const names[] = { "link", "fifo", "sub" };
        Place *p = *state;

        put(p, "a", "secret", 0600);
        assert_int_equal(symlinkat("a", p->fd, "link"), 0);
        assert_int_equal(mkfifoat(p->fd, "fifo", 0600), 0);
        assert_int_equal(mkdirat(p->fd, "sub", 0700), 0);
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                RsError err = RS_ERROR_INIT;
                uint8_t *data = NULL;
                size_t size;

                assert_true(file_read(p->fd, names[i], 100, &data, &size, &err) < 0);
                assert_int_equal(err.reason, RS_REASON_IO);
                assert_null(data);
        }
}

static void a_link_at_the_temporary_name_is_not_followed(void **state) {
        Place *p = *state;
        RsError err = RS_ERROR_INIT;

        put(p, "b", "victim", 0600);
        assert_int_equal(symlinkat("b", p->fd, "a.new"), 0);
        assert_true(file_replace(p->fd, "a", SPAN("x", 1), 0600, &err) < 0);
        check_content(p, "b", "victim");
}

static void a_leftover_of_a_power_cut_is_overwritten(void **state) {
        Place *p = *state;

        put(p, "a", "old", 0600);
        put(p, "a.new", "half of something much longer", 0644);
        put(p, "a", "new", 0600);
        check_content(p, "a", "new");
        assert_int_equal(faccessat(p->fd, "a.new", F_OK, 0), -1);
}

static void two_writers_never_mix(void **state) {
        Place *p = *state;
        pid_t pids[2];

        put(p, "a", "aaaaaaaaaaaaaaaa", 0600);
        for (int who = 0; who < 2; who++) {
                pids[who] = fork();
                assert_true(pids[who] >= 0);
                if (pids[who] == 0) {
                        int good = 1;

                        for (int i = 0; i < 100 && good; i++) {
                                RsError err = RS_ERROR_INIT;
                                char text[4096];

                                memset(text, who == 0 ? 'a' : 'b', sizeof(text));
                                good = file_replace(p->fd, "a", SPAN(text, who == 0 ? 16 : sizeof(text)), 0600,
                                                    &err) == 0;
                        }
                        _exit(good ? 0 : 1);
                }
        }
        for (int i = 0; i < 200; i++) {
                _cleanup_(freep) uint8_t *data = NULL;
                RsError err = RS_ERROR_INIT;
                size_t size = 0;

                assert_int_equal(file_read(p->fd, "a", 4096, &data, &size, &err), 1);
                assert_int_equal(size, data[0] == 'a' ? 16 : 4096);
                for (size_t k = 1; k < size; k++)
                        assert_int_equal(data[k], data[0]);
        }
        for (int who = 0; who < 2; who++) {
                int status;

                assert_int_equal(waitpid(pids[who], &status, 0), pids[who]);
                assert_int_equal(status, 0);
        }
}

/* A limit on the file size stands for a full disk: EFBIG, and SIGXFSZ ignored. */
static void a_failed_replacement_leaves_the_old_content_and_no_litter(void **state) {
        static const char zeros[8192];
        const struct rlimit small = { 4096, RLIM_INFINITY }, none = { RLIM_INFINITY, RLIM_INFINITY };
        Place *p = *state;
        RsError err = RS_ERROR_INIT;

        put(p, "a", "old", 0600);
        (void) signal(SIGXFSZ, SIG_IGN);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        assert_int_equal(file_replace(p->fd, "a", SPAN(zeros, sizeof(zeros)), 0600, &err), -EFBIG);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
        check_content(p, "a", "old");
        assert_int_equal(faccessat(p->fd, "a.new", F_OK, 0), -1);
}

static void a_full_device_is_named(void **state) {
        _cleanup_(closep) int fd = open("/dev/full", O_RDWR | O_CLOEXEC);
        RsError err = RS_ERROR_INIT;

        (void) state;
        assert_true(fd >= 0);
        assert_int_equal(file_pwrite_all(fd, "x", 1, 0, &err), -ENOSPC);
        assert_int_equal(err.reason, RS_REASON_NO_SPACE);
}

static void names_that_are_no_file_are_refused(void **state) {
        static const char *const names[] = { "", "/", "sub/", ".", "..", "sub/..", "missing/a" };
        Place *p = *state;

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                RsError err = RS_ERROR_INIT;

                assert_true(file_replace(p->fd, names[i], SPAN("x", 1), 0600, &err) < 0);
                assert_int_equal(err.reason, RS_REASON_IO);
        }
}

static void removing_tells_whether_it_was_there(void **state) {
        Place *p = *state;
        RsError err = RS_ERROR_INIT;

        put(p, "a", "x", 0600);
        assert_int_equal(file_remove(p->fd, "a", &err), 1);
        assert_int_equal(file_remove(p->fd, "a", &err), 0);
}

static void key_material_open_to_others_is_refused(void **state) {
        static const mode_t modes[] = { 0640, 0604, 0620, 0601 };
        _cleanup_(secret_freep) Secret *s = NULL;
        Place *p = *state;
        RsError good = RS_ERROR_INIT;

        for (size_t i = 0; i < ELEMENTSOF(modes); i++) {
                RsError err = RS_ERROR_INIT;

                put(p, "a", "key", modes[i]);
                assert_int_equal(file_read_secret(p->fd, "a", 100, &s, &err), -EPERM);
                assert_null(s);
        }
        put(p, "a", "key", 0400);
        assert_int_equal(file_read_secret(p->fd, "a", 3, &s, &good), 1);
        assert_int_equal(secret_size(s), 3);
        assert_memory_equal(secret_bytes(s), "key", 3);
}

static void key_material_above_the_cap_is_refused(void **state) {
        _cleanup_(secret_freep) Secret *s = NULL;
        Place *p = *state;
        RsError err = RS_ERROR_INIT;

        put(p, "a", "key", 0600);
        assert_int_equal(file_read_secret(p->fd, "a", 2, &s, &err), -EFBIG);
        assert_null(s);
}

static void whole_transfers_or_none(void **state) {
        _cleanup_(closep) int fd = -EBADF;
        Place *p = *state;
        char buffer[8] = "";

        fd = openat(p->fd, "a", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        for (int i = 0; i < 5; i++) {
                RsError err = RS_ERROR_INIT;

                switch (i) {
                case 0:
                        assert_int_equal(file_pwrite_all(fd, "abcdef", 6, 100, &err), 0);
                        break;
                case 1:
                        assert_int_equal(file_pread_all(fd, buffer, 6, 100, &err), 0);
                        assert_string_equal(buffer, "abcdef");
                        break;
                case 2: /* ends inside */
                        assert_int_equal(file_pread_all(fd, buffer, 7, 100, &err), -ENODATA);
                        assert_int_equal(err.reason, RS_REASON_IO);
                        break;
                case 3: /* an offset that would turn negative */
                        assert_int_equal(file_pread_all(fd, buffer, 1, UINT64_MAX, &err), -EOVERFLOW);
                        break;
                default:
                        assert_int_equal(file_pwrite_all(fd, buffer, 2, INT64_MAX - 1, &err), -EOVERFLOW);
                        break;
                }
        }
}

#define IN_PLACE(fn) cmocka_unit_test_setup_teardown(fn, place_setup, place_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                IN_PLACE(what_was_replaced_is_read_back),
                IN_PLACE(a_file_in_a_directory_below_works_too),
                IN_PLACE(a_missing_file_is_an_outcome),
                IN_PLACE(one_byte_above_the_cap_is_refused),
                cmocka_unit_test(files_of_procfs_that_claim_no_size_are_read),
                cmocka_unit_test(memory_that_is_not_there_is_named),
                cmocka_unit_test(a_note_that_cannot_be_read_counts_as_none_and_says_why),
                IN_PLACE(links_fifos_and_directories_are_not_read),
                IN_PLACE(a_link_at_the_temporary_name_is_not_followed),
                IN_PLACE(a_leftover_of_a_power_cut_is_overwritten),
                IN_PLACE(two_writers_never_mix),
                IN_PLACE(a_failed_replacement_leaves_the_old_content_and_no_litter),
                cmocka_unit_test(a_full_device_is_named),
                IN_PLACE(names_that_are_no_file_are_refused),
                IN_PLACE(removing_tells_whether_it_was_there),
                IN_PLACE(key_material_open_to_others_is_refused),
                IN_PLACE(key_material_above_the_cap_is_refused),
                IN_PLACE(whole_transfers_or_none),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
