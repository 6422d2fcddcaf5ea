/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * evidence-bounds - no piece of evidence takes the way to the next release away (docs/format-chain.md, section 8): each kind,
 * from the far past, the present and the far future, by a signer that is good, revoked or expired; and what was accepted is
 * given up when its signer turns out to be revoked.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/base/names.h>
#include <reseal/format/statement.h>
#include <reseal/format/trust-set.h>
#include <reseal/install/record.h>
#include <reseal/pki/cms.h>

#include "chain.h"
#include "device.h"
#include "mini-tsa.h"

#define ROOTFS ((uint64_t) 1 << 20)
#define DAY INT64_C(86400)
#define YEAR (365 * DAY)
#define STAMP_AHEAD (30 * DAY)
#define RELEASE_AHEAD (366 * DAY)

typedef enum Signer { GOOD, REVOKED, EXPIRED, _SIGNER_MAX } Signer;

static const int64_t moments[] = { -10 * YEAR, 0, 40 * YEAR };
static TestDevice device;
static TestEngine engine;
static CaKey time_root, source_root, tsa[_SIGNER_MAX], freshness[_SIGNER_MAX];
static ChainKey authority[_SIGNER_MAX];
static X509 *authority_cert[_SIGNER_MAX];
static uint64_t number, seq, release, beginning;
static uint8_t boots;

static ChainFixture *line(void) { return (ChainFixture *) test_history(); }
static uint64_t now(void) { return (uint64_t) time(NULL); }

/* -- world ------------------------------------------------------------------------------------------------------ */

static void put_pem(char ret_path[96], const char *name, const CaKey *root) {
        _cleanup_(encoder_done) Encoder pem = ENCODER_INIT;
        RsError err = RS_ERROR_INIT;

        (void) snprintf(ret_path, 96, "%s/%s", device.dir, name);
        ca_cert_pem(root, &pem);
        assert_int_equal(file_replace(AT_FDCWD, ret_path, encoder_view(&pem), 0600, &err), 0);
}

/* The device starts anew: proofs of before are another boot's. */
static void boot(const char *slot, const TestRelease *r, void (*on_step)(void *, InstallStep, bool)) {
        RsError err = RS_ERROR_INIT;

        if (engine.installer)
                test_engine_close(&engine);
        if (slot)
                test_device_boot(&device, slot, r->bundle_id);
        test_engine_open(&engine, &device, on_step, NULL);
        engine.installer = install_free(engine.installer);
        engine.device.boot_id[0] = ++boots;
        assert_int_equal(install_new(&engine.device, &engine.installer, &err), 0);
}

static RsReason give(WriterEvidence kind, Encoder *bytes) {
        RsError err = RS_ERROR_INIT;
        bool unused;

        (void) install_evidence(engine.installer, kind, encoder_view(bytes), &unused, &err);
        encoder_done(bytes);
        return err.reason;
}

static RsReason give_list(const CaKey *issuer, int64_t moment, const CaKey *revoked) {
        _cleanup_(encoder_done) Encoder der = ENCODER_INIT;
        Encoder section = ENCODER_INIT;

        ca_list(issuer, ++number, (uint64_t) ((int64_t) now() + moment), revoked, &der);
        encoder_u32(&section, 1);
        encoder_u32(&section, (uint32_t) der.size);
        encoder_span(&section, encoder_view(&der));
        return give(WRITER_EVIDENCE_CRLS, &section);
}

static uint64_t floor_in_the_tpm(void) {
        RsError err = RS_ERROR_INIT;
        TpmState tpm;

        assert_int_equal(tpm_state_read(engine.tpm, &tpm, &err), 0);
        return tpm.record.time_floor;
}

/* A release of the line, or of a branch of it that is none of ours; its signer's certificate lives so long. */
static void make(TestRelease *r, ChainFixture *in, uint64_t index, int64_t begins, int64_t ends) {
        ChainFixture *f = in ? in : line();

        f->begins = begins;
        f->ends = ends;
        test_history_branch(in);
        test_release_make(r, index, 0, ROOTFS);
        test_history_branch(NULL);
        f->begins = f->ends = 0;
}

