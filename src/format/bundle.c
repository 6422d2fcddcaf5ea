/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * bundle - the section table of docs/format-bundle.md section 1.
 *
 * Nothing here is signed, so the layout has no freedom: which sections there are follows from the flag and the
 * count, where they lie follows from their lengths.  A reader that holds every stored number against the one
 * that must stand there cannot be led to read the same bytes as two things (cross-section confusion), nor past
 * the end of the file.
 */
#include <string.h>

#include <reseal/format/bundle.h>

#define BUNDLE_MAGIC "RESEALB1"
#define BUNDLE_VERSION 1u
#define FLAG_ENCRYPTED 1u
#define SECTION_SIZE 24u

enum {
        SECTION_MANIFEST = 1,
        SECTION_TRANSPORT = 4,
        SECTION_TABLE = 16,
        SECTION_FRAMES = 17,
};

/* One place in the order of sections: what stands there and what its length may be. */
typedef struct Place {
        uint32_t type;
        uint32_t image;
        uint64_t min;
        uint64_t max;
        BundleSection *section;
} Place;

/* The place with this number; there is none behind the last image's. */
static Place place_of(BundleHeader *h, uint32_t number) {
        uint32_t tag = h->encrypted ? RS_TAG_SIZE : 0, image;

        if (number == 0)
                return (Place){ SECTION_MANIFEST, 0, 1, RS_MANIFEST_CMS_MAX, &h->manifest };
        if (h->encrypted && number == 1)
                return (Place){ SECTION_TRANSPORT, 0, 1, RS_TRANSPORT_MAX, &h->transport };
        number -= h->encrypted ? 2 : 1;
        image = number / 2;
        if (number % 2 == 0)
                return (Place){ SECTION_TABLE, image, 1 + tag, RS_TABLE_SIZE_MAX + tag, &h->tables[image] };
        /* Encrypted or not, no payload is larger than the image; each carries at most one tag per chunk. */
        return (Place){ SECTION_FRAMES, image, 0, RS_IMAGE_SIZE_MAX + (uint64_t) tag * RS_CHUNKS_MAX,
                        &h->frames[image] };
}

static uint32_t n_sections_of(const BundleHeader *h) {
        return (h->encrypted ? 2u : 1u) + 2u * h->n_images;
}

int bundle_header_size(Span fixed, uint32_t *ret_size, RsError *err) {
        Reader r = READER(fixed);
        uint32_t version, flags, n_sections, size;
        Span magic;

        if (fixed.size < RS_BUNDLE_HEADER_FIXED)
                return rs_fail(err, FORMAT, "bundle: %zu bytes are no header", fixed.size);
        magic = reader_span(&r, 8);
        if (!span_equal(magic, SPAN(BUNDLE_MAGIC, 8)))
                return rs_fail(err, FORMAT, "bundle: bad magic: not a Reseal bundle");
        version = reader_u32(&r);
        if (version != BUNDLE_VERSION)
                return rs_fail(err, FORMAT, "bundle: version %u is not known", version);
        flags = reader_u32(&r);
        if ((flags & ~FLAG_ENCRYPTED) != 0)
                return rs_fail(err, FORMAT, "bundle: unknown flags 0x%x", flags);
        n_sections = reader_u32(&r);
        if (n_sections < 3 || n_sections > RS_BUNDLE_SECTIONS_MAX)
                return rs_fail(err, FORMAT, "bundle: %u sections", n_sections);
        size = reader_u32(&r);
        if (size != RS_BUNDLE_HEADER_FIXED + SECTION_SIZE * n_sections)
                return rs_fail(err, FORMAT, "bundle: header size %u for %u sections", size, n_sections);
        *ret_size = size;
        return 0;
}

