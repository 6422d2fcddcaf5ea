/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * trust-area - two copies in turn, so that a cut between the new set and the TPM's commit leaves the old one.
 *
 * The area is the last MiB of a luks2 slot's header area, which no key slot reaches.  The writer can write it in every
 * slot but the running one, and an installation there goes around it: at each moment some slot that is not running
 * holds the set that the TPM's record names.  The initramfs looks into all slots of the map and lets the tag decide, so
 * whoever can write here (the writer, who has the disk) can at most take a copy away.
 *
 * The digest in the head tells a torn copy from a whole one and protects nothing.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/crypto/digest.h>
#include <reseal/format/limits.h>
#include <reseal/format/trust-set.h>
#include <reseal/slot/layout.h>
#include <reseal/slot/trust-area.h>

#include "medium.h"

#define MAGIC "RSTRUST1"
#define VERSION 1u
#define HEAD_USED 48u                  /* magic, version, length, digest */
#define PIECE_SIZE (64u << 10)

_Static_assert(RS_BLOCK_SIZE + TRUST_SET_CMS_MAX <= SLOT_TRUST_COPY, "the largest set fits");
_Static_assert(SLOT_TRUST_OFFSET + TRUST_AREA_COPIES * SLOT_TRUST_COPY == SLOT_DATA_OFFSET, "the area ends at the data");

static uint64_t copy_at(unsigned copy) {
        return SLOT_TRUST_OFFSET + (uint64_t) copy * SLOT_TRUST_COPY;
}

static size_t whole_blocks(size_t size) {
        return (size + RS_BLOCK_SIZE - 1) / RS_BLOCK_SIZE * RS_BLOCK_SIZE;
}

/* false: no head of ours. */
static bool parse_head(Span block, size_t *ret_size, uint8_t ret_digest[SHA256_SIZE]) {
        Reader r = READER(block);
        bool ours = span_equal(reader_span(&r, 8), SPAN(MAGIC, 8)) && reader_u32(&r) == VERSION;

        *ret_size = reader_u32(&r);
        reader_copy(&r, ret_digest, SHA256_SIZE);
        reader_zeros(&r, RS_BLOCK_SIZE - HEAD_USED);
        return reader_finish(&r) == 0 && ours && *ret_size > 0 && *ret_size <= TRUST_SET_CMS_MAX;
}

int trust_area_read(int fd, unsigned copy, uint8_t **ret, size_t *ret_size, RsError *err) {
        _cleanup_(freep) uint8_t *head = medium_buffer_new(RS_BLOCK_SIZE), *bytes = NULL;
        uint8_t want[SHA256_SIZE], have[SHA256_SIZE];
        size_t size;
        int r;

        if (!head)
                return rs_fail_oom(err);
        r = file_pread_all(fd, head, RS_BLOCK_SIZE, copy_at(copy), err);
        if (r < 0 || !parse_head(SPAN(head, RS_BLOCK_SIZE), &size, want))
                return r;
        bytes = medium_buffer_new(whole_blocks(size));
        if (!bytes)
                return rs_fail_oom(err);
        r = file_pread_all(fd, bytes, whole_blocks(size), copy_at(copy) + RS_BLOCK_SIZE, err);
        if (r == 0)
                r = digest_sha256(SPAN(bytes, size), have, err);
        if (r < 0 || memcmp(want, have, sizeof(want)) != 0)
                return r;
        *ret = TAKE_PTR(bytes);
        *ret_size = size;
        return 1;
}

/* 1: that copy holds these very bytes.  What cannot be read holds nothing. */
static bool holds(int fd, unsigned copy, Span set) {
        _cleanup_(freep) uint8_t *bytes = NULL;
        RsError ignored = RS_ERROR_INIT;
        size_t size = 0;

        return trust_area_read(fd, copy, &bytes, &size, &ignored) > 0 && span_equal(SPAN(bytes, size), set);
}

