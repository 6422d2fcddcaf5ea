/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which slot to open: the kernel command line chooses, the copy of writer.conf knows; and where its partition is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <reseal/base/cleanup.h>
#include <reseal/slot/partition.h>

#include "advice.h"
#include "device.h"
#include "unlock-config.h"

static char dir[] = "/tmp/reseal-unlock-XXXXXX";

static const char *at(const char *name) {
        static char path[4][300];
        static unsigned next;
        char *p = path[next++ % 4];

        (void) snprintf(p, sizeof(path[0]), "%s/%s", dir, name);
        return p;
}

static void write_file(const char *name, const char *text) {
        FILE *f = fopen(at(name), "w");

        assert_non_null(f);
        assert_true(fputs(text, f) >= 0);
        assert_int_equal(fclose(f), 0);
}

static void partition(const char *name, const char *uevent) {
        char path[64];

        (void) mkdir(at("block"), 0755);
        (void) snprintf(path, sizeof(path), "block/%s", name);
        (void) mkdir(at(path), 0755);
        (void) snprintf(path, sizeof(path), "block/%s/uevent", name);
        write_file(path, uevent);
}

static int setup(void **state) {
        (void) state;
        return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state) {
        char command[64];

        (void) state;
        (void) snprintf(command, sizeof(command), "rm -r %s", dir);
        return system(command) == 0 ? 0 : -1;
}

static RsReason cmdline(const char *text, char **ret) {
        RsError err = RS_ERROR_INIT;

        *ret = NULL;
        return unlock_cmdline_slot(text, ret, &err) < 0 ? err.reason : RS_REASON_NONE;
}

static void kernel_command_line_names_the_slot_once(void **state) {
        char *slot;

        (void) state;
        assert_int_equal(cmdline("quiet reseal.slot=B root=/dev/mapper/root\n", &slot), RS_REASON_NONE);
        assert_string_equal(slot, "B");
        free(slot);
        assert_int_equal(cmdline("reseal.slot=A reseal.slot=A\n", &slot), RS_REASON_INVALID);
        assert_int_equal(cmdline("quiet xreseal.slot=A reseal.slots=A\n", &slot), RS_REASON_INVALID);
        assert_int_equal(cmdline("", &slot), RS_REASON_INVALID);
}

#define HEAD                                                           \
        "[device]\nline=gateway\ncompatible=board\n"                   \
        "[boot]\nbackend=grub\npath=/boot/env\nnames=A B\n"
#define TRUST "[trust]\nfirmware-root=/etc/reseal/firmware-root.pem\n"
#define SLOT_A "[slot rootfs.a]\nclass=rootfs\nboot-name=A\ndevice=/dev/disk/by-partlabel/a\ntype=luks2\n"
#define KERNEL_A "[slot kernel.a]\nclass=kernel\nboot-name=A\ndevice=/dev/disk/by-partlabel/k\ntype=plain\n"

static RsReason load(const char *text, UnlockConfig *ret) {
        RsError err = RS_ERROR_INIT;

        write_file("writer.conf", text);
        return unlock_config_load(at("writer.conf"), ret, &err) < 0 ? err.reason : RS_REASON_NONE;
}

