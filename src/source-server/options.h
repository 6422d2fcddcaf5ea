/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * options - the command line of reseal-source.
 *
 * Spec:     docs/man/reseal-source.1
 * Trust:    the caller's own words
 * Owns:     borrows argv, except the array of device files
 * Units:    seconds since 1970 UTC
 * Errors:   INVALID
 * Context:  once, at start
 * Programs: reseal-source
 */
#include <stdbool.h>
#include <stdint.h>

#include <reseal/base/error.h>
#include <reseal/pki/crl.h>

typedef enum Verb {
        VERB_TICKET,
        VERB_PUBLISH,
        VERB_STATEMENT,
        VERB_LISTS,
        VERB_HELP,
        VERB_VERSION,
        _VERB_MAX,
} Verb;

typedef struct Options {
        Verb verb;
        const char *bundle, *output;       /* output: --output or --www */
        const char *line, *cert, *key;     /* of a statement */
        uint64_t latest, seq, days;
        const char *transport_key, *transport_cert;
        const char *ticket_key, *ticket_cert, *chain;
        const char *device_ca, *firmware_root, *source_root;
        uint64_t now, not_after;           /* not_after 0 = no end */
        bool flat;                         /* no serial number in names of tickets */
        char **devices;
        int n_devices;
        const char *crls[CRL_COUNT_MAX];   /* revocation lists, DER */
        uint32_t n_crls;
} Options;

#define OPTIONS_INIT ((Options){ 0 })

/* argv is permuted, as getopt_long does. */
int options_parse(int argc, char **argv, uint64_t now, Options *ret, RsError *err);
void options_done(Options *o);
/* "+3600" from now, "1767225600", "2026-01-01", "2026-01-01T12:30:00Z"; must lie after now. */
int options_time(const char *text, uint64_t now, uint64_t *ret, RsError *err);
extern const char options_usage[];
