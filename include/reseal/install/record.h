/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * record - what the writer remembers of an installation across power cuts, and of each finished slot.
 *
 * Spec:     docs/protocol-writer.md, "State directory"; DESIGN.md 8 (W1, W4, W12)
 * Trust:    the directory is the writer's own; a damaged file counts as absent, a wrong bit is found by reading back
 *           (W5)
 * Owns:     flat values
 * Units:    windows by number; sizes in bytes
 * Errors:   IO, NO_SPACE
 * Context:  worker thread; install_bitmap_set also from the thread that reads back
 * Programs: reseal-writer
 */
#include <stdbool.h>
#include <stdint.h>

#include <reseal/base/error.h>
#include <reseal/format/limits.h>

#define INSTALL_NAME_SIZE 32u
#define INSTALL_NONCE_SIZE 16u
#define INSTALL_REPORT_SIZE 128u
#define INSTALL_WINDOWS_MAX 1024u /* windows of 16 MiB in the largest image */

#define INSTALL_FILE_RECORD "install.record"
#define INSTALL_FILE_BITMAP "install.bitmap"
#define INSTALL_FILE_HEADER "header-%u.luks" /* by image number */
#define INSTALL_FILE_SLOT "slot-%s.info"     /* by boot name */
#define INSTALL_FILE_REPORT "slot-%s.report" /* the same */

typedef struct InstallImage {
        char class_name[INSTALL_NAME_SIZE + 1];
        char slot_name[INSTALL_NAME_SIZE + 1];
        uint64_t size;
        uint32_t n_windows;
        bool finished;           /* W5 done: read back as a whole, with tree and trailer */
} InstallImage;

typedef struct InstallRecord {
        uint32_t step;           /* last W step that is durable; 0: there is no open installation */
        char target[INSTALL_NAME_SIZE + 1];  /* boot name */
        uint64_t floor_max;      /* N of the sealed slot keys */
        uint64_t release;
        uint32_t epoch;
        char version[RS_NAME_MAX + 1];
        uint8_t bundle_id[RS_DIGEST_SIZE];
        uint8_t nonce[INSTALL_NONCE_SIZE];   /* binds the bitmap file to this record */
        uint32_t n_images;
        InstallImage images[RS_IMAGES_MAX];
} InstallRecord;

/* What is known of the release in the slots of one boot name, once it has passed W7. */
typedef struct InstallSlot {
        char boot_name[INSTALL_NAME_SIZE + 1];
        uint64_t release;
        uint32_t epoch;
        uint64_t floor_max;
        char version[RS_NAME_MAX + 1];
        uint8_t bundle_id[RS_DIGEST_SIZE];
} InstallSlot;

/* 1 = read, 0 = none or damaged (then nothing resumes), < 0 failed. */
int install_record_load(int dir_fd, InstallRecord *ret, RsError *err);
int install_record_save(int dir_fd, const InstallRecord *record, RsError *err);
/* Record first, then bitmap and header files: a cut in between leaves files that nothing names. */
int install_record_remove(int dir_fd, RsError *err);

/* The bitmap: one byte per window in a file of fixed size, so that a checkpoint is one pwrite and one fdatasync. */
int install_bitmap_create(int dir_fd, const InstallRecord *record, RsError *err);
/* 1 = opened, 0 = none that belongs to this record. */
int install_bitmap_open(int dir_fd, const InstallRecord *record, int *ret_fd, RsError *err);
int install_bitmap_set(int fd, const InstallRecord *record, uint32_t image, uint32_t window, RsError *err);
/* One bit per window, least significant first, into (INSTALL_WINDOWS_MAX + 7) / 8 bytes. */
int install_bitmap_read(int fd, const InstallRecord *record, uint32_t image, uint8_t *ret_bits, RsError *err);

/* 1 = read, 0 = none or damaged. */
int install_slot_load(int dir_fd, const char *boot_name, InstallSlot *ret, RsError *err);
int install_slot_save(int dir_fd, const InstallSlot *slot, RsError *err);
int install_slot_remove(int dir_fd, const char *boot_name, RsError *err);

/* Why the trial of a release failed, in the words of whoever judged it. */
typedef struct InstallReport {
        char boot_name[INSTALL_NAME_SIZE + 1];
        uint8_t bundle_id[RS_DIGEST_SIZE];
        char text[INSTALL_REPORT_SIZE + 1];
} InstallReport;
/* 1 = read, 0 = none, damaged, or of another release than bundle_id. */
int install_report_load(int dir_fd, const char *boot_name, const uint8_t bundle_id[RS_DIGEST_SIZE], InstallReport *ret,
                        RsError *err);
int install_report_save(int dir_fd, const InstallReport *report, RsError *err);
int install_report_remove(int dir_fd, const char *boot_name, RsError *err);
