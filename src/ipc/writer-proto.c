/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * writer-proto - the table of requests and the bytes of each payload.
 *
 * The table says for each request when it is permitted and how long it may be: the server looks here before a parser
 * sees a byte, so a message that has no row, comes too early or has an impossible size is refused in one place.
 * Encoder and decoder of a payload stand side by side in this file, used by both programs: they cannot drift apart.
 * Decoders leave their outputs untouched on failure and take every payload whole (reader_finish).
 */
#include <string.h>

#include <reseal/base/cleanup.h>
#include <reseal/ipc/writer-proto.h>

#include "fields.h"

#define PHASE(p) (1u << WRITER_PHASE_##p)
#define PHASES_ALL ((1u << _WRITER_PHASE_MAX) - 1u)

#define SLOT_INFO_SIZE (3u * WRITER_NAME_SIZE + 4u + 4u + 4u + 8u + 8u + 4u + 32u + RS_NAME_MAX + \
                        WRITER_REPORT_SIZE)
#define OFFER_IMAGE_SIZE (4u + 4u + WRITER_NAME_SIZE)

#define FLAG_RUNNING 1u
#define FLAG_PRIMARY 2u
#define FLAG_BOOTABLE 4u
#define FLAG_GOOD 8u
#define FLAG_BUSY 16u
#define FLAG_FAILED 32u
#define FLAGS_ALL 63u

static const WriterRequestRule rules[] = {
        { WRITER_HELLO, "HELLO", PHASE(HELLO), WRITER_VERSION_SIZE, WRITER_VERSION_SIZE, false, true },
        { WRITER_SLOTS, "SLOTS", PHASES_ALL & ~PHASE(HELLO), 0, 0, false, true },
        { WRITER_STATE, "STATE", PHASES_ALL & ~PHASE(HELLO), 0, 0, false, true },
        { WRITER_OFFER, "OFFER", PHASE(IDLE) | PHASE(DONE), 5, 4 + RS_MANIFEST_CMS_MAX, false, false },
        { WRITER_TABLE, "TABLE", PHASE(OFFERED), 8, 8, true, false },
        { WRITER_RING, "RING", PHASE(TABLED), 0, 0, false, false },
        { WRITER_FRAME, "FRAME", PHASE(TABLED) | PHASE(WRITING) | PHASE(FAILED), 16, 16, false, false },
        { WRITER_FINISH, "FINISH", PHASE(TABLED) | PHASE(WRITING) | PHASE(FAILED), 0, 0, false, false },
        { WRITER_ABORT, "ABORT", PHASES_ALL & ~PHASE(HELLO), 0, 0, false, false },
        { WRITER_MARK, "MARK", PHASE(IDLE) | PHASE(DONE), 4 + WRITER_NAME_SIZE, 4 + WRITER_NAME_SIZE, false,
          true },
        { WRITER_TIME, "TIME", PHASE(IDLE) | PHASE(DONE), 0, 0, false, false },
        { WRITER_EVIDENCE, "EVIDENCE", PHASE(IDLE) | PHASE(DONE), 8, 8, true, false },
        { WRITER_TRUST, "TRUST", PHASES_ALL & ~PHASE(HELLO), 0, 0, false, false },
        { WRITER_ANCHORS, "ANCHORS", PHASE(IDLE) | PHASE(DONE), 0, 0, false, false },
        { WRITER_POLICY, "POLICY", PHASES_ALL & ~PHASE(HELLO), 0, 0, false, false },
        { WRITER_REJECT, "REJECT", PHASE(IDLE) | PHASE(DONE), WRITER_REPORT_SIZE, WRITER_REPORT_SIZE, false, true },
};

const WriterRequestRule *writer_request_rule(uint32_t type) {
        for (size_t i = 0; i < ELEMENTSOF(rules); i++)
                if ((uint32_t) rules[i].type == type)
                        return &rules[i];
        return NULL;
}

bool writer_request_permitted(uint32_t type, WriterPhase phase, bool health) {
        const WriterRequestRule *rule = writer_request_rule(type);

        if (!rule || (unsigned) phase >= _WRITER_PHASE_MAX || (health && !rule->for_health))
                return false;
        return (rule->phases & (1u << phase)) != 0;
}

