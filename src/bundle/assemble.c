/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * assemble - second pass of a build: the manifest is known, so the keys bound to its digest can be made.
 *
 * Sections are written strictly in file order with one buffer.  The header comes first although it holds all
 * lengths: each follows from the tables, nothing has to be patched afterwards.
 */
#include <stdlib.h>
#include <string.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/crypto/aead.h>

#include "assemble.h"

typedef struct Assembly {
        const BundleParts *parts;
        int fd;
        uint64_t at;         /* in fd */
        uint64_t payload_at; /* in payload_fd */
        uint8_t *buffer;     /* one frame and its tag */
        Progress *progress;
} Assembly;

static int put(Assembly *a, Span bytes, RsError *err) {
        int r;

        r = file_pwrite_all(a->fd, bytes.data, bytes.size, a->at, err);
        if (r < 0)
                return r;
        a->at += bytes.size;
        return 0;
}

static int put_table(Assembly *a, uint32_t image, RsError *err) {
        static const uint8_t nonce[12];
        const BundleParts *p = a->parts;
        Span plain = p->table_bytes[image];
        _cleanup_(secret_freep) Secret *key = NULL;
        _cleanup_(aead_freep) Aead *aead = NULL;
        _cleanup_(freep) uint8_t *sealed = NULL;
        uint8_t aad[TABLE_AAD_SIZE];
        int r;

        if (!p->content_key)
                return put(a, plain, err);
        sealed = malloc(plain.size + RS_TAG_SIZE);
        if (!sealed)
                return rs_fail_oom(err);
        r = bundle_table_key(p->content_key, p->id, image, &key, err);
        if (r < 0)
                return r;
        r = aead_new(key, &aead, err);
        if (r < 0)
                return r;
        bundle_table_aad(p->id, image, aad);
        r = aead_seal(aead, nonce, SPAN_ARRAY(aad), plain, sealed, err);
        if (r < 0)
                return r;
        return put(a, SPAN(sealed, plain.size + RS_TAG_SIZE), err);
}

static int put_frame(Assembly *a, uint32_t image, uint32_t number, const Frame *frame, Aead *aead,
                     RsError *err) {
        uint8_t nonce[12], aad[FRAME_AAD_SIZE];
        size_t size = frame->payload_size;
        int r;

        r = file_pread_all(a->parts->payload_fd, a->buffer, size, a->payload_at, err);
        if (r < 0)
                return r;
        a->payload_at += size;
        if (aead) {
                bundle_frame_nonce(number, nonce);
                bundle_frame_aad(a->parts->id, image, number, frame->payload_size, aad);
                r = aead_seal(aead, nonce, SPAN_ARRAY(aad), SPAN(a->buffer, size), a->buffer, err);
                if (r < 0)
                        return r;
                size += RS_TAG_SIZE;
        }
        return put(a, SPAN(a->buffer, size), err);
}

static int put_frames(Assembly *a, uint32_t image, RsError *err) {
        const Table *t = a->parts->tables[image];
        _cleanup_(secret_freep) Secret *key = NULL;
        _cleanup_(aead_freep) Aead *aead = NULL;
        int r;

        if (a->parts->content_key) {
                r = bundle_frames_key(a->parts->content_key, a->parts->id, image, &key, err);
                if (r < 0)
                        return r;
                r = aead_new(key, &aead, err);
                if (r < 0)
                        return r;
        }
        for (uint32_t i = 0; i < t->n_frames; i++) {
                if (t->frames[i].payload_size == 0)
                        continue;
                r = interrupt_check(err);
                if (r < 0)
                        return r;
                r = put_frame(a, image, i, &t->frames[i], aead, err);
                if (r < 0)
                        return r;
                progress_add(a->progress, t->frames[i].payload_size);
        }
        return 0;
}

