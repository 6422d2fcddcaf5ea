/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * identity - who this device is: its keys in the TPM and their certificates.
 *
 * Spec:     DESIGN.md 5; include/reseal/base/names.h, files of the keys directory
 * Trust:    the files are blobs and certificates, useless without the TPM; their form is checked
 * Owns:     an Identity owns all it points to
 * Units:    none
 * Errors:   CONFIG, TPM_STATE, NOT_PROVISIONED, IO
 * Context:  main thread at start; afterwards read by the worker
 * Programs: reseald
 */
#include <reseal/pki/path.h>
#include <reseal/source/https.h>
#include <reseal/tpm/key.h>

#include "config.h"

typedef struct IdentityKey {
        bool present;
        TpmKey key;
        uint8_t spki_sha256[32];
        bool has_certificate;
        bool described;                         /* the certificate could be read */
        uint8_t *certificate_pem;               /* of the attestation key, to be passed on; NULL: none */
        size_t certificate_size;
        SignerInfo certificate;                 /* as it says itself; judged by the source, not here */
} IdentityKey;

typedef struct Identity {
        Tpm *tpm;
        IdentityKey keys[_TPM_KEY_PURPOSE_MAX];
        HttpsIdentity *https;                   /* NULL: not provisioned */
} Identity;

/* A device that is not provisioned yet is no failure: the daemon then runs and says so when asked to install. */
int identity_load(const DaemonConfig *config, Identity *ret /* zeroed */, RsError *err);
void identity_done(Identity *i);
const char *identity_key_name(TpmKeyPurpose purpose);
