/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Signed and enveloped messages: OpenSSL's program accepts ours; we refuse what others make badly (S57, S58). */
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

#include "pki-fixture.h"

#define CONTENT "{\"format\":1}"
#define CONTENT_SPAN SPAN(CONTENT, sizeof(CONTENT) - 1)

/* The same for all messages of a test. */
static TrustAnchors *anchors;
static PathRules rules;

static int setup(void **state) {
        RsError err = RS_ERROR_INIT;

        if (pki_setup(state) < 0)
                return -1;
        rules = (PathRules){ RS_OID_EKU_IMAGE_SIGNING, false, (uint64_t) time(NULL), (uint64_t) time(NULL) };
        return anchors_load(pki_path("firmware/root.pem"), &anchors, &err);
}

static int teardown(void **state) {
        anchors = anchors_free(anchors);
        return pki_teardown(state);
}

/* Runs a command with @ standing for the directory of the PKIs. */
static int shell(const char *command) {
        char text[1024], *out = text;

        for (const char *p = command; *p; p++)
                out += snprintf(out, (size_t) (text + sizeof(text) - out), *p == '@' ? "%s" : "%.1s",
                                *p == '@' ? pki_dir : p);
        (void) snprintf(out, (size_t) (text + sizeof(text) - out), " 2>%s/log", pki_dir);
        return system(text);
}

static void sign(const char *name, const char *chain, Encoder *ret) {
        _cleanup_(sk_X509_freep) STACK_OF(X509) *certs = NULL, *extra = NULL;
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
        RsError err = RS_ERROR_INIT;
        char file[64];

        (void) snprintf(file, sizeof(file), "%s.pem", name);
        assert_int_equal(certs_load(pki_path(file), &certs, &err), 0);
        (void) snprintf(file, sizeof(file), "%s.key", name);
        assert_int_equal(key_load(pki_path(file), &key, &err), 0);
        if (chain)
                assert_int_equal(certs_load(pki_path(chain), &extra, &err), 0);
        assert_int_equal(cms_sign(CONTENT_SPAN, sk_X509_value(certs, 0), key, extra, ret, &err), 0);
}

static int verify(Span der, size_t max, RsError *err) {
        _cleanup_(freep) uint8_t *content = NULL;
        SignerInfo signer;
        size_t size = 0;
        int r;

        r = cms_verify(der, anchors, &rules, max, &content, &size, &signer, err);
        if (r == 0)
                assert_true(span_equal(SPAN(content, size), CONTENT_SPAN));
        else
                assert_null(content);
        return r;
}

static void check_refused(Span der, RsReason reason, const char *what) {
        RsError err = RS_ERROR_INIT;

        (void) verify(der, 100, &err);
        if (err.reason != reason)
                fail_msg("%s: %s (%s) instead of %s", what, rs_reason_name(err.reason), err.text, rs_reason_name(reason));
}

static void signed_content_is_returned_with_its_signer(void **state) {
        static const char *const signers[] = { "firmware/signer", "firmware/signer-rsa" };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(signers); i++) {
                _cleanup_(encoder_done) Encoder der = ENCODER_INIT;
                _cleanup_(freep) uint8_t *content = NULL;
                RsError err = RS_ERROR_INIT;
                SignerInfo signer;
                size_t size;

                sign(signers[i], "firmware/chain.pem", &der);
                assert_int_equal(cms_verify(encoder_view(&der), anchors, &rules, 100, &content, &size, &signer, &err),
                                 0);
                assert_true(span_equal(SPAN(content, size), CONTENT_SPAN));
                assert_memory_equal(signer.subject, "CN=Firmware Signer", 18);
        }
}

static void openssl_program_agrees_about_our_signature(void **state) {
        _cleanup_(encoder_done) Encoder der = ENCODER_INIT;
        RsError err = RS_ERROR_INIT;

        (void) state;
        sign("firmware/signer", "firmware/chain.pem", &der);
        assert_int_equal(file_replace(AT_FDCWD, pki_path("m.cms"), encoder_view(&der), 0600, &err), 0);
        /* the command of docs/format-bundle.md section 2 */
        assert_int_equal(shell("openssl cms -verify -inform DER -in @/m.cms -CAfile @/firmware/root.pem -purpose any "
                               "-out @/m.json"), 0);
        assert_int_equal(shell("printf '%s' '" CONTENT "' | cmp - @/m.json"), 0);
}

