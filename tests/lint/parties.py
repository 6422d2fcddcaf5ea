#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The table "Who wants what" of docs/threat-model.md: no cell is empty, each says which test shows it, and the tests exist."""

import os
import re

import tree

DOC = 'docs/threat-model.md'


def known():
    """What may be named: files of tests/ without their ending, and the names that meson.build files give."""
    names = set()
    for path in tree.files(under=('tests',)):
        base = os.path.basename(path)
        names |= {base, os.path.splitext(base)[0]}
        if base == 'meson.build':
            names |= set(re.findall(r"'([\w .-]+)'", tree.read(path)))
    return names | {'boot-' + n.replace(' ', '-') for n in names} | {'test-' + n for n in names}


def main():
    lines = tree.read(DOC).split('\n')
    start = lines.index('## Who wants what')
    rows = [(n, line) for n, line in enumerate(lines[start:], start + 1) if line.startswith('|')]
    end = next(n for n, line in enumerate(lines[start + 1:], start + 2) if line.startswith('## '))
    rows = [(n, [c.strip() for c in line.strip('|').split('|')]) for n, line in rows if n < end]
    names, findings, wide = known(), [], len(rows[0][1])
    for n, cells in rows[2:]:
        if len(cells) != wide:
            findings.append(f'{DOC}:{n}: {len(cells)} cells, not {wide}')
        for goal, cell in zip(rows[0][1][1:], cells[1:]):
            tests = [t for t in re.findall(r'`([^`]+)`', cell) if re.match(r'[a-z][\w.-]*$', t)]
            if not cell or (not tests and '**open**' not in cell):
                findings.append(f'{DOC}:{n}: {cells[0]}, {goal}: no test shows it, and it is not said to be open')
            findings += [f'{DOC}:{n}: {cells[0]}, {goal}: there is no test {t}' for t in tests if t not in names]
    if len(rows) < 15:
        findings.append(f'{DOC}:{start + 1}: parties are missing')
    tree.finish(findings, len(rows))


main()
