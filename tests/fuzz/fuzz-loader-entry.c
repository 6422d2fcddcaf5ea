/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names of loader entries: refused with a reason, somebody else's, or one that is written as it was read. */
#include <assert.h>
#include <string.h>

#include <reseal/boot/loader-entry.h>

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char file[256], again[LOADER_ENTRY_FILE_MAX];
        RsError err = RS_ERROR_INIT;
        LoaderEntry e;
        int r;

        if (size >= sizeof(file) || memchr(data, 0, size))
                return 0;
        memcpy(file, data, size);
        file[size] = '\0';
        (void) loader_entry_text_starts(file);
        r = loader_entry_parse("reseal", file, &e, &err);
        assert(r >= 0 || err.reason == RS_REASON_BOOT_STATE);
        if (r <= 0)
                return 0;
        FUZZ_ACCEPTED();
        loader_entry_format("reseal", &e, again);
        /* "+3-0" is "+3" */
        assert(strcmp(file, again) == 0 || (e.counted && e.done == 0));
        return 0;
}
