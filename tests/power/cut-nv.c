/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * cut-nv - the power fails at any TPM command of a step that writes NV (DESIGN.md 6, failure list F1 to F24).
 *
 * A stage is a device right before such a step: W7 at levels L1 and L2, W11, a revocation list, a time-stamp, a trust
 * set.  Its files and the TPM's NV are kept aside, so that each cut begins from the same bytes.  A child takes the step
 * and at its n-th command one of these happens (tests/tpm/faulttcti.c): the process dies before or behind it, the TPM
 * dies before or behind it, both die, or the command or its answer is lost.  Then the TPM is powered again, and:
 *   - there is exactly one valid record, the old one or the new one; at level L2 its chain part may be ahead (W7: CHAIN
 *     moves first), never behind;
 *   - the release is never lower, FLOOR rose at most as far as the whole step raises it;
 *   - the running slot has its bytes; the boot state names no slot whose release is not accepted;
 *   - nothing counts towards the TPM's lockout;
 *   - the same step again ends where the uncut one ends, with the same counters: nothing counted twice;
 *   - the next release is accepted.
 *
 * RESEAL_TEST_CUTS=N cuts at every command in every way, and fails if that was fewer than N; by default a few of them.
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
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/pem.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/format/trust-set.h>
#include <reseal/pki/cms.h>
#include <reseal/tpm/chain.h>

#include "chain.h"
#include "device.h"
#include "mini-ca.h"

#define ROOTFS ((uint64_t) 1 << 20)
#define STRIDE_SOME 29 /* shares no factor with the number of ways: all come up */

/* In steps.c and docs/tpm.md: what a whole step may cost. */
#define NV_WRITES_MAX 6u

static const char *const ways[] = { "killfirst", "kill", "tpmfirst", "tpm", "power", "lose", "drop" };

static TestDevice device;
static TestRelease release, following;
static uint8_t running_before[32];
static TpmState before, after;
static char aside[80], trace_path[96], reply_path[96], query_path[96];
static Encoder crls;
static unsigned n_cuts;

typedef struct Stage {
        const char *name;
        int (*step)(TestEngine *e, RsError *err);
        int (*again)(TestEngine *e, RsError *err); /* NULL: the step itself */
        int at;           /* commands count from this InstallStep on; -1: from the start */
        unsigned running; /* index of its slot_path */
        bool time_passes; /* the step commits the time of now */
} Stage;

/* -- the device of now, and back to it -------------------------------------------------------------------------- */

static void shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void shell(const char *format, ...) {
        char command[1024];
        va_list args;

        va_start(args, format);
        (void) vsnprintf(command, sizeof(command), format, args);
        va_end(args);
        assert_int_equal(system(command), 0);
}

static void look(TpmState *ret_tpm, BootState *ret_boot) {
        RsError err = RS_ERROR_INIT;
        TestEngine e;

        test_engine_open(&e, &device, NULL, NULL);
        if (tpm_state_read(e.tpm, ret_tpm, &err) < 0 || boot_read(e.boot, ret_boot, &err) < 0)
                fail_msg("%s: %s", rs_reason_name(err.reason), err.text);
        test_engine_close(&e);
}

static void keep_aside(const Stage *s) {
        BootState boot;

        look(&before, &boot);
        test_sha256_of_file(device.slot_path[s->running], running_before);
        swtpm_kill(&device.tpm.swtpm);
        shell("rm -rf %s && mkdir %s && cp -a %s %s* %s %s/tpm2-00.permall %s", aside, aside, device.state,
              device.grubenv, device.booted, device.tpm.swtpm.dir, aside);
        swtpm_boot(&device.tpm.swtpm);
}

static void put_back(void) {
        swtpm_kill(&device.tpm.swtpm);
        shell("rm -rf %s %s* && cp -a %s/state %s/grubenv* %s/booted %s && cp -a %s/tpm2-00.permall %s",
              device.state, device.grubenv, aside, aside, aside, device.dir, aside, device.tpm.swtpm.dir);
        swtpm_boot(&device.tpm.swtpm);
}

/* -- the step in a child ---------------------------------------------------------------------------------------- */

typedef struct Fault {
        int at;
        char rule[48]; /* empty: only counted */
} Fault;

static void begin_faults(const Fault *f) {
        char pid[16];

        (void) snprintf(pid, sizeof(pid), "%d", (int) device.tpm.swtpm.pid);
        (void) setenv("RESEAL_FAULT_TPM", pid, 1);
        (void) setenv("RESEAL_FAULT_EPOCH", "step", 1);
        if (f->rule[0])
                (void) setenv("RESEAL_FAULT", f->rule, 1);
        else
                (void) setenv("RESEAL_FAULT_TRACE", trace_path, 1);
}

