/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * link-maker - certificate, draft, endorsement, approval, possession.
 *
 * The keys of these steps lie with different people on different machines, and what they pass on is the draft.  So no
 * step trusts the one before: each parses the draft, takes the fields that a device will look at, computes from them
 * the message that docs/format-chain.md gives for its signature, and refuses a draft that does not name its own key.
 * What a person approves is thus what the device later checks, and not what a file pretends.
 */
#include <string.h>

#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <reseal/base/names.h>
#include <reseal/base/ossl.h>
#include <reseal/crypto/digest.h>
#include <reseal/crypto/ossl-cleanup.h>
#include <reseal/crypto/ossl-read.h>
#include <reseal/pki/signature.h>
#include <reseal/tpm/policy.h>
#include <reseal/trust/chain.h>
#include <reseal/trust/link-message.h>

#include "link-maker.h"

#define SERIAL_SIZE 16

/* -- the certificate -------------------------------------------------------------------------------------------- */

static int add_extension(X509 *cert, X509V3_CTX *ctx, int nid, const char *value, RsError *err) {
        X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, ctx, nid, value);
        int ok = extension && X509_add_ext(cert, extension, -1);

        X509_EXTENSION_free(extension);
        return ok ? 0 : rs_fail_ssl(err, INTERNAL, "extension %s", OBJ_nid2sn(nid));
}

static int set_serial(X509 *cert, RsError *err) {
        _cleanup_(BN_clear_freep) BIGNUM *serial = NULL;
        uint8_t number[SERIAL_SIZE];

        if (RAND_bytes_ex(ossl_context(), number, sizeof(number), 0) != 1)
                return rs_fail_ssl(err, INTERNAL, "serial number");
        number[0] = (uint8_t) ((number[0] & 0x7f) | 0x40); /* positive, and of one length */
        serial = BN_bin2bn(number, sizeof(number), NULL);
        if (!serial ||
            !BN_to_ASN1_INTEGER(serial, X509_get_serialNumber(cert)))
                return rs_fail_ssl(err, INTERNAL, "serial number");
        return 0;
}

static int set_names(X509 *cert, X509 *authority, const FirmwarePlace *place, RsError *err) {
        char name[RS_NAME_MAX + 32];
        X509_NAME *subject = X509_get_subject_name(cert);

        (void) snprintf(name, sizeof(name), "%s release %llu", place->line, (unsigned long long) place->index);
        if (!X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *) name, -1, -1, 0) ||
            !X509_set_issuer_name(cert, X509_get_subject_name(authority)))
                return rs_fail_ssl(err, INTERNAL, "names of the certificate");
        return 0;
}

int link_make_certificate(X509 *authority, EVP_PKEY *authority_key, EVP_PKEY *signer_public,
                          const FirmwarePlace *place, unsigned days, X509 **ret, RsError *err) {
        _cleanup_(X509_freep) X509 *cert = X509_new_ex(ossl_context(), NULL);
        X509V3_CTX ctx;
        int r;

        if (!cert)
                return rs_fail_oom(err);
        if (X509_check_private_key(authority, authority_key) != 1)
                return rs_fail_ssl(err, CERTIFICATE, "the key is not that of the authority's certificate");
        if (!X509_set_version(cert, X509_VERSION_3) || !X509_set_pubkey(cert, signer_public) ||
            !X509_gmtime_adj(X509_getm_notBefore(cert), 0) ||
            !X509_time_adj_ex(X509_getm_notAfter(cert), (int) days, 0, NULL))
                return rs_fail_ssl(err, INTERNAL, "certificate");
        r = set_serial(cert, err);
        if (r == 0)
                r = set_names(cert, authority, place, err);
        if (r < 0)
                return r;
        X509V3_set_ctx(&ctx, authority, cert, NULL, NULL, 0);
        r = add_extension(cert, &ctx, NID_basic_constraints, "critical, CA:FALSE", err);
        if (r == 0)
                r = add_extension(cert, &ctx, NID_key_usage, "critical, digitalSignature", err);
        if (r == 0)
                r = add_extension(cert, &ctx, NID_ext_key_usage, "critical, " RS_OID_EKU_IMAGE_SIGNING, err);
        if (r == 0)
                r = add_extension(cert, &ctx, NID_subject_key_identifier, "hash", err);
        if (r == 0)
                r = add_extension(cert, &ctx, NID_authority_key_identifier, "keyid:always", err);
        if (r == 0)
                r = firmware_place_set(cert, place, err);
        if (r < 0)
                return r;
        if (X509_sign(cert, authority_key, EVP_sha256()) <= 0)
                return rs_fail_ssl(err, SIGNATURE, "the authority's key could not sign");

        *ret = TAKE_PTR(cert);
        return 0;
}

