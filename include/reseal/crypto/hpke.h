/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * hpke - RFC 9180 base mode, DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-256-GCM, single shot.
 *
 * Spec:     RFC 9180 sections 4.1, 5.1, 6.1, 7.1; vectors of appendix A
 * Trust:    points from outside are checked to be on the curve
 * Owns:     results belong to the caller
 * Units:    bytes; points are 65 bytes uncompressed
 * Errors:   DECRYPT, TICKET (bad point), INTERNAL
 * Context:  any thread
 * Programs: reseald, reseal-source
 */
#include <reseal/base/error.h>
#include <reseal/base/secret.h>
#include <reseal/format/limits.h>

/* Sender: a fresh ephemeral key each time. ret_ct gets secret_size(plain) + 16 bytes. */
int hpke_seal(const uint8_t recipient[RS_POINT_SIZE], Span info, Span aad, const Secret *plain,
              uint8_t ret_enc[RS_POINT_SIZE], uint8_t *ret_ct, RsError *err);
/* Receiver, whose private half is elsewhere: z = X coordinate (32 bytes) of ECDH(private, enc), e.g. TPM2_ECDH_ZGen. */
int hpke_open_with_z(const Secret *z, const uint8_t recipient[RS_POINT_SIZE], const uint8_t enc[RS_POINT_SIZE],
                     Span info, Span aad, Span ct, Secret **ret, RsError *err);
