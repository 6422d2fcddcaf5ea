/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * proof - the certified copy of the record: ACCEPT and the record it makes valid, signed by the TPM for a nonce.
 *
 * Two statements of TPM2_NV_Certify by the attestation key.  That key is restricted: the TPM signs with it only
 * structures of its own that begin with TPM_GENERATED, and no digest that it did not make itself from something else.
 * So whoever knows the key believes the statement, whatever the device around it is.  What must hold:
 *   - each is over the caller's nonce: not an older one, and both for one question;
 *   - each names its index by Name.  The Names are the same on every device (docs/tpm.md): an index with other
 *     attributes, into which somebody may have written what he likes, has another one;
 *   - the record is the one of ACCEPT's buffer and carries ACCEPT's value: not the buffer that is being written, nor a
 *     valid record of before.
 * ACCEPT is certified first.  On a shared TPM a commit may come between the two; then both are made again.
 *
 * The two commands need the key as the one loaded object and no session: what they give is signed, and not secret.
 */
#include <string.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <reseal/base/ossl.h>
#include <reseal/crypto/ossl-cleanup.h>
#include <reseal/crypto/ossl-read.h>
#include <reseal/tpm/chain.h>
#include <reseal/tpm/proof.h>

#include "key-step.h"
#include "nv.h"
#include "record.h"
#include "tss-cleanup.h"

#define N_STATEMENTS 2u
#define ATTEST_MAX 1024u
#define SPKI_MAX 128u
#define SIGNATURE_MAX 72u
#define RACES_MAX 3u

static const char proof_magic[8] = { 'R', 'S', 'P', 'R', 'O', 'O', 'F', '1' };

typedef struct Statement {
        Span attest;            /* TPMS_ATTEST */
        Span signature;         /* DER */
} Statement;

/* What one statement says, as far as it concerns us. */
typedef struct Said {
        Span nonce;
        Span name;
        Span contents;
} Said;

/* -- statements --------------------------------------------------------------------------------------------------- */

static Span take_2b(Reader *r) {
        return reader_span(r, reader_u16(r));
}

static int parse_statement(Span attest, Said *ret, RsError *err) {
        Reader r = READER(attest);
        uint32_t magic = reader_u32(&r);
        uint16_t type = reader_u16(&r), offset;
        Said said;

        if (!reader_failed(&r) && magic != TPM2_GENERATED_VALUE)
                return rs_fail(err, PROOF, "not a statement of a TPM: it begins with 0x%08x", magic);
        if (!reader_failed(&r) && type != TPM2_ST_ATTEST_NV)
                return rs_fail(err, PROOF, "a statement of another kind: 0x%04x", type);
        (void) take_2b(&r);                  /* qualifiedSigner: the signature says who signed */
        said.nonce = take_2b(&r);
        (void) reader_span(&r, 17 + 8);      /* clockInfo, firmwareVersion */
        said.name = take_2b(&r);
        offset = reader_u16(&r);
        said.contents = take_2b(&r);
        if (reader_finish(&r) < 0)
                return rs_fail(err, PROOF, "a statement that is not well-formed");
        if (offset != 0)
                return rs_fail(err, PROOF, "a statement over a part of an index");
        *ret = said;
        return 0;
}

static int check_index(const Said *said, TPM2_HANDLE index, size_t size, const char *what, RsError *err) {
        uint8_t name[TPM_NAME_SIZE];
        int r;

        r = nv_name(index, true, name, err);
        if (r < 0)
                return r;
        if (!span_equal(said->name, SPAN_ARRAY(name)))
                return rs_fail(err, PROOF, "the statement is not over %s: another Name", what);
        if (said->contents.size != size)
                return rs_fail(err, PROOF, "%s with %zu bytes", what, said->contents.size);
        return 0;
}

/* ACCEPT's value, and that of the record it makes valid. */
static int judge(const Said said[N_STATEMENTS], TpmProof *ret, RsError *err) {
        RsError damage = RS_ERROR_INIT;
        TpmProof proof;
        uint64_t counter;
        Reader r;
        int k;

        k = check_index(&said[0], TPM_NV_ACCEPT, NV_COUNTER_SIZE, "ACCEPT", err);
        if (k < 0)
                return k;
        r = READER(said[0].contents);
        proof.accept = reader_u64(&r);
        k = check_index(&said[1], proof.accept & 1 ? TPM_NV_RECORD1 : TPM_NV_RECORD0, NV_RECORD_SIZE,
                        "the record that ACCEPT makes valid", err);
        if (k < 0)
                return k;
        if (nv_record_parse(said[1].contents.data, &proof.record, &counter, &damage) < 0)
                return rs_fail(err, PROOF, "%s", damage.text);
        if (counter != proof.accept)
                return rs_fail(err, PROOF, "the record has counter %llu, ACCEPT is %llu", (unsigned long long) counter,
                               (unsigned long long) proof.accept);
        *ret = proof;
        return 0;
}

