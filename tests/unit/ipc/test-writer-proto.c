/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Messages of the writer: each payload goes through unchanged, no other payload is taken; the table of requests is
 * complete.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <reseal/base/cleanup.h>
#include <reseal/ipc/writer-proto.h>

#define WHOLE(e) SPAN((e).data, (e).size)

static void hello_goes_through(void **state) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT, q = ENCODER_INIT;
        const WriterHello h = { .version = "1.2", .require_encryption = true, .line = "gateway" };
        char version[WRITER_VERSION_SIZE + 1];
        RsError err = RS_ERROR_INIT;
        WriterHello got;

        (void) state;
        writer_encode_hello(&e, &h);
        assert_int_equal(writer_decode_hello(WHOLE(e), &got, &err), 0);
        assert_memory_equal(&got, &h, sizeof(h));
        writer_encode_hello_request(&q, "1.2");
        assert_int_equal(writer_decode_hello_request(WHOLE(q), version, &err), 0);
        assert_string_equal(version, "1.2");
}

static void names_with_control_bytes_or_bytes_behind_the_end_are_refused(void **state) {
        char version[WRITER_VERSION_SIZE + 1] = "untouched";
        uint8_t bytes[WRITER_VERSION_SIZE] = "1.2";
        RsError err = RS_ERROR_INIT;

        (void) state;
        bytes[9] = 'x';
        assert_true(writer_decode_hello_request(SPAN_ARRAY(bytes), version, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_PROTOCOL);
        bytes[9] = 0;
        bytes[1] = '\n';
        assert_true(writer_decode_hello_request(SPAN_ARRAY(bytes), version, &err) < 0);
        assert_string_equal(version, "untouched");
}

static void slots_go_through(void **state) {
        char report[WRITER_REPORT_SIZE + 1] = { 0 };
        _cleanup_(freep) WriterSlotInfo *slots = calloc(WRITER_SLOTS_MAX + 1, sizeof(*slots));
        _cleanup_(freep) WriterSlotInfo *got = calloc(WRITER_SLOTS_MAX + 1, sizeof(*got));
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT, more = ENCODER_INIT;
        RsError err = RS_ERROR_INIT;
        uint32_t n = 0;

        (void) state;
        memset(report, 'r', sizeof(report) - 1);
        for (uint32_t i = 0; i <= WRITER_SLOTS_MAX; i++) {
                (void) snprintf(slots[i].name, sizeof(slots[i].name), "rootfs.%u", i);
                (void) snprintf(slots[i].class_name, sizeof(slots[i].class_name), "rootfs");
                slots[i].type = 1 + i % 2;
                slots[i].running = i & 1;
                slots[i].primary = i & 2;
                slots[i].bootable = i & 4;
                slots[i].good = i & 8;
                slots[i].busy = i & 16;
                slots[i].failed = i & 32;
                (void) snprintf(slots[i].report, sizeof(slots[i].report), "%.*s", (int) (2 * i), report);
                slots[i].tries_left = i;
                slots[i].size = (uint64_t) i << 33;
                slots[i].epoch = i;
        }
        writer_encode_slots(&e, slots, WRITER_SLOTS_MAX);
        assert_int_equal(writer_decode_slots(WHOLE(e), got, WRITER_SLOTS_MAX, &n, &err), 0);
        assert_int_equal(n, WRITER_SLOTS_MAX);
        assert_memory_equal(got, slots, WRITER_SLOTS_MAX * sizeof(*slots));
        assert_true(writer_decode_slots(WHOLE(e), got, WRITER_SLOTS_MAX - 1, &n, &err) < 0);
        writer_encode_slots(&more, slots, WRITER_SLOTS_MAX + 1);
        assert_true(writer_decode_slots(WHOLE(more), got, WRITER_SLOTS_MAX + 1, &n, &err) < 0);
}

static void state_offer_progress_go_through(void **state) {
        _cleanup_(encoder_done) Encoder e1 = ENCODER_INIT, e2 = ENCODER_INIT, e3 = ENCODER_INIT;
        const WriterState s = { .release = 7, .epoch = 2, .floor_epoch = 1, .running = "A", .primary = "B",
                                .trial_pending = true, .step = 5, .bundle_id = { 9 } };
        const WriterProgress p = { .step = 4, .image = 1, .done_bytes = 1ull << 40, .total_bytes = 1ull << 41 };
        WriterOffer o = { .bundle_id = { 1 }, .n_images = RS_IMAGES_MAX }, got_offer;
        _cleanup_(encoder_done) Encoder again = ENCODER_INIT;
        RsError err = RS_ERROR_INIT;
        WriterProgress got_progress;
        WriterState got;

        (void) state;
        writer_encode_state(&e1, &s);
        assert_int_equal(writer_decode_state(WHOLE(e1), &got, &err), 0);
        writer_encode_state(&again, &got);
        assert_true(span_equal(encoder_view(&e1), encoder_view(&again))); /* structures have padding */
        for (uint32_t i = 0; i < RS_IMAGES_MAX; i++) {
                o.images[i].wanted = i % 2;
                (void) snprintf(o.images[i].slot_name, sizeof(o.images[i].slot_name), "slot.%u", i);
        }
        writer_encode_offer(&e2, &o);
        assert_int_equal(writer_decode_offer(WHOLE(e2), &got_offer, &err), 0);
        assert_memory_equal(&got_offer, &o, sizeof(o));
        writer_encode_progress(&e3, &p);
        assert_int_equal(writer_decode_progress(WHOLE(e3), &got_progress, &err), 0);
        assert_memory_equal(&got_progress, &p, sizeof(p));
}

static void ranges_must_ascend_and_not_touch(void **state) {
        static const WriterRange bad[][2] = {
                { { 5, 0 }, { 9, 1 } }, { { 5, 2 }, { 7, 1 } }, { { 5, 2 }, { 6, 1 } }, { { 5, 2 }, { 1, 1 } },
                { { 5, 2 }, { RS_CHUNKS_MAX, 1 } }, { { 5, 2 }, { 9, UINT32_MAX } },
        };
        static const WriterRange good[2] = { { 0, 2 }, { 3, 1 } };
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        WriterRange got[2] = { { 77, 77 } };
        RsError err = RS_ERROR_INIT;
        uint32_t next = 77, n = 77;

        (void) state;
        writer_encode_ranges(&e, 2, good, 2);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                _cleanup_(encoder_done) Encoder b = ENCODER_INIT;

                err = RS_ERROR_INIT;
                writer_encode_ranges(&b, 0, bad[i], 2);
                assert_true(writer_decode_ranges(WHOLE(b), &next, got, 2, &n, &err) < 0);
                assert_int_equal(err.reason, RS_REASON_PROTOCOL);
        }
        assert_int_equal(next, 77);
        assert_int_equal(got[0].first, 77);
        assert_true(writer_decode_ranges(WHOLE(e), &next, got, 1, &n, &err) < 0);
        assert_int_equal(writer_decode_ranges(WHOLE(e), &next, got, 2, &n, &err), 0);
        assert_int_equal(n, 2);
        assert_memory_equal(got, good, sizeof(good));
}

