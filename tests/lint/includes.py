#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who may include whom, and which room opens the door to which library (docs/architecture.md, docs/dependencies.md).

The table is the architecture: reseald cannot call what decides, the writer cannot call what talks to the network.
A room that needs more than it has here needs a reason in the commit that changes this table.
"""

import re

import tree

ROOMS = {
    'base': (),
    'confine': ('base',),
    'format': ('base',),
    'crypto': ('base',),
    'pki': ('base', 'crypto'),
    'tpm': ('base', 'format', 'crypto'),
    'ipc': ('base',),
    'boot': ('base',),
    'slot': ('base', 'format', 'crypto', 'tpm'),
    'trust': ('base', 'format', 'crypto', 'pki', 'tpm'),
    'install': ('base', 'format', 'crypto', 'pki', 'tpm', 'trust', 'slot', 'boot', 'ipc'),
    'source': ('base', 'format', 'pki'),
    'flow': ('base', 'format', 'crypto', 'source', 'ipc'),
    'job': ('base', 'format', 'crypto', 'pki', 'tpm', 'ipc', 'source', 'flow'),
}

PROGRAMS = {
    'reseald': ('base', 'confine', 'format', 'crypto', 'pki', 'tpm', 'ipc', 'source', 'flow', 'job'),
    'writer': ('base', 'confine', 'format', 'crypto', 'pki', 'tpm', 'ipc', 'trust', 'slot', 'boot', 'install'),
    'certstore': ('base', 'confine', 'format', 'crypto', 'pki', 'ipc', 'trust'),
    'health': ('base', 'ipc'),
    'resealctl': ('base', 'ipc'),   # ipc: --below-accepted, root's word to the writer itself
    'bundle': ('base', 'format', 'crypto', 'pki', 'tpm', 'trust'),
    'source-server': ('base', 'format', 'crypto', 'pki'),
    'provision': ('base', 'format', 'crypto', 'pki', 'tpm', 'boot', 'slot', 'trust'),
    'initramfs': ('base', 'format', 'crypto', 'pki', 'tpm', 'trust', 'boot', 'slot'),
}

# Constants only, no library behind it: the limits that bytes of any origin are held against.
OPEN_TO_ALL = {'reseal/format/limits.h'}

MAY = {**ROOMS, **PROGRAMS}

# header pattern, dependency names in meson, rooms (or single files) that may
DOORS = (
    (r'curl/', ('curl',), {'source'}),
    (r'tss2/', ('esys', 'mu', 'rc', 'tctildr'), {'tpm'}),
    (r'libcryptsetup\.h', ('cryptsetup',), {'slot', 'initramfs'}),
    (r'libuboot\.h', ('ubootenv',), {'boot'}),
    (r'openssl/', ('libcrypto', 'ssl'),
     {'crypto', 'pki', 'tpm', 'source', 'bundle', 'source-server', 'provision',
      'src/base/ossl.c', 'src/base/plain.c', 'src/base/secret.c', 'src/base/error.c', 'src/base/meson.build'}),
    (r'systemd/sd-bus', (), {'health', 'reseald', 'resealctl', 'writer'}),
    (r'systemd/', ('systemd',), {'source', 'ipc', 'reseald', 'resealctl', 'writer', 'certstore', 'health'}),
    (r'jansson\.h', ('jansson',), {'format', 'slot'} | set(PROGRAMS)),
    (r'ini\.h', ('inih',), {'src/base/config.c', 'src/base/meson.build'}),
    (r'zstd|zdict\.h', ('zstd',), {'flow', 'bundle'}),
    (r'seccomp\.h|linux/landlock\.h', ('seccomp',), {'confine'}),
)

# One file changes what the bootloader starts next: it holds the rule that nobody goes below what was accepted.
BOOT_DOOR = 'src/install/next.c'
BOOT_CHANGE = re.compile(r'\bboot_(?:set_\w+|change)[ \t]*\(')

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+([<"])([^>"]+)[>"]', re.M)
DEPENDENCY = re.compile(r'\bdep_([a-z0-9_]+)')


def room_of(path):
    parts = path.split('/')
    if parts[:2] == ['include', 'reseal'] and len(parts) > 3:
        return parts[2]
    return parts[1] if parts[0] == 'src' and len(parts) > 2 else None


def check_table():
    order = list(ROOMS)
    for room, may in ROOMS.items():
        for other in may:
            if order.index(other) >= order.index(room):
                yield f'tests/lint/includes.py:1: {room} -> {other} goes upwards: a cycle is possible'


def check_file(path, text):
    room = room_of(path)
    where = lambda m: f'{path}:{text.count(chr(10), 0, m.start(2)) + 1}'
    for m in INCLUDE.finditer(text):
        quote, name = m.group(1), m.group(2)
        if quote == '"':
            if '/' in name:
                yield f'{where(m)}: "{name}" is another room\'s private header, or a path'
            elif path.startswith('include/'):
                yield f'{where(m)}: a public header includes a private one'
            continue
        if name.startswith('reseal/'):
            other = name.split('/')[1]
            if other != room and other not in MAY[room] and name not in OPEN_TO_ALL:
                yield f'{where(m)}: {room} may not include {name}'
            continue
        for pattern, _, doors in DOORS:
            if re.match(pattern, name):
                if room not in doors and path not in doors:
                    yield f'{where(m)}: <{name}> has its door in {", ".join(sorted(doors))}'
                break


def check_meson(path, text):
    room = room_of(path)
    for n, line in enumerate(text.split('\n'), 1):
        for name in DEPENDENCY.findall(line.split('#')[0]):
            if name == room.replace('-', '_'):
                continue
            if name in ROOMS:
                if name not in MAY[room]:
                    yield f'{path}:{n}: {room} may not link {name}'
                continue
            for _, libraries, doors in DOORS:
                if name in libraries and room not in doors and path not in doors:
                    yield f'{path}:{n}: dep_{name} has its door in {", ".join(sorted(doors))}'


def main():
    findings = list(check_table())
    sources = tree.files('.c', '.h', under=('src', 'include'))
    builds = [p for p in tree.files('meson.build', under=('src',)) if room_of(p)]
    for path in sources + builds:
        if room_of(path) not in MAY:
            findings.append(f'{path}:1: no such room or program: {room_of(path)}')
            continue
        if path != BOOT_DOOR and room_of(path) != 'boot':
            text = tree.read(path)
            findings += [f'{path}:{text.count(chr(10), 0, m.start()) + 1}: the boot state is changed in {BOOT_DOOR} alone'
                         for m in BOOT_CHANGE.finditer(text)]
        check = check_meson if path.endswith('meson.build') else check_file
        findings += check(path, tree.read(path))
    tree.finish(findings, len(sources) + len(builds))


main()
