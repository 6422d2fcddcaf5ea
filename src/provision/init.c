/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * init - from a blank TPM to a device: each step looks, does what is missing, and says so.
 *
 * Order, and why:
 *   1 storage root key, its Name pinned in both state directories: everything later is salted to it
 *   2 gate secret to disk, then NV indices: a secret in the TPM that no file holds could never be used again
 *   3 three keys, each to disk as soon as it is made: a cut loses a key nobody has seen
 *   4 requests for the device CA
 *     5 ownerAuth and lockoutAuth to escrow, then into the TPM: last, because all before needs the empty
 *   ownerAuth 6 receipt A run that was cut anywhere is completed by running again (tested by killing it at
 *   every TPM command).  A pinned Name that differs from the TPM's is never overwritten: that is another TPM,
 *   or a cleared one, and a person must know.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/base/names.h>
#include <reseal/base/text.h>

#include "provision.h"

typedef struct Init {
        const Options *options;
        Tpm *tpm;
        Store store;
        Escrow escrow; /* what --owner-auth-file or an earlier run's escrow file holds */
        TpmPosture posture;
        uint8_t srk_name[TPM_NAME_SIZE];
        TpmKey keys[_TPM_KEY_PURPOSE_MAX];
        unsigned n_changes;
} Init;

static void init_done(Init *i) {
        i->tpm = tpm_free(i->tpm);
        store_close(&i->store);
        escrow_done(&i->escrow);
}

static void did(Init *i, const char *what) {
        i->n_changes++;
        (void) fprintf(stderr, "reseal-provision: %s\n", what);
}

/* ownerAuth where the TPM has one; otherwise NULL, the empty value. */
static const Secret *owner_auth(const Init *i) {
        return i->posture.owner_auth_set ? i->escrow.owner : NULL;
}

static int explain_owner(const Init *i, int r, RsError *err) {
        if (r < 0 && err->reason == RS_REASON_TPM_AUTH && i->posture.owner_auth_set && !i->escrow.owner)
                return rs_context(err, "ownerAuth is set; pass the escrow file with --owner-auth-file");
        return r;
}

static int load_escrow(Init *i, RsError *err) {
        const Options *o = i->options;
        int r = 0;

        if (o->owner_auth_file) {
                r = escrow_read(o->owner_auth_file, &i->escrow, err);
                if (r == 0)
                        return rs_fail(err, INVALID, "there is no file %s", o->owner_auth_file);
        } else if (o->escrow && strcmp(o->escrow, "-") != 0)
                r = escrow_read(o->escrow, &i->escrow, err);
        return r;
}

/* One form in both directories; a text of an earlier version is replaced. */
static int pin(Init *i, RsError *err) {
        const int directories[] = { i->store.keys_fd, i->store.writer_fd };
        uint8_t there[TPM_NAME_SIZE];
        int r;

        for (size_t k = 0; k < ELEMENTSOF(directories); k++) {
                r = tpm_srk_name_load(directories[k], there, err);
                if (r < 0)
                        return r;
                if (r > 0 && memcmp(there, i->srk_name, sizeof(there)) != 0)
                        return rs_fail(err, TPM_OTHER,
                                       "this device was provisioned with another TPM, or the TPM was cleared");
        }
        r = store_private(&i->store, RS_FILE_SRK_NAME, SPAN_ARRAY(i->srk_name), err);
        return r < 0 ? r : store_public(&i->store, RS_FILE_SRK_NAME, SPAN_ARRAY(i->srk_name), err);
}

static int step_srk(Init *i, RsError *err) {
        bool changed = false;
        int r;

        r = tpm_provision_srk(i->tpm, owner_auth(i), i->srk_name, &changed, err);
        if (r < 0)
                return explain_owner(i, r, err);
        if (changed)
                did(i, "storage root key made");
        return pin(i, err);
}

static int gate_secret(Init *i, Secret **ret, RsError *err) {
        int r;

        r = file_read_secret(i->store.writer_fd, RS_FILE_GATE_AUTH, 64, ret, err);
        if (r != 0)
                return r;
        r = escrow_random(ret, err);
        return r < 0 ? r : store_private(&i->store, RS_FILE_GATE_AUTH, secret_span(*ret), err);
}

static int step_nv(Init *i, RsError *err) {
        _cleanup_(secret_freep) Secret *gate = NULL;
        bool changed = false;
        int r;

        r = gate_secret(i, &gate, err);
        if (r < 0)
                return r;
        r = tpm_provision_nv(i->tpm, owner_auth(i), gate, &changed, err);
        if (r < 0)
                return explain_owner(i, r, err);
        if (changed)
                did(i, "rollback state made: counters FLOOR and ACCEPT, two records, gate");
        return 0;
}

/* Level 2 cannot be taken back: CHAIN is made once and for ever. */
static int step_level(Init *i, RsError *err) {
        bool changed = false;
        int r;

        if (!i->options->level || strcmp(i->options->level, "2") != 0)
                return 0;
        r = chain_provide(i->options, i->tpm, &changed, err);
        if (r >= 0 && changed)
                did(i, "level 2 made: CHAIN, AUTHPOL, RECOVERY");
        return r;
}

