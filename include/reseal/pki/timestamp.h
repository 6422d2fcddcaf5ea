/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * timestamp - a time-stamp response as proof that it is not earlier than it says.
 *
 * Spec:     RFC 3161, RFC 5816; DESIGN.md 7; requirements S62, S63; threat T36
 * Trust:    input is hostile; the signer must have EKU timeStamping, critical and alone, under the time anchors
 * Owns:     results belong to the caller
 * Units:    seconds since 1970 UTC
 * Errors:   TIME_PROOF (not granted, other nonce, other imprint, malformed), SIGNATURE (the token), those of path.h
 * Context:  any thread
 * Programs: reseal-writer (query, verify); reseald carries both, opaque
 */
#include <stdint.h>

#include <reseal/base/error.h>
#include <reseal/base/span.h>
#include <reseal/pki/path.h>

#define TIMESTAMP_QUERY_MAX 256u
#define TIMESTAMP_RESPONSE_MAX 16384u
#define TIMESTAMP_ACCURACY_MAX 3600u /* one that is less sure proves nothing worth having */

/* A TimeStampReq: imprint = SHA-256(nonce), nonce field = nonce's first 16 bytes, certReq. */
int timestamp_query(const uint8_t nonce[32], Encoder *ret_der, RsError *err);
/*
 * rules->eku_oid is ignored.  The signer's certificate is judged by the interval of rules and at the time stated, too.
 * *ret_time: whole seconds, rounded down; *ret_accuracy: rounded up, at least 1, at most TIMESTAMP_ACCURACY_MAX.
 */
int timestamp_verify(Span response_der, const uint8_t nonce[32], const TrustAnchors *anchors, const PathRules *rules,
                     uint64_t *ret_time, uint64_t *ret_accuracy, RsError *err);
