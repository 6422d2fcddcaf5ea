/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * partition - whether the kernel knows one partition of a name, and it is this one.
 *
 * Spec:     docs/boot.md, "Initramfs"; docs/man/writer.conf.5
 * Trust:    the name or UUID of a partition is anybody's who can plug in a medium, and a link of udev follows whichever
 *           came last: a name counts only when no second partition has it
 * Owns:     *ret_name belongs to the caller
 * Units:    none
 * Errors:   TARGET, IO, NO_MEMORY
 * Context:  any thread; reads sysfs
 * Programs: reseal-writer, initramfs
 */
#include <sys/types.h>

#include <reseal/base/error.h>

#define PARTITION_SYSFS "/sys/class/block"

/*
 * What the path names (/dev/disk/by-partlabel, /dev/disk/by-partuuid, /dev/reseal): 1 = *ret_name ("sda3") is the one
 * partition that has it, *ret_device its number; 0 = none, or the path names none in this way; TARGET: two have it.
 */
int partition_find(const char *path, const char *sysfs, char **ret_name, dev_t *ret_device, RsError *err);
/* 0, or TARGET when a second partition has the name or the path leads to another device than the one that has it. */
int partition_check(const char *path, dev_t device, const char *sysfs, RsError *err);
