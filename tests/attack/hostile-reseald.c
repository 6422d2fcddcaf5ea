/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * hostile-reseald - a reseald that was taken over, against the real reseal-writer (S20, T26;
 * docs/protocol-writer.md).
 *
 * Each test starts the program on a socketpair, with a device of its own: swtpm, slots as files, a real GRUB
 * environment.
 * Whatever is tried, the running slot keeps its bytes, the boot state its primary, and a breach of the protocol ends
 * the
 * program with status 76.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <reseal/base/cleanup.h>
#include <reseal/ipc/channel.h>
#include <reseal/ipc/writer-client.h>

#include "device.h"

#define ROOTFS ((uint64_t) 9 << 20)
#define ENDED_FOR_PROTOCOL 76

/* One device for the whole program: every test leaves its running slot and boot state as they were, or shows it. */
static TestDevice device;
static TestRelease release;
static uint8_t running[32];

typedef struct Victim {
        pid_t pid;
        Channel *channel;
        uint32_t sequence;
} Victim;

static int group_setup(void **state) {
        if (test_pki_setup(state) < 0)
                return -1;
        test_device_make(&device, ROOTFS);
        test_release_make(&release, 1, 0, ROOTFS);
        test_sha256_of_file(device.slot_path[0], running);
        return 0;
}

static int group_teardown(void **state) {
        test_release_done(&release);
        test_device_done(&device);
        return test_pki_teardown(state);
}

static pid_t start_writer(int *ret_fd) {
        const char *build = getenv("BUILD_ROOT");
        char program[512];
        int fds[2];
        pid_t pid;

        assert_non_null(build);
        (void) snprintf(program, sizeof(program), "%s/src/writer/reseal-writer", build);
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
        pid = fork();
        if (pid == 0) {
                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                /* LeakSanitizer wants to trace its parent, which the sandbox of the program forbids. */
                (void) setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
                if (dup2(fds[1], 3) < 0 || (fds[1] == 3 && fcntl(3, F_SETFD, 0) < 0))
                        _exit(126);
                if (!getenv("RESEAL_TEST_VERBOSE"))
                        (void) dup2(open("/dev/null", O_WRONLY), 2);
                execl(program, program, "--config", device.config, "--fd", "3", (char *) NULL);
                _exit(127);
        }
        assert_true(pid > 0);
        closep(&fds[1]);
        *ret_fd = fds[0];
        return pid;
}

static int end_of(pid_t pid) {
        int status = 0;

        assert_int_equal(waitpid(pid, &status, 0), pid);
        return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void submit(Victim *v, uint32_t type, Span payload, int fd) {
        RsError err = RS_ERROR_INIT;

        (void) channel_send(v->channel, type, ++v->sequence, payload, fd, &err); /* it may be gone already */
}

/* The next answer, progress left out; false: the connection ended. */
static bool receive(Victim *v, Message *ret) {
        RsError err = RS_ERROR_INIT;

        do {
                if (channel_receive(v->channel, ret, &err) <= 0)
                        return false;
        } while (ret->type == WRITER_EVENT_PROGRESS);
        return true;
}

static bool ask(Victim *v, uint32_t type, Span payload, int fd, Message *ret) {
        submit(v, type, payload, fd);
        return receive(v, ret);
}

static void start(Victim *v) {
        RsError err = RS_ERROR_INIT;
        int fd;

        memset(v, 0, sizeof(*v));
        v->pid = start_writer(&fd);
        assert_int_equal(channel_new(fd, &v->channel, &err), 0);
}

static void hello(Victim *v) {
        uint8_t version[WRITER_VERSION_SIZE] = RS_VERSION;
        Message m;

        assert_true(ask(v, WRITER_HELLO, SPAN_ARRAY(version), -EBADF, &m));
        assert_int_equal(m.type, WRITER_HELLO + 1);
}

static int memfd(Span bytes, int seals) {
        int fd = memfd_create("table", MFD_CLOEXEC | MFD_ALLOW_SEALING);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, bytes.data, bytes.size), (ssize_t) bytes.size);
        if (seals != 0)
                assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
        return fd;
}

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static bool evidence(Victim *v, uint32_t kind, uint32_t size, int fd, Message *ret) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        bool answered;

        writer_encode_evidence_request(&e, (WriterEvidence) kind, size);
        answered = ask(v, WRITER_EVIDENCE, encoder_view(&e), fd, ret);
        closep(&fd);
        return answered;
}