static void end_faults(void) {
        (void) unsetenv("RESEAL_FAULT");
        (void) unsetenv("RESEAL_FAULT_TRACE");
}

static void on_step(void *userdata, InstallStep step, bool done) {
        const Fault *f = userdata;

        if ((int) step != f->at)
                return;
        if (done)
                end_faults();
        else
                begin_faults(f);
}

/* SIGKILL, or 0, or the reason it failed for. */
static int run_child(const Stage *s, const char *rule) {
        int status = 0;
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
                Fault f = { .at = s->at };
                RsError err = RS_ERROR_INIT;
                TestEngine e;
                int r;

                (void) snprintf(f.rule, sizeof(f.rule), "%s", rule);
                device.faulty = true;
                test_engine_open(&e, &device, on_step, &f);
                if (s->at < 0)
                        begin_faults(&f);
                r = s->step(&e, &err);
                if (r < 0 && err.reason != RS_REASON_TPM_GONE)
                        (void) fprintf(stderr, "%s, %s: %s: %s\n", s->name, rule, rs_reason_name(err.reason),
                                       err.text);
                _exit(r < 0 ? (int) err.reason : 0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (WIFSIGNALED(status)) {
                assert_int_equal(WTERMSIG(status), SIGKILL);
                return SIGKILL << 8;
        }
        return WEXITSTATUS(status);
}

/* -- what must hold --------------------------------------------------------------------------------------------- */

static bool same_chain(const TpmRecord *a, const TpmRecord *b) {
        return a->empty == b->empty && a->release == b->release && a->epoch == b->epoch &&
               memcmp(a->line_tag, b->line_tag, sizeof(a->line_tag)) == 0 &&
               memcmp(a->signer_spki, b->signer_spki, 32) == 0 && a->chain_flags == b->chain_flags &&
               memcmp(a->manifest_digest, b->manifest_digest, 32) == 0 &&
               memcmp(a->log_head, b->log_head, 32) == 0;
}

static bool same_rest(const TpmRecord *a, const TpmRecord *b, bool time_passes) {
        return a->floor_epoch == b->floor_epoch && a->crl_number == b->crl_number &&
               a->trust_version == b->trust_version &&
               memcmp(a->trust_tag, b->trust_tag, sizeof(a->trust_tag)) == 0 &&
               (time_passes ? a->time_floor >= b->time_floor : a->time_floor == b->time_floor);
}

static void assert_running_and_boot(const Stage *s, const TpmState *now, const BootState *boot) {
        uint8_t digest[32];
        RsError err = RS_ERROR_INIT;
        TpmPosture posture;
        InstallSlot info;
        TestEngine e;

        test_sha256_of_file(device.slot_path[s->running], digest);
        assert_memory_equal(digest, running_before, 32);
        test_engine_open(&e, &device, NULL, NULL);
        if (install_slot_load(e.state_fd, boot->primary, &info, &err) > 0)
                assert_true(!now->record.empty && info.release <= now->record.release);
        assert_int_equal(tpm_posture(e.tpm, &posture, &err), 0);
        assert_int_equal(posture.lockout_counter, 0);
        assert_false(posture.in_lockout);
        test_engine_close(&e);
}

static void assert_invariants(const Stage *s) {
        TpmState now;
        BootState boot;

        look(&now, &boot); /* exactly one valid record: anything else has a reason of its own */
        assert_true(now.accept >= before.accept && now.accept <= after.accept);
        assert_true(now.floor >= before.floor && now.floor <= after.floor);
        if (now.accept == after.accept)
                assert_true(same_chain(&now.record, &after.record) &&
                            same_rest(&now.record, s->time_passes ? &before.record : &after.record,
                                      s->time_passes));
        else {
                assert_true(same_rest(&now.record, &before.record, false) ||
                            after.accept - before.accept > 1);
                if (now.behind)
                        assert_true(now.record.release > before.record.release &&
                                    now.record.release <= after.record.release);
                else
                        assert_true(same_chain(&now.record, &before.record));
        }
        assert_running_and_boot(s, &now, &boot);
}

static void assert_converges(const Stage *s) {
        RsError err = RS_ERROR_INIT;
        WriterOffer offer;
        TpmState now;
        BootState boot;
        TestEngine e;

        test_engine_open(&e, &device, NULL, NULL);
        if ((s->again ? s->again : s->step)(&e, &err) < 0)
                fail_msg("again: %s: %s", rs_reason_name(err.reason), err.text);
        test_engine_close(&e);
        look(&now, &boot);
        assert_true(same_chain(&now.record, &after.record));
        assert_true(same_rest(&now.record, &after.record, s->time_passes));
        assert_int_equal(now.accept, after.accept);
        assert_int_equal(now.floor, after.floor);
        assert_false(now.behind);
        assert_running_and_boot(s, &now, &boot);
        test_engine_open(&e, &device, NULL, NULL);
        if (test_engine_offer(&e, &following, &offer, &err) < 0)
                fail_msg("the next release: %s: %s", rs_reason_name(err.reason), err.text);
        test_engine_close(&e);
}

/* -- one stage, cut everywhere ---------------------------------------------------------------------------------- */

/* The uncut step: where it ends, and what it costs. */
static unsigned measure(const Stage *s, unsigned *ret_writes) {
        char line[32];
        unsigned n = 0;
        BootState boot;
        FILE *f;

        (void) unlink(trace_path);
        *ret_writes = 0;
        assert_int_equal(run_child(s, ""), 0);
        f = fopen(trace_path, "re");
        assert_non_null(f);
        while (fgets(line, sizeof(line), f)) {
                unsigned long code = strtoul(line, NULL, 0);

                n++;
                *ret_writes += code == 0x137 || code == 0x134; /* NV_Write, NV_Increment */
        }
        (void) fclose(f);
        look(&after, &boot);
        return n;
}

static bool kills_tpm(const char *way) {
        return strncmp(way, "tpm", 3) == 0 || strcmp(way, "power") == 0;
}

/* RESEAL_TEST_CUTS: every one; RESEAL_TEST_NV_STRIDE: for builds in which a cut takes long. */
static unsigned stride_wanted(void) {
        const char *text = getenv("RESEAL_TEST_NV_STRIDE");

        if (getenv("RESEAL_TEST_CUTS"))
                return 1;
        return text && atoi(text) > 0 ? (unsigned) atoi(text) : STRIDE_SOME;
}

static void cut_everywhere(const Stage *s) {
        unsigned stride = stride_wanted(), n_commands, n_writes, n = 0;

        keep_aside(s);
        n_commands = measure(s, &n_writes);
        if (n_commands <= 10 || n_writes == 0 || n_writes > NV_WRITES_MAX)
                fail_msg("%s: %u commands, %u NV writes", s->name, n_commands, n_writes);
        for (unsigned k = 0; k < n_commands * ELEMENTSOF(ways); k += stride) {
                char rule[48];
                int how;

                (void) snprintf(rule, sizeof(rule), "*:%u:%s", k / (unsigned) ELEMENTSOF(ways) + 1,
                                ways[k % ELEMENTSOF(ways)]);
                put_back();
                how = run_child(s, rule);
                if (how != SIGKILL << 8 && how != 0 && how != RS_REASON_TPM_GONE)
                        fail_msg("%s, %s: reason %d", s->name, rule, how);
                if (kills_tpm(ways[k % ELEMENTSOF(ways)]))
                        swtpm_power_cycle(&device.tpm.swtpm);
                assert_invariants(s);
                assert_converges(s);
                n++;
        }
        print_message("%s: %u commands, %u NV writes, %u cuts\n", s->name, n_commands, n_writes, n);
        n_cuts += n;
}

/* -- stages ----------------------------------------------------------------------------------------------------- */

static int install_it(TestEngine *e, RsError *err) {
        return test_engine_install(e, &release, err);
}

static int mark_good(TestEngine *e, RsError *err) {
        char name[WRITER_NAME_SIZE + 1];

        return install_mark(e->installer, INSTALL_BY_DAEMON, WRITER_MARK_GOOD, "", name, err);
}

static int start_again(TestEngine *e, RsError *err) {
        return install_converge(e->installer, err);
}

static int give_lists(TestEngine *e, RsError *err) {
        bool changed;
        int r = install_evidence(e->installer, WRITER_EVIDENCE_LINKS, encoder_view(&release.links), &changed,
                                 err);

        return r < 0 ? r
                     : install_evidence(e->installer, WRITER_EVIDENCE_CRLS, encoder_view(&crls), &changed,
                                        err);
}

static int prove_time(TestEngine *e, RsError *err) {
        _cleanup_(freep) uint8_t *reply = NULL;
        char command[640];
        WriterTime t;
        size_t size;
        bool changed;
        int r;

        r = install_time(e->installer, &t, err);
        if (r < 0)
                return r;
        if (file_replace(AT_FDCWD, query_path, SPAN(t.query, t.query_size), 0600, err) < 0)
                abort();
        (void) snprintf(command, sizeof(command),
                        "openssl ts -reply -config %s/ts.cnf -section tsa -queryfile %s -signer %s/tsa.pem "
                        "-inkey %s/tsa.pem -out %s 2>/dev/null",
                        device.dir, query_path, device.dir, device.dir, reply_path);
        if (system(command) != 0 || file_read(AT_FDCWD, reply_path, 1u << 16, &reply, &size, err) <= 0)
                abort();
        return install_evidence(e->installer, WRITER_EVIDENCE_TIME, SPAN(reply, size), &changed, err);
}

/* What lies in the store is taken up at the next look; a failure there is no answer of its own. */
static int adopt_set(TestEngine *e, RsError *err) {
        WriterTrust t;

        return install_trust(e->installer, &t, err);
}

static void make_responder(void) {
        uint64_t now = (uint64_t) time(NULL);
        CaKey root = ca_make(NULL, "Time Root", NULL, now - 86400, now + 31536000);
        CaKey tsa = ca_make(&root, "TSA", "critical,timeStamping", now - 86400, now + 31536000);
        char path[128];
        FILE *f;

        (void) snprintf(device.time_root, sizeof(device.time_root), "%s/time-root.pem", device.dir);
        f = fopen(device.time_root, "we");
        assert_true(f && PEM_write_X509(f, root.cert) == 1 && fclose(f) == 0);
        (void) snprintf(path, sizeof(path), "%s/tsa.pem", device.dir);
        f = fopen(path, "we");
        assert_true(f && PEM_write_X509(f, tsa.cert) == 1 &&
                    PEM_write_PrivateKey(f, tsa.key, NULL, NULL, 0, NULL, NULL) == 1 && fclose(f) == 0);
        shell("printf '[tsa]\\nserial = %s/serial\\ndefault_policy = 1.2.3.4\\ndigests = sha256\\naccuracy = "
              "secs:1\\n"
              "ess_cert_id_alg = sha256\\nsigner_digest = sha256\\n' >%s/ts.cnf && echo 01 >%s/serial",
              device.dir, device.dir, device.dir);
        ca_done(&root);
        ca_done(&tsa);
}

static char *text_of_file(const char *path) {
        RsError err = RS_ERROR_INIT;
        uint8_t *bytes = NULL;
        size_t size;
        char *text;

        assert_int_equal(file_read(AT_FDCWD, path, 1u << 16, &bytes, &size, &err), 1);
        text = strndup((const char *) bytes, size);
        free(bytes);
        return text;
}

static void make_trust_set(void) {
        _cleanup_(encoder_done) Encoder json = ENCODER_INIT, one = ENCODER_INIT, both = ENCODER_INIT;
        _cleanup_(trust_set_freep) TrustSet *s = calloc(1, sizeof(*s));
        uint64_t now = (uint64_t) time(NULL);
        RsError err = RS_ERROR_INIT;
        CaKey root = ca_make(NULL, "Second Root", NULL, now - 86400, now + 31536000);
        FILE *f = fopen(device.root, "ae");

        assert_true(s && f && PEM_write_X509(f, root.cert) == 1 && fclose(f) == 0);
        (void) snprintf(s->line, sizeof(s->line), TEST_LINE);
        s->version = 1;
        s->quorum = 2;
        s->firmware_pem = text_of_file(device.root);
        s->source_pem = strdup("");
        s->time_pem = strdup("");
        s->recovery_pem = strdup("");
        if (trust_set_encode(s, &json, &err) < 0 ||
            cms_add_signer(SPAN_NULL, encoder_view(&json), test_history()->root, test_history()->root_key,
                           &one, &err) < 0 ||
            cms_add_signer(encoder_view(&one), encoder_view(&json), root.cert, root.key, &both, &err) < 0)
                fail_msg("%s", err.text);
        (void) snprintf(device.trust_set, sizeof(device.trust_set), "%s/store.set", device.dir);
        assert_int_equal(file_replace(AT_FDCWD, device.trust_set, encoder_view(&both), 0644, &err), 0);
        ca_done(&root);
}

static void make_lists(void) {
        _cleanup_(encoder_done) Encoder list = ENCODER_INIT;

        chain_crl(test_history(), 7, NULL, 0, &list);
        encoder_done(&crls);
        encoder_u32(&crls, 1);
        encoder_u32(&crls, (uint32_t) list.size);
        encoder_span(&crls, encoder_view(&list));
        assert_int_equal(encoder_finish(&crls), 0);
}

static void make_releases(uint64_t n, uint32_t epoch) {
        test_release_done(&release);
        test_release_done(&following);
        test_release_make(&release, n, epoch, ROOTFS);
        test_release_make(&following, n + 1, epoch, ROOTFS);
}

static void install_whole(void) {
        RsError err = RS_ERROR_INIT;
        TestEngine e;

        test_engine_open(&e, &device, NULL, NULL);
        if (test_engine_install(&e, &release, &err) < 0)
                fail_msg("%s: %s", rs_reason_name(err.reason), err.text);
        test_engine_close(&e);
}

static void kill_at_w7(void *userdata, InstallStep step, bool done) {
        (void) userdata;
        if (step == INSTALL_W7_ACCEPT && !done)
                (void) raise(SIGKILL);
}

/* The release is complete in its slot, W7 comes next. */
static void install_up_to_w7(void) {
        int status = 0;
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
                RsError err = RS_ERROR_INIT;
                TestEngine e;

                test_engine_open(&e, &device, kill_at_w7, NULL);
                (void) test_engine_install(&e, &release, &err);
                (void) fprintf(stderr, "%s\n", err.text);
                _exit(1);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
}

/* -- tests ------------------------------------------------------------------------------------------------------ */

static int make_device(void **state) {
        (void) state;
        test_device_make(&device, ROOTFS);
        (void) snprintf(aside, sizeof(aside), "%s/aside", device.dir);
        (void) snprintf(trace_path, sizeof(trace_path), "%s/trace", device.dir);
        (void) snprintf(query_path, sizeof(query_path), "%s/query", device.dir);
        (void) snprintf(reply_path, sizeof(reply_path), "%s/reply", device.dir);
        return 0;
}

static int remove_device(void **state) {
        (void) state;
        shell("rm -rf %s", aside);
        test_release_done(&release);
        test_release_done(&following);
        encoder_done(&crls);
        test_device_done(&device);
        return 0;
}

static void accept_at_level_1(void **state) {
        const Stage w7 = { "W7 L1", install_it, NULL, INSTALL_W7_ACCEPT, 0, false };

        (void) state;
        make_releases(1, 0);
        install_whole();
        make_releases(4, 0); /* three links, one record write */
        install_up_to_w7();
        cut_everywhere(&w7);
}

static void accept_at_level_2(void **state) {
        const Stage first = { "W7 L2, genesis", install_it, NULL, INSTALL_W7_ACCEPT, 0, false },
                    next = { "W7 L2", install_it, NULL, INSTALL_W7_ACCEPT, 0, false };

        (void) state;
        test_device_level2(&device);
        make_releases(1, 0);
        install_up_to_w7();
        cut_everywhere(&first);
        make_releases(3, 0); /* two links into CHAIN, one record write */
        install_up_to_w7();
        cut_everywhere(&next);
}

static void a_higher_epoch_marked_good(void **state) {
        const Stage w11 = { "W11", mark_good, start_again, INSTALL_W11_FLOOR, 1, false };

        (void) state;
        make_releases(1, 1);
        install_whole();
        test_device_boot(&device, "B", release.bundle_id);
        cut_everywhere(&w11);
}

static void evidence_that_the_record_remembers(void **state) {
        const Stage lists = { "revocation list", give_lists, NULL, -1, 0, false },
                    proof = { "time-stamp", prove_time, NULL, -1, 0, true },
                    set = { "trust set", adopt_set, NULL, -1, 0, false };

        (void) state;
        make_responder();
        make_releases(1, 0);
        cut_everywhere(&proof); /* from the factory: a signer's certificate raises the floor as well */
        install_whole();
        make_releases(2, 0);
        make_lists();
        cut_everywhere(&lists);
        make_trust_set();
        cut_everywhere(&set);
}

static void there_were_as_many_cuts_as_asked_for(void **state) {
        const char *text = getenv("RESEAL_TEST_CUTS");

        (void) state;
        print_message("%u cuts in all\n", n_cuts);
        assert_true(n_cuts >= (text ? (unsigned) atoi(text) : getenv("RESEAL_TEST_NV_STRIDE") ? 20u : 50u));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(accept_at_level_1, make_device, remove_device),
                cmocka_unit_test_setup_teardown(accept_at_level_2, make_device, remove_device),
                cmocka_unit_test_setup_teardown(a_higher_epoch_marked_good, make_device, remove_device),
                cmocka_unit_test_setup_teardown(evidence_that_the_record_remembers, make_device,
                                                remove_device),
                cmocka_unit_test(there_were_as_many_cuts_as_asked_for),
        };

        (void) signal(SIGPIPE, SIG_IGN); /* as the programs do: a TPM that is killed breaks the connection */
        cmocka_set_test_filter(getenv("RESEAL_TEST_FILTER"));
        return cmocka_run_group_tests(tests, test_pki_setup, test_pki_teardown);
}
