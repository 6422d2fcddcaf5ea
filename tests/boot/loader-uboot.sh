# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# Sourced by factory.sh: U-Boot (uboot.sh), everything on an SD card; its environment on two partitions behind the first one.

"$here/uboot.sh" "$cache"
export BOOT_KERNEL=$cache/uboot/kernel
env_at() { # SUFFIX -> where uboot.config puts that copy, in MiB
        echo $(($(sed -n "s/^CONFIG_ENV_OFFSET$1=//p" "$here/uboot.config") / 1048576))
}
esp_mib=$(($(env_at '') - 1)) env_mib=$(($(env_at _REDUND) - $(env_at '')))

loader_etc() {
        sed -i -e 's|^backend=.*|backend=uboot|' -e 's|^path=.*|path=/etc/fw_env.config|' -e '/^good-path=/d' "$work/etc/reseal/writer.conf"
        cp "$root/conf/boot/uboot/fw_env.config" "$work/etc/"
        : >"$work/boot.fstab"
}

loader_esp() { # IMAGE
        local name script
        mmd -i "$1" ::/A ::/B
        for name in A B; do
                mcopy -i "$1" "$work/vmlinuz" "$work/initrd" "::/$name/"
        done
        sed "s|@CMDLINE@|$cmdline|" "$here/uboot.cmd" >"$work/uboot.cmd"
        for script in "$root/conf/boot/uboot/boot.cmd=reseal.scr" "$work/uboot.cmd=uboot.scr"; do
                mkimage -q -A x86 -T script -C none -d "${script%=*}" "$work/scr" >/dev/null
                mcopy -i "$1" "$work/scr" "::/${script#*=}"
        done
        rm "$work/uboot.cmd" "$work/scr"
}

# The factory: one copy is written, A is on trial, B was never written.
loader_state() {
        printf 'BOOT_ORDER=A B\nBOOT_A_LEFT=%d\nBOOT_B_LEFT=0\n' "$tries_first" >"$work/env.txt"
        mkenvimage -r -s "$(awk '/^[^#]/ {print $3; exit}' "$root/conf/boot/uboot/fw_env.config")" -o "$work/env.img" "$work/env.txt"
        truncate -s "${env_mib}M" "$work/env.img" "$work/env-redund.img"
        loader_parts=("env.img uboot-env" "env-redund.img uboot-env-redund")
        rm "$work/env.txt"
}

# An SD card has a power of two.
loader_disk_mib() { # MiB that are needed
        local mib=256
        while [ $mib -lt "$1" ]; do mib=$((mib * 2)); done
        echo $mib
}
