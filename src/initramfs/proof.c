/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * proof - from a trailer to a root hash, one statement after the other.
 *
 * Signature first: path to a firmware root in force (roots.h), purpose "image signing", algorithms.  Expiry
 * is not judged: a release must start for as long as the device lives, and at this moment nobody knows the time.  What
 * may be installed was judged by the writer's gate; here it is only asked whether what is in the slot is what was
 * signed, complete, in its place, for this line and board, of this slot's class, and of no older epoch than the record
 * in the TPM; why the signer chain is not walked again: docs/decisions/009.
 */
#include <string.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/names.h>
#include <reseal/crypto/digest.h>
#include <reseal/pki/cms.h>

#include "proof.h"

static int open_manifest(const SlotTrailer *t, const TrustAnchors *root, Proof *p, RsError *err) {
        const PathRules rules = {
                .eku_oid = RS_OID_EKU_IMAGE_SIGNING,
                .time_low = 0,
                .time_high = UINT64_MAX,
                .firmware_place = true,
        };
        _cleanup_(freep) uint8_t *content = NULL;
        SignerInfo signer;
        size_t size;
        int r;

        r = cms_verify(SPAN(t->manifest_cms, t->manifest_cms_size), root, &rules, RS_MANIFEST_JSON_MAX, &content,
                       &size, &signer, err);
        if (r < 0)
                return r;
        r = digest_sha256(SPAN(content, size), p->bundle_id, err);
        return r < 0 ? r : manifest_parse(SPAN(content, size), &p->manifest, err);
}

/* Header, trailer and manifest were written together: all three name one release. */
static int check_names(const SlotTrailer *t, const uint8_t token_bundle_id[32], const Proof *p, RsError *err) {
        if (memcmp(t->bundle_id, p->bundle_id, sizeof(p->bundle_id)) != 0)
                return rs_fail(err, SLOT_CONTENT, "the trailer is of another release than its manifest");
        if (memcmp(token_bundle_id, p->bundle_id, sizeof(p->bundle_id)) != 0)
                return rs_fail(err, SLOT_CONTENT, "the header is of another release than the manifest");
        return 0;
}

/* A release of another product of the same maker is signed as well. */
static int check_device(const Manifest *m, const ProofWanted *wanted, RsError *err) {
        if (strcmp(m->line, wanted->line) != 0)
                return rs_fail(err, LINE, "a release for line %s, this device is of line %s", m->line, wanted->line);
        for (uint32_t i = 0; i < m->n_compatible; i++)
                if (strcmp(m->compatible[i], wanted->compatible) == 0)
                        return 0;
        return rs_fail(err, COMPATIBLE, "the release does not name %s", wanted->compatible);
}

/*
 * Whose header opened says nothing about who made it: whoever reaches the TPM can seal a key for any FLOOR.  What was
 * signed says which release this is, and the record, which only the gate's secret moves, how far this device has come.
 * An older release of the same epoch is the fallback (docs/decisions/009).
 */
static int check_record(const Proof *p, const TpmRecord *record, RsError *err) {
        const Manifest *m = p->manifest;

        if (m->epoch < record->floor_epoch)
                return rs_fail(err, ROLLBACK, "a release of security epoch %u, this device has reached %u", m->epoch,
                               record->floor_epoch);
        if (!record->empty && m->release == record->release &&
            memcmp(p->bundle_id, record->manifest_digest, sizeof(p->bundle_id)) != 0)
                return rs_fail(err, CHAIN_FORK, "another release %llu than the one this device has accepted",
                               (unsigned long long) m->release);
        return 0;
}

static int find_image(const SlotTrailer *t, const char *class_name, Proof *p, RsError *err) {
        if (t->image_number >= p->manifest->n_images)
                return rs_fail(err, SLOT_CONTENT, "image %u of %u", t->image_number, p->manifest->n_images);
        p->image = &p->manifest->images[t->image_number];
        if (strcmp(p->image->class_name, class_name) != 0)
                return rs_fail(err, SLOT_CLASS, "an image of class %s in a slot of class %s", p->image->class_name,
                               class_name);
        return 0;
}

/* The tree lies where the signed size puts it; the locator must have said the same. */
static int check_place(const SlotTrailer *t, uint64_t slot_size, Proof *p, RsError *err) {
        int r;

        r = slot_layout(SLOT_KIND_LUKS2, slot_size, p->image->size, t->manifest_cms_size, &p->layout, err);
        if (r < 0)
                return r;
        if (t->image_size != p->image->size || t->offset != p->layout.trailer)
                return rs_fail(err, SLOT_CONTENT, "the trailer is not where the manifest's image ends");
        return 0;
}

int proof_make(const SlotTrailer *trailer, uint64_t slot_size, const ProofWanted *wanted,
               const uint8_t token_bundle_id[32], const TrustAnchors *firmware_root, Proof *ret, RsError *err) {
        _cleanup_(proof_done) Proof p = { 0 };
        int r;

        r = open_manifest(trailer, firmware_root, &p, err);
        if (r == 0)
                r = check_names(trailer, token_bundle_id, &p, err);
        if (r == 0)
                r = check_device(p.manifest, wanted, err);
        if (r == 0)
                r = check_record(&p, wanted->record, err);
        if (r == 0)
                r = find_image(trailer, wanted->class_name, &p, err);
        if (r == 0)
                r = check_place(trailer, slot_size, &p, err);
        if (r < 0)
                return r;
        *ret = p;
        p.manifest = NULL; /* handed over */
        return 0;
}

void proof_done(Proof *p) {
        p->manifest = manifest_free(p->manifest);
}
