#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# tests/boot/tree.sh CACHE - what does not change from run to run: a Debian kernel, unpacked and never installed, in
# CACHE/kernel, and a small Debian root in CACHE/tree.tar.zst with the libraries our programs want.  An archive, because a
# directory that a stray hand has written to would be in every device from then on.  About two minutes the first time, then
# nothing.  No mirror is named here: the machine's own apt sources are used.
set -euo pipefail

cache=${1:?tree.sh CACHE}
packages=systemd-sysv,dbus,udev,kmod,tpm-udev,cryptsetup-bin,busybox-static,iproute2,util-linux,mount,e2fsprogs
packages+=,libcryptsetup12,libcurl4,libinih1,libjansson4,libseccomp2,libssl3,libubootenv0.1,libzstd1,openssl
packages+=,libtss2-esys-3.0.2-0,libtss2-mu0,libtss2-rc0,libtss2-tctildr0,libtss2-tcti-device0,efibootmgr
format=2

kernel() {
        local package
        apt-cache show linux-image-cloud-amd64 >/dev/null 2>&1 || apt-get -q update >&2
        package=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image/ {print $2; exit}')
        [ -n "$package" ] || { echo "apt knows no linux-image-cloud-amd64" >&2; return 1; }
        rm -rf "$cache/kernel" "$cache/download"
        mkdir -p "$cache/kernel" "$cache/download"
        (cd "$cache/download" && apt-get -q download "$package" >&2)
        dpkg-deb -x "$cache"/download/linux-image-*.deb "$cache/kernel"
        rm -rf "$cache/download"
        depmod -b "$cache/kernel" "$(ls "$cache/kernel/lib/modules")"
}

tree() {
        local sources
        for sources in /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list; do [ -s "$sources" ] && break; done
        rm -rf --one-file-system "$cache/tree"
        DEBIAN_FRONTEND=noninteractive mmdebstrap --quiet --mode=root --variant=essential --format=directory \
                --include="$packages" --aptopt='APT::Install-Recommends "false"' \
                --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
                --dpkgopt='path-exclude=/usr/share/info/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
                --dpkgopt='path-exclude=/usr/share/zoneinfo/*' --dpkgopt='path-exclude=/usr/lib/udev/hwdb*' \
                '' "$cache/tree" "$sources" >&2
        # nothing in the guest is written in Perl, converts character sets or looks up hardware names
        (cd "$cache/tree" && rm -rf usr/share/perl usr/lib/*/perl* usr/lib/*/libperl* usr/lib/*/gconv usr/lib/*/libicu* \
                usr/lib/udev/hwdb* usr/share/i18n usr/bin/perl* var/cache/* var/lib/apt/lists/* var/log/* boot/* dev)
        tar -C "$cache/tree" --numeric-owner -c . | zstd -q -3 -f -o "$cache/tree.tar.zst"
        rm -rf --one-file-system "$cache/tree"
}

mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
made_from="$format $packages"
if [ "$(cat "$cache/made-from" 2>/dev/null)" != "$made_from" ]; then
        rm -f "$cache/made-from"
        kernel
        tree
        echo "$made_from" >"$cache/made-from"
fi
