/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * assemble - the way of a byte, in one function that fits on a screen: see flow_write_image.
 *
 *     source --bytes--> collect --frame--> open --payload--> check --proven payload--> inflate --ring--> send
 *
 * collect cuts the byte stream at the lengths of the signed table, so that hostile bytes never decide how
 * long anything is.  Zero and dup frames take no bytes from the stream: they are inserted where their
 * number is due.  Frames the writer has proven on the medium already (a resumed installation) are left out;
 * each gap of missing frames is one sequential request.
 *
 * Memory: one frame of ciphertext, one zstd context, the ring.  Nothing grows with the image but the table.
 */
#include <stdlib.h>
#include <string.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/plain.h>
#include <reseal/crypto/aead.h>
#include <reseal/crypto/digest.h>
#include <reseal/crypto/hashtree.h>

#include "stage.h"

int flow_check_layout(const BundleHeader *h, const Manifest *m, RsError *err) {
        uint64_t tag = h->encrypted ? RS_TAG_SIZE : 0;

        if (h->n_images != m->n_images)
                return rs_fail(err, FORMAT, "%u images in the header, %u in the manifest", h->n_images, m->n_images);
        for (uint32_t i = 0; i < m->n_images; i++)
                if (h->tables[i].length != m->images[i].table_size + tag)
                        return rs_fail(err, FORMAT, "image %u: the table section has not the signed length", i);
        return 0;
}

static int open_table(const FlowSpec *spec, uint32_t image, Span sealed, uint8_t *ret, RsError *err) {
        _cleanup_(secret_freep) Secret *key = NULL;
        _cleanup_(aead_freep) Aead *aead = NULL;
        static const uint8_t NONCE[12] = { 0 };
        uint8_t aad[TABLE_AAD_SIZE];

        int r = bundle_table_key(spec->content_key, spec->bundle_id, image, &key, err);
        if (r < 0)
                return r;
        r = aead_new(key, &aead, err);
        if (r < 0)
                return r;
        bundle_table_aad(spec->bundle_id, image, aad);
        return aead_open(aead, NONCE, SPAN_ARRAY(aad), sealed, ret, err);
}

int flow_fetch_table(const FlowSpec *spec, uint32_t image, uint8_t **ret_bytes, Table **ret_table, RsError *err) {
        const BundleSection *section = &spec->header->tables[image];
        const ManifestImage *m = &spec->manifest->images[image];
        _cleanup_(table_freep) Table *table = NULL;
        _cleanup_(hashtree_freep) HashTree *tree = NULL;
        uint8_t digest[RS_DIGEST_SIZE];

        if (section->length > RS_TABLE_SIZE_MAX + RS_TAG_SIZE || section->length < m->table_size)
                return rs_fail(err, FORMAT, "image %u: table of %llu bytes", image, (unsigned long long) section->length);
        _cleanup_(freep) uint8_t *bytes = malloc(section->length);
        if (!bytes)
                return rs_fail_oom(err);
        int r = source_read(spec->source, section->offset, section->length, bytes, err);
        if (r >= 0 && spec->content_key)
                r = open_table(spec, image, SPAN(bytes, section->length), bytes, err);
        if (r < 0)
                return rs_context(err, "table of image %u", image);

        r = digest_sha256(SPAN(bytes, m->table_size), digest, err);
        if (r < 0)
                return r;
        if (memcmp(digest, m->table_sha256, sizeof(digest)) != 0)
                return rs_fail(err, TABLE_DIGEST, "image %u", image);
        r = table_parse(SPAN(bytes, m->table_size), m, &table, err);
        if (r < 0)
                return r;
        if (table_frames_size(table, spec->header->encrypted) != spec->header->frames[image].length)
                return rs_fail(err, FORMAT, "image %u: the frames section has not the length the table gives", image);
        r = hashtree_new(SPAN_ARRAY(m->salt), &tree, err);
        if (r >= 0)
                r = hashtree_root(tree, (const uint8_t(*)[RS_DIGEST_SIZE]) table->chunk_digests, table->n_chunks,
                                  digest, err);
        if (r < 0)
                return r;
        if (memcmp(digest, m->root, sizeof(digest)) != 0)
                return rs_fail(err, ROOT, "image %u", image);
        *ret_bytes = TAKE_PTR(bytes);
        *ret_table = TAKE_PTR(table);
        return 0;
}

