/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * chain - level L2: an index that only the chain's own signatures can move.
 *
 * The TPM runs the same checks as the gate, as a policy: who signed (PolicySigned by the previous signer), what exactly
 * is written (cpHash), on top of what (PolicyNV over the recorded signer, or over line and index for a bridge), with
 * whose consent (PolicyAuthorize by the authority or a recovery key), and that this way of writing is in force
 * (PolicyAuthorizeNV over AUTHPOL).  All signatures are over constants of the line: nothing is signed per device.
 *
 * A policy session walks this order, the same for all three kinds:
 *   conditions -> PolicyAuthorize -> (bridge: PolicySigned) -> PolicyOR -> PolicyAuthorizeNV -> NV_Write
 * One key is loaded at a time, and at most two sessions are open: a bare TPM has three places of each (F15).
 *
 * The policy session carries no parameter encryption: the TPM computes cpHash over the parameters as they arrive, and
 * the signatures are over plain ones.  Nothing in it is secret.
 *
 * A cut or a lost answer leaves CHAIN at the old or the new record (E4: never torn); every attempt looks first.  Two
 * programs at once cannot do harm: PolicyNV lets only one of two different links follow a record (F22).
 */
#include <string.h>

#include <openssl/ecdsa.h>
#include <openssl/x509.h>

#include <reseal/crypto/digest.h>
#include <reseal/crypto/ossl-cleanup.h>
#include <reseal/crypto/ossl-read.h>

#include "chain-nv.h"
#include "policy-step.h"
#include "tss-cleanup.h"

/* Keys and signatures as links carry them */

/* SEQUENCE { SEQUENCE { ecPublicKey, prime256v1 }, BIT STRING { 04 X Y } }: DER has one spelling for it. */
static const uint8_t spki_head[] = { 0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
                                     0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
                                     0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00 };

int tpm_point_of_spki(Span spki, uint8_t ret[RS_POINT_SIZE], RsError *err) {
        if (spki.size != sizeof(spki_head) + RS_POINT_SIZE ||
            memcmp(spki.data, spki_head, sizeof(spki_head)) != 0 || spki.data[sizeof(spki_head)] != 4)
                return rs_fail(err, CHAIN, "not the key of a chain: P-256, uncompressed");
        memcpy(ret, spki.data + sizeof(spki_head), RS_POINT_SIZE);
        return 0;
}

int tpm_point_of_certificate(Span der, uint8_t ret[RS_POINT_SIZE], RsError *err) {
        _cleanup_(X509_freep) X509 *cert = NULL;
        const uint8_t *p = der.data;
        uint8_t *spki = NULL;
        int size, r;

        cert = ossl_d2i_x509(&p, (long) der.size);
        if (!cert || p != der.data + der.size)
                return rs_fail_ssl(err, CHAIN, "not a certificate");
        size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &spki);
        if (size < 0)
                return rs_fail_ssl(err, CHAIN, "a certificate without a key");
        r = tpm_point_of_spki(SPAN(spki, (size_t) size), ret, err);
        OPENSSL_free(spki);
        return r;
}

static int signature_of(Span der, TPMT_SIGNATURE *ret, RsError *err) {
        TPMT_SIGNATURE s = {
                .sigAlg = TPM2_ALG_ECDSA,
                .signature.ecdsa = { .hash = TPM2_ALG_SHA256, .signatureR.size = 32, .signatureS.size = 32 }
        };
        _cleanup_(ECDSA_SIG_freep) ECDSA_SIG *sig = NULL;
        const uint8_t *p = der.data;

        sig = d2i_ECDSA_SIG(NULL, &p, (long) der.size);
        if (!sig || p != der.data + der.size ||
            BN_bn2binpad(ECDSA_SIG_get0_r(sig), s.signature.ecdsa.signatureR.buffer, 32) != 32 ||
            BN_bn2binpad(ECDSA_SIG_get0_s(sig), s.signature.ecdsa.signatureS.buffer, 32) != 32)
                return rs_fail_ssl(err, CHAIN, "not an ECDSA signature of P-256");
        *ret = s;
        return 0;
}

/* Indices */

