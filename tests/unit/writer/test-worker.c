/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The worker thread on a device of its own: swtpm, slots as files, a real GRUB environment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <reseal/base/cleanup.h>

#include "device.h"
#include "worker.h"

#define ROOTFS ((uint64_t) 9 << 20)

typedef struct World {
        TestDevice d;
        TestRelease one;
        TestEngine e;
        int wake_fd;
        Worker *worker;
} World;

static int setup(void **state) {
        World *w = calloc(1, sizeof(*w));

        test_device_make(&w->d, ROOTFS);
        test_release_make(&w->one, 1, 1, ROOTFS);
        w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        assert_true(w->wake_fd >= 0);
        test_engine_open(&w->e, &w->d, NULL, NULL);
        *state = w;
        return 0;
}

static int teardown(void **state) {
        World *w = *state;

        w->worker = worker_stop(w->worker);
        test_engine_close(&w->e);
        test_release_done(&w->one);
        test_device_done(&w->d);
        closep(&w->wake_fd);
        free(w);
        return 0;
}

static void start(World *w) {
        RsError err = RS_ERROR_INIT;

        if (worker_start(&w->e.device, w->wake_fd, &w->worker, &err) < 0)
                fail_msg("%s", err.text);
}

static void post(World *w, uint32_t type) {
        Work *work = work_new(type, 1, 1);

        assert_non_null(work);
        worker_post(w->worker, work);
}

/* The next finished work that is an answer. */
static Work *wait_answer(World *w) {
        for (;;) {
                struct pollfd p = { .fd = w->wake_fd, .events = POLLIN };
                Work *work;
                uint64_t n;

                while ((work = worker_take(w->worker))) {
                        if (work->type != WRITER_EVENT_PROGRESS)
                                return work;
                        (void) work_free(work);
                }
                assert_true(poll(&p, 1, -1) > 0);
                assert_int_equal(read(w->wake_fd, &n, sizeof(n)), sizeof(n));
        }
}

static WriterState ask_state(World *w) {
        _cleanup_(work_freep) Work *work = NULL;
        RsError err = RS_ERROR_INIT;
        WriterState s;

        post(w, WRITER_STATE);
        work = wait_answer(w);
        assert_int_equal(work->type, WRITER_STATE);
        assert_int_equal(work->error.reason, RS_REASON_NONE);
        assert_int_equal(writer_decode_state(encoder_view(&work->answer), &s, &err), 0);
        return s;
}

/* Cut behind W8: the record is still there, the boot state names the target. */
static void leave_record(World *w, uint32_t step) {
        InstallRecord record = { .step = step, .target = "B", .n_images = 1 };
        RsError err = RS_ERROR_INIT;

        assert_int_equal(install_record_save(w->e.state_fd, &record, &err), 0);
}

static void a_start_alone_closes_a_record_that_is_behind_w8(void **state) {
        World *w = *state;

        leave_record(w, INSTALL_W8_TRY);
        start(w);
        assert_int_equal(ask_state(w).step, 0);
}

static void a_start_keeps_a_record_that_can_be_resumed(void **state) {
        World *w = *state;

        leave_record(w, INSTALL_W4_FRAMES);
        start(w);
        assert_int_equal(ask_state(w).step, INSTALL_W4_FRAMES + 1);
}

/* W11 was cut: the running slot is good, its epoch above the floor's; no request of anybody is needed. */
static void a_start_alone_raises_the_floor(void **state) {
        World *w = *state;
        RsError err = RS_ERROR_INIT;

        if (test_engine_install(&w->e, &w->one, &err) < 0)
                fail_msg("%s", err.text);
        test_device_boot(&w->d, "B", w->one.bundle_id);
        assert_int_equal(boot_set_good(w->e.boot, "B", &err), 0);
        start(w);
        assert_int_equal(ask_state(w).floor_epoch, 1);
}

static void a_device_that_cannot_converge_answers_all_the_same(void **state) {
        World *w = *state;

        assert_int_equal(unlink(w->d.booted), 0);
        start(w);
        assert_string_equal(ask_state(w).running, "");
}

