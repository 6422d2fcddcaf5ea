/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * install - one installation, from an offered manifest to the boot state that names the target.
 *
 *   offer -> tables -> frames (the first one with data verified: W1 W2 W3, then W4) -> finish (W5 W6 W7 W8, W12)
 *
 * What must hold, at every instant and after a cut at any of them:
 *   I0  nothing touches a slot unless the running slot is marked good;
 *   I1  the running slot is never opened for writing: slot_open_target gets its name with every call;
 *   I2  the target is not bootable from before its first byte changes until all of it has been read back (W5) and
 *       its header is on it (W6);
 *   I3  before W1 the target is as it was: a source that offers a valid release and then stalls costs nothing,
 *       because W1 waits for a frame with data that was verified.  Zero and dup frames that come before it show
 *       nothing about what the source has: they are counted, and filled in behind W3.  Only a release without any
 *       data begins at FINISH;
 *   I4  the volume key of a target never changes between its first window and W6: it comes from the header file that
 *       was made at W1, and a record without a readable header file is not resumed;
 *   I5  what an earlier run has proven is believed for not fetching it again, never for calling the slot complete:
 *       W5 reads all of it again, and what is lost ends the record, so that the next attempt fetches it.
 *
 * An Installer is used by one thread and knows nothing of sockets.  The peer's mistakes are told apart from failures
 * by their reason: PROTOCOL means a request that no honest peer sends; the server ends the connection for it.
 */
#include <stdio.h>
#include <string.h>

#include <reseal/base/cleanup.h>
#include <reseal/crypto/digest.h>
#include <reseal/crypto/hashtree.h>
#include <reseal/slot/volume.h>

#include "engine.h"

int install_new(const InstallDevice *device, Installer **ret, RsError *err) {
        Installer *i;

        i = calloc(1, sizeof(*i));
        if (!i)
                return rs_fail_oom(err);
        i->device = *device;
        i->bitmap_fd = i->slot_fd = -EBADF;
        *ret = i;
        return 0;
}

Installer *install_free(Installer *i) {
        if (!i)
                return NULL;
        install_abort(i);
        knowledge_done(&i->knowledge);
        free(i);
        return NULL;
}

void install_abort(Installer *i) {
        part_close(i);
        for (uint32_t k = 0; k < RS_IMAGES_MAX; k++) {
                i->parts[k].key = secret_free(i->parts[k].key);
                i->parts[k].table = table_free(i->parts[k].table);
        }
        memset(i->parts, 0, sizeof(i->parts));
        i->n_parts = 0;
        i->release = accepted_release_free(i->release);
        closep(&i->bitmap_fd);
        i->bitmap_fd = -EBADF;
        memset(&i->record, 0, sizeof(i->record));
        i->step = INSTALL_W0_GATE;
        i->complete = false;
        i->done_bytes = i->total_bytes = 0;
        atomic_store(&i->cancelled, false);
}

void install_cancel(Installer *i) {
        atomic_store(&i->cancelled, true);
}

void header_path(const Installer *i, uint32_t part, char ret[4096]) {
        char name[32];

        (void) snprintf(name, sizeof(name), INSTALL_FILE_HEADER, part);
        (void) snprintf(ret, 4096, "%s/%s", i->device.state_dir, name);
}

static bool is_proven(const Part *p, uint32_t window) {
        return (p->proven[window / 8] & (1u << (window % 8))) != 0;
}

/* The next frame from `frame` on that lies in a window that is not proven. */
static uint32_t skip_proven(const Part *p, uint32_t frame) {
        while (frame < p->table->n_frames && is_proven(p, slot_window_of_frame(p->table, frame)))
                frame++;
        return frame;
}

/* -- OFFER ------------------------------------------------------------------------------------------------------ */

/* The boot name that is not running; with more than two, the one of the open record, else the first. */
static int choose_target(Installer *i, const BootState *state, const InstallRecord *open, char *ret, RsError *err) {
        const char *target = NULL;

        for (uint32_t k = 0; k < state->n_slots; k++) {
                if (strcmp(state->slots[k].name, i->booted.slot) == 0)
                        continue;
                if (!target || (open->step > 0 && strcmp(state->slots[k].name, open->target) == 0))
                        target = state->slots[k].name;
        }
        if (!target)
                return rs_fail(err, TARGET, "there is no slot beside the running one");
        (void) snprintf(ret, INSTALL_NAME_SIZE + 1, "%s", target);
        return 0;
}

