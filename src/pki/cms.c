/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * cms - signed and enveloped messages.
 *
 * Verification goes from what is cheap and says little to what is dear and decides, and believes nothing early:
 *
 *   1. form: one DER object and nothing behind it, SignedData, attached content of type id-data within its cap,
 *      exactly one signer whose certificate is enclosed
 *   2. the signer's path to the caller's anchors (path.c); the enclosed certificates are links, never trust
 *   3. algorithms: OpenSSL 3.0 takes the digest from the message and does not compare the signature algorithm with
 *      the key, so both are held against the one table
 *   4. the signature over the signed attributes and the digest of the content
 *   5. only now the signed attributes: they must be there (without them, attributes of another message could pass
 *      as content) and must name the content type the content has (RFC 5652 11.1, which OpenSSL does not compare)
 *
 * A quorum is the same with anchors in the place of paths: a signer counts who is one of them, byte for byte, and
 * then the signature must be good.  They are counted by key, so that neither a second signature nor a second
 * certificate of one key counts twice.
 *
 * Enveloping: AES-256-GCM and ECDH key agreement with SHA-256 in the key derivation.  OpenSSL's default there is
 * SHA-1; it is set per recipient, and a test looks for the OID in the output.  CBC EnvelopedData is not accepted: its
 * ciphertext can be bent unnoticed.
 *
 * OpenSSL 3.0 does not make or verify CMS signatures with Ed25519; such keys serve as certificates' keys only.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/cms.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/store.h>
#include <openssl/ui.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/base/ossl.h>
#include <reseal/crypto/ossl-cleanup.h>
#include <reseal/crypto/ossl-read.h>
#include <reseal/format/limits.h>
#include <reseal/pki/cms.h>

#include "cms-parts.h"
#include "path-parts.h"

/* The largest message any caller has: the transport envelope. */
#define CMS_SIZE_MAX RS_TRANSPORT_MAX
/* Enclosed certificates of a quorum: its signers' own and nothing that costs time. */
#define QUORUM_CERTS_MAX (2 * CMS_SIGNERS_MAX)

/* -- form ------------------------------------------------------------------------------------------------------- */

static int parse_der(Span der, CMS_ContentInfo **ret, RsError *err) {
        _cleanup_(CMS_ContentInfo_freep) CMS_ContentInfo *cms = NULL;
        const unsigned char *p = der.data;

        if (der.size == 0 || der.size > CMS_SIZE_MAX)
                return rs_fail(err, SIGNATURE, "CMS: empty or larger than %u bytes", CMS_SIZE_MAX);
        cms = ossl_d2i_cms(&p, (long) der.size);
        if (!cms)
                return rs_fail_ssl(err, SIGNATURE, "CMS: not a well-formed message");
        if (p != der.data + der.size)
                return rs_fail(err, SIGNATURE, "CMS: bytes behind the message");

        *ret = TAKE_PTR(cms);
        return 0;
}

/* SignedData with attached content of this type and of at most max_content bytes, which *ret_content borrows. */
static int parse_signed(Span der, int type, size_t max_content, CMS_ContentInfo **ret, Span *ret_content,
                        RsError *err) {
        _cleanup_(CMS_ContentInfo_freep) CMS_ContentInfo *cms = NULL;
        ASN1_OCTET_STRING **content;
        int r;

        r = parse_der(der, &cms, err);
        if (r < 0)
                return r;
        if (OBJ_obj2nid(CMS_get0_type(cms)) != NID_pkcs7_signed)
                return rs_fail(err, SIGNATURE, "CMS: not SignedData");
        if (OBJ_obj2nid(CMS_get0_eContentType(cms)) != type)
                return rs_fail(err, SIGNATURE, "CMS: the content is not of type %s", OBJ_nid2sn(type));
        content = CMS_get0_content(cms);
        if (!content || !*content)
                return rs_fail_ssl(err, SIGNATURE, "CMS: the content is not attached");
        if ((size_t) ASN1_STRING_length(*content) > max_content)
                return rs_fail(err, SIGNATURE, "CMS: content larger than %zu bytes", max_content);

        *ret_content = SPAN(ASN1_STRING_get0_data(*content), (size_t) ASN1_STRING_length(*content));
        *ret = TAKE_PTR(cms);
        return 0;
}

