/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * gate - the one way from bytes that somebody offers to a release that may be written.
 *
 * Spec:     DESIGN.md 7 (order of the checks), D2; requirements S20, S21, S30, S57 to S61; threats T1 to T12
 * Trust:    the manifest CMS is hostile; GateInput comes from the device itself: configuration, slot map, TPM
 * Owns:     an AcceptedRelease owns all it gives out, also its copy of the CMS; GateInput is only borrowed
 * Units:    seconds since 1970 UTC
 * Errors:   FORMAT, those of pki/cms.h, pki/path.h and trust/chain.h, MANIFEST, LINE, COMPATIBLE, SLOT_CLASS, SIZE,
 *           POLICY,
 *           CRL_STALE, TIME_UNKNOWN, FREEZE, TPM_STATE (no record to judge against)
 * Context:  any thread, no I/O, no globals; milliseconds
 * Programs: reseal-writer
 *
 * AcceptedRelease has no other constructor: what takes one cannot be called for a release that was not judged.
 */
#include <stdbool.h>
#include <stdint.h>

#include <reseal/base/error.h>
#include <reseal/base/span.h>
#include <reseal/format/manifest.h>
#include <reseal/pki/crl.h>
#include <reseal/pki/path.h>
#include <reseal/tpm/state.h>
#include <reseal/trust/chain.h>
#include <reseal/trust/clock.h>
#include <reseal/trust/freshness.h>

typedef struct AcceptedRelease AcceptedRelease;

/* One class of the slot map; slot is whatever check_size wants to know the target by. */
typedef struct GateSlot {
        const char *class_name;
        const void *slot;
} GateSlot;

/* 0 or SIZE (room slot: slot_check_size, docs/format-slot.md). */
typedef int (*GateCheckSize)(const void *slot, const ManifestImage *image, size_t manifest_cms_size, RsError *err);

typedef struct GateInput {
        Span manifest_cms;
        Span links;                     /* a link set, hostile; empty for a reinstallation */
        Span recorded;                  /* the link of the record as it was accepted; may be empty */
        const TrustAnchors *firmware_root;
        const CrlSet *crls;             /* NULL: none known */
        const uint8_t (*recovery)[32];  /* SPKI hashes of the recovery keys */
        uint32_t n_recovery;
        TimeInterval time;
        FreshnessView freshness;
        FreshnessPolicy freshness_policy;
        const char *line;
        const char *compatible;
        const GateSlot *slots;          /* each class once */
        uint32_t n_slots;
        GateCheckSize check_size;
        bool require_encryption;
        bool require_time;              /* policy: a time-stamp proof of this boot */
        bool require_crl;               /* policy: a list of each CA above the signer; stale ones revoke, too */
        uint64_t crl_grace;             /* seconds */
        const TpmRecord *record;        /* .empty on a device that has accepted nothing yet; NULL is refused */
} GateInput;

int accept_release(const GateInput *input, AcceptedRelease **ret, RsError *err);
/*
 * An offer is judged once and used for hours.  Signatures, paths and links once more, by what is known now: roots,
 * lists, time and record of `now`; the rest of it is not looked at.  Before the fallback is given up, and at W7.
 */
int gate_check_again(const AcceptedRelease *a, const GateInput *now, RsError *err);
/* Of the release accepted last: REVOKED when its signer is on a list now, so that nothing but a bridge leads on. */
int gate_check_accepted(const TpmRecord *record, Span recorded, const TrustAnchors *firmware_root, const CrlSet *crls,
                        RsError *err);
AcceptedRelease *accepted_release_free(AcceptedRelease *a);
RS_DEFINE_CLEANUP(AcceptedRelease, accepted_release_free)

/* Borrowed, as long as the AcceptedRelease lives. */
const Manifest *accepted_manifest(const AcceptedRelease *a);
const uint8_t *accepted_bundle_id(const AcceptedRelease *a);    /* 32 bytes: SHA-256 of the signed content */
Span accepted_cms(const AcceptedRelease *a);
const SignerInfo *accepted_signer(const AcceptedRelease *a);
/* The record to commit at W7: the chain part of this release, the state part of now. */
void accepted_record(const AcceptedRelease *a, const TpmRecord *now, TpmRecord *ret);
/* The links from the record to this release, in order: what level L2 shows the TPM.  n 0: a reinstallation. */
const ChainStep *accepted_steps(const AcceptedRelease *a, uint32_t *ret_n);
FreshnessVerdict accepted_freshness(const AcceptedRelease *a);
