/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * file - whole small files, in and out.
 *
 * Reading: one descriptor, checked with fstat after opening (no check by name, nothing to race),
 * regular files only, so that neither a FIFO nor a device can hold a daemon up, and a cap before
 * anything is allocated.
 *
 * Replacing: the new content goes to "<name>.new" in the same directory and is on the medium before
 * rename() makes it visible; then the directory is synced.  The temporary name is fixed, so that power
 * cuts cannot fill a directory with leftovers; because it is fixed, whoever writes holds a lock on the
 * temporary file until the rename, and a second writer waits instead of mixing bytes.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>

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
        int fd;

        if (*name == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
                return rs_fail_errno(err, EINVAL, "%s", path);
        if (slash) {
                size_t n = slash == path ? 1 : (size_t) (slash - path);

                if (n >= sizeof(parent))
                        return rs_fail_errno(err, ENAMETOOLONG, "%s", path);
                memcpy(parent, path, n);
                parent[n] = '\0';
        }
        fd = openat(dir_fd, parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return rs_fail_errno(err, errno, "%s", path);
        *ret_fd = fd;
        *ret_name = name;
        return 0;
}

/* Opens and locks the temporary file.  Whoever held the lock before us has renamed or removed what we
 * opened: then the name no longer leads to our inode, and we try again. */
static int open_locked(int parent_fd, const char *temp, int *ret_fd) {
        for (;;) {
                _cleanup_(closep) int fd = -EBADF;
                struct stat ours, named;

                fd = openat(parent_fd, temp, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
                if (fd < 0)
                        return -errno;
                while (flock(fd, LOCK_EX) < 0)
                        if (errno != EINTR)
                                return -errno;
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
                *ret_fd = TAKE_FD(fd);
                return 0;
        }
}

static int fill(int fd, Span content, mode_t mode, RsError *err) {
        int r;

        if (ftruncate(fd, 0) < 0)
                return rs_fail_errno(err, errno, "truncate");
        if (fchmod(fd, mode & 07777) < 0)
                return rs_fail_errno(err, errno, "chmod");
        r = file_pwrite_all(fd, content.data, content.size, 0, err);
        if (r < 0)
                return r;
        if (fsync(fd) < 0)
                return rs_fail_errno(err, errno, "fsync");
        return 0;
}

int file_replace(int dir_fd, const char *path, Span content, mode_t mode, RsError *err) {
        _cleanup_(closep) int parent_fd = -EBADF, fd = -EBADF;
        char temp[NAME_MAX + 1];
        const char *name;
        int r;

        r = open_parent(dir_fd, path, &parent_fd, &name, err);
        if (r < 0)
                return r;
        if ((size_t) snprintf(temp, sizeof(temp), "%s.new", name) >= sizeof(temp))
                return rs_fail_errno(err, ENAMETOOLONG, "%s", path);

        r = open_locked(parent_fd, temp, &fd);
        if (r < 0)
                return rs_fail_errno(err, r, "%s.new", path);
        r = fill(fd, content, mode, err);
        if (r == 0 && renameat(parent_fd, temp, parent_fd, name) < 0)
                r = rs_fail_errno(err, errno, "rename");
        if (r < 0) {
                (void) unlinkat(parent_fd, temp, 0); /* a full disk must get its space back */
                return rs_context(err, "%s", path);
        }
        if (fsync(parent_fd) < 0)
                return rs_fail_errno(err, errno, "%s: fsync of the directory", path);
        return 0;
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
