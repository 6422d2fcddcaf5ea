/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Packing: kinds of frames, the same table from any number of threads, clean failures. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <reseal/base/file.h>

#include "pack.h"

#define FRAME RS_CHUNK_SIZE

static int image_fd(const char *frames) {
        int fd = memfd_create("image", MFD_CLOEXEC);
        uint8_t *data = malloc(FRAME);
        RsError err = RS_ERROR_INIT;

        assert_true(fd >= 0 && data);
        for (uint64_t i = 0; frames[i]; i++) {
                uint64_t x = (uint64_t) frames[i];

                /* '0' zeros, lower case packs well, upper case does not pack; equal letters, equal content */
                for (size_t k = 0; k < FRAME; k += 8) {
                        x = x * 6364136223846793005u + 1442695040888963407u;
                        uint64_t word = frames[i] == '0'   ? 0
                                        : frames[i] >= 'a' ? (uint64_t) frames[i]
                                                           : x ^ x >> 29;

                        memcpy(data + k, &word, 8);
                }
                assert_int_equal(file_pwrite_all(fd, data, FRAME, i * FRAME, &err), 0);
        }
        free(data);
        return fd;
}

static Table *pack(int fd, uint64_t file_size, uint64_t size, uint32_t frame_chunks, unsigned n_jobs,
                   uint64_t *ret_payload, RsError *err) {
        PackInput in = { .fd = fd,
                         .file_size = file_size,
                         .size = size,
                         .frame_chunks = frame_chunks,
                         .level = 1,
                         .n_jobs = n_jobs };
        _cleanup_(closep) int payload_fd = memfd_create("payload", MFD_CLOEXEC);
        Progress progress;
        Table *t = NULL;

        *err = RS_ERROR_INIT;
        *ret_payload = 0;
        progress_start(&progress, "packing", size, true);
        if (pack_image(&in, payload_fd, ret_payload, &progress, &t, err) < 0)
                assert_null(t);
        return t;
}

static void expect_kinds(const char *frames, uint32_t frame_chunks, const char *kinds) {
        static const char letters[] = "?zdRP"; /* by FrameKind: zero, dup, raw, packed */
        _cleanup_(closep) int fd = image_fd(frames);
        uint64_t size = strlen(frames) * FRAME;

        for (unsigned n_jobs = 1; n_jobs <= 5; n_jobs += 2) {
                _cleanup_(table_freep) Table *t = NULL;
                uint64_t payload;
                RsError err;

                t = pack(fd, size, size, frame_chunks, n_jobs, &payload, &err);
                assert_non_null(t);
                assert_int_equal(t->n_frames, strlen(kinds));
                for (uint32_t i = 0; i < t->n_frames; i++)
                        if (letters[t->frames[i].kind] != kinds[i])
                                fail_msg("%s: frame %u is %c, not %c", frames, i, letters[t->frames[i].kind],
                                         kinds[i]);
                assert_int_equal(payload, table_frames_size(t, false));
        }
}

static void each_frame_takes_the_cheapest_kind(void **state) {
        (void) state;
        expect_kinds("0", 1, "z");
        expect_kinds("a0B", 1, "PzR");
        expect_kinds("aBaB0a0B", 1, "PRddzdzd");
        expect_kinds("aaaaaaaaaaaaaaaa", 1, "Pddddddddddddddd");
        expect_kinds("abababab", 2, "Pddd");
        expect_kinds("ab0a000b", 2, "PPzP");
        /* the last frame is shorter: equal beginnings do not make it a dup */
        expect_kinds("AAA", 2, "RR");
        expect_kinds("AAAAA", 2, "RdR");
}

static void dup_names_the_first_frame_with_the_content(void **state) {
        _cleanup_(closep) int fd = image_fd("0aAaAAa");
        static const uint32_t dup_of[] = { 0, 0, 0, 1, 2, 2, 1 };
        uint64_t payload;
        RsError err;

        (void) state;
        for (unsigned n_jobs = 1; n_jobs < 4; n_jobs++) {
                _cleanup_(table_freep) Table *t = pack(fd, 7 * FRAME, 7 * FRAME, 1, n_jobs, &payload, &err);

                assert_non_null(t);
                for (uint32_t i = 0; i < 7; i++)
                        assert_int_equal(t->frames[i].dup_of, dup_of[i]);
        }
}

static void what_is_behind_the_file_counts_as_zeros(void **state) {
        _cleanup_(closep) int fd = image_fd("aB");
        _cleanup_(table_freep) Table *t = NULL, *whole = NULL;
        uint64_t payload;
        RsError err;

        (void) state;
        t = pack(fd, FRAME, 3 * FRAME, 1, 2, &payload, &err); /* told to stop after the first frame */
        assert_non_null(t);
        assert_int_equal(t->frames[1].kind, FRAME_KIND_ZERO);
        assert_int_equal(t->frames[2].kind, FRAME_KIND_ZERO);
        assert_int_equal(ftruncate(fd, 3 * FRAME), 0);
        whole = pack(fd, 3 * FRAME, 3 * FRAME, 1, 2, &payload, &err);
        assert_non_null(whole);
        assert_memory_equal(t->chunk_digests[2], whole->chunk_digests[2], RS_DIGEST_SIZE);
}

static void an_image_that_shrinks_meanwhile_is_a_failure(void **state) {
        _cleanup_(closep) int fd = image_fd("aBaB");
        uint64_t payload;
        RsError err;

        (void) state;
        for (unsigned n_jobs = 1; n_jobs < 6; n_jobs++) {
                assert_null(pack(fd, 9 * FRAME, 9 * FRAME, 1, n_jobs, &payload, &err));
                assert_int_equal(err.reason, RS_REASON_IO);
                assert_non_null(strstr(err.text, "frame 4"));
        }
}

static void sizes_are_shown_for_people(void **state) {
        char text[SIZE_TEXT];

        (void) state;
        assert_string_equal(size_text(0, text), "0 B");
        assert_string_equal(size_text(1023, text), "1023 B");
        assert_string_equal(size_text(1024, text), "1.0 KiB");
        assert_string_equal(size_text(1536, text), "1.5 KiB");
        assert_string_equal(size_text(RS_IMAGE_SIZE_MAX, text), "16.0 GiB");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(each_frame_takes_the_cheapest_kind),
                cmocka_unit_test(dup_names_the_first_frame_with_the_content),
                cmocka_unit_test(what_is_behind_the_file_counts_as_zeros),
                cmocka_unit_test(an_image_that_shrinks_meanwhile_is_a_failure),
                cmocka_unit_test(sizes_are_shown_for_people),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
