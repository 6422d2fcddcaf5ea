#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# reseal-source: a real bundle is published with tickets; the wrong keys, devices and bundles are refused and leave nothing.
. "$(dirname "$0")/bundle-fixture.sh"
need jq openssl

source=$BUILD_ROOT/src/source-server/reseal-source
device_id() { openssl x509 -in "$1" -pubkey -noout | openssl pkey -pubin -outform DER | sha256sum | cut -d' ' -f1; }
source_refused() { # REASON COMMAND...
        local reason=$1
        shift
        expect 1 "$@"
        grep -q "^reseal-source: $reason: " "$dir/err" || fail "$* was not refused as $reason: $(cat "$dir/err")"
}

# a signer with the place that --firmware-root asks for; the place is a critical extension that stock openssl does not know
"$SOURCE_ROOT/tests/fixtures/make-pki.sh" signer "$pki" 7 2 gw -
signing=(--cert "$pki/firmware/signer-7.pem" --key "$pki/firmware/signer-7.key" --chain "$pki/firmware/chain.pem")
build "$dir/gw-7.rsb" "${signing[@]}" "${encrypting[@]}"
build "$dir/plain.rsb" "${signing[@]}" --no-encrypt
expect 0 "$bundle" extract --quiet --manifest "$dir/manifest.cms" "$dir/gw-7.rsb"
id=$(openssl cms -verify -inform DER -in "$dir/manifest.cms" -CAfile "$root" -purpose any -ignore_critical 2>"$dir/log" |
        sha256sum | cut -d' ' -f1) || fail "openssl refuses the manifest: $(cat "$dir/log")"

tickets=(--ticket-key "$pki/source/ticket.key" --ticket-cert "$pki/source/ticket.pem" --device-ca "$pki/device/ca.pem")
checks=(--firmware-root "$root" --source-root "$pki/source/root.pem")
one=$pki/device/one-unwrap.pem
two=$pki/device/two-unwrap.pem

# publish: bundle and tickets lie where a device looks, readable by a web server of another user
expect 0 "$source" publish --bundle "$dir/gw-7.rsb" --www "$dir/www" "${opening[@]}" "${tickets[@]}" "${checks[@]}" \
        --not-after +3600 --device "$one" "$two"
[ "$(wc -l <"$dir/out")" = 2 ] || fail "one line per device"
cmp "$dir/gw-7.rsb" "$dir/www/gw-7.rsb" || fail "the bundle was not copied"
for d in "$one" "$two"; do
        serial=$(basename "$d" -unwrap.pem)
        t=$dir/www/tickets/$id/$serial.$(device_id "$d").rst
        [ -f "$t" ] || fail "no ticket for $d: $(find "$dir/www")"
        [ "$(stat -c %a "$t")" = 644 ] || fail "mode of a ticket"
        grep -q "$(device_id "$d")  $t" "$dir/out" || fail "not listed: $t"
        # by hand: docs/format-ticket.md
        openssl cms -verify -inform DER -in "$t" -CAfile "$pki/source/root.pem" -purpose any -out "$dir/ticket.json" \
                2>"$dir/log" || fail "openssl refuses the ticket: $(cat "$dir/log")"
        [ "$(jq -r '[.format, .suite, .bundle, .device, (.not_after - .issued)] | join(" ")' "$dir/ticket.json")" = \
                "1 1 $id $(device_id "$d") 3600" ] || fail "ticket: $(cat "$dir/ticket.json")"
done
[ "$(find "$dir/www" -name '.*' -o -name '*.new' | wc -l)" = 0 ] || fail "temporary files stay"

# a plain bundle is published without tickets, and there is no key in it to give
expect 0 "$source" publish --bundle "$dir/plain.rsb" --www "$dir/www"
source_refused State "$source" ticket --bundle "$dir/plain.rsb" --output "$dir/t" "${opening[@]}" "${tickets[@]}" --device "$one"

# everything that is wrong, one at a time; nothing appears
try() { # REASON BUNDLE OPTION...
        local reason=$1 file=$2
        shift 2
        source_refused "$reason" "$source" publish --bundle "$file" --www "$dir/none" "$@"
        [ -z "$(find "$dir/none" -type f 2>/dev/null)" ] || fail "$reason: left $(find "$dir/none" -type f)"
}
other=(--transport-key "$pki/device/one-unwrap.key" --transport-cert "$one")
good=$dir/gw-7.rsb
try Decrypt "$good" "${other[@]}" "${tickets[@]}" --device "$one"
try Purpose "$good" "${opening[@]}" "${tickets[@]}" "${checks[@]}" --device "$one" "$pki/bad/unwrap-purpose.pem"
try Certificate "$good" "${opening[@]}" "${tickets[@]}" "${checks[@]}" --device "$pki/bad/unwrap-other.pem"
try Expired "$good" "${opening[@]}" --ticket-key "$pki/bad/ticket-expired.key" --ticket-cert "$pki/bad/ticket-expired.pem" \
        --device-ca "$pki/device/ca.pem" "${checks[@]}" --device "$one"
try Config "$good" "${opening[@]}" --ticket-key "$dir/none.key" --ticket-cert "$pki/source/ticket.pem" \
        --device-ca "$pki/device/ca.pem" --device "$one"
try Purpose "$good" "${opening[@]}" "${tickets[@]}" --device "$pki/device/one-identity.pem"
try Purpose "$good" "${opening[@]}" "${tickets[@]}" --device "$pki/device/one-attest.pem"
# without the CA of the devices there is nobody who could say whose key that is
expect 2 "$source" publish --bundle "$good" --www "$dir/none" "${opening[@]}" --ticket-key "$pki/source/ticket.key" \
        --ticket-cert "$pki/source/ticket.pem" --device "$pki/device/one-identity.pem"
grep -q -- '--device-ca' "$dir/err" || fail "it does not say what is missing: $(cat "$dir/err")"
build "$dir/other.rsb" --cert "$pki/bad/signer-other.pem" --key "$pki/bad/signer-other.key" "${encrypting[@]}"
try Certificate "$dir/other.rsb" "${opening[@]}" "${tickets[@]}" "${checks[@]}" --device "$one"
# one flipped bit in the envelope, and in the table that the key must open
for part in transport 'tables[0]'; do
        read -r offset length < <(section "$good" "$part")
        cp "$good" "$dir/flipped.rsb"
        at=$((offset + length - 3))
        byte=$(bytes "$good" $at 1 | od -An -tu1)
        printf '%b' "\\x$(printf %02x $((byte ^ 1)))" | dd of="$dir/flipped.rsb" bs=1 seek=$at conv=notrunc status=none
        try Decrypt "$dir/flipped.rsb" "${opening[@]}" "${tickets[@]}" --device "$one"
done
head -c 5000 "$good" >"$dir/cut.rsb"
try Format "$dir/cut.rsb" "${opening[@]}" "${tickets[@]}" --device "$one"

# command line
expect 0 "$source" --help
"$source" --help | grep -o -- '--[a-z-]*' | sort -u | while read -r option; do
        grep -q -- "Fl -${option#--}\b\|, -${option#--}\b" "$SOURCE_ROOT/docs/man/reseal-source.1" ||
                fail "reseal-source(1) lacks $option"
done
expect 0 "$source" --version
expect 2 "$source"
expect 2 "$source" frobnicate
expect 2 "$source" ticket --bundle "$good"
