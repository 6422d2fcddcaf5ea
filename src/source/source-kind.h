/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * source-kind - what a kind of source provides to source.c.
 *
 * Spec:     include/reseal/source/source.h
 * Trust:    as there
 * Owns:     a kind embeds Source as its first member and frees itself in close()
 * Units:    bytes
 * Errors:   as there
 * Context:  one worker thread
 * Programs: reseald
 */
#include <reseal/source/source.h>

typedef struct SourceKind {
        const char *name;
        /* size > 0 and within the file: source.c has checked */
        int (*stream)(Source *s, uint64_t offset, uint64_t size, SourceSink sink, void *userdata, RsError *err);
        Source *(*close)(Source *s);
} SourceKind;

struct Source {
        const SourceKind *kind;
        uint64_t size;
        bool forward_only;      /* what was read is gone, but for the prefix */
        uint8_t *prefix;        /* the first bytes of the file, kept for source_read */
        size_t prefix_size;
        char description[160];
        char validator[160];
};
