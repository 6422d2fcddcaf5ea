/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a slot must show before its root hash is believed: good once, then each statement wrong, one at a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/crypto/ossl-cleanup.h>

#include "../../fixtures/mini-bundle.h"

#include "proof.h"

#define SLOT_SIZE (16u << 20)
#define IMAGE_SIZE (2u << 20)

static TpmRecord record = { .empty = true };
static const ProofWanted wanted = { .line = "gateway", .compatible = "board", .class_name = "rootfs", .record = &record };
static TrustAnchors *root;
static Encoder good_cms;
static uint8_t good_id[32];

static void sign(const char *class_name, const char *signer, Encoder *ret_cms, uint8_t ret_id[32]) {
        Encoder json = ENCODER_INIT;
        RsError err = RS_ERROR_INIT;
        Manifest *m = manifest_new();

        assert_non_null(m);
        (void) strcpy(m->images[0].class_name, class_name);
        m->images[0].size = IMAGE_SIZE;
        m->images[0].n_chunks = image_n_chunks(IMAGE_SIZE);
        m->images[0].frame_chunks = 1;
        m->images[0].table_size = table_size(image_n_frames(IMAGE_SIZE, 1), image_n_chunks(IMAGE_SIZE));
        memset(m->images[0].root, 0x5a, sizeof(m->images[0].root));
        m->n_images = 1;
        mini_manifest(m, &json);
        assert_int_equal(digest_sha256(encoder_view(&json), ret_id, &err), 0);
        mini_sign(encoder_view(&json), signer, ret_cms);
        encoder_done(&json);
        m = manifest_free(m);
}

static int setup(void **state) {
        RsError err = RS_ERROR_INIT;

        if (pki_setup(state) < 0 || anchors_load(pki_path("firmware/root.pem"), &root, &err) < 0)
                return -1;
        sign("rootfs", "firmware/signer-1", &good_cms, good_id);
        return 0;
}

static int teardown(void **state) {
        root = anchors_free(root);
        encoder_done(&good_cms);
        return pki_teardown(state);
}

static SlotTrailer trailer_of(const Encoder *cms, const uint8_t id[32]) {
        SlotTrailer t = { .image_size = IMAGE_SIZE, .manifest_cms = cms->data, .manifest_cms_size = cms->size };
        RsError err = RS_ERROR_INIT;
        SlotLayout l;

        assert_int_equal(slot_layout(SLOT_KIND_LUKS2, SLOT_SIZE, IMAGE_SIZE, cms->size, &l, &err), 0);
        t.offset = l.trailer;
        memcpy(t.bundle_id, id, 32);
        return t;
}

static RsReason judge(const SlotTrailer *t, const uint8_t token_id[32]) {
        RsError err = RS_ERROR_INIT;
        Proof p = { 0 };

        if (proof_make(t, SLOT_SIZE, &wanted, token_id, root, &p, &err) < 0) {
                assert_null(p.manifest);
                return err.reason;
        }
        proof_done(&p);
        return RS_REASON_NONE;
}

static void signed_manifest_gives_root_and_place(void **state) {
        SlotTrailer t = trailer_of(&good_cms, good_id);
        RsError err = RS_ERROR_INIT;
        Proof p;

        (void) state;
        assert_int_equal(proof_make(&t, SLOT_SIZE, &wanted, good_id, root, &p, &err), 0);
        assert_int_equal(p.image->root[31], 0x5a);
        assert_int_equal(p.layout.tree, IMAGE_SIZE + RS_BLOCK_SIZE);
        assert_memory_equal(p.bundle_id, good_id, 32);
        proof_done(&p);
}

static void manifest_of_someone_else_is_refused(void **state) {
        Encoder cms = ENCODER_INIT;
        SlotTrailer t;
        uint8_t id[32];

        (void) state;
        /* the ticket key of the source domain is no firmware signer */
        sign("rootfs", "source/ticket", &cms, id);
        t = trailer_of(&cms, id);
        assert_int_equal(judge(&t, id), RS_REASON_CERTIFICATE);
        encoder_done(&cms);
}

static void manifest_with_a_flipped_bit_is_refused(void **state) {
        SlotTrailer t = trailer_of(&good_cms, good_id);

        (void) state;
        t.manifest_cms[t.manifest_cms_size - 10] ^= 1;
        assert_int_equal(judge(&t, good_id), RS_REASON_SIGNATURE);
        t.manifest_cms[t.manifest_cms_size - 10] ^= 1;
        assert_int_equal(judge(&t, good_id), RS_REASON_NONE);
}

