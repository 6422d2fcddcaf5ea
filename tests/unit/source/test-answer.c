/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The head of an HTTP answer against what was asked (T3, T4). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../../../src/source/answer.h"

static int range(const char *text, ContentRange *ret) {
        return content_range_parse(SPAN(text, strlen(text)), ret);
}

static void content_range_is_read(void **state) {
        ContentRange c;

        (void) state;
        assert_int_equal(range("bytes 0-65535/700001", &c), 0);
        assert_int_equal(c.first, 0);
        assert_int_equal(c.last, 65535);
        assert_int_equal(c.total, 700001);
        assert_int_equal(range(" BYTES 5-5/6 ", &c), 0);
}

static void malformed_content_ranges_are_refused(void **state) {
        static const char *const BAD[] = {
                "",
                "bytes",
                "bytes ",
                "bytes 0-1",
                "bytes 0-1/",
                "bytes 0-1/*",
                "bytes */100",
                "bytes 2-1/100",
                "bytes 0-100/100",
                "bytes -1/100",
                "bytes 0-/100",
                "bytes +0-1/100",
                "bytes 0 - 1/100",
                "bytes 0-1/100x",
                "bytes 0-1/100, 2-3/100",
                "lines 0-1/100",
                "bytes 0-1000000000000000000/1000000000000000001",
                "bytes 18446744073709551616-1/100",
        };
        ContentRange c = { .first = 77 };

        (void) state;
        for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++)
                assert_true(range(BAD[i], &c) < 0);
        assert_int_equal(c.first, 77); /* untouched */
}

static Answer head(const char *lines) {
        Answer a = { 0 };

        while (*lines) {
                size_t n = strcspn(lines, "\n");
                answer_feed(&a, SPAN(lines, n));
                lines += n + (lines[n] != '\0');
        }
        return a;
}

#define ONE "ETag: \"one\"\n"
static const Question ASKED = { .ranged = true, .first = 100, .last = 199 };

static RsReason judged(const char *lines, const Question *q, Validator *v) {
        Answer a = head(lines);
        RsError err = { 0 };

        return answer_judge(&a, q, v, &err) < 0 ? err.reason : RS_REASON_NONE;
}

static void exact_range_with_a_validator_is_accepted(void **state) {
        Validator v = { 0 };

        (void) state;
        assert_int_equal(judged("HTTP/1.1 206 Partial Content\n" ONE "Content-Range: bytes 100-199/1000\n", &ASKED, &v), 0);
        assert_true(v.known);
        assert_string_equal(v.etag, "\"one\"");
        assert_int_equal(v.total, 1000);
        /* and once more from the same version */
        assert_int_equal(judged("HTTP/1.1 206 Partial Content\n" ONE "Content-Range: bytes 100-199/1000\n", &ASKED, &v), 0);
}

static void interim_answers_are_forgotten(void **state) {
        Answer a = head("HTTP/1.1 103 Early Hints\nETag: \"two\"\nHTTP/1.1 206 x\n" ONE "Content-Range: bytes 100-199/1000\n");

        (void) state;
        assert_int_equal(a.status, 206);
        assert_string_equal(a.etag, "\"one\"");
        assert_false(a.broken);
}

static void first_range_may_end_with_the_file_only(void **state) {
        const Question first = { .ranged = true, .first = 0, .last = 65535, .open_end = true };
        Validator v = { 0 };

        (void) state;
        assert_int_equal(judged("HTTP/1.1 206 x\n" ONE "Content-Range: bytes 0-99/100\n", &first, &v), 0);
        v.known = false;
        assert_int_equal(judged("HTTP/1.1 206 x\n" ONE "Content-Range: bytes 0-98/100\n", &first, &v), RS_REASON_HTTP);
        assert_int_equal(judged("HTTP/1.1 206 x\n" ONE "Content-Range: bytes 100-150/151\n", &ASKED, &v), RS_REASON_HTTP);
}

static void another_version_is_never_spliced(void **state) {
        Validator v = { .known = true, .etag = "\"one\"", .total = 1000 };
        Validator date = { .known = true, .last_modified = "Mon", .total = 1000 };

        (void) state;
        assert_int_equal(judged("HTTP/1.1 206 x\nETag: \"two\"\nContent-Range: bytes 100-199/1000\n", &ASKED, &v),
                         RS_REASON_SOURCE_CHANGED);
        assert_int_equal(judged("HTTP/1.1 206 x\nContent-Range: bytes 100-199/1000\n", &ASKED, &v), RS_REASON_SOURCE_CHANGED);
        assert_int_equal(judged("HTTP/1.1 206 x\n" ONE "Content-Range: bytes 100-199/1001\n", &ASKED, &v),
                         RS_REASON_SOURCE_CHANGED);
        assert_int_equal(judged("HTTP/1.1 200 OK\nETag: \"two\"\n", &ASKED, &v), RS_REASON_SOURCE_CHANGED);
        assert_int_equal(judged("HTTP/1.1 200 OK\n" ONE, &ASKED, &v), RS_REASON_HTTP); /* same version: ignores ranges */
        assert_int_equal(judged("HTTP/1.1 206 x\nLast-Modified: Tue\nContent-Range: bytes 100-199/1000\n", &ASKED, &date),
                         RS_REASON_SOURCE_CHANGED);
}

