/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * state - reading and committing what the TPM remembers.
 *
 * One commit is: write the buffer that is not valid with counter ACCEPT+1, read it back, increment ACCEPT.
 * The increment is the commit point: before it the old record is the valid one, after it the new one.  A cut
 * anywhere leaves exactly one valid record, because the buffer of counter c is always c mod 2, so the writing
 * never touches the valid one.
 *
 * A lost response leaves the question whether the command was executed.  It is answered by reading, never by
 * repeating: every attempt starts with the state as it is now, on a new connection, and an attempt that finds
 * its record valid has nothing to do.  So a commit can never count twice, and the same call is the one to
 * make after a restart (J: idempotent).
 *
 * At level L2 the chain part is what CHAIN says.  R0 and R1 repeat it, and may be behind: a cut between the
 * links and
 * the commit (W7) leaves that, and the next commit ends it.  They cannot honestly be ahead.
 *
 * Everything that says "somebody was here" has its own reason, because the way out differs: a record behind
 * its
 * counter was written without being committed, or the counter was moved without a record (TPM_REWOUND);
 * counters
 * below what this device has seen were restored with the TPM's own storage (TPM_RESTORED); the rest is nv.c
 * and tpm.c.
 *
 * Reads run in a salted HMAC session although nothing is secret: on a bus with an interposer an unprotected
 * answer would let it show an old counter.
 */
#include <string.h>

#include <reseal/crypto/digest.h>
#include <reseal/tpm/state.h>

#include "chain-nv.h"
#include "nv.h"
#include "record.h"

typedef struct StateHandles {
        ESYS_TR session; /* HMAC */
        ESYS_TR accept;
        ESYS_TR floor;
        ESYS_TR records[2];
        int level;
        ChainIndex chain; /* level 2 */
} StateHandles;

static int open_state(Tpm *t, StateHandles *ret, RsError *err) {
        static const TPM2_HANDLE indices[] = { TPM_NV_ACCEPT, TPM_NV_FLOOR, TPM_NV_RECORD0, TPM_NV_RECORD1 };
        ESYS_TR found[ELEMENTSOF(indices)];
        int r;

        for (unsigned i = 0; i < ELEMENTSOF(indices); i++) {
                r = nv_use(t, indices[i], &found[i], err);
                if (r < 0)
                        return r;
        }
        ret->accept = found[0];
        ret->floor = found[1];
        ret->records[0] = found[2];
        ret->records[1] = found[3];
        r = tpm_session(t, TPM2_SE_HMAC, &ret->session, err);
        if (r < 0)
                return r;
        r = chain_open(t, ret->session, &ret->chain, err);
        if (r < 0)
                return r;
        ret->level = r > 0 ? TPM_LEVEL_L2 : TPM_LEVEL_L1;
        return 0;
}

/* Level 2: CHAIN decides, R0/R1 may be behind it. */
static int overlay_chain(Tpm *t, const StateHandles *h, TpmState *state, RsError *err) {
        uint8_t chain_bytes[LINK_RECORD_SIZE], own_bytes[LINK_RECORD_SIZE];
        TpmRecord *record = &state->record;
        ChainRecord chain, own;
        int r;

        if (!h->chain.written) {
                if (!record->empty)
                        return rs_fail(err, TPM_REWOUND, "the record holds release %llu, CHAIN is empty",
                                       (unsigned long long) record->release);
                return 0;
        }
        r = chain_read(t, h->session, &h->chain, chain_bytes, &chain, err);
        if (r < 0)
                return r;
        r = tpm_record_chain(record, &own, err);
        if (r < 0)
                return r;
        chain_record_encode(&own, own_bytes);
        if (!record->empty && record->release > chain.index)
                return rs_fail(err, TPM_REWOUND, "the record holds release %llu, CHAIN only %llu",
                               (unsigned long long) record->release, (unsigned long long) chain.index);
        state->behind = record->empty || record->release < chain.index;
        if (!state->behind && memcmp(own_bytes, chain_bytes, sizeof(own_bytes)) != 0)
                return rs_fail(err, TPM_STATE, "the record and CHAIN hold different releases %llu",
                               (unsigned long long) chain.index);
        tpm_record_set_chain(record, &chain);
        return 0;
}

