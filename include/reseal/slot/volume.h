/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * volume - the LUKS2 header of a slot: made in a file, erased on the slot, committed last.
 *
 * Spec:     docs/format-slot.md; DESIGN.md 8, W1, W3, W6
 * Trust:    the header file holds the volume key only wrapped by a passphrase that only this TPM unseals
 * Owns:     results belong to the caller
 * Units:    bytes
 * Errors:   VOLUME, IO, NO_SPACE, READ_BACK, SIZE and those of tpm.h
 * Context:  worker thread (blocks); libcryptsetup is not thread-safe: one caller at a time
 * Programs: reseal-writer, initramfs (reading)
 */
#include <reseal/base/error.h>
#include <reseal/base/secret.h>
#include <reseal/slot/layout.h>
#include <reseal/tpm/seal.h>

#define SLOT_VOLUME_KEY_SIZE 64u

/*
 * Fresh volume key, fresh secret sealed in the TPM with floor_max, complete header (key slot, token) in a 0600 file
 * `path` of SLOT_DATA_OFFSET bytes, replaced at once and durable when this returns ("<path>.new" beside it meanwhile).
 */
int slot_volume_create(const char *path, uint64_t slot_size, Tpm *tpm, uint64_t floor_max,
                       const uint8_t bundle_id[32], Secret **ret_volume_key, RsError *err);
/* The volume key of such a file again, by unsealing (resume, W1). */
int slot_volume_resume(const char *path, Tpm *tpm, Secret **ret_volume_key, RsError *err);
/* Crypto-erase of whatever header is on the slot: both copies and key slots overwritten, flushed, read again (W3). */
int slot_volume_erase(int slot_fd, RsError *err);
/* Header file to slot: key slots and secondary copy, flush, primary copy, flush, read again (W6). Idempotent. */
int slot_volume_commit(int slot_fd, const char *path, RsError *err);

/* Token text of docs/format-slot.md, shared with the plugin.  parse is fuzzed. */
int slot_token_encode(const TpmSealed *sealed, const uint8_t bundle_id[32], char **ret_json, RsError *err);
int slot_token_parse(const char *json, TpmSealed *ret, uint8_t ret_bundle_id[32], RsError *err);
/*
 * Before a passphrase is tried: the token's own key slot, derived as a header of ours does it and no dearer; VOLUME.
 * cd: loaded.  Also for the token plugin, whose caller goes on by itself.
 */
struct crypt_device;
int luks_check_cost(struct crypt_device *cd, int token, int *ret_key_slot, RsError *err);
/* Key slot passphrase: lower-case hex of the sealed secret. */
int slot_passphrase(const Secret *sealed_secret, Secret **ret, RsError *err);
