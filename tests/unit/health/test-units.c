/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Units that are active whenever one looks, and were started again in between: a state is no answer to the question
 * whether something stays up.  systemd is played, by time, on a bus of our own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include <reseal/base/clock.h>

#include "checks.h"

#define SYSTEMD "org.freedesktop.systemd1"
#define PREFIX "/org/freedesktop/systemd1/unit"
#define SETTLE_USEC 1200000u

static char directory[] = "/tmp/reseal-units.XXXXXX";
static pid_t bus_pid, systemd_pid;

/* Which start of the unit it is, and whether it is up yet. */
static uint32_t start_number(const char *unit, uint64_t usec, bool *ret_up) {
        *ret_up = true;
        if (strcmp(unit, "dies.service") == 0)
                return (uint32_t) (usec / 300000);
        if (strcmp(unit, "dies-once.service") == 0)
                return usec > 700000;
        if (strcmp(unit, "dies-late.service") == 0)
                return usec > 2500000;
        if (strcmp(unit, "comes.service") == 0)
                *ret_up = usec > 1000000;
        return 0;
}

/* The time of each unit begins when it is first asked for. */
static uint64_t time_of(const char *unit) {
        static struct {
                char name[64];
                uint64_t since;
        } seen[16];

        for (size_t i = 0;; i++) {
                if (!seen[i].name[0]) {
                        (void) snprintf(seen[i].name, sizeof(seen[i].name), "%s", unit);
                        seen[i].since = clock_boottime_usec();
                }
                if (strcmp(seen[i].name, unit) == 0)
                        return clock_boottime_usec() - seen[i].since;
        }
}

static int on_message(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *interface, *name;
        char *unit = NULL;
        uint8_t id[16] = { 1 };
        sd_bus_message *reply = NULL;
        uint32_t n;
        bool up;
        int r;

        (void) userdata;
        (void) error;
        if (!sd_bus_message_is_method_call(m, "org.freedesktop.DBus.Properties", "Get") ||
            sd_bus_message_read(m, "ss", &interface, &name) < 0 ||
            sd_bus_path_decode(sd_bus_message_get_path(m), PREFIX, &unit) <= 0)
                return 0;
        n = start_number(unit, time_of(unit), &up);
        id[15] = (uint8_t) n;
        r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0 && strcmp(name, "ActiveState") == 0)
                r = sd_bus_message_append(reply, "v", "s", up ? "active" : "activating");
        else if (r >= 0 && strcmp(name, "ActiveEnterTimestampMonotonic") == 0)
                r = sd_bus_message_append(reply, "v", "t", (uint64_t) 1000 + n);
        else if (r >= 0 && strcmp(name, "NRestarts") == 0 && strstr(unit, ".service"))
                r = sd_bus_message_append(reply, "v", "u", n);
        else if (r >= 0 && strcmp(name, "InvocationID") == 0) {
                r = sd_bus_message_open_container(reply, 'v', "ay");
                if (r >= 0) /* a device has none */
                        r = sd_bus_message_append_array(reply, 'y', id, strstr(unit, ".device") ? 0 : sizeof(id));
                if (r >= 0)
                        r = sd_bus_message_close_container(reply);
        } else
                r = -ENOENT;
        free(unit);
        r = r < 0 ? sd_bus_reply_method_errno(m, r, NULL) : sd_bus_send(NULL, reply, NULL);
        (void) sd_bus_message_unref(reply);
        return r < 0 ? r : 1;
}

static _Noreturn void play_systemd(void) {
        sd_bus *bus = NULL;
        int r = sd_bus_open_system(&bus);

        if (r >= 0)
                r = sd_bus_add_fallback(bus, NULL, PREFIX, on_message, NULL);
        if (r >= 0)
                r = sd_bus_request_name(bus, SYSTEMD, 0);
        while (r >= 0) {
                r = sd_bus_process(bus, NULL);
                if (r == 0)
                        r = sd_bus_wait(bus, UINT64_MAX);
        }
        _exit(1);
}

static pid_t child(void) {
        pid_t pid = fork();

        if (pid == 0)
                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        assert_true(pid >= 0);
        return pid;
}

static bool is_named(void) {
        sd_bus *bus = NULL;
        bool there = sd_bus_open_system(&bus) >= 0 && sd_bus_get_name_creds(bus, SYSTEMD, 0, NULL) >= 0;

        (void) sd_bus_flush_close_unref(bus);
        return there;
}

