/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Strict little parsers and the escaping of foreign text (STYLE 8). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include <reseal/base/text.h>

static void hexadecimal_goes_there_and_back(void **state) {
        static const uint8_t bytes[] = { 0x00, 0x9f, 0xff, 0x10 };
        char text[HEX_SIZE(sizeof(bytes))];
        uint8_t back[sizeof(bytes)];

        (void) state;
        hex_encode(SPAN_ARRAY(bytes), text);
        assert_string_equal(text, "009fff10");
        assert_int_equal(hex_decode(text, back, sizeof(back)), 0);
        assert_memory_equal(back, bytes, sizeof(bytes));
        hex_encode(SPAN_NULL, text);
        assert_string_equal(text, "");
}

static void hexadecimal_has_one_spelling(void **state) {
        static const char *const bad[] = { "", "0", "000", "00000", "00FF", "0x00", " 000", "00g0", "00/0", "00:0" };
        uint8_t ret[2] = { 7, 7 };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_int_equal(hex_decode(bad[i], ret, sizeof(ret)), -EINVAL);
        assert_memory_equal(ret, "\7\7", 2);
}

static void numbers_are_digits_within_bounds(void **state) {
        static const char *const bad[] = { "", "-1", "+1", " 1", "1 ", "0x10", "1.0", "01", "00", "1K" };
        uint64_t v = 77;

        (void) state;
        assert_int_equal(text_to_u64("0", 5, &v), 0);
        assert_true(v == 0);
        assert_int_equal(text_to_u64("5", 5, &v), 0);
        assert_true(v == 5);
        assert_int_equal(text_to_u64("18446744073709551615", UINT64_MAX, &v), 0);
        assert_true(v == UINT64_MAX);
        v = 77;
        assert_int_equal(text_to_u64("6", 5, &v), -ERANGE);
        assert_int_equal(text_to_u64("18446744073709551616", UINT64_MAX, &v), -ERANGE);
        assert_int_equal(text_to_u64("99999999999999999999", UINT64_MAX, &v), -ERANGE);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_int_equal(text_to_u64(bad[i], UINT64_MAX, &v), -EINVAL);
        assert_true(v == 77);
}

static void sizes_count_in_powers_of_1024(void **state) {
        uint64_t v = 77;

        (void) state;
        assert_int_equal(text_to_size("4096", &v), 0);
        assert_true(v == 4096);
        assert_int_equal(text_to_size("512K", &v), 0);
        assert_true(v == 524288);
        assert_int_equal(text_to_size("64M", &v), 0);
        assert_true(v == 67108864);
        assert_int_equal(text_to_size("2G", &v), 0);
        assert_true(v == 2147483648u);
        assert_int_equal(text_to_size("17179869183G", &v), 0);
        v = 77;
        assert_int_equal(text_to_size("17179869184G", &v), -ERANGE);
        assert_int_equal(text_to_size("K", &v), -EINVAL);
        assert_int_equal(text_to_size("1k", &v), -EINVAL);
        assert_int_equal(text_to_size("1KB", &v), -EINVAL);
        assert_int_equal(text_to_size("1 K", &v), -EINVAL);
        assert_true(v == 77);
}

static void check_escape(const char *in, const char *out) {
        char text[256];

        assert_ptr_equal(text_escape(SPAN(in, strlen(in)), text, sizeof(text)), text);
        assert_string_equal(text, out);
}

static void what_a_terminal_would_obey_is_escaped(void **state) {
        (void) state;
        check_escape("plain ~ text", "plain ~ text");
        check_escape("\033]0;owned\a", "\\x1b]0;owned\\x07");
        check_escape("two\nlines\r", "two\\x0alines\\x0d");
        check_escape("del\x7f", "del\\x7f");
        check_escape("back\\slash", "back\\x5cslash");
        check_escape("c1 \xc2\x9b" "31m", "c1 \\xc2\\x9b31m");
        check_escape("exe.\xe2\x80\xaegpj", "exe.\\xe2\\x80\\xaegpj");
        check_escape("line\xe2\x80\xa8sep", "line\\xe2\\x80\\xa8sep");
}

