/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The way of a byte: source in memory, real stages, a peer that speaks the writer's side of the socket. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>
#include <zstd.h>

#include <reseal/base/cleanup.h>
#include <reseal/crypto/aead.h>
#include <reseal/crypto/digest.h>
#include <reseal/crypto/hashtree.h>
#include <reseal/flow/flow.h>
#include <reseal/ipc/channel.h>

#include "../../../src/source/source-kind.h"

#define N_FRAMES 6u
#define FRAME (2u * RS_CHUNK_SIZE)
#define LAST (RS_CHUNK_SIZE + 3u * RS_BLOCK_SIZE) /* the last frame: one chunk and a bit */
#define IMAGE_SIZE ((uint64_t) (N_FRAMES - 1) * FRAME + LAST)

/* -- the peer ------------------------------------------------------------------------------------ */

typedef struct Peer {
        int fd;
        uint8_t *image;         /* what arrived */
        uint32_t n_frames;      /* FRAME messages */
        uint32_t last_frame;
        pthread_t thread;
} Peer;

static void *peer_main(void *userdata) {
        Peer *p = userdata;
        _cleanup_(channel_freep) Channel *c = NULL;
        _cleanup_(ring_freep) Ring *ring = NULL;
        RsError err = { 0 };

        assert_int_equal(channel_new(p->fd, &c, &err), 0);
        for (;;) {
                _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
                Message m;
                WriterFrame f;
                int fd = -EBADF;

                if (channel_receive(c, &m, &err) <= 0)
                        return NULL;
                if (m.type == WRITER_HELLO) {
                        WriterHello hello = { .version = RS_VERSION, .line = "gateway" };
                        writer_encode_hello(&e, &hello);
                } else if (m.type == WRITER_RING) {
                        assert_int_equal(ring_create(&ring, &err), 0);
                        fd = ring_fd(ring);
                        writer_encode_ring(&e);
                } else if (m.type == WRITER_FRAME) {
                        assert_int_equal(writer_decode_frame_request(m.payload, &f, &err), 0);
                        if (f.ring_slot != WRITER_NO_RING_SLOT)
                                memcpy(p->image + (size_t) f.frame * FRAME, ring_slot(ring, f.ring_slot), f.size);
                        p->n_frames++;
                        p->last_frame = f.frame;
                        writer_encode_frame(&e, f.image, f.frame);
                }
                if (channel_send(c, m.type + 1, m.sequence, encoder_view(&e), fd, &err) < 0)
                        return NULL; /* the other side has given up */
        }
}

/* -- a source in memory -------------------------------------------------------------------------- */

typedef struct Memory {
        Source base;
        uint8_t *bytes;
        uint64_t n_asked, asked_bytes;
        uint64_t cut;           /* gives so many bytes fewer */
} Memory;

static int memory_stream(Source *base, uint64_t offset, uint64_t size, SourceSink sink, void *userdata, RsError *err) {
        Memory *s = (Memory *) base;

        s->n_asked++;
        s->asked_bytes += size;
        size -= s->cut < size ? s->cut : size;
        /* odd pieces: frames and pieces must not have anything to do with each other */
        for (uint64_t n; size > 0; offset += n, size -= n) {
                n = size < 16381 ? size : 16381;
                int r = sink(userdata, SPAN(s->bytes + offset, n), err);
                if (r < 0)
                        return r;
        }
        return 0;
}

static Source *memory_close(Source *base) {
        (void) base; /* part of the fixture */
        return NULL;
}

static const SourceKind MEMORY = { .name = "memory", .stream = memory_stream, .close = memory_close };

/* -- the bundle ---------------------------------------------------------------------------------- */

typedef struct Fixture {
        uint8_t *image;
        uint8_t *payloads[N_FRAMES];
        Table *table;
        Manifest *manifest;
        BundleHeader header;
        Memory source;
        Secret *key;
        Peer peer;
        WriterClient *writer;
        FlowSpec spec;
} Fixture;

