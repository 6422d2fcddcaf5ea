/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What only a signer with bad intent, or a broken bundler, can make: tables and payloads that are consistent with
 * their digests and still wrong.  Every stage refuses for itself (D3: the digest before the decompressor, the leaves
 * after it).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <zstd.h>

#include <reseal/base/file.h>
#include <reseal/crypto/aead.h>
#include <reseal/crypto/digest.h>
#include <reseal/crypto/hashtree.h>

#include "bundle-file.h"
#include "unpack.h"

#define SIZE (2 * RS_CHUNK_SIZE)

/* A plain bundle of one image with two frames of one chunk, in a memory file that holds the FRAMES section only. */
typedef struct Sample {
        BundleFile file;
        Manifest manifest;
        Table *table;
        uint8_t *plain;
} Sample;

static void set_payload(Sample *s, uint32_t frame, FrameKind kind, const void *payload, size_t size) {
        RsError err = RS_ERROR_INIT;

        s->table->frames[frame] = (Frame){ .kind = kind, .payload_size = (uint32_t) size };
        if (size == 0)
                return;
        assert_int_equal(digest_sha256(SPAN(payload, size), s->table->frames[frame].payload_sha256, &err), 0);
        assert_int_equal(file_pwrite_all(s->file.fd, payload, size,
                                         table_frame_offset(s->table, false, frame), &err),
                         0);
}

static int setup(void **state) {
        Sample *s = calloc(1, sizeof(*s));
        _cleanup_(hashtree_freep) HashTree *tree = NULL;
        RsError err = RS_ERROR_INIT;

        assert_non_null(s);
        s->plain = malloc(SIZE);
        s->table = table_new(SIZE, 1);
        assert_true(s->plain && s->table);
        for (size_t i = 0; i < SIZE; i++)
                s->plain[i] = (uint8_t) (i / 1000);
        s->file.fd = memfd_create("frames", MFD_CLOEXEC);
        assert_true(s->file.fd >= 0);
        s->file.manifest = &s->manifest;
        s->manifest.n_images = 1;
        strcpy(s->manifest.images[0].class_name, "rootfs");
        s->manifest.images[0].size = SIZE;
        assert_int_equal(hashtree_new(SPAN_ARRAY(s->manifest.images[0].salt), &tree, &err), 0);
        for (uint32_t i = 0; i < 2; i++) {
                const uint8_t *chunk = s->plain + i * RS_CHUNK_SIZE;

                assert_int_equal(hashtree_chunk(tree, SPAN(chunk, RS_CHUNK_SIZE), s->table->chunk_digests[i],
                                                NULL, &err),
                                 0);
                set_payload(s, i, FRAME_KIND_RAW, chunk, RS_CHUNK_SIZE);
        }
        *state = s;
        return 0;
}

static int teardown(void **state) {
        Sample *s = *state;

        closep(&s->file.fd);
        s->table = table_free(s->table);
        free(s->plain);
        free(s);
        return 0;
}

/* Reads all frames; the number of good ones. */
static unsigned read_all(const Sample *s, RsError *err) {
        _cleanup_(unpacker_freep) Unpacker *u = NULL;
        UnpackedFrame frame;
        unsigned n = 0;
        int r;

        *err = RS_ERROR_INIT;
        assert_int_equal(unpacker_new(&s->file, 0, s->table, &u, err), 0);
        while ((r = unpacker_next(u, &frame, err)) > 0) {
                assert_int_equal(frame.number, n);
                if (frame.plain)
                        assert_memory_equal(frame.plain, s->plain + n * RS_CHUNK_SIZE, RS_CHUNK_SIZE);
                n++;
        }
        assert_true((r < 0) == (err->reason != RS_REASON_NONE));
        return n;
}

static void expect_first_refused(const Sample *s, RsReason reason) {
        RsError err;

        assert_int_equal(read_all(s, &err), 0);
        if (err.reason != reason)
                fail_msg("%s instead of %s: %s", rs_reason_name(err.reason), rs_reason_name(reason),
                         err.text);
}

static void good_frames_are_given_out_in_order(void **state) {
        RsError err;

        assert_int_equal(read_all(*state, &err), 2);
}

static size_t compress(void *out, size_t out_size, const void *in, size_t size) {
        size_t n = ZSTD_compress(out, out_size, in, size, 3);

        assert_false(ZSTD_isError(n));
        return n;
}

static void zstd_frames_are_decoded(void **state) {
        Sample *s = *state;
        uint8_t packed[65536];
        RsError err;

        set_payload(s, 0, FRAME_KIND_ZSTD, packed, compress(packed, sizeof(packed), s->plain, RS_CHUNK_SIZE));
        set_payload(s, 1, FRAME_KIND_RAW, s->plain + RS_CHUNK_SIZE, RS_CHUNK_SIZE);
        assert_int_equal(read_all(s, &err), 2);
}