/* -- the draft -------------------------------------------------------------------------------------------------- */

static int cert_der(X509 *cert, Encoder *ret, RsError *err) {
        unsigned char *der = NULL;
        int size = i2d_X509(cert, &der);

        if (size <= 0)
                return rs_fail_ssl(err, INTERNAL, "certificate");
        encoder_bytes(ret, der, (size_t) size);
        OPENSSL_free(der);
        return encoder_finish(ret) < 0 ? rs_fail_oom(err) : 0;
}

static int line_tag(const char *line, uint8_t ret[16], RsError *err) {
        uint8_t digest[SHA256_SIZE];
        int r = digest_sha256(SPAN(line, strlen(line)), digest, err);

        if (r == 0)
                memcpy(ret, digest, 16);
        return r;
}

static int make_record(const LinkPlan *plan, const FirmwarePlace *place, ChainRecord *ret, RsError *err) {
        ChainRecord record = { .flags = plan->kind == LINK_BRIDGE, .epoch = place->epoch, .index = place->index };
        int r;

        r = line_tag(place->line, record.line_tag, err);
        if (r == 0)
                r = path_spki_sha256(plan->signer, record.signer_spki, err);
        if (r < 0)
                return r;
        memcpy(record.manifest_digest, plan->manifest_digest, sizeof(record.manifest_digest));
        r = chain_log_head(plan->log_head_before, &record, record.log_head, err);
        if (r < 0)
                return r;
        *ret = record;
        return 0;
}

/* The endorser of a link is the signer before; nobody endorses a genesis. */
static int check_endorsers(const LinkPlan *plan, const FirmwarePlace *place, RsError *err) {
        uint8_t digest[SHA256_SIZE];
        int r;

        if (plan->kind == LINK_GENESIS)
                return plan->endorser.size || plan->endorser2.size
                        ? rs_fail(err, CHAIN, "a genesis has no endorser") : 0;
        if (plan->kind == LINK_BRIDGE) {
                if (!plan->endorser.size || !plan->endorser2.size || span_equal(plan->endorser, plan->endorser2))
                        return rs_fail(err, CHAIN, "a bridge needs two different recovery keys");
                return 0;
        }
        if (!plan->endorser.size || plan->endorser2.size)
                return rs_fail(err, CHAIN, "a link has one endorser, the signer of the release before");
        r = digest_sha256(plan->endorser, digest, err);
        if (r < 0)
                return r;
        if (memcmp(digest, place->prev_spki, sizeof(digest)) != 0)
                return rs_fail(err, CHAIN, "the certificate names another signer as the one before");
        return 0;
}

int link_make_draft(const LinkPlan *plan, Encoder *ret, RsError *err) {
        _cleanup_(encoder_done) Encoder signer = ENCODER_INIT, authority = ENCODER_INIT;
        FirmwarePlace place;
        Link link = { .kind = plan->kind, .endorser = plan->endorser, .endorser2 = plan->endorser2 };
        int r;

        r = firmware_place_get(plan->signer, &place, err);
        if (r == 0)
                r = check_endorsers(plan, &place, err);
        if (r == 0)
                r = make_record(plan, &place, &link.record, err);
        if (r == 0)
                r = cert_der(plan->signer, &signer, err);
        if (r == 0)
                r = cert_der(plan->authority, &authority, err);
        if (r < 0)
                return r;
        memcpy(link.chain_name, plan->chain_name, sizeof(link.chain_name));
        link.signer = encoder_view(&signer);
        link.authority = encoder_view(&authority);
        return link_encode(&link, ret, err);
}

