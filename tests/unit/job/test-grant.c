/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tickets against a real TPM: the right one opens, and each that differs in one thing is refused by its own reason. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/crypto/hpke.h>
#include <reseal/crypto/ossl-cleanup.h>
#include <reseal/format/ticket.h>
#include <reseal/pki/crl.h>
#include <reseal/tpm/key.h>

#include "../../../src/job/grant.h"
#include "../tpm/swtpm.h"
#include "mini-bundle.h"

static Device device;
static Tpm *tpm;
static TpmKey unwrap;
static TrustAnchors *anchors;
static Secret *content_key;
static const uint8_t bundle[RS_DIGEST_SIZE] = { 0xb0 };
static JobEnv env;

static Ticket fresh(void) {
        Ticket t = { .issued = (uint64_t) time(NULL), .not_after = (uint64_t) time(NULL) + 3600 };

        memcpy(t.bundle, bundle, sizeof(bundle));
        memcpy(t.device, env.device_id, sizeof(t.device));
        return t;
}

static void seal(Ticket *t) {
        uint8_t info[TICKET_INFO_SIZE];
        RsError err = RS_ERROR_INIT;

        ticket_info(t, info);
        assert_int_equal(hpke_seal(unwrap.point, SPAN_ARRAY(info), SPAN_NULL, content_key, t->enc, t->ct, &err), 0);
}

static RsReason opened(const JobEnv *e, const Ticket *t, const char *signer) {
        _cleanup_(encoder_done) Encoder json = ENCODER_INIT, cms = ENCODER_INIT;
        _cleanup_(secret_freep) Secret *key = NULL;
        RsError err = RS_ERROR_INIT;

        assert_int_equal(ticket_encode(t, &json, &err), 0);
        mini_sign(encoder_view(&json), signer, &cms);
        if (grant_open(e, encoder_view(&cms), bundle, &key, &err) < 0) {
                assert_null(key);
                return err.reason;
        }
        assert_memory_equal(secret_span(key).data, secret_span(content_key).data, RS_KEY_SIZE);
        return RS_REASON_NONE;
}

static void own_ticket_opens(void **state) {
        Ticket t = fresh();

        (void) state;
        seal(&t);
        assert_int_equal(opened(&env, &t, "source/ticket"), RS_REASON_NONE);
}

static void ticket_that_differs_in_one_thing_is_refused_by_name(void **state) {
        (void) state;
        Ticket t = fresh();
        JobEnv later = env;
        t.bundle[0] ^= 1;
        seal(&t);
        assert_int_equal(opened(&env, &t, "source/ticket"), RS_REASON_WRONG_BUNDLE);
        t = fresh();
        t.device[0] ^= 1;
        seal(&t);
        assert_int_equal(opened(&env, &t, "source/ticket"), RS_REASON_WRONG_DEVICE);
        t = fresh();
        t.issued -= 7200;
        t.not_after = t.issued + 1;
        seal(&t);
        assert_int_equal(opened(&env, &t, "source/ticket"), RS_REASON_NONE); /* for all that this device knows */
        later.https.time_low = (uint64_t) time(NULL);
        assert_int_equal(opened(&later, &t, "source/ticket"), RS_REASON_TICKET_EXPIRED);
        t = fresh();
        seal(&t);
        t.ct[5] ^= 1;
        assert_int_equal(opened(&env, &t, "source/ticket"), RS_REASON_DECRYPT);
        t = fresh();
        seal(&t);
        t.id[0] ^= 1; /* bound by the key schedule alone */
        assert_int_equal(opened(&env, &t, "source/ticket"), RS_REASON_DECRYPT);
}

static void only_the_ticket_key_of_the_source_signs_tickets(void **state) {
        Ticket t = fresh();

        (void) state;
        seal(&t);
        assert_int_not_equal(opened(&env, &t, "firmware/signer"), RS_REASON_NONE);
        assert_int_equal(opened(&env, &t, "source/server"), RS_REASON_PURPOSE);
}

