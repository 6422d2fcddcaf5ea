/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The head of an HTTP answer: what is accepted is exactly the range that was asked for. */
#include <assert.h>
#include <string.h>

#include <reseal/base/text.h>

#include "../../src/source/answer.h"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const Question q = { .ranged = true, .first = 10, .last = 99 };
        RsError err = RS_ERROR_INIT;
        Validator v = { 0 };
        Answer a = { 0 };
        bool again;

        for (size_t i = 0, n; i < size; i += n + 1) {
                const uint8_t *end = memchr(data + i, '\n', size - i);
                n = end ? (size_t) (end - (data + i)) : size - i;
                answer_feed(&a, SPAN(data + i, n));
        }
        if (a.status >= 300) {
                assert(answer_refusal(&a, SPAN(data, size), &v, &again, &err) < 0 && err.reason != RS_REASON_NONE);
                return 0;
        }
        if (answer_judge(&a, &q, &v, &err) < 0) {
                assert(err.reason != RS_REASON_NONE && !v.known == (err.reason != RS_REASON_TOO_MUCH));
                return 0;
        }
        assert(a.status == 206 && a.range.first == 10 && a.range.last == 99 && a.range.total > 99);
        assert(v.known && (v.etag[0] == '"' || v.last_modified[0]));
        return 0;
}
