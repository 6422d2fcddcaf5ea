/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * reseald - the half that talks: bus, sources, identity key, ticket, decryption and decompression of what
 * arrives.
 *
 *   user            reseal, group reseal, supplementary group tss; never root
 *   capabilities    none, and no way to gain any (no_new_privs, empty bounding set in the unit)
 *   descriptors     system bus, journal, the state directory, eventfds; on the worker: TLS connection to the
 *                   source, TPM, the writer's socket, the ring it shares with the writer
 *   hostile input   everything the source sends (TLS records, HTTP, bundle, ticket), arguments of bus calls, the
 *                   job record; answers of the writer are parsed as strictly
 *   can never       open a block device, write boot state, hold a slot key, judge a release, write rollback state
 *                   in the TPM (it lacks the auth), execute a program; a byte that nobody signed it cannot get
 *                   onto a slot, because the writer checks every chunk itself (D1)
 *
 * --config FILE is for tests; the bus is the system's, or what DBUS_SYSTEM_BUS_ADDRESS says.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/names.h>
#include <reseal/base/ossl.h>
#include <reseal/base/program.h>
#include <reseal/base/secret.h>
#include <reseal/confine/confine.h>

#include "journal.h"
#include "manager.h"
#include "sandbox.h"

static int usage(FILE *to) {
        fputs("usage: reseald [--config FILE]\n\n"
              "The Reseal update daemon; see reseald(8).\n\n"
              "  --config FILE   instead of " RS_PATH_CONF_DAEMON "\n"
              "  --version\n"
              "  --help\n",
              to);
        return to == stdout ? 0 : 2;
}

static int parse(int argc, char **argv, const char **config) {
        static const struct option OPTIONS[] = {
                { "config", required_argument, NULL, 'c' },
                { "help", no_argument, NULL, 'h' },
                { "version", no_argument, NULL, 'v' },
                { 0 },
        };
        int c;

        while ((c = getopt_long(argc, argv, "", OPTIONS, NULL)) >= 0)
                switch (c) {
                case 'c':
                        *config = optarg;
                        break;
                case 'h':
                        return usage(stdout);
                case 'v':
                        puts("reseald " RS_VERSION);
                        return 0;
                default:
                        return usage(stderr);
                }
        return optind == argc ? -1 : usage(stderr);
}

static int run(const char *config, RsError *err) {
        _cleanup_(manager_freep) Manager *m = NULL;
        int r;

        r = confine_early(err);
        if (r < 0)
                return r;
        r = manager_new(config, &m, err);
        if (r >= 0)
                r = sandbox_close(&m->config, err);
        if (r < 0)
                return r;
        if (r == 0)
                journal_send(JOURNAL_SANDBOX_PARTIAL, NULL, "This kernel has no Landlock, ignoring that");
        r = manager_start(m, err);
        if (r < 0)
                return r;
        r = sd_event_loop(m->event);
        if (r < 0)
                return rs_fail(err, INTERNAL, "event loop: %s", strerror(-r));
        /* sd-bus ends the loop so; a failure it must be, or nobody would start us again. */
        return r > 0 ? rs_fail(err, CONNECT, "the system bus went away") : 0;
}

static void on_unlocked(void) {
        journal_send(JOURNAL_SECRET_UNLOCKED, NULL, "Secrets could not be locked in memory (LimitMEMLOCK), ignoring");
}

int main(int argc, char **argv) {
        const char *config = RS_PATH_CONF_DAEMON;
        RsError err = RS_ERROR_INIT;

        program_environment();
        secret_on_unlocked(on_unlocked);
        int r = parse(argc, argv, &config);
        if (r >= 0)
                return r;
        (void) signal(SIGPIPE, SIG_IGN); /* a TPM or peer that goes away is a failure, not the end */
        if (ossl_program(&err) >= 0 && run(config, &err) >= 0)
                return 0;
        journal_send(JOURNAL_DAEMON_FAILED, &(JournalFields){ .error = &err }, "reseald cannot run: %s: %s",
                     rs_reason_name(err.reason), err.text);
        return 1;
}
