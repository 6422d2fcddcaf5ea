/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* /run/reseal/booted: the one place that says what runs; whatever is not plain there is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include <reseal/install/install.h>

#define ID "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static int parse(const char *text, InstallBooted *ret) {
        RsError err = RS_ERROR_INIT;
        int r = install_booted_parse(SPAN(text, strlen(text)), ret, &err);

        assert_int_equal(r < 0, err.reason == RS_REASON_STATE);
        return r;
}

static void slot_and_manifest_are_read(void **state) {
        InstallBooted b;

        (void) state;
        assert_int_equal(parse("slot=A\nmanifest=" ID "\n", &b), 0);
        assert_string_equal(b.slot, "A");
        assert_true(b.has_manifest);
        assert_int_equal(b.manifest[1], 0x11);
        assert_int_equal(parse("# first boot\n\nslot=B", &b), 0);
        assert_string_equal(b.slot, "B");
        assert_false(b.has_manifest);
}

static void everything_else_is_refused(void **state) {
        static const char *const bad[] = {
                "",
                "\n",
                "A",
                "slot",
                "slot=",
                "slot=../A",
                "slot=.A",
                "slot=A B",
                "slot=A\nslot=B",
                "manifest=" ID,
                "slot=A\nmanifest=" ID "\nmanifest=" ID,
                "slot=A\nmanifest=00",
                "slot=A\nmanifest=",
                "slot=A\nother=1",
                "slot=A\r\n",
                "slot=0123456789012345678901234567890123456789",
        };
        InstallBooted b = { .slot = "kept" };
        RsError err = RS_ERROR_INIT;
        char big[2000];

        (void) state;
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                assert_true(parse(bad[i], &b) < 0);
        memset(big, '\n', sizeof(big));
        assert_true(install_booted_parse(SPAN(big, sizeof(big)), &b, &err) < 0);
        assert_true(install_booted_parse(SPAN("slot=A\0\n", 8), &b, &err) < 0);
        assert_true(install_booted_parse(SPAN_NULL, &b, &err) < 0);
        assert_string_equal(b.slot, "kept");
}

static void each_step_has_a_name(void **state) {
        (void) state;
        for (int i = 0; i < _INSTALL_STEP_MAX; i++)
                assert_int_equal(install_step_to_string((InstallStep) i)[0], 'W');
        assert_string_equal(install_step_to_string(_INSTALL_STEP_MAX), "?");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(slot_and_manifest_are_read),
                cmocka_unit_test(everything_else_is_refused),
                cmocka_unit_test(each_step_has_a_name),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
