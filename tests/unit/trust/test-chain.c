/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The walk: nine rules of docs/format-chain.md 3, failures F1 to F8 and F19 to F24, each with its reason. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <reseal/crypto/digest.h>

#include "chain.h"

/* Releases 1 to 6 of epoch 1, 7 and 8 of epoch 2, 9 by a bridge of epoch 3, 10 behind it. */
static ChainFixture *line;

static int setup(void **state) {
        (void) state;
        line = chain_fixture_new("gateway");
        chain_fixture_extend(line, 6, 1);
        chain_fixture_extend(line, 8, 2);
        (void) chain_fixture_add(line, 3, NULL, true);
        chain_fixture_extend(line, 10, 3);
        return 0;
}

static int teardown(void **state) {
        (void) state;
        line = chain_fixture_free(line);
        return 0;
}

static Span link_of(uint64_t index) {
        return encoder_view(&chain_fixture_release(line, index)->link);
}

static Link parsed(Span bytes) {
        RsError err = RS_ERROR_INIT;
        Link link;

        assert_int_equal(link_parse(bytes, &link, &err), 0);
        return link;
}

static void expect_accepted(const ChainInput *input, uint32_t n_steps) {
        RsError err = RS_ERROR_INIT;
        ChainWalk walk = { .n_steps = 77 };
        int r = chain_walk(input, &walk, &err);

        if (r < 0)
                fail_msg("refused: %s: %s (%s)", rs_reason_name(err.reason), err.text, err.origin);
        assert_int_equal(walk.n_steps, n_steps);
        assert_int_equal(walk.to.index, input->goal.index);
        assert_memory_equal(walk.to.manifest_digest, input->goal.manifest_digest, 32);
        assert_memory_equal(walk.to.signer_spki, input->goal.signer_spki, 32);
        for (uint32_t i = 0; i < n_steps; i++)
                assert_true(walk.steps[i].link.data > input->links.data &&
                            walk.steps[i].link.data < input->links.data + input->links.size);
        chain_walk_done(&walk);
        assert_null(walk.steps);
}

static void expect_refused(const ChainInput *input, RsReason reason, const char *words) {
        RsError err = RS_ERROR_INIT;
        ChainWalk walk = { .n_steps = 77 };

        assert_true(chain_walk(input, &walk, &err) < 0);
        assert_int_equal(walk.n_steps, 77);
        if (err.reason != reason || !strstr(err.text, words))
                fail_msg("%s: \"%s\" instead of %s: \"%s\"", rs_reason_name(err.reason), err.text,
                         rs_reason_name(reason), words);
}

/* The links given, one behind the other, from a device at `from` for release `to`. */
static void expect_links(uint64_t from, const Span *links, uint32_t n, uint64_t to, RsReason reason, const char *words) {
        _cleanup_(encoder_done) Encoder set = ENCODER_INIT;
        ChainInput input;

        chain_set_of(links, n, &set);
        input = chain_input(line, from, encoder_view(&set), to);
        if (reason == RS_REASON_NONE)
                expect_accepted(&input, (uint32_t) atoi(words));
        else
                expect_refused(&input, reason, words);
}

static void expect_link(uint64_t from, Span link, uint64_t to, RsReason reason, const char *words) {
        expect_links(from, &link, 1, to, reason, words);
}

/* A link to release `index` remade by its own keys after `change`: the authority approves what it should not (F24). */
static void remake(uint64_t index, void (*change)(Link *link), Encoder *ret) {
        _cleanup_(encoder_done) Encoder draft = ENCODER_INIT;
        const ChainRelease *release = chain_fixture_release(line, index);
        Link link = parsed(link_of(index));
        RsError err = RS_ERROR_INIT;

        change(&link);
        link.endorsement = link.approval = link.possession = SPAN_NULL;
        assert_int_equal(link_encode(&link, &draft, &err), 0);
        chain_sign(encoder_view(&draft), &chain_fixture_release(line, index - 1)->signer, &line->authority, &release->signer,
                   ret);
}

/* A link from release `index`-1 by a certificate of the test's making. */
static void link_by(uint64_t index, X509 *cert, X509 *authority, const ChainKey *signer, const ChainKey *approver, Encoder *ret) {
        _cleanup_(encoder_done) Encoder draft = ENCODER_INIT;
        const ChainRelease *before = chain_fixture_release(line, index - 1);
        LinkPlan plan = { .kind = LINK_NEXT, .signer = cert, .authority = authority, .endorser = CHAIN_SPKI(&before->signer) };
        RsError err = RS_ERROR_INIT;

        memcpy(plan.manifest_digest, chain_fixture_release(line, index)->record.manifest_digest, 32);
        memcpy(plan.log_head_before, before->record.log_head, 32);
        memcpy(plan.chain_name, line->name_written, sizeof(plan.chain_name));
        assert_int_equal(link_make_draft(&plan, &draft, &err), 0);
        chain_sign(encoder_view(&draft), &before->signer, approver, signer, ret);
}

