/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Trust set: refused as Format, or a value that survives encoding and parsing again. */
#include <assert.h>
#include <string.h>

#include <reseal/format/trust-set.h>

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(trust_set_freep) TrustSet *s = NULL, *again = NULL;
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        RsError err = RS_ERROR_INIT;

        if (trust_set_parse(SPAN(data, size), &s, &err) < 0) {
                assert(err.reason == RS_REASON_FORMAT && !s);
                return 0;
        }
        assert(s->version >= 1 && s->quorum >= 2);
        assert(trust_set_encode(s, &e, &err) == 0);
        assert(trust_set_parse(encoder_view(&e), &again, &err) == 0);
        assert(strcmp(s->firmware_pem, again->firmware_pem) == 0 && strcmp(s->source_pem, again->source_pem) == 0);
        assert(strcmp(s->time_pem, again->time_pem) == 0 && strcmp(s->recovery_pem, again->recovery_pem) == 0);
        FUZZ_ACCEPTED();
        return 0;
}
