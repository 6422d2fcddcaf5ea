/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Header and manifest of a real signed bundle: whole, cut at each place that matters, flipped, signed by another. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/crypto/ossl-cleanup.h>
#include <reseal/source/fd.h>

#include "../../../src/job/head.h"
#include "mini-bundle.h"

static const FdLimits LIMITS = { .cancel_fd = -EBADF, .stall_usec = 60000000, .deadline_usec = 600000000 };
static TrustAnchors *anchors, *others;
static uint8_t *good, id[32];
static size_t good_size;

static const PathRules TIME = { .time_low = RS_BUILD_TIME, .time_high = UINT64_MAX };

static RsReason read_from(Span bytes, const TrustAnchors *a, bool by_pipe, Head *head) {
        _cleanup_(source_closep) Source *source = NULL;
        RsError err = RS_ERROR_INIT;
        char path[] = "/tmp/reseal-head-XXXXXX";
        int fds[2];

        *head = (Head){ 0 };
        if (by_pipe) {
                assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
                assert_int_equal(write(fds[1], bytes.data, bytes.size), bytes.size); /* a pipe holds 64 KiB */
                (void) close(fds[1]);
        } else {
                fds[0] = mkostemp(path, O_CLOEXEC);
                assert_int_equal(unlink(path), 0);
                assert_int_equal(write(fds[0], bytes.data, bytes.size), bytes.size);
        }
        int r = fd_open(fds[0], &LIMITS, &source, &err);
        if (r >= 0)
                r = head_read(source, a, &TIME, head, &err);
        return r < 0 ? err.reason : RS_REASON_NONE;
}

static RsReason reason_of(Span bytes, const TrustAnchors *a) {
        Head head, again;
        RsReason reason = read_from(bytes, a, false, &head);

        assert_int_equal(read_from(bytes, a, true, &again), reason);
        head_done(&head);
        head_done(&again);
        return reason;
}

static void good_bundle_is_read_from_file_and_pipe(void **state) {
        (void) state;
        for (int by_pipe = 0; by_pipe < 2; by_pipe++) {
                Head head;
                assert_int_equal(read_from(SPAN(good, good_size), anchors, by_pipe, &head), RS_REASON_NONE);
                assert_memory_equal(head.bundle_id, id, sizeof(id));
                assert_int_equal(head.manifest->release, 1);
                assert_string_equal(head.signer.subject, "CN=Firmware Signer gateway 1");
                head_done(&head);
        }
}

static void without_anchors_it_is_read_but_signed_by_nobody(void **state) {
        Head head;

        (void) state;
        assert_int_equal(read_from(SPAN(good, good_size), NULL, false, &head), RS_REASON_NONE);
        assert_memory_equal(head.bundle_id, id, sizeof(id));
        assert_string_equal(head.signer.subject, "");
        head_done(&head);
}

static void bundle_cut_anywhere_is_refused(void **state) {
        const size_t cuts[] = { 0, 1, RS_BUNDLE_HEADER_FIXED - 1, RS_BUNDLE_HEADER_FIXED, RS_BUNDLE_HEADER_FIXED + 1,
                                good_size / 2, good_size - 1 };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(cuts); i++) {
                RsReason reason = reason_of(SPAN(good, cuts[i]), anchors);
                assert_true(reason == RS_REASON_FORMAT || reason == RS_REASON_TRUNCATED);
        }
}

static void flipped_bit_in_head_or_manifest_is_refused(void **state) {
        _cleanup_(freep) uint8_t *bad = malloc(good_size);
        Head head;

        (void) state;
        assert_int_equal(read_from(SPAN(good, good_size), anchors, false, &head), RS_REASON_NONE);
        size_t manifest = (size_t) head.header.manifest.offset, length = (size_t) head.header.manifest.length;
        head_done(&head);
        memcpy(bad, good, good_size);
        for (size_t at = 0; at < manifest; at++) {
                bad[at] ^= 1;
                Head unused;
                assert_int_not_equal(read_from(SPAN(bad, good_size), anchors, false, &unused), RS_REASON_NONE);
                head_done(&unused);
                bad[at] ^= 1;
        }
        bad[manifest + length / 2] ^= 1;
        RsReason reason = reason_of(SPAN(bad, good_size), anchors);
        assert_true(reason == RS_REASON_SIGNATURE || reason == RS_REASON_CERTIFICATE);
}

static void bundle_of_another_signer_is_refused(void **state) {
        (void) state;
        assert_int_not_equal(reason_of(SPAN(good, good_size), others), RS_REASON_NONE);
}

static int setup(void **state) {
        RsError err = RS_ERROR_INIT;

        if (pki_setup(state) < 0)
                return -1;
        mini_confidential = false;
        mini_bundle("good.rsb", "firmware/signer-1", NULL, NULL, id);
        if (file_read(AT_FDCWD, pki_path("good.rsb"), 65536, &good, &good_size, &err) != 1)
                return -1;
        int r = anchors_load(pki_path("firmware/root.pem"), &anchors, &err);
        return r < 0 ? r : anchors_load(pki_path("source/root.pem"), &others, &err);
}

static int teardown(void **state) {
        free(good);
        anchors = anchors_free(anchors);
        others = anchors_free(others);
        return pki_teardown(state);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(good_bundle_is_read_from_file_and_pipe),
                cmocka_unit_test(without_anchors_it_is_read_but_signed_by_nobody),
                cmocka_unit_test(bundle_cut_anywhere_is_refused),
                cmocka_unit_test(flipped_bit_in_head_or_manifest_is_refused),
                cmocka_unit_test(bundle_of_another_signer_is_refused),
        };
        return cmocka_run_group_tests(tests, setup, teardown);
}
