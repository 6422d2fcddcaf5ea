/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * advice - what a field engineer who reads the console can do about a slot that does not open.
 *
 * Spec:     docs/boot.md, "What the console says"
 * Trust:    none
 * Owns:     constant strings
 * Units:    none
 * Errors:   none
 * Context:  any thread
 * Programs: initramfs
 */
#include <reseal/base/error.h>

const char *advice_for(RsReason reason);   /* a sentence or two, never NULL */
