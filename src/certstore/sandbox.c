/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * sandbox - one directory, and the system calls that replacing one file in it needs.
 *
 * After this the process can neither open a file outside the store, nor make a socket but of AF_UNIX (the journal's),
 * nor execute, fork or make memory executable: parsing certificates of strangers is all it does, and with all it could
 * still do it can only put another file where reseal-writer does not believe it.
 */
#include <reseal/base/cleanup.h>
#include <reseal/confine/confine.h>

#include "sandbox.h"

static const char *const allowed[] = {
        "accept4", "brk", "clock_gettime", "clock_gettime64", "close", "connect", "exit", "exit_group", "fchmod",
        "fcntl", "fcntl64", "flock", "fstat", "fstat64", "fstatat64", "fsync", "ftruncate", "ftruncate64", "futex",
        "futex_time64", "geteuid", "geteuid32", "getpid", "getuid32",
        "getrandom", "getsockopt", "gettid", "lseek", "_llseek", "madvise",
        "memfd_create", "mremap", "munmap", "newfstatat", "open", "openat", "poll", "ppoll", "ppoll_time64", "pread64", "pwrite64",
        "read", "recvfrom", "recvmsg", "rename", "renameat", "renameat2", "restart_syscall", "rseq", "rt_sigaction",
        "rt_sigprocmask", "rt_sigreturn", "sendmsg", "sendto", "setsockopt", "sigreturn", "statx", "tgkill", "unlink",
        "unlinkat", "write", "writev",
};

int sandbox_close(int store_fd, RsError *err) {
        const ConfineCalls calls = { .allowed = allowed, .n_allowed = ELEMENTSOF(allowed) };
        _cleanup_(closep) int files = -EBADF;
        int landlock, r;

        landlock = confine_files_begin(&files, err);
        if (landlock < 0)
                return landlock;
        r = confine_files_allow_open(files, store_fd, CONFINE_CHANGE, err);
        if (r == 0)
                r = confine_files_enforce(files, err);
        if (r == 0)
                r = confine_calls(&calls, err);
        return r < 0 ? r : landlock;
}
