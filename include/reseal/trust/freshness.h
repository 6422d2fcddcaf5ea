/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * freshness - the last signed word on which release is the latest, and what it says about one.
 *
 * Spec:     docs/format-chain.md, section 5; requirement S62; threats T7, T9
 * Trust:    a statement is hostile until the freshness key under the source root has signed it; the stored
 *           one is verified again when it is read
 * Owns:     flat values
 * Units:    seconds since 1970 UTC
 * Errors:   FREEZE (lower number, surely expired, from the future, an older release than the latest), LINE,
 *           FORMAT, CONFIG (no source root), those of pki/cms.h and pki/path.h
 * Context:  any thread, no I/O
 * Programs: reseal-writer
 */
#include <stdbool.h>
#include <stdint.h>

#include <reseal/base/error.h>
#include <reseal/base/span.h>
#include <reseal/format/statement.h>
#include <reseal/pki/crl.h>
#include <reseal/pki/path.h>
#include <reseal/trust/clock.h>

#define FRESHNESS_SKEW 600u /* time-stamp and freshness key need not tick alike */

typedef struct Freshness {           /* zeros: no statement */
        Statement statement;
        uint32_t cms_size;
        uint8_t cms[STATEMENT_CMS_MAX];
} Freshness;

/* What statements are judged by. */
typedef struct FreshnessRules {
        const TrustAnchors *source_root; /* NULL: CONFIG */
        const CrlSet *crls;              /* may be NULL */
        const char *line;
        TimeInterval now;
} FreshnessRules;

/* Small and flat, for the gate. */
typedef struct FreshnessView {
        bool known;                  /* there is a statement */
        bool fresh;                  /* surely not expired */
        bool expired;                /* surely expired; neither: the time is not known well enough */
        uint64_t latest, seq, issued, expires;
} FreshnessView;

typedef struct FreshnessPolicy {
        bool require;                /* install only what is proven latest: for devices that are always online */
        bool allow_intermediate;
} FreshnessPolicy;

typedef enum FreshnessVerdict {
        FRESHNESS_NOT_PROVEN = 0,    /* no statement, not surely fresh, or one from before this release */
        FRESHNESS_PROVEN_LATEST,
        FRESHNESS_INTERMEDIATE,      /* a newer one exists; only with allow_intermediate */
        _FRESHNESS_VERDICT_MAX,
} FreshnessVerdict;

const char *freshness_verdict_to_string(FreshnessVerdict v); /* "latest", "not proven latest", "intermediate" */

/*
 * A statement from the source.  The same one again changes nothing; a lower number than that of the one held
 * is FREEZE, unless the one held no longer verifies: revoking its key gives the numbers free, or a stolen key
 * could block them for ever.
 */
int freshness_accept(Freshness *f, Span cms, const FreshnessRules *rules, bool *ret_changed, RsError *err);
FreshnessView freshness_view(const Freshness *f, const TimeInterval *now);
/*
 * FREEZE if a newer release is known and allow_intermediate is not set, or if policy requires proof and there
 * is none.  Where a release comes from is not asked: the writer would have to believe reseald.
 */
int freshness_judge(const FreshnessView *v, uint64_t release, const FreshnessPolicy *policy, FreshnessVerdict *ret,
                    RsError *err);
/* Lists or roots are others now: what was signed by a key that is no good any more is forgotten (true). */
bool freshness_review(Freshness *f, const FreshnessRules *rules);
/* The writer's file "statement". */
int freshness_encode(const Freshness *f, Encoder *e, RsError *err);
/* 1, or 0 with *ret empty: damaged, or no longer good under these rules; expiry and numbers are not looked at. */
int freshness_restore(Span bytes, const FreshnessRules *rules, Freshness *ret, RsError *err);
