/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * AES-256-XTS against an own XTS made of AES-ECB calls, which itself is checked against IEEE Std 1619 vector 10:
 * the data unit is 4096 bytes, its IV counts 512-byte units (aes-xts-plain64 of dm-crypt).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <string.h>

#include <openssl/evp.h>

#include <reseal/base/text.h>
#include <reseal/crypto/xts.h>
#include <reseal/format/limits.h>

#define KEY1 "2718281828459045235360287471352662497757247093699959574966967627"
#define KEY2 "3141592653589793238462643383279502884197169399375105820974944592"

static uint8_t key_bytes[64];

static Secret *key(void) {
        Secret *s = secret_new(64);

        assert_non_null(s);
        assert_int_equal(hex_decode(KEY1 KEY2, secret_bytes_mut(s), 64), 0);
        memcpy(key_bytes, secret_bytes(s), 64);
        return s;
}

static void ecb(const uint8_t k[32], const uint8_t in[16], uint8_t out[16]) {
        EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
        int n;

        assert_int_equal(EVP_EncryptInit_ex(ctx, EVP_aes_256_ecb(), NULL, k, NULL), 1);
        assert_int_equal(EVP_CIPHER_CTX_set_padding(ctx, 0), 1);
        assert_int_equal(EVP_EncryptUpdate(ctx, out, &n, in, 16), 1);
        EVP_CIPHER_CTX_free(ctx);
}

/* XTS by the book, for one data unit. */
static void xts_by_hand(uint64_t unit, const uint8_t *in, uint8_t *out, size_t size) {
        uint8_t tweak[16] = { 0 }, block[16];

        for (unsigned i = 0; i < 8; i++)
                tweak[i] = (uint8_t) (unit >> (8 * i));
        ecb(key_bytes + 32, tweak, tweak);
        for (size_t at = 0; at < size; at += 16) {
                unsigned carry = 0;

                for (unsigned i = 0; i < 16; i++)
                        block[i] = in[at + i] ^ tweak[i];
                ecb(key_bytes, block, block);
                for (unsigned i = 0; i < 16; i++)
                        out[at + i] = block[i] ^ tweak[i];
                for (unsigned i = 0; i < 16; i++) {
                        unsigned v = (unsigned) tweak[i] << 1 | carry;

                        tweak[i] = (uint8_t) v;
                        carry = v >> 8;
                }
                if (carry)
                        tweak[0] ^= 0x87;
        }
}

static void fill(uint8_t *data, size_t size) {
        for (size_t i = 0; i < size; i++)
                data[i] = (uint8_t) (i * 7 + i / 256);
}

static void the_reference_matches_ieee_1619_vector_10(void **state) {
        _cleanup_(secret_freep) Secret *k = key(); /* fills key_bytes */
        uint8_t in[32], out[32], expected[32];

        (void) state;
        assert_int_equal(secret_size(k), sizeof(key_bytes));
        for (unsigned i = 0; i < sizeof(in); i++)
                in[i] = (uint8_t) i;
        assert_int_equal(hex_decode("1c3b3a102f770386e4836c99e370cf9bea00803f5e482357a4ae12d414a3e63b",
                                    expected, 32),
                         0);
        xts_by_hand(0xff, in, out, sizeof(in));
        assert_memory_equal(out, expected, sizeof(expected));
}

static void units_are_4096_bytes_and_the_iv_counts_512(void **state) {
        static const uint64_t offsets[] = { 0, 4096, 512u * 1024, 1ull << 34, 1ull << 44 };
        _cleanup_(secret_freep) Secret *k = key();
        _cleanup_(xts_freep) Xts *x = NULL;
        uint8_t in[3 * RS_BLOCK_SIZE], out[3 * RS_BLOCK_SIZE], expected[RS_BLOCK_SIZE];
        RsError err = RS_ERROR_INIT;

        (void) state;
        fill(in, sizeof(in));
        assert_int_equal(xts_new(k, &x, &err), 0);
        for (unsigned i = 0; i < ELEMENTSOF(offsets); i++) {
                assert_int_equal(xts_encrypt(x, offsets[i], in, out, sizeof(in), &err), 0);
                for (unsigned u = 0; u < 3; u++) {
                        xts_by_hand(offsets[i] / 512 + 8 * u, in + u * RS_BLOCK_SIZE, expected,
                                    RS_BLOCK_SIZE);
                        assert_memory_equal(out + u * RS_BLOCK_SIZE, expected, RS_BLOCK_SIZE);
                }
        }
}

static void decryption_undoes_encryption_also_in_place(void **state) {
        _cleanup_(secret_freep) Secret *k = key();
        _cleanup_(xts_freep) Xts *x = NULL;
        uint8_t in[4 * RS_BLOCK_SIZE], work[4 * RS_BLOCK_SIZE];
        RsError err = RS_ERROR_INIT;

        (void) state;
        fill(in, sizeof(in));
        memcpy(work, in, sizeof(in));
        assert_int_equal(xts_new(k, &x, &err), 0);
        assert_int_equal(xts_encrypt(x, 8192, work, work, sizeof(work), &err), 0);
        assert_memory_not_equal(work, in, sizeof(in));
        /* One unit out of order, then all. */
        assert_int_equal(xts_decrypt(x, 8192 + 8192, work + 8192, work + 8192, RS_BLOCK_SIZE, &err), 0);
        assert_memory_equal(work + 8192, in + 8192, RS_BLOCK_SIZE);
        assert_int_equal(xts_encrypt(x, 8192 + 8192, work + 8192, work + 8192, RS_BLOCK_SIZE, &err), 0);
        assert_int_equal(xts_decrypt(x, 8192, work, work, sizeof(work), &err), 0);
        assert_memory_equal(work, in, sizeof(in));
        assert_int_equal(xts_encrypt(x, 0, NULL, NULL, 0, &err), 0);
}

static void keys_of_another_size_or_with_equal_halves_are_refused(void **state) {
        _cleanup_(secret_freep) Secret *shorter = secret_new_random(32), *equal = secret_new(64);
        Xts *x = NULL;
        RsError err = RS_ERROR_INIT;

        (void) state;
        assert_true(xts_new(shorter, &x, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_INTERNAL);
        err = RS_ERROR_INIT;
        assert_true(xts_new(equal, &x, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_INTERNAL);
        assert_null(x);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_reference_matches_ieee_1619_vector_10),
                cmocka_unit_test(units_are_4096_bytes_and_the_iv_counts_512),
                cmocka_unit_test(decryption_undoes_encryption_also_in_place),
                cmocka_unit_test(keys_of_another_size_or_with_equal_halves_are_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
