/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * timestamp - RFC 3161, from the side of a device that does not know the time.
 *
 * OpenSSL's own TS_RESP_verify_response holds the signer's certificate against the system's clock, which is exactly
 * what must not be believed here, and knows nothing of our algorithm policy.  So the response is taken apart: its
 * status by TS_STATUS_INFO, its token by the one way all signed messages go (cms-parts.h), the content by TS_TST_INFO.
 *
 * A stamp proves something only because it answers our question: imprint and nonce are both made of 32 fresh random
 * bytes of the writer, so that a stamp of yesterday cannot be played back (T36).  What the signer says beyond the time
 * (name, policy, serial) decides nothing: the pinned anchors decide who may speak.
 *
 * Certificates may not be exchanged under a signature: the signed attribute names the signer's (RFC 5816, version 2;
 * version 1 knows only SHA-1).
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ess.h>
#include <openssl/ts.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/ossl.h>
#include <reseal/crypto/ossl-cleanup.h>
#include <reseal/pki/timestamp.h>

#include "cms-parts.h"
#include "path-parts.h"

#define NONCE_FIELD_SIZE 16
#define EKU_TIME_STAMPING "1.3.6.1.5.5.7.3.8"

OSSL_DEFINE_CLEANUP(ASN1_INTEGER, ASN1_INTEGER_free)
OSSL_DEFINE_CLEANUP(ESS_SIGNING_CERT_V2, ESS_SIGNING_CERT_V2_free)
OSSL_DEFINE_CLEANUP(TS_MSG_IMPRINT, TS_MSG_IMPRINT_free)
OSSL_DEFINE_CLEANUP(TS_REQ, TS_REQ_free)
OSSL_DEFINE_CLEANUP(TS_STATUS_INFO, TS_STATUS_INFO_free)
OSSL_DEFINE_CLEANUP(TS_TST_INFO, TS_TST_INFO_free)
OSSL_DEFINE_CLEANUP(X509_ALGOR, X509_ALGOR_free)

/* -- what the question and the answer must agree in ------------------------------------------------------------- */

static bool hash_nonce(const uint8_t nonce[32], uint8_t ret[32]) {
        size_t n = 0;

        return EVP_Q_digest(ossl_context(), "SHA256", NULL, nonce, 32, ret, &n) == 1 && n == 32;
}

static ASN1_INTEGER *nonce_integer(const uint8_t nonce[32]) {
        _cleanup_(BN_clear_freep) BIGNUM *n = BN_bin2bn(nonce, NONCE_FIELD_SIZE, NULL);

        return n ? BN_to_ASN1_INTEGER(n, NULL) : NULL;
}

static TS_MSG_IMPRINT *imprint(const uint8_t nonce[32]) {
        _cleanup_(TS_MSG_IMPRINT_freep) TS_MSG_IMPRINT *m = TS_MSG_IMPRINT_new();
        _cleanup_(X509_ALGOR_freep) X509_ALGOR *algorithm = X509_ALGOR_new();
        uint8_t digest[32];

        if (!m || !algorithm || !hash_nonce(nonce, digest) ||
            X509_ALGOR_set0(algorithm, OBJ_nid2obj(NID_sha256), V_ASN1_NULL, NULL) != 1 ||
            TS_MSG_IMPRINT_set_algo(m, algorithm) != 1 || TS_MSG_IMPRINT_set_msg(m, digest, sizeof(digest)) != 1)
                return NULL;
        return TAKE_PTR(m);
}

