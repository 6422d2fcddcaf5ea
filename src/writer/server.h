/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * server - connections, phases, and what a client may say when.
 *
 * Spec:     docs/protocol-writer.md
 * Trust:    clients are hostile, reseald included
 * Owns:     a Server owns listening sockets and connections; worker and loop are borrowed
 * Units:    microseconds
 * Errors:   PROTOCOL ends the connection; with --fd also the loop, with EXIT_PROTOCOL
 * Context:  main loop; callbacks never block
 * Programs: reseal-writer
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "worker.h"

#define EXIT_PROTOCOL 76 /* EX_PROTOCOL: a peer broke the protocol */

typedef struct ServerSpec {
        sd_event *loop;
        Worker *worker;
        int wake_fd;                 /* of the worker */
        int listen_fd;               /* writer.sock; -EBADF: none */
        int health_fd;               /* health.sock; -EBADF: none */
        int client_fd;               /* -EBADF, or the only connection there will be */
        uid_t client_uid;            /* who may connect, beside root */
        uid_t health_uid;            /* ... to health.sock */
        uint64_t idle_exit_usec;     /* 0: never */
        const char *line;
        bool require_encryption;
        Span policy;                 /* writer_encode_notes() of the configuration */
} ServerSpec;

typedef struct Server Server;
int server_new(const ServerSpec *spec, Server **ret, RsError *err);   /* takes the sockets */
Server *server_free(Server *s);
RS_DEFINE_CLEANUP(Server, server_free)
