/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * confine - Landlock for files, seccomp for everything else, in the process itself.
 *
 * The units of systemd say much the same from outside.  Here it holds for a process started in any other way, and it is
 * tighter, because it comes when everything is set up.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <reseal/base/cleanup.h>
#include <reseal/confine/confine.h>

int confine_early(RsError *err) {
        const struct rlimit none = { 0, 0 };

        if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0)
                return rs_fail_errno(err, errno, "no core dumps");
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return rs_fail_errno(err, errno, "no new privileges");
        return 0;
}

/* -- Landlock --------------------------------------------------------------------------------------------------- */

#define FS_ALL ((LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1) /* the 13 rights of version 1 */
#define FS_OF_FILE (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE)
#define FS_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define FS_CREATE (FS_READ | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG)

static const uint64_t rights[] = {
        [CONFINE_READ] = FS_READ,
        [CONFINE_WRITE] = FS_READ | LANDLOCK_ACCESS_FS_WRITE_FILE,
        [CONFINE_CREATE] = FS_CREATE,
        [CONFINE_CHANGE] = FS_CREATE | LANDLOCK_ACCESS_FS_REMOVE_FILE,
};

int confine_files_begin(int *ret_fd, RsError *err) {
        const struct landlock_ruleset_attr attr = { .handled_access_fs = FS_ALL };
        int fd = (int) syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);

        if (fd < 0 && errno != ENOSYS && errno != EOPNOTSUPP && errno != EPERM)
                return rs_fail_errno(err, errno, "Landlock");
        *ret_fd = fd < 0 ? -EBADF : fd;
        return fd >= 0;
}

int confine_files_allow_open(int fd, int directory_fd, ConfineAccess access, RsError *err) {
        struct landlock_path_beneath_attr rule = { .allowed_access = rights[access], .parent_fd = directory_fd };
        struct stat st;

        if (fd < 0)
                return 0;
        if (fstat(directory_fd, &st) < 0)
                return rs_fail_errno(err, errno, "Landlock");
        if (!S_ISDIR(st.st_mode))
                rule.allowed_access &= FS_OF_FILE;
        if (syscall(SYS_landlock_add_rule, fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
                return rs_fail_errno(err, errno, "Landlock");
        return 0;
}

int confine_files_allow(int fd, const char *path, ConfineAccess access, RsError *err) {
        _cleanup_(closep) int at = path ? open(path, O_PATH | O_CLOEXEC) : -EBADF;

        return at < 0 ? 0 : confine_files_allow_open(fd, at, access, err);
}

int confine_files_allow_parent(int fd, const char *path, ConfineAccess access, RsError *err) {
        _cleanup_(freep) char *copy = NULL;
        char *slash;

        if (!path)
                return 0;
        copy = strdup(path);
        if (!copy)
                return rs_fail_oom(err);
        slash = strrchr(copy, '/');
        if (slash && slash != copy)
                *slash = '\0';
        return confine_files_allow(fd, copy, access, err);
}

int confine_files_enforce(int fd, RsError *err) {
        if (fd >= 0 && syscall(SYS_landlock_restrict_self, fd, 0) < 0)
                return rs_fail_errno(err, errno, "Landlock");
        return 0;
}

/* -- seccomp ---------------------------------------------------------------------------------------------------- */

/* Of a service, by need: loop and sockets, files, memory, threads, time, identity. */
static const char *const of_service[] = {
        "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_pwait2", "epoll_wait", "eventfd2", "poll", "ppoll",
        "ppoll_time64", "pselect6", "pselect6_time64", "select", "signalfd4", "timerfd_create", "timerfd_settime",
        "timerfd_settime64", "accept4", "connect", "getpeername", "getsockname", "getsockopt", "recvfrom", "recvmsg",
        "sendmmsg", "sendmsg", "sendto", "setsockopt", "shutdown",

        "_llseek", "access", "chdir", "close", "close_range", "copy_file_range", "dup", "dup2", "dup3", "faccessat",
        "faccessat2", "fadvise64", "fallocate", "fchmod", "fchmodat", "fcntl", "fcntl64", "fdatasync", "flock", "fstat",
        "fstat64", "fstatat64", "fstatfs", "fstatfs64", "fsync", "ftruncate", "ftruncate64", "getcwd", "getdents64",
        "ioctl", "lseek", "lstat", "mkdir", "mkdirat", "newfstatat", "open", "openat", "pipe2", "pread64", "preadv",
        "preadv2", "pwrite64", "pwritev", "pwritev2", "read", "readlink", "readlinkat", "readv", "rename", "renameat",
        "renameat2", "stat", "statfs", "statx", "sync_file_range", "umask", "unlink", "unlinkat", "write", "writev",

        "brk", "madvise", "memfd_create", "mlock", "mlock2", "mremap", "msync", "munlock", "munmap",

        "arch_prctl", "exit", "exit_group", "futex", "futex_time64", "get_robust_list", "gettid", "membarrier",
        "restart_syscall", "rseq", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigtimedwait",
        "sched_getaffinity", "sched_yield", "set_robust_list", "set_tid_address", "sigaltstack", "sigreturn", "tgkill",

        "clock_getres", "clock_gettime", "clock_gettime64", "clock_nanosleep", "clock_nanosleep_time64", "gettimeofday",
        "nanosleep", "time",

        "getegid", "geteuid", "geteuid32", "getgid", "getuid32",
        "getgroups", "getpid", "getppid", "getpriority", "getrandom", "getresgid",
        "getresuid", "getrlimit", "getrusage", "getuid", "prctl", "prlimit64", "setpriority", "sysinfo", "uname",
};

static const char *const deadly[] = {
        "bpf", "chroot", "delete_module", "execve", "execveat", "finit_module", "init_module", "kexec_file_load",
        "kexec_load", "mount", "move_mount", "open_tree", "pivot_root", "process_vm_readv", "process_vm_writev",
        "ptrace", "reboot", "setns", "umount2", "unshare", "userfaultfd",
};

static const char *const deadly_without_threads[] = { "clone", "clone3", "fork", "vfork" };

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

/* Without libraries that are loaded later, memory need not become executable at all. */
static int add_memory(scmp_filter_ctx filter, bool libraries) {
        static const char *const calls[] = { "mmap", "mmap2", "mprotect" };
        int r = 0;

        for (size_t i = 0; r == 0 && i < ELEMENTSOF(calls); i++) {
                int number = seccomp_syscall_resolve_name(calls[i]);

                if (number == __NR_SCMP_ERROR)
                        continue;
                r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
                if (r == 0 && libraries)
                        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 1,
                                             SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC | PROT_WRITE, PROT_EXEC));
                if (r == -EDOM)
                        r = 0;
        }
        return r;
}

