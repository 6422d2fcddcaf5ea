/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * protect - the running slot is read-only for everybody, before the writer that could be taken over begins.
 *
 * The writer's unit permits both halves of the pair, because they alternate.  So root, for a moment and before the
 * writer's first instruction (ExecStartPre=+), has the kernel refuse each write to the slots of the running boot name,
 * and permits the others.  To take that back needs CAP_SYS_ADMIN, which the writer never has.  Where it is not known
 * what runs all slots are read-only: then nothing is installed anyway.
 *
 * A slot that is a file (in tests) has no such switch.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <syslog.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/install/install.h>

#include "journal.h"
#include "protect.h"

#define BOOTED_MAX 1024u

static void find_running(const WriterConfig *c, InstallBooted *ret) {
        _cleanup_(freep) uint8_t *text = NULL;
        RsError err = RS_ERROR_INIT;
        size_t size;
        int r;

        *ret = (InstallBooted){ 0 };
        r = file_read(AT_FDCWD, c->booted_path, BOOTED_MAX, &text, &size, &err);
        if (r > 0)
                r = install_booted_parse(SPAN(text, size), ret, &err);
        if (r < 0)
                journal_say(LOG_WARNING, MESSAGE_WRITER_REFUSED, NULL, &err,
                            "it is not known which slot runs: all are read-only, ignoring");
}

static int set_read_only(const Slot *slot, int read_only, RsError *err) {
        _cleanup_(closep) int fd = -EBADF;
        struct stat st;
        int now = -1;

        fd = open(slot->device, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (fd < 0 || fstat(fd, &st) < 0)
                return rs_fail_errno(err, errno, "slot %s: %s", slot->name, slot->device);
        if (!S_ISBLK(st.st_mode))
                return 0;
        if (ioctl(fd, BLKROSET, &read_only) < 0 || ioctl(fd, BLKROGET, &now) < 0)
                return rs_fail_errno(err, errno, "slot %s: %s: read-only", slot->name, slot->device);
        if (read_only && !now)
                return rs_fail(err, TARGET, "slot %s: %s runs and does not become read-only", slot->name, slot->device);
        return 0;
}

int protect_running(const WriterConfig *c, RsError *err) {
        InstallBooted booted;

        find_running(c, &booted);
        for (uint32_t i = 0; i < slot_map_count(c->map); i++) {
                const Slot *slot = slot_map_at(c->map, i);
                int r = set_read_only(slot, booted.slot[0] == '\0' || strcmp(slot->boot_name, booted.slot) == 0, err);

                if (r < 0)
                        return r;
        }
        return 0;
}
