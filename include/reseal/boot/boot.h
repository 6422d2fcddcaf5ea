/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * boot - what the bootloader will start, behind one interface; a back end per bootloader.
 *
 * Spec:     docs/boot.md; DESIGN.md 8 (W2, W8, W10)
 * Trust:    the environment is foreign bytes until parsed; a torn one is an error with a reason, never a guess
 * Owns:     a Boot owns its back end
 * Units:    tries are counted in boots
 * Errors:   BOOT_STATE, CONFIG, IO, NO_SPACE; INVALID and STATE as said below
 * Context:  worker thread (blocks on the medium)
 * Programs: reseal-writer
 *
 * This header is the interface a custom board adds: one BootBackend and a name in boot.c.
 */
#include <stdbool.h>
#include <stdint.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/error.h>

#define BOOT_NAME_MAX 32u
#define BOOT_NAMES_MAX 4u
#define BOOT_TRIES_UNCOUNTED UINT32_MAX
#define BOOT_TRIES_MAX 9u /* one digit, so that no write changes the length of the environment */
/* Starts of a good slot that do not come up before the loader goes on to the next one. */
#define BOOT_MISSED_MAX 3u

typedef struct BootSlotState {
        char name[BOOT_NAME_MAX];
        bool bootable;              /* the bootloader may start it */
        bool good;                  /* marked good since it was last installed */
        bool last_resort;           /* not bootable, but there: systemd-boot starts it before it starts nothing */
        uint32_t tries_left;        /* BOOT_TRIES_UNCOUNTED for a slot that is never given up: a good one, mostly */
        uint32_t missed;            /* of a good slot: its starts since it last came up; 0 where they are not counted */
} BootSlotState;

typedef struct BootState {
        char primary[BOOT_NAME_MAX];           /* what will be tried first; "" = none */
        char first[BOOT_NAME_MAX];             /* of the order, startable or not: a trial in its last attempt; "" = unknown */
        BootSlotState slots[BOOT_NAMES_MAX];   /* in the order of the configuration */
        uint32_t n_slots;
} BootState;

typedef struct Boot Boot;

typedef struct BootConfig {
        char *backend;              /* "efi", "grub", "systemd-boot", "uboot" */
        char *path;                 /* grub: grubenv; systemd-boot: where entries lie and how their names begin;
                                     * uboot: fw_env.config; efi: where efivarfs is mounted */
        char *good_path;            /* grub: second file with the good slots; efi: the file that says which are good */
        uint32_t tries;             /* attempts a new slot gets; default 3, or what the loader can count to */
        char names[BOOT_NAMES_MAX][BOOT_NAME_MAX];
        uint32_t n_names;
} BootConfig;

/* Rows of a ConfigKey table; the attempts that hold without tries: boot_config_tries(). */
#define BOOT_CONFIG_KEYS \
        { "boot", "backend", NULL }, { "boot", "path", NULL }, { "boot", "good-path", NULL }, \
        { "boot", "tries", NULL }, { "boot", "names", NULL }
/* Section [boot]: backend, path, good-path, tries, names.  1 = known, 0 = unknown key, < 0: as ConfigHandler. */
int boot_config_set(BootConfig *c, const char *key, const char *value, RsError *err);
void boot_config_done(BootConfig *c);
/* How many attempts a new slot gets with this configuration; 0: its back end is not known. */
uint32_t boot_config_tries(const BootConfig *c);

int boot_open(const BootConfig *config, Boot **ret, RsError *err);
Boot *boot_close(Boot *b);
RS_DEFINE_CLEANUP(Boot, boot_close)

int boot_read(Boot *b, BootState *ret, RsError *err);
/*
 * Each is one atomic write of the environment (efi: several, in an order that can be cut anywhere), durable on return.
 * When it is so already nothing is written, only flushed: what a killed writer left in the page cache reads like the
 * truth.  A name that is not configured is INVALID.  On a damaged environment all fail with BOOT_STATE but set_good,
 * which makes a new one from what the loader fell back to.
 */
int boot_set_unbootable(Boot *b, const char *name, RsError *err);  /* W2: not bootable, not good */
int boot_set_try(Boot *b, const char *name, RsError *err);         /* W8: primary, tries attempts, not good */
int boot_set_good(Boot *b, const char *name, RsError *err);        /* W10 */
int boot_set_primary(Boot *b, const char *name, RsError *err);     /* operator: STATE unless good */
/*
 * The slot runs: its starts are forgotten, and a good one that has missed all of its own gets one more, so that it is
 * tried again at the next start.  Writes only when there is something to change.
 */
int boot_came_up(Boot *b, const char *name, RsError *err);

/* The same four by name, and what one would make of the state: nothing is written. */
typedef enum BootChange { BOOT_UNBOOTABLE, BOOT_TRY, BOOT_GOOD, BOOT_PRIMARY } BootChange;
int boot_foresee(Boot *b, BootChange change, const char *name, BootState *ret_now, BootState *ret_then, RsError *err);
int boot_change(Boot *b, BootChange change, const char *name, RsError *err);

/* efi: the slot behind the one that runs in BootOrder, which is a ring here.  1 = found, with the number of its entry
 * and whether the order begins with it; 0 = there is none, or this start was a trial. */
int boot_efi_next_good(const BootConfig *config, uint16_t *ret_number, bool *ret_first, char ret_name[BOOT_NAME_MAX],
                       RsError *err);

/* For back ends */
typedef struct BootBackend {
        const char *name;
        uint32_t tries_max;         /* 0: as many as the configuration permits */
        int (*open)(const BootConfig *config, void **ret_state, RsError *err);
        void (*close)(void *state);
        int (*read)(void *state, const BootConfig *config, BootState *ret, RsError *err);
        /* Replaces the whole state by one write; keeps foreign variables. good_changed: so has which slots are good. */
        int (*write)(void *state, const BootConfig *config, const BootState *next, bool good_changed, RsError *err);
        /* What `read` has returned is on the medium behind this. */
        int (*flush)(void *state, const BootConfig *config, RsError *err);
        /* What the loader falls back to when its environment is damaged; NULL: it has nothing. */
        int (*recover)(void *state, const BootConfig *config, BootState *ret, RsError *err);
} BootBackend;

extern const BootBackend boot_backend_efi;
extern const BootBackend boot_backend_grub;
extern const BootBackend boot_backend_systemd_boot;
extern const BootBackend boot_backend_uboot;

/* The devices and files of a fw_env.config: what the writer must be allowed to open.  Their number, 0: no such file. */
typedef int (*BootMediumHandler)(void *userdata, const char *path, RsError *err);
int boot_uboot_media(const char *path, BootMediumHandler handler, void *userdata, RsError *err);
