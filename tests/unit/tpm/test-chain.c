/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * tpm/chain: level L2 on a software TPM.  What root has (the gate secret, the connection) does not move
 * CHAIN; what the
 * line's keys have signed does, in order and once (S64 to S66, T8 to T11, T15, F8, F16, F22).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <tss2/tss2_esys.h>
#include <tss2/tss2_tctildr.h>

#include <reseal/tpm/policy.h>
#include <reseal/tpm/state.h>

#include "line.h"
#include "swtpm.h"

#define OK(call)                                                                                \
        do {                                                                                    \
                int _ok = (call);                                                               \
                if (_ok < 0)                                                                    \
                        fail_msg("%s: %s (%s, 0x%x)", #call, err.text, err.origin, err.tss_rc); \
        } while (0)
#define REFUSED(call, why)                                                                     \
        do {                                                                                   \
                RsError _err = RS_ERROR_INIT, *const refusal = &_err;                          \
                if ((call) >= 0)                                                               \
                        fail_msg("went through: %s", #call);                                   \
                if (_err.reason != RS_REASON_##why)                                            \
                        fail_msg("%s: %s, %s", #call, rs_reason_name(_err.reason), _err.text); \
        } while (0)

static Device device;
static Line line;
static unsigned epoch;

#define POINTS ((const uint8_t(*)[RS_POINT_SIZE]) line.points)

/* A device of level L2 for each test: CHAIN cannot be taken back. */
static int setup(void **state) {
        RsError err = RS_ERROR_INIT;
        bool changed = false;
        Tpm *t;

        (void) state;
        line_make(&line);
        device_make(&device);
        t = device_tpm(&device, false);
        OK(tpm_provision_chain(t, NULL, line.authority.point, POINTS, &changed, &err));
        assert_true(changed);
        OK(tpm_provision_chain(t, NULL, line.authority.point, POINTS, &changed, &err));
        assert_false(changed);
        (void) tpm_free(t);
        return 0;
}

static int teardown(void **state) {
        (void) state;
        (void) unsetenv("RESEAL_FAULT");
        device_done(&device);
        line_done(&line);
        return 0;
}

static void inject(const char *rules) {
        char text[16];

        (void) snprintf(text, sizeof(text), "%u", ++epoch);
        (void) setenv("RESEAL_FAULT_EPOCH", text, 1);
        (void) setenv("RESEAL_FAULT", rules, 1);
}

static uint64_t index_now(Tpm *t) {
        RsError err = RS_ERROR_INIT;
        ChainRecord r = { 0 };
        bool empty = false;

        OK(tpm_chain_read(t, &empty, &r, &err));
        return empty ? 0 : r.index;
}

static void begin_line(Tpm *t, unsigned releases) {
        RsError err = RS_ERROR_INIT;
        ChainRecord r = line_record(&line, "gateway", 1, 0);
        MadeLink made;

        line_genesis(&line, &r, &made);
        OK(tpm_chain_apply(t, &made.link, &err));
        for (unsigned i = 1; i < releases; i++) {
                r = line_record(&line, "gateway", i + 1, i);
                line_link(&line, &r, i - 1, &made);
                OK(tpm_chain_apply(t, &made.link, &err));
        }
}

static void a_chain_is_walked_and_found_again(void **state) {
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false);
        RsError err = RS_ERROR_INIT;
        ChainRecord want = line_record(&line, "gateway", 3, 2), found;
        TpmLevel level;
        bool empty;

        (void) state;
        OK(tpm_level(t, &level, &err));
        assert_int_equal(level, TPM_LEVEL_L2);
        OK(tpm_chain_read(t, &empty, &found, &err));
        assert_true(empty);
        begin_line(t, 3);
        swtpm_power_cycle(&device.swtpm);
        OK(tpm_chain_read(t, &empty, &found, &err));
        assert_false(empty);
        assert_int_equal(found.index, 3);
        assert_memory_equal(found.signer_spki, want.signer_spki, 32);
        assert_memory_equal(found.log_head, want.log_head, 32);
}

static void the_link_it_already_holds_is_left_alone(void **state) {
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, true);
        RsError err = RS_ERROR_INIT;
        ChainRecord r = line_record(&line, "gateway", 2, 1);
        MadeLink made;

        (void) state;
        begin_line(t, 2);
        line_link(&line, &r, 0, &made);
        inject("NV_Write:1:rc=0x101"); /* would show */
        OK(tpm_chain_apply(t, &made.link, &err));
        assert_int_equal(index_now(t), 2);
}

static void a_skipped_link_is_refused(void **state) {
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false);
        ChainRecord r = line_record(&line, "gateway", 3, 2);
        MadeLink made;

        (void) state;
        begin_line(t, 1);
        line_link(&line, &r, 1, &made);
        REFUSED(tpm_chain_apply(t, &made.link, refusal), TPM_AUTH);
        assert_int_equal(index_now(t), 1);
}

static void links_and_genesis_cannot_be_played_again(void **state) {
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false);
        ChainRecord one = line_record(&line, "gateway", 1, 0), two = line_record(&line, "gateway", 2, 1);
        MadeLink made;

        (void) state;
        begin_line(t, 3);
        line_link(&line, &two, 0, &made);
        REFUSED(tpm_chain_apply(t, &made.link, refusal), TPM_AUTH);
        line_genesis(&line, &one, &made);
        REFUSED(tpm_chain_apply(t, &made.link, refusal), TPM_AUTH);
        memcpy(made.link.chain_name, line.written, 34); /* past our own check: the TPM's is as hard */
        REFUSED(tpm_chain_apply(t, &made.link, refusal), TPM_AUTH);
        assert_int_equal(index_now(t), 3);
}

