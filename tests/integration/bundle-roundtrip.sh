#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Images through a bundle and back, judged by openssl, veritysetup and a second reader; reproducible; forward only.
. "$(dirname "$0")/bundle-fixture.sh"
need jq zstd veritysetup
/usr/bin/python3 -c 'import cryptography' 2>/dev/null || { echo "skipped: python3-cryptography is missing"; exit 77; }

build "$dir/a.rsb" "${signing[@]}" "${encrypting[@]}" --root "$root" --jobs 2
expect 0 "$bundle" verify --root "$root" "${opening[@]}" "$dir/a.rsb"
expect 0 "$bundle" verify --root "$root" "$dir/a.rsb"
grep -q '^payload .*not looked at' "$dir/out" || fail "an unread payload was not mentioned"

# extract gives back what went in
for class in rootfs boot; do
        expect 0 "$bundle" extract --root "$root" "${opening[@]}" --image $class --output "$dir/$class.out" "$dir/a.rsb"
        cmp "$dir/$class.img" "$dir/$class.out" || fail "$class came back changed"
done
[ "$(stat -c %a "$dir/rootfs.out")" = 600 ] || fail "what was encrypted is readable by others"

# the commands of docs/format-bundle.md section 2, by hand
expect 0 "$bundle" extract --root "$root" --manifest "$dir/manifest.cms" --json "$dir/manifest.json" "$dir/a.rsb"
expect 0 openssl cms -verify -inform DER -in "$dir/manifest.cms" -CAfile "$root" -purpose any -out "$dir/by-hand.json"
cmp "$dir/manifest.json" "$dir/by-hand.json" || fail "openssl sees another content"
id=$(sha256sum <"$dir/by-hand.json" | cut -d' ' -f1)
[ "$("$bundle" info --json "$dir/a.rsb" | jq -r .id)" = "$id" ] || fail "the bundle id is not SHA-256 of the content"
expect 0 openssl x509 -in "$pki/firmware/signer.pem" -noout -ext extendedKeyUsage
arc=$(sed -n 's/^#define RS_OID_ARC "\(.*\)"/\1/p' "$SOURCE_ROOT/include/reseal/base/names.h")
grep -q "$arc\.2\.1\b" "$dir/out" || fail "openssl does not show the image-signing purpose: $(cat "$dir/out")"

# D3: the root in the manifest is that of veritysetup for image and salt
for class in rootfs boot; do
        rm -f "$dir/hash"
        expect 0 veritysetup format --salt="$salt" "$dir/$class.img" "$dir/hash"
        want=$(sed -n 's/^Root hash:[[:space:]]*//p' "$dir/out")
        got=$(jq -r ".images[] | select(.class == \"$class\") | .root" "$dir/manifest.json")
        [ "$want" = "$got" ] || fail "$class: root $got, veritysetup says $want"
done

# zero and dup frames cost no payload: of rootfs a zstd, a raw and the last zstd frame are there
read -r _ length <<<"$(section "$dir/a.rsb" 'frames[0]')"
[ "$length" -gt 1048576 ] && [ "$length" -lt 2097152 ] || fail "rootfs has $length bytes of payload"
head -c 64M /dev/zero >"$dir/zero.img"
expect 0 "$bundle" build --quiet "${naming[@]}" --image "rootfs=$dir/zero.img" --no-encrypt "${signing[@]}" -o "$dir/z.rsb"
[ "$(section "$dir/z.rsb" 'frames[0]' | cut -d' ' -f2)" = 0 ] || fail "zeros cost payload"
expect 0 "$bundle" extract --image rootfs -o "$dir/zero.out" "$dir/z.rsb"
cmp "$dir/zero.img" "$dir/zero.out" || fail "zeros came back changed"
for _ in 1 2 3 4; do cat "$dir/noise"; done >"$dir/same.img"
expect 0 "$bundle" build --quiet "${naming[@]}" --image "rootfs=$dir/same.img" --no-encrypt "${signing[@]}" -o "$dir/d.rsb"
[ "$(section "$dir/d.rsb" 'frames[0]' | cut -d' ' -f2)" = 1048576 ] || fail "repeated frames cost payload"

# a second reader, made from the document, reads through a pipe; openssl opens the envelope
read -r offset length <<<"$(section "$dir/a.rsb" transport)"
bytes "$dir/a.rsb" "$offset" "$length" >"$dir/transport.cms"
expect 0 openssl cms -decrypt -inform DER -in "$dir/transport.cms" -recip "$pki/source/transport2.pem" \
        -inkey "$pki/source/transport2.key" -out "$dir/content.key"
[ "$(stat -c %s "$dir/content.key")" = 32 ] || fail "the content key has another size"
mkdir "$dir/second"
cat "$dir/a.rsb" | /usr/bin/python3 "$fixtures/bundle-reader.py" "$dir/second" "$dir/content.key" ||
        fail "the second reader disagrees"
for class in rootfs boot; do
        cmp "$dir/$class.img" "$dir/second/$class.img" || fail "second reader: $class differs"
done
cmp "$dir/manifest.cms" "$dir/second/manifest.cms" || fail "second reader: another manifest"

# plain form: the same digests, another file; readable without any key
build "$dir/p.rsb" "${signing[@]}" --no-encrypt --confidential no --jobs 1
expect 0 "$bundle" verify --root "$root" "$dir/p.rsb"
grep -q '^image *rootfs: good' "$dir/out" || fail "a plain payload was not looked at"
mkdir "$dir/third"
cat "$dir/p.rsb" | /usr/bin/python3 "$fixtures/bundle-reader.py" "$dir/third" || fail "the second reader disagrees (plain)"
cmp "$dir/rootfs.img" "$dir/third/rootfs.img" || fail "second reader: plain rootfs differs"

# reproducible before encryption, whatever the number of threads; the content key is fresh each time
build "$dir/b.rsb" "${signing[@]}" "${encrypting[@]}" --jobs 7
for b in b p; do
        diff <("$bundle" info --digests "$dir/a.rsb") <("$bundle" info --digests "$dir/$b.rsb") || fail "digests of $b differ"
done
[ "$("$bundle" info --json "$dir/b.rsb" | jq -r .id)" = "$id" ] || fail "same input, another bundle id"
read -r offset length <<<"$(section "$dir/a.rsb" 'frames[0]')"
read -r offset_b _ <<<"$(section "$dir/b.rsb" 'frames[0]')"
cmp -s <(bytes "$dir/a.rsb" "$offset" "$length") <(bytes "$dir/b.rsb" "$offset_b" "$length") &&
        fail "two builds used one content key"

# padding is said and is zeros
printf 'short' >"$dir/short.img"
expect 0 "$bundle" build "${naming[@]}" --image "boot=$dir/short.img" --no-encrypt "${signing[@]}" -o "$dir/s.rsb"
grep -q 'padded with 8187 zero bytes to 8192' "$dir/err" || fail "padding was not mentioned: $(cat "$dir/err")"
expect 0 "$bundle" extract --image boot -o "$dir/short.out" "$dir/s.rsb"
cmp <(cat "$dir/short.img"; head -c 8187 /dev/zero) "$dir/short.out" || fail "padding is not zeros"
[ -z "$(ls -A "$dir" | grep '^\.')" ] || fail "temporary files stayed: $(ls -A "$dir")"
