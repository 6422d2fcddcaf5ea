/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Paths to a pinned root: what is accepted and each refusal with its reason (S36, S58, S60). */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/base/names.h>
#include <reseal/crypto/ossl-cleanup.h>
#include <reseal/format/limits.h>
#include <reseal/pki/cms.h>
#include <reseal/pki/crl.h>
#include <reseal/pki/path.h>

#include "pki-fixture.h"

#define YEAR (365u * 86400u)

static PathRules firmware_now(void) {
        uint64_t now = (uint64_t) time(NULL);

        return (PathRules){ .eku_oid = RS_OID_EKU_IMAGE_SIGNING, .time_low = now, .time_high = now };
}

/* Verifies NAME.pem with CHAIN (NULL: none) against ROOT. */
static int verify(const char *name, const char *chain, const char *root, const PathRules *rules, SignerInfo *ret,
                  RsError *err) {
        _cleanup_(sk_X509_freep) STACK_OF(X509) *leaf = NULL, *extra = NULL;
        _cleanup_(anchors_freep) TrustAnchors *anchors = NULL;
        RsError setup = RS_ERROR_INIT;

        assert_int_equal(certs_load(pki_path(name), &leaf, &setup), 0);
        if (chain)
                assert_int_equal(certs_load(pki_path(chain), &extra, &setup), 0);
        assert_int_equal(anchors_load(pki_path(root), &anchors, &setup), 0);
        return path_verify(sk_X509_value(leaf, 0), extra, anchors, rules, ret, err);
}

static void each_path_gets_its_verdict(void **state) {
        static const struct {
                const char *leaf, *chain, *root;
                RsReason reason;
        } cases[] = {
#define CASE(leaf, chain, reason) { leaf ".pem", chain, "firmware/root.pem", RS_REASON_##reason }
                CASE("firmware/signer", "firmware/chain.pem", NONE),
                CASE("firmware/signer2", "firmware/chain.pem", NONE),
                CASE("firmware/signer-rsa", "firmware/chain.pem", NONE),
                CASE("firmware/signer", NULL, CERTIFICATE),
                CASE("firmware/root", NULL, PURPOSE),
                CASE("firmware/authority", NULL, PURPOSE),
                CASE("bad/signer-expired", "firmware/chain.pem", EXPIRED),
                CASE("bad/signer-future", "firmware/chain.pem", EXPIRED),
                CASE("bad/signer-purpose", "firmware/chain.pem", PURPOSE),
                CASE("bad/signer-any", "firmware/chain.pem", PURPOSE),
                CASE("bad/signer-no-eku", "firmware/chain.pem", PURPOSE),
                CASE("bad/signer-usage", "firmware/chain.pem", PURPOSE),
                CASE("bad/signer-ca", "firmware/chain.pem", PURPOSE),
                CASE("bad/signer-critical", "firmware/chain.pem", CERTIFICATE),
                CASE("bad/signer-rsa1024", "firmware/chain.pem", ALGORITHM),
                CASE("bad/signer-sha1", "firmware/chain.pem", ALGORITHM),
                CASE("bad/signer-k256", "firmware/chain.pem", ALGORITHM),
                CASE("bad/signer-explicit", "firmware/chain.pem", ALGORITHM),
                CASE("bad/signer-self", NULL, CERTIFICATE),
                CASE("bad/signer-other", "firmware/chain.pem", CERTIFICATE),
                CASE("bad/signer-other", "bad/signer-other-chain.pem", CERTIFICATE),
                CASE("bad/signer-weak-ca", "bad/signer-weak-ca-chain.pem", ALGORITHM),
                CASE("bad/signer-not-ca", "bad/signer-not-ca-chain.pem", CERTIFICATE),
                CASE("bad/signer-expired-ca", "bad/signer-expired-ca-chain.pem", EXPIRED),
                CASE("bad/signer-eku-ca", "bad/signer-eku-ca-chain.pem", PURPOSE),
                CASE("bad/signer-deep", "bad/signer-deep-chain.pem", CERTIFICATE),
                CASE("source/ticket", "firmware/chain.pem", CERTIFICATE),
#undef CASE
        };
        const PathRules rules = firmware_now();

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                RsError err = RS_ERROR_INIT;
                SignerInfo signer;
                int r;

                r = verify(cases[i].leaf, cases[i].chain, cases[i].root, &rules, &signer, &err);
                if (err.reason != cases[i].reason)
                        fail_msg("%s: %s (%s) instead of %s", cases[i].leaf, rs_reason_name(err.reason), err.text,
                                 rs_reason_name(cases[i].reason));
                assert_int_equal(r, cases[i].reason == RS_REASON_NONE ? 0 : -rs_reason_errno(cases[i].reason));
        }
}

