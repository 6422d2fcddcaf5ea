/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * file - reading small files whole and replacing them so that a power cut leaves old or new.
 *
 * Spec:     STYLE 10: temp file, fsync, rename, fsync directory
 * Trust:    paths come from configuration or constants, never from a bundle; contents are hostile
 * Owns:     buffers returned belong to the caller (free)
 * Units:    sizes in bytes
 * Errors:   negative errno with IO or NO_SPACE; -ENOENT of file_read is an outcome: see there
 * Context:  any thread; blocks on the disk
 * Programs: all
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <reseal/base/error.h>
#include <reseal/base/secret.h>
#include <reseal/base/span.h>

/* Reads at most max_size bytes; 1 = read, 0 = there is no such file, < 0 failed (larger: IO, EFBIG).
 * The buffer has one NUL more than *ret_size.  dir_fd may be AT_FDCWD; the last part is O_NOFOLLOW. */
int file_read(int dir_fd, const char *path, size_t max_size, uint8_t **ret_data, size_t *ret_size, RsError *err);
/* The same for key material; the file must not be readable by group or others. */
int file_read_secret(int dir_fd, const char *path, size_t max_size, Secret **ret, RsError *err);
/* Replaces path in dir_fd durably: old or new content after a power cut, never a mixture. */
int file_replace(int dir_fd, const char *path, Span content, mode_t mode, RsError *err);
/* 1 removed, 0 was not there; the directory is synced. */
int file_remove(int dir_fd, const char *path, RsError *err);
/* Full transfer or failure; continue after EINTR and short counts. */
int file_pread_all(int fd, void *buffer, size_t size, uint64_t offset, RsError *err);
int file_pwrite_all(int fd, const void *buffer, size_t size, uint64_t offset, RsError *err);
