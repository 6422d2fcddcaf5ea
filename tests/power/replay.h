/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * replay - every write and flush of the engine is recorded, and every medium a power cut could have left is judged.
 *
 * Spec:     DESIGN.md 8 (W1 to W12, D7); docs/boot.md; invariants I0 to I5 of src/install/install.c
 * Trust:    none
 * Owns:     Disk and Replay own their memory; the log is one shared mapping per program, filled by it and its children
 * Units:    bytes; sectors of 512 bytes
 * Errors:   a fixture that cannot be made fails the test; a broken invariant is a text
 * Context:  recording: any thread; all else: one
 * Programs: tests/power/replay
 *
 * Three parts: replay-record.c stands between the engine (libcryptsetup too) and the system, replay-media.c makes
 * media from the log, replay-judge.c judges one.
 */
#include <stdatomic.h>

#include "device.h"

#define SECTOR 512u
#define N_SLOTS 4u                   /* rootfs.a, rootfs.b, kernel.a, kernel.b as in TestDevice */
#define NAME_SIZE 40u
#define FILES_MAX 32u
#define OBJECTS_MAX 1024u
#define REPLAY_ROOTFS ((uint64_t) 18 << 20)
#define WINDOWS 2u                   /* of such an image */

typedef enum DirId { DIR_STATE, DIR_BOOT, _DIR_MAX } DirId;

/* -- a device's media at rest ----------------------------------------------------------------------------------- */

typedef struct DiskFile {
        DirId dir;
        char name[NAME_SIZE];
        uint8_t *bytes;
        size_t size;
} DiskFile;

typedef struct Disk {
        DiskFile files[FILES_MAX];
        uint32_t n_files;
        uint8_t *slots[N_SLOTS];
        size_t slot_sizes[N_SLOTS];
        uint8_t *tpm;                /* swtpm's NV */
        size_t tpm_size;
} Disk;

void disk_read(const TestDevice *d, Disk *ret);
/* The TPM is switched off and on again with the NV of the disk. */
void disk_write(TestDevice *d, const Disk *disk);
void disk_done(Disk *disk);
const DiskFile *disk_file(const Disk *disk, DirId dir, const char *name);
/* Files that the replay models: all of the state directory, the boot environment's. */
bool disk_models(DirId dir, const char *name);

/* -- recording -------------------------------------------------------------------------------------------------- */

typedef enum EventType {
        EVENT_WRITE,                 /* behind the call */
        EVENT_TRUNCATE,
        EVENT_CREATE,
        EVENT_RENAME,
        EVENT_UNLINK,
        EVENT_FLUSH,                 /* right before fsync or fdatasync */
        EVENT_FLUSHED,               /* and behind it; what was written before `flush` is on the medium now */
        EVENT_STEP,
        EVENT_KILLED,                /* the process, not the power */
} EventType;

typedef struct Event {
        EventType type;
        uint32_t object;             /* of a file or slot; OBJECTS_MAX + DirId for a directory */
        uint32_t dir, to_dir;
        char name[NAME_SIZE], to[NAME_SIZE];
        uint64_t offset, size;
        uint64_t data;               /* place in the log's memory */
        uint32_t flush;              /* of EVENT_FLUSHED: number of its EVENT_FLUSH */
        uint32_t snapshot;           /* of the TPM: how many had been taken */
        InstallStep step;
        bool done;
} Event;

typedef struct Snapshot {
        uint64_t data, size;
        uint64_t release, floor;     /* filled by log_read_tpm */
        bool empty;
} Snapshot;

typedef struct Object {
        uint64_t device, inode;
        int slot;                    /* -1: a file */
} Object;

#define EVENTS_MAX 20000u
#define SNAPSHOTS_MAX 256u

typedef struct Log {
        atomic_uint lock;
        atomic_bool on;
        atomic_long kill_before;     /* this many more flushes, then SIGKILL right before one; < 0: never */
        Object objects[OBJECTS_MAX];
        uint64_t dir_device[_DIR_MAX], dir_inode[_DIR_MAX];
        uint32_t n_objects, n_events, n_snapshots;
        uint32_t n_before;           /* events that tell what was there at the start */
        Event events[EVENTS_MAX];
        Snapshot snapshots[SNAPSHOTS_MAX];
        char tpm_path[128];
        uint64_t tpm_stamp[3];
        uint64_t n_bytes;
        uint8_t bytes[];
} Log;

