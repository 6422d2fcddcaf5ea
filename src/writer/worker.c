/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * worker - a queue per peer, one of answers, one mutex, one thread.
 *
 * Everything that blocks (medium, TPM, boot state) happens here, in the order in which a peer asked for it; the main
 * loop only moves datagrams.  Between the peers the worker goes in turn: who fills his own queue holds up nobody else.
 * Shared are the queues, the answers for later and the sign of life, under the mutex, and the cancel flag of the
 * Installer.
 * Order is what makes a client's disappearance safe: its ABORT is queued behind its last frame and before the next
 * OFFER, for all of them come from one peer.
 *
 * Answers for later: whoever asks for SLOTS or STATE must not wait for a FINISH that reads gigabytes back.  After
 * each change (a step, a request that changes something) the worker answers both to itself and leaves the bytes under
 * the mutex; while it is occupied, the main loop gives those away.  A free worker is asked itself: then the answer
 * also knows what others changed, an operator with the bootloader's tool for example.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <syslog.h>
#include <time.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/clock.h>
#include <reseal/ipc/ring.h>

#include "journal.h"
#include "worker.h"

#define PROGRESS_PER_SECOND 10u

typedef struct Queue {
        Work *first;
        Work *last;
} Queue;

/* Which requests have an answer for later. */
static const uint32_t known_types[] = { WRITER_SLOTS, WRITER_STATE };

struct Worker {
        pthread_t thread;
        pthread_mutex_t mutex;
        pthread_cond_t more;
        Queue todo[_WORK_PEER_MAX], done;
        WorkPeer turn;           /* who is asked first */
        Work *known[ELEMENTSOF(known_types)]; /* NULL: none yet */
        bool busy;               /* the thread works */
        uint64_t alive_usec;     /* its last sign of life */
        bool stop;
        int wake_fd;
        Answerer answerer;
        /* of the worker thread */
        uint64_t client;         /* whose request runs: progress goes there */
        time_t second;
        uint32_t n_progress;     /* sent in this second */
};

static void push(Queue *q, Work *w) {
        w->next = NULL;
        if (q->last)
                q->last->next = w;
        else
                q->first = w;
        q->last = w;
}

static Work *pop(Queue *q) {
        Work *w = q->first;

        if (!w)
                return NULL;
        q->first = w->next;
        if (!q->first)
                q->last = NULL;
        w->next = NULL;
        return w;
}

Work *work_new(uint32_t type, uint64_t client, uint32_t sequence) {
        Work *w = calloc(1, sizeof(*w));

        if (!w)
                return NULL;
        w->type = type;
        w->client = client;
        w->sequence = sequence;
        w->fd = -EBADF;
        return w;
}

Work *work_free(Work *w) {
        if (!w)
                return NULL;
        free(w->bytes);
        closep(&w->fd);
        encoder_done(&w->answer);
        free(w);
        return NULL;
}

static void give_back(Worker *w, Work *work) {
        const uint64_t one = 1;

        (void) pthread_mutex_lock(&w->mutex);
        push(&w->done, work);
        (void) pthread_mutex_unlock(&w->mutex);
        if (write(w->wake_fd, &one, sizeof(one)) < 0) {
                /* EAGAIN: the counter is full, the main loop has been woken long ago */
        }
}

static void on_alive(void *userdata) {
        Worker *w = userdata;

        (void) pthread_mutex_lock(&w->mutex);
        w->alive_usec = clock_boottime_usec();
        (void) pthread_mutex_unlock(&w->mutex);
}

/* At most 10 per second: a frame or a step that comes too early is not told, the next one will be. */
static void on_progress(void *userdata, const WriterProgress *progress) {
        Worker *w = userdata;
        struct timespec now;
        Work *event;

        (void) clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec != w->second) {
                w->second = now.tv_sec;
                w->n_progress = 0;
        }
        if (w->client == 0 || w->n_progress >= PROGRESS_PER_SECOND)
                return;
        /* Spread over the second, so that the end of a second is not silent. */
        if ((uint64_t) now.tv_nsec * PROGRESS_PER_SECOND < (uint64_t) w->n_progress * 1000000000u)
                return;
        event = work_new(WRITER_EVENT_PROGRESS, w->client, 0);
        if (!event)
                return;
        w->n_progress++;
        writer_encode_progress(&event->answer, progress);
        give_back(w, event);
}

/* On the worker thread; never asks the TPM.  For want of memory the older answer stays. */
static void publish(Worker *w) {
        for (size_t i = 0; i < ELEMENTSOF(known_types); i++) {
                Work *work, *old;

                if (known_types[i] == WRITER_STATE && !install_state_known(w->answerer.installer))
                        continue;
                work = work_new(known_types[i], 0, 0);
                if (!work)
                        continue;
                work->for_later = true;
                writer_answer(&w->answerer, work);
                (void) pthread_mutex_lock(&w->mutex);
                old = w->known[i];
                w->known[i] = work;
                (void) pthread_mutex_unlock(&w->mutex);
                (void) work_free(old);
        }
}

static bool shows_or_changes_state(uint32_t type) {
        return type != WRITER_TABLE && type != WRITER_RING && type != WRITER_FRAME;
}

static void on_step(void *userdata, InstallStep step, bool done) {
        WriterProgress progress = { .step = (uint32_t) step };
        char field[64];

        on_alive(userdata);
        if (done) {
                publish(userdata);
                return;
        }
        (void) snprintf(field, sizeof(field), "RESEAL_STEP=%s", install_step_to_string(step));
        journal_say(LOG_INFO, MESSAGE_WRITER_STEP, field, NULL, "step %s", install_step_to_string(step));
        if (step != INSTALL_W0_GATE && step != INSTALL_W4_FRAMES)
                on_progress(userdata, &progress);
}

