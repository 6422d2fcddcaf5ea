/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * tpm-failures - what the signer chain must survive of its TPM (docs/threat-model.md, "Failures of the signer chain"):
 * a real lockout, all its places taken, a record ahead of every bundle there is, a floor above both slots, a second
 * writer, and somebody who would wear its memory out.
 *
 * The TPM is swtpm itself, not an answer made up for it.  In each case the device goes on running what it runs, FLOOR and
 * record never go back, and the next good release is installed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <tss2/tss2_esys.h>
#include <tss2/tss2_tctildr.h>

#include <openssl/pem.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/base/names.h>
#include <reseal/format/statement.h>
#include <reseal/pki/cms.h>
#include <reseal/tpm/seal.h>

#include "chain.h"
#include "device.h"
#include "mini-ca.h"
#include "mini-tsa.h"

#define ROOTFS ((uint64_t) 1 << 20)

static TestDevice device;
static TestRelease one, two, three;

static int setup(void **state) {
        (void) state;
        test_history_forget();
        test_device_make(&device, ROOTFS);
        test_release_make(&one, 1, 0, ROOTFS);
        test_release_make(&two, 2, 0, ROOTFS);
        test_release_make(&three, 3, 0, ROOTFS);
        return 0;
}

static int teardown(void **state) {
        (void) state;
        (void) unsetenv("RESEAL_FAULT");
        (void) unsetenv("RESEAL_FAULT_TRACE");
        test_release_done(&one);
        test_release_done(&two);
        test_release_done(&three);
        test_device_done(&device);
        return 0;
}

static void must_install(const TestRelease *r) {
        RsError err = RS_ERROR_INIT;
        TestEngine e;

        test_engine_open(&e, &device, NULL, NULL);
        if (test_engine_install(&e, r, &err) < 0)
                fail_msg("release %u: %s: %s", (unsigned) r->manifest->release, rs_reason_name(err.reason), err.text);
        test_engine_close(&e);
}

static void boot_into(const char *slot, const TestRelease *r) {
        RsError err = RS_ERROR_INIT;
        char name[WRITER_NAME_SIZE + 1];
        TestEngine e;

        test_device_boot(&device, slot, r->bundle_id);
        test_engine_open(&e, &device, NULL, NULL);
        if (install_mark(e.installer, INSTALL_BY_DAEMON, WRITER_MARK_GOOD, "", name, &err) < 0)
                fail_msg("%s", err.text);
        test_engine_close(&e);
}

static void assert_refused(TestEngine *e, const TestRelease *r, RsReason reason) {
        RsError err = RS_ERROR_INIT;
        WriterOffer offer;

        assert_true(test_engine_offer(e, r, &offer, &err) < 0);
        if (err.reason != reason)
                fail_msg("%s: %s", rs_reason_name(err.reason), err.text);
}

static TpmState tpm_state(TestEngine *e) {
        RsError err = RS_ERROR_INIT;
        TpmState s;

        if (tpm_state_read(e->tpm, &s, &err) < 0)
                fail_msg("%s", err.text);
        return s;
}

/* -- F14 and F15: what others do to the TPM --------------------------------------------------------------------- */

typedef struct Foreign {
        TSS2_TCTI_CONTEXT *tcti;
        ESYS_CONTEXT *esys;
} Foreign;

static void foreign_open(Foreign *f) {
        *f = (Foreign){ 0 };
        assert_int_equal(Tss2_TctiLdr_Initialize(device.tpm.swtpm.tcti, &f->tcti), 0);
        assert_int_equal(Esys_Initialize(&f->esys, f->tcti, NULL), 0);
}

static void foreign_close(Foreign *f) {
        Esys_Finalize(&f->esys);
        Tss2_TctiLdr_Finalize(&f->tcti);
}

