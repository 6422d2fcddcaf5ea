#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""damaged.py LOADER: a slot that is good does not start, and the other good one does (docs/decisions/010).

Slot B, good and first, loses its LUKS2 header while the machine is off.  Its starts are counted, slot A runs and tells it, B is
tried again at the next start; then A's header is gone, too, and each is tried in turn, for ever; then B has its header again and
runs, tells of A, and A is written again by an update."""

import re
import sys

from device import Device
from loaders import partition

HEADER = 32768      # two copies of it, 16 KiB each; nothing is written behind them
REFUSED = r'reseal-unlock: slot (\w) cannot be started: .*\((\w+)\)'
UP = r'boot-test: up release (\d+) slot=(\w)'


class Header:
    """Of a slot, on the disk of a machine that is off."""

    def __init__(self, d, slot):
        self.disk, self.at = d.vm.disk, partition(d, f'reseal-slot-rootfs-{slot.lower()}')[0]
        with open(self.disk, 'rb') as disk:
            disk.seek(self.at)
            self.bytes = disk.read(HEADER)

    def _write(self, data):
        with open(self.disk, 'r+b') as disk:
            disk.seek(self.at)
            disk.write(data)

    def damage(self):
        self._write(bytes(HEADER))

    def repair(self):
        self._write(self.bytes)


def story(d, until, limit=20):
    """What the machine does from now on, as 'B! B! A': each refusal, and the slot that comes up; until that matches."""
    said = ''
    while not re.search(until, said.strip()) and len(said.split()) < limit:
        _, found = d.vm.wait(f'{REFUSED}|{UP}', 900)
        said += f'{found.group(1)}! ' if found.group(1) else f'{found.group(4)} '
    return said.strip()


def told(d, slot):
    """The running slot says what became of the other one, in its slots and in the journal of reseald."""
    shown = d.until('resealctl slots', rf'rootfs\.{slot.lower()} .*good, did not start.*\n.*')
    words = re.search(rf'rootfs\.{slot.lower()} .*\n +(.*)', shown).group(1)
    d.check(f'slot {slot} is shown as one that did not start', words != '', shown)
    d.until('journalctl -b -u reseald --no-pager', 'which is good, did not start')
    print(f'     {words}')
    return words


def first_counted(d):
    return d.loader.name in ('grub', 'uboot')       # three starts of a good slot; one on the others


def both_good(d):
    d.loader.made(d)
    d.confirmed('A')
    d.run('release 2 is installed to slot B', f'resealctl install {d.url("r2.rsb")}')
    d.reboot('B', 2, tries=d.loader.tries - 1)
    d.confirmed('B')
    d.boot_state('both slots are good, B is first', {'first': 'B', 'A': 'good', 'B': 'good'})


def steps(d):
    both_good(d)
    d.vm.off()
    b = Header(d, 'B')
    b.damage()
    d.vm.start()
    expected = 'B! B! B! A' if first_counted(d) else 'B! A'
    said = story(d, 'A$')
    d.check(f'the good slot is counted, then the other one starts: {expected}', said == expected, said)
    words = told(d, 'B')
    if d.loader.name != 'uboot':
        d.check('the reason of the initramfs is told', '(Volume)' in words, words)
        d.run('and stands in the kernel\'s log', "dmesg | grep 'refused at an earlier start: slot=B reason=Volume'")
    d.run('the older release is told to run', 'resealctl chain | grep RunningBelowAccepted')
    d.boot_state('both are good as before, B is first', {'first': 'B', 'A': 'good', 'B': 'good'})
    d.vm.send('systemctl reboot')
    said = story(d, 'A$')
    d.check('the first one is tried again, once, at the next start: B! A', said == 'B! A', said)
    d.vm.off()

    a = Header(d, 'A')
    a.damage()
    d.vm.start()
    said = story(d, 'A! B! A!')
    d.check('where neither opens each is tried in turn', said.endswith('A! B! A!') and len(said.split()) < 10, said)
    d.vm.cut()

    b.repair()
    d.vm.start()
    said = story(d, 'B$')
    d.check('what opens again is started again', said in ('B', 'A! B', 'A! A! B', 'A! A! A! B'), said)
    d.until('resealctl slots', r'rootfs\.b .* good, running')
    if 'A!' in said:
        told(d, 'A')
    if d.loader.name == 'grub':     # nothing in it is the loader's
        d.run('release 4 is installed over what is damaged', f'resealctl install {d.url("r4.rsb")}')
        d.reboot('A', 4, tries=d.loader.tries - 1)
        d.confirmed('A')
    d.vm.off()
    d.check('no attempt is counted in the TPM', d.lockout_counter() == 0)


loader = sys.argv[1]
Device(f'damaged-{loader}', loader=loader, factory=['--tries', '1' if loader == 'efi' else '3', '--more', '--health']).scenario(steps)
