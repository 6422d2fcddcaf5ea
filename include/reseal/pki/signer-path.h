/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * signer-path - the certificates of a signer chain: what each says, and the path of many under one authority.
 *
 * Spec:     docs/format-chain.md, sections 1 and 3 (rules 5 and 6); requirements S36, S57, S60
 * Trust:    input is hostile; signer_facts is unproven, signer_path_verify proves
 * Owns:     a SignerPath borrows anchors and CRLs; results are flat
 * Units:    seconds since 1970 UTC
 * Errors:   CERTIFICATE, ALGORITHM (not a P-256 key), and those of path.h
 * Context:  one thread for each SignerPath
 * Programs: reseal-writer, reseal-bundle
 */
#include <stdint.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/error.h>
#include <reseal/base/span.h>
#include <reseal/pki/crl.h>
#include <reseal/pki/firmware.h>
#include <reseal/pki/path.h>

#define SIGNER_SPKI_SIZE 91u         /* the one spelling of a P-256 key, pki/signature.h */

typedef struct SignerFacts {
        FirmwarePlace place;
        uint8_t spki[SIGNER_SPKI_SIZE];
        uint8_t spki_sha256[32];
} SignerFacts;

/* What a certificate says of itself.  Nothing of it is proven. */
int signer_facts(Span signer_der, SignerFacts *ret, RsError *err);

typedef struct SignerPath SignerPath;

int signer_path_new(const TrustAnchors *anchors, const CrlSet *crls, SignerPath **ret, RsError *err);
SignerPath *signer_path_free(SignerPath *p);
RS_DEFINE_CLEANUP(SignerPath, signer_path_free)

/*
 * The signer's certificate is issued by exactly this authority, and that by an anchor.  An authority that was good
 * for the signer before is not verified again.  time_low 0: expiry is not judged, as PathRules.
 */
int signer_path_verify(SignerPath *p, Span signer_der, Span authority_der, uint64_t time_low, uint64_t time_high,
                       RsError *err);
/* The authority's key as an SPKI; unproven like signer_facts. */
int signer_authority_spki(Span authority_der, uint8_t ret[SIGNER_SPKI_SIZE], RsError *err);
