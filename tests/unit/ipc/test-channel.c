/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One datagram, one message (S20, T26): whatever does not fit the header is refused, every stray descriptor is
 * closed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include <reseal/base/cleanup.h>
#include <reseal/ipc/channel.h>

typedef struct Pair {
        Channel *a;
        int raw; /* the other end, for datagrams that no Channel sends */
} Pair;

static int setup(void **state) {
        RsError err = RS_ERROR_INIT;
        Pair *p = calloc(1, sizeof(*p));
        int fds[2];

        if (!p || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
                return -1;
        if (fcntl(fds[0], F_SETFL, O_NONBLOCK) < 0 || channel_new(fds[0], &p->a, &err) < 0)
                return -1;
        p->raw = fds[1];
        *state = p;
        return 0;
}

static int teardown(void **state) {
        Pair *p = *state;

        (void) channel_free(p->a);
        closep(&p->raw);
        free(p);
        return 0;
}

static size_t count_fds(void) {
        DIR *d = opendir("/proc/self/fd");
        size_t n = 0;

        while (readdir(d))
                n++;
        (void) closedir(d);
        return n;
}

static void send_raw(const Pair *p, const void *bytes, size_t size, const int *fds, size_t n_fds) {
        uint8_t control[CMSG_SPACE(16 * sizeof(int))] __attribute__((aligned(8))) = { 0 };
        struct iovec part = { .iov_base = (void *) (uintptr_t) bytes, .iov_len = size };
        struct msghdr m = { .msg_iov = &part, .msg_iovlen = 1 };

        if (n_fds > 0) {
                struct cmsghdr *c;

                m.msg_control = control;
                m.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
                c = CMSG_FIRSTHDR(&m);
                c->cmsg_level = SOL_SOCKET;
                c->cmsg_type = SCM_RIGHTS;
                c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
                memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
        }
        assert_int_equal(sendmsg(p->raw, &m, MSG_NOSIGNAL), size);
}

static void assert_refused(Pair *p) {
        RsError err = RS_ERROR_INIT;
        Message m;

        assert_true(channel_receive(p->a, &m, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_PROTOCOL);
}

static void a_message_with_a_descriptor_arrives_as_it_was_sent(void **state) {
        Pair *p = *state;
        RsError err = RS_ERROR_INIT;
        _cleanup_(channel_freep) Channel *b = NULL;
        int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        Message m;

        assert_int_equal(channel_new(dup(p->raw), &b, &err), 0);
        assert_int_equal(channel_send(b, 8, 77, SPAN("abc", 3), fd, &err), 0);
        closep(&fd);
        assert_int_equal(channel_receive(p->a, &m, &err), 1);
        assert_int_equal(m.type, 8);
        assert_int_equal(m.sequence, 77);
        assert_true(span_equal(m.payload, SPAN("abc", 3)));
        assert_true(m.fd >= 0);
        assert_int_equal(fcntl(m.fd, F_GETFD), FD_CLOEXEC);
        closep(&m.fd);
}

static void the_longest_payload_passes_and_one_byte_more_does_not(void **state) {
        Pair *p = *state;
        RsError err = RS_ERROR_INIT;
        _cleanup_(channel_freep) Channel *b = NULL;
        _cleanup_(freep) uint8_t *payload = calloc(1, IPC_PAYLOAD_MAX + 17);
        Message m;

        assert_int_equal(channel_new(dup(p->raw), &b, &err), 0);
        assert_int_equal(channel_send(b, 2, 1, SPAN(payload, IPC_PAYLOAD_MAX), -EBADF, &err), 0);
        assert_int_equal(channel_receive(p->a, &m, &err), 1);
        assert_int_equal(m.payload.size, IPC_PAYLOAD_MAX);
        assert_true(channel_send(b, 2, 1, SPAN(payload, IPC_PAYLOAD_MAX + 1), -EBADF, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_PROTOCOL);
        send_raw(p, payload, 16 + IPC_PAYLOAD_MAX + 1, NULL, 0);
        assert_refused(p);
}

static void nothing_there_is_not_a_failure(void **state) {
        Pair *p = *state;
        RsError err = RS_ERROR_INIT;
        Message m;

        assert_int_equal(channel_receive(p->a, &m, &err), 0);
        assert_int_equal(err.reason, RS_REASON_NONE);
}

static void the_end_of_the_connection_has_its_own_reason(void **state) {
        Pair *p = *state;
        RsError err = RS_ERROR_INIT;
        Message m;

        closep(&p->raw);
        p->raw = -EBADF;
        assert_true(channel_receive(p->a, &m, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_WRITER_GONE);
        err = RS_ERROR_INIT;
        assert_true(channel_send(p->a, 2, 1, SPAN_NULL, -EBADF, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_WRITER_GONE);
}

static void headers_that_lie_are_refused(void **state) {
        static const uint8_t bad[][20] = {
                { 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, 0, 1, 2, 3, 4 },    /* shorter than it came */
                { 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0, 0, 1, 2, 3, 4 },    /* longer */
                { 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 1, 1, 2, 3, 4 },    /* reserved field */
                { 0, 0, 0, 2, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 1, 2, 3, 4 },
        };
        Pair *p = *state;

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                send_raw(p, bad[i], sizeof(bad[i]), NULL, 0);
                assert_refused(p);
        }
        for (size_t size = 1; size < 16; size++) {
                send_raw(p, bad[0], size, NULL, 0);
                assert_refused(p);
        }
}

static void more_than_one_descriptor_is_refused_and_none_stays_open(void **state) {
        static const uint8_t header[16] = { 0, 0, 0, 10, 0, 0, 0, 1 };
        Pair *p = *state;
        int fds[12];
        size_t before = count_fds();

        for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                fds[i] = p->raw;
        send_raw(p, header, sizeof(header), fds, 2);
        assert_refused(p);
        send_raw(p, header, sizeof(header), fds, 12);
        assert_refused(p);
        assert_int_equal(count_fds(), before);
}

static void a_stream_socket_is_refused(void **state) {
        RsError err = RS_ERROR_INIT;
        Channel *c = NULL;
        int fds[2];

        (void) state;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        assert_true(channel_new(fds[0], &c, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_PROTOCOL);
        closep(&fds[1]);
        err = RS_ERROR_INIT;
        assert_true(channel_new(open("/dev/null", O_RDONLY | O_CLOEXEC), &c, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_IO);
}

static void an_error_crosses_the_socket_field_by_field(void **state) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        RsError sent = RS_ERROR_INIT, got, err = RS_ERROR_INIT;

        (void) state;
        (void) rs_fail(&sent, CHUNK_DIGEST, "frame %d", 7);
        sent.tss_rc = 0x12f;
        sent.ssl_error = 0x0a000086;
        channel_encode_error(&e, &sent);
        assert_int_equal(channel_decode_error(SPAN(e.data, e.size), &got, &err), 0);
        assert_int_equal(got.reason, sent.reason);
        assert_int_equal(got.errnum, sent.errnum);
        assert_int_equal(got.tss_rc, sent.tss_rc);
        assert_true(got.ssl_error == sent.ssl_error);
        assert_string_equal(got.origin, sent.origin);
        assert_string_equal(got.text, "frame 7");
}

static void an_error_with_an_unknown_reason_or_errno_is_refused(void **state) {
        (void) state;
        for (int k = 0; k < 4; k++) {
                _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
                RsError sent = RS_ERROR_INIT, got, err = RS_ERROR_INIT;

                (void) rs_fail(&sent, IO, "x");
                if (k == 0)
                        sent.reason = _RS_REASON_MAX;
                else if (k == 1)
                        sent.reason = RS_REASON_NONE;
                else if (k == 2)
                        sent.errnum = 0;
                else
                        sent.errnum = -5;
                channel_encode_error(&e, &sent);
                assert_true(channel_decode_error(SPAN(e.data, e.size), &got, &err) < 0);
                assert_int_equal(err.reason, RS_REASON_PROTOCOL);
                err = RS_ERROR_INIT;
                assert_true(channel_decode_error(SPAN(e.data, e.size - 1), &got, &err) < 0);
        }
}

static void control_bytes_in_a_foreign_error_text_are_escaped(void **state) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        RsError sent = RS_ERROR_INIT, got, err = RS_ERROR_INIT;

        (void) state;
        (void) rs_fail(&sent, IO, "x");
        memcpy(sent.text, "a\033[2J\nb", 8);
        channel_encode_error(&e, &sent);
        assert_int_equal(channel_decode_error(SPAN(e.data, e.size), &got, &err), 0);
        assert_null(strpbrk(got.text, "\033\n"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(a_message_with_a_descriptor_arrives_as_it_was_sent, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(the_longest_payload_passes_and_one_byte_more_does_not, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(nothing_there_is_not_a_failure, setup, teardown),
                cmocka_unit_test_setup_teardown(the_end_of_the_connection_has_its_own_reason, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(headers_that_lie_are_refused, setup, teardown),
                cmocka_unit_test_setup_teardown(more_than_one_descriptor_is_refused_and_none_stays_open,
                                                setup, teardown),
                cmocka_unit_test(a_stream_socket_is_refused),
                cmocka_unit_test(an_error_crosses_the_socket_field_by_field),
                cmocka_unit_test(an_error_with_an_unknown_reason_or_errno_is_refused),
                cmocka_unit_test(control_bytes_in_a_foreign_error_text_are_escaped),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
