/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The certified copy of the record: what a software TPM certifies verifies without it, with the lock file and without;
 * one changed byte, another nonce, another key do not; and a key that signs anything, as no restricted one does, shows
 * that each word of a statement is looked at.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <reseal/base/text.h>
#include <reseal/crypto/ossl-cleanup.h>
#include <reseal/tpm/proof.h>

#include "../../../src/tpm/nv.h"
#include "../../../src/tpm/record.h"
#include "swtpm.h"

static Device device;
static TpmKey keys[_TPM_KEY_PURPOSE_MAX];
static Encoder spki;

#define NONCE "a nonce of twenty b."
#define OK(call)                                                                                \
        do {                                                                                    \
                int _ok = (call);                                                               \
                if (_ok < 0)                                                                    \
                        fail_msg("%s: %s (%s, 0x%x)", #call, err.text, err.origin, err.tss_rc); \
        } while (0)

static int setup(void **state) {
        RsError err = RS_ERROR_INIT;
        uint8_t unused[32];
        Tpm *t;

        (void) state;
        device_make(&device);
        t = device_tpm(&device, false);
        for (unsigned p = 0; p < _TPM_KEY_PURPOSE_MAX; p++)
                OK(tpm_key_create(t, (TpmKeyPurpose) p, &keys[p], &err));
        OK(tpm_key_spki(&keys[TPM_KEY_ATTEST], &spki, unused, &err));
        (void) tpm_free(t);
        return 0;
}

static int teardown(void **state) {
        (void) state;
        encoder_done(&spki);
        device_done(&device);
        return 0;
}

static TpmRecord record_of(uint64_t release) {
        TpmRecord r = { .line = "gateway", .release = release, .epoch = 3, .floor_epoch = 2 };

        memset(r.signer_spki, 0x11, sizeof(r.signer_spki));
        memset(r.manifest_digest, (int) release, sizeof(r.manifest_digest));
        memset(r.log_head, 0x33, sizeof(r.log_head));
        return r;
}

static void what_the_tpm_certifies_verifies_in_both_modes(void **state) {
        static uint64_t release;

        (void) state;
        for (int i = 0; i < 4; i++) { /* both buffers, on a bare TPM and on a shared one */
                _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
                TpmConfig c = swtpm_config(&device.swtpm);
                RsError err = RS_ERROR_INIT;
                TpmRecord r = record_of(++release);
                TpmState now;
                TpmProof proof;
                Tpm *t = NULL;

                c.shared = i >= 2;
                OK(tpm_new(&c, device.srk_name, &t, &err));
                OK(tpm_state_commit(t, device.gate, &r, &err));
                OK(tpm_proof_make(t, &keys[TPM_KEY_ATTEST], SPAN(NONCE, 20), SPAN("a certificate", 13), &e, &err));
                OK(tpm_state_read(t, &now, &err));
                (void) tpm_free(t);
                assert_true(e.size < TPM_PROOF_MAX);
                OK(tpm_proof_verify(encoder_view(&e), SPAN(NONCE, 20), encoder_view(&spki), &proof, &err));
                assert_true(proof.accept == now.accept);
                assert_true(proof.record.release == release);
                assert_int_equal(proof.record.epoch, 3);
                assert_memory_equal(proof.record.manifest_digest, r.manifest_digest, 32);
                assert_memory_equal(proof.record.line_tag, now.record.line_tag, 16);
        }
}

static void a_new_device_certifies_that_nothing_was_accepted(void **state) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT, key = ENCODER_INIT;
        RsError err = RS_ERROR_INIT;
        uint8_t unused[32];
        TpmProof proof;
        TpmKey attest;
        Device fresh;
        Tpm *t;

        (void) state;
        device_make(&fresh);
        t = device_tpm(&fresh, false);
        OK(tpm_key_create(t, TPM_KEY_ATTEST, &attest, &err));
        OK(tpm_key_spki(&attest, &key, unused, &err));
        OK(tpm_proof_make(t, &attest, SPAN(NONCE, 16), SPAN_NULL, &e, &err));
        OK(tpm_proof_verify(encoder_view(&e), SPAN(NONCE, 16), encoder_view(&key), &proof, &err));
        assert_true(proof.record.empty);
        /* and the key of another device is refused before anything it signed is looked at */
        assert_true(tpm_proof_verify(encoder_view(&e), SPAN(NONCE, 16), encoder_view(&spki), &proof, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_SIGNATURE);
        (void) tpm_free(t);
        device_done(&fresh);
}

static void make(Encoder *ret) {
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false);
        RsError err = RS_ERROR_INIT;

        OK(tpm_proof_make(t, &keys[TPM_KEY_ATTEST], SPAN(NONCE, 20), SPAN_NULL, ret, &err));
}