static void each_flipped_byte_is_refused_or_changes_nothing(void **state) {
        _cleanup_(encoder_done) Encoder der = ENCODER_INIT;
        size_t passed = 0;

        (void) state;
        sign("firmware/signer", "firmware/chain.pem", &der);
        for (size_t i = 0; i < der.size; i++) {
                RsError err = RS_ERROR_INIT;

                der.data[i] ^= 1u << (i % 8);
                passed += verify(encoder_view(&der), 100, &err) == 0; /* and then the content is the signed one */
                der.data[i] ^= 1u << (i % 8);
        }
        assert_in_range(passed, 0, 12); /* version numbers, upper and lower case in the issuer's name: not signed */
}

static void bytes_behind_or_missing_are_refused(void **state) {
        _cleanup_(encoder_done) Encoder der = ENCODER_INIT;

        (void) state;
        sign("firmware/signer", "firmware/chain.pem", &der);
        for (size_t n = 0; n < der.size; n += 7)
                check_refused(SPAN(der.data, n), RS_REASON_SIGNATURE, "cut");
        encoder_u8(&der, 0);
        check_refused(encoder_view(&der), RS_REASON_SIGNATURE, "one byte more");
        encoder_zeros(&der, RS_TRANSPORT_MAX);
        check_refused(encoder_view(&der), RS_REASON_SIGNATURE, "larger than any message");
}

