/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * table - the chunk table of docs/format-bundle.md section 4.
 *
 * What must hold of every Table that parses: the number of frames and chunks follows from the image size; a
 * payload never exceeds the plaintext it stands for, so no frame can make a reader allocate more than
 * RS_FRAME_SIZE_MAX + tag; `dup` points backwards to a frame that carries a payload itself, so resolving one
 * takes exactly one step and never a chain or a loop.
 */
#include <stdlib.h>
#include <string.h>

#include <reseal/base/cleanup.h>
#include <reseal/format/table.h>

#define TABLE_MAGIC "RSTB"
#define TABLE_VERSION 1u
#define TABLE_HEAD_SIZE 32u
#define FRAME_ENTRY_SIZE 48u

uint32_t table_size(uint32_t n_frames, uint32_t n_chunks) {
        return TABLE_HEAD_SIZE + FRAME_ENTRY_SIZE * n_frames + RS_DIGEST_SIZE * n_chunks;
}

_Static_assert(TABLE_HEAD_SIZE + (FRAME_ENTRY_SIZE + RS_DIGEST_SIZE) * (uint64_t) RS_CHUNKS_MAX <=
                               RS_TABLE_SIZE_MAX,
               "the largest image has a table within its cap");

Table *table_new(uint64_t image_size, uint32_t frame_chunks) {
        Table *t;

        if (image_size == 0 || image_size > RS_IMAGE_SIZE_MAX || frame_chunks == 0 ||
            frame_chunks > RS_FRAME_CHUNKS_MAX)
                return NULL;
        t = calloc(1, sizeof(*t));
        if (!t)
                return NULL;
        t->image_size = image_size;
        t->frame_chunks = frame_chunks;
        t->n_chunks = image_n_chunks(image_size);
        t->n_frames = image_n_frames(image_size, frame_chunks);
        t->frames = calloc(t->n_frames, sizeof(t->frames[0]));
        t->chunk_digests = calloc(t->n_chunks, sizeof(t->chunk_digests[0]));
        if (!t->frames || !t->chunk_digests)
                return table_free(t);
        return t;
}

Table *table_free(Table *t) {
        if (t) {
                free(t->frames);
                free(t->chunk_digests);
                free(t);
        }
        return NULL;
}

uint32_t table_frame_plain_size(const Table *t, uint32_t frame) {
        return image_frame_size(t->image_size, t->frame_chunks, frame);
}

static bool has_payload(FrameKind kind) {
        return kind == FRAME_KIND_RAW || kind == FRAME_KIND_ZSTD;
}

/* What is not told by the kind must be zero: one table, one encoding. */
static int check_unused(uint32_t number, const Frame *f, uint64_t dup_of, RsError *err) {
        static const uint8_t zeros[RS_DIGEST_SIZE];

        if (f->kind != FRAME_KIND_DUP && dup_of != 0)
                return rs_fail(err, TABLE, "table: frame %u refers to another but is no dup", number);
        if (!has_payload(f->kind) &&
            (f->payload_size != 0 || memcmp(f->payload_sha256, zeros, sizeof(zeros)) != 0))
                return rs_fail(err, TABLE, "table: frame %u has no payload but its length or digest", number);
        return 0;
}

static int check_frame(const Table *t, uint32_t number, uint32_t kind, uint64_t dup_of, RsError *err) {
        const Frame *f = &t->frames[number];
        uint32_t plain_size = table_frame_plain_size(t, number);

        switch (kind) {
        case FRAME_KIND_ZERO:
                break;
        case FRAME_KIND_DUP:
                if (dup_of >= number)
                        return rs_fail(err, TABLE, "table: frame %u repeats a frame that is not before it",
                                       number);
                if (!has_payload(t->frames[dup_of].kind))
                        return rs_fail(err, TABLE, "table: frame %u repeats a frame without payload", number);
                if (table_frame_plain_size(t, (uint32_t) dup_of) != plain_size)
                        return rs_fail(err, TABLE, "table: frame %u repeats a frame of another length",
                                       number);
                break;
        case FRAME_KIND_RAW:
                if (f->payload_size != plain_size)
                        return rs_fail(err, TABLE, "table: raw frame %u has %u bytes instead of %u", number,
                                       f->payload_size, plain_size);
                break;
        case FRAME_KIND_ZSTD:
                if (f->payload_size == 0 || f->payload_size >= plain_size)
                        return rs_fail(err, TABLE, "table: zstd frame %u has %u bytes for %u", number,
                                       f->payload_size, plain_size);
                break;
        default:
                return rs_fail(err, TABLE, "table: frame %u is of unknown kind %u", number, kind);
        }
        return check_unused(number, f, dup_of, err);
}

