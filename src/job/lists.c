/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * lists - which certificates of the source are revoked, kept between jobs.
 *
 * The writer keeps all lists and guards their numbers by the TPM; reseald needs those of the source before it speaks to
 * one, and keeps copies.  A copy that was put back, or is gone, is found by the number that the writer tells.
 * Revocation takes effect at the next handshake and at the next ticket.
 */
#include <stdlib.h>
#include <string.h>

#include <reseal/base/file.h>
#include <reseal/format/bundle.h>
#include <reseal/job/lists.h>

#define FILE_LISTS "crls"
#define FILE_MAX (CRL_COUNT_MAX * (CRL_SIZE_MAX + 4u) + 4u)

struct SourceLists {
        int dir_fd;
        const TrustAnchors *source;
        CrlSet *set;
        RsError unread; /* why the file counts as empty */
};

typedef struct Loading {
        CrlSet *set;
        const TrustAnchors *source;
} Loading;

/* A list that has become unusable (its anchor is gone) is left out. */
static int load_one(void *userdata, Span der, RsError *err) {
        Loading *l = userdata;
        RsError unused = RS_ERROR_INIT;
        CrlInfo info;
        bool changed;

        (void) err;
        (void) crl_set_add(l->set, der, l->source, NULL, &changed, &info, &unused);
        return 0;
}

/*
 * From the file, which is written only when a list is added: at the start, what belongs to the anchors of a trust set
 * that the writer has not told yet is still there when it has.
 */
int source_lists_trust(SourceLists *l, const TrustAnchors *source, RsError *err) {
        _cleanup_(crl_set_freep) CrlSet *set = NULL;
        _cleanup_(freep) uint8_t *bytes = NULL;
        size_t size;

        int r = crl_set_new(&set, err);
        if (r >= 0)
                r = file_read_note(l->dir_fd, FILE_LISTS, FILE_MAX, &bytes, &size, &l->unread, err);
        if (r < 0)
                return r;
        if (r > 0 && bundle_crls_walk(SPAN(bytes, size), load_one, &(Loading){ set, source }, &l->unread) < 0)
                (void) rs_context(&l->unread, FILE_LISTS);
        (void) crl_set_free(l->set);
        l->set = TAKE_PTR(set);
        l->source = source;
        return 0;
}

int source_lists_open(int dir_fd, const TrustAnchors *source, SourceLists **ret, RsError *err) {
        _cleanup_(source_lists_freep) SourceLists *l = calloc(1, sizeof(*l));

        if (!l)
                return rs_fail_oom(err);
        l->dir_fd = dir_fd;
        int r = source_lists_trust(l, source, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(l);
        return 0;
}

SourceLists *source_lists_free(SourceLists *l) {
        if (!l)
                return NULL;
        l->set = crl_set_free(l->set);
        free(l);
        return NULL;
}

const RsError *source_lists_unread(const SourceLists *l) {
        return l->unread.reason == RS_REASON_NONE ? NULL : &l->unread;
}

const CrlSet *source_lists_set(const SourceLists *l) {
        return l->set;
}

static int save(const SourceLists *l, RsError *err) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        Span ders[CRL_COUNT_MAX];
        uint32_t n = crl_set_count(l->set);

        for (uint32_t i = 0; i < n; i++)
                ders[i] = crl_set_der(l->set, i);
        int r = bundle_crls_encode(ders, n, &e, err);
        return r < 0 ? r : file_replace(l->dir_fd, FILE_LISTS, encoder_view(&e), 0600, err);
}

int source_lists_add(SourceLists *l, Span der, RsError *err) {
        RsError why = RS_ERROR_INIT;
        bool changed = false;
        CrlInfo info;

        int r = crl_set_add(l->set, der, l->source, NULL, &changed, &info, &why);
        if (r < 0 && (why.reason == RS_REASON_CERTIFICATE || why.reason == RS_REASON_CRL_ROLLBACK))
                return 0; /* of another domain, or older than what is here */
        if (r < 0)
                return rs_pass(err, &why);
        return changed ? save(l, err) : 0;
}

/* 0: there is none of this issuer. */
static uint64_t number_of(const SourceLists *l, const uint8_t issuer_key[32]) {
        for (uint32_t i = 0; i < crl_set_count(l->set); i++) {
                CrlInfo own;

                crl_set_info(l->set, i, &own);
                if (memcmp(own.issuer_key, issuer_key, sizeof(own.issuer_key)) == 0)
                        return own.number;
        }
        return 0;
}

int source_lists_check(const SourceLists *l, const WriterTrust *trust, RsError *err) {
        for (uint32_t k = 0; k < trust->n_crls; k++) {
                uint64_t own = number_of(l, trust->crls[k].issuer_key);

                if (own < trust->crls[k].number && anchors_have_key(l->source, trust->crls[k].issuer_key))
                        return rs_fail(err, CRL_ROLLBACK, "%s: number %llu here, %llu at the writer",
                                       trust->crls[k].issuer, (unsigned long long) own,
                                       (unsigned long long) trust->crls[k].number);
        }
        return 0;
}
