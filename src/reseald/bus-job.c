/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * bus-job - the objects /org/reseal1/job/N.
 *
 * There is at most one, the installation that runs; it appears with JobNew and goes with JobRemoved.
 * PropertiesChanged is sent from the job's timer (five times a second at most) and once more at its end, and
 * names only what has changed.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/names.h>
#include <reseal/base/text.h>

#include "manager.h"

static void job_path(const Job *j, char ret[64]) {
        (void) snprintf(ret, 64, RS_BUS_PATH_JOB_PREFIX "%u", j->id);
}

static int cancel_granted(Manager *m, sd_bus_message *request, const Caller *caller) {
        char path[64];

        (void) caller;
        /* The job may have ended while polkit was asked. */
        if (m->job)
                job_path(m->job, path);
        if (m->job && strcmp(path, sd_bus_message_get_path(request)) == 0)
                job_cancel(m->job, true);
        return sd_bus_reply_method_return(request, "");
}

static int method_cancel(sd_bus_message *request, void *userdata, sd_bus_error *unused) {
        Job *j = userdata;
        const char *sender = sd_bus_message_get_sender(request);

        (void) unused;
        if (j->owner && sender && strcmp(j->owner, sender) == 0)
                return cancel_granted(j->manager, request, NULL);
        return access_check(j->manager, request, "org.reseal1.install", cancel_granted);
}

static const char *step_text(const Job *j, char ret[16]) {
        ret[0] = '\0';
        if (j->shown.step > 0)
                (void) snprintf(ret, 16, "W%u", j->shown.step - 1);
        return ret;
}

static int property(sd_bus *bus, const char *path, const char *interface, const char *name, sd_bus_message *reply,
                    void *userdata, sd_bus_error *error) {
        const Job *j = userdata;
        const JobProgress *p = &j->shown;
        char bundle[HEX_SIZE(RS_DIGEST_SIZE)] = "", step[16];

        (void) bus;
        (void) path;
        (void) interface;
        (void) error;
        if (strcmp(name, "Id") == 0)
                return sd_bus_message_append(reply, "u", j->id);
        if (strcmp(name, "DoneBytes") == 0)
                return sd_bus_message_append(reply, "t", p->done_bytes);
        if (strcmp(name, "TotalBytes") == 0)
                return sd_bus_message_append(reply, "t", p->total_bytes);
        if (strcmp(name, "Rate") == 0)
                return sd_bus_message_append(reply, "t", j->rate);
        if (strcmp(name, "State") == 0)
                return sd_bus_message_append(reply, "s", job_state_to_string(p->state));
        if (strcmp(name, "Step") == 0)
                return sd_bus_message_append(reply, "s", step_text(j, step));
        if (strcmp(name, "Source") == 0)
                return sd_bus_message_append(reply, "s", j->source);
        if (strcmp(name, "Bundle") == 0) {
                if (p->has_bundle)
                        hex_encode(SPAN_ARRAY(p->bundle_id), bundle);
                return sd_bus_message_append(reply, "s", bundle);
        }
        bool failed = p->failure.reason != RS_REASON_NONE && job_state_is_final(p->state);
        if (strcmp(name, "Reason") == 0)
                return sd_bus_message_append(reply, "s", failed ? rs_reason_name(p->failure.reason) : "");
        return sd_bus_message_append(reply, "s", p->failure.text); /* Text, also of a loss being recovered from */
}

