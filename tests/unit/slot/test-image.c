/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writing an image and proving it (W4, W5).  grub-fstest and veritysetup are the second opinion.  Faults come through
 * the linker: pwrite, pread and fdatasync of the code under test are the wrapped ones below.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <libcryptsetup.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/text.h>
#include <reseal/crypto/digest.h>
#include <reseal/crypto/hashtree.h>
#include <reseal/crypto/xts.h>
#include <reseal/slot/image.h>
#include <reseal/slot/layout.h>

#define MIB (1u << 20)
#define IMAGE_SIZE (33ull * MIB + 256 * 1024 + 3 * 4096) /* three windows, the last frame and chunk short */
#define SLOT_SIZE (48ull * MIB)
#define N_WINDOWS 3u

/* -- faults ---------------------------------------------------------------------------------------- */
typedef enum Fault { FAULT_NONE, FAULT_FAIL, FAULT_SHORT, FAULT_FLIP } Fault;
static struct {
        Fault on_write, on_read, on_flush;
        int errnum;
        unsigned writes_before, reads_before, flushes_before; /* so many pass first */
        uint64_t flip_at;                                     /* in the slot */
        unsigned n_writes;
        bool only_here;                                       /* flushes of other threads do not count */
        pthread_t here;
        char path[96];
} fault;

ssize_t __real_pwrite64(int fd, const void *bytes, size_t size, off_t offset);
ssize_t __wrap_pwrite64(int fd, const void *bytes, size_t size, off_t offset);
ssize_t __real_pread64(int fd, void *bytes, size_t size, off_t offset);
ssize_t __wrap_pread64(int fd, void *bytes, size_t size, off_t offset);
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);

ssize_t __wrap_pwrite64(int fd, const void *bytes, size_t size, off_t offset) {
        fault.n_writes++;
        if (fault.on_write != FAULT_NONE && fault.writes_before-- == 0) {
                if (fault.on_write == FAULT_FAIL) {
                        fault.writes_before = 0;
                        errno = fault.errnum;
                        return -1;
                }
                fault.on_write = FAULT_NONE; /* the rest of it then arrives as a second write */
                size /= 2;
        }
        return __real_pwrite64(fd, bytes, size, offset);
}

ssize_t __wrap_pread64(int fd, void *bytes, size_t size, off_t offset) {
        if (fault.on_read == FAULT_FAIL && fault.reads_before-- == 0) {
                fault.reads_before = 0;
                errno = fault.errnum;
                return -1;
        }
        return __real_pread64(fd, bytes, size, offset);
}

static void flip(const char *path, uint64_t at) {
        int fd = open(path, O_RDWR | O_CLOEXEC);
        uint8_t byte;

        if (fd < 0 || __real_pread64(fd, &byte, 1, (off_t) at) != 1)
                abort();
        byte ^= 0x10;
        if (__real_pwrite64(fd, &byte, 1, (off_t) at) != 1 || close(fd) < 0)
                abort();
}

int __wrap_fdatasync(int fd) {
        if (fault.on_flush != FAULT_NONE && (!fault.only_here || pthread_equal(fault.here, pthread_self())) &&
            fault.flushes_before-- == 0) {
                if (fault.on_flush == FAULT_FAIL) {
                        fault.flushes_before = 0;
                        errno = fault.errnum;
                        return -1;
                }
                fault.on_flush = FAULT_NONE;
                flip(fault.path, fault.flip_at); /* the medium keeps something else than it was given */
        }
        return __real_fdatasync(fd);
}

/* -- one image and one slot ------------------------------------------------------------------------ */
typedef struct Fixture {
        char directory[64], slot[96];
        uint8_t *image;
        Table *table;
        ManifestImage manifest;
        Secret *key;
        SlotImageSpec spec;
        uint8_t cms[5000];
        uint8_t seen[4]; /* windows told by on_window */
        uint32_t n_seen;
        int refuse_window;
        SlotImage *s;
        pthread_t worker;
} Fixture;

