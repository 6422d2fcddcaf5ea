/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * attack-offer - releases that must not be accepted, and bytes that are not those of the accepted release.
 *
 * A crafted release is signed in a branch of the line: the attacker has the keys that the attack's name says, the line
 * goes on as if nothing had been.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <reseal/base/cleanup.h>
#include <reseal/crypto/ossl-cleanup.h>
#include <reseal/pki/cms.h>

#include "matrix.h"

void craft(const World *w, TestRelease *r, uint64_t index) {
        memset(r, 0, sizeof(*r));
        r->manifest = manifest_new();
        *r->manifest = *w->good.manifest;
        r->manifest->release = index;
        r->manifest->epoch = index > w->mode->accepted ? w->mode->epoch + w->mode->rises : w->mode->epoch;
        r->manifest->created = 4711;
}

void craft_sign(World *w, TestRelease *r, uint64_t shared, const char *signer) {
        assert_null(w->branch);
        w->shared = (uint32_t) shared;
        w->branch = chain_fixture_branch(test_history(), w->shared);
        chain_fixture_extend(w->branch, (uint32_t) r->manifest->release - 1, w->mode->epoch);
        test_history_branch(w->branch);
        test_release_sign(r, signer);
        test_history_branch(NULL);
}

static int offer(World *w, TestRelease *r, RsError *err) {
        WriterOffer unused;
        int k = test_engine_offer(&w->e, r, &unused, err);

        test_release_done(r);
        return k;
}

static void take_links(TestRelease *r, const Span *links, uint32_t n) {
        encoder_done(&r->links);
        chain_set_of(links, n, &r->links);
}

static Span link_of(const ChainFixture *f, uint64_t index) {
        return encoder_view(&chain_fixture_release(f, index)->link);
}

/* The crafted release by the links of the line, its own changed. */
static void take_last_link(const World *w, TestRelease *r, Span last) {
        Span links[16];
        uint32_t n = 0;

        for (uint64_t k = w->mode->accepted ? w->mode->accepted : w->next; k < w->next; k++)
                links[n++] = link_of(w->branch, k);
        links[n++] = last;
        take_links(r, links, n);
}

/* -- who signs, and what for ------------------------------------------------------------------------------------ */

static void other_line(Manifest *m) { m->line[0] = 'x'; }
static void other_board(Manifest *m) { m->compatible[0][0] = 'x'; }
static void other_class(Manifest *m) { (void) strcpy(m->images[1].class_name, "dsp"); }
static void in_clear(Manifest *m) { m->confidential = false; }
static void two_epochs_on(Manifest *m) { m->epoch += 2; }
static void epoch_zero(Manifest *m) { m->epoch = 0; }
static void too_large(Manifest *m) {
        ManifestImage *image = &m->images[0];

        image->size = (uint64_t) 1 << 30;
        image->n_chunks = image_n_chunks(image->size);
        image->table_size = 32 + 48 * image_n_frames(image->size, image->frame_chunks) + 32 * image->n_chunks;
}

static int crafted(World *w, const Attack *a, RsError *err) {
        TestRelease r;

        craft(w, &r, w->next);
        if (a->change)
                a->change(r.manifest);
        craft_sign(w, &r, w->next - 1, a->signer);
        return offer(w, &r, err);
}

static int changed_on_its_way(World *w, const Attack *a, RsError *err) {
        TestRelease r;

        (void) a;
        craft(w, &r, w->next);
        craft_sign(w, &r, w->next - 1, NULL);
        r.cms.data[r.cms.size - 5] ^= 1;
        return offer(w, &r, err);
}

/* Signed by the release's own key, as all is; only that it is no manifest. */
static int no_manifest(World *w, const Attack *a, RsError *err) {
        _cleanup_(sk_X509_freep) STACK_OF(X509) *extra = sk_X509_new_null();
        ChainRelease *own;
        TestRelease r;

        (void) a;
        craft(w, &r, w->next);
        craft_sign(w, &r, w->next - 1, NULL);
        own = chain_fixture_release(w->branch, w->next);
        encoder_done(&r.cms);
        assert_true(X509_up_ref(w->branch->authority_cert) == 1 && sk_X509_push(extra, w->branch->authority_cert) > 0);
        assert_int_equal(cms_sign(SPAN("{}", 2), own->cert, own->signer.key, extra, &r.cms, err), 0);
        return offer(w, &r, err);
}

