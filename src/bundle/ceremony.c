/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ceremony - the steps in which people and keys make a signer, a link, a bridge or a trust set.
 *
 * Each step needs one key and leaves one file, which is carried to the next machine.  What a step is about to sign is
 * printed before; `show` prints the same without a key, so that two people can compare two screens.
 *
 * A signer key is for one release.  Both the certificate and the draft are refused when the key is that of the release
 * before or of any link given as --earlier (S65); devices refuse it as well.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/pem.h>

#include <reseal/base/file.h>
#include <reseal/base/text.h>
#include <reseal/crypto/digest.h>
#include <reseal/crypto/ossl-cleanup.h>
#include <reseal/crypto/ossl-read.h>
#include <reseal/format/trust-set.h>
#include <reseal/pki/cms.h>
#include <reseal/pki/signature.h>
#include <reseal/tpm/policy.h>

#include "authority-maker.h"
#include "bundle-file.h"
#include "ceremony-options.h"
#include "commands.h"
#include "link-maker.h"
#include "output.h"

/* -- files ------------------------------------------------------------------------------------------------------ */

static int read_file(const char *path, size_t max, uint8_t **ret, Span *ret_span, RsError *err) {
        size_t size;
        int r = file_read(AT_FDCWD, path, max, ret, &size, err);

        if (r < 0)
                return r;
        if (r == 0)
                return rs_fail_errno(err, ENOENT, "%s", path);
        *ret_span = SPAN(*ret, size);
        return 0;
}

static int write_file(const char *path, Span content, RsError *err) {
        _cleanup_(output_freep) Output *out = NULL;
        int r = output_open(path, 0666, &out, err);

        if (r == 0)
                r = file_pwrite_all(output_fd(out), content.data, content.size, 0, err);
        return r < 0 ? r : output_commit(out, err);
}

static int load_cert(const char *path, X509 **ret, RsError *err) {
        _cleanup_(sk_X509_freep) STACK_OF(X509) *certs = NULL;
        int r = certs_load(path, &certs, err);

        if (r < 0)
                return r;
        *ret = sk_X509_shift(certs);
        return 0;
}

/* A PEM public key, or the public key of a PEM certificate. */
static EVP_PKEY *next_public(BIO *pem) {
        _cleanup_(X509_freep) X509 *cert = NULL;
        EVP_PKEY *key = ossl_pem_pubkey(pem);

        if (key)
                return key;
        if (BIO_reset(pem) < 0)
                return NULL;
        cert = ossl_pem_x509(pem);
        return cert ? X509_get_pubkey(cert) : NULL;
}

static int load_public(const char *path, EVP_PKEY **ret, RsError *err) {
        _cleanup_(BIO_free_allp) BIO *pem = NULL;
        _cleanup_(freep) uint8_t *data = NULL;
        Span span;
        int r = read_file(path, RS_CERT_FILE_MAX, &data, &span, err);

        if (r < 0)
                return r;
        pem = BIO_new_mem_buf(span.data, (int) span.size);
        if (!pem)
                return rs_fail_oom(err);
        *ret = next_public(pem);
        return *ret ? 0 : rs_fail_ssl(err, CONFIG, "%s: neither a public key nor a certificate", path);
}

static int load_spki(const char *path, Encoder *ret, RsError *err) {
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
        uint8_t digest[SHA256_SIZE];
        int r = load_public(path, &key, err);

        return r < 0 ? r : signature_spki(key, ret, digest, err);
}

/* -- one key, one release --------------------------------------------------------------------------------------- */

static int check_unused(const CeremonyOptions *o, const uint8_t spki[SHA256_SIZE], uint64_t release, RsError *err) {
        for (unsigned i = 0; i < o->n_earlier; i++) {
                _cleanup_(freep) uint8_t *data = NULL;
                Span bytes;
                Link link;
                int r = read_file(o->earlier[i], LINK_MAX, &data, &bytes, err);

                if (r == 0)
                        r = link_parse(bytes, &link, err);
                if (r < 0)
                        return rs_context(err, "%s", o->earlier[i]);
                if (link.record.index != release && memcmp(link.record.signer_spki, spki, SHA256_SIZE) == 0)
                        return rs_fail(err, CHAIN_REUSE, "the key was the signer of release %llu (%s)",
                                       (unsigned long long) link.record.index, o->earlier[i]);
        }
        return 0;
}

