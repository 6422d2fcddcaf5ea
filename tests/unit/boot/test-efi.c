/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The EFI back end on a directory that stands for efivarfs.  write(2) is replaced: on a variable it is SetVariable(),
 * whole and at once, and it can end the process, as a power cut between two writes does.
 */
#include "fixture.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <reseal/base/names.h>

#define NO_CUT INT_MAX
#define CUT 99
#define GUID "-" RS_EFI_GLOBAL_GUID

static int until_cut = NO_CUT;
static unsigned n_flushes, n_variables;

static void moment(void) {
        if (until_cut != NO_CUT && until_cut-- == 0)
                _exit(CUT);
}

ssize_t write(int fd, const void *bytes, size_t size) {
        char link[64], path[PATH_MAX] = "";

        (void) snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        if (readlink(link, path, sizeof(path) - 1) > 0 && strstr(path, GUID)) {
                moment();
                n_variables++;
                if (ftruncate(fd, 0) < 0)
                        return -1;
        }
        return syscall(SYS_write, fd, bytes, size);
}

int renameat(int from_fd, const char *from, int to_fd, const char *to) {
        moment();
        return (int) syscall(SYS_renameat, from_fd, from, to_fd, to);
}

int fsync(int fd) {
        n_flushes++;
        return (int) syscall(SYS_fsync, fd);
}

static const char *var_path(const Fixture *f, const char *name) {
        static char path[160];

        (void) snprintf(path, sizeof(path), "%s/%s" GUID, f->path, name);
        return path;
}

static void put_numbers(const Fixture *f, const char *name, const uint16_t *numbers, size_t n) {
        uint8_t bytes[64] = { 7 };

        for (size_t i = 0; i < n; i++) {
                bytes[4 + 2 * i] = (uint8_t) numbers[i];
                bytes[5 + 2 * i] = (uint8_t) (numbers[i] >> 8);
        }
        put_file(var_path(f, name), bytes, 4 + 2 * n);
}
#define PUT(f, name, ...) \
        put_numbers(f, name, (const uint16_t[]){ __VA_ARGS__ }, sizeof((const uint16_t[]){ __VA_ARGS__ }) / 2)

static void put_entry(const Fixture *f, const char *name, const char *description, uint8_t attributes) {
        uint8_t bytes[160] = { 7, 0, 0, 0, attributes, 0, 0, 0, 4, 0 };
        size_t n = 10;

        for (const char *p = description;; p++) {
                bytes[n] = (uint8_t) *p;
                n += 2;
                if (*p == '\0')
                        break;
        }
        memcpy(bytes + n, "\x7f\xff\x04\x00", 4); /* an empty path */
        put_file(var_path(f, name), bytes, n + 4);
}

static void is_numbers(const Fixture *f, const char *name, const uint16_t *numbers, size_t n) {
        uint8_t bytes[64] = { 0 };
        struct stat st;

        assert_int_equal(stat(var_path(f, name), &st), 0);
        assert_int_equal(st.st_size, n > 0 ? 4 + 2 * n : 0);
        if (n == 0)
                return;
        get_file(var_path(f, name), bytes, 4 + 2 * n);
        assert_memory_equal(bytes, "\7\0\0\0", 4);
        for (size_t i = 0; i < n; i++)
                assert_int_equal(bytes[4 + 2 * i] | bytes[5 + 2 * i] << 8, numbers[i]);
}
#define IS(f, name, ...) \
        is_numbers(f, name, (const uint16_t[]){ __VA_ARGS__ }, sizeof((const uint16_t[]){ __VA_ARGS__ }) / 2)

static void next_is_empty(const Fixture *f) {
        put_file(var_path(f, "BootNext"), "", 0);
}

/* The firmware starts an entry: BootNext goes, BootCurrent says which. */
static void firmware_starts(Fixture *f, uint16_t number) {
        next_is_empty(f);
        PUT(f, "BootCurrent", number);
}

static void good_is(const Fixture *f, const char *text) {
        char bytes[64] = "";

        get_file(f->second, bytes, strlen(text));
        assert_string_equal(bytes, text);
}

static int start(void **state) {
        Fixture *f = fixture_new("efi");

        *state = f;
        until_cut = NO_CUT;
        f->config.tries = 0; /* the default */
        f->config.path = strdup(f->path);
        f->config.good_path = strdup(f->second);
        assert_int_equal(mkdir(f->path, 0755), 0);
        put_entry(f, "Boot0000", "UiApp", 9);
        put_entry(f, "Boot0003", "Reseal A", 1);
        put_entry(f, "Boot00AB", "Reseal B", 1);
        put_entry(f, "Boot0005", "Reseal C of another device", 1);
        put_entry(f, "Boot00ab", "Reseal B", 1); /* not a name that firmware gives */
        put_file(var_path(f, "Boot0009"), "x", 1);
        PUT(f, "BootOrder", 0x0003, 0x0000);
        PUT(f, "BootCurrent", 0x0003);
        next_is_empty(f);
        put_file(f->second, "A\n", 2);
        DOES(boot_open(&f->config, &f->boot, &err));
        return 0;
}

