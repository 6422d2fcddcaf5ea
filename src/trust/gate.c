/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gate - judges a release, once, in one order, for every source and every mode.
 *
 * The order is that of DESIGN.md 7: cheap before dear, and nothing is interpreted before somebody we trust has signed
 * it.  Whoever offers a bundle can make the writer parse CMS and certificates, and nothing else.  All of it comes
 * before the first payload byte is asked for, so a refused release has cost the device one datagram.
 *
 * Each check is a small function that raises its own reason; accept_release is their order and nothing else.  There is
 * no option that leaves one out.  The constructor of AcceptedRelease is accept_release itself.
 *
 * The signer's place in the chain stands in its certificate, in the manifest, and in the last link; all three must
 * agree
 * (S66).  The walk from the TPM's record to that place is chain.c's.
 */
#include <stdlib.h>
#include <string.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/names.h>
#include <reseal/crypto/digest.h>
#include <reseal/format/limits.h>
#include <reseal/pki/cms.h>
#include <reseal/trust/gate.h>

struct AcceptedRelease {
        Manifest *manifest;
        uint8_t *cms;
        size_t cms_size;
        SignerInfo signer;
        uint8_t bundle_id[RS_DIGEST_SIZE];
        uint8_t line_tag[16]; /* how the TPM record knows a line */
        uint8_t *links;       /* the walk's steps point into it */
        size_t links_size;
        ChainWalk walk;
        FreshnessVerdict verdict;
};

static int check_input(const GateInput *input, RsError *err) {
        if (input->manifest_cms.size == 0 || input->manifest_cms.size > RS_MANIFEST_CMS_MAX)
                return rs_fail(err, FORMAT, "manifest: %zu bytes, at most %u are permitted", input->manifest_cms.size,
                               RS_MANIFEST_CMS_MAX);
        if (!input->record)
                return rs_fail(err, TPM_STATE, "there is no record of accepted releases to judge against");
        return 0;
}

/* Signature, path to the firmware root, purpose, algorithms; then, and only then, the manifest and its names. */
static int open_manifest(const GateInput *input, AcceptedRelease *a, RsError *err) {
        const PathRules rules = {
                .eku_oid = RS_OID_EKU_IMAGE_SIGNING,
                .time_low = input->time.low,
                .time_high = input->time.high,
                .firmware_place = true,
                .crls = input->crls,
        };
        _cleanup_(freep) uint8_t *content = NULL;
        uint8_t line_digest[RS_DIGEST_SIZE];
        size_t size;
        int r;

        r = cms_verify(input->manifest_cms, input->firmware_root, &rules, RS_MANIFEST_JSON_MAX, &content, &size,
                       &a->signer, err);
        if (r < 0)
                return r;
        r = digest_sha256(SPAN(content, size), a->bundle_id, err);
        if (r < 0)
                return r;
        r = manifest_parse(SPAN(content, size), &a->manifest, err);
        if (r < 0)
                return r;
        r = digest_sha256(SPAN(a->manifest->line, strlen(a->manifest->line)), line_digest, err);
        if (r < 0)
                return r;
        memcpy(a->line_tag, line_digest, sizeof(a->line_tag));
        return 0;
}

static int check_line(const GateInput *input, const AcceptedRelease *a, RsError *err) {
        if (strcmp(a->manifest->line, input->line) != 0)
                return rs_fail(err, LINE, "the release is for line %s, this device is of line %s", a->manifest->line,
                               input->line);
        /* A configuration that was moved to another line would otherwise leave the old line's record behind it. */
        if (!input->record->empty && memcmp(a->line_tag, input->record->line_tag, sizeof(a->line_tag)) != 0)
                return rs_fail(err, LINE, "the TPM's record is of another line than %s", a->manifest->line);
        return 0;
}

static int check_compatible(const GateInput *input, const Manifest *m, RsError *err) {
        for (uint32_t i = 0; i < m->n_compatible; i++)
                if (strcmp(m->compatible[i], input->compatible) == 0)
                        return 0;
        return rs_fail(err, COMPATIBLE, "the release does not name %s", input->compatible);
}

static const GateSlot *find_slot(const GateInput *input, const char *class_name) {
        for (uint32_t i = 0; i < input->n_slots; i++)
                if (strcmp(input->slots[i].class_name, class_name) == 0)
                        return &input->slots[i];
        return NULL;
}

