# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# disk - the device's disk: a GPT on a loop device with boot, slot A, slot B and data.
#
#   rig_disk SLOT_MIB    sets RIG_LOOP and RIG_PART_{BOOT,A,B,DATA}; boot and data get an ext4
#
# Kernels without a GPT parser find no partition by themselves: partx tells them.

rig_disk() {
        local slot=$1 size
        size=$((1 + 16 + 2 * slot + 256 + 1))
        truncate -s "${size}M" "$RIG/disk.img"
        printf '%s\n' 'label: gpt' 'name=reseal-boot, size=16MiB' "name=reseal-slot-a, size=${slot}MiB" \
                "name=reseal-slot-b, size=${slot}MiB" 'name=reseal-data, size=256MiB' >"$RIG/gpt"
        quiet sfdisk --no-reread --no-tell-kernel "$RIG/disk.img" <"$RIG/gpt"
        RIG_LOOP=$(losetup --find --show --partscan --direct-io=on "$RIG/disk.img")
        rig_at_end "losetup -d $RIG_LOOP"
        if [ ! -b "${RIG_LOOP}p4" ]; then
                partx -d "$RIG_LOOP" >/dev/null 2>&1 || true # left by one that was killed
                quiet partx -a "$RIG_LOOP"
                rig_at_end "partx -d $RIG_LOOP"
        fi
        wait_for 5 test -b "${RIG_LOOP}p4" || rig_die "no partitions on $RIG_LOOP"
        RIG_PART_BOOT=${RIG_LOOP}p1 RIG_PART_A=${RIG_LOOP}p2 RIG_PART_B=${RIG_LOOP}p3 RIG_PART_DATA=${RIG_LOOP}p4
        quiet mke2fs -q -t ext4 -L boot "$RIG_PART_BOOT"
        quiet mke2fs -q -t ext4 -L data "$RIG_PART_DATA"
        mkdir -p "$RIG/boot" "$RIG/data"
        mount "$RIG_PART_BOOT" "$RIG/boot"
        rig_at_end "umount $RIG/boot"
        mount "$RIG_PART_DATA" "$RIG/data"
        rig_at_end "umount $RIG/data"
        mkdir -p "$RIG/data/reseal" "$RIG/data/reseal-writer"
        # the factory's boot state: A is good, B has never been written
        quiet grub-editenv "$RIG/boot/grubenv" create
        grub-editenv "$RIG/boot/grubenv" set ORDER="A B" A_OK=1 A_TRY=0 B_OK=0 B_TRY=0
        cp "$RIG/boot/grubenv" "$RIG/boot/grubenv.good"
}

# Digest of a slot as it lies on the medium.
rig_slot_digest() { # A|B
        local part=RIG_PART_$1
        dd if="${!part}" bs=4M iflag=direct status=none | sha256sum | cut -c1-16
}
