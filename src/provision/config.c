/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * config - which TPM: the section [tpm] of reseald's configuration; the other sections are not ours to judge.
 */
#include <string.h>

#include <reseal/base/config.h>

#include "provision.h"

static int on_key(void *userdata, const char *section, const char *key, const char *value, RsError *err) {
        return strcmp(section, "tpm") == 0 ? tpm_config_set(userdata, key, value, err) : 1;
}

int provision_tpm_config(const char *path, TpmConfig *ret, RsError *err) {
        TpmConfig c = { 0 };
        int r;

        r = config_read(path, on_key, &c, err);
        if (r < 0) {
                tpm_config_done(&c);
                return r;
        }
        *ret = c;
        return 0;
}
