/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * line - what a ceremony does, in a few lines and without its checks, so that these tests can also make
 * what no
 * ceremony would.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/x509.h>

#include <reseal/crypto/digest.h>
#include <reseal/crypto/ossl-cleanup.h>
#include <reseal/tpm/policy.h>

#include "line.h"

static void make_key(LineKey *k) {
        RsError err = RS_ERROR_INIT;
        uint8_t *p = k->spki;
        X509 *cert = X509_new();
        int size;

        k->key = EVP_EC_gen("prime256v1");
        assert_non_null(k->key);
        size = i2d_PUBKEY(k->key, NULL);
        assert_true(size > 0 && (size_t) size <= sizeof(k->spki));
        k->spki_size = (size_t) i2d_PUBKEY(k->key, &p);
        assert_int_equal(digest_sha256(SPAN(k->spki, k->spki_size), k->spki_sha256, &err), 0);
        assert_int_equal(tpm_point_of_spki(SPAN(k->spki, k->spki_size), k->point, &err), 0);

        assert_non_null(cert);
        assert_int_equal(X509_set_version(cert, 2), 1);
        assert_int_equal(X509_set_pubkey(cert, k->key), 1);
        assert_non_null(X509_gmtime_adj(X509_getm_notBefore(cert), 0));
        assert_non_null(X509_gmtime_adj(X509_getm_notAfter(cert), 3600));
        assert_true(X509_sign(cert, k->key, EVP_sha256()) > 0);
        size = i2d_X509(cert, NULL);
        assert_true(size > 0 && (size_t) size <= sizeof(k->certificate));
        p = k->certificate;
        k->certificate_size = (size_t) i2d_X509(cert, &p);
        X509_free(cert);
}

void line_make(Line *l) {
        RsError err = RS_ERROR_INIT;

        *l = (Line){ 0 };
        make_key(&l->authority);
        make_key(&l->other_authority);
        for (unsigned i = 0; i < 3; i++) {
                make_key(&l->recovery[i]);
                memcpy(l->points[i], l->recovery[i].point, RS_POINT_SIZE);
        }
        for (unsigned i = 0; i < LINE_SIGNERS; i++)
                make_key(&l->signers[i]);
        assert_int_equal(tpm_policy_chain_names((const uint8_t(*)[RS_POINT_SIZE]) l->points, l->unwritten,
                                                l->written, &err),
                         0);
}

void line_done(Line *l) {
        EVP_PKEY_free(l->authority.key);
        EVP_PKEY_free(l->other_authority.key);
        for (unsigned i = 0; i < 3; i++)
                EVP_PKEY_free(l->recovery[i].key);
        for (unsigned i = 0; i < LINE_SIGNERS; i++)
                EVP_PKEY_free(l->signers[i].key);
}

size_t line_sign(const LineKey *key, Span message, uint8_t ret[80]) {
        EVP_MD_CTX *c = EVP_MD_CTX_new();
        size_t size = 80;

        assert_non_null(c);
        assert_int_equal(EVP_DigestSignInit(c, NULL, EVP_sha256(), NULL, key->key), 1);
        assert_int_equal(EVP_DigestSign(c, ret, &size, message.data, message.size), 1);
        EVP_MD_CTX_free(c);
        return size;
}

ChainRecord line_record(const Line *l, const char *name, uint64_t index, unsigned signer) {
        ChainRecord r = { .epoch = 1, .index = index };
        RsError err = RS_ERROR_INIT;
        uint8_t digest[32];

        assert_int_equal(digest_sha256(SPAN(name, strlen(name)), digest, &err), 0);
        memcpy(r.line_tag, digest, 16);
        memcpy(r.signer_spki, l->signers[signer].spki_sha256, 32);
        memset(r.manifest_digest, (int) index, 32);
        memset(r.log_head, 0x10 + (int) index, 32);
        return r;
}

static void start(LinkKind kind, const ChainRecord *record, const uint8_t name[34], MadeLink *ret) {
        *ret = (MadeLink){ .link.kind = kind, .link.record = *record };
        chain_record_encode(record, ret->link.record_bytes);
        memcpy(ret->link.chain_name, name, 34);
}

