/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * provision - the verbs of reseal-provision and what they share.
 *
 * Spec:     docs/tpm.md; docs/man/reseal-provision.8
 * Trust:    runs as root in the factory; certificates it is given are compared with the keys in the TPM
 * Owns:     an Options borrows argv; a Store owns its directory descriptors
 * Units:    none
 * Errors:   as each room; messages go to stderr once, from main
 * Context:  one thread
 * Programs: reseal-provision
 */
#include <stdbool.h>
#include <sys/types.h>

#include <reseal/tpm/key.h>
#include <reseal/tpm/state.h>

typedef struct Options {
        const char *config;
        const char *writer_conf;
        const char *state_dir;
        const char *writer_state_dir;
        const char *serial;
        const char *line;
        const char *csr_out;
        const char *escrow;
        const char *receipt;
        const char *owner_auth_file;
        const char *level;              /* "1", "2" */
        const char *authority;          /* level 2: PEM certificate */
        const char *recovery;           /* three public keys, PEM */
        const char *platform_auth_file; /* level 2; none: platformAuth is empty */
        const char *record;             /* link of the release that the factory flashed */
        const char *bridge;
        const char *order;
        const char *firmware_root;
        const char *output;
        const char *device;             /* data: partition or file */
        const char *recovery_key;       /* data: where its passphrase goes */
        const char *label;              /* data: of the new header */
        const char *erase;              /* data: not NULL, what is there may be destroyed */
        const char *certificates[_TPM_KEY_PURPOSE_MAX];
} Options;

/* Each returns 0, or negative with *err; they print what they did. */
int verb_init(const Options *o, RsError *err);
int verb_certs(const Options *o, RsError *err);
int verb_recover(const Options *o, RsError *err);
/* The TPM of level L2 obeys the authority of this order from now on; again: nothing changes. */
int verb_authority(const Options *o, RsError *err);
int verb_drop_in(const Options *o, RsError *err);
int verb_data(const Options *o, RsError *err);

/* store.c: the two state directories, and files in them with the right owner */
typedef struct Store {
        int keys_fd;   /* STATE/keys: root, group reseal */
        int writer_fd; /* reseal-writer's own */
        bool with_writer;
        unsigned n_written;
} Store;

#define STORE_INIT ((Store){ .keys_fd = -EBADF, .writer_fd = -EBADF })

int store_open(const Options *o, bool with_writer, Store *ret, RsError *err);
void store_close(Store *s);
/* Written durably and counted, unless it is there with the same content. */
int store_public(Store *s, const char *name, Span content, RsError *err);  /* keys: 0640 root:reseal */
int store_private(Store *s, const char *name, Span content, RsError *err); /* writer: 0600 reseal-writer */
/* The key of this purpose: 1 read, 0 not there yet. */
int store_key(const Store *s, TpmKeyPurpose purpose, TpmKey *ret, RsError *err);
const char *store_key_file(TpmKeyPurpose purpose);
const char *store_certificate_file(TpmKeyPurpose purpose);

/* chain.c */
int chain_provide(const Options *o, Tpm *t, bool *ret_changed, RsError *err);
int chain_first_record(const Options *o, Tpm *t, const Secret *gate, bool *ret_changed, RsError *err);

/* config.c */
int provision_tpm_config(const char *path, TpmConfig *ret, RsError *err);

/* escrow.c: ownerAuth, lockoutAuth and endorsementAuth between making them and handing them over */
typedef struct Escrow {
        Secret *owner;
        Secret *lockout;
        Secret *endorsement;
} Escrow;

void escrow_done(Escrow *e);
/* 1 read, 0 there is no such file. */
int escrow_read(const char *path, Escrow *ret, RsError *err);
/* Makes those that are asked for and not there yet: 1 if any was. */
int escrow_make(Escrow *e, bool owner, bool lockout, bool endorsement, RsError *err);
/* "-": standard output, else a new file 0600, durable. */
int escrow_write(const char *path, const char *serial, const Escrow *e, RsError *err);
/* Random bytes for an authValue: the last is not zero, since TPMs cut trailing zeros off. */
int escrow_random(Secret **ret, RsError *err);

/* request.c: what the device CA gets; files that are there already are left alone */
int request_write(const Options *o, Tpm *t, const TpmKey keys[_TPM_KEY_PURPOSE_MAX], unsigned *n_written,
                  RsError *err);

/* receipt.c */
int receipt_write(const char *path, const Options *o, Tpm *t, const uint8_t srk_name[TPM_NAME_SIZE],
                  const TpmKey keys[_TPM_KEY_PURPOSE_MAX], RsError *err);
