#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# reseal-source statement: what stock openssl and jq read in it; what is refused leaves the older file as it was.
. "$(dirname "$0")/bundle-fixture.sh"
need jq openssl

source=$BUILD_ROOT/src/source-server/reseal-source
out=$dir/latest.rsf
key=(--cert "$pki/source/freshness.pem" --key "$pki/source/freshness.key")
statement=("$source" statement --line gateway "${key[@]}" -o "$out")

begin=$(date +%s)
expect 0 "${statement[@]}" --latest 7 --seq 41 --days 3
[ "$(stat -c %a "$out")" = 644 ] || fail "a web server cannot read it"
openssl cms -verify -inform DER -in "$out" -CAfile "$pki/source/root.pem" -purpose any -out "$dir/json" 2>"$dir/log" ||
        fail "openssl refuses the statement: $(cat "$dir/log")"
[ "$(jq -r '[.format, .line, .latest, .seq, (.expires - .issued)] | join(" ")' "$dir/json")" = '1 gateway 7 41 259200' ] ||
        fail "statement: $(cat "$dir/json")"
issued=$(jq .issued "$dir/json")
[ "$issued" -ge "$begin" ] && [ "$issued" -le "$(date +%s)" ] || fail "issued at $issued"
expect 0 "${statement[@]}" --latest 7 --seq 42 --days 30
before=$(sha256sum "$out")

expect 2 "${statement[@]}" --latest 7 --seq 43 --days 31
expect 2 "${statement[@]}" --latest 7 --seq 43 --days 0
expect 2 "${statement[@]}" --latest 0 --seq 43 --days 3
expect 2 "${statement[@]}" --latest 7 --seq -1 --days 3
expect 2 "${statement[@]}" --latest 7 --days 3
expect 2 "${statement[@]}" --latest 7 --seq 43 --days 3 --bundle x
expect 2 "${statement[@]}" --latest 7 --seq 43 --days 3 more
expect 2 "$source" publish --latest 7 --bundle x --www y
long=(--line "$(printf 'x%.0s' {1..80})" --latest 7 --seq 43 --days 3 -o "$out")
expect 1 "$source" statement "${long[@]}" "${key[@]}"
expect 1 "$source" statement "${long[@]/xxx*/a b}" "${key[@]}"
expect 1 "$source" statement --line gateway --latest 7 --seq 43 --days 3 -o "$out" --cert "$pki/source/freshness.pem" \
        --key "$pki/source/ticket.key"
[ "$before" = "$(sha256sum "$out")" ] || fail "a refused statement replaced the good one"
