/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * offer - a bundle as the source has it: its manifest, its id and the content key its envelope holds.
 *
 * Spec:     docs/format-bundle.md sections 1, 2, 5, 6
 * Trust:    the bundle may come from anywhere; with a firmware root its signature and signer are checked, without one
 *           it is only well-formed.  Either way the key must open the table that the manifest names
 * Owns:     an Offer owns its file descriptor and its Manifest
 * Units:    none
 * Errors:   IO, FORMAT, MANIFEST, SIGNATURE and those of pki/path.h, DECRYPT, TABLE_DIGEST, STATE (not encrypted)
 * Context:  one thread
 * Programs: reseal-source
 */
#include <openssl/types.h>

#include <reseal/base/error.h>
#include <reseal/base/secret.h>
#include <reseal/format/bundle.h>
#include <reseal/format/manifest.h>
#include <reseal/pki/path.h>

typedef struct Offer {
        int fd;
        BundleHeader header;
        Manifest *manifest;
        uint8_t id[RS_DIGEST_SIZE];
} Offer;

int offer_open(const char *path, const TrustAnchors *firmware_root /* NULL: not checked */, Offer **ret, RsError *err);
Offer *offer_free(Offer *o);
RS_DEFINE_CLEANUP(Offer, offer_free)
int offer_content_key(const Offer *o, X509 *transport_cert, EVP_PKEY *transport_key, Secret **ret, RsError *err);
