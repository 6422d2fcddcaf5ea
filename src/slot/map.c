/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * map - the slots of this device, and the last look before one is overwritten.
 *
 * The map is root's and still only says what may be a target.  What must hold when a slot is opened is asked of the
 * kernel at that moment, about the descriptor and not about a name: a link under /dev/disk may lead elsewhere
 * after a disk was exchanged, and writing an image over the wrong device cannot be undone.  O_EXCL keeps the
 * device from being mounted while we write.
 *
 * Refused, in this order: the running slot; what is not the device the map was completed with; a disk with
 * partitions; what is mounted, swap, or held by a device above it (device-mapper, md); what two entries name.
 */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/config.h>
#include <reseal/slot/map.h>
#include <reseal/slot/partition.h>

struct SlotMap {
        Slot slots[SLOTS_MAX];
        uint32_t n_slots;
        bool complete;
};

SlotMap *slot_map_new(void) {
        return calloc(1, sizeof(SlotMap));
}

SlotMap *slot_map_free(SlotMap *m) {
        if (m) {
                for (uint32_t i = 0; i < m->n_slots; i++)
                        free(m->slots[i].device);
                free(m);
        }
        return NULL;
}

/* 1 to size-1 bytes of lower-case letters, digits and the extra ones. */
static int set_word(char *ret, size_t size, const char *value, const char *alphabet, RsError *err) {
        size_t n = strlen(value);

        if (n == 0 || n >= size || strspn(value, alphabet) != n)
                return rs_fail(err, CONFIG, "\"%s\": 1 to %zu of the characters %s", value, size - 1, alphabet);
        memcpy(ret, value, n + 1);
        return 0;
}

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

static int slot_for(SlotMap *m, const char *name, Slot **ret, RsError *err) {
        Slot *s;
        int r;

        for (uint32_t i = 0; i < m->n_slots; i++)
                if (strcmp(m->slots[i].name, name) == 0) {
                        *ret = &m->slots[i];
                        return 0;
                }
        if (m->n_slots >= SLOTS_MAX)
                return rs_fail(err, CONFIG, "more than %u slots", SLOTS_MAX);
        s = &m->slots[m->n_slots];
        r = set_word(s->name, sizeof(s->name), name, LOWER UPPER DIGITS ".-", err);
        if (r < 0)
                return rs_context(err, "slot name");
        m->n_slots++;
        *ret = s;
        return 0;
}

int slot_map_set(SlotMap *m, const char *slot_name, const char *key, const char *value, RsError *err) {
        Slot *s;
        int r;

        assert(!m->complete);
        r = slot_for(m, slot_name, &s, err);
        if (r < 0)
                return r;
        if (strcmp(key, "class") == 0)
                r = set_word(s->class_name, sizeof(s->class_name), value, LOWER DIGITS "-", err);
        else if (strcmp(key, "boot-name") == 0)
                r = set_word(s->boot_name, sizeof(s->boot_name), value, LOWER UPPER DIGITS, err);
        else if (strcmp(key, "device") == 0)
                r = config_path(value, &s->device, err);
        else if (strcmp(key, "type") == 0) {
                if (strcmp(value, "luks2") == 0)
                        s->kind = SLOT_KIND_LUKS2;
                else if (strcmp(value, "plain") == 0)
                        s->kind = SLOT_KIND_PLAIN;
                else
                        return rs_fail(err, CONFIG, "\"%s\" is neither luks2 nor plain", value);
        } else
                return 0;
        return r < 0 ? r : 1;
}

/* What a descriptor is: number and size.  false: neither of the two kinds a slot at this path may be. */
static bool identify(int fd, const char *path, uint64_t ret_id[2], uint64_t *ret_size, struct stat *ret_st) {
        bool in_dev = strncmp(path, "/dev/", 5) == 0;

        if (fstat(fd, ret_st) < 0)
                return false;
        if (S_ISBLK(ret_st->st_mode)) {
                ret_id[0] = ret_st->st_rdev;
                ret_id[1] = 0;
                return ioctl(fd, BLKGETSIZE64, ret_size) == 0;
        }
        if (!S_ISREG(ret_st->st_mode) || in_dev)
                return false;
        ret_id[0] = ret_st->st_dev;
        ret_id[1] = ret_st->st_ino;
        *ret_size = (uint64_t) ret_st->st_size;
        return true;
}