static int on_window(void *userdata, uint32_t window, RsError *err) {
        Fixture *f = userdata;

        assert_true(pthread_equal(pthread_self(), f->worker)); /* never on the helper thread */
        assert_true(window < N_WINDOWS && f->n_seen < sizeof(f->seen));
        if (f->refuse_window == (int) window)
                return rs_fail(err, NO_SPACE, "the record");
        f->seen[f->n_seen++] = (uint8_t) window;
        return 0;
}

static void fill_image(uint8_t *image) {
        uint64_t x = 88172645463325252ull;

        for (size_t i = 0; i < IMAGE_SIZE; i += 8) {
                x ^= x << 13;
                x ^= x >> 7;
                x ^= x << 17;
                memcpy(image + i, &x, i + 8 <= IMAGE_SIZE ? 8 : IMAGE_SIZE - i);
        }
        memset(image + 2 * MIB, 0, MIB);                  /* frame 2: zero */
        memcpy(image + 20 * MIB, image + 5 * MIB, MIB);   /* frame 20 repeats 5, of another window */
        memcpy(image + 7 * MIB, image + 6 * MIB, MIB);    /* frame 7 repeats the one just before */
}

static void make_table(Fixture *f, uint32_t frame_chunks) {
        _cleanup_(hashtree_freep) HashTree *t = NULL;
        RsError err = RS_ERROR_INIT;
        uint32_t n = 2 / frame_chunks;

        f->manifest = (ManifestImage){ .class_name = "rootfs", .size = IMAGE_SIZE, .frame_chunks = frame_chunks,
                                       .n_chunks = image_n_chunks(IMAGE_SIZE) };
        memset(f->manifest.salt, 0x5a, sizeof(f->manifest.salt));
        f->table = table_new(IMAGE_SIZE, frame_chunks);
        assert_non_null(f->table);
        assert_int_equal(hashtree_new(SPAN_ARRAY(f->manifest.salt), &t, &err), 0);
        for (uint32_t c = 0; c < f->table->n_chunks; c++)
                assert_int_equal(hashtree_chunk(t, SPAN(f->image + (size_t) c * RS_CHUNK_SIZE,
                                                        image_chunk_size(IMAGE_SIZE, c)),
                                                f->table->chunk_digests[c], NULL, &err), 0);
        assert_int_equal(hashtree_root(t, (const uint8_t (*)[RS_DIGEST_SIZE]) f->table->chunk_digests,
                                       f->table->n_chunks, f->manifest.root, &err), 0);
        for (uint32_t i = 0; i < f->table->n_frames; i++)
                f->table->frames[i].kind = FRAME_KIND_RAW;
        for (uint32_t i = 0; i < n; i++) {
                f->table->frames[2 * n + i].kind = FRAME_KIND_ZERO;
                f->table->frames[20 * n + i] = (Frame){ .kind = FRAME_KIND_DUP, .dup_of = 5 * n + i };
                f->table->frames[7 * n + i] = (Frame){ .kind = FRAME_KIND_DUP, .dup_of = 6 * n + i };
        }
}

static int start_with(void **state, uint32_t frame_chunks, bool encrypted) {
        Fixture *f = calloc(1, sizeof(*f));

        assert_non_null(f);
        memset(&fault, 0, sizeof(fault));
        f->refuse_window = -1;
        f->worker = pthread_self();
        (void) strcpy(f->directory, "/tmp/reseal-test-image-XXXXXX");
        assert_non_null(mkdtemp(f->directory));
        (void) snprintf(f->slot, sizeof(f->slot), "%s/slot", f->directory);
        (void) strcpy(fault.path, f->slot);
        f->image = malloc(IMAGE_SIZE);
        assert_non_null(f->image);
        fill_image(f->image);
        make_table(f, frame_chunks);
        memset(f->cms, 0xc5, sizeof(f->cms));
        f->spec = (SlotImageSpec){
                .fd = open(f->slot, O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600),
                .slot_size = SLOT_SIZE,
                .image = &f->manifest,
                .table = f->table,
                .image_number = 3,
                .manifest_cms = f->cms,
                .manifest_cms_size = sizeof(f->cms),
                .on_window = on_window,
                .userdata = f,
        };
        memset(f->spec.bundle_id, 0xb1, sizeof(f->spec.bundle_id));
        assert_true(f->spec.fd >= 0);
        assert_int_equal(ftruncate(f->spec.fd, SLOT_SIZE), 0);
        f->key = secret_new_random(64);
        assert_non_null(f->key);
        f->spec.volume_key = encrypted ? f->key : NULL;
        *state = f;
        return 0;
}

