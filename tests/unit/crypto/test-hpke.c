/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* HPKE against RFC 9180 appendix A.3.1 (same KEM and key schedule, AES-128-GCM) and a foreign AES-256-GCM message. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/core_names.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/text.h>
#include <reseal/crypto/hpke.h>
#include <reseal/crypto/ossl-cleanup.h>

#include "hpke-schedule.h"

#define INFO "4f6465206f6e2061204772656369616e2055726e"
#define SK_R "f3ce7fdae57e1a310d87f1ebbde6f328be0a99cdbcadf4d6589cf29de4b8ffd2"
#define PK_R "04fe8c19ce0905191ebc298a9245792531f26f0cece2460639e8bc39cb7f706a826a779b4cf969b8a0e539c7f62fb3d30ad6aa8f80e3" \
             "0f1d128aafd68a2ce72ea0"

static size_t hex(const char *text, uint8_t *ret) {
        assert_int_equal(hex_decode(text, ret, strlen(text) / 2), 0);
        return strlen(text) / 2;
}

/* ECDH of a private scalar with a point: what the TPM does in the product. */
static Secret *exchange(const char *scalar, const uint8_t own[65], const uint8_t peer[65]) {
        _cleanup_(OSSL_PARAM_BLD_freep) OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
        _cleanup_(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *make = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL), *ctx = NULL;
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL, *other = NULL;
        _cleanup_(OSSL_PARAM_freep) OSSL_PARAM *params = NULL;
        _cleanup_(BN_clear_freep) BIGNUM *d = NULL;
        Secret *z = secret_new(32);
        size_t n = 32;

        assert_true(BN_hex2bn(&d, scalar) > 0);
        assert_true(OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) &&
                    OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, own, 65) &&
                    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_PRIV_KEY, d));
        params = OSSL_PARAM_BLD_to_param(build);
        assert_true(EVP_PKEY_fromdata_init(make) == 1 && EVP_PKEY_fromdata(make, &key, EVP_PKEY_KEYPAIR, params) == 1);
        other = EVP_PKEY_new();
        assert_true(EVP_PKEY_copy_parameters(other, key) == 1 &&
                    EVP_PKEY_set1_encoded_public_key(other, peer, 65) == 1);
        ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
        assert_true(EVP_PKEY_derive_init(ctx) == 1 && EVP_PKEY_derive_set_peer(ctx, other) == 1 &&
                    EVP_PKEY_derive(ctx, secret_bytes_mut(z), &n) == 1);
        return z;
}

static void shared_secret_and_key_schedule_are_those_of_rfc_9180_a_3_1(void **state) {
        _cleanup_(secret_freep) Secret *z = NULL, *shared = NULL, *key = NULL;
        uint8_t pk[65], enc[65], info[32], want[32], nonce[12];
        RsError err = RS_ERROR_INIT;
        size_t n_info;

        (void) state;
        (void) hex(PK_R, pk);
        (void) hex("04a92719c6195d5085104f469a8b9814d5838ff72b60501e2c4466e5e67b325ac98536d7b61a1af4b78e5b7f951c0900be86"
                   "3c403ce65c9bfcb9382657222d18c4", enc);
        n_info = hex(INFO, info);
        z = exchange(SK_R, pk, enc);
        assert_int_equal(hpke_shared_secret(z, pk, enc, &shared, &err), 0);
        (void) hex("c0d26aeab536609a572b07695d933b589dcf363ff9d93c93adea537aeabb8cb8", want);
        assert_memory_equal(secret_bytes(shared), want, 32);
        assert_int_equal(hpke_schedule(shared, SPAN(info, n_info), HPKE_AEAD_AES_128_GCM, &key, nonce, &err), 0);
        (void) hex("868c066ef58aae6dc589b6cfdd18f97e", want);
        assert_int_equal(secret_size(key), 16);
        assert_memory_equal(secret_bytes(key), want, 16);
        (void) hex("4e0bc5018beba4bf004cca59", want);
        assert_memory_equal(nonce, want, 12);
}

/* Sealed by the HPKE of python-cryptography 48, for the key of A.3.1: bytes 0 to 31 with A.3.1's info. */
static void foreign_aes_256_message_is_opened(void **state) {
        uint8_t pk[65], enc[65], info[32], ct[48], z_want[32];
        _cleanup_(secret_freep) Secret *z = NULL, *plain = NULL;
        RsError err = RS_ERROR_INIT;
        size_t n_info;

        (void) state;
        (void) hex(PK_R, pk);
        (void) hex("048f47b14b9e12bd53f72749d05587582afa8f079e11576b46af49b34799f415f50b5742aeab07f8d39408df6956d8b7dbb8"
                   "3870c115d868e9acade0fc39fbddad", enc);
        (void) hex("65343d5401ee2ce6fec1c8309c4c3da02280fd116eb4f826073962ac6de2cc2f1d23b7a9a11c292e5c26fe33f7c72d9f", ct);
        (void) hex("4d52cd71de711d1b1e79d0d87511443df46de04269167efe37a56c75a9356273", z_want);
        n_info = hex(INFO, info);
        z = exchange(SK_R, pk, enc);
        assert_memory_equal(secret_bytes(z), z_want, 32);
        assert_int_equal(hpke_open_with_z(z, pk, enc, SPAN(info, n_info), SPAN_NULL, SPAN_ARRAY(ct), &plain, &err), 0);
        assert_int_equal(secret_size(plain), 32);
        for (uint8_t i = 0; i < 32; i++)
                assert_int_equal(secret_bytes(plain)[i], i);
}

