/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * tpm/state on a real (software) TPM: provisioning, the commit, and what nobody without the gate secret can
 * do.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <reseal/tpm/state.h>

#include "swtpm.h"

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

#define OK(call)                                                              \
        do {                                                                  \
                int _ok = (call);                                             \
                if (_ok < 0)                                                  \
                        fail_msg("%s: %s (%s)", #call, err.text, err.origin); \
        } while (0)

static void a_provisioned_tpm_has_an_empty_record(void **state) {
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false);
        RsError err = RS_ERROR_INIT;
        TpmState s;

        (void) state;
        OK(tpm_state_read(t, &s, &err));
        assert_true(s.record.empty);
        assert_int_equal(s.record.release, 0);
        assert_true(s.accept >= 1 && s.floor >= 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_provisioned_tpm_has_an_empty_record),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
