/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Trust sets and revocation lists: who may replace the roots (S23, S25, S33), what a cut, a restored disk and a lost
 * store lead to (threats T45, T16), and that everything converges.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cmocka.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/format/trust-set.h>
#include <reseal/pki/cms.h>
#include <reseal/trust/anchors.h>

#include "mini-ca.h"

#define NOW UINT64_C(1800000000)
#define YEAR UINT64_C(31536000)

/* Roots 0 to 2 are those of version 0, 3 to 5 replace them. */
static CaKey roots[6], source, authority, recovery[3];
static char dir[] = "/tmp/reseal-anchors-XXXXXX";
static int dir_fd = -EBADF, state_fd = -EBADF;
static char root_path[64], one_root_path[64], set_path[64], recovery_path[64], source_path[64];

/* -- world ------------------------------------------------------------------------------------------------------ */

static void write_file(const char *name, Span content) {
        RsError err = RS_ERROR_INIT;

        assert_int_equal(file_replace(dir_fd, name, content, 0644, &err), 0);
}

static void pems(const CaKey *keys, uint32_t n, bool public_only, Encoder *e) {
        for (uint32_t i = 0; i < n; i++)
                (public_only ? ca_key_pem : ca_cert_pem)(&keys[i], e);
}

static void write_pems(const char *name, const CaKey *keys, uint32_t n, bool public_only) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;

        pems(keys, n, public_only, &e);
        write_file(name, encoder_view(&e));
}

static int make_world(void **state) {
        (void) state;
        assert_non_null(mkdtemp(dir));
        dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        for (size_t i = 0; i < ELEMENTSOF(roots); i++)
                roots[i] = ca_make(NULL, "Firmware Root", NULL, NOW - YEAR, NOW + 20 * YEAR);
        source = ca_make(NULL, "Source Root", NULL, NOW - YEAR, NOW + 20 * YEAR);
        authority = ca_make(&roots[0], "Authority", NULL, NOW - YEAR, NOW + 20 * YEAR);
        for (size_t i = 0; i < ELEMENTSOF(recovery); i++)
                recovery[i] = ca_make(&roots[0], "Recovery", NULL, NOW - YEAR, NOW + 20 * YEAR);
        (void) snprintf(root_path, sizeof(root_path), "%s/roots.pem", dir);
        (void) snprintf(one_root_path, sizeof(one_root_path), "%s/root.pem", dir);
        (void) snprintf(source_path, sizeof(source_path), "%s/source.pem", dir);
        (void) snprintf(recovery_path, sizeof(recovery_path), "%s/recovery.pem", dir);
        (void) snprintf(set_path, sizeof(set_path), "%s/store.set", dir);
        write_pems("roots.pem", roots, 3, false);
        write_pems("root.pem", roots, 1, false);
        write_pems("source.pem", &source, 1, false);
        write_pems("recovery.pem", recovery, 3, true);
        return 0;
}

static int remove_world(void **state) {
        char command[96];

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(roots); i++)
                ca_done(&roots[i]);
        for (size_t i = 0; i < ELEMENTSOF(recovery); i++)
                ca_done(&recovery[i]);
        ca_done(&source);
        ca_done(&authority);
        closep(&dir_fd);
        (void) snprintf(command, sizeof(command), "rm -r %s", dir);
        return system(command) == 0 ? 0 : -1;
}

static void run(const char *commands) {
        char line[256];

        (void) snprintf(line, sizeof(line), "cd %s && %s", dir, commands);
        assert_int_equal(system(line), 0);
}

