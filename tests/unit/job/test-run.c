/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whole jobs from a real signed bundle in a file, against a writer that is a thread of the test: it refuses, dies, loses its
 * TPM and is cancelled at each request, and the job must say what is true (J1, J3, J4).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/crypto/ossl-cleanup.h>
#include <reseal/ipc/channel.h>
#include <reseal/ipc/writer-client.h>
#include <reseal/job/run.h>

#include "mini-bundle.h"

typedef struct Fake {
        char path[64];
        int listen_fd;
        pthread_t thread;
        uint32_t type;           /* the request at which something happens */
        unsigned times;          /* how often; 0 = never */
        RsReason refuses;        /* with this; NONE: it dies, or cancels */
        int cancel_fd;           /* >= 0: the job is cancelled there, and the request is not answered before ABORT */
        bool abort_dies, abort_late; /* then: no answer but the end, or State */
        bool away_after;         /* nobody takes connections any more */
        bool installed;          /* SLOTS says so */
        uint64_t accepted;
        const uint8_t *offers;   /* another bundle id than that of good.rsb; NULL: that one */
        unsigned connections, frames, finishes, evidence;
} Fake;

static uint8_t id[32], confidential_id[32];
static TrustAnchors *anchors;

static void send_answer(Channel *c, const Message *m, uint32_t type, Encoder *e, int fd) {
        RsError err = RS_ERROR_INIT;

        (void) channel_send(c, type, m->sequence, SPAN(e->data, e->size), fd, &err);
}

static void send_failure(Channel *c, const Message *m, RsReason reason) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        RsError failure = RS_ERROR_INIT;

        (void) rs_fail_at(&failure, reason, __func__, __LINE__, "as the test wants it");
        channel_encode_error(&e, &failure);
        send_answer(c, m, WRITER_FAIL, &e, -EBADF);
}

static void answer(Fake *f, Channel *c, const Message *m) {
        WriterHello hello = { .version = RS_VERSION, .line = "gateway" };
        WriterState state = { .release = f->accepted, .running = "A", .primary = "B" };
        WriterSlotInfo slot = { .class_name = "rootfs", .name = "rootfs.b", .boot_name = "B", .type = 1, .primary = true };
        WriterOffer offer = { .n_images = 1, .images = { { .wanted = true, .slot_name = "rootfs.b" } } };
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        _cleanup_(ring_freep) Ring *ring = NULL;
        RsError err = RS_ERROR_INIT;
        WriterFrame frame;
        WriterTime time = { .high = UINT64_MAX, .query_size = 1 };
        WriterTrust trust = { .empty = true };

        switch (m->type) {
        case WRITER_TIME:
                writer_encode_time(&e, &time);
                break;
        case WRITER_EVIDENCE:
                f->evidence++;
                writer_encode_evidence(&e, true);
                break;
        case WRITER_TRUST:
                writer_encode_trust(&e, &trust);
                break;
        case WRITER_HELLO:
                writer_encode_hello(&e, &hello);
                break;
        case WRITER_STATE:
                writer_encode_state(&e, &state);
                break;
        case WRITER_SLOTS:
                if (f->installed)
                        memcpy(slot.bundle_id, id, sizeof(id));
                writer_encode_slots(&e, &slot, 1);
                break;
        case WRITER_OFFER:
                memcpy(offer.bundle_id, f->offers ? f->offers : id, sizeof(id));
                writer_encode_offer(&e, &offer);
                break;
        case WRITER_TABLE:
                writer_encode_ranges(&e, 0, NULL, 0);
                break;
        case WRITER_RING:
                assert_int_equal(ring_create(&ring, &err), 0);
                writer_encode_ring(&e);
                break;
        case WRITER_FRAME:
                f->frames++;
                assert_int_equal(writer_decode_frame_request(m->payload, &frame, &err), 0);
                writer_encode_frame(&e, frame.image, frame.frame);
                break;
        case WRITER_FINISH:
                f->finishes++;
                writer_encode_name(&e, "B");
                break;
        }
        send_answer(c, m, m->type + 1, &e, ring ? ring_fd(ring) : -EBADF);
}

