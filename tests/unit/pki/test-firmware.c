/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The place of a signer in the chain: one spelling, within its bounds, once and critical (S65 to S67). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/names.h>
#include <reseal/base/span.h>
#include <reseal/crypto/ossl-cleanup.h>
#include <reseal/pki/firmware.h>

static FirmwarePlace some_place(void) {
        FirmwarePlace place = { .line = "gateway-7", .epoch = 3, .index = 300 };

        memset(place.prev_spki, 0xab, sizeof(place.prev_spki));
        return place;
}

/* SEQUENCE { 1, "gateway-7", 3, 300, 32 bytes ab }, as docs/format-chain.md has it; byte 3 is the version. */
static const uint8_t good[] = {
        0x30, 0x37, 0x02, 0x01, 0x01, 0x0c, 0x09, 'g',  'a',  't',  'e',  'w',  'a',  'y',  '-',  '7',  0x02, 0x01, 0x03,
        0x02, 0x02, 0x01, 0x2c, 0x04, 0x20, 0xab, 0xab, 0xab, 0xab, 0xab, 0xab, 0xab, 0xab, 0xab, 0xab, 0xab, 0xab, 0xab,
        0xab, 0xab, 0xab, 0xab, 0xab, 0xab, 0xab, 0xab, 0xab, 0xab, 0xab, 0xab, 0xab, 0xab, 0xab, 0xab, 0xab, 0xab, 0xab,
};

static void add_raw(X509 *cert, Span value, int critical) {
        ASN1_OCTET_STRING *octets = ASN1_OCTET_STRING_new();
        ASN1_OBJECT *oid = OBJ_txt2obj(RS_OID_FIRMWARE, 1);
        X509_EXTENSION *extension;

        assert_int_equal(ASN1_OCTET_STRING_set(octets, value.data, (int) value.size), 1);
        extension = X509_EXTENSION_create_by_OBJ(NULL, oid, critical, octets);
        assert_int_equal(X509_add_ext(cert, extension, -1), 1);
        X509_EXTENSION_free(extension);
        ASN1_OBJECT_free(oid);
        ASN1_OCTET_STRING_free(octets);
}

static void check_bytes_refused(Span value, const char *what) {
        _cleanup_(X509_freep) X509 *cert = X509_new();
        FirmwarePlace place = { .epoch = 77 };
        RsError err = RS_ERROR_INIT;

        add_raw(cert, value, 1);
        if (firmware_place_get(cert, &place, &err) == 0 || err.reason != RS_REASON_CERTIFICATE)
                fail_msg("%s: %s (%s)", what, rs_reason_name(err.reason), err.text);
        assert_int_equal(place.epoch, 77);
}

static void place_is_encoded_byte_for_byte_and_read_back(void **state) {
        _cleanup_(X509_freep) X509 *cert = X509_new();
        const FirmwarePlace place = some_place();
        FirmwarePlace again;
        RsError err = RS_ERROR_INIT;
        X509_EXTENSION *extension;

        (void) state;
        assert_false(firmware_place_present(cert));
        assert_int_equal(firmware_place_set(cert, &place, &err), 0);
        assert_true(firmware_place_present(cert));
        extension = X509_get_ext(cert, 0);
        assert_int_equal(X509_EXTENSION_get_critical(extension), 1);
        assert_true(firmware_place_is(extension));
        assert_int_equal(ASN1_STRING_length(X509_EXTENSION_get_data(extension)), sizeof(good));
        assert_memory_equal(ASN1_STRING_get0_data(X509_EXTENSION_get_data(extension)), good, sizeof(good));
        assert_int_equal(firmware_place_get(cert, &again, &err), 0);
        assert_memory_equal(&again, &place, sizeof(place));
}

