/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * tpm/key and tpm/provider on a software TPM: three keys with one purpose each (S42), that never leave it
 * (S43), and the identity key in OpenSSL: a request, and handshakes of TLS 1.3 with exactly one TPM2_Sign
 * each (S29).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/ssl.h>
#include <tss2/tss2_mu.h>

#include <reseal/crypto/digest.h>
#include <reseal/crypto/ossl-cleanup.h>
#include <reseal/tpm/key.h>

#include "swtpm.h"

OSSL_DEFINE_CLEANUP(SSL, SSL_free)
OSSL_DEFINE_CLEANUP(SSL_CTX, SSL_CTX_free)
OSSL_DEFINE_CLEANUP(X509_REQ, X509_REQ_free)

static Device device;
static TpmKey keys[_TPM_KEY_PURPOSE_MAX];
static unsigned epoch;

#define OK(call)                                                                                \
        do {                                                                                    \
                int _ok = (call);                                                               \
                if (_ok < 0)                                                                    \
                        fail_msg("%s: %s (%s, 0x%x)", #call, err.text, err.origin, err.tss_rc); \
        } while (0)

static int setup(void **state) {
        RsError err = RS_ERROR_INIT;
        Tpm *t;

        (void) state;
        device_make(&device);
        t = device_tpm(&device, false);
        for (unsigned p = 0; p < _TPM_KEY_PURPOSE_MAX; p++)
                OK(tpm_key_create(t, (TpmKeyPurpose) p, &keys[p], &err));
        (void) tpm_free(t);
        return 0;
}

static int teardown(void **state) {
        (void) state;
        device_done(&device);
        return 0;
}

static int no_faults(void **state) {
        (void) state;
        (void) unsetenv("RESEAL_FAULT");
        return 0;
}

static void inject(const char *rules) {
        char text[16];

        (void) snprintf(text, sizeof(text), "%u", ++epoch);
        (void) setenv("RESEAL_FAULT_EPOCH", text, 1);
        (void) setenv("RESEAL_FAULT", rules, 1);
}

static EVP_PKEY *public_half(const TpmKey *key) {
        _cleanup_(encoder_done) Encoder der = ENCODER_INIT;
        RsError err = RS_ERROR_INIT;
        const unsigned char *p;
        uint8_t id[32];
        EVP_PKEY *k;

        OK(tpm_key_spki(key, &der, id, &err));
        p = der.data;
        k = d2i_PUBKEY(NULL, &p, (long) der.size);
        assert_non_null(k);
        assert_ptr_equal(p, der.data + der.size);
        return k;
}

static bool verifies(const TpmKey *key, Span message, const uint8_t *signature, size_t size) {
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *k = public_half(key);
        EVP_MD_CTX *c = EVP_MD_CTX_new();
        bool yes = EVP_DigestVerifyInit(c, NULL, EVP_sha256(), NULL, k) == 1 &&
                   EVP_DigestVerify(c, signature, size, message.data, message.size) == 1;

        EVP_MD_CTX_free(c);
        return yes;
}

static void a_blob_tells_its_purpose_and_belongs_to_its_tpm(void **state) {
        static const char *const names[] = { "identity", "unwrap", "attest" };
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false);
        RsError err = RS_ERROR_INIT;

        (void) state;
        for (unsigned p = 0; p < _TPM_KEY_PURPOSE_MAX; p++) {
                TpmKey k;

                OK(tpm_key_parse(SPAN(keys[p].blob, keys[p].blob_size), &k, &err));
                assert_int_equal(k.purpose, p);
                assert_memory_equal(&k, &keys[p], sizeof(k));
                assert_string_equal(tpm_key_purpose_to_string(k.purpose), names[p]);
                OK(tpm_key_check(t, &k, &err));
        }
}

/* Every byte of each blob flipped: refused while parsing, or by the TPM; never another key. */
static bool has_attribute(const TpmKey *key, const char *word) {
        const char *words[TPM_KEY_ATTRIBUTES_MAX];
        unsigned n = tpm_key_attributes(key, words);

        for (unsigned i = 0; i < n; i++)
                if (strcmp(words[i], word) == 0)
                        return true;
        return false;
}

