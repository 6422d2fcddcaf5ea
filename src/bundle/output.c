/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * output - temporary file, sync, rename, sync of the directory.
 *
 * The temporary file has a random name (file_temporary of the base room) and lies beside the final one: a rename
 * cannot cross file systems, and two runs at once must not mix their bytes.  Gigabytes are written, so file_replace of
 * the base room (which takes its content from memory) is not the tool.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <reseal/base/directory.h>
#include <reseal/base/file.h>

#include "output.h"

struct Output {
        int dir_fd;
        char *path; /* as given, for messages */
        char *name; /* final name in dir_fd */
        FileTemporary temp; /* its name empty once it is gone; fd stays */
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
        o->dir_fd = o->temp.fd = -EBADF;
        r = directory_of(path, directory, err);
        if (r < 0)
                return r;
        o->path = strdup(path);
        o->name = strdup(strrchr(path, '/') ? strrchr(path, '/') + 1 : path);
        if (!o->path || !o->name)
                return rs_fail_oom(err);
        r = directory_open(AT_FDCWD, directory, &o->dir_fd, err);
        if (r >= 0)
                r = file_temporary(o->dir_fd, o->name, &o->temp, err);
        if (r < 0)
                return rs_context(err, "%s", path);
        if (fchmod(o->temp.fd, mode & ~current_umask()) < 0)
                return rs_fail_errno(err, errno, "%s", path);
        *ret = TAKE_PTR(o);
        return 0;
}

int output_fd(const Output *o) {
        return o->temp.fd;
}

int output_commit(Output *o, RsError *err) {
        if (fsync(o->temp.fd) < 0)
                return rs_fail_errno(err, errno, "%s", o->path);
        if (renameat(o->dir_fd, o->temp.name, o->dir_fd, o->name) < 0)
                return rs_fail_errno(err, errno, "%s", o->path);
        *o->temp.name = '\0';
        if (fsync(o->dir_fd) < 0)
                return rs_fail_errno(err, errno, "%s: fsync of the directory", o->path);
        return 0;
}

Output *output_free(Output *o) {
        if (o) {
                if (o->temp.fd >= 0 && *o->temp.name != '\0')
                        (void) unlinkat(o->dir_fd, o->temp.name, 0); /* nothing better to do while failing */
                closep(&o->temp.fd);
                closep(&o->dir_fd);
                free(o->name);
                free(o->path);
                free(o);
        }
        return NULL;
}

int output_scratch(const char *path, int *ret_fd, RsError *err) {
        _cleanup_(closep) int fd = -EBADF, dir_fd = -EBADF;
        char directory[PATH_MAX];
        FileTemporary temp;
        int r;

        r = directory_of(path, directory, err);
        if (r < 0)
                return r;
        r = directory_open(AT_FDCWD, directory, &dir_fd, err);
        if (r < 0)
                return r;
        fd = openat(dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        if (fd < 0) {
                /* Not every file system has nameless files: a name for a moment then. */
                r = file_temporary(dir_fd, "reseal", &temp, err);
                if (r < 0)
                        return rs_context(err, "%s", directory);
                fd = temp.fd;
                if (unlinkat(dir_fd, temp.name, 0) < 0)
                        return rs_fail_errno(err, errno, "%s/%s", directory, temp.name);
        }
        *ret_fd = TAKE_FD(fd);
        return 0;
}