static void values_at_their_bounds_pass_and_beyond_do_not(void **state) {
        static const struct {
                const char *line;
                uint32_t epoch;
                uint64_t index;
                bool good;
        } cases[] = {
                { "a", 0, 1, true },
                { "a", INT32_MAX, INT64_MAX, true },
                { "a", (uint32_t) INT32_MAX + 1, 1, false },
                { "a", 0, (uint64_t) INT64_MAX + 1, false },
                { "a", 0, UINT64_MAX, false },
                { "a", 0, 0, false },
                { "", 0, 1, false },
                { "a b", 0, 1, false },
                { "a/b", 0, 1, false },
                { "\xc3\xa4", 0, 1, false },
                { "0123456789012345678901234567890123456789012345678901234567890123", 0, 1, true }, /* RS_NAME_MAX */
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(X509_freep) X509 *cert = X509_new();
                FirmwarePlace place = { .epoch = cases[i].epoch, .index = cases[i].index }, again;
                RsError err = RS_ERROR_INIT;

                memcpy(place.line, cases[i].line, strlen(cases[i].line));
                if ((firmware_place_set(cert, &place, &err) == 0) != cases[i].good)
                        fail_msg("case %zu: %s", i, err.text);
                if (!cases[i].good) {
                        assert_int_equal(err.reason, RS_REASON_CERTIFICATE);
                        assert_false(firmware_place_present(cert));
                        continue;
                }
                assert_int_equal(firmware_place_get(cert, &again, &err), 0);
                assert_memory_equal(&again, &place, sizeof(place));
        }
}

static void absent_twice_or_not_critical_is_refused(void **state) {
        _cleanup_(X509_freep) X509 *none = X509_new(), *twice = X509_new(), *soft = X509_new();
        const FirmwarePlace place = some_place();
        FirmwarePlace ret;
        X509 *const certs[] = { none, twice, soft };

        (void) state;
        add_raw(twice, SPAN_ARRAY(good), 1);
        add_raw(twice, SPAN_ARRAY(good), 1);
        add_raw(soft, SPAN_ARRAY(good), 0);
        for (size_t i = 0; i < ELEMENTSOF(certs); i++) {
                RsError err = RS_ERROR_INIT;

                assert_true(firmware_place_get(certs[i], &ret, &err) < 0);
                assert_int_equal(err.reason, RS_REASON_CERTIFICATE);
                assert_int_equal(firmware_place_present(certs[i]), i > 0);
        }
        /* A second one is not added. */
        for (size_t i = 1; i < ELEMENTSOF(certs); i++) {
                RsError err = RS_ERROR_INIT;

                assert_true(firmware_place_set(certs[i], &place, &err) < 0);
                assert_int_equal(err.reason, RS_REASON_CERTIFICATE);
        }
}

/* Copies good, replaces n_old bytes at `at` by new and corrects the outer length (short form). */
static Span altered(uint8_t *buffer, size_t at, size_t n_old, const void *new, size_t n_new) {
        memcpy(buffer, good, at);
        memcpy(buffer + at, new, n_new);
        memcpy(buffer + at + n_new, good + at + n_old, sizeof(good) - at - n_old);
        buffer[1] = (uint8_t) (sizeof(good) - 2 + n_new - n_old);
        return SPAN(buffer, sizeof(good) + n_new - n_old);
}

