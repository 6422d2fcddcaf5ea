/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * digest - SHA-256, whole or in parts, with the algorithm fetched once.
 *
 * Spec:     FIPS 180-4 through OpenSSL
 * Trust:    none
 * Owns:     a Digest owns its OpenSSL context
 * Units:    bytes
 * Errors:   INTERNAL (OpenSSL failed)
 * Context:  one Digest per thread
 * Programs: all
 */
#include <reseal/base/error.h>
#include <reseal/base/span.h>

#define SHA256_SIZE 32u

typedef struct Digest Digest;

int digest_new(Digest **ret, RsError *err);     /* SHA-256 */
Digest *digest_free(Digest *d);
RS_DEFINE_CLEANUP(Digest, digest_free)
int digest_start(Digest *d, RsError *err);
int digest_feed(Digest *d, Span bytes, RsError *err);
int digest_finish(Digest *d, uint8_t ret[SHA256_SIZE], RsError *err);

int digest_sha256(Span bytes, uint8_t ret[SHA256_SIZE], RsError *err);
