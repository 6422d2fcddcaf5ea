/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The U-Boot back end on a redundant environment in two files; fw_printenv and fw_setenv are the second opinion. */
#include "fixture.h"

#include <sys/syscall.h>

static unsigned n_flushes;

int fsync(int fd) {
        n_flushes++;
        return (int) syscall(SYS_fsync, fd);
}

#define ENV_SIZE 0x1000u
#define FREE BOOT_TRIES_UNCOUNTED

static int start(void **state) {
        Fixture *f = fixture_new("uboot");
        uint8_t blank[ENV_SIZE];
        char text[512], out[256];

        *state = f;
        f->config.path = strdup(f->config_path);
        memset(blank, 0xff, sizeof(blank));
        put_file(f->path, blank, sizeof(blank));
        put_file(f->second, blank, sizeof(blank));
        (void) snprintf(text, sizeof(text), "# redundant\n%s 0x0 0x%x\n%s 0x0 0x%x\n", f->path, ENV_SIZE, f->second,
                        ENV_SIZE);
        put_file(f->config_path, text, strlen(text));
        (void) snprintf(text, sizeof(text), "%s/default", f->directory);
        put_file(text, "BOOT_ORDER=A B\nBOOT_A_LEFT=3\nBOOT_A_GOOD=1\nforeign=kept\n", 56);
        assert_int_equal(run(out, sizeof(out), "fw_setenv -c %s -f %s -s %s 2>&1", f->config_path, text, text), 0);
        DOES(boot_open(&f->config, &f->boot, &err));
        return 0;
}

static void var_is(Fixture *f, const char *name, const char *value) {
        char out[256];

        assert_int_equal(run(out, sizeof(out), "fw_printenv -c %s -n %s 2>/dev/null", f->config_path, name), 0);
        out[strcspn(out, "\n")] = '\0';
        assert_string_equal(out, value);
}

static void what_fw_setenv_wrote_is_read_and_the_other_way_round(void **state) {
        Fixture *f = *state;
        char out[256];

        reads_as(f, "A", 1, FREE, 0, 0);
        DOES(boot_set_try(f->boot, "B", &err));
        var_is(f, "BOOT_ORDER", "B A");
        var_is(f, "BOOT_A_LEFT", "3");
        var_is(f, "BOOT_B_LEFT", "3");
        var_is(f, "BOOT_B_GOOD", "0");
        var_is(f, "foreign", "kept");
        assert_int_equal(run(out, sizeof(out), "fw_setenv -c %s BOOT_B_LEFT 1 2>&1", f->config_path), 0);
        reads_as(f, "B", 1, FREE, 0, 1);
}

static void a_whole_installation_turns_the_flags_as_the_design_says(void **state) {
        Fixture *f = *state;
        char out[256];

        DOES(boot_set_unbootable(f->boot, "B", &err)); /* W2 */
        DOES(boot_set_try(f->boot, "B", &err)); /* W8 */
        reads_as(f, "B", 1, FREE, 0, 3);
        assert_int_equal(run(out, sizeof(out), "fw_setenv -c %s BOOT_B_LEFT 2 2>&1", f->config_path), 0);
        DOES(boot_set_good(f->boot, "B", &err)); /* W10 */
        reads_as(f, "B", 1, FREE, 1, FREE);
        DOES(boot_set_primary(f->boot, "A", &err));
        reads_as(f, "A", 1, FREE, 1, FREE);
        DOES(boot_set_unbootable(f->boot, "A", &err));
        reads_as(f, "B", 0, 0, 1, FREE);
        var_is(f, "BOOT_ORDER", "B A");
        REFUSES(boot_set_primary(f->boot, "A", &err), STATE);
        DOES(boot_set_unbootable(f->boot, "B", &err));
        reads_as(f, "", 0, 0, 0, 0);
        REFUSES(boot_set_good(f->boot, "C", &err), INVALID);
}

