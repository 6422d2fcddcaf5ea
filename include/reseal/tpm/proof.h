/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * proof - the certified copy of the record: ACCEPT and the record it makes valid, signed by the TPM for a nonce.
 *
 * Spec:     docs/tpm.md, "Certified copy"; TPM 2.0 Library part 3, 31.16 (TPM2_NV_Certify), part 2, 10.12
 * Trust:    verify: every byte is hostile but the caller's nonce and key; the key must be known to be a restricted one,
 *           by its certificate or from provisioning: any other signs statements that no TPM made
 * Owns:     results belong to the caller
 * Units:    bytes
 * Errors:   make: those of tpm.h; verify: FORMAT, SIGNATURE (another key, changed bytes), ALGORITHM (of the key), PROOF
 *           (another nonce, index or kind of statement; record and counter do not belong together)
 * Context:  make as tpm.h; verify any thread, no TPM needed
 * Programs: reseald (make), reseal-bundle (verify)
 */
#include <reseal/tpm/key.h>
#include <reseal/tpm/state.h>

#define TPM_PROOF_NONCE_MIN 16u
#define TPM_PROOF_NONCE_MAX 32u
#define TPM_PROOF_CERTIFICATE_MAX 2500u /* PEM; one that is longer stays out */
#define TPM_PROOF_MAX 4096u

typedef struct TpmProof {
        uint64_t accept;
        TpmRecord record;
} TpmProof;

/* certificate_pem: of the attestation key, taken along as it is; may be empty. */
int tpm_proof_make(Tpm *t, const TpmKey *attest, Span nonce, Span certificate_pem, Encoder *ret, RsError *err);
/* spki_der: the attestation key of the device that is asked about. */
int tpm_proof_verify(Span proof, Span nonce, Span spki_der, TpmProof *ret, RsError *err);
