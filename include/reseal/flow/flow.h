/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * flow - from a source through decryption, digest and decompression to the writer's ring.
 *
 * Spec:     DESIGN.md 3; docs/format-bundle.md sections 4 and 5
 * Trust:    what comes in is hostile until its digest was found in the signed table; no byte reaches the
 *           decompressor before.  What goes out the writer judges again.
 * Owns:     a FlowSpec borrows all it names
 * Units:    bytes, images and frames by number
 * Errors:   TABLE_DIGEST, TABLE, ROOT, DECRYPT, FRAME_DIGEST, CODEC, FORMAT, and those of source.h and
 *           writer-client.h
 * Context:  one worker thread; blocks on source and writer
 * Programs: reseald
 */
#include <stdint.h>

#include <reseal/base/secret.h>
#include <reseal/format/bundle.h>
#include <reseal/format/table.h>
#include <reseal/ipc/writer-client.h>
#include <reseal/source/source.h>

typedef struct FlowSpec {
        Source *source;
        WriterClient *writer;
        Ring *ring;                     /* of the writer; needed by flow_write_image */
        const BundleHeader *header;
        const Manifest *manifest;
        uint8_t bundle_id[RS_DIGEST_SIZE];
        const Secret *content_key;      /* NULL: the bundle is not encrypted */
        /* Called when plain_size more bytes of the image are on their way to the writer; may be NULL. */
        void (*on_frame)(void *userdata, uint32_t image, uint64_t plain_size);
        void *userdata;
} FlowSpec;

/* Manifest against header: the same images, sections as large as the manifest says.  FORMAT. */
int flow_check_layout(const BundleHeader *h, const Manifest *m, RsError *err);
/* Fetches and opens the table of an image; digest before parsing, verity root after.  *ret_bytes (free): as the writer
 * wants it. */
int flow_fetch_table(const FlowSpec *spec, uint32_t image, uint8_t **ret_bytes, Table **ret_table, RsError *err);
/* All frames from `next` on that no range names as proven, in order, until the writer has taken the last one. */
int flow_write_image(const FlowSpec *spec, uint32_t image, const Table *table, uint32_t next, const WriterRange *proven,
                     uint32_t n_proven, RsError *err);
