/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * reseal-certstore - the only writer of a device's trust anchors.
 *
 *   user             reseal-certstore, a member of nothing.  Never root.
 *   capabilities     none, ever
 *   descriptors      the listening socket (or one connection with --fd), the directory of the store; one client and one
 *                    memfd while it is served
 *   hostile inputs   every byte from a connection, trust sets and their certificates
 *   trusted inputs   line and firmware root of writer.conf, the file in the store
 *   can never        reach a network, a device or a TPM, execute a program, open a file outside the store, store a set
 *                    that no quorum has signed
 *
 * An update cannot reach it: neither reseald nor reseal-writer writes the store, and the image has no file in it.
 * With --apply the same program is the other end: it runs with the caller's rights and only talks to the socket.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <syslog.h>
#include <systemd/sd-daemon.h>

#include <reseal/base/names.h>
#include <reseal/base/ossl.h>
#include <reseal/base/program.h>
#include <reseal/base/text.h>
#include <reseal/confine/confine.h>
#include <reseal/crypto/digest.h>

#include "apply.h"
#include "journal.h"
#include "sandbox.h"
#include "serve.h"

typedef struct Options {
        const char *config_path, *store_path, *socket_path, *apply_path;
        int client_fd;          /* --fd: the connection of a test or a launcher */
        int idle_sec;
} Options;

static const char usage[] =
        "reseal-certstore [--config FILE] [--store DIR] [--idle SECONDS | --fd N]\n"
        "reseal-certstore --apply FILE [--socket PATH]\n\n"
        "Started by reseal-certstore.socket; see reseal-certstore(8).\n"
        "  -a, --apply FILE   hand a signed trust set to the service, tell what it says\n"
        "  -c, --config FILE  instead of " RS_PATH_CONF_WRITER "\n"
        "      --fd N         serve the connection on descriptor N and end with it\n"
        "      --idle SECONDS end when nobody has come for so long (10)\n"
        "      --socket PATH  instead of " RS_PATH_CERTSTORE_SOCKET "\n"
        "      --store DIR    instead of " RS_PATH_STATE_TRUST "\n"
        "      --version      print the version\n";

/* True: go on. */
static bool take_option(Options *o, int c, int *ret_exit) {
        uint64_t number;

        if (c == 'a')
                o->apply_path = optarg;
        else if (c == 'c')
                o->config_path = optarg;
        else if (c == 's')
                o->store_path = optarg;
        else if (c == 'S')
                o->socket_path = optarg;
        else if (c == 'f' && text_to_u64(optarg, INT32_MAX, &number) == 0)
                o->client_fd = (int) number;
        else if (c == 'i' && text_to_u64(optarg, 86400, &number) == 0)
                o->idle_sec = (int) number;
        else {
                if (c == 'h')
                        (void) fputs(usage, stdout);
                else if (c == 'v')
                        (void) printf("reseal-certstore %s\n", RS_VERSION);
                *ret_exit = c == 'h' || c == 'v' ? EXIT_SUCCESS : 2;
                return false;
        }
        return true;
}

static bool parse_options(int argc, char **argv, Options *o, int *ret_exit) {
        static const struct option known[] = {
                { "apply", required_argument, NULL, 'a' },
                { "config", required_argument, NULL, 'c' },
                { "fd", required_argument, NULL, 'f' },
                { "idle", required_argument, NULL, 'i' },
                { "socket", required_argument, NULL, 'S' },
                { "store", required_argument, NULL, 's' },
                { "help", no_argument, NULL, 'h' },
                { "version", no_argument, NULL, 'v' },
                { 0 },
        };
        int c;

        while ((c = getopt_long(argc, argv, "a:c:h", known, NULL)) >= 0)
                if (!take_option(o, c, ret_exit))
                        return false;
        if (optind < argc) {
                (void) fprintf(stderr, "reseal-certstore: %s: no such argument\n", argv[optind]);
                *ret_exit = 2;
                return false;
        }
        return true;
}

static int run_apply(const Options *o) {
        RsError err = RS_ERROR_INIT;
        uint64_t version;

        if (apply_file(o->apply_path, o->socket_path, &version, &err) < 0) {
                (void) fprintf(stderr, "reseal-certstore: %s: %s (%s)\n", rs_reason_name(err.reason), err.text,
                               rs_reason_text(err.reason));
                return EXIT_FAILURE;
        }
        (void) printf("trust set version %llu stored\n", (unsigned long long) version);
        return EXIT_SUCCESS;
}

static int take_listen_fd(int *ret_fd, RsError *err) {
        int n = sd_listen_fds(1);

        if (n != 1)
                return rs_fail(err, CONFIG, "started with %d sockets: start reseal-certstore.socket, or use --fd", n);
        if (sd_is_socket_unix(SD_LISTEN_FDS_START, SOCK_SEQPACKET, 1, NULL, 0) <= 0)
                return rs_fail(err, CONFIG, "the socket is not a listening SOCK_SEQPACKET of AF_UNIX");
        *ret_fd = SD_LISTEN_FDS_START;
        return 0;
}

static int run_service(Keeper *k, const Options *o, RsError *err) {
        uint8_t digest[SHA256_SIZE];
        int listen_fd = -EBADF, r;

        r = confine_early(err);
        if (r == 0 && o->client_fd < 0)
                r = take_listen_fd(&listen_fd, err);
        if (r == 0)
                r = keeper_open(o->config_path, o->store_path, k, err);
        if (r == 0) /* OpenSSL reads its configuration now, or not at all */
                r = digest_sha256(SPAN("", 0), digest, err);
        if (r < 0)
                return r;
        r = sandbox_close(k->store_fd, err);
        if (r < 0)
                return r;
        if (r == 0)
                journal_say(LOG_WARNING, MESSAGE_CERTSTORE_SANDBOX, "RESEAL_SANDBOX=seccomp", NULL,
                            "ignoring that this kernel has no Landlock: sandbox=seccomp");
        return o->client_fd >= 0 ? serve_client(k, o->client_fd, err) : serve_all(k, listen_fd, o->idle_sec * 1000,
                                                                          err);
}

int main(int argc, char **argv) {
        Options o = { .config_path = RS_PATH_CONF_WRITER, .store_path = RS_PATH_STATE_TRUST,
                      .socket_path = RS_PATH_CERTSTORE_SOCKET, .client_fd = -EBADF, .idle_sec = SERVE_IDLE_SEC };
        RsError err = RS_ERROR_INIT;
        Keeper k = KEEPER_EMPTY;
        int r, status = EXIT_SUCCESS;

        program_environment();
        if (!parse_options(argc, argv, &o, &status))
                return status;
        if (o.apply_path)
                return run_apply(&o);
        journal_init("reseal-certstore");
        (void) umask(0022); /* the set is public */
        r = ossl_program(&err);
        if (r >= 0)
                r = run_service(&k, &o, &err);
        if (r < 0) {
                journal_say(LOG_ERR, MESSAGE_CERTSTORE_STOPPED, NULL, &err, "cannot serve");
                status = EXIT_FAILURE;
        }
        keeper_done(&k);
        return status;
}
