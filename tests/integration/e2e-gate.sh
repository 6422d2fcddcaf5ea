#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Well-formed and well-delivered, yet not for this device or not any more: tickets, board, line, class, size to the block, order of
# releases and epochs, a bundle in clear.  Each refused with its reason through resealctl, both slots as they were.
set -euo pipefail
. "$(dirname "$0")/../rig/all.sh"
rig_namespace "$@"
rig_begin e2e-gate
RIG_INSTALL_LIMIT=90
e2e_ready 8
www=$RIG/srv/www/bundles

offer() { # NAME RELEASE IMAGE [rig_bundle options]; sets url
        rig_bundle "$RIG/$1.rsb" "${@:2}" --quiet && rig_publish "$RIG/$1.rsb"
        url=$(rig_url "$1.rsb")
}
refuses_whole() { # NAME REASON: neither half may change, nor the boot state
        local before after
        before=$(rig_slot_digest B)$(sha256sum <"$RIG/boot/grubenv")
        refuses "$1" "$2" "$url"
        after=$(rig_slot_digest B)$(sha256sum <"$RIG/boot/grubenv")
        check "$1_and_nothing_was_touched" test "$before" = "$after"
}

# --- tickets ------------------------------------------------------------------------------------------------------------
offer t 1 "$RIG_IMAGE"
ticket=$(echo "$www"/tickets/"$(rig_bundle_id "$RIG/t.rsb")"/*.rst)
cp "$ticket" "$RIG/ticket.good"
# put_ticket SIGNER DEVICE [options]: made without the checks that a careful source would make
put_ticket() {
        rm -rf "$RIG/made"
        quiet rig_program reseal-source ticket --bundle "$RIG/t.rsb" --output "$RIG/made" --transport-key "$PKI/source/transport.key" \
                --transport-cert "$PKI/source/transport.pem" --ticket-key "$PKI/$1.key" --ticket-cert "$PKI/$1.pem" \
                --device-ca "$PKI/device/ca.pem" "${@:3}" --device "$2"
        cp "$(find "$RIG/made" -name '*.rst')" "$ticket"
}
# the device asks its time-stamp authority; what that says is exact to two seconds
put_ticket source/ticket "$RIG/unwrap.pem" --not-after +1
sleep 5
refuses_whole a_ticket_that_has_expired_is_refused TicketExpired
put_ticket bad/ticket-expired "$RIG/unwrap.pem"
refuses_whole a_ticket_of_an_expired_signer_is_refused Expired
put_ticket bad/ticket-purpose "$RIG/unwrap.pem"
refuses_whole a_ticket_of_a_signer_for_something_else_is_refused Purpose
put_ticket bad/ticket-other "$RIG/unwrap.pem"
refuses_whole a_ticket_under_another_root_is_refused Certificate
put_ticket firmware/signer "$RIG/unwrap.pem" # a release engineer is no source
refuses_whole a_ticket_signed_by_a_firmware_signer_is_refused Certificate
put_ticket source/ticket "$PKI/device/one-unwrap.pem"
refuses_whole a_ticket_for_another_device_is_refused WrongDevice
offer u 1 "$RIG_IMAGE"
url=$(rig_url t.rsb)
cp "$www"/tickets/"$(rig_bundle_id "$RIG/u.rsb")"/*.rst "$ticket"
refuses_whole a_ticket_for_another_bundle_is_refused WrongBundle
head -c $(($(stat -c %s "$RIG/ticket.good") / 2)) "$RIG/ticket.good" >"$ticket"
refuses_whole half_a_ticket_is_refused 'Ticket|Signature'
: >"$ticket"
refuses_whole an_empty_ticket_is_refused 'Ticket|Signature'
head -c 1000000 /dev/zero >"$ticket"
refuses_whole a_ticket_without_end_is_refused 'TooMuch|Ticket'
python3 -c 'import sys
d = bytearray(open(sys.argv[1], "rb").read()); d[len(d) - 5] ^= 1; open(sys.argv[2], "wb").write(d)' "$RIG/ticket.good" "$ticket"
refuses_whole a_ticket_with_a_changed_signature_is_refused Signature

# --- the gate -----------------------------------------------------------------------------------------------------------
RIG_LINE=other-line offer line 1 "$RIG_IMAGE"
refuses_whole another_line_is_refused Line
RIG_COMPATIBLE=other-board offer board 1 "$RIG_IMAGE"
refuses_whole another_board_is_refused Compatible
quiet rig_program reseal-bundle build --line "$RIG_LINE" --compatible "$RIG_COMPATIBLE" --release 1 --version 1 \
        --image "modem=$RIG_IMAGE" --no-sign --transport-cert "$PKI/source/transport.pem" --level 1 --output "$RIG/class.rsb" --quiet
rig_sign "$RIG/class.rsb"
rig_publish "$RIG/class.rsb"
url=$(rig_url class.rsb)
refuses_whole another_class_is_refused SlotClass
rig_bundle "$RIG/clear.rsb" 1 "$RIG_IMAGE" --no-encrypt --quiet
cp "$RIG/clear.rsb" "$www/"
url=$(rig_url clear.rsb)
refuses_whole a_bundle_in_clear_is_refused Policy

# --- size: docs/format-slot.md says what a slot holds; the manifest's own size decides about its last blocks -------------------
blocks=$(python3 -c 'import sys
slot, B = int(sys.argv[1]), 4096
def needs(blocks): # header, image, superblock, tree, trailer (its head and a manifest of less than a block), locator
    tree, n = 0, blocks
    while n > 1:
        n = -(-n // 128)
        tree += n
    return 1024 + blocks + 1 + tree + 2 + 1
print(max(n for n in range(2, slot // B) if needs(n) <= slot // B))' "$(blockdev --getsize64 "$RIG_PART_B")")
cp "$RIG_IMAGE" "$RIG/large"
truncate -s $(((blocks + 1) * 4096)) "$RIG/large"
offer larger 1 "$RIG/large"
refuses_whole an_image_one_block_too_large_is_refused Size
truncate -s $((blocks * 4096)) "$RIG/large"
offer largest 1 "$RIG/large"
installs an_image_that_fits_to_the_block_is_installed "$url"
check grub_reads_all_of_it slot_holds B "$RIG/large"

# --- older, other, lower ----------------------------------------------------------------------------------------------------
offer five 5 "$RIG_IMAGE" --epoch 1
installs release_five_is_installed "$url"
check grub_reads_release_five slot_holds B "$RIG_IMAGE"
offer six-low 6 "$RIG_IMAGE" --epoch 0
refuses_whole a_lower_security_epoch_is_refused 'Rollback|Chain'
offer four 4 "$RIG_IMAGE" --epoch 1
refuses_whole an_older_release_is_refused Rollback
offer other-five 5 "$RIG_IMAGE" --epoch 1
refuses_whole the_same_release_with_another_content_is_refused ChainFork
url=$(rig_url five.rsb)
installs the_accepted_release_itself_may_come_again "$url"
RIG_SIGNER=firmware/signer rig_bundle "$RIG/placeless.rsb" 6 "$RIG_IMAGE" --epoch 1 --quiet
cp "$RIG/placeless.rsb" "$www/"
url=$(rig_url placeless.rsb)
refuses_whole a_signer_without_a_place_is_refused Certificate
e2e_end
