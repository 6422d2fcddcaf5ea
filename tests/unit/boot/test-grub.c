/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The GRUB back end, with grub-editenv as the second opinion, and every torn write of the block. */
#include "fixture.h"

#include <sys/syscall.h>

static unsigned n_flushes;

int fsync(int fd) {
        n_flushes++;
        return (int) syscall(SYS_fsync, fd);
}

#include <reseal/boot/grub-env.h>

#define FREE BOOT_TRIES_UNCOUNTED
#define SECTOR GRUB_ENV_SECTOR

typedef struct Image {
        uint8_t bytes[GRUB_ENV_SIZE];
} Image;

static int start(void **state) {
        Fixture *f = fixture_new("grub");
        char out[256];

        *state = f;
        f->config.path = strdup(f->path);
        f->config.good_path = strdup(f->second);
        assert_int_equal(run(out, sizeof(out),
                             "grub-editenv %s create && grub-editenv %s set foreign=kept ORDER='A B' A_OK=1 A_TRY=0 "
                             "B_OK=0 B_TRY=0 'odd=back\\slash'", f->path, f->path), 0);
        DOES(boot_open(&f->config, &f->boot, &err));
        return 0;
}

static void list_is(Fixture *f, const char *expected) {
        char out[1024];

        assert_int_equal(run(out, sizeof(out), "grub-editenv %s list", f->path), 0);
        assert_string_equal(out, expected);
}

static void what_grub_editenv_wrote_is_read(void **state) {
        Fixture *f = *state;

        reads_as(f, "A", 1, FREE, 0, 0);
}

static void grub_editenv_reads_what_we_write(void **state) {
        Fixture *f = *state;

        DOES(boot_set_try(f->boot, "B", &err));
        list_is(f, "ORDER=B A\nA_OK=1\nA_TRY=0\nB_OK=0\nB_TRY=3\nforeign=kept\nodd=back\\slash\n");
        reads_as(f, "B", 1, FREE, 0, 3);
}

static void a_whole_installation_turns_the_flags_as_the_design_says(void **state) {
        Fixture *f = *state;
        char out[16];

        DOES(boot_set_unbootable(f->boot, "B", &err)); /* W2 */
        reads_as(f, "A", 1, FREE, 0, 0);
        DOES(boot_set_try(f->boot, "B", &err)); /* W8 */
        reads_as(f, "B", 1, FREE, 0, 3);
        assert_int_equal(run(out, sizeof(out), "grub-editenv %s set B_TRY=2", f->path), 0); /* the loader, W9 */
        reads_as(f, "B", 1, FREE, 0, 2);
        DOES(boot_set_good(f->boot, "B", &err)); /* W10 */
        reads_as(f, "B", 1, FREE, 1, FREE);
        DOES(boot_set_unbootable(f->boot, "A", &err)); /* next installation */
        reads_as(f, "B", 0, 0, 1, FREE);
        REFUSES(boot_set_primary(f->boot, "A", &err), STATE);
        DOES(boot_set_try(f->boot, "A", &err));
        REFUSES(boot_set_primary(f->boot, "C", &err), INVALID);
        DOES(boot_set_good(f->boot, "A", &err));
        DOES(boot_set_primary(f->boot, "B", &err));
        reads_as(f, "B", 1, FREE, 1, FREE);
        DOES(boot_set_unbootable(f->boot, "B", &err)); /* the first one goes: the other moves up */
        reads_as(f, "A", 1, FREE, 0, 0);
        DOES(boot_set_unbootable(f->boot, "A", &err));
        reads_as(f, "", 0, 0, 0, 0);
        REFUSES(boot_set_try(f->boot, "C", &err), INVALID);
        REFUSES(boot_set_good(f->boot, "C", &err), INVALID);
        REFUSES(boot_set_unbootable(f->boot, "", &err), INVALID);
}

/* With tries = 1, or at the last of several: the loader has counted it down to nothing before it started the slot. */
static void a_trial_that_succeeds_at_its_last_attempt_stays_first(void **state) {
        Fixture *f = *state;
        char out[16];

        DOES(boot_set_try(f->boot, "B", &err));
        assert_int_equal(run(out, sizeof(out), "grub-editenv %s set B_TRY=0", f->path), 0);
        reads_as(f, "A", 1, FREE, 0, 0);
        DOES(boot_set_good(f->boot, "A", &err)); /* what fell back changes nothing */
        reads_as(f, "A", 1, FREE, 0, 0);
        DOES(boot_set_good(f->boot, "B", &err));
        reads_as(f, "B", 1, FREE, 1, FREE);
}

