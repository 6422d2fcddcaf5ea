/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The job record: whatever the bytes, what is accepted encodes to the same bytes again. */
#include <assert.h>
#include <string.h>

#include <reseal/base/cleanup.h>
#include <reseal/job/record.h>

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        JobRecord r;

        if (record_parse(SPAN(data, size), &r) < 0)
                return 0;
        assert(record_encode(&r, &e) == 0);
        assert(span_equal(encoder_view(&e), SPAN(data, size)));
        return 0;
}
