/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * text - strict little parsers, and making foreign text harmless.
 *
 * Numbers and hexadecimal digits have exactly one spelling each: what is compared, signed or logged
 * elsewhere must not have a second form.  Escaping stops the attacks on the reader of a log or a
 * terminal: escape sequences (C0, DEL, C1), line breaks that forge a second log line, direction
 * overrides that show "exe.gpj" as "jpg.exe", and broken UTF-8 that makes a tool drop the line.
 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include <reseal/base/text.h>

static const char digits[] = "0123456789abcdef";

void hex_encode(Span bytes, char *ret) {
        for (size_t i = 0; i < bytes.size; i++) {
                ret[2 * i] = digits[bytes.data[i] >> 4];
                ret[2 * i + 1] = digits[bytes.data[i] & 0x0f];
        }
        ret[2 * bytes.size] = '\0';
}

/* c is one of digits[] */
static unsigned digit_value(char c) {
        return c <= '9' ? (unsigned) (c - '0') : (unsigned) (c - 'a') + 10;
}

int hex_decode(const char *text, void *ret, size_t size) {
        uint8_t *out = ret;

        if (strlen(text) != 2 * size)
                return -EINVAL;
        if (strspn(text, digits) != 2 * size)
                return -EINVAL;
        for (size_t i = 0; i < size; i++)
                out[i] = (uint8_t) (digit_value(text[2 * i]) << 4 | digit_value(text[2 * i + 1]));
        return 0;
}

/* Reads digits up to the first other character; at least one, no superfluous leading zero. */
static int leading_u64(const char *text, uint64_t max, uint64_t *ret, const char **ret_rest) {
        uint64_t v = 0;
        const char *p = text;

        if (*p < '0' || *p > '9' || (p[0] == '0' && p[1] >= '0' && p[1] <= '9'))
                return -EINVAL;
        for (; *p >= '0' && *p <= '9'; p++)
                if (__builtin_mul_overflow(v, (uint64_t) 10, &v) ||
                    __builtin_add_overflow(v, (uint64_t) (*p - '0'), &v))
                        return -ERANGE;
        if (v > max)
                return -ERANGE;
        *ret = v;
        *ret_rest = p;
        return 0;
}

int text_to_u64(const char *text, uint64_t max, uint64_t *ret) {
        const char *rest;
        uint64_t v;
        int r;

        r = leading_u64(text, max, &v, &rest);
        if (r < 0)
                return r;
        if (*rest != '\0')
                return -EINVAL;
        *ret = v;
        return 0;
}

int text_to_size(const char *text, uint64_t *ret) {
        const char *rest;
        unsigned shift = 0;
        uint64_t v;
        int r;

        r = leading_u64(text, UINT64_MAX, &v, &rest);
        if (r < 0)
                return r;
        if (*rest == 'K')
                shift = 10;
        else if (*rest == 'M')
                shift = 20;
        else if (*rest == 'G')
                shift = 30;
        if (shift > 0)
                rest++;
        if (*rest != '\0')
                return -EINVAL;
        if (v > UINT64_MAX >> shift)
                return -ERANGE;
        *ret = v << shift;
        return 0;
}

/* Length of the well-formed UTF-8 sequence at the start of text (RFC 3629: shortest form only, no
 * surrogates, at most U+10FFFF), 0 if there is none. */
static size_t utf8_sequence(Span text, uint32_t *ret_code) {
        static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
        uint8_t first = text.data[0];
        uint32_t code;
        size_t n;

        if (first < 0x80) {
                *ret_code = first;
                return 1;
        }
        if (first >= 0xc2 && first <= 0xdf) {
                n = 2;
                code = first & 0x1fu;
        } else if (first >= 0xe0 && first <= 0xef) {
                n = 3;
                code = first & 0x0fu;
        } else if (first >= 0xf0 && first <= 0xf4) {
                n = 4;
                code = first & 0x07u;
        } else
                return 0;
        if (text.size < n)
                return 0;
        for (size_t i = 1; i < n; i++) {
                if ((text.data[i] & 0xc0u) != 0x80u)
                        return 0;
                code = code << 6 | (text.data[i] & 0x3fu);
        }
        if (code < least[n] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
                return 0;
        *ret_code = code;
        return n;
}

static bool is_harmless(uint32_t code) {
        if (code < 0x20 || (code >= 0x7f && code <= 0x9f))
                return false; /* C0, DEL, C1: terminals obey them */
        if (code == 0x200e || code == 0x200f || (code >= 0x202a && code <= 0x202e) ||
            (code >= 0x2066 && code <= 0x2069))
                return false; /* direction marks, overrides and isolates */
        return code != 0x2028 && code != 0x2029 && code != 0xfeff; /* line breaks, byte order mark */
}

static char *escape(Span text, bool backslash_too, char *ret, size_t size) {
        size_t used = 0, fits = 0;

        if (size == 0)
                return ret;
        for (size_t i = 0; i < text.size;) {
                Span rest = SPAN(text.data + i, text.size - i);
                char piece[4] = "";
                size_t n_piece = 4;
                uint32_t code = 0;
                size_t n = utf8_sequence(rest, &code);

                if (n > 0 && is_harmless(code) && !(backslash_too && code == '\\')) {
                        memcpy(piece, rest.data, n);
                        n_piece = n;
                } else {
                        /* One byte at a time, so that the next well-formed character shows again. */
                        n = 1;
                        piece[0] = '\\';
                        piece[1] = 'x';
                        piece[2] = digits[rest.data[0] >> 4];
                        piece[3] = digits[rest.data[0] & 0x0f];
                }
                if (used + n_piece > size - 1) {
                        /* Does not fit: cut at the last whole piece that leaves room for the dots. */
                        size_t dots = size - 1 < 3 ? size - 1 : 3;

                        memset(ret + fits, '.', dots);
                        ret[fits + dots] = '\0';
                        return ret;
                }
                memcpy(ret + used, piece, n_piece);
                used += n_piece;
                if (used + 3 <= size - 1)
                        fits = used;
                i += n;
        }
        ret[used] = '\0';
        return ret;
}

char *text_escape(Span text, char *ret, size_t size) {
        return escape(text, true, ret, size);
}

char *text_printable(Span text, char *ret, size_t size) {
        return escape(text, false, ret, size);
}
