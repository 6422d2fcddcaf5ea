/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * tpm-answers - a TPM that is busy, rate-limited, full, locked out or in failure mode, at every place where an
 * installation meets it; and an image that was put back within its epoch.
 *
 * Whatever it answers: the reason is the one of docs/tpm.md, the device goes on running what it runs, nothing was
 * accepted, and the same request works once the TPM does.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chain.h"
#include "device.h"

#define ROOTFS ((uint64_t) 1 << 20)

static TestDevice device;
static uint64_t next_release = 1;
static Encoder crls;

typedef struct Answer {
        const char *rc;
        RsReason reason;
} Answer;

static const Answer answers[] = {
        { "0x14b", RS_REASON_TPM_FULL },   /* NV_SPACE */
        { "0x902", RS_REASON_TPM_FULL },   /* OBJECT_MEMORY */
        { "0x903", RS_REASON_TPM_FULL },   /* SESSION_MEMORY */
        { "0x921", RS_REASON_TPM_LOCKED }, /* LOCKOUT */
        { "0x101", RS_REASON_TPM },        /* FAILURE: the TPM is in failure mode */
};

static void answer(const char *which, const char *rc) {
        static unsigned epoch;
        char rule[64], text[16];

        (void) snprintf(rule, sizeof(rule), "%s:rc=%s", which, rc);
        (void) snprintf(text, sizeof(text), "%u", ++epoch);
        (void) setenv("RESEAL_FAULT_EPOCH", text, 1);
        (void) setenv("RESEAL_FAULT", rule, 1);
}

static void answer_again(void) {
        (void) unsetenv("RESEAL_FAULT");
}

/* The same rule for the step W7 alone. */
typedef struct AtW7 {
        const char *which, *rc;
} AtW7;

static void on_step(void *userdata, InstallStep step, bool done) {
        const AtW7 *at = userdata;

        if (step == INSTALL_W7_ACCEPT && !done)
                answer(at->which, at->rc);
}

static void assert_untouched(uint64_t accepted) {
        RsError err = RS_ERROR_INIT;
        BootState boot;
        TpmState tpm;
        TestEngine e;

        answer_again();
        test_engine_open(&e, &device, NULL, NULL);
        assert_int_equal(boot_read(e.boot, &boot, &err), 0);
        assert_int_equal(tpm_state_read(e.tpm, &tpm, &err), 0);
        assert_true(boot.slots[0].good && boot.slots[0].bootable);
        assert_int_equal(tpm.record.release, accepted);
        assert_string_equal(boot.primary, accepted ? boot.primary : "A");
        test_engine_close(&e);
}

static void assert_installs(const TestRelease *r) {
        RsError err = RS_ERROR_INIT;
        TestEngine e;

        answer_again();
        test_engine_open(&e, &device, NULL, NULL);
        if (test_engine_install(&e, r, &err) < 0)
                fail_msg("%s: %s", rs_reason_name(err.reason), err.text);
        test_engine_close(&e);
}

static void assert_reason(int r, const RsError *err, const Answer *a) {
        assert_true(r < 0);
        if (err->reason != a->reason)
                fail_msg("%s gives %s: %s", a->rc, rs_reason_name(err->reason), err->text);
}

/* F14, F15: in failure mode, locked, full. */
static void an_offer_that_the_tpm_cannot_judge_has_its_reason(void **state) {
        TestRelease r;

        (void) state;
        test_release_make(&r, next_release, 0, ROOTFS);
        for (size_t i = 0; i < ELEMENTSOF(answers); i++) {
                RsError err = RS_ERROR_INIT;
                WriterOffer offer;
                WriterTrust trust;
                TestEngine e;

                test_engine_open(&e, &device, NULL, NULL);
                answer("*:1-100000", answers[i].rc);
                assert_reason(test_engine_offer(&e, &r, &offer, &err), &err, &answers[i]);
                err = RS_ERROR_INIT;
                assert_int_equal(install_trust(e.installer, &trust, &err), 0); /* always answers */
                assert_int_equal(trust.reason, answers[i].reason);
                answer_again();
                err = RS_ERROR_INIT;
                if (test_engine_offer(&e, &r, &offer, &err) < 0) /* the same process, once the TPM works */
                        fail_msg("%s", err.text);
                test_engine_close(&e);
                assert_untouched(next_release - 1);
        }
        test_release_done(&r);
}

