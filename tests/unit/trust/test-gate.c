/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The gate: one good release, and everything about it that can be wrong, one at a time, each with its reason.
 *
 * The line has a history of six releases; a case adds the seventh.  Those signers who are no part of it stand under a
 * root of their own, which the gate trusts, too: what refuses them is not that they are unknown.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/crypto/digest.h>
#include <reseal/crypto/ossl-cleanup.h>
#include <reseal/pki/cms.h>
#include <reseal/trust/gate.h>

#include <openssl/pem.h>

#include "chain.h"
#include "mini-ca.h"
#include "pki-fixture.h"

#define HISTORY 6u

/* What a case starts from: a release, who signs it and the device it is offered to. */
typedef struct World {
        Manifest *manifest;
        const char *signer, *chain; /* NULL: the release's own in the line's history */
        bool other_epoch;           /* its certificate names the epoch above its manifest's */
        uint64_t links_from;        /* the first link that goes with it; 0: none */
        bool lost;                  /* a bridge leads to it */
        bool reused;                /* the signer of the one before signs it */
        bool again;                 /* by the signer it has in the line already */
        CrlSet *crls;
        GateInput input;
        GateSlot slots[3];
        TpmRecord record;
        size_t damage_at;     /* flip a byte of the CMS there, when not 0 */
        const char *raw_json; /* sign this instead of the manifest */
} World;

static TrustAnchors *anchors;
static ChainFixture *history;
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
        w->chain = "firmware/chain.pem";
        w->links_from = 1;
        chain_fixture_cut(history, HISTORY);
        w->slots[0] = (GateSlot){ "boot", &capacity };
        w->slots[1] = (GateSlot){ "rootfs", &capacity };
        w->slots[2] = (GateSlot){ "extra", &capacity };
        w->record.empty = true;
        w->input = (GateInput){
                .firmware_root = anchors,
                .time = { .low = (uint64_t) time(NULL), .high = (uint64_t) time(NULL) + 3600, .proven = true },
                .recovery = (const uint8_t (*)[32]) history->recovery_spki,
                .n_recovery = 3,
                .line = "gateway",
                .compatible = "board-b",
                .slots = w->slots,
                .n_slots = 2,
                .check_size = check_size,
                .require_encryption = true,
                .record = &w->record,
        };
}

/* The key that signed the release before, properly certified, signs this one as well (F5). */
static void use_again(ChainRelease *r, const ChainRelease *before) {
        FirmwarePlace place = chain_place(history, r->record.index, r->record.epoch, before->signer.spki_sha256);
        _cleanup_(encoder_done) Encoder draft = ENCODER_INIT;
        LinkPlan plan = { .kind = LINK_NEXT, .authority = history->authority_cert, .endorser = CHAIN_SPKI(&before->signer) };
        RsError err = RS_ERROR_INIT;

        EVP_PKEY_free(r->signer.key);
        X509_free(r->cert);
        r->signer = before->signer;
        assert_int_equal(EVP_PKEY_up_ref(r->signer.key), 1);
        plan.signer = r->cert = chain_certificate(history, &r->signer, &place, 10);
        memcpy(plan.manifest_digest, r->record.manifest_digest, 32);
        memcpy(plan.log_head_before, before->record.log_head, 32);
        memcpy(plan.chain_name, history->name_written, sizeof(plan.chain_name));
        assert_int_equal(link_make_draft(&plan, &draft, &err), 0);
        encoder_done(&r->link);
        r->link = ENCODER_INIT;
        chain_sign(encoder_view(&draft), &before->signer, &history->authority, &r->signer, &r->link);
}

/* The release becomes the next of the line, whatever number it gives itself. */
static void sign_in_line(const World *w, Span json, Encoder *ret) {
        _cleanup_(sk_X509_freep) STACK_OF(X509) *extra = sk_X509_new_null();
        RsError err = RS_ERROR_INIT;
        uint8_t digest[32];
        ChainRelease *r;

        assert_int_equal(digest_sha256(json, digest, &err), 0);
        if (w->manifest->release <= history->n_releases && !w->again)
                chain_fixture_cut(history, (uint32_t) w->manifest->release - 1);
        r = w->again ? chain_fixture_release(history, w->manifest->release)
                     : chain_fixture_add(history, w->manifest->epoch + w->other_epoch, digest, w->lost);
        if (w->reused)
                use_again(r, chain_fixture_release(history, HISTORY + 1));
        assert_true(X509_up_ref(history->authority_cert) == 1 && sk_X509_push(extra, history->authority_cert) > 0);
        assert_int_equal(cms_sign(json, r->cert, r->signer.key, extra, ret, &err), 0);
}

