/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * stage-inflate - zstd (or a plain copy) into a slot of the ring.
 *
 * The decoder writes where the writer will read: no copy in between.  The writer takes its own copy before
 * it judges (the other side of shared memory may change bytes at any moment), so nothing depends on this
 * side leaving them alone; the decoder in turn reads back what it wrote, but the writer is the side with
 * more rights, not less.
 *
 * The frame must decode to exactly the length that follows from its number, and be one zstd frame without
 * anything behind it: ZSTD_decompressDCtx would accept several, ZSTD_findFrameCompressedSize tells.  One
 * DCtx serves all frames.  A header that claims a large window costs no memory here: decoding a frame in one call
 * uses the output as its window.  The limit on the window only acts on streaming; it stands for the day somebody
 * decodes in pieces.
 *
 * The DCtx keeps literals of the last blocks: its memory is of the kind that is wiped (base/plain.h).  zstd calls the
 * way to say so advanced and does not promise to keep it; the library exports it, and it has been there since 1.0.
 */
#include <stdlib.h>
#include <string.h>

#define ZSTD_STATIC_LINKING_ONLY /* ZSTD_createDCtx_advanced */
#include <zstd.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/plain.h>

#include "stage.h"

#define WINDOW_LOG_MAX 20 /* 1 MiB: docs/format-bundle.md section 4 */

typedef struct StageInflate {
        Stage base;
        WriterClient *writer;
        Ring *ring;
        ZSTD_DCtx *zstd;
} StageInflate;

static int decode(StageInflate *s, const Piece *p, uint8_t *to, RsError *err) {
        if (p->frame->kind == FRAME_KIND_RAW) {
                if (p->size != p->plain_size)
                        return rs_fail(err, CODEC, "frame %u: raw with %zu bytes instead of %u", p->number, p->size, p->plain_size);
                memcpy(to, p->data, p->size);
                return 0;
        }

        size_t whole = ZSTD_findFrameCompressedSize(p->data, p->size);
        if (ZSTD_isError(whole) || whole != p->size)
                return rs_fail(err, CODEC, "frame %u: not one zstd frame", p->number);
        if (ZSTD_getFrameContentSize(p->data, p->size) != p->plain_size)
                return rs_fail(err, CODEC, "frame %u: another content size than %u", p->number, p->plain_size);
        size_t n = ZSTD_decompressDCtx(s->zstd, to, p->plain_size, p->data, p->size);
        if (ZSTD_isError(n))
                return rs_fail(err, CODEC, "frame %u: %s", p->number, ZSTD_getErrorName(n));
        if (n != p->plain_size)
                return rs_fail(err, CODEC, "frame %u: %zu bytes instead of %u", p->number, n, p->plain_size);
        return 0;
}

static int inflate_feed(Stage *base, Piece *p, RsError *err) {
        StageInflate *s = (StageInflate *) base;

        p->ring_slot = WRITER_NO_RING_SLOT;
        if (p->data) {
                int r = writer_take_slot(s->writer, &p->ring_slot, err);
                if (r < 0)
                        return r;
                r = decode(s, p, ring_slot(s->ring, p->ring_slot), err);
                if (r < 0)
                        return r;
        }
        return stage_pass(base, p, err);
}

static void *zstd_alloc(void *unused, size_t size) {
        (void) unused;
        return plain_new(size);
}

static void zstd_free(void *unused, void *p) {
        (void) unused;
        (void) plain_free(p);
}

static const ZSTD_customMem PLAIN_MEMORY = { zstd_alloc, zstd_free, NULL };

static Stage *inflate_free(Stage *base) {
        StageInflate *s = (StageInflate *) base;

        (void) ZSTD_freeDCtx(s->zstd);
        free(s);
        return NULL;
}

static const StageKind INFLATE_KIND = { .name = "inflate", .feed = inflate_feed, .free = inflate_free };

int stage_inflate_new(const FlowSpec *spec, Stage **ret, RsError *err) {
        _cleanup_(stage_freep) Stage *base = NULL;

        StageInflate *s = calloc(1, sizeof(*s));
        if (!s)
                return rs_fail_oom(err);
        base = &s->base;
        base->kind = &INFLATE_KIND;
        s->writer = spec->writer;
        s->ring = spec->ring;
        s->zstd = ZSTD_createDCtx_advanced(PLAIN_MEMORY);
        if (!s->zstd)
                return rs_fail_oom(err);
        if (ZSTD_isError(ZSTD_DCtx_setParameter(s->zstd, ZSTD_d_windowLogMax, WINDOW_LOG_MAX)))
                return rs_fail(err, INTERNAL, "zstd does not take a window limit");
        *ret = TAKE_PTR(base);
        return 0;
}
