/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The error value: one table of reasons (D8), the first cause wins, texts are printable (STYLE 5). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>

#include <reseal/base/error.h>

static void each_reason_has_a_name_a_sentence_and_a_positive_errno(void **state) {
        (void) state;
        for (unsigned i = 1; i < _RS_REASON_MAX; i++) {
                RsReason reason = (RsReason) i;
                const char *name = rs_reason_name(reason);

                assert_true(isupper((unsigned char) name[0]));
                for (const char *p = name; *p; p++)
                        assert_true(isalnum((unsigned char) *p));
                assert_true(strlen(rs_reason_text(reason)) > 8);
                assert_true(rs_reason_errno(reason) > 0);
                assert_int_equal(rs_reason_from_name(name), reason);
                assert_string_equal(rs_reason_dbus_name(reason) + strlen("org.reseal1.Error."), name);
        }
}

static void an_unknown_name_is_no_reason(void **state) {
        (void) state;
        assert_int_equal(rs_reason_from_name("chunkdigest"), RS_REASON_NONE);
        assert_int_equal(rs_reason_from_name(""), RS_REASON_NONE);
        assert_int_equal(rs_reason_from_name("None"), RS_REASON_NONE);
}

static void a_number_outside_the_table_reads_as_internal(void **state) {
        (void) state;
        assert_string_equal(rs_reason_name((RsReason) 60000), "Internal");
        assert_string_equal(rs_reason_name((RsReason) -1), "Internal");
        assert_int_equal(rs_reason_errno(_RS_REASON_MAX), EIO);
        assert_int_equal(rs_reason_errno(RS_REASON_NONE), EIO);
        assert_string_equal(rs_reason_name(RS_REASON_NONE), "None");
}

static void raising_fills_reason_errno_origin_and_text(void **state) {
        RsError err = RS_ERROR_INIT;
        char expected[64];
        int r, line;

        (void) state;
        line = __LINE__ + 1;
        r = rs_fail(&err, CHUNK_DIGEST, "image %d, chunk %d", 1, 42);
        assert_int_equal(r, -EBADMSG);
        assert_int_equal(err.reason, RS_REASON_CHUNK_DIGEST);
        assert_int_equal(err.errnum, EBADMSG);
        assert_string_equal(err.text, "image 1, chunk 42");
        (void) snprintf(expected, sizeof(expected), "%s:%d", __func__, line);
        expected[sizeof(err.origin) - 1] = '\0';
        assert_string_equal(err.origin, expected);
}

static void the_first_cause_wins(void **state) {
        RsError err = RS_ERROR_INIT;

        (void) state;
        assert_int_equal(rs_fail(&err, ROLLBACK, "index 4"), -EPERM);
        assert_int_equal(rs_fail(&err, IO, "close"), -EPERM);
        assert_int_equal(rs_fail_errno(&err, ENOSPC, "write"), -EPERM);
        assert_int_equal(rs_fail_ssl(&err, DECRYPT, "final"), -EPERM);
        assert_int_equal(rs_fail_oom(&err), -EPERM);
        assert_int_equal(err.reason, RS_REASON_ROLLBACK);
        assert_string_equal(err.text, "index 4");
}

static void a_system_call_gives_its_own_errno_and_a_fitting_reason(void **state) {
        static const struct {
                int errnum;
                RsReason reason;
        } cases[] = {
                { ENOSPC, RS_REASON_NO_SPACE }, { EDQUOT, RS_REASON_NO_SPACE }, { ENOMEM, RS_REASON_NO_MEMORY },
                { EIO, RS_REASON_IO },          { ENOENT, RS_REASON_IO },
        };

        (void) state;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                RsError err = RS_ERROR_INIT, negative = RS_ERROR_INIT;

                assert_int_equal(rs_fail_errno(&err, cases[i].errnum, "slot"), -cases[i].errnum);
                assert_int_equal(err.reason, cases[i].reason);
                assert_int_equal(rs_fail_errno(&negative, -cases[i].errnum, "slot"), -cases[i].errnum);
        }
}

static void no_errno_whatever_turns_a_failure_into_success(void **state) {
        static const int odd[] = { 0, INT_MIN, INT_MAX, -1 };
        RsError wire = RS_ERROR_INIT;

        (void) state;
        for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
                RsError err = RS_ERROR_INIT;

                assert_true(rs_fail_errno(&err, odd[i], "x") < 0);
                assert_true(err.errnum > 0);
        }
        /* as it could come out of a message of another process */
        wire.reason = RS_REASON_HTTP;
        wire.errnum = -5;
        assert_true(rs_fail(&wire, IO, "x") < 0);
        assert_true(rs_context(&wire, "y") < 0);
}

