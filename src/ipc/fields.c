/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fields - what all payloads of the writer's protocol are made of.
 *
 * A text is zero padded to its full size, and what follows its first zero must be zero: a payload has
 * one encoding only.
 */
#include <string.h>

#include "fields.h"

void field_put_text(Encoder *e, const char *text, size_t size) {
        size_t length = strnlen(text, size);

        encoder_bytes(e, text, length);
        encoder_zeros(e, size - length);
}

void field_take_text(Reader *r, char *ret, size_t size) {
        bool ended = false;

        reader_copy(r, ret, size);
        ret[size] = '\0';
        for (size_t i = 0; i < size; i++) {
                unsigned char c = (unsigned char) ret[i];

                if (c == 0)
                        ended = true;
                else if (ended || c < 0x20 || c == 0x7f)
                        r->failed = true;
        }
}

bool field_take_bool(Reader *r) {
        uint32_t v = reader_u32(r);

        if (v > 1)
                r->failed = true;
        return v == 1;
}

int field_finish(Reader *r, const char *what, RsError *err) {
        if (reader_finish(r) < 0)
                return rs_fail(err, PROTOCOL, "%s: not well-formed", what);
        return 0;
}
