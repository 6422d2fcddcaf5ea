# SPDX-License-Identifier: LGPL-2.1-or-later
"""A whole machine: QEMU (TCG) with firmware, disk, network and a TPM of its own.

    tpm = Tpm(directory)                       # state survives, as in a chip
    vm = Vm(directory, disk, tpm, consoles)    # directory: sockets, the firmware's variables; consoles: Consoles, what
                                               # keeps the console of each start
    vm.start()                                 # power on
    vm.wait('boot-test: up', seconds)          # a line of the console that matches; Lost if it does not come; goes
                                               # with the guest through its restarts
    vm.run('resealctl status')                 # in the guest, through a virtio port: (exit status, output)
    vm.cut()                                   # power off, in the middle of whatever it does
    vm.off()                                   # shut down properly
    vm.save('up')  vm.start(load='up')         # the running machine into its disk, and on from there; disk: a qcow2

Waits are for lines and answers, never for an amount of time; the limits only end what hangs.  Everything that is
started here is ended here, by its process id, also when the script dies (PR_SET_PDEATHSIG)."""

import ctypes
import json
import os
import re
import select
import signal
import socket
import subprocess
import time

PR_SET_PDEATHSIG = 1
RESTARTS_MAX = 20
ESCAPES = re.compile(r'\x1b\[[0-9;?=]*[A-Za-z]|\x1b[()][A-Z0-9]|[\x00-\x08\x0b-\x1f]')


class Lost(Exception):
    """What was waited for did not come."""


