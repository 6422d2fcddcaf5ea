/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * publish - copy, then show.
 *
 * A copy and not a link: devices resume a download by ranges and expect the bytes behind a name to stay what they
 * were, whatever happens to the file it came from.  Where the file system can share blocks, copy_file_range does.
 * Between copy and show the tickets are written, so that no device ever sees a bundle whose tickets are still to come.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/directory.h>
#include <reseal/base/file.h>

#include "publish.h"

#define NAME_SIZE 512u
#define COPY_STEP (64u << 20)

/* Hidden from directory listings and from ".rsb". */
static int temporary_name(char ret[NAME_SIZE], const char *name, RsError *err) {
        int n = snprintf(ret, NAME_SIZE, ".%s.new", name);

        return n < 0 || n >= (int) NAME_SIZE ? rs_fail(err, INVALID, "the name of the bundle is too long") : 0;
}

static int open_directory(const char *directory, int *ret_fd, RsError *err) {
        return directory_make(directory, 0755, ret_fd, err);
}

/* For pairs of file systems between which copy_file_range does not work. */
static int copy_by_hand(int from, int to, off_t offset, RsError *err) {
        static uint8_t buffer[1u << 20];

        for (;;) {
                ssize_t n = pread(from, buffer, sizeof(buffer), offset);
                int r;

                if (n < 0)
                        return rs_fail_errno(err, errno, "reading the bundle");
                if (n == 0)
                        return 0;
                r = file_pwrite_all(to, buffer, (size_t) n, (uint64_t) offset, err);
                if (r < 0)
                        return r;
                offset += n;
        }
}

static int copy(int from, int to, RsError *err) {
        loff_t in = 0, out = 0;

        for (;;) {
                ssize_t n = copy_file_range(from, &in, to, &out, COPY_STEP, 0);

                if (n == 0)
                        return 0;
                if (n < 0 && (errno == EXDEV || errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP))
                        return copy_by_hand(from, to, in, err);
                if (n < 0)
                        return rs_fail_errno(err, errno, "copying the bundle");
        }
}

int publish_copy(int bundle_fd, const char *directory, const char *name, RsError *err) {
        _cleanup_(closep) int dir_fd = -EBADF, fd = -EBADF;
        char temporary[NAME_SIZE];
        int r;

        r = temporary_name(temporary, name, err);
        if (r < 0)
                return r;
        r = open_directory(directory, &dir_fd, err);
        if (r < 0)
                return r;
        (void) unlinkat(dir_fd, temporary, 0); /* of an earlier run that was interrupted; mostly not there */
        fd = openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
        if (fd < 0)
                return rs_fail_errno(err, errno, "%s/%s", directory, temporary);
        r = copy(bundle_fd, fd, err);
        if (r >= 0 && fsync(fd) < 0)
                r = rs_fail_errno(err, errno, "%s/%s", directory, temporary);
        if (r < 0)
                (void) unlinkat(dir_fd, temporary, 0); /* the failure is already on its way */
        return r;
}

int publish_show(const char *directory, const char *name, RsError *err) {
        _cleanup_(closep) int dir_fd = -EBADF;
        char temporary[NAME_SIZE];
        int r;

        r = temporary_name(temporary, name, err);
        if (r < 0)
                return r;
        r = open_directory(directory, &dir_fd, err);
        if (r < 0)
                return r;
        if (renameat(dir_fd, temporary, dir_fd, name) < 0 || fsync(dir_fd) < 0)
                return rs_fail_errno(err, errno, "%s/%s", directory, name);
        return 0;
}

void publish_forget(const char *directory, const char *name) {
        RsError ignored = RS_ERROR_INIT; /* this already is the way out of a failure */
        char temporary[NAME_SIZE];
        int dir_fd = -EBADF;

        if (temporary_name(temporary, name, &ignored) < 0 || open_directory(directory, &dir_fd, &ignored) < 0)
                return;
        (void) unlinkat(dir_fd, temporary, 0);
        closep(&dir_fd);
}