static int check_size_of_slot(const void *slot, const ManifestImage *image, size_t manifest_cms_size, RsError *err) {
        return slot_check_size(slot, image, manifest_cms_size, err);
}

/* One entry for each class of the target's boot name. */
static uint32_t collect_slots(const Installer *i, const char *target, GateSlot *ret) {
        uint32_t n = 0;

        for (uint32_t k = 0; k < slot_map_count(i->device.map) && n < RS_IMAGES_MAX; k++) {
                const Slot *slot = slot_map_at(i->device.map, k);

                if (strcmp(slot->boot_name, target) == 0)
                        ret[n++] = (GateSlot){ .class_name = slot->class_name, .slot = slot };
        }
        return n;
}

static int pass_gate(Installer *i, Span manifest_cms, const char *target, RsError *err) {
        GateSlot slots[RS_IMAGES_MAX];
        GateInput input = {
                .manifest_cms = manifest_cms,
                .line = i->device.line,
                .compatible = i->device.compatible,
                .slots = slots,
                .check_size = check_size_of_slot,
                .require_encryption = i->device.require_encryption,
                .record = &i->tpm.record,
        };
        const Manifest *m;
        int r;

        input.n_slots = collect_slots(i, target, slots);
        r = trust_store_check(i->knowledge.store, &i->tpm.record, err);
        if (r < 0)
                return r;
        knowledge_for_gate(i, &input);
        r = accept_release(&input, &i->release, err);
        if (r < 0)
                return r;
        m = accepted_manifest(i->release);
        for (uint32_t k = 0; k < m->n_images; k++) {
                i->parts[k].slot = slot_map_find(i->device.map, m->images[k].class_name, target);
                if (!i->parts[k].slot)
                        return rs_fail(err, SLOT_CLASS, "there is no slot of class %s for %s",
                                       m->images[k].class_name, target);
                i->total_bytes += m->images[k].size;
        }
        i->n_parts = m->n_images;
        return 0;
}

/* Opened and closed: what would be refused at W3 is refused before a byte is asked for. */
static int check_targets(Installer *i, RsError *err) {
        for (uint32_t k = 0; k < i->n_parts; k++) {
                _cleanup_(closep) int fd = -EBADF;
                int r = slot_open_target(i->device.map, i->parts[k].slot, i->booted.slot, &fd, err);

                if (r < 0)
                        return r;
        }
        return 0;
}

static bool record_fits(const Installer *i, const InstallRecord *record, const char *target, uint64_t floor_max) {
        const Manifest *m = accepted_manifest(i->release);

        if (record->step < INSTALL_W1_RECORD || strcmp(record->target, target) != 0 ||
            memcmp(record->bundle_id, accepted_bundle_id(i->release), RS_DIGEST_SIZE) != 0 ||
            record->floor_max != floor_max || record->n_images != m->n_images)
                return false;
        for (uint32_t k = 0; k < m->n_images; k++)
                if (strcmp(record->images[k].slot_name, i->parts[k].slot->name) != 0 ||
                    record->images[k].size != m->images[k].size)
                        return false;
        return true;
}

/* I4: all volume keys by unsealing, or nothing resumes.  1 = got them, 0 = a header file is of no use. */
static int resume_keys(Installer *i, RsError *err) {
        for (uint32_t k = 0; k < i->n_parts; k++) {
                RsError failure = RS_ERROR_INIT;
                char path[4096];
                int r;

                if (i->parts[k].slot->kind != SLOT_KIND_LUKS2)
                        continue;
                header_path(i, k, path);
                r = slot_volume_resume(path, i->device.tpm, &i->parts[k].key, &failure);
                if (r < 0 && (failure.reason == RS_REASON_VOLUME || failure.reason == RS_REASON_IO ||
                              failure.reason == RS_REASON_TPM_AUTH))
                        return 0;
                if (r < 0) { /* the TPM is away or locked: not a reason to forget what was written */
                        *err = failure;
                        return r;
                }
        }
        return 1;
}