/* What an operator reads about a key is what its blob says (S43). */
static void a_key_tells_its_attributes(void **state) {
        static const char *const ALL[] = { "fixedTPM", "fixedParent", "sensitiveDataOrigin", "noDA" };
        (void) state;

        for (int p = 0; p < _TPM_KEY_PURPOSE_MAX; p++)
                for (size_t i = 0; i < ELEMENTSOF(ALL); i++)
                        assert_true(has_attribute(&keys[p], ALL[i]));
        assert_true(has_attribute(&keys[TPM_KEY_IDENTITY], "sign"));
        assert_false(has_attribute(&keys[TPM_KEY_IDENTITY], "restricted"));
        assert_true(has_attribute(&keys[TPM_KEY_ATTEST], "restricted"));
        assert_true(has_attribute(&keys[TPM_KEY_UNWRAP], "decrypt"));
        assert_false(has_attribute(&keys[TPM_KEY_UNWRAP], "sign"));
        assert_string_equal(tpm_key_algorithm(&keys[TPM_KEY_UNWRAP]), "ECDH P-256 SHA-256");
}

static void a_blob_with_one_flipped_byte_is_refused(void **state) {
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false);

        (void) state;
        for (unsigned p = 0; p < _TPM_KEY_PURPOSE_MAX; p++)
                for (unsigned i = 0; i < keys[p].blob_size; i++) {
                        uint8_t blob[TPM_BLOB_MAX];
                        RsError err = RS_ERROR_INIT;
                        TpmKey k;

                        memcpy(blob, keys[p].blob, sizeof(blob));
                        blob[i] ^= 0x40;
                        if (tpm_key_parse(SPAN(blob, keys[p].blob_size), &k, &err) >= 0 &&
                            (i % 16 != 0 || tpm_key_check(t, &k, &err) >= 0))
                                /* the wrapped part is opaque here: the TPM is asked for every sixteenth */
                                continue;
                        assert_true(err.reason == RS_REASON_TPM_STATE || err.reason == RS_REASON_TPM_OTHER ||
                                    err.reason == RS_REASON_TPM);
                }
}

static void a_cut_or_prolonged_blob_is_refused(void **state) {
        uint8_t blob[TPM_BLOB_MAX + 1] = { 0 };
        TpmKey k;

        (void) state;
        memcpy(blob, keys[0].blob, keys[0].blob_size);
        for (unsigned size = 0; size <= TPM_BLOB_MAX + 1; size++) {
                RsError err = RS_ERROR_INIT;

                if (size == keys[0].blob_size)
                        continue;
                assert_true(tpm_key_parse(SPAN(blob, size), &k, &err) < 0);
                assert_int_equal(err.reason, RS_REASON_TPM_STATE);
        }
}

static void a_blob_of_another_tpm_is_refused(void **state) {
        _cleanup_(tpm_freep) Tpm *t = NULL;
        RsError err = RS_ERROR_INIT;
        Device other;

        (void) state;
        device_make(&other);
        t = device_tpm(&other, false);
        assert_true(tpm_key_check(t, &keys[TPM_KEY_IDENTITY], &err) < 0);
        assert_int_equal(err.reason, RS_REASON_TPM_OTHER);
        device_done(&other);
}

static void the_identity_key_signs(void **state) {
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false);
        RsError err = RS_ERROR_INIT;
        uint8_t digest[32], der[72];
        size_t size = 0;

        (void) state;
        OK(digest_sha256(SPAN("message", 7), digest, &err));
        for (int i = 0; i < 20; i++) { /* lengths of r and s vary */
                OK(tpm_key_sign(t, &keys[TPM_KEY_IDENTITY], digest, der, &size, &err));
                assert_true(verifies(&keys[TPM_KEY_IDENTITY], SPAN("message", 7), der, size));
        }
        assert_int_equal(tpm_sign_count(t), 20);
}

