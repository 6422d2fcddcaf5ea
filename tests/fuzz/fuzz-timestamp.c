/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fuzz-timestamp - answers of a time-stamp authority.
 *
 * Contract: only the seeds' authority signs, so whatever proves the time names the time of the seed; every refusal has a
 * reason and leaves the outputs alone.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <reseal/pki/timestamp.h>

#include "chain-keys.h"
#include "fuzz.h"

static TrustAnchors *anchors;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        /* The seeds shall not expire. */
        const PathRules rules = { .time_low = 0, .time_high = UINT64_MAX };
        static uint64_t first; /* of the first that was taken: another would be another stamp */
        uint64_t time = 0, accuracy = 0;
        RsError err = RS_ERROR_INIT;
        uint8_t nonce[32];
        int r;

        if (!anchors && anchors_parse(SPAN(time_root_pem, sizeof(time_root_pem) - 1), &anchors, &err) < 0)
                abort();
        memset(nonce, 0x11, sizeof(nonce));
        r = timestamp_verify(SPAN(data, size), nonce, anchors, &rules, &time, &accuracy, &err);
        assert((r == 0) == (err.reason == RS_REASON_NONE) && (r == 0) == (time != 0));
        if (r == 0) {
                assert(accuracy == 2 && (first == 0 || first == time));
                first = time;
                FUZZ_ACCEPTED();
        } else
                assert(accuracy == 0);
        return 0;
}
