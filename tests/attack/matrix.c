/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * matrix - attacks on an update system by their names, on devices from the factory, with an accepted release, and at
 * level L2, through the writer's engine.
 *
 * The seam is EVIDENCE and OFFER: https and files end in the same two messages, so the source is no axis here.  Whatever
 * was tried, the next good release is accepted: a refusal costs one offer.
 *
 * Failures F1 to F24 of the signer chain are tested in: F1 to F8, F19 to F21, F24 tests/unit/trust/test-chain.c; F2, F4,
 * F9 tests/unit/format/test-link.c; F9 to F13 tests/unit/tpm/test-tamper.c; F8, F11, F12, F16, F22
 * tests/unit/tpm/test-chain.c.  F14, F15, F17, F18 and F23 are of the TPM and of booting, not of an offer.  What a device
 * behind a bridge withstands is asked in tests/unit/trust/test-gate.c and test-chain.c only.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <reseal/base/cleanup.h>

#include "device.h"

#define ROOTFS ((uint64_t) 1 << 20)

typedef struct Attack {
        const char *name;
        RsReason reason;
        int64_t release;                 /* behind the accepted one */
        const char *signer;              /* NULL: the line's own */
        void (*manifest)(Manifest *m);   /* before signing */
        void (*offer)(TestRelease *r);   /* behind it */
} Attack;

static void other_line(Manifest *m) { m->line[0] = 'x'; }
static void other_board(Manifest *m) { m->compatible[0][0] = 'x'; }
static void other_class(Manifest *m) { (void) strcpy(m->images[1].class_name, "dsp"); }
static void in_clear(Manifest *m) { m->confidential = false; }
static void flip(TestRelease *r) { r->cms.data[r->cms.size - 5] ^= 1; }
static void without_links(TestRelease *r) { encoder_done(&r->links); }

/* In this order: the last ones make the line's history anew. */
static const Attack attacks[] = {
        { "arbitrary software", RS_REASON_CERTIFICATE, 1, "bad/signer-self", NULL, NULL },
        { "key of another authority", RS_REASON_CERTIFICATE, 1, "bad/signer-other", NULL, NULL },
        { "key for something else", RS_REASON_PURPOSE, 1, "bad/signer-purpose", NULL, NULL },
        { "key that has ended", RS_REASON_EXPIRED, 1, "bad/signer-expired", NULL, NULL },
        { "weak key", RS_REASON_ALGORITHM, 1, "bad/signer-rsa1024", NULL, NULL },
        { "key outside the chain", RS_REASON_CERTIFICATE, 1, "firmware/signer", NULL, NULL },
        { "changed on its way", RS_REASON_SIGNATURE, 1, NULL, NULL, flip },
        { "release of another line", RS_REASON_LINE, 1, NULL, other_line, NULL },
        { "release of another board", RS_REASON_COMPATIBLE, 1, NULL, other_board, NULL },
        { "mixed images", RS_REASON_SLOT_CLASS, 1, NULL, other_class, NULL },
        { "confidentiality taken away", RS_REASON_POLICY, 1, NULL, in_clear, NULL },
        { "history held back", RS_REASON_CHAIN_GAP, 1, NULL, NULL, without_links },
        { "replaced release", RS_REASON_CHAIN_FORK, 0, NULL, NULL, NULL },
        { "rollback", RS_REASON_ROLLBACK, -1, NULL, NULL, NULL },
        { "rollback without links", RS_REASON_ROLLBACK, -1, NULL, NULL, without_links },
};

static void try(TestEngine *e, const Attack *a, uint64_t accepted, const char *mode) {
        RsError err = RS_ERROR_INIT;
        WriterOffer offer;
        TestRelease r;

        test_release_begin(&r, (uint64_t) ((int64_t) accepted + a->release), 0, ROOTFS);
        r.manifest->created = 4711;
        if (a->manifest)
                a->manifest(r.manifest);
        test_release_sign(&r, a->signer);
        if (a->offer)
                a->offer(&r);
        if (test_engine_offer(e, &r, &offer, &err) == 0 || err.reason != a->reason)
                fail_msg("%s, %s: %s (%s) instead of %s", mode, a->name, rs_reason_name(err.reason), err.text,
                         rs_reason_name(a->reason));
        test_release_done(&r);
}

/* accepted 0: a device from the factory. */
static void attack(const char *mode, uint64_t accepted, bool level2) {
        RsError err = RS_ERROR_INIT;
        TestRelease before, good;
        WriterOffer offer;
        const char *slot = "A";
        TestDevice d;
        TestEngine e;

        test_device_make(&d, ROOTFS);
        if (level2)
                test_device_level2(&d);
        test_engine_open(&e, &d, NULL, NULL);
        for (uint64_t k = level2 ? 1 : accepted; k > 0 && k <= accepted; k++) { /* CHAIN begins with a genesis */
                test_release_make(&before, k, 0, ROOTFS);
                if (test_engine_install(&e, &before, &err) < 0)
                        fail_msg("%s: %s", mode, err.text);
                test_engine_close(&e);
                slot = slot[0] == 'A' ? "B" : "A";
                test_device_boot(&d, slot, before.bundle_id);
                test_engine_open(&e, &d, NULL, NULL);
                if (install_mark(e.installer, WRITER_MARK_GOOD, "", (char[WRITER_NAME_SIZE + 1]){ 0 }, &err) < 0)
                        fail_msg("%s: %s", mode, err.text);
                test_release_done(&before);
        }
        test_release_make(&good, accepted + 1, 0, ROOTFS);
        for (size_t i = 0; i < ELEMENTSOF(attacks); i++) {
                if (accepted == 0 && attacks[i].release < 1)
                        continue; /* nothing is older than nothing */
                try(&e, &attacks[i], accepted, mode);
                err = RS_ERROR_INIT;
                if (test_engine_offer(&e, &good, &offer, &err) < 0)
                        fail_msg("%s, a good release behind \"%s\": %s", mode, attacks[i].name, err.text);
                install_abort(e.installer);
        }
        test_release_done(&good);
        test_engine_close(&e);
        test_device_done(&d);
}

static void a_device_from_the_factory_withstands(void **state) {
        (void) state;
        attack("factory", 0, false);
}

static void a_device_with_an_accepted_release_withstands(void **state) {
        (void) state;
        attack("accepted", 2, false);
}

/* What root of the device cannot change either (level L2). */
static void a_device_whose_tpm_knows_the_chain_withstands(void **state) {
        (void) state;
        attack("level 2, factory", 0, true);
        attack("level 2, accepted", 2, true);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_device_from_the_factory_withstands),
                cmocka_unit_test(a_device_with_an_accepted_release_withstands),
                cmocka_unit_test(a_device_whose_tpm_knows_the_chain_withstands),
        };

        cmocka_set_test_filter(getenv("RESEAL_TEST_FILTER"));
        return cmocka_run_group_tests(tests, test_pki_setup, test_pki_teardown);
}