static TSS2_RC foreign_key(Foreign *f, const char *auth, ESYS_TR *ret) {
        static const TPML_PCR_SELECTION no_pcr;
        TPM2B_SENSITIVE_CREATE sensitive = { 0 };
        TPM2B_PUBLIC area = { .publicArea = {
                .type = TPM2_ALG_ECC,
                .nameAlg = TPM2_ALG_SHA256,
                .objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN |
                                    TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_SIGN_ENCRYPT, /* no noDA */
                .parameters.eccDetail = { .symmetric.algorithm = TPM2_ALG_NULL,
                                          .scheme = { TPM2_ALG_ECDSA, { { TPM2_ALG_SHA256 } } },
                                          .curveID = TPM2_ECC_NIST_P256,
                                          .kdf.scheme = TPM2_ALG_NULL } } };

        sensitive.sensitive.userAuth.size = (UINT16) strlen(auth);
        memcpy(sensitive.sensitive.userAuth.buffer, auth, strlen(auth));
        return Esys_CreatePrimary(f->esys, ESYS_TR_RH_ENDORSEMENT, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &sensitive,
                                  &area, NULL, &no_pcr, ret, NULL, NULL, NULL, NULL);
}

/* A program with a key of its own guesses until the TPM is locked.  The first guess is one too many. */
static void lock_out(void) {
        static const TPMT_TK_HASHCHECK ticket = { .tag = TPM2_ST_HASHCHECK, .hierarchy = TPM2_RH_NULL };
        static const TPMT_SIG_SCHEME scheme = { TPM2_ALG_NULL, { { 0 } } };
        TPM2B_AUTH lockout = { .size = (UINT16) secret_size(device.tpm.lockout) }, wrong = { .size = 1 };
        TPM2B_DIGEST digest = { .size = 32 };
        TPMT_SIGNATURE *signature = NULL;
        ESYS_TR key = ESYS_TR_NONE;
        TSS2_RC rc = 0;
        Foreign f;

        foreign_open(&f);
        memcpy(lockout.buffer, secret_bytes(device.tpm.lockout), lockout.size);
        assert_int_equal(Esys_TR_SetAuth(f.esys, ESYS_TR_RH_LOCKOUT, &lockout), 0);
        assert_int_equal(Esys_DictionaryAttackParameters(f.esys, ESYS_TR_RH_LOCKOUT, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                                         ESYS_TR_NONE, 2, 100000, 100000), 0);
        assert_int_equal(foreign_key(&f, "right", &key), 0);
        assert_int_equal(Esys_TR_SetAuth(f.esys, key, &wrong), 0);
        for (int k = 0; k < 8 && rc != TPM2_RC_LOCKOUT; k++)
                rc = Esys_Sign(f.esys, key, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &digest, &scheme, &ticket, &signature);
        assert_int_equal(rc, TPM2_RC_LOCKOUT);
        assert_int_equal(Esys_FlushContext(f.esys, key), 0);
        foreign_close(&f);
}

/* F14: nothing of ours counts for the lockout, so nothing of ours is locked by it (T33). */
static void f14_a_locked_tpm_installs_and_says_that_it_is_locked(void **state) {
        RsError err = RS_ERROR_INIT;
        WriterTrust trust;
        TestEngine e;

        (void) state;
        lock_out();
        test_engine_open(&e, &device, NULL, NULL);
        assert_int_equal(install_trust(e.installer, &trust, &err), 0);
        assert_int_equal(trust.reason, 0);
        assert_true(trust.in_lockout);
        test_engine_close(&e);
        must_install(&one);
        assert_true(test_slot_b_holds(&device, &one));
}

/* As a program that was killed leaves them: it would be the last one to use this TPM without us. */
static void take_all_places(Foreign *f) {
        static const TPMT_SYM_DEF none = { .algorithm = TPM2_ALG_NULL };
        unsigned n = 0;
        ESYS_TR h;

        while (n < 20 && foreign_key(f, "", &h) == 0)
                n++;
        assert_in_range(n, 1, 19);
        for (n = 0; n < 20 && Esys_StartAuthSession(f->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                                    ESYS_TR_NONE, NULL, TPM2_SE_HMAC, &none, TPM2_ALG_SHA256, &h) == 0; n++)
                ;
        assert_in_range(n, 1, 19);
}

/* F15, E16: a bare TPM is emptied by whoever holds its lock; on a shared one that is not ours to do, and is told. */
static void f15_taken_places_are_freed_or_told(void **state) {
        Foreign f;

        (void) state;
        foreign_open(&f);
        take_all_places(&f);
        foreign_close(&f);
        must_install(&one);

        boot_into("B", &one);
        foreign_open(&f);
        take_all_places(&f);
        foreign_close(&f);
        for (int k = 0; k < 2; k++) {
                TestEngine e;

                device.shared = true;
                test_engine_open(&e, &device, NULL, NULL);
                assert_refused(&e, &two, RS_REASON_TPM_FULL);
                test_engine_close(&e);
        }
        device.shared = false;
        must_install(&two); /* the same TPM, the places still taken */
        device.shared = true;
        boot_into("A", &two);
        must_install(&three);
}

