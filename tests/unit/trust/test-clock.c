/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The interval of time: what raises it, what must not, and that the truth never leaves it (S62, S63, T34 to
 * T36).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <reseal/base/cleanup.h>
#include <reseal/trust/clock.h>

#define BUILD UINT64_C(1750000000)
#define DAY UINT64_C(86400)
#define MSEC UINT64_C(1000)

static const uint8_t boot_one[CLOCK_BOOT_ID_SIZE] = { 1, 2, 3 }, boot_two[CLOCK_BOOT_ID_SIZE] = { 4, 5, 6 };

static void prove(TrustClock *c, uint64_t time, uint64_t boottime_msec, const TpmClockReading *tpm) {
        RsError err = RS_ERROR_INIT;

        assert_int_equal(trust_clock_prove(c, time, 1, boottime_msec, boottime_msec, tpm, &err), 0);
}

static void refuse(TrustClock *c, uint64_t time, uint64_t accuracy, uint64_t asked, uint64_t answered) {
        RsError err = RS_ERROR_INIT;
        TrustClock before = *c;

        assert_true(trust_clock_prove(c, time, accuracy, asked, answered, NULL, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_TIME_PROOF);
        assert_memory_equal(&before, c, sizeof(before));
}

static void without_proof_only_the_floor_is_known(void **state) {
        RsError err = RS_ERROR_INIT;
        TrustClock c;
        TimeInterval i;

        (void) state;
        trust_clock_init(&c, BUILD, BUILD - 5, 0);
        i = trust_clock_now(&c, 77, NULL);
        assert_int_equal(i.low, BUILD);
        assert_true(i.high == UINT64_MAX && !i.proven);
        assert_true(trust_clock_require(&i, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_TIME_UNKNOWN);
        trust_clock_init(&c, BUILD, BUILD + 5, 0);
        assert_int_equal(trust_clock_now(&c, 77, NULL).low, BUILD + 5);
}

/* A TPM that was switched on at BUILD: its clock shows what has passed since. */
static const TpmClockReading *running(uint64_t seconds) {
        static TpmClockReading reading;

        reading = (TpmClockReading){ seconds * MSEC, 1, 0, true };
        return &reading;
}

static uint64_t accepted_floor(const TrustClock *c, uint64_t not_before, const TpmClockReading *tpm) {
        uint64_t floor, base;

        trust_clock_accept(c, not_before, 0, tpm, &floor, &base);
        return floor;
}

static void floor_rises_by_accepted_evidence_and_never_falls(void **state) {
        TrustClock c;

        (void) state;
        trust_clock_init(&c, BUILD, 0, 0);
        trust_clock_follow(&c, BUILD + 10, 0);
        trust_clock_follow(&c, BUILD + 3, 0);
        assert_int_equal(c.floor, BUILD + 10);
        trust_clock_follow(&c, UINT64_MAX, UINT64_MAX); /* no ASN.1 time says that */
        assert_int_equal(c.floor, BUILD + 10);
        assert_int_equal(accepted_floor(&c, BUILD + 5, NULL), BUILD + 10);
        assert_int_equal(accepted_floor(&c, BUILD + DAY, NULL), BUILD + DAY);
        assert_int_equal(accepted_floor(&c, UINT64_MAX, NULL), BUILD + 10 + CLOCK_RELEASE_STEP);
}

/* -- bounds ----------------------------------------------------------------------------------------------------- */

/* Each kind of evidence, as far ahead as it likes and as often as it likes, with what the TPM's clock confirms. */
static void floor_stays_within_what_the_device_knows(void **state) {
        static const uint64_t ahead[] = { 0, DAY, 29 * DAY, 31 * DAY, 365 * DAY, 49 * 365 * DAY };

        (void) state;
        for (size_t k = 0; k < ELEMENTSOF(ahead); k++)
                for (uint64_t ran = 0; ran <= 200 * DAY; ran += 100 * DAY) {
                        uint64_t said = BUILD + ran + ahead[k], allowed = BUILD + ran + CLOCK_AHEAD_MAX;
                        TrustClock c;

                        trust_clock_init(&c, BUILD, 0, BUILD - BUILD % 60);
                        for (unsigned again = 0; again < 40; again++) {
                                prove(&c, said, ran * MSEC, running(ran));
                                assert_in_range(c.floor, BUILD, allowed);
                                assert_true(said > allowed || c.floor == (said > BUILD ? said - 1 : BUILD));
                                /* committed, and the device starts anew */
                                trust_clock_init(&c, BUILD, c.floor, c.base);
                        }
                        assert_true(trust_clock_now(&c, 0, running(ran)).low <= allowed);
                }
}

/* A record of before: its floor is believed once, and not once more each time it rises. */
static void record_without_a_base_gets_one(void **state) {
        uint64_t floor = BUILD, base = 0;

        (void) state;
        for (unsigned again = 0; again < 40; again++) {
                TrustClock c;

                trust_clock_init(&c, BUILD, floor, base);
                prove(&c, BUILD + 20 * 365 * DAY, 0, running(7 * DAY));
                floor = c.floor;
                base = c.base;
                assert_true(base != 0 && base <= BUILD - 7 * DAY);
                assert_in_range(floor, BUILD, BUILD + CLOCK_AHEAD_MAX);
        }
}

static void without_a_clock_of_the_tpm_a_proof_raises_no_floor(void **state) {
        TrustClock c;

        (void) state;
        trust_clock_init(&c, BUILD, 0, 0);
        prove(&c, BUILD + DAY, 0, NULL);
        assert_int_equal(c.floor, BUILD);
        assert_int_equal(trust_clock_now(&c, 0, NULL).low, BUILD + DAY - 1); /* it counts, in this boot */
}

/* Stamp and authority agree: three years in a drawer are made up for by one release. */
static void release_confirms_what_a_proof_said(void **state) {
        uint64_t floor, base;
        TrustClock c;

        (void) state;
        trust_clock_init(&c, BUILD, 0, BUILD - BUILD % 60);
        prove(&c, BUILD + 3 * 365 * DAY, 0, running(DAY));
        trust_clock_accept(&c, BUILD + 1000 * DAY, 0, running(DAY), &floor, &base);
        assert_int_equal(floor, BUILD + 1000 * DAY);
        assert_in_range(base, BUILD + 999 * DAY - 60, BUILD + 999 * DAY);
        trust_clock_follow(&c, floor, base);
        prove(&c, BUILD + 3 * 365 * DAY, 0, running(DAY));
        assert_int_equal(c.floor, BUILD + 1000 * DAY + CLOCK_AHEAD_MAX + DAY - DAY - (BUILD + 1000 * DAY) % 60);
        /* alone it makes one step, and each release makes one more at most */
        trust_clock_init(&c, BUILD, 0, BUILD - BUILD % 60);
        trust_clock_accept(&c, BUILD + 40 * 365 * DAY, 0, running(DAY), &floor, &base);
        assert_int_equal(floor, BUILD + CLOCK_RELEASE_STEP);
        assert_true(base <= floor);
        /* nor does it make a proof's lead its own */
        trust_clock_init(&c, BUILD, 0, BUILD - BUILD % 60);
        prove(&c, BUILD + 40 * 365 * DAY, 0, running(DAY));
        trust_clock_accept(&c, BUILD, 0, running(DAY), &floor, &base);
        assert_int_equal(base, BUILD - BUILD % 60);
}

/* The disk is everybody's: what a file says is held against the TPM's clock, and raises nothing (it did, by decades). */
static void file_of_another_boot_is_a_hint_within_the_bound(void **state) {
        _cleanup_(encoder_done) Encoder file = ENCODER_INIT;
        RsError err = RS_ERROR_INIT;
        TrustClock forged, c;

        (void) state;
        trust_clock_init(&forged, BUILD, BUILD + 40 * 365 * DAY, 0);
        prove(&forged, BUILD + 40 * 365 * DAY, 0, running(0));
        assert_int_equal(trust_clock_encode(&forged, boot_one, &file, &err), 0);
        trust_clock_init(&c, BUILD, 0, BUILD - BUILD % 60);
        assert_int_equal(trust_clock_restore(&c, encoder_view(&file), boot_two, 0, &err), 1);
        assert_int_equal(c.floor, BUILD);
        assert_false(trust_clock_worth_writing(&c, BUILD));
        assert_in_range(trust_clock_now(&c, 0, running(2 * DAY)).low, BUILD, BUILD + 2 * DAY + CLOCK_AHEAD_MAX);
        assert_int_equal(trust_clock_now(&c, 0, NULL).low, BUILD + CLOCK_AHEAD_MAX);
        assert_int_equal(accepted_floor(&c, 0, running(2 * DAY)), BUILD);
}

/* A time-stamp authority that lied once: the next honest proof ends it. */
static void proofs_that_contradict_each_other_are_both_forgotten(void **state) {
        RsError err = RS_ERROR_INIT;
        TrustClock c;

        (void) state;
        trust_clock_init(&c, BUILD, 0, BUILD - BUILD % 60);
        assert_false(trust_clock_doubt(&c, BUILD - DAY, 0, 0, 0));
        prove(&c, BUILD + 40 * 365 * DAY, 0, NULL);
        assert_true(trust_clock_prove(&c, BUILD + DAY, 1, 0, 0, NULL, &err) < 0);
        assert_false(trust_clock_doubt(&c, BUILD - DAY, 0, 0, 0)); /* against the floor it is wrong itself */
        assert_true(trust_clock_now(&c, 0, NULL).proven);
        assert_true(trust_clock_doubt(&c, BUILD + DAY, 1, 0, 0));
        assert_false(trust_clock_now(&c, 0, NULL).proven);
        assert_int_equal(trust_clock_now(&c, 0, NULL).low, BUILD);
        prove(&c, BUILD + DAY, 0, NULL);
        assert_true(trust_clock_now(&c, 0, NULL).proven);
}

static void proof_counts_boot_time_and_so_suspend(void **state) {
        RsError err = RS_ERROR_INIT;
        TrustClock c;
        TimeInterval i;

        (void) state;
        trust_clock_init(&c, BUILD, 0, 0);
        prove(&c, BUILD + DAY, 5 * MSEC, NULL);
        i = trust_clock_now(&c, 5 * MSEC, NULL);
        assert_true(i.proven && i.low == BUILD + DAY - 1 && i.high >= BUILD + DAY + 1 && i.high <= BUILD + DAY + 4);
        assert_int_equal(trust_clock_require(&i, &err), 0);
        /* three days of sleep: CLOCK_BOOTTIME went on, CLOCK_MONOTONIC would not have */
        i = trust_clock_now(&c, (5 + 3 * DAY) * MSEC, NULL);
        assert_true(i.low <= BUILD + 4 * DAY && i.low >= BUILD + 4 * DAY - 300);
        assert_true(i.high >= BUILD + 4 * DAY && i.high <= BUILD + 4 * DAY + 300);
}

static void answer_that_was_held_back_widens_the_interval_or_is_refused(void **state) {
        RsError err = RS_ERROR_INIT;
        TrustClock c;
        TimeInterval i;

        (void) state;
        trust_clock_init(&c, BUILD, 0, 0);
        assert_int_equal(trust_clock_prove(&c, BUILD + DAY, 0, 0, CLOCK_ANSWER_MAX_MSEC, NULL, &err), 0);
        i = trust_clock_now(&c, CLOCK_ANSWER_MAX_MSEC, NULL);
        assert_int_equal(i.low, BUILD + DAY);                  /* stamped just before it came */
        assert_true(i.high >= BUILD + DAY + CLOCK_ANSWER_MAX_MSEC / 1000); /* or just after it was asked for */
        refuse(&c, BUILD + 2 * DAY, 0, 0, CLOCK_ANSWER_MAX_MSEC + 1);
        refuse(&c, BUILD + 2 * DAY, 0, 8, 7);
}

static void proof_below_the_floor_or_out_of_all_reason_is_refused(void **state) {
        TrustClock c;

        (void) state;
        trust_clock_init(&c, BUILD, 0, 0);
        refuse(&c, BUILD - 3, 1, 0, 0);
        refuse(&c, 0, 0, 0, 0);
        refuse(&c, BUILD + CLOCK_LEAP_MAX + 1, 0, 0, 0);
        refuse(&c, UINT64_MAX, 1, 0, 0);
        refuse(&c, BUILD + DAY, CLOCK_ANSWER_MAX_MSEC / 1000 + 1, 0, 0);
        prove(&c, BUILD - 1, 0, NULL); /* within its accuracy */
        assert_int_equal(c.floor, BUILD);
        prove(&c, BUILD + 10 * DAY, 0, NULL);
        refuse(&c, BUILD + 9 * DAY, 1, 0, 0); /* older than what is proven already */
        refuse(&c, BUILD + 10 * DAY, 1, DAY * MSEC, DAY * MSEC); /* the same again a day later */
}

static void evidence_beyond_the_proof_makes_time_unknown_again(void **state) {
        TrustClock c;
        TimeInterval i;

        (void) state;
        trust_clock_init(&c, BUILD, 0, 0);
        prove(&c, BUILD + DAY, 0, NULL);
        trust_clock_follow(&c, BUILD + 9 * DAY, 0);
        i = trust_clock_now(&c, 0, NULL);
        assert_true(!i.proven && i.low == BUILD + 9 * DAY && i.high == UINT64_MAX);
}

static void tpm_clock_is_a_lower_bound_where_its_resets_permit(void **state) {
        static const struct {
                TpmClockReading now;
                uint64_t days_at_least, days_at_most;
        } cases[] = {
                { { 110 * DAY * MSEC, 7, 3, true }, 79, 80 },  /* the same cycle, 100 days */
                { { 110 * DAY * MSEC, 9, 0, true }, 79, 80 },  /* after power cycles */
                { { 110 * DAY * MSEC, 9, 0, false }, 0, 0 },   /* power was lost, not past its highest reading yet */
                { { 110 * DAY * MSEC, 6, 9, true }, 0, 0 },    /* cleared, or another TPM */
                { { 110 * DAY * MSEC, 7, 2, true }, 0, 0 },
                { { 9 * DAY * MSEC, 8, 0, true }, 0, 0 },      /* fell back */
                { { 10 * DAY * MSEC, 7, 3, true }, 0, 0 },
        };
        const TpmClockReading at_proof = { 10 * DAY * MSEC, 7, 3, true };

        (void) state;
        for (size_t k = 0; k < ELEMENTSOF(cases); k++) {
                _cleanup_(encoder_done) Encoder file = ENCODER_INIT;
                RsError err = RS_ERROR_INIT;
                TrustClock c, after;
                TimeInterval i;

                trust_clock_init(&c, BUILD, 0, 0);
                prove(&c, BUILD + DAY, 0, &at_proof);
                assert_int_equal(trust_clock_encode(&c, boot_one, &file, &err), 0);
                trust_clock_init(&after, BUILD, 0, BUILD - 10 * DAY);
                assert_int_equal(trust_clock_restore(&after, encoder_view(&file), boot_two, 0, &err), 1);
                i = trust_clock_now(&after, 0, &cases[k].now);
                assert_true(!i.proven && i.high == UINT64_MAX);
                assert_in_range(i.low, BUILD + DAY - 1 + cases[k].days_at_least * DAY,
                                BUILD + DAY + cases[k].days_at_most * DAY);
                assert_int_equal(trust_clock_now(&after, 0, NULL).low, BUILD + DAY - 1);
        }
}

static void proof_survives_the_program_and_not_the_boot(void **state) {
        _cleanup_(encoder_done) Encoder file = ENCODER_INIT;
        RsError err = RS_ERROR_INIT;
        TimeInterval i, j;
        TrustClock c, d;

        (void) state;
        trust_clock_init(&c, BUILD, 0, 0);
        prove(&c, BUILD + DAY, 3 * MSEC, NULL);
        assert_int_equal(trust_clock_encode(&c, boot_one, &file, &err), 0);

        trust_clock_init(&d, BUILD, 0, 0);
        assert_int_equal(trust_clock_restore(&d, encoder_view(&file), boot_one, 9 * MSEC, &err), 1);
        i = trust_clock_now(&c, 20 * MSEC, NULL);
        j = trust_clock_now(&d, 20 * MSEC, NULL);
        assert_true(j.proven && i.low == j.low && i.high == j.high);

        trust_clock_init(&d, BUILD, 0, 0);
        assert_int_equal(trust_clock_restore(&d, encoder_view(&file), boot_two, 9 * MSEC, &err), 1);
        j = trust_clock_now(&d, 20 * MSEC, NULL);
        assert_true(!j.proven && j.low == BUILD + DAY - 1 && j.high == UINT64_MAX);

        /* a boot time before the proof is another boot, whatever the id says */
        trust_clock_init(&d, BUILD, 0, 0);
        assert_int_equal(trust_clock_restore(&d, encoder_view(&file), boot_one, 2 * MSEC, &err), 1);
        assert_false(trust_clock_now(&d, 20 * MSEC, NULL).proven);

        /* what the TPM's record knows is not lowered by an older file */
        trust_clock_init(&d, BUILD, BUILD + 30 * DAY, 0);
        assert_int_equal(trust_clock_restore(&d, encoder_view(&file), boot_two, 2 * MSEC, &err), 1);
        assert_int_equal(trust_clock_now(&d, 20 * MSEC, NULL).low, BUILD + 30 * DAY);
}

static void power_cut_between_proof_and_store_loses_the_proof_only(void **state) {
        _cleanup_(encoder_done) Encoder old = ENCODER_INIT, new = ENCODER_INIT;
        RsError err = RS_ERROR_INIT;
        uint64_t record_floor = BUILD + DAY;
        TrustClock c, d;

        (void) state;
        trust_clock_init(&c, BUILD, record_floor, 0);
        prove(&c, BUILD + 2 * DAY, 0, NULL);
        assert_int_equal(trust_clock_encode(&c, boot_one, &old, &err), 0);
        prove(&c, BUILD + 9 * DAY, MSEC, NULL);
        assert_int_equal(trust_clock_encode(&c, boot_one, &new, &err), 0);

        /* cut before the file: as before the proof.  A new proof is taken */
        trust_clock_init(&d, BUILD, record_floor, 0);
        assert_int_equal(trust_clock_restore(&d, encoder_view(&old), boot_two, 0, &err), 1);
        assert_int_equal(trust_clock_now(&d, 0, NULL).low, BUILD + 2 * DAY - 1);
        prove(&d, BUILD + 9 * DAY, MSEC, NULL);

        /* cut between file and NV: the file is ahead of the record.  It is a hint, and the next proof asks for the write */
        trust_clock_init(&d, BUILD, record_floor, 0);
        assert_int_equal(trust_clock_restore(&d, encoder_view(&new), boot_two, 0, &err), 1);
        assert_int_equal(trust_clock_now(&d, 0, NULL).low, BUILD + 9 * DAY - 1);
        assert_int_equal(d.floor, record_floor);
        prove(&d, BUILD + 9 * DAY, MSEC, running(0));
        assert_true(trust_clock_worth_writing(&d, record_floor));

        /* the file is gone or torn at any length: the record's floor stays */
        for (size_t n = 0; n < new.size; n++) {
                trust_clock_init(&d, BUILD, record_floor, 0);
                assert_int_equal(trust_clock_restore(&d, SPAN(new.data, n), boot_one, 2 * MSEC, &err), 0);
                assert_int_equal(d.floor, record_floor);
                assert_false(trust_clock_now(&d, 2 * MSEC, NULL).proven);
        }
        for (size_t n = 0; n < new.size; n++) {
                new.data[n] ^= 0x10;
                trust_clock_init(&d, BUILD, record_floor, 0);
                assert_int_equal(trust_clock_restore(&d, encoder_view(&new), boot_one, 2 * MSEC, &err), 0);
                new.data[n] ^= 0x10;
        }
}

static void nv_is_written_at_most_once_a_day(void **state) {
        uint64_t record_floor = BUILD, writes = 0;
        TrustClock c;

        (void) state;
        trust_clock_init(&c, BUILD, record_floor, 0);
        for (uint64_t hour = 1; hour <= 24 * 30; hour++) { /* a poll and a proof every hour of a month */
                prove(&c, BUILD + hour * 3600, hour * 3600 * MSEC, running(hour * 3600));
                if (trust_clock_worth_writing(&c, record_floor)) {
                        record_floor = c.floor;
                        writes++;
                }
        }
        assert_in_range(writes, 1, 30);
}

/* A device with a quartz that is wrong by up to 500 ppm, proofs that are held back, power cuts, a TPM 15 % off. */
typedef struct Device {
        double truth, boot, tpm;     /* seconds */
        double quartz, tpm_rate;
        uint32_t resets;
        uint64_t seed;
} Device;

static double draw(Device *d) { /* 0 to 1, the same numbers each run */
        d->seed = d->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        return (double) (d->seed >> 40) / (double) (1u << 24);
}

static void pass(Device *d, double seconds) {
        d->truth += seconds;
        d->boot += seconds * d->quartz;
        d->tpm += seconds * d->tpm_rate;
}

static void truth_never_leaves_the_interval(void **state) {
        Device d = { .truth = (double) BUILD + 1000, .seed = 42 };
        uint64_t floor = 0, base = 0, proofs = 0;
        TrustClock c;

        (void) state;
        trust_clock_init(&c, BUILD, 0, 0);
        for (unsigned turn = 0; turn < 20000; turn++) {
                TpmClockReading tpm;
                TimeInterval i;

                if (turn % 97 == 0) { /* reboot: the writer's file is all that is left */
                        _cleanup_(encoder_done) Encoder file = ENCODER_INIT;
                        RsError err = RS_ERROR_INIT;

                        assert_int_equal(trust_clock_encode(&c, boot_one, &file, &err), 0);
                        d.truth += draw(&d) * 40 * 86400; /* without power */
                        d.boot = draw(&d) * 60;
                        d.quartz = 1 + (draw(&d) - 0.5) * 0.001;
                        d.tpm_rate = 1 + (draw(&d) - 0.5) * 0.3;
                        d.resets++;
                        trust_clock_init(&c, BUILD, floor, base); /* and the record */
                        assert_int_equal(trust_clock_restore(&c, encoder_view(&file), boot_two, 0, &err), 1);
                }
                pass(&d, draw(&d) * 7200);
                tpm = (TpmClockReading){ (uint64_t) (d.tpm * 1000), d.resets, 0, true };
                if (draw(&d) < 0.05) {
                        uint64_t asked = (uint64_t) (d.boot * 1000);
                        RsError err = RS_ERROR_INIT;
                        double stamp, accuracy = 2;

                        pass(&d, draw(&d) * 200);
                        stamp = d.truth + (draw(&d) - 0.5) * 2 * accuracy;
                        pass(&d, draw(&d) * 200);
                        tpm.clock_msec = (uint64_t) (d.tpm * 1000);
                        if (trust_clock_prove(&c, (uint64_t) stamp, (uint64_t) accuracy + 1, asked,
                                              (uint64_t) (d.boot * 1000), &tpm, &err) == 0)
                                proofs++;
                        else
                                fail_msg("%s", err.text);
                }
                i = trust_clock_now(&c, (uint64_t) (d.boot * 1000), &tpm);
                assert_true(i.low <= i.high && (double) i.low <= d.truth && d.truth <= (double) i.high);
                assert_true(c.floor >= floor);
                floor = c.floor;
                base = c.base;
        }
        assert_true(proofs > 500);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(without_proof_only_the_floor_is_known),
                cmocka_unit_test(floor_rises_by_accepted_evidence_and_never_falls),
                cmocka_unit_test(floor_stays_within_what_the_device_knows),
                cmocka_unit_test(record_without_a_base_gets_one),
                cmocka_unit_test(without_a_clock_of_the_tpm_a_proof_raises_no_floor),
                cmocka_unit_test(release_confirms_what_a_proof_said),
                cmocka_unit_test(file_of_another_boot_is_a_hint_within_the_bound),
                cmocka_unit_test(proofs_that_contradict_each_other_are_both_forgotten),
                cmocka_unit_test(proof_counts_boot_time_and_so_suspend),
                cmocka_unit_test(answer_that_was_held_back_widens_the_interval_or_is_refused),
                cmocka_unit_test(proof_below_the_floor_or_out_of_all_reason_is_refused),
                cmocka_unit_test(evidence_beyond_the_proof_makes_time_unknown_again),
                cmocka_unit_test(tpm_clock_is_a_lower_bound_where_its_resets_permit),
                cmocka_unit_test(proof_survives_the_program_and_not_the_boot),
                cmocka_unit_test(power_cut_between_proof_and_store_loses_the_proof_only),
                cmocka_unit_test(nv_is_written_at_most_once_a_day),
                cmocka_unit_test(truth_never_leaves_the_interval),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
