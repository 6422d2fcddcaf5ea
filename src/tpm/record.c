/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * record - the 256 bytes of an NV record: chain part (160, frozen) and state part.
 *
 * The chain part is the same on every device of a line, because a later protection level lets the TPM itself
 * compare it (its digest becomes part of a policy); nothing device-specific may go there, and its reserved
 * bytes stay zero.  The state part belongs to the device.  The SHA-256 at the end covers both and finds a
 * write that was cut: a chip need not write 256 bytes at once.  Whether a whole record is *valid* is another
 * question: its counter must equal ACCEPT (state.c).
 *
 * Reserved bytes that are not zero are refused: they would be a later format whose meaning we would miss.
 */
#include <string.h>

#include <reseal/base/span.h>
#include <reseal/crypto/digest.h>

#include "record.h"

#define CHAIN_SIZE 160u
#define CHAIN_SUMMED 156u
#define SUMMED_SIZE (NV_RECORD_SIZE - TPM_DIGEST_SIZE)
#define VERSION 1u
#define STATE_EMPTY 0x01u

static const char chain_magic[4] = { 'R', 'S', 'L', '1' };
static const char state_magic[4] = { 'R', 'S', 'S', '1' };

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

static int line_tag_of(const TpmRecord *record, uint8_t ret[16], RsError *err) {
        uint8_t digest[SHA256_SIZE];
        int r;

        if (record->line[0] == '\0') {
                memcpy(ret, record->line_tag, 16);
                return 0;
        }
        r = digest_sha256(SPAN(record->line, strnlen(record->line, sizeof(record->line))), digest, err);
        if (r < 0)
                return r;
        memcpy(ret, digest, 16);
        return 0;
}

static void encode_chain(Encoder *e, const TpmRecord *record, const uint8_t line_tag[16]) {
        encoder_bytes(e, chain_magic, sizeof(chain_magic));
        encoder_u8(e, VERSION);
        encoder_u8(e, 0);
        encoder_zeros(e, 2);
        encoder_bytes(e, line_tag, 16);
        encoder_u32(e, record->epoch);
        encoder_zeros(e, 4);
        encoder_u64(e, record->release);
        encoder_bytes(e, record->signer_spki, sizeof(record->signer_spki));
        encoder_bytes(e, record->manifest_digest, sizeof(record->manifest_digest));
        encoder_zeros(e, 32 + 20); /* log head, reserved */
        if (encoder_finish(e) == 0)
                encoder_u32(e, crc32_of(e->data, CHAIN_SUMMED));
}

int record_encode(const TpmRecord *record, uint64_t counter, uint8_t ret[NV_RECORD_SIZE], RsError *err) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        uint8_t tag[16], digest[TPM_DIGEST_SIZE];
        int r;

        r = line_tag_of(record, tag, err);
        if (r < 0)
                return r;
        encode_chain(&e, record, tag);
        encoder_bytes(&e, state_magic, sizeof(state_magic));
        encoder_u8(&e, VERSION);
        encoder_u8(&e, record->empty ? STATE_EMPTY : 0);
        encoder_zeros(&e, 2);
        encoder_u64(&e, counter);
        encoder_u32(&e, record->floor_epoch);
        encoder_zeros(&e, 4);
        encoder_u64(&e, record->crl_number);
        encoder_u64(&e, record->time_floor);
        encoder_u64(&e, record->trust_version);
        encoder_zeros(&e, 16);
        if (encoder_finish(&e) < 0)
                return rs_fail_oom(err);
        r = digest_sha256(encoder_view(&e), digest, err);
        if (r < 0)
                return r;
        memcpy(ret, e.data, SUMMED_SIZE);
        memcpy(ret + SUMMED_SIZE, digest, sizeof(digest));
        return 0;
}

static void parse_chain(Reader *r, TpmRecord *record) {
        char magic[sizeof(chain_magic)];

        reader_copy(r, magic, sizeof(magic));
        if (memcmp(magic, chain_magic, sizeof(magic)) != 0 || reader_u8(r) != VERSION)
                r->failed = true;
        reader_zeros(r, 1 + 2); /* flags: bridges and checkpoints are not written by this version */
        reader_copy(r, record->line_tag, sizeof(record->line_tag));
        record->epoch = reader_u32(r);
        reader_zeros(r, 4);
        record->release = reader_u64(r);
        reader_copy(r, record->signer_spki, sizeof(record->signer_spki));
        reader_copy(r, record->manifest_digest, sizeof(record->manifest_digest));
        reader_zeros(r, 32 + 20);
        (void) reader_u32(r); /* compared by the caller */
}

int record_parse(const uint8_t bytes[NV_RECORD_SIZE], TpmRecord *ret, uint64_t *ret_counter, RsError *err) {
        Reader r = READER(SPAN(bytes, SUMMED_SIZE));
        Reader crc = READER(SPAN(bytes + CHAIN_SUMMED, 4));
        uint8_t digest[TPM_DIGEST_SIZE];
        char magic[sizeof(state_magic)];
        TpmRecord record = { 0 };
        uint64_t counter;
        uint8_t flags;
        int k;

        k = digest_sha256(SPAN(bytes, SUMMED_SIZE), digest, err);
        if (k < 0)
                return k;
        if (memcmp(digest, bytes + SUMMED_SIZE, sizeof(digest)) != 0 ||
            reader_u32(&crc) != crc32_of(bytes, CHAIN_SUMMED))
                return rs_fail(err, TPM_STATE, "a state record in the TPM is damaged");
        parse_chain(&r, &record);
        reader_copy(&r, magic, sizeof(magic));
        if (memcmp(magic, state_magic, sizeof(magic)) != 0 || reader_u8(&r) != VERSION)
                r.failed = true;
        flags = reader_u8(&r);
        if (flags & (uint8_t) ~STATE_EMPTY)
                r.failed = true;
        record.empty = flags & STATE_EMPTY;
        reader_zeros(&r, 2);
        counter = reader_u64(&r);
        record.floor_epoch = reader_u32(&r);
        reader_zeros(&r, 4);
        record.crl_number = reader_u64(&r);
        record.time_floor = reader_u64(&r);
        record.trust_version = reader_u64(&r);
        reader_zeros(&r, 16);
        if (reader_finish(&r) < 0)
                return rs_fail(err, TPM_STATE, "a state record in the TPM is of an unknown format");
        *ret = record;
        *ret_counter = counter;
        return 0;
}
