/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * chain - the device's place in the signer chain: level L2, the first record, and the way out of a damaged
 * one.
 *
 * The first record is what the factory flashed.  Without it a device accepts any release as its first one,
 * down to the
 * oldest that the authority ever issued.
 *
 * recover is for a state that contradicts itself (TpmState, TpmRewound, TpmRestored): two of three recovery
 * keys say by a
 * bridge where the device stands now.  A bridge is public, so an old one must not become a way back: it has
 * to reach at
 * least what the readable part of the TPM and the writer's own notes name.  At level L1 that binds nobody
 * who is root (who
 * has the gate secret anyway, docs/tpm.md), at level L2 CHAIN itself refuses.
 *
 * The judgement is the gate's (trust/chain.c), with the anchors given on the command line: here is no
 * second opinion.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include <openssl/pem.h>

#include <reseal/base/file.h>
#include <reseal/base/names.h>
#include <reseal/crypto/digest.h>
#include <reseal/crypto/ossl-cleanup.h>
#include <reseal/crypto/ossl-read.h>
#include <reseal/tpm/chain.h>
#include <reseal/trust/chain.h>

#include "provision.h"

typedef struct RecoveryKeys {
        uint8_t points[3][RS_POINT_SIZE];
        uint8_t spki[3][32];
} RecoveryKeys;

static int read_named(const char *path, const char *option, size_t max, uint8_t **ret, size_t *ret_size,
                      RsError *err) {
        int r;

        if (!path)
                return rs_fail(err, INVALID, "--%s is missing", option);
        r = file_read(AT_FDCWD, path, max, ret, ret_size, err);
        return r == 0 ? rs_fail(err, INVALID, "there is no file %s", path) : r;
}

static int take_key(EVP_PKEY *key, uint8_t ret_point[RS_POINT_SIZE], uint8_t ret_spki[32], RsError *err) {
        uint8_t *der = NULL;
        int size = i2d_PUBKEY(key, &der), r;

        if (size < 0)
                return rs_fail_ssl(err, CERTIFICATE, "a key");
        r = tpm_point_of_spki(SPAN(der, (size_t) size), ret_point, err);
        if (r >= 0)
                r = digest_sha256(SPAN(der, (size_t) size), ret_spki, err);
        OPENSSL_free(der);
        return r;
}

