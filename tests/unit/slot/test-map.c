/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The slot map, and real loop devices for the checks before a slot is opened (S21, S22). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <reseal/base/cleanup.h>
#include <reseal/slot/map.h>

#define N_LOOPS 2

typedef struct Fixture {
        char directory[64];
        char loop[N_LOOPS][32];
        char link[N_LOOPS][96];
        SlotMap *map;
} Fixture;

__attribute__((format(printf, 3, 4)))
static int run(char *ret, size_t size, const char *format, ...) {
        char command[512];
        va_list ap;
        FILE *p;
        size_t n;

        va_start(ap, format);
        (void) vsnprintf(command, sizeof(command), format, ap);
        va_end(ap);
        p = popen(command, "re");
        assert_non_null(p);
        n = fread(ret, 1, size - 1, p);
        ret[n] = '\0';
        ret[strcspn(ret, "\n")] = '\0';
        return pclose(p);
}

static int done(void **state) {
        Fixture *f = *state;
        char out[64];

        if (!f)
                return 0;
        f->map = slot_map_free(f->map);
        for (int i = 0; i < N_LOOPS; i++)
                if (f->loop[i][0] != '\0')
                        (void) run(out, sizeof(out), "losetup -d %s", f->loop[i]);
        (void) run(out, sizeof(out), "rm -rf '%s'", f->directory);
        free(f);
        return 0;
}

static int start(void **state) {
        Fixture *f = calloc(1, sizeof(*f));
        char out[64];

        assert_non_null(f);
        (void) strcpy(f->directory, "/tmp/reseal-test-map-XXXXXX");
        assert_non_null(mkdtemp(f->directory));
        for (int i = 0; i < N_LOOPS; i++) {
                assert_int_equal(run(out, sizeof(out), "truncate -s 16M %s/disk%d", f->directory, i), 0);
                if (geteuid() == 0)
                        (void) run(f->loop[i], sizeof(f->loop[i]), "losetup -P -f --show %s/disk%d 2>/dev/null", f->directory, i);
                (void) snprintf(f->link[i], sizeof(f->link[i]), "%s/link%d", f->directory, i);
                if (f->loop[i][0] != '\0')
                        assert_int_equal(symlink(f->loop[i], f->link[i]), 0);
        }
        f->map = slot_map_new();
        assert_non_null(f->map);
        *state = f;
        return 0;
}

static void need_loops(Fixture *f) {
        if (f->loop[N_LOOPS - 1][0] == '\0') {
                print_message("SKIP: needs root and loop devices\n");
                skip();
        }
}

static void set(SlotMap *m, const char *slot, const char *key, const char *value) {
        RsError err = RS_ERROR_INIT;

        if (slot_map_set(m, slot, key, value, &err) != 1)
                fail_msg("%s", err.text);
}

static void add(SlotMap *m, const char *name, const char *class_name, const char *boot, const char *device) {
        set(m, name, "class", class_name);
        set(m, name, "boot-name", boot);
        set(m, name, "device", device);
        set(m, name, "type", "luks2");
}

