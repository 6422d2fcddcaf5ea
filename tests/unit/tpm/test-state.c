/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * tpm/state on a real (software) TPM: provisioning, the commit, lost answers, and what nobody without the
 * gate secret can do.  Requirements S2, S11; the hostile half is what a taken-over reseald could try.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include <tss2/tss2_esys.h>
#include <tss2/tss2_tctildr.h>

#include <reseal/tpm/state.h>

#include "swtpm.h"

static Device device;
static unsigned epoch;

static int setup(void **state) {
        (void) state;
        device_make(&device);
        return 0;
}

static int teardown(void **state) {
        (void) state;
        device_done(&device);
        return 0;
}

static int no_faults(void **state) {
        (void) state;
        (void) unsetenv("RESEAL_FAULT");
        return 0;
}

#define OK(call)                                                                                \
        do {                                                                                    \
                int _ok = (call);                                                               \
                if (_ok < 0)                                                                    \
                        fail_msg("%s: %s (%s, 0x%x)", #call, err.text, err.origin, err.tss_rc); \
        } while (0)

static void inject(const char *rules) {
        char text[16];

        (void) snprintf(text, sizeof(text), "%u", ++epoch);
        (void) setenv("RESEAL_FAULT_EPOCH", text, 1);
        (void) setenv("RESEAL_FAULT", rules, 1);
}

static TpmState read_state(void) {
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false);
        RsError err = RS_ERROR_INIT;
        TpmState s;

        OK(tpm_state_read(t, &s, &err));
        return s;
}

static TpmRecord release_record(uint64_t release) {
        TpmRecord r = { .line = "gateway",
                        .release = release,
                        .epoch = 3,
                        .floor_epoch = 2,
                        .crl_number = 7,
                        .time_floor = 1700000000,
                        .trust_version = 4 };

        memset(r.signer_spki, (int) release, sizeof(r.signer_spki));
        memset(r.manifest_digest, (int) release + 1, sizeof(r.manifest_digest));
        return r;
}

static void a_provisioned_tpm_has_an_empty_record(void **state) {
        TpmState s = read_state();

        (void) state;
        assert_true(s.record.empty);
        assert_int_equal(s.record.release, 0);
        assert_true(s.accept >= 1 && s.floor >= 1);
}

static void provisioning_again_changes_nothing(void **state) {
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false);
        TpmState before = read_state(), after;
        uint8_t name[TPM_NAME_SIZE];
        RsError err = RS_ERROR_INIT;
        bool changed = true;

        (void) state;
        OK(tpm_provision_srk(t, device.owner, name, &changed, &err));
        assert_false(changed);
        assert_memory_equal(name, device.srk_name, sizeof(name));
        changed = true;
        OK(tpm_provision_nv(t, device.owner, device.gate, &changed, &err));
        assert_false(changed);
        after = read_state();
        assert_int_equal(after.accept, before.accept);
        assert_int_equal(after.floor, before.floor);
}

static void a_committed_record_is_read_back_whole(void **state) {
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false);
        TpmRecord r = release_record(11);
        TpmState before = read_state(), s;
        RsError err = RS_ERROR_INIT;

        (void) state;
        OK(tpm_state_commit(t, device.gate, &r, &err));
        OK(tpm_state_read(t, &s, &err));
        assert_int_equal(s.accept, before.accept + 1);
        assert_int_equal(s.floor, before.floor);
        assert_false(s.record.empty);
        assert_int_equal(s.record.release, 11);
        assert_int_equal(s.record.epoch, 3);
        assert_int_equal(s.record.floor_epoch, 2);
        assert_int_equal(s.record.crl_number, 7);
        assert_int_equal(s.record.time_floor, 1700000000);
        assert_int_equal(s.record.trust_version, 4);
        assert_memory_equal(s.record.signer_spki, r.signer_spki, 32);
        assert_memory_equal(s.record.manifest_digest, r.manifest_digest, 32);
}

