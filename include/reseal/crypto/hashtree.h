/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * hashtree - dm-verity digests: leaves, chunk digests, the tree above them and its root.
 *
 * Spec:     docs/format-bundle.md section 4; dm-verity on-disk format, hash type 1 (salt first), 4096/4096
 * Trust:    pure computation
 * Owns:     a HashTree owns its contexts; outputs go to the caller's buffers
 * Units:    bytes; block numbers count 4096-byte blocks
 * Errors:   INTERNAL
 * Context:  one HashTree per thread
 * Programs: reseal-bundle, reseald, reseal-writer, initramfs
 */
#include <stdint.h>

#include <reseal/base/error.h>
#include <reseal/base/span.h>
#include <reseal/format/limits.h>

typedef struct HashTree HashTree;

int hashtree_new(Span salt, HashTree **ret, RsError *err);
HashTree *hashtree_free(HashTree *t);
RS_DEFINE_CLEANUP(HashTree, hashtree_free)

/*
 * Digest of one chunk (size a multiple of RS_BLOCK_SIZE, at most RS_CHUNK_SIZE).  ret_leaf_block, when not NULL, gets
 * the 4096-byte hash block of its leaves: the block of the verity tree's lowest level that belongs to this chunk.
 */
int hashtree_chunk(HashTree *t, Span chunk, uint8_t ret_digest[RS_DIGEST_SIZE],
                   uint8_t *ret_leaf_block /* RS_BLOCK_SIZE or NULL */, RsError *err);

/* Root from the chunk digests alone.  n >= 1. */
int hashtree_root(HashTree *t, const uint8_t (*chunk_digests)[RS_DIGEST_SIZE], uint32_t n,
                  uint8_t ret_root[RS_DIGEST_SIZE], RsError *err);

/* Layout of the tree for an image of size_bytes; level 0 is the lowest (the leaf blocks of the chunks). */
#define HASHTREE_LEVELS_MAX 5u
typedef struct HashTreeLayout {
        uint32_t n_levels;
        uint64_t level_blocks[HASHTREE_LEVELS_MAX];
        uint64_t level_offset[HASHTREE_LEVELS_MAX];  /* in blocks from the start of the tree; the top level has 0 */
        uint64_t total_blocks;
} HashTreeLayout;

void hashtree_layout(uint64_t size_bytes, HashTreeLayout *ret);

/* Called with consecutive 4096-byte blocks; a negative return stops and is passed on. */
typedef int (*HashTreeEmit)(void *userdata, uint64_t block, const uint8_t *data, RsError *err);

/* Blocks of all levels above level 0 in disk order (top first), numbered from the start of the tree. */
int hashtree_upper_levels(HashTree *t, const uint8_t (*chunk_digests)[RS_DIGEST_SIZE], uint32_t n,
                          HashTreeEmit emit, void *userdata, uint8_t ret_root[RS_DIGEST_SIZE], RsError *err);

/* The dm-verity superblock, padded to one block. */
void hashtree_superblock(uint64_t size_bytes, Span salt, const uint8_t uuid[16], uint8_t ret[RS_BLOCK_SIZE]);
