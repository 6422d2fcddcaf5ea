/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * link - the bytes of docs/format-chain.md section 2, and the chain part of a record.
 *
 * A link is carried for years and signed five times over, so it has one spelling: a fixed order of fields, no
 * optional ones, reserved bytes zero.  What encodes back to the same bytes is the only thing that parses, and two
 * devices that hold the same link hold the same bytes.
 *
 * The chain part of the record is here and nowhere else: the device derives from a link exactly what its TPM
 * will hold (F24), and the TPM room writes the same 160 bytes.  Its CRC is no protection, it tells a record from an
 * index that somebody filled with something else.
 */
#include <string.h>

#include <reseal/format/link.h>

#define LINK_MAGIC "RESEALK1"
#define LINK_LENGTH_AT 12u
#define LINK_RECORD_AT 16u
#define LINK_FIXED (8u + 4u + 4u + LINK_RECORD_SIZE + LINK_NAME_SIZE + 2u)
#define N_FIELDS 7u

#define RECORD_MAGIC "RSL1"
#define RECORD_VERSION 1u
#define RECORD_SUMMED 156u

/* CRC-32 of IEEE 802.3 (reflected, 0xEDB88320), bit by bit: 156 bytes, a few times per installation. */
static uint32_t crc32_of(const uint8_t *bytes, size_t size) {
        uint32_t crc = UINT32_MAX;

        for (size_t i = 0; i < size; i++) {
                crc ^= bytes[i];
                for (int bit = 0; bit < 8; bit++)
                        crc = (crc >> 1) ^ (crc & 1 ? UINT32_C(0xedb88320) : 0);
        }
        return ~crc;
}

static void put(uint8_t *at, uint64_t v, size_t size) {
        for (size_t i = size; i > 0; i--) {
                at[i - 1] = (uint8_t) v;
                v >>= 8;
        }
}

void chain_record_encode(const ChainRecord *record, uint8_t ret[LINK_RECORD_SIZE]) {
        memset(ret, 0, LINK_RECORD_SIZE);
        memcpy(ret, RECORD_MAGIC, 4);
        ret[4] = RECORD_VERSION;
        ret[5] = record->flags;
        memcpy(ret + 8, record->line_tag, 16);
        put(ret + 24, record->epoch, 4);
        put(ret + 32, record->index, 8);
        memcpy(ret + 40, record->signer_spki, 32);
        memcpy(ret + 72, record->manifest_digest, 32);
        memcpy(ret + 104, record->log_head, 32);
        put(ret + RECORD_SUMMED, crc32_of(ret, RECORD_SUMMED), 4);
}

int chain_record_parse(const uint8_t bytes[LINK_RECORD_SIZE], ChainRecord *ret, RsError *err) {
        Reader r = READER(SPAN(bytes, LINK_RECORD_SIZE));
        ChainRecord record = { 0 };
        uint8_t version;
        uint32_t crc;
        Span magic;

        magic = reader_span(&r, 4);
        version = reader_u8(&r);
        if (!span_equal(magic, SPAN(RECORD_MAGIC, 4)) || version != RECORD_VERSION)
                return rs_fail(err, CHAIN, "chain record: not one, or of an unknown version");
        record.flags = reader_u8(&r);
        reader_zeros(&r, 2);
        reader_copy(&r, record.line_tag, sizeof(record.line_tag));
        record.epoch = reader_u32(&r);
        reader_zeros(&r, 4);
        record.index = reader_u64(&r);
        reader_copy(&r, record.signer_spki, sizeof(record.signer_spki));
        reader_copy(&r, record.manifest_digest, sizeof(record.manifest_digest));
        reader_copy(&r, record.log_head, sizeof(record.log_head));
        reader_zeros(&r, 20);
        crc = reader_u32(&r);
        if (reader_finish(&r) < 0 || (record.flags & (uint8_t) ~CHAIN_RECORD_BRIDGED) != 0)
                return rs_fail(err, CHAIN, "chain record: reserved bytes are not zero");
        if (crc != crc32_of(bytes, RECORD_SUMMED))
                return rs_fail(err, CHAIN, "chain record: checksum");
        *ret = record;
        return 0;
}

