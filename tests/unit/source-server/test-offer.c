/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the source believes of a bundle before it gives its key away. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/crypto/ossl-cleanup.h>

#include "mini-bundle.h"
#include "offer.h"

static TrustAnchors *firmware_root;

static int open_key(const char *file, const char *transport, const TrustAnchors *root, Secret **ret, RsError *err) {
        _cleanup_(sk_X509_freep) STACK_OF(X509) *cert = NULL;
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
        _cleanup_(offer_freep) Offer *offer = NULL;
        char name[64];
        int r;

        r = offer_open(pki_path(file), root, &offer, err);
        if (r < 0)
                return r;
        (void) snprintf(name, sizeof(name), "source/%s.pem", transport);
        assert_int_equal(certs_load(pki_path(name), &cert, err), 0);
        (void) snprintf(name, sizeof(name), "source/%s.key", transport);
        assert_int_equal(key_load(pki_path(name), &key, err), 0);
        return offer_content_key(offer, sk_X509_value(cert, 0), key, ret, err);
}

static void expect(int r, const RsError *err, RsReason reason) {
        if (err->reason != reason)
                fail_msg("%s (%s) instead of %s", rs_reason_name(err->reason), err->text, rs_reason_name(reason));
        assert_int_equal(r, reason == RS_REASON_NONE ? 0 : -rs_reason_errno(reason));
}

static void content_key_comes_out_of_a_good_bundle(void **state) {
        _cleanup_(secret_freep) Secret *key = secret_new_random(RS_KEY_SIZE), *got = NULL, *unchecked = NULL;
        RsError err = RS_ERROR_INIT;
        uint8_t id[32];

        (void) state;
        mini_bundle("good.rsb", "firmware/signer-1", key, key, id);
        expect(open_key("good.rsb", "transport", firmware_root, &got, &err), &err, RS_REASON_NONE);
        assert_true(secret_equal(key, got));
        expect(open_key("good.rsb", "transport", NULL, &unchecked, &err), &err, RS_REASON_NONE);
        assert_true(secret_equal(key, unchecked));
}

/* The confused deputy: someone else's envelope in a bundle of one's own. */
static void envelope_of_another_bundle_is_refused(void **state) {
        _cleanup_(secret_freep) Secret *own = secret_new_random(RS_KEY_SIZE), *foreign = secret_new_random(RS_KEY_SIZE),
                                       *got = NULL;
        RsError err = RS_ERROR_INIT;
        uint8_t id[32];

        (void) state;
        mini_bundle("moved.rsb", "firmware/signer-1", own, foreign, id);
        expect(open_key("moved.rsb", "transport", firmware_root, &got, &err), &err, RS_REASON_DECRYPT);
        assert_null(got);
}

static void key_for_another_source_does_not_open_it(void **state) {
        _cleanup_(secret_freep) Secret *key = secret_new_random(RS_KEY_SIZE), *got = NULL;
        RsError err = RS_ERROR_INIT;
        uint8_t id[32];

        (void) state;
        mini_bundle("good.rsb", "firmware/signer-1", key, key, id);
        expect(open_key("good.rsb", "transport2", firmware_root, &got, &err), &err, RS_REASON_DECRYPT);
}

static void signer_is_judged_where_a_root_is_given(void **state) {
        _cleanup_(secret_freep) Secret *key = secret_new_random(RS_KEY_SIZE), *got = NULL;
        RsError err = RS_ERROR_INIT;
        uint8_t id[32];

        (void) state;
        mini_bundle("expired.rsb", "bad/signer-expired", key, key, id);
        expect(open_key("expired.rsb", "transport", firmware_root, &got, &err), &err, RS_REASON_EXPIRED);
}

static void plain_bundle_has_no_key(void **state) {
        RsError err = RS_ERROR_INIT;
        Secret *got = NULL;
        uint8_t id[32];

        (void) state;
        mini_bundle("plain.rsb", "firmware/signer-1", NULL, NULL, id);
        expect(open_key("plain.rsb", "transport", firmware_root, &got, &err), &err, RS_REASON_STATE);
}

static void damaged_files_are_refused(void **state) {
        _cleanup_(secret_freep) Secret *key = secret_new_random(RS_KEY_SIZE), *got = NULL;
        RsError err = RS_ERROR_INIT;
        uint8_t id[32];

        (void) state;
        mini_bundle("cut.rsb", "firmware/signer-1", key, key, id);
        assert_int_equal(truncate(pki_path("cut.rsb"), 1000), 0);
        expect(open_key("cut.rsb", "transport", NULL, &got, &err), &err, RS_REASON_FORMAT);
        err = RS_ERROR_INIT;
        assert_int_equal(truncate(pki_path("cut.rsb"), 31), 0);
        expect(open_key("cut.rsb", "transport", NULL, &got, &err), &err, RS_REASON_FORMAT);
        err = RS_ERROR_INIT;
        expect(open_key("firmware", "transport", NULL, &got, &err), &err, RS_REASON_FORMAT); /* a directory */
        err = RS_ERROR_INIT;
        assert_true(open_key("nothing.rsb", "transport", NULL, &got, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_IO);
}

static int setup(void **state) {
        RsError err = RS_ERROR_INIT;

        if (pki_setup(state) < 0)
                return -1;
        return anchors_load(pki_path("firmware/root.pem"), &firmware_root, &err);
}

static int teardown(void **state) {
        firmware_root = anchors_free(firmware_root);
        return pki_teardown(state);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(content_key_comes_out_of_a_good_bundle),
                cmocka_unit_test(envelope_of_another_bundle_is_refused),
                cmocka_unit_test(key_for_another_source_does_not_open_it),
                cmocka_unit_test(signer_is_judged_where_a_root_is_given),
                cmocka_unit_test(plain_bundle_has_no_key),
                cmocka_unit_test(damaged_files_are_refused),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
