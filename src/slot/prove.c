/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * prove - the helper thread that proves windows.
 *
 * Proof of one window: fdatasync, so that the medium has been told to keep it; O_DIRECT reads, so that no page cache
 * answers instead; decryption with contexts of its own, so that a broken key schedule of the writing side shows; then
 * the leaves and chunk digests of the signed table.  For luks2 slots the leaf blocks of the verity tree are read,
 * too, and compared with those just computed.  What passed this is what every boot will see.
 *
 * The thread shares with the worker only the queue below, under one mutex.  Callbacks to the installer are made by
 * the worker, when it asks with prover_next: nobody above this file knows of a second thread.
 */
#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/plain.h>

#include "medium.h"
#include "prove.h"

#define QUEUE_SIZE 2u
#define CHUNKS_PER_WINDOW (SLOT_WINDOW_SIZE / RS_CHUNK_SIZE)

struct Prover {
        /* the thread's own after start */
        const Table *table;
        const SlotLayout *layout;
        Medium medium;
        Xts *xts;
        HashTree *tree;
        uint8_t *buffer;       /* one frame, or the leaf blocks of a window */
        uint8_t (*leaves)[RS_BLOCK_SIZE];
        pthread_t thread;
        bool started;

        pthread_mutex_t mutex; /* guards all below */
        pthread_cond_t changed;
        uint32_t queue[QUEUE_SIZE];
        uint32_t n_queued;
        bool busy, quit;
        uint32_t *proven;      /* in order of proof; room for every window */
        uint32_t n_proven, n_reported;
        RsError failure;
};

uint32_t slot_frames_per_window(const Table *t) {
        return CHUNKS_PER_WINDOW / t->frame_chunks;
}

uint32_t slot_window_of_frame(const Table *t, uint32_t frame) {
        return frame / slot_frames_per_window(t);
}

static bool must_quit(Prover *p) {
        bool quit;

        (void) pthread_mutex_lock(&p->mutex);
        quit = p->quit;
        (void) pthread_mutex_unlock(&p->mutex);
        return quit;
}

static int prove_frame(Prover *p, uint32_t frame, uint32_t first_chunk, RsError *err) {
        uint32_t chunk = frame * p->table->frame_chunks;
        size_t size = table_frame_plain_size(p->table, frame);
        int r;

        r = medium_read(&p->medium, (uint64_t) chunk * RS_CHUNK_SIZE, p->buffer, size, err);
        if (r < 0)
                return r;
        for (size_t at = 0; at < size; at += RS_CHUNK_SIZE, chunk++) {
                size_t n = size - at < RS_CHUNK_SIZE ? size - at : RS_CHUNK_SIZE;
                uint8_t digest[RS_DIGEST_SIZE];

                r = hashtree_chunk(p->tree, SPAN(p->buffer + at, n), digest, p->leaves[chunk - first_chunk], err);
                if (r < 0)
                        return r;
                if (memcmp(digest, p->table->chunk_digests[chunk], sizeof(digest)) != 0)
                        return rs_fail(err, READ_BACK, "chunk %u reads back differently", chunk);
        }
        return 0;
}

static int prove_window(Prover *p, uint32_t window, RsError *err) {
        uint32_t per_window = slot_frames_per_window(p->table);
        uint32_t first = window * per_window, first_chunk = window * CHUNKS_PER_WINDOW;
        uint32_t n_chunks = p->table->n_chunks - first_chunk;
        size_t size;
        int r;

        r = medium_flush(&p->medium, err);
        if (r < 0)
                return r;
        for (uint32_t f = first; f < first + per_window && f < p->table->n_frames; f++) {
                if (must_quit(p))
                        return rs_fail(err, CANCELLED, "reading back was interrupted");
                r = prove_frame(p, f, first_chunk, err);
                if (r < 0)
                        return r;
        }
        if (p->layout->tree == 0)
                return 0;
        size = (size_t) (n_chunks < CHUNKS_PER_WINDOW ? n_chunks : CHUNKS_PER_WINDOW) * RS_BLOCK_SIZE;
        r = medium_read(&p->medium, p->layout->leaves + (uint64_t) first_chunk * RS_BLOCK_SIZE, p->buffer, size, err);
        if (r < 0)
                return r;
        if (memcmp(p->buffer, p->leaves, size) != 0)
                return rs_fail(err, READ_BACK, "the verity leaves of window %u read back differently", window);
        return 0;
}

