/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * nv - our five NV indices: their public areas, Names and policies, and reading and writing them.
 *
 * A Name is a digest of the whole public area: size, attributes, policy, written or not.  So an index is
 * recognised by comparing its Name with one computed here, and a session whose HMAC covers that Name cannot
 * be used on another index.
 *
 * The gate is an index that nobody can ever write: its only write permission is a policy, and its policy is
 * empty, which no session satisfies (a policy of 32 zero bytes would be satisfied by a fresh session).  Its
 * Name therefore never changes, and the policies of the others may name it.  Its authValue is the gate
 * secret.  The others are readable by anyone with the empty authValue, because the initramfs must read them,
 * and writable only by PolicySecret(gate).
 *
 * Policies are computed in software, the same on every device, and compared with what the TPM computes by the
 * tests.
 */
#include <string.h>

#include <reseal/base/span.h>

#include "nv.h"
#include "policy-step.h"
#include "tss-cleanup.h"

int nv_policy_gate(uint8_t ret[TPM_DIGEST_SIZE], RsError *err) {
        uint8_t name[TPM_NAME_SIZE];
        Policy p = { 0 };
        int r;

        r = nv_name(TPM_NV_GATE, false, name, err);
        if (r < 0)
                return r;
        r = policy_secret(&p, SPAN_ARRAY(name), err);
        if (r < 0)
                return r;
        memcpy(ret, p.digest, TPM_DIGEST_SIZE);
        return 0;
}

int nv_policy_floor(uint64_t floor_max, uint8_t ret[TPM_DIGEST_SIZE], RsError *err) {
        uint8_t name[TPM_NAME_SIZE], operand[8];
        Policy p = { 0 };
        int r;

        for (unsigned i = 0; i < 8; i++)
                operand[i] = (uint8_t) (floor_max >> (56 - 8 * i));
        r = nv_name(TPM_NV_FLOOR, true, name, err);
        if (r < 0)
                return r;
        r = policy_nv(&p, SPAN_ARRAY(operand), 0, TPM2_EO_UNSIGNED_LE, name, err);
        if (r < 0)
                return r;
        memcpy(ret, p.digest, TPM_DIGEST_SIZE);
        return 0;
}

static bool is_counter(TPM2_HANDLE index) {
        return index == TPM_NV_FLOOR || index == TPM_NV_ACCEPT;
}

TPM2B_NV_PUBLIC nv_public(TPM2_HANDLE index, bool written) {
        TPM2B_NV_PUBLIC p = {
                .nvPublic = {
                        .nvIndex = index,
                        .nameAlg = TPM2_ALG_SHA256,
                        .attributes = TPMA_NV_AUTHREAD | TPMA_NV_POLICYWRITE | TPMA_NV_NO_DA |
                                      (written ? TPMA_NV_WRITTEN : 0),
                },
        };

        if (index == TPM_NV_GATE) {
                p.nvPublic.dataSize = NV_GATE_SIZE;
                return p;
        }
        p.nvPublic.dataSize = is_counter(index) ? NV_COUNTER_SIZE : NV_RECORD_SIZE;
        if (is_counter(index))
                p.nvPublic.attributes |= TPM2_NT_COUNTER << TPMA_NV_TPM2_NT_SHIFT;
        return p;
}

/* With the policy in it; nv_public alone cannot fail and is what DefineSpace starts from. */
static int full_public(TPM2_HANDLE index, bool written, TPM2B_NV_PUBLIC *ret, RsError *err) {
        *ret = nv_public(index, written);
        if (index == TPM_NV_GATE)
                return 0;
        ret->nvPublic.authPolicy.size = TPM_DIGEST_SIZE;
        return nv_policy_gate(ret->nvPublic.authPolicy.buffer, err);
}

int nv_name(TPM2_HANDLE index, bool written, uint8_t ret[TPM_NAME_SIZE], RsError *err) {
        TPM2B_NV_PUBLIC p;
        int r;

        r = full_public(index, written, &p, err);
        return r < 0 ? r : policy_nv_name(&p, ret, err);
}

static int has_name(Tpm *t, ESYS_TR nv, TPM2_HANDLE index, bool written, bool *ret, RsError *err) {
        _cleanup_(esys_freep) TPM2B_NAME *found = NULL;
        uint8_t want[TPM_NAME_SIZE];
        TSS2_RC rc;
        int r;

        r = nv_name(index, written, want, err);
        if (r < 0)
                return r;
        rc = Esys_TR_GetName(t->esys, nv, &found);
        if (rc != TSS2_RC_SUCCESS)
                return tpm_fail(t, rc, err, "name of an NV index");
        *ret = found->size == TPM_NAME_SIZE && memcmp(found->name, want, TPM_NAME_SIZE) == 0;
        return 0;
}

int nv_find(Tpm *t, TPM2_HANDLE index, ESYS_TR *ret, RsError *err) {
        bool same = false;
        ESYS_TR nv;
        int r;

        r = tpm_find(t, index, &nv, err);
        if (r <= 0)
                return r < 0 ? r : NV_ABSENT;
        for (int presence = NV_DEFINED; presence <= NV_WRITTEN; presence++) {
                r = has_name(t, nv, index, presence == NV_WRITTEN, &same, err);
                if (r < 0)
                        return r;
                if (same) {
                        *ret = nv;
                        return presence;
                }
        }
        return rs_fail(err, TPM_REDEFINED, "NV index 0x%x is not as Reseal defines it", index);
}

