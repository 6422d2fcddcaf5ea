/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* health.conf: what is understood, and what is refused because it would call everything good. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "config.h"

static char path[] = "/tmp/reseal-health.XXXXXX";

static int setup(void **state) {
        int fd = mkstemp(path);

        (void) state;
        return fd < 0 ? -1 : close(fd);
}

static int teardown(void **state) {
        (void) state;
        return unlink(path);
}

static int load(const char *text, HealthConfig *ret, RsError *err) {
        FILE *f = fopen(path, "we");

        assert_non_null(f);
        assert_true(fputs(text, f) >= 0);
        assert_int_equal(fclose(f), 0);
        assert_int_equal(chmod(path, 0644), 0);
        return health_config_load(path, ret, err);
}

static void everything_is_read(void **state) {
        _cleanup_(health_config_done) HealthConfig c = HEALTH_CONFIG_EMPTY;
        RsError err = RS_ERROR_INIT;

        (void) state;
        assert_int_equal(load("[health]\nunits=a.service  b@x\\x2d1.service\nchecks=/etc/reseal/health.d\n"
                              "source=https://source.example/l.rsb\ndeadline=2min\nsettle=3\n", &c, &err), 0);
        assert_int_equal(c.n_units, 2);
        assert_string_equal(c.units[0], "a.service");
        assert_string_equal(c.units[1], "b@x\\x2d1.service");
        assert_string_equal(c.checks, "/etc/reseal/health.d");
        assert_string_equal(c.source, "https://source.example/l.rsb");
        assert_int_equal(c.deadline_usec, 120000000);
        assert_int_equal(c.settle_usec, 3000000);
}

static void what_would_call_everything_good_is_refused(void **state) {
        static const char *const texts[] = {
                "", "[health]\ndeadline=1min\n", "[health]\nunits=\n", "[health]\nunits=a/b.service\n", "[health]\nunits=noSuffix\n",
                "[health]\nunits=.service\n", "[health]\nunits=a.service\nsettle=5min\ndeadline=5min\n",
                "[health]\nunit=a.service\n", "[other]\nunits=a.service\n", "[health]\nunits=a.service\nunits=b.service\n",
                "[health]\nchecks=relative\n", "[health]\nunits=a.service\ndeadline=2d\n",
        };

        (void) state;
        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
                HealthConfig c = HEALTH_CONFIG_EMPTY;
                RsError err = RS_ERROR_INIT;

                if (load(texts[i], &c, &err) >= 0)
                        fail_msg("taken: %s", texts[i]);
                assert_int_equal(err.reason, RS_REASON_CONFIG);
                assert_int_equal(c.n_units, 0);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(everything_is_read),
                cmocka_unit_test(what_would_call_everything_good_is_refused),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