/* NvPresence of an index of level L2; one of another kind is TPM_REDEFINED. */
static int find_index(Tpm *t, TPM2_HANDLE index, const uint8_t recovery[3][RS_POINT_SIZE], ESYS_TR *ret,
                      uint8_t ret_name[TPM_NAME_SIZE], RsError *err) {
        _cleanup_(esys_freep) TPM2B_NAME *found = NULL;
        TPM2B_NV_PUBLIC area;
        ESYS_TR nv = ESYS_TR_NONE;
        TSS2_RC rc;
        int r;

        r = tpm_find(t, index, &nv, err);
        if (r <= 0)
                return r < 0 ? r : NV_ABSENT;
        rc = Esys_TR_GetName(t->esys, nv, &found);
        if (rc != TSS2_RC_SUCCESS)
                return tpm_fail(t, rc, err, "name of an NV index");
        for (int presence = NV_DEFINED; presence <= NV_WRITTEN; presence++) {
                r = policy_nv_public(index, recovery, presence == NV_WRITTEN, &area, err);
                if (r >= 0)
                        r = policy_nv_name(&area, ret_name, err);
                if (r < 0)
                        return r;
                if (found->size == TPM_NAME_SIZE && memcmp(found->name, ret_name, TPM_NAME_SIZE) == 0) {
                        *ret = nv;
                        return presence;
                }
        }
        return rs_fail(err, TPM_REDEFINED, "NV index 0x%x is not as level L2 defines it", index);
}

/* An index that must have been written; forgotten again by the caller. */
static int use_index(Tpm *t, TPM2_HANDLE index, const uint8_t recovery[3][RS_POINT_SIZE], ESYS_TR *ret,
                     RsError *err) {
        uint8_t name[TPM_NAME_SIZE];
        int r;

        r = find_index(t, index, recovery, ret, name, err);
        if (r >= 0 && r != NV_WRITTEN)
                return rs_fail(err, TPM_REDEFINED, "NV index 0x%x is missing or empty beside CHAIN", index);
        return r < 0 ? r : 0;
}

int chain_open(Tpm *t, ESYS_TR session, ChainIndex *ret, RsError *err) {
        static const uint8_t none[3][RS_POINT_SIZE]; /* RECOVERY's own Name does not depend on its content */
        ChainIndex c = { 0 };
        ESYS_TR probe, recovery;
        int r;

        r = tpm_find(t, TPM_NV_CHAIN, &probe, err);
        if (r <= 0)
                return r;
        tpm_flush(t, probe);
        r = use_index(t, TPM_NV_RECOVERY, none, &recovery, err);
        if (r < 0)
                return r;
        r = nv_read(t, recovery, session, c.recovery, sizeof(c.recovery), err);
        tpm_flush(t, recovery);
        if (r < 0)
                return r;
        r = find_index(t, TPM_NV_CHAIN, c.recovery, &c.nv, c.name, err);
        if (r < 0)
                return r;
        c.written = r == NV_WRITTEN;
        *ret = c;
        return 1;
}

int chain_read(Tpm *t, ESYS_TR session, const ChainIndex *c, uint8_t ret_bytes[LINK_RECORD_SIZE],
               ChainRecord *ret, RsError *err) {
        RsError unknown = RS_ERROR_INIT;
        int r;

        r = nv_read(t, c->nv, session, ret_bytes, LINK_RECORD_SIZE, err);
        if (r < 0)
                return r;
        if (chain_record_parse(ret_bytes, ret, &unknown) < 0)
                return rs_fail(err, TPM_STATE, "CHAIN: %s", unknown.text);
        return 0;
}

/* Steps of a policy session */

typedef struct Walk {
        Tpm *t;
        ESYS_TR read;   /* HMAC session */
        ESYS_TR policy; /* the session that will write */
        ChainIndex index;
} Walk;

#define NO_SESSIONS ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE

static int start_policy(Walk *w, RsError *err) {
        TSS2_RC rc;
        int r;

        r = tpm_session(w->t, TPM2_SE_POLICY, &w->policy, err);
        if (r < 0)
                return r;
        rc = Esys_TRSess_SetAttributes(w->t->esys, w->policy, TPMA_SESSION_CONTINUESESSION, 0xff);
        return rc == TSS2_RC_SUCCESS ? 0 : tpm_fail(w->t, rc, err, "session attributes");
}

