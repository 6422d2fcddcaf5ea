/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Link and link set: refused as Chain, or bytes that encoding gives back: one link, one spelling. */
#include <assert.h>

#include <reseal/format/link.h>

#include "fuzz.h"

typedef struct Seen {
        Span links[LINK_SET_COUNT_MAX];
        uint32_t n;
} Seen;

static void check_link(const Link *link) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        RsError err = RS_ERROR_INIT;

        assert(link_encode(link, &e, &err) == 0);
        assert(span_equal(encoder_view(&e), link->bytes));
        assert(16 + link->possessed.size + 2 + link->possession.size == link->bytes.size);
}

static int on_link(void *userdata, const Link *link, RsError *err) {
        Seen *seen = userdata;

        (void) err;
        assert(seen->n < LINK_SET_COUNT_MAX);
        check_link(link);
        seen->links[seen->n++] = link->bytes;
        return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        Link link = { .kind = 77 };
        RsError err = RS_ERROR_INIT;
        static Seen seen;

        if (link_parse(SPAN(data, size), &link, &err) == 0) {
                check_link(&link);
                FUZZ_ACCEPTED();
        } else
                assert(err.reason == RS_REASON_CHAIN && link.kind == 77);

        err = RS_ERROR_INIT;
        seen.n = 0;
        if (link_set_walk(SPAN(data, size), on_link, &seen, &err) < 0)
                assert(err.reason == RS_REASON_CHAIN);
        else if (size > 0) {
                _cleanup_(encoder_done) Encoder e = ENCODER_INIT;

                assert(link_set_encode(seen.links, seen.n, &e, &err) == 0);
                assert(span_equal(encoder_view(&e), SPAN(data, size)));
                FUZZ_ACCEPTED();
        }
        return 0;
}
