/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * sandbox - what is left to the writer: its state directory, the slots of the map, the boot state, the TPM.
 *
 * /usr, /proc and /sys stay readable, because devices are looked at when they are needed.  Code is not loaded any more:
 * the TCTI is there before, and no file becomes code afterwards, a memfd least of all (systemd forbids memory that is
 * writable and executable, and mounts what may execute; a memfd has no mount).  What libcryptsetup would still like to
 * load, old ciphers of OpenSSL, it can do without.
 * Sockets are AF_UNIX only, except where the TCTI of the configuration names a host.
 */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/names.h>
#include <reseal/confine/confine.h>

#include "sandbox.h"

/* EFI: two variables that are there; none can be made.  */
static int allow_efi(int files, const char *efivars, RsError *err) {
        static const char *const writable[] = { RS_EFI_BOOT_ORDER, RS_EFI_BOOT_NEXT };
        char path[PATH_MAX];
        int r;

        r = confine_files_allow(files, efivars, CONFINE_READ, err);
        for (size_t i = 0; r == 0 && i < ELEMENTSOF(writable); i++) {
                (void) snprintf(path, sizeof(path), "%s/%s", efivars, writable[i]);
                r = confine_files_allow(files, path, CONFINE_WRITE, err);
        }
        return r;
}

static int allow_medium(void *userdata, const char *path, RsError *err) {
        return confine_files_allow(*(const int *) userdata, path, CONFINE_WRITE, err);
}

/* GRUB: the block is overwritten.  systemd-boot: entries are made and removed.  U-Boot: fw_env.config is read, and
 * names the devices of the environment. */
static int allow_boot(int files, const BootConfig *boot, RsError *err) {
        int r;

        if (!boot->path)
                return 0;
        if (boot->backend && strcmp(boot->backend, "efi") == 0)
                return allow_efi(files, boot->path, err);
        if (!boot->backend || strcmp(boot->backend, "uboot") != 0)
                return confine_files_allow_parent(files, boot->path, CONFINE_CHANGE, err);
        r = confine_files_allow(files, boot->path, CONFINE_READ, err); /* in /etc: nothing there may be written */
        if (r == 0)
                r = boot_uboot_media(boot->path, allow_medium, &files, err);
        return r < 0 ? r : 0;
}

/* Read anew whenever the trust set changes.  The directory of a set need not have one yet. */
static int allow_trust(int files, const WriterConfig *c, RsError *err) {
        const char *const anchors[] = { c->firmware_root, c->source_root, c->time_root, c->recovery };
        int r = 0;

        for (size_t i = 0; r == 0 && i < ELEMENTSOF(anchors); i++)
                r = confine_files_allow(files, anchors[i], CONFINE_READ, err);
        return r < 0 ? r : confine_files_allow_parent(files, c->trust_set, CONFINE_READ, err);
}

static int allow_all(int files, const WriterConfig *c, RsError *err) {
        static const char *const readable[] = { "/usr", "/lib", "/lib64", "/etc", "/proc", "/sys", "/dev/random",
                                                "/dev/urandom", "/dev/null" };
        int r = 0;

        for (size_t i = 0; r == 0 && i < ELEMENTSOF(readable); i++)
                r = confine_files_allow(files, readable[i], CONFINE_READ, err);
        if (r == 0)
                r = confine_files_allow(files, c->state_dir, CONFINE_CHANGE, err);
        for (uint32_t i = 0; r == 0 && i < slot_map_count(c->map); i++)
                r = confine_files_allow(files, slot_map_at(c->map, i)->device, CONFINE_WRITE, err);
        if (r == 0)
                r = confine_files_allow_parent(files, c->booted_path, CONFINE_READ, err);
        if (r == 0)
                r = allow_boot(files, &c->boot, err);
        if (r == 0)
                r = allow_trust(files, c, err);
        if (r == 0)
                r = confine_files_allow_parent(files, c->boot.good_path, CONFINE_CHANGE, err);
        if (r == 0 && c->tpm.tcti && strncmp(c->tpm.tcti, "device:", 7) == 0)
                r = confine_files_allow(files, c->tpm.tcti + 7, CONFINE_WRITE, err);
        if (r == 0)
                r = confine_files_allow_parent(files, c->tpm.lock_path ? c->tpm.lock_path : RS_PATH_TPM_LOCK,
                                               CONFINE_CHANGE, err);
        return r;
}

int sandbox_close(const WriterConfig *c, RsError *err) {
        static const char *const beside[] = { "io_setup", "io_submit", "io_getevents", "io_destroy" };
        static const int network[] = { AF_INET, AF_INET6 };
        bool by_network = c->tpm.tcti && (strstr(c->tpm.tcti, "host=") || strstr(c->tpm.tcti, "port="));
        const ConfineCalls calls = { .service = true, .allowed = beside, .n_allowed = ELEMENTSOF(beside),
                                     .families = network, .n_families = by_network ? ELEMENTSOF(network) : 0 };
        _cleanup_(closep) int files = -EBADF;
        int landlock, r;

        tpm_preload(&c->tpm);
        landlock = confine_files_begin(&files, err);
        if (landlock < 0)
                return landlock;
        r = allow_all(files, c, err);
        if (r == 0)
                r = confine_files_enforce(files, err);
        if (r == 0)
                r = confine_calls(&calls, err);
        return r < 0 ? r : landlock;
}
