#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Each failure of the signer chain, F1 to F24, has its tests: docs/threat-model.md names them, they are there and cite
the number."""

import re

import tree

DOC = 'docs/threat-model.md'
ROW = re.compile(r'^\| F(\d+) \| [^|]+ \| ([^|]+) \|$')
TEST = re.compile(r'`(tests/[\w/.-]+)` (\w+)')
LAST = 24


def check_row(number, where, cell):
    tests = TEST.findall(cell)
    if not tests or TEST.sub('', cell).strip(' ,'):
        yield f'{where}: F{number}: `file` test, `file` test ... is expected'
    for path, name in tests:
        text = tree.read(path) if path in tree.files(under=('tests',)) else None
        if text is None:
            yield f'{where}: F{number}: {path} does not exist'
            continue
        if len(re.findall(rf'\b{name}\b', text)) < 2:
            yield f'{where}: F{number}: {path} has no test {name}'
        before = text.split(f'{name}(')[0]
        comment = before[before.rfind('/*'):]
        if not re.search(rf'\bF{number}\b', comment) and not name.startswith(f'f{number}_'):
            yield f'{where}: F{number}: {name} does not say that it is about F{number}'


def main():
    findings, rows = [], []
    for n, line in enumerate(tree.read(DOC).split('\n'), 1):
        row = ROW.match(line)
        if row:
            rows.append(int(row.group(1)))
            findings += check_row(rows[-1], f'{DOC}:{n}', row.group(2))
    if rows != list(range(1, LAST + 1)):
        findings.append(f'{DOC}:1: rows F1 to F{LAST}, each once and in order, not {rows}')
    tree.finish(findings, len(rows))


main()