static void a_slot_that_came_up_has_all_its_starts_again(void **state) {
        Fixture *f = *state;
        BootState s;
        char out[16];

        DOES(boot_set_try(f->boot, "B", &err));
        DOES(boot_set_good(f->boot, "B", &err));
        /* the loader: B three times, then A */
        assert_int_equal(run(out, sizeof(out), "grub-editenv %s set B_TRY=3 A_TRY=1", f->path), 0);
        reads_as(f, "B", 1, FREE, 1, FREE);
        DOES(boot_set_primary(f->boot, "A", &err)); /* another write keeps the counts */
        list_is(f, "ORDER=A B\nA_OK=1\nA_TRY=1\nB_OK=1\nB_TRY=3\nforeign=kept\nodd=back\\slash\n");
        DOES(boot_set_primary(f->boot, "B", &err));
        DOES(boot_read(f->boot, &s, &err));
        assert_int_equal(s.slots[0].missed, 1);
        assert_int_equal(s.slots[1].missed, BOOT_MISSED_MAX);
        DOES(boot_came_up(f->boot, "A", &err));
        list_is(f, "ORDER=B A\nA_OK=1\nA_TRY=0\nB_OK=1\nB_TRY=2\nforeign=kept\nodd=back\\slash\n");
        n_flushes = 0;
        DOES(boot_came_up(f->boot, "A", &err)); /* at each start of the writer, and before each offer */
        assert_int_equal(n_flushes, 0);
        REFUSES(boot_came_up(f->boot, "C", &err), INVALID);
        /* a slot that is written anew begins without what was counted */
        DOES(boot_set_unbootable(f->boot, "B", &err));
        DOES(boot_set_try(f->boot, "B", &err));
        reads_as(f, "B", 1, FREE, 0, 3);
        DOES(boot_came_up(f->boot, "B", &err)); /* attempts of a trial are W10's */
        reads_as(f, "B", 1, FREE, 0, 3);
}

static void what_is_so_already_is_not_written_again(void **state) {
        Fixture *f = *state;
        struct stat before, after;

        DOES(boot_set_try(f->boot, "B", &err));
        assert_int_equal(chmod(f->path, 0644), 0);
        assert_int_equal(stat(f->path, &before), 0);
        (void) usleep(20000);
        DOES(boot_set_try(f->boot, "B", &err));
        DOES(boot_set_good(f->boot, "A", &err));
        DOES(boot_set_primary(f->boot, "A", &err));
        DOES(boot_set_primary(f->boot, "A", &err));
        DOES(boot_set_try(f->boot, "B", &err));
        DOES(boot_set_try(f->boot, "B", &err));
        assert_int_equal(stat(f->path, &after), 0);
        assert_true(before.st_ino == after.st_ino);
}

static void good_is_remembered_in_the_second_file(void **state) {
        Fixture *f = *state;
        char out[128];

        DOES(boot_set_try(f->boot, "B", &err));
        assert_int_equal(access(f->second, F_OK), -1);
        DOES(boot_set_good(f->boot, "B", &err));
        assert_int_equal(run(out, sizeof(out), "grub-editenv %s list", f->second), 0);
        assert_string_equal(out, "GOOD_ORDER=B A\n");
        /* I2: what is about to be overwritten is no longer good, in neither file */
        DOES(boot_set_unbootable(f->boot, "A", &err));
        assert_int_equal(run(out, sizeof(out), "grub-editenv %s list", f->second), 0);
        assert_string_equal(out, "GOOD_ORDER=B\n");
        DOES(boot_set_try(f->boot, "A", &err));
        assert_int_equal(run(out, sizeof(out), "grub-editenv %s list", f->second), 0);
        assert_string_equal(out, "GOOD_ORDER=B\n");
        DOES(boot_set_unbootable(f->boot, "B", &err)); /* the last one stays: better than none */
        assert_int_equal(run(out, sizeof(out), "grub-editenv %s list", f->second), 0);
        assert_string_equal(out, "GOOD_ORDER=B\n");
}

