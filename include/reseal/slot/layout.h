/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * layout - where image, verity tree, trailer and locator lie in a slot, in checked 64-bit arithmetic.
 *
 * Spec:     docs/format-slot.md; requirement S21
 * Trust:    sizes come from a signed manifest, yet nothing here can overflow or leave the slot
 * Owns:     flat values
 * Units:    bytes; offsets from the start of the data (luks2: the decrypted volume; plain: the partition)
 * Errors:   SIZE
 * Context:  any thread, no I/O
 * Programs: reseal-writer, initramfs
 */
#include <stddef.h>
#include <stdint.h>

#include <reseal/base/error.h>
#include <reseal/crypto/hashtree.h>

#define SLOT_DATA_OFFSET (4u << 20)        /* of a luks2 slot: both headers and the key slot area */
#define SLOT_TRUST_OFFSET (3u << 20)       /* in it: two copies of a trust set (trust-area.h) */
#define SLOT_TRUST_COPY (512u << 10)       /* of each */
#define SLOT_TRAILER_MAGIC "RSTRAIL1"
#define SLOT_LOCATOR_MAGIC "RSLOCAT1"

typedef enum SlotKind {
        SLOT_KIND_LUKS2 = 1,
        SLOT_KIND_PLAIN = 2,
        _SLOT_KIND_MAX,
} SlotKind;

typedef struct SlotLayout {
        uint64_t data_offset;     /* of the data in the partition: SLOT_DATA_OFFSET or 0 */
        uint64_t data_size;       /* whole blocks */
        uint64_t image_size;
        /* luks2 only, else 0 */
        uint64_t superblock;
        uint64_t tree;
        uint64_t leaves;          /* lowest level of the tree: one block per chunk */
        uint64_t trailer;
        uint64_t trailer_size;    /* whole blocks */
        uint64_t locator;
        HashTreeLayout levels;
} SlotLayout;

int slot_layout(SlotKind kind, uint64_t slot_size, uint64_t image_size, size_t manifest_cms_size, SlotLayout *ret,
                RsError *err);
