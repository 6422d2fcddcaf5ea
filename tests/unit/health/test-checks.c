/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The programs of a directory: run in order, believed by their status, ended when they are late (S13). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <reseal/base/clock.h>

#include "checks.h"

static char directory[] = "/tmp/reseal-checks.XXXXXX";

static void put(const char *name, const char *script, mode_t mode) {
        char path[96];
        FILE *f;

        (void) snprintf(path, sizeof(path), "%s/%s", directory, name);
        f = fopen(path, "we");
        assert_non_null(f);
        assert_true(fprintf(f, "#!/bin/sh\n%s\n", script) > 0);
        assert_int_equal(fclose(f), 0);
        assert_int_equal(chmod(path, mode), 0);
}

static void drop(const char *name) {
        char path[96];

        (void) snprintf(path, sizeof(path), "%s/%s", directory, name);
        assert_int_equal(unlink(path), 0);
}

static int setup(void **state) {
        (void) state;
        return mkdtemp(directory) ? 0 : -1;
}

static int teardown(void **state) {
        char command[64];

        (void) state;
        (void) snprintf(command, sizeof(command), "rm -r %s", directory);
        return system(command);
}

static int run_within(uint64_t usec, RsError *err) {
        const HealthConfig c = { .checks = directory };

        return checks_programs(&c, clock_boottime_usec() + usec, err);
}

static void assert_fails(const char *text) {
        RsError err = RS_ERROR_INIT;

        assert_true(run_within(60000000, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_UNHEALTHY);
        if (!strstr(err.text, text))
                fail_msg("%s", err.text);
}

static void programs_run_in_order_with_an_empty_environment(void **state) {
        char script[256];
        RsError err = RS_ERROR_INIT;

        (void) state;
        (void) snprintf(script, sizeof(script), "test -z \"$HOME$USER\" && echo one >%s/.log", directory);
        put("10-one", script, 0755);
        (void) snprintf(script, sizeof(script), "grep -q one %s/.log && read x && exit 1; echo two >>%s/.log", directory, directory);
        put("20-two", script, 0755);
        put("30-text", "exit 1", 0644); /* not executable: not a check */
        assert_int_equal(run_within(60000000, &err), 0);
        (void) snprintf(script, sizeof(script), "test \"$(cat %s/.log | tr '\\n' ,)\" = one,two,", directory);
        assert_int_equal(system(script), 0);
        drop("10-one");
        drop("20-two");
        drop("30-text");
}

static void what_fails_is_named(void **state) {
        (void) state;
        put("modem", "exit 3", 0755);
        assert_fails("check modem failed with status 3");
        put("modem", "kill -9 $$", 0755);
        assert_fails("check modem ended by signal 9");
        put("modem", "exit 0", 0777);
        assert_fails("others may write check modem");
        put("modem", "", 0755);
        assert_int_equal(chmod(directory, 0777), 0);
        assert_fails("others may write check");
        assert_int_equal(chmod(directory, 0700), 0);
        drop("modem");
}

/* Also what it started in the background is gone. */
static void a_program_that_is_late_is_ended(void **state) {
        char script[160];
        RsError err = RS_ERROR_INIT;

        (void) state;
        (void) snprintf(script, sizeof(script), "sleep 1000 & echo $! >%s/.pid; wait", directory);
        put("slow", script, 0755);
        assert_true(run_within(1500000, &err) < 0);
        assert_non_null(strstr(err.text, "check slow did not end in time"));
        (void) snprintf(script, sizeof(script), "for i in $(seq 100); do kill -0 $(cat %s/.pid) 2>/dev/null || exit 0; sleep 0.1; done; exit 1",
                        directory);
        assert_int_equal(system(script), 0);
        drop("slow");
}

static void a_directory_that_is_missing_is_a_failure(void **state) {
        HealthConfig c = HEALTH_CONFIG_EMPTY;
        char nowhere[] = "/nonexistent/checks";
        RsError err = RS_ERROR_INIT;

        (void) state;
        assert_int_equal(checks_programs(&c, 0, &err), 0); /* none are asked for */
        c.checks = nowhere;
        assert_true(checks_programs(&c, UINT64_MAX, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_UNHEALTHY);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(programs_run_in_order_with_an_empty_environment),
                cmocka_unit_test(what_fails_is_named),
                cmocka_unit_test(a_program_that_is_late_is_ended),
                cmocka_unit_test(a_directory_that_is_missing_is_a_failure),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
