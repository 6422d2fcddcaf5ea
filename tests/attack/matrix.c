/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * matrix - attacks on an update system by their names (TUF, Uptane, RFC 9124), in every mode of a device, through the
 * writer's engine (T49).  Each cell has its reason, and behind each the good release is still accepted; at the end of a
 * mode it is installed and marked good, and its own signer is revoked: a bridge leads on.
 *
 * The seam is what reseald may say to the writer: EVIDENCE, OFFER, TABLE, FRAME, FINISH.  All sources end there; that they
 * do, and what the ways themselves withstand, is the matrix of sources.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/pem.h>

#include <reseal/base/cleanup.h>

#include "matrix.h"

static const Mode modes[] = {
        { .name = "first installation", .column = "1st", .ahead = 1 },
        { .name = "next release", .column = "next", .accepted = 2, .ahead = 1 },
        { .name = "catch-up over four links", .column = "catch", .accepted = 2, .ahead = 4 },
        { .name = "after a bridge", .column = "brdg", .accepted = 2, .ahead = 1, .bridged = true },
        { .name = "the same release again", .column = "again", .accepted = 2 },
        { .name = "resumed behind a cut", .column = "cut", .accepted = 2, .ahead = 1, .resumed = true },
        { .name = "from a medium", .column = "usb", .accepted = 2, .ahead = 1, .medium = true },
        { .name = "always online", .column = "strict", .accepted = 2, .ahead = 2, .strict = true },
        { .name = "of a higher epoch", .column = "epoch", .accepted = 2, .ahead = 1, .epoch = 1, .rises = 1 },
        { .name = "first installation, level 2", .column = "1st/2", .level2 = true, .ahead = 1 },
        { .name = "catch-up, level 2", .column = "catch/2", .level2 = true, .accepted = 2, .ahead = 2 },
        { .name = "after a bridge, level 2", .column = "brdg/2", .level2 = true, .accepted = 2, .ahead = 1, .bridged = true },
};

#define ATTACKS_MAX 96
static RsReason seen[ATTACKS_MAX][ELEMENTSOF(modes)];
static bool tried[ATTACKS_MAX][ELEMENTSOF(modes)];

/* -- a device in its mode --------------------------------------------------------------------------------------- */

static void boot_into(World *w, const char *slot, const TestRelease *r) {
        RsError err = RS_ERROR_INIT;
        char name[WRITER_NAME_SIZE + 1];

        test_engine_close(&w->e);
        test_device_boot(&w->d, slot, r->bundle_id);
        test_engine_open(&w->e, &w->d, NULL, NULL);
        if (install_mark(w->e.installer, INSTALL_BY_DAEMON, WRITER_MARK_GOOD, "", name, &err) < 0)
                fail_msg("%s: %s", w->mode->name, err.text);
        w->running = slot;
        w->target = slot[0] == 'A' ? "B" : "A";
}

static void install_and_boot(World *w, const TestRelease *r) {
        RsError err = RS_ERROR_INIT;

        if (test_engine_install(&w->e, r, &err) < 0)
                fail_msg("%s: %s: %s", w->mode->name, rs_reason_name(err.reason), err.text);
        boot_into(w, w->target, r);
}

static void make_release(TestRelease *r, uint64_t index, uint32_t epoch, bool bridged) {
        test_release_begin(r, index, epoch, ROOTFS);
        r->bridged = bridged;
        test_release_sign(r, NULL);
}

/* Rootfs whole and the first frame of the kernel, then the connection is gone. */
static void begin_and_cut(World *w) {
        WriterRange ranges[WRITER_RANGES_MAX];
        RsError err = RS_ERROR_INIT;
        WriterFrame frame = { 0 };
        uint32_t next, n;
        WriterOffer offer;

        assert_int_equal(test_engine_offer(&w->e, &w->good, &offer, &err), 0);
        for (uint32_t i = 0; i < 2; i++)
                assert_int_equal(install_table(w->e.installer, i, encoder_view(&w->good.images[i].encoded), &next, ranges,
                                               &n, &err), 0);
        for (; frame.image < 2; frame.image++) {
                const uint8_t *data;

                assert_true(test_frame(&w->good, frame.image, 0, &data, &frame.size));
                assert_int_equal(install_frame(w->e.installer, &frame, data, &err), 0);
        }
        install_abort(w->e.installer);
}

