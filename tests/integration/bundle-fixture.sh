# SPDX-License-Identifier: LGPL-2.1-or-later
# Sourced by bundle-*.sh: a directory, certificates, images and the words of a build.
set -euo pipefail
bundle=$BUILD_ROOT/src/bundle/reseal-bundle
fixtures=$(dirname "${BASH_SOURCE[0]}")
PATH=$PATH:/usr/sbin:/sbin
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
pki=$dir/pki
salt=$(printf '5a%.0s' {1..32})

fail() { echo "FAIL: $*" >&2; exit 1; }
need() { # PROGRAM...
        for p; do
                command -v "$p" >/dev/null || { echo "skipped: $p is missing"; exit 77; }
        done
}
expect() { # CODE COMMAND...
        local want=$1 got=0
        shift
        "$@" >"$dir/out" 2>"$dir/err" || got=$?
        [ "$got" = "$want" ] || fail "$* gave $got, not $want: $(cat "$dir/out" "$dir/err")"
}
refused() { # REASON[|REASON...] COMMAND...
        local reason=$1
        shift
        expect 1 "$@"
        grep -Eq "^reseal-bundle: ($reason): " "$dir/err" || fail "$* was not refused as $reason: $(cat "$dir/err")"
}

# A megabyte that packs well, one that does not pack, two of zeros, both again, zeros, an odd end: with frames of 1 MiB
# zstd, raw, zero, zero, dup, dup, zero, zstd.
make_images() {
        head -c 1M < <(seq 1 400000) >"$dir/text"
        head -c 1M /dev/zero | openssl enc -aes-128-ctr -K 00112233445566778899aabbccddeeff \
                -iv 00000000000000000000000000000000 >"$dir/noise"
        { cat "$dir/text" "$dir/noise"; head -c 2M /dev/zero; cat "$dir/text" "$dir/noise"; head -c 1M /dev/zero
          head -c 700416 "$dir/text"; } >"$dir/rootfs.img"
        head -c 200704 "$dir/noise" >"$dir/boot.img"
}

signing=(--cert "$pki/firmware/signer.pem" --key "$pki/firmware/signer.key" --chain "$pki/firmware/chain.pem")
encrypting=(--transport-cert "$pki/source/transport.pem" --transport-cert "$pki/source/transport2.pem")
opening=(--transport-key "$pki/source/transport.key" --transport-cert "$pki/source/transport.pem")
naming=(--line gw --compatible gw-3a,gw-3b --release 7 --epoch 2 --version '7.0 (test)' --created 1790000000)
root=$pki/firmware/root.pem

build() { # OUTPUT OPTION...
        local out=$1
        shift
        expect 0 "$bundle" build --quiet "${naming[@]}" --salt "$salt" --level 3 --image "rootfs=$dir/rootfs.img" \
                --image "boot=$dir/boot.img,frame-chunks=1" --output "$out" "$@"
}
bytes() { # FILE OFFSET LENGTH
        dd if="$1" bs=64K iflag=skip_bytes,count_bytes skip="$2" count="$3" status=none
}
section() { # BUNDLE JQ-PATH: "offset length" of a section
        "$bundle" info --json "$1" | jq -r ".sections.$2 | \"\\(.offset) \\(.length)\""
}

"$SOURCE_ROOT/tests/fixtures/make-pki.sh" "$pki" >"$dir/pki.log" 2>&1 || fail "make-pki: $(cat "$dir/pki.log")"
make_images
