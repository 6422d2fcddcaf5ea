/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * record - what the TPM of a device certifies that the device has accepted.
 *
 * For whoever keeps a fleet: draws a nonce, has the device answer it (resealctl chain --certify), and judges the answer
 * here.  Nothing of the device is trusted but its attestation key, which the operator brings: the certificate that the
 * device CA made, or the public key from provisioning, never the one that came along.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include <reseal/base/file.h>
#include <reseal/base/text.h>
#include <reseal/crypto/digest.h>
#include <reseal/crypto/ossl-cleanup.h>
#include <reseal/crypto/ossl-read.h>
#include <reseal/tpm/proof.h>

#include "commands.h"
#include "term.h"

#define PEM_MAX 65536u

enum {
        OPT_NONCE = 256,
        OPT_DEVICE,
        OPT_LINE,
        OPT_JSON,
};

static const struct option long_options[] = {
        { "nonce", required_argument, NULL, OPT_NONCE },
        { "device", required_argument, NULL, OPT_DEVICE },
        { "line", required_argument, NULL, OPT_LINE },
        { "json", no_argument, NULL, OPT_JSON },
        { "help", no_argument, NULL, 'h' },
        { 0 },
};

typedef struct RecordOptions {
        uint8_t nonce[TPM_PROOF_NONCE_MAX];
        size_t nonce_size;
        const char *device;
        const char *line;
        const char *proof;
        bool json;
} RecordOptions;

static void help(void) {
        (void) fputs("Usage: reseal-bundle record --nonce HEX --device PEM [options] FILE\n\n"
                     "  --nonce HEX    the nonce that the device was asked with, 16 to 32 bytes\n"
                     "  --device PEM   certificate or public key of the device's attestation key\n"
                     "  --line NAME    refuse the record of another line\n"
                     "  --json         one JSON object\n",
                     stdout);
}

static int parse_nonce(const char *text, RecordOptions *o) {
        size_t size = strlen(text) / 2;

        if (size < TPM_PROOF_NONCE_MIN || size > TPM_PROOF_NONCE_MAX || hex_decode(text, o->nonce, size) < 0)
                return usage_error("record", "--nonce takes %u to %u bytes in small hexadecimal digits",
                                   TPM_PROOF_NONCE_MIN, TPM_PROOF_NONCE_MAX);
        o->nonce_size = size;
        return 1;
}

/* 1: go on */
static int parse_options(int argc, char **argv, RecordOptions *o) {
        int c, r;

        while ((c = getopt_long(argc, argv, ":h", long_options, NULL)) >= 0) {
                if (c == 'h') {
                        help();
                        return 0;
                }
                if (c == OPT_NONCE && (r = parse_nonce(optarg, o)) != 1)
                        return r;
                if (c == OPT_DEVICE)
                        o->device = optarg;
                else if (c == OPT_LINE)
                        o->line = optarg;
                else if (c == OPT_JSON)
                        o->json = true;
                else if (c != OPT_NONCE)
                        return usage_error_getopt("record", c, argv);
        }
        if (optind + 1 != argc)
                return usage_error("record", "one FILE expected");
        if (o->nonce_size == 0 || !o->device)
                return usage_error("record", "--nonce and --device are needed");
        o->proof = argv[optind];
        return 1;
}

static int read_whole(const char *path, size_t max, uint8_t **ret, size_t *ret_size, RsError *err) {
        int r = file_read(AT_FDCWD, path, max, ret, ret_size, err);

        return r == 0 ? rs_fail(err, IO, "%s: there is no such file", path) : r;
}

/* SubjectPublicKeyInfo of a certificate or a public key. */
static int load_device(const char *path, Encoder *ret_spki, RsError *err) {
        _cleanup_(freep) uint8_t *pem = NULL;
        _cleanup_(BIO_free_allp) BIO *bio = NULL;
        _cleanup_(X509_freep) X509 *cert = NULL;
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
        uint8_t *der = NULL;
        size_t size;
        int n, r;

        r = read_whole(path, PEM_MAX, &pem, &size, err);
        if (r < 0)
                return r;
        bio = BIO_new_mem_buf(pem, (int) size);
        if (!bio)
                return rs_fail_oom(err);
        cert = ossl_pem_x509(bio);
        if (cert)
                key = X509_get_pubkey(cert);
        else if (BIO_reset(bio) == 1)
                key = ossl_pem_pubkey(bio);
        if (!key)
                return rs_fail_ssl(err, CERTIFICATE, "%s: neither a certificate nor a public key", path);
        ERR_clear_error(); /* of what it is not */
        n = i2d_PUBKEY(key, &der);
        if (n <= 0)
                return rs_fail_ssl(err, CERTIFICATE, "%s", path);
        encoder_bytes(ret_spki, der, (size_t) n);
        OPENSSL_free(der);
        return encoder_finish(ret_spki) < 0 ? rs_fail_oom(err) : 0;
}