/* -- good walks ------------------------------------------------------------------------------------------------- */

static void a_device_follows_one_link_several_and_a_bridge(void **state) {
        _cleanup_(encoder_done) Encoder set = ENCODER_INIT;
        ChainInput input;

        (void) state;
        chain_set(line, 1, 8, &set);
        input = chain_input(line, 7, encoder_view(&set), 8);
        expect_accepted(&input, 1);
        input = chain_input(line, 1, encoder_view(&set), 8);
        expect_accepted(&input, 7);
        input = chain_input(line, 0, encoder_view(&set), 8);
        expect_accepted(&input, 1);
        encoder_done(&set);
        chain_set(line, 7, 10, &set);
        input = chain_input(line, 8, encoder_view(&set), 10);
        expect_accepted(&input, 2);
        input = chain_input(line, 7, encoder_view(&set), 10); /* the bridge to 9 leads further than link 8 */
        expect_accepted(&input, 2);
}

static void a_factory_device_takes_one_object_of_any_kind(void **state) {
        (void) state;
        expect_link(0, link_of(1), 1, RS_REASON_NONE, "1");
        expect_link(0, link_of(5), 5, RS_REASON_NONE, "1");
        expect_link(0, link_of(9), 9, RS_REASON_NONE, "1");
        expect_link(0, link_of(4), 5, RS_REASON_CHAIN_GAP, "no link for release 5");
}

/* A copy counts once (F2). */
static void the_same_link_twice_counts_once(void **state) {
        const Span links[] = { link_of(4), link_of(4), link_of(5), link_of(5), link_of(5) };

        (void) state;
        expect_links(3, links, ELEMENTSOF(links), 5, RS_REASON_NONE, "2");
}

/* A yearly checkpoint: whoever has missed much goes in one step, whoever has not never notices. */
static void a_checkpoint_is_taken_where_it_saves_steps_and_both_ways_go_on(void **state) {
        _cleanup_(encoder_done) Encoder bridge = ENCODER_INIT, set = ENCODER_INIT, again = ENCODER_INIT;
        ChainWalk walk = { 0 };
        RsError err = RS_ERROR_INIT;
        ChainInput input;

        (void) state;
        chain_bridge(line, chain_fixture_release(line, 5), &line->recovery[2], &line->recovery[0], &bridge);
        const Span links[] = { link_of(3), link_of(4), link_of(5), encoder_view(&bridge), link_of(6) };
        expect_links(4, links, ELEMENTSOF(links), 6, RS_REASON_NONE, "2");
        expect_links(1, links, ELEMENTSOF(links), 6, RS_REASON_NONE, "2");

        chain_set_of(links, 4, &set);
        input = chain_input(line, 1, encoder_view(&set), 5);
        assert_int_equal(chain_walk(&input, &walk, &err), 0);
        assert_int_equal(walk.to.flags, CHAIN_RECORD_BRIDGED);
        chain_set_of(links, ELEMENTSOF(links), &again);
        input = chain_input(line, 1, encoder_view(&again), 6);
        input.from = &walk.to;
        expect_accepted(&input, 1);
        input.goal = chain_goal(line, 5);
        input.links = encoder_view(&set);
        expect_accepted(&input, 0); /* a reinstallation, and the ordinary link beside it is no fork */
        chain_walk_done(&walk);
}

/* -- rules 1 to 4 ----------------------------------------------------------------------------------------------- */

static void damage_manifest(Link *link) {
        link->record.manifest_digest[0] ^= 1;
}

/* F3 */
static void two_releases_at_one_index_of_the_set_are_a_fork(void **state) {
        _cleanup_(encoder_done) Encoder other = ENCODER_INIT;

        (void) state;
        remake(4, damage_manifest, &other);
        const Span links[] = { link_of(4), encoder_view(&other), link_of(5) };
        expect_links(3, links, ELEMENTSOF(links), 5, RS_REASON_CHAIN_FORK, "two links for 4");
}

static void one_record_under_two_signatures_is_refused(void **state) {
        _cleanup_(encoder_done) Encoder other = ENCODER_INIT;

        (void) state;
        link_by(4, chain_fixture_release(line, 4)->cert, line->authority_cert, &chain_fixture_release(line, 4)->signer,
                &line->authority, &other);
        const Span links[] = { link_of(4), encoder_view(&other) };
        expect_links(3, links, ELEMENTSOF(links), 4, RS_REASON_CHAIN, "same record");
}

