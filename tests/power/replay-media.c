/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * replay-media - what a power cut can leave of the recorded changes.
 *
 * What was flushed is on the medium.  Of the rest each change may be there, be lost, or be there in some of its
 * sectors, whatever came before or after it: a disk's cache keeps no order, and a file system is taken for as
 * careless as POSIX lets it be (names need fsync of their directory, sizes and bytes that of the file).  Two changes
 * of one sector keep their order.
 *
 * A slot is not compared byte by byte for each medium.  Each sector has two bits, "as before the recording" and "as
 * behind it", each recorded write has them for each of its sectors, and the sectors that differ are counted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <reseal/base/cleanup.h>
#include <reseal/slot/layout.h>

#include "replay.h"

#define AS_BEFORE 1u
#define AS_AFTER 2u
#define AS_ZERO 4u
#define PENDING_MAX 4096u

typedef enum Region { REGION_HEADER, REGION_WINDOW, REGION_REST = REGION_WINDOW + WINDOWS, _REGION_MAX } Region;

typedef enum Fate { FATE_LOST, FATE_THERE, FATE_TORN } Fate;

typedef struct Counts {
        uint32_t not_before[_REGION_MAX], not_after[_REGION_MAX], not_zero[_REGION_MAX];
} Counts;

typedef struct Track {
        uint8_t *bytes;              /* what is flushed */
        uint8_t *flags;
        uint8_t *over_flags;         /* of sectors with over_stamp == stamp */
        uint32_t *over_stamp;
        Counts counts;
} Track;

typedef struct Content {
        uint8_t *bytes;
        size_t size, room;
} Content;

typedef struct Binding {
        char name[NAME_SIZE];
        uint32_t object;
} Binding;

typedef struct Directory {
        Binding entries[FILES_MAX];
        uint32_t n;
} Directory;

struct Replay {
        const Log *log;
        const Disk *before, *after;
        uint32_t *order, *place;     /* events in their order; where each of them is */
        uint32_t n;
        uint32_t *snapshots;         /* by event, as the order is now */
        bool *dropped;
        uint8_t **flags;             /* by event, of the sectors of a write to a slot */
        Content objects[OBJECTS_MAX], over[OBJECTS_MAX];
        Directory directories[_DIR_MAX];
        Track tracks[N_SLOTS];
        uint32_t stamp;
        uint32_t pending[PENDING_MAX], n_pending;
        /* of the medium at hand */
        Fate fates[PENDING_MAX];
        uint64_t tear;
        uint32_t n_media;
        const ReplayRun *run;
        bool ended;
};

static uint64_t mix(uint64_t x) {
        x += 0x9e3779b97f4a7c15ull;
        x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
        x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
        return x ^ (x >> 31);
}

/* -- contents --------------------------------------------------------------------------------------------------- */

static void content_resize(Content *c, size_t size) {
        if (size > c->room) {
                c->bytes = realloc(c->bytes, size);
                assert_non_null(c->bytes);
                c->room = size;
        }
        if (size > c->size)
                memset(c->bytes + c->size, 0, size - c->size);
        c->size = size;
}

/* Is this sector of a change there? */
static bool survives(const Replay *r, uint32_t k, uint64_t sector) {
        if (r->fates[k] == FATE_TORN)
                return (mix(r->tear ^ mix(k) ^ sector) & 1) != 0;
        return r->fates[k] == FATE_THERE;
}

/* k: number in pending, or UINT32_MAX: all of it. */
static void apply_to_content(const Replay *r, const Event *e, uint32_t k, Content *c) {
        if (e->type == EVENT_TRUNCATE) {
                content_resize(c, e->size);
                return;
        }
        for (uint64_t at = e->offset; at < e->offset + e->size;) {
                uint64_t end = (at / SECTOR + 1) * SECTOR;

                if (end > e->offset + e->size)
                        end = e->offset + e->size;
                if (k == UINT32_MAX || survives(r, k, at / SECTOR)) {
                        if (end > c->size)
                                content_resize(c, end);
                        memcpy(c->bytes + at, r->log->bytes + e->data + (at - e->offset), end - at);
                }
                at = end;
        }
}

static void bind(Directory *d, const char *name, uint32_t object) {
        uint32_t i = 0;

        while (i < d->n && strcmp(d->entries[i].name, name) != 0)
                i++;
        assert_true(i < FILES_MAX);
        if (i == d->n)
                d->n++;
        (void) snprintf(d->entries[i].name, NAME_SIZE, "%s", name);
        d->entries[i].object = object;
}

