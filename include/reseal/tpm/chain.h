/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * chain - level L2: the chain part of the record in an index that only the chain's own signatures can move.
 *
 * Spec:     docs/tpm.md, "Level L2"; DESIGN.md 6; threats.md 3.6
 * Trust:    links were judged by room trust; the TPM judges them again by its policy, also against root
 * Owns:     flat values
 * Units:    bytes
 * Errors:   those of tpm.h; TPM_AUTH when the policy refuses the link; CHAIN for a link that is not for
 *           this CHAIN
 * Context:  as tpm.h
 * Programs: reseal-writer, reseal-provision, reseal-unlock (reading)
 */
#include <stdbool.h>

#include <reseal/format/authority.h>
#include <reseal/format/limits.h>
#include <reseal/format/link.h>
#include <reseal/tpm/tpm.h>

#define TPM_NV_CHAIN 0x01400200u
#define TPM_NV_AUTHPOL 0x01400201u  /* what may write CHAIN */
/* the three recovery keys, so that the branches can be computed on the device */
#define TPM_NV_RECOVERY 0x01400202u

typedef enum TpmLevel {
        TPM_LEVEL_L1 = 1, /* record guarded by the gate secret and the ACCEPT counter */
        TPM_LEVEL_L2 = 2, /* chain part in the CHAIN index as well, which is authoritative */
} TpmLevel;

/* The level of this TPM: L2 as soon as CHAIN exists. */
int tpm_level(Tpm *t, TpmLevel *ret, RsError *err);
/* *ret_empty: defined and never written. INVALID at level L1. */
int tpm_chain_read(Tpm *t, bool *ret_empty, ChainRecord *ret, RsError *err);
/* Writes the link's record under its signatures; a CHAIN that already holds it is left alone. */
int tpm_chain_apply(Tpm *t, const Link *link, RsError *err);

/* What the TPM will hold links against, read once before anything is destroyed for their sake. */
typedef struct ChainRules {
        bool empty;                                       /* the first link must be a genesis */
        uint8_t names[2][LINK_NAME_SIZE];                 /* of CHAIN: never written, written */
        uint8_t authority_policy[AUTHORITY_POLICY_SIZE];  /* in force */
        uint8_t recovery[3][RS_POINT_SIZE];
} ChainRules;

int tpm_chain_rules(Tpm *t, ChainRules *ret, RsError *err);
/*
 * CHAIN for a link that tpm_chain_apply() would refuse because of whom it is made for: another line's CHAIN or none
 * (a link for level L1), or another authority.  first: the first one of several.  Signatures are not judged here.
 */
int tpm_chain_suits(const ChainRules *rules, const Link *link, bool first, RsError *err);

/* What AUTHPOL holds: `before` of the next replacement. */
int tpm_chain_authpol(Tpm *t, uint8_t ret[AUTHORITY_POLICY_SIZE], RsError *err);
/* Another authority by two recovery keys; one that is already in force is left alone. */
int tpm_chain_replace_authority(Tpm *t, const AuthorityChange *change, RsError *err);

/* Factory: platform hierarchy (platform_auth may be NULL: empty). Idempotent. */
int tpm_provision_chain(Tpm *t, const Secret *platform_auth, const uint8_t authority[RS_POINT_SIZE],
                        const uint8_t recovery[3][RS_POINT_SIZE], bool *ret_changed, RsError *err);
/* Uncompressed point of a P-256 key: DER SubjectPublicKeyInfo, and certificate. CHAIN for others. */
int tpm_point_of_spki(Span spki, uint8_t ret[RS_POINT_SIZE], RsError *err);
int tpm_point_of_certificate(Span der, uint8_t ret[RS_POINT_SIZE], RsError *err);
