/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The command line: what is understood, and that half a command is refused before anything happens. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <reseal/base/cleanup.h>

#include "options.h"

#define NOW 1000000u
#define TICKETS "--transport-key=a", "--transport-cert=b", "--ticket-key=c", "--ticket-cert=d", "--device-ca=e"

/* Arguments end with NULL. */
static int parse(const char *const *words, Options *ret, RsError *err) {
        static char *argv[32];
        int argc = 0;

        argv[argc++] = (char *) "reseal-source";
        for (; *words; words++)
                argv[argc++] = (char *) *words;
        argv[argc] = NULL;
        return options_parse(argc, argv, NOW, ret, err);
}

static void whole_commands_are_understood(void **state) {
        static const char *const ticket[] = { "ticket", "--bundle", "x.rsb", "--output", "out", TICKETS, "--not-after",
                                              "+60", "--device", "1.pem", "2.pem", "3.pem", NULL };
        static const char *const publish[] = { "publish", "--bundle=x.rsb", "--www=w", NULL };
        _cleanup_(options_done) Options o = OPTIONS_INIT, p = OPTIONS_INIT;
        RsError err = RS_ERROR_INIT;

        (void) state;
        assert_int_equal(parse(ticket, &o, &err), 0);
        assert_int_equal(o.verb, VERB_TICKET);
        assert_string_equal(o.bundle, "x.rsb");
        assert_int_equal(o.n_devices, 3);
        assert_string_equal(o.devices[0], "1.pem");
        assert_string_equal(o.devices[2], "3.pem");
        assert_int_equal(o.not_after, NOW + 60);
        assert_int_equal(parse(publish, &p, &err), 0); /* no devices: no tickets */
        assert_int_equal(p.verb, VERB_PUBLISH);
        assert_int_equal(p.not_after, 0);
}

static void statement_is_understood_whole_or_not_at_all(void **state) {
        static const char *const whole[] = { "statement", "--line=gw", "--latest=7", "--seq=9223372036854775807", "--days=30",
                                             "--cert=c.pem", "--key=k", "-o", "out", NULL };
        static const char *const wrong[][12] = {
                { "statement", "--line=gw", "--latest=7", "--seq=1", "--days=30", "--cert=c", "--key=k", NULL },
                { "statement", "--line=gw", "--latest=7", "--seq=1", "--days=31", "--cert=c", "--key=k", "-oo", NULL },
                { "statement", "--line=gw", "--latest=0", "--seq=1", "--days=3", "--cert=c", "--key=k", "-oo", NULL },
                { "statement", "--line=gw", "--latest=7", "--seq=1", "--days=3", "--cert=c", "--key=k", "-oo", "x", NULL },
                { "statement", "--line=gw", "--latest=7", "--seq=1", "--days=3", "--cert=c", "--key=k", "--www=o", NULL },
                { "statement", "--line=gw", "--latest=7", "--seq=1", "--days=3", "--cert=c", "--key=k", "--chain=o", NULL },
                { "publish", "--bundle=x", "--www=o", "--days=3", NULL },
        };
        _cleanup_(options_done) Options o = OPTIONS_INIT;
        RsError err = RS_ERROR_INIT;

        (void) state;
        assert_int_equal(parse(whole, &o, &err), 0);
        assert_int_equal(o.verb, VERB_STATEMENT);
        assert_string_equal(o.output, "out");
        assert_true(o.latest == 7 && o.seq == INT64_MAX && o.days == 30);
        for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
                _cleanup_(options_done) Options p = OPTIONS_INIT;
                RsError why = RS_ERROR_INIT;

                assert_int_equal(parse(wrong[i], &p, &why), -EINVAL);
        }
}

static void half_commands_are_refused(void **state) {
        static const char *const cases[][16] = {
                { NULL },
                { "sign", NULL },
                { "ticket", NULL },
                { "ticket", "--bundle=x", "--output=o", TICKETS, NULL },
                { "ticket", "--bundle=x", "--output=o", "--transport-key=a", "--transport-cert=b", "--ticket-key=c",
                  "--ticket-cert=d", "--device=1", NULL },
                { "ticket", "--bundle=x", "--output=o", "--device=1", NULL },
                { "ticket", "--bundle=x", "--www=o", TICKETS, "--device=1", NULL },
                { "publish", "--bundle=x", "--output=o", NULL },
                { "publish", "--bundle=x", "--www=o", "1.pem", NULL },
                { "publish", "--www=o", NULL },
                { "publish", "--bundle=x", "--bundle=y", "--www=o", NULL },
                { "publish", "--bundle=x", "--www", NULL },
                { "publish", "--bundle=x", "--www=o", "--force", NULL },
                { "publish", "--bundle=x", "--www=o", "--not-after=yesterday", NULL },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(options_done) Options o = OPTIONS_INIT;
                RsError err = RS_ERROR_INIT;

                if (parse(cases[i], &o, &err) >= 0 || err.reason != RS_REASON_INVALID)
                        fail_msg("case %zu", i);
        }
}

static void times_are_read_as_utc_and_lie_ahead(void **state) {
        static const struct {
                const char *text;
                uint64_t want; /* 0: refused */
        } cases[] = {
                { "+1", NOW + 1 },
                { "1000001", NOW + 1 },
                { "2026-01-01", 1767225600 },
                { "2026-01-01T00:00:01Z", 1767225601 },
                { "1000000", 0 },
                { "+0", 0 },
                { "1970-01-01", 0 },
                { "2026-01-01T00:00:01", 0 },
                { "2026-13-01", 0 },
                { "", 0 },
                { "-5", 0 },
                { "99999999999999999999", 0 },
                { "1099511627777", 0 },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                RsError err = RS_ERROR_INIT;
                uint64_t got = 0;
                int r = options_time(cases[i].text, NOW, &got, &err);

                if ((r == 0) != (cases[i].want != 0) || got != cases[i].want)
                        fail_msg("'%s': %d, %llu", cases[i].text, r, (unsigned long long) got);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(whole_commands_are_understood),
                cmocka_unit_test(statement_is_understood_whole_or_not_at_all),
                cmocka_unit_test(half_commands_are_refused),
                cmocka_unit_test(times_are_read_as_utc_and_lie_ahead),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
