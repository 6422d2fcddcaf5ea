/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * clock - what the device may believe about the time: an interval, never a single value.
 *
 * Spec:     docs/decisions/006-time-is-an-interval.md, docs/decisions/007-a-proof-is-an-interval-too.md,
 *           docs/decisions/011-the-floor-rises-within-bounds.md; docs/format-chain.md, section 8;
 *           requirements S62, S63; threats T34 to T36
 * Trust:    only a time-stamp and an accepted release raise the floor, each within a bound; the system's clock,
 *           NTP and RTC never do, and are not read; nor does the file that is restored
 * Owns:     flat values
 * Units:    seconds since 1970 UTC; boot time and TPM clock in milliseconds
 * Errors:   TIME_PROOF, TIME_UNKNOWN
 * Context:  any thread, no I/O: the caller passes boot time (CLOCK_BOOTTIME, which counts suspend) and TPM
 *           clock
 * Programs: reseal-writer
 *
 * low  = max(build time, record's time_floor, last proof, last proof + TPM clock passed since where its
 * resets permit) high = proof of this boot + boot time passed since the question + accuracy, else UINT64_MAX
 *
 * The floor outlives everything, so a lie in it would, too.  `base` is what bounds it: the moment at which the TPM's
 * clock would have shown 0, as far as accepted releases tell.  By time-stamps the floor runs at most CLOCK_AHEAD_MAX
 * ahead of base + TPM clock, whatever they say and however many there are.
 */
#include <stdbool.h>
#include <stdint.h>

#include <reseal/base/error.h>
#include <reseal/base/span.h>
#include <reseal/tpm/clock.h>

#define CLOCK_LEAP_MAX (50ull * 365 * 24 * 3600)  /* a proof further ahead of the floor is broken */
#define CLOCK_ANSWER_MAX_MSEC (10u * 60 * 1000)   /* an answer that was held back longer proves too little */
#define CLOCK_WRITE_STEP (24u * 3600)             /* NV is written for more than a day only */
#define CLOCK_AHEAD_MAX (30ull * 24 * 3600)       /* so far ahead of what the TPM's clock confirms a proof counts */
#define CLOCK_RELEASE_STEP (366ull * 24 * 3600)   /* so much an accepted release raises it while no time is proven */
#define CLOCK_BOOT_ID_SIZE 16u

typedef struct TrustClock {
        uint64_t build;              /* build time of this program */
        uint64_t floor;              /* never falls, but by a trust set that says so */
        uint64_t base;               /* see above; whole minutes, 0: not known yet */
        bool proven;                 /* in this boot */
        uint64_t proof;              /* 0: none ever */
        uint64_t accuracy;
        uint64_t asked_msec;         /* boot time at which the nonce was made: the stamp is not older */
        uint64_t answered_msec;      /* boot time at which the proof came: the stamp is not younger */
        bool has_tpm;                /* TPM clock at the last proof */
        TpmClockReading tpm;
} TrustClock;

typedef struct TimeInterval {
        uint64_t low, high;
        bool proven;
} TimeInterval;

/* record_base 0: a record from before there was one. */
void trust_clock_init(TrustClock *c, uint64_t build_time, uint64_t record_floor, uint64_t record_base);
/* The record was written, or read again. */
void trust_clock_follow(TrustClock *c, uint64_t record_floor, uint64_t record_base);
/*
 * A verified time-stamp; one below the floor is refused (TIME_PROOF), as is one that leaps more than 50 years
 * ahead of it or whose answer took longer than CLOCK_ANSWER_MAX_MSEC.  asked: when the nonce was made,
 * answered: now; tpm may be NULL: then there is no bound, and the floor stays.
 */
int trust_clock_prove(TrustClock *c, uint64_t time, uint64_t accuracy, uint64_t asked_msec, uint64_t answered_msec,
                      const TpmClockReading *tpm, RsError *err);
/*
 * After trust_clock_prove has refused: would the stamp be good but for the proof that is held?  Then one of the two
 * authorities lies, and the held one is forgotten: the next proof counts.  The floor stays.
 */
bool trust_clock_doubt(TrustClock *c, uint64_t time, uint64_t accuracy, uint64_t asked_msec, uint64_t answered_msec);
/*
 * Floor and base for the record in which a release is accepted (W7), whose signer's certificate begins at not_before:
 * up to the end of the interval when the time is proven, else up to CLOCK_RELEASE_STEP above the floor.
 */
void trust_clock_accept(const TrustClock *c, uint64_t not_before, uint64_t boottime_msec, const TpmClockReading *tpm,
                        uint64_t *ret_floor, uint64_t *ret_base);
TimeInterval trust_clock_now(const TrustClock *c, uint64_t boottime_msec, const TpmClockReading *tpm);
/* TIME_UNKNOWN unless the time is proven in this boot: for a policy that wants a proof before it installs. */
int trust_clock_require(const TimeInterval *now, RsError *err);
/* Is a new floor worth an NV write: more than a day above the one in the record? */
bool trust_clock_worth_writing(const TrustClock *c, uint64_t record_floor);
/*
 * What survives a restart in the writer's state directory, file "clock".  boot_id: that of this boot
 * (/proc/sys/kernel/random/boot_id); a proof of another boot counts as floor only.
 */
int trust_clock_encode(const TrustClock *c, const uint8_t boot_id[CLOCK_BOOT_ID_SIZE], Encoder *e, RsError *err);
/* Its proof for an initialised clock, never a floor: 1 taken, 0 damaged, which counts as none. */
int trust_clock_restore(TrustClock *c, Span bytes, const uint8_t boot_id[CLOCK_BOOT_ID_SIZE], uint64_t boottime_msec,
                        RsError *err);
