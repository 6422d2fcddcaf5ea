/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ticket - JSON of docs/format-ticket.md to a struct and back, and what it must agree with.
 *
 * ticket_check compares in variable time on purpose: everything compared here is public.
 */
#include <string.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/text.h>
#include <reseal/format/ticket.h>

#include "json-fields.h"

#define TIME_MAX (1ull << 40)

static int parse_bytes(JsonFields *f, Ticket *t, RsError *err) {
        const struct {
                const char *key;
                uint8_t *at;
                size_t size;
        } fields[] = {
                { "id", t->id, sizeof(t->id) },
                { "bundle", t->bundle, sizeof(t->bundle) },
                { "device", t->device, sizeof(t->device) },
                { "nonce", t->nonce, sizeof(t->nonce) },
                { "enc", t->enc, sizeof(t->enc) },
                { "ct", t->ct, sizeof(t->ct) },
        };

        for (size_t i = 0; i < ELEMENTSOF(fields); i++) {
                int r = json_fields_hex(f, fields[i].key, fields[i].at, fields[i].size, err);

                if (r < 0)
                        return r;
        }
        return 0;
}

int ticket_parse(Span json, Ticket *ret, RsError *err) {
        _cleanup_(json_decrefp) json_t *object = NULL;
        Ticket t = { 0 };
        uint64_t one;
        JsonFields f;
        int r;

        r = json_fields_load(json, RS_TICKET_MAX, RS_REASON_TICKET, "ticket", &object, err);
        if (r < 0)
                return r;
        f = JSON_FIELDS(object, RS_REASON_TICKET, "ticket");
        r = json_fields_u64(&f, "format", 1, 1, &one, err);
        if (r < 0)
                return r;
        r = json_fields_u64(&f, "suite", 1, 1, &one, err);
        if (r < 0)
                return r;
        r = json_fields_u64(&f, "issued", 0, TIME_MAX, &t.issued, err);
        if (r < 0)
                return r;
        r = json_fields_u64(&f, "not_after", 0, TIME_MAX, &t.not_after, err);
        if (r < 0)
                return r;
        r = parse_bytes(&f, &t, err);
        if (r < 0)
                return r;
        if (t.enc[0] != 0x04)
                return rs_fail(err, TICKET, "ticket: \"enc\" is not an uncompressed point");
        r = json_fields_finish(&f, err);
        if (r < 0)
                return r;
        *ret = t;
        return 0;
}

int ticket_encode(const Ticket *t, Encoder *e, RsError *err) {
        char id[HEX_SIZE(sizeof(t->id))], bundle[HEX_SIZE(sizeof(t->bundle))],
                        device[HEX_SIZE(sizeof(t->device))], nonce[HEX_SIZE(sizeof(t->nonce))],
                        enc[HEX_SIZE(sizeof(t->enc))], ct[HEX_SIZE(sizeof(t->ct))];
        _cleanup_(json_decrefp) json_t *object = NULL;
        _cleanup_(freep) char *text = NULL;

        hex_encode(SPAN_ARRAY(t->id), id);
        hex_encode(SPAN_ARRAY(t->bundle), bundle);
        hex_encode(SPAN_ARRAY(t->device), device);
        hex_encode(SPAN_ARRAY(t->nonce), nonce);
        hex_encode(SPAN_ARRAY(t->enc), enc);
        hex_encode(SPAN_ARRAY(t->ct), ct);
        object = json_pack("{s:i, s:i, s:s, s:s, s:s, s:s, s:I, s:I, s:s, s:s}", "format", 1, "suite", 1,
                           "id", id, "bundle", bundle, "device", device, "nonce", nonce, "issued",
                           (json_int_t) t->issued, "not_after", (json_int_t) t->not_after, "enc", enc, "ct",
                           ct);
        if (object)
                text = json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS);
        if (!text)
                return rs_fail_oom(err);
        encoder_bytes(e, text, strlen(text));
        return encoder_finish(e) < 0 ? rs_fail_oom(err) : 0;
}

static uint8_t *put(uint8_t *at, const void *bytes, size_t size) {
        memcpy(at, bytes, size);
        return at + size;
}

static uint8_t *put_u64(uint8_t *at, uint64_t v) {
        for (unsigned i = 0; i < 8; i++)
                at[i] = (uint8_t) (v >> (56 - 8 * i));
        return at + 8;
}

void ticket_info(const Ticket *t, uint8_t ret[TICKET_INFO_SIZE]) {
        static const char label[] = "reseal-ticket-v1";
        uint8_t *at = ret;

        _Static_assert(sizeof(label) - 1 == 16, "the label is 16 bytes of the info");
        at = put(at, label, sizeof(label) - 1);
        at = put(at, t->bundle, sizeof(t->bundle));
        at = put(at, t->device, sizeof(t->device));
        at = put(at, t->nonce, sizeof(t->nonce));
        at = put(at, t->id, sizeof(t->id));
        at = put_u64(at, t->issued);
        (void) put_u64(at, t->not_after);
}

int ticket_check(const Ticket *t, const uint8_t bundle[RS_DIGEST_SIZE], const uint8_t device[RS_DIGEST_SIZE],
                 uint64_t now, RsError *err) {
        if (memcmp(t->bundle, bundle, RS_DIGEST_SIZE) != 0)
                return rs_fail(err, WRONG_BUNDLE, "ticket: made for another bundle");
        if (memcmp(t->device, device, RS_DIGEST_SIZE) != 0)
                return rs_fail(err, WRONG_DEVICE, "ticket: made for another device");
        if (now != 0 && t->not_after != 0 && now > t->not_after)
                return rs_fail(err, TICKET_EXPIRED, "ticket: expired %llu seconds ago",
                               (unsigned long long) (now - t->not_after));
        return 0;
}
