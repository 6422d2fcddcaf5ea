/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Revocation lists: what enters a set, what a set answers, and that it never goes back (S24, S71, T45). */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/crypto/ossl-cleanup.h>
#include <reseal/pki/cms.h>
#include <reseal/pki/crl.h>

#include "pki-fixture.h"

static TrustAnchors *anchors;
static STACK_OF(X509) *chain; /* the authority */

static int setup(void **state) {
        RsError err = RS_ERROR_INIT;

        if (pki_setup(state) < 0 || certs_load(pki_path("firmware/chain.pem"), &chain, &err) < 0)
                return -1;
        return anchors_load(pki_path("firmware/root.pem"), &anchors, &err);
}

static int teardown(void **state) {
        anchors = anchors_free(anchors);
        sk_X509_freep(&chain);
        chain = NULL;
        return pki_teardown(state);
}

typedef struct Options {
        const char *issuer;         /* "firmware/authority" when NULL */
        const char *key;            /* another key than the issuer's */
        const char *number;         /* decimal; "" for none, NULL for 1 */
        const char *extension;      /* name and value, as in a configuration file */
        const char *extension_value;
        const char *entry_extension;
        long version;               /* 0 for 2, -1 for 1 */
        unsigned n_serials;
        const char *revoked;        /* a certificate */
        const EVP_MD *md;
} Options;

static X509 *load_cert(const char *name) {
        _cleanup_(sk_X509_freep) STACK_OF(X509) *certs = NULL;
        RsError err = RS_ERROR_INIT;
        char file[64];

        (void) snprintf(file, sizeof(file), "%s.pem", name);
        assert_int_equal(certs_load(pki_path(file), &certs, &err), 0);
        return sk_X509_shift(certs);
}

static void add_extension(X509_CRL *crl, X509_REVOKED *entry, const char *name, const char *value) {
        X509_EXTENSION *e;
        X509V3_CTX ctx;

        X509V3_set_ctx_nodb(&ctx);
        e = X509V3_EXT_nconf(NULL, &ctx, name, value);
        assert_non_null(e);
        assert_int_equal(entry ? X509_REVOKED_add_ext(entry, e, -1) : X509_CRL_add_ext(crl, e, -1), 1);
        X509_EXTENSION_free(e);
}

static void add_entry(X509_CRL *crl, const ASN1_INTEGER *serial, const char *extension, const ASN1_TIME *when) {
        X509_REVOKED *entry = X509_REVOKED_new();

        assert_int_equal(X509_REVOKED_set_serialNumber(entry, (ASN1_INTEGER *) serial), 1);
        assert_int_equal(X509_REVOKED_set_revocationDate(entry, (ASN1_TIME *) when), 1);
        if (extension)
                add_extension(NULL, entry, extension, "critical,DER:0500");
        assert_int_equal(X509_CRL_add0_revoked(crl, entry), 1);
}

static void add_entries(X509_CRL *crl, const Options *o, const ASN1_TIME *when) {
        if (o->revoked) {
                _cleanup_(X509_freep) X509 *cert = load_cert(o->revoked);

                add_entry(crl, X509_get0_serialNumber(cert), o->entry_extension, when);
        }
        for (unsigned i = 0; i < o->n_serials; i++) {
                ASN1_INTEGER *serial = ASN1_INTEGER_new();

                assert_int_equal(ASN1_INTEGER_set(serial, (long) i + 1), 1);
                add_entry(crl, serial, o->entry_extension, when);
                ASN1_INTEGER_free(serial);
        }
}

static void add_number(X509_CRL *crl, const char *text) {
        ASN1_INTEGER *number = s2i_ASN1_INTEGER(NULL, text);

        assert_non_null(number);
        assert_int_equal(X509_CRL_add1_ext_i2d(crl, NID_crl_number, number, 0, 0), 1);
        ASN1_INTEGER_free(number);
}