/* -- the chain -------------------------------------------------------------------------------------------------- */

static int history_held_back(World *w, const Attack *a, RsError *err) {
        TestRelease r;

        (void) a;
        craft(w, &r, w->next);
        craft_sign(w, &r, w->next - 1, NULL);
        encoder_done(&r.links);
        return offer(w, &r, err);
}

static int link_missing(World *w, const Attack *a, RsError *err) {
        Span links[16];
        uint32_t n = 0;
        TestRelease r;

        (void) a;
        craft(w, &r, w->next);
        craft_sign(w, &r, w->next - 1, NULL);
        for (uint64_t k = 1; k <= w->next; k++)
                if (k != w->next - 1)
                        links[n++] = link_of(w->branch, k);
        take_links(&r, links, n);
        return offer(w, &r, err);
}

static int replaced(World *w, const Attack *a, RsError *err) {
        TestRelease r;

        (void) a;
        craft(w, &r, w->mode->accepted);
        craft_sign(w, &r, w->mode->accepted - 1, NULL);
        return offer(w, &r, err);
}

/* As it was published, with all that belongs to it. */
static int rollback(World *w, const Attack *a, RsError *err) {
        WriterOffer unused;

        (void) a;
        return test_engine_offer(&w->e, &w->older, &unused, err);
}

static int rollback_made_anew(World *w, const Attack *a, RsError *err) {
        TestRelease r;

        (void) a;
        craft(w, &r, w->mode->accepted - 1);
        craft_sign(w, &r, w->mode->accepted - 2, NULL);
        encoder_done(&r.links);
        return offer(w, &r, err);
}

/* Another history behind the release before the accepted one; the accepted one's link in it shows or is left out. */
static int fork_of_the_accepted(World *w, const Attack *a, RsError *err) {
        TestRelease r;

        (void) a;
        craft(w, &r, w->next);
        craft_sign(w, &r, w->mode->accepted - 1, NULL);
        return offer(w, &r, err);
}

static int fork_that_hides(World *w, const Attack *a, RsError *err) {
        Span links[16];
        uint32_t n = 0;
        TestRelease r;

        (void) a;
        craft(w, &r, w->next);
        craft_sign(w, &r, w->mode->accepted - 1, NULL);
        for (uint64_t k = w->mode->accepted + 1; k <= w->next; k++)
                links[n++] = link_of(w->branch, k);
        take_links(&r, links, n);
        return offer(w, &r, err);
}

/* Both histories at once: who mixes them hopes that one is taken for the other. */
static int both_histories(World *w, const Attack *a, RsError *err) {
        TestRelease r;

        (void) a;
        craft(w, &r, w->next);
        craft_sign(w, &r, w->next - 1, NULL);
        take_links(&r, (const Span[]){ link_of(w->branch, w->next), encoder_view(&chain_fixture_release(test_history(),
                   w->next)->link) }, 2);
        return offer(w, &r, err);
}

static int fast_forward(World *w, const Attack *a, RsError *err) {
        TestRelease r;

        (void) a;
        craft(w, &r, w->next + 8);
        craft_sign(w, &r, w->next - 1, NULL);
        take_links(&r, (const Span[]){ link_of(w->branch, w->next + 8) }, 1);
        return offer(w, &r, err);
}

/* -- keys that do what they may not ----------------------------------------------------------------------------- */

static void remake(const World *w, ChainRelease *r, const ChainKey *signer, LinkPlan *plan, const ChainKey *endorser,
                   const ChainKey *approver, Encoder *ret) {
        const ChainRelease *before = chain_fixture_release(w->branch, r->record.index - 1);
        _cleanup_(encoder_done) Encoder draft = ENCODER_INIT;
        RsError err = RS_ERROR_INIT;

        plan->signer = r->cert;
        plan->authority = w->branch->authority_cert;
        memcpy(plan->manifest_digest, r->record.manifest_digest, 32);
        memcpy(plan->log_head_before, before->record.log_head, 32);
        memcpy(plan->chain_name, w->branch->name_written, sizeof(plan->chain_name));
        plan->endorser = CHAIN_SPKI(endorser);
        if (plan->kind == LINK_BRIDGE)
                plan->endorser2 = CHAIN_SPKI(approver);
        if (link_make_draft(plan, &draft, &err) < 0)
                fail_msg("%s", err.text);
        chain_sign(encoder_view(&draft), endorser, approver, signer, ret);
}

