/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * reseal-health - ends the trial of a release: good, or back to the one before.
 *
 *   user             reseal-health, a member of nothing.  Never root.
 *   capabilities     none, ever
 *   hostile inputs   none; what units, checks and source say is printed, not believed
 *   trusted inputs   health.conf and the programs it names
 *   can never        choose a slot, write one, start an installation: health.sock of the writer permits none of it
 *
 * One run per boot.  A good slot is left alone, whatever its state: restarting a device again and again because its
 * modem is broken helps nobody.  Exit status 1 means that the machine is to be restarted, which its unit does; the
 * bootloader then starts the other slot, or counts.
 *
 * When the writer does not answer at all, nobody else knows whether this is a trial but the bootloader, which says so
 * on the kernel command line (reseal.trial).  A release that breaks its own updater must not stay.
 */
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include <reseal/base/clock.h>
#include <reseal/base/file.h>
#include <reseal/base/names.h>
#include <reseal/base/program.h>
#include <reseal/ipc/writer-client.h>

#include "checks.h"
#include "journal.h"

#define WORD_TRIAL "reseal.trial"
#define CMDLINE_MAX 65536u
#define RETRY_MSEC 1000
#define MARK_USEC 60000000u /* behind the deadline: what was found out shall be told */

typedef struct Options {
        const char *config_path, *socket_path, *cmdline_path;
} Options;

static const char usage[] =
        "reseal-health [--config FILE] [--socket PATH] [--cmdline FILE]\n\n"
        "Started by reseal-health.service; see reseal-health(8).\n"
        "  -c, --config FILE  instead of " RS_PATH_CONF_HEALTH "\n"
        "      --cmdline FILE instead of /proc/cmdline\n"
        "      --socket PATH  instead of " RS_PATH_HEALTH_SOCKET "\n"
        "      --version      print the version\n";

/* -- the writer ------------------------------------------------------------------------------------------------- */

static int try_state(const Options *o, WriterState *ret, RsError *err) {
        _cleanup_(writer_client_freep) WriterClient *c = NULL;
        int r;

        r = writer_client_connect(o->socket_path, &c, err);
        return r < 0 ? r : writer_call_state(c, ret, err);
}

static int try_good(const Options *o, RsError *err) {
        _cleanup_(writer_client_freep) WriterClient *c = NULL;
        char name[WRITER_NAME_SIZE + 1];
        int r;

        r = writer_client_connect(o->socket_path, &c, err);
        return r < 0 ? r : writer_call_mark(c, WRITER_MARK_GOOD, "", name, err);
}

static int try_reject(const Options *o, const char *report, RsError *err) {
        _cleanup_(writer_client_freep) WriterClient *c = NULL;
        char name[WRITER_NAME_SIZE + 1];
        int r;

        r = writer_client_connect(o->socket_path, &c, err);
        return r < 0 ? r : writer_call_reject(c, report, name, err);
}

/* True: go on; *err is empty again. */
static bool retry(uint64_t until, RsError *err) {
        if (clock_boottime_usec() >= until)
                return false;
        *err = RS_ERROR_INIT;
        (void) poll(NULL, 0, RETRY_MSEC);
        return true;
}

static int ask_state(const Options *o, uint64_t until, WriterState *ret, RsError *err) {
        int r;

        do
                r = try_state(o, ret, err);
        while (r < 0 && retry(until, err));
        return r;
}

static int say_good(const Options *o, uint64_t until, RsError *err) {
        int r;

        do
                r = try_good(o, err);
        while (r < 0 && retry(until, err));
        return r;
}

static int say_failed(const Options *o, const char *report, uint64_t until, RsError *err) {
        int r;

        do
                r = try_reject(o, report, err);
        while (r < 0 && retry(until, err));
        return r;
}

/* -- the verdict ------------------------------------------------------------------------------------------------ */

static bool loader_counts(const Options *o) {
        _cleanup_(freep) uint8_t *text = NULL;
        RsError unused = RS_ERROR_INIT;
        char *rest, *word;
        size_t size;

        if (file_read(AT_FDCWD, o->cmdline_path, CMDLINE_MAX, &text, &size, &unused) <= 0)
                return false;
        rest = (char *) text;
        while ((word = strsep(&rest, " \n")))
                if (strcmp(word, WORD_TRIAL) == 0)
                        return true;
        return false;
}

