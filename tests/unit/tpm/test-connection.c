/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * tpm/tpm, tpm/config, tpm/nv: the lock of a bare TPM, what a killed process leaves behind, a TPM that goes
 * and comes back, and policies computed here against those the TPM computes.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <tss2/tss2_esys.h>
#include <tss2/tss2_tctildr.h>

#include <reseal/base/file.h>
#include <reseal/tpm/key.h>
#include <reseal/tpm/seal.h>

#include "../../../src/tpm/nv.h"
#include "swtpm.h"

static Device device;
static TpmKey identity;

#define OK(call)                                                                                \
        do {                                                                                    \
                int _ok = (call);                                                               \
                if (_ok < 0)                                                                    \
                        fail_msg("%s: %s (%s, 0x%x)", #call, err.text, err.origin, err.tss_rc); \
        } while (0)

static int setup(void **state) {
        RsError err = RS_ERROR_INIT;
        Tpm *t;

        (void) state;
        device_make(&device);
        t = device_tpm(&device, false);
        OK(tpm_key_create(t, TPM_KEY_IDENTITY, &identity, &err));
        (void) tpm_free(t);
        return 0;
}

static int teardown(void **state) {
        (void) state;
        device_done(&device);
        return 0;
}

static void configuration_knows_its_keys(void **state) {
        RsError err = RS_ERROR_INIT;
        TpmConfig c = { 0 };

        (void) state;
        assert_int_equal(tpm_config_set(&c, "tcti", "device:/dev/tpmrm0", &err), 1);
        assert_int_equal(tpm_config_set(&c, "shared", "yes", &err), 1);
        assert_int_equal(tpm_config_set(&c, "lock", "/run/x", &err), 1);
        assert_int_equal(tpm_config_set(&c, "lock-timeout", "3", &err), 1);
        assert_int_equal(tpm_config_set(&c, "colour", "blue", &err), 0);
        assert_string_equal(c.tcti, "device:/dev/tpmrm0");
        assert_true(c.shared);
        assert_string_equal(c.lock_path, "/run/x");
        assert_int_equal(c.lock_timeout_usec, 3000000);
        assert_true(tpm_config_set(&c, "shared", "perhaps", &err) < 0);
        assert_int_equal(err.reason, RS_REASON_CONFIG);
        err = RS_ERROR_INIT;
        assert_true(tpm_config_set(&c, "lock", "relative", &err) < 0);
        assert_int_equal(err.reason, RS_REASON_CONFIG);
        tpm_config_done(&c);
        assert_null(c.tcti);
}

static void no_tpm_is_gone_and_comes_back(void **state) {
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false);
        RsError err = RS_ERROR_INIT;

        (void) state;
        OK(tpm_key_check(t, &identity, &err));
        swtpm_kill(&device.swtpm);
        assert_true(tpm_key_check(t, &identity, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_TPM_GONE);
        swtpm_boot(&device.swtpm);
        err = RS_ERROR_INIT;
        OK(tpm_key_check(t, &identity, &err));
}

static void a_shared_connection_heals_after_the_tpm_came_back(void **state) {
        _cleanup_(tpm_freep) Tpm *t = NULL;
        TpmConfig c = swtpm_config(&device.swtpm);
        RsError err = RS_ERROR_INIT;
        TpmState s;

        (void) state;
        c.shared = true;
        OK(tpm_new(&c, device.srk_name, &t, &err));
        OK(tpm_key_check(t, &identity, &err));
        swtpm_kill(&device.swtpm);
        assert_true(tpm_state_read(t, &s, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_TPM_GONE);
        swtpm_boot(&device.swtpm);
        err = RS_ERROR_INIT;
        OK(tpm_state_read(t, &s, &err));
}

static void a_held_lock_is_reported_at_the_deadline(void **state) {
        struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
        _cleanup_(tpm_freep) Tpm *t = NULL;
        TpmConfig c = swtpm_config(&device.swtpm);
        RsError err = RS_ERROR_INIT;
        struct timespec a, b;
        int fd = open(device.swtpm.lock, O_RDWR | O_CREAT | O_CLOEXEC, 0660);

        (void) state;
        assert_true(fd >= 0);
        assert_int_equal(fcntl(fd, F_OFD_SETLK, &whole), 0);
        c.lock_timeout_usec = 200000;
        OK(tpm_new(&c, device.srk_name, &t, &err));
        (void) clock_gettime(CLOCK_MONOTONIC, &a);
        assert_true(tpm_key_check(t, &identity, &err) < 0);
        (void) clock_gettime(CLOCK_MONOTONIC, &b);
        assert_int_equal(err.reason, RS_REASON_TPM_BUSY);
        assert_true((b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000 >= 190);
        (void) close(fd);
        err = RS_ERROR_INIT;
        OK(tpm_key_check(t, &identity, &err));
}

/* Fills all places for objects and sessions, as a process killed in the middle would leave them. */
static void leave_objects_behind(void) {
        static const TPMT_SYM_DEF none = { .algorithm = TPM2_ALG_NULL };
        static const TPM2B_SENSITIVE_CREATE no_auth;
        static const TPML_PCR_SELECTION no_pcr;
        TPM2B_PUBLIC area = tpm_srk_template();
        TSS2_TCTI_CONTEXT *tcti = NULL;
        ESYS_CONTEXT *e = NULL;
        unsigned n_objects = 0, n_sessions = 0;
        ESYS_TR h;

        assert_int_equal(Tss2_TctiLdr_Initialize(device.swtpm.tcti, &tcti), 0);
        assert_int_equal(Esys_Initialize(&e, tcti, NULL), 0);
        while (n_objects < 20 &&
               Esys_CreatePrimary(e, ESYS_TR_RH_NULL, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &no_auth,
                                  &area, NULL, &no_pcr, &h, NULL, NULL, NULL, NULL) == 0)
                n_objects++;
        while (n_sessions < 20 &&
               Esys_StartAuthSession(e, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                     NULL, TPM2_SE_HMAC, &none, TPM2_ALG_SHA256, &h) == 0)
                n_sessions++;
        Esys_Finalize(&e);
        Tss2_TctiLdr_Finalize(&tcti);
        assert_int_equal(n_objects, 3); /* what the TPM has: all of it */
        assert_int_equal(n_sessions, 3);
}

static void what_a_killed_process_left_is_flushed_on_a_bare_tpm(void **state) {
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false);
        RsError err = RS_ERROR_INIT;

        (void) state;
        leave_objects_behind();
        OK(tpm_key_check(t, &identity, &err));
}

static void on_a_shared_tpm_foreign_objects_are_left_alone(void **state) {
        _cleanup_(tpm_freep) Tpm *t = NULL, *bare = device_tpm(&device, false);
        TpmConfig c = swtpm_config(&device.swtpm);
        RsError err = RS_ERROR_INIT;

        (void) state;
        c.shared = true;
        OK(tpm_new(&c, device.srk_name, &t, &err));
        leave_objects_behind();
        assert_true(tpm_key_check(t, &identity, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_TPM_FULL);
        err = RS_ERROR_INIT;
        OK(tpm_key_check(bare, &identity, &err));
        OK(tpm_key_check(t, &identity, &err));
}

/* Children sign until told to stop; one is killed in the middle again and again. */
static pid_t signing_child(unsigned n) {
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
                TpmConfig c = swtpm_config(&device.swtpm);
                uint8_t digest[32] = { 1 }, der[72];
                RsError err = RS_ERROR_INIT;
                size_t size = 0;
                Tpm *t = NULL;
                int r = tpm_new(&c, device.srk_name, &t, &err);

                for (unsigned i = 0; r >= 0 && i < n; i++)
                        r = tpm_key_sign(t, &identity, digest, der, &size, &err);
                if (r < 0)
                        (void) fprintf(stderr, "child: %s\n", err.text);
                _exit(r < 0 ? 1 : 0);
        }
        return pid;
}

static void processes_take_turns_and_killed_ones_harm_nobody(void **state) {
        pid_t workers[3];
        int status;

        (void) state;
        for (unsigned i = 0; i < ELEMENTSOF(workers); i++)
                workers[i] = signing_child(30);
        for (int i = 0; i < 15; i++) {
                const struct timespec pause = { .tv_nsec = 7000000L + 1000000L * i };
                pid_t victim = signing_child(1000);

                (void) nanosleep(&pause, NULL);
                assert_int_equal(kill(victim, SIGKILL), 0);
                assert_int_equal(waitpid(victim, &status, 0), victim);
                assert_true(WIFSIGNALED(status));
        }
        for (unsigned i = 0; i < ELEMENTSOF(workers); i++) {
                assert_int_equal(waitpid(workers[i], &status, 0), workers[i]);
                assert_true(WIFEXITED(status));
                assert_int_equal(WEXITSTATUS(status), 0);
        }
}

static void *signing_thread(void *argument) {
        uint8_t digest[32] = { 2 }, der[72];
        RsError err = RS_ERROR_INIT;
        size_t size = 0;

        for (int i = 0; i < 10; i++)
                if (tpm_key_sign(argument, &identity, digest, der, &size, &err) < 0)
                        return argument;
        return NULL;
}

static void threads_share_one_tpm(void **state) {
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false);
        pthread_t threads[3];
        void *failed;

        (void) state;
        for (unsigned i = 0; i < ELEMENTSOF(threads); i++)
                assert_int_equal(pthread_create(&threads[i], NULL, signing_thread, t), 0);
        for (unsigned i = 0; i < ELEMENTSOF(threads); i++) {
                assert_int_equal(pthread_join(threads[i], &failed), 0);
                assert_null(failed);
        }
        assert_int_equal(tpm_sign_count(t), 30);
}

static void another_storage_root_key_is_refused(void **state) {
        _cleanup_(tpm_freep) Tpm *t = NULL;
        TpmConfig c = swtpm_config(&device.swtpm);
        uint8_t other[TPM_NAME_SIZE];
        RsError err = RS_ERROR_INIT;

        (void) state;
        memcpy(other, device.srk_name, sizeof(other));
        other[33] ^= 1;
        OK(tpm_new(&c, other, &t, &err));
        assert_true(tpm_key_check(t, &identity, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_TPM_OTHER);
}

static void the_posture_shows_the_authorizations(void **state) {
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false);
        RsError err = RS_ERROR_INIT;
        TpmPosture p;

        (void) state;
        OK(tpm_posture(t, &p, &err));
        assert_true(p.owner_auth_set && p.lockout_auth_set);
        assert_false(p.in_lockout);
        assert_true(p.max_tries > 0);
        assert_string_equal(p.manufacturer, "IBM");
}

/* A trial session makes the TPM compute the policies that we compute in software. */
static void policies_are_those_the_tpm_computes(void **state) {
        static const TPMT_SYM_DEF none = { .algorithm = TPM2_ALG_NULL };
        TPM2B_OPERAND operand = { .size = 8, .buffer = { 0, 0, 0, 0, 0, 0, 1, 2 } };
        uint8_t floor_policy[32], gate_policy[32];
        TSS2_TCTI_CONTEXT *tcti = NULL;
        RsError err = RS_ERROR_INIT;
        TPM2B_DIGEST *digest = NULL;
        TPM2B_AUTH auth = { .size = 32 };
        ESYS_CONTEXT *e = NULL;
        ESYS_TR floor, gate, s;

        (void) state;
        OK(nv_policy_floor(0x102, floor_policy, &err));
        OK(nv_policy_gate(gate_policy, &err));
        assert_int_equal(Tss2_TctiLdr_Initialize(device.swtpm.tcti, &tcti), 0);
        assert_int_equal(Esys_Initialize(&e, tcti, NULL), 0);
        assert_int_equal(Esys_TR_FromTPMPublic(e, TPM_NV_FLOOR, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                               &floor),
                         0);
        assert_int_equal(Esys_TR_FromTPMPublic(e, TPM_NV_GATE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                               &gate),
                         0);
        assert_int_equal(Esys_StartAuthSession(e, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                               ESYS_TR_NONE, NULL, TPM2_SE_TRIAL, &none, TPM2_ALG_SHA256, &s),
                         0);
        assert_int_equal(Esys_PolicyNV(e, floor, floor, s, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
                                       &operand, 0, TPM2_EO_UNSIGNED_LE),
                         0);
        assert_int_equal(Esys_PolicyGetDigest(e, s, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &digest), 0);
        assert_memory_equal(digest->buffer, floor_policy, 32);
        Esys_Free(digest);

        assert_int_equal(Esys_PolicyRestart(e, s, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE), 0);
        memcpy(auth.buffer, secret_bytes(device.gate), 32);
        assert_int_equal(Esys_TR_SetAuth(e, gate, &auth), 0);
        assert_int_equal(Esys_PolicySecret(e, gate, s, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, NULL,
                                           NULL, NULL, 0, NULL, NULL),
                         0);
        assert_int_equal(Esys_PolicyGetDigest(e, s, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &digest), 0);
        assert_memory_equal(digest->buffer, gate_policy, 32);
        Esys_Free(digest);
        assert_int_equal(Esys_FlushContext(e, s), 0);
        Esys_Finalize(&e);
        Tss2_TctiLdr_Finalize(&tcti);
}

static void the_pinned_name_is_read_in_both_of_its_forms(void **state) {
        char dir[] = "/tmp/reseal-name-XXXXXX", text[80];
        uint8_t name[TPM_NAME_SIZE], read[TPM_NAME_SIZE];
        RsError err = RS_ERROR_INIT;
        int fd;

        (void) state;
        assert_non_null(mkdtemp(dir));
        fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(fd >= 0);
        for (unsigned i = 0; i < sizeof(name); i++) {
                name[i] = (uint8_t) (7 * i + 1);
                (void) snprintf(text + 2 * i, 3, "%02x", name[i]);
        }
        (void) strcat(text, "\n");
        assert_int_equal(tpm_srk_name_load(fd, read, &err), 0);
        assert_int_equal(file_replace(fd, "srk.name", SPAN_ARRAY(name), 0600, &err), 0);
        assert_int_equal(tpm_srk_name_load(fd, read, &err), 1);
        assert_memory_equal(read, name, sizeof(name));
        memset(read, 0, sizeof(read));
        assert_int_equal(file_replace(fd, "srk.name", SPAN(text, strlen(text)), 0600, &err), 0);
        assert_int_equal(tpm_srk_name_load(fd, read, &err), 1);
        assert_memory_equal(read, name, sizeof(name));
        for (size_t size = 0; size < strlen(text) - 1; size++) { /* all but the 34 bytes */
                if (size == TPM_NAME_SIZE)
                        continue;
                assert_int_equal(file_replace(fd, "srk.name", SPAN(text, size), 0600, &err), 0);
                assert_true(tpm_srk_name_load(fd, read, &err) < 0);
                assert_int_equal(err.reason, RS_REASON_NOT_PROVISIONED);
                err = RS_ERROR_INIT;
        }
        assert_int_equal(unlinkat(fd, "srk.name", 0), 0);
        (void) close(fd);
        assert_int_equal(rmdir(dir), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(configuration_knows_its_keys),
                cmocka_unit_test(the_pinned_name_is_read_in_both_of_its_forms),
                cmocka_unit_test(no_tpm_is_gone_and_comes_back),
                cmocka_unit_test(a_shared_connection_heals_after_the_tpm_came_back),
                cmocka_unit_test(a_held_lock_is_reported_at_the_deadline),
                cmocka_unit_test(what_a_killed_process_left_is_flushed_on_a_bare_tpm),
                cmocka_unit_test(on_a_shared_tpm_foreign_objects_are_left_alone),
                cmocka_unit_test(processes_take_turns_and_killed_ones_harm_nobody),
                cmocka_unit_test(threads_share_one_tpm),
                cmocka_unit_test(another_storage_root_key_is_refused),
                cmocka_unit_test(the_posture_shows_the_authorizations),
                cmocka_unit_test(policies_are_those_the_tpm_computes),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
