/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * tpm/seal on a software TPM: opens while FLOOR has not passed, never after, nowhere else, and not by any
 * other policy.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <reseal/tpm/seal.h>

#include "swtpm.h"

static Device device;
static uint64_t floor_now;
static unsigned epoch;

#define OK(call)                                                                                \
        do {                                                                                    \
                int _ok = (call);                                                               \
                if (_ok < 0)                                                                    \
                        fail_msg("%s: %s (%s, 0x%x)", #call, err.text, err.origin, err.tss_rc); \
        } while (0)

static int setup(void **state) {
        RsError err = RS_ERROR_INIT;
        TpmState s;
        Tpm *t;

        (void) state;
        device_make(&device);
        t = device_tpm(&device, false);
        OK(tpm_state_read(t, &s, &err));
        floor_now = s.floor;
        (void) tpm_free(t);
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

static void inject(const char *rules) {
        char text[16];

        (void) snprintf(text, sizeof(text), "%u", ++epoch);
        (void) setenv("RESEAL_FAULT_EPOCH", text, 1);
        (void) setenv("RESEAL_FAULT", rules, 1);
}

static void a_sealed_secret_opens_after_a_power_cut(void **state) {
        _cleanup_(secret_freep) Secret *secret = secret_new_random(32), *opened = NULL;
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false);
        RsError err = RS_ERROR_INIT;
        TpmSealed sealed;

        (void) state;
        OK(tpm_seal(t, secret, floor_now, &sealed, &err));
        assert_int_equal(sealed.floor_max, floor_now);
        assert_int_equal(sealed.nv_index, TPM_NV_FLOOR);
        assert_memory_equal(sealed.srk_name, device.srk_name, TPM_NAME_SIZE);
        swtpm_power_cycle(&device.swtpm);
        OK(tpm_unseal(t, &sealed, &opened, &err));
        assert_true(secret_equal(secret, opened));
}

static void a_data_secret_opens_whatever_the_floor_and_nothing_is_mixed_up(void **state) {
        _cleanup_(secret_freep) Secret *secret = secret_new_random(32), *opened = NULL, *none = NULL;
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false);
        RsError err = RS_ERROR_INIT;
        TpmSealed data, slot, mixed;

        (void) state;
        OK(tpm_seal_data(t, secret, &data, &err));
        assert_true(data.any_floor);
        assert_memory_equal(data.srk_name, device.srk_name, TPM_NAME_SIZE);
        OK(tpm_unseal(t, &data, &opened, &err));
        assert_true(secret_equal(secret, opened));
        /* a token rewritten to the other kind does not get past the public area of the blob */
        OK(tpm_seal(t, secret, floor_now, &slot, &err));
        mixed = slot;
        mixed.any_floor = true;
        assert_true(tpm_unseal(t, &mixed, &none, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_TPM_STATE);
        err = RS_ERROR_INIT;
        mixed = data;
        mixed.any_floor = false;
        mixed.nv_index = TPM_NV_FLOOR;
        mixed.floor_max = floor_now;
        assert_true(tpm_unseal(t, &mixed, &none, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_TPM_STATE);
        assert_null(none);
}

static void many_power_cuts_do_not_lock_it(void **state) {
        _cleanup_(secret_freep) Secret *secret = secret_new_random(32);
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false);
        RsError err = RS_ERROR_INIT;
        TpmSealed sealed;
        TpmPosture p;

        (void) state;
        OK(tpm_seal(t, secret, floor_now, &sealed, &err));
        for (int i = 0; i < 6; i++) {
                _cleanup_(secret_freep) Secret *opened = NULL;

                OK(tpm_unseal(t, &sealed, &opened, &err));
                swtpm_power_cycle(&device.swtpm);
        }
        OK(tpm_posture(t, &p, &err));
        assert_int_equal(p.lockout_counter, 0);
        assert_false(p.in_lockout);
}

static void once_the_floor_has_passed_it_never_opens_again(void **state) {
        _cleanup_(secret_freep) Secret *secret = secret_new_random(32), *opened = NULL, *later = NULL;
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false);
        TpmSealed old, next;
        RsError err = RS_ERROR_INIT;

        (void) state;
        OK(tpm_seal(t, secret, floor_now, &old, &err));
        OK(tpm_seal(t, secret, floor_now + 1, &next, &err));
        OK(tpm_unseal(t, &old, &opened, &err));
        OK(tpm_floor_raise(t, device.gate, floor_now + 1, &err));
        floor_now++;
        opened = secret_free(opened);
        assert_true(tpm_unseal(t, &old, &opened, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_TPM_AUTH);
        assert_null(opened);
        err = RS_ERROR_INIT;
        OK(tpm_unseal(t, &next, &later, &err));

        /* claiming a higher limit for the old object does not help */
        old.floor_max = floor_now;
        assert_true(tpm_unseal(t, &old, &opened, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_TPM_STATE);
}

static void the_largest_limit_works(void **state) {
        _cleanup_(secret_freep) Secret *secret = secret_new_random(32), *opened = NULL;
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false);
        RsError err = RS_ERROR_INIT;
        TpmSealed sealed;

        (void) state;
        OK(tpm_seal(t, secret, UINT64_MAX, &sealed, &err));
        OK(tpm_unseal(t, &sealed, &opened, &err));
        assert_true(secret_equal(secret, opened));
}

static void another_tpm_does_not_open_it(void **state) {
        _cleanup_(secret_freep) Secret *secret = secret_new_random(32), *opened = NULL;
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false), *u = NULL;
        RsError err = RS_ERROR_INIT;
        TpmSealed sealed;
        Device other;

        (void) state;
        OK(tpm_seal(t, secret, floor_now, &sealed, &err));
        device_make(&other);
        u = device_tpm(&other, false);
        assert_true(tpm_unseal(u, &sealed, &opened, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_TPM_OTHER);
        /* even when the Name in the text is changed to fit */
        err = RS_ERROR_INIT;
        memcpy(sealed.srk_name, other.srk_name, TPM_NAME_SIZE);
        assert_true(tpm_unseal(u, &sealed, &opened, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_TPM_OTHER);
        device_done(&other);
}

static void damaged_or_foreign_objects_are_refused_before_the_tpm(void **state) {
        _cleanup_(secret_freep) Secret *secret = secret_new_random(32), *opened = NULL;
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false);
        RsError err = RS_ERROR_INIT;
        TpmSealed sealed, bad;

        (void) state;
        OK(tpm_seal(t, secret, floor_now, &sealed, &err));
        for (unsigned i = 0; i < sealed.blob_size; i += 3) {
                bad = sealed;
                bad.blob[i] ^= 1;
                err = RS_ERROR_INIT;
                assert_true(tpm_unseal(t, &bad, &opened, &err) < 0);
                assert_true(err.reason == RS_REASON_TPM_STATE || err.reason == RS_REASON_TPM_OTHER ||
                            err.reason == RS_REASON_TPM);
                assert_null(opened);
        }
        bad = sealed;
        bad.nv_index = TPM_NV_ACCEPT;
        err = RS_ERROR_INIT;
        assert_true(tpm_unseal(t, &bad, &opened, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_TPM_STATE);
        bad = sealed;
        bad.blob_size = TPM_SEALED_BLOB_MAX + 1;
        err = RS_ERROR_INIT;
        assert_true(tpm_unseal(t, &bad, &opened, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_TPM_STATE);
}

static void a_secret_of_another_size_is_not_sealed(void **state) {
        _cleanup_(secret_freep) Secret *secret = secret_new_random(31);
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false);
        RsError err = RS_ERROR_INIT;
        TpmSealed sealed;

        (void) state;
        assert_true(tpm_seal(t, secret, 1, &sealed, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_INVALID);
}

static void trouble_while_opening_has_a_reason_and_passes(void **state) {
        static const struct {
                const char *rule;
                RsReason reason;
        } troubles[] = {
                { "Unseal:1:lose", RS_REASON_TPM_GONE },
                { "Unseal:1:rc=0x921", RS_REASON_TPM_LOCKED },
                { "StartAuthSession:1:rc=0x903", RS_REASON_TPM_FULL },
                { "PolicyNV:1:rc=0x126", RS_REASON_TPM_AUTH },
                { "Unseal:1:rc=0x99d", RS_REASON_TPM_AUTH },
        };
        _cleanup_(secret_freep) Secret *secret = secret_new_random(32);
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, true);
        RsError err = RS_ERROR_INIT;
        TpmSealed sealed;

        (void) state;
        OK(tpm_seal(t, secret, floor_now, &sealed, &err));
        for (unsigned i = 0; i < ELEMENTSOF(troubles); i++) {
                _cleanup_(secret_freep) Secret *opened = NULL;

                inject(troubles[i].rule);
                err = RS_ERROR_INIT;
                assert_true(tpm_unseal(t, &sealed, &opened, &err) < 0);
                assert_int_equal(err.reason, troubles[i].reason);
                assert_null(opened);
                (void) no_faults(NULL);
                err = RS_ERROR_INIT;
                OK(tpm_unseal(t, &sealed, &opened, &err));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_sealed_secret_opens_after_a_power_cut),
                cmocka_unit_test(a_data_secret_opens_whatever_the_floor_and_nothing_is_mixed_up),
                cmocka_unit_test(many_power_cuts_do_not_lock_it),
                cmocka_unit_test(once_the_floor_has_passed_it_never_opens_again),
                cmocka_unit_test(the_largest_limit_works),
                cmocka_unit_test(another_tpm_does_not_open_it),
                cmocka_unit_test(damaged_or_foreign_objects_are_refused_before_the_tpm),
                cmocka_unit_test(a_secret_of_another_size_is_not_sealed),
                cmocka_unit_test_teardown(trouble_while_opening_has_a_reason_and_passes, no_faults),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
