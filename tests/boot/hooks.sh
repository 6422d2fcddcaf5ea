#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# tests/boot/hooks.sh CACHE WORK - initramfs made by the distributions' own tools with our hooks, from the device's root:
#
#   WORK/initrd-initramfs-tools   WORK/initrd-dracut
#
# The two packages conflict, so each is unpacked, never installed, over a copy of the root and run there.  What must be in the
# result is looked up with the tool's own lister.  Needs root.
set -euo pipefail

if [ "${1:-}" != inside ]; then
        exec unshare -m -- "$0" inside "$@"
fi
shift
cache=${1:?hooks.sh CACHE WORK} work=$2
version=$(ls "$cache/kernel/lib/modules")
mount --make-rprivate /

unpack() { # TREE PACKAGE...
        local tree=$1 part
        shift
        if [ ! -e "$cache/hooks/$1/done" ]; then
                rm -rf "$cache/hooks/$1"
                mkdir -p "$cache/hooks/$1/deb" "$cache/hooks/$1/root"
                apt-cache show "$@" >/dev/null 2>&1 || apt-get -q update >&2
                (cd "$cache/hooks/$1/deb" && apt-get -q download "$@" >&2)
                for part in "$cache/hooks/$1/deb"/*.deb; do dpkg-deb -x "$part" "$cache/hooks/$1/root"; done
                for part in bin sbin lib; do # the tree has /usr merged
                        [ ! -d "$cache/hooks/$1/root/$part" ] || {
                                mkdir -p "$cache/hooks/$1/root/usr/$part"
                                cp -a "$cache/hooks/$1/root/$part/." "$cache/hooks/$1/root/usr/$part/"
                                rm -r "$cache/hooks/$1/root/${part:?}"
                        }
                done
                touch "$cache/hooks/$1/done"
        fi
        cp -a "$cache/hooks/$1/root/." "$tree/"
}

tree() { # NAME: a copy of the root to work in
        local to=$work/hooks-$1
        cp -a "$work/root" "$to"
        mkdir -p "$to"/{proc,dev,tmp,boot,var/tmp}
        cp "$cache/kernel/boot/config-$version" "$to/boot/"
        mount -t proc proc "$to/proc"
        mount --rbind /dev "$to/dev"
        echo "$to"
}

gone() {
        umount -R "$1/dev" "$1/proc"
        rm -rf --one-file-system "$1"
}

# Program, what it links, what is loaded by name, configuration and anchor, modules.
check() { # NAME FILE-WITH-THE-LIST
        local want ok=yes
        for want in usr/sbin/reseal-unlock libcryptsetup.so.12 libtss2-esys.so.0 libtss2-tctildr.so.0 libtss2-tcti-device.so.0 \
                libjansson.so.4 libinih.so.1 libcrypto.so.3 etc/reseal/writer.conf etc/reseal/firmware-root.pem dm-crypt.ko dm-verity.ko \
                erofs.ko; do
                grep -q "$want" "$2" || { echo "$1: $want is missing"; ok=no; }
        done
        [ $ok = yes ] && echo "$1: complete, $(wc -l <"$2") files"
}

initramfs_tools() {
        local to
        to=$(tree initramfs-tools)
        unpack "$to" initramfs-tools-core klibc-utils libklibc cpio zstd
        chroot "$to" mkinitramfs -o /initrd "$version"
        chroot "$to" lsinitramfs /initrd >"$work/list"
        grep -q '^scripts/local-top/reseal$' "$work/list"
        grep -q '^scripts/panic/reseal$' "$work/list"
        check initramfs-tools "$work/list"
        mv "$to/initrd" "$work/initrd-initramfs-tools"
        gone "$to"
}

dracut() {
        local to shell
        to=$(tree dracut)
        unpack "$to" dracut-core dracut cpio zstd
        chroot "$to" dracut --quiet --force --no-hostonly --no-hostonly-cmdline --zstd --tmpdir /tmp /initrd "$version"
        chroot "$to" lsinitrd /initrd >"$work/list"
        grep -q 'initrd-root-device.target.wants/reseal-unlock.service' "$work/list"
        grep -q 'sysinit.target.wants/reseal-deadline.service' "$work/list"
        for shell in emergency rescue dracut-emergency; do grep -q "/$shell.service.d/reseal.conf" "$work/list"; done
        check dracut "$work/list"
        mv "$to/initrd" "$work/initrd-dracut"
        gone "$to"
}

exec 9>"$cache/lock"
flock 9
initramfs_tools
dracut
rm -f "$work/list"
