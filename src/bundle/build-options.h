/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * build-options - the command line of `reseal-bundle build`.
 *
 * Spec:     docs/man/reseal-bundle.1
 * Trust:    arguments come from the operator
 * Owns:     strings are borrowed from argv, but the notes (in the manifest)
 * Units:    none
 * Errors:   usage errors are said here and give EXIT_USAGE; else negative errno
 * Context:  main thread
 * Programs: reseal-bundle
 */
#include <stdbool.h>
#include <stdint.h>

#include <reseal/format/manifest.h>

#include "signer.h"

#define TRANSPORT_CERTS_MAX 8u

typedef struct ImageOptions {
        char *path; /* owned */
        int level;
        bool has_salt;
} ImageOptions;

typedef struct BuildOptions {
        Manifest *manifest; /* with all that the command line says: names, numbers, classes, salts */
        ImageOptions images[RS_IMAGES_MAX];
        const char *transport_certs[TRANSPORT_CERTS_MAX];
        unsigned n_transport_certs;
        SignerOptions signer;
        const char *root; /* verify the result against it */
        const char *output;
        unsigned n_jobs;
        bool encrypt;
        bool sign;
        bool quiet;
        bool help;
} BuildOptions;

int build_options_parse(int argc, char **argv, BuildOptions *ret, RsError *err);
void build_options_done(BuildOptions *o);
