/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fd - regular files by pread, pipes strictly forward.
 *
 * Nothing is staged: a pipe is consumed as the installation goes, and what lies between two things that are
 * wanted is read and dropped (frames proven already, the envelope for the source's own keys).  The first 64 KiB
 * stay in memory like those of every source, so header and manifest can be read in any order.  What a pipe
 * has given is gone: going back is refused with `State`, the job ends, and the same bundle given again goes
 * on where the writer stands.
 *
 * A descriptor is not a promise.  The file may shrink (Truncated) or change (the signed digests see it), the
 * other end of the pipe may be silent (Slow) or never stop (nobody reads on).  Each wait looks at the cancel
 * descriptor; O_NONBLOCK keeps a second reader of the same pipe from making us wait where we do not look.
 */
#include <assert.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <reseal/base/cleanup.h>
#include <reseal/source/fd.h>

#include "source-kind.h"

#define PIECE_SIZE 65536u

typedef struct FdSource {
        Source base;
        int fd;
        bool forward;           /* a pipe */
        uint64_t at;            /* of the pipe: offset of the next byte it gives */
        FdLimits limits;
        uint64_t deadline;      /* absolute */
        uint8_t *piece;
} FdSource;

static uint64_t now_usec(void) {
        struct timespec t = { 0 };

        (void) clock_gettime(CLOCK_BOOTTIME, &t); /* cannot fail for this clock */
        return (uint64_t) t.tv_sec * 1000000 + (uint64_t) t.tv_nsec / 1000;
}

static int check_kind(int flags, mode_t mode, RsError *err) {
        if ((flags & O_PATH) || (flags & O_ACCMODE) == O_WRONLY)
                return rs_fail(err, INVALID, "the descriptor is not open for reading");
        if (!S_ISREG(mode) && !S_ISFIFO(mode))
                return rs_fail(err, INVALID, "the descriptor is neither a regular file nor a pipe");
        return 0;
}

static int look_at(int fd, bool *ret_forward, RsError *err) {
        struct stat st;
        int flags = fcntl(fd, F_GETFL);

        if (flags < 0 || fstat(fd, &st) < 0)
                return rs_fail_errno(err, errno, "descriptor");
        *ret_forward = S_ISFIFO(st.st_mode);
        return check_kind(flags, st.st_mode, err);
}

/* Never waits for the file system, which may be the caller's own: what the kernel knows already is enough. */
int fd_check(int fd, RsError *err) {
        int flags = fcntl(fd, F_GETFL);
        struct statx st;

        if (flags < 0 || statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &st) < 0)
                return rs_fail_errno(err, errno, "descriptor");
        return check_kind(flags, st.stx_mode, err);
}

/* > 0 bytes, 0 = the end. */
static ssize_t read_pipe(int fd, const FdLimits *l, uint64_t deadline, uint8_t *to, size_t size, RsError *err) {
        for (;;) {
                ssize_t n = read(fd, to, size);
                if (n >= 0)
                        return n;
                if (errno != EAGAIN && errno != EINTR)
                        return rs_fail_errno(err, errno, "pipe");

                struct pollfd p[2] = { { .fd = fd, .events = POLLIN }, { .fd = l->cancel_fd, .events = POLLIN } };
                uint64_t now = now_usec(), left = deadline > now ? deadline - now : 0;
                if (left > l->stall_usec)
                        left = l->stall_usec;
                int r = poll(p, 2, left / 1000 >= INT32_MAX ? INT32_MAX : (int) (left / 1000 + 1));
                if (r < 0 && errno != EINTR)
                        return rs_fail_errno(err, errno, "poll");
                if (r == 0)
                        return rs_fail(err, SLOW, "the pipe gives nothing");
                if (r > 0 && p[1].revents)
                        return rs_fail(err, CANCELLED, "while waiting for the pipe");
        }
}

static ssize_t read_file(int fd, uint64_t offset, uint8_t *to, size_t size, RsError *err) {
        for (;;) {
                ssize_t n = pread(fd, to, size, (off_t) offset);
                if (n >= 0)
                        return n;
                if (errno != EINTR)
                        return rs_fail_errno(err, errno, "file");
        }
}

static ssize_t read_some(FdSource *s, uint64_t offset, uint8_t *to, size_t size, RsError *err) {
        struct pollfd p = { .fd = s->limits.cancel_fd, .events = POLLIN };

        if (poll(&p, 1, 0) > 0)
                return rs_fail(err, CANCELLED, "while reading the file");
        if (now_usec() >= s->deadline)
                return rs_fail(err, SLOW, "the bundle is not read within the deadline");
        if (!s->forward)
                return read_file(s->fd, offset, to, size, err);
        assert(offset == s->at);
        ssize_t n = read_pipe(s->fd, &s->limits, s->deadline, to, size, err);
        if (n > 0)
                s->at += (uint64_t) n;
        return n;
}

