/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * serve - a request, a verdict, the end of the connection.
 *
 * Requests are rare and take milliseconds, so each is answered as a whole when it is there; who has not spoken yet is
 * waited for beside the others.  A connection is for one request and lives five seconds at most, whatever comes over
 * it.  Each user has his own few places, and root's are out of the others' reach: nobody keeps anybody else out.  A
 * candidate is copied out of its memfd before it is looked at; the seals make sure that the length which was checked
 * is the length that is read.
 *
 * A client that breaks the protocol loses its connection, and that is all it gets.  A client whose candidate
 * is refused is told the reason.
 */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <syslog.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/clock.h>
#include <reseal/format/trust-set.h>
#include <reseal/ipc/channel.h>
#include <reseal/ipc/memfd.h>

#include "journal.h"
#include "serve.h"

#define CLIENTS_OF_ONE 4
#define CLIENTS_OF_OTHERS 12 /* than root */
#define CLIENTS_MAX (CLIENTS_OF_OTHERS + CLIENTS_OF_ONE)

typedef struct Client {
        Channel *channel;        /* NULL: none */
        uid_t uid;
        uint64_t until_usec;
} Client;

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

/* 1 = a request was answered, 0 = nothing there, < 0 the connection is worth nothing any more. */
static int serve_request(const Keeper *k, Channel *c, RsError *err) {
        Message m = { .fd = -EBADF };
        int r;

        r = channel_receive(c, &m, err);
        if (r <= 0)
                return r;
        r = answer_apply(k, c, &m, err);
        closep(&m.fd);
        return r < 0 ? r : 1;
}

int serve_client(const Keeper *k, int client_fd, RsError *err) {
        _cleanup_(channel_freep) Channel *c = NULL;
        RsError attempt = RS_ERROR_INIT;
        int r;

        r = channel_new(client_fd, &c, err);
        if (r == 0)
                r = set_deadline(channel_fd(c), err);
        if (r < 0)
                return r;
        r = serve_request(k, c, &attempt);
        return r >= 0 || attempt.reason == RS_REASON_WRITER_GONE ? 0 : rs_pass(err, &attempt);
}

/* -- several at a time ------------------------------------------------------------------------------------------ */

static void drop(Client *c) {
        c->channel = channel_free(c->channel);
}

static int find_place(const Client *clients, int fd, size_t *ret, uid_t *ret_uid, RsError *err) {
        size_t n_of_one = 0, n_of_others = 0, at = CLIENTS_MAX;
        struct ucred peer;
        socklen_t size = sizeof(peer);

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || size != sizeof(peer))
                return rs_fail_errno(err, errno, "who connects");
        for (size_t i = 0; i < CLIENTS_MAX; i++) {
                if (!clients[i].channel)
                        at = i;
                n_of_one += clients[i].channel && clients[i].uid == peer.uid;
                n_of_others += clients[i].channel && clients[i].uid != 0;
        }
        if (n_of_one >= CLIENTS_OF_ONE || (peer.uid != 0 && n_of_others >= CLIENTS_OF_OTHERS))
                return rs_fail(err, BUSY, "too many connections, also of uid %u", (unsigned) peer.uid);
        assert(at < CLIENTS_MAX);
        *ret = at;
        *ret_uid = peer.uid;
        return 0;
}

/* Who finds no place is sent away at once, and nothing is written about it: he could fill the journal. */
static void admit(Client *clients, int listen_fd) {
        _cleanup_(closep) int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        RsError ignored = RS_ERROR_INIT;
        Channel *channel = NULL;
        uid_t uid;
        size_t at;

        if (fd < 0 || find_place(clients, fd, &at, &uid, &ignored) < 0 ||
            channel_new(TAKE_FD(fd), &channel, &ignored) < 0)
                return;
        clients[at] = (Client){ .channel = channel, .uid = uid,
                                .until_usec = clock_boottime_usec() + SERVE_CLIENT_MSEC * UINT64_C(1000) };
}

static void hear(const Keeper *k, Client *c) {
        RsError err = RS_ERROR_INIT;
        int r = serve_request(k, c->channel, &err);

        if (r < 0 && err.reason != RS_REASON_WRITER_GONE)
                journal_say(LOG_WARNING, MESSAGE_CERTSTORE_VIOLATION, NULL, &err, "ignoring a client");
        if (r != 0)
                drop(c);
}

/* Fills p behind the first; how long may be waited. */
static int prepare(Client *clients, struct pollfd *p, int idle_msec) {
        uint64_t now = clock_boottime_usec();
        int msec = -1;

        for (size_t i = 0; i < CLIENTS_MAX; i++) {
                Client *c = &clients[i];

                if (c->channel && now >= c->until_usec)
                        drop(c);
                p[1 + i] = (struct pollfd){ .fd = c->channel ? channel_fd(c->channel) : -1, .events = POLLIN };
                if (c->channel && (msec < 0 || c->until_usec - now < (uint64_t) msec * 1000))
                        msec = (int) ((c->until_usec - now) / 1000) + 1;
        }
        return msec < 0 ? idle_msec : msec;
}

static bool is_empty(const Client *clients) {
        for (size_t i = 0; i < CLIENTS_MAX; i++)
                if (clients[i].channel)
                        return false;
        return true;
}

static int serve_round(const Keeper *k, Client *clients, int listen_fd, int idle_msec, RsError *err) {
        struct pollfd p[1 + CLIENTS_MAX] = { { .fd = listen_fd, .events = POLLIN } };
        int msec = prepare(clients, p, idle_msec);
        bool empty = is_empty(clients);
        int n = poll(p, ELEMENTSOF(p), msec);

        if (n == 0)
                return empty ? 0 : 1;
        if (n < 0)
                return errno == EINTR ? 1 : rs_fail_errno(err, errno, "poll");
        for (size_t i = 0; i < CLIENTS_MAX; i++)
                if (p[1 + i].revents)
                        hear(k, &clients[i]);
        if (p[0].revents)
                admit(clients, listen_fd);
        return 1;
}

int serve_all(const Keeper *k, int listen_fd, int idle_msec, RsError *err) {
        Client clients[CLIENTS_MAX] = { 0 };
        int r;

        do
                r = serve_round(k, clients, listen_fd, idle_msec, err);
        while (r > 0);
        for (size_t i = 0; i < CLIENTS_MAX; i++)
                drop(&clients[i]);
        return r;
}
