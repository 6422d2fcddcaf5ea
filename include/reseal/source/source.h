/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * source - where a bundle is read from: one interface, one file per kind.
 *
 * Spec:     DESIGN.md 9; docs/architecture.md, "The way of a byte"; threats T3 to T6
 * Trust:    the peer is authenticated before a byte is asked for; the bytes are hostile all the same
 * Owns:     a Source owns its prefix and borrows the client it was opened from (https), which must outlive it
 * Units:    bytes, offsets from the start of the file
 * Errors:   those of the kind (https.h); CANCELLED
 * Context:  one worker thread; blocks, woken by the cancel descriptor of its client
 * Programs: reseald
 */
#include <stdbool.h>
#include <stdint.h>

#include <reseal/base/error.h>
#include <reseal/base/span.h>

/* The first request brings this much: header and manifest of any bundle fit (format/limits.h), one round trip. */
#define SOURCE_PREFIX_MAX 65536u

#define SOURCE_SIZE_UNKNOWN UINT64_MAX /* of a pipe */

typedef struct Source Source;

/* Gets consecutive bytes of the stream, in pieces of any size; a negative return ends it and is passed on. */
typedef int (*SourceSink)(void *userdata, Span bytes, RsError *err);

Source *source_close(Source *s); /* NULL is fine; returns NULL */
RS_DEFINE_CLEANUP(Source, source_close)

uint64_t source_size(const Source *s); /* SOURCE_SIZE_UNKNOWN until declared */
/* The size as the bundle's header says: reads are held against it from here.
 * Only for a source of unknown size; FORMAT when it has given more already. */
int source_declare_size(Source *s, uint64_t size, RsError *err);
bool source_forward_only(const Source *s);
/* What identifies this very version of the file ("" when the kind has no such thing), and a name for people. */
const char *source_validator(const Source *s);
const char *source_describe(const Source *s);

/* Exactly size bytes, or failure. */
int source_read(Source *s, uint64_t offset, size_t size, uint8_t *ret, RsError *err);
/* The same in one sequential request that survives dropped connections; never two versions of the file mixed. */
int source_stream(Source *s, uint64_t offset, uint64_t size, SourceSink sink, void *userdata, RsError *err);