static void writer_conf_is_the_slot_map_here_too(void **state) {
        UnlockConfig c = { 0 };
        RsError err = RS_ERROR_INIT;
        const Slot *slot = NULL;

        (void) state;
        assert_int_equal(load(HEAD TRUST SLOT_A KERNEL_A, &c), RS_REASON_NONE);
        assert_string_equal(c.tpm.tcti, "device:/dev/tpmrm0");
        assert_true(c.tpm.shared);
        assert_int_equal(unlock_config_slot(&c, "rootfs", "A", &slot, &err), 0);
        assert_string_equal(slot->device, "/dev/disk/by-partlabel/a");
        assert_true(unlock_config_slot(&c, "rootfs", "B", &slot, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_INVALID);
        err = RS_ERROR_INIT;
        assert_true(unlock_config_slot(&c, "kernel", "A", &slot, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_CONFIG);
        unlock_config_done(&c);
}

static void configuration_without_anchors_is_refused(void **state) {
        UnlockConfig c;

        (void) state;
        assert_int_equal(load(HEAD SLOT_A, &c), RS_REASON_CONFIG);
        assert_int_equal(load(HEAD TRUST SLOT_A "nonsense=1\n", &c), RS_REASON_CONFIG);
        assert_int_equal(load("[device]\nline=gateway\n" TRUST SLOT_A, &c), RS_REASON_CONFIG);
        assert_int_equal(load("[device]\ncompatible=board\n" TRUST SLOT_A, &c), RS_REASON_CONFIG);
}

static int find(const char *path, char **ret, RsReason *ret_reason) {
        RsError err = RS_ERROR_INIT;
        int r;

        *ret = NULL;
        r = device_find(path, at("block"), ret, &err);
        *ret_reason = err.reason;
        return r;
}

static void partition_is_found_by_name_without_udev(void **state) {
        RsReason reason;
        char *device;

        (void) state;
        assert_int_equal(find("/dev/disk/by-partlabel/none", &device, &reason), 0);
        partition("vda", "MAJOR=254\nDEVTYPE=disk\n");
        partition("vda2", "MAJOR=254\nMINOR=2\nDEVNAME=vda2\nPARTN=2\nPARTNAME=slot-a\n");
        partition("vda3", "DEVNAME=vda3\nPARTNAME=slot-ab\nPARTUUID=1234-5\n");
        assert_int_equal(find("/dev/disk/by-partlabel/slot-a", &device, &reason), 1);
        assert_string_equal(device, "/dev/vda2");
        free(device);
        assert_int_equal(find("/dev/reseal/slot-ab", &device, &reason), 1);
        assert_string_equal(device, "/dev/vda3");
        free(device);
        assert_int_equal(find("/dev/disk/by-partuuid/1234-5", &device, &reason), 1);
        free(device);
        assert_int_equal(find("/dev/disk/by-partlabel/slot", &device, &reason), 0);
        assert_int_equal(find("/dev/sdz9", &device, &reason), 0);
}

static void two_partitions_of_one_name_are_refused(void **state) {
        RsReason reason;
        char *device;

        (void) state;
        partition("vda2", "DEVNAME=vda2\nPARTNAME=twice\n");
        partition("sda1", "DEVNAME=sda1\nPARTNAME=twice\n");
        assert_true(find("/dev/disk/by-partlabel/twice", &device, &reason) < 0);
        assert_int_equal(reason, RS_REASON_TARGET);
}

static void path_below_dev_must_be_a_block_device(void **state) {
        RsReason reason;
        char *device;

        (void) state;
        assert_true(find("/dev/null", &device, &reason) < 0);
        assert_int_equal(reason, RS_REASON_TARGET);
        assert_int_equal(find(at("writer.conf"), &device, &reason), 1);
        free(device);
}

static void every_reason_has_words_for_the_console(void **state) {
        (void) state;
        for (int reason = 0; reason < _RS_REASON_MAX; reason++)
                assert_true(strlen(advice_for((RsReason) reason)) > 20);
        assert_string_not_equal(advice_for(RS_REASON_TPM_GONE), advice_for(RS_REASON_TPM_AUTH));
}

/* With udev the link is there and leads to whichever medium came last; the kernel's list decides. */
static void a_name_that_two_media_carry_or_a_link_that_strays_is_refused(void **state) {
        static const char path[] = "/dev/disk/by-partlabel/reseal-stick";
        RsError err = RS_ERROR_INIT;

        (void) state;
        partition("sdx2", "MAJOR=8\nMINOR=2\nPARTNAME=reseal-stick\n");
        assert_int_equal(partition_check(path, makedev(8, 2), at("block"), &err), 0);
        assert_true(partition_check(path, makedev(8, 17), at("block"), &err) < 0);
        assert_int_equal(err.reason, RS_REASON_TARGET);
        partition("sdy1", "MAJOR=8\nMINOR=17\nPARTNAME=reseal-stick\n");
        for (unsigned minor_number = 2; minor_number <= 17; minor_number += 15) {
                err = RS_ERROR_INIT;
                assert_true(partition_check(path, makedev(8, minor_number), at("block"), &err) < 0);
                assert_int_equal(err.reason, RS_REASON_TARGET);
        }
        err = RS_ERROR_INIT;
        assert_int_equal(partition_check("/dev/vda3", makedev(8, 17), at("block"), &err), 0); /* no name to be carried */
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(kernel_command_line_names_the_slot_once),
                cmocka_unit_test(writer_conf_is_the_slot_map_here_too),
                cmocka_unit_test(configuration_without_anchors_is_refused),
                cmocka_unit_test(partition_is_found_by_name_without_udev),
                cmocka_unit_test(two_partitions_of_one_name_are_refused),
                cmocka_unit_test(path_below_dev_must_be_a_block_device),
                cmocka_unit_test(every_reason_has_words_for_the_console),
                cmocka_unit_test(a_name_that_two_media_carry_or_a_link_that_strays_is_refused),
        };

        return cmocka_run_group_tests_name("initramfs-unlock-config", tests, setup, teardown);
}