static void frame_requests_are_held_to_their_limits(void **state) {
        static const WriterFrame bad[] = {
                { RS_IMAGES_MAX, 0, 0, 4096 },
                { 0, RS_CHUNKS_MAX, 0, 4096 },
                { 0, 0, WRITER_FRAMES_OUTSTANDING_MAX, 4096 },
                { 0, 0, 0, 0 },
                { 0, 0, 0, 4095 },
                { 0, 0, 0, RS_FRAME_SIZE_MAX + 4096 },
                { 0, 0, UINT32_MAX - 1, 4096 },
        };
        static const WriterFrame good[] = {
                { RS_IMAGES_MAX - 1, RS_CHUNKS_MAX - 1, WRITER_FRAMES_OUTSTANDING_MAX - 1, RS_FRAME_SIZE_MAX },
                { 0, 0, WRITER_NO_RING_SLOT, 4096 },
        };
        RsError err = RS_ERROR_INIT;
        WriterFrame f;

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                _cleanup_(encoder_done) Encoder e = ENCODER_INIT;

                writer_encode_frame_request(&e, &bad[i]);
                assert_true(writer_decode_frame_request(WHOLE(e), &f, &err) < 0);
        }
        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                _cleanup_(encoder_done) Encoder e = ENCODER_INIT;

                writer_encode_frame_request(&e, &good[i]);
                assert_int_equal(writer_decode_frame_request(WHOLE(e), &f, &err), 0);
                assert_memory_equal(&f, &good[i], sizeof(f));
        }
}

