/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * firmware - the place of a signer in the chain, a critical extension of its certificate.
 *
 * Spec:     docs/format-chain.md, section 1; RFC 5280 4.2; requirements S65 to S67
 * Trust:    believed only in a certificate whose path has been verified
 * Owns:     flat values
 * Units:    none
 * Errors:   CERTIFICATE (absent, twice, not critical, not strict DER, values outside their bounds)
 * Context:  any thread
 * Programs: reseal-writer, reseald, reseal-bundle
 */
#include <stdbool.h>
#include <stdint.h>

#include <reseal/base/error.h>
#include <reseal/format/limits.h>

struct x509_st;
struct X509_extension_st;

typedef struct FirmwarePlace {
        char line[RS_NAME_MAX + 1];
        uint32_t epoch;
        uint64_t index;
        uint8_t prev_spki[32];
} FirmwarePlace;

int firmware_place_get(struct x509_st *cert, FirmwarePlace *ret, RsError *err);
/* Before the certificate is signed; refused are a certificate that has a place and a place that get would refuse. */
int firmware_place_set(struct x509_st *cert, const FirmwarePlace *place, RsError *err);
/* Is there such an extension at all, of whatever form?  For path.c, which refuses it where it must not be. */
bool firmware_place_present(const struct x509_st *cert);
bool firmware_place_is(const struct X509_extension_st *extension);
