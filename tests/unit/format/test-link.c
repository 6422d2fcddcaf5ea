/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Link and chain record: one spelling, caps, sets in order (docs/format-chain.md 2 and 4; F2, F4, F9). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <reseal/format/link.h>

#define TEXT(s) SPAN((s), sizeof(s) - 1)

static ChainRecord record_sample(uint64_t index) {
        ChainRecord c = { .epoch = 3, .index = index };

        memset(c.line_tag, 0x11, sizeof(c.line_tag));
        memset(c.signer_spki, 0x22, sizeof(c.signer_spki));
        memset(c.manifest_digest, 0x33, sizeof(c.manifest_digest));
        memset(c.log_head, 0x44, sizeof(c.log_head));
        return c;
}

static Link sample(LinkKind kind, uint64_t index) {
        Link link = { .kind = kind, .record = record_sample(index) };

        link.record.flags = kind == LINK_BRIDGE ? CHAIN_RECORD_BRIDGED : 0;
        memset(link.chain_name, 0x55, sizeof(link.chain_name));
        link.signer = TEXT("signer certificate");
        link.authority = TEXT("authority certificate");
        link.endorser = kind == LINK_GENESIS ? SPAN_NULL : TEXT("endorser");
        link.endorser2 = kind == LINK_BRIDGE ? TEXT("second endorser") : SPAN_NULL;
        link.endorsement = kind == LINK_GENESIS ? SPAN_NULL : TEXT("endorsement");
        link.approval = TEXT("approval");
        link.possession = TEXT("possession");
        return link;
}

static void encode(const Link *link, Encoder *e) {
        RsError err = RS_ERROR_INIT;

        assert_int_equal(link_encode(link, e, &err), 0);
}