static int load_key(Walk *w, const uint8_t point[RS_POINT_SIZE], ESYS_TR *ret, RsError *err) {
        TPM2B_PUBLIC area = policy_key_public(point);
        TSS2_RC rc = TPM_TRY(Esys_LoadExternal(w->t->esys, NO_SESSIONS, NULL, &area, ESYS_TR_RH_OWNER, ret));

        if (rc != TSS2_RC_SUCCESS)
                return tpm_fail(w->t, rc, err, "load a key of the chain");
        tpm_note(w->t, *ret, true);
        return 0;
}

/* A signature that does not verify is the policy refusing, whatever the TPM calls it. */
static int refused(Walk *w, TSS2_RC rc, RsError *err, const char *what) {
        if (tpm_rc_base(rc) == TPM2_RC_SIGNATURE || tpm_rc_base(rc) == TPM2_RC_VALUE)
                return rs_fail(err, TPM_AUTH, "%s: the TPM refused it (0x%x)", what, rc);
        return tpm_fail(w->t, rc, err, what);
}

static int step_signed(Walk *w, const uint8_t point[RS_POINT_SIZE], const uint8_t cp_hash[TPM_DIGEST_SIZE],
                       Span der, RsError *err) {
        TPM2B_DIGEST bound = { .size = TPM_DIGEST_SIZE };
        TPMT_SIGNATURE signature;
        ESYS_TR key;
        TSS2_RC rc;
        int r;

        memcpy(bound.buffer, cp_hash, TPM_DIGEST_SIZE);
        r = signature_of(der, &signature, err);
        if (r >= 0)
                r = load_key(w, point, &key, err);
        if (r < 0)
                return r;
        rc = TPM_TRY(Esys_PolicySigned(w->t->esys, key, w->policy, NO_SESSIONS, NULL, &bound, NULL, 0,
                                       &signature, NULL, NULL));
        tpm_flush(w->t, key);
        return rc == TSS2_RC_SUCCESS ? 0 : refused(w, rc, err, "endorsement");
}

static int step_nv(Walk *w, ESYS_TR nv, Span operand, uint16_t offset, uint16_t operation, const char *what,
                   RsError *err) {
        TPM2B_OPERAND o = { .size = (UINT16) operand.size };
        TSS2_RC rc;

        memcpy(o.buffer, operand.data, operand.size);
        rc = TPM_TRY(Esys_PolicyNV(w->t->esys, nv, nv, w->policy, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                   ESYS_TR_NONE, &o, offset, operation));
        return rc == TSS2_RC_SUCCESS ? 0 : tpm_fail(w->t, rc, err, what);
}

static int step_cp_hash(Walk *w, const uint8_t cp_hash[TPM_DIGEST_SIZE], RsError *err) {
        TPM2B_DIGEST d = { .size = TPM_DIGEST_SIZE };
        TSS2_RC rc;

        memcpy(d.buffer, cp_hash, TPM_DIGEST_SIZE);
        rc = TPM_TRY(Esys_PolicyCpHash(w->t->esys, w->policy, NO_SESSIONS, &d));
        return rc == TSS2_RC_SUCCESS ? 0 : tpm_fail(w->t, rc, err, "what is to be written");
}

static int step_authorize(Walk *w, const uint8_t point[RS_POINT_SIZE],
                          const uint8_t approved[TPM_DIGEST_SIZE], const char *policy_ref, Span der,
                          RsError *err) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        _cleanup_(esys_freep) TPMT_TK_VERIFIED *ticket = NULL;
        TPM2B_DIGEST policy = { .size = TPM_DIGEST_SIZE }, digest = { .size = TPM_DIGEST_SIZE };
        TPM2B_NONCE ref = { .size = (UINT16) strlen(policy_ref) };
        TPM2B_NAME name = { .size = TPM_NAME_SIZE };
        TPMT_SIGNATURE signature;
        ESYS_TR key;
        TSS2_RC rc;
        int r;

        memcpy(policy.buffer, approved, TPM_DIGEST_SIZE);
        memcpy(ref.buffer, policy_ref, ref.size);
        encoder_bytes(&e, approved, TPM_DIGEST_SIZE);
        encoder_bytes(&e, policy_ref, ref.size);
        if (encoder_finish(&e) < 0)
                return rs_fail_oom(err);
        r = digest_sha256(encoder_view(&e), digest.buffer, err);
        if (r >= 0)
                r = signature_of(der, &signature, err);
        if (r >= 0)
                r = tpm_policy_key_name(point, name.name, err);
        if (r >= 0)
                r = load_key(w, point, &key, err);
        if (r < 0)
                return r;
        rc = TPM_TRY(Esys_VerifySignature(w->t->esys, key, NO_SESSIONS, &digest, &signature, &ticket));
        tpm_flush(w->t, key);
        if (rc != TSS2_RC_SUCCESS)
                return refused(w, rc, err, "approval");
        rc = TPM_TRY(Esys_PolicyAuthorize(w->t->esys, w->policy, NO_SESSIONS, &policy, &ref, &name, ticket));
        return rc == TSS2_RC_SUCCESS ? 0 : refused(w, rc, err, "approval");
}

