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
 * The chain part's bytes are made and read in one place, format/link.c, for bundles and TPM alike.
 *
 * Reserved bytes that are not zero are refused: they would be a later format whose meaning we would miss.
 */
#include <string.h>

#include <reseal/base/span.h>
#include <reseal/crypto/digest.h>

#include "record.h"

#define SUMMED_SIZE (NV_RECORD_SIZE - TPM_DIGEST_SIZE)
#define VERSION 1u
#define STATE_EMPTY 0x01u

static const char state_magic[4] = { 'R', 'S', 'S', '1' };

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

int tpm_record_chain(const TpmRecord *record, ChainRecord *ret, RsError *err) {
        ChainRecord chain = { .flags = record->chain_flags,
                              .epoch = record->epoch,
                              .index = record->release };
        int r;

        r = line_tag_of(record, chain.line_tag, err);
        if (r < 0)
                return r;
        memcpy(chain.signer_spki, record->signer_spki, sizeof(chain.signer_spki));
        memcpy(chain.manifest_digest, record->manifest_digest, sizeof(chain.manifest_digest));
        memcpy(chain.log_head, record->log_head, sizeof(chain.log_head));
        *ret = chain;
        return 0;
}

void tpm_record_set_chain(TpmRecord *record, const ChainRecord *chain) {
        record->empty = false;
        record->line[0] = '\0';
        memcpy(record->line_tag, chain->line_tag, sizeof(record->line_tag));
        record->chain_flags = chain->flags;
        record->epoch = chain->epoch;
        record->release = chain->index;
        memcpy(record->signer_spki, chain->signer_spki, sizeof(record->signer_spki));
        memcpy(record->manifest_digest, chain->manifest_digest, sizeof(record->manifest_digest));
        memcpy(record->log_head, chain->log_head, sizeof(record->log_head));
}

int nv_record_encode(const TpmRecord *record, uint64_t counter, uint8_t ret[NV_RECORD_SIZE], RsError *err) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        uint8_t chain_bytes[LINK_RECORD_SIZE], digest[TPM_DIGEST_SIZE];
        ChainRecord chain;
        int r;

        r = tpm_record_chain(record, &chain, err);
        if (r < 0)
                return r;
        chain_record_encode(&chain, chain_bytes);
        encoder_bytes(&e, chain_bytes, sizeof(chain_bytes));
        encoder_bytes(&e, state_magic, sizeof(state_magic));
        encoder_u8(&e, VERSION);
        encoder_u8(&e, record->empty ? STATE_EMPTY : 0);
        encoder_zeros(&e, 2);
        encoder_u64(&e, counter);
        encoder_u32(&e, record->floor_epoch);
        encoder_u32(&e, (uint32_t) (record->time_base / 60 <= UINT32_MAX ? record->time_base / 60 : UINT32_MAX));
        encoder_u64(&e, record->crl_number);
        encoder_u64(&e, record->time_floor);
        encoder_u64(&e, record->trust_version);
        encoder_bytes(&e, record->trust_tag, sizeof(record->trust_tag));
        if (encoder_finish(&e) < 0)
                return rs_fail_oom(err);
        r = digest_sha256(encoder_view(&e), digest, err);
        if (r < 0)
                return r;
        memcpy(ret, e.data, SUMMED_SIZE);
        memcpy(ret + SUMMED_SIZE, digest, sizeof(digest));
        return 0;
}

int nv_record_parse(const uint8_t bytes[NV_RECORD_SIZE], TpmRecord *ret, uint64_t *ret_counter, RsError *err) {
        Reader r = READER(SPAN(bytes + LINK_RECORD_SIZE, SUMMED_SIZE - LINK_RECORD_SIZE));
        RsError unknown = RS_ERROR_INIT;
        ChainRecord chain;
        uint8_t digest[TPM_DIGEST_SIZE];
        char magic[sizeof(state_magic)];
        TpmRecord record = { 0 };
        uint64_t counter;
        uint8_t flags;
        int k;

        k = digest_sha256(SPAN(bytes, SUMMED_SIZE), digest, err);
        if (k < 0)
                return k;
        if (memcmp(digest, bytes + SUMMED_SIZE, sizeof(digest)) != 0)
                return rs_fail(err, TPM_STATE, "a state record in the TPM is damaged");
        if (chain_record_parse(bytes, &chain, &unknown) < 0)
                return rs_fail(err, TPM_STATE, "a state record in the TPM: %s", unknown.text);
        tpm_record_set_chain(&record, &chain);
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
        record.time_base = (uint64_t) reader_u32(&r) * 60;
        record.crl_number = reader_u64(&r);
        record.time_floor = reader_u64(&r);
        record.trust_version = reader_u64(&r);
        reader_copy(&r, record.trust_tag, sizeof(record.trust_tag));
        if (reader_finish(&r) < 0)
                return rs_fail(err, TPM_STATE, "a state record in the TPM is of an unknown format");
        *ret = record;
        *ret_counter = counter;
        return 0;
}