static int setup(void **state) {
        char path[96], address[128];
        FILE *f;

        (void) state;
        if (!mkdtemp(directory))
                return -1;
        (void) snprintf(path, sizeof(path), "%s/conf", directory);
        (void) snprintf(address, sizeof(address), "unix:path=%s/bus", directory);
        f = fopen(path, "we");
        if (!f)
                return -1;
        (void) fprintf(f, "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\" "
                          "\"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">"
                          "<busconfig><listen>%s</listen><auth>EXTERNAL</auth><policy context=\"default\"><allow user=\"*\"/>"
                          "<allow own=\"*\"/><allow send_destination=\"*\"/><allow receive_sender=\"*\"/></policy></busconfig>",
                       address);
        if (fclose(f) != 0 || setenv("DBUS_SYSTEM_BUS_ADDRESS", address, 1) < 0)
                return -1;
        (void) snprintf(path, sizeof(path), "--config-file=%s/conf", directory);
        bus_pid = child();
        if (bus_pid == 0) {
                (void) dup2(open("/dev/null", O_WRONLY), 2);
                execlp("dbus-daemon", "dbus-daemon", path, "--nofork", "--nopidfile", (char *) NULL);
                _exit(127);
        }
        for (int i = 0; i < 1000; i++) {
                struct stat st;

                (void) snprintf(path, sizeof(path), "%s/bus", directory);
                if (stat(path, &st) == 0)
                        break;
                (void) usleep(10000);
        }
        systemd_pid = child();
        if (systemd_pid == 0)
                play_systemd();
        for (int i = 0; i < 1000 && !is_named(); i++)
                (void) usleep(10000);
        return 0;
}

static int teardown(void **state) {
        char command[64];

        (void) state;
        (void) kill(systemd_pid, SIGKILL);
        (void) waitpid(systemd_pid, NULL, 0);
        (void) kill(bus_pid, SIGTERM);
        (void) waitpid(bus_pid, NULL, 0);
        (void) snprintf(command, sizeof(command), "rm -r %s", directory);
        return system(command);
}

/* NULL: healthy; else what the refusal names.  Takes that long at most. */
static void assert_units(const char *units, const char *checks, uint64_t usec, const char *text) {
        HealthConfig c = HEALTH_CONFIG_EMPTY;
        RsError err = RS_ERROR_INIT;
        char *rest = strdup(units), *word;
        char *copy = rest;

        c.settle_usec = SETTLE_USEC;
        c.checks = checks ? strdup(checks) : NULL;
        while ((word = strsep(&rest, " ")))
                c.units[c.n_units++] = word;
        if (checks_run(&c, clock_boottime_usec() + usec, &err) < 0) {
                if (!text || !strstr(err.text, text))
                        fail_msg("%s", err.text);
        } else
                assert_null(text);
        free(c.checks);
        free(copy);
}

static void what_stays_up_is_healthy(void **state) {
        (void) state;
        assert_units("steady.service disk.device", NULL, 20000000, NULL);
        assert_units("comes.service", NULL, 20000000, NULL);
}

/* Every 300 ms, and active at every look. */
static void what_dies_again_and_again_is_not_healthy(void **state) {
        (void) state;
        assert_units("steady.service dies.service", NULL, 5000000, "dies.service");
}

/* A start that went wrong once costs the settling time, no more. */
static void what_died_once_settles_after_that(void **state) {
        uint64_t begin = clock_boottime_usec();

        (void) state;
        assert_units("dies-once.service", NULL, 20000000, NULL);
        assert_true(clock_boottime_usec() - begin >= 700000 + SETTLE_USEC);
}

static void what_dies_while_the_other_checks_run_is_not_healthy(void **state) {
        char path[96], checks[96];
        FILE *f;

        (void) state;
        (void) snprintf(checks, sizeof(checks), "%s/checks", directory);
        (void) snprintf(path, sizeof(path), "%s/checks/slow", directory);
        assert_int_equal(mkdir(checks, 0755), 0);
        f = fopen(path, "we");
        assert_non_null(f);
        assert_true(fprintf(f, "#!/bin/sh\nsleep 3\n") > 0);
        assert_int_equal(fclose(f), 0);
        assert_int_equal(chmod(path, 0755), 0);
        assert_units("steady.service", checks, 60000000, NULL);
        assert_units("dies-late.service", checks, 60000000, "dies-late.service was started again");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_stays_up_is_healthy),
                cmocka_unit_test(what_dies_again_and_again_is_not_healthy),
                cmocka_unit_test(what_died_once_settles_after_that),
                cmocka_unit_test(what_dies_while_the_other_checks_run_is_not_healthy),
        };

        if (system("command -v dbus-daemon >/dev/null") != 0) {
                (void) puts("SKIP: dbus-daemon is not installed");
                return 77;
        }
        cmocka_set_test_filter(getenv("RESEAL_TEST_FILTER"));
        return cmocka_run_group_tests(tests, setup, teardown);
}
