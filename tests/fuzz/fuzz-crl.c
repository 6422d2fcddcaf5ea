/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fuzz-crl - revocation lists from anywhere.
 *
 * Contract: what enters a set is held byte for byte, once, and within its bounds; what does not leaves the set empty and
 * has a reason.
 */
#include <assert.h>
#include <stdlib.h>

#include <openssl/pem.h>

#include <reseal/crypto/ossl-cleanup.h>
#include <reseal/pki/crl.h>

#include "chain-keys.h"
#include "fuzz.h"

static TrustAnchors *anchors;
static STACK_OF(X509) *intermediates;

/* Read-only after the first input. */
static void load_once(void) {
        _cleanup_(BIO_free_allp) BIO *pem = NULL;
        RsError err = RS_ERROR_INIT;
        X509 *authority;

        if (anchors)
                return;
        pem = BIO_new_mem_buf(chain_authority_pem, -1);
        authority = PEM_read_bio_X509(pem, NULL, NULL, NULL);
        intermediates = sk_X509_new_null();
        if (!authority || !intermediates || sk_X509_push(intermediates, authority) <= 0 ||
            anchors_parse(SPAN(chain_root_pem, sizeof(chain_root_pem) - 1), &anchors, &err) < 0)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(crl_set_freep) CrlSet *set = NULL;
        RsError err = RS_ERROR_INIT;
        CrlInfo info;
        bool changed;
        int r;

        load_once();
        if (crl_set_new(&set, &err) < 0)
                abort();
        r = crl_set_add(set, SPAN(data, size), anchors, intermediates, &changed, &info, &err);
        assert((r == 0) == (err.reason == RS_REASON_NONE) && crl_set_count(set) == (r == 0));
        if (r == 0) {
                assert(changed && span_equal(crl_set_der(set, 0), SPAN(data, size)));
                assert(info.number <= INT64_MAX && crl_set_number(set) == info.number);
                r = crl_set_add(set, SPAN(data, size), anchors, intermediates, &changed, &info, &err);
                assert(r == 0 && !changed && crl_set_count(set) == 1);
                FUZZ_ACCEPTED();
        }
        return 0;
}
