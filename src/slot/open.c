/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * open - libcryptsetup maps a slot: dm-crypt from its header, dm-verity from the signed manifest.
 *
 * dm-crypt takes its key from the header, which an attacker may have replaced; the key slot opens only with what this
 * TPM gave, so a header made elsewhere does not open, and one of an older slot gives an older slot.  What is inside is
 * judged by the manifest, and dm-verity is given all its parameters from there: root, salt, size and place of the
 * tree.  The superblock on the slot is for veritysetup; here it is not read, so there is nothing in it to believe.
 *
 * Both mappings are read-only.  A block that does not verify is an input/output error for whoever reads it: restarting
 * on each would make a device with one bad block a device that only restarts.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/slot/open.h>
#include <reseal/slot/volume.h>

#include "luks.h"

static int load(Luks *l, const char *device, RsError *err) {
        int r;

        r = luks_init(l, device, err);
        if (r < 0)
                return r;
        r = crypt_load(l->cd, CRYPT_LUKS2, NULL);
        return r < 0 ? luks_failed(l, r, device, err) : luks_check_shape(l, err);
}

/* The number of ours.  Others may stand beside it, of a recovery key say. */
static int find_token(const Luks *l, const char *device, RsError *err) {
        for (int token = 0; token < crypt_token_max(CRYPT_LUKS2); token++) {
                const char *type = NULL;

                if (crypt_token_status(l->cd, token, &type) >= CRYPT_TOKEN_INTERNAL && type &&
                    strcmp(type, "reseal") == 0)
                        return token;
        }
        return rs_fail(err, VOLUME, "%s: no token of ours", device);
}

int slot_open_token(const char *device, TpmSealed *ret, uint8_t ret_bundle_id[32], RsError *err) {
        _cleanup_(luks_done) Luks l = { 0 };
        const char *json = NULL;
        int r;

        r = load(&l, device, err);
        if (r == 0)
                r = find_token(&l, device, err);
        if (r < 0)
                return r;
        r = crypt_token_json_get(l.cd, r, &json);
        return r < 0 ? luks_failed(&l, r, "token", err) : slot_token_parse(json, ret, ret_bundle_id, err);
}

int slot_open_crypt(const char *device, const Secret *sealed_secret, const char *name, RsError *err) {
        _cleanup_(secret_freep) Secret *passphrase = NULL;
        _cleanup_(luks_done) Luks l = { 0 };
        int key_slot, r;

        r = slot_passphrase(sealed_secret, &passphrase, err);
        if (r == 0)
                r = load(&l, device, err);
        if (r == 0)
                r = find_token(&l, device, err);
        if (r >= 0)
                r = luks_check_cost(l.cd, r, &key_slot, err);
        if (r < 0)
                return r;
        r = crypt_activate_by_passphrase(l.cd, name, key_slot, (const char *) secret_bytes(passphrase),
                                         secret_size(passphrase), CRYPT_ACTIVATE_READONLY);
        return r < 0 ? luks_failed(&l, r, "dm-crypt", err) : 0;
}

/* The kernel verifies at reading: what leads nowhere shows here and not when the root is mounted. */
static int read_first_block(const char *name, RsError *err) {
        _cleanup_(closep) int fd = -EBADF;
        uint8_t block[RS_BLOCK_SIZE];
        RsError cause = RS_ERROR_INIT;
        char path[64];

        if ((size_t) snprintf(path, sizeof(path), SLOT_MAPPER_DIR "/%s", name) >= sizeof(path))
                return rs_fail(err, INVALID, "%s: the name is too long", name);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return rs_fail_errno(err, errno, "%s", path);
        if (file_pread_all(fd, block, sizeof(block), 0, &cause) < 0)
                return rs_fail(err, ROOT, "the first block does not verify (%s)", cause.text);
        return 0;
}

int slot_open_verity(const char *volume, const SlotLayout *layout, const ManifestImage *image, const char *name,
                     RsError *err) {
        _cleanup_(luks_done) Luks l = { 0 };
        struct crypt_params_verity params = {
                .hash_name = "sha256",
                .data_device = volume,
                .salt = (const char *) image->salt,
                .salt_size = sizeof(image->salt),
                .hash_type = 1,
                .data_block_size = RS_BLOCK_SIZE,
                .hash_block_size = RS_BLOCK_SIZE,
                .data_size = layout->image_size / RS_BLOCK_SIZE,
                .hash_area_offset = layout->tree,
                .flags = CRYPT_VERITY_NO_HEADER,
        };
        int r;

        r = luks_init(&l, volume, err);
        if (r < 0)
                return r;
        r = crypt_format(l.cd, CRYPT_VERITY, NULL, NULL, NULL, NULL, 0, &params);
        if (r == 0)
                r = crypt_set_data_device(l.cd, volume);
        if (r == 0)
                r = crypt_activate_by_volume_key(l.cd, name, (const char *) image->root, sizeof(image->root),
                                                 CRYPT_ACTIVATE_READONLY);
        if (r < 0)
                return luks_failed(&l, r, "dm-verity", err);
        r = read_first_block(name, err);
        if (r < 0)
                (void) crypt_deactivate(l.cd, name); /* nobody may mount it */
        return r;
}

int slot_close(const char *name, RsError *err) {
        _cleanup_(luks_done) Luks l = { 0 };
        int r;

        r = crypt_init_by_name(&l.cd, name);
        if (r == 0)
                r = crypt_deactivate(l.cd, name);
        return r < 0 ? luks_failed(&l, r, name, err) : 0;
}
