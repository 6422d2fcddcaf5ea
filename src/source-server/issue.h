/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * issue - tickets: one content key, sealed to each of many devices, signed, written where a static server finds them.
 *
 * Spec:     docs/format-ticket.md
 * Trust:    device certificates may come from anywhere: the device CA must have issued them for the unwrap purpose
 * Owns:     TicketRules borrows everything
 * Units:    seconds since 1970 UTC
 * Errors:   those of pki/path.h, TICKET (key not usable), CONFIG, IO, NO_SPACE
 * Context:  one thread; one to two milliseconds of CPU per device
 * Programs: reseal-source
 */
#include <openssl/types.h>

#include <reseal/base/error.h>
#include <reseal/base/secret.h>
#include <reseal/format/ticket.h>
#include <reseal/pki/path.h>

struct stack_st_X509;

typedef struct TicketRules {
        X509 *ticket_cert;
        EVP_PKEY *ticket_key;
        struct stack_st_X509 *chain;      /* NULL: the source root issued ticket_cert */
        const TrustAnchors *device_ca;    /* NULL: devices are not checked; the program always has one */
        const TrustAnchors *source_root;  /* NULL: else each ticket is verified before it is written */
        const CrlSet *crls;               /* NULL: nobody is revoked */
        uint64_t now;
        uint64_t not_after;               /* 0 = no end */
        bool flat;                        /* names without the device's serial number */
} TicketRules;

/* One ticket in DER, made in advance: its nonce is zero. */
int issue_ticket(const TicketRules *rules, const uint8_t bundle[RS_DIGEST_SIZE], const Secret *content_key,
                 X509 *device, Encoder *ret_der, uint8_t ret_device[RS_DIGEST_SIZE], RsError *err);
/* Writes DIR/<bundle id>/<serial>.<device id>.rst for each certificate in the files, so that a server can bind the
 * ticket to the serial number in the certificate of who asks (flat: <device id>.rst); the names of all appear together,
 * durable.
 * on_ticket (may be NULL) is told of each when all are in place. */
typedef void (*IssueObserver)(const char *device_hex, const char *subject, const char *path);
int issue_tickets(const TicketRules *rules, const uint8_t bundle[RS_DIGEST_SIZE], const Secret *content_key,
                  char *const *device_files, int n_files, const char *directory, IssueObserver on_ticket,
                  RsError *err);
