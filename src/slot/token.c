/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * token - the text that ties a LUKS2 key slot to an object in the TPM, and the passphrase made from its
 * secret.
 *
 * Two formats: 1 of a slot, with the limit of FLOOR and the release; 2 of the data volume, with neither.
 * They are never mistaken for each other: each has a parser, and whoever opens a slot has only that of
 * format 1.
 *
 * The writer makes the text, libcryptsetup stores it, the plugin in the initramfs reads it back, perhaps
 * years later, and after someone had the disk in his hands.  So parsing is strict: exactly these members,
 * each of exactly this form. libcryptsetup itself knows only "type" and "keyslots"; the key slot is always
 * the first, because a header made here has no other (a recovery key slot added by hand has no token).
 *
 * Hexadecimal and not base64: one encoding for all bytes in the text, and no second decoder.
 */
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/text.h>
#include <reseal/slot/data.h>
#include <reseal/slot/volume.h>

#define TOKEN_TEXT_MAX 8192u
#define SLOT_MEMBERS 8u
#define DATA_MEMBERS 5u

int slot_token_encode(const TpmSealed *sealed, const uint8_t bundle_id[32], char **ret_json, RsError *err) {
        char blob[HEX_SIZE(TPM_SEALED_BLOB_MAX)], srk[HEX_SIZE(TPM_NAME_SIZE)], bundle[HEX_SIZE(32)];
        char *json = NULL;

        if (sealed->blob_size > TPM_SEALED_BLOB_MAX)
                return rs_fail(err, INTERNAL, "a sealed blob of %u bytes", sealed->blob_size);
        hex_encode(SPAN(sealed->blob, sealed->blob_size), blob);
        hex_encode(SPAN_ARRAY(sealed->srk_name), srk);
        hex_encode(SPAN(bundle_id, 32), bundle);
        /* Every value is of digits and known words: nothing to escape. */
        if (asprintf(&json,
                     "{\"type\":\"reseal\",\"keyslots\":[\"0\"],\"format\":\"1\",\"blob\":\"%s\",\"srk\":\"%s\","
                     "\"nv\":\"0x%08x\",\"floor\":\"%llu\",\"bundle\":\"%s\"}",
                     blob, srk, sealed->nv_index, (unsigned long long) sealed->floor_max, bundle) < 0)
                return rs_fail_oom(err);
        *ret_json = json;
        return 0;
}

int data_token_encode(const TpmSealed *sealed, char **ret_json, RsError *err) {
        char blob[HEX_SIZE(TPM_SEALED_BLOB_MAX)], srk[HEX_SIZE(TPM_NAME_SIZE)];
        char *json = NULL;

        if (sealed->blob_size > TPM_SEALED_BLOB_MAX || !sealed->any_floor)
                return rs_fail(err, INTERNAL, "a sealed blob of %u bytes that is not of a data volume", sealed->blob_size);
        hex_encode(SPAN(sealed->blob, sealed->blob_size), blob);
        hex_encode(SPAN_ARRAY(sealed->srk_name), srk);
        if (asprintf(&json, "{\"type\":\"reseal\",\"keyslots\":[\"0\"],\"format\":\"2\",\"blob\":\"%s\",\"srk\":\"%s\"}",
                     blob, srk) < 0)
                return rs_fail_oom(err);
        *ret_json = json;
        return 0;
}

static const char *member(const json_t *object, const char *key) {
        const char *text = json_string_value(json_object_get(object, key));

        return text ? text : ""; /* an empty value satisfies no rule below */
}

static bool is_text(const json_t *object, const char *key, const char *want) {
        return strcmp(member(object, key), want) == 0;
}

static int parse_blob(const char *text, TpmSealed *s, RsError *err) {
        size_t digits = strlen(text);

        if (digits == 0 || digits % 2 != 0 || digits / 2 > TPM_SEALED_BLOB_MAX)
                return rs_fail(err, VOLUME, "token: a blob of %zu digits", digits);
        s->blob_size = (uint32_t) (digits / 2);
        if (hex_decode(text, s->blob, s->blob_size) < 0)
                return rs_fail(err, VOLUME, "token: blob is not hexadecimal");
        return 0;
}

