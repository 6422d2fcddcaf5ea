#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# However a source lets us wait, in each phase of a request: cancel and deadline end it within two seconds (kinds: a
# library's default that acts on the peer's word; a wait without an end).  In a network of its own, in which packets to
# 10.9.9.0/24 vanish: a name server and a host that are silent.
set -euo pipefail

if [ -z "${RESEAL_OWN_NETWORK:-}" ]; then
    RESEAL_OWN_NETWORK=yes exec unshare --net --mount -- "$0" "$@"
fi
root=${SOURCE_ROOT:-$(dirname "$(readlink -f "$0")")/../..}
build=${BUILD_ROOT:-$root/build}
fetch=$build/tests/integration/fetch
here=$root/tests/integration
work=$(mktemp -d /tmp/reseal-waits.XXXXXX)
pids=()
clean() {
    [ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap clean EXIT
"$root/tests/fixtures/make-pki.sh" "$work/pki" >/dev/null
pki=$work/pki

ip link set lo up
ip link add silent type veth peer name nobody
ip addr add 10.9.9.1/24 dev silent
ip link set silent up
ip link set nobody up
for host in 7 8 9; do # their address is known, so nobody tells that they are not there
    ip neigh add 10.9.9.$host lladdr 02:00:00:00:00:0$host dev silent nud permanent
done
printf 'nameserver 10.9.9.8\nnameserver 10.9.9.9\n' >"$work/resolv.conf"
mount --bind "$work/resolv.conf" /etc/resolv.conf

n_passed=0 n_failed=0
# ends NAME WANT ARGUMENTS...: within 0.7 s and two more, by one of the reasons WANT
ends() {
    local name=$1 want=$2 out began took
    shift 2
    began=$(date +%s%N)
    out=$(timeout 60 "$fetch" --retries 0 --anchors "$pki/source/root.pem" --cert "$pki/device/one-identity.pem" \
        --key "$pki/device/one-identity.key" --low-speed-ms 100000 "$@" 2>"$work/stderr") || true
    took=$((($(date +%s%N) - began) / 1000000))
    if [[ $out =~ ^($want)\  ]] && [ $took -le ${LIMIT_MS:-2700} ]; then
        n_passed=$((n_passed + 1))
        echo "ok: $name: ${out%% *} after $took ms"
    else
        n_failed=$((n_failed + 1))
        echo "FAILED: $name: '$out' after $took ms, not '$want' within ${LIMIT_MS:-2700}"
        cat "$work/stderr"
    fi
}
both() { # NAME VERB URL
    ends "$1, cancelled" Cancelled --cancel-ms 700 "$2" "$3"
    ends "$1, deadline" Slow --deadline-ms 700 "$2" "$3"
}
server() { # NAME COMMAND...: sets url
    local name=$1 i
    shift
    "$@" &
    pids+=($!)
    for i in $(seq 1200); do
        [ -s "$work/$name.port" ] && break
        sleep 0.05
    done
    url=https://localhost:$(cat "$work/$name.port")/x
}
certificate=("$pki/source/server.pem" "$pki/source/server.key")

grep -q '^hosts:.*dns' /etc/nsswitch.conf || { echo "SKIP: names are not looked up by DNS here"; exit 77; }
both 'name servers that are silent' open https://nobody.example/x
both 'a host that is silent' open https://10.9.9.7/x
for phase in handshake head interim slow-head body trailers; do
    server $phase /usr/bin/python3 "$here/stalling-server.py" "$work/$phase.port" "${certificate[@]}" $phase
    both "a server that is silent or endless in the phase $phase" get "$url"
done

# what may be missing has a quarter of the deadline, whatever the server says of later
server late /usr/bin/python3 "$here/stalling-server.py" "$work/late.port" "${certificate[@]}" head
ends 'an optional file that does not come' Slow --deadline-ms 2800 optional "$url"
server later /usr/bin/python3 "$here/stalling-server.py" "$work/later.port" "${certificate[@]}" later
ends 'an optional file that is promised for in an hour' Slow --deadline-ms 2800 --retries 5 optional "$url"

# these end by themselves, and at once
server te-500 /usr/bin/python3 "$here/stalling-server.py" "$work/te-500.port" "${certificate[@]}" te-500
ends 'an error page in three layers of gzip' Http --cancel-ms 20000 get "$url"
server te-206 /usr/bin/python3 "$here/stalling-server.py" "$work/te-206.port" "${certificate[@]}" te-206
ends 'a range in gzip' Http --cancel-ms 20000 open "$url"
server tickets "$build/tests/integration/endless-tickets" "$work/tickets.port" "${certificate[@]}"
ends 'session tickets without end' TooMuch --cancel-ms 20000 get "$url"
server few "$build/tests/integration/endless-tickets" "$work/few.port" "${certificate[@]}" 20
ends 'a few tickets more than usual are none of our business' 'Connect|Truncated' --cancel-ms 20000 get "$url"

echo "$n_passed passed, $n_failed failed"
[ $n_failed = 0 ] && [ $n_passed = 22 ]
