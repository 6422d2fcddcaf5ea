/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * image - verified chunks to the medium and back: encrypt, write, flush, read back, prove.
 *
 * Spec:     DESIGN.md 3 and 8 (W4, W5); docs/format-slot.md
 * Trust:    takes only VerifiedChunk; believes nothing it wrote until it has read it back and checked its leaves
 * Owns:     a SlotImage owns its buffers and contexts, borrows fd, table and key until freed
 * Units:    bytes; frames and chunks by number
 * Errors:   CHUNK_DIGEST, READ_BACK, ROOT, SIZE, IO, NO_SPACE, RANGE, STATE, PROTOCOL, CANCELLED, NO_MEMORY, INTERNAL
 * Context:  one worker thread; reading back runs behind the writing on a helper thread of its own, callbacks do not
 * Programs: reseal-writer
 */
#include <stdatomic.h>

#include <reseal/base/error.h>
#include <reseal/base/secret.h>
#include <reseal/format/table.h>

#define SLOT_WINDOW_SIZE (16u << 20)   /* flushed, read back and marked in the bitmap as one */

/* A chunk whose digest was compared with the signed table.  Only slot_verify_chunk makes one. */
typedef struct VerifiedChunk VerifiedChunk;
typedef struct SlotImage SlotImage;

typedef struct SlotImageSpec {
        int fd;                        /* O_DIRECT, from slot_open_target */
        const Secret *volume_key;      /* NULL: plain slot */
        uint64_t slot_size;
        const ManifestImage *image;
        const Table *table;
        uint8_t bundle_id[32];
        uint32_t image_number;
        const uint8_t *manifest_cms;   /* for the trailer */
        size_t manifest_cms_size;
        /* One bit per window, lowest first, set = proven on the medium by an earlier run (may be NULL; copied). */
        const uint8_t *proven;
        /*
         * Called by the worker (from write, fill or finish) when a window has been proven; the callee makes it durable.
         * Windows of `proven` are not told again.
         */
        int (*on_window)(void *userdata, uint32_t window, RsError *err);
        void (*on_alive)(void *userdata);  /* by the worker, for each window read back; may be NULL */
        void *userdata;
        const atomic_bool *cancelled;  /* ends the re-reading of resumed windows; may be NULL; borrowed */
} SlotImageSpec;

int slot_image_new(const SlotImageSpec *spec, SlotImage **ret, RsError *err);
SlotImage *slot_image_free(SlotImage *s);
RS_DEFINE_CLEANUP(SlotImage, slot_image_free)

/*
 * Copies the bytes out of shared memory first, then judges the private copy: all chunks of the frame against the table.
 * The result is owned by the SlotImage and valid until the next call.  CHUNK_DIGEST if one differs.
 */
int slot_verify_frame(SlotImage *s, uint32_t frame, const volatile uint8_t *shared, size_t size,
                      const VerifiedChunk **ret, RsError *err);
/*
 * Encrypts and writes it.  Frames ascending, without gaps but those of proven windows (else RANGE); a window is flushed
 * and read back when its last frame is in, so READ_BACK or IO may tell of a window before.  After a failure of
 * write, fill or finish a SlotImage can only be freed.
 */
int slot_image_write(SlotImage *s, const VerifiedChunk *chunk, RsError *err);
/*
 * zero and dup frames: content known from the table; a dup is read from the target itself and verified.  PROTOCOL for
 * other frames.
 */
int slot_image_fill(SlotImage *s, uint32_t frame, RsError *err);
/*
 * STATE while frames are missing.  Last window, re-reading of resumed windows, tree, superblock, trailer, locator; all
 * flushed and proven (W5).
 */
int slot_image_finish(SlotImage *s, RsError *err);

uint32_t slot_image_n_windows(const SlotImage *s);
uint32_t slot_window_of_frame(const Table *t, uint32_t frame);
