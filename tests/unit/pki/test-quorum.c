/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Contents that several roots have signed: who counts, and what refuses all (S23 to S25, S33). */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/crypto/ossl-cleanup.h>
#include <reseal/pki/cms.h>

#include "pki-fixture.h"

#define CONTENT SPAN("{\"version\":2}", 13)

static TrustAnchors *roots;

static int setup(void **state) {
        RsError err = RS_ERROR_INIT;

        if (pki_setup(state) < 0)
                return -1;
        return anchors_load(pki_path("firmware/roots.pem"), &roots, &err);
}

static int teardown(void **state) {
        roots = anchors_free(roots);
        return pki_teardown(state);
}

static RsReason add(Encoder *message, const char *name, Span content) {
        _cleanup_(sk_X509_freep) STACK_OF(X509) *certs = NULL;
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
        Encoder next = ENCODER_INIT;
        RsError err = RS_ERROR_INIT;
        char file[64];

        (void) snprintf(file, sizeof(file), "%s.pem", name);
        assert_int_equal(certs_load(pki_path(file), &certs, &err), 0);
        (void) snprintf(file, sizeof(file), "%s.key", name);
        assert_int_equal(key_load(pki_path(file), &key, &err), 0);
        if (cms_add_signer(encoder_view(message), content, sk_X509_value(certs, 0), key, &next, &err) < 0) {
                encoder_done(&next);
                return err.reason;
        }
        encoder_done(message);
        *message = next;
        return RS_REASON_NONE;
}

static RsReason count(Span der, const TrustAnchors *of, uint32_t *ret) {
        _cleanup_(freep) uint8_t *content = NULL;
        RsError err = RS_ERROR_INIT;
        size_t size = 0;

        if (cms_verify_quorum(der, of, 100, &content, &size, ret, &err) < 0) {
                assert_null(content);
                return err.reason;
        }
        assert_true(span_equal(SPAN(content, size), CONTENT));
        return RS_REASON_NONE;
}

static void each_root_that_signs_counts_once(void **state) {
        static const char *const names[] = { "firmware/root", "firmware/root2", "firmware/root3" };
        _cleanup_(encoder_done) Encoder message = ENCODER_INIT;
        uint32_t n = 0;

        (void) state;
        for (uint32_t i = 0; i < ELEMENTSOF(names); i++) {
                assert_int_equal(add(&message, names[i], i % 2 ? SPAN_NULL : CONTENT), RS_REASON_NONE);
                assert_int_equal(count(encoder_view(&message), roots, &n), RS_REASON_NONE);
                assert_int_equal(n, i + 1);
        }
        assert_int_equal(add(&message, "firmware/root2", CONTENT), RS_REASON_INVALID); /* again */
        assert_int_equal(add(&message, "bad/other-root", SPAN("x", 1)), RS_REASON_INVALID); /* another content */
}

static void openssl_program_agrees_about_all_signatures(void **state) {
        _cleanup_(encoder_done) Encoder message = ENCODER_INIT;
        RsError err = RS_ERROR_INIT;
        char command[512];

        (void) state;
        assert_int_equal(add(&message, "firmware/root", CONTENT), RS_REASON_NONE);
        assert_int_equal(add(&message, "firmware/signer-rsa", CONTENT), RS_REASON_NONE); /* another digest */
        assert_int_equal(add(&message, "firmware/root3", CONTENT), RS_REASON_NONE);
        assert_int_equal(file_replace(AT_FDCWD, pki_path("m.cms"), encoder_view(&message), 0600, &err), 0);
        (void) snprintf(command, sizeof(command), "openssl cms -verify -noverify -inform DER -in %s/m.cms 2>%s/log "
                        ">/dev/null", pki_dir, pki_dir);
        assert_int_equal(system(command), 0);
}

