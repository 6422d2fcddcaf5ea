/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * config - INI files read through libinih against a table of known keys.
 *
 * Spec:     docs/man/reseal.conf.5, docs/man/writer.conf.5
 * Trust:    the file belongs to root; still, unknown sections and keys, repeated keys, lines too long and files
 *           that group or others may write are refused with file and line in the text
 * Owns:     the callback gets borrowed strings, valid during the call; ConfigNotes own what they note
 * Units:    none
 * Errors:   negative errno, CONFIG
 * Context:  any thread; reads one file
 * Programs: all
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <reseal/base/error.h>

/* Called for each key: 1 = known and taken, 0 = unknown (refused by the reader), < 0 = failed with *err filled. */
typedef int (*ConfigHandler)(void *userdata, const char *section, const char *key, const char *value, RsError *err);

#define CONFIG_FILE_MAX 65536u
#define CONFIG_KEYS_MAX 512u /* in one file; a full configuration of ours has about 60 */

/*
 * One key that a program knows: the table of these says which there are and what holds where the file says nothing,
 * written as the file would write it.  fallback NULL: nothing holds then.  section "slot *": every section "slot NAME",
 * and no fallback.
 */
typedef struct ConfigKey {
        const char *section;
        const char *key;
        const char *fallback;
} ConfigKey;

/* What a program goes by, and since which line of its file; "" is nothing, which no line can say. */
typedef struct ConfigNote {
        char *section, *key, *value;
        uint32_t line; /* 0: not in the file */
} ConfigNote;

typedef struct ConfigNotes {
        char *file;
        ConfigNote *list; /* in the order of the table, what stands in a section "slot *" behind it */
        size_t n;
} ConfigNotes;

void config_notes_done(ConfigNotes *notes);
/* Replaces the note of that key, or appends one. -ENOMEM. */
int config_notes_set(ConfigNotes *notes, const char *section, const char *key, const char *value, uint32_t line);
const ConfigNote *config_notes_find(const ConfigNotes *notes, const char *section, const char *key); /* NULL: none */

/* Checks owner and mode of the file (root or the caller itself; not writable by group or others), then parses. */
int config_read(const char *path, ConfigHandler handler, void *userdata, RsError *err);
/*
 * The same against a table.  The handler gets each fallback before the file, so what the notes say is what it was
 * told last: a key that is not in the table is refused, one that the handler does not know is INTERNAL.
 */
int config_read_noted(const char *path, const ConfigKey *keys, size_t n_keys, ConfigHandler handler, void *userdata,
                      ConfigNotes *ret, RsError *err);
/* The parser alone, for text already in memory; `name` stands in messages.  Fuzzed. */
int config_parse(const char *name, const char *text, size_t size, ConfigHandler handler, void *userdata, RsError *err);

/* Values */
int config_bool(const char *value, bool *ret, RsError *err);               /* yes|no|true|false */
int config_u64(const char *value, uint64_t min, uint64_t max, uint64_t *ret, RsError *err);
int config_size(const char *value, uint64_t min, uint64_t max, uint64_t *ret, RsError *err);
int config_seconds(const char *value, uint64_t max_sec, uint64_t *ret_usec, RsError *err);
int config_string(const char *value, char **ret, RsError *err);            /* replaces and frees *ret; not empty */
int config_path(const char *value, char **ret, RsError *err);              /* absolute, no "..", as config_string */