static void sign(const World *w, Encoder *ret) {
        _cleanup_(sk_X509_freep) STACK_OF(X509) *certs = NULL, *extra = NULL;
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
        _cleanup_(encoder_done) Encoder json = ENCODER_INIT;
        RsError err = RS_ERROR_INIT;
        char file[64];

        if (w->raw_json)
                encoder_bytes(&json, w->raw_json, strlen(w->raw_json));
        else
                assert_int_equal(manifest_encode(w->manifest, &json, &err), 0);
        if (!w->signer) {
                sign_in_line(w, encoder_view(&json), ret);
                return;
        }
        (void) snprintf(file, sizeof(file), "%s.pem", w->signer);
        assert_int_equal(certs_load(pki_path(file), &certs, &err), 0);
        (void) snprintf(file, sizeof(file), "%s.key", w->signer);
        assert_int_equal(key_load(pki_path(file), &key, &err), 0);
        assert_int_equal(certs_load(pki_path(w->chain), &extra, &err), 0);
        assert_int_equal(cms_sign(encoder_view(&json), sk_X509_value(certs, 0), key, extra, ret, &err), 0);
}

/* Signs it and collects what goes with it. */
static void publish(const World *w, Encoder *der, Encoder *links) {
        sign(w, der);
        if (w->damage_at > 0)
                der->data[der->size - w->damage_at] ^= 1;
        if (w->links_from > 0 && w->links_from <= history->n_releases)
                chain_set(history, w->links_from, history->n_releases, links);
}

static int offer(World *w, AcceptedRelease **ret, RsError *err) {
        _cleanup_(encoder_done) Encoder der = ENCODER_INIT, links = ENCODER_INIT;
        int r;

        publish(w, &der, &links);
        w->input.manifest_cms = encoder_view(&der);
        w->input.links = encoder_view(&links);
        r = accept_release(&w->input, ret, err);
        w->crls = crl_set_free(w->crls);
        return r;
}

static void line_tag(const char *line, uint8_t ret[16]) {
        RsError err = RS_ERROR_INIT;
        uint8_t digest[32];

        assert_int_equal(digest_sha256(SPAN(line, strlen(line)), digest, &err), 0);
        memcpy(ret, digest, 16);
}

/* The device has accepted release 7, epoch 2: as this very gate let it in, under another manifest. */
static void accepted_before(World *w) {
        _cleanup_(accepted_release_freep) AcceptedRelease *a = NULL;
        RsError err = RS_ERROR_INIT;
        TpmRecord now = w->record;

        w->manifest->created++;
        if (offer(w, &a, &err) < 0)
                fail_msg("%s", err.text);
        w->manifest->created--;
        accepted_record(a, &now, &w->record);
        w->record.floor_epoch = 2;
}

/* -- one change each -------------------------------------------------------------------------------------------- */