/* Takes over what an earlier run has proven, or leaves a record of step 0 that W1 will replace. */
static int resume_record(Installer *i, const InstallRecord *open, const char *target, RsError *err) {
        uint64_t floor_max = i->tpm.floor;
        int r;

        if (accepted_manifest(i->release)->epoch > i->tpm.record.floor_epoch)
                floor_max++;
        memset(&i->record, 0, sizeof(i->record));
        (void) snprintf(i->record.target, sizeof(i->record.target), "%s", target);
        i->record.floor_max = floor_max;
        if (!record_fits(i, open, target, floor_max))
                return 0;
        r = resume_keys(i, err);
        if (r <= 0)
                return r;
        r = install_bitmap_open(i->device.state_fd, open, &i->bitmap_fd, err);
        if (r <= 0)
                return r;
        for (uint32_t k = 0; k < i->n_parts; k++) {
                r = install_bitmap_read(i->bitmap_fd, open, k, i->parts[k].proven, err);
                if (r < 0)
                        return r;
        }
        i->record = *open; /* but what it says of the release: W8 notes what was signed */
        i->record.release = accepted_manifest(i->release)->release;
        i->record.epoch = accepted_manifest(i->release)->epoch;
        memcpy(i->record.version, accepted_manifest(i->release)->version, sizeof(i->record.version));
        for (uint32_t k = 0; k < i->n_parts; k++)
                i->record.images[k].finished = false; /* I5 */
        return 0;
}

/*
 * Cut between W12 and the answer, or asked again for another reason: the release is in the target, accepted, and what
 * the bootloader tries next.  To write it again would cost the fallback for nothing.  slot-NAME.info exists from right
 * before W8 to W2 only.  A slot that ran and failed is not tried next; whoever wants it written again marks it bad.  A
 * good one that did not come up has a report (came-up.c), and is written again.
 */
static int check_installed(const Installer *i, const BootState *state, bool *ret_complete, RsError *err) {
        const TpmRecord *accepted = &i->tpm.record;
        const uint8_t *id = accepted_bundle_id(i->release);
        bool bootable = false;
        InstallReport report;
        InstallSlot info;
        int r;

        for (uint32_t k = 0; k < state->n_slots; k++)
                if (strcmp(state->slots[k].name, i->record.target) == 0)
                        bootable = state->slots[k].bootable;
        r = install_slot_load(i->device.state_fd, i->record.target, &info, err);
        if (r < 0)
                return r;
        *ret_complete = r > 0 && bootable && strcmp(state->primary, i->record.target) == 0 && !accepted->empty &&
                        memcmp(info.bundle_id, id, RS_DIGEST_SIZE) == 0 &&
                        memcmp(accepted->manifest_digest, id, RS_DIGEST_SIZE) == 0 &&
                        i->tpm.floor <= info.floor_max;
        r = *ret_complete ? install_report_load(i->device.state_fd, info.boot_name, info.bundle_id, &report, err) : 0;
        if (r > 0)
                *ret_complete = false;
        return r < 0 ? r : 0;
}

static int offer(Installer *i, Span manifest_cms, RsError *err) {
        char target[INSTALL_NAME_SIZE + 1];
        const BootSlotState *running;
        InstallRecord open = { 0 };
        BootState state;
        int r;

        r = install_converge(i, err);
        if (r < 0)
                return r;
        r = read_booted(i, &i->booted, err);
        if (r < 0)
                return r;
        r = running_state(i, &i->booted, &state, &running, err);
        if (r < 0)
                return r;
        if (!running->good) /* I0 */
                return rs_fail(err, TRIAL_PENDING, "slot %s runs on trial: mark it good first", running->name);
        r = knowledge_refresh(i, err);
        if (r < 0)
                return r;
        r = install_record_load(i->device.state_fd, &open, err);
        if (r < 0)
                return r;
        r = choose_target(i, &state, &open, target, err);
        if (r < 0)
                return r;
        r = pass_gate(i, manifest_cms, target, err);
        if (r < 0)
                return r;
        r = check_links(i, err);
        if (r < 0)
                return r;
        r = check_targets(i, err);
        if (r < 0)
                return r;
        r = resume_record(i, &open, target, err);
        if (r < 0 || i->record.step > 0) /* what is open is resumed */
                return r;
        return check_installed(i, &state, &i->complete, err);
}

