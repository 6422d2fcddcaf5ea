/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * receipt - what the factory files away about one device: public names only, as JSON.
 *
 * The SHA-256 of the unwrap key's SubjectPublicKeyInfo is the device id that tickets name.  Counter values
 * are in it because they start anywhere and a later claim about them can only be judged against the start.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/base/text.h>

#include <reseal/tpm/chain.h>

#include "provision.h"

static int set_new(json_t *o, const char *key, json_t *value, RsError *err) {
        return json_object_set_new(o, key, value) < 0 ? rs_fail_oom(err) : 0;
}

static int add_keys(json_t *receipt, const TpmKey keys[_TPM_KEY_PURPOSE_MAX], RsError *err) {
        json_t *list = json_object();
        char hex[HEX_SIZE(32)];
        uint8_t id[32];
        int r;

        for (unsigned p = 0; p < _TPM_KEY_PURPOSE_MAX; p++) {
                r = tpm_key_spki(&keys[p], NULL, id, err);
                if (r < 0) {
                        json_decref(list);
                        return r;
                }
                hex_encode(SPAN_ARRAY(id), hex);
                r = set_new(list, tpm_key_purpose_to_string((TpmKeyPurpose) p),
                            json_pack("{s:s, s:s, s:[s,s,s,s]}", "spki_sha256", hex, "file",
                                      store_key_file((TpmKeyPurpose) p), "attributes", "fixedTPM",
                                      "fixedParent", "sensitiveDataOrigin", "noDA"),
                            err);
                if (r < 0) {
                        json_decref(list);
                        return r;
                }
        }
        return set_new(receipt, "keys", list, err);
}

static int add_tpm(json_t *receipt, Tpm *t, const uint8_t srk_name[TPM_NAME_SIZE], RsError *err) {
        char name[HEX_SIZE(TPM_NAME_SIZE)], handle[11], nv[5][11];
        static const uint32_t indices[5] = { TPM_NV_FLOOR, TPM_NV_ACCEPT, TPM_NV_RECORD0, TPM_NV_RECORD1,
                                             TPM_NV_GATE };
        TpmPosture p;
        TpmState s;
        int r;

        r = tpm_posture(t, &p, err);
        if (r >= 0)
                r = tpm_state_read(t, &s, err);
        if (r < 0)
                return r;
        hex_encode(SPAN(srk_name, TPM_NAME_SIZE), name);
        (void) snprintf(handle, sizeof(handle), "0x%08x", TPM_HANDLE_SRK);
        for (unsigned i = 0; i < ELEMENTSOF(indices); i++)
                (void) snprintf(nv[i], sizeof(nv[i]), "0x%08x", indices[i]);
        r = set_new(receipt, "tpm",
                    json_pack("{s:s, s:b, s:b, s:b}", "manufacturer", p.manufacturer, "owner_auth_set",
                              p.owner_auth_set, "lockout_auth_set", p.lockout_auth_set, "endorsement_auth_set",
                              p.endorsement_auth_set),
                    err);
        if (r >= 0)
                r = set_new(receipt, "srk", json_pack("{s:s, s:s}", "handle", handle, "name", name), err);
        if (r >= 0)
                r = set_new(receipt, "nv",
                            json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I}", "floor", nv[0], "accept", nv[1],
                                      "record0", nv[2], "record1", nv[3], "gate", nv[4], "floor_value",
                                      (json_int_t) s.floor, "accept_value", (json_int_t) s.accept),
                            err);
        return r;
}

static int fill(json_t *receipt, const Options *o, Tpm *t, const uint8_t srk_name[TPM_NAME_SIZE],
                const TpmKey keys[_TPM_KEY_PURPOSE_MAX], RsError *err) {
        TpmLevel level = TPM_LEVEL_L1;
        char when[32] = "";
        time_t now = time(NULL);
        struct tm tm;
        int r;

        if (gmtime_r(&now, &tm))
                (void) strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
        r = set_new(receipt, "receipt", json_string("reseal-provision 1"), err);
        if (r >= 0)
                r = set_new(receipt, "device", json_string(o->serial), err);
        if (r >= 0 && o->line)
                r = set_new(receipt, "line", json_string(o->line), err);
        if (r >= 0)
                r = set_new(receipt, "time", json_string(when), err);
        if (r >= 0)
                r = tpm_level(t, &level, err);
        if (r >= 0)
                r = set_new(receipt, "level", json_string(level == TPM_LEVEL_L2 ? "L2" : "L1"), err);
        if (r >= 0)
                r = add_tpm(receipt, t, srk_name, err);
        return r < 0 ? r : add_keys(receipt, keys, err);
}

int receipt_write(const char *path, const Options *o, Tpm *t, const uint8_t srk_name[TPM_NAME_SIZE],
                  const TpmKey keys[_TPM_KEY_PURPOSE_MAX], RsError *err) {
        json_t *receipt = json_object();
        char *text = NULL;
        int r;

        r = fill(receipt, o, t, srk_name, keys, err);
        if (r >= 0) {
                text = json_dumps(receipt, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
                r = text ? file_replace(AT_FDCWD, path, SPAN(text, strlen(text)), 0644, err)
                         : rs_fail_oom(err);
        }
        free(text);
        json_decref(receipt);
        return r;
}