/* I2: damage in the middle of an installation, and the running slot is marked good to end it. */
static void a_new_block_does_not_call_a_half_written_slot_good(void **state) {
        Fixture *f = *state;

        DOES(boot_set_try(f->boot, "B", &err));
        DOES(boot_set_good(f->boot, "B", &err)); /* both are */
        DOES(boot_set_unbootable(f->boot, "A", &err)); /* W2 */
        put_file(f->path, "# GRUB Env", 10);
        assert_int_equal(truncate(f->path, GRUB_ENV_SIZE), 0);
        DOES(boot_set_good(f->boot, "B", &err));
        reads_as(f, "B", 0, 0, 1, FREE);
}

static void a_damaged_block_is_told_and_mark_good_makes_a_new_one(void **state) {
        Fixture *f = *state;

        DOES(boot_set_try(f->boot, "B", &err));
        DOES(boot_set_good(f->boot, "B", &err));
        put_file(f->path, "# GRUB Env", 10);
        assert_int_equal(truncate(f->path, GRUB_ENV_SIZE), 0);
        {
                RsError err = RS_ERROR_INIT;
                BootState s = { .n_slots = 77 };

                assert_true(boot_read(f->boot, &s, &err) < 0);
                assert_int_equal(err.reason, RS_REASON_BOOT_STATE);
                assert_int_equal(s.n_slots, 77);
        }
        REFUSES(boot_set_try(f->boot, "A", &err), BOOT_STATE);
        REFUSES(boot_set_unbootable(f->boot, "A", &err), BOOT_STATE);
        REFUSES(boot_set_primary(f->boot, "A", &err), BOOT_STATE);
        REFUSES(boot_set_good(f->boot, "C", &err), INVALID);
        DOES(boot_set_good(f->boot, "B", &err));
        reads_as(f, "B", 1, FREE, 1, FREE);
}

static void without_a_second_file_damage_stays_an_error(void **state) {
        Fixture *f = *state;

        put_file(f->path, "x", 1);
        REFUSES(boot_set_good(f->boot, "B", &err), BOOT_STATE);
        assert_int_equal(unlink(f->path), 0);
        REFUSES(boot_set_try(f->boot, "B", &err), BOOT_STATE);
        assert_int_equal(symlink("/dev/zero", f->path), 0);
        REFUSES(boot_set_try(f->boot, "B", &err), BOOT_STATE);
}

static void values_no_loader_writes_are_damage(void **state) {
        static const char *const bad[] = {
                "A_OK=2", "A_OK=", "A_OK=10", "A_OK=x", "B_TRY=-1", "B_TRY=10", "ORDER=A", "ORDER='A B A'", "ORDER=",
                "ORDER='A  B'", "ORDER='A C'", "ORDER='B A '", "ORDER=AB",
        };
        Fixture *f = *state;
        char out[16];
        Image good;

        get_file(f->path, &good, sizeof(good));
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                BootState s;

                put_file(f->path, &good, sizeof(good));
                assert_int_equal(run(out, sizeof(out), "grub-editenv %s set %s", f->path, bad[i]), 0);
                REFUSES(boot_read(f->boot, &s, &err), BOOT_STATE);
        }
        put_file(f->path, &good, sizeof(good));
        assert_int_equal(run(out, sizeof(out), "grub-editenv %s unset A_TRY", f->path), 0);
        {
                BootState s;

                REFUSES(boot_read(f->boot, &s, &err), BOOT_STATE);
        }
}

/* The rule of conf/boot/grub/reseal.cfg: what it takes for damage; else the slot it starts. */
static char grub_would_start(const char *list) {
        char order[32] = "", ok[2] = { 0 }, tries[2] = { 0 };
        char copy[1024], *save = NULL;
        bool odd = false;

        (void) snprintf(copy, sizeof(copy), "%s", list);
        for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
                if (strncmp(line, "ORDER=", 6) == 0)
                        (void) snprintf(order, sizeof(order), "%s", line + 6);
                for (int i = 0; i < 2; i++)
                        if (line[0] == 'A' + i && strncmp(line + 1, "_OK=", 4) == 0) {
                                odd = odd || line[5] == '\0' || line[6] != '\0' || !strchr("01", line[5]);
                                ok[i] = line[5];
                        } else if (line[0] == 'A' + i && strncmp(line + 1, "_TRY=", 5) == 0) {
                                odd = odd || line[6] == '\0' || line[7] != '\0' || !strchr("0123456789", line[6]);
                                tries[i] = line[6];
                        }
        }
        if (odd || ok[0] == 0 || ok[1] == 0 || tries[0] == 0 || tries[1] == 0)
                return '!';
        if (strcmp(order, "A B") != 0 && strcmp(order, "B A") != 0)
                return '!';
        for (int k = 0; k < 2; k++) {
                int i = order[2 * k] - 'A';

                if (ok[i] == '1' || tries[i] > '0')
                        return order[2 * k];
        }
        return '-';
}

