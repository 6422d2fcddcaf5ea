/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * assemble - the parts of a bundle to one file, encrypted on the way.
 *
 * Spec:     docs/format-bundle.md sections 1 and 5
 * Trust:    parts are the caller's own
 * Owns:     borrows everything
 * Units:    bytes
 * Errors:   FORMAT (a cap), IO, NO_SPACE, CANCELLED, INTERNAL
 * Context:  main thread; blocks on the disk
 * Programs: reseal-bundle
 */
#include <reseal/base/secret.h>
#include <reseal/format/bundle.h>
#include <reseal/format/table.h>

#include "term.h"

typedef struct BundleParts {
        Span manifest; /* section MANIFEST: CMS, or bare JSON */
        uint8_t id[RS_DIGEST_SIZE];
        const Secret *content_key; /* NULL: plain form */
        Span transport;            /* when there is a content key */
        uint32_t n_images;
        const Table *tables[RS_IMAGES_MAX];
        Span table_bytes[RS_IMAGES_MAX]; /* encoded */
        int payload_fd;                  /* payloads of all images, one image after the other */
} BundleParts;

int assemble_bundle(int fd, const BundleParts *parts, Progress *progress, RsError *err);

/* The bundle in `from` with another MANIFEST section; all other bytes stay. */
int assemble_resigned(int fd, int from, const BundleHeader *old, Span manifest, RsError *err);
/* The same with other LINKS and CRLS sections; empty: none. */
int assemble_attached(int fd, int from, const BundleHeader *old, Span links, Span crls, RsError *err);
