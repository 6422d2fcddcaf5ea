/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * path - certificate paths to a pinned root.
 *
 * OpenSSL builds and checks the path (RFC 5280, with the strict flag); this file adds what a profile of ours demands
 * and what OpenSSL 3.0 cannot say:
 *
 *   - Trust comes from the anchors of the caller alone.  The store is made empty, never with default paths, and a
 *     certificate that travels with a message is only ever an untrusted link.
 *   - Algorithms are one table of data (algorithm.c).
 *   - Purpose is an OID of our arc that OpenSSL has no name for; `anyExtendedKeyUsage` does not stand for it.
 *   - Time is an interval (PathRules).  Expiry is judged by OpenSSL at time_low, the earliest moment it may be.  A
 *     certificate that begins after time_low is no error yet: the callback holds its begin against time_high.
 *     X509_V_FLAG_NO_CHECK_TIME is never set; with time_low 0 the same code runs against 1970.
 *
 * The callback forgives that one error, and one more: an unknown critical extension, if it is the leaf's place in the
 * signer chain and the caller asked for a leaf that has one.  OpenSSL says only "some critical extension is unknown", so
 * the callback looks at every critical one itself: each must be known to OpenSSL or be the place, and the place must be
 * there once, critical and strict DER (firmware.c).  X509_V_FLAG_IGNORE_CRITICAL, which forgives whatever stands beside
 * it, is never set.
 *
 * Revocation lists are asked by issuer key and serial after the path is good (crl.c), not by OpenSSL: its CRL check
 * wants a fresh list for every issuer at the system's time, and a gateway may have neither.
 *
 * Order: our cheap checks of the leaf come after the path, so that nothing of an unsigned certificate decides what an
 * operator reads, except that a path which cannot be built says so first.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/base/ossl.h>
#include <reseal/base/text.h>
#include <reseal/crypto/ossl-cleanup.h>
#include <reseal/crypto/ossl-read.h>
#include <reseal/format/limits.h>
#include <reseal/pki/cms.h>
#include <reseal/pki/crl.h>
#include <reseal/pki/firmware.h>
#include <reseal/pki/path.h>
#include <reseal/pki/signature.h>

#include "algorithm.h"
#include "path-parts.h"

struct TrustAnchors {
        X509_STORE *store;
};

/* -- anchors ---------------------------------------------------------------------------------------------------- */

static int add_anchor(X509_STORE *store, X509 *cert, RsError *err) {
        int r;

        if (X509_check_ca(cert) != 1 || !(X509_get_extension_flags(cert) & EXFLAG_SS))
                return rs_fail(err, CONFIG, "an anchor is not a self-signed CA certificate");
        r = algorithm_check(cert, PLACE_ANCHOR, err);
        if (r < 0)
                return r;
        if (X509_STORE_add_cert(store, cert) != 1)
                return rs_fail_ssl(err, INTERNAL, "cannot add an anchor");
        return 0;
}

static int add_anchors(BIO *pem, X509_STORE *store, RsError *err) {
        unsigned n = 0;
        int r;

        for (;;) {
                _cleanup_(X509_freep) X509 *cert = ossl_pem_x509(pem);

                if (!cert)
                        break;
                r = add_anchor(store, cert, err);
                if (r < 0)
                        return r;
                n++;
        }
        /* The end of the text looks like this; a damaged certificate does not and must not end the list. */
        if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
                return rs_fail_ssl(err, CONFIG, "anchors: damaged PEM");
        ERR_clear_error();
        if (n == 0)
                return rs_fail(err, CONFIG, "anchors: no certificate");
        return 0;
}

int anchors_none(TrustAnchors **ret, RsError *err) {
        _cleanup_(anchors_freep) TrustAnchors *a = calloc(1, sizeof(*a));

        if (!a)
                return rs_fail_oom(err);
        a->store = X509_STORE_new();
        if (!a->store)
                return rs_fail_oom(err);
        *ret = TAKE_PTR(a);
        return 0;
}

