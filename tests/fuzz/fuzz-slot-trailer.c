/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What stands behind the image in a slot.  The input is the first 32 bytes of the locator and then the trailer; the
 * locator gets its digest here, which no fuzzer would find.  Refused with SlotContent, or all of it lies in the volume.
 */
#include <assert.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <reseal/base/file.h>
#include <reseal/crypto/digest.h>
#include <reseal/format/limits.h>
#include <reseal/slot/trailer.h>

#include "fuzz.h"

#define SIZE (32u * RS_BLOCK_SIZE)
#define LOCATOR (SIZE - RS_BLOCK_SIZE)
#define TRAILER (4u * RS_BLOCK_SIZE)
#define COVERED 32u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static uint8_t volume[SIZE];
        SlotTrailer t = { .image_number = 77 };
        RsError err = RS_ERROR_INIT;
        int fd;

        if (size < COVERED || size - COVERED > LOCATOR - TRAILER)
                return 0;
        memset(volume, 0, sizeof(volume));
        memcpy(volume + LOCATOR, data, COVERED);
        memcpy(volume + TRAILER, data + COVERED, size - COVERED);
        assert(digest_sha256(SPAN(data, COVERED), volume + LOCATOR + COVERED, &err) == 0);
        fd = memfd_create("volume", MFD_CLOEXEC);
        assert(fd >= 0 && file_pwrite_all(fd, volume, sizeof(volume), 0, &err) == 0);
        if (slot_trailer_read(fd, SIZE, &t, &err) < 0)
                assert(err.reason == RS_REASON_SLOT_CONTENT && t.image_number == 77 && !t.manifest_cms);
        else {
                FUZZ_ACCEPTED();
                assert(t.image_number < RS_IMAGES_MAX && t.image_size < t.offset);
                assert(t.manifest_cms_size > 0 && t.manifest_cms_size <= RS_MANIFEST_CMS_MAX);
                assert(t.offset + RS_BLOCK_SIZE + t.manifest_cms_size <= LOCATOR);
                assert(memcmp(t.manifest_cms, volume + t.offset + RS_BLOCK_SIZE, t.manifest_cms_size) == 0);
                slot_trailer_done(&t);
        }
        (void) close(fd);
        return 0;
}
