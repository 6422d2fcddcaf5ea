/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * land - the helper thread that encrypts and writes.
 *
 * A medium takes as long to write a frame as a processor to verify one, and O_DIRECT makes the writer wait for it.
 * So the frame that was verified is written here while the worker verifies the next one in another buffer.  Order is
 * kept: pieces are written one after the other, as they were given, so "piece n has landed" means that all before it
 * have, too.  A failure ends the thread; what was queued behind it is never written.
 *
 * The thread shares with the worker only the queue below, under one mutex.  It starts with the first piece: a
 * SlotImage that only verifies has none.
 */
#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include <reseal/base/cleanup.h>

#include "land.h"

typedef struct Piece {
        uint64_t offset;
        uint8_t *bytes;
        size_t size;
} Piece;

struct Lander {
        const Medium *medium;  /* the thread's own while it writes */
        pthread_t thread;
        bool started;

        pthread_mutex_t mutex; /* guards all below */
        pthread_cond_t changed;
        Piece queue[LANDER_QUEUE]; /* piece n (from 0) lies at n modulo its size until it has landed */
        uint64_t n_given, n_landed;
        bool quit;
        RsError failure;
};

static void *run(void *userdata) {
        Lander *l = userdata;

        (void) pthread_mutex_lock(&l->mutex);
        for (;;) {
                RsError err = RS_ERROR_INIT;
                Piece piece;
                int r;

                while (l->n_given == l->n_landed && !l->quit)
                        (void) pthread_cond_wait(&l->changed, &l->mutex);
                if (l->quit)
                        break;
                piece = l->queue[l->n_landed % LANDER_QUEUE];
                (void) pthread_mutex_unlock(&l->mutex);

                r = medium_write(l->medium, piece.offset, piece.bytes, piece.size, &err);

                (void) pthread_mutex_lock(&l->mutex);
                if (r < 0) {
                        l->failure = err;
                        l->quit = true;
                } else
                        l->n_landed++;
                (void) pthread_cond_broadcast(&l->changed);
        }
        (void) pthread_mutex_unlock(&l->mutex);
        return NULL;
}

/* Signals stay with the threads of the program that expect them. */
static int start(Lander *l, RsError *err) {
        sigset_t all, before;
        int r;

        (void) sigfillset(&all);
        r = pthread_sigmask(SIG_SETMASK, &all, &before);
        if (r == 0) {
                r = pthread_create(&l->thread, NULL, run, l);
                (void) pthread_sigmask(SIG_SETMASK, &before, NULL);
        }
        if (r != 0)
                return rs_fail_errno(err, r, "writing thread");
        l->started = true;
        return 0;
}

int lander_new(const Medium *medium, Lander **ret, RsError *err) {
        Lander *l = calloc(1, sizeof(*l));

        if (!l)
                return rs_fail_oom(err);
        (void) pthread_mutex_init(&l->mutex, NULL); /* neither fails with default attributes on Linux */
        (void) pthread_cond_init(&l->changed, NULL);
        l->medium = medium;
        *ret = l;
        return 0;
}

Lander *lander_free(Lander *l) {
        if (!l)
                return NULL;
        if (l->started) {
                (void) pthread_mutex_lock(&l->mutex);
                l->quit = true;
                (void) pthread_cond_broadcast(&l->changed);
                (void) pthread_mutex_unlock(&l->mutex);
                (void) pthread_join(l->thread, NULL);
        }
        (void) pthread_cond_destroy(&l->changed);
        (void) pthread_mutex_destroy(&l->mutex);
        free(l);
        return NULL;
}

/* The mutex is held.  The thread's failure becomes the caller's. */
static int failed(const Lander *l, RsError *err) {
        if (l->failure.reason == RS_REASON_NONE)
                return 0;
        if (err->reason == RS_REASON_NONE)
                *err = l->failure;
        return -err->errnum;
}

int lander_submit(Lander *l, uint64_t offset, uint8_t *bytes, size_t size, uint64_t *ret_ticket, RsError *err) {
        int r = 0;

        if (!l->started)
                r = start(l, err);
        if (r < 0)
                return r;
        (void) pthread_mutex_lock(&l->mutex);
        while (l->n_given - l->n_landed == LANDER_QUEUE && !l->quit)
                (void) pthread_cond_wait(&l->changed, &l->mutex);
        r = failed(l, err);
        if (r == 0) {
                l->queue[l->n_given++ % LANDER_QUEUE] = (Piece){ .offset = offset, .bytes = bytes, .size = size };
                *ret_ticket = l->n_given;
                (void) pthread_cond_broadcast(&l->changed);
        }
        (void) pthread_mutex_unlock(&l->mutex);
        return r;
}

int lander_wait(Lander *l, uint64_t ticket, RsError *err) {
        int r;

        (void) pthread_mutex_lock(&l->mutex);
        assert(ticket <= l->n_given);
        while (l->n_landed < ticket && !l->quit)
                (void) pthread_cond_wait(&l->changed, &l->mutex);
        r = failed(l, err);
        (void) pthread_mutex_unlock(&l->mutex);
        return r;
}

bool lander_has_landed(Lander *l, uint64_t ticket) {
        bool has;

        (void) pthread_mutex_lock(&l->mutex);
        has = l->n_landed >= ticket;
        (void) pthread_mutex_unlock(&l->mutex);
        return has;
}
