/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Chunk table: counts follow from the manifest, payloads are bounded, dup goes backwards one step (format-bundle 4). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include <reseal/format/table.h>

/* Five and a half chunks in frames of two: frames 0 raw, 1 zero, 2 (shorter than the others) zstd. */
#define SIZE (5u * RS_CHUNK_SIZE + RS_CHUNK_SIZE / 2)

static ManifestImage image_of(uint64_t size, uint32_t frame_chunks) {
        ManifestImage image = { .size = size,
                                .frame_chunks = frame_chunks,
                                .n_chunks = image_n_chunks(size) };

        image.table_size = table_size(image_n_frames(size, frame_chunks), image.n_chunks);
        return image;
}

static Table *sample(void) {
        Table *t = table_new(SIZE, 2);

        assert_non_null(t);
        assert_int_equal(t->n_frames, 3);
        assert_int_equal(t->n_chunks, 6);
        t->frames[0].kind = FRAME_KIND_RAW;
        t->frames[0].payload_size = 2 * RS_CHUNK_SIZE;
        memset(t->frames[0].payload_sha256, 0xaa, RS_DIGEST_SIZE);
        t->frames[1].kind = FRAME_KIND_ZERO;
        t->frames[2].kind = FRAME_KIND_ZSTD;
        t->frames[2].payload_size = 12345;
        memset(t->frames[2].payload_sha256, 0xbb, RS_DIGEST_SIZE);
        for (unsigned i = 0; i < t->n_chunks; i++)
                memset(t->chunk_digests[i], (int) i + 1, RS_DIGEST_SIZE);
        return t;
}

static int encode_and_parse(const Table *t, Table **ret, RsError *err) {
        ManifestImage image = image_of(t->image_size, t->frame_chunks);
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;

        *err = RS_ERROR_INIT;
        assert_int_equal(table_encode(t, &e, err), 0);
        assert_int_equal(e.size, image.table_size);
        return table_parse(encoder_view(&e), &image, ret, err);
}

static void expect_refused(const Table *t, const char *words) {
        Table *again = NULL;
        RsError err;

        if (encode_and_parse(t, &again, &err) == 0)
                fail_msg("accepted, should say \"%s\"", words);
        assert_null(again);
        assert_int_equal(err.reason, RS_REASON_TABLE);
        if (!strstr(err.text, words))
                fail_msg("\"%s\" does not say \"%s\"", err.text, words);
}

static void expect_accepted(const Table *t) {
        _cleanup_(table_freep) Table *again = NULL;
        RsError err;

        if (encode_and_parse(t, &again, &err) < 0)
                fail_msg("refused: %s", err.text);
}

static void parse_gives_back_what_encode_was_given(void **state) {
        _cleanup_(table_freep) Table *t = sample(), *again = NULL;
        RsError err;

        (void) state;
        assert_int_equal(encode_and_parse(t, &again, &err), 0);
        assert_int_equal(again->n_frames, t->n_frames);
        for (unsigned i = 0; i < t->n_frames; i++) {
                assert_int_equal(again->frames[i].kind, t->frames[i].kind);
                assert_int_equal(again->frames[i].payload_size, t->frames[i].payload_size);
                assert_memory_equal(again->frames[i].payload_sha256, t->frames[i].payload_sha256,
                                    RS_DIGEST_SIZE);
        }
        assert_memory_equal(again->chunk_digests, t->chunk_digests, 6 * RS_DIGEST_SIZE);
}

static void places_of_frames_count_payloads_and_tags(void **state) {
        _cleanup_(table_freep) Table *t = sample();

        (void) state;
        assert_int_equal(table_frame_plain_size(t, 0), 2 * RS_CHUNK_SIZE);
        assert_int_equal(table_frame_plain_size(t, 2), RS_CHUNK_SIZE + RS_CHUNK_SIZE / 2);
        assert_int_equal(table_frame_offset(t, false, 0), 0);
        assert_int_equal(table_frame_offset(t, false, 1), 2 * RS_CHUNK_SIZE);
        assert_int_equal(table_frame_offset(t, true, 2), 2 * RS_CHUNK_SIZE + RS_TAG_SIZE);
        assert_int_equal(table_frames_size(t, false), 2 * RS_CHUNK_SIZE + 12345);
        assert_int_equal(table_frames_size(t, true), 2 * RS_CHUNK_SIZE + 12345 + 2 * RS_TAG_SIZE);
}

static void unknown_kinds_are_refused(void **state) {
        static const unsigned kinds[] = { 0, _FRAME_KIND_MAX, 0xffffffffu };

        (void) state;
        for (unsigned i = 0; i < ELEMENTSOF(kinds); i++) {
                _cleanup_(table_freep) Table *t = sample();

                t->frames[1].kind = (FrameKind) kinds[i];
                expect_refused(t, "unknown kind");
        }
}

static void payload_sizes_are_held_to_the_plaintext(void **state) {
        _cleanup_(table_freep) Table *t = sample();
        uint32_t plain = table_frame_plain_size(t, 2);

        (void) state;
        t->frames[0].payload_size = 2 * RS_CHUNK_SIZE - 1;
        expect_refused(t, "raw frame 0");
        t->frames[0].payload_size = 2 * RS_CHUNK_SIZE + 1;
        expect_refused(t, "raw frame 0");
        t->frames[0].payload_size = 2 * RS_CHUNK_SIZE;
        t->frames[2].payload_size = 0;
        expect_refused(t, "zstd frame 2");
        t->frames[2].payload_size = plain - 1;
        expect_accepted(t);
        t->frames[2].payload_size = plain;
        expect_refused(t, "zstd frame 2");
        t->frames[2].payload_size = UINT32_MAX;
        expect_refused(t, "zstd frame 2");
}

