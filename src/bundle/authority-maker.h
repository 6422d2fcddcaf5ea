/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * authority-maker - the order to the TPMs of a line to obey another authority, signed by two recovery keys.
 *
 * Spec:     docs/format-chain.md, section 7; docs/keys.md, drill 5
 * Trust:    drafts come from another machine: each step recomputes what it signs from the draft and the recovery keys
 * Owns:     results belong to the caller
 * Units:    none
 * Errors:   CHAIN, CERTIFICATE, ALGORITHM and those of signing
 * Context:  one thread
 * Programs: reseal-bundle
 */
#include <reseal/format/authority.h>
#include <reseal/format/limits.h>

struct evp_pkey_st;
struct x509_st;

typedef const uint8_t (*RecoveryPoints)[RS_POINT_SIZE]; /* three, in the order of the trust set */

/* Without the two signatures; approver and endorser: DER SPKI of two of the three, the approver the earlier one. */
int authority_make_draft(struct x509_st *before, struct x509_st *after, RecoveryPoints recovery, Span approver,
                         Span endorser, Encoder *ret, RsError *err);
int authority_make_endorse(Span draft, RecoveryPoints recovery, struct evp_pkey_st *key, Encoder *ret, RsError *err);
int authority_make_approve(Span draft, RecoveryPoints recovery, struct evp_pkey_st *key, Encoder *ret, RsError *err);
/* The order says what its certificate and these recovery keys make of it. */
int authority_make_check(const AuthorityChange *order, RecoveryPoints recovery, RsError *err);
