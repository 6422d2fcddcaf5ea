/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * fields - texts, truth values and ends of payloads, for the files that encode messages.
 *
 * Spec:     docs/protocol-writer.md, "Message"
 * Trust:    taking: hostile bytes; a bad field fails the Reader
 * Owns:     nothing
 * Units:    bytes
 * Errors:   PROTOCOL
 * Context:  any thread
 * Programs: reseald, reseal-writer; private to src/ipc
 */
#include <stdbool.h>

#include <reseal/base/error.h>
#include <reseal/base/span.h>

/* Zero padded to size. */
void field_put_text(Encoder *e, const char *text, size_t size);
/* ret has size + 1 bytes.  Fails the Reader on a control byte or on anything behind the first zero. */
void field_take_text(Reader *r, char *ret, size_t size);
bool field_take_bool(Reader *r);
int field_finish(Reader *r, const char *what, RsError *err);
