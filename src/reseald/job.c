/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * job - an installation as the daemon sees it: a task on the worker, an object on the bus, a record on disk.
 *
 * The worker writes progress into the job under a lock; a timer of the main loop looks at it five times a
 * second and tells the bus what has changed, so the rate of signals is bounded whatever the worker does.  The
 * record is written by the worker: it may wait for the disk, the main loop may not.
 *
 * A job from a descriptor cannot do that: after a restart it is there, under its number, and waits until the
 * same bundle is given again; meanwhile the worker is free for questions, but no other installation begins.
 *
 * When the daemon is told to stop, the job is interrupted in the same way as by Cancel, but its record stays:
 * it goes on at the next start.  After JOB_RESTARTS_MAX starts that brought no byte further a job is given
 * up: a bundle that kills this process must not do so for ever.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/clock.h>
#include <reseal/base/text.h>

#include "journal.h"
#include "manager.h"

#define TICK_USEC 200000u
#define SAVE_USEC (2u * 1000000u)
#define JOB_RESTARTS_MAX 200u
#define FD_PREFIX "file:" /* in record and Source: no address that could be fetched */

static void job_free(Job *j) {
        j->tick = sd_event_source_disable_unref(j->tick);
        (void) pthread_mutex_destroy(&j->lock);
        closep(&j->cancel_fd);
        closep(&j->bundle_fd);
        closep(&j->ticket_fd);
        free(j->ticket);
        free(j->url);
        free(j->source);
        free(j->ticket_url);
        free(j->owner);
        free(j);
}

/* -- worker -------------------------------------------------------------------------------------- */

static void log_step(Job *j, const JobProgress *p) {
        char bundle[HEX_SIZE(RS_DIGEST_SIZE)] = "";
        JournalFields f = { .job = j->id, .source = j->source, .stage = job_state_to_string(p->state) };

        if (p->has_bundle) {
                hex_encode(SPAN_ARRAY(p->bundle_id), bundle);
                f.bundle = bundle;
        }
        if (p->state == JOB_STATE_CONNECT && p->failure.reason != RS_REASON_NONE) {
                f.error = &p->failure;
                bool tpm = p->failure.reason == RS_REASON_TPM_GONE || p->failure.reason == RS_REASON_TPM_BUSY;
                journal_send(tpm ? JOURNAL_TPM_AWAY : JOURNAL_WRITER_LOST, &f,
                             "Job %u: the %s is away (%s), ignoring it and asking again", j->id, tpm ? "TPM" : "writer",
                             p->failure.text);
                return;
        }
        if (!job_state_is_final(p->state))
                journal_send(JOURNAL_JOB_STEP, &f, "Job %u: %s", j->id, f.stage);
}

static void save_record(Job *j, const JobProgress *p) {
        RsError err = RS_ERROR_INIT;

        j->record.state = p->state;
        j->record.has_bundle = p->has_bundle;
        memcpy(j->record.bundle_id, p->bundle_id, sizeof(j->record.bundle_id));
        memcpy(j->record.validator, p->validator, sizeof(j->record.validator));
        record_advance(&j->record, p->done_bytes);
        j->record.total_bytes = p->total_bytes;
        j->saved_usec = clock_boottime_usec();
        if (record_save(j->manager->state_dir_fd, &j->record, &err) < 0)
                journal_send(JOURNAL_JOB_RECORD, &(JournalFields){ .job = j->id, .error = &err },
                             "Job %u would not resume after a restart, ignoring: %s", j->id, err.text);
}

/* The record goes with the job, its number stays taken: whoever watches job 7 must not find another one there. */
static void save_id(Job *j) {
        RsError err = RS_ERROR_INIT;

        if (record_save_last_id(j->manager->state_dir_fd, j->id, &err) < 0)
                journal_send(JOURNAL_JOB_RECORD, &(JournalFields){ .job = j->id, .error = &err },
                             "Number %u may be given again after a restart, ignoring: %s", j->id, err.text);
}

