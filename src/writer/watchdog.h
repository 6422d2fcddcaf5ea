/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * watchdog - tells systemd that the writer is alive while both of its threads are.
 *
 * Spec:     systemd/reseal-writer.service, WatchdogSec; docs/tpm.md, "Connection"
 * Trust:    none
 * Owns:     a Watchdog owns its timer; loop and worker are borrowed
 * Units:    microseconds
 * Errors:   IO
 * Context:  main loop
 * Programs: reseal-writer
 */
#include <systemd/sd-event.h>

#include "worker.h"

typedef struct Watchdog Watchdog;

/* *ret is NULL when nobody watches (WATCHDOG_USEC is not set). */
int watchdog_new(sd_event *loop, Worker *worker, Watchdog **ret, RsError *err);
Watchdog *watchdog_free(Watchdog *w);