static void unbind(Directory *d, const char *name) {
        for (uint32_t i = 0; i < d->n; i++)
                if (strcmp(d->entries[i].name, name) == 0) {
                        d->entries[i] = d->entries[--d->n];
                        return;
                }
}

/* A rename binds what the old name meant when it was recorded (`object`); it needs no change before it. */
static void apply_to_directory(const Event *e, uint32_t object, Directory *d) {
        if (e->type == EVENT_CREATE)
                bind(&d[e->dir], e->name, e->object);
        else if (e->type == EVENT_UNLINK)
                unbind(&d[e->dir], e->name);
        else {
                unbind(&d[e->dir], e->name);
                bind(&d[e->to_dir], e->to, object);
        }
}

static bool is_name_change(const Event *e) {
        return e->type == EVENT_CREATE || e->type == EVENT_RENAME || e->type == EVENT_UNLINK;
}

/* -- slots ------------------------------------------------------------------------------------------------------ */

static bool has_header(uint32_t slot) {
        return slot < 2;
}

static Region region_of(uint32_t slot, uint64_t sector) {
        uint64_t at = sector * SECTOR;

        if (!has_header(slot))
                return REGION_WINDOW;
        if (at < SLOT_DATA_OFFSET)
                return REGION_HEADER;
        at -= SLOT_DATA_OFFSET;
        return at >= REPLAY_ROOTFS ? REGION_REST : (Region) (REGION_WINDOW + at / (16u << 20));
}

static uint8_t flags_of(const Replay *r, uint32_t slot, uint64_t sector, const uint8_t *bytes) {
        uint8_t flags = 0;

        if (memcmp(r->before->slots[slot] + sector * SECTOR, bytes, SECTOR) == 0)
                flags |= AS_BEFORE;
        if (memcmp(r->after->slots[slot] + sector * SECTOR, bytes, SECTOR) == 0)
                flags |= AS_AFTER;
        if (bytes[0] == 0 && memcmp(bytes, bytes + 1, SECTOR - 1) == 0)
                flags |= AS_ZERO;
        return flags;
}

static void count(Counts *c, Region region, uint8_t old, uint8_t new) {
        c->not_before[region] += ((old & AS_BEFORE) != 0) - ((new & AS_BEFORE) != 0);
        c->not_after[region] += ((old & AS_AFTER) != 0) - ((new & AS_AFTER) != 0);
        c->not_zero[region] += ((old & AS_ZERO) != 0) - ((new & AS_ZERO) != 0);
}

static void track_new(Replay *r, uint32_t slot) {
        Track *t = &r->tracks[slot];
        size_t n = r->before->slot_sizes[slot] / SECTOR;

        t->bytes = malloc(n * SECTOR);
        t->flags = malloc(n);
        t->over_flags = malloc(n);
        t->over_stamp = calloc(n, sizeof(*t->over_stamp));
        assert_true(t->bytes && t->flags && t->over_flags && t->over_stamp);
        memcpy(t->bytes, r->before->slots[slot], n * SECTOR);
        for (size_t s = 0; s < n; s++) {
                t->flags[s] = flags_of(r, slot, s, t->bytes + s * SECTOR);
                if ((t->flags[s] & AS_AFTER) == 0)
                        t->counts.not_after[region_of(slot, s)]++;
                if ((t->flags[s] & AS_ZERO) == 0)
                        t->counts.not_zero[region_of(slot, s)]++;
        }
}

static const uint8_t *event_flags(Replay *r, uint32_t event, uint32_t slot) {
        const Event *e = &r->log->events[event];

        if (!r->flags[event]) {
                assert_true(e->offset % SECTOR == 0 && e->size % SECTOR == 0);
                r->flags[event] = malloc(e->size / SECTOR);
                assert_non_null(r->flags[event]);
                for (uint64_t i = 0; i < e->size / SECTOR; i++)
                        r->flags[event][i] = flags_of(r, slot, e->offset / SECTOR + i,
                                                      r->log->bytes + e->data + i * SECTOR);
        }
        return r->flags[event];
}

