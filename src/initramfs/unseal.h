/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * unseal - the secret of a slot or data volume from the TPM, which may come later than we do.
 *
 * Spec:     docs/tpm.md; docs/boot.md
 * Trust:    the token is well-formed, nothing more; the TPM's policy decides
 * Owns:     the secret belongs to the caller
 * Units:    microseconds
 * Errors:   those of tpm/seal.h; TPM_GONE when the time is over
 * Context:  blocks
 * Programs: initramfs
 */
#include <reseal/tpm/seal.h>

/* Tries again while there is no TPM; every other failure is final. */
int unseal_wait(const TpmConfig *config, const TpmSealed *sealed, uint64_t timeout_usec, Secret **ret, RsError *err);