/* With one NUL behind, as file_read does. */
static int copy_content(Span content, uint8_t **ret, size_t *ret_size, RsError *err) {
        uint8_t *copy = malloc(content.size + 1);

        if (!copy)
                return rs_fail_oom(err);
        if (content.size > 0)
                memcpy(copy, content.data, content.size);
        copy[content.size] = 0;
        *ret = copy;
        *ret_size = content.size;
        return 0;
}

int cms_peek(Span der, size_t max_content, uint8_t **ret_content, size_t *ret_size, RsError *err) {
        _cleanup_(CMS_ContentInfo_freep) CMS_ContentInfo *cms = NULL;
        Span content;
        int r;

        r = parse_signed(der, NID_pkcs7_data, max_content, &cms, &content, err);
        if (r < 0)
                return r;
        return copy_content(content, ret_content, ret_size, err);
}

/* -- verification ----------------------------------------------------------------------------------------------- */

/* The signer's certificate, borrowed from certs. */
static X509 *find_cert(CMS_SignerInfo *si, STACK_OF(X509) *certs) {
        for (int i = 0; i < sk_X509_num(certs); i++)
                if (CMS_SignerInfo_cert_cmp(si, sk_X509_value(certs, i)) == 0)
                        return sk_X509_value(certs, i);
        return NULL;
}

/* The one signer and its certificate, borrowed from cms and certs. */
static int find_signer(CMS_ContentInfo *cms, STACK_OF(X509) *certs, CMS_SignerInfo **ret, X509 **ret_cert,
                       RsError *err) {
        STACK_OF(CMS_SignerInfo) *signers = CMS_get0_SignerInfos(cms);
        CMS_SignerInfo *si = NULL;
        X509 *cert;

        if (sk_CMS_SignerInfo_num(signers) != 1)
                return rs_fail(err, SIGNATURE, "CMS: %d signers instead of one", sk_CMS_SignerInfo_num(signers));
        si = sk_CMS_SignerInfo_value(signers, 0);
        cert = find_cert(si, certs);
        if (!cert)
                return rs_fail(err, CERTIFICATE, "CMS: the signer's certificate is not enclosed");
        CMS_SignerInfo_set1_signer_cert(si, cert);
        *ret = si;
        *ret_cert = cert;
        return 0;
}

static int check_algorithms(CMS_SignerInfo *si, X509 *cert, RsError *err) {
        X509_ALGOR *digest_algorithm, *signature_algorithm;
        int digest, signature;

        CMS_SignerInfo_get0_algs(si, NULL, NULL, &digest_algorithm, &signature_algorithm);
        digest = OBJ_obj2nid(digest_algorithm->algorithm);
        signature = OBJ_obj2nid(signature_algorithm->algorithm);
        if (!algorithm_digest_permitted(digest))
                return rs_fail(err, ALGORITHM, "CMS: digest %s is not permitted", OBJ_nid2sn(digest));
        if (!algorithm_signature_fits(signature, EVP_PKEY_get_base_id(X509_get0_pubkey(cert)), digest))
                return rs_fail(err, ALGORITHM, "CMS: signature algorithm %s does not fit key and digest",
                               OBJ_nid2sn(signature));
        return 0;
}

/* After the signature is good: attributes present, and the one content-type attribute says what the content is. */
static int check_attributes(CMS_SignerInfo *si, int content_type, RsError *err) {
        const ASN1_OBJECT *type;

        /* -3: exactly one such attribute with exactly one value */
        type = CMS_signed_get0_data_by_OBJ(si, OBJ_nid2obj(NID_pkcs9_contentType), -3, V_ASN1_OBJECT);
        if (!type || OBJ_obj2nid(type) != content_type)
                return rs_fail_ssl(err, SIGNATURE, "CMS: the signed attributes do not name the content type");
        return 0;
}

void signed_message_done(SignedMessage *m) {
        CMS_ContentInfo_free(m->cms);
        sk_X509_pop_free(m->certs, X509_free);
        *m = (SignedMessage){ 0 };
}

int signed_message_open(Span der, int content_type, size_t max_content, const TrustAnchors *anchors,
                        const PathRules *rules, SignedMessage *m, RsError *err) {
        int r;

        r = parse_signed(der, content_type, max_content, &m->cms, &m->content, err);
        if (r < 0)
                return r;
        m->certs = CMS_get1_certs(m->cms);
        r = find_signer(m->cms, m->certs, &m->info, &m->cert, err);
        if (r < 0)
                return r;
        r = path_verify(m->cert, m->certs, anchors, rules, &m->signer, err);
        if (r < 0)
                return r;
        r = check_algorithms(m->info, m->cert, err);
        if (r < 0)
                return r;
        /* The path is checked already, by our rules; the content is the attached one. */
        if (CMS_verify(m->cms, NULL, NULL, NULL, NULL, CMS_BINARY | CMS_NO_SIGNER_CERT_VERIFY) != 1)
                return rs_fail_ssl(err, SIGNATURE, "CMS: the signature is not good");
        return check_attributes(m->info, content_type, err);
}