static void complete_fails(SlotMap *m, const char *part) {
        RsError err = RS_ERROR_INIT;

        assert_true(slot_map_complete(m, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_CONFIG);
        if (!strstr(err.text, part))
                fail_msg("\"%s\" does not say \"%s\"", err.text, part);
}

static void open_fails(const SlotMap *m, const char *slot, const char *running, const char *part) {
        RsError err = RS_ERROR_INIT;
        int fd = -EBADF;

        assert_true(slot_open_target(m, slot_map_by_name(m, slot), running, &fd, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_TARGET);
        assert_int_equal(fd, -EBADF);
        if (!strstr(err.text, part))
                fail_msg("\"%s\" does not say \"%s\"", err.text, part);
}

static void two_loops(Fixture *f) {
        RsError err = RS_ERROR_INIT;

        need_loops(f);
        add(f->map, "rootfs.a", "rootfs", "A", f->link[0]);
        add(f->map, "rootfs.b", "rootfs", "B", f->link[1]);
        if (slot_map_complete(f->map, &err) < 0)
                fail_msg("%s", err.text);
}

static void a_map_is_read_and_found_in(void **state) {
        Fixture *f = *state;

        two_loops(f);
        assert_int_equal(slot_map_count(f->map), 2);
        assert_string_equal(slot_map_at(f->map, 0)->name, "rootfs.a");
        assert_ptr_equal(slot_map_find(f->map, "rootfs", "B"), slot_map_by_name(f->map, "rootfs.b"));
        assert_true(slot_map_find(f->map, "rootfs", "B")->size_bytes == 16 << 20);
        assert_null(slot_map_find(f->map, "kernel", "B"));
        assert_null(slot_map_by_name(f->map, "x"));
}

static void values_outside_the_alphabet_are_refused(void **state) {
        static const struct {
                const char *slot, *key, *value;
        } bad[] = {
                { "a", "class", "Root" },        { "a", "class", "" },       { "a", "boot-name", "A B" },
                { "a", "boot-name", "A_" },      { "a", "device", "sda1" },  { "a", "device", "/dev/../etc/x" },
                { "a", "type", "ext4" },         { "a/b", "class", "r" },    { "", "class", "r" },
                { "a", "class", "abcdefghijklmnopqrstuvwxyzabcdefg" },
                { "abcdefghijklmnopqrstuvwxyzabcdef", "class", "r" },
        };
        Fixture *f = *state;

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                RsError err = RS_ERROR_INIT;

                assert_true(slot_map_set(f->map, bad[i].slot, bad[i].key, bad[i].value, &err) < 0);
                assert_int_equal(err.reason, RS_REASON_CONFIG);
        }
        assert_int_equal(slot_map_set(f->map, "a", "colour", "red", &(RsError){ 0 }), 0);
}

static void slots_are_counted(void **state) {
        Fixture *f = *state;
        RsError err = RS_ERROR_INIT;
        char name[16];

        for (uint32_t i = 0; i < SLOTS_MAX; i++) {
                (void) snprintf(name, sizeof(name), "s%u", i);
                set(f->map, name, "type", "plain");
        }
        assert_true(slot_map_set(f->map, "more", "type", "plain", &err) < 0);
}

static void an_incomplete_map_is_refused(void **state) {
        Fixture *f = *state;
        char a[96], b[96], c[96], out[16];

        (void) snprintf(a, sizeof(a), "%s/disk0", f->directory);
        (void) snprintf(b, sizeof(b), "%s/disk1", f->directory);
        (void) snprintf(c, sizeof(c), "%s/disk2", f->directory);
        assert_int_equal(run(out, sizeof(out), "truncate -s 16385 %s", c), 0);
        complete_fails(f->map, "no slots");
        set(f->map, "r.a", "class", "rootfs");
        complete_fails(f->map, "needs class");
        add(f->map, "r.a", "rootfs", "A", a);
        complete_fails(f->map, "only one slot");
        add(f->map, "r.b", "rootfs", "A", b);
        complete_fails(f->map, "the same half");
        add(f->map, "r.b", "rootfs", "B", a);
        complete_fails(f->map, "the same device");
        add(f->map, "r.b", "rootfs", "B", c);
        complete_fails(f->map, "multiple of 4096");
        set(f->map, "r.b", "device", "/nonexistent");
        complete_fails(f->map, "No such file");
        set(f->map, "r.b", "device", "/dev/null");
        complete_fails(f->map, "not a block device");
        set(f->map, "r.b", "device", b);
        add(f->map, "k.a", "kernel", "A", c);
        set(f->map, "k.a", "type", "plain");
        complete_fails(f->map, "no slot for boot name B");
}

static void the_other_slot_opens_and_is_then_held(void **state) {
        Fixture *f = *state;
        RsError err = RS_ERROR_INIT;
        int fd = -EBADF;

        two_loops(f);
        if (slot_open_target(f->map, slot_map_by_name(f->map, "rootfs.b"), "A", &fd, &err) < 0)
                fail_msg("%s", err.text);
        open_fails(f->map, "rootfs.b", "A", "in use");
        (void) close(fd);
}

static void files_may_be_slots(void **state) {
        Fixture *f = *state;
        RsError err = RS_ERROR_INIT;
        char a[96], b[96], out[16];
        int fd = -EBADF;

        (void) snprintf(a, sizeof(a), "%s/disk0", f->directory);
        (void) snprintf(b, sizeof(b), "%s/disk1", f->directory);
        add(f->map, "r.a", "rootfs", "A", a);
        add(f->map, "r.b", "rootfs", "B", b);
        assert_int_equal(slot_map_complete(f->map, &err), 0);
        if (slot_open_target(f->map, slot_map_by_name(f->map, "r.b"), "A", &fd, &err) < 0)
                fail_msg("%s", err.text);
        (void) close(fd);
        assert_int_equal(run(out, sizeof(out), "truncate -s 32M %s", b), 0);
        open_fails(f->map, "r.b", "A", "another size");
        assert_int_equal(run(out, sizeof(out), "rm %s; truncate -s 16M %s", b, b), 0);
        /* A new file may get the old one's inode number; another name for the running slot never passes. */
        assert_int_equal(run(out, sizeof(out), "rm %s; ln %s %s", b, a, b), 0);
        open_fails(f->map, "r.b", "A", "not the device it was");
}

static void the_running_slot_is_refused(void **state) {
        Fixture *f = *state;
        Slot stranger;

        two_loops(f);
        open_fails(f->map, "rootfs.b", "B", "running");
        open_fails(f->map, "rootfs.b", "", "not known");
        open_fails(f->map, "rootfs.b", NULL, "not known");
        stranger = *slot_map_by_name(f->map, "rootfs.b");
        {
                RsError err = RS_ERROR_INIT;
                int fd = -EBADF;

                assert_true(slot_open_target(f->map, &stranger, "A", &fd, &err) < 0);
                assert_int_equal(err.reason, RS_REASON_TARGET);
        }
}

static void a_mounted_slot_is_refused(void **state) {
        Fixture *f = *state;
        char out[128];

        two_loops(f);
        assert_int_equal(run(out, sizeof(out), "mkfs.ext4 -q %s && mkdir %s/mnt && mount %s %s/mnt 2>&1", f->loop[1],
                             f->directory, f->loop[1], f->directory), 0);
        open_fails(f->map, "rootfs.b", "A", "");
        assert_int_equal(run(out, sizeof(out), "umount %s/mnt", f->directory), 0);
}

static void a_link_that_leads_elsewhere_is_refused(void **state) {
        Fixture *f = *state;
        char out[16];

        two_loops(f);
        assert_int_equal(run(out, sizeof(out), "ln -sfn %s %s", f->loop[0], f->link[1]), 0);
        open_fails(f->map, "rootfs.b", "A", "not the device it was");
        assert_int_equal(run(out, sizeof(out), "ln -sfn %s %s; ln -sfn %s %s", f->loop[1], f->link[1], f->loop[1],
                             f->link[0]), 0);
        open_fails(f->map, "rootfs.b", "A", "the same device");
        assert_int_equal(unlink(f->link[1]), 0);
        open_fails(f->map, "rootfs.b", "A", "No such file");
}

static void a_disk_with_partitions_is_refused(void **state) {
        Fixture *f = *state;
        char out[256];

        two_loops(f);
        /* Told to the kernel directly: one without partition tables of its own has partitions, too. */
        assert_int_equal(run(out, sizeof(out), "addpart %s 1 2048 8192", f->loop[1]), 0);
        open_fails(f->map, "rootfs.b", "A", "has partitions");
        assert_int_equal(run(out, sizeof(out), "delpart %s 1", f->loop[1]), 0);
}

#define T(test) cmocka_unit_test_setup_teardown(test, start, done)
int main(void) {
        const struct CMUnitTest tests[] = {
                T(a_map_is_read_and_found_in),
                T(values_outside_the_alphabet_are_refused),
                T(slots_are_counted),
                T(an_incomplete_map_is_refused),
                T(the_other_slot_opens_and_is_then_held),
                T(files_may_be_slots),
                T(the_running_slot_is_refused),
                T(a_mounted_slot_is_refused),
                T(a_link_that_leads_elsewhere_is_refused),
                T(a_disk_with_partitions_is_refused),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
