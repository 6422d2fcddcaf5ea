/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * prove - flushes windows and reads them back from the medium, behind the writing.
 *
 * Spec:     DESIGN.md 3, "Read-back runs behind the writing"; 8, W4 and W5
 * Trust:    believes only what O_DIRECT reads after a flush: decrypted, its leaves and digests against the signed table
 * Owns:     a Prover owns its thread, buffer and contexts; borrows fd, table and layout
 * Units:    windows by number
 * Errors:   READ_BACK, IO, RANGE, NO_MEMORY, INTERNAL; the first failure sticks
 * Context:  called by one worker thread
 * Programs: reseal-writer
 */
#include <reseal/slot/image.h>
#include <reseal/slot/layout.h>

typedef struct Prover Prover;

int prover_new(const SlotImageSpec *spec, const SlotLayout *layout, Prover **ret, RsError *err);
Prover *prover_free(Prover *p); /* waits for at most the frame at hand */
RS_DEFINE_CLEANUP(Prover, prover_free)

/* Queues a window whose bytes have all been written; waits while two are queued already. */
int prover_submit(Prover *p, uint32_t window, RsError *err);
/* 1: *ret_window has been proven; 0: none is ready or, when waiting, none is left; < 0: failed. */
int prover_next(Prover *p, bool wait, uint32_t *ret_window, RsError *err);

uint32_t slot_frames_per_window(const Table *t);
