/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * bus-append - slots and inspections as D-Bus dictionaries.
 *
 * The shapes are those of conf/org.reseal1.xml.  Strings that came from a manifest are well-formed UTF-8
 * without control characters: manifest_parse has seen to that, so the bus cannot refuse them.
 */
#include <stdarg.h>
#include <string.h>

#include <reseal/base/text.h>
#include <reseal/ipc/writer-proto.h>

#include "manager.h"

#define SLOT_TYPE_PLAIN 2u /* docs/protocol-writer.md, SLOTS */

int bus_add(sd_bus_message *m, const char *key, const char *type, ...) {
        va_list ap;
        int r = sd_bus_message_open_container(m, 'e', "sv");

        if (r >= 0)
                r = sd_bus_message_append(m, "s", key);
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'v', type);
        if (r >= 0) {
                va_start(ap, type);
                r = sd_bus_message_appendv(m, type, ap);
                va_end(ap);
        }
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        return r;
}

static int append_slot(sd_bus_message *m, const WriterSlotInfo *s) {
        static const uint8_t UNKNOWN[sizeof(s->bundle_id)] = { 0 };
        char bundle[HEX_SIZE(sizeof(s->bundle_id))] = "";

        if (memcmp(s->bundle_id, UNKNOWN, sizeof(UNKNOWN)) != 0)
                hex_encode(SPAN_ARRAY(s->bundle_id), bundle);
        int r = sd_bus_message_open_container(m, 'r', "sa{sv}");
        if (r >= 0)
                r = sd_bus_message_append(m, "s", s->name);
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r < 0 || (r = bus_add(m, "class", "s", s->class_name)) < 0 || (r = bus_add(m, "boot-name", "s", s->boot_name)) < 0 ||
            (r = bus_add(m, "type", "s", s->type == SLOT_TYPE_PLAIN ? "plain" : "luks2")) < 0 ||
            (r = bus_add(m, "running", "b", (int) s->running)) < 0 || (r = bus_add(m, "primary", "b", (int) s->primary)) < 0 ||
            (r = bus_add(m, "bootable", "b", (int) s->bootable)) < 0 || (r = bus_add(m, "good", "b", (int) s->good)) < 0 ||
            (r = bus_add(m, "tries", "i", s->tries_left == UINT32_MAX ? -1 : (int) s->tries_left)) < 0 ||
            (r = bus_add(m, "size", "t", s->size)) < 0 || (r = bus_add(m, "release", "t", s->release)) < 0 ||
            (r = bus_add(m, "epoch", "u", s->epoch)) < 0 || (r = bus_add(m, "version", "s", s->version)) < 0 ||
            (r = bus_add(m, "bundle-id", "s", bundle)) < 0 || (r = bus_add(m, "failed", "b", (int) s->failed)) < 0 ||
            (r = bus_add(m, "report", "s", s->report)) < 0)
                return r;
        r = sd_bus_message_close_container(m);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

int bus_append_slots(sd_bus_message *reply, const View *v) {
        int r = sd_bus_message_open_container(reply, 'a', "(sa{sv})");

        for (uint32_t i = 0; r >= 0 && i < v->n_slots; i++)
                r = append_slot(reply, &v->slots[i]);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int append_image(sd_bus_message *m, const ManifestImage *image) {
        char root[HEX_SIZE(RS_DIGEST_SIZE)];
        int r = sd_bus_message_open_container(m, 'a', "{sv}");

        hex_encode(SPAN_ARRAY(image->root), root);
        if (r < 0 || (r = bus_add(m, "class", "s", image->class_name)) < 0 || (r = bus_add(m, "size", "t", image->size)) < 0 ||
            (r = bus_add(m, "root", "s", root)) < 0 || (r = bus_add(m, "chunks", "u", image->n_chunks)) < 0)
                return r;
        return sd_bus_message_close_container(m);
}

static int append_lists(sd_bus_message *m, const Manifest *f) {
        int r = sd_bus_message_open_container(m, 'e', "sv");

        if (r >= 0)
                r = sd_bus_message_append(m, "s", "compatible");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'v', "as");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "s");
        for (uint32_t i = 0; r >= 0 && i < f->n_compatible; i++)
                r = sd_bus_message_append(m, "s", f->compatible[i]);
        for (int i = 0; r >= 0 && i < 3; i++)
                r = sd_bus_message_close_container(m);

        if (r >= 0)
                r = sd_bus_message_open_container(m, 'e', "sv");
        if (r >= 0)
                r = sd_bus_message_append(m, "s", "images");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'v', "aa{sv}");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "a{sv}");
        for (uint32_t i = 0; r >= 0 && i < f->n_images; i++)
                r = append_image(m, &f->images[i]);
        for (int i = 0; r >= 0 && i < 3; i++)
                r = sd_bus_message_close_container(m);
        return r;
}

