/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * options - verb first, then options; what a verb needs is checked here, so that nothing is half done before it fails.
 *
 * --device takes one file, and every further argument is another: a shell's *.pem just works.  Keys are named by URI or
 * path and never given on the command line themselves, where other users could read them.
 */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/text.h>
#include <reseal/format/statement.h>

#include "options.h"

#define DAY (24u * 3600)
#define TIME_MAX (1ull << 40) /* as format-ticket */

const char options_usage[] =
        "usage: reseal-source [--openssl-config FILE] COMMAND ...\n"
        "       reseal-source ticket  --bundle FILE --output DIR [options] --device FILE...\n"
        "       reseal-source publish --bundle FILE --www DIR [options] [--device FILE...]\n"
        "       reseal-source statement --line LINE --latest N --seq S --days D --cert FILE --key URI -o FILE\n"
        "       reseal-source lists --crl FILE [--crl FILE]... -o FILE\n"
        "\n"
        "  --transport-key URI    private key that opens the bundle's envelope\n"
        "  --transport-cert FILE  its certificate\n"
        "  --ticket-key URI       private key that signs tickets\n"
        "  --ticket-cert FILE     its certificate\n"
        "  --chain FILE           intermediates between it and the source root\n"
        "  --device FILE...       certificates of the devices' unwrap keys, PEM, one or more in each\n"
        "  --device-ca FILE       the CA that issued them; others get no ticket\n"
        "  --flat                 leave the serial number out of the names of tickets, for servers that cannot look at it\n"
        "  --firmware-root FILE   check the bundle's signature against this root\n"
        "  --source-root FILE     check each ticket as a device would, before it is written\n"
        "  --crl FILE             a revocation list, DER: refuse what it names; several\n"
        "  --not-after TIME       end of the tickets: +SECONDS, seconds since 1970, or YYYY-MM-DD[THH:MM:SSZ]\n"
        "  --line LINE            product line of the statement\n"
        "  --latest N             index of its latest release\n"
        "  --seq S                number of the statement, higher than that of any before\n"
        "  --days D               how long it holds, 1 to 30\n"
        "  --cert FILE            certificate for freshness statements, further ones are enclosed\n"
        "  --key URI              its private key\n"
        "  --help, --version\n";

enum {
        OPTION_BUNDLE = 256,
        OPTION_OUTPUT,
        OPTION_WWW,
        OPTION_TRANSPORT_KEY,
        OPTION_TRANSPORT_CERT,
        OPTION_TICKET_KEY,
        OPTION_TICKET_CERT,
        OPTION_CHAIN,
        OPTION_DEVICE,
        OPTION_DEVICE_CA,
        OPTION_FLAT,
        OPTION_FIRMWARE_ROOT,
        OPTION_SOURCE_ROOT,
        OPTION_NOT_AFTER,
        OPTION_CRL,
        OPTION_LINE,
        OPTION_LATEST,
        OPTION_SEQ,
        OPTION_DAYS,
        OPTION_CERT,
        OPTION_KEY,
        OPTION_HELP,
        OPTION_VERSION,
};

static const struct option long_options[] = {
        { "bundle", required_argument, NULL, OPTION_BUNDLE },
        { "output", required_argument, NULL, OPTION_OUTPUT },
        { "www", required_argument, NULL, OPTION_WWW },
        { "transport-key", required_argument, NULL, OPTION_TRANSPORT_KEY },
        { "transport-cert", required_argument, NULL, OPTION_TRANSPORT_CERT },
        { "ticket-key", required_argument, NULL, OPTION_TICKET_KEY },
        { "ticket-cert", required_argument, NULL, OPTION_TICKET_CERT },
        { "chain", required_argument, NULL, OPTION_CHAIN },
        { "device", required_argument, NULL, OPTION_DEVICE },
        { "device-ca", required_argument, NULL, OPTION_DEVICE_CA },
        { "flat", no_argument, NULL, OPTION_FLAT },
        { "firmware-root", required_argument, NULL, OPTION_FIRMWARE_ROOT },
        { "source-root", required_argument, NULL, OPTION_SOURCE_ROOT },
        { "not-after", required_argument, NULL, OPTION_NOT_AFTER },
        { "crl", required_argument, NULL, OPTION_CRL },
        { "line", required_argument, NULL, OPTION_LINE },
        { "latest", required_argument, NULL, OPTION_LATEST },
        { "seq", required_argument, NULL, OPTION_SEQ },
        { "days", required_argument, NULL, OPTION_DAYS },
        { "cert", required_argument, NULL, OPTION_CERT },
        { "key", required_argument, NULL, OPTION_KEY },
        { "help", no_argument, NULL, OPTION_HELP },
        { "version", no_argument, NULL, OPTION_VERSION },
        { 0 },
};

