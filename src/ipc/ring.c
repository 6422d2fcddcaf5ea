/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ring - a memfd of a few frame-sized slots, mapped by both processes.
 *
 * The writer makes it and seals its size: without the seals the other side could shrink the file while the writer
 * reads, and the writer would die of SIGBUS in the middle of a slot.  Contents stay writable on both sides, so the
 * writer copies a frame into private memory before it judges it (slot/image.h).  F_SEAL_EXEC is not used: kernels
 * before 6.3 lack it, and the mapping is never executable.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/plain.h>
#include <reseal/ipc/ring.h>
#include <reseal/ipc/writer-proto.h>

#define RING_SIZE ((size_t) RING_SLOTS * RING_SLOT_SIZE)
#define RING_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

_Static_assert(RING_SLOTS == WRITER_FRAMES_OUTSTANDING_MAX, "each unanswered frame may hold a slot of the ring");

struct Ring {
        int fd;
        uint8_t *base;
};

static int ring_map(int fd, Ring **ret, RsError *err) {
        _cleanup_(closep) int owned = fd;
        void *base;
        Ring *r;

        /* All of it at once: a fault per page costs more than the copy of the page. */
        base = mmap(NULL, RING_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, owned, 0);
        if (base == MAP_FAILED)
                return rs_fail_errno(err, errno, "ring: map");
        if (madvise(base, RING_SIZE, MADV_DONTDUMP) < 0) {
                int e = errno;
                (void) munmap(base, RING_SIZE); /* nothing of ours was in it yet */
                return rs_fail_errno(err, e, "ring: keep out of core dumps");
        }
        r = calloc(1, sizeof(*r));
        if (!r) {
                (void) munmap(base, RING_SIZE);
                return rs_fail_oom(err);
        }
        r->fd = TAKE_FD(owned);
        r->base = base;
        *ret = r;
        return 0;
}

int ring_create(Ring **ret, RsError *err) {
        _cleanup_(closep) int fd = -EBADF;

        fd = memfd_create("reseal-ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (fd < 0)
                return rs_fail_errno(err, errno, "ring: create");
        if (ftruncate(fd, (off_t) RING_SIZE) < 0)
                return rs_fail_errno(err, errno, "ring: size");
        if (fcntl(fd, F_ADD_SEALS, RING_SEALS) < 0)
                return rs_fail_errno(err, errno, "ring: seal");
        return ring_map(TAKE_FD(fd), ret, err);
}

int ring_attach(int fd, Ring **ret, RsError *err) {
        _cleanup_(closep) int owned = fd;
        struct stat st;
        int seals;

        seals = fcntl(owned, F_GET_SEALS);
        if (seals < 0)
                return rs_fail(err, PROTOCOL, "ring: the descriptor is not a memfd");
        if ((seals & RING_SEALS) != RING_SEALS || (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) != 0)
                return rs_fail(err, PROTOCOL, "ring: seals %#x", (unsigned) seals);
        if (fstat(owned, &st) < 0)
                return rs_fail_errno(err, errno, "ring: stat");
        if (st.st_size != (off_t) RING_SIZE)
                return rs_fail(err, PROTOCOL, "ring: %lld bytes", (long long) st.st_size);
        return ring_map(TAKE_FD(owned), ret, err);
}

int ring_clear(Ring *r, RsError *err) {
        plain_wipe(r->base, RING_SIZE); /* a page that is given back keeps what was in it until somebody gets it */
        if (fallocate(r->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t) RING_SIZE) < 0)
                return rs_fail_errno(err, errno, "ring: clear");
        return 0;
}

Ring *ring_free(Ring *r) {
        RsError unsaid = RS_ERROR_INIT;

        if (!r)
                return NULL;
        (void) ring_clear(r, &unsaid); /* whichever side lets go first; wiped it is in any case */
        (void) munmap(r->base, RING_SIZE);
        closep(&r->fd);
        free(r);
        return NULL;
}

int ring_fd(const Ring *r) {
        return r->fd;
}

uint8_t *ring_slot(Ring *r, uint32_t slot) {
        return slot < RING_SLOTS ? r->base + (size_t) slot * RING_SLOT_SIZE : NULL;
}
