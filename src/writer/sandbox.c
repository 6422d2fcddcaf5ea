/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * sandbox - Landlock for files, seccomp for everything else, in the process itself.
 *
 * The unit of systemd says the same from outside; a device without systemd, and a test, get it from here alone.
 * Files:
 * the state directory, the slots of the map, the boot state, the TPM; libraries and /proc, /sys read-only, because
 * TCTIs are loaded and devices looked at when they are needed.  No file may be executed at all.
 *
 * System calls: an allow list.  What is missing gets EPERM, so that a library that probes goes on; what has no honest
 * use here (exec, tracing, mounting, loading code into the kernel) kills the process.  Sockets are AF_UNIX only,
 * except
 * where the TCTI of the configuration names a host.  Memory is never writable and executable at once.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/names.h>

#include "sandbox.h"

int sandbox_early(RsError *err) {
        const struct rlimit none = { 0, 0 };

        if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0)
                return rs_fail_errno(err, errno, "no core dumps");
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return rs_fail_errno(err, errno, "no new privileges");
        return 0;
}

/* -- Landlock --------------------------------------------------------------------------------------------------- */

#define FS_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define FS_FILE (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE)
#define FS_ALL ((LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1) /* the 13 rights of version 1 */
#define FS_CHANGE                                                                                              \
        (FS_READ | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE)

/* A path that does not exist cannot be used either. */
static int allow(int ruleset, const char *path, uint64_t rights, RsError *err) {
        struct landlock_path_beneath_attr rule = { .allowed_access = rights };
        _cleanup_(closep) int fd = open(path, O_PATH | O_CLOEXEC);
        struct stat st;

        if (fd < 0)
                return 0;
        if (fstat(fd, &st) < 0)
                return rs_fail_errno(err, errno, "%s", path);
        if (!S_ISDIR(st.st_mode))
                rule.allowed_access &= FS_FILE;
        rule.parent_fd = fd;
        if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
                return rs_fail_errno(err, errno, "Landlock: %s", path);
        return 0;
}

static int allow_parent(int ruleset, const char *path, uint64_t rights, RsError *err) {
        _cleanup_(freep) char *copy = NULL;
        char *slash;

        if (!path)
                return 0;
        copy = strdup(path);
        if (!copy)
                return rs_fail_oom(err);
        slash = strrchr(copy, '/');
        if (!slash || slash == copy) /* never the root directory */
                return allow(ruleset, path, rights, err);
        *slash = '\0';
        return allow(ruleset, copy, rights, err);
}

/* GRUB: the block is overwritten.  U-Boot: fw_env.config is read, and names the devices of the environment. */
static int allow_boot(int ruleset, const BootConfig *boot, RsError *err) {
        _cleanup_(fclosep) FILE *f = NULL;
        char line[512], device[256];
        int r;

        if (!boot->path)
                return 0;
        if (!boot->backend || strcmp(boot->backend, "uboot") != 0)
                return allow_parent(ruleset, boot->path, FS_CHANGE, err);
        r = allow(ruleset, boot->path, FS_READ, err); /* it lies in /etc: nothing there may be written */
        f = fopen(boot->path, "re");
        while (r == 0 && f && fgets(line, sizeof(line), f))
                if (line[0] == '/' && sscanf(line, "%255s", device) == 1)
                        r = allow(ruleset, device, FS_FILE, err);
        return r;
}

/* Read anew whenever the trust set changes.  The directory of a set need not have one yet. */
static int allow_trust(int ruleset, const WriterConfig *c, RsError *err) {
        const char *const anchors[] = { c->firmware_root, c->source_root, c->time_root, c->recovery };
        int r = 0;

        for (size_t i = 0; r == 0 && i < ELEMENTSOF(anchors); i++)
                if (anchors[i])
                        r = allow(ruleset, anchors[i], LANDLOCK_ACCESS_FS_READ_FILE, err);
        if (r == 0 && c->trust_set)
                r = allow_parent(ruleset, c->trust_set, FS_READ, err);
        return r;
}

static int allow_all(int ruleset, const WriterConfig *c, RsError *err) {
        static const char *const readable[] = { "/usr", "/lib", "/lib64", "/etc", "/proc", "/sys", "/dev/random",
                                                "/dev/urandom", "/dev/null" };
        int r = 0;

        for (size_t i = 0; r == 0 && i < ELEMENTSOF(readable); i++)
                r = allow(ruleset, readable[i], FS_READ, err);
        if (r == 0)
                r = allow(ruleset, c->state_dir, FS_CHANGE, err);
        for (uint32_t i = 0; r == 0 && i < slot_map_count(c->map); i++)
                r = allow(ruleset, slot_map_at(c->map, i)->device, FS_FILE, err);
        if (r == 0)
                r = allow_parent(ruleset, c->booted_path, FS_READ, err);
        if (r == 0)
                r = allow_boot(ruleset, &c->boot, err);
        if (r == 0)
                r = allow_trust(ruleset, c, err);
        if (r == 0)
                r = allow_parent(ruleset, c->boot.good_path, FS_CHANGE, err);
        if (r == 0 && c->tpm.tcti && strncmp(c->tpm.tcti, "device:", 7) == 0)
                r = allow(ruleset, c->tpm.tcti + 7, FS_FILE, err);
        if (r == 0)
                r = allow_parent(ruleset, c->tpm.lock_path ? c->tpm.lock_path : RS_PATH_TPM_LOCK, FS_CHANGE, err);
        return r;
}

