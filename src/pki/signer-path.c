/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * signer-path - many signers under one authority.
 *
 * A device that slept for years walks a thousand links.  Each brings the same authority certificate, and checking it
 * costs a P-384 or RSA signature every time, more than all the rest of a link.  So the first signer of an authority
 * gets the whole path to the anchor; after that the authority's bytes are remembered, and the signers that follow are
 * held against it alone (PathRules.issuer).  Bytes, not names: what was proven is this certificate, not one like it.
 *
 * Also the first signer goes through both.  OpenSSL builds a path from what it likes, and a signer that a root had
 * issued directly would leave the authority beside it unlooked at, whose approval then would mean nothing.
 *
 * When expiry is judged (the last signer of a walk) nothing is taken from memory.
 */
#include <stdlib.h>
#include <string.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/names.h>
#include <reseal/crypto/digest.h>
#include <reseal/crypto/ossl-cleanup.h>
#include <reseal/crypto/ossl-read.h>
#include <reseal/pki/signer-path.h>

#define CERT_MAX 4096 /* a link is no larger */

struct SignerPath {
        const TrustAnchors *anchors;
        const CrlSet *crls;
        uint8_t proven_der[CERT_MAX];
        size_t proven_size;     /* 0: none yet */
        X509 *proven;
};

static int parse_cert(Span der, const char *whose, X509 **ret, RsError *err) {
        const unsigned char *p = der.data;
        X509 *cert;

        if (der.size == 0 || der.size > CERT_MAX)
                return rs_fail(err, CERTIFICATE, "the certificate of the %s has %zu bytes", whose, der.size);
        cert = ossl_d2i_x509(&p, (long) der.size);
        if (!cert)
                return rs_fail_ssl(err, CERTIFICATE, "the certificate of the %s is damaged", whose);
        if (p != der.data + der.size) {
                X509_free(cert);
                return rs_fail(err, CERTIFICATE, "bytes behind the certificate of the %s", whose);
        }
        *ret = cert;
        return 0;
}

/* Whether these bytes are a P-256 key is found out by pki/signature.h, whenever the key is used. */
static int take_spki(X509 *cert, uint8_t ret[SIGNER_SPKI_SIZE], RsError *err) {
        unsigned char *der = NULL;
        int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);

        if (size == (int) SIGNER_SPKI_SIZE)
                memcpy(ret, der, SIGNER_SPKI_SIZE);
        OPENSSL_free(der);
        if (size < 0)
                return rs_fail_ssl(err, CERTIFICATE, "the public key cannot be encoded");
        if (size != (int) SIGNER_SPKI_SIZE)
                return rs_fail(err, ALGORITHM, "a public key of %d bytes is not a P-256 key", size);
        return 0;
}

int signer_facts(Span signer_der, SignerFacts *ret, RsError *err) {
        _cleanup_(X509_freep) X509 *cert = NULL;
        SignerFacts facts = { 0 };
        int r;

        r = parse_cert(signer_der, "signer", &cert, err);
        if (r < 0)
                return r;
        r = firmware_place_get(cert, &facts.place, err);
        if (r < 0)
                return r;
        r = take_spki(cert, facts.spki, err);
        if (r < 0)
                return r;
        r = digest_sha256(SPAN_ARRAY(facts.spki), facts.spki_sha256, err);
        if (r < 0)
                return r;
        *ret = facts;
        return 0;
}

int signer_authority_spki(Span authority_der, uint8_t ret[SIGNER_SPKI_SIZE], RsError *err) {
        _cleanup_(X509_freep) X509 *cert = NULL;
        int r;

        r = parse_cert(authority_der, "authority", &cert, err);
        if (r < 0)
                return r;
        return take_spki(cert, ret, err);
}

int signer_path_new(const TrustAnchors *anchors, const CrlSet *crls, SignerPath **ret, RsError *err) {
        SignerPath *p = calloc(1, sizeof(*p));

        if (!p)
                return rs_fail_oom(err);
        p->anchors = anchors;
        p->crls = crls;
        *ret = p;
        return 0;
}

SignerPath *signer_path_free(SignerPath *p) {
        if (!p)
                return NULL;
        X509_free(p->proven);
        free(p);
        return NULL;
}

static int verify_whole(const SignerPath *p, X509 *signer, X509 *authority, PathRules *rules, RsError *err) {
        _cleanup_(sk_X509_freep) STACK_OF(X509) *extra = sk_X509_new_null();
        SignerInfo ignored;

        if (!extra || X509_up_ref(authority) != 1)
                return rs_fail_oom(err);
        if (sk_X509_push(extra, authority) <= 0) {
                X509_free(authority);
                return rs_fail_oom(err);
        }
        rules->issuer = NULL;
        return path_verify(signer, extra, p->anchors, rules, &ignored, err);
}

static int verify_under(const SignerPath *p, X509 *signer, X509 *authority, PathRules *rules, RsError *err) {
        SignerInfo ignored;

        rules->issuer = authority;
        return path_verify(signer, NULL, p->anchors, rules, &ignored, err);
}

int signer_path_verify(SignerPath *p, Span signer_der, Span authority_der, uint64_t time_low, uint64_t time_high,
                       RsError *err) {
        _cleanup_(X509_freep) X509 *signer = NULL, *authority = NULL;
        PathRules rules = {
                .eku_oid = RS_OID_EKU_IMAGE_SIGNING,
                .time_low = time_low,
                .time_high = time_high,
                .firmware_place = true,
                .crls = p->crls,
        };
        int r;

        r = parse_cert(signer_der, "signer", &signer, err);
        if (r < 0)
                return r;
        if (time_low == 0 && p->proven && span_equal(SPAN(p->proven_der, p->proven_size), authority_der))
                return verify_under(p, signer, p->proven, &rules, err);

        r = parse_cert(authority_der, "authority", &authority, err);
        if (r < 0)
                return r;
        r = verify_whole(p, signer, authority, &rules, err);
        if (r < 0)
                return r;
        r = verify_under(p, signer, authority, &rules, err);
        if (r < 0)
                return r;
        X509_free(p->proven);
        p->proven = TAKE_PTR(authority);
        memcpy(p->proven_der, authority_der.data, authority_der.size);
        p->proven_size = authority_der.size;
        return 0;
}
