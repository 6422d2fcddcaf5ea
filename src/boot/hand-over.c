/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * hand-over - which slot the loader starts after one that was refused (decisions/010).
 *
 * GRUB and U-Boot count by themselves.  systemd-boot and the firmware count no good slot, but each reads a variable
 * that names one start: LoaderEntryOneShot, BootNext.  They take it away before they start what it names, so a machine
 * that is cut here or there goes on as it would have without us.  A slot on trial is left alone: its loader counts it.
 *
 * Variables that the kernel does not know are immutable; the flag goes before they do.  One that is to be set is
 * removed and made anew, since a file of efivarfs cannot be shortened.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/base/names.h>
#include <reseal/boot/hand-over.h>
#include <reseal/boot/loader-entry.h>

#define ATTRIBUTES 7u /* non-volatile, boot services, runtime */
#define HEAD 4u       /* the attributes */
#define VARIABLE_MAX 65536u

/* 1 = there is one; *ret_size is without the attributes, which stand in front. */
static int variable_get(int dir_fd, const char *name, uint8_t **ret, size_t *ret_size, RsError *err) {
        _cleanup_(freep) uint8_t *data = NULL;
        size_t size = 0;
        int r;

        r = file_read(dir_fd, name, VARIABLE_MAX, &data, &size, err);
        if (r <= 0 || size < HEAD)
                return r < 0 ? r : 0;
        *ret = TAKE_PTR(data);
        *ret_size = size - HEAD;
        return 1;
}

static int variable_remove(int dir_fd, const char *name, RsError *err) {
        _cleanup_(closep) int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
        int flags = 0;

        if (fd < 0 && errno == ENOENT)
                return 0;
        if (fd < 0)
                return rs_fail_errno(err, errno, "%s", name);
        if (ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0 && (flags & FS_IMMUTABLE_FL) != 0) {
                flags &= ~FS_IMMUTABLE_FL;
                if (ioctl(fd, FS_IOC_SETFLAGS, &flags) < 0)
                        return rs_fail_errno(err, errno, "%s: immutable", name);
        }
        return unlinkat(dir_fd, name, 0) < 0 ? rs_fail_errno(err, errno, "%s", name) : 0;
}

static int variable_set(int dir_fd, const char *name, const void *bytes, size_t size, RsError *err) {
        _cleanup_(freep) uint8_t *old = NULL, *all = NULL;
        _cleanup_(closep) int fd = -EBADF;
        size_t old_size = 0;
        ssize_t written;
        int r;

        r = variable_get(dir_fd, name, &old, &old_size, err);
        if (r < 0)
                return r;
        if (r > 0 && old_size == size && memcmp(old + HEAD, bytes, size) == 0)
                return 0;
        r = variable_remove(dir_fd, name, err);
        if (r < 0)
                return r;
        all = calloc(1, HEAD + size);
        if (!all)
                return rs_fail_oom(err);
        all[0] = ATTRIBUTES;
        memcpy(all + HEAD, bytes, size);
        fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
        if (fd < 0)
                return rs_fail_errno(err, errno, "%s", name);
        do
                written = write(fd, all, HEAD + size); /* one write is one SetVariable() */
        while (written < 0 && errno == EINTR);
        if (written != (ssize_t) (HEAD + size))
                return rs_fail(err, BOOT_STATE, "%s cannot be set: %s", name, written < 0 ? strerror(errno) : "cut short");
        return 0;
}

