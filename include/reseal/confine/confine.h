/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * confine - what a process takes away from itself before it hears a stranger: files (Landlock), system calls (seccomp).
 *
 * Spec:     DESIGN.md 2; docs/architecture.md, "Programs and rights"
 * Trust:    none: what is in force holds whoever runs this code later
 * Owns:     confine_files_begin gives a file descriptor to the caller; lists are borrowed for the call
 * Units:    none
 * Errors:   IO, INTERNAL; a kernel without Landlock is an outcome
 * Context:  main thread, before any other is made: threads inherit
 * Programs: reseald, reseal-writer, reseal-certstore, reseal-health
 */
#include <stdbool.h>

#include <reseal/base/error.h>

/* No core dumps, no tracing, no new privileges.  First thing in main. */
int confine_early(RsError *err);

/* -- files: what is not allowed below is forbidden, executing anything among it -------------------------------- */

typedef enum ConfineAccess {
        CONFINE_READ,   /* files and directories */
        CONFINE_WRITE,  /* read and write of files that exist */
        CONFINE_CREATE, /* also new ones */
        CONFINE_CHANGE, /* also their removal: what file_replace needs of a directory */
} ConfineAccess;

/* 1 = *ret_fd collects what is allowed (close it), 0 = this kernel has no Landlock: *ret_fd is -EBADF, and with that
 * the functions below do nothing. */
int confine_files_begin(int *ret_fd, RsError *err);
/* What does not exist needs no permission, and gets none when it is made later.  NULL is nothing. */
int confine_files_allow(int fd, const char *path, ConfineAccess access, RsError *err);
/* The directory that path lies in (never the root directory: then path itself): for files that are replaced. */
int confine_files_allow_parent(int fd, const char *path, ConfineAccess access, RsError *err);
/* A directory that is open already. */
int confine_files_allow_open(int fd, int directory_fd, ConfineAccess access, RsError *err);
/* In force from here on. */
int confine_files_enforce(int fd, RsError *err);

/* -- system calls ------------------------------------------------------------------------------------------------ */

/* An allow list.  What is missing gets EPERM, so that a library that probes goes on; what has no honest use (exec,
 * tracing, mounting, code for the kernel) kills the process.  Memory is never writable and executable at once. */
typedef struct ConfineCalls {
        bool libraries;             /* some are loaded later: files may become code.  A memfd is a file, too */
        bool service;               /* what a service with a loop, files and threads needs (the list in confine.c) */
        const char *const *allowed; /* by name, beside it; a name this architecture does not have is skipped */
        size_t n_allowed;
        const int *families; /* of sockets; AF_UNIX is always allowed */
        size_t n_families;
} ConfineCalls;

int confine_calls(const ConfineCalls *calls, RsError *err);