static int start(void **state) {
        return start_with(state, 2, true);
}

static int start_single(void **state) {
        return start_with(state, 1, true);
}

static int start_plain(void **state) {
        return start_with(state, 2, false);
}

static int done(void **state) {
        Fixture *f = *state;
        char command[128];

        f->s = slot_image_free(f->s);
        memset(&fault, 0, sizeof(fault));
        (void) close(f->spec.fd);
        (void) snprintf(command, sizeof(command), "rm -rf '%s'", f->directory);
        assert_int_equal(system(command), 0);
        f->table = table_free(f->table);
        f->key = secret_free(f->key);
        free(f->image);
        free(f);
        return 0;
}

static void open_image(Fixture *f) {
        RsError err = RS_ERROR_INIT;

        f->s = slot_image_free(f->s);
        f->n_seen = 0;
        if (slot_image_new(&f->spec, &f->s, &err) < 0)
                fail_msg("%s", err.text);
        assert_int_equal(slot_image_n_windows(f->s), N_WINDOWS);
}

static int put_frame(Fixture *f, uint32_t frame, RsError *err) {
        const VerifiedChunk *chunk;
        int r;

        if (f->table->frames[frame].kind == FRAME_KIND_RAW) {
                r = slot_verify_frame(f->s, frame, f->image + (size_t) frame * f->table->frame_chunks * RS_CHUNK_SIZE,
                                      table_frame_plain_size(f->table, frame), &chunk, err);
                return r < 0 ? r : slot_image_write(f->s, chunk, err);
        }
        return slot_image_fill(f->s, frame, err);
}

/* All frames but those of windows in `skip`, then finish. */
static int put_all(Fixture *f, const uint8_t *skip, RsError *err) {
        int r;

        for (uint32_t i = 0; i < f->table->n_frames; i++) {
                uint32_t w = slot_window_of_frame(f->table, i);

                if (skip && (skip[w / 8] & (1u << (w % 8))) != 0)
                        continue;
                r = put_frame(f, i, err);
                if (r < 0)
                        return r;
        }
        return slot_image_finish(f->s, err);
}

static void put_all_well(Fixture *f, const uint8_t *skip) {
        RsError err = RS_ERROR_INIT;

        if (put_all(f, skip, &err) < 0)
                fail_msg("%s: %s", rs_reason_name(err.reason), err.text);
}

static void put_all_fails(Fixture *f, RsReason reason) {
        RsError err = RS_ERROR_INIT;

        assert_true(put_all(f, NULL, &err) < 0);
        if (err.reason != reason)
                fail_msg("%s: %s", rs_reason_name(err.reason), err.text);
}

/* -- second opinions ------------------------------------------------------------------------------- */

static void quiet(int level, const char *message, void *userdata) {
        (void) level;
        (void) message;
        (void) userdata;
}

