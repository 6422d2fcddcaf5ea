/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * device - the block device that the slot map names, with udev or without.
 *
 * Spec:     docs/boot.md, "Initramfs"
 * Trust:    a partition's name is anybody's who can plug in a medium: two of one name are refused, and what the one
 *           holds is judged later
 * Owns:     *ret belongs to the caller
 * Units:    none
 * Errors:   TARGET, IO, NO_MEMORY
 * Context:  no waiting here
 * Programs: initramfs
 */
#include <reseal/base/error.h>

/* 1 = *ret is its path, 0 = it is not there (yet).  sysfs: "/sys/class/block". */
int device_find(const char *path, const char *sysfs, char **ret, RsError *err);
