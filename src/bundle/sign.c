/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * sign - a signature for a bundle that has none, or another one in place of the old.
 *
 * The content stays byte for byte, so the bundle id and with it every key and ticket stay too; table and frames are
 * copied as they are, encrypted or not.  Where the signing machine shall not see gigabytes, it gets the manifest
 * (extract --json), signs that, and the CMS is put in with --signature; it is taken only if it holds the same content.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include <reseal/base/file.h>
#include <reseal/base/text.h>

#include "assemble.h"
#include "bundle-file.h"
#include "commands.h"
#include "output.h"
#include "signer.h"

enum {
        OPT_CERT = 256,
        OPT_KEY,
        OPT_CHAIN,
        OPT_SIGNATURE,
        OPT_ROOT,
};

static const struct option long_options[] = {
        { "cert", required_argument, NULL, OPT_CERT },
        { "key", required_argument, NULL, OPT_KEY },
        { "chain", required_argument, NULL, OPT_CHAIN },
        { "signature", required_argument, NULL, OPT_SIGNATURE },
        { "root", required_argument, NULL, OPT_ROOT },
        { "output", required_argument, NULL, 'o' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
};

typedef struct SignOptions {
        SignerOptions signer;
        const char *signature;
        const char *root;
        const char *bundle;
        const char *output;
} SignOptions;

static void help(void) {
        (void) fputs("Usage: reseal-bundle sign [options] BUNDLE\n\n"
                     "  --cert PEM --key URI    signer; the key from a file or a provider (pkcs11:...)\n"
                     "  --chain PEM             intermediates to enclose\n"
                     "  --signature FILE        instead: a CMS made elsewhere over the same manifest\n"
                     "  --root PEM              verify the signature against this root before finishing\n"
                     "  -o, --output FILE       write there instead of replacing BUNDLE\n",
                     stdout);
}

/* 1: go on; 0: help was given. */
static int parse_options(int argc, char **argv, SignOptions *o) {
        int c;

        while ((c = getopt_long(argc, argv, ":o:h", long_options, NULL)) >= 0)
                switch (c) {
                case OPT_CERT:
                        o->signer.cert = optarg;
                        break;
                case OPT_KEY:
                        o->signer.key = optarg;
                        break;
                case OPT_CHAIN:
                        o->signer.chain = optarg;
                        break;
                case OPT_SIGNATURE:
                        o->signature = optarg;
                        break;
                case OPT_ROOT:
                        o->root = optarg;
                        break;
                case 'o':
                        o->output = optarg;
                        break;
                case 'h':
                        help();
                        return 0;
                default:
                        return usage_error_getopt("sign", c, argv);
                }
        if (optind + 1 != argc)
                return usage_error("sign", "one BUNDLE expected");
        if (o->signature ? o->signer.cert || o->signer.key || o->signer.chain
                         : !o->signer.cert || !o->signer.key)
                return usage_error("sign", "either --cert and --key, or --signature");
        o->bundle = argv[optind];
        if (!o->output)
                o->output = o->bundle;
        return 1;
}

/* A CMS from elsewhere, with the content this bundle has. */
static int read_signature(const char *path, const BundleFile *f, Encoder *ret_cms, RsError *err) {
        _cleanup_(freep) uint8_t *cms = NULL, *content = NULL;
        size_t cms_size, size;
        int r;

        r = file_read(AT_FDCWD, path, RS_MANIFEST_CMS_MAX, &cms, &cms_size, err);
        if (r < 0)
                return r;
        if (r == 0)
                return rs_fail_errno(err, ENOENT, "%s", path);
        r = cms_peek(SPAN(cms, cms_size), RS_MANIFEST_JSON_MAX, &content, &size, err);
        if (r < 0)
                return rs_context(err, "%s", path);
        if (!span_equal(SPAN(content, size), SPAN(f->json, f->json_size)))
                return rs_fail(err, WRONG_BUNDLE, "%s: signs the manifest of another bundle", path);
        encoder_bytes(ret_cms, cms, cms_size);
        return encoder_finish(ret_cms) < 0 ? rs_fail_oom(err) : 0;
}

static int check_result(int fd, const BundleFile *old, const char *root, RsError *err) {
        _cleanup_(bundle_file_freep) BundleFile *f = NULL;
        int own = fcntl(fd, F_DUPFD_CLOEXEC, 3), r;
        SignerInfo signer;

        if (own < 0)
                return rs_fail_errno(err, errno, "bundle");
        r = bundle_file_open_fd(own, &f, err);
        if (r < 0)
                return r;
        if (!span_equal(SPAN_ARRAY(f->id), SPAN_ARRAY(old->id)))
                return rs_fail(err, INTERNAL, "the bundle reads back with another id");
        if (root)
                return bundle_file_verify(f, root, (uint64_t) time(NULL), &signer, err);
        remark("signature not checked (no --root): a wrong or expired certificate shows on the devices only");
        return 0;
}

int command_sign(int argc, char **argv, RsError *err) {
        _cleanup_(bundle_file_freep) BundleFile *f = NULL;
        _cleanup_(encoder_done) Encoder cms = ENCODER_INIT;
        _cleanup_(output_freep) Output *out = NULL;
        char id[HEX_SIZE(RS_DIGEST_SIZE)];
        SignOptions o = { 0 };
        int r;

        r = parse_options(argc, argv, &o);
        if (r != 1)
                return r;
        r = bundle_file_open(o.bundle, &f, err);
        if (r < 0)
                return r;
        if (o.signature)
                r = read_signature(o.signature, f, &cms, err);
        else
                r = signer_sign(&o.signer, SPAN(f->json, f->json_size), &cms, err);
        if (r < 0)
                return r;
        r = output_open(o.output, 0666, &out, err);
        if (r < 0)
                return r;
        r = assemble_resigned(output_fd(out), f->fd, &f->header, encoder_view(&cms), err);
        if (r < 0)
                return r;
        r = check_result(output_fd(out), f, o.root, err);
        if (r < 0)
                return r;
        r = output_commit(out, err);
        if (r < 0)
                return r;
        hex_encode(SPAN_ARRAY(f->id), id);
        (void) printf("signed   %s\nid       %s\nrelease  %llu (%s), line %s, epoch %u\n", o.output, id,
                      (unsigned long long) f->manifest->release, f->manifest->version, f->manifest->line,
                      f->manifest->epoch);
        return 0;
}
