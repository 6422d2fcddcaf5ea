/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * path - certificate paths to a pinned root.
 *
 * OpenSSL builds and checks the path (RFC 5280, with the strict flag); this file adds what a profile of ours demands
 * and what OpenSSL 3.0 cannot say:
 *
 *   - Trust comes from the anchors of the caller alone.  The store is made empty, never with default paths, and a
 *     certificate that travels with a message is only ever an untrusted link.
 *   - Algorithms are one table of data (S36), so that retiring one is an edit of a row.  A root must be stronger
 *     than the signers below it (S60): it is asked for rarely and lives for decades.
 *   - Purpose is an OID of our arc that OpenSSL has no name for; `anyExtendedKeyUsage` does not stand for it.
 *   - Time is an interval (PathRules).  Expiry is judged by OpenSSL at time_low, the earliest moment it may be.  A
 *     certificate that begins after time_low is no error yet: the callback holds its begin against time_high.
 *     X509_V_FLAG_NO_CHECK_TIME is never set; with time_low 0 the same code runs against 1970.
 *
 * The callback forgives exactly that one error and only then.  Unknown critical extensions stay an error: the firmware
 * index extension gets its own strict parser with the signer chain.
 *
 * Order: our cheap checks of the leaf come after the path, so that nothing of an unsigned certificate decides what an
 * operator reads, except that a path which cannot be built says so first.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/base/text.h>
#include <reseal/crypto/ossl-cleanup.h>
#include <reseal/format/limits.h>
#include <reseal/pki/cms.h>
#include <reseal/pki/path.h>

struct TrustAnchors {
        X509_STORE *store;
};

/* -- algorithm policy ------------------------------------------------------------------------------------------- */

typedef enum Place { PLACE_LEAF = 1, PLACE_CA = 2, PLACE_ANCHOR = 4 } Place;

/* Below the minimum a key is too weak; above the maximum its checking would cost too much. */
static const struct KeyPolicy {
        int type;
        const char *group;
        int bits_min, bits_max;
        unsigned places;
} key_policy[] = {
        { EVP_PKEY_EC,      "prime256v1", 256,  256,  PLACE_LEAF | PLACE_CA },
        { EVP_PKEY_EC,      "secp384r1",  384,  384,  PLACE_LEAF | PLACE_CA | PLACE_ANCHOR },
        { EVP_PKEY_EC,      "secp521r1",  521,  521,  PLACE_LEAF | PLACE_CA | PLACE_ANCHOR },
        { EVP_PKEY_ED25519, NULL,         0,    256,  PLACE_LEAF | PLACE_CA },
        { EVP_PKEY_RSA,     NULL,         2048, 8192, PLACE_LEAF },
        { EVP_PKEY_RSA,     NULL,         3072, 8192, PLACE_CA | PLACE_ANCHOR },
};

static const int digest_policy[] = { NID_sha256, NID_sha384, NID_sha512 };

/* A digest of NID_undef: the algorithm brings its own, or the message names it elsewhere. */
static const struct SignaturePolicy {
        int signature, key, digest;
} signature_policy[] = {
        { NID_ecdsa_with_SHA256,       NID_X9_62_id_ecPublicKey, NID_sha256 },
        { NID_ecdsa_with_SHA384,       NID_X9_62_id_ecPublicKey, NID_sha384 },
        { NID_ecdsa_with_SHA512,       NID_X9_62_id_ecPublicKey, NID_sha512 },
        { NID_sha256WithRSAEncryption, NID_rsaEncryption,        NID_sha256 },
        { NID_sha384WithRSAEncryption, NID_rsaEncryption,        NID_sha384 },
        { NID_sha512WithRSAEncryption, NID_rsaEncryption,        NID_sha512 },
        { NID_rsaEncryption,           NID_rsaEncryption,        NID_undef  }, /* as CMS names PKCS#1 v1.5 */
        { NID_rsassaPss,               NID_rsaEncryption,        NID_undef  },
        { NID_ED25519,                 NID_ED25519,              NID_undef  },
};

bool algorithm_digest_permitted(int digest_nid) {
        for (size_t i = 0; i < ELEMENTSOF(digest_policy); i++)
                if (digest_policy[i] == digest_nid)
                        return true;
        return false;
}

