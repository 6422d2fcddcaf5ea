/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * memfd - bytes that are too many for a message, beside it in a sealed memory file.
 *
 * Spec:     docs/protocol-writer.md, TABLE, EVIDENCE, ANCHORS
 * Trust:    a descriptor that was received is hostile: its seals come before its size, its size before its bytes
 * Owns:     what is returned is the caller's
 * Units:    bytes
 * Errors:   PROTOCOL (not sealed, not of the announced size), IO
 * Context:  any thread
 * Programs: reseald, reseal-writer, reseal-certstore
 */
#include <stddef.h>
#include <stdint.h>

#include <reseal/base/error.h>
#include <reseal/base/span.h>

/* Nobody can change it any more; the name shows in /proc only. */
int memfd_sealed(const char *name, Span bytes, int *ret_fd, RsError *err);
/* A copy of all of it; fd is borrowed. */
int memfd_read(int fd, size_t size, uint8_t **ret, RsError *err);
