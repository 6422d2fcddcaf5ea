/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tickets: what the source writes, a device can read; for whom it must not write one, it does not. */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include <openssl/core_names.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/base/names.h>
#include <reseal/base/text.h>
#include <reseal/crypto/hpke.h>
#include <reseal/crypto/ossl-cleanup.h>
#include <reseal/format/ticket.h>
#include <reseal/pki/cms.h>

#include "issue.h"
#include "pki-fixture.h"

static TrustAnchors *device_ca, *source_root;
static STACK_OF(X509) *ticket_cert;
static EVP_PKEY *ticket_key;
static uint8_t bundle[RS_DIGEST_SIZE] = { 0xb0 };

static TicketRules rules_now(void) {
        return (TicketRules){
                .ticket_cert = sk_X509_value(ticket_cert, 0),
                .ticket_key = ticket_key,
                .device_ca = device_ca,
                .source_root = source_root,
                .now = (uint64_t) time(NULL),
                .not_after = (uint64_t) time(NULL) + 3600,
        };
}

/* What a device does, with a key file in place of the TPM. */
static int read_ticket(const char *file, const char *device, const uint8_t device_id[32], Secret **ret, RsError *err) {
        const uint64_t now = (uint64_t) time(NULL);
        const PathRules rules = { .eku_oid = RS_OID_EKU_TICKET, .time_low = now, .time_high = now };
        _cleanup_(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *ctx = NULL;
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL, *peer = NULL;
        _cleanup_(freep) uint8_t *der = NULL, *json = NULL;
        _cleanup_(secret_freep) Secret *z = secret_new(32);
        uint8_t own[RS_POINT_SIZE], info[TICKET_INFO_SIZE];
        SignerInfo signer;
        Ticket ticket;
        size_t size;
        int r;

        assert_int_equal(file_read(AT_FDCWD, file, RS_TICKET_MAX, &der, &size, err), 1);
        r = cms_verify(SPAN(der, size), source_root, &rules, RS_TICKET_MAX, &json, &size, &signer, err);
        if (r < 0)
                return r;
        r = ticket_parse(SPAN(json, size), &ticket, err);
        if (r < 0)
                return r;
        r = ticket_check(&ticket, bundle, device_id, now, err);
        if (r < 0)
                return r;
        ticket_info(&ticket, info);

        assert_int_equal(key_load(pki_path(device), &key, err), 0);
        assert_int_equal(EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, own, sizeof(own),
                                                         &size), 1);
        peer = EVP_PKEY_new();
        assert_true(EVP_PKEY_copy_parameters(peer, key) == 1 &&
                    EVP_PKEY_set1_encoded_public_key(peer, ticket.enc, sizeof(ticket.enc)) == 1);
        ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
        size = 32;
        assert_true(EVP_PKEY_derive_init(ctx) == 1 && EVP_PKEY_derive_set_peer(ctx, peer) == 1 &&
                    EVP_PKEY_derive(ctx, secret_bytes_mut(z), &size) == 1);
        return hpke_open_with_z(z, own, ticket.enc, SPAN_ARRAY(info), SPAN_NULL, SPAN_ARRAY(ticket.ct), ret, err);
}

static char seen[4][4096];
static unsigned n_seen;

static void on_ticket(const char *device_hex, const char *subject, const char *path) {
        assert_int_equal(strlen(device_hex), 64);
        assert_non_null(strstr(subject, "device "));
        (void) snprintf(seen[n_seen++ % 4], sizeof(seen[0]), "%s", path);
}

static void device_id_of(const char *cert, uint8_t ret[32]) {
        _cleanup_(sk_X509_freep) STACK_OF(X509) *certs = NULL;
        RsError err = RS_ERROR_INIT;

        assert_int_equal(certs_load(pki_path(cert), &certs, &err), 0);
        assert_int_equal(path_spki_sha256(sk_X509_value(certs, 0), ret, &err), 0);
}

static unsigned count_files(const char *directory) {
        DIR *d = opendir(directory);
        unsigned n = 0;

        for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d))
                n += e->d_name[0] != '.';
        if (d)
                (void) closedir(d);
        return n;
}