/* The TPM hangs in the middle of a request: who asks for the state does not wait for it. */
static void slots_and_state_are_answered_while_the_worker_hangs(void **state) {
        static const uint32_t types[] = { WRITER_SLOTS, WRITER_STATE };
        World *w = *state;
        RsError err = RS_ERROR_INIT;
        WriterState s;

        start(w);
        assert_int_equal(ask_state(w).step, 0);
        assert_int_equal(kill(w->d.tpm.swtpm.pid, SIGSTOP), 0);
        post(w, WRITER_STATE);
        for (size_t i = 0; i < ELEMENTSOF(types); i++) {
                _cleanup_(work_freep) Work *known = work_new(types[i], 1, 1);

                assert_true(worker_answer_known(w->worker, known));
                assert_int_equal(known->error.reason, RS_REASON_NONE);
                if (types[i] == WRITER_STATE) {
                        assert_int_equal(writer_decode_state(encoder_view(&known->answer), &s, &err), 0);
                        assert_string_equal(s.running, "A");
                }
        }
        assert_null(worker_take(w->worker)); /* it hangs, still */
        while (worker_is_alive(w->worker, 10000))
                (void) usleep(1000);
        assert_int_equal(kill(w->d.tpm.swtpm.pid, SIGCONT), 0);
        (void) work_free(wait_answer(w));
        while (!worker_is_alive(w->worker, 0)) /* free: silence is no sign of death then */
                (void) usleep(1000);
}

/* What others changed is seen: a free worker reads anew. */
static void a_free_worker_is_asked_itself(void **state) {
        _cleanup_(work_freep) Work *known = work_new(WRITER_STATE, 1, 1);
        World *w = *state;
        RsError err = RS_ERROR_INIT;

        start(w);
        assert_string_equal(ask_state(w).primary, "A");
        assert_int_equal(boot_set_try(w->e.boot, "B", &err), 0);
        assert_string_equal(ask_state(w).primary, "B");
        while (worker_answer_known(w->worker, known)) /* until the thread has noticed that it is done */
                encoder_done(&known->answer);
}

/* Want of descriptors is this process's trouble: Io, and not a broken protocol, for which the program would end. */
static void a_table_whose_descriptor_could_not_be_kept_fails_for_that_reason(void **state) {
        _cleanup_(work_freep) Work *answer = NULL;
        World *w = *state;
        Work *table = work_new(WRITER_TABLE, 1, 1);

        start(w);
        table->fd = -EMFILE;
        table->size = 100;
        worker_post(w->worker, table);
        answer = wait_answer(w);
        assert_int_equal(answer->error.reason, RS_REASON_IO);
        assert_int_equal(answer->error.errnum, EMFILE);
}

/* Each peer has a queue of its own: what one has asked for behind what runs does not come before the other's. */
static void a_peer_waits_for_one_request_of_the_others_at_most(void **state) {
        World *w = *state;
        Work *verdict = work_new(WRITER_REJECT, 2, 1);
        bool told = false;

        start(w);
        assert_int_equal(ask_state(w).step, 0);
        assert_int_equal(kill(w->d.tpm.swtpm.pid, SIGSTOP), 0);
        for (int i = 0; i < 20; i++)
                post(w, WRITER_STATE);
        verdict->peer = WORK_OF_HEALTH;
        worker_post(w->worker, verdict);
        assert_int_equal(kill(w->d.tpm.swtpm.pid, SIGCONT), 0);
        for (int i = 0; i < 21; i++) {
                _cleanup_(work_freep) Work *work = wait_answer(w);

                told = told || work->type == WRITER_REJECT;
                assert_true(told || i < 2);
        }
        assert_true(told);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(a_start_alone_closes_a_record_that_is_behind_w8, setup, teardown),
                cmocka_unit_test_setup_teardown(a_start_keeps_a_record_that_can_be_resumed, setup, teardown),
                cmocka_unit_test_setup_teardown(a_start_alone_raises_the_floor, setup, teardown),
                cmocka_unit_test_setup_teardown(a_device_that_cannot_converge_answers_all_the_same, setup, teardown),
                cmocka_unit_test_setup_teardown(slots_and_state_are_answered_while_the_worker_hangs, setup, teardown),
                cmocka_unit_test_setup_teardown(a_free_worker_is_asked_itself, setup, teardown),
                cmocka_unit_test_setup_teardown(a_peer_waits_for_one_request_of_the_others_at_most, setup, teardown),
                cmocka_unit_test_setup_teardown(a_table_whose_descriptor_could_not_be_kept_fails_for_that_reason, setup,
                                                teardown),
        };

        cmocka_set_test_filter(getenv("RESEAL_TEST_FILTER"));
        return cmocka_run_group_tests(tests, test_pki_setup, test_pki_teardown);
}