/* What an honest client gives before its offer: without it the gate knows no signer. */
static void links(Victim *v) {
        Span bytes = encoder_view(&release.links);
        Message m;

        assert_true(evidence(v, WRITER_EVIDENCE_LINKS, (uint32_t) bytes.size, memfd(bytes, SEALS), &m));
        assert_int_equal(m.type, WRITER_EVIDENCE + 1);
}

static void offer(Victim *v) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        Message m;

        links(v);
        writer_encode_offer_request(&e, encoder_view(&release.cms));
        assert_true(ask(v, WRITER_OFFER, encoder_view(&e), -EBADF, &m));
        assert_int_equal(m.type, WRITER_OFFER + 1);
}

static bool table(Victim *v, uint32_t image, Span bytes, uint32_t size, int fd, Message *ret) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        bool answered;

        writer_encode_table_request(&e, image, size);
        answered = ask(v, WRITER_TABLE, encoder_view(&e), fd, ret);
        closep(&fd);
        (void) bytes;
        return answered;
}

static void tables(Victim *v) {
        Message m;

        for (uint32_t i = 0; i < 2; i++) {
                Span bytes = encoder_view(&release.images[i].encoded);

                assert_true(table(v, i, bytes, (uint32_t) bytes.size, memfd(bytes, SEALS), &m));
                assert_int_equal(m.type, WRITER_TABLE + 1);
        }
}

static Ring *ring(Victim *v) {
        RsError err = RS_ERROR_INIT;
        Ring *r = NULL;
        Message m;

        assert_true(ask(v, WRITER_RING, SPAN_NULL, -EBADF, &m));
        assert_int_equal(m.type, WRITER_RING + 1);
        assert_int_equal(ring_attach(m.fd, &r, &err), 0);
        return r;
}

static bool frame(Victim *v, WriterFrame f, Message *ret) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;

        writer_encode_frame_request(&e, &f);
        return ask(v, WRITER_FRAME, encoder_view(&e), -EBADF, ret);
}

/* Brings a fresh victim into a phase; *ret_ring is for TABLED and later. */
static void bring(Victim *v, WriterPhase phase, Ring **ret_ring) {
        const uint8_t *data;
        uint32_t size;
        Message m;

        start(v);
        if (phase == WRITER_PHASE_HELLO)
                return;
        hello(v);
        if (phase == WRITER_PHASE_IDLE)
                return;
        offer(v);
        if (phase == WRITER_PHASE_OFFERED)
                return;
        tables(v);
        *ret_ring = ring(v);
        if (phase == WRITER_PHASE_TABLED)
                return;
        (void) test_frame(&release, 0, 0, &data, &size);
        memcpy(ring_slot(*ret_ring, 0), data, size);
        if (phase == WRITER_PHASE_FAILED)
                ring_slot(*ret_ring, 0)[99] ^= 1;
        assert_true(frame(v, (WriterFrame){ .size = size }, &m));
        assert_int_equal(m.type, phase == WRITER_PHASE_FAILED ? WRITER_FAIL : WRITER_FRAME + 1);
}

static void assert_device_unharmed(void) {
        RsError err = RS_ERROR_INIT;
        BootState boot;
        TestEngine e;
        uint8_t now[32];

        test_sha256_of_file(device.slot_path[0], now);
        assert_memory_equal(now, running, 32);
        test_engine_open(&e, &device, NULL, NULL);
        assert_int_equal(boot_read(e.boot, &boot, &err), 0);
        assert_string_equal(boot.primary, "A");
        assert_true(boot.slots[0].good);
        assert_false(boot.slots[1].bootable);
        test_engine_close(&e);
}

/* Closes the connection and takes the exit status. */
static int finish(Victim *v, Ring *r) {
        (void) ring_free(r);
        v->channel = channel_free(v->channel);
        return end_of(v->pid);
}

static void assert_ended(Victim *v, Ring *r) {
        Message m;

        while (receive(v, &m))
                assert_int_equal(m.type, WRITER_FAIL);
        assert_int_equal(finish(v, r), ENDED_FOR_PROTOCOL);
        assert_device_unharmed();
}

