#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# reseal-provision on a software TPM: a whole device, certificates from a device CA, again without change, and completed after
# being killed at every TPM command.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
. "$here/swtpm.sh"
provision=$BUILD_ROOT/src/provision/reseal-provision
pki=$here/../fixtures/make-pki.sh

d=$(mktemp -d /tmp/reseal-provision.XXXXXX)
trap 'swtpm_down "$d/tpm"; swtpm_down "$d/tpm2"; swtpm_down "$d/tpm3"; swtpm_down "$d/tpm5"; rm -rf "$d"' EXIT
mkdir "$d/tpm" "$d/tpm2" "$d/csr"
swtpm_up "$d/tpm"

conf() { # conf FILE TCTI
        printf '[daemon]\ncompatible = x\n[tpm]\ntcti = %s\nshared = no\nlock = %s/lock\n' "$2" "$d" >"$1"
        chmod 644 "$1"
}
conf "$d/reseal.conf" "swtpm:path=$d/tpm/s"
init() { # init SUFFIX TPM CONF [more]
        "$provision" init --config "$3" --state-dir "$d/state$1" --writer-state-dir "$d/writer$1" \
                --device-serial GW-0001 --line gateway --csr-out "$d/csr$1" --escrow "$d/escrow$1" \
                --receipt "$d/receipt$1" "${@:4}"
}

echo "--- a blank TPM becomes a device"
init '' tpm "$d/reseal.conf" 2>"$d/out"
cat "$d/out"
grep -q 'storage root key made' "$d/out"
grep -q 'rollback state made' "$d/out"
grep -q 'ownerAuth, lockoutAuth and endorsementAuth set' "$d/out"
for f in identity.tpm unwrap.tpm attest.tpm srk.name; do
        [ "$(stat -c %a "$d/state/keys/$f")" = 640 ] || fail "mode of $f"
done
[ "$(stat -c %a "$d/writer/gate.auth")" = 600 ] || fail "mode of gate.auth"
[ "$(stat -c %s "$d/writer/gate.auth")" = 32 ] || fail "size of gate.auth"
[ "$(stat -c %a "$d/escrow")" = 600 ] || fail "mode of the escrow file"
[ "$(stat -c %s "$d/writer/srk.name")" = 34 ] || fail "size of srk.name"
cmp -s "$d/state/keys/srk.name" "$d/writer/srk.name" || fail "two names of the SRK"
python3 - "$d/receipt" <<'P'
import json, sys
r = json.load(open(sys.argv[1]))
assert r['device'] == 'GW-0001' and r['line'] == 'gateway' and r['level'] == 'L1', r
assert r['srk']['handle'] == '0x81000001' and r['nv']['gate'] == '0x01800204', r
assert r['tpm']['owner_auth_set'] and r['tpm']['lockout_auth_set'] and r['tpm']['endorsement_auth_set'], r
assert set(r['keys']) == {'identity', 'unwrap', 'attest'}, r
P
! grep -riq 'auth.*[0-9a-f]\{64\}' "$d/receipt" "$d/state" "$d/out" || fail "an authorization value is kept"

echo "--- what another user has put on root's way leads nowhere"
theirs() { chown -h 65534:65534 "$@"; }
refused() { # refused TEXT [more]: init of device 5
        ! init 5 tpm5 "$d/five.conf" "${@:2}" 2>"$d/out" || fail "not refused: $1"
        grep -q "$1" "$d/out" || fail "$(cat "$d/out")"
}
mkdir "$d/tpm5" "$d/csr5" "$d/state5" "$d/boot"
swtpm_up "$d/tpm5"
conf "$d/five.conf" "swtpm:path=$d/tpm5/s"
# (a state directory of reseald: reseald may have been taken over)
theirs "$d/state5"
ln -s "$d/boot" "$d/state5/keys"
theirs "$d/state5/keys"
refused 'open keys'
[ "$(stat -c '%u:%g' "$d/boot")" = 0:0 ] || fail "what the link leads to was given away"
rm "$d/state5/keys"
mkdir "$d/state5/keys"
theirs "$d/state5/keys"
refused 'move it away'
rmdir "$d/state5/keys"
# (a directory in which anybody may write, as /tmp)
mkdir -m 1777 "$d/sticky"
printf '[escrow]\nowner-auth = %064d\nlockout-auth = %064d\n' 1 1 >"$d/sticky/escrow"
chmod 600 "$d/sticky/escrow"
theirs "$d/sticky/escrow"
refused 'belongs neither to root nor to this user' --escrow "$d/sticky/escrow"
rm "$d/sticky/escrow"
: >"$d/sticky/escrow.new"
chmod 666 "$d/sticky/escrow.new"
theirs "$d/sticky/escrow.new"
init 5 tpm5 "$d/five.conf" --escrow "$d/sticky/escrow" 2>"$d/out" || fail "$(cat "$d/out")"
[ "$(stat -c '%u %a' "$d/sticky/escrow")" = '0 600' ] || fail "the escrow is $(stat -c '%u %a' "$d/sticky/escrow")"
[ "$(stat -c '%u %s' "$d/sticky/escrow.new")" = '65534 0' ] || fail "another user's file got the escrow"

