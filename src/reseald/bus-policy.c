/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * bus-policy - what writer and daemon go by, and where each value is from, as D-Bus dictionaries.
 *
 * The writer's values are the writer's word, ours those of our own start: no file is read again for this, so what
 * is told holds although somebody may have edited the file since.  Files name keys and certificates by their paths and
 * hold no secret, with one exception: an address may carry a credential, which is cut off.
 */
#include <stdio.h>
#include <string.h>

#include <reseal/base/text.h>

#include "manager.h"

#define TEXT_SIZE 1024u

/* "https://user:word@host/path?token" is told as "https://host/path". */
static void shown(const char *value, char ret[TEXT_SIZE]) {
        const char *host = strstr(value, "://");
        char address[TEXT_SIZE];

        if (host) {
                size_t scheme = (size_t) (host - value) + 3, authority = strcspn(value + scheme, "/?#");
                const char *at = memrchr(value + scheme, '@', authority);
                const char *rest = at ? at + 1 : value + scheme;

                (void) snprintf(address, sizeof(address), "%.*s%.*s", (int) scheme, value, (int) strcspn(rest, "?#"), rest);
                value = address;
        }
        (void) text_printable(SPAN(value, strlen(value)), ret, TEXT_SIZE); /* the bus takes only UTF-8 */
}

static int append_value(sd_bus_message *m, const char *program, const char *file, const ConfigNote *n) {
        char value[TEXT_SIZE], path[TEXT_SIZE], section[TEXT_SIZE];
        int r = sd_bus_message_open_container(m, 'a', "{sv}");

        shown(n->value, value);
        (void) text_printable(SPAN(file, strlen(file)), path, sizeof(path));
        (void) text_printable(SPAN(n->section, strlen(n->section)), section, sizeof(section));
        if (r < 0 || (r = bus_add(m, "program", "s", program)) < 0 || (r = bus_add(m, "section", "s", section)) < 0 ||
            (r = bus_add(m, "key", "s", n->key)) < 0 || (r = bus_add(m, "value", "s", value)) < 0 ||
            (r = bus_add(m, "set", "b", (int) (n->value[0] != '\0'))) < 0 || (r = bus_add(m, "file", "s", path)) < 0 ||
            (r = bus_add(m, "line", "u", n->line)) < 0)
                return r;
        return sd_bus_message_close_container(m);
}

static int append_notes(sd_bus_message *m, const char *program, const ConfigNotes *notes) {
        int r = 0;

        for (size_t i = 0; r >= 0 && i < notes->n; i++)
                r = append_value(m, program, notes->file, &notes->list[i]);
        return r;
}

int bus_append_policy(sd_bus_message *reply, const ConfigNotes *writer, const ConfigNotes *daemon) {
        int r = sd_bus_message_open_container(reply, 'a', "a{sv}");

        if (r >= 0)
                r = append_notes(reply, "reseal-writer", writer);
        if (r >= 0)
                r = append_notes(reply, "reseald", daemon);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}
