/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * run - drives the machine of machine.c on the worker thread.
 *
 * Each action below does one step and returns; what its result means for the job is said in one place
 * (event_of), and what comes next in the table.  Everything may be repeated: after the writer was lost the
 * manifest is offered again, passes the gate again, and the writer says which frames it has proven.
 *
 * A TPM that does not answer or is held by others (TpmGone, TpmBusy), here or at the writer, ends an attempt, not
 * the job: it is begun anew after a pause, within the job's deadline, unless the bundle came through a pipe.
 *
 * The cancel descriptor wakes every wait (source and writer poll it).  An abort afterwards must not be
 * cancelled itself, so the writer client forgets the descriptor first.  A FINISH that has passed the point
 * of no return answers the abort with `State`; the installation then completes, and the job is done, not
 * cancelled (protocol-writer.md, ABORT).  When the writer dies instead of answering, its successor is asked
 * what the slots hold: the job says done, cancelled, or WriterGone when nobody can tell.
 */
#include <assert.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/flow/flow.h>
#include <reseal/job/run.h>

#include "evidence.h"
#include "grant.h"
#include "head.h"

#define PAUSE_MAX_USEC (60 * UINT64_C(1000000))
#define SETTLE_TRIES 5u /* the socket starts the writer; it is not away for long */

typedef struct RunImage {
        Table *table;
        uint32_t next;
        WriterRange *proven;
        uint32_t n_proven;
} RunImage;

typedef struct Run {
        JobEnv *env;             /* own copy: what is known of the time is noted in it */
        const JobOrder *order;
        JobOnProgress fn;
        void *userdata;
        JobProgress progress;

        Https *https;
        Source *source;
        Head head;
        WriterClient *writer;
        WriterOffer offer;
        Secret *content_key;
        RunImage images[RS_IMAGES_MAX];
        unsigned losses;        /* of the writer, since a frame was written */
        unsigned tpm_failures;  /* likewise */
        RsError tpm_away;       /* the last of these */
        uint64_t deadline_usec; /* absolute: of the whole job */
} Run;

static uint64_t now_usec(void) {
        struct timespec t = { 0 };

        (void) clock_gettime(CLOCK_BOOTTIME, &t); /* cannot fail for this clock */
        return (uint64_t) t.tv_sec * 1000000 + (uint64_t) t.tv_nsec / 1000;
}

static void report(Run *run) {
        if (run->fn)
                run->fn(run->userdata, &run->progress);
}

static void forget_images(Run *run) {
        for (size_t i = 0; i < RS_IMAGES_MAX; i++) {
                run->images[i].table = table_free(run->images[i].table);
                free(run->images[i].proven);
                run->images[i] = (RunImage){ 0 };
        }
}

static void run_done(Run *run) {
        forget_images(run);
        run->content_key = secret_free(run->content_key);
        run->writer = writer_client_free(run->writer);
        head_done(&run->head);
        run->source = source_close(run->source);
        run->https = https_free(run->https);
}

static void on_writer_progress(void *userdata, const WriterProgress *p) {
        Run *run = userdata;

        run->progress.step = p->step + 1;
        report(run);
}

static void on_frame(void *userdata, uint32_t image, uint64_t plain_size) {
        Run *run = userdata;

        (void) image;
        run->losses = run->tpm_failures = 0;
        run->progress.done_bytes += plain_size;
        report(run);
}

static FlowSpec flow_spec(Run *run) {
        FlowSpec spec = {
                .source = run->source,
                .writer = run->writer,
                .header = &run->head.header,
                .manifest = run->head.manifest,
                .content_key = run->content_key,
                .on_frame = on_frame,
                .userdata = run,
        };
        memcpy(spec.bundle_id, run->head.bundle_id, sizeof(spec.bundle_id));
        return spec;
}

/* -- actions ------------------------------------------------------------------------------------- */

static void go_by_what_is_known(JobEnv *env) {
        if (env->roots) {
                env->https.anchors = trust_roots_source(env->roots);
                env->firmware = trust_roots_firmware(env->roots);
        }
        if (env->lists)
                env->https.crls = source_lists_set(env->lists);
}

/*
 * Nothing goes on that was begun under roots which are none any more: a web server is judged anew, and so is all it
 * gave.  What came from a descriptor stays, it was never believed; its ticket is not fetched over the old connection.
 */
