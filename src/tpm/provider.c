/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * provider - the identity key as an EVP_PKEY, so that TLS and CSRs sign with TPM2_Sign.
 *
 * A provider built into the program and registered in our library context (base/ossl.h), which is the one libssl
 * uses while libcurl works for us.  It knows one kind of key (EC P-256) and one operation (ECDSA with SHA-256).
 * What OpenSSL 3.0 to 3.5 need from it, each found by a handshake or CSR that failed without:
 *   - export refuses the private half.  OpenSSL first offers the key to the default provider's ECDSA by
 *    exporting it; a key management that then hands out the public half gets "missing private key" (the fault
 *    of tpm2-openssl 1.1.1);
 *  - import takes group and point, so that TLS can compare the certificate's key with ours (match);
 *  - dupctx: EVP_DigestSignFinal signs with a copy of the context, X509_REQ_sign fails without one;
 *   - the digest is computed in software: the context's default properties keep the fetch from coming back here;
 *  - the query for the ECDSA algorithm identifier (DER), or CSRs have no signature algorithm;
 *   - default properties "?provider!=reseal" in the context: nothing else may ever land here, neither a peer's
 *    certificate nor an ephemeral key.
 * One handshake of TLS 1.3 is one TPM2_Sign (S29, counted).  The TPM is reached through tpm_key_sign alone:
 * mutex, lock file and reconnection come with it.
 *
 * The registration is process-wide and made once; OpenSSL offers no other way.
 */
#include <string.h>

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/provider.h>

#include <reseal/base/ossl.h>
#include <reseal/crypto/ossl-cleanup.h>
#include <reseal/tpm/key.h>

#include "context.h"

#define PROVIDER_NAME "reseal"
#define PROPERTIES "provider=reseal"
#define ASK_FOR PROPERTIES ",-fips" /* whatever else the context asks of algorithms: this one is the TPM's */
#define PARAM_OWNER "reseal-owner" /* octets of an Owner, valid in this process only */
#define SIGNATURE_MAX 72

typedef struct Owner {
        Tpm *tpm;
        const TpmKey *key;
} Owner;

typedef struct ProviderKey {
        uint8_t point[RS_POINT_SIZE];
        bool has_point;
        Owner owner; /* tpm NULL: public half only */
} ProviderKey;

typedef struct ProviderSignature {
        ProviderKey *key; /* borrowed: OpenSSL holds the EVP_PKEY for as long as the context */
        EVP_MD_CTX *digest;
} ProviderSignature;

/* Key management */

static void *key_new(void *provider) {
        (void) provider;
        return calloc(1, sizeof(ProviderKey));
}

static void key_free(void *key) {
        free(key);
}

static int key_has(const void *key, int selection) {
        const ProviderKey *k = key;

        if ((selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY) && !k->has_point)
                return 0;
        return !(selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) || k->owner.tpm;
}

static int key_match(const void *a, const void *b, int selection) {
        const ProviderKey *x = a, *y = b;

        (void) selection; /* one group only */
        return x->has_point && y->has_point && memcmp(x->point, y->point, RS_POINT_SIZE) == 0;
}

static int key_import(void *key, int selection, const OSSL_PARAM params[]) {
        const OSSL_PARAM *group = OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_GROUP_NAME);
        const OSSL_PARAM *point = OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_PUB_KEY);
        const OSSL_PARAM *owner = OSSL_PARAM_locate_const(params, PARAM_OWNER);
        ProviderKey *k = key;

        (void) selection;
        if (OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_PRIV_KEY))
                return 0; /* a private key in software has no business here */
        if (group && (group->data_type != OSSL_PARAM_UTF8_STRING || strcmp(group->data, "prime256v1") != 0))
                return 0;
        if (!point || point->data_type != OSSL_PARAM_OCTET_STRING || point->data_size != RS_POINT_SIZE)
                return 0;
        memcpy(k->point, point->data, RS_POINT_SIZE);
        k->has_point = true;
        if (owner && owner->data_size == sizeof(k->owner))
                memcpy(&k->owner, owner->data, sizeof(k->owner));
        return 1;
}

static const OSSL_PARAM *key_import_types(int selection) {
        static const OSSL_PARAM types[] = {
                OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
                OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
                OSSL_PARAM_octet_string(PARAM_OWNER, NULL, 0),
                OSSL_PARAM_END,
        };

        (void) selection;
        return types;
}