/*
 * Every image has its class and fits, and every class gets its image: the halves switch as a whole, so a class left out
 * would boot with what an older release left in it.
 */
static int check_slots(const GateInput *input, const Manifest *m, RsError *err) {
        for (uint32_t i = 0; i < m->n_images; i++) {
                const GateSlot *slot = find_slot(input, m->images[i].class_name);
                int r;

                if (!slot)
                        return rs_fail(err, SLOT_CLASS, "there is no slot class %s here", m->images[i].class_name);
                r = input->check_size(slot->slot, &m->images[i], input->manifest_cms.size, err);
                if (r < 0)
                        return r;
        }
        /* Classes are distinct on both sides, so equal numbers mean equal sets. */
        if (m->n_images != input->n_slots)
                return rs_fail(err, SLOT_CLASS, "the release has images for %u of %u slot classes", m->n_images,
                               input->n_slots);
        return 0;
}

static int check_policy(const GateInput *input, const Manifest *m, RsError *err) {
        if (input->require_encryption && !m->confidential)
                return rs_fail(err, POLICY, "this device requires encryption, the release may travel in clear");
        return 0;
}

/* What the TPM remembers, in the form of the chain. */
static void chain_of(const TpmRecord *record, ChainRecord *ret) {
        *ret = (ChainRecord){ .flags = record->chain_flags, .epoch = record->epoch, .index = record->release };
        memcpy(ret->line_tag, record->line_tag, sizeof(ret->line_tag));
        memcpy(ret->signer_spki, record->signer_spki, sizeof(ret->signer_spki));
        memcpy(ret->manifest_digest, record->manifest_digest, sizeof(ret->manifest_digest));
        memcpy(ret->log_head, record->log_head, sizeof(ret->log_head));
}

int gate_check_accepted(const TpmRecord *record, Span recorded, const TrustAnchors *firmware_root, const CrlSet *crls,
                        RsError *err) {
        ChainRecord from;

        if (record->empty)
                return 0;
        chain_of(record, &from);
        return chain_check_signer(&from, recorded, firmware_root, crls, err);
}

/* The walk borrows the set it walks: ours, so that the steps live as long as the AcceptedRelease. */
static int keep_links(Span links, AcceptedRelease *a, RsError *err) {
        if (links.size > LINK_SET_MAX)
                return rs_fail(err, CHAIN, "%zu bytes of links, at most %u are permitted", links.size, LINK_SET_MAX);
        if (links.size == 0)
                return 0;
        a->links = malloc(links.size);
        if (!a->links)
                return rs_fail_oom(err);
        memcpy(a->links, links.data, links.size);
        a->links_size = links.size;
        return 0;
}

/* DESIGN.md 6: from the record to this release, or the same release again; never back. */
static int check_chain(const GateInput *input, AcceptedRelease *a, RsError *err) {
        const Manifest *m = a->manifest;
        ChainInput chain = {
                .goal = { .line = m->line, .index = m->release, .epoch = m->epoch },
                .firmware_root = input->firmware_root,
                .crls = input->crls,
                .recorded = input->recorded,
                .recovery = input->recovery,
                .n_recovery = input->n_recovery,
                .time_low = input->time.low,
                .time_high = input->time.high,
        };
        ChainRecord from;
        int r;

        /* Below the floor its slot key could never be unsealed, also on a device whose record is empty. */
        if (m->epoch < input->record->floor_epoch)
                return rs_fail(err, ROLLBACK, "security epoch %u is below the floor's %u", m->epoch,
                               input->record->floor_epoch);
        memcpy(chain.goal.manifest_digest, a->bundle_id, sizeof(chain.goal.manifest_digest));
        memcpy(chain.goal.signer_spki, a->signer.spki_sha256, sizeof(chain.goal.signer_spki));
        r = keep_links(input->links, a, err);
        if (r < 0)
                return r;
        chain.links = SPAN(a->links, a->links_size);
        if (!input->record->empty) {
                chain_of(input->record, &from);
                chain.from = &from;
        }
        return chain_walk(&chain, &a->walk, err);
}

/* A list of each CA that could have revoked something of this path: no other one says anything about it. */
static int check_lists(const GateInput *input, const SignerInfo *signer, RsError *err) {
        int r = 0;

        if (!input->crls || signer->n_issuers == 0)
                return rs_fail(err, CRL_STALE, "there is no revocation list, and the policy wants one");
        for (uint32_t i = 0; r == 0 && i < signer->n_issuers; i++)
                r = crl_set_fresh_of(input->crls, signer->issuers[i].key, signer->issuers[i].name, input->time.low,
                                     input->crl_grace, err);
        return r;
}