static void a_key_does_only_what_it_is_for(void **state) {
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false);
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *evp = NULL;
        _cleanup_(secret_freep) Secret *z = NULL;
        uint8_t digest[32] = { 1 }, der[72];
        RsError err = RS_ERROR_INIT;
        size_t size = 0;

        (void) state;
        assert_true(tpm_key_sign(t, &keys[TPM_KEY_UNWRAP], digest, der, &size, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_TPM);
        err = RS_ERROR_INIT;
        assert_true(tpm_key_sign(t, &keys[TPM_KEY_ATTEST], digest, der, &size, &err) < 0); /* restricted */
        assert_int_equal(err.reason, RS_REASON_TPM);
        err = RS_ERROR_INIT;
        assert_true(tpm_key_ecdh(t, &keys[TPM_KEY_IDENTITY], keys[TPM_KEY_UNWRAP].point, &z, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_TPM);
        err = RS_ERROR_INIT;
        assert_true(tpm_key_ecdh(t, &keys[TPM_KEY_ATTEST], keys[TPM_KEY_UNWRAP].point, &z, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_TPM);
        err = RS_ERROR_INIT;
        assert_true(tpm_key_evp(t, &keys[TPM_KEY_UNWRAP], &evp, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_INVALID);
}

static void ecdh_agrees_with_software(void **state) {
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *mine = EVP_EC_gen("P-256"),
                                           *theirs = public_half(&keys[TPM_KEY_UNWRAP]);
        _cleanup_(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(mine, NULL);
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false);
        _cleanup_(secret_freep) Secret *z = NULL;
        uint8_t want[32], point[RS_POINT_SIZE];
        RsError err = RS_ERROR_INIT;
        size_t size = sizeof(want);

        (void) state;
        assert_int_equal(EVP_PKEY_derive_init(c), 1);
        assert_int_equal(EVP_PKEY_derive_set_peer(c, theirs), 1);
        assert_int_equal(EVP_PKEY_derive(c, want, &size), 1);
        assert_int_equal(EVP_PKEY_get_octet_string_param(mine, "pub", point, sizeof(point), &size), 1);
        assert_int_equal(size, sizeof(point));
        OK(tpm_key_ecdh(t, &keys[TPM_KEY_UNWRAP], point, &z, &err));
        assert_int_equal(secret_size(z), 32);
        assert_memory_equal(secret_bytes(z), want, 32);
}

static void a_point_off_the_curve_is_refused(void **state) {
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false);
        _cleanup_(secret_freep) Secret *z = NULL;
        uint8_t point[RS_POINT_SIZE];
        RsError err = RS_ERROR_INIT;

        (void) state;
        memcpy(point, keys[TPM_KEY_IDENTITY].point, sizeof(point));
        point[64] ^= 1;
        assert_true(tpm_key_ecdh(t, &keys[TPM_KEY_UNWRAP], point, &z, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_TPM);
        err = RS_ERROR_INIT;
        point[0] = 2;
        assert_true(tpm_key_ecdh(t, &keys[TPM_KEY_UNWRAP], point, &z, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_TPM);
        assert_null(z);
}

static void the_attestation_key_certifies_the_unwrap_key(void **state) {
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false);
        _cleanup_(encoder_done) Encoder statement = ENCODER_INIT;
        RsError err = RS_ERROR_INIT;
        TPMS_ATTEST said = { 0 };
        size_t size = 0, offset = 0;
        uint8_t der[72];

        (void) state;
        OK(tpm_key_certify(t, &keys[TPM_KEY_ATTEST], &keys[TPM_KEY_UNWRAP], SPAN("nonce", 5), &statement, der,
                           &size, &err));
        assert_true(verifies(&keys[TPM_KEY_ATTEST], encoder_view(&statement), der, size));
        assert_int_equal(Tss2_MU_TPMS_ATTEST_Unmarshal(statement.data, statement.size, &offset, &said), 0);
        assert_int_equal(said.magic, TPM2_GENERATED_VALUE);
        assert_int_equal(said.type, TPM2_ST_ATTEST_CERTIFY);
        assert_memory_equal(said.extraData.buffer, "nonce", 5);

        assert_true(tpm_key_certify(t, &keys[TPM_KEY_IDENTITY], &keys[TPM_KEY_UNWRAP], SPAN("nonce", 5),
                                    &statement, der, &size, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_INVALID);
}

static void a_request_signed_in_the_tpm_verifies(void **state) {
        _cleanup_(X509_REQ_freep) X509_REQ *request = X509_REQ_new(), *copy = NULL;
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false);
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL, *in_request = NULL;
        RsError err = RS_ERROR_INIT;
        unsigned char *der = NULL;
        const unsigned char *p;
        int n;

        (void) state;
        OK(tpm_key_evp(t, &keys[TPM_KEY_IDENTITY], &key, &err));
        assert_int_equal(X509_REQ_set_pubkey(request, key), 1);
        assert_true(X509_REQ_sign(request, key, EVP_sha256()) > 0);
        n = i2d_X509_REQ(request, &der);
        p = der;
        copy = d2i_X509_REQ(NULL, &p, n);
        OPENSSL_free(der);
        assert_non_null(copy);
        in_request = X509_REQ_get_pubkey(copy);
        assert_int_equal(X509_REQ_verify(copy, in_request), 1);
        assert_int_equal(tpm_sign_count(t), 1);
}

/* A self-signed certificate is enough here: what matters is whose key makes the handshake's signature. */
static X509 *certificate_for(EVP_PKEY *subject, EVP_PKEY *issuer) {
        X509 *c = X509_new();

        assert_int_equal(X509_set_version(c, 2), 1);
        assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(c), 1), 1);
        assert_non_null(X509_gmtime_adj(X509_getm_notBefore(c), -60));
        assert_non_null(X509_gmtime_adj(X509_getm_notAfter(c), 3600));
        assert_int_equal(X509_NAME_add_entry_by_txt(X509_get_subject_name(c), "CN", MBSTRING_ASC,
                                                    (const unsigned char *) "x", -1, -1, 0),
                         1);
        assert_int_equal(X509_set_issuer_name(c, X509_get_subject_name(c)), 1);
        assert_int_equal(X509_set_pubkey(c, subject), 1);
        assert_true(X509_sign(c, issuer, EVP_sha256()) > 0);
        return c;
}

static int accept_any(int ok, X509_STORE_CTX *c) {
        (void) ok;
        (void) c;
        return 1;
}

/* Both ends in this thread; 1 when both say the handshake is complete. */
static int handshake(EVP_PKEY *client_key, X509 *client_cert, int version) {
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *server_key = EVP_EC_gen("P-256");
        _cleanup_(X509_freep) X509 *server_cert = certificate_for(server_key, server_key);
        _cleanup_(SSL_CTX_freep) SSL_CTX *server_ctx = SSL_CTX_new(TLS_server_method());
        _cleanup_(SSL_CTX_freep) SSL_CTX *client_ctx = SSL_CTX_new(TLS_client_method());
        _cleanup_(SSL_freep) SSL *server = NULL, *client = NULL;
        BIO *server_bio, *client_bio;
        int client_r = 0, server_r = 0;

        assert_int_equal(SSL_CTX_use_certificate(server_ctx, server_cert), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey(server_ctx, server_key), 1);
        SSL_CTX_set_verify(server_ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, accept_any);
        assert_int_equal(SSL_CTX_use_certificate(client_ctx, client_cert), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey(client_ctx, client_key), 1);
        assert_int_equal(SSL_CTX_check_private_key(client_ctx), 1);
        assert_int_equal(SSL_CTX_set_min_proto_version(client_ctx, version), 1);
        assert_int_equal(SSL_CTX_set_max_proto_version(client_ctx, version), 1);
        server = SSL_new(server_ctx);
        client = SSL_new(client_ctx);
        assert_int_equal(BIO_new_bio_pair(&server_bio, 0, &client_bio, 0), 1);
        SSL_set_bio(server, server_bio, server_bio);
        SSL_set_bio(client, client_bio, client_bio);
        for (int i = 0; i < 20 && (client_r != 1 || server_r != 1); i++) {
                client_r = SSL_connect(client);
                if (client_r <= 0 && SSL_get_error(client, client_r) != SSL_ERROR_WANT_READ)
                        return 0;
                server_r = SSL_accept(server);
                if (server_r <= 0 && SSL_get_error(server, server_r) != SSL_ERROR_WANT_READ)
                        return 0;
        }
        if (client_r == 1 && server_r == 1) {
                _cleanup_(X509_freep) X509 *seen = SSL_get1_peer_certificate(server);

                assert_non_null(seen);
                assert_int_equal(X509_cmp(seen, client_cert), 0);
                assert_int_equal(SSL_version(client), version);
        }
        return client_r == 1 && server_r == 1;
}

static void a_tls_handshake_is_one_signature_in_the_tpm(void **state) {
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false);
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL, *ca = EVP_EC_gen("P-256");
        _cleanup_(X509_freep) X509 *cert = NULL;
        RsError err = RS_ERROR_INIT;

        (void) state;
        OK(tpm_key_evp(t, &keys[TPM_KEY_IDENTITY], &key, &err));
        cert = certificate_for(key, ca);
        for (unsigned i = 1; i <= 3; i++) {
                assert_int_equal(handshake(key, cert, TLS1_3_VERSION), 1);
                assert_int_equal(tpm_sign_count(t), i);
        }
        assert_int_equal(handshake(key, cert, TLS1_2_VERSION), 1);
        assert_int_equal(tpm_sign_count(t), 4);
        assert_false(tpm_key_evp_failure(t, &err));
}