/* The accepted release's signer signs the next one, too, properly certified and endorsed by itself. */
static int signer_reused(World *w, const Attack *a, RsError *err) {
        _cleanup_(sk_X509_freep) STACK_OF(X509) *extra = sk_X509_new_null();
        _cleanup_(encoder_done) Encoder json = ENCODER_INIT, link = ENCODER_INIT;
        ChainRelease *r, *before;
        LinkPlan plan = { .kind = LINK_NEXT };
        FirmwarePlace place;
        TestRelease t;

        (void) a;
        craft(w, &t, w->next);
        craft_sign(w, &t, w->next - 1, NULL);
        r = chain_fixture_release(w->branch, w->next);
        before = chain_fixture_release(w->branch, w->next - 1);
        place = chain_place(w->branch, w->next, r->record.epoch, before->signer.spki_sha256);
        EVP_PKEY_free(r->signer.key);
        X509_free(r->cert);
        r->signer = before->signer;
        assert_int_equal(EVP_PKEY_up_ref(r->signer.key), 1);
        r->cert = chain_certificate(w->branch, &r->signer, &place, 10);
        remake(w, r, &r->signer, &plan, &before->signer, &w->branch->authority, &link);
        take_last_link(w, &t, encoder_view(&link));
        assert_int_equal(manifest_encode(t.manifest, &json, err), 0);
        encoder_done(&t.cms);
        assert_true(X509_up_ref(w->branch->authority_cert) == 1 && sk_X509_push(extra, w->branch->authority_cert) > 0);
        assert_int_equal(cms_sign(encoder_view(&json), r->cert, r->signer.key, extra, &t.cms, err), 0);
        return offer(w, &t, err);
}

static int bridge_by(World *w, const ChainKey *endorser, const ChainKey *approver, RsError *err) {
        _cleanup_(encoder_done) Encoder link = ENCODER_INIT;
        LinkPlan plan = { .kind = LINK_BRIDGE };
        ChainRelease *r;
        TestRelease t;

        craft(w, &t, w->next);
        t.bridged = true;
        craft_sign(w, &t, w->next - 1, NULL);
        r = chain_fixture_release(w->branch, w->next);
        remake(w, r, &r->signer, &plan, endorser, approver, &link);
        take_last_link(w, &t, encoder_view(&link));
        return offer(w, &t, err);
}

/* Who has both signers' keys and not the authority's: its approval is not good, what covers it is. */
static int approved_by_nobody(World *w, const Attack *a, RsError *err) {
        _cleanup_(encoder_done) Encoder draft = ENCODER_INIT, link = ENCODER_INIT;
        LinkPlan plan = { .kind = LINK_NEXT };
        const ChainRelease *before;
        ChainRelease *r;
        TestRelease t;

        (void) a;
        craft(w, &t, w->next);
        craft_sign(w, &t, w->next - 1, NULL);
        r = chain_fixture_release(w->branch, w->next);
        before = chain_fixture_release(w->branch, w->next - 1);
        remake(w, r, NULL, &plan, &before->signer, &w->branch->authority, &draft);
        draft.data[draft.size - 2 - 5] ^= 1; /* two bytes of length of what is not there yet, and the approval's end */
        chain_sign(encoder_view(&draft), NULL, NULL, &r->signer, &link);
        take_last_link(w, &t, encoder_view(&link));
        return offer(w, &t, err);
}

static int one_recovery_key(World *w, const Attack *a, RsError *err) {
        ChainKey own = chain_key_new();
        int r = bridge_by(w, &test_history()->recovery[1], &own, err);

        (void) a;
        chain_key_done(&own);
        return r;
}

static int strange_recovery_keys(World *w, const Attack *a, RsError *err) {
        ChainKey one = chain_key_new(), two = chain_key_new();
        int r = bridge_by(w, &one, &two, err);

        (void) a;
        chain_key_done(&one);
        chain_key_done(&two);
        return r;
}

/* The bridge that led to the accepted release, once more, for a release behind it. */
static int bridge_replayed(World *w, const Attack *a, RsError *err) {
        TestRelease r;

        (void) a;
        craft(w, &r, w->next);
        craft_sign(w, &r, w->next - 1, NULL);
        take_links(&r, (const Span[]){ link_of(w->branch, w->mode->accepted) }, 1);
        return offer(w, &r, err);
}

