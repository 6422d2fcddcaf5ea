/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whom reseald trusts is what the writer says: the configuration until a trust set is in force, then that (S23, S25, S71). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <openssl/pem.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/base/names.h>
#include <reseal/crypto/ossl-cleanup.h>
#include <reseal/format/trust-set.h>
#include <reseal/ipc/channel.h>
#include <reseal/ipc/memfd.h>
#include <reseal/job/roots.h>
#include <reseal/pki/cms.h>

#include "pki-fixture.h"

/* -- a writer that says what the test wants ---------------------------------------------------------------------- */

static Span in_force;            /* empty: version 0 */
static pthread_t writer_thread;

static void *serve(void *userdata) {
        _cleanup_(channel_freep) Channel *c = userdata;
        const WriterHello hello = { .version = RS_VERSION, .line = "gateway" };
        RsError err = RS_ERROR_INIT;
        Message m;

        while (channel_receive(c, &m, &err) == 1) {
                _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
                _cleanup_(closep) int fd = -EBADF;

                if (m.type == WRITER_HELLO)
                        writer_encode_hello(&e, &hello);
                else {
                        assert_int_equal(m.type, WRITER_ANCHORS);
                        if (in_force.size > 0)
                                assert_int_equal(memfd_sealed("test", in_force, &fd, &err), 0);
                        writer_encode_anchors(&e, (uint32_t) in_force.size);
                }
                assert_int_equal(channel_send(c, m.type + 1, m.sequence, encoder_view(&e), fd, &err), 0);
        }
        return NULL;
}

