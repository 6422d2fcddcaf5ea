/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * boot-config - section [boot] of writer.conf.  Apart from the back ends, so that the initramfs needs none of them.
 */
#include <string.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/config.h>
#include <reseal/boot/boot.h>

/* A name becomes part of variable names of the loader, so only what both loaders accept there. */
static bool name_is_good(const char *name, size_t size) {
        if (size > 0 && name[0] >= '0' && name[0] <= '9')
                return false; /* GRUB reads $1_OK as its first argument */
        for (size_t i = 0; i < size; i++)
                if (!((name[i] >= 'A' && name[i] <= 'Z') || (name[i] >= 'a' && name[i] <= 'z') ||
                      (name[i] >= '0' && name[i] <= '9')))
                        return false;
        return size > 0 && size < BOOT_NAME_MAX;
}

static int set_names(BootConfig *c, const char *value, RsError *err) {
        uint32_t n = 0;

        memset(c->names, 0, sizeof(c->names));
        c->n_names = 0;
        for (const char *p = value;; p++) {
                size_t size = strcspn(p, " ");

                if (!name_is_good(p, size))
                        return rs_fail(err, CONFIG, "a boot name is 1 to %u letters and digits", BOOT_NAME_MAX - 1);
                if (n >= BOOT_NAMES_MAX)
                        return rs_fail(err, CONFIG, "more than %u boot names", BOOT_NAMES_MAX);
                memcpy(c->names[n], p, size);
                for (uint32_t i = 0; i < n; i++)
                        if (strcmp(c->names[i], c->names[n]) == 0)
                                return rs_fail(err, CONFIG, "boot name %s stands twice", c->names[n]);
                n++;
                p += size;
                if (*p == '\0')
                        break;
        }
        c->n_names = n;
        return 0;
}

int boot_config_set(BootConfig *c, const char *key, const char *value, RsError *err) {
        uint64_t tries = 0;
        int r;

        if (strcmp(key, "backend") == 0)
                r = config_string(value, &c->backend, err);
        else if (strcmp(key, "path") == 0)
                r = config_path(value, &c->path, err);
        else if (strcmp(key, "good-path") == 0)
                r = config_path(value, &c->good_path, err);
        else if (strcmp(key, "tries") == 0) {
                r = config_u64(value, 1, BOOT_TRIES_MAX, &tries, err);
                if (r == 0)
                        c->tries = (uint32_t) tries;
        } else if (strcmp(key, "names") == 0)
                r = set_names(c, value, err);
        else
                return 0;
        return r < 0 ? r : 1;
}

void boot_config_done(BootConfig *c) {
        free(c->backend);
        free(c->path);
        free(c->good_path);
        *c = (BootConfig){ 0 };
}