/* A payload that is well-formed for the type, so that only the phase can be wrong. */
static void send_plausible(Victim *v, uint32_t type) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        Span bytes = encoder_view(&release.images[0].encoded);
        uint8_t version[WRITER_VERSION_SIZE] = RS_VERSION;
        int fd = -EBADF;

        if (type == WRITER_HELLO)
                encoder_bytes(&e, version, sizeof(version));
        else if (type == WRITER_OFFER)
                writer_encode_offer_request(&e, encoder_view(&release.cms));
        else if (type == WRITER_TABLE) {
                writer_encode_table_request(&e, 0, (uint32_t) bytes.size);
                fd = memfd(bytes, SEALS);
        } else if (type == WRITER_FRAME)
                writer_encode_frame_request(&e, &(WriterFrame){ .frame = 1, .size = RS_FRAME_SIZE_MAX });
        else if (type == WRITER_MARK)
                writer_encode_mark_request(&e, WRITER_MARK_BAD, "B");
        else if (type == WRITER_REJECT)
                writer_encode_reject_request(&e, "does not work");
        else if (type == WRITER_EVIDENCE) {
                writer_encode_evidence_request(&e, WRITER_EVIDENCE_LINKS, (uint32_t) bytes.size);
                fd = memfd(bytes, SEALS);
        }
        submit(v, type, encoder_view(&e), fd);
        closep(&fd);
}

static void every_message_out_of_its_phase_ends_the_writer(void **state) {
        static const WriterPhase phases[] = { WRITER_PHASE_HELLO,  WRITER_PHASE_IDLE,    WRITER_PHASE_OFFERED,
                                              WRITER_PHASE_TABLED, WRITER_PHASE_WRITING, WRITER_PHASE_FAILED };
        unsigned n = 0;

        (void) state;
        for (size_t p = 0; p < ELEMENTSOF(phases); p++)
                for (uint32_t type = 1; type <= 30; type++) {
                        Ring *r = NULL;
                        Victim v;

                        if (writer_request_permitted(type, phases[p], false))
                                continue;
                        bring(&v, phases[p], &r);
                        send_plausible(&v, type);
                        assert_ended(&v, r);
                        n++;
                }
        print_message("%u messages refused\n", n);
        assert_true(n > 90);
}

static void malformed_messages_end_the_writer(void **state) {
        static const struct {
                uint32_t type;
                size_t size;
                bool fd;
        } cases[] = {
                { WRITER_SLOTS, 1, false },  { WRITER_STATE, 0, true },    { WRITER_OFFER, 4, false },
                { WRITER_OFFER, 4 + RS_MANIFEST_CMS_MAX + 1, false },      { WRITER_OFFER, 4096, true },
                { WRITER_MARK, 35, false },  { WRITER_MARK, 36, false },   { WRITER_ABORT, 7, false },
                { 0, 0, false },             { 0xffffffff, 0, false },     { WRITER_EVENT_PROGRESS, 24, false },
                { WRITER_SLOTS, IPC_PAYLOAD_MAX, false },
        };
        _cleanup_(freep) uint8_t *bytes = calloc(1, 2 * IPC_PAYLOAD_MAX);

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                int fd = cases[i].fd ? open("/dev/null", O_RDONLY | O_CLOEXEC) : -EBADF;
                Victim v;

                bring(&v, WRITER_PHASE_IDLE, NULL);
                submit(&v, cases[i].type, SPAN(bytes, cases[i].size), fd);
                closep(&fd);
                assert_ended(&v, NULL);
        }
}

static void raw_datagrams_that_are_no_messages_end_the_writer(void **state) {
        _cleanup_(freep) uint8_t *bytes = calloc(1, 100000);
        static const size_t sizes[] = { 1, 15, 17, 65552 + 1, 100000 };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
                Victim v;

                bring(&v, WRITER_PHASE_IDLE, NULL);
                assert_int_equal(write(channel_fd(v.channel), bytes, sizes[i]), (ssize_t) sizes[i]);
                assert_ended(&v, NULL);
        }
}

