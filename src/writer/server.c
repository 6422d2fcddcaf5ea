/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * server - moves datagrams between clients and the worker, and holds each client to the table of requests.
 *
 * A request is looked up in the one table (writer_request_rule) before anything reads its payload: known, of a
 * possible
 * length, with or without a descriptor, permitted in the phase of this connection, and not sent early.  Whatever is
 * not, ends its connection and what that had begun, and nothing else.  The program goes on: two parties that do not
 * trust each other share it, and neither may end it for the other.  With --fd there is no other, so it ends there.
 *
 * Nothing here is shared between the two sockets but the worker's time, and that is given in turn (worker.h): a peer
 * (socket and user) has its own places and its own rate of connections; whether another installs is nothing that
 * keeps the health check from marking.
 *
 * The phase of a connection changes when an answer leaves, with one exception: FINISH and ABORT take effect when
 * they arrive.
 * One connection at a time holds the installer role, from its OFFER on; when it goes away, an ABORT is queued in its
 * name,
 * so that the next OFFER of anybody finds the target free.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <syslog.h>

#include <reseal/base/cleanup.h>
#include <reseal/ipc/channel.h>
#include <reseal/ipc/memfd.h>

#include "journal.h"
#include "server.h"

#define CLIENTS_OF_ONE 8u               /* connections of one user over one socket */
#define CLIENTS_MAX (4 * CLIENTS_OF_ONE) /* two sockets, on each root and one user: it can never be too small */
#define CONNECTIONS_PER_SECOND 50u      /* of one socket; also bounds what a peer can make us write to the journal */
#define UNREAD_MAX 16384                /* bytes of answers a client may leave behind when it asks for a descriptor */

typedef struct Client {
        struct Server *server;
        uint64_t id;
        Channel *channel;
        sd_event_source *source;
        WriterPhase phase;
        bool health;             /* came over health.sock */
        uid_t uid;
        uint32_t n_unanswered;
        uint32_t n_frames;       /* of these */
        bool aborting;           /* an ABORT is unanswered */
} Client;

struct Server {
        ServerSpec spec;
        sd_event_source *listen_source, *health_source, *wake_source, *idle_source;
        Client *clients[CLIENTS_MAX];
        uint64_t last_id;
        int policy_fd;           /* what POLICY lends; -EBADF: nobody has asked yet */
        uint64_t installer;      /* who holds the role; 0: nobody */
};

static void arm_idle(Server *s) {
        bool busy = s->installer != 0;

        for (size_t i = 0; i < CLIENTS_MAX; i++)
                busy = busy || s->clients[i];
        if (!s->idle_source)
                return;
        if (!busy)
                (void) sd_event_source_set_time_relative(s->idle_source, s->spec.idle_exit_usec);
        (void) sd_event_source_set_enabled(s->idle_source, busy ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
}

static Client *client_free(Client *c) {
        if (!c)
                return NULL;
        (void) sd_event_source_disable_unref(c->source);
        (void) channel_free(c->channel);
        free(c);
        return NULL;
}
RS_DEFINE_CLEANUP(Client, client_free)

/* status: of this program, when there will be no other client. */
static void drop_client(Client *c, int status) {
        Server *s = c->server;

        if (s->installer == c->id) {
                Work *abort = work_new(WRITER_ABORT, 0, 0);

                worker_cancel(s->spec.worker);
                if (!abort) { /* the target cannot be let go of in order: end, which lets go of everything */
                        (void) sd_event_exit(s->spec.loop, EXIT_FAILURE);
                        return;
                }
                abort->holder = true;
                worker_post(s->spec.worker, abort);
                s->installer = 0;
        }
        for (size_t i = 0; i < CLIENTS_MAX; i++)
                if (s->clients[i] == c)
                        s->clients[i] = NULL;
        (void) client_free(c);
        arm_idle(s);
        if (s->spec.listen_fd < 0 && s->spec.health_fd < 0) /* --fd: there will be no other */
                (void) sd_event_exit(s->spec.loop, status);
}

/* Ends the connection; what it had begun is let go of, and what it sent is worth nothing any more. */
static int violation(Client *c, const RsError *error) {
        journal_say(LOG_ERR, MESSAGE_WRITER_VIOLATION, NULL, error, "protocol broken in phase %s, ignoring a connection",
                    writer_phase_to_string(c->phase));
        drop_client(c, EXIT_PROTOCOL);
        return 0;
}

/* Descriptors that nobody takes count against this user, for all its connections. */
static bool leaves_answers(const Client *c) {
        int unread = 0;

        return ioctl(channel_fd(c->channel), SIOCOUTQ, &unread) < 0 || unread > UNREAD_MAX;
}

/* An answer that the client does not take ends its connection: nothing here waits for a client. */
static void send_answer(Client *c, uint32_t type, uint32_t sequence, const Encoder *payload, int fd) {
        RsError err = RS_ERROR_INIT;

        if ((fd >= 0 && leaves_answers(c)) ||
            channel_send(c->channel, type, sequence, SPAN(payload->data, payload->size), fd, &err) < 0)
                drop_client(c, EXIT_SUCCESS);
}

static void send_failure(Client *c, uint32_t sequence, const RsError *error) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;

        channel_encode_error(&e, error);
        if (encoder_finish(&e) < 0) {
                drop_client(c, EXIT_SUCCESS);
                return;
        }
        send_answer(c, WRITER_FAIL, sequence, &e, -EBADF);
}

