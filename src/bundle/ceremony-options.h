/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * ceremony-options - the command line of one step of a ceremony.
 *
 * Spec:     docs/man/reseal-bundle.1, "ceremony"; docs/keys.md
 * Trust:    the operator's own
 * Owns:     all strings are borrowed from argv
 * Units:    days
 * Errors:   usage errors are said; the return value is EXIT_USAGE
 * Context:  main thread
 * Programs: reseal-bundle
 */
#include <stdbool.h>
#include <stdint.h>

#include <reseal/base/error.h>

#define CEREMONY_EARLIER_MAX 1024u

typedef struct CeremonyOptions {
        const char *authority, *key, *cert, *public_key, *previous, *signer, *endorser, *endorser2;
        const char *bundle, *after, *kind, *recovery, *line, *output, *firmware, *source, *time;
        const char *input; /* the one operand, or NULL */
        const char *earlier[CEREMONY_EARLIER_MAX];
        unsigned n_earlier;
        uint64_t release, epoch, days, version, quorum, restart;
        bool level2;
        uint32_t given; /* bit per option */
} CeremonyOptions;

/* 1: *ret is complete for this step; 0: help was given; EXIT_USAGE: said why not. */
int ceremony_options(const char *step, int argc, char **argv, CeremonyOptions *ret);
/* The steps with one line each. */
void ceremony_help(void);