int options_time(const char *text, uint64_t now, uint64_t *ret, RsError *err) {
        struct tm tm = { 0 };
        uint64_t seconds;
        const char *end;
        time_t t;

        if (text_to_u64(text[0] == '+' ? text + 1 : text, TIME_MAX, &seconds) == 0) {
                if (text[0] == '+')
                        seconds += now;
        } else {
                end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);
                if (!end || *end) {
                        memset(&tm, 0, sizeof(tm));
                        end = strptime(text, "%Y-%m-%d", &tm);
                }
                if (!end || *end)
                        return rs_fail(err, INVALID, "not a time: %s", text);
                t = timegm(&tm);
                seconds = t > 0 ? (uint64_t) t : 0;
        }
        if (seconds <= now || seconds > TIME_MAX)
                return rs_fail(err, INVALID, "the tickets would be over before they begin, or never: %s", text);
        *ret = seconds;
        return 0;
}

/* The string that an option sets, or NULL for one that is not just a string. */
static const char **string_of(Options *o, int option) {
        switch (option) {
        case OPTION_BUNDLE:
                return &o->bundle;
        case OPTION_OUTPUT:
        case OPTION_WWW:
                return &o->output;
        case OPTION_TRANSPORT_KEY:
                return &o->transport_key;
        case OPTION_TRANSPORT_CERT:
                return &o->transport_cert;
        case OPTION_TICKET_KEY:
                return &o->ticket_key;
        case OPTION_TICKET_CERT:
                return &o->ticket_cert;
        case OPTION_CHAIN:
                return &o->chain;
        case OPTION_DEVICE_CA:
                return &o->device_ca;
        case OPTION_FIRMWARE_ROOT:
                return &o->firmware_root;
        case OPTION_SOURCE_ROOT:
                return &o->source_root;
        case OPTION_LINE:
                return &o->line;
        case OPTION_CERT:
                return &o->cert;
        case OPTION_KEY:
                return &o->key;
        default:
                return NULL;
        }
}

static int set_number(const char *text, uint64_t max, uint64_t *ret, RsError *err) {
        if (text_to_u64(text, max, ret) < 0 || *ret == 0)
                return rs_fail(err, INVALID, "a number from 1 to %llu expected: %s", (unsigned long long) max, text);
        return 0;
}

/* Beside its output, which each verb has. */
static bool is_of_verb(int option, Verb verb) {
        if (verb == VERB_LISTS)
                return option == OPTION_CRL;
        return (option >= OPTION_LINE && option <= OPTION_KEY) == (verb == VERB_STATEMENT);
}

static int take_option(Options *o, int option, RsError *err) {
        const char **string = string_of(o, option);

        if ((option == OPTION_OUTPUT && o->verb == VERB_PUBLISH) || (option == OPTION_WWW && o->verb != VERB_PUBLISH))
                return rs_fail(err, INVALID, "only publish has --www; the others have --output");
        if (option < OPTION_HELP && option != OPTION_OUTPUT && option != OPTION_WWW && !is_of_verb(option, o->verb))
                return rs_fail(err, INVALID, "this verb has no such option: %s", optarg ? optarg : "");
        if (string) {
                if (*string)
                        return rs_fail(err, INVALID, "an option is given twice: %s, %s", *string, optarg);
                *string = optarg;
                return 0;
        }
        switch (option) {
        case OPTION_DEVICE:
                o->devices[o->n_devices++] = optarg;
                return 0;
        case OPTION_CRL:
                if (o->n_crls == CRL_COUNT_MAX)
                        return rs_fail(err, INVALID, "more than %u revocation lists", CRL_COUNT_MAX);
                o->crls[o->n_crls++] = optarg;
                return 0;
        case OPTION_NOT_AFTER:
                return options_time(optarg, o->now, &o->not_after, err);
        case OPTION_LATEST:
                return set_number(optarg, INT64_MAX, &o->latest, err);
        case OPTION_SEQ:
                return set_number(optarg, INT64_MAX, &o->seq, err);
        case OPTION_DAYS:
                return set_number(optarg, STATEMENT_VALID_MAX / DAY, &o->days, err);
        case OPTION_FLAT:
                o->flat = true;
                return 0;
        case OPTION_HELP:
                o->verb = VERB_HELP;
                return 0;
        case OPTION_VERSION:
                o->verb = VERB_VERSION;
                return 0;
        default:
                return rs_fail(err, INVALID, "unknown option, or one without its value");
        }
}

