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
# A release that is installed is written again only when the slot that holds it is marked bad.
forget() { ctl mark bad B >/dev/null; }

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
expect 'and whose certificate it is, until when' '*certificate-subject*GW-1*certificate-not-after*UTC*' "$(ctl keys | tr '\n' ' ')"
expect 'as numbers in JSON' '*"certificate-not-after": [1-9]*' "$(ctl --json keys | tr '\n' ' ')"
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

# -- is there something newer? -----------------------------------------------------------------------------------------

expect 'release 2 is newer' '*1.2*release 2*newer than*(release 1)*' "$(ctl check "$url/r2.rsb")"
expect 'release 1 is there already' '*release 1*accepted already*' "$(ctl check "$url/r1.rsb")"
expect 'as JSON too, with the size of the bundle' "*\"size\": $(stat -c %s "$work/r2.rsb"),*newer*" \
    "$(ctl --json check "$url/r2.rsb" | tr '\n' ' ')"
truncate -s 80M "$work/big"
bundle other.rsb 3 "$work/big"
expect 'a release that does not fit is refused' '*newer, but this device does not take it*Size*' "$(ctl check "$url/other.rsb")"
rm -r "$work/www/tickets/$("$build/src/bundle/reseal-bundle" info "$work/other.rsb" | awk '$1 == "id" {print $2}')"
refused_with 'what is not there cannot be checked' NotFound "$(ctl check "$url/nothing.rsb")"

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
    for i in $(seq 1200); do
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

expect 'what is installed is not written again' '*Installed*' "$(ctl install "$url/r2.rsb")"
forget
call Install 'sa{sv}' "$url/slow/r2.rsb" 1 ticket s "$url/$ticket2" >/dev/null
wait_state write || true
expect 'an installation that writes can be cancelled' '*being cancelled*' "$(ctl cancel)"
wait_idle && ok || bad 'a cancelled job does not end'
grep -q 'was cancelled' "$work/dev.log" && ok || bad 'the end is not logged'

# Cancelled at moments spread over a whole installation: it ends each time, one way or the other, and can begin again.
moments='' stuck=0
for i in $(seq 1 24); do
    forget
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

# -- from a file or a pipe ---------------------------------------------------------------------------------------------