/* The answer of a Work, or its failure. */
static void give_answer(Client *c, const Work *w) {
        if (w->error.reason == RS_REASON_NONE)
                send_answer(c, w->type + 1, w->sequence, &w->answer, w->fd);
        else
                send_failure(c, w->sequence, &w->error);
}

/* -- requests --------------------------------------------------------------------------------------------------- */

static int check_permitted(const Client *c, const Message *m, RsError *err) {
        const WriterRequestRule *rule = writer_request_rule(m->type);
        bool early = c->n_unanswered > 0;

        if (!rule)
                return rs_fail(err, PROTOCOL, "unknown request %u", m->type);
        if (!writer_request_permitted(m->type, c->phase, c->health))
                return rs_fail(err, PROTOCOL, "%s is not permitted %s", rule->name, c->health ? "here" : "now");
        if (m->payload.size < rule->size_min || m->payload.size > rule->size_max)
                return rs_fail(err, PROTOCOL, "%s with %zu bytes", rule->name, m->payload.size);
        if (rule->takes_fd != (m->fd >= 0))
                return rs_fail(err, PROTOCOL, "%s with %s descriptor", rule->name, m->fd >= 0 ? "a" : "no");
        if (m->type == WRITER_ABORT)
                early = c->aborting;
        if (m->type == WRITER_FRAME)
                early = c->n_unanswered != c->n_frames || c->n_frames >= WRITER_FRAMES_OUTSTANDING_MAX;
        if (early)
                return rs_fail(err, PROTOCOL, "%s before the answers that come first", rule->name);
        return 0;
}

static int on_hello(Client *c, const Message *m, RsError *err) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        WriterHello hello = { .version = RS_VERSION, .require_encryption = c->server->spec.require_encryption };
        char version[WRITER_VERSION_SIZE + 1];
        int r;

        r = writer_decode_hello_request(m->payload, version, err);
        if (r < 0)
                return r;
        if (strcmp(version, RS_VERSION) != 0) {
                RsError failure = RS_ERROR_INIT;

                (void) rs_fail(&failure, PROTOCOL, "this writer is of version %s", RS_VERSION);
                send_failure(c, m->sequence, &failure);
                return 0;
        }
        (void) snprintf(hello.line, sizeof(hello.line), "%s", c->server->spec.line);
        writer_encode_hello(&e, &hello);
        c->phase = WRITER_PHASE_IDLE;
        send_answer(c, WRITER_HELLO + 1, m->sequence, &e, -EBADF);
        return 0;
}

/* Answered here: the configuration does not change while this process lives, and no work of the device is needed. */
static int writer_answer_policy(Client *c, const Message *m, RsError *err) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        Server *s = c->server;
        int r;

        if (s->policy_fd < 0) { /* one, however often it is asked for and kept */
                r = memfd_sealed("reseal-policy", s->spec.policy, &s->policy_fd, err);
                if (r < 0)
                        return r;
        }
        writer_encode_policy(&e, (uint32_t) s->spec.policy.size);
        if (encoder_finish(&e) < 0)
                return rs_fail_oom(err);
        send_answer(c, WRITER_POLICY + 1, m->sequence, &e, s->policy_fd);
        return 0;
}

static int decode_offer(const Message *m, Work *w, RsError *err) {
        Span cms;
        int r;

        r = writer_decode_offer_request(m->payload, &cms, err);
        if (r < 0)
                return r;
        w->bytes = malloc(cms.size);
        if (!w->bytes)
                return rs_fail_oom(err);
        memcpy(w->bytes, cms.data, cms.size);
        w->size = cms.size;
        return 0;
}

