/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * bundle-file - what the reading commands share.
 *
 * The same order as on a device: sizes, form, digest, then content.  A MANIFEST section that begins with '{' is the
 * bare JSON of an unsigned bundle (between build --no-sign and sign); DER begins with 0x30, so the two cannot be
 * taken for each other.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/err.h>

#include <reseal/base/file.h>
#include <reseal/base/names.h>
#include <reseal/crypto/aead.h>
#include <reseal/crypto/digest.h>
#include <reseal/crypto/hashtree.h>
#include <reseal/crypto/ossl-cleanup.h>

#include <reseal/crypto/ossl-read.h>
#include <reseal/pki/firmware.h>

#include "bundle-file.h"

BundleFile *bundle_file_free(BundleFile *f) {
        if (f) {
                closep(&f->fd);
                free(f->section);
                free(f->json);
                free(f->links);
                free(f->crls);
                f->manifest = manifest_free(f->manifest);
                f->content_key = secret_free(f->content_key);
                free(f);
        }
        return NULL;
}

static int read_header(BundleFile *f, RsError *err) {
        uint8_t bytes[RS_BUNDLE_HEADER_MAX];
        struct stat st;
        uint32_t size;
        int r;

        if (fstat(f->fd, &st) < 0)
                return rs_fail_errno(err, errno, "bundle");
        if (!S_ISREG(st.st_mode))
                return rs_fail(err, IO, "not a regular file");
        if (st.st_size < (off_t) RS_BUNDLE_HEADER_FIXED)
                return rs_fail(err, FORMAT, "bundle: %lld bytes are no header", (long long) st.st_size);
        r = file_pread_all(f->fd, bytes, RS_BUNDLE_HEADER_FIXED, 0, err);
        if (r < 0)
                return r;
        r = bundle_header_size(SPAN(bytes, RS_BUNDLE_HEADER_FIXED), &size, err);
        if (r < 0)
                return r;
        if ((uint64_t) st.st_size < size)
                return rs_fail(err, FORMAT, "bundle: the file ends within the header");
        r = file_pread_all(f->fd, bytes, size, 0, err);
        if (r < 0)
                return r;
        r = bundle_header_parse(SPAN(bytes, size), &f->header, err);
        if (r < 0)
                return r;
        if ((uint64_t) st.st_size != f->header.file_size)
                return rs_fail(err, FORMAT, "bundle: the file has %lld bytes, its header says %llu",
                               (long long) st.st_size, (unsigned long long) f->header.file_size);
        return 0;
}

/* A section whole; its length was held against its cap when the header was parsed. */
static int read_section(const BundleFile *f, BundleSection s, uint8_t **ret, RsError *err) {
        _cleanup_(freep) uint8_t *data = malloc((size_t) s.length + 1);
        int r;

        if (!data)
                return rs_fail_oom(err);
        r = file_pread_all(f->fd, data, (size_t) s.length, s.offset, err);
        if (r < 0)
                return r;
        data[s.length] = '\0';
        *ret = TAKE_PTR(data);
        return 0;
}

static int read_manifest(BundleFile *f, RsError *err) {
        int r;

        r = read_section(f, f->header.manifest, &f->section, err);
        if (r < 0)
                return r;
        f->section_size = (size_t) f->header.manifest.length;
        f->is_signed = f->section[0] != '{';
        if (f->is_signed)
                r = cms_peek(SPAN(f->section, f->section_size), RS_MANIFEST_JSON_MAX, &f->json, &f->json_size,
                             err);
        else {
                f->json_size = f->section_size;
                f->json = malloc(f->json_size);
                if (!f->json)
                        return rs_fail_oom(err);
                memcpy(f->json, f->section, f->json_size);
        }
        if (r < 0)
                return r;
        r = digest_sha256(SPAN(f->json, f->json_size), f->id, err);
        if (r < 0)
                return r;
        return manifest_parse(SPAN(f->json, f->json_size), &f->manifest, err);
}

