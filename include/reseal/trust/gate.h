/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * gate - the one way from bytes that somebody offers to a release that may be written.
 *
 * Spec:     DESIGN.md 7 (order of the checks), D2; requirements S20, S21, S30, S57 to S61; threats T1 to T12
 * Trust:    the manifest CMS is hostile; GateInput comes from the device itself: configuration, slot map, TPM
 * Owns:     an AcceptedRelease owns all it gives out, also its copy of the CMS; GateInput is only borrowed
 * Units:    seconds since 1970 UTC
 * Errors:   FORMAT, those of pki/cms.h and pki/path.h, MANIFEST, LINE, COMPATIBLE, SLOT_CLASS, SIZE, POLICY, ROLLBACK,
 *           TPM_STATE (no record to judge against)
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
#include <reseal/pki/path.h>
#include <reseal/tpm/state.h>

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
        const TrustAnchors *firmware_root;
        uint64_t time_low, time_high;   /* as PathRules: 0 and UINT64_MAX when the device knows nothing */
        const char *line;
        const char *compatible;
        const GateSlot *slots;          /* each class once */
        uint32_t n_slots;
        GateCheckSize check_size;
        bool require_encryption;
        const TpmRecord *record;        /* .empty on a device that has accepted nothing yet; NULL is refused */
} GateInput;

int accept_release(const GateInput *input, AcceptedRelease **ret, RsError *err);
AcceptedRelease *accepted_release_free(AcceptedRelease *a);
RS_DEFINE_CLEANUP(AcceptedRelease, accepted_release_free)

/* Borrowed, as long as the AcceptedRelease lives. */
const Manifest *accepted_manifest(const AcceptedRelease *a);
const uint8_t *accepted_bundle_id(const AcceptedRelease *a);    /* 32 bytes: SHA-256 of the signed content */
Span accepted_cms(const AcceptedRelease *a);
const SignerInfo *accepted_signer(const AcceptedRelease *a);
/* The record to commit at W7: the chain part of this release, the state part of now. */
void accepted_record(const AcceptedRelease *a, const TpmRecord *now, TpmRecord *ret);
