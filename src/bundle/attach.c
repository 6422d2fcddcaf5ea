/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * attach - signer links and revocation lists into a bundle that exists.
 *
 * A link names the digest of the manifest, so it is made after the bundle; and neither is signed with it, so all other
 * bytes stay.  What is given replaces the section of its kind, what is not given stays.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <reseal/base/file.h>

#include "assemble.h"
#include "bundle-file.h"
#include "commands.h"
#include "output.h"

#include <reseal/format/link.h>

enum {
        OPT_LINK = 256,
        OPT_CRL,
};

static const struct option long_options[] = {
        { "link", required_argument, NULL, OPT_LINK },
        { "crl", required_argument, NULL, OPT_CRL },
        { "output", required_argument, NULL, 'o' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
};

typedef struct Part {
        uint8_t *data;
        size_t size;
        uint64_t index; /* of a link */
} Part;

typedef struct Attachment {
        Part links[LINK_SET_COUNT_MAX], crls[RS_CRLS_COUNT_MAX];
        uint32_t n_links, n_crls;
        const char *bundle, *output;
} Attachment;

static void attachment_freep(Attachment **p) {
        Attachment *a = *p;

        for (uint32_t i = 0; a && i < a->n_links; i++)
                free(a->links[i].data);
        for (uint32_t i = 0; a && i < a->n_crls; i++)
                free(a->crls[i].data);
        free(a);
}

static void help(void) {
        (void) fputs("Usage: reseal-bundle attach [options] BUNDLE\n\n"
                     "  --link FILE             signer link (.rsl); several, in any order\n"
                     "  --crl FILE              revocation list, DER; several\n"
                     "  -o, --output FILE       write there instead of replacing BUNDLE\n",
                     stdout);
}

static int read_part(const char *path, size_t max, Part *ret, RsError *err) {
        int r = file_read(AT_FDCWD, path, max, &ret->data, &ret->size, err);

        if (r < 0)
                return r;
        return r == 0 ? rs_fail_errno(err, ENOENT, "%s", path) : 0;
}

static int add_link(Attachment *a, const char *path, RsError *err) {
        Part *part = &a->links[a->n_links];
        Link link;
        int r;

        if (a->n_links >= LINK_SET_COUNT_MAX)
                return rs_fail(err, CHAIN, "more than %u links", LINK_SET_COUNT_MAX);
        r = read_part(path, LINK_MAX, part, err);
        if (r < 0)
                return r;
        a->n_links++;
        r = link_parse(SPAN(part->data, part->size), &link, err);
        if (r < 0)
                return rs_context(err, "%s", path);
        if (link.possession.size == 0)
                return rs_fail(err, CHAIN, "%s: a draft, not all have signed it", path);
        part->index = link.record.index;
        return 0;
}

static int add_crl(Attachment *a, const char *path, RsError *err) {
        int r;

        if (a->n_crls >= RS_CRLS_COUNT_MAX)
                return rs_fail(err, FORMAT, "more than %u revocation lists", RS_CRLS_COUNT_MAX);
        r = read_part(path, RS_CRL_MAX, &a->crls[a->n_crls], err);
        if (r < 0)
                return r;
        if (a->crls[a->n_crls++].data[0] != 0x30)
                return rs_fail(err, FORMAT, "%s: not DER", path);
        return 0;
}

/* 1: go on; 0: help was given. */
static int parse_options(int argc, char **argv, Attachment *a, RsError *err) {
        int c, r = 0;

        while ((c = getopt_long(argc, argv, ":o:h", long_options, NULL)) >= 0) {
                switch (c) {
                case OPT_LINK:
                        r = add_link(a, optarg, err);
                        break;
                case OPT_CRL:
                        r = add_crl(a, optarg, err);
                        break;
                case 'o':
                        a->output = optarg;
                        break;
                case 'h':
                        help();
                        return 0;
                default:
                        return usage_error_getopt("attach", c, argv);
                }
                if (r < 0)
                        return r;
        }
        if (optind + 1 != argc)
                return usage_error("attach", "one BUNDLE expected");
        if (a->n_links == 0 && a->n_crls == 0)
                return usage_error("attach", "--link or --crl is needed");
        a->bundle = argv[optind];
        if (!a->output)
                a->output = a->bundle;
        return 1;
}

static int by_index(const void *a, const void *b) {
        const Part *one = a, *two = b;

        return one->index < two->index ? -1 : one->index > two->index;
}

/* A device would refuse both; here somebody can still do something about it. */
static int check_fit(void *userdata, const Link *link, RsError *err) {
        const BundleFile *f = userdata;

        if (link->record.index > f->manifest->release)
                return rs_fail(err, CHAIN, "link %llu lies behind release %llu", (unsigned long long) link->record.index,
                               (unsigned long long) f->manifest->release);
        if (link->record.index == f->manifest->release &&
            memcmp(link->record.manifest_digest, f->id, sizeof(f->id)) != 0)
                return rs_fail(err, WRONG_BUNDLE, "link %llu was made for another manifest",
                               (unsigned long long) link->record.index);
        return 0;
}

static int encode_links(Attachment *a, BundleFile *f, Encoder *e, RsError *err) {
        static Span links[LINK_SET_COUNT_MAX];
        int r;

        if (a->n_links == 0) {
                encoder_bytes(e, f->links, (size_t) f->header.links.length);
                return encoder_finish(e) < 0 ? rs_fail_oom(err) : 0;
        }
        qsort(a->links, a->n_links, sizeof(a->links[0]), by_index);
        for (uint32_t i = 0; i < a->n_links; i++)
                links[i] = SPAN(a->links[i].data, a->links[i].size);
        r = link_set_encode(links, a->n_links, e, err);
        return r < 0 ? r : link_set_walk(encoder_view(e), check_fit, f, err);
}

static int encode_crls(const Attachment *a, const BundleFile *f, Encoder *e, RsError *err) {
        Span crls[RS_CRLS_COUNT_MAX];

        if (a->n_crls == 0) {
                encoder_bytes(e, f->crls, (size_t) f->header.crls.length);
                return encoder_finish(e) < 0 ? rs_fail_oom(err) : 0;
        }
        for (uint32_t i = 0; i < a->n_crls; i++)
                crls[i] = SPAN(a->crls[i].data, a->crls[i].size);
        return bundle_crls_encode(crls, a->n_crls, e, err);
}

static int attach(Attachment *a, RsError *err) {
        _cleanup_(encoder_done) Encoder links = ENCODER_INIT, crls = ENCODER_INIT;
        _cleanup_(bundle_file_freep) BundleFile *f = NULL;
        _cleanup_(output_freep) Output *out = NULL;
        int r;

        r = bundle_file_open(a->bundle, &f, err);
        if (r < 0)
                return r;
        r = encode_links(a, f, &links, err);
        if (r == 0)
                r = encode_crls(a, f, &crls, err);
        if (r == 0)
                r = output_open(a->output, 0666, &out, err);
        if (r < 0)
                return r;
        r = assemble_attached(output_fd(out), f->fd, &f->header, encoder_view(&links), encoder_view(&crls), err);
        if (r < 0)
                return r;
        r = output_commit(out, err);
        if (r < 0)
                return r;
        (void) printf("attached %s: %u links, %u revocation lists\n", a->output, a->n_links, a->n_crls);
        return 0;
}

int command_attach(int argc, char **argv, RsError *err) {
        _cleanup_(attachment_freep) Attachment *a = calloc(1, sizeof(*a));
        int r;

        if (!a)
                return rs_fail_oom(err);
        r = parse_options(argc, argv, a, err);
        return r == 1 ? attach(a, err) : r;
}