int install_offer(Installer *i, Span manifest_cms, WriterOffer *ret, RsError *err) {
        WriterOffer answer = { 0 };
        int r;

        install_abort(i);
        if (i->device.on_step)
                i->device.on_step(i->device.userdata, INSTALL_W0_GATE, false);
        r = offer(i, manifest_cms, err);
        knowledge_forget_links(i);
        if (r < 0) {
                install_abort(i);
                return r;
        }
        i->step = INSTALL_W0_GATE; /* install_converge may have run later ones */
        memcpy(answer.bundle_id, accepted_bundle_id(i->release), sizeof(answer.bundle_id));
        answer.n_images = i->n_parts;
        for (uint32_t k = 0; k < i->n_parts; k++) {
                answer.images[k].wanted = !i->complete; /* I5: W5 needs its table */
                (void) snprintf(answer.images[k].slot_name, sizeof(answer.images[k].slot_name), "%s",
                                i->parts[k].slot->name);
        }
        *ret = answer;
        return 0;
}

FreshnessVerdict install_freshness(const Installer *i) {
        return i->release ? accepted_freshness(i->release) : FRESHNESS_NOT_PROVEN;
}

/* -- TABLE ------------------------------------------------------------------------------------------------------ */

static int verify_table(const ManifestImage *image, Span bytes, Table **ret, RsError *err) {
        _cleanup_(hashtree_freep) HashTree *tree = NULL;
        _cleanup_(table_freep) Table *table = NULL;
        uint8_t digest[RS_DIGEST_SIZE];
        int r;

        if (bytes.size != image->table_size)
                return rs_fail(err, TABLE_DIGEST, "%zu bytes, the manifest says %u", bytes.size, image->table_size);
        r = digest_sha256(bytes, digest, err);
        if (r < 0)
                return r;
        if (memcmp(digest, image->table_sha256, sizeof(digest)) != 0)
                return rs_fail(err, TABLE_DIGEST, "the digest is not the signed one");
        r = table_parse(bytes, image, &table, err);
        if (r < 0)
                return r;
        r = hashtree_new(SPAN_ARRAY(image->salt), &tree, err);
        if (r < 0)
                return r;
        r = hashtree_root(tree, (const uint8_t(*)[RS_DIGEST_SIZE]) table->chunk_digests, table->n_chunks,
                          digest, err);
        if (r < 0)
                return r;
        if (memcmp(digest, image->root, sizeof(digest)) != 0)
                return rs_fail(err, ROOT, "the chunk digests do not lead to the signed root");
        *ret = TAKE_PTR(table);
        return 0;
}

/* Runs of proven frames, ascending and not touching each other. */
static uint32_t proven_ranges(Installer *i, const Part *p, WriterRange *ret) {
        uint32_t n = 0;

        for (uint32_t f = 0; f < p->table->n_frames; f++) {
                if (!is_proven(p, slot_window_of_frame(p->table, f)))
                        continue;
                i->done_bytes += table_frame_plain_size(p->table, f);
                if (n > 0 && ret[n - 1].first + ret[n - 1].count == f)
                        ret[n - 1].count++;
                else if (n < WRITER_RANGES_MAX)
                        ret[n++] = (WriterRange){ .first = f, .count = 1 };
        }
        return n;
}

