# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# Sourced by factory.sh: systemd-boot, its entries on the ESP, which is /boot, as docs/boot.md says.

loader_etc() {
        sed -i -e 's|^backend=.*|backend=systemd-boot|' -e 's|^path=.*|path=/boot/loader/entries/reseal|' -e '/^good-path=/d' \
                "$work/etc/reseal/writer.conf"
        echo 'PARTLABEL=ESP /boot vfat gid=reseal-boot,fmask=0117,dmask=0007,x-systemd.device-timeout=600s 0 0' >"$work/boot.fstab"
        mkdir -p "$work/etc/systemd/system"
        ln -s /dev/null "$work/etc/systemd/system/systemd-bless-boot.service"
}

entry() { # NAME: the shipped sample, with what the test's kernels want
        sed -e "s/@SLOT@/$1/" -e "s|panic=10|$cmdline boot-test.entries|" "$root/conf/boot/systemd-boot/entry"
}

loader_esp() { # IMAGE
        local name
        mmd -i "$1" ::/EFI ::/EFI/BOOT ::/loader ::/loader/entries
        mcopy -i "$1" /usr/lib/systemd/boot/efi/systemd-bootx64.efi ::/EFI/BOOT/BOOTX64.EFI
        mcopy -i "$1" "$root/conf/boot/systemd-boot/loader.conf" ::/loader/
        for name in A B; do
                mmd -i "$1" "::/$name"
                mcopy -i "$1" "$work/vmlinuz" "$work/initrd" "::/$name/"
                entry $name >"$work/entry"
                mcopy -i "$1" "$work/entry" "::/loader/entries/reseal-$name.entry"
        done
        # The factory: A is on trial, B was never written.
        { entry A && echo 'options reseal.trial'; } >"$work/entry"
        mcopy -i "$1" "$work/entry" "::/loader/entries/reseal-1-A+$tries_first.conf"
        rm "$work/entry"
}

loader_state() {
        loader_parts=()
}