static int read_state(Tpm *t, const StateHandles *h, TpmState *ret, uint8_t ret_bytes[NV_RECORD_SIZE],
                      RsError *err) {
        uint64_t counter;
        int r;

        r = nv_read_counter(t, h->accept, h->session, &ret->accept, err);
        if (r < 0)
                return r;
        r = nv_read_counter(t, h->floor, h->session, &ret->floor, err);
        if (r < 0)
                return r;
        r = nv_read(t, h->records[ret->accept & 1], h->session, ret_bytes, NV_RECORD_SIZE, err);
        if (r < 0)
                return r;
        r = nv_record_parse(ret_bytes, &ret->record, &counter, err);
        if (r < 0)
                return r;
        if (counter != ret->accept)
                return rs_fail(err, TPM_REWOUND, "the record in the TPM has counter %llu, ACCEPT is %llu",
                               (unsigned long long) counter, (unsigned long long) ret->accept);
        ret->level = (uint8_t) h->level;
        return h->level == TPM_LEVEL_L2 ? overlay_chain(t, h, ret, err) : 0;
}

static int check_seen(const TpmSeen *seen, const TpmState *now, RsError *err) {
        if (now->level < seen->level)
                return rs_fail(err, TPM_REDEFINED, "CHAIN was there and is gone");
        if (now->accept < seen->accept || now->floor < seen->floor || now->record.release < seen->release)
                return rs_fail(err, TPM_RESTORED,
                               "ACCEPT %llu, FLOOR %llu, release %llu; this device has seen %llu, %llu, %llu",
                               (unsigned long long) now->accept, (unsigned long long) now->floor,
                               (unsigned long long) now->record.release, (unsigned long long) seen->accept,
                               (unsigned long long) seen->floor, (unsigned long long) seen->release);
        return 0;
}

int tpm_state_read_seen(Tpm *t, const TpmSeen *seen, TpmState *ret, RsError *err) {
        uint8_t bytes[NV_RECORD_SIZE];
        StateHandles h = { 0 };
        TpmState state = { 0 };
        int r;

        r = tpm_begin(t, err);
        if (r < 0)
                return r;
        r = open_state(t, &h, err);
        if (r >= 0)
                r = read_state(t, &h, &state, bytes, err);
        if (r >= 0 && seen)
                r = check_seen(seen, &state, err);
        if (r >= 0)
                *ret = state;
        return tpm_end(t, r);
}

int tpm_state_read(Tpm *t, TpmState *ret, RsError *err) {
        return tpm_state_read_seen(t, NULL, ret, err);
}

/* Seen: "RST1", level, 3 zeros, accept, floor, release, SHA-256 of these 32 bytes */

void tpm_seen_of(const TpmState *state, TpmSeen *ret) {
        *ret = (TpmSeen){ .accept = state->accept,
                          .floor = state->floor,
                          .release = state->record.release,
                          .level = state->level };
}

static const char seen_magic[4] = { 'R', 'S', 'T', '1' };

int tpm_seen_encode(const TpmSeen *seen, uint8_t ret[TPM_SEEN_SIZE], RsError *err) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        int r;

        encoder_bytes(&e, seen_magic, sizeof(seen_magic));
        encoder_u8(&e, seen->level);
        encoder_zeros(&e, 3);
        encoder_u64(&e, seen->accept);
        encoder_u64(&e, seen->floor);
        encoder_u64(&e, seen->release);
        if (encoder_finish(&e) < 0)
                return rs_fail_oom(err);
        r = digest_sha256(encoder_view(&e), ret + TPM_SEEN_SIZE - SHA256_SIZE, err);
        if (r >= 0)
                memcpy(ret, e.data, e.size);
        return r;
}

