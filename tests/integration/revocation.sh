#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Whoever is revoked is out at the next contact, says so, and is back with a new key or certificate (S24, S71, T45):
# ticket key and server judged by the device, the device judged by its source.
set -euo pipefail

root=${SOURCE_ROOT:-$(dirname "$(readlink -f "$0")")/../..}
build=${BUILD_ROOT:-$root/build}
work=$(mktemp -d /var/tmp/reseal-revocation.XXXXXX)
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
expect() { # expect NAME PATTERN OUTPUT
    # shellcheck disable=SC2053 # a pattern it is
    if [[ $3 == $2 ]]; then n_passed=$((n_passed + 1)); else n_failed=$((n_failed + 1)); echo "FAILED: $1: expected '$2', got '$3'"; fi
}
ctl() { timeout 120 "$build/src/resealctl/resealctl" "$@" 2>&1 || true; }
slots() { stat -c '%n %y %b' "$work"/dev/slot-?; }
refuses() { # refuses NAME PATTERN ORDER...: and no slot has changed
    local name=$1 pattern=$2 before
    shift 2
    before=$(slots)
    expect "$name" "$pattern" "$(ctl install "$@")"
    expect "$name: no slot has changed" "$before" "$(slots)"
}
list() { # list ISSUER NUMBER [CERT...]
    "$root/tests/fixtures/make-pki.sh" crl "$pki" "$@" >/dev/null
}
publish_lists() { "$build/src/source-server/reseal-source" lists "$@" -o "$work/www/crls"; }
boot_good() { # what is installed runs and is good: the next release goes into the other slot
    ctl mark bad B >/dev/null
}
again() {
    kill -TERM "$daemon"
    wait "$daemon" 2>/dev/null || true
    daemon_up dev
}

pki=$work/pki
"$root/tests/fixtures/make-pki.sh" "$pki" >/dev/null
device_up
source_up
head -c 1M /dev/urandom >"$work/image"
bundle r1.rsb 1 "$work/image"
bundle r2.rsb 2 "$work/image"
id2=$("$build/src/bundle/reseal-bundle" info "$work/r2.rsb" | awk '$1 == "id" {print $2}')
cp "$work/www/tickets/$id2"/*.rst "$work/old.rst"
writer_up
bus_up dev open
daemon_up dev
expect 'as long as nobody is revoked' '*Installed*' "$(ctl install "$url/r1.rsb")"
boot_good

# -- the ticket key ------------------------------------------------------------------------------------------------------

list device/ca 1
list source/root 2 "$pki/source/ticket.pem"
publish_lists --crl "$pki/source/root.crl" --crl "$pki/firmware/root.crl"
refuses 'a revoked ticket key, at the contact that brings the list' '*Revoked: ticket*revoked by list 2*' "$url/r2.rsb"
rm "$work/www/crls"
refuses 'and from then on without it' '*Revoked: ticket*' "$url/r2.rsb"
refuses 'its ticket beside a file is no better' '*Revoked*' --ticket "$work/old.rst" "$work/r2.rsb"
again
refuses 'nor after a restart' '*Revoked: ticket*' "$url/r2.rsb"
cp "$work/dev/state/crls" "$work/crls.kept"
rm "$work/dev/state/crls"
again
refuses 'a list that was taken from reseald is missed' '*CrlRollback*number 0 here, 2 at the writer*' "$url/r2.rsb"
publish_lists --crl "$pki/source/root.crl" --crl "$pki/device/ca.crl"
refuses 'and comes back with the next contact, past one of a CA that is nothing to this device' '*Revoked: ticket*' "$url/r2.rsb"
TICKET=source/ticket2 bundle r2.rsb 2 "$work/image"
expect 'a new ticket key opens' '*Installed*' "$(ctl install "$url/r2.rsb")"
boot_good

# -- the server ----------------------------------------------------------------------------------------------------------

list source/root 3 "$pki/source/ticket.pem" "$pki/source/server.pem"
expect 'the operator brings a list' '*in force*' "$(ctl crl import "$pki/source/root.crl")"
rm "$work/www/crls"
TICKET=source/ticket2 bundle r3.rsb 3 "$work/image"
refuses 'a revoked server is nobody to talk to' '*AuthSource: Revoked*' "$url/r3.rsb"
expect 'and is not asked for news' '*AuthSource: Revoked*' "$(ctl check "$url/r3.rsb")"
source_down
SERVER=source/server2 source_up
expect 'its new certificate is' '*Installed*' "$(ctl install "$url/r3.rsb")"
boot_good

# -- the device ----------------------------------------------------------------------------------------------------------

list device/ca 2 "$work/dev/identity.pem" "$work/dev/unwrap.pem"
openssl crl -inform DER -in "$pki/device/ca.crl" -out "$work/device-crl.pem"
source_down
SERVER=source/server2 source_up "ssl_crl $work/device-crl.pem;"
TICKET=source/ticket2 bundle r4.rsb 4 "$work/image"
refuses 'a revoked device is told so by its source' '*AuthDevice*refuses the device'"'"'s certificate*' "$url/r4.rsb"
expect 'and the source saw nothing else of it' 400 "$(tail -n 1 "$work/nginx/access.log" | awk '{print $9}')"
before=$(find "$work/www/tickets" | sort | sha256sum)
expect 'nor does it get tickets any more' '*Revoked: *unwrap.pem*' "$("$build/src/source-server/reseal-source" publish \
    --bundle "$work/r4.rsb" --www "$work/www" --transport-key "$pki/source/transport.key" \
    --transport-cert "$pki/source/transport.pem" --ticket-key "$pki/source/ticket2.key" \
    --ticket-cert "$pki/source/ticket2.pem" --device-ca "$pki/device/ca.pem" --crl "$pki/device/ca.crl" \
    --device "$work/dev/unwrap.pem" 2>&1 || true)"
expect 'and none was left' "$before" "$(find "$work/www/tickets" | sort | sha256sum)"
for kind in identity unwrap; do # for the same keys, which never leave the TPM
    in=$work/dev/csr/$kind.csr
    [ -e "$in" ] || in=$work/dev/csr/$kind.pub
    "$root/tests/fixtures/make-pki.sh" sign-device "$pki" $kind "$in" "$work/dev/$kind.pem" GW-1 >/dev/null
done
"$build/src/provision/reseal-provision" certs --state-dir "$work/dev/state" --identity "$work/dev/identity.pem" \
    --unwrap "$work/dev/unwrap.pem" >/dev/null
again
expect 'with a new certificate it is let in' '*Installed*' "$(ctl install "$url/r4.rsb")"

echo "$n_passed passed, $n_failed failed"
[ $n_failed = 0 ] || { tail -n 20 "$work/dev.log" "$work/writer.log"; exit 1; }
