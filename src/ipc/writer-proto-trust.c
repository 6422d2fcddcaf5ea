/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * writer-proto-trust - the payloads of TIME, EVIDENCE, TRUST and ANCHORS; see writer-proto.c for the rules.
 */
#include <string.h>

#include <reseal/ipc/writer-proto.h>

#include "fields.h"

#define TEXT_SIZE 200u
#define ISSUER_SIZE 160u

#define TRUST_EMPTY 0x1u
#define TRUST_BRIDGED 0x2u
#define TRUST_BELOW 0x4u
#define TRUST_PROVEN 0x8u
#define TRUST_FRESH 0x10u
#define TRUST_OWNER_AUTH 0x20u
#define TRUST_LOCKOUT_AUTH 0x40u
#define TRUST_PLATFORM_OPEN 0x80u
#define TRUST_IN_LOCKOUT 0x100u
#define TRUST_SIGNER_REVOKED 0x200u
#define TRUST_ALL 0x3ffu

/* -- TIME ------------------------------------------------------------------------------------------------------- */

void writer_encode_time(Encoder *e, const WriterTime *t) {
        encoder_bytes(e, t->nonce, sizeof(t->nonce));
        encoder_u64(e, t->low);
        encoder_u64(e, t->high);
        encoder_u32(e, t->proven ? 1 : 0);
        encoder_u32(e, t->query_size);
        encoder_bytes(e, t->query, t->query_size);
}

int writer_decode_time(Span p, WriterTime *ret, RsError *err) {
        WriterTime t = { 0 };
        Reader r = READER(p);
        int k;

        reader_copy(&r, t.nonce, sizeof(t.nonce));
        t.low = reader_u64(&r);
        t.high = reader_u64(&r);
        t.proven = field_take_bool(&r);
        t.query_size = reader_u32(&r);
        if (t.query_size > sizeof(t.query) || t.low > t.high)
                r.failed = true;
        else
                reader_copy(&r, t.query, t.query_size);
        k = field_finish(&r, "answer to TIME", err);
        if (k < 0)
                return k;
        *ret = t;
        return 0;
}

/* -- EVIDENCE --------------------------------------------------------------------------------------------------- */

void writer_encode_evidence_request(Encoder *e, WriterEvidence kind, uint32_t size) {
        encoder_u32(e, (uint32_t) kind);
        encoder_u32(e, size);
}

int writer_decode_evidence_request(Span p, WriterEvidence *ret_kind, uint32_t *ret_size, RsError *err) {
        Reader r = READER(p);
        uint32_t kind = reader_u32(&r), size = reader_u32(&r);
        int k;

        if (kind < WRITER_EVIDENCE_LINKS || kind > WRITER_EVIDENCE_STATEMENT || size == 0 || size > WRITER_EVIDENCE_MAX)
                r.failed = true;
        k = field_finish(&r, "EVIDENCE", err);
        if (k < 0)
                return k;
        *ret_kind = (WriterEvidence) kind;
        *ret_size = size;
        return 0;
}

void writer_encode_evidence(Encoder *e, bool changed) {
        encoder_u32(e, changed ? 1 : 0);
}

int writer_decode_evidence(Span p, bool *ret_changed, RsError *err) {
        Reader r = READER(p);
        bool changed = field_take_bool(&r);
        int k = field_finish(&r, "answer to EVIDENCE", err);

        if (k < 0)
                return k;
        *ret_changed = changed;
        return 0;
}

/* -- TRUST ------------------------------------------------------------------------------------------------------ */

static uint32_t trust_flags(const WriterTrust *t) {
        return (t->empty ? TRUST_EMPTY : 0) | (t->bridged ? TRUST_BRIDGED : 0) | (t->running_below ? TRUST_BELOW : 0) |
               (t->proven ? TRUST_PROVEN : 0) | (t->fresh ? TRUST_FRESH : 0) |
               (t->owner_auth_set ? TRUST_OWNER_AUTH : 0) | (t->lockout_auth_set ? TRUST_LOCKOUT_AUTH : 0) |
               (t->platform_open ? TRUST_PLATFORM_OPEN : 0) | (t->in_lockout ? TRUST_IN_LOCKOUT : 0) |
               (t->signer_revoked ? TRUST_SIGNER_REVOKED : 0);
}

static void put_crls(Encoder *e, const WriterTrust *t) {
        encoder_u32(e, t->n_crls);
        for (uint32_t i = 0; i < t->n_crls; i++) {
                field_put_text(e, t->crls[i].issuer, ISSUER_SIZE);
                encoder_bytes(e, t->crls[i].issuer_key, sizeof(t->crls[i].issuer_key));
                encoder_u64(e, t->crls[i].number);
                encoder_u64(e, t->crls[i].this_update);
                encoder_u64(e, t->crls[i].next_update);
                encoder_u32(e, t->crls[i].n_revoked);
                encoder_u32(e, t->crls[i].stale ? 1 : 0);
        }
}

