/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pack - frames through worker threads, back into order.
 *
 * Workers take frame numbers in order, each into the slot (number mod n_slots): read, hash the chunks, compress,
 * hash the payload.  The main thread commits slots strictly in order, so the output does not depend on the
 * number of threads, and a worker that is ahead waits until its slot is free: memory is n_slots buffers.
 *
 * A frame repeats an earlier one if their chunk digests agree.  The map holds, per digest, the lowest frame number
 * seen so far by any worker.  When the main thread commits frame f, all lower frames are in the map: the decision
 * is the same in every run.  A worker may skip compression if the map already holds a lower number: that can only
 * become lower still.  The lowest frame with a content is never itself a dup, and zero frames are not in the map,
 * so dup always refers to a frame with a payload.  Equal chunk digests also mean equal length: a shorter chunk
 * has zeros where the other has a leaf digest.  Only the number of chunks is compared besides.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <zstd.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/crypto/digest.h>
#include <reseal/crypto/hashtree.h>

#include "pack.h"

#define NO_FRAME UINT32_MAX

typedef struct Slot {
        uint8_t *plain;
        uint8_t *packed;
        const uint8_t *payload; /* one of both; NULL when the frame has none of its own */
        Frame frame;
        RsError err;
        bool is_done;
} Slot;

typedef struct Packer {
        const PackInput *in;
        Table *table;

        pthread_mutex_t lock;
        pthread_cond_t slot_free;
        pthread_cond_t slot_done;
        Slot *slots;
        uint32_t n_slots;
        uint32_t next; /* frame the next worker takes */
        uint32_t n_committed;
        bool stop;

        pthread_mutex_t map_lock;
        uint32_t *map; /* open addressing: frame numbers, lowest of their content */
        uint32_t map_mask;
} Packer;

/* What each thread has for itself. */
typedef struct Worker {
        Packer *packer;
        pthread_t thread;
        bool is_running;
        HashTree *tree;
        ZSTD_CCtx *zstd;
} Worker;

static uint32_t chunks_of_frame(const Table *t, uint32_t frame) {
        uint32_t first = frame * t->frame_chunks;

        return t->n_chunks - first < t->frame_chunks ? t->n_chunks - first : t->frame_chunks;
}

static bool same_content(const Table *t, uint32_t a, uint32_t b) {
        uint32_t n = chunks_of_frame(t, a);

        return n == chunks_of_frame(t, b) &&
               memcmp(t->chunk_digests[a * t->frame_chunks], t->chunk_digests[b * t->frame_chunks],
                      (size_t) n * RS_DIGEST_SIZE) == 0;
}

/* The lowest known frame with the content of `frame`, which is entered itself if there is none lower. */
static uint32_t map_lowest(Packer *p, uint32_t frame) {
        uint32_t at, lowest;

        memcpy(&at, p->table->chunk_digests[frame * p->table->frame_chunks], sizeof(at));
        (void) pthread_mutex_lock(&p->map_lock);
        for (at &= p->map_mask; p->map[at] != NO_FRAME; at = (at + 1) & p->map_mask)
                if (same_content(p->table, p->map[at], frame))
                        break;
        if (p->map[at] == NO_FRAME || p->map[at] > frame)
                p->map[at] = frame;
        lowest = p->map[at];
        (void) pthread_mutex_unlock(&p->map_lock);
        return lowest;
}

static int read_frame(const PackInput *in, uint64_t offset, uint8_t *buffer, size_t size, RsError *err) {
        size_t from_file = size;

        if (offset >= in->file_size)
                from_file = 0;
        else if (in->file_size - offset < size)
                from_file = (size_t) (in->file_size - offset);
        memset(buffer + from_file, 0, size - from_file);
        return from_file > 0 ? file_pread_all(in->fd, buffer, from_file, offset, err) : 0;
}