static const char *const phase_names[] = {
        [WRITER_PHASE_HELLO] = "HELLO",         [WRITER_PHASE_IDLE] = "IDLE",
        [WRITER_PHASE_OFFERED] = "OFFERED",     [WRITER_PHASE_TABLED] = "TABLED",
        [WRITER_PHASE_WRITING] = "WRITING",     [WRITER_PHASE_FINISHING] = "FINISHING",
        [WRITER_PHASE_DONE] = "DONE",           [WRITER_PHASE_FAILED] = "FAILED",
};
_Static_assert(ELEMENTSOF(phase_names) == _WRITER_PHASE_MAX, "a name for each phase");

const char *writer_phase_to_string(WriterPhase phase) {
        return (unsigned) phase < _WRITER_PHASE_MAX ? phase_names[phase] : "?";
}

/* -- HELLO ------------------------------------------------------------------------------------------------------ */

void writer_encode_hello_request(Encoder *e, const char *version) {
        field_put_text(e, version, WRITER_VERSION_SIZE);
}

int writer_decode_hello_request(Span p, char ret_version[WRITER_VERSION_SIZE + 1], RsError *err) {
        char version[WRITER_VERSION_SIZE + 1];
        Reader r = READER(p);
        int k;

        field_take_text(&r, version, WRITER_VERSION_SIZE);
        k = field_finish(&r, "HELLO", err);
        if (k < 0)
                return k;
        memcpy(ret_version, version, sizeof(version));
        return 0;
}

void writer_encode_hello(Encoder *e, const WriterHello *h) {
        field_put_text(e, h->version, WRITER_VERSION_SIZE);
        encoder_u32(e, h->require_encryption ? 1 : 0);
        field_put_text(e, h->line, RS_NAME_MAX);
}

int writer_decode_hello(Span p, WriterHello *ret, RsError *err) {
        WriterHello h = { 0 };
        Reader r = READER(p);
        int k;

        field_take_text(&r, h.version, WRITER_VERSION_SIZE);
        h.require_encryption = field_take_bool(&r);
        field_take_text(&r, h.line, RS_NAME_MAX);
        k = field_finish(&r, "answer to HELLO", err);
        if (k < 0)
                return k;
        *ret = h;
        return 0;
}

/* -- SLOTS ------------------------------------------------------------------------------------------------------ */

static void put_slot(Encoder *e, const WriterSlotInfo *s) {
        field_put_text(e, s->class_name, WRITER_NAME_SIZE);
        field_put_text(e, s->name, WRITER_NAME_SIZE);
        field_put_text(e, s->boot_name, WRITER_NAME_SIZE);
        encoder_u32(e, s->type);
        encoder_u32(e, (s->running ? FLAG_RUNNING : 0) | (s->primary ? FLAG_PRIMARY : 0) |
                               (s->bootable ? FLAG_BOOTABLE : 0) | (s->good ? FLAG_GOOD : 0) |
                               (s->busy ? FLAG_BUSY : 0) | (s->failed ? FLAG_FAILED : 0));
        encoder_u32(e, s->tries_left);
        encoder_u64(e, s->size);
        encoder_u64(e, s->release);
        encoder_u32(e, s->epoch);
        encoder_bytes(e, s->bundle_id, sizeof(s->bundle_id));
        field_put_text(e, s->version, RS_NAME_MAX);
        field_put_text(e, s->report, WRITER_REPORT_SIZE);
}

static void take_slot(Reader *r, WriterSlotInfo *s) {
        uint32_t flags;

        field_take_text(r, s->class_name, WRITER_NAME_SIZE);
        field_take_text(r, s->name, WRITER_NAME_SIZE);
        field_take_text(r, s->boot_name, WRITER_NAME_SIZE);
        s->type = reader_u32(r);
        flags = reader_u32(r);
        s->tries_left = reader_u32(r);
        s->size = reader_u64(r);
        s->release = reader_u64(r);
        s->epoch = reader_u32(r);
        reader_copy(r, s->bundle_id, sizeof(s->bundle_id));
        field_take_text(r, s->version, RS_NAME_MAX);
        field_take_text(r, s->report, WRITER_REPORT_SIZE);
        if ((s->type != 1 && s->type != 2) || (flags & ~FLAGS_ALL) != 0)
                r->failed = true;
        s->running = (flags & FLAG_RUNNING) != 0;
        s->primary = (flags & FLAG_PRIMARY) != 0;
        s->bootable = (flags & FLAG_BOOTABLE) != 0;
        s->good = (flags & FLAG_GOOD) != 0;
        s->busy = (flags & FLAG_BUSY) != 0;
        s->failed = (flags & FLAG_FAILED) != 0;
}

