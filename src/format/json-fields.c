/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * json-fields - jansson, held to the narrower rules of docs/format-bundle.md section 3.
 *
 * What is signed must have one reading only.  jansson refuses duplicate keys, broken UTF-8, NUL in strings
 * and trailing bytes when asked to; the rest is here: integers only (1.0 and 1e3 are reals for jansson and
 * so refused by type), exact hex, no key that the reader does not know.  The depth of the nesting is bounded
 * by the size cap and by jansson's own limit of 2048; our readers look no deeper than their format does.
 */
#include <errno.h>
#include <string.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/text.h>

#include "json-fields.h"

#define fail(f, err, ...) rs_fail_at((err), (f)->reason, __func__, __LINE__, __VA_ARGS__)

int json_fields_load(Span bytes, size_t max_size, RsReason reason, const char *where, json_t **ret,
                     RsError *err) {
        _cleanup_(json_decrefp) json_t *object = NULL;
        json_error_t error;

        if (bytes.size > max_size)
                return rs_fail_at(err, reason, __func__, __LINE__, "%s: %zu bytes, limit %zu", where,
                                  bytes.size, max_size);
        object = json_loadb((const char *) bytes.data, bytes.size, JSON_REJECT_DUPLICATES, &error);
        if (!object)
                return rs_fail_at(err, reason, __func__, __LINE__, "%s: byte %d: %s", where, error.position,
                                  error.text);
        if (!json_is_object(object))
                return rs_fail_at(err, reason, __func__, __LINE__, "%s: not an object", where);
        *ret = TAKE_PTR(object);
        return 0;
}

json_t *json_fields_optional(JsonFields *f, const char *key) {
        json_t *value = json_object_get(f->object, key);

        if (value && f->n_taken < JSON_FIELDS_MAX)
                f->taken[f->n_taken++] = key;
        return value;
}

static int take(JsonFields *f, const char *key, json_t **ret, RsError *err) {
        json_t *value = json_fields_optional(f, key);

        if (!value)
                return fail(f, err, "%s: key \"%s\" is missing", f->where, key);
        *ret = value;
        return 0;
}

int json_fields_u64(JsonFields *f, const char *key, uint64_t min, uint64_t max, uint64_t *ret, RsError *err) {
        json_t *value = NULL;
        json_int_t v;
        int r;

        r = take(f, key, &value, err);
        if (r < 0)
                return r;
        if (!json_is_integer(value))
                return fail(f, err, "%s: \"%s\" is not an integer", f->where, key);
        v = json_integer_value(value);
        if (v < 0 || (uint64_t) v < min || (uint64_t) v > max)
                return fail(f, err, "%s: \"%s\" is %lld, must be %llu to %llu", f->where, key, (long long) v,
                            (unsigned long long) min, (unsigned long long) max);
        *ret = (uint64_t) v;
        return 0;
}

int json_fields_bool(JsonFields *f, const char *key, bool *ret, RsError *err) {
        json_t *value = NULL;
        int r;

        r = take(f, key, &value, err);
        if (r < 0)
                return r;
        if (!json_is_boolean(value))
                return fail(f, err, "%s: \"%s\" is not true or false", f->where, key);
        *ret = json_is_true(value);
        return 0;
}

int json_fields_hex(JsonFields *f, const char *key, void *ret, size_t size, RsError *err) {
        json_t *value = NULL;
        int r;

        r = take(f, key, &value, err);
        if (r < 0)
                return r;
        if (!json_is_string(value) || hex_decode(json_string_value(value), ret, size) < 0)
                return fail(f, err, "%s: \"%s\" is not %zu bytes of lower-case hex", f->where, key, size);
        return 0;
}

bool json_name_character(char c) {
        return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' ||
               c == '_' || c == '-';
}

int json_text_value(const JsonFields *f, const char *key, const json_t *value, bool (*is_allowed)(char c),
                    size_t max, char *ret, RsError *err) {
        const char *text;
        size_t size;

        if (!json_is_string(value))
                return fail(f, err, "%s: \"%s\" is not a string", f->where, key);
        text = json_string_value(value);
        size = json_string_length(value);
        if (size < 1 || size > max)
                return fail(f, err, "%s: \"%s\" has %zu bytes, must have 1 to %zu", f->where, key, size, max);
        for (size_t i = 0; i < size; i++)
                if (!is_allowed(text[i]))
                        return fail(f, err, "%s: \"%s\" has a character that is not allowed", f->where, key);
        memcpy(ret, text, size + 1);
        return 0;
}

int json_fields_text(JsonFields *f, const char *key, bool (*is_allowed)(char c), size_t max, char *ret,
                     RsError *err) {
        json_t *value = NULL;
        int r;

        r = take(f, key, &value, err);
        if (r < 0)
                return r;
        return json_text_value(f, key, value, is_allowed, max, ret, err);
}

int json_fields_array(JsonFields *f, const char *key, size_t min, size_t max, json_t **ret, RsError *err) {
        json_t *value = NULL;
        int r;

        r = take(f, key, &value, err);
        if (r < 0)
                return r;
        if (!json_is_array(value))
                return fail(f, err, "%s: \"%s\" is not an array", f->where, key);
        if (json_array_size(value) < min || json_array_size(value) > max)
                return fail(f, err, "%s: \"%s\" has %zu elements, must have %zu to %zu", f->where, key,
                            json_array_size(value), min, max);
        *ret = value;
        return 0;
}

int json_fields_finish(const JsonFields *f, RsError *err) {
        const char *key;
        json_t *value = NULL;

        json_object_foreach(f->object, key, value) {
                bool known = false;

                for (unsigned i = 0; i < f->n_taken && !known; i++)
                        known = strcmp(f->taken[i], key) == 0;
                if (!known)
                        return fail(f, err, "%s: unknown key \"%s\"", f->where, key);
        }
        return 0;
}
