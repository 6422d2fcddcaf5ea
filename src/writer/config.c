/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * config - one handler per section of writer.conf.
 *
 * Sections [tpm], [boot] and [slot NAME] belong to the rooms that use them.  The rest is here.  One table says which
 * keys there are and what holds without them, and the notes of the reader are what POLICY shows.  Every key that
 * decides about trust must be present; there is no default line, board or root.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/config.h>
#include <reseal/base/names.h>
#include <reseal/format/limits.h>

#include "config.h"

static const ConfigKey known_keys[] = {
        { "device", "line", NULL },
        { "device", "compatible", NULL },
        { "trust", "firmware-root", NULL },
        { "trust", "source-root", NULL },
        { "trust", "time-root", NULL },
        { "trust", "recovery", NULL },
        { "trust", "set", NULL },
        { "policy", "require-encryption", "yes" },
        { "policy", "require-time", "no" },
        { "policy", "require-crl", "no" },
        { "policy", "crl-grace", "0" },
        { "policy", "require-latest", "no" },
        { "policy", "allow-intermediate", "no" },
        { "policy", "mark-by-daemon", "yes" },
        TPM_CONFIG_KEYS,
        BOOT_CONFIG_KEYS,
        { "paths", "state", RS_PATH_STATE_WRITER },
        { "paths", "booted", RS_PATH_BOOTED },
        { "server", "client-user", RS_USER_DAEMON },
        { "server", "health-user", RS_USER_HEALTH },
        { "server", "idle-exit", "30" },
        SLOT_CONFIG_KEYS,
};

typedef struct TextKey {
        const char *section;
        const char *key;
        size_t offset;
        bool is_path;
} TextKey;

static const TextKey text_keys[] = {
        { "device", "line", offsetof(WriterConfig, line), false },
        { "device", "compatible", offsetof(WriterConfig, compatible), false },
        { "trust", "firmware-root", offsetof(WriterConfig, firmware_root), true },
        { "trust", "source-root", offsetof(WriterConfig, source_root), true },
        { "trust", "time-root", offsetof(WriterConfig, time_root), true },
        { "trust", "recovery", offsetof(WriterConfig, recovery), true },
        { "trust", "set", offsetof(WriterConfig, trust_set), true },
        { "paths", "state", offsetof(WriterConfig, state_dir), true },
        { "paths", "booted", offsetof(WriterConfig, booted_path), true },
        { "server", "client-user", offsetof(WriterConfig, client_user), false },
        { "server", "health-user", offsetof(WriterConfig, health_user), false },
};

static int set_text(WriterConfig *c, const TextKey *key, const char *value, RsError *err) {
        char **field = (char **) (void *) ((char *) c + key->offset);
        int r;

        r = key->is_path ? config_path(value, field, err) : config_string(value, field, err);
        if (r < 0)
                return r;
        if (!key->is_path && strlen(*field) > RS_NAME_MAX)
                return rs_fail(err, CONFIG, "%s: longer than %u characters", key->key, RS_NAME_MAX);
        return 1;
}

static int set_policy(WriterConfig *c, const char *key, const char *value, RsError *err) {
        const struct {
                const char *key;
                bool *field;
        } switches[] = {
                { "require-encryption", &c->require_encryption },
                { "require-time", &c->require_time },
                { "require-crl", &c->require_crl },
                { "require-latest", &c->require_latest },
                { "allow-intermediate", &c->allow_intermediate },
                { "mark-by-daemon", &c->mark_by_daemon },
        };

        for (size_t i = 0; i < ELEMENTSOF(switches); i++)
                if (strcmp(key, switches[i].key) == 0)
                        return config_bool(value, switches[i].field, err) < 0 ? -EINVAL : 1;
        if (strcmp(key, "crl-grace") == 0)
                return config_seconds(value, 366u * 86400u, &c->crl_grace_usec, err) < 0 ? -EINVAL : 1;
        return 0;
}

static int on_key(void *userdata, const char *section, const char *key, const char *value, RsError *err) {
        WriterConfig *c = userdata;

        for (size_t i = 0; i < ELEMENTSOF(text_keys); i++)
                if (strcmp(section, text_keys[i].section) == 0 && strcmp(key, text_keys[i].key) == 0)
                        return set_text(c, &text_keys[i], value, err);
        if (strcmp(section, "policy") == 0)
                return set_policy(c, key, value, err);
        if (strcmp(section, "server") == 0 && strcmp(key, "idle-exit") == 0)
                return config_seconds(value, 86400, &c->idle_exit_usec, err) < 0 ? -EINVAL : 1;
        if (strcmp(section, "tpm") == 0)
                return tpm_config_set(&c->tpm, key, value, err);
        if (strcmp(section, "boot") == 0)
                return boot_config_set(&c->boot, key, value, err);
        if (strncmp(section, "slot ", 5) == 0)
                return slot_map_set(c->map, section + 5, key, value, err);
        return 0;
}

static int check_config(WriterConfig *c, RsError *err) {
        if (!c->line)
                return rs_fail(err, CONFIG, "[device] line is missing");
        if (!c->compatible)
                return rs_fail(err, CONFIG, "[device] compatible is missing");
        if (!c->firmware_root)
                return rs_fail(err, CONFIG, "[trust] firmware-root is missing");
        if (strcmp(c->client_user, c->health_user) == 0)
                return rs_fail(err, CONFIG, "[server] health-user and client-user must differ");
        return slot_map_complete(c->map, err);
}

/* What holds without this key depends on another one. */
static int note_tries(WriterConfig *c, RsError *err) {
        const ConfigNote *note = config_notes_find(&c->notes, "boot", "tries");
        char text[16];

        if (note->line > 0)
                return 0;
        (void) snprintf(text, sizeof(text), "%" PRIu32, boot_config_tries(&c->boot));
        return config_notes_set(&c->notes, "boot", "tries", text, 0) < 0 ? rs_fail_oom(err) : 0;
}

int writer_config_load(const char *path, WriterConfig *ret, RsError *err) {
        _cleanup_(writer_config_done) WriterConfig c = { 0 };
        int r;

        c.map = slot_map_new();
        if (!c.map)
                return rs_fail_oom(err);
        r = config_read_noted(path, known_keys, ELEMENTSOF(known_keys), on_key, &c, &c.notes, err);
        if (r >= 0)
                r = note_tries(&c, err);
        if (r < 0)
                return r;
        r = check_config(&c, err);
        if (r < 0)
                return rs_context(err, "%s", path);
        *ret = c;
        memset(&c, 0, sizeof(c)); /* handed over */
        return 0;
}

void writer_config_done(WriterConfig *c) {
        free(c->line);
        free(c->compatible);
        free(c->firmware_root);
        free(c->source_root);
        free(c->time_root);
        free(c->recovery);
        free(c->trust_set);
        free(c->state_dir);
        free(c->booted_path);
        free(c->client_user);
        free(c->health_user);
        tpm_config_done(&c->tpm);
        boot_config_done(&c->boot);
        c->map = slot_map_free(c->map);
        config_notes_done(&c->notes);
        memset(c, 0, sizeof(*c));
}
