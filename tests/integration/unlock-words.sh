#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# reseal-unlock says nothing on the console as it stands on the kernel command line: escape sequences, C1 bytes and broken
# text come out as \xNN, wherever the slot's name is told.
set -euo pipefail

unlock=${BUILD_ROOT:?}/src/initramfs/reseal-unlock
[ "$(id -u)" = 0 ] || { echo "SKIP: needs root, for a /run of its own"; exit 77; }
dir=$(mktemp -d)
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
device=$dir/none
type=luks2
C
failed=0
for name in $'\e[2J' $'\e]0;title\a' $'A\x9b2J' $'B\r\nA' $'\xff\xfe' "$(head -c 5000 /dev/zero | tr '\0' '\033')" $'A\u202e'; do
        status=0
        unshare -m sh -c 'mount -t tmpfs run /run && exec "$@"' - "$unlock" --config "$dir/writer.conf" --slot "$name" --timeout 0 \
                >"$dir/out" 2>&1 || status=$?
        # what may stand there: printable ASCII and line ends
        if [ "$status" = 1 ] && grep -q 'cannot be started' "$dir/out" && ! LC_ALL=C tr -d '\n\040-\176' <"$dir/out" | LC_ALL=C grep -q . &&
                [ "$(wc -l <"$dir/out")" -le 5 ]; then
                echo "ok   $(printf %q "${name:0:12}")"
        else
                echo "FAIL $(printf %q "${name:0:12}"): status $status"
                od -c "$dir/out" | head -20
                failed=1
        fi
done
exit $failed