static void flush_to_slot(Replay *r, uint32_t event, uint32_t slot) {
        const Event *e = &r->log->events[event];
        const uint8_t *flags = event_flags(r, event, slot);
        Track *t = &r->tracks[slot];

        memcpy(t->bytes + e->offset, r->log->bytes + e->data, e->size);
        for (uint64_t i = 0; i < e->size / SECTOR; i++) {
                uint64_t s = e->offset / SECTOR + i;

                count(&t->counts, region_of(slot, s), t->flags[s], flags[i]);
                t->flags[s] = flags[i];
        }
}

static void look_at_slot(Replay *r, uint32_t slot, SlotView *ret) {
        Track *t = &r->tracks[slot];
        Counts c = t->counts;
        uint32_t before = 0, after = 0;

        r->stamp++;
        for (uint32_t k = 0; k < r->n_pending; k++) {
                const Event *e = &r->log->events[r->pending[k]];
                const uint8_t *flags;

                if (e->type != EVENT_WRITE || r->log->objects[e->object].slot != (int) slot ||
                    r->fates[k] == FATE_LOST)
                        continue;
                flags = event_flags(r, r->pending[k], slot);
                for (uint64_t i = 0; i < e->size / SECTOR; i++) {
                        uint64_t s = e->offset / SECTOR + i;

                        if (!survives(r, k, s))
                                continue;
                        count(&c, region_of(slot, s), t->over_stamp[s] == r->stamp ? t->over_flags[s] : t->flags[s],
                              flags[i]);
                        t->over_stamp[s] = r->stamp;
                        t->over_flags[s] = flags[i];
                }
        }
        for (uint32_t i = 0; i < _REGION_MAX; i++) {
                before += c.not_before[i];
                after += c.not_after[i];
        }
        *ret = (SlotView){ .as_before = before == 0,
                           .as_after = after == 0,
                           .header_zero = c.not_zero[REGION_HEADER] == 0,
                           .header_after = c.not_after[REGION_HEADER] == 0,
                           .data_after = after == c.not_after[REGION_HEADER] };
        for (uint32_t w = 0; w < WINDOWS; w++)
                ret->window_after[w] = c.not_after[REGION_WINDOW + w] == 0;
}

/* -- the medium at hand ----------------------------------------------------------------------------------------- */

/* What a rename recorded at `event` moved: the last binding of the old name before it, flushed or not. */
static uint32_t renamed_object(const Replay *r, uint32_t event) {
        const Event *e = &r->log->events[event];

        for (uint32_t i = event; i > 0; i--) {
                const Event *old = &r->log->events[i - 1];

                if (old->type == EVENT_CREATE && old->dir == e->dir && strcmp(old->name, e->name) == 0)
                        return old->object;
                if (old->type == EVENT_RENAME && old->to_dir == e->dir && strcmp(old->to, e->name) == 0)
                        return renamed_object(r, i - 1);
        }
        fail_msg("a rename of %s, which is not known", e->name);
        return 0;
}

static const Content *look_at_object(Replay *r, uint32_t object) {
        const Content *base = &r->objects[object];
        Content *over = &r->over[object];
        bool changed = false;

        for (uint32_t k = 0; k < r->n_pending; k++) {
                const Event *e = &r->log->events[r->pending[k]];

                if (is_name_change(e) || e->object != object || r->fates[k] == FATE_LOST)
                        continue;
                if (!changed) {
                        content_resize(over, 0);
                        content_resize(over, base->size);
                        if (base->size > 0)
                                memcpy(over->bytes, base->bytes, base->size);
                        changed = true;
                }
                apply_to_content(r, e, k, over);
        }
        return changed ? over : base;
}

static void look(Replay *r, uint32_t position, const Snapshot *tpm, Medium *ret) {
        Directory dirs[_DIR_MAX];

        memset(ret, 0, sizeof(*ret));
        ret->position = position;
        ret->tpm = tpm;
        memcpy(dirs, r->directories, sizeof(dirs));
        for (uint32_t k = 0; k < r->n_pending; k++) {
                const Event *e = &r->log->events[r->pending[k]];

                if (r->fates[k] != FATE_THERE)
                        ret->n_lost++;
                if (is_name_change(e) && r->fates[k] != FATE_LOST)
                        apply_to_directory(e, e->type == EVENT_RENAME ? renamed_object(r, r->pending[k]) : 0, dirs);
        }
        for (uint32_t i = 0; i < N_SLOTS; i++)
                look_at_slot(r, i, &ret->slots[i]);
        for (uint32_t d = 0; d < _DIR_MAX; d++)
                for (uint32_t i = 0; i < dirs[d].n; i++) {
                        const Content *c = look_at_object(r, dirs[d].entries[i].object);
                        FileView *f = &ret->files[ret->n_files++];

                        assert_true(ret->n_files <= FILES_MAX);
                        *f = (FileView){ .dir = d, .bytes = c->bytes, .size = c->size };
                        memcpy(f->name, dirs[d].entries[i].name, NAME_SIZE);
                }
}

