/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * boot - the operations every bootloader shares, on top of "read the whole state" and "write the whole state".
 *
 * A back end only translates.  What an operation means is said once, here, so that no loader can differ in it:
 * - W2  unbootable: neither startable nor good; if it was first, the next startable slot becomes first;
 * - W8  try: first, with so many attempts, not good;
 * - W10 good: startable without a limit; who is first does not change;
 * - an operator's primary: only a slot that is good;
 * - a good slot that came up has missed no start.
 * An operation that would change nothing writes nothing: repeating a step after a power cut costs no wear and
 * opens no new window for another cut.  It flushes, though: a writer that was killed between its write and its flush
 * leaves a state that reads as written and that the next power cut takes back, with a slot already erased behind it.
 */
#include <string.h>

#include <reseal/base/cleanup.h>
#include <reseal/boot/boot.h>

#define TRIES_DEFAULT 3u

struct Boot {
        const BootBackend *backend;
        void *state;
        BootConfig config;
};

static const BootBackend *const backends[] = {
        &boot_backend_efi,
        &boot_backend_grub,
        &boot_backend_systemd_boot,
        &boot_backend_uboot,
};

static uint32_t tries_max(const BootBackend *b) {
        return b->tries_max > 0 ? b->tries_max : BOOT_TRIES_MAX;
}

static const BootBackend *find_backend(const BootConfig *c) {
        for (size_t i = 0; c->backend && i < ELEMENTSOF(backends); i++)
                if (strcmp(backends[i]->name, c->backend) == 0)
                        return backends[i];
        return NULL;
}

uint32_t boot_config_tries(const BootConfig *c) {
        const BootBackend *b = find_backend(c);

        if (!b || c->tries > 0)
                return b ? c->tries : 0;
        return TRIES_DEFAULT < tries_max(b) ? TRIES_DEFAULT : tries_max(b);
}

static int check_config(const BootConfig *c, const BootBackend **ret, RsError *err) {
        if (!c->backend || !c->path)
                return rs_fail(err, CONFIG, "[boot] needs backend and path");
        if (c->n_names < 2)
                return rs_fail(err, CONFIG, "[boot] needs at least two names");
        const BootBackend *b = find_backend(c);

        if (!b)
                return rs_fail(err, CONFIG, "[boot] backend: \"%s\" is not known", c->backend);
        if (c->tries > tries_max(b))
                return rs_fail(err, CONFIG, "[boot] tries: at most %u", tries_max(b));
        *ret = b;
        return 0;
}

int boot_open(const BootConfig *config, Boot **ret, RsError *err) {
        _cleanup_(boot_closep) Boot *b = calloc(1, sizeof(*b));
        const BootBackend *backend = NULL;
        int r;

        if (!b)
                return rs_fail_oom(err);
        r = check_config(config, &backend, err);
        if (r < 0)
                return r;
        b->config.tries = boot_config_tries(config);
        b->config.n_names = config->n_names;
        memcpy(b->config.names, config->names, sizeof(config->names));
        b->config.backend = strdup(config->backend);
        b->config.path = strdup(config->path);
        b->config.good_path = config->good_path ? strdup(config->good_path) : NULL;
        if (!b->config.backend || !b->config.path || (config->good_path && !b->config.good_path))
                return rs_fail_oom(err);
        r = backend->open(&b->config, &b->state, err);
        if (r < 0)
                return r;
        b->backend = backend;
        *ret = TAKE_PTR(b);
        return 0;
}

Boot *boot_close(Boot *b) {
        if (b) {
                if (b->backend)
                        b->backend->close(b->state);
                boot_config_done(&b->config);
                free(b);
        }
        return NULL;
}

int boot_read(Boot *b, BootState *ret, RsError *err) {
        return b->backend->read(b->state, &b->config, ret, err);
}

static BootSlotState *find_slot(BootState *s, const char *name) {
        for (uint32_t i = 0; i < s->n_slots; i++)
                if (strcmp(s->slots[i].name, name) == 0)
                        return &s->slots[i];
        return NULL;
}

/* The state as it is and the place of one slot in it. */
static int read_for(Boot *b, const char *name, BootState *ret, BootSlotState **ret_slot, RsError *err) {
        int r;

        r = boot_read(b, ret, err);
        if (r < 0)
                return r;
        *ret_slot = find_slot(ret, name);
        if (!*ret_slot)
                return rs_fail(err, INVALID, "\"%s\" is not a boot name of this device", name);
        return 0;
}

/* It is as it should be: on the medium, too? */
static int already_so(Boot *b, RsError *err) {
        return b->backend->flush(b->state, &b->config, err);
}

static void first_bootable(BootState *s) {
        s->primary[0] = '\0';
        for (uint32_t i = 0; i < s->n_slots && s->primary[0] == '\0'; i++)
                if (s->slots[i].bootable)
                        memcpy(s->primary, s->slots[i].name, sizeof(s->primary));
}

static void make_unbootable(BootState *s, BootSlotState *slot) {
        slot->bootable = slot->good = slot->last_resort = false;
        slot->tries_left = 0;
        if (strcmp(s->primary, slot->name) == 0)
                first_bootable(s);
}

static void make_try(BootState *s, BootSlotState *slot, uint32_t tries) {
        slot->bootable = true;
        slot->good = false;
        slot->tries_left = tries;
        memcpy(s->primary, slot->name, sizeof(s->primary));
}

static void make_good(BootState *s, BootSlotState *slot, uint32_t tries) {
        slot->good = slot->bootable = true;
        slot->tries_left = tries;
        slot->missed = 0;
        /* A trial that has used its last attempt is not startable any more, but still first: it stays first. */
        if (s->primary[0] == '\0' || strcmp(s->first, slot->name) == 0)
                memcpy(s->primary, slot->name, sizeof(s->primary));
}

