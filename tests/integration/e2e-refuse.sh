#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What must be refused, with which reason, and that nothing is left startable: altered bundles, foreign tickets, wrong bundles.
set -euo pipefail
. "$(dirname "$0")/../rig/all.sh"
rig_namespace "$@"
rig_begin e2e-refuse
e2e_ready 24
www=$RIG/srv/www/bundles
base=$(rig_url '')

rig_bundle "$RIG/good.rsb" 1 "$RIG_IMAGE" --quiet
rig_publish "$RIG/good.rsb"

# --- each region of a bundle, one byte ----------------------------------------------------------------------------
flip() { # OFFSET NAME
        cp "$RIG/good.rsb" "$www/$2.rsb"
        python3 -c 'import sys
f = open(sys.argv[1], "r+b"); f.seek(int(sys.argv[2])); b = f.read(1)[0]; f.seek(-1, 1); f.write(bytes([b ^ 0x40]))' "$www/$2.rsb" "$1"
}
rig_program reseal-bundle info --json "$RIG/good.rsb" >"$RIG/info.json"
size=$(stat -c %s "$RIG/good.rsb")
any='Format|Chain|ChainGap|ChainFork|Manifest|Signature|Certificate|TableDigest|Table|FrameDigest|Decrypt|WrongBundle|Truncated|TooMuch|NotFound|Codec|Root|ChunkDigest|Size'
# magic, header, somewhere in the CMS; the sections behind them are found by their share of the file
for at in 0 9 20 40 64 200 400 800 1500; do
        flip $at "flip-$at"
        refuses "a_flipped_byte_at_${at}_is_refused" "$any" "${base}flip-$at.rsb"
        check "nothing_is_startable_after_a_flip_at_$at" other_is_not_bootable
done
for share in 3 10 50 90; do
        at=$((size * share / 100))
        flip $at "flip-share-$share"
        refuses "a_flipped_byte_at_${share}_percent_is_refused" "$any" "${base}flip-share-$share.rsb"
        check "nothing_is_startable_after_a_flip_at_${share}_percent" other_is_not_bootable
done
flip $((size - 1)) flip-last
refuses the_last_byte_flipped_is_refused "$any" "${base}flip-last.rsb"
check nothing_is_startable_after_the_last_byte other_is_not_bootable
head -c $((size / 2)) "$RIG/good.rsb" >"$www/half.rsb"
refuses half_a_bundle_is_refused 'Truncated|Format|Http|Range|SourceChanged' "${base}half.rsb"

# --- bundles that are not for this device ---------------------------------------------------------------------------
offer() { # NAME [rig_bundle options]
        rig_bundle "$RIG/$1.rsb" "${@:2}" --quiet && rig_publish "$RIG/$1.rsb"
}
RIG_LINE=other-line offer line 2 "$RIG_IMAGE"
refuses another_line_is_refused Line "${base}line.rsb"
RIG_COMPATIBLE=other-board offer board 2 "$RIG_IMAGE"
refuses another_board_is_refused Compatible "${base}board.rsb"
rig_image "$RIG/big" 40 big
truncate -s "$(($(stat -c %s "$RIG_IMAGE") + 24 * 1048576))" "$RIG/big"
offer big 2 "$RIG/big"
refuses an_image_too_large_is_refused Size "${base}big.rsb"
rig_bundle "$RIG/plain.rsb" 2 "$RIG_IMAGE" --no-encrypt --quiet
cp "$RIG/plain.rsb" "$www/"
refuses a_bundle_in_clear_is_refused Policy "${base}plain.rsb"

# --- signers ---------------------------------------------------------------------------------------------------------
for bad in signer-expired signer-other signer-self signer-deep signer-purpose signer-no-eku; do
        chain=$PKI/firmware/chain.pem
        [ ! -e "$PKI/bad/$bad-chain.pem" ] || chain=$PKI/bad/$bad-chain.pem
        # some are too bad even for the release engineer's tool
        if ! rig_program reseal-bundle build --line "$RIG_LINE" --compatible "$RIG_COMPATIBLE" --release 2 --version 2 \
                --image "rootfs=$RIG_IMAGE" --cert "$PKI/bad/$bad.pem" --key "$PKI/bad/$bad.key" --chain "$chain" --level 1 \
                --transport-cert "$PKI/source/transport.pem" --output "$www/$bad.rsb" --quiet 2>"$RIG/build.err"; then
                check "${bad//-/_}_is_refused_by_the_builder" grep -qE 'Certificate|Expired|Purpose|Signature|Algorithm' "$RIG/build.err"
                continue
        fi
        refuses "${bad//-/_}_is_refused" 'Certificate|Expired|Purpose|Signature|Algorithm' "${base}$bad.rsb"
done

# --- tickets ---------------------------------------------------------------------------------------------------------
offer t 2 "$RIG_IMAGE"
ticket=$(ls "$www"/tickets/"$(rig_bundle_id "$RIG/t.rsb")"/*.rst)
other=$(ls "$www"/tickets/"$(rig_bundle_id "$RIG/good.rsb")"/*.rst)
cp "$ticket" "$RIG/ticket.good"
cp "$other" "$ticket"
refuses a_ticket_for_another_bundle_is_refused WrongBundle "${base}t.rsb"
quiet rig_program reseal-source ticket --bundle "$RIG/t.rsb" --output "$RIG/foreign" --transport-key "$PKI/source/transport.key" \
        --transport-cert "$PKI/source/transport.pem" --ticket-key "$PKI/source/ticket.key" --ticket-cert "$PKI/source/ticket.pem" \
        --device-ca "$PKI/device/ca.pem" --device "$PKI/device/one-unwrap.pem"
cp "$(find "$RIG/foreign" -name '*.rst')" "$ticket"
refuses a_ticket_for_another_device_is_refused WrongDevice "${base}t.rsb"
python3 -c 'import sys
d = bytearray(open(sys.argv[1], "rb").read()); d[-5] ^= 1; open(sys.argv[2], "wb").write(d)' "$RIG/ticket.good" "$ticket"
refuses a_ticket_with_a_bad_signature_is_refused 'Signature|Ticket|Certificate' "${base}t.rsb"
rm "$ticket"
refuses a_missing_ticket_is_refused 'NotFound|Entitle' "${base}t.rsb"
cp "$RIG/ticket.good" "$ticket"

# --- sources ---------------------------------------------------------------------------------------------------------
refuses plain_http_is_refused Scheme "http://localhost:$RIG_PORT/bundles/good.rsb"
refuses a_file_url_is_refused Scheme "file:///srv/source/www/bundles/good.rsb"
refuses a_bundle_that_is_not_there_is_refused NotFound "${base}absent.rsb"
swap_server() {
        cp "$PKI/$1.pem" "$RIG/srv/server.pem"
        cat "$PKI/$1.key" >"$RIG/srv/server.key"
        in_device systemctl restart rig-source.service
}
for bad in server-other server-expired server-purpose server-name; do
        swap_server "bad/$bad"
        refuses "${bad//-/_}_is_refused" AuthSource "${base}good.rsb"
done
swap_server source/server
check nothing_is_startable_after_all_that other_is_not_bootable
installs the_good_bundle_is_installed "${base}good.rsb"
check grub_reads_its_image slot_holds B "$RIG_IMAGE"
e2e_end
