/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * install and watch: start a job or find a running one, then follow it to its end.
 *
 * The job belongs to the service.  Ctrl-C leaves it running and says so; when the service restarts, the job resumes by
 * itself, so the client waits for the name to come back and finds the job again by its source.
 */
#include <fcntl.h>
#include <signal.h>
#include <string.h>

#include <reseal/base/text.h>

#include "resealctl.h"

#define RETURN_TIMEOUT_USEC (90ull * 1000 * 1000)

static bool is_local(const char *source) {
        return !strstr(source, "://");
}

typedef struct Follow {
        Client *client;
        char *path;
        const char *local;    /* the file that was given, NULL: the service fetches */
        json_t *job;          /* the properties, as last told */
        char result[64];      /* "done" or a reason, once it has ended */
        bool service_gone;
        bool service_back;
        bool interrupted;
        bool timed_out;
        sd_event_source *patience; /* while the service is away */
} Follow;

static void follow_done(Follow *f) {
        f->patience = sd_event_source_disable_unref(f->patience);
        free(f->path);
        json_decref(f->job);
}

static int on_properties(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Follow *f = userdata;
        _cleanup_(json_decrefp) json_t *all = NULL;
        RsError err = RS_ERROR_INIT;
        (void) error;

        if (!f->path || strcmp(sd_bus_message_get_path(m), f->path) != 0)
                return 0;
        if (bus_read_json_all(m, &all, &err) < 0)
                return 0; /* a signal that cannot be read changes nothing; the end is told by JobRemoved */
        (void) json_object_update(f->job, json_array_get(all, 1));
        progress_draw(f->client->options, f->job);
        return 0;
}

static int on_job_removed(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Follow *f = userdata;
        uint32_t id;
        const char *path, *result;
        (void) error;

        if (sd_bus_message_read(m, "uos", &id, &path, &result) >= 0 && f->path && strcmp(path, f->path) == 0)
                (void) bus_text(result, f->result, sizeof(f->result));
        return 0;
}

static int on_owner(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Follow *f = userdata;
        const char *name, *old_owner, *new_owner;
        (void) error;

        if (sd_bus_message_read(m, "sss", &name, &old_owner, &new_owner) < 0 || strcmp(name, RS_BUS_NAME) != 0)
                return 0;
        if (new_owner[0] == '\0')
                f->service_gone = true;
        else
                f->service_back = true;
        return 0;
}

static int on_interrupt(sd_event_source *s, const struct signalfd_siginfo *si, void *userdata) {
        (void) s;
        (void) si;
        ((Follow *) userdata)->interrupted = true;
        return 0;
}

static int on_timeout(sd_event_source *s, uint64_t usec, void *userdata) {
        (void) s;
        (void) usec;
        ((Follow *) userdata)->timed_out = true;
        return 0;
}

/* Matches come before the call that makes the job: no signal can be missed. */
static int follow_subscribe(Follow *f, RsError *err) {
        sd_bus *bus = f->client->bus;
        sigset_t set;
        int r = sd_bus_match_signal(bus, NULL, RS_BUS_NAME, NULL, "org.freedesktop.DBus.Properties",
                                    "PropertiesChanged", on_properties, f);

        if (r >= 0)
                r = sd_bus_match_signal(bus, NULL, RS_BUS_NAME, RS_BUS_PATH, RS_BUS_IFACE_MANAGER, "JobRemoved",
                                        on_job_removed, f);
        if (r >= 0)
                r = sd_bus_match_signal(bus, NULL, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                        "org.freedesktop.DBus", "NameOwnerChanged", on_owner, f);
        if (r >= 0) {
                (void) sigemptyset(&set);
                (void) sigaddset(&set, SIGINT);
                r = sigprocmask(SIG_BLOCK, &set, NULL) < 0 ? -errno : 0;
        }
        if (r >= 0)
                r = sd_event_add_signal(f->client->event, NULL, SIGINT, on_interrupt, f);
        return r < 0 ? rs_fail(err, INTERNAL, "cannot listen to the service: %s", strerror(-r)) : 0;
}

/* The properties as they are now; a job that is gone already keeps what is known. */
static void follow_refresh(Follow *f) {
        RsError ignored = RS_ERROR_INIT;
        json_t *now = NULL;

        if (client_properties(f->client, f->path, RS_BUS_IFACE_JOB, &now, &ignored) == 0) {
                json_decref(f->job);
                f->job = now;
        }
}

