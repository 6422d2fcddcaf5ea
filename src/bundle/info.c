/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * info - what a bundle says, unjudged.
 *
 * Works without roots and keys on any well-formed bundle and says so: "signature not checked".  --digests prints only
 * what two builds from the same input must agree on, one image a line, so that a diff of two outputs is the test of
 * reproducibility (docs/format-bundle.md section 7).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include <reseal/base/text.h>

#include "bundle-file.h"
#include "commands.h"
#include "links.h"
#include "term.h"

enum {
        OPT_JSON = 256,
        OPT_DIGESTS,
};

static const struct option long_options[] = {
        { "json", no_argument, NULL, OPT_JSON },
        { "digests", no_argument, NULL, OPT_DIGESTS },
        { "help", no_argument, NULL, 'h' },
        { 0 },
};

static void help(void) {
        (void) fputs("Usage: reseal-bundle info [--json | --digests] BUNDLE\n\n"
                     "  --json      all of it, as one JSON object\n"
                     "  --digests   only what a rebuild must reproduce\n",
                     stdout);
}

/* Line by line, each made harmless again although the parser refused control characters: a terminal reads this. */
static void print_notes(const char *notes) {
        while (*notes) {
                size_t n = strcspn(notes, "\n");
                char line[1024];

                (void) printf("notes    %s\n", text_printable(SPAN(notes, n), line, sizeof(line)));
                notes += n + (notes[n] == '\n');
        }
}

static void print_image(const BundleFile *f, uint32_t i) {
        const ManifestImage *image = &f->manifest->images[i];
        char root[HEX_SIZE(RS_DIGEST_SIZE)], size[SIZE_TEXT], payload[SIZE_TEXT];

        hex_encode(SPAN_ARRAY(image->root), root);
        (void) printf("image    %s%s%s: %s, payload %s, %u chunks in frames of %u\n         root %s\n",
                      term_bold(stdout), image->class_name, term_plain(stdout), size_text(image->size, size),
                      size_text(f->header.frames[i].length, payload), image->n_chunks, image->frame_chunks,
                      root);
}

static void print_text(const BundleFile *f) {
        const Manifest *m = f->manifest;
        char id[HEX_SIZE(RS_DIGEST_SIZE)], size[SIZE_TEXT], created[32];
        time_t seconds = (time_t) m->created;
        struct tm tm;

        hex_encode(SPAN_ARRAY(f->id), id);
        if (!gmtime_r(&seconds, &tm) || strftime(created, sizeof(created), "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
                (void) snprintf(created, sizeof(created), "%llu", (unsigned long long) m->created);
        (void) printf("id       %s\n", id);
        (void) printf("form     %s, %s, %s%s\n", size_text(f->header.file_size, size),
                      f->header.encrypted ? "encrypted" : "not encrypted",
                      f->is_signed ? "signature not checked here" : "NOT SIGNED",
                      m->confidential ? ", confidential" : "");
        (void) printf("release  %llu (%s), epoch %u, created %s\n", (unsigned long long) m->release,
                      m->version, m->epoch, created);
        (void) printf("line     %s\n", m->line);
        for (uint32_t i = 0; i < m->n_compatible; i++)
                (void) printf("for      %s\n", m->compatible[i]);
        if (m->notes)
                print_notes(m->notes);
        for (uint32_t i = 0; i < m->n_images; i++)
                print_image(f, i);
        links_print(f);
}

static void print_digests(const BundleFile *f) {
        for (uint32_t i = 0; i < f->manifest->n_images; i++) {
                const ManifestImage *image = &f->manifest->images[i];
                char salt[HEX_SIZE(RS_SALT_SIZE)], root[HEX_SIZE(RS_DIGEST_SIZE)],
                                table[HEX_SIZE(RS_DIGEST_SIZE)];

                hex_encode(SPAN_ARRAY(image->salt), salt);
                hex_encode(SPAN_ARRAY(image->root), root);
                hex_encode(SPAN_ARRAY(image->table_sha256), table);
                (void) printf("%s size=%llu salt=%s root=%s table=%s\n", image->class_name,
                              (unsigned long long) image->size, salt, root, table);
        }
}

static json_t *sections_json(const BundleFile *f) {
        json_t *tables = json_array(), *frames = json_array();

        for (uint32_t i = 0; i < f->header.n_images; i++) {
                (void) json_array_append_new(tables,
                                             json_pack("{s:I, s:I}", "offset",
                                                       (json_int_t) f->header.tables[i].offset, "length",
                                                       (json_int_t) f->header.tables[i].length));
                (void) json_array_append_new(frames,
                                             json_pack("{s:I, s:I}", "offset",
                                                       (json_int_t) f->header.frames[i].offset, "length",
                                                       (json_int_t) f->header.frames[i].length));
        }
        return json_pack("{s:{s:I, s:I}, s:{s:I, s:I}, s:o, s:o}", "manifest", "offset",
                         (json_int_t) f->header.manifest.offset, "length",
                         (json_int_t) f->header.manifest.length, "transport", "offset",
                         (json_int_t) f->header.transport.offset, "length",
                         (json_int_t) f->header.transport.length, "tables", tables, "frames", frames);
}

static int print_json(const BundleFile *f, RsError *err) {
        json_t *manifest = json_loadb((const char *) f->json, f->json_size, JSON_REJECT_DUPLICATES, NULL);
        json_t *sections = sections_json(f), *object;
        char id[HEX_SIZE(RS_DIGEST_SIZE)];
        int r;

        hex_encode(SPAN_ARRAY(f->id), id);
        object = json_pack("{s:s, s:b, s:b, s:I, s:o, s:o, s:o}", "id", id, "encrypted", (int) f->header.encrypted,
                           "signed", (int) f->is_signed, "file_size", (json_int_t) f->header.file_size,
                           "sections", sections, "manifest", manifest, "chain", links_json(f));
        if (!object)
                return rs_fail_oom(err);
        r = json_dumpf(object, stdout, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_ENSURE_ASCII);
        json_decref(object);
        (void) putchar('\n');
        return r < 0 ? rs_fail(err, IO, "standard output: cannot be written") : 0;
}

int command_info(int argc, char **argv, RsError *err) {
        _cleanup_(bundle_file_freep) BundleFile *f = NULL;
        int c, how = 0, r;

        while ((c = getopt_long(argc, argv, ":h", long_options, NULL)) >= 0) {
                if (c == 'h') {
                        help();
                        return 0;
                }
                if (c == '?' || c == ':')
                        return usage_error_getopt("info", c, argv);
                if (how != 0 && how != c)
                        return usage_error("info", "--json and --digests exclude each other");
                how = c;
        }
        if (optind + 1 != argc)
                return usage_error("info", "one BUNDLE expected");
        r = bundle_file_open(argv[optind], &f, err);
        if (r < 0)
                return r;
        if (how == OPT_JSON)
                return print_json(f, err);
        if (how == OPT_DIGESTS)
                print_digests(f);
        else
                print_text(f);
        return 0;
}
