/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * clock - what the device may believe about the time: an interval, never a single value.
 *
 * Spec:     DESIGN.md 7; threats.md 6.2 (rules), 6.4 (matrix); requirements S62, S63; docs/decisions/006; threats T34 to T36
 * Trust:    only authenticated things raise the floor; the system's clock, NTP and RTC never do
 * Owns:     flat values
 * Units:    seconds since 1970 UTC; boot time and TPM clock in milliseconds
 * Errors:   TIME_PROOF, TIME_UNKNOWN
 * Context:  any thread, no I/O: the caller passes boot time and TPM clock
 * Programs: reseal-writer
 *
 * low  = max(build time, record's time_floor, last proof, last proof + TPM clock passed since where its resets permit)
 * high = proof of this boot + boot time passed since + accuracy, else UINT64_MAX
 */
#include <stdbool.h>
#include <stdint.h>

#include <reseal/base/error.h>
#include <reseal/base/span.h>

typedef struct TpmClockReading {     /* TPMS_CLOCK_INFO */
        uint64_t clock_msec;
        uint32_t reset_count, restart_count;
        bool safe;
} TpmClockReading;

typedef struct TrustClock {
        uint64_t floor;              /* never falls */
        bool proven;                 /* in this boot */
        uint64_t proof;              /* 0: none ever */
        uint64_t accuracy;
        uint64_t proof_boottime_msec;
        bool has_tpm;                /* TPM clock at the last proof */
        TpmClockReading tpm;
} TrustClock;

typedef struct TimeInterval {
        uint64_t low, high;
        bool proven;
} TimeInterval;

void trust_clock_init(TrustClock *c, uint64_t build_time, uint64_t record_floor);
void trust_clock_raise(TrustClock *c, uint64_t authenticated);     /* accepted signer's notBefore, CRL's thisUpdate */
/* A verified time-stamp; one below the floor is refused (TIME_PROOF), as is one that leaps more than 50 years ahead of it. */
int trust_clock_prove(TrustClock *c, uint64_t time, uint64_t accuracy, uint64_t boottime_msec, const TpmClockReading *tpm,
                      RsError *err);
TimeInterval trust_clock_now(const TrustClock *c, uint64_t boottime_msec, const TpmClockReading *tpm);
/* Is a new floor worth an NV write: more than a day above the one in the record? */
bool trust_clock_worth_writing(const TrustClock *c, uint64_t record_floor);
/* What survives a restart in the writer's state directory; damaged bytes count as none. */
int trust_clock_encode(const TrustClock *c, Encoder *e, RsError *err);
int trust_clock_parse(Span bytes, TrustClock *ret, RsError *err);
