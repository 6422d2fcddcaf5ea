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
#include <reseal/ipc/channel.h>
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
                err = RS_ERROR_INIT; /* that has ended its connection, and nobody else's */
                assert_true(writer_call_state(checker, &s, &err) < 0);
                err = RS_ERROR_INIT;
                assert_int_equal(writer_call_state(daemon, &s, &err), 0);
                daemon = writer_client_free(daemon);
                checker = writer_client_free(checker);
                assert_int_equal(end_of(pid), 0);
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

/* -- a reseald that was taken over, and the health check ---------------------------------------------------------- */

/* A connection that has said HELLO, or NULL: there is no place, or the writer looks elsewhere at the moment. */
static Channel *greet(const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        const struct timeval patience = { .tv_sec = 2 };
        uint8_t version[WRITER_VERSION_SIZE] = RS_VERSION;
        RsError err = RS_ERROR_INIT;
        Channel *c = NULL;
        Message m;
        int fd;

        memcpy(address.sun_path, path, strlen(path) + 1);
        fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        (void) setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
        (void) setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
        if (connect(fd, (const struct sockaddr *) &address, sizeof(address)) < 0) {
                closep(&fd);
                return NULL;
        }
        if (channel_new(fd, &c, &err) < 0)
                return NULL;
        if (channel_send(c, WRITER_HELLO, 1, SPAN_ARRAY(version), -EBADF, &err) < 0 || channel_receive(c, &m, &err) <= 0 ||
            m.type != WRITER_HELLO + 1)
                return channel_free(c);
        return c;
}

static bool receive_answer(Channel *c) {
        RsError err = RS_ERROR_INIT;
        Message m;
        int r;

        do {
                r = channel_receive(c, &m, &err);
                if (r > 0)
                        closep(&m.fd);
        } while (r > 0 && m.type == WRITER_EVENT_PROGRESS);
        return r > 0;
}

/* Takes and keeps every place there is. */
static void hold_places(const char *path) {
        for (;;) {
                (void) greet(path);
                (void) usleep(1000);
        }
}

/* Breaks the protocol again and again, with an installation or without. */
static void break_protocol(const char *path) {
        _cleanup_(encoder_done) Encoder offer = ENCODER_INIT;

        writer_encode_offer_request(&offer, encoder_view(&release.cms));
        for (unsigned n = 0;; n++) {
                RsError err = RS_ERROR_INIT;
                Channel *c = greet(path);

                if (c && n % 2)
                        (void) channel_send(c, WRITER_OFFER, 2, encoder_view(&offer), -EBADF, &err);
                if (c)
                        (void) channel_send(c, n % 3 ? WRITER_FRAME : 9999, 3, SPAN("x", 1), -EBADF, &err);
                if (c)
                        (void) receive_answer(c);
                (void) channel_free(c);
        }
}

/* Holds the installer role as often as there is one, and keeps the worker with what costs it most. */
static void offer_all_the_time(const char *path) {
        _cleanup_(encoder_done) Encoder offer = ENCODER_INIT;

        writer_encode_offer_request(&offer, encoder_view(&release.cms));
        for (;;) {
                Channel *c = greet(path);

                for (uint32_t n = 2; c; n++) {
                        RsError err = RS_ERROR_INIT;
                        uint32_t type = n % 8 ? WRITER_OFFER : n % 16 ? WRITER_TIME : WRITER_STATE;

                        if (channel_send(c, type, n, type == WRITER_OFFER ? encoder_view(&offer) : SPAN_NULL, -EBADF, &err) < 0 ||
                            !receive_answer(c))
                                c = channel_free(c);
                }
        }
}

/* Asks for descriptors and does not take them. */
static void leave_descriptors(const char *path) {
        for (;;) {
                RsError err = RS_ERROR_INIT;
                Channel *c = greet(path);

                for (uint32_t n = 2; c && n < 2000; n++)
                        if (channel_send(c, WRITER_POLICY, n, SPAN_NULL, -EBADF, &err) < 0)
                                c = channel_free(c);
                (void) channel_free(c);
        }
}

