/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * replay-proof - a slot as the boot sees it: key from its own header by the TPM, trailer and signature as reseal-unlock
 * reads them, and the whole verity tree by stock veritysetup with the signed root.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/base/text.h>
#include <reseal/crypto/xts.h>
#include <reseal/slot/trailer.h>

#include "proof.h"

#include "replay-proof.h"

static void decrypt(const TestDevice *d, unsigned boot, const Secret *key, uint64_t size, int fd) {
        _cleanup_(closep) int slot = open(d->slot_path[boot], O_RDONLY | O_CLOEXEC);
        _cleanup_(freep) uint8_t *bytes = malloc(size);
        _cleanup_(xts_freep) Xts *xts = NULL;
        RsError err = RS_ERROR_INIT;

        assert_true(slot >= 0 && bytes);
        assert_int_equal(xts_new(key, &xts, &err), 0);
        assert_int_equal(file_pread_all(slot, bytes, size, SLOT_DATA_OFFSET, &err), 0);
        assert_int_equal(xts_decrypt(xts, 0, bytes, bytes, size, &err), 0);
        assert_int_equal(file_pwrite_all(fd, bytes, size, 0, &err), 0);
}

static void verify_tree(const char *path, const Proof *p) {
        char command[400], root[HEX_SIZE(RS_DIGEST_SIZE)];

        hex_encode(SPAN_ARRAY(p->image->root), root);
        (void) snprintf(command, sizeof(command), "veritysetup verify --hash-offset=%llu %s %s %s",
                        (unsigned long long) p->layout.superblock, path, path, root);
        assert_int_equal(system(command), 0);
}

void assert_slot_proves(TestDevice *d, unsigned boot, const TestRelease *r) {
        _cleanup_(secret_freep) Secret *key = test_slot_key(d, d->slot_path[boot]);
        _cleanup_(slot_trailer_done) SlotTrailer trailer = { 0 };
        _cleanup_(anchors_freep) TrustAnchors *root = NULL;
        _cleanup_(proof_done) Proof proof = { 0 };
        _cleanup_(closep) int fd = -EBADF, slot = open(d->slot_path[boot], O_RDONLY | O_CLOEXEC);
        uint64_t slot_size = (uint64_t) lseek(slot, 0, SEEK_END), size = slot_size - SLOT_DATA_OFFSET;
        const TpmRecord record = { .empty = true }; /* what it says is not the medium's business */
        const ProofWanted wanted = { TEST_LINE, TEST_BOARD, "rootfs", &record };
        RsError err = RS_ERROR_INIT;
        char path[100];

        assert_non_null(key);
        assert_true(test_slot_holds(d, boot, r));
        (void) snprintf(path, sizeof(path), "%.60s/volume", d->dir);
        fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        decrypt(d, boot, key, size, fd);
        if (slot_trailer_read(fd, size, &trailer, &err) < 0 || anchors_load(d->root, &root, &err) < 0 ||
            proof_make(&trailer, slot_size, &wanted, r->bundle_id, root, &proof, &err) < 0)
                fail_msg("slot %c: %s", 'A' + boot, err.text);
        verify_tree(path, &proof);
        assert_int_equal(unlink(path), 0);
}