/* By all the right keys, but for their other line. */
static int link_across_lines(World *w, RsError *err) {
        _cleanup_(encoder_done) Encoder link = ENCODER_INIT;
        LinkPlan plan = { .kind = LINK_NEXT };
        const ChainRelease *before;
        ChainRelease *r;
        FirmwarePlace place;
        TestRelease t;

        craft(w, &t, w->next);
        craft_sign(w, &t, w->next - 1, NULL);
        r = chain_fixture_release(w->branch, w->next);
        before = chain_fixture_release(w->branch, w->next - 1);
        place = chain_place(w->branch, w->next, r->record.epoch, before->signer.spki_sha256);
        (void) strcpy(place.line, "router");
        X509_free(r->cert);
        r->cert = chain_certificate(w->branch, &r->signer, &place, 10);
        remake(w, r, &r->signer, &plan, &before->signer, &w->branch->authority, &link);
        take_last_link(w, &t, encoder_view(&link));
        return offer(w, &t, err);
}

static int link_of_another_line(World *w, const Attack *a, RsError *err) {
        ChainFixture *other = chain_fixture_new("router");
        TestRelease r;
        int k;

        (void) a;
        if (w->mode->accepted > 0) {
                (void) chain_fixture_free(other);
                return link_across_lines(w, err);
        }
        chain_fixture_extend(other, (uint32_t) w->next, w->mode->epoch);
        craft(w, &r, w->next);
        craft_sign(w, &r, w->next - 1, NULL);
        take_last_link(w, &r, link_of(other, w->next));
        k = offer(w, &r, err);
        (void) chain_fixture_free(other);
        return k;
}

static int links_without_end(World *w, const Attack *a, RsError *err) {
        _cleanup_(freep) uint8_t *bytes = calloc(1, LINK_SET_MAX + 1);
        bool unused;

        (void) a;
        return install_evidence(w->e.installer, WRITER_EVIDENCE_LINKS, SPAN(bytes, LINK_SET_MAX + 1), &unused, err);
}

static int links_of_noise(World *w, const Attack *a, RsError *err) {
        static const uint8_t noise[] = { 0, 0, 0, 3, 0x17, 0x2a, 0xff, 0x80, 1, 2, 3, 4 };
        TestRelease r;

        (void) a;
        craft(w, &r, w->next);
        craft_sign(w, &r, w->next - 1, NULL);
        encoder_done(&r.links);
        encoder_bytes(&r.links, noise, sizeof(noise));
        return offer(w, &r, err);
}

