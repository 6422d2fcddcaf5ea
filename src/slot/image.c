/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * image - from verified chunks to a proven slot.
 *
 *   shared memory --copy--> private frame --128 leaves per chunk--> VerifiedChunk --XTS in place--> O_DIRECT write
 *                                               |                                                      |
 *                                               +--> leaf blocks of the verity tree, per window -------+--> prove.c
 *
 * The copy comes first because the other process can change shared memory at any time (T26): what is judged must be
 * what is written.  A VerifiedChunk can be made only here, by the two functions that compared every chunk
 * with the signed table, and medium_write is given nothing else.
 *
 * A window is 16 MiB of image.  When its last frame is written, its leaf blocks follow and the window goes to the
 * prover; the next one is written meanwhile.  Two windows may wait, so the memory is one frame here, one frame there
 * and the leaf blocks of a window, whatever the image size.
 *
 * slot_image_finish writes what follows from the digests alone (superblock, upper levels, trailer, locator) and has
 * windows of an earlier run read again: a bitmap in a file says what was true before the power cut, on a medium that
 * may have lost it since.  A failure leaves a slot that is not bootable and says so; nothing here is retried.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/plain.h>
#include <reseal/crypto/digest.h>
#include <reseal/slot/image.h>

#include "medium.h"
#include "prove.h"

#define CHUNKS_PER_WINDOW (SLOT_WINDOW_SIZE / RS_CHUNK_SIZE)

struct VerifiedChunk {
        uint32_t frame;
        size_t size;       /* 0: none at present */
        uint8_t *bytes;    /* private, aligned; ciphertext once written */
        uint8_t leaves[RS_FRAME_CHUNKS_MAX][RS_BLOCK_SIZE];
};

struct SlotImage {
        SlotImageSpec spec;
        SlotLayout layout;
        Medium medium;
        Xts *xts;
        HashTree *tree;
        Prover *prover;
        VerifiedChunk chunk;
        uint8_t *leaves;           /* of the window being written; aligned */
        uint8_t *resumed;          /* copy of spec.proven, one bit per window */
        uint32_t n_windows;
        uint32_t next;             /* frame expected next; n_frames: all are in */
        bool zero_known;           /* digest and leaves of a whole chunk of zeros */
        uint8_t zero_digest[RS_DIGEST_SIZE];
        uint8_t zero_leaves[RS_BLOCK_SIZE];
};

static bool was_proven(const SlotImage *s, uint32_t window) {
        return (s->resumed[window / 8] & (1u << (window % 8))) != 0;
}

/* Past the windows that an earlier run proved. */
static void skip_proven(SlotImage *s) {
        uint32_t per_window = slot_frames_per_window(s->spec.table);

        while (s->next < s->spec.table->n_frames && was_proven(s, s->next / per_window))
                s->next = (s->next / per_window + 1) * per_window;
        if (s->next > s->spec.table->n_frames)
                s->next = s->spec.table->n_frames;
}

static int check_spec(const SlotImageSpec *spec, RsError *err) {
        const Table *t = spec->table;

        if (t->image_size != spec->image->size || t->n_chunks != image_n_chunks(t->image_size) ||
            t->frame_chunks == 0 || t->frame_chunks > RS_FRAME_CHUNKS_MAX ||
            t->n_frames != image_n_frames(t->image_size, t->frame_chunks))
                return rs_fail(err, RANGE, "table and manifest are not of one image");
        return 0;
}

