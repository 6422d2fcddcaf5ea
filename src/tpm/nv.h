/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * nv - our five NV indices: their public areas, Names and policies, and reading and writing them.
 *
 * Spec:     docs/tpm.md, "NV indices" and "Policies"
 * Trust:    an index is ours only if its Name is the one computed here from the documented public area
 * Owns:     flat values; ESYS handles are noted in the Tpm
 * Units:    bytes
 * Errors:   as tpm.h; TPM_REDEFINED for an index that is not ours; a missing one is NOT_PROVISIONED,
 *           TPM_CLEARED
 *           or TPM_REDEFINED (nv.c)
 * Context:  between tpm_begin() and tpm_end()
 * Programs: all that use a TPM; private to src/tpm
 */
#include <tss2/tss2_tpm2_types.h>

#include "context.h"

#define NV_COUNTER_SIZE 8u
#define NV_RECORD_SIZE 256u
#define NV_GATE_SIZE 8u
#define TPM_DIGEST_SIZE 32u

/* Software only. */
TPM2B_NV_PUBLIC nv_public(TPM2_HANDLE index, bool written);
int nv_name(TPM2_HANDLE index, bool written, uint8_t ret[TPM_NAME_SIZE], RsError *err);
/* authPolicy of a sealed slot key: PolicyNV(FLOOR <= floor_max, unsigned). */
int nv_policy_floor(uint64_t floor_max, uint8_t ret[TPM_DIGEST_SIZE], RsError *err);
/* authPolicy of the four writable indices: PolicySecret(gate). */
int nv_policy_gate(uint8_t ret[TPM_DIGEST_SIZE], RsError *err);

typedef enum NvPresence {
        NV_ABSENT = 0,
        NV_DEFINED = 1, /* ours, never written */
        NV_WRITTEN = 2, /* ours */
} NvPresence;

/* NvPresence or an error; an index at this handle that is not ours is TPM_REDEFINED. */
int nv_find(Tpm *t, TPM2_HANDLE index, ESYS_TR *ret, RsError *err);
/* The same where only NV_WRITTEN will do (the gate: NV_DEFINED, it is never written). */
int nv_use(Tpm *t, TPM2_HANDLE index, ESYS_TR *ret, RsError *err);

/* session: HMAC, salted; its HMAC is what an interposer on the bus cannot make. */
int nv_read(Tpm *t, ESYS_TR nv, ESYS_TR session, void *ret, uint16_t size, RsError *err);
int nv_read_counter(Tpm *t, ESYS_TR nv, ESYS_TR session, uint64_t *ret, RsError *err);

/*
 * A policy session that permits one write, opened with the gate secret.  The caller gives it to one of the
 * two calls below, which use it up.
 */
int nv_gate_session(Tpm *t, const Secret *gate_auth, ESYS_TR hmac, ESYS_TR *ret_policy, RsError *err);
int nv_write(Tpm *t, ESYS_TR nv, ESYS_TR policy, const void *data, uint16_t size, RsError *err);
int nv_increment(Tpm *t, ESYS_TR nv, ESYS_TR policy, RsError *err);
