/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * build - images in, bundle out, in two passes.
 *
 * First pass: every image is read once, its frames compressed into a scratch file beside the output, its table and
 * verity root made.  Then the manifest is complete: encoded, parsed again by the device's parser, signed.  Second
 * pass: the keys, which are bound to the manifest's digest, encrypt table and frames into the final file, which
 * appears under its name only when it is whole.  Before that it is opened as a reader opens it.
 *
 * The content key is drawn here for each build and never leaves but in the transport envelope.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <reseal/base/text.h>
#include <reseal/crypto/digest.h>
#include <reseal/crypto/hashtree.h>
#include <reseal/crypto/ossl-cleanup.h>

#include "assemble.h"
#include "build-options.h"
#include "bundle-file.h"
#include "commands.h"
#include "output.h"
#include "pack.h"

typedef struct Build {
        BuildOptions options;
        int image_fds[RS_IMAGES_MAX];
        uint64_t file_sizes[RS_IMAGES_MAX];
        int payload_fd;
        uint64_t payload_size;
        Table *tables[RS_IMAGES_MAX];
        Encoder table_bytes[RS_IMAGES_MAX];
        Encoder json;
        Encoder cms;
        Encoder transport;
        Secret *content_key;
        BundleParts parts;
} Build;

static void build_done(Build *b) {
        build_options_done(&b->options);
        closep(&b->payload_fd);
        for (unsigned i = 0; i < RS_IMAGES_MAX; i++) {
                closep(&b->image_fds[i]);
                b->tables[i] = table_free(b->tables[i]);
                encoder_done(&b->table_bytes[i]);
        }
        encoder_done(&b->json);
        encoder_done(&b->cms);
        encoder_done(&b->transport);
        b->content_key = secret_free(b->content_key);
}

static void help(void) {
        (void) fputs("Usage: reseal-bundle build [options] --output FILE\n\n"
                     "What it is:\n"
                     "  --line NAME             product line\n"
                     "  --compatible NAME[,..]  boards it is for; may be repeated\n"
                     "  --release N             release index, rises with each release\n"
                     "  --epoch N               security epoch (0)\n"
                     "  --version TEXT          what people call it\n"
                     "  --notes-file FILE       notes for people, at most 4096 bytes\n"
                     "  --created SECONDS       since 1970 (SOURCE_DATE_EPOCH, or now)\n"
                     "  --image CLASS=PATH[,frame-chunks=1|2][,level=N][,salt=HEX]\n"
                     "                          image for a slot class; may be repeated\n"
                     "Signature:\n"
                     "  --cert PEM --key URI    signer; the key from a file or a provider (pkcs11:...)\n"
                     "  --chain PEM             intermediates to enclose\n"
                     "  --root PEM              verify the signature against this root before finishing\n"
                     "  --no-sign               leave it to 'reseal-bundle sign'\n"
                     "Encryption:\n"
                     "  --transport-cert PEM    certificate of a source that makes tickets; may be repeated\n"
                     "  --no-encrypt            integrity only\n"
                     "  --confidential yes|no   whether a plain form may exist (yes when encrypted)\n"
                     "How:\n"
                     "  --salt HEX              verity salt of all images, 64 digits (random)\n"
                     "  --level N               zstd level, 1 to 22 (19)\n"
                     "  -j, --jobs N            threads that compress (one per CPU)\n"
                     "  -o, --output FILE       the bundle; replaced if it exists\n"
                     "  -q, --quiet             no progress, no summary\n",
                     stdout);
}

static int open_image(Build *b, uint32_t i, RsError *err) {
        const char *path = b->options.images[i].path;
        ManifestImage *image = &b->options.manifest->images[i];
        struct stat st;
        off_t size;

        b->image_fds[i] = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (b->image_fds[i] < 0 || fstat(b->image_fds[i], &st) < 0)
                return rs_fail_errno(err, errno, "%s", path);
        if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
                return rs_fail(err, INVALID, "%s: neither a file nor a block device", path);
        size = lseek(b->image_fds[i], 0, SEEK_END);
        if (size < 0)
                return rs_fail_errno(err, errno, "%s", path);
        if (size == 0)
                return rs_fail(err, INVALID, "%s: empty", path);
        if ((uint64_t) size > RS_IMAGE_SIZE_MAX)
                return rs_fail(err, SIZE, "%s: %llu bytes, limit %llu", path, (unsigned long long) size,
                               (unsigned long long) RS_IMAGE_SIZE_MAX);
        b->file_sizes[i] = (uint64_t) size;
        image->size = ((uint64_t) size + RS_BLOCK_SIZE - 1) / RS_BLOCK_SIZE * RS_BLOCK_SIZE;
        if (image->size < RS_IMAGE_SIZE_MIN)
                image->size = RS_IMAGE_SIZE_MIN;
        if (image->size != b->file_sizes[i])
                remark("%s: padded with %llu zero bytes to %llu", path,
                       (unsigned long long) (image->size - b->file_sizes[i]),
                       (unsigned long long) image->size);
        return 0;
}