/* -- signatures ------------------------------------------------------------------------------------------------- */

static int check_key(EVP_PKEY *key, Span spki, const char *whose, RsError *err) {
        _cleanup_(encoder_done) Encoder own = ENCODER_INIT;
        uint8_t digest[SHA256_SIZE];
        int r = signature_spki(key, &own, digest, err);

        if (r < 0)
                return r;
        if (!span_equal(encoder_view(&own), spki))
                return rs_fail(err, CHAIN, "the key is not %s the draft names", whose);
        return 0;
}

static int check_cert_key(EVP_PKEY *key, Span der, const char *whose, RsError *err) {
        const unsigned char *p = der.data;
        _cleanup_(X509_freep) X509 *cert = ossl_d2i_x509(&p, (long) der.size);

        if (!cert || p != der.data + der.size)
                return rs_fail_ssl(err, CERTIFICATE, "the draft's certificate of %s is damaged", whose);
        if (X509_check_private_key(cert, key) != 1)
                return rs_fail_ssl(err, CHAIN, "the key is not %s the draft names", whose);
        return 0;
}

int link_make_endorse(Span draft, EVP_PKEY *key, Encoder *ret, RsError *err) {
        _cleanup_(encoder_done) Encoder signature = ENCODER_INIT;
        uint8_t message[LINK_ENDORSEMENT_SIZE];
        Link link;
        int r;

        r = link_parse(draft, &link, err);
        if (r < 0)
                return r;
        if (link.kind == LINK_GENESIS)
                return rs_fail(err, CHAIN, "nobody endorses a genesis");
        r = check_key(key, link.endorser, "the endorser's", err);
        if (r == 0)
                r = link_endorsement_message(&link, message, err);
        if (r == 0)
                r = signature_sign(key, SPAN_ARRAY(message), &signature, err);
        if (r < 0)
                return r;
        link.endorsement = encoder_view(&signature);
        link.possession = SPAN_NULL; /* it covers what has just changed */
        return link_encode(&link, ret, err);
}

int link_make_approve(Span draft, EVP_PKEY *key, Encoder *ret, RsError *err) {
        _cleanup_(encoder_done) Encoder signature = ENCODER_INIT, message = ENCODER_INIT;
        Link link;
        int r;

        r = link_parse(draft, &link, err);
        if (r < 0)
                return r;
        if (link.kind == LINK_BRIDGE)
                r = check_key(key, link.endorser2, "the second recovery key", err);
        else
                r = check_cert_key(key, link.authority, "the authority's", err);
        if (r == 0)
                r = link_approval_message(&link, &message, err);
        if (r == 0)
                r = signature_sign(key, encoder_view(&message), &signature, err);
        if (r < 0)
                return r;
        link.approval = encoder_view(&signature);
        link.possession = SPAN_NULL;
        return link_encode(&link, ret, err);
}

int link_make_possess(Span draft, EVP_PKEY *key, Encoder *ret, RsError *err) {
        _cleanup_(encoder_done) Encoder signature = ENCODER_INIT;
        Link link;
        int r;

        r = link_parse(draft, &link, err);
        if (r < 0)
                return r;
        if (!link.approval.size || (link.kind != LINK_GENESIS && !link.endorsement.size))
                return rs_fail(err, CHAIN, "the draft still lacks an endorsement or the approval");
        r = check_cert_key(key, link.signer, "the signer's", err);
        if (r == 0)
                r = signature_sign(key, link.possessed, &signature, err);
        if (r < 0)
                return r;
        link.possession = encoder_view(&signature);
        return link_encode(&link, ret, err);
}