/* 0 = goes on, 1 = the connection ends. */
static int happen(Fake *f, Channel *c, const Message *m) {
        RsError err = RS_ERROR_INIT;
        Message abort;

        f->times--;
        if (f->refuses != RS_REASON_NONE) {
                send_failure(c, m, f->refuses);
                return 0;
        }
        if (f->cancel_fd < 0)
                return 1;
        assert_int_equal(eventfd_write(f->cancel_fd, 1), 0);
        if (channel_receive(c, &abort, &err) != 1 || abort.type != WRITER_ABORT)
                return 1;
        if (f->abort_dies)
                return 1;
        if (f->abort_late)
                answer(f, c, m);
        else
                send_failure(c, m, RS_REASON_CANCELLED);
        if (f->abort_late)
                send_failure(c, &abort, RS_REASON_STATE);
        else
                answer(f, c, &abort);
        return 0;
}

static void *serve(void *userdata) {
        Fake *f = userdata;
        int fd;

        while ((fd = accept(f->listen_fd, NULL, NULL)) >= 0) {
                _cleanup_(channel_freep) Channel *c = NULL;
                RsError err = RS_ERROR_INIT;
                bool over = false;
                Message m;

                f->connections++;
                assert_int_equal(channel_new(fd, &c, &err), 0);
                while (!over && channel_receive(c, &m, &err) == 1) {
                        if (m.fd >= 0)
                                (void) close(m.fd);
                        if (m.type == f->type && f->times > 0)
                                over = happen(f, c, &m) > 0;
                        else
                                answer(f, c, &m);
                }
                if (over && f->away_after)
                        (void) shutdown(f->listen_fd, SHUT_RDWR);
        }
        return NULL;
}

static Fake fake(uint32_t type, unsigned times, RsReason refuses) {
        return (Fake){ .type = type, .times = times, .refuses = refuses, .cancel_fd = -EBADF };
}

typedef struct Outcome {
        RsReason reason;
        JobProgress last;
        bool told;               /* of a TPM that is asked again */
} Outcome;

static void on_progress(void *userdata, const JobProgress *p) {
        if (strstr(p->failure.text, "the TPM is asked again"))
                ((Outcome *) userdata)->told = true;
}

static Outcome run_from(Fake *f, int bundle_fd, const uint8_t *wanted, JobEnv env) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        JobOrder order = JOB_ORDER_INIT;
        RsError err = RS_ERROR_INIT;
        Outcome o = { 0 };

        (void) snprintf(f->path, sizeof(f->path), "%s/writer", pki_dir);
        (void) unlink(f->path);
        (void) strcpy(address.sun_path, f->path);
        f->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(f->listen_fd, (struct sockaddr *) &address, sizeof(address)), 0);
        assert_int_equal(listen(f->listen_fd, 16), 0);
        assert_int_equal(pthread_create(&f->thread, NULL, serve, f), 0);
        order.bundle_fd = bundle_fd;
        order.bundle_id = wanted;
        env.writer_socket = f->path;
        env.firmware = anchors;
        env.https.cancel_fd = f->cancel_fd;
        int r = job_run(&env, &order, on_progress, &o, &o.last, &err);
        assert_int_equal(r < 0, err.reason != RS_REASON_NONE);
        assert_int_equal(r < 0, o.last.state != JOB_STATE_DONE);
        o.reason = err.reason;
        (void) shutdown(f->listen_fd, SHUT_RDWR);
        assert_int_equal(pthread_join(f->thread, NULL), 0);
        (void) close(f->listen_fd);
        (void) close(bundle_fd);
        if (f->cancel_fd >= 0)
                (void) close(f->cancel_fd);
        return o;
}

static JobEnv hasty(void) {
        return (JobEnv){ .https = HTTPS_CONFIG_DEFAULT, .writer_retry_usec = 1000, .writer_retries = 3 };
}

static Outcome run(Fake *f) {
        return run_from(f, open(pki_path("good.rsb"), O_RDONLY | O_CLOEXEC), NULL, hasty());
}

static const uint32_t REQUESTS[] = { WRITER_HELLO, WRITER_OFFER, WRITER_TABLE, WRITER_RING, WRITER_FRAME, WRITER_FINISH };

static void good_bundle_is_installed(void **state) {
        Fake f = fake(0, 0, RS_REASON_NONE);

        (void) state;
        Outcome o = run(&f);
        assert_int_equal(o.reason, RS_REASON_NONE);
        assert_string_equal(o.last.primary, "B");
        assert_memory_equal(o.last.bundle_id, id, sizeof(id));
        assert_int_equal(o.last.done_bytes, RS_CHUNK_SIZE);
        assert_int_equal(f.connections, 1);
        assert_int_equal(f.frames, 1);
}