static void expect_refused(Span bytes, const char *words) {
        Link link = { .kind = 77 };
        RsError err = RS_ERROR_INIT;

        assert_true(link_parse(bytes, &link, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_CHAIN);
        assert_int_equal(link.kind, 77);
        if (!strstr(err.text, words))
                fail_msg("\"%s\" does not say \"%s\"", err.text, words);
}

static void expect_not_encoded(const Link *link) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        RsError err = RS_ERROR_INIT;

        assert_true(link_encode(link, &e, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_CHAIN);
        assert_int_equal(e.size, 0);
}

/* The bytes that docs/tpm.md, "Record", has for this record, written down by hand. */
static void a_record_has_the_bytes_of_the_document(void **state) {
        ChainRecord c = record_sample(0x0102030405060708), again = { 0 };
        uint8_t bytes[LINK_RECORD_SIZE], want[LINK_RECORD_SIZE] = { 'R', 'S', 'L', '1', 1, 1 };
        RsError err = RS_ERROR_INIT;

        (void) state;
        c.flags = CHAIN_RECORD_BRIDGED;
        memset(want + 8, 0x11, 16);
        want[27] = 3;
        memcpy(want + 32, "\1\2\3\4\5\6\7\10", 8);
        memset(want + 40, 0x22, 32);
        memset(want + 72, 0x33, 32);
        memset(want + 104, 0x44, 32);
        memcpy(want + 156, "\x0f\x3d\x19\x01", 4); /* zlib.crc32 of what stands before */
        chain_record_encode(&c, bytes);
        assert_memory_equal(bytes, want, sizeof(want));
        assert_int_equal(chain_record_parse(bytes, &again, &err), 0);
        assert_memory_equal(&again, &c, sizeof(c));
}

static void each_changed_bit_of_a_record_is_refused(void **state) {
        ChainRecord c = record_sample(7), again = { .epoch = 77 };
        uint8_t bytes[LINK_RECORD_SIZE];

        (void) state;
        chain_record_encode(&c, bytes);
        for (size_t i = 0; i < sizeof(bytes) * 8; i++) {
                RsError err = RS_ERROR_INIT;

                bytes[i / 8] ^= (uint8_t) (1u << i % 8);
                assert_true(chain_record_parse(bytes, &again, &err) < 0);
                assert_int_equal(err.reason, RS_REASON_CHAIN);
                assert_int_equal(again.epoch, 77);
                bytes[i / 8] ^= (uint8_t) (1u << i % 8);
        }
}

static void records_of_one_release_may_differ_in_way_and_history_only_together(void **state) {
        ChainRecord a = record_sample(7), b = a;

        (void) state;
        assert_true(chain_record_same_release(&a, &b));
        b.log_head[0] ^= 1;
        assert_false(chain_record_same_release(&a, &b));
        b.flags = CHAIN_RECORD_BRIDGED;
        assert_true(chain_record_same_release(&a, &b));
        b.manifest_digest[31] ^= 1;
        assert_false(chain_record_same_release(&a, &b));
        b = a;
        b.signer_spki[0] ^= 1;
        assert_false(chain_record_same_release(&a, &b));
        b = a;
        b.epoch++;
        assert_false(chain_record_same_release(&a, &b));
}

static void parse_gives_back_what_encode_was_given(void **state) {
        (void) state;
        for (LinkKind kind = LINK_NEXT; kind <= LINK_GENESIS; kind++) {
                _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
                Link link = sample(kind, LINK_INDEX_MAX), again;
                RsError err = RS_ERROR_INIT;

                encode(&link, &e);
                assert_int_equal(link_parse(encoder_view(&e), &again, &err), 0);
                assert_true(span_equal(again.bytes, encoder_view(&e)));
                assert_int_equal(again.kind, kind);
                assert_memory_equal(&again.record, &link.record, sizeof(link.record));
                assert_memory_equal(again.record_bytes, e.data + 16, sizeof(again.record_bytes));
                assert_memory_equal(again.chain_name, link.chain_name, sizeof(link.chain_name));
                assert_true(span_equal(again.signer, link.signer));
                assert_true(span_equal(again.authority, link.authority));
                assert_true(span_equal(again.endorser, link.endorser));
                assert_true(span_equal(again.endorser2, link.endorser2));
                assert_true(span_equal(again.endorsement, link.endorsement));
                assert_true(span_equal(again.approval, link.approval));
                assert_true(span_equal(again.possession, link.possession));
                assert_ptr_equal(again.possessed.data, e.data + 16);
                assert_int_equal(again.possessed.size, e.size - 16 - 2 - link.possession.size);
        }
}

static void a_draft_parses_and_a_link_without_certificates_does_not(void **state) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        Link link = sample(LINK_BRIDGE, 1), again;
        RsError err = RS_ERROR_INIT;

        (void) state;
        link.endorsement = link.approval = link.possession = SPAN_NULL;
        encode(&link, &e);
        assert_int_equal(link_parse(encoder_view(&e), &again, &err), 0);
        assert_int_equal(again.possession.size, 0);
        link.signer = SPAN_NULL;
        expect_not_encoded(&link);
        link = sample(LINK_NEXT, 1);
        link.authority = SPAN_NULL;
        expect_not_encoded(&link);
}

static void fields_that_do_not_fit_the_kind_are_refused(void **state) {
        Link link = sample(LINK_NEXT, 1);

        (void) state;
        link.endorser = SPAN_NULL;
        expect_not_encoded(&link);
        link = sample(LINK_NEXT, 1);
        link.endorser2 = TEXT("two");
        expect_not_encoded(&link);
        link = sample(LINK_BRIDGE, 1);
        link.endorser2 = SPAN_NULL;
        expect_not_encoded(&link);
        link = sample(LINK_GENESIS, 1);
        link.endorser = TEXT("one");
        expect_not_encoded(&link);
        link = sample(LINK_GENESIS, 1);
        link.endorsement = TEXT("signature");
        expect_not_encoded(&link);
        link = sample(LINK_NEXT, 1);
        link.record.flags = CHAIN_RECORD_BRIDGED;
        expect_not_encoded(&link);
        link = sample(LINK_BRIDGE, 1);
        link.record.flags = 0;
        expect_not_encoded(&link);
        link = sample(LINK_NEXT, 1);
        link.kind = 4;
        expect_not_encoded(&link);
        link.kind = 0;
        expect_not_encoded(&link);
}