void writer_encode_slots(Encoder *e, const WriterSlotInfo *slots, uint32_t n) {
        encoder_u32(e, n);
        for (uint32_t i = 0; i < n; i++)
                put_slot(e, &slots[i]);
}

int writer_decode_slots(Span p, WriterSlotInfo *ret, uint32_t max, uint32_t *ret_n, RsError *err) {
        _cleanup_(freep) WriterSlotInfo *slots = NULL;
        Reader r = READER(p);
        uint32_t n = reader_u32(&r);
        int k;

        if (n > max || n > WRITER_SLOTS_MAX || r.rest.size != (size_t) n * SLOT_INFO_SIZE)
                return rs_fail(err, PROTOCOL, "answer to SLOTS: %u slots in %zu bytes", n, p.size);
        slots = calloc(n > 0 ? n : 1, sizeof(*slots));
        if (!slots)
                return rs_fail_oom(err);
        for (uint32_t i = 0; i < n; i++)
                take_slot(&r, &slots[i]);
        k = field_finish(&r, "answer to SLOTS", err);
        if (k < 0)
                return k;
        if (n > 0)
                memcpy(ret, slots, n * sizeof(*slots));
        *ret_n = n;
        return 0;
}

/* -- STATE ------------------------------------------------------------------------------------------------------ */

void writer_encode_state(Encoder *e, const WriterState *s) {
        encoder_u64(e, s->release);
        encoder_u32(e, s->epoch);
        encoder_u32(e, s->floor_epoch);
        field_put_text(e, s->running, WRITER_NAME_SIZE);
        field_put_text(e, s->primary, WRITER_NAME_SIZE);
        encoder_u32(e, s->trial_pending ? 1 : 0);
        encoder_u32(e, s->step);
        encoder_bytes(e, s->bundle_id, sizeof(s->bundle_id));
}

int writer_decode_state(Span p, WriterState *ret, RsError *err) {
        WriterState s = { 0 };
        Reader r = READER(p);
        int k;

        s.release = reader_u64(&r);
        s.epoch = reader_u32(&r);
        s.floor_epoch = reader_u32(&r);
        field_take_text(&r, s.running, WRITER_NAME_SIZE);
        field_take_text(&r, s.primary, WRITER_NAME_SIZE);
        s.trial_pending = field_take_bool(&r);
        s.step = reader_u32(&r);
        reader_copy(&r, s.bundle_id, sizeof(s.bundle_id));
        k = field_finish(&r, "answer to STATE", err);
        if (k < 0)
                return k;
        *ret = s;
        return 0;
}

/* -- OFFER ------------------------------------------------------------------------------------------------------ */

void writer_encode_offer_request(Encoder *e, Span manifest_cms) {
        encoder_u32(e, 0);
        encoder_span(e, manifest_cms);
}

int writer_decode_offer_request(Span p, Span *ret_manifest_cms, RsError *err) {
        Reader r = READER(p);
        Span cms;

        reader_zeros(&r, 4);
        cms = reader_span(&r, r.rest.size);
        if (reader_finish(&r) < 0 || cms.size == 0 || cms.size > RS_MANIFEST_CMS_MAX)
                return rs_fail(err, PROTOCOL, "OFFER: not well-formed");
        *ret_manifest_cms = cms;
        return 0;
}

void writer_encode_offer(Encoder *e, const WriterOffer *o) {
        encoder_bytes(e, o->bundle_id, sizeof(o->bundle_id));
        encoder_u32(e, o->n_images);
        for (uint32_t i = 0; i < o->n_images; i++) {
                encoder_u32(e, i);
                encoder_u32(e, o->images[i].wanted ? 1 : 0);
                field_put_text(e, o->images[i].slot_name, WRITER_NAME_SIZE);
        }
}