static int step_or(Walk *w, const uint8_t branches[POLICY_CHAIN_BRANCHES][TPM_DIGEST_SIZE], RsError *err) {
        TPML_DIGEST list = { .count = POLICY_CHAIN_BRANCHES };
        TSS2_RC rc;

        for (unsigned i = 0; i < POLICY_CHAIN_BRANCHES; i++) {
                list.digests[i].size = TPM_DIGEST_SIZE;
                memcpy(list.digests[i].buffer, branches[i], TPM_DIGEST_SIZE);
        }
        rc = TPM_TRY(Esys_PolicyOR(w->t->esys, w->policy, NO_SESSIONS, &list));
        return rc == TSS2_RC_SUCCESS ? 0 : refused(w, rc, err, "none of the ways to write");
}

static int step_authpol(Walk *w, RsError *err) {
        ESYS_TR authpol;
        TSS2_RC rc;
        int r;

        r = use_index(w->t, TPM_NV_AUTHPOL, w->index.recovery, &authpol, err);
        if (r < 0)
                return r;
        rc = TPM_TRY(Esys_PolicyAuthorizeNV(w->t->esys, authpol, authpol, w->policy, ESYS_TR_PASSWORD,
                                            ESYS_TR_NONE, ESYS_TR_NONE));
        tpm_flush(w->t, authpol);
        return rc == TSS2_RC_SUCCESS ? 0 : refused(w, rc, err, "the authority in force");
}

/* Links, bridges, a genesis */

static int conditions_of_link(Walk *w, const Link *link, const uint8_t cp_hash[TPM_DIGEST_SIZE],
                              uint8_t ret_policy[TPM_DIGEST_SIZE], RsError *err) {
        uint8_t point[RS_POINT_SIZE], spki[SHA256_SIZE];
        int r;

        r = tpm_point_of_spki(link->endorser, point, err);
        if (r >= 0)
                r = digest_sha256(link->endorser, spki, err);
        if (r >= 0)
                r = tpm_policy_link(point, spki, w->index.name, ret_policy, err);
        if (r >= 0)
                r = step_signed(w, point, cp_hash, link->endorsement, err);
        if (r >= 0)
                r = step_nv(w, w->index.nv, SPAN_ARRAY(spki), POLICY_SPKI_OFFSET, TPM2_EO_EQ,
                            "the recorded signer is not the endorser", err);
        return r;
}

static int conditions_of_bridge(Walk *w, const Link *link, const uint8_t cp_hash[TPM_DIGEST_SIZE],
                                uint8_t ret_policy[TPM_DIGEST_SIZE], RsError *err) {
        int r;

        r = tpm_policy_bridge(link->record_bytes, w->index.name, ret_policy, err);
        if (r >= 0)
                r = step_nv(w, w->index.nv, SPAN(link->record_bytes + POLICY_LINE_OFFSET, 16),
                            POLICY_LINE_OFFSET, TPM2_EO_EQ, "the recorded line is another one", err);
        if (r >= 0)
                r = step_nv(w, w->index.nv, SPAN(link->record_bytes + POLICY_INDEX_OFFSET, 8),
                            POLICY_INDEX_OFFSET, TPM2_EO_UNSIGNED_LT,
                            "the recorded release is not below the bridge's", err);
        return r < 0 ? r : step_cp_hash(w, cp_hash, err);
}