static int step_certify(const CeremonyOptions *o, RsError *err) {
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL, *public = NULL;
        _cleanup_(X509_freep) X509 *authority = NULL, *previous = NULL, *cert = NULL;
        _cleanup_(encoder_done) Encoder spki = ENCODER_INIT;
        _cleanup_(BIO_free_allp) BIO *pem = BIO_new(BIO_s_mem());
        FirmwarePlace place = { .epoch = (uint32_t) o->epoch, .index = o->release };
        uint8_t digest[SHA256_SIZE];
        char *text;
        long size;
        int r;

        if (strlen(o->line) > RS_NAME_MAX)
                return rs_fail(err, INVALID, "--line: at most %u characters", RS_NAME_MAX);
        memcpy(place.line, o->line, strlen(o->line) + 1);
        r = load_cert(o->authority, &authority, err);
        if (r == 0)
                r = load_public(o->public_key, &public, err);
        if (r == 0)
                r = signature_spki(public, &spki, digest, err);
        if (r == 0 && o->previous) {
                r = load_cert(o->previous, &previous, err);
                if (r == 0)
                        r = path_spki_sha256(previous, place.prev_spki, err);
        }
        if (r == 0 && memcmp(place.prev_spki, digest, sizeof(digest)) == 0)
                r = rs_fail(err, CHAIN_REUSE, "the key was the signer of the release before");
        if (r == 0)
                r = check_unused(o, digest, o->release, err);
        if (r == 0)
                r = key_load(o->key, &key, err);
        if (r == 0)
                r = link_make_certificate(authority, key, public, &place, (unsigned) o->days, &cert, err);
        if (r < 0)
                return r;
        if (!pem || PEM_write_bio_X509(pem, cert) != 1)
                return rs_fail_ssl(err, INTERNAL, "PEM");
        size = BIO_get_mem_data(pem, &text);
        return write_file(o->output, SPAN(text, (size_t) size), err);
}

/* -- drafts ----------------------------------------------------------------------------------------------------- */

static int parse_kind(const char *text, LinkKind *ret, RsError *err) {
        static const char *const names[] = { [LINK_NEXT] = "link", [LINK_BRIDGE] = "bridge", [LINK_GENESIS] = "genesis" };

        *ret = LINK_NEXT;
        for (unsigned i = LINK_NEXT; text && i < ELEMENTSOF(names); i++)
                if (strcmp(text, names[i]) == 0) {
                        *ret = (LinkKind) i;
                        return 0;
                }
        return text ? rs_fail(err, INVALID, "--kind: link, bridge or genesis") : 0;
}

