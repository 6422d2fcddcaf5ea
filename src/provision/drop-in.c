/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * drop-in - the writer's unit may open exactly the block devices of the slot map: this writes the list.
 *
 * Both slots of a pair must be on it, since they alternate; against a taken-over writer the running slot is
 * protected by O_EXCL and policy, not by this.  Paths stand in a file of systemd's syntax, so what could end
 * a word or begin a specifier is refused or escaped.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/config.h>
#include <reseal/base/file.h>
#include <reseal/base/names.h>
#include <reseal/boot/boot.h>
#include <reseal/slot/map.h>

#include "provision.h"

typedef struct Collected {
        SlotMap *map;
        BootConfig boot;
        TpmConfig tpm;
} Collected;

static void collected_done(Collected *c) {
        c->map = slot_map_free(c->map);
        boot_config_done(&c->boot);
        tpm_config_done(&c->tpm);
}

static int on_key(void *userdata, const char *section, const char *key, const char *value, RsError *err) {
        Collected *c = userdata;

        if (strncmp(section, "slot ", 5) == 0)
                return slot_map_set(c->map, section + 5, key, value, err);
        if (strcmp(section, "tpm") == 0)
                return tpm_config_set(&c->tpm, key, value, err);
        if (strcmp(section, "boot") == 0)
                return boot_config_set(&c->boot, key, value, err);
        return 1; /* the writer judges the rest */
}

static int add_path(Encoder *e, const char *key, const char *path, size_t length, const char *rest,
                    RsError *err) {
        encoder_bytes(e, key, strlen(key));
        for (size_t i = 0; i < length; i++) {
                if (path[i] <= ' ' || path[i] == '"' || path[i] == '\'' || path[i] == '\\' || path[i] == 0x7f)
                        return rs_fail(err, CONFIG, "the path %s cannot stand in a unit", path);
                encoder_u8(e, (uint8_t) path[i]);
                if (path[i] == '%')
                        encoder_u8(e, '%');
        }
        encoder_bytes(e, rest, strlen(rest));
        return 0;
}

static int add_medium(void *userdata, const char *path, RsError *err) {
        if (strncmp(path, "/dev/", 5) == 0)
                return add_path(userdata, "DeviceAllow=", path, strlen(path), " rw\n", err);
        return add_path(userdata, "ReadWritePaths=", path, strlen(path), "\n", err);
}

/* In efivarfs just the two variables. */
static int add_efi(Encoder *e, const char *efivars, RsError *err) {
        static const char *const variables[] = { "/" RS_EFI_BOOT_ORDER "\n", "/" RS_EFI_BOOT_NEXT "\n" };
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(variables); i++)
                r = add_path(e, "ReadWritePaths=-", efivars, strlen(efivars), variables[i], err);
        return r;
}

/* U-Boot: the devices that fw_env.config names; the directory it lies in, /etc, stays read-only. */
static int add_uboot(Encoder *e, const char *path, RsError *err) {
        int r = boot_uboot_media(path, add_medium, e, err);

        return r == 0 ? rs_fail(err, CONFIG, "%s names no device", path) : r;
}

/* Otherwise the directory of the boot state, because its files may be replaced. */
static int add_boot(Encoder *e, const BootConfig *boot, RsError *err) {
        const char *backend = boot->backend ? boot->backend : "", *file = boot->path;

        if (file && strcmp(backend, "uboot") == 0)
                return add_uboot(e, file, err);
        if (file && strcmp(backend, "efi") == 0) {
                int r = add_efi(e, file, err);

                if (r < 0)
                        return r;
                file = boot->good_path;
        }
        if (file && strrchr(file, '/') > file)
                return add_path(e, "ReadWritePaths=", file, (size_t) (strrchr(file, '/') - file), "\n", err);
        return 0;
}

static int fill(Encoder *e, const Collected *c, RsError *err) {
        static const char head[] = "# Made by reseal-provision drop-in from the slot map; make it again when "
                                   "that changes.\n"
                                   "[Service]\n";
        static const char device[] = "device:";
        int r = 0;

        encoder_bytes(e, head, strlen(head));
        for (uint32_t i = 0; r >= 0 && i < slot_map_count(c->map); i++) {
                const char *path = slot_map_at(c->map, i)->device;

                if (!path)
                        return rs_fail(err, CONFIG, "slot %s has no device", slot_map_at(c->map, i)->name);
                r = add_path(e, "DeviceAllow=", path, strlen(path), " rw\n", err);
        }
        if (r >= 0 && c->tpm.tcti && strncmp(c->tpm.tcti, device, strlen(device)) == 0)
                r = add_path(e, "DeviceAllow=", c->tpm.tcti + strlen(device),
                             strlen(c->tpm.tcti + strlen(device)), " rw\n", err);
        if (r >= 0)
                r = add_boot(e, &c->boot, err);
        if (r >= 0 && encoder_finish(e) < 0)
                r = rs_fail_oom(err);
        return r;
}

int verb_drop_in(const Options *o, RsError *err) {
        _cleanup_(collected_done) Collected c = { .map = slot_map_new() };
        _cleanup_(encoder_done) Encoder text = ENCODER_INIT;
        _cleanup_(freep) uint8_t *there = NULL;
        size_t size = 0;
        int r;

        if (!c.map)
                return rs_fail_oom(err);
        r = config_read(o->writer_conf, on_key, &c, err);
        if (r < 0)
                return r;
        if (slot_map_count(c.map) == 0)
                return rs_fail(err, CONFIG, "%s names no slot", o->writer_conf);
        r = fill(&text, &c, err);
        if (r < 0)
                return r;
        if (strcmp(o->output, "-") == 0)
                return fwrite(text.data, 1, text.size, stdout) == text.size
                                       ? 0
                                       : rs_fail_errno(err, errno, "output");
        r = file_read(AT_FDCWD, o->output, RS_CERT_FILE_MAX, &there, &size, err);
        if (r < 0)
                return r;
        if (r > 0 && span_equal(SPAN(there, size), encoder_view(&text))) {
                (void) printf("%s is up to date; nothing changed.\n", o->output);
                return 0;
        }
        r = file_replace(AT_FDCWD, o->output, encoder_view(&text), 0644, err);
        if (r >= 0)
                (void) printf("%s written for %u slots; run systemctl daemon-reload.\n", o->output,
                              slot_map_count(c.map));
        return r;
}
