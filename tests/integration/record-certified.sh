#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What the TPM certifies of its record, from the question to the answer: resealctl chain --certify on a device, then
# reseal-bundle record and, as somebody else's eyes, openssl and tpm2_print on a machine that has neither TPM nor trust in
# the device.  The TPM is a bare one: every command is under the lock file.
set -euo pipefail

root=${SOURCE_ROOT:-$(dirname "$(readlink -f "$0")")/../..}
build=${BUILD_ROOT:-$root/build}
work=$(mktemp -d /var/tmp/reseal-certified.XXXXXX)
pids=()
clean() {
    [ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2>/dev/null || true
    wait 2>/dev/null || true
    [ -n "${KEEP:-}" ] || rm -rf "$work"
}
trap clean EXIT
for tool in dbus-daemon busctl nginx openssl swtpm systemd-socket-activate grub-editenv python3 jq tpm2_print; do
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
certify() { # certify NONCE FILE
    expect "a copy for $1" "The certified copy is in $2." "$(ctl chain --certify "$1" --output "$2")"
}
record() { "$build/src/bundle/reseal-bundle" record "$@" 2>&1 | tr -s ' \n' ' ' || true; }
nonce() { head -c "$1" /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }
split() { # split PROOF DIRECTORY: the parts of a copy, by docs/tpm.md and not by our code
    mkdir -p "$2"
    python3 - "$1" "$2" <<'END'
import struct
import sys

data, out = open(sys.argv[1], 'rb').read(), sys.argv[2]
assert data[:8] == b'RSPROOF1'
at = 8


def take(name):
    global at
    n, = struct.unpack_from('>H', data, at)
    open(f'{out}/{name}', 'wb').write(data[at + 2:at + 2 + n])
    at += 2 + n


take('key.der')
take('certificate.pem')
assert struct.unpack_from('>I', data, at) == (2,)
at += 4
for name in ('accept', 'record'):
    take(f'{name}.attest')
    take(f'{name}.sig')
assert at == len(data)
END
}

pki=$work/pki
"$root/tests/fixtures/make-pki.sh" "$pki" >/dev/null
device_up
source_up
head -c 1M /dev/urandom >"$work/image"
bundle r1.rsb 1 "$work/image"
writer_up
bus_up dev open
daemon_up dev
key=$work/dev/csr/attest.pub

# -- a new device: nothing is accepted, and that is certified ---------------------------------------------------------------------

first=$(nonce 16)
certify "$first" "$work/first"
expect 'nothing yet' 'record certified by the device*for this nonce accepted nothing yet counters ACCEPT *' \
    "$(record --nonce "$first" --device "$key" --line gateway "$work/first")"

# -- a release later ----------------------------------------------------------------------------------------------------------------

expect 'a release is installed' '*Installed*' "$(ctl install "$url/r1.rsb")"
id=$("$build/src/bundle/reseal-bundle" info --json "$work/r1.rsb" | jq -r .id)
n=$(nonce 20)
certify "$n" "$work/copy"
expect 'its index, epoch and manifest as certified' "record certified by the device*line gateway release 1, epoch 0 manifest $id signer * counters ACCEPT *" \
    "$(record --nonce "$n" --device "$key" --line gateway "$work/copy")"
expect 'without a name the tag of the line' "*line tag $(printf gateway | sha256sum | cut -c 1-32) release 1*" \
    "$(record --nonce "$n" --device "$key" "$work/copy")"
chain=$(ctl --json chain | jq -c '[.release, .epoch, .manifest, .signer, .["log-head"], .accept, .["line-tag"]]')
expect 'the same that the service says' "${chain//\[/\\[}" \
    "$("$build/src/bundle/reseal-bundle" record --json --nonce "$n" --device "$key" "$work/copy" |
        jq -c '[.release, .epoch, .manifest, .signer, .["log-head"], .accept, .["line-tag"]]')"
expect 'in hexadecimal without --output' "$(head -c 8 "$work/copy" | od -An -tx1 | tr -d ' \n')*" "$(ctl chain --certify "$n")"

# -- with other eyes ------------------------------------------------------------------------------------------------------------------