/* Conditions and consent of one kind of link, up to the branch of AUTHPOL it stands for. */
static int branch_of(Walk *w, const Link *link, RsError *err) {
        uint8_t cp_hash[TPM_DIGEST_SIZE], approved[TPM_DIGEST_SIZE], point[RS_POINT_SIZE];
        int r;

        r = tpm_policy_cp_hash(link->record_bytes, w->index.name, cp_hash, err);
        if (r < 0)
                return r;
        switch (link->kind) {
        case LINK_NEXT:
                r = conditions_of_link(w, link, cp_hash, approved, err);
                break;
        case LINK_BRIDGE:
                r = conditions_of_bridge(w, link, cp_hash, approved, err);
                break;
        case LINK_GENESIS:
        default:
                r = tpm_policy_genesis(link->record_bytes, w->index.name, approved, err);
                if (r >= 0)
                        r = step_cp_hash(w, cp_hash, err);
                break;
        }
        if (r < 0)
                return r;
        if (link->kind != LINK_BRIDGE) {
                r = tpm_point_of_certificate(link->authority, point, err);
                return r < 0 ? r : step_authorize(w, point, approved, POLICY_REF_LINK, link->approval, err);
        }
        r = tpm_point_of_spki(link->endorser2, point, err);
        if (r >= 0)
                r = step_authorize(w, point, approved, POLICY_REF_BRIDGE, link->approval, err);
        if (r >= 0)
                r = tpm_point_of_spki(link->endorser, point, err);
        return r < 0 ? r : step_signed(w, point, cp_hash, link->endorsement, err);
}

/* w->policy has satisfied everything that nv's policy asks; what was written is compared. */
static int write_and_compare(Walk *w, ESYS_TR nv, const uint8_t *data, uint16_t size, RsError *err) {
        uint8_t landed[LINK_RECORD_SIZE];
        int r;

        r = nv_write(w->t, nv, w->policy, data, size, err);
        if (r < 0)
                return r;
        r = nv_read(w->t, nv, w->read, landed, size, err);
        if (r < 0)
                return r;
        if (memcmp(landed, data, size) != 0)
                return rs_fail(err, TPM_STATE,
                               "what was read back from the chain differs from what was written");
        return 0;
}

static int open_walk(Tpm *t, Walk *w, RsError *err) {
        int r;

        *w = (Walk){ .t = t };
        r = tpm_session(t, TPM2_SE_HMAC, &w->read, err);
        if (r < 0)
                return r;
        r = chain_open(t, w->read, &w->index, err);
        if (r == 0)
                return rs_fail(err, INVALID, "this TPM has no CHAIN: it is of level L1");
        return r < 0 ? r : 0;
}

static int apply_once(Tpm *t, const Link *link, RsError *err) {
        uint8_t branches[POLICY_CHAIN_BRANCHES][TPM_DIGEST_SIZE], authority[RS_POINT_SIZE],
                        now[LINK_RECORD_SIZE];
        ChainRecord ignored;
        Walk w;
        int r;

        r = open_walk(t, &w, err);
        if (r < 0)
                return r;
        if (w.index.written) {
                r = chain_read(t, w.read, &w.index, now, &ignored, err);
                if (r < 0 || memcmp(now, link->record_bytes, sizeof(now)) == 0)
                        return r;
        } else if (link->kind != LINK_GENESIS)
                return rs_fail(err, TPM_AUTH, "CHAIN is empty: only a genesis can be its first record");
        if (memcmp(link->chain_name, w.index.name, TPM_NAME_SIZE) != 0)
                return rs_fail(err, TPM_AUTH, "the link is not for the CHAIN of this TPM as it is now");
        r = tpm_point_of_certificate(link->authority, authority, err);
        if (r >= 0)
                r = policy_chain_branches(authority, w.index.recovery, branches, err);
        if (r >= 0)
                r = start_policy(&w, err);
        if (r >= 0)
                r = branch_of(&w, link, err);
        if (r >= 0)
                r = step_or(&w, branches, err);
        if (r >= 0)
                r = step_authpol(&w, err);
        return r < 0 ? r : write_and_compare(&w, w.index.nv, link->record_bytes, LINK_RECORD_SIZE, err);
}