static int complete_slot(Slot *s, RsError *err) {
        _cleanup_(closep) int fd = -EBADF;
        struct stat st;

        if (s->class_name[0] == '\0' || s->boot_name[0] == '\0' || !s->device || s->kind == 0)
                return rs_fail(err, CONFIG, "[slot %s] needs class, boot-name, device and type", s->name);
        fd = open(s->device, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (fd < 0)
                return rs_fail(err, CONFIG, "[slot %s] %s: %s", s->name, s->device, strerror(errno));
        if (!identify(fd, s->device, s->device_id, &s->size_bytes, &st))
                return rs_fail(err, CONFIG, "[slot %s] %s: not a block device", s->name, s->device);
        if (S_ISBLK(st.st_mode) && partition_check(s->device, st.st_rdev, PARTITION_SYSFS, err) < 0)
                return rs_context(err, "[slot %s]", s->name);
        if (s->kind == SLOT_KIND_LUKS2 && s->size_bytes % RS_BLOCK_SIZE != 0)
                return rs_fail(err, CONFIG, "[slot %s] %s: not a multiple of %u bytes", s->name, s->device, RS_BLOCK_SIZE);
        return 0;
}

static bool same_device(const Slot *a, const Slot *b) {
        return a->device_id[0] == b->device_id[0] && a->device_id[1] == b->device_id[1];
}

/* Every class has a slot for each boot name, and only one: what switches together must be there together. */
static int check_grid(const SlotMap *m, RsError *err) {
        for (uint32_t i = 0; i < m->n_slots; i++) {
                const Slot *a = &m->slots[i];
                uint32_t n_others = 0;

                for (uint32_t k = 0; k < m->n_slots; k++) {
                        const Slot *b = &m->slots[k];

                        if (k != i && strcmp(a->class_name, b->class_name) == 0) {
                                n_others++;
                                if (strcmp(a->boot_name, b->boot_name) == 0)
                                        return rs_fail(err, CONFIG, "slots %s and %s are the same half of class %s",
                                                       a->name, b->name, a->class_name);
                        }
                        if (k != i && same_device(a, b))
                                return rs_fail(err, CONFIG, "slots %s and %s are the same device", a->name, b->name);
                        if (!slot_map_find(m, a->class_name, b->boot_name))
                                return rs_fail(err, CONFIG, "class %s has no slot for boot name %s", a->class_name,
                                               b->boot_name);
                }
                if (n_others == 0)
                        return rs_fail(err, CONFIG, "class %s has only one slot", a->class_name);
        }
        return 0;
}

int slot_map_complete(SlotMap *m, RsError *err) {
        int r;

        if (m->n_slots == 0)
                return rs_fail(err, CONFIG, "no slots");
        for (uint32_t i = 0; i < m->n_slots; i++) {
                r = complete_slot(&m->slots[i], err);
                if (r < 0)
                        return r;
        }
        r = check_grid(m, err);
        if (r < 0)
                return r;
        m->complete = true;
        return 0;
}

uint32_t slot_map_count(const SlotMap *m) {
        return m->n_slots;
}

const Slot *slot_map_at(const SlotMap *m, uint32_t i) {
        assert(i < m->n_slots);
        return &m->slots[i];
}

const Slot *slot_map_find(const SlotMap *m, const char *class_name, const char *boot_name) {
        for (uint32_t i = 0; i < m->n_slots; i++)
                if (strcmp(m->slots[i].class_name, class_name) == 0 && strcmp(m->slots[i].boot_name, boot_name) == 0)
                        return &m->slots[i];
        return NULL;
}

const Slot *slot_map_by_name(const SlotMap *m, const char *name) {
        for (uint32_t i = 0; i < m->n_slots; i++)
                if (strcmp(m->slots[i].name, name) == 0)
                        return &m->slots[i];
        return NULL;
}

int slot_check_size(const Slot *s, const ManifestImage *image, size_t manifest_cms_size, RsError *err) {
        SlotLayout l;
        int r = slot_layout(s->kind, s->size_bytes, image->size, manifest_cms_size, &l, err);

        return r < 0 ? rs_context(err, "slot %s", s->name) : 0;
}

static bool path_is_device(const char *path, dev_t device) {
        struct stat st;

        return path[0] == '/' && stat(path, &st) == 0 && S_ISBLK(st.st_mode) && st.st_rdev == device;
}

/* 1 if a line of mountinfo names the device by number or (btrfs and its like) by path; fails closed. */
static int is_mounted(dev_t device) {
        _cleanup_(fclosep) FILE *f = fopen("/proc/self/mountinfo", "re");
        _cleanup_(freep) char *line = NULL;
        size_t size = 0;

        if (!f)
                return -errno;
        while (getline(&line, &size, f) > 0) {
                char *rest = strstr(line, " - "), *save = NULL;
                unsigned major_number, minor_number;

                if (sscanf(line, "%*u %*u %u:%u ", &major_number, &minor_number) != 2 || !rest)
                        return -EBADMSG;
                if (makedev(major_number, minor_number) == device)
                        return 1;
                (void) strtok_r(rest + 3, " \n", &save);
                rest = strtok_r(NULL, " \n", &save);
                if (rest && path_is_device(rest, device))
                        return 1;
        }
        return ferror(f) ? -EIO : 0;
}

static int is_swap(dev_t device) {
        _cleanup_(fclosep) FILE *f = fopen("/proc/swaps", "re");
        _cleanup_(freep) char *line = NULL;
        size_t size = 0;

        if (!f)
                return errno == ENOENT ? 0 : -errno; /* a kernel without swap */
        while (getline(&line, &size, f) > 0) {
                line[strcspn(line, " \t\n")] = '\0';
                if (path_is_device(line, device))
                        return 1;
        }
        return ferror(f) ? -EIO : 0;
}

static void closedirp(DIR **d) {
        if (*d)
                (void) closedir(*d);
}

/* Entries of a sysfs directory: all of them, or those that are partitions. */
static int count_entries(const char *path, bool partitions) {
        _cleanup_(closedirp) DIR *d = opendir(path);
        struct dirent *e;
        int n = 0;

        if (!d)
                return -errno;
        while ((e = readdir(d))) {
                char attribute[NAME_MAX + 16];

                if (e->d_name[0] == '.')
                        continue;
                (void) snprintf(attribute, sizeof(attribute), "%s/partition", e->d_name);
                if (!partitions || faccessat(dirfd(d), attribute, F_OK, 0) == 0)
                        n++;
        }
        return n;
}

static int check_block_device(const Slot *s, dev_t device, RsError *err) {
        char directory[64], holders[80];
        int r;

        (void) snprintf(directory, sizeof(directory), "/sys/dev/block/%u:%u", major(device), minor(device));
        (void) snprintf(holders, sizeof(holders), "%s/holders", directory);
        r = count_entries(directory, true);
        if (r > 0)
                return rs_fail(err, TARGET, "slot %s: %s has partitions", s->name, s->device);
        if (r == 0)
                r = count_entries(holders, false);
        if (r > 0)
                return rs_fail(err, TARGET, "slot %s: %s is in use by a device above it", s->name, s->device);
        if (r == 0)
                r = is_mounted(device);
        if (r > 0)
                return rs_fail(err, TARGET, "slot %s: %s is mounted", s->name, s->device);
        if (r == 0)
                r = is_swap(device);
        if (r > 0)
                return rs_fail(err, TARGET, "slot %s: %s is swap space", s->name, s->device);
        /* Not knowing is no permission. */
        return r < 0 ? rs_fail(err, TARGET, "slot %s: cannot find out who uses %s: %s", s->name, s->device, strerror(-r))
                     : 0;
}

/* The map was read when the program started; device names may lead elsewhere since. */
static int check_unique(const SlotMap *m, const Slot *s, RsError *err) {
        for (uint32_t i = 0; i < m->n_slots; i++) {
                const Slot *other = &m->slots[i];
                struct stat st;
                bool same;

                if (other == s || stat(other->device, &st) < 0)
                        continue;
                same = S_ISBLK(st.st_mode) ? st.st_rdev == s->device_id[0] && s->device_id[1] == 0
                                           : st.st_dev == s->device_id[0] && st.st_ino == s->device_id[1];
                if (same || same_device(other, s))
                        return rs_fail(err, TARGET, "slots %s and %s are the same device", s->name, other->name);
        }
        return 0;
}

int slot_open_target(const SlotMap *m, const Slot *s, const char *running_boot_name, int *ret_fd, RsError *err) {
        _cleanup_(freep) char *resolved = NULL;
        _cleanup_(closep) int fd = -EBADF;
        uint64_t id[2], size = 0;
        struct stat st;
        int r;

        if (!m->complete || !s || slot_map_by_name(m, s->name) != s)
                return rs_fail(err, TARGET, "slot %s is not in the map", s->name);
        if (!running_boot_name || running_boot_name[0] == '\0')
                return rs_fail(err, TARGET, "it is not known which slot is running");
        if (strcmp(s->boot_name, running_boot_name) == 0)
                return rs_fail(err, TARGET, "slot %s is running", s->name);
        resolved = realpath(s->device, NULL);
        if (!resolved)
                return rs_fail(err, TARGET, "slot %s: %s: %s", s->name, s->device, strerror(errno));
        fd = open(resolved, O_RDWR | O_EXCL | O_DIRECT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
        if (fd < 0 && errno == EBUSY)
                return rs_fail(err, TARGET, "slot %s: %s is in use", s->name, s->device);
        if (fd < 0)
                return rs_fail_errno(err, errno, "slot %s: %s", s->name, s->device);
        if (!identify(fd, resolved, id, &size, &st) || id[0] != s->device_id[0] || id[1] != s->device_id[1])
                return rs_fail(err, TARGET, "slot %s: %s is not the device it was", s->name, s->device);
        if (size != s->size_bytes)
                return rs_fail(err, TARGET, "slot %s: %s has another size than before", s->name, s->device);
        r = check_unique(m, s, err);
        if (r == 0 && S_ISBLK(st.st_mode)) /* a medium with the slot's name may have come since */
                r = partition_check(s->device, st.st_rdev, PARTITION_SYSFS, err);
        if (r == 0 && S_ISBLK(st.st_mode))
                r = check_block_device(s, st.st_rdev, err);
        if (r < 0)
                return r;
        *ret_fd = TAKE_FD(fd);
        return 0;
}
