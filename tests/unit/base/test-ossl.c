/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Our library context: it knows our providers, a module that is missing is told and nothing replaces it, and what the
 * machine's configuration does to OpenSSL's default context does nothing to ours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/provider.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/ossl.h>

/* OpenSSL 3.0 keeps what a configuration file named whose module did not load; ours is not looked at less elsewhere. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) {
        return "leak:libcrypto.so";
}

static char dir[] = "/tmp/test-ossl-XXXXXX";

static const char *write_file(const char *name, const char *text) {
        static char path[128];
        FILE *f;

        (void) snprintf(path, sizeof(path), "%s/%s", dir, name);
        f = fopen(path, "we");
        assert_non_null(f);
        assert_true(fputs(text, f) >= 0);
        assert_int_equal(fclose(f), 0);
        assert_int_equal(chmod(path, 0644), 0);
        return path;
}

static bool gives_sha256(OSSL_LIB_CTX *c) {
        EVP_MD *md = EVP_MD_fetch(c, "SHA256", NULL);
        bool gives = md != NULL;

        EVP_MD_free(md);
        ERR_clear_error();
        return gives;
}

static void without_a_file_it_is_the_default_provider(void **state) {
        RsError err = RS_ERROR_INIT;
        OSSL_LIB_CTX *c = NULL;

        (void) state;
        assert_int_equal(ossl_make("/nonexistent/crypto.conf", &c, &err), 0);
        assert_true(gives_sha256(c));
        assert_int_equal(OSSL_PROVIDER_available(c, "default"), 1);
        assert_int_equal(OSSL_PROVIDER_available(c, "legacy"), 0);
        OSSL_LIB_CTX_free(c);
        assert_int_equal(ossl_make(write_file("default.conf", "[crypto]\nprovider = default\n"), &c, &err), 0);
        OSSL_LIB_CTX_free(c);
}

static void what_the_file_may_not_say_is_refused(void **state) {
        static const char *const texts[] = {
                "[crypto]\nprovider = legacy\n",
                "[crypto]\nprovider = tpm2\n",
                "[crypto]\nengine = pkcs11\n",
                "[other]\nprovider = default\n",
                "[crypto]\nconfig = /etc/ssl/openssl.cnf\n", /* a machine's file is no way to the default provider */
                "[crypto]\nprovider = fips\nconfig = fips.cnf\n",
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                RsError err = RS_ERROR_INIT;
                OSSL_LIB_CTX *c = NULL;

                assert_true(ossl_make(write_file("bad.conf", texts[i]), &c, &err) < 0);
                assert_int_equal(err.reason, RS_REASON_CONFIG);
                assert_null(c);
        }
}

/* Debian 12 ships no FIPS module; where there is one, its configuration is still missing here. */
static void a_fips_module_that_does_not_load_is_told(void **state) {
        RsError err = RS_ERROR_INIT;
        OSSL_LIB_CTX *c = NULL;
        char text[160];

        (void) state;
        assert_true(ossl_make(write_file("fips.conf", "[crypto]\nprovider = fips\n"), &c, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_CRYPTO);
        assert_non_null(strstr(err.text, "FIPS module does not load"));
        assert_null(c);

        err = RS_ERROR_INIT;
        (void) snprintf(text, sizeof(text), "[crypto]\nprovider = fips\nconfig = %s/none.cnf\n", dir);
        assert_true(ossl_make(write_file("fips.conf", text), &c, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_CRYPTO);
        assert_non_null(strstr(err.text, "none.cnf"));
}

/* What an openssl.cnf can do at worst: the default context has the provider "null" and no other. */
static void a_machine_without_algorithms_does_not_reach_ours(void **state) {
        OSSL_PROVIDER *null = OSSL_PROVIDER_load(NULL, "null");
        OSSL_LIB_CTX *before;

        (void) state;
        assert_non_null(null);
        assert_false(gives_sha256(NULL));
        assert_true(gives_sha256(ossl_context()));
        before = ossl_enter();
        assert_true(gives_sha256(NULL));
        ossl_leave(before);
        assert_false(gives_sha256(NULL));
        assert_int_equal(OSSL_PROVIDER_unload(null), 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(without_a_file_it_is_the_default_provider),
                cmocka_unit_test(what_the_file_may_not_say_is_refused),
                cmocka_unit_test(a_fips_module_that_does_not_load_is_told),
                cmocka_unit_test(a_machine_without_algorithms_does_not_reach_ours),
        };
        char command[64];
        int failed;

        if (!mkdtemp(dir))
                return 1;
        failed = cmocka_run_group_tests(tests, NULL, NULL);
        (void) snprintf(command, sizeof(command), "rm -rf '%s'", dir);
        return system(command) == 0 ? failed : 1;
}
