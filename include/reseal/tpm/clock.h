/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * clock - the TPM's own clock: it runs on across reboots and may only serve as a lower bound.
 *
 * Spec:     DESIGN.md 7; docs/tpm.md, "Clock"; TPM 2.0 Library part 1, 36
 * Trust:    read without a session (the TPM offers none for this command): who sits on the bus can lie; the
 *           owner can set it forward
 * Owns:     flat values
 * Units:    milliseconds
 * Errors:   those of tpm.h
 * Context:  as tpm.h
 * Programs: reseal-writer
 */
#include <stdbool.h>
#include <stdint.h>

#include <reseal/tpm/tpm.h>

typedef struct TpmClockReading { /* TPMS_CLOCK_INFO */
        uint64_t clock_msec;
        uint32_t reset_count, restart_count;
        /* no value above this one was ever shown; false after an unclean power-off */
        bool safe;
} TpmClockReading;

int tpm_clock_read(Tpm *t, TpmClockReading *ret, RsError *err);
