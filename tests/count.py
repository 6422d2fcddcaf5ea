#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""count.py [--cost] LOG.json: what a `meson test` run did, from its JSON log.

Each test function of a cmocka program counts, and each script as one.  Prints the failed and the skipped with their
cause, then a last line "PASSED FAILED SKIPPED".  A skip without a named cause is a failure.  --cost: each test's seconds, too.
"""

import json
import re
import sys

CMOCKA = re.compile(r'^\[ +(OK|FAILED|SKIPPED) +\] ([A-Za-z_]\w*)(?:$|:)', re.M)


def cause_of(test):
    """The last line that a test with exit code 77 printed."""
    lines = [line.strip() for line in (test.get('stdout', '') + '\n' + test.get('stderr', '')).split('\n')]
    return next((line for line in reversed(lines) if line), '')


def count(test):
    """(passed, [failed], [skipped]) of one meson test."""
    name, result = test['name'], test['result']
    output = test.get('stdout', '') + '\n' + test.get('stderr', '')
    inner = {}
    for outcome, function in CMOCKA.findall(output):
        inner[function] = 'FAILED' if 'FAILED' in (outcome, inner.get(function)) else outcome
    passed = sum(1 for outcome in inner.values() if outcome == 'OK')
    failed = [f'{name}: {f}' for f, outcome in inner.items() if outcome == 'FAILED']
    skipped = [f'{name}: {f}' for f, outcome in inner.items() if outcome == 'SKIPPED']

    if result in ('OK', 'EXPECTEDFAIL'):
        return passed or (0 if skipped else 1), failed, skipped
    if result == 'SKIP':
        cause = cause_of(test)
        return (passed, failed, skipped + [f'{name}: {cause}']) if cause else \
               (passed, failed + [f'{name}: skipped without a cause'], skipped)
    return passed, failed or [f'{name}: {result.lower()} (exit {test.get("returncode")})'], skipped


def main():
    n_passed, all_failed, all_skipped = 0, [], []
    with open(sys.argv[-1], encoding='utf-8', errors='replace') as log:
        for line in log:
            test = json.loads(line)
            if '--cost' in sys.argv:
                print(f'        {test["duration"]:6.0f} s  {test["name"]}')
            passed, failed, skipped = count(test)
            n_passed += passed
            all_failed += failed
            all_skipped += skipped
            if failed:
                output = (test.get('stdout', '') + '\n' + test.get('stderr', '')).strip().split('\n')
                print('\n'.join(f'        | {line}' for line in output[-25:]))
    for what in all_failed:
        print(f'        FAILED  {what}')
    for what in all_skipped:
        print(f'        SKIPPED {what}')
    print(n_passed, len(all_failed), len(all_skipped))


if __name__ == '__main__':
    main()
