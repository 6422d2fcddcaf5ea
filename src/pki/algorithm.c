/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * algorithm - which keys and digests are good enough for which place, one table of data (S36), so that retiring one is
 * an edit of a row.
 *
 * A root must be stronger than the signers below it (S60): it is asked for rarely and lives for decades.  The same
 * table is asked for certificates, CMS messages, revocation lists and time-stamps.
 */
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/err.h>

#include <reseal/base/cleanup.h>
#include <reseal/crypto/ossl-cleanup.h>
#include <reseal/pki/path.h>

#include "algorithm.h"

OSSL_DEFINE_CLEANUP(X509_ALGOR, X509_ALGOR_free)

/* Below the minimum a key is too weak; above the maximum its checking would cost too much. */
static const struct KeyPolicy {
        int type;
        const char *group;
        int bits_min, bits_max;
        unsigned places;
} key_policy[] = {
        { EVP_PKEY_EC,      "prime256v1", 256,  256,  PLACE_LEAF | PLACE_CA },
        { EVP_PKEY_EC,      "secp384r1",  384,  384,  PLACE_LEAF | PLACE_CA | PLACE_ANCHOR },
        { EVP_PKEY_EC,      "secp521r1",  521,  521,  PLACE_LEAF | PLACE_CA | PLACE_ANCHOR },
        { EVP_PKEY_ED25519, NULL,         0,    256,  PLACE_LEAF | PLACE_CA },
        { EVP_PKEY_RSA,     NULL,         2048, 8192, PLACE_LEAF },
        { EVP_PKEY_RSA,     NULL,         3072, 8192, PLACE_CA | PLACE_ANCHOR },
};

static const int digest_policy[] = { NID_sha256, NID_sha384, NID_sha512 };

/* A digest of NID_undef: the algorithm brings its own, or the message names it elsewhere. */
static const struct SignaturePolicy {
        int signature, key, digest;
} signature_policy[] = {
        { NID_ecdsa_with_SHA256,       NID_X9_62_id_ecPublicKey, NID_sha256 },
        { NID_ecdsa_with_SHA384,       NID_X9_62_id_ecPublicKey, NID_sha384 },
        { NID_ecdsa_with_SHA512,       NID_X9_62_id_ecPublicKey, NID_sha512 },
        { NID_sha256WithRSAEncryption, NID_rsaEncryption,        NID_sha256 },
        { NID_sha384WithRSAEncryption, NID_rsaEncryption,        NID_sha384 },
        { NID_sha512WithRSAEncryption, NID_rsaEncryption,        NID_sha512 },
        { NID_rsaEncryption,           NID_rsaEncryption,        NID_undef  }, /* as CMS names PKCS#1 v1.5 */
        { NID_rsassaPss,               NID_rsaEncryption,        NID_undef  },
        { NID_ED25519,                 NID_ED25519,              NID_undef  },
};

bool algorithm_digest_permitted(int digest_nid) {
        for (size_t i = 0; i < ELEMENTSOF(digest_policy); i++)
                if (digest_policy[i] == digest_nid)
                        return true;
        return false;
}

bool algorithm_signature_fits(int signature_nid, int key_nid, int digest_nid) {
        for (size_t i = 0; i < ELEMENTSOF(signature_policy); i++) {
                const struct SignaturePolicy *p = &signature_policy[i];

                if (p->signature == signature_nid && p->key == key_nid)
                        return p->digest == NID_undef || p->digest == digest_nid;
        }
        return false;
}

/* The name of the curve; false for a curve given by explicit parameters, which may hide a weak generator. */
static bool ec_group(EVP_PKEY *key, char *ret, size_t size) {
        int from_explicit = 1;
        size_t n;

        return EVP_PKEY_get_group_name(key, ret, size, &n) == 1 &&
               EVP_PKEY_get_int_param(key, OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS, &from_explicit) == 1 &&
               from_explicit == 0;
}

static bool key_permitted(EVP_PKEY *key, Place place) {
        char group[32] = "";
        int type = EVP_PKEY_get_base_id(key), bits = EVP_PKEY_get_bits(key);

        if (type == EVP_PKEY_EC && !ec_group(key, group, sizeof(group)))
                return false;
        for (size_t i = 0; i < ELEMENTSOF(key_policy); i++) {
                const struct KeyPolicy *p = &key_policy[i];

                if (p->type == type && (p->places & place) && bits >= p->bits_min && bits <= p->bits_max &&
                    (!p->group || strcmp(p->group, group) == 0))
                        return true;
        }
        return false;
}

static const char *place_word(Place place) {
        return place == PLACE_LEAF ? "end certificate" : place == PLACE_CA ? "intermediate" : "root";
}

int algorithm_check(X509 *cert, Place place, RsError *err) {
        EVP_PKEY *key = X509_get0_pubkey(cert);
        int digest, key_nid;
        uint32_t flags;

        if (!key)
                return rs_fail_ssl(err, ALGORITHM, "%s: unknown kind of public key", place_word(place));
        if (!key_permitted(key, place))
                return rs_fail(err, ALGORITHM, "%s: %d-bit %s key is not permitted here", place_word(place),
                               EVP_PKEY_get_bits(key), OBJ_nid2sn(EVP_PKEY_get_base_id(key)));
        if (X509_get_signature_info(cert, &digest, &key_nid, NULL, &flags) != 1)
                return rs_fail_ssl(err, ALGORITHM, "%s: unknown signature algorithm", place_word(place));
        if (X509_get_signature_nid(cert) != NID_ED25519 && !algorithm_digest_permitted(digest))
                return rs_fail(err, ALGORITHM, "%s: signed with digest %s", place_word(place), OBJ_nid2sn(digest));
        return 0;
}

/* The algorithm that stands inside the signed part, its third object; OpenSSL 3.0 gives only that of certificates. */
static X509_ALGOR *inner_algorithm(const X509_CRL *crl) {
        X509_ALGOR *algorithm = NULL;
        unsigned char *tbs = NULL;
        const unsigned char *p;
        int tag, class, size;
        long n;

        size = i2d_re_X509_CRL_tbs((X509_CRL *) crl, &tbs);
        p = tbs;
        if (size > 0 && !(ASN1_get_object(&p, &n, &tag, &class, size) & 0x80) &&
            !(ASN1_get_object(&p, &n, &tag, &class, size - (p - tbs)) & 0x80)) {
                p += n; /* behind the version */
                algorithm = d2i_X509_ALGOR(NULL, &p, size - (p - tbs));
        }
        OPENSSL_free(tbs);
        return algorithm;
}

int algorithm_check_crl(const X509_CRL *crl, const X509 *issuer, RsError *err) {
        _cleanup_(X509_ALGOR_freep) X509_ALGOR *inner = inner_algorithm(crl);
        int digest, ignored, signature = X509_CRL_get_signature_nid(crl);
        const X509_ALGOR *outer = NULL;

        X509_CRL_get0_signature(crl, NULL, &outer);
        if (!inner || X509_ALGOR_cmp(inner, outer) != 0)
                return rs_fail_ssl(err, ALGORITHM, "revocation list: names two signature algorithms");
        /* Of RSA-PSS the name does not say the digest; nobody needs it here. */
        if (OBJ_find_sigid_algs(signature, &digest, &ignored) != 1 ||
            (signature != NID_ED25519 && !algorithm_digest_permitted(digest)) ||
            !algorithm_signature_fits(signature, EVP_PKEY_get_base_id(X509_get0_pubkey(issuer)), digest))
                return rs_fail(err, ALGORITHM, "revocation list: signature algorithm %s is not permitted",
                               OBJ_nid2sn(signature));
        return 0;
}