static void index_and_epoch_hold_at_their_limits_and_not_above(void **state) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        Link link = sample(LINK_NEXT, 1);

        (void) state;
        link.record.epoch = LINK_EPOCH_MAX;
        encode(&link, &e);
        link.record.epoch++;
        expect_not_encoded(&link);
        link = sample(LINK_NEXT, 0);
        expect_not_encoded(&link);
        link = sample(LINK_NEXT, (uint64_t) LINK_INDEX_MAX + 1);
        expect_not_encoded(&link);
}

static void each_changed_bit_of_the_fixed_part_and_each_other_length_is_refused(void **state) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        Link link = sample(LINK_BRIDGE, 9);

        (void) state;
        encode(&link, &e);
        for (size_t i = 0; i < 212 * 8; i++) {
                if (i / 8 >= 176 && i / 8 < 210)
                        continue; /* the Name may be any */
                e.data[i / 8] ^= (uint8_t) (1u << i % 8);
                expect_refused(encoder_view(&e), "");
                e.data[i / 8] ^= (uint8_t) (1u << i % 8);
        }
        for (size_t size = 0; size < e.size; size++)
                expect_refused(SPAN(e.data, size), "");
        encoder_u8(&e, 0);
        expect_refused(encoder_view(&e), "says");
        e.data[15]++;
        expect_refused(encoder_view(&e), "do not fill");
}

static void a_link_holds_4096_bytes_and_not_one_more(void **state) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        static const uint8_t filler[65536] = { 0 };
        Link link = sample(LINK_NEXT, 9), again;
        RsError err = RS_ERROR_INIT;

        (void) state;
        encode(&link, &e);
        link.signer = SPAN(filler, link.signer.size + LINK_MAX - e.size);
        encoder_done(&e);
        encode(&link, &e);
        assert_int_equal(e.size, LINK_MAX);
        assert_int_equal(link_parse(encoder_view(&e), &again, &err), 0);
        link.signer.size++;
        expect_not_encoded(&link);
        link.signer.size = sizeof(filler);
        expect_not_encoded(&link);
        encoder_u8(&e, 0);
        expect_refused(encoder_view(&e), "must have");
}

static int count(void *userdata, const Link *link, RsError *err) {
        uint32_t *n = userdata;

        (void) err;
        assert_true(link->record.index >= 1);
        (*n)++;
        return 0;
}

static int stop_at_second(void *userdata, const Link *link, RsError *err) {
        uint32_t *n = userdata;

        (void) link;
        if (++*n == 2)
                return rs_fail(err, CHAIN_FORK, "here");
        return 0;
}

static void expect_set(Span set, uint32_t n_links) {
        RsError err = RS_ERROR_INIT;
        uint32_t n = 0;

        assert_int_equal(link_set_walk(set, count, &n, &err), 0);
        assert_int_equal(n, n_links);
}