const Attack offers[] = {
        { "arbitrary software", "TUF arbitrary, NON_AUTH", "OFFER", RS_REASON_CERTIFICATE, 0, crafted, NULL, "bad/signer-self" },
        { "key of another authority", "TUF arbitrary, NON_AUTH", "OFFER", RS_REASON_CERTIFICATE, 0, crafted, NULL,
          "bad/signer-other" },
        { "key for something else", "TUF arbitrary", "OFFER", RS_REASON_PURPOSE, 0, crafted, NULL, "bad/signer-purpose" },
        { "key that has ended", "KEY.EXPOSURE", "OFFER", RS_REASON_EXPIRED, 0, crafted, NULL, "bad/signer-expired" },
        { "weak key", "KEY.EXPOSURE", "OFFER", RS_REASON_ALGORITHM, 0, crafted, NULL, "bad/signer-rsa1024" },
        { "key outside the chain", "TUF key compromise", "OFFER", RS_REASON_CERTIFICATE, 0, crafted, NULL, "firmware/signer" },
        { "changed on its way", "NET.ONPATH", "OFFER", RS_REASON_SIGNATURE, 0, changed_on_its_way, NULL, NULL },
        { "signed, but no manifest", "MFST.OVERRIDE", "OFFER", RS_REASON_MANIFEST, 0, no_manifest, NULL, NULL },
        { "release of another line", "TUF wrong software", "OFFER", RS_REASON_LINE, 0, crafted, other_line, NULL },
        { "wrong hardware", "IMG.INCOMPATIBLE", "OFFER", RS_REASON_COMPATIBLE, 0, crafted, other_board, NULL },
        { "image for no slot of ours", "IMG.LOCATION", "OFFER", RS_REASON_SLOT_CLASS, 0, crafted, other_class, NULL },
        { "image larger than its slot", "IMG.EXTRA", "OFFER", RS_REASON_SIZE, 0, crafted, too_large, NULL },
        { "protection taken away", "MFST.EXPOSURE", "OFFER", RS_REASON_POLICY, 0, crafted, in_clear, NULL },
        { "history held back", "TUF freeze", "OFFER", RS_REASON_CHAIN_GAP, 0, history_held_back, NULL, NULL },
        { "link missing in the middle", "F1", "OFFER", RS_REASON_CHAIN_GAP, NEEDS_BETWEEN, link_missing, NULL, NULL },
        { "rollback", "TUF rollback, IMG.EXPIRED", "OFFER", RS_REASON_ROLLBACK, NEEDS_OLDER, rollback, NULL, NULL },
        { "older release made anew", "TUF rollback, key stolen", "OFFER", RS_REASON_ROLLBACK, NEEDS_OLDER, rollback_made_anew,
          NULL, NULL },
        { "lower epoch", "TUF rollback, F7", "OFFER", RS_REASON_ROLLBACK, NEEDS_EPOCH, crafted, epoch_zero, NULL },
        { "epoch that leaps", "TUF fast-forward", "OFFER", RS_REASON_CHAIN, NEEDS_ACCEPTED, crafted, two_epochs_on, NULL },
        { "fast-forward", "TUF fast-forward", "OFFER", RS_REASON_CHAIN_GAP, NEEDS_ACCEPTED, fast_forward, NULL, NULL },
        { "replaced release", "IMG.REPLACE, F3", "OFFER", RS_REASON_CHAIN_FORK, NEEDS_ACCEPTED, replaced, NULL, NULL },
        { "fork", "TUF key compromise, F3", "OFFER", RS_REASON_CHAIN_FORK, NEEDS_ACCEPTED, fork_of_the_accepted, NULL, NULL },
        { "fork that hides its beginning", "authority stolen", "OFFER", RS_REASON_CHAIN_FORK, NEEDS_ACCEPTED, fork_that_hides,
          NULL, NULL },
        { "two histories at once", "TUF mix-and-match", "OFFER", RS_REASON_CHAIN_FORK, NEEDS_ACCEPTED | NEEDS_NEXT, both_histories, NULL,
          NULL },
        { "signer reused", "TUF key compromise, F5", "OFFER", RS_REASON_CHAIN_REUSE, NEEDS_ACCEPTED, signer_reused, NULL, NULL },
        { "link without the authority", "TUF key compromise", "OFFER", RS_REASON_SIGNATURE, NEEDS_ACCEPTED, approved_by_nobody,
          NULL, NULL },
        { "bridge by one recovery key", "TUF threshold", "OFFER", RS_REASON_CHAIN, NEEDS_ACCEPTED, one_recovery_key, NULL, NULL },
        { "bridge by strangers", "TUF threshold", "OFFER", RS_REASON_CHAIN, NEEDS_ACCEPTED, strange_recovery_keys, NULL, NULL },
        { "bridge replayed", "F8", "OFFER", RS_REASON_CHAIN_GAP, NEEDS_BRIDGE, bridge_replayed, NULL, NULL },
        { "link of another line", "F6", "OFFER", RS_REASON_CHAIN, 0, link_of_another_line, NULL, NULL },
        { "links of noise", "parser", "OFFER", RS_REASON_CHAIN, 0, links_of_noise, NULL, NULL },
        { "links without end", "TUF endless data, F4", "EVIDENCE", RS_REASON_CHAIN, 0, links_without_end, NULL, NULL },
};
const size_t n_offers = ELEMENTSOF(offers);

/* -- behind a good offer ---------------------------------------------------------------------------------------- */

static void offer_good(World *w) {
        RsError err = RS_ERROR_INIT;
        WriterOffer unused;

        if (test_engine_offer(&w->e, &w->good, &unused, &err) < 0)
                fail_msg("%s", err.text);
}

static int give_table(World *w, uint32_t image, Span bytes, uint32_t *ret_next, RsError *err) {
        WriterRange ranges[WRITER_RANGES_MAX];
        uint32_t n;

        return install_table(w->e.installer, image, bytes, ret_next, ranges, &n, err);
}

