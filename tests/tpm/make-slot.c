/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * make-slot - for tests/tpm/token.sh: a LUKS2 header whose token opens with this TPM, made with the same
 * calls as the writer's.
 *
 *   make-slot create TCTI LOCK SRK-NAME-FILE FILE    FLOOR as it is now is the limit; prints it
 *   make-slot raise TCTI LOCK SRK-NAME-FILE GATE     FLOOR + 1
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include <libcryptsetup.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/slot/volume.h>
#include <reseal/tpm/state.h>

static int format(const char *path, const Secret *passphrase, const char *token) {
        static const struct crypt_pbkdf_type pbkdf = {
                .type = "pbkdf2",
                .hash = "sha512",
                .iterations = 1000,
                .flags = CRYPT_PBKDF_NO_BENCHMARK,
        };
        struct crypt_params_luks2 params = { .pbkdf = &pbkdf, .sector_size = 4096 };
        struct crypt_device *cd = NULL;
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600), r;

        if (fd < 0 || ftruncate(fd, 8 << 20) < 0)
                return -1;
        (void) close(fd);
        r = crypt_init(&cd, path);
        if (r >= 0)
                r = crypt_set_metadata_size(cd, 16384, 2 << 20);
        if (r >= 0)
                r = crypt_set_data_offset(cd, SLOT_DATA_OFFSET / 512);
        if (r >= 0)
                r = crypt_format(cd, CRYPT_LUKS2, "aes", "xts-plain64", NULL, NULL, SLOT_VOLUME_KEY_SIZE,
                                 &params);
        if (r >= 0)
                r = crypt_keyslot_add_by_volume_key(cd, 0, NULL, SLOT_VOLUME_KEY_SIZE,
                                                    (const char *) secret_bytes(passphrase),
                                                    secret_size(passphrase));
        if (r >= 0)
                r = crypt_token_json_set(cd, CRYPT_ANY_TOKEN, token);
        crypt_free(cd);
        return r;
}

static int create(Tpm *t, const char *path, RsError *err) {
        static const uint8_t bundle_id[32] = { 0xde, 0xad, 0xbe, 0xef };
        _cleanup_(secret_freep) Secret *secret = secret_new_random(TPM_SEALED_SECRET_SIZE), *text = NULL;
        _cleanup_(freep) char *token = NULL;
        TpmSealed sealed;
        TpmState s;
        int r;

        r = tpm_state_read(t, &s, err);
        if (r >= 0)
                r = tpm_seal(t, secret, s.floor, &sealed, err);
        if (r >= 0)
                r = slot_token_encode(&sealed, bundle_id, &token, err);
        if (r >= 0)
                r = slot_passphrase(secret, &text, err);
        if (r < 0)
                return r;
        if (format(path, text, token) < 0)
                return rs_fail(err, VOLUME, "libcryptsetup refuses");
        (void) printf("%llu\n", (unsigned long long) s.floor);
        return 0;
}

static int raise_floor(Tpm *t, const char *gate_file, RsError *err) {
        _cleanup_(secret_freep) Secret *gate = NULL;
        TpmState s;
        int r;

        r = file_read_secret(AT_FDCWD, gate_file, 64, &gate, err);
        if (r > 0)
                r = tpm_state_read(t, &s, err);
        return r < 0 ? r : tpm_floor_raise(t, gate, s.floor + 1, err);
}

int main(int argc, char **argv) {
        _cleanup_(freep) uint8_t *name = NULL;
        _cleanup_(tpm_freep) Tpm *t = NULL;
        RsError err = RS_ERROR_INIT;
        TpmConfig c = { 0 };
        size_t size;
        int r;

        if (argc != 6)
                return 2;
        c.tcti = argv[2];
        c.lock_path = argv[3];
        r = file_read(AT_FDCWD, argv[4], TPM_NAME_SIZE, &name, &size, &err);
        if (r > 0)
                r = tpm_new(&c, name, &t, &err);
        if (r >= 0)
                r = strcmp(argv[1], "create") == 0 ? create(t, argv[5], &err) : raise_floor(t, argv[5], &err);
        if (r < 0)
                (void) fprintf(stderr, "make-slot: %s: %s\n", rs_reason_name(err.reason), err.text);
        return r < 0 ? 1 : 0;
}
