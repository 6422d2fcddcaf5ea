/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * directory - opening a directory by its path without being led elsewhere by another user.
 *
 * Spec:     docs/threat-model.md, "Files of root"
 * Trust:    paths are an operator's or constants; whoever owns a directory on the way may put links into it at any time
 * Owns:     descriptors returned belong to the caller (close)
 * Units:    none
 * Errors:   negative errno with IO; EPERM: as root, a link on the way that is not root's
 * Context:  any thread; blocks on the disk
 * Programs: all
 */
#include <stdbool.h>
#include <sys/types.h>

#include <reseal/base/error.h>

/* Opens a directory for reading.  As root, symbolic links on the way are followed only if root made them.
 * dir_fd may be AT_FDCWD. */
int directory_open(int dir_fd, const char *path, int *ret_fd, RsError *err);
/* Makes it unless it is there, and opens it; the way to it is that of directory_open. */
int directory_make(const char *path, mode_t mode, int *ret_fd, RsError *err);
/* Whether nobody but root and us can make, remove or rename a name in this directory.  A failure counts as no. */
bool directory_is_ours(int fd);
