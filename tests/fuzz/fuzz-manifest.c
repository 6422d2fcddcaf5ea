/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Manifest: refused as Manifest, or within every limit; what is accepted survives encoding and parsing again. */
#include <assert.h>
#include <string.h>

#include <reseal/format/manifest.h>
#include <reseal/format/table.h>

#include "fuzz.h"

static void check_limits(const Manifest *m) {
        assert(strlen(m->line) >= 1 && strlen(m->line) <= RS_NAME_MAX && m->release >= 1);
        assert(m->n_compatible >= 1 && m->n_compatible <= RS_COMPATIBLE_MAX);
        assert(m->n_images >= 1 && m->n_images <= RS_IMAGES_MAX);
        assert(!m->notes || strlen(m->notes) <= RS_NOTES_MAX);
        for (uint32_t i = 0; i < m->n_images; i++) {
                const ManifestImage *image = &m->images[i];

                assert(image->size >= RS_IMAGE_SIZE_MIN && image->size <= RS_IMAGE_SIZE_MAX);
                assert(image->size % RS_BLOCK_SIZE == 0 && image->n_chunks == image_n_chunks(image->size));
                assert(image->frame_chunks >= 1 && image->frame_chunks <= RS_FRAME_CHUNKS_MAX);
                assert(image->table_size ==
                       table_size(image_n_frames(image->size, image->frame_chunks), image->n_chunks));
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(manifest_freep) Manifest *m = NULL, *again = NULL;
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT, e2 = ENCODER_INIT;
        RsError err = RS_ERROR_INIT;

        if (manifest_parse(SPAN(data, size), &m, &err) < 0) {
                assert(err.reason == RS_REASON_MANIFEST && !m);
                return 0;
        }
        assert(err.reason == RS_REASON_NONE);
        check_limits(m);
        assert(manifest_encode(m, &e, &err) == 0);
        assert(manifest_parse(encoder_view(&e), &again, &err) == 0);
        assert(manifest_encode(again, &e2, &err) == 0);
        assert(span_equal(encoder_view(&e), encoder_view(&e2)));
        FUZZ_ACCEPTED();
        return 0;
}
