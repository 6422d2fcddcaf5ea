/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * crl - revocation lists that count.
 *
 * A list is held under the key that signed it, not under a name: names can be chosen, and after an authority's
 * replacement two keys may have one.  It enters only when
 *
 *   1. it is one CRL in DER and nothing else, complete (no delta), of one issuer (not indirect) and without scope: any
 *      critical extension says that it means something else than "these serials", and none is needed
 *   2. a CA under the caller's anchors that may sign lists has signed it, with algorithms of the one table; where the
 *      caller says by what (crl_set_admit), the CA itself must not have expired or been revoked
 *   3. its CRLNumber is not lower than that of the list it replaces; with an equal number it must be the same list,
 *      for two lists under one number would let an attacker choose
 *
 * What is on a list is revoked, whatever reason or date stands beside: a hold that could be lifted by an older list
 * would be one more thing to roll back.
 */
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <reseal/base/cleanup.h>
#include <reseal/crypto/ossl-cleanup.h>
#include <reseal/crypto/ossl-read.h>
#include <reseal/pki/crl.h>

#include "algorithm.h"
#include "path-parts.h"

/* Each candidate with the right name costs signature checks. */
#define CANDIDATES_MAX 32

OSSL_DEFINE_CLEANUP(X509_CRL, X509_CRL_free)
OSSL_DEFINE_CLEANUP(ASN1_INTEGER, ASN1_INTEGER_free)

typedef struct CrlEntry {
        X509_CRL *crl;
        uint8_t *der;
        size_t size;
        unsigned domain;
        bool anchor; /* the issuer is one */
        CrlInfo info;
} CrlEntry;

struct CrlSet {
        CrlEntry entries[CRL_SET_MAX];
        uint32_t n;
};

/* -- form ------------------------------------------------------------------------------------------------------- */

/* OpenSSL keeps the signed part as it came; encoded anew from its fields it must be the same bytes. */
static int check_der(Span der, RsError *err) {
        _cleanup_(X509_CRL_freep) X509_CRL *crl = NULL;
        unsigned char *part = NULL, *whole = NULL;
        const unsigned char *p = der.data;
        int n_part, n_whole;
        bool same;

        crl = ossl_d2i_crl(&p, (long) der.size);
        if (!crl || p != der.data + der.size)
                return rs_fail_ssl(err, FORMAT, "revocation list: not one CRL in DER");
        n_part = i2d_re_X509_CRL_tbs(crl, &part); /* and forgets how it came */
        n_whole = i2d_X509_CRL(crl, &whole);
        same = n_part > 0 && n_whole > 0 && span_equal(SPAN(whole, (size_t) n_whole), der);
        OPENSSL_free(part);
        OPENSSL_free(whole);
        if (!same)
                return rs_fail_ssl(err, FORMAT, "revocation list: not DER");
        return 0;
}

static int check_extensions(const X509_CRL *crl, RsError *err) {
        if (X509_CRL_get_version(crl) != X509_CRL_VERSION_2)
                return rs_fail(err, FORMAT, "revocation list: not of version 2");
        if (X509_CRL_get_ext_by_NID(crl, NID_delta_crl, -1) >= 0)
                return rs_fail(err, FORMAT, "revocation list: a delta only");
        if (X509_CRL_get_ext_by_NID(crl, NID_issuing_distribution_point, -1) >= 0)
                return rs_fail(err, FORMAT, "revocation list: indirect or of limited scope");
        if (X509_CRL_get_ext_by_critical(crl, 1, -1) >= 0)
                return rs_fail(err, FORMAT, "revocation list: a critical extension");
        return 0;
}

static int check_entries(X509_CRL *crl, uint32_t *ret_n, RsError *err) {
        STACK_OF(X509_REVOKED) *revoked = X509_CRL_get_REVOKED(crl);
        int n = revoked ? sk_X509_REVOKED_num(revoked) : 0;

        for (int i = 0; i < n; i++) {
                const X509_REVOKED *entry = sk_X509_REVOKED_value(revoked, i);

                if (X509_REVOKED_get_ext_by_NID(entry, NID_certificate_issuer, -1) >= 0 ||
                    X509_REVOKED_get_ext_by_critical(entry, 1, -1) >= 0)
                        return rs_fail(err, FORMAT, "revocation list: entry %d is of another issuer or means more", i);
        }
        *ret_n = (uint32_t) n;
        return 0;
}

