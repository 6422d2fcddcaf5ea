/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * resealctl - what the files of the command-line client share.
 *
 * Spec:     docs/man/resealctl.1; conf/org.reseal1.xml
 * Trust:    the service's text is hostile until it has passed bus-json.c, which makes it printable
 * Owns:     a Client owns its bus connection and event loop
 * Units:    bytes, microseconds
 * Errors:   RsError; exit_code_of() maps it to the documented exit codes
 * Context:  one thread
 * Programs: resealctl
 */
#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/error.h>
#include <reseal/base/names.h>

/* Exit codes, documented in resealctl(1) */
enum {
        EXIT_OK = 0,
        EXIT_FAILED = 1,      /* refused or failed, the reason is printed */
        EXIT_USAGE = 2,
        EXIT_NO_SERVICE = 3,  /* the service cannot be reached */
        EXIT_NO_ACCESS = 4,
        EXIT_SERVICE_BUSY = 5,
        EXIT_INTERRUPTED = 130,
};

typedef struct Options {
        bool json;
        bool colour;          /* standard output is a terminal (or --color=always) */
        bool progress;        /* standard error is a terminal */
        bool wait;            /* install: stay until the job ends */
        const char *certify;  /* chain: nonce, hexadecimal */
        const char *output;   /* chain: where the certified copy goes; NULL: hexadecimal to standard output */
        bool below;           /* mark: ask the writer itself, and also below the release accepted last */
        const char *ticket;   /* install, inspect: URL of the ticket */
} Options;

typedef struct Client {
        sd_bus *bus;
        sd_event *event;
        const Options *options;
        bool unreachable;     /* it is the service that does not answer, not a source it was asked to reach */
} Client;

/* client.c: the connection and one call on it; the D-Bus error name becomes the reason again */
int client_open(Client *c, const Options *options, RsError *err);
void client_done(Client *c);
int client_fail(Client *c, RsError *err, int r, const sd_bus_error *error, const char *what);
int client_call(Client *c, const char *path, const char *interface, const char *method, json_t **ret, RsError *err,
                const char *types, ...);
/* A method of the manager that takes one array of bytes. */
int client_call_bytes(Client *c, const char *method, const void *bytes, size_t size, json_t **ret, RsError *err);
int client_properties(Client *c, const char *path, const char *interface, json_t **ret, RsError *err);
int exit_code_of(const Client *c, const RsError *err);

/* bus-json.c: D-Bus values as JSON, so that --json and the human form say the same */
int bus_read_json(sd_bus_message *m, json_t **ret, RsError *err);          /* one complete value */
int bus_read_json_all(sd_bus_message *m, json_t **ret, RsError *err);      /* all of them: one bare, else an array */

/* A text that was read from the bus by other means, printable; cut to size. Returns ret. */
char *bus_text(const char *text, char *ret, size_t size);

/* output.c */
void print_json(json_t *value);
void print_json_text(const char *text);                                    /* NULL: null */
void print_error(const RsError *err);
const char *bold(const Options *o);
const char *dim(const Options *o);
const char *good(const Options *o);
const char *bad(const Options *o);
const char *plain(const Options *o);
char *format_bytes(uint64_t bytes, char *buffer, size_t size);
char *format_duration(uint64_t seconds, char *buffer, size_t size);
const char *text_of(json_t *object, const char *key);                      /* "" when absent */
uint64_t number_of(json_t *object, const char *key);
bool flag_of(json_t *object, const char *key);

/* verbs: return an exit code */
int verb_install(Client *c, int argc, char **argv);
int verb_watch(Client *c, int argc, char **argv);
int verb_cancel(Client *c, int argc, char **argv);
int verb_jobs(Client *c, int argc, char **argv);
int verb_status(Client *c, int argc, char **argv);
int verb_slots(Client *c, int argc, char **argv);
int verb_mark(Client *c, int argc, char **argv);
int verb_check(Client *c, int argc, char **argv);
int verb_inspect(Client *c, int argc, char **argv);
int verb_keys(Client *c, int argc, char **argv);
/* direct.c: --below-accepted, without the bus */
int mark_below(const Options *o, int argc, char **argv);
/* trust.c */
int verb_chain(Client *c, int argc, char **argv);
int verb_time(Client *c, int argc, char **argv);
int verb_crl(Client *c, int argc, char **argv);
int verb_posture(Client *c, int argc, char **argv);

/* policy.c */
int verb_policy(Client *c, int argc, char **argv);

/* progress.c: one line on standard error, redrawn */
void progress_draw(const Options *o, json_t *job);
void progress_end(const Options *o);
