#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# reseald with the real writer, a software TPM, nginx with client certificates: install, resume, cancel, refusals.
set -euo pipefail

root=${SOURCE_ROOT:-$(dirname "$(readlink -f "$0")")/../..}
build=${BUILD_ROOT:-$root/build}
work=$(mktemp -d /var/tmp/reseal-install.XXXXXX)
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
# shellcheck source=tests/integration/bus.sh
. "$root/tests/integration/bus.sh"
# shellcheck source=tests/integration/device.sh
. "$root/tests/integration/device.sh"

n_passed=0 n_failed=0
ok() { n_passed=$((n_passed + 1)); }
bad() { n_failed=$((n_failed + 1)); echo "FAILED: $*"; }
expect() { # expect NAME PATTERN OUTPUT
    # shellcheck disable=SC2053 # a pattern it is
    if [[ $3 == $2 ]]; then ok; else bad "$1: expected '$2', got '$3'"; fi
}
refused_with() { expect "$1" "*$2*" "$3"; }
ctl() { timeout 120 "$build/src/resealctl/resealctl" "$@" 2>&1 || true; }

"$root/tests/fixtures/make-pki.sh" "$work/pki" >/dev/null
device_up
source_up
# 20 MiB: noise, zeros, text; its frames are of every kind
{
    head -c 9M /dev/urandom
    head -c 4M /dev/zero
    head -c 3M /dev/zero | tr '\0' 'y'
    head -c 4M /dev/zero | tr '\0' 'x'
} >"$work/image"
bundle r1.rsb 1 "$work/image"
bundle r2.rsb 2 "$work/image"
writer_up
bus_up dev open
daemon_up dev

# -- mutual TLS with the key in the TPM --------------------------------------------------------------------------------

fetch() {
    "$build/tests/integration/fetch" --anchors "$work/pki/source/root.pem" --cert "$work/dev/state/keys/identity.pem" \
        --key "tpm:swtpm:path=$work/dev/tpm/s:$work/dev/state/keys" "$@" 2>"$work/stderr" || true
}
expect 'the key in the TPM proves who the device is' "ok $(stat -c %s "$work/r1.rsb") $(sha256sum "$work/r1.rsb" | cut -d' ' -f1)" \
    "$(fetch open "$url/r1.rsb")"

# -- install -----------------------------------------------------------------------------------------------------------

expect 'slots are listed' '*rootfs.a*rootfs.b*' "$(ctl slots)"
expect 'keys are listed' '*identity*unwrap*' "$(ctl keys)"
expect 'with what the TPM permits' '*attributes*fixedTPM*noDA*' "$(ctl keys)"
expect 'an inspection says what it is and that it is acceptable' '*1.1*release 1*device takes it*' "$(ctl inspect "$url/r1.rsb")"
grep -c '"GET' "$work/nginx/access.log" >/dev/null && ok || bad 'no request was logged'
before=$(sha256sum <"$work/dev/slot-a")
expect 'release 1 is installed' '*Installed*' "$(ctl install "$url/r1.rsb")"
expect 'the other slot is next' 'ORDER=B A' "$(grub-editenv "$work/dev/boot/grubenv" list | grep ORDER)"
expect 'the running slot is untouched' "$before" "$(sha256sum <"$work/dev/slot-a")"
expect 'the state is STAGED' 's "STAGED"' \
    "$(busctl --address="$DBUS_SYSTEM_BUS_ADDRESS" get-property org.reseal1 /org/reseal1 org.reseal1.Manager State)"
[ ! -e "$work/dev/state/job" ] && ok || bad 'the record stays after the end'
expect 'the slot is a LUKS2 volume with our token' '*reseal*' "$(cryptsetup luksDump "$work/dev/slot-b" 2>&1 | grep -A1 Tokens)"

# -- refusals ----------------------------------------------------------------------------------------------------------

