/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * lists - revocation lists: those that tickets are judged by, and those that devices find beside a bundle.
 *
 * Spec:     docs/format-chain.md, section 4; docs/man/reseal-source.1
 * Trust:    a list counts when the device CA or the source root has signed it; published ones are judged by devices
 * Owns:     the CrlSet belongs to the caller
 * Units:    bytes
 * Errors:   those of pki/crl.h; CONFIG (no such file), IO, NO_SPACE
 * Context:  one thread
 * Programs: reseal-source
 */
#include <reseal/pki/crl.h>

#include "options.h"

/* Either may be NULL, not both. */
int lists_load(const Options *o, const TrustAnchors *device_ca, const TrustAnchors *source_root, CrlSet **ret,
               RsError *err);
/* The file "crls": replaced whole. */
int lists_write(const Options *o, RsError *err);
