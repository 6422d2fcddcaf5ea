/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* replay-disk - a device's media and its TPM, read into memory and put back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>

#include "replay.h"

bool disk_models(DirId dir, const char *name) {
        return dir == DIR_STATE ? name[0] != '.' : strncmp(name, "grubenv", 7) == 0;
}

const DiskFile *disk_file(const Disk *disk, DirId dir, const char *name) {
        for (uint32_t i = 0; i < disk->n_files; i++)
                if (disk->files[i].dir == dir && strcmp(disk->files[i].name, name) == 0)
                        return &disk->files[i];
        return NULL;
}

static uint8_t *read_all(const char *path, size_t *ret_size) {
        _cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
        RsError err = RS_ERROR_INIT;
        off_t size = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
        uint8_t *bytes;

        assert_true(size >= 0);
        bytes = malloc((size_t) size + 1);
        assert_non_null(bytes);
        assert_int_equal(file_pread_all(fd, bytes, (size_t) size, 0, &err), 0);
        *ret_size = (size_t) size;
        return bytes;
}

/* In place: a slot keeps its inode.  What is there already is not written. */
static void write_all(const char *path, const uint8_t *bytes, size_t size) {
        _cleanup_(closep) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        _cleanup_(freep) uint8_t *piece = malloc(1u << 20);
        RsError err = RS_ERROR_INIT;

        assert_true(fd >= 0 && piece);
        assert_int_equal(ftruncate(fd, (off_t) size), 0);
        for (size_t at = 0; at < size; at += 1u << 20) {
                size_t n = size - at < 1u << 20 ? size - at : 1u << 20;

                assert_int_equal(file_pread_all(fd, piece, n, at, &err), 0);
                if (memcmp(piece, bytes + at, n) != 0)
                        assert_int_equal(file_pwrite_all(fd, bytes + at, n, at, &err), 0);
        }
}

static const char *dir_path(const TestDevice *d, DirId dir) {
        return dir == DIR_STATE ? d->state : d->dir;
}

static void for_each_file(const TestDevice *d, DirId dir, void (*what)(const char *path, const char *name, void *),
                          void *userdata) {
        DIR *stream = opendir(dir_path(d, dir));
        const struct dirent *entry;
        char path[400];

        assert_non_null(stream);
        while ((entry = readdir(stream))) {
                if (entry->d_type != DT_REG || !disk_models(dir, entry->d_name))
                        continue;
                (void) snprintf(path, sizeof(path), "%s/%s", dir_path(d, dir), entry->d_name);
                what(path, entry->d_name, userdata);
        }
        (void) closedir(stream);
}

typedef struct Into {
        Disk *disk;
        DirId dir;
} Into;

static void take_file(const char *path, const char *name, void *userdata) {
        const Into *into = userdata;
        DiskFile *f = &into->disk->files[into->disk->n_files++];

        assert_true(into->disk->n_files <= FILES_MAX && strlen(name) < NAME_SIZE);
        f->dir = into->dir;
        memcpy(f->name, name, strlen(name) + 1);
        f->bytes = read_all(path, &f->size);
}

void disk_read(const TestDevice *d, Disk *ret) {
        char path[128];

        memset(ret, 0, sizeof(*ret));
        for (uint32_t dir = 0; dir < _DIR_MAX; dir++)
                for_each_file(d, dir, take_file, &(Into){ ret, dir });
        for (uint32_t i = 0; i < N_SLOTS; i++)
                ret->slots[i] = read_all(d->slot_path[i], &ret->slot_sizes[i]);
        (void) snprintf(path, sizeof(path), "%s/tpm2-00.permall", d->tpm.swtpm.dir);
        ret->tpm = read_all(path, &ret->tpm_size);
}

static void remove_file(const char *path, const char *name, void *userdata) {
        (void) name;
        (void) userdata;
        assert_int_equal(unlink(path), 0);
}

void disk_write(TestDevice *d, const Disk *disk) {
        char path[200];

        swtpm_kill(&d->tpm.swtpm);
        for (uint32_t dir = 0; dir < _DIR_MAX; dir++)
                for_each_file(d, dir, remove_file, NULL);
        for (uint32_t i = 0; i < disk->n_files; i++) {
                (void) snprintf(path, sizeof(path), "%s/%s", dir_path(d, disk->files[i].dir), disk->files[i].name);
                write_all(path, disk->files[i].bytes, disk->files[i].size);
        }
        for (uint32_t i = 0; i < N_SLOTS; i++)
                write_all(d->slot_path[i], disk->slots[i], disk->slot_sizes[i]);
        (void) snprintf(path, sizeof(path), "%s/tpm2-00.permall", d->tpm.swtpm.dir);
        write_all(path, disk->tpm, disk->tpm_size);
        swtpm_boot(&d->tpm.swtpm);
}

void disk_done(Disk *disk) {
        for (uint32_t i = 0; i < disk->n_files; i++)
                free(disk->files[i].bytes);
        for (uint32_t i = 0; i < N_SLOTS; i++)
                free(disk->slots[i]);
        free(disk->tpm);
        memset(disk, 0, sizeof(*disk));
}

void log_read_tpm(Log *log, TestDevice *d) {
        char path[128];

        (void) snprintf(path, sizeof(path), "%s/tpm2-00.permall", d->tpm.swtpm.dir);
        for (uint32_t i = 0; i < log->n_snapshots; i++) {
                Snapshot *s = &log->snapshots[i];
                RsError err = RS_ERROR_INIT;
                TpmState state;
                Tpm *tpm;

                swtpm_kill(&d->tpm.swtpm);
                write_all(path, log->bytes + s->data, s->size);
                swtpm_boot(&d->tpm.swtpm);
                tpm = device_tpm(&d->tpm, false);
                if (tpm_state_read(tpm, &state, &err) < 0)
                        fail_msg("snapshot %u of the TPM: %s", i, err.text);
                s->empty = state.record.empty;
                s->release = state.record.empty ? 0 : state.record.release;
                s->floor = state.floor;
                (void) tpm_free(tpm);
        }
}
