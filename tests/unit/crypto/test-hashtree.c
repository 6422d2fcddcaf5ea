/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The verity tree against veritysetup (cryptsetup-bin), on plain files: root, tree and superblock byte for byte, from
 * the chunk digests alone (DESIGN.md D3).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <reseal/base/file.h>
#include <reseal/base/text.h>
#include <reseal/crypto/hashtree.h>

#define UUID_TEXT "00112233-4455-6677-8899-aabbccddeeff"
static const uint8_t uuid[16] = { 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
                                  0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff };

typedef struct Made {
        uint64_t size;
        uint32_t n_chunks;
        uint8_t (*digests)[RS_DIGEST_SIZE];
        uint8_t *tree; /* superblock and tree as we make them */
        size_t tree_size;
        uint8_t root[RS_DIGEST_SIZE];
        uint64_t n_emitted;
} Made;

static int make_directory(void **state) {
        char template[] = "/tmp/reseal-hashtree-XXXXXX";

        if (!mkdtemp(template))
                return -1;
        *state = strdup(template);
        return 0;
}

static int remove_directory(void **state) {
        static const char *const names[] = { "data", "hash", "out" };

        for (unsigned i = 0; i < ELEMENTSOF(names); i++) {
                char path[128];

                (void) snprintf(path, sizeof(path), "%s/%s", (char *) *state, names[i]);
                (void) unlink(path);
        }
        (void) rmdir(*state);
        free(*state);
        return 0;
}

/* Not random, but no two blocks alike. */
static void fill(uint8_t *data, size_t size, uint64_t seed) {
        for (size_t i = 0; i + 8 <= size; i += 8) {
                seed = seed * 6364136223846793005u + 1442695040888963407u;
                memcpy(data + i, &seed, 8);
        }
}

static int on_block(void *userdata, uint64_t block, const uint8_t *data, RsError *err) {
        Made *m = userdata;

        (void) err;
        assert_true(block == m->n_emitted++);
        memcpy(m->tree + RS_BLOCK_SIZE * (1 + block), data, RS_BLOCK_SIZE);
        return 0;
}