/* A header with our volume key and a passphrase in front of the data: then anybody's LUKS2 reader can open it. */
static void add_header(Fixture *f) {
        struct crypt_pbkdf_type kdf = { .type = CRYPT_KDF_PBKDF2, .hash = "sha512", .iterations = 1000, .time_ms = 1,
                                        .flags = CRYPT_PBKDF_NO_BENCHMARK };
        struct crypt_params_luks2 params = { .sector_size = 4096, .pbkdf = &kdf };
        struct crypt_device *cd = NULL;
        char header[96], command[256];

        (void) snprintf(header, sizeof(header), "%s/header", f->directory);
        (void) snprintf(command, sizeof(command), "truncate -s 5M %s", header);
        assert_int_equal(system(command), 0);
        crypt_set_log_callback(NULL, quiet, NULL);
        assert_int_equal(crypt_init(&cd, header), 0);
        assert_int_equal(crypt_set_metadata_size(cd, 16384, 2 << 20), 0);
        assert_int_equal(crypt_set_data_offset(cd, SLOT_DATA_OFFSET / 512), 0);
        assert_int_equal(crypt_format(cd, CRYPT_LUKS2, "aes", "xts-plain64", NULL, (const char *) secret_bytes(f->key),
                                      64, &params), 0);
        assert_true(crypt_keyslot_add_by_volume_key(cd, 0, (const char *) secret_bytes(f->key), 64, "word", 4) == 0);
        crypt_free(cd);
        (void) snprintf(command, sizeof(command), "dd if=%s of=%s bs=1M count=4 conv=notrunc status=none", header, f->slot);
        assert_int_equal(system(command), 0);
}

static void grub_and_veritysetup_agree(Fixture *f) {
        char command[512], out[96], root[HEX_SIZE(32)];
        _cleanup_(freep) uint8_t *read = malloc(IMAGE_SIZE);
        FILE *file;

        assert_non_null(read);
        add_header(f);
        (void) snprintf(out, sizeof(out), "%s/out", f->directory);
        (void) snprintf(command, sizeof(command), "echo word | grub-fstest -C %s cp '(crypto0)0+%llu' %s >/dev/null 2>&1",
                        f->slot, (SLOT_SIZE - SLOT_DATA_OFFSET) / 512, out);
        assert_int_equal(system(command), 0);
        file = fopen(out, "rbe");
        assert_non_null(file);
        assert_int_equal(fread(read, 1, IMAGE_SIZE, file), IMAGE_SIZE);
        assert_memory_equal(read, f->image, IMAGE_SIZE);
        (void) fclose(file);
        hex_encode(SPAN_ARRAY(f->manifest.root), root);
        (void) snprintf(command, sizeof(command), "veritysetup verify --hash-offset=%llu %s %s %s 2>&1", IMAGE_SIZE, out,
                        out, root);
        assert_int_equal(system(command), 0);
        root[0] = root[0] == '0' ? '1' : '0';
        (void) snprintf(command, sizeof(command), "veritysetup verify --hash-offset=%llu %s %s %s >/dev/null 2>&1",
                        IMAGE_SIZE, out, out, root);
        assert_int_not_equal(system(command), 0);
}

static void the_slot_is_the_image(Fixture *f) {
        _cleanup_(freep) uint8_t *read = malloc(IMAGE_SIZE);
        FILE *file = fopen(f->slot, "rbe");

        assert_non_null(read);
        assert_non_null(file);
        assert_int_equal(fread(read, 1, IMAGE_SIZE, file), IMAGE_SIZE);
        assert_memory_equal(read, f->image, IMAGE_SIZE);
        (void) fclose(file);
}

/* -- tests ----------------------------------------------------------------------------------------- */

static void what_is_written_others_can_read(void **state) {
        Fixture *f = *state;

        open_image(f);
        put_all_well(f, NULL);
        assert_int_equal(f->n_seen, N_WINDOWS);
        grub_and_veritysetup_agree(f);
}

static void a_plain_slot_holds_the_image_itself_and_nothing_else(void **state) {
        Fixture *f = *state;
        uint8_t rest[4096];

        f->spec.manifest_cms = NULL;
        f->spec.manifest_cms_size = 0;
        open_image(f);
        put_all_well(f, NULL);
        assert_int_equal(f->n_seen, N_WINDOWS);
        the_slot_is_the_image(f);
        {
                FILE *file = fopen(f->slot, "rbe");

                assert_non_null(file);
                assert_int_equal(fseek(file, (long) IMAGE_SIZE, SEEK_SET), 0);
                while (fread(rest, 1, sizeof(rest), file) == sizeof(rest))
                        for (size_t i = 0; i < sizeof(rest); i++)
                                assert_int_equal(rest[i], 0);
                (void) fclose(file);
        }
}

