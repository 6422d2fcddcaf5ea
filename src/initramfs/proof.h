/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * proof - what a decrypted slot must show before its root hash is believed: a manifest signed for exactly this image.
 *
 * Spec:     docs/format-slot.md; docs/boot.md, "Initramfs"; DESIGN.md D3
 * Trust:    the trailer is hostile; a Proof was signed by the firmware domain and speaks for the image that is there
 * Owns:     a Proof owns its manifest; image points into it
 * Units:    bytes
 * Errors:   those of pki/cms.h, MANIFEST, ROLLBACK, CHAIN_FORK, LINE, COMPATIBLE, SLOT_CLASS, SLOT_CONTENT, SIZE
 * Context:  no I/O
 * Programs: initramfs
 */
#include <reseal/format/manifest.h>
#include <reseal/pki/path.h>
#include <reseal/slot/layout.h>
#include <reseal/slot/trailer.h>
#include <reseal/tpm/state.h>

/* What this slot of this device takes. */
typedef struct ProofWanted {
        const char *line, *compatible, *class_name;
        const TpmRecord *record;        /* what the gate has accepted last */
} ProofWanted;

typedef struct Proof {
        Manifest *manifest;
        const ManifestImage *image;
        uint8_t bundle_id[32];
        SlotLayout layout;
} Proof;

/* slot_size: of the whole partition; token_bundle_id: what the token of the LUKS2 header says. */
int proof_make(const SlotTrailer *trailer, uint64_t slot_size, const ProofWanted *wanted,
               const uint8_t token_bundle_id[32], const TrustAnchors *firmware_root, Proof *ret, RsError *err);
void proof_done(Proof *p);
