/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bare signatures: P-256 in its one spelling, and every other key refused (S60, S65). */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/core_names.h>
#include <openssl/rsa.h>

#include <reseal/base/cleanup.h>
#include <reseal/crypto/ossl-cleanup.h>
#include <reseal/pki/signature.h>

#define MESSAGE SPAN("link and policy", 15)

typedef struct Signed {
        EVP_PKEY *key;
        Encoder spki, signature;
} Signed;

static void signed_done(Signed *s) {
        EVP_PKEY_free(s->key);
        encoder_done(&s->spki);
        encoder_done(&s->signature);
}

static void sign(Signed *ret) {
        RsError err = RS_ERROR_INIT;
        uint8_t digest[32];

        *ret = (Signed){ .key = EVP_EC_gen("P-256") };
        assert_int_equal(signature_spki(ret->key, &ret->spki, digest, &err), 0);
        assert_int_equal(signature_sign(ret->key, MESSAGE, &ret->signature, &err), 0);
}

static RsReason verdict(Span spki, Span message, Span signature) {
        RsError err = RS_ERROR_INIT;
        int r = signature_verify(spki, message, signature, &err);

        assert_int_equal(r, err.reason == RS_REASON_NONE ? 0 : -rs_reason_errno(err.reason));
        return err.reason;
}

static void signature_of_the_key_is_good_and_of_no_other(void **state) {
        _cleanup_(signed_done) Signed one = { 0 }, two = { 0 };

        (void) state;
        sign(&one);
        sign(&two);
        assert_int_equal(verdict(encoder_view(&one.spki), MESSAGE, encoder_view(&one.signature)), RS_REASON_NONE);
        assert_int_equal(verdict(encoder_view(&one.spki), MESSAGE, encoder_view(&two.signature)), RS_REASON_SIGNATURE);
        assert_int_equal(verdict(encoder_view(&one.spki), SPAN("link and policx", 15), encoder_view(&one.signature)),
                         RS_REASON_SIGNATURE);
        assert_int_equal(verdict(encoder_view(&one.spki), SPAN_NULL, encoder_view(&one.signature)), RS_REASON_SIGNATURE);
        assert_int_equal(verdict(encoder_view(&one.spki), MESSAGE, SPAN_NULL), RS_REASON_SIGNATURE);
}

static void every_flipped_bit_of_a_signature_is_refused(void **state) {
        _cleanup_(signed_done) Signed one = { 0 };

        (void) state;
        sign(&one);
        for (size_t i = 0; i < 8 * one.signature.size; i++) {
                one.signature.data[i / 8] ^= (uint8_t) (1u << (i % 8));
                assert_int_equal(verdict(encoder_view(&one.spki), MESSAGE, encoder_view(&one.signature)),
                                 RS_REASON_SIGNATURE);
                one.signature.data[i / 8] ^= (uint8_t) (1u << (i % 8));
        }
        for (size_t n = 0; n < one.signature.size; n++)
                assert_int_equal(verdict(encoder_view(&one.spki), MESSAGE, SPAN(one.signature.data, n)),
                                 RS_REASON_SIGNATURE);
        encoder_u8(&one.signature, 0);
        assert_int_equal(verdict(encoder_view(&one.spki), MESSAGE, encoder_view(&one.signature)), RS_REASON_SIGNATURE);
        encoder_zeros(&one.signature, 100);
        assert_int_equal(verdict(encoder_view(&one.spki), MESSAGE, encoder_view(&one.signature)), RS_REASON_SIGNATURE);
}

/* Other spellings of the same key would have other hashes: a used key could come back as a new one (ChainReuse). */
static void one_key_has_one_spelling(void **state) {
        _cleanup_(signed_done) Signed one = { 0 };
        static const char *const formats[] = { "compressed", "hybrid" };
        unsigned char *der = NULL;
        int size;

        (void) state;
        sign(&one);
        assert_int_equal(one.spki.size, 91);
        for (size_t i = 0; i < ELEMENTSOF(formats); i++) {
                assert_int_equal(EVP_PKEY_set_utf8_string_param(one.key, OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT,
                                                                formats[i]), 1);
                der = NULL;
                size = i2d_PUBKEY(one.key, &der);
                assert_true(size > 0 && (i > 0 || (size_t) size != one.spki.size));
                assert_int_equal(verdict(SPAN(der, (size_t) size), MESSAGE, encoder_view(&one.signature)),
                                 RS_REASON_ALGORITHM);
                OPENSSL_free(der);
        }
}

