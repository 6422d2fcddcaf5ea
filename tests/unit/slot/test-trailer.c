/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Locator and trailer as they are read at boot: what the writer writes is understood, everything else is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sys/mman.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/crypto/digest.h>
#include <reseal/format/limits.h>
#include <reseal/slot/layout.h>
#include <reseal/slot/trailer.h>

#define BLOCKS 64u
#define SIZE ((uint64_t) BLOCKS * RS_BLOCK_SIZE)
#define IMAGE (16u * RS_BLOCK_SIZE)
#define TRAILER (18u * RS_BLOCK_SIZE)
#define CMS 5000u

static uint8_t volume[SIZE];

static void put(uint64_t at, uint64_t value, size_t size) {
        for (size_t i = 0; i < size; i++)
                volume[at + i] = (uint8_t) (value >> (8 * (size - 1 - i)));
}

static void seal_locator(void) {
        RsError err = RS_ERROR_INIT;
        uint8_t *locator = volume + SIZE - RS_BLOCK_SIZE;

        assert_int_equal(digest_sha256(SPAN(locator, 32), locator + 32, &err), 0);
}

static void make(void) {
        uint64_t locator = SIZE - RS_BLOCK_SIZE;

        memset(volume, 0, sizeof(volume));
        memcpy(volume + locator, SLOT_LOCATOR_MAGIC, 8);
        put(locator + 8, 1, 4);
        put(locator + 16, IMAGE, 8);
        put(locator + 24, TRAILER, 8);
        seal_locator();
        memcpy(volume + TRAILER, SLOT_TRAILER_MAGIC, 8);
        put(TRAILER + 8, 1, 4);
        put(TRAILER + 12, CMS, 4);
        memset(volume + TRAILER + 16, 0xab, 32);
        put(TRAILER + 48, 2, 4);
        memset(volume + TRAILER + RS_BLOCK_SIZE, 0x30, CMS);
}

static RsReason read_it(uint64_t size, SlotTrailer *ret) {
        _cleanup_(closep) int fd = memfd_create("volume", MFD_CLOEXEC);
        RsError err = RS_ERROR_INIT;

        assert_true(fd >= 0);
        assert_int_equal(file_pwrite_all(fd, volume, sizeof(volume), 0, &err), 0);
        return slot_trailer_read(fd, size, ret, &err) < 0 ? err.reason : RS_REASON_NONE;
}

static void refused(const char *what) {
        SlotTrailer t = { .image_number = 77 };

        if (read_it(SIZE, &t) != RS_REASON_SLOT_CONTENT)
                fail_msg("%s: not refused as SlotContent", what);
        assert_int_equal(t.image_number, 77);
        make();
}

static void trailer_is_found_through_the_locator(void **state) {
        SlotTrailer t = { 0 };

        (void) state;
        make();
        /* a partition need not end with a whole block */
        assert_int_equal(read_it(SIZE + 512, &t), RS_REASON_NONE);
        assert_int_equal(t.image_size, IMAGE);
        assert_int_equal(t.offset, TRAILER);
        assert_int_equal(t.image_number, 2);
        assert_int_equal(t.bundle_id[31], 0xab);
        assert_int_equal(t.manifest_cms_size, CMS);
        assert_int_equal(t.manifest_cms[CMS - 1], 0x30);
        slot_trailer_done(&t);
}

static void volume_that_was_never_written_is_refused(void **state) {
        (void) state;
        memset(volume, 0, sizeof(volume));
        refused("zeros");
        memset(volume, 0xff, sizeof(volume));
        refused("ones");
}

static void locator_with_any_flipped_bit_is_refused(void **state) {
        (void) state;
        make();
        for (unsigned bit = 0; bit < 8 * 64; bit++) {
                volume[SIZE - RS_BLOCK_SIZE + bit / 8] ^= (uint8_t) (1u << (bit % 8));
                refused("a flipped bit");
        }
        volume[SIZE - 1] = 1;
        refused("something behind the digest");
}

static void locator_that_leads_out_of_the_slot_is_refused(void **state) {
        static const uint64_t places[] = { 0, IMAGE, TRAILER + 1, SIZE - 2 * RS_BLOCK_SIZE, SIZE - RS_BLOCK_SIZE, SIZE,
                                           UINT64_MAX - RS_BLOCK_SIZE + 1, UINT64_MAX };

        (void) state;
        make();
        for (size_t i = 0; i < ELEMENTSOF(places); i++) {
                put(SIZE - RS_BLOCK_SIZE + 24, places[i], 8);
                seal_locator();
                refused("a place");
        }
}

static void manifest_length_is_held_against_limit_and_slot(void **state) {
        static const uint64_t lengths[] = { 0, (BLOCKS - 20) * RS_BLOCK_SIZE + 1, RS_MANIFEST_CMS_MAX + 1, UINT32_MAX };

        (void) state;
        make();
        for (size_t i = 0; i < ELEMENTSOF(lengths); i++) {
                put(TRAILER + 12, lengths[i], 4);
                refused("a length");
        }
        put(TRAILER + 48, RS_IMAGES_MAX, 4);
        refused("image number MAX");
        put(TRAILER + 52, 1, 4);
        refused("something behind the head");
        put(TRAILER + 8, 2, 4);
        refused("version 2");
}

static void longest_manifest_is_read(void **state) {
        SlotTrailer t = { 0 };

        (void) state;
        make();
        put(TRAILER + 12, RS_MANIFEST_CMS_MAX, 4);
        assert_int_equal(read_it(SIZE, &t), RS_REASON_NONE);
        assert_int_equal(t.manifest_cms_size, RS_MANIFEST_CMS_MAX);
        slot_trailer_done(&t);
}

static void volume_too_small_for_anything_is_refused(void **state) {
        SlotTrailer t;

        (void) state;
        make();
        for (uint64_t size = 0; size < RS_IMAGE_SIZE_MIN + 3 * RS_BLOCK_SIZE; size += 512)
                assert_int_equal(read_it(size, &t), RS_REASON_SLOT_CONTENT);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(trailer_is_found_through_the_locator),
                cmocka_unit_test(volume_that_was_never_written_is_refused),
                cmocka_unit_test(locator_with_any_flipped_bit_is_refused),
                cmocka_unit_test(locator_that_leads_out_of_the_slot_is_refused),
                cmocka_unit_test(manifest_length_is_held_against_limit_and_slot),
                cmocka_unit_test(longest_manifest_is_read),
                cmocka_unit_test(volume_too_small_for_anything_is_refused),
        };

        return cmocka_run_group_tests_name("slot-trailer", tests, NULL, NULL);
}
