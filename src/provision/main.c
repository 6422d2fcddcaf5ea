/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * reseal-provision - makes a device: keys and rollback state in its TPM, requests, certificates, the writer's
 * drop-in.
 *
 *   user            root, in the factory or on first boot; never while the services run
 *   files           state directories of both services, requests, escrow, receipt
 *   hostile inputs  none; certificates are compared with the keys
 *   never           network; keeps ownerAuth and lockoutAuth; overwrites a state that it did not make
 *
 * Five verbs, each safe to repeat.  Exit status: 0 done or nothing to do, 1 failed, 2 usage.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/names.h>
#include <reseal/base/ossl.h>
#include <reseal/base/program.h>

#include "provision.h"

enum { OPTION_FIRST = 256 };

typedef struct OptionSlot {
        const char *name;
        const char *verbs; /* letters of the verbs that know it, see verbs[] */
        size_t offset;
        bool alone; /* without a value; then the member points to its name */
} OptionSlot;

#define SLOT(name, verbs, member) \
        { (name), (verbs), offsetof(Options, member), false }

static const OptionSlot slots[] = {
        SLOT("config", "irva", config),
        SLOT("state-dir", "icra", state_dir),
        SLOT("writer-state-dir", "ira", writer_state_dir),
        SLOT("device-serial", "i", serial),
        SLOT("line", "ir", line),
        SLOT("csr-out", "i", csr_out),
        SLOT("escrow", "i", escrow),
        SLOT("receipt", "i", receipt),
        SLOT("owner-auth-file", "i", owner_auth_file),
        SLOT("identity", "c", certificates[TPM_KEY_IDENTITY]),
        SLOT("unwrap", "c", certificates[TPM_KEY_UNWRAP]),
        SLOT("attest", "c", certificates[TPM_KEY_ATTEST]),
        SLOT("writer-conf", "dv", writer_conf),
        SLOT("output", "d", output),
        SLOT("level", "i", level),
        SLOT("authority", "i", authority),
        SLOT("recovery", "ir", recovery),
        SLOT("platform-auth-file", "i", platform_auth_file),
        SLOT("record", "i", record),
        SLOT("firmware-root", "ir", firmware_root),
        SLOT("bridge", "r", bridge),
        SLOT("order", "a", order),
        SLOT("device", "v", device),
        SLOT("recovery-key", "v", recovery_key),
        SLOT("label", "v", label),
        { "erase", "v", offsetof(Options, erase), true },
};

static void usage(FILE *to) {
        (void) fputs("reseal-provision init --device-serial S [--line L] [--config FILE] [--state-dir DIR]\n"
                     "        [--writer-state-dir DIR] [--csr-out DIR] [--escrow FILE|-] [--receipt FILE]\n"
                     "        [--owner-auth-file FILE] [--level 1|2 --authority CERT --recovery PEM\n"
                     "        [--platform-auth-file FILE]] [--record LINK --firmware-root PEM]\n"
                     "reseal-provision certs [--state-dir DIR] [--identity FILE] [--unwrap FILE] [--attest "
                     "FILE]\n"
                     "reseal-provision drop-in --output FILE|- [--writer-conf FILE]\n"
                     "reseal-provision recover --bridge LINK --line L --recovery PEM --firmware-root PEM\n"
                     "        [--config FILE] [--state-dir DIR] [--writer-state-dir DIR]\n"
                     "reseal-provision authority --order FILE [--config FILE] [--state-dir DIR]\n"
                     "reseal-provision data --device DEVICE [--recovery-key FILE|-] [--label NAME] [--erase]\n"
                     "        [--config FILE] [--writer-conf FILE]\n"
                     "reseal-provision --help | --version\n",
                     to);
}

