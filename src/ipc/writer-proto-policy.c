/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * writer-proto-policy - the payload of POLICY and what lies in its memfd; see writer-proto.c for the rules.
 *
 * The notes of the configuration are longer than a message may be with many slots, so they travel as TABLE's and
 * ANCHORS' bytes do.
 */
#include <string.h>

#include <reseal/ipc/writer-proto.h>

#include "fields.h"

void writer_encode_policy(Encoder *e, uint32_t size) {
        encoder_u32(e, size);
}

int writer_decode_policy(Span p, uint32_t *ret_size, RsError *err) {
        Reader r = READER(p);
        uint32_t size = reader_u32(&r);
        int k;

        if (size == 0 || size > WRITER_POLICY_MAX)
                r.failed = true;
        k = field_finish(&r, "answer to POLICY", err);
        if (k < 0)
                return k;
        *ret_size = size;
        return 0;
}

static void put_text(Encoder *e, const char *text) {
        size_t size = strnlen(text, WRITER_POLICY_TEXT_MAX);

        encoder_u16(e, (uint16_t) size);
        encoder_bytes(e, text, size);
}

static void take_text(Reader *r, char ret[WRITER_POLICY_TEXT_MAX + 1]) {
        uint16_t size = reader_u16(r);

        if (size > WRITER_POLICY_TEXT_MAX)
                r->failed = true;
        ret[0] = '\0';
        if (r->failed)
                return;
        field_take_text(r, ret, size);
        if (strlen(ret) != size)
                r->failed = true;
}

void writer_encode_notes(Encoder *e, const ConfigNotes *notes) {
        put_text(e, notes->file);
        encoder_u32(e, (uint32_t) notes->n);
        for (size_t i = 0; i < notes->n; i++) {
                put_text(e, notes->list[i].section);
                put_text(e, notes->list[i].key);
                put_text(e, notes->list[i].value);
                encoder_u32(e, notes->list[i].line);
        }
}

int writer_decode_notes(Span p, ConfigNotes *ret, RsError *err) {
        _cleanup_(config_notes_done) ConfigNotes notes = { 0 };
        char section[WRITER_POLICY_TEXT_MAX + 1], key[WRITER_POLICY_TEXT_MAX + 1], value[WRITER_POLICY_TEXT_MAX + 1];
        Reader r = READER(p);
        uint32_t n;
        int k;

        take_text(&r, value);
        notes.file = strdup(value);
        if (!notes.file)
                return rs_fail_oom(err);
        n = reader_u32(&r);
        if (n > CONFIG_KEYS_MAX)
                r.failed = true;
        for (uint32_t i = 0; i < n && !r.failed; i++) {
                uint32_t line;

                take_text(&r, section);
                take_text(&r, key);
                take_text(&r, value);
                line = reader_u32(&r);
                if (config_notes_find(&notes, section, key)) /* each key has one value */
                        r.failed = true;
                if (!r.failed && config_notes_set(&notes, section, key, value, line) < 0)
                        return rs_fail_oom(err);
        }
        k = field_finish(&r, "POLICY", err);
        if (k < 0)
                return k;
        *ret = notes;
        notes = (ConfigNotes){ 0 };
        return 0;
}
