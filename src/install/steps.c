/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * steps - W1 to W12, each a function, in one table.
 *
 *   step               durable result                          power fails behind it: what happens next
 *   W1  record         record, bitmap, header files            target untouched; the offer resumes
 *   W2  unbootable     boot state without the target           running slot boots; offer resumes
 *   W3  erase          target's LUKS2 header gone              old content unreadable; offer resumes
 *   W4  frames         windows, one bit each                   proven windows are not sent again
 *   W5  finish         tree, trailer, locator; all read back   images that are finished are only read again
 *   W6  commit         LUKS2 header on the slot                complete, not bootable; no frame is sent again
 *   W7  accept         rollback record in the TPM              the same; older releases are refused from here on
 *   W8  try            boot state: target first, n tries       the next boot tries the target
 *   W10 good           boot state: running slot good           marking again goes on with W11
 *   W11 floor          FLOOR, then floor_epoch                 converges at the next start
 *   W12 close          record and header files removed         converges at the next start
 *
 * Every function may run again after a cut at any place inside it.  W1 and W3 run once per record (a second W3 would
 * erase nothing but costs writes, a second W1 would change the volume key under written windows); all others run
 * again.
 */
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include <reseal/base/cleanup.h>
#include <reseal/slot/open.h>
#include <reseal/slot/volume.h>
#include <reseal/tpm/chain.h>

#include "engine.h"

static int set_target(const Installer *i, const Manifest *m, InstallRecord *ret, RsError *err) {
        InstallRecord record = { .step = INSTALL_W1_RECORD, .release = m->release, .epoch = m->epoch };

        memcpy(record.target, i->record.target, sizeof(record.target));
        record.floor_max = i->record.floor_max;
        memcpy(record.version, m->version, sizeof(record.version));
        memcpy(record.bundle_id, accepted_bundle_id(i->release), sizeof(record.bundle_id));
        if (getrandom(record.nonce, sizeof(record.nonce), 0) != (ssize_t) sizeof(record.nonce))
                return rs_fail(err, INTERNAL, "no random bytes");
        record.n_images = i->n_parts;
        for (uint32_t k = 0; k < i->n_parts; k++) {
                const Table *t = i->parts[k].table;
                InstallImage *image = &record.images[k];

                (void) snprintf(image->class_name, sizeof(image->class_name), "%s", m->images[k].class_name);
                (void) snprintf(image->slot_name, sizeof(image->slot_name), "%s", i->parts[k].slot->name);
                image->size = m->images[k].size;
                image->n_windows = slot_window_of_frame(t, t->n_frames - 1) + 1;
                if (image->n_windows > INSTALL_WINDOWS_MAX)
                        return rs_fail(err, SIZE, "image %u has %u windows", k, image->n_windows);
        }
        *ret = record;
        return 0;
}

/* Header files first, the record last: without a record nothing names them. */
static int step_w1_record(Installer *i, RsError *err) {
        const InstallDevice *d = &i->device;
        InstallRecord record;
        int r;

        r = install_record_remove(d->state_fd, err);
        if (r < 0)
                return r;
        r = set_target(i, accepted_manifest(i->release), &record, err);
        if (r < 0)
                return r;
        for (uint32_t k = 0; k < i->n_parts; k++) {
                Part *p = &i->parts[k];
                char path[4096];

                if (p->slot->kind != SLOT_KIND_LUKS2)
                        continue;
                header_path(i, k, path);
                p->key = secret_free(p->key);
                r = slot_volume_create(path, p->slot->size_bytes, d->tpm, record.floor_max, record.bundle_id, &p->key,
                                       err);
                if (r < 0)
                        return r;
        }
        r = install_bitmap_create(d->state_fd, &record, err);
        if (r < 0)
                return r;
        r = install_record_save(d->state_fd, &record, err);
        if (r < 0)
                return r;
        i->record = record;
        return 0;
}

static int step_w2_unbootable(Installer *i, RsError *err) {
        int r;

        r = next_change(i, INSTALL_BY_INSTALLATION, BOOT_UNBOOTABLE, i->record.target, err);
        if (r < 0)
                return r;
        r = install_slot_remove(i->device.state_fd, i->record.target, err);
        return r < 0 ? r : install_report_remove(i->device.state_fd, i->record.target, err);
}

