# SPDX-License-Identifier: LGPL-2.1-or-later
"""A device of factory.sh in the machine of vm.py: what every scenario needs, and how it says what it found."""

import atexit
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from consoles import Consoles
from efi import Efi
from loaders import Grub, SystemdBoot
from uboot import Uboot
from vm import Lost, Tpm, Vm

LOADERS = {cls.name: cls for cls in (Efi, Grub, SystemdBoot, Uboot)}
HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get('BUILD_ROOT', f'{HERE}/../../build')
NEEDS = ('qemu-system-x86_64', 'qemu-img', 'swtpm', 'mmdebstrap', 'mkfs.erofs', 'mkfs.vfat', 'mcopy', 'grub-editenv', 'sfdisk', 'depmod',
         'cpio', 'zstd', 'nginx', 'tpm2_getcap', 'dbus-daemon')


def skip(why):
    print(f'SKIP: {why}')
    sys.exit(77)


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def copy(source, destination):
    """A file or a directory, holes kept, in place of what is there."""
    subprocess.run(['rm', '-rf', destination], check=True)
    subprocess.run(['cp', '-a', '--sparse=always', source, destination], check=True)


def check_tools(loader):
    if os.geteuid() != 0:
        skip('needs root: file owners of the image')
    os.environ['PATH'] += ':/usr/sbin:/sbin'
    for needed in (*NEEDS, *loader.needs, *loader.firmware.needs):
        if not (os.path.exists(needed) if needed.startswith('/') else shutil.which(needed)):
            skip(f'no {needed}')


