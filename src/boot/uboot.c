/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * uboot - the U-Boot back end: BOOT_ORDER, BOOT_<name>_LEFT and BOOT_<name>_GOOD through libubootenv.
 *
 *   BOOT_ORDER="B A"   what is tried, first to last; always all names
 *   BOOT_B_LEFT=0..9   attempts left; the boot script takes one off before each start, and passes over a slot at 0
 *   BOOT_B_GOOD=0|1    ours: marked good since it was last installed; its attempts are filled up whenever it came up
 *
 * Every change is one libuboot_env_store().  With a redundant environment (two lines in fw_env.config, which
 * docs/boot.md asks for) the library writes the copy that is not in use; U-Boot takes the newer one whose CRC is good,
 * so an interrupted write leaves the old state.  The library ignores failures of fsync and of its lock file,
 * hence the environment is loaded again and compared after each store.
 *
 * GOOD is a variable of its own because a count cannot tell a good slot from a new one that has all its attempts,
 * and that difference decides whether the other slot may be overwritten (I0).  A good slot whose attempts are used up
 * stays good: it did not come up, the other one is started, and then it gets one more (decisions/010).
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <libuboot.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/boot/boot.h>

#define ORDER_SIZE (BOOT_NAMES_MAX * BOOT_NAME_MAX + 1)
#define VAR_SIZE (BOOT_NAME_MAX + 16)
#define CONFIG_MAX 65536u

typedef struct Env {
        struct uboot_ctx *ctx;
        bool open;
} Env;

static void env_done(Env *e) {
        if (e->ctx && e->open)
                libuboot_close(e->ctx);
        if (e->ctx)
                libuboot_exit(e->ctx);
}

static int env_open(const BootConfig *c, Env *ret, RsError *err) {
        int r;

        r = libuboot_initialize(&ret->ctx, NULL);
        if (r < 0)
                return rs_fail_oom(err);
        r = libuboot_read_config(ret->ctx, c->path);
        if (r < 0)
                return rs_fail(err, BOOT_STATE, "%s: %s", c->path, strerror(-r));
        r = libuboot_open(ret->ctx);
        ret->open = true; /* a failed load still holds variables and the lock */
        if (r < 0)
                return rs_fail(err, BOOT_STATE, "environment of %s: %s", c->path,
                               r == -ENODATA ? "no copy with a good checksum" : strerror(-r));
        return 0;
}

static const char *slot_var(const char *name, const char *suffix, char buffer[VAR_SIZE]) {
        (void) snprintf(buffer, VAR_SIZE, "BOOT_%s_%s", name, suffix);
        return buffer;
}

/* A missing count or mark is that of a slot nobody has installed: 0. */
static int digit(Env *e, const char *name, const char *suffix, uint32_t max, uint32_t *ret, RsError *err) {
        char var[VAR_SIZE];
        _cleanup_(freep) char *v = libuboot_get_env(e->ctx, slot_var(name, suffix, var));

        if (v && (v[0] < '0' || v[0] > '9' || v[1] != '\0' || (uint32_t) (v[0] - '0') > max))
                return rs_fail(err, BOOT_STATE, "%s is not a number from 0 to %u", var, max);
        *ret = v ? (uint32_t) (v[0] - '0') : 0;
        return 0;
}

/* Names in the order they are tried; names that BOOT_ORDER leaves out follow, and are not startable. */
static int read_order(Env *e, const BootConfig *c, uint32_t ret[BOOT_NAMES_MAX], uint32_t *ret_n_listed, RsError *err) {
        _cleanup_(freep) char *text = libuboot_get_env(e->ctx, "BOOT_ORDER");
        uint32_t seen = 0, n = 0;

        for (const char *p = text ? text : ""; *p != '\0';) {
                size_t size = strcspn(p, " ");
                uint32_t i;

                for (i = 0; i < c->n_names; i++)
                        if (strlen(c->names[i]) == size && memcmp(c->names[i], p, size) == 0)
                                break;
                if (i >= c->n_names || (seen & (1u << i)) != 0)
                        return rs_fail(err, BOOT_STATE, "BOOT_ORDER \"%s\" does not name slots of this device", text);
                seen |= 1u << i;
                ret[n++] = i;
                p += size + (p[size] == ' ');
        }
        if (n == 0)
                return rs_fail(err, BOOT_STATE, "BOOT_ORDER is missing");
        *ret_n_listed = n;
        for (uint32_t i = 0; i < c->n_names; i++)
                if ((seen & (1u << i)) == 0)
                        ret[n++] = i;
        return 0;
}

static int state_of(Env *e, const BootConfig *c, BootState *ret, uint32_t order[BOOT_NAMES_MAX], RsError *err) {
        BootState s = { .n_slots = c->n_names };
        uint32_t n_listed = 0, good;
        int r;

        r = read_order(e, c, order, &n_listed, err);
        if (r < 0)
                return r;
        for (uint32_t i = 0; i < c->n_names; i++) {
                BootSlotState *slot = &s.slots[i];

                memcpy(slot->name, c->names[i], sizeof(slot->name));
                r = digit(e, slot->name, "LEFT", 9, &slot->tries_left, err);
                if (r < 0)
                        return r;
                r = digit(e, slot->name, "GOOD", 1, &good, err);
                if (r < 0)
                        return r;
                slot->good = good == 1;
                slot->bootable = slot->good || slot->tries_left > 0;
                if (slot->good) {
                        slot->missed = slot->tries_left < BOOT_MISSED_MAX ? BOOT_MISSED_MAX - slot->tries_left : 0;
                        slot->tries_left = BOOT_TRIES_UNCOUNTED;
                }
        }
        for (uint32_t i = n_listed; i > 0; i--) {
                BootSlotState *slot = &s.slots[order[i - 1]];

                if (slot->bootable)
                        memcpy(s.primary, slot->name, sizeof(s.primary));
        }
        memcpy(s.first, s.slots[order[0]].name, sizeof(s.first));
        *ret = s;
        return 0;
}