int cms_verify(Span der, const TrustAnchors *anchors, const PathRules *rules, size_t max_content,
               uint8_t **ret_content, size_t *ret_size, SignerInfo *ret_signer, RsError *err) {
        _cleanup_(signed_message_done) SignedMessage m = { 0 };
        int r;

        r = signed_message_open(der, NID_pkcs7_data, max_content, anchors, rules, &m, err);
        if (r < 0)
                return r;
        r = copy_content(m.content, ret_content, ret_size, err);
        if (r < 0)
                return r;

        *ret_signer = m.signer;
        return 0;
}

/* -- quorum ----------------------------------------------------------------------------------------------------- */

/* The attributes are there and name type and digest of the content, and the key has signed them. */
static int verify_root_signer(CMS_SignerInfo *si, Span content, RsError *err) {
        const ASN1_OCTET_STRING *claimed;
        X509_ALGOR *digest_algorithm;
        uint8_t digest[EVP_MAX_MD_SIZE];
        size_t size = 0;
        int r;

        r = check_attributes(si, NID_pkcs7_data, err);
        if (r < 0)
                return r;
        CMS_SignerInfo_get0_algs(si, NULL, NULL, &digest_algorithm, NULL);
        claimed = CMS_signed_get0_data_by_OBJ(si, OBJ_nid2obj(NID_pkcs9_messageDigest), -3, V_ASN1_OCTET_STRING);
        if (!claimed || EVP_Q_digest(ossl_context(), OBJ_nid2sn(OBJ_obj2nid(digest_algorithm->algorithm)), NULL,
                                     content.data, content.size, digest, &size) != 1)
                return rs_fail_ssl(err, SIGNATURE, "CMS: the signed attributes do not name the content's digest");
        if (!span_equal(SPAN(ASN1_STRING_get0_data(claimed), (size_t) ASN1_STRING_length(claimed)), SPAN(digest, size)))
                return rs_fail(err, SIGNATURE, "CMS: a signature is for another content");
        if (CMS_SignerInfo_verify(si) != 1)
                return rs_fail_ssl(err, SIGNATURE, "CMS: a signature is not good");
        return 0;
}

typedef struct Quorum {
        const TrustAnchors *roots;
        STACK_OF(X509) *certs; /* enclosed */
        Span content;
        uint8_t keys[CMS_SIGNERS_MAX][32];
        uint32_t n;
} Quorum;

static int count_signer(Quorum *q, CMS_SignerInfo *si, RsError *err) {
        X509 *cert = find_cert(si, q->certs);
        uint8_t key[32];
        int r;

        if (!cert || !path_is_anchor(cert, q->roots))
                return 0;
        r = check_algorithms(si, cert, err);
        if (r < 0)
                return r;
        CMS_SignerInfo_set1_signer_cert(si, cert);
        r = verify_root_signer(si, q->content, err);
        if (r < 0)
                return r;
        r = path_spki_sha256(cert, key, err);
        if (r < 0)
                return r;
        for (uint32_t i = 0; i < q->n; i++)
                if (memcmp(q->keys[i], key, sizeof(key)) == 0)
                        return 0;
        memcpy(q->keys[q->n++], key, sizeof(key));
        return 0;
}

