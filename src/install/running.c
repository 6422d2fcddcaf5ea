/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * running - which slot runs, what all slots hold, and marking.
 *
 * The writer finds the running slot by itself: the initramfs wrote /run/reseal/booted after it had opened and
 * verified
 * the slot.  No request carries that knowledge.  The file is compared with the boot state (a slot that the bootloader
 * was told not to start cannot be running), where the slot is known, with the release that was installed there, and
 * with the devices on which "/" lies (root.c).
 *
 * Marking good ends a trial, so it is accepted for the running slot only.  Making a slot primary and taking one away
 * may not leave the device without a slot to start, nor lead it below what was accepted (next.c).
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/base/text.h>

#include "engine.h"

_Static_assert(INSTALL_REPORT_SIZE == WRITER_REPORT_SIZE, "a report fits into its answer");

#define BOOTED_MAX 1024u

/* -- /run/reseal/booted ----------------------------------------------------------------------------------------- */

static bool is_name(const char *text) {
        size_t n = strlen(text);

        if (n == 0 || n > INSTALL_NAME_SIZE || text[0] == '.')
                return false;
        return strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == n;
}

static int take_line(char *line, InstallBooted *booted, bool *seen_slot, RsError *err) {
        char *value = strchr(line, '=');

        if (!value)
                return rs_fail(err, STATE, "booted: a line without '='");
        *value++ = '\0';
        if (strcmp(line, "slot") == 0 && !*seen_slot && is_name(value)) {
                (void) snprintf(booted->slot, sizeof(booted->slot), "%s", value);
                *seen_slot = true;
                return 0;
        }
        if (strcmp(line, "manifest") == 0 && !booted->has_manifest &&
            hex_decode(value, booted->manifest, sizeof(booted->manifest)) == 0) {
                booted->has_manifest = true;
                return 0;
        }
        return rs_fail(err, STATE, "booted: unknown, repeated or malformed line");
}

int install_booted_parse(Span text, InstallBooted *ret, RsError *err) {
        char copy[BOOTED_MAX + 1];
        InstallBooted booted = { 0 };
        bool seen_slot = false;
        char *rest = copy, *line;

        if (!text.data || text.size > BOOTED_MAX || memchr(text.data, 0, text.size))
                return rs_fail(err, STATE, "booted: %zu bytes", text.size);
        memcpy(copy, text.data, text.size);
        copy[text.size] = '\0';
        while ((line = strsep(&rest, "\n"))) {
                int r;

                if (*line == '\0' || *line == '#')
                        continue;
                r = take_line(line, &booted, &seen_slot, err);
                if (r < 0)
                        return r;
        }
        if (!seen_slot)
                return rs_fail(err, STATE, "booted: no running slot in it");
        *ret = booted;
        return 0;
}

int read_booted(Installer *i, InstallBooted *ret, RsError *err) {
        _cleanup_(freep) uint8_t *text = NULL;
        size_t size;
        int r;

        r = file_read(AT_FDCWD, i->device.booted_path, BOOTED_MAX, &text, &size, err);
        if (r < 0)
                return r;
        if (r == 0)
                return rs_fail(err, STATE, "%s is missing: the running slot is not known", i->device.booted_path);
        return install_booted_parse(SPAN(text, size), ret, err);
}

static bool other_is_good(const BootState *state, const char *name) {
        for (uint32_t k = 0; k < state->n_slots; k++)
                if (strcmp(state->slots[k].name, name) != 0 && state->slots[k].bootable && state->slots[k].good)
                        return true;
        return false;
}

static const BootSlotState *find_slot(const BootState *state, const char *name) {
        for (uint32_t k = 0; k < state->n_slots; k++)
                if (strcmp(state->slots[k].name, name) == 0)
                        return &state->slots[k];
        return NULL;
}

/* What was installed there, and what the kernel says. */
static int check_running(Installer *i, const InstallBooted *booted, RsError *err) {
        InstallSlot info;
        int r;

        r = install_slot_load(i->device.state_fd, booted->slot, &info, err);
        if (r < 0)
                return r;
        if (r > 0 && booted->has_manifest && memcmp(info.bundle_id, booted->manifest, sizeof(info.bundle_id)) != 0)
                return rs_fail(err, STATE, "slot %s runs another release than was installed there", booted->slot);
        return install_check_root(i->device.map, i->device.sysfs, booted->slot, err);
}

