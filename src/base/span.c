/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * span - the only place where bytes become integers and integers bytes.
 *
 * Every parser of foreign bytes in Reseal sits on this Reader.  It has one primitive, take(), which
 * compares lengths and never adds offsets, so no length from the wire can wrap around.  The first
 * failure empties the reader and sticks: a parser may read a whole header and ask once at the end.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <reseal/base/span.h>

bool span_equal(Span a, Span b) {
        return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static Span take(Reader *r, size_t size) {
        Span taken;

        if (r->failed || size > r->rest.size) {
                r->failed = true;
                r->rest = SPAN_NULL;
                return SPAN_NULL;
        }
        taken = SPAN(r->rest.data, size);
        if (size > 0)
                r->rest = SPAN(r->rest.data + size, r->rest.size - size);
        return taken;
}

static uint64_t take_integer(Reader *r, size_t size) {
        Span bytes = take(r, size);
        uint64_t v = 0;

        for (size_t i = 0; i < bytes.size; i++)
                v = v << 8 | bytes.data[i];
        return v;
}

uint8_t reader_u8(Reader *r) {
        return (uint8_t) take_integer(r, 1);
}

uint16_t reader_u16(Reader *r) {
        return (uint16_t) take_integer(r, 2);
}

uint32_t reader_u32(Reader *r) {
        return (uint32_t) take_integer(r, 4);
}

uint64_t reader_u64(Reader *r) {
        return take_integer(r, 8);
}

Span reader_span(Reader *r, size_t size) {
        return take(r, size);
}

void reader_copy(Reader *r, void *ret, size_t size) {
        Span bytes = take(r, size);

        if (size == 0)
                return;
        if (r->failed)
                memset(ret, 0, size);
        else
                memcpy(ret, bytes.data, size);
}

void reader_zeros(Reader *r, size_t size) {
        Span bytes = take(r, size);

        for (size_t i = 0; i < bytes.size; i++)
                if (bytes.data[i] != 0) {
                        r->failed = true;
                        r->rest = SPAN_NULL;
                        return;
                }
}

bool reader_failed(const Reader *r) {
        return r->failed;
}

int reader_finish(Reader *r) {
        if (r->rest.size > 0) {
                r->failed = true;
                r->rest = SPAN_NULL;
        }
        return r->failed ? -EBADMSG : 0;
}

void encoder_done(Encoder *e) {
        free(e->data);
        *e = ENCODER_INIT;
}

/* Room for `size` more bytes, or NULL and the failure sticks. */
static uint8_t *extend(Encoder *e, size_t size) {
        uint8_t *at;

        if (e->failed)
                return NULL;
        if (size > e->allocated - e->size) {
                size_t wanted, doubled;
                uint8_t *data;

                if (__builtin_add_overflow(e->size, size, &wanted) ||
                    __builtin_mul_overflow(e->allocated, (size_t) 2, &doubled)) {
                        e->failed = true;
                        return NULL;
                }
                if (wanted < doubled)
                        wanted = doubled;
                if (wanted < 64)
                        wanted = 64;
                data = realloc(e->data, wanted);
                if (!data) {
                        e->failed = true;
                        return NULL;
                }
                e->data = data;
                e->allocated = wanted;
        }
        at = e->data + e->size;
        e->size += size;
        return at;
}

static void put_integer(Encoder *e, uint64_t v, size_t size) {
        uint8_t *at = extend(e, size);

        if (!at)
                return;
        for (size_t i = size; i > 0; i--) {
                at[i - 1] = (uint8_t) v;
                v >>= 8;
        }
}

void encoder_u8(Encoder *e, uint8_t v) {
        put_integer(e, v, 1);
}

void encoder_u16(Encoder *e, uint16_t v) {
        put_integer(e, v, 2);
}

void encoder_u32(Encoder *e, uint32_t v) {
        put_integer(e, v, 4);
}

void encoder_u64(Encoder *e, uint64_t v) {
        put_integer(e, v, 8);
}

void encoder_bytes(Encoder *e, const void *data, size_t size) {
        uint8_t *at;

        if (size == 0)
                return;
        at = extend(e, size);
        if (at)
                memcpy(at, data, size);
}

void encoder_zeros(Encoder *e, size_t size) {
        uint8_t *at;

        if (size == 0)
                return;
        at = extend(e, size);
        if (at)
                memset(at, 0, size);
}

int encoder_finish(const Encoder *e) {
        return e->failed ? -ENOMEM : 0;
}
