/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * sandbox - Landlock, seccomp, no core dumps, no debugger.
 *
 * The unit file says much of this too; here it holds for a daemon started in any other way, and it is tighter
 * because it comes after the start.  What remains: reading below /etc, /usr, /run and the like (resolver,
 * TCTI libraries), writing in the state directory, the TPM lock file and the TPM device.  Nothing can be
 * executed.  Block devices cannot be opened for writing: Landlock permits it nowhere, whatever the device
 * node's mode says.
 *
 * The system call filter forbids what no code of ours, of curl, of the TSS or of libsystemd needs and what an
 * attacker wants next: programs, mounts, namespaces, tracing, modules, keys, clocks, raw I/O.  It answers
 * EPERM, so a library that only tries something falls back.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/landlock.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <seccomp.h>

#include <reseal/base/cleanup.h>

#include "sandbox.h"

#define READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define WRITE_FILE (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE)
#define WRITE_DIR (READ | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE)
/* Everything that the first version of Landlock knows: what is not permitted below is forbidden. */
#define HANDLED (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE | \
                 LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE | \
                 LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | \
                 LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK | \
                 LANDLOCK_ACCESS_FS_MAKE_SYM)

static int permit(int ruleset, const char *path, uint64_t access, RsError *err) {
        _cleanup_(closep) int fd = open(path, O_PATH | O_CLOEXEC);
        struct stat st;

        if (fd < 0)
                return 0; /* what is not there needs no permission */
        if (fstat(fd, &st) < 0)
                return rs_fail_errno(err, errno, "%s", path);
        if (!S_ISDIR(st.st_mode))
                access &= WRITE_FILE;
        struct landlock_path_beneath_attr rule = { .allowed_access = access, .parent_fd = fd };
        if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
                return rs_fail_errno(err, errno, "Landlock: %s", path);
        return 0;
}

static int permit_all(int ruleset, const DaemonConfig *c, RsError *err) {
        static const char *const READABLE[] = { "/etc", "/usr", "/lib", "/lib64", "/run", "/var/run", "/proc", "/sys" };
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(READABLE); i++)
                r = permit(ruleset, READABLE[i], READ, err);
        if (r >= 0)
                r = permit(ruleset, c->state_dir, WRITE_DIR, err);
        if (r >= 0)
                r = permit(ruleset, c->keys_dir, READ, err);
        if (r >= 0 && c->tpm.lock_path) {
                /* the lock file is made on first use, so its directory it must be */
                _cleanup_(freep) char *copy = strdup(c->tpm.lock_path);
                if (!copy)
                        return rs_fail_oom(err);
                r = permit(ruleset, dirname(copy), WRITE_DIR & ~(uint64_t) LANDLOCK_ACCESS_FS_REMOVE_FILE, err);
        }
        for (unsigned n = 0; r >= 0 && n < 4; n++) {
                char path[32];
                (void) snprintf(path, sizeof(path), n & 1 ? "/dev/tpmrm%u" : "/dev/tpm%u", n / 2);
                r = permit(ruleset, path, WRITE_FILE, err);
        }
        if (r >= 0)
                r = permit(ruleset, "/dev/urandom", LANDLOCK_ACCESS_FS_READ_FILE, err);
        if (r >= 0)
                r = permit(ruleset, "/dev/null", WRITE_FILE, err);
        return r;
}

static int enter_landlock(const DaemonConfig *c, bool *ret_partial, RsError *err) {
        const struct landlock_ruleset_attr attr = { .handled_access_fs = HANDLED };
        _cleanup_(closep) int ruleset = (int) syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);

        if (ruleset < 0) {
                if (errno != ENOSYS && errno != EOPNOTSUPP)
                        return rs_fail_errno(err, errno, "Landlock");
                *ret_partial = true;
                return 0;
        }
        int r = permit_all(ruleset, c, err);
        if (r < 0)
                return r;
        if (syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
                return rs_fail_errno(err, errno, "Landlock");
        return 0;
}

static int enter_seccomp(RsError *err) {
        static const char *const FORBIDDEN[] = {
                "acct", "add_key", "adjtimex", "bpf", "chroot", "clock_adjtime", "clock_settime", "create_module",
                "delete_module", "execve", "execveat", "fanotify_init", "finit_module", "fsconfig", "fsmount", "fsopen",
                "fspick", "init_module", "io_uring_enter", "io_uring_register", "io_uring_setup", "ioperm", "iopl",
                "kcmp", "kexec_file_load", "kexec_load", "keyctl", "lookup_dcookie", "mknod", "mknodat", "mount",
                "mount_setattr", "move_mount", "name_to_handle_at", "open_by_handle_at", "open_tree", "perf_event_open",
                "personality", "pidfd_getfd", "pivot_root", "process_madvise", "process_vm_readv", "process_vm_writev",
                "ptrace", "quotactl", "quotactl_fd", "reboot", "request_key", "setdomainname", "setfsgid", "setfsuid",
                "setgid", "setgroups", "sethostname", "setns", "setregid", "setresgid", "setresuid", "setreuid",
                "settimeofday", "setuid", "stime", "swapoff", "swapon", "syslog", "umount", "umount2", "unshare",
                "userfaultfd", "vhangup", "vmsplice",
        };
        scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
        int r = filter ? 0 : -ENOMEM;

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(FORBIDDEN); i++) {
                int nr = seccomp_syscall_resolve_name(FORBIDDEN[i]);
                if (nr != __NR_SCMP_ERROR)
                        r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), nr, 0);
                if (r == -EDOM)
                        r = 0; /* not a call of this architecture */
        }
        if (r >= 0)
                r = seccomp_load(filter);
        seccomp_release(filter);
        return r < 0 ? rs_fail(err, INTERNAL, "system call filter: %s", strerror(-r)) : 0;
}

int sandbox_enter(const DaemonConfig *config, bool *ret_partial, RsError *err) {
        const struct rlimit none = { 0, 0 };
        bool partial = false;

        if (setrlimit(RLIMIT_CORE, &none) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0 ||
            prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return rs_fail_errno(err, errno, "process limits");
        int r = enter_landlock(config, &partial, err);
        if (r >= 0)
                r = enter_seccomp(err);
        if (r < 0)
                return r;
        *ret_partial = partial;
        return 0;
}