def _dies_with_us():
    """Not behind everybody else, whoever started us: no board loses its processor for most of a second, and a firmware's
    driver that sees that says that its medium does not answer."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setpriority(os.PRIO_PROCESS, 0, 0)


class Tpm:
    def __init__(self, state, level=1):
        self.state, self.level = state, level
        self.socket = os.path.join(state, 'vm.sock')
        self.process = None

    def start(self):
        if os.path.exists(self.socket):
            os.unlink(self.socket)
        self.process = subprocess.Popen(
            ['swtpm', 'socket', '--tpm2', '--tpmstate', f'dir={self.state}', '--ctrl', f'type=unixio,path={self.socket}',
             '--log', f'file={self.state}/vm.log,level={self.level},truncate', '--terminate'], preexec_fn=_dies_with_us)
        end = time.monotonic() + 60
        while not os.path.exists(self.socket):
            if self.process.poll() is not None or time.monotonic() > end:
                raise Lost('swtpm does not start')
            time.sleep(0.02)

    def cut(self):
        """No TPM2_Shutdown, no chance to save anything."""
        if self.process and self.process.poll() is None:
            self.process.kill()
        if self.process:
            self.process.wait()
            self.process = None


class Ovmf:
    """UEFI, with the disk on virtio.  secure: the one with Secure Boot, whose variables only System Management Mode can write, without
    keys; chosen: the firmware is told to start the disk first, which makes BootOrder anew at each start."""

    VARIABLES = '/usr/share/OVMF/OVMF_VARS_4M.fd'

    def __init__(self, secure=False, chosen=True):
        self.secure, self.chosen = secure, chosen
        self.code = '/usr/share/OVMF/OVMF_CODE_4M.secboot.fd' if secure else '/usr/share/OVMF/OVMF_CODE_4M.fd'
        self.needs = (self.VARIABLES, self.code)

    def prepare(self, vm):
        if not os.path.exists(vm.variables):
            subprocess.run(['qemu-img', 'convert', '-q', '-O', vm.format, self.VARIABLES, vm.variables], check=True)

    def arguments(self, vm):
        return ['-M', 'q35,smm=on' if self.secure else 'q35',
                *(['-global', 'driver=cfi.pflash01,property=secure,value=on'] if self.secure else []),
                '-drive', f'if=pflash,format=raw,unit=0,readonly=on,file={self.code}',
                '-drive', f'if=pflash,format={vm.format},unit=1,file={vm.variables}',
                '-drive', f'if=none,id=disk,file={vm.disk},format={vm.format},cache=writeback',
                '-device', 'virtio-blk-pci,drive=disk' + (',bootindex=0' if self.chosen else '')]


class Vm:
    def __init__(self, directory, disk, tpm, consoles, firmware=None, memory=768):
        self.directory, self.disk, self.tpm, self.consoles, self.memory = directory, disk, tpm, consoles, memory
        self.firmware = firmware or Ovmf()
        self.process = self.agent = None
        self.started = 0.0
        self.lines = []          # (seconds since power on, text)
        self.rest = b''
        self.n_restarts = 0      # by the guest itself, since power on
        self.seen = 0            # lines that wait() has gone past
        os.makedirs(directory, exist_ok=True)
        self.agent_path = os.path.join(directory, 'agent')
        self.monitor_path = os.path.join(directory, 'monitor')
        # A snapshot goes into all that can be written, so the variables must be able to hold one too.
        self.format = 'qcow2' if disk.endswith('.qcow2') else 'raw'
        self.variables = os.path.join(directory, 'variables.' + self.format)
        self.firmware.prepare(self)

    def _arguments(self):
        return ['qemu-system-x86_64', '-accel', 'tcg,thread=multi', '-cpu', 'max', '-smp', '2', '-no-reboot',
                '-m', str(self.memory), '-smbios', 'type=1,serial=GW-1', '-nodefaults', '-no-user-config', '-display', 'none',
                '-chardev', 'stdio,id=console,signal=off', '-serial', 'chardev:console',
                '-qmp', f'unix:{self.monitor_path},server=on,wait=off',
                *self.firmware.arguments(self),
                '-chardev', f'socket,id=tpm,path={self.tpm.socket}', '-tpmdev', 'emulator,id=tpm0,chardev=tpm',
                '-device', 'tpm-tis,tpmdev=tpm0',
                '-netdev', 'user,id=net,restrict=off', '-device', 'virtio-net-pci,netdev=net,romfile=',
                '-device', 'virtio-rng-pci', '-device', 'virtio-serial-pci',
                '-chardev', f'socket,id=agent,path={self.agent_path},server=on,wait=off',
                '-device', 'virtserialport,chardev=agent,name=org.reseal.test']

    def start(self, load=None):
        self.tpm.start()
        self.started = time.monotonic()
        self.lines, self.rest, self.seen, self.n_restarts = [], b'', 0, 0
        self._spawn('from a snapshot' if load else 'power on', ['-loadvm', load] if load else [])

    def _spawn(self, how, more=()):
        self.consoles.begin(how)
        for path in (self.agent_path, self.monitor_path):
            if os.path.exists(path):
                os.unlink(path)
        self.process = subprocess.Popen([*self._arguments(), *more], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, preexec_fn=_dies_with_us)
        os.set_blocking(self.process.stdout.fileno(), False)

    def seconds(self):
        return time.monotonic() - self.started

    # -- console ------------------------------------------------------------------------------------------------------

    def _drain(self, seconds):
        ready, _, _ = select.select([self.process.stdout], [], [], seconds)
        if not ready:
            return True
        data = os.read(self.process.stdout.fileno(), 65536)
        self._take(self.rest + data)
        return bool(data)

    def _take(self, data):
        *whole, self.rest = re.split(rb'[\r\n]+', data)
        for line in whole:
            text = ESCAPES.sub('', line.decode('utf-8', 'replace')).strip()
            if text:
                self.lines.append((self.seconds(), text))
                self.consoles.line(*self.lines[-1])

    def _gone(self, how):
        """QEMU has ended: what it still said, and how this start ended."""
        status = self.process.wait()
        while self._drain(0.1):
            pass
        self._take(self.rest + b'\n')
        self.process.stdout.close()
        self.consoles.end(f'{how}; QEMU ended with {status}')

    def wait(self, pattern, limit=600):
        """The next line that matches, as (seconds, match)."""
        expression = re.compile(pattern)
        end = time.monotonic() + limit
        while True:
            while self.seen < len(self.lines):
                at, text = self.lines[self.seen]
                self.seen += 1
                found = expression.search(text)
                if found:
                    return at, found
            if time.monotonic() > end:
                raise Lost(f'no "{pattern}" on the console within {limit} s')
            if not self._drain(0.5):
                self.n_restarts += 1
                if self.n_restarts > RESTARTS_MAX:
                    raise Lost(f'the machine only restarts, no "{pattern}"')
                self._restart()

    def _restart(self):
        """The guest restarted (-no-reboot: QEMU ends then): power off and on, as a watchdog or a reset line does it."""
        self.forget_agent()
        self._gone('restarted by the guest')
        self.tpm.cut()
        self.tpm.start()
        self._spawn(f'restart {self.n_restarts}')

    def find(self, pattern):
        """All lines so far that match."""
        return [(at, text) for at, text in self.lines if re.search(pattern, text)]

    # -- hands in the guest -------------------------------------------------------------------------------------------

    def _receive(self, end):
        ready, _, _ = select.select([self.agent, self.process.stdout], [], [], max(0, min(0.5, end - time.monotonic())))
        if self.process.stdout in ready and not self._drain(0):
            raise Lost('the machine went away')
        return self.agent.recv(65536) if self.agent in ready else b''

    def _answer(self, command, end):
        self.agent.sendall(command.encode() + b'\n')
        data = b''
        while True:
            data += self._receive(end)
            found = re.search(rb'(?:^|\n)RC (\d+)\n$', data)
            if found:
                return int(found.group(1)), data[:found.start()].decode('utf-8', 'replace')
            if time.monotonic() > end:
                raise Lost(f'no answer to "{command}"')

    def _open_agent(self, end):
        while True:
            self.agent = socket.socket(socket.AF_UNIX)
            try:
                self.agent.connect(self.agent_path)
                return
            except OSError:
                self.agent.close()
                if self.process.poll() is not None or time.monotonic() > end:
                    self._drain(0)
                    raise Lost('the machine is not there') from None
                time.sleep(0.05)

    def _greet(self, greeting, end):
        """True when the guest repeats it.  Late answers to questions before come first and are passed over."""
        self.agent.sendall(f'echo {greeting}\n'.encode())
        data = b''
        while time.monotonic() < end:
            data += self._receive(end)
            if data.endswith(f'{greeting}\nRC 0\n'.encode()):
                return True
        return False

    def _connect(self, end):
        # The guest may not have opened its end yet, and what was sent before that is lost: ask until it answers.
        for n in range(10000):
            if time.monotonic() > end:
                raise Lost('the guest does not answer')
            self._open_agent(end)
            if self._greet(f'hello {n}', min(end, time.monotonic() + 5 + n)):
                return
            self.agent.close()

    def run(self, command, limit=600):
        end = time.monotonic() + limit
        if not self.agent:
            self._connect(end)
        return self._answer(command, end)

    def send(self, command):
        """For what ends the guest: there may be no answer."""
        if not self.agent:
            self._connect(time.monotonic() + 600)
        self.agent.sendall(command.encode() + b'\n')

    # -- snapshots ----------------------------------------------------------------------------------------------------

    def save(self, name):
        """Memory, devices, TPM and disk as they are now; the machine stands still afterwards and wants to be cut.
        Random numbers, also the TPM's, come again the same after each start from it."""
        self.forget_agent()
        with socket.socket(socket.AF_UNIX) as monitor:
            monitor.connect(self.monitor_path)
            stream = monitor.makefile('rw', encoding='utf-8')
            for command, arguments in (('qmp_capabilities', {}), ('stop', {}),
                                       ('human-monitor-command', {'command-line': f'savevm {name}'})):
                stream.write(json.dumps({'execute': command, 'arguments': arguments}) + '\n')
                stream.flush()
                answer = {}
                while 'return' not in answer and 'error' not in answer:
                    answer = json.loads(stream.readline())
                if answer.get('return'):        # savevm says something only when it fails
                    raise Lost(f'{command}: {answer["return"]}')
                if 'error' in answer:
                    raise Lost(f'{command}: {answer["error"]}')

    # -- power --------------------------------------------------------------------------------------------------------

    def forget_agent(self):
        """After a reboot of the guest."""
        if self.agent:
            self.agent.close()
        self.agent = None

    def cut(self):
        running = self.process and self.process.poll() is None
        if running:
            self.process.kill()
        if self.process:
            self._gone('cut' if running else 'off')
            self.process = None
        self.forget_agent()
        self.tpm.cut()

    def off(self, limit=600):
        self.send('systemctl poweroff')
        end = time.monotonic() + limit
        while self.process.poll() is None and time.monotonic() < end:
            self._drain(0.5)
        gone = self.process.poll() is not None
        self.cut()
        if not gone:
            raise Lost('the machine does not shut down')