/* What the policy would refuse at W7 for whom it is made is known before anything is destroyed (W0). */
static void links_that_are_not_for_this_tpm_are_known_before(void **state) {
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false);
        ChainRecord one = line_record(&line, "gateway", 1, 0), two = line_record(&line, "gateway", 2, 1);
        RsError err = RS_ERROR_INIT;
        MadeLink genesis, link, level1;
        MadeChange change;
        ChainRules rules;

        (void) state;
        line_genesis(&line, &one, &genesis);
        line_link(&line, &two, 0, &link);
        line_link(&line, &two, 0, &level1);
        memset(level1.link.chain_name, 0, sizeof(level1.link.chain_name));

        OK(tpm_chain_rules(t, &rules, &err));
        OK(tpm_chain_suits(&rules, &genesis.link, true, &err));
        OK(tpm_chain_suits(&rules, &link.link, false, &err)); /* behind the genesis */
        REFUSED(tpm_chain_suits(&rules, &link.link, true, refusal), CHAIN);
        REFUSED(tpm_chain_suits(&rules, &genesis.link, false, refusal), CHAIN);

        begin_line(t, 1);
        OK(tpm_chain_rules(t, &rules, &err));
        OK(tpm_chain_suits(&rules, &link.link, true, &err));
        REFUSED(tpm_chain_suits(&rules, &genesis.link, true, refusal), CHAIN);
        REFUSED(tpm_chain_suits(&rules, &level1.link, true, refusal), CHAIN);

        line_replace(&line, &line.authority, &line.other_authority, 0, 1, &change);
        OK(tpm_chain_replace_authority(t, &change.change, &err));
        OK(tpm_chain_rules(t, &rules, &err));
        REFUSED(tpm_chain_suits(&rules, &link.link, true, refusal), CHAIN);
}

/* A branch that the authority did approve, of another product whose signer came to the same index. */
static void a_link_of_another_signer_line_is_refused(void **state) {
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false);
        ChainRecord r = line_record(&line, "gateway", 2, 5);
        MadeLink made;

        (void) state;
        begin_line(t, 1);
        line_link(&line, &r, 7, &made);
        REFUSED(tpm_chain_apply(t, &made.link, refusal), TPM_AUTH);
        assert_int_equal(index_now(t), 1);
}

static void changed_records_and_signatures_are_refused(void **state) {
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false);
        ChainRecord r = line_record(&line, "gateway", 2, 1), other = r;
        MadeLink made;

        (void) state;
        begin_line(t, 1);
        line_link(&line, &r, 0, &made);
        other.manifest_digest[0] ^= 1; /* T15: another image under the same consent */
        chain_record_encode(&other, made.link.record_bytes);
        REFUSED(tpm_chain_apply(t, &made.link, refusal), TPM_AUTH);
        line_link(&line, &r, 0, &made);
        made.link.approval = made.link.endorsement;
        REFUSED(tpm_chain_apply(t, &made.link, refusal), TPM_AUTH);
        line_link(&line, &r, 0, &made);
        made.link.endorsement = SPAN("x", 1);
        REFUSED(tpm_chain_apply(t, &made.link, refusal), CHAIN);
        line_link(&line, &r, 0, &made);
        made.link.endorser = SPAN(line.authority.certificate, line.authority.certificate_size);
        REFUSED(tpm_chain_apply(t, &made.link, refusal), CHAIN);
        line_link(&line, &r, 0, &made);
        made.link.authority = made.link.endorser;
        REFUSED(tpm_chain_apply(t, &made.link, refusal), CHAIN);
        line_link(&line, &r, 0, &made);
        made.link.chain_name[5] ^= 1;
        REFUSED(tpm_chain_apply(t, &made.link, refusal), TPM_AUTH);
        assert_int_equal(index_now(t), 1);
}