/* A time-stamp authority that gives no proof is told, and does not stop what the writer takes without one. */
static void time_that_is_not_proven_is_told(void **state) {
        Fake f = fake(0, 0, RS_REASON_NONE);
        JobEnv env = hasty();

        (void) state;
        env.https.anchors = anchors;
        env.tsa_url = "http://localhost/tsa";
        Outcome o = run_from(&f, open(pki_path("good.rsb"), O_RDONLY | O_CLOEXEC), NULL, env);
        assert_int_equal(o.reason, RS_REASON_NONE);
        assert_int_equal(o.last.unproven.reason, RS_REASON_SCHEME);
}

static void refusal_of_the_writer_at_each_request_is_the_jobs_reason(void **state) {
        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(REQUESTS); i++) {
                Fake f = fake(REQUESTS[i], UINT32_MAX, RS_REASON_POLICY);
                Outcome o = run(&f);
                assert_int_equal(o.reason, RS_REASON_POLICY);
                assert_int_equal(o.last.state, JOB_STATE_FAILED);
                assert_int_equal(f.connections, 1);
        }
}

static void writer_that_dies_at_each_request_is_asked_again(void **state) {
        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(REQUESTS); i++) {
                Fake f = fake(REQUESTS[i], 2, RS_REASON_NONE);
                Outcome o = run(&f);
                assert_int_equal(o.reason, RS_REASON_NONE);
                assert_true(o.last.lost);
                assert_true(f.connections >= 3);
        }
}

static void writer_that_dies_again_and_again_is_gone(void **state) {
        Fake f = fake(WRITER_OFFER, UINT32_MAX, RS_REASON_NONE);

        (void) state;
        assert_int_equal(run(&f).reason, RS_REASON_WRITER_GONE);
        assert_int_equal(f.connections, 4); /* three retries */
}

static void tpm_that_is_away_is_asked_again_at_each_request(void **state) {
        (void) state;
        for (size_t i = 1; i < ELEMENTSOF(REQUESTS); i++)
                for (int busy = 0; busy < 2; busy++) {
                        Fake f = fake(REQUESTS[i], 5, busy ? RS_REASON_TPM_BUSY : RS_REASON_TPM_GONE);
                        Outcome o = run(&f); /* more often than a writer may be lost */
                        assert_int_equal(o.reason, RS_REASON_NONE);
                        assert_true(o.told);
                }
}

static void tpm_that_stays_away_is_the_reason_at_the_deadline(void **state) {
        Fake f = fake(WRITER_OFFER, UINT32_MAX, RS_REASON_TPM_GONE);
        JobEnv env = hasty();

        (void) state;
        env.writer_retry_usec = 3600000000u;
        env.https.deadline_usec = 50000000u; /* before the end of a pause */
        Outcome o = run_from(&f, open(pki_path("good.rsb"), O_RDONLY | O_CLOEXEC), NULL, env);
        assert_int_equal(o.reason, RS_REASON_TPM_GONE);
        assert_false(o.told);
        assert_int_equal(f.connections, 1);
        f = fake(WRITER_OFFER, UINT32_MAX, RS_REASON_TPM_LOCKED); /* waiting does not help there */
        assert_int_equal(run(&f).reason, RS_REASON_TPM_LOCKED);
}

static void cancel_at_each_request_ends_the_job(void **state) {
        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(REQUESTS); i++) {
                Fake f = fake(REQUESTS[i], 1, RS_REASON_NONE);
                f.cancel_fd = eventfd(0, EFD_CLOEXEC);
                Outcome o = run(&f);
                assert_int_equal(o.reason, RS_REASON_CANCELLED);
                assert_int_equal(o.last.state, JOB_STATE_CANCELLED);
        }
}

static Outcome cancel_at_finish(bool late, bool dies, bool away, bool installed, uint64_t accepted) {
        Fake f = fake(WRITER_FINISH, 1, RS_REASON_NONE);

        f.cancel_fd = eventfd(0, EFD_CLOEXEC);
        f.abort_late = late;
        f.abort_dies = dies;
        f.away_after = away;
        f.installed = installed;
        f.accepted = accepted;
        return run(&f);
}

