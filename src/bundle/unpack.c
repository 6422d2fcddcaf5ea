/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * unpack - one frame after the other: tag, payload digest, decompression, chunk digests, in that order.
 *
 * The order is the device's: no byte reaches the decompressor before its digest stood in the signed table.
 */
#include <stdlib.h>
#include <string.h>

#include <zstd.h>

#include <reseal/base/file.h>
#include <reseal/crypto/aead.h>
#include <reseal/crypto/digest.h>
#include <reseal/crypto/hashtree.h>

#include "unpack.h"

struct Unpacker {
        const BundleFile *file;
        const Table *table;
        uint32_t image;
        uint32_t next;
        uint64_t offset; /* in the file, of the next payload */
        Aead *aead;      /* NULL when plain */
        HashTree *tree;
        ZSTD_DCtx *zstd;
        uint8_t *sealed;
        uint8_t *plain;
};

int unpacker_new(const BundleFile *f, uint32_t image, const Table *t, Unpacker **ret, RsError *err) {
        _cleanup_(unpacker_freep) Unpacker *u = calloc(1, sizeof(*u));
        _cleanup_(secret_freep) Secret *key = NULL;
        int r;

        if (!u)
                return rs_fail_oom(err);
        u->file = f;
        u->table = t;
        u->image = image;
        u->offset = f->header.frames[image].offset;
        u->zstd = ZSTD_createDCtx();
        u->sealed = malloc(RS_FRAME_SIZE_MAX + RS_TAG_SIZE);
        u->plain = malloc(RS_FRAME_SIZE_MAX);
        if (!u->zstd || !u->sealed || !u->plain)
                return rs_fail_oom(err);
        r = hashtree_new(SPAN_ARRAY(f->manifest->images[image].salt), &u->tree, err);
        if (r < 0)
                return r;
        if (f->header.encrypted) {
                r = bundle_frames_key(f->content_key, f->id, image, &key, err);
                if (r < 0)
                        return r;
                r = aead_new(key, &u->aead, err);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(u);
        return 0;
}

Unpacker *unpacker_free(Unpacker *u) {
        if (u) {
                u->aead = aead_free(u->aead);
                u->tree = hashtree_free(u->tree);
                (void) ZSTD_freeDCtx(u->zstd);
                free(u->sealed);
                free(u->plain);
                free(u);
        }
        return NULL;
}

/* The payload of a frame, decrypted, its digest checked; it stays in u->sealed. */
static int read_payload(Unpacker *u, uint32_t number, const Frame *frame, RsError *err) {
        size_t size = frame->payload_size + (u->aead ? RS_TAG_SIZE : 0);
        uint8_t nonce[12], aad[FRAME_AAD_SIZE], digest[RS_DIGEST_SIZE];
        int r;

        r = file_pread_all(u->file->fd, u->sealed, size, u->offset, err);
        if (r < 0)
                return r;
        u->offset += size;
        if (u->aead) {
                bundle_frame_nonce(number, nonce);
                bundle_frame_aad(u->file->id, u->image, number, frame->payload_size, aad);
                r = aead_open(u->aead, nonce, SPAN_ARRAY(aad), SPAN(u->sealed, size), u->sealed, err);
                if (r < 0)
                        return r;
        }
        r = digest_sha256(SPAN(u->sealed, frame->payload_size), digest, err);
        if (r < 0)
                return r;
        if (memcmp(digest, frame->payload_sha256, sizeof(digest)) != 0)
                return rs_fail(err, FRAME_DIGEST, "the payload differs from the digest in the table");
        return 0;
}

/* Exactly one zstd frame that says its size and has it. */
static int decompress(Unpacker *u, const Frame *frame, uint32_t plain_size, RsError *err) {
        size_t n = ZSTD_findFrameCompressedSize(u->sealed, frame->payload_size);

        if (ZSTD_isError(n) || n != frame->payload_size)
                return rs_fail(err, CODEC, "the payload is not one zstd frame");
        if (ZSTD_getFrameContentSize(u->sealed, frame->payload_size) != plain_size)
                return rs_fail(err, CODEC, "the zstd frame says another size");
        n = ZSTD_decompressDCtx(u->zstd, u->plain, plain_size, u->sealed, frame->payload_size);
        if (ZSTD_isError(n))
                return rs_fail(err, CODEC, "zstd: %s", ZSTD_getErrorName(n));
        if (n != plain_size)
                return rs_fail(err, CODEC, "zstd: %zu bytes instead of %u", n, plain_size);
        return 0;
}

static int check_chunks(Unpacker *u, uint32_t number, Span plain, RsError *err) {
        uint32_t chunk = number * u->table->frame_chunks;
        uint8_t digest[RS_DIGEST_SIZE];
        int r;

        for (size_t at = 0; at < plain.size; at += RS_CHUNK_SIZE, chunk++) {
                size_t n = plain.size - at < RS_CHUNK_SIZE ? plain.size - at : RS_CHUNK_SIZE;

                r = hashtree_chunk(u->tree, SPAN(plain.data + at, n), digest, NULL, err);
                if (r < 0)
                        return r;
                if (memcmp(digest, u->table->chunk_digests[chunk], sizeof(digest)) != 0)
                        return rs_fail(err, CHUNK_DIGEST, "chunk %u differs from the digest in the table",
                                       chunk);
        }
        return 0;
}

/* A repeated frame has the chunk digests of its original, or it is none. */
static int check_dup(const Table *t, uint32_t number, uint32_t dup_of, RsError *err) {
        for (uint32_t i = 0; i < t->frame_chunks && number * t->frame_chunks + i < t->n_chunks; i++)
                if (memcmp(t->chunk_digests[number * t->frame_chunks + i],
                           t->chunk_digests[dup_of * t->frame_chunks + i], RS_DIGEST_SIZE) != 0)
                        return rs_fail(err, CHUNK_DIGEST, "repeats frame %u, but its digests differ", dup_of);
        return 0;
}

static int unpack_frame(Unpacker *u, uint32_t number, UnpackedFrame *out, RsError *err) {
        const Frame *frame = &u->table->frames[number];
        int r;

        *out = (UnpackedFrame){ .number = number,
                                .kind = frame->kind,
                                .dup_of = frame->dup_of,
                                .size = table_frame_plain_size(u->table, number) };
        if (frame->kind == FRAME_KIND_DUP)
                return check_dup(u->table, number, frame->dup_of, err);
        out->plain = u->plain;
        if (frame->kind == FRAME_KIND_ZERO)
                memset(u->plain, 0, out->size);
        else {
                r = read_payload(u, number, frame, err);
                if (r < 0)
                        return r;
                if (frame->kind == FRAME_KIND_ZSTD) {
                        r = decompress(u, frame, out->size, err);
                        if (r < 0)
                                return r;
                } else
                        out->plain = u->sealed;
        }
        return check_chunks(u, number, SPAN(out->plain, out->size), err);
}

int unpacker_next(Unpacker *u, UnpackedFrame *ret, RsError *err) {
        UnpackedFrame out;
        int r;

        if (u->next >= u->table->n_frames)
                return 0;
        r = unpack_frame(u, u->next, &out, err);
        if (r < 0)
                return rs_context(err, "image %s, frame %u", u->file->manifest->images[u->image].class_name,
                                  u->next);
        u->next++;
        *ret = out;
        return 1;
}