/* The next release of the line is installed, started and marked good: all is as it should be. */
static void next_release_installs(int64_t begins) {
        const char *target = release % 2 == 0 ? "B" : "A";
        char name[WRITER_NAME_SIZE + 1];
        RsError err = RS_ERROR_INIT;
        TestRelease r;

        boot(NULL, NULL, NULL);
        make(&r, NULL, ++release, begins, begins == 0 ? 0 : begins + 10 * YEAR);
        if (test_engine_install(&engine, &r, &err) < 0)
                fail_msg("release %llu: %s: %s", (unsigned long long) release, rs_reason_name(err.reason), err.text);
        boot(target, &r, NULL);
        if (install_mark(engine.installer, INSTALL_BY_DAEMON, WRITER_MARK_GOOD, "", name, &err) < 0)
                fail_msg("%s", err.text);
        test_release_done(&r);
}

static int make_world(void **state) {
        const int64_t began[] = { -20 * YEAR, -20 * YEAR, -20 * YEAR }, ended[] = { 60 * YEAR, 60 * YEAR, -YEAR };
        uint64_t at;

        if (test_pki_setup(state) < 0)
                return -1;
        at = beginning = now();
        test_device_make(&device, ROOTFS);
        device.shared = true;
        time_root = ca_make(NULL, "Time Root", NULL, at - 21 * YEAR, at + 61 * YEAR);
        source_root = ca_make(NULL, "Source Root", NULL, at - 21 * YEAR, at + 61 * YEAR);
        for (unsigned s = 0; s < _SIGNER_MAX; s++) {
                uint64_t from = (uint64_t) ((int64_t) at + began[s]), until = (uint64_t) ((int64_t) at + ended[s]);

                tsa[s] = ca_make(&time_root, "TSA", "critical,timeStamping", from, until);
                freshness[s] = ca_make(&source_root, "Freshness", "critical," RS_OID_EKU_FRESHNESS, from, until);
                authority[s] = chain_key_new();
                authority_cert[s] = chain_authority(line(), &authority[s], s == EXPIRED ? -400 : 3650);
        }
        put_pem(device.time_root, "time-root.pem", &time_root);
        put_pem(device.source_root, "source-root.pem", &source_root);
        next_release_installs(0);
        assert_int_equal(give_list(&time_root, 0, &tsa[REVOKED]), RS_REASON_NONE);
        assert_int_equal(give_list(&source_root, 0, &freshness[REVOKED]), RS_REASON_NONE);
        assert_int_equal(give_list(&(CaKey){ line()->root_key, line()->root }, 0, &(CaKey){ NULL, authority_cert[REVOKED] }),
                         RS_REASON_NONE);
        return 0;
}

static int remove_world(void **state) {
        test_engine_close(&engine);
        for (unsigned s = 0; s < _SIGNER_MAX; s++) {
                ca_done(&tsa[s]);
                ca_done(&freshness[s]);
                chain_key_done(&authority[s]);
                X509_free(authority_cert[s]);
        }
        ca_done(&time_root);
        ca_done(&source_root);
        test_device_done(&device);
        return test_pki_teardown(state);
}

/* -- one piece of each kind ------------------------------------------------------------------------------------- */

/* An authority's list is judged by its certificate, which comes with links. */
static RsReason a_list(int64_t moment, Signer by) {
        ChainFixture *branch = chain_fixture_branch(line(), line()->n_releases);
        const uint32_t n = branch->n_releases;
        Encoder links = ENCODER_INIT;

        branch->authority = authority[by];
        branch->authority_cert = authority_cert[by];
        (void) chain_fixture_add(branch, 0, NULL, false);
        chain_set(branch, n + 1, n + 1, &links);
        (void) chain_fixture_unbranch(branch, n);
        assert_int_equal(give(WRITER_EVIDENCE_LINKS, &links), RS_REASON_NONE);
        return give_list(&(CaKey){ authority[by].key, authority_cert[by] }, moment, NULL);
}

static RsReason a_stamp_of(int64_t moment, const CaKey *by) {
        Encoder answer = ENCODER_INIT;
        RsError err = RS_ERROR_INIT;
        WriterTime t;

        assert_int_equal(install_time(engine.installer, &t, &err), 0);
        tsa_ahead = moment;
        tsa_answer(SPAN(t.query, t.query_size), by, NULL, &answer);
        tsa_ahead = 0;
        return give(WRITER_EVIDENCE_TIME, &answer);
}

