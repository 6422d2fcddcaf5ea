#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# tests/boot/uboot.sh CACHE - a real U-Boot for QEMU's i440FX machine and a kernel that finds its disk, an SD card:
#
#   CACHE/uboot/u-boot.rom        Debian's source package, built here as conf/boot/uboot and uboot.config say
#   CACHE/uboot/kernel            Debian's kernel for all machines, unpacked and never installed
#
# Debian's own builds for x86 keep no environment and have no setexpr.  About a minute and a half the first time or when the
# package or the options have changed, then nothing.  No mirror is named here: the machine's own apt sources are used.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
conf=${SOURCE_ROOT:-$(cd "$here/../.." && pwd)}/conf/boot/uboot
cache=${1:?uboot.sh CACHE}
to=$cache/uboot
format=1

# The machine's own apt sources, asked for sources: the files of both formats.
apt_conf() { # DIRECTORY
        local file
        mkdir -p "$1"/{sources,lists/partial,archives/partial}
        for file in /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list; do [ -s "$file" ] && break; done
        sed -E -e 's/^Types:.*/Types: deb-src/' -e '/^deb-src /d' -e 's/^deb /deb-src /' "$file" >"$1/sources/machine.${file##*.}"
        cat >"$1/apt.conf" <<C
Dir::Etc::SourceList "/dev/null";
Dir::Etc::SourceParts "$1/sources";
Dir::State::Lists "$1/lists";
Dir::Cache "$1";
APT::Sandbox::User "root";
C
}

rom() {
        local work=$1 make fragments=("$conf/reseal.config" "$here/uboot.config")
        apt_conf "$work/apt"
        (
                export APT_CONFIG=$work/apt/apt.conf
                cd "$work"
                apt-get -q update
                apt-get -q --download-only source "u-boot=$version" || apt-get -q --download-only source u-boot
                dpkg-source -x ./u-boot_*.dsc source
        ) >&2
        make=(nice make -s -C "$work/source" "O=$work/build" "-j$(nproc)")
        export SOURCE_DATE_EPOCH=1767225600
        mkdir "$work/build"
        # the board
        cp "$conf/reseal-env.c" "$work/source/board/emulation/qemu-x86/"
        echo 'obj-y += reseal-env.o' >>"$work/source/board/emulation/qemu-x86/Makefile"
        cp "$conf/reseal-env.h" "$work/source/include/configs/"
        echo '#include <configs/reseal-env.h>' >>"$work/source/include/configs/qemu-x86.h"
        (cd "$work/source" && scripts/kconfig/merge_config.sh -m -O "$work/build" configs/qemu-x86_defconfig "${fragments[@]}") >&2
        "${make[@]}" olddefconfig >&2
        # what a line asks for and Kconfig refuses is dropped without a word
        if grep -h '^\(# \)\?CONFIG' "${fragments[@]}" | grep -vxF -f "$work/build/.config" >&2; then
                echo "U-Boot has no such options" >&2
                return 1
        fi
        "${make[@]}" all >&2
        cp "$work/build/u-boot.rom" "$to/u-boot.rom"
}

kernel() {
        local package work=$1 kernel
        package=$(apt-cache depends linux-image-amd64 | awk '/Depends: linux-image/ {print $2; exit}')
        [ -n "$package" ] || { echo "apt knows no linux-image-amd64" >&2; return 1; }
        mkdir "$work/download"
        (cd "$work/download" && apt-get -q -o APT::Sandbox::User=root download "$package" >&2)
        dpkg-deb -x "$work"/download/linux-image-*.deb "$to/kernel"
        kernel=$(echo "$to"/kernel/lib/modules/*)
        # nothing of this is on the board
        rm -rf "$kernel"/kernel/{sound,drivers/{gpu,media,infiniband,iio,staging,isdn,usb,net/{wireless,ethernet}}}
        depmod -b "$to/kernel" "${kernel##*/}"
}

mkdir -p "$cache"
exec 9>"$cache/uboot.lock"
flock 9
version=$(dpkg-query -W -f '${source:Version}' u-boot-tools)
made_from="$format $version $(cat "$here/uboot.config" "$conf"/reseal* | sha256sum)"
if [ "$(cat "$to/made-from" 2>/dev/null)" != "$made_from" ]; then
        rm -rf --one-file-system "$to"
        mkdir -p "$to"
        work=$(mktemp -d /var/tmp/reseal-uboot.XXXXXX)
        trap 'rm -rf "$work"' EXIT
        apt-cache show linux-image-amd64 >/dev/null 2>&1 || apt-get -q update >&2
        rom "$work"
        kernel "$work"
        echo "$made_from" >"$to/made-from"
fi