static int parse_frames(Reader *r, Table *t, RsError *err) {
        for (uint32_t i = 0; i < t->n_frames; i++) {
                Frame *f = &t->frames[i];
                uint32_t kind = reader_u32(r);
                uint64_t dup_of;
                int q;

                f->kind = (FrameKind) kind;
                f->payload_size = reader_u32(r);
                dup_of = reader_u64(r);
                reader_copy(r, f->payload_sha256, sizeof(f->payload_sha256));
                if (reader_failed(r))
                        return rs_fail(err, TABLE, "table: ends within frame %u", i);
                q = check_frame(t, i, kind, dup_of, err);
                if (q < 0)
                        return q;
                f->dup_of = (uint32_t) dup_of;
        }
        return 0;
}

int table_parse(Span bytes, const ManifestImage *image, Table **ret, RsError *err) {
        _cleanup_(table_freep) Table *t = NULL;
        Reader r = READER(bytes);
        uint32_t version, frame_chunks, n_frames;
        uint64_t n_chunks;
        Span magic;
        int q;

        if (bytes.size > RS_TABLE_SIZE_MAX || bytes.size != image->table_size)
                return rs_fail(err, TABLE, "table: %zu bytes, the manifest says %u", bytes.size,
                               image->table_size);
        t = table_new(image->size, image->frame_chunks);
        if (!t)
                return rs_fail_oom(err);

        magic = reader_span(&r, 4);
        version = reader_u32(&r);
        frame_chunks = reader_u32(&r);
        n_frames = reader_u32(&r);
        n_chunks = reader_u64(&r);
        reader_zeros(&r, 8);
        if (reader_failed(&r) || !span_equal(magic, SPAN(TABLE_MAGIC, 4)))
                return rs_fail(err, TABLE, "table: bad head");
        if (version != TABLE_VERSION)
                return rs_fail(err, TABLE, "table: version %u is not known", version);
        if (frame_chunks != t->frame_chunks || n_frames != t->n_frames || n_chunks != t->n_chunks)
                return rs_fail(err, TABLE, "table: counts differ from the manifest's");

        q = parse_frames(&r, t, err);
        if (q < 0)
                return q;
        reader_copy(&r, t->chunk_digests, (size_t) t->n_chunks * RS_DIGEST_SIZE);
        if (reader_finish(&r) < 0)
                return rs_fail(err, TABLE, "table: wrong length");
        *ret = TAKE_PTR(t);
        return 0;
}

int table_encode(const Table *t, Encoder *e, RsError *err) {
        encoder_bytes(e, TABLE_MAGIC, 4);
        encoder_u32(e, TABLE_VERSION);
        encoder_u32(e, t->frame_chunks);
        encoder_u32(e, t->n_frames);
        encoder_u64(e, t->n_chunks);
        encoder_zeros(e, 8);
        for (uint32_t i = 0; i < t->n_frames; i++) {
                const Frame *f = &t->frames[i];

                encoder_u32(e, f->kind);
                encoder_u32(e, f->payload_size);
                encoder_u64(e, f->dup_of);
                encoder_bytes(e, f->payload_sha256, sizeof(f->payload_sha256));
        }
        encoder_bytes(e, t->chunk_digests, (size_t) t->n_chunks * RS_DIGEST_SIZE);
        return encoder_finish(e) < 0 ? rs_fail_oom(err) : 0;
}

uint64_t table_frame_offset(const Table *t, bool encrypted, uint32_t frame) {
        uint64_t offset = 0;

        for (uint32_t i = 0; i < frame && i < t->n_frames; i++)
                if (has_payload(t->frames[i].kind))
                        offset += t->frames[i].payload_size + (encrypted ? RS_TAG_SIZE : 0);
        return offset;
}

uint64_t table_frames_size(const Table *t, bool encrypted) {
        return table_frame_offset(t, encrypted, t->n_frames);
}
