/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * authority-maker - nothing in an order but the two certificates' keys and the recovery keys decides what is signed.
 *
 * The policies are computed again at every step: a draft that says one thing and carries another is refused before a
 * recovery key is asked for, as the TPM's side refuses it later (F24).
 */
#include <string.h>

#include <openssl/x509.h>

#include <reseal/crypto/ossl-cleanup.h>
#include <reseal/crypto/ossl-read.h>
#include <reseal/pki/signature.h>
#include <reseal/tpm/policy.h>

#include "authority-maker.h"

#define APPROVAL_SUFFIX "reseal-bridge"

static int point_of(X509 *cert, uint8_t ret[RS_POINT_SIZE], RsError *err) {
        _cleanup_(encoder_done) Encoder spki = ENCODER_INIT;
        uint8_t digest[32];
        EVP_PKEY *key = X509_get0_pubkey(cert);
        int r;

        if (!key)
                return rs_fail_ssl(err, CERTIFICATE, "an authority's certificate has no key that can be read");
        r = signature_spki(key, &spki, digest, err);
        return r < 0 ? r : signature_point(encoder_view(&spki), ret, err);
}

static int place_of(Span spki, RecoveryPoints recovery, const char *whose, unsigned *ret, RsError *err) {
        uint8_t point[RS_POINT_SIZE];
        int r = signature_point(spki, point, err);

        if (r < 0)
                return r;
        for (unsigned i = 0; i < 3; i++)
                if (memcmp(point, recovery[i], sizeof(point)) == 0) {
                        *ret = i;
                        return 0;
                }
        return rs_fail(err, CHAIN, "%s is not a recovery key of the line", whose);
}

static int check_pair(Span approver, Span endorser, RecoveryPoints recovery, RsError *err) {
        unsigned first = 0, second = 0;
        int r = place_of(approver, recovery, "the approver", &first, err);

        if (r == 0)
                r = place_of(endorser, recovery, "the endorser", &second, err);
        if (r < 0)
                return r;
        return first < second ? 0 : rs_fail(err, CHAIN, "the approver must be the earlier one of the two recovery keys");
}

int authority_make_check(const AuthorityChange *order, RecoveryPoints recovery, RsError *err) {
        const unsigned char *p = order->authority.data;
        _cleanup_(X509_freep) X509 *cert = ossl_d2i_x509(&p, (long) order->authority.size);
        uint8_t point[RS_POINT_SIZE], after[AUTHORITY_POLICY_SIZE];
        int r;

        if (!cert || p != order->authority.data + order->authority.size)
                return rs_fail_ssl(err, CERTIFICATE, "the order's certificate is damaged");
        r = point_of(cert, point, err);
        if (r == 0)
                r = tpm_policy_authpol(point, recovery, after, err);
        if (r < 0)
                return r;
        if (memcmp(after, order->after, sizeof(after)) != 0)
                return rs_fail(err, CHAIN, "the order is not for its certificate and these recovery keys");
        return check_pair(order->approver, order->endorser, recovery, err);
}

int authority_make_draft(X509 *before, X509 *after, RecoveryPoints recovery, Span approver, Span endorser, Encoder *ret,
                         RsError *err) {
        AuthorityChange order = { .approver = approver, .endorser = endorser };
        uint8_t point[RS_POINT_SIZE];
        unsigned char *der = NULL;
        int r, size;

        r = point_of(before, point, err);
        if (r == 0)
                r = tpm_policy_authpol(point, recovery, order.before, err);
        if (r == 0)
                r = point_of(after, point, err);
        if (r == 0)
                r = tpm_policy_authpol(point, recovery, order.after, err);
        if (r < 0)
                return r;
        if (memcmp(order.before, order.after, sizeof(order.before)) == 0)
                return rs_fail(err, CHAIN, "both certificates have the same key: there is nothing to replace");
        size = i2d_X509(after, &der);
        if (size < 0)
                return rs_fail_ssl(err, CERTIFICATE, "the new authority's certificate");
        order.authority = SPAN(der, (size_t) size);
        r = authority_make_check(&order, recovery, err);
        if (r == 0)
                r = authority_change_encode(&order, ret, err);
        OPENSSL_free(der);
        return r;
}

static int begin(Span draft, RecoveryPoints recovery, AuthorityChange *ret, uint8_t cp_hash[32], uint8_t policy[32],
                 RsError *err) {
        int r = authority_change_parse(draft, ret, err);

        if (r == 0)
                r = authority_make_check(ret, recovery, err);
        return r < 0 ? r : tpm_policy_replace(ret->before, ret->after, recovery, cp_hash, policy, err);
}

static int check_key(EVP_PKEY *key, Span spki, const char *whose, RsError *err) {
        _cleanup_(encoder_done) Encoder own = ENCODER_INIT;
        uint8_t digest[32];
        int r = signature_spki(key, &own, digest, err);

        if (r < 0)
                return r;
        return span_equal(encoder_view(&own), spki) ? 0 : rs_fail(err, CHAIN, "the key is not %s's", whose);
}

int authority_make_endorse(Span draft, RecoveryPoints recovery, EVP_PKEY *key, Encoder *ret, RsError *err) {
        _cleanup_(encoder_done) Encoder signature = ENCODER_INIT;
        uint8_t message[4 + 32] = { 0 }, policy[32];
        AuthorityChange order;
        int r = begin(draft, recovery, &order, message + 4, policy, err);

        if (r == 0)
                r = check_key(key, order.endorser, "the endorser", err);
        if (r == 0)
                r = signature_sign(key, SPAN_ARRAY(message), &signature, err);
        if (r < 0)
                return r;
        order.endorsement = encoder_view(&signature);
        return authority_change_encode(&order, ret, err);
}

int authority_make_approve(Span draft, RecoveryPoints recovery, EVP_PKEY *key, Encoder *ret, RsError *err) {
        _cleanup_(encoder_done) Encoder signature = ENCODER_INIT, message = ENCODER_INIT;
        uint8_t cp_hash[32], policy[32];
        AuthorityChange order;
        int r = begin(draft, recovery, &order, cp_hash, policy, err);

        if (r == 0)
                r = check_key(key, order.approver, "the approver", err);
        if (r < 0)
                return r;
        encoder_bytes(&message, policy, sizeof(policy));
        encoder_bytes(&message, APPROVAL_SUFFIX, strlen(APPROVAL_SUFFIX));
        r = encoder_finish(&message) < 0 ? rs_fail_oom(err)
                                         : signature_sign(key, encoder_view(&message), &signature, err);
        if (r < 0)
                return r;
        order.approval = encoder_view(&signature);
        return authority_change_encode(&order, ret, err);
}
