#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# reseal-bundle: exit codes, help, limits on the command line; failures leave nothing behind and nothing changed.
. "$(dirname "$0")/bundle-fixture.sh"

expect 0 "$bundle" --help
expect 0 "$bundle" --version
expect 2 "$bundle"
expect 2 "$bundle" frobnicate
for c in build sign info verify extract record; do
        expect 0 "$bundle" $c --help
        grep -q "^Usage: reseal-bundle $c" "$dir/out" || fail "$c --help"
        expect 2 "$bundle" $c
        expect 2 "$bundle" $c --frobnicate
        # each option of the help stands in the manual page
        "$bundle" $c --help | grep -o -- '--[a-z-]*' | sort -u | while read -r option; do
                grep -q -- "Fl -${option#--}\b" "$SOURCE_ROOT/docs/man/reseal-bundle.1" || fail "reseal-bundle(1) lacks $c $option"
        done
done

image=(--image "boot=$dir/boot.img")
try() { expect "$1" "$bundle" build --quiet "${@:2}" -o "$dir/x.rsb"; }
plain=(--no-encrypt "${signing[@]}")
try 2 "${naming[@]}" "${plain[@]}"
try 2 "${naming[@]}" "${image[@]}" --no-encrypt
try 2 "${naming[@]}" "${image[@]}" "${signing[@]}"
try 2 "${naming[@]}" "${image[@]}" "${plain[@]}" --transport-cert x
try 2 "${naming[@]}" "${image[@]}" "${plain[@]}" --confidential yes
try 2 "${naming[@]}" "${image[@]}" "${plain[@]}" --confidential maybe
try 2 "${naming[@]}" "${image[@]}" "${plain[@]}" --release 0
try 2 "${naming[@]}" "${image[@]}" "${plain[@]}" --release -1
try 2 "${naming[@]}" "${image[@]}" "${plain[@]}" --release 9223372036854775808
try 2 "${naming[@]}" "${image[@]}" "${plain[@]}" --epoch 2147483648
try 2 "${naming[@]}" "${image[@]}" "${plain[@]}" --level 23
try 2 "${naming[@]}" "${image[@]}" "${plain[@]}" --jobs 0
try 2 "${naming[@]}" "${image[@]}" "${plain[@]}" --jobs 65
try 2 "${naming[@]}" "${image[@]}" "${plain[@]}" --salt 00
try 2 "${naming[@]}" "${image[@]}" "${plain[@]}" stray
try 2 "${naming[@]}" --image boot "${plain[@]}"
try 2 "${naming[@]}" --image "boot=$dir/boot.img,frame-chunks=3" "${plain[@]}"
try 2 "${naming[@]}" "${image[@]}" --no-sign --no-encrypt --root "$root"
SOURCE_DATE_EPOCH=tomorrow expect 2 "$bundle" build --line gw --compatible gw --release 1 --version 1 "${image[@]}" \
        "${plain[@]}" -o "$dir/x.rsb"
many=()
for i in $(seq 17); do many+=(--image "c$i=$dir/boot.img"); done
try 2 "${naming[@]}" "${many[@]}" "${plain[@]}"

# what only the format can judge is refused in its words
build_refused() { refused "$1" "$bundle" build --quiet "${@:2}" -o "$dir/x.rsb"; }
build_refused Manifest "${naming[@]}" --line 'a b' "${image[@]}" "${plain[@]}"
build_refused Manifest "${naming[@]}" --image "Boot=$dir/boot.img" "${plain[@]}"
build_refused Manifest "${naming[@]}" "${image[@]}" "${image[@]}" "${plain[@]}"
build_refused Manifest "${naming[@]}" --compatible gw-3a "${image[@]}" "${plain[@]}"
printf 'bell \a' >"$dir/notes"
build_refused Manifest "${naming[@]}" --notes-file "$dir/notes" "${image[@]}" "${plain[@]}"
head -c 4098 /dev/zero | tr '\0' n >"$dir/notes"
build_refused Io "${naming[@]}" --notes-file "$dir/notes" "${image[@]}" "${plain[@]}"
build_refused Io "${naming[@]}" --image "boot=$dir/none" "${plain[@]}"
: >"$dir/empty"
build_refused InvalidArgument "${naming[@]}" --image "boot=$dir/empty" "${plain[@]}"
build_refused InvalidArgument "${naming[@]}" --image "boot=$dir" "${plain[@]}"
truncate -s 17179873280 "$dir/large"
build_refused Size "${naming[@]}" --image "boot=$dir/large" "${plain[@]}"
build_refused Config "${naming[@]}" "${image[@]}" "${signing[@]}" --transport-cert "$dir/none"
build_refused Algorithm "${naming[@]}" "${image[@]}" "${signing[@]}" --transport-cert "$root"
refused Io "$bundle" build --quiet "${naming[@]}" "${image[@]}" "${plain[@]}" -o "$dir/none/x.rsb"
refused Io "$bundle" info "$dir/none.rsb"
refused Io "$bundle" info /dev/null
refused Format "$bundle" info "$dir/boot.img"
[ ! -e "$dir/x.rsb" ] || fail "a failed build left a file"

# a failure leaves an older bundle as it is; notes, a path with commas and per-image options work
printf 'first line\nsecond line\n' >"$dir/notes"
cp "$dir/boot.img" "$dir/a,b.img"
expect 0 "$bundle" build --quiet "${naming[@]}" --notes-file "$dir/notes" \
        --image "boot=$dir/a,b.img,level=1,salt=$salt,frame-chunks=1" "${plain[@]}" -o "$dir/x.rsb"
before=$(sha256sum <"$dir/x.rsb")
build_refused Manifest "${naming[@]}" --line 'a b' "${image[@]}" "${plain[@]}"
[ "$(sha256sum <"$dir/x.rsb")" = "$before" ] || fail "a failed build changed the older bundle"
expect 0 "$bundle" info "$dir/x.rsb"
grep -q '^notes    second line$' "$dir/out" || fail "the notes are missing"
grep -q $'\033' "$dir/out" && fail "colour in a pipe"
expect 0 "$bundle" info --digests "$dir/x.rsb"
grep -q "salt=$salt" "$dir/out" || fail "the salt of the image was not taken"
expect 2 "$bundle" info --json --digests "$dir/x.rsb"
expect 2 "$bundle" extract --image boot "$dir/x.rsb"
expect 2 "$bundle" verify "$dir/x.rsb"
refused NoSpace,\|Io "$bundle" extract --json /dev/full/x "$dir/x.rsb"

# SIGINT while compressing: a reason, no file
head -c 64M /dev/urandom >"$dir/noise64.img"
"$bundle" build --quiet "${naming[@]}" --image "boot=$dir/noise64.img" "${plain[@]}" -o "$dir/i.rsb" 2>"$dir/err" &
pid=$!
sleep 1
kill -TERM $pid
status=0
wait $pid || status=$?
[ $status = 1 ] || fail "an interrupted build gave $status"
grep -q '^reseal-bundle: Cancelled: ' "$dir/err" || fail "no reason for the interruption: $(cat "$dir/err")"
[ ! -e "$dir/i.rsb" ] || fail "an interrupted build left a file"
[ -z "$(ls -A "$dir" | grep '^\.')" ] || fail "temporary files stayed: $(ls -A "$dir")"
