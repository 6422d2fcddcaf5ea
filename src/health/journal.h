/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * journal - the events of reseal-health.
 *
 * Spec:     STYLE 11; systemd/reseal.catalog has one entry per id
 * Trust:    none
 * Owns:     nothing
 * Units:    none
 * Errors:   none
 * Context:  constants only
 * Programs: reseal-health
 */
#include <reseal/ipc/journal.h>

#define MESSAGE_HEALTH_GOOD "365bde499a9da5dbbd81634f3b7bf801"
#define MESSAGE_HEALTH_FAILED "271ae770d7671d55a0467680cb09e4b9"
#define MESSAGE_HEALTH_UNKNOWN "2bdc72a1601358e2cde795cd5e1d0aec"