int install_table(Installer *i, uint32_t image, Span table, uint32_t *ret_next, WriterRange *ret_ranges,
                  uint32_t *ret_n, RsError *err) {
        Part *p;
        int r;

        if (!i->release)
                return rs_fail(err, PROTOCOL, "TABLE without an accepted release");
        if (i->complete)
                return rs_fail(err, PROTOCOL, "TABLE of image %u, which is not wanted", image);
        if (image >= i->n_parts || i->parts[image].table)
                return rs_fail(err, PROTOCOL, "TABLE of image %u, which has one", image);
        p = &i->parts[image];
        r = verify_table(&accepted_manifest(i->release)->images[image], table, &p->table, err);
        if (r < 0)
                return rs_context(err, "table of image %u", image);
        *ret_n = proven_ranges(i, p, ret_ranges);
        p->next_frame = skip_proven(p, 0);
        *ret_next = p->next_frame;
        return 0;
}

bool install_tabled(const Installer *i) {
        if (!i->release)
                return false;
        for (uint32_t k = 0; k < i->n_parts && !i->complete; k++)
                if (!i->parts[k].table)
                        return false;
        return true;
}

/* -- FRAME ------------------------------------------------------------------------------------------------------ */

static int on_window(void *userdata, uint32_t window, RsError *err) {
        Installer *i = userdata;

        return install_bitmap_set(i->bitmap_fd, &i->record, i->image_part, window, err);
}

static void on_alive(void *userdata) {
        Installer *i = userdata;

        if (i->device.on_alive)
                i->device.on_alive(i->device.userdata);
}

static int open_image(Installer *i, uint32_t part, const Secret *key, int fd, SlotImage **ret, RsError *err) {
        const Part *p = &i->parts[part];
        Span cms = accepted_cms(i->release);
        SlotImageSpec spec = {
                .fd = fd,
                .volume_key = key,
                .slot_size = p->slot->size_bytes,
                .image = &accepted_manifest(i->release)->images[part],
                .table = p->table,
                .image_number = part,
                .manifest_cms = cms.data,
                .manifest_cms_size = cms.size,
                .proven = p->proven,
                .on_window = on_window,
                .on_alive = on_alive,
                .userdata = i,
                .cancelled = &i->cancelled,
        };

        memcpy(spec.bundle_id, accepted_bundle_id(i->release), sizeof(spec.bundle_id));
        return slot_image_new(&spec, ret, err);
}

void part_close(Installer *i) {
        i->image = slot_image_free(i->image);
        closep(&i->slot_fd);
        i->slot_fd = -EBADF;
}

/*
 * I5: what the record claims is not on the medium, or cannot be read there (writing it again is what cures that).
 * Without the record the next attempt begins afresh; with it, it would fail at the same place for ever.
 */
static void forget_if_lost(Installer *i, const RsError *err) {
        RsError unused = RS_ERROR_INIT; /* the failure that led here is the one to tell */

        if (err->reason == RS_REASON_READ_BACK || err->reason == RS_REASON_ROOT || err->reason == RS_REASON_IO)
                (void) install_record_remove(i->device.state_fd, &unused);
}

/* W5 of the open image: tree, trailer, everything read back.  Images are finished one by one, as their frames end. */
int part_finish(Installer *i, RsError *err) {
        int r;

        r = slot_image_finish(i->image, err);
        part_close(i);
        if (r < 0) {
                forget_if_lost(i, err);
                return rs_context(err, "slot %s", i->parts[i->image_part].slot->name);
        }
        i->record.images[i->image_part].finished = true;
        return install_record_save(i->device.state_fd, &i->record, err);
}

/* Makes `part` the open image. */
int part_open(Installer *i, uint32_t part, RsError *err) {
        const Part *p = &i->parts[part];
        int r;

        if (i->image && i->image_part == part)
                return 0;
        part_close(i);
        if (p->slot->kind == SLOT_KIND_LUKS2 && !p->key)
                return rs_fail(err, INTERNAL, "no volume key for slot %s", p->slot->name);
        r = slot_open_target(i->device.map, p->slot, i->booted.slot, &i->slot_fd, err);
        if (r < 0)
                return r;
        i->image_part = part;
        return open_image(i, part, p->key, i->slot_fd, &i->image, err);
}

/*
 * W0, last part: a frame of the release has really arrived.  Verified before there is a key, so nothing can be
 * written.
 */
