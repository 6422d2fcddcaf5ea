/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ticket: refused as Ticket, or a value that survives encoding and parsing again. */
#include <assert.h>
#include <string.h>

#include <reseal/format/ticket.h>

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        Ticket t = { .issued = 77 }, again = { 0 };
        RsError err = RS_ERROR_INIT;
        uint8_t info[TICKET_INFO_SIZE];

        if (ticket_parse(SPAN(data, size), &t, &err) < 0) {
                assert(err.reason == RS_REASON_TICKET && t.issued == 77);
                return 0;
        }
        assert(err.reason == RS_REASON_NONE);
        ticket_info(&t, info);
        assert(ticket_encode(&t, &e, &err) == 0);
        assert(ticket_parse(encoder_view(&e), &again, &err) == 0);
        assert(memcmp(&t, &again, sizeof(t)) == 0);
        FUZZ_ACCEPTED();
        return 0;
}
