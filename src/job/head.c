/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * head - reads header and manifest, and finds out which bundle this is.
 *
 * The bundle id is the digest of the signed content, so the content has to be taken out of its CMS wrapping
 * here, although the verdict is the writer's: the id addresses the ticket.  Where the firmware anchors are
 * readable the signature is checked as well, which turns "the writer refused" into a refusal before the
 * ticket server is even asked.
 *
 * The order is: fixed header, whole header, caps, manifest.  No length is used for an allocation before its
 * cap.
 */
#include <stdlib.h>
#include <string.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/names.h>
#include <reseal/crypto/digest.h>
#include <reseal/flow/flow.h>
#include <reseal/pki/cms.h>

#include "head.h"

void head_done(Head *h) {
        free(h->cms);
        h->cms = NULL;
        h->manifest = manifest_free(h->manifest);
}

static int read_header(Source *source, BundleHeader *ret, RsError *err) {
        uint8_t bytes[RS_BUNDLE_HEADER_MAX];
        uint32_t size;

        if (source_size(source) < RS_BUNDLE_HEADER_FIXED)
                return rs_fail(err, FORMAT, "a file of %llu bytes is no bundle", (unsigned long long) source_size(source));
        int r = source_read(source, 0, RS_BUNDLE_HEADER_FIXED, bytes, err);
        if (r >= 0)
                r = bundle_header_size(SPAN(bytes, RS_BUNDLE_HEADER_FIXED), &size, err);
        if (r < 0)
                return r;
        if (size > sizeof(bytes))
                return rs_fail(err, FORMAT, "header of %u bytes", size);
        r = source_read(source, 0, size, bytes, err);
        if (r >= 0)
                r = bundle_header_parse(SPAN(bytes, size), ret, err);
        if (r < 0)
                return r;
        if (source_size(source) == SOURCE_SIZE_UNKNOWN)
                return source_declare_size(source, ret->file_size, err);
        if (ret->file_size != source_size(source))
                return rs_fail(err, FORMAT, "the header says %llu bytes, the source has %llu",
                               (unsigned long long) ret->file_size, (unsigned long long) source_size(source));
        return 0;
}

static int take_content(const TrustAnchors *firmware, const PathRules *time, Head *h, uint8_t **ret, size_t *ret_size,
                        RsError *err) {
        PathRules rules = *time;
        Span cms = SPAN(h->cms, h->cms_size);

        rules.eku_oid = RS_OID_EKU_IMAGE_SIGNING;
        rules.firmware_place = true;
        if (!firmware)
                return cms_peek(cms, RS_MANIFEST_JSON_MAX, ret, ret_size, err);
        return cms_verify(cms, firmware, &rules, RS_MANIFEST_JSON_MAX, ret, ret_size, &h->signer, err);
}

int head_read(Source *source, const TrustAnchors *firmware, const PathRules *time, Head *h, RsError *err) {
        _cleanup_(freep) uint8_t *content = NULL;
        size_t content_size;

        int r = read_header(source, &h->header, err);
        if (r < 0)
                return r;
        if (h->header.manifest.length > RS_MANIFEST_CMS_MAX)
                return rs_fail(err, FORMAT, "manifest section above its cap");
        h->cms_size = (size_t) h->header.manifest.length;
        h->cms = malloc(h->cms_size);
        if (!h->cms)
                return rs_fail_oom(err);
        r = source_read(source, h->header.manifest.offset, h->cms_size, h->cms, err);
        if (r >= 0)
                r = take_content(firmware, time, h, &content, &content_size, err);
        if (r >= 0)
                r = digest_sha256(SPAN(content, content_size), h->bundle_id, err);
        if (r >= 0)
                r = manifest_parse(SPAN(content, content_size), &h->manifest, err);
        if (r >= 0)
                r = flow_check_layout(&h->header, h->manifest, err);
        return r;
}
