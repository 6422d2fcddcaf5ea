/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Addresses, before anything is sent; what goes over the wire is tests/integration/source-https.sh. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <reseal/base/cleanup.h>
#include <reseal/source/https.h>

static RsReason checked(const HttpsConfig *c, const char *url) {
        RsError err = { 0 };

        return https_check_url(c, url, &err) < 0 ? err.reason : RS_REASON_NONE;
}

static void secrets_of_connections_go_to_no_file_of_the_environment(void **state) {
        RsError err = { 0 };

        (void) state;
        assert_int_equal(setenv("SSLKEYLOGFILE", "/dev/full", 1), 0);
        assert_int_equal(https_global_init(&err), 0);
        assert_null(getenv("SSLKEYLOGFILE"));
}

static void only_https_is_permitted(void **state) {
        const HttpsConfig c = HTTPS_CONFIG_DEFAULT;

        (void) state;
        assert_int_equal(checked(&c, "https://updates.example.com/a/b.rsb?x=1"), RS_REASON_NONE);
        assert_int_equal(checked(&c, "HTTPS://updates.example.com:8443/a"), RS_REASON_NONE);
        assert_int_equal(checked(&c, "http://updates.example.com/a"), RS_REASON_SCHEME);
        assert_int_equal(checked(&c, "file:///etc/passwd"), RS_REASON_SCHEME);
        assert_int_equal(checked(&c, "ftp://updates.example.com/a"), RS_REASON_SCHEME);
        assert_int_equal(checked(&c, "updates.example.com/a"), RS_REASON_SCHEME);
        assert_int_equal(checked(&c, ""), RS_REASON_SCHEME);
}

static void addresses_with_more_than_an_address_are_refused(void **state) {
        const HttpsConfig c = HTTPS_CONFIG_DEFAULT;

        (void) state;
        assert_int_equal(checked(&c, "https://user@h/a"), RS_REASON_INVALID);
        assert_int_equal(checked(&c, "https://user:secret@h/a"), RS_REASON_INVALID);
        assert_int_equal(checked(&c, "https://h/a#b"), RS_REASON_INVALID);
        assert_int_equal(checked(&c, "https:///a"), RS_REASON_INVALID);
        assert_int_equal(checked(&c, "https://h/a b"), RS_REASON_INVALID);
        assert_int_equal(checked(&c, "https://h/a\r\nX: y"), RS_REASON_INVALID);
        assert_int_equal(checked(&c, "https://h/\xc3\xa4"), RS_REASON_INVALID);
        assert_int_equal(checked(&c, "https://h:99999/a"), RS_REASON_INVALID);
}

static void address_at_its_cap_passes_and_one_more_is_refused(void **state) {
        const HttpsConfig c = HTTPS_CONFIG_DEFAULT;
        char url[HTTPS_URL_MAX + 2];

        (void) state;
        memset(url, 'a', sizeof(url));
        memcpy(url, "https://h/", 10);
        url[HTTPS_URL_MAX] = '\0';
        assert_int_equal(checked(&c, url), RS_REASON_NONE);
        url[HTTPS_URL_MAX] = 'a';
        url[HTTPS_URL_MAX + 1] = '\0';
        assert_int_equal(checked(&c, url), RS_REASON_INVALID);
}

static void only_listed_hosts_may_be_asked(void **state) {
        char a[] = "a.example", b[] = "b.example";
        HttpsConfig c = HTTPS_CONFIG_DEFAULT;

        (void) state;
        c.hosts[0] = a;
        c.hosts[1] = b;
        c.n_hosts = 2;
        assert_int_equal(checked(&c, "https://A.example/x"), RS_REASON_NONE);
        assert_int_equal(checked(&c, "https://b.example:8443/x"), RS_REASON_NONE);
        assert_int_equal(checked(&c, "https://c.example/x"), RS_REASON_POLICY);
        assert_int_equal(checked(&c, "https://a.example.c.example/x"), RS_REASON_POLICY);
        assert_int_equal(checked(&c, "https://c.example/a.example"), RS_REASON_POLICY);
}

static void tickets_lie_beside_the_bundle(void **state) {
        static const char *const CASES[][2] = {
                { "https://h/x.rsb", "https://h/tickets/t" },
                { "https://h/a/b/x.rsb?token=1/2", "https://h/a/b/tickets/t" },
                { "https://h/a/", "https://h/a/tickets/t" },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(CASES); i++) {
                _cleanup_(freep) char *url = NULL;
                RsError err = { 0 };
                assert_int_equal(https_sibling(CASES[i][0], "tickets/t", &url, &err), 0);
                assert_string_equal(url, CASES[i][1]);
        }
        char *none = NULL;
        RsError err = { 0 };
        assert_true(https_sibling("https://host", "tickets/t", &none, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_INVALID);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(secrets_of_connections_go_to_no_file_of_the_environment),
                cmocka_unit_test(only_https_is_permitted),
                cmocka_unit_test(addresses_with_more_than_an_address_are_refused),
                cmocka_unit_test(address_at_its_cap_passes_and_one_more_is_refused),
                cmocka_unit_test(only_listed_hosts_may_be_asked),
                cmocka_unit_test(tickets_lie_beside_the_bundle),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