static void unusable_heads_are_refused(void **state) {
        static const char *const BAD[] = {
                "HTTP/1.1 206 x\nContent-Range: bytes 100-199/1000\n", /* no validator */
                "HTTP/1.1 206 x\nETag: W/\"one\"\nContent-Range: bytes 100-199/1000\n",
                "HTTP/1.1 206 x\n" ONE,
                "HTTP/1.1 206 x\n" ONE ONE "Content-Range: bytes 100-199/1000\n",
                "HTTP/1.1 206 x\n" ONE "Content-Range: bytes 100-199/1000\nContent-Range: bytes 100-199/1000\n",
                "HTTP/1.1 206 x\n" ONE "Content-Range: bytes 100-199/1000\nContent-Length: 100\nContent-Length: 100\n",
                "HTTP/1.1 206 x\n" ONE "Content-Range: bytes 100-199/1000\nContent-Encoding: gzip\n",
                "HTTP/1.1 206 x\nETag: \"\x01\"\nContent-Range: bytes 100-199/1000\n",
                "HTTP/1.1 206 x\nETag:\nContent-Range: bytes 100-199/1000\n",
                "HTTP/1.1 206 x\n" ONE "Content-Range: bytes 100-199/1000\nTransfer-Encoding: gzip\n",
                "HTTP/1.1 206 x\n" ONE "Content-Range: bytes 100-199/1000\nTransfer-Encoding: gzip, chunked\n",
                "HTTP/1.1 206 x\n" ONE "Content-Range: bytes 100-199/1000\nTransfer-Encoding: chunked\n"
                "transfer-encoding: chunked\n",
                "HTTP/1.1 404 x\nTransfer-Encoding: zstd\n",
                "HTTP/1.1 500 x\nTransfer-Encoding: identity\n",
                "HTTP/1.1 204 x\n" ONE,
                "HTTP/1.1 20\n",
                "HTTP/1.1\n",
                "",
        };

        (void) state;
        for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
                Validator v = { 0 };
                assert_int_equal(judged(BAD[i], &ASKED, &v), RS_REASON_HTTP);
                assert_false(v.known);
        }
}

static void validator_at_its_cap_passes_and_one_more_is_refused(void **state) {
        char line[400];
        Validator v = { 0 };

        (void) state;
        for (size_t n = ANSWER_TAG_MAX - 1; n <= ANSWER_TAG_MAX; n++) {
                (void) snprintf(line, sizeof(line), "HTTP/1.1 206 x\nETag: \"%0*d\"\nContent-Range: bytes 100-199/1000\n",
                                (int) n - 2, 7);
                v.known = false;
                assert_int_equal(judged(line, &ASKED, &v), n < ANSWER_TAG_MAX ? RS_REASON_NONE : RS_REASON_HTTP);
        }
}

static void announced_length_above_the_range_is_too_much(void **state) {
        const Question whole = { .max_size = 100 };
        Validator v = { 0 };

        (void) state;
        assert_int_equal(judged("HTTP/1.1 206 x\n" ONE "Content-Range: bytes 100-199/1000\nContent-Length: 101\n", &ASKED, &v),
                         RS_REASON_TOO_MUCH);
        assert_int_equal(judged("HTTP/1.1 200 x\nContent-Length: 101\n", &whole, &v), RS_REASON_TOO_MUCH);
        assert_int_equal(judged("HTTP/1.1 200 x\nContent-Length: 100\n", &whole, &v), RS_REASON_NONE);
}

static void statuses_become_reasons(void **state) {
        static const struct {
                unsigned status;
                const char *body;
                bool known;
                RsReason reason;
                bool again;
        } CASES[] = {
                { 400, "The SSL certificate error", false, RS_REASON_AUTH_DEVICE, false },
                { 400, "Bad Request", false, RS_REASON_HTTP, false },
                { 401, "", false, RS_REASON_AUTH_DEVICE, false },
                { 403, "", false, RS_REASON_ENTITLE, false },
                { 404, "", false, RS_REASON_NOT_FOUND, false },
                { 410, "", false, RS_REASON_NOT_FOUND, false },
                { 412, "", false, RS_REASON_SOURCE_CHANGED, false },
                { 416, "", false, RS_REASON_HTTP, false },
                { 416, "", true, RS_REASON_SOURCE_CHANGED, false },
                { 429, "", false, RS_REASON_HTTP, true },
                { 503, "", false, RS_REASON_HTTP, true },
                { 999, "", false, RS_REASON_HTTP, false },
        };

        (void) state;
        for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
                Answer a = { .status = CASES[i].status };
                Validator v = { .known = CASES[i].known };
                RsError err = { 0 };
                bool again = false;

                assert_true(answer_refusal(&a, SPAN(CASES[i].body, strlen(CASES[i].body)), &v, &again, &err) < 0);
                assert_int_equal(err.reason, CASES[i].reason);
                assert_int_equal(again, CASES[i].again);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(content_range_is_read),
                cmocka_unit_test(malformed_content_ranges_are_refused),
                cmocka_unit_test(exact_range_with_a_validator_is_accepted),
                cmocka_unit_test(interim_answers_are_forgotten),
                cmocka_unit_test(first_range_may_end_with_the_file_only),
                cmocka_unit_test(another_version_is_never_spliced),
                cmocka_unit_test(unusable_heads_are_refused),
                cmocka_unit_test(validator_at_its_cap_passes_and_one_more_is_refused),
                cmocka_unit_test(announced_length_above_the_range_is_too_much),
                cmocka_unit_test(statuses_become_reasons),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