static void another_authority_moves_nothing(void **state) {
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false);
        ChainRecord r = line_record(&line, "gateway", 2, 1);
        const LineKey *previous = &line.signers[0];
        RsError err = RS_ERROR_INIT;
        uint8_t policy[32];
        MadeLink made;

        (void) state;
        begin_line(t, 1);
        line_link(&line, &r, 0, &made);
        OK(tpm_policy_link(previous->point, previous->spki_sha256, line.written, policy, &err));
        line_approve_as(&line.other_authority, &made, policy, "reseal-link");
        REFUSED(tpm_chain_apply(t, &made.link, refusal), TPM_AUTH);
        line_approve_as(&line.other_authority, &made, policy, "reseal-link");
        made.link.authority = SPAN(line.authority.certificate, line.authority.certificate_size);
        REFUSED(tpm_chain_apply(t, &made.link, refusal), TPM_AUTH);
}

static void only_a_genesis_opens_an_empty_chain(void **state) {
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false);
        ChainRecord r = line_record(&line, "gateway", 1, 0);
        MadeLink made;

        (void) state;
        line_link(&line, &r, 7, &made);
        REFUSED(tpm_chain_apply(t, &made.link, refusal), TPM_AUTH);
        line_bridge(&line, &r, 0, 1, &made);
        REFUSED(tpm_chain_apply(t, &made.link, refusal), TPM_AUTH);
        assert_int_equal(index_now(t), 0);
}

/* S66, T16, F8 */
static void two_recovery_keys_bridge_and_one_does_not(void **state) {
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false);
        ChainRecord r = line_record(&line, "gateway", 50, 4);
        RsError err = RS_ERROR_INIT;
        MadeLink made, first;

        (void) state;
        begin_line(t, 2);
        line_bridge(&line, &r, 0, 0, &made);
        REFUSED(tpm_chain_apply(t, &made.link, refusal), TPM_AUTH);
        line_bridge(&line, &r, 1, 0, &made); /* the later one approves: not how the branches are */
        REFUSED(tpm_chain_apply(t, &made.link, refusal), TPM_AUTH);
        assert_int_equal(index_now(t), 2);
        line_bridge(&line, &r, 0, 1, &first);
        OK(tpm_chain_apply(t, &first.link, &err));
        assert_int_equal(index_now(t), 50);
        r = line_record(&line, "gateway", 60, 5);
        line_bridge(&line, &r, 1, 2, &made);
        OK(tpm_chain_apply(t, &made.link, &err));
        r = line_record(&line, "gateway", 61, 6);
        line_bridge(&line, &r, 0, 2, &made);
        OK(tpm_chain_apply(t, &made.link, &err));
        REFUSED(tpm_chain_apply(t, &first.link, refusal), TPM_AUTH); /* replay */
        r = line_record(&line, "other product", 70, 7);
        line_bridge(&line, &r, 0, 1, &made);
        REFUSED(tpm_chain_apply(t, &made.link, refusal), TPM_AUTH);
        assert_int_equal(index_now(t), 61);
}

/* The chain goes on behind a bridge. */
static void a_link_follows_a_bridge(void **state) {
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false);
        ChainRecord r = line_record(&line, "gateway", 9, 3);
        RsError err = RS_ERROR_INIT;
        MadeLink made;

        (void) state;
        begin_line(t, 1);
        line_bridge(&line, &r, 0, 2, &made);
        OK(tpm_chain_apply(t, &made.link, &err));
        r = line_record(&line, "gateway", 10, 4);
        line_link(&line, &r, 3, &made);
        OK(tpm_chain_apply(t, &made.link, &err));
        assert_int_equal(index_now(t), 10);
}

