/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * statement - JSON of docs/format-chain.md section 5 to a struct and back.
 *
 * A statement that could live for years would be what it exists to prevent: a source that shows yesterday's release for
 * ever (T7).  So a long one is malformed, whoever signed it.
 */
#include <string.h>

#include <reseal/format/statement.h>

#include "json-fields.h"

#define TIME_MAX (1ull << 40)

int statement_parse(Span json, Statement *ret, RsError *err) {
        _cleanup_(json_decrefp) json_t *object = NULL;
        Statement s = { 0 };
        uint64_t one;
        JsonFields f;
        int r;

        r = json_fields_load(json, STATEMENT_JSON_MAX, RS_REASON_FORMAT, "statement", &object, err);
        if (r < 0)
                return r;
        f = JSON_FIELDS(object, RS_REASON_FORMAT, "statement");
        r = json_fields_u64(&f, "format", 1, 1, &one, err);
        if (r < 0)
                return r;
        r = json_fields_text(&f, "line", json_name_character, RS_NAME_MAX, s.line, err);
        if (r < 0)
                return r;
        r = json_fields_u64(&f, "latest", 1, INT64_MAX, &s.latest, err);
        if (r < 0)
                return r;
        r = json_fields_u64(&f, "seq", 1, INT64_MAX, &s.seq, err);
        if (r < 0)
                return r;
        r = json_fields_u64(&f, "issued", 0, TIME_MAX, &s.issued, err);
        if (r < 0)
                return r;
        r = json_fields_u64(&f, "expires", 0, TIME_MAX, &s.expires, err);
        if (r < 0)
                return r;
        r = json_fields_finish(&f, err);
        if (r < 0)
                return r;
        if (s.expires <= s.issued || s.expires - s.issued > STATEMENT_VALID_MAX)
                return rs_fail(err, FORMAT, "statement: \"expires\" must follow \"issued\" within 30 days");
        *ret = s;
        return 0;
}

int statement_encode(const Statement *s, Encoder *e, RsError *err) {
        _cleanup_(json_decrefp) json_t *object = NULL;
        _cleanup_(freep) char *text = NULL;

        object = json_pack("{s:i, s:s, s:I, s:I, s:I, s:I}", "format", 1, "line", s->line, "latest",
                           (json_int_t) s->latest, "seq", (json_int_t) s->seq, "issued", (json_int_t) s->issued,
                           "expires", (json_int_t) s->expires);
        if (object)
                text = json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS);
        if (!text)
                return rs_fail_oom(err);
        encoder_bytes(e, text, strlen(text));
        return encoder_finish(e) < 0 ? rs_fail_oom(err) : 0;
}
