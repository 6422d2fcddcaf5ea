/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * attack-evidence - time-stamps, revocation lists, statements of the latest release and trust sets that are not what
 * they seem, held back, or old (T7, T9, T34 to T36, T45).
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/base/names.h>
#include <reseal/format/statement.h>
#include <reseal/format/trust-set.h>
#include <reseal/pki/cms.h>

#include "matrix.h"
#include "mini-tsa.h"

#define DAY UINT64_C(86400)
#define YEAR UINT64_C(31536000)

/* Made once; lists and statements of all devices count on. */
static struct {
        bool made;
        CaKey time_root, tsa, tsa_revoked, not_tsa, other_root, other_tsa;
        CaKey source_root, freshness, freshness_revoked, ticket;
        uint64_t number, seq, now;
} keys;

static void make_keys(void) {
        uint64_t now = keys.now = (uint64_t) time(NULL);

        if (keys.made)
                return;
        keys.made = true;
        keys.time_root = ca_make(NULL, "Time Root", NULL, now - YEAR, now + YEAR);
        keys.tsa = ca_make(&keys.time_root, "TSA", "critical,timeStamping", now - YEAR, now + YEAR);
        keys.tsa_revoked = ca_make(&keys.time_root, "TSA revoked", "critical,timeStamping", now - YEAR, now + YEAR);
        keys.not_tsa = ca_make(&keys.time_root, "Not a TSA", "critical,codeSigning", now - YEAR, now + YEAR);
        keys.other_root = ca_make(NULL, "Root of Strangers", NULL, now - YEAR, now + YEAR);
        keys.other_tsa = ca_make(&keys.other_root, "TSA", "critical,timeStamping", now - YEAR, now + YEAR);
        keys.source_root = ca_make(NULL, "Source Root", NULL, now - YEAR, now + YEAR);
        keys.freshness = ca_make(&keys.source_root, "Freshness", "critical," RS_OID_EKU_FRESHNESS, now - YEAR, now + YEAR);
        keys.freshness_revoked = ca_make(&keys.source_root, "Freshness revoked", "critical," RS_OID_EKU_FRESHNESS,
                                         now - YEAR, now + YEAR);
        keys.ticket = ca_make(&keys.source_root, "Ticket", "critical," RS_OID_EKU_TICKET, now - YEAR, now + YEAR);
}

void evidence_done(void) {
        CaKey *const all[] = { &keys.time_root, &keys.tsa, &keys.tsa_revoked, &keys.not_tsa, &keys.other_root, &keys.other_tsa,
                               &keys.source_root, &keys.freshness, &keys.freshness_revoked, &keys.ticket };

        for (size_t i = 0; keys.made && i < ELEMENTSOF(all); i++)
                ca_done(all[i]);
        keys.made = false;
}

static void put_pem(const char *path, const CaKey *root) {
        _cleanup_(encoder_done) Encoder pem = ENCODER_INIT;
        RsError err = RS_ERROR_INIT;

        ca_cert_pem(root, &pem);
        assert_int_equal(file_replace(AT_FDCWD, path, encoder_view(&pem), 0600, &err), 0);
}

void evidence_anchors(World *w) {
        make_keys();
        (void) snprintf(w->d.time_root, sizeof(w->d.time_root), "%s/time-root.pem", w->d.dir);
        (void) snprintf(w->d.source_root, sizeof(w->d.source_root), "%s/source-root.pem", w->d.dir);
        put_pem(w->d.time_root, &keys.time_root);
        put_pem(w->d.source_root, &keys.source_root);
}

/* -- lists ------------------------------------------------------------------------------------------------------ */

static int give(World *w, WriterEvidence kind, Span bytes, RsError *err) {
        bool unused;

        return install_evidence(w->e.installer, kind, bytes, &unused, err);
}

static int give_list(World *w, Encoder *list, RsError *err) {
        _cleanup_(encoder_done) Encoder set = ENCODER_INIT;

        encoder_u32(&set, 1);
        encoder_u32(&set, (uint32_t) list->size);
        encoder_span(&set, encoder_view(list));
        encoder_done(list);
        return give(w, WRITER_EVIDENCE_CRLS, encoder_view(&set), err);
}

static void must_take_list(World *w, Encoder *list) {
        RsError err = RS_ERROR_INIT;

        if (give_list(w, list, &err) < 0)
                fail_msg("%s: %s: %s", w->mode->name, rs_reason_name(err.reason), err.text);
}