static void another_keys_certificate_does_not_fit(void **state) {
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL, *other = EVP_EC_gen("P-256");
        _cleanup_(SSL_CTX_freep) SSL_CTX *c = SSL_CTX_new(TLS_client_method());
        _cleanup_(X509_freep) X509 *cert = certificate_for(other, other);
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false);
        RsError err = RS_ERROR_INIT;

        (void) state;
        OK(tpm_key_evp(t, &keys[TPM_KEY_IDENTITY], &key, &err));
        assert_int_equal(SSL_CTX_use_certificate(c, cert), 1);
        assert_int_not_equal(SSL_CTX_use_PrivateKey(c, key), 1);
}

static void a_failed_signature_says_why_and_the_next_one_works(void **state) {
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL, *ca = EVP_EC_gen("P-256");
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, true);
        _cleanup_(X509_freep) X509 *cert = NULL;
        RsError err = RS_ERROR_INIT;

        (void) state;
        OK(tpm_key_evp(t, &keys[TPM_KEY_IDENTITY], &key, &err));
        cert = certificate_for(key, ca);
        inject("Sign:1:drop");
        assert_int_equal(handshake(key, cert, TLS1_3_VERSION), 0);
        assert_true(tpm_key_evp_failure(t, &err));
        assert_int_equal(err.reason, RS_REASON_TPM_GONE);
        (void) no_faults(NULL);
        assert_int_equal(handshake(key, cert, TLS1_3_VERSION), 1);
        assert_false(tpm_key_evp_failure(t, &err));
}