/* What both formats have. */
static int parse_common(const json_t *o, const char *format, size_t n_members, TpmSealed *s, RsError *err) {
        const json_t *keyslots = json_object_get(o, "keyslots");
        int r;

        if (json_object_size(o) != n_members || !is_text(o, "type", "reseal") || !is_text(o, "format", format))
                return rs_fail(err, VOLUME, "token: not of type reseal, format %s", format);
        /* One key slot; which one is libcryptsetup's business, it renumbers them on request. */
        if (json_array_size(keyslots) != 1 || !json_is_string(json_array_get(keyslots, 0)))
                return rs_fail(err, VOLUME, "token: not for one key slot");
        r = parse_blob(member(o, "blob"), s, err);
        if (r < 0)
                return r;
        if (hex_decode(member(o, "srk"), s->srk_name, sizeof(s->srk_name)) < 0)
                return rs_fail(err, VOLUME, "token: srk is not a Name");
        return 0;
}

static int parse_slot(const json_t *o, TpmSealed *s, uint8_t bundle_id[32], RsError *err) {
        const char *nv = member(o, "nv");
        uint8_t index[4];
        int r;

        r = parse_common(o, "1", SLOT_MEMBERS, s, err);
        if (r < 0)
                return r;
        if (strncmp(nv, "0x", 2) != 0 || hex_decode(nv + 2, index, sizeof(index)) < 0)
                return rs_fail(err, VOLUME, "token: nv is not an index");
        s->nv_index = (uint32_t) index[0] << 24 | (uint32_t) index[1] << 16 | (uint32_t) index[2] << 8 | index[3];
        if (text_to_u64(member(o, "floor"), UINT64_MAX, &s->floor_max) < 0)
                return rs_fail(err, VOLUME, "token: floor is not a number");
        if (hex_decode(member(o, "bundle"), bundle_id, 32) < 0)
                return rs_fail(err, VOLUME, "token: bundle is not a digest");
        return 0;
}

static int load(const char *json, json_t **ret, RsError *err) {
        json_error_t where;
        json_t *o;

        if (strnlen(json, TOKEN_TEXT_MAX + 1) > TOKEN_TEXT_MAX)
                return rs_fail(err, VOLUME, "token: longer than %u bytes", TOKEN_TEXT_MAX);
        o = json_loads(json, JSON_REJECT_DUPLICATES, &where);
        if (!o)
                return rs_fail(err, VOLUME, "token: %s", where.text);
        *ret = o;
        return 0;
}

int data_token_parse(const char *json, TpmSealed *ret, RsError *err) {
        TpmSealed s = { .any_floor = true };
        json_t *o;
        int r;

        r = load(json, &o, err);
        if (r < 0)
                return r;
        r = parse_common(o, "2", DATA_MEMBERS, &s, err);
        json_decref(o);
        if (r < 0)
                return r;
        *ret = s;
        return 0;
}

int slot_token_parse(const char *json, TpmSealed *ret, uint8_t ret_bundle_id[32], RsError *err) {
        TpmSealed s = { 0 };
        uint8_t bundle_id[32];
        json_t *o;
        int r;

        r = load(json, &o, err);
        if (r < 0)
                return r;
        r = parse_slot(o, &s, bundle_id, err);
        json_decref(o);
        if (r < 0)
                return r;
        *ret = s;
        memcpy(ret_bundle_id, bundle_id, sizeof(bundle_id));
        return 0;
}

int slot_passphrase(const Secret *sealed_secret, Secret **ret, RsError *err) {
        static const char digits[] = "0123456789abcdef";
        const uint8_t *bytes = secret_bytes(sealed_secret);
        size_t size = secret_size(sealed_secret);
        Secret *s;

        s = secret_new(2 * size);
        if (!s)
                return rs_fail_oom(err);
        /* Not hex_encode: it would put a NUL behind, and the length is part of the passphrase. */
        for (size_t i = 0; i < size; i++) {
                secret_bytes_mut(s)[2 * i] = (uint8_t) digits[bytes[i] >> 4];
                secret_bytes_mut(s)[2 * i + 1] = (uint8_t) digits[bytes[i] & 15];
        }
        *ret = s;
        return 0;
}
