#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""It boots: firmware, GRUB with the shipped reseal.cfg, reseal-unlock, root on dm-verity over dm-crypt, the shipped units.

An update A to B over mutual TLS, restart into it, confirmed; another to A with the power cut (machine and TPM) in its
middle, which goes on by itself and boots (S12, S13; DESIGN.md 8)."""

import glob
import os
import time

from device import Device


def install(d, to):
    begin = time.monotonic()
    d.run(f'release 2 is installed to slot {to}', f'resealctl install {d.url("r2.rsb")}')
    d.took(f'installing to slot {to}', begin)


def confirm(d, slot):
    d.until('resealctl status', rf'Running +{slot}')
    d.run(f'slot {slot} is marked good', 'resealctl mark good')
    env = d.environment()
    d.check(f'slot {slot} is good for the loader', env.get(f'{slot}_OK') == '1', env)


def cut_while_writing(d):
    """To slot A, from a slow source; cut when between a quarter and all of it has been written."""
    ticket = os.path.relpath(glob.glob(f'{d.work}/www/tickets/{d.bundle_id("r2.rsb")}/*.rst')[0], f'{d.work}/www')
    d.vm.run(f'setsid resealctl install --ticket {d.url(ticket)} {d.url("slow/r2.rsb")} >/run/install.log 2>&1 &')
    d.until('job=$(busctl call org.reseal1 /org/reseal1 org.reseal1.Manager ListJobs | grep -o "/org/reseal1/job/[0-9]*") && '
            'busctl get-property org.reseal1 $job org.reseal1.Job DoneBytes; cat /run/install.log', r'^t [1-9]\d{7}')
    d.vm.cut()


def steps(d):
    d.start('A', 1, tries=2)
    d.run('root is mounted from dm-verity, read-only', "findmnt -n -o SOURCE,OPTIONS / | grep -E '^/dev/mapper/root +ro'")
    print('     ' + d.run('the kernel log tells of the unlocking', 'dmesg | grep reseal-unlock'))
    confirm(d, 'A')
    install(d, 'B')
    env = d.environment()
    d.check('slot B is next, on trial', env.get('ORDER') == 'B A' and env.get('B_OK') == '0' and env.get('B_TRY') == '3', env)
    d.reboot('B', 2, tries=2)
    confirm(d, 'B')

    cut_while_writing(d)
    d.start('B', 2)
    d.check('after the cut slot A is not startable', d.environment().get('A_TRY') == '0', d.environment())
    begin = time.monotonic()
    d.until('resealctl slots', r'rootfs\.a .* on trial, 3 tries left, next boot')
    d.took('going on after the cut', begin)
    d.reboot('A', 2, tries=2)
    confirm(d, 'A')
    d.vm.off()
    d.check('no attempt is counted in the TPM', d.lockout_counter() == 0)


Device('boot').scenario(steps)
