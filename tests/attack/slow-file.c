/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * slow-file - a descriptor of a file system that does not answer, which any user can make (FUSE): what reseald looks at
 * on its main thread, before it knows who asks, must not wait for it.
 *
 * Needs root and /dev/fuse; exit 77 = skipped, with the cause.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <linux/fuse.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <reseal/source/fd.h>

static char directory[] = "/tmp/reseal-slow.XXXXXX";
static pid_t server;

static void answer(int fuse, uint64_t unique, const void *data, size_t size) {
        uint8_t bytes[256];
        struct fuse_out_header head = { .len = (uint32_t) (sizeof(head) + size), .unique = unique };

        memcpy(bytes, &head, sizeof(head));
        if (size > 0)
                memcpy(bytes + sizeof(head), data, size);
        if (write(fuse, bytes, sizeof(head) + size) < 0)
                _exit(1);
}

/* One file, of any name.  It can be opened and closed, and says nothing about itself. */
static _Noreturn void serve(int fuse) {
        static uint8_t bytes[1 << 17];
        const struct fuse_init_out init = { .major = 7, .minor = 31, .max_write = 4096 };
        const struct fuse_entry_out entry = { .nodeid = 2, .attr = { .ino = 2, .mode = S_IFREG | 0644, .nlink = 1 } };
        const struct fuse_open_out opened = { .fh = 1 };

        for (;;) {
                struct fuse_in_header head;

                if (read(fuse, bytes, sizeof(bytes)) < (ssize_t) sizeof(head))
                        _exit(0);
                memcpy(&head, bytes, sizeof(head));
                if (head.opcode == FUSE_INIT)
                        answer(fuse, head.unique, &init, sizeof(init));
                else if (head.opcode == FUSE_LOOKUP)
                        answer(fuse, head.unique, &entry, sizeof(entry));
                else if (head.opcode == FUSE_OPEN)
                        answer(fuse, head.unique, &opened, sizeof(opened));
                else if (head.opcode == FUSE_FLUSH || head.opcode == FUSE_RELEASE)
                        answer(fuse, head.unique, NULL, 0);
        }
}

static int setup(void **state) {
        char options[96];
        int fuse;

        (void) state;
        fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);
        if (fuse < 0 || !mkdtemp(directory))
                return -1;
        (void) snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", fuse);
        if (mount("slow", directory, "fuse", MS_NOSUID | MS_NODEV, options) < 0)
                return -1;
        server = fork();
        if (server == 0) {
                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                serve(fuse);
        }
        (void) close(fuse);
        return server > 0 ? 0 : -1;
}

static int teardown(void **state) {
        (void) state;
        if (server > 0) {
                (void) kill(server, SIGKILL);
                (void) waitpid(server, NULL, 0);
        }
        (void) umount2(directory, MNT_DETACH);
        return rmdir(directory);
}

/* The status of a child that looks at the file; -1: it had not come back after three seconds. */
static int look(int (*how)(int fd)) {
        char path[64];
        int status = 0;
        pid_t pid;

        (void) snprintf(path, sizeof(path), "%s/x", directory);
        pid = fork();
        if (pid == 0) {
                int fd = open(path, O_RDONLY | O_CLOEXEC);

                _exit(fd < 0 ? 100 : how(fd));
        }
        assert_true(pid > 0);
        for (int i = 0; i < 300; i++) {
                if (waitpid(pid, &status, WNOHANG) == pid)
                        return WEXITSTATUS(status);
                (void) usleep(10000);
        }
        /* A request that has reached the server is waited for whatever happens; it ends with the server. */
        (void) kill(server, SIGKILL);
        (void) waitpid(server, NULL, 0);
        (void) waitpid(pid, NULL, 0);
        server = -1;
        return -1;
}

static int by_fd_check(int fd) {
        RsError err = RS_ERROR_INIT;

        return fd_check(fd, &err) == 0 ? 0 : 1;
}

static int by_fstat(int fd) {
        struct stat st;

        return fstat(fd, &st) == 0 ? 0 : 1;
}

static void a_file_that_does_not_answer_holds_nobody_who_looks_at_its_kind(void **state) {
        (void) state;
        assert_int_equal(look(by_fd_check), 0);
        assert_int_equal(look(by_fstat), -1); /* it is such a file; ends the server */
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_file_that_does_not_answer_holds_nobody_who_looks_at_its_kind),
        };

        if (geteuid() != 0 || access("/dev/fuse", R_OK | W_OK) < 0 || unshare(CLONE_NEWNS) < 0 ||
            mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
                (void) puts("SKIP: needs root, a mount namespace and /dev/fuse");
                return 77;
        }
        return cmocka_run_group_tests(tests, setup, teardown);
}
