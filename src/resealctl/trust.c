/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * trust - the verbs chain, time, crl and posture: one answer of the service, four views of it.
 *
 * --json prints the part of the answer that the verb is about, with the keys of conf/org.reseal1.xml.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <fcntl.h>

#include <reseal/base/file.h>
#include <reseal/base/text.h>

#include "resealctl.h"

#define CRL_FILE_MAX (128u << 10)
#define NONCE_MIN 16u   /* docs/tpm.md, "Certified copy" */
#define NONCE_MAX 32u
#define COPY_MAX 4096u

enum { PART_CHAIN, PART_TIME, PART_CRLS, PART_POSTURE };

/*
 * The whole answer in *ret_all (an array of four), the part in *ret_part (borrowed).  1: print it; else an exit code
 * is in *ret.
 */
static int ask_part(Client *c, size_t part, json_t **ret_all, json_t **ret_part, int *ret) {
        RsError err = RS_ERROR_INIT;

        if (client_call(c, RS_BUS_PATH, RS_BUS_IFACE_MANAGER, "GetChain", ret_all, &err, "") < 0) {
                print_error(&err);
                *ret = exit_code_of(c, &err);
                return 0;
        }
        *ret_part = json_array_get(*ret_all, part);
        if (!c->options->json)
                return 1;
        print_json(*ret_part);
        *ret = EXIT_OK;
        return 0;
}

