#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Signing apart from building: unsigned bundles are refused, the id never changes, wrong certificates fail at the desk.
. "$(dirname "$0")/bundle-fixture.sh"
need jq

build "$dir/u.rsb" --no-sign "${encrypting[@]}"
id=$("$bundle" info --json "$dir/u.rsb" | jq -r .id)
"$bundle" info "$dir/u.rsb" | grep -q 'NOT SIGNED' || fail "info does not say that it is not signed"
refused Signature "$bundle" verify --root "$root" "$dir/u.rsb"
refused Signature "$bundle" extract --root "$root" --json "$dir/x" "$dir/u.rsb"
refused Signature "$bundle" extract --manifest "$dir/x" "$dir/u.rsb"
[ ! -e "$dir/x" ] || fail "a refused extract left a file"

# sign into another file; tables and frames stay byte for byte
expect 0 "$bundle" sign "${signing[@]}" --root "$root" --output "$dir/s.rsb" "$dir/u.rsb"
expect 0 "$bundle" verify --root "$root" "${opening[@]}" "$dir/s.rsb"
[ "$("$bundle" info --json "$dir/s.rsb" | jq -r .id)" = "$id" ] || fail "signing changed the bundle id"
rest() { read -r offset _ <<<"$(section "$1" transport)"; tail -c "+$((offset + 1))" "$1"; }
cmp <(rest "$dir/u.rsb") <(rest "$dir/s.rsb") || fail "signing changed more than the signature"

# another signer, in place
expect 0 "$bundle" sign --cert "$pki/firmware/signer2.pem" --key "$pki/firmware/signer2.key" \
        --chain "$pki/firmware/chain.pem" "$dir/s.rsb"
grep -q 'not checked (no --root)' "$dir/err" || fail "signing without --root says nothing: $(cat "$dir/err")"
expect 0 "$bundle" verify --root "$root" "${opening[@]}" "$dir/s.rsb"
grep -q '^signed .*Signer 2' "$dir/out" || fail "the new signer does not show: $(cat "$dir/out")"
[ "$("$bundle" info --json "$dir/s.rsb" | jq -r .id)" = "$id" ] || fail "signing again changed the bundle id"

# a machine that sees the manifest only: openssl signs, sign --signature puts it in
expect 0 "$bundle" extract --json "$dir/manifest.json" "$dir/u.rsb"
expect 0 openssl cms -sign -binary -nodetach -md sha256 -in "$dir/manifest.json" -signer "$pki/firmware/signer.pem" \
        -inkey "$pki/firmware/signer.key" -certfile "$pki/firmware/chain.pem" -outform DER -out "$dir/manifest.cms"
expect 0 "$bundle" sign --signature "$dir/manifest.cms" --root "$root" -o "$dir/o.rsb" "$dir/u.rsb"
expect 0 "$bundle" verify --root "$root" "${opening[@]}" "$dir/o.rsb"

# the CMS of another manifest is not taken, nor is a file that is none
expect 0 "$bundle" build --quiet "${naming[@]}" --image "rootfs=$dir/boot.img" --no-encrypt "${signing[@]}" -o "$dir/other.rsb"
expect 0 "$bundle" extract --manifest "$dir/other.cms" "$dir/other.rsb"
refused WrongBundle "$bundle" sign --signature "$dir/other.cms" -o "$dir/x" "$dir/u.rsb"
refused Io "$bundle" sign --signature "$dir/boot.img" -o "$dir/x" "$dir/u.rsb"
refused Signature "$bundle" sign --signature "$dir/manifest.json" -o "$dir/x" "$dir/u.rsb"

# certificates that no device would take
sign_with() { "$bundle" sign --cert "$1.pem" --key "$1.key" --chain "$pki/firmware/chain.pem" --root "$root" \
        -o "$dir/x" "$dir/u.rsb"; }
refused Purpose sign_with "$pki/source/ticket"
refused Purpose sign_with "$pki/bad/signer-purpose"
refused Purpose sign_with "$pki/bad/signer-no-eku"
refused Expired sign_with "$pki/bad/signer-expired"
refused 'Certificate|Algorithm' sign_with "$pki/bad/signer-self"
refused 'Config|Signature' "$bundle" sign --cert "$pki/firmware/signer.pem" --key "$pki/firmware/signer2.key" \
        -o "$dir/x" "$dir/u.rsb"
refused Config "$bundle" sign --cert "$dir/none.pem" --key "$pki/firmware/signer.key" -o "$dir/x" "$dir/u.rsb"
refused Config "$bundle" sign --cert "$pki/firmware/signer.pem" --key "$dir/none.key" -o "$dir/x" "$dir/u.rsb"
refused 'Certificate|Algorithm' "$bundle" verify --root "$pki/source/root.pem" "$dir/s.rsb"
refused Expired "$bundle" verify --root "$root" --time 4102444800 "$dir/s.rsb"
[ ! -e "$dir/x" ] || fail "a refused sign left a file"
[ -z "$(ls -A "$dir" | grep '^\.')" ] || fail "temporary files stayed: $(ls -A "$dir")"
