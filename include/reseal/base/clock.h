/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * clock - how much time has passed, sleep of the machine included.
 *
 * Spec:     STYLE 10: timers on CLOCK_BOOTTIME; wall time only where trust judges it
 * Trust:    none: nothing is decided about a release by this clock
 * Owns:     nothing
 * Units:    microseconds since the machine started
 * Errors:   none: the clock is always there
 * Context:  any thread
 * Programs: all
 */
#include <stdint.h>

uint64_t clock_boottime_usec(void);
