/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * evidence - brings time-stamps, revocation lists, statements and links to the writer.
 *
 * Order matters once: the time first, over a connection of its own.  The source's certificate is judged by what was
 * known before; the connection that fetches the bundle is made afterwards and judged by the proven time, so an expired
 * server key gets one small request and nothing else.
 *
 * What lies beside a bundle is optional; the writer's policy decides whether something is missing.  A revocation list
 * that is older than the accepted one is no failure either: it came with an older bundle.
 *
 * Links in the bundle begin where the release engineer thought the fleet was; those before them are fetched one by one
 * from the source, back to the accepted release or to a bridge.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <reseal/base/cleanup.h>
#include <reseal/format/link.h>
#include <reseal/format/statement.h>

#include "evidence.h"

#define TYPE_QUERY "application/timestamp-query"
#define RESPONSE_MAX 16384u
#define CRLS_MAX ((1u << 20) + 36u)
#define CRL_HEADER 4u

/* -- time ------------------------------------------------------------------------------------------------------- */

static int learn(JobEnv *env, WriterClient *writer, WriterTime *ret, RsError *err) {
        int r = writer_call_time(writer, ret, err);

        if (r < 0)
                return r;
        env->https.time_low = ret->low;
        env->https.time_high = ret->high;
        return 0;
}

static int prove(JobEnv *env, WriterClient *writer, const WriterTime *time, RsError *err) {
        _cleanup_(https_freep) Https *https = NULL;
        _cleanup_(freep) uint8_t *answer = NULL;
        HttpsConfig config = env->https;
        bool changed;
        size_t size;

        https_make_optional(&config);
        int r = https_new(&config, &https, err);
        if (r >= 0)
                r = https_post(https, env->tsa_url, TYPE_QUERY, SPAN(time->query, time->query_size), RESPONSE_MAX,
                               &answer, &size, err);
        if (r >= 0)
                r = writer_call_evidence(writer, WRITER_EVIDENCE_TIME, SPAN(answer, size), &changed, err);
        return r;
}

int evidence_time(JobEnv *env, WriterClient *writer, RsError *ret_unproven, RsError *err) {
        RsError why = RS_ERROR_INIT;
        WriterTime time;

        int r = learn(env, writer, &time, err);
        if (r < 0 || time.proven || !env->tsa_url)
                return r;
        r = prove(env, writer, &time, &why);
        if (r >= 0)
                return learn(env, writer, &time, err);
        if (why.reason == RS_REASON_CANCELLED || why.reason == RS_REASON_WRITER_GONE)
                return rs_pass(err, &why);
        *ret_unproven = why; /* without a proof the interval stays open; the writer's policy may insist */
        return 0;
}

/* -- what lies beside the bundle -------------------------------------------------------------------------------- */

