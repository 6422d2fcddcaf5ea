/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * writer-client - reseald's end of the writer's socket.
 *
 * Answers come in the order of requests, so one queue of what is unanswered is all the state there is: the oldest
 * entry
 * says what the next answer must be.  A call that was cancelled leaves its entry in the queue; whoever waits next
 * takes that answer first and drops it.  What must hold:
 *   - a slot of the ring is given out only after the answer to the frame that lay in it (the writer may still read);
 *   - at most WRITER_FRAMES_OUTSTANDING_MAX frames are unanswered, and nothing but ABORT overtakes an answer;
 *   - after a broken connection or a malformed answer every call fails at once with that first cause.
 *
 * What the writer answers without work of its own has a deadline, and so has ABORT: a writer that hangs (a dead medium,
 * say) must not hold a status call or a cancelled job for ever.  The rest may take as long as the medium does, and is
 * woken by the cancel descriptor.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/clock.h>
#include <reseal/ipc/channel.h>
#include <reseal/ipc/memfd.h>
#include <reseal/ipc/writer-client.h>

/* Frames, one call that was cancelled, one ABORT. */
#define OUTSTANDING_MAX (WRITER_FRAMES_OUTSTANDING_MAX + 4u)

#define PATIENCE_USEC (120 * UINT64_C(1000000)) /* more than a start of the writer and the flush of a window take */
#define FOREVER UINT64_MAX

typedef struct Outstanding {
        uint32_t type;
        uint32_t sequence;
        WriterFrame frame;
} Outstanding;

struct WriterClient {
        Channel *channel;
        Ring *ring;
        WriterHello hello;
        int cancel_fd;
        uint64_t patience_usec;
        WriterOnProgress on_progress;
        void *userdata;
        uint32_t sequence;
        Outstanding queue[OUTSTANDING_MAX];
        uint32_t n_queue;
        bool ring_busy[RING_SLOTS];
        RsError frame_error;     /* first FAIL to a frame of this installation */
        RsError broken;          /* the connection is of no use any more */
};

/* Keeps the first cause and hands a copy of it to the caller. */
static int break_connection(WriterClient *c, const RsError *cause, RsError *err) {
        if (c->broken.reason == RS_REASON_NONE)
                c->broken = *cause;
        return rs_pass(err, &c->broken);
}

static int check_usable(WriterClient *c, RsError *err) {
        if (c->broken.reason == RS_REASON_NONE)
                return 0;
        return break_connection(c, &c->broken, err);
}

static uint64_t until_of(const WriterClient *c, uint32_t type) {
        switch (type) {
        case WRITER_HELLO:
        case WRITER_SLOTS:
        case WRITER_STATE:
        case WRITER_ABORT:
        case WRITER_MARK:
        case WRITER_REJECT:
                return clock_boottime_usec() + c->patience_usec;
        default:
                return FOREVER;
        }
}

static int fail_patience(WriterClient *c, RsError *err) {
        RsError late = RS_ERROR_INIT;

        (void) rs_fail(&late, WRITER_GONE, "writer: no answer within %llu seconds",
                       (unsigned long long) (c->patience_usec / 1000000));
        return break_connection(c, &late, err);
}

/* Waits until the socket is ready for `events`; wake = look at the cancel descriptor as well. */
static int wait_socket(WriterClient *c, short events, bool wake, uint64_t until, RsError *err) {
        struct pollfd fds[2] = { { .fd = channel_fd(c->channel), .events = events },
                                 { .fd = wake ? c->cancel_fd : -1, .events = POLLIN } };

        for (;;) {
                uint64_t now = until == FOREVER ? 0 : clock_boottime_usec();
                int ms = until == FOREVER ? -1 : now >= until ? 0 : (int) ((until - now) / 1000 + 1);
                int n = poll(fds, 2, ms);

                if (n < 0) {
                        if (errno == EINTR)
                                continue;
                        return rs_fail_errno(err, errno, "writer: poll");
                }
                if (n == 0)
                        return fail_patience(c, err);
                if (fds[1].revents != 0)
                        return rs_fail(err, CANCELLED, "cancelled while waiting for the writer");
                if (fds[0].revents != 0)
                        return 0;
        }
}

