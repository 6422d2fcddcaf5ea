/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * signature - one bare ECDSA P-256 signature.
 *
 * A key is known by the hash of its SubjectPublicKeyInfo (chain, tickets, TPM policies), and "this key was used
 * before" is answered by comparing hashes.  So a key must have exactly one SPKI: P-256 by name, uncompressed point,
 * DER.  Those 91 bytes begin with 27 that never differ; they are compared before OpenSSL sees anything, and a
 * compressed, hybrid or explicit spelling of a known key is refused instead of counting as another key.
 *
 * OpenSSL takes a signature only if it is the DER of its two numbers.  That (r, s) and (r, n - s) are both good is
 * a property of ECDSA that nothing here leans on: signatures are never compared or counted.
 */
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/ossl.h>
#include <reseal/crypto/ossl-cleanup.h>
#include <reseal/crypto/ossl-read.h>
#include <reseal/format/limits.h>
#include <reseal/pki/signature.h>

#define DIGEST "SHA256"
#define SIGNATURE_MAX 72u /* two numbers of 33 bytes with their headers, and the sequence's */

OSSL_DEFINE_CLEANUP(EVP_MD_CTX, EVP_MD_CTX_free)

/* SEQUENCE { SEQUENCE { id-ecPublicKey, prime256v1 }, BIT STRING { 0 unused bits, 04 || x || y } } */
static const uint8_t spki_head[] = {
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06,
        0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
};
#define SPKI_SIZE (sizeof(spki_head) - 1 + RS_POINT_SIZE)

static int parse_spki(Span der, EVP_PKEY **ret, RsError *err) {
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
        const unsigned char *p = der.data;

        if (der.size == 0 || der.size > RS_CERT_FILE_MAX)
                return rs_fail(err, CERTIFICATE, "public key: empty or larger than %u bytes", RS_CERT_FILE_MAX);
        key = ossl_d2i_pubkey(&p, (long) der.size); /* checks that the point is on the curve */
        if (!key || p != der.data + der.size)
                return rs_fail_ssl(err, CERTIFICATE, "not a public key");
        if (der.size != SPKI_SIZE || memcmp(der.data, spki_head, sizeof(spki_head)) != 0)
                return rs_fail(err, ALGORITHM, "not a P-256 key by name with an uncompressed point");

        *ret = TAKE_PTR(key);
        return 0;
}

int signature_point(Span spki_der, uint8_t ret[65], RsError *err) {
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
        int r;

        r = parse_spki(spki_der, &key, err);
        if (r < 0)
                return r;
        memcpy(ret, spki_der.data + spki_der.size - RS_POINT_SIZE, RS_POINT_SIZE);
        return 0;
}

int signature_verify(Span spki_der, Span message, Span signature_der, RsError *err) {
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
        _cleanup_(EVP_MD_CTX_freep) EVP_MD_CTX *ctx = NULL;
        int r;

        r = parse_spki(spki_der, &key, err);
        if (r < 0)
                return r;
        if (signature_der.size == 0 || signature_der.size > SIGNATURE_MAX)
                return rs_fail(err, SIGNATURE, "a signature of %zu bytes", signature_der.size);
        ctx = EVP_MD_CTX_new();
        if (!ctx)
                return rs_fail_oom(err);
        if (EVP_DigestVerifyInit_ex(ctx, NULL, DIGEST, ossl_context(), NULL, key, NULL) != 1)
                return rs_fail_ssl(err, INTERNAL, "EVP_DigestVerifyInit_ex");
        if (EVP_DigestVerify(ctx, signature_der.data, signature_der.size, message.data, message.size) != 1)
                return rs_fail_ssl(err, SIGNATURE, "the signature is not good");
        return 0;
}

/* The SPKI of a key, which may live in a token, in the one spelling. */
static int encode_spki(EVP_PKEY *key, uint8_t ret[SPKI_SIZE], RsError *err) {
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *ignored = NULL;
        unsigned char *der = NULL;
        int size, r;

        size = i2d_PUBKEY(key, &der);
        if (size <= 0)
                return rs_fail_ssl(err, ALGORITHM, "the public key cannot be encoded");
        r = parse_spki(SPAN(der, (size_t) size), &ignored, err);
        if (r >= 0)
                memcpy(ret, der, SPKI_SIZE);
        OPENSSL_free(der);
        return r;
}

int signature_spki(EVP_PKEY *key, Encoder *ret_der, uint8_t ret_sha256[32], RsError *err) {
        uint8_t spki[SPKI_SIZE], digest[32];
        size_t n = 0;
        int r;

        r = encode_spki(key, spki, err);
        if (r < 0)
                return r;
        if (EVP_Q_digest(ossl_context(), DIGEST, NULL, spki, sizeof(spki), digest, &n) != 1 || n != sizeof(digest))
                return rs_fail_ssl(err, INTERNAL, "SHA-256 failed");
        encoder_bytes(ret_der, spki, sizeof(spki));
        if (encoder_finish(ret_der) < 0)
                return rs_fail_oom(err);
        memcpy(ret_sha256, digest, sizeof(digest));
        return 0;
}

int signature_sign(EVP_PKEY *key, Span message, Encoder *ret_der, RsError *err) {
        _cleanup_(EVP_MD_CTX_freep) EVP_MD_CTX *ctx = NULL;
        uint8_t spki[SPKI_SIZE], signature[256];
        size_t size = sizeof(signature);
        int r;

        r = encode_spki(key, spki, err);
        if (r < 0)
                return r;
        ctx = EVP_MD_CTX_new();
        if (!ctx)
                return rs_fail_oom(err);
        if (EVP_DigestSignInit_ex(ctx, NULL, DIGEST, ossl_context(), NULL, key, NULL) != 1 ||
            EVP_DigestSign(ctx, signature, &size, message.data, message.size) != 1)
                return rs_fail_ssl(err, SIGNATURE, "the key could not sign");
        /* A token may answer nonsense, and a ceremony is not the place to find out later. */
        r = signature_verify(SPAN(spki, sizeof(spki)), message, SPAN(signature, size), err);
        if (r < 0)
                return rs_context(err, "a fresh signature");
        encoder_bytes(ret_der, signature, size);
        return encoder_finish(ret_der) < 0 ? rs_fail_oom(err) : 0;
}
