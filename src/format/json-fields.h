/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * json-fields - one strict JSON object read field by field, shared by all that is signed as JSON.
 *
 * Spec:     docs/format-bundle.md section 3 (the JSON rules)
 * Trust:    input is hostile; every field is checked for type, length and range before it is copied
 * Owns:     JsonFields borrows the jansson object; json_fields_load hands out a reference (json_decref)
 * Units:    as the field says
 * Errors:   the reason given at the start (MANIFEST, TICKET or FORMAT); *ret untouched on failure
 * Context:  any thread, no I/O
 * Programs: all
 */
#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include <reseal/base/error.h>
#include <reseal/base/span.h>

#define JSON_FIELDS_MAX 24u

typedef struct JsonFields {
        json_t *object;
        RsReason reason;
        const char *where; /* "manifest", "image 2": stands in messages */
        const char *taken[JSON_FIELDS_MAX];
        unsigned n_taken;
} JsonFields;

#define JSON_FIELDS(o, r, w) ((JsonFields){ .object = (o), .reason = (r), .where = (w) })

/* Bytes to an object: one value, UTF-8, no duplicate key, nothing behind it. */
int json_fields_load(Span bytes, size_t max_size, RsReason reason, const char *where, json_t **ret,
                     RsError *err);

int json_fields_u64(JsonFields *f, const char *key, uint64_t min, uint64_t max, uint64_t *ret, RsError *err);
int json_fields_bool(JsonFields *f, const char *key, bool *ret, RsError *err);
int json_fields_hex(JsonFields *f, const char *key, void *ret, size_t size, RsError *err);
/* 1 to max bytes, each of which is_allowed; ret holds max + 1 bytes. */
int json_fields_text(JsonFields *f, const char *key, bool (*is_allowed)(char c), size_t max, char *ret,
                     RsError *err);
/* Letters, digits and ".-_": lines, boards, versions. */
bool json_name_character(char c);
/* The same rule for a bare value, such as an array element. */
int json_text_value(const JsonFields *f, const char *key, const json_t *value, bool (*is_allowed)(char c),
                    size_t max, char *ret, RsError *err);
int json_fields_array(JsonFields *f, const char *key, size_t min, size_t max, json_t **ret, RsError *err);
/* The value if there is one, marked as known; borrowed. */
json_t *json_fields_optional(JsonFields *f, const char *key);
/* Refuses what nobody asked for. */
int json_fields_finish(const JsonFields *f, RsError *err);
