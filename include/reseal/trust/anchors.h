/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * anchors - which roots, recovery keys and revocation lists this device trusts now.
 *
 * Spec:     docs/format-chain.md, section 6; docs/tpm.md, "Record" (trust version and tag, CRL number);
 *           requirements S23 to S25, S33
 * Trust:    the store's file is hostile until it matches the TPM record's tag or a quorum of the accepted set
 *           has signed it; version 0 comes from the configuration on the verified root
 * Owns:     a TrustStore owns all it gives out; what the getters gave is gone after trust_store_look,
 *           _adopted and _add_crls
 * Units:    seconds since 1970 UTC
 * Errors:   TRUST_SET (store is not what the TPM knows, no quorum, lower version), CRL_ROLLBACK, LINE,
 *           FORMAT, those of pki
 * Context:  one thread
 * Programs: reseal-writer, reseal-certstore (judging a new set), initramfs (the set of the record)
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
        /* PEM files: version 0; all but the first may be NULL */
        const char *firmware_root, *source_root, *time_root, *recovery;
        const char *set_path;            /* written by reseal-certstore only; absent = version 0; may be NULL */
        int state_fd;                    /* the writer's own directory, borrowed: "trust.set", "trust.next", "crls" */
        const char *line;
} TrustStoreConfig;

/*
 * Opens also when the store is not what the record says: then trust_store_check fails and installs are
 * refused, while evidence can still arrive.  Strings of config must live as long as the store.
 */
int trust_store_open(const TrustStoreConfig *config, const TpmRecord *record, TrustStore **ret, RsError *err);
TrustStore *trust_store_free(TrustStore *s);
RS_DEFINE_CLEANUP(TrustStore, trust_store_free)
/*
 * 0, or why nothing may be installed now.  TRUST_SET: no copy of the accepted set is left (back comes it by
 * giving the very same set to reseal-certstore; trust_store_look finds it).  CRL_ROLLBACK: the lists held are
 * older than the record's number (the store was put back, or lost); lists that reach the number again end it.
 */
int trust_store_check(const TrustStore *s, const TpmRecord *now, RsError *err);

/* The accepted set as it was signed, borrowed; empty at version 0.  TRUST_SET as trust_store_check says it. */
int trust_store_signed(const TrustStore *s, const TpmRecord *now, Span *ret, RsError *err);
/* All NULL, and no recovery keys, while trust_store_check says TRUST_SET. */
const TrustAnchors *trust_store_firmware(const TrustStore *s);
const TrustAnchors *trust_store_source(const TrustStore *s);   /* NULL: none configured */
const TrustAnchors *trust_store_time(const TrustStore *s);     /* NULL: none configured */
const uint8_t (*trust_store_recovery(const TrustStore *s, uint32_t *ret_n))[32];
uint64_t trust_store_version(const TrustStore *s);
/*
 * 1: a set with a higher version lies in the store and a quorum of the accepted roots has signed it (of several the
 * lowest: reseal-certstore keeps those it replaced, so that a device that was away takes one after the other):
 * *ret_record is to be committed (version, tag, the number of those CRLs that hold under the new set, and a lower floor
 * of the time where the set says so), then trust_store_adopted() makes it the accepted one.  0: nothing new.  Fails
 * when what lies there is no good set; the accepted one stays in force.
 */
int trust_store_look(TrustStore *s, const TpmRecord *now, TpmRecord *ret_record, RsError *err);
/* Behind a look that gave 1. */
typedef struct TrustNext {
        uint64_t version;
        Span set;                        /* as signed, borrowed */
        const TrustAnchors *firmware;
        bool drops_roots;                /* a firmware root of the set in force is not in it */
} TrustNext;
void trust_store_next(const TrustStore *s, TrustNext *ret);
int trust_store_adopted(TrustStore *s, const TpmRecord *committed, RsError *err);

const CrlSet *trust_store_crls(const TrustStore *s);           /* never NULL */
/*
 * CRLs in the form of a CRLS section, all or none of them; but one whose issuer has itself expired at `low`, is
 * revoked by a list that was held before, or finds no place, is left out (and told when none is taken: EXPIRED,
 * REVOKED, TOO_MUCH).
 * certs: DER certificates in which the lists' issuers may be found (authorities of links and manifests); those
 * needed are kept.  On return the lists are durable in the state directory; *ret_changed: a record with
 * crl_number = trust_store_crl_number() is to be committed next.
 */
int trust_store_add_crls(TrustStore *s, Span crls, const Span *certs, uint32_t n_certs, uint64_t low, uint64_t high,
                         bool *ret_changed, RsError *err);
uint64_t trust_store_crl_number(const TrustStore *s);

/*
 * Where there is no store: 1 = these bytes are the set of the record, *ret_firmware are its firmware roots; 0 = they
 * are not.  Nothing is read of them before their digest was compared.
 */
int trust_set_of_record(Span cms, const TpmRecord *record, const char *line, TrustAnchors **ret_firmware, RsError *err);
/* Judges a candidate against the accepted set, without a TPM: one function for reseal-certstore and the store. */
int trust_set_version(Span accepted_cms, const char *line, uint64_t *ret_version, RsError *err);
int trust_set_judge(Span accepted_cms /* empty: version 0 */, const TrustAnchors *version0_roots, Span candidate_cms,
                    const char *line, uint64_t *ret_version, RsError *err);
