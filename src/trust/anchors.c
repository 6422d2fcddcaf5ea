/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * anchors - the trust set and the revocation lists a device goes by, tied to its TPM.
 *
 * Sets.  reseal-certstore puts a quorum-signed set where everybody can read it.  The writer judges it again,
 * by the same function, and goes:
 *
 *   1. trust_store_look       judged; "trust.next" in the writer's directory = the new set, durable
 *   2. the caller             commits version and tag to the TPM: from here on the new set is the accepted one
 *   3. trust_store_adopted    "trust.set" = the new set, durable; 4. "trust.next" removed
 *
 * The store's file holds the newest set, files beside it those that it replaced: a set that only the roots of the one
 * before have signed is adopted behind that one, however seldom the writer was asked.
 *
 * Opening takes the one of trust.set, trust.next and the store's files whose tag is the record's.  A cut
 * before 2 finds the old set in trust.set, one behind 2 the new one in trust.next: also when reseal-certstore
 * has put a third set into the store in between.  trust.next is written only when trust.set holds the accepted set:
 * step 3 may have failed, and then trust.next is the copy.  Nothing is judged by version or date of a file, only by the
 * tag; an older disk image with an older set has no copy that fits, and installs are refused until the
 * accepted set is given once more.
 *
 * Lists.  New lists are verified, then durable in "crls", then their number (the sum of all) is committed by
 * the caller.  A cut between leaves a file that is ahead of the record, which harms nobody; a file that is
 * behind it was put back or lost.  Then nothing is installed and no new set is adopted until lists arrive
 * that reach the number: a revoked signer does not come back by restoring a disk.  A new set takes those
 * lists out whose CAs it no longer trusts, and the record's number is lowered by the same commit that the
 * quorum has authorised: the only way down.
 *
 * The sum does not tell which list is behind when another one has advanced as far; within the writer's own
 * directory the lists themselves, never replaced by lower ones, do.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <reseal/base/file.h>
#include <reseal/format/trust-set.h>

#include "crl-file.h"

#define FILE_SET "trust.set"
#define FILE_NEXT "trust.next"
#define FILE_CRLS "crls"
#define FILE_CRLS_MAX (64u + CRL_SET_MAX * (8u + CRL_SIZE_MAX + RS_CERT_FILE_MAX))

struct TrustStore {
        TrustStoreConfig config;
        AnchorSet *set;              /* NULL: none fits the record, see problem */
        bool copied;                 /* "trust.set" holds it, or it is version 0 */
        RsError problem;
        CrlFile *crls;
        AnchorSet *next;             /* between look and adopted */
        CrlFile *next_crls;
};

/* -- opening ---------------------------------------------------------------------------------------------------- */

/* 1: these bytes are the set with this tag. */
static int load_tagged(Span cms, const TpmRecord *record, const char *line, AnchorSet **ret, RsError *err) {
        _cleanup_(anchor_set_freep) AnchorSet *set = NULL;
        uint8_t tag[ANCHOR_TAG_SIZE];
        int r;

        r = anchor_set_tag(cms, tag, err);
        if (r < 0)
                return r;
        if (memcmp(tag, record->trust_tag, sizeof(tag)) != 0)
                return 0;
        r = anchor_set_load(cms, line, &set, err);
        if (r < 0)
                return r;
        if (set->version != record->trust_version)
                return rs_fail(err, TRUST_SET, "the trust set has version %llu, the TPM knows version %llu",
                               (unsigned long long) set->version, (unsigned long long) record->trust_version);
        *ret = TAKE_PTR(set);
        return 1;
}

int trust_set_of_record(Span cms, const TpmRecord *record, const char *line, TrustAnchors **ret_firmware,
                        RsError *err) {
        _cleanup_(anchor_set_freep) AnchorSet *set = NULL;
        int r;

        r = load_tagged(cms, record, line, &set, err);
        if (r > 0)
                *ret_firmware = TAKE_PTR(set->firmware);
        return r;
}

/* 1: the file holds the set with this tag. */
static int try_file(TrustStore *s, int dir_fd, const char *path, const TpmRecord *record, AnchorSet **ret,
                    RsError *err) {
        _cleanup_(freep) uint8_t *data = NULL;
        size_t size;
        int r;

        r = file_read(dir_fd, path, TRUST_SET_CMS_MAX, &data, &size, err);
        return r <= 0 ? r : load_tagged(SPAN(data, size), record, s->config.line, ret, err);
}

/* What cannot be read or used does not fit; the first cause is kept for trust_store_check. */
static bool try_place(TrustStore *s, int dir_fd, const char *path, const TpmRecord *record) {
        RsError cause = RS_ERROR_INIT;

        if (try_file(s, dir_fd, path, record, &s->set, &cause) > 0)
                return true;
        if (s->problem.reason == RS_REASON_NONE && cause.reason != RS_REASON_NONE)
                (void) rs_fail(&s->problem, TRUST_SET, "%s: %s", path, cause.text);
        return false;
}

