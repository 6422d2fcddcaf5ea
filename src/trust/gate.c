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
 * Two places are kept for checks that belong to the signer chain and to trusted time.  Until those rooms exist nothing
 * stands there: a function that says yes would be found by nobody.
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
                .time_low = input->time_low,
                .time_high = input->time_high,
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

/* DESIGN.md 6: at or above what the TPM says was accepted; the same index only for the same release. */
static int check_rollback(const TpmRecord *record, const AcceptedRelease *a, RsError *err) {
        const Manifest *m = a->manifest;

        /* The floor holds from the factory on: below it the slot key could never be unsealed. */
        if (m->epoch < record->floor_epoch)
                return rs_fail(err, ROLLBACK, "security epoch %u is below the floor %u", m->epoch, record->floor_epoch);
        if (record->empty)
                return 0;
        if (m->release < record->release)
                return rs_fail(err, ROLLBACK, "release %llu is older than the accepted %llu",
                               (unsigned long long) m->release, (unsigned long long) record->release);
        if (m->release == record->release && memcmp(a->bundle_id, record->manifest_digest, RS_DIGEST_SIZE) != 0)
                return rs_fail(err, ROLLBACK, "release %llu was accepted with another manifest",
                               (unsigned long long) m->release);
        if (m->epoch < record->epoch)
                return rs_fail(err, ROLLBACK, "security epoch %u is below the accepted %u", m->epoch, record->epoch);
        return 0;
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
        /* DESIGN.md 6, signer chain: CRL, {line, index, previous key} of the signer, links, here. */
        r = check_line(input, a, err);
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
        r = check_rollback(input->record, a, err);
        if (r < 0)
                return r;
        /* DESIGN.md 7, freshness and site policy: statement against the writer's own nonce, here. */
        r = keep_cms(input->manifest_cms, a, err);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(a);
        return 0;
}

AcceptedRelease *accepted_release_free(AcceptedRelease *a) {
        if (!a)
                return NULL;
        a->manifest = manifest_free(a->manifest);
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
        record.release = a->manifest->release;
        record.epoch = a->manifest->epoch;
        memcpy(record.signer_spki, a->signer.spki_sha256, sizeof(record.signer_spki));
        memcpy(record.manifest_digest, a->bundle_id, sizeof(record.manifest_digest));
        *ret = record;
}