bool tpm_seen_parse(Span bytes, TpmSeen *ret) {
        Reader r = READER(bytes);
        RsError ignored = RS_ERROR_INIT;
        uint8_t digest[SHA256_SIZE];
        TpmSeen seen = { 0 };
        Span magic, sum;

        magic = reader_span(&r, sizeof(seen_magic));
        seen.level = reader_u8(&r);
        reader_zeros(&r, 3);
        seen.accept = reader_u64(&r);
        seen.floor = reader_u64(&r);
        seen.release = reader_u64(&r);
        sum = reader_span(&r, SHA256_SIZE);
        if (reader_finish(&r) < 0 || !span_equal(magic, SPAN_ARRAY(seen_magic)) ||
            digest_sha256(SPAN(bytes.data, TPM_SEEN_SIZE - SHA256_SIZE), digest, &ignored) < 0 ||
            !span_equal(sum, SPAN_ARRAY(digest)))
                return false;
        *ret = seen;
        return true;
}

static int write_record(Tpm *t, const StateHandles *h, const Secret *gate_auth, uint64_t counter,
                        const uint8_t bytes[NV_RECORD_SIZE], RsError *err) {
        uint8_t landed[NV_RECORD_SIZE];
        ESYS_TR policy;
        int r;

        r = nv_gate_session(t, gate_auth, h->session, &policy, err);
        if (r < 0)
                return r;
        r = nv_write(t, h->records[counter & 1], policy, bytes, NV_RECORD_SIZE, err);
        if (r < 0)
                return r;
        r = nv_read(t, h->records[counter & 1], h->session, landed, NV_RECORD_SIZE, err);
        if (r < 0)
                return r;
        if (memcmp(landed, bytes, NV_RECORD_SIZE) != 0)
                return rs_fail(err, TPM_STATE, "the record read back differs from the one written");
        return 0;
}

/* Level 2: what is committed repeats CHAIN, or it would be read as TPM_REWOUND from then on. */
static int check_repeats_chain(Tpm *t, const StateHandles *h, const TpmRecord *record, RsError *err) {
        uint8_t chain_bytes[LINK_RECORD_SIZE], bytes[LINK_RECORD_SIZE];
        ChainRecord chain;
        int r;

        if (h->level != TPM_LEVEL_L2 || (!h->chain.written && record->empty))
                return 0;
        if (!h->chain.written)
                return rs_fail(err, INTERNAL, "a record is committed before its link was applied to CHAIN");
        r = chain_read(t, h->session, &h->chain, chain_bytes, &chain, err);
        if (r >= 0)
                r = tpm_record_chain(record, &chain, err);
        if (r < 0)
                return r;
        chain_record_encode(&chain, bytes);
        if (memcmp(bytes, chain_bytes, sizeof(bytes)) != 0)
                return rs_fail(err, INTERNAL, "a record is committed before its link was applied to CHAIN");
        return 0;
}

/* Writes the record for ACCEPT+1 and makes it valid. */
static int make_valid(Tpm *t, const StateHandles *h, const Secret *gate_auth, const TpmRecord *record,
                      uint64_t accept, uint8_t ret_bytes[NV_RECORD_SIZE], RsError *err) {
        ESYS_TR policy;
        int r;

        if (accept == UINT64_MAX)
                return rs_fail(err, TPM_STATE, "the ACCEPT counter is at its end");
        r = nv_record_encode(record, accept + 1, ret_bytes, err);
        if (r < 0)
                return r;
        r = write_record(t, h, gate_auth, accept + 1, ret_bytes, err);
        if (r < 0)
                return r;
        r = nv_gate_session(t, gate_auth, h->session, &policy, err);
        return r < 0 ? r : nv_increment(t, h->accept, policy, err);
}

/* One attempt; whether the connection is to blame for a failure, the caller asks t->broken. */
/*
 * F22: whoever made this record judged against what the TPM held then.  A second writer may have been here since;
 * under the lock, with what was read just now, nothing that must not fall falls.  (A new trust set may lower the
 * number of the lists: those of CAs it does not trust any more are gone; and the floor of the time: the one way back.)
 */