int running_state(Installer *i, const InstallBooted *booted, BootState *ret_state, const BootSlotState **ret_slot,
                  RsError *err) {
        const BootSlotState *slot;
        int r;

        r = boot_read(i->device.boot, ret_state, err);
        if (r < 0)
                return r;
        slot = find_slot(ret_state, booted->slot);
        if (!slot)
                return rs_fail(err, STATE, "the bootloader knows no slot %s, which is said to run", booted->slot);
        r = check_running(i, booted, err);
        if (r < 0)
                return r;
        *ret_slot = slot;
        return 0;
}

/* -- after a cut ------------------------------------------------------------------------------------------------ */

int install_converge(Installer *i, RsError *err) {
        const BootSlotState *running;
        InstallRecord record;
        BootState state;
        int r;

        r = read_booted(i, &i->booted, err);
        if (r < 0)
                return r;
        r = running_state(i, &i->booted, &state, &running, err);
        if (r < 0)
                return r;
        r = install_record_load(i->device.state_fd, &record, err);
        if (r < 0)
                return r;
        /* Cut behind W8: the boot state names the target already, or it even runs. */
        if (r > 0 && (record.step >= INSTALL_W8_TRY || strcmp(record.target, i->booted.slot) == 0)) {
                r = run_step(i, INSTALL_W12_CLOSE, err);
                if (r < 0)
                        return r;
        }
        r = note_came_up(i, &state, err);
        if (r < 0)
                return r;
        r = running->good ? floor_pending(i, err) : 0;
        return r > 0 ? run_step(i, INSTALL_W11_FLOOR, err) : r;
}

/* -- trials ----------------------------------------------------------------------------------------------------- */

/* A whole release that the loader starts no more and that was never good: its trial has failed.  One that is good may
 * have a report, too: it did not come up (came-up.c). */
static int show_trial(Installer *i, WriterSlotInfo *info, RsError *err) {
        InstallReport report;
        int r;

        if (info->running || info->busy || (info->bootable && !info->good))
                return 0;
        info->failed = !info->good;
        r = install_report_load(i->device.state_fd, info->boot_name, info->bundle_id, &report, err);
        if (r > 0)
                (void) snprintf(info->report, sizeof(info->report), "%s", report.text);
        return r < 0 ? r : 0;
}

/* Rejected before the loader has counted it down.  The report goes first: a cut then costs an attempt. */
int install_reject(Installer *i, InstallAsker asker, const char *report, char ret_name[WRITER_NAME_SIZE + 1],
                   RsError *err) {
        InstallReport kept = { 0 };
        const BootSlotState *running;
        InstallSlot info;
        BootState state;
        int r;

        r = next_check_asker(i, asker, WRITER_MARK_BAD, err); /* that is what it is, and the same may ask for it */
        if (r < 0)
                return r;
        if (i->release)
                return rs_fail(err, BUSY, "an installation is running");
        r = read_booted(i, &i->booted, err);
        if (r < 0)
                return r;
        r = running_state(i, &i->booted, &state, &running, err);
        if (r < 0)
                return r;
        if (running->good)
                return rs_fail(err, STATE, "slot %s is good: it is not on trial", running->name);
        r = install_slot_load(i->device.state_fd, running->name, &info, err);
        if (r > 0) { /* a slot from the factory has no record of its release, and nobody asks for a report */
                (void) snprintf(kept.boot_name, sizeof(kept.boot_name), "%s", running->name);
                (void) snprintf(kept.text, sizeof(kept.text), "%s", report);
                memcpy(kept.bundle_id, info.bundle_id, sizeof(kept.bundle_id));
                r = install_report_save(i->device.state_fd, &kept, err);
        }
        if (r == 0 && other_is_good(&state, running->name))
                r = next_change(i, asker, BOOT_UNBOOTABLE, running->name, err);
        if (r < 0)
                return r;
        (void) snprintf(ret_name, WRITER_NAME_SIZE + 1, "%s", running->name);
        return 0;
}

