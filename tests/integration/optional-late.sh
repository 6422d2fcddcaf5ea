#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What a device can do without does not come: the time-stamp authority, the revocation lists and the statement are served
# by somebody who takes the connection and is silent.  A check, which a health check may wait for, still has its verdict
# (kind: an optional step without a budget of its own).
set -euo pipefail

root=${SOURCE_ROOT:-$(dirname "$(readlink -f "$0")")/../..}
build=${BUILD_ROOT:-$root/build}
work=$(mktemp -d /var/tmp/reseal-late.XXXXXX)
pids=()
clean() {
    [ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap clean EXIT
for tool in dbus-daemon busctl nginx openssl swtpm systemd-socket-activate grub-editenv python3 jq; do
    command -v $tool >/dev/null || { echo "SKIP: $tool is not installed"; exit 77; }
done
# shellcheck source=tests/integration/bus.sh
. "$root/tests/integration/bus.sh"
# shellcheck source=tests/integration/device.sh
. "$root/tests/integration/device.sh"

pki=$work/pki
"$root/tests/fixtures/make-pki.sh" "$pki" >/dev/null
device_up
/usr/bin/python3 - "$work/silent" <<'END' &
import socket
import sys
import time
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen(64)
time.sleep(600)
END
pids+=($!)
wait_path "$work/silent"
silent="{ proxy_pass http://unix:$work/silent; }"
source_up "location = /tsa $silent location = /crls $silent location = /latest.rsf $silent"
sed -i "s,^\[trust\],&\ntime-root = $pki/time/root.pem," "$work/dev/writer.conf"
sed -i "s,^\[source\],&\ntsa = $url/tsa," "$work/dev.conf"
head -c 1M /dev/urandom >"$work/image"
bundle r1.rsb 1 "$work/image"
writer_up
bus_up dev open
daemon_up dev
verdict=$(timeout 90 "$build/src/resealctl/resealctl" --json check "$url/r1.rsb" 2>&1 | jq -r .verdict) || true
[ "$verdict" = newer ] || { echo "FAILED: the verdict is '$verdict'"; tail -n 20 "$work/dev.log" "$work/writer.log"; exit 1; }
for path in tsa crls latest.rsf; do
    grep -q " /$path " "$work/nginx/access.log" || { echo "FAILED: nobody asked for $path"; exit 1; }
done
echo "the verdict is there though three answers are not"
