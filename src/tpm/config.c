/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * config - the section [tpm] that the configuration files of both services share.
 *
 * Both must name the same TPM in the same mode, or one would flush what the other uses; that is why the keys
 * are read in one place.  The TCTI text is given to TctiLdr as it is: it names a library to load, so it must
 * come from a file only root can write (config_read checks that), never from the environment.
 */
#include <string.h>

#include <reseal/base/config.h>
#include <reseal/tpm/tpm.h>

#define LOCK_TIMEOUT_MAX_SEC 600u

int tpm_config_set(TpmConfig *c, const char *key, const char *value, RsError *err) {
        int r = 0;

        if (strcmp(key, "tcti") == 0)
                r = config_string(value, &c->tcti, err);
        else if (strcmp(key, "shared") == 0)
                r = config_bool(value, &c->shared, err);
        else if (strcmp(key, "lock") == 0)
                r = config_path(value, &c->lock_path, err);
        else if (strcmp(key, "lock-timeout") == 0)
                r = config_seconds(value, LOCK_TIMEOUT_MAX_SEC, &c->lock_timeout_usec, err);
        else
                return 0;
        if (r >= 0 && strcmp(key, "lock-timeout") == 0 && c->lock_timeout_usec == 0)
                return rs_fail(err, CONFIG, "at least one second"); /* 0 is "not said" in a TpmConfig */
        return r < 0 ? r : 1;
}

void tpm_config_done(TpmConfig *c) {
        free(c->tcti);
        free(c->lock_path);
        *c = (TpmConfig){ 0 };
}