static void each_device_can_open_its_own_ticket_and_no_other(void **state) {
        _cleanup_(secret_freep) Secret *key = secret_new_random(RS_KEY_SIZE), *one = NULL, *two = NULL, *crossed = NULL;
        char *files[] = { (char *) pki_path("device/one-unwrap.pem"), (char *) pki_path("device/two-unwrap.pem") };
        const TicketRules rules = rules_now();
        uint8_t id_one[32], id_two[32];
        RsError err = RS_ERROR_INIT;

        (void) state;
        n_seen = 0;
        assert_int_equal(issue_tickets(&rules, bundle, key, files, 2, pki_path("out"), on_ticket, &err), 0);
        assert_int_equal(n_seen, 2);
        device_id_of("device/one-unwrap.pem", id_one);
        device_id_of("device/two-unwrap.pem", id_two);
        assert_int_equal(read_ticket(seen[0], "device/one-unwrap.key", id_one, &one, &err), 0);
        assert_int_equal(read_ticket(seen[1], "device/two-unwrap.key", id_two, &two, &err), 0);
        assert_true(secret_equal(key, one) && secret_equal(key, two));

        assert_true(read_ticket(seen[0], "device/two-unwrap.key", id_two, &crossed, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_WRONG_DEVICE);
        err = RS_ERROR_INIT; /* a device that lies about who it is */
        assert_true(read_ticket(seen[0], "device/two-unwrap.key", id_one, &crossed, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_DECRYPT);
}

static void tickets_lie_where_devices_look(void **state) {
        _cleanup_(secret_freep) Secret *key = secret_new_random(RS_KEY_SIZE);
        char *files[] = { (char *) pki_path("device/one-unwrap.pem") };
        char device[HEX_SIZE(32)], id[HEX_SIZE(32)], path[512];
        const TicketRules rules = rules_now();
        RsError err = RS_ERROR_INIT;
        uint8_t device_id[32];

        (void) state;
        assert_int_equal(issue_tickets(&rules, bundle, key, files, 1, pki_path("www"), NULL, &err), 0);
        device_id_of("device/one-unwrap.pem", device_id);
        hex_encode(SPAN_ARRAY(device_id), device);
        hex_encode(SPAN_ARRAY(bundle), id);
        (void) snprintf(path, sizeof(path), "%s/%s/one.%s.rst", pki_path("www"), id, device);
        assert_int_equal(access(path, R_OK), 0);
        /* Again, with the device named twice: the file is replaced and nothing temporary stays. */
        assert_int_equal(issue_tickets(&rules, bundle, key, files, 1, pki_path("www"), NULL, &err), 0);
        *strrchr(path, '/') = 0;
        assert_int_equal(count_files(path), 1);
}

static void flat_names_have_no_serial_number(void **state) {
        _cleanup_(secret_freep) Secret *key = secret_new_random(RS_KEY_SIZE);
        char *files[] = { (char *) pki_path("device/one-unwrap.pem") };
        char device[HEX_SIZE(32)], id[HEX_SIZE(32)], path[512];
        TicketRules rules = rules_now();
        RsError err = RS_ERROR_INIT;
        uint8_t device_id[32];

        (void) state;
        rules.flat = true;
        assert_int_equal(issue_tickets(&rules, bundle, key, files, 1, pki_path("flat"), NULL, &err), 0);
        device_id_of("device/one-unwrap.pem", device_id);
        hex_encode(SPAN_ARRAY(device_id), device);
        hex_encode(SPAN_ARRAY(bundle), id);
        (void) snprintf(path, sizeof(path), "%s/%s/%s.rst", pki_path("flat"), id, device);
        assert_int_equal(access(path, R_OK), 0);
}

/* A name of a file comes from a certificate: nothing in it leads elsewhere, and without one no server can bind it. */
static void serial_numbers_that_are_no_name_get_no_ticket(void **state) {
        static const char *const subjects[] = { "/CN=x", "/CN=x/serialNumber=..\\/x", "/CN=x/serialNumber=.x",
                                                "/CN=x/serialNumber=a b", "/CN=x/serialNumber=a\\/b" };
        _cleanup_(secret_freep) Secret *key = secret_new_random(RS_KEY_SIZE);
        char command[1024], id[HEX_SIZE(32)], path[512];

        (void) state;
        hex_encode(SPAN_ARRAY(bundle), id);
        (void) snprintf(path, sizeof(path), "%s/%s", pki_path("unnamed"), id);
        for (size_t i = 0; i < ELEMENTSOF(subjects); i++) {
                char *files[] = { (char *) pki_path("device/odd.pem") };
                TicketRules rules;
                RsError err = RS_ERROR_INIT;

                (void) snprintf(command, sizeof(command), "cd '%s' && openssl x509 -in device/one-unwrap.pem -pubkey -noout >odd.pub &&"
                                " SUBJECT='%s' '%s'/tests/fixtures/make-pki.sh sign-device . unwrap odd.pub device/odd.pem",
                                pki_dir, subjects[i], getenv("SOURCE_ROOT"));
                assert_int_equal(system(command), 0);
                rules = rules_now(); /* not before the certificate */
                assert_true(issue_tickets(&rules, bundle, key, files, 1, pki_path("unnamed"), NULL, &err) < 0);
                if (err.reason != RS_REASON_CERTIFICATE)
                        fail_msg("%s: %s: %s", subjects[i], rs_reason_name(err.reason), err.text);
                assert_int_equal(count_files(path), 0);
        }
}

static void device_named_twice_gets_one_ticket(void **state) {
        _cleanup_(secret_freep) Secret *key = secret_new_random(RS_KEY_SIZE), *one = NULL;
        char *files[] = { (char *) pki_path("device/one-unwrap.pem"), (char *) pki_path("device/one-unwrap.pem") };
        const TicketRules rules = rules_now();
        RsError err = RS_ERROR_INIT;
        uint8_t id[32];

        (void) state;
        n_seen = 0;
        assert_int_equal(issue_tickets(&rules, bundle, key, files, 2, pki_path("twice"), on_ticket, &err), 0);
        device_id_of("device/one-unwrap.pem", id);
        assert_int_equal(read_ticket(seen[0], "device/one-unwrap.key", id, &one, &err), 0);
}

static void one_bad_device_leaves_no_ticket_for_any(void **state) {
        static const struct {
                const char *file;
                RsReason reason;
        } cases[] = {
                { "bad/unwrap-other.pem", RS_REASON_CERTIFICATE },
                { "bad/unwrap-purpose.pem", RS_REASON_PURPOSE },
                { "device/one-identity.pem", RS_REASON_PURPOSE },
                { "device/one-unwrap.key", RS_REASON_CONFIG },
                { "nothing.pem", RS_REASON_CONFIG },
        };
        _cleanup_(secret_freep) Secret *key = secret_new_random(RS_KEY_SIZE);
        const TicketRules rules = rules_now();
        char id[HEX_SIZE(32)], path[512];

        (void) state;
        hex_encode(SPAN_ARRAY(bundle), id);
        (void) snprintf(path, sizeof(path), "%s/%s", pki_path("none"), id);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char *files[] = { (char *) pki_path("device/one-unwrap.pem"), (char *) pki_path(cases[i].file) };
                RsError err = RS_ERROR_INIT;

                assert_true(issue_tickets(&rules, bundle, key, files, 2, pki_path("none"), on_ticket, &err) < 0);
                if (err.reason != cases[i].reason)
                        fail_msg("%s: %s: %s", cases[i].file, rs_reason_name(err.reason), err.text);
                assert_int_equal(count_files(path), 0);
        }
}

static void keys_of_other_kinds_get_no_ticket_even_unchecked(void **state) {
        _cleanup_(secret_freep) Secret *key = secret_new_random(RS_KEY_SIZE), *half = secret_new_random(16);
        static const char *const certs[] = { "firmware/signer-rsa.pem", "device/ca.pem", "bad/signer-k256.pem" };
        TicketRules rules = rules_now();
        uint8_t device[32];

        (void) state;
        rules.device_ca = NULL;
        for (size_t i = 0; i < ELEMENTSOF(certs) + 1; i++) {
                _cleanup_(sk_X509_freep) STACK_OF(X509) *cert = NULL;
                _cleanup_(encoder_done) Encoder der = ENCODER_INIT;
                bool short_key = i == ELEMENTSOF(certs);
                RsError err = RS_ERROR_INIT;

                assert_int_equal(certs_load(pki_path(short_key ? "device/one-unwrap.pem" : certs[i]), &cert, &err), 0);
                assert_true(issue_ticket(&rules, bundle, short_key ? half : key, sk_X509_value(cert, 0), &der, device,
                                         &err) < 0);
                if (short_key)
                        assert_int_equal(err.reason, RS_REASON_INVALID);
                else if (err.reason != RS_REASON_ALGORITHM && err.reason != RS_REASON_TICKET)
                        fail_msg("%s: %s: %s", certs[i], rs_reason_name(err.reason), err.text);
        }
}

static void ticket_that_devices_would_refuse_is_not_written(void **state) {
        static const struct {
                const char *name;
                RsReason reason;
        } cases[] = {
                { "bad/ticket-expired", RS_REASON_EXPIRED },
                { "bad/ticket-purpose", RS_REASON_PURPOSE },
                { "bad/ticket-other", RS_REASON_CERTIFICATE },
        };
        _cleanup_(secret_freep) Secret *key = secret_new_random(RS_KEY_SIZE);
        _cleanup_(sk_X509_freep) STACK_OF(X509) *device = NULL;
        uint8_t device_id[32];
        RsError err = RS_ERROR_INIT;

        (void) state;
        assert_int_equal(certs_load(pki_path("device/one-unwrap.pem"), &device, &err), 0);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(sk_X509_freep) STACK_OF(X509) *cert = NULL;
                _cleanup_(EVP_PKEY_freep) EVP_PKEY *signer = NULL;
                _cleanup_(encoder_done) Encoder der = ENCODER_INIT;
                TicketRules rules = rules_now();
                char name[64];

                err = RS_ERROR_INIT;
                (void) snprintf(name, sizeof(name), "%s.pem", cases[i].name);
                assert_int_equal(certs_load(pki_path(name), &cert, &err), 0);
                (void) snprintf(name, sizeof(name), "%s.key", cases[i].name);
                assert_int_equal(key_load(pki_path(name), &signer, &err), 0);
                rules.ticket_cert = sk_X509_value(cert, 0);
                rules.ticket_key = signer;
                assert_true(issue_ticket(&rules, bundle, key, sk_X509_value(device, 0), &der, device_id, &err) < 0);
                if (err.reason != cases[i].reason)
                        fail_msg("%s: %s: %s", cases[i].name, rs_reason_name(err.reason), err.text);
        }
}

