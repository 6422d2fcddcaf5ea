/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * ossl-cleanup - scope-bound OpenSSL objects of the crypto room.
 *
 * Spec:     STYLE 6
 * Trust:    none
 * Owns:     the variable marked _cleanup_
 * Units:    none
 * Errors:   none
 * Context:  any thread
 * Programs: all
 */
#include <openssl/evp.h>
#include <openssl/kdf.h>

#include <reseal/base/cleanup.h>

#define OSSL_DEFINE_CLEANUP(type, fn)        \
        static inline void fn##p(type **p) { \
                fn(*p);                      \
                *p = NULL;                   \
        }

OSSL_DEFINE_CLEANUP(EVP_KDF, EVP_KDF_free)
OSSL_DEFINE_CLEANUP(EVP_KDF_CTX, EVP_KDF_CTX_free)
OSSL_DEFINE_CLEANUP(EVP_CIPHER, EVP_CIPHER_free)
