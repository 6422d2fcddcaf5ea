/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The time matrix (threats T34 to T36, S62, S63): wall clock x proof x certificate x domain, against a real `openssl ts`
 * responder.  What must come out follows from one rule that is written here once; no cell is written by hand.
 *
 * The wall clock is that of this process: time(), clock_gettime() and gettimeofday() below take the place of libc's for
 * OpenSSL as well.  The responder is a process of its own and knows the true time.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <openssl/ts.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/base/names.h>
#include <reseal/crypto/ossl-cleanup.h>
#include <reseal/pki/crl.h>
#include <reseal/pki/timestamp.h>
#include <reseal/trust/clock.h>

#include "mini-ca.h"

#define DAY UINT64_C(86400)
#define YEAR UINT64_C(31536000)
#define FLOOR (truth - YEAR)

static uint64_t truth, wall;

time_t time(time_t *ret) {
        if (ret)
                *ret = (time_t) wall;
        return (time_t) wall;
}

int gettimeofday(struct timeval *restrict ret, void *restrict zone) {
        (void) zone;
        *ret = (struct timeval){ .tv_sec = (time_t) wall };
        return 0;
}

int clock_gettime(clockid_t id, struct timespec *ret) {
        if (id != CLOCK_REALTIME)
                return (int) syscall(SYS_clock_gettime, id, ret);
        *ret = (struct timespec){ .tv_sec = (time_t) wall };
        return 0;
}

typedef enum Proof {
        PROOF_NONE,
        PROOF_GOOD,
        PROOF_REPLAYED,      /* of another nonce */
        PROOF_BELOW_FLOOR,
        PROOF_PURPOSE,       /* by a certificate that is not for time-stamps */
        PROOF_REVOKED,
        _PROOF_MAX,
} Proof;

static const RsReason proof_reasons[_PROOF_MAX] = {
        [PROOF_REPLAYED] = RS_REASON_TIME_PROOF,
        [PROOF_BELOW_FLOOR] = RS_REASON_TIME_PROOF,
        [PROOF_PURPOSE] = RS_REASON_PURPOSE,
        [PROOF_REVOKED] = RS_REASON_REVOKED,
};

typedef struct Domain {
        const char *eku;
        CaKey root;
        TrustAnchors *anchors;
} Domain;

typedef struct Validity {
        const char *name;
        uint64_t from, until;
        bool revoked;
} Validity;

static char dir[] = "/tmp/reseal-matrix-XXXXXX";
static int dir_fd = -EBADF;
static Domain firmware = { RS_OID_EKU_IMAGE_SIGNING, { 0 }, NULL }, source = { RS_OID_EKU_SOURCE, { 0 }, NULL }, timing;
static CaKey tsa, tsa_revoked, not_tsa;

/* -- world ------------------------------------------------------------------------------------------------------ */

static void domain_init(Domain *d, const char *name) {
        _cleanup_(encoder_done) Encoder pem = ENCODER_INIT;
        RsError err = RS_ERROR_INIT;

        d->root = ca_make(NULL, name, NULL, truth - 10 * YEAR, truth + 10 * YEAR);
        ca_cert_pem(&d->root, &pem);
        assert_int_equal(anchors_parse(encoder_view(&pem), &d->anchors, &err), 0);
}

static void write_responder(const CaKey *k, const char *name) {
        char path[96];
        FILE *f;

        (void) snprintf(path, sizeof(path), "%s/%s.pem", dir, name);
        f = fopen(path, "we");
        assert_true(f && PEM_write_X509(f, k->cert) == 1 && PEM_write_PrivateKey(f, k->key, NULL, NULL, 0, NULL, NULL) == 1);
        assert_int_equal(fclose(f), 0);
}

static int make_world(void **state) {
        static const char config[] = "[tsa]\nserial = %s/serial\ndefault_policy = 1.2.3.4\ndigests = sha256\n"
                                     "accuracy = secs:1\ness_cert_id_alg = sha256\nsigner_digest = sha256\n";
        struct timespec now;
        char text[400];
        RsError err = RS_ERROR_INIT;

        (void) state;
        assert_int_equal(syscall(SYS_clock_gettime, CLOCK_REALTIME, &now), 0);
        truth = wall = (uint64_t) now.tv_sec;
        assert_non_null(mkdtemp(dir));
        dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        domain_init(&firmware, "Firmware Root");
        domain_init(&source, "Source Root");
        domain_init(&timing, "Time Root");
        tsa = ca_make(&timing.root, "TSA", "critical,timeStamping", truth - YEAR, truth + 5 * YEAR);
        tsa_revoked = ca_make(&timing.root, "TSA revoked", "critical,timeStamping", truth - YEAR, truth + 5 * YEAR);
        not_tsa = ca_make(&timing.root, "Not a TSA", "critical,codeSigning", truth - YEAR, truth + 5 * YEAR);
        write_responder(&tsa, "tsa");
        write_responder(&tsa_revoked, "revoked");
        (void) snprintf(text, sizeof(text), config, dir);
        assert_int_equal(file_replace(dir_fd, "ts.cnf", SPAN(text, strlen(text)), 0600, &err), 0);
        assert_int_equal(file_replace(dir_fd, "serial", SPAN("01\n", 3), 0600, &err), 0);
        return 0;
}

