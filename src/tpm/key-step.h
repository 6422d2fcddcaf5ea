/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * key-step - what signing commands have in common: the key in the TPM, and the signature as others read it.
 *
 * Spec:     docs/tpm.md, "Blobs"
 * Trust:    as tpm.h
 * Owns:     flat values; the loaded key is noted in the Tpm
 * Units:    bytes
 * Errors:   as tpm.h
 * Context:  key_use between tpm_begin() and tpm_end()
 * Programs: reseald, reseal-provision; private to src/tpm
 */
#include <reseal/tpm/key.h>

#include "context.h"

int key_use(Tpm *t, const TpmKey *key, ESYS_TR *ret, RsError *err);
/* DER of ECDSA-Sig-Value from what the TPM gives. */
int key_signature_der(const TPMT_SIGNATURE *s, uint8_t ret_der[72], size_t *ret_size, RsError *err);