/* S71: by the list as it is when the ticket is opened, also after tickets of this key were good. */
static void ticket_of_a_revoked_key_is_refused(void **state) {
        _cleanup_(crl_set_freep) CrlSet *lists = NULL;
        _cleanup_(freep) uint8_t *der = NULL;
        RsError err = RS_ERROR_INIT;
        char command[400];
        Ticket t = fresh();
        JobEnv e = env;
        CrlInfo info;
        bool changed;
        size_t size;

        (void) state;
        assert_int_equal(crl_set_new(&lists, &err), 0);
        e.https.crls = lists;
        seal(&t);
        assert_int_equal(opened(&e, &t, "source/ticket"), RS_REASON_NONE);
        (void) snprintf(command, sizeof(command), "'%s'/tests/fixtures/make-pki.sh crl %s source/root 2 source/ticket.pem",
                        getenv("SOURCE_ROOT"), pki_dir);
        assert_int_equal(system(command), 0);
        assert_int_equal(file_read(AT_FDCWD, pki_path("source/root.crl"), CRL_SIZE_MAX, &der, &size, &err), 1);
        assert_int_equal(crl_set_add(lists, SPAN(der, size), anchors, NULL, &changed, &info, &err), 0);
        e.tpm = NULL; /* before the TPM */
        assert_int_equal(opened(&e, &t, "source/ticket"), RS_REASON_REVOKED);
}

static void what_is_no_ticket_is_refused_before_the_tpm(void **state) {
        _cleanup_(encoder_done) Encoder cms = ENCODER_INIT;
        _cleanup_(secret_freep) Secret *key = NULL;
        RsError err = RS_ERROR_INIT;
        JobEnv e = env;

        (void) state;
        e.tpm = NULL;
        mini_sign(SPAN("{}", 2), "source/ticket", &cms);
        assert_true(grant_open(&e, encoder_view(&cms), bundle, &key, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_TICKET);
        err = RS_ERROR_INIT;
        assert_true(grant_open(&e, SPAN("no CMS", 6), bundle, &key, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_SIGNATURE);
}

static void device_without_an_unwrap_key_is_not_provisioned(void **state) {
        JobEnv e = env;
        Ticket t = fresh();

        (void) state;
        e.unwrap = NULL;
        seal(&t);
        assert_int_equal(opened(&e, &t, "source/ticket"), RS_REASON_NOT_PROVISIONED);
}

static void ticket_without_a_tpm_is_tpm_gone(void **state) {
        Ticket t = fresh();

        (void) state;
        seal(&t);
        swtpm_kill(&device.swtpm);
        assert_int_equal(opened(&env, &t, "source/ticket"), RS_REASON_TPM_GONE);
        swtpm_boot(&device.swtpm);
        assert_int_equal(opened(&env, &t, "source/ticket"), RS_REASON_NONE);
}

static int setup(void **state) {
        RsError err = RS_ERROR_INIT;

        if (pki_setup(state) < 0)
                return -1;
        device_make(&device);
        tpm = device_tpm(&device, false);
        content_key = secret_new_random(RS_KEY_SIZE);
        int r = tpm_key_create(tpm, TPM_KEY_UNWRAP, &unwrap, &err);
        if (r >= 0)
                r = anchors_load(pki_path("source/root.pem"), &anchors, &err);
        env = (JobEnv){ .https = HTTPS_CONFIG_DEFAULT, .tpm = tpm, .unwrap = &unwrap };
        env.https.anchors = anchors;
        return r < 0 ? r : tpm_key_spki(&unwrap, NULL, env.device_id, &err);
}

static int teardown(void **state) {
        content_key = secret_free(content_key);
        anchors = anchors_free(anchors);
        tpm = tpm_free(tpm);
        device_done(&device);
        return pki_teardown(state);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(own_ticket_opens),
                cmocka_unit_test(ticket_that_differs_in_one_thing_is_refused_by_name),
                cmocka_unit_test(only_the_ticket_key_of_the_source_signs_tickets),
                cmocka_unit_test(ticket_of_a_revoked_key_is_refused),
                cmocka_unit_test(what_is_no_ticket_is_refused_before_the_tpm),
                cmocka_unit_test(device_without_an_unwrap_key_is_not_provisioned),
                cmocka_unit_test(ticket_without_a_tpm_is_tpm_gone),
        };
        return cmocka_run_group_tests(tests, setup, teardown);
}