give() { "$build/tests/integration/give" "$@" 2>&1 || true; }
last_line() { tail -n 1 "$work/dev.log"; }
bundle r3.rsb 3 "$work/image"
id3=$("$build/src/bundle/reseal-bundle" info "$work/r3.rsb" | awk '$1 == "id" {print $2}')
ticket3=$(cd "$work/www" && echo "tickets/$id3"/*.rst)
refused_with 'an encrypted bundle from a file needs a ticket' 'Ticket: the bundle is encrypted' "$(ctl install "$work/r3.rsb")"
refused_with 'the ticket of another bundle is no use here either' WrongBundle \
    "$(ctl install --ticket "$work/www/$ticket2" "$work/r3.rsb")"
refused_with 'a file that is no ticket is refused' 'ticket' "$(ctl install --ticket "$work/dev.conf" "$work/r3.rsb")"
refused_with 'a file that is no bundle is refused' Format "$(ctl install --ticket "$work/www/$ticket3" "$work/image")"
refused_with 'a file that is not there is the caller'"'"'s affair' 'No such file' "$(ctl install "$work/nothing.rsb")"
expect 'a file is installed, its ticket beside it' '*Installed*' "$(ctl install --ticket "$work/www/$ticket3" "$work/r3.rsb")"
grep -q "file:r3.rsb" "$work/dev.log" && ok || bad 'the name of the file is not logged'
forget
expect 'its ticket may come from the source' '*Installed*' "$(ctl install --ticket "$url/$ticket3" "$work/r3.rsb")"
forget
# shellcheck disable=SC2002 # a pipe it is
expect 'a pipe is installed' '*Installed*' "$(cat "$work/r3.rsb" | ctl install --ticket "$work/www/$ticket3" -)"
forget
# shellcheck disable=SC2002
refused_with 'a pipe cut short' Truncated "$(head -c 9M "$work/r3.rsb" | ctl install --ticket "$work/www/$ticket3" -)"
forget
expect 'the ticket may come as bytes' '/org/reseal1/job/*' "$(give "$work/r3.rsb" ticket ay "$work/www/$ticket3" name s by-bytes)"
wait_idle && ok || bad 'it does not end'
expect 'and it is installed' 'ORDER=B A' "$(grub-editenv "$work/dev/boot/grubenv" list | grep ORDER)"

refused_with 'a directory is no bundle' InvalidArgument "$(give "$work")"
refused_with 'a device is none' InvalidArgument "$(give /dev/zero)"
refused_with 'what cannot be read is none' InvalidArgument "$(give "+$work/image")"
refused_with 'an unknown option is refused' 'unknown or repeated option force' "$(give "$work/r3.rsb" force s yes)"
refused_with 'two tickets are refused' 'unknown or repeated option ticket' \
    "$(give "$work/r3.rsb" ticket h "$work/www/$ticket3" ticket ay "$work/www/$ticket3")"
refused_with 'a ticket of another type is refused' 'option ticket is a string' "$(give "$work/r3.rsb" ticket u 5)"
refused_with 'an oversized ticket is refused' TooMuch "$(give "$work/r3.rsb" ticket ay "$work/image")"
refused_with 'a ticket over plain http is refused' Scheme "$(give "$work/r3.rsb" ticket s http://localhost/t)"
refused_with 'a name that cannot be shown is refused' InvalidArgument "$(give "$work/r3.rsb" name s $'a\nb')"

# A pipe in the middle of writing when the service is killed: the job is there again, waits, and goes on with the same bundle.
slowly() { # slowly FILE: its first half, then nothing until $work/go is there
    head -c "$(($(stat -c %s "$1") / 2))" "$1"
    until [ -e "$work/go" ]; do sleep 0.05; done
}
bundle r4.rsb 4 "$work/image"
id4=$("$build/src/bundle/reseal-bundle" info "$work/r4.rsb" | awk '$1 == "id" {print $2}')
ticket4=$(cd "$work/www" && echo "tickets/$id4"/*.rst)
interrupted() { # starts it, kills the service in the middle
    forget
    rm -f "$work/go" "$work/job"
    slowly "$work/r4.rsb" | ctl install --no-wait --ticket "$work/www/$ticket4" - >"$work/job" &
    wait_state write && ok || bad 'it does not come to writing'
    kill -KILL "$daemon"
    wait "$daemon" 2>/dev/null || true
    touch "$work/go"
    job=$(cat "$work/job")
    daemon_up dev
}
property() { busctl --address="$DBUS_SYSTEM_BUS_ADDRESS" get-property org.reseal1 "$job" org.reseal1.Job "$1" 2>&1 || true; }
interrupted
expect 'the job is there again' "a(os) 1 \"$job\" \"queued\"" "$(call ListJobs)"
expect 'and says what it waits for' '*waits until the same bundle is given again*' "$(property Text)"
refused_with 'nothing else is installed meanwhile' Busy "$(ctl install "$url/r3.rsb")"
expect 'questions are answered meanwhile' '*release 3*' "$(ctl check "$url/r3.rsb")"
expect 'the same bundle goes on as the same job' "$job" "$(give "$work/r4.rsb" ticket h "$work/www/$ticket4")"
wait_idle && ok || bad 'it does not end'
expect 'and it is installed' '*version 1.4 is installed*' "$(grep -o 'version 1.4 is installed' "$work/dev.log" || true)"
interrupted
refused_with 'another bundle is not what it waited for' 'State: this is not the bundle' \
    "$(ctl install --ticket "$work/www/$ticket3" "$work/r3.rsb")"
interrupted
expect 'a waiting job is cancelled' '*being cancelled*' "$(ctl cancel)"
expect 'and is gone' 'a(os) 0' "$(call ListJobs)"
[ ! -e "$work/dev/state/job" ] && ok || bad 'its record stays'
interrupted
kill -TERM "$daemon"
wait "$daemon" && ok || bad 'it does not stop well while a job waits'
[ -e "$work/dev/state/job" ] && ok || bad 'a waiting job is forgotten'
daemon_up dev
expect 'it waits after that as well' "a(os) 1 \"$job\" \"queued\"" "$(call ListJobs)"
expect 'what waits goes on when the file is given' '*Installed*' "$(ctl install --ticket "$work/www/$ticket4" "$work/r4.rsb")"

# -- the TPM is away for a moment, and for longer -----------------------------------------------------------------------

tpm_down
job=$(ctl install --no-wait "$url/r4.rsb")
waits_for_tpm() {
    local i
    for i in $(seq 1200); do
        [[ $(property Text) == *'TPM is asked again'* ]] && return 0
        sleep 0.05
    done
    return 1
}
waits_for_tpm && ok || bad "a job without a TPM does not say so: $(property Text)"
expect 'status answers while the TPM is away' '*WRITING*Job*connect*rootfs.a*' "$(timeout 5 "$build/src/resealctl/resealctl" status | tr '\n' ' ')"
grep -q 'the TPM is away' "$work/dev.log" && ok || bad 'it is not logged'
tpm_up
wait_idle && ok || bad 'it does not end when the TPM is back'
expect 'when it is back the job goes on' '*version 1.4 is installed*' "$(tail -n 1 "$work/dev.log")"
tpm_down
job=$(ctl install --no-wait "$url/r4.rsb")
waits_for_tpm || true
expect 'what waits for a TPM is cancelled' '*being cancelled*' "$(ctl cancel)"
wait_idle && ok || bad 'a job that waits for a TPM is not cancelled'
expect 'status answers without a job as well' '*State*Next boot*' "$(timeout 20 "$build/src/resealctl/resealctl" status 2>&1 | tr '\n' ' ' || true)"

kill -TERM "$daemon"
wait "$daemon" && ok || bad 'it does not stop well'
sed -i 's,^retries = 3,&\ndeadline = 2,' "$work/dev.conf"
daemon_up dev
refused_with 'past the deadline the TPM is the reason' TpmGone "$(ctl install "$url/r4.rsb")"
# shellcheck disable=SC2002
refused_with 'what came through a pipe cannot be asked for again' TpmGone \
    "$(cat "$work/r4.rsb" | ctl install --ticket "$work/www/$ticket4" -)"
kill -TERM "$daemon"
wait "$daemon" && ok || bad 'it does not stop well'

# -- a device without a certificate ------------------------------------------------------------------------------------

tpm_up
sed "s,^keys-directory = .*,keys-directory = $work/none," "$work/dev.conf" >"$work/bare.conf"
daemon_up bare
refused_with 'a device without a certificate is not provisioned' NotProvisioned "$(ctl install "$url/r4.rsb")"
refused_with 'and is told so by an inspection' NotProvisioned "$(ctl inspect "$url/r4.rsb")"
kill -TERM "$daemon"
wait "$daemon" && ok || bad 'it does not stop well'
echo "$n_passed passed, $n_failed failed"
[ $n_failed = 0 ] || { tail -n 20 "$work/dev.log" "$work/writer.log"; exit 1; }
