/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * unlock-config - reads writer.conf as far as it matters before there is a root.
 *
 * There is one slot map on a device.  The initramfs carries a copy of the writer's file and not a map of its own that
 * could say something else; keys that are the writer's business alone are left to the writer.  Slots are not looked at
 * here: only one of them is about to be opened, and another may be the reason why.
 */
#include <stdlib.h>
#include <string.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/config.h>

#include "unlock-config.h"

static int on_key(void *userdata, const char *section, const char *key, const char *value, RsError *err) {
        UnlockConfig *c = userdata;

        if (strncmp(section, "slot ", 5) == 0)
                return slot_map_set(c->map, section + 5, key, value, err);
        if (strcmp(section, "tpm") == 0)
                return tpm_config_set(&c->tpm, key, value, err);
        if (strcmp(section, "trust") == 0 && strcmp(key, "firmware-root") == 0) {
                int r = config_path(value, &c->firmware_root, err);

                return r < 0 ? r : 1;
        }
        if (strcmp(section, "device") == 0 && (strcmp(key, "line") == 0 || strcmp(key, "compatible") == 0)) {
                int r = config_string(value, key[0] == 'l' ? &c->line : &c->compatible, err);

                return r < 0 ? r : 1;
        }
        return 1; /* the writer judges the rest */
}

int unlock_config_load(const char *path, UnlockConfig *ret, RsError *err) {
        _cleanup_(unlock_config_done) UnlockConfig c = { .map = slot_map_new() };
        int r;

        if (!c.map)
                return rs_fail_oom(err);
        r = config_read(path, on_key, &c, err);
        if (r < 0)
                return r;
        if (!c.firmware_root)
                return rs_fail(err, CONFIG, "%s: [trust] firmware-root is missing", path);
        if (!c.line || !c.compatible)
                return rs_fail(err, CONFIG, "%s: [device] line or compatible is missing", path);
        if (!c.tpm.tcti) {
                c.tpm.shared = true;
                r = config_string("device:/dev/tpmrm0", &c.tpm.tcti, err);
                if (r < 0)
                        return r;
        }
        *ret = c;
        memset(&c, 0, sizeof(c)); /* handed over */
        return 0;
}

void unlock_config_done(UnlockConfig *c) {
        c->map = slot_map_free(c->map);
        free(c->firmware_root);
        free(c->line);
        free(c->compatible);
        tpm_config_done(&c->tpm);
        memset(c, 0, sizeof(*c));
}

int unlock_config_slot(const UnlockConfig *c, const char *class_name, const char *boot_name, const Slot **ret,
                       RsError *err) {
        const Slot *slot = slot_map_find(c->map, class_name, boot_name);

        if (!slot)
                return rs_fail(err, INVALID, "the slot map has no slot \"%s\" of class %s", boot_name, class_name);
        if (!slot->device || slot->kind != SLOT_KIND_LUKS2)
                return rs_fail(err, CONFIG, "[slot %s] is not of type luks2, or names no device", slot->name);
        *ret = slot;
        return 0;
}

int unlock_cmdline_slot(const char *cmdline, char **ret, RsError *err) {
        _cleanup_(freep) char *copy = strdup(cmdline), *found = NULL;
        char *rest = copy, *word;

        if (!copy)
                return rs_fail_oom(err);
        while ((word = strsep(&rest, " \t\n"))) {
                if (strncmp(word, UNLOCK_CMDLINE_KEY "=", strlen(UNLOCK_CMDLINE_KEY) + 1) != 0)
                        continue;
                if (found)
                        return rs_fail(err, INVALID, "the kernel command line has " UNLOCK_CMDLINE_KEY "= twice");
                found = strdup(strchr(word, '=') + 1);
                if (!found)
                        return rs_fail_oom(err);
        }
        if (!found)
                return rs_fail(err, INVALID, "the kernel command line has no " UNLOCK_CMDLINE_KEY "=");
        *ret = TAKE_PTR(found);
        return 0;
}
