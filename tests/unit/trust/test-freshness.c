/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The word on the latest release: replay, expiry, silence (S62, T7, T9), and a stolen key that tries to block it.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/names.h>
#include <reseal/pki/cms.h>
#include <reseal/trust/freshness.h>

#include "mini-ca.h"

#define NOW UINT64_C(1800000000)
#define DAY UINT64_C(86400)
#define YEAR UINT64_C(31536000)

static CaKey root, online, online2, ticket;
static TrustAnchors *anchors;

static int make_keys(void **state) {
        _cleanup_(encoder_done) Encoder pem = ENCODER_INIT;
        RsError err = RS_ERROR_INIT;

        (void) state;
        root = ca_make(NULL, "Source Root", NULL, NOW - YEAR, NOW + 9 * YEAR);
        online = ca_make(&root, "Freshness 1", "critical," RS_OID_EKU_FRESHNESS, NOW - YEAR, NOW + YEAR);
        online2 = ca_make(&root, "Freshness 2", "critical," RS_OID_EKU_FRESHNESS, NOW - YEAR, NOW + YEAR);
        ticket = ca_make(&root, "Ticket", "critical," RS_OID_EKU_TICKET, NOW - YEAR, NOW + YEAR);
        ca_cert_pem(&root, &pem);
        return anchors_parse(encoder_view(&pem), &anchors, &err);
}

static int drop_keys(void **state) {
        (void) state;
        ca_done(&root);
        ca_done(&online);
        ca_done(&online2);
        ca_done(&ticket);
        anchors = anchors_free(anchors);
        return 0;
}

static FreshnessRules rules_at(uint64_t low, uint64_t high) {
        return (FreshnessRules){ .source_root = anchors, .line = "gateway", .now = { low, high, high != UINT64_MAX } };
}

static Statement statement(uint64_t latest, uint64_t seq) {
        return (Statement){ .line = "gateway", .latest = latest, .seq = seq, .issued = NOW, .expires = NOW + 7 * DAY };
}

static int offer(Freshness *f, const Statement *s, const CaKey *signer, const FreshnessRules *rules, bool *ret_changed,
                 RsError *err) {
        _cleanup_(encoder_done) Encoder json = ENCODER_INIT, cms = ENCODER_INIT;

        assert_int_equal(statement_encode(s, &json, err), 0);
        assert_int_equal(cms_sign(encoder_view(&json), signer->cert, signer->key, NULL, &cms, err), 0);
        return freshness_accept(f, encoder_view(&cms), rules, ret_changed, err);
}

static void take(Freshness *f, Statement s, const CaKey *signer, const FreshnessRules *rules) {
        RsError err = RS_ERROR_INIT;
        bool changed;

        if (offer(f, &s, signer, rules, &changed, &err) < 0)
                fail_msg("%s", err.text);
        assert_true(changed && f->statement.seq == s.seq);
}

static void refuse(Freshness *f, Statement s, const CaKey *signer, const FreshnessRules *rules, RsReason reason) {
        static Freshness before;
        RsError err = RS_ERROR_INIT;
        bool changed;

        before = *f;
        assert_true(offer(f, &s, signer, rules, &changed, &err) < 0);
        if (err.reason != reason)
                fail_msg("%s: %s", rs_reason_name(err.reason), err.text);
        assert_memory_equal(&before, f, sizeof(before));
}

static void number_never_falls_and_stands_for_one_statement(void **state) {
        const FreshnessRules rules = rules_at(NOW + DAY, NOW + DAY);
        RsError err = RS_ERROR_INIT;
        Freshness f = { 0 };
        Statement same = statement(42, 8);
        bool changed;

        (void) state;
        take(&f, statement(41, 7), &online, &rules);
        take(&f, statement(42, 8), &online, &rules);
        assert_int_equal(offer(&f, &same, &online2, &rules, &changed, &err), 0); /* signed by whom does not matter */
        assert_false(changed);
        refuse(&f, statement(41, 7), &online, &rules, RS_REASON_FREEZE);
        refuse(&f, statement(43, 8), &online, &rules, RS_REASON_FREEZE);
        take(&f, statement(40, 9), &online, &rules); /* a release was withdrawn: what the TPM holds is not asked here */
}