static int get_number(const X509_CRL *crl, uint64_t *ret, RsError *err) {
        _cleanup_(ASN1_INTEGER_freep) ASN1_INTEGER *number = NULL;
        uint64_t v;
        int critical;

        number = X509_CRL_get_ext_d2i(crl, NID_crl_number, &critical, NULL);
        if (!number)
                return rs_fail_ssl(err, FORMAT, "revocation list: without one CRLNumber");
        if (ASN1_INTEGER_get_uint64(&v, number) != 1 || v > INT64_MAX)
                return rs_fail_ssl(err, FORMAT, "revocation list: its CRLNumber is outside 0 to 2^63-1");
        *ret = v;
        return 0;
}

static int parse_crl(Span der, X509_CRL **ret, CrlInfo *ret_info, RsError *err) {
        _cleanup_(X509_CRL_freep) X509_CRL *crl = NULL;
        const unsigned char *p = der.data;
        CrlInfo info = { 0 };
        int r;

        if (der.size > CRL_SIZE_MAX)
                return rs_fail(err, TOO_MUCH, "revocation list: larger than %u bytes", CRL_SIZE_MAX);
        if (der.size == 0)
                return rs_fail(err, FORMAT, "revocation list: empty");
        r = check_der(der, err);
        if (r < 0)
                return r;
        crl = ossl_d2i_crl(&p, (long) der.size);
        if (!crl)
                return rs_fail_oom(err);
        r = check_extensions(crl, err);
        if (r < 0)
                return r;
        r = check_entries(crl, &info.n_revoked, err);
        if (r < 0)
                return r;
        r = get_number(crl, &info.number, err);
        if (r < 0)
                return r;
        if (!path_seconds(X509_CRL_get0_lastUpdate(crl), &info.this_update) ||
            (X509_CRL_get0_nextUpdate(crl) && !path_seconds(X509_CRL_get0_nextUpdate(crl), &info.next_update)))
                return rs_fail_ssl(err, FORMAT, "revocation list: its times cannot be read");
        r = path_name_text(X509_CRL_get_issuer(crl), info.issuer, sizeof(info.issuer), err);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(crl);
        *ret_info = info;
        return 0;
}

/* -- issuer ----------------------------------------------------------------------------------------------------- */

typedef struct Search {
        X509_CRL *crl;
        const TrustAnchors *anchors;
        STACK_OF(X509) *intermediates;
        const PathRules *rules; /* for the issuer; NULL: neither time nor lists */
        X509 *issuer;      /* found; borrowed */
        RsError refusal;   /* of the first candidate with the right name that is none */
        bool bad_signature;
        int n_candidates;
} Search;

static int judge_candidate(const Search *s, X509 *cert, RsError *err) {
        int r;

        r = path_verify_ca(cert, s->intermediates, s->anchors, s->rules, err);
        if (r < 0)
                return r;
        if (!(X509_get_extension_flags(cert) & EXFLAG_KUSAGE) || !(X509_get_key_usage(cert) & KU_CRL_SIGN))
                return rs_fail(err, CERTIFICATE, "the issuer may not sign revocation lists");
        return algorithm_check_crl(s->crl, cert, err);
}

static void try_candidate(Search *s, X509 *cert) {
        if (s->issuer || X509_NAME_cmp(X509_get_subject_name(cert), X509_CRL_get_issuer(s->crl)) != 0 ||
            s->n_candidates++ >= CANDIDATES_MAX)
                return;
        /* The path first: a key that nobody vouches for is not worth a calculation. */
        if (judge_candidate(s, cert, &s->refusal) < 0)
                return;
        if (X509_CRL_verify(s->crl, X509_get0_pubkey(cert)) == 1)
                s->issuer = cert;
        else
                s->bad_signature = true;
        ERR_clear_error();
}

