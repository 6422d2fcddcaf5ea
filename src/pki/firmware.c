/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * firmware - the place of a signer in the chain, docs/format-chain.md section 1.
 *
 * The extension is critical, so that software which does not know it refuses the certificate instead of ignoring the
 * place.  OpenSSL does not know it either: path.c forgives exactly this one, and only what this parser takes.
 *
 * One place has one spelling.  OpenSSL's template decoder takes BER (long lengths, indefinite forms), so what it made
 * of the bytes is encoded again and must give the same bytes; nothing may follow.  The values then have the bounds of
 * the manifest and of the TPM record, so that nothing later has to ask whether an index fits.
 */
#include <stdlib.h>
#include <string.h>

#include <openssl/asn1t.h>
#include <openssl/err.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/names.h>
#include <reseal/base/span.h>
#include <reseal/crypto/ossl-cleanup.h>
#include <reseal/pki/firmware.h>

#define PLACE_VERSION 1
#define EPOCH_MAX INT32_MAX
#define INDEX_MAX INT64_MAX
#define PREV_SIZE 32

typedef struct PlaceDer {
        ASN1_INTEGER *version;
        ASN1_UTF8STRING *line;
        ASN1_INTEGER *epoch;
        ASN1_INTEGER *index;
        ASN1_OCTET_STRING *prev_spki;
} PlaceDer;

/* clang-format off */
ASN1_SEQUENCE(PlaceDer) = {
        ASN1_SIMPLE(PlaceDer, version, ASN1_INTEGER),
        ASN1_SIMPLE(PlaceDer, line, ASN1_UTF8STRING),
        ASN1_SIMPLE(PlaceDer, epoch, ASN1_INTEGER),
        ASN1_SIMPLE(PlaceDer, index, ASN1_INTEGER),
        ASN1_SIMPLE(PlaceDer, prev_spki, ASN1_OCTET_STRING),
} static_ASN1_SEQUENCE_END(PlaceDer)
/* clang-format on */

static void place_der_freep(PlaceDer **p) {
        ASN1_item_free((ASN1_VALUE *) *p, ASN1_ITEM_rptr(PlaceDer));
        *p = NULL;
}

static void ossl_freep(unsigned char **p) {
        OPENSSL_free(*p);
}

OSSL_DEFINE_CLEANUP(ASN1_OCTET_STRING, ASN1_OCTET_STRING_free)
OSSL_DEFINE_CLEANUP(X509_EXTENSION, X509_EXTENSION_free)

/* -- values ----------------------------------------------------------------------------------------------------- */

static bool get_number(const ASN1_INTEGER *n, uint64_t min, uint64_t max, uint64_t *ret) {
        uint64_t v;

        if (ASN1_INTEGER_get_uint64(&v, n) != 1 || v < min || v > max) /* a negative one is refused there */
                return false;
        *ret = v;
        return true;
}

/* As in the manifest: what stands in paths, logs and line tags. */
static bool is_line(Span s) {
        if (s.size == 0 || s.size > RS_NAME_MAX)
                return false;
        for (size_t i = 0; i < s.size; i++) {
                const uint8_t c = s.data[i];

                if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' ||
                      c == '_' || c == '-'))
                        return false;
        }
        return true;
}

static Span string_span(const ASN1_STRING *s) {
        return SPAN(ASN1_STRING_get0_data(s), (size_t) ASN1_STRING_length(s));
}

static int take_values(const PlaceDer *der, FirmwarePlace *ret, RsError *err) {
        const Span line = string_span(der->line), prev = string_span(der->prev_spki);
        FirmwarePlace place = { 0 };
        uint64_t version, epoch;

        if (!get_number(der->version, PLACE_VERSION, PLACE_VERSION, &version))
                return rs_fail(err, CERTIFICATE, "chain place: not of version %d", PLACE_VERSION);
        if (!is_line(line))
                return rs_fail(err, CERTIFICATE, "chain place: not the name of a line");
        if (!get_number(der->epoch, 0, EPOCH_MAX, &epoch))
                return rs_fail(err, CERTIFICATE, "chain place: the epoch is outside 0 to 2^31-1");
        if (!get_number(der->index, 1, INDEX_MAX, &place.index))
                return rs_fail(err, CERTIFICATE, "chain place: the index is outside 1 to 2^63-1");
        if (prev.size != PREV_SIZE)
                return rs_fail(err, CERTIFICATE, "chain place: the previous key is %zu bytes", prev.size);

        place.epoch = (uint32_t) epoch;
        memcpy(place.line, line.data, line.size); /* the zero behind is there */
        memcpy(place.prev_spki, prev.data, prev.size);
        *ret = place;
        return 0;
}

