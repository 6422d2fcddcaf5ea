/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * bundle-file - a .rsb file opened for reading: header, manifest, tables.
 *
 * Spec:     docs/format-bundle.md
 * Trust:    the file is hostile; what is read here is well-formed and consistent, not signed: see
 *           bundle_file_verify
 * Owns:     a BundleFile owns its descriptor and all it points to
 * Units:    bytes
 * Errors:   FORMAT, MANIFEST, SIGNATURE, TABLE, TABLE_DIGEST, ROOT, DECRYPT, IO
 * Context:  main thread
 * Programs: reseal-bundle
 */
#include <reseal/base/secret.h>
#include <reseal/format/bundle.h>
#include <reseal/format/manifest.h>
#include <reseal/format/table.h>
#include <reseal/pki/cms.h>

typedef struct BundleFile {
        int fd;
        BundleHeader header;
        uint8_t *section; /* MANIFEST as it is: CMS, or bare JSON when unsigned */
        size_t section_size;
        uint8_t *json; /* the content */
        size_t json_size;
        bool is_signed; /* there is a signature; whether it is good is another question */
        uint8_t id[RS_DIGEST_SIZE];
        Manifest *manifest;
        uint8_t *links, *crls; /* sections as they are; lengths in the header, 0: none */
        Secret *content_key; /* after bundle_file_unlock */
} BundleFile;

int bundle_file_open(const char *path, BundleFile **ret, RsError *err);
int bundle_file_open_fd(int fd, BundleFile **ret, RsError *err); /* takes fd, also on failure */
BundleFile *bundle_file_free(BundleFile *f);
RS_DEFINE_CLEANUP(BundleFile, bundle_file_free)

/* Signature and path to the roots in this PEM file, at time now (seconds since 1970). */
int bundle_file_verify(const BundleFile *f, const char *roots, uint64_t now, SignerInfo *ret, RsError *err);
/* Opens the transport envelope; cert may be NULL. */
int bundle_file_unlock(BundleFile *f, const char *cert, const char *key, RsError *err);
bool bundle_file_is_readable(const BundleFile *f); /* plain, or unlocked */
/* Table of one image, held against the manifest: digest, form, root, length of FRAMES. */
int bundle_file_table(const BundleFile *f, uint32_t image, Table **ret, RsError *err);
/* Number of the image of this class; SLOT_CLASS when there is none. */
int bundle_file_find_image(const BundleFile *f, const char *class_name, uint32_t *ret, RsError *err);
