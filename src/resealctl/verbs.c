/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The verbs that ask once and print: status, slots, jobs, keys, inspect, mark, cancel.
 */
#include <inttypes.h>
#include <string.h>
#include <time.h>


#include "resealctl.h"

static int fail(const Client *c, const RsError *err) {
        print_error(err);
        return exit_code_of(c, err);
}

static int ask(Client *c, const char *method, json_t **ret, RsError *err) {
        return client_call(c, RS_BUS_PATH, RS_BUS_IFACE_MANAGER, method, ret, err, NULL);
}

/* -- slots --------------------------------------------------------------------------------------- */

static void print_slot(const Options *o, const char *name, json_t *slot) {
        char size[32], release[96] = "-", tries[32] = "";
        bool running = flag_of(slot, "running"), primary = flag_of(slot, "primary");
        int left = (int) json_integer_value(json_object_get(slot, "tries"));
        bool missed = flag_of(slot, "good") && *text_of(slot, "report"); /* it did not come up when it was started last */
        const char *state = missed                      ? "good, did not start"
                            : flag_of(slot, "good")     ? "good"
                            : flag_of(slot, "failed")   ? "failed its trial"
                            : flag_of(slot, "bootable") ? "on trial"
                                                        : "not bootable";

        if (number_of(slot, "release") > 0)
                (void) snprintf(release, sizeof(release), "%" PRIu64 " (%s)", number_of(slot, "release"),
                                text_of(slot, "version"));
        if (left >= 0 && flag_of(slot, "bootable") && !flag_of(slot, "good"))
                (void) snprintf(tries, sizeof(tries), ", %d %s left", left, left == 1 ? "try" : "tries");
        printf("%s%-12s%s %-4s %-6s %9s  %-24s %s%s%s%s%s%s\n", bold(o), name, plain(o), text_of(slot, "boot-name"),
               text_of(slot, "type"), format_bytes(number_of(slot, "size"), size, sizeof(size)), release,
               flag_of(slot, "good") ? good(o) : "", state, plain(o), tries, running ? ", running" : "",
               primary ? ", next boot" : "");
        if (flag_of(slot, "failed") || missed)
                printf("%-12s %s\n", "", *text_of(slot, "report") ? text_of(slot, "report") : "it did not start, or hung");
}

static void print_slots(const Options *o, json_t *slots) {
        size_t i;
        json_t *entry;

        printf("%s%-12s %-4s %-6s %9s  %-24s %s%s\n", dim(o), "SLOT", "BOOT", "TYPE", "SIZE", "RELEASE", "STATE",
               plain(o));
        json_array_foreach(slots, i, entry) {
                const char *name = json_string_value(json_array_get(entry, 0));
                print_slot(o, name ? name : "?", json_array_get(entry, 1));
        }
}

int verb_slots(Client *c, int argc, char **argv) {
        _cleanup_(json_decrefp) json_t *slots = NULL;
        RsError err = RS_ERROR_INIT;
        (void) argc;
        (void) argv;

        if (ask(c, "ListSlots", &slots, &err) < 0)
                return fail(c, &err);
        if (c->options->json)
                print_json(slots);
        else
                print_slots(c->options, slots);
        return EXIT_OK;
}

/* -- jobs ---------------------------------------------------------------------------------------- */

static int read_jobs(Client *c, json_t **ret, RsError *err) {
        _cleanup_(json_decrefp) json_t *list = NULL, *jobs = json_array();
        size_t i;
        json_t *entry;
        int r = ask(c, "ListJobs", &list, err);

        if (r < 0)
                return r;
        json_array_foreach(list, i, entry) {
                RsError ignored = RS_ERROR_INIT;
                json_t *job = NULL;
                const char *path = json_string_value(json_array_get(entry, 0));
                /* A job that ended between the two calls is simply not listed. */
                if (path && client_properties(c, path, RS_BUS_IFACE_JOB, &job, &ignored) == 0)
                        (void) json_array_append_new(jobs, job);
        }
        *ret = TAKE_PTR(jobs);
        return 0;
}

