#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""tour.py LOADER: A to B to A again over that loader, with the files of conf/boot/ (S4, S12, S73; DESIGN.md 8).

The power is cut while B is being written and once more while B is tried: it costs an attempt and nothing else.  Then a release
that panics uses up its attempts in slot A, and B goes on; the next release runs in A.  efi: Secure Boot as well (efi.py);
uboot: damaged copies of the environment, and what the environment must not decide (uboot.py)."""

import sys
import time

from device import Device
from writing import cut_while_writing, goes_on


def tried(d):
    """Slot B starts for the first time; where there are several attempts, the power fails in the middle of the first one."""
    begin = time.monotonic()
    d.vm.send('systemctl reboot')
    left = d.loader.tries - 1
    if left:
        d.vm.wait('initramfs: unlocked', 900)
        d.vm.cut()
        d.boot_state('the attempt is counted', {'first': 'B', 'A': 'good', 'B': left}, on_disk=True)
        left -= 1
        d.vm.start()
    d.up('B', 2, tries=left)
    d.took('to slot B', begin)
    d.confirmed('B')


def panics(d):
    d.run('release 3, which has no init, is installed to slot A', f'resealctl install {d.url("r3.rsb")}')
    d.boot_state('slot A is next, on trial', {'first': 'A', 'A': d.loader.tries, 'B': 'good'})
    begin = time.monotonic()
    first = len(d.vm.lines)
    d.vm.send('systemctl reboot')
    for _ in range(d.loader.tries):
        d.vm.wait('Kernel panic', 900)
    d.vm.wait('boot-test: up release 2 slot=B', 900)
    d.took('back to slot B', begin)
    counted = d.loader.counted(text for _, text in d.vm.lines[first:])
    d.check(f'slot A was tried {d.loader.tries} times, then B goes on, uncounted',
            counted == [('A', left) for left in reversed(range(d.loader.tries))], counted)
    d.until('resealctl slots', 'failed its trial')
    d.boot_state('slot A is not startable any more', {'first': 'B', 'A': 0, 'B': 'good'})


def steps(d):
    d.loader.made(d)
    d.confirmed('A')
    cut_while_writing(d)
    d.start('A', 1)
    goes_on(d)
    tried(d)
    panics(d)
    d.run('release 4 is installed to slot A', f'resealctl install {d.url("r4.rsb")}')
    d.reboot('A', 4, tries=d.loader.tries - 1)
    d.confirmed('A')
    d.loader.after(d)
    d.vm.off()
    d.check('no attempt is counted in the TPM', d.lockout_counter() == 0)


loader = sys.argv[1]
Device(f'tour-{loader}', loader=loader, factory=['--tries', '1' if loader == 'efi' else '3', '--more', '--health']).scenario(steps)
