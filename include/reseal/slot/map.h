/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * map - the device's own list of slots, and the checks before one is opened for writing.
 *
 * Spec:     docs/man/writer.conf.5; DESIGN.md 7; requirements S21, S22
 * Trust:    the map is root's; what it names is still checked: the running slot, boot state, partition table, mounted
 *           devices and anything that is not the block device or file named are refused
 * Owns:     a SlotMap owns its slots; pointers to Slot live as long as the map
 * Units:    bytes
 * Errors:   CONFIG for the map; TARGET, RANGE, SIZE for a slot
 * Context:  any thread once built
 * Programs: reseal-writer
 */
#include <stdbool.h>
#include <stdint.h>

#include <reseal/base/error.h>
#include <reseal/format/manifest.h>
#include <reseal/slot/layout.h>

#define SLOTS_MAX 32u

typedef struct Slot {
        char name[32];             /* "rootfs.a": section [slot rootfs.a] */
        char class_name[RS_CLASS_MAX + 1];
        char boot_name[32];        /* "A": the bootloader's word; slots of one boot name switch together */
        char *device;              /* absolute path */
        SlotKind kind;
        uint64_t size_bytes;       /* found when the map is completed */
        uint64_t device_id[2];     /* found then, too: block device number, or device and inode of a file */
} Slot;

typedef struct SlotMap SlotMap;

SlotMap *slot_map_new(void);
SlotMap *slot_map_free(SlotMap *m);
RS_DEFINE_CLEANUP(SlotMap, slot_map_free)
/* Rows of a ConfigKey table. */
#define SLOT_CONFIG_KEYS \
        { "slot *", "class", NULL }, { "slot *", "boot-name", NULL }, { "slot *", "device", NULL }, { "slot *", "type", NULL }
/*
 * From ConfigHandler: section "slot NAME", keys class, boot-name, device, type (luks2, plain).  1 = known, 0 = unknown key.
 * A device under /dev must be a block device; any other path a regular file, which then is the slot.
 */
int slot_map_set(SlotMap *m, const char *slot_name, const char *key, const char *value, RsError *err);
/* After the last key: complete, distinct, every class has the same boot names; sizes read from the devices. */
int slot_map_complete(SlotMap *m, RsError *err);

uint32_t slot_map_count(const SlotMap *m);
const Slot *slot_map_at(const SlotMap *m, uint32_t i);
const Slot *slot_map_find(const SlotMap *m, const char *class_name, const char *boot_name);  /* NULL: none */
const Slot *slot_map_by_name(const SlotMap *m, const char *name);

/* Does the image fit the slot (docs/format-slot.md)?  SIZE if not.  64-bit with overflow checks. */
int slot_check_size(const Slot *s, const ManifestImage *image, size_t manifest_cms_size, RsError *err);
/*
 * Opens the slot for writing with O_DIRECT|O_EXCL.  TARGET unless it is the device the map was completed with (number
 * and size), not of the running boot name, not mounted, not swap, not held by another device, without partitions of its
 * own, and named by no second entry of the map.  *ret_fd is untouched on failure.
 */
int slot_open_target(const SlotMap *m, const Slot *s, const char *running_boot_name, int *ret_fd, RsError *err);