/* F4: the caps themselves are counted in tests/unit/format/test-link.c. */
static void a_set_above_the_cap_is_refused_before_any_signature(void **state) {
        static Span links[LINK_SET_COUNT_MAX + 1];

        (void) state;
        for (uint32_t i = 0; i < ELEMENTSOF(links); i++)
                links[i] = link_of(4);
        expect_links(3, links, LINK_SET_COUNT_MAX, 4, RS_REASON_NONE, "1");
        expect_links(3, links, LINK_SET_COUNT_MAX + 1, 4, RS_REASON_CHAIN, "limit");
}

static void an_older_release_is_a_rollback_whatever_links_come_with_it(void **state) {
        _cleanup_(encoder_done) Encoder set = ENCODER_INIT;
        ChainInput input;

        (void) state;
        chain_set(line, 1, 5, &set);
        input = chain_input(line, 6, encoder_view(&set), 5);
        expect_refused(&input, RS_REASON_ROLLBACK, "older than the accepted 6");
        input.links = SPAN_NULL;
        expect_refused(&input, RS_REASON_ROLLBACK, "older");
}

static void the_same_release_again_needs_no_link_and_another_one_is_a_fork(void **state) {
        ChainInput input;

        (void) state;
        input = chain_input(line, 5, SPAN_NULL, 5);
        expect_accepted(&input, 0);
        input.goal.manifest_digest[0] ^= 1;
        expect_refused(&input, RS_REASON_CHAIN_FORK, "another manifest");
        input = chain_input(line, 5, SPAN_NULL, 5);
        input.goal.signer_spki[0] ^= 1;
        expect_refused(&input, RS_REASON_CHAIN_FORK, "another signer");
        input = chain_input(line, 5, SPAN_NULL, 5);
        input.goal.epoch++;
        expect_refused(&input, RS_REASON_CHAIN, "epoch");
        input = chain_input(line, 0, SPAN_NULL, 5);
        input.goal.index = 0;
        expect_refused(&input, RS_REASON_CHAIN_GAP, "release 0");
}

static void a_link_for_the_recorded_index_that_differs_from_the_record_is_a_fork(void **state) {
        _cleanup_(encoder_done) Encoder other = ENCODER_INIT;

        (void) state;
        remake(4, damage_manifest, &other);
        const Span links[] = { encoder_view(&other), link_of(5) };
        expect_links(4, links, ELEMENTSOF(links), 5, RS_REASON_CHAIN_FORK, "that this device accepted");
        expect_links(4, links, 1, 4, RS_REASON_CHAIN_FORK, "that this device accepted");
}

/* F1 */
static void missing_links_are_a_gap_that_names_them(void **state) {
        const Span links[] = { link_of(2), link_of(5), link_of(6) };

        (void) state;
        expect_links(1, links, ELEMENTSOF(links), 6, RS_REASON_CHAIN_GAP, "links 3 to 4 are missing");
        expect_links(4, links, 1, 6, RS_REASON_CHAIN_GAP, "links 5 to 6 are missing");
        expect_links(5, NULL, 0, 6, RS_REASON_CHAIN_GAP, "links 6 to 6 are missing");
}

static void a_link_that_another_signer_endorsed_is_a_fork(void **state) {
        _cleanup_(encoder_done) Encoder set = ENCODER_INIT;
        ChainRecord from = chain_fixture_release(line, 4)->record;
        ChainInput input;

        (void) state;
        chain_set_of((const Span[]){ link_of(5) }, 1, &set);
        input = chain_input(line, 4, encoder_view(&set), 5);
        from.signer_spki[0] ^= 1;
        input.from = &from;
        expect_refused(&input, RS_REASON_CHAIN_FORK, "another signer than that of 4");
}

static void a_bridge_needs_two_different_recovery_keys_in_their_order(void **state) {
        ChainRelease *release = chain_fixture_release(line, 5);
        ChainKey stranger = chain_key_new();
        const struct {
                const ChainKey *endorser, *approver;
                const char *words;
        } cases[] = {
                { &line->recovery[1], &line->recovery[0], NULL },
                { &line->recovery[2], &line->recovery[0], NULL },
                { &line->recovery[2], &line->recovery[1], NULL },
                { &line->recovery[0], &line->recovery[1], "recovery" },
                { &line->recovery[2], &stranger, "recovery" },
                { &stranger, &line->recovery[0], "recovery" },
                { &chain_fixture_release(line, 2)->signer, &line->authority, "recovery" },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(encoder_done) Encoder bridge = ENCODER_INIT;

                chain_bridge(line, release, cases[i].endorser, cases[i].approver, &bridge);
                expect_link(2, encoder_view(&bridge), 5, cases[i].words ? RS_REASON_CHAIN : RS_REASON_NONE,
                            cases[i].words ? cases[i].words : "1");
        }
        chain_key_done(&stranger);
}

