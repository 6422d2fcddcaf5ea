/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * rc - what the answers of the TPM and of the layers above it mean to us.
 *
 * A TSS2_RC carries the layer that made it in bits 16 to 23.  Layer 0 is the TPM itself, and resource
 * managers pass the TPM's codes on under a layer of their own, so both are read alike; anything the TCTI
 * layer says means that we do not know whether the command was executed.  Codes of format 1 (bit 7) also name
 * the parameter, handle or session that was refused; for the reason only the base number counts.  What is not
 * in the table is "the TPM refused or failed", with the text of tpm2-tss: never success, never a guess.
 */
#include <stdio.h>
#include <time.h>

#include <tss2/tss2_rc.h>

#include "context.h"

#define LAYER(rc) ((rc) &TSS2_RC_LAYER_MASK)

uint32_t tpm_rc_base(TSS2_RC rc) {
        uint32_t code = rc & 0xffffu;

        if (LAYER(rc) != TSS2_TPM_RC_LAYER && LAYER(rc) != TSS2_RESMGR_TPM_RC_LAYER)
                return 0;
        if (code & TPM2_RC_FMT1)
                return code & (TPM2_RC_FMT1 | 0x3fu);
        return code;
}

static RsReason reason_of(TSS2_RC rc) {
        if (LAYER(rc) == TSS2_TCTI_RC_LAYER || rc == TSS2_ESYS_RC_BAD_SEQUENCE)
                return RS_REASON_TPM_GONE;
        if (LAYER(rc) == TSS2_RESMGR_RC_LAYER)
                return RS_REASON_TPM_FULL; /* its own codes are about room for objects, sessions, commands */

        switch (tpm_rc_base(rc)) {
        case TPM2_RC_LOCKOUT:
                return RS_REASON_TPM_LOCKED;
        case TPM2_RC_OBJECT_MEMORY:
        case TPM2_RC_SESSION_MEMORY:
        case TPM2_RC_MEMORY:
        case TPM2_RC_SESSION_HANDLES:
        case TPM2_RC_OBJECT_HANDLES:
        case TPM2_RC_NV_SPACE:
        case TPM2_RC_CONTEXT_GAP:
                return RS_REASON_TPM_FULL;
        case TPM2_RC_AUTH_FAIL:
        case TPM2_RC_BAD_AUTH:
        case TPM2_RC_POLICY_FAIL:
        case TPM2_RC_POLICY:
        case TPM2_RC_POLICY_CC:
        case TPM2_RC_AUTH_UNAVAILABLE:
        case TPM2_RC_AUTH_TYPE:
        case TPM2_RC_NV_AUTHORIZATION:
        case TPM2_RC_NV_LOCKED:
                return RS_REASON_TPM_AUTH;
        /* a blob of another TPM, or of this one before TPM2_Clear (or bytes of it changed) */
        case TPM2_RC_INTEGRITY:
                return RS_REASON_TPM_OTHER;
        case TPM2_RC_NV_UNINITIALIZED:
                return RS_REASON_TPM_STATE;
        default:
                return RS_REASON_TPM;
        }
}

int tpm_fail_at(Tpm *t, TSS2_RC rc, RsError *err, const char *function, int line, const char *what) {
        bool first = err->reason == RS_REASON_NONE;
        RsReason reason = reason_of(rc);
        int r;

        if (reason == RS_REASON_TPM_GONE)
                t->broken = true;
        r = rs_fail_at(err, reason, function, line, "%s: %s (0x%x)", what, Tss2_RC_Decode(rc), rc);
        if (first)
                err->tss_rc = rc;
        return r;
}

/*
 * NV_RATE: the chip protects its flash and wants to be left alone; tpm2-tss does not come again by itself.
 *          Seven attempts with doubled pauses are 6.3 seconds: longer than the pauses that data sheets name,
 *          shorter than a watchdog.
 */
bool tpm_again(TSS2_RC rc, unsigned *attempt) {
        uint32_t base = tpm_rc_base(rc);
        struct timespec pause;
        uint64_t msec;

        if (base != TPM2_RC_NV_RATE && base != TPM2_RC_RETRY && base != TPM2_RC_TESTING &&
            base != TPM2_RC_YIELDED)
                return false;
        if (*attempt >= 6)
                return false;
        msec = UINT64_C(100) << *attempt;
        (*attempt)++;
        pause.tv_sec = (time_t) (msec / 1000);
        pause.tv_nsec = (long) (msec % 1000) * 1000000;
        while (nanosleep(&pause, &pause) < 0 && errno == EINTR)
                ;
        return true;
}
