#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# An encrypted image is in nobody's memory once it is installed: neither reseald nor the writer keeps a piece of it.
set -euo pipefail

root=${SOURCE_ROOT:-$(dirname "$(readlink -f "$0")")/../..}
build=${BUILD_ROOT:-$root/build}
work=$(mktemp -d /var/tmp/reseal-plain.XXXXXX)
pids=()
clean() {
    [ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2>/dev/null || true
    wait 2>/dev/null || true
    [ -n "${KEEP:-}" ] || rm -rf "$work"
}
trap clean EXIT
for tool in dbus-daemon busctl nginx openssl swtpm systemd-socket-activate grub-editenv python3; do
    command -v $tool >/dev/null || { echo "SKIP: $tool is not installed"; exit 77; }
done
[ "$(id -u)" = 0 ] || { echo 'SKIP: memory of other processes is read'; exit 77; }
# shellcheck source=tests/integration/bus.sh
. "$root/tests/integration/bus.sh"
# shellcheck source=tests/integration/device.sh
. "$root/tests/integration/device.sh"

n_passed=0 n_failed=0
ok() { n_passed=$((n_passed + 1)); }
bad() { n_failed=$((n_failed + 1)); echo "FAILED: $*"; }
ctl() { timeout 120 "$build/src/resealctl/resealctl" "$@" 2>&1 || true; }

# in_memory PID: how many times the marker is in what the process has mapped, and how many MiB that are
in_memory() {
    python3 - "$1" <<'END'
import sys
# in two parts: no process has it because it was given it as an argument
marker = b'marker-of-' + b'the-image-'
found = size = 0
with open(f'/proc/{sys.argv[1]}/maps') as maps, open(f'/proc/{sys.argv[1]}/mem', 'rb', 0) as memory:
    for line in maps:
        extent, flags = line.split()[:2]
        if 'r' not in flags or '[vvar' in line or '[vsyscall' in line:
            continue
        start, end = (int(x, 16) for x in extent.split('-'))
        memory.seek(start)
        try:
            data = memory.read(end - start)
        except OSError:
            continue
        size += len(data)
        found += data.count(marker)
print(found, 'in', size >> 20)
END
}
expect_none() { # expect_none WHO PID
    local is
    is=$(in_memory "$2")
    if [[ $is == '0 in '[1-9]* ]]; then ok; else bad "$1: the marker is in memory: $is MiB"; fi
}

"$root/tests/fixtures/make-pki.sh" "$work/pki" >/dev/null
device_up
source_up
# frames that are kept as they are, and frames whose literals and matches hold the marker
python3 - "$work/image" <<'END'
import os, random, sys
marker = b'marker-of-' + b'the-image-'
with open(sys.argv[1], 'wb') as image:
    for n in range(2048):
        image.write(marker + b'%06u' % n + os.urandom(4096 - len(marker) - 6))
    for n in range(2048):
        image.write((marker + b'%06u ' % random.randrange(10**6)) * 4 + b'text %u ' % n * 400 + b'\0' * 1024)
    image.write(b'\0' * (-image.tell() % 65536))
END
bundle r1.rsb 1 "$work/image"
writer_up
bus_up dev open
daemon_up dev

[[ $(ctl install "$url/r1.rsb") == *Installed* ]] && ok || bad 'the release is not installed'
expect_none reseald "$daemon"
expect_none 'the writer' "$writer"

# also when it ends in the middle: cancelled while frames are on their way
ctl mark bad B >/dev/null
bundle r2.rsb 2 "$work/image"
id=$("$build/src/bundle/reseal-bundle" info "$work/r2.rsb" | awk '$1 == "id" {print $2}')
call Install 'sa{sv}' "$url/slow/r2.rsb" 1 ticket s "$url/$(cd "$work/www" && echo "tickets/$id"/*.rst)" >/dev/null
seen=
for _ in $(seq 200); do
    if [[ $(in_memory "$daemon") != '0 in '* ]]; then seen=1; break; fi
    sleep 0.05
done
[ -n "$seen" ] && ok || bad 'the marker is never seen while frames are on their way: this test tests nothing'
ctl cancel >/dev/null
for _ in $(seq 200); do
    [ "$(call ListJobs)" != 'a(os) 0' ] || break
    sleep 0.05
done
expect_none 'reseald, cancelled' "$daemon"
expect_none 'the writer, cancelled' "$writer"

echo "plaintext-gone: $n_passed passed, $n_failed failed"
[ $n_failed = 0 ]