/* What follows from the table: the image's entry in the manifest. */
static int describe_image(Build *b, uint32_t i, RsError *err) {
        ManifestImage *image = &b->options.manifest->images[i];
        const Table *t = b->tables[i];
        _cleanup_(hashtree_freep) HashTree *tree = NULL;
        int r;

        r = hashtree_new(SPAN_ARRAY(image->salt), &tree, err);
        if (r < 0)
                return r;
        r = hashtree_root(tree, (const uint8_t(*)[RS_DIGEST_SIZE]) t->chunk_digests, t->n_chunks, image->root,
                          err);
        if (r < 0)
                return r;
        r = table_encode(t, &b->table_bytes[i], err);
        if (r < 0)
                return r;
        image->n_chunks = t->n_chunks;
        image->table_size = (uint32_t) b->table_bytes[i].size;
        return digest_sha256(encoder_view(&b->table_bytes[i]), image->table_sha256, err);
}

static int pack_images(Build *b, RsError *err) {
        const BuildOptions *o = &b->options;
        const Manifest *m = o->manifest;
        Progress progress;
        uint64_t total = 0;
        int r;

        for (uint32_t i = 0; i < m->n_images; i++) {
                r = open_image(b, i, err);
                if (r < 0)
                        return r;
                total += m->images[i].size;
        }
        r = output_scratch(o->output, &b->payload_fd, err);
        if (r < 0)
                return r;
        progress_start(&progress, "compressing", total, o->quiet);
        for (uint32_t i = 0; r == 0 && i < m->n_images; i++) {
                PackInput in = { .fd = b->image_fds[i],
                                 .file_size = b->file_sizes[i],
                                 .size = m->images[i].size,
                                 .frame_chunks = m->images[i].frame_chunks,
                                 .level = o->images[i].level,
                                 .n_jobs = o->n_jobs };

                memcpy(in.salt, m->images[i].salt, sizeof(in.salt));
                r = pack_image(&in, b->payload_fd, &b->payload_size, &progress, &b->tables[i], err);
                if (r < 0)
                        (void) rs_context(err, "%s", o->images[i].path);
                else
                        r = describe_image(b, i, err);
        }
        progress_end(&progress);
        return r;
}

/* Encoded, read back by the parser every device uses, signed. */
static int make_manifest(Build *b, RsError *err) {
        _cleanup_(manifest_freep) Manifest *again = NULL;
        int r;

        r = manifest_encode(b->options.manifest, &b->json, err);
        if (r < 0)
                return r;
        r = manifest_parse(encoder_view(&b->json), &again, err);
        if (r < 0)
                return r;
        r = digest_sha256(encoder_view(&b->json), b->parts.id, err);
        if (r < 0)
                return r;
        if (!b->options.sign) {
                b->parts.manifest = encoder_view(&b->json);
                return 0;
        }
        r = signer_sign(&b->options.signer, encoder_view(&b->json), &b->cms, err);
        if (r < 0)
                return r;
        b->parts.manifest = encoder_view(&b->cms);
        return 0;
}

static int make_transport(Build *b, RsError *err) {
        _cleanup_(sk_X509_freep) STACK_OF(X509) *recipients = sk_X509_new_null();
        int r;

        if (!recipients)
                return rs_fail_oom(err);
        for (unsigned i = 0; i < b->options.n_transport_certs; i++) {
                _cleanup_(sk_X509_freep) STACK_OF(X509) *certs = NULL;

                r = certs_load(b->options.transport_certs[i], &certs, err);
                if (r < 0)
                        return r;
                if (sk_X509_push(recipients, sk_X509_value(certs, 0)) <= 0)
                        return rs_fail_oom(err);
                (void) sk_X509_shift(certs); /* now owned by recipients */
        }
        b->content_key = secret_new_random(RS_KEY_SIZE);
        if (!b->content_key)
                return rs_fail(err, INTERNAL, "no random content key");
        r = cms_envelop(b->content_key, recipients, &b->transport, err);
        if (r < 0)
                return r;
        b->parts.content_key = b->content_key;
        b->parts.transport = encoder_view(&b->transport);
        return 0;
}

