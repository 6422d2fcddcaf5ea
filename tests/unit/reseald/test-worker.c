/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The worker thread: tasks in order, their ends on the main loop, and a sign of life only from a thread that lives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <semaphore.h>

#include <cmocka.h>

#include <reseal/base/cleanup.h>

#include "../../../src/reseald/worker.h"

typedef struct Work {
        Task task;
        Worker *worker;
        uint64_t then_usec;     /* what run() expects of itself */
        sem_t *entered, *go;
        unsigned *n_done, number;
        sd_event *event;
} Work;

static void run(Task *t) {
        Work *w = (Work *) t;

        if (w->then_usec)
                worker_expect(w->worker, w->then_usec);
        if (w->entered)
                (void) sem_post(w->entered);
        if (w->go)
                (void) sem_wait(w->go);
}

static void done(Task *t) {
        Work *w = (Work *) t;

        assert_int_equal((*w->n_done)++, w->number);
        if (w->event)
                (void) sd_event_exit(w->event, 0);
}

static void tasks_run_in_order_and_end_on_the_main_loop(void **state) {
        RsError err = RS_ERROR_INIT;
        sd_event *event = NULL;
        unsigned n_done = 0;
        Work works[20];
        Worker *w;

        (void) state;
        assert_true(sd_event_new(&event) >= 0);
        assert_int_equal(worker_new(event, &w, &err), 0);
        for (unsigned i = 0; i < ELEMENTSOF(works); i++) {
                works[i] = (Work){ .task = { .run = run, .done = done }, .worker = w, .n_done = &n_done, .number = i,
                                   .event = i == ELEMENTSOF(works) - 1 ? event : NULL };
                worker_submit(w, &works[i].task);
        }
        assert_int_equal(worker_load(w), ELEMENTSOF(works));
        assert_int_equal(sd_event_loop(event), 0);
        assert_int_equal(n_done, ELEMENTSOF(works));
        assert_int_equal(worker_load(w), 0);
        w = worker_free(w);
        event = sd_event_unref(event);
}

/* within: of the task; then: of what it does next; 0 = for ever. */
static bool lives(uint64_t within_usec, uint64_t then_usec) {
        RsError err = RS_ERROR_INIT;
        sd_event *event = NULL;
        unsigned n_done = 0;
        sem_t entered, go;
        Worker *w;

        assert_true(sem_init(&entered, 0, 0) == 0 && sem_init(&go, 0, 0) == 0);
        assert_true(sd_event_new(&event) >= 0);
        assert_int_equal(worker_new(event, &w, &err), 0);
        assert_true(worker_is_alive(w)); /* nothing to do is no hang */
        Work work = { .task = { .run = run, .done = done, .within_usec = within_usec }, .worker = w, .then_usec = then_usec,
                      .entered = &entered, .go = &go, .n_done = &n_done, .event = event };
        worker_submit(w, &work.task);
        assert_int_equal(sem_wait(&entered), 0);
        bool yes = worker_is_alive(w);
        for (unsigned i = 0; i < 200 && yes && (within_usec == 1 || then_usec == 1); i++) {
                (void) usleep(1000);
                yes = worker_is_alive(w);
        }
        assert_int_equal(sem_post(&go), 0);
        assert_int_equal(sd_event_loop(event), 0);
        assert_true(worker_is_alive(w)); /* it came back after all */
        w = worker_free(w);
        event = sd_event_unref(event);
        return yes;
}

static void thread_that_does_not_come_back_is_not_alive(void **state) {
        (void) state;
        assert_false(lives(1, 0));
        assert_false(lives(0, 1));
        assert_false(lives(3600000000u, 1));
}

static void thread_within_its_time_is_alive(void **state) {
        (void) state;
        assert_true(lives(0, 0));
        assert_true(lives(3600000000u, 0));
        assert_true(lives(UINT64_MAX, 0));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(tasks_run_in_order_and_end_on_the_main_loop),
                cmocka_unit_test(thread_that_does_not_come_back_is_not_alive),
                cmocka_unit_test(thread_within_its_time_is_alive),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
