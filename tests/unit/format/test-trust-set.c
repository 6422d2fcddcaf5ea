/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Trust set: strict JSON around PEM blocks of one spelling (docs/format-chain.md 6). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <reseal/format/trust-set.h>

#define FULL "AAAAAAAABBBBBBBBCCCCCCCCDDDDDDDDEEEEEEEEFFFFFFFFGGGGGGGGHHHHHHHH"
#define CERT(body) "-----BEGIN CERTIFICATE-----\n" FULL "\n" body "\n-----END CERTIFICATE-----\n"
#define KEY(body) "-----BEGIN PUBLIC KEY-----\n" body "\n-----END PUBLIC KEY-----\n"

static TrustSet sample(void) {
        return (TrustSet){
                .line = "gw-1",
                .version = 4,
                .quorum = 2,
                .firmware_pem = (char *) CERT("MIIa") CERT("MIIb") CERT("MIIc"),
                .source_pem = (char *) CERT("MIIs"),
                .time_pem = (char *) "",
                .recovery_pem = (char *) KEY("MFk1") KEY("MFk2") KEY("MFk3"),
        };
}

static char *text_of(const TrustSet *s) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        RsError err = RS_ERROR_INIT;

        assert_int_equal(trust_set_encode(s, &e, &err), 0);
        encoder_u8(&e, 0);
        return (char *) TAKE_PTR(e.data);
}