/* 1 = in force, 0 = the kernel has none. */
static int close_files(const WriterConfig *c, RsError *err) {
        const struct landlock_ruleset_attr attr = { .handled_access_fs = FS_ALL };
        _cleanup_(closep) int ruleset = -EBADF;
        int r;

        ruleset = (int) syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
        if (ruleset < 0 && (errno == ENOSYS || errno == EOPNOTSUPP || errno == EPERM))
                return 0;
        if (ruleset < 0)
                return rs_fail_errno(err, errno, "Landlock");
        r = allow_all(ruleset, c, err);
        if (r < 0)
                return r;
        if (syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
                return rs_fail_errno(err, errno, "Landlock");
        return 1;
}

/* -- seccomp ---------------------------------------------------------------------------------------------------- */

/* By need: loop and sockets, files, memory, threads, time, identity. */
static const char *const allowed[] = {
        "epoll_create1",
        "epoll_ctl",
        "epoll_pwait",
        "epoll_pwait2",
        "epoll_wait",
        "eventfd2",
        "poll",
        "ppoll",
        "select",
        "pselect6",
        "pselect6_time64",
        "ppoll_time64",
        "timerfd_create",
        "timerfd_settime",
        "timerfd_settime64",
        "signalfd4",
        "accept4",
        "connect",
        "getpeername",
        "getsockname",
        "getsockopt",
        "setsockopt",
        "recvfrom",
        "recvmsg",
        "sendmsg",
        "sendmmsg",
        "sendto",
        "shutdown",
        "access",
        "faccessat",
        "faccessat2",
        "chdir",
        "close",
        "close_range",
        "copy_file_range",
        "dup",
        "dup2",
        "dup3",
        "fadvise64",
        "fallocate",
        "fchmod",
        "fchmodat",
        "fcntl",
        "fcntl64",
        "fdatasync",
        "flock",
        "fstat",
        "fstat64",
        "fstatat64",
        "fstatfs",
        "fstatfs64",
        "fsync",
        "ftruncate",
        "ftruncate64",
        "getcwd",
        "getdents64",
        "ioctl",
        "_llseek",
        "lseek",
        "lstat",
        "mkdir",
        "mkdirat",
        "newfstatat",
        "open",
        "openat",
        "pipe2",
        "pread64",
        "preadv",
        "preadv2",
        "pwrite64",
        "pwritev",
        "pwritev2",
        "read",
        "readlink",
        "readlinkat",
        "readv",
        "rename",
        "renameat",
        "renameat2",
        "stat",
        "statfs",
        "statx",
        "sync_file_range",
        "umask",
        "unlink",
        "unlinkat",
        "write",
        "writev",
        "brk",
        "madvise",
        "memfd_create",
        "mlock",
        "mlock2",
        "mremap",
        "msync",
        "munlock",
        "munmap",
        "arch_prctl",
        "exit",
        "exit_group",
        "futex",
        "futex_time64",
        "get_robust_list",
        "gettid",
        "membarrier",
        "rseq",
        "rt_sigaction",
        "rt_sigprocmask",
        "rt_sigreturn",
        "rt_sigtimedwait",
        "sched_getaffinity",
        "sched_yield",
        "set_robust_list",
        "set_tid_address",
        "sigaltstack",
        "sigreturn",
        "tgkill",
        "restart_syscall",
        "clock_getres",
        "clock_gettime",
        "clock_gettime64",
        "clock_nanosleep",
        "clock_nanosleep_time64",
        "gettimeofday",
        "nanosleep",
        "time",
        "getegid",
        "geteuid",
        "getgid",
        "getgroups",
        "getpid",
        "getppid",
        "getpriority",
        "getrandom",
        "getresgid",
        "getresuid",
        "getrlimit",
        "getrusage",
        "getuid",
        "prctl",
        "prlimit64",
        "setpriority",
        "sysinfo",
        "uname",
        "io_setup",
        "io_submit",
        "io_getevents",
        "io_destroy",
};

static const char *const deadly[] = {
        "bpf", "chroot", "delete_module", "execve", "execveat", "finit_module", "init_module", "kexec_load", "mount",
        "move_mount", "open_tree", "pivot_root", "process_vm_readv", "process_vm_writev", "ptrace", "reboot", "setns",
        "umount2", "unshare", "userfaultfd",
};

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
                if (r == 0)
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

static int add_sockets(scmp_filter_ctx filter, const WriterConfig *c) {
        bool network = c->tpm.tcti && (strstr(c->tpm.tcti, "host=") || strstr(c->tpm.tcti, "port="));
        int r;

        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, AF_UNIX));
        if (r == 0 && network)
                r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, AF_INET));
        if (r == 0 && network)
                r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, AF_INET6));
        return r;
}

static int close_calls(const WriterConfig *c, RsError *err) {
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
                r = add_threads(filter);
        if (r == 0)
                r = add_sockets(filter, c);
        if (r == 0)
                r = seccomp_load(filter);
        seccomp_release(filter);
        return r < 0 ? rs_fail_errno(err, -r, "seccomp") : 0;
}

int sandbox_close(const WriterConfig *config, RsError *err) {
        int files, r;

        files = close_files(config, err);
        if (files < 0)
                return files;
        r = close_calls(config, err);
        return r < 0 ? r : files;
}
