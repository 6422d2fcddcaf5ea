/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * efi - no bootloader: the firmware's own boot entries through efivarfs (UEFI 2.10, 3.1 and 3.3).
 *
 *   Boot0003    an entry called "Reseal B": how slot B is started.  Made in the factory, never written here
 *   BootOrder   slots that are started again and again, first to last; entries that are not ours keep their places
 *   BootNext    one start of an entry that need not be in BootOrder, the trial; the firmware removes it first
 *   good-path   a file of ours with the names that were marked good: "A B"
 *
 * good = in BootOrder and in the file.  The file is there because some firmware puts entries back into BootOrder: a
 * slot must not become good that way, since that decides whether the other one may be overwritten (I0).
 *
 * Each variable is written whole by one write(2), which is one SetVariable(): old or new after a power cut, and on
 * the medium on return.  Between two of them the power may fail, so they have an order:
 *   1. the file without what ceases to be good    2. BootOrder    3. BootNext    4. the file with what becomes good.
 * Whatever is cut, BootOrder begins with a slot that was or becomes good, and a slot that is to be overwritten is in
 * neither variable before the caller goes on (I2).
 *
 * Nothing is made and nothing removed in efivarfs: who may do that may also make Driver0000.  BootNext is a file
 * before it is a variable (docs/boot.md), and to withdraw a trial it is set to the slot that would be first anyway.
 * libefivar would do no more here than these reads and writes (docs/dependencies.md).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/base/names.h>
#include <reseal/boot/boot.h>

#define GUID_SUFFIX "-" RS_EFI_GLOBAL_GUID
#define BOOT_CURRENT "BootCurrent" GUID_SUFFIX
#define DESCRIPTION "Reseal " /* and the boot name */
#define ATTRIBUTES 7u         /* non-volatile, boot services, runtime: what the specification says of both variables */
#define ACTIVE 1u             /* LOAD_OPTION_ACTIVE */
#define ORDER_MAX 256u
#define ORDER_BYTES_MAX (4u + 2u * ORDER_MAX)
#define ENTRY_BYTES_MAX 65536u
#define GOOD_BYTES_MAX (BOOT_NAMES_MAX * BOOT_NAME_MAX)

typedef struct View {
        uint16_t number[BOOT_NAMES_MAX]; /* of a slot's entry */
        bool active[BOOT_NAMES_MAX];
        uint16_t order[ORDER_MAX];
        uint32_t n_order;
        uint16_t next, current;
        bool has_next, has_current;
        uint32_t good; /* a bit for each name in the file */
} View;

static void dir_done(DIR **dir) {
        if (*dir)
                (void) closedir(*dir);
}

static uint16_t le16(const uint8_t *p) {
        return (uint16_t) (p[0] | p[1] << 8);
}

/* 1 = the bytes behind the attributes, 0 = no such variable; an empty file is one that nobody has set yet. */
static int var_read(int dir_fd, const char *name, size_t max_size, uint8_t **ret_data, size_t *ret_size, RsError *err) {
        _cleanup_(freep) uint8_t *data = NULL;
        size_t size = 0;
        int r;

        r = file_read(dir_fd, name, max_size, &data, &size, err);
        if (r <= 0 || size < 4)
                return r < 0 ? r : 0;
        memmove(data, data + 4, size - 4);
        *ret_data = TAKE_PTR(data);
        *ret_size = size - 4;
        return 1;
}

/* Entry numbers: BootOrder, or the single one of BootNext and BootCurrent. */
static int numbers_read(int dir_fd, const char *name, uint32_t max, uint16_t *ret, uint32_t *ret_n, RsError *err) {
        _cleanup_(freep) uint8_t *data = NULL;
        size_t size = 0;
        int r;

        r = var_read(dir_fd, name, ORDER_BYTES_MAX, &data, &size, err);
        if (r < 0)
                return rs_context(err, "%s", name);
        if (size % 2 != 0 || size / 2 > max || (r > 0 && size == 0))
                return rs_fail(err, BOOT_STATE, "%s is not a list of entries", name);
        for (size_t i = 0; i < size / 2; i++)
                ret[i] = le16(data + 2 * i);
        *ret_n = (uint32_t) (size / 2);
        return 0;
}

