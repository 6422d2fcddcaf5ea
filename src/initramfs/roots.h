/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * roots - what the TPM remembers, and the firmware roots that it says are in force.
 *
 * Spec:     docs/decisions/012-the-trust-set-lies-beside-the-slots.md; docs/format-slot.md, "Trust area"
 * Trust:    a set on the disk is hostile until its digest is the tag in the record; version 0 is the initramfs' own
 * Owns:     results belong to the caller
 * Units:    microseconds
 * Errors:   TRUST_SET, CONFIG and those of pki/path.h, tpm/state.h
 * Context:  blocks
 * Programs: initramfs
 */
#include <reseal/pki/path.h>
#include <reseal/tpm/state.h>

#include "unlock-config.h"

/* The record that is valid; of a damaged one what is left (tpm_state_salvage): a spoilt record stops no boot. */
int roots_record(const TpmConfig *config, const uint8_t srk_name[TPM_NAME_SIZE], TpmRecord *ret, RsError *err);
/* Looks into all slots of the map, and for timeout_usec from now on for those that are not there yet. */
int roots_find(const UnlockConfig *config, const TpmRecord *record, const char *sysfs, uint64_t timeout_usec,
               TrustAnchors **ret, RsError *err);
