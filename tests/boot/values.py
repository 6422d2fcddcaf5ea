#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What U-Boot's sample believes of the environment: the U-Boot of uboot.sh, conf/boot/uboot/boot.cmd and no kernel.

One start per row of TABLE: the environment as it stands on the card, and what the script then starts.  No start is done here,
so each is asked for three times and then it is the next one's turn: a row tells the whole order."""

import binascii
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.environ.get('SOURCE_ROOT', f'{HERE}/../..')
CACHE = os.environ.get('RESEAL_BOOT_CACHE', '/var/cache/reseal-boot')
CONF = f'{ROOT}/conf/boot/uboot'
NEEDS = ('qemu-system-x86_64', 'mkimage', 'mkfs.vfat', 'mcopy', 'dpkg-source', 'make', 'bc', 'bison', 'flex', 'swig')
SIZE = 0x4000
LIMIT = 600             # seconds, of a start that hangs

GOOD = {'BOOT_A_GOOD': '1', 'BOOT_A_LEFT': '3', 'BOOT_B_GOOD': '1', 'BOOT_B_LEFT': '3'}
A_GOOD = {**GOOD, 'BOOT_B_GOOD': '0'}
FACTORY = 'A trial, B trial'
# name, environment, what is started
TABLE = [
    ('the factory', None, FACTORY),
    ('both good', {**GOOD, 'BOOT_ORDER': 'A B'}, 'A, B'),
    ('both good, the other way', {**GOOD, 'BOOT_ORDER': 'B A'}, 'B, A'),
    ('a trial', {**A_GOOD, 'BOOT_ORDER': 'B A', 'BOOT_B_LEFT': '3'}, 'B trial, A'),
    ('nine attempts', {**A_GOOD, 'BOOT_ORDER': 'B A', 'BOOT_B_LEFT': '9'}, 'B trial, A'),
    ('numbers that are missing are none', {'BOOT_ORDER': 'B A', 'BOOT_A_GOOD': '1', 'BOOT_A_LEFT': '3'}, 'A'),
    ('what is no number is missing', {**GOOD, 'BOOT_ORDER': 'B A', 'BOOT_B_GOOD': "1' run", 'BOOT_B_LEFT': '-1'}, 'A'),
    ('nor does a number of another base count', {**GOOD, 'BOOT_ORDER': 'B A', 'BOOT_B_LEFT': '0x3'}, 'A'),
] + [
    (f'BOOT_ORDER={order!r}', {**GOOD, 'BOOT_ORDER': order}, FACTORY)
    for order in ('a', 'b', 'b a', 'A', 'B', 'B  A', ' B A', 'B A ', 'B A A', 'B\x0bA', 'B\tA', 'A,B', 'C', '../A', '-n', '-z', '(', '!',
                  'B init=/bin/sh', 'B\x0binit=/bin/sh', '"', '\\', '$x', '${bootcmd}', 'B A;reset', 'B A" = "xB A', '`', '#', '*',
                  "'", "B A' = 'xB A", "'; setenv injected run; '", "'\nsetenv injected run\n'", "' || setenv injected run || '", "x\nsetenv injected run\n", "B A'; reset; '", 'B A' * 4000)
] + [
    (f'{name}={value!r}', {**GOOD, 'BOOT_ORDER': 'B A', name: value}, FACTORY)
    for name in ('BOOT_A_LEFT', 'BOOT_B_LEFT') for value in ('10', '00', '99999999999999999999')
] + [
    (f'{name}={value!r}', {**GOOD, 'BOOT_ORDER': 'B A', name: value}, FACTORY)
    for name in ('BOOT_A_GOOD', 'BOOT_B_GOOD') for value in ('2', '01')
]

SCRIPT = '''setenv reseal_start 'echo "boot-test: start [${reseal_slot}] [${reseal_trial}]${injected}"'
load mmc 0:1 0x1000000 /reseal.scr && source 0x1000000
reset
'''


def environment(values):
    """One copy as U-Boot stores it when there are two; none: nothing was ever written."""
    if values is None:
        return bytes(SIZE)
    data = b''.join(f'{name}={value}'.encode() + b'\0' for name, value in values.items())
    data = data.ljust(SIZE - 5, b'\0')
    return binascii.crc32(data).to_bytes(4, 'little') + b'\1' + data