static void bytes_that_are_no_key_are_refused(void **state) {
        _cleanup_(signed_done) Signed one = { 0 };
        RsError err = RS_ERROR_INIT;
        uint8_t point[65];

        (void) state;
        sign(&one);
        assert_int_equal(signature_point(encoder_view(&one.spki), point, &err), 0);
        assert_memory_equal(point, one.spki.data + 26, 65);
        for (size_t n = 0; n < one.spki.size; n += 5)
                assert_int_equal(verdict(SPAN(one.spki.data, n), MESSAGE, encoder_view(&one.signature)),
                                 RS_REASON_CERTIFICATE);
        one.spki.data[60] ^= 1; /* not on the curve */
        assert_int_equal(verdict(encoder_view(&one.spki), MESSAGE, encoder_view(&one.signature)), RS_REASON_CERTIFICATE);
        assert_true(signature_point(encoder_view(&one.spki), point, &err) < 0);
        one.spki.data[60] ^= 1;
        encoder_u8(&one.spki, 0);
        assert_int_equal(verdict(encoder_view(&one.spki), MESSAGE, encoder_view(&one.signature)), RS_REASON_CERTIFICATE);
        encoder_zeros(&one.spki, 65536);
        assert_int_equal(verdict(encoder_view(&one.spki), MESSAGE, encoder_view(&one.signature)), RS_REASON_CERTIFICATE);
}

static void check_key_refused(EVP_PKEY *key) {
        _cleanup_(encoder_done) Encoder out = ENCODER_INIT;
        _cleanup_(signed_done) Signed one = { 0 };
        RsError err = RS_ERROR_INIT;
        unsigned char *der = NULL;
        uint8_t digest[32];
        int size;

        sign(&one);
        assert_non_null(key);
        assert_true(signature_sign(key, MESSAGE, &out, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_ALGORITHM);
        err = RS_ERROR_INIT;
        assert_true(signature_spki(key, &out, digest, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_ALGORITHM);
        assert_int_equal(out.size, 0);
        size = i2d_PUBKEY(key, &der);
        assert_true(size > 0);
        assert_int_equal(verdict(SPAN(der, (size_t) size), MESSAGE, encoder_view(&one.signature)), RS_REASON_ALGORITHM);
        OPENSSL_free(der);
}

static void other_kinds_of_keys_are_refused(void **state) {
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *p384 = EVP_EC_gen("P-384"), *k256 = EVP_EC_gen("secp256k1"),
                                           *rsa = EVP_RSA_gen(2048), *ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *p256 = EVP_EC_gen("P-256");

        (void) state;
        check_key_refused(p384);
        check_key_refused(k256);
        check_key_refused(rsa);
        check_key_refused(ed);
        assert_int_equal(EVP_PKEY_set_utf8_string_param(p256, OSSL_PKEY_PARAM_EC_ENCODING, "explicit"), 1);
        check_key_refused(p256);
}

static void key_that_cannot_sign_says_so(void **state) {
        _cleanup_(encoder_done) Encoder out = ENCODER_INIT;
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *public = NULL;
        _cleanup_(signed_done) Signed one = { 0 };
        RsError err = RS_ERROR_INIT;
        const unsigned char *p;

        (void) state;
        sign(&one);
        p = one.spki.data;
        public = d2i_PUBKEY(NULL, &p, (long) one.spki.size);
        assert_true(signature_sign(public, MESSAGE, &out, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_SIGNATURE);
        assert_int_equal(out.size, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(signature_of_the_key_is_good_and_of_no_other),
                cmocka_unit_test(every_flipped_bit_of_a_signature_is_refused),
                cmocka_unit_test(one_key_has_one_spelling),
                cmocka_unit_test(bytes_that_are_no_key_are_refused),
                cmocka_unit_test(other_kinds_of_keys_are_refused),
                cmocka_unit_test(key_that_cannot_sign_says_so),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