/* threats.md 3.8: the authority is lost or compromised */
static void two_recovery_keys_replace_the_authority(void **state) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false);
        const LineKey *previous = &line.signers[0];
        ChainRecord r = line_record(&line, "gateway", 2, 1);
        RsError err = RS_ERROR_INIT;
        MadeChange change, back;
        AuthorityChange parsed;
        MadeLink by_old, by_new;
        uint8_t policy[32], now[34];

        (void) state;
        begin_line(t, 1);
        line_replace(&line, &line.authority, &line.other_authority, 1, 1, &change);
        REFUSED(tpm_chain_replace_authority(t, &change.change, refusal), TPM_AUTH);
        line_replace(&line, &line.other_authority, &line.other_authority, 0, 1, &change);
        REFUSED(tpm_chain_replace_authority(t, &change.change, refusal), TPM_AUTH); /* not what is in force */
        line_replace(&line, &line.authority, &line.other_authority, 0, 1, &change);
        change.change.authority = SPAN(line.authority.certificate, line.authority.certificate_size);
        REFUSED(tpm_chain_replace_authority(t, &change.change, refusal), CHAIN);

        line_replace(&line, &line.authority, &line.other_authority, 0, 1, &change);
        OK(authority_change_encode(&change.change, &e, &err)); /* as it travels */
        OK(authority_change_parse(encoder_view(&e), &parsed, &err));
        OK(tpm_chain_replace_authority(t, &parsed, &err));
        OK(tpm_chain_replace_authority(t, &parsed, &err)); /* again: left alone */
        OK(tpm_chain_authpol(t, now, &err));
        assert_memory_equal(now, change.change.after, 34);
        assert_int_equal(index_now(t), 1);

        line_link(&line, &r, 0, &by_old);
        REFUSED(tpm_chain_apply(t, &by_old.link, refusal), TPM_AUTH);
        line_link(&line, &r, 0, &by_new);
        OK(tpm_policy_link(previous->point, previous->spki_sha256, line.written, policy, &err));
        line_approve_as(&line.other_authority, &by_new, policy, "reseal-link");
        OK(tpm_chain_apply(t, &by_new.link, &err));
        assert_int_equal(index_now(t), 2);

        /*
         * Back by another pair, and then the first order again: it names the value it replaced once
         * (threats.md 3.6).
         */
        line_replace(&line, &line.other_authority, &line.authority, 1, 2, &back);
        REFUSED(tpm_chain_replace_authority(t, &(AuthorityChange){ 0 }, refusal), CHAIN);
        OK(tpm_chain_replace_authority(t, &back.change, &err));
        OK(tpm_chain_authpol(t, now, &err));
        assert_memory_equal(now, back.change.after, 34);
}

static ESYS_CONTEXT *raw_open(TSS2_TCTI_CONTEXT **ret_tcti) {
        ESYS_CONTEXT *e = NULL;

        assert_int_equal(Tss2_TctiLdr_Initialize(device.swtpm.tcti, ret_tcti), 0);
        assert_int_equal(Esys_Initialize(&e, *ret_tcti, NULL), 0);
        return e;
}

/* As whoever has every authorization there is: ownerAuth, and a platform hierarchy that was left open. */
static void neither_owner_nor_platform_can_undefine_or_write(void **state) {
        static const TPM2_HANDLE indices[] = { TPM_NV_CHAIN, TPM_NV_AUTHPOL, TPM_NV_RECOVERY };
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false);
        TPM2B_AUTH auth = { .size = 32 };
        TPM2B_MAX_NV_BUFFER data = { .size = 34 };
        TSS2_TCTI_CONTEXT *tcti = NULL;
        ESYS_CONTEXT *e;

        (void) state;
        begin_line(t, 2);
        e = raw_open(&tcti);
        memcpy(auth.buffer, secret_bytes(device.owner), 32);
        assert_int_equal(Esys_TR_SetAuth(e, ESYS_TR_RH_OWNER, &auth), 0);
        for (unsigned i = 0; i < ELEMENTSOF(indices); i++) {
                ESYS_TR nv;

                assert_int_equal(Esys_TR_FromTPMPublic(e, indices[i], ESYS_TR_NONE, ESYS_TR_NONE,
                                                       ESYS_TR_NONE, &nv),
                                 0);
                assert_int_not_equal(Esys_NV_UndefineSpace(e, ESYS_TR_RH_OWNER, nv, ESYS_TR_PASSWORD,
                                                           ESYS_TR_NONE, ESYS_TR_NONE),
                                     0);
                assert_int_not_equal(Esys_NV_UndefineSpace(e, ESYS_TR_RH_PLATFORM, nv, ESYS_TR_PASSWORD,
                                                           ESYS_TR_NONE, ESYS_TR_NONE),
                                     0);
                assert_int_not_equal(Esys_NV_Write(e, ESYS_TR_RH_OWNER, nv, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                                   ESYS_TR_NONE, &data, 0),
                                     0);
                assert_int_not_equal(Esys_NV_Write(e, ESYS_TR_RH_PLATFORM, nv, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                                   ESYS_TR_NONE, &data, 0),
                                     0);
                assert_int_not_equal(Esys_NV_Write(e, nv, nv, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
                                                   &data, 0),
                                     0);
                assert_int_equal(Esys_TR_Close(e, &nv), 0);
        }
        Esys_Finalize(&e);
        Tss2_TctiLdr_Finalize(&tcti);
        assert_int_equal(index_now(t), 2);
}

