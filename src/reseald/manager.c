/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * manager - start, stop, and what the daemon as a whole is doing.
 *
 * Order of the start: configuration and identity first (a mistake there is told before the bus name is
 * taken), then bus, worker, and the job that a record says was under way.  READY is said when the name is
 * requested; whether the writer or the TPM is there is found out by the first task that needs it, and an
 * absence never keeps the bus from answering.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>

#include <systemd/sd-daemon.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/names.h>

#include "journal.h"
#include "manager.h"

#define GROUP_OPERATOR "reseal-operator"

static int on_stop(sd_event_source *s, const struct signalfd_siginfo *si, void *userdata) {
        (void) s;
        (void) si;
        manager_stop(userdata);
        return 0;
}

static int setup_event(Manager *m, RsError *err) {
        sigset_t set;

        int r = sd_event_default(&m->event);
        if (r >= 0) {
                (void) sigemptyset(&set);
                (void) sigaddset(&set, SIGTERM);
                (void) sigaddset(&set, SIGINT);
                r = sigprocmask(SIG_BLOCK, &set, NULL) < 0 ? -errno : 0;
        }
        if (r >= 0)
                r = sd_event_add_signal(m->event, NULL, SIGTERM, on_stop, m);
        if (r >= 0)
                r = sd_event_add_signal(m->event, NULL, SIGINT, on_stop, m);
        return r < 0 ? rs_fail(err, INTERNAL, "event loop: %s", strerror(-r)) : 0;
}

/* Fed only while both threads live.  Twice per period, as sd_watchdog_enabled(3) asks. */
static int on_watchdog(sd_event_source *s, uint64_t usec, void *userdata) {
        Manager *m = userdata;

        (void) usec;
        if (worker_is_alive(m->worker))
                (void) sd_notify(0, "WATCHDOG=1");
        else
                journal_send(JOURNAL_WORKER_HANGS, NULL, "The worker thread hangs: the service will be restarted");
        (void) sd_event_source_set_time_relative(s, m->watchdog_usec / 2);
        return sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
}

static int start_watchdog(Manager *m, RsError *err) {
        int r = sd_watchdog_enabled(false, &m->watchdog_usec);

        if (r > 0)
                r = sd_event_add_time_relative(m->event, &m->watchdog, CLOCK_BOOTTIME, 0, 0, on_watchdog, m);
        return r < 0 ? rs_fail(err, INTERNAL, "watchdog: %s", strerror(-r)) : 0;
}

static bool key_failure(void *userdata, RsError *ret) {
        return userdata && tpm_key_evp_failure(userdata, ret);
}