static void judge(Replay *r, uint32_t position) {
        uint32_t first = position > 0 ? r->snapshots[r->order[position - 1]] : r->snapshots[r->order[0]];
        uint32_t last = position < r->n ? r->snapshots[r->order[position]] : r->log->n_snapshots;

        for (uint32_t s = first; s <= last && !r->ended; s++) {
                Medium m;

                look(r, position, &r->log->snapshots[s - 1], &m);
                r->n_media++;
                if (!r->run->on_medium(r->run->userdata, r, &m))
                        r->ended = true;
        }
}

static void all(Replay *r, Fate fate) {
        for (uint32_t k = 0; k < r->n_pending; k++)
                r->fates[k] = fate;
}

/* Everything there, nothing there; one lost, one there, one torn; and at random. */
static void losses(Replay *r, uint32_t position) {
        uint32_t step = 1 + r->n_pending / 24;

        for (uint32_t k = 0; k < r->n_pending; k += step) {
                all(r, FATE_THERE);
                r->fates[k] = FATE_LOST;
                judge(r, position);
                r->fates[k] = FATE_TORN;
                r->tear = mix(r->run->seed ^ mix(position));
                judge(r, position);
                all(r, FATE_LOST);
                r->fates[k] = FATE_THERE;
                judge(r, position);
        }
        for (uint32_t i = 0; i < r->run->n_random && r->n_pending > 1; i++) {
                r->tear = mix(mix(r->run->seed ^ position) + i);
                for (uint32_t k = 0; k < r->n_pending; k++)
                        r->fates[k] = (Fate) (mix(r->tear ^ mix(k + 7)) % 3);
                judge(r, position);
        }
}

static void cut(Replay *r, uint32_t position) {
        all(r, FATE_THERE);
        judge(r, position);
        if (r->n_pending == 0)
                return;
        all(r, FATE_LOST);
        judge(r, position);
        if (position < r->n && r->log->events[r->order[position]].type == EVENT_FLUSH)
                losses(r, position);
}

/* -- forward ---------------------------------------------------------------------------------------------------- */

static void apply(Replay *r, uint32_t event) {
        const Event *e = &r->log->events[event];

        if (is_name_change(e))
                apply_to_directory(e, e->type == EVENT_RENAME ? renamed_object(r, event) : 0, r->directories);
        else if (r->log->objects[e->object].slot >= 0)
                flush_to_slot(r, event, (uint32_t) r->log->objects[e->object].slot);
        else
                apply_to_content(r, e, UINT32_MAX, &r->objects[e->object]);
}

static bool is_flushed_by(const Replay *r, uint32_t event, const Event *flushed) {
        const Event *e = &r->log->events[event];

        if (r->place[event] > r->place[flushed->flush])
                return false;
        return flushed->object >= OBJECTS_MAX ? is_name_change(e) && e->dir == flushed->object - OBJECTS_MAX
                                              : !is_name_change(e) && e->object == flushed->object;
}

static void forward(Replay *r, uint32_t event) {
        const Event *e = &r->log->events[event];
        uint32_t n = 0;

        if (e->type <= EVENT_UNLINK) {
                assert_true(r->n_pending < PENDING_MAX);
                r->pending[r->n_pending++] = event;
                return;
        }
        if (e->type != EVENT_FLUSHED || r->dropped[event])
                return;
        for (uint32_t k = 0; k < r->n_pending; k++)
                if (is_flushed_by(r, r->pending[k], e))
                        apply(r, r->pending[k]);
                else
                        r->pending[n++] = r->pending[k];
        r->n_pending = n;
}