/* Each test begins with an empty state directory and an empty store. */
static int fresh_state(void **state) {
        (void) state;
        run("rm -rf state store.set* && mkdir state");
        state_fd = openat(dir_fd, "state", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(state_fd >= 0);
        return 0;
}

static int close_state(void **state) {
        (void) state;
        closep(&state_fd);
        return 0;
}

/* -- sets ------------------------------------------------------------------------------------------------------- */

typedef struct SetSpec {
        uint64_t version;
        uint32_t quorum;
        unsigned members, signers;   /* bit per root */
        const char *line;            /* NULL: gateway */
        const char *recovery_pem;    /* NULL: the three */
        uint64_t restart;
} SetSpec;

static char *text_of(Encoder *e) {
        encoder_u8(e, 0);
        assert_int_equal(encoder_finish(e), 0);
        return (char *) TAKE_PTR(e->data);
}

static void make_set(const SetSpec *spec, Encoder *ret) {
        _cleanup_(encoder_done) Encoder json = ENCODER_INIT, pem = ENCODER_INIT, keys = ENCODER_INIT, from = ENCODER_INIT;
        _cleanup_(trust_set_freep) TrustSet *s = calloc(1, sizeof(*s));
        RsError err = RS_ERROR_INIT;

        assert_non_null(s);
        (void) snprintf(s->line, sizeof(s->line), "%s", spec->line ? spec->line : "gateway");
        s->version = spec->version;
        s->quorum = spec->quorum;
        s->restart = spec->restart;
        for (size_t i = 0; i < ELEMENTSOF(roots); i++)
                if (spec->members & (1u << i))
                        ca_cert_pem(&roots[i], &pem);
        s->firmware_pem = text_of(&pem);
        pems(&source, 1, false, &from);
        s->source_pem = text_of(&from);
        s->time_pem = strdup("");
        if (!spec->recovery_pem)
                pems(recovery, 3, true, &keys);
        s->recovery_pem = spec->recovery_pem ? strdup(spec->recovery_pem) : text_of(&keys);
        if (trust_set_encode(s, &json, &err) < 0)
                fail_msg("%s", err.text);
        for (size_t i = 0; i < ELEMENTSOF(roots); i++) {
                _cleanup_(encoder_done) Encoder next = ENCODER_INIT;

                if (!(spec->signers & (1u << i)))
                        continue;
                if (cms_add_signer(encoder_view(ret), encoder_view(&json), roots[i].cert, roots[i].key, &next, &err) < 0)
                        fail_msg("%s", err.text);
                encoder_done(ret);
                *ret = next;
                next = ENCODER_INIT;
        }
}

static void refuse_set(Span accepted, const TrustAnchors *version0, const SetSpec *spec, RsReason reason) {
        _cleanup_(encoder_done) Encoder set = ENCODER_INIT;
        RsError err = RS_ERROR_INIT;
        uint64_t version;

        make_set(spec, &set);
        assert_true(trust_set_judge(accepted, version0, encoder_view(&set), "gateway", &version, &err) < 0);
        if (err.reason != reason)
                fail_msg("%s: %s", rs_reason_name(err.reason), err.text);
}

static unsigned bits(unsigned mask) {
        return (unsigned) __builtin_popcount(mask);
}

static void set_needs_a_quorum_of_old_and_of_new_roots(void **state) {
        _cleanup_(anchors_freep) TrustAnchors *version0 = NULL;
        RsError err = RS_ERROR_INIT;
        unsigned accepted = 0;

        (void) state;
        assert_int_equal(anchors_load(root_path, &version0, &err), 0);
        for (unsigned signers = 1; signers < 64; signers++) {
                _cleanup_(encoder_done) Encoder set = ENCODER_INIT;
                RsError refusal = RS_ERROR_INIT;
                bool good = bits(signers & 7) >= 2 && bits(signers >> 3) >= 2;
                uint64_t version = 0;
                int r;

                make_set(&(SetSpec){ 1, 2, 7u << 3, signers, NULL, NULL, 0 }, &set);
                r = trust_set_judge(SPAN_NULL, version0, encoder_view(&set), "gateway", &version, &refusal);
                if ((r == 0) != good)
                        fail_msg("signers %#x: %s", signers, refusal.text);
                assert_true(good ? version == 1 : refusal.reason == RS_REASON_TRUST_SET);
                accepted += good;
        }
        assert_int_equal(accepted, 16);
}

static void quorum_of_the_accepted_set_counts_and_not_that_of_the_new_one(void **state) {
        _cleanup_(anchors_freep) TrustAnchors *one = NULL;
        _cleanup_(encoder_done) Encoder accepted = ENCODER_INIT;
        RsError err = RS_ERROR_INIT;
        uint64_t version;

        (void) state;
        /* a device with one root: quorum 1, once */
        assert_int_equal(anchors_load(one_root_path, &one, &err), 0);
        make_set(&(SetSpec){ 1, 3, 7, 7, NULL, NULL, 0 }, &accepted);
        assert_int_equal(trust_set_judge(SPAN_NULL, one, encoder_view(&accepted), "gateway", &version, &err), 0);
        refuse_set(encoder_view(&accepted), one, &(SetSpec){ 2, 2, 7, 3, NULL, NULL, 0 }, RS_REASON_TRUST_SET);
        refuse_set(encoder_view(&accepted), one, &(SetSpec){ 2, 2, 7u << 3, 3u << 3, NULL, NULL, 0 }, RS_REASON_TRUST_SET);
        refuse_set(SPAN_NULL, one, &(SetSpec){ 1, 2, 7, 1, NULL, NULL, 0 }, RS_REASON_TRUST_SET);
        refuse_set(SPAN_NULL, one, &(SetSpec){ 1, 2, 7, 6, NULL, NULL, 0 }, RS_REASON_TRUST_SET);
}

static void version_line_and_keys_are_judged(void **state) {
        _cleanup_(anchors_freep) TrustAnchors *version0 = NULL;
        _cleanup_(encoder_done) Encoder accepted = ENCODER_INIT, p384 = ENCODER_INIT, good = ENCODER_INIT, far = ENCODER_INIT;
        _cleanup_(freep) char *weak = NULL;
        RsError err = RS_ERROR_INIT;
        uint64_t version;

        (void) state;
        assert_int_equal(anchors_load(root_path, &version0, &err), 0);
        make_set(&(SetSpec){ 5, 2, 7, 7, NULL, NULL, 0 }, &accepted);
        for (uint64_t v = 1; v <= 5; v++)
                refuse_set(encoder_view(&accepted), version0, &(SetSpec){ v, 2, 7, 7, NULL, NULL, 0 }, RS_REASON_TRUST_SET);
        refuse_set(encoder_view(&accepted), version0, &(SetSpec){ 6, 2, 7, 7, "other", NULL, 0 }, RS_REASON_LINE);
        pems(roots, 3, true, &p384); /* the TPM cannot verify these */
        weak = text_of(&p384);
        refuse_set(encoder_view(&accepted), version0, &(SetSpec){ 6, 2, 7, 7, NULL, weak, 0 }, RS_REASON_ALGORITHM);
        /* what leads to the last version there is would be the last set there is */
        refuse_set(encoder_view(&accepted), version0, &(SetSpec){ INT64_MAX, 2, 7, 7, NULL, NULL, 0 }, RS_REASON_TRUST_SET);
        refuse_set(encoder_view(&accepted), version0, &(SetSpec){ 6 + RS_NUMBER_LEAP_MAX, 2, 7, 7, NULL, NULL, 0 },
                   RS_REASON_TRUST_SET);
        make_set(&(SetSpec){ 5 + RS_NUMBER_LEAP_MAX, 2, 7, 7, NULL, NULL, 0 }, &far);
        assert_int_equal(trust_set_judge(encoder_view(&accepted), version0, encoder_view(&far), "gateway", &version, &err), 0);
        make_set(&(SetSpec){ 9, 2, 7, 7, NULL, NULL, 0 }, &good); /* versions may be skipped */
        assert_int_equal(trust_set_judge(encoder_view(&accepted), version0, encoder_view(&good), "gateway", &version, &err), 0);
        assert_int_equal(version, 9);
        assert_true(trust_set_judge(SPAN_NULL, version0, SPAN_NULL, "gateway", &version, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_FORMAT);
}

/* -- store ------------------------------------------------------------------------------------------------------ */

static TrustStore *open_store(const TpmRecord *record) {
        const TrustStoreConfig config = { root_path, source_path, NULL, recovery_path, set_path, state_fd, "gateway" };
        RsError err = RS_ERROR_INIT;
        TrustStore *s = NULL;

        if (trust_store_open(&config, record, &s, &err) < 0)
                fail_msg("%s", err.text);
        return s;
}

static void check_is(const TrustStore *s, const TpmRecord *record, RsReason reason) {
        RsError err = RS_ERROR_INIT;
        int r = trust_store_check(s, record, &err);

        if (err.reason != reason || (r == 0) != (reason == RS_REASON_NONE))
                fail_msg("%s: %s", rs_reason_name(err.reason), err.text);
}

static void store_set(uint64_t version, unsigned members, unsigned signers) {
        _cleanup_(encoder_done) Encoder set = ENCODER_INIT;

        make_set(&(SetSpec){ version, 2, members, signers, NULL, NULL, 0 }, &set);
        write_file("store.set", encoder_view(&set));
}

static int look(TrustStore *s, const TpmRecord *now, TpmRecord *ret) {
        RsError err = RS_ERROR_INIT;
        int r = trust_store_look(s, now, ret, &err);

        if (r < 0)
                fail_msg("%s", err.text);
        return r;
}

static void adopt(TrustStore *s, TpmRecord *record) {
        RsError err = RS_ERROR_INIT;

        assert_int_equal(look(s, record, record), 1);
        if (trust_store_adopted(s, record, &err) < 0)
                fail_msg("%s", err.text);
        check_is(s, record, RS_REASON_NONE);
}

static bool has_root(const TrustStore *s, size_t i) {
        const X509_STORE *store = anchors_store(trust_store_firmware(s));
        STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(store);

        for (int k = 0; k < sk_X509_OBJECT_num(objects); k++)
                if (X509_cmp(X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, k)), roots[i].cert) == 0)
                        return true;
        return false;
}

