/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * luks - what making a header and opening a slot have in common.
 *
 * libcryptsetup is told to lock nothing (its lock directory belongs to root and is not there in an initramfs, nobody
 * else knows the writer's file), to load no token plugins (both programs do what the plugin does, themselves, and so
 * keep the reason of a failure) and to print nothing.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <reseal/format/limits.h>
#include <reseal/slot/volume.h>

#include "luks.h"

#define SECTOR_SIZE 512u

static void on_log(int level, const char *message, void *userdata) {
        Luks *l = userdata;

        if (l && level == CRYPT_LOG_ERROR)
                (void) snprintf(l->message, sizeof(l->message), "%.*s", (int) strcspn(message, "\n"), message);
}

void luks_done(Luks *l) {
        if (l->cd)
                crypt_free(l->cd); /* wipes its copy of the volume key */
        l->cd = NULL;
}

int luks_failed(const Luks *l, int r, const char *what, RsError *err) {
        if (r == -ENOSPC || r == -ENOMEM)
                return rs_fail_errno(err, -r, "LUKS2 header, %s", what);
        return rs_fail(err, VOLUME, "%s: %s", what, l->message[0] != '\0' ? l->message : strerror(-r));
}

int luks_init(Luks *l, const char *path, RsError *err) {
        int r;

        crypt_set_log_callback(NULL, on_log, NULL);
        crypt_token_external_disable();
        (void) crypt_metadata_locking(NULL, 0);
        r = crypt_init(&l->cd, path);
        if (r < 0)
                return luks_failed(l, r, path, err);
        crypt_set_log_callback(l->cd, on_log, l);
        return 0;
}

int luks_check_shape(const Luks *l, RsError *err) {
        const char *cipher = crypt_get_cipher(l->cd), *mode = crypt_get_cipher_mode(l->cd);

        if (!cipher || strcmp(cipher, "aes") != 0 || !mode || strcmp(mode, "xts-plain64") != 0 ||
            crypt_get_volume_key_size(l->cd) != (int) SLOT_VOLUME_KEY_SIZE ||
            crypt_get_data_offset(l->cd) != SLOT_DATA_OFFSET / SECTOR_SIZE ||
            crypt_get_sector_size(l->cd) != (int) RS_BLOCK_SIZE)
                return rs_fail(err, VOLUME, "not a header of ours");
        return 0;
}
