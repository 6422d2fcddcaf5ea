/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * link - one step of the signer chain as bytes, and sets of them.
 *
 * Spec:     docs/format-chain.md, sections 2 and 4
 * Trust:    input is hostile; a parsed link is well-formed, nothing more (room trust judges it)
 * Owns:     spans of a parsed Link borrow the input
 * Units:    bytes
 * Errors:   CHAIN
 * Context:  any thread; no I/O
 * Programs: reseald (which links are missing), reseal-writer, reseal-bundle, reseal-source
 */
#include <stdbool.h>
#include <stdint.h>

#include <reseal/base/error.h>
#include <reseal/base/span.h>

#define LINK_MAX 4096u
#define LINK_SET_MAX (2u << 20)
#define LINK_SET_COUNT_MAX 1024u
#define LINK_RECORD_SIZE 160u
#define LINK_NAME_SIZE 34u
#define LINK_INDEX_MAX INT64_MAX
#define LINK_EPOCH_MAX INT32_MAX
#define CHAIN_RECORD_BRIDGED 0x01u

typedef enum LinkKind {
        LINK_NEXT = 1,
        LINK_BRIDGE = 2,
        LINK_GENESIS = 3,
} LinkKind;

/* The chain part of a record, docs/tpm.md: the same bytes on every device of a line. */
typedef struct ChainRecord {
        uint8_t flags;               /* 0 or CHAIN_RECORD_BRIDGED */
        uint8_t line_tag[16];
        uint32_t epoch;
        uint64_t index;
        uint8_t signer_spki[32];
        uint8_t manifest_digest[32];
        uint8_t log_head[32];
} ChainRecord;

void chain_record_encode(const ChainRecord *record, uint8_t ret[LINK_RECORD_SIZE]);
/* CHAIN for bytes that are not one (magic, CRC, reserved bytes). */
int chain_record_parse(const uint8_t bytes[LINK_RECORD_SIZE], ChainRecord *ret, RsError *err);
/* Do two records of one index name the same release, signer and history?  A bridge may carry another log head. */
bool chain_record_same_release(const ChainRecord *a, const ChainRecord *b);

typedef struct Link {
        Span bytes;                  /* the whole link */
        LinkKind kind;
        ChainRecord record;
        uint8_t record_bytes[LINK_RECORD_SIZE];
        uint8_t chain_name[LINK_NAME_SIZE];
        Span signer, authority;      /* DER certificates */
        Span endorser, endorser2;    /* DER SPKI, empty where the kind has none */
        Span endorsement, approval, possession;
        Span possessed;              /* what `possession` signs */
} Link;

int link_parse(Span bytes, Link *ret, RsError *err);
/*
 * A link whose signature fields are still empty is a draft: it parses, and no walk accepts it.  bytes, record_bytes
 * and possessed need not be set.
 */
int link_encode(const Link *link, Encoder *e, RsError *err);

/* A set, as in the LINKS section: calls back in order; a negative result ends the walk and is returned. */
int link_set_walk(Span set, int (*each)(void *userdata, const Link *link, RsError *err), void *userdata,
                  RsError *err);
/* links: whole links in ascending order. */
int link_set_encode(const Span *links, uint32_t n, Encoder *e, RsError *err);