int tpm_chain_apply(Tpm *t, const Link *link, RsError *err) {
        unsigned attempt = 0;
        int r;

        r = tpm_begin(t, err);
        if (r < 0)
                return r;
        do
                r = apply_once(t, link, err);
        while (tpm_once_more(t, r, &attempt, err));
        return tpm_end(t, r);
}

int tpm_level(Tpm *t, TpmLevel *ret, RsError *err) {
        ESYS_TR chain;
        int r;

        r = tpm_begin(t, err);
        if (r < 0)
                return r;
        r = tpm_find(t, TPM_NV_CHAIN, &chain, err);
        if (r >= 0)
                *ret = r > 0 ? TPM_LEVEL_L2 : TPM_LEVEL_L1;
        return tpm_end(t, r < 0 ? r : 0);
}

static int read_inside(Tpm *t, bool *ret_empty, ChainRecord *ret, RsError *err) {
        uint8_t bytes[LINK_RECORD_SIZE];
        Walk w;
        int r;

        r = open_walk(t, &w, err);
        if (r >= 0 && w.index.written)
                r = chain_read(t, w.read, &w.index, bytes, ret, err);
        if (r >= 0)
                *ret_empty = !w.index.written;
        return r;
}

int tpm_chain_read(Tpm *t, bool *ret_empty, ChainRecord *ret, RsError *err) {
        int r;

        r = tpm_begin(t, err);
        return r < 0 ? r : tpm_end(t, read_inside(t, ret_empty, ret, err));
}

static int read_authpol(Walk *w, ESYS_TR *ret_nv, uint8_t ret[TPM_AUTHPOL_SIZE], RsError *err) {
        int r;

        *ret_nv = ESYS_TR_NONE;
        r = use_index(w->t, TPM_NV_AUTHPOL, w->index.recovery, ret_nv, err);
        return r < 0 ? r : nv_read(w->t, *ret_nv, w->read, ret, TPM_AUTHPOL_SIZE, err);
}

static int authpol_inside(Tpm *t, uint8_t ret[TPM_AUTHPOL_SIZE], RsError *err) {
        ESYS_TR nv = ESYS_TR_NONE;
        Walk w;
        int r;

        r = open_walk(t, &w, err);
        return r < 0 ? r : read_authpol(&w, &nv, ret, err);
}

int tpm_chain_authpol(Tpm *t, uint8_t ret[AUTHORITY_POLICY_SIZE], RsError *err) {
        int r;

        r = tpm_begin(t, err);
        return r < 0 ? r : tpm_end(t, authpol_inside(t, ret, err));
}

static int rules_inside(Tpm *t, ChainRules *ret, RsError *err) {
        ESYS_TR nv;
        Walk w;
        int r;

        r = open_walk(t, &w, err);
        if (r >= 0)
                r = read_authpol(&w, &nv, ret->authority_policy, err);
        if (r >= 0)
                r = tpm_policy_chain_names((const uint8_t(*)[RS_POINT_SIZE]) w.index.recovery, ret->names[0],
                                           ret->names[1], err);
        if (r < 0)
                return r;
        ret->empty = !w.index.written;
        memcpy(ret->recovery, w.index.recovery, sizeof(ret->recovery));
        return 0;
}

int tpm_chain_rules(Tpm *t, ChainRules *ret, RsError *err) {
        ChainRules rules;
        int r;

        r = tpm_begin(t, err);
        if (r < 0)
                return r;
        r = tpm_end(t, rules_inside(t, &rules, err));
        if (r >= 0)
                *ret = rules;
        return r;
}

int tpm_chain_suits(const ChainRules *rules, const Link *link, bool first, RsError *err) {
        bool genesis = first && rules->empty;
        uint8_t point[RS_POINT_SIZE], policy[AUTHORITY_POLICY_SIZE];
        int r;

        if (genesis != (link->kind == LINK_GENESIS))
                return rs_fail(err, CHAIN, "CHAIN of this TPM is %s: a genesis %s", genesis ? "empty" : "in use",
                               genesis ? "must be its first record" : "is only its first record");
        if (memcmp(link->chain_name, rules->names[!genesis], LINK_NAME_SIZE) != 0)
                return rs_fail(err, CHAIN, "link %llu is not for level L2 with the recovery keys of this TPM",
                               (unsigned long long) link->record.index);
        r = tpm_point_of_certificate(link->authority, point, err);
        if (r >= 0)
                r = tpm_policy_authpol(point, (const uint8_t(*)[RS_POINT_SIZE]) rules->recovery, policy, err);
        if (r < 0)
                return r;
        if (memcmp(policy, rules->authority_policy, sizeof(policy)) != 0)
                return rs_fail(err, CHAIN, "link %llu is of another authority than the one in force in this TPM",
                               (unsigned long long) link->record.index);
        return 0;
}