static void endorse(const LineKey *key, MadeLink *l) {
        RsError err = RS_ERROR_INIT;
        uint8_t message[36] = { 0 };
        size_t size;

        assert_int_equal(tpm_policy_cp_hash(l->link.record_bytes, l->link.chain_name, message + 4, &err), 0);
        size = line_sign(key, SPAN_ARRAY(message), l->endorsement);
        l->link.endorser = SPAN(key->spki, key->spki_size);
        l->link.endorsement = SPAN(l->endorsement, size);
}

static size_t approve(const LineKey *key, const uint8_t policy[32], const char *policy_ref, uint8_t ret[80]) {
        uint8_t message[64];
        size_t n = strlen(policy_ref);

        memcpy(message, policy, 32);
        memcpy(message + 32, policy_ref, n);
        return line_sign(key, SPAN(message, 32 + n), ret);
}

void line_approve_as(const LineKey *authority, MadeLink *l, const uint8_t policy[32],
                     const char *policy_ref) {
        size_t size = approve(authority, policy, policy_ref, l->approval);

        l->link.approval = SPAN(l->approval, size);
        if (strcmp(policy_ref, "reseal-link") == 0)
                l->link.authority = SPAN(authority->certificate, authority->certificate_size);
}

void line_genesis(const Line *l, const ChainRecord *record, MadeLink *ret) {
        RsError err = RS_ERROR_INIT;
        uint8_t policy[32];

        start(LINK_GENESIS, record, l->unwritten, ret);
        assert_int_equal(tpm_policy_genesis(ret->link.record_bytes, l->unwritten, policy, &err), 0);
        line_approve_as(&l->authority, ret, policy, "reseal-link");
}

void line_link(const Line *l, const ChainRecord *record, unsigned previous_signer, MadeLink *ret) {
        const LineKey *previous = &l->signers[previous_signer];
        RsError err = RS_ERROR_INIT;
        uint8_t policy[32];

        start(LINK_NEXT, record, l->written, ret);
        endorse(previous, ret);
        assert_int_equal(tpm_policy_link(previous->point, previous->spki_sha256, l->written, policy, &err),
                         0);
        line_approve_as(&l->authority, ret, policy, "reseal-link");
}

void line_bridge(const Line *l, const ChainRecord *record, unsigned approves, unsigned endorses,
                 MadeLink *ret) {
        ChainRecord bridged = *record;
        RsError err = RS_ERROR_INIT;
        uint8_t policy[32];

        bridged.flags = 1;
        start(LINK_BRIDGE, &bridged, l->written, ret);
        endorse(&l->recovery[endorses], ret);
        assert_int_equal(tpm_policy_bridge(ret->link.record_bytes, l->written, policy, &err), 0);
        line_approve_as(&l->recovery[approves], ret, policy, "reseal-bridge");
        ret->link.authority = SPAN(l->authority.certificate, l->authority.certificate_size);
        ret->link.endorser2 = SPAN(l->recovery[approves].spki, l->recovery[approves].spki_size);
}

void line_replace(const Line *l, const LineKey *before, const LineKey *after, unsigned approves,
                  unsigned endorses, MadeChange *ret) {
        const uint8_t(*recovery)[RS_POINT_SIZE] = (const uint8_t(*)[RS_POINT_SIZE]) l->points;
        uint8_t message[36] = { 0 }, policy[32];
        RsError err = RS_ERROR_INIT;
        AuthorityChange *c = &ret->change;

        *ret = (MadeChange){ 0 };
        assert_int_equal(tpm_policy_authpol(before->point, recovery, c->before, &err), 0);
        assert_int_equal(tpm_policy_authpol(after->point, recovery, c->after, &err), 0);
        assert_int_equal(tpm_policy_replace(c->before, c->after, recovery, message + 4, policy, &err), 0);
        c->authority = SPAN(after->certificate, after->certificate_size);
        c->endorser = SPAN(l->recovery[endorses].spki, l->recovery[endorses].spki_size);
        c->approver = SPAN(l->recovery[approves].spki, l->recovery[approves].spki_size);
        c->endorsement = SPAN(ret->endorsement,
                              line_sign(&l->recovery[endorses], SPAN_ARRAY(message), ret->endorsement));
        c->approval = SPAN(ret->approval,
                           approve(&l->recovery[approves], policy, "reseal-bridge", ret->approval));
}