static void print_job(const Options *o, json_t *job) {
        char done[32], total[32];
        printf("%s%3" PRIu64 "%s  %-10s %3s  %s of %s  %s\n", bold(o), number_of(job, "Id"), plain(o),
               text_of(job, "State"), text_of(job, "Step"), format_bytes(number_of(job, "DoneBytes"), done, sizeof(done)),
               format_bytes(number_of(job, "TotalBytes"), total, sizeof(total)), text_of(job, "Source"));
}

int verb_jobs(Client *c, int argc, char **argv) {
        _cleanup_(json_decrefp) json_t *jobs = NULL;
        RsError err = RS_ERROR_INIT;
        size_t i;
        json_t *job;
        (void) argc;
        (void) argv;

        if (read_jobs(c, &jobs, &err) < 0)
                return fail(c, &err);
        if (c->options->json)
                print_json(jobs);
        else if (json_array_size(jobs) == 0)
                printf("No jobs.\n");
        else
                json_array_foreach(jobs, i, job)
                        print_job(c->options, job);
        return EXIT_OK;
}

int verb_cancel(Client *c, int argc, char **argv) {
        _cleanup_(json_decrefp) json_t *jobs = NULL;
        _cleanup_(freep) char *path = NULL;
        RsError err = RS_ERROR_INIT;
        uint64_t id;

        if (argc > 0) {
                char *end;
                id = strtoull(argv[0], &end, 10);
                if (argv[0][0] < '0' || argv[0][0] > '9' || *end != '\0') {
                        fprintf(stderr, "resealctl: not a job number: %s\n", argv[0]);
                        return EXIT_USAGE;
                }
        } else {
                if (read_jobs(c, &jobs, &err) < 0)
                        return fail(c, &err);
                if (json_array_size(jobs) == 0) {
                        if (c->options->json)
                                print_json_text(NULL);
                        else
                                printf("No job is running.\n");
                        return EXIT_OK;
                }
                id = number_of(json_array_get(jobs, 0), "Id");
        }
        if (asprintf(&path, RS_BUS_PATH_JOB_PREFIX "%" PRIu64, id) < 0)
                return EXIT_FAILED;
        if (client_call(c, path, RS_BUS_IFACE_JOB, "Cancel", NULL, &err, NULL) < 0)
                return fail(c, &err);
        if (c->options->json)
                print_json_text(path);
        else
                printf("Job %" PRIu64 " is being cancelled.\n", id);
        return EXIT_OK;
}

/* -- status -------------------------------------------------------------------------------------- */

static void print_list(json_t *list) {
        size_t i;
        json_t *entry;
        json_array_foreach(list, i, entry) {
                const char *word = json_string_value(entry);
                printf("%s%s", i > 0 ? ", " : "", word ? word : "?");
        }
}

static void print_status(const Options *o, json_t *all) {
        json_t *m = json_object_get(all, "manager"), *jobs = json_object_get(all, "jobs");
        size_t i;
        json_t *job;

        printf("%sReseal %s%s  line %s, compatible ", bold(o), text_of(m, "Version"), plain(o), text_of(m, "Line"));
        print_list(json_object_get(m, "Compatible"));
        printf("\n%-11s%s\n", "State", text_of(m, "State"));
        printf("%-11s%s\n", "Running", text_of(m, "BootedSlot"));
        printf("%-11s%s\n", "Next boot", text_of(m, "PrimarySlot"));
        if (number_of(m, "Release") > 0)
                printf("%-11srelease %" PRIu64 "\n", "Accepted", number_of(m, "Release"));
        else
                printf("%-11snothing yet\n", "Accepted");
        json_array_foreach(jobs, i, job) {
                printf("%-11s", i == 0 ? "Job" : "");
                print_job(o, job);
        }
        printf("\n");
        if (json_is_array(json_object_get(all, "slots")))
                print_slots(o, json_object_get(all, "slots"));
        else
                printf("%sThe slots are not known%s: %s: %s\n", bad(o), plain(o), text_of(all, "slots-reason"),
                       text_of(all, "slots-text"));
}

