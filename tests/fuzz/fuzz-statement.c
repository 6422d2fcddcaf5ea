/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Freshness statement: refused as Format, or a value that survives encoding and parsing again. */
#include <assert.h>
#include <string.h>

#include <reseal/format/statement.h>

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        Statement s = { .latest = 77 }, again = { .latest = 77 };
        RsError err = RS_ERROR_INIT;

        if (statement_parse(SPAN(data, size), &s, &err) < 0) {
                assert(err.reason == RS_REASON_FORMAT && s.latest == 77);
                return 0;
        }
        assert(s.expires > s.issued && s.expires - s.issued <= STATEMENT_VALID_MAX);
        assert(statement_encode(&s, &e, &err) == 0);
        assert(statement_parse(encoder_view(&e), &again, &err) == 0);
        assert(strcmp(s.line, again.line) == 0 && s.latest == again.latest && s.seq == again.seq);
        assert(s.issued == again.issued && s.expires == again.expires);
        FUZZ_ACCEPTED();
        return 0;
}