static char started(Fixture *f) {
        char out[1024];

        return run(out, sizeof(out), "grub-editenv %s list 2>/dev/null", f->path) == 0 ? grub_would_start(out) : '!';
}

/* first: sectors of the first block; every mixture must read as old, as new, or as damage, for us and for GRUB. */
static unsigned check_tears(Fixture *f, const Image *old, const Image *new, bool second_sector_first) {
        char as_old, as_new, as_torn;
        unsigned detected = 0;

        put_file(f->path, old, sizeof(*old));
        as_old = started(f);
        put_file(f->path, new, sizeof(*new));
        as_new = started(f);
        for (int mixture = 0; mixture < 2; mixture++) {
                RsError torn_err = RS_ERROR_INIT;
                BootState s, s_old, s_new;
                Image torn = *old;
                int r;

                /* With two durable steps the new first sector never stands before an old second one. */
                if (mixture == 0 && second_sector_first)
                        continue;
                memcpy(torn.bytes + (mixture == 0 ? 0 : SECTOR), new->bytes + (mixture == 0 ? 0 : SECTOR), SECTOR);
                put_file(f->path, old, sizeof(*old));
                DOES(boot_read(f->boot, &s_old, &err));
                put_file(f->path, new, sizeof(*new));
                DOES(boot_read(f->boot, &s_new, &err));
                put_file(f->path, &torn, sizeof(torn));
                r = boot_read(f->boot, &s, &torn_err);
                as_torn = started(f);
                assert_true(as_torn == as_old || as_torn == as_new || as_torn == '!');
                if (r < 0) {
                        assert_int_equal(torn_err.reason, RS_REASON_BOOT_STATE);
                        detected++;
                        continue;
                }
                assert_true(memcmp(&s, &s_old, sizeof(s)) == 0 || memcmp(&s, &s_new, sizeof(s)) == 0);
        }
        put_file(f->path, new, sizeof(*new));
        return detected;
}

static void every_torn_sector_reads_as_old_or_new_or_damage(void **state) {
        static const char *const names[] = { "A", "B" };
        static int (*const operations[])(Boot *, const char *, RsError *) = {
                boot_set_try, boot_set_good, boot_set_unbootable, boot_set_good, boot_set_try,
        };
        Fixture *f = *state;
        unsigned n_written = 0;
        Image old, new;

        DOES(boot_set_try(f->boot, "B", &err)); /* from here on the layout is ours */
        for (size_t i = 0; i < 3; i++)
                for (size_t o = 0; o < ELEMENTSOF(operations); o++)
                        for (size_t n = 0; n < 2; n++) {
                                get_file(f->path, &old, sizeof(old));
                                DOES(operations[o](f->boot, names[(n + o) % 2], &err));
                                get_file(f->path, &new, sizeof(new));
                                if (memcmp(&old, &new, sizeof(old)) == 0)
                                        continue;
                                n_written++;
                                /* The claim all rests on: the second sector never changes. */
                                assert_memory_equal(old.bytes + SECTOR, new.bytes + SECTOR, SECTOR);
                                assert_int_equal(check_tears(f, &old, &new, false), 0);
                        }
        assert_true(n_written >= 10);
}

/* A block made by grub-editenv with so much before our variables that they stand in the second sector, or across. */
static void taking_over_a_foreign_layout_survives_its_tears(void **state) {
        Fixture *f = *state;
        char out[512];
        unsigned n_moved = 0;

        for (unsigned width = 330; width < 520; width += 7) {
                Image old, new;

                assert_int_equal(run(out, sizeof(out),
                                     "grub-editenv %s create && grub-editenv %s set foreign=$(printf %%0%ud 0) "
                                     "ORDER='A B' A_OK=1 A_TRY=0 B_OK=0 B_TRY=0", f->path, f->path, width), 0);
                get_file(f->path, &old, sizeof(old));
                DOES(boot_set_try(f->boot, "B", &err));
                get_file(f->path, &new, sizeof(new));
                n_moved += memcmp(old.bytes + SECTOR, new.bytes + SECTOR, SECTOR) != 0;
                (void) check_tears(f, &old, &new, memcmp(old.bytes + SECTOR, new.bytes + SECTOR, SECTOR) != 0);
        }
        assert_true(n_moved > 10);
}

