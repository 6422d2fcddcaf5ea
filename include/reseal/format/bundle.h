/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * bundle - the header of a .rsb file: which section lies where.
 *
 * Spec:     docs/format-bundle.md section 1
 * Trust:    input is hostile; a BundleHeader is only well-formed: contiguous, in order, within the caps
 * Owns:     a BundleHeader is a flat value
 * Units:    offsets and lengths in bytes of the file
 * Errors:   FORMAT
 * Context:  any thread, no I/O
 * Programs: reseald, reseal-bundle, reseal-source
 */
#include <stdbool.h>
#include <stdint.h>

#include <reseal/base/error.h>
#include <reseal/base/span.h>
#include <reseal/format/limits.h>

typedef struct BundleSection {
        uint64_t offset;
        uint64_t length;
} BundleSection;

typedef struct BundleHeader {
        bool encrypted;
        uint32_t header_size;
        uint64_t file_size;
        uint32_t n_images;
        BundleSection manifest;
        BundleSection links, crls;            /* length 0 when there is none */
        BundleSection transport;              /* length 0 when not encrypted */
        BundleSection tables[RS_IMAGES_MAX];
        BundleSection frames[RS_IMAGES_MAX];
} BundleHeader;

/* How many bytes the whole header takes, from its first RS_BUNDLE_HEADER_FIXED bytes. */
int bundle_header_size(Span fixed, uint32_t *ret_size, RsError *err);
/* Parses exactly the whole header. */
int bundle_header_parse(Span header, BundleHeader *ret, RsError *err);
/* CRLs of a CRLS section one by one, as spans of it; a negative result of each ends the walk. */
int bundle_crls_walk(Span section, int (*each)(void *userdata, Span crl, RsError *err), void *userdata, RsError *err);
int bundle_crls_encode(const Span *crls, uint32_t n, Encoder *e, RsError *err);
/* Fills offsets, header_size and file_size from the lengths set in *h, then encodes. */
int bundle_header_encode(BundleHeader *h, Encoder *e, RsError *err);
