/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * algorithm - the table's word on keys, certificates and revocation lists, inside this room.
 *
 * Spec:     requirements S36, S60
 * Trust:    input is hostile
 * Owns:     nothing
 * Units:    none
 * Errors:   ALGORITHM
 * Context:  any thread
 * Programs: all that link room pki
 */
#include <openssl/x509.h>

#include <reseal/base/error.h>

typedef enum Place { PLACE_LEAF = 1, PLACE_CA = 2, PLACE_ANCHOR = 4 } Place;

/* The certificate's key in this place, and the digest that it was signed with. */
int algorithm_check(X509 *cert, Place place, RsError *err);
/* The list's signature algorithm; the issuer's key is judged with the issuer's certificate. */
int algorithm_check_crl(const X509_CRL *crl, const X509 *issuer, RsError *err);