static void a_device_without_recovery_keys_takes_no_bridge(void **state) {
        _cleanup_(encoder_done) Encoder set = ENCODER_INIT;
        ChainInput input;

        (void) state;
        chain_set_of((const Span[]){ link_of(9) }, 1, &set);
        input = chain_input(line, 8, encoder_view(&set), 9);
        expect_accepted(&input, 1);
        input.n_recovery = 0;
        expect_refused(&input, RS_REASON_CHAIN, "recovery");
}

/* A release with the last index there is would be the last one: not even two recovery keys lead there at once. */
static void a_bridge_leaps_only_so_far(void **state) {
        static const uint64_t leaps[] = { RS_NUMBER_LEAP_MAX, RS_NUMBER_LEAP_MAX + 1, INT64_MAX - 2 };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(leaps); i++) {
                _cleanup_(encoder_done) Encoder bridge = ENCODER_INIT, set = ENCODER_INIT;
                ChainRelease far = { .signer = chain_key_new() };
                const uint32_t epoch = chain_fixture_release(line, 2)->record.epoch;
                FirmwarePlace place = chain_place(line, 2 + leaps[i], epoch, NULL);
                ChainInput input;

                far.cert = chain_certificate(line, &far.signer, &place, 100);
                chain_bridge(line, &far, &line->recovery[1], &line->recovery[0], &bridge);
                chain_set_of((const Span[]){ encoder_view(&bridge) }, 1, &set);
                input = chain_input(line, 2, encoder_view(&set), 5);
                input.goal.index = place.index;
                input.goal.epoch = epoch;
                memset(input.goal.manifest_digest, 0, 32);
                memcpy(input.goal.signer_spki, far.signer.spki_sha256, 32);
                if (leaps[i] > RS_NUMBER_LEAP_MAX)
                        expect_refused(&input, RS_REASON_CHAIN, "leaps");
                else
                        expect_accepted(&input, 1);
                X509_free(far.cert);
                chain_key_done(&far.signer);
        }
}

/* F8 */
static void a_bridge_that_was_taken_already_leads_nowhere(void **state) {
        const Span links[] = { link_of(9), link_of(10) };

        (void) state;
        expect_links(9, links, ELEMENTSOF(links), 10, RS_REASON_NONE, "1");
        expect_links(10, links, 1, 10, RS_REASON_NONE, "0");
        expect_links(10, links, 1, 9, RS_REASON_ROLLBACK, "older");
}

static void a_genesis_is_no_way_on(void **state) {
        _cleanup_(encoder_done) Encoder genesis = ENCODER_INIT, draft = ENCODER_INIT;
        const ChainRelease *release = chain_fixture_release(line, 5);
        LinkPlan plan = { .kind = LINK_GENESIS, .signer = release->cert, .authority = line->authority_cert };
        RsError err = RS_ERROR_INIT;

        (void) state;
        memcpy(plan.manifest_digest, release->record.manifest_digest, 32);
        memcpy(plan.log_head_before, chain_fixture_release(line, 4)->record.log_head, 32);
        memcpy(plan.chain_name, line->name_unwritten, sizeof(plan.chain_name));
        assert_int_equal(link_make_draft(&plan, &draft, &err), 0);
        chain_sign(encoder_view(&draft), NULL, &line->authority, &release->signer, &genesis);
        expect_link(0, encoder_view(&genesis), 5, RS_REASON_NONE, "1");
        expect_link(4, encoder_view(&genesis), 5, RS_REASON_CHAIN_GAP, "links 5 to 5");
        const Span links[] = { encoder_view(&genesis), link_of(5) };
        expect_links(4, links, ELEMENTSOF(links), 5, RS_REASON_NONE, "1");
}

/* -- rules 5 and 7 ---------------------------------------------------------------------------------------------- */

static void change_line(Link *link) {
        link->record.line_tag[0] ^= 1;
}

static void change_epoch(Link *link) {
        link->record.epoch = 2;
}

static void change_signer(Link *link) {
        link->record.signer_spki[0] ^= 1;
}

static void change_history(Link *link) {
        link->record.log_head[0] ^= 1;
}

/* F24: endorser, authority and signer all sign a record that is not what the certificate says. */
static void a_record_that_does_not_follow_from_its_certificate_is_refused(void **state) {
        const struct {
                void (*change)(Link *link);
                const char *words;
        } cases[] = {
                { change_line, "not of line" },
                { change_epoch, "differs from the place" },
                { change_signer, "another signer than its certificate" },
                { change_history, "another history" },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(encoder_done) Encoder link = ENCODER_INIT;

                remake(4, cases[i].change, &link);
                expect_link(3, encoder_view(&link), 4, RS_REASON_CHAIN, cases[i].words);
        }
}