/* Authority replacement */

static int replace_once(Tpm *t, const AuthorityChange *change, RsError *err) {
        uint8_t now[TPM_AUTHPOL_SIZE], after[TPM_AUTHPOL_SIZE],
                        branches[POLICY_CHAIN_BRANCHES][TPM_DIGEST_SIZE];
        uint8_t cp_hash[TPM_DIGEST_SIZE], approved[TPM_DIGEST_SIZE], point[RS_POINT_SIZE];
        ESYS_TR authpol;
        Walk w;
        int r;

        r = open_walk(t, &w, err);
        if (r >= 0)
                r = tpm_point_of_certificate(change->authority, point, err);
        if (r >= 0)
                r = tpm_policy_authpol(point, w.index.recovery, after, err);
        if (r < 0)
                return r;
        /* What is signed must be what it says: otherwise two tired people could lock a fleet (F24). */
        if (memcmp(after, change->after, sizeof(after)) != 0)
                return rs_fail(err, CHAIN,
                               "authority replacement: the policy is not the one of its certificate");
        r = read_authpol(&w, &authpol, now, err);
        if (r < 0 || memcmp(now, after, sizeof(now)) == 0)
                return r;
        r = tpm_policy_replace(change->before, after, w.index.recovery, cp_hash, approved, err);
        if (r >= 0)
                r = policy_authpol_branches(w.index.recovery, branches, err);
        if (r >= 0)
                r = start_policy(&w, err);
        if (r >= 0)
                r = step_nv(&w, authpol, SPAN(change->before + POLICY_AUTHPOL_OFFSET, TPM_DIGEST_SIZE),
                            POLICY_AUTHPOL_OFFSET, TPM2_EO_EQ,
                            "another authority is in force than the one replaced", err);
        if (r >= 0)
                r = step_cp_hash(&w, cp_hash, err);
        if (r >= 0)
                r = tpm_point_of_spki(change->approver, point, err);
        if (r >= 0)
                r = step_authorize(&w, point, approved, POLICY_REF_BRIDGE, change->approval, err);
        if (r >= 0)
                r = tpm_point_of_spki(change->endorser, point, err);
        if (r >= 0)
                r = step_signed(&w, point, cp_hash, change->endorsement, err);
        if (r >= 0)
                r = step_or(&w, branches, err);
        return r < 0 ? r : write_and_compare(&w, authpol, after, TPM_AUTHPOL_SIZE, err);
}

int tpm_chain_replace_authority(Tpm *t, const AuthorityChange *change, RsError *err) {
        unsigned attempt = 0;
        int r;

        r = tpm_begin(t, err);
        if (r < 0)
                return r;
        do
                r = replace_once(t, change, err);
        while (tpm_once_more(t, r, &attempt, err));
        return tpm_end(t, r);
}

/* Factory */

typedef struct Factory {
        Walk w;
        const Secret *platform_auth;
        bool changed;
} Factory;

static int define_index(Factory *f, TPM2_HANDLE index, RsError *err) {
        static const TPM2B_AUTH no_auth;
        Tpm *t = f->w.t;
        TPM2B_NV_PUBLIC area;
        RsError ignored = RS_ERROR_INIT;
        ESYS_TR nv = ESYS_TR_NONE;
        TSS2_RC rc;
        int r;

        r = policy_nv_public(index, f->w.index.recovery, false, &area, err);
        if (r >= 0)
                r = tpm_set_auth(t, ESYS_TR_RH_PLATFORM, f->platform_auth, err);
        if (r < 0)
                return r;
        rc = TPM_TRY(Esys_NV_DefineSpace(t->esys, ESYS_TR_RH_PLATFORM, f->w.read, ESYS_TR_NONE, ESYS_TR_NONE,
                                         &no_auth, &area, &nv));
        (void) tpm_set_auth(t, ESYS_TR_RH_PLATFORM, NULL, &ignored); /* no copy stays */
        if (rc != TSS2_RC_SUCCESS)
                return tpm_fail(t, rc, err,
                                "define an NV index of level L2 (is platformAuth set, or the hierarchy "
                                "off?)");
        tpm_note(t, nv, false);
        tpm_flush(t, nv);
        f->changed = true;
        return 0;
}

