/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * next - what the next start leads to, and who may change that: the one rule, and the one door to the boot state.
 *
 * The rule: no change leads the next start to a release below the one accepted last (the TPM's record), but
 *   - root's, who asked for just that over writer.sock: it is done and told;
 *   - the end of a trial: the slot that is given up never was marked good, and the one that comes next is good.  The
 *     accepted release is the one on trial then, so its fallback is below the record by design.  Who may end trials is
 *     [policy] mark-by-daemon;
 *   - an installation's: the slot it is about to overwrite goes, the running one, which is good (I0), comes next, and
 *     what is written is at or above the record;
 *   - where nothing at all would start, the running slot.
 * A slot that was once good is therefore given up for an older one by root alone.
 *
 * Next is what the loader tries first; while a trial runs in its last attempt the loader has counted it down already,
 * and it is the slot on trial still: whoever may confirm it makes it first.
 *
 * What a slot holds: the running one by what the initramfs has verified (/run/reseal/booted), another one by the notes
 * of its installation in the state directory, which only this program can write.  Who can change files of a device that
 * is switched off can change the loader's as well; nothing here stands against that (docs/threat-model.md, "Levels").
 */
#include <string.h>

#include "engine.h"

static const BootSlotState *find(const BootState *state, const char *name) {
        for (uint32_t k = 0; k < state->n_slots; k++)
                if (strcmp(state->slots[k].name, name) == 0)
                        return &state->slots[k];
        return NULL;
}

static const BootSlotState *next_of(const BootState *state, const char *running) {
        const BootSlotState *first = find(state, state->first);

        if (first && !first->good && strcmp(first->name, running) == 0)
                return first;
        return find(state, state->primary);
}

/* 1 = a release at or above the record's, 0 = an older one, or nobody knows. */
static int holds_accepted(Installer *i, const char *name, const TpmRecord *record, RsError *err) {
        InstallSlot info;
        int r;

        if (strcmp(name, i->booted.slot) == 0 && i->booted.has_manifest &&
            memcmp(i->booted.manifest, record->manifest_digest, sizeof(i->booted.manifest)) == 0)
                return 1;
        r = install_slot_load(i->device.state_fd, name, &info, err);
        if (r <= 0)
                return r;
        return memcmp(info.bundle_id, record->manifest_digest, sizeof(info.bundle_id)) == 0 ||
               info.release >= record->release;
}

static bool may_end_trial(const Installer *i, InstallAsker asker) {
        return asker != INSTALL_BY_DAEMON || !i->device.policy.trials_by_health;
}

/* Whether a release is good is the health check's to say, which slot comes first the operator's (T26). */
int next_check_asker(const Installer *i, InstallAsker asker, WriterMark what, RsError *err) {
        if (asker == INSTALL_BY_HEALTH && what == WRITER_MARK_ACTIVE)
                return rs_fail(err, POLICY, "the health check does not choose which slot is active");
        if (what != WRITER_MARK_ACTIVE && !may_end_trial(i, asker))
                return rs_fail(err, POLICY, "mark-by-daemon=no: only health.sock marks slots good or bad");
        return 0;
}

/* The record without asking the TPM in the middle of W2 to W8: nobody but this process changes it. */
static int read_record(Installer *i, InstallAsker asker, TpmRecord *ret, RsError *err) {
        TpmState tpm = i->seen;
        int r = asker == INSTALL_BY_INSTALLATION && i->has_seen ? 0 : read_tpm(i, &tpm, err);

        if (r == 0)
                *ret = tpm.record;
        return r;
}

/* The rule.  1 = permitted because root wants it so. */
static int check(Installer *i, InstallAsker asker, const BootState *now, const BootState *then, RsError *err) {
        const BootSlotState *before = next_of(now, i->booted.slot), *after = next_of(then, i->booted.slot);
        TpmRecord record = { .empty = true };
        bool runs;
        int r;

        if (before == NULL ? after == NULL : after && strcmp(before->name, after->name) == 0)
                return 0;
        /* The end of a trial needs no record, and must not wait for a TPM that is held. */
        if (before && after && !before->good && after->good && may_end_trial(i, asker))
                return 0;
        r = read_record(i, asker, &record, err);
        if (r < 0 || record.empty)
                return r;
        r = after ? holds_accepted(i, after->name, &record, err) : 0;
        if (r != 0)
                return r < 0 ? r : 0;
        runs = after && strcmp(after->name, i->booted.slot) == 0;
        if (runs && (!before || asker == INSTALL_BY_INSTALLATION))
                return 0;
        if (before && after && !before->good && after->good)
                return rs_fail(err, POLICY, "mark-by-daemon=no: slot %s waits for its trial", before->name);
        if (asker == INSTALL_BY_ROOT_BELOW)
                return 1;
        return rs_fail(err, ROLLBACK,
                       "slot %s would be next and is not known to hold release %llu, which has been accepted, or a later "
                       "one; root may do it: resealctl --below-accepted mark",
                       after ? after->name : "-", (unsigned long long) record.release);
}

int next_change(Installer *i, InstallAsker asker, BootChange change, const char *name, RsError *err) {
        BootState now, then;
        int below, r;

        r = boot_foresee(i->device.boot, change, name, &now, &then, err);
        if (r < 0)
                return r;
        below = check(i, asker, &now, &then, err);
        if (below < 0)
                return below;
        r = boot_change(i->device.boot, change, name, err);
        return r < 0 ? r : below;
}
