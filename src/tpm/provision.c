/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * provision - making in the TPM what everything else only uses: SRK, NV indices, authorization values.
 *
 * Every step looks first and does only what is missing, so that a run that was cut is completed by the next
 * one.  What is there but not ours is never removed or overwritten: an index with our number and another
 * public area, or a record that is damaged, is a finding for a person.  In particular a *written* record is
 * never written again from here: that would be the rollback this state exists to prevent.
 *
 * Order of the indices: gate first, because the policies of the others name it; then counters; then the
 * records, the one that must equal ACCEPT last.
 */
#include <string.h>

#include <reseal/tpm/state.h>

#include "nv.h"
#include "record.h"
#include "tss-cleanup.h"

/* SRK */

static int make_srk(Tpm *t, const Secret *owner_auth, RsError *err) {
        static const TPM2B_SENSITIVE_CREATE no_auth;
        static const TPML_PCR_SELECTION no_pcr;
        TPM2B_PUBLIC template = tpm_srk_template();
        ESYS_TR made, kept;
        TSS2_RC rc;
        int r;

        r = tpm_set_auth(t, ESYS_TR_RH_OWNER, owner_auth, err);
        if (r < 0)
                return r;
        rc = TPM_TRY(Esys_CreatePrimary(t->esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                        ESYS_TR_NONE, &no_auth, &template, NULL, &no_pcr, &made, NULL, NULL,
                                        NULL, NULL));
        if (rc != TSS2_RC_SUCCESS)
                return tpm_fail(t, rc, err, "create the storage root key (is ownerAuth set?)");
        tpm_note(t, made, true);
        rc = TPM_TRY(Esys_EvictControl(t->esys, ESYS_TR_RH_OWNER, made, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                       ESYS_TR_NONE, TPM_HANDLE_SRK, &kept));
        if (rc != TSS2_RC_SUCCESS)
                return tpm_fail(t, rc, err, "keep the storage root key");
        tpm_flush(t, made);
        (void) Esys_TR_Close(t->esys, &kept);
        return 0;
}

static int srk_inside(Tpm *t, const Secret *owner_auth, uint8_t ret_name[TPM_NAME_SIZE], bool *ret_changed,
                      RsError *err) {
        _cleanup_(esys_freep) TPM2B_NAME *name = NULL;
        bool changed = false;
        ESYS_TR srk;
        TSS2_RC rc;
        int r;

        r = tpm_find(t, TPM_HANDLE_SRK, &srk, err);
        if (r < 0)
                return r;
        if (r == 0) {
                r = make_srk(t, owner_auth, err);
                if (r < 0)
                        return r;
                changed = true;
        } else
                tpm_flush(t, srk); /* ESYS has one handle per object: at the end the kept one would be closed with it */
        r = tpm_use_srk(t, &srk, err);
        if (r < 0)
                return r;
        rc = Esys_TR_GetName(t->esys, srk, &name);
        if (rc != TSS2_RC_SUCCESS || name->size != TPM_NAME_SIZE)
                return tpm_fail(t, rc, err, "name of the storage root key");
        memcpy(ret_name, name->name, TPM_NAME_SIZE);
        *ret_changed = changed;
        return 0;
}

/* No copy of ownerAuth stays in a connection that is kept. */
static int end_as_owner(Tpm *t, int r) {
        RsError ignored = RS_ERROR_INIT;

        if (t->esys) {
                (void) tpm_set_auth(t, ESYS_TR_RH_OWNER, NULL, &ignored);
                (void) tpm_set_auth(t, ESYS_TR_RH_LOCKOUT, NULL, &ignored);
                (void) tpm_set_auth(t, ESYS_TR_RH_ENDORSEMENT, NULL, &ignored);
        }
        return tpm_end(t, r);
}

int tpm_provision_srk(Tpm *t, const Secret *owner_auth, uint8_t ret_name[TPM_NAME_SIZE], bool *ret_changed,
                      RsError *err) {
        int r;

        r = tpm_begin(t, err);
        if (r < 0)
                return r;
        return end_as_owner(t, srk_inside(t, owner_auth, ret_name, ret_changed, err));
}