static int decode_table(const Message *m, Work *w, RsError *err) {
        uint32_t size;
        int r;

        r = writer_decode_table_request(m->payload, &w->image, &size, err);
        if (r < 0)
                return r;
        w->size = size;
        return 0;
}

static int decode_evidence(const Message *m, Work *w, RsError *err) {
        uint32_t size;
        int r;

        r = writer_decode_evidence_request(m->payload, &w->evidence, &size, err);
        if (r < 0)
                return r;
        w->size = size;
        return 0;
}

static int decode_request(const Message *m, Work *w, RsError *err) {
        switch (m->type) {
        case WRITER_EVIDENCE:
                return decode_evidence(m, w, err);
        case WRITER_OFFER:
                return decode_offer(m, w, err);
        case WRITER_TABLE:
                return decode_table(m, w, err);
        case WRITER_FRAME:
                return writer_decode_frame_request(m->payload, &w->frame, err);
        case WRITER_MARK:
                return writer_decode_mark_request(m->payload, &w->mark, &w->below, w->name, err);
        case WRITER_REJECT:
                return writer_decode_reject_request(m->payload, w->report, err);
        default: /* the table says that the payload is empty */
                return 0;
        }
}

/*
 * Root may come to both sockets; on writer.sock it is the administrator, whose word goes further than reseald's.  Where
 * reseald itself runs as root, and with --fd, nobody is.
 */
static bool is_administrator(const Client *c) {
        const ServerSpec *spec = &c->server->spec;

        return c->uid == 0 && !c->health && spec->client_uid != 0 && spec->listen_fd >= 0;
}

/* Who asks is read from the connection; what he may ask is one rule, src/install/next.c. */
static int name_asker(const Client *c, Work *w, RsError *err) {
        if (w->below && !is_administrator(c))
                return rs_fail(err, ACCESS, "only root, on writer.sock, may go below the release accepted last");
        if (c->health)
                w->asker = INSTALL_BY_HEALTH;
        else if (is_administrator(c))
                w->asker = w->below ? INSTALL_BY_ROOT_BELOW : INSTALL_BY_ROOT;
        else
                w->asker = INSTALL_BY_DAEMON;
        return 0;
}

/* 1 = it may go to the worker, 0 = answered by FAIL Access or Busy. */
static int take_role(Client *c, const Message *m, Work *w) {
        Server *s = c->server;
        RsError busy = RS_ERROR_INIT;

        if ((m->type == WRITER_MARK || m->type == WRITER_REJECT) && name_asker(c, w, &busy) < 0) {
                send_failure(c, m->sequence, &busy);
                return 0;
        }
        if (m->type != WRITER_OFFER && m->type != WRITER_MARK && m->type != WRITER_REJECT)
                return 1;
        if (c->health) /* who holds the role must not hold up a verdict; a target being written, install_mark refuses */
                return 1;
        if (s->installer != 0 && s->installer != c->id) {
                (void) rs_fail(&busy, BUSY, "another connection is installing");
                send_failure(c, m->sequence, &busy);
                return 0;
        }
        if (m->type == WRITER_OFFER)
                s->installer = c->id;
        return 1;
}

static int on_request(Client *c, const Message *m, RsError *err) {
        _cleanup_(work_freep) Work *w = NULL;
        int r;

        r = check_permitted(c, m, err);
        if (r < 0)
                return r;
        if (m->type == WRITER_HELLO)
                return on_hello(c, m, err);
        if (m->type == WRITER_POLICY)
                return writer_answer_policy(c, m, err);
        w = work_new(m->type, c->id, m->sequence);
        if (!w)
                return rs_fail_oom(err);
        w->peer = c->health ? WORK_OF_HEALTH : WORK_OF_DAEMON;
        r = decode_request(m, w, err);
        if (r < 0)
                return r;
        if (take_role(c, m, w) == 0)
                return 0;
        if (worker_answer_known(c->server->spec.worker, w)) {
                if (w->error.reason == RS_REASON_NONE && encoder_finish(&w->answer) < 0)
                        return rs_fail_oom(err);
                give_answer(c, w);
                return 0;
        }
        c->n_unanswered++;
        if (m->type == WRITER_FRAME)
                c->n_frames++;
        if (m->type == WRITER_FINISH)
                c->phase = WRITER_PHASE_FINISHING;
        if (m->type == WRITER_ABORT) {
                c->aborting = true;
                w->holder = c->server->installer == c->id;
                w->finished = c->phase == WRITER_PHASE_DONE;
                if (w->holder)
                        worker_cancel(c->server->spec.worker);
        }
        if (m->type == WRITER_TABLE || m->type == WRITER_EVIDENCE) {
                w->fd = fcntl(m->fd, F_DUPFD_CLOEXEC, 3);
                if (w->fd < 0) /* a failure like any other of the request, for its own reason: see read_sealed */
                        w->fd = -errno;
        }
        worker_post(c->server->spec.worker, TAKE_PTR(w));
        return 0;
}