static int check_complete(const Options *o, RsError *err) {
        bool tickets = o->verb == VERB_TICKET || o->n_devices > 0;

        if (o->verb == VERB_HELP || o->verb == VERB_VERSION)
                return 0;
        if (o->verb == VERB_STATEMENT) {
                if (!o->line || !o->latest || !o->seq || !o->days || !o->cert || !o->key || !o->output)
                        return rs_fail(err, INVALID, "statement needs --line --latest --seq --days --cert --key --output");
                return o->n_devices ? rs_fail(err, INVALID, "statement takes no file: %s", o->devices[0]) : 0;
        }
        if (o->verb == VERB_LISTS) {
                if (!o->n_crls || !o->output)
                        return rs_fail(err, INVALID, "lists needs --crl and --output");
                return o->n_devices ? rs_fail(err, INVALID, "lists takes no file: %s", o->devices[0]) : 0;
        }
        if (!o->bundle || !o->output)
                return rs_fail(err, INVALID, "--bundle and %s are needed",
                               o->verb == VERB_TICKET ? "--output" : "--www");
        if (tickets && o->n_devices == 0)
                return rs_fail(err, INVALID, "no --device");
        if (o->n_crls && !o->device_ca && !o->source_root)
                return rs_fail(err, INVALID, "--crl needs --device-ca or --source-root, whoever has issued it");
        if (tickets && (!o->transport_key || !o->transport_cert || !o->ticket_key || !o->ticket_cert ||
                        !o->device_ca))
                return rs_fail(err, INVALID,
                               "tickets need --transport-key, --transport-cert, --ticket-key, --ticket-cert and "
                               "--device-ca, whose certificates are for the purpose unwrap");
        return 0;
}

static int take_verb(const char *word, Options *o, RsError *err) {
        if (strcmp(word, "ticket") == 0)
                o->verb = VERB_TICKET;
        else if (strcmp(word, "publish") == 0)
                o->verb = VERB_PUBLISH;
        else if (strcmp(word, "statement") == 0)
                o->verb = VERB_STATEMENT;
        else if (strcmp(word, "lists") == 0)
                o->verb = VERB_LISTS;
        else if (strcmp(word, "--help") == 0 || strcmp(word, "help") == 0)
                o->verb = VERB_HELP;
        else if (strcmp(word, "--version") == 0)
                o->verb = VERB_VERSION;
        else
                return rs_fail(err, INVALID, "unknown verb: %s", word);
        return 0;
}

int options_parse(int argc, char **argv, uint64_t now, Options *ret, RsError *err) {
        _cleanup_(options_done) Options o = OPTIONS_INIT;
        int option, r;

        if (argc < 2)
                return rs_fail(err, INVALID, "no verb");
        r = take_verb(argv[1], &o, err);
        if (r < 0)
                return r;
        o.now = now;
        o.devices = calloc((size_t) argc, sizeof(*o.devices));
        if (!o.devices)
                return rs_fail_oom(err);
        opterr = 0; /* one voice: the caller prints *err */
        optind = 0;
        while ((option = getopt_long(argc - 1, argv + 1, ":o:", long_options, NULL)) != -1) {
                r = take_option(&o, option == 'o' ? OPTION_OUTPUT : option, err);
                if (r < 0)
                        return r;
        }
        for (int i = optind + 1; i < argc; i++)
                o.devices[o.n_devices++] = argv[i];
        r = check_complete(&o, err);
        if (r < 0)
                return r;

        *ret = o;
        o.devices = NULL;
        return 0;
}

void options_done(Options *o) {
        free(o->devices);
        o->devices = NULL;
}
