/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * grub - the GRUB back end: ORDER, <name>_OK and <name>_TRY in GRUB's environment block.
 *
 *   ORDER="B A"   what is tried, first to last; always all names
 *   B_OK=0|1      1: marked good since it was last installed; started without counting
 *   B_TRY=0..9    attempts left while not good; GRUB takes one off before it starts the slot.  Of a good slot: its
 *                 starts since it last came up; GRUB adds one before each, and passes over it at three
 *
 * Power may fail while the block is written, and a medium promises whole 512-byte sectors at most.  So:
 * - our variables stand right behind the signature, inside the first sector, and never change their lengths
 *   (all names in ORDER, one digit each): the second sector is the same before and after, and every mixture of old
 *   and new sectors is the old block or the new one;
 * - GRUB's own save_env keeps those places, because it replaces values of equal length where they are;
 * - a block that is not laid out so yet (made by grub-editenv) is brought into this form in two durable steps, the
 *   second sector first.  In between, variables are missing, and what is missing is damage for GRUB and for us;
 * - a damaged block is an error here, and GRUB starts the order of the second file instead, which is written only
 *   when a slot becomes good or ceases to be, before the block itself: at most one of the two is ever half written,
 *   and neither names a slot that is being overwritten (I2).
 *
 * The file is overwritten where it lies: GRUB writes to its blocks, not through a file system, so the file must
 * keep its place, and the writer needs no right to make files beside it.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/boot/boot.h>
#include <reseal/boot/grub-env.h>

#define ORDER_SIZE (BOOT_NAMES_MAX * BOOT_NAME_MAX + 1)
#define VAR_SIZE (BOOT_NAME_MAX + 8)
#define GOOD_ORDER "GOOD_ORDER"

typedef struct Block {
        int fd;
        uint8_t bytes[GRUB_ENV_SIZE];
} Block;

static void block_done(Block *b) {
        closep(&b->fd);
}

/* Opened anew each time: the file system may be remounted or the file replaced by an administrator. */
static int block_open(const char *path, int flags, Block *ret, RsError *err) {
        struct stat st;
        int r;

        ret->fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
        if (ret->fd < 0)
                return rs_fail(err, BOOT_STATE, "%s: %s", path, strerror(errno));
        if (fstat(ret->fd, &st) < 0)
                return rs_fail_errno(err, errno, "%s", path);
        if (!S_ISREG(st.st_mode) || st.st_size != (off_t) GRUB_ENV_SIZE)
                return rs_fail(err, BOOT_STATE, "%s: not a file of %u bytes", path, GRUB_ENV_SIZE);
        r = file_pread_all(ret->fd, ret->bytes, GRUB_ENV_SIZE, 0, err);
        return r < 0 ? rs_context(err, "%s", path) : 0;
}

static int write_part(int fd, const uint8_t *bytes, size_t size, uint64_t offset, RsError *err) {
        int r;

        r = file_pwrite_all(fd, bytes, size, offset, err);
        if (r < 0)
                return r;
        if (fsync(fd) < 0)
                return rs_fail_errno(err, errno, "fsync");
        return 0;
}

static int block_replace(Block *b, const char *path, const uint8_t next[GRUB_ENV_SIZE], RsError *err) {
        int r = 0;

        if (memcmp(b->bytes, next, GRUB_ENV_SIZE) == 0) /* read from a cache, perhaps */
                return fsync(b->fd) < 0 ? rs_fail_errno(err, errno, "%s: fsync", path) : 0;
        if (memcmp(b->bytes + GRUB_ENV_SECTOR, next + GRUB_ENV_SECTOR, GRUB_ENV_SIZE - GRUB_ENV_SECTOR) != 0)
                r = write_part(b->fd, next + GRUB_ENV_SECTOR, GRUB_ENV_SIZE - GRUB_ENV_SECTOR, GRUB_ENV_SECTOR, err);
        if (r == 0)
                r = write_part(b->fd, next, GRUB_ENV_SIZE, 0, err);
        return r < 0 ? rs_context(err, "%s", path) : 0;
}

static const char *slot_var(const char *name, const char *suffix, char buffer[VAR_SIZE]) {
        (void) snprintf(buffer, VAR_SIZE, "%s_%s", name, suffix);
        return buffer;
}

static int index_of(const BootConfig *c, const char *name, size_t size) {
        for (uint32_t i = 0; i < c->n_names; i++)
                if (strlen(c->names[i]) == size && memcmp(c->names[i], name, size) == 0)
                        return (int) i;
        return -1;
}

/* The names of "B A" as indices; every name at most once.  1 = well-formed. */
static int parse_order(const BootConfig *c, const char *text, uint32_t ret[BOOT_NAMES_MAX], uint32_t *ret_n) {
        uint32_t seen = 0, n = 0;

        for (const char *p = text;; p++) {
                size_t size = strcspn(p, " ");
                int i = index_of(c, p, size);

                if (i < 0 || (seen & (1u << i)) != 0)
                        return 0;
                seen |= 1u << i;
                ret[n++] = (uint32_t) i;
                p += size;
                if (*p == '\0')
                        break;
        }
        *ret_n = n;
        return 1;
}

