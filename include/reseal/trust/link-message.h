/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * link-message - what endorser and approver of a link sign, for those who sign and those who verify.
 *
 * Spec:     docs/format-chain.md, section 2
 * Trust:    computed from a parsed link's own fields; says nothing about them
 * Owns:     results belong to the caller
 * Units:    none
 * Errors:   CERTIFICATE, ALGORITHM (endorser is no P-256 key)
 * Context:  any thread; no TPM needed
 * Programs: reseal-writer, reseal-bundle, reseal-provision
 */
#include <reseal/base/error.h>
#include <reseal/base/span.h>
#include <reseal/format/link.h>

#define LINK_ENDORSEMENT_SIZE 36u

int link_endorsement_message(const Link *link, uint8_t ret[LINK_ENDORSEMENT_SIZE], RsError *err);
int link_approval_message(const Link *link, Encoder *ret, RsError *err);
