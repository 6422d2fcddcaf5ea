/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * config - the keys of reseal.conf.
 *
 * Every key has a default but the trust anchors of the source: without them there is nobody to talk to, and a
 * default (the system's store, say) would be a hole.  One table says which keys there are and what holds without
 * them; what is not in it is refused by base/config.c with file and line, and its notes are what GetPolicy shows.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/config.h>
#include <reseal/base/names.h>

#include "config.h"

#define HOUR_SEC 3600u

static const ConfigKey known_keys[] = {
        { "source", "anchors", NULL },
        { "source", "tsa", NULL },
        { "source", "hosts", NULL },
        { "source", "connect-timeout", "30" },
        { "source", "low-speed", "1K" },
        { "source", "low-speed-time", "60" },
        { "source", "deadline", "21600" },
        { "source", "retries", "5" },
        { "source", "retry-pause", NULL }, /* half a second, which no line can say */
        TPM_CONFIG_KEYS,
        { "writer", "socket", RS_PATH_WRITER_SOCKET },
        { "writer", "retries", "10" },
        { "writer", "retry-pause", "1" },
        { "daemon", "firmware-anchors", NULL },
        { "daemon", "compatible", NULL },
        { "daemon", "state-directory", RS_PATH_STATE_DAEMON },
        { "daemon", "keys-directory", RS_PATH_KEYS },
};

void daemon_config_done(DaemonConfig *c) {
        free(c->state_dir);
        free(c->keys_dir);
        free(c->source_anchors);
        free(c->firmware_anchors);
        free(c->writer_socket);
        for (unsigned i = 0; i < c->n_compatible; i++)
                free(c->compatible[i]);
        for (unsigned i = 0; i < c->https.n_hosts; i++)
                free(c->https.hosts[i]);
        free(c->tsa_url);
        tpm_config_done(&c->tpm);
        config_notes_done(&c->notes);
        *c = (DaemonConfig){ 0 };
}

/* Words apart by blanks, appended; each is copied. */
static int take_words(const char *value, char **list, unsigned max, unsigned *n, RsError *err) {
        while (*value) {
                size_t length = strcspn(value, " ");
                if (length) {
                        if (*n == max)
                                return rs_fail(err, CONFIG, "more than %u words", max);
                        list[*n] = strndup(value, length);
                        if (!list[*n])
                                return rs_fail_oom(err);
                        (*n)++;
                }
                value += length;
                value += strspn(value, " ");
        }
        return 0;
}

static int set_source(DaemonConfig *c, const char *key, const char *value, RsError *err) {
        uint64_t n;
        int r;

        if (strcmp(key, "anchors") == 0)
                return config_path(value, &c->source_anchors, err);
        if (strcmp(key, "tsa") == 0)
                return config_string(value, &c->tsa_url, err);
        if (strcmp(key, "hosts") == 0)
                return take_words(value, c->https.hosts, HTTPS_HOSTS_MAX, &c->https.n_hosts, err);
        if (strcmp(key, "connect-timeout") == 0)
                return config_seconds(value, 600, &c->https.connect_timeout_usec, err);
        if (strcmp(key, "low-speed-time") == 0)
                return config_seconds(value, HOUR_SEC, &c->https.low_speed_usec, err);
        if (strcmp(key, "low-speed") == 0)
                return config_size(value, 1, UINT64_C(1) << 30, &c->https.low_speed_bytes, err);
        if (strcmp(key, "deadline") == 0)
                return config_seconds(value, 30 * 24 * HOUR_SEC, &c->https.deadline_usec, err);
        if (strcmp(key, "retry-pause") == 0)
                return config_seconds(value, 600, &c->https.retry_usec, err);
        if (strcmp(key, "retries") == 0) {
                r = config_u64(value, 0, 1000, &n, err);
                if (r >= 0)
                        c->https.max_retries = (unsigned) n;
                return r;
        }
        return 1;
}

static int set_writer(DaemonConfig *c, const char *key, const char *value, RsError *err) {
        if (strcmp(key, "socket") == 0)
                return config_path(value, &c->writer_socket, err);
        if (strcmp(key, "retry-pause") == 0)
                return config_seconds(value, 600, &c->writer_retry_usec, err);
        if (strcmp(key, "retries") == 0)
                return config_u64(value, 0, 1000, &c->writer_retries, err);
        return 1;
}

static int set_daemon(DaemonConfig *c, const char *key, const char *value, RsError *err) {
        if (strcmp(key, "state-directory") == 0)
                return config_path(value, &c->state_dir, err);
        if (strcmp(key, "keys-directory") == 0)
                return config_path(value, &c->keys_dir, err);
        if (strcmp(key, "firmware-anchors") == 0)
                return config_path(value, &c->firmware_anchors, err);
        if (strcmp(key, "compatible") == 0)
                return take_words(value, c->compatible, RS_COMPATIBLE_MAX, &c->n_compatible, err);
        return 1;
}

/* The setters say 0 = taken, 1 = unknown; the reader of base wants it the other way round. */
static int on_key(void *userdata, const char *section, const char *key, const char *value, RsError *err) {
        DaemonConfig *c = userdata;
        int r;

        if (strcmp(section, "tpm") == 0)
                return tpm_config_set(&c->tpm, key, value, err);
        if (strcmp(section, "source") == 0)
                r = set_source(c, key, value, err);
        else if (strcmp(section, "writer") == 0)
                r = set_writer(c, key, value, err);
        else if (strcmp(section, "daemon") == 0)
                r = set_daemon(c, key, value, err);
        else
                return 0;
        return r < 0 ? r : r == 0 ? 1 : 0;
}

static int note_retry_pause(DaemonConfig *c, RsError *err) {
        const ConfigNote *note = config_notes_find(&c->notes, "source", "retry-pause");
        char text[32];

        if (note->line > 0)
                return 0;
        (void) snprintf(text, sizeof(text), "%" PRIu64 "ms", c->https.retry_usec / 1000);
        return config_notes_set(&c->notes, "source", "retry-pause", text, 0) < 0 ? rs_fail_oom(err) : 0;
}

int daemon_config_read(const char *path, DaemonConfig *ret, RsError *err) {
        _cleanup_(daemon_config_done) DaemonConfig c = { .https = HTTPS_CONFIG_DEFAULT };

        int r = config_read_noted(path, known_keys, ELEMENTSOF(known_keys), on_key, &c, &c.notes, err);
        if (r < 0)
                return r;
        if (!c.source_anchors)
                return rs_fail(err, CONFIG, "%s: [source] anchors is missing", path);
        r = note_retry_pause(&c, err);
        if (r < 0)
                return r;
        *ret = c;
        c = (DaemonConfig){ 0 };
        return 0;
}