refused_with 'what is not there' NotFound "$(ctl install "$url/nothing.rsb")"
cp "$work/r2.rsb" "$work/www/noticket.rsb"
mv "$work/www/tickets" "$work/www/tickets.away"
refused_with 'a bundle without a ticket for this device' NotFound "$(ctl install "$url/noticket.rsb")"
mv "$work/www/tickets.away" "$work/www/tickets"
id1=$("$build/src/bundle/reseal-bundle" info "$work/r1.rsb" | awk '$1 == "id" {print $2}')
ticket1=$(cd "$work/www" && echo "tickets/$id1"/*.rst)
ticket2=$(cd "$work/www" && find tickets -name '*.rst' ! -path "*$id1*")
refused_with 'the ticket of another bundle' WrongBundle "$(ctl install --ticket "$url/$ticket1" "$url/r2.rsb")"
python3 - "$work/r2.rsb" "$work/www" <<'END'
import sys
good = bytearray(open(sys.argv[1], 'rb').read())
for name, at in (('header', 20), ('manifest', 400), ('first', len(good) // 2), ('last', len(good) - 5)):
    bad = bytearray(good)
    bad[at] ^= 1
    open(f'{sys.argv[2]}/flip-{name}.rsb', 'wb').write(bad)
open(f'{sys.argv[2]}/short.rsb', 'wb').write(good[:-1])
END
refused_with 'a flipped header' Format "$(ctl install "$url/flip-header.rsb")"
refused_with 'a flipped manifest' Signature "$(ctl install "$url/flip-manifest.rsb")"
refused_with 'a flipped frame' Decrypt "$(ctl install "$url/flip-first.rsb")"
refused_with 'a flipped last frame' Decrypt "$(ctl install "$url/flip-last.rsb")"
refused_with 'a bundle cut short' Format "$(ctl install "$url/short.rsb")"
expect 'the running slot is untouched by all of it' "$before" "$(sha256sum <"$work/dev/slot-a")"
expect 'and is what boots next, the target having been given up' 'ORDER=A*' "$(grub-editenv "$work/dev/boot/grubenv" list | grep ORDER)"

# -- killed, stopped, cancelled ------------------------------------------------------------------------------------------

wait_state() { # wait_state STATE: of the job
    local i
    for i in $(seq 200); do
        [[ $(call ListJobs) == *"$1"* ]] && return 0
        sleep 0.05
    done
    return 1
}
wait_idle() {
    local i
    for i in $(seq 600); do
        [ "$(call ListJobs)" = 'a(os) 0' ] && return 0
        sleep 0.1
    done
    return 1
}
call Install 'sa{sv}' "$url/slow/r2.rsb" 1 ticket s "$url/$ticket2" >/dev/null
wait_state write && ok || bad 'it does not come to writing'
sleep 1
begin=$(date +%s%N)
ctl status >/dev/null
echo "status while writing: $((($(date +%s%N) - begin) / 1000000)) ms"
kill -KILL "$daemon"
wait "$daemon" 2>/dev/null || true
daemon_up dev
wait_state write && ok || bad 'it does not go on after a kill'
expect 'the slots are told while a resumed job runs' '*rootfs.a*running*rootfs.b*' "$(ctl slots)"
kill -KILL "$writer" # systemd-socket-activate has become the writer by then
sleep 0.2
kill -0 "$writer" 2>/dev/null || { wait "$writer" 2>/dev/null || true; writer_up; }
wait_idle && ok || bad 'it does not end'
grep -q 'version 1.2 is installed' "$work/dev.log" && ok || bad 'killed daemon and writer: release 2 did not arrive'
expect 'it boots next' 'ORDER=B A' "$(grub-editenv "$work/dev/boot/grubenv" list | grep ORDER)"

call Install 'sa{sv}' "$url/slow/r2.rsb" 1 ticket s "$url/$ticket2" >/dev/null
wait_state write || true
expect 'an installation that writes can be cancelled' '*being cancelled*' "$(ctl cancel)"
wait_idle && ok || bad 'a cancelled job does not end'
grep -q 'was cancelled' "$work/dev.log" && ok || bad 'the end is not logged'

# Cancelled at moments spread over a whole installation: it ends each time, one way or the other, and can begin again.
moments='' stuck=0
for i in $(seq 1 24); do
    call Install 'sa{sv}' "$url/r2.rsb" 0 >/dev/null
    sleep "$(printf '0.%03d' $((i * i * 2)))"
    now=$(call ListJobs)
    now=${now%\"} moments+=" ${now##*\"}"
    ctl cancel >/dev/null
    wait_idle || { stuck=1; break; }
done
[ $stuck = 0 ] && ok || bad 'a cancelled job does not end'
echo "cancelled in:$moments"
expect 'after all of that it is installed' '*Installed*' "$(ctl install "$url/r2.rsb")"
expect 'and the running slot is untouched' "$before" "$(sha256sum <"$work/dev/slot-a")"

# -- the TPM is away -------------------------------------------------------------------------------------------------

kill "${pids[0]}" # swtpm
wait "${pids[0]}" 2>/dev/null || true
refused_with 'without a TPM nothing is fetched, and it is named' TpmGone "$(ctl install "$url/r1.rsb")"

kill -TERM "$daemon"
wait "$daemon" && ok || bad 'it does not stop well'
echo "$n_passed passed, $n_failed failed"
[ $n_failed = 0 ] || { tail -n 20 "$work/dev.log" "$work/writer.log"; exit 1; }
