/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * signature - one bare ECDSA P-256 signature with SHA-256 over a message, as the TPM wants it.
 *
 * Spec:     docs/format-chain.md, section 2; FIPS 186-5
 * Trust:    verify: all input hostile; only P-256 keys by name (no explicit parameters) with an uncompressed point,
 *           so that a key has one SPKI and one hash
 * Owns:     results belong to the caller
 * Units:    bytes
 * Errors:   SIGNATURE, ALGORITHM (another kind of key), CERTIFICATE (not a SubjectPublicKeyInfo)
 * Context:  any thread; sign may ask a token
 * Programs: reseal-writer (verify), reseal-bundle
 */
#include <reseal/base/error.h>
#include <reseal/base/span.h>

struct evp_pkey_st;

int signature_verify(Span spki_der, Span message, Span signature_der, RsError *err);
int signature_sign(struct evp_pkey_st *key, Span message, Encoder *ret_der, RsError *err);
/* DER SubjectPublicKeyInfo of a P-256 key (91 bytes), and its SHA-256. */
int signature_spki(struct evp_pkey_st *key, Encoder *ret_der, uint8_t ret_sha256[32], RsError *err);
/* Uncompressed point (65 bytes) of an SPKI; CERTIFICATE or ALGORITHM if it is not a P-256 key. */
int signature_point(Span spki_der, uint8_t ret[65], RsError *err);
