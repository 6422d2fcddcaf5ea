/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * posture - what the TPM says about itself, for provisioning and for the operator.
 *
 * Read in two capability ranges, fixed and variable properties.  The lockout counter is the early warning:
 * our own objects are all noDA, so a counter above zero means that something else on the device guesses or
 * loses power with DA objects.
 */
#include <string.h>

#include "context.h"
#include "tss-cleanup.h"

static void take(TpmPosture *p, UINT32 property, UINT32 value) {
        switch (property) {
        case TPM2_PT_MANUFACTURER:
                for (unsigned i = 0; i < 4; i++) {
                        char c = (char) (value >> (24 - 8 * i));

                        p->manufacturer[i] = c >= 0x20 && c < 0x7f ? c : '\0';
                }
                break;
        case TPM2_PT_PERMANENT:
                p->owner_auth_set = value & TPMA_PERMANENT_OWNERAUTHSET;
                p->endorsement_auth_set = value & TPMA_PERMANENT_ENDORSEMENTAUTHSET;
                p->lockout_auth_set = value & TPMA_PERMANENT_LOCKOUTAUTHSET;
                p->in_lockout = value & TPMA_PERMANENT_INLOCKOUT;
                break;
        case TPM2_PT_STARTUP_CLEAR:
                p->platform_open = value & TPMA_STARTUP_CLEAR_PHENABLE; /* so far: is its auth empty, too? */
                break;
        case TPM2_PT_LOCKOUT_COUNTER:
                p->lockout_counter = value;
                break;
        case TPM2_PT_MAX_AUTH_FAIL:
                p->max_tries = value;
                break;
        default:
                break;
        }
}

static int read_range(Tpm *t, UINT32 first, TpmPosture *p, RsError *err) {
        _cleanup_(esys_freep) TPMS_CAPABILITY_DATA *data = NULL;
        TPMI_YES_NO more;
        TSS2_RC rc = TPM_TRY(Esys_GetCapability(t->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                                TPM2_CAP_TPM_PROPERTIES, first, 64, &more, &data));

        if (rc != TSS2_RC_SUCCESS)
                return tpm_fail(t, rc, err, "read the properties of the TPM");
        for (UINT32 i = 0; i < data->data.tpmProperties.count; i++)
                take(p, data->data.tpmProperties.tpmProperty[i].property,
                     data->data.tpmProperties.tpmProperty[i].value);
        return 0;
}

/*
 * An enabled platform hierarchy with an empty platformAuth lets anyone undefine, evict and clear.
 * PolicySecret in a trial
 * session shows whether the empty value is right, and does nothing else; platformAuth knows no dictionary
 * lockout.
 */
static int probe_platform(Tpm *t, TpmPosture *p, RsError *err) {
        static const TPMT_SYM_DEF no_cipher = { .algorithm = TPM2_ALG_NULL };
        ESYS_TR session;
        TSS2_RC rc;

        if (!p->platform_open)
                return 0;
        rc = TPM_TRY(Esys_StartAuthSession(t->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                           ESYS_TR_NONE, NULL, TPM2_SE_TRIAL, &no_cipher, TPM2_ALG_SHA256,
                                           &session));
        if (rc != TSS2_RC_SUCCESS)
                return tpm_fail(t, rc, err, "start a session");
        tpm_note(t, session, true);
        rc = TPM_TRY(Esys_PolicySecret(t->esys, ESYS_TR_RH_PLATFORM, session, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                       ESYS_TR_NONE, NULL, NULL, NULL, 0, NULL, NULL));
        if (rc != TSS2_RC_SUCCESS && tpm_rc_base(rc) == 0)
                return tpm_fail(t, rc, err, "probe the platform hierarchy");
        p->platform_open = rc == TSS2_RC_SUCCESS;
        return 0;
}

int tpm_posture(Tpm *t, TpmPosture *ret, RsError *err) {
        TpmPosture p = { 0 };
        int r;

        r = tpm_begin(t, err);
        if (r < 0)
                return r;
        r = read_range(t, TPM2_PT_FIXED, &p, err);
        if (r >= 0)
                r = read_range(t, TPM2_PT_VAR, &p, err);
        if (r >= 0)
                r = probe_platform(t, &p, err);
        if (r >= 0)
                *ret = p;
        return tpm_end(t, r);
}