/* The script counts its starts, too: only the mark decides whether it is good, and no other write forgets the count. */
static void a_good_slot_whose_starts_are_used_up_stays_good(void **state) {
        Fixture *f = *state;
        uint8_t before[ENV_SIZE], after[ENV_SIZE];
        char out[256];

        assert_int_equal(run(out, sizeof(out), "fw_setenv -c %s BOOT_A_LEFT 0 2>&1", f->config_path), 0);
        reads_as(f, "A", 1, FREE, 0, 0);
        get_file(f->path, before, sizeof(before));
        DOES(boot_set_good(f->boot, "A", &err));
        get_file(f->path, after, sizeof(after));
        assert_memory_equal(before, after, sizeof(before));
        DOES(boot_set_try(f->boot, "B", &err));
        var_is(f, "BOOT_A_LEFT", "0");
        reads_as(f, "B", 1, FREE, 0, 3);
}

static void a_slot_that_came_up_has_all_its_starts_again(void **state) {
        Fixture *f = *state;
        uint8_t before[ENV_SIZE], after[ENV_SIZE];
        BootState s;
        char out[256];

        DOES(boot_set_try(f->boot, "B", &err));
        DOES(boot_set_good(f->boot, "B", &err));
        var_is(f, "BOOT_B_LEFT", "3");
        assert_int_equal(run(out, sizeof(out), "fw_setenv -c %s BOOT_B_LEFT 0 2>&1", f->config_path), 0);
        assert_int_equal(run(out, sizeof(out), "fw_setenv -c %s BOOT_A_LEFT 2 2>&1", f->config_path), 0);
        DOES(boot_read(f->boot, &s, &err)); /* the loader went on to A */
        assert_int_equal(s.slots[0].missed, 1);
        assert_int_equal(s.slots[1].missed, BOOT_MISSED_MAX);
        DOES(boot_came_up(f->boot, "A", &err));
        var_is(f, "BOOT_A_LEFT", "3");
        var_is(f, "BOOT_B_LEFT", "1"); /* once more at the next start */
        reads_as(f, "B", 1, FREE, 1, FREE);
        get_file(f->path, before, sizeof(before));
        DOES(boot_came_up(f->boot, "A", &err));
        get_file(f->path, after, sizeof(after));
        assert_memory_equal(before, after, sizeof(before));
}

static void a_trial_that_succeeds_at_its_last_attempt_stays_first(void **state) {
        Fixture *f = *state;
        char out[256];

        DOES(boot_set_try(f->boot, "B", &err));
        assert_int_equal(run(out, sizeof(out), "fw_setenv -c %s BOOT_B_LEFT 0 2>&1", f->config_path), 0);
        reads_as(f, "A", 1, FREE, 0, 0);
        DOES(boot_set_good(f->boot, "B", &err));
        reads_as(f, "B", 1, FREE, 1, FREE);
}

static void values_that_are_not_ours_are_damage(void **state) {
        static const char *const bad[] = { "BOOT_A_LEFT 12", "BOOT_A_LEFT x", "BOOT_A_GOOD 2", "BOOT_ORDER 'A C'",
                                           "BOOT_ORDER 'A A'", "BOOT_ORDER" };
        Fixture *f = *state;
        uint8_t one[ENV_SIZE], two[ENV_SIZE];
        char out[256];
        BootState s;

        get_file(f->path, one, sizeof(one));
        get_file(f->second, two, sizeof(two));
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                assert_int_equal(run(out, sizeof(out), "fw_setenv -c %s %s 2>&1", f->config_path, bad[i]), 0);
                REFUSES(boot_read(f->boot, &s, &err), BOOT_STATE);
                put_file(f->path, one, sizeof(one));
                put_file(f->second, two, sizeof(two));
        }
        assert_int_equal(unlink(f->config_path), 0);
        REFUSES(boot_read(f->boot, &s, &err), BOOT_STATE);
}