static void make(const char *data_path, uint64_t size, Span salt, Made *m) {
        _cleanup_(hashtree_freep) HashTree *t = NULL;
        _cleanup_(closep) int fd = open(data_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        uint8_t *chunk = malloc(RS_CHUNK_SIZE);
        RsError err = RS_ERROR_INIT;
        HashTreeLayout layout;

        assert_true(fd >= 0 && chunk);
        assert_int_equal(hashtree_new(salt, &t, &err), 0);
        hashtree_layout(size, &layout);
        *m = (Made){ .size = size, .n_chunks = (uint32_t) ((size + RS_CHUNK_SIZE - 1) / RS_CHUNK_SIZE) };
        m->digests = calloc(m->n_chunks, RS_DIGEST_SIZE);
        m->tree_size = (size_t) (1 + layout.total_blocks) * RS_BLOCK_SIZE;
        m->tree = calloc(1, m->tree_size);
        assert_true(m->digests && m->tree);
        assert_int_equal(layout.level_blocks[0], m->n_chunks);
        assert_int_equal(layout.level_offset[layout.n_levels - 1], 0);
        for (uint32_t i = 0; i < m->n_chunks; i++) {
                uint64_t at = (uint64_t) i * RS_CHUNK_SIZE;
                size_t n = size - at < RS_CHUNK_SIZE ? (size_t) (size - at) : RS_CHUNK_SIZE;
                uint8_t *leaves = m->tree + RS_BLOCK_SIZE * (1 + layout.level_offset[0] + i);

                fill(chunk, n, i);
                assert_int_equal(file_pwrite_all(fd, chunk, n, at, &err), 0);
                assert_int_equal(hashtree_chunk(t, SPAN(chunk, n), m->digests[i], leaves, &err), 0);
        }
        free(chunk);
        hashtree_superblock(size, salt, uuid, m->tree);
        assert_int_equal(hashtree_upper_levels(t, (const uint8_t(*)[RS_DIGEST_SIZE]) m->digests, m->n_chunks,
                                               on_block, m, m->root, &err),
                         0);
        assert_true(m->n_emitted == layout.level_offset[0]);
}

static void made_done(Made *m) {
        free(m->digests);
        free(m->tree);
}

static void expect_as_veritysetup(const char *dir, uint64_t size, const uint8_t *salt, size_t salt_size) {
        char data[128], hash[128], out[128], salt_hex[64 * 2 + 1] = "-", root_hex[HEX_SIZE(RS_DIGEST_SIZE)],
                                                               command[1024];
        _cleanup_(made_done) Made m = { 0 };
        _cleanup_(hashtree_freep) HashTree *t = NULL;
        _cleanup_(freep) uint8_t *text = NULL, *tree = NULL;
        size_t text_size, tree_size;
        uint8_t root[RS_DIGEST_SIZE];
        RsError err = RS_ERROR_INIT;

        (void) snprintf(data, sizeof(data), "%s/data", dir);
        (void) snprintf(hash, sizeof(hash), "%s/hash", dir);
        (void) snprintf(out, sizeof(out), "%s/out", dir);
        (void) unlink(hash);
        make(data, size, SPAN(salt, salt_size), &m);
        if (salt_size > 0)
                hex_encode(SPAN(salt, salt_size), salt_hex);
        (void) snprintf(command, sizeof(command),
                        "PATH=$PATH:/usr/sbin:/sbin veritysetup format --salt=%s --uuid=" UUID_TEXT
                        " %s %s >%s",
                        salt_hex, data, hash, out);
        assert_int_equal(system(command), 0);

        hex_encode(SPAN_ARRAY(m.root), root_hex);
        assert_int_equal(file_read(AT_FDCWD, out, 65536, &text, &text_size, &err), 1);
        if (!strstr((const char *) text, root_hex))
                fail_msg("size %llu: root %s is not veritysetup's:\n%s", (unsigned long long) size, root_hex,
                         (char *) text);
        assert_int_equal(file_read(AT_FDCWD, hash, m.tree_size, &tree, &tree_size, &err), 1);
        assert_int_equal(tree_size, m.tree_size);
        assert_memory_equal(tree, m.tree, tree_size);

        assert_int_equal(hashtree_new(SPAN(salt, salt_size), &t, &err), 0);
        assert_int_equal(hashtree_root(t, (const uint8_t(*)[RS_DIGEST_SIZE]) m.digests, m.n_chunks, root,
                                       &err),
                         0);
        assert_memory_equal(root, m.root, sizeof(root));
}

static void root_tree_and_superblock_equal_those_of_veritysetup(void **state) {
        static const uint32_t
                        n_blocks
                                        [] = {
                                                2,         127,           128,       129,       255,
                                                256,       1000,          127 * 128, 128 * 128, 128 * 128 + 1,
                                                129 * 128, 129 * 128 + 5, /* around 128 chunks: one more level */
                                        };
        uint8_t salt[RS_SALT_SIZE];

        fill(salt, sizeof(salt), 99);
        for (unsigned i = 0; i < ELEMENTSOF(n_blocks); i++)
                expect_as_veritysetup(*state, (uint64_t) n_blocks[i] * RS_BLOCK_SIZE, salt, sizeof(salt));
}

static void other_salt_lengths_work_too(void **state) {
        uint8_t salt[64];

        fill(salt, sizeof(salt), 7);
        expect_as_veritysetup(*state, 300 * RS_BLOCK_SIZE, salt, 64);
        expect_as_veritysetup(*state, 300 * RS_BLOCK_SIZE, salt, 8);
        expect_as_veritysetup(*state, 300 * RS_BLOCK_SIZE, salt, 0);
}

static void a_salt_beyond_the_superblock_is_refused(void **state) {
        uint8_t salt[257] = { 0 };
        HashTree *t = NULL;
        RsError err = RS_ERROR_INIT;

        (void) state;
        assert_true(hashtree_new(SPAN_ARRAY(salt), &t, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_INTERNAL);
        assert_null(t);
        assert_int_equal(hashtree_new(SPAN(salt, 256), &t, &err), 0);
        t = hashtree_free(t);
}

static void one_flipped_bit_changes_the_chunk_digest(void **state) {
        static uint8_t chunk[RS_CHUNK_SIZE];
        _cleanup_(hashtree_freep) HashTree *t = NULL;
        uint8_t digest[RS_DIGEST_SIZE], other[RS_DIGEST_SIZE];
        RsError err = RS_ERROR_INIT;

        (void) state;
        assert_int_equal(hashtree_new(SPAN("salt", 4), &t, &err), 0);
        assert_int_equal(hashtree_chunk(t, SPAN_ARRAY(chunk), digest, NULL, &err), 0);
        for (size_t at = 0; at < sizeof(chunk); at += sizeof(chunk) / 4 - 1) {
                chunk[at] ^= 0x80;
                assert_int_equal(hashtree_chunk(t, SPAN_ARRAY(chunk), other, NULL, &err), 0);
                assert_memory_not_equal(digest, other, sizeof(digest));
                chunk[at] ^= 0x80;
        }
        /* A chunk that lacks its last block is not the chunk with a block of zeros. */
        assert_int_equal(hashtree_chunk(t, SPAN(chunk, sizeof(chunk) - RS_BLOCK_SIZE), other, NULL, &err), 0);
        assert_memory_not_equal(digest, other, sizeof(digest));
}

static void the_layout_of_the_largest_image_fits(void **state) {
        HashTreeLayout l;

        (void) state;
        hashtree_layout(RS_IMAGE_SIZE_MAX, &l);
        assert_int_equal(l.n_levels, 4);
        assert_int_equal(l.level_blocks[0], RS_CHUNKS_MAX);
        assert_int_equal(l.level_blocks[3], 1);
        assert_int_equal(l.total_blocks, RS_CHUNKS_MAX + 256 + 2 + 1);
        assert_int_equal(l.level_offset[0], 256 + 2 + 1);
        hashtree_layout(RS_BLOCK_SIZE, &l);
        assert_int_equal(l.n_levels, 0);
        assert_int_equal(l.total_blocks, 0);
}

static int stop_at_once(void *userdata, uint64_t block, const uint8_t *data, RsError *err) {
        (void) userdata;
        (void) block;
        (void) data;
        return rs_fail(err, NO_SPACE, "full");
}

static void a_refusing_receiver_stops_the_tree(void **state) {
        static const uint8_t digests[2][RS_DIGEST_SIZE];
        _cleanup_(hashtree_freep) HashTree *t = NULL;
        uint8_t root[RS_DIGEST_SIZE];
        RsError err = RS_ERROR_INIT;

        (void) state;
        assert_int_equal(hashtree_new(SPAN_NULL, &t, &err), 0);
        assert_true(hashtree_upper_levels(t, digests, 2, stop_at_once, NULL, root, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_NO_SPACE);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(root_tree_and_superblock_equal_those_of_veritysetup,
                                                make_directory, remove_directory),
                cmocka_unit_test_setup_teardown(other_salt_lengths_work_too, make_directory,
                                                remove_directory),
                cmocka_unit_test(a_salt_beyond_the_superblock_is_refused),
                cmocka_unit_test(one_flipped_bit_changes_the_chunk_digest),
                cmocka_unit_test(the_layout_of_the_largest_image_fits),
                cmocka_unit_test(a_refusing_receiver_stops_the_tree),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