static int remove_world(void **state) {
        Domain *domains[] = { &firmware, &source, &timing };
        char command[64];

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(domains); i++) {
                ca_done(&domains[i]->root);
                domains[i]->anchors = anchors_free(domains[i]->anchors);
        }
        ca_done(&tsa);
        ca_done(&tsa_revoked);
        ca_done(&not_tsa);
        closep(&dir_fd);
        (void) snprintf(command, sizeof(command), "rm -r %s", dir);
        return system(command) == 0 ? 0 : -1;
}

/* -- proofs ----------------------------------------------------------------------------------------------------- */

static void respond(const uint8_t nonce[32], const char *by, uint8_t **ret, size_t *ret_size) {
        _cleanup_(encoder_done) Encoder query = ENCODER_INIT;
        RsError err = RS_ERROR_INIT;
        char command[512];

        assert_int_equal(timestamp_query(nonce, &query, &err), 0);
        assert_int_equal(file_replace(dir_fd, "q.tsq", encoder_view(&query), 0600, &err), 0);
        (void) snprintf(command, sizeof(command),
                        "cd %s && openssl ts -reply -config ts.cnf -section tsa -queryfile q.tsq -signer %s.pem -inkey %s.pem "
                        "-out r.tsr 2>log || { cat log >&2; exit 1; }", dir, by, by);
        assert_int_equal(system(command), 0);
        assert_int_equal(file_read(dir_fd, "r.tsr", TIMESTAMP_RESPONSE_MAX, ret, ret_size, &err), 1);
}

/* `openssl ts` does not sign with a certificate for something else; a thief of such a key would.  The same content anew. */
static void forge(uint8_t **response, size_t *size) {
        const unsigned char *p = *response;
        TS_RESP *resp = d2i_TS_RESP(NULL, &p, (long) *size);
        CMS_ContentInfo *cms;
        BIO *content = BIO_new(BIO_s_mem());
        ASN1_OBJECT *type = OBJ_nid2obj(NID_id_smime_ct_TSTInfo);
        unsigned char *info = NULL, *der = NULL, *outer = NULL;
        int n, outer_n;

        assert_non_null(resp);
        n = i2d_TS_TST_INFO(TS_RESP_get_tst_info(resp), &info);
        assert_true(n > 0 && BIO_write(content, info, n) == n);
        cms = CMS_sign(NULL, NULL, NULL, NULL, CMS_PARTIAL | CMS_BINARY);
        assert_true(cms && CMS_set1_eContentType(cms, type) == 1);
        assert_non_null(CMS_add1_signer(cms, not_tsa.cert, not_tsa.key, EVP_sha256(),
                                        CMS_BINARY | CMS_CADES | CMS_PARTIAL | CMS_NOSMIMECAP));
        assert_int_equal(CMS_set_detached(cms, 0), 1);
        assert_int_equal(CMS_final(cms, content, NULL, CMS_BINARY), 1);
        n = i2d_CMS_ContentInfo(cms, &der);
        assert_true(n > 0x100 && n < 0xff00);
        outer_n = 4 + 5 + n;
        outer = malloc((size_t) outer_n);
        assert_non_null(outer);
        memcpy(outer, (const uint8_t[]){ 0x30, 0x82, (uint8_t) ((n + 5) >> 8), (uint8_t) (n + 5), 0x30, 3, 2, 1, 0 }, 9);
        memcpy(outer + 9, der, (size_t) n);
        free(*response);
        *response = outer;
        *size = (size_t) outer_n;
        OPENSSL_free(info);
        OPENSSL_free(der);
        CMS_ContentInfo_free(cms);
        BIO_free(content);
        TS_RESP_free(resp);
}

static void add_list(CrlSet *crls, const Domain *d, const CaKey *revoked) {
        _cleanup_(encoder_done) Encoder list = ENCODER_INIT;
        RsError err = RS_ERROR_INIT;
        CrlInfo info;
        bool changed;

        ca_list(&d->root, 1, truth - DAY, revoked, &list);
        if (crl_set_add(crls, encoder_view(&list), d->anchors, NULL, &changed, &info, &err) < 0)
                fail_msg("%s", err.text);
}

