/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * seal - slot key secrets that open only while the FLOOR counter has not passed them; a data volume's, always.
 *
 * The policy is one PolicyNV: the TPM itself compares FLOOR with N at every unsealing.  It is computed in
 * software when sealing, so sealing needs no policy session; when opening, a session runs the same command
 * and the TPM compares digests. No authValue, no userWithAuth: there is no way around the policy.  noDA: a
 * device that loses power while opening its disk must not lock itself out (systemd issue 30330).
 *
 * A data volume outlives every release, so its secret has no policy: it is bound to this TPM (until cleared),
 * opened with the empty authValue, and any_floor says which of the two it is.  A parser sets that, no caller guesses.
 *
 * The blob's public area is compared with the one this code would have made before it is loaded, so a token
 * that was exchanged for one with a weaker policy is found here.  An attacker who can write the header could
 * as well put a key slot of his own there; what he cannot get is the volume key of the original.
 */
#include <string.h>

#include <reseal/tpm/seal.h>

#include "blob.h"
#include "nv.h"
#include "tss-cleanup.h"

static int sealed_template(const TpmSealed *sealed, TPM2B_PUBLIC *ret, RsError *err) {
        *ret = (TPM2B_PUBLIC){
                .publicArea = {
                        .type = TPM2_ALG_KEYEDHASH,
                        .nameAlg = TPM2_ALG_SHA256,
                        .objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_NODA,
                        .authPolicy.size = TPM_DIGEST_SIZE,
                        .parameters.keyedHashDetail.scheme.scheme = TPM2_ALG_NULL,
                },
        };
        if (sealed->any_floor) {
                ret->publicArea.objectAttributes |= TPMA_OBJECT_USERWITHAUTH;
                ret->publicArea.authPolicy.size = 0;
                return 0;
        }
        return nv_policy_floor(sealed->floor_max, ret->publicArea.authPolicy.buffer, err);
}

static int create_sealed(Tpm *t, const Secret *secret, const TPM2B_PUBLIC *template, TpmSealed *s,
                         RsError *err) {
        _cleanup_(sensitive_create_wipe) TPM2B_SENSITIVE_CREATE sensitive = { 0 };
        _cleanup_(esys_freep) TPM2B_PRIVATE *wrapped = NULL;
        _cleanup_(esys_freep) TPM2B_PUBLIC *area = NULL;
        _cleanup_(esys_freep) TPM2B_NAME *name = NULL;
        static const TPML_PCR_SELECTION no_pcr;
        ESYS_TR srk, session;
        TSS2_RC rc;
        int r;

        r = tpm_use_srk(t, &srk, err);
        if (r < 0)
                return r;
        r = tpm_session(t, TPM2_SE_HMAC, &session, err);
        if (r < 0)
                return r;
        sensitive.sensitive.data.size = TPM_SEALED_SECRET_SIZE;
        memcpy(sensitive.sensitive.data.buffer, secret_bytes(secret), TPM_SEALED_SECRET_SIZE);
        rc = TPM_TRY(Esys_Create(t->esys, srk, session, ESYS_TR_NONE, ESYS_TR_NONE, &sensitive, template,
                                 NULL, &no_pcr, &wrapped, &area, NULL, NULL, NULL));
        if (rc != TSS2_RC_SUCCESS)
                return tpm_fail(t, rc, err, "seal");
        rc = Esys_TR_GetName(t->esys, srk, &name);
        if (rc != TSS2_RC_SUCCESS || name->size != TPM_NAME_SIZE)
                return tpm_fail(t, rc, err, "name of the storage root key");
        memcpy(s->srk_name, name->name, TPM_NAME_SIZE);
        return blob_encode(wrapped, area, s->blob, sizeof(s->blob), &s->blob_size, err);
}

static int seal(Tpm *t, const Secret *secret, TpmSealed s, TpmSealed *ret, RsError *err) {
        TPM2B_PUBLIC template;
        int r;

        if (secret_size(secret) != TPM_SEALED_SECRET_SIZE)
                return rs_fail(err, INVALID, "a slot secret has %u bytes, not %zu", TPM_SEALED_SECRET_SIZE,
                               secret_size(secret));
        r = sealed_template(&s, &template, err);
        if (r < 0)
                return r;
        r = tpm_begin(t, err);
        if (r < 0)
                return r;
        r = create_sealed(t, secret, &template, &s, err);
        if (r >= 0)
                *ret = s;
        return tpm_end(t, r);
}

int tpm_seal(Tpm *t, const Secret *secret, uint64_t floor_max, TpmSealed *ret, RsError *err) {
        return seal(t, secret, (TpmSealed){ .nv_index = TPM_NV_FLOOR, .floor_max = floor_max }, ret, err);
}

