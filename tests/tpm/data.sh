#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The data volume: made by reseal-provision on what is blank and nothing else, opened by stock cryptsetup through the token
# plugin with this TPM, before there is anything else in it and after FLOOR has risen; by no other, and not by a cleared one;
# the recovery key opens it without any.  /etc/reseal and the plugin's directory are this test's own (needs root).
set -euo pipefail
if [ "${1:-}" != inside ]; then
        [ "$(id -u)" = 0 ] || { echo "skipped: mounting needs root"; exit 77; }
        exec unshare -m -- "$0" inside
fi
here=$(dirname "$(readlink -f "$0")")
. "$here/swtpm.sh"
. "$here/plugin.sh"
provision=$BUILD_ROOT/src/provision/reseal-provision make_slot=$BUILD_ROOT/tests/tpm/make-slot
d=$(mktemp -d /tmp/reseal-data.XXXXXX)
trap 'swtpm_down "$d/tpm"; swtpm_down "$d/tpm2"; rm -rf "$d"' EXIT
mkdir "$d/tpm" "$d/tpm2"
plugin_here "$d"
use_tpm() { plugin_conf "$d" "swtpm:path=$d/$1/s"; }
data() { "$provision" data "$@" >"$d/out" 2>&1; }
opens() { cryptsetup open --test-passphrase --token-only --disable-locks "$1" >"$d/out" 2>&1; }
said() { grep -q "$1" "$d/out" || fail "$(cat "$d/out")"; }
blank() { rm -f "$1" && truncate -s 16M "$1"; }

swtpm_up "$d/tpm"
use_tpm tpm
echo "--- before anything else was provisioned: the volume can hold what init makes"
blank "$d/vol"
data --device "$d/vol" --recovery-key "$d/recovery" || fail "$(cat "$d/out")"
said 'storage root key made'
said 'take the recovery key off this device'
opens "$d/vol" || fail "$(cat "$d/out")"
echo "--- the header is as docs/format-slot.md has it"
cryptsetup luksDump "$d/vol" >"$d/out"
said 'Data volume: this TPM, any release'
cryptsetup token export --token-id 0 "$d/vol" | grep -Eqx '\{"type":"reseal","keyslots":\["0"\],"format":"2","blob":"[0-9a-f]{2,1024}","srk":"000b[0-9a-f]{64}"\}' ||
        fail "$(cryptsetup token export --token-id 0 "$d/vol")"
echo "--- two volumes share no key"
blank "$d/vol2"
data --device "$d/vol2" || fail "$(cat "$d/out")"
said 'without a recovery key'
[ "$(cryptsetup luksDump "$d/vol2" | grep -c '^  [0-9]: luks2')" = 1 ] || fail "$(cryptsetup luksDump "$d/vol2")"
! cryptsetup open --test-passphrase --disable-external-tokens --disable-locks --key-file "$d/recovery" "$d/vol2" 2>/dev/null || fail "one key for two"
echo "--- it may have a name, which is in the header from its first moment on"
cryptsetup luksDump "$d/vol2" | grep -q '^Label:[[:space:]]*(no label)$' || fail "a label nobody asked for"
blank "$d/named"
data --device "$d/named" --label reseal-new || fail "$(cat "$d/out")"
cryptsetup luksDump "$d/named" | grep -q '^Label:[[:space:]]*reseal-new$' || fail "no label"
cryptsetup config --label reseal-data "$d/named"
data --device "$d/named" --label reseal-new || fail "$(cat "$d/out")"
said 'nothing changed'
cryptsetup luksDump "$d/named" | grep -q '^Label:[[:space:]]*reseal-data$' || fail "the label of a volume that is there was changed"
opens "$d/named" || fail "$(cat "$d/out")"
blank "$d/named"
for label in '' 123456789012345678901234567890123456789012345678; do
        ! data --device "$d/named" --label "$label" || fail "label \"$label\" was taken"
        said Invalid
done
cmp -n 16777216 "$d/named" /dev/zero
echo "--- again: nothing changes"
cp "$d/vol" "$d/before"
data --device "$d/vol" --recovery-key "$d/recovery" || fail "$(cat "$d/out")"
said 'nothing changed'
cmp "$d/vol" "$d/before"
echo "--- the recovery key is for its owner only, and opens it by hand"
[[ $(cat "$d/recovery") =~ ^([0-9a-f]{4}-){7}[0-9a-f]{4}$ ]] || fail "form of the recovery key"
[ "$(stat -c %a "$d/recovery")" = 600 ] || fail "mode of the recovery key"
cryptsetup open --test-passphrase --disable-external-tokens --disable-locks --key-file "$d/recovery" "$d/vol"
cat "$d/recovery" | cryptsetup open --test-passphrase --disable-external-tokens --disable-locks "$d/vol"

