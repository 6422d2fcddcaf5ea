/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * keeper - judges a candidate by the function that reseal-writer uses, and replaces one file.
 *
 * The device's line and first roots stand in writer.conf, which belongs to root and is part of the verified image; a
 * second file with the same content could only come to differ.  Its other keys are none of our business and are passed
 * over: reseal-writer refuses what it does not know.
 *
 * The store's file is public and no authority by itself: reseal-writer goes by the tag in its TPM record.  So the worst
 * that somebody gets who replaces it as root is a device that keeps the anchors it has.
 *
 * What must hold: the file is old or new after a power cut; nothing that trust_set_judge refuses is ever written.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include <reseal/base/config.h>
#include <reseal/base/file.h>
#include <reseal/base/names.h>
#include <reseal/format/trust-set.h>
#include <reseal/trust/anchors.h>

#include "keeper.h"

static int on_key(void *userdata, const char *section, const char *key, const char *value, RsError *err) {
        Keeper *k = userdata;
        int r = 0;

        if (strcmp(section, "device") == 0 && strcmp(key, "line") == 0)
                r = config_string(value, &k->line, err);
        else if (strcmp(section, "trust") == 0 && strcmp(key, "firmware-root") == 0)
                r = config_path(value, &k->firmware_root, err);
        return r < 0 ? r : 1;
}

int keeper_open(const char *config_path, const char *store_path, Keeper *ret, RsError *err) {
        _cleanup_(keeper_done) Keeper k = KEEPER_EMPTY;
        int r;

        r = config_read(config_path, on_key, &k, err);
        if (r < 0)
                return r;
        if (!k.line || strlen(k.line) > RS_NAME_MAX || !k.firmware_root)
                return rs_fail(err, CONFIG, "%s: [device] line or [trust] firmware-root is missing", config_path);
        r = anchors_load(k.firmware_root, &k.version0, err);
        if (r < 0)
                return r;
        k.store_fd = open(store_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (k.store_fd < 0)
                return rs_fail_errno(err, errno, "%s", store_path);
        *ret = k;
        k = KEEPER_EMPTY; /* handed over */
        return 0;
}

void keeper_done(Keeper *k) {
        free(k->line);
        free(k->firmware_root);
        k->version0 = anchors_free(k->version0);
        closep(&k->store_fd);
}

/*
 * reseal-writer may not have seen the set that is about to be replaced, and without it may not take the new one.  The
 * accepted set is well-formed: its version is a number to name a file with, nothing more.
 */
static int keep_replaced(const Keeper *k, Span accepted, RsError *err) {
        char name[sizeof(RS_FILE_TRUST_SET) + 12];
        uint64_t version;
        int r;

        if (accepted.size == 0)
                return 0;
        r = trust_set_version(accepted, k->line, &version, err);
        if (r < 0)
                return r;
        (void) snprintf(name, sizeof(name), RS_FILE_TRUST_SET ".%u", (unsigned) (version % TRUST_SETS_KEPT));
        return file_replace(k->store_fd, name, accepted, 0644, err);
}

int keeper_apply(const Keeper *k, Span candidate, uint64_t *ret_version, RsError *err) {
        _cleanup_(freep) uint8_t *accepted = NULL;
        size_t size = 0;
        uint64_t version;
        int r;

        r = file_read(k->store_fd, RS_FILE_TRUST_SET, TRUST_SET_CMS_MAX, &accepted, &size, err);
        if (r < 0)
                return r;
        if (r > 0 && size == 0)
                return rs_fail(err, TRUST_SET, "the accepted set is empty");
        r = trust_set_judge(SPAN(accepted, size), k->version0, candidate, k->line, &version, err);
        if (r < 0)
                return r;
        r = keep_replaced(k, SPAN(accepted, size), err);
        if (r == 0)
                r = file_replace(k->store_fd, RS_FILE_TRUST_SET, candidate, 0644, err);
        if (r < 0)
                return r;
        *ret_version = version;
        return 0;
}