/* Threads, never processes; clone3 has its flags in memory, where no filter sees them. */
static int add_threads(scmp_filter_ctx filter) {
        int r;

        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                             SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD | CLONE_VM, CLONE_THREAD | CLONE_VM));
        if (r == 0)
                r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
        return r;
}

static int add_sockets(scmp_filter_ctx filter, const ConfineCalls *calls) {
        int r;

        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, AF_UNIX));
        for (size_t i = 0; r == 0 && i < calls->n_families; i++)
                r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
                                     SCMP_A0(SCMP_CMP_EQ, (unsigned) calls->families[i]));
        return r;
}

static int add_all(scmp_filter_ctx filter, const ConfineCalls *calls) {
        int r;

        r = add_names(filter, calls->allowed, calls->n_allowed, SCMP_ACT_ALLOW);
        if (r == 0)
                r = add_names(filter, deadly, ELEMENTSOF(deadly), SCMP_ACT_KILL_PROCESS);
        if (r == 0)
                r = add_memory(filter, calls->libraries);
        if (r == 0)
                r = add_sockets(filter, calls);
        if (r != 0)
                return r;
        if (!calls->service)
                return add_names(filter, deadly_without_threads, ELEMENTSOF(deadly_without_threads),
                                 SCMP_ACT_KILL_PROCESS);
        r = add_names(filter, of_service, ELEMENTSOF(of_service), SCMP_ACT_ALLOW);
        return r < 0 ? r : add_threads(filter);
}

int confine_calls(const ConfineCalls *calls, RsError *err) {
        scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
        int r;

        if (!filter)
                return rs_fail_oom(err);
        r = add_all(filter, calls);
        if (r == 0)
                r = seccomp_load(filter);
        seccomp_release(filter);
        return r < 0 ? rs_fail_errno(err, -r, "seccomp") : 0;
}
