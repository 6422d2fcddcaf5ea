/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * xts - AES-256-XTS in the format of dm-crypt aes-xts-plain64 with 4096-byte sectors.
 *
 * Spec:     docs/format-slot.md; IV = LE64 of the sector number counted in 512-byte units, then 8 zero bytes
 * Trust:    gives no integrity; what was written is read back and its leaves are checked
 * Owns:     an Xts owns two contexts with the key set once; only the IV changes per sector (5x faster)
 * Units:    offset_bytes from the start of the data segment, multiple of 4096; sizes multiple of 4096
 * Errors:   INTERNAL
 * Context:  one Xts per thread
 * Programs: reseal-writer, initramfs
 */
#include <reseal/base/error.h>
#include <reseal/base/secret.h>

typedef struct Xts Xts;

int xts_new(const Secret *key /* 64 bytes */, Xts **ret, RsError *err);
Xts *xts_free(Xts *x);
RS_DEFINE_CLEANUP(Xts, xts_free)
int xts_encrypt(Xts *x, uint64_t offset_bytes, const uint8_t *in, uint8_t *out, size_t size, RsError *err);
int xts_decrypt(Xts *x, uint64_t offset_bytes, const uint8_t *in, uint8_t *out, size_t size, RsError *err);
