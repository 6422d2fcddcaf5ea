/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * file - whole small files, in and out.
 *
 * Reading: one descriptor, checked with fstat after opening (no check by name, nothing to race),
 * regular files only, so that neither a FIFO nor a device can hold a daemon up, and a cap before
 * anything is allocated.
 *
 * Replacing: the new content goes to a temporary file in the same directory and is on the medium, with its mode and
 * owner, before rename() makes it visible; then the directory is synced.  The temporary file is where others could lay
 * hands on what we write, so its name goes by whose directory it is:
 * - where only root and we can make names, it is fixed ("<name>.new"), so that power cuts cannot fill the directory
 *   with leftovers; because it is fixed, whoever writes holds a lock on it until the rename, and a second writer waits
 *   instead of mixing bytes.  A leftover that is not ours alone is removed, never written into;
 * - elsewhere (/tmp, a state directory of another user, a directory of a group) it is random and made with O_EXCL:
 *   nobody can have it open, lock it, or have a file of his own taken for it.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/directory.h>
#include <reseal/base/file.h>
#include <reseal/base/text.h>

/* 1 with an open descriptor, 0 if there is no such file. */
static int open_regular(int dir_fd, const char *path, int *ret_fd, struct stat *ret_st, RsError *err) {
        _cleanup_(closep) int fd = -EBADF;

        fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
        if (fd < 0) {
                if (errno == ENOENT)
                        return 0;
                return rs_fail_errno(err, errno, "%s", path);
        }
        if (fstat(fd, ret_st) < 0)
                return rs_fail_errno(err, errno, "%s", path);
        if (!S_ISREG(ret_st->st_mode))
                return rs_fail(err, IO, "%s: not a regular file", path);
        *ret_fd = TAKE_FD(fd);
        return 1;
}

/* Reads until end of file or until the buffer is full. */
static int read_up_to(int fd, uint8_t *buffer, size_t size, size_t *ret_size) {
        size_t done = 0;

        while (done < size) {
                ssize_t n = read(fd, buffer + done, size - done);

                if (n < 0) {
                        if (errno == EINTR)
                                continue;
                        return -errno;
                }
                if (n == 0)
                        break;
                done += (size_t) n;
        }
        *ret_size = done;
        return 0;
}

int file_read(int dir_fd, const char *path, size_t max_size, uint8_t **ret_data, size_t *ret_size,
              RsError *err) {
        _cleanup_(closep) int fd = -EBADF;
        _cleanup_(freep) uint8_t *data = NULL;
        size_t allocated, size = 0;
        struct stat st;
        int r;

        r = open_regular(dir_fd, path, &fd, &st, err);
        if (r <= 0)
                return r;

        /* Files of procfs and sysfs say 0 and have content; others may grow while we read. */
        if (st.st_size > 0 && (uint64_t) st.st_size > max_size)
                return rs_fail_errno(err, EFBIG, "%s", path);
        allocated = st.st_size > 0 ? (size_t) st.st_size : max_size;
        data = malloc(allocated + 1);
        if (!data)
                return rs_fail_oom(err);
        r = read_up_to(fd, data, allocated + 1, &size);
        if (r < 0)
                return rs_fail_errno(err, r, "%s", path);
        if (size > allocated)
                return rs_fail_errno(err, EFBIG, "%s", path);
        data[size] = '\0';
        *ret_data = TAKE_PTR(data);
        *ret_size = size;
        return 1;
}

int file_read_note(int dir_fd, const char *path, size_t max_size, uint8_t **ret_data, size_t *ret_size,
                   RsError *ret_why, RsError *err) {
        *ret_why = RS_ERROR_INIT;
        int r = file_read(dir_fd, path, max_size, ret_data, ret_size, ret_why);
        if (r >= 0)
                return r;
        if (ret_why->reason != RS_REASON_NO_MEMORY)
                return 0;
        return rs_pass(err, ret_why);
}

/* A secret that another user put there is one that he knows.  Whoever passes a directory vouches for its owner, too. */
static bool owner_is_trusted(int dir_fd, const struct stat *file) {
        struct stat dir;

        return file->st_uid == 0 || file->st_uid == geteuid() ||
               (dir_fd != AT_FDCWD && fstat(dir_fd, &dir) == 0 && file->st_uid == dir.st_uid);
}

