/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * sandbox - one directory, and the system calls that replacing one file in it needs.
 *
 * After this the process can neither open a file outside the store, nor make a socket but of AF_UNIX (the journal's),
 * nor execute, fork or make memory executable: parsing certificates of strangers is all it does, and with all it could
 * still do it can only put another file where reseal-writer does not believe it.
 *
 * What is missing in the list gets EPERM, so that a library that probes goes on; what has no honest use here ends the
 * process.
 */
#include <errno.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <reseal/base/cleanup.h>

#include "sandbox.h"

#define FS_ALL ((LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1) /* the 13 rights of version 1 */
#define FS_STORE                                                                                                  \
        (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_WRITE_FILE |              \
         LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE)

static const char *const allowed[] = {
        "accept4", "brk", "clock_gettime", "clock_gettime64", "close", "connect", "exit", "exit_group", "fchmod",
        "fcntl", "fcntl64", "flock", "fstat", "fstat64", "fstatat64", "fsync", "ftruncate", "ftruncate64", "futex",
        "futex_time64", "getpid", "getrandom", "getsockopt", "gettid", "lseek", "_llseek", "madvise", "memfd_create",
        "mremap", "munmap", "newfstatat", "open", "openat", "poll", "ppoll", "ppoll_time64", "pread64", "pwrite64",
        "read", "recvfrom", "recvmsg", "rename", "renameat", "renameat2", "restart_syscall", "rseq", "rt_sigaction",
        "rt_sigprocmask", "rt_sigreturn", "sendmsg", "sendto", "setsockopt", "sigreturn", "statx", "tgkill", "unlink",
        "unlinkat", "write", "writev",
};

static const char *const deadly[] = {
        "bpf", "chroot", "clone", "clone3", "execve", "execveat", "finit_module", "fork", "init_module", "kexec_load",
        "mount", "move_mount", "open_tree", "pivot_root", "process_vm_readv", "process_vm_writev", "ptrace", "reboot",
        "setns", "umount2", "unshare", "userfaultfd", "vfork",
};

int sandbox_early(RsError *err) {
        const struct rlimit none = { 0, 0 };

        if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0)
                return rs_fail_errno(err, errno, "no core dumps");
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return rs_fail_errno(err, errno, "no new privileges");
        return 0;
}

/* 1 = in force, 0 = the kernel has none. */
static int close_files(int store_fd, RsError *err) {
        const struct landlock_ruleset_attr attr = { .handled_access_fs = FS_ALL };
        const struct landlock_path_beneath_attr rule = { .allowed_access = FS_STORE, .parent_fd = store_fd };
        _cleanup_(closep) int ruleset = -EBADF;

        ruleset = (int) syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
        if (ruleset < 0 && (errno == ENOSYS || errno == EOPNOTSUPP || errno == EPERM))
                return 0;
        if (ruleset < 0 || syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0 ||
            syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
                return rs_fail_errno(err, errno, "Landlock");
        return 1;
}

/* A name that this architecture does not have is not an error. */
static int add_names(scmp_filter_ctx filter, const char *const *names, size_t n, uint32_t action) {
        for (size_t i = 0; i < n; i++) {
                int number = seccomp_syscall_resolve_name(names[i]);
                int r = number == __NR_SCMP_ERROR ? 0 : seccomp_rule_add(filter, action, number, 0);

                if (r < 0 && r != -EDOM)
                        return r;
        }
        return 0;
}

static int add_memory(scmp_filter_ctx filter) {
        static const char *const calls[] = { "mmap", "mmap2", "mprotect" };
        int r = 0;

        for (size_t i = 0; r == 0 && i < ELEMENTSOF(calls); i++) {
                int number = seccomp_syscall_resolve_name(calls[i]);

                if (number == __NR_SCMP_ERROR)
                        continue;
                r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
                if (r == -EDOM)
                        r = 0;
        }
        return r;
}

static int close_calls(RsError *err) {
        scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
        int r;

        if (!filter)
                return rs_fail_oom(err);
        r = add_names(filter, allowed, ELEMENTSOF(allowed), SCMP_ACT_ALLOW);
        if (r == 0)
                r = add_names(filter, deadly, ELEMENTSOF(deadly), SCMP_ACT_KILL_PROCESS);
        if (r == 0)
                r = add_memory(filter);
        if (r == 0)
                r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, AF_UNIX));
        if (r == 0)
                r = seccomp_load(filter);
        seccomp_release(filter);
        return r < 0 ? rs_fail_errno(err, -r, "seccomp") : 0;
}

int sandbox_close(int store_fd, RsError *err) {
        int files, r;

        files = close_files(store_fd, err);
        if (files < 0)
                return files;
        r = close_calls(err);
        return r < 0 ? r : files;
}