static int follow_roots(Run *run, RsError *err) {
        int r = run->env->roots ? trust_roots_ask(run->env->roots, run->writer, err) : 0;

        if (r <= 0)
                return r;
        if (run->order->url) {
                run->source = source_close(run->source);
                head_done(&run->head);
                run->content_key = secret_free(run->content_key);
        }
        run->https = https_free(run->https);
        r = trust_roots_adopt(run->env->roots, run->env->lists, err);
        go_by_what_is_known(run->env);
        return r;
}

static int connect_writer(Run *run, RsError *err) {
        run->writer = writer_client_free(run->writer);
        int r = writer_client_connect_cancel(run->env->writer_socket, run->env->https.cancel_fd, &run->writer, err);
        if (r < 0)
                return r;
        writer_client_on_progress(run->writer, on_writer_progress, run);
        r = follow_roots(run, err);
        return r < 0 ? r : evidence_time(run->env, run->writer, &run->progress.unproven, err);
}

/* The writer refuses this too; here it is refused before the ticket server is asked. */
static int check_encryption(Run *run, RsError *err) {
        if (run->head.header.encrypted)
                return 0;
        if (run->head.manifest->confidential)
                return rs_fail(err, POLICY, "the manifest says confidential, but the bundle is not encrypted");
        if (writer_client_require_encryption(run->writer))
                return rs_fail(err, POLICY, "this device takes encrypted bundles only");
        return 0;
}

static FdLimits fd_limits(const JobEnv *env) {
        return (FdLimits){
                .cancel_fd = env->https.cancel_fd,
                .stall_usec = env->https.low_speed_usec,
                .deadline_usec = env->https.deadline_usec,
        };
}

/* One deadline over all attempts. */
static int new_https(Run *run, RsError *err) {
        HttpsConfig config = run->env->https;
        uint64_t now = now_usec();

        config.deadline_usec = run->deadline_usec > now ? run->deadline_usec - now : 0;
        return https_new(&config, &run->https, err);
}

/* A web server is asked anew; what a descriptor has given is not given twice. */
static int open_source(Run *run, RsError *err) {
        if (run->order->url) {
                run->source = source_close(run->source);
                run->https = https_free(run->https);
                int r = new_https(run, err);
                return r < 0 ? r : https_open(run->https, run->order->url, &run->source, err);
        }
        if (run->source)
                return 0;
        FdLimits limits = fd_limits(run->env);
        int fd = fcntl(run->order->bundle_fd, F_DUPFD_CLOEXEC, 3);
        if (fd < 0)
                return rs_fail_errno(err, errno, "descriptor");
        return fd_open(fd, &limits, &run->source, err);
}

static PathRules time_rules(const JobEnv *env) {
        return (PathRules){
                .time_low = env->https.time_low,
                .time_high = env->https.time_high,
                .crls = env->https.crls,
        };
}

/* The writer has been asked: it knows by which roots and which time the source's certificate is to be judged. */
static int read_head(Run *run, RsError *err) {
        PathRules time;

        head_done(&run->head);
        int r = open_source(run, err);
        if (r < 0)
                return r;
        (void) snprintf(run->progress.validator, sizeof(run->progress.validator), "%s", source_validator(run->source));
        time = time_rules(run->env);
        r = head_read(run->source, run->env->firmware, &time, &run->head, err);
        if (r < 0)
                return r;
        if (run->order->bundle_id && memcmp(run->order->bundle_id, run->head.bundle_id, RS_DIGEST_SIZE) != 0)
                return rs_fail(err, STATE, "this is not the bundle that the job has begun with");

        const Manifest *m = run->head.manifest;
        run->progress.has_bundle = true;
        memcpy(run->progress.bundle_id, run->head.bundle_id, RS_DIGEST_SIZE);
        memcpy(run->progress.version, m->version, sizeof(run->progress.version));
        run->progress.release = m->release;
        run->progress.total_bytes = 0;
        for (uint32_t i = 0; i < m->n_images; i++)
                run->progress.total_bytes += m->images[i].size;
        return check_encryption(run, err);
}

static int act_read_head(Run *run, RsError *err) {
        int r = connect_writer(run, err);

        return r < 0 ? r : read_head(run, err);
}

static bool is_transient_tpm(RsReason reason) {
        return reason == RS_REASON_TPM_GONE || reason == RS_REASON_TPM_BUSY;
}

