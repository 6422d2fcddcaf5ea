/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * chain - the nine rules of docs/format-chain.md, section 3.
 *
 * The device knows one thing for certain: the record in its TPM.  Everything else in this walk was handed over by
 * someone who may want it to end anywhere but at the truth.  So the walk never tries what could be right: which links
 * are taken is decided from the bytes of the set alone, the cheap rules are asked of all of them, and only then the
 * first signature is checked.  A set that fails costs its sender more than the device.
 *
 *   collect   rule 1        the set as it is: caps, copies, contradictions
 *   compare   rules 2, 3    record and release; a link for the recorded index must be the recorded one
 *   plan      rule 4        which links lead from N to M
 *   judge     rules 5, 7, 9 each record follows from its certificate and from the record before it
 *   prove     rules 6, 8    certificate paths, revocation, signatures
 *
 * Plan: a bridge is taken if it leads further than the next link, the furthest one first; so a device that slept for
 * years goes over the last checkpoint, and one that is up to date never does.  Links in between are as if they were not
 * there: whoever could add them could leave them out.  Two records of one index must name the same release.
 *
 * A bridge and a genesis may carry any log head: the recovery keys or the authority answer for it.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <reseal/base/cleanup.h>
#include <reseal/crypto/digest.h>
#include <reseal/format/limits.h>
#include <reseal/pki/signature.h>
#include <reseal/pki/signer-path.h>
#include <reseal/trust/chain.h>
#include <reseal/trust/link-message.h>


#define N(index) ((unsigned long long) (index))

typedef struct LinkList {
        Link *links;
        uint32_t n, allocated;
} LinkList;

static void link_list_done(LinkList *list) {
        free(list->links);
        *list = (LinkList){ 0 };
}

/* -- collect: rule 1 -------------------------------------------------------------------------------------------- */

static int add_link(LinkList *list, const Link *link, RsError *err) {
        if (list->n == list->allocated) {
                uint32_t wanted = list->allocated ? list->allocated * 2 : 16;
                Link *links = reallocarray(list->links, wanted, sizeof(*links));

                if (!links)
                        return rs_fail_oom(err);
                list->links = links;
                list->allocated = wanted;
        }
        list->links[list->n++] = *link;
        return 0;
}

/* link_set_walk has held count and size against their caps and the order against the index. */
static int on_link(void *userdata, const Link *link, RsError *err) {
        LinkList *list = userdata;

        for (uint32_t i = list->n; i > 0 && list->links[i - 1].record.index == link->record.index; i--) {
                const Link *other = &list->links[i - 1];

                if (span_equal(other->bytes, link->bytes))
                        return 0;
                if (!chain_record_same_release(&other->record, &link->record))
                        return rs_fail(err, CHAIN_FORK, "two links for %llu name different releases",
                                       N(link->record.index));
                if (other->kind == link->kind)
                        return rs_fail(err, CHAIN, "two links for %llu with the same record", N(link->record.index));
        }
        return add_link(list, link, err);
}

/* -- compare: rules 2 and 3 ------------------------------------------------------------------------------------- */

static int check_recorded(const LinkList *list, const ChainRecord *from, RsError *err) {
        for (uint32_t i = 0; i < list->n; i++)
                if (list->links[i].record.index == from->index &&
                    !chain_record_same_release(&list->links[i].record, from))
                        return rs_fail(err, CHAIN_FORK, "the link for %llu is not the release that this device accepted",
                                       N(from->index));
        return 0;
}

static int check_release(const ChainRecord *from, const ChainGoal *goal, RsError *err) {
        if (goal->index < from->index)
                return rs_fail(err, ROLLBACK, "release %llu is older than the accepted %llu", N(goal->index),
                               N(from->index));
        if (goal->index > from->index)
                return 0;
        if (memcmp(goal->manifest_digest, from->manifest_digest, sizeof(from->manifest_digest)) != 0)
                return rs_fail(err, CHAIN_FORK, "release %llu was accepted with another manifest", N(goal->index));
        if (memcmp(goal->signer_spki, from->signer_spki, sizeof(from->signer_spki)) != 0)
                return rs_fail(err, CHAIN_FORK, "release %llu was accepted from another signer", N(goal->index));
        return 0;
}