/* Cuts the stream into frames `number` up to `end`. */
typedef struct Collect {
        const Table *table;
        Stage *first;
        uint32_t number, end;
        uint32_t overhead;      /* tag per payload */
        uint8_t *buffer;        /* of one payload and tag */
        size_t have, need;
} Collect;

static int collect_emit(Collect *c, uint8_t *data, size_t size, RsError *err) {
        Piece p = {
                .number = c->number,
                .frame = &c->table->frames[c->number],
                .plain_size = table_frame_plain_size(c->table, c->number),
                .data = data,
                .size = size,
        };
        c->number++;
        return c->first->kind->feed(c->first, &p, err);
}

/* Passes on the frames without payload that are due, and sets up for the next one that has some. */
static int collect_advance(Collect *c, RsError *err) {
        c->have = c->need = 0;
        while (c->number < c->end) {
                const Frame *f = &c->table->frames[c->number];
                if (f->payload_size) {
                        c->need = f->payload_size + c->overhead;
                        return 0;
                }
                int r = collect_emit(c, NULL, 0, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int collect_feed(void *userdata, Span bytes, RsError *err) {
        Collect *c = userdata;

        while (bytes.size) {
                size_t n = c->need - c->have;
                if (n > bytes.size)
                        n = bytes.size;
                if (n == 0)
                        return rs_fail(err, TOO_MUCH, "bytes behind the last frame");
                memcpy(c->buffer + c->have, bytes.data, n);
                c->have += n;
                bytes.data += n;
                bytes.size -= n;
                if (c->have < c->need)
                        continue;
                int r = collect_emit(c, c->buffer, c->need, err);
                if (r >= 0)
                        r = collect_advance(c, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

static bool is_proven(uint32_t frame, const WriterRange *proven, uint32_t n) {
        for (uint32_t i = 0; i < n; i++)
                if (frame >= proven[i].first && frame - proven[i].first < proven[i].count)
                        return true;
        return false;
}

/* One run of missing frames = one request. */
static int write_run(const FlowSpec *spec, uint32_t image, Collect *c, RsError *err) {
        bool sealed = spec->header->encrypted;
        uint64_t from = table_frame_offset(c->table, sealed, c->number);
        uint64_t to = c->end < c->table->n_frames ? table_frame_offset(c->table, sealed, c->end)
                                                  : table_frames_size(c->table, sealed);

        int r = collect_advance(c, err);
        if (r < 0)
                return r;
        r = source_stream(spec->source, spec->header->frames[image].offset + from, to - from, collect_feed, c, err);
        if (r < 0)
                return r;
        if (c->number != c->end)
                return rs_fail(err, TRUNCATED, "the stream ends in frame %u", c->number);
        return 0;
}

int flow_write_image(const FlowSpec *spec, uint32_t image, const Table *table, uint32_t next, const WriterRange *proven,
                     uint32_t n_proven, RsError *err) {
        _cleanup_(stage_freep) Stage *open = NULL, *check = NULL, *inflate = NULL, *send = NULL;
        int r = 0;

        if (spec->content_key)
                r = stage_open_new(spec, image, &open, err);
        if (r >= 0)
                r = stage_check_new(&check, err);
        if (r >= 0)
                r = stage_inflate_new(spec, &inflate, err);
        if (r >= 0)
                r = stage_send_new(spec, image, &send, err);
        if (r < 0)
                return r;
        if (open)
                open->next = check;
        check->next = inflate;
        inflate->next = send;

        Collect c = { .table = table, .first = open ? open : check, .overhead = open ? RS_TAG_SIZE : 0 };
        _cleanup_(plain_freep) uint8_t *buffer = plain_new(RS_FRAME_SIZE_MAX + RS_TAG_SIZE); /* opened in place */
        if (!buffer)
                return rs_fail_oom(err);
        c.buffer = buffer;
        for (c.number = next; c.number < table->n_frames;) {
                if (is_proven(c.number, proven, n_proven)) {
                        c.number++;
                        continue;
                }
                for (c.end = c.number + 1; c.end < table->n_frames && !is_proven(c.end, proven, n_proven);)
                        c.end++;
                r = write_run(spec, image, &c, err);
                if (r < 0)
                        return r;
        }
        return writer_drain(spec->writer, err);
}
