/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * slot/token: what is encoded parses back, and nothing else parses.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <reseal/base/cleanup.h>
#include <reseal/slot/data.h>
#include <reseal/slot/volume.h>

static TpmSealed sealed = { .blob_size = 240, .nv_index = TPM_NV_FLOOR, .floor_max = 41 };
static uint8_t bundle_id[32];

static int setup(void **state) {
        (void) state;
        for (unsigned i = 0; i < sealed.blob_size; i++)
                sealed.blob[i] = (uint8_t) (i * 7);
        for (unsigned i = 0; i < sizeof(sealed.srk_name); i++)
                sealed.srk_name[i] = (uint8_t) (i + 100);
        for (unsigned i = 0; i < sizeof(bundle_id); i++)
                bundle_id[i] = (uint8_t) (200 - i);
        return 0;
}

static char *encoded(void) {
        RsError err = RS_ERROR_INIT;
        char *json = NULL;

        assert_int_equal(slot_token_encode(&sealed, bundle_id, &json, &err), 0);
        return json;
}

static void a_token_parses_back_to_what_was_encoded(void **state) {
        _cleanup_(freep) char *json = encoded();
        RsError err = RS_ERROR_INIT;
        uint8_t id[32];
        TpmSealed s;

        (void) state;
        assert_int_equal(slot_token_parse(json, &s, id, &err), 0);
        assert_int_equal(s.blob_size, sealed.blob_size);
        assert_memory_equal(s.blob, sealed.blob, s.blob_size);
        assert_memory_equal(s.srk_name, sealed.srk_name, sizeof(s.srk_name));
        assert_int_equal(s.nv_index, TPM_NV_FLOOR);
        assert_int_equal(s.floor_max, 41);
        assert_memory_equal(id, bundle_id, sizeof(id));
}