echo "--- so does one behind a resource manager, where the connection is kept: data volume first, then the rest, then nothing"
mkdir "$d/tpm3" "$d/csr3"
swtpm_up "$d/tpm3"
conf "$d/shared.conf" "swtpm:path=$d/tpm3/s"
sed -i 's/^shared = no/shared = yes/' "$d/shared.conf"
truncate -s 16M "$d/volume"
"$provision" data --config "$d/shared.conf" --device "$d/volume" 2>"$d/out" || fail "$(cat "$d/out")"
init 3 tpm3 "$d/shared.conf" 2>"$d/out" || fail "$(cat "$d/out")"
grep -q 'ownerAuth, lockoutAuth and endorsementAuth set' "$d/out" || fail "$(cat "$d/out")"
init 3 tpm3 "$d/shared.conf" 2>"$d/out" || fail "$(cat "$d/out")"
grep -q 'nothing changed' "$d/out" || fail "$(cat "$d/out")"

echo "--- the TPM refuses its owner's commands without the escrowed value"
export TPM2TOOLS_TCTI="swtpm:path=$d/tpm/s" TSS2_LOG=all+NONE
for i in 0x01800200 0x01800201 0x01800202 0x01800203 0x01800204; do
        ! tpm2_nvundefine "$i" -C o >/dev/null 2>&1 || fail "undefined $i"
done
! tpm2_clear -c l >/dev/null 2>&1 || fail "cleared"
! tpm2_evictcontrol -C o -c 0x81000001 >/dev/null 2>&1 || fail "evicted the SRK"
for h in o e l; do
        ! tpm2_changeauth -c $h mine >/dev/null 2>&1 || fail "changed the authorization of $h"
done
! tpm2_hierarchycontrol -C e ehEnable clear >/dev/null 2>&1 || fail "switched the endorsement hierarchy off"
! tpm2_createprimary -Q -C e -c "$d/ek" >/dev/null 2>&1 || fail "made a key under the endorsement hierarchy"
tpm2_flushcontext -t >/dev/null 2>&1 || true
tpm2_flushcontext -l >/dev/null 2>&1 || true

echo "--- a name of the SRK in its old form, a text, becomes the name itself"
xxd -p -c 99 "$d/state/keys/srk.name" >"$d/writer/srk.name"
init '' tpm "$d/reseal.conf" 2>"$d/out"
cmp -s "$d/state/keys/srk.name" "$d/writer/srk.name" || fail "two names of the SRK"
[ "$(stat -c '%a %s' "$d/writer/srk.name")" = '600 34' ] || fail "mode of srk.name"
head -c 33 "$d/state/keys/srk.name" >"$d/writer/srk.name"
! init '' tpm "$d/reseal.conf" 2>"$d/out" || fail "went on with half a name"
grep -q NotProvisioned "$d/out" || fail "$(cat "$d/out")"
cp "$d/state/keys/srk.name" "$d/writer/srk.name"

echo "--- again: nothing changes and it says so"
before=$(cd "$d" && find state writer csr escrow receipt -type f -exec sha256sum {} + | sort)
init '' tpm "$d/reseal.conf" 2>"$d/out"
grep -q 'nothing changed' "$d/out" || fail "$(cat "$d/out")"
[ "$before" = "$(cd "$d" && find state writer csr escrow receipt -type f -exec sha256sum {} + | sort)" ] || fail "changed"

echo "--- a device of before gets what was not set then, and the rest of the escrow stays"
tpm2_changeauth -c e -p "hex:$(sed -n 's/^endorsement-auth = //p' "$d/escrow")" || fail "the escrowed endorsementAuth is another"
grep -v endorsement "$d/escrow" >"$d/escrow.old"
cat "$d/escrow.old" >"$d/escrow"
init '' tpm "$d/reseal.conf" 2>"$d/out" || fail "$(cat "$d/out")"
grep -q ': endorsementAuth set' "$d/out" || fail "$(cat "$d/out")"
[ "$(grep -v endorsement "$d/escrow")" = "$(cat "$d/escrow.old")" ] || fail "another escrow"
! tpm2_changeauth -c e mine >/dev/null 2>&1 || fail "endorsementAuth is empty"
tpm2_changeauth -c e -p "hex:$(sed -n 's/^endorsement-auth = //p' "$d/escrow")" mine || fail "the escrowed endorsementAuth is another"