/* -- making ----------------------------------------------------------------------------------------------------- */

static int certify(Tpm *t, ESYS_TR key, TPM2_HANDLE index, Span nonce, Encoder *attest, Encoder *signature,
                   RsError *err) {
        static const TPMT_SIG_SCHEME scheme = { .scheme = TPM2_ALG_ECDSA,
                                                .details.ecdsa.hashAlg = TPM2_ALG_SHA256 };
        _cleanup_(esys_freep) TPM2B_ATTEST *said = NULL;
        _cleanup_(esys_freep) TPMT_SIGNATURE *by = NULL;
        TPM2B_DATA extra = { .size = (UINT16) nonce.size };
        uint16_t size = index == TPM_NV_ACCEPT ? NV_COUNTER_SIZE : NV_RECORD_SIZE;
        uint8_t der[SIGNATURE_MAX];
        size_t der_size = 0;
        ESYS_TR nv;
        TSS2_RC rc;
        int r;

        r = nv_use(t, index, &nv, err);
        if (r < 0)
                return r;
        memcpy(extra.buffer, nonce.data, nonce.size);
        rc = TPM_TRY(Esys_NV_Certify(t->esys, key, nv, nv, ESYS_TR_PASSWORD, ESYS_TR_PASSWORD, ESYS_TR_NONE, &extra,
                                     &scheme, size, 0, &said, &by));
        tpm_flush(t, nv);
        if (rc != TSS2_RC_SUCCESS)
                return tpm_fail(t, rc, err, "certify an NV index");
        r = key_signature_der(by, der, &der_size, err);
        if (r < 0)
                return r;
        attest->size = signature->size = 0;
        encoder_bytes(attest, said->attestationData, said->size);
        encoder_bytes(signature, der, der_size);
        return encoder_finish(attest) < 0 || encoder_finish(signature) < 0 ? rs_fail_oom(err) : 0;
}

/* 1: they belong together, 0: a commit came between them. */
static int certify_both(Tpm *t, ESYS_TR key, Span nonce, Encoder attest[N_STATEMENTS], Encoder signature[N_STATEMENTS],
                        RsError *err) {
        Said said[N_STATEMENTS] = { 0 };
        RsError apart = RS_ERROR_INIT;
        TpmProof unused;
        int r;

        r = certify(t, key, TPM_NV_ACCEPT, nonce, &attest[0], &signature[0], err);
        if (r >= 0)
                r = parse_statement(encoder_view(&attest[0]), &said[0], err);
        if (r >= 0 && said[0].contents.size != NV_COUNTER_SIZE)
                r = rs_fail(err, TPM, "the TPM certified %zu bytes of a counter", said[0].contents.size);
        if (r >= 0)
                r = certify(t, key, said[0].contents.data[NV_COUNTER_SIZE - 1] & 1 ? TPM_NV_RECORD1 : TPM_NV_RECORD0,
                            nonce, &attest[1], &signature[1], err);
        if (r >= 0)
                r = parse_statement(encoder_view(&attest[1]), &said[1], err);
        if (r < 0)
                return r;
        return judge(said, &unused, &apart) >= 0 ? 1 : 0;
}

static void put_2b(Encoder *e, Span bytes) {
        encoder_u16(e, (uint16_t) bytes.size);
        encoder_span(e, bytes);
}

static int encode(const TpmKey *attest_key, Span certificate_pem, const Encoder *attest, const Encoder *signature,
                  Encoder *ret, RsError *err) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT, spki = ENCODER_INIT;
        uint8_t unused[32];
        int r;

        r = tpm_key_spki(attest_key, &spki, unused, err);
        if (r < 0)
                return r;
        encoder_bytes(&e, proof_magic, sizeof(proof_magic));
        put_2b(&e, encoder_view(&spki));
        put_2b(&e, certificate_pem.size <= TPM_PROOF_CERTIFICATE_MAX ? certificate_pem : SPAN_NULL);
        encoder_u32(&e, N_STATEMENTS);
        for (unsigned i = 0; i < N_STATEMENTS; i++) {
                put_2b(&e, encoder_view(&attest[i]));
                put_2b(&e, encoder_view(&signature[i]));
        }
        if (encoder_finish(&e) < 0)
                return rs_fail_oom(err);
        encoder_done(ret);
        *ret = e;
        e = ENCODER_INIT;
        return 0;
}

