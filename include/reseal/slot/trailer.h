/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * trailer - what stands behind the image in a slot: where the image ends, and the manifest that speaks for it.
 *
 * Spec:     docs/format-slot.md
 * Trust:    hostile: whoever had the disk in his hands wrote it; nothing in it is believed before the manifest's
 *           signature was checked, the numbers only lead there
 * Owns:     a SlotTrailer owns its copy of the CMS
 * Units:    bytes; offsets from the start of the decrypted volume
 * Errors:   SLOT_CONTENT, IO, NO_MEMORY
 * Context:  any thread; reads at most 64 KiB
 * Programs: initramfs
 */
#include <stddef.h>
#include <stdint.h>

#include <reseal/base/error.h>

typedef struct SlotTrailer {
        uint64_t image_size;
        uint64_t offset;          /* of the trailer itself */
        uint8_t bundle_id[32];
        uint32_t image_number;
        uint8_t *manifest_cms;
        size_t manifest_cms_size;
} SlotTrailer;

/* From the decrypted volume of data_size bytes; its last whole block leads to the rest. */
int slot_trailer_read(int fd, uint64_t data_size, SlotTrailer *ret, RsError *err);
void slot_trailer_done(SlotTrailer *t);