static pid_t attack(void (*way)(const char *path), const char *path) {
        pid_t pid = fork();

        if (pid == 0) {
                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                (void) signal(SIGPIPE, SIG_IGN);
                way(path);
                _exit(0);
        }
        assert_true(pid > 0);
        return pid;
}

/* As reseal-health(8) does it, but once; how long it took. */
static double confirm(const char *health) {
        WriterClient *c = NULL;
        RsError err = RS_ERROR_INIT;
        struct timespec a, b;
        char name[33];
        WriterState s;

        (void) clock_gettime(CLOCK_MONOTONIC, &a);
        if (writer_client_connect(health, &c, &err) < 0 || writer_call_state(c, &s, &err) < 0 ||
            writer_call_mark(c, WRITER_MARK_GOOD, "", name, &err) < 0)
                fail_msg("%s: %s", rs_reason_name(err.reason), err.text);
        assert_string_equal(name, "A");
        c = writer_client_free(c);
        (void) clock_gettime(CLOCK_MONOTONIC, &b);
        return (double) (b.tv_sec - a.tv_sec) + (double) (b.tv_nsec - a.tv_nsec) / 1e9;
}

/* In one step: others read it all the time. */
static void make_trial(const char *good) {
        _cleanup_(freep) uint8_t *text = NULL;
        RsError err = RS_ERROR_INIT;
        char path[128], command[512];
        size_t size;

        (void) snprintf(path, sizeof(path), "%s/grubenv.trial", device.dir);
        (void) snprintf(command, sizeof(command), "cp %s %s && grub-editenv %s set A_OK=%s A_TRY=3", device.grubenv, path,
                        path, good);
        assert_int_equal(system(command), 0);
        assert_int_equal(file_read(AT_FDCWD, path, 4096, &text, &size, &err), 1);
        assert_int_equal(file_replace(AT_FDCWD, device.grubenv, SPAN(text, size), 0600, &err), 0);
        assert_int_equal(unlink(path), 0);
}

/*
 * The kind: what one peer does costs another nothing.  A trial, the hostile peer over writer.sock at everything at
 * once; each verdict over health.sock gets through at the first attempt.  RESEAL_TEST_FLOOD_SEC: longer than by default.
 */
static void the_health_check_confirms_whatever_reseald_does(void **state) {
        static void (*const ways[])(const char *) = { hold_places, break_protocol, offer_all_the_time, leave_descriptors };
        const char *text = getenv("RESEAL_TEST_FLOOD_SEC");
        char path[128], health[128];
        pid_t pid, attackers[ELEMENTSOF(ways)];
        double worst = 0, sum = 0;
        _cleanup_(freep) uint8_t *config = NULL;
        RsError err = RS_ERROR_INIT;
        size_t size;
        unsigned n = 0;
        time_t end;

        (void) state;
        config = add_to_config("[server]\nhealth-user=" HEALTH_USER "\n", &size);
        (void) snprintf(path, sizeof(path), "%s/socket", device.dir);
        (void) snprintf(health, sizeof(health), "%s/health", device.dir);
        pid = start_by_sockets(path, health, "reseal-writer.socket:health");
        (void) confirm(health);
        for (size_t i = 0; i < ELEMENTSOF(ways); i++)
                attackers[i] = attack(ways[i], path);
        end = time(NULL) + (text ? atoi(text) : 20);
        while (time(NULL) < end) {
                double took;

                make_trial("0");
                took = confirm(health);
                worst = took > worst ? took : worst;
                sum += took;
                n++;
                (void) usleep(20000);
        }
        print_message("%u verdicts, %.0f ms each, %.0f ms at worst\n", n, 1000 * sum / n, 1000 * worst);
        assert_true(worst < 10);
        assert_int_equal(kill(pid, 0), 0);
        for (size_t i = 0; i < ELEMENTSOF(ways); i++) {
                assert_int_equal(kill(attackers[i], SIGKILL), 0);
                assert_int_equal(end_of(attackers[i]), 1000 + SIGKILL);
        }
        make_trial("1");
        assert_int_equal(end_of(pid), 0); /* idle-exit=1: nothing of all that was left behind */
        assert_int_equal(file_replace(AT_FDCWD, device.config, SPAN(config, size), 0600, &err), 0);
        (void) unlink(path);
        (void) unlink(health);
}