/* The fields behind the fixed part, in their order. */
static void fields_of(Link *link, Span *ret[N_FIELDS]) {
        ret[0] = &link->signer;
        ret[1] = &link->authority;
        ret[2] = &link->endorser;
        ret[3] = &link->endorser2;
        ret[4] = &link->endorsement;
        ret[5] = &link->approval;
        ret[6] = &link->possession;
}

/* What the kind demands of the fields; signatures may be missing, then it is a draft. */
static int check_shape(const Link *link, RsError *err) {
        bool bridge = link->kind == LINK_BRIDGE, genesis = link->kind == LINK_GENESIS;

        if (link->kind < LINK_NEXT || link->kind > LINK_GENESIS)
                return rs_fail(err, CHAIN, "link: kind %u is not known", (unsigned) link->kind);
        if (link->record.flags != (bridge ? CHAIN_RECORD_BRIDGED : 0))
                return rs_fail(err, CHAIN, "link: flags of the record do not fit the kind");
        if (link->record.index < 1 || link->record.index > LINK_INDEX_MAX || link->record.epoch > LINK_EPOCH_MAX)
                return rs_fail(err, CHAIN, "link: index or epoch out of range");
        if (link->signer.size == 0 || link->authority.size == 0)
                return rs_fail(err, CHAIN, "link %llu: a certificate is missing",
                               (unsigned long long) link->record.index);
        if ((link->endorser.size == 0) != genesis || (link->endorser2.size == 0) == bridge ||
            (genesis && link->endorsement.size > 0))
                return rs_fail(err, CHAIN, "link %llu: its fields do not fit its kind",
                               (unsigned long long) link->record.index);
        return 0;
}

static int parse_fields(Reader *r, Link *link, RsError *err) {
        Span *fields[N_FIELDS];

        fields_of(link, fields);
        for (unsigned i = 0; i < N_FIELDS; i++) {
                if (i == N_FIELDS - 1) /* the last field signs what stands before it, but not the length of the whole */
                        link->possessed = SPAN(link->bytes.data + LINK_RECORD_AT,
                                               link->bytes.size - r->rest.size - LINK_RECORD_AT);
                *fields[i] = reader_span(r, reader_u16(r));
        }
        if (reader_finish(r) < 0)
                return rs_fail(err, CHAIN, "link: its fields do not fill its length");
        return 0;
}

int link_parse(Span bytes, Link *ret, RsError *err) {
        Reader r = READER(bytes);
        Link link = { .bytes = bytes };
        uint32_t length;
        uint8_t kind;
        Span magic;
        int q;

        if (bytes.size < LINK_FIXED || bytes.size > LINK_MAX)
                return rs_fail(err, CHAIN, "link: %zu bytes, must have %u to %u", bytes.size, LINK_FIXED, LINK_MAX);
        magic = reader_span(&r, 8);
        if (!span_equal(magic, SPAN(LINK_MAGIC, 8)))
                return rs_fail(err, CHAIN, "link: bad magic");
        kind = reader_u8(&r);
        reader_zeros(&r, 3);
        length = reader_u32(&r);
        reader_copy(&r, link.record_bytes, sizeof(link.record_bytes));
        reader_copy(&r, link.chain_name, sizeof(link.chain_name));
        reader_zeros(&r, 2);
        if (reader_failed(&r))
                return rs_fail(err, CHAIN, "link: reserved bytes are not zero");
        if (length != bytes.size)
                return rs_fail(err, CHAIN, "link: says %u bytes, has %zu", length, bytes.size);
        q = chain_record_parse(link.record_bytes, &link.record, err);
        if (q < 0)
                return rs_context(err, "link");
        q = parse_fields(&r, &link, err);
        if (q < 0)
                return q;
        link.kind = (LinkKind) kind;
        q = check_shape(&link, err);
        if (q < 0)
                return q;
        *ret = link;
        return 0;
}

