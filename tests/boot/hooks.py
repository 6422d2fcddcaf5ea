#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The hooks of initramfs-tools and dracut: an initramfs made by each (hooks.sh looks into them) starts a device from dm-verity;
slot A has that of initramfs-tools, slot B that of dracut.  With another TPM each says so and restarts, and what the loader
counts is counted (S12; docs/boot.md)."""

import os

from device import Device
from vm import Tpm


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
    d.check('no attempt is counted in the TPM', d.lockout_counter() == 0)


Device('hooks', factory=['--tries', '1', '--hooks']).scenario(steps)
