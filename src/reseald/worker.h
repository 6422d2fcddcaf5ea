/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * worker - the one thread that may block, joined to the main loop by a queue.
 *
 * Spec:     DESIGN.md 3, "Each process"
 * Trust:    none
 * Owns:     a Task belongs to the queue from submit until its done() was called; done() frees it
 * Units:    none
 * Errors:   negative errno
 * Context:  all functions on the main thread; Task.run on the worker, Task.done on the main thread
 * Programs: reseald
 */
#include <stdbool.h>
#include <stdint.h>

#include <systemd/sd-event.h>

#include <reseal/base/error.h>

typedef struct Task Task;
struct Task {
        void (*run)(Task *t);           /* on the worker: blocks, touches nothing but what the task owns */
        void (*done)(Task *t);          /* on the main thread */
        uint64_t within_usec;           /* how long run() may be silent; 0 = for ever */
        Task *next;
};

typedef struct Worker Worker;

int worker_new(sd_event *event, Worker **ret, RsError *err);
/* Waits for the task under way (cancel it first), drops what is queued through done(). */
Worker *worker_free(Worker *w);
void worker_submit(Worker *w, Task *t);
/* On the worker: what comes next ends within this time, or the thread hangs. */
void worker_expect(Worker *w, uint64_t within_usec);
/* No task, or one that still has time: what the watchdog is told (main thread). */
bool worker_is_alive(const Worker *w);
unsigned worker_load(const Worker *w);  /* tasks queued or under way */
