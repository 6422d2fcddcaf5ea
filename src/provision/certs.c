/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * certs - taking the device's certificates.
 *
 * A certificate is installed only if its key is the one in the TPM and it asserts the purpose the key is for:
 * a mixed-up pair of files shows here and not at the first download.  Whether the issuer is trusted is the
 * business of those who verify it, the source and the ticket service; the device cannot know their anchors.
 *
 * All three are checked before the first is written, so a wrong set changes nothing.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include <openssl/pem.h>

#include <reseal/base/file.h>
#include <reseal/base/names.h>
#include <reseal/crypto/ossl-cleanup.h>
#include <reseal/crypto/ossl-read.h>
#include <reseal/pki/path.h>

#include "provision.h"

static bool has_eku(X509 *cert, const char *oid) {
        _cleanup_(sk_EKU_freep) EXTENDED_KEY_USAGE *list =
                        X509_get_ext_d2i(cert, NID_ext_key_usage, NULL, NULL);
        char text[128];

        for (int i = 0; list && i < sk_ASN1_OBJECT_num(list); i++) {
                (void) OBJ_obj2txt(text, sizeof(text), sk_ASN1_OBJECT_value(list, i), 1);
                if (strcmp(text, oid) == 0)
                        return true;
        }
        return false;
}

static int check_purpose(X509 *cert, TpmKeyPurpose purpose, RsError *err) {
        static const char client_auth[] = "1.3.6.1.5.5.7.3.2";

        if (purpose == TPM_KEY_IDENTITY &&
            (!has_eku(cert, client_auth) || !has_eku(cert, RS_OID_EKU_DEVICE_DOWNLOAD)))
                return rs_fail(err, PURPOSE,
                               "without the extended key usages clientAuth and device download");
        if (purpose == TPM_KEY_UNWRAP && !has_eku(cert, RS_OID_EKU_UNWRAP))
                return rs_fail(err, PURPOSE, "without the extended key usage unwrap");
        /* without any extended key usage a certificate is good for all of them: a source takes it for the device */
        if (purpose != TPM_KEY_IDENTITY && X509_check_purpose(cert, X509_PURPOSE_SSL_CLIENT, 0) != 0)
                return rs_fail(err, PURPOSE,
                               "it makes a TLS client of a key that is for something else; have it issued with an extended "
                               "key usage of its own (%s)",
                               purpose == TPM_KEY_UNWRAP ? RS_OID_EKU_UNWRAP : RS_OID_EKU_ATTEST);
        return 0;
}

/* The first certificate of the file is the device's; others behind it are its chain and kept as they are. */
static int check_certificate(Span pem, const TpmKey *key, RsError *err) {
        _cleanup_(BIO_free_allp) BIO *bio = BIO_new_mem_buf(pem.data, (int) pem.size);
        _cleanup_(X509_freep) X509 *cert = NULL;
        uint8_t want[32], found[32];
        int r;

        if (!bio)
                return rs_fail_oom(err);
        cert = ossl_pem_x509(bio);
        if (!cert)
                return rs_fail_ssl(err, CERTIFICATE, "not a PEM certificate");
        r = tpm_key_spki(key, NULL, want, err);
        if (r >= 0)
                r = path_spki_sha256(cert, found, err);
        if (r < 0)
                return r;
        if (memcmp(want, found, sizeof(want)) != 0)
                return rs_fail(err, CERTIFICATE, "for another key than the one in the TPM");
        return check_purpose(cert, key->purpose, err);
}

typedef struct Candidate {
        uint8_t *pem;
        size_t size;
} Candidate;

static int check_all(const Options *o, const Store *s, Candidate c[_TPM_KEY_PURPOSE_MAX], RsError *err) {
        for (unsigned p = 0; p < _TPM_KEY_PURPOSE_MAX; p++) {
                TpmKey key;
                int r;

                if (!o->certificates[p])
                        continue;
                r = store_key(s, (TpmKeyPurpose) p, &key, err);
                if (r == 0)
                        return rs_fail(err, NOT_PROVISIONED,
                                       "there is no %s key: run reseal-provision init first",
                                       tpm_key_purpose_to_string((TpmKeyPurpose) p));
                if (r < 0)
                        return r;
                r = file_read(AT_FDCWD, o->certificates[p], RS_CERT_FILE_MAX, &c[p].pem, &c[p].size, err);
                if (r == 0)
                        return rs_fail(err, INVALID, "there is no file %s", o->certificates[p]);
                if (r >= 0)
                        r = check_certificate(SPAN(c[p].pem, c[p].size), &key, err);
                if (r < 0)
                        return rs_context(err, "%s", o->certificates[p]);
        }
        return 0;
}

int verb_certs(const Options *o, RsError *err) {
        Candidate c[_TPM_KEY_PURPOSE_MAX] = { 0 };
        _cleanup_(store_close) Store s = STORE_INIT;
        int r;

        r = store_open(o, false, &s, err);
        if (r >= 0)
                r = check_all(o, &s, c, err);
        for (unsigned p = 0; r >= 0 && p < _TPM_KEY_PURPOSE_MAX; p++)
                if (c[p].pem)
                        r = store_public(&s, store_certificate_file((TpmKeyPurpose) p),
                                         SPAN(c[p].pem, c[p].size), err);
        for (unsigned p = 0; p < _TPM_KEY_PURPOSE_MAX; p++)
                free(c[p].pem);
        if (r < 0)
                return r;
        if (s.n_written == 0)
                (void) printf("The certificates are already installed; nothing changed.\n");
        else
                (void) printf("%u certificate%s installed.\n", s.n_written, s.n_written == 1 ? "" : "s");
        return 0;
}