static int parse_place(Span der, FirmwarePlace *ret, RsError *err) {
        _cleanup_(place_der_freep) PlaceDer *parsed = NULL;
        _cleanup_(ossl_freep) unsigned char *again = NULL;
        const unsigned char *p = der.data;
        int size;

        parsed = (PlaceDer *) ASN1_item_d2i(NULL, &p, (long) der.size, ASN1_ITEM_rptr(PlaceDer));
        if (!parsed)
                return rs_fail_ssl(err, CERTIFICATE, "chain place: not the sequence it must be");
        size = ASN1_item_i2d((ASN1_VALUE *) parsed, &again, ASN1_ITEM_rptr(PlaceDer));
        if (size < 0)
                return rs_fail_ssl(err, CERTIFICATE, "chain place: cannot be encoded again");
        if (!span_equal(SPAN(again, (size_t) size), der))
                return rs_fail(err, CERTIFICATE, "chain place: not DER, or bytes behind it");
        return take_values(parsed, ret, err);
}

/* -- certificates ----------------------------------------------------------------------------------------------- */

static int place_object(ASN1_OBJECT **ret, RsError *err) {
        *ret = OBJ_txt2obj(RS_OID_FIRMWARE, 1);
        return *ret ? 0 : rs_fail_ssl(err, INTERNAL, "OBJ_txt2obj");
}

int firmware_place_get(X509 *cert, FirmwarePlace *ret, RsError *err) {
        _cleanup_(ASN1_OBJECT_freep) ASN1_OBJECT *oid = NULL;
        X509_EXTENSION *extension;
        int at, r;

        r = place_object(&oid, err);
        if (r < 0)
                return r;
        at = X509_get_ext_by_OBJ(cert, oid, -1);
        if (at < 0)
                return rs_fail(err, CERTIFICATE, "the certificate has no place in a signer chain");
        if (X509_get_ext_by_OBJ(cert, oid, at) >= 0)
                return rs_fail(err, CERTIFICATE, "the certificate has two places in a signer chain");
        extension = X509_get_ext(cert, at);
        if (!X509_EXTENSION_get_critical(extension))
                return rs_fail(err, CERTIFICATE, "the certificate's place in the signer chain is not critical");
        return parse_place(string_span(X509_EXTENSION_get_data(extension)), ret, err);
}

bool firmware_place_present(const X509 *cert) {
        _cleanup_(ASN1_OBJECT_freep) ASN1_OBJECT *oid = OBJ_txt2obj(RS_OID_FIRMWARE, 1);

        return !oid || X509_get_ext_by_OBJ(cert, oid, -1) >= 0;
}

bool firmware_place_is(const X509_EXTENSION *extension) {
        _cleanup_(ASN1_OBJECT_freep) ASN1_OBJECT *oid = OBJ_txt2obj(RS_OID_FIRMWARE, 1);

        return oid && OBJ_cmp(X509_EXTENSION_get_object((X509_EXTENSION *) extension), oid) == 0;
}

static int fill_values(PlaceDer *der, const FirmwarePlace *place, RsError *err) {
        if (ASN1_INTEGER_set_uint64(der->version, PLACE_VERSION) != 1 ||
            ASN1_STRING_set(der->line, place->line, (int) strnlen(place->line, sizeof(place->line))) != 1 ||
            ASN1_INTEGER_set_uint64(der->epoch, place->epoch) != 1 ||
            ASN1_INTEGER_set_uint64(der->index, place->index) != 1 ||
            ASN1_OCTET_STRING_set(der->prev_spki, place->prev_spki, PREV_SIZE) != 1)
                return rs_fail_oom(err);
        return 0;
}

int firmware_place_set(X509 *cert, const FirmwarePlace *place, RsError *err) {
        _cleanup_(X509_EXTENSION_freep) X509_EXTENSION *extension = NULL;
        _cleanup_(ASN1_OCTET_STRING_freep) ASN1_OCTET_STRING *value = NULL;
        _cleanup_(place_der_freep) PlaceDer *der = NULL;
        _cleanup_(ossl_freep) unsigned char *bytes = NULL;
        _cleanup_(ASN1_OBJECT_freep) ASN1_OBJECT *oid = NULL;
        FirmwarePlace ignored;
        int size, r;

        if (firmware_place_present(cert))
                return rs_fail(err, CERTIFICATE, "the certificate has a place in a signer chain already");
        der = (PlaceDer *) ASN1_item_new(ASN1_ITEM_rptr(PlaceDer));
        value = ASN1_OCTET_STRING_new();
        if (!der || !value)
                return rs_fail_oom(err);
        r = fill_values(der, place, err);
        if (r < 0)
                return r;
        r = take_values(der, &ignored, err); /* what nobody would accept is not made */
        if (r < 0)
                return r;
        r = place_object(&oid, err);
        if (r < 0)
                return r;
        size = ASN1_item_i2d((ASN1_VALUE *) der, &bytes, ASN1_ITEM_rptr(PlaceDer));
        if (size <= 0 || ASN1_OCTET_STRING_set(value, bytes, size) != 1)
                return rs_fail_ssl(err, INTERNAL, "cannot encode the place in the signer chain");
        extension = X509_EXTENSION_create_by_OBJ(NULL, oid, 1, value);
        if (!extension || X509_add_ext(cert, extension, -1) != 1)
                return rs_fail_ssl(err, INTERNAL, "cannot add the place in the signer chain");
        return 0;
}
