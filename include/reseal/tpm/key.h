/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * key - the device's three keys: made in the TPM, kept as blobs under the SRK, used there.
 *
 * Spec:     docs/tpm.md; requirements S10, S42, S43
 * Trust:    private halves never leave the TPM; a blob is useless elsewhere
 * Owns:     a TpmKey is a flat value (public and wrapped private part)
 * Units:    bytes
 * Errors:   those of tpm.h; TPM_STATE when a blob is not one of ours or belongs to another TPM
 * Context:  as tpm.h
 * Programs: reseald, reseal-provision
 */
#include <stdbool.h>

#include <reseal/base/span.h>
#include <reseal/format/limits.h>
#include <reseal/tpm/tpm.h>

typedef enum TpmKeyPurpose {
        TPM_KEY_IDENTITY, /* ECDSA P-256, unrestricted: TLS client */
        TPM_KEY_UNWRAP,   /* ECDH P-256: tickets */
        TPM_KEY_ATTEST,   /* ECDSA P-256, restricted: signs only what the TPM made */
        _TPM_KEY_PURPOSE_MAX,
} TpmKeyPurpose;

#define TPM_BLOB_MAX 1024u

typedef struct TpmKey {
        uint8_t blob[TPM_BLOB_MAX];  /* TPM2B_PRIVATE || TPM2B_PUBLIC */
        uint32_t blob_size;
        uint8_t point[RS_POINT_SIZE];
        TpmKeyPurpose purpose;       /* follows from the public area, which is compared whole */
} TpmKey;

int tpm_key_create(Tpm *t, TpmKeyPurpose purpose, TpmKey *ret, RsError *err);
int tpm_key_parse(Span blob, TpmKey *ret, RsError *err);            /* no TPM needed */
int tpm_key_check(Tpm *t, const TpmKey *key, RsError *err);         /* loads it: is this its TPM? */
/* ECDSA over a 32-byte digest; DER signature of at most 72 bytes. */
int tpm_key_sign(Tpm *t, const TpmKey *key, const uint8_t digest[32], uint8_t ret_der[72], size_t *ret_size,
                 RsError *err);
/* TPM2_ECDH_ZGen: X coordinate, 32 bytes. */
int tpm_key_ecdh(Tpm *t, const TpmKey *key, const uint8_t point[RS_POINT_SIZE], Secret **ret_z, RsError *err);
/* DER SubjectPublicKeyInfo and its SHA-256 (the device id for the unwrap key). */
int tpm_key_spki(const TpmKey *key, Encoder *ret_der /* or NULL */, uint8_t ret_sha256[32], RsError *err);
/* TPM2_Certify: statement (TPMS_ATTEST) and signature of the attestation key that subject lives in this TPM. */
int tpm_key_certify(Tpm *t, const TpmKey *attest, const TpmKey *subject, Span nonce, Encoder *ret_statement,
                    uint8_t ret_der[72], size_t *ret_size, RsError *err);
/* The TPM's own words for what the public area permits: "fixedTPM", "noDA", ...; how many of them. */
#define TPM_KEY_ATTRIBUTES_MAX 16u
unsigned tpm_key_attributes(const TpmKey *key, const char *ret[TPM_KEY_ATTRIBUTES_MAX]);
/* "ECDSA P-256 SHA-256", "ECDH P-256 SHA-256" */
const char *tpm_key_algorithm(const TpmKey *key);
const char *tpm_key_purpose_to_string(TpmKeyPurpose purpose); /* "identity", "unwrap", "attest" */

/*
 * The identity key as an EVP_PKEY of a built-in provider, for TLS and CSRs.  t and key must outlive the
 * result.  The first call changes the default properties of the process's OpenSSL (provider.c says why): call
 * it before threads use OpenSSL.
 */
struct evp_pkey_st;
int tpm_key_evp(Tpm *t, const TpmKey *key, struct evp_pkey_st **ret, RsError *err);
/* OpenSSL carries no reason: did the last signature for it fail, and why?  For after a failed handshake. */
bool tpm_key_evp_failure(Tpm *t, RsError *ret);
/* TPM2_Sign calls made so far through this Tpm: one per TLS handshake (S29). */
uint64_t tpm_sign_count(const Tpm *t);