int timestamp_query(const uint8_t nonce[32], Encoder *ret_der, RsError *err) {
        _cleanup_(TS_REQ_freep) TS_REQ *req = TS_REQ_new();
        _cleanup_(TS_MSG_IMPRINT_freep) TS_MSG_IMPRINT *m = imprint(nonce);
        _cleanup_(ASN1_INTEGER_freep) ASN1_INTEGER *n = nonce_integer(nonce);
        unsigned char *der = NULL;
        int size;

        if (!req || !m || !n || TS_REQ_set_version(req, 1) != 1 || TS_REQ_set_msg_imprint(req, m) != 1 ||
            TS_REQ_set_nonce(req, n) != 1 || TS_REQ_set_cert_req(req, 1) != 1)
                return rs_fail_ssl(err, INTERNAL, "time-stamp: cannot make a query");
        size = i2d_TS_REQ(req, &der);
        if (size <= 0)
                return rs_fail_ssl(err, INTERNAL, "time-stamp: cannot encode a query");
        encoder_bytes(ret_der, der, (size_t) size);
        OPENSSL_free(der);
        return encoder_finish(ret_der) < 0 ? rs_fail_oom(err) : 0;
}

/* -- response --------------------------------------------------------------------------------------------------- */

/* TimeStampResp ::= SEQUENCE { status PKIStatusInfo, timeStampToken ContentInfo OPTIONAL } */
static int parse_response(Span der, Span *ret_token, RsError *err) {
        _cleanup_(TS_STATUS_INFO_freep) TS_STATUS_INFO *status = NULL;
        const unsigned char *p = der.data, *end = der.data + der.size;
        int tag, class, form;
        long n;

        if (der.size == 0 || der.size > TIMESTAMP_RESPONSE_MAX)
                return rs_fail(err, TIME_PROOF, "time-stamp: empty or larger than %u bytes", TIMESTAMP_RESPONSE_MAX);
        form = ASN1_get_object(&p, &n, &tag, &class, (long) der.size);
        if (form != V_ASN1_CONSTRUCTED || tag != V_ASN1_SEQUENCE || class != V_ASN1_UNIVERSAL || n != end - p)
                return rs_fail_ssl(err, TIME_PROOF, "time-stamp: not one response");
        status = d2i_TS_STATUS_INFO(NULL, &p, n);
        if (!status)
                return rs_fail_ssl(err, TIME_PROOF, "time-stamp: no status");
        if (ASN1_INTEGER_get(TS_STATUS_INFO_get0_status(status)) != TS_STATUS_GRANTED)
                return rs_fail(err, TIME_PROOF, "time-stamp: not granted, status %ld",
                               ASN1_INTEGER_get(TS_STATUS_INFO_get0_status(status)));
        if (p == end)
                return rs_fail(err, TIME_PROOF, "time-stamp: granted, yet no token");
        *ret_token = SPAN(p, (size_t) (end - p));
        return 0;
}

/* RFC 3161 2.3: extended key usage critical, and nothing but timeStamping.  That it is there the path has said. */
static int check_purpose(const X509 *cert, RsError *err) {
        _cleanup_(sk_EKU_freep) EXTENDED_KEY_USAGE *ekus = NULL;
        int critical = 0;

        ekus = X509_get_ext_d2i(cert, NID_ext_key_usage, &critical, NULL);
        if (!ekus || critical != 1 || sk_ASN1_OBJECT_num(ekus) != 1)
                return rs_fail_ssl(err, PURPOSE, "time-stamp: the certificate must be for time-stamps only");
        return 0;
}

/* The signed attribute names this very certificate. */
static int check_signing_certificate(const SignedMessage *m, RsError *err) {
        _cleanup_(ESS_SIGNING_CERT_V2_freep) ESS_SIGNING_CERT_V2 *named = NULL;
        OSSL_IN_CONTEXT; /* the ESS check takes none */
        STACK_OF(X509) *chain = NULL;
        const ASN1_STRING *value;
        const unsigned char *p;
        bool same = false;

        value = CMS_signed_get0_data_by_OBJ(m->info, OBJ_nid2obj(NID_id_smime_aa_signingCertificateV2), -3,
                                            V_ASN1_SEQUENCE);
        if (value) {
                p = ASN1_STRING_get0_data(value);
                named = d2i_ESS_SIGNING_CERT_V2(NULL, &p, ASN1_STRING_length(value));
        }
        if (!named)
                return rs_fail_ssl(err, TIME_PROOF, "time-stamp: the signed attributes do not name the certificate");
        /* Those named behind the first are to be found, too; where they lead to the path has judged. */
        chain = sk_X509_new_null();
        if (chain && sk_X509_push(chain, m->cert) > 0) {
                for (int i = 0; i < sk_X509_num(m->certs); i++)
                        if (sk_X509_value(m->certs, i) != m->cert)
                                (void) sk_X509_push(chain, sk_X509_value(m->certs, i));
                same = OSSL_ESS_check_signing_certs(NULL, named, chain, 1) > 0;
        }
        sk_X509_free(chain);
        if (!same)
                return rs_fail_ssl(err, TIME_PROOF, "time-stamp: signed with another certificate");
        return 0;
}

