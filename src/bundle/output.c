/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * output - temporary file, sync, rename, sync of the directory.
 *
 * The temporary file has a random name and lies beside the final one: a rename cannot cross file systems, and two
 * runs at once must not mix their bytes.  Gigabytes are written, so file_replace of the base room (which takes its
 * content from memory) is not the tool.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "output.h"

struct Output {
        int dir_fd;
        int fd;
        char *path; /* as given, for messages */
        char *name; /* final name in dir_fd */
        char *temp; /* temporary path, NULL once it is gone */
};

/* The directory part of path; "." when there is none. */
static int directory_of(const char *path, char ret[PATH_MAX], RsError *err) {
        const char *slash = strrchr(path, '/');
        size_t size = slash == path ? 1 : slash ? (size_t) (slash - path) : 1;

        if (slash && slash[1] == '\0')
                return rs_fail(err, INVALID, "%s: not a file name", path);
        if (size >= PATH_MAX)
                return rs_fail_errno(err, ENAMETOOLONG, "%s", path);
        memcpy(ret, slash ? path : ".", size);
        ret[size] = '\0';
        return 0;
}

static mode_t current_umask(void) {
        mode_t mask = umask(0);

        (void) umask(mask);
        return mask;
}

int output_open(const char *path, mode_t mode, Output **ret, RsError *err) {
        _cleanup_(output_freep) Output *o = calloc(1, sizeof(*o));
        char directory[PATH_MAX];
        int r;

        if (!o)
                return rs_fail_oom(err);
        o->dir_fd = o->fd = -EBADF;
        r = directory_of(path, directory, err);
        if (r < 0)
                return r;
        o->path = strdup(path);
        o->name = strdup(strrchr(path, '/') ? strrchr(path, '/') + 1 : path);
        if (!o->path || !o->name)
                return rs_fail_oom(err);
        o->dir_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (o->dir_fd < 0)
                return rs_fail_errno(err, errno, "%s", directory);
        if (asprintf(&o->temp, "%s/.%s.XXXXXX", directory, o->name) < 0) {
                o->temp = NULL;
                return rs_fail_oom(err);
        }
        o->fd = mkostemp(o->temp, O_CLOEXEC);
        if (o->fd < 0) {
                r = rs_fail_errno(err, errno, "%s", o->temp);
                free(TAKE_PTR(o->temp));
                return r;
        }
        if (fchmod(o->fd, mode & ~current_umask()) < 0)
                return rs_fail_errno(err, errno, "%s", o->temp);
        *ret = TAKE_PTR(o);
        return 0;
}

int output_fd(const Output *o) {
        return o->fd;
}

int output_commit(Output *o, RsError *err) {
        if (fsync(o->fd) < 0)
                return rs_fail_errno(err, errno, "%s", o->path);
        if (renameat(AT_FDCWD, o->temp, o->dir_fd, o->name) < 0)
                return rs_fail_errno(err, errno, "%s", o->path);
        free(TAKE_PTR(o->temp));
        if (fsync(o->dir_fd) < 0)
                return rs_fail_errno(err, errno, "%s: fsync of the directory", o->path);
        return 0;
}

Output *output_free(Output *o) {
        if (o) {
                if (o->temp)
                        (void) unlink(o->temp); /* nothing better to do while failing */
                closep(&o->fd);
                closep(&o->dir_fd);
                free(o->temp);
                free(o->name);
                free(o->path);
                free(o);
        }
        return NULL;
}

int output_scratch(const char *path, int *ret_fd, RsError *err) {
        _cleanup_(closep) int fd = -EBADF;
        char directory[PATH_MAX], temp[PATH_MAX + 16];
        int r;

        r = directory_of(path, directory, err);
        if (r < 0)
                return r;
        fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        if (fd < 0) {
                /* Not every file system has nameless files: a name for a moment then. */
                (void) snprintf(temp, sizeof(temp), "%s/.reseal.XXXXXX", directory);
                fd = mkostemp(temp, O_CLOEXEC);
                if (fd < 0)
                        return rs_fail_errno(err, errno, "%s", directory);
                if (unlink(temp) < 0)
                        return rs_fail_errno(err, errno, "%s", temp);
        }
        *ret_fd = TAKE_FD(fd);
        return 0;
}