/* A list of an authority is judged by its certificate, which comes with links. */
static void give_links(World *w, const TestRelease *r) {
        RsError err = RS_ERROR_INIT;

        assert_int_equal(give(w, WRITER_EVIDENCE_LINKS, encoder_view(&r->links), &err), 0);
}

/* Of both CAs above a signer. */
void evidence_lists(World *w) {
        const CaKey root = { test_history()->root_key, test_history()->root };
        Encoder list = ENCODER_INIT;

        give_links(w, &w->good);
        chain_crl(test_history(), ++keys.number, NULL, 0, &list);
        must_take_list(w, &list);
        ca_list(&root, ++keys.number, (uint64_t) time(NULL), NULL, &list);
        must_take_list(w, &list);
}

void evidence_revoke(World *w, const ChainFixture *of, uint64_t release) {
        Encoder list = ENCODER_INIT;

        give_links(w, &w->good);
        chain_crl(of, ++keys.number, &release, 1, &list);
        must_take_list(w, &list);
}

static int older_list(World *w, const Attack *a, RsError *err) {
        Encoder list = ENCODER_INIT;

        (void) a;
        keys.number++;
        evidence_lists(w);
        give_links(w, &w->good);
        chain_crl(test_history(), keys.number - 1, NULL, 0, &list);
        return give_list(w, &list, err);
}

static int list_by_a_stranger(World *w, const Attack *a, RsError *err) {
        Encoder list = ENCODER_INIT;

        (void) a;
        make_keys();
        ca_list(&keys.other_root, ++keys.number, keys.now, &keys.other_tsa, &list);
        return give_list(w, &list, err);
}

static int list_changed(World *w, const Attack *a, RsError *err) {
        Encoder list = ENCODER_INIT;

        (void) a;
        give_links(w, &w->good);
        chain_crl(test_history(), ++keys.number, NULL, 0, &list);
        list.data[list.size - 5] ^= 1;
        return give_list(w, &list, err);
}

static int list_of_noise(World *w, const Attack *a, RsError *err) {
        Encoder list = ENCODER_INIT;

        (void) a;
        encoder_bytes(&list, "no list", 7);
        return give_list(w, &list, err);
}

/* -- revocation ------------------------------------------------------------------------------------------------- */

static int offer_crafted(World *w, TestRelease *r, RsError *err) {
        WriterOffer unused;
        int k = test_engine_offer(&w->e, r, &unused, err);

        test_release_done(r);
        return k;
}

/* Another release in the good one's place, by a signer whose key was found to be stolen in time. */
static int signer_revoked(World *w, const Attack *a, RsError *err) {
        Encoder list = ENCODER_INIT;
        TestRelease r;

        (void) a;
        craft(w, &r, w->next);
        craft_sign(w, &r, w->next - 1, NULL);
        give_links(w, &r);
        chain_crl(w->branch, ++keys.number, &w->next, 1, &list);
        must_take_list(w, &list);
        return offer_crafted(w, &r, err);
}

/* A second authority that the root has certified, and taken back. */
static int authority_revoked(World *w, const Attack *a, RsError *err) {
        ChainFixture *line = (ChainFixture *) test_history();
        const CaKey root = { line->root_key, line->root };
        const ChainKey authority = line->authority;
        X509 *cert = line->authority_cert;
        Encoder list = ENCODER_INIT;
        ChainKey stolen = chain_key_new();
        CaKey revoked;
        TestRelease r;
        int k;

        (void) a;
        craft(w, &r, w->next);
        line->authority = stolen;
        revoked = (CaKey){ NULL, line->authority_cert = chain_authority(line, &stolen, 100) };
        craft_sign(w, &r, w->next - 1, NULL);
        line->authority = authority;
        line->authority_cert = cert;
        ca_list(&root, ++keys.number, (uint64_t) time(NULL), &revoked, &list);
        must_take_list(w, &list);
        k = offer_crafted(w, &r, err);
        ca_done(&revoked);
        chain_key_done(&stolen);
        return k;
}

/* -- time ------------------------------------------------------------------------------------------------------- */

static void ask(World *w, WriterTime *ret) {
        RsError err = RS_ERROR_INIT;

        if (install_time(w->e.installer, ret, &err) < 0)
                fail_msg("%s", err.text);
}