static void line(const char *label, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void line(const char *label, const char *format, ...) {
        va_list ap;

        printf("%-14s ", label);
        va_start(ap, format);
        (void) vprintf(format, ap);
        va_end(ap);
        printf("\n");
}

/* "2026-11-22 22:04:43 UTC", or `absent` for a time that is not known. */
static const char *date_of(json_t *object, const char *key, const char *absent, char buffer[32]) {
        time_t when = (time_t) number_of(object, key);
        struct tm tm;

        if (number_of(object, key) == 0 || number_of(object, key) > INT64_MAX || !gmtime_r(&when, &tm))
                return absent;
        (void) strftime(buffer, 32, "%Y-%m-%d %H:%M:%S UTC", &tm);
        return buffer;
}

static void print_freshness(const Options *o, json_t *chain) {
        char expires[32];

        if (number_of(chain, "statement") == 0) {
                line("latest", "not proven: the source has made no statement");
                return;
        }
        line("latest", "release %" PRIu64 ", %s%s%s (statement %" PRIu64 ", until %s)", number_of(chain, "latest"),
             flag_of(chain, "fresh") ? good(o) : bad(o), flag_of(chain, "fresh") ? "fresh" : "not proven latest", plain(o),
             number_of(chain, "statement"), date_of(chain, "statement-expires", "-", expires));
}

/* What the TPM says of the record, for whoever does not believe this device; reseal-bundle record checks it. */
static int certify(Client *c, const char *text) {
        _cleanup_(json_decrefp) json_t *copy = NULL;
        uint8_t nonce[NONCE_MAX], bytes[COPY_MAX];
        size_t size = strlen(text) / 2;
        RsError err = RS_ERROR_INIT;
        int r;

        if (size < NONCE_MIN || size > NONCE_MAX || hex_decode(text, nonce, size) < 0) {
                fprintf(stderr, "resealctl: --certify takes %u to %u bytes in small hexadecimal digits\n", NONCE_MIN, NONCE_MAX);
                return EXIT_USAGE;
        }
        r = client_call_bytes(c, "CertifyRecord", nonce, size, &copy, &err);
        if (r >= 0 && c->options->output) {
                const char *hex = json_string_value(copy);

                size = hex ? strlen(hex) / 2 : 0;
                if (size == 0 || size > sizeof(bytes) || hex_decode(hex, bytes, size) < 0)
                        r = rs_fail(&err, PROTOCOL, "the service's answer is not a certified copy");
                else
                        r = file_replace(AT_FDCWD, c->options->output, SPAN(bytes, size), 0644, &err);
        }
        if (r < 0) {
                print_error(&err);
                return exit_code_of(c, &err);
        }
        if (c->options->json)
                print_json(copy);
        else if (c->options->output)
                printf("The certified copy is in %s.\n", c->options->output);
        else
                printf("%s\n", json_string_value(copy) ? json_string_value(copy) : "?");
        return EXIT_OK;
}

int verb_chain(Client *c, int argc, char **argv) {
        _cleanup_(json_decrefp) json_t *all = NULL;
        const Options *o = c->options;
        json_t *chain;
        int code;

        (void) argc;
        (void) argv;
        if (o->certify)
                return certify(c, o->certify);
        if (!ask_part(c, PART_CHAIN, &all, &chain, &code))
                return code;
        if (flag_of(chain, "empty"))
                line("accepted", "nothing yet");
        else {
                line("accepted", "%srelease %" PRIu64 "%s, security epoch %" PRIu64 "%s", bold(o), number_of(chain, "release"),
                     plain(o), number_of(chain, "epoch"), flag_of(chain, "bridged") ? ", over a bridge" : "");
                line("manifest", "%s", text_of(chain, "manifest"));
                line("signer", "%s%s%s%s", text_of(chain, "signer"), flag_of(chain, "signer-revoked") ? bad(o) : "",
                     flag_of(chain, "signer-revoked") ? ": Revoked" : "", plain(o));
                line("log head", "%s", text_of(chain, "log-head"));
        }
        line("counters", "ACCEPT %" PRIu64 ", FLOOR %" PRIu64 " (epoch %" PRIu64 ")", number_of(chain, "accept"),
             number_of(chain, "floor"), number_of(chain, "floor-epoch"));
        if (number_of(chain, "running-release") > 0)
                line("running", "release %" PRIu64 "%s%s%s", number_of(chain, "running-release"),
                     flag_of(chain, "running-below-accepted") ? bad(o) : "",
                     flag_of(chain, "running-below-accepted") ? ": RunningBelowAccepted" : "", plain(o));
        print_freshness(o, chain);
        return EXIT_OK;
}

int verb_time(Client *c, int argc, char **argv) {
        _cleanup_(json_decrefp) json_t *all = NULL;
        char low[32], high[32], proof[32], lowest[32];
        json_t *now;
        int code;

        (void) argc;
        (void) argv;
        if (!ask_part(c, PART_TIME, &all, &now, &code))
                return code;
        line("not before", "%s", date_of(now, "low", "-", low));
        line("not after", "%s", date_of(now, "high", "not known", high));
        line("proven", "%s", flag_of(now, "proven") ? "in this boot" : "no");
        line("last proof", "%s", date_of(now, "proof", "never", proof));
        line("floor", "%s (in the TPM)", date_of(now, "floor", "-", lowest));
        return EXIT_OK;
}

static int import_crl(Client *c, const char *path) {
        _cleanup_(json_decrefp) json_t *changed = NULL;
        _cleanup_(freep) uint8_t *der = NULL;
        RsError err = RS_ERROR_INIT;
        size_t size;

        int r = file_read(AT_FDCWD, path, CRL_FILE_MAX, &der, &size, &err);
        if (r == 0)
                r = rs_fail_errno(&err, ENOENT, "%s", path);
        if (r > 0)
                r = client_call_bytes(c, "ImportCrl", der, size, &changed, &err);
        if (r < 0) {
                print_error(&err);
                return exit_code_of(c, &err);
        }
        if (c->options->json)
                print_json(changed);
        else
                printf("%s\n", json_is_true(changed) ? "The list is in force." : "The list was in force already.");
        return EXIT_OK;
}

int verb_crl(Client *c, int argc, char **argv) {
        _cleanup_(json_decrefp) json_t *all = NULL;
        json_t *crls, *crl;
        size_t i;
        int code;

        if (argc == 2 && strcmp(argv[0], "import") == 0)
                return import_crl(c, argv[1]);
        if (argc != 0) {
                fprintf(stderr, "Usage: resealctl crl [import FILE]\n");
                return EXIT_USAGE;
        }
        if (!ask_part(c, PART_CRLS, &all, &crls, &code))
                return code;
        if (json_array_size(crls) == 0)
                printf("No revocation list is known.\n");
        json_array_foreach(crls, i, crl) {
                char from[32], until[32];

                printf("%s%s%s\n", bold(c->options), text_of(crl, "issuer"), plain(c->options));
                line("  number", "%" PRIu64 ", %" PRIu64 " revoked", number_of(crl, "number"), number_of(crl, "revoked"));
                line("  issued", "%s", date_of(crl, "this-update", "-", from));
                line("  next", "%s%s%s%s", flag_of(crl, "stale") ? bad(c->options) : "", date_of(crl, "next-update", "-", until),
                     flag_of(crl, "stale") ? " (out of date)" : "", plain(c->options));
        }
        return EXIT_OK;
}

static void verdict(const Options *o, const char *label, bool ok, const char *yes, const char *no) {
        line(label, "%s%s%s", ok ? good(o) : bad(o), ok ? yes : no, plain(o));
}

int verb_posture(Client *c, int argc, char **argv) {
        _cleanup_(json_decrefp) json_t *all = NULL;
        const Options *o = c->options;
        json_t *p;
        int code;

        (void) argc;
        (void) argv;
        if (!ask_part(c, PART_POSTURE, &all, &p, &code))
                return code;
        if (text_of(p, "reason")[0])
                line("installations", "%srefused: %s%s: %s", bad(o), text_of(p, "reason"), plain(o), text_of(p, "text"));
        else
                line("installations", "%spossible%s", good(o), plain(o));
        line("level", "L%" PRIu64 " (%s)", number_of(p, "level"),
             number_of(p, "level") == 2 ? "the TPM judges the signer chain itself" : "record guarded by the writer's secret");
        line("trust set", "version %" PRIu64 "%s", number_of(p, "trust-version"),
             number_of(p, "trust-version") == 0 ? " (the files of the configuration)" : "");
        verdict(o, "owner", flag_of(p, "owner-auth-set"), "authorization set", "open: provisioning is not complete");
        verdict(o, "lockout", flag_of(p, "lockout-auth-set"), "authorization set", "open: provisioning is not complete");
        verdict(o, "platform", !flag_of(p, "platform-open"), "closed", "open: whoever reaches the TPM can clear it");
        verdict(o, "attempts", !flag_of(p, "in-lockout"), "not locked", "locked out");
        return EXIT_OK;
}