/* -- F17 -------------------------------------------------------------------------------------------------------- */

static void cut_behind_the_links(void *userdata, InstallStep step, bool done) {
        (void) userdata;
        if (step == INSTALL_W7_ACCEPT && !done) {
                (void) setenv("RESEAL_FAULT_EPOCH", "f17", 1);
                (void) setenv("RESEAL_FAULT", "NV_Increment:1-1000:rc=0x101", 1); /* the links are written, ACCEPT is not */
        }
}

/*
 * F17: CHAIN has moved to release 2, the cut came before its record, and then the bundle is nowhere any more.  The device
 * runs release 1, which cannot be installed again; whatever is at or above 2 can.
 */
static void f17_a_chain_ahead_of_every_bundle_waits_for_a_newer_one(void **state) {
        RsError err = RS_ERROR_INIT;
        BootState boot;
        TestEngine e;

        (void) state;
        test_device_level2(&device);
        must_install(&one);
        boot_into("B", &one);
        device.faulty = true;
        test_engine_open(&e, &device, cut_behind_the_links, NULL);
        assert_true(test_engine_install(&e, &two, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_TPM);
        test_engine_close(&e);
        (void) unsetenv("RESEAL_FAULT");
        device.faulty = false;
        for (int k = 0; k < 3; k++) { /* again and again, also behind a restart: nothing moves back, nothing is lost */
                test_engine_open(&e, &device, NULL, NULL);
                assert_refused(&e, &one, RS_REASON_ROLLBACK);
                assert_int_equal(tpm_state(&e).record.release, 2);
                assert_int_equal(boot_read(e.boot, &boot, &err), 0);
                assert_string_equal(boot.primary, "B");
                assert_true(boot.slots[1].good && boot.slots[1].bootable);
                test_engine_close(&e);
        }
        boot_into("B", &one); /* it goes on running what it runs */
        must_install(&three);
        boot_into("A", &three);
        test_engine_open(&e, &device, NULL, NULL);
        assert_int_equal(tpm_state(&e).record.release, 3);
        test_engine_close(&e);
}

/* -- F18 -------------------------------------------------------------------------------------------------------- */

/*
 * F18: somebody with the gate secret raised FLOOR above both slots.  Neither opens; what a rescue slot or the recovery
 * passphrase starts (tests/attack/epoch.sh) finds a writer that installs.  FLOOR is not lowered by anything, not even by
 * the installation that makes the device boot by itself again.
 */
static void f18_a_floor_above_both_slots_is_never_lowered(void **state) {
        RsError err = RS_ERROR_INIT;
        char name[WRITER_NAME_SIZE + 1];
        uint64_t floor;
        TestEngine e;

        (void) state;
        must_install(&one);
        boot_into("B", &one);
        assert_true(test_slot_b_holds(&device, &one));
        test_engine_open(&e, &device, NULL, NULL);
        floor = tpm_state(&e).floor + 2;
        while (tpm_state(&e).floor < floor)
                assert_int_equal(tpm_floor_raise(e.tpm, e.gate, floor, &err), 0);
        test_engine_close(&e);
        assert_false(test_slot_b_holds(&device, &one));
        for (int k = 0; k < 3; k++) {
                WriterTrust trust;

                test_engine_open(&e, &device, NULL, NULL);
                assert_int_equal(install_converge(e.installer, &err), 0);
                assert_int_equal(install_mark(e.installer, INSTALL_BY_DAEMON, WRITER_MARK_GOOD, "", name, &err), 0);
                assert_int_equal(install_trust(e.installer, &trust, &err), 0);
                assert_int_equal(trust.floor, floor);
                assert_int_equal(tpm_state(&e).floor, floor);
                test_engine_close(&e);
        }
        test_device_boot(&device, "A", NULL); /* the rescue system stands in A's place */
        must_install(&two);
        assert_true(test_slot_b_holds(&device, &two));
        boot_into("B", &two);
        test_engine_open(&e, &device, NULL, NULL);
        assert_int_equal(tpm_state(&e).floor, floor);
        test_engine_close(&e);
}

/* -- F22 -------------------------------------------------------------------------------------------------------- */

typedef struct Race {
        unsigned n;
} Race;

/* Between the gate of one writer and its commit another one goes all the way. */
static void overtake(void *userdata, InstallStep step, bool done) {
        Race *race = userdata;

        if (step == INSTALL_W7_ACCEPT && !done && race->n++ == 0)
                must_install(&three);
}

/* F22: there is one writer only, by its socket; if there were two, the TPM would go on and never back. */
static void f22_a_writer_that_was_overtaken_commits_nothing(void **state) {
        RsError err = RS_ERROR_INIT;
        Race race = { 0 };
        TestEngine e;

        (void) state;
        must_install(&one);
        boot_into("B", &one);
        test_engine_open(&e, &device, overtake, &race);
        assert_true(test_engine_install(&e, &two, &err) < 0);
        if (err.reason != RS_REASON_ROLLBACK)
                fail_msg("%s: %s", rs_reason_name(err.reason), err.text);
        assert_int_equal(tpm_state(&e).record.release, 3);
        assert_refused(&e, &two, RS_REASON_ROLLBACK);
        test_engine_close(&e);
        must_install(&three);
        boot_into("A", &three);
}

/* -- F23 -------------------------------------------------------------------------------------------------------- */

/* NV writes since the last call. */
static unsigned nv_writes(void) {
        char path[128], line[32];
        unsigned n = 0;
        FILE *f;

        (void) snprintf(path, sizeof(path), "%s/trace", device.dir);
        (void) setenv("RESEAL_FAULT_TRACE", path, 1);
        f = fopen(path, "re");
        while (f && fgets(line, sizeof(line), f)) {
                unsigned long code = strtoul(line, NULL, 16);

                n += code == TPM2_CC_NV_Write || code == TPM2_CC_NV_Increment || code == TPM2_CC_NV_DefineSpace ||
                     code == TPM2_CC_EvictControl;
        }
        if (f)
                (void) fclose(f);
        (void) unlink(path);
        return n;
}

typedef struct Poll {
        CaKey time_root, tsa, source_root, freshness;
        Encoder lists, statement;
} Poll;

static void put_pem(const CaKey *root, const char *name, char *ret, size_t size) {
        _cleanup_(encoder_done) Encoder pem = ENCODER_INIT;
        RsError err = RS_ERROR_INIT;

        (void) snprintf(ret, size, "%s/%s", device.dir, name);
        ca_cert_pem(root, &pem);
        assert_int_equal(file_replace(AT_FDCWD, ret, encoder_view(&pem), 0600, &err), 0);
}

static void poll_begin(Poll *p) {
        const uint64_t now = (uint64_t) time(NULL), day = 86400;
        Statement s = { .line = TEST_LINE, .latest = 2, .seq = 1, .issued = now - 60, .expires = now + day };
        _cleanup_(encoder_done) Encoder list = ENCODER_INIT, json = ENCODER_INIT;
        RsError err = RS_ERROR_INIT;

        memset(p, 0, sizeof(*p));
        p->time_root = ca_make(NULL, "Time Root", NULL, now - day, now + 90 * day);
        p->tsa = ca_make(&p->time_root, "TSA", "critical,timeStamping", now - day, now + 90 * day);
        p->source_root = ca_make(NULL, "Source Root", NULL, now - day, now + 90 * day);
        p->freshness = ca_make(&p->source_root, "Freshness", "critical," RS_OID_EKU_FRESHNESS, now - day, now + 90 * day);
        put_pem(&p->time_root, "time.pem", device.time_root, sizeof(device.time_root));
        put_pem(&p->source_root, "source.pem", device.source_root, sizeof(device.source_root));
        chain_crl(test_history(), 7, NULL, 0, &list);
        encoder_u32(&p->lists, 1);
        encoder_u32(&p->lists, (uint32_t) list.size);
        encoder_span(&p->lists, encoder_view(&list));
        assert_int_equal(statement_encode(&s, &json, &err), 0);
        assert_int_equal(cms_sign(encoder_view(&json), p->freshness.cert, p->freshness.key, NULL, &p->statement, &err), 0);
}

static void poll_done(Poll *p) {
        ca_done(&p->time_root);
        ca_done(&p->tsa);
        ca_done(&p->source_root);
        ca_done(&p->freshness);
        encoder_done(&p->lists);
        encoder_done(&p->statement);
}

static void give(TestEngine *e, WriterEvidence kind, Span bytes) {
        RsError err = RS_ERROR_INIT;
        bool unused;

        if (install_evidence(e->installer, kind, bytes, &unused, &err) < 0)
                fail_msg("%s: %s", rs_reason_name(err.reason), err.text);
}

/* All that a daemon says which asks its source whether there is something new, and an offer that comes to nothing. */
static void ask_once(TestEngine *e, const Poll *p, const TestRelease *offered, const TestRelease *refused) {
        _cleanup_(encoder_done) Encoder answer = ENCODER_INIT;
        RsError err = RS_ERROR_INIT;
        WriterTrust trust;
        WriterOffer offer;
        WriterTime t;

        assert_int_equal(install_time(e->installer, &t, &err), 0);
        tsa_answer(SPAN(t.query, t.query_size), &p->tsa, NULL, &answer);
        give(e, WRITER_EVIDENCE_TIME, encoder_view(&answer));
        give(e, WRITER_EVIDENCE_LINKS, encoder_view(&offered->links));
        give(e, WRITER_EVIDENCE_CRLS, encoder_view(&p->lists));
        give(e, WRITER_EVIDENCE_STATEMENT, encoder_view(&p->statement));
        assert_int_equal(test_engine_offer(e, offered, &offer, &err), 0);
        install_abort(e->installer);
        assert_true(test_engine_offer(e, refused, &offer, &err) < 0);
        assert_int_equal(install_trust(e->installer, &trust, &err), 0);
        assert_int_equal(trust.reason, 0);
}

/* F23, S63: NV is written when something rose that must not fall, not when somebody asks. */
static void f23_polls_and_repeated_offers_write_no_nv(void **state) {
        TestRelease other;
        Poll poll;

        (void) state;
        device.faulty = true;
        must_install(&one);
        boot_into("B", &one);
        poll_begin(&poll);
        test_history_forget();
        test_release_make(&other, 1, 1, ROOTFS); /* a fork */
        (void) nv_writes();
        for (int k = 0; k < 20; k++) {
                char name[WRITER_NAME_SIZE + 1];
                RsError err = RS_ERROR_INIT;
                unsigned n;
                TestEngine e;

                test_engine_open(&e, &device, NULL, NULL);
                assert_int_equal(install_converge(e.installer, &err), 0);
                ask_once(&e, &poll, &two, &other);
                assert_int_equal(install_mark(e.installer, INSTALL_BY_DAEMON, WRITER_MARK_GOOD, "", name, &err), 0);
                test_engine_close(&e);
                n = nv_writes();
                if (k == 0)
                        assert_in_range(n, 2, 4); /* the list's number and the day it has become: once */
                else
                        assert_int_equal(n, 0);
        }
        test_release_done(&other);
        poll_done(&poll);
}

/* F23: the same release over and over costs the flash memory of a slot, not the TPM's. */
static void f23_the_same_release_again_writes_no_nv(void **state) {
        (void) state;
        device.faulty = true;
        must_install(&one);
        boot_into("B", &one);
        (void) nv_writes();
        must_install(&one);
        assert_int_equal(nv_writes(), 0);
        boot_into("A", &one);
        must_install(&one);
        assert_int_equal(nv_writes(), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(f14_a_locked_tpm_installs_and_says_that_it_is_locked, setup, teardown),
                cmocka_unit_test_setup_teardown(f15_taken_places_are_freed_or_told, setup, teardown),
                cmocka_unit_test_setup_teardown(f17_a_chain_ahead_of_every_bundle_waits_for_a_newer_one, setup, teardown),
                cmocka_unit_test_setup_teardown(f18_a_floor_above_both_slots_is_never_lowered, setup, teardown),
                cmocka_unit_test_setup_teardown(f22_a_writer_that_was_overtaken_commits_nothing, setup, teardown),
                cmocka_unit_test_setup_teardown(f23_polls_and_repeated_offers_write_no_nv, setup, teardown),
                cmocka_unit_test_setup_teardown(f23_the_same_release_again_writes_no_nv, setup, teardown),
        };

        cmocka_set_test_filter(getenv("RESEAL_TEST_FILTER"));
        return cmocka_run_group_tests(tests, test_pki_setup, test_pki_teardown);
}
