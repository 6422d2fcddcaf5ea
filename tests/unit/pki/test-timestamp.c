/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Time-stamps of a real responder (openssl ts): what proves the time, and each answer that does not (S62, S63, T36). */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/crypto/ossl-cleanup.h>
#include <reseal/pki/cms.h>
#include <reseal/pki/crl.h>
#include <reseal/pki/timestamp.h>

#include "pki-fixture.h"

static TrustAnchors *anchors;
static const uint8_t nonce[32] = { 0x81, 2, 3, 4, 5 };

static int setup(void **state) {
        RsError err = RS_ERROR_INIT;

        if (pki_setup(state) < 0)
                return -1;
        return anchors_load(pki_path("time/root.pem"), &anchors, &err);
}

static int teardown(void **state) {
        anchors = anchors_free(anchors);
        return pki_teardown(state);
}

static int shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int shell(const char *format, ...) {
        char text[1024];
        va_list args;

        va_start(args, format);
        (void) vsnprintf(text, sizeof(text), format, args);
        va_end(args);
        return system(text);
}

static void ask(const uint8_t with[32]) {
        _cleanup_(encoder_done) Encoder query = ENCODER_INIT;
        RsError err = RS_ERROR_INIT;

        assert_int_equal(timestamp_query(with, &query, &err), 0);
        assert_true(query.size <= TIMESTAMP_QUERY_MAX);
        assert_int_equal(file_replace(AT_FDCWD, pki_path("query"), encoder_view(&query), 0600, &err), 0);
}

/* Answers the query with the configuration, a sed script applied to it, as SIGNER. */
static void reply(const char *script, const char *signer) {
        assert_int_equal(shell("cd %s && sed '%s' time/tsa.cnf >tsa.cnf && openssl ts -reply -config tsa.cnf "
                               "-queryfile query -signer %s.pem -inkey %s.key -out reply 2>log",
                               pki_dir, script, signer, signer), 0);
}

static RsReason judge(const PathRules *rules, uint64_t *ret_time, uint64_t *ret_accuracy) {
        _cleanup_(freep) uint8_t *der = NULL;
        RsError err = RS_ERROR_INIT;
        size_t size;
        int r;

        assert_int_equal(file_read(AT_FDCWD, pki_path("reply"), 65536, &der, &size, &err), 1);
        r = timestamp_verify(SPAN(der, size), nonce, anchors, rules, ret_time, ret_accuracy, &err);
        assert_int_equal(r, err.reason == RS_REASON_NONE ? 0 : -rs_reason_errno(err.reason));
        if (r < 0)
                print_message("%s: %s\n", rs_reason_name(err.reason), err.text);
        return err.reason;
}

static const PathRules any_time = { .time_low = 0, .time_high = UINT64_MAX };

static void answer_to_our_query_proves_the_time(void **state) {
        uint64_t before = (uint64_t) time(NULL), stated = 0, accuracy = 0;
        PathRules rules = { .time_low = before, .time_high = UINT64_MAX };

        (void) state;
        ask(nonce);
        reply("", "time/tsa");
        assert_int_equal(judge(&any_time, &stated, &accuracy), RS_REASON_NONE);
        assert_in_range(stated, before, (uint64_t) time(NULL));
        assert_int_equal(accuracy, 2); /* 1 s 500 ms 100 us */
        assert_int_equal(judge(&rules, &stated, &accuracy), RS_REASON_NONE);
        /* The floor lies behind the certificate's end, or the certificate has not begun. */
        rules.time_low = before + 20ull * 365 * 86400;
        assert_int_equal(judge(&rules, &stated, &accuracy), RS_REASON_EXPIRED);
        rules = (PathRules){ .time_low = 1, .time_high = before - 86400 };
        assert_int_equal(judge(&rules, &stated, &accuracy), RS_REASON_EXPIRED);
}

static void openssl_program_reads_our_query(void **state) {
        (void) state;
        ask(nonce);
        assert_int_equal(shell("cd %s && openssl ts -query -in query -text 2>/dev/null | grep -q 'Certificate required: yes'",
                               pki_dir), 0);
        assert_int_equal(shell("cd %s && openssl ts -query -in query -text 2>/dev/null | "
                               "grep -q 'Nonce: 0x81020304050000000000000000000000'", pki_dir), 0);
        assert_int_equal(shell("cd %s && openssl ts -query -in query -text 2>/dev/null | grep -q 'Hash Algorithm: sha256'",
                               pki_dir), 0);
}