/* An answer to a frame frees its slot, whatever it says. */
static int take_frame_answer(WriterClient *c, const Outstanding *o, const Message *m, RsError *err) {
        uint32_t image, frame;
        RsError failure;
        int r;

        if (o->frame.ring_slot != WRITER_NO_RING_SLOT)
                c->ring_busy[o->frame.ring_slot] = false;
        if (m->type == WRITER_FAIL) {
                r = channel_decode_error(m->payload, &failure, err);
                if (r < 0)
                        return r;
                if (c->frame_error.reason == RS_REASON_NONE)
                        c->frame_error = failure;
                return 0;
        }
        r = writer_decode_frame(m->payload, &image, &frame, err);
        if (r < 0)
                return r;
        if (image != o->frame.image || frame != o->frame.frame)
                return rs_fail(err, PROTOCOL, "answer for frame %u of image %u, expected %u of %u", frame, image,
                               o->frame.frame, o->frame.image);
        return 0;
}

static int on_event(WriterClient *c, const Message *m, RsError *err) {
        WriterProgress progress;
        int r;

        if (m->type != WRITER_EVENT_PROGRESS || m->fd >= 0)
                return rs_fail(err, PROTOCOL, "unknown event %#x", m->type);
        r = writer_decode_progress(m->payload, &progress, err);
        if (r < 0)
                return r;
        if (c->on_progress)
                c->on_progress(c->userdata, &progress);
        return 0;
}

static bool answer_has_fd(uint32_t type) {
        return type == WRITER_RING + 1 || type == WRITER_ANCHORS + 1 || type == WRITER_POLICY + 1;
}

/*
 * Receives one message.  1 = it answers the request `sequence` (in *ret), 2 = it answered something older or was an
 * event,
 * 0 = nothing there.  A failure here is one of the connection.
 */
static int receive_one(WriterClient *c, uint32_t sequence, Message *ret, RsError *err) {
        Message m = { .fd = -EBADF };
        _cleanup_(closep) int fd = -EBADF;
        Outstanding o;
        int r;

        r = channel_receive(c->channel, &m, err);
        if (r <= 0)
                return r;
        fd = m.fd;
        if (m.type >= 0x101 && m.sequence == 0) {
                r = on_event(c, &m, err);
                return r < 0 ? r : 2;
        }
        if (c->n_queue == 0 || m.sequence != c->queue[0].sequence ||
            (m.type != WRITER_FAIL && m.type != c->queue[0].type + 1))
                return rs_fail(err, PROTOCOL, "answer of type %u, number %u was not asked for", m.type, m.sequence);
        o = c->queue[0];
        c->n_queue--;
        memmove(c->queue, c->queue + 1, c->n_queue * sizeof(c->queue[0]));
        if (fd >= 0 && (!answer_has_fd(m.type) || o.sequence != sequence))
                return rs_fail(err, PROTOCOL, "answer of type %u with a descriptor", m.type);
        if (o.type == WRITER_FRAME) {
                r = take_frame_answer(c, &o, &m, err);
                return r < 0 ? r : 2;
        }
        if (o.sequence != sequence)
                return 2;
        m.fd = TAKE_FD(fd);
        *ret = m;
        return 1;
}

static int receive(WriterClient *c, uint32_t sequence, Message *ret, RsError *err) {
        RsError failure = RS_ERROR_INIT;
        int r;

        r = receive_one(c, sequence, ret, &failure);
        return r < 0 ? break_connection(c, &failure, err) : r;
}

static int send_request(WriterClient *c, uint32_t type, Span payload, int fd, const WriterFrame *frame, bool wake,
                        uint64_t until, uint32_t *ret_sequence, RsError *err) {
        RsError failure = RS_ERROR_INIT;
        int r;

        r = check_usable(c, err);
        if (r < 0)
                return r;
        if (c->n_queue == OUTSTANDING_MAX)
                return rs_fail(err, STATE, "writer: too many unanswered requests");
        r = wait_socket(c, POLLOUT, wake, until, err);
        if (r < 0)
                return r;
        if (++c->sequence == 0) /* 0 is for events */
                c->sequence = 1;
        r = channel_send(c->channel, type, c->sequence, payload, fd, &failure);
        if (r < 0)
                return break_connection(c, &failure, err);
        c->queue[c->n_queue++] = (Outstanding){ .type = type, .sequence = c->sequence,
                                                .frame = frame ? *frame : (WriterFrame){ 0 } };
        *ret_sequence = c->sequence;
        return 0;
}

