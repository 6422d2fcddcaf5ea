#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The token plugin under stock cryptsetup: opens a slot of this TPM, refuses it once FLOOR has passed, and waits for a TPM that
# comes late.  /etc/reseal and the plugin's directory are this test's own, in a private mount namespace (needs root).
set -euo pipefail
if [ "${1:-}" != inside ]; then
        [ "$(id -u)" = 0 ] || { echo "skipped: mounting needs root"; exit 77; }
        exec unshare -m -- "$0" inside
fi
here=$(dirname "$(readlink -f "$0")")
. "$here/swtpm.sh"
. "$here/plugin.sh"
make_slot=$BUILD_ROOT/tests/tpm/make-slot
d=$(mktemp -d /tmp/reseal-token.XXXXXX)
trap 'swtpm_down "$d/tpm"; rm -rf "$d"' EXIT
mkdir "$d/tpm"
plugin_here "$d"
plugin_conf "$d" "swtpm:path=$d/tpm/s"

swtpm_up "$d/tpm"
"$BUILD_ROOT/src/provision/reseal-provision" init --state-dir "$d/state" --writer-state-dir "$d/writer" \
        --device-serial T --escrow "$d/escrow" 2>/dev/null
args=("swtpm:path=$d/tpm/s" "$d/lock" "$d/state/keys/srk.name")
floor=$("$make_slot" create "${args[@]}" "$d/slot" | tail -1) # libcryptsetup may warn before it
opens() { cryptsetup open --test-passphrase --token-only --disable-locks "$1" >"$d/out" 2>&1; }

echo "--- luksDump names the token and what it binds"
cryptsetup luksDump "$d/slot" >"$d/out"
grep -q 'reseal' "$d/out"
grep -q "NV 0x01800200 <= $floor" "$d/out" || fail "$(cat "$d/out")"
echo "--- stock cryptsetup opens it"
opens "$d/slot" || fail "$(cat "$d/out")"
echo "--- the environment names no other TPM"
TCTI=x TPM2TOOLS_TCTI=x TSS2_TCTI=x RESEAL_CONF=/nonexistent opens "$d/slot" || fail "$(cat "$d/out")"
echo "--- a TPM that comes late is waited for"
swtpm_down "$d/tpm"
(sleep 1; swtpm_up "$d/tpm") &
opens "$d/slot" || fail "$(cat "$d/out")"
wait
echo "--- a second passphrase can be added through the token"
head -c 32 /dev/urandom >"$d/pass"
cp "$d/slot" "$d/copy"
cryptsetup luksAddKey --token-only --disable-locks --pbkdf pbkdf2 --pbkdf-force-iterations 1000 "$d/copy" "$d/pass"
cryptsetup open --test-passphrase --key-file "$d/pass" --disable-locks "$d/copy"
echo "--- a token with a changed limit is refused"
cp "$d/slot" "$d/forged"
cryptsetup token export --token-id 0 "$d/forged" | sed "s/\"floor\":\"$floor\"/\"floor\":\"$((floor + 9))\"/" >"$d/token"
cryptsetup token remove --token-id 0 --disable-locks "$d/forged"
cryptsetup token import --token-id 0 --disable-locks "$d/forged" <"$d/token"
! opens "$d/forged" || fail "a forged limit opens"
grep -q TpmState "$d/out" || fail "$(cat "$d/out")"
echo "--- another release of the same epoch closes nothing: both slots open"
"$make_slot" create "${args[@]}" "$d/slot-same" >/dev/null
opens "$d/slot-same" || fail "$(cat "$d/out")"
opens "$d/slot" || fail "$(cat "$d/out")"
echo "--- once FLOOR has passed, it never opens again; a later slot does"
"$make_slot" raise "${args[@]}" "$d/writer/gate.auth"
! opens "$d/slot" || fail "opens after the floor passed"
grep -q TpmAuth "$d/out" || fail "$(cat "$d/out")"
! opens "$d/slot-same" || fail "opens after the floor passed"
"$make_slot" create "${args[@]}" "$d/slot2" >/dev/null
opens "$d/slot2" || fail "$(cat "$d/out")"
echo "--- nothing but the interface is exported"
[ "$(nm -D --defined-only "$d/tokens/libcryptsetup-token-reseal.so" | grep -c ' T ')" = 5 ] || fail "more symbols"
echo "all passed"