/* Another connection of the same user goes on, with its installation. */
static void a_violation_ends_its_connection_and_nothing_else(void **state) {
        RsError err = RS_ERROR_INIT;
        WriterClient *one = NULL;
        Channel *two, *places[32];
        char path[128];
        WriterRange ranges[4];
        uint32_t next, n_ranges;
        WriterOffer o;
        size_t n = 0;
        pid_t pid;

        (void) state;
        (void) snprintf(path, sizeof(path), "%s/socket", device.dir);
        pid = start_by_socket(path);
        assert_int_equal(writer_client_connect(path, &one, &err), 0);
        two = greet(path);
        assert_non_null(two);
        assert_int_equal(test_client_offer(one, &release, &o, &err), 0);
        assert_int_equal(channel_send(two, 9999, 2, SPAN_NULL, -EBADF, &err), 0);
        assert_false(receive_answer(two));
        two = channel_free(two);
        assert_int_equal(writer_call_table(one, 0, encoder_view(&release.images[0].encoded), &next, ranges, &n_ranges, &err),
                         0);
        assert_int_equal(writer_call_abort(one, &err), 0);

        two = greet(path); /* who holds the role loses it with his connection */
        assert_int_equal(channel_send(two, WRITER_RING, 2, SPAN_NULL, -EBADF, &err), 0);
        assert_false(receive_answer(two));
        two = channel_free(two);
        while (n < ELEMENTSOF(places) && (places[n] = greet(path)))
                n++;
        assert_int_equal(n, 7); /* and one is the eighth of this user */
        while (n > 0)
                places[n - 1] = channel_free(places[n - 1]), n--;
        assert_int_equal(test_client_offer(one, &release, &o, &err), 0);
        assert_int_equal(writer_call_abort(one, &err), 0);
        one = writer_client_free(one);
        assert_int_equal(end_of(pid), 0);
        (void) unlink(path);
}

/* A good newer release runs in B, the older one in A is good, too; reseald is another user than root. */
static uint8_t *make_two_good_ones(size_t *ret_size) {
        _cleanup_(freep) uint8_t *unchanged = NULL;
        const char *users = "client-user=daemon\nhealth-user=" HEALTH_USER "\n";
        char text[4096] = "", *at;
        RsError err = RS_ERROR_INIT;
        TestRelease third;
        TestEngine e;
        char name[33];

        test_release_make(&third, 3, 0, ROOTFS);
        test_engine_open(&e, &device, NULL, NULL);
        if (test_engine_install(&e, &third, &err) < 0)
                fail_msg("%s: %s", rs_reason_name(err.reason), err.text);
        test_device_boot(&device, "B", third.bundle_id);
        assert_int_equal(install_mark(e.installer, INSTALL_BY_HEALTH, WRITER_MARK_GOOD, "", name, &err), 0);
        test_engine_close(&e);
        test_release_done(&third);
        assert_int_equal(file_read(AT_FDCWD, device.config, sizeof(text) - 64, &unchanged, ret_size, &err), 1);
        memcpy(text, unchanged, *ret_size);
        at = strstr(text, "client-user=root\n");
        assert_non_null(at);
        memmove(at + strlen(users), at + strlen("client-user=root\n"), strlen(at + strlen("client-user=root\n")) + 1);
        memcpy(at, users, strlen(users));
        assert_int_equal(file_replace(AT_FDCWD, device.config, SPAN(text, strlen(text)), 0600, &err), 0);
        return TAKE_PTR(unchanged);
}

