/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * head - what stands before the tables: header and signed manifest of a bundle.
 *
 * Spec:     docs/format-bundle.md sections 1 to 3
 * Trust:    with anchors the signature has been verified here too; that is a courtesy to the operator, the
 *           writer decides
 * Owns:     a Head owns CMS bytes and manifest
 * Units:    bytes
 * Errors:   FORMAT, MANIFEST, TRUNCATED, those of cms.h and source.h
 * Context:  worker thread
 * Programs: reseald
 */
#include <reseal/format/bundle.h>
#include <reseal/format/manifest.h>
#include <reseal/pki/path.h>
#include <reseal/source/source.h>

typedef struct Head {
        BundleHeader header;
        uint8_t *cms;
        size_t cms_size;
        Manifest *manifest;
        uint8_t bundle_id[RS_DIGEST_SIZE];
        SignerInfo signer;
} Head;

/* time: its interval and lists are used. */
/* *ret is zeroed. */
int head_read(Source *source, const TrustAnchors *firmware, const PathRules *time, Head *ret, RsError *err);
void head_done(Head *h);
