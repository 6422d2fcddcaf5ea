/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * cut-install - the power fails: at every step of an installation and at every write of one (DESIGN.md 8, D7, I0 to
 * I5).
 *
 * A child drives the engine and is killed by SIGKILL, at a step (on_step) or right before the n-th call that changes
 * anything
 * on a medium (the calls stand between the rooms and the system: --wrap).  Then a fresh engine looks at the device:
 *   - the running slot has its bytes and is good; the boot state can be read and starts it, unless the target is
 *     complete;
 *   - the target is bootable only if all of it can be read back through its own header with the TPM;
 *   - a record that the TPM accepted belongs to a complete target;
 * and the same release, offered again, lands.  One device serves all cuts: each installs the next release into slot
 * B.
 *
 * RESEAL_TEST_STRIDE=1 cuts at every single write (minutes); the default cuts at every 5th.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <reseal/base/cleanup.h>

#include "device.h"

#define ROOTFS ((uint64_t) 18 << 20) /* two windows */

static TestDevice device;
static uint8_t running[32];
static uint64_t next_release = 1;

/* Of the child */
static atomic_int writes_left = -1;      /* -1: no cut by count */
static atomic_int n_writes;

static void count_write(void) {
        (void) atomic_fetch_add(&n_writes, 1);
        if (atomic_load(&writes_left) >= 0 && atomic_fetch_sub(&writes_left, 1) == 0)
                (void) raise(SIGKILL);
}

ssize_t __real_pwrite64(int fd, const void *buffer, size_t size, off64_t offset);
ssize_t __wrap_pwrite64(int fd, const void *buffer, size_t size, off64_t offset);
ssize_t __wrap_pwrite64(int fd, const void *buffer, size_t size, off64_t offset) {
        count_write();
        return __real_pwrite64(fd, buffer, size, offset);
}

int __real_renameat(int a, const char *from, int b, const char *to);
int __wrap_renameat(int a, const char *from, int b, const char *to);
int __wrap_renameat(int a, const char *from, int b, const char *to) {
        count_write();
        return __real_renameat(a, from, b, to);
}

int __real_unlinkat(int fd, const char *name, int flags);
int __wrap_unlinkat(int fd, const char *name, int flags);
int __wrap_unlinkat(int fd, const char *name, int flags) {
        count_write();
        return __real_unlinkat(fd, name, flags);
}

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd) {
        count_write();
        return __real_fsync(fd);
}

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_fdatasync(int fd) {
        count_write();
        return __real_fdatasync(fd);
}

typedef struct Cut {
        int step;       /* -1: none */
        bool done;      /* behind it or before it */
        int writes;     /* -1: none */
} Cut;

static void on_step(void *userdata, InstallStep step, bool done) {
        const Cut *cut = userdata;

        if (cut && (int) step == cut->step && done == cut->done)
                (void) raise(SIGKILL);
}

/* Runs `what` in a child; true: it was cut, false: it came to its end. */
static bool run_child(int (*what)(TestEngine *e, const TestRelease *r, RsError *err), const TestRelease *r, Cut cut) {
        int status = 0;
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
                RsError err = RS_ERROR_INIT;
                TestEngine e;

                test_engine_open(&e, &device, on_step, &cut);
                atomic_store(&writes_left, cut.writes);
                if (what(&e, r, &err) < 0) {
                        (void) fprintf(stderr, "child: %s (%s)\n", err.text, err.origin);
                        _exit(1);
                }
                _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
                return true;
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
        return false;
}

static void look(TestEngine *e, BootState *ret_boot, TpmState *ret_tpm) {
        RsError err = RS_ERROR_INIT;

        if (boot_read(e->boot, ret_boot, &err) < 0 || tpm_state_read(e->tpm, ret_tpm, &err) < 0)
                fail_msg("%s", err.text);
}

static void assert_invariants(const TestRelease *r) {
        uint8_t now[32];
        BootState boot;
        TpmState tpm;
        TestEngine e;
        bool complete = false, accepted;

        test_sha256_of_file(device.slot_path[0], now);
        assert_memory_equal(now, running, 32); /* I1 */
        test_engine_open(&e, &device, NULL, NULL);
        look(&e, &boot, &tpm);
        assert_true(boot.slots[0].good && boot.slots[0].bootable);
        accepted = !tpm.record.empty && tpm.record.release == r->manifest->release;
        if (boot.slots[1].bootable || accepted)
                complete = test_slot_b_holds(&device, r);
        assert_true(!boot.slots[1].bootable || complete || tpm.record.release < r->manifest->release); /* I2 */
        if (boot.slots[1].bootable && !complete) {
                /* still the release before: then nothing of the new one has begun */
                InstallRecord record;
                RsError err = RS_ERROR_INIT;

                if (install_record_load(e.state_fd, &record, &err) > 0)
                        assert_true(record.step < INSTALL_W2_UNBOOTABLE);
        }
        assert_true(!accepted || complete);
        assert_string_equal(boot.primary, boot.slots[1].bootable ? "B" : "A");
        test_engine_close(&e);
}

static void assert_converges(const TestRelease *r) {
        BootState boot;
        TpmState tpm;
        TestEngine e;

        assert_false(run_child(test_engine_install, r, (Cut){ -1, false, -1 }));
        assert_invariants(r);
        test_engine_open(&e, &device, NULL, NULL);
        look(&e, &boot, &tpm);
        assert_string_equal(boot.primary, "B");
        assert_int_equal(tpm.record.release, r->manifest->release);
        assert_true(test_slot_b_holds(&device, r));
        test_engine_close(&e);
}