static void stamp(const WriterTime *t, const CaKey *by, const CaKey *forger, Encoder *ret) {
        make_keys();
        tsa_answer(SPAN(t->query, t->query_size), by, forger, ret);
}

static int stamped(World *w, const CaKey *by, const CaKey *forger, RsError *err) {
        _cleanup_(encoder_done) Encoder answer = ENCODER_INIT;
        WriterTime t;

        ask(w, &t);
        stamp(&t, by, forger, &answer);
        return give(w, WRITER_EVIDENCE_TIME, encoder_view(&answer), err);
}

void evidence_time(World *w) {
        RsError err = RS_ERROR_INIT;

        if (stamped(w, &keys.tsa, NULL, &err) < 0)
                fail_msg("%s", err.text);
}

static int time_replayed(World *w, const Attack *a, RsError *err) {
        _cleanup_(encoder_done) Encoder answer = ENCODER_INIT;
        WriterTime one, two;

        (void) a;
        make_keys();
        ask(w, &one);
        stamp(&one, &keys.tsa, NULL, &answer);
        ask(w, &two);
        return give(w, WRITER_EVIDENCE_TIME, encoder_view(&answer), err);
}

static int time_told_twice(World *w, const Attack *a, RsError *err) {
        _cleanup_(encoder_done) Encoder answer = ENCODER_INIT;
        RsError first = RS_ERROR_INIT;
        WriterTime t;

        (void) a;
        make_keys();
        ask(w, &t);
        stamp(&t, &keys.tsa, NULL, &answer);
        (void) give(w, WRITER_EVIDENCE_TIME, encoder_view(&answer), &first);
        return give(w, WRITER_EVIDENCE_TIME, encoder_view(&answer), err);
}

static int time_by_a_stranger(World *w, const Attack *a, RsError *err) {
        (void) a;
        make_keys();
        return stamped(w, &keys.other_tsa, NULL, err);
}

static int time_for_another_purpose(World *w, const Attack *a, RsError *err) {
        (void) a;
        make_keys();
        return stamped(w, &keys.tsa, &keys.not_tsa, err);
}

static int time_by_a_revoked_key(World *w, const Attack *a, RsError *err) {
        Encoder list = ENCODER_INIT;

        (void) a;
        make_keys();
        if (!w->mode->medium) {
                ca_list(&keys.time_root, ++keys.number, keys.now, &keys.tsa_revoked, &list);
                must_take_list(w, &list);
        }
        return stamped(w, &keys.tsa_revoked, NULL, err);
}

static int time_changed(World *w, const Attack *a, RsError *err) {
        _cleanup_(encoder_done) Encoder answer = ENCODER_INIT;
        WriterTime t;

        (void) a;
        make_keys();
        ask(w, &t);
        stamp(&t, &keys.tsa, NULL, &answer);
        answer.data[answer.size - 5] ^= 1;
        return give(w, WRITER_EVIDENCE_TIME, encoder_view(&answer), err);
}

/* -- the latest release ----------------------------------------------------------------------------------------- */

static int say(World *w, Statement s, const CaKey *by, RsError *err) {
        _cleanup_(encoder_done) Encoder json = ENCODER_INIT, cms = ENCODER_INIT;

        if (s.line[0] == 0)
                (void) strcpy(s.line, TEST_LINE);
        if (s.issued == 0)
                s.issued = (uint64_t) time(NULL) - 60;
        if (s.expires == 0)
                s.expires = s.issued + 7 * DAY;
        assert_int_equal(statement_encode(&s, &json, err), 0);
        assert_int_equal(cms_sign(encoder_view(&json), by->cert, by->key, NULL, &cms, err), 0);
        return give(w, WRITER_EVIDENCE_STATEMENT, encoder_view(&cms), err);
}

void evidence_latest(World *w, uint64_t latest) {
        RsError err = RS_ERROR_INIT;

        make_keys();
        if (say(w, (Statement){ .latest = latest, .seq = ++keys.seq }, &keys.freshness, &err) < 0)
                fail_msg("%s", err.text);
}