static int verify_first_frame(Installer *i, const WriterFrame *f, const volatile uint8_t *shared, RsError *err) {
        _cleanup_(slot_image_freep) SlotImage *probe = NULL;
        _cleanup_(closep) int fd = -EBADF;
        const VerifiedChunk *unused;
        int r;

        r = slot_open_target(i->device.map, i->parts[f->image].slot, i->booted.slot, &fd, err);
        if (r < 0)
                return r;
        r = open_image(i, f->image, NULL, fd, &probe, err);
        if (r < 0)
                return r;
        return slot_verify_frame(probe, f->frame, shared, f->size, &unused, err);
}

/* One frame to its place; images follow each other. */
static int land_frame(Installer *i, uint32_t part, uint32_t frame, const volatile uint8_t *shared, RsError *err) {
        const VerifiedChunk *chunk;
        int r = 0;

        on_alive(i);
        if (i->image && i->image_part != part)
                r = part_finish(i, err);
        if (r == 0)
                r = part_open(i, part, err);
        if (r < 0)
                return r;
        if (shared) {
                r = slot_verify_frame(i->image, frame, shared, table_frame_plain_size(i->parts[part].table, frame),
                                      &chunk, err);
                if (r == 0)
                        r = slot_image_write(i->image, chunk, err);
        } else
                r = slot_image_fill(i->image, frame, err);
        if (r < 0) {
                forget_if_lost(i, err);
                return rs_context(err, "image %u, frame %u", part, frame);
        }
        return 0;
}

/* What was only counted before W1 (I3), in the order in which it came. */
static int land_deferred(Installer *i, RsError *err) {
        for (uint32_t k = 0; k < i->n_parts; k++) {
                const Part *p = &i->parts[k];

                for (uint32_t f = skip_proven(p, 0); f < p->next_frame; f = skip_proven(p, f + 1)) {
                        int r;

                        if (atomic_load(&i->cancelled))
                                return rs_fail(err, CANCELLED, "cancelled before frame %u of image %u", f, k);
                        r = land_frame(i, k, f, NULL, err);
                        if (r < 0)
                                return r;
                }
        }
        return 0;
}

/* W1 to W3, and the beginning of W4. */
static int prepare(Installer *i, RsError *err) {
        static const InstallStep order[] = { INSTALL_W1_RECORD, INSTALL_W2_UNBOOTABLE, INSTALL_W3_ERASE };
        int r;

        r = knowledge_check_again(i, err);
        if (r < 0)
                return r;
        for (size_t k = 0; k < ELEMENTSOF(order); k++) {
                r = run_step(i, order[k], err);
                if (r < 0)
                        return r;
        }
        if (i->bitmap_fd < 0) {
                r = install_bitmap_open(i->device.state_fd, &i->record, &i->bitmap_fd, err);
                if (r == 0)
                        return rs_fail(err, IO, "the bitmap that was just written is not there");
                if (r < 0)
                        return r;
        }
        r = run_step(i, INSTALL_W4_FRAMES, err);
        return r < 0 ? r : land_deferred(i, err);
}

/* The request against the signed table: order, kind, length. */
static int check_frame(Installer *i, const WriterFrame *f, const volatile uint8_t *shared, RsError *err) {
        const Part *p = NULL;
        bool has_data;
        uint32_t k;

        if (!install_tabled(i))
                return rs_fail(err, PROTOCOL, "FRAME before all tables");
        if (i->complete)
                return rs_fail(err, PROTOCOL, "FRAME of a release that is installed");
        for (k = 0; k < i->n_parts; k++) {
                p = &i->parts[k];
                if (p->next_frame < p->table->n_frames)
                        break;
        }
        if (!p || k == i->n_parts)
                return rs_fail(err, PROTOCOL, "FRAME after the last one");
        if (f->image != k || f->frame != p->next_frame)
                return rs_fail(err, PROTOCOL, "FRAME %u of image %u, expected %u of %u", f->frame, f->image,
                               p->next_frame, k);
        has_data = p->table->frames[f->frame].kind == FRAME_KIND_RAW ||
                   p->table->frames[f->frame].kind == FRAME_KIND_ZSTD;
        if (has_data != (shared != NULL) || f->size != table_frame_plain_size(p->table, f->frame))
                return rs_fail(err, PROTOCOL, "FRAME %u of image %u: %u bytes, %s data", f->frame, f->image, f->size,
                               shared ? "with" : "without");
        return 0;
}

