/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * trailer - locator, trailer head, manifest: three reads that depend on each other.
 *
 * What image.c wrote at W5 is read here at every boot, and it is the only thing that is read before a signature has
 * been checked.  The digest in the locator is no protection, it tells a torn or never written slot from a finished
 * one; every number is held against the size of the volume before it leads anywhere.
 */
#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/base/span.h>
#include <reseal/crypto/digest.h>
#include <reseal/format/limits.h>
#include <reseal/slot/layout.h>
#include <reseal/slot/trailer.h>

#define VERSION 1u
#define LOCATOR_COVERED 32u /* bytes before the digest in it */

static bool is_magic(Reader *r, const char *magic) {
        return span_equal(reader_span(r, 8), SPAN(magic, 8));
}

static int parse_locator(Span block, uint64_t data_size, SlotTrailer *t, RsError *err) {
        uint8_t want[SHA256_SIZE], have[SHA256_SIZE];
        Reader r = READER(block);
        int e;

        if (!is_magic(&r, SLOT_LOCATOR_MAGIC))
                return rs_fail(err, SLOT_CONTENT, "no locator at the end: nothing was ever installed completely");
        if (reader_u32(&r) != VERSION)
                return rs_fail(err, SLOT_CONTENT, "the locator is of another version");
        reader_zeros(&r, 4);
        t->image_size = reader_u64(&r);
        t->offset = reader_u64(&r);
        reader_copy(&r, want, sizeof(want));
        reader_zeros(&r, RS_BLOCK_SIZE - LOCATOR_COVERED - SHA256_SIZE);
        e = digest_sha256(SPAN(block.data, LOCATOR_COVERED), have, err);
        if (e < 0)
                return e;
        if (reader_finish(&r) < 0 || memcmp(want, have, sizeof(want)) != 0)
                return rs_fail(err, SLOT_CONTENT, "the locator is damaged");
        /* Between image and locator, a head and a block of the manifest at least. */
        if (t->offset % RS_BLOCK_SIZE != 0 || t->offset <= t->image_size || t->offset > data_size - 3 * RS_BLOCK_SIZE)
                return rs_fail(err, SLOT_CONTENT, "the locator leads out of the slot");
        return 0;
}

static int parse_head(Span block, uint64_t data_size, SlotTrailer *t, RsError *err) {
        Reader r = READER(block);

        if (!is_magic(&r, SLOT_TRAILER_MAGIC) || reader_u32(&r) != VERSION)
                return rs_fail(err, SLOT_CONTENT, "there is no trailer where the locator says");
        t->manifest_cms_size = reader_u32(&r);
        reader_copy(&r, t->bundle_id, sizeof(t->bundle_id));
        t->image_number = reader_u32(&r);
        reader_zeros(&r, RS_BLOCK_SIZE - 52);
        if (reader_finish(&r) < 0)
                return rs_fail(err, SLOT_CONTENT, "the trailer is damaged");
        if (t->manifest_cms_size == 0 || t->manifest_cms_size > RS_MANIFEST_CMS_MAX ||
            t->manifest_cms_size > data_size - 2 * RS_BLOCK_SIZE - t->offset)
                return rs_fail(err, SLOT_CONTENT, "a manifest of %zu bytes", t->manifest_cms_size);
        if (t->image_number >= RS_IMAGES_MAX)
                return rs_fail(err, SLOT_CONTENT, "the trailer speaks of image %u", t->image_number);
        return 0;
}

int slot_trailer_read(int fd, uint64_t data_size, SlotTrailer *ret, RsError *err) {
        _cleanup_(slot_trailer_done) SlotTrailer t = { 0 };
        uint8_t block[RS_BLOCK_SIZE];
        int r;

        data_size -= data_size % RS_BLOCK_SIZE;
        if (data_size < RS_IMAGE_SIZE_MIN + 3 * RS_BLOCK_SIZE)
                return rs_fail(err, SLOT_CONTENT, "a volume of %llu bytes", (unsigned long long) data_size);
        r = file_pread_all(fd, block, sizeof(block), data_size - RS_BLOCK_SIZE, err);
        if (r == 0)
                r = parse_locator(SPAN_ARRAY(block), data_size, &t, err);
        if (r == 0)
                r = file_pread_all(fd, block, sizeof(block), t.offset, err);
        if (r == 0)
                r = parse_head(SPAN_ARRAY(block), data_size, &t, err);
        if (r < 0)
                return r;
        assert(t.manifest_cms_size > 0); /* parse_head */
        t.manifest_cms = malloc(t.manifest_cms_size);
        if (!t.manifest_cms)
                return rs_fail_oom(err);
        r = file_pread_all(fd, t.manifest_cms, t.manifest_cms_size, t.offset + RS_BLOCK_SIZE, err);
        if (r < 0)
                return r;
        *ret = t;
        t.manifest_cms = NULL; /* handed over */
        return 0;
}

void slot_trailer_done(SlotTrailer *t) {
        free(t->manifest_cms);
        t->manifest_cms = NULL;
}
