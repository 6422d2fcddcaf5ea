/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * stage-send - hands a filled slot of the ring over to the writer.
 *
 * The last stage.  Several frames are outstanding at a time, so that this process decodes the next while
 * the writer hashes and encrypts the one before: on two cores the two sides overlap.
 */
#include <stdlib.h>

#include <reseal/base/cleanup.h>

#include "stage.h"

typedef struct StageSend {
        Stage base;
        const FlowSpec *spec;
        uint32_t image;
} StageSend;

static int send_feed(Stage *base, Piece *p, RsError *err) {
        StageSend *s = (StageSend *) base;

        int r = writer_send_frame(s->spec->writer, s->image, p->number, p->ring_slot, p->plain_size, err);
        if (r < 0)
                return r;
        if (s->spec->on_frame)
                s->spec->on_frame(s->spec->userdata, s->image, p->plain_size);
        return 0;
}

static Stage *send_free(Stage *base) {
        free(base);
        return NULL;
}

static const StageKind SEND_KIND = { .name = "send", .feed = send_feed, .free = send_free };

int stage_send_new(const FlowSpec *spec, uint32_t image, Stage **ret, RsError *err) {
        StageSend *s = calloc(1, sizeof(*s));
        if (!s)
                return rs_fail_oom(err);
        s->base.kind = &SEND_KIND;
        s->spec = spec;
        s->image = image;
        *ret = &s->base;
        return 0;
}
