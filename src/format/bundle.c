/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * bundle - the section table of docs/format-bundle.md section 1.
 *
 * Nothing here is signed, so the layout has no freedom: which sections there are follows from the flag, the types of
 * the two entries behind MANIFEST and the count, where they lie follows from their lengths.  A reader that holds every
 * stored number against the one that must stand there cannot be led to read the same bytes as two things
 * (cross-section confusion), nor past the end of the file.
 */
#include <string.h>

#include <reseal/format/bundle.h>

#define BUNDLE_MAGIC "RESEALB1"
#define BUNDLE_VERSION 1u
#define FLAG_ENCRYPTED 1u
#define SECTION_SIZE 24u

enum {
        SECTION_MANIFEST = 1,
        SECTION_LINKS = 2,
        SECTION_CRLS = 3,
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

/* The sections that may be there or not. */
typedef struct Options {
        bool links, crls, transport;
} Options;

static uint32_t n_before_images(const Options *o) {
        return 1u + (o->links ? 1 : 0) + (o->crls ? 1 : 0) + (o->transport ? 1 : 0);
}

/* The place with this number; there is none behind the last image's. */
static Place place_of(BundleHeader *h, const Options *o, uint32_t number) {
        uint32_t tag = h->encrypted ? RS_TAG_SIZE : 0, image;

        if (number == 0)
                return (Place){ SECTION_MANIFEST, 0, 1, RS_MANIFEST_CMS_MAX, &h->manifest };
        if (o->links && number == 1)
                return (Place){ SECTION_LINKS, 0, 4, RS_LINKS_MAX, &h->links };
        if (o->crls && number == 1u + (o->links ? 1 : 0))
                return (Place){ SECTION_CRLS, 0, 4, RS_CRLS_MAX, &h->crls };
        if (o->transport && number + 1 == n_before_images(o))
                return (Place){ SECTION_TRANSPORT, 0, 1, RS_TRANSPORT_MAX, &h->transport };
        number -= n_before_images(o);
        image = number / 2;
        if (number % 2 == 0)
                return (Place){ SECTION_TABLE, image, 1 + tag, RS_TABLE_SIZE_MAX + tag, &h->tables[image] };
        /* Encrypted or not, no payload is larger than the image; each carries at most one tag per chunk. */
        return (Place){ SECTION_FRAMES, image, 0, RS_IMAGE_SIZE_MAX + (uint64_t) tag * RS_CHUNKS_MAX,
                        &h->frames[image] };
}

/* What the entries behind MANIFEST say they are; everything else about them is held against place_of. */
static Options look_ahead(Span header, bool encrypted, uint32_t n_sections) {
        Options o = { .transport = encrypted };
        Reader r = READER(header);

        (void) reader_span(&r, RS_BUNDLE_HEADER_FIXED + SECTION_SIZE);
        for (uint32_t i = 1; i < n_sections && i <= 2; i++) {
                uint32_t type = reader_u32(&r);

                (void) reader_span(&r, SECTION_SIZE - 4);
                o.links = o.links || (i == 1 && type == SECTION_LINKS);
                o.crls = o.crls || type == SECTION_CRLS;
        }
        return o;
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
        *offset += length; /* at most 36 times 2^35: cannot wrap */
        return 0;
}

int bundle_header_parse(Span header, BundleHeader *ret, RsError *err) {
        Reader r = READER(header);
        BundleHeader h = { 0 };
        uint32_t n_sections;
        uint64_t offset;
        Options options;
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
        options = look_ahead(header, h.encrypted, n_sections);
        if (n_sections >= n_before_images(&options))
                h.n_images = (n_sections - n_before_images(&options)) / 2;
        if (h.n_images == 0 || h.n_images > RS_IMAGES_MAX ||
            n_sections != n_before_images(&options) + 2 * h.n_images)
                return rs_fail(err, FORMAT, "bundle: %u sections are no whole number of images", n_sections);

        offset = h.header_size;
        for (uint32_t i = 0; i < n_sections; i++) {
                Place place = place_of(&h, &options, i);

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
        const Options options = { h->links.length > 0, h->crls.length > 0, h->encrypted };
        uint32_t n_sections = n_before_images(&options) + 2u * h->n_images;
        uint64_t offset;

        if (h->n_images == 0 || h->n_images > RS_IMAGES_MAX)
                return rs_fail(err, FORMAT, "bundle: %u images", h->n_images);
        h->header_size = RS_BUNDLE_HEADER_FIXED + SECTION_SIZE * n_sections;
        offset = h->header_size;
        for (uint32_t i = 0; i < n_sections; i++) {
                Place place = place_of(h, &options, i);

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
                Place place = place_of(h, &options, i);

                encoder_u32(e, place.type);
                encoder_u32(e, place.image);
                encoder_u64(e, place.section->offset);
                encoder_u64(e, place.section->length);
        }
        return encoder_finish(e) < 0 ? rs_fail_oom(err) : 0;
}

int bundle_crls_walk(Span section, int (*each)(void *userdata, Span crl, RsError *err), void *userdata, RsError *err) {
        Reader r = READER(section);
        uint32_t n;

        if (section.size == 0)
                return 0;
        n = reader_u32(&r);
        if (section.size > RS_CRLS_MAX || n > RS_CRLS_COUNT_MAX)
                return rs_fail(err, FORMAT, "bundle: %u revocation lists in %zu bytes", n, section.size);
        for (uint32_t i = 0; i < n; i++) {
                uint32_t size = reader_u32(&r);
                Span crl = reader_span(&r, size);
                int q;

                if (reader_failed(&r) || size == 0 || size > RS_CRL_MAX)
                        return rs_fail(err, FORMAT, "bundle: revocation list %u of %u bytes", i, size);
                q = each(userdata, crl, err);
                if (q < 0)
                        return q;
        }
        if (reader_finish(&r) < 0)
                return rs_fail(err, FORMAT, "bundle: bytes behind the last revocation list");
        return 0;
}

int bundle_crls_encode(const Span *crls, uint32_t n, Encoder *e, RsError *err) {
        if (n > RS_CRLS_COUNT_MAX)
                return rs_fail(err, FORMAT, "bundle: %u revocation lists, limit %u", n, RS_CRLS_COUNT_MAX);
        encoder_u32(e, n);
        for (uint32_t i = 0; i < n; i++) {
                if (crls[i].size == 0 || crls[i].size > RS_CRL_MAX)
                        return rs_fail(err, FORMAT, "bundle: a revocation list of %zu bytes", crls[i].size);
                encoder_u32(e, (uint32_t) crls[i].size);
                encoder_span(e, crls[i]);
        }
        return encoder_finish(e) < 0 ? rs_fail_oom(err) : 0;
}