static void *run(void *userdata) {
        Prover *p = userdata;

        (void) pthread_mutex_lock(&p->mutex);
        for (;;) {
                RsError err = RS_ERROR_INIT;
                uint32_t window;
                int r;

                while (p->n_queued == 0 && !p->quit)
                        (void) pthread_cond_wait(&p->changed, &p->mutex);
                if (p->quit)
                        break;
                window = p->queue[0];
                p->queue[0] = p->queue[1];
                p->n_queued--;
                p->busy = true;
                (void) pthread_cond_broadcast(&p->changed);
                (void) pthread_mutex_unlock(&p->mutex);

                r = prove_window(p, window, &err);

                (void) pthread_mutex_lock(&p->mutex);
                p->busy = false;
                if (r < 0) {
                        p->failure = err;
                        p->quit = true;
                } else
                        p->proven[p->n_proven++] = window;
                (void) pthread_cond_broadcast(&p->changed);
        }
        (void) pthread_mutex_unlock(&p->mutex);
        return NULL;
}

/* Signals stay with the threads of the program that expect them. */
static int start(Prover *p, RsError *err) {
        sigset_t all, before;
        int r;

        (void) sigfillset(&all);
        r = pthread_sigmask(SIG_SETMASK, &all, &before);
        if (r == 0) {
                r = pthread_create(&p->thread, NULL, run, p);
                (void) pthread_sigmask(SIG_SETMASK, &before, NULL);
        }
        if (r != 0)
                return rs_fail_errno(err, r, "read-back thread");
        p->started = true;
        return 0;
}

int prover_new(const SlotImageSpec *spec, const SlotLayout *layout, Prover **ret, RsError *err) {
        _cleanup_(prover_freep) Prover *p = calloc(1, sizeof(*p));
        int r;

        if (!p)
                return rs_fail_oom(err);
        (void) pthread_mutex_init(&p->mutex, NULL); /* neither fails with default attributes on Linux */
        (void) pthread_cond_init(&p->changed, NULL);
        p->table = spec->table;
        p->layout = layout;
        p->buffer = plain_new(RS_FRAME_SIZE_MAX);
        p->leaves = calloc(CHUNKS_PER_WINDOW, RS_BLOCK_SIZE);
        p->proven = calloc(slot_window_of_frame(spec->table, spec->table->n_frames - 1) + 1, sizeof(*p->proven));
        if (!p->buffer || !p->leaves || !p->proven)
                return rs_fail_oom(err);
        r = hashtree_new(SPAN_ARRAY(spec->image->salt), &p->tree, err);
        if (r == 0 && spec->volume_key)
                r = xts_new(spec->volume_key, &p->xts, err);
        if (r < 0)
                return r;
        p->medium = (Medium){ .fd = spec->fd, .xts = p->xts, .layout = layout };
        r = start(p, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(p);
        return 0;
}

Prover *prover_free(Prover *p) {
        if (!p)
                return NULL;
        if (p->started) {
                (void) pthread_mutex_lock(&p->mutex);
                p->quit = true;
                (void) pthread_cond_broadcast(&p->changed);
                (void) pthread_mutex_unlock(&p->mutex);
                (void) pthread_join(p->thread, NULL);
        }
        (void) pthread_cond_destroy(&p->changed);
        (void) pthread_mutex_destroy(&p->mutex);
        p->tree = hashtree_free(p->tree);
        p->xts = xts_free(p->xts);
        (void) plain_free(p->buffer);
        free(p->leaves);
        free(p->proven);
        free(p);
        return NULL;
}

/* The mutex is held.  The thread's failure becomes the caller's. */
static int failed(const Prover *p, RsError *err) {
        if (p->failure.reason == RS_REASON_NONE)
                return 0;
        if (err->reason == RS_REASON_NONE)
                *err = p->failure;
        return -err->errnum;
}

int prover_submit(Prover *p, uint32_t window, RsError *err) {
        int r;

        (void) pthread_mutex_lock(&p->mutex);
        while (p->n_queued == QUEUE_SIZE && !p->quit)
                (void) pthread_cond_wait(&p->changed, &p->mutex);
        r = failed(p, err);
        if (r == 0) {
                p->queue[p->n_queued++] = window;
                (void) pthread_cond_broadcast(&p->changed);
        }
        (void) pthread_mutex_unlock(&p->mutex);
        return r;
}

int prover_next(Prover *p, bool wait, uint32_t *ret_window, RsError *err) {
        int r;

        (void) pthread_mutex_lock(&p->mutex);
        while (wait && p->n_reported == p->n_proven && (p->n_queued > 0 || p->busy) && !p->quit)
                (void) pthread_cond_wait(&p->changed, &p->mutex);
        /* What was proven before the failure is still true and worth remembering. */
        if (p->n_reported < p->n_proven) {
                *ret_window = p->proven[p->n_reported++];
                r = 1;
        } else
                r = failed(p, err);
        (void) pthread_mutex_unlock(&p->mutex);
        return r;
}