static void make_recovery_keys(World *w) {
        FILE *f;

        (void) snprintf(w->d.recovery, sizeof(w->d.recovery), "%s/recovery.pem", w->d.dir);
        f = fopen(w->d.recovery, "we");
        assert_non_null(f);
        for (int k = 0; k < 3; k++)
                assert_int_equal(PEM_write_PUBKEY(f, test_history()->recovery[k].key), 1);
        assert_int_equal(fclose(f), 0);
}

static void make_accepted(World *w) {
        const Mode *m = w->mode;

        for (uint64_t k = 1; k <= m->accepted; k++) {
                test_release_done(&w->older);
                w->older = w->accepted;
                make_release(&w->accepted, k, m->epoch, m->bridged && k == m->accepted);
                install_and_boot(w, &w->accepted);
        }
}

static void world_init(World *w, const Mode *m) {
        memset(w, 0, sizeof(*w));
        w->mode = m;
        w->running = "A";
        w->target = "B";
        w->next = m->accepted + (m->ahead ? m->ahead : 1);
        test_history_forget();
        test_device_make(&w->d, ROOTFS);
        make_recovery_keys(w);
        if (!m->medium)
                evidence_anchors(w);
        if (m->level2)
                test_device_level2(&w->d);
        w->d.shared = true;
        test_engine_open(&w->e, &w->d, NULL, NULL);
        make_accepted(w);
        if (m->ahead > 1)
                make_release(&w->between, m->accepted + 1, m->epoch, false);
        for (uint64_t k = m->accepted + 2; k < w->next; k++)
                chain_fixture_extend((ChainFixture *) test_history(), (uint32_t) k, m->epoch);
        if (m->ahead > 0)
                make_release(&w->good, w->next, m->epoch + m->rises, false);
        else {
                w->good = w->accepted;
                memset(&w->accepted, 0, sizeof(w->accepted));
        }
        if (m->resumed)
                begin_and_cut(w);
}

static void world_done(World *w) {
        test_engine_close(&w->e);
        test_release_done(&w->older);
        test_release_done(&w->accepted);
        test_release_done(&w->between);
        test_release_done(&w->good);
        test_device_done(&w->d);
}

/* -- one cell --------------------------------------------------------------------------------------------------- */

static bool applies(const Attack *a, const Mode *m) {
        return !((a->needs & NEEDS_ACCEPTED && m->accepted < 1) || (a->needs & NEEDS_OLDER && m->accepted < 2) ||
                 (a->needs & NEEDS_BRIDGE && !m->bridged) || (a->needs & NEEDS_BETWEEN && m->ahead < 2) ||
                 (a->needs & NEEDS_EPOCH && m->epoch == 0) || (a->needs & NEEDS_STRICT && !m->strict) ||
                 (a->needs & NEEDS_FRESHNESS && m->medium) || (a->needs & NEEDS_NEXT && m->ahead == 0));
}

static void attack(World *w, const Attack *a, size_t row) {
        const RsReason reason = a->needs & ANCHORED && w->mode->medium ? RS_REASON_CONFIG : a->reason;
        const size_t column = (size_t) (w->mode - modes);
        RsError err = RS_ERROR_INIT;
        int r;

        if (!applies(a, w->mode))
                return;
        r = a->run(w, a, &err);
        if ((r < 0) != (reason != RS_REASON_NONE) || err.reason != reason)
                fail_msg("%s, %s: %s (%s) instead of %s", w->mode->name, a->name, rs_reason_name(err.reason), err.text,
                         rs_reason_name(reason));
        install_abort(w->e.installer);
        test_history_branch(NULL);
        w->branch = chain_fixture_unbranch(w->branch, w->shared);
        seen[row][column] = reason;
        tried[row][column] = true;
}

static void good_is_accepted(World *w, const char *behind) {
        RsError err = RS_ERROR_INIT;
        WriterOffer offer;

        if (test_engine_offer(&w->e, &w->good, &offer, &err) < 0)
                fail_msg("%s, the good release behind \"%s\": %s: %s", w->mode->name, behind, rs_reason_name(err.reason),
                         err.text);
        install_abort(w->e.installer);
}