static RsReason a_stamp(int64_t moment, Signer by) {
        return a_stamp_of(moment, &tsa[by]);
}

static RsReason a_word(uint64_t latest, int64_t moment, const CaKey *by) {
        Statement s = { .latest = latest, .seq = ++seq, .issued = (uint64_t) ((int64_t) now() + moment) };
        _cleanup_(encoder_done) Encoder json = ENCODER_INIT;
        RsError err = RS_ERROR_INIT;
        Encoder cms = ENCODER_INIT;

        (void) strcpy(s.line, TEST_LINE);
        s.expires = s.issued + 7 * DAY;
        assert_int_equal(statement_encode(&s, &json, &err), 0);
        assert_int_equal(cms_sign(encoder_view(&json), by->cert, by->key, NULL, &cms, &err), 0);
        return give(WRITER_EVIDENCE_STATEMENT, &cms);
}

static RsReason a_statement(int64_t moment, Signer by) {
        return a_word(release + 1, moment, &freshness[by]);
}

/* Offered, and never finished. */
static RsReason an_offer(int64_t moment, Signer by) {
        ChainFixture *branch = chain_fixture_branch(line(), line()->n_releases);
        const uint32_t n = branch->n_releases;
        uint64_t index = release + 1;
        RsError err = RS_ERROR_INIT;
        WriterOffer unused;
        TestRelease r;

        make(&r, branch, index, by == EXPIRED ? moment - YEAR : moment, by == EXPIRED ? -YEAR : 60 * YEAR);
        if (by == REVOKED) {
                _cleanup_(encoder_done) Encoder der = ENCODER_INIT;
                Encoder section = ENCODER_INIT;
                bool changed;

                assert_int_equal(install_evidence(engine.installer, WRITER_EVIDENCE_LINKS, encoder_view(&r.links), &changed,
                                                  &err), 0);
                chain_crl(branch, ++number, &index, 1, &der);
                encoder_u32(&section, 1);
                encoder_u32(&section, (uint32_t) der.size);
                encoder_span(&section, encoder_view(&der));
                assert_int_equal(give(WRITER_EVIDENCE_CRLS, &section), RS_REASON_NONE);
        }
        if (test_engine_offer(&engine, &r, &unused, &err) == 0)
                install_abort(engine.installer);
        test_release_done(&r);
        (void) chain_fixture_unbranch(branch, n);
        return err.reason;
}

/* -- the table -------------------------------------------------------------------------------------------------- */

static void no_evidence_raises_the_floor_beyond_its_bound(void **state) {
        static const struct {
                const char *name;
                RsReason (*give)(int64_t moment, Signer by);
                RsReason good[ELEMENTSOF(moments)]; /* by a good signer, at each moment */
                int64_t ahead;                      /* so far it may raise the floor, from now */
        } kinds[] = {
                { "list", a_list, { RS_REASON_NONE, RS_REASON_NONE, RS_REASON_NONE }, 0 },
                { "statement", a_statement, { RS_REASON_FREEZE, RS_REASON_NONE, RS_REASON_NONE }, 0 },
                { "offer", an_offer, { RS_REASON_NONE, RS_REASON_NONE, RS_REASON_NONE }, 0 },
                { "stamp", a_stamp, { RS_REASON_TIME_PROOF, RS_REASON_NONE, RS_REASON_NONE }, STAMP_AHEAD },
        };
        static const RsReason refused[] = { [REVOKED] = RS_REASON_REVOKED, [EXPIRED] = RS_REASON_EXPIRED };

        (void) state;
        for (size_t k = 0; k < ELEMENTSOF(kinds); k++)
                for (unsigned m = 0; m < ELEMENTSOF(moments); m++)
                        for (Signer s = 0; s < _SIGNER_MAX; s++) {
                                RsReason expected = s == GOOD ? kinds[k].good[m] : refused[s], reason;
                                RsError err = RS_ERROR_INIT;
                                uint64_t before, after;
                                WriterTime t;

                                boot(NULL, NULL, NULL);
                                before = floor_in_the_tpm();
                                reason = kinds[k].give(moments[m], s);
                                after = floor_in_the_tpm();
                                if (reason != expected)
                                        fail_msg("%s, moment %u, signer %d: %s", kinds[k].name, m, (int) s, rs_reason_name(reason));
                                if (after > before && (kinds[k].ahead == 0 || s != GOOD ||
                                                       after > now() + (uint64_t) (kinds[k].ahead + DAY)))
                                        fail_msg("%s, moment %u, signer %d: floor %llu, now is %llu", kinds[k].name, m, (int) s,
                                                 (unsigned long long) after, (unsigned long long) now());
                                boot(NULL, NULL, NULL); /* nor does the file say more in the next boot */
                                assert_int_equal(install_time(engine.installer, &t, &err), 0);
                                assert_true(t.low <= now() + (uint64_t) (STAMP_AHEAD + DAY));
                        }
        next_release_installs(0);
}

