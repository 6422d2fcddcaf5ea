/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * anchors - which roots, recovery keys and revocation lists this device trusts now.
 *
 * Spec:     docs/format-chain.md, section 6; docs/tpm.md, "Record" (trust version and tag, CRL number); requirements S23 to S25, S33
 * Trust:    the store's file is hostile until it matches the TPM record's tag or a quorum of the accepted set has signed it;
 *           version 0 comes from the configuration on the verified root
 * Owns:     a TrustStore owns all it gives out
 * Units:    seconds since 1970 UTC
 * Errors:   TRUST_SET (store is not what the TPM knows, no quorum, lower version), CRL_ROLLBACK, those of pki
 * Context:  one thread
 * Programs: reseal-writer, reseal-certstore (judging a new set)
 */
#include <stdbool.h>
#include <stdint.h>

#include <reseal/base/error.h>
#include <reseal/base/span.h>
#include <reseal/pki/crl.h>
#include <reseal/pki/path.h>
#include <reseal/tpm/state.h>

typedef struct TrustStore TrustStore;

typedef struct TrustStoreConfig {
        const char *firmware_root, *source_root, *time_root, *recovery; /* PEM files: version 0; all but the first may be NULL */
        const char *set_path;            /* written by reseal-certstore only; absent = version 0; may be NULL */
        int state_fd;                    /* the writer's own directory: "trust.set" (accepted copy), "crls" */
        const char *line;
} TrustStoreConfig;

int trust_store_open(const TrustStoreConfig *config, const TpmRecord *record, TrustStore **ret, RsError *err);
TrustStore *trust_store_free(TrustStore *s);
RS_DEFINE_CLEANUP(TrustStore, trust_store_free)

const TrustAnchors *trust_store_firmware(const TrustStore *s);
const TrustAnchors *trust_store_source(const TrustStore *s);   /* NULL: none configured */
const TrustAnchors *trust_store_time(const TrustStore *s);     /* NULL: none configured */
const uint8_t (*trust_store_recovery(const TrustStore *s, uint32_t *ret_n))[32];
uint64_t trust_store_version(const TrustStore *s);
/* A set with a higher version lies in the store and a quorum has signed it: *ret_record gets version and tag to commit first, then
 * trust_store_adopted() makes it the accepted one. 0: nothing new, 1: there is. */
int trust_store_look(TrustStore *s, const TpmRecord *now, TpmRecord *ret_record, RsError *err);
int trust_store_adopted(TrustStore *s, RsError *err);

const CrlSet *trust_store_crls(const TrustStore *s);
/* CRLs in the form of a CRLS section; each must be good.  *ret_changed: number and thisUpdate are to be committed, then _save. */
int trust_store_add_crls(TrustStore *s, Span crls, bool *ret_changed, uint64_t *ret_this_update, RsError *err);
int trust_store_save_crls(TrustStore *s, RsError *err);

/* Judges a candidate against the accepted set without any TPM: reseal-certstore and the store agree by being one function. */
int trust_set_judge(Span accepted_cms /* empty: version 0 */, const TrustAnchors *version0_roots, Span candidate_cms,
                    const char *line, uint64_t *ret_version, RsError *err);