/* What the cut run has proven is not asked for again, whatever was tried in between. */
static void assert_resumes(World *w) {
        WriterRange ranges[WRITER_RANGES_MAX];
        RsError err = RS_ERROR_INIT;
        WriterOffer offer;
        uint32_t next, n;

        assert_int_equal(test_engine_offer(&w->e, &w->good, &offer, &err), 0);
        assert_int_equal(install_table(w->e.installer, 0, encoder_view(&w->good.images[0].encoded), &next, ranges, &n,
                                       &err), 0);
        assert_true(n == 1 && ranges[0].first == 0 && ranges[0].count == 1);
        install_abort(w->e.installer);
}

static bool revocation_is_told(World *w) {
        InstallAlarm alarm;
        bool told = false;
        RsError why;

        while (install_untold(w->e.installer, &alarm, &why))
                told = told || (alarm == INSTALL_ALARM_SIGNER_REVOKED && why.reason == RS_REASON_REVOKED);
        return told;
}

/* F19: it runs on, and who looks after the device hears of it, once. */
static void assert_alarm(World *w, bool revoked) {
        RsError err = RS_ERROR_INIT;
        WriterTrust trust;

        for (unsigned k = 0; k < 2; k++) {
                assert_int_equal(install_trust(w->e.installer, &trust, &err), 0);
                assert_int_equal(trust.reason, RS_REASON_NONE);
                assert_int_equal(trust.signer_revoked, revoked);
                assert_int_equal(revocation_is_told(w), revoked && k == 0);
        }
}

