/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * came-up - the loader started this slot; what became of those it had started before (decisions/010).
 *
 * Two parties say that a slot did not come up: the loader, which counts the starts of a good slot, and the initramfs,
 * which knows why it refused one and leaves the reason to the next that opens (/run/reseal/refused).  Here the count of
 * the running slot ends, and what is said about another one is kept with its release, for SLOTS.  Only words: a slot
 * that is good stays good and is tried again at the next start.  An OFFER of the release that did not come up writes it
 * again.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>

#include "engine.h"

#define REFUSED_MAX 256u

int install_refused_parse(Span text, InstallRefused *ret, RsError *err) {
        static const char before[] = "slot=", between[] = "\nreason=";
        char copy[REFUSED_MAX + 1], *slot = copy + strlen(before), *reason, *end;
        InstallRefused refused = { 0 };

        if (!text.data || text.size > REFUSED_MAX || memchr(text.data, 0, text.size))
                return rs_fail(err, STATE, "refused: %zu bytes", text.size);
        memcpy(copy, text.data, text.size);
        copy[text.size] = '\0';
        reason = strstr(copy, between);
        end = reason ? strchr(reason + 1, '\n') : NULL;
        if (strncmp(copy, before, strlen(before)) != 0 || !end || end[1] != '\0')
                return rs_fail(err, STATE, "refused: not the two lines slot= and reason=");
        *reason = *end = '\0';
        refused.reason = rs_reason_from_name(reason + strlen(between));
        if (*slot == '\0' || strlen(slot) >= sizeof(refused.slot) || refused.reason == RS_REASON_NONE)
                return rs_fail(err, STATE, "refused: no name of a slot, or of a reason");
        (void) snprintf(refused.slot, sizeof(refused.slot), "%s", slot);
        *ret = refused;
        return 0;
}

/* What cannot be read is as if nothing had been said: the words are for people. */
static void read_refused(const Installer *i, InstallRefused *ret) {
        const char *slash = strrchr(i->device.booted_path, '/');
        _cleanup_(freep) uint8_t *text = NULL;
        RsError unsaid = RS_ERROR_INIT;
        char path[4096];
        size_t size;
        int n;

        *ret = (InstallRefused){ 0 };
        n = snprintf(path, sizeof(path), "%.*srefused", slash ? (int) (slash - i->device.booted_path) + 1 : 0,
                     i->device.booted_path);
        if (n > 0 && (size_t) n < sizeof(path) && file_read(AT_FDCWD, path, REFUSED_MAX, &text, &size, &unsaid) > 0)
                (void) install_refused_parse(SPAN(text, size), ret, &unsaid);
}

static int keep(Installer *i, const InstallSlot *info, const char *text, RsError *err) {
        InstallReport kept = { 0 };
        int r;

        r = install_report_load(i->device.state_fd, info->boot_name, info->bundle_id, &kept, err);
        if (r < 0 || (r > 0 && strcmp(kept.text, text) == 0))
                return r < 0 ? r : 0;
        (void) snprintf(kept.boot_name, sizeof(kept.boot_name), "%s", info->boot_name);
        (void) snprintf(kept.text, sizeof(kept.text), "%s", text);
        memcpy(kept.bundle_id, info->bundle_id, sizeof(kept.bundle_id));
        return install_report_save(i->device.state_fd, &kept, err);
}

/* Of a slot that does not run.  One on trial is still to be started, and what was said is about the release before. */
static int note_other(Installer *i, const BootSlotState *slot, const InstallRefused *refused, RsError *err) {
        char text[INSTALL_REPORT_SIZE + 1];
        bool is_refused = strcmp(refused->slot, slot->name) == 0;
        InstallReport known;
        InstallSlot info;
        int r;

        if ((!slot->good && slot->bootable) || (!is_refused && slot->missed < BOOT_MISSED_MAX))
                return 0;
        r = install_slot_load(i->device.state_fd, slot->name, &info, err);
        if (r <= 0) /* of a slot from the factory, or one that is being written, nothing is known */
                return r;
        if (is_refused)
                (void) snprintf(text, sizeof(text), "the initramfs refused it: %s (%s)", rs_reason_text(refused->reason),
                               rs_reason_name(refused->reason));
        else
                (void) snprintf(text, sizeof(text), "it did not come up when it was started");
        if (!slot->good) { /* what the health check of the trial has said stays */
                r = install_report_load(i->device.state_fd, info.boot_name, info.bundle_id, &known, err);
                if (r != 0)
                        return r < 0 ? r : 0;
        }
        return keep(i, &info, text, err);
}

/*
 * The words first: a cut behind them leaves the count, and they are kept once more.  A directory that is full or cannot
 * be written does not leave it: the count would pass a good slot over.
 */
int note_came_up(Installer *i, const BootState *state, RsError *err) {
        InstallRefused refused;
        RsError why = RS_ERROR_INIT;
        int r = 0, up;

        read_refused(i, &refused);
        for (uint32_t k = 0; r == 0 && k < state->n_slots; k++) {
                const BootSlotState *slot = &state->slots[k];

                if (strcmp(slot->name, i->booted.slot) != 0)
                        r = note_other(i, slot, &refused, err);
                else if (slot->good)
                        r = install_report_remove(i->device.state_fd, slot->name, err);
        }
        up = boot_came_up(i->device.boot, i->booted.slot, &why);
        if (up < 0 && r >= 0)
                return rs_pass(err, &why);
        return r < 0 ? r : up;
}