#define U BOOT_TRIES_UNCOUNTED

static void entries_are_found_by_their_description(void **state) {
        Fixture *f = *state;

        reads_as(f, "A", 1, U, 0, 0);
        PUT(f, "BootNext", 0x00ab);
        reads_as(f, "B", 1, U, 0, 1);
        PUT(f, "BootNext", 0x0000); /* the firmware's own menu, asked for by an operator */
        reads_as(f, "A", 1, U, 0, 0);
}

static void a_whole_installation_turns_the_variables_as_the_design_says(void **state) {
        Fixture *f = *state;

        DOES(boot_set_unbootable(f->boot, "B", &err)); /* W2 */
        assert_int_equal(n_variables, 0);
        DOES(boot_set_try(f->boot, "B", &err)); /* W8 */
        IS(f, "BootNext", 0x00ab);
        IS(f, "BootOrder", 0x0003, 0x0000);
        reads_as(f, "B", 1, U, 0, 1);
        DOES(boot_set_good(f->boot, "A", &err)); /* the running slot's health check: the trial stays */
        IS(f, "BootNext", 0x00ab);
        firmware_starts(f, 0x00ab); /* W9 */
        reads_as(f, "A", 1, U, 0, 0);
        DOES(boot_set_good(f->boot, "B", &err)); /* W10 */
        IS(f, "BootOrder", 0x00ab, 0x0003, 0x0000);
        good_is(f, "A B\n");
        reads_as(f, "B", 1, U, 1, U);
        DOES(boot_set_unbootable(f->boot, "A", &err));
        IS(f, "BootOrder", 0x00ab, 0x0000);
        good_is(f, "B\n");
        reads_as(f, "B", 0, 0, 1, U);
        REFUSES(boot_set_primary(f->boot, "A", &err), STATE);
        REFUSES(boot_set_good(f->boot, "C", &err), INVALID);
}

static void a_trial_that_fails_leaves_the_old_slot(void **state) {
        Fixture *f = *state;

        DOES(boot_set_try(f->boot, "B", &err));
        firmware_starts(f, 0x00ab);
        n_variables = 0;
        DOES(boot_set_unbootable(f->boot, "B", &err)); /* REJECT */
        assert_int_equal(n_variables, 0);
        firmware_starts(f, 0x0003);
        reads_as(f, "A", 1, U, 0, 0);
        IS(f, "BootOrder", 0x0003, 0x0000);
}

static void a_trial_that_is_withdrawn_is_not_started(void **state) {
        Fixture *f = *state;

        DOES(boot_set_try(f->boot, "B", &err));
        DOES(boot_set_unbootable(f->boot, "B", &err));
        IS(f, "BootNext", 0x0003); /* it cannot be removed, so it says what happens anyway */
        reads_as(f, "A", 1, U, 0, 0);
        DOES(boot_set_try(f->boot, "B", &err));
        IS(f, "BootNext", 0x00ab);
        DOES(boot_set_primary(f->boot, "A", &err)); /* an operator */
        IS(f, "BootNext", 0x0003);
        reads_as(f, "A", 1, U, 0, 0);
}

static void an_operator_chooses_among_good_slots(void **state) {
        Fixture *f = *state;

        PUT(f, "BootOrder", 0x0000, 0x0003, 0x0007, 0x00ab);
        put_file(f->second, "A B\n", 4);
        reads_as(f, "A", 1, U, 1, U);
        DOES(boot_set_primary(f->boot, "B", &err));
        IS(f, "BootOrder", 0x0000, 0x00ab, 0x0003, 0x0007); /* foreign entries stay in front and behind */
        reads_as(f, "B", 1, U, 1, U);
        IS(f, "BootNext", );
        PUT(f, "BootNext", 0x0003);
        reads_as(f, "A", 1, U, 1, U);
        DOES(boot_set_primary(f->boot, "B", &err)); /* also against a BootNext of ours */
        IS(f, "BootNext", 0x00ab);
        PUT(f, "BootNext", 0x0000);
        DOES(boot_set_primary(f->boot, "A", &err)); /* one that is not ours is somebody's wish */
        IS(f, "BootNext", 0x0000);
}