static void signers_that_are_no_roots_do_not_count(void **state) {
        _cleanup_(encoder_done) Encoder message = ENCODER_INIT;
        _cleanup_(anchors_freep) TrustAnchors *other = NULL;
        RsError err = RS_ERROR_INIT;
        uint32_t n = 77;

        (void) state;
        assert_int_equal(anchors_load(pki_path("source/root.pem"), &other, &err), 0);
        assert_int_equal(add(&message, "bad/other-root", CONTENT), RS_REASON_NONE); /* the subject of a root, another key */
        assert_int_equal(count(encoder_view(&message), roots, &n), RS_REASON_NONE);
        assert_int_equal(n, 0);
        assert_int_equal(add(&message, "firmware/authority", CONTENT), RS_REASON_NONE); /* under a root is no root */
        assert_int_equal(add(&message, "firmware/root2", CONTENT), RS_REASON_NONE);
        assert_int_equal(count(encoder_view(&message), roots, &n), RS_REASON_NONE);
        assert_int_equal(n, 1);
        assert_int_equal(count(encoder_view(&message), other, &n), RS_REASON_NONE);
        assert_int_equal(n, 0);
}

/* Two certificates of one key are one root (a root that was issued anew). */
static void second_certificate_of_a_key_does_not_count(void **state) {
        _cleanup_(encoder_done) Encoder message = ENCODER_INIT;
        _cleanup_(anchors_freep) TrustAnchors *both = NULL;
        RsError err = RS_ERROR_INIT;
        char command[512];
        uint32_t n = 0;

        (void) state;
        (void) snprintf(command, sizeof(command),
                        "cd %s && cp firmware/root.key again.key && openssl req -x509 -key again.key -subj /CN=again -days 9 "
                        "-sha384 -addext keyUsage=critical,keyCertSign,cRLSign -out again.pem 2>log && "
                        "cat firmware/root.pem again.pem >both.pem", pki_dir);
        assert_int_equal(system(command), 0);
        assert_int_equal(anchors_load(pki_path("both.pem"), &both, &err), 0);
        assert_int_equal(add(&message, "firmware/root", CONTENT), RS_REASON_NONE);
        assert_int_equal(add(&message, "again", CONTENT), RS_REASON_NONE);
        assert_int_equal(count(encoder_view(&message), both, &n), RS_REASON_NONE);
        assert_int_equal(n, 1);
}

static void bad_signature_of_a_root_refuses_all(void **state) {
        _cleanup_(encoder_done) Encoder message = ENCODER_INIT;
        size_t lower = 0;

        (void) state;
        assert_int_equal(add(&message, "firmware/root", CONTENT), RS_REASON_NONE);
        assert_int_equal(add(&message, "firmware/root2", CONTENT), RS_REASON_NONE);
        for (size_t i = 0; i < message.size; i++) {
                _cleanup_(freep) uint8_t *content = NULL;
                RsError err = RS_ERROR_INIT;
                size_t size = 0;
                uint32_t n = 0;

                message.data[i] ^= (uint8_t) (1u << (i % 8));
                /* A damaged certificate or name of a signer makes it a stranger; what is given out is the content. */
                if (cms_verify_quorum(encoder_view(&message), roots, 100, &content, &size, &n, &err) == 0) {
                        if (n > 0)
                                assert_true(span_equal(SPAN(content, size), CONTENT));
                        assert_in_range(n, 0, 2);
                        lower += n < 2;
                } else
                        assert_int_equal(n, 0);
                message.data[i] ^= (uint8_t) (1u << (i % 8));
        }
        assert_true(lower > 0);
        /* The last byte belongs to the last signature. */
        message.data[message.size - 1] ^= 1;
        assert_int_equal(count(encoder_view(&message), roots, &(uint32_t){ 0 }), RS_REASON_SIGNATURE);
}

