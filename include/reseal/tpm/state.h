/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * state - what the TPM remembers: the ACCEPT and FLOOR counters and the double-buffered record.
 *
 * Spec:     DESIGN.md 6; docs/tpm.md
 * Trust:    readable by anyone; writable only with the gate secret, which only reseal-writer can read
 * Owns:     flat values
 * Units:    none
 * Errors:   those of tpm.h; TPM_STATE: damaged; TPM_REWOUND: record behind its counter; TPM_REDEFINED: an
 *           index is not as provisioned;
 *           TPM_OTHER: not the TPM whose SRK is pinned; TPM_CLEARED: pinned SRK or indices gone;
 *           TPM_RESTORED: counters below what was seen
 * Context:  as tpm.h
 * Programs: reseal-writer, reseal-provision, initramfs (reading)
 *
 * A record is valid when the counter value in it equals ACCEPT.  Commit: write the other buffer, read back,
 * increment ACCEPT (the commit point).  A lost response is found by reading back before anything is repeated.
 */
#include <reseal/format/limits.h>
#include <reseal/format/link.h>
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
        /* the same, whole minutes: when the TPM's clock would have shown 0 (trust/clock.h); 0: not known */
        uint64_t time_base;
        uint64_t trust_version;            /* 0: the anchors of the configuration */
        /* first half of the SHA-256 of the accepted trust set; zeros at version 0 */
        uint8_t trust_tag[16];
} TpmRecord;

/* The chain part, and a record that holds another one (`empty` and `line` go). */
int tpm_record_chain(const TpmRecord *record, ChainRecord *ret, RsError *err);
void tpm_record_set_chain(TpmRecord *record, const ChainRecord *chain);

typedef struct TpmState {
        uint64_t accept;
        uint64_t floor;
        TpmRecord record;
        uint8_t level;                     /* TpmLevel, tpm/chain.h: at 2 the chain part is that of CHAIN */
        /* level 2: R0/R1 have not caught up with CHAIN (a cut); the next commit does it */
        bool behind;
} TpmState;

/*
 * What a program saw last, from a file of its own that it writes after every change.  Such a file may be
 * older than the TPM
 * (restored with the disk); a TPM that is older than the file was itself restored.
 */
typedef struct TpmSeen {
        uint64_t accept;
        uint64_t floor;
        uint64_t release;                  /* of the chain part */
        uint8_t level;
} TpmSeen;
#define TPM_SEEN_SIZE 64u
void tpm_seen_of(const TpmState *state, TpmSeen *ret);
int tpm_seen_encode(const TpmSeen *seen, uint8_t ret[TPM_SEEN_SIZE], RsError *err);
/* false: damaged or another format, as good as none. */
bool tpm_seen_parse(Span bytes, TpmSeen *ret);

int tpm_state_read(Tpm *t, TpmState *ret, RsError *err);
/* The same, and TPM_RESTORED when anything is below `seen` (NULL: nothing to compare with). */
int tpm_state_read_seen(Tpm *t, const TpmSeen *seen, TpmState *ret, RsError *err);
/*
 * Idempotent: committing the record that is already valid writes nothing.  ROLLBACK, CHAIN_FORK: the TPM has gone on
 * since this record was made.  Level 2: after tpm_chain_apply(), whose record it repeats.
 */
int tpm_state_commit(Tpm *t, const Secret *gate_auth, const TpmRecord *record, RsError *err);
/* Raises FLOOR by one only while it is below `below`; idempotent. */
int tpm_floor_raise(Tpm *t, const Secret *gate_auth, uint64_t below, RsError *err);
/*
 * The way out after TPM_REWOUND and TPM_STATE: makes this record the valid one whatever R0 and R1 hold now.
 * For reseal-provision, which has seen two recovery keys sign for it.  Level 2: its chain part must be that
 * of
 * CHAIN.  What it starts from is salvage: the record of the highest release that still parses in R0, R1
 * (and CHAIN), with
 * the highest of each number of the state part; an empty record when nothing does.
 */
int tpm_state_salvage(Tpm *t, TpmRecord *ret, RsError *err);
int tpm_state_recover(Tpm *t, const Secret *gate_auth, const TpmRecord *record, RsError *err);

/*
 * Provisioning.  owner_auth may be NULL (empty).  Idempotent; *ret_changed tells whether anything was done.
 */
int tpm_provision_srk(Tpm *t, const Secret *owner_auth, uint8_t ret_name[TPM_NAME_SIZE], bool *ret_changed,
                      RsError *err);
int tpm_provision_nv(Tpm *t, const Secret *owner_auth, const Secret *gate_auth, bool *ret_changed, RsError *err);
/* Sets values that are still empty; NULL leaves one alone.  ownerAuth last: set, it means that lockoutAuth is, too. */
int tpm_provision_auth(Tpm *t, const Secret *owner_auth, const Secret *lockout_auth, const Secret *endorsement_auth,
                       RsError *err);