static void expect_set_refused(Span set) {
        RsError err = RS_ERROR_INIT;
        uint32_t n = 0;

        assert_true(link_set_walk(set, count, &n, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_CHAIN);
}

static void a_set_is_walked_in_order_until_someone_objects(void **state) {
        _cleanup_(encoder_done) Encoder one = ENCODER_INIT, two = ENCODER_INIT, set = ENCODER_INIT;
        Link first = sample(LINK_NEXT, 4), second = sample(LINK_BRIDGE, 9);
        RsError err = RS_ERROR_INIT;
        uint32_t n = 0;

        (void) state;
        encode(&first, &one);
        encode(&second, &two);
        Span links[] = { encoder_view(&one), encoder_view(&two), encoder_view(&two) };
        assert_int_equal(link_set_encode(links, ELEMENTSOF(links), &set, &err), 0);
        expect_set(encoder_view(&set), 3);
        assert_true(link_set_walk(encoder_view(&set), stop_at_second, &n, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_CHAIN_FORK);
        assert_int_equal(n, 2);
        for (size_t size = 1; size < set.size; size++)
                expect_set_refused(SPAN(set.data, size));
        encoder_u8(&set, 0);
        expect_set_refused(encoder_view(&set));
}

static void an_empty_set_has_two_spellings(void **state) {
        _cleanup_(encoder_done) Encoder set = ENCODER_INIT;
        RsError err = RS_ERROR_INIT;

        (void) state;
        expect_set(SPAN_NULL, 0);
        assert_int_equal(link_set_encode(NULL, 0, &set, &err), 0);
        assert_int_equal(set.size, 4);
        expect_set(encoder_view(&set), 0);
}

static void a_set_out_of_order_is_refused_by_both_sides(void **state) {
        _cleanup_(encoder_done) Encoder one = ENCODER_INIT, two = ENCODER_INIT, set = ENCODER_INIT,
                                        bad = ENCODER_INIT;
        Link first = sample(LINK_NEXT, 4), second = sample(LINK_NEXT, 5);
        RsError err = RS_ERROR_INIT;

        (void) state;
        encode(&first, &one);
        encode(&second, &two);
        Span links[] = { encoder_view(&two), encoder_view(&one) };
        assert_true(link_set_encode(links, ELEMENTSOF(links), &set, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_CHAIN);
        encoder_u32(&bad, 2);
        encoder_span(&bad, links[0]);
        encoder_span(&bad, links[1]);
        expect_set_refused(encoder_view(&bad));
}

/* F4: the caps, at their value and above. */
static void a_set_holds_1024_links_and_2_mib(void **state) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT, set = ENCODER_INIT, large = ENCODER_INIT, raw = ENCODER_INIT;
        static const uint8_t filler[LINK_MAX] = { 0 };
        static Span links[LINK_SET_COUNT_MAX + 1];
        Link link = sample(LINK_NEXT, 4);
        RsError err = RS_ERROR_INIT;

        (void) state;
        encode(&link, &e);
        for (uint32_t i = 0; i < ELEMENTSOF(links); i++)
                links[i] = encoder_view(&e);
        assert_int_equal(link_set_encode(links, LINK_SET_COUNT_MAX, &set, &err), 0);
        expect_set(encoder_view(&set), LINK_SET_COUNT_MAX);
        assert_true(link_set_encode(links, LINK_SET_COUNT_MAX + 1, &raw, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_CHAIN);
        encoder_span(&set, links[0]);
        set.data[3]++; /* 1025 */
        expect_set_refused(encoder_view(&set));

        link.signer = SPAN(filler, link.signer.size + LINK_MAX - e.size);
        encode(&link, &large);
        for (uint32_t i = 0; i < ELEMENTSOF(links); i++)
                links[i] = encoder_view(&large);
        err = RS_ERROR_INIT;
        encoder_done(&raw);
        assert_int_equal(link_set_encode(links, LINK_SET_MAX / LINK_MAX - 1, &raw, &err), 0);
        expect_set(encoder_view(&raw), LINK_SET_MAX / LINK_MAX - 1);
        encoder_done(&raw);
        assert_true(link_set_encode(links, LINK_SET_MAX / LINK_MAX, &raw, &err) < 0); /* and 4 for the number */
        assert_int_equal(err.reason, RS_REASON_CHAIN);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_record_has_the_bytes_of_the_document),
                cmocka_unit_test(each_changed_bit_of_a_record_is_refused),
                cmocka_unit_test(records_of_one_release_may_differ_in_way_and_history_only_together),
                cmocka_unit_test(parse_gives_back_what_encode_was_given),
                cmocka_unit_test(a_draft_parses_and_a_link_without_certificates_does_not),
                cmocka_unit_test(fields_that_do_not_fit_the_kind_are_refused),
                cmocka_unit_test(index_and_epoch_hold_at_their_limits_and_not_above),
                cmocka_unit_test(each_changed_bit_of_the_fixed_part_and_each_other_length_is_refused),
                cmocka_unit_test(a_link_holds_4096_bytes_and_not_one_more),
                cmocka_unit_test(a_set_is_walked_in_order_until_someone_objects),
                cmocka_unit_test(an_empty_set_has_two_spellings),
                cmocka_unit_test(a_set_out_of_order_is_refused_by_both_sides),
                cmocka_unit_test(a_set_holds_1024_links_and_2_mib),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