static void tables_by_wrong_descriptors_end_the_writer(void **state) {
        Span bytes = encoder_view(&release.images[0].encoded);

        (void) state;
        for (int k = 0; k < 8; k++) {
                uint32_t size = (uint32_t) bytes.size;
                int fd, pipes[2] = { -EBADF, -EBADF };
                Victim v;
                Message m;

                if (k < 4) /* seals that are not all there */
                        fd = memfd(bytes, k == 0   ? 0
                                          : k == 1 ? SEALS & ~F_SEAL_WRITE
                                          : k == 2 ? SEALS & ~F_SEAL_SHRINK
                                                   : SEALS & ~F_SEAL_GROW);
                else if (k == 4)
                        fd = open(device.slot_path[0], O_RDWR | O_CLOEXEC);
                else if (k == 5) {
                        assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
                        fd = pipes[0];
                } else
                        fd = memfd(bytes, SEALS);
                if (k == 6)
                        size += 1; /* announced longer than it is */
                bring(&v, WRITER_PHASE_OFFERED, NULL);
                (void) table(&v, k == 7 ? 9 : 0, bytes, size, fd, &m); /* 7: an image that the release has not */
                closep(&pipes[1]);
                assert_ended(&v, NULL);
        }
}

static void a_table_that_is_not_the_signed_one_ends_the_offer_only(void **state) {
        _cleanup_(freep) uint8_t *changed = malloc(release.images[0].encoded.size);
        _cleanup_(encoder_done) Encoder mark = ENCODER_INIT;
        Span bytes = encoder_view(&release.images[0].encoded);
        Victim v;
        Message m;

        (void) state;
        memcpy(changed, bytes.data, bytes.size);
        changed[bytes.size / 2] ^= 1;
        bring(&v, WRITER_PHASE_OFFERED, NULL);
        assert_true(table(&v, 0, bytes, (uint32_t) bytes.size, memfd(SPAN(changed, bytes.size), SEALS), &m));
        assert_int_equal(m.type, WRITER_FAIL);
        writer_encode_mark_request(&mark, WRITER_MARK_GOOD, "A");
        assert_true(ask(&v, WRITER_MARK, encoder_view(&mark), -EBADF, &m)); /* back in IDLE, nothing is held */
        assert_int_equal(m.type, WRITER_MARK + 1);
        offer(&v);
        assert_int_equal(finish(&v, NULL), 0);
        assert_device_unharmed();
}

/* A datagram that is no file, not all of it, or more than there is: a breach, like a table's. */
static void evidence_by_wrong_descriptors_ends_the_writer(void **state) {
        static const int seals[] = { 0, SEALS & ~F_SEAL_WRITE, SEALS & ~F_SEAL_SHRINK, SEALS & ~F_SEAL_GROW };
        Span bytes = encoder_view(&release.links);
        uint32_t size = (uint32_t) bytes.size;

        (void) state;
        for (int k = 0; k < 10; k++) {
                int fd = k < 4    ? memfd(bytes, seals[k])
                         : k == 4 ? open(device.slot_path[0], O_RDWR | O_CLOEXEC)
                         : k == 5 ? -EBADF
                                  : memfd(bytes, SEALS);
                uint32_t kind = k == 8 ? 0 : k == 9 ? 5 : WRITER_EVIDENCE_LINKS;
                uint32_t said = k == 6 ? size + 1 : k == 7 ? UINT32_MAX : size;
                Victim v;
                Message m;

                bring(&v, WRITER_PHASE_IDLE, NULL);
                (void) evidence(&v, kind, said, fd, &m);
                assert_ended(&v, NULL);
        }
}

