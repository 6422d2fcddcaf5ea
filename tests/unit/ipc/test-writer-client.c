/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * reseald's end against a writer that is a thread of the test: order, pipelining, cancelling, and a writer that lies.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <reseal/base/cleanup.h>
#include <reseal/ipc/channel.h>
#include <reseal/ipc/memfd.h>
#include <reseal/ipc/writer-client.h>

/* What the writer of a test does after HELLO. */
typedef void (*Script)(Channel *c);

typedef struct Fake {
        Channel *channel;
        Script script;
        pthread_t thread;
} Fake;

static void expect(Channel *c, uint32_t type, Message *ret) {
        RsError err = RS_ERROR_INIT;

        assert_int_equal(channel_receive(c, ret, &err), 1);
        assert_int_equal(ret->type, type);
}

static void answer(Channel *c, uint32_t type, uint32_t sequence, const Encoder *e) {
        RsError err = RS_ERROR_INIT;

        (void) channel_send(c, type, sequence, e ? SPAN(e->data, e->size) : SPAN_NULL, -EBADF, &err);
}

static void answer_failure(Channel *c, uint32_t sequence, const char *text) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        RsError error = RS_ERROR_INIT;

        (void) rs_fail(&error, CHUNK_DIGEST, "%s", text);
        channel_encode_error(&e, &error);
        answer(c, WRITER_FAIL, sequence, &e);
}

static void *run_fake(void *userdata) {
        Fake *f = userdata;
        const WriterHello hello = { .version = RS_VERSION, .line = "gateway", .require_encryption = true };
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        Message m;

        expect(f->channel, WRITER_HELLO, &m);
        writer_encode_hello(&e, &hello);
        answer(f->channel, WRITER_HELLO + 1, m.sequence, &e);
        f->script(f->channel);
        f->channel = channel_free(f->channel);
        return NULL;
}

static WriterClient *start(Fake *f, Script script) {
        RsError err = RS_ERROR_INIT;
        WriterClient *c = NULL;
        int fds[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
        assert_int_equal(channel_new(fds[1], &f->channel, &err), 0);
        f->script = script;
        assert_int_equal(pthread_create(&f->thread, NULL, run_fake, f), 0);
        assert_int_equal(writer_client_from_fd(fds[0], &c, &err), 0);
        return c;
}

static void finish(Fake *f, WriterClient *c) {
        (void) writer_client_free(c);
        assert_int_equal(pthread_join(f->thread, NULL), 0);
}

static void answer_ring(Channel *c, Ring **ret) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        RsError err = RS_ERROR_INIT;
        Message m;

        expect(c, WRITER_RING, &m);
        assert_int_equal(ring_create(ret, &err), 0);
        writer_encode_ring(&e);
        assert_int_equal(channel_send(c, WRITER_RING + 1, m.sequence, SPAN(e.data, e.size), ring_fd(*ret), &err), 0);
}

static void answer_frame(Channel *c, const Message *m) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        RsError err = RS_ERROR_INIT;
        WriterFrame f;

        assert_int_equal(writer_decode_frame_request(m->payload, &f, &err), 0);
        writer_encode_frame(&e, f.image, f.frame);
        answer(c, WRITER_FRAME + 1, m->sequence, &e);
}

static void script_hello_only(Channel *c) {
        (void) c;
}

static void hello_tells_line_and_policy(void **state) {
        Fake f = { 0 };
        WriterClient *c = start(&f, script_hello_only);

        (void) state;
        assert_string_equal(writer_client_line(c), "gateway");
        assert_true(writer_client_require_encryption(c));
        finish(&f, c);
}

static void script_frames(Channel *c) {
        _cleanup_(ring_freep) Ring *ring = NULL;
        Message m;

        answer_ring(c, &ring);
        for (int i = 0; i < 20; i++) {
                expect(c, WRITER_FRAME, &m);
                answer_frame(c, &m);
        }
}

