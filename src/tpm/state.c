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
 * Reads run in a salted HMAC session although nothing is secret: on a bus with an interposer an unprotected
 * answer would let it show an old counter.
 */
#include <string.h>

#include <reseal/tpm/state.h>

#include "nv.h"
#include "record.h"

#define ATTEMPTS 3u

typedef struct StateHandles {
        ESYS_TR session; /* HMAC */
        ESYS_TR accept;
        ESYS_TR floor;
        ESYS_TR records[2];
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
        return tpm_session(t, TPM2_SE_HMAC, &ret->session, err);
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
        r = record_parse(ret_bytes, &ret->record, &counter, err);
        if (r < 0)
                return r;
        if (counter != ret->accept)
                return rs_fail(err, TPM_STATE, "the record in the TPM has counter %llu, ACCEPT is %llu",
                               (unsigned long long) counter, (unsigned long long) ret->accept);
        return 0;
}

int tpm_state_read(Tpm *t, TpmState *ret, RsError *err) {
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
        if (r >= 0)
                *ret = state;
        return tpm_end(t, r);
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

/* One attempt; whether the connection is to blame for a failure, the caller asks t->broken. */
static int commit_once(Tpm *t, const Secret *gate_auth, const TpmRecord *record, RsError *err) {
        uint8_t now[NV_RECORD_SIZE], want[NV_RECORD_SIZE];
        StateHandles h = { 0 };
        TpmState state = { 0 };
        ESYS_TR policy;
        int r;

        r = open_state(t, &h, err);
        if (r < 0)
                return r;
        r = read_state(t, &h, &state, now, err);
        if (r < 0)
                return r;
        r = record_encode(record, state.accept, want, err);
        if (r < 0)
                return r;
        if (memcmp(now, want, NV_RECORD_SIZE) == 0)
                return 0;
        if (state.accept == UINT64_MAX)
                return rs_fail(err, TPM_STATE, "the ACCEPT counter is at its end");
        r = record_encode(record, state.accept + 1, want, err);
        if (r < 0)
                return r;
        r = write_record(t, &h, gate_auth, state.accept + 1, want, err);
        if (r < 0)
                return r;
        r = nv_gate_session(t, gate_auth, h.session, &policy, err);
        if (r < 0)
                return r;
        r = nv_increment(t, h.accept, policy, err);
        if (r < 0)
                return r;
        r = read_state(t, &h, &state, now, err);
        if (r < 0)
                return r;
        if (memcmp(now, want, NV_RECORD_SIZE) != 0)
                return rs_fail(err, TPM_STATE, "another record became valid during the commit");
        return 0;
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

/* After a failure of the connection: open a new one and let the caller look again. */
static bool once_more(Tpm *t, int r, unsigned *attempt, RsError *err) {
        RsError again = RS_ERROR_INIT;

        if (r >= 0 || !t->broken || ++*attempt >= ATTEMPTS)
                return false;
        if (tpm_reconnect(t, &again) < 0)
                return false; /* err keeps the first cause */
        *err = RS_ERROR_INIT;
        return true;
}

int tpm_state_commit(Tpm *t, const Secret *gate_auth, const TpmRecord *record, RsError *err) {
        unsigned attempt = 0;
        int r;

        r = tpm_begin(t, err);
        if (r < 0)
                return r;
        do
                r = commit_once(t, gate_auth, record, err);
        while (once_more(t, r, &attempt, err));
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
        while (once_more(t, r, &attempt, err));
        if (r >= 0)
                do
                        r = floor_once(t, gate_auth, goal, err);
                while (once_more(t, r, &attempt, err));
        return tpm_end(t, r);
}