/* Nothing that must not fall falls, but for what a new trust set takes back. */
static void the_floor_of_the_time_falls_with_a_new_trust_set_only(void **state) {
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false);
        TpmRecord r = release_record(100000);
        RsError err = RS_ERROR_INIT;
        TpmState s;

        (void) state;
        OK(tpm_state_commit(t, device.gate, &r, &err));
        r.time_floor -= 1000;
        assert_true(tpm_state_commit(t, device.gate, &r, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_ROLLBACK);
        err = RS_ERROR_INIT;
        r.trust_version++;
        r.time_base = 6000;
        OK(tpm_state_commit(t, device.gate, &r, &err));
        OK(tpm_state_read(t, &s, &err));
        assert_int_equal(s.record.time_floor, 1700000000 - 1000);
        assert_int_equal(s.record.time_base, 6000);
        r.trust_version--;
        assert_true(tpm_state_commit(t, device.gate, &r, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_ROLLBACK);
        err = RS_ERROR_INIT;
}

static void committing_the_valid_record_again_writes_nothing(void **state) {
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false);
        TpmRecord r = release_record(12);
        RsError err = RS_ERROR_INIT;
        TpmState first, second;

        (void) state;
        OK(tpm_state_commit(t, device.gate, &r, &err));
        OK(tpm_state_read(t, &first, &err));
        OK(tpm_state_commit(t, device.gate, &r, &err));
        /* also from what was read, which has the line only as a tag */
        OK(tpm_state_commit(t, device.gate, &first.record, &err));
        OK(tpm_state_read(t, &second, &err));
        assert_int_equal(second.accept, first.accept);
}

static void the_record_survives_a_power_cut(void **state) {
        TpmState before = read_state(), after;

        (void) state;
        swtpm_power_cycle(&device.swtpm);
        after = read_state();
        assert_int_equal(after.accept, before.accept);
        assert_memory_equal(&after.record, &before.record, sizeof(after.record));
}

static void the_floor_rises_by_one_and_only_below_its_limit(void **state) {
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false);
        TpmState before = read_state(), s;
        RsError err = RS_ERROR_INIT;

        (void) state;
        OK(tpm_floor_raise(t, device.gate, before.floor, &err));
        OK(tpm_state_read(t, &s, &err));
        assert_int_equal(s.floor, before.floor);
        OK(tpm_floor_raise(t, device.gate, before.floor + 1, &err));
        OK(tpm_floor_raise(t, device.gate, before.floor + 1, &err));
        OK(tpm_state_read(t, &s, &err));
        assert_int_equal(s.floor, before.floor + 1);
        OK(tpm_floor_raise(t, device.gate, before.floor + 10, &err));
        OK(tpm_state_read(t, &s, &err));
        assert_int_equal(s.floor, before.floor + 2);
}

