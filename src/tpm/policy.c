/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * policy - digests that signers compute and a TPM compares, without a TPM.
 *
 * A policy digest is a hash chain over the commands that a session has run, so whoever signs a permission
 * can compute
 * it on a machine that has no TPM, once for all devices of a line.  That works because everything named in
 * it is equal
 * on every device: the public areas of keys (a fixed template) and of NV indices (handle, attributes, size,
 * policy).
 *
 * The chain of Names at level L2 must not bite its own tail: CHAIN's policy names AUTHPOL
 * (PolicyAuthorizeNV), AUTHPOL's
 * policy names the recovery keys, and nothing names the authority, whose permission is *content* of
 * AUTHPOL.  So an
 * authority can be replaced and CHAIN keeps its Name, and with it all links that were ever signed keep
 * their meaning.
 *
 * AUTHPOL's first write cannot be signed by anybody (a policy over its cpHash would contain its own Name):
 * its first
 * branch is PolicyNvWritten(false), which is true exactly once in the life of an index that cannot be
 * deleted.
 *
 * All digests are compared with those of trial sessions by the tests.
 */
#include <string.h>

#include <tss2/tss2_mu.h>

#include <reseal/base/span.h>
#include <reseal/crypto/digest.h>
#include <reseal/tpm/chain.h>

#include "policy-step.h"

static const Policy policy_start;

static int hash_of(const Encoder *e, uint8_t ret[TPM_DIGEST_SIZE], RsError *err) {
        if (encoder_finish(e) < 0)
                return rs_fail_oom(err);
        return digest_sha256(encoder_view(e), ret, err);
}

/* digest = SHA-256(digest || command || a || b) */
static int extend(Policy *p, TPM2_CC command, Span a, Span b, RsError *err) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;

        encoder_bytes(&e, p->digest, sizeof(p->digest));
        encoder_u32(&e, command);
        encoder_span(&e, a);
        encoder_span(&e, b);
        return hash_of(&e, p->digest, err);
}

/* Part 3, PolicyUpdate(): a second round for policyRef, also when that is empty. */
static int update(Policy *p, TPM2_CC command, Span name, Span policy_ref, RsError *err) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        int r;

        r = extend(p, command, name, SPAN(NULL, 0), err);
        if (r < 0)
                return r;
        encoder_bytes(&e, p->digest, sizeof(p->digest));
        encoder_span(&e, policy_ref);
        return hash_of(&e, p->digest, err);
}

int policy_secret(Policy *p, Span name, RsError *err) {
        return update(p, TPM2_CC_PolicySecret, name, SPAN(NULL, 0), err);
}

int policy_signed(Policy *p, const uint8_t key_name[TPM_NAME_SIZE], RsError *err) {
        return update(p, TPM2_CC_PolicySigned, SPAN(key_name, TPM_NAME_SIZE), SPAN(NULL, 0), err);
}

int policy_nv(Policy *p, Span operand, uint16_t offset, uint16_t operation,
              const uint8_t nv_name[TPM_NAME_SIZE], RsError *err) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        uint8_t arguments[TPM_DIGEST_SIZE];
        int r;

        encoder_span(&e, operand);
        encoder_u16(&e, offset);
        encoder_u16(&e, operation);
        r = hash_of(&e, arguments, err);
        if (r < 0)
                return r;
        return extend(p, TPM2_CC_PolicyNV, SPAN_ARRAY(arguments), SPAN(nv_name, TPM_NAME_SIZE), err);
}

int policy_nv_unwritten(Policy *p, RsError *err) {
        static const uint8_t no = TPM2_NO;

        return extend(p, TPM2_CC_PolicyNvWritten, SPAN(&no, 1), SPAN(NULL, 0), err);
}

int policy_cp_hash(Policy *p, const uint8_t cp_hash[TPM_DIGEST_SIZE], RsError *err) {
        return extend(p, TPM2_CC_PolicyCpHash, SPAN(cp_hash, TPM_DIGEST_SIZE), SPAN(NULL, 0), err);
}

int policy_authorize(Policy *p, const uint8_t key_name[TPM_NAME_SIZE], const char *policy_ref, RsError *err) {
        *p = policy_start;
        return update(p, TPM2_CC_PolicyAuthorize, SPAN(key_name, TPM_NAME_SIZE),
                      SPAN(policy_ref, strlen(policy_ref)), err);
}

int policy_authorize_nv(Policy *p, const uint8_t nv_name[TPM_NAME_SIZE], RsError *err) {
        *p = policy_start;
        return extend(p, TPM2_CC_PolicyAuthorizeNV, SPAN(nv_name, TPM_NAME_SIZE), SPAN(NULL, 0), err);
}

