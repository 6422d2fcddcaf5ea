/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * identity - loads what reseal-provision left behind.
 *
 * Nothing here talks to the TPM: blobs are parsed and the connection is made by the first command, on the
 * worker.  A daemon on a device without keys (first boot, factory) must run all the same, so missing files
 * are an outcome and only broken ones a failure.  The name of the storage root key pins the TPM: a session
 * salted to another key would show a swapped chip or an interposer.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/base/names.h>
#include <reseal/tpm/proof.h>

#include "identity.h"

static const struct {
        const char *name, *blob, *certificate;
} FILES[_TPM_KEY_PURPOSE_MAX] = {
        [TPM_KEY_IDENTITY] = { "identity", RS_FILE_IDENTITY_KEY, RS_FILE_IDENTITY_CERT },
        [TPM_KEY_UNWRAP] = { "unwrap", RS_FILE_UNWRAP_KEY, RS_FILE_UNWRAP_CERT },
        [TPM_KEY_ATTEST] = { "attest", RS_FILE_ATTEST_KEY, RS_FILE_ATTEST_CERT },
};

const char *identity_key_name(TpmKeyPurpose purpose) {
        return FILES[purpose].name;
}

void identity_done(Identity *i) {
        i->https = https_identity_free(i->https);
        i->tpm = tpm_free(i->tpm);
        for (int p = 0; p < _TPM_KEY_PURPOSE_MAX; p++)
                free(i->keys[p].certificate_pem);
}

/* A certificate that cannot be read is left to whoever has to show it. */
static int load_certificate(const DaemonConfig *config, TpmKeyPurpose purpose, IdentityKey *k, RsError *err) {
        RsError ignored = RS_ERROR_INIT;
        _cleanup_(freep) char *path = NULL;

        if (asprintf(&path, "%s/%s", config->keys_dir, FILES[purpose].certificate) < 0) {
                path = NULL;
                return rs_fail_oom(err);
        }
        k->described = certificate_describe(path, &k->certificate, &ignored) >= 0;
        return 0;
}

static int load_key(int dir_fd, TpmKeyPurpose purpose, IdentityKey *ret, RsError *err) {
        _cleanup_(freep) uint8_t *blob = NULL;
        _cleanup_(encoder_done) Encoder spki = ENCODER_INIT;
        RsError unread = RS_ERROR_INIT;
        size_t size;

        int r = file_read(dir_fd, FILES[purpose].blob, TPM_BLOB_MAX, &blob, &size, err);
        if (r <= 0)
                return r;
        r = tpm_key_parse(SPAN(blob, size), &ret->key, err);
        if (r < 0)
                return rs_context(err, "%s", FILES[purpose].blob);
        if (ret->key.purpose != purpose)
                return rs_fail(err, TPM_STATE, "%s is a key for another purpose", FILES[purpose].blob);
        r = tpm_key_spki(&ret->key, &spki, ret->spki_sha256, err);
        if (r < 0)
                return r;
        ret->has_certificate = faccessat(dir_fd, FILES[purpose].certificate, R_OK, 0) == 0;
        if (purpose == TPM_KEY_ATTEST && ret->has_certificate &&
            file_read(dir_fd, FILES[purpose].certificate, TPM_PROOF_CERTIFICATE_MAX, &ret->certificate_pem,
                      &ret->certificate_size, &unread) < 0)
                ret->certificate_size = 0; /* it only goes along: whoever needs it has it from the CA */
        ret->present = true;
        return 0;
}

static int load_tls(const DaemonConfig *config, Identity *i, RsError *err) {
        const IdentityKey *k = &i->keys[TPM_KEY_IDENTITY];
        _cleanup_(freep) char *path = NULL;
        struct evp_pkey_st *key;

        if (!k->present || !k->has_certificate)
                return 0;
        if (asprintf(&path, "%s/%s", config->keys_dir, FILES[TPM_KEY_IDENTITY].certificate) < 0) {
                path = NULL;
                return rs_fail_oom(err);
        }
        int r = tpm_key_evp(i->tpm, &k->key, &key, err);
        if (r < 0)
                return r;
        return https_identity_new(path, key, &i->https, err);
}

static int load_tpm(const DaemonConfig *config, int dir_fd, Identity *i, RsError *err) {
        _cleanup_(freep) uint8_t *name = NULL;
        size_t size;

        int r = file_read(dir_fd, RS_FILE_SRK_NAME, TPM_NAME_SIZE, &name, &size, err);
        if (r <= 0)
                return r;
        if (size != TPM_NAME_SIZE)
                return rs_fail(err, TPM_STATE, "%s has %zu bytes instead of %u", RS_FILE_SRK_NAME, size, TPM_NAME_SIZE);
        r = tpm_new(&config->tpm, name, &i->tpm, err);
        for (int p = 0; r >= 0 && p < _TPM_KEY_PURPOSE_MAX; p++) {
                r = load_key(dir_fd, (TpmKeyPurpose) p, &i->keys[p], err);
                if (r >= 0 && i->keys[p].has_certificate)
                        r = load_certificate(config, (TpmKeyPurpose) p, &i->keys[p], err);
        }
        if (r < 0)
                return r;
        return load_tls(config, i, err);
}

int identity_load(const DaemonConfig *config, Identity *i, RsError *err) {
        _cleanup_(closep) int dir_fd = -EBADF;

        dir_fd = open(config->keys_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir_fd < 0)
                return errno == ENOENT ? 0 : rs_fail_errno(err, errno, "%s", config->keys_dir);
        return load_tpm(config, dir_fd, i, err);
}