static size_t frame_size(uint32_t f) {
        return f == N_FRAMES - 1 ? LAST : FRAME;
}

static void set_payload(Fixture *x, uint32_t f, FrameKind kind, const void *payload, size_t size) {
        RsError err = { 0 };

        free(x->payloads[f]);
        x->payloads[f] = malloc(size + 1);
        memcpy(x->payloads[f], payload, size);
        x->table->frames[f].kind = kind;
        x->table->frames[f].payload_size = (uint32_t) size;
        assert_int_equal(digest_sha256(SPAN(payload, size), x->table->frames[f].payload_sha256, &err), 0);
}

static void compress(Fixture *x, uint32_t f) {
        size_t bound = ZSTD_compressBound(FRAME);
        _cleanup_(freep) uint8_t *out = malloc(bound);
        size_t n = ZSTD_compress(out, bound, x->image + (size_t) f * FRAME, frame_size(f), 1);

        assert_false(ZSTD_isError(n));
        set_payload(x, f, FRAME_KIND_ZSTD, out, n);
}

/* 0 zstd, 1 raw, 2 zero, 3 dup of 0, 4 zstd, 5 zstd and shorter */
static void make_image(Fixture *x) {
        x->image = calloc(1, (size_t) N_FRAMES * FRAME);
        for (size_t i = 0; i < IMAGE_SIZE; i++)
                x->image[i] = (uint8_t) (i / FRAME == 1 ? i * 2654435761u >> 13 : i / 4096 + i % 7);
        memset(x->image + 2 * (size_t) FRAME, 0, FRAME);
        memcpy(x->image + 3 * (size_t) FRAME, x->image, FRAME);
        x->table = table_new(IMAGE_SIZE, 2);
        compress(x, 0);
        set_payload(x, 1, FRAME_KIND_RAW, x->image + FRAME, FRAME);
        x->table->frames[2].kind = FRAME_KIND_ZERO;
        x->table->frames[3].kind = FRAME_KIND_DUP;
        x->table->frames[3].dup_of = 0;
        compress(x, 4);
        compress(x, 5);
}

static void make_digests(Fixture *x) {
        ManifestImage *m = &x->manifest->images[0];
        _cleanup_(hashtree_freep) HashTree *tree = NULL;
        RsError err = { 0 };

        memset(m->salt, 0x5a, sizeof(m->salt));
        assert_int_equal(hashtree_new(SPAN_ARRAY(m->salt), &tree, &err), 0);
        for (uint32_t c = 0; c < x->table->n_chunks; c++)
                assert_int_equal(hashtree_chunk(tree,
                                                SPAN(x->image + (size_t) c * RS_CHUNK_SIZE,
                                                     image_chunk_size(IMAGE_SIZE, c)),
                                                x->table->chunk_digests[c], NULL, &err), 0);
        assert_int_equal(hashtree_root(tree, (const uint8_t(*)[RS_DIGEST_SIZE]) x->table->chunk_digests,
                                       x->table->n_chunks, m->root, &err), 0);
        strcpy(m->class_name, "rootfs");
        m->size = IMAGE_SIZE;
        m->n_chunks = x->table->n_chunks;
        m->frame_chunks = 2;
}

