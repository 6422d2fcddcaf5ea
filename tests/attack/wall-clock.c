/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * wall-clock - whoever sets the device's clock (NTP or GNSS spoofed, the battery taken out) moves nothing (T34, T35, S62):
 * not the floor of the time, not a verdict about a certificate, not an accepted release.  And what is refused raises no
 * floor either, however late the check that refuses it.
 *
 * The wall clock is that of this process: time(), clock_gettime() and gettimeofday() below take the place of libc's for
 * OpenSSL and the engine alike.  Certificates are made at the true time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <reseal/base/cleanup.h>

#include "device.h"

#define ROOTFS ((uint64_t) 1 << 20)

static uint64_t wall, beginning; /* wall 0: the true time */

static uint64_t clock_of_the_wall(void) {
        struct timespec now;

        if (wall != 0)
                return wall;
        if (syscall(SYS_clock_gettime, CLOCK_REALTIME, &now) < 0)
                abort();
        return (uint64_t) now.tv_sec;
}

time_t time(time_t *ret) {
        if (ret)
                *ret = (time_t) clock_of_the_wall();
        return (time_t) clock_of_the_wall();
}

int gettimeofday(struct timeval *restrict ret, void *restrict zone) {
        (void) zone;
        *ret = (struct timeval){ .tv_sec = (time_t) clock_of_the_wall() };
        return 0;
}

int clock_gettime(clockid_t id, struct timespec *ret) {
        if (id != CLOCK_REALTIME)
                return (int) syscall(SYS_clock_gettime, id, ret);
        *ret = (struct timespec){ .tv_sec = (time_t) clock_of_the_wall() };
        return 0;
}

static const uint64_t clocks[] = { 1, UINT64_C(1546300800), UINT64_C(2147483648), UINT64_C(4070908800) }; /* 1970, 2019, ... */
static TestDevice device;
static TestRelease good, expired, other_board, in_clear;

static void craft(TestRelease *r, void (*change)(Manifest *m), const char *signer) {
        test_release_begin(r, 1, 0, ROOTFS);
        r->manifest->created = clocks[3]; /* says whoever made it */
        if (change)
                change(r->manifest);
        test_release_sign(r, signer);
}

static void change_board(Manifest *m) { m->compatible[0][0] = 'x'; }
static void take_protection(Manifest *m) { m->confidential = false; }

static int group_setup(void **state) {
        if (test_pki_setup(state) < 0)
                return -1;
        beginning = clock_of_the_wall();
        test_device_make(&device, ROOTFS);
        craft(&expired, NULL, "bad/signer-expired");
        craft(&other_board, change_board, NULL);
        craft(&in_clear, take_protection, NULL);
        test_release_make(&good, 1, 0, ROOTFS);
        return 0;
}

static int group_teardown(void **state) {
        test_release_done(&good);
        test_release_done(&expired);
        test_release_done(&other_board);
        test_release_done(&in_clear);
        test_device_done(&device);
        return test_pki_teardown(state);
}

static RsReason offer(TestEngine *e, const TestRelease *r) {
        RsError err = RS_ERROR_INIT;
        WriterOffer unused;

        if (test_engine_offer(e, r, &unused, &err) == 0)
                install_abort(e->installer);
        return err.reason;
}

/* What the device believes: the floor as TIME tells it, and the one in the TPM. */
static void believed(TestEngine *e, uint64_t *ret_low, uint64_t *ret_record) {
        RsError err = RS_ERROR_INIT;
        TpmState tpm;
        WriterTime t;

        assert_int_equal(install_time(e->installer, &t, &err), 0);
        assert_true(t.high == UINT64_MAX && !t.proven);
        assert_int_equal(tpm_state_read(e->tpm, &tpm, &err), 0);
        *ret_low = t.low;
        *ret_record = tpm.record.time_floor;
}

static void no_wall_clock_moves_a_verdict_or_the_floor(void **state) {
        uint64_t low = 0, record = 0;

        (void) state;
        for (size_t k = 0; k < 1 + ELEMENTSOF(clocks); k++) {
                uint64_t now_low, now_record;
                TestEngine e;

                wall = k == 0 ? 0 : clocks[k - 1];
                test_engine_open(&e, &device, NULL, NULL);
                assert_int_equal(offer(&e, &expired), RS_REASON_EXPIRED);         /* ended in 2021, also in 2019 */
                assert_int_equal(offer(&e, &other_board), RS_REASON_COMPATIBLE);
                assert_int_equal(offer(&e, &in_clear), RS_REASON_POLICY);         /* the last check but one */
                assert_int_equal(offer(&e, &good), RS_REASON_NONE);               /* ends in ten years, also in 2099 */
                believed(&e, &now_low, &now_record);
                test_engine_close(&e);
                if (k == 0) {
                        low = now_low;
                        record = now_record;
                }
                assert_int_equal(now_low, low);
                assert_int_equal(now_record, record);
        }
        assert_int_equal(low, RS_BUILD_TIME);
        wall = 0;
}

/* In 2099: what rises is what the authority has signed, the beginning of the signer's certificate. */
static void an_installation_in_2099_raises_the_floor_to_what_was_signed(void **state) {
        const uint64_t truth = clock_of_the_wall();
        RsError err = RS_ERROR_INIT;
        uint64_t low, record;
        char name[WRITER_NAME_SIZE + 1];
        TestEngine e;

        (void) state;
        wall = clocks[3];
        test_engine_open(&e, &device, NULL, NULL);
        if (test_engine_install(&e, &good, &err) < 0)
                fail_msg("%s: %s", rs_reason_name(err.reason), err.text);
        test_engine_close(&e);
        test_device_boot(&device, "B", good.bundle_id);
        test_engine_open(&e, &device, NULL, NULL);
        assert_int_equal(install_mark(e.installer, INSTALL_BY_DAEMON, WRITER_MARK_GOOD, "", name, &err), 0);
        believed(&e, &low, &record);
        test_engine_close(&e);
        wall = 0;
        assert_in_range(low, beginning, truth);
        assert_in_range(record, beginning, truth);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(no_wall_clock_moves_a_verdict_or_the_floor),
                cmocka_unit_test(an_installation_in_2099_raises_the_floor_to_what_was_signed),
        };

        cmocka_set_test_filter(getenv("RESEAL_TEST_FILTER"));
        return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
