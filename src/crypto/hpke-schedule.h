/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * hpke-schedule - what hpke.c derives before it encrypts, open to the vectors of RFC 9180.
 *
 * Spec:     RFC 9180 sections 4.1 (ExtractAndExpand) and 5.1 (KeySchedule), base mode
 * Trust:    points are not checked here
 * Owns:     results belong to the caller
 * Units:    bytes
 * Errors:   INTERNAL
 * Context:  any thread
 * Programs: reseald, reseal-source; the vector test
 */
#include <reseal/crypto/hpke.h>

#define HPKE_KEM_P256 0x0010u
#define HPKE_KDF_SHA256 0x0001u
#define HPKE_AEAD_AES_128_GCM 0x0001u /* only for the vectors of the RFC's appendix A.3 */
#define HPKE_AEAD_AES_256_GCM 0x0002u
#define HPKE_NONCE_SIZE 12u

int hpke_shared_secret(const Secret *z, const uint8_t recipient[RS_POINT_SIZE], const uint8_t enc[RS_POINT_SIZE],
                       Secret **ret, RsError *err);
int hpke_schedule(const Secret *shared_secret, Span info, uint16_t aead, Secret **ret_key,
                  uint8_t ret_nonce[HPKE_NONCE_SIZE], RsError *err);
