/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * hashtree - the dm-verity tree, hash type 1: every digest is SHA-256(salt || 4096 bytes).
 *
 * A hash block holds 128 digests, so the leaves of one 512 KiB chunk fill exactly one block of the lowest level
 * and the chunk digest is the digest of that block: what the signed table holds for each chunk is the tree's
 * next level.  Everything above needs no image data at all (DESIGN.md D3).
 *
 * The leaves are the dearest part of an installation: one SHA-256 over each image byte.  Measured per leaf:
 * salt fed each time 2.47 us, state after the salt copied with EVP_MD_CTX_copy_ex 2.46 us, one update of salt
 * and block laid side by side 2.47 us.  All are bound by the compression function (a salt of 32 bytes is half
 * a block, so nothing of it can be finished in advance); the simplest one stands.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/ossl.h>
#include <reseal/crypto/hashtree.h>

#define SALT_MAX 256u /* of the superblock */

struct HashTree {
        EVP_MD *md;
        EVP_MD_CTX *ctx;
        size_t salt_size;
        uint8_t salt[SALT_MAX];
        uint8_t block[RS_BLOCK_SIZE]; /* the hash block being made */
};

int hashtree_new(Span salt, HashTree **ret, RsError *err) {
        _cleanup_(hashtree_freep) HashTree *t = NULL;

        if (salt.size > SALT_MAX)
                return rs_fail(err, INTERNAL, "verity salt of %zu bytes", salt.size);
        t = calloc(1, sizeof(*t));
        if (!t)
                return rs_fail_oom(err);
        t->salt_size = salt.size;
        if (salt.size > 0)
                memcpy(t->salt, salt.data, salt.size);
        t->md = EVP_MD_fetch(ossl_context(), "SHA256", NULL);
        t->ctx = EVP_MD_CTX_new();
        if (!t->md || !t->ctx || EVP_DigestInit_ex2(t->ctx, t->md, NULL) != 1)
                return rs_fail_ssl(err, INTERNAL, "SHA-256");
        *ret = TAKE_PTR(t);
        return 0;
}

HashTree *hashtree_free(HashTree *t) {
        if (t) {
                EVP_MD_CTX_free(t->ctx);
                EVP_MD_free(t->md);
                free(t);
        }
        return NULL;
}

static int hash_block(HashTree *t, const uint8_t *block, uint8_t *ret, RsError *err) {
        if (EVP_DigestInit_ex2(t->ctx, NULL, NULL) != 1 ||
            EVP_DigestUpdate(t->ctx, t->salt, t->salt_size) != 1 ||
            EVP_DigestUpdate(t->ctx, block, RS_BLOCK_SIZE) != 1 || EVP_DigestFinal_ex(t->ctx, ret, NULL) != 1)
                return rs_fail_ssl(err, INTERNAL, "SHA-256");
        return 0;
}

int hashtree_chunk(HashTree *t, Span chunk, uint8_t ret_digest[RS_DIGEST_SIZE], uint8_t *ret_leaf_block,
                   RsError *err) {
        size_t n_blocks = chunk.size / RS_BLOCK_SIZE;
        uint8_t digest[RS_DIGEST_SIZE];
        int r;

        assert(chunk.size > 0 && chunk.size <= RS_CHUNK_SIZE && chunk.size % RS_BLOCK_SIZE == 0);
        for (size_t i = 0; i < n_blocks; i++) {
                r = hash_block(t, chunk.data + i * RS_BLOCK_SIZE, t->block + i * RS_DIGEST_SIZE, err);
                if (r < 0)
                        return r;
        }
        memset(t->block + n_blocks * RS_DIGEST_SIZE, 0, RS_BLOCK_SIZE - n_blocks * RS_DIGEST_SIZE);
        r = hash_block(t, t->block, digest, err);
        if (r < 0)
                return r;
        memcpy(ret_digest, digest, sizeof(digest));
        if (ret_leaf_block)
                memcpy(ret_leaf_block, t->block, RS_BLOCK_SIZE);
        return 0;
}

static uint32_t n_blocks_for(uint32_t n_digests) {
        return n_digests / RS_CHUNK_BLOCKS + (n_digests % RS_CHUNK_BLOCKS != 0);
}

/* The hash block that holds digests[128 * number ...] of n, zero padded, in t->block. */
static void pack_block(HashTree *t, const uint8_t (*digests)[RS_DIGEST_SIZE], uint32_t n, uint32_t number) {
        uint32_t first = number * RS_CHUNK_BLOCKS;
        size_t size = (size_t) (n - first < RS_CHUNK_BLOCKS ? n - first : RS_CHUNK_BLOCKS) * RS_DIGEST_SIZE;

        memcpy(t->block, digests[first], size);
        memset(t->block + size, 0, RS_BLOCK_SIZE - size);
}