static int hash_chunks(Worker *w, uint32_t number, Span plain, RsError *err) {
        Table *t = w->packer->table;
        uint32_t chunk = number * t->frame_chunks;
        int r;

        for (size_t at = 0; at < plain.size; at += RS_CHUNK_SIZE, chunk++) {
                size_t n = plain.size - at < RS_CHUNK_SIZE ? plain.size - at : RS_CHUNK_SIZE;

                r = hashtree_chunk(w->tree, SPAN(plain.data + at, n), t->chunk_digests[chunk], NULL, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int compress_frame(Worker *w, Span plain, Slot *slot, RsError *err) {
        size_t n = ZSTD_compress2(w->zstd, slot->packed, ZSTD_compressBound(RS_FRAME_SIZE_MAX), plain.data,
                                  plain.size);

        if (ZSTD_isError(n))
                return rs_fail(err, INTERNAL, "zstd: %s", ZSTD_getErrorName(n));
        slot->frame.kind = n < plain.size ? FRAME_KIND_ZSTD : FRAME_KIND_RAW;
        slot->frame.payload_size = (uint32_t) (n < plain.size ? n : plain.size);
        slot->payload = n < plain.size ? slot->packed : slot->plain;
        return digest_sha256(SPAN(slot->payload, slot->frame.payload_size), slot->frame.payload_sha256, err);
}

static int work_on(Worker *w, uint32_t number, Slot *slot, RsError *err) {
        Packer *p = w->packer;
        uint64_t offset = (uint64_t) number * p->table->frame_chunks * RS_CHUNK_SIZE;
        Span plain = SPAN(slot->plain, table_frame_plain_size(p->table, number));
        int r;

        slot->frame = (Frame){ .kind = FRAME_KIND_ZERO };
        slot->payload = NULL;
        r = read_frame(p->in, offset, slot->plain, plain.size, err);
        if (r < 0)
                return r;
        r = hash_chunks(w, number, plain, err);
        if (r < 0)
                return r;
        if (plain.data[0] == 0 && memcmp(plain.data, plain.data + 1, plain.size - 1) == 0)
                return 0;
        slot->frame.kind = FRAME_KIND_DUP; /* of whom is said at commit */
        if (map_lowest(p, number) < number)
                return 0;
        return compress_frame(w, plain, slot, err);
}

static void *worker_main(void *userdata) {
        Worker *w = userdata;
        Packer *p = w->packer;

        (void) pthread_mutex_lock(&p->lock);
        for (;;) {
                uint32_t number;
                Slot *slot;

                while (!p->stop && p->next < p->table->n_frames && p->next - p->n_committed >= p->n_slots)
                        (void) pthread_cond_wait(&p->slot_free, &p->lock);
                if (p->stop || p->next >= p->table->n_frames)
                        break;
                number = p->next++;
                slot = &p->slots[number % p->n_slots];
                (void) pthread_mutex_unlock(&p->lock);

                slot->err = RS_ERROR_INIT;
                (void) work_on(w, number, slot, &slot->err); /* judged at commit, in the order of frames */

                (void) pthread_mutex_lock(&p->lock);
                slot->is_done = true;
                (void) pthread_cond_signal(&p->slot_done);
        }
        (void) pthread_mutex_unlock(&p->lock);
        return NULL;
}

static int commit(Packer *p, uint32_t number, Slot *slot, int payload_fd, uint64_t *offset, RsError *err) {
        Frame *frame = &p->table->frames[number];
        uint32_t lowest;
        int r;

        if (slot->err.reason != RS_REASON_NONE) {
                *err = slot->err;
                return rs_context(err, "frame %u", number);
        }
        *frame = slot->frame;
        if (frame->kind == FRAME_KIND_ZERO)
                return 0;
        lowest = map_lowest(p, number);
        if (lowest < number) {
                *frame = (Frame){ .kind = FRAME_KIND_DUP, .dup_of = lowest };
                return 0;
        }
        r = file_pwrite_all(payload_fd, slot->payload, frame->payload_size, *offset, err);
        if (r < 0)
                return r;
        *offset += frame->payload_size;
        return 0;
}

static int commit_all(Packer *p, int payload_fd, uint64_t *offset, Progress *progress, RsError *err) {
        int r;

        for (uint32_t number = 0; number < p->table->n_frames; number++) {
                Slot *slot = &p->slots[number % p->n_slots];

                (void) pthread_mutex_lock(&p->lock);
                while (!slot->is_done)
                        (void) pthread_cond_wait(&p->slot_done, &p->lock);
                (void) pthread_mutex_unlock(&p->lock);
                r = interrupt_check(err);
                if (r == 0)
                        r = commit(p, number, slot, payload_fd, offset, err);
                if (r < 0)
                        return r;
                progress_add(progress, table_frame_plain_size(p->table, number));

                (void) pthread_mutex_lock(&p->lock);
                slot->is_done = false;
                p->n_committed++;
                (void) pthread_cond_broadcast(&p->slot_free);
                (void) pthread_mutex_unlock(&p->lock);
        }
        return 0;
}

static int worker_start(Worker *w, Packer *p, RsError *err) {
        int r;

        w->packer = p;
        r = hashtree_new(SPAN_ARRAY(p->in->salt), &w->tree, err);
        if (r < 0)
                return r;
        w->zstd = ZSTD_createCCtx();
        if (!w->zstd)
                return rs_fail_oom(err);
        /* One-shot with a known size: the window is never larger than the frame, and the content size is stored. */
        if (ZSTD_isError(ZSTD_CCtx_setParameter(w->zstd, ZSTD_c_compressionLevel, p->in->level)) ||
            ZSTD_isError(ZSTD_CCtx_setParameter(w->zstd, ZSTD_c_contentSizeFlag, 1)) ||
            ZSTD_isError(ZSTD_CCtx_setParameter(w->zstd, ZSTD_c_checksumFlag, 0)))
                return rs_fail(err, INTERNAL, "zstd parameters");
        r = pthread_create(&w->thread, NULL, worker_main, w);
        if (r != 0)
                return rs_fail_errno(err, r, "thread");
        w->is_running = true;
        return 0;
}

static void workers_stop(Packer *p, Worker *workers, unsigned n) {
        (void) pthread_mutex_lock(&p->lock);
        p->stop = true;
        (void) pthread_cond_broadcast(&p->slot_free);
        (void) pthread_mutex_unlock(&p->lock);
        for (unsigned i = 0; i < n; i++) {
                if (workers[i].is_running)
                        (void) pthread_join(workers[i].thread, NULL);
                workers[i].tree = hashtree_free(workers[i].tree);
                (void) ZSTD_freeCCtx(workers[i].zstd);
        }
}

static void packer_done(Packer *p) {
        for (uint32_t i = 0; p->slots && i < p->n_slots; i++) {
                free(p->slots[i].plain);
                free(p->slots[i].packed);
        }
        free(p->slots);
        free(p->map);
        p->table = table_free(p->table);
        (void) pthread_mutex_destroy(&p->lock);
        (void) pthread_mutex_destroy(&p->map_lock);
        (void) pthread_cond_destroy(&p->slot_free);
        (void) pthread_cond_destroy(&p->slot_done);
}

static int packer_init(Packer *p, const PackInput *in, RsError *err) {
        uint32_t n_map = 16;

        *p = (Packer){ .in = in, .n_slots = 2 * in->n_jobs + 2 };
        (void) pthread_mutex_init(&p->lock,
                                  NULL); /* with default attributes these four cannot fail on Linux */
        (void) pthread_mutex_init(&p->map_lock, NULL);
        (void) pthread_cond_init(&p->slot_free, NULL);
        (void) pthread_cond_init(&p->slot_done, NULL);
        p->table = table_new(in->size, in->frame_chunks);
        p->slots = calloc(p->n_slots, sizeof(p->slots[0]));
        if (!p->table || !p->slots)
                return rs_fail_oom(err);
        while (n_map < 2 * p->table->n_frames)
                n_map *= 2;
        p->map = malloc(n_map * sizeof(p->map[0]));
        if (!p->map)
                return rs_fail_oom(err);
        memset(p->map, 0xff, n_map * sizeof(p->map[0])); /* NO_FRAME everywhere */
        p->map_mask = n_map - 1;
        for (uint32_t i = 0; i < p->n_slots; i++) {
                p->slots[i].plain = malloc(RS_FRAME_SIZE_MAX);
                p->slots[i].packed = malloc(ZSTD_compressBound(RS_FRAME_SIZE_MAX));
                if (!p->slots[i].plain || !p->slots[i].packed)
                        return rs_fail_oom(err);
        }
        return 0;
}

int pack_image(const PackInput *in, int payload_fd, uint64_t *offset, Progress *progress, Table **ret,
               RsError *err) {
        _cleanup_(packer_done) Packer p;
        Worker workers[PACK_JOBS_MAX] = { 0 };
        unsigned n_started = 0;
        int r;

        r = packer_init(&p, in, err);
        for (; r == 0 && n_started < in->n_jobs && n_started < PACK_JOBS_MAX; n_started++)
                r = worker_start(&workers[n_started], &p, err);
        if (r == 0)
                r = commit_all(&p, payload_fd, offset, progress, err);
        workers_stop(&p, workers, n_started);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(p.table);
        return 0;
}