/*
 * An authority lies by years, and the certificate of the honest one ends within them: its word ends the lie, once
 * the days that the lie has left in the TPM are over.
 */
static void a_lie_is_ended_by_an_authority_that_ends_before_it(void **state) {
        CaKey honest = ca_make(&time_root, "TSA 2", "critical,timeStamping", now() - DAY, now() + YEAR);

        (void) state;
        boot(NULL, NULL, NULL);
        assert_int_equal(a_stamp(5 * YEAR, GOOD), RS_REASON_NONE);
        assert_int_equal(a_stamp_of(STAMP_AHEAD + DAY, &honest), RS_REASON_TIME_PROOF); /* both are forgotten */
        assert_int_equal(a_stamp_of(STAMP_AHEAD + DAY, &honest), RS_REASON_NONE);
        assert_int_equal(a_stamp(0, EXPIRED), RS_REASON_EXPIRED);
        ca_done(&honest);
        next_release_installs(0);
}

/* The authority dates a certificate by a clock that is wrong: one release, one step. */
static void a_release_of_the_far_future_makes_one_step(void **state) {
        (void) state;
        next_release_installs(40 * YEAR);
        assert_in_range(floor_in_the_tpm(), now(), now() + (uint64_t) (STAMP_AHEAD + RELEASE_AHEAD + DAY));
        next_release_installs(0);
}

/* -- accepted, and revoked since -------------------------------------------------------------------------------- */

static ChainFixture *stolen_in;
static TestRelease stolen;
static InstallStep last_step;
static bool revoke_at_w5;

static void revoke_stolen(void) {
        _cleanup_(encoder_done) Encoder der = ENCODER_INIT;
        uint64_t index = release + 1;
        Encoder section = ENCODER_INIT;

        chain_crl(stolen_in, ++number, &index, 1, &der);
        encoder_u32(&section, 1);
        encoder_u32(&section, (uint32_t) der.size);
        encoder_span(&section, encoder_view(&der));
        assert_int_equal(give(WRITER_EVIDENCE_CRLS, &section), RS_REASON_NONE);
}

static void on_step(void *userdata, InstallStep step, bool done) {
        (void) userdata;
        last_step = step;
        if (revoke_at_w5 && step == INSTALL_W5_FINISH && !done)
                revoke_stolen();
}

static void make_stolen(void) {
        stolen_in = chain_fixture_branch(line(), line()->n_releases);
        make(&stolen, stolen_in, release + 1, 0, 0);
}

static void stolen_done(void) {
        test_release_done(&stolen);
        stolen_in = chain_fixture_unbranch(stolen_in, line()->n_releases);
}