static void header_trailer_and_manifest_must_name_one_release(void **state) {
        SlotTrailer t = trailer_of(&good_cms, good_id);
        uint8_t other[32];

        (void) state;
        memcpy(other, good_id, sizeof(other));
        other[0] ^= 1;
        assert_int_equal(judge(&t, other), RS_REASON_SLOT_CONTENT);
        t.bundle_id[31] ^= 1;
        assert_int_equal(judge(&t, good_id), RS_REASON_SLOT_CONTENT);
}

static void release_of_another_line_or_board_is_refused(void **state) {
        static const ProofWanted other[] = { { .line = "gateways", .compatible = "board", .class_name = "rootfs",
                                               .record = &record },
                                             { .line = "gateway", .compatible = "boar", .class_name = "rootfs",
                                               .record = &record } };
        static const RsReason reasons[] = { RS_REASON_LINE, RS_REASON_COMPATIBLE };
        SlotTrailer t = trailer_of(&good_cms, good_id);

        (void) state;
        for (unsigned i = 0; i < ELEMENTSOF(other); i++) {
                RsError err = RS_ERROR_INIT;
                Proof p = { 0 };

                assert_true(proof_make(&t, SLOT_SIZE, &other[i], good_id, root, &p, &err) < 0);
                assert_int_equal(err.reason, reasons[i]);
                assert_null(p.manifest);
        }
}

/*
 * The key was unsealed: whoever reaches the TPM can have sealed it.  The release in the fixture is number 1 of epoch 0; what
 * the TPM remembers decides, in each row.
 */
static void who_sealed_the_key_does_not_matter_the_record_decides(void **state) {
        static const struct {
                uint64_t release;
                uint32_t floor_epoch;
                bool empty, same;
                RsReason reason;
        } rows[] = {
                { 0, 0, true, false, RS_REASON_NONE },         /* nothing was ever accepted */
                { 0, 1, true, false, RS_REASON_ROLLBACK },
                { 1, 0, false, true, RS_REASON_NONE },         /* the accepted one */
                { 1, 0, false, false, RS_REASON_CHAIN_FORK },  /* another one of that number */
                { 2, 0, false, false, RS_REASON_NONE },        /* the fallback */
                { 2, 1, false, false, RS_REASON_ROLLBACK },    /* ... of an epoch that has passed */
                { 1, 1, false, true, RS_REASON_ROLLBACK },
        };
        SlotTrailer t = trailer_of(&good_cms, good_id);

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                record = (TpmRecord){ .empty = rows[i].empty, .release = rows[i].release, .floor_epoch = rows[i].floor_epoch };
                if (rows[i].same)
                        memcpy(record.manifest_digest, good_id, sizeof(good_id));
                assert_int_equal(judge(&t, good_id), rows[i].reason);
        }
        record = (TpmRecord){ .empty = true };
}

static void image_must_be_of_the_manifest_and_of_the_class(void **state) {
        SlotTrailer t = trailer_of(&good_cms, good_id);
        Encoder cms = ENCODER_INIT;
        uint8_t id[32];

        (void) state;
        t.image_number = 1;
        assert_int_equal(judge(&t, good_id), RS_REASON_SLOT_CONTENT);
        sign("kernel", "firmware/signer-1", &cms, id);
        t = trailer_of(&cms, id);
        assert_int_equal(judge(&t, id), RS_REASON_SLOT_CLASS);
        encoder_done(&cms);
}

/* Else a tree at another place, made for other data, would be asked for. */
static void trailer_must_stand_where_the_signed_size_puts_it(void **state) {
        SlotTrailer t = trailer_of(&good_cms, good_id);
        RsError err = RS_ERROR_INIT;
        Proof p;

        (void) state;
        t.offset += RS_BLOCK_SIZE;
        assert_int_equal(judge(&t, good_id), RS_REASON_SLOT_CONTENT);
        t = trailer_of(&good_cms, good_id);
        t.image_size -= RS_BLOCK_SIZE;
        assert_int_equal(judge(&t, good_id), RS_REASON_SLOT_CONTENT);
        t = trailer_of(&good_cms, good_id);
        assert_true(proof_make(&t, SLOT_DATA_OFFSET + IMAGE_SIZE, &wanted, good_id, root, &p, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_SIZE);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(signed_manifest_gives_root_and_place),
                cmocka_unit_test(manifest_of_someone_else_is_refused),
                cmocka_unit_test(manifest_with_a_flipped_bit_is_refused),
                cmocka_unit_test(header_trailer_and_manifest_must_name_one_release),
                cmocka_unit_test(release_of_another_line_or_board_is_refused),
                cmocka_unit_test(who_sealed_the_key_does_not_matter_the_record_decides),
                cmocka_unit_test(image_must_be_of_the_manifest_and_of_the_class),
                cmocka_unit_test(trailer_must_stand_where_the_signed_size_puts_it),
        };

        return cmocka_run_group_tests_name("initramfs-proof", tests, setup, teardown);
}
