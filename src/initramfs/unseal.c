/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * unseal - the one place in the initramfs that asks the TPM, for reseal-unlock and for the token plugin.
 *
 * Nothing there waits for the TPM: its driver may be a module still loading, or the chip may still test itself.  So
 * "it does not answer" is asked again every tenth of a second until the time is over, and only that.
 */
#include <time.h>

#include <reseal/base/clock.h>

#include "unseal.h"

int unseal_wait(const TpmConfig *config, const TpmSealed *sealed, uint64_t timeout_usec, Secret **ret,
                RsError *err) {
        const struct timespec pause = { .tv_nsec = 100000000 };
        uint64_t end = clock_boottime_usec() + timeout_usec;
        _cleanup_(tpm_freep) Tpm *t = NULL;
        int r;

        /* The Name in the token is as good as a pinned one: with another the blob does not load. */
        r = tpm_new(config, sealed->srk_name, &t, err);
        while (r >= 0) {
                *err = RS_ERROR_INIT;
                r = tpm_unseal(t, sealed, ret, err);
                if (r >= 0 || err->reason != RS_REASON_TPM_GONE || clock_boottime_usec() >= end)
                        return r;
                (void) nanosleep(&pause, NULL);
                r = 0;
        }
        return r;
}
