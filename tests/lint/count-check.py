#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""tests/count.py decides what passes: here it is given every outcome that a test can have."""

import os
import sys

import tree

sys.path.insert(0, os.path.join(tree.TOP, 'tests'))
import count  # noqa: E402  (the path above comes first)

TWO_GOOD = '[ RUN      ] one\n[       OK ] one\n[ RUN      ] two\n[       OK ] two\n'
CASES = (
    # result, output -> passed, number of failed, number of skipped
    ('OK', '', (1, 0, 0)),
    ('OK', 'any text', (1, 0, 0)),
    ('OK', TWO_GOOD, (2, 0, 0)),
    ('FAIL', '', (0, 1, 0)),
    ('FAIL', TWO_GOOD, (2, 1, 0)),                                 # crashed at the end
    ('FAIL', TWO_GOOD + '[  FAILED  ] three\n', (2, 1, 0)),
    ('FAIL', TWO_GOOD + '[  FAILED  ] three\n[  FAILED  ] three\n', (2, 1, 0)),   # told again in the summary
    ('OK', TWO_GOOD + '[  FAILED  ] three\n', (2, 1, 0)),           # an exit status that lies
    ('OK', TWO_GOOD + '[  SKIPPED ] three\n', (2, 0, 1)),
    ('OK', '[  SKIPPED ] three\n', (0, 0, 1)),
    ('TIMEOUT', 'waiting', (0, 1, 0)),
    ('ERROR', '', (0, 1, 0)),
    ('SKIP', 'SKIP: no /dev/loop-control\n', (0, 0, 1)),
    ('SKIP', '\n', (0, 1, 0)),                                      # no cause named
    ('INTERRUPT', '', (0, 1, 0)),
)


def main():
    findings = []
    for result, stdout, expected in CASES:
        passed, failed, skipped = count.count({'name': 'x', 'result': result, 'stdout': stdout, 'returncode': 1})
        if (passed, len(failed), len(skipped)) != expected:
            findings.append(f'tests/count.py:1: {result} {stdout!r}: {passed} {failed} {skipped}, not {expected}')
    tree.finish(findings, len(CASES))


main()