static int setup(void **state) {
        RsError err = RS_ERROR_INIT;

        if (pki_setup(state) < 0 || anchors_load(pki_path("device/ca.pem"), &device_ca, &err) < 0 ||
            anchors_load(pki_path("source/root.pem"), &source_root, &err) < 0 ||
            certs_load(pki_path("source/ticket.pem"), &ticket_cert, &err) < 0)
                return -1;
        return key_load(pki_path("source/ticket.key"), &ticket_key, &err);
}

static int teardown(void **state) {
        device_ca = anchors_free(device_ca);
        source_root = anchors_free(source_root);
        sk_X509_freep(&ticket_cert);
        EVP_PKEY_freep(&ticket_key);
        return pki_teardown(state);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(each_device_can_open_its_own_ticket_and_no_other),
                cmocka_unit_test(tickets_lie_where_devices_look),
                cmocka_unit_test(flat_names_have_no_serial_number),
                cmocka_unit_test(serial_numbers_that_are_no_name_get_no_ticket),
                cmocka_unit_test(device_named_twice_gets_one_ticket),
                cmocka_unit_test(one_bad_device_leaves_no_ticket_for_any),
                cmocka_unit_test(keys_of_other_kinds_get_no_ticket_even_unchecked),
                cmocka_unit_test(ticket_that_devices_would_refuse_is_not_written),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