/* I0: some firmware makes BootOrder anew from all entries. */
static void a_slot_that_firmware_puts_into_the_order_is_not_good(void **state) {
        Fixture *f = *state;

        PUT(f, "BootOrder", 0x0003, 0x0000, 0x00ab);
        reads_as(f, "A", 1, U, 0, U);
        DOES(boot_set_try(f->boot, "B", &err)); /* one attempt, not any number */
        IS(f, "BootOrder", 0x0003, 0x0000);
        IS(f, "BootNext", 0x00ab);
        PUT(f, "BootOrder", 0x0003, 0x0000, 0x00ab);
        DOES(boot_set_unbootable(f->boot, "B", &err));
        IS(f, "BootOrder", 0x0003, 0x0000);
        IS(f, "BootNext", 0x0003);
}

static void an_entry_that_is_not_active_is_not_started(void **state) {
        Fixture *f = *state;

        put_entry(f, "Boot00AB", "Reseal B", 0);
        PUT(f, "BootOrder", 0x00ab, 0x0003);
        put_file(f->second, "A B\n", 4);
        reads_as(f, "A", 1, U, 0, 0);
        REFUSES(boot_set_try(f->boot, "B", &err), BOOT_STATE);
        IS(f, "BootOrder", 0x00ab, 0x0003);
        IS(f, "BootNext", );
}

static void the_last_slot_stays_in_the_order(void **state) {
        Fixture *f = *state;

        REFUSES(boot_set_unbootable(f->boot, "A", &err), STATE);
        IS(f, "BootOrder", 0x0003, 0x0000);
}

static void a_variable_that_cannot_be_written_is_an_error(void **state) {
        Fixture *f = *state;

        assert_int_equal(unlink(var_path(f, "BootNext")), 0);
        reads_as(f, "A", 1, U, 0, 0);
        REFUSES(boot_set_try(f->boot, "B", &err), BOOT_STATE);
        assert_int_equal(access(var_path(f, "BootNext"), F_OK), -1); /* nothing is made in efivarfs */
        IS(f, "BootOrder", 0x0003, 0x0000);
}

static void what_is_damaged_is_said_and_made_anew_by_a_good_slot(void **state) {
        static const char *const files[] = { "A A\n", "C\n", "A  B\n", " A\n", "A B C D E\n" };
        Fixture *f = *state;
        BootState s;

        for (size_t i = 0; i < ELEMENTSOF(files); i++) {
                put_file(f->second, files[i], strlen(files[i]));
                REFUSES(boot_read(f->boot, &s, &err), BOOT_STATE);
                REFUSES(boot_set_try(f->boot, "B", &err), BOOT_STATE);
        }
        DOES(boot_set_good(f->boot, "A", &err));
        good_is(f, "A\n");
        reads_as(f, "A", 1, U, 0, 0);
        put_file(var_path(f, "BootOrder"), "\7\0\0\0\1", 5);
        REFUSES(boot_read(f->boot, &s, &err), BOOT_STATE);
        put_file(var_path(f, "BootOrder"), "", 0);
        REFUSES(boot_read(f->boot, &s, &err), BOOT_STATE);
        DOES(boot_set_good(f->boot, "A", &err));
        IS(f, "BootOrder", 0x0003);
        reads_as(f, "A", 1, U, 0, 0);
        PUT(f, "BootNext", 1, 2);
        REFUSES(boot_read(f->boot, &s, &err), BOOT_STATE);
}

static void a_device_that_was_never_confirmed_has_no_good_slot(void **state) {
        Fixture *f = *state;

        assert_int_equal(unlink(f->second), 0);
        reads_as(f, "A", 0, U, 0, 0);
        DOES(boot_set_good(f->boot, "A", &err));
        reads_as(f, "A", 1, U, 0, 0);
        good_is(f, "A\n");
        put_file(f->second, "\n", 1);
        reads_as(f, "A", 0, U, 0, 0);
}

static void entries_must_be_there_once(void **state) {
        Fixture *f = *state;
        BootState s;

        put_entry(f, "Boot0010", "Reseal B", 0);
        REFUSES(boot_read(f->boot, &s, &err), BOOT_STATE);
        assert_int_equal(unlink(var_path(f, "Boot0010")), 0);
        assert_int_equal(unlink(var_path(f, "Boot00AB")), 0);
        REFUSES(boot_read(f->boot, &s, &err), BOOT_STATE);
        REFUSES(boot_set_good(f->boot, "A", &err), BOOT_STATE);
}

static void what_is_so_already_is_flushed_and_not_written(void **state) {
        Fixture *f = *state;

        DOES(boot_set_try(f->boot, "B", &err));
        n_flushes = n_variables = 0;
        DOES(boot_set_try(f->boot, "B", &err));
        DOES(boot_set_good(f->boot, "A", &err));
        assert_int_equal(n_flushes, 2);
        assert_int_equal(n_variables, 0);
}

