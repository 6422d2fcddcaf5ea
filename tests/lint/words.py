#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""No unfinished work, no names of the machine it was written on, no names that say nothing, shell that parses."""

import os
import re
import subprocess

import tree

# In pieces, so that this file is no finding of its own.
UNFINISHED = re.compile(r'\b(' + '|'.join(('TO' 'DO', 'FIX' 'ME', 'XX' 'X', 'HA' 'CK')) + r')\b')
MACHINE = re.compile(r'(^|[^A-Za-z0-9_.$}-])/(' + '|'.join(('wo' 'rk', 'ho' 'me', 'us' 'ers')) + r')/[A-Za-z.]'
                     r'|\.\./' + 'sha' 'red' + r'\b', re.I)
SAYS_NOTHING = re.compile(r'(^|/)(util|utils|common|misc|helpers?)\.(c|h)$')


def main():
    findings = []
    paths = [p for p in tree.files() if not p.startswith(('LICENSES/', 'tests/fuzz/seeds/'))]
    for path in paths:
        if SAYS_NOTHING.search(path):
            findings.append(f'{path}:1: the name says nothing')
        text = tree.read(path)
        if text is None:
            continue
        for n, line in enumerate(text.split('\n'), 1):
            if UNFINISHED.search(line):
                findings.append(f'{path}:{n}: unfinished work: finish it, or open an issue and cite it')
            if MACHINE.search(line):
                findings.append(f'{path}:{n}: names a place of one machine')
        shell = re.match(r'#!.*\b(ba)?sh\b', text)
        if shell:
            r = subprocess.run([shell.group(1) and 'bash' or 'sh', '-n', os.path.join(tree.TOP, path)],
                               stderr=subprocess.PIPE, text=True, check=False)
            if r.returncode != 0:
                findings.append(f'{path}:1: {r.stderr.strip()}')
            if not os.access(os.path.join(tree.TOP, path), os.X_OK):
                findings.append(f'{path}:1: a script that is not executable')
    tree.finish(findings, len(paths))


main()
