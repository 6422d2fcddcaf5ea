/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * stage-check - SHA-256 of the payload against the signed table.
 *
 * Stands before the decompressor, so that a decoder of foreign formats only ever sees bytes that a release
 * engineer signed: whoever took over the source or shares the content key cannot reach it (T13).
 */
#include <stdlib.h>
#include <string.h>

#include <reseal/crypto/digest.h>

#include "stage.h"

typedef struct StageCheck {
        Stage base;
        Digest *digest;
} StageCheck;

static int check_feed(Stage *base, Piece *p, RsError *err) {
        StageCheck *s = (StageCheck *) base;
        uint8_t is[SHA256_SIZE];

        if (!p->data)
                return stage_pass(base, p, err);
        int r = digest_start(s->digest, err);
        if (r >= 0)
                r = digest_feed(s->digest, SPAN(p->data, p->size), err);
        if (r >= 0)
                r = digest_finish(s->digest, is, err);
        if (r < 0)
                return r;
        /* Both sides are public to whoever sent this: no need for constant time. */
        if (p->size != p->frame->payload_size || memcmp(is, p->frame->payload_sha256, sizeof(is)) != 0)
                return rs_fail(err, FRAME_DIGEST, "frame %u", p->number);
        return stage_pass(base, p, err);
}

static Stage *check_free(Stage *base) {
        StageCheck *s = (StageCheck *) base;

        (void) digest_free(s->digest);
        free(s);
        return NULL;
}

static const StageKind CHECK_KIND = { .name = "check", .feed = check_feed, .free = check_free };

int stage_check_new(Stage **ret, RsError *err) {
        _cleanup_(stage_freep) Stage *base = NULL;

        StageCheck *s = calloc(1, sizeof(*s));
        if (!s)
                return rs_fail_oom(err);
        base = &s->base;
        base->kind = &CHECK_KIND;
        int r = digest_new(&s->digest, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(base);
        return 0;
}
