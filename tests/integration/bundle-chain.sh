#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Links and revocation lists in a bundle: attached after signing, shown, read by the second reader, walked as by a device.
. "$(dirname "$0")/bundle-fixture.sh"
need jq python3
make_images

build "$dir/u.rsb" --no-sign --no-encrypt
id=$("$bundle" info --json "$dir/u.rsb" | jq -r .id)
c=$dir/chain
mkdir "$c" "$dir/read"
"$BUILD_ROOT/tests/integration/chain-files" "$c" gw 7 2 "$id"
expect 0 "$bundle" sign --cert "$c/signer.pem" --key "$c/signer.key" --chain "$c/authority.pem" --root "$c/root.pem" \
        -o "$dir/s.rsb" "$dir/u.rsb"
refused ChainGap "$bundle" verify --root "$c/root.pem" --from "$c/6.rsl" "$dir/s.rsb"

# in any order; all else stays
expect 0 "$bundle" attach --link "$c/7.rsl" --link "$c/5.rsl" --link "$c/6.rsl" -o "$dir/a.rsb" "$dir/s.rsb"
tail_of() { read -r offset _ <<<"$(section "$1" 'tables[0]')"; tail -c "+$((offset + 1))" "$1"; }
cmp <(tail_of "$dir/s.rsb") <(tail_of "$dir/a.rsb") || fail "attach changed more than its sections"
[ "$("$bundle" info --json "$dir/a.rsb" | jq -c '[.chain.links[].index]')" = '[5,6,7]' ] || fail "info: other links"
"$bundle" info "$dir/a.rsb" | grep -q '^link     7, epoch 2, signer ' || fail "info does not show the link"
verify=("$bundle" verify --root "$c/root.pem")
expect 0 "${verify[@]}" --from "$c/4.rsl" "$dir/a.rsb"
grep -q '^chain .*good.*3 steps' "$dir/out" || fail "verify does not tell the steps: $(cat "$dir/out")"
dd if="$c/6.rsl" bs=1 skip=16 count=160 of="$dir/6.record" status=none
expect 0 "${verify[@]}" --from "$dir/6.record" "$dir/a.rsb"
expect 0 "${verify[@]}" --from "$c/7.rsl" "$dir/a.rsb"
expect 0 "${verify[@]}" --from factory "$dir/a.rsb"
refused ChainGap "${verify[@]}" --from "$c/2.rsl" "$dir/a.rsb"

# a bridge needs the recovery keys; a list names the signer of 2 as stolen
expect 0 "$bundle" attach --link "$c/7.bridge.rsl" --crl "$c/authority.crl" -o "$dir/b.rsb" "$dir/s.rsb"
refused Chain "${verify[@]}" --from "$c/1.rsl" "$dir/b.rsb"
expect 0 "${verify[@]}" --recovery "$c/recovery.pem" --from "$c/1.rsl" "$dir/b.rsb"
expect 0 "$bundle" attach --link "$c/2.rsl" --link "$c/3.rsl" --link "$c/4.rsl" --link "$c/5.rsl" --link "$c/6.rsl" \
        --link "$c/7.rsl" "$dir/b.rsb"
refused Revoked "${verify[@]}" --from "$c/1.rsl" "$dir/b.rsb"
refused Revoked "${verify[@]}" --from "$c/2.rsl" "$dir/b.rsb"
expect 0 "${verify[@]}" --from "$c/3.rsl" "$dir/b.rsb"
"$bundle" info "$dir/b.rsb" | grep -q '^crl      number 3, ' || fail "info does not show the list"

# the second reader
/usr/bin/python3 "$fixtures/bundle-reader.py" "$dir/read" <"$dir/b.rsb" || fail "the second reader disagrees"
cmp "$dir/read/0.crl" "$c/authority.crl" || fail "the second reader read another list"
[ "$(jq -c '[.[].index]' "$dir/read/links.json")" = '[2,3,4,5,6,7]' ] || fail "the second reader read other links"

# what does not belong to this bundle is not attached
mkdir "$dir/other"
"$BUILD_ROOT/tests/integration/chain-files" "$dir/other" gw 8 2 "$id"
refused WrongBundle "$bundle" attach --link "$dir/other/7.rsl" -o "$dir/x" "$dir/s.rsb"
refused Chain "$bundle" attach --link "$dir/other/8.rsl" -o "$dir/x" "$dir/s.rsb"
refused Chain "$bundle" attach --link "$c/root.pem" -o "$dir/x" "$dir/s.rsb"
refused Format "$bundle" attach --crl "$c/root.pem" -o "$dir/x" "$dir/s.rsb"
refused Io "$bundle" attach --crl "$dir/nothing" -o "$dir/x" "$dir/s.rsb"
expect 2 "$bundle" attach "$dir/s.rsb"
expect 2 "${verify[@]}" --recovery "$c/recovery.pem" "$dir/s.rsb"
[ ! -e "$dir/x" ] || fail "a refused attach left a file"