/* Back to the beginning. */
static void rewind_media(Replay *r) {
        for (uint32_t i = 0; i < N_SLOTS; i++) {
                free(r->tracks[i].bytes);
                free(r->tracks[i].flags);
                free(r->tracks[i].over_flags);
                free(r->tracks[i].over_stamp);
                memset(&r->tracks[i], 0, sizeof(r->tracks[i]));
                track_new(r, i);
        }
        for (uint32_t i = 0; i < OBJECTS_MAX; i++)
                content_resize(&r->objects[i], 0);
        memset(r->directories, 0, sizeof(r->directories));
        r->n_pending = 0;
        for (uint32_t i = 0; i < r->log->n_before; i++) {
                const Event *e = &r->log->events[i];
                const DiskFile *f = disk_file(r->before, e->dir, e->name);

                assert_non_null(f);
                bind(&r->directories[e->dir], e->name, e->object);
                content_resize(&r->objects[e->object], f->size);
                if (f->size > 0)
                        memcpy(r->objects[e->object].bytes, f->bytes, f->size);
        }
        for (uint32_t i = 0; i < r->n; i++)
                r->place[r->order[i]] = i;
}

uint32_t replay_run(Replay *r, const ReplayRun *run) {
        r->run = run;
        r->n_media = 0;
        r->ended = false;
        rewind_media(r);
        for (uint32_t i = 0; i <= r->n && !r->ended; i++) {
                bool flush = i < r->n && r->log->events[r->order[i]].type == EVENT_FLUSH;

                if (flush || i == r->n || i % run->every == 0)
                        cut(r, i);
                if (i < r->n)
                        forward(r, r->order[i]);
        }
        return r->n_media;
}

bool replay_is_faithful(Replay *r, char *ret, size_t size) {
        Medium m;

        rewind_media(r);
        for (uint32_t i = 0; i < r->n; i++)
                forward(r, r->order[i]);
        all(r, FATE_THERE);
        look(r, r->n, &r->log->snapshots[r->log->n_snapshots - 1], &m);
        for (uint32_t i = 0; i < N_SLOTS; i++)
                if (!m.slots[i].as_after) {
                        (void) snprintf(ret, size, "slot %u", i);
                        return false;
                }
        for (uint32_t i = 0; i < m.n_files; i++) {
                const DiskFile *f = disk_file(r->after, m.files[i].dir, m.files[i].name);

                if (!f || f->size != m.files[i].size ||
                    (f->size > 0 && memcmp(f->bytes, m.files[i].bytes, f->size) != 0)) {
                        (void) snprintf(ret, size, "%s", m.files[i].name);
                        return false;
                }
        }
        (void) snprintf(ret, size, "%u files where there should be %u", m.n_files, r->after->n_files);
        return m.n_files == r->after->n_files;
}

void replay_disk(Replay *r, Disk *ret) {
        Medium m;

        memset(ret, 0, sizeof(*ret));
        look(r, 0, NULL, &m);
        for (uint32_t i = 0; i < m.n_files; i++) {
                DiskFile *f = &ret->files[ret->n_files++];

                f->dir = m.files[i].dir;
                memcpy(f->name, m.files[i].name, NAME_SIZE);
                f->size = m.files[i].size;
                f->bytes = malloc(f->size + 1);
                assert_non_null(f->bytes);
                if (f->size > 0)
                        memcpy(f->bytes, m.files[i].bytes, f->size);
        }
        for (uint32_t i = 0; i < N_SLOTS; i++) {
                ret->slot_sizes[i] = r->before->slot_sizes[i];
                ret->slots[i] = malloc(ret->slot_sizes[i]);
                assert_non_null(ret->slots[i]);
                memcpy(ret->slots[i], r->tracks[i].bytes, ret->slot_sizes[i]);
        }
        for (uint32_t k = 0; k < r->n_pending; k++) {
                const Event *e = &r->log->events[r->pending[k]];
                int slot = is_name_change(e) ? -1 : r->log->objects[e->object].slot;

                for (uint64_t at = 0; slot >= 0 && e->type == EVENT_WRITE && at < e->size; at += SECTOR)
                        if (survives(r, k, (e->offset + at) / SECTOR))
                                memcpy(ret->slots[slot] + e->offset + at, r->log->bytes + e->data + at, SECTOR);
        }
}

/* -- the rest --------------------------------------------------------------------------------------------------- */

