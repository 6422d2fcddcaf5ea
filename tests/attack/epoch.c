/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * epoch - slots that the engine has written, and stock cryptsetup before them (S60, S61; DESIGN.md 6, W11).
 *
 * One device through its life: two releases of one epoch, which open side by side; the older one put back, which opens
 * and is reported; a release of a higher epoch, behind whose mark the old slot opens no more, nor does yesterday's copy
 * of it; FLOOR raised above both, where the recovery passphrase is what is left (F18).
 *
 * Run by epoch.sh, where the plugin is in its place and /etc/reseal is this test's own.
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

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>

#include "device.h"

#define ROOTFS ((uint64_t) 1 << 20)

static TestDevice device;
static TestRelease one, two, three, four;

static int shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int shell(const char *format, ...) {
        char command[1024];
        va_list args;

        va_start(args, format);
        (void) vsnprintf(command, sizeof(command), format, args);
        va_end(args);
        return system(command);
}

/* What the plugin reads: which TPM. */
static void configure(void) {
        RsError err = RS_ERROR_INIT;
        char text[512];
        int n;

        n = snprintf(text, sizeof(text), "[daemon]\ncompatible = x\n[tpm]\ntcti = %s\nshared = no\nlock = %s\n",
                     device.tpm.swtpm.tcti, device.tpm.swtpm.lock);
        assert_int_equal(file_replace(AT_FDCWD, "/etc/reseal/reseal.conf", SPAN(text, (size_t) n), 0644, &err), 0);
}

/* Stock cryptsetup, the token and nothing else; why: the reason that it must give when it refuses. */
static bool opens(const char *slot, const char *why) {
        if (shell("cryptsetup open --test-passphrase --token-only --disable-locks %s >%s/out 2>&1", slot, device.dir) == 0)
                return true;
        if (!why || shell("grep -q %s %s/out", why, device.dir) != 0)
                (void) shell("cat %s/out >&2", device.dir);
        assert_non_null(why);
        assert_int_equal(shell("grep -q %s %s/out", why, device.dir), 0);
        return false;
}

static bool opens_by_passphrase(const char *slot) {
        return shell("cryptsetup open --test-passphrase --disable-locks --key-file %s/recovery %s >%s/out 2>&1", device.dir,
                     slot, device.dir) == 0;
}

static void must_install(const TestRelease *r) {
        RsError err = RS_ERROR_INIT;
        TestEngine e;

        test_engine_open(&e, &device, NULL, NULL);
        if (test_engine_install(&e, r, &err) < 0)
                fail_msg("%s: %s", rs_reason_name(err.reason), err.text);
        test_engine_close(&e);
}

static void boot_into(const char *slot, const TestRelease *r, bool good) {
        RsError err = RS_ERROR_INIT;
        char name[WRITER_NAME_SIZE + 1];
        TestEngine e;

        test_device_boot(&device, slot, r->bundle_id);
        if (!good)
                return;
        test_engine_open(&e, &device, NULL, NULL);
        if (install_mark(e.installer, INSTALL_BY_DAEMON, WRITER_MARK_GOOD, "", name, &err) < 0)
                fail_msg("%s", err.text);
        test_engine_close(&e);
}

static uint64_t floor_now(void) {
        RsError err = RS_ERROR_INIT;
        TestEngine e;
        TpmState s;

        test_engine_open(&e, &device, NULL, NULL);
        assert_int_equal(tpm_state_read(e.tpm, &s, &err), 0);
        test_engine_close(&e);
        return s.floor;
}

static const char *slot_a(void) { return device.slot_path[0]; }
static const char *slot_b(void) { return device.slot_path[1]; }

static void both_releases_of_an_epoch_open_side_by_side(void **state) {
        (void) state;
        must_install(&one);
        boot_into("B", &one, true);
        assert_true(opens(slot_b(), NULL));
        must_install(&two);
        assert_true(opens(slot_a(), NULL)); /* before its trial, as the bootloader will want it */
        boot_into("A", &two, true);
        assert_true(opens(slot_a(), NULL));
        assert_true(opens(slot_b(), NULL));
}

