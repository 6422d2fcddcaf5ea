#!/bin/bash
# SPDX-License-Identifier: CC0-1.0
# dracut, modules.d/90reseal: reseal-unlock.service opens the slot that the bootloader chose.  Needs the systemd module;
# the kernel command line has reseal.slot=A root=/dev/mapper/root ro.

# shellcheck disable=SC2154 # variables of dracut's
check() {
        require_binaries reseal-unlock || return 1
        [ -e "${dracutsysrootdir-}/etc/reseal/writer.conf" ] || return 255
}

depends() {
        echo systemd dm
}

installkernel() {
        hostonly='' instmods dm_crypt dm_verity xts aesni_intel sha256_generic sha256_ssse3 efivarfs tpm_tis tpm_crb tpm_tis_spi
}

install() {
        local conf=/etc/reseal/writer.conf crypto=/etc/reseal/crypto.conf fips root unit dir
        root=$(sed -n 's/^[[:space:]]*firmware-root[[:space:]]*=[[:space:]]*//p' "${dracutsysrootdir-}$conf")
        inst_multiple reseal-unlock "$conf" "$root"
        if [ -e "${dracutsysrootdir-}$crypto" ]; then
                inst_simple "$crypto"
                inst_libdir_file 'ossl-modules/fips.so'
                fips=$(sed -n 's/^[[:space:]]*config[[:space:]]*=[[:space:]]*//p' "${dracutsysrootdir-}$crypto")
                [ -z "$fips" ] || inst_simple "$fips"
        fi
        # loaded by name, so that no list of libraries has it
        inst_libdir_file 'libtss2-tcti-device.so.0*'
        for unit in reseal-unlock reseal-refuse reseal-deadline; do
                inst_simple "$moddir/$unit.service" "$systemdsystemunitdir/$unit.service"
        done
        $SYSTEMCTL -q --root "$initdir" add-wants initrd-root-device.target reseal-unlock.service
        $SYSTEMCTL -q --root "$initdir" add-wants sysinit.target reseal-deadline.service
        # every way to a shell leads past the restart
        for unit in emergency rescue dracut-emergency debug-shell; do
                dir=$initdir$systemdsystemunitdir/$unit.service.d
                mkdir -p "$dir"
                printf '[Unit]\nRequires=reseal-refuse.service\nAfter=reseal-refuse.service\n' >"$dir/reseal.conf"
        done
}
