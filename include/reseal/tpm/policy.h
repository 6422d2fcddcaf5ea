/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * policy - digests that signers compute and a TPM compares: the arithmetic of level L2, without a TPM.
 *
 * Spec:     docs/format-chain.md, sections 2 and 7; docs/tpm.md, "Level L2"; TPM 2.0 Library part 1, 19.7
 *           and part 3, 23
 * Trust:    computing only
 * Owns:     flat values
 * Units:    none
 * Errors:   INTERNAL
 * Context:  any thread; no TPM needed
 * Programs: reseal-writer, reseal-bundle, reseal-provision
 */
#include <stdint.h>

#include <reseal/base/error.h>
#include <reseal/format/limits.h>

#define TPM_CHAIN_RECORD_SIZE 160u
#define TPM_AUTHPOL_SIZE 34u /* TPMT_HA: algorithm and SHA-256 */

/* Name of the public area with which a verifier loads an external P-256 key (point: uncompressed). */
int tpm_policy_key_name(const uint8_t point[RS_POINT_SIZE], uint8_t ret[34], RsError *err);
/* cpHash of NV_Write(CHAIN, record) for the index of this Name. */
int tpm_policy_cp_hash(const uint8_t record[TPM_CHAIN_RECORD_SIZE], const uint8_t chain_name[34],
                       uint8_t ret[32], RsError *err);
/* Digests that an approval signs, docs/format-chain.md. */
int tpm_policy_link(const uint8_t prev_point[RS_POINT_SIZE], const uint8_t prev_spki[32],
                    const uint8_t chain_name[34], uint8_t ret[32], RsError *err);
int tpm_policy_bridge(const uint8_t record[TPM_CHAIN_RECORD_SIZE], const uint8_t chain_name[34],
                      uint8_t ret[32], RsError *err);
int tpm_policy_genesis(const uint8_t record[TPM_CHAIN_RECORD_SIZE], const uint8_t chain_name_unwritten[34],
                       uint8_t ret[32], RsError *err);
/*
 * Names of a line's CHAIN index before and after its first write.  They follow from the recovery keys
 * alone: the authority can be
 * replaced under an index that stays.  The order of the keys matters, it is that of the trust set.
 */
int tpm_policy_chain_names(const uint8_t recovery[3][RS_POINT_SIZE], uint8_t ret_unwritten[34],
                           uint8_t ret_written[34], RsError *err);

/* Content of AUTHPOL under this authority. */
int tpm_policy_authpol(const uint8_t authority[RS_POINT_SIZE], const uint8_t recovery[3][RS_POINT_SIZE],
                       uint8_t ret[TPM_AUTHPOL_SIZE], RsError *err);
/*
 * Authority replacement (docs/format-chain.md, section 7): what the endorsement (4 zero bytes before it)
 * and the approval
 * ("reseal-bridge" behind it) of a recovery pair are over.
 */
int tpm_policy_replace(const uint8_t old_authpol[TPM_AUTHPOL_SIZE],
                       const uint8_t new_authpol[TPM_AUTHPOL_SIZE], const uint8_t recovery[3][RS_POINT_SIZE],
                       uint8_t ret_cp_hash[32], uint8_t ret_policy[32], RsError *err);
