#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""It boots: firmware, GRUB with the shipped reseal.cfg, reseal-unlock, root on dm-verity over dm-crypt, the shipped units.

One update A to B over mutual TLS.  The power is cut (machine and TPM) while B is being written; the device starts
from A again, goes on by itself, restarts into B on trial and is confirmed (S12, S13; DESIGN.md 8)."""

from device import Device
from writing import cut_while_writing, goes_on


def steps(d):
    d.start('A', 1, tries=2)
    d.run('root is mounted from dm-verity, read-only', "findmnt -n -o SOURCE,OPTIONS / | grep -E '^/dev/mapper/root +ro'")
    print('     ' + d.run('the kernel log tells of the unlocking', 'dmesg | grep reseal-unlock'))
    d.confirmed('A')
    cut_while_writing(d)
    d.start('A', 1)
    goes_on(d)
    d.reboot('B', 2, tries=2)
    d.confirmed('B')
    d.vm.off()
    d.check('no attempt is counted in the TPM', d.lockout_counter() == 0)


Device('smoke', factory=['--health']).scenario(steps)
