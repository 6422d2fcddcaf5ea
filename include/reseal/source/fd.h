/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * fd - a bundle that a local caller gives as an open descriptor: a regular file or a pipe.
 *
 * Spec:     DESIGN.md 9 and 10, InstallFd; conf/org.reseal1.xml
 * Trust:    the caller may install; the bytes are hostile all the same, and so is how fast they come
 * Owns:     a Source owns the descriptor it was opened with; fd_get borrows
 * Units:    bytes, microseconds of CLOCK_BOOTTIME
 * Errors:   INVALID (no file, no pipe, not readable), TRUNCATED, TOO_MUCH, SLOW, STATE (a pipe cannot go back), IO,
 *           CANCELLED
 * Context:  one worker thread; waits for a pipe with poll; a regular file is read as fast as its file system answers
 * Programs: reseald
 *
 * A pipe becomes non-blocking: its read end is given away with the call.
 */
#include <stdbool.h>

#include <reseal/source/source.h>

typedef struct FdLimits {
        int cancel_fd;                  /* eventfd or -EBADF; borrowed */
        uint64_t stall_usec;            /* no byte for this long: SLOW */
        uint64_t deadline_usec;         /* for all that is read from one descriptor */
} FdLimits;

/* Kind and access mode only, without a wait for the file system: for the caller's ears, before a job is made. */
int fd_check(int fd, RsError *err);
/* Reads what a first request would bring.  The size of a pipe is unknown until source_declare_size. */
int fd_open(int fd /* taken */, const FdLimits *limits, Source **ret, RsError *err);
/* A whole small file from where it begins (regular) or stands (pipe); TOO_MUCH above max_size. */
int fd_get(int fd, const FdLimits *limits, size_t max_size, uint8_t **ret_data, size_t *ret_size, RsError *err);
