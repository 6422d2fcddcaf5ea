/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Places in a slot and the size check (S21): at the limit, one block above, and numbers that would wrap. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <reseal/format/limits.h>
#include <reseal/slot/map.h>

#define B ((uint64_t) RS_BLOCK_SIZE)

static int fits(SlotKind kind, uint64_t slot, uint64_t image, size_t cms) {
        RsError err = RS_ERROR_INIT;
        ManifestImage i = { .size = image };
        Slot s = { .name = "x", .kind = kind, .size_bytes = slot };
        int r = slot_check_size(&s, &i, cms, &err);

        assert_true(r == 0 || err.reason == RS_REASON_SIZE);
        return r == 0;
}

static void an_image_fits_to_the_last_block_and_no_further(void **state) {
        /* 300 leaves: 3 blocks of leaves and one above; trailer head and 5000 bytes: 3 blocks; superblock; locator. */
        uint64_t need = SLOT_DATA_OFFSET + 300 * B + B + 4 * B + 3 * B + B;

        (void) state;
        assert_true(fits(SLOT_KIND_LUKS2, need, 300 * B, 5000));
        assert_true(fits(SLOT_KIND_LUKS2, need + B - 1, 300 * B, 5000));
        assert_false(fits(SLOT_KIND_LUKS2, need - 1, 300 * B, 5000));
        assert_false(fits(SLOT_KIND_LUKS2, need - B, 300 * B, 5000));
        assert_false(fits(SLOT_KIND_LUKS2, need, 301 * B, 5000));
        assert_true(fits(SLOT_KIND_LUKS2, need, 300 * B, 8192));
        assert_false(fits(SLOT_KIND_LUKS2, need, 300 * B, 8193));
        assert_true(fits(SLOT_KIND_PLAIN, 300 * B, 300 * B, 5000));
        assert_false(fits(SLOT_KIND_PLAIN, 300 * B - 1, 300 * B, 5000));
}

static void numbers_that_would_wrap_are_refused(void **state) {
        (void) state;
        assert_false(fits(SLOT_KIND_LUKS2, UINT64_MAX, UINT64_MAX - B + 1, 0));
        assert_false(fits(SLOT_KIND_LUKS2, UINT64_MAX, UINT64_MAX, 0));
        assert_false(fits(SLOT_KIND_PLAIN, UINT64_MAX, UINT64_MAX - B + 1, 0));
        assert_false(fits(SLOT_KIND_LUKS2, UINT64_MAX, RS_IMAGE_SIZE_MAX, SIZE_MAX));
        assert_false(fits(SLOT_KIND_LUKS2, UINT64_MAX, RS_IMAGE_SIZE_MAX, RS_MANIFEST_CMS_MAX + 1));
        assert_true(fits(SLOT_KIND_LUKS2, UINT64_MAX, RS_IMAGE_SIZE_MAX, RS_MANIFEST_CMS_MAX));
        assert_false(fits(SLOT_KIND_LUKS2, UINT64_MAX, RS_IMAGE_SIZE_MAX + B, 0));
        assert_false(fits(SLOT_KIND_LUKS2, SLOT_DATA_OFFSET - 1, 2 * B, 0));
        assert_false(fits(SLOT_KIND_LUKS2, 0, 2 * B, 0));
        assert_false(fits(SLOT_KIND_LUKS2, 1 << 30, 0, 0));
        assert_false(fits(SLOT_KIND_LUKS2, 1 << 30, B, 0)); /* a single block has no tree */
        assert_true(fits(SLOT_KIND_LUKS2, 1 << 30, 2 * B, 0));
        assert_false(fits(SLOT_KIND_LUKS2, 1 << 30, B + 1, 0));
}

static void parts_follow_each_other_without_gap_or_overlap(void **state) {
        RsError err = RS_ERROR_INIT;
        SlotLayout l;

        (void) state;
        assert_int_equal(slot_layout(SLOT_KIND_LUKS2, 1ull << 30, 20000 * B, 1, &l, &err), 0);
        assert_true(l.data_offset == SLOT_DATA_OFFSET && l.data_size == (1ull << 30) - SLOT_DATA_OFFSET);
        assert_true(l.superblock == 20000 * B && l.tree == l.superblock + B);
        assert_true(l.leaves == l.tree + 3 * B); /* 157 leaf blocks, 2 above, 1 on top */
        assert_true(l.trailer == l.leaves + 157 * B && l.trailer_size == 2 * B);
        assert_true(l.locator == l.data_size - B);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(an_image_fits_to_the_last_block_and_no_further),
                cmocka_unit_test(numbers_that_would_wrap_are_refused),
                cmocka_unit_test(parts_follow_each_other_without_gap_or_overlap),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