/* The newest set in the store and, beside it, those that it replaced. */
static bool kept_path(const TrustStore *s, unsigned i, char ret[PATH_MAX]) {
        return (size_t) snprintf(ret, PATH_MAX, "%s.%u", s->config.set_path, i) < PATH_MAX;
}

static bool try_store(TrustStore *s, const TpmRecord *record) {
        char path[PATH_MAX];

        if (!s->config.set_path)
                return false;
        if (try_place(s, AT_FDCWD, s->config.set_path, record))
                return true;
        for (unsigned i = 0; i < TRUST_SETS_KEPT; i++)
                if (kept_path(s, i, path) && try_place(s, AT_FDCWD, path, record))
                        return true;
        return false;
}

static void find_accepted(TrustStore *s, const TpmRecord *record) {
        s->problem = RS_ERROR_INIT;
        s->copied = try_place(s, s->config.state_fd, FILE_SET, record);
        if (s->copied || try_place(s, s->config.state_fd, FILE_NEXT, record) || try_store(s, record))
                return;
        if (s->problem.reason == RS_REASON_NONE)
                (void) rs_fail(&s->problem, TRUST_SET, "no copy of the accepted trust set, version %llu, is left",
                               (unsigned long long) record->trust_version);
}

/* The copy of the accepted set; what led to it is not needed any more. */
static int keep_copy(TrustStore *s, RsError *err) {
        int r;

        if (s->copied)
                return 0;
        r = file_replace(s->config.state_fd, FILE_SET, SPAN(s->set->cms, s->set->cms_size), 0600, err);
        if (r == 0)
                r = file_remove(s->config.state_fd, FILE_NEXT, err);
        s->copied = r >= 0;
        return r < 0 ? r : 0;
}

static int load_set(TrustStore *s, const TpmRecord *record, RsError *err) {
        s->set = anchor_set_free(s->set);
        if (record->trust_version == 0) {
                s->problem = RS_ERROR_INIT;
                s->copied = true;
                return anchor_set_configured(&s->config, &s->set, err);
        }
        find_accepted(s, record);
        return s->set ? keep_copy(s, err) : 0;
}

static int load_crls(TrustStore *s, RsError *err) {
        _cleanup_(freep) uint8_t *data = NULL;
        RsError unread; /* counts as damaged: the numbers in the TPM tell what is missing */
        size_t size;
        int r;

        s->crls = crl_file_free(s->crls);
        r = file_read_note(s->config.state_fd, FILE_CRLS, FILE_CRLS_MAX, &data, &size, &unread, err);
        if (r > 0)
                r = crl_file_parse(SPAN(data, size), s->set, &s->crls, err);
        return r == 0 ? crl_file_new(&s->crls, err) : r;
}

