/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * channel - one datagram is one message; the header and the descriptors are judged here, once.
 *
 * SOCK_SEQPACKET keeps the borders of messages, so a message that is cut, glued or longer than the buffer is
 * visible as such and no length in it is ever used to wait for more.  Three attacks end here: a datagram longer
 * than the buffer (MSG_TRUNC), more descriptors than one (the kernel would install them all and exhaust the table;
 * each that arrives is closed), and a length field that differs from what came.
 *
 * Descriptors are received close-on-exec.  A Channel never blocks by itself except where its fd does: programs
 * make the fd non-blocking and wait in their own loop.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/text.h>
#include <reseal/ipc/channel.h>

#define HEADER_SIZE 16u
#define FDS_MAX 8u /* room to receive, and close, more than the one that is permitted */
#define ERROR_SIZE (4u + 4u + 4u + 8u + 56u + 200u)

struct Channel {
        int fd;
        uint8_t buffer[HEADER_SIZE + IPC_PAYLOAD_MAX];
};

int channel_new(int fd, Channel **ret, RsError *err) {
        _cleanup_(closep) int owned = fd;
        int type = 0;
        socklen_t size = sizeof(type);
        Channel *c;

        if (getsockopt(owned, SOL_SOCKET, SO_TYPE, &type, &size) < 0)
                return rs_fail_errno(err, errno, "channel: not a socket");
        if (type != SOCK_SEQPACKET)
                return rs_fail(err, PROTOCOL, "channel: the socket does not keep message borders");
        c = calloc(1, sizeof(*c));
        if (!c)
                return rs_fail_oom(err);
        c->fd = TAKE_FD(owned);
        *ret = c;
        return 0;
}

Channel *channel_free(Channel *c) {
        if (!c)
                return NULL;
        closep(&c->fd);
        free(c);
        return NULL;
}

int channel_fd(const Channel *c) {
        return c->fd;
}

static void put_u32(uint8_t *at, uint32_t v) {
        at[0] = (uint8_t) (v >> 24);
        at[1] = (uint8_t) (v >> 16);
        at[2] = (uint8_t) (v >> 8);
        at[3] = (uint8_t) v;
}

static int is_gone(int errnum) {
        return errnum == EPIPE || errnum == ECONNRESET || errnum == ENOTCONN;
}

int channel_send(Channel *c, uint32_t type, uint32_t sequence, Span payload, int fd, RsError *err) {
        uint8_t header[HEADER_SIZE] = { 0 };
        union {
                struct cmsghdr align;
                uint8_t bytes[CMSG_SPACE(sizeof(int))];
        } control = { 0 };
        struct iovec parts[2] = {
                { .iov_base = header, .iov_len = sizeof(header) },
                { .iov_base = (void *) (uintptr_t) payload.data, .iov_len = payload.size },
        };
        struct msghdr message = { .msg_iov = parts, .msg_iovlen = payload.size > 0 ? 2 : 1 };
        ssize_t n;

        if (payload.size > IPC_PAYLOAD_MAX)
                return rs_fail(err, PROTOCOL, "message %u: payload of %zu bytes is too long", type, payload.size);
        put_u32(header, type);
        put_u32(header + 4, sequence);
        put_u32(header + 8, (uint32_t) payload.size);
        if (fd >= 0) {
                struct cmsghdr *cmsg;

                message.msg_control = &control;
                message.msg_controllen = sizeof(control.bytes);
                cmsg = CMSG_FIRSTHDR(&message);
                cmsg->cmsg_level = SOL_SOCKET;
                cmsg->cmsg_type = SCM_RIGHTS;
                cmsg->cmsg_len = CMSG_LEN(sizeof(int));
                memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
        }
        do
                n = sendmsg(c->fd, &message, MSG_NOSIGNAL);
        while (n < 0 && errno == EINTR);
        if (n < 0 && is_gone(errno))
                return rs_fail(err, WRITER_GONE, "message %u: the peer closed the connection", type);
        if (n < 0)
                return rs_fail_errno(err, errno, "message %u: send", type);
        return 0;
}

/* Takes the first descriptor, closes all others; returns how many came. */
static size_t take_descriptors(struct msghdr *message, int *ret_fd) {
        size_t n_fds = 0;

        for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(message); cmsg; cmsg = CMSG_NXTHDR(message, cmsg)) {
                size_t n;

                if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
                        continue;
                n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
                for (size_t i = 0; i < n; i++) {
                        int fd;

                        memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(int), sizeof(fd));
                        if (n_fds++ == 0)
                                *ret_fd = fd;
                        else
                                closep(&fd);
                }
        }
        return n_fds;
}