static int check_not_overtaken(const TpmRecord *now, const TpmRecord *next, RsError *err) {
        if (now->empty)
                return 0;
        if (next->empty || next->release < now->release)
                return rs_fail(err, ROLLBACK, "the TPM has accepted release %llu meanwhile",
                               (unsigned long long) now->release);
        if (next->release == now->release && memcmp(next->manifest_digest, now->manifest_digest, RS_DIGEST_SIZE) != 0)
                return rs_fail(err, CHAIN_FORK, "the TPM has accepted another release %llu meanwhile",
                               (unsigned long long) now->release);
        if (next->floor_epoch < now->floor_epoch || next->trust_version < now->trust_version ||
            (next->time_floor < now->time_floor && next->trust_version == now->trust_version))
                return rs_fail(err, ROLLBACK, "the record in the TPM has moved on meanwhile");
        return 0;
}

static int commit_once(Tpm *t, const Secret *gate_auth, const TpmRecord *record, RsError *err) {
        uint8_t now[NV_RECORD_SIZE], want[NV_RECORD_SIZE];
        StateHandles h = { 0 };
        TpmState state = { 0 };
        int r;

        r = open_state(t, &h, err);
        if (r < 0)
                return r;
        r = read_state(t, &h, &state, now, err);
        if (r < 0)
                return r;
        r = check_repeats_chain(t, &h, record, err);
        if (r < 0)
                return r;
        r = nv_record_encode(record, state.accept, want, err);
        if (r < 0)
                return r;
        if (memcmp(now, want, NV_RECORD_SIZE) == 0)
                return 0;
        r = check_not_overtaken(&state.record, record, err);
        if (r < 0)
                return r;
        r = make_valid(t, &h, gate_auth, record, state.accept, want, err);
        if (r < 0)
                return r;
        r = read_state(t, &h, &state, now, err);
        if (r < 0)
                return r;
        if (memcmp(now, want, NV_RECORD_SIZE) != 0)
                return rs_fail(err, TPM_STATE, "another record became valid during the commit");
        return 0;
}

/* As commit, but what R0 and R1 hold now is not asked; ACCEPT and the Names still are. */
static int recover_once(Tpm *t, const Secret *gate_auth, const TpmRecord *record, RsError *err) {
        uint8_t now[NV_RECORD_SIZE], want[NV_RECORD_SIZE];
        StateHandles h = { 0 };
        TpmState state = { 0 };
        uint64_t accept;
        int r;

        r = open_state(t, &h, err);
        if (r < 0)
                return r;
        r = check_repeats_chain(t, &h, record, err);
        if (r < 0)
                return r;
        r = nv_read_counter(t, h.accept, h.session, &accept, err);
        if (r < 0)
                return r;
        r = nv_record_encode(record, accept, want, err);
        if (r < 0)
                return r;
        r = nv_read(t, h.records[accept & 1], h.session, now, NV_RECORD_SIZE, err);
        if (r < 0)
                return r;
        if (memcmp(now, want, NV_RECORD_SIZE) != 0) {
                r = make_valid(t, &h, gate_auth, record, accept, want, err);
                if (r < 0)
                        return r;
        }
        return read_state(t, &h, &state, now, err);
}

static int floor_once(Tpm *t, const Secret *gate_auth, uint64_t below, RsError *err) {
        StateHandles h = { 0 };
        uint64_t floor;
        ESYS_TR policy;
        int r;

        r = nv_use(t, TPM_NV_FLOOR, &h.floor, err);
        if (r < 0)
                return r;
        r = tpm_session(t, TPM2_SE_HMAC, &h.session, err);
        if (r < 0)
                return r;
        r = nv_read_counter(t, h.floor, h.session, &floor, err);
        if (r < 0 || floor >= below)
                return r;
        r = nv_gate_session(t, gate_auth, h.session, &policy, err);
        if (r < 0)
                return r;
        return nv_increment(t, h.floor, policy, err);
}

