#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Another authority for a TPM of level L2, from the operators' commands: two recovery keys, each on its machine, order it; the device
# applies it; what is wrong, used or for another state is refused (docs/keys.md, drill 5; S66, F24).
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
. "$here/swtpm.sh"
for program in openssl tpm2_nvread xxd; do
        command -v $program >/dev/null || { echo "skipped: $program is missing"; exit 77; }
done
provision=$BUILD_ROOT/src/provision/reseal-provision bundle=$BUILD_ROOT/src/bundle/reseal-bundle
d=$(mktemp -d /tmp/reseal-authority.XXXXXX)
trap 'swtpm_down "$d/tpm"; rm -rf "$d"' EXIT
"$SOURCE_ROOT/tests/fixtures/make-pki.sh" "$d/pki" >/dev/null
mkdir "$d/tpm"
swtpm_up "$d/tpm"
export TSS2_LOG=all+NONE TPM2TOOLS_TCTI="swtpm:path=$d/tpm/s"
printf '[daemon]\ncompatible = x\n[tpm]\ntcti = %s\nshared = no\nlock = %s/lock\n' "$TPM2TOOLS_TCTI" "$d" >"$d/conf"
chmod 644 "$d/conf"
own=(--config "$d/conf" --state-dir "$d/state" --writer-state-dir "$d/writer")
cd "$d/pki/recovery"
cp ../firmware/authority.pem old.pem
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -batch -days 3650 -subj '/CN=Firmware Authority 2' \
        -CA ../firmware/root.pem -CAkey ../firmware/root.key -addext basicConstraints=critical,CA:TRUE \
        -addext keyUsage=critical,keyCertSign,cRLSign -keyout new.key -out new.pem 2>/dev/null

n=0
ok() { "$@" >"$d/out" 2>&1 || fail "$*: $(cat "$d/out")"; n=$((n + 1)); }
refused() { # REASON COMMAND...
        local reason=$1
        shift
        ! "$@" >"$d/out" 2>&1 || fail "not refused: $*"
        grep -qE "$reason" "$d/out" || fail "$*: $reason expected: $(cat "$d/out")"
        n=$((n + 1))
}
obeys() { # what the TPM holds is the policy that the order names behind "then" or "in force"
        local said
        said=$(tpm2_nvread 0x01400201 -C 0x01400201 2>/dev/null | xxd -p -c 64)
        tpm2_flushcontext -t >/dev/null 2>&1 || true
        "$bundle" ceremony show "$1" | grep -qiE "^$2 +${said:4:16}" || fail "the TPM does not obey \"$2\" of $1: $said"
        n=$((n + 1))
}
ceremony() { ok "$bundle" ceremony "$@"; }
order() { # FROM TO ORDER
        ceremony replace --previous "$1" --authority "$2" --recovery recovery.pem --endorser r3.pem --endorser2 r1.pem -o "$3"
        ceremony endorse --key r3.key --recovery recovery.pem "$3"
        ceremony approve --key r1.key --recovery recovery.pem "$3"
}
apply() { "$provision" authority "${own[@]}" --order "$1"; }

ok "$provision" init "${own[@]}" --line gateway --device-serial GW-1 --escrow "$d/escrow" --receipt "$d/receipt" \
        --level 2 --authority old.pem --recovery recovery.pem --firmware-root ../firmware/root.pem

# -- made
make=(replace --previous old.pem --authority new.pem --recovery recovery.pem -o x.rsa)
refused Chain "$bundle" ceremony "${make[@]}" --endorser r1.pem --endorser2 r3.pem # the order of the trust set
refused Chain "$bundle" ceremony "${make[@]}" --endorser r1.pem --endorser2 r1.pem
refused Chain "$bundle" ceremony "${make[@]}" --endorser r3.pem --endorser2 new.pem
refused Chain "$bundle" ceremony replace --previous old.pem --authority old.pem --recovery recovery.pem --endorser r3.pem --endorser2 r1.pem -o x.rsa
ceremony "${make[@]}" --endorser r3.pem --endorser2 r1.pem
refused Chain "$bundle" ceremony endorse --key r2.key --recovery recovery.pem x.rsa
refused Chain "$bundle" ceremony approve --key r3.key --recovery recovery.pem x.rsa
refused InvalidArgument "$bundle" ceremony approve --key r1.key x.rsa
cat r2.pem r1.pem r3.pem >other.pem # another line's recovery keys
refused Chain "$bundle" ceremony approve --key r1.key --recovery other.pem x.rsa
ceremony endorse --key r3.key --recovery recovery.pem x.rsa
ceremony show x.rsa
grep -qE '^endorsement +signed' "$d/out" && grep -qE '^approval +open' "$d/out" || fail "show: $(cat "$d/out")"
refused 'Chain|TpmAuth' apply x.rsa # one recovery key is not enough
obeys x.rsa 'in force'

# -- applied
order old.pem new.pem 1.rsa
cp 1.rsa bent.rsa
printf '\377' | dd of=bent.rsa bs=1 seek=60 conv=notrunc status=none
refused Chain apply bent.rsa
ok apply 1.rsa
obeys 1.rsa then
ok apply 1.rsa # again
order new.pem old.pem 2.rsa
ok apply 2.rsa
obeys 2.rsa then
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -batch -days 3650 -subj '/CN=Firmware Authority 3' \
        -CA ../firmware/root.pem -CAkey ../firmware/root.key -addext basicConstraints=critical,CA:TRUE \
        -addext keyUsage=critical,keyCertSign,cRLSign -keyout third.key -out third.pem 2>/dev/null
order old.pem third.pem 4.rsa
ok apply 4.rsa
obeys 4.rsa then
refused TpmAuth apply 1.rsa # it names what was in force once
obeys 4.rsa then
refused InvalidArgument "$provision" authority "${own[@]}"
echo "$n statements hold"
