#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A reseald that was taken over answers resealctl with what terminals obey: none of it comes out, in no verb and no form
# (kind: text from outside reaches root's terminal).
set -euo pipefail
ctl=$BUILD_ROOT/src/resealctl/resealctl
dir=$(mktemp -d /tmp/reseal-hostile-daemon.XXXXXX)
bus_pid= daemon_pid=
trap '[ -z "$daemon_pid" ] || kill "$daemon_pid" || true; [ -z "$bus_pid" ] || kill "$bus_pid"; rm -rf "$dir"' EXIT
fail() { echo "FAIL: $*" >&2; exit 1; }

cat >"$dir/bus.conf" <<CONF
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path=$dir/bus</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/>
<allow user="*"/></policy></busconfig>
CONF
bus_pid=$(dbus-daemon --config-file="$dir/bus.conf" --fork --print-pid)
export DBUS_SYSTEM_BUS_ADDRESS=unix:path=$dir/bus
"$BUILD_ROOT/tests/integration/hostile-daemon" >"$dir/ready" &
daemon_pid=$!
for _ in $(seq 100); do
        [ ! -s "$dir/ready" ] || break
        sleep 0.1
done
[ -s "$dir/ready" ] || fail "the daemon is not there"

n=0
harmless() { # FILE...: no control byte but line breaks, no C1, no mark of direction
        if LC_ALL=C grep -lP '[\x00-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\x8e\x8f\xaa-\xae]' "$@" >/dev/null; then
                fail "$what: $(cat -v "$@")"
        fi
        n=$((n + 1))
}
trapped=
ask() { # VERB...: also as JSON
        local how
        for how in '' --json; do
                what="resealctl $how $*"
                # shellcheck disable=SC2086
                timeout 20 "$ctl" $how "$@" >"$dir/out" 2>"$dir/err" </dev/null || true
                harmless "$dir/out" "$dir/err"
                ! grep -q 'x1b\]0;owned' "$dir/out" "$dir/err" || trapped="$trapped $1$how"
                [ -z "$how" ] || ! LC_ALL=C grep -qP '[\x80-\xff]' "$dir/out" || fail "$what: JSON is ASCII"
        done
}
: >"$dir/crl"
ask status
ask slots
ask keys
ask jobs
ask mark bad A
ask cancel 1
ask check https://localhost/x.rsb
ask inspect https://localhost/x.rsb
ask chain
ask chain --certify 00112233445566778899aabbccddeeff
ask time
ask crl
ask crl import "$dir/crl"
ask posture
ask policy
ask install https://localhost/x.rsb
ask install --no-wait https://localhost/x.rsb
ask watch 1
# the traps were there to be seen: what shows text shows it escaped
for verb in status slots keys jobs mark cancel check inspect chain time posture policy install; do
        [[ $trapped == *" $verb"* ]] || fail "$verb showed nothing of what the daemon said, so this test shows nothing"
done

echo "--- on a terminal, with the progress line and colours"
what="resealctl install on a terminal"
timeout 20 script -qec "'$ctl' install https://localhost/x.rsb" "$dir/typescript" >/dev/null </dev/null || true
[ -s "$dir/typescript" ] || fail "nothing was shown"
! LC_ALL=C grep -qP '\x1b\]|\x1b\[2J|\x07|\xc2[\x80-\x9f]' "$dir/typescript" || fail "$what: $(cat -v "$dir/typescript")"
echo "hostile-daemon: $n answers shown, none obeyed"