void writer_encode_trust(Encoder *e, const WriterTrust *t) {
        encoder_u32(e, t->reason);
        field_put_text(e, t->text, TEXT_SIZE);
        encoder_u32(e, trust_flags(t));
        encoder_u32(e, t->level);
        encoder_u64(e, t->release);
        encoder_u32(e, t->epoch);
        encoder_u32(e, t->floor_epoch);
        encoder_u64(e, t->accept);
        encoder_u64(e, t->floor);
        encoder_bytes(e, t->line_tag, sizeof(t->line_tag));
        encoder_bytes(e, t->signer_spki, sizeof(t->signer_spki));
        encoder_bytes(e, t->manifest, sizeof(t->manifest));
        encoder_bytes(e, t->log_head, sizeof(t->log_head));
        encoder_u64(e, t->trust_version);
        encoder_u64(e, t->crl_number);
        encoder_u64(e, t->time_floor);
        encoder_u64(e, t->running_release);
        encoder_u64(e, t->low);
        encoder_u64(e, t->high);
        encoder_u64(e, t->proof);
        encoder_u64(e, t->latest);
        encoder_u64(e, t->seq);
        encoder_u64(e, t->expires);
        encoder_u32(e, t->lockout_counter);
        encoder_u32(e, t->max_tries);
        put_crls(e, t);
}

static void take_flags(Reader *r, WriterTrust *t) {
        uint32_t flags = reader_u32(r);

        if (flags & ~TRUST_ALL)
                r->failed = true;
        t->empty = flags & TRUST_EMPTY;
        t->bridged = flags & TRUST_BRIDGED;
        t->running_below = flags & TRUST_BELOW;
        t->proven = flags & TRUST_PROVEN;
        t->fresh = flags & TRUST_FRESH;
        t->owner_auth_set = flags & TRUST_OWNER_AUTH;
        t->lockout_auth_set = flags & TRUST_LOCKOUT_AUTH;
        t->platform_open = flags & TRUST_PLATFORM_OPEN;
        t->in_lockout = flags & TRUST_IN_LOCKOUT;
        t->signer_revoked = flags & TRUST_SIGNER_REVOKED;
}

static void take_crls(Reader *r, WriterTrust *t) {
        t->n_crls = reader_u32(r);
        if (t->n_crls > WRITER_CRLS_MAX) {
                t->n_crls = 0;
                r->failed = true;
        }
        for (uint32_t i = 0; i < t->n_crls; i++) {
                field_take_text(r, t->crls[i].issuer, ISSUER_SIZE);
                reader_copy(r, t->crls[i].issuer_key, sizeof(t->crls[i].issuer_key));
                t->crls[i].number = reader_u64(r);
                t->crls[i].this_update = reader_u64(r);
                t->crls[i].next_update = reader_u64(r);
                t->crls[i].n_revoked = reader_u32(r);
                t->crls[i].stale = field_take_bool(r);
        }
}

int writer_decode_trust(Span p, WriterTrust *ret, RsError *err) {
        WriterTrust t = { 0 };
        Reader r = READER(p);
        int k;

        t.reason = reader_u32(&r);
        field_take_text(&r, t.text, TEXT_SIZE);
        take_flags(&r, &t);
        t.level = reader_u32(&r);
        t.release = reader_u64(&r);
        t.epoch = reader_u32(&r);
        t.floor_epoch = reader_u32(&r);
        t.accept = reader_u64(&r);
        t.floor = reader_u64(&r);
        reader_copy(&r, t.line_tag, sizeof(t.line_tag));
        reader_copy(&r, t.signer_spki, sizeof(t.signer_spki));
        reader_copy(&r, t.manifest, sizeof(t.manifest));
        reader_copy(&r, t.log_head, sizeof(t.log_head));
        t.trust_version = reader_u64(&r);
        t.crl_number = reader_u64(&r);
        t.time_floor = reader_u64(&r);
        t.running_release = reader_u64(&r);
        t.low = reader_u64(&r);
        t.high = reader_u64(&r);
        t.proof = reader_u64(&r);
        t.latest = reader_u64(&r);
        t.seq = reader_u64(&r);
        t.expires = reader_u64(&r);
        t.lockout_counter = reader_u32(&r);
        t.max_tries = reader_u32(&r);
        take_crls(&r, &t);
        if (t.level > 2 || t.reason >= _RS_REASON_MAX)
                r.failed = true;
        k = field_finish(&r, "answer to TRUST", err);
        if (k < 0)
                return k;
        *ret = t;
        return 0;
}

/* -- ANCHORS ---------------------------------------------------------------------------------------------------- */

void writer_encode_anchors(Encoder *e, uint32_t size) {
        encoder_u32(e, size);
}

int writer_decode_anchors(Span p, uint32_t *ret_size, RsError *err) {
        Reader r = READER(p);
        uint32_t size = reader_u32(&r);
        int k;

        if (size > WRITER_ANCHORS_MAX)
                r.failed = true;
        k = field_finish(&r, "answer to ANCHORS", err);
        if (k < 0)
                return k;
        *ret_size = size;
        return 0;
}
