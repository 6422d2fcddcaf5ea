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
#include <reseal/slot/map.h>

#include "provision.h"

typedef struct Collected {
        SlotMap *map;
        char *boot_backend, *boot_path, *good_path;
        TpmConfig tpm;
} Collected;

static void collected_done(Collected *c) {
        c->map = slot_map_free(c->map);
        free(c->boot_backend);
        free(c->boot_path);
        free(c->good_path);
        tpm_config_done(&c->tpm);
}

static int on_boot_key(Collected *c, const char *key, const char *value, RsError *err) {
        int r = 0;

        if (strcmp(key, "backend") == 0)
                r = config_string(value, &c->boot_backend, err);
        else if (strcmp(key, "path") == 0)
                r = config_path(value, &c->boot_path, err);
        else if (strcmp(key, "good-path") == 0)
                r = config_path(value, &c->good_path, err);
        return r < 0 ? r : 1;
}

static int on_key(void *userdata, const char *section, const char *key, const char *value, RsError *err) {
        Collected *c = userdata;

        if (strncmp(section, "slot ", 5) == 0)
                return slot_map_set(c->map, section + 5, key, value, err);
        if (strcmp(section, "tpm") == 0)
                return tpm_config_set(&c->tpm, key, value, err);
        if (strcmp(section, "boot") == 0)
                return on_boot_key(c, key, value, err);
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

/* The directory of the boot state, because its files may be replaced; in efivarfs just the two variables. */
static int add_boot(Encoder *e, const Collected *c, RsError *err) {
        static const char *const variables[] = { "/" RS_EFI_BOOT_ORDER "\n", "/" RS_EFI_BOOT_NEXT "\n" };
        const char *file = c->boot_path;
        int r = 0;

        if (c->boot_path && c->boot_backend && strcmp(c->boot_backend, "efi") == 0) {
                for (size_t i = 0; r >= 0 && i < ELEMENTSOF(variables); i++)
                        r = add_path(e, "ReadWritePaths=-", c->boot_path, strlen(c->boot_path), variables[i], err);
                file = c->good_path;
        }
        if (r >= 0 && file && strrchr(file, '/') > file)
                r = add_path(e, "ReadWritePaths=", file, (size_t) (strrchr(file, '/') - file), "\n", err);
        return r;
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
                r = add_boot(e, c, err);
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
