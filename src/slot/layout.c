/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * layout - the one place that computes offsets in a slot.
 *
 * The size check before anything is fetched and the writing itself use this same function, so that they cannot
 * differ: what passed the check lies inside the slot, what did not has no layout.
 */
#include <stdbool.h>

#include <reseal/format/limits.h>
#include <reseal/slot/layout.h>

/* Appends `size` bytes, rounded up to blocks, at *end. */
static bool append(uint64_t *end, uint64_t size, uint64_t *ret_offset) {
        uint64_t rounded;

        if (__builtin_add_overflow(size, RS_BLOCK_SIZE - 1, &rounded))
                return false;
        rounded -= rounded % RS_BLOCK_SIZE;
        *ret_offset = *end;
        return !__builtin_add_overflow(*end, rounded, end);
}

static int too_large(uint64_t slot_size, uint64_t image_size, RsError *err) {
        return rs_fail(err, SIZE, "an image of %llu bytes does not fit a slot of %llu", (unsigned long long) image_size,
                       (unsigned long long) slot_size);
}

int slot_layout(SlotKind kind, uint64_t slot_size, uint64_t image_size, size_t manifest_cms_size, SlotLayout *ret,
                RsError *err) {
        SlotLayout l = { .image_size = image_size };
        uint64_t end = 0, ignored;

        if (image_size < 2 * RS_BLOCK_SIZE || image_size > RS_IMAGE_SIZE_MAX || image_size % RS_BLOCK_SIZE != 0)
                return rs_fail(err, SIZE, "an image of %llu bytes", (unsigned long long) image_size);
        l.data_offset = kind == SLOT_KIND_LUKS2 ? SLOT_DATA_OFFSET : 0;
        if (slot_size < l.data_offset)
                return too_large(slot_size, image_size, err);
        l.data_size = slot_size - l.data_offset;
        l.data_size -= l.data_size % RS_BLOCK_SIZE;
        hashtree_layout(image_size, &l.levels);
        if (!append(&end, image_size, &ignored))
                return too_large(slot_size, image_size, err);
        if (kind == SLOT_KIND_LUKS2) {
                l.trailer_size = (uint64_t) manifest_cms_size + 2 * RS_BLOCK_SIZE - 1;
                l.trailer_size -= l.trailer_size % RS_BLOCK_SIZE;
                if (manifest_cms_size > RS_MANIFEST_CMS_MAX || !append(&end, RS_BLOCK_SIZE, &l.superblock) ||
                    !append(&end, l.levels.total_blocks * RS_BLOCK_SIZE, &l.tree) ||
                    !append(&end, l.trailer_size, &l.trailer) || !append(&end, RS_BLOCK_SIZE, &ignored))
                        return too_large(slot_size, image_size, err);
                l.leaves = l.tree + l.levels.level_offset[0] * RS_BLOCK_SIZE;
        }
        if (end > l.data_size)
                return too_large(slot_size, image_size, err);
        if (kind == SLOT_KIND_LUKS2)
                l.locator = l.data_size - RS_BLOCK_SIZE;
        *ret = l;
        return 0;
}