static int flush(int fd, RsError *err) {
        return fdatasync(fd) < 0 ? rs_fail_errno(err, errno, "flushing the trust area") : 0;
}

/* The set first, its head last: a cut between leaves no copy, and the other one. */
static int write_copy(int fd, unsigned copy, Span set, RsError *err) {
        _cleanup_(freep) uint8_t *head = medium_buffer_new(RS_BLOCK_SIZE), *bytes = NULL;
        Encoder e = ENCODER_INIT;
        uint8_t digest[SHA256_SIZE];
        int r;

        bytes = medium_buffer_new(whole_blocks(set.size));
        if (!head || !bytes)
                return rs_fail_oom(err);
        r = digest_sha256(set, digest, err);
        if (r < 0)
                return r;
        memset(bytes, 0, whole_blocks(set.size));
        memcpy(bytes, set.data, set.size);
        encoder_bytes(&e, MAGIC, 8);
        encoder_u32(&e, VERSION);
        encoder_u32(&e, (uint32_t) set.size);
        encoder_bytes(&e, digest, sizeof(digest));
        encoder_zeros(&e, RS_BLOCK_SIZE - HEAD_USED);
        if (encoder_finish(&e) < 0 || e.size != RS_BLOCK_SIZE) {
                encoder_done(&e);
                return rs_fail_oom(err);
        }
        memcpy(head, e.data, RS_BLOCK_SIZE);
        encoder_done(&e);
        r = file_pwrite_all(fd, bytes, whole_blocks(set.size), copy_at(copy) + RS_BLOCK_SIZE, err);
        if (r == 0)
                r = flush(fd, err);
        if (r == 0)
                r = file_pwrite_all(fd, head, RS_BLOCK_SIZE, copy_at(copy), err);
        return r < 0 ? r : flush(fd, err);
}

int trust_area_write(int fd, Span set, Span keep, RsError *err) {
        unsigned copy = 0;
        int r;

        if (set.size == 0 || set.size > TRUST_SET_CMS_MAX)
                return rs_fail(err, INTERNAL, "a trust set of %zu bytes", set.size);
        for (unsigned i = 0; i < TRUST_AREA_COPIES; i++)
                if (holds(fd, i, set)) /* perhaps in the medium's cache only: the TPM is told behind this */
                        return flush(fd, err);
        if (keep.size > 0 && holds(fd, 0, keep))
                copy = 1;
        r = write_copy(fd, copy, set, err);
        if (r < 0)
                return r;
        return holds(fd, copy, set) ? 0 : rs_fail(err, READ_BACK, "the trust area");
}

static int zero_copy(int fd, unsigned copy, RsError *err) {
        _cleanup_(freep) uint8_t *zeros = medium_buffer_new(PIECE_SIZE), *there = medium_buffer_new(PIECE_SIZE);
        int r = 0;

        if (!zeros || !there)
                return rs_fail_oom(err);
        memset(zeros, 0, PIECE_SIZE);
        for (uint64_t at = copy_at(copy); r == 0 && at < copy_at(copy + 1); at += PIECE_SIZE)
                r = file_pwrite_all(fd, zeros, PIECE_SIZE, at, err);
        if (r == 0)
                r = flush(fd, err);
        for (uint64_t at = copy_at(copy); r == 0 && at < copy_at(copy + 1); at += PIECE_SIZE) {
                r = file_pread_all(fd, there, PIECE_SIZE, at, err);
                if (r == 0 && memcmp(there, zeros, PIECE_SIZE) != 0)
                        return rs_fail(err, READ_BACK, "the trust area");
        }
        return r;
}

int trust_area_clean(int fd, RsError *err) {
        for (unsigned i = 0; i < TRUST_AREA_COPIES; i++) {
                _cleanup_(freep) uint8_t *bytes = NULL;
                size_t size;
                int r;

                r = trust_area_read(fd, i, &bytes, &size, err);
                if (r == 0)
                        r = zero_copy(fd, i, err);
                if (r < 0)
                        return r;
        }
        return 0;
}
