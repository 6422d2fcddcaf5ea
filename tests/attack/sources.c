/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * sources - source x attack: the same bundles over https, from a medium and through a pipe, by the jobs of reseald, into
 * the real reseal-writer (T2 to T5, T8, T10, T12, T21, T49).  Where the bytes come from changes nothing about what is
 * accepted; only what the way itself does (it stalls, ends early, never ends, changes) has words of its own.
 *
 * Behind each cell the device offers its slot as before, and at the end of each source the good release is installed.
 * What the writer's engine withstands in each mode is the matrix of tests/attack/matrix.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/format/bundle.h>
#include <reseal/job/run.h>

#include "chain.h"
#include "device.h"
#include "pki-fixture.h"

#define ROOTFS ((uint64_t) 3 << 20)

typedef enum Kind { HTTPS, MEDIUM, PIPE, _KIND_MAX } Kind;
static const char *const kinds[_KIND_MAX] = { "https", "medium", "pipe" };

static TestDevice device;
static TestRelease older, accepted, good, next;
static char www[64], socket_path[96];
static unsigned port;
static pid_t server, writer;
static TrustAnchors *anchors;

/* -- bundles ---------------------------------------------------------------------------------------------------- */

typedef struct Change {
        const TestRelease *frames_of;  /* NULL: its own */
        bool without_links, swapped, more, less;
        int flip;                      /* 1 header, 2 manifest, 3 table, 4 last frame, 5 first frame; 0 none */
} Change;

static void add_frames(const TestRelease *r, uint32_t image, Encoder *e) {
        for (uint32_t f = 0; f < r->images[image].table->n_frames; f++) {
                const uint8_t *data;
                uint32_t size;

                if (test_frame(r, image, f, &data, &size))
                        encoder_bytes(e, data, size);
        }
}

static void flip(Encoder *all, const BundleHeader *h, int what) {
        const BundleSection *const sections[] = { NULL, NULL, &h->manifest, &h->tables[0], &h->frames[0] };

        if (what == 1)
                all->data[20] ^= 1;
        else if (what == 5)
                all->data[h->frames[0].offset + 5] ^= 1;
        else if (what > 1)
                all->data[sections[what]->offset + sections[what]->length - 5] ^= 1;
}

/* www/NAME: not encrypted, as docs/format-bundle.md has it. */
static void make_bundle(const char *name, const TestRelease *r, Change change) {
        _cleanup_(encoder_done) Encoder all = ENCODER_INIT, frames = ENCODER_INIT;
        BundleHeader h = { .n_images = 1 };
        RsError err = RS_ERROR_INIT;
        char path[160];

        add_frames(change.frames_of ? change.frames_of : r, 0, &frames);
        assert_true(frames.data && frames.size > 2 * RS_FRAME_SIZE_MAX - 1);
        h.manifest.length = r->cms.size;
        h.links.length = change.without_links ? 0 : r->links.size;
        h.tables[0].length = r->images[0].encoded.size;
        h.frames[0].length = frames.size;
        for (size_t k = 0; change.swapped && k < RS_FRAME_SIZE_MAX; k++) { /* the first two frames */
                uint8_t one = frames.data[k];

                frames.data[k] = frames.data[k + RS_FRAME_SIZE_MAX];
                frames.data[k + RS_FRAME_SIZE_MAX] = one;
        }
        assert_int_equal(bundle_header_encode(&h, &all, &err), 0);
        encoder_span(&all, encoder_view(&r->cms));
        if (!change.without_links)
                encoder_span(&all, encoder_view(&r->links));
        encoder_span(&all, encoder_view(&r->images[0].encoded));
        encoder_span(&all, encoder_view(&frames));
        assert_int_equal(all.size, h.file_size);
        flip(&all, &h, change.flip);
        if (change.more)
                encoder_bytes(&all, (uint8_t[4096]){ 0 }, 4096);
        if (change.less)
                all.size -= 4096;
        (void) snprintf(path, sizeof(path), "%s/%s", www, name);
        assert_int_equal(file_replace(AT_FDCWD, path, encoder_view(&all), 0644, &err), 0);
}

