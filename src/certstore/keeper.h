/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * keeper - the one trust set of this device, and what may replace it.
 *
 * Spec:     docs/format-chain.md, section 6; requirements S23, S25, S33
 * Trust:    candidates are hostile; configuration, version 0 and the own directory are trusted
 * Owns:     a Keeper owns all it holds
 * Units:    bytes
 * Errors:   CONFIG; TRUST_SET, LINE, FORMAT and those of pki for candidates; IO, NO_SPACE
 * Context:  one thread
 * Programs: reseal-certstore
 */
#include <stdint.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/error.h>
#include <reseal/base/span.h>
#include <reseal/pki/path.h>

typedef struct Keeper {
        char *line;
        char *firmware_root;         /* path: version 0 */
        TrustAnchors *version0;
        int store_fd;
} Keeper;

#define KEEPER_EMPTY ((Keeper){ .store_fd = -EBADF })

/* Of writer.conf: the line and the firmware root, nothing else; then the store's directory. */
int keeper_open(const char *config_path, const char *store_path, Keeper *ret, RsError *err);
void keeper_done(Keeper *k);
/* Judges the candidate against what lies in the store; a good one replaces it, durably. */
int keeper_apply(const Keeper *k, Span candidate, uint64_t *ret_version, RsError *err);
