/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * line - the keys of one product line and the links they sign, for tests.
 *
 * Spec:     docs/format-chain.md, sections 2 and 7
 * Trust:    none
 * Owns:     a Line owns its keys; spans of a MadeLink point into it
 * Units:    none
 * Errors:   a test fails at once
 * Context:  tests only
 * Programs: tests of src/tpm
 */
#include <reseal/tpm/chain.h>

struct evp_pkey_st;

#define LINE_SIGNERS 8u

typedef struct LineKey {
        struct evp_pkey_st *key;
        uint8_t spki[128];
        size_t spki_size;
        uint8_t spki_sha256[32];
        uint8_t point[RS_POINT_SIZE];
        uint8_t certificate[1024]; /* self-signed: these tests look at its key only */
        size_t certificate_size;
} LineKey;

typedef struct Line {
        LineKey authority, other_authority;
        LineKey recovery[3];
        LineKey signers[LINE_SIGNERS];
        uint8_t points[3][RS_POINT_SIZE];
        uint8_t unwritten[34], written[34];
} Line;

typedef struct MadeLink {
        Link link;
        uint8_t endorsement[80], approval[80];
} MadeLink;

void line_make(Line *l);
void line_done(Line *l);
/* ECDSA with SHA-256 over the message, DER. */
size_t line_sign(const LineKey *key, Span message, uint8_t ret[80]);

/* Record of release `index` signed by signers[signer]. */
ChainRecord line_record(const Line *l, const char *name, uint64_t index, unsigned signer);
/* Links as a ceremony makes them; signatures that these tests do not look at stay empty. */
void line_genesis(const Line *l, const ChainRecord *record, MadeLink *ret);
void line_link(const Line *l, const ChainRecord *record, unsigned previous_signer, MadeLink *ret);
void line_bridge(const Line *l, const ChainRecord *record, unsigned approves, unsigned endorses, MadeLink *ret);
/* Another authority than the line's consents. */
void line_approve_as(const LineKey *authority, MadeLink *link, const uint8_t policy[32], const char *policy_ref);

typedef struct MadeChange {
        AuthorityChange change;
        uint8_t endorsement[80], approval[80];
} MadeChange;
void line_replace(const Line *l, const LineKey *before, const LineKey *after, unsigned approves, unsigned endorses,
                  MadeChange *ret);
