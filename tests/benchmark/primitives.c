/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What an installation cannot do without, each step alone, on the data of a real bundle.
 *
 *   primitives PLAIN-BUNDLE SCRATCH
 *
 * PLAIN-BUNDLE is the plain form of the bundle being compared; SCRATCH a block device or file of at least the
 * image's size, overwritten.  One line per primitive: name, bytes it worked on, CPU seconds, wall seconds.
 * tests/bench multiplies nothing: the sum of the CPU column is what "sum of primitives" means in docs/measurements.md.
 *
 * Every step uses the libraries the way the product does (algorithm fetched once, IV-only reset, frames of at most
 * 1 MiB that stay in the cache), but none of the product's own wiring: no ring, no table lookups, no queue.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <zstd.h>

#include <reseal/base/file.h>
#include <reseal/crypto/hashtree.h>
#include <reseal/crypto/xts.h>
#include <reseal/format/bundle.h>
#include <reseal/format/manifest.h>
#include <reseal/format/table.h>
#include <reseal/pki/cms.h>

#include "tls.h"

typedef struct Bench {
        const uint8_t *bundle;
        size_t size;
        BundleHeader header;
        Manifest *manifest;
        Table *table;
        const uint8_t *frames;
        int fd;
        uint8_t *frame;        /* one decoded frame, aligned */
        uint8_t *work;         /* as large, aligned */
        ZSTD_DCtx *zstd;
        EVP_CIPHER_CTX *gcm;
        EVP_MD_CTX *md;
        EVP_MD *sha256;
        HashTree *tree;
        Xts *xts;
        RsError err;
} Bench;

static void die(Bench *b, const char *what) {
        fprintf(stderr, "primitives: %s: %s %s\n", what, rs_reason_name(b->err.reason), b->err.text);
        exit(1);
}