split "$work/copy" "$work/parts"
openssl pkey -pubin -in "$key" -outform DER -out "$work/key.der"
expect 'the key of provisioning is in it' '' "$(cmp "$work/key.der" "$work/parts/key.der" 2>&1)"
for part in accept record; do
    expect "openssl verifies the signature over $part" 'Verified OK' \
        "$(openssl dgst -sha256 -verify "$key" -signature "$work/parts/$part.sig" "$work/parts/$part.attest" 2>&1)"
    tpm2_print -t TPMS_ATTEST "$work/parts/$part.attest" >"$work/parts/$part.txt" 2>&1 || true
    expect "tpm2_print finds TPM_GENERATED, the kind and the nonce in $part" 'ff544347 8014 1' \
        "$(sed -n 's/^magic: //p; s/^type: //p' "$work/parts/$part.txt" | tr '\n' ' ')$(grep -c "^extraData: $n" "$work/parts/$part.txt")"
done
expect 'the release in the bytes that the TPM signed' "$id" \
    "$(python3 -c 'import sys; d = open(sys.argv[1], "rb").read(); print(d[-256:][72:104].hex())' "$work/parts/record.attest")"

# -- what is refused, and why ---------------------------------------------------------------------------------------------------------

expect 'an older copy for a new nonce' '*: Proof: made for another nonce*' "$(record --nonce "$(nonce 20)" --device "$key" "$work/copy")"
expect 'the copy of before, which was good' '*: Proof: made for another nonce*' "$(record --nonce "$n" --device "$key" "$work/first")"
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 2>/dev/null | openssl pkey -pubout -out "$work/other.pub"
expect 'the key of another device' '*: Signature: *another attestation key*' "$(record --nonce "$n" --device "$work/other.pub" "$work/copy")"
expect 'the identity key of this one' '*: Signature: *' "$(record --nonce "$n" --device "$work/dev/identity.pem" "$work/copy")"
expect 'what is no key' '*: Certificate: *' "$(record --nonce "$n" --device "$work/copy" "$work/copy")"
expect 'another line' '*: Line: *' "$(record --nonce "$n" --device "$key" --line toaster "$work/copy")"
python3 -c 'import sys; d = bytearray(open(sys.argv[1], "rb").read()); at = d.rfind(bytes.fromhex(sys.argv[2])); d[at] ^= 1; open(sys.argv[3], "wb").write(d)' \
    "$work/copy" "$id" "$work/bent"
expect 'another manifest' '*: Signature: *' "$(record --nonce "$n" --device "$key" "$work/bent")"
head -c 500 "$work/copy" >"$work/cut"
expect 'a copy that is cut' '*: Format: *' "$(record --nonce "$n" --device "$key" "$work/cut")"
expect 'something else' '*: Format: *' "$(record --nonce "$n" --device "$key" "$work/dev/csr/identity.csr")"
expect 'the exit status says it' 1 "$("$build/src/bundle/reseal-bundle" record --nonce "$n" --device "$key" "$work/bent" >/dev/null 2>&1; echo $?)"

# -- who may ask, and how -------------------------------------------------------------------------------------------------------------

expect 'a nonce that is too short' 'Call failed: a nonce has 16 to 32 bytes' "$(call CertifyRecord ay 3 1 2 3 || true)"
expect 'and at the client' '*small hexadecimal digits' "$(ctl chain --certify 0123)"
expect 'certify belongs to chain' '*--certify is for chain*' "$(ctl status --certify "$n")"

# -- with a certificate of the device CA: it goes along, and is as good as the key ------------------------------------------------------

"$root/tests/fixtures/make-pki.sh" sign-device "$pki" attest "$key" "$work/dev/attest.pem" >/dev/null
"$build/src/provision/reseal-provision" certs --state-dir "$work/dev/state" --identity "$work/dev/identity.pem" \
    --unwrap "$work/dev/unwrap.pem" --attest "$work/dev/attest.pem" >/dev/null
kill "$daemon"
wait "$daemon" 2>/dev/null || true
daemon_up dev
certify "$n" "$work/copy"
expect 'judged by the certificate' '*release 1, epoch 0*' "$(record --nonce "$n" --device "$work/dev/attest.pem" "$work/copy")"
split "$work/copy" "$work/parts"
expect 'which is in the copy, and leads to the device CA' '*: OK' \
    "$(openssl verify -CAfile "$pki/device/ca.pem" "$work/parts/certificate.pem" 2>&1 || true)"

# -- no key, no copy --------------------------------------------------------------------------------------------------------------------

kill "$daemon"
wait "$daemon" 2>/dev/null || true
rm "$work/dev/state/keys/attest.tpm"
daemon_up dev
expect 'a device without an attestation key says so' 'resealctl: NotProvisioned: *' "$(ctl chain --certify "$n")"

echo "$n_passed passed, $n_failed failed"
[ $n_failed = 0 ] || { tail -n 20 "$work/dev.log" "$work/writer.log"; exit 1; }