int cms_verify_quorum(Span der, const TrustAnchors *roots, size_t max_content, uint8_t **ret_content, size_t *ret_size,
                      uint32_t *ret_n, RsError *err) {
        _cleanup_(CMS_ContentInfo_freep) CMS_ContentInfo *cms = NULL;
        _cleanup_(sk_X509_freep) STACK_OF(X509) *certs = NULL;
        Quorum q = { .roots = roots };
        STACK_OF(CMS_SignerInfo) *signers;
        int r;

        r = parse_signed(der, NID_pkcs7_data, max_content, &cms, &q.content, err);
        if (r < 0)
                return r;
        q.certs = certs = CMS_get1_certs(cms);
        signers = CMS_get0_SignerInfos(cms);
        if (sk_CMS_SignerInfo_num(signers) < 1 || sk_CMS_SignerInfo_num(signers) > (int) CMS_SIGNERS_MAX ||
            sk_X509_num(certs) > (int) QUORUM_CERTS_MAX)
                return rs_fail(err, SIGNATURE, "CMS: no signer, or more than %u", CMS_SIGNERS_MAX);
        for (int i = 0; i < sk_CMS_SignerInfo_num(signers); i++) {
                r = count_signer(&q, sk_CMS_SignerInfo_value(signers, i), err);
                if (r < 0)
                        return r;
        }
        r = copy_content(q.content, ret_content, ret_size, err);
        if (r < 0)
                return r;

        *ret_n = q.n;
        return 0;
}

/* -- making ----------------------------------------------------------------------------------------------------- */

static int encode_der(const CMS_ContentInfo *cms, Encoder *ret_der, RsError *err) {
        unsigned char *der = NULL;
        int size;

        size = i2d_CMS_ContentInfo(cms, &der);
        if (size <= 0)
                return rs_fail_ssl(err, INTERNAL, "CMS: cannot encode");
        encoder_bytes(ret_der, der, (size_t) size);
        OPENSSL_free(der);
        if (encoder_finish(ret_der) < 0)
                return rs_fail_oom(err);
        return 0;
}

/* A stronger key deserves no weaker digest. */
static const EVP_MD *digest_for(EVP_PKEY *key) {
        return EVP_PKEY_get_base_id(key) == EVP_PKEY_EC && EVP_PKEY_get_bits(key) > 256 ? EVP_sha384() : EVP_sha256();
}

int cms_sign(Span content, X509 *cert, EVP_PKEY *key, STACK_OF(X509) *extra, Encoder *ret_der, RsError *err) {
        const unsigned flags = CMS_BINARY | CMS_NOSMIMECAP | CMS_PARTIAL;
        _cleanup_(CMS_ContentInfo_freep) CMS_ContentInfo *cms = NULL;
        _cleanup_(BIO_free_allp) BIO *in = NULL;

        if (content.size > INT_MAX)
                return rs_fail(err, INVALID, "CMS: content too large");
        in = BIO_new_mem_buf(content.data, (int) content.size);
        if (!in)
                return rs_fail_oom(err);
        cms = CMS_sign_ex(NULL, NULL, extra, NULL, flags, ossl_context(), NULL);
        if (!cms)
                return rs_fail_ssl(err, INTERNAL, "CMS: cannot begin");
        if (!CMS_add1_signer(cms, cert, key, digest_for(key), flags))
                return rs_fail_ssl(err, CONFIG, "CMS: key and certificate do not fit");
        if (CMS_final(cms, in, NULL, CMS_BINARY) != 1)
                return rs_fail_ssl(err, SIGNATURE, "CMS: the key could not sign");
        return encode_der(cms, ret_der, err);
}

/*
 * OpenSSL's ways to finish a message sign it with all keys anew, or copy the digest that an earlier signer claims. Here
 * the digest of the attached content is taken afresh, so that the new signature covers what is there.
 */
static int sign_attached(CMS_ContentInfo *cms, Span content, X509 *cert, EVP_PKEY *key, RsError *err) {
        const EVP_MD *md = digest_for(key);
        uint8_t digest[EVP_MAX_MD_SIZE];
        CMS_SignerInfo *si;
        size_t size = 0;

        si = CMS_add1_signer(cms, cert, key, md, CMS_BINARY | CMS_NOSMIMECAP | CMS_PARTIAL | CMS_NOCERTS);
        if (!si)
                return rs_fail_ssl(err, CONFIG, "CMS: key and certificate do not fit");
        if (EVP_Q_digest(ossl_context(), EVP_MD_get0_name(md), NULL, content.data, content.size, digest, &size) != 1 ||
            CMS_signed_add1_attr_by_NID(si, NID_pkcs9_contentType, V_ASN1_OBJECT, OBJ_nid2obj(NID_pkcs7_data), -1) !=
                    1 ||
            CMS_signed_add1_attr_by_NID(si, NID_pkcs9_messageDigest, V_ASN1_OCTET_STRING, digest, (int) size) != 1)
                return rs_fail_ssl(err, INTERNAL, "CMS: cannot add the signed attributes");
        if (CMS_SignerInfo_sign(si) != 1)
                return rs_fail_ssl(err, SIGNATURE, "CMS: the key could not sign");
        return 0;
}

