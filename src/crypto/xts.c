/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xts - dm-crypt's aes-xts-plain64 with 4096-byte sectors, in user space.
 *
 * The cipher is fetched once and the key is set once per direction; for each 4096-byte unit only the IV changes
 * (EVP_EncryptInit_ex2 with NULL cipher and NULL key).  Setting the key again per sector costs two key
 * schedules, 2.5 times the whole encryption of 4 KiB; a new context costs more still.
 *
 * The IV counts 512-byte units although the unit is 4096 bytes: that is what dm-crypt does without the flag
 * iv_large_sectors, and what cryptsetup writes into the LUKS2 header for sector_size 4096.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/ossl.h>
#include <reseal/crypto/ossl-cleanup.h>
#include <reseal/crypto/xts.h>
#include <reseal/format/limits.h>

#define XTS_KEY_SIZE 64u
#define IV_UNIT 512u

struct Xts {
        EVP_CIPHER_CTX *encrypt;
        EVP_CIPHER_CTX *decrypt;
};

int xts_new(const Secret *key, Xts **ret, RsError *err) {
        _cleanup_(EVP_CIPHER_freep) EVP_CIPHER *cipher = NULL;
        _cleanup_(xts_freep) Xts *x = NULL;

        if (secret_size(key) != XTS_KEY_SIZE)
                return rs_fail(err, INTERNAL, "XTS key of %zu bytes", secret_size(key));
        x = calloc(1, sizeof(*x));
        if (!x)
                return rs_fail_oom(err);
        cipher = EVP_CIPHER_fetch(ossl_context(), "AES-256-XTS", NULL);
        x->encrypt = EVP_CIPHER_CTX_new();
        x->decrypt = EVP_CIPHER_CTX_new();
        /* Two equal halves are refused here by OpenSSL: XTS would lose its security. */
        if (!cipher || !x->encrypt || !x->decrypt ||
            EVP_EncryptInit_ex2(x->encrypt, cipher, secret_bytes(key), NULL, NULL) != 1 ||
            EVP_DecryptInit_ex2(x->decrypt, cipher, secret_bytes(key), NULL, NULL) != 1)
                return rs_fail_ssl(err, INTERNAL, "AES-256-XTS");
        *ret = TAKE_PTR(x);
        return 0;
}

Xts *xts_free(Xts *x) {
        if (x) {
                EVP_CIPHER_CTX_free(x->encrypt); /* cleanses the key schedules */
                EVP_CIPHER_CTX_free(x->decrypt);
                free(x);
        }
        return NULL;
}

static void plain64(uint64_t offset_bytes, uint8_t iv[16]) {
        uint64_t sector = offset_bytes / IV_UNIT;

        for (unsigned i = 0; i < 8; i++)
                iv[i] = (uint8_t) (sector >> (8 * i));
        memset(iv + 8, 0, 8);
}

int xts_encrypt(Xts *x, uint64_t offset_bytes, const uint8_t *in, uint8_t *out, size_t size, RsError *err) {
        uint8_t iv[16];
        int n;

        assert(offset_bytes % RS_BLOCK_SIZE == 0 && size % RS_BLOCK_SIZE == 0);
        for (size_t at = 0; at < size; at += RS_BLOCK_SIZE) {
                plain64(offset_bytes + at, iv);
                if (EVP_EncryptInit_ex2(x->encrypt, NULL, NULL, iv, NULL) != 1 ||
                    EVP_EncryptUpdate(x->encrypt, out + at, &n, in + at, RS_BLOCK_SIZE) != 1)
                        return rs_fail_ssl(err, INTERNAL, "AES-256-XTS");
        }
        return 0;
}

int xts_decrypt(Xts *x, uint64_t offset_bytes, const uint8_t *in, uint8_t *out, size_t size, RsError *err) {
        uint8_t iv[16];
        int n;

        assert(offset_bytes % RS_BLOCK_SIZE == 0 && size % RS_BLOCK_SIZE == 0);
        for (size_t at = 0; at < size; at += RS_BLOCK_SIZE) {
                plain64(offset_bytes + at, iv);
                if (EVP_DecryptInit_ex2(x->decrypt, NULL, NULL, iv, NULL) != 1 ||
                    EVP_DecryptUpdate(x->decrypt, out + at, &n, in + at, RS_BLOCK_SIZE) != 1)
                        return rs_fail_ssl(err, INTERNAL, "AES-256-XTS");
        }
        return 0;
}
