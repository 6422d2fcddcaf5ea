/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * aead - AES-256-GCM for tables and frames, and the HKDF that makes their keys.
 *
 * Spec:     docs/format-bundle.md section 5; NIST SP 800-38D; RFC 5869
 * Trust:    a good tag proves integrity against outsiders only; authenticity is the signed digest
 * Owns:     an Aead owns its contexts; it copies the key into OpenSSL's context, cleansed on free
 * Units:    bytes
 * Errors:   DECRYPT (tag), INTERNAL
 * Context:  one Aead per thread
 * Programs: reseald, reseal-bundle, reseal-source
 */
#include <reseal/base/error.h>
#include <reseal/base/secret.h>
#include <reseal/format/limits.h>

typedef struct Aead Aead;

int aead_new(const Secret *key, Aead **ret, RsError *err);
Aead *aead_free(Aead *a);
RS_DEFINE_CLEANUP(Aead, aead_free)
/* Encrypts data to ret (may be equal); the tag goes behind: data.size + 16 bytes in all. */
int aead_seal(Aead *a, const uint8_t nonce[12], Span aad, Span data, uint8_t *ret, RsError *err);
/* sealed = ciphertext || tag; ret gets sealed.size - 16 bytes (may be sealed.data); wiped on failure. */
int aead_open(Aead *a, const uint8_t nonce[12], Span aad, Span sealed, uint8_t *ret, RsError *err);

/* HKDF-SHA256, extract and expand. */
int hkdf_sha256(const Secret *ikm, Span salt, Span info, size_t size, Secret **ret, RsError *err);

/* Keys, nonces and additional data of docs/format-bundle.md section 5 */
#define FRAME_AAD_SIZE 48u
#define TABLE_AAD_SIZE 36u
int bundle_table_key(const Secret *content_key, const uint8_t bundle_id[32], uint32_t image, Secret **ret,
                     RsError *err);
int bundle_frames_key(const Secret *content_key, const uint8_t bundle_id[32], uint32_t image, Secret **ret,
                      RsError *err);
void bundle_table_aad(const uint8_t bundle_id[32], uint32_t image, uint8_t ret[TABLE_AAD_SIZE]);
void bundle_frame_aad(const uint8_t bundle_id[32], uint32_t image, uint64_t frame, uint32_t payload_size,
                      uint8_t ret[FRAME_AAD_SIZE]);
void bundle_frame_nonce(uint64_t frame, uint8_t ret[12]);