static void a_certificate_for_another_index_or_predecessor_is_refused(void **state) {
        _cleanup_(encoder_done) Encoder wrong = ENCODER_INIT;
        const ChainRelease *before = chain_fixture_release(line, 3);
        FirmwarePlace place = chain_place(line, 5, 1, before->signer.spki_sha256);
        ChainKey key = chain_key_new();
        X509 *cert = chain_certificate(line, &key, &place, 10);

        (void) state;
        link_by(4, cert, line->authority_cert, &key, &line->authority, &wrong); /* its record says 5 */
        expect_link(3, encoder_view(&wrong), 5, RS_REASON_CHAIN_GAP, "links 4 to 4");
        expect_link(4, encoder_view(&wrong), 5, RS_REASON_CHAIN_FORK, "another signer than that of 4");
        X509_free(cert);
        chain_key_done(&key);
}

/* F6 */
static void a_link_of_another_line_is_refused(void **state) {
        ChainFixture *other = chain_fixture_new("router");
        _cleanup_(encoder_done) Encoder set = ENCODER_INIT;
        ChainInput input;

        (void) state;
        chain_fixture_extend(other, 2, 1);
        chain_set(other, 1, 2, &set);
        input = chain_input(other, 0, encoder_view(&set), 2);
        expect_accepted(&input, 1);
        input.goal.line = "gateway";
        expect_refused(&input, RS_REASON_CHAIN, "not of line gateway");
        input = chain_input(other, 1, encoder_view(&set), 2);
        input.goal.line = "gateway";
        expect_refused(&input, RS_REASON_CHAIN, "not of line gateway");
        (void) chain_fixture_free(other);
}

/* F7 */
static void an_epoch_that_falls_or_leaps_is_refused(void **state) {
        _cleanup_(encoder_done) Encoder set = ENCODER_INIT;
        ChainRecord from = chain_fixture_release(line, 4)->record;
        ChainInput input;

        (void) state;
        chain_set_of((const Span[]){ link_of(5) }, 1, &set);
        input = chain_input(line, 4, encoder_view(&set), 5);
        input.from = &from;
        from.epoch = 2;
        expect_refused(&input, RS_REASON_CHAIN, "from epoch 2 to 1");
        from.epoch = 0; /* one more is permitted; it stands in the log head, so that is what is wrong now */
        expect_accepted(&input, 1);
        expect_link(1, link_of(9), 9, RS_REASON_CHAIN, "from epoch 1 to 3");
}

static void nearer_bridges_are_taken_when_the_last_one_is_epochs_away(void **state) {
        _cleanup_(encoder_done) Encoder near = ENCODER_INIT;

        (void) state;
        chain_bridge(line, chain_fixture_release(line, 8), &line->recovery[2], &line->recovery[1], &near);
        const Span links[] = { encoder_view(&near), link_of(9), link_of(10) };
        expect_links(2, links, ELEMENTSOF(links), 10, RS_REASON_NONE, "3");
}

/* F5: the key of release 2 signs release 5 as well, properly certified. */
static void a_signer_key_that_signs_a_second_release_is_refused(void **state) {
        _cleanup_(encoder_done) Encoder again = ENCODER_INIT;
        FirmwarePlace place = chain_place(line, 5, 1, chain_fixture_release(line, 4)->signer.spki_sha256);
        const ChainKey *old = &chain_fixture_release(line, 2)->signer, *last = &chain_fixture_release(line, 4)->signer;
        X509 *cert = chain_certificate(line, old, &place, 10);

        (void) state;
        link_by(5, cert, line->authority_cert, old, &line->authority, &again);
        const Span links[] = { link_of(2), link_of(3), link_of(4), encoder_view(&again) };
        expect_links(1, links, ELEMENTSOF(links), 5, RS_REASON_CHAIN_REUSE, "signer of 5");
        expect_links(2, links, ELEMENTSOF(links), 5, RS_REASON_CHAIN_REUSE, "signer of 5"); /* the recorded one */
        X509_free(cert);

        encoder_done(&again);
        cert = chain_certificate(line, last, &place, 10);
        link_by(5, cert, line->authority_cert, last, &line->authority, &again);
        expect_link(4, encoder_view(&again), 5, RS_REASON_CHAIN_REUSE, "signer of 5");
        X509_free(cert);
}

/* -- rules 6 and 8 ---------------------------------------------------------------------------------------------- */

