/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * term - what the operator sees: progress on a terminal, colour on a terminal, sizes for people, Ctrl-C.
 *
 * Spec:     docs/man/reseal-bundle.1
 * Trust:    none
 * Owns:     a Progress is a flat value of the caller
 * Units:    bytes
 * Errors:   CANCELLED from interrupt_check
 * Context:  main thread; writes to stderr
 * Programs: reseal-bundle
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <reseal/base/error.h>

typedef struct Progress {
        const char *label;
        uint64_t total;
        uint64_t done;
        uint64_t started_usec;
        uint64_t shown_usec;
        bool visible;
} Progress;

void progress_start(Progress *p, const char *label, uint64_t total, bool quiet);
void progress_add(Progress *p, uint64_t bytes);
void progress_end(Progress *p); /* leaves a clean line; may be called twice */

/* From then on SIGINT and SIGTERM only leave a mark, so that temporary files can be removed. */
void interrupt_install(void);
int interrupt_check(RsError *err);

bool term_has_colour(FILE *f);
const char *term_bold(FILE *f); /* escape sequences, or "" */
const char *term_good(FILE *f);
const char *term_bad(FILE *f);
const char *term_plain(FILE *f);

#define SIZE_TEXT 16u
const char *size_text(uint64_t bytes, char ret[SIZE_TEXT]); /* "320.0 MiB"; returns ret */
