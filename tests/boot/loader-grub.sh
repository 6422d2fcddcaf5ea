# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# Sourced by factory.sh: GRUB, with its environment block on a partition of its own.

loader_etc() {
        echo 'PARTLABEL=reseal-boot /boot/reseal ext4 x-systemd.device-timeout=600s 0 0' >"$work/boot.fstab"
}

loader_esp() { # IMAGE
        local file
        mmd -i "$1" ::/EFI ::/EFI/BOOT ::/grub ::/A ::/B
        mcopy -i "$1" "$work/vmlinuz" ::/A/
        mcopy -i "$1" "$work/vmlinuz" ::/B/
        mcopy -i "$1" "$work/initrd${hooks:+-initramfs-tools}" ::/A/initrd
        mcopy -i "$1" "$work/initrd${hooks:+-dracut}" ::/B/initrd
        printf 'configfile ($root)/grub/grub.cfg\n' >"$work/early.cfg"
        grub-mkimage -O x86_64-efi -p /grub -c "$work/early.cfg" -o "$work/BOOTX64.EFI" \
                part_gpt fat ext2 normal configfile linux loadenv test echo sleep reboot minicmd
        mcopy -i "$1" "$work/BOOTX64.EFI" ::/EFI/BOOT/
        for file in grub.cfg ${blank:+factory.cfg}; do
                sed "s|@CMDLINE@|$cmdline|" "$here/$file" >"$work/$file"
                mcopy -i "$1" "$work/$file" "::/grub/$file"
                rm "$work/$file"
        done
        mcopy -i "$1" "$root/conf/boot/grub/reseal.cfg" ::/grub/reseal.cfg
}

loader_state() { # partitions of the boot state
        local tree=$work/boot
        mkdir -p "$tree"
        grub-editenv "$tree/grubenv" create
        if [ -n "$blank" ]; then
                grub-editenv "$tree/grubenv" set 'ORDER=B A' A_OK=0 A_TRY=0 B_OK=1 B_TRY=0
        else
                grub-editenv "$tree/grubenv" set 'ORDER=A B' A_OK=0 "A_TRY=$tries_first" B_OK=0 B_TRY=0
        fi
        grub-editenv "$tree/grubenv.good" create
        chgrp -R "$(_id group reseal-boot)" "$tree"
        chmod 664 "$tree"/grubenv*
        mke2fs -q -t ext2 -b 1024 -L reseal-boot -d "$tree" "$work/boot.img" "${boot_mib}M"
        loader_parts=("boot.img reseal-boot")
}
