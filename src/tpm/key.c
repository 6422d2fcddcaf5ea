/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * key - the device's three keys: made in the TPM, kept as blobs under the SRK, used there.
 *
 * Three keys and not one, each with the scheme that its purpose needs fixed in its public area: a TLS key
 * that could also agree on keys, or an attestation key that signs what it is told, would let one protocol be
 * used against another (S42). A blob is recognised by comparing its whole public area with the template of a
 * purpose: fixedTPM, fixedParent and sensitiveDataOrigin (made here, never leaves, S43) and noDA are thereby
 * proven without a TPM.
 *
 * Signing uses no session: neither the digest nor the signature is secret, and whoever receives it verifies
 * it.  ECDH does: Z opens a ticket, so it leaves the TPM encrypted for a salted session.
 */
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>

#include <reseal/base/ossl.h>
#include <reseal/crypto/digest.h>
#include <reseal/crypto/ossl-cleanup.h>
#include <reseal/tpm/key.h>

#include "blob.h"
#include "key-step.h"
#include "tss-cleanup.h"

static TPM2B_PUBLIC template_of(TpmKeyPurpose purpose) {
        TPM2B_PUBLIC p = {
                .publicArea = {
                        .type = TPM2_ALG_ECC,
                        .nameAlg = TPM2_ALG_SHA256,
                        .objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_NODA |
                                            TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH,
                        .parameters.eccDetail = {
                                .symmetric.algorithm = TPM2_ALG_NULL,
                                .scheme = { .scheme = TPM2_ALG_ECDSA, .details.ecdsa.hashAlg = TPM2_ALG_SHA256 },
                                .curveID = TPM2_ECC_NIST_P256,
                                .kdf.scheme = TPM2_ALG_NULL,
                        },
                },
        };

        switch (purpose) {
        case TPM_KEY_ATTEST:
                p.publicArea.objectAttributes |= TPMA_OBJECT_SIGN_ENCRYPT | TPMA_OBJECT_RESTRICTED;
                break;
        case TPM_KEY_UNWRAP:
                p.publicArea.objectAttributes |= TPMA_OBJECT_DECRYPT;
                p.publicArea.parameters.eccDetail.scheme.scheme = TPM2_ALG_ECDH;
                p.publicArea.parameters.eccDetail.scheme.details.ecdh.hashAlg = TPM2_ALG_SHA256;
                break;
        case TPM_KEY_IDENTITY:
        case _TPM_KEY_PURPOSE_MAX:
        default:
                p.publicArea.objectAttributes |= TPMA_OBJECT_SIGN_ENCRYPT;
                break;
        }
        return p;
}

static const char *const purpose_names[_TPM_KEY_PURPOSE_MAX] = {
        [TPM_KEY_IDENTITY] = "identity",
        [TPM_KEY_UNWRAP] = "unwrap",
        [TPM_KEY_ATTEST] = "attest",
};

const char *tpm_key_purpose_to_string(TpmKeyPurpose purpose) {
        return (unsigned) purpose < _TPM_KEY_PURPOSE_MAX ? purpose_names[purpose] : "unknown";
}

unsigned tpm_key_attributes(const TpmKey *key, const char *ret[TPM_KEY_ATTRIBUTES_MAX]) {
        static const struct {
                TPMA_OBJECT bit;
                const char *word;
        } WORDS[] = {
                { TPMA_OBJECT_FIXEDTPM, "fixedTPM" },
                { TPMA_OBJECT_FIXEDPARENT, "fixedParent" },
                { TPMA_OBJECT_SENSITIVEDATAORIGIN, "sensitiveDataOrigin" },
                { TPMA_OBJECT_STCLEAR, "stClear" },
                { TPMA_OBJECT_USERWITHAUTH, "userWithAuth" },
                { TPMA_OBJECT_ADMINWITHPOLICY, "adminWithPolicy" },
                { TPMA_OBJECT_NODA, "noDA" },
                { TPMA_OBJECT_ENCRYPTEDDUPLICATION, "encryptedDuplication" },
                { TPMA_OBJECT_RESTRICTED, "restricted" },
                { TPMA_OBJECT_DECRYPT, "decrypt" },
                { TPMA_OBJECT_SIGN_ENCRYPT, "sign" },
        };
        RsError ignored = RS_ERROR_INIT;
        unsigned n = 0;
        Blob b;

        /* From the blob itself, not from what it should be. */
        if (blob_parse(SPAN(key->blob, key->blob_size), &b, &ignored) < 0)
                return 0;
        for (size_t i = 0; i < ELEMENTSOF(WORDS); i++)
                if (b.area.publicArea.objectAttributes & WORDS[i].bit)
                        ret[n++] = WORDS[i].word;
        return n;
}

