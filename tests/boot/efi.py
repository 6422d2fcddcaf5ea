# SPDX-License-Identifier: LGPL-2.1-or-later
"""The firmware as bootloader: a signed unified kernel image for each slot, started by an entry of its own, under Secure Boot with keys
of one's own (docs/boot.md, "EFI")."""

import base64
import os
import re
import struct
import subprocess

from loaders import Loader, partition
from vm import Ovmf

VARIABLES = '/sys/firmware/efi/efivars'
GUID = '8be4df61-93ca-11d2-aa0d-00e098032b8c'
DATABASES = {'db': 'd719b2cb-3d3a-4596-a3bc-dad00e67656f', 'KEK': GUID, 'PK': GUID}     # PK last: it closes setup mode
AUTHENTICATED = r'\x27\0\0\0'    # non-volatile, boot services, runtime, time-based authenticated write access


class Efi(Loader):
    name = 'efi'
    firmware = Ovmf(secure=True, chosen=False)
    needs = ('sbsign', 'cert-to-efi-sig-list', 'sign-efi-sig-list', '/usr/lib/systemd/boot/efi/linuxx64.efi.stub')
    tries = 1

    def __init__(self):
        self.slots = {}     # number of an entry: slot

    def _told(self, order, following, good):
        known = [self.slots[n] for n in order if n in self.slots]
        trial = self.slots.get(following)
        state = {slot: 'good' if slot in known and slot in good else 0 for slot in 'AB'}
        if trial and state[trial] != 'good':
            state[trial] = 1
        return {**state, 'first': trial or (known or [''])[0]}

    def state(self, d):
        # cat: there is no seeking in efivarfs
        said = d.vm.run(f'cd {VARIABLES}; for v in BootOrder BootNext; do '
                        f'echo $v $(cat $v-{GUID} | tail -c +5 | od -An -tu2); done; echo good $(cat /var/lib/reseal-writer/good)')[1]
        value = {words[0]: words[1:] for words in map(str.split, said.splitlines()) if words}
        return self._told([int(n) for n in value.get('BootOrder', [])], int((value.get('BootNext') or ['-1'])[0]), value.get('good', []))

    def state_on_disk(self, d):
        """Order and next of the firmware's variables; what is good stands in an encrypted volume, so a slot in the order counts."""
        values = {}
        with open(d.vm.variables, 'rb') as f:
            flash = f.read()
        # edk2's authenticated variables: 55 AA, state 3F, attributes, ..., sizes of name and data, GUID of the owner
        for found in re.finditer(rb'\xaa\x55\x3f\x00', flash):
            name_size, data_size = struct.unpack_from('<II', flash, found.start() + 36)
            at = found.start() + 60
            if name_size < 64:
                name = flash[at:at + name_size].decode('utf-16-le', 'replace').rstrip('\0')
                values[name] = flash[at + name_size:at + name_size + data_size]
        order = [n for n, in struct.iter_unpack('<H', values.get('BootOrder', b''))]
        following = struct.unpack('<H', values['BootNext'])[0] if values.get('BootNext') else -1
        return self._told(order, following, 'AB')

    def counted(self, lines):
        starts = []
        for found in filter(None, (re.search(r'boot-test: efi: current (\d+) order ([\d ]+)', text) for text in lines)):
            current, order = int(found.group(1)), [int(n) for n in found.group(2).split()]
            if current != next((n for n in order if n in self.slots), None):
                starts.append((self.slots.get(current), 0))
        return starts

    # -- in the factory -----------------------------------------------------------------------------------------------

    def made(self, d):
        """The commands of docs/boot.md, and the keys.  No key is there yet, so the firmware starts an image that nobody signed."""
        d.vm.start()
        d.vm.wait('boot-test: up release 1 slot=A', 900)
        for slot in 'AB':
            d.run(f'the entry of slot {slot} is made', rf"efibootmgr -q -C -d /dev/vda -p 1 -L 'Reseal {slot}' -l '\reseal\{slot}.efi'")
        told = d.vm.run('efibootmgr')[1]
        self.slots = {int(n, 16): slot for n, slot in re.findall(r'Boot([0-9A-F]{4})\* Reseal ([AB])', told)}
        d.run('slot A is the first', f'efibootmgr -q -o {self._number("A"):04X}')
        for name, owner in DATABASES.items():
            with open(f'{d.work}/secure-boot/{name}.auth', 'rb') as f:
                update = base64.b64encode(f.read()).decode()
            d.run(f'{name} is enrolled', f"{{ printf '{AUTHENTICATED}'; echo {update} | base64 -d; }} >/run/update && "
                  f'dd if=/run/update of={VARIABLES}/{name}-{owner} bs=64k status=none')
        d.reboot('A', 1)
        d.run('Secure Boot is on', f'test $(cat {VARIABLES}/SecureBoot-{GUID} | tail -c 1 | od -An -tu1) = 1 && dmesg | grep -i "secure boot enabled"')

    def _number(self, slot):
        return next(n for n, s in self.slots.items() if s == slot)

    # -- Secure Boot --------------------------------------------------------------------------------------------------

    def _put(self, d, file):
        """In place of slot B's image, on the disk of a machine that is off."""
        where = f'{d.vm.disk}@@{partition(d, "ESP")[0]}'
        subprocess.run(['mcopy', '-o', '-i', where, file, '::/reseal/B.efi'], check=True)

    def after(self, d):
        """What is not signed with the key in db does not start; the slot that is good does."""
        changed = f'{d.work}/B-changed.efi'
        with open(f'{d.work}/B.efi', 'rb') as f:
            image = f.read()
        with open(changed, 'wb') as f:
            f.write(image.replace(b'reseal.slot=B', b'reseal.slot=A', 1))
        for what, file in (('without a signature', 'B-unsigned.efi'), ('signed with another key', 'B-other.efi'),
                           ('with another command line', 'B-changed.efi'), ('of the factory', 'B.efi')):
            d.run('slot B shall be started once', f'efibootmgr -q -n {self._number("B"):04X}')
            d.vm.off()
            self._put(d, f'{d.work}/{file}')
            d.vm.start()
            if file == 'B.efi':     # it starts, so it was the signature; release 2 in it is from before the security epoch
                d.vm.wait(r'reseal-unlock: slot B cannot be started: .*TpmAuth', 900)
                d.check('slot B\'s image of the factory is started by the firmware', True)
            d.up('A', 4)
            if file != 'B.efi':
                d.check(f'an image {what} is not started', d.vm.n_restarts == 0 and not d.vm.find('reseal-unlock: slot B'))