static void a_commit_that_the_tpm_refuses_has_its_reason_and_works_later(void **state) {
        static const char *const commands[] = { "NV_Write:1-1000", "NV_Increment:1-1000",
                                                "StartAuthSession:1-1000" };

        (void) state;
        for (size_t k = 0; k < ELEMENTSOF(commands); k++) {
                TestRelease r;

                test_release_make(&r, next_release, 0, ROOTFS);
                for (size_t i = 0; i < ELEMENTSOF(answers); i++) {
                        AtW7 at = { commands[k], answers[i].rc };
                        RsError err = RS_ERROR_INIT;
                        TestEngine e;

                        test_engine_open(&e, &device, on_step, &at);
                        assert_reason(test_engine_install(&e, &r, &err), &err, &answers[i]);
                        answer_again();
                        test_engine_close(&e);
                        assert_untouched(next_release - 1);
                }
                assert_installs(&r);
                next_release++;
                test_release_done(&r);
        }
}

/* F14: NV_RATE, RETRY, YIELDED, TESTING: the caller never hears of them when they pass. */
static void a_busy_or_rate_limited_tpm_is_waited_for(void **state) {
        static const AtW7 busy[] = { { "NV_Write:1-2", "0x920" },
                                     { "NV_Increment:1-2", "0x920" },
                                     { "NV_Write:1-2", "0x922" },
                                     { "NV_Write:1-1", "0x908" },
                                     { "NV_Read:1-2", "0x90a" } };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(busy); i++) {
                AtW7 at = busy[i];
                RsError err = RS_ERROR_INIT;
                TestRelease r;
                TestEngine e;

                test_release_make(&r, next_release, 0, ROOTFS);
                test_engine_open(&e, &device, on_step, &at);
                if (test_engine_install(&e, &r, &err) < 0)
                        fail_msg("%s=%s: %s", at.which, at.rc, err.text);
                answer_again();
                test_engine_close(&e);
                assert_untouched(next_release++);
                test_release_done(&r);
        }
}