int link_encode(const Link *link, Encoder *e, RsError *err) {
        Link copy = *link; /* fields_of() hands out where they are to be put as well */
        uint8_t record[LINK_RECORD_SIZE];
        size_t length = LINK_FIXED;
        Span *fields[N_FIELDS];
        int r;

        r = check_shape(link, err);
        if (r < 0)
                return r;
        fields_of(&copy, fields);
        for (unsigned i = 0; i < N_FIELDS; i++) {
                if (fields[i]->size > LINK_MAX)
                        return rs_fail(err, CHAIN, "link: a field of %zu bytes", fields[i]->size);
                length += 2 + fields[i]->size;
        }
        if (length > LINK_MAX)
                return rs_fail(err, CHAIN, "link: %zu bytes, limit %u", length, LINK_MAX);
        chain_record_encode(&link->record, record);
        encoder_bytes(e, LINK_MAGIC, 8);
        encoder_u8(e, (uint8_t) link->kind);
        encoder_zeros(e, 3);
        encoder_u32(e, (uint32_t) length);
        encoder_bytes(e, record, sizeof(record));
        encoder_bytes(e, link->chain_name, sizeof(link->chain_name));
        encoder_zeros(e, 2);
        for (unsigned i = 0; i < N_FIELDS; i++) {
                encoder_u16(e, (uint16_t) fields[i]->size);
                encoder_span(e, *fields[i]);
        }
        return encoder_finish(e) < 0 ? rs_fail_oom(err) : 0;
}

bool chain_record_same_release(const ChainRecord *a, const ChainRecord *b) {
        uint8_t one[LINK_RECORD_SIZE], two[LINK_RECORD_SIZE];

        chain_record_encode(a, one);
        chain_record_encode(b, two);
        if (memcmp(one + 8, two + 8, 104 - 8) != 0)
                return false;
        return a->flags != b->flags || memcmp(a->log_head, b->log_head, sizeof(a->log_head)) == 0;
}

/* The next link of a set: its length stands in it, and is held against the cap and the set before it is used. */
static int next_of_set(Reader *r, Link *ret, RsError *err) {
        Reader ahead = *r;
        uint32_t length;
        Span bytes;

        (void) reader_span(&ahead, LINK_LENGTH_AT);
        length = reader_u32(&ahead);
        if (reader_failed(&ahead) || length < LINK_FIXED || length > LINK_MAX || length > r->rest.size)
                return rs_fail(err, CHAIN, "link set: ends within a link");
        bytes = reader_span(r, length);
        return link_parse(bytes, ret, err);
}

/* Ascending; one index may stand there as link and as bridge, or twice the same. */
static int check_order(const Link *before, const Link *link, RsError *err) {
        if (link->record.index < before->record.index)
                return rs_fail(err, CHAIN, "link set: %llu stands behind %llu",
                               (unsigned long long) link->record.index, (unsigned long long) before->record.index);
        return 0;
}

int link_set_walk(Span set, int (*each)(void *userdata, const Link *link, RsError *err), void *userdata,
                  RsError *err) {
        Reader r = READER(set);
        Link before = { 0 };
        uint32_t n;
        int q;

        if (set.size == 0)
                return 0;
        if (set.size > LINK_SET_MAX)
                return rs_fail(err, CHAIN, "link set: %zu bytes, limit %u", set.size, LINK_SET_MAX);
        n = reader_u32(&r);
        if (reader_failed(&r) || n > LINK_SET_COUNT_MAX)
                return rs_fail(err, CHAIN, "link set: %u links, limit %u", n, LINK_SET_COUNT_MAX);
        for (uint32_t i = 0; i < n; i++) {
                Link link;

                q = next_of_set(&r, &link, err);
                if (q < 0)
                        return q;
                q = check_order(&before, &link, err);
                if (q < 0)
                        return q;
                q = each(userdata, &link, err);
                if (q < 0)
                        return q;
                before = link;
        }
        if (reader_finish(&r) < 0)
                return rs_fail(err, CHAIN, "link set: bytes behind the last link");
        return 0;
}

int link_set_encode(const Span *links, uint32_t n, Encoder *e, RsError *err) {
        Link before = { 0 };
        size_t size = 4;

        if (n > LINK_SET_COUNT_MAX)
                return rs_fail(err, CHAIN, "link set: %u links, limit %u", n, LINK_SET_COUNT_MAX);
        encoder_u32(e, n);
        for (uint32_t i = 0; i < n; i++) {
                Link link;
                int r;

                r = link_parse(links[i], &link, err);
                if (r < 0)
                        return r;
                r = check_order(&before, &link, err);
                if (r < 0)
                        return r;
                size += links[i].size;
                if (size > LINK_SET_MAX)
                        return rs_fail(err, CHAIN, "link set: limit of %u bytes", LINK_SET_MAX);
                encoder_span(e, links[i]);
                before = link;
        }
        return encoder_finish(e) < 0 ? rs_fail_oom(err) : 0;
}
