/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * lists - who gets no ticket any more, and which keys sign none.
 *
 * Who is on a list of the device CA gets no ticket, though its certificate has not expired; a ticket key on a list of
 * the source root signs none (devices would refuse it, S71).  Lists that are published are only put together: a source
 * has no say in what counts, and serves those of all domains.
 */
#include <fcntl.h>
#include <stdlib.h>

#include <openssl/x509.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/crypto/ossl-read.h>
#include <reseal/format/bundle.h>

#include "lists.h"

static int read_list(const char *path, uint8_t **ret, size_t *ret_size, RsError *err) {
        int r = file_read(AT_FDCWD, path, CRL_SIZE_MAX, ret, ret_size, err);

        return r == 0 ? rs_fail(err, CONFIG, "%s: no such file", path) : r;
}

static int add(CrlSet *set, Span der, const TrustAnchors *device_ca, const TrustAnchors *source_root, RsError *err) {
        RsError first = RS_ERROR_INIT;
        CrlInfo ignored;
        bool changed;

        if (device_ca && crl_set_add(set, der, device_ca, NULL, &changed, &ignored, &first) == 0)
                return 0;
        if (!source_root || (first.reason != RS_REASON_NONE && first.reason != RS_REASON_CERTIFICATE))
                return rs_pass(err, &first);
        return crl_set_add(set, der, source_root, NULL, &changed, &ignored, err);
}

int lists_load(const Options *o, const TrustAnchors *device_ca, const TrustAnchors *source_root, CrlSet **ret,
               RsError *err) {
        _cleanup_(crl_set_freep) CrlSet *set = NULL;
        int r;

        r = crl_set_new(&set, err);
        for (uint32_t i = 0; r >= 0 && i < o->n_crls; i++) {
                _cleanup_(freep) uint8_t *der = NULL;
                size_t size;

                r = read_list(o->crls[i], &der, &size, err);
                if (r >= 0)
                        r = add(set, SPAN(der, size), device_ca, source_root, err);
                if (r < 0)
                        return rs_context(err, "%s", o->crls[i]);
        }
        if (r < 0)
                return r;
        *ret = TAKE_PTR(set);
        return 0;
}

/* A slip (PEM, another file) shows here and not at a thousand devices. */
static int check_form(Span der, const char *path, RsError *err) {
        const unsigned char *p = der.data;
        X509_CRL *crl = ossl_d2i_crl(&p, (long) der.size);
        bool whole = crl && p == der.data + der.size;

        X509_CRL_free(crl);
        return whole ? 0 : rs_fail_ssl(err, FORMAT, "%s: not a revocation list in DER", path);
}

int lists_write(const Options *o, RsError *err) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        uint8_t *ders[CRL_COUNT_MAX] = { 0 };
        Span lists[CRL_COUNT_MAX];
        uint32_t n = 0;
        int r = 0;

        while (r >= 0 && n < o->n_crls) {
                size_t size = 0;

                r = read_list(o->crls[n], &ders[n], &size, err);
                if (r < 0)
                        break;
                lists[n] = SPAN(ders[n], size);
                r = check_form(lists[n], o->crls[n], err);
                n++;
        }
        if (r >= 0)
                r = bundle_crls_encode(lists, n, &e, err);
        if (r >= 0)
                r = file_replace(AT_FDCWD, o->output, encoder_view(&e), 0644, err);
        for (uint32_t i = 0; i < n; i++)
                free(ders[i]);
        return r;
}
