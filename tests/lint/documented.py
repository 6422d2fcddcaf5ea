#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What an operator looks up is there: the catalogue has each message id once and no other, manual pages and samples
name the keys that the parsers know and no others, and all of it is installed."""

import re

import tree

CATALOG = 'systemd/reseal.catalog'
ID = re.compile(r'"([0-9a-f]{32})"')
# manual page -> the files whose handlers take its keys
PARSERS = {
    'docs/man/reseal.conf.5': ['src/reseald/config.c', 'src/tpm/config.c'],
    'docs/man/writer.conf.5': ['src/writer/config.c', 'src/tpm/config.c', 'src/boot/boot-config.c', 'src/slot/map.c'],
    'docs/man/health.conf.5': ['src/health/config.c'],
    'docs/man/crypto.conf.5': ['src/base/ossl.c'],
}
# manual page -> the table (ConfigKey) of the program that reads the file, with the rows that rooms bring
TABLES = {
    'docs/man/reseal.conf.5': ['src/reseald/config.c', 'include/reseal/tpm/tpm.h'],
    'docs/man/writer.conf.5': ['src/writer/config.c', 'include/reseal/tpm/tpm.h', 'include/reseal/boot/boot.h',
                               'include/reseal/slot/map.h'],
}
ROW = re.compile(r'\{ "([\w *]+)", "([\w-]+)", (?:NULL|"[^"]*"|(?:RS|TPM)_\w+(?:\(\w+\))?) \}')
SAMPLES = {'conf/crypto.conf': 'docs/man/crypto.conf.5', 'conf/health.conf': 'docs/man/health.conf.5', 'conf/reseal.conf': 'docs/man/reseal.conf.5', 'conf/writer.conf': 'docs/man/writer.conf.5'}
INSTALLED = {'docs/man/': 'docs/meson.build', 'conf/': 'conf/meson.build', 'systemd/': 'systemd/meson.build'}


def check_catalog():
    ids = {}
    for path in tree.files('.c', '.h', '.def', under=('src', 'include')):
        for n, line in enumerate(tree.read(path).split('\n'), 1):
            if 'MESSAGE' in line:
                for message in ID.findall(line):
                    if message in ids:
                        yield f'{path}:{n}: the id of {ids[message]} again'
                    ids[message] = f'{path}:{n}'
    entries = re.findall(r'^-- ([0-9a-f]{32})$', tree.read(CATALOG), re.M)
    for message in sorted(set(ids) - set(entries)):
        yield f'{ids[message]}: {CATALOG} has no text for it'
    for message in sorted(set(entries) - set(ids)):
        yield f'{CATALOG}:1: {message} is sent by nobody'
    for message in sorted({e for e in entries if entries.count(e) > 1}):
        yield f'{CATALOG}:1: {message} stands twice'


def keys_of(path):
    text = tree.read(path)
    keys = set(re.findall(r'strcmp\(key, "([\w-]+)"\)', text))
    keys |= set(re.findall(r'^ +\{ "([\w-]+)", &c->', text, re.M))
    return keys | set(re.findall(r'^ +\{ "\w+", "([\w-]+)", offsetof\(', text, re.M))


def documented(page):
    keys = set()
    for line in re.findall(r'^\.It Cm (.+)$', tree.read(page), re.M):
        keys |= {w for w in re.split(r' Ns .*$| , | ', line) if w}
    return keys


def check_keys():
    for page, parsers in PARSERS.items():
        known = set().union(*(keys_of(p) for p in parsers))
        told = documented(page)
        for key in sorted(known - told):
            yield f'{page}:1: does not say what {key} is'
        for key in sorted(told - known):
            yield f'{page}:1: no parser knows {key}'
    for sample, page in SAMPLES.items():
        for n, line in enumerate(tree.read(sample).split('\n'), 1):
            key = re.match(r'#?([\w-]+) ?=', line)
            if key and key.group(1) not in documented(page):
                yield f'{sample}:{n}: {page} does not name {key.group(1)}'


def check_tables():
    """`resealctl policy` shows what is in the table: each key of the page, in its section, and no other."""
    for page, sources in TABLES.items():
        listed = {(section.split(' ')[0], key) for path in sources for section, key in ROW.findall(tree.read(path))}
        told = set()
        for section, text in re.findall(r'^\.Ss \[(\w+)[^\n]*\n(.*?)(?=^\.S[sh] )', tree.read(page), re.M | re.S):
            for line in re.findall(r'^\.It Cm (.+)$', text, re.M):
                told |= {(section, w) for w in re.split(r' Ns .*$| , | ', line) if w}
        for section, key in sorted(told - listed):
            yield f'{page}:1: [{section}] {key} is in no table: resealctl policy would not show it'
        for section, key in sorted(listed - told):
            yield f'{page}:1: does not say what [{section}] {key} is'


def check_installed():
    for directory, build in INSTALLED.items():
        text = tree.read(build)
        for path in tree.files(under=(directory.rstrip('/'),)):
            name = path.split('/', build.count('/'))[-1]
            if not path.endswith('meson.build') and f"'{name}'" not in text:
                yield f'{path}:1: not installed: {build} does not name it'


def main():
    findings = list(check_catalog()) + list(check_keys()) + list(check_tables()) + list(check_installed())
    tree.finish(findings, len(tree.files(under=tuple(d.rstrip('/') for d in INSTALLED))))


main()
