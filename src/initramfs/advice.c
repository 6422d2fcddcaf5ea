/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * advice - one place for the words on the console.
 *
 * The reason from the table says what is wrong; who stands before the board also wants to know whose fault it may be
 * and what to try.  Reasons that point to the same thing share a sentence.  There is no advice that weakens anything:
 * no option skips a check.
 */
#include <stddef.h>

#include <reseal/base/cleanup.h>

#include "advice.h"

static const struct {
        RsReason reason;
        const char *text;
} table[] = {
        { RS_REASON_TPM_GONE, "No TPM answered. Is the TPM module seated, and its driver (tpm_tis, tpm_crb) in the initramfs?" },
        { RS_REASON_TPM_AUTH, "This slot is older than the security epoch this device has reached. It will not open again; "
                              "the other slot does." },
        { RS_REASON_TPM_OTHER, "This disk was written with another TPM. Put disk and board together again, or provision anew; "
                               "a data volume also opens with its recovery key." },
        { RS_REASON_TPM_CLEARED, "The TPM was cleared, or is another, blank one. What it had sealed opens no more: provision anew; "
                                 "a data volume also opens with its recovery key." },
        { RS_REASON_TPM_STATE, "This disk was written with another TPM, or the TPM was cleared. Put disk and board together "
                               "again, or provision anew." },
        { RS_REASON_TPM_LOCKED, "The TPM refuses for a while after wrong attempts. Leave the device powered for some "
                                "minutes and start it again." },
        { RS_REASON_NOT_PROVISIONED, "This TPM holds no keys of Reseal. Has the device been through reseal-provision?" },
        { RS_REASON_SIGNATURE, "What is in the slot was not signed by the maker of this device's firmware. Install it again." },
        { RS_REASON_CERTIFICATE, "What is in the slot was not signed by the maker of this device's firmware. Install it again." },
        { RS_REASON_ROOT, "The slot's data was changed, or the storage is failing. Install it again; if it comes back, replace "
                          "the storage." },
        { RS_REASON_LINE, "What is in the slot was made for another product or board. Is this disk of this board, and its "
                          "writer.conf right?" },
        { RS_REASON_COMPATIBLE, "What is in the slot was made for another product or board. Is this disk of this board, and "
                                "its writer.conf right?" },
        { RS_REASON_SLOT_CONTENT, "The slot is empty, damaged or was not completely installed. Install it again." },
        { RS_REASON_VOLUME, "The slot is empty, damaged or was not completely installed. Install it again." },
        { RS_REASON_TARGET, "The partition of the slot map was not found. Is the storage connected, and only one medium with "
                            "such partitions?" },
        { RS_REASON_CONFIG, "The initramfs does not fit this board: look at its writer.conf." },
        { RS_REASON_INVALID, "The bootloader named no slot that this device has: look at reseal.slot= in its configuration." },
        { RS_REASON_ROLLBACK, "This slot is older than the security epoch this device has reached. It will not start again; "
                              "the other slot does." },
        { RS_REASON_CHAIN_FORK, "This device has accepted another release of this number. Install it again." },
        { RS_REASON_TRUST_SET, "The roots were replaced on this device, and no slot holds the set that says by which. Is every "
                               "storage of the slot map connected? Start the other slot; if none starts, install from the factory." },
        { RS_REASON_IO, "The storage fails, or something is missing in the initramfs." },
};

const char *advice_for(RsReason reason) {
        for (size_t i = 0; i < ELEMENTSOF(table); i++)
                if (table[i].reason == reason)
                        return table[i].text;
        return "Install the slot again; docs/errors.md explains the reason.";
}