static void an_interrupted_write_leaves_the_old_state(void **state) {
        Fixture *f = *state;
        uint8_t old[2][ENV_SIZE], new[2][ENV_SIZE], torn[ENV_SIZE];
        const char *const paths[] = { f->path, f->second };
        BootState s_old, s_new, s;
        unsigned n_old = 0;
        int changed;

        for (int i = 0; i < 2; i++)
                get_file(paths[i], old[i], ENV_SIZE);
        DOES(boot_read(f->boot, &s_old, &err));
        DOES(boot_set_try(f->boot, "B", &err));
        DOES(boot_read(f->boot, &s_new, &err));
        for (int i = 0; i < 2; i++)
                get_file(paths[i], new[i], ENV_SIZE);
        changed = memcmp(old[1], new[1], ENV_SIZE) != 0;
        assert_memory_equal(old[!changed], new[!changed], ENV_SIZE); /* one write, of the copy that was not in use */
        for (size_t cut = 0; cut <= ENV_SIZE; cut += 512)
                for (int tail = 0; tail < 2; tail++) {
                        memcpy(torn, tail ? new[changed] : old[changed], ENV_SIZE);
                        memcpy(torn, tail ? old[changed] : new[changed], cut);
                        put_file(paths[changed], torn, ENV_SIZE);
                        DOES(boot_read(f->boot, &s, &err));
                        if (memcmp(&s, &s_old, sizeof(s)) == 0)
                                n_old++;
                        else
                                assert_memory_equal(&s, &s_new, sizeof(s));
                }
        assert_true(n_old > 4);
        memset(torn, 0x5a, sizeof(torn));
        put_file(f->path, torn, sizeof(torn));
        put_file(f->second, torn, sizeof(torn));
        REFUSES(boot_read(f->boot, &s, &err), BOOT_STATE);
        REFUSES(boot_set_good(f->boot, "A", &err), BOOT_STATE);
}

/* Bad block, partition overwritten: the other copy is read, and the next write replaces the one that is broken. */
static void a_destroyed_copy_is_replaced_by_the_next_write(void **state) {
        Fixture *f = *state;
        const char *const paths[] = { f->path, f->second };
        uint8_t broken[ENV_SIZE], after[ENV_SIZE];
        BootState s;

        memset(broken, 0x5a, sizeof(broken));
        for (int i = 0; i < 6; i++) { /* the newer one, the older one, each as the first and the second */
                put_file(paths[(i / 2) % 2], broken, sizeof(broken));
                DOES(boot_read(f->boot, &s, &err));
                if (s.slots[1].bootable)
                        DOES(boot_set_unbootable(f->boot, "B", &err));
                else
                        DOES(boot_set_try(f->boot, "B", &err));
                get_file(paths[(i / 2) % 2], after, sizeof(after));
                assert_memory_not_equal(after, broken, sizeof(after));
                reads_as(f, s.slots[1].bootable ? "A" : "B", 1, FREE, 0, s.slots[1].bootable ? 0 : 3);
                var_is(f, "foreign", "kept");
        }
}

#define T(test) cmocka_unit_test_setup_teardown(test, start, fixture_done)
/* A writer that was killed before its flush: what its successor reads is in the page cache only. */
static void what_is_so_already_is_flushed_and_not_written(void **state) {
        Fixture *f = *state;
        uint8_t before[ENV_SIZE], after[ENV_SIZE];

        DOES(boot_set_try(f->boot, "B", &err));
        get_file(f->path, before, sizeof(before));
        n_flushes = 0;
        DOES(boot_set_try(f->boot, "B", &err));
        assert_int_equal(n_flushes, 2);
        DOES(boot_set_good(f->boot, "A", &err));
        assert_int_equal(n_flushes, 4);
        get_file(f->path, after, sizeof(after));
        assert_memory_equal(before, after, sizeof(before));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                T(what_fw_setenv_wrote_is_read_and_the_other_way_round),
                T(a_whole_installation_turns_the_flags_as_the_design_says),
                T(a_good_slot_whose_starts_are_used_up_stays_good),
                T(a_slot_that_came_up_has_all_its_starts_again),
                T(a_trial_that_succeeds_at_its_last_attempt_stays_first),
                T(values_that_are_not_ours_are_damage),
                T(what_is_so_already_is_flushed_and_not_written),
                T(a_destroyed_copy_is_replaced_by_the_next_write),
                T(an_interrupted_write_leaves_the_old_state),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