echo "--- what is not blank is not touched: a file system, a damaged header, one byte at the end, a LUKS volume of someone else"
mke2fs -q "$d/fs" 16M 2>/dev/null
blank "$d/byte" && printf x | dd of="$d/byte" bs=1 seek=$((16777216 - 1)) conv=notrunc status=none
blank "$d/other" && cryptsetup luksFormat -q --disable-locks --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-file "$d/recovery" "$d/other" 2>/dev/null
cp "$d/vol" "$d/damaged" && dd if=/dev/zero of="$d/damaged" bs=32K count=1 conv=notrunc status=none
for f in fs byte other damaged; do
        cp "$d/$f" "$d/before"
        ! data --device "$d/$f" || fail "$f was formatted"
        said TargetDenied
        cmp "$d/$f" "$d/before"
done
echo "--- nor a slot, nor what is too small, nor what is not there"
printf '[slot rootfs.a]\nclass = rootfs\nboot-name = A\ndevice = %s\ntype = luks2\n' "$d/slot" >"$d/writer.conf"
chmod 644 "$d/writer.conf"
blank "$d/slot"
! data --device "$d/slot" --writer-conf "$d/writer.conf" || fail "a slot was formatted"
said 'TargetDenied.*is slot rootfs.a'
truncate -s 4M "$d/small"
! data --device "$d/small" || fail "a small one was formatted"
said Size
! data --device "$d/none" || fail "nothing was formatted"
said Io
! data || fail "without a device"
echo "--- a recovery key file that holds something else"
blank "$d/vol3"
(umask 077 && echo password >"$d/short")
! data --device "$d/vol3" --recovery-key "$d/short" || fail "a short passphrase was taken"
said Invalid
cmp -n 16777216 "$d/vol3" /dev/zero
echo "--- who says so destroys it; the printed recovery key opens the new one"
data --device "$d/fs" --erase --recovery-key - || fail "$(cat "$d/out")"
opens "$d/fs" || { cat "$d/out"; fail "not opened"; }

echo "--- the releases and the security epoch of the device do not matter"
"$provision" init --state-dir "$d/state" --writer-state-dir "$d/writer" --device-serial T --escrow "$d/escrow" 2>/dev/null
"$make_slot" raise "swtpm:path=$d/tpm/s" "$d/lock" "$d/state/keys/srk.name" "$d/writer/gate.auth"
opens "$d/vol" || fail "$(cat "$d/out")"
echo "--- it opens after a power cut of the TPM"
swtpm_down "$d/tpm" && swtpm_up "$d/tpm"
opens "$d/vol" || fail "$(cat "$d/out")"
echo "--- a token that says it is a slot's is refused, and so is a slot's that says it is data"
token_becomes() { # FILE SED
        cp "$1" "$d/forged"
        cryptsetup token export --token-id 0 "$1" | sed "$2" >"$d/token"
        cryptsetup token remove --token-id 0 --disable-locks "$d/forged"
        cryptsetup token import --token-id 0 --disable-locks --json-file "$d/token" "$d/forged" 2>"$d/out"
}
! token_becomes "$d/vol" 's/"format":"2"/"format":"1"/' || fail "imported"
floor=$("$make_slot" create "swtpm:path=$d/tpm/s" "$d/lock" "$d/state/keys/srk.name" "$d/rootfs" | tail -1)
[ -n "$floor" ]
token_becomes "$d/rootfs" 's/"format":"1"/"format":"2"/; s/,"nv":.*}/}/'
! opens "$d/forged" || fail "a slot opens as data"
said TpmState

echo "--- another TPM: refused, with the reason and what to do"
swtpm_up "$d/tpm2"
use_tpm tpm2
! opens "$d/vol" || fail "opens with a blank TPM"
said 'TpmOther\|TpmCleared\|NotProvisioned'
blank "$d/vol4"
data --device "$d/vol4" || fail "$(cat "$d/out")"
! opens "$d/vol" || fail "opens with another TPM"
said TpmOther
said 'opens with its recovery key'
cp "$d/vol" "$d/before"
! data --device "$d/vol" || fail "formatted"
said TpmOther
cmp "$d/vol" "$d/before"
cryptsetup open --test-passphrase --disable-external-tokens --disable-locks --key-file "$d/recovery" "$d/vol"
echo "--- a cleared TPM likewise"
swtpm_down "$d/tpm2" && rm -f "$d"/tpm2/*.permall && swtpm_up "$d/tpm2"
! opens "$d/vol4" || fail "opens with a cleared TPM"
cat "$d/out"
said 'reseal token 0: '
echo "all passed"