/* NV */

typedef struct Provision {
        Tpm *t;
        const Secret *owner_auth;
        const Secret *gate_auth;
        ESYS_TR session;
        bool changed;
} Provision;

static int define(Provision *p, TPM2_HANDLE index, RsError *err) {
        _cleanup_(auth_wipe) TPM2B_AUTH auth = { 0 };
        TPM2B_NV_PUBLIC area = nv_public(index, false);
        ESYS_TR nv;
        TSS2_RC rc;
        int r;

        if (index == TPM_NV_GATE) {
                auth.size = (UINT16) secret_size(p->gate_auth);
                memcpy(auth.buffer, secret_bytes(p->gate_auth), auth.size);
        } else {
                area.nvPublic.authPolicy.size = TPM_DIGEST_SIZE;
                r = nv_policy_gate(area.nvPublic.authPolicy.buffer, err);
                if (r < 0)
                        return r;
        }
        r = tpm_set_auth(p->t, ESYS_TR_RH_OWNER, p->owner_auth, err);
        if (r < 0)
                return r;
        /* The session also hides the gate secret from the bus. */
        rc = TPM_TRY(Esys_NV_DefineSpace(p->t->esys, ESYS_TR_RH_OWNER, p->session, ESYS_TR_NONE, ESYS_TR_NONE,
                                         &auth, &area, &nv));
        if (rc != TSS2_RC_SUCCESS)
                return tpm_fail(p->t, rc, err, "define an NV index");
        tpm_note(p->t, nv, false);
        p->changed = true;
        return 0;
}

/* NV_DEFINED or NV_WRITTEN; made if it was missing. */
static int present(Provision *p, TPM2_HANDLE index, ESYS_TR *ret, RsError *err) {
        int r;

        r = nv_find(p->t, index, ret, err);
        if (r != NV_ABSENT)
                return r;
        r = define(p, index, err);
        if (r < 0)
                return r;
        return nv_find(p->t, index, ret, err); /* compares what the TPM made with what we meant */
}

static int check_gate(Provision *p, RsError *err) {
        ESYS_TR gate, policy;
        int r;

        r = present(p, TPM_NV_GATE, &gate, err);
        if (r < 0)
                return r;
        tpm_flush(p->t, gate);
        r = nv_gate_session(p->t, p->gate_auth, p->session, &policy, err);
        if (r < 0)
                return rs_context(err, "the gate secret on disk is not the one in the TPM");
        tpm_flush(p->t, policy);
        return 0;
}

static int init_counter(Provision *p, TPM2_HANDLE index, uint64_t *ret_value, RsError *err) {
        ESYS_TR nv, policy;
        int r;

        r = present(p, index, &nv, err);
        if (r < 0)
                return r;
        if (r == NV_DEFINED) {
                r = nv_gate_session(p->t, p->gate_auth, p->session, &policy, err);
                if (r < 0)
                        return r;
                r = nv_increment(p->t, nv, policy, err);
                if (r < 0)
                        return r;
                p->changed = true;
        }
        r = nv_read_counter(p->t, nv, p->session, ret_value, err);
        tpm_flush(p->t, nv);
        return r;
}

static int init_record(Provision *p, TPM2_HANDLE index, const uint8_t bytes[NV_RECORD_SIZE], RsError *err) {
        ESYS_TR nv, policy;
        int r;

        r = present(p, index, &nv, err);
        if (r < 0)
                return r;
        if (r == NV_DEFINED) {
                r = nv_gate_session(p->t, p->gate_auth, p->session, &policy, err);
                if (r < 0)
                        return r;
                r = nv_write(p->t, nv, policy, bytes, NV_RECORD_SIZE, err);
                if (r < 0)
                        return r;
                p->changed = true;
        }
        tpm_flush(p->t, nv);
        return 0;
}

