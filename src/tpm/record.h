/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * record - the 256 bytes of an NV record: chain part (160, frozen) and state part.
 *
 * Spec:     docs/tpm.md, "Record"
 * Trust:    bytes come from the TPM, where a process with the gate secret or the owner may have put anything
 * Owns:     flat values
 * Units:    bytes
 * Errors:   TPM_STATE
 * Context:  any thread, no I/O
 * Programs: all that read the state; private to src/tpm
 */
#include <reseal/tpm/state.h>

#include "nv.h"

int nv_record_encode(const TpmRecord *record, uint64_t counter, uint8_t ret[NV_RECORD_SIZE], RsError *err);
int nv_record_parse(const uint8_t bytes[NV_RECORD_SIZE], TpmRecord *ret, uint64_t *ret_counter, RsError *err);
