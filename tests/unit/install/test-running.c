/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * /run/reseal/booted: the one place that says what runs; whatever is not plain there is refused, and so is what the
 * kernel says otherwise about "/" (a tree that looks like /sys, with "/" as the device that it is here).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <reseal/base/cleanup.h>
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

/* -- "/" in a tree like /sys ------------------------------------------------------------------------------------ */

#define DISK makedev(250, 0)
#define SLOT_A makedev(250, 1)
#define SLOT_B makedev(250, 2)
#define CRYPT makedev(251, 0)

static void shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void shell(const char *format, ...) {
        char command[2048];
        va_list ap;

        va_start(ap, format);
        (void) vsnprintf(command, sizeof(command), format, ap);
        va_end(ap);
        assert_int_equal(system(command), 0);
}

static void add(const char *sysfs, dev_t device, bool mapped, dev_t below) {
        char path[128];

        (void) snprintf(path, sizeof(path), "%s/dev/block/%u:%u", sysfs, major(device), minor(device));
        shell("mkdir -p %s && echo %u:%u >%s/dev", path, major(device), minor(device), path);
        if (mapped)
                shell("mkdir -p %s/dm %s/slaves && echo CRYPT-x >%s/dm/uuid", path, path, path);
        if (below)
                shell("ln -s ../../%u:%u %s/slaves/d%u", major(below), minor(below), path, minor(below));
}

/* Two files as slots, made to look like the partitions above when block is true. */
static SlotMap *make_map(const char *dir, bool block) {
        static const char *const names[] = { "rootfs.a", "rootfs.b" };
        SlotMap *map = slot_map_new();
        RsError err = RS_ERROR_INIT;
        char path[128];

        for (int i = 0; i < 2; i++) {
                (void) snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
                shell("truncate -s 64M %s", path);
                assert_int_equal(slot_map_set(map, names[i], "class", "rootfs", &err), 1);
                assert_int_equal(slot_map_set(map, names[i], "boot-name", i == 0 ? "A" : "B", &err), 1);
                assert_int_equal(slot_map_set(map, names[i], "device", path, &err), 1);
                assert_int_equal(slot_map_set(map, names[i], "type", "luks2", &err), 1);
        }
        if (slot_map_complete(map, &err) < 0)
                fail_msg("%s", err.text);
        for (uint32_t i = 0; block && i < 2; i++) {
                Slot *s = (Slot *) (uintptr_t) slot_map_at(map, i);

                s->device_id[0] = i == 0 ? SLOT_A : SLOT_B;
                s->device_id[1] = 0;
        }
        return map;
}

static bool agrees(const SlotMap *map, const char *sysfs, const char *boot_name) {
        RsError err = RS_ERROR_INIT;
        int r = install_check_root(map, sysfs, boot_name, &err);

        assert_int_equal(err.reason, r < 0 ? RS_REASON_STATE : RS_REASON_NONE);
        return r == 0;
}

static void the_slot_that_runs_is_the_one_below_the_root(void **state) {
        char dir[] = "/tmp/reseal-root-XXXXXX", sysfs[64];
        SlotMap *map, *files;
        struct stat root;

        (void) state;
        assert_non_null(mkdtemp(dir));
        (void) snprintf(sysfs, sizeof(sysfs), "%s/sys", dir);
        assert_int_equal(stat("/", &root), 0);
        map = make_map(dir, true);
        files = make_map(dir, false);
        assert_true(agrees(map, sysfs, "A")); /* nothing there */
        add(sysfs, root.st_dev, false, 0);
        assert_true(agrees(map, sysfs, "B")); /* no device-mapper below / */
        add(sysfs, root.st_dev, true, CRYPT); /* verity over crypt over slot B */
        assert_false(agrees(map, sysfs, "B")); /* the chain cannot be read */
        add(sysfs, CRYPT, true, SLOT_B);
        add(sysfs, SLOT_B, false, 0);
        assert_true(agrees(map, sysfs, "B"));
        assert_false(agrees(map, sysfs, "A")); /* A would be no target, B would: never */
        assert_true(agrees(files, sysfs, "A"));
        add(sysfs, DISK, false, 0);
        shell("rm %s/dev/block/251:0/slaves/* && ln -s ../../250:0 %s/dev/block/251:0/slaves/d0", sysfs, sysfs);
        assert_false(agrees(map, sysfs, "B")); /* a device of no slot */
        shell("ln -s ../../250:1 %s/dev/block/251:0/slaves/d1 && mkdir -p %s/dev/block/250:1", sysfs, sysfs);
        assert_false(agrees(map, sysfs, "A")); /* its number cannot be read */
        add(sysfs, SLOT_A, false, 0);
        assert_true(agrees(map, sysfs, "A"));
        shell("ln -s ../../250:2 %s/dev/block/251:0/slaves/d2", sysfs);
        assert_false(agrees(map, sysfs, "A")); /* both slots */
        shell("rm -rf %s/dev/block/251:0/slaves", sysfs);
        assert_false(agrees(map, sysfs, "A"));
        map = slot_map_free(map);
        files = slot_map_free(files);
        shell("rm -rf %s", dir);
}

static void what_was_refused_is_two_lines(void **state) {
        static const char *const bad[] = { "", "slot=A\n", "reason=Volume\n", "slot=A\nreason=Volume", "slot=A\nreason=None\n",
                                           "slot=A\nreason=NoSuchReason\n", "slot=\nreason=Volume\n", "slot=A\nreason=Volume\nslot=B\n",
                                           " slot=A\nreason=Volume\n", "slot=0123456789012345678901234567890123456789\nreason=Volume\n" };
        InstallRefused refused;
        RsError err = RS_ERROR_INIT;

        (void) state;
        assert_int_equal(install_refused_parse(SPAN("slot=A\nreason=TpmGone\n", 22), &refused, &err), 0);
        assert_string_equal(refused.slot, "A");
        assert_int_equal(refused.reason, RS_REASON_TPM_GONE);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                err = RS_ERROR_INIT;
                assert_true(install_refused_parse(SPAN(bad[i], strlen(bad[i])), &refused, &err) < 0);
                assert_int_equal(err.reason, RS_REASON_STATE);
        }
        assert_string_equal(refused.slot, "A");
        err = RS_ERROR_INIT;
        assert_true(install_refused_parse(SPAN("slot=A\0\nreason=Volume\n", 22), &refused, &err) < 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(slot_and_manifest_are_read),
                cmocka_unit_test(what_was_refused_is_two_lines),
                cmocka_unit_test(everything_else_is_refused),
                cmocka_unit_test(each_step_has_a_name),
                cmocka_unit_test(the_slot_that_runs_is_the_one_below_the_root),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