static int nv_inside(Provision *p, RsError *err) {
        static const TPM2_HANDLE record_index[2] = { TPM_NV_RECORD0, TPM_NV_RECORD1 };
        static const uint8_t zeros[NV_RECORD_SIZE];
        const TpmRecord factory = { .empty = true };
        uint8_t first[NV_RECORD_SIZE];
        uint64_t floor, accept;
        int r;

        r = tpm_session(p->t, TPM2_SE_HMAC, &p->session, err);
        if (r < 0)
                return r;
        r = check_gate(p, err);
        if (r < 0)
                return r;
        r = init_counter(p, TPM_NV_FLOOR, &floor, err);
        if (r < 0)
                return r;
        r = init_counter(p, TPM_NV_ACCEPT, &accept, err);
        if (r < 0)
                return r;
        r = nv_record_encode(&factory, accept, first, err);
        if (r < 0)
                return r;
        r = init_record(p, record_index[(accept + 1) & 1], zeros, err);
        if (r < 0)
                return r;
        return init_record(p, record_index[accept & 1], first, err);
}

int tpm_provision_nv(Tpm *t, const Secret *owner_auth, const Secret *gate_auth, bool *ret_changed,
                     RsError *err) {
        Provision p = { .t = t, .owner_auth = owner_auth, .gate_auth = gate_auth };
        TpmState state;
        int r;

        if (secret_size(gate_auth) != 32)
                return rs_fail(err, INVALID, "the gate secret has 32 bytes");
        r = tpm_begin(t, err);
        if (r < 0)
                return r;
        r = end_as_owner(t, nv_inside(&p, err));
        if (r < 0)
                return r;
        r = tpm_state_read(t, &state, err); /* a damaged record shows now, not at the first release */
        if (r >= 0)
                *ret_changed = p.changed;
        return r;
}

/* Authorization values of the hierarchies */

static int change_auth(Tpm *t, ESYS_TR hierarchy, ESYS_TR session, const Secret *value, const char *what,
                       RsError *err) {
        _cleanup_(auth_wipe) TPM2B_AUTH auth = { .size = (UINT16) secret_size(value) };
        TSS2_RC rc;

        if (secret_size(value) > 32)
                return rs_fail(err, INVALID, "an authorization value of more than 32 bytes");
        memcpy(auth.buffer, secret_bytes(value), auth.size);
        rc = TPM_TRY(Esys_HierarchyChangeAuth(t->esys, hierarchy, session, ESYS_TR_NONE, ESYS_TR_NONE,
                                              &auth));
        return rc == TSS2_RC_SUCCESS ? 0 : tpm_fail(t, rc, err, what);
}

/*
 * Nothing of ours lives under the endorsement hierarchy.  With an empty value whoever reaches the TPM sets one that
 * nobody knows, or switches the hierarchy off until the next start: an enrolment by the maker's key would be at the
 * mercy of a taken-over reseald.
 */
static int auth_inside(Tpm *t, const Secret *owner_auth, const Secret *lockout_auth, const Secret *endorsement_auth,
                       RsError *err) {
        ESYS_TR session;
        int r;

        r = tpm_session(t, TPM2_SE_HMAC, &session, err);
        if (r < 0)
                return r;
        if (lockout_auth) {
                r = change_auth(t, ESYS_TR_RH_LOCKOUT, session, lockout_auth, "set lockoutAuth", err);
                if (r < 0)
                        return r;
        }
        if (endorsement_auth) {
                r = change_auth(t, ESYS_TR_RH_ENDORSEMENT, session, endorsement_auth, "set endorsementAuth", err);
                if (r < 0)
                        return r;
        }
        return owner_auth ? change_auth(t, ESYS_TR_RH_OWNER, session, owner_auth, "set ownerAuth", err) : 0;
}

int tpm_provision_auth(Tpm *t, const Secret *owner_auth, const Secret *lockout_auth, const Secret *endorsement_auth,
                       RsError *err) {
        int r;

        r = tpm_begin(t, err);
        if (r < 0)
                return r;
        return end_as_owner(t, auth_inside(t, owner_auth, lockout_auth, endorsement_auth, err));
}
