/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * crl-file - the revocation lists of a device with the certificates of their issuers, in memory and as a file.
 *
 * Spec:     docs/format-chain.md, section 4 (CRLS); docs/protocol-writer.md, "State directory"
 * Trust:    a list comes in only when an anchor, or a CA directly under one, has signed it, also from the file
 * Owns:     a CrlFile owns its set and its certificates
 * Units:    none
 * Errors:   those of pki/crl.h; FORMAT, TOO_MUCH for a section
 * Context:  one thread
 * Programs: reseal-writer
 */
#include <reseal/base/cleanup.h>
#include <reseal/pki/crl.h>

#include "anchor-set.h"

#define CRL_NUMBER_MAX ((UINT64_C(1) << 48) - 1) /* room for YYYYMMDDhhmmss, and the sum never wraps */
#define CRL_CERTS_MAX 32u /* certificates in which an issuer may be looked for */

typedef struct CrlIssuer {
        uint8_t key[32];             /* CrlInfo.issuer_key */
        uint8_t *cert;               /* DER; NULL: the issuer is an anchor */
        size_t cert_size;
} CrlIssuer;

typedef struct CrlFile {
        CrlSet *set;                 /* never NULL */
        CrlIssuer issuers[CRL_SET_MAX];
        uint32_t n_issuers;
} CrlFile;

CrlFile *crl_file_free(CrlFile *f);
RS_DEFINE_CLEANUP(CrlFile, crl_file_free)
int crl_file_new(CrlFile **ret, RsError *err);
/*
 * Lists of `from` that hold under these anchors; what does not is left out.  renew: so is the list of a CA that was
 * revoked since; its place is free, and the number falls.
 */
int crl_file_copy(CrlFile *from, const AnchorSet *anchors, bool renew, CrlFile **ret, RsError *err);
/* rules: time and lists by which an issuer that is no anchor is judged.  CRL_NUMBER_MAX holds here. */
int crl_file_add(CrlFile *f, Span der, const AnchorSet *anchors, const Span *certs, uint32_t n_certs,
                 const PathRules *rules, bool *ret_changed, CrlInfo *ret, RsError *err);
int crl_file_encode(CrlFile *f, Encoder *e, RsError *err);
/* 1, or 0: damaged.  anchors NULL: everything is left out. */
int crl_file_parse(Span bytes, const AnchorSet *anchors, CrlFile **ret, RsError *err);
/* The lists of a CRLS section, borrowed. */
int crl_section_parse(Span section, Span ret[CRL_COUNT_MAX], uint32_t *ret_n, RsError *err);