static int erase_part(Installer *i, uint32_t part, RsError *err) {
        _cleanup_(closep) int fd = -EBADF;
        int r;

        if (i->parts[part].slot->kind != SLOT_KIND_LUKS2)
                return 0;
        r = slot_open_target(i->device.map, i->parts[part].slot, i->booted.slot, &fd, err);
        if (r < 0)
                return r;
        r = slot_volume_erase(fd, err);
        return r < 0 ? rs_context(err, "slot %s", i->parts[part].slot->name) : 0;
}

static int step_w3_erase(Installer *i, RsError *err) {
        int r = 0;

        for (uint32_t k = 0; r == 0 && k < i->n_parts; k++)
                r = erase_part(i, k, err);
        return r;
}

static int step_w5_finish(Installer *i, RsError *err) {
        int r;

        /* The open one first: to open another would forget what was written to it in this run. */
        if (i->image) {
                r = part_finish(i, err);
                if (r < 0)
                        return r;
        }
        for (uint32_t k = 0; k < i->n_parts; k++) {
                if (i->record.images[k].finished)
                        continue;
                if (atomic_load(&i->cancelled))
                        return rs_fail(err, CANCELLED, "cancelled before the target was complete");
                r = part_open(i, k, err);
                if (r == 0)
                        r = part_finish(i, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int commit_part(Installer *i, uint32_t part, RsError *err) {
        _cleanup_(closep) int fd = -EBADF;
        char path[4096];
        int r;

        if (i->parts[part].slot->kind != SLOT_KIND_LUKS2)
                return 0;
        r = slot_open_target(i->device.map, i->parts[part].slot, i->booted.slot, &fd, err);
        if (r < 0)
                return r;
        header_path(i, part, path);
        r = slot_volume_commit(fd, path, err);
        return r < 0 ? rs_context(err, "slot %s", i->parts[part].slot->name) : 0;
}

static int step_w6_commit(Installer *i, RsError *err) {
        int r = 0;

        for (uint32_t k = 0; r == 0 && k < i->n_parts; k++)
                r = commit_part(i, k, err);
        return r;
}

/* A TPM takes half a second for a link, and there may be forty: each is a sign of life, for watchdog and peer. */
static void tell_link(Installer *i, InstallStep step, uint32_t link, uint32_t n) {
        const WriterProgress progress = { .step = (uint32_t) step, .done_bytes = link, .total_bytes = n };

        if (i->device.on_alive)
                i->device.on_alive(i->device.userdata);
        if (i->device.on_progress && step >= INSTALL_W7_ACCEPT)
                i->device.on_progress(i->device.userdata, &progress);
}

/*
 * Level L2: what the TPM would refuse at W7 because the links are not made for it is refused at W0, before the fallback
 * slot is given up.  Signatures were judged by the gate.
 */
int check_links(Installer *i, RsError *err) {
        const ChainStep *steps;
        ChainRules rules;
        uint32_t n;
        int r;

        steps = accepted_steps(i->release, &n);
        if (n == 0 || i->tpm.level < TPM_LEVEL_L2)
                return 0;
        r = tpm_chain_rules(i->device.tpm, &rules, err);
        for (uint32_t k = 0; r == 0 && k < n; k++) {
                Link link;

                tell_link(i, INSTALL_W0_GATE, k, n);
                r = link_parse(steps[k].link, &link, err);
                if (r == 0)
                        r = tpm_chain_suits(&rules, &link, k == 0, err);
        }
        return r;
}

/* Level L2: the TPM judges every link itself before the record moves. */
static int apply_links(Installer *i, RsError *err) {
        const ChainStep *steps;
        TpmLevel level;
        uint32_t n;
        int r;

        steps = accepted_steps(i->release, &n);
        r = tpm_level(i->device.tpm, &level, err);
        if (r < 0 || level < TPM_LEVEL_L2)
                return r;
        for (uint32_t k = 0; k < n; k++) {
                Link link;

                tell_link(i, INSTALL_W7_ACCEPT, k, n);
                r = link_parse(steps[k].link, &link, err);
                if (r == 0)
                        r = tpm_chain_apply(i->device.tpm, &link, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int step_w7_accept(Installer *i, RsError *err) {
        const ChainStep *steps;
        TpmRecord next;
        uint32_t n;
        int r;

        if (atomic_load(&i->cancelled))
                return rs_fail(err, CANCELLED, "cancelled before the release was accepted");
        r = knowledge_check_again(i, err); /* hours may have passed since the offer */
        if (r < 0)
                return r;
        steps = accepted_steps(i->release, &n);
        r = n > 0 ? knowledge_keep_link(i, steps[n - 1].link, err) : 0;
        if (r == 0)
                r = apply_links(i, err);
        if (r < 0)
                return r;
        accepted_record(i->release, &i->tpm.record, &next);
        knowledge_for_record(i, accepted_signer(i->release), &next);
        return commit_tpm(i, &next, err);
}

/* What the slot holds is known before the boot state names it: W10 needs its N. */
static int step_w8_try(Installer *i, RsError *err) {
        InstallSlot slot = { .release = i->record.release, .epoch = i->record.epoch,
                             .floor_max = i->record.floor_max };
        int r;

        memcpy(slot.boot_name, i->record.target, sizeof(slot.boot_name));
        memcpy(slot.version, i->record.version, sizeof(slot.version));
        memcpy(slot.bundle_id, i->record.bundle_id, sizeof(slot.bundle_id));
        r = install_slot_save(i->device.state_fd, &slot, err);
        if (r < 0)
                return r;
        return next_change(i, INSTALL_BY_INSTALLATION, BOOT_TRY, i->record.target, err);
}

static int step_w10_good(Installer *i, RsError *err) {
        int r;

        r = i->below = next_change(i, i->asker, BOOT_GOOD, i->booted.slot, err);
        return r < 0 ? r : install_report_remove(i->device.state_fd, i->booted.slot, err);
}

static int flag_others_bad(Installer *i, RsError *err) {
        BootState state;
        int r;

        r = boot_read(i->device.boot, &state, err);
        if (r < 0)
                return r;
        for (uint32_t k = 0; k < state.n_slots; k++) {
                if (strcmp(state.slots[k].name, i->booted.slot) == 0)
                        continue;
                r = next_change(i, INSTALL_BY_INSTALLATION, BOOT_UNBOOTABLE, state.slots[k].name, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

/*
 * Numbers that go into the TPM come from the TPM, never from a file of the state directory, which whoever had the disk
 * may have written: the epoch is the record's, and only when the accepted release is the one that runs.  1 = it is.
 */
static int runs_accepted(Installer *i, const TpmRecord *record, RsError *err) {
        InstallSlot note;
        int r;

        if (record->empty)
                return 0;
        if (i->booted.has_manifest) /* the initramfs has verified it */
                return memcmp(i->booted.manifest, record->manifest_digest, sizeof(i->booted.manifest)) == 0;
        r = install_slot_load(i->device.state_fd, i->booted.slot, &note, err);
        return r <= 0 ? r : memcmp(note.bundle_id, record->manifest_digest, sizeof(note.bundle_id)) == 0;
}

int floor_pending(Installer *i, RsError *err) {
        InstallSlot note;
        TpmState state;
        int r;

        r = install_slot_load(i->device.state_fd, i->booted.slot, &note, err);
        if (r < 0 || (r == 0 && !i->booted.has_manifest))
                return r; /* a slot from the factory: its epoch is the record's */
        r = read_tpm(i, &state, err);
        if (r < 0)
                return r;
        r = runs_accepted(i, &state.record, err);
        return r <= 0 ? r : state.record.epoch > state.record.floor_epoch;
}

/*
 * N of the running slot: what its sealed key says, by unsealing it, so the TPM has compared it.  Where no slot is
 * encrypted nothing hangs on FLOOR, and it counts on by one.
 */
static int running_floor_max(Installer *i, uint64_t floor, uint64_t *ret, RsError *err) {
        for (uint32_t k = 0; k < slot_map_count(i->device.map); k++) {
                _cleanup_(secret_freep) Secret *unused = NULL;
                const Slot *slot = slot_map_at(i->device.map, k);
                uint8_t bundle_id[RS_DIGEST_SIZE];
                TpmSealed sealed;
                int r;

                if (slot->kind != SLOT_KIND_LUKS2 || strcmp(slot->boot_name, i->booted.slot) != 0)
                        continue;
                r = slot_open_token(slot->device, &sealed, bundle_id, err);
                if (r == 0)
                        r = tpm_unseal(i->device.tpm, &sealed, &unused, err);
                if (r < 0)
                        return rs_context(err, "slot %s: its floor", slot->name);
                *ret = sealed.floor_max;
                return 0;
        }
        *ret = floor + 1;
        return 0;
}

/*
 * The epoch rose with the running slot: older slots stop opening.  First nothing may point to them any more, then FLOOR
 * rises (by one, and only while it is below the running slot's N, so a repetition raises nothing), then the record says
 * what for.
 */
static int step_w11_floor(Installer *i, RsError *err) {
        uint64_t floor_max;
        TpmRecord next;
        TpmState state;
        int r;

        r = read_tpm(i, &state, err);
        if (r == 0)
                r = running_floor_max(i, state.floor, &floor_max, err);
        if (r == 0)
                r = flag_others_bad(i, err);
        if (r == 0)
                r = tpm_floor_raise(i->device.tpm, i->device.gate_auth, floor_max, err);
        if (r < 0)
                return r;
        next = state.record;
        next.floor_epoch = state.record.epoch;
        return commit_tpm(i, &next, err);
}

static int step_w12_close(Installer *i, RsError *err) {
        int r;

        r = install_record_remove(i->device.state_fd, err);
        if (r < 0)
                return r;
        i->record.step = 0;
        return 0;
}

typedef struct StepEntry {
        const char *name;
        int (*run)(Installer *i, RsError *err);
        bool once;        /* per record */
        bool recorded;    /* the record says that it is done */
} StepEntry;

static const StepEntry steps[_INSTALL_STEP_MAX] = {
        [INSTALL_W0_GATE] = { "W0 gate", NULL, false, false },               /* install_offer, install_table */
        [INSTALL_W1_RECORD] = { "W1 record", step_w1_record, true, false },  /* writes it itself */
        [INSTALL_W2_UNBOOTABLE] = { "W2 unbootable", step_w2_unbootable, false, true },
        [INSTALL_W3_ERASE] = { "W3 erase", step_w3_erase, true, true },
        [INSTALL_W4_FRAMES] = { "W4 frames", NULL, false, true },            /* install_frame */
        [INSTALL_W5_FINISH] = { "W5 finish", step_w5_finish, false, true },
        [INSTALL_W6_COMMIT] = { "W6 commit", step_w6_commit, false, true },
        [INSTALL_W7_ACCEPT] = { "W7 accept", step_w7_accept, false, true },
        [INSTALL_W8_TRY] = { "W8 try", step_w8_try, false, true },
        [INSTALL_W9_TRIAL] = { "W9 trial", NULL, false, false },             /* the bootloader's */
        [INSTALL_W10_GOOD] = { "W10 good", step_w10_good, false, false },
        [INSTALL_W11_FLOOR] = { "W11 floor", step_w11_floor, false, false },
        [INSTALL_W12_CLOSE] = { "W12 close", step_w12_close, false, false },
};

const char *install_step_to_string(InstallStep step) {
        return (unsigned) step < _INSTALL_STEP_MAX ? steps[step].name : "?";
}

int run_step(Installer *i, InstallStep step, RsError *err) {
        const StepEntry *entry = &steps[step];
        int r;

        if (entry->once && i->record.step >= (uint32_t) step)
                return 0;
        i->step = step;
        if (i->device.on_step)
                i->device.on_step(i->device.userdata, step, false);
        r = entry->run ? entry->run(i, err) : 0;
        if (r < 0)
                return r;
        if (entry->recorded && i->record.step < (uint32_t) step) {
                i->record.step = (uint32_t) step;
                r = install_record_save(i->device.state_fd, &i->record, err);
                if (r < 0)
                        return r;
        }
        if (i->device.on_step)
                i->device.on_step(i->device.userdata, step, true);
        return 0;
}
