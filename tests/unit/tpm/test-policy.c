/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * tpm/policy: what a signer computes without a TPM is what a TPM computes in a trial session (S64, S66).
 * cpHashes and the Names of level L2 are proven by test-chain: a TPM accepts what was signed over them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <tss2/tss2_esys.h>
#include <tss2/tss2_tctildr.h>

#include <openssl/evp.h>

#include <reseal/base/text.h>
#include <reseal/crypto/ossl-cleanup.h>
#include <reseal/tpm/key.h>

#include "../../../src/tpm/policy-step.h"
#include "swtpm.h"

#define OK(call)                                                                                \
        do {                                                                                    \
                int _ok = (call);                                                               \
                if (_ok < 0)                                                                    \
                        fail_msg("%s: %s (%s, 0x%x)", #call, err.text, err.origin, err.tss_rc); \
        } while (0)
#define TSS(call) assert_int_equal((call), TSS2_RC_SUCCESS)
#define NONE ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE
#define N_KEYS 4u /* authority, three recovery keys */

static Swtpm swtpm;
static TSS2_TCTI_CONTEXT *tcti;
static ESYS_CONTEXT *esys;
static uint8_t points[N_KEYS][RS_POINT_SIZE];
static ESYS_TR nv; /* stands for CHAIN: the functions take its Name */
static uint8_t nv_name_bytes[34];

static void make_point(uint8_t ret[RS_POINT_SIZE]) {
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = EVP_EC_gen("prime256v1");
        size_t size = 0;

        assert_non_null(key);
        assert_int_equal(EVP_PKEY_get_octet_string_param(key, "pub", ret, RS_POINT_SIZE, &size), 1);
        assert_int_equal(size, RS_POINT_SIZE);
}

static int setup(void **state) {
        TPM2B_AUTH no_auth = { 0 };
        TPM2B_NV_PUBLIC area = { .nvPublic = { .nvIndex = 0x01800300,
                                               .nameAlg = TPM2_ALG_SHA256,
                                               .attributes = TPMA_NV_AUTHREAD | TPMA_NV_AUTHWRITE,
                                               .dataSize = 160 } };
        TPM2B_NAME *name = NULL;

        (void) state;
        swtpm_start(&swtpm);
        TSS(Tss2_TctiLdr_Initialize(swtpm.tcti, &tcti));
        TSS(Esys_Initialize(&esys, tcti, NULL));
        TSS(Esys_NV_DefineSpace(esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
                                &no_auth, &area, &nv));
        TSS(Esys_TR_GetName(esys, nv, &name));
        assert_int_equal(name->size, 34);
        memcpy(nv_name_bytes, name->name, 34);
        Esys_Free(name);
        for (unsigned i = 0; i < N_KEYS; i++)
                make_point(points[i]);
        return 0;
}

static int teardown(void **state) {
        (void) state;
        Esys_Finalize(&esys);
        Tss2_TctiLdr_Finalize(&tcti);
        swtpm_stop(&swtpm);
        return 0;
}

static ESYS_TR load(unsigned key) {
        TPM2B_PUBLIC area = policy_key_public(points[key]);
        ESYS_TR loaded;

        TSS(Esys_LoadExternal(esys, NONE, NULL, &area, ESYS_TR_RH_OWNER, &loaded));
        return loaded;
}

static ESYS_TR trial(void) {
        static const TPMT_SYM_DEF no_cipher = { .algorithm = TPM2_ALG_NULL };
        ESYS_TR session;

        TSS(Esys_StartAuthSession(esys, ESYS_TR_NONE, ESYS_TR_NONE, NONE, NULL, TPM2_SE_TRIAL, &no_cipher,
                                  TPM2_ALG_SHA256, &session));
        return session;
}

static void check(ESYS_TR session, const uint8_t want[32]) {
        TPM2B_DIGEST *digest = NULL;

        TSS(Esys_PolicyGetDigest(esys, session, NONE, &digest));
        assert_int_equal(digest->size, 32);
        assert_memory_equal(digest->buffer, want, 32);
        Esys_Free(digest);
        TSS(Esys_FlushContext(esys, session));
}

/* A trial session does not look at the signature, but reads one. */
static void trial_signed(ESYS_TR session, unsigned key) {
        TPMT_SIGNATURE none = {
                .sigAlg = TPM2_ALG_ECDSA,
                .signature.ecdsa = { .hash = TPM2_ALG_SHA256, .signatureR.size = 32, .signatureS.size = 32 }
        };
        TPM2B_DIGEST cp_hash = { .size = 32 };
        ESYS_TR loaded = load(key);

        TSS(Esys_PolicySigned(esys, loaded, session, NONE, NULL, &cp_hash, NULL, 0, &none, NULL, NULL));
        TSS(Esys_FlushContext(esys, loaded));
}

static void trial_authorize(ESYS_TR session, unsigned key, const char *text) {
        static const TPM2B_DIGEST approved = { .size = 32 };
        static const TPMT_TK_VERIFIED ticket = { .tag = TPM2_ST_VERIFIED, .hierarchy = TPM2_RH_OWNER };
        TPM2B_NONCE ref = { .size = (UINT16) strlen(text) };
        TPM2B_NAME *name = NULL;
        ESYS_TR loaded = load(key);

        memcpy(ref.buffer, text, ref.size);
        TSS(Esys_TR_GetName(esys, loaded, &name));
        TSS(Esys_PolicyAuthorize(esys, session, NONE, &approved, &ref, name, &ticket));
        Esys_Free(name);
        TSS(Esys_FlushContext(esys, loaded));
}

static void trial_nv(ESYS_TR session, const void *operand, uint16_t size, uint16_t offset,
                     uint16_t operation) {
        TPM2B_OPERAND o = { .size = size };

        memcpy(o.buffer, operand, size);
        TSS(Esys_PolicyNV(esys, nv, nv, session, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &o, offset,
                          operation));
}

static void trial_cp_hash(ESYS_TR session, const uint8_t cp_hash[32]) {
        TPM2B_DIGEST d = { .size = 32 };

        memcpy(d.buffer, cp_hash, 32);
        TSS(Esys_PolicyCpHash(esys, session, NONE, &d));
}

static void fill(uint8_t *p, size_t n, uint8_t first) {
        for (size_t i = 0; i < n; i++)
                p[i] = (uint8_t) (first + i);
}

static void the_name_of_a_key_is_the_one_it_is_loaded_with(void **state) {
        RsError err = RS_ERROR_INIT;

        (void) state;
        for (unsigned i = 0; i < N_KEYS; i++) {
                TPM2B_NAME *name = NULL;
                ESYS_TR loaded = load(i);
                uint8_t want[34];

                OK(tpm_policy_key_name(points[i], want, &err));
                TSS(Esys_TR_GetName(esys, loaded, &name));
                assert_int_equal(name->size, 34);
                assert_memory_equal(name->name, want, 34);
                Esys_Free(name);
                TSS(Esys_FlushContext(esys, loaded));
        }
}

/* Not only on this machine: the template of docs/tpm.md, computed by other means (openssl, xxd). */
static void the_name_of_a_known_key_is_known(void **state) {
        RsError err = RS_ERROR_INIT;
        uint8_t point[RS_POINT_SIZE] = { 4 }, name[34];
        char hex[69];

        (void) state;
        fill(point + 1, 64, 1);
        OK(tpm_policy_key_name(point, name, &err));
        hex_encode(SPAN_ARRAY(name), hex);
        assert_string_equal(hex, "000b84480893f8e526acf8535cbdc0458859a6975951180fdf9673e6981d5e02c122");
        point[0] = 2;
        assert_true(tpm_policy_key_name(point, name, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_INTERNAL);
}

static void a_link_has_the_policy_that_the_tpm_computes(void **state) {
        RsError err = RS_ERROR_INIT;
        ESYS_TR session = trial();
        uint8_t spki[32], want[32];

        (void) state;
        fill(spki, sizeof(spki), 7);
        OK(tpm_policy_link(points[0], spki, nv_name_bytes, want, &err));
        trial_signed(session, 0);
        trial_nv(session, spki, 32, 40, TPM2_EO_EQ);
        check(session, want);
}

static void a_bridge_has_the_policy_that_the_tpm_computes(void **state) {
        uint8_t record[160], want[32], cp_hash[32];
        RsError err = RS_ERROR_INIT;
        ESYS_TR session = trial();

        (void) state;
        fill(record, sizeof(record), 3);
        OK(tpm_policy_bridge(record, nv_name_bytes, want, &err));
        OK(tpm_policy_cp_hash(record, nv_name_bytes, cp_hash, &err));
        trial_nv(session, record + 8, 16, 8, TPM2_EO_EQ);
        trial_nv(session, record + 32, 8, 32, TPM2_EO_UNSIGNED_LT);
        trial_cp_hash(session, cp_hash);
        check(session, want);
}

static void a_genesis_has_the_policy_that_the_tpm_computes(void **state) {
        uint8_t record[160], want[32], cp_hash[32];
        RsError err = RS_ERROR_INIT;
        ESYS_TR session = trial();

        (void) state;
        fill(record, sizeof(record), 5);
        OK(tpm_policy_genesis(record, nv_name_bytes, want, &err));
        OK(tpm_policy_cp_hash(record, nv_name_bytes, cp_hash, &err));
        trial_cp_hash(session, cp_hash);
        check(session, want);
}

static void every_branch_and_their_disjunction_is_the_one_the_tpm_computes(void **state) {
        uint8_t branches[POLICY_CHAIN_BRANCHES][32], first_write[POLICY_CHAIN_BRANCHES][32], authpol[34];
        const uint8_t(*recovery)[RS_POINT_SIZE] = (const uint8_t(*)[RS_POINT_SIZE]) points + 1;
        TPML_DIGEST list = { .count = POLICY_CHAIN_BRANCHES };
        RsError err = RS_ERROR_INIT;
        ESYS_TR session = trial();

        (void) state;
        OK(policy_chain_branches(points[0], recovery, branches, &err));
        OK(policy_authpol_branches(recovery, first_write, &err));
        OK(tpm_policy_authpol(points[0], recovery, authpol, &err));
        trial_authorize(session, 0, "reseal-link");
        check(session, branches[0]);
        for (unsigned i = 0; i < POLICY_PAIRS; i++) {
                session = trial();
                trial_authorize(session, 1u + policy_pairs[i][0], "reseal-bridge");
                trial_signed(session, 1u + policy_pairs[i][1]);
                check(session, branches[1 + i]);
                assert_memory_equal(first_write[1 + i], branches[1 + i], 32);
        }
        session = trial();
        TSS(Esys_PolicyNvWritten(esys, session, NONE, TPM2_NO));
        check(session, first_write[0]);

        session = trial();
        for (unsigned i = 0; i < POLICY_CHAIN_BRANCHES; i++) {
                list.digests[i].size = 32;
                memcpy(list.digests[i].buffer, branches[i], 32);
        }
        TSS(Esys_PolicyOR(esys, session, NONE, &list));
        assert_int_equal(authpol[0], 0);
        assert_int_equal(authpol[1], 0x0b);
        check(session, authpol + 2);
}

static void a_policy_held_in_an_index_is_the_one_the_tpm_computes(void **state) {
        Policy p = { .digest = { 1 } };
        RsError err = RS_ERROR_INIT;
        ESYS_TR session = trial();

        (void) state;
        OK(policy_authorize_nv(&p, nv_name_bytes, &err));
        TSS(Esys_PolicyAuthorizeNV(esys, nv, nv, session, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE));
        check(session, p.digest);
}

/* Who holds the keys in another order has another line. */
static void names_depend_on_the_recovery_keys_and_their_order(void **state) {
        uint8_t order[3][RS_POINT_SIZE], a[34], b[34], c[34], d[34];
        RsError err = RS_ERROR_INIT;

        (void) state;
        memcpy(order, points[1], sizeof(order));
        OK(tpm_policy_chain_names((const uint8_t(*)[RS_POINT_SIZE]) order, a, b, &err));
        assert_memory_not_equal(a, b, 34);
        OK(tpm_policy_chain_names((const uint8_t(*)[RS_POINT_SIZE]) order, c, d, &err));
        assert_memory_equal(b, d, 34);
        memcpy(order[0], points[2], RS_POINT_SIZE);
        memcpy(order[1], points[1], RS_POINT_SIZE);
        OK(tpm_policy_chain_names((const uint8_t(*)[RS_POINT_SIZE]) order, c, d, &err));
        assert_memory_not_equal(b, d, 34);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_name_of_a_key_is_the_one_it_is_loaded_with),
                cmocka_unit_test(the_name_of_a_known_key_is_known),
                cmocka_unit_test(a_link_has_the_policy_that_the_tpm_computes),
                cmocka_unit_test(a_bridge_has_the_policy_that_the_tpm_computes),
                cmocka_unit_test(a_genesis_has_the_policy_that_the_tpm_computes),
                cmocka_unit_test(every_branch_and_their_disjunction_is_the_one_the_tpm_computes),
                cmocka_unit_test(a_policy_held_in_an_index_is_the_one_the_tpm_computes),
                cmocka_unit_test(names_depend_on_the_recovery_keys_and_their_order),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