/* Encodes the table as it is now, seals table and frames, lays them out behind each other. */
static void pack(Fixture *x) {
        ManifestImage *m = &x->manifest->images[0];
        _cleanup_(encoder_done) Encoder table = ENCODER_INIT;
        _cleanup_(aead_freep) Aead *ta = NULL, *fa = NULL;
        _cleanup_(secret_freep) Secret *tk = NULL, *fk = NULL;
        uint8_t aad[FRAME_AAD_SIZE], nonce[12] = { 0 };
        bool sealed = x->key != NULL;
        RsError err = { 0 };

        assert_int_equal(table_encode(x->table, &table, &err), 0);
        m->table_size = (uint32_t) table.size;
        assert_int_equal(digest_sha256(encoder_view(&table), m->table_sha256, &err), 0);
        if (sealed) {
                assert_int_equal(bundle_table_key(x->key, x->spec.bundle_id, 0, &tk, &err), 0);
                assert_int_equal(bundle_frames_key(x->key, x->spec.bundle_id, 0, &fk, &err), 0);
                assert_int_equal(aead_new(tk, &ta, &err), 0);
                assert_int_equal(aead_new(fk, &fa, &err), 0);
        }
        x->header = (BundleHeader){ .encrypted = sealed, .n_images = 1 };
        x->header.tables[0] = (BundleSection){ .offset = 100, .length = table.size + (sealed ? RS_TAG_SIZE : 0) };
        x->header.frames[0] = (BundleSection){ .offset = 100 + x->header.tables[0].length,
                                               .length = table_frames_size(x->table, sealed) };
        x->source.base.size = x->header.frames[0].offset + x->header.frames[0].length;
        free(x->source.bytes);
        x->source.bytes = calloc(1, x->source.base.size);
        uint8_t *to = x->source.bytes + 100;
        if (sealed) {
                bundle_table_aad(x->spec.bundle_id, 0, aad);
                assert_int_equal(aead_seal(ta, nonce, SPAN(aad, TABLE_AAD_SIZE), encoder_view(&table), to, &err), 0);
        } else
                memcpy(to, table.data, table.size);
        to += x->header.tables[0].length;
        for (uint32_t f = 0; f < N_FRAMES; f++) {
                uint32_t size = x->table->frames[f].payload_size;
                if (size == 0)
                        continue;
                if (sealed) {
                        bundle_frame_nonce(f, nonce);
                        bundle_frame_aad(x->spec.bundle_id, 0, f, size, aad);
                        assert_int_equal(aead_seal(fa, nonce, SPAN_ARRAY(aad), SPAN(x->payloads[f], size), to, &err),
                                         0);
                        to += size + RS_TAG_SIZE;
                } else {
                        memcpy(to, x->payloads[f], size);
                        to += size;
                }
        }
        assert_ptr_equal(to, x->source.bytes + x->source.base.size);
}

static void setup(Fixture *x, bool sealed) {
        int pair[2];
        RsError err = { 0 };

        *x = (Fixture){ .manifest = manifest_new() };
        x->manifest->n_images = 1;
        x->key = sealed ? secret_new_random(RS_KEY_SIZE) : NULL;
        memset(x->spec.bundle_id, 0xb1, sizeof(x->spec.bundle_id));
        x->source.base.kind = &MEMORY;
        make_image(x);
        make_digests(x);
        pack(x);

        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        x->peer = (Peer){ .fd = pair[1], .image = calloc(1, (size_t) N_FRAMES * FRAME) };
        assert_int_equal(pthread_create(&x->peer.thread, NULL, peer_main, &x->peer), 0);
        assert_int_equal(writer_client_from_fd(pair[0], &x->writer, &err), 0);
        x->spec.source = &x->source.base;
        x->spec.writer = x->writer;
        x->spec.header = &x->header;
        x->spec.manifest = x->manifest;
        x->spec.content_key = x->key;
        assert_int_equal(writer_call_ring(x->writer, &x->spec.ring, &err), 0);
}

static void teardown(Fixture *x) {
        x->writer = writer_client_free(x->writer);
        assert_int_equal(pthread_join(x->peer.thread, NULL), 0);
        free(x->peer.image);
        free(x->image);
        for (uint32_t f = 0; f < N_FRAMES; f++)
                free(x->payloads[f]);
        x->table = table_free(x->table);
        x->manifest = manifest_free(x->manifest);
        x->key = secret_free(x->key);
        free(x->source.bytes);
}

static RsReason fetch_table(Fixture *x) {
        _cleanup_(freep) uint8_t *bytes = NULL;
        _cleanup_(table_freep) Table *table = NULL;
        RsError err = { 0 };

        return flow_fetch_table(&x->spec, 0, &bytes, &table, &err) < 0 ? err.reason : RS_REASON_NONE;
}