static int find_issuer(Search *s, RsError *err) {
        STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(anchors_store(s->anchors));

        for (int i = 0; i < sk_X509_OBJECT_num(objects); i++)
                try_candidate(s, X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, i)));
        for (int i = 0; s->intermediates && i < sk_X509_num(s->intermediates); i++)
                try_candidate(s, sk_X509_value(s->intermediates, i));
        if (s->issuer)
                return 0;
        if (s->bad_signature)
                return rs_fail(err, SIGNATURE, "revocation list: the signature is not good");
        if (s->refusal.reason != RS_REASON_NONE)
                return rs_pass(err, &s->refusal);
        return rs_fail(err, CERTIFICATE, "revocation list: nobody of this name may issue it");
}

/* -- set -------------------------------------------------------------------------------------------------------- */

int crl_set_new(CrlSet **ret, RsError *err) {
        CrlSet *s = calloc(1, sizeof(*s));

        if (!s)
                return rs_fail_oom(err);
        *ret = s;
        return 0;
}

static void entry_done(CrlEntry *e) {
        X509_CRL_free(e->crl);
        free(e->der);
        *e = (CrlEntry){ 0 };
}

CrlSet *crl_set_free(CrlSet *s) {
        if (!s)
                return NULL;
        for (uint32_t i = 0; i < s->n; i++)
                entry_done(&s->entries[i]);
        free(s);
        return NULL;
}

static CrlEntry *find_entry(const CrlSet *s, const uint8_t issuer_key[32]) {
        for (uint32_t i = 0; i < s->n; i++)
                if (memcmp(s->entries[i].info.issuer_key, issuer_key, 32) == 0)
                        return (CrlEntry *) &s->entries[i];
        return NULL;
}

static int check_number(const CrlEntry *old, Span der, const CrlInfo *info, bool *ret_same, RsError *err) {
        const bool same = span_equal(SPAN(old->der, old->size), der);

        if (info->number < old->info.number)
                return rs_fail(err, CRL_ROLLBACK, "revocation list of %s: number %llu, and %llu is known", info->issuer,
                               (unsigned long long) info->number, (unsigned long long) old->info.number);
        if (info->number == old->info.number && !same)
                return rs_fail(err, CRL_ROLLBACK, "revocation list of %s: another one has number %llu", info->issuer,
                               (unsigned long long) info->number);
        *ret_same = same;
        return 0;
}

/* A new issuer takes a place of its own domain; the anchors' cannot all be taken by those whom they certify. */
static int check_place(const CrlSet *s, unsigned domain, bool anchor, RsError *err) {
        uint32_t n = 0, n_cas = 0;

        for (uint32_t i = 0; i < s->n; i++)
                if (s->entries[i].domain == domain) {
                        n++;
                        n_cas += !s->entries[i].anchor;
                }
        if (n >= CRL_COUNT_MAX)
                return rs_fail(err, TOO_MUCH, "more than %u revocation lists", CRL_COUNT_MAX);
        if (!anchor && n_cas >= CRL_CAS_MAX)
                return rs_fail(err, TOO_MUCH, "more than %u revocation lists of CAs below the anchors", CRL_CAS_MAX);
        return 0;
}

/* Takes entry's crl over on success. */
static int put_entry(CrlSet *s, CrlEntry *old, const CrlEntry *entry, Span der, RsError *err) {
        uint8_t *copy;
        int r;

        /* a list that moves to another domain takes a place there as any other */
        r = old && old->domain == entry->domain && old->anchor == entry->anchor
                    ? 0
                    : check_place(s, entry->domain, entry->anchor, err);
        if (r == 0 && !old && s->n == CRL_SET_MAX)
                r = rs_fail(err, TOO_MUCH, "more than %u revocation lists in all", CRL_SET_MAX);
        if (r < 0)
                return r;
        copy = malloc(der.size);
        if (!copy)
                return rs_fail_oom(err);
        memcpy(copy, der.data, der.size);
        if (old)
                entry_done(old);
        else
                old = &s->entries[s->n++];
        *old = *entry;
        old->der = copy;
        old->size = der.size;
        return 0;
}

static const CrlEntry *find_same(const CrlSet *s, Span der) {
        for (uint32_t i = 0; i < s->n; i++)
                if (span_equal(SPAN(s->entries[i].der, s->entries[i].size), der))
                        return &s->entries[i];
        return NULL;
}

