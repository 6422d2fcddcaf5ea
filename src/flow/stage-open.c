/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * stage-open - AES-256-GCM: ciphertext in, payload out, in place.
 *
 * The tag finds damage early and nothing more: every device entitled to a release holds its content key and
 * could make a good tag.  Authenticity comes from the next stage.  Frame number and length are bound by
 * nonce and additional data, so a frame moved to another place does not open.
 */
#include <stdlib.h>
#include <string.h>

#include <reseal/crypto/aead.h>

#include "stage.h"

typedef struct StageOpen {
        Stage base;
        Aead *aead;
        uint32_t image;
        uint8_t bundle_id[RS_DIGEST_SIZE];
} StageOpen;

static int open_feed(Stage *base, Piece *p, RsError *err) {
        StageOpen *s = (StageOpen *) base;
        uint8_t nonce[12], aad[FRAME_AAD_SIZE];

        if (!p->data)
                return stage_pass(base, p, err);
        bundle_frame_nonce(p->number, nonce);
        bundle_frame_aad(s->bundle_id, s->image, p->number, p->frame->payload_size, aad);
        int r = aead_open(s->aead, nonce, SPAN_ARRAY(aad), SPAN(p->data, p->size), p->data, err);
        if (r < 0)
                return rs_context(err, "frame %u", p->number);
        p->size -= RS_TAG_SIZE;
        return stage_pass(base, p, err);
}

static Stage *open_free(Stage *base) {
        StageOpen *s = (StageOpen *) base;

        (void) aead_free(s->aead);
        free(s);
        return NULL;
}

static const StageKind OPEN_KIND = { .name = "open", .feed = open_feed, .free = open_free };

int stage_open_new(const FlowSpec *spec, uint32_t image, Stage **ret, RsError *err) {
        _cleanup_(secret_freep) Secret *key = NULL;
        _cleanup_(stage_freep) Stage *base = NULL;

        StageOpen *s = calloc(1, sizeof(*s));
        if (!s)
                return rs_fail_oom(err);
        base = &s->base;
        base->kind = &OPEN_KIND;
        s->image = image;
        memcpy(s->bundle_id, spec->bundle_id, sizeof(s->bundle_id));
        int r = bundle_frames_key(spec->content_key, spec->bundle_id, image, &key, err);
        if (r < 0)
                return r;
        r = aead_new(key, &s->aead, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(base);
        return 0;
}
