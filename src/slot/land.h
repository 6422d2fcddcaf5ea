/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * land - encrypts and writes pieces in the order in which they were given, behind the verification.
 *
 * Spec:     DESIGN.md 3 and 8 (W4)
 * Trust:    writes what it is given: the bytes were verified in private memory, nobody else touches them
 * Owns:     a Lander owns its thread, borrows the Medium, and the bytes of a piece until that piece has landed
 * Units:    bytes, whole blocks; tickets count pieces from 1 on
 * Errors:   IO, NO_SPACE, RANGE, INTERNAL; the first failure sticks
 * Context:  called by one worker thread; the Medium's encryption is the thread's until lander_wait has returned
 * Programs: reseal-writer
 */
#include "medium.h"

typedef struct Lander Lander;

int lander_new(const Medium *medium, Lander **ret, RsError *err);
Lander *lander_free(Lander *l); /* waits for the piece at hand; pieces behind it are dropped */
RS_DEFINE_CLEANUP(Lander, lander_free)

/* The bytes are encrypted in place.  Waits while LANDER_QUEUE pieces are unwritten. */
#define LANDER_QUEUE 4u
int lander_submit(Lander *l, uint64_t offset, uint8_t *bytes, size_t size, uint64_t *ret_ticket, RsError *err);
/* Until the piece of this ticket, and all before it, have been written. */
int lander_wait(Lander *l, uint64_t ticket, RsError *err);
bool lander_has_landed(Lander *l, uint64_t ticket);