int crl_set_add(CrlSet *s, Span der, const TrustAnchors *anchors, STACK_OF(X509) *intermediates, bool *ret_changed,
                CrlInfo *ret, RsError *err) {
        return crl_set_admit(s, der, anchors, intermediates, &(CrlAdmission){ 0 }, ret_changed, ret, err);
}

int crl_set_admit(CrlSet *s, Span der, const TrustAnchors *anchors, STACK_OF(X509) *intermediates,
                  const CrlAdmission *how, bool *ret_changed, CrlInfo *ret, RsError *err) {
        _cleanup_(X509_CRL_freep) X509_CRL *crl = NULL;
        Search search = { .anchors = anchors, .intermediates = intermediates, .rules = how->issuer };
        const CrlEntry *held = how->issuer ? find_same(s, der) : NULL;
        CrlEntry *old, entry;
        bool same = false;
        CrlInfo info;
        int r;

        if (held) {
                *ret_changed = false;
                *ret = held->info;
                return 0;
        }
        r = parse_crl(der, &crl, &info, err);
        if (r < 0)
                return r;
        search.crl = crl;
        r = find_issuer(&search, err);
        if (r < 0)
                return r;
        r = path_spki_sha256(search.issuer, info.issuer_key, err);
        if (r < 0)
                return r;
        old = find_entry(s, info.issuer_key);
        if (old) {
                r = check_number(old, der, &info, &same, err);
                if (r < 0)
                        return r;
        }
        if (!same) {
                entry = (CrlEntry){ .crl = crl, .domain = how->domain, .info = info };
                entry.anchor = path_is_anchor(search.issuer, anchors);
                r = put_entry(s, old, &entry, der, err);
                if (r < 0)
                        return r;
                TAKE_PTR(crl);
        }

        *ret_changed = !same;
        *ret = info;
        return 0;
}

uint32_t crl_set_count(const CrlSet *s) {
        return s->n;
}

void crl_set_info(const CrlSet *s, uint32_t i, CrlInfo *ret) {
        *ret = s->entries[i].info;
}

Span crl_set_der(const CrlSet *s, uint32_t i) {
        return SPAN(s->entries[i].der, s->entries[i].size);
}

uint64_t crl_set_number(const CrlSet *s) {
        uint64_t sum = 0;

        for (uint32_t i = 0; i < s->n; i++) /* stays at the end instead of starting again */
                sum = sum > UINT64_MAX - s->entries[i].info.number ? UINT64_MAX : sum + s->entries[i].info.number;
        return sum;
}

int crl_set_check(const CrlSet *s, X509 *cert, const uint8_t issuer_key[32], RsError *err) {
        const CrlEntry *e = find_entry(s, issuer_key);
        X509_REVOKED *ignored;

        if (e && X509_CRL_get0_by_serial(e->crl, &ignored, X509_get0_serialNumber(cert)) != 0)
                return rs_fail(err, REVOKED, "revoked by list %llu of %s", (unsigned long long) e->info.number,
                               e->info.issuer);
        return 0;
}

static int check_fresh(const CrlInfo *info, uint64_t low, uint64_t grace, RsError *err) {
        if (info->next_update != 0 && low > info->next_update && low - info->next_update > grace)
                return rs_fail(err, CRL_STALE, "revocation list %llu of %s: the next one was due %llu s ago",
                               (unsigned long long) info->number, info->issuer,
                               (unsigned long long) (low - info->next_update));
        return 0;
}

int crl_set_fresh(const CrlSet *s, uint64_t low, uint64_t grace, RsError *err) {
        int r = 0;

        for (uint32_t i = 0; r == 0 && i < s->n; i++)
                r = check_fresh(&s->entries[i].info, low, grace, err);
        return r;
}

int crl_set_fresh_of(const CrlSet *s, const uint8_t issuer_key[32], const char *name, uint64_t low, uint64_t grace,
                     RsError *err) {
        const CrlEntry *e = find_entry(s, issuer_key);

        if (!e)
                return rs_fail(err, CRL_STALE, "there is no revocation list of %s, and the policy wants one", name);
        return check_fresh(&e->info, low, grace, err);
}
