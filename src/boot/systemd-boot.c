/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * systemd-boot - the back end for systemd-boot's boot counting: the names of the entry files are the state.
 *
 *   reseal-4-A.conf         good: started without counting
 *   reseal-5-B+2-1.conf     on trial: two attempts left, one used; the loader renames before it starts
 *   (no entry)              not startable
 *   reseal-B.entry          what an entry of B says; the loader does not look at it, the factory makes it
 *
 * The highest number in front of the slot is started first, "+0" last: that is systemd-boot's own order of names.  No
 * EFI variable takes part.
 *
 * The file system is FAT, where nothing is atomic.  Linux' vfat renames by making a name without content, removing
 * the old one and filling in the first cluster some time later: a power cut leaves the old name, the new one empty,
 * both on the same cluster (the removal of one then frees the other's), or none.  So nothing is renamed here.  What
 * can be relied on is that a sector is written whole or not at all, and that what came before a flush is there after:
 * - an entry appears by the write of its first sector.  Before that its name is there, flushed, with '#' all over:
 *   a comment to the loader, which passes over entries without a kernel.  The kernel's line stands in that sector;
 * - it disappears by the same write backwards; then its name goes, and its cluster is freed only when the removal is on
 *   the medium.  A cluster that is used again never holds an entry that would start something;
 * - a slot that becomes good has its new entry before the counted one goes.  Both together read as good;
 * - a slot that is tried has no entry left before the new one is made.  Were "+2-1" still there, the loader could not
 *   rename "+3" to it, and systemd-boot starts what it cannot count.
 * No other slot's file is touched.  The loader's own renaming is EDK2's: a cut in its middle may leave no entry, which
 * reads as a trial that has ended.
 */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/boot/boot.h>
#include <reseal/boot/loader-entry.h>

#define FILES_MAX 32u   /* of ours in the directory; three are the most that a cut leaves */
#define TEXT_MAX 4096u
#define SECTOR 512u
#define TRIAL "options reseal.trial\n"
#define STRANGE UINT32_MAX

typedef struct File {
        char file[NAME_MAX + 1];
        LoaderEntry entry;
        uint32_t slot; /* of the configuration; STRANGE: none */
        bool live;     /* the loader finds something to start in it */
} File;

typedef struct Directory {
        int fd;
        const char *prefix;
        uint32_t n;
        File files[FILES_MAX];
} Directory;

static void directory_done(Directory *d) {
        closep(&d->fd);
}
#define DIRECTORY_INIT { .fd = -EBADF }

static void closedirp(DIR **d) {
        if (*d)
                (void) closedir(*d);
}

/* -- reading ---------------------------------------------------------------------------------------------------- */

/* 1 = there is one. */
static int read_text(int dir_fd, const char *file, char **ret, RsError *err) {
        RsError why = RS_ERROR_INIT;
        uint8_t *text = NULL;
        size_t size;
        int r;

        r = file_read(dir_fd, file, TEXT_MAX, &text, &size, &why);
        if (r < 0)
                return rs_fail(err, BOOT_STATE, "%s", why.text);
        if (r > 0)
                *ret = (char *) text; /* file_read ends it; the loader also stops at the first zero byte */
        return r;
}

static uint32_t slot_index(const BootConfig *c, const char *name) {
        for (uint32_t i = 0; i < c->n_names; i++)
                if (strcmp(c->names[i], name) == 0)
                        return i;
        return STRANGE;
}

static int add_file(Directory *d, const BootConfig *c, const char *name, bool lenient, RsError *err) {
        _cleanup_(freep) char *text = NULL;
        RsError strange = RS_ERROR_INIT;
        File f = { .slot = STRANGE };
        int r;

        r = loader_entry_parse(d->prefix, name, &f.entry, &strange);
        if (r == 0)
                return 0;
        if (r > 0) {
                f.slot = slot_index(c, f.entry.slot);
                if (f.slot == STRANGE || f.entry.left > 9)
                        (void) rs_fail(&strange, BOOT_STATE, "%s: no entry that this device has", name);
        }
        if (strange.reason != RS_REASON_NONE) {
                f.slot = STRANGE;
                if (!lenient)
                        return rs_fail(err, BOOT_STATE, "%s", strange.text);
        }
        if (d->n >= FILES_MAX)
                return rs_fail(err, BOOT_STATE, "more than %u loader entries", FILES_MAX);
        r = f.slot == STRANGE ? 0 : read_text(d->fd, name, &text, err);
        if (r < 0)
                return r;
        f.live = r > 0 && loader_entry_text_starts(text);
        (void) snprintf(f.file, sizeof(f.file), "%s", name);
        d->files[d->n++] = f;
        return 0;
}

/* lenient: what does not belong here is listed as STRANGE, not refused. */
static int scan(const BootConfig *c, bool lenient, Directory *ret, RsError *err) {
        _cleanup_(closedirp) DIR *dir = NULL;
        const char *slash = strrchr(c->path, '/');
        _cleanup_(freep) char *path = strndup(c->path, (size_t) (slash - c->path));
        struct dirent *e;
        int r = 0, fd;

        if (!path)
                return rs_fail_oom(err);
        ret->prefix = slash + 1;
        ret->n = 0;
        ret->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        fd = ret->fd < 0 ? -EBADF : openat(ret->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        dir = fd < 0 ? NULL : fdopendir(fd);
        if (!dir) {
                r = rs_fail(err, BOOT_STATE, "%s: %s", path, strerror(errno));
                closep(&fd);
                return r;
        }
        errno = 0;
        while (r == 0 && (e = readdir(dir))) {
                r = add_file(ret, c, e->d_name, lenient, err);
                errno = 0;
        }
        if (r == 0 && errno != 0)
                r = rs_fail(err, BOOT_STATE, "%s: %s", path, strerror(errno));
        return r < 0 ? rs_context(err, "%s", path) : 0;
}

/* Of two that a cut has left: good before counted, then the later one. */
static bool is_better(const LoaderEntry *a, const LoaderEntry *b) {
        if (a->counted != b->counted)
                return !a->counted;
        return a->rank != b->rank ? a->rank > b->rank : a->left > b->left;
}

/* The entry that says what a slot is; NULL: it has none. */
static const File *entry_of(const Directory *d, uint32_t slot) {
        const File *best = NULL;

        for (uint32_t i = 0; i < d->n; i++)
                if (d->files[i].slot == slot && d->files[i].live &&
                    (!best || is_better(&d->files[i].entry, &best->entry)))
                        best = &d->files[i];
        return best;
}

static int state_of(const Directory *d, const BootConfig *c, bool lenient, BootState *ret, RsError *err) {
        const File *primary = NULL, *first = NULL;
        BootState s = { .n_slots = c->n_names };

        for (uint32_t i = 0; i < c->n_names; i++) {
                const File *f = entry_of(d, i);
                BootSlotState *slot = &s.slots[i];

                memcpy(slot->name, c->names[i], sizeof(slot->name));
                if (!f)
                        continue;
                for (uint32_t k = 0; !lenient && k < i; k++) {
                        const File *other = entry_of(d, k);

                        if (other && other->entry.rank == f->entry.rank)
                                return rs_fail(err, BOOT_STATE, "%s and %s have one rank", other->file, f->file);
                }
                slot->good = !f->entry.counted;
                slot->bootable = slot->good || f->entry.left > 0;
                slot->last_resort = !slot->bootable;
                slot->tries_left = slot->good ? BOOT_TRIES_UNCOUNTED : f->entry.left;
                if (!first || f->entry.rank > first->entry.rank)
                        first = f;
                if (slot->bootable && (!primary || f->entry.rank > primary->entry.rank))
                        primary = f;
        }
        if (primary)
                memcpy(s.primary, c->names[primary->slot], sizeof(s.primary));
        if (first)
                memcpy(s.first, c->names[first->slot], sizeof(s.first));
        *ret = s;
        return 0;
}

static int read_state(const BootConfig *c, bool lenient, BootState *ret, RsError *err) {
        _cleanup_(directory_done) Directory d = DIRECTORY_INIT;
        int r;

        r = scan(c, lenient, &d, err);
        return r < 0 ? r : state_of(&d, c, lenient, ret, err);
}

static int systemd_boot_read(void *state, const BootConfig *c, BootState *ret, RsError *err) {
        (void) state;
        return read_state(c, false, ret, err);
}

/* -- writing ---------------------------------------------------------------------------------------------------- */

static int flushed(int fd, const char *what, RsError *err) {
        return fsync(fd) < 0 ? rs_fail_errno(err, errno, "%s: fsync", what) : 0;
}

static int write_flushed(int fd, const char *file, const char *text, size_t size, uint64_t offset, RsError *err) {
        int r;

        r = file_pwrite_all(fd, text, size, offset, err);
        return r < 0 ? rs_context(err, "%s", file) : flushed(fd, file, err);
}

/* Until the name is gone for good the file stays open: its cluster is not free before. */
static int remove_file(Directory *d, File *f, RsError *err) {
        _cleanup_(closep) int fd = openat(d->fd, f->file, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
        char inert[SECTOR];
        struct stat st;
        int r;

        memset(inert, '#', sizeof(inert));
        if (fd < 0 || fstat(fd, &st) < 0)
                return rs_fail(err, BOOT_STATE, "%s: %s", f->file, strerror(errno));
        if (!S_ISREG(st.st_mode))
                return rs_fail(err, BOOT_STATE, "%s: not a file", f->file);
        if (st.st_size > 0) {
                r = write_flushed(fd, f->file, inert, st.st_size < (off_t) SECTOR ? (size_t) st.st_size : SECTOR, 0,
                                  err);
                if (r < 0)
                        return r;
        }
        if (unlinkat(d->fd, f->file, 0) < 0)
                return rs_fail_errno(err, errno, "%s", f->file);
        r = flushed(d->fd, f->file, err);
        if (r == 0)
                f->file[0] = '\0';
        return r;
}

/* All names of a slot but one; what says what the slot is goes last. */
static int remove_files(Directory *d, uint32_t slot, const File *keep, RsError *err) {
        const File *last = entry_of(d, slot);
        int r = 0;

        for (uint32_t pass = 0; pass < 2; pass++)
                for (uint32_t i = 0; r == 0 && i < d->n; i++) {
                        File *f = &d->files[i];

                        if (f->slot == slot && f != keep && f->file[0] != '\0' && (f == last) == (pass == 1)) {
                                r = remove_file(d, f, err);
                                f->live = r < 0 && f->live;
                        }
                }
        return r;
}

static int create_file(const Directory *d, const LoaderEntry *e, const char *text, RsError *err) {
        size_t size = strlen(text), head = size < SECTOR ? size : SECTOR;
        _cleanup_(closep) int fd = -EBADF;
        char file[LOADER_ENTRY_FILE_MAX], inert[TEXT_MAX];
        int r;

        assert(size > 0 && size <= sizeof(inert));
        memset(inert, '#', sizeof(inert));
        loader_entry_format(d->prefix, e, file);
        fd = openat(d->fd, file, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0664);
        if (fd < 0)
                return rs_fail_errno(err, errno, "%s", file);
        r = write_flushed(fd, file, inert, size, 0, err);
        if (r == 0)
                r = flushed(d->fd, file, err);
        if (r == 0 && size > head)
                r = write_flushed(fd, file, text + head, size - head, head, err);
        return r < 0 ? r : write_flushed(fd, file, text, head, 0, err); /* from here on it can be started */
}

/* What the entry of a slot will say: what was tried, or else what the factory left.  A trial is told to
 * reseal-health on the kernel's command line. */
static int text_for(const Directory *d, const File *old, const LoaderEntry *next, char ret[TEXT_MAX + 1],
                    RsError *err) {
        _cleanup_(freep) char *text = NULL;
        char file[LOADER_ENTRY_FILE_MAX];
        const char *rest;
        size_t n;
        int r;

        (void) snprintf(file, sizeof(file), "%.16s-%s.entry", d->prefix, next->slot);
        r = read_text(d->fd, old ? old->file : file, &text, err);
        if (r < 0)
                return r;
        if (!text)
                return rs_fail(err, BOOT_STATE, "%s is missing: what starts slot %s is not known", file, next->slot);
        n = strlen(text);
        if (old && n >= strlen(TRIAL) && strcmp(text + n - strlen(TRIAL), TRIAL) == 0)
                text[n -= strlen(TRIAL)] = '\0';
        if (n + 1 + strlen(TRIAL) > TEXT_MAX)
                return rs_fail(err, BOOT_STATE, "%s: too long", old ? old->file : file);
        n = (size_t) snprintf(ret, TEXT_MAX + 1, "%s%s%s", text, n > 0 && text[n - 1] == '\n' ? "" : "\n",
                              next->counted ? TRIAL : "");
        rest = n > SECTOR ? strpbrk(ret + SECTOR, "\r\n") : NULL;
        if (!loader_entry_text_starts(ret) || (rest && loader_entry_text_starts(rest)))
                return rs_fail(err, BOOT_STATE, "%s: no kernel is named in its first %u bytes, or one behind",
                               old ? old->file : file, SECTOR);
        return 0;
}

static int set_entry(Directory *d, uint32_t slot, LoaderEntry next, RsError *err) {
        const File *old = entry_of(d, slot);
        char text[TEXT_MAX + 1];
        int r;

        if (old && old->entry.rank == next.rank && old->entry.counted == next.counted && old->entry.left == next.left)
                return remove_files(d, slot, old, err);
        r = text_for(d, old, &next, text, err);
        if (r == 0) /* the name that is to be made may be there, empty */
                r = remove_files(d, slot, next.counted ? NULL : old, err);
        if (r == 0)
                r = create_file(d, &next, text, err);
        return r < 0 || next.counted ? r : remove_files(d, slot, NULL, err);
}

static bool stays(const BootSlotState *slot) {
        return slot->bootable || slot->last_resort;
}

/* The ranks of the slots that will have an entry: as they are, but the primary's is the highest. */
static int choose_ranks(const Directory *d, const BootState *next, uint32_t primary, uint32_t ret[BOOT_NAMES_MAX],
                        RsError *err) {
        uint32_t highest = 0, others = 0, n_new = 0;

        for (uint32_t i = 0; i < d->n; i++)
                if (d->files[i].slot != STRANGE && d->files[i].entry.rank > highest)
                        highest = d->files[i].entry.rank;
        for (uint32_t i = 0; i < next->n_slots; i++) {
                const File *f = entry_of(d, i);

                ret[i] = f ? f->entry.rank : 0;
                n_new += i != primary && next->slots[i].bootable && !f;
                if (i != primary && stays(&next->slots[i]) && f && f->entry.rank >= others)
                        others = f->entry.rank + 1;
        }
        if (!entry_of(d, primary) || ret[primary] < others + n_new)
                ret[primary] = highest + 1 + n_new;
        if (ret[primary] > LOADER_ENTRY_RANK_MAX)
                return rs_fail(err, BOOT_STATE, "the ranks of the loader entries are used up");
        /* Between the primary and the others that were there before. */
        for (uint32_t i = 0; i < next->n_slots; i++)
                if (i != primary && next->slots[i].bootable && !entry_of(d, i))
                        ret[i] = ret[primary] - n_new--;
        return 0;
}

static int remove_strange(Directory *d, RsError *err) {
        return remove_files(d, STRANGE, NULL, err);
}

static int write_all(Directory *d, const BootState *next, RsError *err) {
        uint32_t ranks[BOOT_NAMES_MAX] = { 0 }, primary = STRANGE;
        int r;

        for (uint32_t i = 0; i < next->n_slots; i++)
                if (strcmp(next->slots[i].name, next->primary) == 0)
                        primary = i;
        r = primary == STRANGE ? 0 : choose_ranks(d, next, primary, ranks, err);
        for (uint32_t i = 0; r == 0 && i < next->n_slots; i++)
                if (!stays(&next->slots[i]))
                        r = remove_files(d, i, NULL, err);
        for (uint32_t pass = 0; pass < 2; pass++)
                for (uint32_t i = 0; r == 0 && i < next->n_slots; i++) {
                        const BootSlotState *slot = &next->slots[i];
                        LoaderEntry e = { .rank = ranks[i], .counted = !slot->good };

                        if (!slot->bootable || (i == primary) != (pass == 0))
                                continue;
                        memcpy(e.slot, slot->name, sizeof(e.slot));
                        e.left = e.counted ? slot->tries_left : 0;
                        r = set_entry(d, i, e, err);
                }
        return r < 0 ? r : remove_strange(d, err);
}

static int systemd_boot_write(void *state, const BootConfig *c, const BootState *next, bool good_changed,
                              RsError *err) {
        _cleanup_(directory_done) Directory d = DIRECTORY_INIT;
        int r;

        (void) state;
        (void) good_changed;
        r = scan(c, true, &d, err); /* strange ones come here only through recover */
        if (r == 0)
                r = write_all(&d, next, err);
        return r < 0 ? rs_context(err, "%s", c->path) : 0;
}

/* Also ends what a cut has left half done: of each slot one name remains. */
static int systemd_boot_flush(void *state, const BootConfig *c, RsError *err) {
        _cleanup_(directory_done) Directory d = DIRECTORY_INIT;
        int r;

        (void) state;
        r = scan(c, false, &d, err);
        for (uint32_t i = 0; r == 0 && i < c->n_names; i++) {
                const File *f = entry_of(&d, i);
                _cleanup_(closep) int fd = -EBADF;

                if (f)
                        fd = openat(d.fd, f->file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
                if (f)
                        r = fd < 0 ? rs_fail_errno(err, errno, "%s", f->file) : flushed(fd, f->file, err);
        }
        if (r == 0)
                r = flushed(d.fd, c->path, err);
        for (uint32_t i = 0; r == 0 && i < c->n_names; i++)
                r = remove_files(&d, i, entry_of(&d, i), err);
        return r;
}

/* What the loader makes of it: entries it cannot count are started as well, but nothing is known of them. */
static int systemd_boot_recover(void *state, const BootConfig *c, BootState *ret, RsError *err) {
        (void) state;
        return read_state(c, true, ret, err);
}

static int systemd_boot_open(const BootConfig *c, void **ret_state, RsError *err) {
        if (!loader_entry_prefix_is_good(strrchr(c->path, '/') + 1))
                return rs_fail(err, CONFIG, "[boot] path: ends with how the entries' names begin, as in "
                               "/boot/loader/entries/reseal");
        for (uint32_t i = 0; i < c->n_names; i++)
                for (uint32_t k = 0; k < i; k++)
                        if (strcasecmp(c->names[i], c->names[k]) == 0)
                                return rs_fail(err, CONFIG, "[boot] names: FAT does not tell %s from %s", c->names[k],
                                               c->names[i]);
        *ret_state = NULL;
        return 0;
}

static void systemd_boot_close(void *state) {
        (void) state;
}

const BootBackend boot_backend_systemd_boot = {
        .name = "systemd-boot",
        .open = systemd_boot_open,
        .close = systemd_boot_close,
        .read = systemd_boot_read,
        .write = systemd_boot_write,
        .flush = systemd_boot_flush,
        .recover = systemd_boot_recover,
};
