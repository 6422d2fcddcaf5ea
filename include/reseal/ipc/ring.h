/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * ring - the shared memory through which plaintext frames pass from reseald to the writer.
 *
 * Spec:     docs/protocol-writer.md, RING and FRAME
 * Trust:    the writer makes and seals it (no shrink, no grow); each side assumes the other changes bytes at any
 *           moment
 * Owns:     a Ring owns mapping and fd
 * Units:    bytes; slots by number
 * Errors:   PROTOCOL (wrong size or seals), IO
 * Context:  one thread per side
 * Programs: reseald, reseal-writer
 */
#include <stdint.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/error.h>
#include <reseal/format/limits.h>

#define RING_SLOTS 4u
#define RING_SLOT_SIZE RS_FRAME_SIZE_MAX

typedef struct Ring Ring;

int ring_create(Ring **ret, RsError *err);                        /* writer */
int ring_attach(int fd /* taken */, Ring **ret, RsError *err);    /* reseald: checks size and seals */
/* Its pages are wiped and given back, in every mapping there is; it reads as zeros and can be used again. */
int ring_clear(Ring *r, RsError *err);
Ring *ring_free(Ring *r);                                         /* clears it */
RS_DEFINE_CLEANUP(Ring, ring_free)
int ring_fd(const Ring *r);
uint8_t *ring_slot(Ring *r, uint32_t slot);                       /* RING_SLOT_SIZE bytes */
