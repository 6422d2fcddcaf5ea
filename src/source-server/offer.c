/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * offer - reads what the source must know of a bundle: header, manifest, envelope and the first table.
 *
 * A ticket says "this key is for that bundle id".  Someone who can hand bundles to the source could put the envelope
 * of a release into a file with another manifest, and a ticket for his own id would then carry that release's key.
 * So the key has to prove itself: it must open the first chunk table under the bundle id, and the table must be the one
 * that the manifest names.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/base/names.h>
#include <reseal/base/text.h>
#include <reseal/crypto/aead.h>
#include <reseal/crypto/digest.h>
#include <reseal/pki/cms.h>

#include "offer.h"

static int read_header(Offer *o, RsError *err) {
        uint8_t bytes[RS_BUNDLE_HEADER_MAX];
        struct stat st;
        uint32_t size;
        int r;

        if (fstat(o->fd, &st) < 0)
                return rs_fail_errno(err, errno, "cannot look at the bundle");
        if (!S_ISREG(st.st_mode) || st.st_size < (off_t) RS_BUNDLE_HEADER_FIXED)
                return rs_fail(err, FORMAT, "not a file that could hold a bundle");
        r = file_pread_all(o->fd, bytes, RS_BUNDLE_HEADER_FIXED, 0, err);
        if (r < 0)
                return r;
        r = bundle_header_size(SPAN(bytes, RS_BUNDLE_HEADER_FIXED), &size, err);
        if (r < 0)
                return r;
        r = file_pread_all(o->fd, bytes, size, 0, err);
        if (r < 0)
                return r;
        r = bundle_header_parse(SPAN(bytes, size), &o->header, err);
        if (r < 0)
                return r;
        if ((uint64_t) st.st_size != o->header.file_size)
                return rs_fail(err, FORMAT, "the file has %llu bytes, its header says %llu",
                               (unsigned long long) st.st_size, (unsigned long long) o->header.file_size);
        return 0;
}

/* The caps of the header hold for every section this is called for. */
static int read_section(const Offer *o, const BundleSection *section, uint8_t **ret, RsError *err) {
        _cleanup_(freep) uint8_t *bytes = malloc(section->length + 1);
        int r;

        if (!bytes)
                return rs_fail_oom(err);
        r = file_pread_all(o->fd, bytes, section->length, section->offset, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(bytes);
        return 0;
}

static int read_manifest(Offer *o, const TrustAnchors *firmware_root, RsError *err) {
        const uint64_t now = (uint64_t) time(NULL);
        const PathRules rules = { .eku_oid = RS_OID_EKU_IMAGE_SIGNING, .time_low = now, .time_high = now,
                                  .firmware_place = true };
        _cleanup_(freep) uint8_t *cms = NULL, *json = NULL;
        SignerInfo signer;
        size_t size = 0;
        Span der;
        int r;

        r = read_section(o, &o->header.manifest, &cms, err);
        if (r < 0)
                return r;
        der = SPAN(cms, o->header.manifest.length);
        r = firmware_root ? cms_verify(der, firmware_root, &rules, RS_MANIFEST_JSON_MAX, &json, &size, &signer, err) :
                            cms_peek(der, RS_MANIFEST_JSON_MAX, &json, &size, err);
        if (r < 0)
                return r;
        r = digest_sha256(SPAN(json, size), o->id, err);
        if (r < 0)
                return r;
        r = manifest_parse(SPAN(json, size), &o->manifest, err);
        if (r < 0)
                return r;
        if (o->manifest->n_images != o->header.n_images)
                return rs_fail(err, FORMAT, "the header has %u images, the manifest %u", o->header.n_images,
                               o->manifest->n_images);
        return 0;
}

int offer_open(const char *path, const TrustAnchors *firmware_root, Offer **ret, RsError *err) {
        _cleanup_(offer_freep) Offer *o = calloc(1, sizeof(*o));
        int r;

        if (!o)
                return rs_fail_oom(err);
        o->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (o->fd < 0)
                return rs_fail_errno(err, errno, "%s", path);
        r = read_header(o, err);
        if (r < 0)
                return rs_context(err, "%s", path);
        r = read_manifest(o, firmware_root, err);
        if (r < 0)
                return rs_context(err, "%s", path);

        *ret = TAKE_PTR(o);
        return 0;
}

Offer *offer_free(Offer *o) {
        if (!o)
                return NULL;
        closep(&o->fd);
        o->manifest = manifest_free(o->manifest);
        free(o);
        return NULL;
}

static int check_key(const Offer *o, const Secret *content_key, RsError *err) {
        const ManifestImage *image = &o->manifest->images[0];
        const BundleSection *section = &o->header.tables[0];
        _cleanup_(secret_freep) Secret *table_key = NULL;
        _cleanup_(freep) uint8_t *table = NULL;
        _cleanup_(aead_freep) Aead *aead = NULL;
        uint8_t aad[TABLE_AAD_SIZE], digest[SHA256_SIZE];
        static const uint8_t nonce[12];
        int r;

        if (section->length != (uint64_t) image->table_size + RS_TAG_SIZE)
                return rs_fail(err, FORMAT, "the chunk table has another size than the manifest says");
        r = read_section(o, section, &table, err);
        if (r < 0)
                return r;
        r = bundle_table_key(content_key, o->id, 0, &table_key, err);
        if (r < 0)
                return r;
        r = aead_new(table_key, &aead, err);
        if (r < 0)
                return r;
        bundle_table_aad(o->id, 0, aad);
        r = aead_open(aead, nonce, SPAN_ARRAY(aad), SPAN(table, section->length), table, err);
        if (r < 0)
                return rs_context(err, "the envelope is not this bundle's");
        r = digest_sha256(SPAN(table, image->table_size), digest, err);
        if (r < 0)
                return r;
        if (!span_equal(SPAN_ARRAY(digest), SPAN_ARRAY(image->table_sha256)))
                return rs_fail(err, TABLE_DIGEST, "the chunk table is not the one the manifest names");
        return 0;
}

int offer_content_key(const Offer *o, X509 *transport_cert, EVP_PKEY *transport_key, Secret **ret, RsError *err) {
        _cleanup_(secret_freep) Secret *content_key = NULL;
        _cleanup_(freep) uint8_t *envelope = NULL;
        int r;

        if (!o->header.encrypted)
                return rs_fail(err, STATE, "the bundle is not encrypted: there is no key to give");
        r = read_section(o, &o->header.transport, &envelope, err);
        if (r < 0)
                return r;
        r = cms_develop(SPAN(envelope, o->header.transport.length), transport_cert, transport_key, &content_key, err);
        if (r < 0)
                return r;
        r = check_key(o, content_key, err);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(content_key);
        return 0;
}
