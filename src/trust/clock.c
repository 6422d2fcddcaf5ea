/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * clock - an interval in which the present surely lies, from authenticated evidence and from nothing else.
 *
 * No function here reads a clock.  The wall clock of the system belongs to whoever sets it (NTP, RTC, a
 * user), so the only things that move are CLOCK_BOOTTIME, which nobody can set and which counts suspend, and
 * the TPM's clock.
 *
 * A time-stamp was made at an unknown moment between the nonce and the answer.  A source that holds answers
 * back moves that moment: so the lower end counts from the answer, the upper end from the question, and an
 * answer that took too long is refused.  CLOCK_BOOTTIME ticks with a quartz that NTP may slew: both ends keep
 * 1/1000 of what has passed.
 *
 * The TPM's clock runs within 15 % of real time, falls back after a loss of power (then it says so: not
 * safe), stands still without power and starts anew when the TPM is cleared.  Each of these makes it show too
 * little, so it serves as a lower bound, at 4/5 of what it shows, and only when its reset counter has not
 * fallen.  It can be set forward by the owner's authorization, which is not on the device.
 *
 * The floor lies in the TPM for ever, so what raises it is bounded by what the device itself knows: the TPM's clock
 * since the last accepted release.  A time-stamp that says more counts for this boot, and as a hint in the file "clock"
 * that is held against the same bound; it leaves no more than CLOCK_AHEAD_MAX behind.
 *
 * What must hold: low <= high; low never falls while the program runs, unless two proofs contradict each other; floor
 * never falls; nothing that a file says raises it; a clock that was restored from a file is never better than the one
 * that was saved.
 */
#include <string.h>

#include <reseal/crypto/digest.h>
#include <reseal/trust/clock.h>

#define MAGIC "RSCLOCK1"
#define MAGIC_SIZE 8u
#define TIME_MAX 253402300799ull /* end of the year 9999: no certificate and no time-stamp knows a later moment */
#define FLAG_PROVEN 1u
#define FLAG_TPM 2u
#define FLAG_TPM_SAFE 4u

static uint64_t minus(uint64_t a, uint64_t b) {
        return a > b ? a - b : 0;
}

static uint64_t lower(uint64_t a, uint64_t b) {
        return a < b ? a : b;
}

static uint64_t higher(uint64_t a, uint64_t b) {
        return a > b ? a : b;
}

static void raise_floor(TrustClock *c, uint64_t to) {
        if (to > c->floor && to <= TIME_MAX)
                c->floor = to;
}

void trust_clock_init(TrustClock *c, uint64_t build_time, uint64_t record_floor, uint64_t record_base) {
        memset(c, 0, sizeof(*c));
        c->build = build_time;
        raise_floor(c, build_time);
        trust_clock_follow(c, record_floor, record_base);
}

void trust_clock_follow(TrustClock *c, uint64_t record_floor, uint64_t record_base) {
        raise_floor(c, record_floor);
        if (record_base != 0 && record_base <= TIME_MAX)
                c->base = record_base;
}

/* -- the bound -------------------------------------------------------------------------------------------------- */

/* The moment at which the TPM's clock would have shown 0 if it is `time` now; whole minutes, as the record keeps it. */
static uint64_t base_at(uint64_t time, const TpmClockReading *tpm) {
        uint64_t base = minus(time, tpm->clock_msec / 1000);

        return base - base % 60;
}

/* A record without a base is believed once, as it stands.  The build time came with the release that runs. */
static uint64_t base_of(const TrustClock *c, const TpmClockReading *tpm) {
        return higher(c->base != 0 ? c->base : base_at(c->floor, tpm), base_at(c->build, tpm));
}

/* Whatever anybody stamps: the present is believed to be no later. */
static uint64_t bound(const TrustClock *c, const TpmClockReading *tpm) {
        if (!tpm)
                return c->floor + CLOCK_AHEAD_MAX;
        return higher(c->floor, base_of(c, tpm) + tpm->clock_msec / 1000 + CLOCK_AHEAD_MAX);
}

/* -- the interval ----------------------------------------------------------------------------------------------- */

/* Seconds that have passed at least since the proof, as the TPM knows. */
static uint64_t tpm_passed(const TrustClock *c, const TpmClockReading *tpm) {
        if (!tpm || !c->has_tpm || !tpm->safe || tpm->clock_msec < c->tpm.clock_msec)
                return 0;
        if (tpm->reset_count < c->tpm.reset_count ||
            (tpm->reset_count == c->tpm.reset_count && tpm->restart_count < c->tpm.restart_count))
                return 0;
        return (tpm->clock_msec - c->tpm.clock_msec) / 1000 / 5 * 4;
}

