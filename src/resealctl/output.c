/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What reaches the terminal: JSON, errors, colours, sizes.  Text that came over the bus is printable already
 * (bus-json.c); JSON is ASCII besides, since a terminal that is not set to UTF-8 obeys some of its bytes.
 */
#include <inttypes.h>

#include "resealctl.h"

void print_json(json_t *value) {
        char *text = json_dumps(value, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
        if (text)
                puts(text);
        free(text);
}

void print_json_text(const char *text) {
        _cleanup_(json_decrefp) json_t *value = text ? json_string(text) : json_null();
        print_json(value);
}

void print_error(const RsError *err) {
        fprintf(stderr, "resealctl: %s: %s\n", rs_reason_name(err->reason),
                err->text[0] ? err->text : rs_reason_text(err->reason));
}

static const char *colour(const Options *o, const char *sequence) {
        return o->colour && !o->json ? sequence : "";
}

const char *bold(const Options *o) {
        return colour(o, "\033[1m");
}

const char *dim(const Options *o) {
        return colour(o, "\033[2m");
}

const char *good(const Options *o) {
        return colour(o, "\033[32m");
}

const char *bad(const Options *o) {
        return colour(o, "\033[31m");
}

const char *plain(const Options *o) {
        return colour(o, "\033[0m");
}

char *format_bytes(uint64_t bytes, char *buffer, size_t size) {
        static const char *const UNITS[] = { "B", "KiB", "MiB", "GiB", "TiB" };
        double value = (double) bytes;
        size_t unit = 0;

        while (value >= 1024 && unit + 1 < ELEMENTSOF(UNITS)) {
                value /= 1024;
                unit++;
        }
        (void) snprintf(buffer, size, unit == 0 || value >= 100 ? "%.0f %s" : "%.1f %s", value, UNITS[unit]);
        return buffer;
}

char *format_duration(uint64_t seconds, char *buffer, size_t size) {
        if (seconds >= 3600)
                (void) snprintf(buffer, size, "%" PRIu64 ":%02" PRIu64 ":%02" PRIu64, seconds / 3600, seconds / 60 % 60,
                                seconds % 60);
        else
                (void) snprintf(buffer, size, "%" PRIu64 ":%02" PRIu64, seconds / 60, seconds % 60);
        return buffer;
}

const char *text_of(json_t *object, const char *key) {
        const char *text = json_string_value(json_object_get(object, key));

        return text ? text : "";
}

uint64_t number_of(json_t *object, const char *key) {
        return (uint64_t) json_integer_value(json_object_get(object, key));
}

bool flag_of(json_t *object, const char *key) {
        return json_is_true(json_object_get(object, key));
}
