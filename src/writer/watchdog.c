/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * watchdog - fed by the main loop, and only while the worker gets on.
 *
 * A main loop that turns says nothing about a worker that hangs in a TPM or a medium: ESYS has no deadline of its own.
 * The worker leaves a sign of life with each request, step, frame and window; one that works and has left none for a
 * whole interval is not fed for, so systemd ends the program between one and two intervals after the last sign.  What
 * was being installed resumes from its record.  A worker that waits for work is alive.
 */
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <systemd/sd-daemon.h>

#include <reseal/base/cleanup.h>

#include "watchdog.h"

struct Watchdog {
        Worker *worker;
        sd_event_source *timer;
        uint64_t interval_usec;
};

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Watchdog *w = userdata;

        (void) usec;
        if (worker_is_alive(w->worker, w->interval_usec))
                (void) sd_notify(0, "WATCHDOG=1");
        (void) sd_event_source_set_time_relative(source, w->interval_usec / 4);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

int watchdog_new(sd_event *loop, Worker *worker, Watchdog **ret, RsError *err) {
        uint64_t interval_usec = 0;
        Watchdog *w;
        int r;

        r = sd_watchdog_enabled(0, &interval_usec);
        if (r < 0)
                return rs_fail_errno(err, -r, "watchdog");
        if (r == 0) {
                *ret = NULL;
                return 0;
        }
        w = calloc(1, sizeof(*w));
        if (!w)
                return rs_fail_oom(err);
        w->worker = worker;
        w->interval_usec = interval_usec;
        r = sd_event_add_time_relative(loop, &w->timer, CLOCK_BOOTTIME, 0, 0, on_timer, w);
        if (r < 0) {
                free(w);
                return rs_fail_errno(err, -r, "watchdog");
        }
        *ret = w;
        return 0;
}

Watchdog *watchdog_free(Watchdog *w) {
        if (w)
                (void) sd_event_source_disable_unref(w->timer);
        free(w);
        return NULL;
}