/* Up to the first frame that is wanted: its image. */
static uint32_t give_tables(World *w) {
        RsError err = RS_ERROR_INIT;
        uint32_t first = 1, next;

        offer_good(w);
        for (uint32_t i = 0; i < 2; i++) {
                if (give_table(w, i, encoder_view(&w->good.images[i].encoded), &next, &err) < 0)
                        fail_msg("%s", err.text);
                if (i == 0 && next == 0)
                        first = 0;
                assert_true(i == 0 || next == 0);
        }
        return first;
}

static int table_of_another(World *w, const Attack *a, RsError *err) {
        uint32_t unused;
        TestRelease r;
        int k;

        (void) a;
        test_release_begin(&r, w->next + 1, 0, ROOTFS);
        offer_good(w);
        k = give_table(w, 0, encoder_view(&r.images[0].encoded), &unused, err);
        test_release_done(&r);
        return k;
}

static int table_changed(World *w, const Attack *a, RsError *err) {
        Span good = encoder_view(&w->good.images[0].encoded);
        _cleanup_(freep) uint8_t *bytes = malloc(good.size + 100);
        uint32_t unused;
        size_t size;

        memcpy(bytes, good.data, good.size);
        memset(bytes + good.size, 0, 100);
        size = strstr(a->name, "short") ? good.size - 32 : strstr(a->name, "long") ? good.size + 100 : good.size;
        if (size == good.size)
                bytes[good.size / 2] ^= 1;
        offer_good(w);
        return give_table(w, 0, SPAN(bytes, size), &unused, err);
}

static int table_in_anothers_place(World *w, const Attack *a, RsError *err) {
        uint32_t unused;

        (void) a;
        offer_good(w);
        return give_table(w, 1, encoder_view(&w->good.images[0].encoded), &unused, err);
}

static int send(World *w, WriterFrame f, const uint8_t *data, RsError *err) {
        return install_frame(w->e.installer, &f, data, err);
}

static WriterFrame expected(const World *w, uint32_t image, const uint8_t **ret_data) {
        WriterFrame f = { .image = image };

        assert_true(test_frame(&w->good, image, 0, ret_data, &f.size));
        return f;
}

static int bad_chunk(World *w, const Attack *a, RsError *err) {
        _cleanup_(freep) uint8_t *bytes = NULL;
        const uint8_t *data;
        WriterFrame f;

        (void) a;
        f = expected(w, give_tables(w), &data);
        bytes = malloc(f.size);
        memcpy(bytes, data, f.size);
        bytes[f.size - 1] ^= 0x80;
        return send(w, f, bytes, err);
}

static int frame_of_another(World *w, const Attack *a, RsError *err) {
        uint32_t image = give_tables(w), size;
        const uint8_t *data, *unused;
        TestRelease r;
        int k;

        (void) a;
        test_release_begin(&r, w->next + 1, 0, ROOTFS);
        assert_true(test_frame(&r, image, 0, &data, &size));
        k = send(w, expected(w, image, &unused), data, err);
        test_release_done(&r);
        return k;
}

static int images_swapped(World *w, const Attack *a, RsError *err) {
        uint32_t image = give_tables(w), size;
        const uint8_t *data, *unused;

        (void) a;
        assert_true(test_frame(&w->good, 1 - image, 0, &data, &size));
        return send(w, expected(w, image, &unused), data, err);
}

static int reordered(World *w, const Attack *a, RsError *err) {
        WriterFrame f = { .image = 1, .frame = 1 };
        const uint8_t *data;

        (void) a;
        (void) give_tables(w);
        assert_true(test_frame(&w->good, 1, 1, &data, &f.size));
        return send(w, f, data, err);
}

static int short_frame(World *w, const Attack *a, RsError *err) {
        const uint8_t *data;
        WriterFrame f;

        (void) a;
        f = expected(w, give_tables(w), &data);
        f.size -= RS_BLOCK_SIZE;
        return send(w, f, data, err);
}

static int endless_frame(World *w, const Attack *a, RsError *err) {
        const uint8_t *data;
        WriterFrame f;

        (void) a;
        f = expected(w, give_tables(w), &data);
        f.size = UINT32_MAX;
        return send(w, f, data, err);
}

static int finished_early(World *w, const Attack *a, RsError *err) {
        char primary[WRITER_NAME_SIZE + 1];

        (void) a;
        (void) give_tables(w);
        return install_finish(w->e.installer, primary, err);
}

