/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * data - the writable volume is made once and then only looked at.
 *
 * Its header has the shape of a slot's, so the same code writes it and stock cryptsetup opens it in the
 * same way.  What differs is the life: a slot's key dies with the next installation, this one must outlive
 * every release and epoch. Therefore no policy, and therefore a recovery key slot if the owner wants one: a
 * TPM that is cleared or dies would take the data with it.
 *
 * Nothing here formats what is not blank; "blank" is strict, zeros wherever the header of anything could be
 * (file systems and LUKS in the first MiBs, md and the second GPT in the last).  A wrong device costs a
 * refusal, not its content.
 */
#include <stdlib.h>
#include <string.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/slot/data.h>
#include <reseal/slot/volume.h>

#include "luks.h"
#include "medium.h"

#define PIECE_SIZE (64u << 10)
#define TAIL_SIZE (1u << 20)

static int is_zero(int fd, uint64_t from, uint64_t to, RsError *err) {
        _cleanup_(freep) uint8_t *piece = medium_buffer_new(PIECE_SIZE);

        if (!piece)
                return rs_fail_oom(err);
        for (uint64_t at = from; at < to; at += PIECE_SIZE) {
                int r = file_pread_all(fd, piece, PIECE_SIZE, at, err);

                if (r < 0)
                        return r;
                if (piece[0] != 0 || memcmp(piece, piece + 1, PIECE_SIZE - 1) != 0)
                        return 0;
        }
        return 1;
}

int data_volume_look(int fd, uint64_t size, RsError *err) {
        int r;

        if (size < DATA_VOLUME_MIN || size % PIECE_SIZE != 0)
                return rs_fail(err, SIZE, "a data volume has at least %u MiB, in whole 64 KiB; not %llu bytes",
                               DATA_VOLUME_MIN >> 20, (unsigned long long) size);
        r = is_zero(fd, 0, SLOT_DATA_OFFSET, err);
        if (r > 0)
                r = is_zero(fd, size - TAIL_SIZE, size, err);
        return r < 0 ? r : !r;
}

static int load(Luks *l, const char *device, TpmSealed *ret, RsError *err) {
        const char *json = NULL;
        int r;

        r = luks_init(l, device, err);
        if (r < 0)
                return r;
        r = crypt_load(l->cd, CRYPT_LUKS2, NULL);
        if (r < 0)
                return luks_failed(l, r, device, err);
        r = luks_check_shape(l, err);
        if (r < 0)
                return r;
        r = crypt_token_json_get(l->cd, 0, &json);
        return r < 0 ? luks_failed(l, r, "token", err) : data_token_parse(json, ret, err);
}

int data_volume_check(const char *device, Tpm *tpm, RsError *err) {
        _cleanup_(secret_freep) Secret *secret = NULL, *passphrase = NULL;
        _cleanup_(luks_done) Luks l = { 0 };
        TpmSealed sealed;
        int key_slot = 0, r;

        r = load(&l, device, &sealed, err);
        if (r == 0)
                r = luks_check_cost(l.cd, 0, &key_slot, err);
        if (r == 0)
                r = tpm_unseal(tpm, &sealed, &secret, err);
        if (r == 0)
                r = slot_passphrase(secret, &passphrase, err);
        if (r < 0)
                return r;
        r = crypt_activate_by_passphrase(l.cd, NULL, key_slot, (const char *) secret_bytes(passphrase),
                                         secret_size(passphrase), 0);
        return r < 0 ? luks_failed(&l, r, "key slot", err) : 0;
}

int data_volume_create(const char *path, Tpm *tpm, const Secret *recovery, const char *label, RsError *err) {
        _cleanup_(secret_freep) Secret *key = secret_new_random(SLOT_VOLUME_KEY_SIZE);
        _cleanup_(secret_freep) Secret *secret = secret_new_random(TPM_SEALED_SECRET_SIZE);
        _cleanup_(freep) char *token = NULL;
        LuksHeader header;
        TpmSealed sealed;
        int r;

        if (!key || !secret)
                return rs_fail_oom(err);
        r = tpm_seal_data(tpm, secret, &sealed, err);
        if (r == 0)
                r = data_token_encode(&sealed, &token, err);
        if (r < 0)
                return r;
        header = (LuksHeader){ .key = key, .sealed = secret, .token = token, .recovery = recovery, .label = label };
        return luks_write_header(path, &header, err);
}
