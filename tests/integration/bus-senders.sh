#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What one user of the bus keeps waiting, with descriptors and without, costs nobody else a place and reseald nothing.
set -euo pipefail

root=${SOURCE_ROOT:-$(dirname "$(readlink -f "$0")")/../..}
build=${BUILD_ROOT:-$root/build}
work=$(mktemp -d /tmp/reseal-senders.XXXXXX)
pids=()
clean() {
    [ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap clean EXIT
for tool in dbus-daemon busctl setpriv python3; do
    command -v $tool >/dev/null || { echo "SKIP: $tool is not installed"; exit 77; }
done
[ "$(id -u)" = 0 ] || { echo "SKIP: needs root, to call as somebody else"; exit 77; }
chmod 755 "$work"
# shellcheck source=tests/integration/bus.sh
. "$root/tests/integration/bus.sh"

n_passed=0 n_failed=0
ok() { n_passed=$((n_passed + 1)); }
bad() { n_failed=$((n_failed + 1)); echo "FAILED: $*"; }
expect() { # expect NAME PATTERN OUTPUT
    # shellcheck disable=SC2053 # a pattern it is
    if [[ $3 == $2 ]]; then ok; else bad "$1: expected '$2', got '$3'"; fi
}
cp "$build/src/resealctl/resealctl" "$work/" && chmod 755 "$work/resealctl"
operator=$(getent group reseal-operator | cut -d: -f3) || true
"$root/tests/fixtures/make-pki.sh" "$work/pki" >/dev/null

# Each message with descriptors that nobody asked for; a limit that they would exceed if they were kept.
daemon_conf e
bus_up e open
python3 -c '
import socket, sys, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.bind(sys.argv[1]); s.listen(64)
time.sleep(600)' "$work/e.sock" &
hung_writer=$!
pids+=("$hung_writer")
for i in $(seq 1200); do [ -S "$work/e.sock" ] && break; sleep 0.05; done
soft=$(ulimit -Sn)
ulimit -Sn 128
daemon_up e
ulimit -Sn "$soft"
flooding=$daemon
flood() { # flood NAME ARGUMENTS...: until the input is closed
    mkfifo "$work/$1.stop"
    python3 "$root/tests/integration/bus-flood.py" 65534 "$work/e.bus" "${@:2}" <"$work/$1.stop" >"$work/$1.flood" 2>&1 &
    pids+=($!)
    exec {flood_stop}>"$work/$1.stop"
    for i in $(seq 1200); do grep -q sent "$work/$1.flood" && break; sleep 0.05; done
}
flood_settles() { # flood_settles NAME ERROR: until as many as are refused at once have been
    for i in $(seq 200); do [ "$(grep -c "$2" "$work/$1.flood")" -ge "$3" ] && break; sleep 0.05; done
    grep -c "$2" "$work/$1.flood" || true
}
flood chain 12 4 16 GetChain
call GetChain >"$work/root.chain" 2>&1 &
root_asks=$!
expect 'one user has four questions at a time, over all his connections' 44 "$(flood_settles chain Busy 44)"
sleep 0.5
kill -0 "$flooding" && ok || bad 'the daemon ends by descriptors sent along'
expect 'few descriptors are kept' yes "$([ "$(ls /proc/"$flooding"/fd | wc -l)" -lt 40 ] && echo yes)"
kill "$hung_writer"
wait $root_asks || true
expect 'root has a place, whatever others ask' '*writer*' "$(cat "$work/root.chain")"
exec {flood_stop}>&-

"$build/tests/integration/fake-polkit" silent >"$work/polkit.silent" &
pids+=($!)
for i in $(seq 1200); do [ -s "$work/polkit.silent" ] && break; sleep 0.05; done
flood check 40 4 0 Check
expect 'one user has four open questions to polkit' 156 "$(flood_settles check Busy 156)"
expect 'root does not wait behind them' '*Connect*' "$("$work/resealctl" inspect https://localhost:1/x.rsb 2>&1 || true)"
if [ -n "$operator" ]; then
    expect 'nor does an operator' 'timed out' \
        "$(timeout 3 setpriv --reuid=65533 --regid=65533 --groups="$operator" "$work/resealctl" inspect https://localhost:1/x.rsb 2>&1 && echo answered || echo timed out)"
fi
exec {flood_stop}>&-
kill -0 "$flooding" && ok || bad 'the daemon did not live through that'
kill -TERM "$flooding"
wait "$flooding" || true

echo "$n_passed passed, $n_failed failed"
[ $n_failed = 0 ]
