/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fuzz-hpke - the point and the sealed key that a ticket brings: 65 bytes of point, 32 of ECDH result, then ciphertext.
 *
 * Contract: no point does harm, points off the curve are refused as Ticket, and nothing opens with a key it was not
 * sealed for.
 */
#include <assert.h>
#include <string.h>

#include <reseal/base/cleanup.h>
#include <reseal/crypto/hpke.h>

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(secret_freep) Secret *z = secret_new(32), *plain = NULL;
        Reader r = READER(SPAN(data, size));
        uint8_t enc[RS_POINT_SIZE];
        RsError err = RS_ERROR_INIT;

        if (!z)
                return 0;
        reader_copy(&r, enc, sizeof(enc));
        reader_copy(&r, secret_bytes_mut(z), secret_size(z));
        if (reader_failed(&r))
                return 0;
        assert(hpke_open_with_z(z, enc, enc, SPAN("info", 4), SPAN_NULL, r.rest, &plain, &err) < 0);
        assert(!plain && (err.reason == RS_REASON_TICKET || err.reason == RS_REASON_DECRYPT));
        if (err.reason == RS_REASON_DECRYPT) /* the point was taken; no z made here fits it */
                FUZZ_ACCEPTED();
        return 0;
}