/* -- SLOTS and STATE -------------------------------------------------------------------------------------------- */

int install_slots(Installer *i, WriterSlotInfo *ret, uint32_t max, uint32_t *ret_n, RsError *err) {
        InstallRecord record = { 0 };
        InstallBooted booted = { 0 };
        RsError unknown = RS_ERROR_INIT;
        BootState state;
        uint32_t n = slot_map_count(i->device.map);
        int r;

        if (n > max)
                return rs_fail(err, CONFIG, "%u slots", n);
        (void) read_booted(i, &booted, &unknown); /* then no slot is shown as running */
        r = boot_read(i->device.boot, &state, err);
        if (r < 0)
                return r;
        r = install_record_load(i->device.state_fd, &record, err);
        if (r < 0)
                return r;
        for (uint32_t k = 0; k < n; k++) {
                const Slot *slot = slot_map_at(i->device.map, k);
                const BootSlotState *boot = find_slot(&state, slot->boot_name);
                WriterSlotInfo info = { .type = slot->kind, .size = slot->size_bytes, .tries_left = UINT32_MAX };
                InstallSlot known;

                (void) snprintf(info.class_name, sizeof(info.class_name), "%s", slot->class_name);
                (void) snprintf(info.name, sizeof(info.name), "%s", slot->name);
                (void) snprintf(info.boot_name, sizeof(info.boot_name), "%s", slot->boot_name);
                info.running = strcmp(slot->boot_name, booted.slot) == 0;
                info.primary = strcmp(slot->boot_name, state.primary) == 0;
                info.bootable = boot && boot->bootable;
                info.good = boot && boot->good;
                info.tries_left = boot ? boot->tries_left : UINT32_MAX;
                info.busy = record.step > 0 && strcmp(record.target, slot->boot_name) == 0;
                r = install_slot_load(i->device.state_fd, slot->boot_name, &known, err);
                if (r < 0)
                        return r;
                if (r > 0) {
                        info.release = known.release;
                        info.epoch = known.epoch;
                        memcpy(info.version, known.version, sizeof(info.version));
                        memcpy(info.bundle_id, known.bundle_id, sizeof(info.bundle_id));
                        r = show_trial(i, &info, err);
                        if (r < 0)
                                return r;
                }
                ret[k] = info;
        }
        *ret_n = n;
        return 0;
}

bool install_state_known(const Installer *i) {
        return i->has_seen;
}

int install_state(Installer *i, bool fresh, WriterState *ret, RsError *err) {
        RsError unknown = RS_ERROR_INIT;
        InstallRecord record = { 0 };
        InstallBooted booted = { 0 };
        const BootSlotState *running;
        WriterState s = { 0 };
        BootState boot;
        TpmState tpm;
        int r;

        tpm = i->seen;
        r = fresh ? read_tpm(i, &tpm, err) : 0;
        if (r < 0)
                return r;
        r = boot_read(i->device.boot, &boot, err);
        if (r < 0)
                return r;
        r = install_record_load(i->device.state_fd, &record, err);
        if (r < 0)
                return r;
        (void) read_booted(i, &booted, &unknown); /* shown as an empty name */
        running = find_slot(&boot, booted.slot);
        if (!tpm.record.empty) {
                s.release = tpm.record.release;
                s.epoch = tpm.record.epoch;
                s.floor_epoch = tpm.record.floor_epoch;
        }
        (void) snprintf(s.running, sizeof(s.running), "%s", booted.slot);
        (void) snprintf(s.primary, sizeof(s.primary), "%s", boot.primary);
        s.trial_pending = running && !running->good;
        if (i->release && i->step > INSTALL_W0_GATE)
                s.step = (uint32_t) i->step + 1;
        else if (record.step > 0)
                s.step = record.step + 1;
        if (record.step > 0)
                memcpy(s.bundle_id, record.bundle_id, sizeof(s.bundle_id));
        *ret = s;
        return 0;
}

/* -- MARK ------------------------------------------------------------------------------------------------------- */

