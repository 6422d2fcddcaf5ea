#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""It boots: firmware, GRUB with the shipped reseal.cfg, reseal-unlock, root on dm-verity over dm-crypt, the shipped units.

One update A to B over mutual TLS.  The power is cut (machine and TPM) while B is being written; the device starts
from A again, goes on by itself, restarts into B on trial and is confirmed (S12, S13; DESIGN.md 8)."""

import glob
import os
import time

from device import Device

CUT_AT = r'^t [1-9]\d{7}'       # ten million bytes or more are written and proven


def cut_while_writing(d):
    """From a slow source, so that the cut comes before the end however slow the machine is."""
    ticket = os.path.relpath(glob.glob(f'{d.work}/www/tickets/{d.bundle_id("r2.rsb")}/*.rst')[0], f'{d.work}/www')
    d.vm.run(f'setsid resealctl install --ticket {d.url(ticket)} {d.url("slow/r2.rsb")} >/run/install.log 2>&1 &')
    begin = time.monotonic()
    d.until('job=$(busctl call org.reseal1 /org/reseal1 org.reseal1.Manager ListJobs | grep -o "/org/reseal1/job/[0-9]*") && '
            'busctl get-property org.reseal1 $job org.reseal1.Job DoneBytes; cat /run/install.log', CUT_AT)
    d.vm.cut()
    d.took('writing until the cut', begin)
    env = d.environment_on_disk()
    d.check('after the cut slot B is not startable', env.get('B_OK') == '0' and env.get('B_TRY') == '0', env)
    d.source_is_quick()


def goes_on(d):
    begin = time.monotonic()
    d.until('resealctl slots', r'rootfs\.b .* on trial, 3 tries left, next boot')
    d.took('going on after the cut', begin)
    env = d.environment()
    d.check('slot B is next, on trial', env.get('ORDER') == 'B A' and env.get('B_OK') == '0' and env.get('B_TRY') == '3', env)


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


Device('boot', factory=['--health']).scenario(steps)
