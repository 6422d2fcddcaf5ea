#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Functions of at most 120 lines (counted by universal-ctags), files of at most 900, lines of at most 120 columns (aim: 110; rows of
tests 10 more)."""

import json
import subprocess

import tree

FUNCTION_MAX = 120
FILE_MAX = 900
COLUMNS_MAX = 120


def functions(paths):
    """(path, name, first line, last line) of each function."""
    out = subprocess.run(
        ['ctags', '--languages=C', '--langmap=C:.c.h', '--kinds-C=f', '--fields=+ne', '--output-format=json',
         '-f', '-', '-L', '-'],
        input='\n'.join(paths), cwd=tree.TOP, check=True, stdout=subprocess.PIPE, text=True).stdout
    for line in out.splitlines():
        tag = json.loads(line)
        if tag.get('_type') == 'tag' and 'end' in tag:
            yield tag['path'], tag['name'], tag['line'], tag['end']


def main():
    paths = tree.files('.c', '.h', under=('src', 'include', 'tests'))
    findings = []
    n_functions = 0
    for path, name, first, last in functions(paths):
        n_functions += 1
        if last - first + 1 > FUNCTION_MAX:
            findings.append(f'{path}:{first}: {name} has {last - first + 1} lines, more than {FUNCTION_MAX}')
    if not n_functions:
        findings.append('tests/lint/size.py:1: ctags found no function at all')
    for path in paths:
        lines = tree.read(path).split('\n')
        if len(lines) > FILE_MAX + 1:
            findings.append(f'{path}:{FILE_MAX}: {len(lines) - 1} lines, more than {FILE_MAX}')
        for n, line in enumerate(lines, 1):
            # messages and test vectors are not broken up: they must be found by grep
            if len(line) > COLUMNS_MAX + (10 if path.startswith('tests/') else 0) and '"' not in line:
                findings.append(f'{path}:{n}: {len(line)} columns, more than {COLUMNS_MAX}')
            if '\t' in line or line != line.rstrip():
                findings.append(f'{path}:{n}: tab, or blank at the end')
    tree.finish(findings, len(paths))


main()
