/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One installation through the engine, on swtpm, slots as files and a real GRUB environment (DESIGN.md 8, I0 to I5).
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
        uint8_t running[32];
        unsigned steps[_INSTALL_STEP_MAX];
        InstallStep cancel_behind; /* W0: never */
} World;

static void on_step(void *userdata, InstallStep step, bool done) {
        World *w = userdata;

        w->steps[step] += done ? 1 : 0;
        if (done && step != INSTALL_W0_GATE && step == w->cancel_behind)
                install_cancel(w->e.installer);
}

static int setup(void **state) {
        World *w = calloc(1, sizeof(*w));

        test_device_make(&w->d, ROOTFS);
        test_release_make(&w->one, 1, 1, ROOTFS);
        test_sha256_of_file(w->d.slot_path[0], w->running);
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

static BootState boot_state(World *w) {
        RsError err = RS_ERROR_INIT;
        BootState s;

        assert_int_equal(boot_read(w->e.boot, &s, &err), 0);
        return s;
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

static void assert_refused(World *w, const TestRelease *r, RsReason reason) {
        RsError err = RS_ERROR_INIT;

        assert_true(test_engine_install(&w->e, r, &err) < 0);
        if (err.reason != reason)
                fail_msg("%s: %s (%s)", rs_reason_name(err.reason), err.text, err.origin);
}

static void assert_running_untouched(World *w) {
        uint8_t now[32];

        test_sha256_of_file(w->d.slot_path[0], now);
        assert_memory_equal(now, w->running, 32);
}

static void reboot_into(World *w, const char *slot, const TestRelease *r) {
        test_engine_close(&w->e);
        test_device_boot(&w->d, slot, r ? r->bundle_id : NULL);
        test_engine_open(&w->e, &w->d, on_step, w);
}

static void a_release_lands_is_tried_and_marked_good(void **state) {
        World *w = *state;
        RsError err = RS_ERROR_INIT;
        WriterSlotInfo slots[8];
        char name[33];
        uint32_t n;

        install(w, &w->one);
        assert_true(test_slot_b_holds(&w->d, &w->one));
        assert_running_untouched(w);
        assert_string_equal(boot_state(w).primary, "B");
        assert_int_equal(boot_state(w).slots[1].tries_left, 3);
        assert_false(boot_state(w).slots[1].good);
        assert_int_equal(tpm_state(w).record.release, 1);
        for (int step = INSTALL_W1_RECORD; step <= INSTALL_W8_TRY; step++)
                assert_int_equal(w->steps[step], 1);
        assert_int_equal(install_slots(w->e.installer, slots, 8, &n, &err), 0);
        assert_int_equal(n, 4);
        assert_true(slots[0].running && !slots[1].running && slots[1].primary);
        assert_int_equal(slots[1].release, 1);
        assert_string_equal(slots[1].version, "1.1");
        assert_false(slots[1].busy);

        /* W9, W10, W11: epoch 1 is above the factory's 0 */
        reboot_into(w, "B", &w->one);
        assert_refused(w, &w->one, RS_REASON_TRIAL_PENDING);
        assert_int_equal(install_mark(w->e.installer, INSTALL_BY_DAEMON, WRITER_MARK_GOOD, "", name, &err), 0);
        assert_string_equal(name, "B");
        assert_true(boot_state(w).slots[1].good);
        assert_false(boot_state(w).slots[0].bootable);
        assert_int_equal(tpm_state(w).record.floor_epoch, 1);
        assert_int_equal(install_mark(w->e.installer, INSTALL_BY_DAEMON, WRITER_MARK_GOOD, "rootfs.b", name, &err), 0);
        assert_true(test_slot_b_holds(&w->d, &w->one)); /* its own floor does not shut it out */
}

static void the_floor_rises_once_and_shuts_the_older_slot_out(void **state) {
        World *w = *state;
        RsError err = RS_ERROR_INIT;
        uint64_t floor = tpm_state(w).floor;
        char name[33];

        install(w, &w->one);
        assert_int_equal(tpm_state(w).floor, floor); /* not before it is marked good */
        reboot_into(w, "B", &w->one);
        for (int i = 0; i < 3; i++)
                assert_int_equal(install_mark(w->e.installer, INSTALL_BY_DAEMON, WRITER_MARK_GOOD, "", name, &err), 0);
        assert_int_equal(tpm_state(w).floor, floor + 1);
        assert_int_equal(install_converge(w->e.installer, &err), 0);
        assert_int_equal(tpm_state(w).floor, floor + 1);
        assert_true(install_mark(w->e.installer, INSTALL_BY_DAEMON, WRITER_MARK_ACTIVE, "A", name, &err) < 0);
}

static void an_aborted_installation_resumes_with_what_is_proven(void **state) {
        _cleanup_(freep) WriterRange *ranges = calloc(WRITER_RANGES_MAX, sizeof(*ranges));
        World *w = *state;
        RsError err = RS_ERROR_INIT;
        WriterOffer offer;
        uint32_t next, n;

        assert_int_equal(test_engine_offer(&w->e, &w->one, &offer, &err), 0);
        for (uint32_t i = 0; i < 2; i++)
                assert_int_equal(install_table(w->e.installer, i, encoder_view(&w->one.images[i].encoded),
                                               &next, ranges, &n, &err),
                                 0);
        for (uint32_t f = 0; f < 18; f++) { /* the first window has 16 frames; its proof arrives a little later */
                WriterFrame request = { .frame = f };
                const uint8_t *data;
                bool has_data = test_frame(&w->one, 0, f, &data, &request.size);

                assert_int_equal(install_frame(w->e.installer, &request, has_data ? data : NULL, &err), 0);
        }
        install_abort(w->e.installer);
        assert_false(boot_state(w).slots[1].bootable);
        reboot_into(w, "A", NULL);
        assert_int_equal(test_engine_offer(&w->e, &w->one, &offer, &err), 0);
        assert_int_equal(install_table(w->e.installer, 0, encoder_view(&w->one.images[0].encoded), &next,
                                       ranges, &n, &err),
                         0);
        assert_true(n <= 1);
        if (n == 1)
                assert_int_equal(ranges[0].count % 16, 0);
        memset(w->steps, 0, sizeof(w->steps));
        install(w, &w->one);
        assert_int_equal(w->steps[INSTALL_W1_RECORD], 0); /* the same volume key */
        assert_true(test_slot_b_holds(&w->d, &w->one));
        assert_running_untouched(w);
}

static void another_release_replaces_an_open_record(void **state) {
        World *w = *state;
        RsError err = RS_ERROR_INIT;
        TestRelease two;
        WriterOffer offer;
        WriterRange ranges[4];
        uint32_t next, n;
        WriterFrame f = { 0 };
        const uint8_t *data;

        assert_int_equal(test_engine_offer(&w->e, &w->one, &offer, &err), 0);
        for (uint32_t i = 0; i < 2; i++)
                assert_int_equal(install_table(w->e.installer, i, encoder_view(&w->one.images[i].encoded),
                                               &next, ranges, &n, &err),
                                 0);
        (void) test_frame(&w->one, 0, 0, &data, &f.size);
        assert_int_equal(install_frame(w->e.installer, &f, data, &err), 0);
        install_abort(w->e.installer);
        test_release_make(&two, 2, 1, ROOTFS);
        install(w, &two);
        assert_true(test_slot_b_holds(&w->d, &two));
        assert_refused(w, &w->one, RS_REASON_ROLLBACK);
        test_release_done(&two);
}

/* I3: a source that offers a valid release and stalls, or sends rubbish first, has cost nothing. */
static void before_the_first_verified_frame_the_target_is_as_it_was(void **state) {
        _cleanup_(freep) uint8_t *rubbish = calloc(1, RS_FRAME_SIZE_MAX);
        World *w = *state;
        RsError err = RS_ERROR_INIT;
        uint8_t before[32], after[32];
        WriterOffer offer;
        WriterRange ranges[4];
        uint32_t next, n;
        WriterFrame f = { .size = RS_FRAME_SIZE_MAX };

        assert_int_equal(boot_set_good(w->e.boot, "B", &err), 0);
        test_sha256_of_file(w->d.slot_path[1], before);
        assert_int_equal(test_engine_offer(&w->e, &w->one, &offer, &err), 0);
        for (uint32_t i = 0; i < 2; i++)
                assert_int_equal(install_table(w->e.installer, i, encoder_view(&w->one.images[i].encoded),
                                               &next, ranges, &n, &err),
                                 0);
        assert_true(install_frame(w->e.installer, &f, rubbish, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_CHUNK_DIGEST);
        install_abort(w->e.installer);
        test_sha256_of_file(w->d.slot_path[1], after);
        assert_memory_equal(before, after, 32);
        assert_true(boot_state(w).slots[1].good);
}

static void offer_with_tables(World *w, const TestRelease *r) {
        _cleanup_(freep) WriterRange *ranges = calloc(WRITER_RANGES_MAX, sizeof(*ranges));
        RsError err = RS_ERROR_INIT;
        WriterOffer offer;
        uint32_t next, n;

        assert_int_equal(test_engine_offer(&w->e, r, &offer, &err), 0);
        for (uint32_t i = 0; i < 2; i++)
                assert_int_equal(install_table(w->e.installer, i, encoder_view(&r->images[i].encoded), &next,
                                               ranges, &n, &err),
                                 0);
}

static int send_frame(World *w, const TestRelease *r, uint32_t image, uint32_t frame, RsError *err) {
        WriterFrame request = { .image = image, .frame = frame };
        const uint8_t *data;
        bool has_data = test_frame(r, image, frame, &data, &request.size);

        return install_frame(w->e.installer, &request, has_data ? data : NULL, err);
}

static void assert_target_untouched(World *w, const uint8_t before[32]) {
        RsError err = RS_ERROR_INIT;
        InstallRecord record;
        uint8_t after[32];

        test_sha256_of_file(w->d.slot_path[1], after);
        assert_memory_equal(before, after, 32);
        assert_true(boot_state(w).slots[1].good);
        assert_int_equal(install_record_load(w->e.state_fd, &record, &err), 0);
}

/* I3: a zero frame is known from the signed table and shows nothing about what the source has. */
static void zero_frames_alone_do_not_cost_the_fallback_slot(void **state) {
        World *w = *state;
        RsError err = RS_ERROR_INIT;
        uint8_t before[32];
        TestRelease r;

        test_release_begin(&r, 1, 1, ROOTFS);
        test_release_zero(&r, 0, 2);
        test_release_sign(&r, NULL);
        assert_int_equal(boot_set_good(w->e.boot, "B", &err), 0);
        test_sha256_of_file(w->d.slot_path[1], before);
        offer_with_tables(w, &r);
        for (uint32_t f = 0; f < 2; f++)
                assert_int_equal(send_frame(w, &r, 0, f, &err), 0);
        assert_target_untouched(w, before);
        install_abort(w->e.installer); /* the source stalls, the job gives up */
        assert_target_untouched(w, before);
        install(w, &r);
        assert_true(test_slot_b_holds(&w->d, &r));
        test_release_done(&r);
}

static void an_image_of_zeros_waits_for_the_data_of_the_next_one(void **state) {
        World *w = *state;
        RsError err = RS_ERROR_INIT;
        uint8_t before[32];
        TestRelease r;

        test_release_begin(&r, 1, 1, ROOTFS);
        test_release_zero(&r, 0, UINT16_MAX);
        test_release_sign(&r, NULL);
        assert_int_equal(boot_set_good(w->e.boot, "B", &err), 0);
        test_sha256_of_file(w->d.slot_path[1], before);
        offer_with_tables(w, &r);
        for (uint32_t f = 0; f < r.images[0].table->n_frames; f++)
                assert_int_equal(send_frame(w, &r, 0, f, &err), 0);
        assert_target_untouched(w, before);
        install(w, &r);
        assert_true(test_slot_b_holds(&w->d, &r));
        test_release_done(&r);
}

static void a_release_of_zeros_alone_begins_at_finish(void **state) {
        World *w = *state;
        RsError err = RS_ERROR_INIT;
        char primary[WRITER_NAME_SIZE + 1];
        uint8_t before[32];
        TestRelease r;

        test_release_begin(&r, 1, 1, ROOTFS);
        for (uint32_t i = 0; i < 2; i++)
                test_release_zero(&r, i, UINT16_MAX);
        test_release_sign(&r, NULL);
        assert_int_equal(boot_set_good(w->e.boot, "B", &err), 0);
        test_sha256_of_file(w->d.slot_path[1], before);
        offer_with_tables(w, &r);
        for (uint32_t i = 0; i < 2; i++)
                for (uint32_t f = 0; f < r.images[i].table->n_frames; f++)
                        assert_int_equal(send_frame(w, &r, i, f, &err), 0);
        assert_target_untouched(w, before);
        assert_int_equal(install_finish(w->e.installer, primary, &err), 0);
        assert_true(test_slot_b_holds(&w->d, &r));
        test_release_done(&r);
}

static void tables_that_are_not_the_signed_ones_are_refused(void **state) {
        World *w = *state;
        Encoder *e = &w->one.images[0].encoded;
        RsError err = RS_ERROR_INIT;
        WriterRange ranges[4];
        WriterOffer offer;
        uint32_t next, n;

        assert_int_equal(test_engine_offer(&w->e, &w->one, &offer, &err), 0);
        e->data[e->size - 1] ^= 1;
        assert_true(install_table(w->e.installer, 0, encoder_view(e), &next, ranges, &n, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_TABLE_DIGEST);
        e->data[e->size - 1] ^= 1;
        err = RS_ERROR_INIT;
        assert_true(install_table(w->e.installer, 0, SPAN(e->data, e->size - 1), &next, ranges, &n, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_TABLE_DIGEST);
        err = RS_ERROR_INIT;
        assert_true(install_table(w->e.installer, 2, encoder_view(e), &next, ranges, &n, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_PROTOCOL);
}

static void a_signed_root_that_the_table_does_not_lead_to_is_refused(void **state) {
        World *w = *state;
        TestRelease r;

        test_release_begin(&r, 1, 1, ROOTFS);
        r.manifest->images[0].root[0] ^= 1;
        test_release_sign(&r, NULL);
        assert_refused(w, &r, RS_REASON_ROOT);
        test_release_done(&r);
}

static void releases_for_others_are_refused_before_anything_is_touched(void **state) {
        static const struct {
                const char *what;
                RsReason reason;
        } cases[] = { { "line", RS_REASON_LINE },        { "board", RS_REASON_COMPATIBLE },
                      { "class", RS_REASON_SLOT_CLASS }, { "clear", RS_REASON_POLICY },
                      { "size", RS_REASON_SIZE },        { "signer", RS_REASON_PURPOSE } };
        World *w = *state;
        uint8_t before[32], after[32];

        test_sha256_of_file(w->d.slot_path[1], before);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                TestRelease r;

                test_release_begin(&r, 1, 1, ROOTFS);
                if (strcmp(cases[i].what, "line") == 0)
                        r.manifest->line[0] = 'x';
                else if (strcmp(cases[i].what, "board") == 0)
                        r.manifest->compatible[0][0] = 'x';
                else if (strcmp(cases[i].what, "class") == 0)
                        (void) strcpy(r.manifest->images[1].class_name, "dsp");
                else if (strcmp(cases[i].what, "clear") == 0)
                        r.manifest->confidential = false;
                else if (strcmp(cases[i].what, "size") == 0) {
                        test_release_done(&r);
                        test_release_begin(&r, 1, 1, ROOTFS + ((uint64_t) 4 << 20));
                }
                test_release_sign(&r, strcmp(cases[i].what, "signer") == 0 ? "bad/signer-purpose"
                                                                           : NULL);
                assert_refused(w, &r, cases[i].reason);
                test_release_done(&r);
        }
        test_sha256_of_file(w->d.slot_path[1], after);
        assert_memory_equal(before, after, 32);
        assert_running_untouched(w);
}

static void without_knowing_the_running_slot_nothing_is_installed(void **state) {
        World *w = *state;
        RsError err = RS_ERROR_INIT;
        char name[33];

        assert_int_equal(unlink(w->d.booted), 0);
        assert_refused(w, &w->one, RS_REASON_STATE);
        assert_true(install_mark(w->e.installer, INSTALL_BY_DAEMON, WRITER_MARK_GOOD, "A", name, &err) < 0);
        test_device_boot(&w->d, "C", NULL); /* the bootloader knows no such slot */
        assert_refused(w, &w->one, RS_REASON_STATE);
}

static void only_the_running_slot_is_marked_good(void **state) {
        World *w = *state;
        RsError err = RS_ERROR_INIT;
        char name[33];

        install(w, &w->one);
        assert_true(install_mark(w->e.installer, INSTALL_BY_DAEMON, WRITER_MARK_GOOD, "B", name, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_STATE);
        assert_false(boot_state(w).slots[1].good);
        err = RS_ERROR_INIT;
        assert_true(install_mark(w->e.installer, INSTALL_BY_DAEMON, WRITER_MARK_ACTIVE, "B", name, &err) < 0); /* not good yet */
        err = RS_ERROR_INIT;
        assert_true(install_mark(w->e.installer, INSTALL_BY_DAEMON, WRITER_MARK_GOOD, "nosuch", name, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_INVALID);
        err = RS_ERROR_INIT;
        assert_true(install_mark(w->e.installer, INSTALL_BY_DAEMON, WRITER_MARK_BAD, "A", name, &err) < 0); /* the last good one */
        assert_int_equal(err.reason, RS_REASON_STATE);
        assert_int_equal(install_mark(w->e.installer, INSTALL_BY_DAEMON, WRITER_MARK_BAD, "rootfs.b", name, &(RsError){ 0 }), 0);
        assert_false(boot_state(w).slots[1].bootable);
}

/* D1: a taken-over reseald holds the socket, and a good older slot still boots within its epoch. */
static void an_older_slot_is_not_made_active_by_a_message(void **state) {
        World *w = *state;
        RsError err = RS_ERROR_INIT;
        char name[33];

        install(w, &w->one);
        assert_int_equal(install_mark(w->e.installer, INSTALL_BY_DAEMON, WRITER_MARK_ACTIVE, "A", name, &err), 0); /* runs already */
        reboot_into(w, "B", &w->one);
        assert_int_equal(install_mark(w->e.installer, INSTALL_BY_DAEMON, WRITER_MARK_GOOD, "", name, &err), 0);
        assert_int_equal(boot_set_good(w->e.boot, "A", &err), 0); /* as if W11 had not been due */
        assert_int_equal(boot_set_primary(w->e.boot, "B", &err), 0);
        assert_true(install_mark(w->e.installer, INSTALL_BY_DAEMON, WRITER_MARK_ACTIVE, "A", name, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_ROLLBACK);
        assert_string_equal(boot_state(w).primary, "B");
        assert_int_equal(install_mark(w->e.installer, INSTALL_BY_DAEMON, WRITER_MARK_ACTIVE, "B", name, &(RsError){ 0 }), 0);
}

/* S23: the store is another program's.  What is no set changes nothing and is told once. */
static void a_trust_set_that_is_none_is_told_once(void **state) {
        static const uint8_t noise[] = { 0x30, 0x03, 0x02, 0x01, 0x01 };
        World *w = *state;
        RsError err = RS_ERROR_INIT, told = RS_ERROR_INIT;
        InstallAlarm alarm = _INSTALL_ALARM_MAX;
        WriterTrust trust;

        test_engine_close(&w->e);
        (void) snprintf(w->d.trust_set, sizeof(w->d.trust_set), "%s/store.set", w->d.dir);
        assert_int_equal(file_replace(AT_FDCWD, w->d.trust_set, SPAN_ARRAY(noise), 0644, &err), 0);
        test_engine_open(&w->e, &w->d, on_step, w);
        for (unsigned k = 0; k < 2; k++) {
                assert_int_equal(install_trust(w->e.installer, &trust, &err), 0);
                assert_int_equal(trust.reason, RS_REASON_NONE);
                assert_int_equal(install_untold(w->e.installer, &alarm, &told), k == 0);
        }
        assert_int_equal(alarm, INSTALL_ALARM_TRUST_SET);
        assert_int_not_equal(told.reason, RS_REASON_NONE);
        install(w, &w->one); /* nothing is worse for it */
        w->d.trust_set[0] = '\0';
}

static WriterSlotInfo slot_info(World *w, const char *name) {
        WriterSlotInfo slots[WRITER_SLOTS_MAX];
        RsError err = RS_ERROR_INIT;
        uint32_t n = 0;

        assert_int_equal(install_slots(w->e.installer, slots, WRITER_SLOTS_MAX, &n, &err), 0);
        for (uint32_t i = 0; i < n; i++)
                if (strcmp(slots[i].boot_name, name) == 0)
                        return slots[i];
        fail();
        return slots[0];
}

/* S13: the old slot tells what happened to the new one, until that is written again. */
static void a_rejected_trial_is_told_by_the_other_slot(void **state) {
        World *w = *state;
        RsError err = RS_ERROR_INIT;
        char name[33];

        install(w, &w->one);
        assert_true(install_reject(w->e.installer, INSTALL_BY_HEALTH, "early", name, &err) < 0); /* A is good */
        assert_int_equal(err.reason, RS_REASON_STATE);
        assert_false(slot_info(w, "B").failed);
        reboot_into(w, "B", &w->one);
        assert_int_equal(install_reject(w->e.installer, INSTALL_BY_HEALTH, "modem.service is not active", name, &(RsError){ 0 }), 0);
        assert_string_equal(name, "B");
        assert_string_equal(boot_state(w).primary, "A");
        assert_false(slot_info(w, "B").failed); /* it still runs */
        reboot_into(w, "A", NULL);
        assert_true(slot_info(w, "B").failed);
        assert_string_equal(slot_info(w, "B").report, "modem.service is not active");
        assert_false(slot_info(w, "A").failed);

        install(w, &w->one); /* an operator may try it again */
        assert_false(slot_info(w, "B").failed);
        assert_string_equal(slot_info(w, "B").report, "");
        reboot_into(w, "B", &w->one);
        assert_int_equal(install_mark(w->e.installer, INSTALL_BY_DAEMON, WRITER_MARK_GOOD, "", name, &(RsError){ 0 }), 0);
}

/* Release 1 in slot B is good and first, and the loader went on to A, which is good, too. */
static void b_misses_its_starts(World *w, const char *refused) {
        char command[512], name[33];
        RsError err = RS_ERROR_INIT;

        install(w, &w->one);
        reboot_into(w, "B", &w->one);
        assert_int_equal(install_mark(w->e.installer, INSTALL_BY_DAEMON, WRITER_MARK_GOOD, "", name, &err), 0);
        assert_int_equal(boot_set_good(w->e.boot, "A", &err), 0); /* as if W11 had not been due */
        test_engine_close(&w->e);
        (void) snprintf(command, sizeof(command), "grub-editenv %s set B_TRY=3 A_TRY=1 && { test -z '%s' || printf '%s' >%s/refused; }",
                        w->d.grubenv, refused, refused, w->d.dir);
        assert_int_equal(system(command), 0);
        test_device_boot(&w->d, "A", NULL);
        test_engine_open(&w->e, &w->d, on_step, w);
        assert_int_equal(install_converge(w->e.installer, &err), 0);
        assert_true(slot_info(w, "B").good && slot_info(w, "B").primary && !slot_info(w, "B").failed);
        assert_int_equal(boot_state(w).slots[0].missed, 0);
        assert_int_equal(boot_state(w).slots[1].missed, BOOT_MISSED_MAX - 1); /* tried again at the next start */
}

static void a_good_slot_that_did_not_come_up_is_told_and_written_again(void **state) {
        World *w = *state;
        RsError err = RS_ERROR_INIT;
        WriterOffer answer;

        b_misses_its_starts(w, "");
        assert_string_equal(slot_info(w, "B").report, "it did not come up when it was started");
        assert_int_equal(install_converge(w->e.installer, &err), 0);
        assert_int_not_equal(slot_info(w, "B").report[0], '\0');
        assert_int_equal(install_offer(w->e.installer, encoder_view(&w->one.cms), &answer, &err), 0);
        assert_int_equal(answer.images[0].wanted, 1); /* although it is accepted and tried next */
        install_abort(w->e.installer);
        reboot_into(w, "B", &w->one); /* it came up after all */
        assert_int_equal(install_converge(w->e.installer, &err), 0);
        assert_string_equal(slot_info(w, "B").report, "");
        reboot_into(w, "A", NULL);
        assert_int_equal(install_converge(w->e.installer, &err), 0);
        assert_string_equal(slot_info(w, "B").report, "");
}

static void what_the_initramfs_found_is_told_with_its_slot(void **state) {
        World *w = *state;
        RsError err = RS_ERROR_INIT;

        b_misses_its_starts(w, "slot=B\\nreason=Volume\\n");
        assert_non_null(strstr(slot_info(w, "B").report, "(Volume)"));
        assert_string_equal(slot_info(w, "A").report, "");
        install(w, &w->one); /* W2 ends it, and what was said is not said of the release that is there now */
        assert_int_equal(install_converge(w->e.installer, &err), 0);
        assert_string_equal(slot_info(w, "B").report, "");
}

/* A release that hung says nothing: that it failed is seen from the loader's count alone. */
static void a_trial_without_a_report_failed_as_well(void **state) {
        World *w = *state;
        RsError err = RS_ERROR_INIT;

        install(w, &w->one);
        assert_int_equal(boot_set_unbootable(w->e.boot, "B", &err), 0); /* as the loader leaves it */
        assert_true(slot_info(w, "B").failed);
        assert_string_equal(slot_info(w, "B").report, "");
}

/* `resealctl crl import` of the authority's list: nothing comes with it, the writer has kept the authority's certificate. */
static void a_list_of_the_authority_is_taken_without_links(void **state) {
        _cleanup_(encoder_done) Encoder list = ENCODER_INIT, crls = ENCODER_INIT;
        World *w = *state;
        RsError err = RS_ERROR_INIT;
        bool changed = false;

        chain_crl(test_history(), 7, NULL, 0, &list);
        encoder_u32(&crls, 1);
        encoder_u32(&crls, (uint32_t) list.size);
        encoder_span(&crls, encoder_view(&list));
        assert_int_equal(encoder_finish(&crls), 0);
        assert_true(install_evidence(w->e.installer, WRITER_EVIDENCE_CRLS, encoder_view(&crls), &changed, &err) < 0);
        err = RS_ERROR_INIT;
        install(w, &w->one);
        w->e.installer = install_free(w->e.installer); /* and over a start */
        assert_int_equal(install_new(&w->e.device, &w->e.installer, &err), 0);
        if (install_evidence(w->e.installer, WRITER_EVIDENCE_CRLS, encoder_view(&crls), &changed, &err) < 0)
                fail_msg("%s", err.text);
        assert_true(changed);
}

/* In a tree like /sys "/" lies on slot B, while the initramfs is made to say that A runs. */
static void a_root_on_another_slot_than_is_said_to_run_ends_everything(void **state) {
        World *w = *state;
        Slot *b = (Slot *) (uintptr_t) slot_map_by_name(w->e.map, "rootfs.b");
        char sysfs[128], command[1024], name[33];
        RsError err = RS_ERROR_INIT;
        struct stat root;

        assert_int_equal(stat("/", &root), 0);
        (void) snprintf(sysfs, sizeof(sysfs), "%s/sys", w->d.dir);
        (void) snprintf(command, sizeof(command),
                        "mkdir -p %s/dev/block/%u:%u/dm %s/dev/block/%u:%u/slaves/b && cd %s/dev/block/%u:%u && "
                        "echo x >dm/uuid && echo 250:2 >slaves/b/dev",
                        sysfs, major(root.st_dev), minor(root.st_dev), sysfs, major(root.st_dev),
                        minor(root.st_dev), sysfs, major(root.st_dev), minor(root.st_dev));
        assert_int_equal(system(command), 0);
        b->device_id[0] = makedev(250, 2);
        b->device_id[1] = 0;
        w->e.installer = install_free(w->e.installer);
        w->e.device.sysfs = sysfs;
        assert_int_equal(install_new(&w->e.device, &w->e.installer, &err), 0);
        assert_true(install_mark(w->e.installer, INSTALL_BY_DAEMON, WRITER_MARK_GOOD, "A", name, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_STATE);
        assert_non_null(strstr(err.text, "rootfs.b"));
        assert_refused(w, &w->one, RS_REASON_STATE);
        assert_running_untouched(w);
}

static void a_slot_that_runs_another_release_than_installed_is_not_marked(void **state) {
        World *w = *state;
        RsError err = RS_ERROR_INIT;
        uint8_t other[32] = { 1 };
        char name[33];

        install(w, &w->one);
        test_device_boot(&w->d, "B", other);
        assert_true(install_mark(w->e.installer, INSTALL_BY_DAEMON, WRITER_MARK_GOOD, "", name, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_STATE);
}

static void a_cancelled_finish_stops_before_the_release_is_accepted(void **state) {
        World *w = *state;
        RsError err = RS_ERROR_INIT;
        WriterOffer offer;
        WriterRange ranges[4];
        uint32_t next, n;
        char primary[33];

        assert_int_equal(test_engine_offer(&w->e, &w->one, &offer, &err), 0);
        for (uint32_t i = 0; i < 2; i++)
                assert_int_equal(install_table(w->e.installer, i, encoder_view(&w->one.images[i].encoded),
                                               &next, ranges, &n, &err),
                                 0);
        for (uint32_t i = 0; i < 2; i++)
                for (uint32_t f = 0; f < w->one.images[i].table->n_frames; f++) {
                        WriterFrame request = { .image = i, .frame = f };
                        const uint8_t *data;
                        bool has_data = test_frame(&w->one, i, f, &data, &request.size);

                        assert_int_equal(install_frame(w->e.installer, &request, has_data ? data : NULL, &err), 0);
                }
        install_cancel(w->e.installer);
        assert_true(install_finish(w->e.installer, primary, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_CANCELLED);
        assert_true(tpm_state(w).record.empty);
        assert_false(boot_state(w).slots[1].bootable);
        install(w, &w->one);
        assert_true(test_slot_b_holds(&w->d, &w->one));
}

/* I5: a bit that lies (a medium that lost a window) is found at W5 and the next attempt starts afresh. */
static void a_window_that_was_lost_behind_its_bit_is_found(void **state) {
        _cleanup_(freep) uint8_t *junk = calloc(1, 1u << 20);
        World *w = *state;
        RsError err = RS_ERROR_INIT;
        InstallRecord record;
        int bitmap, fd;

        /* an installation that is cut right before W6 */
        {
                WriterOffer offer;
                WriterRange ranges[4];
                uint32_t next, n;

                assert_int_equal(test_engine_offer(&w->e, &w->one, &offer, &err), 0);
                for (uint32_t i = 0; i < 2; i++)
                        assert_int_equal(install_table(w->e.installer, i,
                                                       encoder_view(&w->one.images[i].encoded), &next, ranges,
                                                       &n, &err),
                                         0);
                for (uint32_t f = 0; f < 3; f++) {
                        WriterFrame request = { .frame = f };
                        const uint8_t *data;
                        bool has_data = test_frame(&w->one, 0, f, &data, &request.size);

                        assert_int_equal(install_frame(w->e.installer, &request, has_data ? data : NULL, &err), 0);
                }
                install_abort(w->e.installer);
        }
        assert_int_equal(install_record_load(w->e.state_fd, &record, &err), 1);
        assert_int_equal(install_bitmap_open(w->e.state_fd, &record, &bitmap, &err), 1);
        assert_int_equal(install_bitmap_set(bitmap, &record, 0, 0, &err), 0); /* which never was proven */
        closep(&bitmap);
        fd = open(w->d.slot_path[1], O_WRONLY | O_CLOEXEC);
        assert_int_equal(pwrite(fd, junk, 1u << 20, (4 << 20) + (9 << 20)), 1 << 20);
        closep(&fd);
        assert_refused(w, &w->one, RS_REASON_READ_BACK);
        install_abort(w->e.installer);
        assert_false(boot_state(w).slots[1].bootable);
        assert_true(tpm_state(w).record.empty);
        install(w, &w->one);
        assert_true(test_slot_b_holds(&w->d, &w->one));
}

/* I5: a dup frame reads what an earlier run has proven; when that is lost, the same reading must not fail for ever. */
static void a_lost_window_that_a_later_frame_repeats_is_fetched_again(void **state) {
        _cleanup_(freep) uint8_t *junk = calloc(1, 1u << 20);
        World *w = *state;
        RsError err = RS_ERROR_INIT;
        InstallRecord record;
        int bitmap, fd;
        TestRelease r;

        test_release_begin(&r, 1, 1, ROOTFS);
        test_release_repeat(&r, 0, 17, 2);
        test_release_sign(&r, NULL);
        offer_with_tables(w, &r);
        for (uint32_t f = 0; f < 16; f++)
                assert_int_equal(send_frame(w, &r, 0, f, &err), 0);
        install_abort(w->e.installer);
        assert_int_equal(install_record_load(w->e.state_fd, &record, &err), 1);
        assert_int_equal(install_bitmap_open(w->e.state_fd, &record, &bitmap, &err), 1);
        assert_int_equal(install_bitmap_set(bitmap, &record, 0, 0, &err), 0);
        closep(&bitmap);
        fd = open(w->d.slot_path[1], O_WRONLY | O_CLOEXEC);
        assert_int_equal(pwrite(fd, junk, 1u << 20, (4 << 20) + (2 << 20)), 1 << 20);
        closep(&fd);
        assert_refused(w, &r, RS_REASON_READ_BACK);
        install_abort(w->e.installer);
        install(w, &r);
        assert_true(test_slot_b_holds(&w->d, &r));
        test_release_done(&r);
}

/* I5: cut behind W5, and the medium is another one when power comes back. */
static void images_that_an_earlier_run_finished_are_read_again(void **state) {
        static const uint8_t junk[RS_BLOCK_SIZE];
        static const struct {
                unsigned slot;
                off_t offset;
        } places[] = { { 1, (4 << 20) + (9 << 20) }, { 3, 0 } };
        World *w = *state;

        for (size_t i = 0; i < ELEMENTSOF(places); i++) {
                int fd;

                w->cancel_behind = INSTALL_W5_FINISH;
                assert_refused(w, &w->one, RS_REASON_CANCELLED);
                install_abort(w->e.installer);
                w->cancel_behind = INSTALL_W0_GATE;
                reboot_into(w, "A", NULL);
                fd = open(w->d.slot_path[places[i].slot], O_WRONLY | O_CLOEXEC);
                assert_int_equal(pwrite(fd, junk, sizeof(junk), places[i].offset), (ssize_t) sizeof(junk));
                closep(&fd);
                assert_refused(w, &w->one, RS_REASON_READ_BACK);
                install_abort(w->e.installer);
                assert_false(boot_state(w).slots[1].bootable);
                assert_true(tpm_state(w).record.empty);
        }
        install(w, &w->one);
        assert_true(test_slot_b_holds(&w->d, &w->one));
}

/* ... and when it is not, no frame is asked for again. */
static void images_that_an_earlier_run_finished_are_not_sent_again(void **state) {
        World *w = *state;
        RsError err = RS_ERROR_INIT;
        char primary[WRITER_NAME_SIZE + 1];

        w->cancel_behind = INSTALL_W6_COMMIT;
        assert_refused(w, &w->one, RS_REASON_CANCELLED);
        install_abort(w->e.installer);
        w->cancel_behind = INSTALL_W0_GATE;
        reboot_into(w, "A", NULL);
        offer_with_tables(w, &w->one);
        assert_int_equal(install_finish(w->e.installer, primary, &err), 0);
        assert_true(test_slot_b_holds(&w->d, &w->one));
        assert_string_equal(boot_state(w).primary, "B");
}

/* Offered twice, or the answer was lost: nothing is asked for and nothing written; only marking bad changes that. */
static void a_release_that_is_installed_is_not_written_again(void **state) {
        World *w = *state;
        RsError err = RS_ERROR_INIT;
        uint8_t before[32], after[32];
        char primary[WRITER_NAME_SIZE + 1];
        WriterRange ranges[4];
        WriterOffer offer;
        uint32_t next, n;

        install(w, &w->one);
        test_sha256_of_file(w->d.slot_path[1], before);
        memset(w->steps, 0, sizeof(w->steps));
        assert_int_equal(install_offer(w->e.installer, encoder_view(&w->one.cms), &offer, &err), 0);
        assert_true(!offer.images[0].wanted && !offer.images[1].wanted);
        assert_true(install_tabled(w->e.installer));
        assert_true(install_table(w->e.installer, 0, encoder_view(&w->one.images[0].encoded), &next, ranges, &n, &err) <
                    0);
        assert_int_equal(err.reason, RS_REASON_PROTOCOL);
        err = RS_ERROR_INIT;
        assert_true(send_frame(w, &w->one, 0, 0, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_PROTOCOL);
        assert_int_equal(install_finish(w->e.installer, primary, &err), 0);
        assert_string_equal(primary, "B");
        for (int step = INSTALL_W1_RECORD; step < _INSTALL_STEP_MAX; step++)
                assert_int_equal(w->steps[step], 0);
        assert_false(boot_state(w).slots[1].good);
        /* a good slot stays good */
        assert_int_equal(boot_set_good(w->e.boot, "B", &err), 0);
        install(w, &w->one);
        assert_true(boot_state(w).slots[1].good);
        test_sha256_of_file(w->d.slot_path[1], after);
        assert_memory_equal(after, before, 32);
        assert_int_equal(install_mark(w->e.installer, INSTALL_BY_ROOT_BELOW, WRITER_MARK_BAD, "B", primary, &err), 1);
        assert_int_equal(install_offer(w->e.installer, encoder_view(&w->one.cms), &offer, &err), 0);
        assert_true(offer.images[0].wanted && offer.images[1].wanted);
        install(w, &w->one);
        assert_int_equal(w->steps[INSTALL_W1_RECORD], 1);
        assert_true(test_slot_b_holds(&w->d, &w->one));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(a_release_lands_is_tried_and_marked_good, setup, teardown),
                cmocka_unit_test_setup_teardown(the_floor_rises_once_and_shuts_the_older_slot_out, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(an_aborted_installation_resumes_with_what_is_proven, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(another_release_replaces_an_open_record, setup, teardown),
                cmocka_unit_test_setup_teardown(before_the_first_verified_frame_the_target_is_as_it_was,
                                                setup, teardown),
                cmocka_unit_test_setup_teardown(zero_frames_alone_do_not_cost_the_fallback_slot, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(an_image_of_zeros_waits_for_the_data_of_the_next_one, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(a_release_of_zeros_alone_begins_at_finish, setup, teardown),
                cmocka_unit_test_setup_teardown(tables_that_are_not_the_signed_ones_are_refused, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(a_signed_root_that_the_table_does_not_lead_to_is_refused,
                                                setup, teardown),
                cmocka_unit_test_setup_teardown(releases_for_others_are_refused_before_anything_is_touched,
                                                setup, teardown),
                cmocka_unit_test_setup_teardown(without_knowing_the_running_slot_nothing_is_installed, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(only_the_running_slot_is_marked_good, setup, teardown),
                cmocka_unit_test_setup_teardown(an_older_slot_is_not_made_active_by_a_message, setup, teardown),
                cmocka_unit_test_setup_teardown(a_rejected_trial_is_told_by_the_other_slot, setup, teardown),
                cmocka_unit_test_setup_teardown(a_trust_set_that_is_none_is_told_once, setup, teardown),
                cmocka_unit_test_setup_teardown(a_good_slot_that_did_not_come_up_is_told_and_written_again, setup, teardown),
                cmocka_unit_test_setup_teardown(what_the_initramfs_found_is_told_with_its_slot, setup, teardown),
                cmocka_unit_test_setup_teardown(a_trial_without_a_report_failed_as_well, setup, teardown),
                cmocka_unit_test_setup_teardown(a_list_of_the_authority_is_taken_without_links, setup, teardown),
                cmocka_unit_test_setup_teardown(a_root_on_another_slot_than_is_said_to_run_ends_everything, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(a_slot_that_runs_another_release_than_installed_is_not_marked,
                                                setup, teardown),
                cmocka_unit_test_setup_teardown(a_cancelled_finish_stops_before_the_release_is_accepted,
                                                setup, teardown),
                cmocka_unit_test_setup_teardown(a_window_that_was_lost_behind_its_bit_is_found, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(a_lost_window_that_a_later_frame_repeats_is_fetched_again,
                                                setup, teardown),
                cmocka_unit_test_setup_teardown(images_that_an_earlier_run_finished_are_read_again, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(images_that_an_earlier_run_finished_are_not_sent_again, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(a_release_that_is_installed_is_not_written_again, setup, teardown),
        };

        cmocka_set_test_filter(getenv("RESEAL_TEST_FILTER"));
        return cmocka_run_group_tests(tests, test_pki_setup, test_pki_teardown);
}
