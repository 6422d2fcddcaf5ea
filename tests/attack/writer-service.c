/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * writer-service - the real reseal-writer as systemd starts it: its sockets, several clients at once, its watchdog.
 *
 * One device for all: swtpm, slots as files, a real GRUB environment.  The last tests change it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/ipc/writer-client.h>

#include "device.h"

#define ROOTFS ((uint64_t) 9 << 20)

static TestDevice device;
static TestRelease release;

static int group_setup(void **state) {
        if (test_pki_setup(state) < 0)
                return -1;
        test_device_make(&device, ROOTFS);
        test_release_make(&release, 1, 0, ROOTFS);
        return 0;
}

static int group_teardown(void **state) {
        test_release_done(&release);
        test_device_done(&device);
        return test_pki_teardown(state);
}

static int end_of(pid_t pid) {
        int status = 0;

        assert_int_equal(waitpid(pid, &status, 0), pid);
        return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static int listen_at(const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd, high;

        assert_true(strlen(path) < sizeof(address.sun_path));
        memcpy(address.sun_path, path, strlen(path) + 1);
        fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(fd, (const struct sockaddr *) &address, sizeof(address)), 0);
        assert_int_equal(listen(fd, 4), 0);
        high = fcntl(fd, F_DUPFD_CLOEXEC, 10); /* out of the way of 3 and 4 */
        assert_true(high >= 10);
        (void) close(fd);
        return high;
}

/*
 * As systemd starts it: the listening sockets are descriptors 3 and 4, LISTEN_PID is the process.  health: a second
 * socket, or NULL; names: LISTEN_FDNAMES, or NULL.
 */
static pid_t start_by_sockets(const char *path, const char *health, const char *names) {
        const char *build = getenv("BUILD_ROOT");
        char program[512], text[32];
        int fd, second = -EBADF;
        pid_t pid;

        (void) snprintf(program, sizeof(program), "%s/src/writer/reseal-writer", build);
        fd = listen_at(path);
        if (health)
                second = listen_at(health);
        pid = fork();
        if (pid == 0) {
                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                /* LeakSanitizer wants to trace its parent, which the sandbox of the program forbids. */
                (void) setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
                if (dup2(fd, 3) < 0 || (health && dup2(second, 4) < 0))
                        _exit(126);
                if (!getenv("RESEAL_TEST_VERBOSE"))
                        (void) dup2(open("/dev/null", O_WRONLY), 2);
                (void) snprintf(text, sizeof(text), "%d", (int) getpid());
                (void) setenv("LISTEN_PID", text, 1);
                (void) setenv("LISTEN_FDS", health ? "2" : "1", 1);
                if (names)
                        (void) setenv("LISTEN_FDNAMES", names, 1);
                execl(program, program, "--config", device.config, (char *) NULL);
                _exit(127);
        }
        assert_true(pid > 0);
        closep(&fd);
        closep(&second);
        return pid;
}

static pid_t start_by_socket(const char *path) {
        return start_by_sockets(path, NULL, NULL);
}

