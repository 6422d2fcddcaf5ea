/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * links - the LINKS and CRLS sections of a bundle: shown, and walked as a device would.
 *
 * Spec:     docs/format-chain.md sections 3 and 4
 * Trust:    the sections are hostile; links_verify judges, everything else only shows
 * Owns:     results belong to the caller
 * Units:    seconds since 1970 UTC
 * Errors:   those of trust/chain.h and pki/crl.h
 * Context:  main thread
 * Programs: reseal-bundle
 */
#include <jansson.h>

#include "bundle-file.h"

void links_print(const BundleFile *f);
json_t *links_json(const BundleFile *f);

typedef struct LinksQuestion {
        const char *roots;      /* PEM */
        const char *recovery;   /* PEM with three public keys; NULL: no bridge is good */
        const char *from;       /* a record (its first 160 bytes) or a link; "factory": nothing accepted yet */
        uint64_t now;
} LinksQuestion;

/* signer: of the manifest, verified.  *ret_steps: how many links lead there. */
int links_verify(const BundleFile *f, const LinksQuestion *q, const SignerInfo *signer, uint32_t *ret_steps,
                 RsError *err);