bool algorithm_signature_fits(int signature_nid, int key_nid, int digest_nid) {
        for (size_t i = 0; i < ELEMENTSOF(signature_policy); i++) {
                const struct SignaturePolicy *p = &signature_policy[i];

                if (p->signature == signature_nid && p->key == key_nid)
                        return p->digest == NID_undef || p->digest == digest_nid;
        }
        return false;
}

/* The name of the curve; false for a curve given by explicit parameters, which may hide a weak generator. */
static bool ec_group(EVP_PKEY *key, char *ret, size_t size) {
        int from_explicit = 1;
        size_t n;

        return EVP_PKEY_get_group_name(key, ret, size, &n) == 1 &&
               EVP_PKEY_get_int_param(key, OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS, &from_explicit) == 1 &&
               from_explicit == 0;
}

static bool key_permitted(EVP_PKEY *key, Place place) {
        char group[32] = "";
        int type = EVP_PKEY_get_base_id(key), bits = EVP_PKEY_get_bits(key);

        if (type == EVP_PKEY_EC && !ec_group(key, group, sizeof(group)))
                return false;
        for (size_t i = 0; i < ELEMENTSOF(key_policy); i++) {
                const struct KeyPolicy *p = &key_policy[i];

                if (p->type == type && (p->places & place) && bits >= p->bits_min && bits <= p->bits_max &&
                    (!p->group || strcmp(p->group, group) == 0))
                        return true;
        }
        return false;
}

static const char *place_word(Place place) {
        return place == PLACE_LEAF ? "end certificate" : place == PLACE_CA ? "intermediate" : "root";
}

static int check_algorithms(X509 *cert, Place place, RsError *err) {
        EVP_PKEY *key = X509_get0_pubkey(cert);
        int digest, key_nid;
        uint32_t flags;

        if (!key)
                return rs_fail_ssl(err, ALGORITHM, "%s: unknown kind of public key", place_word(place));
        if (!key_permitted(key, place))
                return rs_fail(err, ALGORITHM, "%s: %d-bit %s key is not permitted here", place_word(place),
                               EVP_PKEY_get_bits(key), OBJ_nid2sn(EVP_PKEY_get_base_id(key)));
        if (X509_get_signature_info(cert, &digest, &key_nid, NULL, &flags) != 1)
                return rs_fail_ssl(err, ALGORITHM, "%s: unknown signature algorithm", place_word(place));
        if (X509_get_signature_nid(cert) != NID_ED25519 && !algorithm_digest_permitted(digest))
                return rs_fail(err, ALGORITHM, "%s: signed with digest %s", place_word(place), OBJ_nid2sn(digest));
        return 0;
}

/* -- anchors ---------------------------------------------------------------------------------------------------- */

