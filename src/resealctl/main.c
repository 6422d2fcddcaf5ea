/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * resealctl: the operator's client of org.reseal1.
 *
 *   user            the caller's; it has no rights of its own, the service asks polkit
 *   capabilities    none needed, none used
 *   descriptors     the system bus; a bundle and a ticket that the caller named, passed on unread
 *   hostile input   text that the service passes on (URLs, versions, reasons): escaped before it is printed
 *   can never       read keys, open devices, judge a release
 *
 * Every verb asks the service, turns the reply into one JSON value and prints either that (--json) or a
 * table made from it, so that the two can never say different things.
 */
#include <getopt.h>
#include <string.h>

#include <reseal/base/program.h>

#include "resealctl.h"

typedef struct Verb {
        const char *name;
        const char *arguments;
        const char *help;
        int min_args, max_args;
        int (*run)(Client *c, int argc, char **argv);
} Verb;

static const Verb VERBS[] = {
        { "status", "", "what runs, what boots next, what is going on", 0, 0, verb_status },
        { "install", "URL|FILE", "install a bundle and show its progress; FILE - is standard input", 1, 1, verb_install },
        { "check", "URL", "say whether a bundle is newer than what this device has", 1, 1, verb_check },
        { "inspect", "URL", "show what a bundle is and whether this device takes it", 1, 1, verb_inspect },
        { "slots", "", "list the slots", 0, 0, verb_slots },
        { "mark", "good|bad|active [SLOT]", "mark a slot; SLOT is a name, booted or other", 1, 2, verb_mark },
        { "jobs", "", "list the jobs", 0, 0, verb_jobs },
        { "watch", "[JOB]", "follow a running job", 0, 1, verb_watch },
        { "cancel", "[JOB]", "cancel a job", 0, 1, verb_cancel },
        { "chain", "[--certify NONCE]", "show what was accepted last, and by which signer", 0, 0, verb_chain },
        { "time", "", "show between which times the present lies", 0, 0, verb_time },
        { "crl", "[import FILE]", "show the revocation lists, or bring one", 0, 2, verb_crl },
        { "posture", "", "show how well this device is guarded", 0, 0, verb_posture },
        { "policy", "", "show what this device goes by, and which line says it", 0, 0, verb_policy },
        { "keys", "", "show the device's keys and their attributes", 0, 0, verb_keys },
};

static void usage(FILE *f) {
        fprintf(f, "Usage: resealctl [OPTIONS] VERB [ARGUMENTS]\n\nVerbs:\n");
        for (size_t i = 0; i < ELEMENTSOF(VERBS); i++) {
                int n = fprintf(f, "  %s %s", VERBS[i].name, VERBS[i].arguments);
                fprintf(f, "%*s%s\n", n < 34 ? 34 - n : 1, "", VERBS[i].help);
        }
        fprintf(f, "\nOptions:\n"
                   "      --json              machine-readable output\n"
                   "      --no-wait           install: return when the job has been accepted\n"
                   "      --below-accepted    mark: ask the writer itself, also for what leads to an older release; root only\n"
                   "      --certify NONCE     chain: the TPM's certified copy, for 16 to 32 bytes in hexadecimal\n"
                   "      --output FILE       chain: write that copy to a file\n"
                   "      --ticket URL|FILE   install, inspect: where the ticket is, when not beside the bundle\n"
                   "      --color WHEN        auto, always or never\n"
                   "  -h, --help              this text\n"
                   "      --version           version\n\n"
                   "Exit codes: 0 done, 1 refused or failed, 2 usage, 3 no service, 4 no access, 5 busy.\n");
}

static int parse_color(const char *text, Options *o) {
        if (strcmp(text, "auto") == 0)
                return 0;
        if (strcmp(text, "always") != 0 && strcmp(text, "never") != 0)
                return -EINVAL;
        o->colour = strcmp(text, "always") == 0;
        return 0;
}