static void a_nul_byte_inside_is_escaped(void **state) {
        char text[32];

        (void) state;
        assert_string_equal(text_escape(SPAN("a\0b", 3), text, sizeof(text)), "a\\x00b");
}

static void well_formed_utf8_passes_and_broken_does_not(void **state) {
        (void) state;
        check_escape("Gr\xc3\xbc\xc3\x9f" "e \xe2\x82\xac \xf0\x9f\x94\x92", "Gr\xc3\xbc\xc3\x9f" "e \xe2\x82\xac \xf0\x9f\x94\x92");
        check_escape("\xc3", "\\xc3");                         /* cut short */
        check_escape("\xc3(", "\\xc3(");                       /* no continuation */
        check_escape("\x80", "\\x80");                         /* continuation alone */
        check_escape("\xc0\xaf", "\\xc0\\xaf");                /* overlong / */
        check_escape("\xe0\x80\xaf", "\\xe0\\x80\\xaf");       /* overlong */
        check_escape("\xed\xa0\x80", "\\xed\\xa0\\x80");       /* surrogate */
        check_escape("\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"); /* above U+10FFFF */
        check_escape("\xff\xfe", "\\xff\\xfe");
}

static void what_does_not_fit_ends_in_dots(void **state) {
        char text[10];

        (void) state;
        assert_string_equal(text_escape(SPAN("123456789", 9), text, sizeof(text)), "123456789");
        assert_string_equal(text_escape(SPAN("1234567890", 10), text, sizeof(text)), "123456...");
        /* neither an escape nor a character is cut in the middle */
        assert_string_equal(text_escape(SPAN("12345\n7890", 10), text, sizeof(text)), "12345...");
        assert_string_equal(text_escape(SPAN("12345\xc3\xbc""890", 10), text, sizeof(text)), "12345...");
        assert_string_equal(text_escape(SPAN("abc", 3), text, 3), "..");
        assert_string_equal(text_escape(SPAN("abc", 3), text, 1), "");
}

static void any_bytes_fit_any_buffer(void **state) {
        uint8_t in[64];
        uint32_t x = 1;

        (void) state;
        for (unsigned round = 0; round < 20000; round++) {
                char text[40];
                size_t size = round % sizeof(text);

                for (size_t i = 0; i < sizeof(in); i++) {
                        x = x * 1664525u + 1013904223u;
                        in[i] = (uint8_t) (x >> 24);
                }
                memset(text, 0x55, sizeof(text));
                (void) text_escape(SPAN(in, round % sizeof(in)), text, size);
                for (size_t i = size; i < sizeof(text); i++)
                        assert_int_equal(text[i], 0x55);
                if (size > 0)
                        assert_true(strnlen(text, size) < size);
        }
}

static void printable_text_keeps_its_escapes(void **state) {
        char text[32];

        (void) state;
        assert_string_equal(text_printable(SPAN("a\\x0a\n", 6), text, sizeof(text)), "a\\x0a\\x0a");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(hexadecimal_goes_there_and_back),
                cmocka_unit_test(hexadecimal_has_one_spelling),
                cmocka_unit_test(numbers_are_digits_within_bounds),
                cmocka_unit_test(sizes_count_in_powers_of_1024),
                cmocka_unit_test(what_a_terminal_would_obey_is_escaped),
                cmocka_unit_test(a_nul_byte_inside_is_escaped),
                cmocka_unit_test(well_formed_utf8_passes_and_broken_does_not),
                cmocka_unit_test(what_does_not_fit_ends_in_dots),
                cmocka_unit_test(any_bytes_fit_any_buffer),
                cmocka_unit_test(printable_text_keeps_its_escapes),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
