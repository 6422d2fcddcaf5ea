/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * roots - the set in force is told from every other by the TPM, wherever it lies.
 *
 * The initramfs' own firmware root is version 0.  From the first trust set on the record names version and tag, and
 * only the set with that tag counts: the writer has put it into the trust area of slots (slot/trust-area.h) before it
 * committed the tag.  A set that was put back has another tag; one that is gone costs this start, which the bootloader
 * has counted.  Version 0 is no way out then: whoever has the disk could bring a removed root back by wiping.
 */
#include <fcntl.h>
#include <time.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/clock.h>
#include <reseal/slot/trust-area.h>
#include <reseal/trust/anchors.h>

#include "device.h"
#include "roots.h"

int roots_record(const TpmConfig *config, const uint8_t srk_name[TPM_NAME_SIZE], TpmRecord *ret, RsError *err) {
        _cleanup_(tpm_freep) Tpm *t = NULL;
        TpmState state;
        int r;

        r = tpm_new(config, srk_name, &t, err);
        if (r >= 0)
                r = tpm_state_read(t, &state, err);
        if (r >= 0)
                *ret = state.record;
        if (r >= 0 || (err->reason != RS_REASON_TPM_STATE && err->reason != RS_REASON_TPM_REWOUND))
                return r;
        *err = RS_ERROR_INIT;
        return tpm_state_salvage(t, ret, err);
}

/* 1: one of the copies of this slot is it.  What cannot be read or used is not. */
static int look_into(const char *device, const TpmRecord *record, const char *line, TrustAnchors **ret) {
        _cleanup_(closep) int fd = open(device, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        RsError unused = RS_ERROR_INIT;

        for (unsigned copy = 0; fd >= 0 && copy < TRUST_AREA_COPIES; copy++) {
                _cleanup_(freep) uint8_t *set = NULL;
                size_t size;

                if (trust_area_read(fd, copy, &set, &size, &unused) > 0 &&
                    trust_set_of_record(SPAN(set, size), record, line, ret, &unused) > 0)
                        return 1;
        }
        return 0;
}

/* 1 found; 0 no slot that is there has it; *ret_missing: one is not there. */
static int look_everywhere(const UnlockConfig *config, const TpmRecord *record, const char *sysfs, TrustAnchors **ret,
                           bool *ret_missing) {
        *ret_missing = false;
        for (uint32_t i = 0; i < slot_map_count(config->map); i++) {
                const Slot *slot = slot_map_at(config->map, i);
                _cleanup_(freep) char *device = NULL;
                RsError unused = RS_ERROR_INIT;

                if (!slot->device || slot->kind != SLOT_KIND_LUKS2)
                        continue;
                if (device_find(slot->device, sysfs, &device, &unused) <= 0)
                        *ret_missing = true;
                else if (look_into(device, record, config->line, ret) > 0)
                        return 1;
        }
        return 0;
}

int roots_find(const UnlockConfig *config, const TpmRecord *record, const char *sysfs, uint64_t timeout_usec,
               TrustAnchors **ret, RsError *err) {
        const struct timespec pause = { .tv_nsec = 50000000 };
        const uint64_t end_usec = clock_boottime_usec() + timeout_usec;
        bool missing;

        if (record->trust_version == 0)
                return anchors_load(config->firmware_root, ret, err);
        while (look_everywhere(config, record, sysfs, ret, &missing) == 0) {
                if (!missing || clock_boottime_usec() >= end_usec)
                        return rs_fail(err, TRUST_SET, "no slot has trust set version %llu, which the TPM names",
                                       (unsigned long long) record->trust_version);
                (void) nanosleep(&pause, NULL);
        }
        return 0;
}