static void count_frame(Installer *i, const WriterFrame *frame) {
        Part *p = &i->parts[frame->image];

        p->next_frame = skip_proven(p, frame->frame + 1);
        i->done_bytes += frame->size;
}

int install_frame(Installer *i, const WriterFrame *frame, const volatile uint8_t *shared, RsError *err) {
        WriterProgress progress = { .step = INSTALL_W4_FRAMES, .image = frame->image };
        int r;

        r = check_frame(i, frame, shared, err);
        if (r < 0)
                return r;
        if (i->step < INSTALL_W4_FRAMES) {
                if (!shared) { /* I3: see land_deferred */
                        count_frame(i, frame);
                        return 0;
                }
                r = verify_first_frame(i, frame, shared, err);
                if (r == 0)
                        r = prepare(i, err);
                if (r < 0)
                        return r;
        }
        r = land_frame(i, frame->image, frame->frame, shared, err);
        if (r < 0)
                return r;
        count_frame(i, frame);
        progress.done_bytes = i->done_bytes;
        progress.total_bytes = i->total_bytes;
        if (i->device.on_progress)
                i->device.on_progress(i->device.userdata, &progress);
        return 0;
}

/* -- FINISH ----------------------------------------------------------------------------------------------------- */

static int check_complete(const Installer *i, RsError *err) {
        if (!install_tabled(i))
                return rs_fail(err, PROTOCOL, "FINISH before all tables");
        for (uint32_t k = 0; k < i->n_parts; k++)
                if (i->parts[k].next_frame < i->parts[k].table->n_frames)
                        return rs_fail(err, PROTOCOL, "FINISH before frame %u of image %u",
                                       i->parts[k].next_frame, k);
        return 0;
}

/* The flags again, which changes nothing when they are as W8 left them; a good slot is not put on trial. */
static int finish_installed(Installer *i, char ret_primary[WRITER_NAME_SIZE + 1], RsError *err) {
        BootState state = { .n_slots = 0 };
        bool good = false;
        int r;

        r = knowledge_check_again(i, err);
        if (r == 0)
                r = boot_read(i->device.boot, &state, err);
        if (r < 0)
                return r;
        for (uint32_t k = 0; k < state.n_slots; k++)
                if (strcmp(state.slots[k].name, i->record.target) == 0)
                        good = state.slots[k].good;
        r = good ? 0 : next_change(i, INSTALL_BY_INSTALLATION, BOOT_TRY, i->record.target, err);
        if (r < 0)
                return r;
        (void) snprintf(ret_primary, WRITER_NAME_SIZE + 1, "%s", i->record.target);
        install_abort(i);
        return 0;
}

int install_finish(Installer *i, char ret_primary[WRITER_NAME_SIZE + 1], RsError *err) {
        static const InstallStep order[] = { INSTALL_W5_FINISH, INSTALL_W6_COMMIT, INSTALL_W7_ACCEPT,
                                             INSTALL_W8_TRY };
        RsError ignored = RS_ERROR_INIT;
        int r;

        if (i->complete)
                return finish_installed(i, ret_primary, err);
        r = check_complete(i, err);
        /* No frame with data was missing: an earlier run has them all, or there are none in the release. */
        if (r == 0 && i->step < INSTALL_W4_FRAMES)
                r = prepare(i, err);
        if (r < 0)
                return r;
        for (size_t k = 0; k < ELEMENTSOF(order); k++) {
                if (atomic_load(&i->cancelled) && order[k] < INSTALL_W7_ACCEPT)
                        return rs_fail(err, CANCELLED, "cancelled before %s", install_step_to_string(order[k]));
                r = run_step(i, order[k], err);
                if (r < 0)
                        return r;
        }
        (void) snprintf(ret_primary, WRITER_NAME_SIZE + 1, "%s", i->record.target);
        /* The release is installed; a record that cannot be removed now is removed by install_converge. */
        (void) run_step(i, INSTALL_W12_CLOSE, &ignored);
        install_abort(i);
        return 0;
}