/*
 * F12: TPM2_Clear takes the storage root key and all that the owner made; CHAIN stays, and the device says
 * what happened.
 */
static void the_chain_survives_a_clear_and_the_device_says_so(void **state) {
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false), *unpinned = NULL;
        TpmConfig c = swtpm_config(&device.swtpm);
        TSS2_TCTI_CONTEXT *tcti = NULL;
        RsError err = RS_ERROR_INIT;
        uint8_t name[TPM_NAME_SIZE];
        bool changed;
        ESYS_CONTEXT *e;
        TpmState s;

        (void) state;
        begin_line(t, 2);
        e = raw_open(&tcti);
        assert_int_equal(Esys_Clear(e, ESYS_TR_RH_PLATFORM, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE), 0);
        Esys_Finalize(&e);
        Tss2_TctiLdr_Finalize(&tcti);
        REFUSED(tpm_state_read(t, &s, refusal), TPM_CLEARED);
        OK(tpm_new(&c, NULL, &unpinned, &err));
        REFUSED(tpm_state_read(unpinned, &s, refusal), NOT_PROVISIONED);
        OK(tpm_provision_srk(unpinned, NULL, name, &changed, &err));
        assert_int_equal(index_now(unpinned), 2);
        REFUSED(tpm_state_read(t, &s, refusal), TPM_OTHER); /* as good as another TPM from now on */
}

static int commit_chain(Tpm *t, const ChainRecord *chain, uint64_t time_floor, RsError *err) {
        TpmRecord record = { .time_floor = time_floor };

        tpm_record_set_chain(&record, chain);
        return tpm_state_commit(t, device.gate, &record, err);
}

/*
 * W7, F16: links first, then the record; a cut between them leaves it behind, and the next commit catches
 * up.
 */
static void a_record_behind_the_chain_is_a_cut_and_converges(void **state) {
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false);
        ChainRecord one = line_record(&line, "gateway", 1, 0), two = line_record(&line, "gateway", 2, 1);
        RsError err = RS_ERROR_INIT;
        MadeLink made;
        TpmState s;

        (void) state;
        OK(tpm_state_read(t, &s, &err));
        assert_true(s.record.empty);
        assert_false(s.behind);
        assert_int_equal(s.level, TPM_LEVEL_L2);
        begin_line(t, 1);
        OK(tpm_state_read(t, &s, &err));
        assert_true(s.behind);
        assert_false(s.record.empty);
        assert_int_equal(s.record.release, 1);
        OK(commit_chain(t, &one, 1000, &err));
        line_link(&line, &two, 0, &made);
        OK(tpm_chain_apply(t, &made.link, &err));
        OK(tpm_state_read(t, &s, &err));
        assert_true(s.behind);
        assert_int_equal(s.record.release, 2);
        assert_int_equal(s.record.time_floor, 1000);
        OK(commit_chain(t, &two, 2000, &err));
        OK(tpm_state_read(t, &s, &err));
        assert_false(s.behind);
        assert_int_equal(s.record.time_floor, 2000);
}