/* Where a section must begin and what it may take; *offset moves behind it. */
static int parse_section(Reader *r, const Place *place, uint32_t number, uint64_t *offset, RsError *err) {
        uint32_t type = reader_u32(r), image = reader_u32(r);
        uint64_t at = reader_u64(r), length = reader_u64(r);

        if (type != place->type || image != place->image)
                return rs_fail(err, FORMAT,
                               "bundle: section %u is of type %u for image %u, expected %u for %u", number,
                               type, image, place->type, place->image);
        if (length < place->min || length > place->max)
                return rs_fail(err, FORMAT, "bundle: section %u has %llu bytes", number,
                               (unsigned long long) length);
        if (at != *offset)
                return rs_fail(err, FORMAT, "bundle: section %u does not begin where the one before ends",
                               number);
        *place->section = (BundleSection){ .offset = at, .length = length };
        *offset += length; /* at most 34 times 2^35: cannot wrap */
        return 0;
}

int bundle_header_parse(Span header, BundleHeader *ret, RsError *err) {
        Reader r = READER(header);
        BundleHeader h = { 0 };
        uint32_t n_sections;
        uint64_t offset;
        int q;

        q = bundle_header_size(header, &h.header_size, err);
        if (q < 0)
                return q;
        if (header.size != h.header_size)
                return rs_fail(err, FORMAT, "bundle: header has %zu bytes instead of %u", header.size,
                               h.header_size);
        (void) reader_span(&r, 12); /* magic and version: judged above */
        h.encrypted = (reader_u32(&r) & FLAG_ENCRYPTED) != 0;
        n_sections = reader_u32(&r);
        (void) reader_u32(&r);
        h.file_size = reader_u64(&r);
        h.n_images = (n_sections - (h.encrypted ? 2 : 1)) / 2;
        if (h.n_images == 0 || h.n_images > RS_IMAGES_MAX || n_sections != n_sections_of(&h))
                return rs_fail(err, FORMAT, "bundle: %u sections are no whole number of images", n_sections);

        offset = h.header_size;
        for (uint32_t i = 0; i < n_sections; i++) {
                Place place = place_of(&h, i);

                q = parse_section(&r, &place, i, &offset, err);
                if (q < 0)
                        return q;
        }
        if (offset != h.file_size)
                return rs_fail(err, FORMAT, "bundle: sections end at %llu, the file at %llu",
                               (unsigned long long) offset, (unsigned long long) h.file_size);
        if (reader_finish(&r) < 0)
                return rs_fail(err, FORMAT, "bundle: header of a wrong length");
        *ret = h;
        return 0;
}

int bundle_header_encode(BundleHeader *h, Encoder *e, RsError *err) {
        uint32_t n_sections = n_sections_of(h);
        uint64_t offset;

        if (h->n_images == 0 || h->n_images > RS_IMAGES_MAX)
                return rs_fail(err, FORMAT, "bundle: %u images", h->n_images);
        h->header_size = RS_BUNDLE_HEADER_FIXED + SECTION_SIZE * n_sections;
        offset = h->header_size;
        for (uint32_t i = 0; i < n_sections; i++) {
                Place place = place_of(h, i);

                if (place.section->length < place.min || place.section->length > place.max)
                        return rs_fail(err, FORMAT, "bundle: section %u has %llu bytes", i,
                                       (unsigned long long) place.section->length);
                place.section->offset = offset;
                offset += place.section->length;
        }
        h->file_size = offset;

        encoder_bytes(e, BUNDLE_MAGIC, 8);
        encoder_u32(e, BUNDLE_VERSION);
        encoder_u32(e, h->encrypted ? FLAG_ENCRYPTED : 0);
        encoder_u32(e, n_sections);
        encoder_u32(e, h->header_size);
        encoder_u64(e, h->file_size);
        for (uint32_t i = 0; i < n_sections; i++) {
                Place place = place_of(h, i);

                encoder_u32(e, place.type);
                encoder_u32(e, place.image);
                encoder_u64(e, place.section->offset);
                encoder_u64(e, place.section->length);
        }
        return encoder_finish(e) < 0 ? rs_fail_oom(err) : 0;
}