/* -- plan: rule 4 ----------------------------------------------------------------------------------------------- */

static const Link *find_kind(const LinkList *list, uint64_t index, LinkKind kind) {
        for (uint32_t i = 0; i < list->n; i++)
                if (list->links[i].record.index == index && list->links[i].kind == kind)
                        return &list->links[i];
        return NULL;
}

/* Genesis first: it is the one that a TPM without any record can follow. */
static const Link *find_first(const LinkList *list, uint64_t index) {
        static const LinkKind order[] = { LINK_GENESIS, LINK_NEXT, LINK_BRIDGE };
        const Link *link = NULL;

        for (size_t i = 0; i < ELEMENTSOF(order) && !link; i++)
                link = find_kind(list, index, order[i]);
        return link;
}

static bool epoch_follows(uint32_t before, uint32_t epoch) {
        return epoch == before || (before < UINT32_MAX && epoch == before + 1);
}

/* The furthest bridge that this device may take; when there is none, one that rule 5 will refuse with its reason. */
static const Link *find_bridge(const LinkList *list, const ChainRecord *from, uint64_t to) {
        const Link *best = NULL, *any = NULL;

        for (uint32_t i = 0; i < list->n; i++) {
                const Link *link = &list->links[i];

                if (link->kind != LINK_BRIDGE || link->record.index <= from->index || link->record.index > to)
                        continue;
                if (epoch_follows(from->epoch, link->record.epoch))
                        best = link;
                else if (!any)
                        any = link;
        }
        return best ? best : any;
}

/* 1 and the link to take, 0 when there is none. */
static int next_link(const LinkList *list, const ChainRecord *from, uint64_t to, const Link **ret, RsError *err) {
        const Link *link = find_kind(list, from->index + 1, LINK_NEXT), *bridge = find_bridge(list, from, to);
        uint8_t endorser[SHA256_SIZE];
        int r;

        if (link) {
                r = digest_sha256(link->endorser, endorser, err);
                if (r < 0)
                        return r;
                if (memcmp(endorser, from->signer_spki, sizeof(endorser)) != 0)
                        return rs_fail(err, CHAIN_FORK, "link %llu was endorsed by another signer than that of %llu",
                                       N(link->record.index), N(from->index));
        }
        if (bridge && (!link || (bridge->record.index > link->record.index &&
                                 epoch_follows(from->epoch, bridge->record.epoch))))
                link = bridge;
        if (!link)
                return 0;
        *ret = link;
        return 1;
}

/* What lies between the record at which the plan ended and the next link of the set, or the release. */
static void missing_range(const LinkList *list, uint64_t at, uint64_t to, uint64_t *ret_first, uint64_t *ret_last) {
        *ret_first = at + 1;
        *ret_last = to;
        for (uint32_t i = 0; i < list->n; i++) {
                const Link *link = &list->links[i];

                if (link->kind == LINK_NEXT && link->record.index > at + 1 && link->record.index <= to) {
                        *ret_last = link->record.index - 1;
                        return;
                }
        }
}

static int fail_gap(const LinkList *list, const ChainRecord *from, uint64_t at, uint64_t to, RsError *err) {
        uint64_t first, last;

        if (!from)
                return rs_fail(err, CHAIN_GAP, "there is no link for release %llu", N(to));
        missing_range(list, at, to, &first, &last);
        return rs_fail(err, CHAIN_GAP, "links %llu to %llu are missing", N(first), N(last));
}