/* Before the next attempt: doubled each time, up to a minute. */
static uint64_t pause_usec(const Run *run, unsigned failures) {
        uint64_t pause = run->env->writer_retry_usec << (failures > 0 ? (failures < 7 ? failures - 1 : 6) : 0);

        return pause < PAUSE_MAX_USEC ? pause : PAUSE_MAX_USEC;
}

static int wait_or_cancel(const JobEnv *env, uint64_t usec, RsError *err) {
        struct pollfd p = { .fd = env->https.cancel_fd, .events = POLLIN };

        if (poll(&p, 1, (int) (usec / 1000)) > 0)
                return rs_fail(err, CANCELLED, "while waiting to try again");
        return 0;
}

/* The head is kept if it was read: its bytes are addressed by digest and judged again by the new writer. */
static int act_reconnect(Run *run, RsError *err) {
        run->writer = writer_client_free(run->writer);
        forget_images(run);
        run->progress.lost = true;
        run->progress.step = 0;
        bool tpm = is_transient_tpm(run->progress.failure.reason);
        unsigned failures = tpm ? ++run->tpm_failures : ++run->losses;
        int r = wait_or_cancel(run->env, pause_usec(run, failures), err);
        if (r >= 0)
                r = connect_writer(run, err);
        if (r < 0)
                return r;
        return run->head.manifest ? check_encryption(run, err) : read_head(run, err);
}

static int act_offer(Run *run, RsError *err) {
        const EvidencePlace place = {
                .https = run->order->url ? run->https : NULL,
                .url = run->order->url,
                .source = run->source,
                .head = &run->head,
                .lists = run->env->lists,
        };

        int r = evidence_send(&place, run->writer, err);
        if (r >= 0)
                r = writer_call_offer(run->writer, SPAN(run->head.cms, run->head.cms_size), &run->offer, err);
        if (r < 0)
                return r;
        if (run->offer.n_images != run->head.manifest->n_images ||
            memcmp(run->offer.bundle_id, run->head.bundle_id, RS_DIGEST_SIZE) != 0)
                return rs_fail(err, PROTOCOL, "the writer answers for another bundle");
        return 0;
}

static int act_open_ticket(Run *run, RsError *err) {
        const JobOrder *order = run->order;
        _cleanup_(freep) uint8_t *cms = NULL;
        size_t size;
        int r = 0;

        if (!run->head.header.encrypted || run->content_key)
                return 0;
        if (order->ticket.size)
                return grant_open(run->env, order->ticket, run->head.bundle_id, &run->content_key, err);
        if (order->ticket_fd >= 0) {
                FdLimits limits = fd_limits(run->env);
                r = fd_get(order->ticket_fd, &limits, RS_TICKET_MAX, &cms, &size, err);
                if (r >= 0)
                        r = grant_open(run->env, SPAN(cms, size), run->head.bundle_id, &run->content_key, err);
                return r < 0 ? rs_context(err, "ticket") : 0;
        }
        if (!order->url && (!order->ticket_url || !order->ticket_url[0]))
                return rs_fail(err, TICKET, "the bundle is encrypted, and no ticket came with it");
        if (!run->https)
                r = new_https(run, err);
        return r < 0 ? r : grant_fetch(run->env, run->https, order->url, order->ticket_url, run->head.bundle_id,
                                       &run->content_key, err);
}

static uint64_t proven_bytes(const RunImage *image) {
        uint64_t sum = 0;

        for (uint32_t f = 0; f < image->table->n_frames; f++) {
                bool proven = f < image->next;
                for (uint32_t i = 0; !proven && i < image->n_proven; i++)
                        proven = f >= image->proven[i].first && f - image->proven[i].first < image->proven[i].count;
                if (proven)
                        sum += table_frame_plain_size(image->table, f);
        }
        return sum;
}

