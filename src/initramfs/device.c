/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * device - finds a partition by its name in the GPT where nobody makes links for it.
 *
 * The slot map names devices by links of udev.  A small initramfs has no udev, but the kernel tells each partition's
 * name (and, newer ones, its UUID) in sysfs; so the three kinds of links are understood without it.  Any other path
 * must simply be there.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>

#include "device.h"

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

static bool has_line(char *text, const char *wanted) {
        char *line;

        while ((line = strsep(&text, "\n")))
                if (strcmp(line, wanted) == 0)
                        return true;
        return false;
}

static int is_wanted(int dir_fd, const char *name, const char *wanted, RsError *err) {
        _cleanup_(freep) uint8_t *text = NULL;
        char path[300];
        size_t size;
        int r;

        if ((size_t) snprintf(path, sizeof(path), "%s/uevent", name) >= sizeof(path))
                return 0;
        r = file_read(dir_fd, path, UEVENT_MAX, &text, &size, err);
        return r <= 0 ? r : has_line((char *) text, wanted);
}

static int search(const char *sysfs, const char *wanted, char **ret, RsError *err) {
        _cleanup_(closedirp) DIR *dir = opendir(sysfs);
        _cleanup_(freep) char *found = NULL;
        struct dirent *entry;

        if (!dir)
                return errno == ENOENT ? 0 : rs_fail_errno(err, errno, "%s", sysfs);
        while ((entry = readdir(dir))) {
                int r;

                if (entry->d_name[0] == '.')
                        continue;
                r = is_wanted(dirfd(dir), entry->d_name, wanted, err);
                if (r < 0)
                        return r;
                if (r == 0)
                        continue;
                if (found)
                        return rs_fail(err, TARGET, "two partitions have %s: /dev/%s and %s", wanted, entry->d_name, found);
                if (asprintf(&found, "/dev/%s", entry->d_name) < 0)
                        return rs_fail_oom(err);
        }
        if (!found)
                return 0;
        *ret = TAKE_PTR(found);
        return 1;
}

int device_find(const char *path, const char *sysfs, char **ret, RsError *err) {
        char wanted[256];
        struct stat st;

        if (stat(path, &st) == 0) {
                /* as in the slot map: below /dev a block device, elsewhere a file */
                if (!S_ISBLK(st.st_mode) && (strncmp(path, "/dev/", 5) == 0 || !S_ISREG(st.st_mode)))
                        return rs_fail(err, TARGET, "%s is not a block device", path);
                *ret = strdup(path);
                return *ret ? 1 : rs_fail_oom(err);
        }
        return wanted_line(path, wanted, sizeof(wanted)) ? search(sysfs, wanted, ret, err) : 0;
}
