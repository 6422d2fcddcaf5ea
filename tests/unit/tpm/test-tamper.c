/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * tpm/state: what somebody with the gate secret, the owner's authorization, or the TPM's own storage can do at level L1,
 * and that each of it has a reason of its own (T13, T14, F9 to F13).
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <tss2/tss2_esys.h>
#include <tss2/tss2_tctildr.h>

#include <reseal/base/file.h>
#include <reseal/tpm/clock.h>
#include <reseal/tpm/state.h>

#include "../../../src/tpm/record.h"
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

static TpmRecord release(uint64_t n) {
        TpmRecord r = { .line = "gateway", .release = n, .epoch = 1, .trust_version = 3, .chain_flags = 1 };

        memset(r.manifest_digest, (int) n, sizeof(r.manifest_digest));
        memset(r.log_head, 0x40 + (int) n, sizeof(r.log_head));
        memset(r.trust_tag, 0x55, sizeof(r.trust_tag));
        return r;
}

static void commit(Tpm *t, uint64_t n) {
        RsError err = RS_ERROR_INIT;
        TpmRecord r = release(n);

        OK(tpm_state_commit(t, device.gate, &r, &err));
}

/* Between begin and end, what a program with the gate secret can do. */
static void as_root(void (*what)(Tpm *t, ESYS_TR hmac, void *userdata), void *userdata) {
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false);
        RsError err = RS_ERROR_INIT;
        ESYS_TR hmac;

        OK(tpm_begin(t, &err));
        OK(tpm_session(t, TPM2_SE_HMAC, &hmac, &err));
        what(t, hmac, userdata);
        (void) tpm_end(t, 0);
}

static void write_bytes(Tpm *t, ESYS_TR hmac, TPM2_HANDLE index, const uint8_t bytes[NV_RECORD_SIZE]) {
        RsError err = RS_ERROR_INIT;
        ESYS_TR nv, policy;

        OK(nv_use(t, index, &nv, &err));
        OK(nv_gate_session(t, device.gate, hmac, &policy, &err));
        OK(nv_write(t, nv, policy, bytes, NV_RECORD_SIZE, &err));
        tpm_flush(t, nv);
}

static void increment_accept(Tpm *t, ESYS_TR hmac, void *userdata) {
        RsError err = RS_ERROR_INIT;
        ESYS_TR nv, policy;

        (void) userdata;
        OK(nv_use(t, TPM_NV_ACCEPT, &nv, &err));
        OK(nv_gate_session(t, device.gate, hmac, &policy, &err));
        OK(nv_increment(t, nv, policy, &err));
}

static void write_old_record(Tpm *t, ESYS_TR hmac, void *userdata) {
        const TpmState *now = userdata;
        uint8_t bytes[NV_RECORD_SIZE];
        RsError err = RS_ERROR_INIT;
        TpmRecord r = release(1);

        OK(nv_record_encode(&r, now->accept - 2, bytes, &err));
        write_bytes(t, hmac, TPM_NV_RECORD0 + (now->accept & 1), bytes);
}

static void write_nonsense(Tpm *t, ESYS_TR hmac, void *userdata) {
        const TpmState *now = userdata;
        uint8_t bytes[NV_RECORD_SIZE];

        memset(bytes, 0x77, sizeof(bytes));
        write_bytes(t, hmac, TPM_NV_RECORD0 + (now->accept & 1), bytes);
}

/* An old record with its old counter, put back by who has the gate secret: the counter does not follow. */
static void a_record_put_back_is_rewound_until_it_is_recovered(void **state) {
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false);
        RsError err = RS_ERROR_INIT;
        TpmRecord good = release(3);
        TpmState now, s;

        (void) state;
        commit(t, 1);
        commit(t, 2);
        commit(t, 3);
        OK(tpm_state_read(t, &now, &err));
        assert_int_equal(now.level, 1);
        as_root(write_old_record, &now);
        REFUSED(tpm_state_read(t, &s, refusal), TPM_REWOUND);
        REFUSED(tpm_state_commit(t, device.gate, &good, refusal), TPM_REWOUND);
        OK(tpm_state_recover(t, device.gate, &good, &err));
        OK(tpm_state_read(t, &s, &err));
        assert_int_equal(s.record.release, 3);
        assert_int_equal(s.accept, now.accept + 1);
        assert_int_equal(s.record.chain_flags, 1);
        assert_memory_equal(s.record.log_head, good.log_head, 32);
        assert_memory_equal(s.record.trust_tag, good.trust_tag, 16);
        OK(tpm_state_recover(t, device.gate, &good, &err)); /* again: nothing to do */
        OK(tpm_state_read(t, &s, &err));
        assert_int_equal(s.accept, now.accept + 1);
}

