/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * source - what all kinds of source have in common.
 *
 * A kind only has to stream a range in order; exact reads are made from that here, and small reads at the
 * front are served from the prefix that opening brought along, so that header, manifest and what follows
 * cost one request. Every range is held against the size of the file before a kind sees it, in 64 bits and
 * without a sum that could wrap.
 */
#include <assert.h>
#include <string.h>

#include <reseal/base/cleanup.h>

#include "source-kind.h"

Source *source_close(Source *s) {
        if (!s)
                return NULL;
        free(s->prefix);
        s->prefix = NULL;
        return s->kind->close(s);
}

uint64_t source_size(const Source *s) {
        return s->size;
}

int source_declare_size(Source *s, uint64_t size, RsError *err) {
        assert(s->size == SOURCE_SIZE_UNKNOWN);
        if (size < s->prefix_size)
                return rs_fail(err, FORMAT, "the header says %llu bytes, there are more", (unsigned long long) size);
        s->size = size;
        return 0;
}

bool source_forward_only(const Source *s) {
        return s->forward_only;
}

const char *source_validator(const Source *s) {
        return s->validator;
}

const char *source_describe(const Source *s) {
        return s->description;
}

static int check_range(const Source *s, uint64_t offset, uint64_t size, RsError *err) {
        if (offset > s->size || size > s->size - offset)
                return rs_fail(err, TRUNCATED, "bytes %llu+%llu asked for, the file has %llu",
                               (unsigned long long) offset, (unsigned long long) size, (unsigned long long) s->size);
        return 0;
}

typedef struct Fill {
        uint8_t *to;
        size_t rest;
} Fill;

static int on_fill(void *userdata, Span bytes, RsError *err) {
        Fill *f = userdata;

        if (bytes.size > f->rest)
                return rs_fail(err, TOO_MUCH, "more bytes than asked for");
        memcpy(f->to, bytes.data, bytes.size);
        f->to += bytes.size;
        f->rest -= bytes.size;
        return 0;
}

int source_read(Source *s, uint64_t offset, size_t size, uint8_t *ret, RsError *err) {
        int r = check_range(s, offset, size, err);
        if (r < 0)
                return r;
        if (offset < s->prefix_size) {
                size_t here = s->prefix_size - (size_t) offset;
                if (here > size)
                        here = size;
                memcpy(ret, s->prefix + offset, here);
                offset += here;
                ret += here;
                size -= here;
        }
        if (size == 0)
                return 0;

        Fill fill = { .to = ret, .rest = size };
        r = s->kind->stream(s, offset, size, on_fill, &fill, err);
        if (r < 0)
                return r;
        if (fill.rest != 0)
                return rs_fail(err, TRUNCATED, "%zu bytes missing", fill.rest);
        return 0;
}

int source_stream(Source *s, uint64_t offset, uint64_t size, SourceSink sink, void *userdata, RsError *err) {
        int r = check_range(s, offset, size, err);
        if (r < 0)
                return r;
        if (size == 0)
                return 0;
        return s->kind->stream(s, offset, size, sink, userdata, err);
}
