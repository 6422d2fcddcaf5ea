/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * medium - the only place that writes to a slot.
 *
 * Encryption in place: the buffer that was verified becomes the ciphertext and goes to the device by DMA, so no byte
 * of the image is copied between verification and medium.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include <reseal/base/file.h>
#include <reseal/format/limits.h>

#include "medium.h"

uint8_t *medium_buffer_new(size_t size) {
        return aligned_alloc(RS_BLOCK_SIZE, (size + RS_BLOCK_SIZE - 1) / RS_BLOCK_SIZE * RS_BLOCK_SIZE);
}

static int check_range(const Medium *m, uint64_t offset, size_t size, RsError *err) {
        if (offset > m->layout->data_size || size > m->layout->data_size - offset)
                return rs_fail(err, RANGE, "%zu bytes at %llu of a slot with %llu", size, (unsigned long long) offset,
                               (unsigned long long) m->layout->data_size);
        assert(offset % RS_BLOCK_SIZE == 0 && size % RS_BLOCK_SIZE == 0);
        return 0;
}

int medium_write(const Medium *m, uint64_t offset, uint8_t *bytes, size_t size, RsError *err) {
        int r;

        r = check_range(m, offset, size, err);
        if (r == 0 && m->xts)
                r = xts_encrypt(m->xts, offset, bytes, bytes, size, err);
        if (r < 0)
                return r;
        r = file_pwrite_all(m->fd, bytes, size, m->layout->data_offset + offset, err);
        return r < 0 ? rs_context(err, "slot, writing at %llu", (unsigned long long) offset) : 0;
}

int medium_read(const Medium *m, uint64_t offset, uint8_t *ret, size_t size, RsError *err) {
        int r;

        r = check_range(m, offset, size, err);
        if (r < 0)
                return r;
        r = file_pread_all(m->fd, ret, size, m->layout->data_offset + offset, err);
        if (r < 0)
                return rs_context(err, "slot, reading at %llu", (unsigned long long) offset);
        return m->xts ? xts_decrypt(m->xts, offset, ret, ret, size, err) : 0;
}

int medium_flush(const Medium *m, RsError *err) {
        if (fdatasync(m->fd) < 0)
                return rs_fail_errno(err, errno, "slot, flushing");
        return 0;
}
