/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * freshness - "the latest release is n", held against replay, expiry and silence.
 *
 * The statement is what notices a source that keeps serving yesterday (threat T7).  It is signed online, for
 * days: so it is judged by the time interval, and where that is too wide to say "expired" or "not expired"
 * the answer is neither.  It never permits anything: without it a release is installed as "not proven
 * latest", with it an older one is refused.
 *
 * The number `seq` never falls.  A stolen freshness key could push it to its end and so shut the real
 * statements out; therefore the stored message is kept whole and verified again whenever it is used as a bar.
 * Once its key is revoked or its root replaced it is no bar any more (TUF does the same when the keys of a
 * role change).
 *
 * What must hold: nothing of a message is looked at before its signature is good; what comes from the file is
 * believed no more than what comes from the network, but for expiry.
 */
#include <stdlib.h>
#include <string.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/names.h>
#include <reseal/crypto/digest.h>
#include <reseal/pki/cms.h>
#include <reseal/trust/freshness.h>

#define MAGIC "RSFRESH1"
#define MAGIC_SIZE 8u

const char *freshness_verdict_to_string(FreshnessVerdict v) {
        static const char *const names[_FRESHNESS_VERDICT_MAX] = {
                [FRESHNESS_NOT_PROVEN] = "not proven latest",
                [FRESHNESS_PROVEN_LATEST] = "latest",
                [FRESHNESS_INTERMEDIATE] = "intermediate",
        };

        return (unsigned) v < _FRESHNESS_VERDICT_MAX ? names[v] : "?";
}

/* Signature, path and line; with_time false: the certificate may have ended since. */
static int open_statement(Span cms, const FreshnessRules *rules, bool with_time, Statement *ret, RsError *err) {
        const PathRules path = {
                .eku_oid = RS_OID_EKU_FRESHNESS,
                .time_low = with_time ? rules->now.low : 0,
                .time_high = with_time ? rules->now.high : UINT64_MAX,
                .crls = rules->crls,
        };
        _cleanup_(freep) uint8_t *content = NULL;
        Statement statement;
        SignerInfo signer;
        size_t size;
        int r;

        if (!rules->source_root)
                return rs_fail(err, CONFIG, "there is no source root to judge a freshness statement by");
        if (cms.size > STATEMENT_CMS_MAX)
                return rs_fail(err, FORMAT, "freshness statement: larger than %u bytes", STATEMENT_CMS_MAX);
        r = cms_verify(cms, rules->source_root, &path, STATEMENT_CMS_MAX, &content, &size, &signer, err);
        if (r < 0)
                return r;
        r = statement_parse(SPAN(content, size), &statement, err);
        if (r < 0)
                return r;
        if (strcmp(statement.line, rules->line) != 0)
                return rs_fail(err, LINE, "the freshness statement is for line %s, this device is of line %s",
                               statement.line, rules->line);
        *ret = statement;
        return 0;
}

/* Is the one held still a bar?  Its key may have been revoked, its root replaced. */
static bool holds(const Freshness *f, const FreshnessRules *rules) {
        RsError ignored = RS_ERROR_INIT;
        Statement s;

        return f->cms_size > 0 && open_statement(SPAN(f->cms, f->cms_size), rules, false, &s, &ignored) == 0;
}

bool freshness_review(Freshness *f, const FreshnessRules *rules) {
        if (f->cms_size == 0 || holds(f, rules))
                return false;
        memset(f, 0, sizeof(*f));
        return true;
}

static int check_moment(const Statement *s, const TimeInterval *now, RsError *err) {
        if (now->low > s->expires)
                return rs_fail(err, FREEZE, "the word on the latest release expired at %llu, now it is at least %llu",
                               (unsigned long long) s->expires, (unsigned long long) now->low);
        if (now->high < UINT64_MAX - FRESHNESS_SKEW && s->issued > now->high + FRESHNESS_SKEW)
                return rs_fail(err, FREEZE, "the source's word on the latest release is from the future");
        return 0;
}

static bool same(const Statement *a, const Statement *b) {
        return strcmp(a->line, b->line) == 0 && a->latest == b->latest && a->seq == b->seq && a->issued == b->issued &&
               a->expires == b->expires;
}

