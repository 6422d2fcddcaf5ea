/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The gate: one good release, and everything about it that can be wrong, one at a time, each with its reason. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include <reseal/base/cleanup.h>
#include <reseal/crypto/digest.h>
#include <reseal/crypto/ossl-cleanup.h>
#include <reseal/pki/cms.h>
#include <reseal/trust/gate.h>

#include "pki-fixture.h"

/* What a case starts from: a release, who signs it and the device it is offered to. */
typedef struct World {
        Manifest *manifest;
        const char *signer, *chain;
        GateInput input;
        GateSlot slots[3];
        TpmRecord record;
        size_t damage_at;     /* flip a byte of the CMS there, when not 0 */
        const char *raw_json; /* sign this instead of the manifest */
} World;

static TrustAnchors *anchors;
static const uint64_t capacity = 1u << 20;

static int check_size(const void *slot, const ManifestImage *image, size_t manifest_cms_size, RsError *err) {
        assert_true(manifest_cms_size > 500 && manifest_cms_size <= RS_MANIFEST_CMS_MAX);
        if (image->size > *(const uint64_t *) slot)
                return rs_fail(err, SIZE, "%s does not fit", image->class_name);
        return 0;
}

static void set_image(ManifestImage *image, const char *class_name, uint64_t size) {
        (void) snprintf(image->class_name, sizeof(image->class_name), "%s", class_name);
        image->size = size;
        image->n_chunks = image_n_chunks(size);
        image->frame_chunks = 2;
        image->table_size = 32 + 48 * image_n_frames(size, 2) + 32 * image->n_chunks;
}

static void world_init(World *w) {
        Manifest *m = manifest_new();

        memset(w, 0, sizeof(*w));
        (void) strcpy(m->line, "gateway");
        (void) strcpy(m->compatible[0], "board-a");
        (void) strcpy(m->compatible[1], "board-b");
        m->n_compatible = 2;
        m->release = 7;
        m->epoch = 2;
        (void) strcpy(m->version, "7.0");
        m->created = 1700000000;
        m->confidential = true;
        set_image(&m->images[0], "rootfs", capacity);
        set_image(&m->images[1], "boot", 8192);
        m->n_images = 2;

        w->manifest = m;
        w->signer = "firmware/signer";
        w->chain = "firmware/chain.pem";
        w->slots[0] = (GateSlot){ "boot", &capacity };
        w->slots[1] = (GateSlot){ "rootfs", &capacity };
        w->slots[2] = (GateSlot){ "extra", &capacity };
        w->record.empty = true;
        w->input = (GateInput){
                .firmware_root = anchors,
                .time = { .low = (uint64_t) time(NULL), .high = (uint64_t) time(NULL), .proven = true },
                .line = "gateway",
                .compatible = "board-b",
                .slots = w->slots,
                .n_slots = 2,
                .check_size = check_size,
                .require_encryption = true,
                .record = &w->record,
        };
}

static void sign(const World *w, Encoder *ret) {
        _cleanup_(sk_X509_freep) STACK_OF(X509) *certs = NULL, *extra = NULL;
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
        _cleanup_(encoder_done) Encoder json = ENCODER_INIT;
        RsError err = RS_ERROR_INIT;
        char file[64];

        (void) snprintf(file, sizeof(file), "%s.pem", w->signer);
        assert_int_equal(certs_load(pki_path(file), &certs, &err), 0);
        (void) snprintf(file, sizeof(file), "%s.key", w->signer);
        assert_int_equal(key_load(pki_path(file), &key, &err), 0);
        assert_int_equal(certs_load(pki_path(w->chain), &extra, &err), 0);
        if (w->raw_json)
                encoder_bytes(&json, w->raw_json, strlen(w->raw_json));
        else
                assert_int_equal(manifest_encode(w->manifest, &json, &err), 0);
        assert_int_equal(cms_sign(encoder_view(&json), sk_X509_value(certs, 0), key, extra, ret, &err), 0);
}

static int offer(World *w, AcceptedRelease **ret, RsError *err) {
        _cleanup_(encoder_done) Encoder der = ENCODER_INIT;

        sign(w, &der);
        if (w->damage_at > 0)
                der.data[der.size - w->damage_at] ^= 1;
        w->input.manifest_cms = encoder_view(&der);
        return accept_release(&w->input, ret, err);
}

static void line_tag(const char *line, uint8_t ret[16]) {
        RsError err = RS_ERROR_INIT;
        uint8_t digest[32];

        assert_int_equal(digest_sha256(SPAN(line, strlen(line)), digest, &err), 0);
        memcpy(ret, digest, 16);
}