/* Told so, and nothing else: the connection goes on, the device believes what it believed. */
static void garbage_of_every_kind_is_refused_and_changes_nothing(void **state) {
        static const uint32_t sizes[] = { 1, 4, 64, 5000, WRITER_EVIDENCE_MAX };
        _cleanup_(freep) uint8_t *bytes = malloc(WRITER_EVIDENCE_MAX);
        RsError err = RS_ERROR_INIT;
        bool changed;
        Victim v;
        Message m;

        (void) state;
        bring(&v, WRITER_PHASE_IDLE, NULL);
        for (uint32_t kind = WRITER_EVIDENCE_LINKS; kind <= WRITER_EVIDENCE_STATEMENT; kind++)
                for (size_t i = 0; i < ELEMENTSOF(sizes); i++)
                        for (int fill = 0; fill < 3; fill++) {
                                _cleanup_(encoder_done) Encoder e = ENCODER_INIT;

                                for (uint32_t k = 0; k < sizes[i]; k++)
                                        bytes[k] = fill == 0 ? 0 : fill == 1 ? 0xff : (uint8_t) (k * 167 + (k >> 8));
                                assert_true(evidence(&v, kind, sizes[i], memfd(SPAN(bytes, sizes[i]), SEALS), &m));
                                if (kind != WRITER_EVIDENCE_LINKS) { /* four zeros are an empty set of lists */
                                        assert_true(m.type == WRITER_FAIL ||
                                                    (kind == WRITER_EVIDENCE_CRLS && sizes[i] == 4 &&
                                                     writer_decode_evidence(m.payload, &changed, &err) == 0 && !changed));
                                        continue;
                                }
                                assert_int_equal(m.type, WRITER_EVIDENCE + 1); /* judged with the offer */
                                writer_encode_offer_request(&e, encoder_view(&release.cms));
                                assert_true(ask(&v, WRITER_OFFER, encoder_view(&e), -EBADF, &m));
                                assert_int_equal(m.type, WRITER_FAIL);
                        }
        offer(&v); /* and with the right links it is as good as ever */
        assert_int_equal(finish(&v, NULL), 0);
        assert_device_unharmed();
}

static void a_time_stamp_answers_one_question_once(void **state) {
        static const uint8_t answer[300] = { 0x30, 0x82, 0x01, 0x28 };
        Victim v;
        Message m;

        (void) state;
        bring(&v, WRITER_PHASE_IDLE, NULL);
        for (int k = 0; k < 4; k++) { /* without a question; wrong; a second time; to a question asked anew */
                if (k % 2 == 1) {
                        assert_true(ask(&v, WRITER_TIME, SPAN_NULL, -EBADF, &m));
                        assert_int_equal(m.type, WRITER_TIME + 1);
                }
                assert_true(evidence(&v, WRITER_EVIDENCE_TIME, sizeof(answer), memfd(SPAN_ARRAY(answer), SEALS), &m));
                assert_int_equal(m.type, WRITER_FAIL);
        }
        offer(&v);
        assert_int_equal(finish(&v, NULL), 0);
        assert_device_unharmed();
}

static void frames_that_do_not_fit_the_table_end_the_writer(void **state) {
        static const WriterFrame bad[] = {
                { 0, 1, 0, RS_FRAME_SIZE_MAX },                    /* not the next one */
                { 1, 0, 0, RS_FRAME_SIZE_MAX },                    /* not the next image */
                { 0, 0, 0, RS_FRAME_SIZE_MAX - 4096 },             /* not its length */
                { 0, 0, WRITER_NO_RING_SLOT, RS_FRAME_SIZE_MAX },  /* says it has no data */
                { 0, 0, RING_SLOTS, RS_FRAME_SIZE_MAX },           /* no such place in the ring */
                { 15, 32767, 3, 4096 },
                { UINT32_MAX, UINT32_MAX, UINT32_MAX - 1, UINT32_MAX },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                Ring *r = NULL;
                Victim v;
                Message m;

                bring(&v, WRITER_PHASE_TABLED, &r);
                (void) frame(&v, bad[i], &m);
                assert_ended(&v, r);
        }
}

static void a_frame_before_its_ring_ends_the_writer(void **state) {
        Victim v;
        Message m;

        (void) state;
        bring(&v, WRITER_PHASE_OFFERED, NULL);
        tables(&v);
        (void) frame(&v, (WriterFrame){ .size = RS_FRAME_SIZE_MAX }, &m);
        assert_ended(&v, NULL);
}

static void wrong_bytes_are_refused_and_so_is_what_was_sent_behind_them(void **state) {
        Ring *r = NULL;
        Victim v;
        Message m;

        (void) state;
        bring(&v, WRITER_PHASE_FAILED, &r);
        assert_true(frame(&v, (WriterFrame){ .frame = 1, .size = RS_FRAME_SIZE_MAX }, &m));
        assert_int_equal(m.type, WRITER_FAIL);
        assert_true(ask(&v, WRITER_FINISH, SPAN_NULL, -EBADF, &m));
        assert_int_equal(m.type, WRITER_FAIL);
        assert_true(ask(&v, WRITER_ABORT, SPAN_NULL, -EBADF, &m));
        assert_int_equal(m.type, WRITER_ABORT + 1);
        assert_int_equal(finish(&v, r), 0);
        assert_device_unharmed();
}

