/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * config - what a healthy device is.
 *
 * Spec:     docs/man/health.conf.5
 * Trust:    the file belongs to root
 * Owns:     strings belong to the HealthConfig
 * Units:    microseconds
 * Errors:   CONFIG
 * Context:  start of the program
 * Programs: reseal-health
 */
#include <reseal/base/cleanup.h>
#include <reseal/base/config.h>

#define HEALTH_UNITS_MAX 64u

typedef struct HealthConfig {
        char *units[HEALTH_UNITS_MAX]; /* must be active */
        size_t n_units;
        char *checks;                  /* directory of programs that must succeed; NULL: none */
        char *source;                  /* bundle that reseald must be able to look at; NULL: not asked */
        uint64_t deadline_usec;        /* for all of it */
        uint64_t settle_usec;          /* units stay active for so long */
} HealthConfig;

#define HEALTH_CONFIG_EMPTY ((HealthConfig){ .deadline_usec = 300000000, .settle_usec = 10000000 })

int health_config_load(const char *path, HealthConfig *ret, RsError *err);
void health_config_done(HealthConfig *c);