/* The one unknown critical extension that is tolerated: the leaf's place, if wanted, with nothing unknown beside it. */
static void place_in_the_chain_is_wanted_or_refused(void **state) {
        static const struct {
                const char *leaf, *chain;
                RsReason wanted, unwanted;
        } cases[] = {
#define CASE(leaf, chain, wanted, unwanted) { leaf ".pem", chain, RS_REASON_##wanted, RS_REASON_##unwanted }
                CASE("firmware/signer-1", "firmware/chain.pem", NONE, CERTIFICATE),
                CASE("firmware/signer-2", "firmware/chain.pem", NONE, CERTIFICATE),
                CASE("firmware/signer", "firmware/chain.pem", CERTIFICATE, NONE),
                CASE("firmware/signer-rsa", "firmware/chain.pem", CERTIFICATE, NONE),
                CASE("bad/signer-critical", "firmware/chain.pem", CERTIFICATE, CERTIFICATE),
                CASE("bad/place-line", "firmware/chain.pem", NONE, CERTIFICATE),  /* trust/chain.h judges the values */
                CASE("bad/place-index", "firmware/chain.pem", NONE, CERTIFICATE),
                CASE("bad/place-garbled", "firmware/chain.pem", CERTIFICATE, CERTIFICATE),
                CASE("bad/place-soft", "firmware/chain.pem", CERTIFICATE, CERTIFICATE),
                CASE("bad/place-more", "firmware/chain.pem", CERTIFICATE, CERTIFICATE),
                CASE("bad/place-rsa", "firmware/chain.pem", ALGORITHM, CERTIFICATE),
                CASE("bad/place-p384", "firmware/chain.pem", ALGORITHM, CERTIFICATE),
                CASE("bad/place-root", NULL, ALGORITHM, CERTIFICATE),
                CASE("bad/place-strong-ca", "bad/place-strong-ca-chain.pem", ALGORITHM, CERTIFICATE),
                CASE("bad/signer-place-ca", "bad/signer-place-ca-chain.pem", CERTIFICATE, CERTIFICATE),
                CASE("bad/signer-expired", "firmware/chain.pem", EXPIRED, EXPIRED),
                CASE("bad/signer-purpose", "firmware/chain.pem", PURPOSE, PURPOSE),
#undef CASE
        };
        PathRules rules = firmware_now();

        (void) state;
        for (size_t i = 0; i < 2 * ELEMENTSOF(cases); i++) {
                const size_t at = i / 2;
                const RsReason reason = i % 2 ? cases[at].unwanted : cases[at].wanted;
                RsError err = RS_ERROR_INIT;
                SignerInfo signer;

                rules.firmware_place = i % 2 == 0;
                (void) verify(cases[at].leaf, cases[at].chain, "firmware/root.pem", &rules, &signer, &err);
                if (err.reason != reason)
                        fail_msg("%s, %s: %s (%s) instead of %s", cases[at].leaf, i % 2 ? "unwanted" : "wanted",
                                 rs_reason_name(err.reason), err.text, rs_reason_name(reason));
        }
}

/* Runs make-pki.sh crl. */
static void issue_list(const char *arguments) {
        char command[512];

        (void) snprintf(command, sizeof(command), "'%s'/tests/fixtures/make-pki.sh crl %s %s", getenv("SOURCE_ROOT"),
                        pki_dir, arguments);
        assert_int_equal(system(command), 0);
}

