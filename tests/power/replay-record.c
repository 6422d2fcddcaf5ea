/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * replay-record - the calls that change a medium, on their way to the system.
 *
 * The program defines them itself, so they are found before libc's, by the engine and by libcryptsetup.  Who is meant
 * is told by device and inode of the descriptor.  The log is a shared mapping: a child that is killed leaves what it
 * had done, as a page cache would.
 *
 * A change is logged behind its call and under one lock.  A flush is two events, and the call between them is not
 * under the lock: writes that another thread makes meanwhile are not taken for flushed.  A call that is not here
 * (mmap, copy_file_range) would be missed; replay_is_faithful compares with the real files and would say so.
 */
/* Both names of each call are defined here, so neither may stand for the other, nor be inlined. */
#undef _FILE_OFFSET_BITS
#undef _FORTIFY_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <reseal/base/cleanup.h>

#include "replay.h"

#define LOG_SIZE ((uint64_t) 400 << 20) /* address space; memory as it is used */

static Log *the_log;

static void lock(void) {
        while (atomic_exchange(&the_log->lock, 1) != 0)
                (void) sched_yield();
}

static void unlock(void) {
        atomic_store(&the_log->lock, 0);
}

void log_unlock(Log *log) {
        atomic_store(&log->lock, 0);
}

static uint64_t keep(const void *bytes, uint64_t size) {
        uint64_t at = the_log->n_bytes;

        if (sizeof(Log) + at + size > LOG_SIZE)
                abort();
        memcpy(the_log->bytes + at, bytes, size);
        the_log->n_bytes += size;
        return at;
}

/* The TPM's NV, if it has changed.  swtpm replaces the file before it answers a command. */
static void look_at_tpm(void) {
        static uint8_t buffer[1u << 20];
        struct stat st;
        Snapshot *s;
        long fd, n;

        if (stat(the_log->tpm_path, &st) < 0)
                return;
        if (the_log->tpm_stamp[0] == st.st_ino && the_log->tpm_stamp[1] == (uint64_t) st.st_mtim.tv_nsec &&
            the_log->tpm_stamp[2] == (uint64_t) st.st_mtim.tv_sec)
                return;
        fd = syscall(SYS_openat, AT_FDCWD, the_log->tpm_path, O_RDONLY | O_CLOEXEC, 0);
        n = fd < 0 ? -1 : syscall(SYS_read, fd, buffer, sizeof(buffer));
        (void) syscall(SYS_close, fd);
        if (n <= 0 || the_log->n_snapshots == SNAPSHOTS_MAX)
                abort();
        the_log->tpm_stamp[0] = st.st_ino;
        the_log->tpm_stamp[1] = (uint64_t) st.st_mtim.tv_nsec;
        the_log->tpm_stamp[2] = (uint64_t) st.st_mtim.tv_sec;
        s = &the_log->snapshots[the_log->n_snapshots];
        if (the_log->n_snapshots > 0 && s[-1].size == (uint64_t) n &&
            memcmp(the_log->bytes + s[-1].data, buffer, (size_t) n) == 0)
                return;
        *s = (Snapshot){ .data = keep(buffer, (uint64_t) n), .size = (uint64_t) n };
        the_log->n_snapshots++;
}

static Event *add(EventType type) {
        Event *e;

        look_at_tpm();
        if (the_log->n_events == EVENTS_MAX)
                abort();
        e = &the_log->events[the_log->n_events++];
        memset(e, 0, sizeof(*e));
        e->type = type;
        e->snapshot = the_log->n_snapshots;
        return e;
}

static bool recording(void) {
        return the_log && atomic_load(&the_log->on);
}

static bool find(const struct stat *st, uint32_t *ret) {
        for (uint32_t i = 0; i < _DIR_MAX; i++)
                if (S_ISDIR(st->st_mode) && st->st_dev == the_log->dir_device[i] &&
                    st->st_ino == the_log->dir_inode[i]) {
                        *ret = OBJECTS_MAX + i;
                        return true;
                }
        for (uint32_t i = the_log->n_objects; i > 0; i--)
                if (st->st_dev == the_log->objects[i - 1].device && st->st_ino == the_log->objects[i - 1].inode) {
                        *ret = i - 1;
                        return true;
                }
        return false;
}

static bool tracked(int fd, uint32_t *ret) {
        struct stat st;

        return recording() && fstat(fd, &st) == 0 && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)) && find(&st, ret);
}

static uint32_t add_object(const struct stat *st, int slot) {
        if (the_log->n_objects == OBJECTS_MAX)
                abort();
        the_log->objects[the_log->n_objects] = (Object){ .device = st->st_dev, .inode = st->st_ino, .slot = slot };
        return the_log->n_objects++;
}

