/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Chunk table.  Input: image size in blocks (4 bytes), frame_chunks (1), then the table; what the manifest would say of
 * its length agrees.  Refused as Table, or: payloads within the plaintext, dup one step back; one table, one spelling.
 */
#include <assert.h>

#include <reseal/format/table.h>

#include "fuzz.h"

static void check_frames(const Table *t) {
        for (uint32_t i = 0; i < t->n_frames; i++) {
                const Frame *f = &t->frames[i];

                assert(f->payload_size <= table_frame_plain_size(t, i));
                assert(f->payload_size <= RS_FRAME_SIZE_MAX);
                if (f->kind == FRAME_KIND_DUP)
                        assert(f->dup_of < i && t->frames[f->dup_of].payload_size > 0 &&
                               table_frame_plain_size(t, f->dup_of) == table_frame_plain_size(t, i));
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        _cleanup_(table_freep) Table *t = NULL;
        Reader r = READER(SPAN(data, size));
        ManifestImage image = { .size = (uint64_t) reader_u32(&r) * RS_BLOCK_SIZE };
        RsError err = RS_ERROR_INIT;

        image.frame_chunks = reader_u8(&r);
        /* A Manifest that parsed has these; anything else never reaches a table. */
        if (reader_failed(&r) || image.size < RS_IMAGE_SIZE_MIN || image.size > RS_IMAGE_SIZE_MAX ||
            image.frame_chunks < 1 || image.frame_chunks > RS_FRAME_CHUNKS_MAX)
                return 0;
        image.n_chunks = image_n_chunks(image.size);
        image.table_size = (uint32_t) r.rest.size;
        if (table_parse(r.rest, &image, &t, &err) < 0) {
                assert(err.reason == RS_REASON_TABLE && !t);
                return 0;
        }
        assert(err.reason == RS_REASON_NONE);
        check_frames(t);
        assert(table_frames_size(t, true) >= table_frames_size(t, false));
        assert(table_encode(t, &e, &err) == 0);
        assert(span_equal(encoder_view(&e), r.rest));
        FUZZ_ACCEPTED();
        return 0;
}