static void table_and_offer_and_mark_are_held_to_their_limits(void **state) {
        uint8_t report[WRITER_REPORT_SIZE] = "not active";
        char text[WRITER_REPORT_SIZE + 1];
        static const uint32_t tables[][3] = { { 0, 1, 1 }, { RS_IMAGES_MAX - 1, RS_TABLE_SIZE_MAX, 1 }, { 0, 0, 0 },
                                              { RS_IMAGES_MAX, 1, 0 }, { 0, RS_TABLE_SIZE_MAX + 1, 0 } };
        _cleanup_(freep) uint8_t *cms = calloc(1, RS_MANIFEST_CMS_MAX + 1);
        uint8_t mark[36] = { 0, 0, 0, 1, 'A' };
        char name[WRITER_NAME_SIZE + 1];
        RsError err = RS_ERROR_INIT;
        WriterMark what;
        bool below;
        uint32_t a, b;
        Span got;

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(tables); i++) {
                _cleanup_(encoder_done) Encoder e = ENCODER_INIT;

                writer_encode_table_request(&e, tables[i][0], tables[i][1]);
                assert_int_equal(writer_decode_table_request(WHOLE(e), &a, &b, &err) == 0, tables[i][2]);
        }
        for (size_t k = 0; k < 3; k++) {
                const size_t sizes[] = { 0, RS_MANIFEST_CMS_MAX, RS_MANIFEST_CMS_MAX + 1 };
                _cleanup_(encoder_done) Encoder e = ENCODER_INIT;

                writer_encode_offer_request(&e, SPAN(cms, sizes[k]));
                assert_int_equal(writer_decode_offer_request(WHOLE(e), &got, &err) == 0, k == 1);
                e.data[3] = 1; /* a flag that nobody knows */
                assert_true(writer_decode_offer_request(WHOLE(e), &got, &err) < 0);
        }
        assert_int_equal(writer_decode_reject_request(SPAN_ARRAY(report), text, &err), 0);
        assert_string_equal(text, "not active");
        report[3] = '\n';
        assert_true(writer_decode_reject_request(SPAN_ARRAY(report), text, &err) < 0);
        assert_true(writer_decode_reject_request(SPAN(report, sizeof(report) - 1), text, &err) < 0);
        assert_int_equal(writer_decode_mark_request(SPAN_ARRAY(mark), &what, &below, name, &err), 0);
        assert_string_equal(name, "A");
        assert_false(below);
        for (uint8_t flags = 0; flags < 3; flags++)
                for (uint8_t k = 0; k < 6; k++) {
                        mark[2] = flags;
                        mark[3] = k;
                        assert_int_equal(writer_decode_mark_request(SPAN_ARRAY(mark), &what, &below, name, &err) == 0,
                                         k >= 1 && k <= 3 && flags < 2);
                }
        assert_true(below);
}

static void time_and_trust_go_through(void **state) {
        WriterTime t = { .low = 5, .high = UINT64_MAX, .proven = true, .query_size = 2, .query = { 7, 8 } }, t2;
        WriterTrust w = { .reason = RS_REASON_TPM_REWOUND, .text = "why", .level = 2, .bridged = true, .release = 9,
                          .epoch = 1, .floor_epoch = 2, .accept = 3, .floor = 4, .crl_number = 5, .running_below = true,
                          .low = 1, .high = 2, .latest = 10, .seq = 11, .expires = 12, .fresh = true, .n_crls = 1,
                          .owner_auth_set = true, .in_lockout = true, .lockout_counter = 3, .max_tries = 31 },
                    w2;
        _cleanup_(encoder_done) Encoder a = ENCODER_INIT, b = ENCODER_INIT, c = ENCODER_INIT, d = ENCODER_INIT;
        RsError err = RS_ERROR_INIT;

        (void) state;
        writer_encode_time(&a, &t);
        assert_int_equal(writer_decode_time(WHOLE(a), &t2, &err), 0);
        writer_encode_time(&c, &t2);
        assert_true(span_equal(encoder_view(&a), encoder_view(&c)));
        (void) strcpy(w.crls[0].issuer, "CN=authority");
        w.crls[0].number = 7;
        w.crls[0].stale = true;
        memset(w.log_head, 3, sizeof(w.log_head));
        writer_encode_trust(&b, &w);
        assert_true(b.size < 65536);
        assert_int_equal(writer_decode_trust(WHOLE(b), &w2, &err), 0);
        writer_encode_trust(&d, &w2);
        assert_true(span_equal(encoder_view(&b), encoder_view(&d)));
}

