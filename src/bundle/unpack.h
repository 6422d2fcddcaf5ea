/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * unpack - the frames of one image, forward, each one verified before it is given out.
 *
 * Spec:     docs/format-bundle.md sections 4 and 5
 * Trust:    payloads are hostile until their digest matched the table, plaintext until its chunks did
 * Owns:     an Unpacker borrows BundleFile and Table, which must outlive it
 * Units:    bytes
 * Errors:   DECRYPT, FRAME_DIGEST, CODEC, CHUNK_DIGEST, IO
 * Context:  one thread
 * Programs: reseal-bundle
 */
#include "bundle-file.h"

typedef struct Unpacker Unpacker;

typedef struct UnpackedFrame {
        uint32_t number;
        FrameKind kind;
        uint32_t dup_of;
        uint32_t size;        /* of the plaintext */
        const uint8_t *plain; /* valid until the next call; NULL for dup: read it from what you wrote */
} UnpackedFrame;

int unpacker_new(const BundleFile *f, uint32_t image, const Table *t, Unpacker **ret, RsError *err);
Unpacker *unpacker_free(Unpacker *u);
RS_DEFINE_CLEANUP(Unpacker, unpacker_free)
/* 1 with a frame, 0 behind the last one. */
int unpacker_next(Unpacker *u, UnpackedFrame *ret, RsError *err);
