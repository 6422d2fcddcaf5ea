/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * authority - the bytes of docs/format-chain.md section 7.
 *
 * One spelling, as a link has: fixed order, nothing optional but signatures that a ceremony has not made
 * yet.  It names the
 * value it replaces, so that a replacement that was once right cannot be played again later to bring an
 * authority back.
 */
#include <string.h>

#include <reseal/format/authority.h>

#define MAGIC "RESEALA1"
#define FIXED (8u + 4u + 2u * AUTHORITY_POLICY_SIZE)
#define N_FIELDS 5u

static void fields_of(AuthorityChange *c, Span *ret[N_FIELDS]) {
        ret[0] = &c->authority;
        ret[1] = &c->endorser;
        ret[2] = &c->approver;
        ret[3] = &c->endorsement;
        ret[4] = &c->approval;
}

int authority_change_parse(Span bytes, AuthorityChange *ret, RsError *err) {
        AuthorityChange c = { 0 };
        Span magic, *fields[N_FIELDS];
        Reader r = READER(bytes);

        if (bytes.size > AUTHORITY_CHANGE_MAX)
                return rs_fail(err, CHAIN, "authority replacement: %zu bytes", bytes.size);
        magic = reader_span(&r, 8);
        if (!span_equal(magic, SPAN(MAGIC, 8)))
                return rs_fail(err, CHAIN, "not an authority replacement");
        if (reader_u32(&r) != bytes.size)
                return rs_fail(err, CHAIN, "authority replacement: another length than it says");
        reader_copy(&r, c.before, sizeof(c.before));
        reader_copy(&r, c.after, sizeof(c.after));
        fields_of(&c, fields);
        for (unsigned i = 0; i < N_FIELDS; i++)
                *fields[i] = reader_span(&r, reader_u16(&r));
        if (reader_finish(&r) < 0 || c.authority.size == 0 || c.endorser.size == 0 || c.approver.size == 0)
                return rs_fail(err, CHAIN, "authority replacement: fields do not fill it");
        *ret = c;
        return 0;
}

int authority_change_encode(const AuthorityChange *change, Encoder *e, RsError *err) {
        AuthorityChange c = *change;
        Span *fields[N_FIELDS];
        size_t size = FIXED;

        fields_of(&c, fields);
        for (unsigned i = 0; i < N_FIELDS; i++)
                size += 2 + fields[i]->size;
        if (size > AUTHORITY_CHANGE_MAX)
                return rs_fail(err, CHAIN, "authority replacement: %zu bytes", size);
        encoder_bytes(e, MAGIC, 8);
        encoder_u32(e, (uint32_t) size);
        encoder_bytes(e, c.before, sizeof(c.before));
        encoder_bytes(e, c.after, sizeof(c.after));
        for (unsigned i = 0; i < N_FIELDS; i++) {
                encoder_u16(e, (uint16_t) fields[i]->size);
                encoder_span(e, *fields[i]);
        }
        return encoder_finish(e) < 0 ? rs_fail_oom(err) : 0;
}