static int key_export(void *key, int selection, OSSL_CALLBACK *callback, void *argument) {
        ProviderKey *k = key;
        char group[] = "prime256v1";
        OSSL_PARAM params[] = {
                OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
                OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, k->point, RS_POINT_SIZE),
                OSSL_PARAM_construct_end(),
        };

        if ((selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) || !k->has_point)
                return 0;
        return callback(params, argument);
}

static const OSSL_PARAM *key_export_types(int selection) {
        static const OSSL_PARAM types[] = {
                OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
                OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
                OSSL_PARAM_END,
        };

        return selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY ? NULL : types;
}

static int give_int(OSSL_PARAM params[], const char *name, int value) {
        OSSL_PARAM *p = OSSL_PARAM_locate(params, name);

        return !p || OSSL_PARAM_set_int(p, value);
}

static int give_text(OSSL_PARAM params[], const char *name, const char *value) {
        OSSL_PARAM *p = OSSL_PARAM_locate(params, name);

        return !p || OSSL_PARAM_set_utf8_string(p, value);
}

static int give_octets(OSSL_PARAM params[], const char *name, const void *value, size_t size) {
        OSSL_PARAM *p = OSSL_PARAM_locate(params, name);

        return !p || OSSL_PARAM_set_octet_string(p, value, size);
}

static int key_get_params(void *key, OSSL_PARAM params[]) {
        ProviderKey *k = key;

        return give_int(params, OSSL_PKEY_PARAM_BITS, 256) &&
               give_int(params, OSSL_PKEY_PARAM_SECURITY_BITS, 128) &&
               give_int(params, OSSL_PKEY_PARAM_MAX_SIZE, SIGNATURE_MAX) &&
               give_text(params, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1") &&
               give_text(params, OSSL_PKEY_PARAM_DEFAULT_DIGEST, "SHA256") &&
               give_octets(params, OSSL_PKEY_PARAM_PUB_KEY, k->point, RS_POINT_SIZE) &&
               give_octets(params, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, k->point, RS_POINT_SIZE);
}

static const OSSL_PARAM *key_gettable_params(void *provider) {
        static const OSSL_PARAM gettable[] = {
                OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),
                OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),
                OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),
                OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
                OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_DEFAULT_DIGEST, NULL, 0),
                OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
                OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, NULL, 0),
                OSSL_PARAM_END,
        };

        (void) provider;
        return gettable;
}

static const char *key_operation_name(int operation) {
        return operation == OSSL_OP_SIGNATURE ? "ECDSA" : "EC";
}

/* Signature */

static void *signature_new(void *provider, const char *properties) {
        (void) provider;
        (void) properties;
        return calloc(1, sizeof(ProviderSignature));
}

static void signature_free(void *context) {
        ProviderSignature *s = context;

        EVP_MD_CTX_free(s->digest);
        free(s);
}

static void *signature_dup(void *context) {
        const ProviderSignature *s = context;
        ProviderSignature *copy = calloc(1, sizeof(*copy));

        if (!copy)
                return NULL;
        copy->key = s->key;
        if (s->digest) {
                copy->digest = EVP_MD_CTX_new();
                if (!copy->digest || EVP_MD_CTX_copy_ex(copy->digest, s->digest) != 1) {
                        signature_free(copy);
                        return NULL;
                }
        }
        return copy;
}

static int sign_digest(ProviderSignature *s, uint8_t *signature, size_t *size, size_t capacity,
                       const uint8_t digest[32]) {
        Owner owner = s->key->owner;
        RsError err = RS_ERROR_INIT;
        int r;

        if (capacity < SIGNATURE_MAX)
                return 0;
        r = tpm_key_sign(owner.tpm, owner.key, digest, signature, size, &err);
        (void) pthread_mutex_lock(&owner.tpm->mutex);
        owner.tpm->sign_failure = err;
        (void) pthread_mutex_unlock(&owner.tpm->mutex);
        if (r < 0) {
                ERR_raise_data(ERR_LIB_USER, ERR_R_OPERATION_FAIL, "%s", err.text);
                return 0;
        }
        return 1;
}

static int sign_init(void *context, void *key, const OSSL_PARAM params[]) {
        ProviderSignature *s = context;

        (void) params;
        if (key)
                s->key = key;
        return s->key && s->key->owner.tpm;
}