static void without_the_gate_secret_nothing_is_committed(void **state) {
        _cleanup_(secret_freep) Secret *wrong = secret_new_random(32);
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false);
        TpmRecord r = release_record(99);
        TpmState before = read_state(), s;
        RsError err = RS_ERROR_INIT;

        (void) state;
        assert_true(tpm_state_commit(t, wrong, &r, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_TPM_AUTH);
        err = RS_ERROR_INIT;
        assert_true(tpm_floor_raise(t, wrong, UINT64_MAX, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_TPM_AUTH);
        err = RS_ERROR_INIT;
        OK(tpm_state_read(t, &s, &err));
        assert_int_equal(s.accept, before.accept);
        assert_int_equal(s.floor, before.floor);
        assert_memory_equal(&s.record, &before.record, sizeof(s.record));
}

/* What a process with the TPM but without secrets can send. */
static void a_hostile_process_cannot_change_the_state(void **state) {
        static const TPM2_HANDLE indices[] = { TPM_NV_FLOOR, TPM_NV_ACCEPT, TPM_NV_RECORD0, TPM_NV_RECORD1,
                                               TPM_NV_GATE };
        TpmState before = read_state(), after;
        TPM2B_MAX_NV_BUFFER data = { .size = 8 };
        TSS2_TCTI_CONTEXT *tcti = NULL;
        ESYS_CONTEXT *e = NULL;
        ESYS_TR nv, srk, gone;

        (void) state;
        assert_int_equal(Tss2_TctiLdr_Initialize(device.swtpm.tcti, &tcti), 0);
        assert_int_equal(Esys_Initialize(&e, tcti, NULL), 0);
        for (unsigned i = 0; i < ELEMENTSOF(indices); i++) {
                assert_int_equal(Esys_TR_FromTPMPublic(e, indices[i], ESYS_TR_NONE, ESYS_TR_NONE,
                                                       ESYS_TR_NONE, &nv),
                                 0);
                assert_int_not_equal(
                                Esys_NV_Increment(e, nv, nv, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE),
                                0);
                assert_int_not_equal(Esys_NV_Increment(e, ESYS_TR_RH_OWNER, nv, ESYS_TR_PASSWORD,
                                                       ESYS_TR_NONE, ESYS_TR_NONE),
                                     0);
                assert_int_not_equal(Esys_NV_Write(e, nv, nv, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
                                                   &data, 0),
                                     0);
                assert_int_not_equal(Esys_NV_Write(e, ESYS_TR_RH_OWNER, nv, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                                   ESYS_TR_NONE, &data, 0),
                                     0);
                assert_int_not_equal(
                                Esys_NV_WriteLock(e, nv, nv, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE),
                                0);
                assert_int_not_equal(Esys_NV_UndefineSpace(e, ESYS_TR_RH_OWNER, nv, ESYS_TR_PASSWORD,
                                                           ESYS_TR_NONE, ESYS_TR_NONE),
                                     0);
        }
        assert_int_equal(Esys_TR_FromTPMPublic(e, TPM_HANDLE_SRK, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                               &srk),
                         0);
        assert_int_not_equal(Esys_EvictControl(e, ESYS_TR_RH_OWNER, srk, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                               ESYS_TR_NONE, TPM_HANDLE_SRK, &gone),
                             0);
        assert_int_not_equal(Esys_Clear(e, ESYS_TR_RH_LOCKOUT, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE),
                             0);
        Esys_Finalize(&e);
        Tss2_TctiLdr_Finalize(&tcti);
        after = read_state();
        assert_int_equal(after.accept, before.accept);
        assert_int_equal(after.floor, before.floor);
        assert_memory_equal(&after.record, &before.record, sizeof(after.record));
}

/*
 * An empty policy session has 32 zero bytes as its digest; the gate's policy is empty and satisfied by
 * nothing.
 */
static void the_gate_cannot_be_written_through_an_empty_policy(void **state) {
        static const TPMT_SYM_DEF none = { .algorithm = TPM2_ALG_NULL };
        TPM2B_MAX_NV_BUFFER data = { .size = 8 };
        TSS2_TCTI_CONTEXT *tcti = NULL;
        ESYS_CONTEXT *e = NULL;
        ESYS_TR nv, session;

        (void) state;
        assert_int_equal(Tss2_TctiLdr_Initialize(device.swtpm.tcti, &tcti), 0);
        assert_int_equal(Esys_Initialize(&e, tcti, NULL), 0);
        assert_int_equal(Esys_TR_FromTPMPublic(e, TPM_NV_GATE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &nv),
                         0);
        assert_int_equal(Esys_StartAuthSession(e, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                               ESYS_TR_NONE, NULL, TPM2_SE_POLICY, &none, TPM2_ALG_SHA256,
                                               &session),
                         0);
        assert_int_not_equal(Esys_NV_Write(e, nv, nv, session, ESYS_TR_NONE, ESYS_TR_NONE, &data, 0), 0);
        /* the session stays behind, as after a kill; the next holder of the lock flushes it */
        Esys_Finalize(&e);
        Tss2_TctiLdr_Finalize(&tcti);
        (void) read_state();
}

/*
 * One commit under a rule: what it says and what is there afterwards must agree, and a repetition completes
 * it.
 */
static int commit_under(const char *rule, uint64_t release) {
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, true);
        TpmRecord r = release_record(release);
        TpmState before = read_state(), after;
        RsError err = RS_ERROR_INIT;
        int k;

        inject(rule);
        k = tpm_state_commit(t, device.gate, &r, &err);
        (void) no_faults(NULL);
        if (k < 0) {
                assert_int_equal(err.reason, RS_REASON_TPM_GONE);
                err = RS_ERROR_INIT;
                OK(tpm_state_commit(t, device.gate, &r, &err));
        }
        OK(tpm_state_read(t, &after, &err));
        assert_int_equal(after.accept, before.accept + 1);
        assert_int_equal(after.record.release, release);
        return k;
}