static void number_of_signers_is_capped(void **state) {
        _cleanup_(sk_X509_freep) STACK_OF(X509) *certs = NULL;
        _cleanup_(CMS_ContentInfo_freep) CMS_ContentInfo *cms = NULL;
        _cleanup_(encoder_done) Encoder message = ENCODER_INIT;
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
        RsError err = RS_ERROR_INIT;

        (void) state;
        assert_int_equal(certs_load(pki_path("firmware/root.pem"), &certs, &err), 0);
        assert_int_equal(key_load(pki_path("firmware/root.key"), &key, &err), 0);
        cms = CMS_sign(NULL, NULL, NULL, NULL, CMS_BINARY | CMS_PARTIAL);
        for (uint32_t i = 0; i <= CMS_SIGNERS_MAX; i++) {
                BIO *in = BIO_new_mem_buf(CONTENT.data, (int) CONTENT.size);
                unsigned char *der = NULL;
                uint32_t n = 77;
                int size;

                /* All sign anew each time: this program has the key. */
                assert_non_null(CMS_add1_signer(cms, sk_X509_value(certs, 0), key, EVP_sha384(),
                                                CMS_BINARY | CMS_PARTIAL | CMS_NOCERTS | CMS_NOSMIMECAP));
                if (i == 0)
                        assert_int_equal(CMS_add1_cert(cms, sk_X509_value(certs, 0)), 1);
                if (i + 1 < CMS_SIGNERS_MAX) {
                        BIO_free(in);
                        continue;
                }
                assert_int_equal(CMS_final(cms, in, NULL, CMS_BINARY), 1);
                BIO_free(in);
                size = i2d_CMS_ContentInfo(cms, &der);
                assert_int_equal(count(SPAN(der, (size_t) size), roots, &n),
                                 i < CMS_SIGNERS_MAX ? RS_REASON_NONE : RS_REASON_SIGNATURE);
                assert_int_equal(n, i < CMS_SIGNERS_MAX ? 1 : 77);
                encoder_done(&message);
                message = ENCODER_INIT;
                encoder_bytes(&message, der, (size_t) size);
                OPENSSL_free(der);
                assert_int_equal(add(&message, "firmware/root2", CONTENT), RS_REASON_INVALID);
                if (i < CMS_SIGNERS_MAX) { /* CMS_final signs once: begin again with one more */
                        CMS_ContentInfo_free(cms);
                        cms = CMS_sign(NULL, NULL, NULL, NULL, CMS_BINARY | CMS_PARTIAL);
                        for (uint32_t k = 0; k < CMS_SIGNERS_MAX; k++)
                                assert_non_null(CMS_add1_signer(cms, sk_X509_value(certs, 0), key, EVP_sha384(),
                                                                CMS_BINARY | CMS_PARTIAL | CMS_NOCERTS | CMS_NOSMIMECAP));
                        assert_int_equal(CMS_add1_cert(cms, sk_X509_value(certs, 0)), 1);
                }
        }
}

static void form_is_held_as_for_one_signer(void **state) {
        _cleanup_(encoder_done) Encoder message = ENCODER_INIT;
        _cleanup_(freep) uint8_t *content = NULL;
        RsError err = RS_ERROR_INIT;
        uint32_t n = 77;
        size_t size;

        (void) state;
        assert_int_equal(add(&message, "firmware/root", CONTENT), RS_REASON_NONE);
        assert_true(cms_verify_quorum(encoder_view(&message), roots, CONTENT.size - 1, &content, &size, &n, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_SIGNATURE);
        for (size_t i = 0; i < message.size; i += 9)
                assert_int_equal(count(SPAN(message.data, i), roots, &n), RS_REASON_SIGNATURE);
        encoder_u8(&message, 0);
        assert_int_equal(count(encoder_view(&message), roots, &n), RS_REASON_SIGNATURE);
        assert_int_equal(n, 77);
        assert_int_equal(add(&message, "firmware/root2", CONTENT), RS_REASON_SIGNATURE);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(each_root_that_signs_counts_once),
                cmocka_unit_test(openssl_program_agrees_about_all_signatures),
                cmocka_unit_test(signers_that_are_no_roots_do_not_count),
                cmocka_unit_test(second_certificate_of_a_key_does_not_count),
                cmocka_unit_test(bad_signature_of_a_root_refuses_all),
                cmocka_unit_test(number_of_signers_is_capped),
                cmocka_unit_test(form_is_held_as_for_one_signer),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