static int check_line(const char *line, const TpmRecord *record, RsError *err) {
        uint8_t digest[SHA256_SIZE];
        int r;

        r = digest_sha256(SPAN(line, strlen(line)), digest, err);
        if (r < 0)
                return r;
        if (memcmp(digest, record->line_tag, sizeof(record->line_tag)) != 0)
                return rs_fail(err, LINE, "the record is not one of line %s", line);
        return 0;
}

static int print_json(const RecordOptions *o, const TpmProof *p, RsError *err) {
        char line[HEX_SIZE(16)], manifest[HEX_SIZE(32)], signer[HEX_SIZE(32)], head[HEX_SIZE(32)];
        const TpmRecord *r = &p->record;
        json_t *object;
        int k;

        hex_encode(SPAN_ARRAY(r->line_tag), line);
        hex_encode(SPAN_ARRAY(r->manifest_digest), manifest);
        hex_encode(SPAN_ARRAY(r->signer_spki), signer);
        hex_encode(SPAN_ARRAY(r->log_head), head);
        object = json_pack("{s:b, s:s, s:I, s:I, s:b, s:s, s:s, s:s, s:I, s:I, s:I, s:I}", "empty", (int) r->empty, "line-tag",
                           line, "release", (json_int_t) r->release, "epoch", (json_int_t) r->epoch, "bridged",
                           r->chain_flags & 1, "manifest", manifest, "signer", signer, "log-head", head, "accept",
                           (json_int_t) p->accept, "floor-epoch", (json_int_t) r->floor_epoch, "crl-number",
                           (json_int_t) r->crl_number, "trust-version", (json_int_t) r->trust_version);
        if (object && o->line && !r->empty)
                (void) json_object_set_new(object, "line", json_string(o->line));
        if (!object)
                return rs_fail_oom(err);
        k = json_dumpf(object, stdout, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_ENSURE_ASCII);
        json_decref(object);
        (void) putchar('\n');
        return k < 0 ? rs_fail(err, IO, "standard output: cannot be written") : 0;
}

static void print_digest(const char *label, const uint8_t *bytes, size_t size) {
        char hex[HEX_SIZE(32)];

        hex_encode(SPAN(bytes, size), hex);
        (void) printf("%-9s %s\n", label, hex);
}

static void print_text(const RecordOptions *o, const TpmProof *p) {
        const TpmRecord *r = &p->record;

        (void) printf("%-9s %scertified by the device's TPM%s for this nonce\n", "record", term_good(stdout),
                      term_plain(stdout));
        if (!r->empty && o->line)
                (void) printf("%-9s %s\n", "line", o->line);
        else if (!r->empty)
                print_digest("line tag", r->line_tag, sizeof(r->line_tag));
        if (r->empty)
                (void) printf("%-9s nothing yet\n", "accepted");
        else {
                (void) printf("%-9s %" PRIu64 ", epoch %" PRIu32 "%s\n", "release", r->release, r->epoch,
                              r->chain_flags & 1 ? ", over a bridge" : "");
                print_digest("manifest", r->manifest_digest, sizeof(r->manifest_digest));
                print_digest("signer", r->signer_spki, sizeof(r->signer_spki));
                print_digest("log head", r->log_head, sizeof(r->log_head));
        }
        (void) printf("%-9s ACCEPT %" PRIu64 ", FLOOR for epoch %" PRIu32 ", lists %" PRIu64 ", trust set %" PRIu64 "\n",
                      "counters", p->accept, r->floor_epoch, r->crl_number, r->trust_version);
}

int command_record(int argc, char **argv, RsError *err) {
        _cleanup_(encoder_done) Encoder spki = ENCODER_INIT;
        _cleanup_(freep) uint8_t *bytes = NULL;
        RecordOptions o = { 0 };
        TpmProof proof;
        size_t size;
        int r;

        r = parse_options(argc, argv, &o);
        if (r != 1)
                return r;
        r = load_device(o.device, &spki, err);
        if (r >= 0)
                r = read_whole(o.proof, TPM_PROOF_MAX, &bytes, &size, err);
        if (r >= 0)
                r = tpm_proof_verify(SPAN(bytes, size), SPAN(o.nonce, o.nonce_size), encoder_view(&spki), &proof, err);
        if (r >= 0 && o.line && !proof.record.empty)
                r = check_line(o.line, &proof.record, err);
        if (r < 0)
                return r;
        if (o.json)
                return print_json(&o, &proof, err);
        print_text(&o, &proof);
        return 0;
}