int manager_new(const char *config_path, Manager **ret, RsError *err) {
        _cleanup_(manager_freep) Manager *m = calloc(1, sizeof(*m));

        if (!m)
                return rs_fail_oom(err);
        m->state_dir_fd = m->ask_cancel_fd = m->writer_cancel_fd = -EBADF;
        int r = daemon_config_read(config_path, &m->config, err);
        if (r >= 0)
                r = trust_roots_load(m->config.source_anchors, m->config.firmware_anchors, &m->roots, err);
        if (r >= 0)
                r = identity_load(&m->config, &m->identity, err);
        if (r >= 0)
                r = https_global_init(err);
        if (r < 0)
                return r;
        m->config.https.identity = m->identity.https;
        m->config.https.key_failure = key_failure;
        m->config.https.key_userdata = m->identity.tpm;

        m->state_dir_fd = open(m->config.state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (m->state_dir_fd < 0)
                return rs_fail_errno(err, errno, "%s", m->config.state_dir);
        r = source_lists_open(m->state_dir_fd, trust_roots_source(m->roots), &m->lists, err);
        if (r < 0)
                return r;
        const RsError *unread = source_lists_unread(m->lists);
        if (unread)
                journal_send(JOURNAL_LISTS_UNREAD, &(JournalFields){ .error = unread },
                             "Revocation lists begin anew, ignoring: %s", unread->text);
        m->ask_cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        m->writer_cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (m->ask_cancel_fd < 0 || m->writer_cancel_fd < 0)
                return rs_fail_errno(err, errno, "eventfd");
        const struct group *g = getgrnam(GROUP_OPERATOR);
        m->operator_gid = g ? g->gr_gid : UINT_MAX;
        const struct passwd *health = getpwnam(RS_USER_HEALTH);
        m->health_uid = health ? health->pw_uid : UINT_MAX;
        r = setup_event(m, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(m);
        return 0;
}

static int open_bus(Manager *m, RsError *err) {
        int r = sd_bus_open_system(&m->bus); /* DBUS_SYSTEM_BUS_ADDRESS names another one: tests have their own */

        if (r >= 0)
                r = sd_bus_attach_event(m->bus, m->event, SD_EVENT_PRIORITY_NORMAL);
        if (r >= 0)
                r = sd_bus_set_exit_on_disconnect(m->bus, true);
        if (r < 0)
                return rs_fail(err, CONNECT, "system bus: %s", strerror(-r));
        r = bus_manager_add(m, err);
        if (r >= 0)
                r = bus_job_add(m, err);
        return r;
}

static void resume(Manager *m) {
        JobRecord record;
        RsError err = RS_ERROR_INIT;

        /* Slots first: once the job has the worker, callers are told what was known before it. */
        if (record_load_last_id(m->state_dir_fd, &m->last_id, &err) < 0)
                journal_send(JOURNAL_JOB_RECORD, &(JournalFields){ .error = &err },
                             "Job numbers begin anew, ignoring: %s", err.text);
        err = RS_ERROR_INIT;
        int r = record_load(m->state_dir_fd, &record, &err);
        ask_view(m);
        if (r == 1) {
                if (job_resume(m, &record, &err) >= 0)
                        return;
                journal_send(JOURNAL_JOB_FAILED, &(JournalFields){ .job = record.id, .error = &err },
                             "Job %u is given up: %s", record.id, err.text);
                (void) record_remove(m->state_dir_fd, &err);
        } else if (r != 0)
                journal_send(JOURNAL_JOB_RECORD, &(JournalFields){ .error = &err }, "A job record cannot be read, ignoring it");
}

int manager_start(Manager *m, RsError *err) {
        int r = open_bus(m, err);
        if (r >= 0)
                r = worker_new(m->event, &m->worker, err);
        if (r >= 0)
                r = start_watchdog(m, err);
        if (r < 0)
                return r;
        r = sd_bus_request_name(m->bus, RS_BUS_NAME, 0);
        if (r < 0)
                return rs_fail(err, CONNECT, "the name " RS_BUS_NAME ": %s", strerror(-r));
        if (!m->identity.https || !m->identity.keys[TPM_KEY_UNWRAP].present)
                journal_send(JOURNAL_NOT_PROVISIONED, NULL, "This device has no keys or certificate, ignoring that until something "
                                                            "is to be installed");
        (void) sd_notify(0, "READY=1");
        journal_send(JOURNAL_DAEMON_READY, NULL, "reseald " RS_VERSION " is ready");
        resume(m);
        return 0;
}

void manager_stop(Manager *m) {
        if (m->stopping)
                return;
        m->stopping = true;
        (void) sd_notify(0, "STOPPING=1");
        (void) eventfd_write(m->ask_cancel_fd, 1);
        (void) eventfd_write(m->writer_cancel_fd, 1);
        if (m->job)
                job_cancel(m->job, false);
        (void) sd_event_exit(m->event, 0);
}

Manager *manager_free(Manager *m) {
        if (!m)
                return NULL;
        m->stopping = true;
        if (m->job)
                job_cancel(m->job, false);
        m->watchdog = sd_event_source_disable_unref(m->watchdog);
        m->worker = worker_free(m->worker); /* waits; its tasks answer what they were asked */
        m->bus = sd_bus_flush_close_unref(m->bus);
        m->event = sd_event_unref(m->event);
        m->lists = source_lists_free(m->lists);
        m->roots = trust_roots_free(m->roots);
        identity_done(&m->identity);
        daemon_config_done(&m->config);
        closep(&m->state_dir_fd);
        closep(&m->ask_cancel_fd);
        closep(&m->writer_cancel_fd);
        free(m);
        return NULL;
}

/* On the worker: a server may ask for a pause longer than any operation takes. */
static void on_pause(void *userdata, uint64_t usec) {
        const Manager *m = userdata;

        worker_expect(m->worker, usec + manager_patience_usec(m));
}

JobEnv manager_job_env(const Manager *m, int cancel_fd) {
        const IdentityKey *unwrap = &m->identity.keys[TPM_KEY_UNWRAP];
        JobEnv env = {
                .https = m->config.https,
                .roots = m->roots,
                .tpm = m->identity.tpm,
                .unwrap = unwrap->present ? &unwrap->key : NULL,
                .tsa_url = m->config.tsa_url,
                .lists = m->lists,
                .writer_socket = m->config.writer_socket,
                .writer_retry_usec = m->config.writer_retry_usec,
                .writer_retries = (unsigned) m->config.writer_retries,
        };

        env.https.cancel_fd = cancel_fd;
        env.https.on_pause = on_pause;
        env.https.pause_userdata = (void *) m;
        memcpy(env.device_id, unwrap->spki_sha256, sizeof(env.device_id));
        return env;
}

/* One blocking operation at its worst: a round of attempts at the source, then writer and TPM. */
uint64_t manager_patience_usec(const Manager *m) {
        const HttpsConfig *h = &m->config.https;

        return (h->max_retries + 1) * (h->connect_timeout_usec + h->low_speed_usec + 60 * UINT64_C(1000000)) +
               600 * UINT64_C(1000000);
}

bool reason_is_verdict(RsReason reason) {
        switch ((int) reason) {
        case RS_REASON_FORMAT ... RS_REASON_CODEC:
        case RS_REASON_SIGNATURE ... RS_REASON_ALGORITHM:
        case RS_REASON_LINE ... RS_REASON_ROLLBACK:
        case RS_REASON_CHAIN ... RS_REASON_REVOKED:
                return true;
        default:
                return false;
        }
}

/* Of the release accepted last: the loader fell back from it. */
static const WriterSlotInfo *failed_slot(const View *v) {
        for (uint32_t i = 0; v->known && i < v->n_slots; i++)
                if (v->slots[i].failed && v->slots[i].release == v->state.release)
                        return &v->slots[i];
        return NULL;
}

/* A good one that did not come up when it was started: the writer has kept what is known of it. */
static const WriterSlotInfo *missed_slot(const View *v) {
        for (uint32_t i = 0; v->known && i < v->n_slots; i++)
                if (v->slots[i].good && v->slots[i].report[0] != '\0')
                        return &v->slots[i];
        return NULL;
}

void manager_seen(Manager *m, const View *view) {
        const WriterSlotInfo *failed = failed_slot(view), *missed = missed_slot(view);

        if (failed && !failed_slot(&m->view))
                journal_send(JOURNAL_TRIAL_FAILED, &(JournalFields){ .slot = failed->name },
                             "Release %llu in slot %s failed its trial: %s", (unsigned long long) failed->release,
                             failed->name, failed->report[0] ? failed->report : "it did not start, or hung");
        if (missed && !missed_slot(&m->view))
                journal_send(JOURNAL_SLOT_MISSED, &(JournalFields){ .slot = missed->name },
                             "Release %llu in slot %s, which is good, did not start: %s", (unsigned long long) missed->release,
                             missed->name, missed->report);
        m->view = *view;
        bus_manager_changed(m);
}

/* The words of the PSA firmware update API, for the component "the system". */
const char *manager_state(const Manager *m) {
        const View *v = &m->view;

        if (job_is_at_work(m))
                return m->job->shown.state == JOB_STATE_FINISH ? "CANDIDATE" : "WRITING";
        if (m->last_reason != RS_REASON_NONE)
                return reason_is_verdict(m->last_reason) ? "REJECTED" : "FAILED";
        if (failed_slot(v))
                return "REJECTED";
        if (v->known && v->state.trial_pending)
                return "TRIAL";
        if (v->known && v->state.primary[0] && strcmp(v->state.primary, v->state.running) != 0)
                return "STAGED";
        return v->known && v->state.release > 0 ? "UPDATED" : "READY";
}
