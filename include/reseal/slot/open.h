/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * open - a slot at boot: its token, dm-crypt above the partition, dm-verity above that.
 *
 * Spec:     docs/format-slot.md; docs/boot.md
 * Trust:    the header is hostile: a token is only well-formed, a header of any shape but ours is refused.  dm-verity
 *           gets everything from the caller (who has it from a signed manifest), nothing from its superblock
 * Owns:     devices live in the kernel until slot_close
 * Units:    bytes
 * Errors:   VOLUME, ROOT (the first block does not verify), IO, NO_MEMORY and those of volume.h for the token
 * Context:  one thread (libcryptsetup); needs root and device-mapper
 * Programs: initramfs
 */
#include <reseal/base/error.h>
#include <reseal/base/secret.h>
#include <reseal/format/manifest.h>
#include <reseal/slot/layout.h>
#include <reseal/tpm/seal.h>

#define SLOT_MAPPER_DIR "/dev/mapper"

/* What the one token of type "reseal" says.  Opens nothing; works on files. */
int slot_open_token(const char *device, TpmSealed *ret, uint8_t ret_bundle_id[32], RsError *err);
/* Read-only SLOT_MAPPER_DIR/NAME, unlocked with the secret that the TPM unsealed. */
int slot_open_crypt(const char *device, const Secret *sealed_secret, const char *name, RsError *err);
/* Read-only SLOT_MAPPER_DIR/NAME above the decrypted volume; its first block has been read, hence verified. */
int slot_open_verity(const char *volume, const SlotLayout *layout, const ManifestImage *image, const char *name,
                     RsError *err);
int slot_close(const char *name, RsError *err);