static void open_release(TestRelease *r, uint64_t release, void (*change)(Manifest *m), const char *signer) {
        test_release_begin(r, release, 0, ROOTFS);
        r->manifest->confidential = false;
        r->manifest->n_images = 1; /* all tables come before the first frame: a pipe has no way back to a second one */
        if (change)
                change(r->manifest);
        test_release_sign(r, signer);
}

/* In a branch: the line itself goes on to the good release. */
static void make_crafted(const char *name, uint64_t release, void (*change)(Manifest *m), const char *signer) {
        ChainFixture *branch = chain_fixture_branch(test_history(), (uint32_t) release - 1);
        TestRelease r;

        test_history_branch(branch);
        open_release(&r, release, change, signer);
        test_history_branch(NULL);
        make_bundle(name, &r, (Change){ 0 });
        test_release_done(&r);
        (void) chain_fixture_unbranch(branch, (uint32_t) release - 1);
}

static void other_board(Manifest *m) { m->compatible[0][0] = 'x'; }
static void other_line(Manifest *m) { m->line[0] = 'x'; }
static void other_content(Manifest *m) { m->created = 4711; }

static void make_bundles(void) {
        open_release(&good, 3, NULL, NULL);
        open_release(&next, 4, NULL, NULL);
        make_bundle("good", &good, (Change){ 0 });
        make_bundle("older", &older, (Change){ 0 });
        make_bundle("accepted", &accepted, (Change){ 0 });
        make_bundle("without-links", &good, (Change){ .without_links = true });
        make_bundle("mixed", &good, (Change){ .frames_of = &next });
        make_bundle("swapped", &good, (Change){ .swapped = true });
        make_bundle("long", &good, (Change){ .more = true });
        make_bundle("cut", &good, (Change){ .less = true });
        make_bundle("flip-header", &good, (Change){ .flip = 1 });
        make_bundle("flip-manifest", &good, (Change){ .flip = 2 });
        make_bundle("flip-table", &good, (Change){ .flip = 3 });
        make_bundle("flip-first", &good, (Change){ .flip = 5 });
        make_bundle("flip-last", &good, (Change){ .flip = 4 });
        make_crafted("stranger", 3, NULL, "bad/signer-other");
        make_crafted("replaced", 2, other_content, NULL);
        make_crafted("board", 3, other_board, NULL);
        make_crafted("line", 3, other_line, NULL);
}

/* -- the ways --------------------------------------------------------------------------------------------------- */

/* A pipe with the file in it; stalls: half of it, and then nothing, but the end stays open. */
static int pipe_of(const char *path, bool stalls, pid_t *ret_pid) {
        int fds[2];

        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        *ret_pid = fork();
        if (*ret_pid == 0) {
                char buffer[65536];
                ssize_t n;
                int fd = open(path, O_RDONLY | O_CLOEXEC);

                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                (void) signal(SIGPIPE, SIG_DFL);
                for (unsigned k = 0; (n = read(fd, buffer, sizeof(buffer))) > 0 && !(stalls && k == 20); k++)
                        if (write(fds[1], buffer, (size_t) n) != n)
                                _exit(1);
                if (stalls)
                        (void) pause();
                _exit(0);
        }
        assert_true(*ret_pid > 0);
        closep(&fds[1]);
        return fds[0];
}

static void end_of(pid_t pid) {
        if (pid <= 0)
                return;
        (void) kill(pid, SIGKILL);
        (void) waitpid(pid, NULL, 0);
}