int cms_add_signer(Span der, Span content, X509 *cert, EVP_PKEY *key, Encoder *ret_der, RsError *err) {
        _cleanup_(CMS_ContentInfo_freep) CMS_ContentInfo *cms = NULL;
        STACK_OF(CMS_SignerInfo) *signers;
        Span attached;
        int r;

        if (der.size == 0)
                return cms_sign(content, cert, key, NULL, ret_der, err);
        r = parse_signed(der, NID_pkcs7_data, CMS_SIZE_MAX, &cms, &attached, err);
        if (r < 0)
                return r;
        if (content.size > 0 && !span_equal(content, attached))
                return rs_fail(err, INVALID, "CMS: the message holds another content");
        signers = CMS_get0_SignerInfos(cms);
        if (sk_CMS_SignerInfo_num(signers) >= (int) CMS_SIGNERS_MAX)
                return rs_fail(err, INVALID, "CMS: %u have signed already", CMS_SIGNERS_MAX);
        for (int i = 0; i < sk_CMS_SignerInfo_num(signers); i++)
                if (CMS_SignerInfo_cert_cmp(sk_CMS_SignerInfo_value(signers, i), cert) == 0)
                        return rs_fail(err, INVALID, "CMS: this one has signed already");
        if (CMS_add1_cert(cms, cert) != 1)
                return rs_fail_ssl(err, INTERNAL, "CMS: cannot enclose the certificate");
        r = sign_attached(cms, attached, cert, key, err);
        if (r < 0)
                return r;
        return encode_der(cms, ret_der, err);
}

static int add_recipient(CMS_ContentInfo *cms, X509 *cert, RsError *err) {
        EVP_PKEY *key = X509_get0_pubkey(cert);
        CMS_RecipientInfo *ri;
        EVP_PKEY_CTX *ctx;
        char group[32];
        size_t n;

        if (!key || EVP_PKEY_get_base_id(key) != EVP_PKEY_EC ||
            EVP_PKEY_get_group_name(key, group, sizeof(group), &n) != 1 || strcmp(group, "prime256v1") != 0)
                return rs_fail(err, ALGORITHM, "a transport certificate must hold a P-256 key");
        ri = CMS_add1_recipient_cert(cms, cert, CMS_BINARY | CMS_KEY_PARAM);
        ctx = ri ? CMS_RecipientInfo_get0_pkey_ctx(ri) : NULL;
        if (!ctx || EVP_PKEY_CTX_ctrl_str(ctx, "ecdh_kdf_md", "sha256") <= 0)
                return rs_fail_ssl(err, INTERNAL, "CMS: cannot add a recipient");
        return 0;
}

int cms_envelop(const Secret *content_key, STACK_OF(X509) *recipients, Encoder *ret_der, RsError *err) {
        const unsigned flags = CMS_BINARY | CMS_PARTIAL;
        _cleanup_(CMS_ContentInfo_freep) CMS_ContentInfo *cms = NULL;
        _cleanup_(BIO_free_allp) BIO *in = NULL;
        int r;

        if (secret_size(content_key) != RS_KEY_SIZE || sk_X509_num(recipients) < 1)
                return rs_fail(err, INVALID, "CMS: nothing or nobody to envelop for");
        in = BIO_new_mem_buf(secret_bytes(content_key), (int) secret_size(content_key));
        cms = CMS_encrypt_ex(NULL, NULL, EVP_aes_256_gcm(), flags, ossl_context(), NULL);
        if (!in || !cms)
                return rs_fail_ssl(err, INTERNAL, "CMS: cannot begin");
        for (int i = 0; i < sk_X509_num(recipients); i++) {
                r = add_recipient(cms, sk_X509_value(recipients, i), err);
                if (r < 0)
                        return r;
        }
        if (CMS_final(cms, in, NULL, CMS_BINARY) != 1)
                return rs_fail_ssl(err, INTERNAL, "CMS: cannot encrypt");
        return encode_der(cms, ret_der, err);
}