#define CHANGES SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE
#define CONST SD_BUS_VTABLE_PROPERTY_CONST
static const sd_bus_vtable VTABLE[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("Cancel", "", "", method_cancel, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_PROPERTY("Id", "u", property, 0, CONST),
        SD_BUS_PROPERTY("State", "s", property, 0, CHANGES),
        SD_BUS_PROPERTY("Step", "s", property, 0, CHANGES),
        SD_BUS_PROPERTY("DoneBytes", "t", property, 0, CHANGES),
        SD_BUS_PROPERTY("TotalBytes", "t", property, 0, CHANGES),
        SD_BUS_PROPERTY("Rate", "t", property, 0, CHANGES),
        SD_BUS_PROPERTY("Source", "s", property, 0, CONST),
        SD_BUS_PROPERTY("Bundle", "s", property, 0, CHANGES),
        SD_BUS_PROPERTY("Reason", "s", property, 0, CHANGES),
        SD_BUS_PROPERTY("Text", "s", property, 0, CHANGES),
        SD_BUS_VTABLE_END,
};

static int find_job(sd_bus *bus, const char *path, const char *interface, void *userdata, void **ret,
                    sd_bus_error *error) {
        Manager *m = userdata;
        char here[64];

        (void) bus;
        (void) interface;
        (void) error;
        if (!m->job)
                return 0;
        job_path(m->job, here);
        if (strcmp(path, here) != 0)
                return 0;
        *ret = m->job;
        return 1;
}

static int enumerate_jobs(sd_bus *bus, const char *prefix, void *userdata, char ***ret, sd_bus_error *error) {
        Manager *m = userdata;
        char here[64];

        (void) bus;
        (void) prefix;
        (void) error;
        char **list = calloc(2, sizeof(*list));
        if (!list)
                return -ENOMEM;
        if (m->job) {
                job_path(m->job, here);
                list[0] = strdup(here);
                if (!list[0]) {
                        free(list);
                        return -ENOMEM;
                }
        }
        *ret = list;
        return 1;
}

int bus_job_add(Manager *m, RsError *err) {
        int r = sd_bus_add_fallback_vtable(m->bus, NULL, RS_BUS_PATH "/job", RS_BUS_IFACE_JOB, VTABLE, find_job, m);
        if (r >= 0)
                r = sd_bus_add_node_enumerator(m->bus, NULL, RS_BUS_PATH "/job", enumerate_jobs, m);
        return r < 0 ? rs_fail(err, INTERNAL, "bus object: %s", strerror(-r)) : 0;
}

/* Signals below: one that cannot be sent is made good by the next, there is nobody to tell. */

void bus_job_new(Job *j) {
        char path[64];

        job_path(j, path);
        (void) sd_bus_emit_object_added(j->manager->bus, path);
        (void) sd_bus_emit_signal(j->manager->bus, RS_BUS_PATH, RS_BUS_IFACE_MANAGER, "JobNew", "uo", j->id, path);
}

void bus_job_changed(Job *j) {
        const JobProgress *now = &j->shown, *old = &j->told;
        char *names[10];
        size_t n = 0;
        char path[64];

        if (now->state != old->state)
                names[n++] = (char *) "State";
        if (now->step != old->step)
                names[n++] = (char *) "Step";
        if (now->done_bytes != old->done_bytes)
                names[n++] = (char *) "DoneBytes";
        if (now->total_bytes != old->total_bytes)
                names[n++] = (char *) "TotalBytes";
        if (j->rate != j->told_rate)
                names[n++] = (char *) "Rate";
        if (now->has_bundle != old->has_bundle)
                names[n++] = (char *) "Bundle";
        if (job_state_is_final(now->state) && now->state != old->state)
                names[n++] = (char *) "Reason";
        if (strcmp(now->failure.text, old->failure.text) != 0)
                names[n++] = (char *) "Text";
        names[n] = NULL;
        j->told = *now;
        j->told_rate = j->rate;
        if (n == 0)
                return;
        job_path(j, path);
        (void) sd_bus_emit_properties_changed_strv(j->manager->bus, path, RS_BUS_IFACE_JOB, names);
}

void bus_job_removed(Job *j, const char *result) {
        char path[64];

        job_path(j, path);
        (void) sd_bus_emit_signal(j->manager->bus, RS_BUS_PATH, RS_BUS_IFACE_MANAGER, "JobRemoved", "uos", j->id, path,
                                  result);
        (void) sd_bus_emit_object_removed(j->manager->bus, path);
}