/* Header and manifest must speak of the same images. */
static int check_agreement(const BundleFile *f, RsError *err) {
        uint32_t tag = f->header.encrypted ? RS_TAG_SIZE : 0;

        if (f->header.n_images != f->manifest->n_images)
                return rs_fail(err, FORMAT, "bundle: %u images, the manifest says %u", f->header.n_images,
                               f->manifest->n_images);
        for (uint32_t i = 0; i < f->header.n_images; i++)
                if (f->header.tables[i].length != f->manifest->images[i].table_size + tag)
                        return rs_fail(err, FORMAT,
                                       "bundle: table of image %u has %llu bytes, the manifest says %u", i,
                                       (unsigned long long) f->header.tables[i].length - tag,
                                       f->manifest->images[i].table_size);
        return 0;
}

int bundle_file_open_fd(int fd, BundleFile **ret, RsError *err) {
        _cleanup_(bundle_file_freep) BundleFile *f = calloc(1, sizeof(*f));
        int r;

        if (!f) {
                closep(&fd);
                return rs_fail_oom(err);
        }
        f->fd = fd;
        r = read_header(f, err);
        if (r < 0)
                return r;
        r = read_manifest(f, err);
        if (r < 0)
                return r;
        r = check_agreement(f, err);
        if (r == 0)
                r = read_section(f, f->header.links, &f->links, err);
        if (r == 0)
                r = read_section(f, f->header.crls, &f->crls, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(f);
        return 0;
}

int bundle_file_open(const char *path, BundleFile **ret, RsError *err) {
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), r;

        if (fd < 0)
                return rs_fail_errno(err, errno, "%s", path);
        r = bundle_file_open_fd(fd, ret, err);
        return r < 0 ? rs_context(err, "%s", path) : 0;
}

/* A line with a signer chain has its place in each signer's certificate; links may come later (attach). */
static bool signer_has_place(const BundleFile *f) {
        const unsigned char *p = f->section;
        _cleanup_(CMS_ContentInfo_freep) CMS_ContentInfo *cms = ossl_d2i_cms(&p, (long) f->section_size);
        _cleanup_(sk_X509_freep) STACK_OF(X509) *certs = cms ? CMS_get1_certs(cms) : NULL;

        for (int i = 0; certs && i < sk_X509_num(certs); i++)
                if (firmware_place_present(sk_X509_value(certs, i)))
                        return true;
        ERR_clear_error();
        return false;
}

int bundle_file_verify(const BundleFile *f, const char *roots, uint64_t now, SignerInfo *ret, RsError *err) {
        PathRules rules = { .eku_oid = RS_OID_EKU_IMAGE_SIGNING, .time_low = now, .time_high = now };
        _cleanup_(anchors_freep) TrustAnchors *anchors = NULL;
        _cleanup_(freep) uint8_t *content = NULL;
        size_t size;
        int r;

        if (!f->is_signed)
                return rs_fail(err, SIGNATURE, "the bundle is not signed yet");
        r = anchors_load(roots, &anchors, err);
        if (r < 0)
                return r;
        rules.firmware_place = f->header.links.length > 0 || signer_has_place(f);
        r = cms_verify(SPAN(f->section, f->section_size), anchors, &rules, RS_MANIFEST_JSON_MAX, &content,
                       &size, ret, err);
        if (r < 0)
                return r;
        /* What was peeked at and parsed is what the signature covers. */
        if (!span_equal(SPAN(content, size), SPAN(f->json, f->json_size)))
                return rs_fail(err, SIGNATURE, "the signed content is another one");
        return 0;
}

int bundle_file_unlock(BundleFile *f, const char *cert, const char *key, RsError *err) {
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *pkey = NULL;
        _cleanup_(sk_X509_freep) STACK_OF(X509) *certs = NULL;
        _cleanup_(freep) uint8_t *envelope = NULL;
        int r;

        if (!f->header.encrypted)
                return 0;
        r = read_section(f, f->header.transport, &envelope, err);
        if (r < 0)
                return r;
        r = key_load(key, &pkey, err);
        if (r < 0)
                return r;
        if (cert) {
                r = certs_load(cert, &certs, err);
                if (r < 0)
                        return r;
        }
        return cms_develop(SPAN(envelope, f->header.transport.length), certs ? sk_X509_value(certs, 0) : NULL,
                           pkey, &f->content_key, err);
}

