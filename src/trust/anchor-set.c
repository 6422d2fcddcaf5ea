/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * anchor-set - reads a trust set and judges whether it may follow another one.
 *
 * A set that replaces roots has to be signed twice over: by a quorum of the roots accepted until now, which
 * hands the device over, and by a quorum of its own roots, which shows that these keys exist and are at hand.
 * Without the second a slip in a ceremony would leave a device with roots that nobody has.
 *
 * For the same reason a set is loaded whole before it is accepted: all anchors must be usable, all recovery
 * keys P-256 and different.  What reseal-certstore stores, reseal-writer must be able to use.
 *
 * What must hold: nothing of the content is parsed before a quorum of the accepted roots has signed it.
 * Certificates of roots do not expire here: they are compared byte for byte, and retired by the next set.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include <reseal/base/file.h>
#include <reseal/crypto/digest.h>
#include <reseal/format/trust-set.h>
#include <reseal/pki/cms.h>
#include <reseal/pki/keys.h>

#include "anchor-set.h"

AnchorSet *anchor_set_free(AnchorSet *s) {
        if (!s)
                return NULL;
        (void) anchors_free(s->firmware);
        (void) anchors_free(s->source);
        (void) anchors_free(s->time);
        free(s->cms);
        free(s);
        return NULL;
}

int anchor_set_tag(Span cms, uint8_t ret[ANCHOR_TAG_SIZE], RsError *err) {
        uint8_t digest[SHA256_SIZE];
        int r;

        r = digest_sha256(cms, digest, err);
        if (r < 0)
                return r;
        memcpy(ret, digest, ANCHOR_TAG_SIZE);
        return 0;
}

uint32_t anchor_set_first_quorum(const TrustAnchors *roots) {
        return anchors_count(roots) > 1 ? 2 : 1;
}

/* -- version 0 -------------------------------------------------------------------------------------------------- */

static int load_optional(const char *path, TrustAnchors **ret, RsError *err) {
        return path ? anchors_load(path, ret, err) : 0;
}

static int load_recovery(const char *path, AnchorSet *s, RsError *err) {
        _cleanup_(freep) uint8_t *pem = NULL;
        size_t size;
        int r;

        if (!path)
                return 0;
        r = file_read(AT_FDCWD, path, RS_CERT_FILE_MAX, &pem, &size, err);
        if (r == 0)
                return rs_fail(err, CONFIG, "%s: no such file", path);
        if (r > 0)
                r = keys_parse(SPAN(pem, size), s->recovery, TRUST_RECOVERY_KEYS, err);
        if (r < 0)
                return rs_context(err, "%s", path);
        s->n_recovery = TRUST_RECOVERY_KEYS;
        return 0;
}

int anchor_set_configured(const TrustStoreConfig *config, AnchorSet **ret, RsError *err) {
        _cleanup_(anchor_set_freep) AnchorSet *s = calloc(1, sizeof(*s));
        int r;

        if (!s)
                return rs_fail_oom(err);
        r = anchors_load(config->firmware_root, &s->firmware, err);
        if (r == 0)
                r = load_optional(config->source_root, &s->source, err);
        if (r == 0)
                r = load_optional(config->time_root, &s->time, err);
        if (r == 0)
                r = load_recovery(config->recovery, s, err);
        if (r < 0)
                return r;
        s->quorum = anchor_set_first_quorum(s->firmware);
        *ret = TAKE_PTR(s);
        return 0;
}

/* -- signed sets ------------------------------------------------------------------------------------------------ */

static int parse_optional(const char *pem, TrustAnchors **ret, RsError *err) {
        return pem && *pem ? anchors_parse(SPAN(pem, strlen(pem)), ret, err) : 0;
}

static int take_keys(const TrustSet *content, AnchorSet *s, RsError *err) {
        Span recovery;
        int r;

        r = anchors_parse(SPAN(content->firmware_pem, strlen(content->firmware_pem)), &s->firmware, err);
        if (r == 0)
                r = parse_optional(content->source_pem, &s->source, err);
        if (r == 0)
                r = parse_optional(content->time_pem, &s->time, err);
        if (r < 0 || !content->recovery_pem || !*content->recovery_pem)
                return r;
        recovery = SPAN(content->recovery_pem, strlen(content->recovery_pem));
        r = keys_parse(recovery, s->recovery, TRUST_RECOVERY_KEYS, err);
        if (r == 0)
                s->n_recovery = TRUST_RECOVERY_KEYS;
        return r;
}