static void on_progress(void *userdata, const JobProgress *p) {
        Job *j = userdata;
        /* A loss leads from connect to connect: it is told once, whatever the number of attempts. */
        bool step = p->state != j->logged ||
                    (p->state == JOB_STATE_CONNECT && p->failure.reason != j->logged_reason);

        /* What the writer does at the end (W5 reads a whole image back) is its own watchdog's matter. */
        worker_expect(j->manager->worker, p->state == JOB_STATE_FINISH ? 0 : j->task.within_usec);
        (void) pthread_mutex_lock(&j->lock);
        j->progress = *p;
        (void) pthread_mutex_unlock(&j->lock);
        if (p->unproven.reason != RS_REASON_NONE && !j->told_unproven) {
                j->told_unproven = true;
                journal_send(JOURNAL_TIME_UNPROVEN, &(JournalFields){ .job = j->id, .error = &p->unproven },
                             "The time is not proven, ignoring: %s", p->unproven.text);
        }
        if (step) {
                j->logged = p->state;
                j->logged_reason = p->failure.reason;
                log_step(j, p);
        }
        if (!job_state_is_final(p->state) && (step || clock_boottime_usec() - j->saved_usec > SAVE_USEC))
                save_record(j, p);
}

/* Before the end is told, or a restart in between would do it all again. */
static void drop_record(Job *j) {
        RsError err = RS_ERROR_INIT;

        if (record_remove(j->manager->state_dir_fd, &err) < 0)
                journal_send(JOURNAL_JOB_RECORD, &(JournalFields){ .job = j->id, .error = &err },
                             "The record of job %u cannot be removed, ignoring: %s", j->id, err.text);
}

static void job_task_run(Task *t) {
        Job *j = (Job *) t;
        JobEnv env = manager_job_env(j->manager, j->cancel_fd);
        JobOrder order = {
                .url = j->url,
                .bundle_fd = j->bundle_fd,
                .ticket_url = j->ticket_url,
                .ticket_fd = j->ticket_fd,
                .ticket = SPAN(j->ticket, j->ticket_size),
        };
        uint8_t begun_with[RS_DIGEST_SIZE];
        JobProgress last;
        eventfd_t unused;

        if (!j->url && j->progress.has_bundle) { /* the record's: a descriptor may bring anything */
                memcpy(begun_with, j->progress.bundle_id, sizeof(begun_with));
                order.bundle_id = begun_with;
        }

        /* Whoever inspected was told to stop (job_start); nobody queues behind a job. */
        if (j->manager->ask_cancel_fd >= 0)
                (void) eventfd_read(j->manager->ask_cancel_fd, &unused);
        save_id(j);
        save_record(j, &j->progress);
        j->ran = true;
        if (job_run(&env, &order, on_progress, j, &last, &j->failure) < 0 &&
            j->failure.reason == RS_REASON_NONE)
                (void) rs_fail(&j->failure, INTERNAL, "the job failed without a reason");
        (void) pthread_mutex_lock(&j->lock);
        j->progress = last;
        (void) pthread_mutex_unlock(&j->lock);
        /* It waits for the disk, so it is done here; whether a job that was cancelled goes on at the next start,
         * only the main thread knows. */
        if (last.state != JOB_STATE_CANCELLED)
                drop_record(j);
}

/* -- main thread --------------------------------------------------------------------------------- */

static void take_progress(Job *j, JobProgress *ret) {
        (void) pthread_mutex_lock(&j->lock);
        *ret = j->progress;
        (void) pthread_mutex_unlock(&j->lock);
}

/* Exponential mean over about three seconds; starts with what it first sees. */
static void measure_rate(Job *j, const JobProgress *now, uint64_t usec) {
        uint64_t span = usec - j->rate_usec;

        if (now->state != JOB_STATE_WRITE || now->done_bytes < j->rate_bytes || j->rate_usec == 0 || span == 0) {
                j->rate = now->state == JOB_STATE_WRITE ? j->rate : 0;
        } else {
                uint64_t fresh = (now->done_bytes - j->rate_bytes) * 1000000 / span;
                uint64_t weight = span < 3000000 ? span / 3000 : 1000;  /* per mille */
                j->rate = j->rate == 0 ? fresh : (j->rate * (1000 - weight) + fresh * weight) / 1000;
        }
        j->rate_usec = usec;
        j->rate_bytes = now->done_bytes;
}

static void show(Job *j) {
        JobProgress now;

        take_progress(j, &now);
        measure_rate(j, &now, clock_boottime_usec());
        bool state_changed = now.state != j->shown.state;
        j->shown = now;
        bus_job_changed(j);
        if (state_changed)
                bus_manager_changed(j->manager);
}

static int on_tick(sd_event_source *s, uint64_t usec, void *userdata) {
        Job *j = userdata;

        (void) usec;
        show(j);
        (void) sd_event_source_set_time_relative(s, TICK_USEC);
        return sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
}

