/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * aead - AES-256-GCM with the key set once, HKDF-SHA256, and the labels of docs/format-bundle.md section 5.
 *
 * A nonce repeats under one key only if a frame number does: keys are derived per table and per image from a
 * content key that is fresh for every build, so "frame number as nonce" never meets the same key twice.
 */
#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include <reseal/base/ossl.h>
#include <reseal/crypto/aead.h>
#include <reseal/crypto/ossl-cleanup.h>

struct Aead {
        EVP_CIPHER_CTX *seal;
        EVP_CIPHER_CTX *open;
};

int aead_new(const Secret *key, Aead **ret, RsError *err) {
        _cleanup_(EVP_CIPHER_freep) EVP_CIPHER *cipher = NULL;
        _cleanup_(aead_freep) Aead *a = NULL;

        if (secret_size(key) != RS_KEY_SIZE)
                return rs_fail(err, INTERNAL, "GCM key of %zu bytes", secret_size(key));
        a = calloc(1, sizeof(*a));
        if (!a)
                return rs_fail_oom(err);
        cipher = EVP_CIPHER_fetch(ossl_context(), "AES-256-GCM", NULL);
        a->seal = EVP_CIPHER_CTX_new();
        a->open = EVP_CIPHER_CTX_new();
        if (!cipher || !a->seal || !a->open ||
            EVP_EncryptInit_ex2(a->seal, cipher, secret_bytes(key), NULL, NULL) != 1 ||
            EVP_DecryptInit_ex2(a->open, cipher, secret_bytes(key), NULL, NULL) != 1)
                return rs_fail_ssl(err, INTERNAL, "AES-256-GCM");
        *ret = TAKE_PTR(a);
        return 0;
}

Aead *aead_free(Aead *a) {
        if (a) {
                EVP_CIPHER_CTX_free(a->seal); /* cleanses the key schedules */
                EVP_CIPHER_CTX_free(a->open);
                free(a);
        }
        return NULL;
}

int aead_seal(Aead *a, const uint8_t nonce[12], Span aad, Span data, uint8_t *ret, RsError *err) {
        int n = 0;

        if (data.size > INT_MAX || aad.size > INT_MAX)
                return rs_fail(err, INTERNAL, "%zu bytes are too many for one message", data.size);
        if (EVP_EncryptInit_ex2(a->seal, NULL, NULL, nonce, NULL) != 1 ||
            (aad.size > 0 && EVP_EncryptUpdate(a->seal, NULL, &n, aad.data, (int) aad.size) != 1) ||
            (data.size > 0 && EVP_EncryptUpdate(a->seal, ret, &n, data.data, (int) data.size) != 1) ||
            EVP_EncryptFinal_ex(a->seal, ret + data.size, &n) != 1 ||
            EVP_CIPHER_CTX_ctrl(a->seal, EVP_CTRL_AEAD_GET_TAG, RS_TAG_SIZE, ret + data.size) != 1)
                return rs_fail_ssl(err, INTERNAL, "AES-256-GCM");
        return 0;
}

int aead_open(Aead *a, const uint8_t nonce[12], Span aad, Span sealed, uint8_t *ret, RsError *err) {
        uint8_t tag[RS_TAG_SIZE], nothing[1];
        size_t size;
        int n = 0;

        if (sealed.size < RS_TAG_SIZE)
                return rs_fail(err, DECRYPT, "%zu bytes are no sealed message", sealed.size);
        size = sealed.size - RS_TAG_SIZE;
        if (size > INT_MAX || aad.size > INT_MAX)
                return rs_fail(err, INTERNAL, "%zu bytes are too many for one message", size);
        memcpy(tag, sealed.data + size, sizeof(tag)); /* ret may be sealed.data */
        if (EVP_DecryptInit_ex2(a->open, NULL, NULL, nonce, NULL) != 1 ||
            (aad.size > 0 && EVP_DecryptUpdate(a->open, NULL, &n, aad.data, (int) aad.size) != 1) ||
            (size > 0 && EVP_DecryptUpdate(a->open, ret, &n, sealed.data, (int) size) != 1) ||
            EVP_CIPHER_CTX_ctrl(a->open, EVP_CTRL_AEAD_SET_TAG, RS_TAG_SIZE, tag) != 1 ||
            EVP_DecryptFinal_ex(a->open, size > 0 ? ret : nothing, &n) != 1) {
                /* Nobody may look at plaintext whose tag did not match. */
                OPENSSL_cleanse(ret, size);
                return rs_fail_ssl(err, DECRYPT, "the tag does not match");
        }
        return 0;
}

