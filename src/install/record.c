/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * record - the files of the writer's state directory.
 *
 * Two kinds of change, two ways of writing.  Steps are few and must never be seen half written: the record is
 * replaced
 * as a whole (file_replace).  Windows are many and cheap to lose: the bitmap is made once, with its final size, and a
 * window is one byte overwritten in place, so a checkpoint costs one pwrite and one fdatasync and no metadata.
 * A torn or stale byte there cannot do harm: every window that a resumed record claims is read back at W5, and what
 * is
 * not claimed is written again.  Record and bitmap are tied by a random number: a bitmap of an older installation
 * reads as empty.
 *
 * Each file ends with the SHA-256 of what is before it.  It guards against damage, not against someone who may write
 * here.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/base/span.h>
#include <reseal/crypto/digest.h>
#include <reseal/install/install.h>

#define RECORD_MAGIC "RSINSTL1"
#define BITMAP_MAGIC "RSBITMAP"
#define SLOT_MAGIC "RSSLOTI1"
#define REPORT_MAGIC "RSREPRT1"
#define MAGIC_SIZE 8u
#define BITMAP_HEAD (MAGIC_SIZE + INSTALL_NONCE_SIZE)
#define WINDOW_PROVEN 0x5a
#define FILE_MAX 65536u

static void put_text(Encoder *e, const char *text, size_t size) {
        size_t length = strnlen(text, size);

        encoder_bytes(e, text, length);
        encoder_zeros(e, size - length);
}

static void take_text(Reader *r, char *ret, size_t size) {
        reader_copy(r, ret, size);
        ret[size] = '\0';
}

static int save(int dir_fd, const char *name, Encoder *e, RsError *err) {
        uint8_t digest[SHA256_SIZE];
        int r;

        if (encoder_finish(e) < 0)
                return rs_fail_oom(err);
        r = digest_sha256(SPAN(e->data, e->size), digest, err);
        if (r < 0)
                return r;
        encoder_bytes(e, digest, sizeof(digest));
        if (encoder_finish(e) < 0)
                return rs_fail_oom(err);
        return file_replace(dir_fd, name, SPAN(e->data, e->size), 0600, err);
}

/* 1 with a Reader behind the magic over *ret_data, 0 if the file is absent or damaged or cannot be read. */
static int load(int dir_fd, const char *name, const char *magic, uint8_t **ret_data, Reader *ret, RsError *err) {
        _cleanup_(freep) uint8_t *data = NULL;
        uint8_t digest[SHA256_SIZE];
        RsError unread;
        size_t size;
        Reader reader;
        int r;

        r = file_read_note(dir_fd, name, FILE_MAX, &data, &size, &unread, err);
        if (r <= 0)
                return r;
        if (size < MAGIC_SIZE + SHA256_SIZE || memcmp(data, magic, MAGIC_SIZE) != 0)
                return 0;
        r = digest_sha256(SPAN(data, size - SHA256_SIZE), digest, err);
        if (r < 0)
                return r;
        if (memcmp(digest, data + size - SHA256_SIZE, SHA256_SIZE) != 0)
                return 0;
        reader = READER(SPAN(data + MAGIC_SIZE, size - SHA256_SIZE - MAGIC_SIZE));
        *ret_data = TAKE_PTR(data);
        *ret = reader;
        return 1;
}

int install_record_save(int dir_fd, const InstallRecord *record, RsError *err) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;

        encoder_bytes(&e, RECORD_MAGIC, MAGIC_SIZE);
        encoder_u32(&e, record->step);
        put_text(&e, record->target, INSTALL_NAME_SIZE);
        encoder_u64(&e, record->floor_max);
        encoder_u64(&e, record->release);
        encoder_u32(&e, record->epoch);
        put_text(&e, record->version, RS_NAME_MAX);
        encoder_bytes(&e, record->bundle_id, sizeof(record->bundle_id));
        encoder_bytes(&e, record->nonce, sizeof(record->nonce));
        encoder_u32(&e, record->n_images);
        for (uint32_t i = 0; i < record->n_images; i++) {
                put_text(&e, record->images[i].class_name, INSTALL_NAME_SIZE);
                put_text(&e, record->images[i].slot_name, INSTALL_NAME_SIZE);
                encoder_u64(&e, record->images[i].size);
                encoder_u32(&e, record->images[i].n_windows);
                encoder_u32(&e, record->images[i].finished ? 1 : 0);
        }
        return save(dir_fd, INSTALL_FILE_RECORD, &e, err);
}