/* 0 or 2 (usage error, said) */
static int parse_options(int argc, char **argv, char verb, Options *o) {
        struct option known[ELEMENTSOF(slots) + 1] = { 0 };
        int c;

        for (unsigned i = 0; i < ELEMENTSOF(slots); i++)
                known[i] = (struct option){ slots[i].name, slots[i].alone ? no_argument : required_argument, NULL,
                                            OPTION_FIRST + (int) i };
        while ((c = getopt_long(argc, argv, "", known, NULL)) >= 0) {
                const OptionSlot *s;
                const char *value;

                if (c < OPTION_FIRST)
                        return 2; /* getopt has said what */
                s = &slots[c - OPTION_FIRST];
                if (!strchr(s->verbs, verb)) {
                        (void) fprintf(stderr, "reseal-provision: --%s does not belong to this verb\n",
                                       s->name);
                        return 2;
                }
                value = s->alone ? s->name : optarg;
                memcpy((char *) o + s->offset, &value, sizeof(value));
        }
        if (optind < argc) {
                (void) fprintf(stderr, "reseal-provision: what is \"%s\"?\n", argv[optind]);
                return 2;
        }
        return 0;
}

/* Goes into a certificate subject and into files of simple syntax. */
static bool is_serial(const char *s) {
        return s && *s && strlen(s) <= 64 &&
               strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.:") == strlen(s);
}

static int run(char verb, const Options *o, RsError *err) {
        if (verb == 'i') {
                if (!is_serial(o->serial))
                        return rs_fail(err, INVALID, "--device-serial: 1 to 64 letters, digits, - _ . :");
                if (o->level && strcmp(o->level, "1") != 0 && strcmp(o->level, "2") != 0)
                        return rs_fail(err, INVALID, "--level: 1 or 2");
                return verb_init(o, err);
        }
        if (verb == 'c') {
                if (!o->certificates[TPM_KEY_IDENTITY] && !o->certificates[TPM_KEY_UNWRAP] &&
                    !o->certificates[TPM_KEY_ATTEST])
                        return rs_fail(err, INVALID, "no certificate given: --identity, --unwrap, --attest");
                return verb_certs(o, err);
        }
        if (verb == 'r')
                return verb_recover(o, err);
        if (verb == 'a')
                return o->order ? verb_authority(o, err) : rs_fail(err, INVALID, "--order is missing");
        if (verb == 'v')
                return o->device ? verb_data(o, err) : rs_fail(err, INVALID, "--device is missing");
        if (!o->output)
                return rs_fail(err, INVALID, "--output is missing");
        return verb_drop_in(o, err);
}

int main(int argc, char **argv) {
        static const struct {
                const char *name;
                char letter;
        } verbs[] = { { "init", 'i' }, { "certs", 'c' }, { "drop-in", 'd' }, { "recover", 'r' }, { "data", 'v' },
                      { "authority", 'a' } };
        Options o = {
                .config = RS_PATH_CONF_DAEMON,
                .writer_conf = RS_PATH_CONF_WRITER,
                .state_dir = RS_PATH_STATE_DAEMON,
                .writer_state_dir = RS_PATH_STATE_WRITER,
        };
        RsError err = RS_ERROR_INIT;
        const char *verb = argc > 1 ? argv[1] : "";

        (void) signal(SIGPIPE, SIG_IGN); /* a TPM that goes away is a failure, not the end */
        (void) umask(022);
        program_environment();
        if (strcmp(verb, "--help") == 0 || strcmp(verb, "--version") == 0) {
                if (verb[2] == 'h')
                        usage(stdout);
                else
                        (void) puts("reseal-provision " RS_VERSION);
                return 0;
        }
        for (unsigned i = 0; i < ELEMENTSOF(verbs); i++) {
                if (strcmp(verb, verbs[i].name) != 0)
                        continue;
                if (parse_options(argc - 1, argv + 1, verbs[i].letter, &o) != 0)
                        return 2;
                if (ossl_program(&err) >= 0 && run(verbs[i].letter, &o, &err) >= 0)
                        return 0;
                (void) fprintf(stderr, "reseal-provision: %s: %s\n", rs_reason_name(err.reason), err.text);
                return err.reason == RS_REASON_INVALID ? 2 : 1;
        }
        usage(stderr);
        return 2;
}