static int add_anchor(X509_STORE *store, X509 *cert, RsError *err) {
        int r;

        if (X509_check_ca(cert) != 1 || !(X509_get_extension_flags(cert) & EXFLAG_SS))
                return rs_fail(err, CONFIG, "an anchor is not a self-signed CA certificate");
        r = check_algorithms(cert, PLACE_ANCHOR, err);
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
                _cleanup_(X509_freep) X509 *cert = PEM_read_bio_X509(pem, NULL, NULL, NULL);

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

int anchors_parse(Span pem, TrustAnchors **ret, RsError *err) {
        _cleanup_(anchors_freep) TrustAnchors *a = NULL;
        _cleanup_(BIO_free_allp) BIO *bio = NULL;
        int r;

        if (pem.size == 0 || pem.size > RS_CERT_FILE_MAX)
                return rs_fail(err, CONFIG, "anchors: empty or larger than %u bytes", RS_CERT_FILE_MAX);
        a = calloc(1, sizeof(*a));
        bio = BIO_new_mem_buf(pem.data, (int) pem.size);
        if (!a || !bio)
                return rs_fail_oom(err);
        a->store = X509_STORE_new();
        if (!a->store)
                return rs_fail_oom(err);
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

/* -- time ------------------------------------------------------------------------------------------------------- */

/* 0 for what lies before 1970: nothing that old can matter, and it compares as it should. */
static bool asn1_seconds(const ASN1_TIME *t, uint64_t *ret) {
        struct tm tm = { 0 };
        time_t seconds;

        if (ASN1_TIME_to_tm(t, &tm) != 1)
                return false;
        seconds = timegm(&tm);
        *ret = seconds > 0 ? (uint64_t) seconds : 0;
        return true;
}

/* OpenSSL asks at time_low; whether a certificate has begun is a question to time_high. */
static int on_path_error(int ok, X509_STORE_CTX *ctx) {
        const PathRules *rules = X509_STORE_CTX_get_app_data(ctx);
        const X509 *cert = X509_STORE_CTX_get_current_cert(ctx);
        uint64_t begin;

        if (ok || X509_STORE_CTX_get_error(ctx) != X509_V_ERR_CERT_NOT_YET_VALID || !cert)
                return ok;
        if (!asn1_seconds(X509_get0_notBefore(cert), &begin) || begin > rules->time_high)
                return 0;
        X509_STORE_CTX_set_error(ctx, X509_V_OK);
        return 1;
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
        return check_algorithms(leaf, PLACE_LEAF, err);
}

static int check_intermediate(X509 *cert, const PathRules *rules, const ASN1_OBJECT *eku, RsError *err) {
        if (X509_check_ca(cert) != 1 || !(X509_get_extension_flags(cert) & EXFLAG_KUSAGE) ||
            !(X509_get_key_usage(cert) & KU_KEY_CERT_SIGN))
                return rs_fail(err, PURPOSE, "an intermediate may not sign certificates");
        if (find_eku(cert, eku) < 0)
                return rs_fail(err, PURPOSE, "an intermediate may not issue for %s", rules->eku_oid);
        return check_algorithms(cert, PLACE_CA, err);
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
        return check_algorithms(sk_X509_value(chain, n - 1), PLACE_ANCHOR, err);
}

int path_spki_sha256(X509 *cert, uint8_t ret[32], RsError *err) {
        unsigned char *der = NULL;
        size_t n = 0;
        int size, ok;

        size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
        if (size <= 0)
                return rs_fail_ssl(err, CERTIFICATE, "cannot encode the public key");
        ok = EVP_Q_digest(NULL, "SHA256", NULL, der, (size_t) size, ret, &n);
        OPENSSL_free(der);
        if (ok != 1 || n != 32)
                return rs_fail_ssl(err, INTERNAL, "SHA-256 failed");
        return 0;
}

static int describe_subject(const X509 *cert, char *ret, size_t size, RsError *err) {
        _cleanup_(BIO_free_allp) BIO *bio = BIO_new(BIO_s_mem());
        char *text;
        long n;

        if (!bio)
                return rs_fail_oom(err);
        if (X509_NAME_print_ex(bio, X509_get_subject_name(cert), 0, XN_FLAG_RFC2253) < 0)
                return rs_fail_ssl(err, CERTIFICATE, "cannot print the subject");
        n = BIO_get_mem_data(bio, &text);
        (void) text_printable(SPAN(text, n > 0 ? (size_t) n : 0), ret, size);
        return 0;
}

static int describe(X509 *leaf, SignerInfo *ret, RsError *err) {
        SignerInfo info = { 0 };
        int r;

        r = describe_subject(leaf, info.subject, sizeof(info.subject), err);
        if (r < 0)
                return r;
        r = path_spki_sha256(leaf, info.spki_sha256, err);
        if (r < 0)
                return r;
        if (!asn1_seconds(X509_get0_notBefore(leaf), &info.not_before) ||
            !asn1_seconds(X509_get0_notAfter(leaf), &info.not_after))
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

int path_verify(X509 *leaf, STACK_OF(X509) *extra, const TrustAnchors *anchors, const PathRules *rules,
                SignerInfo *ret_signer, RsError *err) {
        _cleanup_(X509_STORE_CTX_freep) X509_STORE_CTX *ctx = NULL;
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

        ctx = X509_STORE_CTX_new();
        if (!ctx)
                return rs_fail_oom(err);
        r = prepare(ctx, leaf, extra, anchors, rules, err);
        if (r < 0)
                return r;
        if (X509_verify_cert(ctx) != 1)
                return fail_path(ctx, err);
        r = check_chain(ctx, rules, eku, err);
        if (r < 0)
                return r;
        return describe(leaf, ret_signer, err);
}