int install_record_load(int dir_fd, InstallRecord *ret, RsError *err) {
        _cleanup_(freep) uint8_t *data = NULL;
        InstallRecord record = { 0 };
        Reader r;
        int k;

        k = load(dir_fd, INSTALL_FILE_RECORD, RECORD_MAGIC, &data, &r, err);
        if (k <= 0)
                return k;
        record.step = reader_u32(&r);
        take_text(&r, record.target, INSTALL_NAME_SIZE);
        record.floor_max = reader_u64(&r);
        record.release = reader_u64(&r);
        record.epoch = reader_u32(&r);
        take_text(&r, record.version, RS_NAME_MAX);
        reader_copy(&r, record.bundle_id, sizeof(record.bundle_id));
        reader_copy(&r, record.nonce, sizeof(record.nonce));
        record.n_images = reader_u32(&r);
        if (record.n_images == 0 || record.n_images > RS_IMAGES_MAX)
                return 0;
        for (uint32_t i = 0; i < record.n_images; i++) {
                take_text(&r, record.images[i].class_name, INSTALL_NAME_SIZE);
                take_text(&r, record.images[i].slot_name, INSTALL_NAME_SIZE);
                record.images[i].size = reader_u64(&r);
                record.images[i].n_windows = reader_u32(&r);
                record.images[i].finished = reader_u32(&r) != 0;
                if (record.images[i].n_windows > INSTALL_WINDOWS_MAX)
                        return 0;
        }
        if (reader_finish(&r) < 0 || record.step == 0 || record.step >= _INSTALL_STEP_MAX)
                return 0;
        *ret = record;
        return 1;
}