/* EFI_LOAD_OPTION: attributes, size of the path, description in UCS-2.  -1 unless it is called like a slot. */
static int slot_of_entry(const BootConfig *c, const uint8_t *data, size_t size, bool *ret_active) {
        char text[sizeof(DESCRIPTION) + BOOT_NAME_MAX];
        size_t n = 0;

        for (size_t at = 6; n < sizeof(text) && at + 2 <= size; at += 2) {
                uint16_t unit = le16(data + at);

                if (unit > 0x7e)
                        return -1;
                text[n++] = (char) unit;
                if (unit == 0)
                        break;
        }
        if (n == 0 || text[n - 1] != '\0' || strncmp(text, DESCRIPTION, strlen(DESCRIPTION)) != 0)
                return -1;
        for (uint32_t i = 0; i < c->n_names; i++)
                if (strcmp(text + strlen(DESCRIPTION), c->names[i]) == 0) {
                        *ret_active = (data[0] & ACTIVE) != 0;
                        return (int) i;
                }
        return -1;
}

/* "Boot", four hexadecimal digits, the GUID. */
static int number_of_file(const char *name) {
        int number = 0;

        if (strncmp(name, "Boot", 4) != 0 || strlen(name) < 8 || strcmp(name + 8, GUID_SUFFIX) != 0)
                return -1;
        for (int i = 4; i < 8; i++) {
                const char *digits = "0123456789ABCDEF", *found = strchr(digits, name[i]);

                if (!found)
                        return -1;
                number = number * 16 + (int) (found - digits);
        }
        return number;
}

/* One file of efivarfs; found: a bit for each slot whose entry was seen. */
static int entry_note(int dir_fd, const char *name, const BootConfig *c, View *v, uint32_t *found, RsError *err) {
        _cleanup_(freep) uint8_t *data = NULL;
        RsError foreign = RS_ERROR_INIT; /* of an entry that nobody here made */
        int number = number_of_file(name), i;
        bool active = false;
        size_t size = 0;

        if (number < 0 || var_read(dir_fd, name, ENTRY_BYTES_MAX, &data, &size, &foreign) <= 0)
                return 0;
        i = slot_of_entry(c, data, size, &active);
        if (i < 0)
                return 0;
        if ((*found & (1u << i)) != 0)
                return rs_fail(err, BOOT_STATE, "two boot entries are called \"" DESCRIPTION "%s\"", c->names[i]);
        *found |= 1u << i;
        v->number[i] = (uint16_t) number;
        v->active[i] = active;
        return 0;
}

static int entries_find(DIR *dir, const BootConfig *c, View *v, RsError *err) {
        struct dirent *entry;
        uint32_t found = 0;
        int r = 0;

        do {
                errno = 0;
                entry = readdir(dir);
                if (!entry && errno != 0)
                        return rs_fail_errno(err, errno, "%s", c->path);
                if (entry)
                        r = entry_note(dirfd(dir), entry->d_name, c, v, &found, err);
        } while (entry && r == 0);
        if (r < 0)
                return r;
        for (uint32_t i = 0; i < c->n_names; i++)
                if ((found & (1u << i)) == 0)
                        return rs_fail(err, BOOT_STATE, "no boot entry is called \"" DESCRIPTION "%s\"", c->names[i]);
        return 0;
}

static int good_parse(const BootConfig *c, char *text, uint32_t *ret, RsError *err) {
        uint32_t good = 0;
        char *word;

        text[strcspn(text, "\n")] = '\0';
        while (*text != '\0' && (word = strsep(&text, " "))) {
                uint32_t i = 0;

                while (i < c->n_names && strcmp(word, c->names[i]) != 0)
                        i++;
                if (i >= c->n_names || (good & (1u << i)) != 0)
                        return rs_fail(err, BOOT_STATE, "%s: not a list of good slots", c->good_path);
                good |= 1u << i;
                if (!text)
                        break;
        }
        *ret = good;
        return 0;
}

/* A device that has never marked a slot good has no file. */
static int good_read(const BootConfig *c, uint32_t *ret, RsError *err) {
        _cleanup_(freep) uint8_t *data = NULL;
        size_t size = 0;
        int r;

        *ret = 0;
        if (!c->good_path) /* the initramfs, which has no /var */
                return 0;
        r = file_read(AT_FDCWD, c->good_path, GOOD_BYTES_MAX, &data, &size, err);
        if (r < 0)
                return r;
        return r == 0 ? 0 : good_parse(c, (char *) data, ret, err);
}

