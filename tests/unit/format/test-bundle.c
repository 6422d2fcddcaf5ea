/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Section table: one layout for each set of lengths, everything else refused as Format (format-bundle 1). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <string.h>

#include <reseal/format/bundle.h>

static BundleHeader sample(bool encrypted, uint32_t n_images) {
        BundleHeader h = { .encrypted = encrypted, .n_images = n_images };

        h.manifest.length = 1000;
        h.transport.length = encrypted ? 500 : 0;
        h.links.length = n_images == 2 ? 4000 : 0;
        h.crls.length = n_images == 2 || n_images == RS_IMAGES_MAX ? 700 : 0;
        for (uint32_t i = 0; i < n_images; i++) {
                h.tables[i].length = 112 + 16;
                h.frames[i].length = i % 2 == 0 ? 300000 : 0;
        }
        return h;
}

static void encode(BundleHeader *h, Encoder *e) {
        RsError err = RS_ERROR_INIT;

        assert_int_equal(bundle_header_encode(h, e, &err), 0);
        assert_int_equal(e->size, h->header_size);
}

static void expect_refused(Span bytes, const char *words) {
        BundleHeader h = { .n_images = 77 };
        RsError err = RS_ERROR_INIT;

        assert_true(bundle_header_parse(bytes, &h, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_FORMAT);
        assert_int_equal(h.n_images, 77);
        if (!strstr(err.text, words))
                fail_msg("\"%s\" does not say \"%s\"", err.text, words);
}

static void parse_gives_back_what_encode_was_given(void **state) {
        static const uint32_t counts[] = { 1, 2, RS_IMAGES_MAX };

        (void) state;
        for (unsigned k = 0; k < 2 * ELEMENTSOF(counts); k++) {
                BundleHeader h = sample(k % 2 == 1, counts[k / 2]), again;
                _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
                RsError err = RS_ERROR_INIT;
                uint32_t size;

                encode(&h, &e);
                assert_int_equal(bundle_header_size(SPAN(e.data, RS_BUNDLE_HEADER_FIXED), &size, &err), 0);
                assert_int_equal(size, e.size);
                assert_int_equal(bundle_header_parse(encoder_view(&e), &again, &err), 0);
                assert_memory_equal(&h, &again, sizeof(h));
                assert_int_equal(again.manifest.offset, again.header_size);
        }
}

static void seventeen_images_and_none_are_refused(void **state) {
        static const uint32_t counts[] = { 0, RS_IMAGES_MAX + 1 };

        (void) state;
        for (unsigned k = 0; k < ELEMENTSOF(counts); k++) {
                BundleHeader h = { .n_images = counts[k], .manifest.length = 1 };
                _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
                RsError err = RS_ERROR_INIT;

                assert_true(bundle_header_encode(&h, &e, &err) < 0);
                assert_int_equal(err.reason, RS_REASON_FORMAT);
        }
}

/* The first 32 bytes alone say how much a reader has to allocate. */
static void more_sections_than_the_cap_are_refused_before_they_are_read(void **state) {
        static const uint32_t counts[] = { RS_BUNDLE_SECTIONS_MAX, RS_BUNDLE_SECTIONS_MAX + 1 };

        (void) state;
        for (unsigned k = 0; k < ELEMENTSOF(counts); k++) {
                _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
                RsError err = RS_ERROR_INIT;
                uint32_t size = 0;

                encoder_bytes(&e, "RESEALB1", 8);
                encoder_u32(&e, 1);
                encoder_u32(&e, 1);
                encoder_u32(&e, counts[k]);
                encoder_u32(&e, RS_BUNDLE_HEADER_FIXED + 24 * counts[k]);
                encoder_zeros(&e, 8);
                int r = bundle_header_size(encoder_view(&e), &size, &err);
                if (k == 0) {
                        assert_int_equal(r, 0);
                        assert_int_equal(size, RS_BUNDLE_HEADER_MAX);
                } else {
                        assert_true(r < 0);
                        assert_int_equal(err.reason, RS_REASON_FORMAT);
                        assert_int_equal(size, 0);
                }
        }
}

static void each_changed_byte_is_refused(void **state) {
        BundleHeader h = sample(true, 2);
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;

        (void) state;
        encode(&h, &e);
        for (size_t i = 0; i < e.size; i++)
                for (unsigned bit = 0; bit < 8; bit++) {
                        e.data[i] ^= (uint8_t) (1u << bit);
                        expect_refused(encoder_view(&e), "bundle:");
                        e.data[i] ^= (uint8_t) (1u << bit);
                }
}

static void each_shorter_and_longer_header_is_refused(void **state) {
        BundleHeader h = sample(true, 3);
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;

        (void) state;
        encode(&h, &e);
        for (size_t size = 0; size < e.size; size++)
                expect_refused(SPAN(e.data, size), "bundle:");
        encoder_u8(&e, 0);
        expect_refused(encoder_view(&e), "header has");
}

static void put_u64(uint8_t *at, uint64_t v) {
        for (unsigned i = 0; i < 8; i++)
                at[i] = (uint8_t) (v >> (56 - 8 * i));
}

/* Sets the length of one section and moves everything behind it, so that only the cap can object. */
static int with_length(bool encrypted, uint32_t number, uint64_t length, RsError *err) {
        BundleHeader h = sample(encrypted, 1);
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        uint32_t n_sections = encrypted ? 4 : 3;
        uint64_t offset;

        encode(&h, &e);
        offset = h.header_size;
        for (uint32_t i = 0; i < n_sections; i++) {
                uint8_t *at = e.data + RS_BUNDLE_HEADER_FIXED + 24 * i;
                Reader r = READER(SPAN(at + 16, 8));
                uint64_t own = i == number ? length : reader_u64(&r);

                put_u64(at + 8, offset);
                put_u64(at + 16, own);
                offset += own;
        }
        put_u64(e.data + 24, offset);
        return bundle_header_parse(encoder_view(&e), &h, err);
}

static void each_cap_holds_at_its_value_and_not_above(void **state) {
        const struct {
                bool encrypted;
                uint32_t number;
                uint64_t max;
        } caps[] = {
                { false, 0, RS_MANIFEST_CMS_MAX },
                { true, 0, RS_MANIFEST_CMS_MAX },
                { true, 1, RS_TRANSPORT_MAX },
                { false, 1, RS_TABLE_SIZE_MAX },
                { true, 2, RS_TABLE_SIZE_MAX + RS_TAG_SIZE },
                { false, 2, RS_IMAGE_SIZE_MAX },
                { true, 3, RS_IMAGE_SIZE_MAX + (uint64_t) RS_TAG_SIZE * RS_CHUNKS_MAX },
        };

        (void) state;
        for (unsigned i = 0; i < ELEMENTSOF(caps); i++) {
                RsError err = RS_ERROR_INIT;

                assert_int_equal(with_length(caps[i].encrypted, caps[i].number, caps[i].max, &err), 0);
                assert_true(with_length(caps[i].encrypted, caps[i].number, caps[i].max + 1, &err) < 0);
                assert_int_equal(err.reason, RS_REASON_FORMAT);
                err = RS_ERROR_INIT;
                assert_true(with_length(caps[i].encrypted, caps[i].number, UINT64_MAX, &err) < 0);
                assert_int_equal(err.reason, RS_REASON_FORMAT);
        }
}

static void links_and_lists_have_caps_too(void **state) {
        (void) state;
        for (unsigned k = 0; k < 4; k++) {
                BundleHeader h = sample(false, 1);
                _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
                RsError err = RS_ERROR_INIT;

                h.links.length = k < 2 ? RS_LINKS_MAX + k : 0;
                h.crls.length = k < 2 ? 0 : RS_CRLS_MAX + k - 2;
                assert_int_equal(bundle_header_encode(&h, &e, &err) == 0, k % 2 == 0);
        }
}

static void an_empty_manifest_is_refused_and_empty_frames_are_not(void **state) {
        RsError err = RS_ERROR_INIT;

        (void) state;
        assert_int_equal(with_length(false, 2, 0, &err), 0);
        assert_true(with_length(false, 0, 0, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_FORMAT);
}

static void a_gap_between_sections_is_refused(void **state) {
        BundleHeader h = sample(false, 1);
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;

        (void) state;
        encode(&h, &e);
        put_u64(e.data + RS_BUNDLE_HEADER_FIXED + 24 * 1 + 8, h.tables[0].offset + 1);
        expect_refused(encoder_view(&e), "does not begin where");
}

static void trailing_bytes_of_the_file_are_refused(void **state) {
        BundleHeader h = sample(false, 1);
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;

        (void) state;
        encode(&h, &e);
        put_u64(e.data + 24, h.file_size + 1);
        expect_refused(encoder_view(&e), "sections end at");
}

/* What is optional stands in one place only, and changes how many images there can be. */
static void links_and_lists_where_they_may_not_stand_are_refused(void **state) {
        BundleHeader h = sample(true, 1);
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT, both = ENCODER_INIT;

        (void) state;
        encode(&h, &e);
        for (uint8_t type = 2; type <= 3; type++)
                for (unsigned section = 0; section < 4; section++) {
                        uint8_t *at = e.data + RS_BUNDLE_HEADER_FIXED + 24 * section + 3, was = *at;

                        *at = type;
                        expect_refused(encoder_view(&e), "bundle:");
                        *at = was;
                }
        h = sample(true, 2);
        encode(&h, &both);
        both.data[RS_BUNDLE_HEADER_FIXED + 24 + 3] = 3; /* CRLS twice */
        expect_refused(encoder_view(&both), "bundle:");
        both.data[RS_BUNDLE_HEADER_FIXED + 48 + 3] = 2; /* CRLS, LINKS */
        expect_refused(encoder_view(&both), "bundle:");
}

static int add_size(void *userdata, Span crl, RsError *err) {
        (void) err;
        *(size_t *) userdata += crl.size;
        return 0;
}

static void revocation_lists_are_walked_within_their_caps(void **state) {
        static const uint8_t filler[RS_CRL_MAX + 1] = { 0x30 };
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT, more = ENCODER_INIT;
        Span lists[RS_CRLS_COUNT_MAX + 1];
        RsError err = RS_ERROR_INIT;
        size_t sum = 0;

        (void) state;
        for (uint32_t i = 0; i < ELEMENTSOF(lists); i++)
                lists[i] = SPAN(filler, RS_CRL_MAX);
        assert_int_equal(bundle_crls_encode(lists, RS_CRLS_COUNT_MAX, &e, &err), 0);
        assert_int_equal(e.size, RS_CRLS_MAX);
        assert_int_equal(bundle_crls_walk(encoder_view(&e), add_size, &sum, &err), 0);
        assert_int_equal(sum, RS_CRLS_COUNT_MAX * RS_CRL_MAX);
        assert_int_equal(bundle_crls_walk(SPAN_NULL, add_size, &sum, &err), 0);
        assert_true(bundle_crls_encode(lists, RS_CRLS_COUNT_MAX + 1, &more, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_FORMAT);
        lists[0].size++;
        assert_true(bundle_crls_encode(lists, 1, &more, &err) < 0);
        lists[0].size = 0;
        assert_true(bundle_crls_encode(lists, 1, &more, &err) < 0);
        for (unsigned change = 0; change < 4; change++) {
                size_t size = change == 0 ? e.size - 1 : change == 1 ? 3 : e.size;

                err = RS_ERROR_INIT;
                e.data[3] = change == 2 ? 7 : change == 3 ? 9 : 8;
                assert_true(bundle_crls_walk(SPAN(e.data, size), add_size, &sum, &err) < 0);
                assert_int_equal(err.reason, RS_REASON_FORMAT);
        }
}

static void reserved_section_types_are_refused(void **state) {
        static const uint8_t types[] = { 0, 5, 17, 18, 255 };
        BundleHeader h = sample(true, 1);
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;

        (void) state;
        encode(&h, &e);
        for (unsigned i = 0; i < ELEMENTSOF(types); i++) {
                e.data[RS_BUNDLE_HEADER_FIXED + 24 * 1 + 3] = types[i];
                expect_refused(encoder_view(&e), "expected 4");
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(parse_gives_back_what_encode_was_given),
                cmocka_unit_test(seventeen_images_and_none_are_refused),
                cmocka_unit_test(more_sections_than_the_cap_are_refused_before_they_are_read),
                cmocka_unit_test(each_changed_byte_is_refused),
                cmocka_unit_test(each_shorter_and_longer_header_is_refused),
                cmocka_unit_test(each_cap_holds_at_its_value_and_not_above),
                cmocka_unit_test(links_and_lists_have_caps_too),
                cmocka_unit_test(an_empty_manifest_is_refused_and_empty_frames_are_not),
                cmocka_unit_test(a_gap_between_sections_is_refused),
                cmocka_unit_test(trailing_bytes_of_the_file_are_refused),
                cmocka_unit_test(links_and_lists_where_they_may_not_stand_are_refused),
                cmocka_unit_test(revocation_lists_are_walked_within_their_caps),
                cmocka_unit_test(reserved_section_types_are_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