static int statement_with(World *w, const Attack *a, RsError *err) {
        Statement s = { .latest = w->good.manifest->release, .seq = ++keys.seq };
        const CaKey *by = &keys.freshness;

        make_keys();
        if (strstr(a->name, "another line"))
                (void) strcpy(s.line, "router");
        else if (strstr(a->name, "ticket"))
                by = &keys.ticket;
        else if (strstr(a->name, "stranger"))
                by = &keys.other_tsa;
        else { /* out of date: it is later at least, by build time and accepted release */
                s.issued = (uint64_t) time(NULL) - 20 * DAY;
                s.expires = s.issued + DAY;
        }
        return say(w, s, by, err);
}

static int statement_replayed(World *w, const Attack *a, RsError *err) {
        (void) a;
        make_keys();
        keys.seq++;
        if (!w->mode->medium)
                evidence_latest(w, w->good.manifest->release);
        return say(w, (Statement){ .latest = w->good.manifest->release, .seq = keys.seq - 1 }, &keys.freshness, err);
}

static int statement_by_a_revoked_key(World *w, const Attack *a, RsError *err) {
        Encoder list = ENCODER_INIT;

        (void) a;
        make_keys();
        if (!w->mode->medium) {
                ca_list(&keys.source_root, ++keys.number, keys.now, &keys.freshness_revoked, &list);
                must_take_list(w, &list);
        }
        return say(w, (Statement){ .latest = 1, .seq = keys.seq + 10 }, &keys.freshness_revoked, err);
}

/* The source shows yesterday's release, but the word of today was heard; a newer word sets it right. */
static int freeze(World *w, const Attack *a, RsError *err) {
        const TestRelease *shown = strstr(a->name, "newer") ? &w->between : &w->good;
        WriterOffer unused;
        int k;

        evidence_latest(w, w->next + 1);
        k = test_engine_offer(&w->e, shown, &unused, err);
        evidence_latest(w, w->good.manifest->release);
        return k;
}

/* -- anchors ---------------------------------------------------------------------------------------------------- */

/* A trust set under one of the two roots there are: lies in the store, and nothing comes of it. */
static int anchors_of_one_root(World *w, const Attack *a, RsError *err) {
        _cleanup_(encoder_done) Encoder json = ENCODER_INIT, cms = ENCODER_INIT, pem = ENCODER_INIT;
        _cleanup_(trust_set_freep) TrustSet *s = calloc(1, sizeof(*s));
        const CaKey root = { test_history()->root_key, test_history()->root };
        RsError unused = RS_ERROR_INIT;
        TrustAnchors *now = NULL;
        uint64_t version;
        WriterTrust t;
        int k;

        (void) a;
        assert_non_null(s);
        ca_cert_pem(&root, &pem);
        encoder_u8(&pem, 0);
        (void) snprintf(s->line, sizeof(s->line), TEST_LINE);
        s->version = 1;
        s->quorum = 2;
        s->firmware_pem = strdup((const char *) pem.data);
        s->source_pem = strdup("");
        s->time_pem = strdup("");
        s->recovery_pem = strdup("");
        assert_int_equal(trust_set_encode(s, &json, err), 0);
        assert_int_equal(cms_add_signer(SPAN_NULL, encoder_view(&json), root.cert, root.key, &cms, err), 0);
        (void) snprintf(w->d.trust_set, sizeof(w->d.trust_set), "%s/store.set", w->d.dir);
        assert_int_equal(file_replace(AT_FDCWD, w->d.trust_set, encoder_view(&cms), 0644, err), 0);
        test_engine_close(&w->e);
        test_engine_open(&w->e, &w->d, NULL, NULL);
        assert_int_equal(install_trust(w->e.installer, &t, &unused), 0);
        assert_int_equal(t.trust_version, 0);
        assert_int_equal(anchors_load(w->d.root, &now, err), 0);
        k = trust_set_judge(SPAN_NULL, now, encoder_view(&cms), TEST_LINE, &version, err);
        now = anchors_free(now);
        return k;
}

/* -- held back, from a device that wants all of it -------------------------------------------------------------- */

static int offer_good(World *w, RsError *err) {
        WriterOffer unused;

        return test_engine_offer(&w->e, &w->good, &unused, err);
}

static int no_time(World *w, const Attack *a, RsError *err) {
        int k = offer_good(w, err);

        (void) a;
        evidence_time(w);
        return k;
}

static int no_lists(World *w, const Attack *a, RsError *err) {
        int k = offer_good(w, err);

        (void) a;
        evidence_lists(w);
        return k;
}

