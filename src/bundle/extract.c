/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * extract - the manifest or an image out of a bundle.
 *
 * Frames are verified on the way out as everywhere.  Without --root they are verified against a table that nobody
 * vouched for: good enough to look into a bundle, and said on stderr.  Repeated frames are read back from the output,
 * as the writer reads them back from the slot.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <errno.h>

#include <reseal/base/file.h>

#include "commands.h"
#include "output.h"
#include "term.h"
#include "unpack.h"

/* The options that take a file or a name are numbered without a gap: see parse_options. */
#define OPT_FIRST 256
enum {
        OPT_MANIFEST = OPT_FIRST,
        OPT_JSON,
        OPT_IMAGE,
        OPT_ROOT,
        OPT_TRANSPORT_CERT,
        OPT_TRANSPORT_KEY,
};

static const struct option long_options[] = {
        { "manifest", required_argument, NULL, OPT_MANIFEST },
        { "json", required_argument, NULL, OPT_JSON },
        { "image", required_argument, NULL, OPT_IMAGE },
        { "output", required_argument, NULL, 'o' },
        { "root", required_argument, NULL, OPT_ROOT },
        { "transport-cert", required_argument, NULL, OPT_TRANSPORT_CERT },
        { "transport-key", required_argument, NULL, OPT_TRANSPORT_KEY },
        { "quiet", no_argument, NULL, 'q' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
};

typedef struct ExtractOptions {
        const char *manifest;
        const char *json;
        const char *image;
        const char *output;
        const char *root;
        const char *transport_cert;
        const char *transport_key;
        const char *bundle;
        bool quiet;
} ExtractOptions;

static void help(void) {
        (void) fputs("Usage: reseal-bundle extract [options] BUNDLE\n\n"
                     "  --manifest FILE             write the signed manifest (CMS, DER)\n"
                     "  --json FILE                 write the manifest itself\n"
                     "  --image CLASS --output FILE write the image for a slot class\n"
                     "  --root PEM                  verify the signature first\n"
                     "  --transport-key URI         a source's transport key, for encrypted bundles\n"
                     "  --transport-cert PEM        its certificate\n"
                     "  -q, --quiet                 no progress\n",
                     stdout);
}

static int parse_options(int argc, char **argv, ExtractOptions *o) {
        const char **const targets[] = {
                [OPT_MANIFEST - OPT_FIRST] = &o->manifest,
                [OPT_JSON - OPT_FIRST] = &o->json,
                [OPT_IMAGE - OPT_FIRST] = &o->image,
                [OPT_ROOT - OPT_FIRST] = &o->root,
                [OPT_TRANSPORT_CERT - OPT_FIRST] = &o->transport_cert,
                [OPT_TRANSPORT_KEY - OPT_FIRST] = &o->transport_key,
        };
        int c;

        while ((c = getopt_long(argc, argv, ":o:qh", long_options, NULL)) >= 0) {
                if (c == 'h') {
                        help();
                        return 0;
                }
                if (c >= OPT_FIRST && c <= OPT_TRANSPORT_KEY)
                        *targets[c - OPT_FIRST] = optarg;
                else if (c == 'o')
                        o->output = optarg;
                else if (c == 'q')
                        o->quiet = true;
                else
                        return usage_error_getopt("extract", c, argv);
        }
        if (optind + 1 != argc)
                return usage_error("extract", "one BUNDLE expected");
        if (!o->manifest && !o->json && !o->image)
                return usage_error("extract", "--manifest, --json or --image is needed");
        if (!o->image != !o->output)
                return usage_error("extract", "--image and --output go together");
        if (o->transport_cert && !o->transport_key)
                return usage_error("extract", "--transport-cert needs --transport-key");
        o->bundle = argv[optind];
        return 1;
}

/* A repeated frame: from where the first one went to where this one goes. */
static int copy_frame(int fd, uint64_t from, uint64_t to, uint32_t size, RsError *err) {
        _cleanup_(freep) uint8_t *buffer = malloc(size);
        int r;

        if (!buffer)
                return rs_fail_oom(err);
        r = file_pread_all(fd, buffer, size, from, err);
        return r < 0 ? r : file_pwrite_all(fd, buffer, size, to, err);
}

static int write_frames(const BundleFile *f, uint32_t image, const Table *t, int fd, Progress *progress,
                        RsError *err) {
        const uint64_t frame_size = (uint64_t) t->frame_chunks * RS_CHUNK_SIZE;
        _cleanup_(unpacker_freep) Unpacker *u = NULL;
        UnpackedFrame frame;
        int r;

        r = unpacker_new(f, image, t, &u, err);
        if (r < 0)
                return r;
        while ((r = unpacker_next(u, &frame, err)) > 0) {
                uint64_t at = frame.number * frame_size;

                if (frame.kind == FRAME_KIND_DUP)
                        r = copy_frame(fd, frame.dup_of * frame_size, at, frame.size, err);
                else if (frame.kind != FRAME_KIND_ZERO) /* zeros stay holes */
                        r = file_pwrite_all(fd, frame.plain, frame.size, at, err);
                if (r >= 0)
                        r = interrupt_check(err);
                if (r < 0)
                        return r;
                progress_add(progress, frame.size);
        }
        return r;
}

static int extract_image(const BundleFile *f, const ExtractOptions *o, RsError *err) {
        _cleanup_(table_freep) Table *t = NULL;
        _cleanup_(output_freep) Output *out = NULL;
        Progress progress;
        uint32_t image;
        int r;

        r = bundle_file_find_image(f, o->image, &image, err);
        if (r < 0)
                return r;
        r = bundle_file_table(f, image, &t, err);
        if (r < 0)
                return r;
        /* What travelled encrypted does not become readable to everyone here. */
        r = output_open(o->output, f->header.encrypted ? 0600 : 0666, &out, err);
        if (r < 0)
                return r;
        if (ftruncate(output_fd(out), (off_t) t->image_size) < 0)
                return rs_fail_errno(err, errno, "%s", o->output);
        progress_start(&progress, "writing", t->image_size, o->quiet);
        r = write_frames(f, image, t, output_fd(out), &progress, err);
        progress_end(&progress);
        if (r < 0)
                return r;
        return output_commit(out, err);
}

static int extract_manifest(const BundleFile *f, const ExtractOptions *o, RsError *err) {
        int r;

        if (o->manifest) {
                if (!f->is_signed)
                        return rs_fail(err, SIGNATURE,
                                       "the bundle is not signed yet; --json writes the manifest itself");
                r = file_replace(AT_FDCWD, o->manifest, SPAN(f->section, f->section_size), 0644, err);
                if (r < 0)
                        return r;
        }
        if (o->json)
                return file_replace(AT_FDCWD, o->json, SPAN(f->json, f->json_size), 0644, err);
        return 0;
}

int command_extract(int argc, char **argv, RsError *err) {
        _cleanup_(bundle_file_freep) BundleFile *f = NULL;
        ExtractOptions o = { 0 };
        SignerInfo signer;
        int r;

        r = parse_options(argc, argv, &o);
        if (r != 1)
                return r;
        r = bundle_file_open(o.bundle, &f, err);
        if (r < 0)
                return r;
        if (o.root) {
                r = bundle_file_verify(f, o.root, (uint64_t) time(NULL), &signer, err);
                if (r < 0)
                        return r;
        } else if (!o.quiet)
                remark("%s: signature not checked (no --root)", o.bundle);
        r = extract_manifest(f, &o, err);
        if (r < 0 || !o.image)
                return r;
        if (o.transport_key) {
                r = bundle_file_unlock(f, o.transport_cert, o.transport_key, err);
                if (r < 0)
                        return r;
        }
        return extract_image(f, &o, err);
}
