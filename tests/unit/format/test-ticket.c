/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ticket: strict JSON, bound to bundle, device and time (docs/format-ticket.md). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include <reseal/format/ticket.h>

static Ticket sample(void) {
        Ticket t = { .issued = 1000, .not_after = 2000 };

        memset(t.id, 0x11, sizeof(t.id));
        memset(t.bundle, 0x22, sizeof(t.bundle));
        memset(t.device, 0x33, sizeof(t.device));
        memset(t.nonce, 0x44, sizeof(t.nonce));
        memset(t.enc, 0x55, sizeof(t.enc));
        t.enc[0] = 0x04;
        memset(t.ct, 0x66, sizeof(t.ct));
        return t;
}

static void encode(const Ticket *t, Encoder *e) {
        RsError err = RS_ERROR_INIT;

        assert_int_equal(ticket_encode(t, e, &err), 0);
        encoder_u8(e, 0); /* as a string */
        assert_int_equal(encoder_finish(e), 0);
        e->size--;
}

static void expect_refused(const char *text, size_t size) {
        Ticket t = { .issued = 77 };
        RsError err = RS_ERROR_INIT;

        assert_true(ticket_parse(SPAN(text, size), &t, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_TICKET);
        assert_int_equal(t.issued, 77);
}

static void parse_gives_back_what_encode_was_given(void **state) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        Ticket t = sample(), again = { 0 };
        RsError err = RS_ERROR_INIT;

        (void) state;
        encode(&t, &e);
        assert_int_equal(ticket_parse(encoder_view(&e), &again, &err), 0);
        assert_memory_equal(&t, &again, sizeof(t));
}

/* The sample's JSON with the first `from` replaced by `to`. */
static void expect_change_refused(const char *from, const char *to) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        Ticket t = sample();
        char text[2048];
        const char *at;

        encode(&t, &e);
        at = strstr((const char *) e.data, from);
        assert_non_null(at);
        (void) snprintf(text, sizeof(text), "%.*s%s%s", (int) (at - (const char *) e.data),
                        (const char *) e.data, to, at + strlen(from));
        expect_refused(text, strlen(text));
}

static void each_departure_from_the_form_is_refused(void **state) {
        static const char *const keys[] = { "format", "suite",  "id",        "bundle", "device",
                                            "nonce",  "issued", "not_after", "enc",    "ct" };

        (void) state;
        for (unsigned i = 0; i < ELEMENTSOF(keys); i++) {
                char from[32], to[32];

                (void) snprintf(from, sizeof(from), "\"%s\":", keys[i]);
                (void) snprintf(to, sizeof(to), "\"%s2\":", keys[i]);
                expect_change_refused(from, to);
        }
        expect_change_refused("\"format\":1", "\"format\":2");
        expect_change_refused("\"suite\":1", "\"suite\":2");
        expect_change_refused("\"format\":1", "\"format\":1,\"more\":1");
        expect_change_refused("\"format\":1", "\"format\":1,\"format\":1");
        expect_change_refused("\"issued\":1000", "\"issued\":1099511627777");
        expect_change_refused("\"issued\":1000", "\"issued\":-1");
        expect_change_refused("\"issued\":1000", "\"issued\":\"1000\"");
        expect_change_refused("2222", "22");
        expect_change_refused("2222", "22FF");
        expect_change_refused("\"enc\":\"04", "\"enc\":\"02");
        expect_refused("", 0);
        expect_refused("[]", 2);
}

static void the_size_cap_holds(void **state) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        Ticket t = sample();
        RsError err = RS_ERROR_INIT;

        (void) state;
        encode(&t, &e);
        while (e.size < RS_TICKET_MAX)
                encoder_u8(&e, ' ');
        assert_int_equal(ticket_parse(encoder_view(&e), &t, &err), 0);
        encoder_u8(&e, ' ');
        expect_refused((const char *) e.data, e.size);
}

static void info_binds_every_field_that_matters(void **state) {
        uint8_t info[TICKET_INFO_SIZE];
        Ticket t = sample();

        (void) state;
        ticket_info(&t, info);
        assert_memory_equal(info, "reseal-ticket-v1", 16);
        assert_int_equal(info[16], 0x22);
        assert_int_equal(info[48], 0x33);
        assert_int_equal(info[80], 0x44);
        assert_int_equal(info[112], 0x11);
        assert_memory_equal(info + 128, "\0\0\0\0\0\0\x03\xe8\0\0\0\0\0\0\x07\xd0", 16);
}

static void a_ticket_is_for_one_bundle_one_device_and_its_time(void **state) {
        Ticket t = sample();
        uint8_t other[RS_DIGEST_SIZE] = { 0 };
        RsError err = RS_ERROR_INIT;

        (void) state;
        assert_int_equal(ticket_check(&t, t.bundle, t.device, 2000, &err), 0);
        assert_int_equal(ticket_check(&t, t.bundle, t.device, 0, &err), 0);
        assert_true(ticket_check(&t, other, t.device, 2000, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_WRONG_BUNDLE);
        err = RS_ERROR_INIT;
        assert_true(ticket_check(&t, t.bundle, other, 2000, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_WRONG_DEVICE);
        err = RS_ERROR_INIT;
        assert_true(ticket_check(&t, t.bundle, t.device, 2001, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_TICKET_EXPIRED);
        err = RS_ERROR_INIT;
        t.not_after = 0;
        assert_int_equal(ticket_check(&t, t.bundle, t.device, UINT64_MAX, &err), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(parse_gives_back_what_encode_was_given),
                cmocka_unit_test(each_departure_from_the_form_is_refused),
                cmocka_unit_test(the_size_cap_holds),
                cmocka_unit_test(info_binds_every_field_that_matters),
                cmocka_unit_test(a_ticket_is_for_one_bundle_one_device_and_its_time),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