/* Root has the gate secret; what it commits must repeat CHAIN, and CHAIN does not follow. */
static void a_record_that_does_not_repeat_the_chain_is_not_committed(void **state) {
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false);
        ChainRecord one = line_record(&line, "gateway", 1, 0), two = line_record(&line, "gateway", 2, 1);

        (void) state;
        REFUSED(commit_chain(t, &one, 0, refusal), INTERNAL);
        begin_line(t, 1);
        REFUSED(commit_chain(t, &two, 0, refusal), INTERNAL);
}

/*
 * A record that was valid at level L1 and is ahead of a CHAIN made later stands for one that root wrote
 * with the gate secret by
 * own means.
 */
static void a_record_ahead_of_the_chain_is_rewound(void **state) {
        ChainRecord one = line_record(&line, "gateway", 1, 0), two = line_record(&line, "gateway", 2, 1),
                    other = one;
        _cleanup_(tpm_freep) Tpm *t = NULL;
        RsError err = RS_ERROR_INIT;
        TpmRecord record = { 0 };
        MadeLink made;
        bool changed;
        Device l1;
        TpmState s;

        (void) state;
        device_make(&l1);
        t = device_tpm(&l1, false);
        tpm_record_set_chain(&record, &two);
        OK(tpm_state_commit(t, l1.gate, &record, &err));
        OK(tpm_provision_chain(t, NULL, line.authority.point, POINTS, &changed, &err));
        REFUSED(tpm_state_read(t, &s, refusal), TPM_REWOUND);
        line_genesis(&line, &one, &made);
        OK(tpm_chain_apply(t, &made.link, &err));
        REFUSED(tpm_state_read(t, &s, refusal), TPM_REWOUND);
        /* the way out: a record that repeats CHAIN, whatever is there */
        REFUSED(tpm_state_recover(t, l1.gate, &record, refusal), INTERNAL);
        tpm_record_set_chain(&record, &one);
        OK(tpm_state_recover(t, l1.gate, &record, &err));
        OK(tpm_state_read(t, &s, &err));
        assert_int_equal(s.record.release, 1);
        t = tpm_free(t);
        device_done(&l1);

        /* the same release with other content contradicts */
        device_make(&l1);
        t = device_tpm(&l1, false);
        other.manifest_digest[3] ^= 1;
        tpm_record_set_chain(&record, &other);
        OK(tpm_state_commit(t, l1.gate, &record, &err));
        OK(tpm_provision_chain(t, NULL, line.authority.point, POINTS, &changed, &err));
        OK(tpm_chain_apply(t, &made.link, &err));
        REFUSED(tpm_state_read(t, &s, refusal), TPM_STATE);
        t = tpm_free(t);
        device_done(&l1);
}

static void other_keys_than_those_of_the_factory_are_refused(void **state) {
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false);
        uint8_t other[3][RS_POINT_SIZE];
        bool changed;

        (void) state;
        memcpy(other, line.points, sizeof(other));
        memcpy(other[2], line.other_authority.point, RS_POINT_SIZE);
        REFUSED(tpm_provision_chain(t, NULL, line.authority.point, (const uint8_t(*)[RS_POINT_SIZE]) other,
                                    &changed, refusal),
                TPM_REDEFINED);
        REFUSED(tpm_provision_chain(t, NULL, line.other_authority.point, POINTS, &changed, refusal),
                TPM_REDEFINED);
        memcpy(other[2], other[0], RS_POINT_SIZE);
        REFUSED(tpm_provision_chain(t, NULL, line.authority.point, (const uint8_t(*)[RS_POINT_SIZE]) other,
                                    &changed, refusal),
                INVALID);
}

/* F11: the owner's index at CHAIN's number on a device of level L1 */
static void an_index_of_another_kind_at_the_chains_number_is_redefined(void **state) {
        TPM2B_NV_PUBLIC area = { .nvPublic = { .nvIndex = TPM_NV_CHAIN,
                                               .nameAlg = TPM2_ALG_SHA256,
                                               .dataSize = 160,
                                               .attributes = TPMA_NV_AUTHREAD | TPMA_NV_AUTHWRITE |
                                                             TPMA_NV_NO_DA } };
        static const TPM2B_AUTH empty;
        _cleanup_(tpm_freep) Tpm *t = NULL;
        TPM2B_AUTH auth = { .size = 32 };
        TSS2_TCTI_CONTEXT *tcti = NULL;
        ESYS_CONTEXT *e = NULL;
        ESYS_TR nv;
        Device l1;
        TpmState s;
        bool is_empty;
        ChainRecord r;

        (void) state;
        device_make(&l1);
        t = device_tpm(&l1, false);
        REFUSED(tpm_chain_read(t, &is_empty, &r, refusal), INVALID);
        assert_int_equal(Tss2_TctiLdr_Initialize(l1.swtpm.tcti, &tcti), 0);
        assert_int_equal(Esys_Initialize(&e, tcti, NULL), 0);
        memcpy(auth.buffer, secret_bytes(l1.owner), 32);
        assert_int_equal(Esys_TR_SetAuth(e, ESYS_TR_RH_OWNER, &auth), 0);
        assert_int_equal(Esys_NV_DefineSpace(e, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                             ESYS_TR_NONE, &empty, &area, &nv),
                         0);
        Esys_Finalize(&e);
        Tss2_TctiLdr_Finalize(&tcti);
        REFUSED(tpm_state_read(t, &s, refusal), TPM_REDEFINED);
        t = tpm_free(t);
        device_done(&l1);
}