static void accuracy_is_rounded_up(void **state) {
        static const struct {
                const char *script;
                uint64_t accuracy;
        } cases[] = {
                { "s/^accuracy.*//", 1 },
                { "s/^accuracy.*/accuracy = millisecs:1/", 1 },
                { "s/^accuracy.*/accuracy = secs:7/", 7 },
                { "s/^accuracy.*/accuracy = secs:3599, microsecs:1/", 3600 },
                { "s/^accuracy.*/accuracy = secs:3600/", 3600 },
                { "s/^accuracy.*/accuracy = secs:3600, microsecs:1/", 0 },
                { "s/^accuracy.*/accuracy = secs:3601/", 0 },
        };

        (void) state;
        ask(nonce);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                uint64_t stated = 0, accuracy = 0;

                reply(cases[i].script, "time/tsa");
                assert_int_equal(judge(&any_time, &stated, &accuracy),
                                 cases[i].accuracy > 0 ? RS_REASON_NONE : RS_REASON_TIME_PROOF);
                assert_int_equal(accuracy, cases[i].accuracy);
        }
}

static void fraction_of_a_second_counts_into_the_accuracy(void **state) {
        uint64_t stated = 0, accuracy = 0;

        (void) state;
        ask(nonce);
        reply("s/^accuracy.*/accuracy = secs:1\\nclock_precision_digits = 6/", "time/tsa");
        assert_int_equal(judge(&any_time, &stated, &accuracy), RS_REASON_NONE);
        assert_in_range(stated, 1, (uint64_t) time(NULL));
        assert_in_range(accuracy, 1, 2); /* 1 only when the fraction was 0 */
}

static void yesterdays_answer_is_refused(void **state) {
        uint8_t other[32], same_field[32];
        uint64_t stated = 0, accuracy = 0;

        (void) state;
        memcpy(other, nonce, 32);
        other[0] ^= 1;
        ask(other);
        reply("", "time/tsa");
        assert_int_equal(judge(&any_time, &stated, &accuracy), RS_REASON_TIME_PROOF);
        memcpy(same_field, nonce, 32); /* the nonce field holds 16 bytes only: then the imprint tells */
        same_field[31] ^= 1;
        ask(same_field);
        reply("", "time/tsa");
        assert_int_equal(judge(&any_time, &stated, &accuracy), RS_REASON_TIME_PROOF);
        assert_int_equal(stated + accuracy, 0);
}

static void query_of_another_kind_gets_no_proof(void **state) {
        static const struct {
                const char *options;
                RsReason reason;
        } cases[] = {
                { "-digest $(sha256sum nonce | cut -c1-64) -sha256 -cert -no_nonce", RS_REASON_TIME_PROOF },
                { "-digest $(sha256sum nonce | cut -c1-64) -sha256 -cert", RS_REASON_TIME_PROOF },
                { "-data nonce -sha512 -cert", RS_REASON_TIME_PROOF },         /* digest not granted */
                { "-data nonce -sha256", RS_REASON_CERTIFICATE },              /* certificate not enclosed */
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                uint64_t stated = 0, accuracy = 0;
                RsError err = RS_ERROR_INIT;

                assert_int_equal(file_replace(AT_FDCWD, pki_path("nonce"), SPAN_ARRAY(nonce), 0600, &err), 0);
                assert_int_equal(shell("cd %s && openssl ts -query %s -out query 2>log", pki_dir, cases[i].options), 0);
                reply("", "time/tsa");
                assert_int_equal(judge(&any_time, &stated, &accuracy), cases[i].reason);
        }
}

/* The content of a token, signed by openssl cms: SEQUENCE { SEQUENCE { granted }, token }. */
static void wrap(const char *signer, const char *options) {
        _cleanup_(encoder_done) Encoder out = ENCODER_INIT;
        _cleanup_(freep) uint8_t *token = NULL;
        RsError err = RS_ERROR_INIT;
        size_t size;

        assert_int_equal(shell("cd %s && openssl cms -sign -binary -nodetach %s -md sha256 -outform DER -signer %s.pem "
                               "-inkey %s.key -econtent_type 1.2.840.113549.1.9.16.1.4 -in tstinfo -out token 2>log",
                               pki_dir, options, signer, signer), 0);
        assert_int_equal(file_read(AT_FDCWD, pki_path("token"), 65535, &token, &size, &err), 1);
        encoder_u16(&out, 0x3082);
        encoder_u16(&out, (uint16_t) (size + 5));
        encoder_bytes(&out, "\x30\x03\x02\x01\x00", 5);
        encoder_bytes(&out, token, size);
        assert_int_equal(file_replace(AT_FDCWD, pki_path("reply"), encoder_view(&out), 0600, &err), 0);
}

