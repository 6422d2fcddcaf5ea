/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * authority - the order to a TPM of level L2 to obey another authority from now on.
 *
 * Spec:     docs/format-chain.md, section 7
 * Trust:    input is hostile; parsed means well-formed, the TPM judges the two signatures
 * Owns:     spans of a parsed AuthorityChange borrow the input
 * Units:    bytes
 * Errors:   CHAIN
 * Context:  any thread; no I/O
 * Programs: reseal-writer, reseal-provision, reseal-bundle
 */
#include <stdint.h>

#include <reseal/base/error.h>
#include <reseal/base/span.h>

#define AUTHORITY_CHANGE_MAX 4096u
#define AUTHORITY_POLICY_SIZE 34u

typedef struct AuthorityChange {
        uint8_t before[AUTHORITY_POLICY_SIZE], after[AUTHORITY_POLICY_SIZE]; /* contents of AUTHPOL */
        Span authority;               /* certificate of the new one, DER */
        Span endorser, approver;      /* recovery keys, DER SPKI */
        Span endorsement, approval;   /* empty in a draft */
} AuthorityChange;

int authority_change_parse(Span bytes, AuthorityChange *ret, RsError *err);
int authority_change_encode(const AuthorityChange *change, Encoder *e, RsError *err);
