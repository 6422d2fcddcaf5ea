#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The hooks of initramfs-tools and dracut: an initramfs made by each (hooks.sh looks into them) starts a device from dm-verity;
slot A has that of initramfs-tools, slot B that of dracut.  With another TPM each says so and restarts, and what the loader
counts is counted (S12; docs/boot.md).  So it does when the image is damaged behind its first block, where dm-verity opens and the root
does not mount: no shell, no waiting, a restart, and then the other slot."""

import os

from device import Device
from loaders import partition
from vm import Tpm

DATA_OFFSET, BLOCK = 4 << 20, 4096      # of the image in a slot, docs/format-slot.md


def refused_twice(d, tool, slot, tpm):
    """The second refusal comes after a restart by the initramfs."""
    mine, d.vm.tpm = d.vm.tpm, tpm
    d.vm.start()
    for _ in range(2):
        _, found = d.vm.wait(rf'reseal-unlock: slot {slot} cannot be started: .*\((\w+)\)', 900)
        d.check(f'{tool}: slot {slot} is refused with TpmCleared', found.group(1) == 'TpmCleared', found.group(0))
        d.vm.wait('reseal-unlock: The device restarts')
    d.check(f'{tool}: the machine has restarted in between', d.vm.n_restarts == 1, d.vm.n_restarts)
    d.vm.cut()
    d.vm.tpm = mine


def damage(d, slot, release):
    """All of the image but its first block, on the disk of a machine that is off; the hash tree behind it stays."""
    with open(d.vm.disk, 'r+b') as disk:
        disk.seek(partition(d, f'reseal-slot-rootfs-{slot.lower()}')[0] + DATA_OFFSET + BLOCK)
        disk.write(bytes(os.path.getsize(f'{d.work}/rootfs-{release}') - BLOCK))


def gives_up(d, tool, slot, times):
    for _ in range(times):
        d.vm.wait('reseal-unlock: slot . cannot be started', 900)
        at, found = d.vm.wait(r'reseal-unlock: (it was opened.*)|reseal-unlock: .*', 900)
        d.check(f'{tool}: slot {slot} is opened, and no system comes of it', found.group(1), found.group(0))
    d.check(f'{tool}: there was no shell', not d.vm.find(r'\(initramfs\)|[Ee]mergency (mode|[Ss]hell)|:/#'), d.vm.lines[-20:])
    return at


def damaged(d):
    """Both are good, and B has missed two starts: the third one with dracut, then A; then A's initramfs-tools in the same way."""
    damage(d, 'B', 2)
    d.vm.start()
    gives_up(d, 'dracut', 'B', 1)
    d.up('A', 1)
    d.until('resealctl slots', r'rootfs\.b .*good, did not start')
    d.vm.off()
    damage(d, 'A', 1)
    d.vm.start()
    gives_up(d, 'dracut', 'B', 1)
    gives_up(d, 'initramfs-tools', 'A', 2)
    d.vm.cut()


def verified(d, tool):
    d.run(f'{tool}: root is mounted from dm-verity, read-only', "findmnt -n -o SOURCE,OPTIONS / | grep -E '^/dev/mapper/root +ro'")
    print('     ' + d.run(f'{tool}: the kernel log tells of the unlocking', 'dmesg | grep reseal-unlock').strip())


def steps(d):
    os.mkdir(f'{d.work}/other-tpm')
    other = Tpm(f'{d.work}/other-tpm')
    refused_twice(d, 'initramfs-tools', 'A', other)
    d.start('A', 1, tries=0)
    verified(d, 'initramfs-tools')
    d.run('slot A is marked good', 'resealctl mark good')
    d.run('release 2 is installed to slot B', f'resealctl install {d.url("r2.rsb")}')
    d.reboot('B', 2, tries=0)
    verified(d, 'dracut')
    d.run('slot B is marked good', 'resealctl mark good')
    d.vm.off()
    refused_twice(d, 'dracut', 'B', other)
    damaged(d)
    d.check('no attempt is counted in the TPM', d.lockout_counter() == 0)


Device('hooks', factory=['--tries', '1', '--hooks']).scenario(steps)
