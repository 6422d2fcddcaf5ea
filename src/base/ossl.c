/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ossl - our own library context.
 *
 * OpenSSL's default context is made after /etc/ssl/openssl.cnf and OPENSSL_CONF.  One line there for another program
 * (a TPM or legacy provider without the default one, default_properties, a protocol floor) changes what our programs
 * can verify, and a provider named there is code in our processes.  So whatever we call gets this context, which knows
 * the providers below and nothing else:
 *
 *   provider = default   OpenSSL's own algorithms, compiled into libcrypto
 *   provider = fips      the FIPS module and, for encoding, "base"; only algorithms with fips=yes.  The module wants its
 *                        checksum and self-test state in a configuration: `config` names the file
 *
 * There is no falling back: a module that does not load leaves a context in which nothing can be fetched.  And because
 * a missing algorithm shows in OpenSSL as a certificate or a key that cannot be read, what we need is asked for once
 * here, where it can be told for what it is.
 *
 * Nothing is freed at the end: libraries clean up after us in an order that nobody promises.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/provider.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/config.h>
#include <reseal/base/names.h>
#include <reseal/base/ossl.h>

/* The TPM's key (tpm/provider.c) is for those who name its provider; nothing else may land there. */
#define PROPERTIES "?provider!=reseal"
#define PROPERTIES_FIPS "fips=yes,?provider!=reseal"

typedef struct CryptoConfig {
        bool fips;
        char *config_path;
} CryptoConfig;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static OSSL_LIB_CTX *context;
static RsError failure = RS_ERROR_INIT;

static void context_freep(OSSL_LIB_CTX **c) {
        OSSL_LIB_CTX_free(*c);
}

static int on_key(void *userdata, const char *section, const char *key, const char *value, RsError *err) {
        CryptoConfig *c = userdata;
        int r;

        if (strcmp(section, "crypto") != 0)
                return 0;
        if (strcmp(key, "config") == 0) {
                r = config_path(value, &c->config_path, err);
                return r < 0 ? r : 1;
        }
        if (strcmp(key, "provider") != 0)
                return 0;
        c->fips = strcmp(value, "fips") == 0;
        if (!c->fips && strcmp(value, "default") != 0)
                return rs_fail(err, CONFIG, "default or fips");
        return 1;
}

static int read_settings(const char *path, CryptoConfig *c, RsError *err) {
        int r;

        if (access(path, F_OK) < 0 && errno == ENOENT)
                return 0;
        r = config_read(path, on_key, c, err);
        if (r >= 0 && c->config_path && !c->fips)
                r = rs_fail(err, CONFIG, "%s: config is for provider = fips", path);
        return r;
}

/* What every program of ours needs of OpenSSL, but TLS: that is curl's. */
static int check_algorithms(OSSL_LIB_CTX *c, RsError *err) {
        static const char *const digests[] = { "SHA256", "SHA384", "SHA512" };
        static const char *const ciphers[] = { "AES-256-GCM", "AES-256-XTS" };
        const char *missing = NULL;

        for (size_t i = 0; i < ELEMENTSOF(digests); i++) {
                EVP_MD *md = EVP_MD_fetch(c, digests[i], NULL);

                missing = md ? missing : digests[i];
                EVP_MD_free(md);
        }
        for (size_t i = 0; i < ELEMENTSOF(ciphers); i++) {
                EVP_CIPHER *cipher = EVP_CIPHER_fetch(c, ciphers[i], NULL);

                missing = cipher ? missing : ciphers[i];
                EVP_CIPHER_free(cipher);
        }
        EVP_KDF *kdf = EVP_KDF_fetch(c, "HKDF", NULL);
        EVP_SIGNATURE *signature = EVP_SIGNATURE_fetch(c, "ECDSA", NULL);
        EVP_KEYEXCH *exchange = EVP_KEYEXCH_fetch(c, "ECDH", NULL);

        missing = !kdf ? "HKDF" : !signature ? "ECDSA" : !exchange ? "ECDH" : missing;
        EVP_KDF_free(kdf);
        EVP_SIGNATURE_free(signature);
        EVP_KEYEXCH_free(exchange);
        return missing ? rs_fail_ssl(err, CRYPTO, "OpenSSL gives no %s", missing) : 0;
}

static int load_default(OSSL_LIB_CTX *c, RsError *err) {
        if (!OSSL_PROVIDER_load(c, "default") || EVP_set_default_properties(c, PROPERTIES) != 1)
                return rs_fail_ssl(err, CRYPTO, "OpenSSL's default provider");
        return 0;
}

/* With no provider loaded by name OpenSSL would take the default one by itself, so "base" comes first. */
static int load_fips(OSSL_LIB_CTX *c, const char *config_path, RsError *err) {
        if (!OSSL_PROVIDER_load(c, "base"))
                return rs_fail_ssl(err, CRYPTO, "OpenSSL's base provider");
        if (config_path && OSSL_LIB_CTX_load_config(c, config_path) != 1)
                return rs_fail_ssl(err, CRYPTO, "the FIPS module's configuration %s", config_path);
        if (!OSSL_PROVIDER_load(c, "fips"))
                return rs_fail_ssl(err, CRYPTO, "provider = fips, and OpenSSL's FIPS module does not load");
        if (EVP_set_default_properties(c, PROPERTIES_FIPS) != 1)
                return rs_fail_ssl(err, CRYPTO, "OpenSSL takes no default properties");
        return 0;
}

int ossl_make(const char *config_path, OSSL_LIB_CTX **ret, RsError *err) {
        _cleanup_(context_freep) OSSL_LIB_CTX *c = NULL;
        CryptoConfig config = { 0 };
        int r;

        r = read_settings(config_path, &config, err);
        if (r >= 0) {
                c = OSSL_LIB_CTX_new();
                if (!c)
                        r = rs_fail_oom(err);
                else
                        r = config.fips ? load_fips(c, config.config_path, err) : load_default(c, err);
        }
        free(config.config_path);
        if (r >= 0)
                r = check_algorithms(c, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(c);
        return 0;
}

static void make_once(void) {
        if (ossl_make(RS_PATH_CONF_CRYPTO, &context, &failure) >= 0)
                return;
        context = OSSL_LIB_CTX_new();
        if (!context || !OSSL_PROVIDER_load(context, "null"))
                abort(); /* no memory: OpenSSL's default context is nothing to go on with */
}

OSSL_LIB_CTX *ossl_context(void) {
        (void) pthread_once(&once, make_once);
        return context;
}

int ossl_begin(RsError *err) {
        (void) ossl_context();
        return failure.reason == RS_REASON_NONE ? 0 : rs_pass(err, &failure);
}

int ossl_program(RsError *err) {
        if (OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) != 1)
                return rs_fail_ssl(err, CRYPTO, "OpenSSL cannot be initialised");
        return ossl_begin(err);
}

int ossl_read_config(const char *path, RsError *err) {
        int r = ossl_begin(err);

        if (r < 0)
                return r;
        if (OSSL_LIB_CTX_load_config(context, path) != 1)
                return rs_fail_ssl(err, CRYPTO, "%s", path);
        return check_algorithms(context, err);
}

OSSL_LIB_CTX *ossl_enter(void) {
        return OSSL_LIB_CTX_set0_default(ossl_context());
}

void ossl_leave(OSSL_LIB_CTX *before) {
        if (before)
                (void) OSSL_LIB_CTX_set0_default(before);
}
