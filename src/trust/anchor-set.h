/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * anchor-set - one trust set, loaded: the configuration's PEM files or what a quorum has signed.
 *
 * Spec:     docs/format-chain.md, section 6
 * Trust:    anchor_set_load believes the message (its tag was compared, or only reseal-certstore could write
 *           it); anchor_set_judge believes nothing
 * Owns:     an AnchorSet owns all it holds
 * Units:    seconds since 1970 UTC
 * Errors:   TRUST_SET, LINE, FORMAT, CONFIG and those of pki
 * Context:  one thread
 * Programs: reseal-writer, reseal-certstore
 */
#include <reseal/base/cleanup.h>
#include <reseal/trust/anchors.h>

#define ANCHOR_TAG_SIZE 16u

typedef struct AnchorSet {
        uint64_t version;
        uint32_t quorum;
        uint64_t restart;                /* 0: none */
        uint8_t tag[ANCHOR_TAG_SIZE];    /* zeros: version 0 */
        uint8_t *cms;                    /* NULL: version 0 */
        size_t cms_size;
        TrustAnchors *firmware, *source, *time; /* the last two may be NULL */
        uint8_t recovery[3][32];
        uint32_t n_recovery;
} AnchorSet;

AnchorSet *anchor_set_free(AnchorSet *s);
RS_DEFINE_CLEANUP(AnchorSet, anchor_set_free)
int anchor_set_tag(Span cms, uint8_t ret[ANCHOR_TAG_SIZE], RsError *err);
uint32_t anchor_set_first_quorum(const TrustAnchors *roots); /* of version 0 */
int anchor_set_configured(const TrustStoreConfig *config, AnchorSet **ret, RsError *err);
int anchor_set_load(Span cms, const char *line, AnchorSet **ret, RsError *err);
/* roots, quorum and version are those of the accepted set. */
int anchor_set_judge(const TrustAnchors *roots, uint32_t quorum, uint64_t version, Span candidate, const char *line,
                     AnchorSet **ret, RsError *err);
