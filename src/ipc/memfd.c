/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * memfd - made and sealed on one side, checked and copied on the other.
 *
 * The seals come first: bytes that can still change or shrink are not read at all, so that the length which was checked
 * is the length that is read, and a reader that maps instead of copying would not be killed by SIGBUS either.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/ipc/memfd.h>

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

int memfd_sealed(const char *name, Span bytes, int *ret_fd, RsError *err) {
        _cleanup_(closep) int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
        int r;

        if (fd < 0)
                return rs_fail_errno(err, errno, "%s: memfd", name);
        r = file_pwrite_all(fd, bytes.data, bytes.size, 0, err);
        if (r < 0)
                return rs_context(err, "%s: memfd", name);
        if (fcntl(fd, F_ADD_SEALS, SEALS | F_SEAL_SEAL) < 0)
                return rs_fail_errno(err, errno, "%s: seals", name);
        *ret_fd = TAKE_FD(fd);
        return 0;
}

int memfd_read(int fd, size_t size, uint8_t **ret, RsError *err) {
        _cleanup_(freep) uint8_t *data = NULL;
        struct stat st;
        int seals, r;

        seals = fcntl(fd, F_GET_SEALS);
        if (seals < 0 || (seals & SEALS) != SEALS)
                return rs_fail(err, PROTOCOL, "the descriptor is not a sealed memfd");
        if (fstat(fd, &st) < 0)
                return rs_fail_errno(err, errno, "memfd");
        if (st.st_size < 0 || (uint64_t) st.st_size != size)
                return rs_fail(err, PROTOCOL, "memfd of %lld bytes, announced %zu", (long long) st.st_size, size);
        data = malloc(size);
        if (!data)
                return rs_fail_oom(err);
        r = file_pread_all(fd, data, size, 0, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(data);
        return 0;
}
