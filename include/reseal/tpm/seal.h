/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * seal - slot key secrets that open only while the FLOOR counter has not passed them; a data volume's, always.
 *
 * Spec:     docs/tpm.md; docs/format-slot.md, "Token"; DESIGN.md 5 and 6
 * Trust:    policy PolicyNV(FLOOR <= floor_max), or none for data; noDA; sealed under the pinned SRK
 * Owns:     a TpmSealed is a flat value
 * Units:    bytes
 * Errors:   those of tpm.h; TPM_AUTH when the policy refuses (the floor has passed)
 * Context:  as tpm.h
 * Programs: reseal-writer, reseal-provision, initramfs
 */
#include <reseal/tpm/tpm.h>

#define TPM_SEALED_SECRET_SIZE 32u
#define TPM_SEALED_BLOB_MAX 512u

typedef struct TpmSealed {
        uint8_t blob[TPM_SEALED_BLOB_MAX];  /* TPM2B_PRIVATE || TPM2B_PUBLIC */
        uint32_t blob_size;
        uint32_t nv_index;
        uint64_t floor_max;                 /* N: opens while FLOOR <= N */
        uint8_t srk_name[TPM_NAME_SIZE];
        bool any_floor;                     /* a data volume: no policy, nv_index and floor_max are 0 */
} TpmSealed;

int tpm_seal(Tpm *t, const Secret *secret, uint64_t floor_max, TpmSealed *ret, RsError *err);
/* For what must open as long as this TPM is not cleared, whatever release runs; needs the SRK and no NV index. */
int tpm_seal_data(Tpm *t, const Secret *secret, TpmSealed *ret, RsError *err);
int tpm_unseal(Tpm *t, const TpmSealed *sealed, Secret **ret, RsError *err);
