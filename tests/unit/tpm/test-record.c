/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * tpm/record: the bytes of docs/tpm.md, "Record", and that no others parse.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <reseal/base/text.h>
#include <reseal/crypto/digest.h>

#include "../../../src/tpm/record.h"

static TpmRecord sample(void) {
        TpmRecord r = { .line = "gateway",
                        .release = 0x0102030405060708,
                        .epoch = 0x11121314,
                        .floor_epoch = 0x21222324,
                        .crl_number = 0x3132333435363738,
                        .time_floor = 0x4142434445464748,
                        .time_base = UINT64_C(0x71727374) * 60,
                        .trust_version = 0x5152535455565758,
                        .chain_flags = 1 };

        memset(r.signer_spki, 0xaa, sizeof(r.signer_spki));
        memset(r.manifest_digest, 0xbb, sizeof(r.manifest_digest));
        memset(r.log_head, 0xcc, sizeof(r.log_head));
        memset(r.trust_tag, 0xdd, sizeof(r.trust_tag));
        return r;
}

static void check(const uint8_t *bytes, size_t offset, const char *hex) {
        char got[129];
        size_t n = strlen(hex) / 2;

        assert_true(n <= 64);
        hex_encode(SPAN(bytes + offset, n), got);
        assert_string_equal(got, hex);
}

static void the_bytes_are_those_of_the_document(void **state) {
        static const uint8_t zeros[64];
        uint8_t b[NV_RECORD_SIZE], digest[32];
        RsError err = RS_ERROR_INIT;
        TpmRecord r = sample();

        (void) state;
        assert_int_equal(nv_record_encode(&r, 0x6162636465666768, b, &err), 0);
        check(b, 0,
              "52534c31"
              "01"
              "01"
              "0000"); /* "RSL1", version, flags */
        assert_int_equal(digest_sha256(SPAN("gateway", 7), digest, &err), 0);
        assert_memory_equal(b + 8, digest, 16);
        check(b, 24,
              "11121314"
              "00000000");
        check(b, 32, "0102030405060708");
        assert_memory_equal(b + 40, r.signer_spki, 32);
        assert_memory_equal(b + 72, r.manifest_digest, 32);
        assert_memory_equal(b + 104, r.log_head, 32);
        assert_memory_equal(b + 136, zeros, 20);
        /* 156: CRC-32, compared below through a known value of the empty chain */
        check(b, 160,
              "52535331"
              "01"
              "00"
              "0000"); /* "RSS1", version, flags */
        check(b, 168, "6162636465666768");
        check(b, 176,
              "21222324"
              "71727374"); /* minutes */
        check(b, 184, "3132333435363738");
        check(b, 192, "4142434445464748");
        check(b, 200, "5152535455565758");
        assert_memory_equal(b + 208, r.trust_tag, 16);
        assert_int_equal(digest_sha256(SPAN(b, 224), digest, &err), 0);
        assert_memory_equal(b + 224, digest, 32);
}

/* Computed by another program: python3 -c 'import zlib; print(zlib.crc32(b"RSL1\x01" + bytes(151)))'. */
static void the_crc_is_that_of_ieee_802_3(void **state) {
        TpmRecord r = { .empty = true };
        uint8_t b[NV_RECORD_SIZE];
        RsError err = RS_ERROR_INIT;

        (void) state;
        assert_int_equal(nv_record_encode(&r, 1, b, &err), 0);
        check(b, 156, "c924e9f5");
        check(b, 160,
              "52535331"
              "01"
              "01"
              "0000");
}

static void a_record_parses_back(void **state) {
        TpmRecord r = sample(), back;
        uint8_t b[NV_RECORD_SIZE], again[NV_RECORD_SIZE];
        RsError err = RS_ERROR_INIT;
        uint64_t counter = 0;

        (void) state;
        assert_int_equal(nv_record_encode(&r, 77, b, &err), 0);
        assert_int_equal(nv_record_parse(b, &back, &counter, &err), 0);
        assert_int_equal(counter, 77);
        assert_int_equal(back.line[0], '\0');
        assert_int_equal(nv_record_encode(&back, 77, again, &err), 0);
        assert_memory_equal(again, b, sizeof(b));
}

static void every_flipped_bit_is_found(void **state) {
        TpmRecord r = sample(), back;
        uint8_t b[NV_RECORD_SIZE];
        uint64_t counter;

        (void) state;
        for (unsigned bit = 0; bit < 8 * NV_RECORD_SIZE; bit++) {
                RsError err = RS_ERROR_INIT;

                assert_int_equal(nv_record_encode(&r, 5, b, &err), 0);
                b[bit / 8] ^= (uint8_t) (1u << (bit % 8));
                assert_true(nv_record_parse(b, &back, &counter, &err) < 0);
                assert_int_equal(err.reason, RS_REASON_TPM_STATE);
        }
}

static uint32_t crc_of(const uint8_t *bytes, size_t size) {
        uint32_t crc = UINT32_MAX;

        for (size_t i = 0; i < 8 * size; i++) {
                uint32_t bit = (bytes[i / 8] >> (i % 8)) & 1;

                crc = (crc >> 1) ^ (((crc ^ bit) & 1) ? UINT32_C(0xedb88320) : 0);
        }
        return ~crc;
}

/* With good checksums over them: reserved bytes, versions, magics and flags of another format. */
static void what_a_later_version_may_write_is_refused(void **state) {
        static const struct {
                unsigned offset;
                uint8_t value;
        } changes[] = { { 0, 'X' },   { 4, 2 },   { 5, 2 },     { 6, 1 },   { 31, 1 },
                        { 136, 1 },   { 155, 1 }, { 160, 'X' }, { 164, 2 }, { 165, 2 },
                        { 165, 128 }, { 166, 1 } };

        (void) state;
        for (unsigned i = 0; i < ELEMENTSOF(changes); i++) {
                TpmRecord r = sample(), back;
                uint8_t b[NV_RECORD_SIZE], digest[32];
                RsError err = RS_ERROR_INIT;
                uint64_t counter;
                uint32_t crc;

                assert_int_equal(nv_record_encode(&r, 5, b, &err), 0);
                b[changes[i].offset] = changes[i].value;
                crc = crc_of(b, 156);
                for (unsigned k = 0; k < 4; k++)
                        b[156 + k] = (uint8_t) (crc >> (24 - 8 * k));
                assert_int_equal(digest_sha256(SPAN(b, 224), digest, &err), 0);
                memcpy(b + 224, digest, 32);
                assert_true(nv_record_parse(b, &back, &counter, &err) < 0);
                assert_int_equal(err.reason, RS_REASON_TPM_STATE);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_bytes_are_those_of_the_document),
                cmocka_unit_test(the_crc_is_that_of_ieee_802_3),
                cmocka_unit_test(a_record_parses_back),
                cmocka_unit_test(every_flipped_bit_is_found),
                cmocka_unit_test(what_a_later_version_may_write_is_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
