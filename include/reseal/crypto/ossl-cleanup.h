/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * ossl-cleanup - ownership by attribute for OpenSSL's objects, once for all rooms behind that door.
 *
 * Spec:     docs/architecture.md, "Ownership"
 * Trust:    none
 * Owns:     a variable marked _cleanup_(X_freep) owns what it holds; every X_freep accepts NULL
 * Units:    none
 * Errors:   none
 * Context:  any thread
 * Programs: all that link libcrypto; only sources of crypto, pki and tpm (and their tests) include this
 */
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/cms.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/param_build.h>
#include <openssl/store.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <reseal/base/cleanup.h>

#define OSSL_DEFINE_CLEANUP(type, fn)        \
        static inline void fn##p(type **p) { \
                fn(*p);                      \
                *p = NULL;                   \
        }

OSSL_DEFINE_CLEANUP(ASN1_OBJECT, ASN1_OBJECT_free)
OSSL_DEFINE_CLEANUP(BIO, BIO_free_all)
OSSL_DEFINE_CLEANUP(BIGNUM, BN_clear_free)
OSSL_DEFINE_CLEANUP(ECDSA_SIG, ECDSA_SIG_free)
OSSL_DEFINE_CLEANUP(CMS_ContentInfo, CMS_ContentInfo_free)
OSSL_DEFINE_CLEANUP(EVP_CIPHER, EVP_CIPHER_free)
OSSL_DEFINE_CLEANUP(EVP_CIPHER_CTX, EVP_CIPHER_CTX_free)
OSSL_DEFINE_CLEANUP(EVP_KDF, EVP_KDF_free)
OSSL_DEFINE_CLEANUP(EVP_MD, EVP_MD_free)
OSSL_DEFINE_CLEANUP(EVP_KDF_CTX, EVP_KDF_CTX_free)
OSSL_DEFINE_CLEANUP(EVP_PKEY, EVP_PKEY_free)
OSSL_DEFINE_CLEANUP(EVP_PKEY_CTX, EVP_PKEY_CTX_free)
OSSL_DEFINE_CLEANUP(OSSL_PARAM, OSSL_PARAM_free)
OSSL_DEFINE_CLEANUP(OSSL_PARAM_BLD, OSSL_PARAM_BLD_free)
OSSL_DEFINE_CLEANUP(OSSL_STORE_CTX, OSSL_STORE_close)
OSSL_DEFINE_CLEANUP(OSSL_STORE_INFO, OSSL_STORE_INFO_free)
OSSL_DEFINE_CLEANUP(X509, X509_free)
OSSL_DEFINE_CLEANUP(X509_STORE, X509_STORE_free)
OSSL_DEFINE_CLEANUP(X509_STORE_CTX, X509_STORE_CTX_free)

/* A stack with its certificates. */
static inline void sk_X509_freep(STACK_OF(X509) **p) {
        sk_X509_pop_free(*p, X509_free);
}

static inline void sk_EKU_freep(EXTENDED_KEY_USAGE **p) {
        EXTENDED_KEY_USAGE_free(*p);
}
