/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * text - hexadecimal, bounded numbers, and escaping of foreign text for logs and terminals.
 *
 * Spec:     STYLE 8: text from outside is escaped before it reaches a log or a terminal
 * Trust:    input is hostile
 * Owns:     results are written into the caller's buffers
 * Units:    sizes in bytes
 * Errors:   negative errno (-EINVAL, -ERANGE); outputs untouched on failure
 * Context:  any thread
 * Programs: all
 */
#include <stddef.h>
#include <stdint.h>

#include <reseal/base/span.h>

#define HEX_SIZE(n_bytes) (2 * (n_bytes) + 1)

void hex_encode(Span bytes, char *ret /* HEX_SIZE(bytes.size) */);
/* Exactly `size` bytes from exactly 2*size lower-case digits, else -EINVAL. */
int hex_decode(const char *text, void *ret, size_t size);
/* Digits only, no sign, no blanks, no superfluous leading zero; -ERANGE above max. */
int text_to_u64(const char *text, uint64_t max, uint64_t *ret);
/* "64M", "512K", "2G" (powers of 1024) or plain bytes. */
int text_to_size(const char *text, uint64_t *ret);
/* Printable ASCII and well-formed UTF-8 pass; control bytes, DEL, quotes' backslash and broken UTF-8 become \xNN.
 * Cuts at size-1 with "..." at the end.  Returns ret. */
char *text_escape(Span text, char *ret, size_t size);
/* The same, but a backslash passes: for text that may hold escapes already. */
char *text_printable(Span text, char *ret, size_t size);
