/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* After a slot was refused: what systemd-boot and the firmware are told, on a directory that stands for efivarfs. */
#include "fixture.h"

#include <reseal/base/names.h>
#include <reseal/boot/hand-over.h>

#define GLOBAL "-" RS_EFI_GLOBAL_GUID

static int start(void **state) {
        Fixture *f = fixture_new("efi");

        f->config.path = strdup("/boot/loader/entries/reseal");
        assert_int_equal(mkdir(f->path, 0755), 0); /* the variables */
        *state = f;
        return 0;
}

static void is_loader(Fixture *f, const char *name) {
        free(f->config.backend);
        f->config.backend = strdup(name);
}

static const char *path_of(const Fixture *f, const char *name) {
        static char path[200];

        (void) snprintf(path, sizeof(path), "%s/%s", f->path, name);
        return path;
}

static bool exists(const Fixture *f, const char *name) {
        return access(path_of(f, name), F_OK) == 0;
}

/* In UTF-16; '|' stands for the zero between two names. */
static void put_text(const Fixture *f, const char *name, const char *text) {
        uint8_t bytes[512] = { 6 };
        size_t n = 4;

        for (const char *p = text;; p++, n += 2) {
                bytes[n] = *p == '|' ? 0 : (uint8_t) *p;
                if (*p == '\0')
                        break;
        }
        put_file(path_of(f, name), bytes, n + 2);
}

static void is_text(const Fixture *f, const char *name, const char *text) {
        uint8_t bytes[512] = { 0 };
        struct stat st;

        assert_int_equal(stat(path_of(f, name), &st), 0);
        assert_int_equal(st.st_size, 4 + 2 * (strlen(text) + 1));
        get_file(path_of(f, name), bytes, (size_t) st.st_size);
        assert_memory_equal(bytes, "\7\0\0\0", 4);
        for (size_t i = 0; i <= strlen(text); i++)
                assert_int_equal(bytes[4 + 2 * i] | bytes[5 + 2 * i] << 8, text[i]);
}

static int hands_over(Fixture *f, char ret_next[BOOT_NAME_MAX]) {
        RsError err = RS_ERROR_INIT;
        int r = hand_over(&f->config, f->path, ret_next, &err);

        if (r < 0)
                fail_msg("%s: %s", rs_reason_name(err.reason), err.text);
        return r;
}

static void systemd_boot_is_given_one_start_of_the_other_good_slot(void **state) {
        static const struct {
                const char *selected, *entries, *next, *one_shot; /* NULL: left to the loader; "": it is first anyway */
        } table[] = {
                { "reseal-4-a.conf", "reseal-4-a.conf|reseal-2-b.conf", "B", "reseal-2-b.conf" },
                { "reseal-4-A.conf", "auto-efi|reseal-4-A.conf|x.conf|reseal-2-B.conf", "B", "reseal-2-B.conf" },
                { "reseal-2-b.conf", "reseal-4-a.conf|reseal-2-b.conf", "A", "" },
                { "reseal-4-a.conf", "reseal-4-a.conf", NULL, NULL },
                { "reseal-4-a.conf", "reseal-4-a.conf|reseal-2-b+0-3.conf", NULL, NULL },
                { "reseal-5-b+2-1.conf", "reseal-5-b+2-1.conf|reseal-4-a.conf", NULL, NULL }, /* a trial */
                { "debian.conf", "debian.conf|reseal-4-a.conf", NULL, NULL },
                { "reseal-4-c.conf", "reseal-4-c.conf|reseal-2-b.conf", NULL, NULL },
        };
        Fixture *f = *state;

        is_loader(f, "systemd-boot");
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                char next[BOOT_NAME_MAX] = "";

                put_text(f, RS_EFI_LOADER_SELECTED, table[i].selected);
                put_text(f, RS_EFI_LOADER_ENTRIES, table[i].entries);
                assert_int_equal(hands_over(f, next), table[i].next != NULL);
                assert_string_equal(next, table[i].next ? table[i].next : "");
                assert_int_equal(exists(f, RS_EFI_LOADER_ONE_SHOT), table[i].one_shot && *table[i].one_shot);
                if (exists(f, RS_EFI_LOADER_ONE_SHOT)) {
                        is_text(f, RS_EFI_LOADER_ONE_SHOT, table[i].one_shot);
                        assert_int_equal(unlink(path_of(f, RS_EFI_LOADER_ONE_SHOT)), 0);
                }
        }
}

static void variables_that_are_no_names_are_passed_over(void **state) {
        static const uint8_t odd[][12] = { { 6 }, { 6, 0, 0, 0, 'r' }, { 6, 0, 0, 0, 'r', 1, 'e', 0xd8, 0xff }, { 0 } };
        static const size_t sizes[] = { 4, 5, 9, 3 };
        Fixture *f = *state;
        char next[BOOT_NAME_MAX] = "", name[600];

        is_loader(f, "systemd-boot");
        REFUSES(hand_over(&f->config, f->path, next, &err), BOOT_STATE); /* it has said nothing */
        put_text(f, RS_EFI_LOADER_SELECTED, "reseal-4-a.conf");
        for (size_t i = 0; i < ELEMENTSOF(odd); i++) {
                RsError err = RS_ERROR_INIT;

                put_file(path_of(f, RS_EFI_LOADER_ENTRIES), odd[i], sizes[i]);
                assert_true(hand_over(&f->config, f->path, next, &err) <= 0);
        }
        memset(name, 'x', sizeof(name));
        name[200] = '\0';
        put_text(f, RS_EFI_LOADER_ENTRIES, name); /* longer than any of ours */
        assert_int_equal(hands_over(f, next), 0);
        assert_false(exists(f, RS_EFI_LOADER_ONE_SHOT));
        REFUSES(hand_over(&f->config, "/nonexistent", next, &err), BOOT_STATE);
}

