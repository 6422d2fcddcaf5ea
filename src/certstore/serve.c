/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * serve - a request, a verdict, the next one.
 *
 * Requests are rare and take milliseconds, so there is no loop with states: one client is served at a time,
 * and one that does not speak for five seconds is sent away, so that it cannot keep the others out.  A
 * candidate is copied out of its memfd before it is looked at; the seals make sure that the length which was
 * checked is the length that is read.
 *
 * A client that breaks the protocol loses its connection, and that is all it gets.  A client whose candidate
 * is refused is told the reason and may go on.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <syslog.h>

#include <reseal/base/cleanup.h>
#include <reseal/format/trust-set.h>
#include <reseal/ipc/channel.h>
#include <reseal/ipc/memfd.h>

#include "journal.h"
#include "serve.h"

static int answer_verdict(Channel *c, uint32_t sequence, const RsError *verdict, uint64_t version, RsError *err) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        bool refused = verdict->reason != RS_REASON_NONE;

        if (refused)
                channel_encode_error(&e, verdict);
        else
                encoder_u64(&e, version);
        if (encoder_finish(&e) < 0)
                return rs_fail_oom(err);
        return channel_send(c, refused ? CERTSTORE_FAIL : CERTSTORE_APPLIED, sequence, encoder_view(&e), -EBADF, err);
}

static int answer_apply(const Keeper *k, Channel *c, const Message *m, RsError *err) {
        _cleanup_(freep) uint8_t *candidate = NULL;
        Reader r = READER(m->payload);
        uint32_t size = reader_u32(&r);
        RsError verdict = RS_ERROR_INIT;
        uint64_t version = 0;
        char field[64];
        int k_result;

        if (m->type != CERTSTORE_APPLY || m->fd < 0 || reader_finish(&r) < 0 || size == 0 || size > TRUST_SET_CMS_MAX)
                return rs_fail(err, PROTOCOL, "message %u is not a request with one trust set", m->type);
        k_result = memfd_read(m->fd, size, &candidate, err);
        if (k_result < 0)
                return k_result;
        if (keeper_apply(k, SPAN(candidate, size), &version, &verdict) < 0)
                journal_say(LOG_WARNING, MESSAGE_CERTSTORE_REFUSED, NULL, &verdict, "trust set refused");
        else {
                (void) snprintf(field, sizeof(field), "RESEAL_TRUST_VERSION=%llu", (unsigned long long) version);
                journal_say(LOG_NOTICE, MESSAGE_CERTSTORE_STORED, field, NULL, "trust set version %llu stored",
                            (unsigned long long) version);
        }
        return answer_verdict(c, m->sequence, &verdict, version, err);
}

static int set_deadline(int fd, RsError *err) {
        const struct timeval deadline = { .tv_sec = SERVE_CLIENT_MSEC / 1000 };

        if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof(deadline)) < 0 ||
            setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &deadline, sizeof(deadline)) < 0)
                return rs_fail_errno(err, errno, "deadline of a client");
        return 0;
}

int serve_client(const Keeper *k, int client_fd, RsError *err) {
        _cleanup_(channel_freep) Channel *c = NULL;
        int r;

        r = channel_new(client_fd, &c, err);
        if (r < 0)
                return r;
        r = set_deadline(channel_fd(c), err);
        while (r == 0) {
                RsError attempt = RS_ERROR_INIT;
                Message m = { .fd = -EBADF };

                r = channel_receive(c, &m, &attempt);
                if (r == 0 || attempt.reason == RS_REASON_WRITER_GONE)
                        return 0; /* silent for too long, or done */
                if (r > 0)
                        r = answer_apply(k, c, &m, &attempt);
                closep(&m.fd);
                if (r < 0)
                        return rs_pass(err, &attempt);
        }
        return r;
}

int serve_all(const Keeper *k, int listen_fd, int idle_msec, RsError *err) {
        for (;;) {
                struct pollfd p = { .fd = listen_fd, .events = POLLIN };
                RsError client = RS_ERROR_INIT;
                int n = poll(&p, 1, idle_msec), fd;

                if (n == 0)
                        return 0;
                if (n < 0 && errno != EINTR)
                        return rs_fail_errno(err, errno, "poll");
                fd = n < 0 ? -1 : accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
                if (fd >= 0 && serve_client(k, fd, &client) < 0)
                        journal_say(LOG_WARNING, MESSAGE_CERTSTORE_VIOLATION, NULL, &client, "ignoring a client");
        }
}
