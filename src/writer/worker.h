/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * worker - the one thread that hashes, encrypts, writes and talks to the TPM, and the queue to it.
 *
 * Spec:     DESIGN.md 3; docs/protocol-writer.md
 * Trust:    work carries parsed requests; ring bytes are still the peer's and copied before they are judged
 * Owns:     a Worker owns its thread, its Installer and the ring; a Work belongs to whoever holds it
 * Units:    none
 * Errors:   an answer's failure is in the Work
 * Context:  worker_post, worker_take, worker_cancel, worker_answer_known on the main thread; the answers on the
 *           worker thread
 * Programs: reseal-writer
 */
#include <stdbool.h>
#include <stdint.h>

#include <reseal/base/error.h>
#include <reseal/base/span.h>
#include <reseal/install/install.h>
#include <reseal/ipc/writer-proto.h>

typedef struct Worker Worker;

/* Each has a queue of its own; the worker takes from them in turn: nobody waits for more than one of the other's. */
typedef enum WorkPeer {
        WORK_OF_DAEMON,
        WORK_OF_HEALTH,
        _WORK_PEER_MAX,
} WorkPeer;

typedef struct Work {
        struct Work *next;
        WorkPeer peer;
        uint64_t client;         /* 0: nobody waits for an answer */
        uint32_t type;           /* WriterMessage of the request, or WRITER_EVENT_PROGRESS on the way back */
        uint32_t sequence;
        /* request */
        uint8_t *bytes;          /* OFFER: the signed manifest, owned */
        size_t size;
        /* TABLE, EVIDENCE: as received, or why there is none (-EMFILE); RING: of the answer; owned */
        int fd;
        WriterEvidence evidence;
        uint32_t image;
        WriterFrame frame;
        WriterMark mark;
        bool below;              /* MARK: also below the release accepted last */
        InstallAsker asker;      /* MARK, REJECT */
        char report[WRITER_REPORT_SIZE + 1];
        char name[WRITER_NAME_SIZE + 1];
        bool holder;             /* ABORT: of the connection that holds the installer role */
        bool for_later;          /* SLOTS, STATE: nobody asked yet, see worker_answer_known */
        /* answer */
        RsError error;           /* reason NONE: succeeded */
        Encoder answer;
        bool tabled;             /* after OFFER, TABLE: nothing is missing before frames */
        bool finished;           /* ABORT came after W7, or in DONE */
} Work;

Work *work_new(uint32_t type, uint64_t client, uint32_t sequence);   /* NULL for want of memory */
Work *work_free(Work *w);
RS_DEFINE_CLEANUP(Work, work_free)

/* device is copied; its on_step, on_progress and userdata are the worker's own. wake_fd: an eventfd, borrowed. */
int worker_start(const InstallDevice *device, int wake_fd, Worker **ret, RsError *err);
/* Finishes what runs, lets go of the target and joins the thread. */
Worker *worker_stop(Worker *w);
RS_DEFINE_CLEANUP(Worker, worker_stop)

void worker_post(Worker *w, Work *work /* taken */);
Work *worker_take(Worker *w);    /* next finished one, NULL when there is none */
void worker_cancel(Worker *w);   /* see install_cancel */
/*
 * SLOTS and STATE while the worker is occupied: fills error and answer from the copy that it published after the last
 * change, and never waits.  false: the worker is free, or has nothing published yet; then post it.
 */
bool worker_answer_known(Worker *w, Work *work);
/* It waits for work, or has got on within the last silent_usec.  Main thread. */
bool worker_is_alive(Worker *w, uint64_t silent_usec);

/* answer.c: fills error and answer of the work. */
typedef struct Answerer {
        Installer *installer;
        struct Ring *ring;       /* one, ever */
        bool ring_lent;          /* ... in this installation */
        int anchors_fd;          /* -EBADF, or what ANCHORS lends */
        uint8_t anchors_digest[RS_DIGEST_SIZE];
        RsError failed;          /* a frame failed: so does what was sent behind it */
        bool finished;           /* the last installation passed W8 */
} Answerer;
void writer_answer(Answerer *a, Work *w);