/* A record of release 7, epoch 2, of this line, with some other manifest. */
static void accepted_before(World *w) {
        w->record.empty = false;
        line_tag("gateway", w->record.line_tag);
        w->record.release = 7;
        w->record.epoch = 2;
        w->record.floor_epoch = 2;
        memset(w->record.manifest_digest, 0xaa, 32);
}

/* -- one change each -------------------------------------------------------------------------------------------- */

static void nothing(World *w) { (void) w; }
static void signature_flipped(World *w) { w->damage_at = 5; }
static void signer_expired(World *w) { w->signer = "bad/signer-expired"; }
static void signer_purpose(World *w) { w->signer = "bad/signer-purpose"; }
static void signer_weak(World *w) { w->signer = "bad/signer-rsa1024"; }
static void signer_other(World *w) { w->signer = "bad/signer-other"; w->chain = "bad/signer-other-chain.pem"; }
static void signer_critical(World *w) { w->signer = "bad/signer-critical"; }
static void signer_of_tickets(World *w) { w->signer = "source/ticket"; }
static void not_json(World *w) { w->raw_json = "manifest"; }
static void other_format(World *w) { w->raw_json = "{\"format\":2}"; }
static void other_line(World *w) { w->input.line = "gateway2"; }
static void record_of_other_line(World *w) { accepted_before(w); line_tag("gatewa", w->record.line_tag); }
static void other_board(World *w) { w->input.compatible = "board-c"; }
static void board_prefix(World *w) { w->input.compatible = "board"; }
static void unknown_class(World *w) { (void) strcpy(w->manifest->images[1].class_name, "modem"); }
static void class_without_image(World *w) { w->input.n_slots = 3; }
static void fits_exactly(World *w) { set_image(&w->manifest->images[0], "rootfs", capacity); }
static void one_block_too_large(World *w) { set_image(&w->manifest->images[0], "rootfs", capacity + 4096); }
static void in_clear(World *w) { w->manifest->confidential = false; }
static void in_clear_permitted(World *w) { w->manifest->confidential = false; w->input.require_encryption = false; }
static void older(World *w) { accepted_before(w); w->manifest->release = 6; w->manifest->epoch = 3; }
static void same_but_other_manifest(World *w) { accepted_before(w); }
static void newer(World *w) { accepted_before(w); w->manifest->release = 8; }
static void newer_epoch_below(World *w) { accepted_before(w); w->manifest->release = 8; w->manifest->epoch = 1; }
static void newer_epoch_above(World *w) { accepted_before(w); w->manifest->release = 8; w->manifest->epoch = 3; }
static void epoch_below_floor(World *w) { newer(w); w->record.epoch = 2; w->record.floor_epoch = 3; }
static void epoch_below_the_factorys_floor(World *w) { w->record.floor_epoch = w->manifest->epoch + 1; }
static void epoch_at_the_factorys_floor(World *w) { w->record.floor_epoch = w->manifest->epoch; }
static void no_record(World *w) { w->input.record = NULL; }
static void clock_unknown(World *w) {
        w->signer = "bad/signer-expired"; w->input.time = (TimeInterval){ .high = UINT64_MAX };
}

static void each_release_gets_its_verdict(void **state) {
        static const struct {
                const char *name;
                void (*change)(World *);
                RsReason reason;
        } cases[] = {
#define CASE(change, reason) { #change, change, RS_REASON_##reason }
                CASE(nothing, NONE),
                CASE(signature_flipped, SIGNATURE),
                CASE(signer_expired, EXPIRED),
                CASE(signer_purpose, PURPOSE),
                CASE(signer_weak, ALGORITHM),
                CASE(signer_other, CERTIFICATE),
                CASE(signer_critical, CERTIFICATE),
                CASE(signer_of_tickets, CERTIFICATE),
                CASE(not_json, MANIFEST),
                CASE(other_format, MANIFEST),
                CASE(other_line, LINE),
                CASE(record_of_other_line, LINE),
                CASE(other_board, COMPATIBLE),
                CASE(board_prefix, COMPATIBLE),
                CASE(unknown_class, SLOT_CLASS),
                CASE(class_without_image, SLOT_CLASS),
                CASE(fits_exactly, NONE),
                CASE(one_block_too_large, SIZE),
                CASE(in_clear, POLICY),
                CASE(in_clear_permitted, NONE),
                CASE(older, ROLLBACK),
                CASE(same_but_other_manifest, ROLLBACK),
                CASE(newer, NONE),
                CASE(newer_epoch_below, ROLLBACK),
                CASE(newer_epoch_above, NONE),
                CASE(epoch_below_floor, ROLLBACK),
                CASE(epoch_below_the_factorys_floor, ROLLBACK),
                CASE(epoch_at_the_factorys_floor, NONE),
                CASE(no_record, TPM_STATE),
                CASE(clock_unknown, NONE),
#undef CASE
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(accepted_release_freep) AcceptedRelease *a = NULL;
                RsError err = RS_ERROR_INIT;
                World w;
                int r;

                world_init(&w);
                cases[i].change(&w);
                r = offer(&w, &a, &err);
                w.manifest = manifest_free(w.manifest);
                if (err.reason != cases[i].reason)
                        fail_msg("%s: %s (%s) instead of %s", cases[i].name, rs_reason_name(err.reason), err.text,
                                 rs_reason_name(cases[i].reason));
                assert_int_equal(r, cases[i].reason == RS_REASON_NONE ? 0 : -rs_reason_errno(cases[i].reason));
                assert_true((r == 0) == (a != NULL));
        }
}

