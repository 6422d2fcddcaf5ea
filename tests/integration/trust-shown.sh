#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What resealctl chain, time, crl and posture say, to people and as JSON, of a device in the states that matter: new, up to date
# with its time proven and its source's word, behind an image that was put back, and with its TPM put back.
set -euo pipefail

root=${SOURCE_ROOT:-$(dirname "$(readlink -f "$0")")/../..}
build=${BUILD_ROOT:-$root/build}
work=$(mktemp -d /var/tmp/reseal-shown.XXXXXX)
pids=()
clean() {
    [ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2>/dev/null || true
    wait 2>/dev/null || true
    [ -n "${KEEP:-}" ] || rm -rf "$work"
}
trap clean EXIT
for tool in dbus-daemon busctl nginx openssl swtpm systemd-socket-activate grub-editenv python3 jq; do
    command -v $tool >/dev/null || { echo "SKIP: $tool is not installed"; exit 77; }
done
# shellcheck source=tests/integration/bus.sh
. "$root/tests/integration/bus.sh"
# shellcheck source=tests/integration/device.sh
. "$root/tests/integration/device.sh"

n_passed=0 n_failed=0
expect() { # expect NAME PATTERN OUTPUT
    # shellcheck disable=SC2053 # a pattern it is
    if [[ $3 == $2 ]]; then n_passed=$((n_passed + 1)); else n_failed=$((n_failed + 1)); echo "FAILED: $1: expected '$2', got '$3'"; fi
}
ctl() { timeout 120 "$build/src/resealctl/resealctl" "$@" 2>&1 || true; }
says() { # says NAME PATTERN VERB: to people, blanks as one
    expect "$1" "$2" "$(ctl "$3" | tr -s ' \n' ' ')"
}
json() { # json NAME WANTED VERB FILTER
    expect "$1" "${2//\[/\\[}" "$(ctl --json "$3" | jq -c "$4")"
}
reboot() { # reboot SLOT
    kill "$daemon" "$writer"
    wait "$daemon" "$writer" 2>/dev/null || true
    printf 'slot=%s\n' "$1" >"$work/dev/booted"
    writer_up
    daemon_up dev
}
installs() { # installs NAME SLOT: it runs and is good
    expect "$1 is installed" '*Installed*' "$(ctl install "$url/$1.rsb")"
    grub-editenv "$work/dev/boot/grubenv" set "$2_TRY=2"
    reboot "$2"
    expect "$1 is good" '*good*' "$(ctl mark good "$2")"
}
statement() { # statement LATEST NUMBER
    "$build/src/source-server/reseal-source" statement --line gateway --latest "$1" --seq "$2" --days 7 \
        --cert "$pki/source/freshness.pem" --key "$pki/source/freshness.key" -o "$work/www/latest.rsf" >/dev/null
}
day() { date -u -d "@$1" '+%Y-%m-%d %H:%M:%S UTC'; }
spki() { openssl x509 -in "$1" -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum | cut -d' ' -f1; }

pki=$work/pki
"$root/tests/fixtures/make-pki.sh" "$pki" >/dev/null
device_up
mkdir "$work/tsa"
sed "s,$pki/time/tsa.serial,$work/tsa/serial," "$pki/time/tsa.cnf" >"$work/tsa/tsa.cnf"
python3 "$root/tests/rig/tsa.py" "$work/tsa/sock" "$work/tsa/tsa.cnf" 2>/dev/null &
pids+=($!)
wait_path "$work/tsa/sock"
source_up "location = /tsa { proxy_pass http://unix:$work/tsa/sock; }"
sed -i "s,^\[trust\],&\ntime-root = $pki/time/root.pem," "$work/dev/writer.conf"
head -c 1M /dev/urandom >"$work/image"
for n in 1 2; do bundle r$n.rsb $n "$work/image"; done
sed -i "s,^\[source\],&\ntsa = $url/tsa," "$work/dev.conf"
writer_up
bus_up dev open
daemon_up dev

# -- a new device --------------------------------------------------------------------------------------------------------

says 'nothing is accepted' 'accepted nothing yet counters ACCEPT *, FLOOR * (epoch 0) latest not proven: the source has made no statement ' chain
json 'and JSON says so' '[true,0,0,false,"",false]' chain '[.empty, .release, .statement, .fresh, (.manifest | ltrimstr("0" * 64)), .["running-below-accepted"]]'
says 'the time is bounded from below only' 'not before 20*UTC not after not known proven no last proof never floor * (in the TPM) ' time
json 'in JSON, too' '[false,0,true]' time '[.proven, .proof, .high == null]'
says 'no list is known' 'No revocation list is known. ' crl
json 'that is an empty list' '[]' crl .
says 'it may install, the owner is set, the platform as the firmware left it' \
    'installations possible level L1 (record guarded by the writer'"'"'s secret) trust set version 0 (the files of the configuration) owner authorization set lockout authorization set platform open: * attempts not locked ' posture
json 'in JSON, too' '["","",1,0,true,true,true,false]' posture '[.reason, .text, .level, .["trust-version"], .["owner-auth-set"], .["lockout-auth-set"], .["platform-open"], .["in-lockout"]]'

# every key that is documented is there, and no other
python3 - "$root/conf/org.reseal1.xml" <(ctl --json chain) <(ctl --json time) <(ctl --json posture) <<'END' && n_passed=$((n_passed + 1)) || { echo 'FAILED: other keys than documented'; n_failed=$((n_failed + 1)); }
import json
import re
import sys

text = open(sys.argv[1]).read()
for name, path in zip(('chain', 'time', 'posture'), sys.argv[2:]):
    documented = re.search(rf'^ +{name}: (.*?)\. *(?:-->)?$', text, re.M | re.S).group(1)
    documented = {w.split()[0] for w in re.sub(r'\(.*?\)', '', documented, flags=re.S).split(',')}
    there = set(json.load(open(path)))
    if documented != there:
        print(name, 'only documented:', documented - there, 'only there:', there - documented)
        sys.exit(1)
END

# -- up to date ------------------------------------------------------------------------------------------------------------

"$root/tests/fixtures/make-pki.sh" crl "$pki" source/root 7 "$pki/source/server2.pem" >/dev/null
"$build/src/source-server/reseal-source" lists --crl "$pki/source/root.crl" -o "$work/www/crls" >/dev/null
statement 1 3
before=$(date +%s)
installs r1 B
id=$("$build/src/bundle/reseal-bundle" info --json "$work/r1.rsb" | jq -r .id)
signer=$(spki "$pki/chain/gateway/1.pem")
says 'what was accepted, by whom' "accepted release 1, security epoch 0 manifest $id signer $signer log head * running release 1 latest release 1, fresh (statement 3, until *) " chain
json 'and the same in JSON' "[1,\"$id\",\"$signer\",false,1,1,3,true]" chain '[.release, .manifest, .signer, .["signer-revoked"], .["running-release"], .latest, .statement, .fresh]'
says 'the time is proven by the responder' 'not before * not after 20*UTC proven in this boot last proof 20*UTC floor 20* (in the TPM) ' time
json 'within what this test has taken' 'true' time "[.proven, .proof >= $before - 5, .proof <= now + 5, .low <= now + 5, .high >= $before, .floor <= .low] | all"
floor=$(ctl --json time | jq .floor)
says 'the floor is the one of the JSON' "*floor $(day "$floor") (in the TPM) " time
says 'a list with its number' 'CN=Source Root number 7, 1 revoked issued 20*UTC next 20*UTC ' crl
json 'and as JSON' '[["CN=Source Root",7,1,false]]' crl '[.[] | [.issuer, .number, .revoked, .stale]]'
expect 'posture has its sum' 7 "$(ctl --json posture | jq '.["crl-number"]')"

# -- off line: the statement is what it was, until its end ------------------------------------------------------------------------

statement 2 4
installs r2 A
source_down
says 'the latest release is still proven until the statement ends' '*latest release 2, fresh (statement 4, *' chain

# -- an older image was put back ---------------------------------------------------------------------------------------------------

reboot B
says 'RunningBelowAccepted' '*accepted release 2,*running release 1: RunningBelowAccepted *' chain
json 'in JSON' '[2,1,true]' chain '[.release, .["running-release"], .["running-below-accepted"]]'
says 'and it is no reason to install nothing' 'installations possible *' posture
expect 'the journal has it once' 1 "$(ctl chain >/dev/null; grep -c 'RunningBelowAccepted: release 1 runs, release 2 was accepted' "$work/writer.log")"
reboot A
says 'gone with the right one' '*running release 2 latest*' chain

# -- the TPM was put back -------------------------------------------------------------------------------------------------------------

kill "$daemon" "$writer"
wait "$daemon" "$writer" 2>/dev/null || true
tpm_down
cp -a "$work/dev/tpm" "$work/tpm.today"
tpm_up
writer_up
daemon_up dev
source_up
bundle r3.rsb 3 "$work/image"
rm -f "$work/www/latest.rsf"
expect 'one release on' '*Installed*' "$(ctl install "$url/r3.rsb")"
kill "$daemon" "$writer"
wait "$daemon" "$writer" 2>/dev/null || true
tpm_down
rm -rf "$work/dev/tpm"
mv "$work/tpm.today" "$work/dev/tpm"
tpm_up
writer_up
daemon_up dev
says 'the TPM was put back: nothing is installed, and why' 'installations refused: TpmRestored: * level L1 *' posture
json 'in JSON' '["TpmRestored",true]' posture '[.reason, (.text | length > 0)]'
expect 'the verbs themselves do not fail for it' '0 0 0 0' "$(for verb in chain time crl posture; do
    "$build/src/resealctl/resealctl" $verb >/dev/null 2>&1 && printf '0 ' || printf '%s ' $?; done | sed 's/ $//')"

echo "$n_passed passed, $n_failed failed"
[ $n_failed = 0 ] || { tail -n 20 "$work/dev.log" "$work/writer.log"; exit 1; }
