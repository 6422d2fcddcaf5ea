/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * link-maker - the steps by which a link comes into being, each with one key on one machine.
 *
 * Spec:     docs/format-chain.md, sections 1 and 2; docs/keys.md
 * Trust:    drafts come from another machine: each step recomputes what it signs from the draft's fields
 * Owns:     results belong to the caller
 * Units:    days
 * Errors:   CHAIN, CERTIFICATE, ALGORITHM, INVALID and those of signing
 * Context:  one thread
 * Programs: reseal-bundle, tests
 */
#include <reseal/base/error.h>
#include <reseal/base/span.h>
#include <reseal/format/link.h>
#include <reseal/pki/firmware.h>

struct evp_pkey_st;
struct x509_st;

/* The authority certifies a signer's public key at its place of the chain. */
int link_make_certificate(struct x509_st *authority, struct evp_pkey_st *authority_key,
                          struct evp_pkey_st *signer_public, const FirmwarePlace *place, unsigned days,
                          struct x509_st **ret, RsError *err);

typedef struct LinkPlan {
        LinkKind kind;
        uint8_t manifest_digest[32];
        uint8_t log_head_before[32];         /* of record n-1; zeros at a genesis */
        uint8_t chain_name[LINK_NAME_SIZE];  /* as docs/format-chain.md wants it for this kind */
        struct x509_st *signer, *authority;
        Span endorser, endorser2;            /* DER SPKI */
} LinkPlan;

/* A draft: everything but the three signatures. */
int link_make_draft(const LinkPlan *plan, Encoder *ret, RsError *err);
/* Each adds one signature; the key must be the one the draft names.  possess is the last one: it covers the others. */
int link_make_endorse(Span draft, struct evp_pkey_st *key, Encoder *ret, RsError *err);
int link_make_approve(Span draft, struct evp_pkey_st *key, Encoder *ret, RsError *err);
int link_make_possess(Span draft, struct evp_pkey_st *key, Encoder *ret, RsError *err);