/* A boot name, or the name of one of its slots. */
static int resolve(Installer *i, const BootState *state, const char *name, const BootSlotState **ret, RsError *err) {
        const Slot *slot = slot_map_by_name(i->device.map, name);
        const BootSlotState *found;

        if (*name == '\0')
                name = i->booted.slot;
        else if (slot)
                name = slot->boot_name;
        found = find_slot(state, name);
        if (!found)
                return rs_fail(err, INVALID, "there is no such slot");
        *ret = found;
        return 0;
}

/* Beside next.c: marking good may also repair a damaged boot state, so it is judged as it would be then. */
static int mark_good(Installer *i, InstallAsker asker, const BootSlotState *slot, RsError *err) {
        RsError later = RS_ERROR_INIT;
        int r;

        if (strcmp(slot->name, i->booted.slot) != 0)
                return rs_fail(err, STATE, "slot %s does not run; only the running slot can be marked good",
                               slot->name);
        /* Not bootable is no objection: on its last attempt the loader has counted it down already. */
        i->asker = asker;
        r = run_step(i, INSTALL_W10_GOOD, err);
        if (r < 0)
                return r;
        /* It is good now, whatever comes of W11: that is done at the next start then, and at each OFFER before. */
        (void) install_converge(i, &later);
        return i->below;
}

static int mark_bad(Installer *i, InstallAsker asker, const BootState *state, const BootSlotState *slot, RsError *err) {
        if (!other_is_good(state, slot->name))
                return rs_fail(err, STATE, "slot %s is the last one that can be started", slot->name);
        return next_change(i, asker, BOOT_UNBOOTABLE, slot->name, err);
}

/* The slot must be complete, good, and still open: below the floor its key cannot be unsealed any more. */
static int mark_active(Installer *i, InstallAsker asker, const BootSlotState *slot, RsError *err) {
        InstallRecord record = { 0 };
        InstallSlot info;
        TpmState tpm;
        int r, known;

        r = install_record_load(i->device.state_fd, &record, err);
        if (r < 0)
                return r;
        if ((r > 0 && strcmp(record.target, slot->name) == 0) || !slot->bootable || !slot->good)
                return rs_fail(err, STATE, "slot %s is not complete and good", slot->name);
        known = install_slot_load(i->device.state_fd, slot->name, &info, err);
        if (known < 0)
                return known;
        r = read_tpm(i, &tpm, err);
        if (r < 0)
                return r;
        if (known && tpm.floor > info.floor_max)
                return rs_fail(err, ROLLBACK, "slot %s is below the security epoch of this device", slot->name);
        return next_change(i, asker, BOOT_PRIMARY, slot->name, err);
}

/* A damaged boot state is no obstacle to marking good: that is what makes a new one of it. */
static int state_to_mark(Installer *i, WriterMark what, BootState *ret, RsError *err) {
        const BootSlotState *unused;
        BootState then;
        int r;

        r = read_booted(i, &i->booted, err);
        if (r < 0)
                return r;
        if (what == WRITER_MARK_GOOD) {
                r = boot_foresee(i->device.boot, BOOT_GOOD, i->booted.slot, ret, &then, err);
                return r < 0 ? r : check_running(i, &i->booted, err);
        }
        return running_state(i, &i->booted, ret, &unused, err);
}

int install_mark(Installer *i, InstallAsker asker, WriterMark what, const char *slot_name,
                 char ret_name[WRITER_NAME_SIZE + 1], RsError *err) {
        const BootSlotState *slot;
        BootState state;
        int r;

        r = next_check_asker(i, asker, what, err);
        if (r < 0)
                return r;
        if (i->release)
                return rs_fail(err, BUSY, "an installation is running");
        r = state_to_mark(i, what, &state, err);
        if (r < 0)
                return r;
        r = resolve(i, &state, slot_name, &slot, err);
        if (r < 0)
                return r;
        if (what == WRITER_MARK_GOOD)
                r = mark_good(i, asker, slot, err);
        else if (what == WRITER_MARK_BAD)
                r = mark_bad(i, asker, &state, slot, err);
        else
                r = mark_active(i, asker, slot, err);
        if (r < 0)
                return r;
        (void) snprintf(ret_name, WRITER_NAME_SIZE + 1, "%s", slot->name);
        return r;
}