/* What reseald is given to go by: the accepted set as it was signed, nothing at version 0, and never another. */
static void signed_is(const TrustStore *s, const TpmRecord *record, RsReason reason) {
        _cleanup_(freep) uint8_t *stored = NULL;
        RsError err = RS_ERROR_INIT;
        Span set = SPAN("untouched", 9);
        size_t size = 0;
        int r = trust_store_signed(s, record, &set, &err);

        assert_int_equal(err.reason, reason);
        assert_int_equal(r == 0, reason == RS_REASON_NONE);
        if (r < 0 || record->trust_version == 0) {
                assert_int_equal(set.size, r < 0 ? 9 : 0);
                return;
        }
        assert_int_equal(file_read(dir_fd, "store.set", TRUST_SET_CMS_MAX, &stored, &size, &err), 1);
        assert_true(span_equal(set, SPAN(stored, size)));
}

static void configuration_is_version_zero(void **state) {
        TpmRecord record = { .empty = true }, next;
        _cleanup_(trust_store_freep) TrustStore *s = open_store(&record);
        uint32_t n;

        (void) state;
        check_is(s, &record, RS_REASON_NONE);
        assert_true(has_root(s, 0) && has_root(s, 2) && !has_root(s, 3));
        assert_non_null(trust_store_source(s));
        assert_null(trust_store_time(s));
        assert_non_null(trust_store_recovery(s, &n));
        assert_int_equal(n, 3);
        assert_int_equal(trust_store_version(s), 0);
        signed_is(s, &record, RS_REASON_NONE);
        assert_int_equal(look(s, &record, &next), 0);
}

