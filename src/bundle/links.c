/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * links - what a bundle carries of its line's signer chain.
 *
 * The walk is the device's own (trust/chain.h), with the revocation lists that the bundle brings: so the release
 * engineer sees before publishing what each device will say.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <reseal/base/file.h>
#include <reseal/base/text.h>
#include <reseal/crypto/digest.h>
#include <reseal/crypto/ossl-cleanup.h>
#include <reseal/crypto/ossl-read.h>
#include <reseal/pki/keys.h>
#include <reseal/trust/chain.h>

#include "commands.h"
#include "links.h"

#define RECOVERY_KEYS 3u
#define FACTORY "factory"

static const char *kind_word(LinkKind kind) {
        return kind == LINK_BRIDGE ? "bridge" : kind == LINK_GENESIS ? "genesis" : "link";
}

/* -- shown ------------------------------------------------------------------------------------------------------ */

static int print_link(void *userdata, const Link *link, RsError *err) {
        char signer[HEX_SIZE(RS_DIGEST_SIZE)];

        (void) userdata;
        (void) err;
        hex_encode(SPAN_ARRAY(link->record.signer_spki), signer);
        (void) printf("%-8s %llu, epoch %u, signer %s\n", kind_word(link->kind),
                      (unsigned long long) link->record.index, link->record.epoch, signer);
        return 0;
}

/* Issuer and number, unproven. */
static void describe_crl(Span der, char *issuer, size_t size, char number[64]) {
        const unsigned char *p = der.data;
        X509_CRL *crl = ossl_d2i_crl(&p, (long) der.size);
        ASN1_INTEGER *n = crl ? X509_CRL_get_ext_d2i(crl, NID_crl_number, NULL, NULL) : NULL;
        char *text = crl ? X509_NAME_oneline(X509_CRL_get_issuer(crl), NULL, 0) : NULL;
        uint64_t value = 0;

        (void) text_printable(text ? SPAN(text, strlen(text)) : SPAN("not a revocation list", 21), issuer, size);
        if (n && ASN1_INTEGER_get_uint64(&value, n) == 1)
                (void) snprintf(number, 64, "%llu", (unsigned long long) value);
        else
                (void) snprintf(number, 64, "?");
        OPENSSL_free(text);
        ASN1_INTEGER_free(n);
        X509_CRL_free(crl);
}

static int print_crl(void *userdata, Span der, RsError *err) {
        char issuer[160], number[64];

        (void) userdata;
        (void) err;
        describe_crl(der, issuer, sizeof(issuer), number);
        (void) printf("crl      number %s, %zu bytes, of %s\n", number, der.size, issuer);
        return 0;
}

void links_print(const BundleFile *f) {
        RsError err = RS_ERROR_INIT;

        if (link_set_walk(SPAN(f->links, f->header.links.length), print_link, NULL, &err) < 0)
                (void) printf("links    BAD: %s\n", err.text);
        err = RS_ERROR_INIT;
        if (bundle_crls_walk(SPAN(f->crls, f->header.crls.length), print_crl, NULL, &err) < 0)
                (void) printf("crl      BAD: %s\n", err.text);
}

static int append_link(void *userdata, const Link *link, RsError *err) {
        char signer[HEX_SIZE(RS_DIGEST_SIZE)], manifest[HEX_SIZE(RS_DIGEST_SIZE)];

        hex_encode(SPAN_ARRAY(link->record.signer_spki), signer);
        hex_encode(SPAN_ARRAY(link->record.manifest_digest), manifest);
        if (json_array_append_new(userdata, json_pack("{s:s, s:I, s:I, s:s, s:s}", "kind", kind_word(link->kind), "index",
                                                      (json_int_t) link->record.index, "epoch",
                                                      (json_int_t) link->record.epoch, "signer", signer, "manifest",
                                                      manifest)) < 0)
                return rs_fail_oom(err);
        return 0;
}

static int append_crl(void *userdata, Span der, RsError *err) {
        char issuer[160], number[64];

        describe_crl(der, issuer, sizeof(issuer), number);
        if (json_array_append_new(userdata, json_pack("{s:s, s:s, s:I}", "issuer", issuer, "number", number, "size",
                                                      (json_int_t) der.size)) < 0)
                return rs_fail_oom(err);
        return 0;
}

json_t *links_json(const BundleFile *f) {
        json_t *links = json_array(), *crls = json_array();
        RsError err = RS_ERROR_INIT;

        (void) link_set_walk(SPAN(f->links, f->header.links.length), append_link, links, &err);
        (void) bundle_crls_walk(SPAN(f->crls, f->header.crls.length), append_crl, crls, &err);
        return json_pack("{s:o, s:o, s:b}", "links", links, "crls", crls, "good_form", err.reason == RS_REASON_NONE);
}

/* -- walked ----------------------------------------------------------------------------------------------------- */

