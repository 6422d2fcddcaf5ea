/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * cms - signed manifests and tickets, enveloped content keys; keys and certificates from files or tokens.
 *
 * Spec:     RFC 5652, RFC 5083; docs/format-bundle.md sections 2 and 6; requirements S57, S58, S60
 * Trust:    input is hostile; nothing of a message is interpreted before its signature is good, but certificates
 * Owns:     results belong to the caller
 * Units:    bytes
 * Errors:   SIGNATURE and those of path.h; DECRYPT for envelopes; CONFIG for keys that cannot be loaded
 * Context:  any thread
 * Programs: reseald, reseal-writer (verify only), reseal-bundle, reseal-source
 */
#include <reseal/base/error.h>
#include <reseal/base/secret.h>
#include <reseal/base/span.h>
#include <reseal/pki/path.h>

struct evp_pkey_st;

#define CMS_SIGNERS_MAX 16u

/* DER SignedData, one signer, attached content, trailing bytes refused. *ret_content (free) gets the signed bytes. */
int cms_verify(Span der, const TrustAnchors *anchors, const PathRules *rules, size_t max_content,
               uint8_t **ret_content, size_t *ret_size, SignerInfo *ret_signer, RsError *err);
/*
 * A content that several roots have signed.  *ret_n gets the number of different ones of `roots` (byte for byte, told
 * apart by key) among the signers; the signature of each of these must be good.  Signers that are none of `roots` are
 * not counted and not looked at: a set that replaces roots is signed by old and new ones, and is verified once with
 * each.  Whether it is enough the caller decides; with 0 nobody has vouched for the content.
 */
int cms_verify_quorum(Span der, const TrustAnchors *roots, size_t max_content, uint8_t **ret_content, size_t *ret_size,
                      uint32_t *ret_n, RsError *err);
/* The content without judging it, for display on machines without anchors.  Never for decisions. */
int cms_peek(Span der, size_t max_content, uint8_t **ret_content, size_t *ret_size, RsError *err);

/* Signing side; key may live in a provider or token, extra (intermediates) may be NULL. */
int cms_sign(Span content, struct x509_st *cert, struct evp_pkey_st *key, struct stack_st_X509 *extra,
             Encoder *ret_der, RsError *err);
/*
 * One more signer to a SignedData with attached content (der empty: content is signed anew by this one alone); content,
 * if given, must be the attached one.  INVALID: another content, signed by this certificate already, too many signers.
 */
int cms_add_signer(Span der, Span content, struct x509_st *cert, struct evp_pkey_st *key, Encoder *ret_der,
                   RsError *err);
int cms_envelop(const Secret *content_key, struct stack_st_X509 *recipients, Encoder *ret_der, RsError *err);
int cms_develop(Span der, struct x509_st *cert, struct evp_pkey_st *key, Secret **ret_content_key, RsError *err);

/* A PEM file, or any URI ("pkcs11:...", "handle:0x81...") that a store loader of a configured provider understands. */
int key_load(const char *uri, struct evp_pkey_st **ret, RsError *err);
/* All certificates of a PEM file, first one first. */
int certs_load(const char *path, struct stack_st_X509 **ret, RsError *err);