static void finish_before_the_last_frame_ends_the_writer(void **state) {
        Ring *r = NULL;
        Victim v;
        Message m;

        (void) state;
        bring(&v, WRITER_PHASE_TABLED, &r);
        (void) ask(&v, WRITER_FINISH, SPAN_NULL, -EBADF, &m);
        assert_ended(&v, r);
        bring(&v, WRITER_PHASE_WRITING, &r);
        (void) ask(&v, WRITER_FINISH, SPAN_NULL, -EBADF, &m);
        assert_ended(&v, r);
}

static void requests_sent_early_end_the_writer(void **state) {
        static const uint32_t second[] = { WRITER_SLOTS, WRITER_OFFER, WRITER_STATE, WRITER_MARK };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(second); i++) {
                Message m;
                Victim v;

                bring(&v, WRITER_PHASE_IDLE, NULL);
                links(&v);
                assert_int_equal(kill(v.pid, SIGSTOP), 0); /* so that both are there before either is looked at */
                send_plausible(&v, WRITER_OFFER);
                send_plausible(&v, second[i]);
                assert_int_equal(kill(v.pid, SIGCONT), 0);
                while (receive(&v, &m))
                        ;
                assert_int_equal(finish(&v, NULL), ENDED_FOR_PROTOCOL);
                assert_device_unharmed();
        }
}

static void more_frames_than_may_be_unanswered_end_the_writer(void **state) {
        Ring *r = NULL;
        Message m;
        Victim v;

        (void) state;
        bring(&v, WRITER_PHASE_TABLED, &r);
        assert_int_equal(kill(v.pid, SIGSTOP), 0);
        for (int i = 0; i < 40; i++)
                send_plausible(&v, WRITER_FRAME);
        assert_int_equal(kill(v.pid, SIGCONT), 0);
        while (receive(&v, &m))
                ;
        assert_int_equal(finish(&v, r), ENDED_FOR_PROTOCOL);
        assert_device_unharmed();
}

static void flags_are_out_of_reach(void **state) {
        static const struct {
                WriterMark what;
                const char *name;
        } cases[] = { { WRITER_MARK_GOOD, "B" },   { WRITER_MARK_ACTIVE, "B" }, { WRITER_MARK_BAD, "A" },
                      { WRITER_MARK_BAD, "" },     { WRITER_MARK_GOOD, "C" },   { WRITER_MARK_ACTIVE, "../A" },
                      { WRITER_MARK_GOOD, "rootfs.b" } };
        Victim v;
        Message m;

        (void) state;
        bring(&v, WRITER_PHASE_IDLE, NULL);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(encoder_done) Encoder e = ENCODER_INIT;

                writer_encode_mark_request(&e, cases[i].what, cases[i].name);
                assert_true(ask(&v, WRITER_MARK, encoder_view(&e), -EBADF, &m));
                assert_int_equal(m.type, WRITER_FAIL);
        }
        assert_int_equal(finish(&v, NULL), 0);
        assert_device_unharmed();
}

static void unsigned_and_changed_manifests_are_refused(void **state) {
        static const size_t at[] = { 0, 1, 20, 300 };
        Victim v;
        Message m;

        (void) state;
        bring(&v, WRITER_PHASE_IDLE, NULL);
        for (size_t i = 0; i <= ELEMENTSOF(at); i++) {
                _cleanup_(encoder_done) Encoder e = ENCODER_INIT;

                links(&v);
                writer_encode_offer_request(&e, encoder_view(&release.cms));
                e.data[4 + (i < ELEMENTSOF(at) ? at[i] : release.cms.size - 3)] ^= 0x04;
                assert_true(ask(&v, WRITER_OFFER, encoder_view(&e), -EBADF, &m));
                assert_int_equal(m.type, WRITER_FAIL);
        }
        assert_int_equal(finish(&v, NULL), 0);
        assert_device_unharmed();
}

