#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The power fails, again and again, at moments spread over update, commit, trial and confirmation; the device comes back
to a verified system each time and in the end is where it would have been without (DESIGN.md 8, S12, T of power).

    cuts.py [--moments N]        30 by default; one start of the machine each

A moment is a step that the writer tells in its journal (W1 to W12), or a line of the loader, of the initramfs or of the
system that has started; the cut follows as soon as it is seen outside.  At every third one the TPM dies first and the
machine goes on without it for a while.  Updates follow each other, A to B to A, the last one with a higher security
epoch, so that the floor rises.  The memory of the emulator's host keeps what the guest has written: writes that a disk
loses are the subject of tests/power/replay."""

import argparse
import re
import time

from device import Device
from vm import Lost

STEPS = ['W1 record', 'W2 unbootable', 'W3 erase', 'W4 frames', 'W5 finish', 'W6 commit', 'W7 accept', 'W8 try']
TRIAL = ['the loader', 'the initramfs', 'the system']
FOLLOW = ("setsid sh -c 'journalctl -b -f -n all -o cat -u reseal-writer | while read -r l; do echo \"boot-test: $l\"; done "
          ">/dev/console' >/dev/null 2>&1 </dev/null &")
PER_UPDATE = len(STEPS) + len(TRIAL) + 2
UP = r'boot-test: up release (\d+) slot=(\w+) manifest=([0-9a-f]{64})'


class Passed(Exception):
    """The moment cannot come any more."""


class Course:
    def __init__(self, d, moments):
        self.d, self.left, self.made, self.passed = d, moments, 0, 0
        self.every, self.n = max(1, PER_UPDATE // moments), 0
        self.running, self.release = 'A', 1

    def wants(self):
        """All moments, or every 2nd, 3rd ... of an update, when fewer were asked for than it has."""
        self.n += 1
        return self.left > 0 and self.n % self.every == 0

    # -- one moment -------------------------------------------------------------------------------------------------------

    def await_step(self, steps, over):
        """The first of these steps that the writer tells on the console; Passed when `over` is true and what was told until then has
        had time to arrive.  One that was done when the power failed is not told again."""
        vm, end, passed = self.d.vm, time.monotonic() + 1200, None
        while time.monotonic() < end:
            for _, text in vm.lines[vm.seen:]:
                vm.seen += 1
                for step in steps:
                    if f'boot-test: step {step}' in text:
                        return step
            if not vm._drain(0.5):
                raise Lost(f'the machine went away before {steps[0]}')
            if vm.lines[vm.seen:]:
                continue
            if passed and time.monotonic() > passed:
                raise Passed
            if not passed and over():
                passed = time.monotonic() + 10
        raise Lost(f'no {steps[0]}')

    def cut(self, name):
        vm = self.d.vm
        if self.made % 3 == 2:
            vm.tpm.cut()
            for _ in range(4):
                vm._drain(0.5)
        vm.cut()
        self.made += 1
        self.left -= 1
        state = self.d.loader.state_on_disk(self.d)
        self.d.check(f'{self.made}: cut at {name}; the running slot can be started', state[self.running] not in (0, None), state)

    def start(self, allowed):
        """Power on; what starts is verified and one of what may start: {slot: release}."""
        self.d.vm.start()
        at, found = self.d.vm.wait(UP, 1200)
        slot, release = found.group(2), int(found.group(1))
        self.d.check(f'starts slot {slot} with release {release}', allowed.get(slot) == release, f'{found.group(0)} {allowed}')
        self.d.took(f'power on to slot {slot}', time.monotonic() - at)
        self.d.vm.run(FOLLOW)
        return slot

    # -- an update --------------------------------------------------------------------------------------------------------

    def on_trial(self, target):
        return re.search(rf'rootfs\.{target.lower()} .* on trial, \d (tries|try) left, next boot', self.d.vm.run('resealctl slots')[1])

    def install(self, bundle):
        """Goes on by itself where there is a job; else it is asked for.  Both at once is refused, and no harm."""
        self.d.vm.run(f'setsid resealctl install {self.d.url(bundle)} >/run/install.log 2>&1 </dev/null &')

    def written(self, bundle, release, target):
        """Cuts at the steps of an installation, until it is complete; the machine runs then."""
        todo = STEPS
        while todo:
            if not self.wants():
                todo = todo[1:]
                continue
            self.install(bundle)
            try:
                step = self.await_step(todo, lambda: self.on_trial(target))
            except Passed:
                self.passed += len(todo)
                break
            self.passed += todo.index(step)
            todo = todo[todo.index(step) + 1:]
            self.cut(step)
            if self.start({self.running: self.release, target: release}) == target:
                return True
        self.install(bundle)
        end = time.monotonic() + 1800
        while not self.on_trial(target):
            if time.monotonic() > end:
                raise Lost(f'{bundle} is not installed: ' + self.d.vm.run('cat /run/install.log; resealctl slots')[1])
            time.sleep(1)
        return False

    def tried(self, release, target, runs):
        """Cuts while the new slot starts: they cost attempts and nothing else.  runs: it does already, after a cut at the last step."""
        lines = [r'Reseal: trying slot', r'initramfs: unlocked', r'boot-test: up']
        if runs:
            self.d.vm.cut()
        else:
            self.d.vm.off()
        self.d.vm.start()
        for name, line in zip(TRIAL, lines):
            if not self.wants():
                continue
            self.d.vm.wait(line, 1200)
            self.cut(name)
            self.d.vm.start()
        _, found = self.d.vm.wait(UP, 1200)
        self.d.check(f'slot {target} runs release {release}', (found.group(1), found.group(2)) == (str(release), target),
                     found.group(0))
        self.d.vm.run(FOLLOW)

    def confirmed(self, release, target, steps):
        for step in steps:
            if not self.wants():
                continue
            self.d.until('resealctl status', rf'Running +{target}')
            self.d.vm.run('setsid resealctl mark good >/run/mark.log 2>&1 </dev/null &')
            try:
                self.await_step([step], lambda: self.d.loader.state(self.d)[target] == 'good' and 'W11' not in step)
            except Passed:
                self.passed += 1
                continue
            self.running, old = target, self.running
            self.cut(step)
            self.running = old
            self.start({target: release})
        self.d.until('resealctl status', rf'Running +{target}')
        # A job that was cut at its last step finds out first that it has ended; until then the answer is Busy.
        self.d.until('resealctl mark good', 'is marked good')
        self.d.boot_state(f'slot {target} is good and first', {target: 'good', 'first': target})

    def update(self, bundle, release, steps):
        target = 'B' if self.running == 'A' else 'A'
        begin = time.monotonic()
        runs = self.written(bundle, release, target)
        self.tried(release, target, runs)
        self.confirmed(release, target, steps)
        self.running, self.release = target, release
        self.d.took(f'{bundle} to slot {target}, {self.made} moments so far', begin)


def steps(moments):
    def run(d):
        d.start('A', 1, tries=2)
        d.until('resealctl status', r'Running +A')
        d.run('slot A is marked good', 'resealctl mark good')
        d.vm.run(FOLLOW)
        c = Course(d, moments)
        n = 0
        while c.left > 0 and n < 12:
            last = c.left <= PER_UPDATE
            c.update('r4.rsb' if last else 'r2.rsb', 4 if last else 2, ['W10 good', 'W11 floor'] if last else ['W10 good'])
            n += 1
        d.vm.off()
        d.check(f'{c.made} cuts of {moments} were made ({c.passed} moments had passed)', c.left == 0)
        d.check('no attempt is counted in the TPM', d.lockout_counter() == 0)
    return run


parser = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
parser.add_argument('--moments', type=int, default=30)
Device('cuts', factory=['--tries', '9', '--more']).scenario(steps(parser.parse_args().moments))