static int make_inside(Tpm *t, const TpmKey *key, Span nonce, Encoder attest[N_STATEMENTS],
                       Encoder signature[N_STATEMENTS], RsError *err) {
        ESYS_TR loaded;
        int r;

        r = key_use(t, key, &loaded, err);
        for (unsigned i = 0; r >= 0 && i < RACES_MAX; i++) {
                r = certify_both(t, loaded, nonce, attest, signature, err);
                if (r > 0)
                        return 0;
        }
        return r < 0 ? r : rs_fail(err, TPM_STATE, "ACCEPT and the record do not belong together");
}

int tpm_proof_make(Tpm *t, const TpmKey *attest_key, Span nonce, Span certificate_pem, Encoder *ret, RsError *err) {
        Encoder attest[N_STATEMENTS] = { ENCODER_INIT }, signature[N_STATEMENTS] = { ENCODER_INIT };
        int r;

        if (attest_key->purpose != TPM_KEY_ATTEST)
                return rs_fail(err, INVALID, "only an attestation key certifies");
        if (nonce.size < TPM_PROOF_NONCE_MIN || nonce.size > TPM_PROOF_NONCE_MAX)
                return rs_fail(err, INVALID, "a nonce has %u to %u bytes", TPM_PROOF_NONCE_MIN, TPM_PROOF_NONCE_MAX);
        r = tpm_begin(t, err);
        if (r < 0)
                return r;
        r = tpm_end(t, make_inside(t, attest_key, nonce, attest, signature, err));
        if (r >= 0)
                r = encode(attest_key, certificate_pem, attest, signature, ret, err);
        for (unsigned i = 0; i < N_STATEMENTS; i++) {
                encoder_done(&attest[i]);
                encoder_done(&signature[i]);
        }
        return r;
}

/* -- verifying -------------------------------------------------------------------------------------------------- */

static int parse(Span proof, Span *ret_spki, Statement ret[N_STATEMENTS], RsError *err) {
        Reader r = READER(proof);
        Span magic = reader_span(&r, sizeof(proof_magic)), spki = take_2b(&r), certificate = take_2b(&r);
        uint32_t n = reader_u32(&r);
        Statement s[N_STATEMENTS];

        if (proof.size > TPM_PROOF_MAX || !span_equal(magic, SPAN_ARRAY(proof_magic)))
                return rs_fail(err, FORMAT, "not a certified copy of a record");
        if (n != N_STATEMENTS || spki.size > SPKI_MAX || certificate.size > TPM_PROOF_CERTIFICATE_MAX)
                return rs_fail(err, FORMAT, "a certified copy of a form that is not known");
        for (unsigned i = 0; i < N_STATEMENTS; i++) {
                s[i].attest = take_2b(&r);
                s[i].signature = take_2b(&r);
                if (s[i].attest.size > ATTEST_MAX || s[i].signature.size > SIGNATURE_MAX)
                        r.failed = true;
        }
        if (reader_finish(&r) < 0)
                return rs_fail(err, FORMAT, "a certified copy that is cut, or longer than it says");
        *ret_spki = spki;
        memcpy(ret, s, sizeof(s));
        return 0;
}

static int verify_signature(EVP_PKEY *key, const Statement *s, RsError *err) {
        EVP_MD_CTX *c = EVP_MD_CTX_new();
        int r = -1;

        if (c && EVP_DigestVerifyInit_ex(c, NULL, "SHA256", ossl_context(), NULL, key, NULL) == 1)
                r = EVP_DigestVerify(c, s->signature.data, s->signature.size, s->attest.data, s->attest.size);
        EVP_MD_CTX_free(c);
        return r == 1 ? 0 : rs_fail_ssl(err, SIGNATURE, "the attestation key has not signed this statement");
}

int tpm_proof_verify(Span proof, Span nonce, Span spki_der, TpmProof *ret, RsError *err) {
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
        const uint8_t *p = spki_der.data;
        Statement statements[N_STATEMENTS];
        uint8_t point[RS_POINT_SIZE];
        Said said[N_STATEMENTS];
        Span spki;
        int r;

        r = parse(proof, &spki, statements, err);
        if (r < 0)
                return r;
        if (tpm_point_of_spki(spki_der, point, &(RsError){ 0 }) < 0)
                return rs_fail(err, ALGORITHM, "an attestation key is a P-256 key");
        if (!span_equal(spki, spki_der))
                return rs_fail(err, SIGNATURE, "made with another attestation key than this device's");
        key = ossl_d2i_pubkey(&p, (long) spki_der.size);
        if (!key)
                return rs_fail_ssl(err, ALGORITHM, "not a public key");
        for (unsigned i = 0; i < N_STATEMENTS; i++) {
                r = verify_signature(key, &statements[i], err);
                if (r >= 0)
                        r = parse_statement(statements[i].attest, &said[i], err);
                if (r < 0)
                        return r;
                if (!span_equal(said[i].nonce, nonce))
                        return rs_fail(err, PROOF, "made for another nonce");
        }
        return judge(said, ret, err);
}