int policy_or(Policy *p, const uint8_t (*branches)[TPM_DIGEST_SIZE], unsigned n_branches, RsError *err) {
        *p = policy_start;
        return extend(p, TPM2_CC_PolicyOR, SPAN(branches, (size_t) n_branches * TPM_DIGEST_SIZE),
                      SPAN(NULL, 0), err);
}

/* Names */

static int name_of(Span area, uint8_t ret[TPM_NAME_SIZE], RsError *err) {
        ret[0] = TPM2_ALG_SHA256 >> 8;
        ret[1] = TPM2_ALG_SHA256 & 0xff;
        return digest_sha256(area, ret + 2, err);
}

TPM2B_PUBLIC policy_key_public(const uint8_t point[RS_POINT_SIZE]) {
        TPM2B_PUBLIC p = {
                .publicArea = {
                        .type = TPM2_ALG_ECC,
                        .nameAlg = TPM2_ALG_SHA256,
                        .objectAttributes = TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_SIGN_ENCRYPT,
                        .parameters.eccDetail = {
                                .symmetric.algorithm = TPM2_ALG_NULL,
                                .scheme = { .scheme = TPM2_ALG_ECDSA, .details.ecdsa.hashAlg = TPM2_ALG_SHA256 },
                                .curveID = TPM2_ECC_NIST_P256,
                                .kdf.scheme = TPM2_ALG_NULL,
                        },
                        .unique.ecc = { .x.size = 32, .y.size = 32 },
                },
        };

        memcpy(p.publicArea.unique.ecc.x.buffer, point + 1, 32);
        memcpy(p.publicArea.unique.ecc.y.buffer, point + 33, 32);
        return p;
}

int tpm_policy_key_name(const uint8_t point[RS_POINT_SIZE], uint8_t ret[34], RsError *err) {
        TPM2B_PUBLIC p = policy_key_public(point);
        uint8_t bytes[sizeof(TPMT_PUBLIC)];
        size_t size = 0;

        if (point[0] != 4)
                return rs_fail(err, INTERNAL, "a point that is not uncompressed");
        if (Tss2_MU_TPMT_PUBLIC_Marshal(&p.publicArea, bytes, sizeof(bytes), &size) != TSS2_RC_SUCCESS)
                return rs_fail(err, INTERNAL, "public area of a key");
        return name_of(SPAN(bytes, size), ret, err);
}

int policy_nv_name(const TPM2B_NV_PUBLIC *area, uint8_t ret[TPM_NAME_SIZE], RsError *err) {
        uint8_t bytes[sizeof(TPM2B_NV_PUBLIC)];
        size_t size = 0;

        if (Tss2_MU_TPMS_NV_PUBLIC_Marshal(&area->nvPublic, bytes, sizeof(bytes), &size) != TSS2_RC_SUCCESS)
                return rs_fail(err, INTERNAL, "public area of index 0x%x", area->nvPublic.nvIndex);
        return name_of(SPAN(bytes, size), ret, err);
}

/* Level L2: the three indices */

const uint8_t policy_pairs[POLICY_PAIRS][2] = { { 0, 1 }, { 0, 2 }, { 1, 2 } };

int policy_pair(const uint8_t recovery[3][RS_POINT_SIZE], unsigned pair, uint8_t ret[TPM_DIGEST_SIZE],
                RsError *err) {
        uint8_t approves[TPM_NAME_SIZE], endorses[TPM_NAME_SIZE];
        Policy p;
        int r;

        r = tpm_policy_key_name(recovery[policy_pairs[pair][0]], approves, err);
        if (r < 0)
                return r;
        r = tpm_policy_key_name(recovery[policy_pairs[pair][1]], endorses, err);
        if (r < 0)
                return r;
        r = policy_authorize(&p, approves, POLICY_REF_BRIDGE, err);
        if (r < 0)
                return r;
        r = policy_signed(&p, endorses, err);
        if (r < 0)
                return r;
        memcpy(ret, p.digest, TPM_DIGEST_SIZE);
        return 0;
}

static int pairs_behind(const Policy *first, const uint8_t recovery[3][RS_POINT_SIZE],
                        uint8_t ret[POLICY_CHAIN_BRANCHES][TPM_DIGEST_SIZE], RsError *err) {
        int r;

        memcpy(ret[0], first->digest, TPM_DIGEST_SIZE);
        for (unsigned i = 0; i < POLICY_PAIRS; i++) {
                r = policy_pair(recovery, i, ret[1 + i], err);
                if (r < 0)
                        return r;
        }
        return 0;
}

int policy_chain_branches(const uint8_t authority[RS_POINT_SIZE], const uint8_t recovery[3][RS_POINT_SIZE],
                          uint8_t ret[POLICY_CHAIN_BRANCHES][TPM_DIGEST_SIZE], RsError *err) {
        uint8_t name[TPM_NAME_SIZE];
        Policy p;
        int r;

        r = tpm_policy_key_name(authority, name, err);
        if (r < 0)
                return r;
        r = policy_authorize(&p, name, POLICY_REF_LINK, err);
        if (r < 0)
                return r;
        return pairs_behind(&p, recovery, ret, err);
}

