/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * forbidden - tries what a taken-over service would try, and tells what the kernel said.
 *
 *   forbidden [own=DIRECTORY]      a line per action: name, "possible" or "refused", what the kernel said
 *
 * forbidden.sh puts this program in the place of each service, in its unit as shipped, and compares.  Built for a service, it
 * also confines itself exactly as that service does (its sandbox.c), in a child for each action.
 * "Refused" means that a fence said no: SIGSYS, EPERM, EACCES, EROFS, ENOENT (made invisible), a family of sockets that
 * does not exist.  Any other failure is the kernel's answer to an argument, so the call itself was let through.  Every
 * action is harmless where it is possible: files of its own, calls without sense.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/error.h>
#include <reseal/base/names.h>

#if defined(CERTSTORE)
#include "keeper.h"
#endif
#if defined(RESEALD) || defined(WRITER) || defined(CERTSTORE)
#include "sandbox.h"
#endif

static const char *own = "/tmp";

static int open_and_close(const char *path, int flags) {
        int fd = open(path, flags | O_CLOEXEC | O_NOCTTY, 0600);

        return fd < 0 ? -1 : close(fd);
}

/* -- files: the argument is a path ------------------------------------------------------------------------------ */

static int read_path(const char *path) {
        return open_and_close(path, O_RDONLY);
}

static int write_path(const char *path) {
        return open_and_close(path, O_WRONLY);
}

/* The bytes that are there already.  A read-only block device may be opened, and each write is refused. */
static int write_same(const char *path) {
        _cleanup_(closep) int in = open(path, O_RDONLY | O_CLOEXEC), out = -EBADF;
        uint8_t block[512];

        if (in < 0 || pread(in, block, sizeof(block), 0) != (ssize_t) sizeof(block))
                return -1;
        out = open(path, O_WRONLY | O_CLOEXEC);
        return out < 0 || pwrite(out, block, sizeof(block), 0) != (ssize_t) sizeof(block) ? -1 : 0;
}

static int map_writable(const char *path) {
        _cleanup_(closep) int fd = open(path, O_RDWR | O_CLOEXEC);

        if (fd < 0)
                return -1;
        if (mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED)
                return 0;
        errno = errno == EINVAL ? EROFS : errno; /* that is how a read-only block device says it */
        return -1;
}

/* What `reseal-writer --protect` has made read-only. */
static int make_writable(const char *path) {
        _cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
        const int no = 0;

        return fd < 0 || ioctl(fd, BLKROSET, &no) < 0 ? -1 : 0;
}

static int create_in(const char *directory) {
        char path[256];
        int r;

        (void) snprintf(path, sizeof(path), "%s/reseal-forbidden", directory);
        r = open_and_close(path, O_WRONLY | O_CREAT);
        if (r == 0)
                (void) unlink(path);
        return r;
}

static int make_setuid(const char *unused) {
        char path[256];
        int r, saved;

        (void) unused;
        (void) snprintf(path, sizeof(path), "%s/setuid", own);
        if (open_and_close(path, O_WRONLY | O_CREAT) < 0)
                return -1;
        r = chmod(path, 04700);
        saved = errno;
        (void) unlink(path);
        errno = saved;
        return r;
}

/* -- sockets ---------------------------------------------------------------------------------------------------- */

static int family(int which, int type) {
        int fd = socket(which, type | SOCK_CLOEXEC, 0);

        return fd < 0 ? -1 : close(fd);
}

static int socket_inet(const char *unused) {
        (void) unused;
        return family(AF_INET, SOCK_STREAM);
}

static int socket_inet6(const char *unused) {
        (void) unused;
        return family(AF_INET6, SOCK_DGRAM);
}

static int socket_packet(const char *unused) {
        (void) unused;
        return family(AF_PACKET, SOCK_RAW);
}

static int socket_netlink(const char *unused) {
        (void) unused;
        return family(AF_NETLINK, SOCK_RAW);
}