static int without_writer(const Options *o, const RsError *why) {
        if (loader_counts(o)) {
                journal_say(LOG_ERR, MESSAGE_HEALTH_FAILED, NULL, why,
                            "the writer cannot be asked, and this is a trial: restarting: %s", why->text);
                return EXIT_FAILURE;
        }
        journal_say(LOG_ERR, MESSAGE_HEALTH_UNKNOWN, NULL, why, "the writer cannot be asked, ignoring: %s", why->text);
        return EXIT_SUCCESS;
}

static int reject(const Options *o, const char *slot, const RsError *why, uint64_t until) {
        char report[WRITER_REPORT_SIZE + 1];
        RsError err = RS_ERROR_INIT;

        (void) snprintf(report, sizeof(report), "%.*s", (int) WRITER_REPORT_SIZE, why->text);
        journal_say(LOG_ERR, MESSAGE_HEALTH_FAILED, NULL, why, "slot %s failed its trial, restarting: %s", slot, why->text);
        if (say_failed(o, report, until, &err) < 0)
                journal_say(LOG_ERR, MESSAGE_HEALTH_FAILED, NULL, &err, "the writer was not told, ignoring: %s", err.text);
        return EXIT_FAILURE;
}

static int judge(const Options *o) {
        _cleanup_(health_config_done) HealthConfig c = HEALTH_CONFIG_EMPTY;
        RsError err = RS_ERROR_INIT, config_err = RS_ERROR_INIT;
        uint64_t until, begin = clock_boottime_usec();
        WriterState state = { 0 };
        int config, r;

        config = health_config_load(o->config_path, &c, &config_err);
        until = begin + c.deadline_usec;
        (void) alarm((unsigned) ((c.deadline_usec + 2 * MARK_USEC) / 1000000)); /* whatever hangs: it has failed */
        r = ask_state(o, until, &state, &err);
        if (r < 0)
                return without_writer(o, &err);
        if (!state.trial_pending) {
                journal_say(LOG_INFO, MESSAGE_HEALTH_GOOD, NULL, NULL, "slot %s is good already: nothing is checked",
                            state.running);
                return EXIT_SUCCESS;
        }
        if (config < 0)
                return reject(o, state.running, &config_err, until);
        r = checks_run(&c, until, &err);
        if (r == 0)
                r = say_good(o, until + MARK_USEC, &err);
        if (r < 0)
                return reject(o, state.running, &err, until + MARK_USEC);
        journal_say(LOG_NOTICE, MESSAGE_HEALTH_GOOD, NULL, NULL, "slot %s passed its trial and is good now",
                    state.running);
        return EXIT_SUCCESS;
}

/* < 0: go on, else the exit status. */
static int parse_options(int argc, char **argv, Options *o) {
        static const struct option options[] = {
                { "config", required_argument, NULL, 'c' },  { "cmdline", required_argument, NULL, 'l' },
                { "socket", required_argument, NULL, 's' },  { "help", no_argument, NULL, 'h' },
                { "version", no_argument, NULL, 'v' },       { 0 },
        };
        int c;

        while ((c = getopt_long(argc, argv, "c:h", options, NULL)) >= 0) {
                if (c == 'c')
                        o->config_path = optarg;
                else if (c == 'l')
                        o->cmdline_path = optarg;
                else if (c == 's')
                        o->socket_path = optarg;
                else if (c == 'h' || c == 'v') {
                        (void) fputs(c == 'h' ? usage : "reseal-health " RS_VERSION "\n", stdout);
                        return EXIT_SUCCESS;
                } else
                        return 2;
        }
        if (optind == argc)
                return -1;
        (void) fputs(usage, stderr);
        return 2;
}

int main(int argc, char **argv) {
        Options o = { .config_path = RS_PATH_CONF_HEALTH, .socket_path = RS_PATH_HEALTH_SOCKET,
                      .cmdline_path = "/proc/cmdline" };
        int status;

        program_environment();
        status = parse_options(argc, argv, &o);
        if (status >= 0)
                return status;
        (void) signal(SIGPIPE, SIG_IGN); /* a writer that goes away is a failure, not the end */
        journal_init("reseal-health");
        return judge(&o);
}
