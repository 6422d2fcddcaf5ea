/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * trust-set - JSON of docs/format-chain.md section 6 to a struct and back.
 *
 * The PEM blocks are looked at as text only: what they hold is the business of those who load them (pki).  But each
 * element must be one block of the right label in the one spelling OpenSSL writes, so that nothing rides along
 * between blocks, and no key stands there twice under two spellings: two of three would then be one person.
 */
#include <stdlib.h>
#include <string.h>

#include <reseal/format/trust-set.h>

#include "json-fields.h"

#define PEM_BLOCK_MAX 8192u
#define PEM_LINE 64u
#define CERTIFICATE "CERTIFICATE"
#define PUBLIC_KEY "PUBLIC KEY"

TrustSet *trust_set_free(TrustSet *s) {
        if (s) {
                free(s->firmware_pem);
                free(s->source_pem);
                free(s->time_pem);
                free(s->recovery_pem);
                free(s);
        }
        return NULL;
}

static bool is_base64(char c) {
        return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '/' ||
               c == '=';
}

/* Behind "-----BEGIN label-----\n" (or END) at the start of text, or NULL. */
static const char *skip_fence(const char *text, const char *word, const char *label) {
        const char *const parts[] = { "-----", word, " ", label, "-----\n" };

        for (size_t i = 0; i < ELEMENTSOF(parts); i++) {
                size_t size = strlen(parts[i]);

                if (strncmp(text, parts[i], size) != 0)
                        return NULL;
                text += size;
        }
        return text;
}

/* Behind the block that text begins with, or NULL.  All lines are full but the last one. */
static const char *skip_block(const char *text, const char *label) {
        const char *at = skip_fence(text, "BEGIN", label), *end;
        size_t size = PEM_LINE;
        bool any = false;

        while (at && !(end = skip_fence(at, "END", label))) {
                if (size != PEM_LINE) /* a short line that was not the last one */
                        return NULL;
                for (size = 0; is_base64(at[size]); size++)
                        ;
                if (size == 0 || size > PEM_LINE || size % 4 != 0 || at[size] != '\n')
                        return NULL;
                at += size + 1;
                any = true;
        }
        return at && any ? end : NULL;
}

static bool stands_before(json_t *array, size_t i) {
        for (size_t k = 0; k < i; k++)
                if (json_equal(json_array_get(array, k), json_array_get(array, i)))
                        return true;
        return false;
}

/* The elements one behind the other, as what loads PEM wants them. */
static int parse_blocks(JsonFields *f, const char *key, const char *label, size_t min, size_t max, char **ret,
                        RsError *err) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        json_t *array = NULL;
        int r;

        r = json_fields_array(f, key, min, max, &array, err);
        if (r < 0)
                return r;
        for (size_t i = 0; i < json_array_size(array); i++) {
                json_t *value = json_array_get(array, i);
                const char *text = json_string_value(value), *end = text ? skip_block(text, label) : NULL;

                if (!end || *end != '\0' || json_string_length(value) > PEM_BLOCK_MAX)
                        return rs_fail(err, FORMAT, "trust set: element %zu of \"%s\" is not one PEM block \"%s\"", i,
                                       key, label);
                if (stands_before(array, i))
                        return rs_fail(err, FORMAT, "trust set: element %zu of \"%s\" stands there twice", i, key);
                encoder_bytes(&e, text, json_string_length(value));
        }
        encoder_u8(&e, 0);
        if (encoder_finish(&e) < 0)
                return rs_fail_oom(err);
        *ret = (char *) TAKE_PTR(e.data);
        return 0;
}

static int parse_anchors(JsonFields *f, TrustSet *s, RsError *err) {
        json_t *recovery;
        int r;

        r = parse_blocks(f, "firmware", CERTIFICATE, 1, TRUST_ANCHORS_MAX, &s->firmware_pem, err);
        if (r < 0)
                return r;
        r = parse_blocks(f, "source", CERTIFICATE, 0, TRUST_ANCHORS_MAX, &s->source_pem, err);
        if (r < 0)
                return r;
        r = parse_blocks(f, "time", CERTIFICATE, 0, TRUST_ANCHORS_MAX, &s->time_pem, err);
        if (r < 0)
                return r;
        recovery = json_object_get(f->object, "recovery");
        if (json_array_size(recovery) != 0 && json_array_size(recovery) != TRUST_RECOVERY_KEYS)
                return rs_fail(err, FORMAT, "trust set: \"recovery\" holds %zu keys, must hold %u or none",
                               json_array_size(recovery), TRUST_RECOVERY_KEYS);
        return parse_blocks(f, "recovery", PUBLIC_KEY, 0, TRUST_RECOVERY_KEYS, &s->recovery_pem, err);
}