/* What one call to floor_raise may reach: read once, so that a repeated attempt cannot count twice. */
static int floor_goal(Tpm *t, uint64_t below, uint64_t *ret, RsError *err) {
        ESYS_TR floor, session;
        uint64_t value;
        int r;

        r = nv_use(t, TPM_NV_FLOOR, &floor, err);
        if (r < 0)
                return r;
        r = tpm_session(t, TPM2_SE_HMAC, &session, err);
        if (r < 0)
                return r;
        r = nv_read_counter(t, floor, session, &value, err);
        tpm_flush(t, session);
        tpm_flush(t, floor);
        if (r >= 0)
                *ret = value < below ? value + 1 : below;
        return r;
}

int tpm_state_commit(Tpm *t, const Secret *gate_auth, const TpmRecord *record, RsError *err) {
        unsigned attempt = 0;
        int r;

        r = tpm_begin(t, err);
        if (r < 0)
                return r;
        do
                r = commit_once(t, gate_auth, record, err);
        while (tpm_once_more(t, r, &attempt, err));
        return tpm_end(t, r);
}

static uint64_t higher(uint64_t a, uint64_t b) {
        return a > b ? a : b;
}

/* floor_epoch stays at the lower one: too low costs a fallback, too high would let old slots open. */
static int salvage_inside(Tpm *t, TpmRecord *best, RsError *err) {
        uint8_t bytes[NV_RECORD_SIZE], chain_bytes[LINK_RECORD_SIZE];
        StateHandles h = { 0 };
        ChainRecord chain;
        uint64_t counter;
        int r;

        r = open_state(t, &h, err);
        for (unsigned i = 0; r >= 0 && i < 2; i++) {
                RsError damaged = RS_ERROR_INIT;
                TpmRecord found, low;

                r = nv_read(t, h.records[i], h.session, bytes, sizeof(bytes), err);
                if (r < 0 || nv_record_parse(bytes, &found, &counter, &damaged) < 0)
                        continue;
                low = *best;
                if (best->empty || (!found.empty && found.release > best->release))
                        *best = found;
                best->crl_number = higher(found.crl_number, low.crl_number);
                best->time_floor = higher(found.time_floor, low.time_floor);
                best->time_base = higher(found.time_base, low.time_base);
                if (low.trust_version > best->trust_version) {
                        best->trust_version = low.trust_version;
                        memcpy(best->trust_tag, low.trust_tag, sizeof(low.trust_tag));
                }
                if (!low.empty && low.floor_epoch < best->floor_epoch)
                        best->floor_epoch = low.floor_epoch;
        }
        if (r < 0 || h.level != TPM_LEVEL_L2 || !h.chain.written)
                return r;
        r = chain_read(t, h.session, &h.chain, chain_bytes, &chain, err);
        if (r >= 0)
                tpm_record_set_chain(best, &chain);
        return r;
}

int tpm_state_salvage(Tpm *t, TpmRecord *ret, RsError *err) {
        TpmRecord best = { .empty = true };
        int r;

        r = tpm_begin(t, err);
        if (r >= 0)
                r = tpm_end(t, salvage_inside(t, &best, err));
        if (r >= 0)
                *ret = best;
        return r;
}

int tpm_state_recover(Tpm *t, const Secret *gate_auth, const TpmRecord *record, RsError *err) {
        unsigned attempt = 0;
        int r;

        r = tpm_begin(t, err);
        if (r < 0)
                return r;
        do
                r = recover_once(t, gate_auth, record, err);
        while (tpm_once_more(t, r, &attempt, err));
        return tpm_end(t, r);
}

int tpm_floor_raise(Tpm *t, const Secret *gate_auth, uint64_t below, RsError *err) {
        unsigned attempt = 0;
        uint64_t goal = 0;
        int r;

        r = tpm_begin(t, err);
        if (r < 0)
                return r;
        do
                r = floor_goal(t, below, &goal, err);
        while (tpm_once_more(t, r, &attempt, err));
        if (r >= 0)
                do
                        r = floor_once(t, gate_auth, goal, err);
                while (tpm_once_more(t, r, &attempt, err));
        return tpm_end(t, r);
}
