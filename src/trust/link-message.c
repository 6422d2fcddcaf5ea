/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * link-message - the bytes behind two of a link's three signatures, as a TPM of level L2 evaluates them.
 */
#include <string.h>

#include <reseal/crypto/digest.h>
#include <reseal/pki/signature.h>
#include <reseal/tpm/policy.h>
#include <reseal/trust/link-message.h>

_Static_assert(TPM_CHAIN_RECORD_SIZE == LINK_RECORD_SIZE, "the TPM holds what a link carries");

/* TPM2_PolicySigned: no expiry, and the command that it permits. */
int link_endorsement_message(const Link *link, uint8_t ret[LINK_ENDORSEMENT_SIZE], RsError *err) {
        memset(ret, 0, 4);
        return tpm_policy_cp_hash(link->record_bytes, link->chain_name, ret + 4, err);
}

static int approved_policy(const Link *link, uint8_t ret[32], RsError *err) {
        uint8_t point[RS_POINT_SIZE], spki[SHA256_SIZE];
        int r;

        switch (link->kind) {
        case LINK_BRIDGE:
                return tpm_policy_bridge(link->record_bytes, link->chain_name, ret, err);
        case LINK_GENESIS:
                return tpm_policy_genesis(link->record_bytes, link->chain_name, ret, err);
        case LINK_NEXT:
        default:
                r = signature_point(link->endorser, point, err);
                if (r < 0)
                        return r;
                r = digest_sha256(link->endorser, spki, err);
                if (r < 0)
                        return r;
                return tpm_policy_link(point, spki, link->chain_name, ret, err);
        }
}

/* TPM2_PolicyAuthorize: the policy, and which branch of AUTHPOL it is for. */
int link_approval_message(const Link *link, Encoder *ret, RsError *err) {
        const char *word = link->kind == LINK_BRIDGE ? "reseal-bridge" : "reseal-link";
        uint8_t policy[32];
        int r = approved_policy(link, policy, err);

        if (r < 0)
                return r;
        encoder_bytes(ret, policy, sizeof(policy));
        encoder_bytes(ret, word, strlen(word));
        return encoder_finish(ret) < 0 ? rs_fail_oom(err) : 0;
}