/* Between OFFER and W7 the list comes, by another connection: nothing is accepted, and the good release installs. */
static void a_signer_revoked_before_w7_accepts_nothing(void **state) {
        RsError err = RS_ERROR_INIT;
        TpmState tpm;

        (void) state;
        make_stolen();
        boot(NULL, NULL, on_step);
        revoke_at_w5 = true;
        assert_true(test_engine_install(&engine, &stolen, &err) < 0);
        revoke_at_w5 = false;
        if (err.reason != RS_REASON_REVOKED)
                fail_msg("%s: %s", rs_reason_name(err.reason), err.text);
        assert_int_equal(last_step, INSTALL_W7_ACCEPT);
        assert_int_equal(tpm_state_read(engine.tpm, &tpm, &err), 0);
        assert_int_equal(tpm.record.release, release);
        err = RS_ERROR_INIT;
        boot(NULL, NULL, NULL); /* nor does it resume */
        assert_true(test_engine_install(&engine, &stolen, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_REVOKED);
        stolen_done();
        next_release_installs(0);
}

/* Before the first frame: the fallback is not given up for it. */
static void a_signer_revoked_before_w1_costs_no_fallback(void **state) {
        WriterRange *ranges = calloc(WRITER_RANGES_MAX, sizeof(*ranges));
        uint32_t next, n;
        RsError err = RS_ERROR_INIT;
        WriterOffer offer;
        bool refused = false;

        (void) state;
        assert_non_null(ranges);
        make_stolen();
        boot(NULL, NULL, on_step);
        assert_int_equal(test_engine_offer(&engine, &stolen, &offer, &err), 0);
        for (uint32_t i = 0; i < offer.n_images; i++)
                assert_int_equal(install_table(engine.installer, i, encoder_view(&stolen.images[i].encoded), &next, ranges, &n,
                                               &err), 0);
        revoke_stolen();
        for (uint32_t f = 0; !refused && f < stolen.images[0].table->n_frames; f++) {
                WriterFrame request = { .image = 0, .frame = f };
                const uint8_t *data;
                bool has_data = test_frame(&stolen, 0, f, &data, &request.size);

                refused = install_frame(engine.installer, &request, has_data ? data : NULL, &err) < 0;
        }
        free(ranges);
        assert_true(refused);
        assert_int_equal(err.reason, RS_REASON_REVOKED);
        assert_int_equal(last_step, INSTALL_W0_GATE);
        stolen_done();
        next_release_installs(0);
}

/* Whoever has the disk writes into slot-NAME.info what he likes: the floor of the epochs stays within the TPM's record. */
static void an_epoch_on_the_disk_raises_no_floor(void **state) {
        const char *running = release % 2 == 1 ? "B" : "A";
        RsError err = RS_ERROR_INIT;
        InstallSlot slot;
        TpmState tpm;

        (void) state;
        boot(NULL, NULL, NULL);
        assert_int_equal(install_slot_load(engine.state_fd, running, &slot, &err), 1);
        slot.epoch = INT32_MAX;
        slot.floor_max = UINT64_MAX;
        assert_int_equal(install_slot_save(engine.state_fd, &slot, &err), 0);
        boot(NULL, NULL, NULL);
        assert_int_equal(install_converge(engine.installer, &err), 0);
        assert_int_equal(tpm_state_read(engine.tpm, &tpm, &err), 0);
        assert_int_equal(tpm.record.floor_epoch, 0);
        next_release_installs(0);
}

/* The thief of a freshness key says that the latest release is far away: once the key is revoked, that is no bar. */
static void a_word_by_a_key_that_was_revoked_since_is_no_bar(void **state) {
        CaKey thief = ca_make(&source_root, "Freshness 2", "critical," RS_OID_EKU_FRESHNESS, now() - 10, now() + YEAR);
        RsError err = RS_ERROR_INIT;
        WriterOffer unused;

        (void) state;
        make_stolen(); /* any release that comes next */
        boot(NULL, NULL, NULL);
        assert_int_equal(a_word(INT64_MAX, 0, &thief), RS_REASON_NONE);
        assert_true(test_engine_offer(&engine, &stolen, &unused, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_FREEZE);
        err = RS_ERROR_INIT;
        assert_int_equal(give_list(&source_root, 0, &thief), RS_REASON_NONE);
        if (test_engine_offer(&engine, &stolen, &unused, &err) < 0)
                fail_msg("%s: %s", rs_reason_name(err.reason), err.text);
        assert_int_equal(give_list(&source_root, 0, &freshness[REVOKED]), RS_REASON_NONE); /* as it was */
        stolen_done();
        ca_done(&thief);
        next_release_installs(0);
}

/* A root again, by its own key, under another name. */
static CaKey renamed(const CaKey *root) {
        CaKey k = { root->key, X509_dup(root->cert) };
        X509_NAME *name = X509_NAME_new();

        assert_true(k.cert && name);
        assert_int_equal(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const uint8_t *) "Another", -1, -1, 0), 1);
        assert_int_equal(X509_set_subject_name(k.cert, name), 1);
        assert_int_equal(X509_set_issuer_name(k.cert, name), 1);
        assert_true(X509_sign(k.cert, k.key, EVP_sha384()) > 0);
        X509_NAME_free(name);
        return k;
}