static int on_client(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Client *c = userdata;
        RsError err = RS_ERROR_INIT;
        Message m = { .fd = -EBADF };
        int r;

        (void) source;
        (void) fd;
        (void) revents;
        r = channel_receive(c->channel, &m, &err);
        if (r == 0)
                return 0;
        if (r < 0 && err.reason == RS_REASON_PROTOCOL)
                return violation(c, &err);
        if (r < 0) {
                drop_client(c, EXIT_SUCCESS);
                return 0;
        }
        r = on_request(c, &m, &err);
        closep(&m.fd); /* what is needed of it was duplicated */
        if (r < 0 && err.reason == RS_REASON_PROTOCOL)
                return violation(c, &err);
        if (r < 0)
                send_failure(c, m.sequence, &err);
        return 0;
}

/* -- answers ---------------------------------------------------------------------------------------------------- */

static WriterPhase next_phase(const Client *c, const Work *w) {
        bool failed = w->error.reason != RS_REASON_NONE;

        switch (w->type) {
        case WRITER_OFFER:
        case WRITER_TABLE:
                return failed ? WRITER_PHASE_IDLE : w->tabled ? WRITER_PHASE_TABLED : WRITER_PHASE_OFFERED;
        case WRITER_FRAME:
                return failed || c->phase == WRITER_PHASE_FAILED ? WRITER_PHASE_FAILED : WRITER_PHASE_WRITING;
        case WRITER_FINISH:
                return failed ? WRITER_PHASE_IDLE : WRITER_PHASE_DONE;
        case WRITER_ABORT:
                return w->finished ? WRITER_PHASE_DONE : WRITER_PHASE_IDLE;
        default:
                return c->phase;
        }
}

static void on_answer(Client *c, Work *w) {
        Server *s = c->server;
        const RsError error = w->error;
        bool told = c->phase == WRITER_PHASE_FAILED; /* what was sent behind a refused frame */

        if (error.reason == RS_REASON_PROTOCOL) { /* still with the role, so that an ABORT follows */
                (void) violation(c, &error);
                return;
        }
        c->phase = next_phase(c, w);
        c->n_unanswered--;
        if (w->type == WRITER_FRAME)
                c->n_frames--;
        if (w->type == WRITER_ABORT)
                c->aborting = false;
        if (s->installer == c->id && (c->phase == WRITER_PHASE_IDLE || c->phase == WRITER_PHASE_DONE))
                s->installer = 0;
        if (error.reason != RS_REASON_NONE && !told)
                journal_say(LOG_ERR, MESSAGE_WRITER_REFUSED, NULL, &error, "%s refused",
                            writer_request_rule(w->type)->name);
        give_answer(c, w);
}

static Client *find_client(const Server *s, uint64_t id) {
        for (size_t i = 0; i < CLIENTS_MAX; i++)
                if (s->clients[i] && s->clients[i]->id == id)
                        return s->clients[i];
        return NULL;
}

static int on_wake(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Server *s = userdata;
        uint64_t count;

        (void) source;
        (void) revents;
        if (read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
                return -errno;
        for (;;) {
                _cleanup_(work_freep) Work *w = worker_take(s->spec.worker);
                RsError ignored = RS_ERROR_INIT;
                Client *c;

                if (!w)
                        return 0;
                c = find_client(s, w->client);
                if (!c)
                        continue;
                if (w->type == WRITER_EVENT_PROGRESS) /* a full socket loses progress, never an answer */
                        (void) channel_send(c->channel, w->type, 0, SPAN(w->answer.data, w->answer.size), -EBADF,
                                            &ignored);
                else
                        on_answer(c, w);
        }
}

/* -- connections ------------------------------------------------------------------------------------------------ */

static int check_peer(const Server *s, int fd, bool health, uid_t *ret_uid, RsError *err) {
        struct ucred peer;
        socklen_t size = sizeof(peer);
        size_t n = 0;

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || size != sizeof(peer) ||
            (peer.uid != 0 && peer.uid != (health ? s->spec.health_uid : s->spec.client_uid)))
                return rs_fail(err, ACCESS, "a connection of another user was refused");
        for (size_t i = 0; i < CLIENTS_MAX; i++)
                n += s->clients[i] && s->clients[i]->health == health && s->clients[i]->uid == peer.uid;
        if (n >= CLIENTS_OF_ONE)
                return rs_fail(err, BUSY, "more than %u connections of uid %u", CLIENTS_OF_ONE, (unsigned) peer.uid);
        *ret_uid = peer.uid;
        return 0;
}