static void each_trouble_of_the_tpm_has_its_reason(void **state) {
        static const struct {
                const char *rule;
                RsReason reason;
        } troubles[] = {
                { "Sign:1:rc=0x921", RS_REASON_TPM_LOCKED }, /* lockout */
                { "Load:1:rc=0x902", RS_REASON_TPM_FULL },   /* object memory */
                { "Load:1:rc=0x903", RS_REASON_TPM_FULL },   /* session memory */
                { "Load:1:rc=0x1df", RS_REASON_TPM_OTHER },  /* integrity */
                { "Sign:1:rc=0x98e", RS_REASON_TPM_AUTH },   /* authorization */
                { "Sign:1:rc=0x101", RS_REASON_TPM },        /* failure mode */
                { "Sign:1:lose", RS_REASON_TPM_GONE },       { "Load:1:drop", RS_REASON_TPM_GONE },
                { "*:1:drop", RS_REASON_TPM_GONE },
        };
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, true);
        uint8_t digest[32] = { 7 }, der[72];
        size_t size = 0;

        (void) state;
        for (unsigned i = 0; i < ELEMENTSOF(troubles); i++) {
                RsError err = RS_ERROR_INIT;

                inject(troubles[i].rule);
                assert_true(tpm_key_sign(t, &keys[TPM_KEY_IDENTITY], digest, der, &size, &err) < 0);
                if (err.reason != troubles[i].reason)
                        fail_msg("%s gives %s: %s", troubles[i].rule, rs_reason_name(err.reason), err.text);
                (void) no_faults(NULL);
                err = RS_ERROR_INIT;
                OK(tpm_key_sign(t, &keys[TPM_KEY_IDENTITY], digest, der, &size, &err));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_blob_tells_its_purpose_and_belongs_to_its_tpm),
                cmocka_unit_test(a_key_tells_its_attributes),
                cmocka_unit_test(a_blob_with_one_flipped_byte_is_refused),
                cmocka_unit_test(a_cut_or_prolonged_blob_is_refused),
                cmocka_unit_test(a_blob_of_another_tpm_is_refused),
                cmocka_unit_test(the_identity_key_signs),
                cmocka_unit_test(a_key_does_only_what_it_is_for),
                cmocka_unit_test(ecdh_agrees_with_software),
                cmocka_unit_test(a_point_off_the_curve_is_refused),
                cmocka_unit_test(the_attestation_key_certifies_the_unwrap_key),
                cmocka_unit_test(a_request_signed_in_the_tpm_verifies),
                cmocka_unit_test(a_tls_handshake_is_one_signature_in_the_tpm),
                cmocka_unit_test(another_keys_certificate_does_not_fit),
                cmocka_unit_test_teardown(a_failed_signature_says_why_and_the_next_one_works, no_faults),
                cmocka_unit_test_teardown(each_trouble_of_the_tpm_has_its_reason, no_faults),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