/* What a power cut left half done behind the commit points is brought to its end before anybody asks (W11, W12). */
static void converge(Worker *w) {
        RsError err = RS_ERROR_INIT;

        if (install_converge(w->answerer.installer, &err) < 0)
                journal_say(LOG_WARNING, MESSAGE_WRITER_REFUSED, NULL, &err,
                            "ignoring that an earlier installation cannot be brought to its end now");
}

/* Under the mutex. */
static bool anything_todo(const Worker *w) {
        for (int p = 0; p < _WORK_PEER_MAX; p++)
                if (w->todo[p].first)
                        return true;
        return false;
}

static Work *pop_todo(Worker *w) {
        Work *work = NULL;

        for (int p = 0; p < _WORK_PEER_MAX && !work; p++) {
                work = pop(&w->todo[w->turn]);
                w->turn = (WorkPeer) ((w->turn + 1) % _WORK_PEER_MAX);
        }
        return work;
}

/* The next one to do; NULL: stop. */
static Work *take_todo(Worker *w) {
        Work *work;

        (void) pthread_mutex_lock(&w->mutex);
        w->busy = false;
        while (!anything_todo(w) && !w->stop)
                (void) pthread_cond_wait(&w->more, &w->mutex);
        work = w->stop ? NULL : pop_todo(w);
        w->busy = work != NULL;
        w->alive_usec = clock_boottime_usec();
        (void) pthread_mutex_unlock(&w->mutex);
        return work;
}

static void *run(void *userdata) {
        Worker *w = userdata;
        Work *work;

        converge(w);
        publish(w);
        while ((work = take_todo(w))) {
                w->client = work->client;
                writer_answer(&w->answerer, work);
                if (shows_or_changes_state(work->type))
                        publish(w);
                give_back(w, work);
        }
        return NULL;
}

static int start_thread(Worker *w, RsError *err) {
        sigset_t all, before;
        int r;

        /* Signals are the main loop's. */
        (void) sigfillset(&all);
        (void) pthread_sigmask(SIG_SETMASK, &all, &before);
        r = pthread_create(&w->thread, NULL, run, w);
        (void) pthread_sigmask(SIG_SETMASK, &before, NULL);
        return r != 0 ? rs_fail_errno(err, r, "worker thread") : 0;
}

int worker_start(const InstallDevice *device, int wake_fd, Worker **ret, RsError *err) {
        InstallDevice own = *device;
        Worker *w;
        int r;

        w = calloc(1, sizeof(*w));
        if (!w)
                return rs_fail_oom(err);
        own.on_step = on_step;
        own.on_progress = on_progress;
        own.on_alive = on_alive;
        own.userdata = w;
        w->wake_fd = wake_fd;
        w->answerer.anchors_fd = -EBADF;
        w->busy = true; /* until it has converged */
        w->alive_usec = clock_boottime_usec();
        (void) pthread_mutex_init(&w->mutex, NULL);
        (void) pthread_cond_init(&w->more, NULL);
        r = install_new(&own, &w->answerer.installer, err);
        if (r == 0)
                r = start_thread(w, err);
        if (r < 0) {
                (void) install_free(w->answerer.installer);
                free(w);
                return r;
        }
        *ret = w;
        return 0;
}

Worker *worker_stop(Worker *w) {
        Work *work;

        if (!w)
                return NULL;
        install_cancel(w->answerer.installer);
        (void) pthread_mutex_lock(&w->mutex);
        w->stop = true;
        (void) pthread_cond_signal(&w->more);
        (void) pthread_mutex_unlock(&w->mutex);
        (void) pthread_join(w->thread, NULL);
        while ((work = pop_todo(w)) || (work = pop(&w->done)))
                (void) work_free(work);
        for (size_t i = 0; i < ELEMENTSOF(known_types); i++)
                (void) work_free(w->known[i]);
        (void) install_free(w->answerer.installer);
        (void) ring_free(w->answerer.ring);
        closep(&w->answerer.anchors_fd);
        (void) pthread_cond_destroy(&w->more);
        (void) pthread_mutex_destroy(&w->mutex);
        free(w);
        return NULL;
}

void worker_post(Worker *w, Work *work) {
        (void) pthread_mutex_lock(&w->mutex);
        push(&w->todo[work->peer], work);
        (void) pthread_cond_signal(&w->more);
        (void) pthread_mutex_unlock(&w->mutex);
}

Work *worker_take(Worker *w) {
        Work *work;

        (void) pthread_mutex_lock(&w->mutex);
        work = pop(&w->done);
        (void) pthread_mutex_unlock(&w->mutex);
        return work;
}

void worker_cancel(Worker *w) {
        install_cancel(w->answerer.installer);
}

bool worker_answer_known(Worker *w, Work *work) {
        bool given = false;

        (void) pthread_mutex_lock(&w->mutex);
        for (size_t i = 0; i < ELEMENTSOF(known_types); i++) {
                const Work *known = w->known[i];

                if (known_types[i] != work->type || !known || !(w->busy || anything_todo(w)))
                        continue;
                work->error = known->error;
                encoder_bytes(&work->answer, known->answer.data, known->answer.size);
                given = true;
        }
        (void) pthread_mutex_unlock(&w->mutex);
        return given;
}

bool worker_is_alive(Worker *w, uint64_t silent_usec) {
        bool alive;

        (void) pthread_mutex_lock(&w->mutex);
        alive = !(w->busy || anything_todo(w)) || clock_boottime_usec() - w->alive_usec < silent_usec;
        (void) pthread_mutex_unlock(&w->mutex);
        return alive;
}
