/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Freshness statement: strict JSON that lives for at most 30 days (docs/format-chain.md 5; T7). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include <reseal/format/statement.h>

#define GOOD "{\"expires\":2000,\"format\":1,\"issued\":1000,\"latest\":7,\"line\":\"gw-1\",\"seq\":3}"

static int parse(const char *text, Statement *ret, RsError *err) {
        return statement_parse(SPAN(text, strlen(text)), ret, err);
}

static void expect_refused(const char *text) {
        Statement s = { .latest = 77 };
        RsError err = RS_ERROR_INIT;

        assert_true(parse(text, &s, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_FORMAT);
        assert_int_equal(s.latest, 77);
}

/* The good text with `from` replaced by `to`. */
static void change(const char *from, const char *to, char *ret, size_t size) {
        const char *at = strstr(GOOD, from);

        assert_non_null(at);
        (void) snprintf(ret, size, "%.*s%s%s", (int) (at - GOOD), GOOD, to, at + strlen(from));
}

static void expect_change_refused(const char *from, const char *to) {
        char text[1024];

        change(from, to, text, sizeof(text));
        expect_refused(text);
}

static void one_text_is_parsed_and_encoded_again(void **state) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        RsError err = RS_ERROR_INIT;
        Statement s = { 0 };

        (void) state;
        assert_int_equal(parse(GOOD, &s, &err), 0);
        assert_string_equal(s.line, "gw-1");
        assert_int_equal(s.latest, 7);
        assert_int_equal(s.seq, 3);
        assert_int_equal(s.issued, 1000);
        assert_int_equal(s.expires, 2000);
        assert_int_equal(statement_encode(&s, &e, &err), 0);
        assert_true(span_equal(encoder_view(&e), SPAN(GOOD, sizeof(GOOD) - 1)));
}

static void each_departure_from_the_form_is_refused(void **state) {
        (void) state;
        expect_change_refused("\"format\":1", "\"format\":2");
        expect_change_refused("\"latest\":7,", "");
        expect_change_refused("\"latest\":7", "\"latest\":0");
        expect_change_refused("\"latest\":7", "\"latest\":7.0");
        expect_change_refused("\"latest\":7", "\"latest\":9223372036854775808");
        expect_change_refused("\"seq\":3", "\"seq\":0");
        expect_change_refused("\"seq\":3", "\"seq\":3,\"more\":1");
        expect_change_refused("gw-1", "gw 1");
        expect_change_refused("gw-1", "");
        expect_change_refused("\"issued\":1000", "\"issued\":-1");
        expect_refused(GOOD "x");
        expect_refused("");
        expect_refused("[]");
}

static void a_statement_holds_for_at_most_thirty_days(void **state) {
        RsError err = RS_ERROR_INIT;
        char text[1024];
        Statement s;

        (void) state;
        change("\"expires\":2000", "\"expires\":2593000", text, sizeof(text));
        assert_int_equal(parse(text, &s, &err), 0);
        expect_change_refused("\"expires\":2000", "\"expires\":2593001");
        expect_change_refused("\"expires\":2000", "\"expires\":1000");
        expect_change_refused("\"expires\":2000", "\"expires\":999");
}

static void more_bytes_than_the_cap_are_refused(void **state) {
        char text[STATEMENT_JSON_MAX + 2];
        RsError err = RS_ERROR_INIT;
        Statement s;

        (void) state;
        memset(text, ' ', sizeof(text));
        text[STATEMENT_JSON_MAX] = '\0';
        memcpy(text, GOOD, sizeof(GOOD) - 1);
        assert_int_equal(parse(text, &s, &err), 0);
        text[STATEMENT_JSON_MAX] = ' ';
        text[STATEMENT_JSON_MAX + 1] = '\0';
        expect_refused(text);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(one_text_is_parsed_and_encoded_again),
                cmocka_unit_test(each_departure_from_the_form_is_refused),
                cmocka_unit_test(a_statement_holds_for_at_most_thirty_days),
                cmocka_unit_test(more_bytes_than_the_cap_are_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