static void trailer_and_locator_lie_where_the_document_says(void **state) {
        Fixture *f = *state;
        _cleanup_(xts_freep) Xts *x = NULL;
        RsError err = RS_ERROR_INIT;
        uint8_t block[4096], digest[32];
        SlotLayout l;
        FILE *file;

        open_image(f);
        put_all_well(f, NULL);
        assert_int_equal(slot_layout(SLOT_KIND_LUKS2, SLOT_SIZE, IMAGE_SIZE, sizeof(f->cms), &l, &err), 0);
        assert_int_equal(xts_new(f->key, &x, &err), 0);
        file = fopen(f->slot, "rbe");
        assert_non_null(file);
        assert_int_equal(fseek(file, (long) SLOT_SIZE - 4096, SEEK_SET), 0);
        assert_int_equal(fread(block, 1, 4096, file), 4096);
        assert_int_equal(xts_decrypt(x, SLOT_SIZE - 4096 - SLOT_DATA_OFFSET, block, block, 4096, &err), 0);
        assert_memory_equal(block, "RSLOCAT1\0\0\0\1\0\0\0\0", 16);
        assert_int_equal(digest_sha256(SPAN(block, 32), digest, &err), 0);
        assert_memory_equal(block + 32, digest, 32);
        assert_int_equal(fseek(file, (long) (SLOT_DATA_OFFSET + l.trailer), SEEK_SET), 0);
        assert_int_equal(fread(block, 1, 4096, file), 4096);
        assert_int_equal(xts_decrypt(x, l.trailer, block, block, 4096, &err), 0);
        assert_memory_equal(block, "RSTRAIL1\0\0\0\1\0\0\x13\x88", 16);
        assert_memory_equal(block + 16, f->spec.bundle_id, 32);
        assert_memory_equal(block + 48, "\0\0\0\3", 4);
        assert_int_equal(fread(block, 1, 4096, file), 4096);
        assert_int_equal(xts_decrypt(x, l.trailer + 4096, block, block, 4096, &err), 0);
        assert_memory_equal(block, f->cms, 4096);
        (void) fclose(file);
}

static void a_wrong_chunk_is_refused_and_nothing_is_written(void **state) {
        Fixture *f = *state;
        const VerifiedChunk *chunk = NULL;

        open_image(f);
        for (size_t at = 0; at < MIB; at += 131071) {
                RsError err = RS_ERROR_INIT;

                f->image[at] ^= 1;
                assert_true(slot_verify_frame(f->s, 0, f->image, MIB, &chunk, &err) < 0);
                assert_int_equal(err.reason, RS_REASON_CHUNK_DIGEST);
                f->image[at] ^= 1;
        }
        assert_null(chunk);
        assert_int_equal(fault.n_writes, 0);
        {
                RsError err = RS_ERROR_INIT;

                assert_true(slot_verify_frame(f->s, f->table->n_frames, f->image, MIB, &chunk, &err) < 0);
                assert_int_equal(err.reason, RS_REASON_RANGE);
                err = RS_ERROR_INIT;
                assert_true(slot_verify_frame(f->s, 0, f->image, MIB - 4096, &chunk, &err) < 0);
                assert_int_equal(err.reason, RS_REASON_RANGE);
                err = RS_ERROR_INIT;
                assert_true(slot_verify_frame(f->s, f->table->n_frames - 1, f->image, MIB, &chunk, &err) < 0);
                assert_int_equal(err.reason, RS_REASON_RANGE);
        }
}

