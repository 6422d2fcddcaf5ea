#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The seven-line contract at the top of each header, and the head comment at the top of each source file."""

import os
import re

import tree

FIELDS = ('Spec', 'Trust', 'Owns', 'Units', 'Errors', 'Context', 'Programs')
COMMENT = re.compile(r'/\*.*?\*/', re.S)


def head_comment(text):
    """The first comment after the licence line, if nothing but preprocessor guards stands before it."""
    comments = COMMENT.finditer(text)
    for m in comments:
        if 'SPDX-License-Identifier' in m.group(0):
            continue
        before = COMMENT.sub('', text[:m.start()]).replace('#pragma once', '').strip()
        return m.group(0) if not before else None
    return None


def check_header(path, text):
    stem = os.path.splitext(os.path.basename(path))[0]
    comment = head_comment(text)
    if not re.search(r'^#pragma once$', text, re.M):
        yield f'{path}:1: no #pragma once'
    if not comment:
        yield f'{path}:1: no contract'
        return
    if not re.search(rf'^ \* {re.escape(stem)} - \S', comment, re.M):
        yield f'{path}:1: the contract does not start with "{stem} - what it is"'
    found = re.findall(r'^ \* ([A-Z][a-z]+): *(.*)$', comment, re.M)
    names = [name for name, _ in found if name in FIELDS]
    if names != list(FIELDS):
        missing = [f for f in FIELDS if f not in names]
        yield f'{path}:1: contract: ' + (f'without {", ".join(missing)}' if missing else 'fields out of order')
    for name, value in found:
        if name in FIELDS and not value.strip():
            yield f'{path}:1: contract: {name} says nothing ("none" is an answer)'


def check_source(path, text):
    comment = head_comment(text)
    words = re.findall(r'[A-Za-z]{2,}', comment or '')
    if len(words) < 12:
        yield f'{path}:1: no head comment that says what, why so and what must hold'


def main():
    findings = []
    headers = tree.files('.h', under=('include', 'src'))
    sources = tree.files('.c', under=('src',))
    for path in headers:
        findings += check_header(path, tree.read(path))
    for path in sources:
        findings += check_source(path, tree.read(path))
    tree.finish(findings, len(headers) + len(sources))


main()