static void frames_are_pipelined_and_slots_come_back(void **state) {
        Fake f = { 0 };
        WriterClient *c = start(&f, script_frames);
        RsError err = RS_ERROR_INIT;
        Ring *ring;

        (void) state;
        assert_int_equal(writer_call_ring(c, &ring, &err), 0);
        for (uint32_t i = 0; i < 20; i++) {
                uint32_t slot = 99;

                assert_int_equal(writer_take_slot(c, &slot, &err), 0);
                assert_true(slot < RING_SLOTS);
                assert_int_equal(writer_send_frame(c, 0, i, slot, 4096, &err), 0);
                assert_true(writer_send_frame(c, 0, i, RING_SLOTS, 4096, &(RsError){ 0 }) < 0);
        }
        assert_int_equal(writer_drain(c, &err), 0);
        finish(&f, c);
}

/* Takes three frames, refuses the second: the third is refused as well, then ABORT is answered. */
static void script_refuse(Channel *c) {
        uint8_t payload[3][16];
        uint32_t sequence[3];
        Message m;

        for (int i = 0; i < 3; i++) { /* a payload is borrowed until the next receive */
                expect(c, WRITER_FRAME, &m);
                memcpy(payload[i], m.payload.data, sizeof(payload[i]));
                sequence[i] = m.sequence;
        }
        m.payload = SPAN_ARRAY(payload[0]);
        m.sequence = sequence[0];
        answer_frame(c, &m);
        answer_failure(c, sequence[1], "second");
        answer_failure(c, sequence[2], "third");
        expect(c, WRITER_ABORT, &m);
        answer(c, WRITER_ABORT + 1, m.sequence, NULL);
}