static void four_names_of_full_length_stay_in_the_first_sector(void **state) {
        Fixture *f = *state;
        Image image;

        f->boot = boot_close(f->boot);
        assert_int_equal(boot_config_set(&f->config, "names",
                                         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb "
                                         "ccccccccccccccccccccccccccccccc ddddddddddddddddddddddddddddddd",
                                         &(RsError){ 0 }), 1);
        DOES(boot_open(&f->config, &f->boot, &err));
        memset(image.bytes, '#', sizeof(image.bytes));
        memcpy(image.bytes, "# GRUB Environment Block\n", 25);
        put_file(f->path, &image, sizeof(image));
        memcpy(image.bytes + 25, "GOOD_ORDER=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n", 43);
        put_file(f->second, &image, sizeof(image));
        DOES(boot_set_good(f->boot, "ddddddddddddddddddddddddddddddd", &err));
        get_file(f->path, &image, sizeof(image));
        assert_non_null(memmem(image.bytes, SECTOR, "ddddddddddddddddddddddddddddddd_TRY=0\n#", 39));
}

static void a_block_without_room_is_told_before_anything_is_written(void **state) {
        Fixture *f = *state;
        char out[512];
        Image before, after;

        assert_int_equal(run(out, sizeof(out), "grub-editenv %s set big=$(printf %%0780d 0)", f->path), 0);
        get_file(f->path, &before, sizeof(before));
        /* The comment line of grub-editenv goes, so what fitted fits still. */
        DOES(boot_set_try(f->boot, "B", &err));
        assert_int_equal(boot_config_set(&f->config, "names", "A B C", &(RsError){ 0 }), 1);
        f->boot = boot_close(f->boot);
        DOES(boot_open(&f->config, &f->boot, &err));
        get_file(f->path, &before, sizeof(before));
        REFUSES(boot_set_try(f->boot, "B", &err), BOOT_STATE); /* the third name has no variables yet */
        get_file(f->path, &after, sizeof(after));
        assert_memory_equal(&before, &after, sizeof(before));
}

static void the_sample_is_a_script_that_grub_accepts(void **state) {
        const char *root = getenv("SOURCE_ROOT");
        char out[256];

        (void) state;
        assert_non_null(root); /* meson test sets it */
        assert_int_equal(run(out, sizeof(out), "grub-script-check %s/conf/boot/grub/reseal.cfg 2>&1", root), 0);
}

#define T(test) cmocka_unit_test_setup_teardown(test, start, fixture_done)
/* A writer that was killed before its flush: what its successor reads is in the page cache only. */
static void what_is_so_already_is_flushed_and_not_written(void **state) {
        Fixture *f = *state;
        uint8_t before[GRUB_ENV_SIZE], after[GRUB_ENV_SIZE];

        DOES(boot_set_try(f->boot, "B", &err));
        get_file(f->path, before, sizeof(before));
        n_flushes = 0;
        DOES(boot_set_try(f->boot, "B", &err));
        assert_int_equal(n_flushes, 1);
        DOES(boot_set_good(f->boot, "A", &err));
        assert_int_equal(n_flushes, 2);
        get_file(f->path, after, sizeof(after));
        assert_memory_equal(before, after, sizeof(before));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                T(what_grub_editenv_wrote_is_read),
                T(grub_editenv_reads_what_we_write),
                T(a_whole_installation_turns_the_flags_as_the_design_says),
                T(a_trial_that_succeeds_at_its_last_attempt_stays_first),
                T(a_slot_that_came_up_has_all_its_starts_again),
                T(what_is_so_already_is_not_written_again),
                T(good_is_remembered_in_the_second_file),
                T(what_is_so_already_is_flushed_and_not_written),
                T(a_damaged_block_is_told_and_mark_good_makes_a_new_one),
                T(a_new_block_does_not_call_a_half_written_slot_good),
                T(without_a_second_file_damage_stays_an_error),
                T(values_no_loader_writes_are_damage),
                T(every_torn_sector_reads_as_old_or_new_or_damage),
                T(taking_over_a_foreign_layout_survives_its_tears),
                T(four_names_of_full_length_stay_in_the_first_sector),
                T(a_block_without_room_is_told_before_anything_is_written),
                cmocka_unit_test(the_sample_is_a_script_that_grub_accepts),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