/* 1 found: path set; 0 none.  With source NULL: the first job that has not ended. */
static int find_job(Follow *f, const char *source, RsError *err) {
        _cleanup_(json_decrefp) json_t *jobs = NULL;
        size_t i;
        json_t *entry;
        int r = client_call(f->client, RS_BUS_PATH, RS_BUS_IFACE_MANAGER, "ListJobs", &jobs, err, NULL);

        if (r < 0)
                return r;
        json_array_foreach(jobs, i, entry) {
                _cleanup_(json_decrefp) json_t *job = NULL;
                RsError ignored = RS_ERROR_INIT;
                const char *path = json_string_value(json_array_get(entry, 0));

                if (!path || client_properties(f->client, path, RS_BUS_IFACE_JOB, &job, &ignored) < 0)
                        continue;
                const char *its_source = json_string_value(json_object_get(job, "Source"));
                if (source && (!its_source || strcmp(source, its_source) != 0))
                        continue;
                char *copy = strdup(path);
                if (!copy)
                        return rs_fail_oom(err);
                free(f->path);
                f->path = copy;
                json_decref(f->job);
                f->job = TAKE_PTR(job);
                return 1;
        }
        return 0;
}

static int start_job(Follow *f, const char *source, RsError *err);

/* After the name came back: the same source is the same job, resumed; what came from a file is given again. */
static int follow_again(Follow *f, RsError *err) {
        _cleanup_(freep) char *source = NULL;
        const char *text = json_string_value(json_object_get(f->job, "Source"));

        if (text && !(source = strdup(text)))
                return rs_fail_oom(err);
        int r = find_job(f, source, err);
        if (r < 0)
                return r;
        if (r == 0)
                return rs_fail(err, STATE, "the service restarted and no longer has the job");
        if (!f->local)
                return 0;
        if (strcmp(f->local, "-") == 0)
                return rs_fail(err, STATE, "the service restarted and waits until the same bundle is given again");
        return start_job(f, f->local, err);
}

static int follow_step(Follow *f, RsError *err) {
        int r = sd_event_run(f->client->event, UINT64_MAX);

        if (r < 0)
                return rs_fail(err, CONNECT, "lost the bus: %s", strerror(-r));
        if (f->timed_out) {
                f->client->unreachable = true;
                return rs_fail(err, CONNECT, "the service went away and did not come back");
        }
        if (f->service_gone) {
                f->service_gone = false;
                progress_end(f->client->options);
                fprintf(stderr, "The service restarts; waiting for it ...\n");
                f->patience = sd_event_source_disable_unref(f->patience);
                r = sd_event_add_time_relative(f->client->event, &f->patience, CLOCK_BOOTTIME, RETURN_TIMEOUT_USEC, 0,
                                               on_timeout, f);
                if (r < 0)
                        return rs_fail(err, INTERNAL, "timer: %s", strerror(-r));
        }
        if (f->service_back) {
                f->service_back = false;
                f->patience = sd_event_source_disable_unref(f->patience); /* it may run for hours from here */
                return follow_again(f, err);
        }
        return 0;
}

static int report_end(Follow *f) {
        const Options *o = f->client->options;
        bool done = strcmp(f->result, "done") == 0;
        char size[32];

        progress_end(o);
        if (o->json) {
                (void) json_object_set_new(f->job, "Result", json_string(f->result));
                print_json(f->job);
        } else if (done)
                printf("%sInstalled%s %s. It starts at the next boot.\n", good(o), plain(o),
                       format_bytes(number_of(f->job, "TotalBytes"), size, sizeof(size)));
        else {
                const char *text = text_of(f->job, "Text");
                const char *word = strcmp(f->result, rs_reason_name(RS_REASON_CANCELLED)) == 0 ? "Cancelled" : "Failed";
                fprintf(stderr, "%s%s%s: %s: %s\n", bad(o), word, plain(o), f->result,
                        text[0] ? text : rs_reason_text(rs_reason_from_name(f->result)));
        }
        return done ? EXIT_OK : EXIT_FAILED;
}

static int follow_to_end(Follow *f, RsError *err) {
        follow_refresh(f);
        progress_draw(f->client->options, f->job);
        while (f->result[0] == '\0') {
                int r = follow_step(f, err);
                if (r < 0)
                        return r;
                if (f->interrupted) {
                        progress_end(f->client->options);
                        fprintf(stderr, "The installation goes on; 'resealctl watch' shows it, "
                                        "'resealctl cancel' ends it.\n");
                        return EXIT_INTERRUPTED;
                }
        }
        return report_end(f);
}

