#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Nothing is forgotten: sources and tests are registered in Meson, limits are applied and met by a test, what is
cited exists."""

import os
import re

import tree

LIMITS = 'include/reseal/format/limits.h'
TIERS = ('tests/integration', 'tests/power', 'tests/attack', 'tests/tpm', 'tests/service', 'tests/boot')


def check_registered():
    builds = {os.path.dirname(p): tree.read(p) for p in tree.files('meson.build')}
    for path in tree.files('.c', under=('src', 'tests')):
        directory, name = os.path.split(path)
        while directory and directory not in builds:
            directory = os.path.dirname(directory)
        where = builds.get(directory, '')
        shared = path.startswith('tests/fixtures/') and any(name in text for text in builds.values())
        if f"{os.path.relpath(path, directory)}'" not in where and not shared:
            yield f'{path}:1: not built: {directory}/meson.build does not name it'
    scripts = {p: tree.read(p) for p in tree.files('.sh', '.py', under=('tests',))}
    for path in tree.files('.sh', '.py', under=TIERS):
        name = os.path.basename(path)
        if os.access(os.path.join(tree.TOP, path), os.X_OK) and not name.startswith('lib'):
            stem = os.path.splitext(name)[0]
            helper = any(name in text for other, text in scripts.items() if other != path)
            if not helper and not any(name in text or f"'{stem}'" in text for text in builds.values()):
                yield f'{path}:1: a test that no meson.build names'


def check_limits():
    sources = '\n'.join(tree.read(p) for p in tree.files('.c', '.h', under=('src', 'include')) if p != LIMITS)
    limits = tree.read(LIMITS)
    tests = '\n'.join(tree.read(p) for p in tree.files('.c', '.h', '.sh', '.py', under=('tests',)))
    for n, line in enumerate(limits.split('\n'), 1):
        m = re.match(r'#define (RS_\w+_(?:MAX|MIN))\b', line)
        if not m:
            continue
        word = re.compile(rf'\b{m.group(1)}\b')
        # a limit may also act through another one that is made of it
        if not word.search(sources) and len(word.findall(limits)) < 2:
            yield f'{LIMITS}:{n}: {m.group(1)} is applied nowhere'
        if not word.search(tests):
            yield f'{LIMITS}:{n}: {m.group(1)} is met by no test at MAX and MAX + 1'


def check_spec():
    """What a contract or a page of the documentation points to is there."""
    for path in tree.files('.h', '.c', under=('include', 'src')):
        for n, line in enumerate(tree.read(path).split('\n'), 1):
            if re.match(r' \* Spec: ', line):
                for target in re.findall(r'\b(?:docs|conf|include|systemd|src|tests)/[\w./-]*\w', line):
                    if not os.path.exists(os.path.join(tree.TOP, target)):
                        yield f'{path}:{n}: {target} does not exist'
    for path in tree.files('.md'):
        for n, line in enumerate(tree.read(path).split('\n'), 1):
            for target in re.findall(r'\]\(([^)#:]+)(?:#[^)]*)?\)', line):
                if not os.path.exists(os.path.join(tree.TOP, os.path.dirname(path), target)):
                    yield f'{path}:{n}: {target} does not exist'


def main():
    findings = list(check_registered()) + list(check_limits()) + list(check_spec())
    tree.finish(findings, len(tree.files('.c')))


main()