static void the_largest_blob_and_limit_parse(void **state) {
        TpmSealed big = sealed, s;
        _cleanup_(freep) char *json = NULL;
        RsError err = RS_ERROR_INIT;
        uint8_t id[32];

        (void) state;
        big.blob_size = TPM_SEALED_BLOB_MAX;
        big.floor_max = UINT64_MAX;
        assert_int_equal(slot_token_encode(&big, bundle_id, &json, &err), 0);
        assert_int_equal(slot_token_parse(json, &s, id, &err), 0);
        assert_int_equal(s.blob_size, TPM_SEALED_BLOB_MAX);
        assert_true(s.floor_max == UINT64_MAX);

        big.blob_size = TPM_SEALED_BLOB_MAX + 1;
        assert_true(slot_token_encode(&big, bundle_id, &json, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_INTERNAL);
}

/* Each member changed or removed, one after the other. */
static void a_token_with_anything_else_is_refused(void **state) {
        static const char *const changes[][2] = {
                { "\"reseal\"", "\"luks2-keyring\"" },
                { "\"format\":\"1\"", "\"format\":\"2\"" },
                { "\"format\":\"1\"", "\"format\":1" },
                { "[\"0\"]", "[]" },
                { "[\"0\"]", "[\"0\",\"1\"]" },
                { "[\"0\"]", "[0]" },
                { "\"blob\":\"00", "\"blob\":\"0" },
                { "\"blob\":\"00", "\"blob\":\"0g" },
                { "\"srk\":\"64", "\"srk\":\"" },
                { "0x01800200", "0x1800200" },
                { "0x01800200", "01800200" },
                { "\"41\"", "\"-1\"" },
                { "\"41\"", "\"041\"" },
                { "\"41\"", "\"18446744073709551616\"" },
                { "\"41\"", "41" },
                { "\"bundle\":\"c8", "\"bundle\":\"C8" },
                { "\"bundle\"", "\"Bundle\"" },
                { "{\"type\"", "{\"more\":\"1\",\"type\"" },
                { "{\"type\"", "{\"type\":\"reseal\",\"type\"" },
                { "{\"type\"", "[\"type\"" },
        };
        _cleanup_(freep) char *json = encoded();

        (void) state;
        for (unsigned i = 0; i < ELEMENTSOF(changes); i++) {
                const char *at = strstr(json, changes[i][0]);
                _cleanup_(freep) char *changed = NULL;
                RsError err = RS_ERROR_INIT;
                uint8_t id[32];
                TpmSealed s;

                assert_non_null(at);
                assert_true(asprintf(&changed, "%.*s%s%s", (int) (at - json), json, changes[i][1],
                                     at + strlen(changes[i][0])) > 0);
                if (slot_token_parse(changed, &s, id, &err) >= 0)
                        fail_msg("accepted: %s", changes[i][1]);
                assert_int_equal(err.reason, RS_REASON_VOLUME);
        }
}

static void a_data_token_parses_back_and_is_never_taken_for_a_slots(void **state) {
        static const char *const changes[][2] = {
                { "\"format\":\"2\"", "\"format\":\"1\"" },
                { "\"format\":\"2\"", "\"format\":\"3\"" },
                { "\"format\"", "\"floor\":\"1\",\"format\"" },
                { "\"srk\":\"64", "\"srk\":\"" },
                { "\"blob\":\"00", "\"blob\":\"0" },
        };
        TpmSealed data = { .any_floor = true, .blob_size = sealed.blob_size }, s = { 0 };
        _cleanup_(freep) char *json = NULL, *of_slot = encoded();
        RsError err = RS_ERROR_INIT;
        uint8_t id[32];

        (void) state;
        memcpy(data.blob, sealed.blob, sizeof(data.blob));
        memcpy(data.srk_name, sealed.srk_name, sizeof(data.srk_name));
        assert_int_equal(data_token_encode(&data, &json, &err), 0);
        assert_int_equal(data_token_parse(json, &s, &err), 0);
        assert_true(s.any_floor);
        assert_int_equal(s.nv_index, 0);
        assert_int_equal(s.blob_size, data.blob_size);
        assert_memory_equal(s.blob, data.blob, s.blob_size);
        assert_memory_equal(s.srk_name, data.srk_name, sizeof(s.srk_name));
        assert_true(slot_token_parse(json, &s, id, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_VOLUME);
        assert_true(data_token_parse(of_slot, &s, &err) < 0);
        for (unsigned i = 0; i < ELEMENTSOF(changes); i++) {
                const char *at = strstr(json, changes[i][0]);
                _cleanup_(freep) char *changed = NULL;

                assert_non_null(at);
                assert_true(asprintf(&changed, "%.*s%s%s", (int) (at - json), json, changes[i][1],
                                     at + strlen(changes[i][0])) > 0);
                assert_true(data_token_parse(changed, &s, &err) < 0);
        }
        err = RS_ERROR_INIT;
        freep(&of_slot);
        of_slot = NULL;
        assert_true(data_token_encode(&sealed, &of_slot, &err) < 0); /* has a limit: not of a data volume */
        assert_int_equal(err.reason, RS_REASON_INTERNAL);
}

static void a_token_too_long_is_refused(void **state) {
        _cleanup_(freep) char *long_text = malloc(9000);
        RsError err = RS_ERROR_INIT;
        uint8_t id[32];
        TpmSealed s;

        (void) state;
        memset(long_text, ' ', 8999);
        long_text[8999] = '\0';
        assert_true(slot_token_parse(long_text, &s, id, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_VOLUME);
}

static void the_passphrase_is_the_hexadecimal_text_without_an_end(void **state) {
        uint8_t bytes[32] = { 0x00, 0xff, 0x1a };
        _cleanup_(secret_freep) Secret *secret = secret_new_take(bytes, sizeof(bytes));
        _cleanup_(secret_freep) Secret *text = NULL;
        RsError err = RS_ERROR_INIT;

        (void) state;
        assert_int_equal(slot_passphrase(secret, &text, &err), 0);
        assert_int_equal(secret_size(text), 64);
        assert_memory_equal(secret_bytes(text), "00ff1a00", 8);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_token_parses_back_to_what_was_encoded),
                cmocka_unit_test(the_largest_blob_and_limit_parse),
                cmocka_unit_test(a_token_with_anything_else_is_refused),
                cmocka_unit_test(a_data_token_parses_back_and_is_never_taken_for_a_slots),
                cmocka_unit_test(a_token_too_long_is_refused),
                cmocka_unit_test(the_passphrase_is_the_hexadecimal_text_without_an_end),
        };

        return cmocka_run_group_tests(tests, setup, NULL);
}