static int digit(const GrubEnv *e, const char *name, const char *suffix, uint32_t max, uint32_t *ret, RsError *err) {
        char var[VAR_SIZE];
        const char *v = grub_env_get(e, slot_var(name, suffix, var));

        if (!v || v[0] < '0' || v[0] > '9' || v[1] != '\0' || (uint32_t) (v[0] - '0') > max)
                return rs_fail(err, BOOT_STATE, "%s is missing or not a number from 0 to %u", var, max);
        *ret = (uint32_t) (v[0] - '0');
        return 0;
}

static int state_of(const GrubEnv *e, const BootConfig *c, BootState *ret, uint32_t order[BOOT_NAMES_MAX],
                    RsError *err) {
        const char *text = grub_env_get(e, "ORDER");
        BootState s = { .n_slots = c->n_names };
        uint32_t n = 0, ok;
        int r;

        if (!text || !parse_order(c, text, order, &n) || n != c->n_names)
                return rs_fail(err, BOOT_STATE, "ORDER does not name each slot once");
        for (uint32_t i = 0; i < c->n_names; i++) {
                BootSlotState *slot = &s.slots[i];

                memcpy(slot->name, c->names[i], sizeof(slot->name));
                r = digit(e, slot->name, "OK", 1, &ok, err);
                if (r < 0)
                        return r;
                r = digit(e, slot->name, "TRY", 9, &slot->tries_left, err);
                if (r < 0)
                        return r;
                slot->good = ok == 1;
                slot->bootable = slot->good || slot->tries_left > 0;
                slot->missed = slot->good ? slot->tries_left : 0;
                if (slot->good)
                        slot->tries_left = BOOT_TRIES_UNCOUNTED;
        }
        for (uint32_t i = n; i > 0; i--)
                if (s.slots[order[i - 1]].bootable)
                        memcpy(s.primary, c->names[order[i - 1]], sizeof(s.primary));
        memcpy(s.first, c->names[order[0]], sizeof(s.first));
        *ret = s;
        return 0;
}

static int grub_read(void *state, const BootConfig *c, BootState *ret, RsError *err) {
        _cleanup_(block_done) Block b = { .fd = -EBADF };
        uint32_t order[BOOT_NAMES_MAX];
        GrubEnv e;
        int r;

        (void) state;
        r = block_open(c->path, O_RDONLY, &b, err);
        if (r < 0)
                return r;
        r = grub_env_parse(SPAN_ARRAY(b.bytes), &e, err);
        if (r == 0)
                r = state_of(&e, c, ret, order, err);
        return r < 0 ? rs_context(err, "%s", c->path) : 0;
}

/* "B A": the primary, then the others in the order they have had (first configuration order). */
static void make_order(const BootConfig *c, const BootState *next, const uint32_t old[BOOT_NAMES_MAX], bool good_only,
                       char ret[ORDER_SIZE]) {
        size_t n = 0;

        ret[0] = '\0';
        for (uint32_t pass = 0; pass < 2; pass++)
                for (uint32_t i = 0; i < c->n_names; i++) {
                        const BootSlotState *slot = &next->slots[old[i]];
                        bool primary = strcmp(slot->name, next->primary) == 0;

                        if (primary != (pass == 0) || (good_only && !slot->good))
                                continue;
                        n += (size_t) snprintf(ret + n, ORDER_SIZE - n, "%s%s", n > 0 ? " " : "", slot->name);
                }
}

static bool is_ours(const BootConfig *c, const char *var) {
        char ours[VAR_SIZE];

        for (uint32_t i = 0; i < c->n_names; i++)
                if (strcmp(var, slot_var(c->names[i], "OK", ours)) == 0 ||
                    strcmp(var, slot_var(c->names[i], "TRY", ours)) == 0)
                        return true;
        return strcmp(var, "ORDER") == 0;
}

static int compose(const GrubEnv *old, const uint32_t *order, const BootConfig *c, const BootState *next,
                   uint8_t ret[GRUB_ENV_SIZE], RsError *err) {
        GrubEnv e = GRUB_ENV_INIT;
        char text[ORDER_SIZE], var[VAR_SIZE];
        int r;

        make_order(c, next, order, false, text);
        r = grub_env_add(&e, "ORDER", text, err);
        for (uint32_t i = 0; r == 0 && i < c->n_names; i++) {
                const BootSlotState *slot = &next->slots[i];
                bool counted = !slot->good && slot->bootable;
                char tries[2] = { (char) ('0' + (slot->good ? slot->missed : counted ? slot->tries_left : 0)), '\0' };

                assert(!counted || (slot->tries_left > 0 && slot->tries_left <= 9));
                assert(slot->missed <= 9);
                r = grub_env_add(&e, slot_var(slot->name, "OK", var), slot->good ? "1" : "0", err);
                if (r == 0)
                        r = grub_env_add(&e, slot_var(slot->name, "TRY", var), tries, err);
        }
        if (r < 0)
                return r;
        /* Our part must end inside the first sector: names of 31 bytes make it 25 + 134 + 4 * 75 = 459. */
        for (uint32_t i = 0; i < old->n_vars; i++) {
                if (is_ours(c, old->text + old->vars[i].name))
                        continue;
                r = grub_env_add(&e, old->text + old->vars[i].name, old->text + old->vars[i].value, err);
                if (r < 0)
                        return r;
        }
        return grub_env_encode(&e, ret, err);
}

