/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which roots are in force, as the initramfs finds out: the TPM's tag decides, wherever a set lies and whoever put it
 * there.  (A set is believed by its digest here, so any signed message does for one.)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/clock.h>
#include <reseal/base/file.h>
#include <reseal/crypto/ossl-cleanup.h>
#include <reseal/format/trust-set.h>
#include <reseal/slot/trust-area.h>

#include "../../fixtures/mini-bundle.h"

#include "roots.h"

static char dir[] = "/tmp/reseal-roots-XXXXXX";
static char slots[2][64];
static UnlockConfig config;
static Encoder sets[2];     /* version 1 and 2 */

static void make_set(uint64_t version, Encoder *ret) {
        _cleanup_(freep) uint8_t *pem = NULL;
        Encoder json = ENCODER_INIT;
        RsError err = RS_ERROR_INIT;
        TrustSet set = { .line = "gateway", .version = version, .quorum = 2 };
        size_t size = 0;

        assert_int_equal(file_read(AT_FDCWD, pki_path("firmware/roots.pem"), 65536, &pem, &size, &err), 1);
        set.firmware_pem = strndup((char *) pem, size);
        assert_int_equal(trust_set_encode(&set, &json, &err), 0);
        mini_sign(encoder_view(&json), "firmware/signer-1", ret);
        encoder_done(&json);
        free(set.firmware_pem);
}

static int setup(void **state) {
        RsError err = RS_ERROR_INIT;
        char path[128];
        FILE *f;

        if (pki_setup(state) < 0 || !mkdtemp(dir))
                return -1;
        make_set(1, &sets[0]);
        make_set(2, &sets[1]);
        (void) snprintf(path, sizeof(path), "%s/writer.conf", dir);
        f = fopen(path, "w");
        assert_non_null(f);
        (void) fprintf(f, "[device]\nline=gateway\ncompatible=board\n[trust]\nfirmware-root=%s\n", pki_path("firmware/root.pem"));
        for (unsigned i = 0; i < 2; i++) {
                (void) snprintf(slots[i], sizeof(slots[i]), "%s/slot-%c", dir, 'a' + (int) i);
                (void) fprintf(f, "[slot rootfs.%c]\nclass=rootfs\nboot-name=%c\ndevice=%s\ntype=luks2\n", 'a' + (int) i,
                               'A' + (int) i, slots[i]);
        }
        assert_int_equal(fclose(f), 0);
        return unlock_config_load(path, &config, &err);
}

static int teardown(void **state) {
        char command[64];

        (void) snprintf(command, sizeof(command), "rm -r %s", dir);
        unlock_config_done(&config);
        encoder_done(&sets[0]);
        encoder_done(&sets[1]);
        return system(command) == 0 ? pki_teardown(state) : -1;
}

static void blank(unsigned slot) {
        int fd = open(slots[slot], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        assert_true(fd >= 0 && ftruncate(fd, 8 << 20) == 0);
        closep(&fd);
}

static void put(unsigned slot, unsigned set, Span keep) {
        RsError err = RS_ERROR_INIT;
        int fd = open(slots[slot], O_RDWR | O_CLOEXEC);

        assert_int_equal(trust_area_write(fd, encoder_view(&sets[set]), keep, &err), 0);
        closep(&fd);
}

static TpmRecord record_of(unsigned set) {
        TpmRecord record = { .trust_version = set + 1 };
        uint8_t digest[32];
        RsError err = RS_ERROR_INIT;

        assert_int_equal(digest_sha256(encoder_view(&sets[set]), digest, &err), 0);
        memcpy(record.trust_tag, digest, sizeof(record.trust_tag));
        return record;
}

static RsReason find(const TpmRecord *record, uint64_t wait_usec) {
        _cleanup_(anchors_freep) TrustAnchors *roots = NULL;
        RsError err = RS_ERROR_INIT;
        int r = roots_find(&config, record, dir, wait_usec, &roots, &err);

        assert_int_equal(r == 0, roots != NULL);
        if (roots)
                assert_int_equal(anchors_count(roots), record->trust_version == 0 ? 1 : 3);
        return err.reason;
}

static void version_0_is_the_file_of_the_initramfs(void **state) {
        TpmRecord record = { 0 };

        (void) state;
        blank(0);
        blank(1);
        put(1, 0, SPAN_NULL);
        assert_int_equal(find(&record, 0), RS_REASON_NONE);
}

static void the_set_is_found_in_whichever_slot_it_lies(void **state) {
        TpmRecord record = record_of(1);

        (void) state;
        for (unsigned i = 0; i < 2; i++) {
                blank(0);
                blank(1);
                put(i, 0, SPAN_NULL);
                put(i, 1, encoder_view(&sets[0]));
                assert_int_equal(find(&record, 0), RS_REASON_NONE);
        }
}

/* Yesterday's disk, or a set taken away: neither the old roots nor those of the initramfs are believed again. */
static void an_older_set_or_none_is_refused_and_no_way_back_to_version_0(void **state) {
        TpmRecord record = record_of(1);

        (void) state;
        blank(0);
        blank(1);
        assert_int_equal(find(&record, 0), RS_REASON_TRUST_SET);
        put(0, 0, SPAN_NULL);
        put(1, 0, SPAN_NULL);
        assert_int_equal(find(&record, 0), RS_REASON_TRUST_SET);
        record.trust_version = 1; /* the tag alone does not make it another version */
        put(1, 1, encoder_view(&sets[0]));
        assert_int_equal(find(&record, 0), RS_REASON_TRUST_SET);
}

static void a_slot_that_is_not_there_yet_is_awaited_and_not_for_ever(void **state) {
        TpmRecord record = record_of(0);
        uint64_t begin;

        (void) state;
        blank(0);
        blank(1);
        assert_int_equal(unlink(slots[1]), 0);
        begin = clock_boottime_usec();
        assert_int_equal(find(&record, 300000), RS_REASON_TRUST_SET);
        assert_true(clock_boottime_usec() - begin >= 300000);
        put(0, 0, SPAN_NULL);
        assert_int_equal(find(&record, 0), RS_REASON_NONE);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(version_0_is_the_file_of_the_initramfs),
                cmocka_unit_test(the_set_is_found_in_whichever_slot_it_lies),
                cmocka_unit_test(an_older_set_or_none_is_refused_and_no_way_back_to_version_0),
                cmocka_unit_test(a_slot_that_is_not_there_yet_is_awaited_and_not_for_ever),
        };

        return cmocka_run_group_tests_name("initramfs-roots", tests, setup, teardown);
}