static void expect_refused(const char *text, size_t size) {
        TrustSet *s = NULL;
        RsError err = RS_ERROR_INIT;

        assert_true(trust_set_parse(SPAN(text, size), &s, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_FORMAT);
        assert_null(s);
}

static void expect_change_refused(const char *from, const char *to) {
        TrustSet s = sample();
        _cleanup_(freep) char *text = text_of(&s), *changed = NULL;
        const char *at = strstr(text, from);

        assert_non_null(at);
        assert_true(asprintf(&changed, "%.*s%s%s", (int) (at - text), text, to, at + strlen(from)) > 0);
        expect_refused(changed, strlen(changed));
}

static void expect_set_refused(const TrustSet *s) {
        _cleanup_(freep) char *text = text_of(s);

        expect_refused(text, strlen(text));
}

static void parse_gives_back_what_encode_was_given(void **state) {
        _cleanup_(trust_set_freep) TrustSet *again = NULL;
        RsError err = RS_ERROR_INIT;
        TrustSet s = sample();
        _cleanup_(freep) char *text = text_of(&s);

        (void) state;
        assert_int_equal(trust_set_parse(SPAN(text, strlen(text)), &again, &err), 0);
        assert_string_equal(again->line, s.line);
        assert_int_equal(again->version, 4);
        assert_int_equal(again->quorum, 2);
        assert_string_equal(again->firmware_pem, s.firmware_pem);
        assert_string_equal(again->source_pem, s.source_pem);
        assert_string_equal(again->time_pem, "");
        assert_string_equal(again->recovery_pem, s.recovery_pem);
}

/* Only a set that says so carries it: what was signed before has the same bytes. */
static void restart_is_there_only_when_it_is_said(void **state) {
        _cleanup_(trust_set_freep) TrustSet *again = NULL;
        RsError err = RS_ERROR_INIT;
        TrustSet s = sample();
        _cleanup_(freep) char *without = text_of(&s), *with = NULL;

        (void) state;
        assert_null(strstr(without, "restart"));
        s.restart = 1800000000;
        with = text_of(&s);
        assert_int_equal(trust_set_parse(SPAN(with, strlen(with)), &again, &err), 0);
        assert_int_equal(again->restart, 1800000000);
        expect_change_refused("\"version\":4", "\"version\":4,\"restart\":0");
        expect_change_refused("\"version\":4", "\"version\":4,\"restart\":-1");
        expect_change_refused("\"version\":4", "\"version\":4,\"restart\":253402300800");
        expect_change_refused("\"version\":4", "\"version\":4,\"restart\":\"1\"");
        expect_change_refused("\"version\":4", "\"version\":4,\"restart\":1,\"restart\":1");
}

static void each_departure_from_the_form_is_refused(void **state) {
        static const char *const keys[] = { "format", "line", "version", "quorum", "firmware", "source", "time", "recovery" };

        (void) state;
        for (unsigned i = 0; i < ELEMENTSOF(keys); i++) {
                char from[32];

                (void) snprintf(from, sizeof(from), "\"%s\":", keys[i]);
                expect_change_refused(from, "\"other\":");
        }
        expect_change_refused("\"format\":1", "\"format\":2");
        expect_change_refused("\"version\":4", "\"version\":0");
        expect_change_refused("\"quorum\":2", "\"quorum\":1");
        expect_change_refused("\"quorum\":2", "\"quorum\":9");
        expect_change_refused("\"version\":4", "\"version\":4,\"more\":1");
        expect_change_refused("\"time\":[]", "\"time\":[1]");
        expect_change_refused("\"time\":[]", "\"time\":{}");
        expect_refused("", 0);
}

static void what_is_not_one_pem_block_of_one_spelling_is_refused(void **state) {
        (void) state;
        expect_change_refused("MIIa\\n-----END", "MIIa-----END");
        expect_change_refused("MIIa\\n", "MII\\n");
        expect_change_refused("MIIa\\n", "MIIa\\nMIIa\\n"); /* a short line before the last */
        expect_change_refused("MIIa\\n", "\\n");
        expect_change_refused("MIIa\\n", "MI-a\\n");
        expect_change_refused("MIIa\\n", "MIIa\\r\\n");
        expect_change_refused("MIIa\\n", "MIIa" FULL "\\n");
        expect_change_refused("-----BEGIN CERT", "x-----BEGIN CERT");
        expect_change_refused("-----END CERTIFICATE-----\\n", "-----END CERTIFICATE-----");
        expect_change_refused("-----END CERTIFICATE-----\\n", "-----END CERTIFICATE-----\\nx");
        expect_change_refused("-----END CERTIFICATE-----\\n\",\"", "-----END CERTIFICATE-----\\n");
        expect_change_refused("BEGIN CERTIFICATE", "BEGIN X509 CRL");
        expect_change_refused("BEGIN PUBLIC KEY", "BEGIN PRIVATE KEY");
        expect_change_refused("MIIa\\n", "MIIa\\u0000\\n");
}

/* Two of three keys held by one person are one key. */
static void the_same_anchor_or_key_twice_is_refused(void **state) {
        (void) state;
        expect_change_refused("MIIb", "MIIa");
        expect_change_refused("MFk2", "MFk1");
}

static void counts_hold_at_their_limits_and_not_above(void **state) {
        TrustSet s = sample(), *again = NULL;
        RsError err = RS_ERROR_INIT;

        (void) state;
        s.recovery_pem = (char *) "";
        s.quorum = 3;
        _cleanup_(freep) char *text = text_of(&s);
        assert_int_equal(trust_set_parse(SPAN(text, strlen(text)), &again, &err), 0);
        again = trust_set_free(again);
        s.quorum = 4; /* three roots can never be four */
        expect_set_refused(&s);
        s = sample();
        s.recovery_pem = (char *) KEY("MFk1") KEY("MFk2");
        expect_set_refused(&s);
        s.recovery_pem = (char *) KEY("MFk1") KEY("MFk2") KEY("MFk3") KEY("MFk4");
        expect_set_refused(&s);
        s = sample();
        s.firmware_pem = (char *) "";
        expect_set_refused(&s);
        s = sample();
        s.time_pem = (char *) CERT("MIIa") CERT("MIIb") CERT("MIIc") CERT("MIId") CERT("MIIe") CERT("MIIf") CERT("MIIg")
                        CERT("MIIh");
        _cleanup_(freep) char *eight = text_of(&s);
        assert_int_equal(trust_set_parse(SPAN(eight, strlen(eight)), &again, &err), 0);
        again = trust_set_free(again);
        s.time_pem = (char *) CERT("MIIa") CERT("MIIb") CERT("MIIc") CERT("MIId") CERT("MIIe") CERT("MIIf") CERT("MIIg")
                        CERT("MIIh") CERT("MIIi");
        expect_set_refused(&s);
}

static void what_is_no_pem_is_not_encoded(void **state) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        RsError err = RS_ERROR_INIT;
        TrustSet s = sample();

        (void) state;
        s.source_pem = (char *) "hello\n" CERT("MIIa");
        assert_true(trust_set_encode(&s, &e, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_FORMAT);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(parse_gives_back_what_encode_was_given),
                cmocka_unit_test(restart_is_there_only_when_it_is_said),
                cmocka_unit_test(each_departure_from_the_form_is_refused),
                cmocka_unit_test(what_is_not_one_pem_block_of_one_spelling_is_refused),
                cmocka_unit_test(the_same_anchor_or_key_twice_is_refused),
                cmocka_unit_test(counts_hold_at_their_limits_and_not_above),
                cmocka_unit_test(what_is_no_pem_is_not_encoded),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