static int good_write(const BootConfig *c, uint32_t good, RsError *err) {
        char text[GOOD_BYTES_MAX + 1];
        size_t n = 0;

        for (uint32_t i = 0; i < c->n_names; i++)
                if ((good & (1u << i)) != 0)
                        n += (size_t) snprintf(text + n, sizeof(text) - n, "%s%s", n > 0 ? " " : "", c->names[i]);
        text[n++] = '\n';
        return file_replace(AT_FDCWD, c->good_path, SPAN(text, n), 0644, err);
}

/* lenient: BootOrder or the file may be missing or damaged, then nothing is in them. */
static int view_load(const BootConfig *c, bool lenient, View *ret, RsError *err) {
        _cleanup_(dir_done) DIR *dir = opendir(c->path);
        RsError damage = RS_ERROR_INIT;
        uint32_t n_next = 0, n_current = 0;
        View v = { 0 };
        int r;

        if (!dir)
                return rs_fail(err, BOOT_STATE, "%s: %s", c->path, strerror(errno));
        r = entries_find(dir, c, &v, err);
        if (r == 0)
                r = numbers_read(dirfd(dir), RS_EFI_BOOT_NEXT, 1, &v.next, &n_next, err);
        if (r == 0)
                r = numbers_read(dirfd(dir), BOOT_CURRENT, 1, &v.current, &n_current, err);
        if (r < 0)
                return r;
        v.has_next = n_next > 0;
        v.has_current = n_current > 0;
        r = numbers_read(dirfd(dir), RS_EFI_BOOT_ORDER, ORDER_MAX, v.order, &v.n_order, &damage);
        if (r == 0 && v.n_order == 0)
                r = rs_fail(&damage, BOOT_STATE, "BootOrder is missing");
        if (r == 0 || lenient)
                r = good_read(c, &v.good, &damage);
        if (r < 0 && !lenient) {
                *err = damage;
                return r;
        }
        *ret = v;
        return 0;
}

static int slot_of_number(const View *v, const BootConfig *c, uint16_t number) {
        for (uint32_t i = 0; i < c->n_names; i++)
                if (v->number[i] == number)
                        return (int) i;
        return -1;
}

static bool in_order(const View *v, uint32_t slot) {
        for (uint32_t k = 0; k < v->n_order; k++)
                if (v->order[k] == v->number[slot])
                        return true;
        return false;
}

static void state_of(const View *v, const BootConfig *c, BootState *ret) {
        int next = v->has_next ? slot_of_number(v, c, v->next) : -1;
        int current = v->has_current ? slot_of_number(v, c, v->current) : -1;
        int first = -1, primary = -1;
        BootState s = { .n_slots = c->n_names };

        for (uint32_t i = 0; i < c->n_names; i++) {
                BootSlotState *slot = &s.slots[i];
                bool listed = in_order(v, i);

                memcpy(slot->name, c->names[i], sizeof(slot->name));
                slot->bootable = (v->active[i] && listed) || next == (int) i; /* BootNext is taken by its word */
                slot->good = v->active[i] && listed && (v->good & (1u << i)) != 0;
                slot->tries_left = !slot->bootable ? 0 : listed ? BOOT_TRIES_UNCOUNTED : 1;
        }
        for (uint32_t k = v->n_order; k > 0; k--) {
                int i = slot_of_number(v, c, v->order[k - 1]);

                first = i >= 0 ? i : first;
                primary = i >= 0 && v->active[i] ? i : primary;
        }
        /* The slot of a trial that has begun is in neither variable. */
        if (current >= 0 && !in_order(v, (uint32_t) current))
                first = current;
        if (next >= 0)
                first = primary = next;
        if (first >= 0)
                memcpy(s.first, c->names[first], sizeof(s.first));
        if (primary >= 0)
                memcpy(s.primary, c->names[primary], sizeof(s.primary));
        *ret = s;
}

static int efi_read(void *state, const BootConfig *c, BootState *ret, RsError *err) {
        View v;
        int r;

        (void) state;
        r = view_load(c, false, &v, err);
        if (r == 0)
                state_of(&v, c, ret);
        return r;
}

