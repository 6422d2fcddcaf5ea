/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * chain - walks the signer links from what the TPM remembers to the release in hand.
 *
 * Spec:     docs/format-chain.md, section 3 (the nine rules); requirements S64 to S69; threats T8 to T11, T15, T16;
 *           failures F1 to F8, F19 to F24 of the tests
 * Trust:    links are hostile; record, anchors, CRLs and recovery keys are the device's own
 * Owns:     results are flat or borrow the link set
 * Units:    seconds since 1970 UTC
 * Errors:   CHAIN, CHAIN_GAP, CHAIN_FORK, CHAIN_REUSE, ROLLBACK, REVOKED, SIGNATURE and those of pki/path.h
 * Context:  any thread, no I/O; about 0.3 ms a link
 * Programs: reseal-writer, reseal-bundle (verify)
 */
#include <stdbool.h>
#include <stdint.h>

#include <reseal/base/error.h>
#include <reseal/base/span.h>
#include <reseal/format/link.h>
#include <reseal/pki/crl.h>
#include <reseal/pki/path.h>

/* log_head of this record behind one with `before`; record->log_head is not looked at. */
int chain_log_head(const uint8_t before[32], const ChainRecord *record, uint8_t ret[32], RsError *err);

typedef struct ChainGoal {
        const char *line;
        uint64_t index;                  /* release of the manifest */
        uint32_t epoch;
        uint8_t manifest_digest[32];
        uint8_t signer_spki[32];         /* the key that signed the manifest */
} ChainGoal;

typedef struct ChainInput {
        const ChainRecord *from;         /* NULL: nothing accepted yet */
        Span links;                      /* a link set; may be empty */
        Span recorded;                   /* the link of `from` as it was accepted, for rule 6; may be empty */
        ChainGoal goal;
        const TrustAnchors *firmware_root;
        const CrlSet *crls;              /* may be NULL */
        const uint8_t (*recovery)[32];   /* SPKI hashes */
        uint32_t n_recovery;
        uint64_t time_low, time_high;    /* judge the last signer only */
} ChainInput;

typedef struct ChainStep {
        Span link;                       /* borrowed: what level L2 gives to the TPM */
} ChainStep;

typedef struct ChainWalk {
        ChainRecord to;                  /* what to commit; equals *from for a reinstallation */
        uint32_t n_steps;                /* 0: reinstallation */
        ChainStep *steps;                /* in order */
} ChainWalk;

int chain_walk(const ChainInput *input, ChainWalk *ret, RsError *err);
void chain_walk_done(ChainWalk *w);
/* REVOKED when the signer of `from` is on a list now, as far as the link that was kept of it tells; else 0. */
int chain_check_signer(const ChainRecord *from, Span recorded, const TrustAnchors *firmware_root, const CrlSet *crls,
                       RsError *err);
/* Does the path of the signer of `from` end at one of these roots?  false: it does not, or no link of it was kept. */
bool chain_signer_stands(const ChainRecord *from, Span recorded, const TrustAnchors *firmware_root);
/*
 * What a device at `from` (NULL: none) lacks besides this set to reach `index`, the nearest range: both 0 if nothing.
 * No signatures.
 */
int chain_missing(const ChainRecord *from, Span links, uint64_t index, uint64_t *ret_first, uint64_t *ret_last,
                  RsError *err);