/*
 * What a device with a pinned SRK says about an index that should be there: all five gone is what
 * TPM2_Clear does to a TPM, and
 * the SRK is asked first because it goes with them; fewer is somebody with ownerAuth.
 */
static int fail_missing(Tpm *t, TPM2_HANDLE index, RsError *err) {
        static const TPM2_HANDLE all[] = { TPM_NV_FLOOR, TPM_NV_ACCEPT, TPM_NV_RECORD0, TPM_NV_RECORD1,
                                           TPM_NV_GATE };
        unsigned n_there = 0;
        ESYS_TR srk;
        int r;

        if (!t->srk_pinned)
                return rs_fail(err, NOT_PROVISIONED, "the TPM has no NV index 0x%x", index);
        r = tpm_use_srk(t, &srk, err);
        if (r < 0)
                return r;
        for (unsigned i = 0; i < ELEMENTSOF(all); i++) {
                ESYS_TR nv;

                r = tpm_find(t, all[i], &nv, err);
                if (r < 0)
                        return r;
                if (r > 0) {
                        n_there++;
                        tpm_flush(t, nv);
                }
        }
        if (n_there == 0)
                return rs_fail(err, TPM_CLEARED, "none of the NV indices of provisioning is left");
        return rs_fail(err, TPM_REDEFINED, "NV index 0x%x is gone, others are there", index);
}

int nv_use(Tpm *t, TPM2_HANDLE index, ESYS_TR *ret, RsError *err) {
        int wanted = index == TPM_NV_GATE ? NV_DEFINED : NV_WRITTEN;
        const char *what;
        int r;

        r = nv_find(t, index, ret, err);
        if (r < 0 || r == wanted)
                return r < 0 ? r : 0;
        if (r == NV_ABSENT)
                return fail_missing(t, index, err);
        what = r == NV_DEFINED ? "defined but was never written" : "the gate, yet was written";
        if (!t->srk_pinned)
                return rs_fail(err, NOT_PROVISIONED, "NV index 0x%x is %s", index, what);
        return rs_fail(err, TPM_REDEFINED, "NV index 0x%x is %s", index, what);
}

int nv_read(Tpm *t, ESYS_TR nv, ESYS_TR session, void *ret, uint16_t size, RsError *err) {
        _cleanup_(esys_freep) TPM2B_MAX_NV_BUFFER *data = NULL;
        TSS2_RC rc;

        rc = TPM_TRY(Esys_NV_Read(t->esys, nv, nv, session, ESYS_TR_NONE, ESYS_TR_NONE, size, 0, &data));
        if (rc != TSS2_RC_SUCCESS)
                return tpm_fail(t, rc, err, "read an NV index");
        if (data->size != size)
                return rs_fail(err, TPM_STATE, "NV read gave %u of %u bytes", data->size, size);
        memcpy(ret, data->buffer, size);
        return 0;
}

int nv_read_counter(Tpm *t, ESYS_TR nv, ESYS_TR session, uint64_t *ret, RsError *err) {
        uint8_t bytes[NV_COUNTER_SIZE];
        Reader reader;
        int r;

        r = nv_read(t, nv, session, bytes, sizeof(bytes), err);
        if (r < 0)
                return r;
        reader = READER(SPAN_ARRAY(bytes));
        *ret = reader_u64(&reader);
        return 0;
}

int nv_gate_session(Tpm *t, const Secret *gate_auth, ESYS_TR hmac, ESYS_TR *ret_policy, RsError *err) {
        ESYS_TR gate = ESYS_TR_NONE, policy = ESYS_TR_NONE;
        RsError ignored = RS_ERROR_INIT;
        TSS2_RC rc;
        int r;

        r = nv_use(t, TPM_NV_GATE, &gate, err);
        if (r < 0)
                return r;
        r = tpm_session(t, TPM2_SE_POLICY, &policy, err);
        if (r < 0)
                return r;
        r = tpm_set_auth(t, gate, gate_auth, err);
        if (r < 0)
                return r;
        rc = TPM_TRY(Esys_PolicySecret(t->esys, gate, policy, hmac, ESYS_TR_NONE, ESYS_TR_NONE, NULL, NULL,
                                       NULL, 0, NULL, NULL));
        (void) tpm_set_auth(t, gate, NULL, &ignored); /* so that no copy stays in ESYS */
        tpm_flush(t, gate);
        if (rc != TSS2_RC_SUCCESS)
                return tpm_fail(t, rc, err, "the gate secret");
        *ret_policy = policy;
        return 0;
}

int nv_write(Tpm *t, ESYS_TR nv, ESYS_TR policy, const void *data, uint16_t size, RsError *err) {
        TPM2B_MAX_NV_BUFFER buffer = { .size = size };
        TSS2_RC rc;

        memcpy(buffer.buffer, data, size);
        rc = TPM_TRY(Esys_NV_Write(t->esys, nv, nv, policy, ESYS_TR_NONE, ESYS_TR_NONE, &buffer, 0));
        tpm_flush(t, policy);
        return rc == TSS2_RC_SUCCESS ? 0 : tpm_fail(t, rc, err, "write an NV index");
}

int nv_increment(Tpm *t, ESYS_TR nv, ESYS_TR policy, RsError *err) {
        TSS2_RC rc;

        rc = TPM_TRY(Esys_NV_Increment(t->esys, nv, nv, policy, ESYS_TR_NONE, ESYS_TR_NONE));
        tpm_flush(t, policy);
        return rc == TSS2_RC_SUCCESS ? 0 : tpm_fail(t, rc, err, "increment a counter");
}