static void report_end(Job *j) {
        JournalFields f = { .job = j->id, .source = j->source, .error = &j->failure, .slot = j->shown.primary };

        if (j->shown.state == JOB_STATE_DONE)
                journal_send(JOURNAL_JOB_DONE, &f,
                             "Job %u: version %s is installed; the next boot tries %s", j->id, j->shown.version,
                             j->shown.primary);
        else if (j->shown.state == JOB_STATE_CANCELLED)
                journal_send(JOURNAL_JOB_CANCELLED, &f, "Job %u was cancelled", j->id);
        else
                journal_send(JOURNAL_JOB_FAILED, &f, "Job %u failed: %s: %s", j->id, rs_reason_name(j->failure.reason),
                             j->failure.text);
}

static void job_task_done(Task *t) {
        Job *j = (Job *) t;
        Manager *m = j->manager;
        eventfd_t unused;

        if (!m->stopping)
                (void) eventfd_read(m->writer_cancel_fd, &unused);
        j->tick = sd_event_source_disable_unref(j->tick);
        take_progress(j, &j->shown);
        j->rate = 0;
        if (m->stopping && !j->cancelled && (!j->ran || j->shown.state == JOB_STATE_CANCELLED)) {
                m->job = NULL; /* its record stays: it resumes */
                job_free(j);
                return;
        }
        if (!j->ran || j->shown.state == JOB_STATE_CANCELLED)
                drop_record(j);
        report_end(j);
        m->last_reason = j->shown.state == JOB_STATE_FAILED ? j->failure.reason : RS_REASON_NONE;
        bus_job_changed(j);
        bus_job_removed(j, j->shown.state == JOB_STATE_DONE ? "done" : rs_reason_name(j->failure.reason));
        m->job = NULL;
        job_free(j);
        bus_manager_changed(m);
        m->view.overtaken = true;
        if (!m->stopping)
                ask_view(m);
}

static int copy_text(const char *text, char **ret) {
        *ret = text ? strdup(text) : NULL;
        return text && !*ret ? -ENOMEM : 0;
}

static int copy_fd(int fd, int *ret) {
        *ret = fd < 0 ? -EBADF : fcntl(fd, F_DUPFD_CLOEXEC, 3);
        return fd >= 0 && *ret < 0 ? -errno : 0;
}

/* What a descriptor's job needs; the one that waits gets it later. */
static int job_take(Job *j, const JobRequest *q, RsError *err) {
        free(j->ticket);
        j->ticket = NULL;
        j->ticket_size = 0;
        if (q->ticket.size) {
                j->ticket = malloc(q->ticket.size);
                if (!j->ticket)
                        return rs_fail_oom(err);
                memcpy(j->ticket, q->ticket.data, q->ticket.size);
                j->ticket_size = q->ticket.size;
        }
        free(j->ticket_url);
        free(j->owner);
        j->ticket_url = j->owner = NULL;
        if (copy_fd(q->bundle_fd, &j->bundle_fd) < 0 || copy_fd(q->ticket_fd, &j->ticket_fd) < 0)
                return rs_fail_errno(err, errno, "descriptor");
        if (copy_text(q->ticket_url ? q->ticket_url : "", &j->ticket_url) < 0 || copy_text(q->owner, &j->owner) < 0)
                return rs_fail_oom(err);
        return 0;
}

static int job_new(Manager *m, const JobRequest *q, Job **ret, RsError *err) {
        Job *j = calloc(1, sizeof(*j));
        int r;

        if (!j)
                return rs_fail_oom(err);
        (void) pthread_mutex_init(&j->lock, NULL);
        j->bundle_fd = j->ticket_fd = -EBADF;
        j->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        j->manager = m;
        j->task = (Task){ .run = job_task_run, .done = job_task_done, .within_usec = manager_patience_usec(m) };
        if (q->url) {
                j->url = strdup(q->url);
                j->source = strndup(q->url, strcspn(q->url, "?"));
        } else if (asprintf(&j->source, FD_PREFIX "%s", q->name ? q->name : "") < 0)
                j->source = NULL;
        if (j->cancel_fd < 0 || !j->source || (q->url && !j->url))
                r = rs_fail_oom(err);
        else
                r = job_take(j, q, err);
        if (r >= 0) {
                r = sd_event_add_time_relative(m->event, &j->tick, CLOCK_BOOTTIME, TICK_USEC, 0, on_tick, j);
                if (r < 0)
                        r = rs_fail(err, INTERNAL, "timer: %s", strerror(-r));
        }
        if (r < 0) {
                job_free(j);
                return r;
        }
        *ret = j;
        return 0;
}

static void submit(Job *j) {
        Manager *m = j->manager;

        (void) eventfd_write(m->ask_cancel_fd, 1); /* an installation does not wait for inspections */
        worker_submit(m->worker, &j->task);
}