/* Policies about what is known of time and revocation; a list that is out of date revokes all the same. */
static int check_knowledge(const GateInput *input, const AcceptedRelease *a, RsError *err) {
        if (input->require_time) {
                int r = trust_clock_require(&input->time, err);

                if (r < 0)
                        return r;
        }
        return input->require_crl ? check_lists(input, &a->signer, err) : 0;
}

static int keep_cms(Span cms, AcceptedRelease *a, RsError *err) {
        a->cms = malloc(cms.size);
        if (!a->cms)
                return rs_fail_oom(err);
        memcpy(a->cms, cms.data, cms.size);
        a->cms_size = cms.size;
        return 0;
}

int accept_release(const GateInput *input, AcceptedRelease **ret, RsError *err) {
        _cleanup_(accepted_release_freep) AcceptedRelease *a = NULL;
        int r;

        r = check_input(input, err);
        if (r < 0)
                return r;
        a = calloc(1, sizeof(*a));
        if (!a)
                return rs_fail_oom(err);
        r = open_manifest(input, a, err);
        if (r < 0)
                return r;
        r = check_line(input, a, err);
        if (r < 0)
                return r;
        r = check_chain(input, a, err);
        if (r < 0)
                return r;
        r = check_knowledge(input, a, err);
        if (r < 0)
                return r;
        r = check_compatible(input, a->manifest, err);
        if (r < 0)
                return r;
        r = check_slots(input, a->manifest, err);
        if (r < 0)
                return r;
        r = check_policy(input, a->manifest, err);
        if (r < 0)
                return r;
        r = freshness_judge(&input->freshness, a->manifest->release, &input->freshness_policy, &a->verdict, err);
        if (r < 0)
                return r;
        r = keep_cms(input->manifest_cms, a, err);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(a);
        return 0;
}

int gate_check_again(const AcceptedRelease *a, const GateInput *now, RsError *err) {
        _cleanup_(accepted_release_freep) AcceptedRelease *again = calloc(1, sizeof(*again));
        GateInput input = *now;
        int r;

        if (!again)
                return rs_fail_oom(err);
        input.manifest_cms = SPAN(a->cms, a->cms_size);
        input.links = SPAN(a->links, a->links_size);
        r = open_manifest(&input, again, err);
        return r < 0 ? r : check_chain(&input, again, err);
}

AcceptedRelease *accepted_release_free(AcceptedRelease *a) {
        if (!a)
                return NULL;
        a->manifest = manifest_free(a->manifest);
        chain_walk_done(&a->walk);
        free(a->links);
        free(a->cms);
        free(a);
        return NULL;
}

const Manifest *accepted_manifest(const AcceptedRelease *a) {
        return a->manifest;
}

const uint8_t *accepted_bundle_id(const AcceptedRelease *a) {
        return a->bundle_id;
}

Span accepted_cms(const AcceptedRelease *a) {
        return SPAN(a->cms, a->cms_size);
}

const SignerInfo *accepted_signer(const AcceptedRelease *a) {
        return &a->signer;
}

void accepted_record(const AcceptedRelease *a, const TpmRecord *now, TpmRecord *ret) {
        TpmRecord record = *now;

        record.empty = false;
        memset(record.line, 0, sizeof(record.line));
        memcpy(record.line, a->manifest->line, strlen(a->manifest->line));
        memcpy(record.line_tag, a->line_tag, sizeof(record.line_tag));
        record.release = a->walk.to.index;
        record.epoch = a->walk.to.epoch;
        record.chain_flags = a->walk.to.flags;
        memcpy(record.signer_spki, a->walk.to.signer_spki, sizeof(record.signer_spki));
        memcpy(record.manifest_digest, a->walk.to.manifest_digest, sizeof(record.manifest_digest));
        memcpy(record.log_head, a->walk.to.log_head, sizeof(record.log_head));
        *ret = record;
}

const ChainStep *accepted_steps(const AcceptedRelease *a, uint32_t *ret_n) {
        *ret_n = a->walk.n_steps;
        return a->walk.steps;
}

FreshnessVerdict accepted_freshness(const AcceptedRelease *a) {
        return a->verdict;
}