static void evidence_is_of_a_known_kind_and_size(void **state) {
        static const uint32_t cases[][3] = { { 1, 1, 1 }, { 4, WRITER_EVIDENCE_MAX, 1 }, { 0, 1, 0 }, { 5, 1, 0 },
                                             { 2, 0, 0 }, { 2, WRITER_EVIDENCE_MAX + 1, 0 } };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
                RsError err = RS_ERROR_INIT;
                WriterEvidence kind;
                uint32_t size;

                writer_encode_evidence_request(&e, (WriterEvidence) cases[i][0], cases[i][1]);
                assert_int_equal(writer_decode_evidence_request(WHOLE(e), &kind, &size, &err) == 0, cases[i][2]);
        }
}

static void a_trust_set_has_its_limit(void **state) {
        (void) state;
        for (uint32_t size = WRITER_ANCHORS_MAX; size <= WRITER_ANCHORS_MAX + 1; size++) {
                _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
                RsError err = RS_ERROR_INIT;
                uint32_t got = 0;

                writer_encode_anchors(&e, size);
                assert_int_equal(writer_decode_anchors(WHOLE(e), &got, &err) == 0, size == WRITER_ANCHORS_MAX);
                assert_int_equal(got, size == WRITER_ANCHORS_MAX ? size : 0);
        }
}

static void a_policy_has_its_limit(void **state) {
        static const uint32_t cases[][2] = { { 0, false }, { 1, true }, { WRITER_POLICY_MAX, true },
                                             { WRITER_POLICY_MAX + 1, false } };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
                RsError err = RS_ERROR_INIT;
                uint32_t got = 7;

                writer_encode_policy(&e, cases[i][0]);
                assert_int_equal(writer_decode_policy(WHOLE(e), &got, &err) == 0, cases[i][1]);
                assert_int_equal(got, cases[i][1] ? cases[i][0] : 7);
        }
}

static void notes_of(ConfigNotes *ret, unsigned n) {
        *ret = (ConfigNotes){ .file = strdup("/etc/reseal/writer.conf") };
        assert_non_null(ret->file);
        for (unsigned i = 0; i < n; i++) {
                char key[16];

                (void) snprintf(key, sizeof(key), "key-%u", i);
                assert_int_equal(config_notes_set(ret, "policy", key, i % 2 ? "yes" : "", i), 0);
        }
}

static void notes_arrive_as_they_were_sent(void **state) {
        static const unsigned counts[] = { 0, 1, 2, CONFIG_KEYS_MAX, CONFIG_KEYS_MAX + 1 };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(counts); i++) {
                _cleanup_(config_notes_done) ConfigNotes notes = { 0 }, got = { 0 };
                _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
                RsError err = RS_ERROR_INIT;

                notes_of(&notes, counts[i]);
                writer_encode_notes(&e, &notes);
                assert_int_equal(writer_decode_notes(WHOLE(e), &got, &err) == 0, counts[i] <= CONFIG_KEYS_MAX);
                if (counts[i] > CONFIG_KEYS_MAX)
                        continue;
                assert_string_equal(got.file, notes.file);
                assert_int_equal(got.n, counts[i]);
                for (size_t k = 0; k < got.n; k++) {
                        assert_string_equal(got.list[k].section, "policy");
                        assert_string_equal(got.list[k].key, notes.list[k].key);
                        assert_string_equal(got.list[k].value, notes.list[k].value);
                        assert_int_equal(got.list[k].line, k);
                }
        }
}

static void notes_that_are_not_well_formed_are_refused(void **state) {
        _cleanup_(config_notes_done) ConfigNotes notes = { 0 }, got = { 0 };
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;

        (void) state;
        notes_of(&notes, 2);
        writer_encode_notes(&e, &notes);
        for (size_t n = 0; n < e.size; n++) { /* cut */
                RsError err = RS_ERROR_INIT;

                assert_true(writer_decode_notes(SPAN(e.data, n), &got, &err) < 0);
                assert_int_equal(err.reason, RS_REASON_PROTOCOL);
        }
        for (size_t i = 0; i < e.size; i++) /* a control byte in a text, or the same key twice */
                if (e.data[i] == 'k' || e.data[i] == '1') {
                        uint8_t was = e.data[i];
                        RsError err = RS_ERROR_INIT;

                        e.data[i] = was == 'k' ? '\n' : '0';
                        assert_true(writer_decode_notes(WHOLE(e), &got, &err) < 0);
                        assert_int_equal(err.reason, RS_REASON_PROTOCOL);
                        e.data[i] = was;
                }
        encoder_u8(&e, 0);
        assert_true(writer_decode_notes(WHOLE(e), &got, &(RsError){ 0 }) < 0);
        assert_null(got.list);
}