int anchors_parse(Span pem, TrustAnchors **ret, RsError *err) {
        _cleanup_(anchors_freep) TrustAnchors *a = NULL;
        _cleanup_(BIO_free_allp) BIO *bio = NULL;
        int r;

        if (pem.size == 0 || pem.size > RS_CERT_FILE_MAX)
                return rs_fail(err, CONFIG, "anchors: empty or larger than %u bytes", RS_CERT_FILE_MAX);
        bio = BIO_new_mem_buf(pem.data, (int) pem.size);
        if (!bio)
                return rs_fail_oom(err);
        r = anchors_none(&a, err);
        if (r < 0)
                return r;
        ERR_clear_error();
        r = add_anchors(bio, a->store, err);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(a);
        return 0;
}

int anchors_load(const char *path, TrustAnchors **ret, RsError *err) {
        _cleanup_(freep) uint8_t *data = NULL;
        size_t size;
        int r;

        r = file_read(AT_FDCWD, path, RS_CERT_FILE_MAX, &data, &size, err);
        if (r < 0)
                return r;
        if (r == 0)
                return rs_fail(err, CONFIG, "%s: no such file", path);
        r = anchors_parse(SPAN(data, size), ret, err);
        if (r < 0)
                return rs_context(err, "%s", path);
        return 0;
}

TrustAnchors *anchors_free(TrustAnchors *a) {
        if (!a)
                return NULL;
        X509_STORE_free(a->store);
        free(a);
        return NULL;
}

X509_STORE *anchors_store(const TrustAnchors *a) {
        return a->store;
}

/* The store keeps a certificate that is added twice once. */
uint32_t anchors_count(const TrustAnchors *a) {
        return (uint32_t) sk_X509_OBJECT_num(X509_STORE_get0_objects(a->store));
}

/* -- time ------------------------------------------------------------------------------------------------------- */

/* 0 for what lies before 1970: nothing that old can matter, and it compares as it should. */
bool path_seconds(const ASN1_TIME *t, uint64_t *ret) {
        struct tm tm = { 0 };
        time_t seconds;

        if (ASN1_TIME_to_tm(t, &tm) != 1)
                return false;
        seconds = timegm(&tm);
        *ret = seconds > 0 ? (uint64_t) seconds : 0;
        return true;
}

/* -- the callback ----------------------------------------------------------------------------------------------- */

/* OpenSSL asks at time_low; whether a certificate has begun is a question to time_high. */
static bool may_have_begun(const X509 *cert, const PathRules *rules) {
        uint64_t begin;

        return path_seconds(X509_get0_notBefore(cert), &begin) && begin <= rules->time_high;
}

/* Every critical extension of the leaf is one that OpenSSL checks, or the place in the chain, well-formed. */
static bool only_place_is_unknown(X509 *leaf) {
        RsError ignored = RS_ERROR_INIT;
        FirmwarePlace place;

        for (int i = 0; i < X509_get_ext_count(leaf); i++) {
                X509_EXTENSION *e = X509_get_ext(leaf, i);

                if (X509_EXTENSION_get_critical(e) && !X509_supported_extension(e) && !firmware_place_is(e))
                        return false;
        }
        return firmware_place_get(leaf, &place, &ignored) == 0;
}

static int on_path_error(int ok, X509_STORE_CTX *ctx) {
        const PathRules *rules = X509_STORE_CTX_get_app_data(ctx);
        X509 *cert = X509_STORE_CTX_get_current_cert(ctx);
        bool forgiven = false;

        if (ok || !cert)
                return ok;
        if (X509_STORE_CTX_get_error(ctx) == X509_V_ERR_CERT_NOT_YET_VALID)
                forgiven = may_have_begun(cert, rules);
        else if (X509_STORE_CTX_get_error(ctx) == X509_V_ERR_UNHANDLED_CRITICAL_EXTENSION)
                forgiven = rules->firmware_place && X509_STORE_CTX_get_error_depth(ctx) == 0 &&
                           only_place_is_unknown(cert);
        if (forgiven)
                X509_STORE_CTX_set_error(ctx, X509_V_OK);
        return forgiven;
}