/* Three public keys in PEM, in the order of the trust set. */
static int read_recovery(const char *path, RecoveryKeys *ret, RsError *err) {
        _cleanup_(freep) uint8_t *pem = NULL;
        size_t size = 0;
        int r;

        r = read_named(path, "recovery", RS_CERT_FILE_MAX, &pem, &size, err);
        if (r < 0)
                return r;
        _cleanup_(BIO_free_allp) BIO *bio = BIO_new_mem_buf(pem, (int) size);
        if (!bio)
                return rs_fail_oom(err);
        for (unsigned i = 0; i < 4; i++) {
                _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = ossl_pem_pubkey(bio);

                if (!key != (i == 3))
                        return rs_fail_ssl(err, CERTIFICATE, "%s: not three public keys in PEM", path);
                if (!key)
                        return 0;
                r = take_key(key, ret->points[i], ret->spki[i], err);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int read_authority(const char *path, uint8_t ret[RS_POINT_SIZE], RsError *err) {
        _cleanup_(freep) uint8_t *pem = NULL;
        uint8_t ignored[32];
        size_t size = 0;
        int r;

        r = read_named(path, "authority", RS_CERT_FILE_MAX, &pem, &size, err);
        if (r < 0)
                return r;
        _cleanup_(BIO_free_allp) BIO *bio = BIO_new_mem_buf(pem, (int) size);
        _cleanup_(X509_freep) X509 *cert = bio ? ossl_pem_x509(bio) : NULL;
        if (!cert)
                return rs_fail_ssl(err, CERTIFICATE, "%s: not a PEM certificate", path);
        return take_key(X509_get0_pubkey(cert), ret, ignored, err);
}

int chain_provide(const Options *o, Tpm *t, bool *ret_changed, RsError *err) {
        _cleanup_(secret_freep) Secret *platform = NULL;
        uint8_t authority[RS_POINT_SIZE];
        RecoveryKeys recovery = { 0 };
        int r;

        r = read_recovery(o->recovery, &recovery, err);
        if (r >= 0)
                r = read_authority(o->authority, authority, err);
        if (r >= 0 && o->platform_auth_file) {
                r = file_read_secret(AT_FDCWD, o->platform_auth_file, 32, &platform, err);
                if (r == 0)
                        return rs_fail(err, INVALID, "there is no file %s", o->platform_auth_file);
        }
        if (r < 0)
                return r;
        return tpm_provision_chain(t, platform, authority, (const uint8_t(*)[RS_POINT_SIZE]) recovery.points,
                                   ret_changed, err);
}

/* Is this link the way from `from` (NULL: from nothing) to what it says itself? */
static int judge(const Options *o, const Link *link, const ChainRecord *from, RsError *err) {
        _cleanup_(anchors_freep) TrustAnchors *roots = NULL;
        _cleanup_(encoder_done) Encoder set = ENCODER_INIT;
        RecoveryKeys recovery = { 0 };
        ChainInput input = { .from = from, .time_high = UINT64_MAX };
        ChainWalk walk = { 0 };
        int r;

        if (!o->line)
                return rs_fail(err, INVALID, "--line is missing");
        if (!o->firmware_root)
                return rs_fail(err, INVALID, "--firmware-root is missing");
        r = anchors_load(o->firmware_root, &roots, err);
        if (r >= 0 && link->kind == LINK_BRIDGE) {
                r = read_recovery(o->recovery, &recovery, err);
                input.recovery = (const uint8_t(*)[32]) recovery.spki;
                input.n_recovery = 3;
        }
        if (r >= 0)
                r = link_set_encode(&link->bytes, 1, &set, err);
        if (r < 0)
                return r;
        input.links = encoder_view(&set);
        input.firmware_root = roots;
        input.goal = (ChainGoal){ .line = o->line, .index = link->record.index, .epoch = link->record.epoch };
        memcpy(input.goal.manifest_digest, link->record.manifest_digest, 32);
        memcpy(input.goal.signer_spki, link->record.signer_spki, 32);
        r = chain_walk(&input, &walk, err);
        chain_walk_done(&walk);
        return r;
}

static int read_link(const char *path, const char *option, uint8_t **ret_bytes, Link *ret, RsError *err) {
        size_t size = 0;
        int r;

        r = read_named(path, option, LINK_MAX, ret_bytes, &size, err);
        return r < 0 ? r : link_parse(SPAN(*ret_bytes, size), ret, err);
}

/* Level 2: CHAIN first, the record repeats it (W7). */
static int apply(Tpm *t, const Link *link, RsError *err) {
        TpmLevel level;
        int r;

        r = tpm_level(t, &level, err);
        return r < 0 || level == TPM_LEVEL_L1 ? r : tpm_chain_apply(t, link, err);
}

int chain_first_record(const Options *o, Tpm *t, const Secret *gate, bool *ret_changed, RsError *err) {
        _cleanup_(freep) uint8_t *bytes = NULL;
        ChainRecord now;
        TpmState state;
        Link link;
        int r;

        r = read_link(o->record, "record", &bytes, &link, err);
        if (r >= 0)
                r = tpm_state_read(t, &state, err);
        if (r < 0)
                return r;
        if (!state.record.empty && !state.behind) {
                uint8_t there[LINK_RECORD_SIZE];

                r = tpm_record_chain(&state.record, &now, err);
                *ret_changed = false;
                if (r < 0)
                        return r;
                chain_record_encode(&now, there);
                if (memcmp(there, link.record_bytes, sizeof(there)) == 0)
                        return 0;
                return rs_fail(err, CHAIN,
                               "this device stands at release %llu already; only installing moves it",
                               (unsigned long long) now.index);
        }
        r = judge(o, &link, NULL, err);
        if (r >= 0)
                r = apply(t, &link, err);
        if (r < 0)
                return rs_context(err, "%s", o->record);
        tpm_record_set_chain(&state.record, &link.record);
        state.record.floor_epoch = link.record.epoch; /* nothing older was ever on this device */
        *ret_changed = true;
        return tpm_state_commit(t, gate, &state.record, err);
}

/* recover */

static int write_seen(Store *s, Tpm *t, RsError *err) {
        uint8_t bytes[TPM_SEEN_SIZE];
        TpmState state;
        TpmSeen seen;
        int r;

        r = tpm_state_read(t, &state, err);
        if (r < 0)
                return r;
        tpm_seen_of(&state, &seen);
        r = tpm_seen_encode(&seen, bytes, err);
        return r < 0 ? r : store_private(s, RS_FILE_TPM_SEEN, SPAN_ARRAY(bytes), err);
}

/* At least as far as anything that can still be read. */
static int check_reach(Store *s, const Link *bridge, const TpmRecord *left, RsError *err) {
        _cleanup_(freep) uint8_t *bytes = NULL;
        uint64_t least = left->release;
        TpmSeen seen;
        size_t size;
        int r;

        r = file_read(s->writer_fd, RS_FILE_TPM_SEEN, TPM_SEEN_SIZE, &bytes, &size, err);
        if (r < 0)
                return r;
        if (r > 0 && tpm_seen_parse(SPAN(bytes, size), &seen) && seen.release > least)
                least = seen.release;
        if (bridge->record.index < least)
                return rs_fail(err, ROLLBACK, "the bridge reaches release %llu, this device was at %llu",
                               (unsigned long long) bridge->record.index, (unsigned long long) least);
        return 0;
}

static int recover_with(const Options *o, Tpm *t, Store *s, RsError *err) {
        _cleanup_(secret_freep) Secret *gate = NULL;
        _cleanup_(freep) uint8_t *bytes = NULL;
        TpmRecord left = { 0 };
        Link bridge;
        int r;

        r = file_read_secret(s->writer_fd, RS_FILE_GATE_AUTH, 64, &gate, err);
        if (r == 0)
                return rs_fail(err, NOT_PROVISIONED, "%s is missing: run reseal-provision init",
                               RS_FILE_GATE_AUTH);
        if (r >= 0)
                r = read_link(o->bridge, "bridge", &bytes, &bridge, err);
        if (r < 0)
                return r;
        if (bridge.kind != LINK_BRIDGE)
                return rs_fail(err, CHAIN, "%s is not a bridge: recovery takes two recovery keys", o->bridge);
        r = judge(o, &bridge, NULL, err);
        if (r >= 0)
                r = tpm_state_salvage(t, &left, err);
        if (r >= 0)
                r = check_reach(s, &bridge, &left, err);
        if (r >= 0)
                r = apply(t, &bridge, err);
        if (r < 0)
                return r;
        tpm_record_set_chain(&left, &bridge.record);
        r = tpm_state_recover(t, gate, &left, err);
        return r < 0 ? r : write_seen(s, t, err);
}

/* The TPM that this device was provisioned with: pinned, so another or a cleared one is not it. */
static int open_own_tpm(const Options *o, Store *s, Tpm **ret, RsError *err) {
        uint8_t name[TPM_NAME_SIZE];
        TpmConfig config;
        int r;

        r = store_open(o, true, s, err);
        if (r >= 0)
                r = tpm_srk_name_load(s->keys_fd, name, err);
        if (r < 0)
                return r;
        if (r == 0)
                return rs_fail(err, NOT_PROVISIONED, "%s is missing: run reseal-provision init",
                               RS_FILE_SRK_NAME);
        r = provision_tpm_config(o->config, &config, err);
        if (r < 0)
                return r;
        r = tpm_new(&config, name, ret, err);
        tpm_config_done(&config);
        return r;
}

/*
 * No authorization of this device's is needed: two recovery keys have signed, the TPM judges them, and the order names
 * what it replaces.  So it is root's to apply, and the writer's gate value stays where it is.
 */
int verb_authority(const Options *o, RsError *err) {
        _cleanup_(tpm_freep) Tpm *t = NULL;
        _cleanup_(store_close) Store s = STORE_INIT;
        _cleanup_(freep) uint8_t *bytes = NULL;
        AuthorityChange order;
        size_t size = 0;
        int r;

        r = read_named(o->order, "order", AUTHORITY_CHANGE_MAX, &bytes, &size, err);
        if (r >= 0)
                r = authority_change_parse(SPAN(bytes, size), &order, err);
        if (r < 0)
                return rs_context(err, "%s", o->order);
        r = open_own_tpm(o, &s, &t, err);
        if (r >= 0)
                r = tpm_chain_replace_authority(t, &order, err);
        if (r >= 0)
                (void) fprintf(stderr, "reseal-provision: the TPM obeys the order's authority\n");
        return r;
}

int verb_recover(const Options *o, RsError *err) {
        _cleanup_(tpm_freep) Tpm *t = NULL;
        _cleanup_(store_close) Store s = STORE_INIT;
        int r;

        r = open_own_tpm(o, &s, &t, err);
        if (r >= 0)
                r = recover_with(o, t, &s, err);
        if (r >= 0)
                (void) fprintf(stderr,
                               "reseal-provision: the record is the bridge's; the device installs again\n");
        return r;
}