static void put_entry(const Fixture *f, const char *number, char slot) {
        uint8_t bytes[] = { 7, 0, 0, 0, 1, 0, 0, 0, 4, 0, 'R', 0, 'e', 0, 's', 0, 'e', 0,
                            'a', 0, 'l', 0, ' ', 0, (uint8_t) slot, 0, 0, 0, 0x7f, 0xff, 4, 0 };
        char name[80];

        (void) snprintf(name, sizeof(name), "Boot%s" GLOBAL, number);
        put_file(path_of(f, name), bytes, sizeof(bytes));
}

static void put_numbers(const Fixture *f, const char *name, const char *digits) {
        uint8_t bytes[32] = { 7 };
        size_t n = 4;

        for (; *digits != '\0'; digits++, n += 2)
                bytes[n] = (uint8_t) (*digits - '0');
        put_file(path_of(f, name), bytes, n);
}

static void the_firmware_is_given_one_start_of_the_other_good_slot(void **state) {
        static const struct {
                const char *current, *order, *next; /* entries 3 and 7 are A and B */
                uint8_t number;                     /* of BootNext, 0: none */
        } table[] = {
                { "3", "37", "B", 7 },
                { "3", "0371", "B", 7 },
                { "7", "0371", "A", 3 }, /* 0, which is not ours, would come before it */
                { "7", "37", "A", 0 },   /* first anyway */
                { "7", "3", NULL, 0 },   /* a trial */
                { "3", "30", NULL, 0 },
        };
        Fixture *f = *state;

        put_entry(f, "0003", 'A');
        put_entry(f, "0007", 'B');
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                char next[BOOT_NAME_MAX] = "";
                uint8_t bytes[6];

                put_numbers(f, "BootCurrent" GLOBAL, table[i].current);
                put_numbers(f, RS_EFI_BOOT_ORDER, table[i].order);
                assert_int_equal(hands_over(f, next), table[i].next != NULL);
                assert_string_equal(next, table[i].next ? table[i].next : "");
                assert_int_equal(exists(f, RS_EFI_BOOT_NEXT), table[i].number != 0);
                if (table[i].number == 0)
                        continue;
                get_file(path_of(f, RS_EFI_BOOT_NEXT), bytes, sizeof(bytes));
                assert_memory_equal(bytes, "\7\0\0\0", 4);
                assert_int_equal(bytes[4] | bytes[5] << 8, table[i].number);
                assert_int_equal(hands_over(f, next), 0); /* what was asked for already stays */
                assert_int_equal(unlink(path_of(f, RS_EFI_BOOT_NEXT)), 0);
        }
}

static void loaders_that_count_are_told_nothing(void **state) {
        Fixture *f = *state;
        char next[BOOT_NAME_MAX] = "";

        is_loader(f, "grub");
        assert_int_equal(hands_over(f, next), 0);
        is_loader(f, "uboot");
        assert_int_equal(hands_over(f, next), 0);
        free(f->config.backend);
        f->config.backend = NULL; /* no [boot] could be read */
        assert_int_equal(hands_over(f, next), 0);
}

static void what_was_refused_is_left_and_taken_once(void **state) {
        Fixture *f = *state;
        char text[HAND_OVER_TEXT_MAX];
        struct stat before, after;

        assert_int_equal(hand_over_take(f->path, text, &(RsError){ 0 }), 0);
        DOES(hand_over_leave(f->path, "A", RS_REASON_TPM_GONE, &err));
        assert_int_equal(stat(path_of(f, RS_EFI_REFUSED), &before), 0);
        DOES(hand_over_leave(f->path, "A", RS_REASON_TPM_GONE, &err));
        assert_int_equal(stat(path_of(f, RS_EFI_REFUSED), &after), 0);
        assert_int_equal(before.st_ino, after.st_ino); /* the flash is spared */
        DOES(hand_over_leave(f->path, "B", RS_REASON_IO, &err)); /* a shorter one */
        assert_int_equal(hand_over_take(f->path, text, &(RsError){ 0 }), 1);
        assert_string_equal(text, "slot=B\nreason=Io\n");
        assert_false(exists(f, RS_EFI_REFUSED));
        assert_int_equal(hand_over_take(f->path, text, &(RsError){ 0 }), 0);
        REFUSES(hand_over_leave(f->path, "A\nslot=B", RS_REASON_IO, &err), INVALID); /* of the kernel command line */
        REFUSES(hand_over_leave(f->path, "", RS_REASON_IO, &err), INVALID);
        assert_int_equal(hand_over_take("/nonexistent", text, &(RsError){ 0 }), 0);
        put_file(path_of(f, RS_EFI_REFUSED), "\7\0\0\0a\0b", 7);
        assert_int_equal(hand_over_take(f->path, text, &(RsError){ 0 }), 0);
        assert_false(exists(f, RS_EFI_REFUSED));
}

#define T(test) cmocka_unit_test_setup_teardown(test, start, fixture_done)

int main(void) {
        const struct CMUnitTest tests[] = {
                T(systemd_boot_is_given_one_start_of_the_other_good_slot),
                T(variables_that_are_no_names_are_passed_over),
                T(the_firmware_is_given_one_start_of_the_other_good_slot),
                T(loaders_that_count_are_told_nothing),
                T(what_was_refused_is_left_and_taken_once),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