int bus_append_inspection(sd_bus_message *reply, const JobInspection *i) {
        const Manifest *f = i->manifest;
        bool acceptable = i->verdict.reason == RS_REASON_NONE;
        char bundle[HEX_SIZE(RS_DIGEST_SIZE)];
        int r = sd_bus_message_open_container(reply, 'a', "{sv}");

        hex_encode(SPAN_ARRAY(i->bundle_id), bundle);
        if (r < 0 || (r = bus_add(reply, "line", "s", f->line)) < 0 || (r = bus_add(reply, "release", "t", f->release)) < 0 ||
            (r = bus_add(reply, "epoch", "u", f->epoch)) < 0 || (r = bus_add(reply, "version", "s", f->version)) < 0 ||
            (r = bus_add(reply, "created", "t", f->created)) < 0 ||
            (r = bus_add(reply, "confidential", "b", (int) f->confidential)) < 0 ||
            (r = bus_add(reply, "notes", "s", f->notes ? f->notes : "")) < 0 ||
            (r = bus_add(reply, "bundle-id", "s", bundle)) < 0 || (r = bus_add(reply, "signer", "s", i->signer.subject)) < 0 ||
            (r = bus_add(reply, "encrypted", "b", (int) i->encrypted)) < 0 ||
            (r = bus_add(reply, "acceptable", "b", (int) acceptable)) < 0 ||
            (r = bus_add(reply, "reason", "s", acceptable ? "" : rs_reason_name(i->verdict.reason))) < 0 ||
            (r = bus_add(reply, "text", "s", i->verdict.text)) < 0 || (r = append_lists(reply, f)) < 0)
                return r;
        return sd_bus_message_close_container(reply);
}

/* One word for a timer or a person: is there something to install? */
static const char *verdict_of(const JobInspection *i) {
        if (!i->asked)
                return "unknown";
        if (i->manifest->release < i->accepted)
                return "older";
        if (i->manifest->release == i->accepted)
                return "same";
        return i->verdict.reason == RS_REASON_NONE ? "newer" : "refused";
}

int bus_append_check(sd_bus_message *reply, const JobInspection *i) {
        const char *reason = i->verdict.reason == RS_REASON_NONE ? "" : rs_reason_name(i->verdict.reason);
        int r = sd_bus_message_open_container(reply, 'a', "{sv}");

        if (r < 0 || (r = bus_add(reply, "verdict", "s", verdict_of(i))) < 0 ||
            (r = bus_add(reply, "release", "t", i->manifest->release)) < 0 ||
            (r = bus_add(reply, "version", "s", i->manifest->version)) < 0 || (r = bus_add(reply, "size", "t", i->size)) < 0 ||
            (r = bus_add(reply, "accepted", "t", i->accepted)) < 0 || (r = bus_add(reply, "reason", "s", reason)) < 0 ||
            (r = bus_add(reply, "text", "s", i->verdict.text)) < 0)
                return r;
        return sd_bus_message_close_container(reply);
}
