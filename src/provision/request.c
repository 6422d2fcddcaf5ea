/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * request - what the device CA gets, in one directory:
 *
 *     identity.csr      PKCS#10, signed by the identity key: subject, key usage and extended key usages it
 *   asks for unwrap.pub        PEM SubjectPublicKeyInfo of the unwrap key attest.pub        the same of the
 *   attestation key unwrap.attest     TPM2_Certify statement that the unwrap key lives in the TPM of the
 *   attestation key unwrap.attest.sig its signature by the attestation key, DER
 *
 * Only the identity key can sign a request: the unwrap key does not sign at all, and the attestation key only
 * what its TPM made.  So the CA certifies those two by their public keys (openssl x509 -force_pubkey); the
 * statement ties the unwrap key to the attestation key, and the SHA-256 of the identity key in its nonce ties
 * both to the request, which proves possession.  The extensions asked for are a proposal; the CA decides.
 */
#include <fcntl.h>
#include <string.h>

#include <openssl/pem.h>

#include <reseal/base/directory.h>
#include <reseal/base/file.h>
#include <reseal/base/names.h>
#include <reseal/base/ossl.h>
#include <reseal/crypto/ossl-cleanup.h>

#include "provision.h"

OSSL_DEFINE_CLEANUP(X509_REQ, X509_REQ_free)

static void extensions_freep(STACK_OF(X509_EXTENSION) * *p) {
        sk_X509_EXTENSION_pop_free(*p, X509_EXTENSION_free);
}

static int add_extension(STACK_OF(X509_EXTENSION) * list, int nid, const char *value, RsError *err) {
        X509_EXTENSION *x = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

        if (!x || sk_X509_EXTENSION_push(list, x) <= 0) {
                X509_EXTENSION_free(x);
                return rs_fail_ssl(err, INTERNAL, "extension of a request");
        }
        return 0;
}

static int fill_request(X509_REQ *request, const char *serial, EVP_PKEY *key, RsError *err) {
        _cleanup_(extensions_freep) STACK_OF(X509_EXTENSION) *extensions = sk_X509_EXTENSION_new_null();
        X509_NAME *subject = X509_REQ_get_subject_name(request);
        const unsigned char *text = (const unsigned char *) serial;
        int r;

        if (!extensions ||
            X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_UTF8, text, -1, -1, 0) != 1 ||
            X509_NAME_add_entry_by_NID(subject, NID_serialNumber, MBSTRING_ASC, text, -1, -1, 0) != 1)
                return rs_fail_ssl(err, INVALID, "\"%s\" cannot be the subject of a certificate", serial);
        r = add_extension(extensions, NID_key_usage, "critical,digitalSignature", err);
        if (r >= 0)
                r = add_extension(extensions, NID_ext_key_usage, "clientAuth," RS_OID_EKU_DEVICE_DOWNLOAD,
                                  err);
        if (r < 0)
                return r;
        if (X509_REQ_set_version(request, X509_REQ_VERSION_1) != 1 ||
            X509_REQ_set_pubkey(request, key) != 1 || X509_REQ_add_extensions(request, extensions) != 1)
                return rs_fail_ssl(err, INTERNAL, "fill a request");
        return 0;
}

static int write_bio(int dir_fd, const char *name, BIO *bio, RsError *err) {
        char *data = NULL;
        long size = BIO_get_mem_data(bio, &data);

        return file_replace(dir_fd, name, SPAN(data, (size_t) size), 0644, err);
}

static int write_csr(int dir_fd, const Options *o, Tpm *t, const TpmKey *identity, RsError *err) {
        _cleanup_(X509_REQ_freep) X509_REQ *request = X509_REQ_new_ex(ossl_context(), NULL);
        _cleanup_(BIO_free_allp) BIO *bio = BIO_new(BIO_s_mem());
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
        RsError why;
        int r;

        if (!request || !bio)
                return rs_fail_oom(err);
        r = tpm_key_evp(t, identity, &key, err);
        if (r < 0)
                return r;
        r = fill_request(request, o->serial, key, err);
        if (r < 0)
                return r;
        if (X509_REQ_sign(request, key, EVP_sha256()) <= 0) {
                if (tpm_key_evp_failure(t, &why)) {
                        *err = why;
                        return rs_context(err, "sign the request");
                }
                return rs_fail_ssl(err, INTERNAL, "sign the request");
        }
        if (PEM_write_bio_X509_REQ(bio, request) != 1)
                return rs_fail_ssl(err, INTERNAL, "encode the request");
        return write_bio(dir_fd, "identity.csr", bio, err);
}

static int write_public(int dir_fd, const char *name, const TpmKey *key, RsError *err) {
        _cleanup_(encoder_done) Encoder der = ENCODER_INIT;
        _cleanup_(BIO_free_allp) BIO *bio = BIO_new(BIO_s_mem());
        uint8_t id[32];
        int r;

        if (!bio)
                return rs_fail_oom(err);
        r = tpm_key_spki(key, &der, id, err);
        if (r < 0)
                return r;
        if (PEM_write_bio(bio, PEM_STRING_PUBLIC, "", der.data, (long) der.size) <= 0)
                return rs_fail_ssl(err, INTERNAL, "encode a public key");
        return write_bio(dir_fd, name, bio, err);
}

static int write_statement(int dir_fd, Tpm *t, const TpmKey keys[_TPM_KEY_PURPOSE_MAX], RsError *err) {
        _cleanup_(encoder_done) Encoder statement = ENCODER_INIT;
        uint8_t identity_id[32], signature[72];
        size_t size = 0;
        int r;

        r = tpm_key_spki(&keys[TPM_KEY_IDENTITY], NULL, identity_id, err);
        if (r < 0)
                return r;
        r = tpm_key_certify(t, &keys[TPM_KEY_ATTEST], &keys[TPM_KEY_UNWRAP], SPAN_ARRAY(identity_id),
                            &statement, signature, &size, err);
        if (r < 0)
                return r;
        /* signature first: the statement's presence says that both are there */
        r = file_replace(dir_fd, "unwrap.attest.sig", SPAN(signature, size), 0644, err);
        return r < 0 ? r : file_replace(dir_fd, "unwrap.attest", encoder_view(&statement), 0644, err);
}

int request_write(const Options *o, Tpm *t, const TpmKey keys[_TPM_KEY_PURPOSE_MAX], unsigned *n_written,
                  RsError *err) {
        static const char *const names[] = { "unwrap.pub", "attest.pub", "unwrap.attest", "identity.csr" };
        _cleanup_(closep) int dir_fd = -EBADF;
        int r;

        r = directory_open(AT_FDCWD, o->csr_out, &dir_fd, err);
        if (r < 0)
                return rs_context(err, "directory for requests");
        for (unsigned i = 0; r >= 0 && i < ELEMENTSOF(names); i++) {
                if (faccessat(dir_fd, names[i], F_OK, 0) == 0)
                        continue;
                if (i == 0)
                        r = write_public(dir_fd, names[i], &keys[TPM_KEY_UNWRAP], err);
                else if (i == 1)
                        r = write_public(dir_fd, names[i], &keys[TPM_KEY_ATTEST], err);
                else if (i == 2)
                        r = write_statement(dir_fd, t, keys, err);
                else
                        r = write_csr(dir_fd, o, t, &keys[TPM_KEY_IDENTITY], err);
                (*n_written)++;
        }
        return r;
}