/* -- power cuts ------------------------------------------------------------------------------------------------- */

static int good(Fixture *f, RsError *err) { return boot_set_good(f->boot, "B", err); }
static int try_b(Fixture *f, RsError *err) { return boot_set_try(f->boot, "B", err); }
static int unbootable(Fixture *f, RsError *err) { return boot_set_unbootable(f->boot, "B", err); }
static int primary(Fixture *f, RsError *err) { return boot_set_primary(f->boot, "A", err); }

typedef struct Moment {
        const char *name;
        int (*operation)(Fixture *f, RsError *err);
        uint16_t order[3];
        size_t n_order;
        uint16_t next, current; /* 0: none */
        const char *good;
} Moment;

static void put_moment(Fixture *f, const Moment *m) {
        put_numbers(f, "BootOrder", m->order, m->n_order);
        firmware_starts(f, m->current);
        if (m->next != 0)
                PUT(f, "BootNext", m->next);
        put_file(f->second, m->good, strlen(m->good));
}

/* Cut before each write in turn; 1 = it was cut there, 0 = it has ended before. */
static int cut_at(Fixture *f, const Moment *m, int n) {
        RsError err = RS_ERROR_INIT;
        int status = 0;
        pid_t pid;

        put_moment(f, m);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                until_cut = n;
                _exit(m->operation(f, &err) < 0 ? 1 : 0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_true(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == CUT);
        return WEXITSTATUS(status) == CUT;
}

/* A stays what it was, B becomes good only where it was or is to be, and doing it again ends where it should. */
static void a_power_cut_between_two_writes_is_harmless(void **state) {
        static const Moment moments[] = {
                { "try", try_b, { 0x0003, 0x0000 }, 2, 0, 0x0003, "A\n" },
                { "try, B still good", try_b, { 0x0003, 0x00ab }, 2, 0, 0x0003, "A B\n" },
                { "try, B first", try_b, { 0x00ab, 0x0003 }, 2, 0x0003, 0x0003, "A B\n" },
                { "unbootable, first", unbootable, { 0x00ab, 0x0003 }, 2, 0, 0x0003, "A B\n" },
                { "unbootable, on trial", unbootable, { 0x0003 }, 1, 0x00ab, 0x0003, "A\n" },
                { "unbootable, all at once", unbootable, { 0x00ab, 0x0003 }, 2, 0x00ab, 0x0003, "A B\n" },
                { "good", good, { 0x0003, 0x0000 }, 2, 0, 0x00ab, "A\n" },
                { "primary", primary, { 0x00ab, 0x0003 }, 2, 0x00ab, 0x00ab, "A B\n" },
        };
        Fixture *f = *state;
        unsigned n_cuts = 0;

        for (size_t i = 0; i < ELEMENTSOF(moments); i++) {
                const Moment *m = &moments[i];
                BootState end, s;

                assert_int_equal(cut_at(f, m, NO_CUT), 0);
                DOES(boot_read(f->boot, &end, &err));
                for (int n = 0; cut_at(f, m, n); n++, n_cuts++) {
                        DOES(boot_read(f->boot, &s, &err));
                        assert_true(s.slots[0].bootable && s.slots[0].good);
                        assert_true(!s.slots[1].good || strstr(m->good, "B") || m->operation == good);
                        DOES(m->operation(f, &err));
                        DOES(boot_read(f->boot, &s, &err));
                        assert_memory_equal(&s, &end, sizeof(s));
                }
        }
        assert_int_equal(n_cuts, 17);
}

#define T(test) cmocka_unit_test_setup_teardown(test, start, fixture_done)

int main(void) {
        const struct CMUnitTest tests[] = {
                T(entries_are_found_by_their_description),
                T(a_whole_installation_turns_the_variables_as_the_design_says),
                T(a_trial_that_fails_leaves_the_old_slot),
                T(a_trial_that_is_withdrawn_is_not_started),
                T(an_operator_chooses_among_good_slots),
                T(a_slot_that_firmware_puts_into_the_order_is_not_good),
                T(an_entry_that_is_not_active_is_not_started),
                T(the_last_slot_stays_in_the_order),
                T(a_variable_that_cannot_be_written_is_an_error),
                T(what_is_damaged_is_said_and_made_anew_by_a_good_slot),
                T(a_device_that_was_never_confirmed_has_no_good_slot),
                T(entries_must_be_there_once),
                T(what_is_so_already_is_flushed_and_not_written),
                T(a_power_cut_between_two_writes_is_harmless),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
