/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Section [boot] of the configuration. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <reseal/base/cleanup.h>
#include <reseal/boot/boot.h>

static void keys_are_read_and_unknown_ones_reported(void **state) {
        _cleanup_(boot_config_done) BootConfig c = { 0 };
        RsError err = RS_ERROR_INIT;

        (void) state;
        assert_int_equal(boot_config_set(&c, "backend", "grub", &err), 1);
        assert_int_equal(boot_config_set(&c, "path", "/boot/grub/grubenv", &err), 1);
        assert_int_equal(boot_config_set(&c, "good-path", "/boot/grub/goodenv", &err), 1);
        assert_int_equal(boot_config_set(&c, "tries", "9", &err), 1);
        assert_int_equal(boot_config_set(&c, "names", "A B2 abcdefghijklmnopqrstuvwxyzabcde", &err), 1);
        assert_int_equal(boot_config_set(&c, "other", "x", &err), 0);
        assert_int_equal(c.n_names, 3);
        assert_string_equal(c.names[1], "B2");
        assert_int_equal(c.tries, 9);
        assert_int_equal(err.reason, RS_REASON_NONE);
}

static void values_that_no_loader_would_take_are_refused(void **state) {
        static const struct {
                const char *key, *value;
        } bad[] = {
                { "tries", "0" },     { "tries", "10" },    { "names", "A B C D E" }, { "names", "A A" },
                { "names", "" },      { "names", "A  B" },  { "names", "A " },        { "names", "A_B" },
                { "names", "1 B" },   { "path", "rel" },    { "path", "/a/../b" },    { "names", "A B;reboot" },
                { "names", "A abcdefghijklmnopqrstuvwxyzabcdef" },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                _cleanup_(boot_config_done) BootConfig c = { 0 };
                RsError err = RS_ERROR_INIT;

                assert_true(boot_config_set(&c, bad[i].key, bad[i].value, &err) < 0);
                assert_int_equal(err.reason, RS_REASON_CONFIG);
        }
}

static void an_incomplete_configuration_is_not_opened(void **state) {
        char grub[] = "grub", path[] = "/x", lilo[] = "lilo", efi[] = "efi";
        BootConfig bad[] = {
                { .path = path, .n_names = 2, .names = { "A", "B" } },
                { .backend = grub, .n_names = 2, .names = { "A", "B" } },
                { .backend = grub, .path = path, .n_names = 1, .names = { "A" } },
                { .backend = lilo, .path = path, .n_names = 2, .names = { "A", "B" } },
                { .backend = grub, .path = path, .n_names = 2, .names = { "A", "B" }, .tries = 10 },
                { .backend = efi, .path = path, .good_path = path, .n_names = 2, .names = { "A", "B" }, .tries = 2 },
                { .backend = efi, .path = path, .n_names = 2, .names = { "A", "B" } }, /* no good-path */
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                _cleanup_(boot_closep) Boot *b = NULL;
                RsError err = RS_ERROR_INIT;

                assert_true(boot_open(&bad[i], &b, &err) < 0);
                assert_int_equal(err.reason, RS_REASON_CONFIG);
                assert_null(b);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(keys_are_read_and_unknown_ones_reported),
                cmocka_unit_test(values_that_no_loader_would_take_are_refused),
                cmocka_unit_test(an_incomplete_configuration_is_not_opened),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
