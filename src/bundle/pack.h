/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * pack - an image to its chunk table and the payloads of its frames, compressed by several threads.
 *
 * Spec:     docs/format-bundle.md section 4
 * Trust:    the image is the engineer's own
 * Owns:     the Table belongs to the caller
 * Units:    bytes
 * Errors:   IO, NO_SPACE, NO_MEMORY, CANCELLED, INTERNAL
 * Context:  main thread; starts and joins n_jobs threads; memory bound by n_jobs, not by the image
 * Programs: reseal-bundle
 */
#include <stdint.h>

#include <reseal/base/error.h>
#include <reseal/format/table.h>

#include "term.h"

#define PACK_JOBS_MAX 64u
#define PACK_LEVEL_MAX 22

typedef struct PackInput {
        int fd;             /* of the image */
        uint64_t file_size; /* bytes it has; zeros follow up to size */
        uint64_t size;      /* multiple of RS_BLOCK_SIZE */
        uint8_t salt[RS_SALT_SIZE];
        uint32_t frame_chunks;
        int level; /* of zstd */
        unsigned n_jobs;
} PackInput;

/* Payloads are written to payload_fd from *offset on, in the order of frames; *offset moves behind them. */
int pack_image(const PackInput *in, int payload_fd, uint64_t *offset, Progress *progress, Table **ret,
               RsError *err);
