/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * trust-area - the trust set in force, in the header area of slots that do not run: from there the initramfs has it.
 *
 * Spec:     docs/format-slot.md, "Trust area"; docs/decisions/012-the-trust-set-lies-beside-the-slots.md
 * Trust:    what is read is hostile; it counts only when its digest is the tag in the TPM record (trust/anchors.h)
 * Owns:     results belong to the caller (free)
 * Units:    bytes
 * Errors:   IO, READ_BACK, NO_MEMORY
 * Context:  blocks
 * Programs: reseal-writer, initramfs (reading)
 */
#include <reseal/base/error.h>
#include <reseal/base/span.h>

#define TRUST_AREA_COPIES 2u

/* 1 = *ret is what copy number `copy` holds, 0 = it holds none.  fd: any descriptor of a slot. */
int trust_area_read(int fd, unsigned copy, uint8_t **ret, size_t *ret_size, RsError *err);
/*
 * `set` stands in one of the copies, durable and read again; `keep` (may be empty), when it stood in one, still does.
 * Nothing is written when `set` is there already.  fd: of slot_open_target.
 */
int trust_area_write(int fd, Span set, Span keep, RsError *err);
/* Zeros over all that is no copy of a set: whatever lay on the partition before (W3). */
int trust_area_clean(int fd, RsError *err);
