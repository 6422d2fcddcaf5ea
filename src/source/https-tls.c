/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * https-tls - who is at the other end, and how the device shows who it is.
 *
 * The system's trust store is not consulted at all: curl gets neither CAINFO nor CAPATH, and a callback of
 * our own takes the place of OpenSSL's path building altogether.  (Setting CURLOPT_CAINFO alone leaves
 * Debian's CApath active: a server that only the system trusted was accepted.  And curl 7.87 to 8.3 fills
 * the store of the SSL_CTX again after CURLOPT_SSL_CTX_FUNCTION has run, so replacing that store would not
 * be enough either.)
 *
 * The callback asks room pki: path to a pinned root of the source PKI, validity, algorithms, and the
 * extended key usage that only servers of the source carry: a device certificate or a ticket signer cannot
 * pose as a server.  The host name is compared by curl after the handshake, before anything is sent.
 *
 * The private key may be an EVP_PKEY whose signature is made in the TPM; TLS sees no difference.
 */
#include <stdlib.h>

#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/names.h>
#include <reseal/pki/cms.h>

#include "https-private.h"

static int on_verify(X509_STORE_CTX *store, void *userdata) {
        Https *h = userdata;
        X509 *leaf = X509_STORE_CTX_get0_cert(store);
        PathRules rules = {
                .eku_oid = RS_OID_EKU_SOURCE,
                .time_low = h->config.time_low,
                .time_high = h->config.time_high,
                .crls = h->config.crls,
        };
        SignerInfo signer;
        RsError err = RS_ERROR_INIT;

        if (!leaf ||
            path_verify(leaf, X509_STORE_CTX_get0_untrusted(store), h->config.anchors, &rules, &signer, &err) < 0) {
                h->tls_error = err;
                X509_STORE_CTX_set_error(store, err.reason == RS_REASON_EXPIRED ? X509_V_ERR_CERT_HAS_EXPIRED
                                                                                : X509_V_ERR_CERT_UNTRUSTED);
                return 0;
        }
        X509_STORE_CTX_set_error(store, X509_V_OK);
        return 1;
}

struct HttpsIdentity {
        STACK_OF(X509) *chain;
        EVP_PKEY *key;
};

int https_identity_new(const char *chain_path, EVP_PKEY *key, HttpsIdentity **ret, RsError *err) {
        _cleanup_(https_identity_freep) HttpsIdentity *i = calloc(1, sizeof(*i));

        if (!i) {
                EVP_PKEY_free(key);
                return rs_fail_oom(err);
        }
        i->key = key;
        int r = certs_load(chain_path, &i->chain, err);
        if (r < 0)
                return r;
        if (X509_check_private_key(sk_X509_value(i->chain, 0), key) != 1)
                return rs_fail_ssl(err, NOT_PROVISIONED, "%s is not the certificate of this device's key", chain_path);
        *ret = TAKE_PTR(i);
        return 0;
}

HttpsIdentity *https_identity_free(HttpsIdentity *i) {
        if (!i)
                return NULL;
        sk_X509_pop_free(i->chain, X509_free);
        EVP_PKEY_free(i->key);
        free(i);
        return NULL;
}

static bool show_certificate(SSL_CTX *ctx, const HttpsIdentity *identity) {
        if (SSL_CTX_use_certificate(ctx, sk_X509_value(identity->chain, 0)) != 1)
                return false;
        for (int i = 1; i < sk_X509_num(identity->chain); i++)
                if (SSL_CTX_add1_chain_cert(ctx, sk_X509_value(identity->chain, i)) != 1)
                        return false;
        return SSL_CTX_use_PrivateKey(ctx, identity->key) == 1;
}

/* Session tickets, changes of keys, late requests for certificates: what may come at any time once the handshake is
 * done.  Those of the handshake itself have other types. */
static void on_message(int sent, int version, int type, const void *data, size_t size, SSL *ssl, void *userdata) {
        const uint8_t *message = data;
        Https *h = userdata;

        (void) version;
        (void) ssl;
        if (!sent && type == SSL3_RT_HANDSHAKE && size > 0 &&
            (message[0] == SSL3_MT_NEWSESSION_TICKET || message[0] == SSL3_MT_KEY_UPDATE))
                h->n_post_handshake++;
}

CURLcode https_setup_tls(CURL *easy, void *ssl_ctx, void *userdata) {
        Https *h = userdata;
        SSL_CTX *ctx = ssl_ctx;

        (void) easy;
        h->tls_error = RS_ERROR_INIT;
        h->n_post_handshake = 0;
        /* By default SSL_read goes on for as long as such messages come, and nobody looks at a clock meanwhile. */
        (void) SSL_CTX_clear_mode(ctx, SSL_MODE_AUTO_RETRY);
        SSL_CTX_set_msg_callback(ctx, on_message);
        SSL_CTX_set_msg_callback_arg(ctx, h);
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
        SSL_CTX_set_cert_verify_callback(ctx, on_verify, h);
        if (SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1)
                return CURLE_SSL_CONNECT_ERROR;
        if (h->config.identity && !show_certificate(ctx, h->config.identity)) {
                (void) rs_fail_ssl(&h->tls_error, NOT_PROVISIONED, "the device certificate does not fit its key");
                return CURLE_SSL_CERTPROBLEM;
        }
        return CURLE_OK;
}
