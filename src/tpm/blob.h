/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * blob - TPM2B_PRIVATE || TPM2B_PUBLIC: what we keep of an object between its uses.
 *
 * Spec:     docs/tpm.md, "Blobs"; TCG part 2, 12.3.7 and 12.2.5
 * Trust:    input is hostile; parsed means well-formed, not that this TPM accepts it
 * Owns:     flat values
 * Units:    bytes
 * Errors:   TPM_STATE
 * Context:  blob_parse and blob_encode any thread, blob_load between tpm_begin() and tpm_end()
 * Programs: all that use a TPM; private to src/tpm
 */
#include <tss2/tss2_tpm2_types.h>

#include <reseal/base/span.h>

#include "context.h"

typedef struct Blob {
        TPM2B_PRIVATE wrapped;
        TPM2B_PUBLIC area;
} Blob;

int blob_parse(Span bytes, Blob *ret, RsError *err);
int blob_encode(const TPM2B_PRIVATE *wrapped, const TPM2B_PUBLIC *area, uint8_t *ret, size_t capacity,
                uint32_t *ret_size, RsError *err);
/* Same bytes when marshalled: the one comparison of public areas. */
bool blob_same_public(const TPM2B_PUBLIC *a, const TPM2B_PUBLIC *b);
/* Into the TPM under the SRK; noted. */
int blob_load(Tpm *t, const Blob *blob, ESYS_TR *ret, RsError *err);
