/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * span - borrowed bytes, a bounded reader over them and a bounded encoder.
 *
 * Spec:     STYLE 8: bytes enter as Span, are read by a Reader and leave as a struct in host types
 * Trust:    input is hostile; no read leaves the span, the first failure sticks
 * Owns:     nothing; a Span dies with the buffer it points to.  An Encoder owns its buffer
 * Units:    sizes in bytes; all integers on the wire are big-endian
 * Errors:   reader_* give zero values after the first failure; ask reader_failed or reader_finish
 * Context:  any thread, no I/O
 * Programs: all
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <reseal/base/cleanup.h>

typedef struct Span {
        const uint8_t *data;
        size_t size;
} Span;

#define SPAN(p, n) ((Span){ .data = (const uint8_t *) (p), .size = (n) })
#define SPAN_ARRAY(a) SPAN((a), sizeof(a))
#define SPAN_NULL ((Span){ 0 })

/* Not for secrets or tags: compares in variable time. */
bool span_equal(Span a, Span b);

/* Reader */
typedef struct Reader {
        Span rest;
        bool failed;
} Reader;

#define READER(span) ((Reader){ .rest = (span) })

uint8_t reader_u8(Reader *r);
uint16_t reader_u16(Reader *r);
uint32_t reader_u32(Reader *r);
uint64_t reader_u64(Reader *r);
Span reader_span(Reader *r, size_t size);                   /* empty after failure */
void reader_copy(Reader *r, void *ret, size_t size);        /* zeroes ret on failure */
void reader_zeros(Reader *r, size_t size);                  /* fails unless these bytes are all 0 */
bool reader_failed(const Reader *r);
int reader_finish(Reader *r); /* 0, or -EBADMSG when a read failed or bytes are left over */

/* Encoder: a growing buffer; allocation failure sticks and shows in encoder_finish. */
typedef struct Encoder {
        uint8_t *data;
        size_t size;
        size_t allocated;
        bool failed;
} Encoder;

#define ENCODER_INIT ((Encoder){ 0 })

void encoder_done(Encoder *e); /* frees; for _cleanup_ */
void encoder_u8(Encoder *e, uint8_t v);
void encoder_u16(Encoder *e, uint16_t v);
void encoder_u32(Encoder *e, uint32_t v);
void encoder_u64(Encoder *e, uint64_t v);
void encoder_bytes(Encoder *e, const void *data, size_t size);
void encoder_zeros(Encoder *e, size_t size);
static inline void encoder_span(Encoder *e, Span s) {
        encoder_bytes(e, s.data, s.size);
}
int encoder_finish(const Encoder *e); /* 0 or -ENOMEM */
static inline Span encoder_view(const Encoder *e) {
        return SPAN(e->data, e->size);
}