static int no_statement(World *w, const Attack *a, RsError *err) {
        int k = offer_good(w, err);

        (void) a;
        evidence_latest(w, w->good.manifest->release);
        return k;
}

const Attack held_back[] = {
        { "time-stamp held back", "TUF drop-request", "OFFER", RS_REASON_TIME_UNKNOWN, NEEDS_STRICT, no_time, NULL, NULL },
        { "lists held back", "TUF drop-request", "OFFER", RS_REASON_CRL_STALE, NEEDS_STRICT, no_lists, NULL, NULL },
        { "statement held back", "TUF freeze", "OFFER", RS_REASON_FREEZE, NEEDS_STRICT, no_statement, NULL, NULL },
};
const size_t n_held_back = ELEMENTSOF(held_back);

const Attack evidence[] = {
        { "older revocation list", "TUF rollback, CRL replay", "EVIDENCE", RS_REASON_CRL_ROLLBACK, 0, older_list, NULL, NULL },
        { "list by a stranger", "TUF arbitrary", "EVIDENCE", RS_REASON_CERTIFICATE, 0, list_by_a_stranger, NULL, NULL },
        { "changed list", "NET.ONPATH", "EVIDENCE", RS_REASON_SIGNATURE, 0, list_changed, NULL, NULL },
        { "list of noise", "parser", "EVIDENCE", RS_REASON_FORMAT, 0, list_of_noise, NULL, NULL },
        { "revoked signer", "TUF key compromise", "OFFER", RS_REASON_REVOKED, 0, signer_revoked, NULL, NULL },
        { "revoked authority", "TUF key compromise", "OFFER", RS_REASON_REVOKED, 0, authority_revoked, NULL, NULL },
        { "time-stamp replayed", "TSA replay", "EVIDENCE", RS_REASON_TIME_PROOF, ANCHORED, time_replayed, NULL, NULL },
        { "time-stamp told twice", "TSA replay", "EVIDENCE", RS_REASON_TIME_PROOF, ANCHORED, time_told_twice, NULL, NULL },
        { "time-stamp by a stranger", "time spoofing", "EVIDENCE", RS_REASON_CERTIFICATE, ANCHORED, time_by_a_stranger, NULL, NULL },
        { "time-stamp by another key of ours", "key misuse", "EVIDENCE", RS_REASON_PURPOSE, ANCHORED, time_for_another_purpose, NULL,
          NULL },
        { "time-stamp by a revoked key", "TUF key compromise", "EVIDENCE", RS_REASON_REVOKED, ANCHORED, time_by_a_revoked_key, NULL,
          NULL },
        { "changed time-stamp", "NET.ONPATH", "EVIDENCE", RS_REASON_SIGNATURE, ANCHORED, time_changed, NULL, NULL },
        { "statement of another line", "TUF mix-and-match", "EVIDENCE", RS_REASON_LINE, ANCHORED, statement_with, NULL, NULL },
        { "statement by the ticket key", "key misuse", "EVIDENCE", RS_REASON_PURPOSE, ANCHORED, statement_with, NULL, NULL },
        { "statement by a stranger", "TUF arbitrary", "EVIDENCE", RS_REASON_CERTIFICATE, ANCHORED, statement_with, NULL, NULL },
        { "statement out of date", "TUF freeze", "EVIDENCE", RS_REASON_FREEZE, ANCHORED, statement_with, NULL, NULL },
        { "statement replayed", "TUF freeze, rollback", "EVIDENCE", RS_REASON_FREEZE, ANCHORED, statement_replayed, NULL, NULL },
        { "statement by a revoked key", "TUF key compromise", "EVIDENCE", RS_REASON_REVOKED, ANCHORED, statement_by_a_revoked_key,
          NULL, NULL },
        { "freeze", "TUF freeze", "OFFER", RS_REASON_FREEZE, NEEDS_FRESHNESS, freeze, NULL, NULL },
        { "newer than ours, not the latest", "TUF replay, EXPIRED.OFFLINE", "OFFER", RS_REASON_FREEZE,
          NEEDS_FRESHNESS | NEEDS_BETWEEN, freeze, NULL, NULL },
        { "trust set of one root", "TUF threshold", "TRUST", RS_REASON_TRUST_SET, 0, anchors_of_one_root, NULL, NULL },
};
const size_t n_evidence = ELEMENTSOF(evidence);
