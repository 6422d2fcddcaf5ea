/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * log-head - the running digest over all records of a line: two devices with the same record have the same history.
 *
 * It covers the record up to and including the manifest digest, not itself and not the CRC, so a record and the head
 * before it give the head behind it (docs/format-chain.md, section 2).  The way is left out (flags 0): a bridge and the
 * link to the same release then have the same head, and the link that follows fits behind both.
 */
#include <string.h>

#include <reseal/crypto/digest.h>
#include <reseal/trust/chain.h>

#define COVERED 104u

int chain_log_head(const uint8_t before[32], const ChainRecord *record, uint8_t ret[32], RsError *err) {
        uint8_t bytes[32 + LINK_RECORD_SIZE];
        ChainRecord release = *record;

        release.flags = 0;
        memcpy(bytes, before, 32);
        chain_record_encode(&release, bytes + 32);
        return digest_sha256(SPAN(bytes, 32 + COVERED), ret, err);
}