int trust_store_open(const TrustStoreConfig *config, const TpmRecord *record, TrustStore **ret, RsError *err) {
        _cleanup_(trust_store_freep) TrustStore *s = calloc(1, sizeof(*s));
        int r;

        if (!s)
                return rs_fail_oom(err);
        s->config = *config;
        r = load_set(s, record, err);
        if (r < 0)
                return r;
        r = load_crls(s, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}

TrustStore *trust_store_free(TrustStore *s) {
        if (!s)
                return NULL;
        (void) anchor_set_free(s->set);
        (void) anchor_set_free(s->next);
        (void) crl_file_free(s->crls);
        (void) crl_file_free(s->next_crls);
        free(s);
        return NULL;
}

/* -- questions -------------------------------------------------------------------------------------------------- */

static bool is_accepted(const AnchorSet *set, const TpmRecord *record) {
        return set && set->version == record->trust_version &&
               (set->version == 0 || memcmp(set->tag, record->trust_tag, sizeof(set->tag)) == 0);
}

static int check_lists(const TrustStore *s, const TpmRecord *now, RsError *err) {
        uint64_t number = crl_set_number(s->crls->set);

        if (number < now->crl_number)
                return rs_fail(err, CRL_ROLLBACK, "the revocation lists have number %llu, %llu was accepted",
                               (unsigned long long) number, (unsigned long long) now->crl_number);
        return 0;
}

static int check_set(const TrustStore *s, const TpmRecord *now, RsError *err) {
        if (!s->set)
                return rs_pass(err, &s->problem);
        if (!is_accepted(s->set, now))
                return rs_fail(err, TRUST_SET, "trust set version %llu is in use, the TPM knows version %llu",
                               (unsigned long long) s->set->version, (unsigned long long) now->trust_version);
        return 0;
}

int trust_store_check(const TrustStore *s, const TpmRecord *now, RsError *err) {
        int r = check_set(s, now, err);

        return r < 0 ? r : check_lists(s, now, err);
}

int trust_store_signed(const TrustStore *s, const TpmRecord *now, Span *ret, RsError *err) {
        int r = check_set(s, now, err);

        if (r < 0)
                return r;
        *ret = s->set->cms ? SPAN(s->set->cms, s->set->cms_size) : SPAN_NULL;
        return 0;
}

const TrustAnchors *trust_store_firmware(const TrustStore *s) {
        return s->set ? s->set->firmware : NULL;
}

const TrustAnchors *trust_store_source(const TrustStore *s) {
        return s->set ? s->set->source : NULL;
}

const TrustAnchors *trust_store_time(const TrustStore *s) {
        return s->set ? s->set->time : NULL;
}

const uint8_t (*trust_store_recovery(const TrustStore *s, uint32_t *ret_n))[32] {
        *ret_n = s->set ? s->set->n_recovery : 0;
        return s->set ? (const uint8_t (*)[32]) s->set->recovery : NULL;
}

uint64_t trust_store_version(const TrustStore *s) {
        return s->set ? s->set->version : 0;
}

/* -- a new set -------------------------------------------------------------------------------------------------- */

static void forget_next(TrustStore *s) {
        s->next = anchor_set_free(s->next);
        s->next_crls = crl_file_free(s->next_crls);
}

/* 1: a set other than the accepted one lies there; it is s->next when it may follow and none of a lower version was. */
static int judge_file(TrustStore *s, const char *path, RsError *err) {
        _cleanup_(anchor_set_freep) AnchorSet *set = NULL;
        _cleanup_(freep) uint8_t *data = NULL;
        uint8_t tag[ANCHOR_TAG_SIZE];
        size_t size;
        int r;

        r = file_read(AT_FDCWD, path, TRUST_SET_CMS_MAX, &data, &size, err);
        if (r > 0)
                r = anchor_set_tag(SPAN(data, size), tag, err);
        if (r < 0)
                return r;
        if (!data || memcmp(tag, s->set->tag, sizeof(tag)) == 0)
                return 0;
        r = anchor_set_judge(s->set->firmware, s->set->quorum, s->set->version, SPAN(data, size), s->config.line, &set,
                             err);
        if (r < 0)
                return r;
        if (!s->next || set->version < s->next->version) {
                (void) anchor_set_free(s->next);
                s->next = TAKE_PTR(set);
        }
        return 1;
}

/* The newest, and those it has replaced: two sets in a row may have come while the writer was not asked. */
static int judge_store(TrustStore *s, RsError *err) {
        int r = judge_file(s, s->config.set_path, err);

        if (r == 0)
                return 0;
        for (unsigned i = 0; i < TRUST_SETS_KEPT; i++) {
                RsError unused = RS_ERROR_INIT; /* an old one, or none */
                char path[PATH_MAX];

                if (kept_path(s, i, path))
                        (void) judge_file(s, path, &unused);
        }
        if (!s->next)
                return r;
        *err = RS_ERROR_INIT;
        return 1;
}

/* The accepted set may have come back. */
static int heal(TrustStore *s, const TpmRecord *now, RsError *err) {
        int r;

        r = load_set(s, now, err);
        if (r < 0 || !s->set)
                return r;
        return load_crls(s, err);
}

/* A set that waits is looked at by each request: what lies there already is not written again. */
static int keep_next(const TrustStore *s, RsError *err) {
        const Span next = SPAN(s->next->cms, s->next->cms_size);
        _cleanup_(freep) uint8_t *there = NULL;
        RsError unused = RS_ERROR_INIT;
        size_t size;
        int r;

        r = file_read_note(s->config.state_fd, FILE_NEXT, TRUST_SET_CMS_MAX, &there, &size, &unused, err);
        if (r < 0 || (r > 0 && span_equal(SPAN(there, size), next)))
                return r < 0 ? r : 0;
        r = file_replace(s->config.state_fd, FILE_NEXT, next, 0600, err);
        if (r < 0) /* it may be there and not be durable */
                (void) file_remove(s->config.state_fd, FILE_NEXT, &unused);
        return r;
}

int trust_store_look(TrustStore *s, const TpmRecord *now, TpmRecord *ret_record, RsError *err) {
        TpmRecord record = *now;
        int r;

        forget_next(s);
        if (!is_accepted(s->set, now)) {
                r = heal(s, now, err);
                if (r < 0 || !s->set)
                        return r;
        }
        if (!s->config.set_path)
                return 0;
        r = judge_store(s, err);
        if (r <= 0)
                return r;
        /* The number is about to be lowered: not while it says that lists are missing. */
        r = check_lists(s, now, err);
        if (r == 0)
                r = crl_file_copy(s->crls, s->next, true, &s->next_crls, err);
        if (r == 0)
                r = keep_copy(s, err); /* trust.next may be all there is of it */
        if (r == 0)
                r = keep_next(s, err);
        if (r < 0) {
                forget_next(s);
                return r;
        }
        record.trust_version = s->next->version;
        memcpy(record.trust_tag, s->next->tag, sizeof(record.trust_tag));
        record.crl_number = crl_set_number(s->next_crls->set);
        if (s->next->restart != 0 && record.time_floor > s->next->restart) {
                record.time_floor = s->next->restart;
                record.time_base = 0; /* counted anew from there */
        }
        *ret_record = record;
        return 1;
}

void trust_store_next(const TrustStore *s, TrustNext *ret) {
        *ret = (TrustNext){
                .version = s->next->version,
                .set = SPAN(s->next->cms, s->next->cms_size),
                .firmware = s->next->firmware,
                .drops_roots = !anchors_include(s->next->firmware, s->set->firmware),
        };
}

static int save_crls(const TrustStore *s, CrlFile *crls, RsError *err) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        int r;

        r = crl_file_encode(crls, &e, err);
        return r < 0 ? r : file_replace(s->config.state_fd, FILE_CRLS, encoder_view(&e), 0600, err);
}