static void what_a_kind_does_not_use_must_be_zero(void **state) {
        _cleanup_(table_freep) Table *t = sample();

        (void) state;
        t->frames[1].payload_size = 1;
        expect_refused(t, "frame 1 has no payload");
        t->frames[1].payload_size = 0;
        t->frames[1].payload_sha256[31] = 1;
        expect_refused(t, "frame 1 has no payload");
        t->frames[1].payload_sha256[31] = 0;
        t->frames[1].dup_of = 1;
        expect_refused(t, "is no dup");
}

static Table *four_frames(void) {
        Table *t = table_new(7 * RS_CHUNK_SIZE, 2);

        assert_non_null(t);
        for (unsigned i = 0; i < 4; i++) {
                t->frames[i].kind = FRAME_KIND_RAW;
                t->frames[i].payload_size = table_frame_plain_size(t, i);
        }
        return t;
}

static void make_dup(Table *t, uint32_t frame, uint32_t of) {
        t->frames[frame] = (Frame){ .kind = FRAME_KIND_DUP, .dup_of = of };
}

static void dup_refers_backwards_to_a_payload_of_the_same_length(void **state) {
        _cleanup_(table_freep) Table *good = four_frames(), *own = four_frames(), *forward = four_frames(),
                                     *far = four_frames(), *chain = four_frames(), *zero = four_frames(),
                                     *length = four_frames();

        (void) state;
        make_dup(good, 1, 0);
        make_dup(good, 2, 0);
        expect_accepted(good);
        make_dup(own, 1, 1);
        expect_refused(own, "not before it");
        make_dup(forward, 1, 2);
        expect_refused(forward, "not before it");
        make_dup(far, 1, 4);
        expect_refused(far, "not before it");
        make_dup(chain, 1, 0);
        make_dup(chain, 2, 1);
        expect_refused(chain, "without payload");
        zero->frames[0] = (Frame){ .kind = FRAME_KIND_ZERO };
        make_dup(zero, 1, 0);
        expect_refused(zero, "without payload");
        make_dup(length, 3, 0); /* the last frame is shorter */
        expect_refused(length, "another length");
}

static void a_dup_number_beyond_32_bits_is_refused(void **state) {
        _cleanup_(table_freep) Table *t = four_frames();
        ManifestImage image = image_of(t->image_size, 2);
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        RsError err = RS_ERROR_INIT;
        Table *again = NULL;

        (void) state;
        make_dup(t, 1, 0);
        assert_int_equal(table_encode(t, &e, &err), 0);
        e.data[32 + 48 + 8 + 3] = 1; /* 2^32 + 0 */
        assert_true(table_parse(encoder_view(&e), &image, &again, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_TABLE);
}

static void each_changed_byte_of_the_head_is_refused(void **state) {
        _cleanup_(table_freep) Table *t = sample();
        ManifestImage image = image_of(SIZE, 2);
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        RsError err = RS_ERROR_INIT;

        (void) state;
        assert_int_equal(table_encode(t, &e, &err), 0);
        for (unsigned i = 0; i < 32; i++) {
                Table *again = NULL;

                e.data[i] ^= 0x01;
                err = RS_ERROR_INIT;
                assert_true(table_parse(encoder_view(&e), &image, &again, &err) < 0);
                assert_int_equal(err.reason, RS_REASON_TABLE);
                e.data[i] ^= 0x01;
        }
}

static void each_other_length_is_refused(void **state) {
        _cleanup_(table_freep) Table *t = sample();
        ManifestImage image = image_of(SIZE, 2);
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        RsError err = RS_ERROR_INIT;
        size_t full;

        (void) state;
        assert_int_equal(table_encode(t, &e, &err), 0);
        full = e.size;
        encoder_u8(&e, 0);
        for (size_t size = 0; size <= full + 1; size++) {
                Table *again = NULL;

                if (size == full)
                        continue;
                err = RS_ERROR_INIT;
                assert_true(table_parse(SPAN(e.data, size), &image, &again, &err) < 0);
                assert_int_equal(err.reason, RS_REASON_TABLE);
                /* Also when the manifest agrees with the wrong length. */
                image.table_size = (uint32_t) size;
                err = RS_ERROR_INIT;
                assert_true(table_parse(SPAN(e.data, size), &image, &again, &err) < 0);
                assert_int_equal(err.reason, RS_REASON_TABLE);
                image.table_size = (uint32_t) full;
        }
}

static void images_beyond_the_limits_have_no_table(void **state) {
        (void) state;
        assert_null(table_new(0, 1));
        assert_null(table_new(RS_IMAGE_SIZE_MAX + 4096, 1));
        assert_null(table_new(8192, 0));
        assert_null(table_new(8192, RS_FRAME_CHUNKS_MAX + 1));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(parse_gives_back_what_encode_was_given),
                cmocka_unit_test(places_of_frames_count_payloads_and_tags),
                cmocka_unit_test(unknown_kinds_are_refused),
                cmocka_unit_test(payload_sizes_are_held_to_the_plaintext),
                cmocka_unit_test(what_a_kind_does_not_use_must_be_zero),
                cmocka_unit_test(dup_refers_backwards_to_a_payload_of_the_same_length),
                cmocka_unit_test(a_dup_number_beyond_32_bits_is_refused),
                cmocka_unit_test(each_changed_byte_of_the_head_is_refused),
                cmocka_unit_test(each_other_length_is_refused),
                cmocka_unit_test(images_beyond_the_limits_have_no_table),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