static int act_send_tables(Run *run, RsError *err) {
        FlowSpec spec = flow_spec(run);
        _cleanup_(freep) WriterRange *ranges = calloc(WRITER_RANGES_MAX, sizeof(*ranges));

        if (!ranges)
                return rs_fail_oom(err);
        forget_images(run);
        run->progress.done_bytes = 0;
        for (uint32_t i = 0; i < run->head.manifest->n_images; i++) {
                _cleanup_(freep) uint8_t *bytes = NULL;
                RunImage *image = &run->images[i];

                if (!run->offer.images[i].wanted) {
                        run->progress.done_bytes += run->head.manifest->images[i].size;
                        continue;
                }
                int r = flow_fetch_table(&spec, i, &bytes, &image->table, err);
                if (r >= 0)
                        r = writer_call_table(run->writer, i, SPAN(bytes, run->head.manifest->images[i].table_size),
                                              &image->next, ranges, &image->n_proven, err);
                if (r < 0)
                        return r;
                if (image->n_proven) {
                        image->proven = calloc(image->n_proven, sizeof(*ranges));
                        if (!image->proven)
                                return rs_fail_oom(err);
                        memcpy(image->proven, ranges, image->n_proven * sizeof(*ranges));
                }
                run->progress.done_bytes += proven_bytes(image);
        }
        return 0;
}