static int wait_answer(WriterClient *c, uint32_t sequence, bool wake, uint64_t until, Message *ret, RsError *err) {
        RsError failure = RS_ERROR_INIT;
        int r;

        *ret = (Message){ .fd = -EBADF };
        for (;;) {
                r = wait_socket(c, POLLIN, wake, until, err);
                if (r < 0)
                        return r;
                r = receive(c, sequence, ret, err);
                if (r < 0)
                        return r;
                if (r == 1)
                        break;
        }
        if (ret->type != WRITER_FAIL)
                return 0;
        r = channel_decode_error(ret->payload, &failure, err);
        if (r < 0)
                return break_connection(c, err, err);
        return rs_pass(err, &failure);
}

/* Until at most `n` requests are unanswered. */
static int wait_outstanding(WriterClient *c, uint32_t n, bool wake, uint64_t until, RsError *err) {
        Message unused;
        int r;

        while (c->n_queue > n) {
                r = wait_socket(c, POLLIN, wake, until, err);
                if (r < 0)
                        return r;
                r = receive(c, 0, &unused, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int call_fd(WriterClient *c, uint32_t type, Encoder *request, int fd, Message *ret, RsError *err) {
        bool wake = type != WRITER_ABORT;
        uint64_t until = until_of(c, type);
        uint32_t sequence;
        int r;

        if (encoder_finish(request) < 0)
                return rs_fail_oom(err);
        r = check_usable(c, err);
        if (r < 0)
                return r;
        if (type != WRITER_ABORT) { /* only ABORT may be sent behind unanswered requests */
                r = wait_outstanding(c, 0, wake, until, err);
                if (r < 0)
                        return r;
        }
        r = send_request(c, type, SPAN(request->data, request->size), fd, NULL, wake, until, &sequence, err);
        if (r < 0)
                return r;
        return wait_answer(c, sequence, wake, until, ret, err);
}

static int call(WriterClient *c, uint32_t type, Encoder *request, Message *ret, RsError *err) {
        return call_fd(c, type, request, -EBADF, ret, err);
}

/* An answer that cannot be parsed means the two sides disagree about the protocol: no further use. */
static int judge(WriterClient *c, int r, RsError *err) {
        return r < 0 ? break_connection(c, err, err) : 0;
}

/* -- connection ------------------------------------------------------------------------------------------------- */

static int call_hello(WriterClient *c, RsError *err) {
        _cleanup_(encoder_done) Encoder request = ENCODER_INIT;
        Message answer;
        int r;

        writer_encode_hello_request(&request, RS_VERSION);
        r = call(c, WRITER_HELLO, &request, &answer, err);
        if (r < 0)
                return r;
        r = judge(c, writer_decode_hello(answer.payload, &c->hello, err), err);
        if (r < 0)
                return r;
        if (strcmp(c->hello.version, RS_VERSION) != 0)
                return rs_fail(err, PROTOCOL, "the writer is of version %s", c->hello.version);
        return 0;
}

static int from_fd(int fd, int cancel_fd, WriterClient **ret, RsError *err) {
        _cleanup_(closep) int owned = fd;
        _cleanup_(writer_client_freep) WriterClient *c = NULL;
        int flags, r;

        flags = fcntl(owned, F_GETFL);
        if (flags < 0 || fcntl(owned, F_SETFL, flags | O_NONBLOCK) < 0)
                return rs_fail_errno(err, errno, "writer: socket");
        c = calloc(1, sizeof(*c));
        if (!c)
                return rs_fail_oom(err);
        c->cancel_fd = cancel_fd >= 0 ? cancel_fd : -EBADF;
        c->patience_usec = PATIENCE_USEC;
        r = channel_new(TAKE_FD(owned), &c->channel, err);
        if (r < 0)
                return r;
        r = call_hello(c, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(c);
        return 0;
}

int writer_client_from_fd(int fd, WriterClient **ret, RsError *err) {
        return from_fd(fd, -EBADF, ret, err);
}

int writer_client_connect_cancel(const char *socket_path, int cancel_fd, WriterClient **ret, RsError *err) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_(closep) int fd = -EBADF;
        size_t length = strlen(socket_path);

        if (length == 0 || length >= sizeof(address.sun_path))
                return rs_fail(err, CONFIG, "writer: socket path has %zu characters", length);
        memcpy(address.sun_path, socket_path, length + 1);
        fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return rs_fail_errno(err, errno, "writer: socket");
        if (connect(fd, (const struct sockaddr *) &address, sizeof(address)) < 0)
                return rs_fail(err, WRITER_GONE, "writer: %s: %s", socket_path, strerror(errno));
        return from_fd(TAKE_FD(fd), cancel_fd, ret, err);
}

int writer_client_connect(const char *socket_path, WriterClient **ret, RsError *err) {
        return writer_client_connect_cancel(socket_path, -EBADF, ret, err);
}

WriterClient *writer_client_free(WriterClient *c) {
        if (!c)
                return NULL;
        (void) ring_free(c->ring);
        (void) channel_free(c->channel);
        free(c);
        return NULL;
}

void writer_client_on_progress(WriterClient *c, WriterOnProgress fn, void *userdata) {
        c->on_progress = fn;
        c->userdata = userdata;
}

void writer_client_set_cancel_fd(WriterClient *c, int cancel_fd) {
        c->cancel_fd = cancel_fd >= 0 ? cancel_fd : -EBADF;
}

void writer_client_set_patience(WriterClient *c, uint64_t usec) {
        c->patience_usec = usec;
}

const char *writer_client_line(const WriterClient *c) {
        return c->hello.line;
}

bool writer_client_require_encryption(const WriterClient *c) {
        return c->hello.require_encryption;
}

/* -- requests --------------------------------------------------------------------------------------------------- */

int writer_call_slots(WriterClient *c, WriterSlotInfo *ret, uint32_t max, uint32_t *ret_n, RsError *err) {
        _cleanup_(encoder_done) Encoder request = ENCODER_INIT;
        Message answer;
        int r;

        r = call(c, WRITER_SLOTS, &request, &answer, err);
        if (r < 0)
                return r;
        return judge(c, writer_decode_slots(answer.payload, ret, max, ret_n, err), err);
}

int writer_call_state(WriterClient *c, WriterState *ret, RsError *err) {
        _cleanup_(encoder_done) Encoder request = ENCODER_INIT;
        Message answer;
        int r;

        r = call(c, WRITER_STATE, &request, &answer, err);
        if (r < 0)
                return r;
        return judge(c, writer_decode_state(answer.payload, ret, err), err);
}

int writer_call_offer(WriterClient *c, Span manifest_cms, WriterOffer *ret, RsError *err) {
        _cleanup_(encoder_done) Encoder request = ENCODER_INIT;
        Message answer;
        int r;

        if (manifest_cms.size == 0 || manifest_cms.size > RS_MANIFEST_CMS_MAX)
                return rs_fail(err, MANIFEST, "signed manifest of %zu bytes", manifest_cms.size);
        writer_encode_offer_request(&request, manifest_cms);
        c->frame_error = RS_ERROR_INIT;
        r = call(c, WRITER_OFFER, &request, &answer, err);
        if (r < 0)
                return r;
        return judge(c, writer_decode_offer(answer.payload, ret, err), err);
}

int writer_call_table(WriterClient *c, uint32_t image, Span table, uint32_t *ret_next, WriterRange *ret_ranges,
                      uint32_t *ret_n, RsError *err) {
        _cleanup_(encoder_done) Encoder request = ENCODER_INIT;
        _cleanup_(closep) int fd = -EBADF;
        Message answer;
        int r;

        if (table.size == 0 || table.size > RS_TABLE_SIZE_MAX)
                return rs_fail(err, TABLE, "table of %zu bytes", table.size);
        r = memfd_sealed("reseal-table", table, &fd, err);
        if (r < 0)
                return r;
        writer_encode_table_request(&request, image, (uint32_t) table.size);
        r = call_fd(c, WRITER_TABLE, &request, fd, &answer, err);
        if (r < 0)
                return r;
        return judge(c, writer_decode_ranges(answer.payload, ret_next, ret_ranges, WRITER_RANGES_MAX, ret_n, err),
                     err);
}

int writer_call_time(WriterClient *c, WriterTime *ret, RsError *err) {
        _cleanup_(encoder_done) Encoder request = ENCODER_INIT;
        Message answer;
        int r;

        r = call(c, WRITER_TIME, &request, &answer, err);
        return r < 0 ? r : judge(c, writer_decode_time(answer.payload, ret, err), err);
}

int writer_call_evidence(WriterClient *c, WriterEvidence kind, Span bytes, bool *ret_changed, RsError *err) {
        _cleanup_(encoder_done) Encoder request = ENCODER_INIT;
        _cleanup_(closep) int fd = -EBADF;
        Message answer;
        int r;

        if (bytes.size == 0 || bytes.size > WRITER_EVIDENCE_MAX)
                return rs_fail(err, TOO_MUCH, "evidence of %zu bytes", bytes.size);
        r = memfd_sealed("reseal-evidence", bytes, &fd, err);
        if (r < 0)
                return r;
        writer_encode_evidence_request(&request, kind, (uint32_t) bytes.size);
        r = call_fd(c, WRITER_EVIDENCE, &request, fd, &answer, err);
        return r < 0 ? r : judge(c, writer_decode_evidence(answer.payload, ret_changed, err), err);
}

int writer_call_trust(WriterClient *c, WriterTrust *ret, RsError *err) {
        _cleanup_(encoder_done) Encoder request = ENCODER_INIT;
        Message answer;
        int r;

        r = call(c, WRITER_TRUST, &request, &answer, err);
        return r < 0 ? r : judge(c, writer_decode_trust(answer.payload, ret, err), err);
}

/* A question whose answer is a size, and a descriptor that holds so many bytes, or 0 and none. */
static int call_beside(WriterClient *c, WriterMessage type, const char *name,
                       int (*decode)(Span, uint32_t *, RsError *), uint8_t **ret, uint32_t *ret_size, RsError *err) {
        _cleanup_(encoder_done) Encoder request = ENCODER_INIT;
        _cleanup_(closep) int fd = -EBADF;
        uint32_t size = 0;
        Message answer;
        int r;

        r = call(c, type, &request, &answer, err);
        if (r < 0)
                return r;
        fd = answer.fd;
        r = decode(answer.payload, &size, err);
        if (r >= 0 && (size > 0) != (fd >= 0))
                r = rs_fail(err, PROTOCOL, "answer to %s: %u bytes, and %s descriptor", name, size,
                            fd >= 0 ? "a" : "no");
        if (r >= 0 && size > 0)
                r = memfd_read(fd, size, ret, err);
        if (r >= 0)
                *ret_size = size;
        return judge(c, r, err);
}

int writer_call_policy(WriterClient *c, ConfigNotes *ret, RsError *err) {
        _cleanup_(freep) uint8_t *bytes = NULL;
        uint32_t size;
        int r;

        r = call_beside(c, WRITER_POLICY, "POLICY", writer_decode_policy, &bytes, &size, err);
        return r < 0 ? r : judge(c, writer_decode_notes(SPAN(bytes, size), ret, err), err);
}

int writer_call_anchors(WriterClient *c, uint8_t **ret, size_t *ret_size, RsError *err) {
        _cleanup_(freep) uint8_t *set = NULL;
        uint32_t size;
        int r;

        r = call_beside(c, WRITER_ANCHORS, "ANCHORS", writer_decode_anchors, &set, &size, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(set);
        *ret_size = size;
        return 0;
}

int writer_call_ring(WriterClient *c, Ring **ret, RsError *err) {
        _cleanup_(encoder_done) Encoder request = ENCODER_INIT;
        _cleanup_(ring_freep) Ring *ring = NULL;
        Message answer;
        int r;

        r = call(c, WRITER_RING, &request, &answer, err);
        if (r < 0)
                return r;
        if (answer.fd < 0) {
                (void) rs_fail(err, PROTOCOL, "answer to RING without a descriptor");
                return break_connection(c, err, err);
        }
        r = ring_attach(answer.fd, &ring, err);
        if (r < 0)
                return break_connection(c, err, err);
        r = judge(c, writer_decode_ring(answer.payload, err), err);
        if (r < 0)
                return r;
        c->ring = ring_free(c->ring);
        memset(c->ring_busy, 0, sizeof(c->ring_busy));
        c->ring = TAKE_PTR(ring);
        *ret = c->ring;
        return 0;
}

int writer_take_slot(WriterClient *c, uint32_t *ret_slot, RsError *err) {
        Message unused;
        int r;

        for (;;) {
                r = check_usable(c, err);
                if (r < 0)
                        return r;
                if (c->frame_error.reason != RS_REASON_NONE)
                        return rs_pass(err, &c->frame_error);
                for (uint32_t i = 0; i < RING_SLOTS; i++) {
                        if (c->ring_busy[i])
                                continue;
                        *ret_slot = i;
                        return 0;
                }
                r = wait_socket(c, POLLIN, true, FOREVER, err);
                if (r < 0)
                        return r;
                r = receive(c, 0, &unused, err);
                if (r < 0)
                        return r;
        }
}

int writer_send_frame(WriterClient *c, uint32_t image, uint32_t frame, uint32_t ring_slot, uint32_t size,
                      RsError *err) {
        const WriterFrame f = { .image = image, .frame = frame, .ring_slot = ring_slot, .size = size };
        _cleanup_(encoder_done) Encoder request = ENCODER_INIT;
        uint32_t sequence;
        Message unused;
        int r;

        if (ring_slot != WRITER_NO_RING_SLOT && (ring_slot >= RING_SLOTS || c->ring_busy[ring_slot]))
                return rs_fail(err, STATE, "ring slot %u is not free", ring_slot);
        do { /* what has arrived meanwhile, without waiting */
                r = check_usable(c, err);
                if (r == 0)
                        r = receive(c, 0, &unused, err);
        } while (r > 0);
        if (r < 0)
                return r;
        r = wait_outstanding(c, WRITER_FRAMES_OUTSTANDING_MAX - 1, true, FOREVER, err);
        if (r < 0)
                return r;
        if (c->frame_error.reason != RS_REASON_NONE)
                return rs_pass(err, &c->frame_error);
        writer_encode_frame_request(&request, &f);
        if (encoder_finish(&request) < 0)
                return rs_fail_oom(err);
        r = send_request(c, WRITER_FRAME, SPAN(request.data, request.size), -EBADF, &f, true, FOREVER, &sequence, err);
        if (r < 0)
                return r;
        if (ring_slot != WRITER_NO_RING_SLOT)
                c->ring_busy[ring_slot] = true;
        return 0;
}

int writer_drain(WriterClient *c, RsError *err) {
        int r;

        r = check_usable(c, err);
        if (r < 0)
                return r;
        r = wait_outstanding(c, 0, true, FOREVER, err);
        if (r < 0)
                return r;
        return c->frame_error.reason != RS_REASON_NONE ? rs_pass(err, &c->frame_error) : 0;
}

int writer_call_finish(WriterClient *c, char ret_primary[33], RsError *err) {
        _cleanup_(encoder_done) Encoder request = ENCODER_INIT;
        Message answer;
        int r;

        r = writer_drain(c, err);
        if (r < 0)
                return r;
        r = call(c, WRITER_FINISH, &request, &answer, err);
        if (r < 0)
                return r;
        return judge(c, writer_decode_name(answer.payload, ret_primary, err), err);
}

/* Not woken by the cancel descriptor: after it returns, nothing of the installation is in flight any more. */
int writer_call_abort(WriterClient *c, RsError *err) {
        _cleanup_(encoder_done) Encoder request = ENCODER_INIT;
        Message answer;
        int r;

        r = call(c, WRITER_ABORT, &request, &answer, err);
        if (r < 0)
                return r;
        c->frame_error = RS_ERROR_INIT;
        if (answer.payload.size != 0)
                return judge(c, rs_fail(err, PROTOCOL, "answer to ABORT with a payload"), err);
        return 0;
}

int writer_call_mark(WriterClient *c, uint32_t what, const char *slot_name, char ret_name[33], RsError *err) {
        _cleanup_(encoder_done) Encoder request = ENCODER_INIT;
        Message answer;
        int r;

        if (strlen(slot_name) > WRITER_NAME_SIZE)
                return rs_fail(err, INVALID, "slot name is too long");
        writer_encode_mark_request(&request, what, slot_name);
        r = call(c, WRITER_MARK, &request, &answer, err);
        if (r < 0)
                return r;
        return judge(c, writer_decode_name(answer.payload, ret_name, err), err);
}

int writer_call_reject(WriterClient *c, const char *report, char ret_name[33], RsError *err) {
        _cleanup_(encoder_done) Encoder request = ENCODER_INIT;
        Message answer;
        int r;

        if (strlen(report) > WRITER_REPORT_SIZE)
                return rs_fail(err, INVALID, "the report is too long");
        writer_encode_reject_request(&request, report);
        r = call(c, WRITER_REJECT, &request, &answer, err);
        if (r < 0)
                return r;
        return judge(c, writer_decode_name(answer.payload, ret_name, err), err);
}