/* What the pipe gives before `offset` is of no use. */
static int skip_to(FdSource *s, uint64_t offset, RsError *err) {
        while (s->at < offset) {
                size_t n = offset - s->at < PIECE_SIZE ? (size_t) (offset - s->at) : PIECE_SIZE;
                ssize_t got = read_some(s, s->at, s->piece, n, err);
                if (got < 0)
                        return (int) got;
                if (got == 0)
                        return rs_fail(err, TRUNCATED, "the pipe ends after %llu bytes", (unsigned long long) s->at);
        }
        return 0;
}

static int fd_stream(Source *base, uint64_t offset, uint64_t size, SourceSink sink, void *userdata, RsError *err) {
        FdSource *s = (FdSource *) base;
        int r = 0;

        if (s->forward && offset < base->prefix_size) {
                uint64_t here = base->prefix_size - offset;
                if (here > size)
                        here = size;
                r = sink(userdata, SPAN(base->prefix + offset, (size_t) here), err);
                offset += here;
                size -= here;
        }
        if (r < 0 || size == 0)
                return r;
        if (s->forward && offset < s->at)
                return rs_fail(err, STATE, "a pipe cannot go back from byte %llu to %llu: the bundle must be given again",
                               (unsigned long long) s->at, (unsigned long long) offset);
        if (s->forward)
                r = skip_to(s, offset, err);
        while (r >= 0 && size > 0) {
                ssize_t n = read_some(s, offset, s->piece, size < PIECE_SIZE ? (size_t) size : PIECE_SIZE, err);
                if (n < 0)
                        return (int) n;
                if (n == 0)
                        return rs_fail(err, TRUNCATED, "it ends after %llu bytes", (unsigned long long) offset);
                r = sink(userdata, SPAN(s->piece, (size_t) n), err);
                offset += (uint64_t) n;
                size -= (uint64_t) n;
        }
        return r;
}

static Source *fd_close(Source *base) {
        FdSource *s = (FdSource *) base;

        closep(&s->fd);
        free(s->piece);
        free(s);
        return NULL;
}

static const SourceKind FD_KIND = { .name = "fd", .stream = fd_stream, .close = fd_close };

static int unblock(int fd, RsError *err) {
        int flags = fcntl(fd, F_GETFL);

        if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
                return rs_fail_errno(err, errno, "pipe");
        return 0;
}

static int read_prefix(FdSource *s, RsError *err) {
        Source *base = &s->base;

        while (base->prefix_size < SOURCE_PREFIX_MAX) {
                ssize_t n = read_some(s, base->prefix_size, base->prefix + base->prefix_size,
                                      SOURCE_PREFIX_MAX - base->prefix_size, err);
                if (n < 0)
                        return (int) n;
                if (n == 0) {
                        base->size = base->prefix_size;
                        return 0;
                }
                base->prefix_size += (size_t) n;
        }
        return 0;
}

int fd_open(int fd, const FdLimits *limits, Source **ret, RsError *err) {
        _cleanup_(closep) int owned = fd;
        struct stat st;
        bool forward;

        int r = look_at(owned, &forward, err);
        if (r >= 0 && forward)
                r = unblock(owned, err);
        if (r < 0)
                return r;
        if (fstat(owned, &st) < 0)
                return rs_fail_errno(err, errno, "descriptor");
        _cleanup_(source_closep) Source *base = calloc(1, sizeof(FdSource));
        if (!base)
                return rs_fail_oom(err);
        FdSource *s = (FdSource *) base;
        base->kind = &FD_KIND;
        s->fd = TAKE_FD(owned);
        s->forward = forward;
        s->limits = *limits;
        s->deadline = now_usec() + limits->deadline_usec;
        s->piece = malloc(PIECE_SIZE);
        base->prefix = malloc(SOURCE_PREFIX_MAX);
        if (!s->piece || !base->prefix)
                return rs_fail_oom(err);
        base->size = forward ? SOURCE_SIZE_UNKNOWN : (uint64_t) st.st_size;
        base->forward_only = forward;
        (void) snprintf(base->description, sizeof(base->description), "%s", forward ? "pipe" : "file");
        r = read_prefix(s, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(base);
        return 0;
}

int fd_get(int fd, const FdLimits *limits, size_t max_size, uint8_t **ret_data, size_t *ret_size, RsError *err) {
        const uint64_t deadline = now_usec() + limits->deadline_usec;
        size_t size = 0;
        bool forward;

        int r = look_at(fd, &forward, err);
        if (r >= 0 && forward)
                r = unblock(fd, err);
        if (r < 0)
                return r;
        _cleanup_(freep) uint8_t *data = malloc(max_size + 1);
        if (!data)
                return rs_fail_oom(err);
        for (;;) {
                ssize_t n = forward ? read_pipe(fd, limits, deadline, data + size, max_size + 1 - size, err)
                                    : read_file(fd, size, data + size, max_size + 1 - size, err);
                if (n < 0)
                        return (int) n;
                if (n == 0)
                        break;
                size += (size_t) n;
                if (size > max_size)
                        return rs_fail(err, TOO_MUCH, "more than %zu bytes", max_size);
        }
        *ret_data = TAKE_PTR(data);
        *ret_size = size;
        return 0;
}