int policy_authpol_branches(const uint8_t recovery[3][RS_POINT_SIZE],
                            uint8_t ret[POLICY_CHAIN_BRANCHES][TPM_DIGEST_SIZE], RsError *err) {
        Policy p = policy_start;
        int r;

        r = policy_nv_unwritten(&p, err);
        if (r < 0)
                return r;
        return pairs_behind(&p, recovery, ret, err);
}

static int policy_of_index(TPM2_HANDLE index, const uint8_t recovery[3][RS_POINT_SIZE], Policy *ret,
                           RsError *err) {
        uint8_t branches[POLICY_CHAIN_BRANCHES][TPM_DIGEST_SIZE], name[TPM_NAME_SIZE];
        TPM2B_NV_PUBLIC authpol;
        int r;

        *ret = policy_start;
        if (index == TPM_NV_RECOVERY)
                return policy_nv_unwritten(ret, err);
        r = policy_authpol_branches(recovery, branches, err);
        if (r < 0)
                return r;
        r = policy_or(ret, branches, POLICY_CHAIN_BRANCHES, err);
        if (r < 0 || index == TPM_NV_AUTHPOL)
                return r;
        r = policy_nv_public(TPM_NV_AUTHPOL, recovery, true, &authpol,
                             err); /* one level deep: AUTHPOL returns above */
        if (r < 0)
                return r;
        r = policy_nv_name(&authpol, name, err);
        if (r < 0)
                return r;
        return policy_authorize_nv(ret, name, err);
}

int policy_nv_public(TPM2_HANDLE index, const uint8_t recovery[3][RS_POINT_SIZE], bool written,
                     TPM2B_NV_PUBLIC *ret, RsError *err) {
        TPM2B_NV_PUBLIC p = {
                .nvPublic = {
                        .nvIndex = index,
                        .nameAlg = TPM2_ALG_SHA256,
                        .attributes = TPMA_NV_PLATFORMCREATE | TPMA_NV_POLICY_DELETE | TPMA_NV_POLICYWRITE |
                                      TPMA_NV_WRITEALL | TPMA_NV_AUTHREAD | TPMA_NV_NO_DA |
                                      (written ? TPMA_NV_WRITTEN : 0),
                        .dataSize = index == TPM_NV_CHAIN   ? TPM_CHAIN_RECORD_SIZE :
                                    index == TPM_NV_AUTHPOL ? TPM_AUTHPOL_SIZE :
                                                              3 * RS_POINT_SIZE,
                        .authPolicy.size = TPM_DIGEST_SIZE,
                },
        };
        Policy policy;
        int r;

        r = policy_of_index(index, recovery, &policy, err);
        if (r < 0)
                return r;
        memcpy(p.nvPublic.authPolicy.buffer, policy.digest, TPM_DIGEST_SIZE);
        *ret = p;
        return 0;
}

static int index_name(TPM2_HANDLE index, const uint8_t recovery[3][RS_POINT_SIZE], bool written,
                      uint8_t ret[TPM_NAME_SIZE], RsError *err) {
        TPM2B_NV_PUBLIC area;
        int r;

        r = policy_nv_public(index, recovery, written, &area, err);
        return r < 0 ? r : policy_nv_name(&area, ret, err);
}

int tpm_policy_chain_names(const uint8_t recovery[3][RS_POINT_SIZE], uint8_t ret_unwritten[34],
                           uint8_t ret_written[34], RsError *err) {
        int r;

        r = index_name(TPM_NV_CHAIN, recovery, false, ret_unwritten, err);
        return r < 0 ? r : index_name(TPM_NV_CHAIN, recovery, true, ret_written, err);
}

/* What is signed */

static int cp_hash_of_write(Span data, const uint8_t name[TPM_NAME_SIZE], uint8_t ret[TPM_DIGEST_SIZE],
                            RsError *err) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;

        encoder_u32(&e, TPM2_CC_NV_Write);
        encoder_bytes(&e, name, TPM_NAME_SIZE); /* authHandle */
        encoder_bytes(&e, name, TPM_NAME_SIZE); /* nvIndex */
        encoder_u16(&e, (uint16_t) data.size);
        encoder_span(&e, data);
        encoder_u16(&e, 0); /* offset */
        return hash_of(&e, ret, err);
}

int tpm_policy_cp_hash(const uint8_t record[TPM_CHAIN_RECORD_SIZE], const uint8_t chain_name[34],
                       uint8_t ret[32], RsError *err) {
        return cp_hash_of_write(SPAN(record, TPM_CHAIN_RECORD_SIZE), chain_name, ret, err);
}

