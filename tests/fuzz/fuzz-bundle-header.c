/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bundle header: refused as Format, or sections in order without a gap; one header, one spelling. */
#include <assert.h>

#include <reseal/format/bundle.h>

#include "fuzz.h"

static uint64_t check_section(BundleSection s, uint64_t at) {
        assert(s.offset == at);
        return at + s.length;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        BundleHeader h = { .n_images = 99 };
        RsError err = RS_ERROR_INIT;
        uint32_t header_size = 0;
        uint64_t at;

        if (bundle_header_size(SPAN(data, size), &header_size, &err) == 0)
                assert(header_size <= RS_BUNDLE_HEADER_MAX);
        err = RS_ERROR_INIT;
        if (bundle_header_parse(SPAN(data, size), &h, &err) < 0) {
                assert(err.reason == RS_REASON_FORMAT && h.n_images == 99);
                return 0;
        }
        assert(err.reason == RS_REASON_NONE && h.n_images >= 1 && h.n_images <= RS_IMAGES_MAX);
        at = check_section(h.manifest, h.header_size);
        if (h.links.length > 0)
                at = check_section(h.links, at);
        if (h.crls.length > 0)
                at = check_section(h.crls, at);
        if (h.encrypted)
                at = check_section(h.transport, at);
        for (uint32_t i = 0; i < h.n_images; i++)
                at = check_section(h.frames[i], check_section(h.tables[i], at));
        assert(at == h.file_size);
        assert(bundle_header_encode(&h, &e, &err) == 0);
        assert(span_equal(encoder_view(&e), SPAN(data, size)));
        FUZZ_ACCEPTED();
        return 0;
}
