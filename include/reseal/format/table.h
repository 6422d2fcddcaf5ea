/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * table - the chunk table: kind, length and digest of each frame, digest of each chunk.
 *
 * Spec:     docs/format-bundle.md section 4
 * Trust:    table_parse checks form against a ManifestImage, not digests: callers compare SHA-256 of the bytes
 *           with table_sha256 before they parse, and hashtree_root of the chunk digests with root after it
 * Owns:     a Table owns its arrays
 * Units:    lengths in bytes
 * Errors:   TABLE
 * Context:  any thread, no I/O
 * Programs: reseald, reseal-writer, reseal-bundle
 */
#include <stdbool.h>
#include <stdint.h>

#include <reseal/base/error.h>
#include <reseal/base/span.h>
#include <reseal/format/manifest.h>

typedef enum FrameKind {
        FRAME_KIND_ZERO = 1,
        FRAME_KIND_DUP = 2,
        FRAME_KIND_RAW = 3,
        FRAME_KIND_ZSTD = 4,
        _FRAME_KIND_MAX,
} FrameKind;

typedef struct Frame {
        FrameKind kind;
        uint32_t payload_size;                  /* before encryption; 0 for zero and dup */
        uint32_t dup_of;                        /* frame number, for dup */
        uint8_t payload_sha256[RS_DIGEST_SIZE];
} Frame;

typedef struct Table {
        uint64_t image_size;
        uint32_t frame_chunks;
        uint32_t n_frames;
        uint32_t n_chunks;
        Frame *frames;
        uint8_t (*chunk_digests)[RS_DIGEST_SIZE];
} Table;

int table_parse(Span bytes, const ManifestImage *image, Table **ret, RsError *err);
int table_encode(const Table *t, Encoder *e, RsError *err);
Table *table_new(uint64_t image_size, uint32_t frame_chunks);  /* zeroed entries; NULL for want of memory */
Table *table_free(Table *t);
RS_DEFINE_CLEANUP(Table, table_free)

uint32_t table_size(uint32_t n_frames, uint32_t n_chunks);     /* bytes of the encoded plaintext table */
/* What the frames take in the FRAMES section, with tags when encrypted; offset of one frame in it. */
uint64_t table_frames_size(const Table *t, bool encrypted);
uint64_t table_frame_offset(const Table *t, bool encrypted, uint32_t frame);
uint32_t table_frame_plain_size(const Table *t, uint32_t frame);
