/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * cms-parts - a verified SignedData with what else its signer said, inside this room.
 *
 * Spec:     RFC 5652
 * Trust:    input is hostile; after signed_message_open path, algorithms, signature and content type are good
 * Owns:     a SignedMessage owns all it points to; zeroed before, done after, whatever the result
 * Units:    bytes
 * Errors:   SIGNATURE and those of path.h
 * Context:  any thread
 * Programs: all that link room pki
 */
#include <openssl/cms.h>

#include <reseal/base/error.h>
#include <reseal/base/span.h>
#include <reseal/pki/path.h>

typedef struct SignedMessage {
        CMS_ContentInfo *cms;
        STACK_OF(X509) *certs;   /* enclosed */
        CMS_SignerInfo *info;    /* in cms */
        X509 *cert;              /* in certs */
        Span content;            /* in cms */
        SignerInfo signer;
} SignedMessage;

int signed_message_open(Span der, int content_type, size_t max_content, const TrustAnchors *anchors,
                        const PathRules *rules, SignedMessage *m, RsError *err);
void signed_message_done(SignedMessage *m);