static void expiry_is_judged_by_the_interval(void **state) {
        static const struct {
                uint64_t low, high;
                RsReason reason;     /* of accepting */
                bool fresh, expired; /* once held */
        } cases[] = {
                { NOW, NOW, RS_REASON_NONE, true, false },
                { NOW - YEAR, UINT64_MAX, RS_REASON_NONE, false, false },        /* unknown time: neither */
                { NOW + 7 * DAY, NOW + 7 * DAY, RS_REASON_NONE, true, false },
                { NOW + 7 * DAY, NOW + 7 * DAY + 1, RS_REASON_NONE, false, false },
                { NOW + 7 * DAY + 1, NOW + 8 * DAY, RS_REASON_FREEZE, false, true },
                { NOW + 7 * DAY + 1, UINT64_MAX, RS_REASON_FREEZE, false, true },
                { NOW - DAY, NOW - FRESHNESS_SKEW, RS_REASON_NONE, true, false },
                { NOW - DAY, NOW - FRESHNESS_SKEW - 1, RS_REASON_FREEZE, true, false }, /* from the future */
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const FreshnessRules rules = rules_at(cases[i].low, cases[i].high), good = rules_at(NOW, NOW);
                Freshness f = { 0 };
                FreshnessView v;

                if (cases[i].reason == RS_REASON_NONE)
                        take(&f, statement(42, 8), &online, &rules);
                else
                        refuse(&f, statement(42, 8), &online, &rules, cases[i].reason);
                if (cases[i].reason != RS_REASON_NONE)
                        take(&f, statement(42, 8), &online, &good);
                v = freshness_view(&f, &rules.now);
                assert_true(v.known && v.fresh == cases[i].fresh && v.expired == cases[i].expired);
                assert_int_equal(v.latest, 42);
        }
}

