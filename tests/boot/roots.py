#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The firmware roots are replaced, and the initramfs follows (S25, S33; docs/keys.md, drill 6; docs/decisions/012).

Two trust sets in a row: the first names old and new roots, the second takes the old one out and waits until a release under
a new one runs.  After each the device starts.  Then slot A, whose release stands under the old root, does not start any
more; nor does anything start by a set that was put back, and the right one, given back, ends that."""

from device import Device
from loaders import partition

AREA, COPY, COPIES = 3 << 20, 512 << 10, 2     # docs/format-slot.md, "Trust area"
SLOTS = ('reseal-slot-rootfs-a', 'reseal-slot-rootfs-b')


def refusal(d, slot, reason):
    _, found = d.vm.wait(rf'reseal-unlock: slot {slot} cannot be started: .*\((\w+)\)', 900)
    d.check(f'slot {slot} is refused with {reason}', found.group(1) == reason, found.group(0))
    d.vm.wait('reseal-unlock: The device restarts')


def in_force(d, version, when):
    answer = d.until('resealctl --json posture', rf'"trust-version": *{version}\b')
    d.check(f'trust set {version} is in force {when}', True, answer)


def copies(d):
    """What the trust areas of a machine that is off hold: {(slot, copy): bytes}."""
    found = {}
    with open(d.vm.disk, 'rb') as disk:
        for slot in SLOTS:
            for copy in range(COPIES):
                disk.seek(partition(d, slot)[0] + AREA + copy * COPY)
                found[slot, copy] = disk.read(COPY)
    return found


def write_copies(d, what):
    with open(d.vm.disk, 'r+b') as disk:
        for (slot, copy), content in what.items():
            disk.seek(partition(d, slot)[0] + AREA + copy * COPY)
            disk.write(content)


def set_file(d, n):
    with open(f'{d.work}/etc/reseal/sets/{n}.rts', 'rb') as f:
        return f.read()


def two_sets(d):
    d.start('A', 1, tries=2)
    d.confirmed('A')
    in_force(d, 0, 'as made in the factory')
    for n in (1, 2):
        d.run(f'trust set {n} is stored', f'reseal-certstore --apply /etc/reseal/sets/{n}.rts')
    in_force(d, 1, 'while a release under the old root runs')
    d.until('journalctl -b --no-pager', 'trust set version 2 waits')
    d.reboot('A', 1)
    in_force(d, 1, 'after a restart')


def new_root(d):
    d.run('release 2, under root 2, is installed to slot B', f'resealctl install {d.url("r2.rsb")}')
    d.reboot('B', 2, tries=2)
    d.confirmed('B')
    in_force(d, 2, 'when a release under a root of it runs')
    d.reboot('B', 2)
    in_force(d, 2, 'after a restart')


def old_root_is_gone(d):
    d.run('the bootloader is told to try slot A', "sed -e 's/^ORDER=.*/ORDER=A B/' -e 's/^A_OK=./A_OK=0/' -e 's/^A_TRY=./A_TRY=1/' "
          '/boot/reseal/grubenv >/run/grubenv && dd if=/run/grubenv of=/boot/reseal/grubenv conv=notrunc,fsync status=none')
    d.vm.send('systemctl reboot')
    refusal(d, 'A', 'Certificate')
    d.up('B', 2)


def older_set(d):
    d.vm.off()
    right, newer, older = copies(d), set_file(d, 2), set_file(d, 1)
    d.check('the set in force lies in a slot, and the one before too', any(newer in c for c in right.values()) and
            any(older in c for c in right.values()))
    write_copies(d, {place: bytes(COPY) for place, content in right.items() if newer in content})
    d.vm.start()
    refusal(d, 'B', 'TrustSet')
    d.vm.cut()
    write_copies(d, right)
    d.start('B', 2)


def steps(d):
    two_sets(d)
    new_root(d)
    old_root_is_gone(d)
    older_set(d)
    d.vm.off()
    d.check('no attempt is counted in the TPM', d.lockout_counter() == 0)


Device('roots', factory=['--roots', '--health']).scenario(steps)
