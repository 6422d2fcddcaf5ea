/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * blob - TPM2B_PRIVATE || TPM2B_PUBLIC: what we keep of an object between its uses.
 *
 * Objects are kept as files under the SRK and not as persistent handles: a TPM guarantees seven places for
 * those and other software wants them too, while loading costs half a millisecond on swtpm and some ten on a
 * chip.  The wrapped part is encrypted and authenticated by the TPM that made it, so a file can be copied but
 * not used or changed elsewhere; the checks here keep hostile bytes from the parsers behind us and turn a
 * foreign blob into a reason instead of a TPM code.
 */
#include <string.h>

#include <tss2/tss2_mu.h>

#include "blob.h"

int blob_parse(Span bytes, Blob *ret, RsError *err) {
        Blob b = { 0 };
        size_t offset = 0;

        if (Tss2_MU_TPM2B_PRIVATE_Unmarshal(bytes.data, bytes.size, &offset, &b.wrapped) != TSS2_RC_SUCCESS ||
            Tss2_MU_TPM2B_PUBLIC_Unmarshal(bytes.data, bytes.size, &offset, &b.area) != TSS2_RC_SUCCESS ||
            offset != bytes.size || b.wrapped.size == 0)
                return rs_fail(err, TPM_STATE, "not a TPM blob of %zu bytes", bytes.size);
        *ret = b;
        return 0;
}

int blob_encode(const TPM2B_PRIVATE *wrapped, const TPM2B_PUBLIC *area, uint8_t *ret, size_t capacity,
                uint32_t *ret_size, RsError *err) {
        size_t offset = 0;

        if (Tss2_MU_TPM2B_PRIVATE_Marshal(wrapped, ret, capacity, &offset) != TSS2_RC_SUCCESS ||
            Tss2_MU_TPM2B_PUBLIC_Marshal(area, ret, capacity, &offset) != TSS2_RC_SUCCESS)
                return rs_fail(err, TPM, "the TPM made an object of more than %zu bytes", capacity);
        *ret_size = (uint32_t) offset;
        return 0;
}

bool blob_same_public(const TPM2B_PUBLIC *a, const TPM2B_PUBLIC *b) {
        uint8_t x[sizeof(TPM2B_PUBLIC)], y[sizeof(TPM2B_PUBLIC)];
        size_t x_size = 0, y_size = 0;

        return Tss2_MU_TPM2B_PUBLIC_Marshal(a, x, sizeof(x), &x_size) == TSS2_RC_SUCCESS &&
               Tss2_MU_TPM2B_PUBLIC_Marshal(b, y, sizeof(y), &y_size) == TSS2_RC_SUCCESS &&
               x_size == y_size && memcmp(x, y, x_size) == 0;
}

int blob_load(Tpm *t, const Blob *blob, ESYS_TR *ret, RsError *err) {
        ESYS_TR srk, loaded;
        TSS2_RC rc;
        int r;

        r = tpm_use_srk(t, &srk, err);
        if (r < 0)
                return r;
        rc = TPM_TRY(Esys_Load(t->esys, srk, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &blob->wrapped,
                               &blob->area, &loaded));
        if (rc != TSS2_RC_SUCCESS)
                return tpm_fail(t, rc, err, "load a TPM blob");
        tpm_note(t, loaded, true);
        *ret = loaded;
        return 0;
}