/* content NULL: CHAIN, which a genesis will write. */
static int provide_index(Factory *f, TPM2_HANDLE index, const uint8_t *content, uint16_t size, RsError *err) {
        uint8_t name[TPM_NAME_SIZE], there[3 * RS_POINT_SIZE], first[POLICY_CHAIN_BRANCHES][TPM_DIGEST_SIZE];
        Walk *w = &f->w;
        ESYS_TR nv = ESYS_TR_NONE;
        TSS2_RC rc;
        int r;

        r = find_index(w->t, index, w->index.recovery, &nv, name, err);
        if (r == NV_ABSENT) {
                r = define_index(f, index, err);
                if (r >= 0)
                        r = find_index(w->t, index, w->index.recovery, &nv, name, err);
        }
        if (r < 0 || !content)
                return r;
        if (r == NV_DEFINED) {
                r = start_policy(w, err);
                if (r < 0)
                        return r;
                rc = TPM_TRY(Esys_PolicyNvWritten(w->t->esys, w->policy, NO_SESSIONS, TPM2_NO));
                if (rc != TSS2_RC_SUCCESS)
                        return tpm_fail(w->t, rc, err, "the first write");
                if (index == TPM_NV_AUTHPOL) {
                        r = policy_authpol_branches(w->index.recovery, first, err);
                        if (r >= 0)
                                r = step_or(w, first, err);
                        if (r < 0)
                                return r;
                }
                r = nv_write(w->t, nv, w->policy, content, size, err);
                if (r < 0)
                        return r;
                f->changed = true;
        }
        r = nv_read(w->t, nv, w->read, there, size, err);
        tpm_flush(w->t, nv);
        if (r < 0)
                return r;
        if (memcmp(there, content, size) != 0)
                return rs_fail(err, TPM_REDEFINED,
                               "NV index 0x%x holds other keys than the ones given; it cannot be made anew",
                               index);
        return 0;
}

static int provision_inside(Factory *f, const uint8_t authpol[TPM_AUTHPOL_SIZE], RsError *err) {
        int r;

        r = tpm_session(f->w.t, TPM2_SE_HMAC, &f->w.read, err);
        if (r >= 0)
                r = provide_index(f, TPM_NV_RECOVERY, f->w.index.recovery[0], sizeof(f->w.index.recovery),
                                  err);
        if (r >= 0)
                r = provide_index(f, TPM_NV_AUTHPOL, authpol, TPM_AUTHPOL_SIZE, err);
        if (r >= 0) /* last: with it the device is of level L2 */
                r = provide_index(f, TPM_NV_CHAIN, NULL, 0, err);
        return r < 0 ? r : 0;
}

int tpm_provision_chain(Tpm *t, const Secret *platform_auth, const uint8_t authority[RS_POINT_SIZE],
                        const uint8_t recovery[3][RS_POINT_SIZE], bool *ret_changed, RsError *err) {
        Factory f = { .w.t = t, .platform_auth = platform_auth };
        uint8_t authpol[TPM_AUTHPOL_SIZE];
        int r;

        memcpy(f.w.index.recovery, recovery, sizeof(f.w.index.recovery));
        for (unsigned i = 0; i < POLICY_PAIRS; i++)
                if (memcmp(recovery[policy_pairs[i][0]], recovery[policy_pairs[i][1]], RS_POINT_SIZE) == 0)
                        return rs_fail(err, INVALID, "the three recovery keys are not three");
        r = tpm_policy_authpol(authority, recovery, authpol, err);
        if (r >= 0)
                r = tpm_begin(t, err);
        if (r < 0)
                return r;
        r = tpm_end(t, provision_inside(&f, authpol, err));
        if (r >= 0)
                *ret_changed = f.changed;
        return r;
}
