/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* AES-256-GCM and HKDF against published vectors; labels, nonces and additional data of format-bundle 5. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include <reseal/base/text.h>
#include <reseal/crypto/aead.h>

static Secret *secret_of(const char *hex) {
        Secret *s = secret_new(strlen(hex) / 2);

        assert_non_null(s);
        assert_int_equal(hex_decode(hex, secret_bytes_mut(s), secret_size(s)), 0);
        return s;
}

static void bytes_of(const char *hex, uint8_t *ret) {
        assert_int_equal(hex_decode(hex, ret, strlen(hex) / 2), 0);
}

static void expect_hex(Span bytes, const char *hex) {
        char text[512];

        assert_true(HEX_SIZE(bytes.size) <= sizeof(text));
        hex_encode(bytes, text);
        assert_string_equal(text, hex);
}

/* Test case 16 of the GCM specification (McGrew, Viega). */
static void gcm_matches_its_specification(void **state) {
        _cleanup_(secret_freep) Secret *k =
                        secret_of("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308");
        _cleanup_(aead_freep) Aead *a = NULL;
        uint8_t nonce[12], aad[20], plain[60], sealed[60 + RS_TAG_SIZE], again[60];
        RsError err = RS_ERROR_INIT;

        (void) state;
        bytes_of("cafebabefacedbaddecaf888", nonce);
        bytes_of("feedfacedeadbeeffeedfacedeadbeefabaddad2", aad);
        bytes_of("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a"
                 "6b525"
                 "b16aedf5aa0de657ba637b39",
                 plain);
        assert_int_equal(aead_new(k, &a, &err), 0);
        assert_int_equal(aead_seal(a, nonce, SPAN_ARRAY(aad), SPAN_ARRAY(plain), sealed, &err), 0);
        expect_hex(SPAN_ARRAY(sealed), "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08"
                                       "e48590dbb3da7b08b1056828838"
                                       "c5f61e6393ba7a0abcc9f662"
                                       "76fc6ece0f4e1768cddf8853bb2d551b");
        assert_int_equal(aead_open(a, nonce, SPAN_ARRAY(aad), SPAN_ARRAY(sealed), again, &err), 0);
        assert_memory_equal(again, plain, sizeof(plain));
}

