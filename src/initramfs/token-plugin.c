/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libcryptsetup-token-reseal.so - opens slots and the data volume at boot: stock cryptsetup and systemd-
 * cryptsetup load it for tokens of type "reseal".
 *
 * libcryptsetup finds it by name in its token directory and asks for the passphrase of the token's key
 * slot; the TPM gives it while FLOOR has not passed the slot, and always for the data volume (docs/tpm.md).
 * It runs as root in the initramfs and perhaps in a shell on the device, so it believes nothing of its
 * surroundings: which TPM comes from the configuration file of the system, or is /dev/tpmrm0; no
 * environment variable and nothing in the header (which an attacker may have written) names a library or a
 * path.
 *
 * systemd does not wait for the TPM when it tries tokens without being told of a TPM, so the wait is here.
 *
 * It needs nothing but reading from the TPM and no secret of its own: what it returns is worth nothing once
 * FLOOR has risen. The passphrase lives in malloc memory because the interface wants that; buffer_free
 * wipes it.
 */
#include <stdio.h>
#include <string.h>

#include <libcryptsetup.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/config.h>
#include <reseal/base/names.h>
#include <reseal/base/ossl.h>
#include <reseal/slot/data.h>
#include <reseal/slot/volume.h>

#include "advice.h"
#include "unseal.h"

#define WAIT_USEC (10u * 1000000u)
#define EXPORT __attribute__((visibility("default")))

/* libcryptsetup declares types of these, not functions. */
const char *cryptsetup_token_version(void);
int cryptsetup_token_open(struct crypt_device *cd, int token, char **password, size_t *password_len,
                          void *usrptr);
void cryptsetup_token_buffer_free(void *buffer, size_t size);
int cryptsetup_token_validate(struct crypt_device *cd, const char *json);
void cryptsetup_token_dump(struct crypt_device *cd, const char *json);

EXPORT const char *cryptsetup_token_version(void) {
        return "reseal " RS_VERSION;
}

/* Of a slot or of a data volume; the bundle id of the latter is zeros. */
static int parse_any(const char *json, TpmSealed *ret, uint8_t ret_bundle_id[32], RsError *err) {
        RsError other = RS_ERROR_INIT;

        if (data_token_parse(json, ret, &other) == 0) {
                memset(ret_bundle_id, 0, 32);
                return 0;
        }
        return slot_token_parse(json, ret, ret_bundle_id, err);
}

EXPORT int cryptsetup_token_validate(struct crypt_device *cd, const char *json) {
        RsError err = RS_ERROR_INIT;
        uint8_t bundle_id[32];
        TpmSealed sealed;

        (void) cd;
        return parse_any(json, &sealed, bundle_id, &err) < 0 ? -EINVAL : 0;
}

EXPORT void cryptsetup_token_buffer_free(void *buffer, size_t size) {
        if (buffer)
                explicit_bzero(buffer, size);
        free(buffer);
}

EXPORT void cryptsetup_token_dump(struct crypt_device *cd, const char *json) {
        RsError err = RS_ERROR_INIT;
        uint8_t bundle_id[32];
        TpmSealed sealed;
        char line[160];

        if (parse_any(json, &sealed, bundle_id, &err) < 0)
                return;
        if (sealed.any_floor) {
                crypt_log(cd, CRYPT_LOG_NORMAL, "\tData volume: this TPM, any release\n");
                return;
        }
        (void) snprintf(line, sizeof(line), "\tTPM2 policy: NV 0x%08x <= %llu\n", sealed.nv_index,
                        (unsigned long long) sealed.floor_max);
        crypt_log(cd, CRYPT_LOG_NORMAL, line);
        (void) snprintf(line, sizeof(line), "\tBundle:      %02x%02x%02x%02x...\n", bundle_id[0],
                        bundle_id[1], bundle_id[2], bundle_id[3]);
        crypt_log(cd, CRYPT_LOG_NORMAL, line);
}

static int on_key(void *userdata, const char *section, const char *key, const char *value, RsError *err) {
        return strcmp(section, "tpm") == 0 ? tpm_config_set(userdata, key, value, err) : 1;
}

/* An initramfs need not carry the file; then it is the kernel's resource manager. */
static int read_config(TpmConfig *ret, RsError *err) {
        if (access(RS_PATH_CONF_DAEMON, F_OK) < 0) {
                ret->shared = true;
                return config_string("device:/dev/tpmrm0", &ret->tcti, err);
        }
        return config_read(RS_PATH_CONF_DAEMON, on_key, ret, err);
}

static int passphrase_of(const char *json, Secret **ret, RsError *err) {
        _cleanup_(secret_freep) Secret *secret = NULL;
        TpmConfig config = { 0 };
        uint8_t bundle_id[32];
        TpmSealed sealed;
        int r;

        r = ossl_begin(err);
        if (r >= 0)
                r = parse_any(json, &sealed, bundle_id, err);
        if (r < 0)
                return r;
        r = read_config(&config, err);
        if (r >= 0)
                r = unseal_wait(&config, &sealed, WAIT_USEC, &secret, err);
        tpm_config_done(&config);
        return r < 0 ? r : slot_passphrase(secret, ret, err);
}

/* What libcryptsetup makes of a failure: another token may be tried, or the hardware was not there. */
static int errno_for_cryptsetup(RsReason reason) {
        if (reason == RS_REASON_TPM_AUTH)
                return -EPERM;
        return reason == RS_REASON_TPM_GONE || reason == RS_REASON_TPM_BUSY ? -EAGAIN : -EINVAL;
}

EXPORT int cryptsetup_token_open(struct crypt_device *cd, int token, char **password, size_t *password_len,
                                 void *usrptr) {
        _cleanup_(secret_freep) Secret *text = NULL;
        RsError err = RS_ERROR_INIT;
        const char *json = NULL;
        int key_slot;
        char *copy;

        (void) usrptr; /* an application's pointer: what it points to is not ours to guess */
        if (crypt_token_json_get(cd, token, &json) < 0)
                return -EINVAL;
        if (luks_check_cost(cd, token, &key_slot, &err) < 0 || passphrase_of(json, &text, &err) < 0) {
                char line[600];

                (void) snprintf(line, sizeof(line), "reseal token %d: %s: %s\n", token,
                                rs_reason_name(err.reason), err.text);
                crypt_log(cd, CRYPT_LOG_ERROR, line);
                (void) snprintf(line, sizeof(line), "reseal token %d: %s\n", token, advice_for(err.reason));
                crypt_log(cd, CRYPT_LOG_ERROR, line);
                return errno_for_cryptsetup(err.reason);
        }
        copy = malloc(secret_size(text));
        if (!copy)
                return -ENOMEM;
        memcpy(copy, secret_bytes(text), secret_size(text));
        *password = copy;
        *password_len = secret_size(text);
        return 0;
}
