/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The way to a file as root: what other users put on it leads nowhere (kind: root walks a path another user owns). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/directory.h>
#include <reseal/base/file.h>

#define NOBODY 65534u

typedef struct Place {
        char path[64];
        int fd;
} Place;

static int place_setup(void **state) {
        Place *p = calloc(1, sizeof(*p));

        if (!p)
                return -1;
        strcpy(p->path, "/tmp/reseal-test-directory-XXXXXX");
        if (!mkdtemp(p->path))
                return -1;
        p->fd = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (p->fd < 0 || mkdirat(p->fd, "target", 0755) < 0 || mkdirat(p->fd, "theirs", 0755) < 0)
                return -1;
        *state = p;
        return 0;
}

static int place_teardown(void **state) {
        static const char *const files[] = { "link", "loop", "target/f", "theirs/f", "theirs/link", "theirs/f.new",
                                             "theirs/victim", "file" };
        Place *p = *state;
        int r;

        for (size_t i = 0; i < ELEMENTSOF(files); i++)
                (void) unlinkat(p->fd, files[i], 0);
        (void) unlinkat(p->fd, "target", AT_REMOVEDIR);
        (void) unlinkat(p->fd, "theirs", AT_REMOVEDIR);
        (void) close(p->fd);
        r = rmdir(p->path); /* fails if a test left something unforeseen */
        free(p);
        return r;
}

static void need_root(void) {
        if (geteuid() != 0)
                skip();
}

static void make_theirs(Place *p, mode_t mode) {
        assert_int_equal(fchownat(p->fd, "theirs", NOBODY, NOBODY, 0), 0);
        assert_int_equal(fchmodat(p->fd, "theirs", mode, 0), 0);
}

static void their_link(Place *p, const char *target, const char *name) {
        assert_int_equal(symlinkat(target, p->fd, name), 0);
        assert_int_equal(fchownat(p->fd, name, NOBODY, NOBODY, AT_SYMLINK_NOFOLLOW), 0);
}

static int try_open(Place *p, const char *path, RsError *err) {
        _cleanup_(closep) int fd = -EBADF;

        *err = RS_ERROR_INIT;
        return directory_open(p->fd, path, &fd, err);
}

static void a_path_without_links_opens(void **state) {
        Place *p = *state;
        char absolute[128];
        RsError err;

        (void) snprintf(absolute, sizeof(absolute), "%s//target/../target/.", p->path);
        assert_int_equal(try_open(p, absolute, &err), 0);
        assert_int_equal(try_open(p, "target", &err), 0);
        assert_int_equal(try_open(p, ".", &err), 0);
        assert_int_equal(try_open(p, "/", &err), 0);
}

static void our_own_links_are_followed(void **state) {
        static const char *const targets[] = { "target", "./target/", "target/../target" };
        Place *p = *state;
        char absolute[128];
        RsError err;

        for (size_t i = 0; i < ELEMENTSOF(targets); i++) {
                assert_int_equal(symlinkat(targets[i], p->fd, "link"), 0);
                assert_int_equal(try_open(p, "link", &err), 0);
                assert_int_equal(try_open(p, "link/../target", &err), 0);
                assert_int_equal(unlinkat(p->fd, "link", 0), 0);
        }
        (void) snprintf(absolute, sizeof(absolute), "%s/target", p->path);
        assert_int_equal(symlinkat(absolute, p->fd, "link"), 0);
        assert_int_equal(try_open(p, "link", &err), 0);
}

static void a_link_of_another_user_is_not_followed(void **state) {
        static const char *const paths[] = { "link", "link/", "link/.", "theirs/link", "theirs/link/f" };
        Place *p = *state;
        RsError err;

        need_root();
        make_theirs(p, 0755);
        their_link(p, "target", "link");
        their_link(p, "../target", "theirs/link");
        for (size_t i = 0; i < ELEMENTSOF(paths); i++) {
                assert_int_equal(try_open(p, paths[i], &err), -EPERM);
                assert_int_equal(err.reason, RS_REASON_IO);
                assert_non_null(strstr(err.text, "symbolic link"));
        }
        assert_int_equal(file_replace(p->fd, "theirs/link/f", SPAN("x", 1), 0644, &err), -EPERM);
        assert_int_equal(faccessat(p->fd, "target/f", F_OK, 0), -1);
}

