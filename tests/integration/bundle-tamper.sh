#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Each region of a bundle changed, cut or moved: verify refuses it with a reason (issue 2; D3, S1).
. "$(dirname "$0")/bundle-fixture.sh"
need jq

# One recipient: what stands in the envelope for another source is none of this one's business, it opens all the same.
encrypting=(--transport-cert "$pki/source/transport.pem")
build "$dir/e.rsb" "${signing[@]}" "${encrypting[@]}"
build "$dir/p.rsb" "${signing[@]}" --no-encrypt
verify() { "$bundle" verify --quiet --root "$root" "${opening[@]}" "$1"; }
expect 0 verify "$dir/e.rsb"
expect 0 verify "$dir/p.rsb"

flip() { # BUNDLE OFFSET: a copy with one bit changed
        cp "$1" "$dir/x.rsb"
        local byte
        byte=$(od -An -tu1 -j "$2" -N 1 "$1")
        printf "$(printf '\\x%02x' $((byte ^ 1)))" | dd of="$dir/x.rsb" bs=1 seek="$2" conv=notrunc status=none
}
flipped() { # REASONS BUNDLE OFFSET
        flip "$2" "$3"
        refused "$1" verify "$dir/x.rsb"
}

for b in e p; do
        f=$dir/$b.rsb
        [ $b = e ] && frame=Decrypt table=Decrypt || { frame=FrameDigest; table=TableDigest; }
        # header: magic, version, flags, count, size, file size, each field of the first and the last entry
        for at in 0 7 8 11 12 15 19 23 31 32 35 39 47 55; do
                flipped Format "$f" $at
        done
        read -r offset length <<<"$(section "$f" manifest)"
        for at in 35 39 47 55; do
                flipped Format "$f" $((offset - 24 + at - 32))
        done
        # CMS: its head, the content, the certificates, the signature at its end
        flipped Signature "$f" "$offset"
        flipped 'Signature|Manifest|Format' "$f" $((offset + length / 4))
        content=$(grep -abo -m1 '"release":7' "$f" | cut -d: -f1)
        flipped Signature "$f" $((content + 10))
        flipped 'Signature|Certificate|Algorithm|Purpose' "$f" $((offset + length / 2))
        flipped Signature "$f" $((offset + length - 3))
        # envelope
        if [ $b = e ]; then
                read -r offset length <<<"$(section "$f" transport)"
                for at in 0 $((length / 2)) $((length - 1)); do
                        flipped 'Decrypt|Algorithm' "$f" $((offset + at))
                done
        fi
        for image in 0 1; do
                read -r offset length <<<"$(section "$f" "tables[$image]")"
                for at in 0 40 $((length / 2)) $((length - 1)); do
                        flipped $table "$f" $((offset + at))
                done
                # first, middle and last frame
                read -r offset length <<<"$(section "$f" "frames[$image]")"
                for at in 0 $((length / 2)) $((length - 1)); do
                        flipped $frame "$f" $((offset + at))
                done
        done
        # cut, longer, empty
        for size in 0 1 31 32 200 $(($(stat -c %s "$f") - 1)); do
                head -c "$size" "$f" >"$dir/x.rsb"
                refused Format verify "$dir/x.rsb"
        done
        { cat "$f"; printf x; } >"$dir/x.rsb"
        refused Format verify "$dir/x.rsb"
done

# sections exchanged between two bundles of the same images: bound to the manifest, or to the content key
build "$dir/f.rsb" "${signing[@]}" "${encrypting[@]}"
read -r to length <<<"$(section "$dir/e.rsb" 'tables[0]')"
read -r from _ <<<"$(section "$dir/f.rsb" 'tables[0]')"
cp "$dir/e.rsb" "$dir/x.rsb"
bytes "$dir/f.rsb" "$from" "$length" | dd of="$dir/x.rsb" bs=64K seek="$to" oflag=seek_bytes conv=notrunc status=none
refused Decrypt verify "$dir/x.rsb"
# two frames of one image exchanged: the nonce is the frame's number
for _ in 1 2 3; do head -c 524288 /dev/urandom; done >"$dir/three.img"
expect 0 "$bundle" build --quiet "${naming[@]}" --image "rootfs=$dir/three.img,frame-chunks=1" "${encrypting[@]}" \
        "${signing[@]}" -o "$dir/t.rsb"
read -r offset length <<<"$(section "$dir/t.rsb" 'frames[0]')"
one=$((524288 + 16))
[ "$length" = $((3 * one)) ] || fail "three raw frames expected"
{ bytes "$dir/t.rsb" 0 "$offset"; bytes "$dir/t.rsb" $((offset + one)) $one; bytes "$dir/t.rsb" "$offset" $one
  bytes "$dir/t.rsb" $((offset + 2 * one)) $one; } >"$dir/x.rsb"
refused Decrypt verify "$dir/x.rsb"
# an encrypted bundle dressed as plain, a confidential manifest in plain form, the wrong transport key
flip "$dir/e.rsb" 15
refused Format verify "$dir/x.rsb"
refused 'Decrypt|Config' "$bundle" verify --root "$root" --transport-key "$pki/source/ticket.key" "$dir/e.rsb"
refused Decrypt "$bundle" extract --image rootfs -o "$dir/y" "$dir/e.rsb"
refused SlotClass "$bundle" extract --image other "${opening[@]}" -o "$dir/y" "$dir/e.rsb"
expect 0 "$bundle" build --quiet "${naming[@]}" --image "boot=$dir/boot.img" --no-encrypt --no-sign -o "$dir/c.rsb"
expect 0 "$bundle" extract --json "$dir/c.json" "$dir/c.rsb"
sed 's/"confidential":false/"confidential":true /' "$dir/c.json" >"$dir/d.json"
python3 - "$dir/c.rsb" "$dir/c.json" "$dir/d.json" <<'PY'
import sys
path, old, new = sys.argv[1:]
data = open(path, 'rb').read().replace(open(old, 'rb').read(), open(new, 'rb').read())
open(path, 'wb').write(data)
PY
expect 0 "$bundle" sign "${signing[@]}" "$dir/c.rsb"
refused Policy verify "$dir/c.rsb"
[ ! -e "$dir/y" ] || fail "a refused extract left a file"
