#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Each file says its licence in one of its first lines.  Files that cannot hold a comment are named here."""

import os
import re

import tree

LINE = re.compile(r'SPDX-License-Identifier: (\S+)')
LICENCES = {'LGPL-2.1-or-later', 'CC0-1.0'}
# Texts of licences; fuzz seeds (any byte matters); formats without comments
WITHOUT = re.compile(r'^(LICENSES/|COPYING|tests/fuzz/seeds/)|\.(json|pem|der|bin|rsb|svg|png)$')


def main():
    findings = []
    paths = [p for p in tree.files() if not WITHOUT.search(p)]
    for path in paths:
        text = tree.read(path)
        if text is None:
            findings.append(f'{path}:1: not text, and of a kind that tests/lint/spdx.py does not know')
            continue
        if os.path.getsize(os.path.join(tree.TOP, path)) == 0:
            findings.append(f'{path}:1: empty file')
            continue
        m = LINE.search('\n'.join(text.split('\n')[:5]))
        if not m:
            findings.append(f'{path}:1: no SPDX-License-Identifier in the first five lines')
        elif m.group(1) not in LICENCES:
            findings.append(f'{path}:1: licence {m.group(1)} is not in LICENSES/')
    tree.finish(findings, len(paths))


main()