/* 0 go on, 1 done, < 0 wrong usage */
static int parse_options(int argc, char **argv, Options *o) {
        enum { OPT_JSON = 256, OPT_NO_WAIT, OPT_BELOW, OPT_TICKET, OPT_CERTIFY, OPT_OUTPUT, OPT_COLOR, OPT_VERSION };
        static const struct option LONG[] = {
                { "json", no_argument, NULL, OPT_JSON },
                { "below-accepted", no_argument, NULL, OPT_BELOW },
                { "no-wait", no_argument, NULL, OPT_NO_WAIT },
                { "ticket", required_argument, NULL, OPT_TICKET },
                { "certify", required_argument, NULL, OPT_CERTIFY },
                { "output", required_argument, NULL, OPT_OUTPUT },
                { "color", required_argument, NULL, OPT_COLOR },
                { "help", no_argument, NULL, 'h' },
                { "version", no_argument, NULL, OPT_VERSION },
                { 0 },
        };
        int c;

        while ((c = getopt_long(argc, argv, "h", LONG, NULL)) >= 0)
                switch (c) {
                case OPT_JSON:
                        o->json = true;
                        break;
                case OPT_NO_WAIT:
                        o->wait = false;
                        break;
                case OPT_BELOW:
                        o->below = true;
                        break;
                case OPT_TICKET:
                        o->ticket = optarg;
                        break;
                case OPT_CERTIFY:
                        o->certify = optarg;
                        break;
                case OPT_OUTPUT:
                        o->output = optarg;
                        break;
                case OPT_COLOR:
                        if (parse_color(optarg, o) < 0) {
                                fprintf(stderr, "resealctl: --color takes auto, always or never\n");
                                return -EINVAL;
                        }
                        break;
                case OPT_VERSION:
                        printf("resealctl %s\n", RS_VERSION);
                        return 1;
                case 'h':
                        usage(stdout);
                        return 1;
                default:
                        fprintf(stderr, "Try 'resealctl --help'.\n");
                        return -EINVAL;
                }
        return 0;
}

static const Verb *find_verb(int n_args, char **args) {
        for (size_t i = 0; n_args > 0 && i < ELEMENTSOF(VERBS); i++) {
                if (strcmp(VERBS[i].name, args[0]) != 0)
                        continue;
                if (n_args - 1 >= VERBS[i].min_args && n_args - 1 <= VERBS[i].max_args)
                        return &VERBS[i];
                fprintf(stderr, "Usage: resealctl %s %s\n", VERBS[i].name, VERBS[i].arguments);
                return NULL;
        }
        if (n_args > 0)
                fprintf(stderr, "resealctl: no such verb: %s\n", args[0]);
        fprintf(stderr, "Try 'resealctl --help'.\n");
        return NULL;
}

int main(int argc, char **argv) {
        Options options = {
                .wait = true,
                .colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR"),
                .progress = isatty(STDERR_FILENO),
        };
        RsError err = RS_ERROR_INIT;
        Client client = { 0 };
        int r;

        program_environment();
        r = parse_options(argc, argv, &options);
        if (r != 0)
                return r < 0 ? EXIT_USAGE : EXIT_OK;
        const Verb *verb = find_verb(argc - optind, argv + optind);
        if (!verb)
                return EXIT_USAGE;
        if ((options.certify && verb->run != verb_chain) || (options.output && !options.certify)) {
                fprintf(stderr, "resealctl: --certify is for chain, and --output for --certify\n");
                return EXIT_USAGE;
        }

        if (options.below && verb->run != verb_mark) {
                fprintf(stderr, "resealctl: --below-accepted is for mark\n");
                return EXIT_USAGE;
        }
        if (options.below)
                return mark_below(&options, argc - optind - 1, argv + optind + 1);

        r = client_open(&client, &options, &err);
        if (r < 0) {
                print_error(&err);
                return EXIT_NO_SERVICE; /* client_open failed: there is no bus */
        }
        int code = verb->run(&client, argc - optind - 1, argv + optind + 1);
        client_done(&client);
        return code;
}
