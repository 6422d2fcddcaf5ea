/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * crl - verified revocation lists, as a set that path checks consult.
 *
 * Spec:     RFC 5280 5 and 6.3; DESIGN.md 6; requirements S24, S71; threat T45
 * Trust:    input is hostile: a CRL enters a set only when a CA we already trust for that name has signed it
 * Owns:     a CrlSet owns its CRLs
 * Units:    seconds since 1970 UTC
 * Errors:   FORMAT (not one CRL, no CRLNumber, delta or indirect), SIGNATURE, CERTIFICATE (issuer unknown, or may not
 *           sign CRLs), CRL_ROLLBACK, TOO_MUCH
 * Context:  any thread; a CrlSet that is being read must not be changed
 * Programs: reseal-writer, reseald, reseal-bundle, reseal-source
 */
#include <stdbool.h>
#include <stdint.h>

#include <reseal/base/error.h>
#include <reseal/base/span.h>
#include <reseal/pki/path.h>

#define CRL_SIZE_MAX (128u << 10)
#define CRL_COUNT_MAX 8u          /* in a section, and of one domain in a set */
#define CRL_DOMAINS_MAX 3u
#define CRL_SET_MAX (CRL_COUNT_MAX * CRL_DOMAINS_MAX)
#define CRL_CAS_MAX 4u            /* of a domain's places those that CAs below its anchors may take */

struct x509_crl_st;
typedef struct CrlSet CrlSet; /* path.h also names it */

typedef struct CrlInfo {
        char issuer[160];
        uint8_t issuer_key[32];      /* SHA-256 of the issuer's SPKI: what tells two lists apart */
        uint64_t number, this_update, next_update; /* next_update 0: none stated */
        uint32_t n_revoked;
} CrlInfo;

int crl_set_new(CrlSet **ret, RsError *err);
CrlSet *crl_set_free(CrlSet *s);
RS_DEFINE_CLEANUP(CrlSet, crl_set_free)

/*
 * The issuer is one of the anchors, or one of `intermediates` (may be NULL) whose own path to them is good.  Replaces
 * the list of the same issuer: a lower number is CRL_ROLLBACK, as is an equal one with other bytes; the same list once
 * more changes nothing (*ret_changed false).
 */
int crl_set_add(CrlSet *s, Span der, const TrustAnchors *anchors, struct stack_st_X509 *intermediates,
                bool *ret_changed, CrlInfo *ret, RsError *err);
/*
 * The same for a store that many feed.  A domain (0 to CRL_DOMAINS_MAX - 1) has places of its own, which no other
 * one can take.  issuer: an issuer below the anchors is judged by its time and its lists as well (EXPIRED,
 * REVOKED); NULL: not, for lists that are held already: what a CA has said before it ended still holds.  A list
 * that is held is not judged.
 */
typedef struct CrlAdmission {
        unsigned domain;
        const PathRules *issuer;
} CrlAdmission;
int crl_set_admit(CrlSet *s, Span der, const TrustAnchors *anchors, struct stack_st_X509 *intermediates,
                  const CrlAdmission *how, bool *ret_changed, CrlInfo *ret, RsError *err);
uint32_t crl_set_count(const CrlSet *s);
void crl_set_info(const CrlSet *s, uint32_t i, CrlInfo *ret);
Span crl_set_der(const CrlSet *s, uint32_t i); /* borrowed */
/* Sum of all numbers: never falls, so one value in the TPM guards the whole store. */
uint64_t crl_set_number(const CrlSet *s);
/* REVOKED if cert's issuer has a list here that names it; 0 otherwise. issuer_key: SHA-256 of the issuer's SPKI. */
int crl_set_check(const CrlSet *s, struct x509_st *cert, const uint8_t issuer_key[32], RsError *err);
/* CRL_STALE if a list's next_update lies more than grace before `low`. */
int crl_set_fresh(const CrlSet *s, uint64_t low, uint64_t grace, RsError *err);
/* The same for the one list of this issuer; CRL_STALE, too, when there is none.  name: for the message. */
int crl_set_fresh_of(const CrlSet *s, const uint8_t issuer_key[32], const char *name, uint64_t low, uint64_t grace,
                     RsError *err);
