/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * digest - SHA-256 through EVP.
 *
 * The algorithm is fetched once per Digest: the implicit fetch behind EVP_sha256() costs a lock and a look-up
 * at each start, which for short messages is more than the hashing.
 */
#include <stdlib.h>

#include <openssl/evp.h>

#include <reseal/base/ossl.h>
#include <reseal/crypto/digest.h>

struct Digest {
        EVP_MD *md;
        EVP_MD_CTX *ctx;
};

int digest_new(Digest **ret, RsError *err) {
        _cleanup_(digest_freep) Digest *d = calloc(1, sizeof(*d));

        if (!d)
                return rs_fail_oom(err);
        d->md = EVP_MD_fetch(ossl_context(), "SHA256", NULL);
        d->ctx = EVP_MD_CTX_new();
        if (!d->md || !d->ctx)
                return rs_fail_ssl(err, INTERNAL, "SHA-256");
        *ret = TAKE_PTR(d);
        return 0;
}

Digest *digest_free(Digest *d) {
        if (d) {
                EVP_MD_CTX_free(d->ctx);
                EVP_MD_free(d->md);
                free(d);
        }
        return NULL;
}

int digest_start(Digest *d, RsError *err) {
        if (EVP_DigestInit_ex2(d->ctx, d->md, NULL) != 1)
                return rs_fail_ssl(err, INTERNAL, "SHA-256");
        return 0;
}

int digest_feed(Digest *d, Span bytes, RsError *err) {
        if (bytes.size > 0 && EVP_DigestUpdate(d->ctx, bytes.data, bytes.size) != 1)
                return rs_fail_ssl(err, INTERNAL, "SHA-256");
        return 0;
}

int digest_finish(Digest *d, uint8_t ret[SHA256_SIZE], RsError *err) {
        if (EVP_DigestFinal_ex(d->ctx, ret, NULL) != 1)
                return rs_fail_ssl(err, INTERNAL, "SHA-256");
        return 0;
}

int digest_sha256(Span bytes, uint8_t ret[SHA256_SIZE], RsError *err) {
        static const uint8_t nothing;
        size_t size = 0;

        if (EVP_Q_digest(ossl_context(), "SHA256", NULL, bytes.size > 0 ? bytes.data : &nothing, bytes.size, ret,
                         &size) != 1 ||
            size != SHA256_SIZE)
                return rs_fail_ssl(err, INTERNAL, "SHA-256");
        return 0;
}
