/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * tss-cleanup - ownership by attribute for what ESYS allocates, and wiping for structures that hold secrets.
 *
 * Spec:     docs/architecture.md, "Ownership"; STYLE 7
 * Trust:    none
 * Owns:     a variable marked _cleanup_(esys_freep) owns what ESYS put there
 * Units:    none
 * Errors:   none
 * Context:  any thread
 * Programs: all that use a TPM; only sources of src/tpm include this
 */
#include <openssl/crypto.h>
#include <tss2/tss2_esys.h>

#include <reseal/base/cleanup.h>

/* For pointers that ESYS filled; Esys_Free(NULL) is fine. */
static inline void esys_freep(void *p) {
        Esys_Free(*(void **) p);
}

static inline void auth_wipe(TPM2B_AUTH *a) {
        OPENSSL_cleanse(a, sizeof(*a));
}

static inline void sensitive_create_wipe(TPM2B_SENSITIVE_CREATE *s) {
        OPENSSL_cleanse(s, sizeof(*s));
}

static inline void sensitive_data_freep(TPM2B_SENSITIVE_DATA **p) {
        if (*p)
                OPENSSL_cleanse(*p, sizeof(**p));
        Esys_Free(*p);
}

static inline void point_freep(TPM2B_ECC_POINT **p) {
        if (*p)
                OPENSSL_cleanse(*p, sizeof(**p));
        Esys_Free(*p);
}
