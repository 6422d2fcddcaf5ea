/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * hpke - the glue of RFC 9180 between OpenSSL's ECDH, HKDF and AES-GCM.
 *
 * OpenSSL 3.0 has no HPKE, and that of 3.2 wants the private key where it can use it itself; here the private half
 * lies in a TPM that gives out the shared X coordinate (TPM2_ECDH_ZGen) and nothing else.  So the receiver starts
 * from z, and everything below is derivation.  Base mode only: who sent a ticket is told by its signature.
 *
 * What must hold: a sender's key is fresh for each message, which is why the nonce may be the base nonce (sequence
 * number 0) and there is no context to keep.  Points from outside are uncompressed and on the curve before anything
 * is computed with them.  z, shared secret and key live in Secrets, and so do the labelled inputs that hold them.
 */
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/ossl.h>
#include <reseal/crypto/aead.h>
#include <reseal/crypto/hpke.h>
#include <reseal/crypto/ossl-cleanup.h>

#include "hpke-schedule.h"

#define HASH_SIZE 32u   /* Nh */
#define SECRET_SIZE 32u /* Nsecret of the KEM, Ndh of P-256 */

static const uint8_t kem_suite[] = { 'K', 'E', 'M', HPKE_KEM_P256 >> 8, HPKE_KEM_P256 & 0xff };

/* -- HKDF of RFC 9180 section 4 --------------------------------------------------------------------------------- */

static int hkdf(int mode, Span key, Span salt, Span info, Secret *out, RsError *err) {
        _cleanup_(EVP_KDF_freep) EVP_KDF *kdf = EVP_KDF_fetch(ossl_context(), "HKDF", NULL);
        _cleanup_(EVP_KDF_CTX_freep) EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
        OSSL_PARAM params[] = {
                OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *) "SHA256", 0),
                OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
                OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *) key.data, key.size),
                mode == EVP_KDF_HKDF_MODE_EXTRACT_ONLY ?
                        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *) salt.data, salt.size) :
                        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *) info.data, info.size),
                OSSL_PARAM_construct_end(),
        };

        if (!ctx || EVP_KDF_derive(ctx, secret_bytes_mut(out), secret_size(out), params) != 1)
                return rs_fail_ssl(err, INTERNAL, "HKDF-SHA256");
        return 0;
}

/* The parts one behind the other, in a Secret because one of them may be one. */
static Secret *join(const Span *parts, size_t n_parts) {
        size_t size = 0, at = 0;
        Secret *s;

        for (size_t i = 0; i < n_parts; i++)
                size += parts[i].size;
        s = secret_new(size);
        for (size_t i = 0; s && i < n_parts; i++) {
                if (parts[i].size > 0)
                        memcpy(secret_bytes_mut(s) + at, parts[i].data, parts[i].size);
                at += parts[i].size;
        }
        return s;
}

