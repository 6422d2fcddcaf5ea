/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * path-parts - what path checks share with revocation lists, messages and time-stamps of this room.
 *
 * Spec:     RFC 5280
 * Trust:    input is hostile
 * Owns:     nothing
 * Units:    seconds since 1970 UTC
 * Errors:   those of path.h
 * Context:  any thread
 * Programs: all that link room pki
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/x509.h>

#include <reseal/base/error.h>
#include <reseal/pki/path.h>

/* 0 for what lies before 1970; false for what is no time. */
bool path_seconds(const ASN1_TIME *t, uint64_t *ret);
/* One line, escaped. */
int path_name_text(const X509_NAME *name, char *ret, size_t size, RsError *err);
/* Byte for byte. */
bool path_is_anchor(const X509 *cert, const TrustAnchors *anchors);
/*
 * A CA certificate under the anchors, or one of them.  rules: time and lists for it; NULL: neither, a list that is held
 * outlives the year of its issuer.  Anchors have no end but that of their set.
 */
int path_verify_ca(X509 *cert, STACK_OF(X509) *extra, const TrustAnchors *anchors, const PathRules *rules,
                   RsError *err);