/* The reason that this user gets, or NONE. */
static RsReason mark_as(const char *user, const char *path, uint32_t what) {
        const struct passwd *who = getpwnam(user);
        pid_t pid;

        assert_non_null(who);
        pid = fork();
        if (pid == 0) {
                RsError err = RS_ERROR_INIT;
                WriterClient *c = NULL;
                char name[33];

                if (setgroups(0, NULL) < 0 || setgid(who->pw_gid) < 0 || setuid(who->pw_uid) < 0)
                        _exit(254);
                if (writer_client_connect(path, &c, &err) < 0)
                        _exit(255);
                _exit(writer_call_mark(c, what, "B", name, &err) < 0 ? (int) err.reason : 0);
        }
        assert_true(pid > 0);
        return (RsReason) end_of(pid);
}

/* "Local administrator" is the kernel's word about the peer of writer.sock, never a message's; what he does is told. */
static void root_alone_goes_below_by_his_own_connection_and_it_is_told(void **state) {
        _cleanup_(freep) uint8_t *text = NULL, *told = NULL;
        char path[128], health[128], log[128];
        RsError err = RS_ERROR_INIT;
        size_t size, log_size;
        int saved = dup(2);
        pid_t pid;

        (void) state;
        (void) snprintf(path, sizeof(path), "%s/socket", device.dir);
        (void) snprintf(health, sizeof(health), "%s/health", device.dir);
        (void) snprintf(log, sizeof(log), "%s/log", device.dir);
        text = make_two_good_ones(&size);
        assert_true(saved >= 0 && dup2(open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600), 2) == 2);
        (void) setenv("RESEAL_TEST_VERBOSE", "1", 1);
        pid = start_by_sockets(path, health, "reseal-writer.socket:health");
        (void) unsetenv("RESEAL_TEST_VERBOSE");
        assert_true(dup2(saved, 2) == 2);
        assert_int_equal(chmod(device.dir, 0711), 0);
        assert_int_equal(chmod(path, 0666), 0);
        assert_int_equal(mark_as("daemon", path, WRITER_MARK_BAD), RS_REASON_ROLLBACK);
        assert_int_equal(mark_as("daemon", path, WRITER_MARK_BAD | WRITER_MARK_BELOW), RS_REASON_ACCESS);
        assert_int_equal(mark_as("root", health, WRITER_MARK_BAD | WRITER_MARK_BELOW), RS_REASON_ACCESS);
        assert_int_equal(mark_as("root", health, WRITER_MARK_BAD), RS_REASON_ROLLBACK);
        assert_int_equal(mark_as("root", path, WRITER_MARK_BAD), RS_REASON_ROLLBACK); /* he has to say so */
        assert_int_equal(mark_as("root", path, WRITER_MARK_BAD | WRITER_MARK_BELOW), RS_REASON_NONE);
        assert_int_equal(end_of(pid), 0);
        assert_int_equal(file_read(AT_FDCWD, log, 65536, &told, &log_size, &err), 1);
        assert_non_null(memmem(told, log_size, "below the release accepted last", 31));
        (void) unlink(path);
        (void) unlink(health);
        assert_int_equal(file_replace(AT_FDCWD, device.config, SPAN(text, size), 0600, &err), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(one_of_several_clients_installs_and_an_idle_writer_ends),
                cmocka_unit_test(the_health_check_marks_good_and_bad_and_does_nothing_else),
                cmocka_unit_test(a_violation_ends_its_connection_and_nothing_else),
                cmocka_unit_test(the_health_check_confirms_whatever_reseald_does),
                cmocka_unit_test(two_sockets_of_one_kind_or_an_unknown_user_are_refused),
                cmocka_unit_test(a_worker_that_hangs_in_the_tpm_is_not_fed_for),
                cmocka_unit_test(slots_and_state_are_answered_while_finish_hangs),
                cmocka_unit_test(root_alone_goes_below_by_his_own_connection_and_it_is_told),
        };

        cmocka_set_test_filter(getenv("RESEAL_TEST_FILTER"));
        return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