/* Leaves at any moment: the next writer finds the device whole. */
static void a_client_that_goes_away_leaves_the_target_not_bootable(void **state) {
        static const WriterPhase phases[] = { WRITER_PHASE_HELLO, WRITER_PHASE_OFFERED, WRITER_PHASE_TABLED,
                                              WRITER_PHASE_WRITING };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(phases); i++) {
                Ring *r = NULL;
                Victim v;

                bring(&v, phases[i], &r);
                assert_int_equal(finish(&v, r), 0);
                assert_device_unharmed();
        }
}

/*
 * The ring changes all the time while frames are judged: what lands is either exactly the signed release or the
 * installation fails; the writer looks at a private copy only (T26).
 */
static void a_ring_that_changes_after_submit_never_gets_a_byte_onto_the_slot(void **state) {
        Ring *r = NULL;
        Victim v;
        Message m;
        unsigned n_refused = 0;

        (void) state;
        for (int round = 0; round < 5; round++) {
                bring(&v, WRITER_PHASE_TABLED, &r);
                for (uint32_t f = 0; f < release.images[0].table->n_frames; f++) {
                        WriterFrame request = { .frame = f, .ring_slot = 1 };
                        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
                        const uint8_t *data;

                        if (test_frame(&release, 0, f, &data, &request.size))
                                memcpy(ring_slot(r, 1), data, request.size);
                        else
                                request.ring_slot = WRITER_NO_RING_SLOT;
                        writer_encode_frame_request(&e, &request);
                        submit(&v, WRITER_FRAME, encoder_view(&e), -EBADF);
                        for (int k = 0; k < 200; k++) {
                                struct pollfd p = { .fd = channel_fd(v.channel), .events = POLLIN };

                                ring_slot(r, 1)[(size_t) k * 5000] ^= 0xff;
                                if (poll(&p, 1, 0) > 0)
                                        break;
                        }
                        assert_true(receive(&v, &m));
                        if (m.type == WRITER_FAIL) {
                                n_refused++;
                                break;
                        }
                }
                assert_int_equal(finish(&v, r), 0);
                assert_device_unharmed();
        }
        print_message("%u of 5 rounds refused\n", n_refused);
}

/* What a peer is lent it may keep: asking again gives it the same memory, also in its next installation. */
static void asking_again_and_keeping_it_takes_no_more_memory(void **state) {
        static const uint32_t lent[] = { WRITER_RING, WRITER_POLICY };
        ino_t first[ELEMENTSOF(lent)] = { 0 };
        Ring *r = NULL;
        Message m;
        Victim v;

        (void) state;
        bring(&v, WRITER_PHASE_TABLED, &r);
        for (int k = 0; k < 200; k++) {
                struct stat st;
                uint32_t what = k % ELEMENTSOF(lent);

                if (k == 100) { /* a second installation */
                        assert_true(ask(&v, WRITER_ABORT, SPAN_NULL, -EBADF, &m));
                        offer(&v);
                        tables(&v);
                        assert_int_equal(ring_slot(r, 0)[0], 0); /* and nothing is left of the first */
                }
                assert_true(ask(&v, lent[what], SPAN_NULL, -EBADF, &m));
                assert_int_equal(m.type, lent[what] + 1);
                assert_int_equal(fstat(m.fd, &st), 0);
                if (k == 0) {
                        Ring *same = NULL;
                        RsError err = RS_ERROR_INIT;

                        assert_int_equal(ring_attach(fcntl(m.fd, F_DUPFD_CLOEXEC, 3), &same, &err), 0);
                        ring_slot(same, 0)[0] = 0x55;
                        (void) ring_free(same);
                }
                if (first[what] == 0)
                        first[what] = st.st_ino;
                assert_int_equal(st.st_ino, first[what]);
        }
        assert_int_equal(finish(&v, r), 0);
        assert_device_unharmed();
}

static void the_wrong_version_is_told_so(void **state) {
        uint8_t version[WRITER_VERSION_SIZE] = "0.0.0";
        Victim v;
        Message m;

        (void) state;
        start(&v);
        assert_true(ask(&v, WRITER_HELLO, SPAN_ARRAY(version), -EBADF, &m));
        assert_int_equal(m.type, WRITER_FAIL);
        hello(&v);
        assert_int_equal(finish(&v, NULL), 0);
}

static unsigned n_events;
static void on_progress(void *userdata, const WriterProgress *p) {
        (void) userdata;
        n_events++;
        assert_true(p->done_bytes <= p->total_bytes || p->total_bytes == 0);
}

