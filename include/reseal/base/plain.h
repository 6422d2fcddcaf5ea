/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * plain - the only memory in which plaintext of an image lies on a device, but for the ring.
 *
 * Spec:     requirements S26, S34; docs/threat-model.md
 * Trust:    an image may be confidential: it is left out of core dumps, and what was freed holds none of it
 * Owns:     the caller, until plain_free, which wipes all that was asked for
 * Units:    sizes in bytes
 * Errors:   NULL for want of memory
 * Context:  any thread
 * Programs: reseald, reseal-writer
 *
 * For keys there is Secret: those pages are locked too, which a frame's 4 MiB are not.
 */
#include <stddef.h>
#include <stdint.h>

#include <reseal/base/cleanup.h>

uint8_t *plain_new(size_t size);        /* zero filled, aligned to a page */
uint8_t *plain_free(uint8_t *p);        /* NULL is fine; returns NULL */
RS_DEFINE_CLEANUP(uint8_t, plain_free)
void plain_wipe(void *bytes, size_t size); /* of memory that is not from here: the ring */
