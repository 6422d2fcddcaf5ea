# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# Sourced by factory.sh: no bootloader; a unified kernel image for each slot, signed with a key of the factory's own.
# The entries of the firmware and the keys of Secure Boot are made in the machine (efi.py), from the image of
# BOOTX64.EFI, which starts slot A and leaves its trial alone.

esp_mib=120

loader_etc() {
        sed -i -e 's|^backend=.*|backend=efi|' -e 's|^path=.*|path=/sys/firmware/efi/efivars|' \
                -e 's|^good-path=.*|good-path=/var/lib/reseal-writer/good|' "$work/etc/reseal/writer.conf"
        echo 'PARTLABEL=ESP /boot vfat x-systemd.device-timeout=600s,umask=0077 0 0' >"$work/boot.fstab"
        mkdir -p "$work/etc/tmpfiles.d"
        cp "$root/conf/boot/efi/reseal-efi.conf" "$work/etc/tmpfiles.d/"
}

# PK, KEK and db, each with the certificate of one key; signed updates, as efivarfs takes them
secure_boot_keys() {
        local to=$work/secure-boot name guid=5f6d2c4e-7d2e-4c0a-9d5e-0b6c3c1a7e11
        mkdir -p "$to"
        for name in PK KEK db other; do
                openssl req -quiet -x509 -newkey rsa:2048 -nodes -sha256 -days 3650 -subj "/CN=Reseal test $name" \
                        -keyout "$to/$name.key" -out "$to/$name.pem"
                cert-to-efi-sig-list -g "$guid" "$to/$name.pem" "$to/$name.esl"
        done
        sign-efi-sig-list -g "$guid" -k "$to/PK.key" -c "$to/PK.pem" PK "$to/PK.esl" "$to/PK.auth" >/dev/null
        sign-efi-sig-list -g "$guid" -k "$to/PK.key" -c "$to/PK.pem" KEK "$to/KEK.esl" "$to/KEK.auth" >/dev/null
        sign-efi-sig-list -g "$guid" -k "$to/KEK.key" -c "$to/KEK.pem" db "$to/db.esl" "$to/db.auth" >/dev/null
}

# uki COMMAND-LINE KEY FILE: systemd's stub with kernel and initramfs in it, the kernel last; signed with WORK/secure-boot/KEY,
# or not at all for ""
uki() {
        local stub=/usr/lib/systemd/boot/efi/linuxx64.efi.stub at section file add=()
        printf '%s' "$1" >"$work/cmdline"
        at=$(($(objdump -h "$stub" | awk 'NF == 7 {last = "0x" $3 " + 0x" $4} END {print last}')))
        for section in "osrel $work/root/usr/lib/os-release" "cmdline $work/cmdline" "initrd $work/initrd" "linux $work/vmlinuz"; do
                read -r section file <<<"$section"
                at=$(((at + 4095) / 4096 * 4096))
                add+=(--add-section ".$section=$file" --change-section-vma ".$section=$(printf '0x%x' "$at")")
                at=$((at + $(stat -Lc %s "$file")))
        done
        objcopy "${add[@]}" "$stub" "$3"
        [ -z "$2" ] || sbsign --key "$work/secure-boot/$2.key" --cert "$work/secure-boot/$2.pem" --output "$3" "$3" 2>/dev/null
        rm "$work/cmdline"
}

loader_esp() { # IMAGE
        local name common="root=/dev/mapper/root ro $cmdline boot-test.efi"
        secure_boot_keys
        mmd -i "$1" ::/EFI ::/EFI/BOOT ::/reseal
        for name in A B; do
                uki "$common reseal.slot=$name" db "$work/$name.efi"
                mcopy -i "$1" "$work/$name.efi" "::/reseal/$name.efi"
        done
        uki "$common reseal.slot=A systemd.mask=reseal-health.service" '' "$work/BOOTX64.EFI"
        mcopy -i "$1" "$work/BOOTX64.EFI" ::/EFI/BOOT/
        # not from the factory: what Secure Boot must refuse
        uki "$common reseal.slot=B" other "$work/B-other.efi"
        uki "$common reseal.slot=B" '' "$work/B-unsigned.efi"
}

loader_state() {
        loader_parts=()
}
