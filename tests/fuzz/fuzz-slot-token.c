/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The token of a slot or data volume: refused with reason Volume, or encoded again it says the same. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <reseal/slot/data.h>
#include <reseal/slot/volume.h>

#include "fuzz.h"

static void data_volume(const char *text) {
        TpmSealed sealed = { .blob_size = 77 }, again;
        RsError err = RS_ERROR_INIT;
        char *json = NULL;

        if (data_token_parse(text, &sealed, &err) < 0) {
                assert(err.reason == RS_REASON_VOLUME && sealed.blob_size == 77);
                return;
        }
        assert(sealed.any_floor && data_token_encode(&sealed, &json, &err) == 0);
        assert(data_token_parse(json, &again, &err) == 0 && again.any_floor && again.blob_size == sealed.blob_size);
        assert(memcmp(again.blob, sealed.blob, sealed.blob_size) == 0);
        assert(memcmp(again.srk_name, sealed.srk_name, TPM_NAME_SIZE) == 0);
        free(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        TpmSealed sealed = { .blob_size = 77 }, again;
        uint8_t bundle[32], bundle_again[32];
        RsError err = RS_ERROR_INIT;
        char *text = malloc(size + 1), *json = NULL;

        if (!text)
                return 0;
        memcpy(text, data, size);
        text[size] = '\0';
        data_volume(text);
        if (slot_token_parse(text, &sealed, bundle, &err) < 0)
                assert(err.reason == RS_REASON_VOLUME && sealed.blob_size == 77);
        else {
                assert(!sealed.any_floor && slot_token_encode(&sealed, bundle, &json, &err) == 0);
                assert(slot_token_parse(json, &again, bundle_again, &err) == 0);
                assert(again.blob_size == sealed.blob_size && again.floor_max == sealed.floor_max);
                assert(again.nv_index == sealed.nv_index && memcmp(bundle, bundle_again, 32) == 0);
                assert(memcmp(again.blob, sealed.blob, sealed.blob_size) == 0);
                assert(memcmp(again.srk_name, sealed.srk_name, TPM_NAME_SIZE) == 0);
        }
        free(json);
        free(text);
        return 0;
}
