# SPDX-License-Identifier: LGPL-2.1-or-later
"""tree - what the lints look at: the files of the project, and how a finding is told.

Each lint is a program of its own: no argument, one line "file:line: what" per finding, exit 1 if there is any.
"""

import os
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def files(*suffixes, under=()):
    """Paths relative to the top, sorted: what git has or would add; without git, all but build directories."""
    try:
        listed = subprocess.run(
            ['git', '-C', TOP, '-c', f'safe.directory={TOP}', 'ls-files', '-z', '--cached', '--others',
             '--exclude-standard'],
            check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout.decode().split('\0')
    except (OSError, subprocess.CalledProcessError):
        listed = []
        for directory, names, found in os.walk(TOP):
            names[:] = [n for n in names if n not in ('.git', '.cache', '__pycache__') and
                        not (directory == TOP and n.startswith('build'))]
            listed += [os.path.relpath(os.path.join(directory, f), TOP) for f in found]
    return sorted({p for p in listed
                   if p and os.path.isfile(os.path.join(TOP, p))
                   and (not suffixes or p.endswith(suffixes))
                   and (not under or p.startswith(tuple(u + '/' for u in under)))})


def read(path):
    """The text of a file, or None if it is not text."""
    try:
        with open(os.path.join(TOP, path), encoding='utf-8') as f:
            return f.read()
    except UnicodeDecodeError:
        return None


def finish(findings, looked_at):
    """Prints the findings and ends the program.  Having looked at nothing is a failure as well."""
    for finding in findings:
        print(finding)
    if not looked_at:
        print('looked at nothing')
    print(f'{looked_at} looked at, {len(findings)} findings')
    sys.exit(1 if findings or not looked_at else 0)