/* T5: it is all promised and nothing comes.  That costs nothing (I3). */
static int stalled(World *w, const Attack *a, RsError *err) {
        const char *slot = w->d.slot_path[w->target[0] - 'A'];
        BootState boot[2];
        uint8_t hash[2][32];

        (void) a;
        for (int k = 0; k < 2; k++) {
                assert_int_equal(boot_read(w->e.boot, &boot[k], err), 0);
                test_sha256_of_file(slot, hash[k]);
                if (k == 0)
                        (void) give_tables(w);
                install_abort(w->e.installer);
        }
        assert_memory_equal(hash[0], hash[1], 32);
        assert_int_equal(boot[0].n_slots, boot[1].n_slots);
        for (unsigned s = 0; s < boot[0].n_slots; s++)
                assert_true(boot[0].slots[s].bootable == boot[1].slots[s].bootable);
        return 0;
}

/* All frames but the last, which is another; or one more than there are. */
static int at_the_end(World *w, const Attack *a, RsError *err) {
        bool one_more = strstr(a->name, "more") != NULL;
        _cleanup_(freep) uint8_t *bytes = NULL;
        const uint8_t *data = NULL;
        WriterFrame f = { 0 };

        for (f.image = give_tables(w); f.image < 2; f.image++)
                for (f.frame = 0; f.frame < w->good.images[f.image].table->n_frames; f.frame++) {
                        bool last = f.image == 1 && f.frame + 1 == w->good.images[1].table->n_frames;

                        assert_true(test_frame(&w->good, f.image, f.frame, &data, &f.size));
                        if (last && !one_more) {
                                bytes = malloc(f.size);
                                memcpy(bytes, data, f.size);
                                bytes[0] ^= 1;
                                return send(w, f, bytes, err);
                        }
                        if (send(w, f, data, err) < 0)
                                fail_msg("%s", err->text);
                }
        f.image = 1;
        return send(w, f, data, err);
}

const Attack transfers[] = {
        { "stall behind the offer", "TUF slow retrieval", "TABLE", RS_REASON_NONE, 0, stalled, NULL, NULL },
        { "table of another release", "TUF mix-and-match", "TABLE", RS_REASON_TABLE_DIGEST, 0, table_of_another, NULL, NULL },
        { "table of another image", "TUF mix-and-match", "TABLE", RS_REASON_TABLE_DIGEST, 0, table_in_anothers_place, NULL, NULL },
        { "changed table", "IMG.REPLACE", "TABLE", RS_REASON_TABLE_DIGEST, 0, table_changed, NULL, NULL },
        { "table that is too short", "IMG.INCOMPATIBLE", "TABLE", RS_REASON_TABLE_DIGEST, 0, table_changed, NULL, NULL },
        { "table that is too long", "TUF endless data", "TABLE", RS_REASON_TABLE_DIGEST, 0, table_changed, NULL, NULL },
        { "bad chunk", "IMG.REPLACE", "FRAME", RS_REASON_CHUNK_DIGEST, 0, bad_chunk, NULL, NULL },
        { "frame of another release", "TUF mix-and-match", "FRAME", RS_REASON_CHUNK_DIGEST, 0, frame_of_another, NULL, NULL },
        { "images swapped", "IMG.LOCATION", "FRAME", RS_REASON_CHUNK_DIGEST, 0, images_swapped, NULL, NULL },
        { "frames reordered", "TUF mix-and-match", "FRAME", RS_REASON_PROTOCOL, 0, reordered, NULL, NULL },
        { "frame that is too short", "TUF partial bundle", "FRAME", RS_REASON_PROTOCOL, 0, short_frame, NULL, NULL },
        { "frame without end", "TUF endless data", "FRAME", RS_REASON_PROTOCOL, 0, endless_frame, NULL, NULL },
        { "finished before its end", "TUF partial bundle", "FINISH", RS_REASON_PROTOCOL, 0, finished_early, NULL, NULL },
        { "bad last chunk", "IMG.REPLACE", "FRAME", RS_REASON_CHUNK_DIGEST, 0, at_the_end, NULL, NULL },
        { "one frame more", "IMG.EXTRA", "FRAME", RS_REASON_PROTOCOL, 0, at_the_end, NULL, NULL },
};
const size_t n_transfers = ELEMENTSOF(transfers);