echo "--- the device CA issues; the certificates are installed"
openssl req -in "$d/csr/identity.csr" -noout -verify -subject 2>&1 | tee "$d/out"
grep -qi 'verify OK' "$d/out"
openssl req -in "$d/csr/identity.csr" -noout -text | grep -q 'TLS Web Client Authentication'
openssl dgst -sha256 -verify "$d/csr/attest.pub" -signature "$d/csr/unwrap.attest.sig" "$d/csr/unwrap.attest"
"$pki" "$d/pki" >/dev/null
"$pki" sign-device "$d/pki" identity "$d/csr/identity.csr" "$d/identity.pem"
"$pki" sign-device "$d/pki" unwrap "$d/csr/unwrap.pub" "$d/unwrap.pem" GW-0001
"$pki" sign-device "$d/pki" attest "$d/csr/attest.pub" "$d/attest.pem" GW-0001
certs=(certs --state-dir "$d/state")
"$provision" "${certs[@]}" --identity "$d/identity.pem" --unwrap "$d/unwrap.pem" --attest "$d/attest.pem" | tee "$d/out"
grep -q '3 certificates installed' "$d/out"
"$provision" "${certs[@]}" --identity "$d/identity.pem" --unwrap "$d/unwrap.pem" --attest "$d/attest.pem" | tee "$d/out"
grep -q 'nothing changed' "$d/out"