static void store_set(const CaKey *root, const CaKey *again, const CaKey *other) {
        const CaKey *signers[] = { root, again, other };
        _cleanup_(encoder_done) Encoder json = ENCODER_INIT, pem = ENCODER_INIT, cms = ENCODER_INIT;
        _cleanup_(trust_set_freep) TrustSet *s = calloc(1, sizeof(*s));
        RsError err = RS_ERROR_INIT;

        assert_non_null(s);
        ca_cert_pem(again, &pem);
        ca_cert_pem(other, &pem);
        encoder_u8(&pem, 0);
        (void) strcpy(s->line, TEST_LINE);
        s->version = 1;
        s->quorum = 2;
        s->firmware_pem = strdup((const char *) pem.data);
        s->source_pem = strdup("");
        s->time_pem = strdup("");
        s->recovery_pem = strdup("");
        assert_int_equal(trust_set_encode(s, &json, &err), 0);
        for (unsigned i = 0; i < ELEMENTSOF(signers); i++) {
                Encoder more = ENCODER_INIT;

                if (i > 0 && signers[i]->cert == root->cert)
                        continue;
                assert_int_equal(cms_add_signer(encoder_view(&cms), encoder_view(&json), signers[i]->cert, signers[i]->key,
                                                &more, &err), 0);
                encoder_done(&cms);
                cms = more;
        }
        (void) snprintf(device.trust_set, sizeof(device.trust_set), "%s/store.set", device.dir);
        assert_int_equal(file_replace(AT_FDCWD, device.trust_set, encoder_view(&cms), 0644, &err), 0);
}

/* Each key stays, and yet the running release would not start under the set: it waits. */
static void a_root_with_another_certificate_does_not_stop_what_runs(void **state) {
        const CaKey root = { line()->root_key, line()->root };
        CaKey again = renamed(&root), other = ca_make(NULL, "Root 2", NULL, now() - DAY, now() + YEAR);
        InstallAlarm alarm = _INSTALL_ALARM_MAX;
        RsError err = RS_ERROR_INIT, told = RS_ERROR_INIT;
        WriterTrust t;

        (void) state;
        put_pem(device.root, "one-root.pem", &root);
        store_set(&root, &again, &other);
        boot(NULL, NULL, NULL);
        assert_int_equal(install_trust(engine.installer, &t, &err), 0);
        assert_int_equal(t.trust_version, 0);
        assert_true(install_untold(engine.installer, &alarm, &told));
        assert_int_equal(alarm, INSTALL_ALARM_TRUST_SET);
        assert_non_null(strstr(told.text, "another certificate"));
        X509_free(again.cert);
        store_set(&root, &root, &other);
        assert_int_equal(install_trust(engine.installer, &t, &err), 0);
        assert_int_equal(t.trust_version, 1);
        ca_done(&other);
        next_release_installs(0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(an_epoch_on_the_disk_raises_no_floor),
                cmocka_unit_test(a_word_by_a_key_that_was_revoked_since_is_no_bar),
                cmocka_unit_test(a_signer_revoked_before_w7_accepts_nothing),
                cmocka_unit_test(a_signer_revoked_before_w1_costs_no_fallback),
                cmocka_unit_test(no_evidence_raises_the_floor_beyond_its_bound),
                cmocka_unit_test(a_lie_is_ended_by_an_authority_that_ends_before_it),
                cmocka_unit_test(a_release_of_the_far_future_makes_one_step), /* and then the device is a year ahead */
                cmocka_unit_test(a_root_with_another_certificate_does_not_stop_what_runs),
        };

        cmocka_set_test_filter(getenv("RESEAL_TEST_FILTER"));
        return cmocka_run_group_tests(tests, make_world, remove_world);
}