static void only_the_freshness_key_of_this_source_and_line_counts(void **state) {
        FreshnessRules rules = rules_at(NOW, NOW);
        Statement other = statement(42, 8);
        Freshness f = { 0 };
        CaKey stranger = ca_make(NULL, "Source Root", NULL, NOW - YEAR, NOW + YEAR);
        CaKey forged = ca_make(&stranger, "Freshness", "critical," RS_OID_EKU_FRESHNESS, NOW - YEAR, NOW + YEAR);
        RsError err = RS_ERROR_INIT, large = RS_ERROR_INIT;
        static const uint8_t zeros[STATEMENT_CMS_MAX + 1];
        bool changed;

        (void) state;
        refuse(&f, other, &ticket, &rules, RS_REASON_PURPOSE);
        refuse(&f, other, &forged, &rules, RS_REASON_CERTIFICATE);
        (void) strcpy(other.line, "sensor");
        refuse(&f, other, &online, &rules, RS_REASON_LINE);
        assert_true(freshness_accept(&f, SPAN(zeros, sizeof(zeros)), &rules, &changed, &large) < 0);
        assert_int_equal(large.reason, RS_REASON_FORMAT);
        rules.source_root = NULL;
        assert_true(freshness_accept(&f, SPAN(zeros, 10), &rules, &changed, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_CONFIG);
        ca_done(&forged);
        ca_done(&stranger);
}

static void stolen_key_cannot_block_the_numbers_for_ever(void **state) {
        _cleanup_(crl_set_freep) CrlSet *crls = NULL;
        _cleanup_(encoder_done) Encoder list = ENCODER_INIT, file = ENCODER_INIT;
        FreshnessRules rules = rules_at(NOW, NOW);
        RsError err = RS_ERROR_INIT;
        Freshness f = { 0 }, read;
        CrlInfo info;
        bool changed;

        (void) state;
        take(&f, statement(1, INT64_MAX), &online, &rules);
        refuse(&f, statement(43, 9), &online2, &rules, RS_REASON_FREEZE);
        assert_int_equal(freshness_encode(&f, &file, &err), 0);
        assert_int_equal(freshness_restore(encoder_view(&file), &rules, &read, &err), 1);

        assert_int_equal(crl_set_new(&crls, &err), 0);
        ca_list(&root, 1, NOW, &online, &list);
        assert_int_equal(crl_set_add(crls, encoder_view(&list), anchors, NULL, &changed, &info, &err), 0);
        rules.crls = crls;
        assert_int_equal(freshness_restore(encoder_view(&file), &rules, &read, &err), 0);
        refuse(&f, statement(43, 10), &online, &rules, RS_REASON_REVOKED);
        take(&f, statement(43, 9), &online2, &rules);
}

static void verdict_does_not_depend_on_where_a_release_comes_from(void **state) {
        enum { UNKNOWN, FRESH, UNSURE, EXPIRED, _STATES };
        static const TimeInterval times[_STATES] = {
                [UNKNOWN] = { NOW, NOW, true },
                [FRESH] = { NOW, NOW, true },
                [UNSURE] = { NOW, UINT64_MAX, false },
                [EXPIRED] = { NOW + 30 * DAY, NOW + 30 * DAY, true },
        };
        const FreshnessRules rules = rules_at(NOW, NOW);
        unsigned cells = 0;

        (void) state;
        for (unsigned held = 0; held < _STATES; held++)
                for (uint64_t release = 41; release <= 43; release++)
                        for (unsigned policy = 0; policy < 4; policy++) {
                                const FreshnessPolicy p = { .require = policy & 1, .allow_intermediate = policy & 2 };
                                FreshnessVerdict verdict = _FRESHNESS_VERDICT_MAX, expected;
                                RsError err = RS_ERROR_INIT;
                                Freshness f = { 0 };
                                FreshnessView v;
                                bool refused;
                                int r;

                                if (held != UNKNOWN)
                                        take(&f, statement(42, 8), &online, &rules);
                                v = freshness_view(&f, &times[held]);
                                r = freshness_judge(&v, release, &p, &verdict, &err);
                                /* the rule once more, in other words */
                                if (held != UNKNOWN && release == 41) {
                                        expected = FRESHNESS_INTERMEDIATE;
                                        refused = !p.allow_intermediate;
                                } else {
                                        expected = held == FRESH && release == 42 ? FRESHNESS_PROVEN_LATEST
                                                                                  : FRESHNESS_NOT_PROVEN;
                                        refused = p.require && expected == FRESHNESS_NOT_PROVEN;
                                }
                                assert_int_equal(r < 0, refused);
                                assert_int_equal(err.reason, refused ? RS_REASON_FREEZE : RS_REASON_NONE);
                                if (!refused)
                                        assert_int_equal(verdict, expected);
                                cells++;
                        }
        assert_int_equal(cells, 48);
        assert_string_equal(freshness_verdict_to_string(FRESHNESS_NOT_PROVEN), "not proven latest");
        assert_string_equal(freshness_verdict_to_string(_FRESHNESS_VERDICT_MAX), "?");
}

static void damaged_file_counts_as_none(void **state) {
        const FreshnessRules rules = rules_at(NOW, NOW), later = rules_at(NOW + 5 * YEAR, NOW + 5 * YEAR);
        _cleanup_(encoder_done) Encoder file = ENCODER_INIT;
        RsError err = RS_ERROR_INIT;
        Freshness f = { 0 }, read;

        (void) state;
        take(&f, statement(42, 8), &online, &rules);
        assert_int_equal(freshness_encode(&f, &file, &err), 0);
        assert_int_equal(freshness_restore(encoder_view(&file), &later, &read, &err), 1); /* a bar also when it has expired */
        assert_int_equal(read.statement.seq, 8);
        for (size_t n = 0; n < file.size; n++)
                assert_int_equal(freshness_restore(SPAN(file.data, n), &rules, &read, &err), 0);
        for (size_t n = 0; n < file.size; n++) {
                file.data[n] ^= 4;
                assert_int_equal(freshness_restore(encoder_view(&file), &rules, &read, &err), 0);
                assert_int_equal(read.cms_size, 0);
                file.data[n] ^= 4;
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(number_never_falls_and_stands_for_one_statement),
                cmocka_unit_test(expiry_is_judged_by_the_interval),
                cmocka_unit_test(only_the_freshness_key_of_this_source_and_line_counts),
                cmocka_unit_test(stolen_key_cannot_block_the_numbers_for_ever),
                cmocka_unit_test(verdict_does_not_depend_on_where_a_release_comes_from),
                cmocka_unit_test(damaged_file_counts_as_none),
        };

        return cmocka_run_group_tests(tests, make_keys, drop_keys);
}
