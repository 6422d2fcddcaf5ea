/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * D-Bus values as JSON: strings, booleans and integers as themselves, byte arrays as hexadecimal, dictionaries with
 * string keys as objects, variants as their content, everything else as arrays.  Nesting is bounded by the bus itself
 * (32 arrays and 32 structures), and by DEPTH_MAX here.
 *
 * The service speaks to the network and may have been taken over; who reads is often root at a terminal.  So this is
 * the one door by which text comes in: names and values pass text_printable here, and nobody behind it has to think of
 * it.
 */
#include <string.h>

#include <reseal/base/text.h>

#include "resealctl.h"

#define DEPTH_MAX 16
#define BYTES_MAX 4096u
#define TEXT_MAX 65536u

static int read_value(sd_bus_message *m, unsigned depth, json_t **ret);

/* NULL without memory. */
static char *printable(const char *text) {
        size_t n = strlen(text), size = n > TEXT_MAX / 4 ? TEXT_MAX : 4 * n + 1;
        char *out = malloc(size);

        return out ? text_printable(SPAN(text, n), out, size) : NULL;
}

static json_t *text_to_json(const char *text) {
        _cleanup_(freep) char *clean = printable(text);

        return clean ? json_string(clean) : NULL;
}

char *bus_text(const char *text, char *ret, size_t size) {
        return text_printable(SPAN(text, strlen(text)), ret, size);
}

static json_t *basic_to_json(char type, const void *p) {
        switch (type) {
        case 's':
        case 'o':
        case 'g':
                return text_to_json(*(const char *const *) p);
        case 'b':
                return json_boolean(*(const int *) p);
        case 'y':
                return json_integer(*(const uint8_t *) p);
        case 'n':
                return json_integer(*(const int16_t *) p);
        case 'q':
                return json_integer(*(const uint16_t *) p);
        case 'i':
                return json_integer(*(const int32_t *) p);
        case 'u':
                return json_integer(*(const uint32_t *) p);
        case 'x':
                return json_integer(*(const int64_t *) p);
        case 't':
                if (*(const uint64_t *) p > INT64_MAX) /* "not known" on the bus; it would come out as -1 */
                        return json_null();
                return json_integer((json_int_t) * (const uint64_t *) p);
        case 'd':
                return json_real(*(const double *) p);
        default:
                return NULL; /* a descriptor has no meaning here */
        }
}

static int read_basic(sd_bus_message *m, char type, json_t **ret) {
        union {
                const char *s;
                uint64_t t;
                double d;
        } value = { 0 };
        int r = sd_bus_message_read_basic(m, type, &value);
        if (r < 0)
                return r;
        *ret = basic_to_json(type, &value);
        return *ret ? 0 : -EBADMSG;
}

static int read_bytes(sd_bus_message *m, json_t **ret) {
        const void *data;
        size_t size;
        char hex[HEX_SIZE(BYTES_MAX)];
        int r = sd_bus_message_read_array(m, 'y', &data, &size);

        if (r < 0)
                return r;
        if (size > BYTES_MAX)
                return -EMSGSIZE;
        hex_encode(SPAN(data, size), hex);
        *ret = json_string(hex);
        return *ret ? 0 : -ENOMEM;
}

static int read_entry(sd_bus_message *m, const char *contents, unsigned depth, json_t *object) {
        _cleanup_(freep) char *name = NULL;
        const char *key;
        json_t *value = NULL;
        int r = sd_bus_message_enter_container(m, 'e', contents);

        if (r <= 0)
                return r;
        r = sd_bus_message_read_basic(m, 's', &key);
        if (r >= 0)
                r = read_value(m, depth, &value);
        if (r >= 0) {
                name = printable(key);
                r = !name || json_object_set(object, name, value) < 0 ? -ENOMEM : 0;
                json_decref(value);
        }
        if (r < 0)
                return r;
        r = sd_bus_message_exit_container(m);
        return r < 0 ? r : 1;
}

static int read_container(sd_bus_message *m, char type, const char *contents, unsigned depth, json_t **ret) {
        bool dictionary = type == 'a' && strncmp(contents, "{s", 2) == 0;
        _cleanup_(json_decrefp) json_t *out = dictionary ? json_object() : json_array();
        char entry[64];
        int r = sd_bus_message_enter_container(m, type, contents);

        if (r < 0 || !out)
                return r < 0 ? r : -ENOMEM;
        if (dictionary) {
                size_t n = strlen(contents);
                if (n - 1 >= sizeof(entry))
                        return -EMSGSIZE;
                memcpy(entry, contents + 1, n - 2);
                entry[n - 2] = '\0';
                while ((r = read_entry(m, entry, depth, out)) > 0)
                        ;
        } else
                while ((r = sd_bus_message_at_end(m, false)) == 0) {
                        json_t *value = NULL;
                        r = read_value(m, depth, &value);
                        if (r < 0 || json_array_append_new(out, value) < 0)
                                return r < 0 ? r : -ENOMEM;
                }
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(out);
        return 0;
}

static int read_value(sd_bus_message *m, unsigned depth, json_t **ret) {
        char type;
        const char *contents;
        int r = sd_bus_message_peek_type(m, &type, &contents);

        if (r <= 0)
                return r < 0 ? r : -ENODATA;
        if (depth > DEPTH_MAX)
                return -EMSGSIZE;
        if (type == 'a' && strcmp(contents, "y") == 0)
                return read_bytes(m, ret);
        if (type == 'v') {
                r = sd_bus_message_enter_container(m, 'v', contents);
                if (r >= 0)
                        r = read_value(m, depth + 1, ret);
                return r < 0 ? r : sd_bus_message_exit_container(m);
        }
        if (type == 'a' || type == 'r')
                return read_container(m, type, contents, depth + 1, ret);
        return read_basic(m, type, ret);
}

int bus_read_json(sd_bus_message *m, json_t **ret, RsError *err) {
        int r = read_value(m, 0, ret);
        return r < 0 ? rs_fail(err, PROTOCOL, "unreadable answer from the service: %s", strerror(-r)) : 0;
}

int bus_read_json_all(sd_bus_message *m, json_t **ret, RsError *err) {
        _cleanup_(json_decrefp) json_t *all = json_array();

        while (all && sd_bus_message_at_end(m, true) == 0) {
                json_t *value = NULL;
                int r = bus_read_json(m, &value, err);
                if (r < 0)
                        return r;
                if (json_array_append_new(all, value) < 0)
                        return rs_fail_oom(err);
        }
        if (!all)
                return rs_fail_oom(err);
        *ret = json_array_size(all) == 1 ? json_incref(json_array_get(all, 0)) : TAKE_PTR(all);
        return 0;
}
