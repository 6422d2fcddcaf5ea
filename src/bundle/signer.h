/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * signer - certificate, key and intermediates from the command line; the signature over a manifest.
 *
 * Spec:     docs/format-bundle.md section 2
 * Trust:    the operator's own files and tokens
 * Owns:     results belong to the caller
 * Units:    none
 * Errors:   CONFIG, PURPOSE, MANIFEST (a cap), and those of cms_sign
 * Context:  main thread; a token may ask for its PIN on the terminal
 * Programs: reseal-bundle
 */
#include <reseal/base/error.h>
#include <reseal/base/span.h>

typedef struct SignerOptions {
        const char *cert;  /* PEM; the first is the signer's, further ones are enclosed */
        const char *key;   /* file or URI */
        const char *chain; /* PEM with intermediates, or NULL */
} SignerOptions;

int signer_sign(const SignerOptions *options, Span manifest, Encoder *ret_cms, RsError *err);