static void a_counter_moved_without_a_record_is_rewound(void **state) {
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false);
        TpmState s;

        (void) state;
        commit(t, 1);
        commit(t, 2);
        as_root(increment_accept, NULL);
        REFUSED(tpm_state_read(t, &s, refusal), TPM_REWOUND);
}

/* F9 */
static void a_damaged_record_says_so_and_is_recovered(void **state) {
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false);
        RsError err = RS_ERROR_INIT;
        TpmRecord good = release(1);
        TpmState now, s;

        (void) state;
        commit(t, 1);
        OK(tpm_state_read(t, &now, &err));
        as_root(write_nonsense, &now);
        REFUSED(tpm_state_read(t, &s, refusal), TPM_STATE);
        OK(tpm_state_recover(t, device.gate, &good, &err));
        OK(tpm_state_read(t, &s, &err));
        assert_int_equal(s.record.release, 1);
}

typedef struct Raw {
        TSS2_TCTI_CONTEXT *tcti;
        ESYS_CONTEXT *e;
} Raw;

static Raw raw_open(void) {
        TPM2B_AUTH auth = { .size = 32 };
        Raw r = { 0 };

        assert_int_equal(Tss2_TctiLdr_Initialize(device.swtpm.tcti, &r.tcti), 0);
        assert_int_equal(Esys_Initialize(&r.e, r.tcti, NULL), 0);
        memcpy(auth.buffer, secret_bytes(device.owner), 32);
        assert_int_equal(Esys_TR_SetAuth(r.e, ESYS_TR_RH_OWNER, &auth), 0);
        return r;
}

static void raw_close(Raw *r) {
        Esys_Finalize(&r->e);
        Tss2_TctiLdr_Finalize(&r->tcti);
}

static void raw_undefine(Raw *r, TPM2_HANDLE index) {
        ESYS_TR nv;

        assert_int_equal(Esys_TR_FromTPMPublic(r->e, index, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &nv),
                         0);
        assert_int_equal(Esys_NV_UndefineSpace(r->e, ESYS_TR_RH_OWNER, nv, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                               ESYS_TR_NONE),
                         0);
}

static void raw_define(Raw *r, const TPM2B_NV_PUBLIC *area) {
        static const TPM2B_AUTH empty;
        ESYS_TR nv;

        assert_int_equal(Esys_NV_DefineSpace(r->e, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                             ESYS_TR_NONE, &empty, area, &nv),
                         0);
}

/* F10, F11: with ownerAuth, which is escrowed off the device */
static void an_index_made_anew_is_redefined(void **state) {
        TPM2B_NV_PUBLIC area = nv_public(TPM_NV_RECORD0, false), other;
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false);
        RsError err = RS_ERROR_INIT;
        TpmState s;
        Raw raw;

        (void) state;
        commit(t, 1);
        area.nvPublic.authPolicy.size = TPM_DIGEST_SIZE;
        OK(nv_policy_gate(area.nvPublic.authPolicy.buffer, &err));
        raw = raw_open();
        raw_undefine(&raw, TPM_NV_RECORD0);
        raw_close(&raw);
        REFUSED(tpm_state_read(t, &s, refusal), TPM_REDEFINED); /* missing beside others */

        raw = raw_open();
        raw_define(&raw, &area);
        raw_close(&raw);
        REFUSED(tpm_state_read(t, &s, refusal), TPM_REDEFINED); /* the same, but never written */

        static const struct {
                TPMA_NV attributes;
                int size;
                uint8_t policy;
        } changes[] = { { TPMA_NV_AUTHWRITE, 0, 0 }, { 0, -1, 0 }, { 0, 0, 1 } };
        for (unsigned i = 0; i < ELEMENTSOF(changes); i++) {
                other = area;
                other.nvPublic.attributes |= changes[i].attributes;
                other.nvPublic.dataSize = (UINT16) (other.nvPublic.dataSize + changes[i].size);
                other.nvPublic.authPolicy.buffer[0] ^= changes[i].policy;
                raw = raw_open();
                raw_undefine(&raw, TPM_NV_RECORD0);
                raw_define(&raw, &other);
                raw_close(&raw);
                REFUSED(tpm_state_read(t, &s, refusal), TPM_REDEFINED);
        }
}

