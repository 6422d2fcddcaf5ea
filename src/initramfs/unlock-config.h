/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * unlock-config - which slot to open, where it lies, and whom to believe.
 *
 * Spec:     docs/man/reseal-unlock.8; docs/man/writer.conf.5
 * Trust:    the file is part of the initramfs; the kernel command line only chooses among the slots of the map
 * Owns:     an UnlockConfig owns all it points to until unlock_config_done; the Slot found belongs to its map
 * Units:    none
 * Errors:   CONFIG, INVALID, IO, NO_MEMORY
 * Context:  any thread
 * Programs: initramfs
 */
#include <reseal/base/error.h>
#include <reseal/slot/map.h>
#include <reseal/tpm/tpm.h>

#define UNLOCK_CMDLINE_KEY "reseal.slot"

typedef struct UnlockConfig {
        SlotMap *map;
        char *firmware_root;
        char *line, *compatible;        /* [device], never NULL */
        TpmConfig tpm;
} UnlockConfig;

/* The writer's own configuration, [device], [tpm], [trust] and the slot map of it. */
int unlock_config_load(const char *path, UnlockConfig *ret, RsError *err);
void unlock_config_done(UnlockConfig *c);
/* The slot of that class and boot name; INVALID if there is none, CONFIG if it is not a luks2 slot. */
int unlock_config_slot(const UnlockConfig *c, const char *class_name, const char *boot_name, const Slot **ret,
                       RsError *err);
/* The value of reseal.slot= in a kernel command line; once, no more.  The result is freed by the caller. */
int unlock_cmdline_slot(const char *cmdline, char **ret, RsError *err);