static void nothing(World *w) { (void) w; }
static void tail_of_links(World *w) { w->links_from = HISTORY; }
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
static void older(World *w) { accepted_before(w); w->manifest->release = 6; w->manifest->epoch = 2; }
static void older_without_links(World *w) { older(w); w->links_from = 0; }
static void same_but_other_manifest(World *w) { accepted_before(w); }
static void newer(World *w) { accepted_before(w); w->manifest->release = 8; w->links_from = 8; }
static void newer_with_the_whole_history(World *w) { newer(w); w->links_from = 1; }
static void newer_without_its_link(World *w) { newer(w); w->links_from = 0; }
static void link_missing(World *w) {
        newer(w); w->manifest->release = 9; w->links_from = 9; (void) chain_fixture_add(history, 2, NULL, false);
}
static void newer_epoch_below_floor(World *w) { newer(w); w->manifest->epoch = 1; }
static void newer_epoch_below(World *w) { newer(w); w->manifest->epoch = 1; w->record.floor_epoch = 0; }
static void newer_epoch_above(World *w) { newer(w); w->manifest->epoch = 3; }
static void newer_epoch_far_above(World *w) { newer(w); w->manifest->epoch = 4; }
static void newer_by_a_bridge(World *w) { newer(w); w->lost = true; }
static void bridge_without_recovery_keys(World *w) { newer_by_a_bridge(w); w->input.n_recovery = 0; }
static void epoch_below_floor(World *w) { newer(w); w->record.epoch = 2; w->record.floor_epoch = 3; }
static void epoch_below_the_factorys_floor(World *w) { w->record.floor_epoch = w->manifest->epoch + 1; }
static void epoch_at_the_factorys_floor(World *w) { w->record.floor_epoch = w->manifest->epoch; }
static void no_record(World *w) { w->input.record = NULL; }
static void fork_of_what_was_accepted(World *w) {
        accepted_before(w);
        chain_fixture_cut(history, HISTORY);
        (void) chain_fixture_add(history, 2, NULL, false); /* another seventh */
        w->manifest->release = 8;
        w->links_from = 7;
}
static void signer_of_another_place(World *w) { newer(w); w->manifest->release = 9; }
static void epoch_is_not_the_certificates(World *w) { newer(w); w->other_epoch = true; }
static void signer_without_a_place(World *w) { w->signer = "firmware/signer"; }
static void signer_reused(World *w) { newer(w); w->reused = true; }
static void list_naming(World *w, uint64_t number, const uint64_t *releases, uint32_t n) {
        _cleanup_(encoder_done) Encoder der = ENCODER_INIT;
        STACK_OF(X509) *issuers = sk_X509_new_null();
        RsError err = RS_ERROR_INIT;
        CrlInfo info;
        bool changed;

        assert_true(issuers && sk_X509_push(issuers, history->authority_cert) > 0);
        chain_crl(history, number, releases, n, &der);
        assert_int_equal(crl_set_new(&w->crls, &err), 0);
        if (crl_set_add(w->crls, encoder_view(&der), history->anchors, issuers, &changed, &info, &err) < 0)
                fail_msg("%s", err.text);
        sk_X509_free(issuers);
        w->input.crls = w->crls;
}
static void endorser_revoked(World *w) { newer(w); w->links_from = 7; list_naming(w, 2, (const uint64_t[]){ 7 }, 1); }
/* The TPM knows the key's hash, not its certificate; what holds then is that the authority has to approve, too. */
static void endorser_revoked_and_its_link_left_out(World *w) {
        newer(w); list_naming(w, 2, (const uint64_t[]){ 7 }, 1);
}
static void endorser_revoked_bridge(World *w) { newer_by_a_bridge(w); list_naming(w, 2, (const uint64_t[]){ 7 }, 1); }
/* Of a release that was accepted, and is offered once more (F19). */
static void signer_revoked(World *w) {
        accepted_before(w);
        w->record = (TpmRecord){ .empty = true };
        w->again = true;
        list_naming(w, 2, (const uint64_t[]){ 7 }, 1);
}
static void signer_of_the_past_revoked(World *w) { newer(w); list_naming(w, 2, (const uint64_t[]){ 3 }, 1); }
static void time_required_and_proven(World *w) { w->input.require_time = true; }
static void time_required(World *w) { w->input.require_time = true; w->input.time.proven = false; }
static void list_required(World *w) { w->input.require_crl = true; }
/* Of the line's authority (0), its root (1), a CA that has nothing to do with it (2). */
static void add_list(World *w, unsigned of, uint64_t this_update) {
        const CaKey issuers[] = { { history->authority.key, history->authority_cert }, { history->root_key, history->root } };
        STACK_OF(X509) *certs = sk_X509_new_null();
        _cleanup_(encoder_done) Encoder der = ENCODER_INIT;
        _cleanup_(freep) uint8_t *other = NULL;
        RsError err = RS_ERROR_INIT;
        size_t size = 0;
        CrlInfo info;
        bool changed;

        if (!w->crls)
                assert_int_equal(crl_set_new(&w->crls, &err), 0);
        assert_true(certs && sk_X509_push(certs, history->authority_cert) > 0);
        if (of < 2)
                ca_list(&issuers[of], 1, this_update, NULL, &der);
        else {
                assert_int_equal(file_read(AT_FDCWD, pki_path("firmware/root.crl"), CRL_SIZE_MAX, &other, &size, &err), 1);
                encoder_bytes(&der, other, size);
        }
        if (crl_set_add(w->crls, encoder_view(&der), of < 2 ? history->anchors : anchors, certs, &changed, &info, &err) < 0)
                fail_msg("%s", err.text);
        sk_X509_free(certs);
        w->input.crls = w->crls;
        w->input.require_crl = true;
}
static void list_required_and_there(World *w) { add_list(w, 0, w->input.time.low); add_list(w, 1, w->input.time.low); }
/* None but those of the signer's own path say anything about it. */
static void list_of_another_ca(World *w) { add_list(w, 2, 0); }
static void list_of_the_authority_alone(World *w) { add_list(w, 0, w->input.time.low); add_list(w, 2, 0); }
static void list_of_the_root_alone(World *w) { add_list(w, 1, w->input.time.low); add_list(w, 2, 0); }
/* They end after thirty days. */
static void list_of_the_past(World *w) {
        add_list(w, 0, w->input.time.low - 30 * UINT64_C(86400) - 3601);
        add_list(w, 1, w->input.time.low);
        w->input.crl_grace = 3600;
}
static void list_within_its_grace(World *w) { list_of_the_past(w); w->input.crl_grace = 3601; }
static void newer_is_known(World *w) {
        w->input.freshness = (FreshnessView){ .known = true, .latest = w->manifest->release + 1 };
}
static void newer_is_known_and_permitted(World *w) {
        newer_is_known(w); w->input.freshness_policy.allow_intermediate = true;
}
static void latest_required(World *w) { w->input.freshness_policy.require = true; }
static void latest_required_and_proven(World *w) {
        latest_required(w);
        w->input.freshness = (FreshnessView){ .known = true, .fresh = true, .latest = w->manifest->release };
}
static void clock_unknown(World *w) { w->input.time = (TimeInterval){ .low = 1000, .high = UINT64_MAX }; }
static void clock_behind(World *w) { w->input.time = (TimeInterval){ .low = 1000, .high = 2000 }; }
static void clock_ahead(World *w) { w->input.time.low = w->input.time.high = (uint64_t) time(NULL) + 4000ull * 86400; }

