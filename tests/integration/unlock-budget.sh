#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# reseal-unlock ends when its budget is over, whatever it waits for, and its status says that the bootloader was not told: 2.
# What it refuses itself ends with 1.  --not-started then tells such an end from a slot that was opened.  The alarm's seconds are
# hundredths here (hurry.c).
set -euo pipefail

build=${BUILD_ROOT:?} dir=$(mktemp -d "${TMPDIR:-/tmp}/reseal-budget.XXXXXX")
[ "$(id -u)" = 0 ] || { echo "SKIP: needs root, for a /run of its own"; exit 77; }
trap 'rm -rf "$dir"' EXIT
cat >"$dir/writer.conf" <<C
[device]
line=gateway
compatible=board
[trust]
firmware-root=$dir/root.pem
[slot rootfs.a]
class=rootfs
boot-name=A
device=$dir/never
type=luks2
C
check() { # STATUS WORDS MILLISECONDS AT LEAST, AT MOST; OPTIONS: of a start with a partition that does not appear
        local begin took status=0
        begin=$(date +%s%3N)
        LD_PRELOAD=$build/tests/integration/libhurry.so ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}verify_asan_link_order=0 \
                before=${before:-:} unshare -m sh -c 'mount -t tmpfs run /run && mkdir /run/reseal && eval "$before" && exec "$@"' - "$build/src/initramfs/reseal-unlock" \
                --config "$dir/writer.conf" --slot A "${@:5}" >"$dir/out" 2>&1 || status=$?
        took=$(($(date +%s%3N) - begin))
        if [ "$status" = "$1" ] && grep -q "$2" "$dir/out" && [ "$took" -ge "$3" ] && [ "$took" -lt "$4" ]; then
                echo "ok   $1, $2: $took ms"
        else
                echo "FAIL wanted $1, $2, $3 to $4 ms; status $status after $took ms:"
                cat "$dir/out"
                exit 1
        fi
}
# three waits of 30 s and a minute, or 150 hundredths of a second; its own wait would end after 30 s
check 2 'not done in time' 1500 25000 --timeout 30
check 1 'cannot be started' 0 25000 --timeout 0
check 2 'wrong arguments' 0 25000 --timeout x
check 0 'opening it did not come to its end' 0 25000 --not-started
before=': >/run/reseal/booted' check 0 'it was opened, and no system came up from it' 0 25000 --not-started