static double seconds(clockid_t clock) {
        struct timespec t;
        (void) clock_gettime(clock, &t);
        return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

/* -- the primitives: each takes one frame --------------------------------------------------------- */

static uint64_t do_gcm(Bench *b, uint32_t f, const uint8_t *payload, uint32_t size) {
        uint8_t nonce[12] = { 0 };
        int n;
        (void) f;

        /* Encryption costs what opening costs, and needs no ciphertext prepared. */
        if (EVP_EncryptInit_ex2(b->gcm, NULL, NULL, nonce, NULL) != 1 ||
            EVP_EncryptUpdate(b->gcm, b->work, &n, payload, (int) size) != 1 ||
            EVP_EncryptFinal_ex(b->gcm, b->work, &n) != 1)
                die(b, "AES-GCM");
        return size;
}

static uint64_t do_payload_sha256(Bench *b, uint32_t f, const uint8_t *payload, uint32_t size) {
        uint8_t digest[32];
        (void) f;

        if (EVP_DigestInit_ex2(b->md, b->sha256, NULL) != 1 || EVP_DigestUpdate(b->md, payload, size) != 1 ||
            EVP_DigestFinal_ex(b->md, digest, NULL) != 1)
                die(b, "SHA-256");
        return size;
}

static uint64_t decode(Bench *b, uint32_t f, const uint8_t *payload, uint32_t size) {
        uint32_t plain = table_frame_plain_size(b->table, f);

        switch (b->table->frames[f].kind) {
        case FRAME_KIND_ZSTD:
                if (ZSTD_decompressDCtx(b->zstd, b->frame, RS_FRAME_SIZE_MAX, payload, size) != plain)
                        die(b, "zstd");
                return plain;
        case FRAME_KIND_RAW:
                memcpy(b->frame, payload, size);
                return plain;
        case FRAME_KIND_ZERO:
        case FRAME_KIND_DUP:
        case _FRAME_KIND_MAX:
        default:
                return 0;
        }
}

/* The ones below work on whatever frame was decoded last: the same amount of work for any content. */
static uint64_t do_copy(Bench *b, uint32_t f, const uint8_t *payload, uint32_t size) {
        uint32_t plain = table_frame_plain_size(b->table, f);
        (void) payload;
        (void) size;
        memcpy(b->work, b->frame, plain);
        return plain;
}

static uint64_t do_leaves(Bench *b, uint32_t f, const uint8_t *payload, uint32_t size) {
        uint32_t plain = table_frame_plain_size(b->table, f);
        uint8_t digest[32];
        (void) payload;
        (void) size;

        for (uint32_t at = 0; at < plain; at += RS_CHUNK_SIZE) {
                uint32_t n = plain - at < RS_CHUNK_SIZE ? plain - at : RS_CHUNK_SIZE;
                if (hashtree_chunk(b->tree, SPAN(b->frame + at, n), digest, NULL, &b->err) < 0)
                        die(b, "leaves");
        }
        return plain;
}

static uint64_t do_xts(Bench *b, uint32_t f, const uint8_t *payload, uint32_t size) {
        uint32_t plain = table_frame_plain_size(b->table, f);
        (void) payload;
        (void) size;
        if (xts_encrypt(b->xts, (uint64_t) f * RS_FRAME_SIZE_MAX, b->frame, b->work, plain, &b->err) < 0)
                die(b, "XTS");
        return plain;
}

static uint64_t do_write(Bench *b, uint32_t f, const uint8_t *payload, uint32_t size) {
        uint32_t plain = table_frame_plain_size(b->table, f);
        uint64_t offset = (uint64_t) f * b->table->frame_chunks * RS_CHUNK_SIZE;
        (void) payload;
        (void) size;
        if (file_pwrite_all(b->fd, b->work, plain, offset, &b->err) < 0)
                die(b, "write");
        if ((f + 1) % 16 == 0 && fdatasync(b->fd) < 0)
                die(b, "fdatasync");
        return plain;
}

static uint64_t do_read(Bench *b, uint32_t f, const uint8_t *payload, uint32_t size) {
        uint32_t plain = table_frame_plain_size(b->table, f);
        uint64_t offset = (uint64_t) f * b->table->frame_chunks * RS_CHUNK_SIZE;
        (void) payload;
        (void) size;
        if (file_pread_all(b->fd, b->work, plain, offset, &b->err) < 0)
                die(b, "read");
        return plain;
}

static const struct {
        const char *name;
        uint64_t (*run)(Bench *b, uint32_t frame, const uint8_t *payload, uint32_t size);
} PRIMITIVES[] = {
        { "aes-gcm-open", do_gcm },
        { "sha256-payload", do_payload_sha256 },
        { "zstd-decode", decode },
        { "copy-from-ring", do_copy },
        { "sha256-leaves", do_leaves },
        { "aes-xts-encrypt", do_xts },
        { "write-direct", do_write },
        { "read-direct", do_read },
        { "aes-xts-decrypt", do_xts },
        { "sha256-leaves-read-back", do_leaves },
};

static void measure(Bench *b, size_t p) {
        uint64_t bytes = 0, at = 0;
        double cpu = seconds(CLOCK_PROCESS_CPUTIME_ID), wall = seconds(CLOCK_MONOTONIC);

        for (uint32_t f = 0; f < b->table->n_frames; f++) {
                uint32_t size = b->table->frames[f].payload_size;
                bytes += PRIMITIVES[p].run(b, f, b->frames + at, size);
                at += size;
        }
        cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
        wall = seconds(CLOCK_MONOTONIC) - wall;
        printf("%-24s %12llu %8.3f %8.3f\n", PRIMITIVES[p].name, (unsigned long long) bytes, cpu, wall);
}

typedef struct Clocks {
        double cpu, wall;
} Clocks;

static void start_clocks(void *userdata) {
        Clocks *c = userdata;
        c->cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
        c->wall = seconds(CLOCK_MONOTONIC);
}

static void measure_tls(Bench *b) {
        Clocks c = { 0 };

        if (tls_receive(b->bundle, b->size, start_clocks, &c) < 0)
                die(b, "TLS");
        printf("%-24s %12zu %8.3f %8.3f\n", "tls-receive", b->size, seconds(CLOCK_PROCESS_CPUTIME_ID) - c.cpu,
               seconds(CLOCK_MONOTONIC) - c.wall);
}

static void load(Bench *b, const char *path) {
        struct stat st;
        _cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
        _cleanup_(freep) uint8_t *json = NULL;
        size_t json_size;
        uint32_t header_size;

        if (fd < 0 || fstat(fd, &st) < 0 || st.st_size < (off_t) RS_BUNDLE_HEADER_FIXED)
                die(b, path);
        b->size = (size_t) st.st_size;
        b->bundle = mmap(NULL, b->size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
        if (b->bundle == MAP_FAILED ||
            bundle_header_size(SPAN(b->bundle, RS_BUNDLE_HEADER_FIXED), &header_size, &b->err) < 0 ||
            bundle_header_parse(SPAN(b->bundle, header_size), &b->header, &b->err) < 0)
                die(b, path);
        if (b->header.encrypted)
                die(b, "the plain form of the bundle is needed");
        if (cms_peek(SPAN(b->bundle + b->header.manifest.offset, b->header.manifest.length), RS_MANIFEST_JSON_MAX,
                     &json, &json_size, &b->err) < 0 ||
            manifest_parse(SPAN(json, json_size), &b->manifest, &b->err) < 0 ||
            table_parse(SPAN(b->bundle + b->header.tables[0].offset, b->header.tables[0].length),
                        &b->manifest->images[0], &b->table, &b->err) < 0)
                die(b, path);
        b->frames = b->bundle + b->header.frames[0].offset;
}

int main(int argc, char **argv) {
        Bench b = { .fd = -EBADF };
        uint8_t key[32] = { 1 }, nonce[12] = { 0 };
        _cleanup_(secret_freep) Secret *xts_key = secret_new_random(64);

        if (argc != 3) {
                fprintf(stderr, "Usage: primitives PLAIN-BUNDLE SCRATCH\n");
                return 2;
        }
        load(&b, argv[1]);
        b.fd = open(argv[2], O_RDWR | O_DIRECT | O_CLOEXEC);
        b.frame = aligned_alloc(RS_BLOCK_SIZE, RS_FRAME_SIZE_MAX);
        b.work = aligned_alloc(RS_BLOCK_SIZE, RS_FRAME_SIZE_MAX + RS_BLOCK_SIZE);
        b.zstd = ZSTD_createDCtx();
        b.gcm = EVP_CIPHER_CTX_new();
        b.md = EVP_MD_CTX_new();
        b.sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
        EVP_CIPHER *gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
        if (b.fd < 0 || !b.frame || !b.work || !b.zstd || !b.gcm || !b.md || !b.sha256 || !gcm || !xts_key ||
            EVP_EncryptInit_ex2(b.gcm, gcm, key, nonce, NULL) != 1 ||
            hashtree_new(SPAN_ARRAY(b.manifest->images[0].salt), &b.tree, &b.err) < 0 ||
            xts_new(xts_key, &b.xts, &b.err) < 0)
                die(&b, argv[2]);
        memset(b.work, 0, RS_FRAME_SIZE_MAX);
        measure_tls(&b);
        for (size_t i = 0; i < ELEMENTSOF(PRIMITIVES); i++)
                measure(&b, i);
        EVP_CIPHER_free(gcm);
        return 0;
}
