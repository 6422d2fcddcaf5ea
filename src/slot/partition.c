/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * partition - the kernel's own list of partitions, asked for a name.
 *
 * The slot map names devices by links of udev.  Such a link leads to the partition that was added last, so a medium
 * with a slot's name takes its place; the kernel's list has both.  It tells each partition's name and, newer kernels,
 * its UUID; a UUID that no uevent tells is not checked.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/base/text.h>
#include <reseal/slot/partition.h>

#define UEVENT_MAX 4096u

static void closedirp(DIR **d) {
        if (*d)
                (void) closedir(*d);
}

/* The line of a uevent file that a path stands for: "PARTNAME=...".  false: none. */
static bool wanted_line(const char *path, char *ret, size_t size) {
        static const struct {
                const char *prefix, *key;
        } kinds[] = {
                { "/dev/disk/by-partlabel/", "PARTNAME=" },
                { "/dev/reseal/", "PARTNAME=" },
                { "/dev/disk/by-partuuid/", "PARTUUID=" },
        };

        for (size_t i = 0; i < ELEMENTSOF(kinds); i++) {
                size_t n = strlen(kinds[i].prefix);

                if (strncmp(path, kinds[i].prefix, n) == 0)
                        return (size_t) snprintf(ret, size, "%s%s", kinds[i].key, path + n) < size;
        }
        return false;
}

/* Takes the text apart. */
static bool has_line(char *text, const char *wanted, dev_t *ret_device) {
        uint64_t major_number = 0, minor_number = 0;
        bool found = false;
        char *line;

        while ((line = strsep(&text, "\n"))) {
                found = found || strcmp(line, wanted) == 0;
                if (strncmp(line, "MAJOR=", 6) == 0)
                        (void) text_to_u64(line + 6, UINT32_MAX, &major_number);
                else if (strncmp(line, "MINOR=", 6) == 0)
                        (void) text_to_u64(line + 6, UINT32_MAX, &minor_number);
        }
        *ret_device = makedev((unsigned) major_number, (unsigned) minor_number);
        return found;
}

static int is_wanted(int dir_fd, const char *name, const char *wanted, dev_t *ret_device, RsError *err) {
        _cleanup_(freep) uint8_t *text = NULL;
        char path[300];
        size_t size;
        int r;

        if ((size_t) snprintf(path, sizeof(path), "%s/uevent", name) >= sizeof(path))
                return 0;
        r = file_read(dir_fd, path, UEVENT_MAX, &text, &size, err);
        return r <= 0 ? r : has_line((char *) text, wanted, ret_device);
}

int partition_find(const char *path, const char *sysfs, char **ret_name, dev_t *ret_device, RsError *err) {
        _cleanup_(closedirp) DIR *dir = NULL;
        _cleanup_(freep) char *found = NULL;
        struct dirent *entry;
        char wanted[256];
        dev_t device, found_device = 0;

        if (!wanted_line(path, wanted, sizeof(wanted)))
                return 0;
        dir = opendir(sysfs);
        if (!dir)
                return errno == ENOENT ? 0 : rs_fail_errno(err, errno, "%s", sysfs);
        while ((entry = readdir(dir))) {
                int r = entry->d_name[0] == '.' ? 0 : is_wanted(dirfd(dir), entry->d_name, wanted, &device, err);

                if (r < 0)
                        return r;
                if (r == 0)
                        continue;
                if (found)
                        return rs_fail(err, TARGET, "two partitions have %s: /dev/%s and /dev/%s", wanted, entry->d_name,
                                       found);
                found = strdup(entry->d_name);
                if (!found)
                        return rs_fail_oom(err);
                found_device = device;
        }
        if (!found)
                return 0;
        *ret_name = TAKE_PTR(found);
        *ret_device = found_device;
        return 1;
}

int partition_check(const char *path, dev_t device, const char *sysfs, RsError *err) {
        _cleanup_(freep) char *name = NULL;
        dev_t known = 0;
        int r = partition_find(path, sysfs, &name, &known, err);

        if (r > 0 && known != device)
                return rs_fail(err, TARGET, "%s leads elsewhere than to /dev/%s, which has the name", path, name);
        return r < 0 ? r : 0;
}