/* As a reader sees it; with --root the signature too. */
static int check_result(const Build *b, int fd, RsError *err) {
        _cleanup_(bundle_file_freep) BundleFile *f = NULL;
        int own = fcntl(fd, F_DUPFD_CLOEXEC, 3), r;
        SignerInfo signer;

        if (own < 0)
                return rs_fail_errno(err, errno, "bundle");
        r = bundle_file_open_fd(own, &f, err);
        if (r < 0)
                return r;
        if (memcmp(f->id, b->parts.id, sizeof(f->id)) != 0)
                return rs_fail(err, INTERNAL, "the bundle reads back with another id");
        if (!b->options.root) {
                if (b->options.sign && !b->options.quiet)
                        remark("signature not checked (no --root): a wrong or expired certificate shows on the devices only");
                return 0;
        }
        return bundle_file_verify(f, b->options.root, (uint64_t) time(NULL), &signer, err);
}

static int write_bundle(Build *b, RsError *err) {
        _cleanup_(output_freep) Output *out = NULL;
        Progress progress;
        int r;

        b->parts.n_images = b->options.manifest->n_images;
        b->parts.payload_fd = b->payload_fd;
        for (uint32_t i = 0; i < b->parts.n_images; i++) {
                b->parts.tables[i] = b->tables[i];
                b->parts.table_bytes[i] = encoder_view(&b->table_bytes[i]);
        }
        r = output_open(b->options.output, 0666, &out, err);
        if (r < 0)
                return r;
        progress_start(&progress, b->content_key ? "encrypting" : "writing", b->payload_size,
                       b->options.quiet);
        r = assemble_bundle(output_fd(out), &b->parts, &progress, err);
        progress_end(&progress);
        if (r < 0)
                return r;
        r = check_result(b, output_fd(out), err);
        if (r < 0)
                return r;
        return output_commit(out, err);
}

static void print_image(const ManifestImage *image, const Table *t) {
        unsigned n[_FRAME_KIND_MAX] = { 0 };
        uint64_t payload = table_frames_size(t, false);
        char size[SIZE_TEXT], packed[SIZE_TEXT];

        for (uint32_t i = 0; i < t->n_frames; i++)
                n[t->frames[i].kind]++;
        (void) printf("image    %s: %s to %s (%u.%u %%); %u frames: %u zstd, %u raw, %u dup, %u zero\n",
                      image->class_name, size_text(image->size, size), size_text(payload, packed),
                      (unsigned) (payload * 1000 / image->size) / 10,
                      (unsigned) (payload * 1000 / image->size) % 10, t->n_frames, n[FRAME_KIND_ZSTD],
                      n[FRAME_KIND_RAW], n[FRAME_KIND_DUP], n[FRAME_KIND_ZERO]);
}

static void print_summary(const Build *b) {
        const Manifest *m = b->options.manifest;
        char id[HEX_SIZE(RS_DIGEST_SIZE)], size[SIZE_TEXT];
        struct stat st;

        hex_encode(SPAN_ARRAY(b->parts.id), id);
        if (stat(b->options.output, &st) < 0)
                st.st_size = 0;
        (void) printf("bundle   %s%s%s (%s, %s, %s)\n", term_bold(stdout), b->options.output,
                      term_plain(stdout), size_text((uint64_t) st.st_size, size),
                      b->options.encrypt ? "encrypted" : "not encrypted",
                      b->options.sign ? "signed" : "NOT SIGNED");
        (void) printf("id       %s\nrelease  %llu (%s), line %s, epoch %u\n", id,
                      (unsigned long long) m->release, m->version, m->line, m->epoch);
        for (uint32_t i = 0; i < m->n_images; i++)
                print_image(&m->images[i], b->tables[i]);
}

int command_build(int argc, char **argv, RsError *err) {
        _cleanup_(build_done) Build b = { .payload_fd = -EBADF };
        int r;

        for (unsigned i = 0; i < RS_IMAGES_MAX; i++)
                b.image_fds[i] = -EBADF;
        r = build_options_parse(argc, argv, &b.options, err);
        if (r != 0)
                return r;
        if (b.options.help) {
                help();
                return 0;
        }
        r = pack_images(&b, err);
        if (r < 0)
                return r;
        r = make_manifest(&b, err);
        if (r < 0)
                return r;
        if (b.options.encrypt) {
                r = make_transport(&b, err);
                if (r < 0)
                        return r;
        }
        r = write_bundle(&b, err);
        if (r < 0)
                return r;
        if (!b.options.quiet)
                print_summary(&b);
        return 0;
}
