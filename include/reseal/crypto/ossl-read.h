/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * ossl-read - objects of OpenSSL from DER and PEM, in our library context (base/ossl.h).
 *
 * Spec:     docs/dependencies.md, "What of the machine reaches a library"
 * Trust:    input is hostile; sizes are bounded by the caller
 * Owns:     the caller frees what it gets
 * Units:    sizes in bytes
 * Errors:   NULL, and OpenSSL's queue says why; *p is moved behind what was read
 * Context:  any thread
 * Programs: all that link libcrypto.  What OpenSSL's own readers make belongs to the default context: its keys,
 *           digests and signatures are then looked for in the machine's providers
 */
#include <openssl/cms.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <reseal/base/ossl.h>

static inline X509 *ossl_d2i_x509(const unsigned char **p, long size) {
        X509 *made = X509_new_ex(ossl_context(), NULL);

        if (made && d2i_X509(&made, p, size))
                return made;
        X509_free(made);
        return NULL;
}

static inline X509_CRL *ossl_d2i_crl(const unsigned char **p, long size) {
        X509_CRL *made = X509_CRL_new_ex(ossl_context(), NULL);

        if (made && d2i_X509_CRL(&made, p, size))
                return made;
        X509_CRL_free(made);
        return NULL;
}

static inline CMS_ContentInfo *ossl_d2i_cms(const unsigned char **p, long size) {
        CMS_ContentInfo *made = CMS_ContentInfo_new_ex(ossl_context(), NULL);

        if (made && d2i_CMS_ContentInfo(&made, p, size))
                return made;
        CMS_ContentInfo_free(made);
        return NULL;
}

static inline EVP_PKEY *ossl_d2i_pubkey(const unsigned char **p, long size) {
        return d2i_PUBKEY_ex(NULL, p, size, ossl_context(), NULL);
}

static inline X509 *ossl_pem_x509(BIO *pem) {
        X509 *made = X509_new_ex(ossl_context(), NULL);

        if (made && PEM_read_bio_X509(pem, &made, NULL, NULL))
                return made;
        X509_free(made);
        return NULL;
}

static inline EVP_PKEY *ossl_pem_pubkey(BIO *pem) {
        return PEM_read_bio_PUBKEY_ex(pem, NULL, NULL, NULL, ossl_context(), NULL);
}
