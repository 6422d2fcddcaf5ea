/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * keys - the few conversions that room trust needs and cannot do, since OpenSSL has its door here.
 *
 * Recovery keys are known by the hash of their SubjectPublicKeyInfo.  The TPM computes with these keys at level L2, so
 * only what signature_spki takes is a recovery key: P-256 by name, uncompressed, and so with one encoding and one hash.
 * Three keys of which two are the same would turn "two of three" into one.
 */
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include <reseal/crypto/ossl-cleanup.h>
#include <reseal/crypto/ossl-read.h>
#include <reseal/format/limits.h>
#include <reseal/pki/keys.h>
#include <reseal/pki/signature.h>

/* 1 = the next block is a public key, 0 = there is no further block. */
static int next_key(BIO *bio, EVP_PKEY **ret, RsError *err) {
        char *name = NULL, *header = NULL;
        unsigned char *data = NULL;
        const unsigned char *p;
        EVP_PKEY *key = NULL;
        long size = 0;

        ERR_clear_error();
        if (PEM_read_bio(bio, &name, &header, &data, &size) != 1) {
                if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
                        return rs_fail_ssl(err, CONFIG, "damaged PEM");
                ERR_clear_error();
                return 0;
        }
        p = data;
        if (strcmp(name, PEM_STRING_PUBLIC) == 0)
                key = ossl_d2i_pubkey(&p, size);
        if (key && p != data + size) {
                EVP_PKEY_free(key);
                key = NULL;
        }
        OPENSSL_free(name);
        OPENSSL_free(header);
        OPENSSL_free(data);
        if (!key)
                return rs_fail_ssl(err, CONFIG, "not a public key in PEM");
        *ret = key;
        return 1;
}

static int take_key(BIO *bio, uint8_t ret[32], RsError *err) {
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
        _cleanup_(encoder_done) Encoder der = ENCODER_INIT;
        int r;

        r = next_key(bio, &key, err);
        if (r <= 0)
                return r == 0 ? rs_fail(err, CONFIG, "there is no such key") : r;
        return signature_spki(key, &der, ret, err);
}

int keys_parse(Span pem, uint8_t (*ret)[32], uint32_t n, RsError *err) {
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *more = NULL;
        _cleanup_(BIO_free_allp) BIO *bio = NULL;
        uint8_t keys[8][32];
        int r;

        if (n > ELEMENTSOF(keys) || pem.size > RS_CERT_FILE_MAX)
                return rs_fail(err, CONFIG, "public keys: too many");
        bio = BIO_new_mem_buf(pem.data, (int) pem.size);
        if (!bio)
                return rs_fail_oom(err);
        for (uint32_t i = 0; i < n; i++) {
                r = take_key(bio, keys[i], err);
                if (r < 0)
                        return rs_context(err, "public key %u of %u", i + 1, n);
                for (uint32_t k = 0; k < i; k++)
                        if (memcmp(keys[k], keys[i], sizeof(keys[i])) == 0)
                                return rs_fail(err, CONFIG, "public keys %u and %u are the same", k + 1, i + 1);
        }
        r = next_key(bio, &more, err);
        if (r != 0)
                return r > 0 ? rs_fail(err, CONFIG, "more than %u public keys", n) : r;
        memcpy(ret, keys, n * sizeof(keys[0]));
        return 0;
}

static int parse_cert(Span der, X509 **ret, RsError *err) {
        const unsigned char *p = der.data;
        X509 *cert;

        if (der.size == 0 || der.size > RS_CERT_FILE_MAX)
                return rs_fail(err, CERTIFICATE, "certificate: empty or larger than %u bytes", RS_CERT_FILE_MAX);
        cert = ossl_d2i_x509(&p, (long) der.size);
        if (!cert)
                return rs_fail_ssl(err, CERTIFICATE, "not a certificate in DER");
        if (p != der.data + der.size) {
                X509_free(cert);
                return rs_fail(err, CERTIFICATE, "bytes behind a certificate");
        }
        *ret = cert;
        return 0;
}

int certs_parse(const Span *ders, uint32_t n, STACK_OF(X509) **ret, RsError *err) {
        _cleanup_(sk_X509_freep) STACK_OF(X509) *certs = sk_X509_new_null();
        int r;

        if (!certs)
                return rs_fail_oom(err);
        for (uint32_t i = 0; i < n; i++) {
                X509 *cert;

                r = parse_cert(ders[i], &cert, err);
                if (r < 0)
                        return r;
                if (sk_X509_push(certs, cert) <= 0) {
                        X509_free(cert);
                        return rs_fail_oom(err);
                }
        }
        *ret = TAKE_PTR(certs);
        return 0;
}

STACK_OF(X509) *certs_free(STACK_OF(X509) *certs) {
        sk_X509_pop_free(certs, X509_free);
        return NULL;
}
