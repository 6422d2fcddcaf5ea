/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * device - finds a partition by its name in the GPT, whether somebody makes links for it or not.
 *
 * The slot map names devices by links of udev.  A small initramfs has no udev, but the kernel tells each partition's
 * name (and, newer ones, its UUID) in sysfs; so the three kinds of links are understood without it, and where there is
 * a link it must lead to the only partition of that name (slot/partition.h).  Any other path must simply be there.
 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <reseal/base/cleanup.h>
#include <reseal/slot/partition.h>

#include "device.h"

int device_find(const char *path, const char *sysfs, char **ret, RsError *err) {
        _cleanup_(freep) char *name = NULL;
        dev_t known = 0;
        struct stat st;
        int found;

        found = partition_find(path, sysfs, &name, &known, err); /* two of one name: also when a link chose one */
        if (found < 0)
                return found;
        if (stat(path, &st) == 0) {
                /* as in the slot map: below /dev a block device, elsewhere a file */
                if (!S_ISBLK(st.st_mode) && (strncmp(path, "/dev/", 5) == 0 || !S_ISREG(st.st_mode)))
                        return rs_fail(err, TARGET, "%s is not a block device", path);
                if (found > 0 && S_ISBLK(st.st_mode) && st.st_rdev != known)
                        return rs_fail(err, TARGET, "%s leads elsewhere than to /dev/%s", path, name);
                *ret = strdup(path);
                return *ret ? 1 : rs_fail_oom(err);
        }
        if (found == 0)
                return 0;
        return asprintf(ret, "/dev/%s", name) < 0 ? rs_fail_oom(err) : 1;
}
