/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * boot-copies - the trust set in force, where reseal-unlock can read it before there is a root.
 *
 * All slots but the running one can be written, and whoever runs next finds it in a slot that is not his (or his own).
 * Before the TPM's commit the new set stands in all of them, beside the old one: a cut leaves what the TPM names.  One
 * slot that cannot be written is enough to leave the old set in force; that is told, and tried again.
 */
#include <string.h>

#include <reseal/base/cleanup.h>
#include <reseal/slot/trust-area.h>

#include "engine.h"

int boot_copies_write(Installer *i, Span set, Span keep, RsError *err) {
        InstallBooted booted;
        int r;

        r = read_booted(i, &booted, err);
        for (uint32_t k = 0; r == 0 && k < slot_map_count(i->device.map); k++) {
                const Slot *slot = slot_map_at(i->device.map, k);
                _cleanup_(closep) int fd = -EBADF;

                if (slot->kind != SLOT_KIND_LUKS2 || strcmp(slot->boot_name, booted.slot) == 0)
                        continue;
                r = slot_open_target(i->device.map, slot, booted.slot, &fd, err);
                if (r == 0)
                        r = trust_area_write(fd, set, keep, err);
                if (r < 0)
                        (void) rs_context(err, "slot %s, trust set for the next start", slot->name);
        }
        return r;
}