static int sign(void *context, uint8_t *signature, size_t *size, size_t capacity, const uint8_t *digest,
                size_t digest_size) {
        if (!signature) {
                *size = SIGNATURE_MAX;
                return 1;
        }
        return digest_size == 32 && sign_digest(context, signature, size, capacity, digest);
}

static int digest_sign_init(void *context, const char *digest_name, void *key, const OSSL_PARAM params[]) {
        _cleanup_(EVP_MD_freep) EVP_MD *sha256 = NULL;
        ProviderSignature *s = context;

        if (!sign_init(context, key, params))
                return 0;
        sha256 = EVP_MD_fetch(ossl_context(), "SHA256", NULL);
        if (!sha256 || (digest_name && *digest_name && !EVP_MD_is_a(sha256, digest_name)))
                return 0;
        if (!s->digest)
                s->digest = EVP_MD_CTX_new();
        return s->digest && EVP_DigestInit_ex(s->digest, sha256, NULL);
}

static int digest_sign_update(void *context, const uint8_t *bytes, size_t size) {
        return EVP_DigestUpdate(((ProviderSignature *) context)->digest, bytes, size);
}

static int digest_sign_final(void *context, uint8_t *signature, size_t *size, size_t capacity) {
        ProviderSignature *s = context;
        uint8_t digest[EVP_MAX_MD_SIZE];
        unsigned n = 0;

        if (!signature) {
                *size = SIGNATURE_MAX;
                return 1;
        }
        return EVP_DigestFinal_ex(s->digest, digest, &n) == 1 && n == 32 &&
               sign_digest(s, signature, size, capacity, digest);
}

static int signature_get_params(void *context, OSSL_PARAM params[]) {
        /* AlgorithmIdentifier { ecdsa-with-SHA256 } */
        static const uint8_t identifier[] = { 0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86,
                                              0x48, 0xce, 0x3d, 0x04, 0x03, 0x02 };

        (void) context;
        return give_octets(params, OSSL_SIGNATURE_PARAM_ALGORITHM_ID, identifier, sizeof(identifier)) &&
               give_text(params, OSSL_SIGNATURE_PARAM_DIGEST, "SHA256");
}

static const OSSL_PARAM *signature_gettable_params(void *context, void *provider) {
        static const OSSL_PARAM gettable[] = {
                OSSL_PARAM_octet_string(OSSL_SIGNATURE_PARAM_ALGORITHM_ID, NULL, 0),
                OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST, NULL, 0),
                OSSL_PARAM_END,
        };

        (void) context;
        (void) provider;
        return gettable;
}

static int signature_set_params(void *context, const OSSL_PARAM params[]) {
        const OSSL_PARAM *p = params ? OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_DIGEST) : NULL;

        (void) context;
        return !p || (p->data_type == OSSL_PARAM_UTF8_STRING && OPENSSL_strcasecmp(p->data, "SHA256") == 0) ||
               (p->data_type == OSSL_PARAM_UTF8_STRING && OPENSSL_strcasecmp(p->data, "SHA2-256") == 0);
}

static const OSSL_PARAM *signature_settable_params(void *context, void *provider) {
        static const OSSL_PARAM settable[] = { OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST, NULL, 0),
                                               OSSL_PARAM_END };

        (void) context;
        (void) provider;
        return settable;
}

/* Tables.  OpenSSL's dispatch type is void (*)(void); the cast is how every provider is written. */
#define ENTRY(id, fn) \
        { (id), (void (*)(void))(fn) }

static const OSSL_DISPATCH key_functions[] = {
        ENTRY(OSSL_FUNC_KEYMGMT_NEW, key_new),
        ENTRY(OSSL_FUNC_KEYMGMT_FREE, key_free),
        ENTRY(OSSL_FUNC_KEYMGMT_HAS, key_has),
        ENTRY(OSSL_FUNC_KEYMGMT_MATCH, key_match),
        ENTRY(OSSL_FUNC_KEYMGMT_IMPORT, key_import),
        ENTRY(OSSL_FUNC_KEYMGMT_IMPORT_TYPES, key_import_types),
        ENTRY(OSSL_FUNC_KEYMGMT_EXPORT, key_export),
        ENTRY(OSSL_FUNC_KEYMGMT_EXPORT_TYPES, key_export_types),
        ENTRY(OSSL_FUNC_KEYMGMT_GET_PARAMS, key_get_params),
        ENTRY(OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, key_gettable_params),
        ENTRY(OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, key_operation_name),
        { 0, NULL },
};