int slot_image_new(const SlotImageSpec *spec, SlotImage **ret, RsError *err) {
        _cleanup_(slot_image_freep) SlotImage *s = NULL;
        int r;

        r = check_spec(spec, err);
        if (r < 0)
                return r;
        s = calloc(1, sizeof(*s));
        if (!s)
                return rs_fail_oom(err);
        s->spec = *spec;
        r = slot_layout(spec->volume_key ? SLOT_KIND_LUKS2 : SLOT_KIND_PLAIN, spec->slot_size, spec->image->size,
                        spec->manifest_cms_size, &s->layout, err);
        if (r < 0)
                return r;
        s->n_windows = slot_window_of_frame(spec->table, spec->table->n_frames - 1) + 1;
        s->chunk.bytes = plain_new(RS_FRAME_SIZE_MAX);
        s->leaves = medium_buffer_new((size_t) CHUNKS_PER_WINDOW * RS_BLOCK_SIZE);
        s->resumed = calloc(s->n_windows / 8 + 1, 1);
        if (!s->chunk.bytes || !s->leaves || !s->resumed)
                return rs_fail_oom(err);
        if (spec->proven)
                memcpy(s->resumed, spec->proven, (s->n_windows + 7) / 8);
        s->spec.proven = NULL;
        r = hashtree_new(SPAN_ARRAY(spec->image->salt), &s->tree, err);
        if (r == 0 && spec->volume_key)
                r = xts_new(spec->volume_key, &s->xts, err);
        if (r < 0)
                return r;
        s->medium = (Medium){ .fd = spec->fd, .xts = s->xts, .layout = &s->layout };
        r = prover_new(&s->spec, &s->layout, &s->prover, err);
        if (r < 0)
                return r;
        skip_proven(s);
        *ret = TAKE_PTR(s);
        return 0;
}

SlotImage *slot_image_free(SlotImage *s) {
        if (s) {
                s->prover = prover_free(s->prover);
                s->tree = hashtree_free(s->tree);
                s->xts = xts_free(s->xts);
                (void) plain_free(s->chunk.bytes);
                free(s->leaves);
                free(s->resumed);
                free(s);
        }
        return NULL;
}

uint32_t slot_image_n_windows(const SlotImage *s) {
        return s->n_windows;
}

/* Compares the private bytes with the table; only this and zero_frame make chunk.size more than 0. */
static int verify(SlotImage *s, uint32_t frame, size_t size, RsReason reason, RsError *err) {
        const Table *t = s->spec.table;
        uint32_t chunk = frame * t->frame_chunks;
        uint8_t digest[RS_DIGEST_SIZE];
        int r;

        for (size_t at = 0, i = 0; at < size; at += RS_CHUNK_SIZE, i++) {
                size_t n = size - at < RS_CHUNK_SIZE ? size - at : RS_CHUNK_SIZE;

                r = hashtree_chunk(s->tree, SPAN(s->chunk.bytes + at, n), digest, s->chunk.leaves[i], err);
                if (r < 0)
                        return r;
                if (memcmp(digest, t->chunk_digests[chunk + i], sizeof(digest)) != 0)
                        return rs_fail_at(err, reason, __func__, __LINE__, "chunk %zu of frame %u", i, frame);
        }
        s->chunk.frame = frame;
        s->chunk.size = size;
        return 0;
}

int slot_verify_frame(SlotImage *s, uint32_t frame, const volatile uint8_t *shared, size_t size,
                      const VerifiedChunk **ret, RsError *err) {
        int r;

        s->chunk.size = 0;
        if (frame >= s->spec.table->n_frames)
                return rs_fail(err, RANGE, "frame %u of %u", frame, s->spec.table->n_frames);
        if (size != table_frame_plain_size(s->spec.table, frame))
                return rs_fail(err, RANGE, "frame %u with %zu bytes", frame, size);
        memcpy(s->chunk.bytes, (const uint8_t *) shared, size); /* the only look at shared memory */
        r = verify(s, frame, size, RS_REASON_CHUNK_DIGEST, err);
        if (r < 0)
                return r;
        *ret = &s->chunk;
        return 0;
}

/* Tells the installer of windows proven meanwhile. */
static int report(SlotImage *s, bool wait, RsError *err) {
        uint32_t window = 0;
        int r;

        while ((r = prover_next(s->prover, wait, &window, err)) > 0) {
                if (s->spec.on_alive)
                        s->spec.on_alive(s->spec.userdata);
                if (s->spec.on_window && !was_proven(s, window)) {
                        r = s->spec.on_window(s->spec.userdata, window, err);
                        if (r < 0)
                                return r;
                }
        }
        return r;
}