TimeInterval trust_clock_now(const TrustClock *c, uint64_t boottime_msec, const TpmClockReading *tpm) {
        TimeInterval i = { .low = c->floor, .high = UINT64_MAX };
        uint64_t passed, low;

        if (c->proof == 0)
                return i;
        passed = tpm_passed(c, tpm);
        i.proven = c->proven && boottime_msec >= c->answered_msec;
        if (i.proven) {
                uint64_t least = (boottime_msec - c->answered_msec) / 1000;
                uint64_t most = (boottime_msec - c->asked_msec) / 1000 + 1;

                least -= least / 1000;
                if (least > passed)
                        passed = least;
                i.high = c->proof + c->accuracy + most + most / 1000 + 1;
        }
        low = minus(c->proof, c->accuracy) + passed;
        if (!c->proven) /* from a file: whoever has the disk may have written it */
                low = lower(low, bound(c, tpm));
        if (low > i.low && low <= TIME_MAX)
                i.low = low;
        /* Signed evidence from beyond the proof: one of the two is wrong, so nothing is proven. */
        if (i.low > i.high) {
                i.high = UINT64_MAX;
                i.proven = false;
        }
        return i;
}

int trust_clock_require(const TimeInterval *now, RsError *err) {
        if (!now->proven)
                return rs_fail(err, TIME_UNKNOWN, "no time-stamp has proven the time since this boot");
        return 0;
}

/* -- proof ------------------------------------------------------------------------------------------------------ */

int trust_clock_prove(TrustClock *c, uint64_t time, uint64_t accuracy, uint64_t asked_msec, uint64_t answered_msec,
                      const TpmClockReading *tpm, RsError *err) {
        uint64_t low = trust_clock_now(c, answered_msec, tpm).low;

        if (time == 0 || time > TIME_MAX || accuracy > CLOCK_ANSWER_MAX_MSEC / 1000)
                return rs_fail(err, TIME_PROOF, "the time-stamp says %llu with an accuracy of %llu s",
                               (unsigned long long) time, (unsigned long long) accuracy);
        if (answered_msec < asked_msec || answered_msec - asked_msec > CLOCK_ANSWER_MAX_MSEC)
                return rs_fail(err, TIME_PROOF, "the answer is not of the last %u minutes",
                               CLOCK_ANSWER_MAX_MSEC / 60000);
        /* The stamp may be as old as the question. */
        if (time + accuracy + (answered_msec - asked_msec) / 1000 + 1 < low)
                return rs_fail(err, TIME_PROOF, "the time-stamp says %llu, but %llu has passed already",
                               (unsigned long long) time, (unsigned long long) low);
        if (time > low + CLOCK_LEAP_MAX)
                return rs_fail(err, TIME_PROOF, "the time-stamp leaps %llu s ahead",
                               (unsigned long long) (time - low));

        c->proven = true;
        c->proof = time;
        c->accuracy = accuracy;
        c->asked_msec = asked_msec;
        c->answered_msec = answered_msec;
        c->has_tpm = tpm != NULL;
        memset(&c->tpm, 0, sizeof(c->tpm));
        if (tpm) {
                c->tpm = *tpm;
                c->base = base_of(c, tpm); /* before the floor moves */
                raise_floor(c, lower(higher(low, minus(time, accuracy)), bound(c, tpm)));
        }
        return 0;
}

static void forget_proof(TrustClock *c) {
        c->proven = c->has_tpm = false;
        c->proof = c->accuracy = c->asked_msec = c->answered_msec = 0;
        memset(&c->tpm, 0, sizeof(c->tpm));
}

bool trust_clock_doubt(TrustClock *c, uint64_t time, uint64_t accuracy, uint64_t asked_msec, uint64_t answered_msec) {
        RsError unused = RS_ERROR_INIT;
        TrustClock other = *c;

        if (c->proof == 0)
                return false;
        forget_proof(&other);
        if (trust_clock_prove(&other, time, accuracy, asked_msec, answered_msec, NULL, &unused) < 0)
                return false;
        forget_proof(c);
        return true;
}

/* -- an accepted release ---------------------------------------------------------------------------------------- */

/* The gate has seen that the certificate has begun, or may have.  Two who agree, authority and stamp, need no step. */
void trust_clock_accept(const TrustClock *c, uint64_t not_before, uint64_t boottime_msec, const TpmClockReading *tpm,
                        uint64_t *ret_floor, uint64_t *ret_base) {
        TimeInterval now = trust_clock_now(c, boottime_msec, tpm);
        uint64_t begun = lower(not_before, now.proven ? now.high : c->floor + CLOCK_RELEASE_STEP);

        *ret_floor = higher(c->floor, lower(begun, TIME_MAX));
        *ret_base = tpm ? higher(base_of(c, tpm), base_at(lower(begun, TIME_MAX), tpm)) : c->base;
}