/* Last, because it changes the device: an honest client through the same door; then a second FINISH. */
static void an_honest_client_installs_and_finishing_twice_ends_the_writer(void **state) {
        RsError err = RS_ERROR_INIT;
        WriterClient *c = NULL;
        WriterState s;
        char primary[33];
        Victim v;
        pid_t pid;
        int fd;

        (void) state;
        pid = start_writer(&fd);
        if (writer_client_from_fd(fd, &c, &err) < 0)
                fail_msg("%s (exit status %d)", err.text, end_of(pid));
        writer_client_on_progress(c, on_progress, NULL);
        assert_string_equal(writer_client_line(c), TEST_LINE);
        assert_int_equal(writer_call_state(c, &s, &err), 0);
        assert_string_equal(s.running, "A");
        test_client_send(c, &release);
        if (writer_call_finish(c, primary, &err) < 0)
                fail_msg("%s (%s)", err.text, err.origin);
        assert_string_equal(primary, "B");
        assert_true(test_slot_b_holds(&device, &release));
        assert_true(writer_call_abort(c, &err) < 0); /* too late, and told so */
        assert_int_equal(err.reason, RS_REASON_STATE);
        assert_true(n_events > 0);
        err = RS_ERROR_INIT;
        assert_int_equal(writer_call_state(c, &s, &err), 0);
        assert_string_equal(s.primary, "B");
        assert_true(writer_call_finish(c, primary, &err) < 0); /* in DONE: the end */
        c = writer_client_free(c);
        assert_int_equal(end_of(pid), ENDED_FOR_PROTOCOL);

        bring(&v, WRITER_PHASE_IDLE, NULL); /* the next writer starts as if nothing had been */
        assert_int_equal(finish(&v, NULL), 0);
}

static void a_writer_without_its_files_says_what_is_missing(void **state) {
        static const char *const files[] = { "gate.auth", "srk.name" };
        char path[200], away[220];

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(files); i++) {
                pid_t pid;
                int fd;

                (void) snprintf(path, sizeof(path), "%s/%s", device.state, files[i]);
                (void) snprintf(away, sizeof(away), "%s.away", path);
                assert_int_equal(rename(path, away), 0);
                pid = start_writer(&fd);
                assert_int_equal(end_of(pid), 1);
                closep(&fd);
                assert_int_equal(rename(away, path), 0);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_message_out_of_its_phase_ends_the_writer),
                cmocka_unit_test(malformed_messages_end_the_writer),
                cmocka_unit_test(raw_datagrams_that_are_no_messages_end_the_writer),
                cmocka_unit_test(tables_by_wrong_descriptors_end_the_writer),
                cmocka_unit_test(a_table_that_is_not_the_signed_one_ends_the_offer_only),
                cmocka_unit_test(evidence_by_wrong_descriptors_ends_the_writer),
                cmocka_unit_test(garbage_of_every_kind_is_refused_and_changes_nothing),
                cmocka_unit_test(a_time_stamp_answers_one_question_once),
                cmocka_unit_test(frames_that_do_not_fit_the_table_end_the_writer),
                cmocka_unit_test(a_frame_before_its_ring_ends_the_writer),
                cmocka_unit_test(wrong_bytes_are_refused_and_so_is_what_was_sent_behind_them),
                cmocka_unit_test(finish_before_the_last_frame_ends_the_writer),
                cmocka_unit_test(requests_sent_early_end_the_writer),
                cmocka_unit_test(more_frames_than_may_be_unanswered_end_the_writer),
                cmocka_unit_test(flags_are_out_of_reach),
                cmocka_unit_test(unsigned_and_changed_manifests_are_refused),
                cmocka_unit_test(a_client_that_goes_away_leaves_the_target_not_bootable),
                cmocka_unit_test(a_ring_that_changes_after_submit_never_gets_a_byte_onto_the_slot),
                cmocka_unit_test(asking_again_and_keeping_it_takes_no_more_memory),
                cmocka_unit_test(the_wrong_version_is_told_so),
                cmocka_unit_test(a_writer_without_its_files_says_what_is_missing),
                cmocka_unit_test(an_honest_client_installs_and_finishing_twice_ends_the_writer),
        };

        cmocka_set_test_filter(getenv("RESEAL_TEST_FILTER"));
        return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
