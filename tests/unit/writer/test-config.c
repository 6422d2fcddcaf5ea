/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* writer.conf: what decides about trust must be said, what is unknown is refused with file and line. */
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

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/base/names.h>

#include "config.h"

static char directory[] = "/tmp/reseal-writer-conf.XXXXXX";

static int setup(void **state) {
        (void) state;
        if (!mkdtemp(directory))
                return -1;
        for (int i = 0; i < 2; i++) {
                _cleanup_(closep) int fd = -EBADF;
                char path[80];

                (void) snprintf(path, sizeof(path), "%s/%c", directory, 'a' + i);
                fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
                if (fd < 0 || ftruncate(fd, 8 << 20) < 0)
                        return -1;
        }
        return 0;
}

static int teardown(void **state) {
        char command[80];

        (void) state;
        (void) snprintf(command, sizeof(command), "rm -r %s", directory);
        return system(command);
}

/* The configuration with one line left out or put in; NULL: as it is. */
static int load(const char *without, const char *with, WriterConfig *ret, RsError *err) {
        static const char *const lines[] = {
                "[device]", "line=gateway", "compatible=board-1", "[trust]", "firmware-root=/etc/reseal/root.pem",
                "[boot]", "backend=grub", "path=/boot/grubenv", "names=A B",
        };
        char text[2048] = "", path[80];
        size_t n = 0;

        for (size_t i = 0; i < ELEMENTSOF(lines); i++)
                if (!without || strcmp(lines[i], without) != 0)
                        n += (size_t) snprintf(text + n, sizeof(text) - n, "%s\n", lines[i]);
        for (int i = 0; i < 2; i++)
                n += (size_t) snprintf(text + n, sizeof(text) - n,
                                       "[slot rootfs.%c]\nclass=rootfs\nboot-name=%c\ndevice=%s/%c\ntype=luks2\n", 'a' + i,
                                       'A' + i, directory, 'a' + i);
        n += (size_t) snprintf(text + n, sizeof(text) - n, "%s\n", with ? with : "");
        (void) snprintf(path, sizeof(path), "%s/writer.conf", directory);
        assert_int_equal(file_replace(AT_FDCWD, path, SPAN(text, n), 0644, &(RsError){ 0 }), 0);
        return writer_config_load(path, ret, err);
}

static void defaults_are_the_strict_ones(void **state) {
        RsError err = RS_ERROR_INIT;
        WriterConfig c;

        (void) state;
        assert_int_equal(load(NULL, NULL, &c, &err), 0);
        assert_true(c.require_encryption);
        assert_string_equal(c.line, "gateway");
        assert_string_equal(c.state_dir, RS_PATH_STATE_WRITER);
        assert_string_equal(c.booted_path, RS_PATH_BOOTED);
        assert_string_equal(c.client_user, RS_USER_DAEMON);
        assert_string_equal(c.health_user, RS_USER_HEALTH);
        assert_true(c.mark_by_daemon);
        assert_true(c.idle_exit_usec == 30000000);
        assert_int_equal(slot_map_count(c.map), 2);
        writer_config_done(&c);
}

static void each_key_reaches_its_field(void **state) {
        RsError err = RS_ERROR_INIT;
        WriterConfig c;

        (void) state;
        assert_int_equal(load(NULL,
                              "[policy]\nrequire-encryption=no\nmark-by-daemon=no\n[paths]\nstate=/s\nbooted=/b\n"
                              "[server]\nclient-user=other\nhealth-user=third\nidle-exit=0\n[tpm]\ntcti=device:/dev/tpmrm0\nshared=yes",
                              &c, &err), 0);
        assert_false(c.require_encryption);
        assert_string_equal(c.state_dir, "/s");
        assert_string_equal(c.booted_path, "/b");
        assert_string_equal(c.client_user, "other");
        assert_string_equal(c.health_user, "third");
        assert_false(c.mark_by_daemon);
        assert_true(c.idle_exit_usec == 0);
        assert_true(c.tpm.shared);
        writer_config_done(&c);
}

static void what_is_missing_unknown_or_wrong_is_refused(void **state) {
        static const char *const missing[] = { "line=gateway", "compatible=board-1", "firmware-root=/etc/reseal/root.pem" };
        static const char *const wrong[] = {
                "[device]\ncolour=red", "[nosuch]\na=b", "[policy]\nrequire-encryption=maybe", "[paths]\nstate=relative",
                "[server]\nidle-exit=-1", "[slot rootfs.c]\nclass=rootfs", "[policy]\nskip-signature=yes",
                "[server]\nhealth-user=" RS_USER_DAEMON, "[server]\nclient-user=" RS_USER_HEALTH,
                "[device]\nline=0123456789012345678901234567890123456789012345678901234567890123456789",
        };
        WriterConfig c;

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(missing); i++) {
                RsError err = RS_ERROR_INIT;

                assert_true(load(missing[i], NULL, &c, &err) < 0);
                assert_int_equal(err.reason, RS_REASON_CONFIG);
                assert_non_null(strstr(err.text, "missing"));
        }
        for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
                RsError err = RS_ERROR_INIT;

                assert_true(load(NULL, wrong[i], &c, &err) < 0);
                assert_int_equal(err.reason, RS_REASON_CONFIG);
                assert_non_null(strstr(err.text, "writer.conf"));
        }
}

static void expect_note(const WriterConfig *c, const char *section, const char *key, const char *value, bool in_file) {
        const ConfigNote *note = config_notes_find(&c->notes, section, key);

        assert_non_null(note);
        assert_string_equal(note->value, value);
        assert_int_equal(note->line > 0, in_file);
}

static void what_holds_is_noted_with_its_origin(void **state) {
        RsError err = RS_ERROR_INIT;
        WriterConfig c;

        (void) state;
        assert_int_equal(load(NULL, "[policy]\nrequire-crl=yes\ncrl-grace=2d", &c, &err), 0);
        assert_non_null(strstr(c.notes.file, "/writer.conf"));
        expect_note(&c, "policy", "require-crl", "yes", true);
        expect_note(&c, "policy", "crl-grace", "2d", true);
        expect_note(&c, "policy", "require-encryption", "yes", false);
        expect_note(&c, "policy", "require-latest", "no", false);
        expect_note(&c, "boot", "tries", "3", false);
        expect_note(&c, "boot", "good-path", "", false);
        expect_note(&c, "trust", "set", "", false);
        expect_note(&c, "slot rootfs.b", "boot-name", "B", true);
        assert_int_equal(config_notes_find(&c.notes, "device", "line")->line, 2);
        assert_true(c.crl_grace_usec == UINT64_C(172800000000));
        writer_config_done(&c);
        assert_int_equal(load("backend=grub", "[boot]\nbackend=efi", &c, &err), 0);
        expect_note(&c, "boot", "tries", "1", false); /* all that efi can do */
        writer_config_done(&c);
        assert_int_equal(load(NULL, "[boot]\ntries=7", &c, &err), 0);
        expect_note(&c, "boot", "tries", "7", true);
        writer_config_done(&c);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(defaults_are_the_strict_ones),
                cmocka_unit_test(each_key_reaches_its_field),
                cmocka_unit_test(what_holds_is_noted_with_its_origin),
                cmocka_unit_test(what_is_missing_unknown_or_wrong_is_refused),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
