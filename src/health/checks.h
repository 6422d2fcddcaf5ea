/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * checks - is the running release healthy?
 *
 * Spec:     docs/man/health.conf.5; DESIGN.md 8, W10
 * Trust:    units and programs are the image's and the administrator's; their words are made printable
 * Owns:     nothing
 * Units:    until: CLOCK_BOOTTIME in microseconds
 * Errors:   UNHEALTHY with what failed in words, and only that
 * Context:  one thread, blocking
 * Programs: reseal-health
 */
#include "bus.h"
#include "config.h"

/* All that is configured, in the order units, programs, source; then that the units are of the same start still. */
int checks_run(const HealthConfig *c, uint64_t until, RsError *err);

/* Each alone. Units: active for settle_usec since one and the same start; ret_starts: one of each unit. */
int checks_units(const HealthConfig *c, uint64_t until, UnitStart *ret_starts, RsError *err);
/* Programs of the directory in the order of their names, with nothing but PATH in the environment; status 0 is good. */
int checks_programs(const HealthConfig *c, uint64_t until, RsError *err);
/* reseald fetches and verifies the head of the bundle; asked again until it answers. */
int checks_source(const HealthConfig *c, uint64_t until, RsError *err);