static int open_content(Span cms, Span json, const char *line, AnchorSet **ret, RsError *err) {
        _cleanup_(trust_set_freep) TrustSet *content = NULL;
        _cleanup_(anchor_set_freep) AnchorSet *s = calloc(1, sizeof(*s));
        int r;

        if (!s)
                return rs_fail_oom(err);
        r = trust_set_parse(json, &content, err);
        if (r < 0)
                return r;
        if (strcmp(content->line, line) != 0)
                return rs_fail(err, LINE, "the trust set is for line %s, this device is of line %s", content->line,
                               line);
        r = take_keys(content, s, err);
        if (r < 0)
                return rs_context(err, "trust set");
        s->version = content->version;
        s->quorum = content->quorum;
        s->restart = content->restart;
        r = anchor_set_tag(cms, s->tag, err);
        if (r < 0)
                return r;
        s->cms = malloc(cms.size);
        if (!s->cms)
                return rs_fail_oom(err);
        memcpy(s->cms, cms.data, cms.size);
        s->cms_size = cms.size;
        *ret = TAKE_PTR(s);
        return 0;
}

int anchor_set_load(Span cms, const char *line, AnchorSet **ret, RsError *err) {
        _cleanup_(freep) uint8_t *json = NULL;
        size_t size;
        int r;

        r = cms_peek(cms, TRUST_SET_JSON_MAX, &json, &size, err);
        if (r < 0)
                return r;
        return open_content(cms, SPAN(json, size), line, ret, err);
}

static int verify(Span cms, const TrustAnchors *roots, uint32_t quorum, const char *whose, uint8_t **ret_json,
                  size_t *ret_size, RsError *err) {
        _cleanup_(freep) uint8_t *json = NULL;
        size_t size;
        uint32_t n;
        int r;

        r = cms_verify_quorum(cms, roots, TRUST_SET_JSON_MAX, &json, &size, &n, err);
        if (r < 0)
                return r;
        if (n < quorum)
                return rs_fail(err, TRUST_SET, "the trust set is signed by %u of %s roots, %u must sign", n, whose,
                               quorum);
        *ret_json = TAKE_PTR(json);
        *ret_size = size;
        return 0;
}

int anchor_set_judge(const TrustAnchors *roots, uint32_t quorum, uint64_t version, Span candidate, const char *line,
                     AnchorSet **ret, RsError *err) {
        _cleanup_(freep) uint8_t *json = NULL, *again = NULL;
        _cleanup_(anchor_set_freep) AnchorSet *s = NULL;
        size_t size = 0, again_size;
        int r;

        if (candidate.size == 0 || candidate.size > TRUST_SET_CMS_MAX)
                return rs_fail(err, FORMAT, "trust set: empty or larger than %u bytes", TRUST_SET_CMS_MAX);
        r = verify(candidate, roots, quorum, "the accepted", &json, &size, err);
        if (r < 0)
                return r;
        r = open_content(candidate, SPAN(json, size), line, &s, err);
        if (r < 0)
                return r;
        if (s->version <= version)
                return rs_fail(err, TRUST_SET, "the trust set has version %llu, accepted is %llu",
                               (unsigned long long) s->version, (unsigned long long) version);
        if (s->version - version > RS_NUMBER_LEAP_MAX) /* or no set could follow */
                return rs_fail(err, TRUST_SET, "the trust set has version %llu, which leaps more than %llu ahead of %llu",
                               (unsigned long long) s->version, (unsigned long long) RS_NUMBER_LEAP_MAX,
                               (unsigned long long) version);
        r = verify(candidate, s->firmware, s->quorum, "its own", &again, &again_size, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}

int trust_set_version(Span accepted_cms, const char *line, uint64_t *ret_version, RsError *err) {
        _cleanup_(anchor_set_freep) AnchorSet *accepted = NULL;
        int r;

        r = anchor_set_load(accepted_cms, line, &accepted, err);
        if (r == 0)
                *ret_version = accepted->version;
        return r;
}

int trust_set_judge(Span accepted_cms, const TrustAnchors *version0_roots, Span candidate_cms, const char *line,
                    uint64_t *ret_version, RsError *err) {
        _cleanup_(anchor_set_freep) AnchorSet *accepted = NULL, *s = NULL;
        const TrustAnchors *roots = version0_roots;
        uint32_t quorum = anchor_set_first_quorum(version0_roots);
        uint64_t version = 0;
        int r;

        if (accepted_cms.size > 0) {
                r = anchor_set_load(accepted_cms, line, &accepted, err);
                if (r < 0)
                        return rs_context(err, "the accepted set");
                roots = accepted->firmware;
                quorum = accepted->quorum;
                version = accepted->version;
        }
        r = anchor_set_judge(roots, quorum, version, candidate_cms, line, &s, err);
        if (r < 0)
                return r;
        *ret_version = s->version;
        return 0;
}