static void a_tpm_that_stays_rate_limited_is_given_up_with_a_reason(void **state) {
        const AtW7 always = { "NV_Write:1-1000", "0x920" };
        AtW7 at = always;
        RsError err = RS_ERROR_INIT;
        TestRelease r;
        TestEngine e;

        (void) state;
        test_release_make(&r, next_release, 0, ROOTFS);
        test_engine_open(&e, &device, on_step, &at);
        assert_true(test_engine_install(&e, &r, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_TPM);
        answer_again();
        test_engine_close(&e);
        assert_untouched(next_release - 1);
        assert_installs(&r);
        next_release++;
        test_release_done(&r);
}

static int give_lists(TestEngine *e, const TestRelease *r, RsError *err) {
        bool changed;
        int k = install_evidence(e->installer, WRITER_EVIDENCE_LINKS, encoder_view(&r->links), &changed, err);

        return k < 0 ? k
                     : install_evidence(e->installer, WRITER_EVIDENCE_CRLS, encoder_view(&crls), &changed,
                                        err);
}

static void evidence_that_the_tpm_cannot_keep_has_its_reason_and_is_kept_later(void **state) {
        Encoder list = ENCODER_INIT;
        RsError err = RS_ERROR_INIT;
        TestRelease r;
        TestEngine e;
        TpmState tpm;

        (void) state;
        test_release_make(&r, next_release, 0, ROOTFS);
        chain_crl(test_history(), 7, NULL, 0, &list);
        encoder_u32(&crls, 1);
        encoder_u32(&crls, (uint32_t) list.size);
        encoder_span(&crls, encoder_view(&list));
        for (size_t i = 0; i < ELEMENTSOF(answers); i++) {
                test_engine_open(&e, &device, NULL, NULL);
                answer("NV_Write:1-1000", answers[i].rc);
                err = RS_ERROR_INIT;
                assert_reason(give_lists(&e, &r, &err), &err, &answers[i]);
                answer_again();
                test_engine_close(&e);
                assert_untouched(next_release - 1);
        }
        test_engine_open(&e, &device, NULL, NULL);
        err = RS_ERROR_INIT;
        assert_int_equal(give_lists(&e, &r, &err), 0);
        assert_int_equal(tpm_state_read(e.tpm, &tpm, &err), 0);
        assert_int_equal(tpm.record.crl_number, 7);
        test_engine_close(&e);
        assert_installs(&r);
        next_release++;
        test_release_done(&r);
        encoder_done(&list);
        encoder_done(&crls);
}

/* Within the epoch an older image still boots: said, not hidden, and only the record or more is accepted. */
static void an_image_put_back_within_its_epoch_runs_and_is_reported(void **state) {
        TestRelease older, newer;
        RsError err = RS_ERROR_INIT;
        char name[WRITER_NAME_SIZE + 1];
        WriterOffer offer;
        WriterTrust trust;
        TestEngine e;

        (void) state;
        test_release_make(&older, next_release, 0, ROOTFS);
        test_release_make(&newer, next_release + 1, 0, ROOTFS);
        assert_installs(&older);
        test_device_boot(&device, "B", older.bundle_id);
        test_engine_open(&e, &device, NULL, NULL);
        assert_int_equal(install_mark(e.installer, INSTALL_BY_DAEMON, WRITER_MARK_GOOD, "", name, &err), 0);
        assert_int_equal(install_trust(e.installer, &trust, &err), 0);
        assert_false(trust.running_below);
        test_engine_close(&e);
        assert_installs(&newer); /* into A, where it waits for its trial: nothing was put back */
        test_engine_open(&e, &device, NULL, NULL);
        assert_int_equal(install_trust(e.installer, &trust, &err), 0);
        assert_false(trust.running_below);
        test_device_boot(&device, "A", newer.bundle_id);
        assert_int_equal(install_mark(e.installer, INSTALL_BY_DAEMON, WRITER_MARK_GOOD, "", name, &err), 0);
        test_engine_close(&e);
        test_device_boot(&device, "B", older.bundle_id); /* and now the older image runs again */
        test_engine_open(&e, &device, NULL, NULL);
        assert_int_equal(install_trust(e.installer, &trust, &err), 0);
        assert_int_equal(trust.reason, 0);
        assert_true(trust.running_below);
        assert_int_equal(trust.release, next_release + 1);
        assert_int_equal(trust.running_release, next_release);
        assert_true(test_engine_offer(&e, &older, &offer, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_ROLLBACK);
        err = RS_ERROR_INIT;
        if (test_engine_offer(&e, &newer, &offer, &err) < 0)
                fail_msg("%s", err.text);
        test_engine_close(&e);
        test_release_done(&older);
        test_release_done(&newer);
}

static int group_setup(void **state) {
        if (test_pki_setup(state) < 0)
                return -1;
        test_device_make(&device, ROOTFS);
        device.faulty = true;
        return 0;
}

static int group_teardown(void **state) {
        test_device_done(&device);
        return test_pki_teardown(state);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(an_offer_that_the_tpm_cannot_judge_has_its_reason),
                cmocka_unit_test(a_commit_that_the_tpm_refuses_has_its_reason_and_works_later),
                cmocka_unit_test(a_busy_or_rate_limited_tpm_is_waited_for),
                cmocka_unit_test(a_tpm_that_stays_rate_limited_is_given_up_with_a_reason),
                cmocka_unit_test(evidence_that_the_tpm_cannot_keep_has_its_reason_and_is_kept_later),
                cmocka_unit_test(an_image_put_back_within_its_epoch_runs_and_is_reported),
        };

        cmocka_set_test_filter(getenv("RESEAL_TEST_FILTER"));
        return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
