/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * serve - the socket on which candidates arrive, one over each connection.
 *
 * Spec:     docs/man/reseal-certstore.8, "Protocol"
 * Trust:    every byte and descriptor is hostile; who may connect is the socket's mode, what counts is the quorum
 * Owns:     descriptors given are taken
 * Units:    milliseconds
 * Errors:   PROTOCOL, IO; what a candidate is refused for is told to the client
 * Context:  main thread, blocks
 * Programs: reseal-certstore
 */
#include "keeper.h"

typedef enum CertstoreMessage {
        CERTSTORE_FAIL = 1,          /* channel_encode_error */
        CERTSTORE_APPLY = 2,         /* size (4); fd: memfd sealed against shrink, grow and write */
        CERTSTORE_APPLIED = 3,       /* version (8) */
} CertstoreMessage;

#define SERVE_IDLE_SEC 10 /* nobody there: the socket starts us again */
#define SERVE_CLIENT_MSEC 5000

/* One request.  Negative only for what was the client's fault, or ours. */
int serve_client(const Keeper *k, int client_fd /* taken */, RsError *err);
/* Until nobody has come for a while. */
int serve_all(const Keeper *k, int listen_fd, int idle_msec, RsError *err);