Replay *replay_new(const Log *log, const Disk *before, const Disk *after) {
        Replay *r = calloc(1, sizeof(*r));

        assert_non_null(r);
        r->log = log;
        r->before = before;
        r->after = after;
        r->order = calloc(log->n_events + 1, sizeof(*r->order));
        r->place = calloc(log->n_events + 1, sizeof(*r->place));
        r->snapshots = calloc(log->n_events + 1, sizeof(*r->snapshots));
        r->dropped = calloc(log->n_events + 1, sizeof(*r->dropped));
        r->flags = calloc(log->n_events + 1, sizeof(*r->flags));
        assert_true(r->order && r->place && r->snapshots && r->dropped && r->flags);
        for (uint32_t i = log->n_before; i < log->n_events; i++)
                r->order[r->n++] = i;
        for (uint32_t i = 0; i < log->n_events; i++)
                r->snapshots[i] = log->events[i].snapshot;
        assert_true(r->n > 0);
        return r;
}

Replay *replay_free(Replay *r) {
        for (uint32_t i = 0; i < N_SLOTS; i++) {
                free(r->tracks[i].bytes);
                free(r->tracks[i].flags);
                free(r->tracks[i].over_flags);
                free(r->tracks[i].over_stamp);
        }
        for (uint32_t i = 0; i < OBJECTS_MAX; i++) {
                free(r->objects[i].bytes);
                free(r->over[i].bytes);
        }
        for (uint32_t i = 0; i < r->log->n_events; i++)
                free(r->flags[i]);
        free(r->flags);
        free(r->dropped);
        free(r->snapshots);
        free(r->place);
        free(r->order);
        free(r);
        return NULL;
}

void replay_drop_flush(Replay *r, uint32_t event) {
        assert_int_equal(r->log->events[event].type, EVENT_FLUSHED);
        r->dropped[event] = true;
}

/* Events [from, to) to before event `before`, which is an earlier one; the TPM is as it was there. */
void replay_move(Replay *r, uint32_t from, uint32_t to, uint32_t before) {
        uint32_t first = from - r->log->n_before, n = to - from, at = before - r->log->n_before;

        assert_true(before < from && from < to && to <= r->log->n_events);
        memmove(r->order + at + n, r->order + at, (first - at) * sizeof(*r->order));
        for (uint32_t i = 0; i < n; i++) {
                r->order[at + i] = from + i;
                r->snapshots[from + i] = r->snapshots[before];
        }
}

static const char *const types[] = { "write", "truncate", "create",  "rename", "unlink",
                                     "flush", "flushed",  "step",    "kill" };

void replay_describe_event(const Replay *r, uint32_t event, char *ret, size_t size) {
        const Event *e = &r->log->events[event];

        if (e->type == EVENT_STEP)
                (void) snprintf(ret, size, "%s %s", e->done ? "end of" : "begin of", install_step_to_string(e->step));
        else if (is_name_change(e))
                (void) snprintf(ret, size, "%s %s %s", types[e->type], e->name, e->to);
        else if (e->type == EVENT_KILLED)
                (void) snprintf(ret, size, "kill");
        else if (e->object >= OBJECTS_MAX)
                (void) snprintf(ret, size, "%s directory %u", types[e->type], e->object - OBJECTS_MAX);
        else {
                const char *name = "?";

                for (uint32_t i = 0; i < r->log->n_events; i++)
                        if (r->log->events[i].type == EVENT_CREATE && r->log->events[i].object == e->object)
                                name = r->log->events[i].name;
                if (r->log->objects[e->object].slot >= 0)
                        (void) snprintf(ret, size, "%s slot %d at %llu of %llu", types[e->type],
                                        r->log->objects[e->object].slot, (unsigned long long) e->offset,
                                        (unsigned long long) e->size);
                else
                        (void) snprintf(ret, size, "%s %s at %llu of %llu", types[e->type], name,
                                        (unsigned long long) e->offset, (unsigned long long) e->size);
        }
}

void replay_describe(const Replay *r, const Medium *m, char *ret, size_t size) {
        static const char *const fates[] = { "lost", "there", "torn" };
        char text[160] = "the end";
        size_t n;

        if (m->position < r->n)
                replay_describe_event(r, r->order[m->position], text, sizeof(text));
        n = (size_t) snprintf(ret, size, "before event %u (%s):", m->position, text);
        for (uint32_t k = 0; k < r->n_pending && n < size; k++) {
                replay_describe_event(r, r->pending[k], text, sizeof(text));
                n += (size_t) snprintf(ret + n, size - n, " [%s: %s]", fates[r->fates[k]], text);
        }
}