static void a_signer_under_another_root_is_refused(void **state) {
        ChainFixture *other = chain_fixture_new("gateway");
        _cleanup_(encoder_done) Encoder set = ENCODER_INIT;
        ChainInput input;

        (void) state;
        chain_fixture_extend(other, 2, 1);
        chain_set(other, 1, 2, &set);
        input = chain_input(other, 1, encoder_view(&set), 2);
        input.firmware_root = line->anchors;
        expect_refused(&input, RS_REASON_CERTIFICATE, "link 2");
        (void) chain_fixture_free(other);
}

/* The approval comes from a key that no root has certified, beside a signer that is in order. */
static void an_authority_beside_the_path_is_refused(void **state) {
        ChainFixture *other = chain_fixture_new("gateway");
        _cleanup_(encoder_done) Encoder link = ENCODER_INIT;
        const ChainRelease *release = chain_fixture_release(line, 4);

        (void) state;
        link_by(4, release->cert, other->authority_cert, &release->signer, &other->authority, &link);
        expect_link(3, encoder_view(&link), 4, RS_REASON_CERTIFICATE, "link 4");
        encoder_done(&link);
        /* Also when the root has issued the stranger, for something else. */
        X509 *stranger = chain_authority(line, &other->authority, 10);
        link_by(4, release->cert, stranger, &release->signer, &other->authority, &link);
        expect_link(3, encoder_view(&link), 4, RS_REASON_CERTIFICATE, "link 4");
        X509_free(stranger);
        (void) chain_fixture_free(other);
}

/* F20, F21: only the last signer is held against the clock. */
static void expired_signers_of_the_past_are_no_obstacle_and_the_last_one_is(void **state) {
        ChainFixture *f = chain_fixture_new("gateway");
        _cleanup_(encoder_done) Encoder set = ENCODER_INIT;
        ChainInput input;

        (void) state;
        chain_fixture_extend(f, 4, 1);
        chain_set(f, 2, 4, &set);
        input = chain_input(f, 1, encoder_view(&set), 4);
        input.time_low = input.time_high = (uint64_t) time(NULL) + 4000ull * 24 * 3600;
        expect_refused(&input, RS_REASON_EXPIRED, "link 4"); /* not link 2, which has ended as well */
        input.time_low = input.time_high = 1000;
        expect_refused(&input, RS_REASON_EXPIRED, "link 4"); /* not yet valid */
        input.time_low = 1000;
        input.time_high = UINT64_MAX; /* the clock is unknown, the floor is low */
        expect_accepted(&input, 3);
        (void) chain_fixture_free(f);
}

/* F19, and a stolen signer: what it endorsed is worth nothing, a bridge leads past it. */
static void a_revoked_signer_endorses_nothing_and_a_bridge_leads_past_it(void **state) {
        _cleanup_(encoder_done) Encoder der = ENCODER_INIT, set = ENCODER_INIT, bridge = ENCODER_INIT;
        _cleanup_(crl_set_freep) CrlSet *crls = NULL;
        X509 *authority = line->authority_cert;
        STACK_OF(X509) *extra = sk_X509_new_null();
        const uint64_t stolen = 4;
        RsError err = RS_ERROR_INIT;
        ChainInput input;
        bool changed;
        CrlInfo info;

        (void) state;
        assert_true(sk_X509_push(extra, authority) > 0);
        chain_crl(line, 1, &stolen, 1, &der);
        assert_int_equal(crl_set_new(&crls, &err), 0);
        if (crl_set_add(crls, encoder_view(&der), line->anchors, extra, &changed, &info, &err) < 0)
                fail_msg("%s", err.text);
        sk_X509_free(extra);

        chain_set(line, 4, 5, &set);
        input = chain_input(line, 3, encoder_view(&set), 5);
        expect_accepted(&input, 2);
        input.crls = crls;
        expect_refused(&input, RS_REASON_REVOKED, "link 4");
        input.from = &chain_fixture_release(line, 4)->record; /* the recorded one was stolen */
        expect_refused(&input, RS_REASON_REVOKED, "link 4");
        encoder_done(&set);
        chain_set(line, 5, 5, &set); /* the set leaves it out: the device has kept it */
        input.links = encoder_view(&set);
        expect_accepted(&input, 1);
        input.recorded = link_of(4);
        expect_refused(&input, RS_REASON_REVOKED, "link 4");
        input.crls = NULL;
        expect_accepted(&input, 1);
        input.crls = crls;
        input.recorded = link_of(3); /* not that of the record: as if none was kept */
        expect_accepted(&input, 1);
        input.recorded = SPAN("damaged", 7);
        expect_accepted(&input, 1);
        input.recorded = link_of(4);

        chain_bridge(line, chain_fixture_release(line, 5), &line->recovery[2], &line->recovery[1], &bridge);
        encoder_done(&set);
        chain_set_of((const Span[]){ link_of(4), encoder_view(&bridge) }, 2, &set);
        input.links = encoder_view(&set);
        expect_accepted(&input, 1);
        input.from = &chain_fixture_release(line, 3)->record;
        expect_accepted(&input, 1);
}