static WriterClient *connect_to_writer(void) {
        RsError err = RS_ERROR_INIT;
        WriterClient *client = NULL;
        Channel *c = NULL;
        int fds[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
        assert_int_equal(channel_new(fds[1], &c, &err), 0);
        assert_int_equal(pthread_create(&writer_thread, NULL, serve, c), 0);
        assert_int_equal(writer_client_from_fd(fds[0], &client, &err), 0);
        return client;
}

static int ask(TrustRoots *t, Span set, RsError *err) {
        WriterClient *writer;
        int r;

        in_force = set;
        writer = connect_to_writer();
        r = trust_roots_ask(t, writer, err);
        (void) writer_client_free(writer);
        assert_int_equal(pthread_join(writer_thread, NULL), 0);
        return r;
}

/* -- sets -------------------------------------------------------------------------------------------------------- */

static char *text_of(const char *name) {
        RsError err = RS_ERROR_INIT;
        uint8_t *data = NULL;
        char *text;
        size_t size;

        if (!name)
                return strdup("");
        assert_int_equal(file_read(AT_FDCWD, pki_path(name), 65536, &data, &size, &err), 1);
        text = strndup((const char *) data, size);
        free(data);
        return text;
}

static X509 *certificate_of(const char *name) {
        FILE *f = fopen(pki_path(name), "re");
        X509 *cert;

        assert_non_null(f);
        cert = PEM_read_X509(f, NULL, NULL, NULL);
        (void) fclose(f);
        assert_non_null(cert);
        return cert;
}

/* The roots of the devices' CA stand in for a source root of another key. */
static void make_set(uint64_t version, const char *source, Encoder *ret) {
        _cleanup_(X509_freep) X509 *cert = certificate_of("firmware/root.pem");
        _cleanup_(trust_set_freep) TrustSet *set = calloc(1, sizeof(*set));
        _cleanup_(encoder_done) Encoder json = ENCODER_INIT;
        FILE *f = fopen(pki_path("firmware/root.key"), "re");
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
        RsError err = RS_ERROR_INIT;

        assert_true(f && set);
        key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
        (void) fclose(f);
        (void) snprintf(set->line, sizeof(set->line), "gateway");
        set->version = version;
        set->quorum = 2;
        set->firmware_pem = text_of("firmware/roots.pem");
        set->source_pem = text_of(source);
        set->time_pem = text_of(NULL);
        set->recovery_pem = text_of(NULL);
        assert_int_equal(trust_set_encode(set, &json, &err), 0);
        if (cms_sign(encoder_view(&json), cert, key, NULL, ret, &err) < 0)
                fail_msg("%s", err.text);
}

static TrustRoots *load(const char *firmware) {
        RsError err = RS_ERROR_INIT;
        TrustRoots *t = NULL;

        assert_int_equal(trust_roots_load(pki_path("source/root.pem"), firmware ? pki_path(firmware) : NULL, &t, &err), 0);
        return t;
}

static bool trusts(const TrustRoots *t, const char *root) {
        _cleanup_(X509_freep) X509 *cert = certificate_of(root);
        RsError err = RS_ERROR_INIT;
        uint8_t key[32];

        assert_int_equal(path_spki_sha256(cert, key, &err), 0);
        return anchors_have_key(trust_roots_source(t), key);
}

/* -- tests ------------------------------------------------------------------------------------------------------- */

static void the_configuration_counts_until_a_set_is_in_force(void **state) {
        _cleanup_(trust_roots_freep) TrustRoots *t = load(NULL);
        RsError err = RS_ERROR_INIT;

        (void) state;
        assert_true(trusts(t, "source/root.pem"));
        assert_null(trust_roots_firmware(t));
        assert_int_equal(ask(t, SPAN_NULL, &err), 0);
        assert_true(trusts(t, "source/root.pem"));
}

static void a_set_replaces_both_and_is_asked_for_once(void **state) {
        _cleanup_(encoder_done) Encoder first = ENCODER_INIT, second = ENCODER_INIT;
        _cleanup_(trust_roots_freep) TrustRoots *t = load("firmware/root.pem");
        RsError err = RS_ERROR_INIT;

        (void) state;
        make_set(1, "device/ca.pem", &first);
        make_set(2, "source/root.pem", &second);
        assert_int_equal(ask(t, encoder_view(&first), &err), 1);
        assert_true(trusts(t, "source/root.pem")); /* not before it is adopted: somebody may still hold them */
        assert_int_equal(trust_roots_adopt(t, NULL, &err), 0);
        assert_true(trusts(t, "device/ca.pem") && !trusts(t, "source/root.pem"));
        assert_int_equal(anchors_count(trust_roots_firmware(t)), 3);
        assert_int_equal(ask(t, encoder_view(&first), &err), 0);
        assert_int_equal(ask(t, encoder_view(&second), &err), 1);
        assert_int_equal(trust_roots_adopt(t, NULL, &err), 0);
        assert_true(trusts(t, "source/root.pem") && !trusts(t, "device/ca.pem"));
}

static void a_set_that_names_no_source_trusts_nobody(void **state) {
        _cleanup_(trust_roots_freep) TrustRoots *t = load(NULL);
        _cleanup_(encoder_done) Encoder set = ENCODER_INIT;
        _cleanup_(X509_freep) X509 *server = certificate_of("source/server.pem");
        const PathRules rules = { .eku_oid = RS_OID_EKU_SOURCE, .time_high = UINT64_MAX };
        RsError err = RS_ERROR_INIT;
        SignerInfo signer;

        (void) state;
        assert_int_equal(path_verify(server, NULL, trust_roots_source(t), &rules, &signer, &err), 0);
        make_set(1, NULL, &set);
        assert_int_equal(ask(t, encoder_view(&set), &err), 1);
        assert_int_equal(trust_roots_adopt(t, NULL, &err), 0);
        assert_int_equal(anchors_count(trust_roots_source(t)), 0);
        assert_true(path_verify(server, NULL, trust_roots_source(t), &rules, &signer, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_CERTIFICATE);
}

/* A TPM that was provisioned anew knows no set any more. */
static void the_way_leads_back_to_the_configuration(void **state) {
        _cleanup_(trust_roots_freep) TrustRoots *t = load(NULL);
        _cleanup_(encoder_done) Encoder set = ENCODER_INIT;
        RsError err = RS_ERROR_INIT;

        (void) state;
        make_set(1, "device/ca.pem", &set);
        assert_int_equal(ask(t, encoder_view(&set), &err), 1);
        assert_int_equal(trust_roots_adopt(t, NULL, &err), 0);
        assert_int_equal(ask(t, SPAN_NULL, &err), 1);
        assert_int_equal(trust_roots_adopt(t, NULL, &err), 0);
        assert_true(trusts(t, "source/root.pem"));
        assert_null(trust_roots_firmware(t));
}

static void what_is_no_set_changes_nothing(void **state) {
        static const uint8_t noise[] = { 0x30, 0x03, 0x02, 0x01, 0x01 };
        _cleanup_(trust_roots_freep) TrustRoots *t = load(NULL);
        RsError err = RS_ERROR_INIT;

        (void) state;
        assert_true(ask(t, SPAN_ARRAY(noise), &err) < 0);
        assert_int_not_equal(err.reason, RS_REASON_NONE);
        assert_true(trusts(t, "source/root.pem"));
}

/* The file keeps what the anchors of the moment cannot judge: a restart begins with the configuration's. */
static void lists_follow_the_roots(void **state) {
        static char dir[] = "/tmp/reseal-roots-XXXXXX";
        _cleanup_(source_lists_freep) SourceLists *l = NULL;
        _cleanup_(trust_roots_freep) TrustRoots *t = load(NULL);
        _cleanup_(encoder_done) Encoder set = ENCODER_INIT;
        _cleanup_(freep) uint8_t *der = NULL;
        _cleanup_(closep) int dir_fd = -EBADF;
        RsError err = RS_ERROR_INIT;
        char command[256];
        size_t size;

        (void) state;
        assert_non_null(mkdtemp(dir));
        dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        (void) snprintf(command, sizeof(command), "'%s'/tests/fixtures/make-pki.sh crl %s device/ca 3", getenv("SOURCE_ROOT"),
                        pki_dir);
        assert_int_equal(system(command), 0);
        assert_int_equal(file_read(AT_FDCWD, pki_path("device/ca.crl"), CRL_SIZE_MAX, &der, &size, &err), 1);

        assert_int_equal(source_lists_open(dir_fd, trust_roots_source(t), &l, &err), 0);
        assert_int_equal(source_lists_add(l, SPAN(der, size), &err), 0);
        assert_int_equal(crl_set_count(source_lists_set(l)), 0); /* nothing to this device yet */
        make_set(1, "device/ca.pem", &set);
        assert_int_equal(ask(t, encoder_view(&set), &err), 1);
        assert_int_equal(trust_roots_adopt(t, l, &err), 0);
        assert_int_equal(source_lists_add(l, SPAN(der, size), &err), 0);
        assert_int_equal(crl_set_count(source_lists_set(l)), 1);

        l = source_lists_free(l);
        t = trust_roots_free(t);
        t = load(NULL);
        assert_int_equal(source_lists_open(dir_fd, trust_roots_source(t), &l, &err), 0);
        assert_int_equal(crl_set_count(source_lists_set(l)), 0);
        assert_int_equal(ask(t, encoder_view(&set), &err), 1);
        assert_int_equal(trust_roots_adopt(t, l, &err), 0);
        assert_int_equal(crl_set_count(source_lists_set(l)), 1);
        assert_int_equal(unlinkat(dir_fd, "crls", 0), 0);
        assert_int_equal(rmdir(dir), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_configuration_counts_until_a_set_is_in_force),
                cmocka_unit_test(a_set_replaces_both_and_is_asked_for_once),
                cmocka_unit_test(a_set_that_names_no_source_trusts_nobody),
                cmocka_unit_test(the_way_leads_back_to_the_configuration),
                cmocka_unit_test(what_is_no_set_changes_nothing),
                cmocka_unit_test(lists_follow_the_roots),
        };

        return cmocka_run_group_tests(tests, pki_setup, pki_teardown);
}
