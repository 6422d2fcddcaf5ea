/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * state - the statement "the latest release of this line is n", signed for a few days.
 *
 * Spec:     docs/format-chain.md, section 5; requirement S62
 * Trust:    what it states is the operator's own word
 * Owns:     nothing
 * Units:    days
 * Errors:   CONFIG, INVALID, FORMAT, those of signing and IO
 * Context:  one thread
 * Programs: reseal-source
 */
#include <reseal/base/error.h>

#include "options.h"

/* Writes o->output, whole or not at all. */
int state_latest(const Options *o, RsError *err);