/* A device that starts, and gets this proof.  The nonce is made at 1 s, the answer comes at 2 s of boot time. */
static TimeInterval live_through(Proof proof, const CrlSet *crls, RsError *err) {
        uint8_t nonce[32] = { 7, 7, 7 }, old_nonce[32] = { 6, 6, 6 };
        _cleanup_(freep) uint8_t *response = NULL;
        PathRules rules = { .crls = crls };
        uint64_t stamp, accuracy;
        TrustClock c;
        size_t size;

        trust_clock_init(&c, FLOOR - DAY, proof == PROOF_BELOW_FLOOR ? truth + DAY : FLOOR, 0);
        if (proof == PROOF_NONE)
                return trust_clock_now(&c, 2000, NULL);
        respond(proof == PROOF_REPLAYED ? old_nonce : nonce, proof == PROOF_REVOKED ? "revoked" : "tsa", &response, &size);
        if (proof == PROOF_PURPOSE)
                forge(&response, &size);
        rules.time_low = trust_clock_now(&c, 2000, NULL).low;
        rules.time_high = trust_clock_now(&c, 2000, NULL).high;
        if (timestamp_verify(SPAN(response, size), nonce, timing.anchors, &rules, &stamp, &accuracy, err) == 0)
                (void) trust_clock_prove(&c, stamp, accuracy, 1000, 2000, NULL, err);
        return trust_clock_now(&c, 2000, NULL);
}

/* -- the rule, once --------------------------------------------------------------------------------------------- */

static RsReason expected_reason(Proof proof, const Validity *v) {
        uint64_t low = proof == PROOF_BELOW_FLOOR ? truth + DAY : proof == PROOF_GOOD ? truth : FLOOR;
        uint64_t high = proof == PROOF_GOOD ? truth : UINT64_MAX;

        if (v->until < low || v->from > high)
                return RS_REASON_EXPIRED;
        return v->revoked ? RS_REASON_REVOKED : RS_REASON_NONE;
}

static void every_cell_follows_from_the_rule_whatever_the_wall_clock_says(void **state) {
        static const uint64_t clocks[] = { 0, UINT64_C(2147483648), UINT64_C(4070908800) }; /* 1970, 2038, 2099 */
        const Validity validities[] = {
                { "valid", truth - 2 * YEAR, truth + 2 * YEAR, false },
                { "expired before the floor", truth - 5 * YEAR, FLOOR - 30 * DAY, false },
                { "expired since the floor", truth - 5 * YEAR, truth - 30 * DAY, false },
                { "not yet valid", truth + 30 * DAY, truth + 2 * YEAR, false },
                { "revoked", truth - 2 * YEAR, truth + 2 * YEAR, true },
        };
        const Domain *const domains[] = { &source, &firmware }; /* a server, and a bundle on a medium */
        unsigned cells = 0, refused = 0;

        (void) state;
        for (size_t d = 0; d < ELEMENTSOF(domains); d++)
                for (size_t v = 0; v < ELEMENTSOF(validities); v++) {
                        _cleanup_(crl_set_freep) CrlSet *crls = NULL;
                        RsError err = RS_ERROR_INIT;
                        char eku[128];
                        CaKey leaf;

                        (void) snprintf(eku, sizeof(eku), "critical,%s", domains[d]->eku);
                        leaf = ca_make(&domains[d]->root, "Leaf", eku, validities[v].from, validities[v].until);
                        assert_int_equal(crl_set_new(&crls, &err), 0);
                        add_list(crls, &timing, &tsa_revoked);
                        add_list(crls, domains[d], validities[v].revoked ? &leaf : NULL);
                        for (Proof p = 0; p < _PROOF_MAX; p++)
                                for (size_t k = 0; k < ELEMENTSOF(clocks); k++) {
                                        RsError proving = RS_ERROR_INIT, judging = RS_ERROR_INIT;
                                        PathRules rules = { .eku_oid = domains[d]->eku, .crls = crls };
                                        RsReason expected = expected_reason(p, &validities[v]);
                                        SignerInfo signer;
                                        TimeInterval i;

                                        wall = clocks[k];
                                        i = live_through(p, crls, &proving);
                                        if (proving.reason != proof_reasons[p])
                                                fail_msg("proof %d: %s", (int) p, proving.text);
                                        assert_int_equal(i.proven, p == PROOF_GOOD);
                                        rules.time_low = i.low;
                                        rules.time_high = i.high;
                                        (void) path_verify(leaf.cert, NULL, domains[d]->anchors, &rules, &signer, &judging);
                                        if (judging.reason != expected)
                                                fail_msg("%s, proof %d: %s, not %s", validities[v].name, (int) p,
                                                         rs_reason_name(judging.reason), rs_reason_name(expected));
                                        cells++;
                                        refused += expected != RS_REASON_NONE;
                                }
                        ca_done(&leaf);
                }
        assert_int_equal(cells, 2 * 5 * 6 * 3);
        assert_in_range(refused, cells / 4, cells); /* the matrix says something */
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_cell_follows_from_the_rule_whatever_the_wall_clock_says),
        };

        return cmocka_run_group_tests(tests, make_world, remove_world);
}
