/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * trust-set - the trust anchors and recovery keys of a line as one versioned object.
 *
 * Spec:     docs/format-chain.md, section 6; requirements S23, S25, S33
 * Trust:    parse only what a quorum has signed (pki/cms.h, cms_verify_quorum)
 * Owns:     a TrustSet owns its strings
 * Units:    seconds since 1970 UTC
 * Errors:   FORMAT
 * Context:  any thread
 * Programs: reseal-certstore, reseal-writer, reseald, reseal-bundle
 */
#include <stdint.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/error.h>
#include <reseal/base/span.h>
#include <reseal/format/limits.h>

#define TRUST_SET_CMS_MAX (128u << 10)
#define TRUST_SET_JSON_MAX TRUST_SET_CMS_MAX
#define TRUST_SETS_KEPT 16u                     /* beside the newest: what it replaced, "trust.set.N", N = version mod 16 */
#define TRUST_RECOVERY_KEYS 3u
#define TRUST_ANCHORS_MAX 8u                    /* of one kind; a quorum is at most this */

typedef struct TrustSet {
        char line[RS_NAME_MAX + 1];
        uint64_t version;
        uint32_t quorum;
        uint64_t restart;                           /* 0: none; else a floor of the time above it falls to it */
        char *firmware_pem, *source_pem, *time_pem; /* each: certificates one behind the other */
        char *recovery_pem;                         /* three public keys, or "" */
} TrustSet;

int trust_set_parse(Span json, TrustSet **ret, RsError *err);
int trust_set_encode(const TrustSet *s, Encoder *e, RsError *err);
TrustSet *trust_set_free(TrustSet *s);
RS_DEFINE_CLEANUP(TrustSet, trust_set_free)
