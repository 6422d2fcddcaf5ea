/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * chain-nv - the indices of level L2 as they are found in this TPM.
 *
 * Spec:     docs/tpm.md, "Level L2"
 * Trust:    an index is ours only if its Name is the one that follows from the recovery keys in RECOVERY
 * Owns:     flat values; ESYS handles are noted in the Tpm
 * Units:    bytes
 * Errors:   as tpm.h; TPM_REDEFINED for what is not ours, TPM_STATE for a damaged record
 * Context:  between tpm_begin() and tpm_end()
 * Programs: all that read the state; private to src/tpm
 */
#include <reseal/tpm/chain.h>

#include "nv.h"

typedef struct ChainIndex {
        ESYS_TR nv;
        bool written;
        uint8_t name[TPM_NAME_SIZE]; /* as it is now */
        uint8_t recovery[3][RS_POINT_SIZE];
} ChainIndex;

/* 1: level L2, 0: there is no CHAIN.  session: HMAC. */
int chain_open(Tpm *t, ESYS_TR session, ChainIndex *ret, RsError *err);
/* Only when written. */
int chain_read(Tpm *t, ESYS_TR session, const ChainIndex *c, uint8_t ret_bytes[LINK_RECORD_SIZE],
               ChainRecord *ret, RsError *err);