static void one_of_several_clients_installs_and_an_idle_writer_ends(void **state) {
        WriterClient *one = NULL, *two = NULL;
        RsError err = RS_ERROR_INIT;
        WriterSlotInfo slots[8];
        WriterRange ranges[4];
        char path[128], name[33];
        WriterOffer o;
        bool changed;
        uint32_t next, n;
        pid_t pid;

        (void) state;
        (void) snprintf(path, sizeof(path), "%s/socket", device.dir);
        pid = start_by_socket(path);
        if (writer_client_connect(path, &one, &err) < 0 || writer_client_connect(path, &two, &err) < 0)
                fail_msg("%s", err.text);
        assert_int_equal(test_client_offer(one, &release, &o, &err), 0);
        assert_true(test_client_offer(two, &release, &o, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_BUSY);
        err = RS_ERROR_INIT;
        assert_true(writer_call_mark(two, WRITER_MARK_GOOD, "", name, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_BUSY);
        err = RS_ERROR_INIT;
        assert_int_equal(writer_call_slots(two, slots, 8, &n, &err), 0);
        assert_int_equal(n, 4);
        err = RS_ERROR_INIT; /* evidence needs no role, and what the gate has let in does not depend on it any more */
        assert_int_equal(writer_call_evidence(two, WRITER_EVIDENCE_LINKS, SPAN("garbage", 7), &changed, &err), 0);
        assert_true(writer_call_evidence(two, WRITER_EVIDENCE_CRLS, SPAN("garbage", 7), &changed, &err) < 0);
        err = RS_ERROR_INIT;
        assert_true(writer_call_evidence(two, WRITER_EVIDENCE_TIME, SPAN("garbage", 7), &changed, &err) < 0);
        err = RS_ERROR_INIT;
        assert_int_equal(writer_call_abort(two, &err), 0); /* ends nothing: the installation is another's */
        assert_int_equal(writer_call_table(one, 0, encoder_view(&release.images[0].encoded), &next, ranges, &n, &err),
                         0);
        assert_int_equal(writer_call_abort(one, &err), 0);
        assert_int_equal(test_client_offer(two, &release, &o, &err), 0);
        two = writer_client_free(two); /* gone in the middle: the role is free again */
        assert_int_equal(test_client_offer(one, &release, &o, &err), 0);
        assert_int_equal(writer_call_abort(one, &err), 0);
        assert_int_equal(writer_call_mark(one, WRITER_MARK_GOOD, "A", name, &err), 0);
        assert_string_equal(name, "A");
        one = writer_client_free(one);
        assert_int_equal(end_of(pid), 0); /* idle-exit=1 */
        (void) unlink(path);
}

static void *call_finish(void *userdata) {
        RsError err = RS_ERROR_INIT;
        char primary[33];

        return writer_call_finish(userdata, primary, &err) < 0 ? NULL : userdata;
}

static void wait_for_step(InstallStep step) {
        _cleanup_(closep) int fd = open(device.state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        const struct timespec pause = { .tv_nsec = 1000000 };
        RsError err = RS_ERROR_INIT;
        InstallRecord record;

        while (install_record_load(fd, &record, &err) <= 0 || record.step != (uint32_t) step)
                (void) nanosleep(&pause, NULL);
}

/* Changes the device, too.  The TPM hangs at W7: who asks for slots or state meanwhile does not wait for FINISH. */
static void slots_and_state_are_answered_while_finish_hangs(void **state) {
        WriterClient *one = NULL, *two = NULL;
        RsError err = RS_ERROR_INIT;
        WriterSlotInfo slots[8];
        TestRelease second;
        pthread_t thread;
        char path[128];
        void *finished;
        WriterState s;
        uint32_t n;
        pid_t pid;

        (void) state;
        (void) snprintf(path, sizeof(path), "%s/socket", device.dir);
        test_release_make(&second, 2, 0, ROOTFS);
        pid = start_by_socket(path);
        if (writer_client_connect(path, &one, &err) < 0 || writer_client_connect(path, &two, &err) < 0)
                fail_msg("%s", err.text);
        test_client_send(one, &second);
        assert_int_equal(kill(device.tpm.swtpm.pid, SIGSTOP), 0);
        assert_int_equal(pthread_create(&thread, NULL, call_finish, one), 0);
        wait_for_step(INSTALL_W6_COMMIT);
        for (int i = 0; i < 50; i++) {
                assert_int_equal(writer_call_state(two, &s, &err), 0);
                assert_int_equal(writer_call_slots(two, slots, 8, &n, &err), 0);
        }
        assert_string_equal(s.running, "A");
        assert_string_equal(s.primary, "A"); /* B is W8's */
        assert_int_equal(n, 4);
        assert_int_equal(kill(device.tpm.swtpm.pid, SIGCONT), 0);
        assert_int_equal(pthread_join(thread, &finished), 0);
        assert_ptr_equal(finished, one);
        assert_int_equal(writer_call_state(two, &s, &err), 0);
        assert_string_equal(s.primary, "B");
        assert_true(test_slot_b_holds(&device, &second));
        one = writer_client_free(one);
        two = writer_client_free(two);
        assert_int_equal(end_of(pid), 0);
        (void) unlink(path);
        test_release_done(&second);
}

static void *call_state(void *userdata) {
        RsError err = RS_ERROR_INIT;
        WriterState s;

        return writer_call_state(userdata, &s, &err) < 0 ? NULL : userdata;
}

/* Takes what has been said to systemd; false: nothing for two seconds. */
static bool is_fed(int fd) {
        char text[256] = "";

        while (recv(fd, text, sizeof(text) - 1, 0) > 0) {
                if (strstr(text, "WATCHDOG=1"))
                        return true;
                memset(text, 0, sizeof(text));
        }
        return false;
}

/* The main loop turns all the time; what is fed for is the worker, too. */
static void a_worker_that_hangs_in_the_tpm_is_not_fed_for(void **state) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        const struct timeval patience = { .tv_sec = 2 };
        _cleanup_(closep) int notify = -EBADF;
        RsError err = RS_ERROR_INIT;
        WriterClient *c = NULL;
        pthread_t thread;
        char path[128];
        void *answered;
        pid_t pid;

        (void) state;
        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s/notify", device.dir);
        (void) snprintf(path, sizeof(path), "%s/socket", device.dir);
        notify = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(notify, (const struct sockaddr *) &address, sizeof(address)), 0);
        assert_int_equal(setsockopt(notify, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
        (void) setenv("NOTIFY_SOCKET", address.sun_path, 1);
        (void) setenv("WATCHDOG_USEC", "400000", 1);
        pid = start_by_socket(path);
        (void) unsetenv("NOTIFY_SOCKET");
        (void) unsetenv("WATCHDOG_USEC");
        if (writer_client_connect(path, &c, &err) < 0)
                fail_msg("%s", err.text);
        while (!is_fed(notify))
                ;
        assert_int_equal(kill(device.tpm.swtpm.pid, SIGSTOP), 0);
        assert_int_equal(pthread_create(&thread, NULL, call_state, c), 0);
        while (is_fed(notify))
                ;
        assert_int_equal(kill(device.tpm.swtpm.pid, SIGCONT), 0);
        while (!is_fed(notify))
                ;
        assert_int_equal(pthread_join(thread, &answered), 0);
        assert_ptr_equal(answered, c);
        c = writer_client_free(c);
        assert_int_equal(end_of(pid), 0);
        (void) unlink(path);
        (void) unlink(address.sun_path);
}

/* -- the health check's socket ---------------------------------------------------------------------------------- */

#define HEALTH_USER "nobody"

/* The fixture's configuration with what the test adds; free it. */
static uint8_t *add_to_config(const char *more, size_t *ret_size) {
        RsError err = RS_ERROR_INIT;
        uint8_t *text = NULL;
        char changed[8192];
        int n;

        assert_int_equal(file_read(AT_FDCWD, device.config, 4096, &text, ret_size, &err), 1);
        n = snprintf(changed, sizeof(changed), "%s%.*s", more, (int) *ret_size, (const char *) text);
        assert_int_equal(file_replace(AT_FDCWD, device.config, SPAN(changed, (size_t) n), 0600, &err), 0);
        return text;
}

/* Does the writer let this user in? */
static bool lets_in(const char *user, const char *path) {
        const struct passwd *who = getpwnam(user);
        pid_t pid;

        assert_non_null(who);
        assert_int_equal(chmod(path, 0666), 0);
        pid = fork();
        if (pid == 0) {
                RsError err = RS_ERROR_INIT;
                WriterClient *c = NULL;

                if (setgroups(0, NULL) < 0 || setgid(who->pw_gid) < 0 || setuid(who->pw_uid) < 0)
                        _exit(126);
                _exit(writer_client_connect(path, &c, &err) < 0 ? 1 : 0);
        }
        assert_true(pid > 0);
        return end_of(pid) == 0;
}

static void assert_mark(WriterClient *c, WriterMark what, const char *slot, RsReason reason) {
        RsError err = RS_ERROR_INIT;
        char name[33];

        if (writer_call_mark(c, what, slot, name, &err) < 0)
                assert_int_equal(err.reason, reason);
        else
                assert_int_equal(reason, RS_REASON_NONE);
}

/* T26: with mark-by-daemon=no a taken-over reseald ends no trial, and the health check gets nothing but marks. */
static void the_health_check_marks_good_and_bad_and_does_nothing_else(void **state) {
        static const char *const names[] = { "reseal-writer.socket:health", "health:reseal-writer.socket" };
        _cleanup_(freep) uint8_t *text = NULL;
        RsError err = RS_ERROR_INIT;
        char path[128], health[128];
        size_t size;

        (void) state;
        (void) snprintf(path, sizeof(path), "%s/socket", device.dir);
        (void) snprintf(health, sizeof(health), "%s/health", device.dir);
        text = add_to_config("[policy]\nmark-by-daemon=no\n[server]\nhealth-user=" HEALTH_USER "\n", &size);
        assert_int_equal(chmod(device.dir, 0711), 0);
        for (int i = 0; i < 2; i++) {
                WriterClient *daemon = NULL, *checker = NULL;
                WriterSlotInfo slots[8];
                WriterOffer o;
                WriterState s;
                uint32_t n;
                pid_t pid;

                pid = start_by_sockets(i == 0 ? path : health, i == 0 ? health : path, names[i]);
                assert_int_equal(writer_client_connect(path, &daemon, &err), 0);
                assert_int_equal(writer_client_connect(health, &checker, &err), 0);
                assert_mark(daemon, WRITER_MARK_GOOD, "A", RS_REASON_POLICY);
                assert_mark(daemon, WRITER_MARK_BAD, "B", RS_REASON_POLICY);
                assert_mark(daemon, WRITER_MARK_ACTIVE, "A", RS_REASON_NONE);
                assert_mark(checker, WRITER_MARK_ACTIVE, "A", RS_REASON_POLICY);
                assert_mark(checker, WRITER_MARK_GOOD, "A", RS_REASON_NONE);
                assert_mark(checker, WRITER_MARK_BAD, "B", RS_REASON_NONE);
                assert_int_equal(writer_call_state(checker, &s, &err), 0);
                assert_int_equal(writer_call_slots(checker, slots, 8, &n, &err), 0);
                assert_true(lets_in(HEALTH_USER, health));
                assert_false(lets_in(HEALTH_USER, path));
                assert_false(lets_in("daemon", health));
                assert_true(writer_call_offer(checker, encoder_view(&release.cms), &o, &err) < 0);
                assert_int_equal(end_of(pid), 76);
                err = RS_ERROR_INIT;
                daemon = writer_client_free(daemon);
                checker = writer_client_free(checker);
                (void) unlink(path);
                (void) unlink(health);
        }
        assert_int_equal(file_replace(AT_FDCWD, device.config, SPAN(text, size), 0600, &err), 0);
}

static void two_sockets_of_one_kind_or_an_unknown_user_are_refused(void **state) {
        static const char *const names[] = { NULL, "health:health", "a:b", "a:health" };
        _cleanup_(freep) uint8_t *text = NULL;
        RsError err = RS_ERROR_INIT;
        char path[128], health[128];
        size_t size;

        (void) state;
        (void) snprintf(path, sizeof(path), "%s/socket", device.dir);
        (void) snprintf(health, sizeof(health), "%s/health", device.dir);
        text = add_to_config("[server]\nhealth-user=no-such-user\n", &size);
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                assert_int_equal(end_of(start_by_sockets(path, health, names[i])), 1);
                (void) unlink(path);
                (void) unlink(health);
        }
        assert_int_equal(file_replace(AT_FDCWD, device.config, SPAN(text, size), 0600, &err), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(one_of_several_clients_installs_and_an_idle_writer_ends),
                cmocka_unit_test(the_health_check_marks_good_and_bad_and_does_nothing_else),
                cmocka_unit_test(two_sockets_of_one_kind_or_an_unknown_user_are_refused),
                cmocka_unit_test(a_worker_that_hangs_in_the_tpm_is_not_fed_for),
                cmocka_unit_test(slots_and_state_are_answered_while_finish_hangs),
        };

        cmocka_set_test_filter(getenv("RESEAL_TEST_FILTER"));
        return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