static RsReason write_image(Fixture *x, const WriterRange *proven, uint32_t n) {
        RsError err = { 0 };

        return flow_write_image(&x->spec, 0, x->table, 0, proven, n, &err) < 0 ? err.reason : RS_REASON_NONE;
}

/* zero and dup frames carry no bytes: the writer makes them */
static void fill(Fixture *x) {
        memcpy(x->peer.image + 3 * (size_t) FRAME, x->peer.image, FRAME);
}

/* -- tests --------------------------------------------------------------------------------------- */

static void every_kind_of_frame_arrives(void **state) {
        (void) state;
        for (int sealed = 0; sealed < 2; sealed++) {
                Fixture x;
                RsError err = { 0 };
                setup(&x, sealed);
                assert_int_equal(flow_check_layout(&x.header, x.manifest, &err), 0);
                assert_int_equal(fetch_table(&x), RS_REASON_NONE);
                assert_int_equal(write_image(&x, NULL, 0), RS_REASON_NONE);
                fill(&x);
                assert_memory_equal(x.peer.image, x.image, IMAGE_SIZE);
                assert_int_equal(x.peer.n_frames, N_FRAMES);
                teardown(&x);
        }
}

static void proven_frames_are_not_fetched_again(void **state) {
        const WriterRange proven[] = { { .first = 0, .count = 2 }, { .first = 4, .count = 1 } };
        Fixture x;

        (void) state;
        setup(&x, true);
        assert_int_equal(write_image(&x, proven, 2), RS_REASON_NONE);
        assert_int_equal(x.peer.n_frames, 3);
        assert_int_equal(x.source.asked_bytes, x.table->frames[5].payload_size + RS_TAG_SIZE);
        assert_memory_equal(x.peer.image + 5 * (size_t) FRAME, x.image + 5 * (size_t) FRAME, LAST);
        teardown(&x);
}

static void wholly_proven_image_fetches_nothing(void **state) {
        const WriterRange all = { .first = 0, .count = N_FRAMES };
        Fixture x;

        (void) state;
        setup(&x, true);
        assert_int_equal(write_image(&x, &all, 1), RS_REASON_NONE);
        assert_int_equal(x.peer.n_frames, 0);
        assert_int_equal(x.source.n_asked, 0);
        teardown(&x);
}

static void flipped_byte_of_any_frame_is_refused(void **state) {
        (void) state;
        for (int sealed = 0; sealed < 2; sealed++)
                for (uint32_t f = 0; f < N_FRAMES; f++) {
                        Fixture x;
                        setup(&x, sealed);
                        if (x.table->frames[f].payload_size) {
                                uint64_t at = x.header.frames[0].offset + table_frame_offset(x.table, sealed, f);
                                x.source.bytes[at + 5] ^= 1;
                                assert_int_equal(write_image(&x, NULL, 0),
                                                 sealed ? RS_REASON_DECRYPT : RS_REASON_FRAME_DIGEST);
                                assert_true(x.peer.n_frames <= f); /* neither it nor a later one got through */
                        }
                        teardown(&x);
                }
}

/* T13: someone with the content key can make good tags; the signed digest still stands before the decompressor. */
static void frame_sealed_by_a_holder_of_the_content_key_is_refused(void **state) {
        Fixture x;

        (void) state;
        setup(&x, true);
        x.payloads[4][10] ^= 1;
        pack(&x);
        assert_int_equal(write_image(&x, NULL, 0), RS_REASON_FRAME_DIGEST);
        teardown(&x);
}