int writer_decode_offer(Span p, WriterOffer *ret, RsError *err) {
        WriterOffer o = { 0 };
        Reader r = READER(p);
        int k;

        reader_copy(&r, o.bundle_id, sizeof(o.bundle_id));
        o.n_images = reader_u32(&r);
        if (o.n_images == 0 || o.n_images > RS_IMAGES_MAX || r.rest.size != (size_t) o.n_images * OFFER_IMAGE_SIZE)
                return rs_fail(err, PROTOCOL, "answer to OFFER: %u images in %zu bytes", o.n_images, p.size);
        for (uint32_t i = 0; i < o.n_images; i++) {
                if (reader_u32(&r) != i)
                        r.failed = true;
                o.images[i].wanted = field_take_bool(&r);
                field_take_text(&r, o.images[i].slot_name, WRITER_NAME_SIZE);
        }
        k = field_finish(&r, "answer to OFFER", err);
        if (k < 0)
                return k;
        *ret = o;
        return 0;
}

/* -- TABLE ------------------------------------------------------------------------------------------------------ */

void writer_encode_table_request(Encoder *e, uint32_t image, uint32_t size) {
        encoder_u32(e, image);
        encoder_u32(e, size);
}

int writer_decode_table_request(Span p, uint32_t *ret_image, uint32_t *ret_size, RsError *err) {
        Reader r = READER(p);
        uint32_t image = reader_u32(&r), size = reader_u32(&r);

        if (reader_finish(&r) < 0 || image >= RS_IMAGES_MAX || size == 0 || size > RS_TABLE_SIZE_MAX)
                return rs_fail(err, PROTOCOL, "TABLE: image %u, %u bytes", image, size);
        *ret_image = image;
        *ret_size = size;
        return 0;
}

void writer_encode_ranges(Encoder *e, uint32_t next_frame, const WriterRange *ranges, uint32_t n) {
        encoder_u32(e, next_frame);
        encoder_u32(e, n);
        for (uint32_t i = 0; i < n; i++) {
                encoder_u32(e, ranges[i].first);
                encoder_u32(e, ranges[i].count);
        }
}

/* Ranges ascend, are not empty and do not touch the next one: a reader may then skip without further thought. */
int writer_decode_ranges(Span p, uint32_t *ret_next, WriterRange *ret, uint32_t max, uint32_t *ret_n, RsError *err) {
        Reader r = READER(p);
        uint32_t next = reader_u32(&r), n = reader_u32(&r);
        uint64_t end = 0;
        Reader again;

        if (n > max || n > WRITER_RANGES_MAX || r.rest.size != (size_t) n * 8u)
                return rs_fail(err, PROTOCOL, "answer to TABLE: %u ranges in %zu bytes", n, p.size);
        again = r;
        for (uint32_t i = 0; i < n; i++) {
                uint64_t first = reader_u32(&r), count = reader_u32(&r);

                if (count == 0 || (i > 0 && first <= end) || first + count > RS_CHUNKS_MAX)
                        r.failed = true;
                end = first + count;
        }
        if (reader_finish(&r) < 0 || next > RS_CHUNKS_MAX)
                return rs_fail(err, PROTOCOL, "answer to TABLE: ranges are not in order");
        for (uint32_t i = 0; i < n; i++) {
                ret[i].first = reader_u32(&again);
                ret[i].count = reader_u32(&again);
        }
        *ret_next = next;
        *ret_n = n;
        return 0;
}

/* -- RING and FRAME --------------------------------------------------------------------------------------------- */

void writer_encode_ring(Encoder *e) {
        encoder_u32(e, WRITER_FRAMES_OUTSTANDING_MAX);
        encoder_u32(e, RS_FRAME_SIZE_MAX);
}

int writer_decode_ring(Span p, RsError *err) {
        Reader r = READER(p);
        uint32_t slots = reader_u32(&r), size = reader_u32(&r);

        if (reader_finish(&r) < 0 || slots != WRITER_FRAMES_OUTSTANDING_MAX || size != RS_FRAME_SIZE_MAX)
                return rs_fail(err, PROTOCOL, "answer to RING: %u slots of %u bytes", slots, size);
        return 0;
}

void writer_encode_frame_request(Encoder *e, const WriterFrame *f) {
        encoder_u32(e, f->image);
        encoder_u32(e, f->frame);
        encoder_u32(e, f->ring_slot);
        encoder_u32(e, f->size);
}