static void every_other_spelling_is_refused(void **state) {
        static const uint8_t indefinite_head[] = { 0x30, 0x80 };
        uint8_t b[sizeof(good) + 64];

        (void) state;
        check_bytes_refused(altered(b, 2, 3, "\x02\x01\x00", 3), "version 0");
        check_bytes_refused(altered(b, 2, 3, "\x02\x01\x02", 3), "version 2");
        check_bytes_refused(altered(b, 2, 3, "\x02\x02\x00\x01", 4), "padded version");
        check_bytes_refused(altered(b, 2, 3, "\x02\x81\x01\x01", 4), "long length");
        check_bytes_refused(altered(b, 2, 3, "", 0), "no version");
        check_bytes_refused(altered(b, 5, 1, "\x13", 1), "PrintableString");
        check_bytes_refused(altered(b, 5, 1, "\x04", 1), "OCTET STRING as line");
        check_bytes_refused(altered(b, 5, 11, "\x0c\x00", 2), "empty line");
        check_bytes_refused(altered(b, 5, 11, "\x0c\x03" "a\0b", 5), "NUL in the line");
        check_bytes_refused(altered(b, 16, 3, "\x02\x01\xff", 3), "negative epoch");
        check_bytes_refused(altered(b, 16, 3, "\x02\x05\x00\x80\x00\x00\x00", 7), "epoch of 32 bits");
        check_bytes_refused(altered(b, 16, 3, "\x0a\x01\x03", 3), "ENUMERATED as epoch");
        check_bytes_refused(altered(b, 19, 4, "\x02\x01\x00", 3), "index 0");
        check_bytes_refused(altered(b, 19, 4, "\x02\x02\x81\x2c", 4), "negative index");
        check_bytes_refused(altered(b, 19, 4, "\x02\x09\x00\x80\0\0\0\0\0\0\0", 11), "index of 64 bits");
        check_bytes_refused(altered(b, 19, 4, "\x02\x09\x01\0\0\0\0\0\0\0\x01", 11), "index of 65 bits");
        check_bytes_refused(altered(b, 23, 2, "\x24\x22\x04\x20", 4), "constructed OCTET STRING");
        check_bytes_refused(altered(b, 23, 3, "\x04\x1f", 2), "31 bytes");
        check_bytes_refused(altered(b, 23, 2, "\x04\x21\xab", 3), "33 bytes");
        check_bytes_refused(altered(b, 23, sizeof(good) - 23, "", 0), "no previous key");

        memcpy(b, good, sizeof(good));
        memcpy(b + sizeof(good), "\x05\x00", 2);
        check_bytes_refused(SPAN(b, sizeof(good) + 2), "NULL behind");
        b[1] += 2;
        check_bytes_refused(SPAN(b, sizeof(good) + 2), "a field too many");
        memcpy(b, indefinite_head, 2);
        memcpy(b + sizeof(good), "\x00\x00", 2);
        check_bytes_refused(SPAN(b, sizeof(good) + 2), "indefinite length");
        b[0] = 0x31;
        check_bytes_refused(SPAN(b, sizeof(good)), "SET");
        for (size_t n = 0; n < sizeof(good); n++)
                check_bytes_refused(SPAN(good, n), "cut");
}

/* What is taken has one spelling: encoding it again gives the bytes. */
static void flipped_bit_is_refused_or_means_something_else(void **state) {
        uint8_t b[sizeof(good)];

        (void) state;
        for (size_t bit = 0; bit < 8 * sizeof(good); bit++) {
                _cleanup_(X509_freep) X509 *cert = X509_new(), *other = X509_new();
                const ASN1_STRING *again;
                RsError err = RS_ERROR_INIT;
                FirmwarePlace place;

                memcpy(b, good, sizeof(b));
                b[bit / 8] ^= (uint8_t) (1u << (bit % 8));
                add_raw(cert, SPAN_ARRAY(b), 1);
                if (firmware_place_get(cert, &place, &err) < 0) {
                        assert_int_equal(err.reason, RS_REASON_CERTIFICATE);
                        continue;
                }
                assert_int_equal(firmware_place_set(other, &place, &err), 0);
                again = X509_EXTENSION_get_data(X509_get_ext(other, 0));
                assert_true(span_equal(SPAN(ASN1_STRING_get0_data(again), (size_t) ASN1_STRING_length(again)),
                                       SPAN_ARRAY(b)));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(place_is_encoded_byte_for_byte_and_read_back),
                cmocka_unit_test(values_at_their_bounds_pass_and_beyond_do_not),
                cmocka_unit_test(absent_twice_or_not_critical_is_refused),
                cmocka_unit_test(every_other_spelling_is_refused),
                cmocka_unit_test(flipped_bit_is_refused_or_means_something_else),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