static void announce(Job *j, JournalMessage message, const char *text) {
        Manager *m = j->manager;

        m->last_id = j->id;
        j->shown = j->progress;
        m->job = j;
        journal_send(message, &(JournalFields){ .job = j->id, .source = j->source }, "Job %u %s: %s", j->id, text,
                     j->source);
        bus_job_new(j);
        bus_manager_changed(m);
}

bool job_is_at_work(const Manager *m) {
        return m->job && !m->job->waiting;
}

/* The bundle the waiting job has begun with, perhaps: the head will show. */
static int job_give(Job *j, const JobRequest *q, RsError *err) {
        int r = job_take(j, q, err);

        if (r < 0) {
                closep(&j->bundle_fd);
                closep(&j->ticket_fd);
                j->bundle_fd = j->ticket_fd = -EBADF;
                return r;
        }
        (void) snprintf(j->record.ticket_url, sizeof(j->record.ticket_url), "%s", j->ticket_url);
        j->waiting = false;
        j->progress.failure = RS_ERROR_INIT;
        journal_send(JOURNAL_JOB_RESUMED, &(JournalFields){ .job = j->id, .source = j->source }, "Job %u goes on: %s",
                     j->id, j->source);
        show(j);
        bus_manager_changed(j->manager);
        submit(j);
        return 0;
}

int job_start(Manager *m, const JobRequest *q, Job **ret, RsError *err) {
        int r;
        Job *j;

        if (m->stopping)
                return rs_fail(err, BUSY, "the service is stopping");
        if (m->job && m->job->waiting && !q->url) {
                j = m->job;
                r = job_give(j, q, err);
                if (r >= 0)
                        *ret = j;
                return r;
        }
        if (m->job)
                return rs_fail(err, BUSY, m->job->waiting ? "job %u waits until its bundle is given again; cancel it first"
                                                          : "job %u is running", m->job->id);
        r = job_new(m, q, &j, err);
        if (r < 0)
                return r;
        j->id = m->last_id < UINT32_MAX ? m->last_id + 1 : 1;
        j->record.id = j->id;
        (void) snprintf(j->record.url, sizeof(j->record.url), "%s", j->url ? j->url : j->source);
        (void) snprintf(j->record.ticket_url, sizeof(j->record.ticket_url), "%s", j->ticket_url);
        announce(j, JOURNAL_JOB_STARTED, "installs");
        submit(j);
        *ret = j;
        return 0;
}

int job_resume(Manager *m, const JobRecord *record, RsError *err) {
        bool by_fd = strncmp(record->url, FD_PREFIX, strlen(FD_PREFIX)) == 0;
        JobRequest q = JOB_REQUEST_INIT;
        Job *j;

        if (record->restarts >= JOB_RESTARTS_MAX)
                return rs_fail(err, STATE, "job %u was started %u times and came no further", record->id, record->restarts);
        if (by_fd)
                q.name = record->url + strlen(FD_PREFIX);
        else
                q.url = record->url;
        q.ticket_url = record->ticket_url;
        int r = job_new(m, &q, &j, err);
        if (r < 0)
                return r;
        j->record = *record;
        j->record.restarts++;
        j->id = record->id;
        j->progress.has_bundle = record->has_bundle;
        memcpy(j->progress.bundle_id, record->bundle_id, sizeof(j->progress.bundle_id));
        j->progress.done_bytes = record->done_bytes;
        j->progress.total_bytes = record->total_bytes;
        if (by_fd) {
                j->waiting = true;
                (void) rs_fail(&j->progress.failure, STATE, "waits until the same bundle is given again");
                announce(j, JOURNAL_JOB_WAITS, "waits until its bundle is given again");
                return 0;
        }
        announce(j, JOURNAL_JOB_RESUMED, "goes on");
        submit(j);
        return 0;
}

void job_cancel(Job *j, bool by_caller) {
        if (by_caller)
                j->cancelled = true;
        (void) eventfd_write(j->cancel_fd, 1); /* stays readable: every wait of the job ends */
        /* it may stand behind a question to a writer that hangs */
        (void) eventfd_write(j->manager->writer_cancel_fd, 1);
        if (!j->waiting)
                return;
        /* Nobody is at work on it: it ends here. */
        j->progress.state = JOB_STATE_CANCELLED;
        j->progress.failure = RS_ERROR_INIT;
        (void) rs_fail(&j->progress.failure, CANCELLED, "while it waited for its bundle");
        j->failure = j->progress.failure;
        job_task_done(&j->task);
}