/* Every payload, cut anywhere or one byte longer, is refused: no decoder takes a part for the whole. */
static void cut_and_lengthened_payloads_are_refused(void **state) {
        const WriterState s = { .running = "A" };
        const WriterHello h = { .version = "1" };
        const WriterProgress p = { .step = 1 };
        const WriterFrame f = { .size = 4096 };
        const WriterOffer o = { .n_images = 1 };
        const WriterTime t = { .low = 1, .high = 2, .query_size = 3 };
        const WriterTrust w = { .n_crls = 2, .level = 1 };
        Encoder e[14] = { ENCODER_INIT };

        (void) state;
        writer_encode_state(&e[0], &s);
        writer_encode_hello(&e[1], &h);
        writer_encode_progress(&e[2], &p);
        writer_encode_frame_request(&e[3], &f);
        writer_encode_offer(&e[4], &o);
        writer_encode_frame(&e[5], 1, 2);
        writer_encode_name(&e[6], "A");
        writer_encode_ring(&e[7]);
        writer_encode_time(&e[8], &t);
        writer_encode_trust(&e[9], &w);
        writer_encode_evidence_request(&e[10], WRITER_EVIDENCE_CRLS, 5);
        writer_encode_evidence(&e[11], true);
        writer_encode_anchors(&e[12], WRITER_ANCHORS_MAX);
        writer_encode_policy(&e[13], WRITER_POLICY_MAX);
        for (size_t i = 0; i < ELEMENTSOF(e); i++) {
                size_t size = e[i].size;

                encoder_u8(&e[i], 0);
                for (size_t n = 0; n <= size + 1; n++) {
                        RsError err = RS_ERROR_INIT;
                        char name[WRITER_NAME_SIZE + 1];
                        WriterState s2;
                        WriterHello h2;
                        WriterProgress p2;
                        WriterFrame f2;
                        WriterOffer o2;
                        WriterTime t2;
                        WriterTrust w2;
                        WriterEvidence kind;
                        uint32_t a, b;
                        bool changed;
                        Span payload = SPAN(e[i].data, n);
                        int r = i == 0   ? writer_decode_state(payload, &s2, &err)
                                : i == 1 ? writer_decode_hello(payload, &h2, &err)
                                : i == 2 ? writer_decode_progress(payload, &p2, &err)
                                : i == 3 ? writer_decode_frame_request(payload, &f2, &err)
                                : i == 4 ? writer_decode_offer(payload, &o2, &err)
                                : i == 5 ? writer_decode_frame(payload, &a, &b, &err)
                                : i == 6 ? writer_decode_name(payload, name, &err)
                                : i == 7 ? writer_decode_ring(payload, &err)
                                : i == 8 ? writer_decode_time(payload, &t2, &err)
                                : i == 9 ? writer_decode_trust(payload, &w2, &err)
                                : i == 10 ? writer_decode_evidence_request(payload, &kind, &a, &err)
                                : i == 11 ? writer_decode_evidence(payload, &changed, &err)
                                : i == 12 ? writer_decode_anchors(payload, &a, &err)
                                          : writer_decode_policy(payload, &a, &err);

                        assert_int_equal(r == 0, n == size);
                        assert_int_equal(err.reason, n == size ? RS_REASON_NONE : RS_REASON_PROTOCOL);
                }
        }
        for (size_t i = 0; i < ELEMENTSOF(e); i++)
                encoder_done(&e[i]);
}