/* One level up: the digests of the blocks that hold `digests`. */
static int next_level(HashTree *t, const uint8_t (*digests)[RS_DIGEST_SIZE], uint32_t n,
                      uint8_t (*ret)[RS_DIGEST_SIZE], RsError *err) {
        for (uint32_t i = 0; i < n_blocks_for(n); i++) {
                int r;

                pack_block(t, digests, n, i);
                r = hash_block(t, t->block, ret[i], err);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Digests of all levels: level[0] are the chunk digests (borrowed), level[n_levels - 1] is the root alone. */
typedef struct Levels {
        const uint8_t (*level[HASHTREE_LEVELS_MAX])[RS_DIGEST_SIZE];
        uint32_t n[HASHTREE_LEVELS_MAX];
        uint32_t n_levels;
        void *memory;
} Levels;

static void levels_done(Levels *l) {
        free(l->memory);
}

static int levels_make(HashTree *t, const uint8_t (*chunk_digests)[RS_DIGEST_SIZE], uint32_t n, Levels *ret,
                       RsError *err) {
        uint8_t(*at)[RS_DIGEST_SIZE];
        size_t total = 0;
        int r;

        assert(n > 0 && n <= RS_CHUNKS_MAX);
        *ret = (Levels){ .level[0] = chunk_digests, .n[0] = n, .n_levels = 1 };
        for (uint32_t k = n; k > 1; k = n_blocks_for(k))
                total += n_blocks_for(k);
        if (total == 0)
                return 0;
        ret->memory = at = calloc(total, RS_DIGEST_SIZE);
        if (!at)
                return rs_fail_oom(err);
        for (uint32_t i = 0; ret->n[i] > 1; i++) {
                r = next_level(t, ret->level[i], ret->n[i], at, err);
                if (r < 0)
                        return r;
                ret->level[i + 1] = (const uint8_t(*)[RS_DIGEST_SIZE]) at;
                ret->n[i + 1] = n_blocks_for(ret->n[i]);
                ret->n_levels++;
                at += ret->n[i + 1];
        }
        return 0;
}

int hashtree_root(HashTree *t, const uint8_t (*chunk_digests)[RS_DIGEST_SIZE], uint32_t n,
                  uint8_t ret_root[RS_DIGEST_SIZE], RsError *err) {
        return hashtree_upper_levels(t, chunk_digests, n, NULL, NULL, ret_root, err);
}

int hashtree_upper_levels(HashTree *t, const uint8_t (*chunk_digests)[RS_DIGEST_SIZE], uint32_t n,
                          HashTreeEmit emit, void *userdata, uint8_t ret_root[RS_DIGEST_SIZE], RsError *err) {
        _cleanup_(levels_done) Levels l = { 0 };
        uint64_t number = 0;
        int r;

        r = levels_make(t, chunk_digests, n, &l, err);
        if (r < 0)
                return r;
        /* The blocks of a tree level hold the digests of the level below it; the last of l is the root alone. */
        for (uint32_t i = l.n_levels - 1; emit && i > 0; i--)
                for (uint32_t k = 0; k < l.n[i]; k++) {
                        pack_block(t, l.level[i - 1], l.n[i - 1], k);
                        r = emit(userdata, number++, t->block, err);
                        if (r < 0)
                                return r;
                }
        memcpy(ret_root, l.level[l.n_levels - 1][0], RS_DIGEST_SIZE);
        return 0;
}

void hashtree_layout(uint64_t size_bytes, HashTreeLayout *ret) {
        HashTreeLayout l = { 0 };
        uint64_t n = size_bytes / RS_BLOCK_SIZE + (size_bytes % RS_BLOCK_SIZE != 0);

        assert(size_bytes <= RS_IMAGE_SIZE_MAX);
        while (n > 1) {
                n = n / RS_CHUNK_BLOCKS + (n % RS_CHUNK_BLOCKS != 0);
                l.level_blocks[l.n_levels++] = n;
                l.total_blocks += n;
        }
        for (uint32_t i = l.n_levels; i > 1; i--)
                l.level_offset[i - 2] = l.level_offset[i - 1] + l.level_blocks[i - 1];
        *ret = l;
}

static void put_le(uint8_t *at, uint64_t v, size_t size) {
        for (size_t i = 0; i < size; i++)
                at[i] = (uint8_t) (v >> (8 * i));
}

void hashtree_superblock(uint64_t size_bytes, Span salt, const uint8_t uuid[16], uint8_t ret[RS_BLOCK_SIZE]) {
        assert(salt.size <= SALT_MAX);
        memset(ret, 0, RS_BLOCK_SIZE);
        memcpy(ret, "verity\0\0", 8);
        put_le(ret + 8, 1, 4);  /* version */
        put_le(ret + 12, 1, 4); /* hash type */
        memcpy(ret + 16, uuid, 16);
        memcpy(ret + 32, "sha256", 6);
        put_le(ret + 64, RS_BLOCK_SIZE, 4);              /* data block */
        put_le(ret + 68, RS_BLOCK_SIZE, 4);              /* hash block */
        put_le(ret + 72, size_bytes / RS_BLOCK_SIZE, 8); /* data blocks */
        put_le(ret + 80, salt.size, 2);
        if (salt.size > 0)
                memcpy(ret + 88, salt.data, salt.size);
}
