/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* reseal.conf: what the table says holds without a line is what the service does without it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <reseal/base/file.h>
#include <reseal/base/names.h>

#include "../../../src/reseald/config.h"

static char directory[] = "/tmp/reseal-daemon-conf.XXXXXX";

static int setup(void **state) {
        (void) state;
        return mkdtemp(directory) ? 0 : -1;
}

static int teardown(void **state) {
        char path[80];

        (void) state;
        (void) snprintf(path, sizeof(path), "%s/reseal.conf", directory);
        (void) unlink(path);
        return rmdir(directory);
}

static int load(const char *text, DaemonConfig *ret, RsError *err) {
        char path[80];

        (void) snprintf(path, sizeof(path), "%s/reseal.conf", directory);
        assert_int_equal(file_replace(AT_FDCWD, path, SPAN(text, strlen(text)), 0644, &(RsError){ 0 }), 0);
        *err = RS_ERROR_INIT;
        return daemon_config_read(path, ret, err);
}

static void expect_note(const DaemonConfig *c, const char *section, const char *key, const char *value, unsigned line) {
        const ConfigNote *note = config_notes_find(&c->notes, section, key);

        assert_non_null(note);
        assert_string_equal(note->value, value);
        assert_int_equal(note->line, line);
}

static void defaults_are_those_of_the_room_source(void **state) {
        const HttpsConfig wanted = HTTPS_CONFIG_DEFAULT;
        DaemonConfig c;
        RsError err;

        (void) state;
        assert_int_equal(load("[source]\nanchors=/a\n", &c, &err), 0);
        assert_memory_equal(&c.https, &wanted, sizeof(wanted));
        assert_true(c.writer_retries == 10 && c.writer_retry_usec == 1000000);
        assert_string_equal(c.tpm.tcti, "device:/dev/tpmrm0");
        assert_false(c.tpm.shared);
        assert_true(c.tpm.lock_timeout_usec == 10000000);
        assert_string_equal(c.state_dir, RS_PATH_STATE_DAEMON);
        expect_note(&c, "source", "anchors", "/a", 2);
        expect_note(&c, "source", "deadline", "21600", 0);
        expect_note(&c, "source", "retry-pause", "500ms", 0);
        expect_note(&c, "source", "tsa", "", 0);
        expect_note(&c, "daemon", "keys-directory", RS_PATH_KEYS, 0);
        daemon_config_done(&c);
}

static void lines_of_the_file_are_noted(void **state) {
        DaemonConfig c;
        RsError err;

        (void) state;
        assert_int_equal(load("[source]\nanchors=/a\nretry-pause=2\nhosts=a b\n[tpm]\nlock-timeout=1min\n", &c, &err), 0);
        expect_note(&c, "source", "retry-pause", "2", 3);
        expect_note(&c, "source", "hosts", "a b", 4);
        expect_note(&c, "tpm", "lock-timeout", "1min", 6);
        assert_true(c.https.retry_usec == 2000000 && c.https.n_hosts == 2);
        daemon_config_done(&c);
}

static void what_is_missing_unknown_or_wrong_is_refused(void **state) {
        static const char *const wrong[] = {
                "[source]\nhosts=a\n", "[source]\nanchors=/a\nfile=b\n", "[policy]\nrequire-time=no\n",
                "[source]\nanchors=/a\nretries=x\n", "[source]\nanchors=/a\n[tpm]\nlock-timeout=0\n",
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
                DaemonConfig c;
                RsError err;

                assert_true(load(wrong[i], &c, &err) < 0);
                assert_int_equal(err.reason, RS_REASON_CONFIG);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(defaults_are_those_of_the_room_source),
                cmocka_unit_test(lines_of_the_file_are_noted),
                cmocka_unit_test(what_is_missing_unknown_or_wrong_is_refused),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