int cms_develop(Span der, X509 *cert, EVP_PKEY *key, Secret **ret_content_key, RsError *err) {
        _cleanup_(CMS_ContentInfo_freep) CMS_ContentInfo *cms = NULL;
        _cleanup_(BIO_free_allp) BIO *out = NULL; /* wipes its memory, also on failure */
        const unsigned char *p = der.data;
        Secret *secret;
        char *bytes;
        long n;

        if (der.size == 0 || der.size > RS_TRANSPORT_MAX)
                return rs_fail(err, DECRYPT, "envelope: empty or larger than %u bytes", RS_TRANSPORT_MAX);
        cms = ossl_d2i_cms(&p, (long) der.size);
        if (!cms || p != der.data + der.size)
                return rs_fail_ssl(err, DECRYPT, "envelope: not a well-formed message");
        if (OBJ_obj2nid(CMS_get0_type(cms)) != NID_id_smime_ct_authEnvelopedData)
                return rs_fail(err, ALGORITHM, "envelope: not AuthEnvelopedData");
        out = BIO_new(BIO_s_secmem());
        if (!out)
                return rs_fail_oom(err);
        /* The decrypting cipher may be any that the message names; the size and then every tag made with the key
         * decide whether it is the right one.  That it is AEAD is what the type says. */
        if (CMS_decrypt(cms, key, cert, NULL, out, CMS_BINARY) != 1)
                return rs_fail_ssl(err, DECRYPT, "envelope: cannot be opened with this key");
        n = BIO_get_mem_data(out, &bytes);
        if (n != (long) RS_KEY_SIZE)
                return rs_fail(err, DECRYPT, "envelope: does not hold a content key");
        secret = secret_new_take(bytes, (size_t) n);
        if (!secret)
                return rs_fail_oom(err);

        *ret_content_key = secret;
        return 0;
}

/* -- keys and certificates -------------------------------------------------------------------------------------- */

int key_load(const char *uri, EVP_PKEY **ret, RsError *err) {
        _cleanup_(OSSL_STORE_closep) OSSL_STORE_CTX *store = NULL;
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;

        /* The terminal is asked for a passphrase or PIN where there is one; a service has none and fails. */
        store = OSSL_STORE_open_ex(uri, ossl_context(), NULL, UI_OpenSSL(), NULL, NULL, NULL, NULL);
        if (!store)
                return rs_fail_ssl(err, CONFIG, "%s: cannot be opened", uri);
        if (OSSL_STORE_expect(store, OSSL_STORE_INFO_PKEY) != 1)
                return rs_fail_ssl(err, CONFIG, "%s: holds no private key", uri);
        while (!key && !OSSL_STORE_eof(store)) {
                _cleanup_(OSSL_STORE_INFO_freep) OSSL_STORE_INFO *info = OSSL_STORE_load(store);

                if (!info)
                        break;
                if (OSSL_STORE_INFO_get_type(info) == OSSL_STORE_INFO_PKEY)
                        key = OSSL_STORE_INFO_get1_PKEY(info);
        }
        if (!key)
                return rs_fail_ssl(err, CONFIG, "%s: no private key that can be used", uri);
        ERR_clear_error(); /* decoders that were tried and did not fit leave their complaints */

        *ret = TAKE_PTR(key);
        return 0;
}

static int read_certs(BIO *pem, STACK_OF(X509) *certs, RsError *err) {
        X509 *cert = NULL;

        ERR_clear_error();
        while ((cert = ossl_pem_x509(pem)))
                if (sk_X509_push(certs, cert) <= 0) {
                        X509_free(cert);
                        return rs_fail_oom(err);
                }
        if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
                return rs_fail_ssl(err, CONFIG, "damaged PEM");
        ERR_clear_error();
        if (sk_X509_num(certs) == 0)
                return rs_fail(err, CONFIG, "no certificate");
        return 0;
}

int certs_load(const char *path, STACK_OF(X509) **ret, RsError *err) {
        _cleanup_(sk_X509_freep) STACK_OF(X509) *certs = NULL;
        _cleanup_(BIO_free_allp) BIO *bio = NULL;
        _cleanup_(freep) uint8_t *data = NULL;
        size_t size;
        int r;

        r = file_read(AT_FDCWD, path, RS_CERT_FILE_MAX, &data, &size, err);
        if (r < 0)
                return r;
        if (r == 0)
                return rs_fail(err, CONFIG, "%s: no such file", path);
        certs = sk_X509_new_null();
        bio = BIO_new_mem_buf(data, (int) size);
        if (!certs || !bio)
                return rs_fail_oom(err);
        r = read_certs(bio, certs, err);
        if (r < 0)
                return rs_context(err, "%s", path);

        *ret = TAKE_PTR(certs);
        return 0;
}
