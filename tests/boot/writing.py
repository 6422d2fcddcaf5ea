# SPDX-License-Identifier: LGPL-2.1-or-later
"""An update of slot B that is cut while it is written, and goes on by itself."""

import glob
import os
import time

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
    d.boot_state('after the cut slot B is not startable', {'A': 'good', 'B': 0, 'first': 'A'}, on_disk=True)
    d.source_is_quick()


def goes_on(d):
    begin = time.monotonic()
    tries = d.loader.tries
    d.until('resealctl slots', rf'rootfs\.b .* on trial, {tries} (tries|try) left, next boot')
    d.took('going on after the cut', begin)
    d.boot_state('slot B is next, on trial', {'first': 'B', 'A': 'good', 'B': tries})