int install_record_remove(int dir_fd, RsError *err) {
        int r;

        r = file_remove(dir_fd, INSTALL_FILE_RECORD, err);
        if (r < 0)
                return r;
        r = file_remove(dir_fd, INSTALL_FILE_BITMAP, err);
        if (r < 0)
                return r;
        for (uint32_t i = 0; i < RS_IMAGES_MAX; i++) {
                char name[32];

                (void) snprintf(name, sizeof(name), INSTALL_FILE_HEADER, i);
                if (faccessat(dir_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
                        continue;
                r = file_remove(dir_fd, name, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* -- bitmap ----------------------------------------------------------------------------------------------------- */

static uint64_t window_offset(const InstallRecord *record, uint32_t image, uint32_t window) {
        uint64_t offset = BITMAP_HEAD;

        for (uint32_t i = 0; i < image; i++)
                offset += record->images[i].n_windows;
        return offset + window;
}

int install_bitmap_create(int dir_fd, const InstallRecord *record, RsError *err) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;

        encoder_bytes(&e, BITMAP_MAGIC, MAGIC_SIZE);
        encoder_bytes(&e, record->nonce, sizeof(record->nonce));
        encoder_zeros(&e, window_offset(record, record->n_images, 0) - BITMAP_HEAD);
        if (encoder_finish(&e) < 0)
                return rs_fail_oom(err);
        return file_replace(dir_fd, INSTALL_FILE_BITMAP, SPAN(e.data, e.size), 0600, err);
}

int install_bitmap_open(int dir_fd, const InstallRecord *record, int *ret_fd, RsError *err) {
        _cleanup_(closep) int fd = -EBADF;
        uint8_t head[BITMAP_HEAD];
        struct stat st;
        int r;

        fd = openat(dir_fd, INSTALL_FILE_BITMAP, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0 && (errno == ENOENT || errno == ELOOP || errno == EISDIR)) /* or no file that is ours */
                return 0;
        if (fd < 0)
                return rs_fail_errno(err, errno, INSTALL_FILE_BITMAP);
        if (fstat(fd, &st) < 0)
                return rs_fail_errno(err, errno, INSTALL_FILE_BITMAP);
        if (!S_ISREG(st.st_mode) || st.st_size != (off_t) window_offset(record, record->n_images, 0))
                return 0;
        r = file_pread_all(fd, head, sizeof(head), 0, err);
        if (r < 0)
                return r;
        if (memcmp(head, BITMAP_MAGIC, MAGIC_SIZE) != 0 ||
            memcmp(head + MAGIC_SIZE, record->nonce, INSTALL_NONCE_SIZE) != 0)
                return 0;
        *ret_fd = TAKE_FD(fd);
        return 1;
}

int install_bitmap_set(int fd, const InstallRecord *record, uint32_t image, uint32_t window, RsError *err) {
        const uint8_t proven = WINDOW_PROVEN;
        int r;

        r = file_pwrite_all(fd, &proven, 1, window_offset(record, image, window), err);
        if (r < 0)
                return r;
        if (fdatasync(fd) < 0)
                return rs_fail_errno(err, errno, INSTALL_FILE_BITMAP);
        return 0;
}

int install_bitmap_read(int fd, const InstallRecord *record, uint32_t image, uint8_t *ret_bits, RsError *err) {
        uint8_t bytes[INSTALL_WINDOWS_MAX];
        uint32_t n = record->images[image].n_windows;
        int r;

        if (n > sizeof(bytes))
                return rs_fail(err, SIZE, "image %u has %u windows", image, n);
        r = file_pread_all(fd, bytes, n, window_offset(record, image, 0), err);
        if (r < 0)
                return r;
        memset(ret_bits, 0, (INSTALL_WINDOWS_MAX + 7) / 8);
        for (uint32_t i = 0; i < n; i++)
                if (bytes[i] == WINDOW_PROVEN)
                        ret_bits[i / 8] |= (uint8_t) (1u << (i % 8));
        return 0;
}

/* -- finished slots --------------------------------------------------------------------------------------------- */

static void slot_file(const char *boot_name, char ret[INSTALL_NAME_SIZE + 16]) {
        (void) snprintf(ret, INSTALL_NAME_SIZE + 16, INSTALL_FILE_SLOT, boot_name);
}

int install_slot_save(int dir_fd, const InstallSlot *slot, RsError *err) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        char name[INSTALL_NAME_SIZE + 16];

        encoder_bytes(&e, SLOT_MAGIC, MAGIC_SIZE);
        put_text(&e, slot->boot_name, INSTALL_NAME_SIZE);
        encoder_u64(&e, slot->release);
        encoder_u32(&e, slot->epoch);
        encoder_u64(&e, slot->floor_max);
        put_text(&e, slot->version, RS_NAME_MAX);
        encoder_bytes(&e, slot->bundle_id, sizeof(slot->bundle_id));
        slot_file(slot->boot_name, name);
        return save(dir_fd, name, &e, err);
}

int install_slot_load(int dir_fd, const char *boot_name, InstallSlot *ret, RsError *err) {
        _cleanup_(freep) uint8_t *data = NULL;
        char name[INSTALL_NAME_SIZE + 16];
        InstallSlot slot = { 0 };
        Reader r;
        int k;

        slot_file(boot_name, name);
        k = load(dir_fd, name, SLOT_MAGIC, &data, &r, err);
        if (k <= 0)
                return k;
        take_text(&r, slot.boot_name, INSTALL_NAME_SIZE);
        slot.release = reader_u64(&r);
        slot.epoch = reader_u32(&r);
        slot.floor_max = reader_u64(&r);
        take_text(&r, slot.version, RS_NAME_MAX);
        reader_copy(&r, slot.bundle_id, sizeof(slot.bundle_id));
        if (reader_finish(&r) < 0 || strcmp(slot.boot_name, boot_name) != 0)
                return 0;
        *ret = slot;
        return 1;
}

int install_slot_remove(int dir_fd, const char *boot_name, RsError *err) {
        char name[INSTALL_NAME_SIZE + 16];
        int r;

        slot_file(boot_name, name);
        r = file_remove(dir_fd, name, err);
        return r < 0 ? r : 0;
}

/* -- reports of trials ------------------------------------------------------------------------------------------ */

static void report_file(const char *boot_name, char ret[INSTALL_NAME_SIZE + 16]) {
        (void) snprintf(ret, INSTALL_NAME_SIZE + 16, INSTALL_FILE_REPORT, boot_name);
}

int install_report_save(int dir_fd, const InstallReport *report, RsError *err) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        char name[INSTALL_NAME_SIZE + 16];

        encoder_bytes(&e, REPORT_MAGIC, MAGIC_SIZE);
        put_text(&e, report->boot_name, INSTALL_NAME_SIZE);
        encoder_bytes(&e, report->bundle_id, sizeof(report->bundle_id));
        put_text(&e, report->text, INSTALL_REPORT_SIZE);
        report_file(report->boot_name, name);
        return save(dir_fd, name, &e, err);
}

int install_report_load(int dir_fd, const char *boot_name, const uint8_t bundle_id[RS_DIGEST_SIZE], InstallReport *ret,
                        RsError *err) {
        _cleanup_(freep) uint8_t *data = NULL;
        char name[INSTALL_NAME_SIZE + 16];
        InstallReport report = { 0 };
        Reader r;
        int k;

        report_file(boot_name, name);
        k = load(dir_fd, name, REPORT_MAGIC, &data, &r, err);
        if (k <= 0)
                return k;
        take_text(&r, report.boot_name, INSTALL_NAME_SIZE);
        reader_copy(&r, report.bundle_id, sizeof(report.bundle_id));
        take_text(&r, report.text, INSTALL_REPORT_SIZE);
        if (reader_finish(&r) < 0 || strcmp(report.boot_name, boot_name) != 0 ||
            memcmp(report.bundle_id, bundle_id, RS_DIGEST_SIZE) != 0)
                return 0;
        *ret = report;
        return 1;
}

int install_report_remove(int dir_fd, const char *boot_name, RsError *err) {
        char name[INSTALL_NAME_SIZE + 16];
        int r;

        report_file(boot_name, name);
        r = file_remove(dir_fd, name, err);
        return r < 0 ? r : 0;
}