/* -- writing ---------------------------------------------------------------------------------------------------- */

/* Not truncated first: newer kernels remove a variable whose file is empty when it is closed. */
static int numbers_write(const BootConfig *c, const char *name, const uint16_t *numbers, uint32_t n, RsError *err) {
        _cleanup_(closep) int dir_fd = -EBADF, fd = -EBADF;
        uint8_t bytes[ORDER_BYTES_MAX] = { ATTRIBUTES };
        size_t size = 4 + 2 * (size_t) n;
        uint16_t landed[ORDER_MAX];
        uint32_t n_landed = 0;
        ssize_t written;
        int r;

        for (uint32_t i = 0; i < n; i++) {
                bytes[4 + 2 * i] = (uint8_t) numbers[i];
                bytes[5 + 2 * i] = (uint8_t) (numbers[i] >> 8);
        }
        dir_fd = open(c->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir_fd >= 0)
                fd = openat(dir_fd, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY);
        if (fd < 0)
                return rs_fail(err, BOOT_STATE, "%s/%s cannot be opened for writing: %s", c->path, name, strerror(errno));
        do
                written = write(fd, bytes, size);
        while (written < 0 && errno == EINTR);
        if (written != (ssize_t) size)
                return rs_fail(err, BOOT_STATE, "%s cannot be set: %s", name, written < 0 ? strerror(errno) : "cut short");
        r = numbers_read(dir_fd, name, ORDER_MAX, landed, &n_landed, err);
        if (r < 0)
                return r;
        if (n_landed != n || memcmp(landed, numbers, n * sizeof(*numbers)) != 0)
                return rs_fail(err, BOOT_STATE, "%s: what was set reads differently", name);
        return 0;
}

/* In BootOrder: without a limit.  A trial is not. */
static bool is_listed(const BootSlotState *slot) {
        return slot->bootable && (slot->good || slot->tries_left == BOOT_TRIES_UNCOUNTED);
}

/* The slots of `next`: its primary, then the others as they stood, then new ones. */
static uint32_t order_slots(const View *v, const BootConfig *c, const BootState *next, uint16_t ret[BOOT_NAMES_MAX]) {
        uint32_t taken = 0, n = 0;

        for (uint32_t pass = 0; pass < 3; pass++)
                for (uint32_t k = 0; k < (pass == 1 ? v->n_order : c->n_names); k++) {
                        int i = pass == 1 ? slot_of_number(v, c, v->order[k]) : (int) k;

                        if (i < 0 || (taken & (1u << i)) != 0 || !is_listed(&next->slots[i]) ||
                            (pass == 0 && strcmp(next->slots[i].name, next->primary) != 0))
                                continue;
                        taken |= 1u << i;
                        ret[n++] = v->number[i];
                }
        return n;
}

/* They take the place of the first of ours; what is not ours stays where it is. */
static int order_write(const View *v, const BootConfig *c, const BootState *next, RsError *err) {
        uint16_t slots[BOOT_NAMES_MAX], order[ORDER_MAX + BOOT_NAMES_MAX];
        uint32_t n_slots = order_slots(v, c, next, slots), n = 0, place = v->n_order;

        if (n_slots == 0)
                return rs_fail(err, STATE, "the last slot stays in BootOrder: nothing else could be started");
        for (uint32_t k = v->n_order; k > 0; k--)
                if (slot_of_number(v, c, v->order[k - 1]) >= 0)
                        place = k - 1;
        if (place == v->n_order) /* none was in it: before all others */
                place = 0;
        for (uint32_t k = 0; k <= v->n_order; k++) {
                if (k == place)
                        for (uint32_t i = 0; i < n_slots; i++)
                                order[n++] = slots[i];
                if (k < v->n_order && slot_of_number(v, c, v->order[k]) < 0)
                        order[n++] = v->order[k];
        }
        if (n > ORDER_MAX)
                return rs_fail(err, BOOT_STATE, "BootOrder has no room for another entry");
        if (n == v->n_order && memcmp(order, v->order, n * sizeof(*order)) == 0)
                return 0;
        return numbers_write(c, RS_EFI_BOOT_ORDER, order, n, err);
}