echo "--- certificates that do not fit are refused and change nothing"
before=$(sha256sum "$d"/state/keys/*)
refuse() { # refuse REASON ARGS
        local want=$1
        shift
        ! "$provision" "$@" >"$d/out" 2>&1 || fail "accepted: $*"
        grep -q "$want" "$d/out" || fail "$* says $(cat "$d/out")"
}
refuse Certificate "${certs[@]}" --identity "$d/unwrap.pem"
refuse Certificate "${certs[@]}" --identity "$d/identity.pem" --unwrap "$d/pki/device/one-unwrap.pem"
refuse Certificate "${certs[@]}" --identity "$d/reseal.conf"
"$pki" sign-device "$d/pki" attest "$d/csr/identity.csr" "$d/wrong.pem"
refuse Purpose "${certs[@]}" --identity "$d/wrong.pem"
"$pki" sign-device "$d/pki" identity "$d/csr/unwrap.pub" "$d/wrong.pem" GW-0001
refuse Purpose "${certs[@]}" --unwrap "$d/wrong.pem"
openssl x509 -new -force_pubkey "$d/csr/attest.pub" -subj /CN=GW-0001 -CA "$d/pki/device/ca.pem" \
        -CAkey "$d/pki/device/ca.key" -days 30 -out "$d/wrong.pem" # good for everything, so for a TLS client, too
refuse Purpose "${certs[@]}" --attest "$d/wrong.pem"
refuse InvalidArgument "${certs[@]}" --identity "$d/none.pem"
refuse InvalidArgument "${certs[@]}"
refuse NotProvisioned certs --state-dir "$d/empty" --identity "$d/identity.pem"
[ "$before" = "$(sha256sum "$d"/state/keys/*)" ] || fail "changed"

echo "--- ownerAuth is set: what needs it says how to pass it"
cp -a "$d/escrow" "$d/escrow.kept"
tpm2_changeauth -c owner -p "hex:$(sed -n 's/^owner-auth = //p' "$d/escrow")" 6f776e >/dev/null
tpm2_nvundefine 0x01800203 -C o -P hex:6f776e >/dev/null 2>&1 || tpm2_nvundefine 0x01800203 -C o -P 6f776e
tpm2_changeauth -c owner -p 6f776e "hex:$(sed -n 's/^owner-auth = //p' "$d/escrow")"
rm "$d/escrow"
! init '' tpm "$d/reseal.conf" 2>"$d/out" || fail "went through without ownerAuth"
grep -q -- '--owner-auth-file' "$d/out" || fail "$(cat "$d/out")"
init '' tpm "$d/reseal.conf" --owner-auth-file "$d/escrow.kept" 2>"$d/out" || fail "$(cat "$d/out")"
grep -q 'rollback state made' "$d/out" || fail "$(cat "$d/out")"

echo "--- another TPM under the same state is refused"
swtpm_up "$d/tpm2"
conf "$d/other.conf" "swtpm:path=$d/tpm2/s"
! init '' tpm2 "$d/other.conf" 2>"$d/out" || fail "another TPM was taken"
grep -q TpmOther "$d/out" || fail "$(cat "$d/out")"
swtpm_down "$d/tpm2"
rm -rf "$d/tpm2"

echo "--- killed at every TPM command, then completed"
conf "$d/fault.conf" "$FAULT_TCTI:swtpm:path=$d/tpm2/s"
conf "$d/clean.conf" "swtpm:path=$d/tpm2/s"
finished=0
for n in $(seq 1 7 400); do
        mkdir "$d/tpm2"
        swtpm_up "$d/tpm2"
        rm -rf "$d/state2" "$d/writer2" "$d/escrow2" "$d/receipt2" "$d/csr2"
        mkdir "$d/csr2"
        kind=kill
        [ $((n % 2)) -eq 0 ] || kind=killfirst
        status=0
        RESEAL_FAULT="*:$n:$kind" init 2 tpm2 "$d/fault.conf" >/dev/null 2>&1 || status=$?
        [ "$status" -ne 0 ] || finished=1
        [ "$status" -eq 0 ] || [ "$status" -eq 137 ] || fail "ended with $status at command $n"
        init 2 tpm2 "$d/clean.conf" 2>"$d/out" || fail "not completed after $kind at command $n: $(cat "$d/out")"
        init 2 tpm2 "$d/clean.conf" 2>"$d/out" || fail "a third run failed"
        grep -q 'nothing changed' "$d/out" || fail "a third run changed something after $n: $(cat "$d/out")"
        [ -s "$d/receipt2" ] && [ -s "$d/escrow2" ] && [ -s "$d/csr2/identity.csr" ] || fail "incomplete after $n"
        swtpm_down "$d/tpm2"
        rm -rf "$d/tpm2"
        [ $finished -eq 0 ] || break
done
[ $finished -eq 1 ] || fail "the rule never counted past the last command"
echo "killed at commands 1 to $n in steps of 7"

echo "--- the writer's drop-in"
cat >"$d/writer.conf" <<C
[device]
line = gateway
[boot]
backend = grub
path = /boot/reseal/grubenv
[tpm]
tcti = device:/dev/tpm0
[slot rootfs.a]
class = rootfs
boot-name = A
device = /dev/disk/by-partlabel/slot%a
type = luks2
[slot rootfs.b]
class = rootfs
boot-name = B
device = /dev/disk/by-partlabel/slot-b
type = luks2
C
chmod 644 "$d/writer.conf"
"$provision" drop-in --writer-conf "$d/writer.conf" --output "$d/slots.conf"
grep -qx 'DeviceAllow=/dev/disk/by-partlabel/slot%%a rw' "$d/slots.conf"
grep -qx 'DeviceAllow=/dev/disk/by-partlabel/slot-b rw' "$d/slots.conf"
grep -qx 'DeviceAllow=/dev/tpm0 rw' "$d/slots.conf"
grep -qx 'ReadWritePaths=/boot/reseal' "$d/slots.conf"
"$provision" drop-in --writer-conf "$d/writer.conf" --output "$d/slots.conf" | grep -q 'nothing changed'
"$provision" drop-in --writer-conf "$d/writer.conf" --output - | cmp - "$d/slots.conf"
# U-Boot: the devices that fw_env.config names; the directory it lies in, /etc, stays read-only
printf '# two copies\n\n/dev/disk/by-partlabel/uboot-env 0x0 0x4000\n /boot/env/uboot.env\t0x0 0x4000\n' >"$d/fw_env.config"
sed -e 's,^backend = .*,backend = uboot,' -e "s,^path = .*,path = $d/fw_env.config," "$d/writer.conf" >"$d/writer-uboot.conf"
"$provision" drop-in --writer-conf "$d/writer-uboot.conf" --output "$d/slots-uboot.conf"
grep -qx 'DeviceAllow=/dev/disk/by-partlabel/uboot-env rw' "$d/slots-uboot.conf"
[ "$(grep '^ReadWritePaths=' "$d/slots-uboot.conf")" = ReadWritePaths=/boot/env/uboot.env ]
: >"$d/fw_env.config"
refuse Config drop-in --writer-conf "$d/writer-uboot.conf" --output "$d/slots-uboot.conf"
sed -i 's,slot%a,slot a,' "$d/writer.conf"
refuse Config drop-in --writer-conf "$d/writer.conf" --output "$d/slots.conf"

echo "--- usage"
for bad in "" "initialise" "init --nonsense x" "init --output x" "init --device-serial a/b" "drop-in"; do
        status=0
        # shellcheck disable=SC2086
        "$provision" $bad >/dev/null 2>&1 || status=$?
        [ "$status" -eq 2 ] || fail "\"$bad\" ends with $status"
done
"$provision" --help | grep -q drop-in
"$provision" --version | grep -q reseal-provision
echo "all passed"