const char *tpm_key_algorithm(const TpmKey *key) {
        return key->purpose == TPM_KEY_UNWRAP ? "ECDH P-256 SHA-256" : "ECDSA P-256 SHA-256";
}

/* Coordinates come without leading zeros. */
static bool point_of(const TPMS_ECC_POINT *p, uint8_t ret[RS_POINT_SIZE]) {
        if (p->x.size > 32 || p->y.size > 32 || p->x.size == 0 || p->y.size == 0)
                return false;
        memset(ret, 0, RS_POINT_SIZE);
        ret[0] = 4;
        memcpy(ret + 1 + 32 - p->x.size, p->x.buffer, p->x.size);
        memcpy(ret + 33 + 32 - p->y.size, p->y.buffer, p->y.size);
        return true;
}

static int on_curve(const uint8_t point[RS_POINT_SIZE], RsError *err) {
        _cleanup_(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *c =
                        EVP_PKEY_CTX_new_from_name(ossl_context(), "EC", NULL);
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
        char group[] = "prime256v1";
        uint8_t copy[RS_POINT_SIZE];
        OSSL_PARAM params[] = {
                OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
                OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, copy, sizeof(copy)),
                OSSL_PARAM_construct_end(),
        };

        memcpy(copy, point, sizeof(copy));
        if (!c || EVP_PKEY_fromdata_init(c) != 1 ||
            EVP_PKEY_fromdata(c, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
                return rs_fail_ssl(err, TPM_STATE, "not a point of P-256");
        return 0;
}

int tpm_key_parse(Span blob, TpmKey *ret, RsError *err) {
        TpmKey key = { 0 };
        TPM2B_PUBLIC template;
        Blob b;
        int r;

        if (blob.size > sizeof(key.blob))
                return rs_fail(err, TPM_STATE, "a key blob of %zu bytes", blob.size);
        r = blob_parse(blob, &b, err);
        if (r < 0)
                return r;
        for (unsigned p = 0; p < _TPM_KEY_PURPOSE_MAX; p++) {
                template = template_of((TpmKeyPurpose) p);
                if (b.area.publicArea.type == TPM2_ALG_ECC)
                        template.publicArea.unique = b.area.publicArea.unique;
                if (!blob_same_public(&b.area, &template))
                        continue;
                if (!point_of(&b.area.publicArea.unique.ecc, key.point))
                        return rs_fail(err, TPM_STATE, "a key blob without a P-256 point");
                r = on_curve(key.point, err);
                if (r < 0)
                        return r;
                key.purpose = (TpmKeyPurpose) p;
                memcpy(key.blob, blob.data, blob.size);
                key.blob_size = (uint32_t) blob.size;
                *ret = key;
                return 0;
        }
        return rs_fail(err, TPM_STATE, "a key blob that is none of identity, unwrap, attest");
}

static int create_key(Tpm *t, const TPM2B_PUBLIC *template, uint8_t blob[TPM_BLOB_MAX], uint32_t *ret_size,
                      RsError *err) {
        static const TPM2B_SENSITIVE_CREATE no_auth;
        static const TPML_PCR_SELECTION no_pcr;
        _cleanup_(esys_freep) TPM2B_PRIVATE *wrapped = NULL;
        _cleanup_(esys_freep) TPM2B_PUBLIC *area = NULL;
        ESYS_TR srk, session;
        TSS2_RC rc;
        int r;

        r = tpm_use_srk(t, &srk, err);
        if (r < 0)
                return r;
        /* The session proves that the public area comes from the TPM and not from the wire. */
        r = tpm_session(t, TPM2_SE_HMAC, &session, err);
        if (r < 0)
                return r;
        rc = TPM_TRY(Esys_Create(t->esys, srk, session, ESYS_TR_NONE, ESYS_TR_NONE, &no_auth, template, NULL,
                                 &no_pcr, &wrapped, &area, NULL, NULL, NULL));
        if (rc != TSS2_RC_SUCCESS)
                return tpm_fail(t, rc, err, "create a key");
        return blob_encode(wrapped, area, blob, TPM_BLOB_MAX, ret_size, err);
}

int tpm_key_create(Tpm *t, TpmKeyPurpose purpose, TpmKey *ret, RsError *err) {
        TPM2B_PUBLIC template = template_of(purpose);
        uint8_t blob[TPM_BLOB_MAX];
        uint32_t size = 0;
        int r;

        r = tpm_begin(t, err);
        if (r < 0)
                return r;
        r = tpm_end(t, create_key(t, &template, blob, &size, err));
        if (r < 0)
                return r;
        return tpm_key_parse(SPAN(blob, size), ret, err);
}

int key_use(Tpm *t, const TpmKey *key, ESYS_TR *ret, RsError *err) {
        Blob b;
        int r;

        r = blob_parse(SPAN(key->blob, key->blob_size), &b, err);
        if (r < 0)
                return r;
        return blob_load(t, &b, ret, err);
}

int tpm_key_check(Tpm *t, const TpmKey *key, RsError *err) {
        ESYS_TR loaded;
        int r;

        r = tpm_begin(t, err);
        if (r < 0)
                return r;
        return tpm_end(t, key_use(t, key, &loaded, err));
}

int key_signature_der(const TPMT_SIGNATURE *s, uint8_t ret_der[72], size_t *ret_size, RsError *err) {
        _cleanup_(ECDSA_SIG_freep) ECDSA_SIG *sig = ECDSA_SIG_new();
        const TPMS_SIGNATURE_ECDSA *e = &s->signature.ecdsa;
        BIGNUM *big_r, *big_s;
        uint8_t *p = ret_der;
        int n;

        if (s->sigAlg != TPM2_ALG_ECDSA || e->signatureR.size > 32 || e->signatureS.size > 32)
                return rs_fail(err, TPM, "the TPM made a signature of another kind");
        big_r = BN_bin2bn(e->signatureR.buffer, e->signatureR.size, NULL);
        big_s = BN_bin2bn(e->signatureS.buffer, e->signatureS.size, NULL);
        if (!sig || !big_r || !big_s || ECDSA_SIG_set0(sig, big_r, big_s) != 1) {
                BN_free(big_r);
                BN_free(big_s);
                return rs_fail_oom(err);
        }
        n = i2d_ECDSA_SIG(sig, NULL);
        if (n <= 0 || n > 72)
                return rs_fail(err, INTERNAL, "encode a signature");
        *ret_size = (size_t) i2d_ECDSA_SIG(sig, &p);
        return 0;
}

static int sign_loaded(Tpm *t, ESYS_TR key, const uint8_t digest[32], uint8_t ret_der[72], size_t *ret_size,
                       RsError *err) {
        static const TPMT_SIG_SCHEME scheme = { .scheme = TPM2_ALG_ECDSA,
                                                .details.ecdsa.hashAlg = TPM2_ALG_SHA256 };
        static const TPMT_TK_HASHCHECK not_checked = { .tag = TPM2_ST_HASHCHECK, .hierarchy = TPM2_RH_NULL };
        _cleanup_(esys_freep) TPMT_SIGNATURE *signature = NULL;
        TPM2B_DIGEST d = { .size = 32 };
        TSS2_RC rc;

        memcpy(d.buffer, digest, 32);
        rc = TPM_TRY(Esys_Sign(t->esys, key, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &d, &scheme,
                               &not_checked, &signature));
        if (rc != TSS2_RC_SUCCESS)
                return tpm_fail(t, rc, err, "sign");
        atomic_fetch_add(&t->n_sign, 1);
        return key_signature_der(signature, ret_der, ret_size, err);
}

int tpm_key_sign(Tpm *t, const TpmKey *key, const uint8_t digest[32], uint8_t ret_der[72], size_t *ret_size,
                 RsError *err) {
        ESYS_TR loaded;
        int r;

        r = tpm_begin(t, err);
        if (r < 0)
                return r;
        r = key_use(t, key, &loaded, err);
        if (r >= 0)
                r = sign_loaded(t, loaded, digest, ret_der, ret_size, err);
        return tpm_end(t, r);
}

uint64_t tpm_sign_count(const Tpm *t) {
        return atomic_load(&t->n_sign);
}

static int zgen_loaded(Tpm *t, ESYS_TR key, const uint8_t point[RS_POINT_SIZE], Secret **ret, RsError *err) {
        _cleanup_(point_freep) TPM2B_ECC_POINT *z = NULL;
        TPM2B_ECC_POINT in = { .point = { .x.size = 32, .y.size = 32 } };
        Secret *secret;
        ESYS_TR session;
        TSS2_RC rc;
        int r;

        memcpy(in.point.x.buffer, point + 1, 32);
        memcpy(in.point.y.buffer, point + 33, 32);
        r = tpm_session(t, TPM2_SE_HMAC, &session, err);
        if (r < 0)
                return r;
        rc = TPM_TRY(Esys_ECDH_ZGen(t->esys, key, session, ESYS_TR_NONE, ESYS_TR_NONE, &in, &z));
        if (rc != TSS2_RC_SUCCESS)
                return tpm_fail(t, rc, err, "ECDH");
        if (z->point.x.size == 0 || z->point.x.size > 32)
                return rs_fail(err, TPM, "ECDH gave %u bytes", z->point.x.size);
        secret = secret_new(32);
        if (!secret)
                return rs_fail_oom(err);
        memcpy(secret_bytes_mut(secret) + 32 - z->point.x.size, z->point.x.buffer, z->point.x.size);
        *ret = secret;
        return 0;
}

int tpm_key_ecdh(Tpm *t, const TpmKey *key, const uint8_t point[RS_POINT_SIZE], Secret **ret_z,
                 RsError *err) {
        ESYS_TR loaded;
        int r;

        if (point[0] != 4)
                return rs_fail(err, TPM, "not an uncompressed point");
        r = tpm_begin(t, err);
        if (r < 0)
                return r;
        r = key_use(t, key, &loaded, err);
        if (r >= 0)
                r = zgen_loaded(t, loaded, point, ret_z, err);
        return tpm_end(t, r);
}

/* SubjectPublicKeyInfo of a P-256 key: everything before the point is constant (RFC 5480). */
static const uint8_t spki_head[] = {
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
        0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
};

int tpm_key_spki(const TpmKey *key, Encoder *ret_der, uint8_t ret_sha256[32], RsError *err) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        int r;

        encoder_bytes(&e, spki_head, sizeof(spki_head));
        encoder_bytes(&e, key->point, sizeof(key->point));
        if (encoder_finish(&e) < 0)
                return rs_fail_oom(err);
        r = digest_sha256(encoder_view(&e), ret_sha256, err);
        if (r < 0)
                return r;
        if (ret_der) {
                encoder_done(ret_der);
                *ret_der = e;
                e = ENCODER_INIT;
        }
        return 0;
}

static int certify_loaded(Tpm *t, ESYS_TR attest, ESYS_TR subject, Span nonce, Encoder *statement,
                          uint8_t ret_der[72], size_t *ret_size, RsError *err) {
        static const TPMT_SIG_SCHEME scheme = { .scheme = TPM2_ALG_ECDSA,
                                                .details.ecdsa.hashAlg = TPM2_ALG_SHA256 };
        _cleanup_(esys_freep) TPM2B_ATTEST *said = NULL;
        _cleanup_(esys_freep) TPMT_SIGNATURE *signature = NULL;
        TPM2B_DATA extra = { .size = (UINT16) nonce.size };
        TSS2_RC rc;

        memcpy(extra.buffer, nonce.data, nonce.size);
        rc = TPM_TRY(Esys_Certify(t->esys, subject, attest, ESYS_TR_PASSWORD, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                  &extra, &scheme, &said, &signature));
        if (rc != TSS2_RC_SUCCESS)
                return tpm_fail(t, rc, err, "certify a key");
        encoder_bytes(statement, said->attestationData, said->size);
        return key_signature_der(signature, ret_der, ret_size, err);
}

int tpm_key_certify(Tpm *t, const TpmKey *attest, const TpmKey *subject, Span nonce, Encoder *ret_statement,
                    uint8_t ret_der[72], size_t *ret_size, RsError *err) {
        _cleanup_(encoder_done) Encoder statement = ENCODER_INIT;
        ESYS_TR signer, certified;
        int r;

        if (nonce.size > 32 || attest->purpose != TPM_KEY_ATTEST)
                return rs_fail(err, INVALID, "certify with an attestation key and at most 32 bytes of nonce");
        r = tpm_begin(t, err);
        if (r < 0)
                return r;
        r = key_use(t, attest, &signer, err);
        if (r >= 0)
                r = key_use(t, subject, &certified, err);
        if (r >= 0)
                r = certify_loaded(t, signer, certified, nonce, &statement, ret_der, ret_size, err);
        r = tpm_end(t, r);
        if (r < 0)
                return r;
        if (encoder_finish(&statement) < 0)
                return rs_fail_oom(err);
        encoder_done(ret_statement);
        *ret_statement = statement;
        statement = ENCODER_INIT;
        return 0;
}
