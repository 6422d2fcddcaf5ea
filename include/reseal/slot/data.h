/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * data - the device's writable volume: LUKS2 like a slot, its key sealed in the TPM for as long as that is not cleared.
 *
 * Spec:     docs/format-slot.md, "Data volume"; docs/boot.md, "Writable data"
 * Trust:    a header is hostile until its shape was seen; a token is only well-formed
 * Owns:     results belong to the caller
 * Units:    bytes
 * Errors:   VOLUME, TARGET (the device holds something), SIZE, IO, NO_SPACE, READ_BACK and those of tpm/seal.h
 * Context:  blocks; libcryptsetup is not thread-safe: one caller at a time
 * Programs: reseal-provision, initramfs (the token)
 */
#include <reseal/base/error.h>
#include <reseal/base/secret.h>
#include <reseal/tpm/seal.h>

#define DATA_VOLUME_MIN (8u << 20)   /* header area and as much again: less is a mistake */
#define DATA_LABEL_MAX 47u           /* of LUKS2 */

/* Token text of format 2.  parse is fuzzed. */
int data_token_encode(const TpmSealed *sealed, char **ret_json, RsError *err);
int data_token_parse(const char *json, TpmSealed *ret, RsError *err);

/* 0 = blank: nothing but zeros where headers of any kind lie; 1 = it is not. */
int data_volume_look(int fd, uint64_t size, RsError *err);
/* Does it open with this TPM?  0 = it does; VOLUME if it is not a data volume, else what the TPM says. */
int data_volume_check(const char *device, Tpm *tpm, RsError *err);
/*
 * Fresh volume key, fresh secret sealed in this TPM, complete header in the file `path` for slot_volume_commit, as
 * slot_volume_create makes it.  recovery: passphrase of a second key slot, NULL for none.  label: what the header says
 * to "cryptsetup luksDump", at most DATA_LABEL_MAX bytes; NULL for nothing.
 */
int data_volume_create(const char *path, Tpm *tpm, const Secret *recovery, const char *label, RsError *err);