static int end_window(SlotImage *s, uint32_t window, RsError *err) {
        uint32_t first = window * CHUNKS_PER_WINDOW, n = s->spec.table->n_chunks - first;
        int r;

        if (n > CHUNKS_PER_WINDOW)
                n = CHUNKS_PER_WINDOW;
        if (s->layout.tree != 0) {
                r = medium_write(&s->medium, s->layout.leaves + (uint64_t) first * RS_BLOCK_SIZE, s->leaves,
                                 (size_t) n * RS_BLOCK_SIZE, err);
                if (r < 0)
                        return r;
        }
        return prover_submit(s->prover, window, err);
}

int slot_image_write(SlotImage *s, const VerifiedChunk *chunk, RsError *err) {
        const Table *t = s->spec.table;
        uint32_t first = s->next * t->frame_chunks, window;
        int r;

        if (chunk != &s->chunk || chunk->size == 0)
                return rs_fail(err, INTERNAL, "a chunk that was not verified, or was written before");
        if (chunk->frame != s->next)
                return rs_fail(err, RANGE, "frame %u when %u is due", chunk->frame, s->next);
        r = report(s, false, err);
        if (r < 0)
                return r;
        for (uint32_t i = 0; (size_t) i * RS_CHUNK_SIZE < chunk->size; i++)
                memcpy(s->leaves + (size_t) ((first + i) % CHUNKS_PER_WINDOW) * RS_BLOCK_SIZE, chunk->leaves[i],
                       RS_BLOCK_SIZE);
        r = medium_write(&s->medium, (uint64_t) first * RS_CHUNK_SIZE, s->chunk.bytes, chunk->size, err);
        s->chunk.size = 0;
        if (r < 0)
                return r;
        window = slot_window_of_frame(t, s->next);
        s->next++;
        if (s->next == t->n_frames || slot_window_of_frame(t, s->next) != window) {
                r = end_window(s, window, err);
                if (r < 0)
                        return r;
        }
        skip_proven(s);
        return 0;
}

/* Most zero frames are whole chunks: their digest is computed once. */
static int zero_frame(SlotImage *s, uint32_t frame, size_t size, RsError *err) {
        const Table *t = s->spec.table;
        uint32_t chunk = frame * t->frame_chunks;
        int r;

        memset(s->chunk.bytes, 0, size);
        if (size % RS_CHUNK_SIZE != 0)
                return verify(s, frame, size, RS_REASON_CHUNK_DIGEST, err);
        if (!s->zero_known) {
                r = hashtree_chunk(s->tree, SPAN(s->chunk.bytes, RS_CHUNK_SIZE), s->zero_digest, s->zero_leaves, err);
                if (r < 0)
                        return r;
                s->zero_known = true;
        }
        for (size_t i = 0; i < size / RS_CHUNK_SIZE; i++) {
                if (memcmp(s->zero_digest, t->chunk_digests[chunk + i], RS_DIGEST_SIZE) != 0)
                        return rs_fail(err, CHUNK_DIGEST, "chunk %zu of frame %u is not zero", i, frame);
                memcpy(s->chunk.leaves[i], s->zero_leaves, RS_BLOCK_SIZE);
        }
        s->chunk.frame = frame;
        s->chunk.size = size;
        return 0;
}