static int check_number(const Freshness *f, const Statement *s, RsError *err) {
        if (s->seq < f->statement.seq)
                return rs_fail(err, FREEZE, "freshness statement %llu is older than the known number %llu",
                               (unsigned long long) s->seq, (unsigned long long) f->statement.seq);
        if (s->seq == f->statement.seq)
                return rs_fail(err, FREEZE, "two different freshness statements have number %llu",
                               (unsigned long long) s->seq);
        return 0;
}

int freshness_accept(Freshness *f, Span cms, const FreshnessRules *rules, bool *ret_changed, RsError *err) {
        Statement s;
        int r;

        r = open_statement(cms, rules, true, &s, err);
        if (r < 0)
                return r;
        r = check_moment(&s, &rules->now, err);
        if (r < 0)
                return r;
        if (f->cms_size > 0 && same(&s, &f->statement)) {
                *ret_changed = false;
                return 0;
        }
        if (holds(f, rules)) {
                r = check_number(f, &s, err);
                if (r < 0)
                        return r;
        }
        memset(f, 0, sizeof(*f));
        f->statement = s;
        f->cms_size = (uint32_t) cms.size;
        memcpy(f->cms, cms.data, cms.size);
        *ret_changed = true;
        return 0;
}

FreshnessView freshness_view(const Freshness *f, const TimeInterval *now) {
        const Statement *s = &f->statement;

        if (f->cms_size == 0)
                return (FreshnessView){ 0 };
        return (FreshnessView){
                .known = true,
                .fresh = now->high <= s->expires,
                .expired = now->low > s->expires,
                .latest = s->latest,
                .seq = s->seq,
                .issued = s->issued,
                .expires = s->expires,
        };
}

int freshness_judge(const FreshnessView *v, uint64_t release, const FreshnessPolicy *policy, FreshnessVerdict *ret,
                    RsError *err) {
        FreshnessVerdict verdict = FRESHNESS_NOT_PROVEN;

        /* What was stated once stays true for older releases, expired or not: a newer one exists. */
        if (v->known && release < v->latest) {
                if (!policy->allow_intermediate)
                        return rs_fail(err, FREEZE, "release %llu is offered, but the latest is %llu",
                                       (unsigned long long) release, (unsigned long long) v->latest);
                verdict = FRESHNESS_INTERMEDIATE;
        } else if (v->known && v->fresh && release == v->latest)
                verdict = FRESHNESS_PROVEN_LATEST;
        else if (policy->require)
                return rs_fail(err, FREEZE, "policy: nothing proves release %llu to be the latest (%s)",
                               (unsigned long long) release,
                               !v->known    ? "no statement of the source"
                               : v->expired ? "its statement has expired"
                               : v->fresh   ? "its statement is from before this release"
                                            : "the time is not proven");
        *ret = verdict;
        return 0;
}

int freshness_encode(const Freshness *f, Encoder *e, RsError *err) {
        uint8_t digest[SHA256_SIZE];
        size_t start = e->size;
        int r;

        encoder_bytes(e, MAGIC, MAGIC_SIZE);
        encoder_bytes(e, f->cms, f->cms_size);
        if (encoder_finish(e) < 0)
                return rs_fail_oom(err);
        r = digest_sha256(SPAN(e->data + start, e->size - start), digest, err);
        if (r < 0)
                return r;
        encoder_bytes(e, digest, sizeof(digest));
        return encoder_finish(e) < 0 ? rs_fail_oom(err) : 0;
}

int freshness_restore(Span bytes, const FreshnessRules *rules, Freshness *ret, RsError *err) {
        RsError ignored = RS_ERROR_INIT;
        uint8_t digest[SHA256_SIZE];
        Statement s;
        Span cms;
        int r;

        memset(ret, 0, sizeof(*ret));
        if (bytes.size <= MAGIC_SIZE + SHA256_SIZE || memcmp(bytes.data, MAGIC, MAGIC_SIZE) != 0)
                return 0;
        cms = SPAN(bytes.data + MAGIC_SIZE, bytes.size - MAGIC_SIZE - SHA256_SIZE);
        r = digest_sha256(SPAN(bytes.data, bytes.size - SHA256_SIZE), digest, err);
        if (r < 0)
                return r;
        if (!span_equal(SPAN_ARRAY(digest), SPAN(bytes.data + bytes.size - SHA256_SIZE, SHA256_SIZE)))
                return 0;
        if (open_statement(cms, rules, false, &s, &ignored) < 0)
                return 0;
        ret->statement = s;
        ret->cms_size = (uint32_t) cms.size;
        memcpy(ret->cms, cms.data, cms.size);
        return 1;
}