static int step_record(Init *i, RsError *err) {
        _cleanup_(secret_freep) Secret *gate = NULL;
        bool changed = false;
        int r;

        if (!i->options->record)
                return 0;
        r = gate_secret(i, &gate, err);
        if (r >= 0)
                r = chain_first_record(i->options, i->tpm, gate, &changed, err);
        if (r >= 0 && changed)
                did(i, "first record committed: the release that is flashed");
        return r;
}

static int step_keys(Init *i, RsError *err) {
        for (unsigned p = 0; p < _TPM_KEY_PURPOSE_MAX; p++) {
                const char *name = store_key_file((TpmKeyPurpose) p);
                char what[64];
                int r;

                r = store_key(&i->store, (TpmKeyPurpose) p, &i->keys[p], err);
                if (r < 0)
                        return r;
                if (r > 0) {
                        r = tpm_key_check(i->tpm, &i->keys[p], err);
                        if (r < 0)
                                return rs_context(err, "%s", name);
                        continue;
                }
                r = tpm_key_create(i->tpm, (TpmKeyPurpose) p, &i->keys[p], err);
                if (r >= 0)
                        r = store_public(&i->store, name, SPAN(i->keys[p].blob, i->keys[p].blob_size), err);
                if (r < 0)
                        return r;
                (void) snprintf(what, sizeof(what), "%s key made",
                                tpm_key_purpose_to_string((TpmKeyPurpose) p));
                did(i, what);
        }
        return 0;
}

static int step_requests(Init *i, RsError *err) {
        unsigned n_written = 0;
        int r;

        if (!i->options->csr_out)
                return 0;
        r = request_write(i->options, i->tpm, i->keys, &n_written, err);
        if (r >= 0 && n_written > 0)
                did(i, "requests for the device CA written");
        return r;
}

/* What an earlier run printed is set and not known here; what is set from a file stands in it again. */
static int step_lock(Init *i, RsError *err) {
        const char *path = i->options->escrow ? i->options->escrow : "-";
        const bool owner = !i->posture.owner_auth_set, lockout = !i->posture.lockout_auth_set,
                   endorsement = !i->posture.endorsement_auth_set;
        Escrow *e = &i->escrow;
        char what[128];
        int r;

        if (!owner && lockout)
                return rs_fail(err, TPM_STATE,
                               "ownerAuth is set but lockoutAuth is not: anyone could clear this TPM; "
                               "set lockoutAuth with the tool that set ownerAuth");
        if (!owner && !endorsement)
                return 0;
        r = escrow_make(e, owner, lockout, endorsement, err);
        if (r > 0) {
                r = escrow_write(path, i->options->serial, e, err);
                if (r < 0)
                        return rs_context(err, "escrow");
        }
        if (r >= 0)
                r = tpm_provision_auth(i->tpm, owner ? e->owner : NULL, lockout ? e->lockout : NULL,
                                       endorsement ? e->endorsement : NULL, err);
        if (r < 0)
                return r;
        (void) snprintf(what, sizeof(what), "%s%s set; %s",
                        !owner ? "" : endorsement ? "ownerAuth, lockoutAuth and " : "ownerAuth and lockoutAuth",
                        endorsement ? "endorsementAuth" : "",
                        strcmp(path, "-") == 0 ? "printed and not kept" : "take the escrow file off this device");
        did(i, what);
        return 0;
}

static int step_receipt(Init *i, RsError *err) {
        const char *path = i->options->receipt;

        if (!path || (i->n_changes == 0 && access(path, F_OK) == 0))
                return 0;
        return receipt_write(path, i->options, i->tpm, i->srk_name, i->keys, err);
}

int verb_init(const Options *o, RsError *err) {
        static int (*const steps[])(Init *, RsError *) = { step_srk,    step_nv,       step_level, step_record,
                                                           step_keys,   step_requests, step_lock,  step_receipt };
        _cleanup_(init_done) Init i = { .options = o, .store = STORE_INIT };
        TpmConfig config;
        int r;

        r = provision_tpm_config(o->config, &config, err);
        if (r < 0)
                return r;
        r = tpm_new(&config, NULL, &i.tpm, err);
        tpm_config_done(&config);
        if (r >= 0)
                r = store_open(o, true, &i.store, err);
        if (r >= 0)
                r = tpm_posture(i.tpm, &i.posture, err);
        if (r >= 0)
                r = load_escrow(&i, err);
        for (unsigned n = 0; r >= 0 && n < ELEMENTSOF(steps); n++)
                r = steps[n](&i, err);
        if (r < 0)
                return r;
        if (i.n_changes + i.store.n_written == 0)
                (void) fprintf(stderr, "reseal-provision: this device is provisioned; nothing changed\n");
        return 0;
}
