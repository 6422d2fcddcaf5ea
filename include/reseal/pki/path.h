/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * path - certificate paths to a pinned root: purpose, time, algorithm policy.
 *
 * Spec:     RFC 5280; requirements S36, S58, S60
 * Trust:    input is hostile; only anchors given by the caller are trusted, never the system store, never a
 *           certificate that came with the message
 * Owns:     a TrustAnchors owns its store; results belong to the caller
 * Units:    times in seconds since 1970 UTC
 * Errors:   CERTIFICATE, EXPIRED, PURPOSE, ALGORITHM, REVOKED, CONFIG (unusable anchors), INVALID (unusable rules)
 * Context:  any thread; a TrustAnchors is read-only after loading
 * Programs: reseald, reseal-writer, reseal-bundle, reseal-source
 */
#include <stdbool.h>
#include <stdint.h>

#include <reseal/base/error.h>
#include <reseal/base/span.h>
#include <reseal/format/limits.h>

struct x509_st;
struct x509_store_st;
struct stack_st_X509;

typedef struct TrustAnchors TrustAnchors;
typedef struct CrlSet CrlSet; /* crl.h */

/* PEM with one or more roots; each must itself satisfy the algorithm policy for anchors (P-384 or RSA >= 3072). */
int anchors_load(const char *path, TrustAnchors **ret, RsError *err);
int anchors_parse(Span pem, TrustAnchors **ret, RsError *err);
int anchors_none(TrustAnchors **ret, RsError *err); /* nobody: every path is refused */
TrustAnchors *anchors_free(TrustAnchors *a);
RS_DEFINE_CLEANUP(TrustAnchors, anchors_free)
/* How many different ones. */
uint32_t anchors_count(const TrustAnchors *a);
/* Is this the SHA-256 of the SPKI of one of them? */
bool anchors_have_key(const TrustAnchors *a, const uint8_t spki_sha256[32]);
/* Is the key of each anchor of `part` one of theirs? */
bool anchors_include(const TrustAnchors *a, const TrustAnchors *part);
/* The anchors as a store for TLS, borrowed; it holds nothing else (no default paths). */
struct x509_store_st *anchors_store(const TrustAnchors *a);

/*
 * What a path must satisfy.  The present lies somewhere in [time_low, time_high]: a certificate is refused when no
 * moment of that interval lies in its validity.  With time_low 0 expiry is not judged at all: that is for devices
 * that do not know the time (the rollback record protects them), never for a program with a clock.
 */
typedef struct PathRules {
        const char *eku_oid;      /* required in the leaf, dotted decimal */
        bool key_agreement;       /* the leaf agrees on keys (keyAgreement) instead of signing (digitalSignature) */
        uint64_t time_low;        /* not_after must lie after this; 0 = not judged */
        uint64_t time_high;       /* not_before must not be after this; UINT64_MAX = unknown */
        bool firmware_place;      /* the leaf must carry the critical extension of pki/firmware.h; else it must not */
        struct x509_st *issuer;   /* usually NULL; a CA whose own path has been verified: the path ends at it */
        const CrlSet *crls;       /* consulted for leaf and intermediates: REVOKED; NULL: none known */
} PathRules;

typedef struct SignerInfo {
        char subject[160];        /* one line, escaped */
        uint8_t spki_sha256[32];
        uint64_t not_before;
        uint64_t not_after;
        struct {
                char name[96];
                uint8_t key[32];  /* SHA-256 of the SPKI */
        } issuers[RS_CERT_CHAIN_MAX - 1]; /* the CAs of its path, the anchor last */
        uint32_t n_issuers;
} SignerInfo;

/*
 * leaf, with extra (may be NULL) as untrusted intermediates.  The leaf must be CA:FALSE, with key usage and EKU;
 * an intermediate must be CA:TRUE with keyCertSign and, when it has EKUs, allow this one; unknown critical extensions,
 * keys and digests outside the table in path.c are refused.
 */
int path_verify(struct x509_st *leaf, struct stack_st_X509 *extra, const TrustAnchors *anchors,
                const PathRules *rules, SignerInfo *ret_signer, RsError *err);
/* What the first certificate of a PEM file says about itself, believed by nobody: for display. */
int certificate_describe(const char *path, SignerInfo *ret, RsError *err);
/* SHA-256 of the DER SubjectPublicKeyInfo: the name of a key in tickets and records. */
int path_spki_sha256(struct x509_st *cert, uint8_t ret[32], RsError *err);
/* The table's word on a digest, by OpenSSL NID; also asked for the digest and signature algorithm of a CMS. */
bool algorithm_digest_permitted(int digest_nid);
bool algorithm_signature_fits(int signature_nid, int key_nid, int digest_nid);
