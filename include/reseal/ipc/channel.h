/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * channel - one datagram, one message, at most one file descriptor, over SOCK_SEQPACKET.
 *
 * Spec:     docs/protocol-writer.md, "Message"
 * Trust:    everything received is hostile; header, length and descriptor count are checked here, payload by its
 *           parser
 * Owns:     a Channel owns its fd; a received descriptor belongs to the caller
 * Units:    bytes
 * Errors:   PROTOCOL, WRITER_GONE (end of connection), IO
 * Context:  any thread, one at a time; only ever receives an fd, so tests and launchers use a socketpair
 * Programs: reseald, reseal-writer
 */
#include <stdint.h>

#include <reseal/base/error.h>
#include <reseal/base/span.h>

#define IPC_PAYLOAD_MAX 65536u

typedef struct Message {
        uint32_t type;
        uint32_t sequence;
        Span payload;      /* borrowed from the channel's buffer until the next receive */
        int fd;            /* -EBADF when none came */
} Message;

typedef struct Channel Channel;

int channel_new(int fd /* taken */, Channel **ret, RsError *err);
Channel *channel_free(Channel *c);
RS_DEFINE_CLEANUP(Channel, channel_free)
int channel_fd(const Channel *c);
int channel_send(Channel *c, uint32_t type, uint32_t sequence, Span payload, int fd /* or -EBADF */, RsError *err);
/* 1 = got a message, 0 = nothing there now (non-blocking fd), < 0 failed. */
int channel_receive(Channel *c, Message *ret, RsError *err);

/* RsError as the payload of FAIL, both ways. */
void channel_encode_error(Encoder *e, const RsError *error);
int channel_decode_error(Span payload, RsError *ret, RsError *err);