/* The record a device starts from: as its TPM has it, or what some link leads to. */
static int read_from(const char *path, ChainRecord *ret, RsError *err) {
        _cleanup_(freep) uint8_t *data = NULL;
        size_t size;
        Link link;
        int r;

        r = file_read(AT_FDCWD, path, LINK_MAX, &data, &size, err);
        if (r < 0)
                return r;
        if (r == 0)
                return rs_fail_errno(err, ENOENT, "%s", path);
        if (size >= LINK_RECORD_SIZE && memcmp(data, "RSL1", 4) == 0)
                r = chain_record_parse(data, ret, err);
        else {
                r = link_parse(SPAN(data, size), &link, err);
                if (r == 0)
                        *ret = link.record;
        }
        return r < 0 ? rs_context(err, "%s", path) : 0;
}

static int read_recovery(const char *path, uint8_t ret[RECOVERY_KEYS][32], RsError *err) {
        _cleanup_(freep) uint8_t *data = NULL;
        size_t size;
        int r;

        r = file_read(AT_FDCWD, path, RS_CERT_FILE_MAX, &data, &size, err);
        if (r < 0)
                return r;
        if (r == 0)
                return rs_fail_errno(err, ENOENT, "%s", path);
        r = keys_parse(SPAN(data, size), ret, RECOVERY_KEYS, err);
        return r < 0 ? rs_context(err, "%s", path) : 0;
}

typedef struct Lists {
        CrlSet *set;
        const TrustAnchors *anchors;
        struct stack_st_X509 *authorities;
} Lists;

static int add_crl(void *userdata, Span der, RsError *err) {
        Lists *lists = userdata;
        CrlInfo info;
        bool changed;

        return crl_set_add(lists->set, der, lists->anchors, lists->authorities, &changed, &info, err);
}

/* The authorities that the links name, each once, as issuers of lists. */
static int add_authority(void *userdata, const Link *link, RsError *err) {
        STACK_OF(X509) *certs = userdata;
        const unsigned char *p = link->authority.data;
        X509 *cert = ossl_d2i_x509(&p, (long) link->authority.size);

        if (!cert)
                return rs_fail_ssl(err, CERTIFICATE, "the certificate of an authority is damaged");
        for (int i = 0; i < sk_X509_num(certs); i++)
                if (X509_cmp(sk_X509_value(certs, i), cert) == 0) {
                        X509_free(cert);
                        return 0;
                }
        if (sk_X509_num(certs) >= (int) RS_CERT_CHAIN_MAX || sk_X509_push(certs, cert) <= 0) {
                X509_free(cert);
                return rs_fail(err, CERTIFICATE, "the links name more than %u authorities", RS_CERT_CHAIN_MAX);
        }
        return 0;
}

static int walk(const BundleFile *f, ChainInput *input, uint32_t *ret_steps, RsError *err) {
        _cleanup_(sk_X509_freep) STACK_OF(X509) *authorities = sk_X509_new_null();
        _cleanup_(crl_set_freep) CrlSet *crls = NULL;
        ChainWalk w = { 0 };
        Lists lists;
        int r;

        if (!authorities)
                return rs_fail_oom(err);
        r = crl_set_new(&crls, err);
        if (r == 0)
                r = link_set_walk(input->links, add_authority, authorities, err);
        if (r < 0)
                return r;
        lists = (Lists){ crls, input->firmware_root, authorities };
        r = bundle_crls_walk(SPAN(f->crls, f->header.crls.length), add_crl, &lists, err);
        if (r < 0)
                return r;
        input->crls = crls;
        r = chain_walk(input, &w, err);
        if (r < 0)
                return r;
        *ret_steps = w.n_steps;
        chain_walk_done(&w);
        return 0;
}

int links_verify(const BundleFile *f, const LinksQuestion *q, const SignerInfo *signer, uint32_t *ret_steps,
                 RsError *err) {
        _cleanup_(anchors_freep) TrustAnchors *anchors = NULL;
        uint8_t recovery[RECOVERY_KEYS][32];
        ChainRecord from;
        ChainInput input = {
                .from = strcmp(q->from, FACTORY) == 0 ? NULL : &from,
                .links = SPAN(f->links, f->header.links.length),
                .goal = { .line = f->manifest->line, .index = f->manifest->release, .epoch = f->manifest->epoch },
                .recovery = (const uint8_t (*)[32]) recovery,
                .n_recovery = q->recovery ? RECOVERY_KEYS : 0,
                .time_low = q->now,
                .time_high = q->now,
        };
        int r;

        memcpy(input.goal.manifest_digest, f->id, sizeof(f->id));
        memcpy(input.goal.signer_spki, signer->spki_sha256, sizeof(signer->spki_sha256));
        r = anchors_load(q->roots, &anchors, err);
        if (r < 0)
                return r;
        input.firmware_root = anchors;
        if (q->recovery) {
                r = read_recovery(q->recovery, recovery, err);
                if (r < 0)
                        return r;
        }
        if (input.from) {
                r = read_from(q->from, &from, err);
                if (r < 0)
                        return r;
        }
        return walk(f, &input, ret_steps, err);
}