static int run(Kind kind, const char *way, const char *name, RsError *err) {
        JobEnv env = { .https = HTTPS_CONFIG_DEFAULT, .writer_socket = socket_path, .writer_retry_usec = 10000,
                       .writer_retries = 3 };
        bool stalls = strcmp(way, "stall") == 0;
        JobOrder order = JOB_ORDER_INIT;
        char url[200], path[160];
        JobProgress last;
        pid_t feeder = 0;
        int r;

        env.https.anchors = anchors;
        env.https.retry_usec = 1000;
        env.https.max_retries = 1;
        if (stalls)
                env.https.low_speed_usec = 1000000;
        (void) snprintf(url, sizeof(url), "https://localhost:%u/%s/%s", port, way, name);
        (void) snprintf(path, sizeof(path), "%s/%s", www, name);
        if (kind == HTTPS)
                order.url = url;
        else
                order.bundle_fd = kind == MEDIUM ? open(path, O_RDONLY | O_CLOEXEC) : pipe_of(path, stalls, &feeder);
        r = job_run(&env, &order, NULL, NULL, &last, err);
        if (order.bundle_fd >= 0)
                (void) close(order.bundle_fd);
        end_of(feeder);
        return r;
}

/* -- the matrix ------------------------------------------------------------------------------------------------- */

typedef struct Row {
        const char *name, *known_as, *way, *bundle;
        RsReason reasons[_KIND_MAX];   /* NONE: this source has no such way; of a pipe nothing behind the end is read */
} Row;

#define ALL(reason) { RS_REASON_##reason, RS_REASON_##reason, RS_REASON_##reason }
static const Row rows[] = {
        { "arbitrary software", "TUF arbitrary", "good", "stranger", ALL(CERTIFICATE) },
        { "changed manifest", "NET.ONPATH", "good", "flip-manifest", ALL(SIGNATURE) },
        { "release of another line", "TUF wrong software", "good", "line", ALL(LINE) },
        { "wrong hardware", "IMG.INCOMPATIBLE", "good", "board", ALL(COMPATIBLE) },
        { "rollback", "TUF rollback", "good", "older", ALL(ROLLBACK) },
        { "replaced release", "IMG.REPLACE", "good", "replaced", ALL(CHAIN_FORK) },
        { "history held back", "TUF freeze", "good", "without-links", ALL(CHAIN_GAP) },
        { "changed header", "parser", "good", "flip-header", ALL(FORMAT) },
        { "changed table", "IMG.REPLACE", "good", "flip-table", ALL(TABLE_DIGEST) },
        { "bad first frame", "IMG.REPLACE", "good", "flip-first", ALL(FRAME_DIGEST) },
        { "bad last frame", "IMG.REPLACE", "good", "flip-last", ALL(FRAME_DIGEST) },
        { "frames of another release", "TUF mix-and-match", "good", "mixed", ALL(FRAME_DIGEST) },
        { "frames reordered", "TUF mix-and-match", "good", "swapped", ALL(FRAME_DIGEST) },
        { "more than it says", "TUF endless data", "good", "long", { RS_REASON_FORMAT, RS_REASON_FORMAT, 0 } },
        { "less than it says", "TUF partial bundle", "good", "cut", { RS_REASON_FORMAT, RS_REASON_FORMAT, RS_REASON_TRUNCATED } },
        { "never ends", "TUF endless data", "endless", "good", { RS_REASON_TOO_MUCH, 0, 0 } },
        { "stalls", "TUF slow retrieval", "stall", "good", { RS_REASON_SLOW, 0, RS_REASON_SLOW } },
        { "another file half way", "TOCTOU", "changes-206", "good", { RS_REASON_SOURCE_CHANGED, 0, 0 } },
        { "another place of the file", "NET.ONPATH", "shift-range", "good", { RS_REASON_HTTP, 0, 0 } },
        { "no HTTP at all", "NET.REDIRECT", "not-http", "good", { RS_REASON_HTTP, 0, 0 } },
};

static unsigned n_cells;