class Device:
    """From the factory; .vm is the machine.  Everything is gone when the script ends.  factory: options of factory.sh;
    snapshots: for prepare()."""

    def __init__(self, name, factory=(), loader='grub', snapshots=False):
        self.loader = LOADERS[loader]()
        check_tools(self.loader)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        self.begin = time.monotonic()
        self.n_failed = self.n_checks = 0
        self.nginx = self.vm = None
        self.port = free_port()
        self.work = tempfile.mkdtemp(prefix=f'reseal-{name}.', dir='/var/tmp')
        atexit.register(self._end)
        with open(f'{self.work}/factory.log', 'wb') as log:
            made = subprocess.run(['nice', '-n', '10', f'{HERE}/factory.sh', '--loader', loader, *factory, self.work, str(self.port)], stdout=log, stderr=log,
                                  check=False)
        if made.returncode != 0:
            print(open(f'{self.work}/factory.log', encoding='utf-8', errors='replace').read()[-4000:])
            sys.exit('the factory failed')
        self.took('the factory')
        self.nginx = subprocess.Popen(['nginx', '-c', f'{self.work}/nginx.conf', '-p', f'{self.work}/nginx'],
                                      stderr=subprocess.DEVNULL)
        disk = f'{self.work}/disk.img'
        if snapshots:
            disk = f'{self.work}/disk.qcow2'
            subprocess.run(['qemu-img', 'create', '-q', '-f', 'qcow2', '-F', 'raw', '-b', 'disk.img', disk], check=True)
        self.consoles = Consoles(f'{BUILD}/consoles/{name}')
        self.vm = Vm(f'{self.work}/vm', disk, Tpm(f'{self.work}/dev/tpm'), self.consoles, self.loader.firmware)

    def _end(self):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)   # a second one does not end the clearing away
        if self.vm:
            self.vm.cut()
        if self.nginx:
            self.nginx.terminate()
            self.nginx.wait()
        shutil.rmtree(self.work, ignore_errors=True)

    # -- what is said -------------------------------------------------------------------------------------------------

    def took(self, what, since=None):
        print(f'     {what}: {time.monotonic() - (since or self.begin):.1f} s', flush=True)

    def check(self, name, holds, otherwise=''):
        self.n_checks += 1
        self.n_failed += not holds
        print(f'{"ok  " if holds else "FAIL"} {name}', flush=True)
        if not holds and otherwise:
            print('     | ' + str(otherwise).replace('\n', '\n     | '), flush=True)
        return holds

    def finish(self):
        self.took('all of it')
        print(f'{self.n_checks - self.n_failed} of {self.n_checks} hold')
        sys.exit(self.n_failed != 0)

    def _attempt(self, steps):
        """A machine that is lost is a failure that shows the end of its console."""
        try:
            steps(self)
        except Lost as lost:
            self.check(str(lost), False, '\n'.join(f'{at:7.1f} {text}' for at, text in self.vm.lines[-40:]))

    def scenario(self, steps):
        """Runs steps(self), and that is all of the script."""
        self._attempt(steps)
        self.finish()

    # -- many scenarios from one state ------------------------------------------------------------------------------

    def _state(self):
        return self.vm.disk, self.vm.variables, self.vm.tpm.state

    def prepare(self):
        """Here every scenario begins: the running machine, its disk, its TPM.  In .prepared/."""
        self.vm.save('prepared')
        self.vm.cut()
        self.prepared = f'{self.work}/prepared'
        os.mkdir(self.prepared)
        for path in self._state():
            copy(path, f'{self.prepared}/{os.path.basename(path)}')

    def restore(self):
        self.vm.cut()
        for path in self._state():
            copy(f'{self.prepared}/{os.path.basename(path)}', path)
        self.vm.start(load='prepared')

    def scenarios(self, prepare, all_of_them):
        """prepare(self), then each scenario(self) from the state it left; or those that are named as arguments."""
        named = sys.argv[1:]
        unknown = set(named) - {scenario.__name__ for scenario in all_of_them}
        if unknown:
            sys.exit(f'unknown: {", ".join(unknown)}; known: {", ".join(s.__name__ for s in all_of_them)}')
        self._attempt(prepare)
        if self.n_failed == 0:
            self.prepare()
            for scenario in all_of_them:
                if not named or scenario.__name__ in named:
                    begin = time.monotonic()
                    print(f'---- {scenario.__name__}: {scenario.__doc__.splitlines()[0]}', flush=True)
                    self.restore()
                    self._attempt(scenario)
                    self.took(scenario.__name__, begin)
        self.finish()

    # -- what is done -------------------------------------------------------------------------------------------------

    def up(self, slot, release, tries=None, limit=900):
        """Waits for the system: the slot the loader chose, counted or not, and what the initramfs wrote about it."""
        first = len(self.vm.lines)
        at, found = self.vm.wait(r'boot-test: up release (\d+) slot=(\w+) manifest=([0-9a-f]{64})', limit)
        counted = self.loader.counted(text for _, text in self.vm.lines[first:])
        expected = [] if tries is None else [(slot, tries)]
        self.check(f'starts slot {slot} with release {release}, ' +
                   ('uncounted' if tries is None else f'{tries} attempts left'),
                   (found.group(1), found.group(2)) == (str(release), slot) and counted == expected,
                   f'{found.group(0)}\n{counted}')
        return at

    def start(self, slot, release, tries=None):
        self.vm.start()
        at = self.up(slot, release, tries)
        self.took(f'power on to slot {slot}', time.monotonic() - at)

    def reboot(self, slot, release, tries=None):
        begin = time.monotonic()
        self.vm.send('systemctl reboot')
        self.up(slot, release, tries)
        self.took(f'restart to slot {slot}', begin)

    def run(self, name, command, limit=900):
        status, output = self.vm.run(command, limit)
        self.check(name, status == 0, output)
        return output

    def until(self, command, pattern, limit=900):
        """Asks again until the answer matches; the last answer."""
        end = time.monotonic() + limit
        while True:
            output = self.vm.run(command, limit)[1]
            if re.search(pattern, output):
                return output
            if time.monotonic() > end:
                raise Lost(f'"{command}" does not say "{pattern}": {output}')
            time.sleep(0.3)

    def confirmed(self, slot):
        """reseal-health has marked the running slot good, for us and for the loader."""
        self.until('resealctl slots', rf'rootfs\.{slot.lower()} .* good, running')
        self.boot_state(f'the health check marks slot {slot} good', {slot: 'good'})

    def boot_state(self, name, expected, on_disk=False):
        """That the loader's own state says what is expected; on_disk: of a machine that is off."""
        state = self.loader.state_on_disk(self) if on_disk else self.loader.state(self)
        return self.check(name, expected.items() <= state.items(), state)

    def url(self, name):
        return f'https://source.example:{self.port}/{name}'

    def source_is_quick(self):
        """Takes the brake off /slow/."""
        with open(f'{self.work}/nginx.conf', 'r+', encoding='ascii') as f:
            text = re.sub(r'limit_rate \w+;', '', f.read())
            f.seek(0)
            f.truncate()
            f.write(text)
        self.nginx.send_signal(signal.SIGHUP)

    def bundle_id(self, name):
        said = subprocess.run([f'{BUILD}/src/bundle/reseal-bundle', 'info', f'{self.work}/{name}'], stdout=subprocess.PIPE, text=True,
                              check=True).stdout
        return re.search(r'^\s*id\s+(\w+)', said, re.M).group(1)

    def lockout_counter(self):
        """Of the TPM that the machine had; the machine is off."""
        server = f'{self.work}/tpm.sock'
        process = subprocess.Popen(['swtpm', 'socket', '--tpm2', '--tpmstate', f'dir={self.work}/dev/tpm', '--server',
                                    f'type=unixio,path={server}', '--ctrl', f'type=unixio,path={server}.ctrl', '--flags',
                                    'not-need-init,startup-clear'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            for _ in range(600):
                said = subprocess.run(['tpm2_getcap', '-T', f'swtpm:path={server}', 'properties-variable'], text=True,
                                      stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False).stdout
                found = re.search(r'TPM2_PT_LOCKOUT_COUNTER: (\w+)', said)
                if found:
                    return int(found.group(1), 0)
                time.sleep(0.1)
        finally:
            process.kill()
            process.wait()
        return None
