#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""measure.py [--pid PID]... [--count-command] -- COMMAND...

Runs COMMAND and prints one JSON line: wall seconds, CPU seconds and peak memory of the processes that do the work.
They are the PIDs named (services that run already) and, with --count-command, COMMAND and its children.
CPU: user + system from /proc/PID/stat before and after, and rusage of the command.
Memory: the largest sum of Pss seen, sampled every 10 ms; Pss counts a page shared by two of them once.
"""
import json
import os
import resource
import subprocess
import sys
import time

TICK = os.sysconf('SC_CLK_TCK')


def cpu_of(pid):
    try:
        with open(f'/proc/{pid}/stat') as f:
            fields = f.read().rsplit(')', 1)[1].split()
        # utime, stime and those of children that ended
        return sum(int(fields[i]) for i in (11, 12, 13, 14)) / TICK
    except OSError:
        return 0.0


def children_of(pid):
    try:
        with open(f'/proc/{pid}/task/{pid}/children') as f:
            pids = [int(p) for p in f.read().split()]
    except OSError:
        return []
    return pids + [g for p in pids for g in children_of(p)]


def pss_of(pid):
    try:
        with open(f'/proc/{pid}/smaps_rollup') as f:
            for line in f:
                if line.startswith('Pss:'):
                    return int(line.split()[1])
    except OSError:
        pass
    return 0


def main():
    split = sys.argv.index('--')
    args, command = sys.argv[1:split], sys.argv[split + 1:]
    pids = [int(args[i + 1]) for i, a in enumerate(args) if a == '--pid']
    count_command = '--count-command' in args

    before = {p: cpu_of(p) for p in pids}
    peak = 0
    start = time.monotonic()
    child = subprocess.Popen(command, stdout=sys.stderr)
    while True:
        watched = list(pids) + ([child.pid] + children_of(child.pid) if count_command else [])
        watched += [c for p in pids for c in children_of(p)]
        peak = max(peak, sum(pss_of(p) for p in watched))
        if child.poll() is not None:
            break
        time.sleep(0.01)
    wall = time.monotonic() - start
    cpu = sum(max(0.0, cpu_of(p) - before[p]) for p in pids)
    if count_command:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu += usage.ru_utime + usage.ru_stime
    print(json.dumps({'wall': round(wall, 3), 'cpu': round(cpu, 3), 'pss_kib': peak, 'exit': child.returncode}))
    return child.returncode


if __name__ == '__main__':
    sys.exit(main())