static void make(const Options *o, Encoder *ret) {
        const char *issuer = o->issuer ? o->issuer : "firmware/authority", *number = o->number ? o->number : "1";
        _cleanup_(X509_freep) X509 *cert = load_cert(issuer);
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
        X509_CRL *crl = X509_CRL_new();
        ASN1_TIME *when = ASN1_TIME_set(NULL, 1700000000), *next = ASN1_TIME_set(NULL, 1800000000);
        RsError err = RS_ERROR_INIT;
        unsigned char *der = NULL;
        char file[64];
        int size;

        (void) snprintf(file, sizeof(file), "%s.key", o->key ? o->key : issuer);
        assert_int_equal(key_load(pki_path(file), &key, &err), 0);
        assert_int_equal(X509_CRL_set_version(crl, o->version < 0 ? 0 : 1), 1);
        assert_int_equal(X509_CRL_set_issuer_name(crl, X509_get_subject_name(cert)), 1);
        assert_int_equal(X509_CRL_set1_lastUpdate(crl, when) & X509_CRL_set1_nextUpdate(crl, next), 1);
        if (*number)
                add_number(crl, number);
        if (o->extension)
                add_extension(crl, NULL, o->extension, o->extension_value);
        add_entries(crl, o, when);
        assert_true(X509_CRL_sign(crl, key, o->md ? o->md : EVP_sha256()) > 0);
        size = i2d_X509_CRL(crl, &der);
        encoder_bytes(ret, der, (size_t) size);
        OPENSSL_free(der);
        ASN1_TIME_free(when);
        ASN1_TIME_free(next);
        X509_CRL_free(crl);
}

static RsReason add(CrlSet *s, const Options *o, bool *ret_changed, CrlInfo *ret) {
        _cleanup_(encoder_done) Encoder der = ENCODER_INIT;
        const uint32_t before = crl_set_count(s);
        RsError err = RS_ERROR_INIT;
        int r;

        make(o, &der);
        r = crl_set_add(s, encoder_view(&der), anchors, chain, ret_changed, ret, &err);
        assert_int_equal(r, err.reason == RS_REASON_NONE ? 0 : -rs_reason_errno(err.reason));
        if (r < 0)
                assert_int_equal(crl_set_count(s), before);
        return err.reason;
}

static CrlSet *new_set(void) {
        RsError err = RS_ERROR_INIT;
        CrlSet *s = NULL;

        assert_int_equal(crl_set_new(&s, &err), 0);
        return s;
}

static void list_of_the_authority_and_of_the_root_enter(void **state) {
        _cleanup_(crl_set_freep) CrlSet *s = new_set();
        bool changed = false;
        CrlInfo info;

        (void) state;
        assert_int_equal(add(s, &(Options){ .number = "0", .n_serials = 3 }, &changed, &info), RS_REASON_NONE);
        assert_true(changed);
        assert_string_equal(info.issuer, "CN=Firmware Authority");
        assert_true(info.number == 0 && info.n_revoked == 3 && info.this_update == 1700000000 &&
                    info.next_update == 1800000000);
        assert_int_equal(add(s, &(Options){ .issuer = "firmware/root", .number = "9223372036854775807" }, &changed, &info),
                         RS_REASON_NONE);
        assert_int_equal(crl_set_count(s), 2);
        assert_true(crl_set_number(s) == INT64_MAX);
        assert_true(crl_set_der(s, 1).size > 100);
        crl_set_info(s, 1, &info);
        assert_string_equal(info.issuer, "CN=Firmware Root");
}

static void set_never_goes_back(void **state) {
        _cleanup_(crl_set_freep) CrlSet *s = new_set();
        bool changed = false;
        CrlInfo info;
        Encoder same = ENCODER_INIT;
        RsError err = RS_ERROR_INIT;

        (void) state;
        assert_int_equal(add(s, &(Options){ .number = "7" }, &changed, &info), RS_REASON_NONE);
        assert_int_equal(add(s, &(Options){ .number = "6" }, &changed, &info), RS_REASON_CRL_ROLLBACK);
        assert_int_equal(add(s, &(Options){ .number = "7", .n_serials = 1 }, &changed, &info), RS_REASON_CRL_ROLLBACK);
        encoder_span(&same, crl_set_der(s, 0));
        assert_int_equal(crl_set_add(s, encoder_view(&same), anchors, chain, &changed, &info, &err), 0);
        assert_false(changed);
        encoder_done(&same);
        assert_int_equal(add(s, &(Options){ .number = "8" }, &changed, &info), RS_REASON_NONE);
        assert_true(changed && crl_set_number(s) == 8 && crl_set_count(s) == 1);
}