static void sealed_message_opens_once_everything_agrees(void **state) {
        _cleanup_(secret_freep) Secret *key = secret_new_random(32);
        uint8_t pk[65], enc[65], other_enc[65], ct[48], other_ct[48];
        RsError err = RS_ERROR_INIT;

        (void) state;
        (void) hex(PK_R, pk);
        assert_int_equal(hpke_seal(pk, SPAN("info", 4), SPAN("aad", 3), key, enc, ct, &err), 0);
        assert_int_equal(hpke_seal(pk, SPAN("info", 4), SPAN("aad", 3), key, other_enc, other_ct, &err), 0);
        assert_memory_not_equal(enc, other_enc, sizeof(enc)); /* fresh each time */

        for (int wrong = 0; wrong < 6; wrong++) {
                _cleanup_(secret_freep) Secret *z = exchange(SK_R, pk, enc), *plain = NULL;
                Span info = SPAN(wrong == 1 ? "inf0" : "info", 4), aad = SPAN("aad", wrong == 2 ? 2 : 3);
                const uint8_t *point = wrong == 3 ? other_enc : enc;
                int r;

                err = RS_ERROR_INIT;
                if (wrong == 4)
                        secret_bytes_mut(z)[0] ^= 1;
                if (wrong == 5)
                        ct[17] ^= 1;
                r = hpke_open_with_z(z, pk, point, info, aad, SPAN_ARRAY(ct), &plain, &err);
                if (wrong == 0) {
                        assert_int_equal(r, 0);
                        assert_true(secret_equal(plain, key));
                } else {
                        assert_true(r < 0);
                        assert_int_equal(err.reason, RS_REASON_DECRYPT);
                        assert_null(plain);
                }
        }
}

/* T: an invalid point would let its sender learn the private key bit by bit, if anything were computed with it. */
static void points_off_the_curve_are_refused(void **state) {
        _cleanup_(secret_freep) Secret *key = secret_new_random(32), *z = secret_new_random(32);
        uint8_t pk[65], bad[65], enc[65] = { 0 }, ct[48] = { 0 };

        (void) state;
        (void) hex(PK_R, pk);
        for (int i = 0; i < 6; i++) {
                _cleanup_(secret_freep) Secret *plain = NULL;
                RsError err = RS_ERROR_INIT;

                memcpy(bad, pk, sizeof(bad));
                switch (i) {
                case 0: bad[64] ^= 1; break;                        /* off the curve */
                case 1: memset(bad + 1, 0, 64); break;
                case 2: memset(bad, 0, 65); break;                  /* the point at infinity, padded */
                case 3: bad[0] = (uint8_t) (6 + (bad[64] & 1)); break; /* hybrid form of a good point */
                case 4: memset(bad + 1, 0xff, 32); break;           /* coordinate not below p */
                default: bad[0] = 2; break;                         /* compressed, and too long */
                }
                assert_true(hpke_seal(bad, SPAN_NULL, SPAN_NULL, key, enc, ct, &err) < 0);
                assert_int_equal(err.reason, RS_REASON_TICKET);
                err = RS_ERROR_INIT;
                assert_true(hpke_open_with_z(z, pk, bad, SPAN_NULL, SPAN_NULL, SPAN_ARRAY(ct), &plain, &err) < 0);
                assert_int_equal(err.reason, RS_REASON_TICKET);
        }
}

static void short_messages_and_results_of_another_size_are_refused(void **state) {
        _cleanup_(secret_freep) Secret *z = secret_new_random(32), *z31 = secret_new_random(31), *plain = NULL;
        RsError err = RS_ERROR_INIT;
        uint8_t pk[65], ct[48] = { 0 };

        (void) state;
        (void) hex(PK_R, pk);
        assert_true(hpke_open_with_z(z, pk, pk, SPAN_NULL, SPAN_NULL, SPAN(ct, 15), &plain, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_DECRYPT);
        err = RS_ERROR_INIT;
        assert_true(hpke_open_with_z(z31, pk, pk, SPAN_NULL, SPAN_NULL, SPAN_ARRAY(ct), &plain, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_INTERNAL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(shared_secret_and_key_schedule_are_those_of_rfc_9180_a_3_1),
                cmocka_unit_test(foreign_aes_256_message_is_opened),
                cmocka_unit_test(sealed_message_opens_once_everything_agrees),
                cmocka_unit_test(points_off_the_curve_are_refused),
                cmocka_unit_test(short_messages_and_results_of_another_size_are_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