static void certificate_may_be_for_time_stamps_only(void **state) {
        /* openssl ts refuses most of these as signers; openssl cms signs with anything. */
        static const struct {
                const char *signer;
                RsReason reason;
        } cases[] = {
                { "bad/tsa-expired", RS_REASON_EXPIRED },
                { "bad/tsa-other", RS_REASON_CERTIFICATE },
                { "bad/tsa-soft", RS_REASON_PURPOSE },
                { "bad/tsa-more", RS_REASON_PURPOSE },
                { "bad/tsa-purpose", RS_REASON_PURPOSE },
        };
        PathRules rules = { .time_low = (uint64_t) time(NULL), .time_high = UINT64_MAX };

        (void) state;
        ask(nonce);
        reply("", "time/tsa");
        assert_int_equal(shell("cd %s && openssl ts -reply -in reply -token_out -out token 2>log && "
                               "openssl cms -verify -noverify -inform DER -in token -out tstinfo 2>log", pki_dir), 0);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                uint64_t stated = 0, accuracy = 0;

                wrap(cases[i].signer, "-cades");
                if (judge(&rules, &stated, &accuracy) != cases[i].reason)
                        fail_msg("%s", cases[i].signer);
        }
        /* The same way by the right one is good; without the attribute that names the certificate it is not. */
        for (int named = 0; named < 2; named++) {
                uint64_t stated = 0, accuracy = 0;

                wrap("time/tsa", named ? "-cades" : "");
                assert_int_equal(judge(&rules, &stated, &accuracy), named ? RS_REASON_NONE : RS_REASON_TIME_PROOF);
        }
}

static void revoked_responder_is_refused(void **state) {
        _cleanup_(crl_set_freep) CrlSet *crls = NULL;
        _cleanup_(freep) uint8_t *der = NULL;
        PathRules rules = any_time;
        uint64_t stated = 0, accuracy = 0;
        RsError err = RS_ERROR_INIT;
        CrlInfo info;
        bool changed;
        size_t size;

        (void) state;
        assert_int_equal(shell("'%s'/tests/fixtures/make-pki.sh crl %s time/root 1 time/tsa.pem", getenv("SOURCE_ROOT"),
                               pki_dir), 0);
        assert_int_equal(file_read(AT_FDCWD, pki_path("time/root.crl"), CRL_SIZE_MAX, &der, &size, &err), 1);
        assert_int_equal(crl_set_new(&crls, &err), 0);
        assert_int_equal(crl_set_add(crls, SPAN(der, size), anchors, NULL, &changed, &info, &err), 0);
        rules.crls = crls;
        ask(nonce);
        reply("", "time/tsa");
        assert_int_equal(judge(&rules, &stated, &accuracy), RS_REASON_REVOKED);
}

static void damaged_answers_are_refused_or_say_the_same(void **state) {
        _cleanup_(freep) uint8_t *der = NULL, *longer = NULL;
        uint64_t good_time = 0, good_accuracy = 0;
        RsError err = RS_ERROR_INIT;
        size_t size, passed = 0;

        (void) state;
        ask(nonce);
        reply("", "time/tsa");
        assert_int_equal(judge(&any_time, &good_time, &good_accuracy), RS_REASON_NONE);
        assert_int_equal(file_read(AT_FDCWD, pki_path("reply"), 65536, &der, &size, &err), 1);
        for (size_t i = 0; i < size; i++) {
                uint64_t stated = 0, accuracy = 0;

                err = RS_ERROR_INIT;
                der[i] ^= (uint8_t) (1u << (i % 8));
                if (timestamp_verify(SPAN(der, size), nonce, anchors, &any_time, &stated, &accuracy, &err) == 0) {
                        assert_true(stated == good_time && accuracy == good_accuracy);
                        passed++;
                } else
                        assert_int_equal(stated + accuracy, 0);
                der[i] ^= (uint8_t) (1u << (i % 8));
        }
        assert_in_range(passed, 0, size / 2); /* the enclosed root is nobody's business */
        for (size_t n = 0; n < size; n += 11) {
                uint64_t stated = 0, accuracy = 0;

                err = RS_ERROR_INIT;
                assert_true(timestamp_verify(SPAN(der, n), nonce, anchors, &any_time, &stated, &accuracy, &err) < 0);
                assert_int_equal(err.reason, RS_REASON_TIME_PROOF);
        }
        longer = calloc(1, TIMESTAMP_RESPONSE_MAX + 1);
        memcpy(longer, der, size);
        for (int i = 0; i < 2; i++) {
                uint64_t stated = 0, accuracy = 0;

                err = RS_ERROR_INIT;
                assert_true(timestamp_verify(SPAN(longer, i ? TIMESTAMP_RESPONSE_MAX + 1 : size + 1), nonce, anchors,
                                             &any_time, &stated, &accuracy, &err) < 0);
                assert_int_equal(err.reason, RS_REASON_TIME_PROOF);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(answer_to_our_query_proves_the_time),
                cmocka_unit_test(openssl_program_reads_our_query),
                cmocka_unit_test(accuracy_is_rounded_up),
                cmocka_unit_test(fraction_of_a_second_counts_into_the_accuracy),
                cmocka_unit_test(yesterdays_answer_is_refused),
                cmocka_unit_test(query_of_another_kind_gets_no_proof),
                cmocka_unit_test(certificate_may_be_for_time_stamps_only),
                cmocka_unit_test(revoked_responder_is_refused),
                cmocka_unit_test(damaged_answers_are_refused_or_say_the_same),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