int hkdf_sha256(const Secret *ikm, Span salt, Span info, size_t size, Secret **ret, RsError *err) {
        _cleanup_(EVP_KDF_freep) EVP_KDF *kdf = EVP_KDF_fetch(ossl_context(), "HKDF", NULL);
        _cleanup_(EVP_KDF_CTX_freep) EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
        _cleanup_(secret_freep) Secret *okm = secret_new(size);
        OSSL_PARAM params[5], *p = params;

        if (!ctx || !okm)
                return rs_fail_ssl(err, INTERNAL, "HKDF-SHA256");
        /* OpenSSL reads these, it does not write them: the casts drop const for its interface only. */
        *p++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *) (uintptr_t) "SHA256", 0);
        *p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *) (uintptr_t) secret_bytes(ikm),
                                                 secret_size(ikm));
        if (salt.size > 0) /* none is the same as 32 zero bytes (RFC 5869 2.2) */
                *p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *) (uintptr_t) salt.data,
                                                         salt.size);
        if (info.size > 0)
                *p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *) (uintptr_t) info.data,
                                                         info.size);
        *p = OSSL_PARAM_construct_end();
        if (EVP_KDF_derive(ctx, secret_bytes_mut(okm), size, params) != 1)
                return rs_fail_ssl(err, INTERNAL, "HKDF-SHA256");
        *ret = TAKE_PTR(okm);
        return 0;
}

static void put_be(uint8_t *at, uint64_t v, size_t size) {
        for (size_t i = 0; i < size; i++)
                at[i] = (uint8_t) (v >> (8 * (size - 1 - i)));
}

static int bundle_key(const Secret *content_key, const uint8_t bundle_id[32], const char *label,
                      uint32_t image, Secret **ret, RsError *err) {
        size_t size = strlen(label);
        uint8_t info[32];

        assert(size + 4 <= sizeof(info));
        memcpy(info, label, size);
        put_be(info + size, image, 4);
        return hkdf_sha256(content_key, SPAN(bundle_id, 32), SPAN(info, size + 4), RS_KEY_SIZE, ret, err);
}

int bundle_table_key(const Secret *content_key, const uint8_t bundle_id[32], uint32_t image, Secret **ret,
                     RsError *err) {
        return bundle_key(content_key, bundle_id, "reseal table", image, ret, err);
}

int bundle_frames_key(const Secret *content_key, const uint8_t bundle_id[32], uint32_t image, Secret **ret,
                      RsError *err) {
        return bundle_key(content_key, bundle_id, "reseal frames", image, ret, err);
}

void bundle_table_aad(const uint8_t bundle_id[32], uint32_t image, uint8_t ret[TABLE_AAD_SIZE]) {
        memcpy(ret, bundle_id, 32);
        put_be(ret + 32, image, 4);
}

void bundle_frame_aad(const uint8_t bundle_id[32], uint32_t image, uint64_t frame, uint32_t payload_size,
                      uint8_t ret[FRAME_AAD_SIZE]) {
        memcpy(ret, bundle_id, 32);
        put_be(ret + 32, image, 4);
        put_be(ret + 36, frame, 8);
        put_be(ret + 44, payload_size, 4);
}

void bundle_frame_nonce(uint64_t frame, uint8_t ret[12]) {
        memset(ret, 0, 4);
        put_be(ret + 4, frame, 8);
}
