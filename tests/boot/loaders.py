# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the scenarios (tour.py, damaged.py) ask of a bootloader, one class for each that factory.sh knows (efi.py has another one).

The boot state is told the same way for all of them: {'first': 'B', 'A': 'good', 'B': 2}: a number is attempts left of a
slot that is not good, 0 one that is not started.

    firmware              what Vm starts: the machine's side of it
    needs                 programs and files of this machine, beside those of device.NEEDS
    state(d)              asked in the guest
    state_on_disk(d)      of a machine that is off, from its disk alone
    counted(lines)        the starts that the loader has counted, by lines of the console: [(slot, attempts left)]
    made(d)               from the factory to the first start of slot A, on trial
    after(d)              what else there is to see of this loader, at the end of tour.py; slot A runs"""

import json
import os
import re
import subprocess

from vm import Ovmf

TRYING = re.compile(r'Reseal: trying slot (\w+), attempts left after this one: (\d+)')


def partition(d, name):
    """Where it begins and how long it is, in bytes."""
    table = json.loads(subprocess.run(['sfdisk', '--json', d.vm.disk], stdout=subprocess.PIPE, check=True).stdout)
    part = next(p for p in table['partitiontable']['partitions'] if p.get('name') == name)
    return part['start'] * 512, part['size'] * 512


def variables(text):
    return dict(line.split('=', 1) for line in re.split(r'[\n\0]+', text) if '=' in line)


def of_variables(env, order, good, left):
    """The state of a loader that keeps an order, and a mark and a number for each slot: the names of the variables."""
    state = {}
    for slot in 'AB':
        number = env.get(left.format(slot))
        state[slot] = 'good' if env.get(good.format(slot)) == '1' else int(number) if number else None
    # a slot whose attempts are used up stays where it is in the order
    return {**state, 'first': next((slot for slot in env.get(order, '').split() if state.get(slot)), '')}


class Loader:
    needs = ()
    tries = 3       # of a new slot, unless a scenario wants fewer

    def counted(self, lines):
        return [(found.group(1), int(found.group(2))) for found in map(TRYING.search, lines) if found]

    def made(self, d):
        d.start('A', 1, tries=self.tries - 1)

    def after(self, d):
        pass


class Grub(Loader):
    name = 'grub'
    firmware = Ovmf()
    needs = ('grub-mkimage', 'grub-editenv', 'debugfs', '/usr/lib/grub/x86_64-efi/loadenv.mod')

    @staticmethod
    def _told(env):
        return of_variables(env, 'ORDER', '{}_OK', '{}_TRY')

    def state(self, d):
        return self._told(variables(d.vm.run("tr -d '\\0' </boot/reseal/grubenv")[1]))

    def state_on_disk(self, d):
        start, size = partition(d, 'reseal-boot')
        image = f'{d.work}/boot-partition'
        with open(d.vm.disk, 'rb') as disk, open(image, 'wb') as copy:
            disk.seek(start)
            copy.write(disk.read(size))
        block = subprocess.run(['debugfs', '-c', '-R', 'cat /grubenv', image], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                               check=True).stdout.decode('ascii', 'replace')
        os.unlink(image)
        return self._told(variables(block))


class SystemdBoot(Loader):
    """The names of the entries that start something, as the initramfs tells them too, before anybody here can change them."""
    name = 'systemd-boot'
    firmware = Ovmf()
    needs = ('/usr/lib/systemd/boot/efi/systemd-bootx64.efi',)
    ENTRY = re.compile(r'reseal-(\d+)-([AB])(?:\+(\d+)(?:-\d+)?)?\.conf', re.I)

    def _told(self, names):
        state, first = {'first': '', 'A': 0, 'B': 0}, -1
        for found in filter(None, map(self.ENTRY.fullmatch, names)):
            slot = found.group(2).upper()
            if found.group(3) is None:
                state[slot] = 'good'
            elif state[slot] != 'good':
                state[slot] = int(found.group(3))
            if found.group(3) != '0' and int(found.group(1)) > first:
                first, state['first'] = int(found.group(1)), slot
        return state

    def state(self, d):
        return self._told(d.vm.run("cd /boot/loader/entries && grep -l '^linux' *.conf")[1].split())

    def state_on_disk(self, d):
        where, to = f'{d.vm.disk}@@{partition(d, "ESP")[0]}', f'{d.work}/entries'
        subprocess.run(['rm', '-rf', to], check=True)
        subprocess.run(['mcopy', '-s', '-n', '-i', where, '::/loader/entries', to], check=True)
        names = []
        for name in os.listdir(to):
            with open(f'{to}/{name}', 'rb') as f:
                names += [name] if b'\nlinux ' in f.read() else []
        return self._told(names)

    def counted(self, lines):
        starts = []
        for slot, *names in (text.split('entries:')[1].split() for text in lines if 'boot-test: entries:' in text):
            state = self._told(names)
            if state[slot] != 'good':
                starts.append((slot, state[slot]))
        return starts