static void expect_not_opened(Aead *a, const uint8_t nonce[12], Span aad, Span sealed) {
        uint8_t out[256], zeros[256] = { 0 };
        RsError err = RS_ERROR_INIT;

        memset(out, 0x5a, sizeof(out));
        assert_true(aead_open(a, nonce, aad, sealed, out, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_DECRYPT);
        if (sealed.size > RS_TAG_SIZE)
                assert_memory_equal(out, zeros, sealed.size - RS_TAG_SIZE);
}

static void each_change_is_found_and_nothing_is_given_out(void **state) {
        _cleanup_(secret_freep) Secret *k = secret_new_random(32), *other = secret_new_random(32);
        _cleanup_(aead_freep) Aead *a = NULL, *b = NULL;
        uint8_t nonce[12] = { 1 }, wrong[12] = { 2 }, plain[100], sealed[116], aad[8] = { 3 };
        RsError err = RS_ERROR_INIT;

        (void) state;
        memset(plain, 7, sizeof(plain));
        assert_int_equal(aead_new(k, &a, &err), 0);
        assert_int_equal(aead_new(other, &b, &err), 0);
        assert_int_equal(aead_seal(a, nonce, SPAN_ARRAY(aad), SPAN_ARRAY(plain), sealed, &err), 0);
        for (unsigned i = 0; i < sizeof(sealed); i++) {
                sealed[i] ^= 1;
                expect_not_opened(a, nonce, SPAN_ARRAY(aad), SPAN_ARRAY(sealed));
                sealed[i] ^= 1;
        }
        expect_not_opened(a, wrong, SPAN_ARRAY(aad), SPAN_ARRAY(sealed));
        expect_not_opened(b, nonce, SPAN_ARRAY(aad), SPAN_ARRAY(sealed));
        expect_not_opened(a, nonce, SPAN(aad, 7), SPAN_ARRAY(sealed));
        expect_not_opened(a, nonce, SPAN_ARRAY(aad), SPAN(sealed, 115));
        expect_not_opened(a, nonce, SPAN_ARRAY(aad), SPAN(sealed, 15));
        /* The context still works afterwards, in place too. */
        assert_int_equal(aead_open(a, nonce, SPAN_ARRAY(aad), SPAN_ARRAY(sealed), sealed, &err), 0);
        assert_memory_equal(sealed, plain, sizeof(plain));
}

static void an_empty_message_has_a_tag_only(void **state) {
        _cleanup_(secret_freep) Secret *k = secret_new_random(32);
        _cleanup_(aead_freep) Aead *a = NULL;
        uint8_t nonce[12] = { 0 }, sealed[RS_TAG_SIZE], nothing[1];
        RsError err = RS_ERROR_INIT;

        (void) state;
        assert_int_equal(aead_new(k, &a, &err), 0);
        assert_int_equal(aead_seal(a, nonce, SPAN_NULL, SPAN_NULL, sealed, &err), 0);
        assert_int_equal(aead_open(a, nonce, SPAN_NULL, SPAN_ARRAY(sealed), nothing, &err), 0);
        sealed[0] ^= 1;
        expect_not_opened(a, nonce, SPAN_NULL, SPAN_ARRAY(sealed));
}

static void a_key_of_another_size_is_refused(void **state) {
        _cleanup_(secret_freep) Secret *k = secret_new_random(16);
        Aead *a = NULL;
        RsError err = RS_ERROR_INIT;

        (void) state;
        assert_true(aead_new(k, &a, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_INTERNAL);
}

static void hkdf_matches_rfc_5869(void **state) {
        _cleanup_(secret_freep) Secret *ikm = secret_of("0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"),
                                       *okm = NULL, *okm3 = NULL;
        uint8_t salt[13], info[10];
        RsError err = RS_ERROR_INIT;

        (void) state;
        bytes_of("000102030405060708090a0b0c", salt);
        bytes_of("f0f1f2f3f4f5f6f7f8f9", info);
        assert_int_equal(hkdf_sha256(ikm, SPAN_ARRAY(salt), SPAN_ARRAY(info), 42, &okm, &err), 0);
        expect_hex(secret_span(okm),
                   "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
        assert_int_equal(hkdf_sha256(ikm, SPAN_NULL, SPAN_NULL, 42, &okm3, &err), 0); /* test case 3 */
        expect_hex(secret_span(okm3),
                   "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8");
}

static void keys_differ_by_bundle_image_and_purpose(void **state) {
        _cleanup_(secret_freep) Secret *content = secret_new(32), *info_key = NULL;
        uint8_t ids[2][32] = { { 1 }, { 2 } };
        Secret *keys[8];
        RsError err = RS_ERROR_INIT;

        (void) state;
        for (unsigned i = 0; i < 4; i++) {
                assert_int_equal(bundle_table_key(content, ids[i / 2], i % 2, &keys[i], &err), 0);
                assert_int_equal(bundle_frames_key(content, ids[i / 2], i % 2, &keys[4 + i], &err), 0);
        }
        for (unsigned i = 0; i < 8; i++)
                for (unsigned k = 0; k < i; k++)
                        assert_false(secret_equal(keys[i], keys[k]));
        assert_int_equal(hkdf_sha256(content, SPAN_ARRAY(ids[0]), SPAN("reseal frames\0\0\0\1", 17), 32,
                                     &info_key, &err),
                         0);
        assert_true(secret_equal(info_key, keys[5]));
        for (unsigned i = 0; i < 8; i++)
                keys[i] = secret_free(keys[i]);
}

static void nonces_and_additional_data_have_their_places(void **state) {
        uint8_t id[32], table[TABLE_AAD_SIZE], frame[FRAME_AAD_SIZE], nonce[12];

        (void) state;
        memset(id, 0xee, sizeof(id));
        bundle_table_aad(id, 0x01020304, table);
        assert_memory_equal(table, id, 32);
        assert_memory_equal(table + 32, "\1\2\3\4", 4);
        bundle_frame_aad(id, 0x01020304, 0x1122334455667788, 0xa1b2c3d4, frame);
        assert_memory_equal(frame, id, 32);
        assert_memory_equal(frame + 32, "\1\2\3\4\x11\x22\x33\x44\x55\x66\x77\x88\xa1\xb2\xc3\xd4", 16);
        bundle_frame_nonce(0x1122334455667788, nonce);
        assert_memory_equal(nonce, "\0\0\0\0\x11\x22\x33\x44\x55\x66\x77\x88", 12);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(gcm_matches_its_specification),
                cmocka_unit_test(each_change_is_found_and_nothing_is_given_out),
                cmocka_unit_test(an_empty_message_has_a_tag_only),
                cmocka_unit_test(a_key_of_another_size_is_refused),
                cmocka_unit_test(hkdf_matches_rfc_5869),
                cmocka_unit_test(keys_differ_by_bundle_image_and_purpose),
                cmocka_unit_test(nonces_and_additional_data_have_their_places),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
