/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * directory - the way to a file, as root.
 *
 * Programs of root work below directories that others own: the state directory is reseald's, an operator names a path
 * below his home or in /tmp.  The owner can put a symbolic link there at any time, and root would follow it with
 * rights that the owner does not have: make his file in /etc, or give /boot away.  So the path is walked part by part,
 * each part opened without following, and a link is followed only if root made it (what its maker could have done
 * with his own rights needs no link).  Links of the distribution and of the integrator (/var/run, a state directory on
 * another partition) are root's and work as ever.
 *
 * Others than root cannot be used in this way: for them the kernel's own walk is taken.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/directory.h>

#define LINKS_MAX 40u /* the kernel's own limit */

typedef struct Walk {
        int fd;              /* where we are */
        char rest[PATH_MAX]; /* what is left to go */
        unsigned n_links;
        const char *path; /* as given, for messages */
} Walk;

static void walk_done(Walk *w) {
        closep(&w->fd);
}

/* Takes the descriptor that was opened just now, or what errno says of it. */
static int move_to(Walk *w, int fd) {
        int r = fd < 0 ? -errno : 0;

        closep(&w->fd);
        w->fd = fd;
        return r;
}

/* An absolute path begins at the root, wherever we are. */
static int begin(Walk *w) {
        return *w->rest == '/' ? move_to(w, open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)) : 0;
}

/* Takes the next part off the front; false at the end. */
static bool next_part(Walk *w, char ret[NAME_MAX + 1], bool *ret_too_long) {
        const char *from = w->rest + strspn(w->rest, "/");
        size_t n = strcspn(from, "/");

        *ret_too_long = n > NAME_MAX;
        if (n == 0 || n > NAME_MAX)
                return false;
        memcpy(ret, from, n);
        ret[n] = '\0';
        memmove(w->rest, from + n, strlen(from + n) + 1);
        return true;
}

static int follow(Walk *w, int link_fd, const struct stat *st, RsError *err) {
        char target[PATH_MAX], rest[2 * PATH_MAX];
        ssize_t n;
        int r;

        if (st->st_uid != 0)
                return rs_fail_errno(err, EPERM,
                                     "%s: a symbolic link on the way belongs to user %u, and root does not follow it; "
                                     "name the place itself",
                                     w->path, (unsigned) st->st_uid);
        if (++w->n_links > LINKS_MAX)
                return rs_fail_errno(err, ELOOP, "%s", w->path);
        n = readlinkat(link_fd, "", target, sizeof(target) - 1);
        if (n < 0)
                return rs_fail_errno(err, errno, "%s", w->path);
        target[n] = '\0';
        r = snprintf(rest, sizeof(rest), "%s/%s", target, w->rest);
        if (r < 0 || (size_t) r >= sizeof(w->rest))
                return rs_fail_errno(err, ENAMETOOLONG, "%s", w->path);
        memcpy(w->rest, rest, (size_t) r + 1);
        r = begin(w);
        return r < 0 ? rs_fail_errno(err, r, "%s", w->path) : 0;
}

static int step(Walk *w, const char *part, RsError *err) {
        _cleanup_(closep) int fd = openat(w->fd, part, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        struct stat st;
        int r;

        if (fd < 0 || fstat(fd, &st) < 0)
                return rs_fail_errno(err, errno, "%s", w->path);
        if (S_ISLNK(st.st_mode))
                return follow(w, fd, &st, err);
        if (!S_ISDIR(st.st_mode))
                return rs_fail_errno(err, ENOTDIR, "%s", w->path);
        /* As a directory, which mounts what is to be mounted there; a link that came in between is none. */
        r = move_to(w, openat(w->fd, part, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
        return r < 0 ? rs_fail_errno(err, r, "%s", w->path) : 0;
}

static int walk(int dir_fd, const char *path, int *ret_fd, RsError *err) {
        _cleanup_(walk_done) Walk w = { .fd = -EBADF, .path = path };
        char part[NAME_MAX + 1];
        bool too_long;
        int r;

        if ((size_t) snprintf(w.rest, sizeof(w.rest), "%s", path) >= sizeof(w.rest))
                return rs_fail_errno(err, ENAMETOOLONG, "%s", path);
        r = *path == '/' ? begin(&w) : move_to(&w, openat(dir_fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC));
        if (r < 0)
                return rs_fail_errno(err, r, "%s", path);
        while (next_part(&w, part, &too_long)) {
                r = step(&w, part, err);
                if (r < 0)
                        return r;
        }
        if (too_long)
                return rs_fail_errno(err, ENAMETOOLONG, "%s", path);
        *ret_fd = openat(w.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return *ret_fd < 0 ? rs_fail_errno(err, errno, "%s", path) : 0;
}

int directory_open(int dir_fd, const char *path, int *ret_fd, RsError *err) {
        int fd = -EBADF, r = 0;

        if (*path == '\0')
                return rs_fail_errno(err, ENOENT, "a path without a name");
        if (geteuid() == 0)
                r = walk(dir_fd, path, &fd, err);
        else {
                fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                if (fd < 0)
                        r = rs_fail_errno(err, errno, "%s", path);
        }
        if (r >= 0)
                *ret_fd = fd;
        return r;
}

int directory_make(const char *path, mode_t mode, int *ret_fd, RsError *err) {
        _cleanup_(closep) int parent_fd = -EBADF;
        _cleanup_(freep) char *copy = strdup(path);
        char *slash;
        int r;

        if (!copy)
                return rs_fail_oom(err);
        for (size_t n = strlen(copy); n > 1 && copy[n - 1] == '/'; n--)
                copy[n - 1] = '\0';
        slash = strrchr(copy, '/');
        if (!slash || slash == copy)
                r = directory_open(AT_FDCWD, slash ? "/" : ".", &parent_fd, err);
        else {
                *slash = '\0';
                r = directory_open(AT_FDCWD, copy, &parent_fd, err);
        }
        if (r < 0)
                return r;
        if (mkdirat(parent_fd, slash ? slash + 1 : copy, mode) < 0 && errno != EEXIST)
                return rs_fail_errno(err, errno, "make %s", path);
        return directory_open(AT_FDCWD, path, ret_fd, err);
}

bool directory_is_ours(int fd) {
        struct stat st;

        return fstat(fd, &st) == 0 && (st.st_uid == 0 || st.st_uid == geteuid()) &&
               (st.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}
