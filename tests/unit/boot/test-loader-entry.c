/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names of systemd-boot's entries: one spelling each; what the loader would read otherwise is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <reseal/base/cleanup.h>
#include <reseal/boot/loader-entry.h>

static void names_are_read_and_written_alike(void **state) {
        static const struct {
                const char *file;
                LoaderEntry entry;
        } good[] = {
                { "reseal-1-A.conf", { "A", 1, false, 0, 0 } },
                { "reseal-0-B2.conf", { "B2", 0, false, 0, 0 } },
                { "reseal-12-B+3.conf", { "B", 12, true, 3, 0 } },
                { "reseal-12-B+2-1.conf", { "B", 12, true, 2, 1 } },
                { "reseal-12-B+0-3.conf", { "B", 12, true, 0, 3 } },
                { "reseal-999999999-abcdefghijklmnopqrstuvwxyzabcde+999999999-999999999.conf",
                  { "abcdefghijklmnopqrstuvwxyzabcde", 999999999, true, 999999999, 999999999 } },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                char file[LOADER_ENTRY_FILE_MAX];
                RsError err = RS_ERROR_INIT;
                LoaderEntry e;

                assert_int_equal(loader_entry_parse("reseal", good[i].file, &e, &err), 1);
                assert_string_equal(e.slot, good[i].entry.slot);
                assert_int_equal(e.rank, good[i].entry.rank);
                assert_int_equal(e.counted, good[i].entry.counted);
                assert_int_equal(e.left, good[i].entry.left);
                assert_int_equal(e.done, good[i].entry.done);
                loader_entry_format("reseal", &e, file);
                assert_string_equal(file, good[i].file);
        }
}

static void files_of_others_are_passed_over(void **state) {
        static const char *const others[] = { "reseal-A.entry", "debian-6.1.conf", "resealed.conf", "reseal.conf", "",
                                              "reseal-1-A.conf.bak", ".reseal-1-A.conf", "reseal", "RESEAL~1.CON" };
        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(others); i++) {
                RsError err = RS_ERROR_INIT;
                LoaderEntry e = { .rank = 77 };

                assert_int_equal(loader_entry_parse("reseal", others[i], &e, &err), 0);
                assert_int_equal(e.rank, 77);
        }
}

static void what_the_loader_would_start_in_another_way_is_refused(void **state) {
        static const char *const bad[] = {
                "reseal-1-B+.conf", "reseal-1-B+x.conf", "reseal-1-B+3-.conf", "reseal-1-B+3-1-1.conf",
                "reseal-1-B+03.conf", "reseal-1-B++3.conf", "reseal-1-B+3+2.conf", "reseal-1-B+1000000000.conf",
                "reseal-01-B.conf", "reseal--B.conf", "reseal-1-.conf", "reseal-1-1B.conf", "reseal-1-B_C.conf",
                "reseal-1B.conf", "reseal-B.conf", "reseal-1000000000-B.conf", "Reseal-1-B.conf", "reseal-1-B.CONF",
                "reseal-1-B.conf.conf", "reseal-.conf", "reseal-1-abcdefghijklmnopqrstuvwxyzabcdef.conf",
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                RsError err = RS_ERROR_INIT;
                LoaderEntry e = { .rank = 77 };

                assert_true(loader_entry_parse("reseal", bad[i], &e, &err) < 0);
                assert_int_equal(err.reason, RS_REASON_BOOT_STATE);
                assert_int_equal(e.rank, 77);
        }
}

static void a_prefix_is_short_and_small(void **state) {
        (void) state;
        assert_true(loader_entry_prefix_is_good("reseal"));
        assert_true(loader_entry_prefix_is_good("abcdefghijklmno9"));
        assert_false(loader_entry_prefix_is_good("abcdefghijklmno90"));
        assert_false(loader_entry_prefix_is_good(""));
        assert_false(loader_entry_prefix_is_good("auto"));
        assert_false(loader_entry_prefix_is_good("Reseal"));
        assert_false(loader_entry_prefix_is_good("re-seal"));
}

static void an_entry_starts_something_when_it_names_a_kernel(void **state) {
        (void) state;
        assert_true(loader_entry_text_starts("title x\nlinux /A/vmlinuz\n"));
        assert_true(loader_entry_text_starts("  efi\t/A/uki.efi"));
        assert_false(loader_entry_text_starts(""));
        assert_false(loader_entry_text_starts("#linux /A/vmlinuz\ntitle linux\n"));
        assert_false(loader_entry_text_starts("linux16 /A\nefisomething x\n\n\r\n  \n"));
        assert_false(loader_entry_text_starts("################"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(names_are_read_and_written_alike),
                cmocka_unit_test(files_of_others_are_passed_over),
                cmocka_unit_test(what_the_loader_would_start_in_another_way_is_refused),
                cmocka_unit_test(a_prefix_is_short_and_small),
                cmocka_unit_test(an_entry_starts_something_when_it_names_a_kernel),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
