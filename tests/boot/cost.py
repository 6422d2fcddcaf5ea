#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""cost.py [N]: what Reseal adds to a start, N times (3) in turn with and without: from the kernel's start to the root mounted, by
the guest's clock.  Same kernel, same initramfs, started by QEMU itself (no firmware, no GRUB); without Reseal the same
image is a plain disk, with erofs and nothing below.  TPM commands are counted in the log of the emulator.  No test."""

import os
import re
import statistics
import subprocess
import sys

from device import BUILD, Device
from vm import Tpm, Vm

COMMON = 'console=ttyS0 ro quiet panic=5 mitigations=off nokaslr tsc=reliable systemd.show_status=0 reseal.slot=A'
TSC = subprocess.run([f'{BUILD}/tests/boot/tsc'], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


class Direct:
    """In the place of a firmware; more: to the kernel's command line."""
    more = ''

    def prepare(self, vm):
        pass

    def arguments(self, vm):
        work = os.path.dirname(vm.disk)
        return ['-M', 'q35', '-drive', f'if=none,id=disk,file={vm.disk},format=raw', '-device', 'virtio-blk-pci,drive=disk', '-kernel', f'{work}/vmlinuz', '-initrd', f'{work}/initrd', '-append', f'{COMMON} tsc_early_khz={TSC} {self.more}',
                '-drive', f'if=none,id=plain,file={work}/rootfs-1,format=raw,readonly=on', '-device', 'virtio-blk-pci,drive=plain']


def commands(tpm):
    """How many the TPM got, of its log: each command is read with its length, its first bytes are a tag 80 01 or 80 02."""
    with open(f'{tpm.state}/vm.log', encoding='utf-8', errors='replace') as f:
        return len(re.findall(r'SWTPM_IO_Read: length \d+\s+80 0[12] ', f.read()))


def start(vm, more):
    vm.firmware.more = more
    vm.start()
    _, found = vm.wait(r'initramfs: unlocked from ([0-9.]+) to ([0-9.]+)')
    unlocked = re.search(r'verified; (\d+) ms, TPM (\d+) ms', ' '.join(text for _, text in vm.lines))
    vm.cut()
    begin, end = float(found.group(1)), float(found.group(2))
    print(f'  {more or "reseal":16} kernel to initramfs {begin:5.2f} s, to root mounted {end:5.2f} s, TPM commands {commands(vm.tpm):3d}' +
          (f', reseal-unlock {unlocked.group(1)} ms, TPM {unlocked.group(2)} ms' if unlocked else ''), flush=True)
    return end, end - begin, commands(vm.tpm)


def main():
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    d = Device('cost')
    d.vm = Vm(f'{d.work}/vm', d.vm.disk, Tpm(d.vm.tpm.state, level=20), d.consoles, Direct())
    runs = {'': [], 'boot-test.plain': []}
    for _ in range(n):
        for more, results in runs.items():
            results.append(start(d.vm, more))
    print(f'load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores')
    for more, results in runs.items():
        whole, part, count = (statistics.median(r) for r in zip(*results))
        print(f'{"plain" if more else "reseal":8} kernel to root mounted {whole:.2f} s, opening the root {part:.2f} s, {count:.0f} TPM commands')


main()
