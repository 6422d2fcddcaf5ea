/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * crl-file - lists that can be verified again whenever they are read.
 *
 * The file is no authority: a list in it counts because its issuer has signed it, as on the day it came.  So
 * the certificate of an issuer that is no anchor (the authority) is kept beside its list.  When roots are
 * replaced, the lists of CAs that nobody trusts any more fall out by themselves.
 *
 * The issuer is looked for among anchors first, then among the certificates at hand, one at a time: an
 * authority stands directly under a root (docs/format-chain.md 1), so one is enough, and it is known which
 * one to keep.
 */
#include <stdlib.h>
#include <string.h>

#include <reseal/crypto/digest.h>
#include <reseal/format/limits.h>
#include <reseal/pki/keys.h>

#include "crl-file.h"

#define MAGIC "RSCRLST1"
#define MAGIC_SIZE 8u

CrlFile *crl_file_free(CrlFile *f) {
        if (!f)
                return NULL;
        (void) crl_set_free(f->set);
        for (uint32_t i = 0; i < f->n_issuers; i++)
                free(f->issuers[i].cert);
        free(f);
        return NULL;
}

int crl_file_new(CrlFile **ret, RsError *err) {
        _cleanup_(crl_file_freep) CrlFile *f = calloc(1, sizeof(*f));
        int r;

        if (!f)
                return rs_fail_oom(err);
        r = crl_set_new(&f->set, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(f);
        return 0;
}

/* -- issuers ---------------------------------------------------------------------------------------------------- */

static CrlIssuer *find_issuer(CrlFile *f, const uint8_t key[32]) {
        for (uint32_t i = 0; i < f->n_issuers; i++)
                if (memcmp(f->issuers[i].key, key, sizeof(f->issuers[i].key)) == 0)
                        return &f->issuers[i];
        return NULL;
}

static int keep_issuer(CrlFile *f, const uint8_t key[32], Span cert, RsError *err) {
        CrlIssuer *place = find_issuer(f, key);
        CrlIssuer issuer = { 0 };

        if (!place && f->n_issuers == CRL_SET_MAX)
                return rs_fail(err, TOO_MUCH, "more than %u revocation lists", CRL_SET_MAX);
        memcpy(issuer.key, key, sizeof(issuer.key));
        if (cert.size > 0) {
                issuer.cert = malloc(cert.size);
                if (!issuer.cert)
                        return rs_fail_oom(err);
                memcpy(issuer.cert, cert.data, cert.size);
                issuer.cert_size = cert.size;
        }
        if (!place)
                place = &f->issuers[f->n_issuers++];
        free(place->cert); /* a CA whose certificate was renewed: the one that has just served */
        *place = issuer;
        return 0;
}

/* -- adding ----------------------------------------------------------------------------------------------------- */

/* Would another issuer fail as well?  Everything else says: not this one. */
static bool is_final(const RsError *attempt) {
        return attempt->reason == RS_REASON_FORMAT || attempt->reason == RS_REASON_CRL_ROLLBACK ||
               attempt->reason == RS_REASON_TOO_MUCH || attempt->reason == RS_REASON_NO_MEMORY;
}

/* How much an attempt says: that nobody of that name is known the least, that the issuer is done the most. */
static int says(const RsError *attempt) {
        if (attempt->reason == RS_REASON_REVOKED || attempt->reason == RS_REASON_EXPIRED)
                return 3;
        if (attempt->reason == RS_REASON_CERTIFICATE)
                return 1;
        return attempt->reason == RS_REASON_NONE ? 0 : 2;
}

/* What is told when all have failed. */
static void keep_better(RsError *best, const RsError *attempt) {
        if (says(attempt) > says(best))
                *best = *attempt;
}

/* cert empty: an anchor must be the issuer. */
static int try_issuer(CrlFile *f, Span der, const TrustAnchors *anchors, Span cert, const CrlAdmission *how,
                      bool *ret_changed, CrlInfo *ret, RsError *err) {
        _cleanup_(certs_freep) struct stack_st_X509 *certs = NULL;
        int r;

        if (cert.size > 0) {
                r = certs_parse(&cert, 1, &certs, err);
                if (r < 0)
                        return r;
        }
        return crl_set_admit(f->set, der, anchors, certs, how, ret_changed, ret, err);
}

static int try_domains(CrlFile *f, Span der, const AnchorSet *anchors, Span cert, const PathRules *rules,
                       bool *ret_changed, CrlInfo *ret, RsError *err) {
        const TrustAnchors *const domains[CRL_DOMAINS_MAX] = { anchors->firmware, anchors->source, anchors->time };
        RsError best = RS_ERROR_INIT;

        for (unsigned i = 0; i < CRL_DOMAINS_MAX; i++) {
                const CrlAdmission how = { .domain = i, .issuer = rules };
                RsError attempt = RS_ERROR_INIT;

                if (!domains[i])
                        continue;
                if (try_issuer(f, der, domains[i], cert, &how, ret_changed, ret, &attempt) == 0)
                        return 0;
                if (is_final(&attempt))
                        return rs_pass(err, &attempt);
                keep_better(&best, &attempt);
        }
        return rs_pass(err, &best); /* a set has firmware roots, so there was an attempt */
}

/*
 * Only a new list: whoever holds the key of a CA could otherwise shut out each later one by a first one at the end of
 * the numbers.  He still can up to this bound; what ends that is another CA, not another number.
 */
static int check_number(const CrlInfo *info, RsError *err) {
        if (info->number > CRL_NUMBER_MAX)
                return rs_fail(err, FORMAT, "revocation list of %s: number %llu, at most %llu is permitted",
                               info->issuer, (unsigned long long) info->number, (unsigned long long) CRL_NUMBER_MAX);
        return 0;
}

int crl_file_add(CrlFile *f, Span der, const AnchorSet *anchors, const Span *certs, uint32_t n_certs,
                 const PathRules *rules, bool *ret_changed, CrlInfo *ret, RsError *err) {
        RsError best = RS_ERROR_INIT;
        CrlInfo info;
        bool changed;

        for (uint32_t i = 0; i <= f->n_issuers + n_certs; i++) {
                RsError attempt = RS_ERROR_INIT;
                Span cert = SPAN_NULL;

                if (i > f->n_issuers)
                        cert = certs[i - f->n_issuers - 1];
                else if (i > 0)
                        cert = SPAN(f->issuers[i - 1].cert, f->issuers[i - 1].cert_size);
                if (i > 0 && cert.size == 0)
                        continue;
                if (try_domains(f, der, anchors, cert, rules, &changed, &info, &attempt) == 0) {
                        int r = changed ? check_number(&info, err) : 0;

                        if (r == 0 && changed)
                                r = keep_issuer(f, info.issuer_key, cert, err);

                        if (r < 0)
                                return r;
                        *ret_changed = changed;
                        *ret = info;
                        return 0;
                }
                if (is_final(&attempt))
                        return rs_pass(err, &attempt);
                keep_better(&best, &attempt);
        }
        return rs_pass(err, &best);
}

static int add_known(CrlFile *f, Span der, Span cert, const AnchorSet *anchors, const PathRules *rules, RsError *err) {
        RsError attempt = RS_ERROR_INIT;
        CrlInfo info;
        bool changed;

        if (!anchors)
                return 0;
        if (try_domains(f, der, anchors, cert, rules, &changed, &info, &attempt) == 0)
                return keep_issuer(f, info.issuer_key, cert, err);
        return attempt.reason == RS_REASON_NO_MEMORY ? rs_pass(err, &attempt) : 0;
}

int crl_file_copy(CrlFile *from, const AnchorSet *anchors, bool renew, CrlFile **ret, RsError *err) {
        const PathRules not_revoked = { .time_high = UINT64_MAX, .crls = from->set };
        _cleanup_(crl_file_freep) CrlFile *f = NULL;
        int r;

        r = crl_file_new(&f, err);
        for (uint32_t i = 0; r == 0 && i < crl_set_count(from->set); i++) {
                const CrlIssuer *issuer;
                CrlInfo info;

                crl_set_info(from->set, i, &info);
                issuer = find_issuer(from, info.issuer_key);
                r = add_known(f, crl_set_der(from->set, i), issuer ? SPAN(issuer->cert, issuer->cert_size) : SPAN_NULL,
                              anchors, renew ? &not_revoked : NULL, err);
        }
        if (r < 0)
                return r;
        *ret = TAKE_PTR(f);
        return 0;
}

/* -- bytes ------------------------------------------------------------------------------------------------------ */

int crl_section_parse(Span section, Span ret[CRL_COUNT_MAX], uint32_t *ret_n, RsError *err) {
        Reader r = READER(section);
        uint32_t n = reader_u32(&r);

        if (n > CRL_COUNT_MAX)
                return rs_fail(err, TOO_MUCH, "%u revocation lists, at most %u are permitted", n, CRL_COUNT_MAX);
        for (uint32_t i = 0; i < n; i++) {
                uint32_t size = reader_u32(&r);

                if (size > CRL_SIZE_MAX)
                        return rs_fail(err, TOO_MUCH, "a revocation list of %u bytes, at most %u are permitted", size,
                                       CRL_SIZE_MAX);
                ret[i] = reader_span(&r, size);
        }
        if (reader_finish(&r) < 0)
                return rs_fail(err, FORMAT, "revocation lists: lengths and bytes do not fit");
        *ret_n = n;
        return 0;
}

int crl_file_encode(CrlFile *f, Encoder *e, RsError *err) {
        uint8_t digest[SHA256_SIZE];
        size_t start = e->size;
        int r;

        encoder_bytes(e, MAGIC, MAGIC_SIZE);
        encoder_u32(e, crl_set_count(f->set));
        for (uint32_t i = 0; i < crl_set_count(f->set); i++) {
                const CrlIssuer *issuer;
                CrlInfo info;
                Span der = crl_set_der(f->set, i);

                crl_set_info(f->set, i, &info);
                issuer = find_issuer(f, info.issuer_key);
                encoder_u32(e, issuer ? (uint32_t) issuer->cert_size : 0);
                if (issuer)
                        encoder_bytes(e, issuer->cert, issuer->cert_size);
                encoder_u32(e, (uint32_t) der.size);
                encoder_span(e, der);
        }
        if (encoder_finish(e) < 0)
                return rs_fail_oom(err);
        r = digest_sha256(SPAN(e->data + start, e->size - start), digest, err);
        if (r < 0)
                return r;
        encoder_bytes(e, digest, sizeof(digest));
        return encoder_finish(e) < 0 ? rs_fail_oom(err) : 0;
}

static int parse_lists(Reader *r, const AnchorSet *anchors, CrlFile *f, RsError *err) {
        uint32_t n = reader_u32(r);
        int k = 0;

        for (uint32_t i = 0; k == 0 && i < n && i < CRL_SET_MAX && !reader_failed(r); i++) {
                Span cert = reader_span(r, reader_u32(r));
                Span der = reader_span(r, reader_u32(r));

                if (!reader_failed(r))
                        k = add_known(f, der, cert, anchors, NULL, err);
        }
        return k;
}

int crl_file_parse(Span bytes, const AnchorSet *anchors, CrlFile **ret, RsError *err) {
        _cleanup_(crl_file_freep) CrlFile *f = NULL;
        uint8_t digest[SHA256_SIZE];
        Reader reader;
        Span body;
        int r;

        if (bytes.size < MAGIC_SIZE + SHA256_SIZE || memcmp(bytes.data, MAGIC, MAGIC_SIZE) != 0)
                return 0;
        body = SPAN(bytes.data, bytes.size - SHA256_SIZE);
        r = digest_sha256(body, digest, err);
        if (r < 0)
                return r;
        if (!span_equal(SPAN_ARRAY(digest), SPAN(bytes.data + body.size, SHA256_SIZE)))
                return 0;
        r = crl_file_new(&f, err);
        if (r < 0)
                return r;
        reader = READER(SPAN(body.data + MAGIC_SIZE, body.size - MAGIC_SIZE));
        r = parse_lists(&reader, anchors, f, err);
        if (r < 0)
                return r;
        if (reader_finish(&reader) < 0)
                return 0;
        *ret = TAKE_PTR(f);
        return 1;
}
