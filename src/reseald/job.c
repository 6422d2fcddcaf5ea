/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * job - an installation as the daemon sees it: a task on the worker, an object on the bus, a record on disk.
 *
 * The worker writes progress into the job under a lock; a timer of the main loop looks at it five times a
 * second and tells the bus what has changed, so the rate of signals is bounded whatever the worker does.  The
 * record is written by the worker: it may wait for the disk, the main loop may not.
 *
 * When the daemon is told to stop, the job is interrupted in the same way as by Cancel, but its record stays:
 * it goes on at the next start.  After JOB_RESTARTS_MAX starts that brought no byte further a job is given
 * up: a bundle that kills this process must not do so for ever.
 */
#include <errno.h>
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

static void job_free(Job *j) {
        j->tick = sd_event_source_disable_unref(j->tick);
        (void) pthread_mutex_destroy(&j->lock);
        closep(&j->cancel_fd);
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
                journal_send(JOURNAL_WRITER_LOST, &f, "Job %u: the writer is away (%s), ignoring it and asking again",
                             j->id, p->failure.text);
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

static void on_progress(void *userdata, const JobProgress *p) {
        Job *j = userdata;
        bool step = p->state != j->logged;

        (void) pthread_mutex_lock(&j->lock);
        j->progress = *p;
        (void) pthread_mutex_unlock(&j->lock);
        if (step) {
                j->logged = p->state;
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
        JobProgress last;

        eventfd_t unused;

        /* Whoever inspected was told to stop (job_start); nobody queues behind a job. */
        if (j->manager->ask_cancel_fd >= 0)
                (void) eventfd_read(j->manager->ask_cancel_fd, &unused);
        save_record(j, &j->progress);
        j->ran = true;
        if (job_run(&env, j->url, j->ticket_url, on_progress, j, &last, &j->failure) < 0 &&
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
        if (!m->stopping)
                (void) ask_slots(m, NULL);
}

static int job_new(Manager *m, const char *url, const char *ticket_url, const char *owner, Job **ret, RsError *err) {
        Job *j = calloc(1, sizeof(*j));

        if (!j)
                return rs_fail_oom(err);
        (void) pthread_mutex_init(&j->lock, NULL);
        j->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        j->manager = m;
        j->task = (Task){ .run = job_task_run, .done = job_task_done };
        j->url = strdup(url);
        j->source = strndup(url, strcspn(url, "?"));
        j->ticket_url = strdup(ticket_url);
        j->owner = owner ? strdup(owner) : NULL;
        if (j->cancel_fd < 0 || !j->url || !j->source || !j->ticket_url || (owner && !j->owner)) {
                job_free(j);
                return rs_fail_oom(err);
        }
        *ret = j;
        return 0;
}

int job_start(Manager *m, const char *url, const char *ticket_url, const char *owner, const JobRecord *resumed,
              Job **ret, RsError *err) {
        Job *j;

        if (m->job)
                return rs_fail(err, BUSY, "job %u is running", m->job->id);
        if (m->stopping)
                return rs_fail(err, BUSY, "the service is stopping");
        if (resumed && resumed->restarts >= JOB_RESTARTS_MAX)
                return rs_fail(err, STATE, "job %u was started %u times and came no further", resumed->id, resumed->restarts);
        int r = job_new(m, url, ticket_url, owner, &j, err);
        if (r < 0)
                return r;
        r = sd_event_add_time_relative(m->event, &j->tick, CLOCK_BOOTTIME, TICK_USEC, 0, on_tick, j);
        if (r < 0) {
                job_free(j);
                return rs_fail(err, INTERNAL, "timer: %s", strerror(-r));
        }

        if (resumed) {
                j->record = *resumed;
                j->record.restarts++;
                j->id = resumed->id;
                j->progress.has_bundle = resumed->has_bundle;
                memcpy(j->progress.bundle_id, resumed->bundle_id, sizeof(j->progress.bundle_id));
                j->progress.done_bytes = resumed->done_bytes;
                j->progress.total_bytes = resumed->total_bytes;
        } else {
                j->id = m->last_id + 1;
                j->record.id = j->id;
                (void) snprintf(j->record.url, sizeof(j->record.url), "%s", url);
                (void) snprintf(j->record.ticket_url, sizeof(j->record.ticket_url), "%s", ticket_url);
        }
        if (j->id > m->last_id)
                m->last_id = j->id;
        j->shown = j->progress;
        m->job = j;
        journal_send(resumed ? JOURNAL_JOB_RESUMED : JOURNAL_JOB_STARTED,
                     &(JournalFields){ .job = j->id, .source = j->source },
                     resumed ? "Job %u goes on: %s" : "Job %u: installing %s", j->id, j->source);
        bus_job_new(j);
        bus_manager_changed(m);
        (void) eventfd_write(m->ask_cancel_fd, 1); /* an installation does not wait for inspections */
        worker_submit(m->worker, &j->task);
        if (ret)
                *ret = j;
        return 0;
}

void job_cancel(Job *j, bool by_caller) {
        if (by_caller)
                j->cancelled = true;
        (void) eventfd_write(j->cancel_fd, 1); /* stays readable: every wait of the job ends */
}