static void the_table_permits_what_the_document_says_and_nothing_else(void **state) {
        static const struct {
                uint32_t type;
                const char *phases;
        } documented[] = {
                { WRITER_HELLO, "HELLO" },
                { WRITER_SLOTS, "IDLE OFFERED TABLED WRITING FINISHING DONE FAILED" },
                { WRITER_STATE, "IDLE OFFERED TABLED WRITING FINISHING DONE FAILED" },
                { WRITER_OFFER, "IDLE DONE" },
                { WRITER_TABLE, "OFFERED" },
                { WRITER_RING, "TABLED" },
                { WRITER_FRAME, "TABLED WRITING FAILED" },
                { WRITER_FINISH, "TABLED WRITING FAILED" },
                { WRITER_ABORT, "IDLE OFFERED TABLED WRITING FINISHING DONE FAILED" },
                { WRITER_MARK, "IDLE DONE" },
                { WRITER_TIME, "IDLE DONE" },
                { WRITER_EVIDENCE, "IDLE DONE" },
                { WRITER_TRUST, "IDLE OFFERED TABLED WRITING FINISHING DONE FAILED" },
                { WRITER_ANCHORS, "IDLE DONE" },
                { WRITER_REJECT, "IDLE DONE" },
                { WRITER_POLICY, "IDLE OFFERED TABLED WRITING FINISHING DONE FAILED" },
        };
        size_t n_known = 0;

        (void) state;
        for (uint32_t type = 0; type < 1000; type++) {
                const char *phases = "";

                for (size_t i = 0; i < ELEMENTSOF(documented); i++)
                        if (documented[i].type == type)
                                phases = documented[i].phases;
                n_known += writer_request_rule(type) ? 1 : 0;
                for (int phase = 0; phase < _WRITER_PHASE_MAX; phase++)
                        assert_int_equal(writer_request_permitted(type, (WriterPhase) phase, false),
                                         strstr(phases, writer_phase_to_string((WriterPhase) phase)) != NULL);
                assert_false(writer_request_permitted(type, _WRITER_PHASE_MAX, false));
        }
        assert_int_equal(n_known, ELEMENTSOF(documented));
}

static void the_health_socket_knows_five_requests(void **state) {
        uint32_t n = 0;

        (void) state;
        for (uint32_t type = 0; type < 1000; type++) {
                bool wanted = type == WRITER_HELLO || type == WRITER_STATE || type == WRITER_SLOTS || type == WRITER_MARK ||
                              type == WRITER_REJECT;

                for (int phase = 0; phase < _WRITER_PHASE_MAX; phase++) {
                        bool permitted = writer_request_permitted(type, (WriterPhase) phase, true);

                        assert_int_equal(permitted,
                                         wanted && writer_request_permitted(type, (WriterPhase) phase, false));
                        n += permitted ? 1 : 0;
                }
        }
        assert_int_equal(n, 1 + 7 + 7 + 2 + 2);
}

static void every_request_has_its_heading_in_the_document(void **state) {
        const char *root = getenv("SOURCE_ROOT");
        char path[4096], line[1024], heading[64];
        size_t n = 0;
        FILE *f;

        (void) state;
        assert_non_null(root);
        (void) snprintf(path, sizeof(path), "%s/docs/protocol-writer.md", root);
        f = fopen(path, "re");
        assert_non_null(f);
        while (fgets(line, sizeof(line), f))
                for (uint32_t type = 2; type < 100; type += 2) {
                        const WriterRequestRule *rule = writer_request_rule(type);

                        if (!rule)
                                continue;
                        (void) snprintf(heading, sizeof(heading), "## %s (%u)", rule->name, type);
                        n += strncmp(line, heading, strlen(heading)) == 0 ? 1 : 0;
                }
        (void) fclose(f);
        assert_int_equal(n, 16);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(hello_goes_through),
                cmocka_unit_test(names_with_control_bytes_or_bytes_behind_the_end_are_refused),
                cmocka_unit_test(slots_go_through),
                cmocka_unit_test(state_offer_progress_go_through),
                cmocka_unit_test(ranges_must_ascend_and_not_touch),
                cmocka_unit_test(frame_requests_are_held_to_their_limits),
                cmocka_unit_test(table_and_offer_and_mark_are_held_to_their_limits),
                cmocka_unit_test(time_and_trust_go_through),
                cmocka_unit_test(evidence_is_of_a_known_kind_and_size),
                cmocka_unit_test(a_trust_set_has_its_limit),
                cmocka_unit_test(a_policy_has_its_limit),
                cmocka_unit_test(notes_arrive_as_they_were_sent),
                cmocka_unit_test(notes_that_are_not_well_formed_are_refused),
                cmocka_unit_test(cut_and_lengthened_payloads_are_refused),
                cmocka_unit_test(the_table_permits_what_the_document_says_and_nothing_else),
                cmocka_unit_test(the_health_socket_knows_five_requests),
                cmocka_unit_test(every_request_has_its_heading_in_the_document),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