/* The service has no right to a user's files: the caller opens them. */
static int open_local(const char *path, int *ret, RsError *err) {
        *ret = strcmp(path, "-") == 0 ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) : open(path, O_RDONLY | O_CLOEXEC);
        return *ret < 0 ? rs_fail_errno(err, errno, "%s", path) : 0;
}

static int call_install_fd(Client *c, const char *file, json_t **ret, RsError *err) {
        _cleanup_(closep) int fd = -EBADF, ticket_fd = -EBADF;
        const char *ticket = c->options->ticket, *base = strrchr(file, '/');
        char name[256];
        int r = open_local(file, &fd, err);

        if (r >= 0 && ticket && is_local(ticket))
                r = open_local(ticket, &ticket_fd, err);
        if (r < 0)
                return r;
        base = base ? base + 1 : file;
        text_escape(SPAN(base, strlen(base)), name, sizeof(name));
        if (ticket_fd >= 0)
                return client_call(c, RS_BUS_PATH, RS_BUS_IFACE_MANAGER, "InstallFd", ret, err, "ha{sv}", fd, 2, "name", "s",
                                   name, "ticket", "h", ticket_fd);
        if (ticket)
                return client_call(c, RS_BUS_PATH, RS_BUS_IFACE_MANAGER, "InstallFd", ret, err, "ha{sv}", fd, 2, "name", "s",
                                   name, "ticket", "s", ticket);
        return client_call(c, RS_BUS_PATH, RS_BUS_IFACE_MANAGER, "InstallFd", ret, err, "ha{sv}", fd, 1, "name", "s", name);
}

static int start_job(Follow *f, const char *source, RsError *err) {
        Client *c = f->client;
        _cleanup_(json_decrefp) json_t *path = NULL;
        int r;

        if (is_local(source))
                r = call_install_fd(c, source, &path, err);
        else if (c->options->ticket)
                r = client_call(c, RS_BUS_PATH, RS_BUS_IFACE_MANAGER, "Install", &path, err, "sa{sv}", source, 1,
                                "ticket", "s", c->options->ticket);
        else
                r = client_call(c, RS_BUS_PATH, RS_BUS_IFACE_MANAGER, "Install", &path, err, "sa{sv}", source, 0);
        if (r < 0)
                return r;
        free(f->path);
        f->path = json_string_value(path) ? strdup(json_string_value(path)) : NULL;
        if (!f->path)
                return rs_fail(err, PROTOCOL, "the service named no job");
        f->local = is_local(source) ? source : NULL;
        if (!f->local)
                (void) json_object_set_new(f->job, "Source", json_string(source));
        return 0;
}

static int finish(const Client *c, int r, const RsError *err) {
        if (r >= 0)
                return r;
        print_error(err);
        return exit_code_of(c, err);
}

int verb_install(Client *c, int argc, char **argv) {
        _cleanup_(follow_done) Follow f = { .client = c, .job = json_object() };
        RsError err = RS_ERROR_INIT;
        int r = follow_subscribe(&f, &err);
        (void) argc;

        if (r >= 0)
                r = start_job(&f, argv[0], &err);
        if (r >= 0 && !c->options->wait) {
                if (c->options->json)
                        print_json_text(f.path);
                else
                        puts(f.path);
                return EXIT_OK;
        }
        if (r >= 0)
                r = follow_to_end(&f, &err);
        return finish(c, r, &err);
}

int verb_watch(Client *c, int argc, char **argv) {
        _cleanup_(follow_done) Follow f = { .client = c };
        RsError err = RS_ERROR_INIT;
        int r = follow_subscribe(&f, &err);

        if (r >= 0 && argc > 0) {
                if (asprintf(&f.path, "%s%s", RS_BUS_PATH_JOB_PREFIX, argv[0]) < 0)
                        f.path = NULL;
                r = f.path && sd_bus_object_path_is_valid(f.path)
                                    ? client_properties(c, f.path, RS_BUS_IFACE_JOB, &f.job, &err)
                                    : rs_fail(&err, INVALID, "not a job number: %s", argv[0]);
        } else if (r >= 0 && (r = find_job(&f, NULL, &err)) == 0) {
                if (c->options->json)
                        print_json_text(NULL);
                else
                        printf("No job is running.\n");
                return EXIT_OK;
        }
        if (r >= 0)
                r = follow_to_end(&f, &err);
        return finish(c, r, &err);
}
