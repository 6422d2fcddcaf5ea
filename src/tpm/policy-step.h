/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * policy-step - what each policy command does to the digest of a session.
 *
 * Spec:     TPM 2.0 Library part 1, 19.7 and part 3, 23; docs/tpm.md, "Policies" and "Level L2"
 * Trust:    computing only
 * Owns:     a Policy is a flat value, the digest of a session that starts at zero
 * Units:    bytes
 * Errors:   INTERNAL, NO_MEMORY
 * Context:  any thread, no TPM
 * Programs: all that use a TPM; private to src/tpm
 */
#include <reseal/tpm/policy.h>

#include "nv.h"

typedef struct Policy {
        uint8_t digest[TPM_DIGEST_SIZE];
} Policy;

int policy_secret(Policy *p, Span name, RsError *err);
int policy_signed(Policy *p, const uint8_t key_name[TPM_NAME_SIZE], RsError *err);
int policy_nv(Policy *p, Span operand, uint16_t offset, uint16_t operation,
              const uint8_t nv_name[TPM_NAME_SIZE], RsError *err);
int policy_nv_unwritten(Policy *p, RsError *err);
int policy_cp_hash(Policy *p, const uint8_t cp_hash[TPM_DIGEST_SIZE], RsError *err);
/* These three start over: they replace what the session had by what they prove about it. */
int policy_authorize(Policy *p, const uint8_t key_name[TPM_NAME_SIZE], const char *policy_ref, RsError *err);
int policy_authorize_nv(Policy *p, const uint8_t nv_name[TPM_NAME_SIZE], RsError *err);
int policy_or(Policy *p, const uint8_t (*branches)[TPM_DIGEST_SIZE], unsigned n_branches, RsError *err);

/* Offsets in a record, docs/tpm.md, and in AUTHPOL. */
#define POLICY_LINE_OFFSET 8u
#define POLICY_INDEX_OFFSET 32u
#define POLICY_SPKI_OFFSET 40u
#define POLICY_AUTHPOL_OFFSET 2u

#define POLICY_REF_LINK "reseal-link"
#define POLICY_REF_BRIDGE "reseal-bridge"

/* The public area with which an external P-256 key is loaded, and its Name. */
TPM2B_PUBLIC policy_key_public(const uint8_t point[RS_POINT_SIZE]);

/* Recovery pairs 0-1, 0-2, 1-2: who approves (the earlier) and who endorses. */
#define POLICY_PAIRS 3u
extern const uint8_t policy_pairs[POLICY_PAIRS][2];
/* What a pair may do: PolicyAuthorize(approves), PolicySigned(endorses). */
int policy_pair(const uint8_t recovery[3][RS_POINT_SIZE], unsigned pair, uint8_t ret[TPM_DIGEST_SIZE],
                RsError *err);
/* The four branches that write CHAIN: the authority, then the pairs. */
#define POLICY_CHAIN_BRANCHES 4u
int policy_chain_branches(const uint8_t authority[RS_POINT_SIZE], const uint8_t recovery[3][RS_POINT_SIZE],
                          uint8_t ret[POLICY_CHAIN_BRANCHES][TPM_DIGEST_SIZE], RsError *err);
/* The four branches that write AUTHPOL: its first write, then the pairs. */
int policy_authpol_branches(const uint8_t recovery[3][RS_POINT_SIZE],
                            uint8_t ret[POLICY_CHAIN_BRANCHES][TPM_DIGEST_SIZE], RsError *err);

/* Public areas of the three indices of level L2, with their policies. */
int policy_nv_public(TPM2_HANDLE index, const uint8_t recovery[3][RS_POINT_SIZE], bool written,
                     TPM2B_NV_PUBLIC *ret, RsError *err);
int policy_nv_name(const TPM2B_NV_PUBLIC *area, uint8_t ret[TPM_NAME_SIZE], RsError *err);
