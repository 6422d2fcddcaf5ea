/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * luks - a libcryptsetup context as this room wants it: silent, without locks of its own, without token
 *        plugins; and the making of a header, the same for slots and data.
 *
 * Spec:     docs/format-slot.md, "luks2"
 * Trust:    the header is hostile until luks_check_shape has seen it
 * Owns:     a Luks owns its context
 * Units:    none
 * Errors:   VOLUME, NO_SPACE, NO_MEMORY
 * Context:  one thread; libcryptsetup has globals
 * Programs: reseal-writer, reseal-provision, initramfs
 */
#include <libcryptsetup.h>

#include <reseal/base/error.h>
#include <reseal/base/secret.h>

typedef struct Luks {
        struct crypt_device *cd;
        char message[128];        /* libcryptsetup's last word on a failure, for the text of ours */
} Luks;

int luks_init(Luks *l, const char *path, RsError *err);
void luks_done(Luks *l);
/* Raises what libcryptsetup returned. */
int luks_failed(const Luks *l, int r, const char *what, RsError *err);
/* Only what slot_volume_create makes: another cipher or offset would put the data somewhere else. */
int luks_check_shape(const Luks *l, RsError *err);
#define LUKS_PBKDF2_ITERATIONS 1000u

typedef struct LuksHeader {
        const Secret *key;        /* of the volume */
        const Secret *sealed;     /* what the TPM gives; key slot 0 */
        const char *token;        /* JSON, token 0 */
        const Secret *recovery;   /* passphrase of key slot 1; NULL: none */
        const char *label;        /* NULL: none */
} LuksHeader;

/* The complete header, durable, in a 0600 file `path` that was not there or is replaced at once. */
int luks_write_header(const char *path, const LuksHeader *header, RsError *err);