static RsReason verdict(Span proof, Span nonce, Span key) {
        RsError err = RS_ERROR_INIT;
        TpmProof unused;
        int r = tpm_proof_verify(proof, nonce, key, &unused, &err);

        assert_int_equal(r < 0, err.reason != RS_REASON_NONE);
        return err.reason;
}

static void no_byte_can_be_changed_or_left_out(void **state) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;

        (void) state;
        make(&e);
        assert_int_equal(verdict(encoder_view(&e), SPAN(NONCE, 20), encoder_view(&spki)), RS_REASON_NONE);
        for (size_t i = 0; i < e.size; i++) {
                RsReason why;

                e.data[i] ^= 0x04;
                why = verdict(encoder_view(&e), SPAN(NONCE, 20), encoder_view(&spki));
                assert_true(why == RS_REASON_FORMAT || why == RS_REASON_SIGNATURE);
                e.data[i] ^= 0x04;
                assert_int_equal(verdict(SPAN(e.data, i), SPAN(NONCE, 20), encoder_view(&spki)), RS_REASON_FORMAT);
        }
        encoder_u8(&e, 0);
        assert_int_equal(verdict(encoder_view(&e), SPAN(NONCE, 20), encoder_view(&spki)), RS_REASON_FORMAT);
}

static void another_nonce_is_refused(void **state) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;

        (void) state;
        make(&e);
        assert_int_equal(verdict(encoder_view(&e), SPAN("A nonce of twenty b.", 20), encoder_view(&spki)), RS_REASON_PROOF);
        assert_int_equal(verdict(encoder_view(&e), SPAN(NONCE, 19), encoder_view(&spki)), RS_REASON_PROOF);
        assert_int_equal(verdict(encoder_view(&e), SPAN(NONCE "\0", 21), encoder_view(&spki)), RS_REASON_PROOF);
}

static void only_the_attestation_key_and_nonces_of_some_length(void **state) {
        static const size_t sizes[] = { 0, TPM_PROOF_NONCE_MIN - 1, TPM_PROOF_NONCE_MAX + 1 };
        static const uint8_t nonce[TPM_PROOF_NONCE_MAX + 1];
        _cleanup_(tpm_freep) Tpm *t = device_tpm(&device, false);
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        RsError err = RS_ERROR_INIT;

        (void) state;
        assert_true(tpm_proof_make(t, &keys[TPM_KEY_IDENTITY], SPAN(nonce, 20), SPAN_NULL, &e, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_INVALID);
        for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
                err = RS_ERROR_INIT;
                assert_true(tpm_proof_make(t, &keys[TPM_KEY_ATTEST], SPAN(nonce, sizes[i]), SPAN_NULL, &e, &err) < 0);
                assert_int_equal(err.reason, RS_REASON_INVALID);
        }
        err = RS_ERROR_INIT;
        OK(tpm_proof_make(t, &keys[TPM_KEY_ATTEST], SPAN(nonce, TPM_PROOF_NONCE_MAX), SPAN_NULL, &e, &err));
}

/* -- statements of a key that signs anything --------------------------------------------------------------------- */

typedef struct Claim {
        uint32_t magic;
        uint16_t type;
        Span nonce;
        TPM2_HANDLE accept_index, record_index;
        bool written;
        uint16_t offset;
        uint64_t accept, counter;
        uint16_t record_size;
        bool trailing, damaged;
} Claim;

static void put_2b(Encoder *e, Span s) {
        encoder_u16(e, (uint16_t) s.size);
        encoder_span(e, s);
}

static void put_statement(Encoder *proof, const Claim *c, EVP_PKEY *key, TPM2_HANDLE index, Span contents) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        EVP_MD_CTX *md = EVP_MD_CTX_new();
        RsError err = RS_ERROR_INIT;
        uint8_t name[TPM_NAME_SIZE], der[80];
        size_t size = sizeof(der);

        OK(nv_name(index, c->written, name, &err));
        encoder_u32(&e, c->magic);
        encoder_u16(&e, c->type);
        put_2b(&e, SPAN("whoever", 7));
        put_2b(&e, c->nonce);
        encoder_zeros(&e, 17 + 8);
        put_2b(&e, SPAN_ARRAY(name));
        encoder_u16(&e, c->offset);
        put_2b(&e, contents);
        if (c->trailing)
                encoder_u8(&e, 0);
        assert_int_equal(EVP_DigestSignInit(md, NULL, EVP_sha256(), NULL, key), 1);
        assert_int_equal(EVP_DigestSign(md, der, &size, e.data, e.size), 1);
        EVP_MD_CTX_free(md);
        put_2b(proof, encoder_view(&e));
        put_2b(proof, SPAN(der, size));
}