static void the_openssl_queue_is_taken_and_emptied(void **state) {
        RsError err = RS_ERROR_INIT;

        (void) state;
        ERR_clear_error();
        assert_null(EVP_MD_fetch(NULL, "NO-SUCH-DIGEST", NULL));
        assert_int_equal(rs_fail_ssl(&err, DECRYPT, "fetch"), -EBADMSG);
        assert_true(err.ssl_error != 0);
        assert_int_equal(ERR_peek_error(), 0);
        assert_memory_equal(err.text, "fetch: ", 7);

        /* also when another cause came first: the rest would be blamed on the next failure */
        assert_null(EVP_MD_fetch(NULL, "NO-SUCH-DIGEST", NULL));
        (void) rs_fail_ssl(&err, CODEC, "again");
        assert_int_equal(ERR_peek_error(), 0);
        assert_int_equal(err.reason, RS_REASON_DECRYPT);
}

static void text_of_hostile_origin_becomes_printable(void **state) {
        RsError err = RS_ERROR_INIT;

        (void) state;
        (void) rs_fail(&err, HTTP, "%s", "200 OK\r\n\033[2Jforged \xff\xe2\x80\xae end");
        assert_string_equal(err.text, "200 OK\\x0d\\x0a\\x1b[2Jforged \\xff\\xe2\\x80\\xae end");
}

static void long_text_is_cut_with_dots(void **state) {
        RsError err = RS_ERROR_INIT;
        char a[600];

        (void) state;
        memset(a, 'a', sizeof(a) - 1);
        a[sizeof(a) - 1] = '\0';
        (void) rs_fail(&err, HTTP, "%s", a);
        assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
        assert_string_equal(err.text + sizeof(err.text) - 4, "...");
}

static void context_is_put_in_front_and_escaped_once(void **state) {
        RsError err = RS_ERROR_INIT;

        (void) state;
        (void) rs_fail(&err, READ_BACK, "offset \n%d", 7);
        assert_int_equal(rs_context(&err, "slot %s", "B\t"), -EIO);
        assert_string_equal(err.text, "slot B\\x09: offset \\x0a7");
        assert_int_equal(err.reason, RS_REASON_READ_BACK);
}

static void a_failure_told_elsewhere_is_taken_over(void **state) {
        RsError cause = RS_ERROR_INIT, err = RS_ERROR_INIT, second = RS_ERROR_INIT;

        (void) state;
        (void) rs_fail(&cause, SIZE, "image");
        assert_int_equal(rs_pass(&err, &cause), -EFBIG);
        assert_memory_equal(&err, &cause, sizeof(err));
        (void) rs_fail(&second, BUSY, "first");
        assert_int_equal(rs_pass(&second, &cause), -EBUSY); /* the first cause wins here too */
        assert_string_equal(second.text, "first");
}

static void a_failure_that_claims_to_be_none_stays_a_failure(void **state) {
        static const RsError odd[] = { { 0 },
                                       { .reason = RS_REASON_HTTP, .errnum = 0 },
                                       { .reason = RS_REASON_HTTP, .errnum = -5 },
                                       { .reason = (RsReason) 4000, .errnum = 1 } };

        (void) state;
        for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
                RsError err = RS_ERROR_INIT;

                assert_true(rs_pass(&err, &odd[i]) < 0);
                assert_true(err.reason > RS_REASON_NONE && err.reason < _RS_REASON_MAX);
                assert_true(err.errnum > 0);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(each_reason_has_a_name_a_sentence_and_a_positive_errno),
                cmocka_unit_test(an_unknown_name_is_no_reason),
                cmocka_unit_test(a_number_outside_the_table_reads_as_internal),
                cmocka_unit_test(raising_fills_reason_errno_origin_and_text),
                cmocka_unit_test(the_first_cause_wins),
                cmocka_unit_test(a_system_call_gives_its_own_errno_and_a_fitting_reason),
                cmocka_unit_test(no_errno_whatever_turns_a_failure_into_success),
                cmocka_unit_test(the_openssl_queue_is_taken_and_emptied),
                cmocka_unit_test(text_of_hostile_origin_becomes_printable),
                cmocka_unit_test(long_text_is_cut_with_dots),
                cmocka_unit_test(a_failure_told_elsewhere_is_taken_over),
                cmocka_unit_test(a_failure_that_claims_to_be_none_stays_a_failure),
                cmocka_unit_test(context_is_put_in_front_and_escaped_once),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