/* -- path ------------------------------------------------------------------------------------------------------- */

static int fail_path(X509_STORE_CTX *ctx, RsError *err) {
        int error = X509_STORE_CTX_get_error(ctx), depth = X509_STORE_CTX_get_error_depth(ctx);
        const char *text = X509_verify_cert_error_string(error);

        ERR_clear_error(); /* what is in the queue says less than the verify error */
        switch (error) {
        case X509_V_ERR_CERT_HAS_EXPIRED:
        case X509_V_ERR_CERT_NOT_YET_VALID:
                return rs_fail(err, EXPIRED, "certificate path, depth %d: %s", depth, text);
        case X509_V_ERR_EE_KEY_TOO_SMALL:
        case X509_V_ERR_CA_KEY_TOO_SMALL:
        case X509_V_ERR_CA_MD_TOO_WEAK:
        case X509_V_ERR_EC_KEY_EXPLICIT_PARAMS:
        case X509_V_ERR_SIGNATURE_ALGORITHM_MISMATCH:
        case X509_V_ERR_SIGNATURE_ALGORITHM_INCONSISTENCY:
        case X509_V_ERR_UNSUPPORTED_SIGNATURE_ALGORITHM:
                return rs_fail(err, ALGORITHM, "certificate path, depth %d: %s", depth, text);
        default:
                return rs_fail(err, CERTIFICATE, "certificate path, depth %d: %s", depth, text);
        }
}

/* 1 = the OID is listed, 0 = there are no extended key usages, < 0 = they are damaged or do not list it. */
static int find_eku(const X509 *cert, const ASN1_OBJECT *wanted) {
        _cleanup_(sk_EKU_freep) EXTENDED_KEY_USAGE *ekus = NULL;
        int critical;

        ekus = X509_get_ext_d2i(cert, NID_ext_key_usage, &critical, NULL);
        if (!ekus)
                return critical == -1 ? 0 : -EKEYREJECTED; /* -1: not there; -2: twice; else: not parsed */
        for (int i = 0; i < sk_ASN1_OBJECT_num(ekus); i++)
                if (OBJ_cmp(sk_ASN1_OBJECT_value(ekus, i), wanted) == 0)
                        return 1;
        return -EKEYREJECTED;
}

static int check_leaf(X509 *leaf, const PathRules *rules, const ASN1_OBJECT *eku, RsError *err) {
        uint32_t flags = X509_get_extension_flags(leaf), usage = X509_get_key_usage(leaf);
        uint32_t needed = rules->key_agreement ? KU_KEY_AGREEMENT : KU_DIGITAL_SIGNATURE;

        if (flags & EXFLAG_CA)
                return rs_fail(err, PURPOSE, "end certificate is a CA certificate");
        /* X509_get_key_usage answers "all" when the extension is absent: absence grants nothing here. */
        if (!(flags & EXFLAG_KUSAGE) || !(usage & needed) || (usage & (KU_KEY_CERT_SIGN | KU_CRL_SIGN)))
                return rs_fail(err, PURPOSE, "end certificate: its key usage is not %s",
                               rules->key_agreement ? "keyAgreement" : "digitalSignature");
        if (find_eku(leaf, eku) != 1)
                return rs_fail(err, PURPOSE, "end certificate lacks extended key usage %s", rules->eku_oid);
        return algorithm_check(leaf, PLACE_LEAF, err);
}

static int check_intermediate(X509 *cert, const PathRules *rules, const ASN1_OBJECT *eku, RsError *err) {
        if (X509_check_ca(cert) != 1 || !(X509_get_extension_flags(cert) & EXFLAG_KUSAGE) ||
            !(X509_get_key_usage(cert) & KU_KEY_CERT_SIGN))
                return rs_fail(err, PURPOSE, "an intermediate may not sign certificates");
        if (eku && find_eku(cert, eku) < 0)
                return rs_fail(err, PURPOSE, "an intermediate may not issue for %s", rules->eku_oid);
        return algorithm_check(cert, PLACE_CA, err);
}