int tpm_seal_data(Tpm *t, const Secret *secret, TpmSealed *ret, RsError *err) {
        return seal(t, secret, (TpmSealed){ .any_floor = true }, ret, err);
}

/* A policy session that the TPM has compared FLOOR in. */
static int floor_session(Tpm *t, uint64_t floor_max, ESYS_TR *ret, RsError *err) {
        Encoder e = ENCODER_INIT;
        TPM2B_OPERAND operand = { .size = 8 };
        ESYS_TR floor, policy;
        TSS2_RC rc;
        int r;

        r = nv_use(t, TPM_NV_FLOOR, &floor, err);
        if (r < 0)
                return r;
        r = tpm_session(t, TPM2_SE_POLICY, &policy, err);
        if (r < 0)
                return r;
        encoder_u64(&e, floor_max);
        if (encoder_finish(&e) < 0)
                return rs_fail_oom(err);
        memcpy(operand.buffer, e.data, 8);
        encoder_done(&e);
        rc = TPM_TRY(Esys_PolicyNV(t->esys, floor, floor, policy, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                   ESYS_TR_NONE, &operand, 0, TPM2_EO_UNSIGNED_LE));
        if (rc != TSS2_RC_SUCCESS)
                return tpm_fail(t, rc, err, "FLOOR against the slot's limit");
        *ret = policy;
        return 0;
}

static int unseal_loaded(Tpm *t, ESYS_TR object, const TpmSealed *sealed, Secret **ret, RsError *err) {
        _cleanup_(sensitive_data_freep) TPM2B_SENSITIVE_DATA *data = NULL;
        ESYS_TR session;
        Secret *secret;
        TSS2_RC rc;
        int r;

        if (sealed->any_floor)
                r = tpm_session(t, TPM2_SE_HMAC, &session, err);
        else
                r = floor_session(t, sealed->floor_max, &session, err);
        if (r < 0)
                return r;
        rc = TPM_TRY(Esys_Unseal(t->esys, object, session, ESYS_TR_NONE, ESYS_TR_NONE, &data));
        if (rc != TSS2_RC_SUCCESS)
                return tpm_fail(t, rc, err, "unseal");
        if (data->size != TPM_SEALED_SECRET_SIZE)
                return rs_fail(err, TPM_STATE, "a sealed secret of %u bytes", data->size);
        secret = secret_new_take(data->buffer, data->size);
        if (!secret)
                return rs_fail_oom(err);
        *ret = secret;
        return 0;
}

static int check_sealed(const Tpm *t, const TpmSealed *sealed, Blob *ret, RsError *err) {
        TPM2B_PUBLIC template;
        Blob blob;
        int r;

        if (!sealed->any_floor && sealed->nv_index != TPM_NV_FLOOR)
                return rs_fail(err, TPM_STATE, "sealed against NV index 0x%x, not FLOOR", sealed->nv_index);
        if (sealed->blob_size > sizeof(sealed->blob))
                return rs_fail(err, TPM_STATE, "a sealed blob of %u bytes", sealed->blob_size);
        if (t->srk_pinned && memcmp(t->srk_name, sealed->srk_name, TPM_NAME_SIZE) != 0)
                return rs_fail(err, TPM_OTHER, "sealed by another TPM");
        r = blob_parse(SPAN(sealed->blob, sealed->blob_size), &blob, err);
        if (r < 0)
                return r;
        r = sealed_template(sealed, &template, err);
        if (r < 0)
                return r;
        /* unique is the digest of secret and seed, different each time */
        template.publicArea.unique = blob.area.publicArea.unique;
        if (!blob_same_public(&blob.area, &template) && sealed->any_floor)
                return rs_fail(err, TPM_STATE, "the sealed object is not that of a data volume");
        if (!blob_same_public(&blob.area, &template))
                return rs_fail(err, TPM_STATE, "the sealed object has not the policy FLOOR <= %llu",
                               (unsigned long long) sealed->floor_max);
        *ret = blob;
        return 0;
}

int tpm_unseal(Tpm *t, const TpmSealed *sealed, Secret **ret, RsError *err) {
        ESYS_TR object;
        Blob blob;
        int r;

        r = check_sealed(t, sealed, &blob, err);
        if (r < 0)
                return r;
        r = tpm_begin(t, err);
        if (r < 0)
                return r;
        r = blob_load(t, &blob, &object, err);
        if (r >= 0)
                r = unseal_loaded(t, object, sealed, ret, err);
        return tpm_end(t, r);
}