/* The good release runs and is good; then its signer is revoked: nothing it endorsed counts, a bridge leads on (F19). */
static void a_bridge_leads_past_the_revoked_signer(World *w) {
        TestRelease link, bridge;
        RsError err = RS_ERROR_INIT;
        WriterOffer offer;

        make_release(&link, w->good.manifest->release + 1, w->good.manifest->epoch, false);
        assert_int_equal(test_engine_offer(&w->e, &link, &offer, &err), 0);
        assert_alarm(w, false);
        evidence_revoke(w, test_history(), w->good.manifest->release);
        assert_alarm(w, true);
        assert_true(test_engine_offer(&w->e, &w->good, &offer, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_REVOKED);
        err = RS_ERROR_INIT;
        assert_true(test_engine_offer(&w->e, &link, &offer, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_REVOKED);
        err = RS_ERROR_INIT;
        make_release(&bridge, w->good.manifest->release + 1, w->good.manifest->epoch, true);
        if (test_engine_offer(&w->e, &bridge, &offer, &err) < 0)
                fail_msg("%s: %s: %s", w->mode->name, rs_reason_name(err.reason), err.text);
        install_abort(w->e.installer);
        install_and_boot(w, &bridge);
        assert_alarm(w, false); /* and the signer of that one is not revoked */
        test_release_done(&link);
        test_release_done(&bridge);
}

static void run_mode(const Mode *m) {
        RsError err = RS_ERROR_INIT;
        size_t row = 0;
        TpmState tpm;
        World w;

        world_init(&w, m);
        if (m->strict) {
                test_engine_close(&w.e);
                w.d.strict = true;
                test_engine_open(&w.e, &w.d, NULL, NULL);
        }
        for (size_t i = 0; i < n_held_back; i++)
                attack(&w, &held_back[i], row++);
        good_is_accepted(&w, "nothing");
        for (size_t i = 0; i < n_offers; i++) {
                attack(&w, &offers[i], row++);
                good_is_accepted(&w, offers[i].name);
        }
        for (size_t i = 0; i < n_evidence; i++) {
                attack(&w, &evidence[i], row++);
                good_is_accepted(&w, evidence[i].name);
        }
        if (m->resumed)
                assert_resumes(&w);
        for (size_t i = 0; i < n_transfers; i++) {
                attack(&w, &transfers[i], row++);
                good_is_accepted(&w, transfers[i].name);
        }
        install_and_boot(&w, &w.good);
        assert_int_equal(tpm_state_read(w.e.tpm, &tpm, &err), 0);
        assert_int_equal(tpm.record.release, w.good.manifest->release);
        if (!m->medium)
                evidence_latest(&w, w.good.manifest->release + 1);
        a_bridge_leads_past_the_revoked_signer(&w);
        world_done(&w);
}

/* -- tests ------------------------------------------------------------------------------------------------------ */

#define MODE(n, name)                                                                                 \
        static void name(void **state) {                                                              \
                (void) state;                                                                         \
                run_mode(&modes[n]);                                                                  \
        }
MODE(0, a_device_from_the_factory_withstands)
MODE(1, a_device_with_an_accepted_release_withstands)
MODE(2, a_device_that_skipped_releases_withstands)
MODE(3, a_device_behind_a_bridge_withstands)
MODE(4, a_device_that_gets_the_same_release_again_withstands)
MODE(5, a_device_that_was_cut_withstands_and_resumes)
MODE(6, a_device_that_knows_nobody_withstands)
MODE(7, a_device_that_is_always_online_withstands)
MODE(8, a_device_before_a_higher_epoch_withstands)
MODE(9, a_factory_device_of_level_2_withstands)
MODE(10, a_device_of_level_2_that_skipped_releases_withstands)
MODE(11, a_device_of_level_2_behind_a_bridge_withstands)

static void print_row(const Attack *a, size_t row) {
        char line[400];
        size_t n;

        n = (size_t) snprintf(line, sizeof(line), "| %-33s | %-27s | %-8s | %-12s |", a->name, a->known_as, a->at,
                              a->reason ? rs_reason_name(a->reason) : "(no effect)");
        for (size_t m = 0; m < ELEMENTSOF(modes); m++)
                n += (size_t) snprintf(line + n, sizeof(line) - n, " %-*s |", (int) strlen(modes[m].column),
                                       !tried[row][m] ? "-" : seen[row][m] == a->reason ? "x" : "C");
        print_message("%s\n", line);
}

/* x: tried, with the reason of its row; C: Config, this device knows nobody for it; -: cannot be tried in this mode. */
static void the_table_is_complete(void **state) {
        const struct {
                const Attack *attacks;
                size_t n;
        } groups[] = { { held_back, n_held_back }, { offers, n_offers }, { evidence, n_evidence }, { transfers, n_transfers } };
        size_t row = 0, cells = 0;

        (void) state;
        print_message("| %-33s | %-27s | %-8s | %-12s |", "attack", "known as", "at", "reason");
        for (size_t m = 0; m < ELEMENTSOF(modes); m++)
                print_message(" %s |", modes[m].column);
        print_message("\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n");
        for (size_t g = 0; g < ELEMENTSOF(groups); g++)
                for (size_t i = 0; i < groups[g].n; i++, row++) {
                        print_row(&groups[g].attacks[i], row);
                        for (size_t m = 0; m < ELEMENTSOF(modes); m++) {
                                assert_int_equal(tried[row][m], applies(&groups[g].attacks[i], &modes[m]));
                                cells += tried[row][m];
                        }
                }
        for (size_t m = 0; m < ELEMENTSOF(modes); m++)
                print_message("%s: %s\n", modes[m].column, modes[m].name);
        print_message("%zu attacks, %zu modes, %zu cells\n", row, ELEMENTSOF(modes), cells);
        assert_true(row <= ATTACKS_MAX && cells > 400);
}

static int group_teardown(void **state) {
        evidence_done();
        return test_pki_teardown(state);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_device_from_the_factory_withstands),
                cmocka_unit_test(a_device_with_an_accepted_release_withstands),
                cmocka_unit_test(a_device_that_skipped_releases_withstands),
                cmocka_unit_test(a_device_behind_a_bridge_withstands),
                cmocka_unit_test(a_device_that_gets_the_same_release_again_withstands),
                cmocka_unit_test(a_device_that_was_cut_withstands_and_resumes),
                cmocka_unit_test(a_device_that_knows_nobody_withstands),
                cmocka_unit_test(a_device_that_is_always_online_withstands),
                cmocka_unit_test(a_device_before_a_higher_epoch_withstands),
                cmocka_unit_test(a_factory_device_of_level_2_withstands),
                cmocka_unit_test(a_device_of_level_2_that_skipped_releases_withstands),
                cmocka_unit_test(a_device_of_level_2_behind_a_bridge_withstands),
                cmocka_unit_test(the_table_is_complete),
        };

        cmocka_set_test_filter(getenv("RESEAL_TEST_FILTER"));
        return cmocka_run_group_tests(tests, test_pki_setup, group_teardown);
}
