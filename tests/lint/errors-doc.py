#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""docs/errors.md is what reason.def says; each reason is raised by some code and provoked by some test (D8).

errors-doc.py doc|raised|tested    checks one of the three
errors-doc.py write                writes docs/errors.md
"""

import os
import re
import sys

import tree

TABLE = 'include/reseal/base/reason.def'
DOC = 'docs/errors.md'
ENTRY = re.compile(r'^REASON\((\w+),\s*(\w+),\s*"(\w+)",\s*"([^"]+)"\)$')
GROUP = re.compile(r'^/\* -- (.+?) -+ ?\*/$')

HEAD = '''<!-- SPDX-License-Identifier: LGPL-2.1-or-later -->
# Reasons

When Reseal refuses or fails, it says why with one word from this list. The word is the same everywhere: in the
journal (`RESEAL_REASON=`), on the bus (`org.reseal1.Error.<Reason>`, property `Reason` of a job), in the output of
`resealctl` and in the tests. Words may be added, never renamed. The first cause wins: what fails as a
consequence does not replace it.

This page is generated from `include/reseal/base/reason.def` by `tests/lint/errors-doc.py write`.
'''


def reasons():
    """[(group, [(symbol, errno, name, sentence)])]"""
    groups = []
    for n, line in enumerate(tree.read(TABLE).split('\n'), 1):
        group = GROUP.match(line)
        if group:
            groups.append((group.group(1), []))
        elif line.startswith('REASON('):
            entry = ENTRY.match(line)
            if not entry:
                sys.exit(f'{TABLE}:{n}: not REASON(SYMBOL, errno, "Name", "text") on one line')
            groups[-1][1].append(entry.groups())
    return groups


def page():
    out = [HEAD]
    for group, entries in reasons():
        out.append(f'\n## {group[0].upper()}{group[1:]}\n\n| reason | errno | meaning |\n|---|---|---|\n')
        out += [f'| `{name}` | {errno} | {text} |\n' for _, errno, name, text in entries]
    return ''.join(out)


def check_doc():
    have = tree.read(DOC) if os.path.exists(os.path.join(tree.TOP, DOC)) else ''
    return [] if have == page() else [f'{DOC}:1: is not what {TABLE} says: run tests/lint/errors-doc.py write']


def missing(what, texts, pattern):
    """One finding per reason whose pattern is in none of the texts."""
    whole = '\n'.join(texts)
    findings = []
    for _, entries in reasons():
        for symbol, _, name, _ in entries:
            if not re.search(pattern(symbol, name), whole):
                findings.append(f'{TABLE}:1: {name} is {what}')
    return findings


def check_raised():
    texts = [tree.read(p) for p in tree.files('.c', '.h', under=('src',))]
    # rs_fail(err, SYMBOL, ...), rs_fail_x(err, SYMBOL, ...), a table or a variable with RS_REASON_SYMBOL
    return missing('raised nowhere in src/', texts, lambda symbol, _:
                   rf'\brs_fail\w*\(\s*[^,;]+,\s*{symbol}\b|\bRS_REASON_{symbol}\b' +
                   (r'|\brs_fail_oom\(' if symbol == 'NO_MEMORY' else ''))


def check_tested():
    own = 'tests/unit/base/test-error.c'
    texts = [tree.read(p) or '' for p in tree.files('.c', '.h', '.sh', '.py', under=('tests',))
             if p != own and not p.startswith('tests/lint/')]
    return missing('provoked by no test', texts, lambda symbol, name:
                   rf'\bRS_REASON_{symbol}\b|"{name}"|\'{name}\'|\bError\.{name}\b|\b(REASON|reason)[=: ]*{name}\b'
                   rf'|\brefused\w* .*\b{name}\b|\bREFUSED\(.*, {symbol}\)')


def main():
    mode = sys.argv[1] if len(sys.argv) == 2 else ''
    if mode == 'write':
        with open(os.path.join(tree.TOP, DOC), 'w', encoding='utf-8') as f:
            f.write(page())
        return
    checks = {'doc': check_doc, 'raised': check_raised, 'tested': check_tested}
    if mode not in checks:
        sys.exit(__doc__)
    tree.finish(checks[mode](), sum(len(entries) for _, entries in reasons()))


main()