/* Where the plan ended is the last record; complete or not. */
static int plan(const LinkList *list, const ChainRecord *from, uint64_t to, LinkList *ret, RsError *err) {
        const Link *link = NULL;
        int r;

        if (!from) {
                link = find_first(list, to);
                return link ? add_link(ret, link, err) : 0;
        }
        for (const ChainRecord *at = from; at->index < to; at = &link->record) {
                r = next_link(list, at, to, &link, err);
                if (r < 0)
                        return r;
                if (r == 0)
                        return 0;
                r = add_link(ret, link, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

static uint64_t reached(const LinkList *steps, const ChainRecord *from) {
        if (steps->n > 0)
                return steps->links[steps->n - 1].record.index;
        return from ? from->index : 0;
}

/* -- judge: rules 5, 7 and 9 ------------------------------------------------------------------------------------ */

static int check_complete(const Link *link, RsError *err) {
        if (link->approval.size == 0 || link->possession.size == 0 ||
            (link->kind != LINK_GENESIS && link->endorsement.size == 0))
                return rs_fail(err, CHAIN, "link %llu is a draft: a signature is missing", N(link->record.index));
        return 0;
}

/* The place of a recovery key in the trust set, or n_recovery. */
static int find_recovery(const ChainInput *input, Span spki, uint32_t *ret, RsError *err) {
        uint8_t digest[SHA256_SIZE];
        uint32_t i = 0;
        int r;

        r = digest_sha256(spki, digest, err);
        if (r < 0)
                return r;
        while (i < input->n_recovery && memcmp(input->recovery[i], digest, sizeof(digest)) != 0)
                i++;
        *ret = i;
        return 0;
}

/* The earlier one approves: so it is in the policy of the TPM index, which has no other branch. */
static int check_recovery(const ChainInput *input, const Link *link, RsError *err) {
        uint32_t endorses, approves;
        int r;

        r = find_recovery(input, link->endorser, &endorses, err);
        if (r < 0)
                return r;
        r = find_recovery(input, link->endorser2, &approves, err);
        if (r < 0)
                return r;
        if (endorses >= input->n_recovery || approves >= endorses)
                return rs_fail(err, CHAIN, "bridge %llu is not by two recovery keys, the earlier one approving",
                               N(link->record.index));
        return 0;
}

/* F24: what the authority approved must be what the certificate says; nothing of the record is taken on its word. */
static int check_certificate(const ChainInput *input, const Link *link, RsError *err) {
        const ChainRecord *record = &link->record;
        uint8_t endorser[SHA256_SIZE];
        SignerFacts facts;
        int r;

        r = signer_facts(link->signer, &facts, err);
        if (r < 0)
                return rs_context(err, "link %llu", N(record->index));
        if (strcmp(facts.place.line, input->goal.line) != 0)
                return rs_fail(err, CHAIN, "the certificate of %llu is not for line %s", N(record->index),
                               input->goal.line);
        if (facts.place.epoch != record->epoch || facts.place.index != record->index)
                return rs_fail(err, CHAIN, "link %llu differs from the place in its certificate", N(record->index));
        if (memcmp(facts.spki_sha256, record->signer_spki, sizeof(record->signer_spki)) != 0)
                return rs_fail(err, CHAIN, "link %llu names another signer than its certificate", N(record->index));
        if (link->kind != LINK_NEXT)
                return 0;
        r = digest_sha256(link->endorser, endorser, err);
        if (r < 0)
                return r;
        if (memcmp(facts.place.prev_spki, endorser, sizeof(endorser)) != 0)
                return rs_fail(err, CHAIN, "the certificate of %llu names another signer before it", N(record->index));
        return 0;
}

static int check_line(const ChainRecord *record, const char *line, RsError *err) {
        uint8_t tag[SHA256_SIZE];
        int r;

        r = digest_sha256(SPAN(line, strlen(line)), tag, err);
        if (r < 0)
                return r;
        if (memcmp(record->line_tag, tag, sizeof(record->line_tag)) != 0)
                return rs_fail(err, CHAIN, "the record of %llu is not of line %s", N(record->index), line);
        return 0;
}

static int check_step(const ChainInput *input, const ChainRecord *before, const Link *link, RsError *err) {
        uint8_t head[SHA256_SIZE];
        int r;

        r = check_complete(link, err);
        if (r < 0)
                return r;
        r = check_line(&link->record, input->goal.line, err);
        if (r < 0)
                return r;
        if (link->kind == LINK_BRIDGE) {
                r = check_recovery(input, link, err);
                if (r < 0)
                        return r;
        }
        /* What leads to the last index there is leads nowhere: no release could follow. */
        if (before && link->record.index > before->index && link->record.index - before->index > RS_NUMBER_LEAP_MAX)
                return rs_fail(err, CHAIN, "bridge %llu leaps more than %llu releases ahead", N(link->record.index),
                               N(RS_NUMBER_LEAP_MAX));
        if (before && !epoch_follows(before->epoch, link->record.epoch))
                return rs_fail(err, CHAIN, "link %llu leads from epoch %u to %u", N(link->record.index), before->epoch,
                               link->record.epoch);
        r = check_certificate(input, link, err);
        if (r < 0)
                return r;
        if (!before || link->kind != LINK_NEXT)
                return 0;
        r = chain_log_head(before->log_head, &link->record, head, err);
        if (r < 0)
                return r;
        if (memcmp(head, link->record.log_head, sizeof(head)) != 0)
                return rs_fail(err, CHAIN, "link %llu tells another history of the line", N(link->record.index));
        return 0;
}

static int check_new_signer(const ChainRecord *from, const LinkList *steps, uint32_t at, RsError *err) {
        const uint8_t *spki;
        bool reused;

        assert(steps->links);
        spki = steps->links[at].record.signer_spki;
        reused = from && memcmp(from->signer_spki, spki, SHA256_SIZE) == 0;

        for (uint32_t i = 0; i < at && !reused; i++)
                reused = memcmp(steps->links[i].record.signer_spki, spki, SHA256_SIZE) == 0;
        if (reused)
                return rs_fail(err, CHAIN_REUSE, "the signer of %llu has signed an earlier release",
                               N(steps->links[at].record.index));
        return 0;
}

static int check_goal(const ChainGoal *goal, const ChainRecord *last, RsError *err) {
        if (last->index != goal->index || last->epoch != goal->epoch)
                return rs_fail(err, CHAIN, "the links end at release %llu of epoch %u, the manifest is %llu of %u",
                               N(last->index), last->epoch, N(goal->index), goal->epoch);
        if (memcmp(last->manifest_digest, goal->manifest_digest, sizeof(last->manifest_digest)) != 0)
                return rs_fail(err, CHAIN, "link %llu was made for another manifest", N(last->index));
        if (memcmp(last->signer_spki, goal->signer_spki, sizeof(last->signer_spki)) != 0)
                return rs_fail(err, CHAIN, "link %llu is of another signer than the manifest's", N(last->index));
        return 0;
}

static int judge(const ChainInput *input, const LinkList *steps, RsError *err) {
        const ChainRecord *before = input->from;
        int r;

        if (before) {
                r = check_line(before, input->goal.line, err);
                if (r < 0)
                        return r;
        }
        for (uint32_t i = 0; i < steps->n; i++) {
                r = check_step(input, before, &steps->links[i], err);
                if (r < 0)
                        return r;
                r = check_new_signer(input->from, steps, i, err);
                if (r < 0)
                        return r;
                before = &steps->links[i].record;
        }
        if (!before)
                return rs_fail(err, CHAIN_GAP, "there is no link for release %llu", N(input->goal.index));
        return check_goal(&input->goal, before, err);
}

/* -- prove: rules 6 and 8 --------------------------------------------------------------------------------------- */

static int verify_endorsement(const Link *link, RsError *err) {
        uint8_t message[LINK_ENDORSEMENT_SIZE];
        int r;

        if (link->kind == LINK_GENESIS)
                return 0;
        r = link_endorsement_message(link, message, err);
        if (r < 0)
                return r;
        r = signature_verify(link->endorser, SPAN_ARRAY(message), link->endorsement, err);
        return r < 0 ? rs_context(err, "endorsement of link %llu", N(link->record.index)) : 0;
}

static int verify_approval(const Link *link, RsError *err) {
        _cleanup_(encoder_done) Encoder message = ENCODER_INIT;
        uint8_t authority[SIGNER_SPKI_SIZE];
        Span approver = link->endorser2;
        int r;

        r = link_approval_message(link, &message, err);
        if (r < 0)
                return r;
        if (link->kind != LINK_BRIDGE) {
                r = signer_authority_spki(link->authority, authority, err);
                if (r < 0)
                        return r;
                approver = SPAN_ARRAY(authority);
        }
        r = signature_verify(approver, encoder_view(&message), link->approval, err);
        return r < 0 ? rs_context(err, "approval of link %llu", N(link->record.index)) : 0;
}

static int verify_possession(const Link *link, RsError *err) {
        SignerFacts facts;
        int r;

        r = signer_facts(link->signer, &facts, err);
        if (r < 0)
                return r;
        r = signature_verify(SPAN_ARRAY(facts.spki), link->possessed, link->possession, err);
        return r < 0 ? rs_context(err, "possession of link %llu", N(link->record.index)) : 0;
}

/* Expiry retires no link of the past, revocation does; the last signer is judged as any signer of a manifest. */
static int verify_step(const ChainInput *input, SignerPath *paths, const Link *link, bool last, RsError *err) {
        int r;

        r = signer_path_verify(paths, link->signer, link->authority, last ? input->time_low : 0,
                               last ? input->time_high : UINT64_MAX, err);
        if (r < 0)
                return rs_context(err, "link %llu", N(link->record.index));
        r = verify_endorsement(link, err);
        if (r < 0)
                return r;
        r = verify_approval(link, err);
        if (r < 0)
                return r;
        return verify_possession(link, err);
}

/*
 * The recorded signer endorses the first link.  Its certificate is not in the TPM; when the set has it, and
 * chain_record_same_release has said that it is that of the record, it must not have been revoked meanwhile.
 */
static int prove_recorded(const ChainInput *input, SignerPath *paths, const LinkList *list, const LinkList *steps,
                          RsError *err) {
        if (!input->from || !input->crls || steps->links[0].kind != LINK_NEXT)
                return 0;
        for (uint32_t i = 0; i < list->n; i++) {
                const Link *link = &list->links[i];
                SignerFacts facts;
                int r;

                if (link->record.index != input->from->index)
                        continue;
                r = signer_facts(link->signer, &facts, err);
                if (r < 0)
                        return r;
                if (memcmp(facts.spki_sha256, input->from->signer_spki, SHA256_SIZE) != 0)
                        return rs_fail(err, CHAIN, "link %llu names another signer than its certificate",
                                       N(link->record.index));
                r = signer_path_verify(paths, link->signer, link->authority, 0, UINT64_MAX, err);
                if (r < 0)
                        return rs_context(err, "link %llu", N(link->record.index));
        }
        return 0;
}

/* The link that was kept of the recorded release.  false: there is none, or it is another one's. */
static bool kept_link(const ChainRecord *from, Span recorded, Link *ret) {
        RsError cause = RS_ERROR_INIT;
        SignerFacts facts;

        return recorded.size > 0 && link_parse(recorded, ret, &cause) == 0 && ret->record.index == from->index &&
               signer_facts(ret->signer, &facts, &cause) == 0 &&
               memcmp(facts.spki_sha256, from->signer_spki, SHA256_SIZE) == 0;
}

/* What was kept proves nothing but this: without it, or under a root that was replaced since, nothing is known. */
static int prove_kept(const ChainRecord *from, Span recorded, SignerPath *paths, RsError *err) {
        RsError cause = RS_ERROR_INIT;
        Link link;

        if (!kept_link(from, recorded, &link))
                return 0;
        if (signer_path_verify(paths, link.signer, link.authority, 0, UINT64_MAX, &cause) < 0 &&
            cause.reason == RS_REASON_REVOKED)
                return rs_fail(err, REVOKED, "link %llu, recorded: %s", N(link.record.index), cause.text);
        return 0;
}

bool chain_signer_stands(const ChainRecord *from, Span recorded, const TrustAnchors *firmware_root) {
        _cleanup_(signer_path_freep) SignerPath *paths = NULL;
        RsError cause = RS_ERROR_INIT;
        Link link;

        return kept_link(from, recorded, &link) && signer_path_new(firmware_root, NULL, &paths, &cause) == 0 &&
               signer_path_verify(paths, link.signer, link.authority, 0, UINT64_MAX, &cause) == 0;
}

int chain_check_signer(const ChainRecord *from, Span recorded, const TrustAnchors *firmware_root, const CrlSet *crls,
                       RsError *err) {
        _cleanup_(signer_path_freep) SignerPath *paths = NULL;
        int r = signer_path_new(firmware_root, crls, &paths, err);

        return r < 0 ? r : prove_kept(from, recorded, paths, err);
}

static int prove(const ChainInput *input, const LinkList *list, const LinkList *steps, RsError *err) {
        _cleanup_(signer_path_freep) SignerPath *paths = NULL;
        int r;

        r = signer_path_new(input->firmware_root, input->crls, &paths, err);
        if (r < 0)
                return r;
        r = prove_recorded(input, paths, list, steps, err);
        /* ... nor when the set leaves that link out: the device has kept it. */
        if (r == 0 && input->from && input->crls && steps->links[0].kind == LINK_NEXT)
                r = prove_kept(input->from, input->recorded, paths, err);
        if (r < 0)
                return r;
        for (uint32_t i = 0; i < steps->n; i++) {
                r = verify_step(input, paths, &steps->links[i], i + 1 == steps->n, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* -- the walk --------------------------------------------------------------------------------------------------- */

static int hand_out(const ChainInput *input, const LinkList *steps, ChainWalk *ret, RsError *err) {
        ChainWalk walk = { .n_steps = steps->n };

        if (steps->n == 0) {
                walk.to = *input->from;
                *ret = walk;
                return 0;
        }
        walk.steps = calloc(steps->n, sizeof(*walk.steps));
        if (!walk.steps)
                return rs_fail_oom(err);
        for (uint32_t i = 0; i < steps->n; i++)
                walk.steps[i].link = steps->links[i].bytes;
        walk.to = steps->links[steps->n - 1].record;
        *ret = walk;
        return 0;
}

int chain_walk(const ChainInput *input, ChainWalk *ret, RsError *err) {
        _cleanup_(link_list_done) LinkList list = { 0 }, steps = { 0 };
        const uint64_t to = input->goal.index;
        int r;

        r = link_set_walk(input->links, on_link, &list, err);
        if (r < 0)
                return r;
        if (input->from) {
                r = check_release(input->from, &input->goal, err);
                if (r < 0)
                        return r;
                r = check_recorded(&list, input->from, err);
                if (r < 0)
                        return r;
        }
        if (list.n > 0 && list.links[list.n - 1].record.index > to)
                return rs_fail(err, CHAIN, "link %llu lies behind the release %llu", N(list.links[list.n - 1].record.index),
                               N(to));
        r = plan(&list, input->from, to, &steps, err);
        if (r < 0)
                return r;
        if (reached(&steps, input->from) != to)
                return fail_gap(&list, input->from, reached(&steps, input->from), to, err);
        r = judge(input, &steps, err);
        if (r < 0)
                return r;
        if (steps.n > 0) {
                r = prove(input, &list, &steps, err);
                if (r < 0)
                        return r;
        }
        return hand_out(input, &steps, ret, err);
}

void chain_walk_done(ChainWalk *w) {
        free(w->steps);
        *w = (ChainWalk){ 0 };
}

int chain_missing(const ChainRecord *from, Span links, uint64_t index, uint64_t *ret_first, uint64_t *ret_last,
                  RsError *err) {
        _cleanup_(link_list_done) LinkList list = { 0 }, steps = { 0 };
        uint64_t at;
        int r;

        r = link_set_walk(links, on_link, &list, err);
        if (r < 0)
                return r;
        r = plan(&list, from, index, &steps, err);
        if (r < 0)
                return r;
        at = reached(&steps, from);
        if (at >= index)
                *ret_first = *ret_last = 0;
        else if (!from)
                *ret_first = *ret_last = index;
        else
                missing_range(&list, at, index, ret_first, ret_last);
        return 0;
}