static int dup_frame(SlotImage *s, uint32_t frame, size_t size, RsError *err) {
        const Table *t = s->spec.table;
        uint32_t of = t->frames[frame].dup_of;
        int r;

        if (of >= frame || table_frame_plain_size(t, of) != size)
                return rs_fail(err, RANGE, "frame %u repeats %u", frame, of);
        r = medium_read(&s->medium, (uint64_t) of * t->frame_chunks * RS_CHUNK_SIZE, s->chunk.bytes, size, err);
        if (r < 0)
                return r;
        /* Its digests matched when it was written, so a difference now is the medium's doing. */
        if (memcmp(t->chunk_digests[(size_t) of * t->frame_chunks], t->chunk_digests[(size_t) frame * t->frame_chunks],
                   (size + RS_CHUNK_SIZE - 1) / RS_CHUNK_SIZE * RS_DIGEST_SIZE) != 0)
                return rs_fail(err, CHUNK_DIGEST, "frame %u repeats %u, which is another", frame, of);
        return verify(s, frame, size, RS_REASON_READ_BACK, err);
}

int slot_image_fill(SlotImage *s, uint32_t frame, RsError *err) {
        const Table *t = s->spec.table;
        size_t size;
        int r;

        s->chunk.size = 0;
        if (frame >= t->n_frames || frame != s->next)
                return rs_fail(err, RANGE, "frame %u when %u is due", frame, s->next);
        size = table_frame_plain_size(t, frame);
        if (t->frames[frame].kind == FRAME_KIND_ZERO)
                r = zero_frame(s, frame, size, err);
        else if (t->frames[frame].kind == FRAME_KIND_DUP)
                r = dup_frame(s, frame, size, err);
        else
                return rs_fail(err, PROTOCOL, "frame %u has content of its own", frame);
        return r < 0 ? r : slot_image_write(s, &s->chunk, err);
}

/* -- what follows from the digests alone ---------------------------------------------------------- */

/* Superblock and upper levels in one piece, as they lie before the leaf level. */
typedef struct Meta {
        uint8_t *bytes;
        size_t size;
} Meta;

static int collect_block(void *userdata, uint64_t block, const uint8_t *data, RsError *err) {
        Meta *m = userdata;
        uint64_t at = (block + 1) * RS_BLOCK_SIZE;

        if (at > m->size - RS_BLOCK_SIZE)
                return rs_fail(err, INTERNAL, "verity tree with too many blocks");
        memcpy(m->bytes + at, data, RS_BLOCK_SIZE);
        return 0;
}

static void put_be(uint8_t *at, uint64_t v, size_t size) {
        for (size_t i = 0; i < size; i++)
                at[i] = (uint8_t) (v >> (8 * (size - 1 - i)));
}

/* docs/format-slot.md, "Trailer head" */
static void make_trailer(const SlotImage *s, uint8_t *ret) {
        memset(ret, 0, s->layout.trailer_size);
        memcpy(ret, SLOT_TRAILER_MAGIC, 8);
        put_be(ret + 8, 1, 4);
        put_be(ret + 12, s->spec.manifest_cms_size, 4);
        memcpy(ret + 16, s->spec.bundle_id, 32);
        put_be(ret + 48, s->spec.image_number, 4);
        if (s->spec.manifest_cms_size > 0)
                memcpy(ret + RS_BLOCK_SIZE, s->spec.manifest_cms, s->spec.manifest_cms_size);
}

static int make_locator(const SlotImage *s, uint8_t ret[RS_BLOCK_SIZE], RsError *err) {
        memset(ret, 0, RS_BLOCK_SIZE);
        memcpy(ret, SLOT_LOCATOR_MAGIC, 8);
        put_be(ret + 8, 1, 4);
        put_be(ret + 16, s->layout.image_size, 8);
        put_be(ret + 24, s->layout.trailer, 8);
        return digest_sha256(SPAN(ret, 32), ret + 32, err);
}

/* Through the frame buffer, which has nothing in it any more: medium_write encrypts in place. */
static int write_piece(SlotImage *s, uint64_t offset, const uint8_t *bytes, size_t size, RsError *err) {
        for (size_t at = 0; at < size;) {
                size_t n = size - at < RS_FRAME_SIZE_MAX ? size - at : RS_FRAME_SIZE_MAX;
                int r;

                memcpy(s->chunk.bytes, bytes + at, n);
                r = medium_write(&s->medium, offset + at, s->chunk.bytes, n, err);
                if (r < 0)
                        return r;
                at += n;
        }
        return 0;
}