static int make_primary(BootState *s, const BootSlotState *slot, RsError *err) {
        if (!slot->good || !slot->bootable)
                return rs_fail(err, STATE, "slot %s is not marked good", slot->name);
        memcpy(s->primary, slot->name, sizeof(s->primary));
        return 0;
}

int boot_set_unbootable(Boot *b, const char *name, RsError *err) {
        BootSlotState *slot;
        BootState s;
        bool was_good;
        int r;

        r = read_for(b, name, &s, &slot, err);
        if (r < 0)
                return r;
        if (!slot->bootable && !slot->good && !slot->last_resort)
                return already_so(b, err);
        was_good = slot->good;
        make_unbootable(&s, slot);
        return b->backend->write(b->state, &b->config, &s, was_good, err);
}

int boot_set_try(Boot *b, const char *name, RsError *err) {
        BootSlotState *slot;
        BootState s;
        bool was_good;
        int r;

        r = read_for(b, name, &s, &slot, err);
        if (r < 0)
                return r;
        if (slot->bootable && !slot->good && slot->tries_left == b->config.tries && strcmp(s.primary, name) == 0)
                return already_so(b, err);
        was_good = slot->good;
        make_try(&s, slot, b->config.tries);
        return b->backend->write(b->state, &b->config, &s, was_good, err);
}

/*
 * The state for GOOD.  Damaged: what the loader falls back to, in its order.  The caller vouches for `name`, the slot
 * that runs; it becomes first only where the loader has no order of its own, because a repair is no choice of what
 * starts next.  Without this a torn block would end all updates for good.
 */
static int read_for_good(Boot *b, const char *name, BootState *ret, BootSlotState **ret_slot, bool *ret_damaged,
                         RsError *err) {
        RsError damage = RS_ERROR_INIT;
        int r;

        r = boot_read(b, ret, &damage);
        *ret_damaged = r < 0;
        if (r < 0 && damage.reason == RS_REASON_BOOT_STATE && b->backend->recover)
                r = b->backend->recover(b->state, &b->config, ret, err);
        else if (r < 0)
                *err = err->reason == RS_REASON_NONE ? damage : *err;
        if (r < 0)
                return r;
        *ret_slot = find_slot(ret, name);
        if (!*ret_slot)
                return rs_fail(err, INVALID, "\"%s\" is not a boot name of this device", name);
        return 0;
}

int boot_set_good(Boot *b, const char *name, RsError *err) {
        BootSlotState *slot;
        bool counted, damaged;
        BootState s;
        int r;

        r = read_for_good(b, name, &s, &slot, &damaged, err);
        if (r < 0)
                return r;
        counted = slot->tries_left != BOOT_TRIES_UNCOUNTED && slot->tries_left < b->config.tries;
        if (slot->good && !counted && !damaged)
                return already_so(b, err);
        make_good(&s, slot, b->config.tries);
        return b->backend->write(b->state, &b->config, &s, true, err);
}

int boot_set_primary(Boot *b, const char *name, RsError *err) {
        BootSlotState *slot;
        BootState s;
        int r;

        r = read_for(b, name, &s, &slot, err);
        if (r < 0)
                return r;
        if (strcmp(s.primary, name) == 0 && slot->good && slot->bootable)
                return already_so(b, err);
        r = make_primary(&s, slot, err);
        return r < 0 ? r : b->backend->write(b->state, &b->config, &s, false, err);
}

int boot_foresee(Boot *b, BootChange change, const char *name, BootState *ret_now, BootState *ret_then, RsError *err) {
        BootSlotState *slot;
        BootState now, then;
        bool damaged;
        int r;

        r = change == BOOT_GOOD ? read_for_good(b, name, &now, &slot, &damaged, err)
                                : read_for(b, name, &now, &slot, err);
        if (r < 0)
                return r;
        then = now;
        slot = find_slot(&then, name);
        if (change == BOOT_UNBOOTABLE)
                make_unbootable(&then, slot);
        else if (change == BOOT_TRY)
                make_try(&then, slot, b->config.tries);
        else if (change == BOOT_GOOD)
                make_good(&then, slot, b->config.tries);
        else
                r = make_primary(&then, slot, err);
        if (r < 0)
                return r;
        if (then.primary[0] != '\0') /* whoever is primary is written first */
                memcpy(then.first, then.primary, sizeof(then.first));
        *ret_now = now;
        *ret_then = then;
        return 0;
}

int boot_change(Boot *b, BootChange change, const char *name, RsError *err) {
        static int (*const set[])(Boot *b, const char *name, RsError *err) = {
                [BOOT_UNBOOTABLE] = boot_set_unbootable,
                [BOOT_TRY] = boot_set_try,
                [BOOT_GOOD] = boot_set_good,
                [BOOT_PRIMARY] = boot_set_primary,
        };

        return set[change](b, name, err);
}

int boot_came_up(Boot *b, const char *name, RsError *err) {
        BootSlotState *slot;
        BootState s;
        bool changed = false;
        int r;

        r = read_for(b, name, &s, &slot, err);
        if (r < 0)
                return r;
        for (uint32_t i = 0; i < s.n_slots; i++) {
                uint32_t wanted = &s.slots[i] == slot ? 0 : BOOT_MISSED_MAX - 1;

                if (!s.slots[i].good || s.slots[i].missed <= wanted)
                        continue;
                s.slots[i].missed = wanted;
                changed = true;
        }
        return changed ? b->backend->write(b->state, &b->config, &s, false, err) : 0;
}
