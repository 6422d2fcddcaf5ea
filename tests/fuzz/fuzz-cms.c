/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fuzz-cms - signed and enveloped messages from anywhere.
 *
 * Contract: whatever cms_verify accepts was signed by the seeds' signer, so it is the seeds' content; whatever
 * cms_develop gives out is the seeds' key; every refusal has a reason and leaves outputs alone.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/pem.h>

#include <reseal/base/names.h>
#include <reseal/crypto/ossl-cleanup.h>
#include <reseal/format/limits.h>
#include <reseal/pki/cms.h>

#include "cms-keys.h"
#include "fuzz.h"

static TrustAnchors *anchors;
static X509 *transport_cert;
static EVP_PKEY *transport_key;

/* Read-only after the first input. */
static void load_once(void) {
        _cleanup_(BIO_free_allp) BIO *cert = NULL, *key = NULL;
        RsError err = RS_ERROR_INIT;

        if (anchors)
                return;
        cert = BIO_new_mem_buf(transport_cert_pem, -1);
        key = BIO_new_mem_buf(transport_key_pem, -1);
        transport_cert = PEM_read_bio_X509(cert, NULL, NULL, NULL);
        transport_key = PEM_read_bio_PrivateKey(key, NULL, NULL, NULL);
        if (!transport_cert || !transport_key ||
            anchors_parse(SPAN(firmware_root_pem, sizeof(firmware_root_pem) - 1), &anchors, &err) < 0)
                abort();
}

static void verify(Span der) {
        /* The seeds shall not expire. */
        const PathRules rules = { .eku_oid = RS_OID_EKU_IMAGE_SIGNING, .time_low = 0, .time_high = UINT64_MAX };
        RsError err = RS_ERROR_INIT;
        uint8_t *content = NULL;
        SignerInfo signer;
        size_t size = 0;
        int r;

        r = cms_verify(der, anchors, &rules, 64, &content, &size, &signer, &err);
        assert((r == 0) == (err.reason == RS_REASON_NONE) && (r == 0) == (content != NULL));
        if (r == 0) {
                assert(size == 14 && memcmp(content, "signed content", 14) == 0);
                FUZZ_ACCEPTED();
        }
        free(content);
}

static void peek(Span der) {
        RsError err = RS_ERROR_INIT;
        uint8_t *content = NULL;
        size_t size = 0;
        int r;

        r = cms_peek(der, 64, &content, &size, &err);
        assert((r == 0) == (err.reason == RS_REASON_NONE) && (r == 0) == (content != NULL) && size <= 64);
        free(content);
}

static void develop(Span der) {
        static const uint8_t zeros[RS_KEY_SIZE];
        RsError err = RS_ERROR_INIT;
        Secret *key = NULL;
        int r;

        r = cms_develop(der, transport_cert, transport_key, &key, &err);
        assert((r == 0) == (err.reason == RS_REASON_NONE) && (r == 0) == (key != NULL));
        if (r == 0)
                assert(secret_size(key) == RS_KEY_SIZE && memcmp(secret_bytes(key), zeros, RS_KEY_SIZE) == 0);
        key = secret_free(key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        load_once();
        verify(SPAN(data, size));
        peek(SPAN(data, size));
        develop(SPAN(data, size));
        return 0;
}