static void roots_are_replaced_and_the_old_ones_are_nothing_any_more(void **state) {
        TpmRecord record = { 0 };
        _cleanup_(trust_store_freep) TrustStore *s = open_store(&record);
        RsError err = RS_ERROR_INIT;
        TpmRecord next;

        (void) state;
        store_set(1, 7u << 3, 3 | 3u << 3);
        adopt(s, &record);
        signed_is(s, &record, RS_REASON_NONE);
        assert_true(!has_root(s, 0) && has_root(s, 3));
        assert_int_equal(record.trust_version, 1);
        assert_int_equal(look(s, &record, &next), 0);
        store_set(2, 7, 7); /* by those who were replaced */
        assert_true(trust_store_look(s, &record, &next, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_TRUST_SET);
        check_is(s, &record, RS_REASON_NONE);
        store_set(3, 7u << 3, 6u << 3);
        adopt(s, &record);
        assert_int_equal(trust_store_version(s), 3);
}

/* What reseal-certstore does when a set replaces one. */
static void store_keeps(uint64_t version) {
        char command[64];

        (void) snprintf(command, sizeof(command), "cp store.set store.set.%u", (unsigned) (version % TRUST_SETS_KEPT));
        run(command);
}

/* The device was away: three sets have come, and only the first is signed by roots it knows. */
static void sets_in_a_row_are_adopted_one_after_the_other(void **state) {
        TpmRecord record = { 0 }, next;
        _cleanup_(trust_store_freep) TrustStore *s = open_store(&record);
        RsError err = RS_ERROR_INIT;
        TrustNext seen;

        (void) state;
        store_set(1, 7 | 1u << 3, 7 | 1u << 3);
        store_keeps(1);
        store_set(2, 7u << 3, 3 | 3u << 3);
        store_keeps(2);
        store_set(17, 7u << 3, 6u << 3);   /* lies where the first one would be, were it kept there */
        assert_int_equal(look(s, &record, &next), 1);
        trust_store_next(s, &seen);
        assert_int_equal(seen.version, 1);
        assert_false(seen.drops_roots);
        adopt(s, &record);
        assert_int_equal(look(s, &record, &next), 1);
        trust_store_next(s, &seen);
        assert_int_equal(seen.version, 2);
        assert_true(seen.drops_roots);
        adopt(s, &record);
        adopt(s, &record);
        assert_int_equal(trust_store_version(s), 17);
        assert_true(!has_root(s, 0) && has_root(s, 5));
        assert_int_equal(look(s, &record, &next), 0);
        store_set(18, 7, 7);               /* a newest one that is none, and an old one beside it */
        assert_true(trust_store_look(s, &record, &next, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_TRUST_SET);
}

/* What the initramfs asks of each set it finds: is it the one that the TPM names? */
static void the_set_of_the_record_is_told_from_every_other(void **state) {
        _cleanup_(encoder_done) Encoder one = ENCODER_INIT, two = ENCODER_INIT;
        _cleanup_(anchors_freep) TrustAnchors *firmware = NULL;
        TpmRecord record = { 0 };
        _cleanup_(trust_store_freep) TrustStore *s = open_store(&record);
        RsError err = RS_ERROR_INIT;

        (void) state;
        make_set(&(SetSpec){ 1, 2, 7 | 1u << 3, 7 | 1u << 3, NULL, NULL }, &one);
        make_set(&(SetSpec){ 2, 2, 7u << 3, 7 | 7u << 3, NULL, NULL }, &two);
        write_file("store.set", encoder_view(&two));
        adopt(s, &record);
        assert_int_equal(trust_set_of_record(encoder_view(&one), &record, "gateway", &firmware, &err), 0);
        assert_int_equal(trust_set_of_record(SPAN("rubbish", 7), &record, "gateway", &firmware, &err), 0);
        assert_null(firmware);
        assert_int_equal(trust_set_of_record(encoder_view(&two), &record, "gateway", &firmware, &err), 1);
        assert_int_equal(anchors_count(firmware), 3);
        firmware = anchors_free(firmware);
        record.trust_version = 3;
        assert_true(trust_set_of_record(encoder_view(&two), &record, "gateway", &firmware, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_TRUST_SET);
}

/* Steps: 0 looked, 1 and committed, 2 and copied (next still there), 3 and all.  Then what lies in the store changes. */
static void cut_at_every_step_converges(void **state) {
        for (unsigned step = 0; step < 4; step++)
                for (unsigned store = 0; store < 4; store++) {
                        TpmRecord record = { 0 }, committed;
                        _cleanup_(trust_store_freep) TrustStore *s = NULL, *again = NULL;
                        RsError err = RS_ERROR_INIT;

                        (void) close_state(state);
                        (void) fresh_state(state);
                        s = open_store(&record);
                        store_set(1, 7u << 3, 3 | 3u << 3);
                        assert_int_equal(look(s, &record, &committed), 1);
                        if (step >= 1)
                                record = committed;
                        if (step == 2)
                                run("cp state/trust.next state/trust.set");
                        if (step == 3)
                                assert_int_equal(trust_store_adopted(s, &record, &err), 0);
                        if (store == 1)
                                assert_int_equal(file_remove(dir_fd, "store.set", &err), 1);
                        else if (store == 2)
                                store_set(2, 7u << 3, 7 | 7u << 3);
                        else if (store == 3)
                                write_file("store.set", SPAN("rubbish", 7));

                        again = open_store(&record);
                        check_is(again, &record, RS_REASON_NONE);
                        assert_int_equal(trust_store_version(again), step >= 1 ? 1 : 0);
                        assert_true(has_root(again, step >= 1 ? 3 : 0));
                        store_set(2, 7u << 3, 7 | 7u << 3);
                        adopt(again, &record);
                        assert_int_equal(trust_store_version(again), 2);
                        assert_true(faccessat(state_fd, "trust.next", F_OK, 0) < 0);
                }
}

static void version_is(const TpmRecord *record, uint64_t version) {
        _cleanup_(trust_store_freep) TrustStore *s = open_store(record);

        check_is(s, record, RS_REASON_NONE);
        assert_int_equal(trust_store_version(s), version);
}

/* Committed and not copied: what is left of the accepted set is not given up for the next one. */
static void accepted_set_outlives_a_copy_that_failed(void **state) {
        TpmRecord record = { 0 }, next;
        _cleanup_(trust_store_freep) TrustStore *s = open_store(&record);
        RsError refused = RS_ERROR_INIT, again = RS_ERROR_INIT;

        (void) state;
        store_set(1, 7u << 3, 7 | 7u << 3);
        assert_int_equal(look(s, &record, &record), 1);
        run("mkdir state/trust.set");
        assert_true(trust_store_adopted(s, &record, &refused) < 0);
        assert_int_equal(refused.reason, RS_REASON_IO);
        check_is(s, &record, RS_REASON_NONE);
        store_keeps(1);
        store_set(2, 7u << 3, 7u << 3);
        assert_true(trust_store_look(s, &record, &next, &again) < 0);
        assert_int_equal(again.reason, RS_REASON_IO);
        run("rmdir state/trust.set && rm store.set.1");
        version_is(&record, 1);
        (void) trust_store_free(TAKE_PTR(s));
        s = open_store(&record);
        store_set(2, 7u << 3, 7u << 3);
        adopt(s, &record);
        store_keeps(2);
        store_set(3, 7u << 3, 7u << 3);
        run("rm state/trust.set");
        version_is(&record, 2); /* from beside the newest */
        run("test -f state/trust.set");
}

/* Whoever asks each second does not wear the flash out. */
static void set_that_waits_is_written_once(void **state) {
        TpmRecord record = { 0 }, next;
        _cleanup_(trust_store_freep) TrustStore *s = open_store(&record);
        struct stat st;

        (void) state;
        for (uint64_t version = 1; version <= 2; version++) {
                store_set(version, 7, 7);
                assert_int_equal(look(s, &record, &next), 1);
                assert_int_equal(fstatat(state_fd, "trust.next", &st, 0), 0);
                assert_int_equal(st.st_mode & 0777, 0600); /* another set: written */
                assert_int_equal(fchmodat(state_fd, "trust.next", 0400, 0), 0);
                (void) trust_store_free(TAKE_PTR(s));
                s = open_store(&record);
                assert_int_equal(look(s, &record, &next), 1);
                assert_int_equal(fstatat(state_fd, "trust.next", &st, 0), 0);
                assert_int_equal(st.st_mode & 0777, 0400);
        }
        adopt(s, &record);
}

static void store_that_was_put_back_is_refused_until_the_accepted_set_comes_again(void **state) {
        TpmRecord record = { 0 }, before, next;
        _cleanup_(trust_store_freep) TrustStore *s = open_store(&record), *old = NULL;
        RsError err = RS_ERROR_INIT;
        uint32_t n;

        (void) state;
        store_set(1, 7, 7);
        adopt(s, &record);
        before = record;
        run("cp -a state image && cp store.set image.set");
        store_set(2, 7u << 3, 7 | 7u << 3);
        adopt(s, &record);
        run("cp store.set second.set; rm -r state/*; cp image/* state/; cp image.set store.set; rm -r image");

        old = open_store(&record); /* yesterday's disk, today's TPM */
        check_is(old, &record, RS_REASON_TRUST_SET);
        signed_is(old, &record, RS_REASON_TRUST_SET);
        assert_null(trust_store_firmware(old));
        assert_null(trust_store_recovery(old, &n));
        assert_int_equal(n, 0);
        assert_int_equal(look(old, &record, &next), 0);
        assert_true(trust_store_adopted(old, &before, &err) < 0);
        run("cp second.set store.set");
        assert_int_equal(look(old, &record, &next), 0);
        check_is(old, &record, RS_REASON_NONE);
        signed_is(old, &record, RS_REASON_NONE);
        assert_true(has_root(old, 3));
        assert_int_equal(file_remove(dir_fd, "store.set", &err), 1); /* the writer has its own copy again */
        (void) trust_store_free(TAKE_PTR(old));
        old = open_store(&record);
        check_is(old, &record, RS_REASON_NONE);
}

/* -- revocation lists ------------------------------------------------------------------------------------------- */

static void section(Encoder *e, const Encoder *lists, uint32_t n) {
        encoder_u32(e, n);
        for (uint32_t i = 0; i < n; i++) {
                encoder_u32(e, (uint32_t) lists[i].size);
                encoder_span(e, encoder_view(&lists[i]));
        }
}

static int add_list(TrustStore *s, const CaKey *issuer, uint64_t number, bool with_cert, bool *ret_changed, RsError *err) {
        _cleanup_(encoder_done) Encoder list = ENCODER_INIT, bytes = ENCODER_INIT, cert = ENCODER_INIT, other = ENCODER_INIT;
        Span certs[2];

        ca_list(issuer, number, NOW + number, NULL, &list);
        section(&bytes, &list, 1);
        ca_cert_der(&recovery[0], &other);
        ca_cert_der(issuer, &cert);
        certs[0] = encoder_view(&other); /* some other certificate first */
        certs[1] = encoder_view(&cert);
        return trust_store_add_crls(s, encoder_view(&bytes), certs, with_cert ? 2 : 0, 0, UINT64_MAX, ret_changed, err);
}

static void take_list(TrustStore *s, TpmRecord *record, const CaKey *issuer, uint64_t number) {
        RsError err = RS_ERROR_INIT;
        bool changed;

        if (add_list(s, issuer, number, issuer == &authority, &changed, &err) < 0)
                fail_msg("%s", err.text);
        assert_true(changed);
        if (trust_store_crl_number(s) > record->crl_number)
                record->crl_number = trust_store_crl_number(s);
}

static void refuse_list(TrustStore *s, const CaKey *issuer, uint64_t number, bool with_cert, RsReason reason) {
        uint64_t before = trust_store_crl_number(s);
        RsError err = RS_ERROR_INIT;
        bool changed;

        assert_true(add_list(s, issuer, number, with_cert, &changed, &err) < 0);
        if (err.reason != reason)
                fail_msg("%s: %s", rs_reason_name(err.reason), err.text);
        assert_int_equal(trust_store_crl_number(s), before);
}

static void lists_come_from_anchors_and_from_authorities_under_them(void **state) {
        TpmRecord record = { 0 };
        _cleanup_(trust_store_freep) TrustStore *s = open_store(&record);
        RsError err = RS_ERROR_INIT;
        bool changed;

        (void) state;
        take_list(s, &record, &roots[0], 3);
        take_list(s, &record, &source, 4);
        refuse_list(s, &authority, 1, false, RS_REASON_CERTIFICATE);
        take_list(s, &record, &authority, 5);
        assert_int_equal(record.crl_number, 12);
        refuse_list(s, &roots[3], 9, true, RS_REASON_SIGNATURE); /* of the name of a root, by another key */
        refuse_list(s, &authority, 4, true, RS_REASON_CRL_ROLLBACK);
        take_list(s, &record, &authority, 6); /* a certificate that was needed once is kept */

        (void) trust_store_free(TAKE_PTR(s));
        s = open_store(&record);
        check_is(s, &record, RS_REASON_NONE);
        assert_int_equal(crl_set_count(trust_store_crls(s)), 3);
        assert_int_equal(trust_store_crl_number(s), 13);
        assert_int_equal(add_list(s, &authority, 7, false, &changed, &err), 0);
}

static void lists_come_all_or_none(void **state) {
        _cleanup_(encoder_done) Encoder bytes = ENCODER_INIT, again = ENCODER_INIT, many = ENCODER_INIT;
        Encoder lists[2] = { ENCODER_INIT, ENCODER_INIT };
        TpmRecord record = { 0 };
        _cleanup_(trust_store_freep) TrustStore *s = open_store(&record);
        RsError err = RS_ERROR_INIT, too = RS_ERROR_INIT, cut = RS_ERROR_INIT;
        bool changed;

        (void) state;
        ca_list(&roots[0], 3, NOW, NULL, &lists[0]);
        ca_list(&roots[4], 3, NOW, NULL, &lists[1]);
        section(&bytes, lists, 2);
        assert_true(trust_store_add_crls(s, encoder_view(&bytes), NULL, 0, 0, UINT64_MAX, &changed, &err) < 0);
        assert_int_equal(crl_set_count(trust_store_crls(s)), 0);
        section(&again, lists, 1);
        assert_int_equal(trust_store_add_crls(s, encoder_view(&again), NULL, 0, 0, UINT64_MAX, &changed, &err), 0);
        assert_true(changed);
        assert_int_equal(trust_store_add_crls(s, encoder_view(&again), NULL, 0, 0, UINT64_MAX, &changed, &err), 0);
        assert_false(changed);
        assert_true(trust_store_add_crls(s, SPAN(again.data, again.size - 1), NULL, 0, 0, UINT64_MAX, &changed, &cut) < 0);
        assert_int_equal(cut.reason, RS_REASON_FORMAT);
        encoder_u32(&many, CRL_COUNT_MAX + 1);
        assert_true(trust_store_add_crls(s, encoder_view(&many), NULL, 0, 0, UINT64_MAX, &changed, &too) < 0);
        assert_int_equal(too.reason, RS_REASON_TOO_MUCH);
        encoder_done(&lists[0]);
        encoder_done(&lists[1]);
}

static void lists_that_were_put_back_or_lost_stop_installs_until_they_are_here_again(void **state) {
        TpmRecord record = { 0 };
        _cleanup_(trust_store_freep) TrustStore *s = open_store(&record);
        _cleanup_(freep) uint8_t *saved = NULL;
        RsError err = RS_ERROR_INIT;
        TpmRecord next;
        size_t size;

        (void) state;
        take_list(s, &record, &roots[0], 3);
        assert_int_equal(file_read(state_fd, "crls", 1u << 20, &saved, &size, &err), 1);
        take_list(s, &record, &roots[0], 8);
        check_is(s, &record, RS_REASON_NONE);
        for (unsigned lost = 0; lost < 5; lost++) {
                if (lost == 0)
                        assert_int_equal(file_replace(state_fd, "crls", SPAN(saved, size), 0600, &err), 0);
                else if (lost == 1)
                        assert_int_equal(file_remove(state_fd, "crls", &err), 1);
                else if (lost == 2)
                        assert_int_equal(file_replace(state_fd, "crls", SPAN(saved, size / 2), 0600, &err), 0);
                else
                        run(lost == 3 ? "ln -sf /dev/null state/crls" : "truncate -s 1G state/crls");
                (void) trust_store_free(TAKE_PTR(s));
                s = open_store(&record);
                check_is(s, &record, RS_REASON_CRL_ROLLBACK);
                if (lost > 0) { /* a genuine old list does not help */
                        take_list(s, &record, &roots[0], 7);
                        check_is(s, &record, RS_REASON_CRL_ROLLBACK);
                }
                store_set(1, 7, 7); /* nor does a new set, which would lower the number */
                assert_true(trust_store_look(s, &record, &next, &err) < 0);
                assert_int_equal(err.reason, RS_REASON_CRL_ROLLBACK);
                err = RS_ERROR_INIT;
                take_list(s, &record, &roots[0], 8);
                check_is(s, &record, RS_REASON_NONE);
        }
        adopt(s, &record);
}

static void file_ahead_of_the_record_is_no_harm(void **state) {
        TpmRecord record = { 0 }, behind;
        _cleanup_(trust_store_freep) TrustStore *s = open_store(&record);

        (void) state;
        take_list(s, &record, &roots[0], 3);
        behind = record; /* cut between the file and the commit */
        take_list(s, &record, &roots[0], 4);
        (void) trust_store_free(TAKE_PTR(s));
        s = open_store(&behind);
        check_is(s, &behind, RS_REASON_NONE);
        assert_int_equal(trust_store_crl_number(s), 4);
}

static void new_set_takes_out_the_lists_of_cas_it_no_longer_trusts(void **state) {
        TpmRecord record = { 0 };
        _cleanup_(trust_store_freep) TrustStore *s = open_store(&record);

        (void) state;
        take_list(s, &record, &roots[0], 3);
        take_list(s, &record, &authority, 30);
        take_list(s, &record, &source, 300);
        store_set(1, 7u << 3, 7 | 7u << 3);
        adopt(s, &record);
        assert_int_equal(record.crl_number, 300);
        assert_int_equal(crl_set_count(trust_store_crls(s)), 1);
        (void) trust_store_free(TAKE_PTR(s));
        s = open_store(&record);
        check_is(s, &record, RS_REASON_NONE);
        take_list(s, &record, &roots[3], 1);
        assert_int_equal(record.crl_number, 301);
}

/* -- who may fill the store, and how far ------------------------------------------------------------------------- */

static int add_lists(TrustStore *s, const CaKey *const *issuers, const uint64_t *numbers, const CaKey *const *revoked,
                     uint32_t n, uint64_t low, RsError *err) {
        _cleanup_(encoder_done) Encoder bytes = ENCODER_INIT;
        Encoder lists[4] = { ENCODER_INIT }, certs[4] = { ENCODER_INIT };
        Span spans[4];
        bool changed;
        int r;

        for (uint32_t i = 0; i < n; i++) {
                ca_list(issuers[i], numbers[i], NOW, revoked ? revoked[i] : NULL, &lists[i]);
                ca_cert_der(issuers[i], &certs[i]);
                spans[i] = encoder_view(&certs[i]);
        }
        section(&bytes, lists, n);
        r = trust_store_add_crls(s, encoder_view(&bytes), spans, n, low, UINT64_MAX, &changed, err);
        for (uint32_t i = 0; i < n; i++) {
                encoder_done(&lists[i]);
                encoder_done(&certs[i]);
        }
        return r;
}

static RsReason add_one(TrustStore *s, const CaKey *issuer, uint64_t number, const CaKey *revoked, uint64_t low) {
        RsError err = RS_ERROR_INIT;

        (void) add_lists(s, &issuer, &number, &revoked, 1, low, &err);
        return err.reason;
}

/* A CA that was revoked, or has ended, says nothing new.  What it said before stays, and it keeps nobody else out. */
static void issuer_is_asked_for_its_own_revocation_and_end(void **state) {
        const CaKey *both[] = { &authority, &roots[0] };
        const uint64_t numbers[] = { 6, 4 };
        TpmRecord record = { 0 };
        _cleanup_(trust_store_freep) TrustStore *s = open_store(&record);
        RsError err = RS_ERROR_INIT;
        CaKey ended;

        (void) state;
        ended = ca_make(&roots[0], "Ended", NULL, NOW - 2 * YEAR, NOW - YEAR);
        assert_int_equal(add_one(s, &ended, 1, NULL, NOW), RS_REASON_EXPIRED);
        assert_int_equal(add_one(s, &ended, 1, NULL, NOW - 2 * YEAR), RS_REASON_NONE);
        assert_int_equal(add_one(s, &ended, 2, NULL, NOW), RS_REASON_EXPIRED);
        assert_int_equal(add_one(s, &authority, 5, NULL, NOW), RS_REASON_NONE);
        assert_int_equal(add_one(s, &roots[0], 3, &authority, NOW), RS_REASON_NONE);
        assert_int_equal(add_one(s, &authority, 6, NULL, NOW), RS_REASON_REVOKED);
        assert_int_equal(trust_store_crl_number(s), 1 + 5 + 3);
        assert_int_equal(add_lists(s, both, numbers, NULL, 2, NOW, &err), 0); /* the root's is taken all the same */
        assert_int_equal(trust_store_crl_number(s), 1 + 5 + 4);
        (void) trust_store_free(TAKE_PTR(s));
        s = open_store(&record);
        assert_int_equal(trust_store_crl_number(s), 1 + 5 + 4);
        ca_done(&ended);
}

/*
 * The root of one domain certifies as many CAs as it likes: they take no place of another, nor all of its own.  Nor
 * does the list of one CA too many keep the others of its section out.
 */
static void one_domain_does_not_fill_the_places_of_another(void **state) {
        const uint64_t numbers[] = { 1, 2 };
        TpmRecord record = { 0 };
        _cleanup_(trust_store_freep) TrustStore *s = open_store(&record);
        CaKey extra = ca_make(&source, "CA too many", NULL, NOW - YEAR, NOW + YEAR);
        const CaKey *both[] = { &extra, &roots[0] };
        RsError err = RS_ERROR_INIT;
        uint64_t before;

        (void) state;
        for (unsigned i = 0; i < CRL_COUNT_MAX + 2; i++) {
                CaKey ca;
                char name[16];

                (void) snprintf(name, sizeof(name), "CA %u", i);
                ca = ca_make(&source, name, NULL, NOW - YEAR, NOW + YEAR);
                assert_int_equal(add_one(s, &ca, 1, NULL, NOW), i < CRL_CAS_MAX ? RS_REASON_NONE : RS_REASON_TOO_MUCH);
                ca_done(&ca);
        }
        assert_int_equal(add_one(s, &source, 1, NULL, NOW), RS_REASON_NONE);
        for (unsigned i = 0; i < 3; i++)
                assert_int_equal(add_one(s, &roots[i], 1, NULL, NOW), RS_REASON_NONE);
        assert_int_equal(add_one(s, &authority, 1, NULL, NOW), RS_REASON_NONE);
        before = trust_store_crl_number(s);
        if (add_lists(s, both, numbers, NULL, 2, NOW, &err) < 0)
                fail_msg("%s", err.text);
        assert_int_equal(trust_store_crl_number(s), before + 1);
        ca_done(&extra);
        (void) trust_store_free(TAKE_PTR(s));
        s = open_store(&record);
        assert_int_equal(crl_set_count(trust_store_crls(s)), CRL_CAS_MAX + 5);
}

/* The end of the numbers is out of reach; who uses up what is in reach leaves with his root, or with the next set. */
static void numbers_are_bounded_and_begin_anew_with_a_new_ca(void **state) {
        TpmRecord record = { 0 };
        _cleanup_(trust_store_freep) TrustStore *s = open_store(&record);
        const uint64_t last = (UINT64_C(1) << 48) - 1;

        (void) state;
        assert_int_equal(add_one(s, &authority, INT64_MAX, NULL, NOW), RS_REASON_FORMAT);
        assert_int_equal(add_one(s, &roots[0], last + 1, NULL, NOW), RS_REASON_FORMAT);
        assert_int_equal(trust_store_crl_number(s), 0);
        assert_int_equal(add_one(s, &authority, last, NULL, NOW), RS_REASON_NONE);
        assert_int_equal(add_one(s, &authority, last - 1, NULL, NOW), RS_REASON_CRL_ROLLBACK);
        assert_int_equal(add_one(s, &roots[1], 20261201235959, NULL, NOW), RS_REASON_NONE); /* of others: as before */
        assert_int_equal(add_one(s, &source, last, NULL, NOW), RS_REASON_NONE);
        assert_true(trust_store_crl_number(s) > 2 * last);
        assert_int_equal(add_one(s, &roots[0], 1, &authority, NOW), RS_REASON_NONE);
        record.crl_number = trust_store_crl_number(s);
        store_set(1, 7, 7); /* the same roots: the revoked authority's list goes, its number with it */
        adopt(s, &record);
        assert_int_equal(record.crl_number, last + UINT64_C(20261201235959) + 1);
        store_set(2, 1u | 7u << 3, 3 | 3u << 3); /* without root 1, whose numbers are used up */
        adopt(s, &record);
        assert_int_equal(record.crl_number, last + 1);
        check_is(s, &record, RS_REASON_NONE);
}

/* The one way down for the floor of the time: a quorum, and only from above what it says. */
static void new_set_may_bring_the_floor_of_the_time_back(void **state) {
        static const struct {
                uint64_t before, restart, after;
        } cases[] = {
                { NOW + 40 * YEAR, NOW, NOW },
                { NOW + 40 * YEAR, 0, NOW + 40 * YEAR },
                { NOW - YEAR, NOW, NOW - YEAR },
                { NOW, NOW, NOW },
        };

        (void) state;
        for (size_t k = 0; k < ELEMENTSOF(cases); k++) {
                _cleanup_(encoder_done) Encoder set = ENCODER_INIT;
                TpmRecord record = { .time_floor = cases[k].before, .time_base = 600 };
                _cleanup_(trust_store_freep) TrustStore *s = NULL;

                (void) close_state(state);
                (void) fresh_state(state);
                s = open_store(&record);
                make_set(&(SetSpec){ 1, 2, 7, 7, NULL, NULL, cases[k].restart }, &set);
                write_file("store.set", encoder_view(&set));
                adopt(s, &record);
                assert_int_equal(record.time_floor, cases[k].after);
                assert_int_equal(record.time_base, cases[k].after < cases[k].before ? 0 : 600);
        }
}

int main(void) {
#define WITH_STATE(test) cmocka_unit_test_setup_teardown(test, fresh_state, close_state)
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(set_needs_a_quorum_of_old_and_of_new_roots),
                cmocka_unit_test(quorum_of_the_accepted_set_counts_and_not_that_of_the_new_one),
                cmocka_unit_test(version_line_and_keys_are_judged),
                WITH_STATE(configuration_is_version_zero),
                WITH_STATE(sets_in_a_row_are_adopted_one_after_the_other),
                WITH_STATE(the_set_of_the_record_is_told_from_every_other),
                WITH_STATE(roots_are_replaced_and_the_old_ones_are_nothing_any_more),
                WITH_STATE(cut_at_every_step_converges),
                WITH_STATE(accepted_set_outlives_a_copy_that_failed),
                WITH_STATE(set_that_waits_is_written_once),
                WITH_STATE(store_that_was_put_back_is_refused_until_the_accepted_set_comes_again),
                WITH_STATE(lists_come_from_anchors_and_from_authorities_under_them),
                WITH_STATE(lists_come_all_or_none),
                WITH_STATE(lists_that_were_put_back_or_lost_stop_installs_until_they_are_here_again),
                WITH_STATE(file_ahead_of_the_record_is_no_harm),
                WITH_STATE(new_set_takes_out_the_lists_of_cas_it_no_longer_trusts),
                WITH_STATE(issuer_is_asked_for_its_own_revocation_and_end),
                WITH_STATE(one_domain_does_not_fill_the_places_of_another),
                WITH_STATE(numbers_are_bounded_and_begin_anew_with_a_new_ca),
                WITH_STATE(new_set_may_bring_the_floor_of_the_time_back),
        };

        return cmocka_run_group_tests(tests, make_world, remove_world);
}