static RsReason judged(const Claim *c, EVP_PKEY *key) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT, counter = ENCODER_INIT;
        TpmRecord r = record_of(9);
        uint8_t *der = NULL, bytes[NV_RECORD_SIZE];
        int n = i2d_PUBKEY(key, &der);
        RsError err = RS_ERROR_INIT;
        RsReason why;

        OK(nv_record_encode(&r, c->counter, bytes, &err));
        bytes[40] ^= c->damaged;
        encoder_u64(&counter, c->accept);
        encoder_bytes(&e, "RSPROOF1", 8);
        put_2b(&e, SPAN(der, n));
        put_2b(&e, SPAN_NULL);
        encoder_u32(&e, 2);
        put_statement(&e, c, key, c->accept_index, encoder_view(&counter));
        put_statement(&e, c, key, c->record_index, SPAN(bytes, c->record_size));
        why = verdict(encoder_view(&e), SPAN(NONCE, 20), SPAN(der, n));
        OPENSSL_free(der);
        return why;
}

static void each_word_of_a_statement_counts(void **state) {
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = EVP_EC_gen("prime256v1");
        const Claim good = { TPM2_GENERATED_VALUE, TPM2_ST_ATTEST_NV, SPAN(NONCE, 20), TPM_NV_ACCEPT, TPM_NV_RECORD1,
                             true, 0, 7, 7, NV_RECORD_SIZE, false, false };
        Claim bad[11];

        (void) state;
        assert_non_null(key);
        assert_int_equal(judged(&good, key), RS_REASON_NONE);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                bad[i] = good;
        bad[0].magic = TPM2_GENERATED_VALUE + 1;                      /* not made in a TPM */
        bad[1].type = TPM2_ST_ATTEST_CERTIFY;                         /* about an object */
        bad[2].nonce = SPAN("another", 7);
        bad[3].accept_index = TPM_NV_FLOOR;                           /* another counter */
        bad[4].record_index = TPM_NV_RECORD0;                         /* the buffer that is not valid */
        bad[5].written = false;                                       /* an index of other attributes */
        bad[6].offset = 8;
        bad[7].counter = 5;                                           /* rewound */
        bad[8].record_size = 160;
        bad[9].trailing = true;
        bad[10].damaged = true;
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                if (judged(&bad[i], key) != RS_REASON_PROOF)
                        fail_msg("claim %zu is taken", i);
}

static void a_key_of_another_kind_is_refused(void **state) {
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = EVP_EC_gen("P-384");
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        uint8_t *der = NULL;
        int n = i2d_PUBKEY(key, &der);

        (void) state;
        make(&e);
        assert_int_equal(verdict(encoder_view(&e), SPAN(NONCE, 20), SPAN(der, n)), RS_REASON_ALGORITHM);
        OPENSSL_free(der);
}

/* What others compare with: docs/tpm.md names the indices as we compute them. */
static void the_names_in_the_document_are_the_real_ones(void **state) {
        static const TPM2_HANDLE indices[] = { TPM_NV_ACCEPT, TPM_NV_RECORD0, TPM_NV_RECORD1 };
        const char *root = getenv("SOURCE_ROOT");
        char path[4096], line[4096], hex[HEX_SIZE(TPM_NAME_SIZE)];
        RsError err = RS_ERROR_INIT;
        uint8_t name[TPM_NAME_SIZE];
        unsigned n = 0;
        FILE *f;

        (void) state;
        assert_non_null(root);
        (void) snprintf(path, sizeof(path), "%s/docs/tpm.md", root);
        f = fopen(path, "re");
        assert_non_null(f);
        while (fgets(line, sizeof(line), f))
                for (size_t i = 0; i < ELEMENTSOF(indices); i++) {
                        OK(nv_name(indices[i], true, name, &err));
                        hex_encode(SPAN_ARRAY(name), hex);
                        n += strstr(line, hex) != NULL;
                }
        (void) fclose(f);
        assert_int_equal(n, 3);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_the_tpm_certifies_verifies_in_both_modes),
                cmocka_unit_test(a_new_device_certifies_that_nothing_was_accepted),
                cmocka_unit_test(no_byte_can_be_changed_or_left_out),
                cmocka_unit_test(another_nonce_is_refused),
                cmocka_unit_test(only_the_attestation_key_and_nonces_of_some_length),
                cmocka_unit_test(each_word_of_a_statement_counts),
                cmocka_unit_test(a_key_of_another_kind_is_refused),
                cmocka_unit_test(the_names_in_the_document_are_the_real_ones),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
