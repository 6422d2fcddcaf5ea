/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * roots - asked of the writer at the beginning of each contact, before a word is said to a source.
 *
 * The writer alone knows which trust set the TPM has accepted.  Were reseald to go by its configuration, a source root
 * that a quorum has taken out would be trusted until the next image, and a new one could not be reached before it.
 *
 * Nothing of it is kept on disk: after a restart the configuration counts until the writer has been asked, and nothing
 * is installed or unwrapped before that.  What the writer says may also lead back to version 0 (a TPM that was
 * provisioned anew), so the configured anchors stay loaded.
 */
#include <stdlib.h>
#include <string.h>

#include <reseal/format/trust-set.h>
#include <reseal/job/roots.h>
#include <reseal/pki/cms.h>

typedef struct Roots {
        TrustAnchors *source, *firmware;
        uint8_t *cms;            /* NULL: version 0 */
        size_t size;
} Roots;

struct TrustRoots {
        Roots configured, set, next;
};

static void roots_done(Roots *r) {
        r->source = anchors_free(r->source);
        r->firmware = anchors_free(r->firmware);
        free(r->cms);
        *r = (Roots){ 0 };
}

int trust_roots_load(const char *source_path, const char *firmware_path, TrustRoots **ret, RsError *err) {
        _cleanup_(trust_roots_freep) TrustRoots *t = calloc(1, sizeof(*t));

        if (!t)
                return rs_fail_oom(err);
        int r = anchors_load(source_path, &t->configured.source, err);
        if (r >= 0 && firmware_path)
                r = anchors_load(firmware_path, &t->configured.firmware, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(t);
        return 0;
}

TrustRoots *trust_roots_free(TrustRoots *t) {
        if (!t)
                return NULL;
        roots_done(&t->configured);
        roots_done(&t->set);
        roots_done(&t->next);
        free(t);
        return NULL;
}

const TrustAnchors *trust_roots_source(const TrustRoots *t) {
        return t->set.cms ? t->set.source : t->configured.source;
}

const TrustAnchors *trust_roots_firmware(const TrustRoots *t) {
        return t->set.cms ? t->set.firmware : t->configured.firmware;
}

/* Takes over *cms. */
static int read_set(uint8_t **cms, size_t size, Roots *ret, RsError *err) {
        _cleanup_(trust_set_freep) TrustSet *set = NULL;
        _cleanup_(roots_done) Roots roots = { .cms = TAKE_PTR(*cms), .size = size };
        _cleanup_(freep) uint8_t *json = NULL;
        size_t json_size;

        int r = cms_peek(SPAN(roots.cms, size), TRUST_SET_JSON_MAX, &json, &json_size, err);
        if (r >= 0)
                r = trust_set_parse(SPAN(json, json_size), &set, err);
        if (r >= 0)
                r = anchors_parse(SPAN(set->firmware_pem, strlen(set->firmware_pem)), &roots.firmware, err);
        if (r >= 0 && set->source_pem && *set->source_pem)
                r = anchors_parse(SPAN(set->source_pem, strlen(set->source_pem)), &roots.source, err);
        else if (r >= 0)
                r = anchors_none(&roots.source, err);
        if (r < 0)
                return rs_context(err, "trust set");
        *ret = TAKE_GENERIC(roots, Roots, (Roots){ 0 });
        return 0;
}

int trust_roots_ask(TrustRoots *t, WriterClient *writer, RsError *err) {
        _cleanup_(freep) uint8_t *cms = NULL;
        size_t size;

        int r = writer_call_anchors(writer, &cms, &size, err);
        if (r < 0)
                return r;
        if (size == t->set.size && (size == 0 || memcmp(cms, t->set.cms, size) == 0))
                return 0;
        roots_done(&t->next);
        if (size > 0)
                r = read_set(&cms, size, &t->next, err);
        return r < 0 ? r : 1;
}

int trust_roots_adopt(TrustRoots *t, SourceLists *lists, RsError *err) {
        if (lists) {
                int r = source_lists_trust(lists, t->next.cms ? t->next.source : t->configured.source, err);
                if (r < 0)
                        return r;
        }
        roots_done(&t->set);
        t->set = t->next;
        t->next = (Roots){ 0 };
        return 0;
}
