/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is left to a process, asked of the kernel by a child that has confined itself (S20, T26). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <reseal/base/cleanup.h>
#include <reseal/confine/confine.h>

#define NO_LANDLOCK 77
#define KILLED 1000 /* outcome of a child that the kernel ended */

static char directory[] = "/tmp/reseal-confine.XXXXXX";
static const ConfineCalls service = { .service = true };
static const ConfineCalls with_libraries = { .service = true, .libraries = true }; /* loaded when they are needed */
/* sigaltstack is AddressSanitizer's, before a function that does not return. */
static const char *const little_names[] = { "exit_group", "openat", "sigaltstack" };
static const ConfineCalls little = { .allowed = little_names, .n_allowed = ELEMENTSOF(little_names) };

static int setup(void **state) {
        char path[64];
        int fd;

        (void) state;
        if (!mkdtemp(directory))
                return -1;
        (void) snprintf(path, sizeof(path), "%s/file", directory);
        fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        return fd < 0 ? -1 : close(fd);
}

static int teardown(void **state) {
        char command[64];

        (void) state;
        (void) snprintf(command, sizeof(command), "rm -r %s", directory);
        return system(command);
}

/* 0 or errno of act in a child that closed calls, KILLED if the kernel ended it. */
static int with_calls(const ConfineCalls *calls, int (*act)(void)) {
        int status = 0;
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
                RsError err = RS_ERROR_INIT;

                if (confine_early(&err) < 0 || confine_calls(calls, &err) < 0)
                        _exit(126);
                _exit(act() < 0 ? errno : 0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (WIFSIGNALED(status)) {
                assert_int_equal(WTERMSIG(status), SIGSYS);
                return KILLED;
        }
        return WEXITSTATUS(status);
}

static int run_a_program(void) {
        char *const argv[] = { (char *) "true", NULL };

        return execv("/bin/true", argv);
}

static int trace_itself(void) {
        return (int) ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static int make_a_process(void) {
        return fork();
}

static void *nothing(void *argument) {
        return argument;
}

static int make_a_thread(void) {
        pthread_t thread;
        int r = pthread_create(&thread, NULL, nothing, NULL);

        errno = r;
        return r == 0 ? pthread_join(thread, NULL) : -1;
}

static int change_the_clock(void) {
        const struct timespec now = { .tv_sec = 1 };

        return clock_settime(CLOCK_REALTIME, &now);
}

static int talk_to_the_network(void) {
        return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static int talk_to_the_journal(void) {
        return socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

static int map(int protection) {
        return mmap(NULL, 4096, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0;
}

static int map_code(void) {
        return map(PROT_READ | PROT_EXEC);
}

static int map_writable_code(void) {
        return map(PROT_READ | PROT_WRITE | PROT_EXEC);
}

static int map_data(void) {
        return map(PROT_READ | PROT_WRITE);
}

static void a_service_has_threads_memory_and_the_journal(void **state) {
        (void) state;
        assert_int_equal(with_calls(&service, make_a_thread), 0);
        assert_int_equal(with_calls(&service, map_data), 0);
        assert_int_equal(with_calls(&with_libraries, map_code), 0);
        assert_int_equal(with_calls(&with_libraries, map_writable_code), EPERM);
        assert_int_equal(with_calls(&service, map_code), EPERM);
        assert_int_equal(with_calls(&service, talk_to_the_journal), 0);
}

static void a_service_has_no_processes_clock_or_network(void **state) {
        (void) state;
        assert_int_equal(with_calls(&service, make_a_process), EPERM);
        assert_int_equal(with_calls(&service, change_the_clock), EPERM);
        assert_int_equal(with_calls(&service, talk_to_the_network), EPERM);
        assert_int_equal(with_calls(&service, map_writable_code), EPERM);
}

static void what_has_no_honest_use_ends_the_process(void **state) {
        (void) state;
        assert_int_equal(with_calls(&service, run_a_program), KILLED);
        assert_int_equal(with_calls(&service, trace_itself), KILLED);
        assert_int_equal(with_calls(&little, make_a_process), KILLED);
}

static void families_of_sockets_are_named(void **state) {
        static const int inet[] = { AF_INET };
        const ConfineCalls network = { .service = true, .families = inet, .n_families = 1 };

        (void) state;
        assert_int_equal(with_calls(&network, talk_to_the_network), 0);
        assert_int_equal(with_calls(&network, talk_to_the_journal), 0);
}

static void without_service_only_the_named_calls_are_left(void **state) {
        (void) state;
        assert_int_equal(with_calls(&little, talk_to_the_journal), 0);
        assert_int_equal(with_calls(&little, talk_to_the_network), EPERM);
        assert_int_equal(with_calls(&little, map_code), EPERM);
        assert_int_equal(with_calls(&little, change_the_clock), EPERM);
}

static void nothing_of_it_is_dumped_or_raised(void **state) {
        int status = 0;
        pid_t pid = fork();

        (void) state;
        assert_true(pid >= 0);
        if (pid == 0) {
                RsError err = RS_ERROR_INIT;
                struct rlimit core;

                _exit(confine_early(&err) == 0 && prctl(PR_GET_DUMPABLE) == 0 && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 &&
                                      getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_max == 0
                              ? 0 : 1);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
}

/* errno of opening NAME in the directory, after it was allowed with this access; -1: not allowed at all. */
static int open_with(int access, const char *name, int flags) {
        char path[64];
        int status = 0;
        pid_t pid;

        (void) snprintf(path, sizeof(path), "%s/%s", directory, name);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                RsError err = RS_ERROR_INIT;
                int files = -EBADF, r;

                r = confine_early(&err) < 0 ? -1 : confine_files_begin(&files, &err);
                if (r == 0)
                        _exit(NO_LANDLOCK);
                if (r < 0 || (access >= 0 && confine_files_allow(files, directory, (ConfineAccess) access, &err) < 0) ||
                    confine_files_enforce(files, &err) < 0)
                        _exit(126);
                _exit(open(path, flags | O_CLOEXEC, 0600) < 0 ? errno : 0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (WEXITSTATUS(status) == NO_LANDLOCK) {
                print_message("SKIP: this kernel has no Landlock\n");
                exit(77);
        }
        return WEXITSTATUS(status);
}

static void files_have_the_access_that_was_allowed(void **state) {
        (void) state;
        assert_int_equal(open_with(-1, "file", O_RDONLY), EACCES);
        assert_int_equal(open_with(CONFINE_READ, "file", O_RDONLY), 0);
        assert_int_equal(open_with(CONFINE_READ, "file", O_RDWR), EACCES);
        assert_int_equal(open_with(CONFINE_WRITE, "file", O_RDWR), 0);
        assert_int_equal(open_with(CONFINE_WRITE, "new", O_RDWR | O_CREAT), EACCES);
        assert_int_equal(open_with(CONFINE_CREATE, "new", O_RDWR | O_CREAT), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_service_has_threads_memory_and_the_journal),
                cmocka_unit_test(a_service_has_no_processes_clock_or_network),
                cmocka_unit_test(what_has_no_honest_use_ends_the_process),
                cmocka_unit_test(families_of_sockets_are_named),
                cmocka_unit_test(without_service_only_the_named_calls_are_left),
                cmocka_unit_test(nothing_of_it_is_dumped_or_raised),
                cmocka_unit_test(files_have_the_access_that_was_allowed),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