static int efivars_open(const char *efivars, RsError *err) {
        int fd = open(efivars, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        return fd < 0 ? rs_fail(err, BOOT_STATE, "%s: %s", efivars, strerror(errno)) : fd;
}

/* -- the firmware -------------------------------------------------------------------------------------------------- */

static int efi_hand_over(const BootConfig *config, const char *efivars, int dir_fd, char ret_next[BOOT_NAME_MAX],
                         RsError *err) {
        BootConfig c = { .path = (char *) efivars, .n_names = config->n_names };
        uint8_t bytes[2];
        bool first = false;
        uint16_t number;
        int r;

        memcpy(c.names, config->names, sizeof(c.names));
        r = boot_efi_next_good(&c, &number, &first, ret_next, err);
        if (r <= 0)
                return r;
        bytes[0] = (uint8_t) number;
        bytes[1] = (uint8_t) (number >> 8);
        r = first ? 0 : variable_set(dir_fd, RS_EFI_BOOT_NEXT, bytes, sizeof(bytes), err);
        return r < 0 ? r : 1;
}

/* -- systemd-boot -------------------------------------------------------------------------------------------------- */

/* The next name of a list in UTF-16, each ended by a zero; false: there is none.  Not ASCII: no name of ours. */
static bool take_name(const uint8_t *data, size_t size, size_t *at, char ret[LOADER_ENTRY_FILE_MAX]) {
        size_t n = 0;
        bool ours = true;

        if (*at + 2 > size)
                return false;
        for (; *at + 2 <= size; *at += 2) {
                unsigned unit = (unsigned) data[*at] | (unsigned) data[*at + 1] << 8;

                if (unit == 0)
                        break;
                ours = ours && unit < 0x7f && n + 1 < LOADER_ENTRY_FILE_MAX;
                if (ours)
                        ret[n++] = (char) unit;
        }
        *at += 2;
        ret[ours ? n : 0] = '\0';
        return true;
}

/* The loader tells names in small letters, and FAT does not tell them apart. */
static const char *slot_of_name(const BootConfig *c, const char *prefix, const char *file, LoaderEntry *ret) {
        RsError foreign = RS_ERROR_INIT;

        if (loader_entry_parse(prefix, file, ret, &foreign) <= 0)
                return NULL;
        for (uint32_t i = 0; i < c->n_names; i++)
                if (strcasecmp(c->names[i], ret->slot) == 0)
                        return c->names[i];
        return NULL;
}

static int one_shot(int dir_fd, const char *file, RsError *err) {
        uint8_t bytes[2 * LOADER_ENTRY_FILE_MAX] = { 0 };
        size_t n = strlen(file);

        for (size_t i = 0; i < n; i++)
                bytes[2 * i] = (uint8_t) file[i];
        return variable_set(dir_fd, RS_EFI_LOADER_ONE_SHOT, bytes, 2 * n + 2, err);
}

static int loader_hand_over(const BootConfig *c, int dir_fd, char ret_next[BOOT_NAME_MAX], RsError *err) {
        const char *slash = c->path ? strrchr(c->path, '/') : NULL, *prefix = slash ? slash + 1 : "", *running, *slot;
        _cleanup_(freep) uint8_t *selected = NULL, *entries = NULL;
        char file[LOADER_ENTRY_FILE_MAX], best[LOADER_ENTRY_FILE_MAX] = "";
        size_t n_selected = 0, n_entries = 0, at = 0;
        LoaderEntry current, other;
        uint32_t rank = 0;
        int r;

        r = variable_get(dir_fd, RS_EFI_LOADER_SELECTED, &selected, &n_selected, err);
        if (r > 0)
                r = variable_get(dir_fd, RS_EFI_LOADER_ENTRIES, &entries, &n_entries, err);
        if (r <= 0)
                return r < 0 ? r : rs_fail(err, BOOT_STATE, "systemd-boot has not said what it started");
        running = take_name(selected + HEAD, n_selected, &at, file) ? slot_of_name(c, prefix, file, &current) : NULL;
        if (!running || current.counted)
                return 0;
        for (at = 0; take_name(entries + HEAD, n_entries, &at, file);) {
                slot = slot_of_name(c, prefix, file, &other);
                if (!slot || slot == running || other.counted || (best[0] != '\0' && other.rank <= rank))
                        continue;
                (void) snprintf(best, sizeof(best), "%s", file);
                memcpy(ret_next, slot, BOOT_NAME_MAX);
                rank = other.rank;
        }
        if (best[0] == '\0')
                return 0;
        r = rank > current.rank ? 0 : one_shot(dir_fd, best, err); /* otherwise it is first anyway */
        return r < 0 ? r : 1;
}

int hand_over(const BootConfig *config, const char *efivars, char ret_next[BOOT_NAME_MAX], RsError *err) {
        bool efi = config->backend && strcmp(config->backend, "efi") == 0;
        _cleanup_(closep) int dir_fd = -EBADF;

        if (!efi && (!config->backend || strcmp(config->backend, "systemd-boot") != 0))
                return 0;
        dir_fd = efivars_open(efivars, err);
        if (dir_fd < 0)
                return dir_fd;
        return efi ? efi_hand_over(config, efivars, dir_fd, ret_next, err)
                   : loader_hand_over(config, dir_fd, ret_next, err);
}

/* -- what was refused ---------------------------------------------------------------------------------------------- */

static bool is_boot_name(const char *name) {
        size_t n = strlen(name);

        return n > 0 && n < BOOT_NAME_MAX &&
               strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789") == n;
}

int hand_over_leave(const char *efivars, const char *slot, RsReason reason, RsError *err) {
        _cleanup_(closep) int dir_fd = -EBADF;
        char text[HAND_OVER_TEXT_MAX];

        if (!is_boot_name(slot))
                return rs_fail(err, INVALID, "not the name of a slot");
        dir_fd = efivars_open(efivars, err);
        if (dir_fd < 0)
                return dir_fd;
        (void) snprintf(text, sizeof(text), "slot=%s\nreason=%s\n", slot, rs_reason_name(reason));
        return variable_set(dir_fd, RS_EFI_REFUSED, text, strlen(text), err);
}

int hand_over_take(const char *efivars, char ret_text[HAND_OVER_TEXT_MAX], RsError *err) {
        _cleanup_(freep) uint8_t *data = NULL;
        _cleanup_(closep) int dir_fd = -EBADF;
        size_t size = 0;
        int r;

        dir_fd = open(efivars, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir_fd < 0) /* a machine without such firmware */
                return 0;
        r = variable_get(dir_fd, RS_EFI_REFUSED, &data, &size, err);
        if (r <= 0)
                return r;
        r = variable_remove(dir_fd, RS_EFI_REFUSED, err);
        if (r < 0)
                return r;
        if (size >= HAND_OVER_TEXT_MAX || memchr(data + HEAD, 0, size))
                return 0; /* none of ours */
        memcpy(ret_text, data + HEAD, size);
        ret_text[size] = '\0';
        return 1;
}