/* Undefined and made again a counter goes on above its last value (E2): no way back, and the record shows it. */
static void a_counter_made_anew_is_rewound(void **state) {
        TPM2B_NV_PUBLIC area = nv_public(TPM_NV_ACCEPT, false);
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false);
        RsError err = RS_ERROR_INIT;
        TpmState before, s;
        Raw raw;

        (void) state;
        commit(t, 1);
        OK(tpm_state_read(t, &before, &err));
        area.nvPublic.authPolicy.size = TPM_DIGEST_SIZE;
        OK(nv_policy_gate(area.nvPublic.authPolicy.buffer, &err));
        raw = raw_open();
        raw_undefine(&raw, TPM_NV_ACCEPT);
        raw_define(&raw, &area);
        raw_close(&raw);
        REFUSED(tpm_state_read(t, &s, refusal), TPM_REDEFINED);
        {
                _cleanup_(tpm_freep) Tpm *root = device_tpm(&device, false);
                ESYS_TR hmac, nv, policy;

                OK(tpm_begin(root, &err));
                OK(tpm_session(root, TPM2_SE_HMAC, &hmac, &err));
                OK(nv_find(root, TPM_NV_ACCEPT, &nv, &err));
                OK(nv_gate_session(root, device.gate, hmac, &policy, &err));
                OK(nv_increment(root, nv, policy, &err));
                (void) tpm_end(root, 0);
        }
        REFUSED(tpm_state_read(t, &s, refusal), TPM_REWOUND);
}

/* F12 */
static void a_cleared_tpm_says_so(void **state) {
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false);
        TpmState s;
        Raw raw;

        (void) state;
        raw = raw_open();
        assert_int_equal(Esys_Clear(raw.e, ESYS_TR_RH_PLATFORM, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE),
                         0);
        raw_close(&raw);
        REFUSED(tpm_state_read(t, &s, refusal), TPM_CLEARED);
}

static void all_indices_gone_are_a_cleared_tpm(void **state) {
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false);
        TpmState s;
        Raw raw;

        (void) state;
        for (TPM2_HANDLE i = TPM_NV_FLOOR; i <= TPM_NV_GATE; i++) {
                raw = raw_open();
                raw_undefine(&raw, i);
                raw_close(&raw);
        }
        REFUSED(tpm_state_read(t, &s, refusal), TPM_CLEARED);
}

/* F13 */
static void another_tpm_says_so(void **state) {
        _cleanup_(tpm_freep) Tpm *t = NULL;
        RsError err = RS_ERROR_INIT;
        Device other;
        TpmConfig c;
        TpmState s;

        (void) state;
        device_make(&other);
        c = swtpm_config(&other.swtpm);
        OK(tpm_new(&c, device.srk_name, &t, &err));
        REFUSED(tpm_state_read(t, &s, refusal), TPM_OTHER);
        t = tpm_free(t);
        device_done(&other);
}

static void copy_state(const char *from, const char *to) {
        _cleanup_(freep) uint8_t *bytes = NULL;
        RsError err = RS_ERROR_INIT;
        size_t size;
        char path[128];

        (void) snprintf(path, sizeof(path), "%s/%s", device.swtpm.dir, from);
        assert_int_equal(file_read(AT_FDCWD, path, 1 << 20, &bytes, &size, &err), 1);
        (void) snprintf(path, sizeof(path), "%s/%s", device.swtpm.dir, to);
        OK(file_replace(AT_FDCWD, path, SPAN(bytes, size), 0600, &err));
}

/* The TPM's own storage put back: everything in it agrees, only the device remembers. */
static void a_restored_tpm_is_below_what_was_seen(void **state) {
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false);
        RsError err = RS_ERROR_INIT;
        TpmSeen early, seen;
        TpmState s;
        char kept[128];

        (void) state;
        commit(t, 1);
        OK(tpm_state_read(t, &s, &err));
        tpm_seen_of(&s, &early);
        copy_state("tpm2-00.permall", "kept");
        commit(t, 2);
        OK(tpm_state_read_seen(t, &early, &s, &err)); /* an older file is the restored disk: nothing to say */
        tpm_seen_of(&s, &seen);
        swtpm_kill(&device.swtpm);
        copy_state("kept", "tpm2-00.permall");
        swtpm_boot(&device.swtpm);
        OK(tpm_state_read(t, &s, &err));
        assert_int_equal(s.record.release, 1);
        REFUSED(tpm_state_read_seen(t, &seen, &s, refusal), TPM_RESTORED);
        OK(tpm_state_read_seen(t, &early, &s, &err));
        seen = early;
        seen.floor++;
        REFUSED(tpm_state_read_seen(t, &seen, &s, refusal), TPM_RESTORED);
        seen = early;
        seen.release++;
        REFUSED(tpm_state_read_seen(t, &seen, &s, refusal), TPM_RESTORED);
        seen = early;
        seen.level = 2;
        REFUSED(tpm_state_read_seen(t, &seen, &s, refusal), TPM_REDEFINED);
        (void) snprintf(kept, sizeof(kept), "%s/kept", device.swtpm.dir);
        assert_int_equal(unlink(kept), 0);
}

