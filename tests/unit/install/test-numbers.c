/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What goes into the TPM: never a number of a file in the state directory, and with a sign of life per link.
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

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>

#include "chain.h"
#include "device.h"

#define ROOTFS ((uint64_t) 18 << 20)

typedef struct World {
        TestDevice d;
        TestRelease one;
        TestEngine e;
        unsigned steps[_INSTALL_STEP_MAX];
        InstallStep cancel_behind; /* W0: never */
        bool in_w7;
        uint64_t alive, told, n_links; /* in W7 */
} World;

static void on_step(void *userdata, InstallStep step, bool done) {
        World *w = userdata;

        w->steps[step] += done ? 1 : 0;
        w->in_w7 = step == INSTALL_W7_ACCEPT && !done;
        if (done && step != INSTALL_W0_GATE && step == w->cancel_behind)
                install_cancel(w->e.installer);
}

static int setup(void **state) {
        World *w = calloc(1, sizeof(*w));

        test_device_make(&w->d, ROOTFS);
        test_release_make(&w->one, 1, 1, ROOTFS);
        test_engine_open(&w->e, &w->d, on_step, w);
        *state = w;
        return 0;
}

static int teardown(void **state) {
        World *w = *state;

        test_engine_close(&w->e);
        test_release_done(&w->one);
        test_device_done(&w->d);
        free(w);
        return 0;
}

static TpmState tpm_state(World *w) {
        RsError err = RS_ERROR_INIT;
        TpmState s;

        assert_int_equal(tpm_state_read(w->e.tpm, &s, &err), 0);
        return s;
}

static void install(World *w, const TestRelease *r) {
        RsError err = RS_ERROR_INIT;

        if (test_engine_install(&w->e, r, &err) < 0)
                fail_msg("%s: %s (%s)", rs_reason_name(err.reason), err.text, err.origin);
}

static void reboot_into(World *w, const char *slot, const TestRelease *r) {
        test_engine_close(&w->e);
        test_device_boot(&w->d, slot, r ? r->bundle_id : NULL);
        test_engine_open(&w->e, &w->d, on_step, w);
}

static void edit_note(World *w, const char *name, uint32_t epoch, uint64_t floor_max) {
        RsError err = RS_ERROR_INIT;
        InstallSlot note;

        assert_int_equal(install_slot_load(w->e.state_fd, name, &note, &err), 1);
        note.epoch = epoch;
        note.floor_max = floor_max;
        assert_int_equal(install_slot_save(w->e.state_fd, &note, &err), 0);
}

/*
 * Whoever has the disk can write the state directory.  What W11 puts into the TPM for good is not in his hands: neither
 * too much, which would shut the running slot out, nor too little, which would leave the older one open.
 */
static void numbers_of_a_note_never_reach_the_tpm(void **state) {
        World *w = *state;
        uint64_t floor = tpm_state(w).floor;
        RsError err = RS_ERROR_INIT;
        TestRelease two;
        char name[33];

        install(w, &w->one);
        reboot_into(w, "B", &w->one);
        edit_note(w, "B", 1000000, 1ull << 40);
        assert_int_equal(install_mark(w->e.installer, INSTALL_BY_HEALTH, WRITER_MARK_GOOD, "", name, &err), 0);
        assert_int_equal(tpm_state(w).record.floor_epoch, 1);
        assert_int_equal(tpm_state(w).floor, floor + 1);
        for (int i = 0; i < 3; i++)
                assert_int_equal(install_converge(w->e.installer, &err), 0);
        assert_int_equal(tpm_state(w).floor, floor + 1);
        assert_true(test_slot_b_holds(&w->d, &w->one));

        test_release_make(&two, 2, 2, ROOTFS);
        install(w, &two);
        reboot_into(w, "A", &two);
        edit_note(w, "A", 0, 0);
        assert_int_equal(install_mark(w->e.installer, INSTALL_BY_HEALTH, WRITER_MARK_GOOD, "", name, &err), 0);
        assert_int_equal(tpm_state(w).record.floor_epoch, 2);
        assert_int_equal(tpm_state(w).floor, floor + 2);
        assert_true(test_slot_holds(&w->d, 0, &two));
        assert_null(test_slot_key(&w->d, w->d.slot_path[1]));
        test_release_done(&two);
}

static void count_alive(void *userdata) {
        World *w = userdata;

        w->alive += w->in_w7;
}

static void count_progress(void *userdata, const WriterProgress *p) {
        World *w = userdata;

        if (p->step == INSTALL_W7_ACCEPT) {
                assert_int_equal(p->done_bytes, w->told);
                w->n_links = p->total_bytes;
                w->told++;
        }
}

/* Level L2, behind by several releases: a TPM takes half a second for each, and a watchdog would see a hang. */
static void each_link_of_a_catch_up_is_a_sign_of_life(void **state) {
        World *w = *state;
        InstallDevice device;
        RsError err = RS_ERROR_INIT;
        TestRelease first, five;
        char name[33];

        test_engine_close(&w->e);
        test_device_level2(&w->d);
        test_engine_open(&w->e, &w->d, on_step, w);
        test_history_forget(); /* one epoch */
        test_release_make(&first, 1, 0, ROOTFS);
        install(w, &first);
        reboot_into(w, "B", &first);
        assert_int_equal(install_mark(w->e.installer, INSTALL_BY_HEALTH, WRITER_MARK_GOOD, "", name, &err), 0);
        device = w->e.device;
        device.on_alive = count_alive;
        device.on_progress = count_progress;
        w->e.installer = install_free(w->e.installer);
        assert_int_equal(install_new(&device, &w->e.installer, &err), 0);
        test_release_make(&five, 5, 0, ROOTFS);
        install(w, &five);
        assert_int_equal(w->n_links, 4);
        assert_int_equal(w->told, 4);
        assert_true(w->alive >= 4);
        test_release_done(&first);
        test_release_done(&five);
        test_history_forget();
}

/* Nor does what the install record says of the release: W8 notes what was signed. */
static void numbers_of_a_resumed_record_are_those_that_were_signed(void **state) {
        World *w = *state;
        RsError err = RS_ERROR_INIT;
        InstallRecord record;
        InstallSlot note;

        w->cancel_behind = INSTALL_W4_FRAMES;
        assert_true(test_engine_install(&w->e, &w->one, &err) < 0);
        w->cancel_behind = INSTALL_W0_GATE;
        install_abort(w->e.installer);
        err = RS_ERROR_INIT;
        assert_int_equal(install_record_load(w->e.state_fd, &record, &err), 1);
        record.release = 77;
        record.epoch = 99;
        (void) snprintf(record.version, sizeof(record.version), "another");
        assert_int_equal(install_record_save(w->e.state_fd, &record, &err), 0);
        memset(w->steps, 0, sizeof(w->steps));
        install(w, &w->one);
        assert_int_equal(w->steps[INSTALL_W1_RECORD], 0); /* it was resumed */
        assert_int_equal(install_slot_load(w->e.state_fd, "B", &note, &err), 1);
        assert_int_equal(note.release, 1);
        assert_int_equal(note.epoch, 1);
        assert_string_equal(note.version, "1.1");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(numbers_of_a_note_never_reach_the_tpm, setup, teardown),
                cmocka_unit_test_setup_teardown(numbers_of_a_resumed_record_are_those_that_were_signed, setup, teardown),
                cmocka_unit_test_setup_teardown(each_link_of_a_catch_up_is_a_sign_of_life, setup, teardown),
        };

        return cmocka_run_group_tests(tests, test_pki_setup, test_pki_teardown);
}
