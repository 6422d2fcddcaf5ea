#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What only one place may do: each row is a kind of fault that was seen once, and the door it has to go through."""

import re

import tree

# name, what is not written elsewhere, what to use, {file that may: why}
DOORS = [
    ('files', re.compile(r'\bO_CREAT\b|\bO_TMPFILE\b|\bmko?stemps?\(|\bcreat\(|\bfopen\([^;]*,\s*"[wa]'),
     'a file is made by file_replace or file_temporary (reseal/base/file.h): nobody else waits at its name',
     {'src/base/file.c': 'the door',
      'src/bundle/output.c': 'nameless files for work in progress',
      'src/boot/hand-over.c': 'efivarfs: a variable is one write; O_EXCL',
      'src/boot/systemd-boot.c': 'FAT: entries of the loader, in a directory that was opened before, O_EXCL',
      'src/slot/volume.c': 'libcryptsetup wants a path: in the private directory of the caller, O_EXCL',
      'src/source-server/issue.c': 'thousands of tickets: O_EXCL, synced once',
      'src/source-server/publish.c': 'copied by the kernel: O_EXCL',
      'src/tpm/tpm.c': 'a lock, without content'}),
    ('owners', re.compile(r'\bl?chown\(|\bchmod\('),
     'owner and mode are set on an open descriptor: a name may lead elsewhere by then', {}),
    ('way', re.compile(r'\bopen\([^;]*\bO_DIRECTORY\b'),
     'a directory is opened by directory_open (reseal/base/directory.h): as root, no link of another user leads the way',
     {'src/base/directory.c': 'the door',
      'src/boot/efi.c': 'efivarfs',
      'src/boot/hand-over.c': 'efivarfs',
      'src/boot/systemd-boot.c': 'the loader\'s directory, of the configuration; O_NOFOLLOW',
      'src/certstore/keeper.c': 'never root',
      'src/health/checks.c': 'never root',
      'src/reseald/identity.c': 'never root',
      'src/reseald/manager.c': 'never root',
      'src/writer/main.c': 'never root',
      'src/slot/volume.c': 'synced only; the caller\'s own directory'}),
    ('made directories', re.compile(r'\bmkdir\('),
     'a directory is made by directory_make or mkdirat: mkdir() follows the links of others',
     {'src/initramfs/unlock.c': 'nobody else is there yet'}),
    ('terminal', re.compile(r'\bjson_dumpf\((?![^;]*\bJSON_ENSURE_ASCII\b)'),
     'JSON for people is ASCII: some terminals obey bytes of other encodings', {}),
    ('bus text', re.compile(r'\bsd_bus_message_read\w*\('),
     'resealctl takes text from the bus by bus_read_json, which makes it printable',
     {'src/resealctl/bus-json.c': 'the door', 'src/resealctl/follow.c': 'signals, by bus_text'}),
]
ONLY_IN = {'bus text': 'src/resealctl/'}


def main():
    findings, n = [], 0
    for path in tree.files():
        if not (path.startswith(('src/', 'include/')) and path.endswith(('.c', '.h'))):
            continue
        n += 1
        text = re.sub(r'/\*.*?\*/', lambda m: re.sub(r'[^\n]', ' ', m.group()), tree.read(path), flags=re.S)
        for name, pattern, remedy, allowed in DOORS:
            for m in pattern.finditer(text):
                if path not in allowed and path.startswith(ONLY_IN.get(name, '')):
                    findings.append(f'{path}:{text.count(chr(10), 0, m.start()) + 1}: {name}: {remedy}')
    for name, pattern, _, allowed in DOORS:
        for path in allowed:
            if not pattern.search(tree.read(path) or ''):
                findings.append(f'{path}:1: {name}: may do what it does not do any more; take it off the list')
    tree.finish(findings, n)


main()
