/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Configuration text: whatever the bytes, accepted wholly or refused with reason Config and a line. */
#include <assert.h>
#include <string.h>

#include <reseal/base/config.h>
#include <reseal/base/text.h>

#include "fuzz.h"

static int on_key(void *userdata, const char *section, const char *key, const char *value, RsError *err) {
        char **string = userdata;
        uint64_t number;
        bool yes;

        if (strcmp(key, "bool") == 0)
                return config_bool(value, &yes, err) < 0 ? -1 : 1;
        if (strcmp(key, "number") == 0)
                return config_u64(value, 1, 1000, &number, err) < 0 ? -1 : 1;
        if (strcmp(key, "size") == 0)
                return config_size(value, 1, 1u << 30, &number, err) < 0 ? -1 : 1;
        if (strcmp(key, "seconds") == 0)
                return config_seconds(value, 86400, &number, err) < 0 ? -1 : 1;
        if (strcmp(key, "string") == 0)
                return config_string(value, string, err) < 0 ? -1 : 1;
        if (strcmp(key, "path") == 0)
                return config_path(value, string, err) < 0 ? -1 : 1;
        return strcmp(section, "any") == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        RsError err = RS_ERROR_INIT;
        char *string = NULL;
        int r;

        r = config_parse("fuzz", (const char *) data, size, on_key, &string, &err);
        assert((r == 0) == (err.reason == RS_REASON_NONE));
        assert(r == 0 || (err.reason == RS_REASON_CONFIG && strncmp(err.text, "fuzz:", 5) == 0));
        if (r == 0)
                FUZZ_ACCEPTED();
        free(string);
        return 0;
}