/* J3: done, cancelled or not known, as it is, and never a guess. */
static void cancel_that_comes_too_late_tells_what_is_true(void **state) {
        (void) state;
        Outcome o = cancel_at_finish(true, false, false, true, 1);
        assert_int_equal(o.reason, RS_REASON_NONE);
        assert_string_equal(o.last.primary, "B");
        assert_int_equal(cancel_at_finish(false, true, false, true, 1).reason, RS_REASON_NONE);
        assert_int_equal(cancel_at_finish(false, true, false, false, 0).reason, RS_REASON_CANCELLED);
        assert_int_equal(cancel_at_finish(false, true, false, false, 1).reason, RS_REASON_WRITER_GONE);
        assert_int_equal(cancel_at_finish(false, true, true, true, 1).reason, RS_REASON_WRITER_GONE);
}

static void writer_that_dies_after_the_end_is_not_asked_to_do_it_again(void **state) {
        Fake f = fake(WRITER_FINISH, 1, RS_REASON_NONE);

        (void) state;
        f.installed = true;
        f.accepted = 1;
        assert_int_equal(run(&f).reason, RS_REASON_NONE);
        assert_int_equal(f.finishes, 0);
}

static void only_the_bundle_that_was_begun_with_is_taken(void **state) {
        uint8_t other[32] = { 1 };
        Fake f = fake(0, 0, RS_REASON_NONE);

        (void) state;
        Outcome o = run_from(&f, open(pki_path("good.rsb"), O_RDONLY | O_CLOEXEC), other, hasty());
        assert_int_equal(o.reason, RS_REASON_STATE);
        assert_int_equal(f.connections, 1); /* to ask for the time */
        assert_int_equal(f.evidence, 0);
        f = fake(0, 0, RS_REASON_NONE);
        o = run_from(&f, open(pki_path("good.rsb"), O_RDONLY | O_CLOEXEC), id, hasty());
        assert_int_equal(o.reason, RS_REASON_NONE);
}

static void bundle_that_should_be_encrypted_is_refused_before_the_offer(void **state) {
        Fake f = fake(WRITER_OFFER, UINT32_MAX, RS_REASON_INTERNAL);

        (void) state;
        Outcome o = run_from(&f, open(pki_path("open.rsb"), O_RDONLY | O_CLOEXEC), NULL, hasty());
        assert_int_equal(o.reason, RS_REASON_POLICY);
        f = fake(0, 0, RS_REASON_NONE);
        f.offers = confidential_id;
        o = run_from(&f, open(pki_path("sealed.rsb"), O_RDONLY | O_CLOEXEC), NULL, hasty());
        assert_int_equal(o.reason, RS_REASON_TICKET); /* and an encrypted one needs a ticket */
}

static int setup(void **state) {
        _cleanup_(secret_freep) Secret *key = secret_new_random(RS_KEY_SIZE);
        RsError err = RS_ERROR_INIT;

        if (pki_setup(state) < 0)
                return -1;
        mini_confidential = false;
        mini_bundle("good.rsb", "firmware/signer-1", NULL, NULL, id);
        mini_confidential = true;
        mini_bundle("open.rsb", "firmware/signer-1", NULL, NULL, confidential_id);
        mini_bundle("sealed.rsb", "firmware/signer-1", key, key, confidential_id);
        return anchors_load(pki_path("firmware/root.pem"), &anchors, &err);
}

static int teardown(void **state) {
        anchors = anchors_free(anchors);
        return pki_teardown(state);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(good_bundle_is_installed),
                cmocka_unit_test(time_that_is_not_proven_is_told),
                cmocka_unit_test(refusal_of_the_writer_at_each_request_is_the_jobs_reason),
                cmocka_unit_test(writer_that_dies_at_each_request_is_asked_again),
                cmocka_unit_test(writer_that_dies_again_and_again_is_gone),
                cmocka_unit_test(tpm_that_is_away_is_asked_again_at_each_request),
                cmocka_unit_test(tpm_that_stays_away_is_the_reason_at_the_deadline),
                cmocka_unit_test(cancel_at_each_request_ends_the_job),
                cmocka_unit_test(cancel_that_comes_too_late_tells_what_is_true),
                cmocka_unit_test(writer_that_dies_after_the_end_is_not_asked_to_do_it_again),
                cmocka_unit_test(only_the_bundle_that_was_begun_with_is_taken),
                cmocka_unit_test(bundle_that_should_be_encrypted_is_refused_before_the_offer),
        };
        return cmocka_run_group_tests(tests, setup, teardown);
}