/* -- content ---------------------------------------------------------------------------------------------------- */

static int parse_info(Span content, TS_TST_INFO **ret, RsError *err) {
        _cleanup_(TS_TST_INFO_freep) TS_TST_INFO *info = NULL;
        const unsigned char *p = content.data;
        unsigned char *again = NULL;
        int size;
        bool same;

        info = d2i_TS_TST_INFO(NULL, &p, (long) content.size);
        if (!info)
                return rs_fail_ssl(err, TIME_PROOF, "time-stamp: not a TSTInfo");
        size = i2d_TS_TST_INFO(info, &again);
        same = size > 0 && span_equal(SPAN(again, (size_t) size), content);
        OPENSSL_free(again);
        if (!same)
                return rs_fail_ssl(err, TIME_PROOF, "time-stamp: not DER, or bytes behind it");

        *ret = TAKE_PTR(info);
        return 0;
}

static int check_answer(TS_TST_INFO *info, const uint8_t nonce[32], RsError *err) {
        _cleanup_(ASN1_INTEGER_freep) ASN1_INTEGER *asked = nonce_integer(nonce);
        TS_MSG_IMPRINT *m = TS_TST_INFO_get_msg_imprint(info);
        const ASN1_INTEGER *answered = TS_TST_INFO_get_nonce(info);
        const ASN1_STRING *digest = TS_MSG_IMPRINT_get_msg(m);
        uint8_t expected[32];

        if (!asked || !hash_nonce(nonce, expected))
                return rs_fail_ssl(err, INTERNAL, "time-stamp: cannot repeat the query");
        if (TS_TST_INFO_get_version(info) != 1)
                return rs_fail(err, TIME_PROOF, "time-stamp: version %ld", TS_TST_INFO_get_version(info));
        if (!answered || ASN1_INTEGER_cmp(answered, asked) != 0)
                return rs_fail(err, TIME_PROOF, "time-stamp: answers another nonce");
        if (OBJ_obj2nid(TS_MSG_IMPRINT_get_algo(m)->algorithm) != NID_sha256 ||
            !span_equal(SPAN(ASN1_STRING_get0_data(digest), (size_t) ASN1_STRING_length(digest)), SPAN_ARRAY(expected)))
                return rs_fail(err, TIME_PROOF, "time-stamp: is for another imprint");
        if (TS_TST_INFO_get_ext_by_critical(info, 1, -1) >= 0)
                return rs_fail(err, TIME_PROOF, "time-stamp: a critical extension");
        return 0;
}

/* YYYYMMDDhhmmss[.s+]Z and nothing else (RFC 3161 2.4.2); a fraction does not end in 0. */
static bool time_is_strict(Span s, bool *ret_fraction) {
        size_t n = s.size;

        if (n < 15 || s.data[n - 1] != 'Z' || (n > 15 && (s.data[14] != '.' || n < 17 || s.data[n - 2] == '0')))
                return false;
        for (size_t i = 0; i < n - 1; i++)
                if (i != 14 && !isdigit(s.data[i]))
                        return false;
        *ret_fraction = n > 15;
        return true;
}