/* The chain's keys are what the TPM can check: P-256 of the one spelling (signature.c). */
static int check_p256(X509 *cert, const char *who, RsError *err) {
        unsigned char *der = NULL;
        uint8_t point[65];
        int size, r;

        size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
        if (size <= 0)
                return rs_fail_ssl(err, CERTIFICATE, "cannot encode the public key");
        r = signature_point(SPAN(der, (size_t) size), point, err);
        OPENSSL_free(der);
        return r < 0 ? rs_context(err, "%s", who) : 0;
}

/* docs/format-chain.md section 1: in the leaf if the caller asked for it, and nowhere else, critical or not. */
static int check_place(STACK_OF(X509) *chain, const PathRules *rules, RsError *err) {
        FirmwarePlace place;
        int r;

        for (int i = rules->firmware_place ? 1 : 0; i < sk_X509_num(chain); i++)
                if (firmware_place_present(sk_X509_value(chain, i)))
                        return rs_fail(err, CERTIFICATE, "certificate path, depth %d: has a place in a signer chain", i);
        if (!rules->firmware_place)
                return 0;
        r = firmware_place_get(sk_X509_value(chain, 0), &place, err);
        if (r < 0)
                return r;
        r = check_p256(sk_X509_value(chain, 0), "signer", err);
        if (r < 0)
                return r;
        return check_p256(sk_X509_value(chain, 1), "authority", err);
}

/* All but the anchor: that one leaves with the trust set, not by a list of its own. */
static int check_revoked(STACK_OF(X509) *chain, const CrlSet *crls, RsError *err) {
        for (int i = 0; i < sk_X509_num(chain) - 1; i++) {
                uint8_t issuer_key[32];
                int r;

                r = path_spki_sha256(sk_X509_value(chain, i + 1), issuer_key, err);
                if (r < 0)
                        return r;
                r = crl_set_check(crls, sk_X509_value(chain, i), issuer_key, err);
                if (r < 0)
                        return rs_context(err, "certificate path, depth %d", i);
        }
        return 0;
}

static int check_chain(X509_STORE_CTX *ctx, const PathRules *rules, const ASN1_OBJECT *eku, RsError *err) {
        STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(ctx);
        int n = sk_X509_num(chain), r;

        if (n < 2) /* an anchor cannot be its own end certificate */
                return rs_fail(err, PURPOSE, "end certificate is the root itself");
        r = check_leaf(sk_X509_value(chain, 0), rules, eku, err);
        for (int i = 1; r >= 0 && i < n - 1; i++)
                r = check_intermediate(sk_X509_value(chain, i), rules, eku, err);
        if (r < 0)
                return r;
        if (rules->issuer) /* proven before, by a path that ended at an anchor */
                r = check_intermediate(sk_X509_value(chain, n - 1), rules, eku, err);
        else
                r = algorithm_check(sk_X509_value(chain, n - 1), PLACE_ANCHOR, err);
        if (r < 0)
                return r;
        r = check_place(chain, rules, err);
        if (r < 0)
                return r;
        return rules->crls ? check_revoked(chain, rules->crls, err) : 0;
}

int path_spki_sha256(X509 *cert, uint8_t ret[32], RsError *err) {
        unsigned char *der = NULL;
        size_t n = 0;
        int size, ok;

        size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
        if (size <= 0)
                return rs_fail_ssl(err, CERTIFICATE, "cannot encode the public key");
        ok = EVP_Q_digest(ossl_context(), "SHA256", NULL, der, (size_t) size, ret, &n);
        OPENSSL_free(der);
        if (ok != 1 || n != 32)
                return rs_fail_ssl(err, INTERNAL, "SHA-256 failed");
        return 0;
}

int path_name_text(const X509_NAME *name, char *ret, size_t size, RsError *err) {
        _cleanup_(BIO_free_allp) BIO *bio = BIO_new(BIO_s_mem());
        char *text;
        long n;

        if (!bio)
                return rs_fail_oom(err);
        if (X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) < 0)
                return rs_fail_ssl(err, CERTIFICATE, "cannot print a name");
        n = BIO_get_mem_data(bio, &text);
        (void) text_printable(SPAN(text, n > 0 ? (size_t) n : 0), ret, size);
        return 0;
}