/* 1 = read, 0 = there is none. */
static int read_section(const EvidencePlace *place, const BundleSection *section, size_t max, uint8_t **ret,
                        size_t *ret_size, RsError *err) {
        _cleanup_(freep) uint8_t *data = NULL;

        if (section->length == 0)
                return 0;
        if (section->length > max)
                return rs_fail(err, FORMAT, "a section of %llu bytes", (unsigned long long) section->length);
        data = malloc((size_t) section->length);
        if (!data)
                return rs_fail_oom(err);
        int r = source_read(place->source, section->offset, (size_t) section->length, data, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(data);
        *ret_size = (size_t) section->length;
        return 1;
}

/* A source could as well have said that there is none. */
static bool is_late(RsReason reason) {
        return reason == RS_REASON_SLOW || reason == RS_REASON_CONNECT || reason == RS_REASON_TRUNCATED;
}

/* optional: whether it can be done without; then it has a time of its own, and what does not come is not there. */
static int fetch_beside(const EvidencePlace *place, const char *name, bool optional, size_t max, uint8_t **ret,
                        size_t *ret_size, RsError *err) {
        _cleanup_(freep) char *url = NULL;
        RsError why = RS_ERROR_INIT;

        if (!place->https)
                return 0;
        int r = https_sibling(place->url, name, &url, err);
        if (r < 0)
                return r;
        r = (optional ? https_get_optional : https_get)(place->https, url, max, ret, ret_size, &why);
        if (r < 0 && (why.reason == RS_REASON_NOT_FOUND || (optional && is_late(why.reason))))
                return 0;
        return r < 0 ? rs_pass(err, &why) : 1;
}

/* -- revocation ------------------------------------------------------------------------------------------------- */

/*
 * One by one: neither an old list keeps a new one out, nor one of a CA that this device does not trust (any more, or
 * yet: a source serves devices on both sides of a change of roots).
 */
static int send_crls(SourceLists *lists, WriterClient *writer, Span set, RsError *err) {
        Reader r = READER(set);
        uint32_t n = reader_u32(&r);

        for (uint32_t i = 0; i < n && !reader_failed(&r); i++) {
                _cleanup_(encoder_done) Encoder one = ENCODER_INIT;
                RsError why = RS_ERROR_INIT;
                Span der = reader_span(&r, reader_u32(&r));
                bool changed;

                if (reader_failed(&r))
                        break;
                encoder_u32(&one, 1);
                encoder_u32(&one, (uint32_t) der.size);
                encoder_span(&one, der);
                if (encoder_finish(&one) < 0)
                        return rs_fail_oom(err);
                if (writer_call_evidence(writer, WRITER_EVIDENCE_CRLS, encoder_view(&one), &changed, &why) < 0 &&
                    why.reason != RS_REASON_CRL_ROLLBACK && why.reason != RS_REASON_CERTIFICATE)
                        return rs_pass(err, &why);
                if (why.reason == RS_REASON_NONE && lists && source_lists_add(lists, der, err) < 0)
                        return -err->errnum;
        }
        return reader_finish(&r) < 0 ? rs_fail(err, FORMAT, "revocation lists: not well-formed") : 0;
}

static int bring_crls(const EvidencePlace *place, WriterClient *writer, RsError *err) {
        _cleanup_(freep) uint8_t *inside = NULL, *beside = NULL;
        size_t n_inside = 0, n_beside = 0;

        int r = read_section(place, &place->head->header.crls, CRLS_MAX, &inside, &n_inside, err);
        if (r > 0)
                r = send_crls(place->lists, writer, SPAN(inside, n_inside), err);
        if (r >= 0)
                r = fetch_beside(place, "crls", true, CRLS_MAX, &beside, &n_beside, err);
        if (r > 0)
                r = send_crls(place->lists, writer, SPAN(beside, n_beside), err);
        return r < 0 ? r : 0;
}

/* -- freshness -------------------------------------------------------------------------------------------------- */

static int bring_statement(const EvidencePlace *place, WriterClient *writer, RsError *err) {
        _cleanup_(freep) uint8_t *cms = NULL;
        RsError why = RS_ERROR_INIT;
        size_t size;
        bool changed;

        int r = fetch_beside(place, "latest.rsf", true, STATEMENT_CMS_MAX, &cms, &size, err);
        if (r <= 0)
                return r;
        r = writer_call_evidence(writer, WRITER_EVIDENCE_STATEMENT, SPAN(cms, size), &changed, &why);
        if (r < 0 && why.reason == RS_REASON_CONFIG) /* this device keeps no freshness */
                return 0;
        return r < 0 ? rs_pass(err, &why) : 0;
}

/* -- links ------------------------------------------------------------------------------------------------------ */

typedef struct LinkList {
        Span links[LINK_SET_COUNT_MAX];
        Span fetched[LINK_SET_COUNT_MAX]; /* owned; the latest release first */
        uint32_t n, n_fetched, n_inside;
        uint64_t accepted, first;
} LinkList;

static void link_list_freep(LinkList **list) {
        for (uint32_t i = 0; *list && i < (*list)->n_fetched; i++)
                free((void *) (*list)->fetched[i].data);
        free(*list);
}

static int note_first(void *userdata, const Link *link, RsError *err) {
        LinkList *list = userdata;

        (void) err;
        if (link->record.index <= list->accepted)
                return 0;
        list->n_inside++;
        if (list->first == 0 || link->record.index < list->first)
                list->first = link->record.index;
        return 0;
}

static int note_link(void *userdata, const Link *link, RsError *err) {
        LinkList *list = userdata;

        if (link->record.index <= list->accepted)
                return 0;
        if (list->n == LINK_SET_COUNT_MAX)
                return rs_fail(err, CHAIN, "more than %u links", LINK_SET_COUNT_MAX);
        list->links[list->n++] = link->bytes;
        return 0;
}

/* 1: the link or bridge to this release, as the last one of those fetched; 0: the source has none. */
static int fetch_link(const EvidencePlace *place, const char *suffix, uint64_t release, LinkList *list, RsError *err) {
        uint8_t *data = NULL;
        char name[48];
        size_t size;

        (void) snprintf(name, sizeof(name), "chain/%llu%s", (unsigned long long) release, suffix);
        int r = fetch_beside(place, name, false, LINK_MAX, &data, &size, err);
        if (r > 0)
                list->fetched[list->n_fetched++] = SPAN(data, size);
        return r;
}

/*
 * Backwards: where the source has no link to a release, it may have a bridge, and then nothing before that is needed.
 * Whether it may be taken the writer judges, which also says what a gap means.
 */
static int fetch_missing(const EvidencePlace *place, uint64_t end, LinkList *list, RsError *err) {
        for (uint64_t i = end - 1; i > list->accepted; i--) {
                if (list->n_fetched + list->n_inside >= LINK_SET_COUNT_MAX)
                        return rs_fail(err, CHAIN_GAP, "%llu releases behind: more than one walk can take",
                                       (unsigned long long) (end - list->accepted));
                int r = fetch_link(place, ".rsl", i, list, err);
                if (r < 0)
                        return r;
                if (r == 0)
                        return fetch_link(place, ".bridge.rsl", i, list, err);
        }
        return 0;
}

static int bring_links(const EvidencePlace *place, const WriterTrust *trust, WriterClient *writer, RsError *err) {
        _cleanup_(link_list_freep) LinkList *list = calloc(1, sizeof(*list));
        _cleanup_(encoder_done) Encoder set = ENCODER_INIT;
        _cleanup_(freep) uint8_t *inside = NULL;
        uint64_t release = place->head->manifest->release;
        size_t size = 0;
        bool changed;

        if (!list)
                return rs_fail_oom(err);
        list->accepted = trust->empty ? release - 1 : trust->release;
        int r = read_section(place, &place->head->header.links, LINK_SET_MAX, &inside, &size, err);
        if (r < 0 || release <= list->accepted)
                return r < 0 ? r : 0;
        if (size > 0)
                r = link_set_walk(SPAN(inside, size), note_first, list, err);
        if (r >= 0)
                r = fetch_missing(place, list->first ? list->first : release + 1, list, err);
        for (uint32_t i = r >= 0 ? list->n_fetched : 0; i > 0; i--)
                list->links[list->n++] = list->fetched[i - 1];
        if (r >= 0 && size > 0)
                r = link_set_walk(SPAN(inside, size), note_link, list, err);
        if (r < 0 || list->n == 0)
                return r;
        r = link_set_encode(list->links, list->n, &set, err);
        if (r < 0)
                return r;
        return writer_call_evidence(writer, WRITER_EVIDENCE_LINKS, encoder_view(&set), &changed, err);
}

/* The writer will refuse every offer: nothing is fetched for that. */
static int refused_anyway(const WriterTrust *trust, RsError *err) {
        RsError why = { .reason = (RsReason) trust->reason, .errnum = rs_reason_errno((RsReason) trust->reason) };

        (void) snprintf(why.text, sizeof(why.text), "%.*s", (int) sizeof(why.text) - 1, trust->text);
        return rs_pass(err, &why);
}

int evidence_send(const EvidencePlace *place, WriterClient *writer, RsError *err) {
        _cleanup_(freep) WriterTrust *trust = calloc(1, sizeof(*trust));

        if (!trust)
                return rs_fail_oom(err);
        int r = writer_call_trust(writer, trust, err);
        if (r < 0)
                return r;
        if (trust->reason != RS_REASON_NONE && trust->reason != RS_REASON_CRL_ROLLBACK)
                return refused_anyway(trust, err);
        /* Links first: the authority that signed a list may be known from them only. */
        r = bring_links(place, trust, writer, err);
        if (r >= 0)
                r = bring_crls(place, writer, err);
        if (r >= 0 && place->lists)
                r = source_lists_check(place->lists, trust, err);
        if (r >= 0)
                r = bring_statement(place, writer, err);
        return r;
}