bool trust_clock_worth_writing(const TrustClock *c, uint64_t record_floor) {
        return c->floor > record_floor && c->floor - record_floor > CLOCK_WRITE_STEP;
}

/* -- file ------------------------------------------------------------------------------------------------------- */

int trust_clock_encode(const TrustClock *c, const uint8_t boot_id[CLOCK_BOOT_ID_SIZE], Encoder *e, RsError *err) {
        uint8_t digest[SHA256_SIZE];
        size_t start = e->size;
        int r;

        encoder_bytes(e, MAGIC, MAGIC_SIZE);
        encoder_u32(e, (c->proven ? FLAG_PROVEN : 0) | (c->has_tpm ? FLAG_TPM : 0) | (c->tpm.safe ? FLAG_TPM_SAFE : 0));
        encoder_u64(e, c->floor);
        encoder_u64(e, c->proof);
        encoder_u64(e, c->accuracy);
        encoder_bytes(e, boot_id, CLOCK_BOOT_ID_SIZE);
        encoder_u64(e, c->asked_msec);
        encoder_u64(e, c->answered_msec);
        encoder_u64(e, c->tpm.clock_msec);
        encoder_u32(e, c->tpm.reset_count);
        encoder_u32(e, c->tpm.restart_count);
        if (encoder_finish(e) < 0)
                return rs_fail_oom(err);
        r = digest_sha256(SPAN(e->data + start, e->size - start), digest, err);
        if (r < 0)
                return r;
        encoder_bytes(e, digest, sizeof(digest));
        return encoder_finish(e) < 0 ? rs_fail_oom(err) : 0;
}

/* True for what trust_clock_encode could have written. */
static bool parse(Span body, TrustClock *ret, uint8_t ret_boot_id[CLOCK_BOOT_ID_SIZE]) {
        Reader r = READER(body);
        TrustClock c = { 0 };
        uint32_t flags;
        bool magic;

        magic = span_equal(reader_span(&r, MAGIC_SIZE), SPAN(MAGIC, MAGIC_SIZE));
        flags = reader_u32(&r);
        c.floor = reader_u64(&r);
        c.proof = reader_u64(&r);
        c.accuracy = reader_u64(&r);
        reader_copy(&r, ret_boot_id, CLOCK_BOOT_ID_SIZE);
        c.asked_msec = reader_u64(&r);
        c.answered_msec = reader_u64(&r);
        c.tpm.clock_msec = reader_u64(&r);
        c.tpm.reset_count = reader_u32(&r);
        c.tpm.restart_count = reader_u32(&r);
        c.proven = flags & FLAG_PROVEN;
        c.has_tpm = flags & FLAG_TPM;
        c.tpm.safe = flags & FLAG_TPM_SAFE;
        if (reader_finish(&r) < 0 || !magic || flags > (FLAG_PROVEN | FLAG_TPM | FLAG_TPM_SAFE))
                return false;
        if (c.floor > TIME_MAX || c.proof > TIME_MAX || c.accuracy > CLOCK_ANSWER_MAX_MSEC / 1000 ||
            c.asked_msec > c.answered_msec || c.answered_msec - c.asked_msec > CLOCK_ANSWER_MAX_MSEC)
                return false;
        *ret = c;
        return true;
}

int trust_clock_restore(TrustClock *c, Span bytes, const uint8_t boot_id[CLOCK_BOOT_ID_SIZE], uint64_t boottime_msec,
                        RsError *err) {
        uint8_t digest[SHA256_SIZE], saved_boot[CLOCK_BOOT_ID_SIZE];
        TrustClock saved;
        int r;

        if (bytes.size < SHA256_SIZE)
                return 0;
        r = digest_sha256(SPAN(bytes.data, bytes.size - SHA256_SIZE), digest, err);
        if (r < 0)
                return r;
        if (!span_equal(SPAN_ARRAY(digest), SPAN(bytes.data + bytes.size - SHA256_SIZE, SHA256_SIZE)) ||
            !parse(SPAN(bytes.data, bytes.size - SHA256_SIZE), &saved, saved_boot))
                return 0;
        if (memcmp(saved_boot, boot_id, CLOCK_BOOT_ID_SIZE) != 0 || saved.answered_msec > boottime_msec)
                saved.proven = false; /* CLOCK_BOOTTIME has begun anew: nothing says how long ago it was */
        saved.build = c->build;
        saved.floor = c->floor; /* the TPM's word, not the disk's */
        saved.base = c->base;
        *c = saved;
        return 1;
}