int verb_status(Client *c, int argc, char **argv) {
        _cleanup_(json_decrefp) json_t *all = json_object();
        json_t *manager = NULL, *slots = NULL, *jobs = NULL;
        RsError err = RS_ERROR_INIT, no_slots = RS_ERROR_INIT;
        (void) argc;
        (void) argv;

        if (client_properties(c, RS_BUS_PATH, RS_BUS_IFACE_MANAGER, &manager, &err) < 0)
                return fail(c, &err);
        (void) json_object_set_new(all, "manager", manager);
        /* Without a writer there is still something to tell, and most of all that it is missing. */
        if (ask(c, "ListSlots", &slots, &no_slots) < 0) {
                if (c->unreachable)
                        return fail(c, &no_slots);
                (void) json_object_set_new(all, "slots-reason", json_string(rs_reason_name(no_slots.reason)));
                (void) json_object_set_new(all, "slots-text", json_string(no_slots.text));
                slots = json_null();
        }
        (void) json_object_set_new(all, "slots", slots);
        if (read_jobs(c, &jobs, &err) < 0)
                return fail(c, &err);
        (void) json_object_set_new(all, "jobs", jobs);
        if (c->options->json)
                print_json(all);
        else
                print_status(c->options, all);
        return no_slots.reason == RS_REASON_NONE || no_slots.reason == RS_REASON_BUSY ? EXIT_OK : EXIT_FAILED;
}

/* -- inspect and keys ---------------------------------------------------------------------------- */

static void print_image(json_t *image) {
        char size[32];
        printf("%-11s%s, %s, root %.16s...\n", "Image", text_of(image, "class"),
               format_bytes(number_of(image, "size"), size, sizeof(size)), text_of(image, "root"));
}

static void print_info(const Options *o, json_t *info) {
        size_t i;
        json_t *image;
        char date[32] = "-";
        time_t created = (time_t) number_of(info, "created");
        struct tm tm;

        if (gmtime_r(&created, &tm))
                (void) strftime(date, sizeof(date), "%Y-%m-%d %H:%M UTC", &tm);
        printf("%s%s%s  release %" PRIu64 ", epoch %" PRIu64 ", line %s\n", bold(o), text_of(info, "version"), plain(o),
               number_of(info, "release"), number_of(info, "epoch"), text_of(info, "line"));
        printf("%-11s%s\n%-11s%s\n", "Created", date, "Bundle", text_of(info, "bundle-id"));
        printf("%-11s%s\n", "Signer", text_of(info, "signer"));
        printf("%-11s", "Boards");
        print_list(json_object_get(info, "compatible"));
        printf("\n%-11s%s\n", "Payload", flag_of(info, "encrypted") ? "encrypted" : "plain");
        json_array_foreach(json_object_get(info, "images"), i, image)
                print_image(image);
        if (text_of(info, "notes")[0])
                printf("%-11s%s\n", "Notes", text_of(info, "notes"));
        if (flag_of(info, "acceptable"))
                printf("%sThis device takes it.%s\n", good(o), plain(o));
        else
                printf("%sThis device does not take it%s: %s: %s\n", bad(o), plain(o), text_of(info, "reason"),
                       text_of(info, "text"));
}

int verb_inspect(Client *c, int argc, char **argv) {
        _cleanup_(json_decrefp) json_t *info = NULL;
        RsError err = RS_ERROR_INIT;
        int r;
        (void) argc;

        if (c->options->ticket)
                r = client_call(c, RS_BUS_PATH, RS_BUS_IFACE_MANAGER, "Inspect", &info, &err, "sa{sv}", argv[0], 1,
                                "ticket", "s", c->options->ticket);
        else
                r = client_call(c, RS_BUS_PATH, RS_BUS_IFACE_MANAGER, "Inspect", &info, &err, "sa{sv}", argv[0], 0);
        if (r < 0)
                return fail(c, &err);
        if (c->options->json)
                print_json(info);
        else
                print_info(c->options, info);
        return EXIT_OK;
}