/* No clock of ours knows a later moment than the year 9999. */
static int parse_restart(JsonFields *f, TrustSet *s, RsError *err) {
        json_t *value = json_fields_optional(f, "restart");

        if (!value)
                return 0;
        if (!json_is_integer(value) || json_integer_value(value) < 1 || json_integer_value(value) > 253402300799)
                return rs_fail(err, FORMAT, "trust set: \"restart\" is not a time in seconds since 1970");
        s->restart = (uint64_t) json_integer_value(value);
        return 0;
}

int trust_set_parse(Span json, TrustSet **ret, RsError *err) {
        _cleanup_(json_decrefp) json_t *object = NULL;
        _cleanup_(trust_set_freep) TrustSet *s = calloc(1, sizeof(*s));
        uint64_t one, quorum;
        JsonFields f;
        int r;

        if (!s)
                return rs_fail_oom(err);
        r = json_fields_load(json, TRUST_SET_JSON_MAX, RS_REASON_FORMAT, "trust set", &object, err);
        if (r < 0)
                return r;
        f = JSON_FIELDS(object, RS_REASON_FORMAT, "trust set");
        r = json_fields_u64(&f, "format", 1, 1, &one, err);
        if (r < 0)
                return r;
        r = json_fields_text(&f, "line", json_name_character, RS_NAME_MAX, s->line, err);
        if (r < 0)
                return r;
        r = json_fields_u64(&f, "version", 1, INT64_MAX, &s->version, err);
        if (r < 0)
                return r;
        r = json_fields_u64(&f, "quorum", 2, TRUST_ANCHORS_MAX, &quorum, err);
        if (r < 0)
                return r;
        s->quorum = (uint32_t) quorum;
        r = parse_restart(&f, s, err);
        if (r == 0)
                r = parse_anchors(&f, s, err);
        if (r < 0)
                return r;
        if (json_array_size(json_object_get(object, "firmware")) < quorum)
                return rs_fail(err, FORMAT, "trust set: fewer firmware roots than its quorum of %u", s->quorum);
        r = json_fields_finish(&f, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}

/* The blocks of a PEM text as an array; NULL when it is not such a text, or there is no memory. */
static json_t *blocks_of(const char *pem, const char *label, RsError *err) {
        _cleanup_(json_decrefp) json_t *array = json_array();

        if (!array) {
                (void) rs_fail_oom(err);
                return NULL;
        }
        for (const char *at = pem ? pem : "", *end; *at != '\0'; at = end) {
                end = skip_block(at, label);
                if (!end) {
                        (void) rs_fail(err, FORMAT, "trust set: not PEM blocks \"%s\" one behind the other", label);
                        return NULL;
                }
                if (json_array_append_new(array, json_stringn(at, (size_t) (end - at))) < 0) {
                        (void) rs_fail_oom(err);
                        return NULL;
                }
        }
        return TAKE_PTR(array);
}

static int set_blocks(json_t *object, const char *key, const char *pem, const char *label, RsError *err) {
        json_t *array = blocks_of(pem, label, err);

        if (!array)
                return rs_negative(-rs_reason_errno(err->reason));
        return json_object_set_new(object, key, array) < 0 ? rs_fail_oom(err) : 0;
}

int trust_set_encode(const TrustSet *s, Encoder *e, RsError *err) {
        _cleanup_(json_decrefp) json_t *object = NULL;
        _cleanup_(freep) char *text = NULL;
        int r;

        object = json_pack("{s:i, s:s, s:I, s:I}", "format", 1, "line", s->line, "version", (json_int_t) s->version,
                           "quorum", (json_int_t) s->quorum);
        if (!object)
                return rs_fail_oom(err);
        if (s->restart != 0 && json_object_set_new(object, "restart", json_integer((json_int_t) s->restart)) < 0)
                return rs_fail_oom(err);
        r = set_blocks(object, "firmware", s->firmware_pem, CERTIFICATE, err);
        if (r == 0)
                r = set_blocks(object, "source", s->source_pem, CERTIFICATE, err);
        if (r == 0)
                r = set_blocks(object, "time", s->time_pem, CERTIFICATE, err);
        if (r == 0)
                r = set_blocks(object, "recovery", s->recovery_pem, PUBLIC_KEY, err);
        if (r < 0)
                return r;
        text = json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS);
        if (!text)
                return rs_fail_oom(err);
        encoder_bytes(e, text, strlen(text));
        return encoder_finish(e) < 0 ? rs_fail_oom(err) : 0;
}
