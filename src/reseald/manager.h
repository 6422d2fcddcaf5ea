/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * manager - the daemon's one object: configuration, identity, worker, the job that runs and what is known of
 * the slots.
 *
 * Spec:     DESIGN.md 10; conf/org.reseal1.xml
 * Trust:    callers of the bus are judged by bus-access.c before anything here is asked to act
 * Owns:     a Manager owns all it points to; a Job belongs to it until its task is done
 * Units:    bytes, microseconds of CLOCK_BOOTTIME
 * Errors:   as named per function
 * Context:  main thread, but where "worker" is said
 * Programs: reseald
 */
#include <pthread.h>

#include <systemd/sd-bus.h>

#include <reseal/ipc/writer-client.h>
#include <reseal/job/run.h>

#include "identity.h"
#include "places.h"
#include "worker.h"

typedef struct Manager Manager;

/* What the writer said last; copied as a whole from a task's result. */
typedef struct View {
        bool known, overtaken; /* a job has ended since */
        uint64_t when_usec;
        char line[RS_NAME_MAX + 1];
        WriterState state;
        WriterSlotInfo slots[WRITER_SLOTS_MAX];
        uint32_t n_slots;
} View;

typedef struct Job {
        Task task;
        Manager *manager;
        uint32_t id;
        char *url, *ticket_url;      /* url NULL: from bundle_fd */
        char *source;                /* what of the url is shown: a query may hold a credential */
        int bundle_fd, ticket_fd;    /* -EBADF: none */
        uint8_t *ticket;
        size_t ticket_size;
        bool waiting;                /* after a restart, until its bundle is given again; not on the worker */
        char *owner;                 /* unique bus name of who asked; NULL after a restart */
        int cancel_fd;
        bool cancelled;              /* by a caller, as opposed to the end of the daemon */

        pthread_mutex_t lock;
        JobProgress progress;        /* under lock; the worker writes, the main thread reads */

        JobProgress shown;           /* main thread: what the bus object says */
        JobProgress told;            /* and what the last signal said */
        uint64_t told_rate;
        uint64_t rate, rate_usec, rate_bytes;
        sd_event_source *tick;

        JobRecord record;            /* worker, while the task runs */
        uint64_t saved_usec;         /* worker */
        JobState logged;             /* worker */
        RsReason logged_reason;      /* worker: of the loss that was logged */
        bool told_unproven;          /* worker */
        RsError failure;
        bool ran;
} Job;

struct Manager {
        sd_event *event;
        sd_bus *bus;
        DaemonConfig config;
        Identity identity;
        TrustRoots *roots;           /* worker, but for loading */
        SourceLists *lists;          /* the same */
        int state_dir_fd;
        Worker *worker;
        Job *job;                    /* the one installation that runs, or NULL */
        uint32_t last_id;
        View view;
        RsReason last_reason;        /* how the last job ended; NONE = well or none yet */
        bool stopping;
        sd_event_source *watchdog;   /* NULL: nobody watches */
        uint64_t watchdog_usec;
        int ask_cancel_fd;           /* ends inspections, when an installation begins or the daemon stops */
        int writer_cancel_fd;        /* ends questions to the writer: a job behind them is cancelled, or the end */
        struct Check *checks;        /* authorizations being asked for, bus-access.c */
        Places places;               /* of requests that wait, per caller */
        unsigned health_uid;         /* UINT_MAX: there is no such user */
        unsigned operator_gid;       /* UINT_MAX: there is no such group */
};

int manager_new(const char *config_path, Manager **ret, RsError *err);
int manager_start(Manager *m, RsError *err);       /* bus, worker; resumes what a record says */
Manager *manager_free(Manager *m);
RS_DEFINE_CLEANUP(Manager, manager_free)
void manager_stop(Manager *m);                     /* ends the loop; a job stays recorded and resumes */
JobEnv manager_job_env(const Manager *m, int cancel_fd);
uint64_t manager_patience_usec(const Manager *m);   /* how long the worker may be silent */
void manager_seen(Manager *m, const View *view);   /* what the writer said; tells of a trial that failed */
const char *manager_state(const Manager *m);       /* PSA word */
/* A failure that the job's bundle deserves, as opposed to one of network or machine. */
bool reason_is_verdict(RsReason reason);

/* Who asks for what.  All borrowed; job_start copies and duplicates. */
typedef struct JobRequest {
        const char *url;             /* NULL: bundle_fd */
        int bundle_fd;
        const char *name;            /* shown for a descriptor; NULL: none */
        const char *ticket_url;
        int ticket_fd;
        Span ticket;
        const char *owner;
} JobRequest;
#define JOB_REQUEST_INIT ((JobRequest){ .bundle_fd = -EBADF, .ticket_fd = -EBADF })

/* job.c: BUSY while another runs.  A descriptor goes to the job that waits for one, if there is such a job. */
int job_start(Manager *m, const JobRequest *request, Job **ret, RsError *err);
/* As the record says; one that began with a descriptor waits for it. */
int job_resume(Manager *m, const JobRecord *record, RsError *err);
bool job_is_at_work(const Manager *m); /* an installation has the worker */
void job_cancel(Job *j, bool by_caller);

/* ask.c: questions to the writer and to sources, answered on the worker; the request is replied to when done. */
void ask_view(Manager *m);                         /* nobody waits: only refresh the view */
int ask_slots(Manager *m, sd_bus_message *request, const Caller *caller);
int ask_chain(Manager *m, sd_bus_message *request, const Caller *caller);
int ask_policy(Manager *m, sd_bus_message *request, const Caller *caller);
int ask_certify(Manager *m, sd_bus_message *request, const Caller *caller, Span nonce);
int ask_import(Manager *m, sd_bus_message *request, const Caller *caller, Span crl);
int ask_mark(Manager *m, sd_bus_message *request, const Caller *caller, uint32_t what, const char *slot);
int ask_inspect(Manager *m, sd_bus_message *request, const Caller *caller, const char *url);
int ask_check(Manager *m, sd_bus_message *request, const Caller *caller, const char *url);

/* bus-manager.c and bus-job.c */
int bus_manager_add(Manager *m, RsError *err);
int bus_job_add(Manager *m, RsError *err);
void bus_manager_changed(Manager *m);              /* State, slots, release */
void bus_job_new(Job *j);
void bus_job_changed(Job *j);                      /* tells what differs from *shown */
void bus_job_removed(Job *j, const char *result);
int bus_reply_error(sd_bus_message *request, const RsError *err);
/* One entry of a dictionary a{sv}. */
int bus_add(sd_bus_message *m, const char *key, const char *type, ...);
int bus_append_trust(sd_bus_message *reply, const WriterTrust *t);
int bus_append_policy(sd_bus_message *reply, const ConfigNotes *writer, const ConfigNotes *daemon);
int bus_append_slots(sd_bus_message *reply, const View *v);
int bus_append_inspection(sd_bus_message *reply, const JobInspection *i);
int bus_append_check(sd_bus_message *reply, const JobInspection *i);

/*
 * bus-access.c: calls fn when the sender may do the action, else answers the request itself.  action NULL: anybody may.
 * fn gets a copy of the request, with the descriptors that its arguments name and no other.
 */
typedef int (*AccessGranted)(Manager *m, sd_bus_message *request, const Caller *caller);
int access_check(Manager *m, sd_bus_message *request, const char *action, AccessGranted fn);