int writer_decode_frame_request(Span p, WriterFrame *ret, RsError *err) {
        Reader r = READER(p);
        WriterFrame f = { 0 };

        f.image = reader_u32(&r);
        f.frame = reader_u32(&r);
        f.ring_slot = reader_u32(&r);
        f.size = reader_u32(&r);
        if (reader_finish(&r) < 0 || f.image >= RS_IMAGES_MAX || f.frame >= RS_CHUNKS_MAX || f.size == 0 ||
            f.size > RS_FRAME_SIZE_MAX || f.size % RS_BLOCK_SIZE != 0 ||
            (f.ring_slot != WRITER_NO_RING_SLOT && f.ring_slot >= WRITER_FRAMES_OUTSTANDING_MAX))
                return rs_fail(err, PROTOCOL, "FRAME: image %u, frame %u, ring slot %u, %u bytes", f.image, f.frame,
                               f.ring_slot, f.size);
        *ret = f;
        return 0;
}

void writer_encode_frame(Encoder *e, uint32_t image, uint32_t frame) {
        encoder_u32(e, image);
        encoder_u32(e, frame);
}

int writer_decode_frame(Span p, uint32_t *ret_image, uint32_t *ret_frame, RsError *err) {
        Reader r = READER(p);
        uint32_t image = reader_u32(&r), frame = reader_u32(&r);
        int k = field_finish(&r, "answer to FRAME", err);

        if (k < 0)
                return k;
        *ret_image = image;
        *ret_frame = frame;
        return 0;
}

/* -- FINISH and MARK -------------------------------------------------------------------------------------------- */

void writer_encode_name(Encoder *e, const char *name) {
        field_put_text(e, name, WRITER_NAME_SIZE);
}

int writer_decode_name(Span p, char ret_name[WRITER_NAME_SIZE + 1], RsError *err) {
        char name[WRITER_NAME_SIZE + 1];
        Reader r = READER(p);
        int k;

        field_take_text(&r, name, WRITER_NAME_SIZE);
        k = field_finish(&r, "name", err);
        if (k < 0)
                return k;
        memcpy(ret_name, name, sizeof(name));
        return 0;
}

void writer_encode_mark_request(Encoder *e, uint32_t what, const char *slot_name) {
        encoder_u32(e, what);
        field_put_text(e, slot_name, WRITER_NAME_SIZE);
}

int writer_decode_mark_request(Span p, WriterMark *ret_what, bool *ret_below, char ret_name[WRITER_NAME_SIZE + 1],
                               RsError *err) {
        char name[WRITER_NAME_SIZE + 1];
        Reader r = READER(p);
        uint32_t what = reader_u32(&r);
        bool below = (what & WRITER_MARK_BELOW) != 0;

        what &= ~WRITER_MARK_BELOW;
        field_take_text(&r, name, WRITER_NAME_SIZE);
        if (reader_finish(&r) < 0 || what < WRITER_MARK_GOOD || what > WRITER_MARK_ACTIVE)
                return rs_fail(err, PROTOCOL, "MARK: not well-formed");
        *ret_what = (WriterMark) what;
        *ret_below = below;
        memcpy(ret_name, name, sizeof(name));
        return 0;
}

/* -- REJECT ----------------------------------------------------------------------------------------------------- */

void writer_encode_reject_request(Encoder *e, const char *report) {
        field_put_text(e, report, WRITER_REPORT_SIZE);
}

int writer_decode_reject_request(Span p, char ret_report[WRITER_REPORT_SIZE + 1], RsError *err) {
        char report[WRITER_REPORT_SIZE + 1];
        Reader r = READER(p);
        int k;

        field_take_text(&r, report, WRITER_REPORT_SIZE);
        k = field_finish(&r, "REJECT", err);
        if (k < 0)
                return k;
        memcpy(ret_report, report, sizeof(report));
        return 0;
}

/* -- PROGRESS --------------------------------------------------------------------------------------------------- */

void writer_encode_progress(Encoder *e, const WriterProgress *p) {
        encoder_u32(e, p->step);
        encoder_u32(e, p->image);
        encoder_u64(e, p->done_bytes);
        encoder_u64(e, p->total_bytes);
}

int writer_decode_progress(Span p, WriterProgress *ret, RsError *err) {
        WriterProgress progress = { 0 };
        Reader r = READER(p);
        int k;

        progress.step = reader_u32(&r);
        progress.image = reader_u32(&r);
        progress.done_bytes = reader_u64(&r);
        progress.total_bytes = reader_u64(&r);
        k = field_finish(&r, "PROGRESS", err);
        if (k < 0)
                return k;
        *ret = progress;
        return 0;
}