static void accepted_release_is_what_was_signed_and_outlives_the_offer(void **state) {
        _cleanup_(accepted_release_freep) AcceptedRelease *a = NULL, *again = NULL;
        _cleanup_(freep) uint8_t *content = NULL;
        RsError err = RS_ERROR_INIT;
        uint8_t digest[32], tag[16];
        TpmRecord next;
        size_t size;
        World w;

        (void) state;
        world_init(&w);
        w.record.floor_epoch = 1;
        w.record.time_floor = 4711;
        assert_int_equal(offer(&w, &a, &err), 0); /* the encoder that held the CMS is gone now */
        assert_string_equal(accepted_manifest(a)->version, "7.0");
        assert_int_equal(cms_peek(accepted_cms(a), RS_MANIFEST_JSON_MAX, &content, &size, &err), 0);
        assert_int_equal(digest_sha256(SPAN(content, size), digest, &err), 0);
        assert_memory_equal(accepted_bundle_id(a), digest, 32);
        assert_string_equal(accepted_signer(a)->subject, "CN=Firmware Signer 1");

        line_tag("gateway", tag);
        accepted_record(a, &w.record, &next);
        assert_false(next.empty);
        assert_string_equal(next.line, "gateway");
        assert_memory_equal(next.line_tag, tag, 16);
        assert_true(next.release == 7 && next.epoch == 2 && next.floor_epoch == 1 && next.time_floor == 4711);
        assert_memory_equal(next.manifest_digest, digest, 32);
        assert_memory_equal(next.signer_spki, accepted_signer(a)->spki_sha256, 32);

        /* The same release again is no rollback: a resumed installation passes the gate a second time. */
        w.record = next;
        w.input.manifest_cms = accepted_cms(a);
        assert_int_equal(accept_release(&w.input, &again, &err), 0);
        w.manifest = manifest_free(w.manifest);
}

static void manifests_of_forbidden_size_are_not_parsed(void **state) {
        static uint8_t large[RS_MANIFEST_CMS_MAX + 1];
        static const size_t sizes[] = { 0, RS_MANIFEST_CMS_MAX + 1 };
        AcceptedRelease *a = NULL;
        RsError err;
        World w;

        (void) state;
        world_init(&w);
        for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
                err = RS_ERROR_INIT;
                w.input.manifest_cms = SPAN(large, sizes[i]);
                assert_true(accept_release(&w.input, &a, &err) < 0);
                assert_int_equal(err.reason, RS_REASON_FORMAT);
        }
        err = RS_ERROR_INIT;
        w.input.manifest_cms = SPAN(large, RS_MANIFEST_CMS_MAX);
        assert_true(accept_release(&w.input, &a, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_SIGNATURE);
        assert_null(a);
        w.manifest = manifest_free(w.manifest);
}

static int setup(void **state) {
        RsError err = RS_ERROR_INIT;

        if (pki_setup(state) < 0)
                return -1;
        return anchors_load(pki_path("firmware/root.pem"), &anchors, &err);
}

static int teardown(void **state) {
        anchors = anchors_free(anchors);
        return pki_teardown(state);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(each_release_gets_its_verdict),
                cmocka_unit_test(accepted_release_is_what_was_signed_and_outlives_the_offer),
                cmocka_unit_test(manifests_of_forbidden_size_are_not_parsed),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