static int check_message(Channel *c, size_t size, int flags, size_t n_fds, Message *ret, RsError *err) {
        Reader r = READER(SPAN(c->buffer, size));
        uint32_t length;

        if (flags & (MSG_TRUNC | MSG_CTRUNC))
                return rs_fail(err, PROTOCOL, "message longer than its limit or with too many descriptors");
        if (n_fds > 1)
                return rs_fail(err, PROTOCOL, "message with %zu descriptors", n_fds);
        ret->type = reader_u32(&r);
        ret->sequence = reader_u32(&r);
        length = reader_u32(&r);
        reader_zeros(&r, 4);
        if (length > IPC_PAYLOAD_MAX)
                return rs_fail(err, PROTOCOL, "message claims a payload of %u bytes", length);
        ret->payload = reader_span(&r, length);
        if (reader_finish(&r) < 0)
                return rs_fail(err, PROTOCOL, "message of %zu bytes has no well-formed header", size);
        return 0;
}

int channel_receive(Channel *c, Message *ret, RsError *err) {
        union {
                struct cmsghdr align;
                uint8_t bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
        } control;
        struct iovec part = { .iov_base = c->buffer, .iov_len = sizeof(c->buffer) };
        struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control,
                                  .msg_controllen = sizeof(control.bytes) };
        _cleanup_(closep) int fd = -EBADF;
        Message m = { .fd = -EBADF };
        ssize_t n;
        int r;

        do
                n = recvmsg(c->fd, &message, MSG_CMSG_CLOEXEC);
        while (n < 0 && errno == EINTR);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
                return 0;
        if (n == 0 || (n < 0 && is_gone(errno)))
                return rs_fail(err, WRITER_GONE, "the peer closed the connection");
        if (n < 0)
                return rs_fail_errno(err, errno, "receive");
        r = check_message(c, (size_t) n, message.msg_flags, take_descriptors(&message, &fd), &m, err);
        if (r < 0)
                return r;
        m.fd = TAKE_FD(fd);
        *ret = m;
        return 1;
}

static void encode_text(Encoder *e, const char *text, size_t size) {
        size_t length = strnlen(text, size);

        encoder_bytes(e, text, length);
        encoder_zeros(e, size - length);
}

void channel_encode_error(Encoder *e, const RsError *error) {
        encoder_u32(e, (uint32_t) error->reason);
        encoder_u32(e, (uint32_t) error->errnum);
        encoder_u32(e, error->tss_rc);
        encoder_u64(e, error->ssl_error);
        encode_text(e, error->origin, sizeof(error->origin));
        encode_text(e, error->text, sizeof(error->text));
}

/* A text from the other process goes to logs and terminals like any foreign text: made printable on the way in. */
static void decode_text(Reader *r, char *ret, size_t size) {
        Span text = reader_span(r, size);
        const uint8_t *end = text.data ? memchr(text.data, 0, text.size) : NULL;

        text_printable(SPAN(text.data, end ? (size_t) (end - text.data) : text.size), ret, size);
}

int channel_decode_error(Span payload, RsError *ret, RsError *err) {
        Reader r = READER(payload);
        RsError error = RS_ERROR_INIT;
        uint32_t reason, errnum;

        if (payload.size != ERROR_SIZE)
                return rs_fail(err, PROTOCOL, "failure message of %zu bytes", payload.size);
        reason = reader_u32(&r);
        errnum = reader_u32(&r);
        error.tss_rc = reader_u32(&r);
        error.ssl_error = reader_u64(&r);
        decode_text(&r, error.origin, sizeof(error.origin));
        decode_text(&r, error.text, sizeof(error.text));
        if (reader_finish(&r) < 0 || reason == RS_REASON_NONE || reason >= _RS_REASON_MAX)
                return rs_fail(err, PROTOCOL, "failure message with unknown reason %u", reason);
        if (errnum == 0 || errnum > 4095) /* the kernel's own range of errno */
                return rs_fail(err, PROTOCOL, "failure message with errno %u", errnum);
        error.reason = (RsReason) reason;
        error.errnum = (int) errnum;
        *ret = error;
        return 0;
}