static int put_header(Assembly *a, RsError *err) {
        const BundleParts *p = a->parts;
        bool encrypted = p->content_key;
        BundleHeader h = { .encrypted = encrypted, .n_images = p->n_images };
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        int r;

        h.manifest.length = p->manifest.size;
        h.transport.length = encrypted ? p->transport.size : 0;
        for (uint32_t i = 0; i < p->n_images; i++) {
                h.tables[i].length = p->table_bytes[i].size + (encrypted ? RS_TAG_SIZE : 0);
                h.frames[i].length = table_frames_size(p->tables[i], encrypted);
        }
        r = bundle_header_encode(&h, &e, err);
        if (r < 0)
                return r;
        return put(a, encoder_view(&e), err);
}

int assemble_bundle(int fd, const BundleParts *parts, Progress *progress, RsError *err) {
        _cleanup_(freep) uint8_t *buffer = malloc(RS_FRAME_SIZE_MAX + RS_TAG_SIZE);
        Assembly a = { .parts = parts, .fd = fd, .buffer = buffer, .progress = progress };
        int r;

        if (!buffer)
                return rs_fail_oom(err);
        r = put_header(&a, err);
        if (r < 0)
                return r;
        r = put(&a, parts->manifest, err);
        if (r < 0)
                return r;
        if (parts->content_key) {
                r = put(&a, parts->transport, err);
                if (r < 0)
                        return r;
        }
        for (uint32_t i = 0; i < parts->n_images; i++) {
                r = put_table(&a, i, err);
                if (r < 0)
                        return r;
                r = put_frames(&a, i, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int copy_bytes(int fd, uint64_t at, int from, uint64_t offset, uint64_t size, RsError *err) {
        _cleanup_(freep) uint8_t *buffer = malloc(RS_FRAME_SIZE_MAX);
        int r;

        if (!buffer)
                return rs_fail_oom(err);
        while (size > 0) {
                size_t n = size < RS_FRAME_SIZE_MAX ? (size_t) size : RS_FRAME_SIZE_MAX;

                r = interrupt_check(err);
                if (r == 0)
                        r = file_pread_all(from, buffer, n, offset, err);
                if (r == 0)
                        r = file_pwrite_all(fd, buffer, n, at, err);
                if (r < 0)
                        return r;
                at += n;
                offset += n;
                size -= n;
        }
        return 0;
}

int assemble_resigned(int fd, int from, const BundleHeader *old, Span manifest, RsError *err) {
        uint64_t rest = old->manifest.offset + old->manifest.length, at;
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        BundleHeader h = *old;
        int r;

        h.manifest.length = manifest.size;
        r = bundle_header_encode(&h, &e, err);
        if (r < 0)
                return r;
        at = h.manifest.offset + h.manifest.length;
        r = file_pwrite_all(fd, e.data, e.size, 0, err);
        if (r == 0)
                r = file_pwrite_all(fd, manifest.data, manifest.size, h.manifest.offset, err);
        if (r == 0)
                r = copy_bytes(fd, at, from, rest, old->file_size - rest, err);
        return r;
}

int assemble_attached(int fd, int from, const BundleHeader *old, Span links, Span crls, RsError *err) {
        const BundleSection manifest = old->manifest;
        uint64_t rest = manifest.offset + manifest.length + old->links.length + old->crls.length, at;
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        BundleHeader h = *old;
        int r;

        h.links.length = links.size;
        h.crls.length = crls.size;
        r = bundle_header_encode(&h, &e, err);
        if (r < 0)
                return r;
        at = h.manifest.offset + h.manifest.length;
        r = file_pwrite_all(fd, e.data, e.size, 0, err);
        if (r == 0)
                r = copy_bytes(fd, h.manifest.offset, from, manifest.offset, manifest.length, err);
        if (r == 0)
                r = file_pwrite_all(fd, links.data, links.size, at, err);
        if (r == 0)
                r = file_pwrite_all(fd, crls.data, crls.size, at + links.size, err);
        if (r == 0)
                r = copy_bytes(fd, at + links.size + crls.size, from, rest, old->file_size - rest, err);
        return r;
}