/*
 * F16, E4: the TPM and we lose power at every command; CHAIN is at the old or the new record, and the same
 * call ends it.
 */
static void a_cut_anywhere_leaves_the_old_or_the_new_record(void **state) {
        ChainRecord r = line_record(&line, "gateway", 1, 0);
        RsError err = RS_ERROR_INIT;
        unsigned n_lost = 0;
        MadeLink made;

        (void) state;
        {
                _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false);

                begin_line(t, 1);
        }
        for (unsigned n = 1; n <= 40; n++) {
                _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, true);
                unsigned signer = (n % 2) ? 1 : 2;
                char rule[32];
                uint64_t index;

                r = line_record(&line, "gateway", 1 + n, signer);
                line_bridge(&line, &r, n % 3 == 2 ? 1 : 0, n % 3 == 0 ? 1 : 2, &made);
                (void) snprintf(rule, sizeof(rule), "*:%u:lose", n);
                inject(rule);
                if (tpm_chain_apply(t, &made.link, &err) < 0)
                        n_lost++;
                err = RS_ERROR_INIT;
                inject("");
                swtpm_power_cycle(&device.swtpm);
                index = index_now(t);
                assert_true(index == n || index == n + 1);
                OK(tpm_chain_apply(t, &made.link, &err));
                assert_int_equal(index_now(t), n + 1);
        }
        assert_true(n_lost < 40); /* lost answers are mostly answered by looking again */
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(a_chain_is_walked_and_found_again, setup, teardown),
                cmocka_unit_test_setup_teardown(the_link_it_already_holds_is_left_alone, setup, teardown),
                cmocka_unit_test_setup_teardown(a_skipped_link_is_refused, setup, teardown),
                cmocka_unit_test_setup_teardown(links_and_genesis_cannot_be_played_again, setup, teardown),
                cmocka_unit_test_setup_teardown(links_that_are_not_for_this_tpm_are_known_before, setup, teardown),
                cmocka_unit_test_setup_teardown(a_link_of_another_signer_line_is_refused, setup, teardown),
                cmocka_unit_test_setup_teardown(changed_records_and_signatures_are_refused, setup, teardown),
                cmocka_unit_test_setup_teardown(another_authority_moves_nothing, setup, teardown),
                cmocka_unit_test_setup_teardown(only_a_genesis_opens_an_empty_chain, setup, teardown),
                cmocka_unit_test_setup_teardown(two_recovery_keys_bridge_and_one_does_not, setup, teardown),
                cmocka_unit_test_setup_teardown(a_link_follows_a_bridge, setup, teardown),
                cmocka_unit_test_setup_teardown(two_recovery_keys_replace_the_authority, setup, teardown),
                cmocka_unit_test_setup_teardown(neither_owner_nor_platform_can_undefine_or_write, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(the_chain_survives_a_clear_and_the_device_says_so, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(a_record_behind_the_chain_is_a_cut_and_converges, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(a_record_that_does_not_repeat_the_chain_is_not_committed,
                                                setup, teardown),
                cmocka_unit_test_setup_teardown(a_record_ahead_of_the_chain_is_rewound, setup, teardown),
                cmocka_unit_test_setup_teardown(other_keys_than_those_of_the_factory_are_refused, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(an_index_of_another_kind_at_the_chains_number_is_redefined,
                                                setup, teardown),
                cmocka_unit_test_setup_teardown(a_cut_anywhere_leaves_the_old_or_the_new_record, setup,
                                                teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