static int uboot_read(void *state, const BootConfig *c, BootState *ret, RsError *err) {
        _cleanup_(env_done) Env e = { 0 };
        uint32_t order[BOOT_NAMES_MAX];
        int r;

        (void) state;
        r = env_open(c, &e, err);
        return r < 0 ? r : state_of(&e, c, ret, order, err);
}

static int set(Env *e, const char *var, const char *value, RsError *err) {
        int r = libuboot_set_env(e->ctx, var, value);

        return r < 0 ? rs_fail(err, BOOT_STATE, "%s cannot be set: %s", var, strerror(-r)) : 0;
}

static int set_all(Env *e, const BootConfig *c, const BootState *next, const uint32_t old[BOOT_NAMES_MAX],
                   RsError *err) {
        char order[ORDER_SIZE] = "", var[VAR_SIZE];
        size_t n = 0;
        int r;

        for (uint32_t pass = 0; pass < 2; pass++)
                for (uint32_t i = 0; i < c->n_names; i++)
                        if ((strcmp(next->slots[old[i]].name, next->primary) == 0) == (pass == 0))
                                n += (size_t) snprintf(order + n, sizeof(order) - n, "%s%s", n > 0 ? " " : "",
                                                       next->slots[old[i]].name);
        r = set(e, "BOOT_ORDER", order, err);
        for (uint32_t i = 0; r == 0 && i < c->n_names; i++) {
                const BootSlotState *slot = &next->slots[i];
                uint32_t tries = slot->good ? BOOT_MISSED_MAX - slot->missed : slot->bootable ? slot->tries_left : 0;
                char left[2] = { (char) ('0' + tries), '\0' };

                assert(tries <= 9);
                r = set(e, slot_var(slot->name, "LEFT", var), left, err);
                if (r == 0)
                        r = set(e, slot_var(slot->name, "GOOD", var), slot->good ? "1" : "0", err);
        }
        return r;
}

static bool same_state(const BootState *a, const BootState *b) {
        if (a->n_slots != b->n_slots || strcmp(a->primary, b->primary) != 0)
                return false;
        for (uint32_t i = 0; i < a->n_slots; i++)
                if (a->slots[i].bootable != b->slots[i].bootable || a->slots[i].good != b->slots[i].good ||
                    (a->slots[i].good && a->slots[i].missed != b->slots[i].missed) ||
                    (a->slots[i].bootable && !a->slots[i].good && a->slots[i].tries_left != b->slots[i].tries_left))
                        return false;
        return true;
}

static int store(const BootConfig *c, const BootState *next, RsError *err) {
        _cleanup_(env_done) Env e = { 0 };
        uint32_t order[BOOT_NAMES_MAX];
        BootState old;
        int r;

        r = env_open(c, &e, err);
        if (r == 0)
                r = state_of(&e, c, &old, order, err);
        if (r == 0)
                r = set_all(&e, c, next, order, err);
        if (r < 0)
                return r;
        r = libuboot_env_store(e.ctx);
        return r < 0 ? rs_fail(err, BOOT_STATE, "environment of %s cannot be stored: %s", c->path, strerror(-r)) : 0;
}

static int uboot_write(void *state, const BootConfig *c, const BootState *next, bool good_changed, RsError *err) {
        BootState landed;
        int r;

        (void) good_changed;
        r = store(c, next, err);
        if (r < 0)
                return r;
        r = uboot_read(state, c, &landed, err);
        if (r < 0)
                return r;
        if (!same_state(&landed, next))
                return rs_fail(err, BOOT_STATE, "environment of %s: what was stored reads differently", c->path);
        return 0;
}

/* MTD has no fsync, and nothing to flush. */
static int flush_device(void *userdata, const char *path, RsError *err) {
        _cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

        (void) userdata;
        if (fd < 0 || (fsync(fd) < 0 && errno != EINVAL))
                return rs_fail(err, BOOT_STATE, "%s: cannot be flushed: %s", path, strerror(errno));
        return 0;
}

/* The library has no call for it: the first word of each line of its configuration is a device or a file. */
int boot_uboot_media(const char *path, BootMediumHandler handler, void *userdata, RsError *err) {
        _cleanup_(freep) uint8_t *text = NULL;
        char *rest, *line;
        size_t size;
        int r, n = 0;

        r = file_read(AT_FDCWD, path, CONFIG_MAX, &text, &size, err);
        if (r <= 0)
                return r;
        rest = (char *) text; /* file_read ends it with a zero byte */
        while ((line = strsep(&rest, "\n"))) {
                line += strspn(line, " \t");
                line[strcspn(line, " \t\r")] = '\0';
                if (*line == '\0' || *line == '#')
                        continue;
                r = handler(userdata, line, err);
                if (r < 0)
                        return r;
                n++;
        }
        return n;
}

static int uboot_flush(void *state, const BootConfig *c, RsError *err) {
        int r;

        (void) state;
        r = boot_uboot_media(c->path, flush_device, NULL, err);
        return r == 0 ? rs_fail(err, BOOT_STATE, "%s is missing or empty", c->path) : r < 0 ? r : 0;
}

static int uboot_open(const BootConfig *config, void **ret_state, RsError *err) {
        (void) config;
        (void) err;
        *ret_state = NULL;
        return 0;
}

static void uboot_close(void *state) {
        (void) state;
}

const BootBackend boot_backend_uboot = {
        .name = "uboot",
        .open = uboot_open,
        .close = uboot_close,
        .read = uboot_read,
        .write = uboot_write,
        .flush = uboot_flush,
};
