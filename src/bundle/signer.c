/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * signer - from files and URIs to a CMS.
 *
 * The purpose of the certificate is looked at here already: a bundle signed by a certificate that no device accepts
 * should fail at the desk and not in the field.
 */
#include <openssl/x509v3.h>

#include <reseal/base/names.h>
#include <reseal/crypto/ossl-cleanup.h>
#include <reseal/format/limits.h>
#include <reseal/pki/cms.h>

#include "signer.h"

static int check_purpose(X509 *cert, RsError *err) {
        _cleanup_(sk_EKU_freep) EXTENDED_KEY_USAGE *usages =
                        X509_get_ext_d2i(cert, NID_ext_key_usage, NULL, NULL);
        _cleanup_(ASN1_OBJECT_freep) ASN1_OBJECT *wanted = OBJ_txt2obj(RS_OID_EKU_IMAGE_SIGNING, 1);

        if (!wanted)
                return rs_fail_ssl(err, INTERNAL, "object identifier");
        for (int i = 0; usages && i < sk_ASN1_OBJECT_num(usages); i++)
                if (OBJ_cmp(sk_ASN1_OBJECT_value(usages, i), wanted) == 0)
                        return 0;
        return rs_fail(err, PURPOSE, "the certificate has no extended key usage for image signing (%s)",
                       RS_OID_EKU_IMAGE_SIGNING);
}

/* Moves all certificates of `from` but the first `skip` behind those of `to`. */
static int move_certs(STACK_OF(X509) * to, STACK_OF(X509) * from, int skip, RsError *err) {
        while (sk_X509_num(from) > skip)
                if (sk_X509_push(to, sk_X509_value(from, skip)) <= 0)
                        return rs_fail_oom(err);
                else
                        (void) sk_X509_delete(from, skip); /* now owned by to */
        return 0;
}

int signer_sign(const SignerOptions *options, Span manifest, Encoder *ret_cms, RsError *err) {
        _cleanup_(sk_X509_freep) STACK_OF(X509) *own = NULL, *chain = NULL, *extra = sk_X509_new_null();
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
        int r;

        if (!extra)
                return rs_fail_oom(err);
        r = certs_load(options->cert, &own, err);
        if (r < 0)
                return r;
        r = check_purpose(sk_X509_value(own, 0), err);
        if (r < 0)
                return rs_context(err, "%s", options->cert);
        r = move_certs(extra, own, 1, err);
        if (r < 0)
                return r;
        if (options->chain) {
                r = certs_load(options->chain, &chain, err);
                if (r == 0)
                        r = move_certs(extra, chain, 0, err);
                if (r < 0)
                        return r;
        }
        r = key_load(options->key, &key, err);
        if (r < 0)
                return r;
        r = cms_sign(manifest, sk_X509_value(own, 0), key, extra, ret_cms, err);
        if (r < 0)
                return r;
        if (ret_cms->size > RS_MANIFEST_CMS_MAX)
                return rs_fail(err, MANIFEST,
                               "the signed manifest has %zu bytes, limit %u: enclose fewer certificates",
                               ret_cms->size, RS_MANIFEST_CMS_MAX);
        return 0;
}