/* A trial is asked for, or one of ours that was asked for is not wanted any more; what an operator asked for stays. */
static int next_write(const View *v, const BootConfig *c, const BootState *next, RsError *err) {
        const BootSlotState *primary = NULL;
        uint16_t number = 0;
        bool trial;

        for (uint32_t i = 0; i < c->n_names; i++)
                if (strcmp(next->slots[i].name, next->primary) == 0) {
                        primary = &next->slots[i];
                        number = v->number[i];
                }
        if (!primary)
                return 0;
        trial = primary->bootable && !is_listed(primary);
        if (v->has_next ? v->next == number : !trial)
                return 0;
        if (!trial && slot_of_number(v, c, v->next) < 0)
                return 0;
        return numbers_write(c, RS_EFI_BOOT_NEXT, &number, 1, err);
}

static int efi_write(void *state, const BootConfig *c, const BootState *next, bool good_changed, RsError *err) {
        uint32_t good = 0;
        View v;
        int r;

        (void) state;
        (void) good_changed; /* it is the file that knows */
        r = view_load(c, true, &v, err); /* damage gets here only through recover */
        if (r < 0)
                return r;
        for (uint32_t i = 0; i < c->n_names; i++) {
                if (next->slots[i].good)
                        good |= 1u << i;
                if (!v.active[i] && strcmp(next->slots[i].name, next->primary) == 0)
                        return rs_fail(err, BOOT_STATE, "boot entry \"" DESCRIPTION "%s\" is not active: the firmware would pass over it",
                                       c->names[i]);
        }
        if ((v.good & ~good) != 0)
                r = good_write(c, v.good & good, err);
        if (r == 0)
                r = order_write(&v, c, next, err);
        if (r == 0)
                r = next_write(&v, c, next, err);
        if (r == 0 && (v.good & good) != good)
                r = good_write(c, good, err);
        return r;
}

/* Variables are on the medium when they are set. */
static int efi_flush(void *state, const BootConfig *c, RsError *err) {
        _cleanup_(closep) int fd = open(c->good_path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);

        (void) state;
        if (fd < 0 && errno == ENOENT)
                return 0;
        if (fd < 0 || fsync(fd) < 0)
                return rs_fail_errno(err, errno, "%s: fsync", c->good_path);
        return 0;
}

/* What the firmware still has; nothing of it counts as good. */
static int efi_recover(void *state, const BootConfig *c, BootState *ret, RsError *err) {
        View v;
        int r;

        (void) state;
        r = view_load(c, true, &v, err);
        if (r < 0)
                return r;
        v.good = 0;
        state_of(&v, c, ret);
        return 0;
}

/* What is in BootOrder counts as good here: the file that says so is not there yet, and the firmware goes by it. */
int boot_efi_next_good(const BootConfig *c, uint16_t *ret_number, bool *ret_first, char ret_name[BOOT_NAME_MAX],
                       RsError *err) {
        uint32_t at = 0;
        View v;
        int r;

        r = view_load(c, true, &v, err);
        if (r < 0)
                return r;
        while (v.has_current && at < v.n_order && v.order[at] != v.current)
                at++;
        if (!v.has_current || v.has_next || at >= v.n_order) /* a trial: the firmware goes on to the order */
                return 0;
        for (uint32_t k = 1; k < v.n_order; k++) {
                uint16_t number = v.order[(at + k) % v.n_order];
                int i = slot_of_number(&v, c, number);

                if (i < 0 || !v.active[i] || number == v.current)
                        continue;
                memcpy(ret_name, c->names[i], BOOT_NAME_MAX);
                *ret_number = number;
                *ret_first = number == v.order[0];
                return 1;
        }
        return 0;
}

static int efi_open(const BootConfig *c, void **ret_state, RsError *err) {
        if (!c->good_path)
                return rs_fail(err, CONFIG, "[boot] efi needs good-path");
        *ret_state = NULL;
        return 0;
}

static void efi_close(void *state) {
        (void) state;
}

const BootBackend boot_backend_efi = {
        .name = "efi",
        .tries_max = 1,
        .open = efi_open,
        .close = efi_close,
        .read = efi_read,
        .write = efi_write,
        .flush = efi_flush,
        .recover = efi_recover,
};
