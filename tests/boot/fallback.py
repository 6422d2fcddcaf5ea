#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""fallback.py [SCENARIO...]: what must not start does not, says why, and the device goes on in the slot it had (S12, S13, S73).

Each scenario begins with the same machine: it runs slot A, which is good, and slot B is empty.  New slots get one attempt,
so that each failure costs one restart; that three are counted down one by one is shown by smoke.py and unit/boot-grub."""

import os
import re
import shutil

from device import Device, copy
from vm import Tpm

DATA_OFFSET = 4 << 20          # of the image in a slot, docs/format-slot.md
SLOT_B = '$(readlink -f /dev/disk/by-partlabel/reseal-slot-rootfs-b)'


def refusal(d, slot, reason):
    _, found = d.vm.wait(rf'reseal-unlock: slot {slot} cannot be started: .*\((\w+)\)', 900)
    d.check(f'slot {slot} is refused with {reason}', found.group(1) == reason, found.group(0))
    d.vm.wait('reseal-unlock: The device restarts')


def install(d, release):
    d.run(f'release {release} is installed to slot B', f'resealctl install {d.url(f"r{release}.rsb")}')


def falls_back(d, words=''):
    """Slot A runs again and tells what became of B; words: what the failed release itself could leave behind."""
    d.up('A', 1)
    d.until('resealctl status', r'Running +A')
    told = d.vm.run('resealctl slots')[1]
    d.check('slot B is shown as failed' + (', with the words of its health check' if words else ''),
            'failed its trial' in told and words in told, told)
    told = d.vm.run('resealctl status')[1]
    d.check('the state is REJECTED', re.search(r'^State +REJECTED', told, re.M), told)
    d.until('journalctl -b -u reseald --no-pager', 'trial')
    d.boot_state('slot B is not startable any more', {'A': 'good', 'B': 0})


def flipped_block(d):
    """one bit of the image's first block: dm-verity does not open"""
    install(d, 2)
    at = DATA_OFFSET + 100
    d.run('a bit of slot B is flipped', f'dev={SLOT_B}; byte=$(dd if=$dev bs=1 skip={at} count=1 status=none | od -An -tu1) && '
          f'printf "\\\\$(printf %o $((byte ^ 1)))" | dd of=$dev bs=1 seek={at} conv=notrunc,fsync status=none')
    d.vm.send('systemctl reboot')
    refusal(d, 'B', 'Root')
    falls_back(d)


def no_unsealing(d):
    """the sealed key in slot B's token is damaged: the TPM does not give the key"""
    install(d, 2)
    d.run('a digit of the sealed key is changed',
          f'dev={SLOT_B}; cryptsetup token export --token-id 0 $dev >/run/token && '
          """sed -i -E 's/("blob": *"[0-9a-f]{40})0/\\11/;t;s/("blob": *"[0-9a-f]{40})./\\10/' /run/token && """
          'cryptsetup token import --token-id 0 --token-replace --json-file /run/token $dev')
    d.vm.send('systemctl reboot')
    refusal(d, 'B', 'TpmOther')     # no TPM but the one that sealed it can tell a damaged blob from a foreign one
    falls_back(d)


def panic(d):
    """release 3 has no init: the kernel panics, panic= restarts"""
    install(d, 3)
    d.vm.send('systemctl reboot')
    d.vm.wait('Kernel panic', 900)
    falls_back(d)


def hang(d):
    """release 5 hangs: nobody feeds the watchdog"""
    install(d, 5)
    d.vm.send('systemctl reboot')
    d.vm.wait('boot-test: hanging', 900)
    falls_back(d)


def sick(d):
    """release 6 fails its health check: it says so itself, and restarts"""
    install(d, 6)
    d.vm.send('systemctl reboot')
    d.up('B', 6, tries=0)
    falls_back(d, words='check 10-sensor failed with status 1')


def old_disk(d):
    """release 4, of a higher security epoch, is confirmed: yesterday's disk does not open under today's TPM"""
    install(d, 4)
    d.reboot('B', 4, tries=0)
    d.confirmed('B')
    d.vm.off()
    today = f'{d.work}/today.qcow2'
    shutil.move(d.vm.disk, today)
    copy(f'{d.prepared}/{os.path.basename(d.vm.disk)}', d.vm.disk)
    d.vm.start()
    refusal(d, 'A', 'TpmAuth')
    d.vm.cut()
    shutil.move(today, d.vm.disk)
    d.start('B', 4)
    d.vm.off()
    d.check('no attempt is counted in the TPM', d.lockout_counter() == 0)


def other_tpm(d):
    """the same disk with another TPM: nothing opens"""
    mine, other = d.vm.tpm, f'{d.work}/other-tpm'
    d.vm.cut()
    os.mkdir(other)
    d.vm.tpm = Tpm(other)
    try:
        d.vm.start()
        refusal(d, 'A', 'TpmCleared')
        d.vm.cut()
    finally:
        d.vm.cut()
        d.vm.tpm = mine
    d.start('A', 1)


def prepare(d):
    d.start('A', 1, tries=2)
    d.confirmed('A')
    d.run('all is quiet', 'sync')


Device('fallback', factory=['--tries', '1', '--more', '--health'], snapshots=True).scenarios(
    prepare, [flipped_block, no_unsealing, panic, hang, sick, old_disk, other_tpm])