static void a_lost_increment_never_commits_twice(void **state) {
        (void) state;
        assert_int_equal(commit_under("NV_Increment:1:lose", 70), 0);
        assert_int_equal(commit_under("NV_Increment:1:drop", 71), 0);
        assert_int_equal(commit_under("NV_Increment:1-2:drop", 72), 0);
        assert_int_equal(commit_under("NV_Write:1:lose", 73), 0);
        assert_int_equal(commit_under("NV_Write:1:drop", 74), 0);
        assert_true(commit_under("NV_Increment:1-9:drop", 75) < 0);
}

/*
 * Every command of a commit, one after the other: odd ones are executed unheard, even ones get lost on the
 * way.
 */
static void a_lost_answer_anywhere_never_commits_twice(void **state) {
        char rule[32];

        (void) state;
        for (unsigned at = 1; at <= 46; at++) {
                (void) snprintf(rule, sizeof(rule), "*:%u:%s", at, at % 2 ? "lose" : "drop");
                (void) commit_under(rule, 100 + at);
        }
}

static void a_lost_increment_of_the_floor_is_not_repeated(void **state) {
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, true);
        TpmState before = read_state(), s;
        RsError err = RS_ERROR_INIT;

        (void) state;
        inject("NV_Increment:1:lose");
        OK(tpm_floor_raise(t, device.gate, before.floor + 5, &err));
        (void) no_faults(NULL);
        s = read_state();
        assert_int_equal(s.floor, before.floor + 1);

        inject("NV_Increment:1:drop");
        OK(tpm_floor_raise(t, device.gate, before.floor + 5, &err));
        (void) no_faults(NULL);
        s = read_state();
        assert_int_equal(s.floor, before.floor + 2);
}

static void a_tpm_that_asks_for_patience_gets_it(void **state) {
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, true);
        TpmRecord r = release_record(400);
        TpmState before = read_state(), s;
        RsError err = RS_ERROR_INIT;

        (void) state;
        inject("NV_Increment:1-2:rc=0x920,NV_Write:1:rc=0x922");
        OK(tpm_state_commit(t, device.gate, &r, &err));
        (void) no_faults(NULL);
        s = read_state();
        assert_int_equal(s.accept, before.accept + 1);
}

/* In a process of its own, which a rule kills.  A Secret is not inherited through fork, so its bytes are. */
static void commit_and_die(Tpm *t, const TpmRecord *r, uint8_t gate_bytes[32]) {
        Secret *gate = secret_new_take(gate_bytes, 32);
        RsError err = RS_ERROR_INIT;

        _exit(tpm_state_commit(t, gate, r, &err) < 0 ? 1 : 0);
}

/* Killed before and after each command of the commit; the record is the old or the new one, never none. */
static void a_killed_commit_leaves_one_valid_record(void **state) {
        static const char *const kinds[] = { "kill", "killfirst" };
        unsigned n_old = 0, n_new = 0;

        (void) state;
        for (unsigned kind = 0; kind < 2; kind++)
                for (unsigned at = 1 + kind; at <= 60; at += 2) {
                        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, true); /* connects in the child */
                        TpmRecord r = release_record(500 + 100 * kind + at);
                        TpmState before = read_state(), after;
                        uint8_t gate_bytes[32];
                        char rule[32];
                        int status;
                        pid_t pid;

                        memcpy(gate_bytes, secret_bytes(device.gate), 32);
                        (void) snprintf(rule, sizeof(rule), "*:%u:%s", at, kinds[kind]);
                        inject(rule);
                        pid = fork();
                        assert_true(pid >= 0);
                        if (pid == 0)
                                commit_and_die(t, &r, gate_bytes);
                        assert_int_equal(waitpid(pid, &status, 0), pid);
                        (void) no_faults(NULL);
                        after = read_state();
                        if (after.accept == before.accept) {
                                n_old++;
                                assert_memory_equal(&after.record, &before.record, sizeof(after.record));
                        } else {
                                n_new++;
                                assert_int_equal(after.accept, before.accept + 1);
                                assert_int_equal(after.record.release, r.release);
                        }
                        if (WIFEXITED(status)) {
                                assert_int_equal(WEXITSTATUS(status), 0);
                                break; /* the rule counted past the last command */
                        }
                        assert_int_equal(WTERMSIG(status), SIGKILL);
                }
        assert_true(n_old > 10 && n_new > 2);
}