class Card:
    """The SD card: a FAT with the scripts, the two copies behind it where uboot.config says."""

    def __init__(self, work):
        self.work = work
        self.path = f'{work}/card'
        with open(f'{HERE}/uboot.config', encoding='ascii') as f:
            text = f.read()
        self.offsets = [int(re.search(rf'^CONFIG_ENV_OFFSET{suffix}=(\w+)', text, re.M).group(1), 0) for suffix in ('', '_REDUND')]
        fat = f'{work}/fat'
        with open(fat, 'wb') as f:
            f.truncate(self.offsets[0] - 2**20)
        subprocess.run(['mkfs.vfat', '-F', '32', '-s', '1', fat], stdout=subprocess.DEVNULL, check=True)
        with open(f'{work}/uboot.cmd', 'w', encoding='ascii') as f:
            f.write(SCRIPT)
        for source, name in ((f'{CONF}/boot.cmd', 'reseal.scr'), (f'{work}/uboot.cmd', 'uboot.scr')):
            subprocess.run(['mkimage', '-q', '-A', 'x86', '-T', 'script', '-C', 'none', '-d', source, f'{work}/{name}'],
                           stdout=subprocess.DEVNULL, check=True)
            subprocess.run(['mcopy', '-i', fat, f'{work}/{name}', f'::/{name}'], check=True)
        with open(self.path, 'wb') as f:
            f.truncate(2**28)
        subprocess.run(['sfdisk', '--quiet', '--no-reread', '--no-tell-kernel', self.path], text=True, check=True,
                       input=f'label: gpt\nstart=1MiB, size={self.offsets[0] // 2**20 - 1}MiB, type=U')
        subprocess.run(['dd', f'if={fat}', f'of={self.path}', 'bs=1M', 'seek=1', 'conv=notrunc,sparse', 'status=none'], check=True)
        os.unlink(fat)

    def write(self, values):
        with open(self.path, 'r+b') as f:
            for offset, data in zip(self.offsets, (environment(values), bytes(SIZE))):
                f.seek(offset)
                f.write(data)

    def started(self):
        """The console of one start, up to its reset."""
        done = subprocess.run(['qemu-system-x86_64', '-accel', 'tcg', '-M', 'pc', '-m', '512', '-no-reboot', '-nodefaults', '-no-user-config',
                               '-display', 'none', '-serial', 'stdio', '-bios', f'{CACHE}/uboot/u-boot.rom', '-device', 'sdhci-pci',
                               '-drive', f'if=none,id=disk,file={self.path},format=raw', '-device', 'sd-card,drive=disk'],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT, check=False)
        return done.stdout.decode('utf-8', 'replace')


def main():
    os.environ['PATH'] += ':/usr/sbin:/sbin'
    if os.geteuid() != 0:
        print('SKIP: needs root: the cache is root\'s')
        sys.exit(77)
    for needed in NEEDS:
        if not shutil.which(needed):
            print(f'SKIP: no {needed}')
            sys.exit(77)
    subprocess.run([f'{HERE}/uboot.sh', CACHE], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    n_failed = 0
    with tempfile.TemporaryDirectory(prefix='reseal-values.', dir='/var/tmp') as work:
        card = Card(work)
        for name, values, expected in TABLE:
            card.write(values)
            console = card.started()
            starts = [' '.join(filter(None, (slot, 'trial' if trial else '', run.strip())))
                      for slot, trial, run in re.findall(r'boot-test: start \[(.*?)\] \[(.*?)\](.*)', console)]
            holds = starts == [start for start in expected.split(', ') for _ in range(3)]
            n_failed += not holds
            print(f'{"ok  " if holds else "FAIL"} {name[:60]}: {", ".join(starts[::3])}', flush=True)
            if not holds:
                print(f'     | expected: {expected}\n     | ' + console.replace('\r', '').replace('\n', '\n     | '), flush=True)
    print(f'{len(TABLE) - n_failed} of {len(TABLE)} hold')
    sys.exit(n_failed != 0)


main()