static void each_signature_by_another_key_or_missing_is_refused(void **state) {
        const ChainRelease *release = chain_fixture_release(line, 4);
        RsError err = RS_ERROR_INIT;

        (void) state;
        for (int which = 0; which < 6; which++) {
                _cleanup_(encoder_done) Encoder e = ENCODER_INIT, again = ENCODER_INIT;
                Link link = parsed(link_of(4)), other = parsed(link_of(5));
                Span *field = which % 3 == 0 ? &link.endorsement : which % 3 == 1 ? &link.approval : &link.possession;
                Span theirs = which % 3 == 0 ? other.endorsement : which % 3 == 1 ? other.approval : other.possession;

                *field = which < 3 ? theirs : SPAN_NULL;
                assert_int_equal(link_encode(&link, &e, &err), 0);
                if (which % 3 == 2 || which >= 3) {
                        expect_link(3, encoder_view(&e), 4, which < 3 ? RS_REASON_SIGNATURE : RS_REASON_CHAIN,
                                    which < 3 ? "possession" : "draft");
                        continue;
                }
                chain_sign(encoder_view(&e), NULL, NULL, &release->signer, &again); /* possession covers the others */
                expect_link(3, encoder_view(&again), 4, RS_REASON_SIGNATURE, which == 0 ? "endorsement" : "approval");
        }
}

/* A link approved for a line at level L2 stays what it is: the Name of the index is under all three signatures. */
static void a_link_for_another_index_name_is_refused(void **state) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT, again = ENCODER_INIT;
        Link link = parsed(link_of(4));
        RsError err = RS_ERROR_INIT;

        (void) state;
        link.chain_name[5] ^= 1;
        assert_int_equal(link_encode(&link, &e, &err), 0);
        chain_sign(encoder_view(&e), NULL, NULL, &chain_fixture_release(line, 4)->signer, &again);
        expect_link(3, encoder_view(&again), 4, RS_REASON_SIGNATURE, "endorsement");
}

/* -- rule 9 ----------------------------------------------------------------------------------------------------- */

static void the_last_link_is_for_this_manifest_by_this_key(void **state) {
        _cleanup_(encoder_done) Encoder set = ENCODER_INIT;
        ChainInput input;

        (void) state;
        chain_set(line, 4, 5, &set);
        input = chain_input(line, 3, encoder_view(&set), 5);
        input.goal.manifest_digest[31] ^= 1;
        expect_refused(&input, RS_REASON_CHAIN, "another manifest");
        input = chain_input(line, 3, encoder_view(&set), 5);
        input.goal.signer_spki[31] ^= 1;
        expect_refused(&input, RS_REASON_CHAIN, "another signer than the manifest's");
        input = chain_input(line, 3, encoder_view(&set), 5);
        input.goal.epoch++;
        expect_refused(&input, RS_REASON_CHAIN, "the manifest is 5 of 2");
        input = chain_input(line, 3, encoder_view(&set), 4);
        expect_refused(&input, RS_REASON_CHAIN, "link 5 lies behind the release 4");
}

/* -- properties ------------------------------------------------------------------------------------------------- */

/*
 * Any flipped byte of a set of three is refused, or ends where the set without the damaged link would.  The fixed parts
 * are tried whole; of certificates and signatures, which cost a walk each, every fifth byte.
 */
static void no_flipped_byte_leads_elsewhere(void **state) {
        _cleanup_(encoder_done) Encoder set = ENCODER_INIT;
        ChainRecord to = chain_fixture_release(line, 6)->record;
        uint32_t n_accepted = 0;
        ChainInput input;

        (void) state;
        chain_set(line, 4, 6, &set);
        input = chain_input(line, 4, encoder_view(&set), 6); /* link 4 is not needed */
        for (size_t i = 0; i < set.size; i++) {
                const size_t in_link = (i - 4) % link_of(4).size; /* all of about the same size */
                RsError err = RS_ERROR_INIT;
                ChainWalk walk = { 0 };

                if (i > 4 && in_link > 220 && i % 5 != 0)
                        continue;
                set.data[i] ^= (uint8_t) (1u << i % 8);
                if (chain_walk(&input, &walk, &err) >= 0) {
                        assert_memory_equal(&walk.to, &to, sizeof(to));
                        assert_int_equal(walk.n_steps, 2);
                        assert_true(i >= 4 + 16 && i < 4 + link_of(4).size); /* nothing of links 5 and 6 */
                        n_accepted++;
                }
                chain_walk_done(&walk);
                set.data[i] ^= (uint8_t) (1u << i % 8);
        }
        assert_true(n_accepted > 0);
}