static void withstand(Kind kind) {
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                RsReason reason = rows[i].reasons[kind];
                RsError err = RS_ERROR_INIT;

                if (reason == RS_REASON_NONE)
                        continue;
                if (run(kind, rows[i].way, rows[i].bundle, &err) == 0 || err.reason != reason)
                        fail_msg("%s, %s: %s (%s) instead of %s", kinds[kind], rows[i].name, rs_reason_name(err.reason),
                                 err.text, rs_reason_name(reason));
                n_cells++;
        }
        RsError err = RS_ERROR_INIT;
        if (run(kind, "good", "good", &err) < 0)
                fail_msg("%s, the good release: %s: %s", kinds[kind], rs_reason_name(err.reason), err.text);
}

static void start_writer(void);

/*
 * No encryption: what comes is then decided by the writer alone, and a ticket is not what is tested here.  One slot class:
 * see open_release.
 */
static void configure(void) {
        _cleanup_(freep) uint8_t *text = NULL;
        RsError err = RS_ERROR_INIT;
        const char *end, *idle;
        char changed[8192];
        size_t size;
        int n;

        assert_int_equal(file_read(AT_FDCWD, device.config, 4096, &text, &size, &err), 1);
        idle = memmem(text, size, "idle-exit=1", 11);
        end = memmem(text, size, "[slot kernel.a]", 15);
        assert_true(idle && end && idle < end);
        n = snprintf(changed, sizeof(changed), "%.*s%s%.*s[policy]\nrequire-encryption=no\n",
                     (int) (idle - (const char *) text), (const char *) text, "idle-exit=0",
                     (int) (end - idle - 11), idle + 11);
        assert_int_equal(file_replace(AT_FDCWD, device.config, SPAN(changed, (size_t) n), 0600, &err), 0);
}

static void install_and_boot(const TestRelease *r, const char *name, const char *slot) {
        char marked[WRITER_NAME_SIZE + 1];
        RsError err = RS_ERROR_INIT;
        WriterClient *c = NULL;

        if (run(MEDIUM, "good", name, &err) < 0)
                fail_msg("%s: %s: %s", name, rs_reason_name(err.reason), err.text);
        end_of(writer);
        test_device_boot(&device, slot, r->bundle_id);
        start_writer();
        if (writer_client_connect(socket_path, &c, &err) < 0 || writer_call_mark(c, WRITER_MARK_GOOD, "", marked, &err) < 0)
                fail_msg("%s", err.text);
        (void) writer_client_free(c);
}

/* A new device on which release 2 runs and is good. */
static void begin_again(void) {
        end_of(writer);
        test_device_done(&device);
        test_device_make(&device, ROOTFS);
        configure();
        start_writer();
        install_and_boot(&older, "older", "B");
        install_and_boot(&accepted, "accepted", "A");
}

static void https_withstands(void **state) {
        (void) state;
        withstand(HTTPS);
}

static void a_medium_withstands(void **state) {
        (void) state;
        begin_again();
        withstand(MEDIUM);
}

static void a_pipe_withstands(void **state) {
        (void) state;
        begin_again();
        withstand(PIPE);
}

static void the_table_is_complete(void **state) {
        unsigned expected = 0;

        (void) state;
        print_message("| %-26s | %-18s | %-13s | %-13s | %-13s |\n|---|---|---|---|---|\n", "attack", "known as", kinds[0],
                      kinds[1], kinds[2]);
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                print_message("| %-26s | %-18s |", rows[i].name, rows[i].known_as);
                for (int k = 0; k < _KIND_MAX; k++) {
                        expected += rows[i].reasons[k] != RS_REASON_NONE;
                        print_message(" %-13s |", rows[i].reasons[k] ? rs_reason_name(rows[i].reasons[k]) : "-");
                }
                print_message("\n");
        }
        assert_int_equal(n_cells, expected);
}

/* -- programs --------------------------------------------------------------------------------------------------- */

static void pause_a_little(void) {
        const struct timespec pause = { .tv_nsec = 20000000 };

        (void) nanosleep(&pause, NULL);
}