/* Empty log of the device as it is now; recording goes on until log_stop, also in children. */
Log *log_start(const TestDevice *d);
void log_stop(Log *log);
void log_step(InstallStep step, bool done);
/* Behind the death of a child that was killed while it recorded. */
void log_unlock(Log *log);
/* What each snapshot of the TPM says; the TPM is left with the last one. */
void log_read_tpm(Log *log, TestDevice *d);

/* -- media ------------------------------------------------------------------------------------------------------ */

typedef struct SlotView {
        bool as_before, as_after;    /* every byte of it */
        bool header_zero;
        bool header_after, data_after; /* the parts of as_after; a plain slot is all data */
        bool window_after[WINDOWS];
} SlotView;

typedef struct FileView {
        DirId dir;
        char name[NAME_SIZE];
        const uint8_t *bytes;
        size_t size;
} FileView;

/* One possible medium. */
typedef struct Medium {
        uint32_t position;           /* the power failed before this event */
        uint32_t n_lost;             /* how many unflushed changes are not on it, or torn */
        const Snapshot *tpm;
        SlotView slots[N_SLOTS];
        FileView files[FILES_MAX];
        uint32_t n_files;
} Medium;

typedef struct Replay Replay;

/* before, after: media at both ends of the log, borrowed, as log and events. */
Replay *replay_new(const Log *log, const Disk *before, const Disk *after);
Replay *replay_free(Replay *r);
/* Changes to the recorded order, before replay_run: the mutations. */
void replay_drop_flush(Replay *r, uint32_t event);
void replay_move(Replay *r, uint32_t from, uint32_t to, uint32_t before);

typedef struct ReplayRun {
        uint64_t seed;
        uint32_t n_random;           /* media with random losses and tears before each flush */
        uint32_t every;              /* of the other positions: each, each 2nd ... */
        /* false: ends the run */
        bool (*on_medium)(void *userdata, Replay *r, const Medium *m);
        void *userdata;
} ReplayRun;

/* Number of media judged. */
uint32_t replay_run(Replay *r, const ReplayRun *run);
/* The medium at hand with all its bytes, inside on_medium. */
void replay_disk(Replay *r, Disk *ret);
void replay_describe_event(const Replay *r, uint32_t event, char *ret, size_t size);
void replay_describe(const Replay *r, const Medium *m, char *ret, size_t size);
/* Is everything applied what the system really has?  Says what is not. */
bool replay_is_faithful(Replay *r, char *ret, size_t size);

/* -- judging ---------------------------------------------------------------------------------------------------- */

typedef struct Version {
        uint64_t release;            /* 0: from the factory */
        uint64_t floor_max;
        bool complete;
} Version;

typedef struct Judge Judge;

typedef struct JudgeFacts {
        Version before[2], after[2]; /* of the slots A and B */
        uint64_t release;            /* that is being installed */
        bool accepts;                /* the TPM has not yet accepted it at the beginning */
        uint8_t nonce[INSTALL_NONCE_SIZE]; /* of the record that `after` came from */
        uint32_t target;             /* 0: A, 1: B */
        const Disk *after_disk;
} JudgeFacts;

Judge *judge_new(const TestDevice *d, const JudgeFacts *facts);
Judge *judge_free(Judge *j);
/* NULL: nothing is wrong. */
const char *judge_medium(Judge *j, const Medium *m);

typedef struct Loader {
        bool damaged;
        char starts[4];              /* boot names in the order in which GRUB would try them, by its environment */
        char good[4];                /* and behind these */
} Loader;

/* conf/boot/grub/reseal.cfg; NULL: no such file. */
void loader_look(const FileView *env, const FileView *good, Loader *ret);
/* What GRUB does to the device's files when it starts: the boot name, one attempt less. */
char loader_start(const TestDevice *d);
