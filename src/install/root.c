/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * root - does "/" lie on the slot that is said to run?
 *
 * /run/reseal/booted is the word of the initramfs; sysfs is the kernel's.  From the device of "/" the device-mapper
 * chain (dm-verity over dm-crypt over a partition, or whatever the initramfs built) is followed down to real devices.
 * Where one of them is a slot of another boot name, or none is a slot of the one that is said to run, the two
 * contradict each other and nothing is installed or marked: the writer might take the running slot for its target.
 *
 * Nothing to compare: "/" is no device-mapper device (a plain device, an overlay, a container), or the slots are
 * files.  Below a device-mapper device, however, what cannot be read is no permission.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <reseal/base/cleanup.h>
#include <reseal/install/install.h>

#define DEVICES_MAX 32u /* in the chain; a slot has two or three */

typedef struct Chain {
        const char *sysfs;
        dev_t devices[DEVICES_MAX]; /* each is looked into once: also the queue */
        size_t n_devices;
} Chain;

static void closedirp(DIR **d) {
        if (*d)
                (void) closedir(*d);
}

static bool is_mapped(const Chain *c, dev_t device) {
        char path[PATH_MAX];

        (void) snprintf(path, sizeof(path), "%s/dev/block/%u:%u/dm/uuid", c->sysfs, major(device), minor(device));
        return access(path, F_OK) == 0;
}

static int read_number(const char *directory, const char *name, dev_t *ret) {
        _cleanup_(fclosep) FILE *f = NULL;
        unsigned major_number, minor_number;
        char path[PATH_MAX];

        if (snprintf(path, sizeof(path), "%s/%s/dev", directory, name) >= (int) sizeof(path))
                return -ENAMETOOLONG;
        f = fopen(path, "re");
        if (!f)
                return -errno;
        if (fscanf(f, "%u:%u", &major_number, &minor_number) != 2)
                return -EBADMSG;
        *ret = makedev(major_number, minor_number);
        return 0;
}

static int add_device(Chain *c, dev_t device) {
        for (size_t i = 0; i < c->n_devices; i++)
                if (c->devices[i] == device)
                        return 0;
        if (c->n_devices == DEVICES_MAX)
                return -E2BIG;
        c->devices[c->n_devices++] = device;
        return 0;
}

static int add_slaves(Chain *c, dev_t device) {
        _cleanup_(closedirp) DIR *d = NULL;
        char directory[PATH_MAX];
        struct dirent *e;
        dev_t below = 0;
        int r = 0;

        (void) snprintf(directory, sizeof(directory), "%s/dev/block/%u:%u/slaves", c->sysfs, major(device),
                        minor(device));
        d = opendir(directory);
        if (!d)
                return -errno;
        while (r == 0 && (e = readdir(d))) {
                if (e->d_name[0] == '.')
                        continue;
                r = read_number(directory, e->d_name, &below);
                if (r == 0)
                        r = add_device(c, below);
        }
        return r;
}

static bool is_slot(const Slot *s, dev_t device) {
        return s->device_id[1] == 0 && s->device_id[0] == device; /* with an inode it is a file */
}

static int check_devices(const Chain *c, const SlotMap *map, const char *boot_name, RsError *err) {
        bool found = false, comparable = false;

        for (uint32_t k = 0; k < slot_map_count(map); k++) {
                const Slot *s = slot_map_at(map, k);
                bool runs = strcmp(s->boot_name, boot_name) == 0;

                comparable = comparable || (runs && s->device_id[1] == 0);
                for (size_t i = 0; i < c->n_devices; i++) {
                        if (!is_slot(s, c->devices[i]))
                                continue;
                        if (!runs)
                                return rs_fail(err, STATE, "slot %s is said to run, but / lies on slot %s", boot_name,
                                               s->name);
                        found = true;
                }
        }
        if (comparable && !found)
                return rs_fail(err, STATE, "slot %s is said to run, but / lies on none of its devices", boot_name);
        return 0;
}

int install_check_root(const SlotMap *map, const char *sysfs, const char *boot_name, RsError *err) {
        Chain c = { .sysfs = sysfs ? sysfs : "/sys" };
        struct stat st;
        int r = 0;

        if (stat("/", &st) < 0)
                return rs_fail_errno(err, errno, "/");
        if (!is_mapped(&c, st.st_dev))
                return 0;
        c.devices[c.n_devices++] = st.st_dev;
        for (size_t i = 0; r == 0 && i < c.n_devices; i++)
                if (is_mapped(&c, c.devices[i]))
                        r = add_slaves(&c, c.devices[i]);
        if (r < 0)
                return rs_fail(err, STATE, "cannot find out on which devices / lies: %s", strerror(-r));
        return check_devices(&c, map, boot_name, err);
}