static void a_payload_that_is_no_zstd_frame_is_refused_as_codec(void **state) {
        Sample *s = *state;
        uint8_t packed[65536];
        size_t n;

        set_payload(s, 0, FRAME_KIND_ZSTD, s->plain, 1000);
        expect_first_refused(s, RS_REASON_CODEC);
        /* two frames in a row; a frame and a byte */
        n = compress(packed, sizeof(packed), s->plain, RS_CHUNK_SIZE / 2);
        n += compress(packed + n, sizeof(packed) - n, s->plain + RS_CHUNK_SIZE / 2, RS_CHUNK_SIZE / 2);
        set_payload(s, 0, FRAME_KIND_ZSTD, packed, n);
        expect_first_refused(s, RS_REASON_CODEC);
        n = compress(packed, sizeof(packed) - 1, s->plain, RS_CHUNK_SIZE);
        packed[n] = 0;
        set_payload(s, 0, FRAME_KIND_ZSTD, packed, n + 1);
        expect_first_refused(s, RS_REASON_CODEC);
        /* damaged inside, with a digest that agrees */
        packed[n / 2] ^= 0xff;
        packed[n / 2 + 1] ^= 0xff;
        set_payload(s, 0, FRAME_KIND_ZSTD, packed, n);
        {
                RsError err;

                assert_int_equal(read_all(s, &err), 0);
                assert_true(err.reason == RS_REASON_CODEC || err.reason == RS_REASON_CHUNK_DIGEST);
        }
}

static void a_zstd_frame_of_another_size_is_refused_before_decoding(void **state) {
        Sample *s = *state;
        uint8_t packed[65536];

        set_payload(s, 0, FRAME_KIND_ZSTD, packed,
                    compress(packed, sizeof(packed), s->plain, RS_CHUNK_SIZE - 4096));
        expect_first_refused(s, RS_REASON_CODEC);
        set_payload(s, 0, FRAME_KIND_ZSTD, packed,
                    compress(packed, sizeof(packed), s->plain, 2 * RS_CHUNK_SIZE));
        expect_first_refused(s, RS_REASON_CODEC);
}

static void another_payload_is_refused_as_frame_digest(void **state) {
        Sample *s = *state;

        s->table->frames[0].payload_sha256[31] ^= 1;
        expect_first_refused(s, RS_REASON_FRAME_DIGEST);
}

static void plaintext_with_other_leaves_is_refused_as_chunk_digest(void **state) {
        Sample *s = *state;

        s->plain[123456] ^= 1;
        set_payload(s, 0, FRAME_KIND_RAW, s->plain, RS_CHUNK_SIZE);
        expect_first_refused(s, RS_REASON_CHUNK_DIGEST);
        set_payload(s, 0, FRAME_KIND_ZERO, NULL, 0);
        expect_first_refused(s, RS_REASON_CHUNK_DIGEST);
}

static void a_dup_whose_digests_are_not_its_originals_is_refused(void **state) {
        Sample *s = *state;
        RsError err;

        s->table->frames[1] = (Frame){ .kind = FRAME_KIND_DUP, .dup_of = 0 };
        assert_int_equal(read_all(s, &err), 1);
        assert_int_equal(err.reason, RS_REASON_CHUNK_DIGEST);
        memcpy(s->table->chunk_digests[1], s->table->chunk_digests[0], RS_DIGEST_SIZE);
        assert_int_equal(read_all(s, &err), 2);
}

static void frames_that_end_early_are_refused(void **state) {
        Sample *s = *state;
        RsError err;

        assert_int_equal(ftruncate(s->file.fd, SIZE - 1), 0);
        assert_int_equal(read_all(s, &err), 1);
        assert_int_equal(err.reason, RS_REASON_IO);
}

/* The TABLE section behind the two frames; the manifest names its digest. */
static int check_table(Sample *s, RsError *err) {
        ManifestImage *image = &s->manifest.images[0];
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        _cleanup_(table_freep) Table *t = NULL;

        *err = RS_ERROR_INIT;
        image->frame_chunks = 1;
        image->n_chunks = 2;
        image->table_size = table_size(2, 2);
        assert_int_equal(table_encode(s->table, &e, err), 0);
        assert_int_equal(digest_sha256(encoder_view(&e), image->table_sha256, err), 0);
        assert_int_equal(file_pwrite_all(s->file.fd, e.data, e.size, SIZE, err), 0);
        s->file.header.tables[0] = (BundleSection){ .offset = SIZE, .length = e.size };
        return bundle_file_table(&s->file, 0, &t, err);
}

static void a_table_must_give_the_root_and_the_length_of_frames(void **state) {
        Sample *s = *state;
        _cleanup_(hashtree_freep) HashTree *tree = NULL;
        RsError err = RS_ERROR_INIT;

        s->file.header.frames[0].length = SIZE;
        assert_true(check_table(s, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_ROOT);
        err = RS_ERROR_INIT;
        assert_int_equal(hashtree_new(SPAN_ARRAY(s->manifest.images[0].salt), &tree, &err), 0);
        assert_int_equal(hashtree_root(tree, (const uint8_t(*)[RS_DIGEST_SIZE]) s->table->chunk_digests, 2,
                                       s->manifest.images[0].root, &err),
                         0);
        assert_int_equal(check_table(s, &err), 0);
        s->file.header.frames[0].length = SIZE + 1;
        assert_true(check_table(s, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_FORMAT);
        s->table->frames[1].kind = (FrameKind) 9; /* signed, and still not well-formed */
        assert_true(check_table(s, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_TABLE);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = {
                T(good_frames_are_given_out_in_order),
                T(zstd_frames_are_decoded),
                T(a_payload_that_is_no_zstd_frame_is_refused_as_codec),
                T(a_zstd_frame_of_another_size_is_refused_before_decoding),
                T(another_payload_is_refused_as_frame_digest),
                T(plaintext_with_other_leaves_is_refused_as_chunk_digest),
                T(a_dup_whose_digests_are_not_its_originals_is_refused),
                T(frames_that_end_early_are_refused),
                T(a_table_must_give_the_root_and_the_length_of_frames),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
