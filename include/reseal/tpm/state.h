/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * state - what the TPM remembers: the ACCEPT and FLOOR counters and the double-buffered record.
 *
 * Spec:     DESIGN.md 6; docs/tpm.md
 * Trust:    readable by anyone; writable only with the gate secret, which only reseal-writer can read
 * Owns:     flat values
 * Units:    none
 * Errors:   those of tpm.h; TPM_STATE: damaged; TPM_REWOUND: record behind its counter; TPM_REDEFINED: an index is not as provisioned;
 *           TPM_OTHER: not the TPM whose SRK is pinned; TPM_CLEARED: pinned SRK or indices gone; TPM_RESTORED: counters below what was seen
 * Context:  as tpm.h
 * Programs: reseal-writer, reseal-provision, initramfs (reading)
 *
 * A record is valid when the counter value in it equals ACCEPT.  Commit: write the other buffer, read back,
 * increment ACCEPT (the commit point).  A lost response is found by reading back before anything is repeated.
 */
#include <reseal/format/limits.h>
#include <reseal/tpm/tpm.h>

typedef struct TpmRecord {
        bool empty;                        /* factory state: nothing accepted yet */
        char line[RS_NAME_MAX + 1];        /* compared through its tag, the first half of SHA-256(line) */
        uint8_t line_tag[16];
        uint64_t release;
        uint32_t epoch;
        uint8_t signer_spki[32];
        uint8_t manifest_digest[32];       /* bundle id */
        uint8_t chain_flags;               /* 1: came over a bridge */
        uint8_t log_head[32];              /* docs/format-chain.md */
        uint32_t floor_epoch;              /* epoch that the last FLOOR rise stands for */
        uint64_t crl_number;               /* sum of the numbers of all accepted CRLs: never falls */
        uint64_t time_floor;               /* seconds since 1970 */
        uint64_t trust_version;            /* 0: the anchors of the configuration */
        uint8_t trust_tag[16];             /* first half of the SHA-256 of the accepted trust set; zeros at version 0 */
} TpmRecord;

typedef struct TpmState {
        uint64_t accept;
        uint64_t floor;
        TpmRecord record;
} TpmState;

int tpm_state_read(Tpm *t, TpmState *ret, RsError *err);
/* Idempotent: committing the record that is already valid writes nothing. */
int tpm_state_commit(Tpm *t, const Secret *gate_auth, const TpmRecord *record, RsError *err);
/* Raises FLOOR by one only while it is below `below`; idempotent. */
int tpm_floor_raise(Tpm *t, const Secret *gate_auth, uint64_t below, RsError *err);

/* Provisioning.  owner_auth may be NULL (empty).  Idempotent; *ret_changed tells whether anything was done. */
int tpm_provision_srk(Tpm *t, const Secret *owner_auth, uint8_t ret_name[TPM_NAME_SIZE], bool *ret_changed,
                      RsError *err);
int tpm_provision_nv(Tpm *t, const Secret *owner_auth, const Secret *gate_auth, bool *ret_changed, RsError *err);
/* Sets values that are still empty; NULL leaves one alone.  lockoutAuth first: ownerAuth set means done. */
int tpm_provision_auth(Tpm *t, const Secret *owner_auth, const Secret *lockout_auth, RsError *err);
