#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What must not start does not, says why, and the device goes on: a flipped block (dm-verity), a release without
init (panic), yesterday's disk under today's TPM (FLOOR), another TPM.  One attempt per new slot, so that each failure
costs one restart (S12, S13)."""

import json
import os
import shutil
import subprocess

from device import Device
from vm import Tpm

DATA_OFFSET = 4 << 20          # of the image in a slot, docs/format-slot.md


def partition(disk, name):
    table = json.loads(subprocess.run(['sfdisk', '--json', disk], stdout=subprocess.PIPE, check=True).stdout)
    part = next(p for p in table['partitiontable']['partitions'] if p.get('name') == name)
    return part['start'] * 512


def flip(disk, offset):
    with open(disk, 'r+b') as f:
        f.seek(offset)
        byte = f.read(1)[0]
        f.seek(offset)
        f.write(bytes([byte ^ 1]))


def refusal(d, slot, reason):
    _, found = d.vm.wait(rf'reseal-unlock: slot {slot} cannot be started: .*\((\w+)\)', 900)
    d.check(f'slot {slot} is refused with {reason}', found.group(1) == reason, found.group(0))
    d.vm.wait('reseal-unlock: The device restarts')


def confirm(d, slot):
    d.until('resealctl status', rf'Running +{slot}')
    d.run(f'slot {slot} is marked good', 'resealctl mark good')


def flipped_block(d):
    """One bit of the first block of slot B: dm-verity does not open, the loader falls back."""
    d.run('release 2 is installed to slot B', f'resealctl install {d.url("r2.rsb")}')
    d.vm.off()
    flip(d.vm.disk, partition(d.vm.disk, 'reseal-slot-rootfs-b') + DATA_OFFSET + 100)
    d.vm.start()
    refusal(d, 'B', 'Root')
    d.up('A', 1)


def panic(d):
    """Release 3 has no init: the kernel panics, panic= restarts, the loader falls back."""
    d.run('release 3, which has no init, is installed to slot B', f'resealctl install {d.url("r3.rsb")}')
    d.vm.send('systemctl reboot')
    d.vm.wait('Kernel panic', 900)
    d.up('A', 1)


def old_disk(d):
    """A release of a higher epoch is confirmed; yesterday's disk does not open any more, today's does."""
    today, yesterday = d.vm.disk, f'{d.work}/yesterday.img'
    d.vm.off()
    shutil.copy(today, yesterday)
    d.start('A', 1)
    d.run('release 4 of a higher epoch is installed to slot B', f'resealctl install {d.url("r4.rsb")}')
    d.reboot('B', 4, tries=0)
    confirm(d, 'B')
    d.vm.off()
    d.vm.disk = yesterday
    d.vm.start()
    refusal(d, 'A', 'TpmAuth')
    d.vm.cut()
    d.vm.disk = today
    d.start('B', 4)
    d.vm.off()


def other_tpm(d):
    mine, other = d.vm.tpm, f'{d.work}/other-tpm'
    os.mkdir(other)
    d.vm.tpm = Tpm(other)
    d.vm.start()
    refusal(d, 'B', 'TpmCleared')
    d.vm.cut()
    d.vm.tpm = mine


def steps(d):
    d.start('A', 1, tries=2)
    confirm(d, 'A')
    flipped_block(d)
    panic(d)
    old_disk(d)
    other_tpm(d)
    d.check('no attempt is counted in the TPM', d.lockout_counter() == 0)


Device('fallback', factory=['--tries', '1', '--more']).scenario(steps)