static int act_write_frames(Run *run, RsError *err) {
        FlowSpec spec = flow_spec(run);

        int r = writer_call_ring(run->writer, &spec.ring, err);
        if (r < 0)
                return r;
        for (uint32_t i = 0; i < run->head.manifest->n_images; i++) {
                const RunImage *image = &run->images[i];
                if (!image->table)
                        continue;
                r = flow_write_image(&spec, i, image->table, image->next, image->proven, image->n_proven, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* What came of a FINISH nobody answered?  1 = installed, primary filled; 0 = not, *ret_accepted: but past W7.
 * Asked over a connection of its own, and not to be cancelled: this is the answer to a cancel. */
static int ask_end(Run *run, bool *ret_accepted, RsError *err) {
        _cleanup_(freep) WriterSlotInfo *slots = calloc(WRITER_SLOTS_MAX, sizeof(*slots));
        WriterState state;
        uint32_t n;

        if (!slots)
                return rs_fail_oom(err);
        run->writer = writer_client_free(run->writer);
        int r = writer_client_connect(run->env->writer_socket, &run->writer, err);
        if (r >= 0)
                r = writer_call_state(run->writer, &state, err);
        if (r >= 0)
                r = writer_call_slots(run->writer, slots, WRITER_SLOTS_MAX, &n, err);
        if (r < 0)
                return r;
        *ret_accepted = state.release >= run->head.manifest->release;
        for (uint32_t i = 0; i < n; i++)
                if (slots[i].primary && !slots[i].running &&
                    memcmp(slots[i].bundle_id, run->head.bundle_id, RS_DIGEST_SIZE) == 0) {
                        memcpy(run->progress.primary, state.primary, sizeof(run->progress.primary));
                        return 1;
                }
        return 0;
}

/* After a FINISH without an answer: done, why it failed, or WRITER_GONE when nobody can tell. */
static int settle(Run *run, const RsError *why, RsError *err) {
        RsError gone = RS_ERROR_INIT;
        bool accepted = false;
        int r = -EIO;

        for (unsigned i = 0; r < 0 && i <= run->env->writer_retries && i < SETTLE_TRIES; i++) {
                if (i > 0)
                        (void) poll(NULL, 0, (int) (run->env->writer_retry_usec / 1000));
                gone = RS_ERROR_INIT;
                r = ask_end(run, &accepted, &gone);
        }
        *err = RS_ERROR_INIT;
        if (r > 0)
                return 0;
        if (r == 0 && !(accepted && why->reason == RS_REASON_CANCELLED))
                return rs_pass(err, why);
        return rs_fail(err, WRITER_GONE, "while it finished, %s%s; the same bundle again completes it",
                       r == 0 ? "after the release was accepted" : "and cannot be asked: ", r == 0 ? "" : gone.text);
}

static int act_finish(Run *run, RsError *err) {
        int r = writer_call_finish(run->writer, run->progress.primary, err);
        if (r >= 0 || (err->reason != RS_REASON_CANCELLED && err->reason != RS_REASON_WRITER_GONE))
                return r;

        const RsError why = *err;
        if (why.reason == RS_REASON_CANCELLED) {
                /* Cancelled while the writer finishes: it says whether that is still possible. */
                RsError refused = RS_ERROR_INIT;
                writer_client_set_cancel_fd(run->writer, -EBADF);
                if (writer_call_abort(run->writer, &refused) >= 0)
                        return r;
        }
        /* Past W7 it completes; a writer that died there may have done so or not. */
        return settle(run, &why, err);
}

static int act_abort(Run *run, RsError *err) {
        RsError ignored = RS_ERROR_INIT; /* the job has its reason already; closing the connection aborts as well */

        (void) err;
        if (run->writer) {
                writer_client_set_cancel_fd(run->writer, -EBADF);
                (void) writer_call_abort(run->writer, &ignored);
        }
        return 0;
}

static int act_nothing(Run *run, RsError *err) {
        (void) run;
        (void) err;
        return 0;
}

static int (*const ACTIONS[_JOB_ACTION_MAX])(Run *run, RsError *err) = {
        [JOB_ACTION_NONE] = act_nothing,
        [JOB_ACTION_READ_HEAD] = act_read_head,
        [JOB_ACTION_RECONNECT] = act_reconnect,
        [JOB_ACTION_OFFER] = act_offer,
        [JOB_ACTION_OPEN_TICKET] = act_open_ticket,
        [JOB_ACTION_SEND_TABLES] = act_send_tables,
        [JOB_ACTION_WRITE_FRAMES] = act_write_frames,
        [JOB_ACTION_FINISH] = act_finish,
        [JOB_ACTION_ABORT] = act_abort,
        [JOB_ACTION_REPORT] = act_nothing,
};

/* -- the loop ------------------------------------------------------------------------------------ */

/* A TPM that is away or held for a moment is asked again, if all that was read before can be read again. */
static bool may_ask_tpm_again(const Run *run) {
        if (!run->order->url && (!run->source || source_forward_only(run->source)))
                return false;
        return now_usec() + pause_usec(run, run->tpm_failures + 1) < run->deadline_usec;
}

/* Time ran out between two questions to a TPM that never came back: the source was not what was slow. */
static void blame_tpm(const Run *run, RsError *why) {
        if (why->reason != RS_REASON_SLOW || run->tpm_failures == 0 || now_usec() < run->deadline_usec)
                return;
        RsError late = *why;
        *why = run->tpm_away;
        (void) rs_context(why, "%s", late.text);
}

/* The source cannot know why no certificate was shown. */
static void explain(const JobEnv *env, RsError *why) {
        if (why->reason != RS_REASON_AUTH_DEVICE || env->https.identity)
                return;
        RsError clear = RS_ERROR_INIT;
        (void) rs_fail(&clear, NOT_PROVISIONED, "this device has no certificate to show to the source: %s", why->text);
        *why = clear;
}

static bool is_cancelled(const JobEnv *env) {
        struct pollfd p = { .fd = env->https.cancel_fd, .events = POLLIN };

        return poll(&p, 1, 0) > 0;
}

static JobEvent event_of(Run *run, int r, const RsError *why) {
        if (r >= 0)
                return JOB_EVENT_SUCCESS;
        if (why->reason == RS_REASON_CANCELLED)
                return JOB_EVENT_CANCEL;
        /* Cancelled, and nobody can tell what came of it (settle): that is the end, and not a cancel. */
        if (why->reason == RS_REASON_WRITER_GONE && run->progress.state == JOB_STATE_FINISH && is_cancelled(run->env))
                return JOB_EVENT_FAILURE;
        /* Busy: the connection of a killed predecessor may linger for a moment. */
        if ((why->reason == RS_REASON_WRITER_GONE || why->reason == RS_REASON_BUSY) &&
            run->losses < run->env->writer_retries)
                return JOB_EVENT_LOST;
        if (is_transient_tpm(why->reason) && may_ask_tpm_again(run))
                return JOB_EVENT_LOST;
        return JOB_EVENT_FAILURE;
}

int job_run(const JobEnv *env, const JobOrder *order, JobOnProgress fn, void *userdata, JobProgress *ret_progress,
            RsError *err) {
        JobEnv own = *env;
        _cleanup_(run_done) Run run = {
                .env = &own, .order = order, .fn = fn, .userdata = userdata,
                .progress = { .state = JOB_STATE_QUEUED },
                .deadline_usec = now_usec() + env->https.deadline_usec,
        };
        JobEvent event = is_cancelled(env) ? JOB_EVENT_CANCEL : JOB_EVENT_START;

        go_by_what_is_known(&own);
        if (event == JOB_EVENT_CANCEL)
                (void) rs_fail(&run.progress.failure, CANCELLED, "before it began");
        do {
                const JobTransition *t = job_transition(run.progress.state, event);
                if (!t) { /* J5: a hole in the table */
                        (void) rs_fail(&run.progress.failure, INTERNAL, "no way on from %s",
                                       job_state_to_string(run.progress.state));
                        run.progress.state = JOB_STATE_FAILED;
                        break;
                }
                run.progress.state = t->next;
                report(&run);

                RsError why = RS_ERROR_INIT;
                int r = ACTIONS[t->action](&run, &why);
                if (r >= 0 && !job_state_is_final(t->next) && t->next != JOB_STATE_FINISH && is_cancelled(env))
                        r = rs_fail(&why, CANCELLED, "in state %s", job_state_to_string(t->next));
                if (r < 0) {
                        explain(env, &why);
                        blame_tpm(&run, &why);
                }
                event = event_of(&run, r, &why);
                if (event == JOB_EVENT_LOST && is_transient_tpm(why.reason)) {
                        run.tpm_away = why;
                        (void) rs_context(&why, "the TPM is asked again in a moment");
                }
                if (r < 0)
                        run.progress.failure = why;
                else if (!job_state_is_final(run.progress.state))
                        run.progress.failure = RS_ERROR_INIT;
        } while (!job_state_is_final(run.progress.state));

        *ret_progress = run.progress;
        if (run.progress.state == JOB_STATE_DONE)
                return 0;
        *err = run.progress.failure;
        return -err->errnum;
}

/* -- inspection ---------------------------------------------------------------------------------- */

void job_inspection_done(JobInspection *i) {
        i->manifest = manifest_free(i->manifest);
}

/* The gate itself, asked and taken back: nothing on disk changes before the first frame. */
static void ask_gate(Run *run, JobInspection *i) {
        RsError ignored = RS_ERROR_INIT;
        WriterState state;

        if (writer_call_state(run->writer, &state, &i->verdict) < 0)
                return;
        i->asked = true;
        i->accepted = state.release;
        if (check_encryption(run, &i->verdict) >= 0 && act_offer(run, &i->verdict) >= 0)
                (void) act_abort(run, &ignored);
}

static int inspect_head(Run *run, RsError *err) {
        int r = open_source(run, err);
        PathRules time = time_rules(run->env);

        return r < 0 ? r : head_read(run->source, run->env->firmware, &time, &run->head, err);
}

/*
 * The head, judged by the roots in force, and then the writer, which may be away (1 = it can be asked, 0 = *ret_away
 * says why not).  Roots that changed since the head was read took it away: it is read once more by the new ones.
 */
static int inspect_source(Run *run, RsError *ret_away, RsError *err) {
        RsError unknown = RS_ERROR_INIT;
        int r = 0, there = -1;

        /* without it roots and time are not known any better, and there is no verdict */
        (void) connect_writer(run, &unknown);
        for (unsigned n = 0; r >= 0 && !run->head.manifest && n < 2; n++) {
                *ret_away = RS_ERROR_INIT;
                r = inspect_head(run, err);
                if (r >= 0)
                        there = connect_writer(run, ret_away);
        }
        if (r >= 0 && !run->head.manifest)
                r = rs_fail(err, STATE, "the trust set was replaced again and again: ask again");
        return r < 0 ? r : there >= 0;
}

int job_inspect(const JobEnv *env, const char *url, JobInspection *ret, RsError *err) {
        JobOrder order = JOB_ORDER_INIT;
        JobEnv own = *env;
        _cleanup_(run_done) Run run = {
                .env = &own,
                .order = &order,
                .deadline_usec = now_usec() + env->https.deadline_usec,
        };
        JobInspection i = { 0 };

        order.url = url;
        own.https.time_low = RS_BUILD_TIME;
        go_by_what_is_known(&own);
        int r = inspect_source(&run, &i.verdict, err);
        if (r < 0) {
                explain(env, err);
                return -err->errnum;
        }

        i.encrypted = run.head.header.encrypted;
        i.signer = run.head.signer;
        i.size = source_size(run.source);
        memcpy(i.bundle_id, run.head.bundle_id, sizeof(i.bundle_id));
        if (r > 0)
                ask_gate(&run, &i);
        if (i.verdict.reason == RS_REASON_CANCELLED) /* no verdict at all */
                return rs_pass(err, &i.verdict);
        i.manifest = TAKE_PTR(run.head.manifest);
        assert(i.manifest); /* what answers look at */
        *ret = i;
        return 0;
}