static int group_setup(void **state) {
        if (test_pki_setup(state) < 0)
                return -1;
        test_device_make(&device, ROOTFS);
        test_sha256_of_file(device.slot_path[0], running);
        return 0;
}

static int group_teardown(void **state) {
        test_device_done(&device);
        return test_pki_teardown(state);
}

static void a_cut_before_or_behind_any_step_converges(void **state) {
        (void) state;
        for (int step = INSTALL_W0_GATE; step <= INSTALL_W12_CLOSE; step++)
                for (int done = 0; done < 2; done++) {
                        TestRelease r;

                        if ((step >= INSTALL_W9_TRIAL && step <= INSTALL_W11_FLOOR) || (step == INSTALL_W0_GATE && done))
                                continue; /* W10, W11: below; W9 is the bootloader's */
                        test_release_make(&r, next_release++, 0, ROOTFS);
                        assert_true(run_child(test_engine_install, &r, (Cut){ step, done, -1 }));
                        assert_invariants(&r);
                        assert_converges(&r);
                        test_release_done(&r);
                }
}

/* The same release is cut again and again, each time a little further: what is proven stays proven. */
static void repeated_cuts_of_one_release_converge(void **state) {
        TestRelease r;
        int n_cuts = 0;

        (void) state;
        test_release_make(&r, next_release++, 0, ROOTFS);
        for (int writes = 3; run_child(test_engine_install, &r, (Cut){ -1, false, writes }); writes += 4) {
                assert_invariants(&r);
                n_cuts++;
        }
        assert_true(n_cuts > 3);
        assert_converges(&r);
        test_release_done(&r);
}

/* The answer was lost, nothing else: slot B is not written again, not even its header. */
static void a_cut_behind_w12_does_not_install_again(void **state) {
        uint8_t before[32], after[32];
        TestRelease r;

        (void) state;
        test_release_make(&r, next_release++, 0, ROOTFS);
        assert_true(run_child(test_engine_install, &r, (Cut){ INSTALL_W12_CLOSE, true, -1 }));
        assert_invariants(&r);
        test_sha256_of_file(device.slot_path[1], before);
        for (int i = 0; i < 2; i++) {
                assert_converges(&r);
                test_sha256_of_file(device.slot_path[1], after);
                assert_memory_equal(after, before, 32);
        }
        test_release_done(&r);
}

static void a_cut_at_any_write_converges(void **state) {
        const char *text = getenv("RESEAL_TEST_STRIDE");
        int stride = text ? atoi(text) : 5, n = 0;

        (void) state;
        assert_true(stride > 0);
        for (int writes = 0;; writes += stride, n++) {
                TestRelease r;
                bool cut;

                test_release_make(&r, next_release++, 0, ROOTFS);
                cut = run_child(test_engine_install, &r, (Cut){ -1, false, writes });
                assert_invariants(&r);
                if (cut)
                        assert_converges(&r);
                test_release_done(&r);
                if (!cut)
                        break;
        }
        print_message("%d cuts, every %d writes\n", n, stride);
        assert_true(n * stride > 40);
}

static int mark_good(TestEngine *e, const TestRelease *r, RsError *err) {
        char name[WRITER_NAME_SIZE + 1];

        (void) r;
        return install_mark(e->installer, INSTALL_BY_DAEMON, WRITER_MARK_GOOD, "", name, err);
}

/* W9 to W11, last: afterwards B runs, and A is shut out because the epoch rose. */
static void a_cut_while_marking_good_raises_the_floor_once(void **state) {
        static const struct {
                int step;
                bool done;
        } steps[] = { { INSTALL_W10_GOOD, false }, { INSTALL_W10_GOOD, true }, { INSTALL_W11_FLOOR, false },
                      { INSTALL_W11_FLOOR, true } };
        BootState boot;
        TpmState before, after;
        TestRelease r;
        TestEngine e;
        RsError err = RS_ERROR_INIT;

        (void) state;
        test_release_make(&r, next_release++, 1, ROOTFS);
        assert_converges(&r);
        test_engine_open(&e, &device, NULL, NULL);
        look(&e, &boot, &before);
        test_engine_close(&e);
        test_device_boot(&device, "B", r.bundle_id);
        for (size_t i = 0; i < ELEMENTSOF(steps); i++) {
                assert_true(run_child(mark_good, &r, (Cut){ steps[i].step, steps[i].done, -1 }));
                test_engine_open(&e, &device, NULL, NULL);
                look(&e, &boot, &after);
                assert_true(boot.slots[1].bootable);
                assert_true(after.floor <= before.floor + 1);
                assert_true(test_slot_b_holds(&device, &r));
                test_engine_close(&e);
        }
        /* no second request: a start alone brings it to its end */
        test_engine_open(&e, &device, NULL, NULL);
        assert_int_equal(install_converge(e.installer, &err), 0);
        look(&e, &boot, &after);
        assert_int_equal(after.floor, before.floor + 1);
        assert_int_equal(after.record.floor_epoch, 1);
        assert_true(boot.slots[1].good);
        assert_false(boot.slots[0].bootable);
        test_engine_close(&e);
        test_release_done(&r);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_cut_before_or_behind_any_step_converges),
                cmocka_unit_test(repeated_cuts_of_one_release_converge),
                cmocka_unit_test(a_cut_behind_w12_does_not_install_again),
                cmocka_unit_test(a_cut_at_any_write_converges),
                cmocka_unit_test(a_cut_while_marking_good_raises_the_floor_once),
        };

        cmocka_set_test_filter(getenv("RESEAL_TEST_FILTER"));
        return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
