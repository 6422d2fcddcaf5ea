/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * engine - the parts of an Installer, shared by the files of this room and by nobody else.
 *
 * Spec:     DESIGN.md 8
 * Trust:    as install.h
 * Owns:     an Installer owns release, tables, keys, the open image and the two descriptors
 * Units:    bytes; images, frames and windows by number
 * Errors:   as install.h
 * Context:  worker thread
 * Programs: reseal-writer
 */
#include <stdatomic.h>

#include <reseal/format/table.h>
#include <reseal/install/install.h>
#include <reseal/slot/image.h>
#include <reseal/trust/gate.h>

#include "knowledge.h"

#define PROVEN_SIZE ((INSTALL_WINDOWS_MAX + 7u) / 8u)

/* One image of the release on its way to its slot. */
typedef struct Part {
        const Slot *slot;
        Table *table;
        uint8_t proven[PROVEN_SIZE];  /* windows, by an earlier run */
        Secret *key;                  /* luks2: the volume key, while the installation lasts */
        uint32_t next_frame;          /* the next one that must come; n_frames when none is left */
} Part;

struct Installer {
        InstallDevice device;
        atomic_bool cancelled;
        Knowledge knowledge;
        TpmState seen;                /* the last one that was read; nobody but this process changes it */
        bool has_seen;                /* false again once it was changed */

        /* from OFFER on */
        AcceptedRelease *release;
        TpmState tpm;
        InstallBooted booted;
        InstallRecord record;         /* step 0: nothing durable yet */
        Part parts[RS_IMAGES_MAX];
        uint32_t n_parts;
        InstallStep step;             /* the one that runs or ran last */
        InstallAsker asker;           /* of the MARK good that W10 serves */
        int below;                    /* ... and whether it led below the accepted release, by root's word */
        bool complete;                /* the target holds the release and is tried next: nothing is left to do */
        uint64_t done_bytes, total_bytes;

        /* while frames are written */
        int bitmap_fd;
        int slot_fd;
        SlotImage *image;
        uint32_t image_part;          /* which part `image` is */
};

/* steps.c: runs one step of the table, tells on_step before and after, makes it durable in the record. */
int run_step(Installer *i, InstallStep step, RsError *err);
/* steps.c: all reading and writing of the rollback state; keeps `seen`. */
int read_tpm(Installer *i, TpmState *ret, RsError *err);
int commit_tpm(Installer *i, const TpmRecord *next, RsError *err);
/* steps.c: part of W0; CHAIN when the TPM would not take the links of the release at W7. */
int check_links(Installer *i, RsError *err);
/* steps.c: 1 = the running slot's epoch is above the floor's, W11 is due. */
int floor_pending(Installer *i, RsError *err);
/* install.c */
int part_open(Installer *i, uint32_t part, RsError *err);
int part_finish(Installer *i, RsError *err);
void part_close(Installer *i);
void header_path(const Installer *i, uint32_t part, char ret[4096]);
/* came-up.c: the running slot, i->booted, came up: its count ends; what became of the others is kept for SLOTS. */
int note_came_up(Installer *i, const BootState *state, RsError *err);
/*
 * next.c: the one door to the boot state, and the rule about what the next start may lead to; i->booted is read.
 * 1 = done although it leads below the accepted release, because root wants it so.
 */
int next_change(Installer *i, InstallAsker asker, BootChange change, const char *name, RsError *err);
/* POLICY: not his to ask. */
int next_check_asker(const Installer *i, InstallAsker asker, WriterMark what, RsError *err);
/*
 * boot-copies.c: the set stands in the trust area of every luks2 slot but the running one's, where the initramfs finds
 * it; `keep` stays there, too.
 */
int boot_copies_write(Installer *i, Span set, Span keep, RsError *err);
/* running.c */
int read_booted(Installer *i, InstallBooted *ret, RsError *err);
/* The running slot's entry in the boot state; STATE when the two contradict each other. */
int running_state(Installer *i, const InstallBooted *booted, BootState *ret_state, const BootSlotState **ret_slot,
                  RsError *err);