int trust_store_adopted(TrustStore *s, const TpmRecord *committed, RsError *err) {
        int r;

        if (!is_accepted(s->next, committed))
                return rs_fail(err, TRUST_SET, "the TPM was not told of the set that is to be adopted");
        /* In force first: the TPM has it, whatever becomes of the copy. */
        (void) anchor_set_free(s->set);
        (void) crl_file_free(s->crls);
        s->set = TAKE_PTR(s->next);
        s->crls = TAKE_PTR(s->next_crls);
        s->problem = RS_ERROR_INIT;
        s->copied = false;
        r = keep_copy(s, err);
        return r < 0 ? r : save_crls(s, s->crls, err);
}

/* -- revocation lists ------------------------------------------------------------------------------------------- */

const CrlSet *trust_store_crls(const TrustStore *s) {
        return s->crls->set;
}

uint64_t trust_store_crl_number(const TrustStore *s) {
        return crl_set_number(s->crls->set);
}

/*
 * A CA that is no CA any more says nothing new, and one that came when all places were taken has none; what they say
 * must not keep the word of others out, either.
 */
static bool concerns_issuer_only(const RsError *why) {
        return why->reason == RS_REASON_REVOKED || why->reason == RS_REASON_EXPIRED ||
               why->reason == RS_REASON_TOO_MUCH;
}

static int add_lists(TrustStore *s, CrlFile *f, const Span *lists, uint32_t n, const Span *certs, uint32_t n_certs,
                     const PathRules *rules, bool *ret_any, RsError *err) {
        RsError left_out = RS_ERROR_INIT;
        bool any = false, taken = false;

        for (uint32_t i = 0; i < n; i++) {
                RsError why = RS_ERROR_INIT;
                bool changed = false;
                CrlInfo info;
                int r = crl_file_add(f, lists[i], s->set, certs, n_certs, rules, &changed, &info, &why);

                if (r < 0 && !concerns_issuer_only(&why))
                        return rs_pass(err, &why);
                if (r < 0)
                        left_out = why;
                any = any || changed;
                taken = taken || r == 0;
        }
        if (!taken && left_out.reason != RS_REASON_NONE)
                return rs_pass(err, &left_out);
        *ret_any = any;
        return 0;
}

int trust_store_add_crls(TrustStore *s, Span crls, const Span *certs, uint32_t n_certs, uint64_t low, uint64_t high,
                         bool *ret_changed, RsError *err) {
        const PathRules rules = { .time_low = low, .time_high = high, .crls = s->crls->set };
        _cleanup_(crl_file_freep) CrlFile *f = NULL;
        Span lists[CRL_COUNT_MAX];
        bool any = false;
        uint32_t n;
        int r;

        if (!s->set)
                return rs_pass(err, &s->problem);
        if (n_certs > CRL_CERTS_MAX)
                return rs_fail(err, TOO_MUCH, "more than %u certificates beside revocation lists", CRL_CERTS_MAX);
        r = crl_section_parse(crls, lists, &n, err);
        if (r < 0)
                return r;
        r = crl_file_copy(s->crls, s->set, false, &f, err);
        if (r == 0)
                r = add_lists(s, f, lists, n, certs, n_certs, &rules, &any, err);
        if (r == 0 && any)
                r = save_crls(s, f, err);
        if (r < 0)
                return r;
        if (any) {
                (void) crl_file_free(s->crls);
                s->crls = TAKE_PTR(f);
                forget_next(s); /* its lists are not these */
        }
        *ret_changed = any;
        return 0;
}