int verb_check(Client *c, int argc, char **argv) {
        static const char *const WORDS[][2] = {
                { "newer", "newer than what this device has accepted" },
                { "same", "what this device has accepted already" },
                { "older", "older than what this device has accepted" },
                { "refused", "newer, but this device does not take it" },
                { "unknown", "the writer cannot be asked what it has accepted" },
        };
        _cleanup_(json_decrefp) json_t *info = NULL;
        RsError err = RS_ERROR_INIT;
        const char *word = "?";
        char size[32];
        (void) argc;

        if (client_call(c, RS_BUS_PATH, RS_BUS_IFACE_MANAGER, "Check", &info, &err, "sa{sv}", argv[0], 0) < 0)
                return fail(c, &err);
        if (c->options->json) {
                print_json(info);
                return EXIT_OK;
        }
        for (size_t i = 0; i < ELEMENTSOF(WORDS); i++)
                if (strcmp(text_of(info, "verdict"), WORDS[i][0]) == 0)
                        word = WORDS[i][1];
        printf("%s%s%s  release %" PRIu64 ", %s: ", bold(c->options), text_of(info, "version"), plain(c->options),
               number_of(info, "release"), format_bytes(number_of(info, "size"), size, sizeof(size)));
        printf("%s", word);
        if (number_of(info, "accepted") > 0)
                printf(" (release %" PRIu64 ")", number_of(info, "accepted"));
        if (text_of(info, "reason")[0] && strcmp(text_of(info, "verdict"), "newer") != 0)
                printf(": %s: %s", text_of(info, "reason"), text_of(info, "text"));
        printf("\n");
        return EXIT_OK;
}

static void print_time(time_t when) {
        char date[32] = "-";
        struct tm tm;

        if (gmtime_r(&when, &tm))
                (void) strftime(date, sizeof(date), "%Y-%m-%d %H:%M UTC", &tm);
        printf("%s", date);
}

int verb_keys(Client *c, int argc, char **argv) {
        _cleanup_(json_decrefp) json_t *keys = NULL;
        RsError err = RS_ERROR_INIT;
        size_t i;
        json_t *entry;
        (void) argc;
        (void) argv;

        if (ask(c, "GetKeys", &keys, &err) < 0)
                return fail(c, &err);
        if (c->options->json) {
                print_json(keys);
                return EXIT_OK;
        }
        json_array_foreach(keys, i, entry) {
                const char *key, *name = json_string_value(json_array_get(entry, 0));
                json_t *value, *object = json_array_get(entry, 1);

                printf("%s%s%s\n", bold(c->options), name ? name : "?", plain(c->options));
                json_object_foreach(object, key, value) {
                        printf("  %-24s ", key);
                        if (json_is_array(value))
                                print_list(value);
                        else if (json_is_string(value))
                                printf("%s", text_of(object, key));
                        else if (json_is_integer(value))
                                print_time((time_t) json_integer_value(value));
                        else
                                printf("%s", json_is_true(value) ? "yes" : "no");
                        printf("\n");
                }
        }
        return EXIT_OK;
}

/* -- mark ---------------------------------------------------------------------------------------- */

int verb_mark(Client *c, int argc, char **argv) {
        _cleanup_(json_decrefp) json_t *slot = NULL;
        RsError err = RS_ERROR_INIT;
        const char *which = argc > 1 ? argv[1] : strcmp(argv[0], "good") == 0 ? "booted" : NULL;

        if (!which) {
                fprintf(stderr, "resealctl: mark %s needs a slot\n", argv[0]);
                return EXIT_USAGE;
        }
        if (client_call(c, RS_BUS_PATH, RS_BUS_IFACE_MANAGER, "Mark", &slot, &err, "ss", argv[0], which) < 0)
                return fail(c, &err);
        if (c->options->json)
                print_json(slot);
        else
                printf("%s is marked %s.\n", json_string_value(slot) ? json_string_value(slot) : which, argv[0]);
        return EXIT_OK;
}