static void add_list(CrlSet *crls, const char *name) {
        _cleanup_(sk_X509_freep) STACK_OF(X509) *intermediates = NULL;
        _cleanup_(anchors_freep) TrustAnchors *anchors = NULL;
        _cleanup_(freep) uint8_t *der = NULL;
        RsError err = RS_ERROR_INIT;
        CrlInfo info;
        size_t size;
        bool changed;

        assert_int_equal(certs_load(pki_path("firmware/chain.pem"), &intermediates, &err), 0);
        assert_int_equal(anchors_load(pki_path("firmware/root.pem"), &anchors, &err), 0);
        assert_int_equal(file_read(AT_FDCWD, pki_path(name), CRL_SIZE_MAX, &der, &size, &err), 1);
        if (crl_set_add(crls, SPAN(der, size), anchors, intermediates, &changed, &info, &err) < 0)
                fail_msg("%s: %s", name, err.text);
}

/* T45: a signer by the authority's list, the authority by the root's. */
static void revoked_signer_and_revoked_authority_are_refused(void **state) {
        _cleanup_(crl_set_freep) CrlSet *crls = NULL;
        PathRules rules = firmware_now();
        RsError err = RS_ERROR_INIT;
        SignerInfo signer;

        (void) state;
        assert_int_equal(crl_set_new(&crls, &err), 0);
        rules.crls = crls;
        rules.firmware_place = true;
        add_list(crls, "firmware/root.crl");
        add_list(crls, "firmware/authority.crl");
        assert_int_equal(verify("firmware/signer-1.pem", "firmware/chain.pem", "firmware/root.pem", &rules, &signer, &err),
                         0);

        issue_list("firmware/authority 2 firmware/signer-1.pem");
        add_list(crls, "firmware/authority.crl");
        assert_true(verify("firmware/signer-1.pem", "firmware/chain.pem", "firmware/root.pem", &rules, &signer, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_REVOKED);
        err = RS_ERROR_INIT;
        assert_int_equal(verify("firmware/signer-2.pem", "firmware/chain.pem", "firmware/root.pem", &rules, &signer, &err),
                         0);

        issue_list("firmware/root 2 firmware/authority.pem");
        add_list(crls, "firmware/root.crl");
        assert_true(verify("firmware/signer-2.pem", "firmware/chain.pem", "firmware/root.pem", &rules, &signer, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_REVOKED);
        /* Lists that nobody handed over do not count. */
        err = RS_ERROR_INIT;
        rules.crls = NULL;
        assert_int_equal(verify("firmware/signer-1.pem", "firmware/chain.pem", "firmware/root.pem", &rules, &signer, &err),
                         0);
}

static void signer_is_described(void **state) {
        const PathRules rules = firmware_now();
        RsError err = RS_ERROR_INIT;
        SignerInfo one, two;

        (void) state;
        assert_int_equal(verify("firmware/signer.pem", "firmware/chain.pem", "firmware/root.pem", &rules, &one, &err), 0);
        assert_int_equal(verify("firmware/signer2.pem", "firmware/chain.pem", "firmware/root.pem", &rules, &two, &err), 0);
        assert_string_equal(one.subject, "CN=Firmware Signer 1");
        assert_true(one.not_before <= rules.time_low && one.not_after > rules.time_low + 9ull * YEAR);
        assert_memory_not_equal(one.spki_sha256, two.spki_sha256, 32);
}

static void certificate_describes_itself_whoever_issued_it(void **state) {
        RsError err = RS_ERROR_INIT;
        SignerInfo one;

        (void) state;
        assert_int_equal(certificate_describe(pki_path("bad/signer-self.pem"), &one, &err), 0);
        assert_true(one.subject[0] && one.not_before < one.not_after);
        assert_true(certificate_describe(pki_path("none.pem"), &one, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_CONFIG);
}

static void time_is_an_interval(void **state) {
        static const uint64_t y2020 = 1577836800, y2021 = 1609459200, y2095 = 3944678400;
        const struct {
                const char *leaf;
                uint64_t low, high;
                RsReason reason;
        } cases[] = {
                { "bad/signer-expired.pem", y2021 - 1, y2021, RS_REASON_NONE },
                { "bad/signer-expired.pem", y2021, UINT64_MAX, RS_REASON_EXPIRED },
                { "bad/signer-expired.pem", y2021 + 1, UINT64_MAX, RS_REASON_EXPIRED },
                { "bad/signer-expired.pem", 0, y2020 - 1, RS_REASON_EXPIRED },       /* has not begun */
                { "bad/signer-expired.pem", y2020 - 1, y2020, RS_REASON_EXPIRED },   /* its issuer has not begun */
                { "bad/signer-future.pem", 1, UINT64_MAX, RS_REASON_NONE },          /* may have begun */
                { "bad/signer-future.pem", 1, y2095, RS_REASON_NONE },
                { "bad/signer-future.pem", 1, y2095 - 1, RS_REASON_EXPIRED },
                { "bad/signer-expired.pem", 0, UINT64_MAX, RS_REASON_NONE },         /* no clock: not judged */
                { "firmware/signer.pem", 0, 0, RS_REASON_EXPIRED },                  /* forgotten rules refuse */
                { "firmware/signer.pem", 2, 1, RS_REASON_INVALID },
                { "firmware/signer.pem", UINT64_MAX, UINT64_MAX, RS_REASON_INVALID },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                PathRules rules = { RS_OID_EKU_IMAGE_SIGNING, false, cases[i].low, cases[i].high };
                RsError err = RS_ERROR_INIT;
                SignerInfo signer;

                /* The authority began when the test did: what must pass before that is asked with an open end. */
                if (cases[i].reason == RS_REASON_NONE && rules.time_high < (uint64_t) time(NULL))
                        rules.time_high = (uint64_t) time(NULL);
                (void) verify(cases[i].leaf, "firmware/chain.pem", "firmware/root.pem", &rules, &signer, &err);
                if (err.reason != cases[i].reason)
                        fail_msg("case %zu: %s: %s", i, rs_reason_name(err.reason), err.text);
        }
}

static void purpose_must_be_named(void **state) {
        PathRules rules = firmware_now();
        SignerInfo signer;

        (void) state;
        for (int i = 0; i < 3; i++) {
                RsError err = RS_ERROR_INIT;

                rules.eku_oid = i == 0 ? NULL : i == 1 ? "" : "not.an.oid";
                assert_true(verify("firmware/signer.pem", "firmware/chain.pem", "firmware/root.pem", &rules, &signer,
                                   &err) < 0);
                assert_int_equal(err.reason, RS_REASON_INVALID);
        }
}

static void unwrap_certificates_agree_on_keys(void **state) {
        PathRules rules = firmware_now();
        RsError err = RS_ERROR_INIT;
        SignerInfo signer;

        (void) state;
        rules.eku_oid = RS_OID_EKU_UNWRAP;
        rules.key_agreement = true;
        assert_int_equal(verify("device/one-unwrap.pem", NULL, "device/ca.pem", &rules, &signer, &err), 0);
        assert_true(verify("bad/unwrap-purpose.pem", NULL, "device/ca.pem", &rules, &signer, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_PURPOSE);
        err = RS_ERROR_INIT;
        assert_true(verify("bad/unwrap-other.pem", NULL, "device/ca.pem", &rules, &signer, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_CERTIFICATE);
        /* And not the other way round. */
        err = RS_ERROR_INIT;
        rules.key_agreement = false;
        assert_true(verify("device/one-unwrap.pem", NULL, "device/ca.pem", &rules, &signer, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_PURPOSE);
}

static void weak_or_foreign_anchors_are_refused(void **state) {
        static const struct {
                const char *file;
                RsReason reason;
        } cases[] = {
                { "bad/root-p256.pem", RS_REASON_ALGORITHM },
                { "bad/root-rsa2048.pem", RS_REASON_ALGORITHM },
                { "firmware/authority.pem", RS_REASON_CONFIG },
                { "bad/signer-self.pem", RS_REASON_CONFIG },
                { "firmware/root.key", RS_REASON_CONFIG },
                { "nothing.pem", RS_REASON_CONFIG },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                TrustAnchors *anchors = NULL;
                RsError err = RS_ERROR_INIT;

                assert_true(anchors_load(pki_path(cases[i].file), &anchors, &err) < 0);
                assert_null(anchors);
                if (err.reason != cases[i].reason)
                        fail_msg("%s: %s: %s", cases[i].file, rs_reason_name(err.reason), err.text);
        }
}

static void damaged_certificate_in_anchors_ends_in_an_error_not_a_shorter_list(void **state) {
        _cleanup_(freep) uint8_t *pem = NULL;
        _cleanup_(freep) char *both = NULL;
        TrustAnchors *anchors = NULL;
        RsError err = RS_ERROR_INIT;
        size_t size;

        (void) state;
        assert_int_equal(file_read(AT_FDCWD, pki_path("firmware/root.pem"), 65536, &pem, &size, &err), 1);
        both = calloc(1, 2 * size);
        memcpy(both, pem, size);
        memcpy(both + size, pem, size);
        assert_int_equal(anchors_parse(SPAN(both, size), &anchors, &err), 0);
        anchors = anchors_free(anchors);
        both[size + size / 2] = '!';
        assert_true(anchors_parse(SPAN(both, 2 * size), &anchors, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_CONFIG);
        err = RS_ERROR_INIT;
        assert_true(anchors_parse(SPAN_NULL, &anchors, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_CONFIG);
        assert_null(anchors);
}

static void anchor_files_are_capped(void **state) {
        _cleanup_(freep) uint8_t *pem = NULL;
        _cleanup_(freep) char *padded = NULL;
        TrustAnchors *anchors = NULL;
        RsError err = RS_ERROR_INIT;
        size_t size;

        (void) state;
        assert_int_equal(file_read(AT_FDCWD, pki_path("firmware/root.pem"), RS_CERT_FILE_MAX, &pem, &size, &err), 1);
        padded = malloc(RS_CERT_FILE_MAX + 1);
        memset(padded, '\n', RS_CERT_FILE_MAX + 1);
        memcpy(padded, pem, size);
        assert_int_equal(anchors_parse(SPAN(padded, RS_CERT_FILE_MAX), &anchors, &err), 0);
        anchors = anchors_free(anchors);
        assert_true(anchors_parse(SPAN(padded, RS_CERT_FILE_MAX + 1), &anchors, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_CONFIG);
}

static void too_many_certificates_are_not_tried(void **state) {
        _cleanup_(sk_X509_freep) STACK_OF(X509) *leaf = NULL, *extra = NULL;
        _cleanup_(anchors_freep) TrustAnchors *anchors = NULL;
        const PathRules rules = firmware_now();
        RsError err = RS_ERROR_INIT;
        SignerInfo signer;

        (void) state;
        assert_int_equal(certs_load(pki_path("firmware/signer.pem"), &leaf, &err), 0);
        assert_int_equal(certs_load(pki_path("firmware/chain.pem"), &extra, &err), 0);
        assert_int_equal(anchors_load(pki_path("firmware/root.pem"), &anchors, &err), 0);
        while (sk_X509_num(extra) < (int) RS_CERT_CHAIN_MAX)
                assert_int_equal(X509_add_cert(extra, sk_X509_value(leaf, 0), X509_ADD_FLAG_UP_REF), 1);
        assert_int_equal(path_verify(sk_X509_value(leaf, 0), extra, anchors, &rules, &signer, &err), 0);
        assert_int_equal(X509_add_cert(extra, sk_X509_value(leaf, 0), X509_ADD_FLAG_UP_REF), 1);
        assert_true(path_verify(sk_X509_value(leaf, 0), extra, anchors, &rules, &signer, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_CERTIFICATE);
}

static void anchors_store_trusts_nothing_else(void **state) {
        _cleanup_(anchors_freep) TrustAnchors *anchors = NULL;
        RsError err = RS_ERROR_INIT;

        (void) state;
        assert_int_equal(anchors_load(pki_path("source/root.pem"), &anchors, &err), 0);
        assert_int_equal(sk_X509_OBJECT_num(X509_STORE_get0_objects(anchors_store(anchors))), 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(each_path_gets_its_verdict),
                cmocka_unit_test(place_in_the_chain_is_wanted_or_refused),
                cmocka_unit_test(revoked_signer_and_revoked_authority_are_refused),
                cmocka_unit_test(signer_is_described),
                cmocka_unit_test(certificate_describes_itself_whoever_issued_it),
                cmocka_unit_test(time_is_an_interval),
                cmocka_unit_test(purpose_must_be_named),
                cmocka_unit_test(unwrap_certificates_agree_on_keys),
                cmocka_unit_test(weak_or_foreign_anchors_are_refused),
                cmocka_unit_test(damaged_certificate_in_anchors_ends_in_an_error_not_a_shorter_list),
                cmocka_unit_test(anchor_files_are_capped),
                cmocka_unit_test(too_many_certificates_are_not_tried),
                cmocka_unit_test(anchors_store_trusts_nothing_else),
        };

        return cmocka_run_group_tests(tests, pki_setup, pki_teardown);
}