static int describe(X509 *leaf, SignerInfo *ret, RsError *err) {
        SignerInfo info = { 0 };
        int r;

        r = path_name_text(X509_get_subject_name(leaf), info.subject, sizeof(info.subject), err);
        if (r < 0)
                return r;
        r = path_spki_sha256(leaf, info.spki_sha256, err);
        if (r < 0)
                return r;
        if (!path_seconds(X509_get0_notBefore(leaf), &info.not_before) ||
            !path_seconds(X509_get0_notAfter(leaf), &info.not_after))
                return rs_fail_ssl(err, CERTIFICATE, "the validity period cannot be read");
        *ret = info;
        return 0;
}

int certificate_describe(const char *path, SignerInfo *ret, RsError *err) {
        _cleanup_(sk_X509_freep) STACK_OF(X509) *certs = NULL;
        int r = certs_load(path, &certs, err);

        return r < 0 ? r : describe(sk_X509_value(certs, 0), ret, err);
}

static int prepare(X509_STORE_CTX *ctx, X509 *leaf, STACK_OF(X509) *extra, const TrustAnchors *anchors,
                   const PathRules *rules, RsError *err) {
        X509_VERIFY_PARAM *param;

        if (X509_STORE_CTX_init(ctx, anchors->store, leaf, extra) != 1)
                return rs_fail_ssl(err, INTERNAL, "X509_STORE_CTX_init");
        param = X509_STORE_CTX_get0_param(ctx);
        if (X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_X509_STRICT) != 1)
                return rs_fail_ssl(err, INTERNAL, "X509_VERIFY_PARAM_set_flags");
        X509_VERIFY_PARAM_set_time(param, (time_t) rules->time_low);
        X509_VERIFY_PARAM_set_depth(param, (int) RS_CERT_CHAIN_MAX - 2); /* leaf and root are not counted */
        X509_STORE_CTX_set_app_data(ctx, (void *) rules);
        X509_STORE_CTX_set_verify_cb(ctx, on_path_error);
        return 0;
}

/* The only trusted certificate is then this one, and the path is it and the leaf. */
static int end_at_issuer(X509_STORE_CTX *ctx, STACK_OF(X509) *trusted, X509 *issuer, RsError *err) {
        X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);

        if (!trusted || sk_X509_push(trusted, issuer) <= 0)
                return rs_fail_oom(err);
        if (X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN) != 1)
                return rs_fail_ssl(err, INTERNAL, "X509_VERIFY_PARAM_set_flags");
        X509_VERIFY_PARAM_set_depth(param, 0);
        X509_STORE_CTX_set0_trusted_stack(ctx, trusted);
        return 0;
}

static void borrowed_freep(STACK_OF(X509) **p) {
        sk_X509_free(*p);
}

static int describe_issuers(STACK_OF(X509) *chain, SignerInfo *ret, RsError *err) {
        ret->n_issuers = 0;
        for (int i = 1; i < sk_X509_num(chain) && ret->n_issuers < ELEMENTSOF(ret->issuers); i++) {
                X509 *cert = sk_X509_value(chain, i);
                int r;

                r = path_name_text(X509_get_subject_name(cert), ret->issuers[ret->n_issuers].name,
                                   sizeof(ret->issuers[0].name), err);
                if (r == 0)
                        r = path_spki_sha256(cert, ret->issuers[ret->n_issuers].key, err);
                if (r < 0)
                        return r;
                ret->n_issuers++;
        }
        return 0;
}