static int write_good(const BootConfig *c, const BootState *next, const uint32_t *order, RsError *err) {
        _cleanup_(block_done) Block b = { .fd = -EBADF };
        GrubEnv e = GRUB_ENV_INIT;
        uint8_t bytes[GRUB_ENV_SIZE];
        char text[ORDER_SIZE];
        int r;

        make_order(c, next, order, true, text);
        if (text[0] == '\0') /* no slot is good any more: the last one that was is better than none */
                return 0;
        r = grub_env_add(&e, GOOD_ORDER, text, err);
        if (r == 0)
                r = grub_env_encode(&e, bytes, err);
        if (r < 0)
                return r;
        if (access(c->good_path, F_OK) < 0 && errno == ENOENT)
                return file_replace(AT_FDCWD, c->good_path, SPAN_ARRAY(bytes), 0664, err);
        r = block_open(c->good_path, O_RDWR, &b, err);
        return r < 0 ? r : block_replace(&b, c->good_path, bytes, err);
}

static int grub_write(void *state, const BootConfig *c, const BootState *next, bool good_changed, RsError *err) {
        _cleanup_(block_done) Block b = { .fd = -EBADF };
        uint32_t order[BOOT_NAMES_MAX] = { 0, 1, 2, 3 };
        RsError damage = RS_ERROR_INIT;
        GrubEnv e = GRUB_ENV_INIT;
        uint8_t bytes[GRUB_ENV_SIZE];
        BootState old;
        int r;

        (void) state;
        r = block_open(c->path, O_RDWR, &b, err);
        if (r < 0)
                return r;
        /* A damaged block gets here only through recover: then nothing of it is worth keeping. */
        if (grub_env_parse(SPAN_ARRAY(b.bytes), &e, &damage) < 0)
                e = GRUB_ENV_INIT;
        else if (state_of(&e, c, &old, order, &damage) < 0)
                for (uint32_t i = 0; i < BOOT_NAMES_MAX; i++)
                        order[i] = i;
        if (good_changed && c->good_path) {
                r = write_good(c, next, order, err);
                if (r < 0)
                        return r;
        }
        r = compose(&e, order, c, next, bytes, err);
        return r < 0 ? rs_context(err, "%s", c->path) : block_replace(&b, c->path, bytes, err);
}

static int flush_file(const char *path, RsError *err) {
        _cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);

        if (fd < 0 && errno == ENOENT)
                return 0;
        if (fd < 0 || fsync(fd) < 0)
                return rs_fail_errno(err, errno, "%s: fsync", path);
        return 0;
}

static int grub_flush(void *state, const BootConfig *c, RsError *err) {
        int r;

        (void) state;
        r = c->good_path ? flush_file(c->good_path, err) : 0;
        return r < 0 ? r : flush_file(c->path, err);
}

/* What GRUB itself falls back to when the block is damaged: the last good order. */
static int grub_recover(void *state, const BootConfig *c, BootState *ret, RsError *err) {
        _cleanup_(block_done) Block b = { .fd = -EBADF };
        BootState s = { .n_slots = c->n_names };
        uint32_t order[BOOT_NAMES_MAX], n = 0;
        const char *text;
        GrubEnv e;
        int r;

        (void) state;
        if (!c->good_path)
                return rs_fail(err, BOOT_STATE, "no second file to recover from");
        r = block_open(c->good_path, O_RDONLY, &b, err);
        if (r == 0)
                r = grub_env_parse(SPAN_ARRAY(b.bytes), &e, err);
        if (r < 0)
                return rs_context(err, "%s", c->good_path);
        text = grub_env_get(&e, GOOD_ORDER);
        if (!text || !parse_order(c, text, order, &n))
                return rs_fail(err, BOOT_STATE, "%s: no order of good slots", c->good_path);
        for (uint32_t i = 0; i < c->n_names; i++)
                memcpy(s.slots[i].name, c->names[i], sizeof(s.slots[i].name));
        for (uint32_t i = 0; i < n; i++) {
                s.slots[order[i]].good = s.slots[order[i]].bootable = true;
                s.slots[order[i]].tries_left = BOOT_TRIES_UNCOUNTED;
        }
        memcpy(s.primary, c->names[order[0]], sizeof(s.primary));
        *ret = s;
        return 0;
}

static int grub_open(const BootConfig *c, void **ret_state, RsError *err) {
        (void) c;
        (void) err;
        *ret_state = NULL;
        return 0;
}

static void grub_close(void *state) {
        (void) state;
}

const BootBackend boot_backend_grub = {
        .name = "grub",
        .open = grub_open,
        .close = grub_close,
        .read = grub_read,
        .write = grub_write,
        .flush = grub_flush,
        .recover = grub_recover,
};
