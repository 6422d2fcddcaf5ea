/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * stage - one step of the flow: takes a piece, passes it on to the next stage.
 *
 * Spec:     include/reseal/flow/flow.h
 * Trust:    a stage may rely on what the stages before it have proven, and on nothing else
 * Owns:     a stage owns its contexts; a Piece and its bytes are borrowed for the length of feed()
 * Units:    bytes, frames by number
 * Errors:   as flow.h
 * Context:  one worker thread
 * Programs: reseald
 */
#include <reseal/flow/flow.h>

/* One frame under way.  collect makes it; data may be changed in place by each stage. */
typedef struct Piece {
        uint32_t number;
        const Frame *frame;
        uint32_t plain_size;
        uint8_t *data;          /* NULL for zero and dup frames: they have no payload */
        size_t size;
        uint32_t ring_slot;     /* set by inflate */
} Piece;

typedef struct Stage Stage;

typedef struct StageKind {
        const char *name;
        int (*feed)(Stage *s, Piece *p, RsError *err);
        Stage *(*free)(Stage *s);
} StageKind;

struct Stage {
        const StageKind *kind;
        Stage *next;            /* borrowed; NULL behind the last */
};

static inline int stage_pass(Stage *s, Piece *p, RsError *err) {
        return s->next ? s->next->kind->feed(s->next, p, err) : 0;
}

static inline Stage *stage_free(Stage *s) {
        return s ? s->kind->free(s) : NULL;
}
RS_DEFINE_CLEANUP(Stage, stage_free)

/* The stages, in the order in which assemble.c joins them */
int stage_open_new(const FlowSpec *spec, uint32_t image, Stage **ret, RsError *err);
int stage_check_new(Stage **ret, RsError *err);
int stage_inflate_new(const FlowSpec *spec, Stage **ret, RsError *err);
int stage_send_new(const FlowSpec *spec, uint32_t image, Stage **ret, RsError *err);