int path_verify(X509 *leaf, STACK_OF(X509) *extra, const TrustAnchors *anchors, const PathRules *rules,
                SignerInfo *ret_signer, RsError *err) {
        _cleanup_(borrowed_freep) STACK_OF(X509) *trusted = rules->issuer ? sk_X509_new_null() : NULL;
        _cleanup_(X509_STORE_CTX_freep) X509_STORE_CTX *ctx = NULL; /* goes before the stack it looks into */
        _cleanup_(ASN1_OBJECT_freep) ASN1_OBJECT *eku = NULL;
        int r;

        if (rules->time_low > rules->time_high || rules->time_low > INT64_MAX)
                return rs_fail(err, INVALID, "the time interval is empty");
        eku = rules->eku_oid ? OBJ_txt2obj(rules->eku_oid, 1) : NULL;
        if (!eku)
                return rs_fail_ssl(err, INVALID, "no purpose to check the certificate for");
        /* Each candidate costs a signature check: a message full of look-alike issuers is not worth one. */
        if (extra && sk_X509_num(extra) > (int) RS_CERT_CHAIN_MAX)
                return rs_fail(err, CERTIFICATE, "more than %u certificates", RS_CERT_CHAIN_MAX);

        ctx = X509_STORE_CTX_new_ex(ossl_context(), NULL);
        if (!ctx)
                return rs_fail_oom(err);
        r = prepare(ctx, leaf, extra, anchors, rules, err);
        if (r == 0 && rules->issuer)
                r = end_at_issuer(ctx, trusted, rules->issuer, err);
        if (r < 0)
                return r;
        if (X509_verify_cert(ctx) != 1)
                return fail_path(ctx, err);
        r = check_chain(ctx, rules, eku, err);
        if (r < 0)
                return r;
        r = describe(leaf, ret_signer, err);
        return r < 0 ? r : describe_issuers(X509_STORE_CTX_get0_chain(ctx), ret_signer, err);
}

bool anchors_have_key(const TrustAnchors *a, const uint8_t spki_sha256[32]) {
        STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(a->store);

        for (int i = 0; i < sk_X509_OBJECT_num(objects); i++) {
                X509 *anchor = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, i));
                RsError unused = RS_ERROR_INIT;
                uint8_t key[32];

                if (anchor && path_spki_sha256(anchor, key, &unused) == 0 && memcmp(key, spki_sha256, sizeof(key)) == 0)
                        return true;
        }
        return false;
}

bool anchors_include(const TrustAnchors *a, const TrustAnchors *part) {
        STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(part->store);

        for (int i = 0; i < sk_X509_OBJECT_num(objects); i++) {
                X509 *anchor = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, i));
                RsError unused = RS_ERROR_INIT;
                uint8_t key[32];

                if (anchor && (path_spki_sha256(anchor, key, &unused) < 0 || !anchors_have_key(a, key)))
                        return false;
        }
        return true;
}

/* -- issuers of revocation lists -------------------------------------------------------------------------------- */

bool path_is_anchor(const X509 *cert, const TrustAnchors *anchors) {
        STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(anchors->store);

        for (int i = 0; i < sk_X509_OBJECT_num(objects); i++) {
                const X509 *anchor = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, i));

                if (anchor && X509_cmp(anchor, cert) == 0)
                        return true;
        }
        return false;
}

int path_verify_ca(X509 *cert, STACK_OF(X509) *extra, const TrustAnchors *anchors, const PathRules *rules,
                   RsError *err) {
        static const PathRules no_rules = { .time_high = UINT64_MAX };
        _cleanup_(X509_STORE_CTX_freep) X509_STORE_CTX *ctx = NULL;
        STACK_OF(X509) *chain;
        int r;

        if (!rules)
                rules = &no_rules;
        if (path_is_anchor(cert, anchors))
                return algorithm_check(cert, PLACE_ANCHOR, err);
        ctx = X509_STORE_CTX_new_ex(ossl_context(), NULL);
        if (!ctx)
                return rs_fail_oom(err);
        r = prepare(ctx, cert, extra, anchors, rules, err);
        if (r < 0)
                return r;
        if (X509_verify_cert(ctx) != 1)
                return fail_path(ctx, err);
        chain = X509_STORE_CTX_get0_chain(ctx);
        for (int i = 0; i < sk_X509_num(chain) - 1; i++) {
                r = check_intermediate(sk_X509_value(chain, i), rules, NULL, err);
                if (r < 0)
                        return r;
        }
        return rules->crls ? check_revoked(chain, rules->crls, err) : 0;
}