static void what_was_seen_is_kept_in_64_bytes_and_damage_counts_as_none(void **state) {
        const TpmSeen seen = { .accept = 0x0102030405060708, .floor = 9, .release = UINT64_MAX, .level = 2 };
        uint8_t bytes[TPM_SEEN_SIZE + 1] = { 0 };
        RsError err = RS_ERROR_INIT;
        TpmSeen back;

        (void) state;
        OK(tpm_seen_encode(&seen, bytes, &err));
        assert_memory_equal(bytes, "RST1\2\0\0\0\1\2\3\4\5\6\7\10", 16);
        assert_true(tpm_seen_parse(SPAN(bytes, TPM_SEEN_SIZE), &back));
        assert_int_equal(back.accept, seen.accept);
        assert_int_equal(back.floor, seen.floor);
        assert_int_equal(back.release, seen.release);
        assert_int_equal(back.level, seen.level);
        for (unsigned i = 0; i < TPM_SEEN_SIZE; i++) {
                bytes[i] ^= 1;
                assert_false(tpm_seen_parse(SPAN(bytes, TPM_SEEN_SIZE), &back));
                bytes[i] ^= 1;
        }
        for (size_t n = 0; n <= sizeof(bytes); n++)
                if (n != TPM_SEEN_SIZE)
                        assert_false(tpm_seen_parse(SPAN(bytes, n), &back));
}

static void the_clock_is_the_tpms_and_tells_an_unclean_stop(void **state) {
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false);
        RsError err = RS_ERROR_INIT;
        TpmClockReading a, b;

        (void) state;
        OK(tpm_clock_read(t, &a, &err));
        swtpm_power_cycle(&device.swtpm);
        OK(tpm_clock_read(t, &b, &err));
        assert_int_equal(b.reset_count, a.reset_count + 1);
        assert_false(b.safe);
}

/* The posture asks with the empty value and changes nothing. */
static void an_open_platform_hierarchy_shows(void **state) {
        static const TPM2B_AUTH random_auth = { .size = 4, .buffer = "boot" };
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false);
        RsError err = RS_ERROR_INIT;
        TpmPosture p;
        Raw raw;

        (void) state;
        OK(tpm_posture(t, &p, &err));
        assert_true(p.platform_open);
        raw = raw_open();
        assert_int_equal(Esys_HierarchyChangeAuth(raw.e, ESYS_TR_RH_PLATFORM, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                                  ESYS_TR_NONE, &random_auth),
                         0);
        raw_close(&raw);
        OK(tpm_posture(t, &p, &err));
        assert_false(p.platform_open);
        assert_int_equal(p.lockout_counter, 0);
        swtpm_power_cycle(&device.swtpm); /* a reset opens it again: firmware must close it each time */
        OK(tpm_posture(t, &p, &err));
        assert_true(p.platform_open);
        raw = raw_open();
        assert_int_equal(Esys_HierarchyControl(raw.e, ESYS_TR_RH_PLATFORM, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                               ESYS_TR_NONE, ESYS_TR_RH_PLATFORM, TPM2_NO),
                         0);
        raw_close(&raw);
        OK(tpm_posture(t, &p, &err));
        assert_false(p.platform_open);
        assert_int_equal(p.lockout_counter, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(a_record_put_back_is_rewound_until_it_is_recovered, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(a_counter_moved_without_a_record_is_rewound, setup, teardown),
                cmocka_unit_test_setup_teardown(a_damaged_record_says_so_and_is_recovered, setup, teardown),
                cmocka_unit_test_setup_teardown(an_index_made_anew_is_redefined, setup, teardown),
                cmocka_unit_test_setup_teardown(a_counter_made_anew_is_rewound, setup, teardown),
                cmocka_unit_test_setup_teardown(a_cleared_tpm_says_so, setup, teardown),
                cmocka_unit_test_setup_teardown(all_indices_gone_are_a_cleared_tpm, setup, teardown),
                cmocka_unit_test_setup_teardown(another_tpm_says_so, setup, teardown),
                cmocka_unit_test_setup_teardown(a_restored_tpm_is_below_what_was_seen, setup, teardown),
                cmocka_unit_test_setup_teardown(what_was_seen_is_kept_in_64_bytes_and_damage_counts_as_none,
                                                setup, teardown),
                cmocka_unit_test_setup_teardown(the_clock_is_the_tpms_and_tells_an_unclean_stop, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(an_open_platform_hierarchy_shows, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
