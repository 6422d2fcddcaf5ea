/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * verify - everything a device would check of the bundle itself, without a device.
 *
 * Order as on a device: signature and path, policy, table digest, root, then each frame.  Without a transport key an
 * encrypted payload cannot be looked at; that is said, and is no failure: the signature holds all the same.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <reseal/base/text.h>

#include "commands.h"
#include "links.h"
#include "term.h"
#include "unpack.h"

enum {
        OPT_ROOT = 256,
        OPT_TRANSPORT_CERT,
        OPT_TRANSPORT_KEY,
        OPT_TIME,
        OPT_FROM,
        OPT_RECOVERY,
};

static const struct option long_options[] = {
        { "root", required_argument, NULL, OPT_ROOT },
        { "transport-cert", required_argument, NULL, OPT_TRANSPORT_CERT },
        { "transport-key", required_argument, NULL, OPT_TRANSPORT_KEY },
        { "time", required_argument, NULL, OPT_TIME },
        { "from", required_argument, NULL, OPT_FROM },
        { "recovery", required_argument, NULL, OPT_RECOVERY },
        { "quiet", no_argument, NULL, 'q' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
};

typedef struct VerifyOptions {
        const char *root;
        const char *transport_cert;
        const char *transport_key;
        const char *from;
        const char *recovery;
        const char *bundle;
        uint64_t now;
        bool quiet;
} VerifyOptions;

static void help(void) {
        (void) fputs("Usage: reseal-bundle verify --root PEM [options] BUNDLE\n\n"
                     "  --root PEM              firmware root (or roots)\n"
                     "  --transport-key URI     a source's transport key: checks an encrypted payload too\n"
                     "  --transport-cert PEM    its certificate, where several recipients make it slow to "
                     "guess\n"
                     "  --time SECONDS          judge certificates at this time instead of now\n"
                     "  --from FILE             walk the signer chain from this record or link; or \"factory\"\n"
                     "  --recovery PEM          the line's three recovery keys, for bridges\n"
                     "  -q, --quiet             say nothing but the reason of a failure\n",
                     stdout);
}

static int parse_options(int argc, char **argv, VerifyOptions *o) {
        int c;

        while ((c = getopt_long(argc, argv, ":qh", long_options, NULL)) >= 0)
                switch (c) {
                case OPT_ROOT:
                        o->root = optarg;
                        break;
                case OPT_TRANSPORT_CERT:
                        o->transport_cert = optarg;
                        break;
                case OPT_TRANSPORT_KEY:
                        o->transport_key = optarg;
                        break;
                case OPT_TIME:
                        if (text_to_u64(optarg, INT64_MAX, &o->now) < 0)
                                return usage_error("verify", "--time: '%s' is not a number of seconds",
                                                   optarg);
                        break;
                case OPT_FROM:
                        o->from = optarg;
                        break;
                case OPT_RECOVERY:
                        o->recovery = optarg;
                        break;
                case 'q':
                        o->quiet = true;
                        break;
                case 'h':
                        help();
                        return 0;
                default:
                        return usage_error_getopt("verify", c, argv);
                }
        if (optind + 1 != argc)
                return usage_error("verify", "one BUNDLE expected");
        if (!o->root)
                return usage_error("verify", "--root is needed");
        if (o->transport_cert && !o->transport_key)
                return usage_error("verify", "--transport-cert needs --transport-key");
        if (o->recovery && !o->from)
                return usage_error("verify", "--recovery needs --from");
        o->bundle = argv[optind];
        return 1;
}

static int verify_frames(const BundleFile *f, uint32_t image, const Table *t, Progress *progress,
                         RsError *err) {
        _cleanup_(unpacker_freep) Unpacker *u = NULL;
        UnpackedFrame frame;
        int r;

        r = unpacker_new(f, image, t, &u, err);
        if (r < 0)
                return r;
        while ((r = unpacker_next(u, &frame, err)) > 0) {
                progress_add(progress, frame.size);
                r = interrupt_check(err);
                if (r < 0)
                        return r;
        }
        return r;
}

static int verify_image(const BundleFile *f, uint32_t image, bool quiet, RsError *err) {
        const ManifestImage *m = &f->manifest->images[image];
        _cleanup_(table_freep) Table *t = NULL;
        char root[HEX_SIZE(RS_DIGEST_SIZE)];
        Progress progress;
        int r;

        r = bundle_file_table(f, image, &t, err);
        if (r < 0)
                return r;
        progress_start(&progress, m->class_name, m->size, quiet);
        r = verify_frames(f, image, t, &progress, err);
        progress_end(&progress);
        if (r < 0)
                return r;
        hex_encode(SPAN_ARRAY(m->root), root);
        if (!quiet)
                (void) printf("image    %s: %sgood%s, %u frames, root %s\n", m->class_name, term_good(stdout),
                              term_plain(stdout), t->n_frames, root);
        return 0;
}

/* Whether a device whose record is --from would follow. */
static int verify_chain(const BundleFile *f, const VerifyOptions *o, const SignerInfo *signer, RsError *err) {
        const LinksQuestion question = { .roots = o->root, .recovery = o->recovery, .from = o->from, .now = o->now };
        uint32_t n_steps;
        int r;

        if (!o->from)
                return 0;
        r = links_verify(f, &question, signer, &n_steps, err);
        if (r < 0)
                return r;
        if (!o->quiet)
                (void) printf("chain    %sgood%s, %u %s from %s\n", term_good(stdout), term_plain(stdout), n_steps,
                              n_steps == 1 ? "step" : "steps", o->from);
        return 0;
}

static int verify_signature(const BundleFile *f, const VerifyOptions *o, RsError *err) {
        SignerInfo signer;
        int r;

        r = bundle_file_verify(f, o->root, o->now, &signer, err);
        if (r < 0)
                return r;
        if (!o->quiet)
                (void) printf("signed   %sgood%s, by %s\n", term_good(stdout), term_plain(stdout),
                              signer.subject);
        r = verify_chain(f, o, &signer, err);
        if (r < 0)
                return r;
        if (f->manifest->confidential && !f->header.encrypted)
                return rs_fail(err, POLICY, "a confidential release in plain form");
        return 0;
}

int command_verify(int argc, char **argv, RsError *err) {
        _cleanup_(bundle_file_freep) BundleFile *f = NULL;
        VerifyOptions o = { .now = (uint64_t) time(NULL) };
        int r;

        r = parse_options(argc, argv, &o);
        if (r != 1)
                return r;
        r = bundle_file_open(o.bundle, &f, err);
        if (r < 0)
                return r;
        r = verify_signature(f, &o, err);
        if (r < 0)
                return r;
        if (o.transport_key) {
                r = bundle_file_unlock(f, o.transport_cert, o.transport_key, err);
                if (r < 0)
                        return r;
        }
        if (!bundle_file_is_readable(f)) {
                if (!o.quiet)
                        (void) printf("payload  not looked at: encrypted, and no --transport-key\n");
                return 0;
        }
        for (uint32_t i = 0; i < f->manifest->n_images; i++) {
                r = verify_image(f, i, o.quiet, err);
                if (r < 0)
                        return r;
        }
        return 0;
}