int tpm_policy_link(const uint8_t prev_point[RS_POINT_SIZE], const uint8_t prev_spki[32],
                    const uint8_t chain_name[34], uint8_t ret[32], RsError *err) {
        uint8_t name[TPM_NAME_SIZE];
        Policy p = policy_start;
        int r;

        r = tpm_policy_key_name(prev_point, name, err);
        if (r < 0)
                return r;
        r = policy_signed(&p, name, err);
        if (r < 0)
                return r;
        r = policy_nv(&p, SPAN(prev_spki, 32), POLICY_SPKI_OFFSET, TPM2_EO_EQ, chain_name, err);
        if (r < 0)
                return r;
        memcpy(ret, p.digest, TPM_DIGEST_SIZE);
        return 0;
}

int tpm_policy_bridge(const uint8_t record[TPM_CHAIN_RECORD_SIZE], const uint8_t chain_name[34],
                      uint8_t ret[32], RsError *err) {
        uint8_t cp_hash[TPM_DIGEST_SIZE];
        Policy p = policy_start;
        int r;

        r = policy_nv(&p, SPAN(record + POLICY_LINE_OFFSET, 16), POLICY_LINE_OFFSET, TPM2_EO_EQ, chain_name,
                      err);
        if (r < 0)
                return r;
        r = policy_nv(&p, SPAN(record + POLICY_INDEX_OFFSET, 8), POLICY_INDEX_OFFSET, TPM2_EO_UNSIGNED_LT,
                      chain_name, err);
        if (r < 0)
                return r;
        r = tpm_policy_cp_hash(record, chain_name, cp_hash, err);
        if (r < 0)
                return r;
        r = policy_cp_hash(&p, cp_hash, err);
        if (r < 0)
                return r;
        memcpy(ret, p.digest, TPM_DIGEST_SIZE);
        return 0;
}

int tpm_policy_genesis(const uint8_t record[TPM_CHAIN_RECORD_SIZE], const uint8_t chain_name_unwritten[34],
                       uint8_t ret[32], RsError *err) {
        uint8_t cp_hash[TPM_DIGEST_SIZE];
        Policy p = policy_start;
        int r;

        r = tpm_policy_cp_hash(record, chain_name_unwritten, cp_hash, err);
        if (r < 0)
                return r;
        r = policy_cp_hash(&p, cp_hash, err);
        if (r < 0)
                return r;
        memcpy(ret, p.digest, TPM_DIGEST_SIZE);
        return 0;
}

int tpm_policy_authpol(const uint8_t authority[RS_POINT_SIZE], const uint8_t recovery[3][RS_POINT_SIZE],
                       uint8_t ret[TPM_AUTHPOL_SIZE], RsError *err) {
        uint8_t branches[POLICY_CHAIN_BRANCHES][TPM_DIGEST_SIZE];
        Policy p;
        int r;

        r = policy_chain_branches(authority, recovery, branches, err);
        if (r < 0)
                return r;
        r = policy_or(&p, branches, POLICY_CHAIN_BRANCHES, err);
        if (r < 0)
                return r;
        ret[0] = TPM2_ALG_SHA256 >> 8;
        ret[1] = TPM2_ALG_SHA256 & 0xff;
        memcpy(ret + 2, p.digest, TPM_DIGEST_SIZE);
        return 0;
}

int tpm_policy_replace(const uint8_t old_authpol[TPM_AUTHPOL_SIZE],
                       const uint8_t new_authpol[TPM_AUTHPOL_SIZE], const uint8_t recovery[3][RS_POINT_SIZE],
                       uint8_t ret_cp_hash[32], uint8_t ret_policy[32], RsError *err) {
        uint8_t name[TPM_NAME_SIZE], cp_hash[TPM_DIGEST_SIZE];
        Policy p = policy_start;
        int r;

        r = index_name(TPM_NV_AUTHPOL, recovery, true, name, err);
        if (r < 0)
                return r;
        r = cp_hash_of_write(SPAN(new_authpol, TPM_AUTHPOL_SIZE), name, cp_hash, err);
        if (r < 0)
                return r;
        /* 32 bytes behind the algorithm: a TPM that knows SHA-256 only takes no longer operand. */
        r = policy_nv(&p, SPAN(old_authpol + POLICY_AUTHPOL_OFFSET, TPM_DIGEST_SIZE), POLICY_AUTHPOL_OFFSET,
                      TPM2_EO_EQ, name, err);
        if (r < 0)
                return r;
        r = policy_cp_hash(&p, cp_hash, err);
        if (r < 0)
                return r;
        memcpy(ret_cp_hash, cp_hash, TPM_DIGEST_SIZE);
        memcpy(ret_policy, p.digest, TPM_DIGEST_SIZE);
        return 0;
}