static void content_is_capped(void **state) {
        _cleanup_(encoder_done) Encoder der = ENCODER_INIT;
        _cleanup_(freep) uint8_t *content = NULL;
        RsError err = RS_ERROR_INIT;
        size_t size;

        (void) state;
        sign("firmware/signer", "firmware/chain.pem", &der);
        assert_int_equal(verify(encoder_view(&der), sizeof(CONTENT) - 1, &err), 0);
        assert_true(verify(encoder_view(&der), sizeof(CONTENT) - 2, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_SIGNATURE);
        err = RS_ERROR_INIT;
        assert_true(cms_peek(encoder_view(&der), sizeof(CONTENT) - 2, &content, &size, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_SIGNATURE);
        err = RS_ERROR_INIT;
        assert_int_equal(cms_peek(encoder_view(&der), sizeof(CONTENT) - 1, &content, &size, &err), 0);
        assert_true(span_equal(SPAN(content, size), CONTENT_SPAN));
}

static void signer_who_may_not_sign_is_refused_with_the_reason_of_the_path(void **state) {
        static const struct {
                const char *name, *chain;
                RsReason reason;
        } cases[] = {
                { "bad/signer-expired", "firmware/chain.pem", RS_REASON_EXPIRED },
                { "bad/signer-purpose", "firmware/chain.pem", RS_REASON_PURPOSE },
                { "bad/signer-rsa1024", "firmware/chain.pem", RS_REASON_ALGORITHM },
                { "bad/signer-other", "bad/signer-other-chain.pem", RS_REASON_CERTIFICATE },
                { "bad/signer-ca", "firmware/chain.pem", RS_REASON_PURPOSE },
                { "source/ticket", NULL, RS_REASON_CERTIFICATE },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(encoder_done) Encoder der = ENCODER_INIT;

                sign(cases[i].name, cases[i].chain, &der);
                check_refused(encoder_view(&der), cases[i].reason, cases[i].name);
        }
}

#define CLI_SIGN "printf '%s' '" CONTENT "' | openssl cms -sign -binary -outform DER -out @/m.cms " \
                 "-signer @/firmware/signer.pem -inkey @/firmware/signer.key -certfile @/firmware/chain.pem "

static void messages_of_another_form_are_refused(void **state) {
        static const struct {
                const char *command;
                RsReason reason;
        } cases[] = {
                { CLI_SIGN "-nodetach", RS_REASON_NONE },
                { CLI_SIGN "-nodetach -md sha512", RS_REASON_NONE },
                { CLI_SIGN "-nodetach -keyid", RS_REASON_NONE },
                { CLI_SIGN, RS_REASON_SIGNATURE },                        /* detached */
                { CLI_SIGN "-nodetach -noattr", RS_REASON_SIGNATURE },
                { CLI_SIGN "-nodetach -nocerts", RS_REASON_CERTIFICATE },
                { CLI_SIGN "-nodetach -md sha1", RS_REASON_ALGORITHM },
                { CLI_SIGN "-nodetach -md sha224", RS_REASON_ALGORITHM },
                { CLI_SIGN "-nodetach -econtent_type 1.2.3.4", RS_REASON_SIGNATURE },
                { CLI_SIGN "-nodetach -signer @/firmware/signer2.pem -inkey @/firmware/signer2.key",
                  RS_REASON_SIGNATURE },
                { "echo | openssl cms -data_create -outform DER -out @/m.cms", RS_REASON_SIGNATURE },
                { "echo | openssl cms -digest_create -outform DER -out @/m.cms", RS_REASON_SIGNATURE },
                { "cp @/firmware/signer.pem @/m.cms", RS_REASON_SIGNATURE },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(freep) uint8_t *der = NULL;
                RsError err = RS_ERROR_INIT;
                size_t size;

                assert_int_equal(shell(cases[i].command), 0);
                assert_int_equal(file_read(AT_FDCWD, pki_path("m.cms"), RS_MANIFEST_CMS_MAX, &der, &size, &err), 1);
                check_refused(SPAN(der, size), cases[i].reason, cases[i].command);
        }
}

static void content_type_must_be_the_signed_one(void **state) {
        _cleanup_(CMS_ContentInfo_freep) CMS_ContentInfo *cms = NULL;
        _cleanup_(freep) uint8_t *file = NULL;
        RsError err = RS_ERROR_INIT;
        const unsigned char *p;
        unsigned char *der = NULL;
        size_t size;
        int n;

        (void) state;
        assert_int_equal(shell(CLI_SIGN "-nodetach -econtent_type 1.2.3.4"), 0);
        assert_int_equal(file_read(AT_FDCWD, pki_path("m.cms"), RS_MANIFEST_CMS_MAX, &file, &size, &err), 1);
        p = file;
        cms = d2i_CMS_ContentInfo(NULL, &p, (long) size);
        assert_non_null(cms);
        assert_int_equal(CMS_set1_eContentType(cms, OBJ_nid2obj(NID_pkcs7_data)), 1);
        n = i2d_CMS_ContentInfo(cms, &der);
        assert_true(n > 0);
        check_refused(SPAN(der, (size_t) n), RS_REASON_SIGNATURE, "content type exchanged");
        OPENSSL_free(der);
}

static void key_of_another_certificate_cannot_sign(void **state) {
        _cleanup_(sk_X509_freep) STACK_OF(X509) *certs = NULL;
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
        _cleanup_(encoder_done) Encoder der = ENCODER_INIT;
        RsError err = RS_ERROR_INIT;

        (void) state;
        assert_int_equal(certs_load(pki_path("firmware/signer.pem"), &certs, &err), 0);
        assert_int_equal(key_load(pki_path("firmware/signer2.key"), &key, &err), 0);
        assert_true(cms_sign(CONTENT_SPAN, sk_X509_value(certs, 0), key, NULL, &der, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_CONFIG);
}

static void keys_and_certificates_that_cannot_be_loaded_say_so(void **state) {
        static const char *const keys[] = { "firmware/signer.pem", "nothing.key", "firmware" };
        STACK_OF(X509) *certs = NULL;
        EVP_PKEY *key = NULL;
        RsError err;

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
                err = RS_ERROR_INIT;
                assert_true(key_load(pki_path(keys[i]), &key, &err) < 0);
                assert_int_equal(err.reason, RS_REASON_CONFIG);
        }
        err = RS_ERROR_INIT;
        assert_true(key_load("pkcs11:object=nobody", &key, &err) < 0); /* no such provider here */
        assert_int_equal(err.reason, RS_REASON_CONFIG);
        err = RS_ERROR_INIT;
        assert_true(certs_load(pki_path("firmware/signer.key"), &certs, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_CONFIG);
        err = RS_ERROR_INIT;
        assert_true(certs_load(pki_path("nothing.pem"), &certs, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_CONFIG);
        assert_null(key);
        assert_null(certs);
}

/* -- envelopes -------------------------------------------------------------------------------------------------- */

static void envelop(const Secret *key, Encoder *ret) {
        _cleanup_(sk_X509_freep) STACK_OF(X509) *both = NULL;
        RsError err = RS_ERROR_INIT;

        assert_int_equal(shell("cat @/source/transport.pem @/source/transport2.pem >@/both.pem"), 0);
        assert_int_equal(certs_load(pki_path("both.pem"), &both, &err), 0);
        assert_int_equal(cms_envelop(key, both, ret, &err), 0);
}

static int develop(Span der, const char *name, Secret **ret, RsError *err) {
        _cleanup_(sk_X509_freep) STACK_OF(X509) *certs = NULL;
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
        RsError setup_err = RS_ERROR_INIT;
        char file[64];

        (void) snprintf(file, sizeof(file), "%s.pem", name);
        assert_int_equal(certs_load(pki_path(file), &certs, &setup_err), 0);
        (void) snprintf(file, sizeof(file), "%s.key", name);
        assert_int_equal(key_load(pki_path(file), &key, &setup_err), 0);
        return cms_develop(der, sk_X509_value(certs, 0), key, ret, err);
}

static void content_key_reaches_each_recipient_and_nobody_else(void **state) {
        _cleanup_(secret_freep) Secret *key = secret_new_random(RS_KEY_SIZE), *one = NULL, *two = NULL, *other = NULL;
        _cleanup_(encoder_done) Encoder der = ENCODER_INIT;
        RsError err = RS_ERROR_INIT;

        (void) state;
        envelop(key, &der);
        assert_int_equal(develop(encoder_view(&der), "source/transport", &one, &err), 0);
        assert_int_equal(develop(encoder_view(&der), "source/transport2", &two, &err), 0);
        assert_true(secret_equal(key, one) && secret_equal(key, two));
        assert_true(develop(encoder_view(&der), "device/one-unwrap", &other, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_DECRYPT);
        assert_null(other);
}

/* E8 of the threat analysis: OpenSSL's default is SHA-1. */
static void key_derivation_of_the_envelope_is_sha256(void **state) {
        static const uint8_t sha256kdf[] = { 0x06, 0x06, 0x2b, 0x81, 0x04, 0x01, 0x0b, 0x01 };
        static const uint8_t sha1kdf[] = { 0x06, 0x09, 0x2b, 0x81, 0x05, 0x10, 0x86, 0x48, 0x3f, 0x00, 0x02 };
        _cleanup_(secret_freep) Secret *key = secret_new_random(RS_KEY_SIZE);
        _cleanup_(encoder_done) Encoder der = ENCODER_INIT;

        (void) state;
        envelop(key, &der);
        assert_non_null(memmem(der.data, der.size, sha256kdf, sizeof(sha256kdf)));
        assert_null(memmem(der.data, der.size, sha1kdf, sizeof(sha1kdf)));
}

static void openssl_program_opens_our_envelope(void **state) {
        _cleanup_(secret_freep) Secret *key = secret_new_random(RS_KEY_SIZE);
        _cleanup_(encoder_done) Encoder der = ENCODER_INIT;
        _cleanup_(freep) uint8_t *plain = NULL;
        RsError err = RS_ERROR_INIT;
        size_t size;

        (void) state;
        envelop(key, &der);
        assert_int_equal(file_replace(AT_FDCWD, pki_path("e.cms"), encoder_view(&der), 0600, &err), 0);
        assert_int_equal(shell("openssl cms -decrypt -binary -inform DER -in @/e.cms -recip @/source/transport2.pem "
                               "-inkey @/source/transport2.key -out @/e.key"), 0);
        assert_int_equal(file_read(AT_FDCWD, pki_path("e.key"), 64, &plain, &size, &err), 1);
        assert_true(span_equal(SPAN(plain, size), secret_span(key)));
}

static void envelope_with_one_flipped_byte_never_gives_another_key(void **state) {
        _cleanup_(secret_freep) Secret *key = secret_new_random(RS_KEY_SIZE);
        _cleanup_(encoder_done) Encoder der = ENCODER_INIT;

        (void) state;
        envelop(key, &der);
        for (size_t i = 0; i < der.size; i += i + 80 < der.size ? 3 : 1) { /* key, tag: the end */
                _cleanup_(secret_freep) Secret *got = NULL;
                RsError err = RS_ERROR_INIT;

                der.data[i] ^= 1u << (i % 8);
                if (develop(encoder_view(&der), "source/transport", &got, &err) == 0)
                        assert_true(secret_equal(key, got));
                der.data[i] ^= 1u << (i % 8);
                assert_true(i + RS_KEY_SIZE + RS_TAG_SIZE + 2 < der.size || !got);
        }
}

static void envelopes_of_another_form_are_refused(void **state) {
        static const struct {
                const char *command;
                RsReason reason;
        } cases[] = {
#define CLI_ENVELOP "openssl cms -encrypt -binary -outform DER -out @/e.cms -recip @/source/transport.pem "
                { "head -c 32 /dev/urandom | " CLI_ENVELOP "-aes-256-gcm -keyopt ecdh_kdf_md:sha256", RS_REASON_NONE },
                { "head -c 32 /dev/urandom | " CLI_ENVELOP "-aes-256-cbc -keyopt ecdh_kdf_md:sha256", RS_REASON_ALGORITHM },
                { "head -c 33 /dev/urandom | " CLI_ENVELOP "-aes-256-gcm -keyopt ecdh_kdf_md:sha256", RS_REASON_DECRYPT },
                { "head -c 32 /dev/urandom >@/e.cms", RS_REASON_DECRYPT },
                { "head -c 70000 /dev/zero >@/e.cms", RS_REASON_DECRYPT },
#undef CLI_ENVELOP
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(secret_freep) Secret *got = NULL;
                _cleanup_(freep) uint8_t *der = NULL;
                RsError err = RS_ERROR_INIT;
                size_t size;

                assert_int_equal(shell(cases[i].command), 0);
                assert_int_equal(file_read(AT_FDCWD, pki_path("e.cms"), 1u << 20, &der, &size, &err), 1);
                (void) develop(SPAN(der, size), "source/transport", &got, &err);
                if (err.reason != cases[i].reason)
                        fail_msg("%s: %s (%s)", cases[i].command, rs_reason_name(err.reason), err.text);
        }
}

static void only_p256_certificates_and_whole_keys_are_enveloped(void **state) {
        _cleanup_(secret_freep) Secret *key = secret_new_random(RS_KEY_SIZE), *half = secret_new_random(16);
        _cleanup_(sk_X509_freep) STACK_OF(X509) *rsa = NULL, *p384 = NULL, *none = sk_X509_new_null();
        _cleanup_(encoder_done) Encoder der = ENCODER_INIT;
        RsError err = RS_ERROR_INIT;

        (void) state;
        assert_int_equal(certs_load(pki_path("firmware/signer-rsa.pem"), &rsa, &err), 0);
        assert_int_equal(certs_load(pki_path("source/root.pem"), &p384, &err), 0);
        assert_true(cms_envelop(key, rsa, &der, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_ALGORITHM);
        err = RS_ERROR_INIT;
        assert_true(cms_envelop(key, p384, &der, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_ALGORITHM);
        err = RS_ERROR_INIT;
        assert_true(cms_envelop(key, none, &der, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_INVALID);
        err = RS_ERROR_INIT;
        assert_true(cms_envelop(half, p384, &der, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_INVALID);
        assert_int_equal(der.size, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(signed_content_is_returned_with_its_signer),
                cmocka_unit_test(openssl_program_agrees_about_our_signature),
                cmocka_unit_test(each_flipped_byte_is_refused_or_changes_nothing),
                cmocka_unit_test(bytes_behind_or_missing_are_refused),
                cmocka_unit_test(content_is_capped),
                cmocka_unit_test(signer_who_may_not_sign_is_refused_with_the_reason_of_the_path),
                cmocka_unit_test(messages_of_another_form_are_refused),
                cmocka_unit_test(content_type_must_be_the_signed_one),
                cmocka_unit_test(key_of_another_certificate_cannot_sign),
                cmocka_unit_test(keys_and_certificates_that_cannot_be_loaded_say_so),
                cmocka_unit_test(content_key_reaches_each_recipient_and_nobody_else),
                cmocka_unit_test(key_derivation_of_the_envelope_is_sha256),
                cmocka_unit_test(openssl_program_opens_our_envelope),
                cmocka_unit_test(envelope_with_one_flipped_byte_never_gives_another_key),
                cmocka_unit_test(envelopes_of_another_form_are_refused),
                cmocka_unit_test(only_p256_certificates_and_whole_keys_are_enveloped),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