static void what_is_missing_is_named_for_who_fetches_it(void **state) {
        const Span links[] = { link_of(2), link_of(5), link_of(6) };
        _cleanup_(encoder_done) Encoder set = ENCODER_INIT;
        const struct {
                uint64_t from, to, first, last;
        } cases[] = {
                { 1, 6, 3, 4 }, { 4, 6, 0, 0 }, { 2, 6, 3, 4 }, { 6, 9, 7, 9 }, { 1, 4, 3, 4 },
                { 3, 6, 4, 4 }, { 0, 6, 0, 0 }, { 0, 4, 4, 4 }, { 6, 6, 0, 0 }, { 6, 2, 0, 0 },
        };

        (void) state;
        chain_set_of(links, ELEMENTSOF(links), &set);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const ChainRecord *from = cases[i].from ? &chain_fixture_release(line, cases[i].from)->record : NULL;
                uint64_t first = 77, last = 77;
                RsError err = RS_ERROR_INIT;

                assert_int_equal(chain_missing(from, encoder_view(&set), cases[i].to, &first, &last, &err), 0);
                assert_int_equal(first, cases[i].first);
                assert_int_equal(last, cases[i].last);
        }
}

/* As many as the cap permits, as after years in a warehouse. */
static void a_thousand_links_are_walked(void **state) {
        ChainFixture *f = chain_fixture_new("gateway");
        _cleanup_(encoder_done) Encoder set = ENCODER_INIT;
        ChainInput input;

        (void) state;
        chain_fixture_extend(f, 1 + LINK_SET_COUNT_MAX, 1);
        chain_set(f, 2, 1 + LINK_SET_COUNT_MAX, &set);
        assert_true(set.size <= LINK_SET_MAX);
        input = chain_input(f, 1, encoder_view(&set), 1 + LINK_SET_COUNT_MAX);
        expect_accepted(&input, LINK_SET_COUNT_MAX);
        (void) chain_fixture_free(f);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_device_follows_one_link_several_and_a_bridge),
                cmocka_unit_test(a_factory_device_takes_one_object_of_any_kind),
                cmocka_unit_test(the_same_link_twice_counts_once),
                cmocka_unit_test(a_checkpoint_is_taken_where_it_saves_steps_and_both_ways_go_on),
                cmocka_unit_test(two_releases_at_one_index_of_the_set_are_a_fork),
                cmocka_unit_test(one_record_under_two_signatures_is_refused),
                cmocka_unit_test(a_set_above_the_cap_is_refused_before_any_signature),
                cmocka_unit_test(an_older_release_is_a_rollback_whatever_links_come_with_it),
                cmocka_unit_test(the_same_release_again_needs_no_link_and_another_one_is_a_fork),
                cmocka_unit_test(a_link_for_the_recorded_index_that_differs_from_the_record_is_a_fork),
                cmocka_unit_test(missing_links_are_a_gap_that_names_them),
                cmocka_unit_test(a_link_that_another_signer_endorsed_is_a_fork),
                cmocka_unit_test(a_bridge_needs_two_different_recovery_keys_in_their_order),
                cmocka_unit_test(a_device_without_recovery_keys_takes_no_bridge),
                cmocka_unit_test(a_bridge_leaps_only_so_far),
                cmocka_unit_test(a_bridge_that_was_taken_already_leads_nowhere),
                cmocka_unit_test(a_genesis_is_no_way_on),
                cmocka_unit_test(a_record_that_does_not_follow_from_its_certificate_is_refused),
                cmocka_unit_test(a_certificate_for_another_index_or_predecessor_is_refused),
                cmocka_unit_test(a_link_of_another_line_is_refused),
                cmocka_unit_test(an_epoch_that_falls_or_leaps_is_refused),
                cmocka_unit_test(nearer_bridges_are_taken_when_the_last_one_is_epochs_away),
                cmocka_unit_test(a_signer_key_that_signs_a_second_release_is_refused),
                cmocka_unit_test(a_signer_under_another_root_is_refused),
                cmocka_unit_test(an_authority_beside_the_path_is_refused),
                cmocka_unit_test(expired_signers_of_the_past_are_no_obstacle_and_the_last_one_is),
                cmocka_unit_test(a_revoked_signer_endorses_nothing_and_a_bridge_leads_past_it),
                cmocka_unit_test(each_signature_by_another_key_or_missing_is_refused),
                cmocka_unit_test(a_link_for_another_index_name_is_refused),
                cmocka_unit_test(the_last_link_is_for_this_manifest_by_this_key),
                cmocka_unit_test(no_flipped_byte_leads_elsewhere),
                cmocka_unit_test(what_is_missing_is_named_for_who_fetches_it),
                cmocka_unit_test(a_thousand_links_are_walked),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