static void the_first_refused_frame_gives_the_reason_and_abort_clears_it(void **state) {
        Fake f = { 0 };
        WriterClient *c = start(&f, script_refuse);
        RsError err = RS_ERROR_INIT;
        char primary[33];

        (void) state;
        for (uint32_t i = 0; i < 3; i++)
                assert_int_equal(writer_send_frame(c, 0, i, WRITER_NO_RING_SLOT, 4096, &err), 0);
        assert_true(writer_call_finish(c, primary, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_CHUNK_DIGEST);
        assert_string_equal(err.text, "second");
        err = RS_ERROR_INIT;
        assert_true(writer_send_frame(c, 0, 3, WRITER_NO_RING_SLOT, 4096, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_CHUNK_DIGEST);
        err = RS_ERROR_INIT;
        assert_int_equal(writer_call_abort(c, &err), 0);
        assert_int_equal(writer_drain(c, &err), 0);
        finish(&f, c);
}

static int cancel_fd;

/* Cancels the caller once FINISH has come, answers FINISH only after ABORT has come. */
static void script_cancel(Channel *c) {
        const uint64_t one = 1;
        uint32_t sequence;
        Message m;

        expect(c, WRITER_FINISH, &m);
        sequence = m.sequence;
        assert_int_equal(write(cancel_fd, &one, sizeof(one)), sizeof(one));
        expect(c, WRITER_ABORT, &m);
        answer_failure(c, sequence, "cancelled");
        answer(c, WRITER_ABORT + 1, m.sequence, NULL);
}

static void a_waiting_call_is_woken_and_abort_takes_the_late_answer(void **state) {
        RsError err = RS_ERROR_INIT;
        Fake f = { 0 };
        char primary[33];
        WriterClient *c;

        (void) state;
        cancel_fd = eventfd(0, EFD_CLOEXEC);
        c = start(&f, script_cancel);
        writer_client_set_cancel_fd(c, cancel_fd);
        assert_true(writer_call_finish(c, primary, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_CANCELLED);
        err = RS_ERROR_INIT;
        assert_int_equal(writer_call_abort(c, &err), 0); /* although the cancel descriptor is still readable */
        finish(&f, c);
        closep(&cancel_fd);
}

/* Takes what comes and answers nothing, until the other end goes. */
static void script_silent(Channel *c) {
        RsError err = RS_ERROR_INIT;
        Message m;

        while (channel_receive(c, &m, &err) > 0)
                ;
}

static void a_writer_that_hangs_is_given_up_for_status_and_abort(void **state) {
        RsError err = RS_ERROR_INIT;
        WriterState unused;
        Fake f = { 0 };
        WriterClient *c;

        (void) state;
        c = start(&f, script_silent);
        writer_client_set_patience(c, 50000);
        assert_true(writer_call_abort(c, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_WRITER_GONE);
        err = RS_ERROR_INIT; /* and the connection is of no use afterwards */
        assert_true(writer_call_state(c, &unused, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_WRITER_GONE);
        finish(&f, c);
}

static unsigned n_progress;
static void on_progress(void *userdata, const WriterProgress *p) {
        (void) userdata;
        n_progress++;
        assert_int_equal(p->done_bytes, 42);
}

static void script_progress(Channel *c) {
        const WriterProgress p = { .done_bytes = 42 };
        const WriterState s = { .running = "A" };
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT, a = ENCODER_INIT;
        Message m;

        expect(c, WRITER_STATE, &m);
        writer_encode_progress(&e, &p);
        answer(c, WRITER_EVENT_PROGRESS, 0, &e);
        answer(c, WRITER_EVENT_PROGRESS, 0, &e);
        writer_encode_state(&a, &s);
        answer(c, WRITER_STATE + 1, m.sequence, &a);
}

static void events_come_between_request_and_answer(void **state) {
        Fake f = { 0 };
        WriterClient *c = start(&f, script_progress);
        RsError err = RS_ERROR_INIT;
        WriterState s;

        (void) state;
        n_progress = 0;
        writer_client_on_progress(c, on_progress, NULL);
        assert_int_equal(writer_call_state(c, &s, &err), 0);
        assert_string_equal(s.running, "A");
        assert_int_equal(n_progress, 2);
        finish(&f, c);
}

static void script_wrong_sequence(Channel *c) {
        _cleanup_(encoder_done) Encoder a = ENCODER_INIT;
        const WriterState s = { .running = "A" };
        Message m;

        expect(c, WRITER_STATE, &m);
        writer_encode_state(&a, &s);
        answer(c, WRITER_STATE + 1, m.sequence + 1, &a);
}

static void script_wrong_type(Channel *c) {
        _cleanup_(encoder_done) Encoder a = ENCODER_INIT;
        Message m;

        expect(c, WRITER_STATE, &m);
        writer_encode_name(&a, "A");
        answer(c, WRITER_MARK + 1, m.sequence, &a);
}

static void script_short(Channel *c) {
        Message m;

        expect(c, WRITER_STATE, &m);
        answer(c, WRITER_STATE + 1, m.sequence, NULL);
}

static void script_gone(Channel *c) {
        Message m;

        expect(c, WRITER_STATE, &m);
}

static void a_writer_that_lies_or_goes_ends_the_connection(void **state) {
        static const struct {
                Script script;
                RsReason reason;
        } cases[] = {
                { script_wrong_sequence, RS_REASON_PROTOCOL },
                { script_wrong_type, RS_REASON_PROTOCOL },
                { script_short, RS_REASON_PROTOCOL },
                { script_gone, RS_REASON_WRITER_GONE },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Fake f = { 0 };
                WriterClient *c = start(&f, cases[i].script);
                RsError err = RS_ERROR_INIT;
                WriterState s;

                assert_true(writer_call_state(c, &s, &err) < 0);
                assert_int_equal(err.reason, cases[i].reason);
                err = RS_ERROR_INIT;
                assert_true(writer_call_state(c, &s, &err) < 0); /* and every later call fails at once */
                assert_int_equal(err.reason, cases[i].reason);
                finish(&f, c);
        }
}

static const uint8_t anchors[] = "a trust set";
static uint32_t anchors_told;
static bool anchors_beside;

static void script_anchors(Channel *c) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        _cleanup_(closep) int fd = -EBADF;
        RsError err = RS_ERROR_INIT;
        Message m;

        expect(c, WRITER_ANCHORS, &m);
        if (anchors_beside)
                assert_int_equal(memfd_sealed("test", SPAN_ARRAY(anchors), &fd, &err), 0);
        writer_encode_anchors(&e, anchors_told);
        assert_int_equal(channel_send(c, WRITER_ANCHORS + 1, m.sequence, encoder_view(&e), fd, &err), 0);
}

static void a_trust_set_comes_whole_or_not_at_all(void **state) {
        static const struct {
                uint32_t told;
                bool beside, good;
        } cases[] = {
                { 0, false, true }, { sizeof(anchors), true, true }, { 0, true, false },
                { sizeof(anchors), false, false }, { sizeof(anchors) - 1, true, false },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(freep) uint8_t *got = NULL;
                RsError err = RS_ERROR_INIT;
                size_t size = 99;
                WriterClient *c;
                Fake f = { 0 };

                anchors_told = cases[i].told;
                anchors_beside = cases[i].beside;
                c = start(&f, script_anchors);
                assert_int_equal(writer_call_anchors(c, &got, &size, &err) == 0, cases[i].good);
                assert_int_equal(err.reason, cases[i].good ? RS_REASON_NONE : RS_REASON_PROTOCOL);
                assert_int_equal(size, cases[i].good ? cases[i].told : 99);
                if (got)
                        assert_memory_equal(got, anchors, sizeof(anchors));
                assert_int_equal(got != NULL, cases[i].good && cases[i].told > 0);
                finish(&f, c);
        }
}

static bool policy_beside, policy_good;

static void script_policy(Channel *c) {
        _cleanup_(config_notes_done) ConfigNotes notes = { .file = strdup("/w") };
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT, told = ENCODER_INIT;
        _cleanup_(closep) int fd = -EBADF;
        RsError err = RS_ERROR_INIT;
        Message m;

        assert_int_equal(config_notes_set(&notes, "policy", "require-crl", "yes", 3), 0);
        expect(c, WRITER_POLICY, &m);
        writer_encode_notes(&told, &notes);
        if (!policy_good)
                told.data[told.size - 5] = '\n';
        if (policy_beside)
                assert_int_equal(memfd_sealed("test", encoder_view(&told), &fd, &err), 0);
        writer_encode_policy(&e, (uint32_t) told.size);
        assert_int_equal(channel_send(c, WRITER_POLICY + 1, m.sequence, encoder_view(&e), fd, &err), 0);
}

static void a_policy_comes_whole_or_not_at_all(void **state) {
        (void) state;
        for (int i = 0; i < 4; i++) {
                _cleanup_(config_notes_done) ConfigNotes got = { 0 };
                RsError err = RS_ERROR_INIT;
                WriterClient *c;
                Fake f = { 0 };

                policy_beside = i & 1;
                policy_good = i & 2;
                c = start(&f, script_policy);
                assert_int_equal(writer_call_policy(c, &got, &err) == 0, i == 3);
                assert_int_equal(err.reason, i == 3 ? RS_REASON_NONE : RS_REASON_PROTOCOL);
                assert_int_equal(got.n, i == 3 ? 1 : 0);
                finish(&f, c);
        }
}

static void nobody_at_the_socket_is_writer_gone(void **state) {
        RsError err = RS_ERROR_INIT;
        WriterClient *c = NULL;
        char path[200];

        (void) state;
        assert_true(writer_client_connect("/nonexistent/socket", &c, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_WRITER_GONE);
        memset(path, 'x', sizeof(path) - 1);
        path[sizeof(path) - 1] = '\0';
        err = RS_ERROR_INIT;
        assert_true(writer_client_connect(path, &c, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_CONFIG);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(hello_tells_line_and_policy),
                cmocka_unit_test(frames_are_pipelined_and_slots_come_back),
                cmocka_unit_test(the_first_refused_frame_gives_the_reason_and_abort_clears_it),
                cmocka_unit_test(a_waiting_call_is_woken_and_abort_takes_the_late_answer),
                cmocka_unit_test(a_writer_that_hangs_is_given_up_for_status_and_abort),
                cmocka_unit_test(events_come_between_request_and_answer),
                cmocka_unit_test(a_writer_that_lies_or_goes_ends_the_connection),
                cmocka_unit_test(a_trust_set_comes_whole_or_not_at_all),
                cmocka_unit_test(a_policy_comes_whole_or_not_at_all),
                cmocka_unit_test(nobody_at_the_socket_is_writer_gone),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
