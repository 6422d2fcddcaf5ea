/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * keys - certificates and public keys as plain bytes, for rooms that do not see OpenSSL.
 *
 * Spec:     docs/format-chain.md, sections 2 and 6
 * Trust:    input is hostile; nothing here says that a certificate is good
 * Owns:     results belong to the caller
 * Units:    bytes
 * Errors:   CERTIFICATE (not DER of one certificate), ALGORITHM (not a P-256 key), CONFIG (not PEM of public keys)
 * Context:  any thread
 * Programs: reseal-writer, reseal-certstore
 */
#include <stdint.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/error.h>
#include <reseal/base/span.h>

struct stack_st_X509;

/* SHA-256 of the SubjectPublicKeyInfo of each PEM public key in text, in order: exactly n of them, all different. */
int keys_parse(Span pem, uint8_t (*ret)[32], uint32_t n, RsError *err);
/* Certificates one by one in DER as untrusted intermediates. */
int certs_parse(const Span *ders, uint32_t n, struct stack_st_X509 **ret, RsError *err);
struct stack_st_X509 *certs_free(struct stack_st_X509 *certs);
RS_DEFINE_CLEANUP(struct stack_st_X509, certs_free)