static const OSSL_DISPATCH signature_functions[] = {
        ENTRY(OSSL_FUNC_SIGNATURE_NEWCTX, signature_new),
        ENTRY(OSSL_FUNC_SIGNATURE_FREECTX, signature_free),
        ENTRY(OSSL_FUNC_SIGNATURE_DUPCTX, signature_dup),
        ENTRY(OSSL_FUNC_SIGNATURE_SIGN_INIT, sign_init),
        ENTRY(OSSL_FUNC_SIGNATURE_SIGN, sign),
        ENTRY(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, digest_sign_init),
        ENTRY(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_UPDATE, digest_sign_update),
        ENTRY(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_FINAL, digest_sign_final),
        ENTRY(OSSL_FUNC_SIGNATURE_GET_CTX_PARAMS, signature_get_params),
        ENTRY(OSSL_FUNC_SIGNATURE_GETTABLE_CTX_PARAMS, signature_gettable_params),
        ENTRY(OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS, signature_set_params),
        ENTRY(OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS, signature_settable_params),
        { 0, NULL },
};

static const OSSL_ALGORITHM *provider_query(void *provider, int operation, int *no_cache) {
        static const OSSL_ALGORITHM keys[] = {
                { "EC:id-ecPublicKey", PROPERTIES, key_functions, "EC key in the TPM" },
                { NULL, NULL, NULL, NULL },
        };
        static const OSSL_ALGORITHM signatures[] = {
                { "ECDSA", PROPERTIES, signature_functions, "ECDSA by TPM2_Sign" },
                { NULL, NULL, NULL, NULL },
        };

        (void) provider;
        *no_cache = 0;
        return operation == OSSL_OP_KEYMGMT ? keys : operation == OSSL_OP_SIGNATURE ? signatures : NULL;
}

static const OSSL_DISPATCH provider_functions[] = {
        ENTRY(OSSL_FUNC_PROVIDER_QUERY_OPERATION, provider_query),
        { 0, NULL },
};

static int provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out,
                         void **context) {
        (void) in;
        *out = provider_functions;
        *context = (void *) (uintptr_t) handle; /* must not be NULL; never looked at */
        return 1;
}

static pthread_once_t registered_once = PTHREAD_ONCE_INIT;
static bool registered;

static void register_provider(void) {
        registered = OSSL_PROVIDER_add_builtin(ossl_context(), PROVIDER_NAME, provider_init) == 1 &&
                     OSSL_PROVIDER_load(ossl_context(), PROVIDER_NAME); /* as long as the context, which is for ever */
}

int tpm_key_evp(Tpm *t, const TpmKey *key, EVP_PKEY **ret, RsError *err) {
        _cleanup_(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *c = NULL;
        Owner owner = { .tpm = t, .key = key };
        uint8_t point[RS_POINT_SIZE];
        char group[] = "prime256v1";
        EVP_PKEY *made = NULL;
        OSSL_PARAM params[] = {
                OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
                OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point)),
                OSSL_PARAM_construct_octet_string(PARAM_OWNER, &owner, sizeof(owner)),
                OSSL_PARAM_construct_end(),
        };

        if (key->purpose != TPM_KEY_IDENTITY)
                return rs_fail(err, INVALID, "the %s key does not sign for TLS",
                               tpm_key_purpose_to_string(key->purpose));
        (void) pthread_once(&registered_once, register_provider);
        if (!registered)
                return rs_fail_ssl(err, INTERNAL, "register the TPM key with OpenSSL");
        memcpy(point, key->point, sizeof(point));
        c = EVP_PKEY_CTX_new_from_name(ossl_context(), "EC", ASK_FOR);
        if (!c || EVP_PKEY_fromdata_init(c) != 1 ||
            EVP_PKEY_fromdata(c, &made, EVP_PKEY_KEYPAIR, params) != 1)
                return rs_fail_ssl(err, INTERNAL, "the TPM key as a key of OpenSSL");
        *ret = made;
        return 0;
}

bool tpm_key_evp_failure(Tpm *t, RsError *ret) {
        bool failed;

        (void) pthread_mutex_lock(&t->mutex);
        failed = t->sign_failure.reason != RS_REASON_NONE;
        if (failed)
                *ret = t->sign_failure;
        (void) pthread_mutex_unlock(&t->mutex);
        return failed;
}
