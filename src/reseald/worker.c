/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * worker - one thread, one queue in, one queue out, one eventfd back.
 *
 * Everything that may block (curl, TPM, the writer's socket) runs here, so that callbacks of the main loop
 * return at once and a status call answers while an installation runs.  There is no other state shared
 * between the two threads than these two lists; what a task produces is handed over with the task itself.
 *
 * And one number: until when the thread must have shown a sign of life.  A call that never returns (a TPM
 * driver, a file system, a loop of ours) does not disturb the main loop, so the main loop alone must not feed
 * the watchdog: with the time past, nobody does, and the service is started anew.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

#include <reseal/base/cleanup.h>

#include "worker.h"

#define NEVER UINT64_MAX

struct Worker {
        pthread_t thread;
        pthread_mutex_t lock;
        pthread_cond_t wake;
        Task *todo, **todo_end;         /* under lock */
        Task *finished, **finished_end; /* under lock */
        bool stop;                      /* under lock */
        bool started;
        int fd;
        sd_event_source *source;
        unsigned load;                  /* main thread only */
        _Atomic uint64_t until;         /* CLOCK_BOOTTIME; NEVER: nothing is expected of the thread */
};

static Task *take(Task **list, Task ***end) {
        Task *t = *list;

        if (t) {
                *list = t->next;
                if (!*list)
                        *end = list;
                t->next = NULL;
        }
        return t;
}

static void put(Task ***end, Task *t) {
        t->next = NULL;
        **end = t;
        *end = &t->next;
}

static uint64_t now_usec(void) {
        struct timespec t = { 0 };

        (void) clock_gettime(CLOCK_BOOTTIME, &t); /* cannot fail for this clock */
        return (uint64_t) t.tv_sec * 1000000 + (uint64_t) t.tv_nsec / 1000;
}

void worker_expect(Worker *w, uint64_t within_usec) {
        uint64_t now = now_usec();

        w->until = within_usec && within_usec < NEVER - now ? now + within_usec : NEVER;
}

bool worker_is_alive(const Worker *w) {
        uint64_t until = w->until;

        return until == NEVER || now_usec() < until;
}

static void *thread_main(void *userdata) {
        Worker *w = userdata;

        (void) pthread_mutex_lock(&w->lock);
        for (;;) {
                while (!w->todo && !w->stop)
                        (void) pthread_cond_wait(&w->wake, &w->lock);
                if (w->stop)
                        break;
                Task *t = take(&w->todo, &w->todo_end);
                (void) pthread_mutex_unlock(&w->lock);
                worker_expect(w, t->within_usec);
                t->run(t);
                w->until = NEVER;
                (void) pthread_mutex_lock(&w->lock);
                put(&w->finished_end, t);
                (void) eventfd_write(w->fd, 1); /* cannot fail before 2^64 tasks */
        }
        (void) pthread_mutex_unlock(&w->lock);
        return NULL;
}

static int on_finished(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        Worker *w = userdata;
        eventfd_t unused;

        (void) s;
        (void) revents;
        (void) eventfd_read(fd, &unused);
        for (;;) {
                (void) pthread_mutex_lock(&w->lock);
                Task *t = take(&w->finished, &w->finished_end);
                (void) pthread_mutex_unlock(&w->lock);
                if (!t)
                        return 0;
                w->load--;
                t->done(t);
        }
}

int worker_new(sd_event *event, Worker **ret, RsError *err) {
        Worker *w = calloc(1, sizeof(*w));
        sigset_t all, old;

        if (!w)
                return rs_fail_oom(err);
        w->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        w->until = NEVER;
        w->todo_end = &w->todo;
        w->finished_end = &w->finished;
        (void) pthread_mutex_init(&w->lock, NULL);
        (void) pthread_cond_init(&w->wake, NULL);
        int r = w->fd < 0 ? -errno : sd_event_add_io(event, &w->source, w->fd, EPOLLIN, on_finished, w);
        if (r >= 0) {
                /* Signals are the main loop's: the thread starts with all of them blocked. */
                (void) sigfillset(&all);
                (void) pthread_sigmask(SIG_SETMASK, &all, &old);
                r = -pthread_create(&w->thread, NULL, thread_main, w);
                (void) pthread_sigmask(SIG_SETMASK, &old, NULL);
        }
        if (r < 0) {
                (void) worker_free(w);
                return rs_fail(err, INTERNAL, "worker thread: %s", strerror(-r));
        }
        w->started = true;
        *ret = w;
        return 0;
}

Worker *worker_free(Worker *w) {
        if (!w)
                return NULL;
        if (w->started) {
                (void) pthread_mutex_lock(&w->lock);
                w->stop = true;
                (void) pthread_cond_signal(&w->wake);
                (void) pthread_mutex_unlock(&w->lock);
                (void) pthread_join(w->thread, NULL);
        }
        for (Task *t; (t = take(&w->finished, &w->finished_end)) || (t = take(&w->todo, &w->todo_end));)
                t->done(t);
        w->source = sd_event_source_disable_unref(w->source);
        closep(&w->fd);
        (void) pthread_cond_destroy(&w->wake);
        (void) pthread_mutex_destroy(&w->lock);
        free(w);
        return NULL;
}

void worker_submit(Worker *w, Task *t) {
        w->load++;
        (void) pthread_mutex_lock(&w->lock);
        put(&w->todo_end, t);
        (void) pthread_cond_signal(&w->wake);
        (void) pthread_mutex_unlock(&w->lock);
}

unsigned worker_load(const Worker *w) {
        return w->load;
}