static int socket_unix(const char *unused) {
        (void) unused;
        return family(AF_UNIX, SOCK_DGRAM);
}

/* -- programs and memory ---------------------------------------------------------------------------------------- */

/* A program that is none: EACCES of a mount without exec comes before ENOEXEC of the format. */
static int execute(const char *directory) {
        char path[256], *const nothing[] = { NULL };
        int fd, saved;

        (void) snprintf(path, sizeof(path), "%s/program", directory);
        fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
        if (fd < 0)
                return -1;
        if (write(fd, "\177no", 3) != 3)
                return -1;
        (void) close(fd);
        (void) execve(path, nothing, nothing);
        saved = errno;
        (void) unlink(path);
        errno = saved;
        return -1;
}

static int execute_memory(const char *unused) {
        int fd = memfd_create("program", MFD_CLOEXEC);
        char *const nothing[] = { NULL };

        (void) unused;
        if (fd < 0 || write(fd, "\177no", 3) != 3)
                return -1;
        (void) fexecve(fd, nothing, nothing);
        return -1;
}

/* No program, but its bytes: what execve() is refused, a mapping could do. */
static int code_of(int fd) {
        void *p;

        if (fd < 0 || write(fd, "code", 4) != 4)
                return -1;
        p = mmap(NULL, 4, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
        return p == MAP_FAILED ? -1 : 0;
}

static int code_of_memory(const char *unused) {
        (void) unused;
        return code_of(memfd_create("code", MFD_CLOEXEC));
}

static int code_of_file(const char *directory) {
        char path[256];
        int r, saved;

        (void) snprintf(path, sizeof(path), "%s/code", directory);
        r = code_of(open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
        saved = errno;
        (void) unlink(path);
        errno = saved;
        return r;
}

static int code_by_key(const char *unused) {
        void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        (void) unused;
        return p == MAP_FAILED ? -1 : (int) syscall(SYS_pkey_mprotect, p, 4096, PROT_READ | PROT_EXEC, -1);
}

static int writable_code(const char *unused) {
        (void) unused;
        return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0;
}

static int code_that_was_written(const char *unused) {
        void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        (void) unused;
        return p == MAP_FAILED ? -1 : mprotect(p, 4096, PROT_READ | PROT_EXEC);
}

/* -- other processes -------------------------------------------------------------------------------------------- */

static int see_init(const char *unused) {
        (void) unused;
        return read_path("/proc/1/status");
}

static int read_init(const char *unused) {
        (void) unused;
        return read_path("/proc/1/environ");
}

static int signal_init(const char *unused) {
        (void) unused;
        return kill(1, 0);
}

static int trace_init(const char *unused) {
        (void) unused;
        return (int) ptrace(PTRACE_SEIZE, 1, NULL, (void *) ~0ul); /* options that nobody knows: EIO or EINVAL when it may */
}

static int memory_of_init(const char *unused) {
        char byte;
        struct iovec here = { &byte, 1 }, there = { NULL, 1 };

        (void) unused;
        return process_vm_readv(1, &here, 1, &there, 1, 0) < 0 ? -1 : 0;
}

/* -- the machine ------------------------------------------------------------------------------------------------ */

static int mount_something(const char *unused) {
        (void) unused;
        return mount("none", "/nonexistent-of-forbidden", "tmpfs", 0, NULL) < 0 && errno == ENOENT ? 0 : -1;
}

static int new_namespace(const char *unused) {
        (void) unused;
        return unshare(CLONE_NEWUTS);
}

static int new_user_namespace(const char *unused) {
        (void) unused;
        return (int) syscall(SYS_unshare, CLONE_NEWUSER);
}

static int change_root(const char *unused) {
        (void) unused;
        return chroot("/");
}

static int host_name(const char *unused) {
        char name[65];

        (void) unused;
        return gethostname(name, sizeof(name)) < 0 ? -1 : sethostname(name, strlen(name));
}

static int set_clock(const char *unused) {
        (void) unused;
        return (int) syscall(SYS_clock_settime, CLOCK_REALTIME, NULL);
}

static int load_module(const char *unused) {
        (void) unused;
        return (int) syscall(SYS_finit_module, -1, "", 0);
}

static int run_bpf(const char *unused) {
        (void) unused;
        return (int) syscall(SYS_bpf, 9999, NULL, 0);
}

static int open_perf(const char *unused) {
        (void) unused;
        return (int) syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0);
}

static int use_ring(const char *unused) {
        (void) unused;
        return (int) syscall(SYS_io_uring_setup, 0, NULL);
}

static int fault_by_user(const char *unused) {
        (void) unused;
        return (int) syscall(SYS_userfaultfd, ~0);
}

static int add_a_key(const char *unused) {
        (void) unused;
        return (int) syscall(SYS_add_key, NULL, NULL, NULL, 0, 0);
}

static int restart(const char *unused) {
        (void) unused;
        return (int) syscall(SYS_reboot, 0, 0, 0, NULL); /* without the magic numbers: EINVAL when it may */
}

static int swap_on(const char *unused) {
        (void) unused;
        return (int) syscall(SYS_swapon, NULL, 0);
}

static int become_root(const char *unused) {
        (void) unused;
        return (int) syscall(SYS_setuid, 0);
}

static int run_in_real_time(const char *unused) {
        struct sched_param p = { .sched_priority = 1 };

        (void) unused;
        return sched_setscheduler(0, SCHED_FIFO, &p);
}

static int kernel_log(const char *unused) {
        (void) unused;
        return (int) syscall(SYS_syslog, 10, NULL, 0);
}

static int personality_of_old(const char *unused) {
        (void) unused;
        return (int) syscall(SYS_personality, 0x0400000); /* READ_IMPLIES_EXEC */
}

typedef struct Action {
        const char *name;
        int (*act)(const char *argument);
        const char *argument;
} Action;

static const Action actions[] = {
        { "read-own", read_path, "OWN" },
        { "create-own", create_in, "OWN" },
        { "socket-unix", socket_unix, NULL },
        { "create-etc", create_in, "/etc" },
        { "create-usr", create_in, "/usr" },
        { "create-var-lib", create_in, "/var/lib" },
        { "create-store", create_in, "/var/lib/reseal-trust" },
        { "create-daemon", create_in, "/var/lib/reseal" },
        { "create-writer", create_in, "/var/lib/reseal-writer" },
        { "read-daemon-conf", read_path, "/etc/reseal/reseal.conf" },
        { "read-writer-conf", read_path, "/etc/reseal/writer.conf" },
        { "read-gate-auth", read_path, "/var/lib/reseal-writer/gate.auth" },
        { "read-identity", read_path, "/var/lib/reseal/keys/identity.tpm" },
        { "write-grubenv", write_path, "/boot/reseal/grubenv" },
        { "read-home", read_path, "/root" },
        { "read-shadow", read_path, "/etc/shadow" },
        { "setuid-file", make_setuid, NULL },
        { "unprotect", make_writable, "/dev/reseal/slot-a" },
        { "read-running-slot", read_path, "/dev/reseal/slot-a" },
        { "running-slot", write_same, "/dev/reseal/slot-a" },
        { "map-running-slot", map_writable, "/dev/reseal/slot-a" },
        { "other-slot", write_same, "/dev/reseal/slot-b" },
        { "other-disk", write_path, "/dev/reseal/other" },
        { "kmsg", write_path, "/dev/kmsg" },
        { "socket-inet", socket_inet, NULL },
        { "socket-inet6", socket_inet6, NULL },
        { "socket-packet", socket_packet, NULL },
        { "socket-netlink", socket_netlink, NULL },
        { "execute-own", execute, "OWN" },
        { "execute-memory", execute_memory, NULL },
        { "memory-as-code", code_of_memory, NULL },
        { "own-as-code", code_of_file, "OWN" },
        { "code-by-key", code_by_key, NULL },
        { "writable-code", writable_code, NULL },
        { "written-code", code_that_was_written, NULL },
        { "see-init", see_init, NULL },
        { "read-init", read_init, NULL },
        { "signal-init", signal_init, NULL },
        { "trace-init", trace_init, NULL },
        { "memory-of-init", memory_of_init, NULL },
        { "mount", mount_something, NULL },
        { "namespace", new_namespace, NULL },
        { "user-namespace", new_user_namespace, NULL },
        { "chroot", change_root, NULL },
        { "hostname", host_name, NULL },
        { "write-sysctl", write_path, "/proc/sys/kernel/core_pattern" },
        { "write-sysfs", write_path, "/sys/kernel/uevent_helper" },
        { "clock", set_clock, NULL },
        { "module", load_module, NULL },
        { "bpf", run_bpf, NULL },
        { "perf", open_perf, NULL },
        { "io-uring", use_ring, NULL },
        { "userfaultfd", fault_by_user, NULL },
        { "keyring", add_a_key, NULL },
        { "reboot", restart, NULL },
        { "swap", swap_on, NULL },
        { "root", become_root, NULL },
        { "real-time", run_in_real_time, NULL },
        { "kernel-log", kernel_log, NULL },
        { "personality", personality_of_old, NULL },
};

static int is_refusal(int error) {
        return error == EPERM || error == EACCES || error == EROFS || error == ENOENT || error == EAFNOSUPPORT ||
               error == EPROTONOSUPPORT;
}

#if defined(RESEALD)
static int confine_like_the_service(RsError *err) {
        static DaemonConfig c;
        int r = daemon_config_read(RS_PATH_CONF_DAEMON, &c, err);

        return r < 0 ? r : sandbox_close(&c, err);
}
#elif defined(WRITER)
static int confine_like_the_service(RsError *err) {
        static WriterConfig c;
        int r = writer_config_load(RS_PATH_CONF_WRITER, &c, err);

        return r < 0 ? r : sandbox_close(&c, err);
}
#elif defined(CERTSTORE)
static int confine_like_the_service(RsError *err) {
        static Keeper k = KEEPER_EMPTY;
        int r = keeper_open(RS_PATH_CONF_WRITER, RS_PATH_STATE_TRUST, &k, err);

        return r < 0 ? r : sandbox_close(k.store_fd, err);
}
#else
static int confine_like_the_service(RsError *err) {
        (void) err;
        return 0;
}
#endif

#define NOT_CONFINED 255

/* errno; EPERM for a process that was killed for the call. */
static int try(const Action *a) {
        const char *argument = a->argument && strcmp(a->argument, "OWN") == 0 ? own : a->argument;
        int status = 0;
        pid_t pid = fork();

        if (pid == 0) {
                RsError err = RS_ERROR_INIT;

                if (confine_like_the_service(&err) < 0) {
                        (void) fprintf(stderr, "%s\n", err.text);
                        _exit(NOT_CONFINED);
                }
                errno = 0;
                _exit(a->act(argument) < 0 ? errno : 0);
        }
        if (pid < 0 || waitpid(pid, &status, 0) != pid)
                return NOT_CONFINED;
        if (WIFSIGNALED(status))
                return WTERMSIG(status) == SIGSYS ? EPERM : NOT_CONFINED;
        return WEXITSTATUS(status);
}

int main(int argc, char **argv) {
        for (int i = 1; i < argc; i++)
                if (strncmp(argv[i], "own=", 4) == 0)
                        own = argv[i] + 4;
        if (getenv("STATE_DIRECTORY"))
                own = getenv("STATE_DIRECTORY");
        for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
                const Action *a = &actions[i];
                int error = try(a);

                if (error == NOT_CONFINED)
                        return EXIT_FAILURE;
                printf("%s %s %s\n", a->name, is_refusal(error) ? "refused" : "possible", strerror(error));
        }
        return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