static int check_piece(SlotImage *s, uint64_t offset, const uint8_t *bytes, size_t size, const char *what,
                       RsError *err) {
        for (size_t at = 0; at < size;) {
                size_t n = size - at < RS_FRAME_SIZE_MAX ? size - at : RS_FRAME_SIZE_MAX;
                int r;

                r = medium_read(&s->medium, offset + at, s->chunk.bytes, n, err);
                if (r < 0)
                        return r;
                if (memcmp(s->chunk.bytes, bytes + at, n) != 0)
                        return rs_fail(err, READ_BACK, "%s reads back differently", what);
                at += n;
        }
        return 0;
}

static void meta_done(Meta *m) {
        free(m->bytes);
}

/* The root is compared before any of it is written: a tree of another root would be worse than none. */
static int make_tree(SlotImage *s, Meta *ret, RsError *err) {
        const HashTreeLayout *levels = &s->layout.levels;
        uint8_t root[RS_DIGEST_SIZE];
        int r;

        ret->size = (size_t) (1 + levels->total_blocks - levels->level_blocks[0]) * RS_BLOCK_SIZE;
        ret->bytes = malloc(ret->size);
        if (!ret->bytes)
                return rs_fail_oom(err);
        hashtree_superblock(s->layout.image_size, SPAN_ARRAY(s->spec.image->salt), s->spec.bundle_id, ret->bytes);
        r = hashtree_upper_levels(s->tree, (const uint8_t (*)[RS_DIGEST_SIZE]) s->spec.table->chunk_digests,
                                  s->spec.table->n_chunks, collect_block, ret, root, err);
        if (r < 0)
                return r;
        if (memcmp(root, s->spec.image->root, sizeof(root)) != 0)
                return rs_fail(err, ROOT, "of the tree over the slot");
        return 0;
}

static int finish_meta(SlotImage *s, const Meta *tree, RsError *err) {
        _cleanup_(freep) uint8_t *trailer = malloc(s->layout.trailer_size);
        uint8_t locator[RS_BLOCK_SIZE];
        int r;

        if (!trailer)
                return rs_fail_oom(err);
        make_trailer(s, trailer);
        r = make_locator(s, locator, err);
        if (r == 0)
                r = write_piece(s, s->layout.superblock, tree->bytes, tree->size, err);
        if (r == 0)
                r = write_piece(s, s->layout.trailer, trailer, s->layout.trailer_size, err);
        if (r == 0)
                r = write_piece(s, s->layout.locator, locator, sizeof(locator), err);
        if (r == 0)
                r = medium_flush(&s->medium, err);
        if (r == 0)
                r = check_piece(s, s->layout.superblock, tree->bytes, tree->size, "the verity tree", err);
        if (r == 0)
                r = check_piece(s, s->layout.trailer, trailer, s->layout.trailer_size, "the trailer", err);
        if (r == 0)
                r = check_piece(s, s->layout.locator, locator, sizeof(locator), "the locator", err);
        return r;
}

int slot_image_finish(SlotImage *s, RsError *err) {
        _cleanup_(meta_done) Meta tree = { 0 };
        int r;

        s->chunk.size = 0;
        if (s->next != s->spec.table->n_frames)
                return rs_fail(err, STATE, "frame %u of %u is missing", s->next, s->spec.table->n_frames);
        r = make_tree(s, &tree, err);
        for (uint32_t w = 0; r == 0 && w < s->n_windows; w++) {
                if (!was_proven(s, w))
                        continue;
                if (s->spec.cancelled && atomic_load(s->spec.cancelled))
                        return rs_fail(err, CANCELLED, "cancelled before window %u was read again", w);
                r = prover_submit(s->prover, w, err);
                if (r == 0)
                        r = report(s, false, err);
        }
        if (r == 0 && s->layout.tree != 0)
                r = finish_meta(s, &tree, err);
        return r < 0 ? r : report(s, true, err);
}
