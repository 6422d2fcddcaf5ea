/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* GRUB's environment block: refused with a reason, or its variables survive encode and parse again. */
#include <assert.h>
#include <string.h>

#include <reseal/boot/grub-env.h>

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        uint8_t block[GRUB_ENV_SIZE];
        RsError err = RS_ERROR_INIT;
        GrubEnv e, again;

        if (grub_env_parse(SPAN(data, size), &e, &err) < 0) {
                assert(err.reason == RS_REASON_BOOT_STATE);
                return 0;
        }
        assert(grub_env_encode(&e, block, &err) == 0); /* never longer than what was read */
        assert(grub_env_parse(SPAN_ARRAY(block), &again, &err) == 0);
        assert(again.n_vars == e.n_vars && again.text_size == e.text_size);
        assert(memcmp(again.text, e.text, e.text_size) == 0);
        return 0;
}