static void start_server(void) {
        char program[512], port_file[128], cert[128], key[128];
        _cleanup_(freep) uint8_t *text = NULL;
        RsError err = RS_ERROR_INIT;
        char digits[16] = "";
        size_t size;

        (void) snprintf(program, sizeof(program), "%s/tests/integration/hostile-server.py", getenv("SOURCE_ROOT"));
        (void) snprintf(port_file, sizeof(port_file), "%s/port", www);
        (void) snprintf(cert, sizeof(cert), "%s", pki_path("source/server.pem"));
        (void) snprintf(key, sizeof(key), "%s", pki_path("source/server.key"));
        server = fork();
        if (server == 0) {
                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                execlp("python3", "python3", program, port_file, www, cert, key, (char *) NULL);
                _exit(127);
        }
        assert_true(server > 0);
        while (access(port_file, F_OK) < 0) {
                assert_int_equal(waitpid(server, NULL, WNOHANG), 0);
                pause_a_little();
        }
        assert_int_equal(file_read(AT_FDCWD, port_file, 15, &text, &size, &err), 1);
        memcpy(digits, text, size);
        port = (unsigned) strtoul(digits, NULL, 10);
}

static void start_writer(void) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        char program[512], pid[32];
        int fd, high;

        (void) snprintf(program, sizeof(program), "%s/src/writer/reseal-writer", getenv("BUILD_ROOT"));
        (void) snprintf(socket_path, sizeof(socket_path), "%s/socket", www);
        (void) unlink(socket_path);
        memcpy(address.sun_path, socket_path, strlen(socket_path) + 1);
        fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(fd, (const struct sockaddr *) &address, sizeof(address)), 0);
        assert_int_equal(listen(fd, 4), 0);
        high = fcntl(fd, F_DUPFD_CLOEXEC, 10);
        writer = fork();
        if (writer == 0) {
                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                (void) setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
                if (dup2(high, 3) < 0)
                        _exit(126);
                if (!getenv("RESEAL_TEST_VERBOSE"))
                        (void) dup2(open("/dev/null", O_WRONLY), 2);
                (void) snprintf(pid, sizeof(pid), "%d", (int) getpid());
                (void) setenv("LISTEN_PID", pid, 1);
                (void) setenv("LISTEN_FDS", "1", 1);
                execl(program, program, "--config", device.config, (char *) NULL);
                _exit(127);
        }
        assert_true(writer > 0);
        (void) close(fd);
        (void) close(high);
}

static int group_setup(void **state) {
        RsError err = RS_ERROR_INIT;

        if (test_pki_setup(state) < 0 || pki_setup(state) < 0)
                return -1;
        (void) signal(SIGPIPE, SIG_IGN);
        (void) snprintf(www, sizeof(www), "/tmp/reseal-sources.XXXXXX");
        assert_non_null(mkdtemp(www));
        assert_int_equal(https_global_init(&err), 0);
        assert_int_equal(anchors_load(pki_path("source/root.pem"), &anchors, &err), 0);
        test_device_make(&device, ROOTFS);
        open_release(&older, 1, NULL, NULL);
        open_release(&accepted, 2, NULL, NULL);
        make_bundles();
        start_server();
        begin_again();
        return 0;
}

static int group_teardown(void **state) {
        char command[128];
        int r;

        end_of(writer);
        end_of(server);
        test_release_done(&older);
        test_release_done(&accepted);
        test_release_done(&good);
        test_release_done(&next);
        anchors = anchors_free(anchors);
        test_device_done(&device);
        (void) snprintf(command, sizeof(command), "rm -rf %s", www);
        r = system(command);
        (void) pki_teardown(state);
        return test_pki_teardown(state) == 0 && r == 0 ? 0 : -1;
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(https_withstands),
                cmocka_unit_test(a_medium_withstands),
                cmocka_unit_test(a_pipe_withstands),
                cmocka_unit_test(the_table_is_complete),
        };

        cmocka_set_test_filter(getenv("RESEAL_TEST_FILTER"));
        return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
