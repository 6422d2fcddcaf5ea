/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * swtpm - a TPM of its own for one test program: software TPM on a unix socket in a temporary directory.
 *
 * Spec:     docs/tpm.md, "Tests"
 * Trust:    none
 * Owns:     the process and the directory; swtpm_stop() ends and removes both
 * Units:    none
 * Errors:   a test fails at once
 * Context:  tests only
 * Programs: tests of src/tpm, src/slot, src/provision
 */
#include <stdbool.h>
#include <sys/types.h>

#include <reseal/tpm/state.h>

typedef struct Swtpm {
        char dir[64];
        char tcti[128];       /* "swtpm:path=..." */
        char fault_tcti[512]; /* the same behind the fault-injecting TCTI, empty if FAULT_TCTI is not set */
        char lock[96];
        pid_t pid;
} Swtpm;

void swtpm_start(Swtpm *s);
void swtpm_stop(Swtpm *s);
/* Power off without warning, and on again with the same NV. */
void swtpm_power_cycle(Swtpm *s);
/* Ends the process and leaves the directory: "no TPM". */
void swtpm_kill(Swtpm *s);
void swtpm_boot(Swtpm *s);

TpmConfig swtpm_config(Swtpm *s); /* bare, borrowed strings */
TpmConfig swtpm_fault_config(Swtpm *s);
/* SRK and NV as after reseal-provision, ownerAuth and lockoutAuth set; names and secrets for the test. */
typedef struct Device {
        Swtpm swtpm;
        uint8_t srk_name[TPM_NAME_SIZE];
        Secret *gate;
        Secret *owner;
        Secret *lockout;
} Device;
void device_make(Device *d);
void device_done(Device *d);
Tpm *device_tpm(Device *d, bool faulty);
