/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * loader-entry - names of systemd-boot's entry files: PREFIX-RANK-SLOT[+LEFT[-DONE]].conf
 *
 * Spec:     docs/boot.md, "systemd-boot"; Boot Loader Specification, "Boot counting"
 * Trust:    names are foreign bytes: what the loader might start and we cannot read is an error, never passed over
 * Owns:     a LoaderEntry is a flat value
 * Units:    attempts; ranks only compare
 * Errors:   BOOT_STATE
 * Context:  any thread, no I/O
 * Programs: reseal-writer
 */
#include <stdbool.h>
#include <stdint.h>

#include <reseal/base/error.h>
#include <reseal/boot/boot.h>

#define LOADER_ENTRY_PREFIX_MAX 16u
#define LOADER_ENTRY_RANK_MAX 999999999u
#define LOADER_ENTRY_COUNT_MAX 999999999u
#define LOADER_ENTRY_FILE_MAX 96u /* the longest name of all, and its NUL */

typedef struct LoaderEntry {
        char slot[BOOT_NAME_MAX];
        uint32_t rank;       /* the highest is started first */
        bool counted;        /* on trial; otherwise left and done are 0 */
        uint32_t left, done; /* attempts */
} LoaderEntry;

/* Small letters and digits; what systemd-boot passes over is not a prefix. */
bool loader_entry_prefix_is_good(const char *prefix);
/* 1 = one of ours, 0 = somebody else's file, or none that the loader looks at; BOOT_STATE: it begins and ends like
 * ours, so that the loader may start it, but is none. */
int loader_entry_parse(const char *prefix, const char *file, LoaderEntry *ret, RsError *err);
void loader_entry_format(const char *prefix, const LoaderEntry *e, char ret[LOADER_ENTRY_FILE_MAX]);
/* What the loader finds in a file that has this text: something to start, or nothing. */
bool loader_entry_text_starts(const char *text);
