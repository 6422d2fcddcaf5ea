/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reader and Encoder: no read leaves the span, the first failure sticks (STYLE 8; the base of T-class parser bugs). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include <reseal/base/span.h>

static const uint8_t bytes[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };

static void integers_are_big_endian(void **state) {
        Reader r = READER(SPAN_ARRAY(bytes));

        (void) state;
        assert_int_equal(reader_u8(&r), 0x01);
        assert_int_equal(reader_u16(&r), 0x0203);
        assert_int_equal(reader_u32(&r), 0x04050607);
        assert_true(reader_u64(&r) == 0x08090a0b0c0d0e0fULL);
        assert_int_equal(reader_finish(&r), 0);
}

static void one_byte_too_few_fails_and_gives_zero(void **state) {
        Reader r8 = READER(SPAN(bytes, 0)), r16 = READER(SPAN(bytes, 1)), r32 = READER(SPAN(bytes, 3)),
               r64 = READER(SPAN(bytes, 7));

        (void) state;
        assert_int_equal(reader_u8(&r8), 0);
        assert_int_equal(reader_u16(&r16), 0);
        assert_int_equal(reader_u32(&r32), 0);
        assert_true(reader_u64(&r64) == 0);
        assert_int_equal(reader_finish(&r8), -EBADMSG);
        assert_int_equal(reader_finish(&r16), -EBADMSG);
        assert_int_equal(reader_finish(&r32), -EBADMSG);
        assert_int_equal(reader_finish(&r64), -EBADMSG);
}

static void the_first_failure_sticks(void **state) {
        Reader r = READER(SPAN_ARRAY(bytes));
        uint8_t copy[4] = { 9, 9, 9, 9 };
        Span s;

        (void) state;
        assert_false(reader_failed(&r));
        s = reader_span(&r, sizeof(bytes) + 1);
        assert_null(s.data);
        assert_int_equal(s.size, 0);
        assert_true(reader_failed(&r));
        assert_int_equal(reader_u8(&r), 0);
        reader_copy(&r, copy, sizeof(copy));
        assert_memory_equal(copy, "\0\0\0\0", 4);
        assert_int_equal(reader_finish(&r), -EBADMSG);
}

static void bytes_left_over_are_refused(void **state) {
        Reader r = READER(SPAN_ARRAY(bytes));

        (void) state;
        (void) reader_span(&r, sizeof(bytes) - 1);
        assert_false(reader_failed(&r));
        assert_int_equal(reader_finish(&r), -EBADMSG);
        assert_int_equal(reader_finish(&r), -EBADMSG);
}

static void a_length_near_size_max_cannot_wrap_around(void **state) {
        Reader r = READER(SPAN_ARRAY(bytes));

        (void) state;
        (void) reader_u8(&r);
        assert_null(reader_span(&r, SIZE_MAX).data);
        assert_true(reader_failed(&r));
}

static void an_empty_reader_gives_empty_things(void **state) {
        Reader r = READER(SPAN_NULL);

        (void) state;
        assert_int_equal(reader_span(&r, 0).size, 0);
        reader_copy(&r, NULL, 0);
        reader_zeros(&r, 0);
        assert_int_equal(reader_finish(&r), 0);
}

static void reserved_bytes_must_be_zero(void **state) {
        static const uint8_t zeros[4] = { 0 }, almost[4] = { 0, 0, 0, 1 };
        Reader good = READER(SPAN_ARRAY(zeros)), bad = READER(SPAN_ARRAY(almost)), few = READER(SPAN_ARRAY(zeros));

        (void) state;
        reader_zeros(&good, 4);
        assert_int_equal(reader_finish(&good), 0);
        reader_zeros(&bad, 4);
        assert_int_equal(reader_finish(&bad), -EBADMSG);
        reader_zeros(&few, 5);
        assert_int_equal(reader_finish(&few), -EBADMSG);
}

static void spans_compare_by_content(void **state) {
        static const uint8_t other[] = { 1, 2, 3 };

        (void) state;
        assert_true(span_equal(SPAN(bytes, 3), SPAN(other, 3)));
        assert_false(span_equal(SPAN(bytes, 3), SPAN(other, 2)));
        assert_false(span_equal(SPAN(bytes, 3), SPAN(bytes + 1, 3)));
        assert_true(span_equal(SPAN_NULL, SPAN(bytes, 0)));
}

static void what_the_encoder_writes_the_reader_reads(void **state) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        Reader r;

        (void) state;
        encoder_u8(&e, 0xfe);
        encoder_u16(&e, 0xfedc);
        encoder_u32(&e, 0xfedcba98);
        encoder_u64(&e, 0xfedcba9876543210ULL);
        encoder_zeros(&e, 100);
        encoder_bytes(&e, NULL, 0);
        encoder_span(&e, SPAN_ARRAY(bytes));
        assert_int_equal(encoder_finish(&e), 0);
        assert_int_equal(encoder_view(&e).size, 15 + 100 + sizeof(bytes));

        r = READER(encoder_view(&e));
        assert_int_equal(reader_u8(&r), 0xfe);
        assert_int_equal(reader_u16(&r), 0xfedc);
        assert_true(reader_u32(&r) == 0xfedcba98);
        assert_true(reader_u64(&r) == 0xfedcba9876543210ULL);
        reader_zeros(&r, 100);
        assert_true(span_equal(reader_span(&r, sizeof(bytes)), SPAN_ARRAY(bytes)));
        assert_int_equal(reader_finish(&r), 0);
}

static void an_encoder_that_cannot_grow_fails_and_stays_failed(void **state) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;

        (void) state;
        encoder_u32(&e, 1);
        encoder_zeros(&e, SIZE_MAX - 2); /* 4 + this wraps around */
        assert_int_equal(encoder_finish(&e), -ENOMEM);
        encoder_u8(&e, 1);
        assert_int_equal(encoder_finish(&e), -ENOMEM);
        assert_int_equal(encoder_view(&e).size, 4);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(integers_are_big_endian),
                cmocka_unit_test(one_byte_too_few_fails_and_gives_zero),
                cmocka_unit_test(the_first_failure_sticks),
                cmocka_unit_test(bytes_left_over_are_refused),
                cmocka_unit_test(a_length_near_size_max_cannot_wrap_around),
                cmocka_unit_test(an_empty_reader_gives_empty_things),
                cmocka_unit_test(reserved_bytes_must_be_zero),
                cmocka_unit_test(spans_compare_by_content),
                cmocka_unit_test(what_the_encoder_writes_the_reader_reads),
                cmocka_unit_test(an_encoder_that_cannot_grow_fails_and_stays_failed),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
