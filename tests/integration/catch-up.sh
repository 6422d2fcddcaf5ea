#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A device that skipped releases gets from its source what its bundle lacks: links, and a bridge where there is no link
# (docs/format-chain.md, section 4; docs/keys.md, drills 1 and 3).
set -euo pipefail

root=${SOURCE_ROOT:-$(dirname "$(readlink -f "$0")")/../..}
build=${BUILD_ROOT:-$root/build}
work=$(mktemp -d /var/tmp/reseal-catch-up.XXXXXX)
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
asked() { # what of the chain was asked for since the last time, and how that was answered
    awk '$7 ~ /\/chain\// {sub(".*/chain/", "", $7); printf "%s%s %s", sep, $7, $9; sep = ", "}' "$work/nginx/access.log"
    : >"$work/nginx/access.log"
}
installs() { # installs NAME N
    expect "$1 is installed" '*Installed*' "$(ctl install "$url/$1.rsb")"
    expect "the device is at release $2" "$2" "$(ctl --json chain | jq .release)"
    ctl mark bad B >/dev/null
}

pki=$work/pki
"$root/tests/fixtures/make-pki.sh" "$pki" >/dev/null
device_up
sed -i "s,^\[trust\],&\nrecovery = $pki/recovery/recovery.pem," "$work/dev/writer.conf"
source_up
head -c 1M /dev/urandom >"$work/image"
chain=$pki/chain/gateway
mkdir "$work/www/chain"
writer_up
bus_up dev open
daemon_up dev
bundle r1.rsb 1 "$work/image"
installs r1 1

# -- links -----------------------------------------------------------------------------------------------------------------

RELEASE_LINKS=2 bundle r5.rsb 5 "$work/image"
cp "$chain/2.rsl" "$work/www/chain/"
asked >/dev/null
expect 'a link that the source has not either is a gap' '*ChainGap*' "$(ctl install "$url/r5.rsb")"
expect 'asked for from the last one back' '3.rsl 404, 3.bridge.rsl 404' "$(asked)"
cp "$chain/3.rsl" "$work/www/chain/"
installs r5 5
expect 'as far as the own release' '3.rsl 200, 2.rsl 200' "$(asked)"

# -- the signer of release 8 was lost: there is no link to 9, but a bridge -----------------------------------------------------

bundle r8.rsb 8 "$work/image"
cp "$chain"/[678].rsl "$work/www/chain/"
RELEASE_KIND=bridge bundle r9.rsb 9 "$work/image"
RELEASE_LINKS=1 bundle r11.rsb 11 "$work/image"
cp "$chain/10.rsl" "$work/www/chain/"
asked >/dev/null
expect 'without the bridge the device stays behind' '*ChainGap*' "$(ctl install "$url/r11.rsb")"
asked >/dev/null
cp "$chain/9.rsl" "$work/www/chain/9.bridge.rsl"
installs r11 11
expect 'what lies before the bridge is not asked for' '10.rsl 200, 9.rsl 404, 9.bridge.rsl 200' "$(asked)"
expect 'a release from before the bridge does not come back' '*Rollback*' "$(ctl install "$url/r8.rsb")"

# -- a bridge that is none changes nothing -----------------------------------------------------------------------------------------

RELEASE_LINKS=1 bundle r14.rsb 14 "$work/image"
cp "$chain/13.rsl" "$work/www/chain/"
cp "$chain/9.rsl" "$work/www/chain/12.bridge.rsl"
expect 'one to another release' '*Chain*' "$(ctl install "$url/r14.rsb")"
expect 'the device stays where it is' 11 "$(ctl --json chain | jq .release)"
cp "$chain/12.rsl" "$work/www/chain/"
installs r14 14

echo "$n_passed passed, $n_failed failed"
[ $n_failed = 0 ] || { tail -n 20 "$work/dev.log" "$work/writer.log"; exit 1; }