static int labeled_extract(Span suite, Span salt, const char *label, Span ikm, Secret **ret, RsError *err) {
        const Span parts[] = { SPAN("HPKE-v1", 7), suite, SPAN(label, strlen(label)), ikm };
        static const uint8_t no_salt[HASH_SIZE]; /* RFC 5869: an absent salt is HashLen zeros */
        _cleanup_(secret_freep) Secret *labeled = join(parts, ELEMENTSOF(parts)), *prk = secret_new(HASH_SIZE);
        int r;

        if (!labeled || !prk)
                return rs_fail_oom(err);
        r = hkdf(EVP_KDF_HKDF_MODE_EXTRACT_ONLY, secret_span(labeled), salt.size > 0 ? salt : SPAN_ARRAY(no_salt),
                 SPAN_NULL, prk, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(prk);
        return 0;
}

static int labeled_expand(Span suite, const Secret *prk, const char *label, Span info, size_t size, Secret **ret,
                          RsError *err) {
        const uint8_t length[] = { (uint8_t) (size >> 8), (uint8_t) size };
        const Span parts[] = { SPAN_ARRAY(length), SPAN("HPKE-v1", 7), suite, SPAN(label, strlen(label)), info };
        _cleanup_(secret_freep) Secret *labeled = join(parts, ELEMENTSOF(parts)), *out = secret_new(size);
        int r;

        if (!labeled || !out)
                return rs_fail_oom(err);
        r = hkdf(EVP_KDF_HKDF_MODE_EXPAND_ONLY, secret_span(prk), SPAN_NULL, secret_span(labeled), out, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(out);
        return 0;
}

/* -- key encapsulation and key schedule ------------------------------------------------------------------------- */

int hpke_shared_secret(const Secret *z, const uint8_t recipient[RS_POINT_SIZE], const uint8_t enc[RS_POINT_SIZE],
                       Secret **ret, RsError *err) {
        _cleanup_(secret_freep) Secret *prk = NULL;
        uint8_t context[2 * RS_POINT_SIZE];
        int r;

        memcpy(context, enc, RS_POINT_SIZE);
        memcpy(context + RS_POINT_SIZE, recipient, RS_POINT_SIZE);
        r = labeled_extract(SPAN_ARRAY(kem_suite), SPAN_NULL, "eae_prk", secret_span(z), &prk, err);
        if (r < 0)
                return r;
        return labeled_expand(SPAN_ARRAY(kem_suite), prk, "shared_secret", SPAN_ARRAY(context), SECRET_SIZE, ret, err);
}

/* mode_base (0), hash of the empty PSK id, hash of info */
static int schedule_context(Span suite, Span info, uint8_t ret[1 + 2 * HASH_SIZE], RsError *err) {
        _cleanup_(secret_freep) Secret *psk_id_hash = NULL, *info_hash = NULL;
        int r;

        r = labeled_extract(suite, SPAN_NULL, "psk_id_hash", SPAN_NULL, &psk_id_hash, err);
        if (r < 0)
                return r;
        r = labeled_extract(suite, SPAN_NULL, "info_hash", info, &info_hash, err);
        if (r < 0)
                return r;
        ret[0] = 0;
        memcpy(ret + 1, secret_bytes(psk_id_hash), HASH_SIZE);
        memcpy(ret + 1 + HASH_SIZE, secret_bytes(info_hash), HASH_SIZE);
        return 0;
}

int hpke_schedule(const Secret *shared_secret, Span info, uint16_t aead, Secret **ret_key,
                  uint8_t ret_nonce[HPKE_NONCE_SIZE], RsError *err) {
        const uint8_t suite_id[] = { 'H', 'P', 'K', 'E', HPKE_KEM_P256 >> 8, HPKE_KEM_P256 & 0xff,
                                     HPKE_KDF_SHA256 >> 8, HPKE_KDF_SHA256 & 0xff, (uint8_t) (aead >> 8),
                                     (uint8_t) aead };
        const size_t key_size = aead == HPKE_AEAD_AES_128_GCM ? 16 : RS_KEY_SIZE;
        _cleanup_(secret_freep) Secret *secret = NULL, *key = NULL, *nonce = NULL;
        const Span suite = SPAN_ARRAY(suite_id);
        uint8_t context[1 + 2 * HASH_SIZE];
        int r;

        r = schedule_context(suite, info, context, err);
        if (r < 0)
                return r;
        r = labeled_extract(suite, secret_span(shared_secret), "secret", SPAN_NULL, &secret, err);
        if (r < 0)
                return r;
        r = labeled_expand(suite, secret, "key", SPAN_ARRAY(context), key_size, &key, err);
        if (r < 0)
                return r;
        r = labeled_expand(suite, secret, "base_nonce", SPAN_ARRAY(context), HPKE_NONCE_SIZE, &nonce, err);
        if (r < 0)
                return r;

        memcpy(ret_nonce, secret_bytes(nonce), HPKE_NONCE_SIZE);
        *ret_key = TAKE_PTR(key);
        return 0;
}

/* From the shared X coordinate to a cipher that is ready for the one message. */
static int message_cipher(const Secret *z, const uint8_t *recipient, const uint8_t *enc, Span info, Aead **ret,
                          uint8_t ret_nonce[HPKE_NONCE_SIZE], RsError *err) {
        _cleanup_(secret_freep) Secret *shared_secret = NULL, *key = NULL;
        int r;

        r = hpke_shared_secret(z, recipient, enc, &shared_secret, err);
        if (r < 0)
                return r;
        r = hpke_schedule(shared_secret, info, HPKE_AEAD_AES_256_GCM, &key, ret_nonce, err);
        if (r < 0)
                return r;
        return aead_new(key, ret, err);
}

/* -- points ----------------------------------------------------------------------------------------------------- */

/* Uncompressed only: the hybrid forms 6 and 7 would be a second spelling of the same point. */
static int load_point(const uint8_t point[RS_POINT_SIZE], EVP_PKEY **ret, RsError *err) {
        OSSL_PARAM params[] = {
                OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *) "prime256v1", 0),
                OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, (void *) point, RS_POINT_SIZE),
                OSSL_PARAM_construct_end(),
        };
        _cleanup_(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(ossl_context(), "EC", NULL), *check = NULL;
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;

        if (!ctx || EVP_PKEY_fromdata_init(ctx) != 1)
                return rs_fail_ssl(err, INTERNAL, "EC keys");
        if (point[0] != POINT_CONVERSION_UNCOMPRESSED ||
            EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
                return rs_fail_ssl(err, TICKET, "not an uncompressed point of P-256");
        check = EVP_PKEY_CTX_new_from_pkey(ossl_context(), key, NULL);
        if (!check || EVP_PKEY_public_check(check) != 1)
                return rs_fail_ssl(err, TICKET, "not a valid public key of P-256");

        *ret = TAKE_PTR(key);
        return 0;
}

static int derive_z(EVP_PKEY *own, EVP_PKEY *peer, Secret **ret, RsError *err) {
        _cleanup_(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(ossl_context(), own, NULL);
        _cleanup_(secret_freep) Secret *z = secret_new(SECRET_SIZE);
        size_t n = SECRET_SIZE;

        if (!z)
                return rs_fail_oom(err);
        if (!ctx || EVP_PKEY_derive_init(ctx) != 1 || EVP_PKEY_derive_set_peer(ctx, peer) != 1 ||
            EVP_PKEY_derive(ctx, secret_bytes_mut(z), &n) != 1 || n != SECRET_SIZE)
                return rs_fail_ssl(err, INTERNAL, "ECDH");
        *ret = TAKE_PTR(z);
        return 0;
}

/* -- one message ------------------------------------------------------------------------------------------------ */

int hpke_seal(const uint8_t recipient[RS_POINT_SIZE], Span info, Span aad, const Secret *plain,
              uint8_t ret_enc[RS_POINT_SIZE], uint8_t *ret_ct, RsError *err) {
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *peer = NULL, *ephemeral = NULL;
        _cleanup_(secret_freep) Secret *z = NULL;
        _cleanup_(aead_freep) Aead *aead = NULL;
        uint8_t nonce[HPKE_NONCE_SIZE], enc[RS_POINT_SIZE];
        size_t n = 0;
        int r;

        r = load_point(recipient, &peer, err);
        if (r < 0)
                return r;
        ephemeral = EVP_PKEY_Q_keygen(ossl_context(), NULL, "EC", "P-256");
        if (!ephemeral || EVP_PKEY_get_octet_string_param(ephemeral, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, enc,
                                                          sizeof(enc), &n) != 1 || n != sizeof(enc))
                return rs_fail_ssl(err, INTERNAL, "cannot make an ephemeral key");
        r = derive_z(ephemeral, peer, &z, err);
        if (r < 0)
                return r;
        r = message_cipher(z, recipient, enc, info, &aead, nonce, err);
        if (r < 0)
                return r;
        r = aead_seal(aead, nonce, aad, secret_span(plain), ret_ct, err);
        if (r < 0)
                return r;

        memcpy(ret_enc, enc, sizeof(enc));
        return 0;
}

int hpke_open_with_z(const Secret *z, const uint8_t recipient[RS_POINT_SIZE], const uint8_t enc[RS_POINT_SIZE],
                     Span info, Span aad, Span ct, Secret **ret, RsError *err) {
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *ephemeral = NULL;
        _cleanup_(secret_freep) Secret *plain = NULL;
        _cleanup_(aead_freep) Aead *aead = NULL;
        uint8_t nonce[HPKE_NONCE_SIZE];
        int r;

        if (secret_size(z) != SECRET_SIZE)
                return rs_fail(err, INTERNAL, "ECDH result of %zu bytes", secret_size(z));
        if (ct.size < RS_TAG_SIZE)
                return rs_fail(err, DECRYPT, "sealed key of %zu bytes", ct.size);
        r = load_point(enc, &ephemeral, err);
        if (r < 0)
                return r;
        r = message_cipher(z, recipient, enc, info, &aead, nonce, err);
        if (r < 0)
                return r;
        plain = secret_new(ct.size - RS_TAG_SIZE);
        if (!plain)
                return rs_fail_oom(err);
        r = aead_open(aead, nonce, aad, ct, secret_bytes_mut(plain), err);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(plain);
        return 0;
}