/* Millis or micros, 1 to 999 if given; 0 if not. */
static bool get_part(const ASN1_INTEGER *part, uint64_t *ret) {
        *ret = 0;
        return !part || (ASN1_INTEGER_get_uint64(ret, part) == 1 && *ret >= 1 && *ret <= 999);
}

/* In whole seconds, rounded up, and at least one: the stamp names a second and not a moment. */
static int get_accuracy(TS_TST_INFO *info, bool fraction, uint64_t *ret, RsError *err) {
        TS_ACCURACY *accuracy = TS_TST_INFO_get_accuracy(info);
        uint64_t seconds = 0, millis = 0, micros = 0;

        if (accuracy) {
                const ASN1_INTEGER *s = TS_ACCURACY_get_seconds(accuracy);

                if ((s && ASN1_INTEGER_get_uint64(&seconds, s) != 1) || seconds > TIMESTAMP_ACCURACY_MAX ||
                    !get_part(TS_ACCURACY_get_millis(accuracy), &millis) ||
                    !get_part(TS_ACCURACY_get_micros(accuracy), &micros))
                        return rs_fail_ssl(err, TIME_PROOF, "time-stamp: its accuracy is none");
        }
        seconds += (millis > 0 || micros > 0) + fraction;
        if (seconds > TIMESTAMP_ACCURACY_MAX)
                return rs_fail(err, TIME_PROOF, "time-stamp: accurate to %llu s only", (unsigned long long) seconds);
        *ret = seconds > 0 ? seconds : 1;
        return 0;
}

static int get_time(TS_TST_INFO *info, uint64_t *ret_time, uint64_t *ret_accuracy, RsError *err) {
        const ASN1_GENERALIZEDTIME *t = TS_TST_INFO_get_time(info);
        uint64_t time;
        bool fraction;

        if (!t || !time_is_strict(SPAN(ASN1_STRING_get0_data(t), (size_t) ASN1_STRING_length(t)), &fraction) ||
            !path_seconds(t, &time) || time == 0)
                return rs_fail_ssl(err, TIME_PROOF, "time-stamp: the time in it is none");
        *ret_time = time;
        return get_accuracy(info, fraction, ret_accuracy, err);
}

/* -- both ------------------------------------------------------------------------------------------------------- */

int timestamp_verify(Span response_der, const uint8_t nonce[32], const TrustAnchors *anchors, const PathRules *rules,
                     uint64_t *ret_time, uint64_t *ret_accuracy, RsError *err) {
        _cleanup_(signed_message_done) SignedMessage m = { 0 };
        _cleanup_(TS_TST_INFO_freep) TS_TST_INFO *info = NULL;
        PathRules path = *rules;
        uint64_t time, accuracy;
        SignerInfo ignored;
        Span token;
        int r;

        r = parse_response(response_der, &token, err);
        if (r < 0)
                return r;
        path.eku_oid = EKU_TIME_STAMPING;
        path.key_agreement = path.firmware_place = false;
        r = signed_message_open(token, NID_id_smime_ct_TSTInfo, TIMESTAMP_RESPONSE_MAX, anchors, &path, &m, err);
        if (r < 0)
                return rs_context(err, "time-stamp");
        r = check_purpose(m.cert, err);
        if (r < 0)
                return r;
        r = check_signing_certificate(&m, err);
        if (r < 0)
                return r;
        r = parse_info(m.content, &info, err);
        if (r < 0)
                return r;
        r = check_answer(info, nonce, err);
        if (r < 0)
                return r;
        r = get_time(info, &time, &accuracy, err);
        if (r < 0)
                return r;
        /* And the path once more, at the time stated: nobody stamps outside the validity of the own certificate. */
        path.time_low = path.time_high = time;
        r = path_verify(m.cert, m.certs, anchors, &path, &ignored, err);
        if (r < 0)
                return rs_context(err, "time-stamp, at the time stated");

        *ret_time = time;
        *ret_accuracy = accuracy;
        return 0;
}
