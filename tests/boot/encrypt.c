/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * encrypt - for factory.sh: puts a file system into a LUKS2 volume where there is no device-mapper to do it.
 *
 *   encrypt KEY IMAGE VOLUME     KEY: the volume key, as cryptsetup luksDump --dump-volume-key --volume-key-file gives it
 *
 * The data segment begins behind SLOT_DATA_OFFSET, 4096-byte sectors, as docs/format-slot.md has it.
 */
#include <fcntl.h>
#include <stdio.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/crypto/xts.h>
#include <reseal/slot/layout.h>

#define PIECE (1u << 20)

static int copy(Xts *xts, int from, int to, RsError *err) {
        _cleanup_(freep) uint8_t *plain = malloc(PIECE), *cipher = malloc(PIECE);
        off_t size = lseek(from, 0, SEEK_END);
        int r = 0;

        if (!plain || !cipher)
                return rs_fail_oom(err);
        if (size <= 0 || size % PIECE != 0)
                return rs_fail(err, INVALID, "whole MiB are needed");
        for (uint64_t at = 0; r == 0 && at < (uint64_t) size; at += PIECE) {
                r = file_pread_all(from, plain, PIECE, at, err);
                if (r == 0)
                        r = xts_encrypt(xts, at, plain, cipher, PIECE, err);
                if (r == 0)
                        r = file_pwrite_all(to, cipher, PIECE, SLOT_DATA_OFFSET + at, err);
        }
        return r;
}

int main(int argc, char **argv) {
        _cleanup_(secret_freep) Secret *key = NULL;
        _cleanup_(xts_freep) Xts *xts = NULL;
        _cleanup_(closep) int from = -EBADF, to = -EBADF;
        RsError err = RS_ERROR_INIT;
        int r;

        if (argc != 4)
                return 2;
        from = open(argv[2], O_RDONLY | O_CLOEXEC);
        to = open(argv[3], O_WRONLY | O_CLOEXEC);
        if (from < 0 || to < 0) {
                perror(argv[2]);
                return 1;
        }
        r = file_read_secret(AT_FDCWD, argv[1], 64, &key, &err);
        if (r > 0)
                r = xts_new(key, &xts, &err);
        if (r == 0 && xts)
                r = copy(xts, from, to, &err);
        if (r < 0)
                (void) fprintf(stderr, "encrypt: %s: %s\n", rs_reason_name(err.reason), err.text);
        return r < 0 || !xts;
}
