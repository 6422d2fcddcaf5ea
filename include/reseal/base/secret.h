/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * secret - the only type that holds key bytes.
 *
 * Spec:     STYLE 7; requirements S10, S26, S34
 * Trust:    bytes live in pages of their own: locked, kept out of core dumps, wiped on free; a forked
 *           child reads zeros there, so use a Secret in the process that made it
 * Owns:     a Secret owns its pages; secret_free wipes and unmaps
 * Units:    sizes in bytes
 * Errors:   constructors return NULL only for want of memory (or a size above RS_SECRET_MAX);
 *           a failing mlock is told, not fatal: see secret_on_unlocked
 * Context:  any thread; one Secret belongs to one thread at a time
 * Programs: all
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/span.h>

#define RS_SECRET_MAX 65536u

typedef struct Secret Secret;

Secret *secret_new(size_t size);            /* zero filled */
Secret *secret_new_random(size_t size);     /* from OpenSSL's private DRBG; NULL if that fails */
/* Copies and then wipes the caller's bytes, so that the Secret is the only holder. */
Secret *secret_new_take(void *bytes, size_t size);
Secret *secret_dup(const Secret *s);
Secret *secret_free(Secret *s);             /* NULL is fine; returns NULL */
RS_DEFINE_CLEANUP(Secret, secret_free)

size_t secret_size(const Secret *s);
const uint8_t *secret_bytes(const Secret *s);
uint8_t *secret_bytes_mut(Secret *s);
Span secret_span(const Secret *s);
int secret_shrink(Secret *s, size_t size);  /* to a smaller size, wiping the rest; -EINVAL otherwise */
bool secret_equal(const Secret *a, const Secret *b); /* constant time */

/*
 * Who tells, once in the life of the process, that pages of a Secret could not be locked (RLIMIT_MEMLOCK): called by
 * the thread that made the first such Secret, whenever that is.  A program that names nobody (or NULL) tells it on
 * standard error.  Named first in main().
 */
void secret_on_unlocked(void (*tell)(void));
/* Number of Secrets of this process whose pages could not be locked. */
unsigned secret_lock_failures(void);