static void list_of_another_form_or_issuer_is_refused(void **state) {
        static const struct {
                Options options;
                RsReason reason;
        } cases[] = {
                { { .number = "" }, RS_REASON_FORMAT },
                { { .number = "-1" }, RS_REASON_FORMAT },
                { { .number = "9223372036854775808" }, RS_REASON_FORMAT },
                { { .extension = "2.5.29.27", .extension_value = "critical,DER:020101" }, RS_REASON_FORMAT }, /* delta */
                { { .extension = "2.5.29.27", .extension_value = "DER:020101" }, RS_REASON_FORMAT },
                { { .extension = "2.5.29.28", .extension_value = "critical,DER:30038401ff" }, RS_REASON_FORMAT }, /* indirect */
                { { .extension = "2.5.29.28", .extension_value = "DER:30038101ff" }, RS_REASON_FORMAT },  /* users only */
                { { .extension = "1.2.3.4", .extension_value = "critical,DER:0500" }, RS_REASON_FORMAT },
                { { .extension = "1.2.3.4", .extension_value = "DER:0500" }, RS_REASON_NONE },
                { { .extension = "2.5.29.20", .extension_value = "DER:020105" }, RS_REASON_FORMAT }, /* two numbers */
                { { .n_serials = 1, .entry_extension = "1.2.3.4" }, RS_REASON_FORMAT },
                { { .n_serials = 1, .entry_extension = "2.5.29.29" }, RS_REASON_FORMAT }, /* of another issuer */
                { { .version = -1, .number = "1" }, RS_REASON_FORMAT },
                { { .key = "firmware/signer" }, RS_REASON_SIGNATURE },
                { { .issuer = "bad/other-root" }, RS_REASON_SIGNATURE },     /* the root's name */
                { { .issuer = "source/root" }, RS_REASON_CERTIFICATE },
                { { .issuer = "firmware/signer" }, RS_REASON_CERTIFICATE },  /* not among the intermediates */
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(crl_set_freep) CrlSet *s = new_set();
                bool changed = false;
                CrlInfo info;
                RsReason reason = add(s, &cases[i].options, &changed, &info);

                if (reason != cases[i].reason)
                        fail_msg("case %zu: %s", i, rs_reason_name(reason));
                assert_int_equal(changed, reason == RS_REASON_NONE);
        }
}

static void intermediate_must_be_a_ca_under_the_anchors_that_may_sign_lists(void **state) {
        static const struct {
                const char *issuer;
                const EVP_MD *(*md)(void);
                RsReason reason;
        } cases[] = {
                { "firmware/authority", EVP_sha256, RS_REASON_NONE },
                { "firmware/authority", EVP_sha1, RS_REASON_ALGORITHM },
                { "firmware/signer", EVP_sha256, RS_REASON_PURPOSE },
                { "bad/not-ca", EVP_sha256, RS_REASON_PURPOSE },
                { "bad/weak-ca", EVP_sha256, RS_REASON_ALGORITHM },
                { "bad/signer-ca", EVP_sha256, RS_REASON_CERTIFICATE }, /* no cRLSign */
                { "bad/signer-other", EVP_sha256, RS_REASON_CERTIFICATE },
                { "bad/expired-ca", EVP_sha256, RS_REASON_NONE },       /* times are the rules' business */
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(sk_X509_freep) STACK_OF(X509) *extra = sk_X509_new_null();
                _cleanup_(crl_set_freep) CrlSet *s = new_set();
                _cleanup_(encoder_done) Encoder der = ENCODER_INIT;
                RsError err = RS_ERROR_INIT;
                bool changed;
                CrlInfo info;

                assert_true(sk_X509_push(extra, load_cert(cases[i].issuer)) > 0);
                if (i > 0)
                        assert_int_equal(X509_add_cert(extra, sk_X509_value(chain, 0), X509_ADD_FLAG_UP_REF), 1);
                make(&(Options){ .issuer = cases[i].issuer, .md = cases[i].md() }, &der);
                (void) crl_set_add(s, encoder_view(&der), anchors, extra, &changed, &info, &err);
                if (err.reason != cases[i].reason)
                        fail_msg("%s: %s: %s", cases[i].issuer, rs_reason_name(err.reason), err.text);
        }
}