static void what_leads_nowhere_is_refused(void **state) {
        Place *p = *state;
        char longest[NAME_MAX + 3];
        RsError err;

        memset(longest, 'a', sizeof(longest) - 1);
        longest[sizeof(longest) - 1] = '\0';
        assert_int_equal(symlinkat("loop", p->fd, "loop"), 0);
        assert_int_equal(close(openat(p->fd, "file", O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), 0);
        assert_int_equal(try_open(p, "loop", &err), -ELOOP);
        assert_int_equal(try_open(p, "file", &err), -ENOTDIR);
        assert_int_equal(try_open(p, "file/x", &err), -ENOTDIR);
        assert_int_equal(try_open(p, "missing", &err), -ENOENT);
        assert_int_equal(try_open(p, "", &err), -ENOENT);
        assert_int_equal(try_open(p, longest, &err), -ENAMETOOLONG);
}

static void whose_directory_it_is_is_told(void **state) {
        static const struct {
                uid_t uid;
                mode_t mode;
                bool ours;
        } cases[] = { { 0, 0755, true },       { 0, 0700, true },       { 0, 0775, false },   { 0, 01777, false },
                      { NOBODY, 0700, false }, { NOBODY, 0777, false }, { 0, 02770, false } };
        Place *p = *state;

        need_root();
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(closep) int fd = openat(p->fd, "theirs", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

                assert_int_equal(fchown(fd, cases[i].uid, 0), 0);
                assert_int_equal(fchmod(fd, cases[i].mode), 0);
                assert_int_equal(directory_is_ours(fd), cases[i].ours);
        }
        assert_false(directory_is_ours(-1));
}

/* In a directory of another's, whatever lies at the name that used to be taken: as it was, and without a part in it. */
static void nobody_waits_at_the_temporary_name(void **state) {
        static const mode_t modes[] = { 01777, 0777, 0755 };
        Place *p = *state;

        need_root();
        for (size_t i = 0; i < ELEMENTSOF(modes); i++) {
                _cleanup_(closep) int theirs = -EBADF;
                RsError err = RS_ERROR_INIT;
                char bytes[8] = "";
                struct stat st;

                make_theirs(p, modes[i]);
                theirs = openat(p->fd, "theirs/f.new", O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0666);
                assert_true(theirs >= 0);
                assert_int_equal(fchown(theirs, NOBODY, NOBODY), 0);
                assert_int_equal(file_replace(p->fd, "theirs/f", SPAN("secret", 6), 0600, &err), 0);
                assert_int_equal(pread(theirs, bytes, sizeof(bytes), 0), 0);
                assert_int_equal(fstat(theirs, &st), 0);
                assert_int_equal(st.st_uid, NOBODY);
                assert_int_equal(fstatat(p->fd, "theirs/f", &st, AT_SYMLINK_NOFOLLOW), 0);
                assert_int_equal(st.st_uid, 0);
                assert_int_equal(st.st_mode & 07777, 0600);
                assert_int_equal(unlinkat(p->fd, "theirs/f.new", 0), 0);
        }
}

/* Even in a directory of ours: what is not ours alone is not written into. */
static void a_leftover_of_another_user_is_removed(void **state) {
        Place *p = *state;
        _cleanup_(closep) int theirs = -EBADF;
        RsError err = RS_ERROR_INIT;
        char bytes[8] = "";

        need_root();
        theirs = openat(p->fd, "theirs/f.new", O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0666);
        assert_int_equal(fchown(theirs, NOBODY, NOBODY), 0);
        assert_int_equal(file_replace(p->fd, "theirs/f", SPAN("secret", 6), 0600, &err), 0);
        assert_int_equal(pread(theirs, bytes, sizeof(bytes), 0), 0);
        assert_int_equal(faccessat(p->fd, "theirs/f.new", F_OK, AT_SYMLINK_NOFOLLOW), -1);
}

static void a_file_is_given_away_before_it_has_its_name(void **state) {
        const FileOwner owner = { .uid = NOBODY, .gid = (gid_t) -1 };
        Place *p = *state;
        RsError err = RS_ERROR_INIT;
        struct stat st;

        need_root();
        make_theirs(p, 0700);
        /* a link at the final name is replaced, and what it leads to keeps its owner */
        assert_int_equal(close(openat(p->fd, "target/f", O_CREAT | O_WRONLY | O_CLOEXEC, 0644)), 0);
        assert_int_equal(symlinkat("../target/f", p->fd, "theirs/f"), 0);
        assert_int_equal(file_replace_for(p->fd, "theirs/f", SPAN("x", 1), &owner, 0600, &err), 0);
        assert_int_equal(fstatat(p->fd, "target/f", &st, AT_SYMLINK_NOFOLLOW), 0);
        assert_int_equal(st.st_uid, 0);
        assert_int_equal(st.st_size, 0);
        assert_int_equal(fstatat(p->fd, "theirs/f", &st, AT_SYMLINK_NOFOLLOW), 0);
        assert_true(S_ISREG(st.st_mode));
        assert_int_equal(st.st_uid, NOBODY);
        assert_int_equal(st.st_gid, 0);
}

/* A value that another user chose is none that only we know. */
static void a_secret_that_another_user_left_is_not_taken(void **state) {
        _cleanup_(secret_freep) Secret *s = NULL;
        _cleanup_(closep) int fd = -EBADF, dir_fd = -EBADF;
        Place *p = *state;
        RsError err = RS_ERROR_INIT;
        char path[128];

        need_root();
        fd = openat(p->fd, "theirs/f", O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
        assert_int_equal(write(fd, "known", 5), 5);
        assert_int_equal(fchown(fd, NOBODY, NOBODY), 0);
        (void) snprintf(path, sizeof(path), "%s/theirs/f", p->path);
        assert_int_equal(file_read_secret(AT_FDCWD, path, 100, &s, &err), -EPERM);
        assert_null(s);

        /* the owner of a directory that the caller names may have put it there */
        dir_fd = openat(p->fd, "theirs", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        err = RS_ERROR_INIT;
        assert_int_equal(file_read_secret(dir_fd, "f", 100, &s, &err), -EPERM);
        make_theirs(p, 0700);
        err = RS_ERROR_INIT;
        assert_int_equal(file_read_secret(dir_fd, "f", 100, &s, &err), 1);
}

#define IN_PLACE(fn) cmocka_unit_test_setup_teardown(fn, place_setup, place_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                IN_PLACE(a_path_without_links_opens),
                IN_PLACE(our_own_links_are_followed),
                IN_PLACE(a_link_of_another_user_is_not_followed),
                IN_PLACE(what_leads_nowhere_is_refused),
                IN_PLACE(whose_directory_it_is_is_told),
                IN_PLACE(nobody_waits_at_the_temporary_name),
                IN_PLACE(a_leftover_of_another_user_is_removed),
                IN_PLACE(a_file_is_given_away_before_it_has_its_name),
                IN_PLACE(a_secret_that_another_user_left_is_not_taken),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
