/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * file - reading small files whole and replacing them so that a power cut leaves old or new.
 *
 * Spec:     STYLE 10: temp file, fsync, rename, fsync directory
 * Trust:    paths come from configuration or constants, never from a bundle; contents are hostile, and so are the
 *           other users of a directory that is written into
 * Owns:     buffers returned belong to the caller (free)
 * Units:    sizes in bytes
 * Errors:   negative errno with IO or NO_SPACE; -ENOENT of file_read is an outcome: see there
 * Context:  any thread; blocks on the disk
 * Programs: all
 */
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <reseal/base/error.h>
#include <reseal/base/secret.h>
#include <reseal/base/span.h>

typedef struct FileOwner {
        uid_t uid; /* (uid_t) -1: as it is */
        gid_t gid;
} FileOwner;

/* A file that is not named yet as it will be. */
typedef struct FileTemporary {
        int fd;
        char name[NAME_MAX + 1]; /* in the directory it was made in */
} FileTemporary;

/* Reads at most max_size bytes; 1 = read, 0 = there is no such file, < 0 failed (larger: IO, EFBIG).
 * The buffer has one NUL more than *ret_size.  dir_fd may be AT_FDCWD; the last part is O_NOFOLLOW. */
int file_read(int dir_fd, const char *path, size_t max_size, uint8_t **ret_data, size_t *ret_size, RsError *err);
/*
 * The same for what a program has noted for itself and can do without: 0 as well when what lies there cannot be read (a
 * link, a directory, too large, a bad sector), and *ret_why says so (its reason is NONE otherwise).  < 0 only for want
 * of memory.
 */
int file_read_note(int dir_fd, const char *path, size_t max_size, uint8_t **ret_data, size_t *ret_size,
                   RsError *ret_why, RsError *err);
/* As file_read for key material: the file must not be readable by group or others, and belong to us, root or the owner
 * of the directory dir_fd. */
int file_read_secret(int dir_fd, const char *path, size_t max_size, Secret **ret, RsError *err);
/* Replaces path in dir_fd durably: old or new content after a power cut, never a mixture. */
int file_replace(int dir_fd, const char *path, Span content, mode_t mode, RsError *err);
/* The same; the owner is set before the name is there (NULL: ours). */
int file_replace_for(int dir_fd, const char *path, Span content, const FileOwner *owner, mode_t mode, RsError *err);
/* Makes ".<name>.<random>" in dir_fd, mode 0600, empty, nobody else's: for content that does not fit into memory.  The
 * caller renames or unlinks it. */
int file_temporary(int dir_fd, const char *name, FileTemporary *ret, RsError *err);
/* 1 removed, 0 was not there; the directory is synced. */
int file_remove(int dir_fd, const char *path, RsError *err);
/* Full transfer or failure; continue after EINTR and short counts. */
int file_pread_all(int fd, void *buffer, size_t size, uint64_t offset, RsError *err);
int file_pwrite_all(int fd, const void *buffer, size_t size, uint64_t offset, RsError *err);
