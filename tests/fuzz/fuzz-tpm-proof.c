/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fuzz-tpm-proof - certified copies of a record: judged with the key that came along, whatever the bytes, and what is
 * taken has a record and a counter that belong together.  The seed is signed by a software key, for NONCE.
 */
#include <assert.h>

#include <reseal/tpm/proof.h>

#include "fuzz.h"

#define NONCE "a nonce of twenty b."

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        Reader r = READER(SPAN(data, size));
        RsError err = RS_ERROR_INIT;
        TpmProof proof;
        Span spki;

        (void) reader_span(&r, 8);
        spki = reader_span(&r, reader_u16(&r));
        if (tpm_proof_verify(SPAN(data, size), SPAN(NONCE, sizeof(NONCE) - 1), spki, &proof, &err) < 0) {
                assert(err.reason == RS_REASON_FORMAT || err.reason == RS_REASON_SIGNATURE ||
                       err.reason == RS_REASON_ALGORITHM || err.reason == RS_REASON_PROOF);
                return 0;
        }
        assert(proof.record.empty || proof.record.release > 0);
        FUZZ_ACCEPTED();
        return 0;
}
