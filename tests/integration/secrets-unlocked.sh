#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Where memory cannot be locked, each program that holds keys says so, once, whenever it makes the first of them.
set -euo pipefail

root=${SOURCE_ROOT:-$(dirname "$(readlink -f "$0")")/../..}
build=${BUILD_ROOT:-$root/build}
for tool in dbus-daemon busctl nginx openssl swtpm systemd-socket-activate grub-editenv python3 setpriv prlimit; do
    command -v $tool >/dev/null || { echo "SKIP: $tool is not installed"; exit 77; }
done
if [ -z "${MEMORY_IS_LIMITED:-}" ]; then
    export MEMORY_IS_LIMITED=1
    [ "$(id -u)" != 0 ] || exec setpriv --bounding-set=-ipc_lock --inh-caps=-ipc_lock prlimit --memlock=0:0 "$0"
    exec prlimit --memlock=0:0 "$0"
fi
work=$(mktemp -d /var/tmp/reseal-unlocked.XXXXXX)
pids=()
clean() {
    [ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2>/dev/null || true
    wait 2>/dev/null || true
    [ -n "${KEEP:-}" ] || rm -rf "$work"
}
trap clean EXIT
unset JOURNAL_STREAM
# shellcheck source=tests/integration/bus.sh
. "$root/tests/integration/bus.sh"
# shellcheck source=tests/integration/device.sh
. "$root/tests/integration/device.sh"

n_passed=0 n_failed=0
ok() { n_passed=$((n_passed + 1)); }
bad() { n_failed=$((n_failed + 1)); echo "FAILED: $*"; }
said_once() { # said_once WHO TEXT FILE...
    local n
    n=$(cat "${@:3}" | grep -c "$2" || true)
    if [ "$n" = 1 ]; then ok; else bad "$1 says it $n times"; fi
}
on_stderr='warning: keys in memory cannot be locked'

"$root/tests/fixtures/make-pki.sh" "$work/pki" >/dev/null
device_up
source_up
head -c 2M /dev/urandom >"$work/image"
bundle r1.rsb 1 "$work/image" 2>"$work/bundle.log"
writer_up
bus_up dev open
daemon_up dev
[[ $(timeout 60 "$build/src/resealctl/resealctl" install "$url/r1.rsb" 2>&1) == *Installed* ]] && ok || bad 'the release is not installed'

said_once reseald 'Secrets could not be locked in memory (LimitMEMLOCK)' "$work/dev.log"
said_once reseal-writer 'ignoring that memory of keys cannot be locked: raise LimitMEMLOCK' "$work/writer.log"
# build, attach of the signature, publish: each is a process of its own
grep -q "$on_stderr" "$work/bundle.log" && ok || bad 'reseal-bundle or reseal-source says nothing'
grep -q "$on_stderr" "$work/dev/provision.log" && ok || bad 'reseal-provision says nothing'

echo "secrets-unlocked: $n_passed passed, $n_failed failed"
[ $n_failed = 0 ]