static void each_release_gets_its_verdict(void **state) {
        static const struct {
                const char *name;
                void (*change)(World *);
                RsReason reason;
        } cases[] = {
#define CASE(change, reason) { #change, change, RS_REASON_##reason }
                CASE(nothing, NONE),
                CASE(tail_of_links, NONE),
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
                CASE(older_without_links, ROLLBACK),
                CASE(same_but_other_manifest, CHAIN_FORK),
                CASE(newer, NONE),
                CASE(newer_with_the_whole_history, NONE),
                CASE(newer_without_its_link, CHAIN_GAP),
                CASE(link_missing, CHAIN_GAP),
                CASE(newer_epoch_below_floor, ROLLBACK),
                CASE(newer_epoch_below, CHAIN),
                CASE(newer_epoch_above, NONE),
                CASE(newer_epoch_far_above, CHAIN),
                CASE(newer_by_a_bridge, NONE),
                CASE(bridge_without_recovery_keys, CHAIN),
                CASE(fork_of_what_was_accepted, CHAIN_FORK),
                CASE(signer_of_another_place, CHAIN_GAP),
                CASE(epoch_is_not_the_certificates, CHAIN),
                CASE(signer_without_a_place, CERTIFICATE),
                CASE(signer_reused, CHAIN_REUSE),
                CASE(endorser_revoked, REVOKED),
                CASE(endorser_revoked_and_its_link_left_out, NONE),
                CASE(endorser_revoked_bridge, NONE),
                CASE(signer_revoked, REVOKED),
                CASE(signer_of_the_past_revoked, NONE),
                CASE(time_required, TIME_UNKNOWN),
                CASE(time_required_and_proven, NONE),
                CASE(list_required, CRL_STALE),
                CASE(list_required_and_there, NONE),
                CASE(list_of_another_ca, CRL_STALE),
                CASE(list_of_the_authority_alone, CRL_STALE),
                CASE(list_of_the_root_alone, CRL_STALE),
                CASE(list_of_the_past, CRL_STALE),
                CASE(list_within_its_grace, NONE),
                CASE(newer_is_known, FREEZE),
                CASE(newer_is_known_and_permitted, NONE),
                CASE(latest_required, FREEZE),
                CASE(latest_required_and_proven, NONE),
                CASE(epoch_below_floor, ROLLBACK),
                CASE(epoch_below_the_factorys_floor, ROLLBACK),
                CASE(epoch_at_the_factorys_floor, NONE),
                CASE(no_record, TPM_STATE),
                CASE(clock_unknown, NONE),
                CASE(clock_behind, EXPIRED),
                CASE(clock_ahead, EXPIRED),
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
        assert_memory_equal(accepted_signer(a)->spki_sha256, chain_fixture_release(history, 7)->signer.spki_sha256, 32);

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
        w.input.links = SPAN_NULL;
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

        FILE *f;

        if (pki_setup(state) < 0)
                return -1;
        history = chain_fixture_new("gateway");
        chain_fixture_extend(history, HISTORY - 1, 1);
        chain_fixture_extend(history, HISTORY, 2);
        f = fopen(pki_path("firmware/root.pem"), "ae");
        if (!f || PEM_write_X509(f, history->root) != 1 || fclose(f) != 0)
                return -1;
        return anchors_load(pki_path("firmware/root.pem"), &anchors, &err);
}

static int teardown(void **state) {
        anchors = anchors_free(anchors);
        history = chain_fixture_free(history);
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
