#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# resealctl without a service: usage, exit codes, completion and man page agree on the verbs.
set -euo pipefail
ctl=$BUILD_ROOT/src/resealctl/resealctl
dir=$(mktemp -d)
bus_pid=
trap '[ -z "$bus_pid" ] || kill "$bus_pid"; rm -rf "$dir"' EXIT

fail() { echo "FAIL: $*" >&2; exit 1; }
expect() { # CODE COMMAND...
        local want=$1 got=0
        shift
        "$@" >"$dir/out" 2>"$dir/err" || got=$?
        [ "$got" = "$want" ] || fail "$* gave $got, not $want: $(cat "$dir/err")"
}

expect 0 "$ctl" --help
expect 0 "$ctl" --version
expect 2 "$ctl"
expect 2 "$ctl" frobnicate
expect 2 "$ctl" --frobnicate status
expect 2 "$ctl" mark
expect 2 "$ctl" install
expect 2 "$ctl" --color sometimes status

export DBUS_SYSTEM_BUS_ADDRESS=unix:path=$dir/none
expect 3 "$ctl" status
grep -q '^resealctl: Connect: ' "$dir/err" || fail "no reason for a missing bus: $(cat "$dir/err")"

cat >"$dir/bus.conf" <<CONF
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path=$dir/bus</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/>
<allow user="*"/></policy></busconfig>
CONF
bus_pid=$(dbus-daemon --config-file="$dir/bus.conf" --fork --print-pid)
export DBUS_SYSTEM_BUS_ADDRESS=unix:path=$dir/bus
for verb in status slots jobs keys; do
        expect 3 "$ctl" "$verb"
done
expect 3 "$ctl" install https://localhost/x.rsb
expect 2 "$ctl" mark bad
expect 2 "$ctl" --below-accepted status
expect 2 "$ctl" --below-accepted mark bad
expect 2 "$ctl" --below-accepted mark bad other
expect 2 "$ctl" --below-accepted mark worse A
expect 2 "$ctl" cancel x

for verb in $("$ctl" --help | sed -n '/^Verbs:/,/^$/s/^  \([a-z]*\) .*/\1/p'); do
        grep -q "\b$verb\b" "$SOURCE_ROOT/conf/completions/resealctl.bash" || fail "completion lacks $verb"
        grep -q "^\.It Cm $verb\b" "$SOURCE_ROOT/docs/man/resealctl.1" || fail "resealctl(1) lacks $verb"
done
echo "resealctl usage: all good"