static int load_recovery(const char *path, uint8_t ret[3][RS_POINT_SIZE], RsError *err) {
        _cleanup_(BIO_free_allp) BIO *pem = NULL;
        _cleanup_(freep) uint8_t *data = NULL;
        Span span;
        int r = read_file(path, RS_CERT_FILE_MAX, &data, &span, err);

        if (r < 0)
                return r;
        pem = BIO_new_mem_buf(span.data, (int) span.size);
        for (unsigned i = 0; i < 3; i++) {
                _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = pem ? ossl_pem_pubkey(pem) : NULL;
                _cleanup_(encoder_done) Encoder spki = ENCODER_INIT;
                uint8_t digest[SHA256_SIZE];

                if (!key)
                        return rs_fail_ssl(err, CONFIG, "%s: three public keys expected", path);
                r = signature_spki(key, &spki, digest, err);
                if (r == 0)
                        r = signature_point(encoder_view(&spki), ret[i], err);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* The Name of the line's CHAIN index, or zeros. */
static int chain_name(const CeremonyOptions *o, LinkKind kind, uint8_t ret[LINK_NAME_SIZE], RsError *err) {
        uint8_t recovery[3][RS_POINT_SIZE], unwritten[LINK_NAME_SIZE], written[LINK_NAME_SIZE];
        int r;

        memset(ret, 0, LINK_NAME_SIZE);
        if (!o->level2)
                return 0;
        if (!o->recovery)
                return rs_fail(err, INVALID, "--level2 needs --recovery");
        r = load_recovery(o->recovery, recovery, err);
        if (r == 0)
                r = tpm_policy_chain_names((const uint8_t(*)[RS_POINT_SIZE]) recovery, unwritten, written, err);
        if (r == 0)
                memcpy(ret, kind == LINK_GENESIS ? unwritten : written, LINK_NAME_SIZE);
        return r;
}

/* A certificate for another release would make a link that every device refuses: say so here, not in the field. */
static int check_place(X509 *signer, const Manifest *manifest, RsError *err) {
        FirmwarePlace place;
        int r = firmware_place_get(signer, &place, err);

        if (r < 0)
                return r;
        if (strcmp(place.line, manifest->line) != 0 || place.index != manifest->release ||
            place.epoch != manifest->epoch)
                return rs_fail(err, CHAIN, "the certificate is for release %llu, epoch %u of line %s, the bundle holds "
                               "release %llu, epoch %u of line %s", (unsigned long long) place.index, place.epoch,
                               place.line, (unsigned long long) manifest->release, manifest->epoch, manifest->line);
        return 0;
}

/* The link of the release before: its log head is continued, and its signer is not this one. */
static int take_before(const CeremonyOptions *o, LinkKind kind, const Manifest *manifest,
                       const uint8_t spki[SHA256_SIZE], uint8_t ret_log_head[32], RsError *err) {
        _cleanup_(freep) uint8_t *data = NULL;
        Span bytes;
        Link before;
        int r;

        if (!o->after)
                return kind != LINK_NEXT ? 0 : rs_fail(err, INVALID, "a link needs --after, the link of the release before");
        r = read_file(o->after, LINK_MAX, &data, &bytes, err);
        if (r == 0)
                r = link_parse(bytes, &before, err);
        if (r < 0)
                return rs_context(err, "%s", o->after);
        if (before.record.index + 1 != manifest->release)
                return rs_fail(err, CHAIN, "%s is of release %llu, not of the one before %llu", o->after,
                               (unsigned long long) before.record.index, (unsigned long long) manifest->release);
        if (memcmp(before.record.signer_spki, spki, SHA256_SIZE) == 0)
                return rs_fail(err, CHAIN_REUSE, "the key was the signer of the release before");
        memcpy(ret_log_head, before.record.log_head, 32);
        return 0;
}

static int step_draft(const CeremonyOptions *o, RsError *err) {
        _cleanup_(encoder_done) Encoder draft = ENCODER_INIT, endorser = ENCODER_INIT, endorser2 = ENCODER_INIT;
        _cleanup_(bundle_file_freep) BundleFile *bundle = NULL;
        _cleanup_(X509_freep) X509 *signer = NULL, *authority = NULL;
        uint8_t spki[SHA256_SIZE];
        LinkPlan plan = { 0 };
        int r;

        r = parse_kind(o->kind, &plan.kind, err);
        if (r == 0)
                r = load_cert(o->signer, &signer, err);
        if (r == 0)
                r = load_cert(o->authority, &authority, err);
        if (r == 0)
                r = bundle_file_open(o->bundle, &bundle, err);
        if (r == 0 && o->endorser)
                r = load_spki(o->endorser, &endorser, err);
        if (r == 0 && o->endorser2)
                r = load_spki(o->endorser2, &endorser2, err);
        if (r == 0)
                r = path_spki_sha256(signer, spki, err);
        if (r == 0)
                r = check_unused(o, spki, bundle->manifest->release, err);
        if (r == 0)
                r = check_place(signer, bundle->manifest, err);
        if (r == 0)
                r = take_before(o, plan.kind, bundle->manifest, spki, plan.log_head_before, err);
        if (r == 0)
                r = chain_name(o, plan.kind, plan.chain_name, err);
        if (r < 0)
                return r;
        memcpy(plan.manifest_digest, bundle->id, sizeof(plan.manifest_digest));
        plan.signer = signer;
        plan.authority = authority;
        plan.endorser = encoder_view(&endorser);
        plan.endorser2 = encoder_view(&endorser2);
        r = link_make_draft(&plan, &draft, err);
        return r < 0 ? r : write_file(o->output, encoder_view(&draft), err);
}

/* -- what is signed --------------------------------------------------------------------------------------------- */

static void show_digest(const char *what, const uint8_t digest[SHA256_SIZE]) {
        char hex[HEX_SIZE(SHA256_SIZE)];

        hex_encode(SPAN(digest, SHA256_SIZE), hex);
        (void) printf("%-12s %s\n", what, hex);
}

static int show_spki(const char *what, Span spki, RsError *err) {
        uint8_t digest[SHA256_SIZE];
        int r;

        if (!spki.size)
                return 0;
        r = digest_sha256(spki, digest, err);
        if (r == 0)
                show_digest(what, digest);
        return r;
}

static int parse_der(Span der, X509 **ret, RsError *err) {
        const unsigned char *p = der.data;

        *ret = ossl_d2i_x509(&p, (long) der.size);
        return *ret ? 0 : rs_fail_ssl(err, CERTIFICATE, "the link's certificate is damaged");
}

/* Keys as SHA-256 of their SubjectPublicKeyInfo, as everywhere. */
static int show_link(const Link *link, RsError *err) {
        static const char *const kinds[] = { [LINK_NEXT] = "link", [LINK_BRIDGE] = "bridge", [LINK_GENESIS] = "genesis" };
        _cleanup_(X509_freep) X509 *signer = NULL, *authority = NULL;
        uint8_t spki[SHA256_SIZE];
        FirmwarePlace place;
        int r = parse_der(link->signer, &signer, err);

        if (r == 0)
                r = parse_der(link->authority, &authority, err);
        if (r == 0)
                r = firmware_place_get(signer, &place, err);
        if (r == 0)
                r = path_spki_sha256(authority, spki, err);
        if (r < 0)
                return r;
        (void) printf("kind         %s\nrelease      %llu, epoch %u, line %s\n", kinds[link->kind],
                      (unsigned long long) link->record.index, link->record.epoch, place.line);
        show_digest("manifest", link->record.manifest_digest);
        show_digest("signer", link->record.signer_spki);
        show_digest("authority", spki);
        r = show_spki("endorser", link->endorser, err);
        if (r == 0)
                r = show_spki("approver", link->endorser2, err);
        if (r < 0)
                return r;
        show_digest("log head", link->record.log_head);
        (void) printf("endorsement  %s\napproval     %s\npossession   %s\n",
                      link->kind == LINK_GENESIS ? "none needed" : link->endorsement.size ? "signed" : "open",
                      link->approval.size ? "signed" : "open", link->possession.size ? "signed" : "open");
        return 0;
}

static int show_trust_set(Span cms, RsError *err) {
        _cleanup_(trust_set_freep) TrustSet *set = NULL;
        _cleanup_(freep) uint8_t *content = NULL;
        size_t size;
        int r = cms_peek(cms, TRUST_SET_CMS_MAX, &content, &size, err);

        if (r == 0)
                r = trust_set_parse(SPAN(content, size), &set, err);
        if (r < 0)
                return r;
        assert(set);
        (void) printf("trust set    version %llu, line %s, quorum %u\n%s", (unsigned long long) set->version, set->line,
                      set->quorum, set->firmware_pem);
        if (set->restart != 0)
                (void) printf("restart      a floor of the time above %llu falls to it\n", (unsigned long long) set->restart);
        return 0;
}

static bool is_order(Span bytes) {
        return bytes.size > 8 && memcmp(bytes.data, "RESEALA1", 8) == 0;
}

static int show_order(Span bytes, RsError *err) {
        _cleanup_(X509_freep) X509 *authority = NULL;
        uint8_t spki[SHA256_SIZE];
        AuthorityChange order;
        int r = authority_change_parse(bytes, &order, err);

        if (r == 0)
                r = parse_der(order.authority, &authority, err);
        if (r == 0)
                r = path_spki_sha256(authority, spki, err);
        if (r < 0)
                return r;
        (void) printf("order        another authority for the TPMs of the line (level 2)\n");
        show_digest("authority", spki);
        show_digest("in force", order.before + AUTHORITY_POLICY_SIZE - SHA256_SIZE);
        show_digest("then", order.after + AUTHORITY_POLICY_SIZE - SHA256_SIZE);
        r = show_spki("endorser", order.endorser, err);
        if (r == 0)
                r = show_spki("approver", order.approver, err);
        if (r == 0)
                (void) printf("endorsement  %s\napproval     %s\n", order.endorsement.size ? "signed" : "open",
                              order.approval.size ? "signed" : "open");
        return r;
}

static int step_show(const CeremonyOptions *o, RsError *err) {
        _cleanup_(freep) uint8_t *data = NULL;
        Span bytes;
        Link link;
        int r = read_file(o->input, TRUST_SET_CMS_MAX, &data, &bytes, err);

        if (r < 0)
                return r;
        if (bytes.size == 0 || bytes.data[0] == 0x30) /* DER */
                return show_trust_set(bytes, err);
        if (is_order(bytes))
                return show_order(bytes, err);
        r = link_parse(bytes, &link, err);
        return r < 0 ? r : show_link(&link, err);
}

typedef int (*SignOrder)(Span, RecoveryPoints, EVP_PKEY *, Encoder *, RsError *);

/* A recovery key signs an order for the TPMs of level L2. */
static int sign_order(const CeremonyOptions *o, Span draft, SignOrder sign, RsError *err) {
        _cleanup_(encoder_done) Encoder result = ENCODER_INIT;
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
        uint8_t recovery[3][RS_POINT_SIZE];
        int r;

        if (!o->recovery)
                return rs_fail(err, INVALID, "an order needs --recovery");
        r = show_order(draft, err);
        if (r == 0)
                r = load_recovery(o->recovery, recovery, err);
        if (r < 0)
                return r;
        (void) fflush(stdout);
        r = key_load(o->key, &key, err);
        if (r == 0)
                r = sign(draft, (RecoveryPoints) recovery, key, &result, err);
        return r < 0 ? r : write_file(o->output, encoder_view(&result), err);
}

static int step_replace(const CeremonyOptions *o, RsError *err) {
        _cleanup_(encoder_done) Encoder order = ENCODER_INIT, endorser = ENCODER_INIT, approver = ENCODER_INIT;
        _cleanup_(X509_freep) X509 *before = NULL, *after = NULL;
        uint8_t recovery[3][RS_POINT_SIZE];
        int r;

        r = load_cert(o->previous, &before, err);
        if (r == 0)
                r = load_cert(o->authority, &after, err);
        if (r == 0)
                r = load_recovery(o->recovery, recovery, err);
        if (r == 0)
                r = load_spki(o->endorser, &endorser, err);
        if (r == 0)
                r = load_spki(o->endorser2, &approver, err);
        if (r == 0)
                r = authority_make_draft(before, after, (RecoveryPoints) recovery, encoder_view(&approver),
                                         encoder_view(&endorser), &order, err);
        return r < 0 ? r : write_file(o->output, encoder_view(&order), err);
}

/* sign_as_order: NULL when the step is for links only. */
static int sign_step(const CeremonyOptions *o, int (*sign)(Span, EVP_PKEY *, Encoder *, RsError *),
                     SignOrder sign_as_order, RsError *err) {
        _cleanup_(encoder_done) Encoder result = ENCODER_INIT;
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
        _cleanup_(freep) uint8_t *data = NULL;
        Span draft;
        Link link;
        int r = read_file(o->input, LINK_MAX, &data, &draft, err);

        if (r == 0 && sign_as_order && is_order(draft))
                return sign_order(o, draft, sign_as_order, err);
        if (r == 0)
                r = link_parse(draft, &link, err);
        if (r == 0)
                r = show_link(&link, err);
        if (r < 0)
                return r;
        (void) fflush(stdout);
        r = key_load(o->key, &key, err);
        if (r == 0)
                r = sign(draft, key, &result, err);
        return r < 0 ? r : write_file(o->output, encoder_view(&result), err);
}

static int step_endorse(const CeremonyOptions *o, RsError *err) {
        return sign_step(o, link_make_endorse, authority_make_endorse, err);
}

static int step_approve(const CeremonyOptions *o, RsError *err) {
        return sign_step(o, link_make_approve, authority_make_approve, err);
}

static int step_possess(const CeremonyOptions *o, RsError *err) {
        return sign_step(o, link_make_possess, NULL, err);
}

/* -- trust sets ------------------------------------------------------------------------------------------------- */

static int pem_text(const char *path, char **ret, RsError *err) {
        uint8_t *data = NULL;
        size_t size;
        int r;

        if (!path) {
                *ret = strdup("");
                return *ret ? 0 : rs_fail_oom(err);
        }
        r = file_read(AT_FDCWD, path, RS_CERT_FILE_MAX, &data, &size, err);
        if (r == 0)
                return rs_fail_errno(err, ENOENT, "%s", path);
        if (r > 0)
                *ret = (char *) data;
        return r < 0 ? r : 0;
}

static int countersign(Span cms, Span content, const CeremonyOptions *o, RsError *err) {
        _cleanup_(encoder_done) Encoder result = ENCODER_INIT;
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
        _cleanup_(X509_freep) X509 *cert = NULL;
        int r = load_cert(o->cert, &cert, err);

        if (r == 0)
                r = key_load(o->key, &key, err);
        if (r == 0)
                r = cms_add_signer(cms, content, cert, key, &result, err);
        return r < 0 ? r : write_file(o->output, encoder_view(&result), err);
}

static int step_trust_set(const CeremonyOptions *o, RsError *err) {
        _cleanup_(trust_set_freep) TrustSet *set = calloc(1, sizeof(*set));
        _cleanup_(encoder_done) Encoder json = ENCODER_INIT;
        int r;

        if (!set)
                return rs_fail_oom(err);
        if (strlen(o->line) > RS_NAME_MAX)
                return rs_fail(err, INVALID, "--line: at most %u characters", RS_NAME_MAX);
        memcpy(set->line, o->line, strlen(o->line) + 1);
        set->version = o->version;
        set->restart = o->restart;
        set->quorum = (uint32_t) o->quorum;
        r = pem_text(o->firmware, &set->firmware_pem, err);
        if (r == 0)
                r = pem_text(o->source, &set->source_pem, err);
        if (r == 0)
                r = pem_text(o->time, &set->time_pem, err);
        if (r == 0)
                r = pem_text(o->recovery, &set->recovery_pem, err);
        if (r == 0)
                r = trust_set_encode(set, &json, err);
        return r < 0 ? r : countersign(SPAN_NULL, encoder_view(&json), o, err);
}

static int step_countersign(const CeremonyOptions *o, RsError *err) {
        _cleanup_(freep) uint8_t *data = NULL;
        Span cms;
        int r = read_file(o->input, TRUST_SET_CMS_MAX, &data, &cms, err);

        if (r == 0)
                r = show_trust_set(cms, err);
        (void) fflush(stdout);
        return r < 0 ? r : countersign(cms, SPAN_NULL, o, err);
}

static const struct {
        const char *name;
        int (*run)(const CeremonyOptions *o, RsError *err);
} steps[] = {
        { "certify", step_certify }, { "draft", step_draft },         { "endorse", step_endorse },
        { "approve", step_approve }, { "possess", step_possess },     { "show", step_show },
        { "replace", step_replace },
        { "trust-set", step_trust_set }, { "countersign", step_countersign },
};

int command_ceremony(int argc, char **argv, RsError *err) {
        CeremonyOptions o;
        int r;

        if (argc < 2)
                return usage_error("ceremony", "which step?");
        if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
                ceremony_help();
                return 0;
        }
        r = ceremony_options(argv[1], argc - 1, argv + 1, &o);
        if (r != 1)
                return r;
        for (unsigned i = 0; i < ELEMENTSOF(steps); i++)
                if (strcmp(steps[i].name, argv[1]) == 0)
                        return steps[i].run(&o, err);
        return usage_error("ceremony", "unknown step '%s'", argv[1]);
}