/* T26: the other process changes shared memory after it was judged. */
static void shared_memory_changed_after_the_check_changes_nothing(void **state) {
        Fixture *f = *state;
        const VerifiedChunk *chunk;
        RsError err = RS_ERROR_INIT;
        _cleanup_(freep) uint8_t *shared = malloc(MIB);

        open_image(f);
        assert_non_null(shared);
        memcpy(shared, f->image, MIB);
        assert_int_equal(slot_verify_frame(f->s, 0, shared, MIB, &chunk, &err), 0);
        memset(shared, 0xee, MIB);
        assert_int_equal(slot_image_write(f->s, chunk, &err), 0);
        for (uint32_t i = 1; i < f->table->n_frames; i++)
                assert_int_equal(put_frame(f, i, &err), 0);
        assert_int_equal(slot_image_finish(f->s, &err), 0);
        grub_and_veritysetup_agree(f);
}

static void frames_out_of_turn_are_refused(void **state) {
        Fixture *f = *state;
        const VerifiedChunk *chunk = NULL;
        RsError err = RS_ERROR_INIT;

        open_image(f);
        assert_int_equal(slot_verify_frame(f->s, 1, f->image + MIB, MIB, &chunk, &err), 0);
        assert_true(slot_image_write(f->s, chunk, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_RANGE);
        err = RS_ERROR_INIT;
        assert_int_equal(put_frame(f, 0, &err), 0);
        assert_true(slot_image_write(f->s, chunk, &err) < 0); /* written already: the buffer is ciphertext */
        assert_int_equal(err.reason, RS_REASON_INTERNAL);
        err = RS_ERROR_INIT;
        assert_true(slot_image_fill(f->s, 1, &err) < 0); /* has content of its own */
        assert_int_equal(err.reason, RS_REASON_PROTOCOL);
        err = RS_ERROR_INIT;
        assert_true(slot_image_fill(f->s, 2, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_RANGE);
        err = RS_ERROR_INIT;
        assert_true(slot_image_finish(f->s, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_STATE);
}

static void zero_and_dup_frames_are_held_against_the_table(void **state) {
        Fixture *f = *state;
        RsError err = RS_ERROR_INIT;

        open_image(f);
        assert_int_equal(put_frame(f, 0, &err), 0);
        f->table->frames[1] = (Frame){ .kind = FRAME_KIND_ZERO };
        assert_true(put_frame(f, 1, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_CHUNK_DIGEST);
        err = RS_ERROR_INIT;
        f->table->frames[1] = (Frame){ .kind = FRAME_KIND_DUP, .dup_of = 0 };
        assert_true(put_frame(f, 1, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_CHUNK_DIGEST);
        err = RS_ERROR_INIT;
        f->table->frames[1] = (Frame){ .kind = FRAME_KIND_DUP, .dup_of = 9 };
        assert_true(put_frame(f, 1, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_RANGE);
}

static void a_dup_whose_source_changed_on_the_medium_is_found(void **state) {
        Fixture *f = *state;
        RsError err = RS_ERROR_INIT;

        open_image(f);
        for (uint32_t i = 0; i < 7; i++)
                assert_int_equal(put_frame(f, i, &err), 0);
        flip(f->slot, SLOT_DATA_OFFSET + 6 * MIB + 77);
        assert_true(put_frame(f, 7, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_READ_BACK);
}

static void any_bit_that_the_medium_loses_is_found(void **state) {
        static const uint64_t places[] = {
                0, MIB - 1, 2 * MIB + 5, 15 * MIB, 16 * MIB - 1, 16 * MIB, 32 * MIB - 4096, IMAGE_SIZE - 1,
        };
        Fixture *f = *state;

        for (size_t i = 0; i < ELEMENTSOF(places); i++) {
                open_image(f);
                fault.on_flush = FAULT_FLIP;
                fault.flushes_before = (unsigned) (places[i] / (16 * MIB));
                fault.flip_at = SLOT_DATA_OFFSET + places[i];
                put_all_fails(f, RS_REASON_READ_BACK);
                assert_int_equal(fault.on_flush, FAULT_NONE);
                for (uint32_t w = 0; w < f->n_seen; w++)
                        assert_true(f->seen[w] < places[i] / (16 * MIB));
        }
}

static void bits_lost_in_tree_trailer_and_locator_are_found(void **state) {
        Fixture *f = *state;
        RsError err = RS_ERROR_INIT;
        SlotLayout l;

        assert_int_equal(slot_layout(SLOT_KIND_LUKS2, SLOT_SIZE, IMAGE_SIZE, sizeof(f->cms), &l, &err), 0);
        {
                const uint64_t places[] = { l.superblock + 3, l.tree + 4095, l.trailer,
                                            l.trailer + 4096 + 4999, l.locator };

                for (size_t i = 0; i < ELEMENTSOF(places); i++) {
                        open_image(f);
                        err = RS_ERROR_INIT;
                        for (uint32_t k = 0; k < f->table->n_frames; k++)
                                assert_int_equal(put_frame(f, k, &err), 0);
                        fault.only_here = true; /* the flush of finish, not one of the prover */
                        fault.here = pthread_self();
                        fault.on_flush = FAULT_FLIP;
                        fault.flip_at = SLOT_DATA_OFFSET + places[i];
                        fault.flushes_before = 0;
                        assert_true(slot_image_finish(f->s, &err) < 0);
                        assert_int_equal(err.reason, RS_REASON_READ_BACK);
                }
        }
        open_image(f);
        fault.only_here = false;
        fault.on_flush = FAULT_FLIP; /* a leaf block of the first window */
        fault.flushes_before = 0;
        fault.flip_at = SLOT_DATA_OFFSET + l.leaves + 31 * 4096;
        put_all_fails(f, RS_REASON_READ_BACK);
}

static void failures_of_the_medium_have_clean_reasons(void **state) {
        static const struct {
                int errnum;
                RsReason reason;
        } cases[] = { { ENOSPC, RS_REASON_NO_SPACE }, { EIO, RS_REASON_IO } };
        Fixture *f = *state;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                fault.errnum = cases[i].errnum;
                for (unsigned at = 0; at < 30; at += 13) {
                        open_image(f);
                        fault.on_write = FAULT_FAIL;
                        fault.writes_before = at;
                        put_all_fails(f, cases[i].reason);
                        fault.on_write = FAULT_NONE;
                }
                for (unsigned at = 0; at < 3; at++) {
                        open_image(f);
                        fault.on_flush = FAULT_FAIL;
                        fault.flushes_before = at;
                        put_all_fails(f, cases[i].reason);
                        fault.on_flush = FAULT_NONE;
                }
        }
        for (unsigned at = 0; at < 30; at += 13) {
                open_image(f);
                fault.on_read = FAULT_FAIL;
                fault.reads_before = at;
                put_all_fails(f, RS_REASON_IO);
                fault.on_read = FAULT_NONE;
        }
}

static void a_short_write_is_continued(void **state) {
        Fixture *f = *state;

        open_image(f);
        fault.on_write = FAULT_SHORT;
        fault.writes_before = 4;
        put_all_well(f, NULL);
        assert_int_equal(fault.on_write, FAULT_NONE);
        grub_and_veritysetup_agree(f);
}

static void a_slot_smaller_than_it_said_ends_with_a_reason(void **state) {
        Fixture *f = *state;

        open_image(f);
        assert_int_equal(ftruncate(f->spec.fd, SLOT_DATA_OFFSET + 8 * MIB), 0);
        fault.on_write = FAULT_FAIL;
        fault.writes_before = 8;
        fault.errnum = ENOSPC;
        put_all_fails(f, RS_REASON_NO_SPACE);
}

static void what_the_installer_refuses_ends_the_writing(void **state) {
        Fixture *f = *state;

        open_image(f);
        f->refuse_window = 1;
        put_all_fails(f, RS_REASON_NO_SPACE);
        assert_int_equal(f->n_seen, 1);
}

static void a_resumed_installation_gives_the_same_slot(void **state) {
        static const uint8_t proven[] = { 0x01, 0x02, 0x05, 0x07 };
        Fixture *f = *state;

        open_image(f);
        put_all_well(f, NULL);
        for (size_t i = 0; i < ELEMENTSOF(proven); i++) {
                unsigned n = (unsigned) __builtin_popcount(proven[i]);

                f->spec.proven = &proven[i];
                open_image(f);
                put_all_well(f, &proven[i]);
                assert_int_equal(f->n_seen, N_WINDOWS - n);
        }
        grub_and_veritysetup_agree(f);
}

static void a_resumed_window_that_is_lost_is_found(void **state) {
        static const uint8_t proven = 0x02;
        Fixture *f = *state;
        RsError err = RS_ERROR_INIT;

        open_image(f);
        put_all_well(f, NULL);
        flip(f->slot, SLOT_DATA_OFFSET + 17 * MIB);
        f->spec.proven = &proven;
        open_image(f);
        assert_true(put_all(f, &proven, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_READ_BACK);
}

/* Gigabytes may have to be read again: whoever cancels does not wait for them. */
static void reading_resumed_windows_again_can_be_cancelled(void **state) {
        static const uint8_t proven = 0x02;
        atomic_bool cancelled = true;
        Fixture *f = *state;
        RsError err = RS_ERROR_INIT;

        open_image(f);
        put_all_well(f, NULL);
        f->spec.proven = &proven;
        f->spec.cancelled = &cancelled;
        open_image(f);
        assert_true(put_all(f, &proven, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_CANCELLED);
}

static void stopping_in_the_middle_leaves_no_thread(void **state) {
        Fixture *f = *state;

        for (uint32_t n = 0; n <= f->table->n_frames; n += 8) {
                RsError err = RS_ERROR_INIT;

                open_image(f);
                for (uint32_t i = 0; i < n && i < f->table->n_frames; i++)
                        assert_int_equal(put_frame(f, i, &err), 0);
                f->s = slot_image_free(f->s);
        }
}

static void a_tree_with_another_root_is_not_written(void **state) {
        Fixture *f = *state;

        f->manifest.root[31] ^= 1;
        open_image(f);
        put_all_fails(f, RS_REASON_ROOT);
}

static void an_image_that_does_not_fit_is_not_begun(void **state) {
        Fixture *f = *state;
        RsError err = RS_ERROR_INIT;

        f->spec.slot_size = SLOT_DATA_OFFSET + IMAGE_SIZE;
        assert_true(slot_image_new(&f->spec, &f->s, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_SIZE);
        err = RS_ERROR_INIT;
        f->spec.slot_size = SLOT_SIZE;
        f->manifest.size += 4096;
        assert_true(slot_image_new(&f->spec, &f->s, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_RANGE);
        assert_null(f->s);
}

#define T(test, with) cmocka_unit_test_setup_teardown(test, with, done)
int main(void) {
        const struct CMUnitTest tests[] = {
                T(what_is_written_others_can_read, start),
                T(what_is_written_others_can_read, start_single),
                T(a_plain_slot_holds_the_image_itself_and_nothing_else, start_plain),
                T(trailer_and_locator_lie_where_the_document_says, start),
                T(a_wrong_chunk_is_refused_and_nothing_is_written, start),
                T(shared_memory_changed_after_the_check_changes_nothing, start),
                T(frames_out_of_turn_are_refused, start),
                T(zero_and_dup_frames_are_held_against_the_table, start),
                T(a_dup_whose_source_changed_on_the_medium_is_found, start),
                T(any_bit_that_the_medium_loses_is_found, start),
                T(bits_lost_in_tree_trailer_and_locator_are_found, start),
                T(failures_of_the_medium_have_clean_reasons, start),
                T(failures_of_the_medium_have_clean_reasons, start_plain),
                T(a_short_write_is_continued, start),
                T(a_slot_smaller_than_it_said_ends_with_a_reason, start),
                T(what_the_installer_refuses_ends_the_writing, start),
                T(a_resumed_installation_gives_the_same_slot, start),
                T(a_resumed_window_that_is_lost_is_found, start),
                T(reading_resumed_windows_again_can_be_cancelled, start),
                T(stopping_in_the_middle_leaves_no_thread, start),
                T(a_tree_with_another_root_is_not_written, start),
                T(an_image_that_does_not_fit_is_not_begun, start),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