static void only_the_named_serial_of_that_issuer_is_revoked(void **state) {
        _cleanup_(X509_freep) X509 *one = load_cert("firmware/signer-1"), *two = load_cert("firmware/signer-2");
        _cleanup_(crl_set_freep) CrlSet *s = new_set();
        uint8_t stranger[32] = { 0 };
        RsError err = RS_ERROR_INIT;
        bool changed;
        CrlInfo info;

        (void) state;
        assert_int_equal(add(s, &(Options){ .revoked = "firmware/signer-1", .n_serials = 200 }, &changed, &info),
                         RS_REASON_NONE);
        assert_int_equal(crl_set_check(s, two, info.issuer_key, &err), 0);
        assert_int_equal(crl_set_check(s, one, stranger, &err), 0);
        assert_true(crl_set_check(s, one, info.issuer_key, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_REVOKED);
}

static void list_past_its_next_update_is_stale_after_the_grace(void **state) {
        _cleanup_(crl_set_freep) CrlSet *s = new_set();
        RsError err = RS_ERROR_INIT;
        bool changed;
        CrlInfo info;

        (void) state;
        assert_int_equal(crl_set_fresh(s, UINT64_MAX, 0, &err), 0); /* no list, nothing stale */
        assert_int_equal(add(s, &(Options){ .n_serials = 1 }, &changed, &info), RS_REASON_NONE);
        assert_int_equal(crl_set_fresh(s, 1800000000, 0, &err), 0);
        assert_int_equal(crl_set_fresh(s, 1800000100, 100, &err), 0);
        assert_int_equal(crl_set_fresh(s, UINT64_MAX, UINT64_MAX, &err), 0);
        assert_true(crl_set_fresh(s, 1800000101, 100, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_CRL_STALE);
}

static void size_is_capped(void **state) {
        _cleanup_(crl_set_freep) CrlSet *s = new_set();
        _cleanup_(freep) uint8_t *zeros = calloc(1, CRL_SIZE_MAX + 1);
        RsError err = RS_ERROR_INIT;
        bool changed;
        CrlInfo info;

        (void) state;
        assert_true(crl_set_add(s, SPAN(zeros, CRL_SIZE_MAX), anchors, chain, &changed, &info, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_FORMAT);
        err = RS_ERROR_INIT;
        assert_true(crl_set_add(s, SPAN(zeros, CRL_SIZE_MAX + 1), anchors, chain, &changed, &info, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_TOO_MUCH);
        err = RS_ERROR_INIT;
        assert_true(crl_set_add(s, SPAN_NULL, anchors, chain, &changed, &info, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_FORMAT);
}

/* Eight lists of eight issuers, and no ninth; the sum stays at the end of its range. */
static void number_of_lists_is_capped_and_the_sum_does_not_wrap(void **state) {
        _cleanup_(crl_set_freep) CrlSet *s = new_set();

        (void) state;
        for (unsigned i = 0; i <= CRL_COUNT_MAX; i++) {
                _cleanup_(anchors_freep) TrustAnchors *roots = NULL;
                _cleanup_(encoder_done) Encoder der = ENCODER_INIT;
                RsError err = RS_ERROR_INIT;
                char command[512];
                bool changed;
                CrlInfo info;

                (void) snprintf(command, sizeof(command),
                                "cd %s && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-384 -nodes -subj /CN=r -days 9 "
                                "-sha384 -addext keyUsage=critical,keyCertSign,cRLSign -keyout r.key -out r.pem 2>log", pki_dir);
                assert_int_equal(system(command), 0);
                assert_int_equal(anchors_load(pki_path("r.pem"), &roots, &err), 0);
                make(&(Options){ .issuer = "r", .number = "9223372036854775807" }, &der);
                (void) crl_set_add(s, encoder_view(&der), roots, NULL, &changed, &info, &err);
                assert_int_equal(err.reason, i < CRL_COUNT_MAX ? RS_REASON_NONE : RS_REASON_TOO_MUCH);
                assert_true(crl_set_number(s) == (i == 0 ? (uint64_t) INT64_MAX : i == 1 ? UINT64_MAX - 1 : UINT64_MAX));
        }
        assert_int_equal(crl_set_count(s), CRL_COUNT_MAX);
}

static void check_refused(Span der) {
        _cleanup_(crl_set_freep) CrlSet *s = new_set();
        RsError err = RS_ERROR_INIT;
        bool changed;
        CrlInfo info;

        assert_true(crl_set_add(s, der, anchors, chain, &changed, &info, &err) < 0);
        assert_int_equal(crl_set_count(s), 0);
}

static void each_changed_byte_and_each_cut_is_refused(void **state) {
        _cleanup_(encoder_done) Encoder der = ENCODER_INIT;

        (void) state;
        make(&(Options){ .number = "5", .n_serials = 2 }, &der);
        for (size_t i = 0; i < der.size; i++) {
                der.data[i] ^= (uint8_t) (1u << (i % 8));
                check_refused(encoder_view(&der));
                der.data[i] ^= (uint8_t) (1u << (i % 8));
                check_refused(SPAN(der.data, i));
        }
        encoder_u8(&der, 0);
        check_refused(encoder_view(&der));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(list_of_the_authority_and_of_the_root_enter),
                cmocka_unit_test(set_never_goes_back),
                cmocka_unit_test(list_of_another_form_or_issuer_is_refused),
                cmocka_unit_test(intermediate_must_be_a_ca_under_the_anchors_that_may_sign_lists),
                cmocka_unit_test(only_the_named_serial_of_that_issuer_is_revoked),
                cmocka_unit_test(list_past_its_next_update_is_stale_after_the_grace),
                cmocka_unit_test(size_is_capped),
                cmocka_unit_test(number_of_lists_is_capped_and_the_sum_does_not_wrap),
                cmocka_unit_test(each_changed_byte_and_each_cut_is_refused),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