bool bundle_file_is_readable(const BundleFile *f) {
        return !f->header.encrypted || f->content_key;
}

/* In place: the first table_size bytes of data become the plaintext. */
static int open_table(const BundleFile *f, uint32_t image, uint8_t *data, size_t size, RsError *err) {
        static const uint8_t nonce[12];
        _cleanup_(secret_freep) Secret *key = NULL;
        _cleanup_(aead_freep) Aead *aead = NULL;
        uint8_t aad[TABLE_AAD_SIZE];
        int r;

        r = bundle_table_key(f->content_key, f->id, image, &key, err);
        if (r < 0)
                return r;
        r = aead_new(key, &aead, err);
        if (r < 0)
                return r;
        bundle_table_aad(f->id, image, aad);
        return aead_open(aead, nonce, SPAN_ARRAY(aad), SPAN(data, size), data, err);
}

static int check_root(const Table *t, const ManifestImage *image, RsError *err) {
        _cleanup_(hashtree_freep) HashTree *tree = NULL;
        uint8_t root[RS_DIGEST_SIZE];
        int r;

        r = hashtree_new(SPAN_ARRAY(image->salt), &tree, err);
        if (r < 0)
                return r;
        r = hashtree_root(tree, (const uint8_t(*)[RS_DIGEST_SIZE]) t->chunk_digests, t->n_chunks, root, err);
        if (r < 0)
                return r;
        if (memcmp(root, image->root, sizeof(root)) != 0)
                return rs_fail(err, ROOT, "the chunk digests of the table give another root");
        return 0;
}

static int read_table(const BundleFile *f, uint32_t number, Table **ret, RsError *err) {
        const ManifestImage *image = &f->manifest->images[number];
        _cleanup_(freep) uint8_t *data = NULL;
        _cleanup_(table_freep) Table *t = NULL;
        uint8_t digest[RS_DIGEST_SIZE];
        int r;

        r = read_section(f, f->header.tables[number], &data, err);
        if (r < 0)
                return r;
        if (f->header.encrypted) {
                r = open_table(f, number, data, (size_t) f->header.tables[number].length, err);
                if (r < 0)
                        return r;
        }
        r = digest_sha256(SPAN(data, image->table_size), digest, err);
        if (r < 0)
                return r;
        if (memcmp(digest, image->table_sha256, sizeof(digest)) != 0)
                return rs_fail(err, TABLE_DIGEST, "the table differs from the digest in the manifest");
        r = table_parse(SPAN(data, image->table_size), image, &t, err);
        if (r < 0)
                return r;
        r = check_root(t, image, err);
        if (r < 0)
                return r;
        if (table_frames_size(t, f->header.encrypted) != f->header.frames[number].length)
                return rs_fail(err, FORMAT, "FRAMES has %llu bytes, the table says %llu",
                               (unsigned long long) f->header.frames[number].length,
                               (unsigned long long) table_frames_size(t, f->header.encrypted));
        *ret = TAKE_PTR(t);
        return 0;
}

int bundle_file_table(const BundleFile *f, uint32_t image, Table **ret, RsError *err) {
        int r;

        if (!bundle_file_is_readable(f))
                return rs_fail(err, DECRYPT, "the bundle is encrypted: --transport-key is needed");
        r = read_table(f, image, ret, err);
        return r < 0 ? rs_context(err, "image %s", f->manifest->images[image].class_name) : 0;
}

int bundle_file_find_image(const BundleFile *f, const char *class_name, uint32_t *ret, RsError *err) {
        for (uint32_t i = 0; i < f->manifest->n_images; i++)
                if (strcmp(f->manifest->images[i].class_name, class_name) == 0) {
                        *ret = i;
                        return 0;
                }
        return rs_fail(err, SLOT_CLASS, "the bundle has no image for class \"%s\"", class_name);
}
