/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * medium - reading and writing inside the data of one slot, encrypted or not.
 *
 * Spec:     docs/format-slot.md; DESIGN.md 7 (address checks)
 * Trust:    no access leaves the data of the slot, whatever offset it is given
 * Owns:     borrows all it points to
 * Units:    bytes, whole blocks; offsets from the start of the data
 * Errors:   RANGE, IO, NO_SPACE, INTERNAL
 * Context:  one Medium per thread (it borrows an Xts)
 * Programs: reseal-writer
 */
#include <reseal/crypto/xts.h>
#include <reseal/slot/layout.h>

typedef struct Medium {
        int fd;                 /* O_DIRECT: buffers below are aligned to a block */
        Xts *xts;               /* NULL: plain */
        const SlotLayout *layout;
} Medium;

/* A buffer for O_DIRECT; NULL for want of memory; freed with free. */
uint8_t *medium_buffer_new(size_t size);
/* Encrypts in place, then writes: the plaintext is gone afterwards. */
int medium_write(const Medium *m, uint64_t offset, uint8_t *bytes, size_t size, RsError *err);
int medium_read(const Medium *m, uint64_t offset, uint8_t *ret, size_t size, RsError *err);
int medium_flush(const Medium *m, RsError *err);