static void a_missing_index_is_not_provisioned(void **state) {
        _cleanup_(tpm_freep) Tpm *t = NULL;
        RsError err = RS_ERROR_INIT;
        Swtpm blank;
        TpmConfig c;
        TpmState s;

        (void) state;
        swtpm_start(&blank);
        c = swtpm_config(&blank);
        OK(tpm_new(&c, NULL, &t, &err));
        assert_true(tpm_state_read(t, &s, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_NOT_PROVISIONED);
        swtpm_stop(&blank);
}

/* Root with ownerAuth removes an index and defines something else there. */
static void an_index_with_other_attributes_is_refused(void **state) {
        static const TPM2B_AUTH empty;
        TPM2B_NV_PUBLIC other = { .nvPublic = { .nvIndex = TPM_NV_RECORD0,
                                                .nameAlg = TPM2_ALG_SHA256,
                                                .dataSize = 256,
                                                .attributes = TPMA_NV_AUTHREAD | TPMA_NV_AUTHWRITE |
                                                              TPMA_NV_NO_DA } };
        _cleanup_(tpm_freep) Tpm *t = NULL;
        TSS2_TCTI_CONTEXT *tcti = NULL;
        RsError err = RS_ERROR_INIT;
        uint8_t name[TPM_NAME_SIZE];
        ESYS_CONTEXT *e = NULL;
        bool changed;
        Swtpm blank;
        TpmConfig c;
        ESYS_TR nv;

        (void) state;
        swtpm_start(&blank);
        c = swtpm_config(&blank);
        assert_int_equal(Tss2_TctiLdr_Initialize(blank.tcti, &tcti), 0);
        assert_int_equal(Esys_Initialize(&e, tcti, NULL), 0);
        assert_int_equal(Esys_NV_DefineSpace(e, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                             ESYS_TR_NONE, &empty, &other, &nv),
                         0);
        Esys_Finalize(&e);
        Tss2_TctiLdr_Finalize(&tcti);

        OK(tpm_new(&c, NULL, &t, &err));
        OK(tpm_provision_srk(t, NULL, name, &changed, &err));
        assert_true(changed);
        assert_true(tpm_provision_nv(t, NULL, device.gate, &changed, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_TPM_REDEFINED);
        swtpm_stop(&blank);
}

static void another_gate_secret_does_not_take_over_the_state(void **state) {
        _cleanup_(secret_freep) Secret *wrong = secret_new_random(32);
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false);
        RsError err = RS_ERROR_INIT;
        bool changed;

        (void) state;
        assert_true(tpm_provision_nv(t, device.owner, wrong, &changed, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_TPM_AUTH);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_provisioned_tpm_has_an_empty_record),
                cmocka_unit_test(provisioning_again_changes_nothing),
                cmocka_unit_test(a_committed_record_is_read_back_whole),
                cmocka_unit_test(committing_the_valid_record_again_writes_nothing),
                cmocka_unit_test(the_record_survives_a_power_cut),
                cmocka_unit_test(the_floor_rises_by_one_and_only_below_its_limit),
                cmocka_unit_test(without_the_gate_secret_nothing_is_committed),
                cmocka_unit_test(a_hostile_process_cannot_change_the_state),
                cmocka_unit_test(the_gate_cannot_be_written_through_an_empty_policy),
                cmocka_unit_test_teardown(a_lost_increment_never_commits_twice, no_faults),
                cmocka_unit_test_teardown(a_lost_answer_anywhere_never_commits_twice, no_faults),
                cmocka_unit_test_teardown(a_lost_increment_of_the_floor_is_not_repeated, no_faults),
                cmocka_unit_test_teardown(a_tpm_that_asks_for_patience_gets_it, no_faults),
                cmocka_unit_test_teardown(a_killed_commit_leaves_one_valid_record, no_faults),
                cmocka_unit_test(the_floor_of_the_time_falls_with_a_new_trust_set_only),
                cmocka_unit_test(a_missing_index_is_not_provisioned),
                cmocka_unit_test(an_index_with_other_attributes_is_refused),
                cmocka_unit_test(another_gate_secret_does_not_take_over_the_state),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
