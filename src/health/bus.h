/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * bus - what the health check asks of systemd and of reseald.
 *
 * Spec:     org.freedesktop.systemd1(5), org.reseal1(5)
 * Trust:    both are the system's; error texts are made printable
 * Owns:     nothing
 * Units:    microseconds
 * Errors:   none: an answer that does not come is a "no"
 * Context:  one thread, blocking
 * Programs: reseal-health
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-bus.h>

/* Differs from one start of a unit to the next, whatever state it is found in. */
typedef struct UnitStart {
        uint8_t invocation[16];
        uint64_t entered_usec;   /* ActiveEnterTimestampMonotonic: also for units that nobody started (devices) */
        uint32_t n_restarts;     /* services */
} UnitStart;

/* ActiveState is "active".  state: what it is, also when that could not be found out; ret_start: of which start. */
bool bus_unit_is_active(sd_bus *bus, const char *unit, char state[32], UnitStart *ret_start);
bool unit_start_equal(const UnitStart *a, const UnitStart *b);
/* Manager.Check of reseald succeeds within usec; why: what it said otherwise. */
bool bus_check_source(sd_bus *bus, const char *source, uint64_t usec, char *why, size_t size);
