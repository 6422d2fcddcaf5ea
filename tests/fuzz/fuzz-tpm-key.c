/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fuzz-tpm-key - key blobs: whatever parses is one of our three purposes, and gives a public key.
 */
#include <assert.h>
#include <string.h>

#include <reseal/tpm/key.h>

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        RsError err = RS_ERROR_INIT;
        uint8_t id[32];
        TpmKey key;

        if (tpm_key_parse(SPAN(data, size), &key, &err) < 0) {
                assert(err.reason != RS_REASON_NONE);
                return 0;
        }
        assert(key.purpose < _TPM_KEY_PURPOSE_MAX && key.blob_size == size && key.point[0] == 4);
        assert(tpm_key_spki(&key, NULL, id, &err) == 0);
        FUZZ_ACCEPTED();
        return 0;
}