int file_read_secret(int dir_fd, const char *path, size_t max_size, Secret **ret, RsError *err) {
        _cleanup_(secret_freep) Secret *s = NULL;
        _cleanup_(closep) int fd = -EBADF;
        size_t size = 0, n_more = 0;
        uint8_t more;
        struct stat st;
        int r;

        r = open_regular(dir_fd, path, &fd, &st, err);
        if (r <= 0)
                return r;
        if ((st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
                return rs_fail_errno(err, EPERM, "%s: open to group or others", path);
        if (!owner_is_trusted(dir_fd, &st))
                return rs_fail_errno(err, EPERM, "%s: belongs to user %u, who then knows it; remove it", path,
                                     (unsigned) st.st_uid);
        if (st.st_size < 0 || (uint64_t) st.st_size > max_size || (uint64_t) st.st_size > RS_SECRET_MAX)
                return rs_fail_errno(err, EFBIG, "%s", path);

        s = secret_new((size_t) st.st_size);
        if (!s)
                return rs_fail_oom(err);
        r = read_up_to(fd, secret_bytes_mut(s), secret_size(s), &size);
        if (r == 0)
                r = read_up_to(fd, &more, 1, &n_more);
        explicit_bzero(&more, sizeof(more));
        if (r < 0)
                return rs_fail_errno(err, r, "%s", path);
        if (n_more > 0)
                return rs_fail_errno(err, EFBIG, "%s: grew while it was read", path);
        (void) secret_shrink(s, size); /* size is at most what was asked for */
        *ret = TAKE_PTR(s);
        return 1;
}

/* The directory that holds the last part of path. */
static int open_parent(int dir_fd, const char *path, int *ret_fd, const char **ret_name, RsError *err) {
        const char *slash = strrchr(path, '/');
        char parent[PATH_MAX] = ".";
        const char *name = slash ? slash + 1 : path;
        int r;

        if (*name == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
                return rs_fail_errno(err, EINVAL, "%s", path);
        if (slash) {
                size_t n = slash == path ? 1 : (size_t) (slash - path);

                if (n >= sizeof(parent))
                        return rs_fail_errno(err, ENAMETOOLONG, "%s", path);
                memcpy(parent, path, n);
                parent[n] = '\0';
        }
        r = directory_open(dir_fd, parent, ret_fd, err);
        if (r >= 0)
                *ret_name = name;
        return r;
}

#define TEMPORARY_TRIES 1000u
#define LOCK_TRIES 1000u
#define LOCK_PAUSE_NSEC 10000000 /* ten seconds in all */

static bool ours_alone(const struct stat *st) {
        return st->st_uid == geteuid() && (st->st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

/* Another of our own writers holds it for moments; whoever holds it longer does not keep us. */
static int lock(int fd) {
        const struct timespec pause = { .tv_nsec = LOCK_PAUSE_NSEC };

        for (unsigned tries = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; tries++) {
                if (errno != EWOULDBLOCK && errno != EINTR)
                        return -errno;
                if (tries == LOCK_TRIES)
                        return -EBUSY;
                (void) nanosleep(&pause, NULL);
        }
        return 0;
}

/* Opens and locks the temporary file of a directory of our own.  Whoever held the lock before us has renamed or removed
 * what we opened: then the name no longer leads to our inode, and we try again. */
static int open_locked(int parent_fd, const char *temp, int *ret_fd) {
        int r;

        for (unsigned tries = 0; tries < TEMPORARY_TRIES; tries++) {
                _cleanup_(closep) int fd = -EBADF;
                struct stat ours, named;

                fd = openat(parent_fd, temp, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
                if (fd < 0)
                        return -errno;
                r = lock(fd);
                if (r < 0)
                        return r;
                if (fstat(fd, &ours) < 0)
                        return -errno;
                if (fstatat(parent_fd, temp, &named, AT_SYMLINK_NOFOLLOW) < 0) {
                        if (errno == ENOENT)
                                continue;
                        return -errno;
                }
                if (ours.st_dev != named.st_dev || ours.st_ino != named.st_ino)
                        continue;
                if (!S_ISREG(ours.st_mode) || ours.st_nlink != 1)
                        return -EEXIST;
                if (!ours_alone(&ours)) {
                        /* of a cut between the owner or the mode and the rename; others may have it open */
                        if (unlinkat(parent_fd, temp, 0) < 0 && errno != ENOENT)
                                return -errno;
                        continue;
                }
                *ret_fd = TAKE_FD(fd);
                return 0;
        }
        return -EBUSY; /* a sandbox that hides who we are, for example */
}

int file_temporary(int dir_fd, const char *name, FileTemporary *ret, RsError *err) {
        char hex[HEX_SIZE(8)];
        uint8_t random[8];
        int n;

        if (getrandom(random, sizeof(random), 0) != (ssize_t) sizeof(random))
                return rs_fail_errno(err, errno, "random numbers of the kernel");
        hex_encode(SPAN_ARRAY(random), hex);
        n = snprintf(ret->name, sizeof(ret->name), ".%s.%s", name, hex);
        if (n < 0 || (size_t) n >= sizeof(ret->name))
                return rs_fail_errno(err, ENAMETOOLONG, "%s", name);
        ret->fd = openat(dir_fd, ret->name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        return ret->fd < 0 ? rs_fail_errno(err, errno, "%s", ret->name) : 0;
}

static int open_temporary(int parent_fd, const char *name, FileTemporary *ret, RsError *err) {
        int n, r;

        if (!directory_is_ours(parent_fd))
                return file_temporary(parent_fd, name, ret, err);
        n = snprintf(ret->name, sizeof(ret->name), "%s.new", name);
        if (n < 0 || (size_t) n >= sizeof(ret->name))
                return rs_fail_errno(err, ENAMETOOLONG, "%s", name);
        r = open_locked(parent_fd, ret->name, &ret->fd);
        return r < 0 ? rs_fail_errno(err, r, "%s", ret->name) : 0;
}

static int fill(int fd, Span content, const FileOwner *owner, mode_t mode, RsError *err) {
        int r;

        if (ftruncate(fd, 0) < 0)
                return rs_fail_errno(err, errno, "truncate");
        r = file_pwrite_all(fd, content.data, content.size, 0, err);
        if (r < 0)
                return r;
        /* Last, so that nobody else can open, and lock, what a cut may leave here. */
        if (owner && fchown(fd, owner->uid, owner->gid) < 0)
                return rs_fail_errno(err, errno, "owner");
        if (fchmod(fd, mode & 07777) < 0)
                return rs_fail_errno(err, errno, "chmod");
        if (fsync(fd) < 0)
                return rs_fail_errno(err, errno, "fsync");
        return 0;
}

int file_replace_for(int dir_fd, const char *path, Span content, const FileOwner *owner, mode_t mode, RsError *err) {
        _cleanup_(closep) int parent_fd = -EBADF, fd = -EBADF;
        FileTemporary temp = { .fd = -EBADF };
        const char *name;
        int r;

        r = open_parent(dir_fd, path, &parent_fd, &name, err);
        if (r < 0)
                return r;
        r = open_temporary(parent_fd, name, &temp, err);
        if (r < 0)
                return rs_context(err, "%s", path);
        fd = temp.fd;
        r = fill(fd, content, owner, mode, err);
        if (r == 0 && renameat(parent_fd, temp.name, parent_fd, name) < 0)
                r = rs_fail_errno(err, errno, "rename");
        if (r < 0) {
                (void) unlinkat(parent_fd, temp.name, 0); /* a full disk must get its space back */
                return rs_context(err, "%s", path);
        }
        if (fsync(parent_fd) < 0)
                return rs_fail_errno(err, errno, "%s: fsync of the directory", path);
        return 0;
}

int file_replace(int dir_fd, const char *path, Span content, mode_t mode, RsError *err) {
        return file_replace_for(dir_fd, path, content, NULL, mode, err);
}

int file_remove(int dir_fd, const char *path, RsError *err) {
        _cleanup_(closep) int parent_fd = -EBADF;
        const char *name;
        int r;

        r = open_parent(dir_fd, path, &parent_fd, &name, err);
        if (r < 0)
                return r;
        if (unlinkat(parent_fd, name, 0) < 0) {
                if (errno == ENOENT)
                        return 0;
                return rs_fail_errno(err, errno, "%s", path);
        }
        if (fsync(parent_fd) < 0)
                return rs_fail_errno(err, errno, "%s: fsync of the directory", path);
        return 1;
}

/* Offsets beyond off_t would turn negative; the kernel would refuse them, with a less clear word. */
static int check_offset(uint64_t offset, size_t size, RsError *err) {
        uint64_t end;

        if (__builtin_add_overflow(offset, (uint64_t) size, &end) || end > INT64_MAX)
                return rs_fail_errno(err, EOVERFLOW, "offset %llu", (unsigned long long) offset);
        return 0;
}

int file_pread_all(int fd, void *buffer, size_t size, uint64_t offset, RsError *err) {
        uint8_t *p = buffer;
        int r;

        r = check_offset(offset, size, err);
        if (r < 0)
                return r;
        while (size > 0) {
                ssize_t n = pread(fd, p, size, (off_t) offset);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return rs_fail_errno(err, errno, "read at %llu", (unsigned long long) offset);
                if (n == 0)
                        return rs_fail_errno(err, ENODATA, "end of file at %llu",
                                             (unsigned long long) offset);
                p += n;
                offset += (uint64_t) n;
                size -= (size_t) n;
        }
        return 0;
}

int file_pwrite_all(int fd, const void *buffer, size_t size, uint64_t offset, RsError *err) {
        const uint8_t *p = buffer;
        int r;

        r = check_offset(offset, size, err);
        if (r < 0)
                return r;
        while (size > 0) {
                ssize_t n = pwrite(fd, p, size, (off_t) offset);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return rs_fail_errno(err, errno, "write at %llu", (unsigned long long) offset);
                if (n == 0) /* the end of a device: nothing will ever fit there */
                        return rs_fail_errno(err, ENOSPC, "write at %llu", (unsigned long long) offset);
                p += n;
                offset += (uint64_t) n;
                size -= (size_t) n;
        }
        return 0;
}