/* Within the epoch an image that was put back boots; it is told, and nothing below the record is accepted. */
static void an_image_put_back_within_its_epoch_opens_and_is_reported(void **state) {
        RsError err = RS_ERROR_INIT;
        InstallAlarm alarm = _INSTALL_ALARM_MAX;
        WriterOffer offer;
        WriterTrust trust;
        TestEngine e;
        RsError why;

        (void) state;
        boot_into("B", &one, false);
        assert_true(opens(slot_b(), NULL));
        test_engine_open(&e, &device, NULL, NULL);
        assert_int_equal(install_trust(e.installer, &trust, &err), 0);
        assert_int_equal(trust.reason, 0);
        assert_true(trust.running_below); /* RunningBelowAccepted */
        assert_int_equal(trust.release, 2);
        assert_int_equal(trust.running_release, 1);
        for (unsigned k = 0; k < 2; k++) {
                assert_int_equal(install_untold(e.installer, &alarm, &why), k == 0);
                assert_int_equal(install_trust(e.installer, &trust, &err), 0);
        }
        assert_int_equal(alarm, INSTALL_ALARM_RUNNING_BELOW);
        assert_string_equal(why.text, "release 1 runs, release 2 was accepted");
        assert_true(test_engine_offer(&e, &one, &offer, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_ROLLBACK);
        test_engine_close(&e);
        boot_into("A", &two, true);
}

/* W11: nothing happens to the old slot before the new one is good, and then it is for ever. */
static void behind_a_higher_epoch_the_old_slot_opens_no_more(void **state) {
        const uint64_t before = floor_now();

        (void) state;
        assert_int_equal(shell("cp %s %s/yesterday", slot_a(), device.dir), 0);
        must_install(&three); /* into B */
        assert_int_equal(floor_now(), before);
        assert_true(opens(slot_a(), NULL));
        assert_true(opens(slot_b(), NULL));
        boot_into("B", &three, false); /* its trial: the way back is open */
        assert_true(opens(slot_a(), NULL));
        assert_int_equal(floor_now(), before);
        boot_into("B", &three, true);
        assert_int_equal(floor_now(), before + 1);
        assert_false(opens(slot_a(), "TpmAuth"));
        assert_true(opens(slot_b(), NULL));
        assert_int_equal(shell("cp %s/yesterday %s", device.dir, slot_a()), 0); /* yesterday's disk */
        assert_false(opens(slot_a(), "TpmAuth"));
        swtpm_power_cycle(&device.tpm.swtpm);
        assert_false(opens(slot_a(), "TpmAuth"));
        assert_true(opens(slot_b(), NULL));
}

/* F18: neither slot opens by itself, the recovery passphrase does, FLOOR stays; what is installed next opens. */
static void with_floor_above_both_slots_the_recovery_passphrase_is_left(void **state) {
        RsError err = RS_ERROR_INIT;
        uint64_t floor;
        TestEngine e;

        (void) state;
        assert_int_equal(shell("head -c 32 /dev/urandom >%s/recovery && cryptsetup luksAddKey --token-only --disable-locks "
                               "--pbkdf pbkdf2 --pbkdf-force-iterations 1000 %s %s/recovery", device.dir, slot_b(),
                               device.dir), 0);
        floor = floor_now() + 1;
        test_engine_open(&e, &device, NULL, NULL);
        assert_int_equal(tpm_floor_raise(e.tpm, e.gate, floor, &err), 0);
        test_engine_close(&e);
        assert_false(opens(slot_a(), "TpmAuth"));
        assert_false(opens(slot_b(), "TpmAuth"));
        assert_true(opens_by_passphrase(slot_b()));
        assert_int_equal(floor_now(), floor);
        must_install(&four); /* by what the passphrase has started: into A */
        assert_true(opens(slot_a(), NULL));
        boot_into("A", &four, true);
        assert_int_equal(floor_now(), floor);
        assert_true(opens(slot_a(), NULL));
        assert_false(opens(slot_b(), "TpmAuth"));
}

static int group_setup(void **state) {
        if (test_pki_setup(state) < 0)
                return -1;
        test_device_make(&device, ROOTFS);
        test_release_make(&one, 1, 0, ROOTFS);
        test_release_make(&two, 2, 0, ROOTFS);
        test_release_make(&three, 3, 1, ROOTFS);
        test_release_make(&four, 4, 1, ROOTFS);
        configure();
        return 0;
}

static int group_teardown(void **state) {
        test_release_done(&one);
        test_release_done(&two);
        test_release_done(&three);
        test_release_done(&four);
        test_device_done(&device);
        return test_pki_teardown(state);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(both_releases_of_an_epoch_open_side_by_side),
                cmocka_unit_test(an_image_put_back_within_its_epoch_opens_and_is_reported),
                cmocka_unit_test(behind_a_higher_epoch_the_old_slot_opens_no_more),
                cmocka_unit_test(with_floor_above_both_slots_the_recovery_passphrase_is_left),
        };

        return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