static void damaged_compression_behind_a_good_digest_is_refused(void **state) {
        Fixture x;
        size_t n;

        (void) state;
        setup(&x, true);
        uint8_t garbage[100];
        memset(garbage, 0x42, sizeof(garbage));
        set_payload(&x, 0, FRAME_KIND_ZSTD, garbage, sizeof(garbage));
        pack(&x);
        assert_int_equal(write_image(&x, NULL, 0), RS_REASON_CODEC);

        /* two zstd frames, one after the other */
        _cleanup_(freep) uint8_t *two = malloc(2 * (size_t) FRAME);
        n = ZSTD_compress(two, FRAME, x.image, FRAME / 2, 1);
        n += ZSTD_compress(two + n, FRAME, x.image + FRAME / 2, FRAME / 2, 1);
        set_payload(&x, 0, FRAME_KIND_ZSTD, two, n);
        pack(&x);
        assert_int_equal(write_image(&x, NULL, 0), RS_REASON_CODEC);

        /* one that decodes to less */
        n = ZSTD_compress(two, FRAME, x.image, FRAME - 1, 1);
        set_payload(&x, 0, FRAME_KIND_ZSTD, two, n);
        pack(&x);
        assert_int_equal(write_image(&x, NULL, 0), RS_REASON_CODEC);

        /* cut in its last block: content size still right */
        n = ZSTD_compress(two, FRAME, x.image, FRAME, 1);
        set_payload(&x, 0, FRAME_KIND_ZSTD, two, n - 3);
        pack(&x);
        assert_int_equal(write_image(&x, NULL, 0), RS_REASON_CODEC);
        assert_int_equal(x.peer.n_frames, 0);
        teardown(&x);
}

static void stream_that_ends_early_is_truncated(void **state) {
        Fixture x;

        (void) state;
        setup(&x, true);
        x.source.cut = 1;
        assert_int_equal(write_image(&x, NULL, 0), RS_REASON_TRUNCATED);
        teardown(&x);
}

static void flipped_table_is_refused(void **state) {
        (void) state;
        for (int sealed = 0; sealed < 2; sealed++) {
                Fixture x;
                setup(&x, sealed);
                x.source.bytes[x.header.tables[0].offset + 40] ^= 1;
                assert_int_equal(fetch_table(&x), sealed ? RS_REASON_DECRYPT : RS_REASON_TABLE_DIGEST);
                teardown(&x);
        }
}

static void table_of_another_image_is_refused(void **state) {
        Fixture x;

        (void) state;
        setup(&x, true);
        x.table->chunk_digests[1][0] ^= 1;
        pack(&x); /* its digest is signed now, the root was signed before */
        assert_int_equal(fetch_table(&x), RS_REASON_ROOT);
        x.table->chunk_digests[1][0] ^= 1;
        pack(&x);
        x.manifest->images[0].size -= 4 * RS_BLOCK_SIZE; /* one chunk fewer */
        assert_int_equal(fetch_table(&x), RS_REASON_TABLE);
        teardown(&x);
}

static void sections_that_do_not_fit_the_manifest_are_refused(void **state) {
        Fixture x;
        RsError err = { 0 };

        (void) state;
        setup(&x, true);
        x.header.n_images = 2;
        assert_true(flow_check_layout(&x.header, x.manifest, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_FORMAT);
        x.header.n_images = 1;
        x.header.tables[0].length--;
        err = (RsError){ 0 };
        assert_true(flow_check_layout(&x.header, x.manifest, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_FORMAT);
        x.header.tables[0].length++;
        x.header.frames[0].length--;
        assert_int_equal(fetch_table(&x), RS_REASON_FORMAT);
        x.header.tables[0].length = RS_TABLE_SIZE_MAX + RS_TAG_SIZE + 1;
        assert_int_equal(fetch_table(&x), RS_REASON_FORMAT);
        teardown(&x);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_kind_of_frame_arrives),
                cmocka_unit_test(proven_frames_are_not_fetched_again),
                cmocka_unit_test(wholly_proven_image_fetches_nothing),
                cmocka_unit_test(flipped_byte_of_any_frame_is_refused),
                cmocka_unit_test(frame_sealed_by_a_holder_of_the_content_key_is_refused),
                cmocka_unit_test(damaged_compression_behind_a_good_digest_is_refused),
                cmocka_unit_test(stream_that_ends_early_is_truncated),
                cmocka_unit_test(flipped_table_is_refused),
                cmocka_unit_test(table_of_another_image_is_refused),
                cmocka_unit_test(sections_that_do_not_fit_the_manifest_are_refused),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