static int add_client(Server *s, int fd, bool health, RsError *err) {
        _cleanup_(closep) int owned = fd;
        _cleanup_(client_freep) Client *c = NULL;
        uid_t uid = (uid_t) -1;
        size_t at = 0;
        int flags, r;

        r = check_peer(s, owned, health, &uid, err);
        if (r < 0)
                return r;
        while (at < CLIENTS_MAX && s->clients[at])
                at++;
        if (at == CLIENTS_MAX)
                return rs_fail(err, BUSY, "more than %u connections", CLIENTS_MAX);
        flags = fcntl(owned, F_GETFL);
        if (flags < 0 || fcntl(owned, F_SETFL, flags | O_NONBLOCK) < 0)
                return rs_fail_errno(err, errno, "connection");
        c = calloc(1, sizeof(*c));
        if (!c)
                return rs_fail_oom(err);
        c->server = s;
        c->health = health;
        c->uid = uid;
        c->id = ++s->last_id;
        r = channel_new(TAKE_FD(owned), &c->channel, err);
        if (r < 0)
                return r;
        r = sd_event_add_io(s->spec.loop, &c->source, channel_fd(c->channel), EPOLLIN, on_client, c);
        if (r < 0)
                return rs_fail_errno(err, -r, "connection");
        s->clients[at] = TAKE_PTR(c);
        arm_idle(s);
        return 0;
}

static int on_connection(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Server *s = userdata;
        RsError err = RS_ERROR_INIT;
        int client;

        (void) revents;
        client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (client < 0)
                return 0; /* it went away, or there are no descriptors: the next one will be asked for again */
        if (add_client(s, client, source == s->health_source, &err) < 0)
                journal_say(LOG_WARNING, MESSAGE_WRITER_REFUSED, NULL, &err, "ignoring a connection");
        return 0;
}

static int on_idle(sd_event_source *source, uint64_t usec, void *userdata) {
        Server *s = userdata;

        (void) source;
        (void) usec;
        return sd_event_exit(s->spec.loop, EXIT_SUCCESS);
}

static int listen_on(Server *s, int fd, sd_event_source **ret) {
        int r = fd < 0 ? 0 : sd_event_add_io(s->spec.loop, ret, fd, EPOLLIN, on_connection, s);

        return fd < 0 || r < 0 ? r : sd_event_source_set_ratelimit(*ret, 1000000, CONNECTIONS_PER_SECOND);
}

static int start(Server *s, RsError *err) {
        int client = TAKE_FD(s->spec.client_fd);
        bool listens = s->spec.listen_fd >= 0 || s->spec.health_fd >= 0;
        int r;

        r = sd_event_add_io(s->spec.loop, &s->wake_source, s->spec.wake_fd, EPOLLIN, on_wake, s);
        if (r >= 0)
                r = listen_on(s, s->spec.listen_fd, &s->listen_source);
        if (r >= 0)
                r = listen_on(s, s->spec.health_fd, &s->health_source);
        if (r >= 0 && listens && s->spec.idle_exit_usec > 0)
                r = sd_event_add_time_relative(s->spec.loop, &s->idle_source, CLOCK_BOOTTIME,
                                               s->spec.idle_exit_usec, 0, on_idle, s);
        if (r < 0) {
                closep(&client);
                return rs_fail_errno(err, -r, "event loop");
        }
        return client >= 0 ? add_client(s, client, false, err) : 0;
}

int server_new(const ServerSpec *spec, Server **ret, RsError *err) {
        _cleanup_(server_freep) Server *s = NULL;
        int r;

        s = calloc(1, sizeof(*s));
        if (!s)
                return rs_fail_oom(err);
        s->spec = *spec;
        s->policy_fd = -EBADF;
        r = start(s, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}

Server *server_free(Server *s) {
        if (!s)
                return NULL;
        (void) sd_event_source_disable_unref(s->listen_source);
        (void) sd_event_source_disable_unref(s->health_source);
        (void) sd_event_source_disable_unref(s->wake_source);
        (void) sd_event_source_disable_unref(s->idle_source);
        for (size_t i = 0; i < CLIENTS_MAX; i++)
                s->clients[i] = client_free(s->clients[i]);
        closep(&s->spec.listen_fd);
        closep(&s->spec.health_fd);
        closep(&s->policy_fd);
        free(s);
        return NULL;
}
