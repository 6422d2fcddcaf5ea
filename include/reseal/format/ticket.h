/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * ticket - the small grant that wraps a bundle's content key to one device.
 *
 * Spec:     docs/format-ticket.md
 * Trust:    input is hostile; a Ticket is only well-formed: verify the CMS first, then ticket_check
 * Owns:     flat value
 * Units:    times in seconds since 1970 UTC
 * Errors:   TICKET, TICKET_EXPIRED, WRONG_DEVICE, WRONG_BUNDLE
 * Context:  any thread, no I/O
 * Programs: reseald, reseal-source
 */
#include <stdint.h>

#include <reseal/base/error.h>
#include <reseal/base/span.h>
#include <reseal/format/limits.h>

#define TICKET_ID_SIZE 16u
#define TICKET_CT_SIZE (RS_KEY_SIZE + RS_TAG_SIZE)
#define TICKET_INFO_SIZE (16u + 32u + 32u + 32u + 16u + 8u + 8u)

typedef struct Ticket {
        uint8_t id[TICKET_ID_SIZE];
        uint8_t bundle[RS_DIGEST_SIZE];
        uint8_t device[RS_DIGEST_SIZE];
        uint8_t nonce[32];
        uint64_t issued;
        uint64_t not_after;                     /* 0 = no end */
        uint8_t enc[RS_POINT_SIZE];
        uint8_t ct[TICKET_CT_SIZE];
} Ticket;

int ticket_parse(Span json, Ticket *ret, RsError *err);
int ticket_encode(const Ticket *t, Encoder *e, RsError *err);
/* The HPKE info that binds the ticket's fields. */
void ticket_info(const Ticket *t, uint8_t ret[TICKET_INFO_SIZE]);
/* Bindings and time, no cryptography. now 0 = time unknown: expiry is then not judged. */
int ticket_check(const Ticket *t, const uint8_t bundle[RS_DIGEST_SIZE], const uint8_t device[RS_DIGEST_SIZE],
                 uint64_t now, RsError *err);
