/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * clock - the TPM's own clock.
 *
 * It counts milliseconds while the TPM has power and is saved now and then (at least every 70 minutes), so
 * after an
 * unclean power-off it falls back to the last saved value and says safe = no.  What the reading is worth is
 * judged by
 * trust/clock.c; here it is only fetched.
 */
#include <reseal/tpm/clock.h>

#include "context.h"
#include "tss-cleanup.h"

int tpm_clock_read(Tpm *t, TpmClockReading *ret, RsError *err) {
        _cleanup_(esys_freep) TPMS_TIME_INFO *info = NULL;
        TSS2_RC rc;
        int r;

        r = tpm_begin(t, err);
        if (r < 0)
                return r;
        rc = TPM_TRY(Esys_ReadClock(t->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &info));
        if (rc != TSS2_RC_SUCCESS)
                return tpm_end(t, tpm_fail(t, rc, err, "read the TPM's clock"));
        *ret = (TpmClockReading){ .clock_msec = info->clockInfo.clock,
                                  .reset_count = info->clockInfo.resetCount,
                                  .restart_count = info->clockInfo.restartCount,
                                  .safe = info->clockInfo.safe == TPM2_YES };
        return tpm_end(t, 0);
}
