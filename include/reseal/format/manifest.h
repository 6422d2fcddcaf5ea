/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * manifest - the signed statement of what a bundle installs.
 *
 * Spec:     docs/format-bundle.md section 3
 * Trust:    input is hostile; a Manifest is only well-formed: believe it as AcceptedRelease (trust/gate.h) or
 *           after cms_verify
 * Owns:     a Manifest owns its notes; the span given to parse may go away afterwards
 * Units:    sizes in bytes, times in seconds since 1970 UTC
 * Errors:   MANIFEST
 * Context:  any thread, no globals, no I/O
 * Programs: all
 */
#include <stdbool.h>
#include <stdint.h>

#include <reseal/base/error.h>
#include <reseal/base/span.h>
#include <reseal/format/limits.h>

typedef struct ManifestImage {
        char class_name[RS_CLASS_MAX + 1];
        uint64_t size;
        uint8_t salt[RS_SALT_SIZE];
        uint8_t root[RS_DIGEST_SIZE];
        uint32_t n_chunks;
        uint32_t frame_chunks;
        uint32_t table_size;
        uint8_t table_sha256[RS_DIGEST_SIZE];
} ManifestImage;

typedef struct Manifest {
        char line[RS_NAME_MAX + 1];
        char compatible[RS_COMPATIBLE_MAX][RS_NAME_MAX + 1];
        uint32_t n_compatible;
        uint64_t release;
        uint32_t epoch;
        char version[RS_NAME_MAX + 1];
        uint64_t created;
        bool confidential;
        char *notes;                            /* NULL when absent */
        ManifestImage images[RS_IMAGES_MAX];
        uint32_t n_images;
} Manifest;

int manifest_parse(Span json, Manifest **ret, RsError *err);
/* Compact, sorted keys: the same Manifest always gives the same bytes. */
int manifest_encode(const Manifest *m, Encoder *e, RsError *err);
Manifest *manifest_new(void);                   /* zero filled; NULL for want of memory */
Manifest *manifest_free(Manifest *m);
RS_DEFINE_CLEANUP(Manifest, manifest_free)

/* Geometry of an image, from its size */
uint32_t image_n_chunks(uint64_t size);
uint32_t image_n_frames(uint64_t size, uint32_t frame_chunks);
uint32_t image_chunk_size(uint64_t size, uint32_t chunk);  /* bytes of this chunk */
uint32_t image_frame_size(uint64_t size, uint32_t frame_chunks, uint32_t frame);