/* Directory and name of a path, if it is one of ours. */
static bool place(int dir_fd, const char *path, uint32_t *ret_dir, const char **ret_name) {
        const char *slash = strrchr(path, '/');
        char parent[4096] = ".";
        struct stat st;
        uint32_t object;

        if (slash && (size_t) (slash - path) < sizeof(parent)) {
                memcpy(parent, path, (size_t) (slash - path));
                parent[slash - path] = '\0';
        }
        *ret_name = slash ? slash + 1 : path;
        if (fstatat(dir_fd, slash && parent[0] == '\0' ? "/" : parent, &st, 0) < 0 || !S_ISDIR(st.st_mode) ||
            !find(&st, &object))
                return false;
        *ret_dir = object - OBJECTS_MAX;
        return disk_models(*ret_dir, *ret_name);
}

static void set_name(char ret[NAME_SIZE], const char *name) {
        if (strlen(name) >= NAME_SIZE)
                abort();
        (void) snprintf(ret, NAME_SIZE, "%s", name);
}

/* -- the calls -------------------------------------------------------------------------------------------------- */

static int do_open(int dir_fd, const char *path, int flags, mode_t mode) {
        const char *name;
        struct stat st;
        uint32_t dir;
        bool ours, existed;
        int fd;

        if (!recording() || (flags & (O_CREAT | O_TRUNC)) == 0)
                return (int) syscall(SYS_openat, dir_fd, path, flags, mode);
        lock();
        ours = place(dir_fd, path, &dir, &name);
        existed = ours && fstatat(dir_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
        fd = (int) syscall(SYS_openat, dir_fd, path, flags, mode);
        if (ours && fd >= 0 && fstat(fd, &st) == 0) {
                uint32_t object;

                if (!existed) {
                        Event *e = add(EVENT_CREATE);

                        e->dir = dir;
                        set_name(e->name, name);
                        e->object = add_object(&st, -1);
                } else if ((flags & O_TRUNC) != 0 && find(&st, &object))
                        add(EVENT_TRUNCATE)->object = object;
        }
        unlock();
        return fd;
}

int open(const char *path, int flags, ...) {
        va_list args;
        mode_t mode;

        va_start(args, flags);
        mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(args, mode_t) : 0;
        va_end(args);
        return do_open(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...) {
        va_list args;
        mode_t mode;

        va_start(args, flags);
        mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(args, mode_t) : 0;
        va_end(args);
        return do_open(AT_FDCWD, path, flags, mode);
}

int openat(int dir_fd, const char *path, int flags, ...) {
        va_list args;
        mode_t mode;

        va_start(args, flags);
        mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(args, mode_t) : 0;
        va_end(args);
        return do_open(dir_fd, path, flags, mode);
}

int openat64(int dir_fd, const char *path, int flags, ...) {
        va_list args;
        mode_t mode;

        va_start(args, flags);
        mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(args, mode_t) : 0;
        va_end(args);
        return do_open(dir_fd, path, flags, mode);
}

static void add_write(int fd, uint32_t object, const void *bytes, uint64_t size, uint64_t offset) {
        Event *e = add(EVENT_WRITE);
        int flags = fcntl(fd, F_GETFL);
        uint32_t n = the_log->n_events;

        e->object = object;
        e->offset = offset;
        e->size = size;
        e->data = keep(bytes, size);
        if ((flags & O_DSYNC) != 0) {
                add(EVENT_FLUSH)->object = object;
                e = add(EVENT_FLUSHED);
                e->object = object;
                e->flush = n;
        }
}

static ssize_t do_pwrite(int fd, const void *bytes, size_t size, off_t offset) {
        uint32_t object;
        ssize_t n;

        if (!tracked(fd, &object))
                return syscall(SYS_pwrite64, fd, bytes, size, offset);
        lock();
        n = syscall(SYS_pwrite64, fd, bytes, size, offset);
        if (n > 0)
                add_write(fd, object, bytes, (uint64_t) n, (uint64_t) offset);
        unlock();
        return n;
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset) {
        return do_pwrite(fd, bytes, size, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t offset) {
        return do_pwrite(fd, bytes, size, offset);
}

/* To a socket: a command for the TPM, say.  What the one before it has changed is seen here. */
ssize_t write(int fd, const void *bytes, size_t size) {
        uint32_t object;
        off_t offset;
        ssize_t n;

        if (!tracked(fd, &object)) {
                if (recording()) {
                        lock();
                        look_at_tpm();
                        unlock();
                }
                return syscall(SYS_write, fd, bytes, size);
        }
        lock();
        offset = lseek(fd, 0, SEEK_CUR);
        n = syscall(SYS_write, fd, bytes, size);
        if (n > 0)
                add_write(fd, object, bytes, (uint64_t) n, (uint64_t) offset);
        unlock();
        return n;
}

ssize_t send(int fd, const void *bytes, size_t size, int flags) {
        if (recording()) {
                lock();
                look_at_tpm();
                unlock();
        }
        return syscall(SYS_sendto, fd, bytes, size, flags, NULL, 0);
}

static int do_truncate(int fd, off_t size) {
        uint32_t object;
        int r;

        if (!tracked(fd, &object))
                return (int) syscall(SYS_ftruncate, fd, size);
        lock();
        r = (int) syscall(SYS_ftruncate, fd, size);
        if (r == 0) {
                Event *e = add(EVENT_TRUNCATE);

                e->object = object;
                e->size = (uint64_t) size;
        }
        unlock();
        return r;
}

int ftruncate(int fd, off_t size) {
        return do_truncate(fd, size);
}

int ftruncate64(int fd, off64_t size) {
        return do_truncate(fd, size);
}

static int do_flush(int fd, long call) {
        uint32_t object, flush;
        int r;

        if (!tracked(fd, &object))
                return (int) syscall(call, fd);
        lock();
        if (atomic_load(&the_log->kill_before) >= 0 && atomic_fetch_sub(&the_log->kill_before, 1) == 0) {
                (void) add(EVENT_KILLED);
                (void) kill(getpid(), SIGKILL); /* the lock is kept: nobody else changes anything now */
                for (;;)
                        (void) pause();
        }
        flush = the_log->n_events;
        add(EVENT_FLUSH)->object = object;
        unlock();
        r = (int) syscall(call, fd);
        if (r == 0) {
                Event *e;

                lock();
                e = add(EVENT_FLUSHED);
                e->object = object;
                e->flush = flush;
                unlock();
        }
        return r;
}

int fsync(int fd) {
        return do_flush(fd, SYS_fsync);
}

int fdatasync(int fd) {
        return do_flush(fd, SYS_fdatasync);
}

static int do_rename(int from_fd, const char *from, int to_fd, const char *to) {
        uint32_t dir = 0, to_dir = 0;
        const char *name, *to_name;
        bool ours;
        int r;

        if (!recording())
                return (int) syscall(SYS_renameat, from_fd, from, to_fd, to);
        lock();
        ours = place(from_fd, from, &dir, &name);
        if (place(to_fd, to, &to_dir, &to_name) != ours)
                abort(); /* in or out of what is modelled */
        r = (int) syscall(SYS_renameat, from_fd, from, to_fd, to);
        if (r == 0 && ours) {
                Event *e = add(EVENT_RENAME);

                e->dir = dir;
                e->to_dir = to_dir;
                set_name(e->name, name);
                set_name(e->to, to_name);
        }
        unlock();
        return r;
}

int rename(const char *from, const char *to) {
        return do_rename(AT_FDCWD, from, AT_FDCWD, to);
}

int renameat(int from_fd, const char *from, int to_fd, const char *to) {
        return do_rename(from_fd, from, to_fd, to);
}

static int do_unlink(int dir_fd, const char *path, int flags) {
        const char *name;
        uint32_t dir;
        bool ours;
        int r;

        if (!recording())
                return (int) syscall(SYS_unlinkat, dir_fd, path, flags);
        lock();
        ours = place(dir_fd, path, &dir, &name);
        r = (int) syscall(SYS_unlinkat, dir_fd, path, flags);
        if (r == 0 && ours) {
                Event *e = add(EVENT_UNLINK);

                e->dir = dir;
                set_name(e->name, name);
        }
        unlock();
        return r;
}

int unlink(const char *path) {
        return do_unlink(AT_FDCWD, path, 0);
}

int unlinkat(int dir_fd, const char *path, int flags) {
        return do_unlink(dir_fd, path, flags);
}

/* -- the log ---------------------------------------------------------------------------------------------------- */

void log_step(InstallStep step, bool done) {
        if (recording()) {
                Event *e;

                lock();
                e = add(EVENT_STEP);
                e->step = step;
                e->done = done;
                unlock();
        }
}

static void add_files(const char *path, DirId dir) {
        _cleanup_(closep) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        const struct dirent *entry;
        struct stat st;
        DIR *d;

        assert_true(fd >= 0);
        assert_int_equal(fstat(fd, &st), 0);
        the_log->dir_device[dir] = st.st_dev;
        the_log->dir_inode[dir] = st.st_ino;
        d = opendir(path);
        assert_non_null(d);
        while ((entry = readdir(d))) {
                if (!disk_models(dir, entry->d_name) || fstatat(fd, entry->d_name, &st, 0) < 0 || !S_ISREG(st.st_mode))
                        continue;
                /* CREATE in the past: replay_new binds names by these */
                Event *e = add(EVENT_CREATE);

                e->dir = dir;
                set_name(e->name, entry->d_name);
                e->object = add_object(&st, -1);
        }
        (void) closedir(d);
}

Log *log_start(const TestDevice *d) {
        if (the_log)
                (void) munmap(the_log, LOG_SIZE);
        the_log = mmap(NULL, LOG_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        assert_true(the_log != MAP_FAILED);
        atomic_store(&the_log->kill_before, -1);
        (void) snprintf(the_log->tpm_path, sizeof(the_log->tpm_path), "%s/tpm2-00.permall", d->tpm.swtpm.dir);
        look_at_tpm();
        add_files(d->state, DIR_STATE);
        add_files(d->dir, DIR_BOOT);
        for (unsigned i = 0; i < N_SLOTS; i++) {
                struct stat st;

                assert_int_equal(stat(d->slot_path[i], &st), 0);
                (void) add_object(&st, (int) i);
        }
        the_log->n_before = the_log->n_events;
        atomic_store(&the_log->on, true);
        return the_log;
}

void log_stop(Log *log) {
        atomic_store(&log->on, false);
        lock();
        look_at_tpm();
        unlock();
}
